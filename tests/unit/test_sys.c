/* System instructions: who may run them, which values are legal, what a hypervisor is told. */
#include "sys_rig.h"

RIG_END

#define PML4  0x10000u
#define PDPT  0x11000u
#define TSS   0x3000u
#define IOPM  0x20000u
#define MSRPM 0x24000u

static int start(void **state)
{
    static struct rig r;

    rig_start(&r, false);
    put64(&r, PML4, PDPT | 7);
    put64(&r, PDPT, 0x87);
    long_paging(&r, PML4, CR0_WP | CR0_MP, CR4_OSXSAVE | CR4_FSGSBASE | CR4_OSFXSR,
                EFER_NXE | EFER_SCE | EFER_SVME);
    r.c->rip = 0x5000;
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    struct rig *r = *state;

    r->c->guest = false;
    rig_stop(r);
    return 0;
}

static struct rig *guest(void **state)
{
    struct rig *r = *state;

    r->c->guest = true;
    r->c->vmcb = (struct vmcb_control){.asid = 1, .iopm_base_pa = IOPM, .msrpm_base_pa = MSRPM};
    mmu_context(r->c);
    return r;
}

/* ---- privilege ---- */
static const struct {
    const char *what;
    uint8_t code[5];
    unsigned len;
    int vec; /* at CPL 3 */
} privileged[] = {
    {"CLTS", {0x0F, 0x06}, 2, EXC_GP},
    {"HLT", {0xF4}, 1, EXC_GP},
    {"INVD", {0x0F, 0x08}, 2, EXC_GP},
    {"WBINVD", {0x0F, 0x09}, 2, EXC_GP},
    {"INVLPG", {0x0F, 0x01, 0x38}, 3, EXC_GP},
    {"LGDT", {0x0F, 0x01, 0x10}, 3, EXC_GP},
    {"LIDT", {0x0F, 0x01, 0x18}, 3, EXC_GP},
    {"LLDT", {0x0F, 0x00, 0xD0}, 3, EXC_GP},
    {"LTR", {0x0F, 0x00, 0xD8}, 3, EXC_GP},
    {"LMSW", {0x0F, 0x01, 0xF0}, 3, EXC_GP},
    {"MOV from CR0", {0x0F, 0x20, 0xC0}, 3, EXC_GP},
    {"MOV to CR0", {0x0F, 0x22, 0xC0}, 3, EXC_GP},
    {"MOV from DR0", {0x0F, 0x21, 0xC0}, 3, EXC_GP},
    {"MOV to DR0", {0x0F, 0x23, 0xC0}, 3, EXC_GP},
    {"RDMSR", {0x0F, 0x32}, 2, EXC_GP},
    {"WRMSR", {0x0F, 0x30}, 2, EXC_GP},
    {"XSETBV", {0x0F, 0x01, 0xD1}, 3, EXC_GP},
    {"SWAPGS", {0x0F, 0x01, 0xF8}, 3, EXC_GP},
    {"SYSRET", {0x0F, 0x07}, 2, EXC_GP},
    {"VMRUN", {0x0F, 0x01, 0xD8}, 3, EXC_GP},
    {"IN", {0xEC}, 1, EXC_GP},
    {"OUT", {0xEE}, 1, EXC_GP},
    {"CLAC", {0x0F, 0x01, 0xCA}, 3, EXC_UD},
    {"MONITOR", {0x0F, 0x01, 0xC8}, 3, EXC_UD},
    {"MWAIT", {0x0F, 0x01, 0xC9}, 3, EXC_UD},
    {"RSM", {0x0F, 0xAA}, 2, EXC_UD},
    {"VMMCALL", {0x0F, 0x01, 0xD9}, 3, EXC_UD},
    {"VMCALL", {0x0F, 0x01, 0xC1}, 3, EXC_UD},
};

static void users_may_not(void **state)
{
    struct rig *r = *state;

    mode(r, 3, true);
    for (size_t i = 0; i < COUNT(privileged); i++) {
        struct outcome out = try_insn(r, privileged[i].code, privileged[i].len);

        if (out.how != FAULT || out.vec != privileged[i].vec || out.error)
            fail_msg("%s at CPL 3: outcome %d vec %d", privileged[i].what, out.how, out.vec);
    }
}

static void umip_and_tsd_close_what_users_have(void **state)
{
    static const struct {
        const char *what;
        uint8_t code[3];
        uint64_t cr4;
    } cases[] = {
        {"SGDT", {0x0F, 0x01, 0x00}, CR4_UMIP}, {"SIDT", {0x0F, 0x01, 0x08}, CR4_UMIP},
        {"SLDT", {0x0F, 0x00, 0xC0}, CR4_UMIP}, {"STR", {0x0F, 0x00, 0xC8}, CR4_UMIP},
        {"SMSW", {0x0F, 0x01, 0xE0}, CR4_UMIP}, {"RDTSCP", {0x0F, 0x01, 0xF9}, CR4_TSD},
    };
    struct rig *r = *state;

    put64(r, PML4, PDPT | 7);
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t cr4 = r->c->cr4;

        r->c->r[RAX] = 0x8000;
        mode(r, 3, true);
        if (try_insn(r, cases[i].code, 3).how != DONE)
            fail_msg("%s at CPL 3", cases[i].what);
        r->c->cr4 |= cases[i].cr4;
        mode(r, 3, true);
        if (try_insn(r, cases[i].code, 3).vec != EXC_GP)
            fail_msg("%s at CPL 3 with CR4 %#llx", cases[i].what, (unsigned long long)cases[i].cr4);
        mode(r, 0, true);
        if (try_insn(r, cases[i].code, 3).how != DONE)
            fail_msg("%s at CPL 0", cases[i].what);
        r->c->cr4 = cr4;
    }
}

/* ---- control registers ---- */
static const struct {
    const char *law;
    unsigned cr;
    uint64_t set, clear; /* against the current value */
    bool ok;
} cr_writes[] = {
    {"CR0: TS is free", 0, CR0_TS, 0, true},
    {"CR0: bits 63:32 are zero", 0, BIT(32), 0, false},
    {"CR0: NW without CD", 0, CR0_NW, 0, false},
    {"CR0: NW with CD", 0, CR0_NW | CR0_CD, 0, true},
    {"CR0: PG without PE", 0, 0, CR0_PE, false},
    {"CR0: PG stays in 64-bit mode", 0, 0, CR0_PG, false},
    {"CR0: reserved bits are ignored", 0, BIT(10), 0, true},
    {"CR3: addresses end at the physical width", 3, BIT(52), 0, false},
    {"CR3: PCD and PWT", 3, 0x18, 0, true},
    {"CR3: bit 63 is for PCIDE", 3, BIT(63), 0, false},
    {"CR4: PAE stays in long mode", 4, 0, CR4_PAE, false},
    {"CR4: SMEP, SMAP and UMIP", 4, CR4_SMEP | CR4_SMAP | CR4_UMIP, 0, true},
    {"CR4: 5-level paging is not there", 4, BIT(12), 0, false},
    {"CR4: protection keys are not there", 4, BIT(22), 0, false},
    {"CR4: PCIDE", 4, CR4_PCIDE, 0, true},
    {"CR8: four bits", 8, 0xF, 0, true},
    {"CR8: not five", 8, 0x10, 0, false},
};

static uint64_t *cr(struct cpu *c, unsigned n)
{
    return n == 0 ? &c->cr0 : n == 3 ? &c->cr3 : n == 4 ? &c->cr4 : &c->cr8;
}

static void cr_values_are_judged(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    for (size_t i = 0; i < COUNT(cr_writes); i++) {
        unsigned n = cr_writes[i].cr;
        /* MOV CRn, RCX */
        uint8_t code[] = {n == 8 ? 0x44 : 0x40, 0x0F, 0x22, (uint8_t)(0xC1 | (n & 7) << 3)};
        struct cpu before = *c;
        struct outcome out;

        c->r[RCX] = (*cr(c, n) | cr_writes[i].set) & ~cr_writes[i].clear;
        out = try_insn(r, code, sizeof(code));
        if (out.how != (cr_writes[i].ok ? DONE : FAULT) ||
            (!cr_writes[i].ok && (out.vec != EXC_GP || *cr(c, n) != *cr(&before, n))))
            fail_msg("%s: outcome %d vec %d", cr_writes[i].law, out.how, out.vec);
        c->cr0 = before.cr0;
        c->cr3 = before.cr3;
        c->cr4 = before.cr4;
        c->cr8 = before.cr8;
        cpu_mode_changed(c);
    }
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC8)).vec, EXC_UD); /* CR1 */
    c->r[RAX] = PML4 | 1;
    c->cr3 |= 1;
    c->r[RCX] = c->cr4 | CR4_PCIDE;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xE1)).vec, EXC_GP); /* PCID not 0 */
    c->cr3 &= ~UINT64_C(1);
}

static void long_mode_is_entered_by_paging(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->cr0 = CR0_PE | CR0_ET;
    c->efer = EFER_LME;
    mode(r, 0, false);
    c->r[RAX] = c->cr0 | CR0_PG;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC0)).how, DONE);
    assert_true(c->efer & EFER_LMA);
    assert_int_equal(c->decode & DECODE_SIZE, 1); /* compatibility mode until CS.L */
    c->r[RAX] = c->cr0 & ~CR0_PG;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC0)).how, DONE);
    assert_false(c->efer & EFER_LMA);
    c->cr4 &= ~CR4_PAE;
    c->r[RAX] = c->cr0 | CR0_PG;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC0)).vec, EXC_GP);
}

static void cr_intercepts_name_the_register(void **state)
{
    struct rig *r = guest(state);
    struct cpu *c = r->c;
    struct outcome out;

    c->vmcb.intercept_cr = 1u << 3 | 1u << (16 + 4);
    out = try_insn(r, INSN_BYTES(0x41, 0x0F, 0x20, 0xD9)); /* MOV R9, CR3 */
    assert_int_equal(out.code, VMEXIT_CR_READ + 3);
    assert_int_equal(out.info1, BIT(63) | 9);
    c->r[RDX] = c->cr4;
    out = try_insn(r, INSN_BYTES(0x0F, 0x22, 0xE2)); /* MOV CR4, RDX */
    assert_int_equal(out.code, VMEXIT_CR_WRITE + 4);
    assert_int_equal(out.info1, BIT(63) | RDX);
    assert_int_equal(c->vmcb.nrip, 0x5003);
    c->r[RDX] = 1;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xE2)).vec, EXC_GP); /* illegal first */
    /* the selective one lets TS and MP pass */
    c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_CR0_SEL);
    c->r[RDX] = c->cr0 ^ CR0_TS;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC2)).how, DONE);
    c->r[RDX] = c->cr0 ^ CR0_WP;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x22, 0xC2)).code, VMEXIT_CR0_SEL);
    c->vmcb.intercept_cr = 1u << 16;
    out = try_insn(r, INSN_BYTES(0x0F, 0x06)); /* CLTS */
    assert_int_equal(out.code, VMEXIT_CR_WRITE);
    assert_int_equal(out.info1, 0);
}

static void debug_registers(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->r[RAX] = UINT64_MAX;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x23, 0xF8)).vec, EXC_GP); /* DR7 63:32 */
    c->r[RAX] = 0xFFFFFFFF;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x23, 0xF0)).how, DONE);
    assert_int_equal(c->dr[6], 0xFFFFEFFF);
    c->r[RAX] = 0x2000; /* GD */
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x23, 0xF8)).how, DONE);
    assert_int_equal(c->dr[7], 0x2400);
    c->dr[6] = 0xFFFF0FF0;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x21, 0xC0)).vec, EXC_DB);
    assert_int_equal(c->dr[6], 0xFFFF2FF0);
    c->dr[7] = 0x400;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x21, 0xE0)).how, DONE); /* DR4 is DR6 */
    assert_int_equal(c->r[RAX], 0xFFFF2FF0);
    c->cr4 |= CR4_DE;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x21, 0xE0)).vec, EXC_UD);
}

/* ---- MSRs ---- */
static const struct {
    const char *law;
    uint32_t msr;
    bool write;
    unsigned byte; /* of the bitmap */
    uint8_t bits;
    int exit; /* 1: VMEXIT_MSR, 0: passes, -1: #GP */
} msrs[] = {
    {"TSC_AUX read, nothing set", 0xC0000103, false, 0, 0, 0},
    {"TSC_AUX read bit", 0xC0000103, false, 0x800 + 0x103 / 4, 0x40, 1},
    {"its write bit says nothing of reads", 0xC0000103, false, 0x800 + 0x103 / 4, 0x80, 0},
    {"TSC_AUX write bit", 0xC0000103, true, 0x800 + 0x103 / 4, 0x80, 1},
    {"SYSENTER_CS, first range", 0x174, true, 0x174 / 4, 2, 1},
    {"SEV_STATUS, third range", 0xC0010131, false, 0x1000 + 0x131 / 4, 4, 1},
    {"an MSR in no range always exits", 0x40000000, false, 0, 0, 1},
    {"an unknown one that passes is #GP", 0x17, false, 0, 0, -1},
};

static void msr_bitmap(void **state)
{
    struct rig *r = guest(state);
    struct cpu *c = r->c;

    c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_MSR);
    for (size_t i = 0; i < COUNT(msrs); i++) {
        uint8_t code[] = {0x0F, msrs[i].write ? 0x30 : 0x32};
        struct outcome out;

        assert_true(soc_write(r->soc, MSRPM + msrs[i].byte, &msrs[i].bits, 1));
        c->r[RCX] = msrs[i].msr;
        c->r[RAX] = c->r[RDX] = 0;
        out = try_insn(r, code, sizeof(code));
        if (msrs[i].exit == 1
                ? out.how != EXIT || out.code != VMEXIT_MSR || out.info1 != msrs[i].write
            : msrs[i].exit < 0 ? out.vec != EXC_GP
                               : out.how != DONE)
            fail_msg("%s: outcome %d", msrs[i].law, out.how);
        assert_true(soc_write(r->soc, MSRPM + msrs[i].byte, &(uint8_t){0}, 1));
    }
}

/* ---- ports ---- */
static void ioio_exits_tell_all(void **state)
{
    static const struct {
        const char *what;
        uint8_t code[4];
        unsigned len;
        uint64_t info1;
    } cases[] = {
        {"OUT 80h, AL", {0xE6, 0x80}, 2, 0x80 << 16 | 1 << 9 | 1 << 4},
        {"IN AX, DX", {0x66, 0xED}, 2, 0x3F8 << 16 | 1 << 9 | 1 << 5 | 1},
        {"IN EAX, DX", {0xED}, 1, 0x3F8 << 16 | 1 << 9 | 1 << 6 | 1},
        {"REP INSB", {0xF3, 0x6C}, 2, 0x3F8 << 16 | 1 << 9 | 1 << 4 | 8 | 4 | 1},
        {"OUTSD, 32-bit addresses, FS",
         {0x64, 0x67, 0x6F},
         3,
         0x3F8 << 16 | 4 << 10 | 1 << 8 | 1 << 6 | 4},
        {"OUTSW", {0x66, 0x6F}, 2, 0x3F8 << 16 | 3 << 10 | 1 << 9 | 1 << 5 | 4},
    };
    struct rig *r = guest(state);
    struct cpu *c = r->c;

    c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_IOIO);
    for (unsigned i = 0; i < 0x2000; i += 8)
        put64(r, IOPM + i, UINT64_MAX);
    c->r[RDX] = 0x3F8;
    c->r[RCX] = 3;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome out = try_insn(r, cases[i].code, cases[i].len);

        if (out.code != VMEXIT_IOIO || out.info1 != cases[i].info1 ||
            out.info2 != 0x5000 + cases[i].len)
            fail_msg("%s: EXITINFO1 %#llx EXITINFO2 %#llx", cases[i].what,
                     (unsigned long long)out.info1, (unsigned long long)out.info2);
    }
    c->r[RCX] = 0; /* nothing to transfer: nothing to intercept */
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x6C)).how, DONE);
}

static void ioio_bitmap_counts_every_port_touched(void **state)
{
    struct rig *r = guest(state);
    struct cpu *c = r->c;

    c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_IOIO);
    put64(r, IOPM + 0x3F8 / 8, 1 << 3); /* port 3FBh */
    c->r[RDX] = 0x3F8;
    c->r[RAX] = 0;
    assert_int_equal(try_insn(r, INSN_BYTES(0xEC)).how, DONE);
    assert_int_equal(c->r[RAX], 0xFF); /* nobody answers */
    assert_int_equal(try_insn(r, INSN_BYTES(0xED)).how, EXIT);
    put64(r, IOPM + 0x2000, 1); /* past FFFFh */
    c->r[RDX] = 0xFFFF;
    assert_int_equal(try_insn(r, INSN_BYTES(0xEC)).how, DONE);
    assert_int_equal(try_insn(r, INSN_BYTES(0x66, 0xED)).how, EXIT);
}

static void the_tss_lets_users_at_ports(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->tr = (struct seg){.selector = 0x40, .attrib = 0x8B, .limit = 0x68 + 0x80, .base = TSS};
    put32(r, TSS + 0x64, 0x68 << 16);
    for (unsigned i = 0; i < 0x88; i += 8)
        put64(r, TSS + 0x68 + i, UINT64_MAX);
    put32(r, TSS + 0x68 + 0x300 / 8, 0xFFFFFFFC); /* ports 300h, 301h */
    mode(r, 3, true);
    c->r[RDX] = 0x300;
    assert_int_equal(try_insn(r, INSN_BYTES(0xEC)).how, DONE);
    assert_int_equal(try_insn(r, INSN_BYTES(0x66, 0xED)).how, DONE);
    assert_int_equal(try_insn(r, INSN_BYTES(0xED)).vec, EXC_GP);
    c->r[RDX] = 0x400; /* beyond the limit */
    assert_int_equal(try_insn(r, INSN_BYTES(0xEC)).vec, EXC_GP);
    c->rflags |= RFLAGS_IOPL;
    assert_int_equal(try_insn(r, INSN_BYTES(0xEC)).how, DONE);
    c->rflags = 2;
}

/* ---- the rest ---- */
static void exits_by_row(void **state)
{
    static const struct {
        uint8_t code[4];
        unsigned len;
        uint64_t exit;
    } cases[] = {
        {{0x0F, 0xA2}, 2, VMEXIT_CPUID},
        {{0x0F, 0x31}, 2, VMEXIT_RDTSC},
        {{0x0F, 0x01, 0xF9}, 3, VMEXIT_RDTSCP},
        {{0x0F, 0x33}, 2, VMEXIT_RDPMC},
        {{0xF4}, 1, VMEXIT_HLT},
        {{0x0F, 0x08}, 2, VMEXIT_INVD},
        {{0x0F, 0x09}, 2, VMEXIT_WBINVD},
        {{0xF3, 0x0F, 0x09}, 3, VMEXIT_WBINVD}, /* WBNOINVD */
        {{0x0F, 0x01, 0xD9}, 3, VMEXIT_VMMCALL},
        {{0x0F, 0x01, 0xD8}, 3, VMEXIT_VMRUN},
        {{0x0F, 0x01, 0xDA}, 3, VMEXIT_VMLOAD},
        {{0x0F, 0x01, 0xDC}, 3, VMEXIT_STGI},
        {{0x0F, 0x01, 0xC8}, 3, VMEXIT_MONITOR},
        {{0x0F, 0x01, 0xC9}, 3, VMEXIT_MWAIT},
        {{0x0F, 0x01, 0xD1}, 3, VMEXIT_XSETBV},
        {{0x48, 0xCF}, 2, VMEXIT_IRET},
        {{0x0F, 0x01, 0x10}, 3, VMEXIT_GDTR_WRITE},
        {{0x0F, 0x00, 0xC0}, 3, VMEXIT_LDTR_READ},
        {{0x0F, 0x00, 0xD8}, 3, VMEXIT_TR_WRITE},
        {{0xCD, 0x80}, 2, VMEXIT_SWINT},
        {{0x0F, 0xAA}, 2, VMEXIT_RSM},
    };
    struct rig *r = guest(state);

    r->c->vmcb.intercept3 = r->c->vmcb.intercept4 = UINT32_MAX;
    r->c->r[RCX] = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome out = try_insn(r, cases[i].code, cases[i].len);

        if (out.how != EXIT || out.code != cases[i].exit)
            fail_msg("%#x: outcome %d code %#llx", (unsigned)cases[i].exit, out.how,
                     (unsigned long long)out.code);
        assert_int_equal(r->c->rip, 0x5000);
        assert_int_equal(r->c->vmcb.nrip, 0x5000 + cases[i].len);
    }
    /* Decode assists (APM2 15.8.4): the address of INVLPG, the vector of INT n. */
    r->c->r[RAX] = 0x7654321000;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0x38)).info1, 0x7654321000);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCD, 0x80)).info1, 0x80);
}

/* CPUID (APM3): ECX counts for leaves that have subleaves alone. */
static void cpuid_looks_at_ecx_where_it_must(void **state)
{
    static const uint32_t leaves[] = {0, 1, 5, 0x80000001, 0x80000008, 0x8000001F};
    struct rig *r = *state;
    uint32_t a[4], b[4];

    for (size_t i = 0; i < COUNT(leaves); i++) {
        cpu_cpuid(r->c, leaves[i], 0, a);
        cpu_cpuid(r->c, leaves[i], 7, b);
        assert_memory_equal(a, b, sizeof(a));
    }
    cpu_cpuid(r->c, 7, 0, a);
    cpu_cpuid(r->c, 7, 1, b);
    assert_int_not_equal(a[1], b[1]);
}

static void xcr0_is_judged(void **state)
{
    static const struct {
        uint64_t v;
        bool ok;
    } cases[] = {{1, true},  {3, true},  {7, true},    {0, false},
                 {2, false}, {5, false}, {0xF, false}, {0xE7, false}};
    struct rig *r = *state;

    r->c->r[RCX] = r->c->r[RDX] = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        r->c->r[RAX] = cases[i].v;
        assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xD1)).how, cases[i].ok ? DONE : FAULT);
    }
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xD0)).how, DONE); /* XGETBV */
    assert_int_equal(r->c->r[RAX], 7);
    r->c->r[RCX] = 1;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xD1)).vec, EXC_GP);
    r->c->cr4 &= ~CR4_OSXSAVE;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xD0)).vec, EXC_UD);
}

static void fs_and_gs_bases(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->r[RAX] = UINT64_C(0xFFFF888000000123);
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x48, 0x0F, 0xAE, 0xD8)).how,
                     DONE); /* WRGSBASE */
    c->kernel_gs_base = 0x4444;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xF8)).how, DONE);
    assert_int_equal(c->seg[GS].base, 0x4444);
    assert_int_equal(c->kernel_gs_base, UINT64_C(0xFFFF888000000123));
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x48, 0x0F, 0xAE, 0xCB)).how,
                     DONE); /* RDGSBASE RBX */
    assert_int_equal(c->r[RBX], 0x4444);
    c->r[RAX] = BIT(47);
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x48, 0x0F, 0xAE, 0xD0)).vec,
                     EXC_GP);                                                    /* WRFSBASE */
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x0F, 0xAE, 0xD0)).how, DONE); /* 32 bits fit */
    c->cr4 &= ~CR4_FSGSBASE;
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x48, 0x0F, 0xAE, 0xC0)).vec,
                     EXC_UD); /* RDFSBASE */
}

static void stac_opens_user_pages(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->cr4 |= CR4_SMAP;
    cpu_mode_changed(c);
    assert_int_equal(try_access(r, 0x8000, ACCESS_READ).error, 1);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xCB)).how, DONE);
    assert_int_equal(try_access(r, 0x8000, ACCESS_READ).how, DONE);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0xCA)).how, DONE);
    assert_int_equal(try_access(r, 0x8000, ACCESS_READ).error, 1);
}

static void randomness_and_identity(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    uint64_t first;

    flags_write(c, OSZAPC & ~FLAG_C);
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0x0F, 0xC7, 0xF0)).how, DONE); /* RDRAND */
    assert_int_equal(flags_read(c), FLAG_C);
    first = c->r[RAX];
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0x0F, 0xC7, 0xF8)).how, DONE); /* RDSEED */
    assert_int_not_equal(c->r[RAX], first);
    c->r[RBX] = UINT64_MAX;
    assert_int_equal(try_insn(r, INSN_BYTES(0x66, 0x0F, 0xC7, 0xF3)).how, DONE);
    assert_int_equal(c->r[RBX] >> 16, UINT64_MAX >> 16);
    c->tsc_aux = 0x77;
    assert_int_equal(try_insn(r, INSN_BYTES(0xF3, 0x0F, 0xC7, 0xF9)).how, DONE); /* RDPID RCX */
    assert_int_equal(c->r[RCX], 0x77);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(users_may_not),
        T(umip_and_tsd_close_what_users_have),
        T(cr_values_are_judged),
        T(long_mode_is_entered_by_paging),
        T(cr_intercepts_name_the_register),
        T(debug_registers),
        T(msr_bitmap),
        T(ioio_exits_tell_all),
        T(ioio_bitmap_counts_every_port_touched),
        T(the_tss_lets_users_at_ports),
        T(exits_by_row),
        T(cpuid_looks_at_ecx_where_it_must),
        T(xcr0_is_judged),
        T(fs_and_gs_bases),
        T(stac_opens_user_pages),
        T(randomness_and_identity),
    };

    return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
