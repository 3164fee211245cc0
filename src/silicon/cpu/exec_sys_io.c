/* Ports: IN, OUT, INS, OUTS. Behind the pins of this package no port answers: what a hypervisor
 * does not intercept reads as ones and is lost when written. */
#include "silicon/cpu/exec_sys.h"

/* Who may touch a port: CPL <= IOPL, else the TSS's bitmap (APM2 12.2.4). */
static void check_permission(struct cpu *c, const struct op *o, uint16_t port, unsigned size)
{
    unsigned iopl = c->rflags >> 12 & 3;
    uint16_t base, bits;

    if (!(c->cr0 & CR0_PE) || (protected_mode(c) && c->cpl <= iopl))
        return;
    if (!(SEG_TYPE(c->tr.attrib) & 8) || c->tr.limit < 0x67)
        cpu_fault(c, o, EXC_GP, 0);
    mmu_load_sys(c, o, c->tr.base + 0x66, &base, 2);
    if (base + port / 8u + 1 > c->tr.limit)
        cpu_fault(c, o, EXC_GP, 0);
    mmu_load_sys(c, o, c->tr.base + base + port / 8u, &bits, 2);
    if (bits >> (port & 7) & ((1u << size) - 1))
        cpu_fault(c, o, EXC_GP, 0);
}

/* A bit per port, three over the end for accesses that reach beyond (APM2 15.10.1). */
static bool is_intercepted(struct cpu *c, uint16_t port, unsigned size)
{
    uint64_t at = (c->vmcb.iopm_base_pa & ~UINT64_C(0xFFF)) + port / 8u;
    uint8_t bits[2];

    if (!c->guest || !(c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_IOIO)))
        return false;
    if (!dram_read(c->dram, at, DRAM_PLAIN, bits, 2))
        return true;
    return load16(bits) >> (port & 7) & ((1u << size) - 1);
}

/* EXITINFO1 (APM2 15.10.2); `more`: IN, string and REP bits. */
static void intercept_io(struct cpu *c, const struct op *o, uint16_t port, unsigned size,
                         uint64_t more, unsigned seg)
{
    uint64_t info = more | (uint64_t)size << 4 | (uint64_t)o->asize << 6 | (uint64_t)port << 16;

    if (more & IOIO_STRING)
        info |= (uint64_t)(seg == FLAT ? DS : seg) << 10;
    if (c->es || is_intercepted(c, port, size)) /* always (APM2 15.36.12), or when it says so */
        cpu_exit(c, o, VMEXIT_IOIO, info, op_next_rip(c, o));
}

static void watch_port(struct cpu *c, uint16_t port, unsigned size)
{
    unsigned hits = UNLIKELY(c->dr[7] & 0xFF) ? debug_match_io(c, port, size) : 0;

    if (hits)
        debug_due(c, hits);
}

/* ---- IN and OUT ---- */
static void do_in(struct cpu *c, const struct op *o)
{
    unsigned size = MIN(o->size, 4u);
    bool immediate = insn_rows[o->form].byte < 0xEC;
    uint16_t port = immediate ? (uint8_t)o->imm : (uint16_t)c->r[RDX];

    check_permission(c, o, port, size);
    intercept_io(c, o, port, size, IOIO_IN, 0);
    watch_port(c, port, size);
    if (size == 1)
        reg_set8(c, 0, 0xFF);
    else
        reg_set(c, RAX, size, UINT64_MAX);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(in, do_in);

static void do_out(struct cpu *c, const struct op *o)
{
    unsigned size = MIN(o->size, 4u);
    bool immediate = insn_rows[o->form].byte < 0xEC;
    uint16_t port = immediate ? (uint8_t)o->imm : (uint16_t)c->r[RDX];

    check_permission(c, o, port, size);
    intercept_io(c, o, port, size, 0, 0);
    watch_port(c, port, size);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(out, do_out);

/* ---- INS and OUTS, one element at a time ---- */
static bool repeats(const struct op *o)
{
    return o->flags & (OP_REP | OP_REPNE);
}

static void advance(struct cpu *c, const struct op *o, unsigned reg, unsigned size)
{
    int64_t by = c->rflags & RFLAGS_DF ? -(int64_t)size : (int64_t)size;

    reg_set(c, reg, o->asize, c->r[reg] + (uint64_t)by);
    if (repeats(o))
        reg_set(c, RCX, o->asize, c->r[RCX] - 1);
}

/* Not at the end yet: come back to the same instruction. */
static bool goes_on(const struct cpu *c, const struct op *o)
{
    return repeats(o) && cut(c->r[RCX], o->asize) != 0;
}

static void do_ins(struct cpu *c, const struct op *o)
{
    unsigned size = MIN(o->size, 4u), seg = long64(c) ? FLAT : ES;
    uint16_t port = (uint16_t)c->r[RDX];
    uint64_t la, all = UINT64_MAX;

    if (repeats(o) && cut(c->r[RCX], o->asize) == 0)
        LEAVE_AFTER(c, o);
    check_permission(c, o, port, size);
    intercept_io(c, o, port, size, IOIO_IN | IOIO_STRING | (repeats(o) ? IOIO_REP : 0), ES);
    la = linear(c, o, seg, c->r[RDI], size, ACCESS_WRITE);
    mem_store(c, o, la, &all, size);
    watch_port(c, port, size);
    advance(c, o, RDI, size);
    if (goes_on(c, o)) {
        c->rip = op_rip(c, o);
        LEAVE(c);
    }
    LEAVE_AFTER(c, o);
}
EXEC_ANY(ins, do_ins);

static void do_outs(struct cpu *c, const struct op *o)
{
    unsigned size = MIN(o->size, 4u);
    uint16_t port = (uint16_t)c->r[RDX];
    uint8_t lost[8];

    if (repeats(o) && cut(c->r[RCX], o->asize) == 0)
        LEAVE_AFTER(c, o);
    check_permission(c, o, port, size);
    intercept_io(c, o, port, size, IOIO_STRING | (repeats(o) ? IOIO_REP : 0), o->seg);
    mem_load(c, o, linear(c, o, o->seg, c->r[RSI], size, ACCESS_READ), lost, size);
    watch_port(c, port, size);
    advance(c, o, RSI, size);
    if (goes_on(c, o)) {
        c->rip = op_rip(c, o);
        LEAVE(c);
    }
    LEAVE_AFTER(c, o);
}
EXEC_ANY(outs, do_outs);
