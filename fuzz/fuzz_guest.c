/* Fuzzes the processor with a hostile guest: the input is its code, its registers and its mode. It
 * may do what it likes to itself; the host's memory stays as it is, and what #VMEXIT leaves in the
 * VMCB can be run again. */
#include "rig.h"

#include "silicon/cpu/cpu.h"

/* Host physical: VMCB, permission maps, nested tables; the guest's memory; the rest untouched. */
#define DRAM_BYTES  (2u << 20)
#define VMCB_AT     0x1000u
#define IOPM_AT     0x2000u
#define MSRPM_AT    0x5000u
#define NPT_AT      0x8000u /* four tables, whose accessed bits the processor sets */
#define NPT_END     0xC000u
#define GUEST_AT    0x100000u
#define GUEST_BYTES 0x20000u

/* Guest physical */
#define G_PML4  0x1000u
#define G_GDT   0x5000u
#define G_TSS   0x5800u
#define G_IDT   0x6000u
#define G_CODE  0x8000u
#define G_STACK 0x10000u

#define CODE32 UINT64_C(0x00CF9B000000FFFF)
#define DATA32 UINT64_C(0x00CF93000000FFFF)
#define CODE64 UINT64_C(0x00AF9B000000FFFF)
#define DPL3   (UINT64_C(3) << 45)

enum { REAL, PROTECTED, LONG, LONG_USER };

static struct soc *soc;
static uint8_t fresh[DRAM_BYTES], now[DRAM_BYTES];

/* Four levels of tables at `at`, of which the last maps `pages` pages from `to`. */
static void put_tables(uint8_t *memory, uint64_t at, uint64_t seen_at, uint64_t to, unsigned pages)
{
    for (unsigned level = 0; level < 3; level++)
        store64(memory + at + 0x1000 * level, (seen_at + 0x1000 * (level + 1)) | 7);
    for (unsigned i = 0; i < pages; i++)
        store64(memory + at + 0x3000 + 8 * i, (to + 0x1000 * i) | 7);
}

static void put_guest(uint8_t *g)
{
    static const uint64_t gdt[] = {
        0, CODE32, DATA32, CODE64, DATA32 | DPL3, CODE64 | DPL3, CODE32 | DPL3, 0};

    put_tables(g, G_PML4, G_PML4, 0, GUEST_BYTES >> 12);
    memcpy(g + G_GDT, gdt, sizeof(gdt));
    store32(g + G_TSS + 4, G_STACK + 0x2000); /* RSP0 */
    for (unsigned vec = 0; vec < 64; vec++) { /* handlers: some way into the code */
        uint64_t to = G_CODE + 0x100 + 16 * vec;

        store64(g + G_IDT + 16 * vec, (to & 0xFFFF) | UINT64_C(0x18) << 16 | UINT64_C(0x8E) << 40);
    }
}

static void start(void)
{
    struct soc_config cfg = {.chip = chip_by_id(CHIP_GENOA), .dram_bytes = DRAM_BYTES, .cores = 1};
    struct error err;

    if (soc)
        return;
    MUST(soc_new(&cfg, &soc, &err) == OK);
    MUST(cpu_wrmsr(soc_core(soc, 0), 0xC0000080, EFER_SVME));
    memset(fresh, 0xA5, sizeof(fresh));
    memset(fresh + IOPM_AT, 0xFF, 0x3000);
    memset(fresh + MSRPM_AT, 0, 0x2000);
    memset(fresh + NPT_AT, 0, NPT_END - NPT_AT);
    put_tables(fresh, NPT_AT, NPT_AT, GUEST_AT, GUEST_BYTES >> 12);
    memset(fresh + GUEST_AT, 0, GUEST_BYTES);
    put_guest(fresh + GUEST_AT);
    MUST(soc_write(soc, 0, fresh, sizeof(fresh)));
}

static struct vmcb_seg flat(uint16_t selector, uint16_t attrib)
{
    return (struct vmcb_seg){.selector = selector, .attrib = attrib, .limit = UINT32_MAX};
}

static void set_mode(struct vmcb_save *s, unsigned mode)
{
    bool user = mode == LONG_USER;
    uint16_t dpl = user ? 0x60 : 0;

    s->es = s->ss = s->ds = s->fs = s->gs = flat(user ? 0x23 : 0x10, (uint16_t)(0xC93 | dpl));
    s->cs = flat(user ? 0x2B : 0x18, (uint16_t)(0xA9B | dpl));
    s->gdtr = (struct vmcb_seg){.limit = 0x3F, .base = G_GDT};
    s->idtr = (struct vmcb_seg){.limit = 0x3FF, .base = G_IDT};
    s->tr = (struct vmcb_seg){.selector = 0x40, .attrib = 0x8B, .limit = 0x67, .base = G_TSS};
    s->cpl = user ? 3 : 0;
    s->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_MP | CR0_ET | CR0_WP;
    s->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    s->cr3 = G_PML4;
    s->efer = EFER_SVME | EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    s->rip = G_CODE;
    s->rsp = G_STACK;
    s->rflags = 2;
    s->dr6 = 0xFFFF0FF0;
    s->dr7 = 0x400;
    s->g_pat = UINT64_C(0x0007040600070406);
    if (mode >= LONG)
        return;
    s->efer = EFER_SVME;
    s->cr0 &= ~(uint64_t)(CR0_PG | CR0_WP);
    s->cs = flat(8, 0xC9B);
    if (mode == PROTECTED)
        return;
    s->cr0 &= ~(uint64_t)CR0_PE;
    s->cs = (struct vmcb_seg){.attrib = 0x9B, .limit = 0xFFFF};
    s->es = s->ss = s->ds = s->fs = s->gs = (struct vmcb_seg){.attrib = 0x93, .limit = 0xFFFF};
    s->rsp = 0x7000;
}

static void set_controls(struct vmcb_control *v, uint8_t how)
{
    v->intercept_exception = how & 0x10 ? UINT32_MAX : 0;
    v->intercept3 = how & 0x20 ? UINT32_MAX
                               : INTERCEPT_BIT(VMEXIT_INTR) | INTERCEPT_BIT(VMEXIT_IOIO) |
                                     INTERCEPT_BIT(VMEXIT_HLT) | INTERCEPT_BIT(VMEXIT_SHUTDOWN);
    v->intercept4 = how & 0x40 ? UINT32_MAX : INTERCEPT_BIT(VMEXIT_VMRUN);
    v->iopm_base_pa = IOPM_AT;
    v->msrpm_base_pa = MSRPM_AT;
    v->asid = 1;
    v->tlb_control = 1;
    v->vintr = V_INTR_MASKING;
    v->nested_ctl = NESTED_NP;
    v->ncr3 = NPT_AT;
}

/* One run of at most 400 instructions; false: there is no going on. */
static bool run_some(struct cpu *c)
{
    struct vmcb vmcb;

    cpu_timer(c, 400);
    cpu_vmrun(c, VMCB_AT);
    MUST(soc_read(soc, VMCB_AT, &vmcb, sizeof(vmcb)));
    MUST(vmcb.control.exitcode != VMEXIT_INVALID);
    MUST(vmcb.control.insn_len <= 15);
    if (vmcb.control.exitcode == VMEXIT_INTR || vmcb.control.exitcode == VMEXIT_SHUTDOWN)
        return false;
    vmcb.save.rip = vmcb.control.nrip; /* past what it asked for */
    vmcb.control.tlb_control = 0;
    MUST(soc_write(soc, VMCB_AT, &vmcb, sizeof(vmcb)));
    return true;
}

/* All but the VMCB, the nested tables and the guest's own memory. */
static void the_host_is_untouched(void)
{
    static const struct {
        uint32_t from, to;
    } kept[] = {
        {0, VMCB_AT}, {IOPM_AT, NPT_AT}, {NPT_END, GUEST_AT}, {GUEST_AT + GUEST_BYTES, DRAM_BYTES}};

    MUST(soc_read(soc, 0, now, sizeof(now)));
    for (size_t i = 0; i < COUNT(kept); i++)
        MUST(!memcmp(now + kept[i].from, fresh + kept[i].from, kept[i].to - kept[i].from));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t guest[GUEST_BYTES];
    struct cursor c = cursor_over(data, size);
    uint8_t how = cursor_u8(&c), image[CPU_XSAVE_BYTES] = {0};
    struct vmcb vmcb = {0};
    struct cpu *core;
    size_t code;

    start();
    core = soc_core(soc, 0);
    set_mode(&vmcb.save, how & 3);
    set_controls(&vmcb.control, how);
    store16(image, 0x37F);
    store32(image + 24, 0x1F80);
    cpu_xsetbv(core, 7);
    cpu_xrstor(core, image);
    for (unsigned i = 0; i < 16; i++)
        cpu_gprs(core)[i] = how & 4 ? cursor_u64(&c) : G_STACK + 0x100 * i;
    vmcb.save.rax = cpu_gprs(core)[0];
    code = MIN(c.left, (size_t)0x2000);
    memcpy(guest, fresh + GUEST_AT, GUEST_BYTES);
    memset(guest + G_CODE, how & 8 ? 0x90 : 0xF4, 0x2000);
    memcpy(guest + G_CODE, cursor_take(&c, code), code);
    MUST(soc_write(soc, GUEST_AT, guest, GUEST_BYTES));
    MUST(soc_write(soc, VMCB_AT, &vmcb, sizeof(vmcb)));
    for (unsigned i = 0; i < 12 && run_some(core); i++)
        ;
    the_host_is_untouched();
    return 0;
}
