/* What the floating-point routines are written with: each instruction as the host's own (NATIVE
 * kernels, where fp_native says they may be used) and in integers (soft kernels). */
#ifndef LUCCA_SILICON_CPU_EXEC_FP_H
#define LUCCA_SILICON_CPU_EXEC_FP_H

#include "silicon/cpu/exec_vec.h"
#include "silicon/cpu/fp.h"

typedef uint64_t xmm __attribute__((vector_size(16), may_alias));

/* One lane in integers. */
typedef void soft_fn(struct fp *f, union lane *r, const union lane *a, const union lane *b,
                     unsigned imm);
/* r = k(a, b) in all lanes; then exceptions; then the destination is written. */
void fp_soft(struct cpu *c, const struct op *o, soft_fn *k, const union vec *a, const union vec *b,
             unsigned imm);
/* One lane; VEX zeroes above. */
void fp_soft_lane(struct cpu *c, const struct op *o, soft_fn *k, const union vec *a,
                  const union vec *b, unsigned imm);

#if FP_NATIVE
#define HOST_HAS(feature) __builtin_cpu_supports(feature)
/* r = a; r = text(r, b) */
#define NATIVE2(name, text)                                                                        \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b)                  \
    {                                                                                              \
        xmm x = *(const xmm *)a;                                                                   \
                                                                                                   \
        __asm__(text " %1, %0" : "+x"(x) : "xm"(*(const xmm *)b));                                 \
        *(xmm *)r = x;                                                                             \
    }
/* b's memory has 4 or 8 bytes, of member m */
#define NATIVE_SCALAR(name, text, m)                                                               \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b)                  \
    {                                                                                              \
        xmm x = *(const xmm *)a;                                                                   \
                                                                                                   \
        __asm__(text " %1, %0" : "+x"(x) : "m"(b->m[0]));                                          \
        *(xmm *)r = x;                                                                             \
    }
#define NATIVE1(name, text)                                                                        \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b)                  \
    {                                                                                              \
        xmm x;                                                                                     \
                                                                                                   \
        __asm__(text " %1, %0" : "=x"(x) : "xm"(*(const xmm *)b));                                 \
        *(xmm *)r = x;                                                                             \
    }
#else
#define HOST_HAS(feature) false
#define NATIVE_NONE(name)                                                                          \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b)                  \
    {                                                                                              \
    }
#define NATIVE2(name, text)          NATIVE_NONE(name)
#define NATIVE_SCALAR(name, text, m) NATIVE_NONE(name)
#define NATIVE1(name, text)          NATIVE_NONE(name)
#endif

/* Routines for both encodings; `can` is what else the native kernel needs. */
#define FP_PACKED_ROUTINE(name, can, source_a, source_b)                                           \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = source_b, *a = source_a;                                              \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        if (fp_native(c) && (can)) {                                                               \
            native_##name(&low, lane_c(a, 0), lane_c(b, 0));                                       \
            if (o->size == 32)                                                                     \
                native_##name(&high, lane_c(a, 1), lane_c(b, 1));                                  \
            *lane(&c->vec[o->d], 0) = low;                                                         \
            if (o->flags & OP_VEX)                                                                 \
                *lane(&c->vec[o->d], 1) = high;                                                    \
        } else {                                                                                   \
            fp_soft(c, o, soft_##name, a, b, 0);                                                   \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)

#define FP_PACKED2(name, can) FP_PACKED_ROUTINE(name, can, vec_src1(c, o), vec_src2(c, o, o->size))
#define FP_PACKED1(name, can) FP_PACKED_ROUTINE(name, can, b, vec_only(c, o, o->size))

/* Element 0 alone; the rest of the lane is the first source's. */
#define FP_SCALAR(name, bytes, can)                                                                \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_src2(c, o, bytes), *a = vec_src1(c, o);                           \
        union lane r;                                                                              \
                                                                                                   \
        if (fp_native(c) && (can)) {                                                               \
            native_##name(&r, lane_c(a, 0), lane_c(b, 0));                                         \
            lane_done(c, o, o->d, &r);                                                             \
        } else {                                                                                   \
            fp_soft_lane(c, o, soft_##name, a, b, 0);                                              \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)

/* Soft kernels: elements x of a, y of b. */
#define SOFT_PACKED(name, mem, expr)                                                               \
    static void soft_##name(struct fp *f, union lane *r, const union lane *a, const union lane *b, \
                            unsigned imm)                                                          \
    {                                                                                              \
        for (unsigned i = 0; i < COUNT(r->mem); i++) {                                             \
            __typeof__(r->mem[0]) x = a->mem[i], y = b->mem[i];                                    \
                                                                                                   \
            (void)x;                                                                               \
            r->mem[i] = expr;                                                                      \
        }                                                                                          \
    }
#define SOFT_SCALAR(name, mem, expr)                                                               \
    static void soft_##name(struct fp *f, union lane *r, const union lane *a, const union lane *b, \
                            unsigned imm)                                                          \
    {                                                                                              \
        __typeof__(r->mem[0]) x = a->mem[0], y = b->mem[0];                                        \
                                                                                                   \
        (void)x;                                                                                   \
        *r = *a;                                                                                   \
        r->mem[0] = expr;                                                                          \
    }

#endif
