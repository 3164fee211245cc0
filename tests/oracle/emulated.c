/* The interpreter as the accused: a core in long mode at CPL 3, identity-mapped, every exception
 * intercepted, so that INT3 after the instruction ends the run as it does natively. */
#include "oracle.h"

#include <stdlib.h>

#define DRAM_BYTES 0x10400000u
#define TABLES     0x00100000u /* PML4, PDPT, PD, PT */
#define PTE_USER   7u

static struct soc *soc;
static struct cpu *cpu;

static void poke64(uint64_t spa, uint64_t v)
{
    if (!soc_write(soc, spa, &v, sizeof(v)))
        abort();
}

static void map_area(uint64_t from, unsigned bytes)
{
    for (uint64_t at = from; at < from + bytes; at += 4096)
        poke64(TABLES + 0x3000 + (at >> 12 & 511) * 8, at | 0x60 | PTE_USER);
}

bool emulated_start(void)
{
    static uint8_t int3s[CODE_BYTES];
    struct soc_config cfg = {.chip = chip_by_id(CHIP_TURIN), .dram_bytes = DRAM_BYTES, .cores = 1};
    struct error err;

    if (soc_new(&cfg, &soc, &err) != OK)
        return false;
    cpu = soc_core(soc, 0);
    poke64(TABLES, (TABLES + 0x1000) | 0x20 | PTE_USER);
    poke64(TABLES + 0x1000, (TABLES + 0x2000) | 0x20 | PTE_USER);
    poke64(TABLES + 0x2000 + (SCRATCH >> 21 & 511) * 8, (TABLES + 0x3000) | 0x20 | PTE_USER);
    map_area(SCRATCH, SCRATCH_BYTES);
    map_area(CODE, CODE_BYTES);
    memset(int3s, 0xCC, sizeof(int3s));
    return soc_write(soc, CODE, int3s, sizeof(int3s));
}

bool emulated_has(enum feature f)
{
    return has(cpu, f);
}

static void load_mode(bool compat)
{
    struct seg data = {.selector = 0x2B, .attrib = 0xCF3, .limit = UINT32_MAX};

    for (unsigned i = 0; i < FLAT; i++)
        cpu->seg[i] = data;
    cpu->seg[CS] =
        (struct seg){.selector = 0x33, .attrib = compat ? 0xCFB : 0xAFB, .limit = UINT32_MAX};
    cpu->cpl = 3;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu->xcr0 = 7;
    cpu->guest = true;
    cpu->shadow = false;
    cpu->inject = -1;
    cpu->exitintinfo = 0;
    cpu->vmcb = (struct vmcb_control){
        .intercept_exception = UINT32_MAX, .asid = 1, .intercept3 = INTERCEPT_BIT(VMEXIT_SHUTDOWN)};
    mmu_world(cpu, TABLES);
    cpu_mode_changed(cpu);
}

void emulated_run(const struct sample *s, const uint8_t *memory, struct outcome *out,
                  uint8_t *memory_after)
{
    uint8_t code[16];

    memset(code, 0xCC, sizeof(code));
    memcpy(code, s->code, s->len);
    if (!soc_write(soc, SCRATCH, memory, SCRATCH_BYTES) ||
        !soc_write(soc, CODE_AT, code, sizeof(code)))
        abort();
    load_mode(s->compat);
    memcpy(cpu->r, s->before.r, sizeof(s->before.r));
    cpu->rip = s->before.rip;
    cpu->rflags = (s->before.rflags & ~(uint64_t)OSZAPC) | 2;
    flags_write(cpu, (uint32_t)s->before.rflags);
    cpu_xrstor(cpu, s->before.xsave);
    run(cpu);
    memcpy(out->after.r, cpu->r, sizeof(out->after.r));
    out->after.rip = cpu->rip;
    out->after.rflags = rflags_get(cpu);
    cpu_xsave(cpu, out->after.xsave);
    out->vector = (unsigned)(cpu->vmcb.exitcode - VMEXIT_EXCEPTION);
    out->error = (uint32_t)cpu->vmcb.exitinfo1;
    out->cr2 = cpu->vmcb.exitinfo2;
    if (!soc_read(soc, SCRATCH, memory_after, SCRATCH_BYTES))
        abort();
}
