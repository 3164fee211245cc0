/* Control and debug registers (APM2 3.1, 13.1). */
#include "silicon/cpu/exec_sys.h"
#include "silicon/cpu/svm.h"

#define CR0_LEGAL                                                                                  \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     CR0_PG)
#define CR0_FLUSHES (CR0_PG | CR0_WP | CR0_PE)
#define CR4_FLUSHES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define PCID_MASK   UINT64_C(0xFFF)
#define NO_FLUSH    BIT(63)

#define DR6_FIXED UINT64_C(0xFFFF0FF0)
#define DR6_LEGAL UINT64_C(0x0000E00F)
#define DR6_BD    BIT(13)
#define DR7_FIXED UINT64_C(0x400)
#define DR7_LEGAL UINT64_C(0xFFFF23FF)
#define DR7_GD    BIT(13)

/* ---- which values are legal (APM2 3.1.1 .. 3.1.3) ---- */
static _Noreturn void illegal(struct cpu *c, const struct op *o)
{
    cpu_fault(c, o, EXC_GP, 0);
}

static void check_cr0(struct cpu *c, const struct op *o, uint64_t v)
{
    bool pg = v & CR0_PG, enables = pg && !(c->cr0 & CR0_PG);

    if (v >> 32 || (v & CR0_NW && !(v & CR0_CD)) || (pg && !(v & CR0_PE)))
        illegal(c, o);
    if (!pg && (long64(c) || c->cr4 & CR4_PCIDE))
        illegal(c, o);
    if (enables && c->efer & EFER_LME && (!(c->cr4 & CR4_PAE) || c->seg[CS].attrib & SEG_L))
        illegal(c, o);
    if (enables && !(c->efer & EFER_LME) && c->cr4 & CR4_PAE && !c->nested_cr3 &&
        !pdptes_legal(c, c->cr3))
        illegal(c, o);
}

static void set_cr0(struct cpu *c, uint64_t v)
{
    uint64_t changed = (v ^ c->cr0) & CR0_LEGAL;

    c->cr0 = (v & CR0_LEGAL) | CR0_ET;
    if (c->cr0 & CR0_PG && c->efer & EFER_LME)
        c->efer |= EFER_LMA;
    else
        c->efer &= ~EFER_LMA;
    if (changed & CR0_PE && !(v & CR0_PE))
        c->cpl = 0;
    if (changed & CR0_FLUSHES)
        mmu_flush_asid(c, true);
    cpu_mode_changed(c);
}

uint64_t cr4_legal(const struct cpu *c)
{
    static const struct {
        uint64_t bits;
        enum feature needs;
    } by_feature[] = {
        {CR4_TSD, FEAT_TSC},           {CR4_DE, FEAT_DE},
        {CR4_PSE, FEAT_PSE},           {CR4_PAE, FEAT_PAE},
        {CR4_MCE, FEAT_MCE},           {CR4_PGE, FEAT_PGE},
        {CR4_PCE, FEAT_BASE},          {CR4_OSFXSR, FEAT_FXSR},
        {CR4_OSXMMEXCPT, FEAT_SSE},    {CR4_UMIP, FEAT_UMIP},
        {CR4_FSGSBASE, FEAT_FSGSBASE}, {CR4_PCIDE, FEAT_PCID},
        {CR4_OSXSAVE, FEAT_XSAVE},     {CR4_SMEP, FEAT_SMEP},
        {CR4_SMAP, FEAT_SMAP},
    };
    uint64_t legal = 0;

    for (unsigned i = 0; i < COUNT(by_feature); i++)
        if (has(c, by_feature[i].needs))
            legal |= by_feature[i].bits;
    return legal;
}

static void check_cr4(struct cpu *c, const struct op *o, uint64_t v)
{
    if (v & ~cr4_legal(c))
        illegal(c, o);
    if (long_mode(c) && !(v & CR4_PAE))
        illegal(c, o);
    if (v & CR4_PCIDE && !(c->cr4 & CR4_PCIDE) && (!long_mode(c) || c->cr3 & PCID_MASK))
        illegal(c, o);
}

static void set_cr4(struct cpu *c, uint64_t v)
{
    uint64_t changed = v ^ c->cr4;

    c->cr4 = v;
    if (changed & CR4_FLUSHES)
        mmu_flush_asid(c, true);
    cpu_mode_changed(c);
}

static void check_cr3(struct cpu *c, const struct op *o, uint64_t v)
{
    uint64_t zero = cr3_reserved(c);

    if (c->cr4 & CR4_PCIDE)
        zero &= ~NO_FLUSH;
    if (v & zero)
        illegal(c, o);
    if (c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !long_mode(c) && !c->nested_cr3 &&
        !pdptes_legal(c, v))
        illegal(c, o);
}

/* ---- intercepts (APM2 15.8.1) ---- */
/* `gpr`: the register of a MOV, reported as a decode assist; -1 for the others. */
static void intercept_cr(struct cpu *c, const struct op *o, unsigned n, bool write, int gpr)
{
    if (c->guest && c->vmcb.intercept_cr >> (n + 16u * write) & 1)
        cpu_exit(c, o, (write ? VMEXIT_CR_WRITE : VMEXIT_CR_READ) + n,
                 gpr < 0 ? 0 : BIT(63) | (unsigned)gpr, 0);
}

/* After a write, for guests with encrypted state alone (APM2 15.35.10). */
static void trap_cr(struct cpu *c, const struct op *o, unsigned n, uint64_t next, uint64_t v)
{
    if (c->es && c->vmcb.intercept4 >> (16 + n) & 1)
        cpu_exit_after(c, o, next, VMEXIT_CR_TRAP + n, v);
}

/* A write that changes more of CR0 than TS and MP; LMSW may also leave for it. */
static void intercept_cr0_selective(struct cpu *c, const struct op *o, uint64_t v, int gpr)
{
    if (c->guest && c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_CR0_SEL) &&
        (v ^ c->cr0) & ~(CR0_TS | CR0_MP | CR0_ET))
        cpu_exit(c, o, VMEXIT_CR0_SEL, gpr < 0 ? 0 : BIT(63) | (unsigned)gpr, 0);
}

/* ---- MOV CRn ---- */
/* LOCK MOV CR0 is MOV CR8 outside 64-bit mode (CPUID AltMovCr8). */
static unsigned cr_number(struct cpu *c, const struct op *o, unsigned reg)
{
    if (o->flags & OP_LOCK)
        reg += 8;
    if (!(reg == 0 || reg == 2 || reg == 3 || reg == 4 || reg == 8))
        cpu_fault(c, o, EXC_UD, 0);
    need_cpl0(c, o);
    return reg;
}

static void do_mov_from_cr(struct cpu *c, const struct op *o)
{
    unsigned n = cr_number(c, o, o->s);
    uint64_t v;

    intercept_cr(c, o, n, false, o->d);
    v = n == 0 ? c->cr0 : n == 2 ? c->cr2 : n == 3 ? c->cr3 : n == 4 ? c->cr4 : c->cr8;
    c->r[o->d] = long64(c) ? v : (uint32_t)v;
    NEXT(c, o);
}
EXEC_ANY(mov_from_cr, do_mov_from_cr);

static void write_cr(struct cpu *c, const struct op *o, unsigned n, uint64_t v)
{
    if (n == 0)
        check_cr0(c, o, v);
    else if (n == 3)
        check_cr3(c, o, v);
    else if (n == 4)
        check_cr4(c, o, v);
    else if (n == 8 && v > 0xF)
        illegal(c, o);
    intercept_cr(c, o, n, true, o->s);
    if (n == 0)
        intercept_cr0_selective(c, o, v, o->s);
    if (n == 0)
        set_cr0(c, v);
    else if (n == 2)
        c->cr2 = v;
    else if (n == 3)
        mmu_set_cr3(c, v);
    else if (n == 4)
        set_cr4(c, v);
    else
        c->cr8 = v;
}

/* EIP is cut by the mode the instruction was decoded in: leave before that changes. */
static void do_mov_to_cr(struct cpu *c, const struct op *o)
{
    unsigned n = cr_number(c, o, o->d);
    uint64_t next = op_next_rip(c, o), v = long64(c) ? c->r[o->s] : (uint32_t)c->r[o->s];

    write_cr(c, o, n, v);
    trap_cr(c, o, n, next, v);
    c->rip = next;
    LEAVE(c);
}
EXEC_ANY(mov_to_cr, do_mov_to_cr);

static void do_clts(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    intercept_cr(c, o, 0, true, -1);
    c->cr0 &= ~CR0_TS;
    cpu_mode_changed(c);
    trap_cr(c, o, 0, op_next_rip(c, o), c->cr0);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(clts, do_clts);

/* PE can be set, not cleared. */
static void do_lmsw(struct cpu *c, const struct op *o)
{
    uint64_t v, next = op_next_rip(c, o);

    need_cpl0(c, o);
    v = get_operand(c, o, o->d, 2);
    v = (c->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (v & 0xF);
    intercept_cr(c, o, 0, true, -1);
    intercept_cr0_selective(c, o, v, -1);
    set_cr0(c, v);
    trap_cr(c, o, 0, next, c->cr0);
    c->rip = next;
    LEAVE(c);
}
EXEC_ANY(lmsw, do_lmsw);

static void do_smsw(struct cpu *c, const struct op *o)
{
    need_no_umip(c, o);
    intercept_cr(c, o, 0, false, -1);
    if (o->flags & OP_MEM)
        mem_store16(c, o, ea(c, o, 2, ACCESS_WRITE), (uint16_t)c->cr0);
    else
        reg_set(c, o->d, o->size, c->cr0);
    NEXT(c, o);
}
EXEC_ANY(smsw, do_smsw);

/* ---- MOV DRn ---- */
/* DR4 and DR5 are DR6 and DR7, unless CR4.DE. Access under DR7.GD is itself a breakpoint. */
static unsigned dr_number(struct cpu *c, const struct op *o, unsigned reg)
{
    if (reg > 7 || ((reg == 4 || reg == 5) && c->cr4 & CR4_DE))
        cpu_fault(c, o, EXC_UD, 0);
    need_cpl0(c, o);
    return reg == 4 || reg == 5 ? reg + 2 : reg;
}

static void intercept_dr(struct cpu *c, const struct op *o, unsigned n, bool write, unsigned gpr)
{
    if (c->guest && c->vmcb.intercept_dr >> (n + 16u * write) & 1)
        cpu_exit(c, o, (write ? VMEXIT_DR_WRITE : VMEXIT_DR_READ) + n, gpr, 0);
    if (c->dr[7] & DR7_GD) {
        c->dr[6] |= DR6_BD;
        cpu_fault(c, o, EXC_DB, 0);
    }
}

static void do_mov_from_dr(struct cpu *c, const struct op *o)
{
    unsigned n = dr_number(c, o, o->s);

    intercept_dr(c, o, n, false, o->d);
    c->r[o->d] = long64(c) ? c->dr[n] : (uint32_t)c->dr[n];
    NEXT(c, o);
}
EXEC_ANY(mov_from_dr, do_mov_from_dr);

/* Pages with a data breakpoint may not be in the TLB: forget all translations. */
static void do_mov_to_dr(struct cpu *c, const struct op *o)
{
    unsigned n = dr_number(c, o, o->d);
    uint64_t v = long64(c) ? c->r[o->s] : (uint32_t)c->r[o->s];

    if (n >= 6 && v >> 32)
        illegal(c, o);
    intercept_dr(c, o, n, true, o->s);
    if (n == 6)
        v = (v & DR6_LEGAL) | DR6_FIXED;
    if (n == 7)
        v = (v & DR7_LEGAL) | DR7_FIXED;
    c->dr[n] = v;
    if (n != 6)
        mmu_flush_asid(c, true);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(mov_to_dr, do_mov_to_dr);
