/* What the x87 arithmetic routines share: operands on the stack, flags, masked responses. */
#ifndef LUCCA_SILICON_CPU_EXEC_X87_H
#define LUCCA_SILICON_CPU_EXEC_X87_H

#include "silicon/cpu/exec.h"
#include "silicon/cpu/softfloat80.h"
#include "silicon/cpu/x87.h"

static inline struct f80 x87_get(const struct cpu *c, unsigned i)
{
    const struct x87_reg *r = &c->x87.reg[x87_phys(c, i)];

    return (struct f80){r->mant, r->se};
}

static inline void x87_put_st(struct cpu *c, unsigned i, struct f80 v)
{
    unsigned n = x87_phys(c, i);

    c->x87.reg[n].mant = v.mant;
    c->x87.reg[n].se = v.se;
    c->x87.valid |= (uint8_t)(1u << n);
}

static inline void x87_pop(struct cpu *c)
{
    c->x87.valid &= (uint8_t) ~(1u << x87_phys(c, 0));
    x87_set_top(c, x87_top(c) + 1);
}

static inline void x87_push(struct cpu *c, struct f80 v)
{
    x87_set_top(c, x87_top(c) - 1);
    x87_put_st(c, 0, v);
}

static inline void x87_set_cc(struct cpu *c, unsigned c3_c2_c0)
{
    c->x87.sw = (uint16_t)((c->x87.sw & ~(X87_C0 | X87_C2 | X87_C3)) | c3_c2_c0);
}

/* What every non-control instruction starts with, once its memory operand is in hand: nothing it
 * does from here can fault. C1 is clear unless something sets it, but for a few that keep it. */
static inline struct f80_env x87_begin_c1(struct cpu *c, const struct op *o)
{
    x87_track(c, o);
    return (struct f80_env){.cw = c->x87.cw};
}
static inline struct f80_env x87_begin(struct cpu *c, const struct op *o)
{
    c->x87.sw &= (uint16_t)~X87_C1;
    return x87_begin_c1(c, o);
}

/* Raises what `e` gathered. False: the operation must not happen. */
static inline bool x87_raise(struct cpu *c, const struct f80_env *e)
{
    c->x87.sw |= e->flags;
    if (UNLIKELY(e->flags & ~e->cw & X87_FLAGS)) {
        c->x87.sw |= X87_ES | X87_B;
        return !f80_stops(e);
    }
    return true;
}

/* A stack fault: an empty register read, or (`overflow`) a full one pushed on. True where invalid
 * operations are masked: the indefinite stands in for the value. */
static inline bool x87_stack_fault(struct cpu *c, struct f80_env *e, bool overflow)
{
    e->flags = (uint16_t)(X87_IE | X87_SF | (overflow ? X87_C1 : 0));
    c->x87.sw &= (uint16_t)~X87_C1;
    return x87_raise(c, e);
}

/* Pushes the value `v` that raised e->flags, or says why not. A denormal is pushed even where it is
 * an unmasked exception. */
static inline void x87_push_checked(struct cpu *c, struct f80_env *e, struct f80 v)
{
    if (!x87_empty(c, 7)) {
        if (x87_stack_fault(c, e, true))
            x87_push(c, F80_INDEFINITE);
    } else if (x87_raise(c, e) || !(e->flags & ~e->cw & X87_IE)) {
        x87_push(c, v);
    }
}

#endif
