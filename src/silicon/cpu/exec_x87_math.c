/* x87 transcendental instructions, by MPFR.
 *
 * Each result is computed to 192 bits and rounded once, as the control word says, so that it is the
 * correctly rounded one wherever 192 bits tell (the hardware's own is within one last place). Two
 * habits of the hardware are kept: FSIN, FCOS, FSINCOS and FPTAN reduce their operand by a pi of 66
 * bits, and every result but an obvious one is flagged inexact.
 */
#include "silicon/cpu/exec_x87.h"

#include <mpfr.h>

#define BITS 192

/* Operands and results of one instruction. MPFR may use the host's floating point: the guest's
 * rounding and flags are out of its way between enter and leave. */
struct math {
    mpfr_t x, y, r, t;
};

static void math_enter(struct cpu *c, struct math *m)
{
    fpenv_leave(c);
    mpfr_inits2(BITS, m->x, m->y, m->r, m->t, (mpfr_ptr)0);
}

static void math_leave(struct cpu *c, struct math *m)
{
    mpfr_clears(m->x, m->y, m->r, m->t, (mpfr_ptr)0);
    fpenv_enter(c);
}

void x87_math_free(void)
{
    mpfr_free_cache();
}

/* A finite number, denormals included. */
static void to_mpfr(mpfr_t to, struct f80 a)
{
    int exp = a.se & 0x7FFF;

    mpfr_set_ui_2exp(to, a.mant, (exp ? exp : 1) - F80_BIAS - 63, MPFR_RNDN);
    if (f80_sign(a))
        mpfr_neg(to, to, MPFR_RNDN);
}

/* Rounds a result other than zero. `inexact`: the true value lies a little beyond it. */
static struct f80 from_mpfr(struct f80_env *e, mpfr_t r, mpfr_t t, bool inexact)
{
    mpfr_exp_t exp = mpfr_get_exp(r);
    bool sign = mpfr_signbit(r);
    struct f80 out;
    uint64_t high, low;

    mpfr_abs(t, r, MPFR_RNDN);
    mpfr_mul_2si(t, t, 64 - exp, MPFR_RNDN);
    high = mpfr_get_ui(t, MPFR_RNDZ);
    mpfr_sub_ui(t, t, high, MPFR_RNDN);
    mpfr_mul_2si(t, t, 64, MPFR_RNDN);
    low = mpfr_get_ui(t, MPFR_RNDZ);
    mpfr_sub_ui(t, t, low, MPFR_RNDN);
    e->flags |= F80_INEXACT;
    out = f80_compose(e, sign, (int32_t)exp - 1, high, low, inexact || !mpfr_zero_p(t));
    if (!(out.se & 0x7FFF))
        e->flags |= F80_UNDERFLOW; /* tiny, and flagged inexact */
    return out;
}

static bool is_zero(struct f80 a)
{
    return f80_classify(a) == F80_IS_ZERO;
}
static bool is_infinite(struct f80 a)
{
    return f80_classify(a) == F80_IS_INFINITE;
}
static bool is_denormal(struct f80 a)
{
    return f80_classify(a) == F80_IS_DENORMAL;
}

static struct f80 signed_zero(bool sign)
{
    return (struct f80){0, (uint16_t)(sign << 15)};
}
static struct f80 signed_infinity(bool sign)
{
    return (struct f80){UINT64_C(1) << 63, (uint16_t)(0x7FFF | sign << 15)};
}
static const struct f80 one = {UINT64_C(1) << 63, F80_BIAS};

static struct f80 invalid(struct f80_env *e)
{
    e->flags |= F80_INVALID;
    return F80_INDEFINITE;
}

/* True: an unmasked denormal operand ends the instruction. */
static bool denormal_stops(struct f80_env *e, bool denormal)
{
    if (denormal)
        e->flags |= F80_DENORMAL;
    return f80_stops(e);
}

static int compare_abs_one(struct f80 a)
{
    int exp = a.se & 0x7FFF;

    if (exp != F80_BIAS)
        return exp < F80_BIAS ? -1 : 1;
    return a.mant > one.mant;
}

/* ---- 2^x - 1 ---- */

/* Defined for |x| <= 1; beyond, the hardware leaves x. */
static struct f80 two_to_x_less_1(struct cpu *c, struct f80_env *e, struct f80 x)
{
    struct math m;
    struct f80 r;

    if (f80_nan_response(e, x, &r))
        return r;
    if (is_zero(x) || denormal_stops(e, is_denormal(x)))
        return x;
    if (is_infinite(x))
        return f80_sign(x) ? (struct f80){one.mant, 0x8000 | F80_BIAS} : x;
    if (compare_abs_one(x) > 0) {
        e->flags |= F80_INEXACT;
        return x;
    }
    math_enter(c, &m);
    to_mpfr(m.x, x);
    if (compare_abs_one(x) == 0) {
        mpfr_set_d(m.r, f80_sign(x) ? -0.5 : 1.0, MPFR_RNDN);
        r = from_mpfr(e, m.r, m.t, false);
    } else {
        mpfr_const_log2(m.t, MPFR_RNDN);
        mpfr_mul(m.x, m.x, m.t, MPFR_RNDN);
        mpfr_expm1(m.r, m.x, MPFR_RNDN);
        r = from_mpfr(e, m.r, m.t, true);
    }
    math_leave(c, &m);
    return r;
}

static void f2xm1(struct cpu *c, const struct op *o)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0)) {
        if (x87_stack_fault(c, &e, false))
            x87_put_st(c, 0, r);
    } else {
        r = two_to_x_less_1(c, &e, x87_get(c, 0));
        if (x87_raise(c, &e))
            x87_put_st(c, 0, r);
    }
}
EXEC_BODY(f2xm1, f2xm1);

/* ---- ST(1) = fn(ST(0), ST(1)), pop ---- */

typedef struct f80 math2_fn(struct cpu *c, struct f80_env *e, struct f80 x, struct f80 y);

/* y * log2(x) where log2(x) has the sign `below_one` and is zero, infinite or finite. */
static struct f80 log_times(struct f80_env *e, struct f80 y, bool log_zero, bool log_infinite,
                            bool below_one, bool *done)
{
    bool sign = f80_sign(y) ^ below_one;

    *done = true;
    if (log_infinite)
        return is_zero(y) ? invalid(e) : signed_infinity(sign);
    if (is_infinite(y))
        return log_zero ? invalid(e) : signed_infinity(sign);
    if (log_zero || is_zero(y))
        return signed_zero(sign);
    *done = false;
    return y;
}

static struct f80 y_log2_x(struct cpu *c, struct f80_env *e, struct f80 x, struct f80 y)
{
    struct math m;
    struct f80 r;
    bool done, inexact;

    if (f80_nan_response2(e, x, y, &r))
        return r;
    if (is_zero(x)) {
        if (is_zero(y))
            return invalid(e);
        if (is_infinite(y))
            return signed_infinity(!f80_sign(y));
        e->flags |= F80_ZERODIV;
        return signed_infinity(!f80_sign(y));
    }
    if (f80_sign(x))
        return invalid(e);
    r = log_times(e, y, x.se == one.se && x.mant == one.mant, is_infinite(x),
                  compare_abs_one(x) < 0, &done);
    if (f80_stops(e) || denormal_stops(e, is_denormal(x) || is_denormal(y)) || done)
        return r;
    math_enter(c, &m);
    to_mpfr(m.x, x);
    to_mpfr(m.y, y);
    inexact = mpfr_log2(m.r, m.x, MPFR_RNDZ) != 0;
    mpfr_mul(m.r, m.r, m.y, MPFR_RNDZ);
    r = from_mpfr(e, m.r, m.t, inexact);
    math_leave(c, &m);
    return r;
}

/* Meant for |x| < 1 - sqrt(1/2). Above, the hardware goes on; from -1 down it leaves x. */
static struct f80 y_log2_x1(struct cpu *c, struct f80_env *e, struct f80 x, struct f80 y)
{
    struct math m;
    struct f80 r;
    bool done;

    if (f80_nan_response2(e, x, y, &r))
        return r;
    if (is_infinite(x) && f80_sign(x))
        return invalid(e);
    r = log_times(e, y, is_zero(x), is_infinite(x), f80_sign(x), &done);
    if (f80_stops(e) || denormal_stops(e, is_denormal(x) || is_denormal(y)) || done)
        return r;
    if (f80_sign(x) && compare_abs_one(x) >= 0) {
        e->flags |= F80_INEXACT;
        return x;
    }
    math_enter(c, &m);
    to_mpfr(m.x, x);
    to_mpfr(m.y, y);
    mpfr_log1p(m.r, m.x, MPFR_RNDN);
    mpfr_const_log2(m.t, MPFR_RNDN);
    mpfr_div(m.r, m.r, m.t, MPFR_RNDN);
    mpfr_mul(m.r, m.r, m.y, MPFR_RNDN);
    r = from_mpfr(e, m.r, m.t, true);
    math_leave(c, &m);
    return r;
}

/* The angle of (x, y): every pair has one (APM5, FPATAN). */
static struct f80 angle(struct cpu *c, struct f80_env *e, struct f80 x, struct f80 y)
{
    struct math m;
    struct f80 r;

    if (f80_nan_response2(e, x, y, &r))
        return r;
    if (denormal_stops(e, is_denormal(x) || is_denormal(y)))
        return r;
    if (is_zero(y) && !f80_sign(x))
        return y;
    if (is_infinite(x) && !f80_sign(x) && !is_infinite(y))
        return signed_zero(f80_sign(y));
    math_enter(c, &m);
    if (is_infinite(x))
        mpfr_set_inf(m.x, f80_sign(x) ? -1 : 1);
    else
        to_mpfr(m.x, x);
    if (is_infinite(y))
        mpfr_set_inf(m.y, f80_sign(y) ? -1 : 1);
    else
        to_mpfr(m.y, y);
    mpfr_atan2(m.r, m.y, m.x, MPFR_RNDZ);
    r = from_mpfr(e, m.r, m.t, true);
    math_leave(c, &m);
    return r;
}

static inline void math2(struct cpu *c, const struct op *o, math2_fn *fn)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        if (!x87_stack_fault(c, &e, false))
            return;
    } else {
        r = fn(c, &e, x87_get(c, 0), x87_get(c, 1));
        if (!x87_raise(c, &e))
            return;
    }
    x87_put_st(c, 1, r);
    x87_pop(c);
}

static void fyl2x(struct cpu *c, const struct op *o)
{
    math2(c, o, y_log2_x);
    NEXT(c, o);
}
EXEC_ANY(fyl2x, fyl2x);

static void fyl2xp1(struct cpu *c, const struct op *o)
{
    math2(c, o, y_log2_x1);
    NEXT(c, o);
}
EXEC_ANY(fyl2xp1, fyl2xp1);

static void fpatan(struct cpu *c, const struct op *o)
{
    math2(c, o, angle);
    NEXT(c, o);
}
EXEC_ANY(fpatan, fpatan);

/* ---- sine, cosine, tangent ---- */

/* Takes quarter turns off m->x, by a pi of 66 bits. Returns their number, modulo 4. */
static unsigned reduce_quarter(struct math *m)
{
    long quarters;

    mpfr_set_ui_2exp(m->t, UINT64_C(0xC90FDAA22168C234), 2, MPFR_RNDN);
    mpfr_add_ui(m->t, m->t, 3, MPFR_RNDN);
    mpfr_mul_2si(m->t, m->t, -65, MPFR_RNDN);
    mpfr_remquo(m->x, &quarters, m->x, m->t, MPFR_RNDN);
    return (unsigned)quarters & 3;
}

/* Sine of m->x plus that many quarter turns. */
static struct f80 sine(struct f80_env *e, struct math *m, unsigned quarters)
{
    if (quarters & 1)
        mpfr_cos(m->r, m->x, MPFR_RNDZ);
    else
        mpfr_sin(m->r, m->x, MPFR_RNDZ);
    if (quarters & 2)
        mpfr_neg(m->r, m->r, MPFR_RNDN);
    return from_mpfr(e, m->r, m->t, true);
}

static struct f80 tangent(struct f80_env *e, struct math *m, unsigned quarters)
{
    if (quarters & 1) {
        mpfr_cot(m->r, m->x, MPFR_RNDZ);
        mpfr_neg(m->r, m->r, MPFR_RNDN);
    } else {
        mpfr_tan(m->r, m->x, MPFR_RNDZ);
    }
    return from_mpfr(e, m->r, m->t, true);
}

enum trig { SIN, COS, SINCOS, TAN };

/* What ST(0) becomes, and for SINCOS and TAN what is pushed then. */
static struct f80 turn(struct cpu *c, struct f80_env *e, struct f80 x, enum trig what,
                       struct f80 *pushed)
{
    struct math m;
    struct f80 r;
    unsigned quarters;

    *pushed = one;
    if (f80_nan_response(e, x, &r)) {
        *pushed = r;
        return r;
    }
    if (is_infinite(x)) {
        *pushed = F80_INDEFINITE;
        return invalid(e);
    }
    if (is_zero(x))
        return what == COS ? one : x;
    if (denormal_stops(e, is_denormal(x)))
        return x;
    math_enter(c, &m);
    to_mpfr(m.x, x);
    quarters = reduce_quarter(&m);
    if (what == TAN) {
        r = tangent(e, &m, quarters);
    } else {
        if (what == SINCOS) {
            *pushed = sine(e, &m, quarters + 1);
            e->flags &= (uint16_t)~F80_UP;
        }
        r = sine(e, &m, what == COS ? quarters + 1 : quarters);
    }
    math_leave(c, &m);
    return r;
}

static bool out_of_range(struct f80 x)
{
    int exp = x.se & 0x7FFF;

    return exp >= F80_BIAS + 63 && exp < 0x7FFF && x.mant >> 63;
}

static inline void trig(struct cpu *c, const struct op *o, enum trig what)
{
    bool pushes = what == SINCOS || what == TAN;
    struct f80_env e;
    struct f80 r = F80_INDEFINITE, pushed = F80_INDEFINITE;
    bool go;

    x87_wait(c, o);
    e = x87_begin(c, o);
    c->x87.sw &= (uint16_t)~X87_C2;
    if (x87_empty(c, 0) || (pushes && !x87_empty(c, 7))) {
        go = x87_stack_fault(c, &e, !x87_empty(c, 0));
    } else if (out_of_range(x87_get(c, 0))) {
        c->x87.sw |= X87_C2;
        return;
    } else {
        r = turn(c, &e, x87_get(c, 0), what, &pushed);
        go = x87_raise(c, &e);
    }
    if (!go)
        return;
    x87_put_st(c, 0, r);
    if (pushes)
        x87_push(c, pushed);
}

#define TRIG(name, what)                                                                           \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        trig(c, o, what);                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
TRIG(fsin, SIN);
TRIG(fcos, COS);
TRIG(fsincos, SINCOS);
TRIG(fptan, TAN);
