/* FMA: d, h, w are the operands V, H, W. 132: d * w + h; 213: h * d + w; 231: h * w + d. */
#include "silicon/cpu/exec_fp.h"

/* One lane: r = d op (h, w). */
typedef void fma_fn(struct fp *f, union lane *r, const union lane *d, const union lane *h,
                    const union lane *w);

static void fma_soft(struct cpu *c, const struct op *o, fma_fn *k, const union vec *w, bool packed)
{
    struct fp f = fp_begin(c);
    const union vec *d = &c->vec[o->d], *h = &c->vec[o->s];
    wide r = {.q = {0}};

    k(&f, lane(&r, 0), lane_c(d, 0), lane_c(h, 0), lane_c(w, 0));
    if (packed && o->size == 32)
        k(&f, lane(&r, 1), lane_c(d, 1), lane_c(h, 1), lane_c(w, 1));
    fp_end(c, o, &f);
    vec_done(c, o, &r);
}

#if FP_NATIVE
#define NATIVE_FMA(name, constraint, operand)                                                      \
    KERNEL native_##name(union lane *r, const union lane *d, const union lane *h,                  \
                         const union lane *w)                                                      \
    {                                                                                              \
        xmm x = *(const xmm *)d;                                                                   \
                                                                                                   \
        __asm__(#name " %2, %1, %0" : "+x"(x) : "x"(*(const xmm *)h), constraint(operand));        \
        *(xmm *)r = x;                                                                             \
    }
#else
#define NATIVE_FMA(name, constraint, operand)                                                      \
    KERNEL native_##name(union lane *r, const union lane *d, const union lane *h,                  \
                         const union lane *w)                                                      \
    {                                                                                              \
    }
#endif

#define FMA_ROUTINE(name, bytes, packed)                                                           \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *w = vec_rm(c, o, o->v, bytes);                                            \
        const union vec *d = &c->vec[o->d], *h = &c->vec[o->s];                                    \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        if (fp_native(c) && HOST_HAS("fma")) {                                                     \
            native_##name(&low, lane_c(d, 0), lane_c(h, 0), lane_c(w, 0));                         \
            if ((packed) && o->size == 32)                                                         \
                native_##name(&high, lane_c(d, 1), lane_c(h, 1), lane_c(w, 1));                    \
            *lane(&c->vec[o->d], 0) = low;                                                         \
            *lane(&c->vec[o->d], 1) = high;                                                        \
        } else {                                                                                   \
            fma_soft(c, o, soft_##name, w, packed);                                                \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)

/* Factors and addend, in the order in which a NaN among them is chosen. */
#define ORDER_132(m) d->m[i], w->m[i], h->m[i]
#define ORDER_213(m) h->m[i], d->m[i], w->m[i]
#define ORDER_231(m) h->m[i], w->m[i], d->m[i]

/* `even` and `odd`: what is subtracted in elements of even and odd number. */
#define SOFT_FMA(name, m, bits, order, even, odd, count)                                           \
    static void soft_##name(struct fp *f, union lane *r, const union lane *d, const union lane *h, \
                            const union lane *w)                                                   \
    {                                                                                              \
        *r = *d;                                                                                   \
        for (unsigned i = 0; i < (count); i++)                                                     \
            r->m[i] = fp_fma##bits(f, ORDER_##order(m), i & 1 ? (odd) : (even));                   \
    }

#define FMA_PACKED(op, order, even, odd)                                                           \
    NATIVE_FMA(op##order##ps, "xm", *(const xmm *)w)                                               \
    NATIVE_FMA(op##order##pd, "xm", *(const xmm *)w)                                               \
    SOFT_FMA(op##order##ps, d, 32, order, even, odd, 4)                                            \
    SOFT_FMA(op##order##pd, q, 64, order, even, odd, 2)                                            \
    FMA_ROUTINE(op##order##ps, o->size, true);                                                     \
    FMA_ROUTINE(op##order##pd, o->size, true)
#define FMA_SCALAR(op, order, what)                                                                \
    NATIVE_FMA(op##order##ss, "m", w->d[0])                                                        \
    NATIVE_FMA(op##order##sd, "m", w->q[0])                                                        \
    SOFT_FMA(op##order##ss, d, 32, order, what, what, 1)                                           \
    SOFT_FMA(op##order##sd, q, 64, order, what, what, 1)                                           \
    FMA_ROUTINE(op##order##ss, 4, false);                                                          \
    FMA_ROUTINE(op##order##sd, 8, false)
#define FMA_ORDERS(op, even, odd)                                                                  \
    FMA_PACKED(op, 132, even, odd);                                                                \
    FMA_PACKED(op, 213, even, odd);                                                                \
    FMA_PACKED(op, 231, even, odd)
#define FMA(op, what)                                                                              \
    FMA_ORDERS(op, what, what);                                                                    \
    FMA_SCALAR(op, 132, what);                                                                     \
    FMA_SCALAR(op, 213, what);                                                                     \
    FMA_SCALAR(op, 231, what)

FMA(vfmadd, 0);
FMA(vfmsub, FP_MINUS_ADDEND);
FMA(vfnmadd, FP_MINUS_PRODUCT);
FMA(vfnmsub, FP_MINUS_PRODUCT | FP_MINUS_ADDEND);
FMA_ORDERS(vfmaddsub, FP_MINUS_ADDEND, 0);
FMA_ORDERS(vfmsubadd, 0, FP_MINUS_ADDEND);
