/* Segments: addresses through them, descriptors, and loading segment registers (APM2 chapter 4). */
#include "silicon/cpu/seg.h"

/* ---- addresses ---- */
bool seg_within(const struct seg *s, uint64_t off, unsigned size)
{
    uint64_t last = off + (size ? size : 1) - 1;

    if (s->attrib & SEG_S && !(s->attrib & TYPE_CODE) && s->attrib & TYPE_DOWN)
        return off > s->limit && last <= (s->attrib & SEG_DB ? UINT32_MAX : 0xFFFF);
    return last <= s->limit;
}

static bool allows(const struct seg *s, enum access acc)
{
    bool code = s->attrib & TYPE_CODE;

    if (!(s->attrib & SEG_P) || !(s->attrib & SEG_S)) /* null, or never loaded */
        return false;
    if (acc == ACCESS_WRITE)
        return !code && s->attrib & TYPE_WRITE;
    return !code || s->attrib & TYPE_READ;
}

uint64_t seg_linear(struct cpu *c, const struct op *o, unsigned seg, uint64_t off, unsigned size,
                    enum access acc)
{
    const struct seg *s = &c->seg[seg];

    if (long64(c))
        return (seg == FS || seg == GS ? s->base : 0) + off;
    if (seg == FLAT)
        return (uint32_t)off;
    if ((protected_mode(c) && !allows(s, acc)) || !seg_within(s, off, size))
        cpu_fault(c, o, seg == SS ? EXC_SS : EXC_GP, 0);
    return (uint32_t)(s->base + off);
}

/* ---- descriptors ---- */
uint32_t error_ext(const struct cpu *c)
{
    return c->exitintinfo & EVENT_VALID && c->ext;
}

_Noreturn void fault_selector(struct cpu *c, const struct op *o, int vec, uint32_t selector)
{
    cpu_fault(c, o, vec, (selector & 0xFFFC) | error_ext(c));
}

static bool desc_load(struct cpu *c, const struct op *o, uint32_t offset, uint16_t selector,
                      uint64_t *la, uint64_t *to)
{
    const struct seg *table = selector & 4 ? &c->ldtr : &c->gdtr;

    if (selector & 4 && !(c->ldtr.attrib & SEG_P))
        return false;
    if (offset + 7 > table->limit)
        return false;
    *la = table->base + offset;
    if (!long_mode(c))
        *la = (uint32_t)*la;
    mmu_load_sys(c, o, *la, to, 8);
    return true;
}

bool desc_find(struct cpu *c, const struct op *o, uint16_t selector, struct descriptor *d)
{
    d->selector = selector;
    d->high = 0;
    return desc_load(c, o, selector & 0xFFF8, selector, &d->la, &d->low);
}

void desc_read(struct cpu *c, const struct op *o, uint16_t selector, int vec, struct descriptor *d)
{
    if (!desc_find(c, o, selector, d))
        fault_selector(c, o, vec, selector);
}

void desc_read_high(struct cpu *c, const struct op *o, int vec, struct descriptor *d)
{
    uint64_t la;

    if (!desc_load(c, o, (d->selector & 0xFFF8u) + 8, d->selector, &la, &d->high))
        fault_selector(c, o, vec, d->selector);
}

struct seg desc_segment(const struct descriptor *d)
{
    struct seg s = {.selector = d->selector, .attrib = desc_attrib(d)};

    s.limit = (uint32_t)((d->low & 0xFFFF) | (d->low >> 32 & 0xF0000));
    if (s.attrib & SEG_G)
        s.limit = s.limit << 12 | 0xFFF;
    s.base = (d->low >> 16 & 0xFFFFFF) | (d->low >> 32 & 0xFF000000);
    if (!(s.attrib & SEG_S))
        s.base |= d->high << 32;
    return s;
}

void desc_mark_accessed(struct cpu *c, const struct op *o, struct descriptor *d)
{
    uint8_t type;

    if (d->low >> 40 & TYPE_ACCESSED)
        return;
    d->low |= (uint64_t)TYPE_ACCESSED << 40;
    type = (uint8_t)(d->low >> 40);
    mmu_store_sys(c, o, d->la + 5, &type, 1);
}

/* ---- loading ---- */
/* Limits stay as they are (what some call big real mode); virtual-8086 mode has its own. */
void seg_load_real(struct cpu *c, unsigned seg, uint16_t selector)
{
    struct seg *s = &c->seg[seg];

    s->selector = selector;
    s->base = (uint64_t)selector << 4;
    if (c->rflags & RFLAGS_VM) {
        s->limit = 0xFFFF;
        s->attrib = 0xF3;
    } else {
        s->attrib = (s->attrib & (SEG_DB | SEG_G)) | 0x93;
    }
}

static void load_null(struct cpu *c, const struct op *o, unsigned seg, uint16_t selector)
{
    uint16_t attrib = 0;

    if (seg == SS) {
        if (!long64(c) || c->cpl == 3 || SEL_RPL(selector) != c->cpl)
            cpu_fault(c, o, EXC_GP, 0);
        attrib = (uint16_t)(c->cpl << 5);
    }
    c->seg[seg] = (struct seg){.selector = selector, .attrib = attrib};
}

/* APM2 4.8.1 .. 4.8.3 and MOV in APM3: who may hold which descriptor. */
static bool may_load(const struct cpu *c, unsigned seg, uint16_t selector, uint16_t attrib)
{
    unsigned dpl = SEG_DPL(attrib), rpl = SEL_RPL(selector);

    if (seg == SS)
        return is_writable_data(attrib) && rpl == c->cpl && dpl == c->cpl;
    if (!(attrib & SEG_S))
        return false;
    if (is_code(attrib) && !(attrib & TYPE_READ))
        return false;
    if (is_code(attrib) && is_conforming(attrib))
        return true;
    return dpl >= rpl && dpl >= c->cpl;
}

void seg_load(struct cpu *c, const struct op *o, unsigned seg, uint16_t selector)
{
    struct descriptor d;

    if (!protected_mode(c)) {
        seg_load_real(c, seg, selector);
    } else if (SEL_NULL(selector)) {
        load_null(c, o, seg, selector);
    } else {
        desc_read(c, o, selector, EXC_GP, &d);
        if (!may_load(c, seg, selector, desc_attrib(&d)))
            fault_selector(c, o, EXC_GP, selector);
        if (!(desc_attrib(&d) & SEG_P))
            fault_selector(c, o, seg == SS ? EXC_SS : EXC_NP, selector);
        desc_mark_accessed(c, o, &d);
        c->seg[seg] = desc_segment(&d);
    }
    if (seg == SS)
        cpu_mode_changed(c);
}

/* The base stays: 64-bit code has FS and GS bases under null selectors. */
void seg_drop_privileged(struct cpu *c)
{
    static const uint8_t data[] = {ES, DS, FS, GS};

    for (unsigned i = 0; i < COUNT(data); i++) {
        struct seg *s = &c->seg[data[i]];
        bool shared = is_code(s->attrib) && is_conforming(s->attrib);

        if (!shared && SEG_DPL(s->attrib) < c->cpl)
            s->selector = s->attrib = 0;
    }
}
