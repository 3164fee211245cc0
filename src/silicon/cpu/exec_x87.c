/* x87 instructions: moves, arithmetic, comparison, stack management (APM1 6.4). */
#include "silicon/cpu/exec_x87.h"

/* ---- memory operands as 80-bit numbers ---- */

enum source { MEM_F32, MEM_F64, MEM_I16, MEM_I32, MEM_I64 };

static inline uint64_t mem_raw(struct cpu *c, const struct op *o, enum source kind)
{
    switch (kind) {
    case MEM_I16:
        return mem_load16(c, o, ea(c, o, 2, ACCESS_READ));
    case MEM_F32:
    case MEM_I32:
        return mem_load32(c, o, ea(c, o, 4, ACCESS_READ));
    default:
        return mem_load64(c, o, ea(c, o, 8, ACCESS_READ));
    }
}

static inline struct f80 from_raw(uint64_t raw, enum source kind, struct f80_env *e)
{
    switch (kind) {
    case MEM_F32:
        return f80_from_f32(e, (uint32_t)raw);
    case MEM_F64:
        return f80_from_f64(e, raw);
    case MEM_I16:
        return f80_from_i64((int16_t)raw);
    case MEM_I32:
        return f80_from_i64((int32_t)raw);
    default:
        return f80_from_i64((int64_t)raw);
    }
}

/* ---- loads ---- */

static inline void load_mem(struct cpu *c, const struct op *o, enum source kind)
{
    struct f80_env e;
    struct f80 v;
    uint64_t raw;

    x87_wait(c, o);
    raw = mem_raw(c, o, kind);
    e = x87_begin(c, o);
    v = from_raw(raw, kind, &e);
    x87_push_checked(c, &e, v);
}

#define LOAD(name, kind)                                                                           \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        load_mem(c, o, kind);                                                                      \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
LOAD(fld_m32, MEM_F32);
LOAD(fld_m64, MEM_F64);
LOAD(fild_m16, MEM_I16);
LOAD(fild_m32, MEM_I32);
LOAD(fild_m64, MEM_I64);

/* 80-bit loads and stores move bits: no operand is special. */
static void fld_m80(struct cpu *c, const struct op *o)
{
    uint8_t raw[10];
    struct f80_env e;

    x87_wait(c, o);
    mem_load(c, o, ea(c, o, 10, ACCESS_READ), raw, 10);
    e = x87_begin(c, o);
    x87_push_checked(c, &e, (struct f80){load64(raw), load16(raw + 8)});
}
EXEC_BODY(fld_m80, fld_m80);

static void fbld(struct cpu *c, const struct op *o)
{
    uint8_t raw[10];
    struct f80_env e;

    x87_wait(c, o);
    mem_load(c, o, ea(c, o, 10, ACCESS_READ), raw, 10);
    e = x87_begin(c, o);
    x87_push_checked(c, &e, f80_from_bcd(raw));
}
EXEC_BODY(fbld, fbld);

static void fld_st(struct cpu *c, const struct op *o)
{
    struct f80_env e;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, o->d)) {
        if (x87_stack_fault(c, &e, false))
            x87_push(c, F80_INDEFINITE);
    } else {
        x87_push_checked(c, &e, x87_get(c, o->d));
    }
    NEXT(c, o);
}
EXEC_ANY(fld_st, fld_st);

/* Constants follow the rounding control (not the precision). `cut`: the 64 bits of the significand
 * rounded to zero; `nearest`: whether rounding to nearest goes up. */
struct constant {
    uint64_t cut;
    uint16_t exp;
    bool inexact, nearest;
};
static const struct constant f_one = {UINT64_C(0x8000000000000000), 0x3FFF, false, false};
static const struct constant f_l2t = {UINT64_C(0xD49A784BCD1B8AFE), 0x4000, true, false};
static const struct constant f_l2e = {UINT64_C(0xB8AA3B295C17F0BB), 0x3FFF, true, true};
static const struct constant f_pi = {UINT64_C(0xC90FDAA22168C234), 0x4000, true, true};
static const struct constant f_lg2 = {UINT64_C(0x9A209A84FBCFF798), 0x3FFD, true, true};
static const struct constant f_ln2 = {UINT64_C(0xB17217F7D1CF79AB), 0x3FFE, true, true};
static const struct constant f_zero = {0, 0, false, false};

static void load_constant(struct cpu *c, const struct op *o, const struct constant *k)
{
    enum f80_rounding r = F80_ROUNDING(c->x87.cw);
    struct f80_env e;
    bool up;

    x87_wait(c, o);
    e = x87_begin(c, o);
    up = k->inexact && (r == F80_UPWARD || (r == F80_NEAREST && k->nearest));
    x87_push_checked(c, &e, (struct f80){k->cut + up, k->exp});
}

#define CONSTANT(name, value)                                                                      \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        load_constant(c, o, &value);                                                               \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
CONSTANT(fld1, f_one);
CONSTANT(fldl2t, f_l2t);
CONSTANT(fldl2e, f_l2e);
CONSTANT(fldpi, f_pi);
CONSTANT(fldlg2, f_lg2);
CONSTANT(fldln2, f_ln2);
CONSTANT(fldz, f_zero);

/* ---- stores ---- */

enum target { TO_F32, TO_F64, TO_I16, TO_I32, TO_I64, TO_F80, TO_BCD };
static const uint8_t target_size[] = {4, 8, 2, 4, 8, 10, 10};

static void convert(struct f80_env *e, struct f80 v, enum target to, bool chop, uint8_t out[10])
{
    enum f80_rounding r = chop ? F80_ZERO : F80_ROUNDING(e->cw);

    switch (to) {
    case TO_F32:
        store32(out, f80_to_f32(e, v));
        break;
    case TO_F64:
        store64(out, f80_to_f64(e, v));
        break;
    case TO_I16:
        store16(out, (uint16_t)f80_to_int(e, v, 16, r));
        break;
    case TO_I32:
        store32(out, (uint32_t)f80_to_int(e, v, 32, r));
        break;
    case TO_I64:
        store64(out, (uint64_t)f80_to_int(e, v, 64, r));
        break;
    case TO_F80:
        store64(out, v.mant);
        store16(out + 8, v.se);
        break;
    default:
        f80_to_bcd(e, v, out);
        break;
    }
}

/* An unmasked overflow or underflow keeps a memory destination, and the stack, as they are. */
#define STORE_STOPS (F80_BEFORE | F80_OVERFLOW | F80_UNDERFLOW)

static inline void store_mem(struct cpu *c, const struct op *o, enum target to, bool chop, bool pop)
{
    unsigned size = target_size[to];
    uint64_t la;
    struct f80_env e = {.cw = c->x87.cw};
    uint8_t out[10];

    x87_wait(c, o);
    la = ea(c, o, size, ACCESS_WRITE);
    if (UNLIKELY(x87_empty(c, 0))) {
        e.flags = X87_IE | X87_SF;
        convert(&(struct f80_env){.cw = c->x87.cw}, F80_INDEFINITE, to, chop, out);
    } else {
        convert(&e, x87_get(c, 0), to, chop, out);
    }
    if (!(e.flags & ~e.cw & STORE_STOPS))
        mem_store(c, o, la, out, size);
    (void)x87_begin(c, o);
    (void)x87_raise(c, &e);
    if (pop && !(e.flags & ~e.cw & STORE_STOPS))
        x87_pop(c);
}

#define STORE(name, to, chop, pop)                                                                 \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        store_mem(c, o, to, chop, pop);                                                            \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
STORE(fst_m32, TO_F32, false, false);
STORE(fst_m64, TO_F64, false, false);
STORE(fstp_m32, TO_F32, false, true);
STORE(fstp_m64, TO_F64, false, true);
STORE(fstp_m80, TO_F80, false, true);
STORE(fist_m16, TO_I16, false, false);
STORE(fist_m32, TO_I32, false, false);
STORE(fistp_m16, TO_I16, false, true);
STORE(fistp_m32, TO_I32, false, true);
STORE(fistp_m64, TO_I64, false, true);
STORE(fisttp_m16, TO_I16, true, true);
STORE(fisttp_m32, TO_I32, true, true);
STORE(fisttp_m64, TO_I64, true, true);
STORE(fbstp, TO_BCD, false, true);

static inline void store_st(struct cpu *c, const struct op *o, bool pop)
{
    struct f80_env e;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0)) {
        if (!x87_stack_fault(c, &e, false))
            return;
        x87_put_st(c, o->d, F80_INDEFINITE);
    } else {
        x87_put_st(c, o->d, x87_get(c, 0));
    }
    if (pop)
        x87_pop(c);
}

static void fst_st(struct cpu *c, const struct op *o)
{
    store_st(c, o, false);
    NEXT(c, o);
}
EXEC_ANY(fst_st, fst_st);

static void fstp_st(struct cpu *c, const struct op *o)
{
    store_st(c, o, true);
    NEXT(c, o);
}
EXEC_ANY(fstp_st, fstp_st);

/* The alias D9 D8 pops an empty register without a word. */
static void fstp1_st(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    (void)x87_begin(c, o);
    if (!x87_empty(c, 0))
        x87_put_st(c, o->d, x87_get(c, 0));
    x87_pop(c);
    NEXT(c, o);
}
EXEC_ANY(fstp1_st, fstp1_st);

/* ---- register moves and the stack ---- */

static void fxch(struct cpu *c, const struct op *o)
{
    struct f80_env e;
    struct f80 a = F80_INDEFINITE, b = F80_INDEFINITE;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (!x87_empty(c, 0))
        a = x87_get(c, 0);
    if (!x87_empty(c, o->d))
        b = x87_get(c, o->d);
    if ((!x87_empty(c, 0) && !x87_empty(c, o->d)) || x87_stack_fault(c, &e, false)) {
        x87_put_st(c, o->d, a);
        x87_put_st(c, 0, b);
    }
    NEXT(c, o);
}
EXEC_ANY(fxch, fxch);

static inline void move_if(struct cpu *c, const struct op *o, bool condition_holds)
{
    struct f80_env e;

    x87_wait(c, o);
    e = x87_begin_c1(c, o);
    if (x87_empty(c, 0) || x87_empty(c, o->s)) {
        if (x87_stack_fault(c, &e, false))
            x87_put_st(c, 0, F80_INDEFINITE);
    } else if (condition_holds) {
        x87_put_st(c, 0, x87_get(c, o->s));
    }
}

#define MOVE_IF(name, expr)                                                                        \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        move_if(c, o, expr);                                                                       \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
MOVE_IF(fcmovb, flag_c(c));
MOVE_IF(fcmove, flag_z(c));
MOVE_IF(fcmovbe, flag_c(c) || flag_z(c));
MOVE_IF(fcmovu, flag_p(c));
MOVE_IF(fcmovnb, !flag_c(c));
MOVE_IF(fcmovne, !flag_z(c));
MOVE_IF(fcmovnbe, !flag_c(c) && !flag_z(c));
MOVE_IF(fcmovnu, !flag_p(c));

static void fnop(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    x87_track(c, o);
    NEXT(c, o);
}
EXEC_ANY(fnop, fnop);

static void fincstp(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    (void)x87_begin(c, o);
    x87_set_top(c, x87_top(c) + 1);
    NEXT(c, o);
}
EXEC_ANY(fincstp, fincstp);

static void fdecstp(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    (void)x87_begin(c, o);
    x87_set_top(c, x87_top(c) - 1);
    NEXT(c, o);
}
EXEC_ANY(fdecstp, fdecstp);

static void ffree(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    (void)x87_begin(c, o);
    c->x87.valid &= (uint8_t) ~(1u << x87_phys(c, o->d));
    NEXT(c, o);
}
EXEC_ANY(ffree, ffree);

static void ffreep(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    (void)x87_begin(c, o);
    c->x87.valid &= (uint8_t) ~(1u << x87_phys(c, o->d));
    x87_pop(c);
    NEXT(c, o);
}
EXEC_ANY(ffreep, ffreep);

/* ---- one operand, ST(0) to ST(0) ---- */

static struct f80 change_sign(struct f80_env *e, struct f80 a)
{
    (void)e;
    a.se ^= 0x8000;
    return a;
}

static struct f80 absolute(struct f80_env *e, struct f80 a)
{
    (void)e;
    a.se &= 0x7FFF;
    return a;
}

static inline void unary(struct cpu *c, const struct op *o,
                         struct f80 (*fn)(struct f80_env *, struct f80))
{
    struct f80_env e;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0)) {
        if (x87_stack_fault(c, &e, false))
            x87_put_st(c, 0, F80_INDEFINITE);
    } else {
        struct f80 r = fn(&e, x87_get(c, 0));

        if (x87_raise(c, &e))
            x87_put_st(c, 0, r);
    }
}

#define UNARY(name, fn)                                                                            \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        unary(c, o, fn);                                                                           \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
UNARY(fchs, change_sign);
UNARY(fabs_st, absolute);
UNARY(fsqrt, f80_sqrt);
UNARY(frndint, f80_round_int);

static void fxam(struct cpu *c, const struct op *o)
{
    static const uint16_t codes[] = {
        [F80_IS_UNSUPPORTED] = 0, [F80_IS_NAN] = X87_C0,
        [F80_IS_NORMAL] = X87_C2, [F80_IS_INFINITE] = X87_C2 | X87_C0,
        [F80_IS_ZERO] = X87_C3,   [F80_IS_DENORMAL] = X87_C3 | X87_C2,
    };
    struct f80 a = x87_get(c, 0);

    x87_wait(c, o);
    (void)x87_begin(c, o);
    x87_set_cc(c, x87_empty(c, 0) ? X87_C3 | X87_C0 : codes[f80_classify(a)]);
    if (f80_sign(a))
        c->x87.sw |= X87_C1;
    NEXT(c, o);
}
EXEC_ANY(fxam, fxam);

/* ---- two operands ---- */

typedef struct f80 binary_fn(struct f80_env *e, struct f80 a, struct f80 b);

static struct f80 sub_reversed(struct f80_env *e, struct f80 a, struct f80 b)
{
    return f80_sub(e, b, a);
}

static struct f80 div_reversed(struct f80_env *e, struct f80 a, struct f80 b)
{
    return f80_div(e, b, a);
}

/* ST(d) = fn(ST(d), ST(s)). */
static inline void binary_st(struct cpu *c, const struct op *o, binary_fn *fn, bool pop)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, o->d) || x87_empty(c, o->s)) {
        if (!x87_stack_fault(c, &e, false))
            return;
    } else {
        r = fn(&e, x87_get(c, o->d), x87_get(c, o->s));
        if (!x87_raise(c, &e))
            return;
    }
    x87_put_st(c, o->d, r);
    if (pop)
        x87_pop(c);
}

/* A memory operand's signalling NaN stays one until the operation has seen it, and what was
 * denormal is told to it: beside a NaN, that counts for nothing. */
static struct f80 operand_of(struct f80_env *e, uint64_t raw, enum source kind)
{
    struct f80_env special = {.cw = 0};
    struct f80 v = from_raw(raw, kind, &special);

    e->denormal = special.flags & F80_DENORMAL;
    if (special.flags & F80_INVALID)
        v.mant &= ~(UINT64_C(1) << 62);
    return v;
}

static inline void binary_mem(struct cpu *c, const struct op *o, binary_fn *fn, enum source kind)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;
    uint64_t raw;

    x87_wait(c, o);
    raw = mem_raw(c, o, kind);
    e = x87_begin(c, o);
    if (x87_empty(c, 0)) {
        if (!x87_stack_fault(c, &e, false))
            return;
    } else {
        struct f80 b = operand_of(&e, raw, kind);

        r = fn(&e, x87_get(c, 0), b);
        if (!x87_raise(c, &e))
            return;
    }
    x87_put_st(c, 0, r);
}

#define ARITHMETIC(name, fn)                                                                       \
    static void name##_st(struct cpu *c, const struct op *o)                                       \
    {                                                                                              \
        binary_st(c, o, fn, false);                                                                \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##p_st(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        binary_st(c, o, fn, true);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m32(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        binary_mem(c, o, fn, MEM_F32);                                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m64(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        binary_mem(c, o, fn, MEM_F64);                                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_i16(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        binary_mem(c, o, fn, MEM_I16);                                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_i32(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        binary_mem(c, o, fn, MEM_I32);                                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name##_st, name##_st);                                                                \
    EXEC_ANY(name##p_st, name##p_st);                                                              \
    EXEC_ANY(name##_m32, name##_m32);                                                              \
    EXEC_ANY(name##_m64, name##_m64);                                                              \
    EXEC_ANY(name##_i16, name##_i16);                                                              \
    EXEC_ANY(name##_i32, name##_i32)
ARITHMETIC(fadd, f80_add);
ARITHMETIC(fmul, f80_mul);
ARITHMETIC(fsub, f80_sub);
ARITHMETIC(fsubr, sub_reversed);
ARITHMETIC(fdiv, f80_div);
ARITHMETIC(fdivr, div_reversed);

static void fscale(struct cpu *c, const struct op *o)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        if (x87_stack_fault(c, &e, false))
            x87_put_st(c, 0, r);
    } else {
        r = f80_scale(&e, x87_get(c, 0), x87_get(c, 1));
        if (x87_raise(c, &e))
            x87_put_st(c, 0, r);
    }
}
EXEC_BODY(fscale, fscale);

/* The exponent replaces ST(0); the significand is pushed. */
static void fxtract(struct cpu *c, const struct op *o)
{
    struct f80_env e;
    struct f80 exponent = F80_INDEFINITE, significand = F80_INDEFINITE;
    bool go;

    x87_wait(c, o);
    e = x87_begin(c, o);
    if (x87_empty(c, 0) || !x87_empty(c, 7)) {
        go = x87_stack_fault(c, &e, !x87_empty(c, 0));
    } else {
        exponent = f80_extract(&e, x87_get(c, 0), &significand);
        go = x87_raise(c, &e);
    }
    if (go) {
        x87_put_st(c, 0, exponent);
        x87_push(c, significand);
    }
}
EXEC_BODY(fxtract, fxtract);

static inline void remainder_step(struct cpu *c, const struct op *o, bool nearest)
{
    struct f80_env e;
    struct f80 r = F80_INDEFINITE;
    unsigned q = 0;
    bool partial = false;

    x87_wait(c, o);
    e = x87_begin(c, o);
    c->x87.sw &= (uint16_t)~X87_C2;
    if (x87_empty(c, 0) || x87_empty(c, 1)) {
        if (x87_stack_fault(c, &e, false))
            x87_put_st(c, 0, r);
        return;
    }
    r = f80_rem(&e, x87_get(c, 0), x87_get(c, 1), nearest, &q, &partial);
    if (!x87_raise(c, &e))
        return;
    x87_put_st(c, 0, r);
    if (e.flags & F80_INVALID || f80_classify(r) == F80_IS_NAN)
        return;
    x87_set_cc(c, (partial ? X87_C2 : 0) | (q & 4 ? X87_C0 : 0) | (q & 2 ? X87_C3 : 0));
    if (q & 1)
        c->x87.sw |= X87_C1;
}

static void fprem(struct cpu *c, const struct op *o)
{
    remainder_step(c, o, false);
    NEXT(c, o);
}
EXEC_ANY(fprem, fprem);

static void fprem1(struct cpu *c, const struct op *o)
{
    remainder_step(c, o, true);
    NEXT(c, o);
}
EXEC_ANY(fprem1, fprem1);

/* ---- comparison ---- */

static void set_order(struct cpu *c, enum f80_order order)
{
    static const uint16_t codes[] = {
        [F80_LESS] = X87_C0,
        [F80_EQUAL] = X87_C3,
        [F80_GREATER] = 0,
        [F80_UNORDERED] = X87_C0 | X87_C2 | X87_C3,
    };

    x87_set_cc(c, codes[order]);
}

/* Compares ST(0) with `b` unless either is empty. True: the outcome stands, the stack may pop. */
static inline bool compare(struct cpu *c, struct f80_env *e, struct f80 b, bool empty, bool quiet,
                           enum f80_order *order)
{
    *order = F80_UNORDERED;
    if (empty)
        return x87_stack_fault(c, e, false);
    *order = f80_compare(e, x87_get(c, 0), b, quiet);
    return x87_raise(c, e);
}

static inline void compare_st(struct cpu *c, const struct op *o, unsigned i, bool quiet,
                              unsigned pops)
{
    struct f80_env e;
    enum f80_order order;
    bool stands;

    x87_wait(c, o);
    e = x87_begin(c, o);
    stands = compare(c, &e, x87_get(c, i), x87_empty(c, 0) || x87_empty(c, i), quiet, &order);
    set_order(c, order);
    while (stands && pops--)
        x87_pop(c);
}

static inline void compare_mem(struct cpu *c, const struct op *o, enum source kind, bool pop)
{
    struct f80_env e;
    enum f80_order order;
    uint64_t raw;

    x87_wait(c, o);
    raw = mem_raw(c, o, kind);
    e = x87_begin(c, o);
    if (compare(c, &e, operand_of(&e, raw, kind), x87_empty(c, 0), false, &order) && pop) {
        set_order(c, order);
        x87_pop(c);
    } else {
        set_order(c, order);
    }
}

#define COMPARE_ST(name, quiet, pops)                                                              \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        compare_st(c, o, (pops) == 2 ? 1 : o->s, quiet, pops);                                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
COMPARE_ST(fcom_st, false, 0);
COMPARE_ST(fcomp_st, false, 1);
COMPARE_ST(fcompp, false, 2);
COMPARE_ST(fucom_st, true, 0);
COMPARE_ST(fucomp_st, true, 1);
COMPARE_ST(fucompp, true, 2);

#define COMPARE_MEM(name, kind, pop)                                                               \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        compare_mem(c, o, kind, pop);                                                              \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
COMPARE_MEM(fcom_m32, MEM_F32, false);
COMPARE_MEM(fcom_m64, MEM_F64, false);
COMPARE_MEM(ficom_m16, MEM_I16, false);
COMPARE_MEM(ficom_m32, MEM_I32, false);
COMPARE_MEM(fcomp_m32, MEM_F32, true);
COMPARE_MEM(fcomp_m64, MEM_F64, true);
COMPARE_MEM(ficomp_m16, MEM_I16, true);
COMPARE_MEM(ficomp_m32, MEM_I32, true);

static void ftst(struct cpu *c, const struct op *o)
{
    struct f80_env e;
    enum f80_order order;

    x87_wait(c, o);
    e = x87_begin(c, o);
    (void)compare(c, &e, (struct f80){0, 0}, x87_empty(c, 0), false, &order);
    set_order(c, order);
}
EXEC_BODY(ftst, ftst);

/* Into RFLAGS: ZF, PF and CF; the others become zero. */
static inline void compare_flags(struct cpu *c, const struct op *o, bool quiet, bool pop)
{
    struct f80_env e;
    enum f80_order order;
    bool stands;

    x87_wait(c, o);
    e = x87_begin_c1(c, o);
    stands = compare(c, &e, x87_get(c, o->s), x87_empty(c, 0) || x87_empty(c, o->s), quiet, &order);
    flags_set(c, false, false, order == F80_EQUAL || order == F80_UNORDERED, false,
              order == F80_UNORDERED, order == F80_LESS || order == F80_UNORDERED);
    if (stands && pop)
        x87_pop(c);
}

#define COMPARE_FLAGS(name, quiet, pop)                                                            \
    static void name(struct cpu *c, const struct op *o)                                            \
    {                                                                                              \
        compare_flags(c, o, quiet, pop);                                                           \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, name)
COMPARE_FLAGS(fcomi, false, false);
COMPARE_FLAGS(fcomip, false, true);
COMPARE_FLAGS(fucomi, true, false);
COMPARE_FLAGS(fucomip, true, true);
