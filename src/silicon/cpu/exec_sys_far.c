/* Far transfers: CALL, JMP, RET and IRET through descriptors and gates, SYSCALL and its kin (APM2
 * 4.9 .. 4.11, 6.1, 8.7 .. 8.9). */
#include "silicon/cpu/exec_sys.h"

#define CS64 0xA9B /* code, present, L, G; DPL by or */
#define CS32 0xC9B
#define SS32 0xC93

/* Every routine here ends with RIP set, perhaps in another mode. */

/* ---- RFLAGS ---- */
#define FLAGS_ANYBODY                                                                              \
    ((uint64_t)OSZAPC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)

static void put_flags(struct cpu *c, uint64_t v, uint64_t mask)
{
    uint64_t all = (rflags_get(c) & ~mask) | (v & mask);

    c->rflags = (all & ~(uint64_t)OSZAPC) | 2;
    flags_write(c, (uint32_t)(all & OSZAPC));
}

/* What IRET may change at a privilege (APM3 IRET). */
static uint64_t iret_mask(const struct cpu *c, unsigned cpl, unsigned size)
{
    uint64_t mask = FLAGS_ANYBODY;

    if (cpl <= (c->rflags >> 12 & 3))
        mask |= RFLAGS_IF;
    if (cpl == 0)
        mask |= RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP;
    return size == 2 ? mask & 0xFFFF : mask;
}

/* ---- arriving ---- */
static void enter(struct cpu *c, const struct seg *cs, uint64_t rip)
{
    c->seg[CS] = *cs;
    c->cpl = SEL_RPL(cs->selector);
    c->rip = rip;
    cpu_mode_changed(c);
}

static void check_code_type(struct cpu *c, const struct op *o, uint16_t selector, uint16_t attrib)
{
    if (!is_code(attrib) || (long_mode(c) && attrib & SEG_L && attrib & SEG_DB))
        fault_selector(c, o, EXC_GP, selector);
}

static struct seg finish_code(struct cpu *c, const struct op *o, struct descriptor *d, unsigned cpl)
{
    struct seg cs;

    if (!(desc_attrib(d) & SEG_P))
        fault_selector(c, o, EXC_NP, d->selector);
    desc_mark_accessed(c, o, d);
    cs = desc_segment(d);
    cs.selector = (uint16_t)((d->selector & 0xFFFC) | cpl);
    return cs;
}

/* ---- CALL and JMP ---- */
struct transfer {
    const struct op *o;
    bool call;
    unsigned size; /* operand size: of pushed values */
    uint16_t selector;
    uint64_t offset, next; /* RIP after the instruction */
};

static void push_return(struct cpu *c, const struct transfer *t, unsigned size, struct stack *s)
{
    uint64_t frame[] = {c->seg[CS].selector, t->next};

    push_frame(c, t->o, s, size, frame, 2);
}

static void to_real(struct cpu *c, const struct transfer *t)
{
    struct stack s = current_stack(c);

    if (t->offset > c->seg[CS].limit)
        cpu_fault(c, t->o, EXC_GP, 0);
    if (t->call) {
        push_return(c, t, t->size, &s);
        commit_stack(c, &s);
    }
    seg_load_real(c, CS, t->selector);
    c->rip = t->offset;
    cpu_mode_changed(c);
}

static void to_code(struct cpu *c, const struct transfer *t, struct descriptor *d)
{
    uint16_t attrib = desc_attrib(d);
    unsigned dpl = SEG_DPL(attrib), rpl = SEL_RPL(t->selector);
    struct stack s = current_stack(c);
    struct seg cs;

    check_code_type(c, t->o, t->selector, attrib);
    if (is_conforming(attrib) ? dpl > c->cpl : dpl != c->cpl || rpl > c->cpl)
        fault_selector(c, t->o, EXC_GP, t->selector);
    cs = finish_code(c, t->o, d, c->cpl);
    check_target(c, t->o, &cs, t->offset);
    if (t->call) {
        push_return(c, t, t->size, &s);
        commit_stack(c, &s);
    }
    enter(c, &cs, t->offset);
}

/* Parameters that a call gate copies from the caller's stack (legacy mode). */
static unsigned copy_parameters(struct cpu *c, const struct op *o, unsigned count, unsigned slot,
                                uint64_t *to)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = mem_get(
            c, o, stack_linear(c, o, (int64_t)((count - 1 - i) * slot), slot, ACCESS_READ), slot);
    return count;
}

static void call_inner(struct cpu *c, const struct transfer *t, const struct seg *cs,
                       uint64_t offset, unsigned slot, unsigned parameters)
{
    uint64_t frame[4 + 31];
    struct stack s;
    unsigned n = 0;

    inner_stack(c, t->o, SEL_RPL(cs->selector), &s);
    check_target(c, t->o, cs, offset);
    frame[n++] = c->seg[SS].selector;
    frame[n++] = c->r[RSP];
    n += copy_parameters(c, t->o, parameters, slot, frame + n);
    frame[n++] = c->seg[CS].selector;
    frame[n++] = t->next;
    push_frame(c, t->o, &s, slot, frame, n);
    commit_stack(c, &s);
    enter(c, cs, offset);
}

static void to_call_gate(struct cpu *c, const struct transfer *t, struct descriptor *gate,
                         unsigned type)
{
    unsigned slot = long_mode(c) ? 8 : type == SYS_CALL ? 4 : 2, dpl;
    uint64_t offset = (gate->low & 0xFFFF) | (gate->low >> 32 & 0xFFFF0000);
    uint16_t selector = (uint16_t)(gate->low >> 16), attrib;
    struct descriptor d;
    struct stack s;
    struct seg cs;
    bool inner;

    if (SEG_DPL(desc_attrib(gate)) < MAX(c->cpl, SEL_RPL(t->selector)))
        fault_selector(c, t->o, EXC_GP, t->selector);
    if (!(desc_attrib(gate) & SEG_P))
        fault_selector(c, t->o, EXC_NP, t->selector);
    if (long_mode(c)) {
        desc_read_high(c, t->o, EXC_GP, gate);
        if (gate->high >> 40 & 0x1F)
            fault_selector(c, t->o, EXC_GP, t->selector);
        offset |= gate->high << 32;
    } else if (type == SYS_CALL16) {
        offset &= 0xFFFF;
    }
    if (SEL_NULL(selector))
        cpu_fault(c, t->o, EXC_GP, 0);
    desc_read(c, t->o, selector, EXC_GP, &d);
    attrib = desc_attrib(&d);
    dpl = SEG_DPL(attrib);
    if (!is_code(attrib) || dpl > c->cpl ||
        (long_mode(c) && (!(attrib & SEG_L) || attrib & SEG_DB)))
        fault_selector(c, t->o, EXC_GP, selector);
    inner = !is_conforming(attrib) && dpl < c->cpl;
    if (inner && !t->call)
        fault_selector(c, t->o, EXC_GP, selector);
    cs = finish_code(c, t->o, &d, inner ? dpl : c->cpl);
    if (inner) {
        call_inner(c, t, &cs, offset, slot, long_mode(c) ? 0 : gate->low >> 32 & 0x1F);
        return;
    }
    check_target(c, t->o, &cs, offset);
    if (t->call) {
        s = current_stack(c);
        s.flat = long_mode(c);
        push_return(c, t, slot, &s);
        commit_stack(c, &s);
    }
    enter(c, &cs, offset);
}

/* A TSS or a task gate: legacy mode alone. */
static void to_task(struct cpu *c, const struct transfer *t, const struct descriptor *d,
                    unsigned type)
{
    uint16_t selector = t->selector;

    if (SEG_DPL(desc_attrib(d)) < MAX(c->cpl, SEL_RPL(selector)))
        fault_selector(c, t->o, EXC_GP, selector);
    if (type == SYS_TASK_GATE) {
        if (!(desc_attrib(d) & SEG_P))
            fault_selector(c, t->o, EXC_NP, selector);
        selector = (uint16_t)(d->low >> 16);
    }
    task_switch(c, t->o, selector, t->call ? TASK_CALL : TASK_JMP, t->next, false, 0);
}

static void to_system(struct cpu *c, const struct transfer *t, struct descriptor *d)
{
    unsigned type = SEG_TYPE(desc_attrib(d));

    if (type == SYS_CALL || (type == SYS_CALL16 && !long_mode(c)))
        to_call_gate(c, t, d, type);
    else if (!long_mode(c) && (type == SYS_TASK_GATE || type == SYS_TSS || type == SYS_TSS16))
        to_task(c, t, d, type);
    else
        fault_selector(c, t->o, EXC_GP, t->selector);
}

static void far_transfer(struct cpu *c, const struct transfer *t)
{
    struct descriptor d;

    if (!protected_mode(c)) {
        to_real(c, t);
        return;
    }
    if (SEL_NULL(t->selector))
        cpu_fault(c, t->o, EXC_GP, 0);
    desc_read(c, t->o, t->selector, EXC_GP, &d);
    if (desc_attrib(&d) & SEG_S)
        to_code(c, t, &d);
    else
        to_system(c, t, &d);
}

/* A far pointer in the instruction or in memory; offsets of 4 bytes at most (APM3 JMP Far). */
static struct transfer far_operand(struct cpu *c, const struct op *o, bool call)
{
    struct transfer t = {.o = o, .call = call, .size = o->size, .next = op_next_rip(c, o)};
    unsigned size = MIN(o->size, 4u);
    uint8_t image[6];

    if (!(o->flags & OP_MEM)) {
        t.selector = (uint16_t)(o->imm >> 32);
        t.offset = cut(o->imm, size);
        return t;
    }
    mem_load(c, o, ea(c, o, size + 2, ACCESS_READ), image, size + 2);
    memcpy(&t.offset, image, size);
    t.selector = load16(image + size);
    return t;
}

static void do_call_far(struct cpu *c, const struct op *o)
{
    struct transfer t = far_operand(c, o, true);

    far_transfer(c, &t);
    LEAVE(c);
}
EXEC_ANY(call_far, do_call_far);

static void do_jmp_far(struct cpu *c, const struct op *o)
{
    struct transfer t = far_operand(c, o, false);

    far_transfer(c, &t);
    LEAVE(c);
}
EXEC_ANY(jmp_far, do_jmp_far);

/* ---- RET and IRET ---- */
/* The n-th value on the stack. */
static uint64_t peek(struct cpu *c, const struct op *o, unsigned n, unsigned size)
{
    return mem_get(c, o, stack_linear(c, o, (int64_t)(n * size), size, ACCESS_READ), size);
}

static struct seg return_cs(struct cpu *c, const struct op *o, uint16_t selector)
{
    unsigned rpl = SEL_RPL(selector), dpl;
    struct descriptor d;

    if (SEL_NULL(selector))
        cpu_fault(c, o, EXC_GP, 0);
    desc_read(c, o, selector, EXC_GP, &d);
    dpl = SEG_DPL(desc_attrib(&d));
    check_code_type(c, o, selector, desc_attrib(&d));
    if (rpl < c->cpl || (is_conforming(desc_attrib(&d)) ? dpl > rpl : dpl != rpl))
        fault_selector(c, o, EXC_GP, selector);
    return finish_code(c, o, &d, rpl);
}

/* SS of the privilege returned to; null will do for 64-bit code that is not a user's. */
static struct seg return_ss(struct cpu *c, const struct op *o, uint16_t selector,
                            const struct seg *cs)
{
    unsigned cpl = SEL_RPL(cs->selector);
    struct descriptor d;
    uint16_t attrib;

    if (SEL_NULL(selector)) {
        if (!long_mode(c) || !(cs->attrib & SEG_L) || cpl == 3 || SEL_RPL(selector) != cpl)
            cpu_fault(c, o, EXC_GP, 0);
        return (struct seg){.selector = selector, .attrib = (uint16_t)(cpl << 5)};
    }
    desc_read(c, o, selector, EXC_GP, &d);
    attrib = desc_attrib(&d);
    if (SEL_RPL(selector) != cpl || SEG_DPL(attrib) != cpl || !is_writable_data(attrib))
        fault_selector(c, o, EXC_GP, selector);
    if (!(attrib & SEG_P))
        fault_selector(c, o, EXC_SS, selector);
    desc_mark_accessed(c, o, &d);
    return desc_segment(&d);
}

/* RSP as the returned-to code has it: cut to SS's width, its upper half kept for 16-bit stacks. */
static void set_returned_sp(struct cpu *c, uint64_t sp)
{
    if (long64(c))
        c->r[RSP] = sp;
    else if (c->seg[SS].attrib & SEG_DB)
        c->r[RSP] = (uint32_t)sp;
    else
        reg_set16(c, RSP, (uint16_t)sp);
}

static void far_return(struct cpu *c, const struct op *o, unsigned size, unsigned release)
{
    uint64_t rip = peek(c, o, 0, size), sp = 0;
    uint16_t selector = (uint16_t)peek(c, o, 1, size);
    struct seg cs, ss = {0};
    bool outer;

    if (!protected_mode(c)) {
        if (rip > c->seg[CS].limit)
            cpu_fault(c, o, EXC_GP, 0);
        stack_move(c, (int64_t)(2 * size + release));
        seg_load_real(c, CS, selector);
        c->rip = rip;
        cpu_mode_changed(c);
        return;
    }
    cs = return_cs(c, o, selector);
    outer = SEL_RPL(selector) > c->cpl;
    if (outer) {
        int64_t at = 2 * size + release;

        sp = mem_get(c, o, stack_linear(c, o, at, size, ACCESS_READ), size);
        ss = return_ss(
            c, o, (uint16_t)mem_get(c, o, stack_linear(c, o, at + size, size, ACCESS_READ), size),
            &cs);
    }
    check_target(c, o, &cs, rip);
    if (!outer) {
        stack_move(c, (int64_t)(2 * size + release));
        enter(c, &cs, rip);
        return;
    }
    c->seg[SS] = ss;
    enter(c, &cs, rip);
    set_returned_sp(c, sp + release);
    seg_drop_privileged(c);
}

static void do_ret_far(struct cpu *c, const struct op *o)
{
    far_return(c, o, o->size, (uint16_t)o->imm);
    LEAVE(c);
}
EXEC_ANY(ret_far, do_ret_far);

/* Real mode, and virtual-8086 mode with IOPL 3 (APM3 IRET). */
static void iret_real(struct cpu *c, const struct op *o)
{
    uint64_t rip = peek(c, o, 0, o->size), flags = peek(c, o, 2, o->size);
    uint16_t selector = (uint16_t)peek(c, o, 1, o->size);
    uint64_t mask = iret_mask(c, c->rflags & RFLAGS_VM ? 3 : 0, o->size);

    if (c->rflags & RFLAGS_VM && (c->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
        cpu_fault(c, o, EXC_GP, 0);
    if (rip > c->seg[CS].limit)
        cpu_fault(c, o, EXC_GP, 0);
    stack_move(c, 3 * o->size);
    put_flags(c, flags, mask & ~(RFLAGS_VIF | RFLAGS_VIP));
    seg_load_real(c, CS, selector);
    c->rip = rip;
    cpu_mode_changed(c);
}

static void iret_to_v86(struct cpu *c, const struct op *o, uint64_t rip, uint16_t cs,
                        uint64_t flags)
{
    static const uint8_t order[] = {SS, ES, DS, FS, GS};
    uint64_t sp = peek(c, o, 3, 4);
    uint16_t selectors[COUNT(order)];

    for (unsigned i = 0; i < COUNT(order); i++)
        selectors[i] = (uint16_t)peek(c, o, 4 + i, 4);
    put_flags(c, flags, iret_mask(c, 0, 4) | RFLAGS_VM);
    seg_load_real(c, CS, cs);
    for (unsigned i = 0; i < COUNT(order); i++)
        seg_load_real(c, order[i], selectors[i]);
    c->cpl = 3;
    c->r[RSP] = (uint32_t)sp;
    c->rip = (uint16_t)rip;
    cpu_mode_changed(c);
}

static void iret_task(struct cpu *c, const struct op *o)
{
    uint16_t link;

    if (long_mode(c))
        cpu_fault(c, o, EXC_GP, 0);
    mmu_load_sys(c, o, c->tr.base, &link, 2);
    task_switch(c, o, link, TASK_IRET, op_next_rip(c, o), false, 0);
}

/* 64-bit code always pops SS:RSP, other code when it returns to an outer privilege. */
static void iret_protected(struct cpu *c, const struct op *o)
{
    unsigned size = o->size, was = c->cpl;
    uint64_t rip = peek(c, o, 0, size), flags = peek(c, o, 2, size), sp = 0;
    uint16_t selector = (uint16_t)peek(c, o, 1, size);
    uint64_t mask = iret_mask(c, was, size);
    struct seg cs, ss = {0};
    bool pops_stack;

    if (flags & RFLAGS_VM && was == 0 && size == 4 && !long_mode(c)) {
        iret_to_v86(c, o, rip, selector, flags);
        return;
    }
    cs = return_cs(c, o, selector);
    pops_stack = long64(c) || SEL_RPL(selector) > was;
    if (pops_stack) {
        sp = peek(c, o, 3, size);
        ss = return_ss(c, o, (uint16_t)peek(c, o, 4, size), &cs);
    }
    check_target(c, o, &cs, rip);
    put_flags(c, flags, mask);
    if (!pops_stack) {
        stack_move(c, 3 * size);
        enter(c, &cs, rip);
        return;
    }
    c->seg[SS] = ss;
    enter(c, &cs, rip);
    set_returned_sp(c, sp);
    if (c->cpl > was)
        seg_drop_privileged(c);
}

static void do_iret(struct cpu *c, const struct op *o)
{
    cpu_intercept(c, o);
    if (!protected_mode(c))
        iret_real(c, o);
    else if (c->rflags & RFLAGS_NT)
        iret_task(c, o);
    else
        iret_protected(c, o);
    LEAVE(c);
}
EXEC_ANY(iret, do_iret);

/* ---- SYSCALL and SYSRET (APM2 6.1.1) ---- */
static struct seg flat_segment(unsigned selector, unsigned attrib, unsigned dpl)
{
    return (struct seg){.selector = (uint16_t)selector,
                        .attrib = (uint16_t)(attrib | dpl << 5),
                        .limit = UINT32_MAX};
}

static void need_sce(struct cpu *c, const struct op *o)
{
    if (!(c->efer & EFER_SCE))
        cpu_fault(c, o, EXC_UD, 0);
}

static void do_syscall(struct cpu *c, const struct op *o)
{
    unsigned selector = c->star >> 32 & 0xFFFC;
    uint64_t next = op_next_rip(c, o), target = (uint32_t)c->star;
    struct seg cs = flat_segment(selector, CS32, 0);

    need_sce(c, o);
    if (long_mode(c)) {
        target = long64(c) ? c->lstar : c->cstar;
        cs.attrib = CS64;
        c->r[RCX] = next;
        c->r[11] = rflags_get(c) & ~RFLAGS_RF;
        put_flags(c, 0, c->sfmask | RFLAGS_RF);
    } else {
        c->r[RCX] = (uint32_t)next;
        put_flags(c, 0, RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
    }
    c->seg[SS] = flat_segment(selector + 8, SS32, 0);
    enter(c, &cs, target);
    cpu_trap_if_stepping(c);
    LEAVE(c);
}
EXEC_ANY(syscall, do_syscall);

/* SS gets its selector and privilege alone: base, limit and attributes stay what they were. */
static void do_sysret(struct cpu *c, const struct op *o)
{
    unsigned selector = c->star >> 48 & 0xFFFC;
    bool to64 = long64(c) && o->size == 8;
    uint64_t rip = to64 ? c->r[RCX] : (uint32_t)c->r[RCX];
    struct seg cs = flat_segment((to64 ? selector + 16 : selector) | 3, to64 ? CS64 : CS32, 3);

    need_sce(c, o);
    need_cpl0(c, o);
    if (long_mode(c))
        put_flags(c, c->r[11], FLAGS_ANYBODY | RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP);
    else
        put_flags(c, RFLAGS_IF, RFLAGS_IF);
    c->rflags &= ~(RFLAGS_RF | RFLAGS_VM);
    c->seg[SS].selector = (uint16_t)((selector + 8) | 3);
    c->seg[SS].attrib |= 3 << 5;
    enter(c, &cs, rip);
    cpu_trap_if_stepping(c);
    LEAVE(c);
}
EXEC_ANY(sysret, do_sysret);

/* ---- SYSENTER and SYSEXIT: legacy mode alone on this make of processor (APM2 6.1.2) ---- */
static void need_sysenter(struct cpu *c, const struct op *o)
{
    if (long_mode(c))
        cpu_fault(c, o, EXC_UD, 0);
    if (!(c->cr0 & CR0_PE) || !(c->sysenter_cs & 0xFFFC))
        cpu_fault(c, o, EXC_GP, 0);
}

static void do_sysenter(struct cpu *c, const struct op *o)
{
    unsigned selector = c->sysenter_cs & 0xFFFC;
    struct seg cs = flat_segment(selector, CS32, 0);

    need_sysenter(c, o);
    put_flags(c, 0, RFLAGS_IF | RFLAGS_VM | RFLAGS_RF);
    c->seg[SS] = flat_segment(selector + 8, SS32, 0);
    c->r[RSP] = (uint32_t)c->sysenter_esp;
    enter(c, &cs, (uint32_t)c->sysenter_eip);
    LEAVE(c);
}
EXEC_ANY(sysenter, do_sysenter);

static void do_sysexit(struct cpu *c, const struct op *o)
{
    unsigned selector = c->sysenter_cs & 0xFFFC;
    struct seg cs = flat_segment((selector + 16) | 3, CS32, 3);

    need_sysenter(c, o);
    need_cpl0(c, o);
    c->seg[SS] = flat_segment((selector + 24) | 3, SS32, 3);
    c->r[RSP] = (uint32_t)c->r[RCX];
    enter(c, &cs, (uint32_t)c->r[RDX]);
    LEAVE(c);
}
EXEC_ANY(sysexit, do_sysexit);
