/* Hardware task switches, by JMP, CALL, IRET and task gates (APM2 12.5); legacy mode alone.
 *
 * First all that can be refused without a trace, then the old state is saved, then the new one is
 * loaded; segments of the new task that are illegal fault there, as #TS.
 */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/mmu.h"
#include "silicon/cpu/seg.h"

/* Offsets in a task state segment; 0xFF: not there (APM2 12.2.3, 12.2.4). */
struct layout {
    uint8_t slot; /* bytes of a register */
    uint8_t min_limit, cr3, ip, flags, gpr, seg, segs, ldt, trap;
    uint8_t seg_step;
};
static const struct layout tss32 = {4, 0x67, 0x1C, 0x20, 0x24, 0x28, 0x48, 6, 0x60, 0x64, 4};
static const struct layout tss16 = {2, 0x2B, 0xFF, 0x0E, 0x10, 0x12, 0x22, 4, 0x2A, 0xFF, 2};

#define SWITCH_IRET  BIT(36) /* EXITINFO2 of VMEXIT_TASK_SWITCH (APM2 15.14.1) */
#define SWITCH_JMP   BIT(38)
#define SWITCH_ERROR BIT(44)
#define SWITCH_RF    BIT(48)

static const struct layout *layout_of(uint16_t attrib)
{
    return SEG_TYPE(attrib) & 8 ? &tss32 : &tss16;
}

static uint64_t field(const uint8_t *tss, unsigned at, unsigned size)
{
    return size == 4 ? load32(tss + at) : load16(tss + at);
}

static void intercept_switch(struct cpu *c, const struct op *o, uint16_t selector,
                             enum task_switch how, bool has_error, uint32_t error)
{
    uint64_t info = error;

    if (!c->guest || !(c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_TASK_SWITCH)))
        return;
    if (how == TASK_IRET)
        info |= SWITCH_IRET;
    if (how == TASK_JMP)
        info |= SWITCH_JMP;
    if (has_error)
        info |= SWITCH_ERROR;
    if (c->rflags & RFLAGS_RF)
        info |= SWITCH_RF;
    cpu_exit(c, o, VMEXIT_TASK_SWITCH, selector, info);
}

/* The new task's descriptor: in the GDT, present, large enough, busy only for IRET. */
static void find_task(struct cpu *c, const struct op *o, uint16_t selector, enum task_switch how,
                      struct descriptor *d)
{
    int vec = how == TASK_IRET ? EXC_TS : EXC_GP;
    unsigned type;
    struct seg s;

    if (SEL_NULL(selector) || selector & 4)
        fault_selector(c, o, vec, selector);
    desc_read(c, o, selector, vec, d);
    s = desc_segment(d);
    type = s.attrib & (SEG_S | 0xF);
    if (how == TASK_IRET ? type != SYS_BUSY_TSS && type != SYS_BUSY_TSS16
                         : type != SYS_TSS && type != SYS_TSS16)
        fault_selector(c, o, vec, selector);
    if (!(s.attrib & SEG_P))
        fault_selector(c, o, EXC_NP, selector);
    if (s.limit < layout_of(s.attrib)->min_limit)
        fault_selector(c, o, EXC_TS, selector);
}

static void save_old(struct cpu *c, const struct op *o, uint64_t rip, enum task_switch how)
{
    const struct layout *l = layout_of(c->tr.attrib);
    uint32_t flags = (uint32_t)rflags_get(c);
    uint8_t image[0x68] = {0};
    unsigned from = l->ip, to = l->seg + l->segs * l->seg_step;

    if (how == TASK_IRET)
        flags &= ~(uint32_t)RFLAGS_NT;
    mmu_load_sys(c, o, c->tr.base, image, to);
    memcpy(image + l->ip, &rip, l->slot);
    memcpy(image + l->flags, &flags, l->slot);
    for (unsigned i = 0; i < 8; i++)
        memcpy(image + l->gpr + i * l->slot, &c->r[i], l->slot);
    for (unsigned i = 0; i < l->segs; i++)
        store16(image + l->seg + i * l->seg_step, c->seg[i].selector);
    mmu_store_sys(c, o, c->tr.base + from, image + from, to - from);
}

static void set_busy(struct cpu *c, const struct op *o, const struct descriptor *d, bool busy)
{
    uint8_t type = (uint8_t)(d->low >> 40);

    type = busy ? type | 2 : type & (uint8_t)~2u;
    mmu_store_sys(c, o, d->la + 5, &type, 1);
}

static void load_ldt(struct cpu *c, uint16_t selector)
{
    struct descriptor d;

    c->ldtr = (struct seg){.selector = selector};
    if (SEL_NULL(selector))
        return;
    if (selector & 4 || !desc_find(c, NULL, selector, &d) ||
        (desc_attrib(&d) & (SEG_S | 0xF)) != SYS_LDT || !(desc_attrib(&d) & SEG_P))
        fault_selector(c, NULL, EXC_TS, selector);
    c->ldtr = desc_segment(&d);
}

static void load_task_segment(struct cpu *c, unsigned seg, uint16_t selector)
{
    unsigned rpl = SEL_RPL(selector), dpl;
    struct descriptor d;
    uint16_t attrib;
    bool ok;

    c->seg[seg] = (struct seg){.selector = selector};
    if (SEL_NULL(selector) && seg != CS && seg != SS)
        return;
    if (SEL_NULL(selector) || !desc_find(c, NULL, selector, &d))
        fault_selector(c, NULL, EXC_TS, selector);
    attrib = desc_attrib(&d);
    dpl = SEG_DPL(attrib);
    if (seg == CS)
        ok = is_code(attrib) && (is_conforming(attrib) ? dpl <= rpl : dpl == rpl);
    else if (seg == SS)
        ok = is_writable_data(attrib) && dpl == c->cpl && rpl == c->cpl;
    else
        ok = attrib & SEG_S && (!is_code(attrib) || attrib & TYPE_READ) &&
             ((is_code(attrib) && is_conforming(attrib)) || (dpl >= c->cpl && dpl >= rpl));
    if (!ok)
        fault_selector(c, NULL, EXC_TS, selector);
    if (!(attrib & SEG_P))
        fault_selector(c, NULL, seg == SS ? EXC_SS : EXC_NP, selector);
    desc_mark_accessed(c, NULL, &d);
    c->seg[seg] = desc_segment(&d);
}

static void load_segments(struct cpu *c, const uint8_t *tss, const struct layout *l)
{
    static const uint8_t order[] = {CS, SS, ES, DS, FS, GS};
    bool v86 = c->rflags & RFLAGS_VM;

    c->cpl = v86 ? 3 : SEL_RPL(load16(tss + l->seg + CS * l->seg_step));
    for (unsigned i = 0; i < COUNT(order); i++) {
        unsigned seg = order[i];
        uint16_t selector = seg < l->segs ? load16(tss + l->seg + seg * l->seg_step) : 0;

        if (v86)
            seg_load_real(c, seg, selector);
        else
            load_task_segment(c, seg, selector);
    }
}

static void load_new(struct cpu *c, const uint8_t *tss, const struct layout *l, bool nested)
{
    uint64_t flags = field(tss, l->flags, l->slot);
    uint16_t ldt = load16(tss + l->ldt);

    if (l->cr3 != 0xFF && c->cr0 & CR0_PG)
        mmu_set_cr3(c, load32(tss + l->cr3));
    c->rip = field(tss, l->ip, l->slot);
    if (nested)
        flags |= RFLAGS_NT;
    c->rflags = (flags & 0x3F7FD7 & ~(uint64_t)OSZAPC) | 2;
    flags_write(c, (uint32_t)flags);
    for (unsigned i = 0; i < 8; i++)
        c->r[i] = field(tss, l->gpr + i * l->slot, l->slot);
    load_ldt(c, ldt);
    load_segments(c, tss, l);
    cpu_mode_changed(c);
    if (l->trap != 0xFF && tss[l->trap] & 1) {
        c->dr[6] |= BIT(15);
        c->debug_pending = true;
    }
}

static void push_error(struct cpu *c, const struct layout *l, uint32_t error)
{
    struct stack s = current_stack(c);
    uint64_t value = error;

    push_frame(c, NULL, &s, l->slot, &value, 1);
    commit_stack(c, &s);
}

void task_switch(struct cpu *c, const struct op *o, uint16_t selector, enum task_switch how,
                 uint64_t old_rip, bool has_error, uint32_t error)
{
    struct descriptor next, old;
    const struct layout *l;
    uint8_t tss[0x68];
    struct seg task;

    intercept_switch(c, o, selector, how, has_error, error);
    find_task(c, o, selector, how, &next);
    task = desc_segment(&next);
    l = layout_of(task.attrib);
    mmu_load_sys(c, o, task.base, tss, l->min_limit + 1u);
    desc_read(c, o, c->tr.selector, EXC_TS, &old);
    save_old(c, o, old_rip, how);
    if (how != TASK_CALL)
        set_busy(c, o, &old, false);
    else
        mmu_store_sys(c, o, task.base, &c->tr.selector, 2);
    if (how != TASK_IRET)
        set_busy(c, o, &next, true);
    task.attrib |= 2;
    c->tr = task;
    c->cr0 |= CR0_TS;
    c->dr[7] &= ~UINT64_C(0x155);
    load_new(c, tss, l, how == TASK_CALL);
    if (has_error)
        push_error(c, l, error);
}
