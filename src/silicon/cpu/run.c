/* The run loop: find a block, run it, look at what waits between instructions.
 *
 * Counting. `budget` is what may still retire before run() must look; a block takes its n from it
 * at entry, and whoever leaves early gives back what did not retire. So a timer fires after exactly
 * the instruction it was set for, whatever the blocks: the last stretch runs in a short block.
 */
#include "silicon/cpu/block.h"

#include "silicon/cpu/probe.h"
#include "silicon/vmsa.h"

#define SLICE 100000

/* What run() finds after an unwind. */
enum unwound { RAN, FAULTED, EXITED };

static void count_retired(struct cpu *c)
{
    c->retired += (uint64_t)(c->slice - c->budget);
    c->slice = c->budget;
}

uint64_t cpu_retired_at(const struct cpu *c, const struct op *o)
{
    return c->retired + (uint64_t)(c->slice - c->budget) - (o ? o->left + 1u : 0);
}

uint64_t cpu_retired(const struct cpu *c)
{
    return cpu_retired_at(c, NULL);
}

/* RIP and the count become those before `o`. */
static void settle(struct cpu *c, const struct op *o)
{
    c->at = o;
    if (o) {
        c->budget += o->left + 1;
        c->rip = op_rip(c, o);
    }
    count_retired(c);
}

_Noreturn void cpu_fault(struct cpu *c, const struct op *o, int vec, uint32_t error)
{
    settle(c, o);
    c->fault_vector = vec;
    c->fault_error = error;
    longjmp(*c->unwind, FAULTED);
}

_Noreturn void cpu_page_fault(struct cpu *c, const struct op *o, uint64_t la, uint32_t error)
{
    c->fault_address = la;
    cpu_fault(c, o, EXC_PF, error);
}

static void note_exit(struct cpu *c, uint64_t code, uint64_t info1, uint64_t info2, uint64_t nrip)
{
    c->vmcb.exitcode = code;
    c->vmcb.exitinfo1 = info1;
    c->vmcb.exitinfo2 = info2;
    c->vmcb.nrip = nrip;
}

_Noreturn void cpu_exit(struct cpu *c, const struct op *o, uint64_t code, uint64_t info1,
                        uint64_t info2)
{
    if (c->es && o && vc_advances(code))
        cpu_exit_after(c, o, op_next_rip(c, o), code, info1);
    note_exit(c, code, info1, info2, o ? op_rip(c, o) + o->len : 0);
    if (c->es && !vc_automatic(code, info1) && !(c->sev_features & SEV_FEATURE_REFLECT_VC))
        cpu_fault(c, o, EXC_VC, (uint32_t)code);
    settle(c, o);
    longjmp(*c->unwind, EXITED);
}

/* A single step ends with the instruction, but the trap waits until the guest is back. */
_Noreturn void cpu_exit_after(struct cpu *c, const struct op *o, uint64_t next, uint64_t code,
                              uint64_t info1)
{
    settle(c, o);
    c->rip = next;
    c->retired++;
    c->shadow = false;
    if (c->rflags & RFLAGS_TF)
        debug_due(c, 0);
    if (c->stepping)
        c->rflags &= ~RFLAGS_RF;
    note_exit(c, code, info1, 0, next);
    longjmp(*c->unwind, EXITED);
}

void cpu_intercept(struct cpu *c, const struct op *o)
{
    unsigned code = insn_rows[o->form].exit;
    uint32_t on;

    if (!c->guest || code < 0x60 || (c->es && code == VMEXIT_IRET)) /* APM2 15.35.5 */
        return;
    on = code < 0x80 ? c->vmcb.intercept3 : code < 0x90 ? c->vmcb.intercept4 : 0;
    if (on & INTERCEPT_BIT(code))
        cpu_exit(c, o, code, 0, 0);
}

/* ---- between instructions ---- */
static bool interrupts_open(const struct cpu *c)
{
    return c->rflags & RFLAGS_IF && !c->shadow;
}

/* A virtual interrupt waits (APM2 15.21.4). */
static bool virtual_interrupt(const struct cpu *c)
{
    uint64_t v = c->vmcb.vintr;

    return v & V_IRQ && (v & V_IGN_TPR || (v >> 16 & 0xF) > (c->cr8 & 0xF));
}

/* Guests that restrict injection leave to the host what is the host's (APM2 15.36.16). */
static bool takes_intr(const struct cpu *c)
{
    return c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_INTR) ||
           c->sev_features & (SEV_FEATURE_RESTRICTED_INJECTION | SEV_FEATURE_ALTERNATE_INJECTION);
}

/* Physical interrupts are the host's while a guest runs: RFLAGS.IF of the guest does not count with
 * V_INTR_MASKING, and a host that does not intercept them has nobody to take them. */
static void look_at_interrupts(struct cpu *c)
{
    if (c->retired >= c->timer_at) {
        c->timer_at = UINT64_MAX;
        c->intr_pin = true;
    }
    if (c->intr_pin && takes_intr(c)) {
        c->intr_pin = false;
        cpu_exit(c, NULL, VMEXIT_INTR, 0, 0);
    }
    if (c->vmcb.vintr & V_IRQ && virtual_interrupt(c) && interrupts_open(c)) {
        if (c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_VINTR))
            cpu_exit(c, NULL, VMEXIT_VINTR, 0, 0);
        c->vmcb.vintr &= ~V_IRQ;
        event_deliver(c, (uint8_t)(c->vmcb.vintr >> 32), false, 0, false, true);
    }
}

/* Something must be checked after every instruction. */
static bool careful(const struct cpu *c)
{
    return c->rflags & (RFLAGS_TF | RFLAGS_RF) || c->shadow || c->debug_pending ||
           c->dr[7] & 0xFF || tracing(TRACE_INSN) || probe_watches(c);
}

static void trace_op(const struct cpu *c, const struct op *o)
{
    char text[96];

    disassemble(o, c->rip, text, sizeof(text));
    trace(TRACE_INSN, "core %u: %04x:%016llx  %s", c->id, c->seg[CS].selector,
          (unsigned long long)c->rip, text);
}

static void run_ops(struct cpu *c, const struct op *o)
{
#ifdef THREADED
    o->fn(c, o);
#else
    c->next = o;
    while (c->next)
        c->next->fn(c, c->next);
#endif
}

static void start(struct cpu *c, struct block *b)
{
    c->budget -= b->n;
    c->r[REG_BLOCK] = c->rip;
    run_ops(c, b->ops);
}

void cpu_trap_if_stepping(struct cpu *c)
{
    if (!(c->rflags & RFLAGS_TF))
        return;
    debug_due(c, 0);
    cpu_fault(c, NULL, EXC_DB, 0);
}

/* Code breakpoints are faults; RF waives them once. */
static void break_at_code(struct cpu *c)
{
    unsigned hit = debug_match(c, code_linear(c, c->rip), 1, ACCESS_FETCH);

    if (!hit || c->rflags & RFLAGS_RF)
        return;
    debug_due(c, hit);
    cpu_fault(c, NULL, EXC_DB, 0);
}

/* RFLAGS.TF as it was before the instruction makes a trap, but SYSCALL and SYSRET look for
 * themselves, and a gate has cleared TF on the way to its handler (APM2 13.1.4). */
static bool traps_when_stepped(const struct cpu *c, unsigned form)
{
    if (form == FORM_SYSCALL || form == FORM_SYSRET)
        return false;
    if (form == FORM_INT1 || form == FORM_INT3 || form == FORM_INT_Ib || form == FORM_INTO)
        return c->rflags & RFLAGS_TF;
    return true;
}

/* One instruction, with traps before and after it (APM2 13.1). */
static void run_careful(struct cpu *c)
{
    bool step = c->rflags & RFLAGS_TF, was_shadow = c->shadow;
    uint64_t before = c->rip;
    struct block *b;
    unsigned form;

    if (c->dr[7] & 0xFF)
        break_at_code(c);
    b = block_short(c, c->rip, 1);
    form = b->ops->form;
    if (tracing(TRACE_INSN))
        trace_op(c, b->ops);
    c->stepping = true;
    start(c, b);
    c->stepping = false;
    count_retired(c);
    /* A repeated string instruction that has not ended keeps RF, IRET loads it; the others clear
     * it. */
    if (c->rip != before && form != FORM_IRET)
        c->rflags &= ~RFLAGS_RF;
    if (was_shadow)
        c->shadow = false;
    /* A load of SS holds traps back until after the next instruction; its single step is lost. */
    if (c->shadow && form != FORM_STI)
        return;
    if (step && traps_when_stepped(c, form))
        debug_due(c, 0);
    if (c->debug_pending)
        cpu_fault(c, NULL, EXC_DB, 0);
}

static void run_free(struct cpu *c)
{
    struct block *b;

    if (UNLIKELY(c->link_from != NULL))
        block_link(c, c->rip);
    b = block_find(c, c->rip);
    if (UNLIKELY(b->n > c->budget))
        b = block_short(c, c->rip, c->probe ? 1 : (unsigned)c->budget);
    start(c, b);
}

/* The debug port stops a guest between two instructions. */
static void look_at_probe(struct cpu *c)
{
    if (!c->probe_stopped)
        probe_look(c);
    if (c->probe_stopped)
        cpu_exit(c, NULL, VMEXIT_INTR, 0, 0);
}

static void step(struct cpu *c)
{
    count_retired(c);
    if (UNLIKELY(c->probe != NULL))
        look_at_probe(c);
    look_at_interrupts(c);
    c->budget = c->slice = (int64_t)MIN((uint64_t)SLICE, c->timer_at - c->retired);
    if (UNLIKELY(careful(c)))
        run_careful(c);
    else
        run_free(c);
}

/* Events take time: with a handler that faults at once no timer would come. */
static void raise_event(struct cpu *c, unsigned vec, uint32_t error)
{
    event_raise(c, vec, event_has_error(vec), error);
    c->retired++;
}

void run(struct cpu *c)
{
    jmp_buf here;
    jmp_buf *volatile outer = c->unwind;

    c->unwind = &here;
    c->link_from = NULL;
    c->probe_stopped = false;
    fpenv_enter(c);
    switch (setjmp(here)) {
    case FAULTED:
        c->link_from = NULL;
        c->stepping = false;
        c->shadow = false;
        c->debug_pending = false; /* what faults has not happened */
        raise_event(c, (unsigned)c->fault_vector, c->fault_error);
        break;
    case EXITED:
        c->stepping = false;
        goto out;
    default:
        if (c->debug_pending) { /* of an instruction that left by a trap-like exit */
            c->debug_pending = false;
            raise_event(c, EXC_DB, 0);
        }
        break;
    }
    event_inject(c); /* if that still waits */
    for (;;)
        step(c);
out:
    fpenv_leave(c);
    c->unwind = outer;
}
