/* Integer arithmetic, logic, comparison and shuffles on XMM and YMM lanes. */
#include "silicon/cpu/exec_fp.h"

/* ---- SSE2 ---- */
VEC2(paddb);
VEC2(paddw);
VEC2(paddd);
VEC2(paddq);
VEC2(psubb);
VEC2(psubw);
VEC2(psubd);
VEC2(psubq);
VEC2(paddsb);
VEC2(paddsw);
VEC2(paddusb);
VEC2(paddusw);
VEC2(psubsb);
VEC2(psubsw);
VEC2(psubusb);
VEC2(psubusw);
VEC2(pand);
VEC2(pandn);
VEC2(por);
VEC2(pxor);
VEC2(pcmpeqb);
VEC2(pcmpeqw);
VEC2(pcmpeqd);
VEC2(pcmpgtb);
VEC2(pcmpgtw);
VEC2(pcmpgtd);
VEC2(pminub);
VEC2(pminsw);
VEC2(pmaxub);
VEC2(pmaxsw);
VEC2(pavgb);
VEC2(pavgw);
VEC2(pmullw);
VEC2(pmulhw);
VEC2(pmulhuw);
VEC2(pmuludq);
VEC2(pmaddwd);
VEC2(psadbw);
VEC2(punpcklbw);
VEC2(punpcklwd);
VEC2(punpckldq);
VEC2(punpcklqdq);
VEC2(punpckhbw);
VEC2(punpckhwd);
VEC2(punpckhdq);
VEC2(punpckhqdq);
VEC2(packsswb);
VEC2(packuswb);
VEC2(packssdw);
VEC1I(pshufd, 0);
VEC1I(pshuflw, 0);
VEC1I(pshufhw, 0);
VEC2I(shufps, 0);
VEC2I(shufpd, 2);

/* ---- SSSE3 ---- */
NATIVE2(pshufb, "pshufb") /* not what compilers make of the loop */
KERNEL2(pshufb_host)
{
    if (HOST_HAS("ssse3"))
        native_pshufb(r, a, b);
    else
        k_pshufb(r, a, b, 16);
}
VEC_ROUTINES(pshufb, k_pshufb_host, , );
VEC2(phaddw);
VEC2(phaddd);
VEC2(phaddsw);
VEC2(phsubw);
VEC2(phsubd);
VEC2(phsubsw);
VEC2(pmaddubsw);
VEC2(pmulhrsw);
VEC2(psignb);
VEC2(psignw);
VEC2(psignd);
VEC1(pabsb);
VEC1(pabsw);
VEC1(pabsd);
VEC2I(palignr, 0);

/* ---- SSE4.1, SSE4.2 ---- */
VEC2(pmuldq);
VEC2(pcmpeqq);
VEC2(pcmpgtq);
VEC2(packusdw);
VEC2(pminsb);
VEC2(pminuw);
VEC2(pminsd);
VEC2(pminud);
VEC2(pmaxsb);
VEC2(pmaxuw);
VEC2(pmaxsd);
VEC2(pmaxud);
VEC2(pmulld);
VEC1(phminposuw);
VEC2I(mpsadbw, 3);
VEC2I(pblendw, 0);
VEC2I(blendps, 4);
VEC2I(blendpd, 2);

/* ---- SSE3's moves that copy elements ---- */
VEC1(movsldup);
VEC1(movshdup);

/* A 16-byte MOVDDUP reads 8 bytes of memory. */
static void vec_movddup(struct cpu *c, const struct op *o)
{
    const union vec *a = vec_only(c, o, o->size == 32 ? 32 : 8);
    wide r = {.q = {0}};

    k_movddup(lane(&r, 0), lane_c(a, 0), 16);
    if (o->size == 32)
        k_movddup(lane(&r, 1), lane_c(a, 1), 16);
    vec_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_movddup, vec_movddup);

/* ---- shifts: by an immediate (of register rm), or by the low quadword of an XMM operand ---- */
#define SHIFT_BY(c, o, name, a, count, size)                                                       \
    wide r = {.q = {0}};                                                                           \
                                                                                                   \
    k_##name(lane(&r, 0), lane_c(a, 0), count, 16);                                                \
    if ((size) == 32)                                                                              \
        k_##name(lane(&r, 1), lane_c(a, 1), count, 16);                                            \
    vec_done(c, o, &r)

/* Legacy: (RW, imm); VEX: the destination is vvvv, the source rm. */
#define SHIFT_IMM(name)                                                                            \
    static void vec_##name##_imm(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        uint64_t count = (uint8_t)o->imm;                                                          \
        const union vec *a = vec_src1(c, o);                                                       \
                                                                                                   \
        SHIFT_BY(c, o, name, a, count, o->size);                                                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name##_imm, vec_##name##_imm)

#define SHIFTS(name)                                                                               \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        uint64_t count = vec_src2(c, o, 16)->q[0];                                                 \
        const union vec *a = vec_src1(c, o);                                                       \
                                                                                                   \
        SHIFT_BY(c, o, name, a, count, o->size);                                                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name);                                                              \
    SHIFT_IMM(name)
SHIFTS(psllw);
SHIFTS(pslld);
SHIFTS(psllq);
SHIFTS(psrlw);
SHIFTS(psrld);
SHIFTS(psrlq);
SHIFTS(psraw);
SHIFTS(psrad);
SHIFT_IMM(pslldq);
SHIFT_IMM(psrldq);

/* ---- blends by a mask: XMM0, or the fourth operand ---- */
#define BLENDV(name)                                                                               \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        wide r = {.q = {0}};                                                                       \
        const union vec *b = vec_src2(c, o, o->size), *a = vec_src1(c, o);                         \
        const union vec *mask = &c->vec[o->flags & OP_VEX ? o->w : 0];                             \
                                                                                                   \
        k_##name(lane(&r, 0), lane_c(a, 0), lane_c(b, 0), lane_c(mask, 0));                        \
        if (o->size == 32)                                                                         \
            k_##name(lane(&r, 1), lane_c(a, 1), lane_c(b, 1), lane_c(mask, 1));                    \
        vec_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
BLENDV(pblendvb);
BLENDV(blendvps);
BLENDV(blendvpd);

/* ---- widening: `ratio` elements become one; the source has size / ratio bytes ---- */
#define WIDEN(name, to, from, ratio)                                                               \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        wide r = {.q = {0}};                                                                       \
        const union vec *a = vec_only(c, o, o->size / (ratio));                                    \
                                                                                                   \
        for (unsigned i = 0; i < o->size / sizeof(r.to[0]); i++)                                   \
            r.to[i] = a->from[i];                                                                  \
        vec_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
WIDEN(pmovsxbw, sw, sb, 2);
WIDEN(pmovsxbd, sd, sb, 4);
WIDEN(pmovsxbq, sq, sb, 8);
WIDEN(pmovsxwd, sd, sw, 2);
WIDEN(pmovsxwq, sq, sw, 4);
WIDEN(pmovsxdq, sq, sd, 2);
WIDEN(pmovzxbw, w, b, 2);
WIDEN(pmovzxbd, d, b, 4);
WIDEN(pmovzxbq, q, b, 8);
WIDEN(pmovzxwd, d, w, 2);
WIDEN(pmovzxwq, q, w, 4);
WIDEN(pmovzxdq, q, d, 2);

/* ---- tests into flags: ZF no bit common, CF no bit of b outside a ---- */
#define TEST_BITS(name, m)                                                                         \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_only(c, o, o->size), *a = &c->vec[o->d];                          \
        uint64_t both = 0, other = 0;                                                              \
                                                                                                   \
        for (unsigned i = 0; i < o->size / 8u; i++) {                                              \
            both |= a->q[i] & b->q[i] & (m);                                                       \
            other |= ~a->q[i] & b->q[i] & (m);                                                     \
        }                                                                                          \
        flags_set(c, false, false, !both, false, false, !other);                                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
TEST_BITS(ptest, ~UINT64_C(0));
TEST_BITS(vtestps, UINT64_C(0x8000000080000000));
TEST_BITS(vtestpd, UINT64_C(0x8000000000000000));
