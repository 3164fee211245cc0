/* Exceptions and interrupts: which one wins, and how it reaches its handler (APM2 chapter 8). */
#include "silicon/cpu/seg.h"

#include "silicon/cpu/exec.h"
#include "silicon/cpu/mmu.h"

#define WITH_ERROR                                                                                 \
    (BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) |           \
     BIT(EXC_AC) | BIT(EXC_VC))
#define CONTRIBUTORY                                                                               \
    (BIT(EXC_DE) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_VC))
/* RF is clear in the image that these push: they report after the instruction, or are no fault. */
#define NO_RESUME                                                                                  \
    (BIT(EXC_DB) | BIT(EXC_NMI) | BIT(EXC_BP) | BIT(EXC_OF) | BIT(EXC_DF) | BIT(EXC_MC))

#define DR7_GD BIT(13)

bool event_has_error(unsigned vec)
{
    return vec < 32 && WITH_ERROR >> vec & 1;
}

/* What is on its way. */
struct event {
    unsigned vec;
    bool has_error;
    uint32_t error;
    bool software; /* the gate's DPL counts */
    uint64_t type; /* EVENT_TYPE_ for EXITINTINFO */
    uint64_t ret;  /* the RIP to come back to */
    const struct op *o;
};

/* ---- stacks ---- */
struct stack current_stack(const struct cpu *c)
{
    return (struct stack){
        .ss = c->seg[SS], .sp = c->r[RSP], .cpl = c->cpl, .flat = long_mode(c) && long64(c)};
}

static uint64_t stack_mask(const struct stack *s)
{
    return s->flat ? UINT64_MAX : s->ss.attrib & SEG_DB ? UINT32_MAX : 0xFFFF;
}

static uint64_t stack_linear(const struct stack *s, uint64_t off)
{
    return s->flat ? off : (uint32_t)(s->ss.base + off);
}

static void stack_check(struct cpu *c, const struct op *o, const struct stack *s, uint64_t off,
                        unsigned size)
{
    bool fits =
        s->flat ? canonical(off) && canonical(off + size - 1) : seg_within(&s->ss, off, size);

    if (!fits)
        cpu_fault(c, o, EXC_SS, s->error ? s->error | error_ext(c) : error_ext(c));
}

void push_frame(struct cpu *c, const struct op *o, struct stack *s, unsigned slot,
                const uint64_t *values, unsigned n)
{
    uint64_t mask = stack_mask(s), low = (s->sp - n * slot) & mask;
    uint8_t image[16 * 8];

    for (unsigned i = 0; i < n; i++) {
        memcpy(image + (n - 1 - i) * slot, &values[i], slot);
        stack_check(c, o, s, (s->sp - (i + 1) * slot) & mask, slot);
    }
    if (low + n * slot - 1 <= mask || s->flat)
        mmu_store_as(c, o, s->cpl, stack_linear(s, low), image, n * slot);
    else /* a 16-bit stack that wraps at 64 KiB */
        for (unsigned i = 0; i < n; i++)
            mmu_store_as(c, o, s->cpl, stack_linear(s, (low + i * slot) & mask), image + i * slot,
                         slot);
    s->sp = (s->sp & ~mask) | low;
}

void commit_stack(struct cpu *c, const struct stack *s)
{
    c->seg[SS] = s->ss;
    c->r[RSP] = s->sp;
}

static _Noreturn void bad_tss(struct cpu *c, const struct op *o)
{
    fault_selector(c, o, EXC_TS, c->tr.selector);
}

static uint64_t tss_read(struct cpu *c, const struct op *o, uint32_t at, unsigned size)
{
    uint64_t v = 0;

    if (at + size - 1 > c->tr.limit)
        bad_tss(c, o);
    mmu_load_sys(c, o, c->tr.base + at, &v, size);
    return v;
}

/* SS of an inner level: writable data of exactly that privilege (APM2 8.7.4). */
static struct seg inner_ss(struct cpu *c, const struct op *o, uint16_t selector, unsigned cpl)
{
    struct descriptor d;
    uint16_t attrib;

    if (SEL_NULL(selector))
        fault_selector(c, o, EXC_TS, 0);
    desc_read(c, o, selector, EXC_TS, &d);
    attrib = desc_attrib(&d);
    if (SEL_RPL(selector) != cpl || SEG_DPL(attrib) != cpl || !is_writable_data(attrib))
        fault_selector(c, o, EXC_TS, selector);
    if (!(attrib & SEG_P))
        fault_selector(c, o, EXC_SS, selector);
    desc_mark_accessed(c, o, &d);
    return desc_segment(&d);
}

/* In long mode SS becomes null with the new CPL as its RPL (APM2 8.9.3). */
static struct seg null_ss(unsigned cpl)
{
    return (struct seg){.selector = (uint16_t)cpl, .attrib = (uint16_t)(cpl << 5)};
}

void inner_stack(struct cpu *c, const struct op *o, unsigned cpl, struct stack *s)
{
    uint16_t selector;

    *s = (struct stack){.cpl = cpl};
    if (long_mode(c)) {
        s->flat = true;
        s->ss = null_ss(cpl);
        s->sp = tss_read(c, o, 4 + 8 * cpl, 8);
        return;
    }
    if (SEG_TYPE(c->tr.attrib) & 8) {
        s->sp = tss_read(c, o, 4 + 8 * cpl, 4);
        selector = (uint16_t)tss_read(c, o, 8 + 8 * cpl, 2);
    } else {
        s->sp = tss_read(c, o, 2 + 4 * cpl, 2);
        selector = (uint16_t)tss_read(c, o, 4 + 4 * cpl, 2);
    }
    s->ss = inner_ss(c, o, selector, cpl);
    s->error = selector & 0xFFFC;
}

void check_target(struct cpu *c, const struct op *o, const struct seg *cs, uint64_t rip)
{
    bool ok = long_mode(c) && cs->attrib & SEG_L ? canonical(rip) : rip <= cs->limit;

    if (!ok)
        cpu_fault(c, o, EXC_GP, error_ext(c));
}

/* ---- the flags ---- */
static uint64_t pushed_flags(const struct cpu *c, const struct event *e)
{
    bool fault = e->type == EVENT_TYPE_EXCEPT && !(NO_RESUME >> e->vec & 1) && !e->software;

    return rflags_get(c) | (fault ? RFLAGS_RF : 0);
}

static void enter_handler(struct cpu *c, const struct event *e, const struct seg *cs, uint64_t rip,
                          bool interrupt_gate)
{
    uint64_t clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;

    if (interrupt_gate)
        clear |= RFLAGS_IF;
    c->rflags &= ~clear;
    c->seg[CS] = *cs;
    c->cpl = SEL_RPL(cs->selector);
    c->rip = rip;
    cpu_mode_changed(c);
}

/* ---- real mode (APM2 8.6) ---- */
static void deliver_real(struct cpu *c, const struct event *e)
{
    uint64_t frame[] = {rflags_get(c), c->seg[CS].selector, e->ret};
    struct stack s = current_stack(c);
    uint8_t entry[4];

    if (e->vec * 4 + 3 > c->idtr.limit)
        cpu_fault(c, e->o, EXC_GP, 0);
    mmu_load_sys(c, e->o, c->idtr.base + e->vec * 4, entry, 4);
    push_frame(c, e->o, &s, 2, frame, 3);
    commit_stack(c, &s);
    c->rflags &= ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
    seg_load_real(c, CS, load16(entry + 2));
    c->rip = load16(entry);
    cpu_mode_changed(c);
}

/* ---- gates ---- */
struct gate {
    unsigned type, ist;
    uint16_t selector;
    uint64_t offset;
};

static _Noreturn void idt_fault(struct cpu *c, const struct event *e, int vec)
{
    cpu_fault(c, e->o, vec, e->vec * 8 + 2 + error_ext(c));
}

static bool is_gate(const struct cpu *c, unsigned type)
{
    if (type == SYS_INTERRUPT || type == SYS_TRAP)
        return true;
    return !long_mode(c) &&
           (type == SYS_INTERRUPT16 || type == SYS_TRAP16 || type == SYS_TASK_GATE);
}

/* APM2 8.7.1, 8.9.1. */
static struct gate read_gate(struct cpu *c, const struct event *e)
{
    unsigned size = long_mode(c) ? 16 : 8;
    uint64_t raw[2] = {0};
    struct gate g;

    if (e->vec * size + size - 1 > c->idtr.limit)
        idt_fault(c, e, EXC_GP);
    mmu_load_sys(c, e->o, c->idtr.base + e->vec * size, raw, size);
    g.type = raw[0] >> 40 & 0x1F; /* with S, which must be clear */
    g.ist = long_mode(c) ? raw[0] >> 32 & 7 : 0;
    g.selector = (uint16_t)(raw[0] >> 16);
    g.offset = (raw[0] & 0xFFFF) | (raw[0] >> 32 & 0xFFFF0000) | raw[1] << 32;
    if (!is_gate(c, g.type) || (e->software && (raw[0] >> 45 & 3) < c->cpl))
        idt_fault(c, e, EXC_GP);
    if (!(raw[0] >> 47 & 1))
        idt_fault(c, e, EXC_NP);
    if (!(g.type & 8))
        g.offset &= 0xFFFF;
    return g;
}

/* The handler's code segment: at CPL or further in; its selector gets the new CPL. */
static struct seg handler_cs(struct cpu *c, const struct event *e, uint16_t selector)
{
    struct descriptor d;
    struct seg cs;
    unsigned cpl;

    if (SEL_NULL(selector))
        fault_selector(c, e->o, EXC_GP, 0);
    desc_read(c, e->o, selector, EXC_GP, &d);
    cs = desc_segment(&d);
    if (!is_code(cs.attrib) || SEG_DPL(cs.attrib) > c->cpl)
        fault_selector(c, e->o, EXC_GP, selector);
    if (long_mode(c) && (!(cs.attrib & SEG_L) || cs.attrib & SEG_DB))
        fault_selector(c, e->o, EXC_GP, selector);
    if (!(cs.attrib & SEG_P))
        fault_selector(c, e->o, EXC_NP, selector);
    cpl = is_conforming(cs.attrib) ? c->cpl : SEG_DPL(cs.attrib);
    if (c->rflags & RFLAGS_VM && cpl != 0)
        fault_selector(c, e->o, EXC_GP, selector);
    desc_mark_accessed(c, e->o, &d);
    cs.attrib |= TYPE_ACCESSED;
    cs.selector = (uint16_t)((selector & 0xFFFC) | cpl);
    return cs;
}

/* ---- long mode (APM2 8.9) ---- */
static void deliver_long(struct cpu *c, const struct event *e)
{
    struct gate g = read_gate(c, e);
    struct seg cs = handler_cs(c, e, g.selector);
    unsigned cpl = SEL_RPL(cs.selector), n = 5;
    uint64_t frame[6] = {c->seg[SS].selector, c->r[RSP], pushed_flags(c, e),
                         c->seg[CS].selector, e->ret,    e->error};
    struct stack s = {.ss = c->seg[SS], .sp = c->r[RSP], .cpl = cpl, .flat = true};

    if (cpl != c->cpl)
        inner_stack(c, e->o, cpl, &s);
    if (g.ist)
        s.sp = tss_read(c, e->o, 0x1C + 8 * g.ist, 8);
    check_target(c, e->o, &cs, g.offset);
    s.sp &= ~UINT64_C(0xF);
    if (e->has_error)
        n++;
    push_frame(c, e->o, &s, 8, frame, n);
    commit_stack(c, &s);
    enter_handler(c, e, &cs, g.offset, g.type == SYS_INTERRUPT);
}

/* ---- legacy protected mode, and virtual-8086 mode left by an event (APM2 8.7, 8.8) ---- */
static void deliver_legacy(struct cpu *c, const struct event *e)
{
    bool from_v86 = c->rflags & RFLAGS_VM;
    struct gate g = read_gate(c, e);
    struct stack s = current_stack(c);
    uint64_t frame[10];
    unsigned n = 0, cpl;
    struct seg cs;

    if (g.type == SYS_TASK_GATE) {
        task_switch(c, e->o, g.selector, TASK_CALL, e->ret, e->has_error, e->error);
        return;
    }
    cs = handler_cs(c, e, g.selector);
    cpl = SEL_RPL(cs.selector);
    if (cpl != c->cpl) {
        inner_stack(c, e->o, cpl, &s);
        if (from_v86) {
            frame[n++] = c->seg[GS].selector;
            frame[n++] = c->seg[FS].selector;
            frame[n++] = c->seg[DS].selector;
            frame[n++] = c->seg[ES].selector;
        }
        frame[n++] = c->seg[SS].selector;
        frame[n++] = c->r[RSP];
    }
    frame[n++] = pushed_flags(c, e);
    frame[n++] = c->seg[CS].selector;
    frame[n++] = e->ret;
    if (e->has_error)
        frame[n++] = e->error;
    check_target(c, e->o, &cs, g.offset);
    push_frame(c, e->o, &s, g.type & 8 ? 4 : 2, frame, n);
    commit_stack(c, &s);
    if (from_v86)
        c->seg[GS] = c->seg[FS] = c->seg[DS] = c->seg[ES] = (struct seg){0};
    enter_handler(c, e, &cs, g.offset, (g.type & 7) == 6);
}

/* ---- delivery ---- */
static void deliver(struct cpu *c, const struct event *e)
{
    c->inject = (int)e->vec;
    c->ext = !e->software;
    c->exitintinfo = EVENT_VALID | e->type | e->vec;
    if (e->has_error)
        c->exitintinfo |= EVENT_ERROR_VALID | (uint64_t)e->error << 32;
    if (tracing(TRACE_FAULT))
        trace(TRACE_FAULT, "core %u: vector %u error %#x at %#x:%#llx", c->id, e->vec, e->error,
              c->seg[CS].selector, (unsigned long long)e->ret);
    if (!(c->cr0 & CR0_PE))
        deliver_real(c, e);
    else if (long_mode(c))
        deliver_long(c, e);
    else
        deliver_legacy(c, e);
    c->inject = -1;
    c->exitintinfo = 0;
    c->shadow = false;
}

static uint64_t type_of(unsigned vec, bool software, bool external)
{
    if (external)
        return vec == EXC_NMI ? EVENT_TYPE_NMI : EVENT_TYPE_INTR;
    return software ? EVENT_TYPE_SWINT : EVENT_TYPE_EXCEPT;
}

void event_deliver(struct cpu *c, unsigned vec, bool has_error, uint32_t error, bool software,
                   bool external)
{
    struct event e = {.vec = vec,
                      .has_error = has_error,
                      .error = has_error ? error : 0,
                      .software = software,
                      .type = type_of(vec, software, external),
                      .ret = c->rip};

    deliver(c, &e);
}

static void intercept_exception(struct cpu *c, const struct op *o, unsigned vec, bool has_error,
                                uint32_t error)
{
    if (!c->guest || vec > 31 || !(c->vmcb.intercept_exception >> vec & 1))
        return;
    if (c->es && vec == EXC_VC) /* it stands for an exit already (APM2 15.35.5) */
        return;
    cpu_exit(c, o, VMEXIT_EXCEPTION + vec, has_error ? error : 0,
             vec == EXC_PF ? c->fault_address : 0);
}

/* INT3 and INTO are exceptions to a hypervisor, INT n (CD) is not; INT1 (F1) passes every gate. */
void event_int(struct cpu *c, const struct op *o, unsigned vec)
{
    uint8_t opcode = insn_rows[o->form].byte;
    struct event e = {.vec = vec,
                      .software = opcode != 0xF1,
                      .type = opcode == 0xCD ? EVENT_TYPE_SWINT : EVENT_TYPE_EXCEPT,
                      .ret = op_next_rip(c, o),
                      .o = o};

    if (opcode == 0xCD && c->rflags & RFLAGS_VM && (c->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
        cpu_fault(c, o, EXC_GP, 0);
    if (opcode != 0xCD)
        intercept_exception(c, o, vec, false, 0);
    deliver(c, &e);
}

/* ---- two at once (APM2 8.2.9) ---- */
static bool is_contributory(unsigned vec)
{
    return vec < 32 && CONTRIBUTORY >> vec & 1;
}

static bool doubles(unsigned first, unsigned second)
{
    if (first == EXC_PF)
        return second == EXC_PF || is_contributory(second);
    return is_contributory(first) && is_contributory(second);
}

void event_raise(struct cpu *c, unsigned vec, bool has_error, uint32_t error)
{
    bool during =
        c->exitintinfo & EVENT_VALID && (c->exitintinfo & EVENT_TYPE_MASK) == EVENT_TYPE_EXCEPT;
    unsigned first = EVENT_VECTOR(c->exitintinfo);

    intercept_exception(c, NULL, vec, has_error, error);
    if (during && first == EXC_DF) {
        c->exitintinfo = 0;
        cpu_exit(c, NULL, VMEXIT_SHUTDOWN, 0, 0);
    }
    if (during && doubles(first, vec)) {
        vec = EXC_DF;
        has_error = true;
        error = 0;
        if (c->es) /* an intercept is #VC there, and that would be the third */
            c->exitintinfo = EVENT_VALID | EVENT_TYPE_EXCEPT | EXC_DF;
        intercept_exception(c, NULL, vec, has_error, error);
    }
    if (vec == EXC_PF)
        c->cr2 = c->fault_address;
    if (vec == EXC_DB)
        c->dr[7] &= ~DR7_GD;
    event_deliver(c, vec, has_error, error, false, false);
}
