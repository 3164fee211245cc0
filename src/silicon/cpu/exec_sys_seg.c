/* Descriptor tables, segment registers, and questions about selectors (APM2 4.8, 4.12). */
#include "silicon/cpu/exec_sys.h"

/* ---- GDTR and IDTR ---- */
/* Limit, then base: 8 bytes in 64-bit mode, else 4 of which 24 bits count with a 16-bit operand. */
static void load_table(struct cpu *c, const struct op *o, struct seg *table)
{
    unsigned size = long64(c) ? 10 : 6;
    uint64_t la = ea(c, o, size, ACCESS_READ), base = 0;
    uint8_t image[10];

    mem_load(c, o, la, image, size);
    memcpy(&base, image + 2, size - 2);
    if (!long64(c) && o->size == 2)
        base &= 0xFFFFFF;
    if (!canonical(base))
        cpu_fault(c, o, EXC_GP, 0);
    table->limit = load16(image);
    table->base = base;
}

static void store_table(struct cpu *c, const struct op *o, const struct seg *table)
{
    unsigned size = long64(c) ? 10 : 6;
    uint8_t image[10];

    store16(image, (uint16_t)table->limit);
    store64(image + 2, table->base);
    mem_store(c, o, ea(c, o, size, ACCESS_WRITE), image, size);
}

static void do_lgdt(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    cpu_intercept(c, o);
    load_table(c, o, &c->gdtr);
    NEXT(c, o);
}
EXEC_ANY(lgdt, do_lgdt);

static void do_lidt(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    cpu_intercept(c, o);
    load_table(c, o, &c->idtr);
    NEXT(c, o);
}
EXEC_ANY(lidt, do_lidt);

static void do_sgdt(struct cpu *c, const struct op *o)
{
    need_no_umip(c, o);
    cpu_intercept(c, o);
    store_table(c, o, &c->gdtr);
    NEXT(c, o);
}
EXEC_ANY(sgdt, do_sgdt);

static void do_sidt(struct cpu *c, const struct op *o)
{
    need_no_umip(c, o);
    cpu_intercept(c, o);
    store_table(c, o, &c->idtr);
    NEXT(c, o);
}
EXEC_ANY(sidt, do_sidt);

/* ---- LDTR and TR ---- */
static void do_sldt(struct cpu *c, const struct op *o)
{
    need_no_umip(c, o);
    cpu_intercept(c, o);
    put_word(c, o, c->ldtr.selector);
    NEXT(c, o);
}
EXEC_ANY(sldt, do_sldt);

static void do_str(struct cpu *c, const struct op *o)
{
    need_no_umip(c, o);
    cpu_intercept(c, o);
    put_word(c, o, c->tr.selector);
    NEXT(c, o);
}
EXEC_ANY(str, do_str);

/* A system descriptor of one of two types, present, in the GDT. */
static struct seg system_segment(struct cpu *c, const struct op *o, uint16_t selector,
                                 unsigned type, unsigned other, struct descriptor *d)
{
    unsigned found;
    struct seg s;

    if (selector & 4)
        fault_selector(c, o, EXC_GP, selector);
    desc_read(c, o, selector, EXC_GP, d);
    found = desc_attrib(d) & (SEG_S | 0xF);
    if (found != type && (found != other || long_mode(c)))
        fault_selector(c, o, EXC_GP, selector);
    if (!(desc_attrib(d) & SEG_P))
        fault_selector(c, o, EXC_NP, selector);
    if (long_mode(c))
        desc_read_high(c, o, EXC_GP, d);
    s = desc_segment(d);
    if (!canonical(s.base))
        fault_selector(c, o, EXC_GP, selector);
    return s;
}

static void do_lldt(struct cpu *c, const struct op *o)
{
    uint16_t selector;
    struct descriptor d;

    need_cpl0(c, o);
    cpu_intercept(c, o);
    selector = (uint16_t)get_operand(c, o, o->d, 2);
    if (SEL_NULL(selector))
        c->ldtr = (struct seg){.selector = selector};
    else
        c->ldtr = system_segment(c, o, selector, SYS_LDT, SYS_LDT, &d);
}
EXEC_BODY(lldt, do_lldt);

static void do_ltr(struct cpu *c, const struct op *o)
{
    uint16_t selector;
    struct descriptor d;
    struct seg tr;
    uint8_t type;

    need_cpl0(c, o);
    cpu_intercept(c, o);
    selector = (uint16_t)get_operand(c, o, o->d, 2);
    if (SEL_NULL(selector))
        cpu_fault(c, o, EXC_GP, 0);
    tr = system_segment(c, o, selector, SYS_TSS, SYS_TSS16, &d);
    type = (uint8_t)(d.low >> 40) | 2; /* busy */
    mmu_store_sys(c, o, d.la + 5, &type, 1);
    tr.attrib |= 2;
    c->tr = tr;
}
EXEC_BODY(ltr, do_ltr);

/* ---- segment registers ---- */
/* After SS no interrupt comes for one instruction. */
static void load_segment(struct cpu *c, const struct op *o, unsigned seg, uint16_t selector)
{
    seg_load(c, o, seg, selector);
    if (seg == SS)
        c->shadow = true;
}

static void do_mov_from_sreg(struct cpu *c, const struct op *o)
{
    put_word(c, o, c->seg[o->s].selector);
    NEXT(c, o);
}
EXEC_ANY(mov_from_sreg, do_mov_from_sreg);

static void do_mov_to_sreg(struct cpu *c, const struct op *o)
{
    uint64_t next = op_next_rip(c, o);

    if (o->d == CS)
        cpu_fault(c, o, EXC_UD, 0);
    load_segment(c, o, o->d, (uint16_t)get_operand(c, o, o->s, 2));
    c->rip = next;
    LEAVE(c);
}
EXEC_ANY(mov_to_sreg, do_mov_to_sreg);

/* PUSH and POP of a segment register name it in the opcode. */
static unsigned sreg_of(const struct op *o)
{
    uint8_t byte = insn_rows[o->form].byte;

    return byte >= 0xA0 ? (byte & 8 ? GS : FS) : byte >> 3;
}

static void do_push_sreg(struct cpu *c, const struct op *o)
{
    stack_push(c, o, o->size, c->seg[sreg_of(o)].selector);
    NEXT(c, o);
}
EXEC_ANY(push_sreg, do_push_sreg);

static void do_pop_sreg(struct cpu *c, const struct op *o)
{
    uint64_t v = mem_get(c, o, stack_linear(c, o, 0, o->size, ACCESS_READ), o->size);
    uint64_t sp = c->r[RSP], next = op_next_rip(c, o);

    sp = cut(sp + o->size, stack_width(c)) | (sp & ~cut(UINT64_MAX, stack_width(c)));
    load_segment(c, o, sreg_of(o), (uint16_t)v);
    c->r[RSP] = sp;
    c->rip = next;
    LEAVE(c);
}
EXEC_ANY(pop_sreg, do_pop_sreg);

/* LES LDS LSS LFS LGS: offset, then selector. No 8-byte offsets on this make of processor. */
static unsigned far_sreg(const struct op *o)
{
    switch (insn_rows[o->form].byte) {
    case 0xC4:
        return ES;
    case 0xC5:
        return DS;
    case 0xB2:
        return SS;
    case 0xB4:
        return FS;
    default:
        return GS;
    }
}

static void do_load_far(struct cpu *c, const struct op *o)
{
    unsigned size = MIN(o->size, 4u);
    uint64_t la = ea(c, o, size + 2, ACCESS_READ), next = op_next_rip(c, o), off = 0;
    uint8_t image[6];

    mem_load(c, o, la, image, size + 2);
    memcpy(&off, image, size);
    seg_load(c, o, far_sreg(o), load16(image + size));
    reg_set(c, o->d, size, off);
    c->rip = next;
    LEAVE(c);
}
EXEC_ANY(load_far, do_load_far);

/* ---- questions ---- */
static bool asked_descriptor(struct cpu *c, const struct op *o, uint16_t selector,
                             struct descriptor *d)
{
    return !SEL_NULL(selector) && desc_find(c, o, selector, d);
}

static bool is_visible(const struct cpu *c, uint16_t selector, uint16_t attrib)
{
    if (is_code(attrib) && is_conforming(attrib))
        return true;
    return SEG_DPL(attrib) >= c->cpl && SEG_DPL(attrib) >= SEL_RPL(selector);
}

#define TYPE_BIT(t) (1u << (t))
/* The system types that LAR and LSL answer for (APM3 LAR, LSL). */
#define LAR_LONG                                                                                   \
    (TYPE_BIT(SYS_LDT) | TYPE_BIT(SYS_TSS) | TYPE_BIT(SYS_BUSY_TSS) | TYPE_BIT(SYS_CALL))
#define LAR_LEGACY                                                                                 \
    (LAR_LONG | TYPE_BIT(SYS_TSS16) | TYPE_BIT(SYS_BUSY_TSS16) | TYPE_BIT(SYS_CALL16) |            \
     TYPE_BIT(SYS_TASK_GATE))
#define GATES (TYPE_BIT(SYS_CALL) | TYPE_BIT(SYS_CALL16) | TYPE_BIT(SYS_TASK_GATE))

static bool answers(struct cpu *c, const struct op *o, uint16_t selector, unsigned not_types,
                    struct descriptor *d)
{
    uint16_t attrib;
    unsigned types = (long_mode(c) ? LAR_LONG : LAR_LEGACY) & ~not_types;

    if (!asked_descriptor(c, o, selector, d))
        return false;
    attrib = desc_attrib(d);
    if (!(attrib & SEG_S) && !(types >> SEG_TYPE(attrib) & 1))
        return false;
    return is_visible(c, selector, attrib);
}

static void do_lar(struct cpu *c, const struct op *o)
{
    uint16_t selector = (uint16_t)get_operand(c, o, o->s, 2);
    struct descriptor d;
    bool ok = answers(c, o, selector, 0, &d);

    if (ok)
        reg_set(c, o->d, o->size, d.low >> 32 & 0x00FFFF00);
    put_zf(c, ok);
}
EXEC_BODY(lar, do_lar);

static void do_lsl(struct cpu *c, const struct op *o)
{
    uint16_t selector = (uint16_t)get_operand(c, o, o->s, 2);
    struct descriptor d;
    bool ok = answers(c, o, selector, GATES, &d);

    if (ok)
        reg_set(c, o->d, o->size, desc_segment(&d).limit);
    put_zf(c, ok);
}
EXEC_BODY(lsl, do_lsl);

static void verify(struct cpu *c, const struct op *o, bool write)
{
    uint16_t selector = (uint16_t)get_operand(c, o, o->d, 2), attrib;
    struct descriptor d;
    bool ok = false;

    if (asked_descriptor(c, o, selector, &d)) {
        attrib = desc_attrib(&d);
        ok = attrib & SEG_S && is_visible(c, selector, attrib) &&
             (write ? is_writable_data(attrib) : !is_code(attrib) || attrib & TYPE_READ);
    }
    put_zf(c, ok);
}

static void do_verr(struct cpu *c, const struct op *o)
{
    verify(c, o, false);
    NEXT(c, o);
}
EXEC_ANY(verr, do_verr);

static void do_verw(struct cpu *c, const struct op *o)
{
    verify(c, o, true);
    NEXT(c, o);
}
EXEC_ANY(verw, do_verw);

static void do_arpl(struct cpu *c, const struct op *o)
{
    uint64_t la = o->flags & OP_MEM ? ea(c, o, 2, ACCESS_WRITE) : 0;
    uint16_t to = o->flags & OP_MEM ? mem_load_rw16(c, o, la) : (uint16_t)c->r[o->d];
    unsigned rpl = SEL_RPL((unsigned)c->r[o->s]);
    bool raise = SEL_RPL(to) < rpl;

    if (raise) {
        to = (uint16_t)((to & ~3u) | rpl);
        if (o->flags & OP_MEM)
            mem_store16(c, o, la, to);
        else
            reg_set16(c, o->d, to);
    }
    put_zf(c, raise);
    NEXT(c, o);
}
EXEC_ANY(arpl, do_arpl);
