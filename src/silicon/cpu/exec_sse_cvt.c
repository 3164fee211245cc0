/* Conversions between integers, halves, singles and doubles. */
#include "silicon/cpu/exec_fp.h"

/* ---- same width: 4 to 4 bytes ---- */
NATIVE1(cvtdq2ps, "cvtdq2ps")
NATIVE1(cvtps2dq, "cvtps2dq")
NATIVE1(cvttps2dq, "cvttps2dq")
SOFT_PACKED(cvtdq2ps, d, fp_from_i32(f, (int32_t)y))
SOFT_PACKED(cvtps2dq, d, fp_to_i32_32(f, y, f->rounding))
SOFT_PACKED(cvttps2dq, d, fp_to_i32_32(f, y, ROUND_ZERO))
FP_PACKED1(cvtdq2ps, true);
FP_PACKED1(cvtps2dq, true);
FP_PACKED1(cvttps2dq, true);

/* ---- scalars: element 0 alone ---- */
NATIVE_SCALAR(cvtss2sd, "cvtss2sd", d)
NATIVE_SCALAR(cvtsd2ss, "cvtsd2ss", q)
static void soft_cvtss2sd(struct fp *f, union lane *r, const union lane *a, const union lane *b,
                          unsigned imm)
{
    *r = *a;
    r->q[0] = fp_32_to_64(f, b->d[0]);
}
static void soft_cvtsd2ss(struct fp *f, union lane *r, const union lane *a, const union lane *b,
                          unsigned imm)
{
    *r = *a;
    r->d[0] = fp_64_to_32(f, b->q[0]);
}
FP_SCALAR(cvtss2sd, 4, true);
FP_SCALAR(cvtsd2ss, 8, true);

/* ---- a general register or memory to element 0 ---- */
#if FP_NATIVE
#define FROM_INTEGER(text, v, type)                                                                \
    do {                                                                                           \
        xmm x = *(const xmm *)&r;                                                                  \
                                                                                                   \
        __asm__(text " %1, %0" : "+x"(x) : "r"((type)(v)));                                        \
        *(xmm *)&r = x;                                                                            \
    } while (0)
#else
#define FROM_INTEGER(text, v, type) (void)0
#endif

static void from_integer_soft(struct cpu *c, const struct op *o, union lane r, int64_t v,
                              bool to_double)
{
    struct fp f = fp_begin(c);

    if (to_double)
        r.q[0] = fp_from_i64(&f, v);
    else
        r.d[0] = fp_from_i32(&f, v);
    fp_end(c, o, &f);
    lane_done(c, o, o->d, &r);
}

static inline int64_t integer_source(struct cpu *c, const struct op *o)
{
    uint8_t reg = o->flags & OP_VEX ? o->v : o->s;

    if (o->flags & OP_W)
        return (int64_t)(o->flags & OP_MEM ? mem_load64(c, o, ea(c, o, 8, ACCESS_READ))
                                           : c->r[reg]);
    return (int32_t)(o->flags & OP_MEM ? mem_load32(c, o, ea(c, o, 4, ACCESS_READ)) : c->r[reg]);
}

#define CVT_FROM_INTEGER(name, to_double)                                                          \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        int64_t v = integer_source(c, o);                                                          \
        union lane r = *lane_c(vec_src1(c, o), 0);                                                 \
                                                                                                   \
        if (!fp_native(c)) {                                                                       \
            from_integer_soft(c, o, r, v, to_double);                                              \
        } else {                                                                                   \
            if (o->flags & OP_W)                                                                   \
                FROM_INTEGER(#name "q", v, int64_t);                                               \
            else                                                                                   \
                FROM_INTEGER(#name "l", v, int32_t);                                               \
            lane_done(c, o, o->d, &r);                                                             \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
CVT_FROM_INTEGER(cvtsi2ss, false);
CVT_FROM_INTEGER(cvtsi2sd, true);

/* ---- element 0 to a general register ---- */
#if FP_NATIVE
#define TO_INTEGER(text, m, type)                                                                  \
    do {                                                                                           \
        type v;                                                                                    \
                                                                                                   \
        __asm__(text " %1, %0" : "=r"(v) : "m"(b->m[0]));                                          \
        c->r[o->d] = v;                                                                            \
    } while (0)
#else
#define TO_INTEGER(text, m, type) (void)0
#endif

static void to_integer_soft(struct cpu *c, const struct op *o, const union vec *b, bool is_double,
                            bool truncate)
{
    struct fp f = fp_begin(c);
    unsigned mode = truncate ? ROUND_ZERO : f.rounding;
    uint64_t v;

    if (o->flags & OP_W)
        v = is_double ? fp_to_i64_64(&f, b->q[0], mode) : fp_to_i64_32(&f, b->d[0], mode);
    else
        v = is_double ? fp_to_i32_64(&f, b->q[0], mode) : fp_to_i32_32(&f, b->d[0], mode);
    fp_end(c, o, &f);
    c->r[o->d] = v;
}

#define CVT_TO_INTEGER(name, m, is_double, truncate)                                               \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_only(c, o, sizeof(b->m[0]));                                      \
                                                                                                   \
        if (!fp_native(c))                                                                         \
            to_integer_soft(c, o, b, is_double, truncate);                                         \
        else if (o->flags & OP_W)                                                                  \
            TO_INTEGER(#name "q", m, uint64_t);                                                    \
        else                                                                                       \
            TO_INTEGER(#name "l", m, uint32_t);                                                    \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
CVT_TO_INTEGER(cvtss2si, d, false, false);
CVT_TO_INTEGER(cvttss2si, d, false, true);
CVT_TO_INTEGER(cvtsd2si, q, true, false);
CVT_TO_INTEGER(cvttsd2si, q, true, true);

/* ---- other width: kernels over a whole result of `size` bytes (the wider side's size) ---- */
typedef void resize_fn(struct fp *f, wide *r, const union vec *a, unsigned size);

static void resize_soft(struct cpu *c, const struct op *o, resize_fn *k, const union vec *a)
{
    struct fp f = fp_begin(c);
    wide r = {.q = {0}};

    k(&f, &r, a, o->size);
    fp_end(c, o, &f);
    vec_done(c, o, &r);
}

#define RESIZE(name, to, from, expr, wider)                                                        \
    static void soft_##name(struct fp *f, wide *r, const union vec *a, unsigned size)              \
    {                                                                                              \
        for (unsigned i = 0; i < size / (wider); i++)                                              \
            r->to[i] = expr(f, a->from[i]);                                                        \
    }
#define TO_DOUBLE(f, v)     fp_from_i64(f, (int32_t)(v))
#define DOUBLE_TO_INT(f, v) fp_to_i32_64(f, v, (f)->rounding)
#define DOUBLE_TRUNC(f, v)  fp_to_i32_64(f, v, ROUND_ZERO)
RESIZE(cvtps2pd, q, d, fp_32_to_64, 8)
RESIZE(cvtdq2pd, q, d, TO_DOUBLE, 8)
RESIZE(cvtpd2ps, d, q, fp_64_to_32, 8)
RESIZE(cvtpd2dq, d, q, DOUBLE_TO_INT, 8)
RESIZE(cvttpd2dq, d, q, DOUBLE_TRUNC, 8)
RESIZE(vcvtph2ps, d, w, fp_16_to_32, 4)

#if FP_NATIVE
/* 8 bytes of source to each lane */
#define NATIVE_WIDEN(name, text)                                                                   \
    KERNEL native_##name(union lane *r, const uint64_t *a)                                         \
    {                                                                                              \
        xmm x;                                                                                     \
                                                                                                   \
        __asm__(text " %1, %0" : "=x"(x) : "m"(*a));                                               \
        *(xmm *)r = x;                                                                             \
    }
/* each lane to 8 bytes */
#define NATIVE_NARROW(name, text)                                                                  \
    KERNEL native_##name(uint64_t *r, const union lane *a)                                         \
    {                                                                                              \
        xmm x;                                                                                     \
                                                                                                   \
        __asm__(text " %1, %0" : "=x"(x) : "xm"(*(const xmm *)a));                                 \
        *r = x[0];                                                                                 \
    }
#else
#define NATIVE_WIDEN(name, text)                                                                   \
    KERNEL native_##name(union lane *r, const uint64_t *a)                                         \
    {                                                                                              \
    }
#define NATIVE_NARROW(name, text)                                                                  \
    KERNEL native_##name(uint64_t *r, const union lane *a)                                         \
    {                                                                                              \
    }
#endif

#define CVT_WIDEN(name, can)                                                                       \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *a = vec_only(c, o, o->size / 2u);                                         \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        if (fp_native(c) && (can)) {                                                               \
            native_##name(&low, &a->q[0]);                                                         \
            if (o->size == 32)                                                                     \
                native_##name(&high, &a->q[1]);                                                    \
            *lane(&c->vec[o->d], 0) = low;                                                         \
            if (o->flags & OP_VEX)                                                                 \
                *lane(&c->vec[o->d], 1) = high;                                                    \
        } else {                                                                                   \
            resize_soft(c, o, soft_##name, a);                                                     \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
#define CVT_NARROW(name)                                                                           \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *a = vec_only(c, o, o->size);                                              \
        union lane r = {.q = {0, 0}};                                                              \
                                                                                                   \
        if (fp_native(c)) {                                                                        \
            native_##name(&r.q[0], lane_c(a, 0));                                                  \
            if (o->size == 32)                                                                     \
                native_##name(&r.q[1], lane_c(a, 1));                                              \
            lane_done(c, o, o->d, &r);                                                             \
        } else {                                                                                   \
            resize_soft(c, o, soft_##name, a);                                                     \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
NATIVE_WIDEN(cvtps2pd, "cvtps2pd")
NATIVE_WIDEN(cvtdq2pd, "cvtdq2pd")
NATIVE_WIDEN(vcvtph2ps, "vcvtph2ps")
NATIVE_NARROW(cvtpd2ps, "cvtpd2ps")
NATIVE_NARROW(cvtpd2dq, "cvtpd2dq")
NATIVE_NARROW(cvttpd2dq, "cvttpd2dq")
CVT_WIDEN(cvtps2pd, true);
CVT_WIDEN(cvtdq2pd, true);
CVT_WIDEN(vcvtph2ps, HOST_HAS("avx2")); /* every core with AVX2 has F16C */
CVT_NARROW(cvtpd2ps);
CVT_NARROW(cvtpd2dq);
CVT_NARROW(cvttpd2dq);

/* VCVTPS2PH: imm 1:0 mode, 2 MXCSR's instead; the destination may be memory. */
static void narrow_to_half(struct cpu *c, const struct op *o)
{
    struct fp f = fp_begin(c);
    wide r = {.q = {0}};

    if (!(o->imm & 4))
        f.rounding = o->imm & 3;
    for (unsigned i = 0; i < o->size / 4u; i++)
        r.w[i] = fp_32_to_16(&f, c->vec[o->s].d[i]);
    if (o->flags & OP_MEM)
        mmu_probe_write(c, o, ea(c, o, o->size / 2u, ACCESS_WRITE), o->size / 2u);
    fp_end(c, o, &f);
    if (o->flags & OP_MEM)
        vec_store(c, o, &r, o->size / 2u);
    else
        vec_done(c, o, &r);
}

static void vec_vcvtps2ph(struct cpu *c, const struct op *o)
{
    narrow_to_half(c, o);
    NEXT(c, o);
}
EXEC_ANY(vec_vcvtps2ph, vec_vcvtps2ph);
