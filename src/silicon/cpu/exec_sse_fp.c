/* Floating-point arithmetic and comparison on XMM and YMM lanes. */
#include "silicon/cpu/exec_fp.h"

/* ---- the slow way round ---- */
void fp_soft(struct cpu *c, const struct op *o, soft_fn *k, const union vec *a, const union vec *b,
             unsigned imm)
{
    struct fp f = fp_begin(c);
    wide r = {.q = {0}};

    k(&f, lane(&r, 0), lane_c(a, 0), lane_c(b, 0), imm);
    if (o->size == 32)
        k(&f, lane(&r, 1), lane_c(a, 1), lane_c(b, 1), imm);
    fp_end(c, o, &f);
    vec_done(c, o, &r);
}

void fp_soft_lane(struct cpu *c, const struct op *o, soft_fn *k, const union vec *a,
                  const union vec *b, unsigned imm)
{
    struct fp f = fp_begin(c);
    union lane r;

    k(&f, &r, lane_c(a, 0), lane_c(b, 0), imm);
    fp_end(c, o, &f);
    lane_done(c, o, o->d, &r);
}

/* ---- ADD SUB MUL DIV MIN MAX, of PS PD SS SD ---- */
#define ARITHMETIC(op)                                                                             \
    NATIVE2(op##ps, #op "ps")                                                                      \
    NATIVE2(op##pd, #op "pd")                                                                      \
    NATIVE_SCALAR(op##ss, #op "ss", d)                                                             \
    NATIVE_SCALAR(op##sd, #op "sd", q)                                                             \
    SOFT_PACKED(op##ps, d, fp_##op##32(f, x, y))                                                   \
    SOFT_PACKED(op##pd, q, fp_##op##64(f, x, y))                                                   \
    SOFT_SCALAR(op##ss, d, fp_##op##32(f, x, y))                                                   \
    SOFT_SCALAR(op##sd, q, fp_##op##64(f, x, y))                                                   \
    FP_PACKED2(op##ps, true);                                                                      \
    FP_PACKED2(op##pd, true);                                                                      \
    FP_SCALAR(op##ss, 4, true);                                                                    \
    FP_SCALAR(op##sd, 8, true)
ARITHMETIC(add);
ARITHMETIC(sub);
ARITHMETIC(mul);
ARITHMETIC(div);
ARITHMETIC(min);
ARITHMETIC(max);

NATIVE1(sqrtps, "sqrtps")
NATIVE1(sqrtpd, "sqrtpd")
NATIVE_SCALAR(sqrtss, "sqrtss", d)
NATIVE_SCALAR(sqrtsd, "sqrtsd", q)
SOFT_PACKED(sqrtps, d, fp_sqrt32(f, y))
SOFT_PACKED(sqrtpd, q, fp_sqrt64(f, y))
SOFT_SCALAR(sqrtss, d, fp_sqrt32(f, y))
SOFT_SCALAR(sqrtsd, q, fp_sqrt64(f, y))
FP_PACKED1(sqrtps, true);
FP_PACKED1(sqrtpd, true);
FP_SCALAR(sqrtss, 4, true);
FP_SCALAR(sqrtsd, 8, true);

/* ---- approximations: the host's own where it has them, since vendors' tables differ ---- */
NATIVE1(rcpps, "rcpps")
NATIVE_SCALAR(rcpss, "rcpss", d)
NATIVE1(rsqrtps, "rsqrtps")
NATIVE_SCALAR(rsqrtss, "rsqrtss", d)
#if FP_NATIVE /* they raise nothing: native even when an exception is unmasked */
#define APPROXIMATE(name, member)                                                                  \
    static void soft_##name(struct fp *f, union lane *r, const union lane *a, const union lane *b, \
                            unsigned imm)                                                          \
    {                                                                                              \
        native_##name(r, a, b);                                                                    \
    }
APPROXIMATE(rcpps, d)
APPROXIMATE(rcpss, d)
APPROXIMATE(rsqrtps, d)
APPROXIMATE(rsqrtss, d)
#else
SOFT_PACKED(rcpps, d, fp_rcp(y))
SOFT_SCALAR(rcpss, d, fp_rcp(y))
SOFT_PACKED(rsqrtps, d, fp_rsqrt(y))
SOFT_SCALAR(rsqrtss, d, fp_rsqrt(y))
#endif
FP_PACKED1(rcpps, true);
FP_SCALAR(rcpss, 4, true);
FP_PACKED1(rsqrtps, true);
FP_SCALAR(rsqrtss, 4, true);

/* ---- neighbours: HADD HSUB ADDSUB (SSE3) ---- */
#define NEIGHBOURS(name, op)                                                                       \
    NATIVE2(name##ps, #name "ps")                                                                  \
    NATIVE2(name##pd, #name "pd")                                                                  \
    static void soft_##name##ps(struct fp *f, union lane *r, const union lane *a,                  \
                                const union lane *b, unsigned imm)                                 \
    {                                                                                              \
        for (unsigned i = 0; i < 2; i++) {                                                         \
            r->d[i] = fp_##op##32(f, a->d[2 * i], a->d[2 * i + 1]);                                \
            r->d[2 + i] = fp_##op##32(f, b->d[2 * i], b->d[2 * i + 1]);                            \
        }                                                                                          \
    }                                                                                              \
    static void soft_##name##pd(struct fp *f, union lane *r, const union lane *a,                  \
                                const union lane *b, unsigned imm)                                 \
    {                                                                                              \
        r->q[0] = fp_##op##64(f, a->q[0], a->q[1]);                                                \
        r->q[1] = fp_##op##64(f, b->q[0], b->q[1]);                                                \
    }                                                                                              \
    FP_PACKED2(name##ps, HOST_HAS("sse3"));                                                        \
    FP_PACKED2(name##pd, HOST_HAS("sse3"))
NEIGHBOURS(hadd, add);
NEIGHBOURS(hsub, sub);

NATIVE2(addsubps, "addsubps")
NATIVE2(addsubpd, "addsubpd")
SOFT_PACKED(addsubps, d, i & 1 ? fp_add32(f, x, y) : fp_sub32(f, x, y))
SOFT_PACKED(addsubpd, q, i & 1 ? fp_add64(f, x, y) : fp_sub64(f, x, y))
FP_PACKED2(addsubps, HOST_HAS("sse3"));
FP_PACKED2(addsubpd, HOST_HAS("sse3"));

/* ---- CMP: which orders make an element true, and whether a quiet NaN is invalid ---- */
#define ORDERED (FP_LESS | FP_EQUAL | FP_GREATER)
static const uint8_t predicates[16] = {
    FP_EQUAL,
    FP_LESS,
    FP_LESS | FP_EQUAL,
    FP_UNORDERED,
    FP_LESS | FP_GREATER | FP_UNORDERED,
    FP_EQUAL | FP_GREATER | FP_UNORDERED,
    FP_GREATER | FP_UNORDERED,
    ORDERED,
    FP_EQUAL | FP_UNORDERED,
    FP_LESS | FP_UNORDERED,
    FP_LESS | FP_EQUAL | FP_UNORDERED,
    0,
    FP_LESS | FP_GREATER,
    FP_EQUAL | FP_GREATER,
    FP_GREATER,
    ORDERED | FP_UNORDERED,
};

/* Predicates 1, 2, 5, 6 of every eight signal; from 16 on, the others. */
static bool signals(unsigned predicate)
{
    return (0x66 >> (predicate & 7) & 1) != predicate >> 4;
}

#define TRUE_IF(bits)                                                                              \
    (predicates[imm & 15] & fp_compare##bits(f, x, y, signals(imm)) ? (uint##bits##_t) - 1 : 0)
SOFT_PACKED(cmpps, d, TRUE_IF(32))
SOFT_PACKED(cmppd, q, TRUE_IF(64))
SOFT_SCALAR(cmpss, d, TRUE_IF(32))
SOFT_SCALAR(cmpsd, q, TRUE_IF(64))

#if FP_NATIVE
#define IMM_CASE(name, n, constraint, operand)                                                     \
    case n:                                                                                        \
        __asm__(name " $" #n ", %1, %0" : "+x"(x) : constraint(operand));                          \
        break;
/* The host's instruction has its immediate in its bytes: one instruction for each. */
#define NATIVE_IMM(name, cases, constraint, operand)                                               \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b, unsigned imm)    \
    {                                                                                              \
        xmm x = *(const xmm *)a;                                                                   \
                                                                                                   \
        switch (imm) {                                                                             \
            cases(#name, constraint, operand)                                                      \
        }                                                                                          \
        *(xmm *)r = x;                                                                             \
    }
#else
#define NATIVE_IMM(name, cases, constraint, operand)                                               \
    KERNEL native_##name(union lane *r, const union lane *a, const union lane *b, unsigned imm)    \
    {                                                                                              \
    }
#endif

/* `may`: whether the native kernel has this immediate. */
#define FP_IMM(name, mask, may, source_a, source_b, all_lanes)                                     \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = source_b, *a = source_a;                                              \
        unsigned imm = o->imm & (mask);                                                            \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        if (fp_native(c) && (may)) {                                                               \
            native_##name(&low, lane_c(a, 0), lane_c(b, 0), imm);                                  \
            if ((all_lanes) && o->size == 32)                                                      \
                native_##name(&high, lane_c(a, 1), lane_c(b, 1), imm);                             \
            *lane(&c->vec[o->d], 0) = low;                                                         \
            if (o->flags & OP_VEX)                                                                 \
                *lane(&c->vec[o->d], 1) = high;                                                    \
        } else if (all_lanes) {                                                                    \
            fp_soft(c, o, soft_##name, a, b, imm);                                                 \
        } else {                                                                                   \
            fp_soft_lane(c, o, soft_##name, a, b, imm);                                            \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)

#define CMP_CASES(name, constraint, operand)                                                       \
    IMM_CASE(name, 0, constraint, operand)                                                         \
    IMM_CASE(name, 1, constraint, operand)                                                         \
    IMM_CASE(name, 2, constraint, operand)                                                         \
    IMM_CASE(name, 3, constraint, operand)                                                         \
    IMM_CASE(name, 4, constraint, operand)                                                         \
    IMM_CASE(name, 5, constraint, operand)                                                         \
    IMM_CASE(name, 6, constraint, operand)                                                         \
    IMM_CASE(name, 7, constraint, operand)
NATIVE_IMM(cmpps, CMP_CASES, "xm", *(const xmm *)b)
NATIVE_IMM(cmppd, CMP_CASES, "xm", *(const xmm *)b)
NATIVE_IMM(cmpss, CMP_CASES, "m", b->d[0])
NATIVE_IMM(cmpsd, CMP_CASES, "m", b->q[0])

/* The immediate has 3 bits, with VEX 5, of which the host's two-operand forms know 3. */
#define CMP(name, bytes, all_lanes)                                                                \
    FP_IMM(name, o->flags &OP_VEX ? 31 : 7, imm < 8, vec_src1(c, o), vec_src2(c, o, bytes),        \
           all_lanes)
CMP(cmpps, o->size, true);
CMP(cmppd, o->size, true);
CMP(cmpss, 4, false);
CMP(cmpsd, 8, false);

/* ---- COMIS, UCOMIS: into ZF PF CF; unordered sets all three ---- */
static void compare_soft(struct cpu *c, const struct op *o, const union vec *b, bool is_double,
                         bool signaling)
{
    struct fp f = fp_begin(c);
    const union vec *a = &c->vec[o->d];
    enum fp_order order = is_double ? fp_compare64(&f, a->q[0], b->q[0], signaling)
                                    : fp_compare32(&f, a->d[0], b->d[0], signaling);

    fp_end(c, o, &f);
    flags_set(c, false, false, order & (FP_EQUAL | FP_UNORDERED), false, order == FP_UNORDERED,
              order & (FP_LESS | FP_UNORDERED));
}

#if FP_NATIVE /* (clang 14 loses flags that an asm gives as more than one output) */
#define COMPARE_NATIVE(text, m)                                                                    \
    bool z, p, carry;                                                                              \
                                                                                                   \
    __asm__(text " %4, %3; setz %0; setp %1; setc %2"                                              \
            : "=q"(z), "=q"(p), "=q"(carry)                                                        \
            : "x"(*(const xmm *)lane_c(&c->vec[o->d], 0)), "m"(b->m[0])                            \
            : "cc");                                                                               \
    flags_set(c, false, false, z, false, p, carry)
#else
#define COMPARE_NATIVE(text, m) (void)0
#endif

#define COMPARE(name, m, bytes, is_double, signaling)                                              \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_only(c, o, bytes);                                                \
                                                                                                   \
        if (fp_native(c)) {                                                                        \
            COMPARE_NATIVE(#name, m);                                                              \
        } else {                                                                                   \
            compare_soft(c, o, b, is_double, signaling);                                           \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
COMPARE(ucomiss, d, 4, false, false);
COMPARE(ucomisd, q, 8, true, false);
COMPARE(comiss, d, 4, false, true);
COMPARE(comisd, q, 8, true, true);

/* ---- ROUND (SSE4.1): imm 1:0 mode, 2 MXCSR's mode instead, 3 no PE ---- */
static unsigned rounding_of(const struct fp *f, unsigned imm)
{
    return imm & 4 ? f->rounding : imm & 3;
}

#define ROUND_TO(bits) fp_round##bits(f, y, rounding_of(f, imm), !(imm & 8))
SOFT_PACKED(roundps, d, ROUND_TO(32))
SOFT_PACKED(roundpd, q, ROUND_TO(64))
SOFT_SCALAR(roundss, d, ROUND_TO(32))
SOFT_SCALAR(roundsd, q, ROUND_TO(64))

/* What floor, ceil, trunc, round-half-even, rint and nearbyint are compiled to. */
#define ROUND_CASES(name, constraint, operand)                                                     \
    IMM_CASE(name, 4, constraint, operand)                                                         \
    IMM_CASE(name, 8, constraint, operand)                                                         \
    IMM_CASE(name, 9, constraint, operand)                                                         \
    IMM_CASE(name, 10, constraint, operand)                                                        \
    IMM_CASE(name, 11, constraint, operand)                                                        \
    IMM_CASE(name, 12, constraint, operand)
NATIVE_IMM(roundps, ROUND_CASES, "xm", *(const xmm *)b)
NATIVE_IMM(roundpd, ROUND_CASES, "xm", *(const xmm *)b)
NATIVE_IMM(roundss, ROUND_CASES, "m", b->d[0])
NATIVE_IMM(roundsd, ROUND_CASES, "m", b->q[0])

static inline bool common_rounding(unsigned imm)
{
    return HOST_HAS("sse4.1") && imm <= 12 && 0x1F10 >> imm & 1;
}

#define ROUND(name, source_a, source_b, all_lanes)                                                 \
    FP_IMM(name, 15, common_rounding(imm), source_a, source_b, all_lanes)
ROUND(roundps, b, vec_only(c, o, o->size), true);
ROUND(roundpd, b, vec_only(c, o, o->size), true);
ROUND(roundss, vec_src1(c, o), vec_src2(c, o, 4), false);
ROUND(roundsd, vec_src1(c, o), vec_src2(c, o, 8), false);

/* ---- DPPS, DPPD (SSE4.1): imm 7:4 which products count, 3:0 where the sum goes. All products,
 * then all sums of two, then all sums of four: each step raises its exceptions. ---- */
static void dot_ps(struct fp *f, wide *r, const union vec *a, const union vec *b, unsigned imm,
                   unsigned n)
{
    for (unsigned i = 0; i < n / 4; i++)
        r->d[i] = imm >> (4 + i % 4) & 1 ? fp_mul32(f, a->d[i], b->d[i]) : 0;
    if (!fp_goes_on(f))
        return;
    for (unsigned i = 0; i < n / 4; i += 2)
        r->d[i] = fp_add32(f, r->d[i], r->d[i + 1]);
    if (!fp_goes_on(f))
        return;
    for (unsigned i = 0; i < n / 4; i += 4) {
        uint32_t sum = fp_add32(f, r->d[i], r->d[i + 2]);

        for (unsigned j = 0; j < 4; j++)
            r->d[i + j] = imm >> j & 1 ? sum : 0;
    }
}

static void dot_pd(struct fp *f, wide *r, const union vec *a, const union vec *b, unsigned imm,
                   unsigned n)
{
    uint64_t sum;

    for (unsigned i = 0; i < 2; i++)
        r->q[i] = imm >> (4 + i) & 1 ? fp_mul64(f, a->q[i], b->q[i]) : 0;
    if (!fp_goes_on(f))
        return;
    sum = fp_add64(f, r->q[0], r->q[1]);
    for (unsigned i = 0; i < 2; i++)
        r->q[i] = imm >> i & 1 ? sum : 0;
}

#define DOT_PRODUCT(name, kernel)                                                                  \
    static void dot_product_##name(struct cpu *c, const struct op *o)                              \
    {                                                                                              \
        const union vec *b = vec_src2(c, o, o->size);                                              \
        struct fp f = fp_begin(c);                                                                 \
        wide r = {.q = {0}};                                                                       \
                                                                                                   \
        kernel(&f, &r, vec_src1(c, o), b, (unsigned)o->imm, o->size);                              \
        fp_end(c, o, &f);                                                                          \
        vec_done(c, o, &r);                                                                        \
    }                                                                                              \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        dot_product_##name(c, o);                                                                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
DOT_PRODUCT(dpps, dot_ps);
DOT_PRODUCT(dppd, dot_pd);
