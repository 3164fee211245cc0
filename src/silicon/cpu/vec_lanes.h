/* Integer kernels over one lane: 16 bytes of an XMM or YMM register, or the 8 of an MMX register.
 *
 * r = f(a, b) over the first `n` bytes (8 or 16, a constant at every call). `r` is a local of the
 * caller's, never one of the sources. `a` is the instruction's first source operand (the
 * destination, in the two-operand encodings).
 */
#ifndef LUCCA_SILICON_CPU_VEC_LANES_H
#define LUCCA_SILICON_CPU_VEC_LANES_H

#include <stdint.h>

union lane {
    uint8_t b[16];
    int8_t sb[16];
    uint16_t w[8];
    int16_t sw[8];
    uint32_t d[4];
    int32_t sd[4];
    uint64_t q[2];
    int64_t sq[2];
} __attribute__((aligned(16)));

#define KERNEL static inline __attribute__((always_inline)) void
#define KERNEL1(name)                                                                              \
    KERNEL k_##name(union lane *restrict r, const union lane *a, __attribute__((unused)) unsigned n)
#define KERNEL1I(name)                                                                             \
    KERNEL k_##name(union lane *restrict r, const union lane *a,                                   \
                    __attribute__((unused)) unsigned n, uint8_t imm)
#define KERNEL2(name)                                                                              \
    KERNEL k_##name(union lane *restrict r, const union lane *a, const union lane *b,              \
                    __attribute__((unused)) unsigned n)
#define KERNEL2I(name)                                                                             \
    KERNEL k_##name(union lane *restrict r, const union lane *a, const union lane *b,              \
                    __attribute__((unused)) unsigned n, uint8_t imm)

static inline int8_t sat_sb(int v)
{
    return (int8_t)(v < INT8_MIN ? INT8_MIN : v > INT8_MAX ? INT8_MAX : v);
}
static inline uint8_t sat_ub(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > UINT8_MAX ? UINT8_MAX : v);
}
static inline int16_t sat_sw(int v)
{
    return (int16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
}
static inline uint16_t sat_uw(int v)
{
    return (uint16_t)(v < 0 ? 0 : v > UINT16_MAX ? UINT16_MAX : v);
}

/* ---- element by element: elements x of a, y of b, all of member `m` ---- */
#define EACH(name, m, expr)                                                                        \
    KERNEL2(name)                                                                                  \
    {                                                                                              \
        for (unsigned i = 0; i < n / sizeof(r->m[0]); i++) {                                       \
            __typeof__(r->m[0]) x = a->m[i], y = b->m[i];                                          \
                                                                                                   \
            r->m[i] = (__typeof__(x))(expr);                                                       \
        }                                                                                          \
    }
#define EACH1(name, m, expr)                                                                       \
    KERNEL1(name)                                                                                  \
    {                                                                                              \
        for (unsigned i = 0; i < n / sizeof(r->m[0]); i++) {                                       \
            __typeof__(r->m[0]) x = a->m[i];                                                       \
                                                                                                   \
            r->m[i] = (__typeof__(x))(expr);                                                       \
        }                                                                                          \
    }

EACH(paddb, b, x + y)
EACH(paddw, w, x + y)
EACH(paddd, d, x + y)
EACH(paddq, q, x + y)
EACH(psubb, b, x - y)
EACH(psubw, w, x - y)
EACH(psubd, d, x - y)
EACH(psubq, q, x - y)
EACH(paddsb, sb, sat_sb(x + y))
EACH(paddsw, sw, sat_sw(x + y))
EACH(paddusb, b, sat_ub(x + y))
EACH(paddusw, w, sat_uw(x + y))
EACH(psubsb, sb, sat_sb(x - y))
EACH(psubsw, sw, sat_sw(x - y))
EACH(psubusb, b, sat_ub(x - y))
EACH(psubusw, w, sat_uw(x - y))
EACH(pand, q, x &y)
EACH(pandn, q, ~x &y)
EACH(por, q, x | y)
EACH(pxor, q, x ^ y)
EACH(pcmpeqb, sb, x == y ? -1 : 0)
EACH(pcmpeqw, sw, x == y ? -1 : 0)
EACH(pcmpeqd, sd, x == y ? -1 : 0)
EACH(pcmpeqq, sq, x == y ? -1 : 0)
EACH(pcmpgtb, sb, x > y ? -1 : 0)
EACH(pcmpgtw, sw, x > y ? -1 : 0)
EACH(pcmpgtd, sd, x > y ? -1 : 0)
EACH(pcmpgtq, sq, x > y ? -1 : 0)
EACH(pminub, b, x < y ? x : y)
EACH(pminuw, w, x < y ? x : y)
EACH(pminud, d, x < y ? x : y)
EACH(pminsb, sb, x < y ? x : y)
EACH(pminsw, sw, x < y ? x : y)
EACH(pminsd, sd, x < y ? x : y)
EACH(pmaxub, b, x > y ? x : y)
EACH(pmaxuw, w, x > y ? x : y)
EACH(pmaxud, d, x > y ? x : y)
EACH(pmaxsb, sb, x > y ? x : y)
EACH(pmaxsw, sw, x > y ? x : y)
EACH(pmaxsd, sd, x > y ? x : y)
EACH(pavgb, b, (x + y + 1) >> 1)
EACH(pavgw, w, (x + y + 1) >> 1)
EACH(pmullw, sw, x *y)
EACH(pmulhw, sw, (x * y) >> 16)
EACH(pmulhuw, w, ((uint32_t)x * y) >> 16)
EACH(pmulhrsw, sw, ((x * y >> 14) + 1) >> 1)
EACH(pmulld, d, x *y)
EACH(pmuludq, q, (x & UINT32_MAX) * (y & UINT32_MAX))
EACH(pmuldq, sq, (int64_t)(int32_t)x *(int32_t)y)
EACH(psignb, sb, y < 0 ? -x : y ? x : 0)
EACH(psignw, sw, y < 0 ? -x : y ? x : 0)
EACH(psignd, d, (int32_t)y < 0 ? -x : y ? x : 0)
EACH1(pabsb, sb, x < 0 ? -x : x)
EACH1(pabsw, sw, x < 0 ? -x : x)
EACH1(pabsd, d, (int32_t)x < 0 ? -x : x)
/* A shift count per element (AVX2). */
EACH(psllvd, d, y > 31 ? 0 : x << y)
EACH(psllvq, q, y > 63 ? 0 : x << y)
EACH(psrlvd, d, y > 31 ? 0 : x >> y)
EACH(psrlvq, q, y > 63 ? 0 : x >> y)
EACH(psravd, sd, x >> ((uint32_t)y > 31 ? 31 : y))

/* ---- one shift count for all ---- */
#define SHIFT(name, m, bits, expr, beyond)                                                         \
    KERNEL k_##name(union lane *restrict r, const union lane *a, uint64_t count, unsigned n)       \
    {                                                                                              \
        unsigned by = count > (bits)-1 ? (bits) : (unsigned)count;                                 \
                                                                                                   \
        for (unsigned i = 0; i < n / sizeof(r->m[0]); i++) {                                       \
            __typeof__(r->m[0]) x = a->m[i];                                                       \
                                                                                                   \
            r->m[i] = (__typeof__(x))(by == (bits) ? (beyond) : (expr));                           \
        }                                                                                          \
    }
SHIFT(psllw, w, 16, x << by, 0)
SHIFT(pslld, d, 32, x << by, 0)
SHIFT(psllq, q, 64, x << by, 0)
SHIFT(psrlw, w, 16, x >> by, 0)
SHIFT(psrld, d, 32, x >> by, 0)
SHIFT(psrlq, q, 64, x >> by, 0)
SHIFT(psraw, sw, 16, x >> by, x >> 15)
SHIFT(psrad, sd, 32, x >> by, x >> 31)

/* Whole lanes, by bytes (no MMX form). */
KERNEL k_pslldq(union lane *restrict r, const union lane *a, uint64_t count, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        r->b[i] = i >= count ? a->b[i - count] : 0;
}
KERNEL k_psrldq(union lane *restrict r, const union lane *a, uint64_t count, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        r->b[i] = count < n - i ? a->b[i + count] : 0;
}

/* ---- interleave, narrow ---- */
#define UNPACK(name, m, high)                                                                      \
    KERNEL2(name)                                                                                  \
    {                                                                                              \
        unsigned half = n / sizeof(r->m[0]) / 2;                                                   \
                                                                                                   \
        for (unsigned i = 0; i < half; i++) {                                                      \
            r->m[2 * i] = a->m[i + (high)*half];                                                   \
            r->m[2 * i + 1] = b->m[i + (high)*half];                                               \
        }                                                                                          \
    }
UNPACK(punpcklbw, b, 0)
UNPACK(punpcklwd, w, 0)
UNPACK(punpckldq, d, 0)
UNPACK(punpcklqdq, q, 0)
UNPACK(punpckhbw, b, 1)
UNPACK(punpckhwd, w, 1)
UNPACK(punpckhdq, d, 1)
UNPACK(punpckhqdq, q, 1)

#define PACK(name, to, from, sat)                                                                  \
    KERNEL2(name)                                                                                  \
    {                                                                                              \
        unsigned half = n / sizeof(r->from[0]);                                                    \
                                                                                                   \
        for (unsigned i = 0; i < half; i++) {                                                      \
            r->to[i] = sat(a->from[i]);                                                            \
            r->to[half + i] = sat(b->from[i]);                                                     \
        }                                                                                          \
    }
PACK(packsswb, sb, sw, sat_sb)
PACK(packuswb, b, sw, sat_ub)
PACK(packssdw, sw, sd, sat_sw)
PACK(packusdw, w, sd, sat_uw)

/* ---- sums of neighbours ---- */
#define HORIZONTAL(name, m, expr)                                                                  \
    KERNEL2(name)                                                                                  \
    {                                                                                              \
        unsigned half = n / sizeof(r->m[0]) / 2;                                                   \
                                                                                                   \
        for (unsigned i = 0; i < half; i++) {                                                      \
            __typeof__(r->m[0]) x = a->m[2 * i], y = a->m[2 * i + 1];                              \
                                                                                                   \
            r->m[i] = (__typeof__(x))(expr);                                                       \
            x = b->m[2 * i];                                                                       \
            y = b->m[2 * i + 1];                                                                   \
            r->m[half + i] = (__typeof__(x))(expr);                                                \
        }                                                                                          \
    }
HORIZONTAL(phaddw, w, x + y)
HORIZONTAL(phaddd, d, x + y)
HORIZONTAL(phaddsw, sw, sat_sw(x + y))
HORIZONTAL(phsubw, w, x - y)
HORIZONTAL(phsubd, d, x - y)
HORIZONTAL(phsubsw, sw, sat_sw(x - y))

KERNEL2(pmaddwd)
{
    for (unsigned i = 0; i < n / 4; i++)
        r->d[i] = (uint32_t)(a->sw[2 * i] * b->sw[2 * i]) +
                  (uint32_t)(a->sw[2 * i + 1] * b->sw[2 * i + 1]);
}

KERNEL2(pmaddubsw) /* unsigned bytes of a, signed of b */
{
    for (unsigned i = 0; i < n / 2; i++)
        r->sw[i] = sat_sw(a->b[2 * i] * b->sb[2 * i] + a->b[2 * i + 1] * b->sb[2 * i + 1]);
}

KERNEL2(psadbw)
{
    for (unsigned i = 0; i < n / 8; i++) {
        unsigned sum = 0;

        for (unsigned j = 8 * i; j < 8 * i + 8; j++)
            sum += (unsigned)(a->b[j] > b->b[j] ? a->b[j] - b->b[j] : b->b[j] - a->b[j]);
        r->q[i] = sum;
    }
}

KERNEL2I(mpsadbw) /* imm bit 2: offset in a, in dwords; bits 1:0: the block of b */
{
    unsigned from = (imm >> 2 & 1) * 4, block = (imm & 3) * 4;

    for (unsigned i = 0; i < 8; i++) {
        int sum = 0;

        for (unsigned j = 0; j < 4; j++) {
            int d = a->b[from + i + j] - b->b[block + j];

            sum += d < 0 ? -d : d;
        }
        r->w[i] = (uint16_t)sum;
    }
}

KERNEL1(phminposuw) /* the least word, and its index */
{
    unsigned at = 0;

    for (unsigned i = 1; i < 8; i++)
        if (a->w[i] < a->w[at])
            at = i;
    r->q[0] = (uint64_t)at << 16 | a->w[at];
    r->q[1] = 0;
}

/* ---- shuffles ---- */
KERNEL2(pshufb)
{
    for (unsigned i = 0; i < n; i++)
        r->b[i] = b->sb[i] < 0 ? 0 : a->b[b->b[i] & (n - 1)];
}

KERNEL2I(palignr) /* a above b, shifted right by imm bytes */
{
    for (unsigned i = 0; i < n; i++) {
        unsigned from = i + imm;

        r->b[i] = from < n ? b->b[from] : from < 2 * n ? a->b[from - n] : 0;
    }
}

KERNEL1I(pshufw) /* MMX; and the halves of PSHUFLW and PSHUFHW */
{
    for (unsigned i = 0; i < 4; i++)
        r->w[i] = a->w[imm >> 2 * i & 3];
}

KERNEL1I(pshuflw)
{
    for (unsigned i = 0; i < 4; i++)
        r->w[i] = a->w[imm >> 2 * i & 3];
    r->q[1] = a->q[1];
}

KERNEL1I(pshufhw)
{
    r->q[0] = a->q[0];
    for (unsigned i = 0; i < 4; i++)
        r->w[4 + i] = a->w[4 + (imm >> 2 * i & 3)];
}

KERNEL1I(pshufd)
{
    for (unsigned i = 0; i < 4; i++)
        r->d[i] = a->d[imm >> 2 * i & 3];
}

KERNEL2I(shufps)
{
    r->d[0] = a->d[imm & 3];
    r->d[1] = a->d[imm >> 2 & 3];
    r->d[2] = b->d[imm >> 4 & 3];
    r->d[3] = b->d[imm >> 6];
}

KERNEL2I(shufpd)
{
    r->q[0] = a->q[imm & 1];
    r->q[1] = b->q[imm >> 1 & 1];
}

KERNEL2(vpermilps) /* the selectors are in b */
{
    for (unsigned i = 0; i < 4; i++)
        r->d[i] = a->d[b->d[i] & 3];
}

KERNEL2(vpermilpd)
{
    for (unsigned i = 0; i < 2; i++)
        r->q[i] = a->q[b->q[i] >> 1 & 1];
}

KERNEL1I(vpermilpd_imm)
{
    r->q[0] = a->q[imm & 1];
    r->q[1] = a->q[imm >> 1 & 1];
}

KERNEL1(movddup)
{
    r->q[0] = r->q[1] = a->q[0];
}

KERNEL1(movsldup)
{
    r->d[0] = r->d[1] = a->d[0];
    r->d[2] = r->d[3] = a->d[2];
}

KERNEL1(movshdup)
{
    r->d[0] = r->d[1] = a->d[1];
    r->d[2] = r->d[3] = a->d[3];
}

/* ---- blends ---- */
#define BLEND_IMM(name, m)                                                                         \
    KERNEL2I(name)                                                                                 \
    {                                                                                              \
        for (unsigned i = 0; i < n / sizeof(r->m[0]); i++)                                         \
            r->m[i] = imm >> i & 1 ? b->m[i] : a->m[i];                                            \
    }
BLEND_IMM(pblendw, w)
BLEND_IMM(blendps, d)
BLEND_IMM(blendpd, q)

/* By the sign of each element of a mask. */
#define BLEND_MASK(name, m, sm)                                                                    \
    KERNEL k_##name(union lane *restrict r, const union lane *a, const union lane *b,              \
                    const union lane *mask)                                                        \
    {                                                                                              \
        for (unsigned i = 0; i < 16 / sizeof(r->m[0]); i++)                                        \
            r->m[i] = mask->sm[i] < 0 ? b->m[i] : a->m[i];                                         \
    }
BLEND_MASK(pblendvb, b, sb)
BLEND_MASK(blendvps, d, sd)
BLEND_MASK(blendvpd, q, sq)

/* ---- signs as a mask ---- */
static inline uint32_t mask_b(const union lane *a, unsigned n)
{
    uint32_t m = 0;

    /* The multiplication gathers the eight sign bits, 7 apart, in the top byte. */
    for (unsigned i = 0; i < n / 8; i++)
        m |= (uint32_t)((a->q[i] & UINT64_C(0x8080808080808080)) * UINT64_C(0x0002040810204081) >>
                        56)
             << 8 * i;
    return m;
}

static inline uint32_t mask_d(const union lane *a)
{
    return a->d[0] >> 31 | a->d[1] >> 31 << 1 | a->d[2] >> 31 << 2 | a->d[3] >> 31 << 3;
}

static inline uint32_t mask_q(const union lane *a)
{
    return (uint32_t)(a->q[0] >> 63 | a->q[1] >> 63 << 1);
}

#endif
