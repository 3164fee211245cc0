/* MMX instructions, and the forms of SSE, SSE2 and SSSE3 on MMX registers.
 *
 * Register n is the significand of physical x87 register n. Every instruction but EMMS leaves TOP 0
 * and all registers valid; one that writes a register also leaves its sign and exponent all ones
 * (APM1 5.14.2). A pending x87 exception comes first.
 */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/fp.h"
#include "silicon/cpu/vec_lanes.h"
#include "silicon/cpu/x87.h"

static inline uint64_t mmx_get(const struct cpu *c, unsigned n)
{
    return c->x87.reg[n].mant;
}

static inline void mmx_set(struct cpu *c, unsigned n, uint64_t v)
{
    c->x87.reg[n].mant = v;
    c->x87.reg[n].se = 0xFFFF;
}

static inline void mmx_enter(struct cpu *c)
{
    c->x87.sw &= (uint16_t)~0x3800u;
    c->x87.valid = 0xFF;
}

/* The second operand: a register, or 8 bytes of memory. MMX state is entered after both. */
static inline union lane mmx_src(struct cpu *c, const struct op *o)
{
    union lane v = {.q = {0, 0}};

    x87_wait(c, o);
    v.q[0] = o->flags & OP_MEM ? mem_load64(c, o, ea(c, o, 8, ACCESS_READ)) : mmx_get(c, o->s);
    return v;
}

static inline union lane mmx_dst(const struct cpu *c, const struct op *o)
{
    return (union lane){.q = {mmx_get(c, o->d), 0}};
}

static inline void mmx_done(struct cpu *c, const struct op *o, const union lane *r)
{
    mmx_enter(c);
    mmx_set(c, o->d, r->q[0]);
}

static void emms(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    c->x87.valid = 0;
    c->x87.sw &= (uint16_t)~0x3800u;
    NEXT(c, o);
}
EXEC_ANY(emms, emms);

/* ---- moves ---- */

static void mmx_movd_load(struct cpu *c, const struct op *o)
{
    union lane r = {.q = {0, 0}};
    bool wide = o->flags & OP_W;

    x87_wait(c, o);
    if (o->flags & OP_MEM)
        r.q[0] = wide ? mem_load64(c, o, ea(c, o, 8, ACCESS_READ))
                      : mem_load32(c, o, ea(c, o, 4, ACCESS_READ));
    else
        r.q[0] = wide ? c->r[o->s] : (uint32_t)c->r[o->s];
    mmx_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(mmx_movd_load, mmx_movd_load);

static void mmx_movd_store(struct cpu *c, const struct op *o)
{
    uint64_t v = mmx_get(c, o->s);
    bool wide = o->flags & OP_W;

    x87_wait(c, o);
    if (!(o->flags & OP_MEM))
        c->r[o->d] = wide ? v : (uint32_t)v;
    else if (wide)
        mem_store64(c, o, ea(c, o, 8, ACCESS_WRITE), v);
    else
        mem_store32(c, o, ea(c, o, 4, ACCESS_WRITE), (uint32_t)v);
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_movd_store, mmx_movd_store);

static void mmx_movq(struct cpu *c, const struct op *o)
{
    union lane r = mmx_src(c, o);

    mmx_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(mmx_movq, mmx_movq);

static void mmx_movq_store(struct cpu *c, const struct op *o)
{
    uint64_t v = mmx_get(c, o->s);

    x87_wait(c, o);
    if (o->flags & OP_MEM)
        mem_store64(c, o, ea(c, o, 8, ACCESS_WRITE), v);
    else
        mmx_set(c, o->d, v);
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_movq_store, mmx_movq_store);

/* Bytes of d whose mask byte in s is negative, to [rDI]. All are probed before any is written. */
static void mmx_maskmovq(struct cpu *c, const struct op *o)
{
    union lane mask = {.q = {mmx_get(c, o->s), 0}}, from = mmx_dst(c, o);
    uint64_t la[8];

    x87_wait(c, o);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t off = c->r[RDI] + i;

        if (mask.sb[i] >= 0)
            continue;
        off = o->asize == 8 ? off : o->asize == 4 ? (uint32_t)off : (uint16_t)off;
        la[i] = o->flags & OP_LEGACY ? seg_linear(c, o, o->seg, off, 1, ACCESS_WRITE)
                                     : c->seg[o->seg].base + off;
        mmu_probe_write(c, o, la[i], 1);
    }
    for (unsigned i = 0; i < 8; i++)
        if (mask.sb[i] < 0)
            mem_store8(c, o, la[i], from.b[i]);
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_maskmovq, mmx_maskmovq);

static void mmx_movq2dq(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    c->vec[o->d].q[0] = mmx_get(c, o->s);
    c->vec[o->d].q[1] = 0;
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_movq2dq, mmx_movq2dq);

static void mmx_movdq2q(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    mmx_enter(c);
    mmx_set(c, o->d, c->vec[o->s].q[0]);
    NEXT(c, o);
}
EXEC_ANY(mmx_movdq2q, mmx_movdq2q);

/* ---- integer kernels ---- */

#define MMX2(name)                                                                                 \
    static void mmx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        union lane b = mmx_src(c, o), a = mmx_dst(c, o), r;                                        \
                                                                                                   \
        k_##name(&r, &a, &b, 8);                                                                   \
        mmx_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name, mmx_##name)
MMX2(packsswb);
MMX2(packuswb);
MMX2(packssdw);
MMX2(paddb);
MMX2(paddw);
MMX2(paddd);
MMX2(paddq);
MMX2(paddsb);
MMX2(paddsw);
MMX2(paddusb);
MMX2(paddusw);
MMX2(pand);
MMX2(pandn);
MMX2(pavgb);
MMX2(pavgw);
MMX2(pcmpeqb);
MMX2(pcmpeqw);
MMX2(pcmpeqd);
MMX2(pcmpgtb);
MMX2(pcmpgtw);
MMX2(pcmpgtd);
MMX2(phaddw);
MMX2(phaddd);
MMX2(phaddsw);
MMX2(phsubw);
MMX2(phsubd);
MMX2(phsubsw);
MMX2(pmaddubsw);
MMX2(pmaddwd);
MMX2(pmaxsw);
MMX2(pmaxub);
MMX2(pminsw);
MMX2(pminub);
MMX2(pmulhrsw);
MMX2(pmulhuw);
MMX2(pmulhw);
MMX2(pmullw);
MMX2(pmuludq);
MMX2(por);
MMX2(psadbw);
MMX2(pshufb);
MMX2(psignb);
MMX2(psignw);
MMX2(psignd);
MMX2(psubb);
MMX2(psubw);
MMX2(psubd);
MMX2(psubq);
MMX2(psubsb);
MMX2(psubsw);
MMX2(psubusb);
MMX2(psubusw);
MMX2(punpckhbw);
MMX2(punpckhwd);
MMX2(punpckhdq);
MMX2(pxor);

/* These read 4 bytes of memory. */
#define MMX2_LOW(name)                                                                             \
    static void mmx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        union lane a = mmx_dst(c, o), b = {.q = {0, 0}}, r;                                        \
                                                                                                   \
        x87_wait(c, o);                                                                            \
        b.q[0] =                                                                                   \
            o->flags & OP_MEM ? mem_load32(c, o, ea(c, o, 4, ACCESS_READ)) : mmx_get(c, o->s);     \
        k_##name(&r, &a, &b, 8);                                                                   \
        mmx_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name, mmx_##name)
MMX2_LOW(punpcklbw);
MMX2_LOW(punpcklwd);
MMX2_LOW(punpckldq);

#define MMX1(name)                                                                                 \
    static void mmx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        union lane a = mmx_src(c, o), r;                                                           \
                                                                                                   \
        k_##name(&r, &a, 8);                                                                       \
        mmx_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name, mmx_##name)
MMX1(pabsb);
MMX1(pabsw);
MMX1(pabsd);

/* By a count in a register or memory, or in the immediate. */
#define MMX_SHIFT(name)                                                                            \
    static void mmx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        union lane count = mmx_src(c, o), a = mmx_dst(c, o), r;                                    \
                                                                                                   \
        k_##name(&r, &a, count.q[0], 8);                                                           \
        mmx_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name, mmx_##name)
#define MMX_SHIFT_IMM(name)                                                                        \
    static void mmx_##name##_imm(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        union lane a = mmx_dst(c, o), r;                                                           \
                                                                                                   \
        x87_wait(c, o);                                                                            \
        k_##name(&r, &a, (uint8_t)o->imm, 8);                                                      \
        mmx_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name##_imm, mmx_##name##_imm)
MMX_SHIFT(psllw);
MMX_SHIFT(pslld);
MMX_SHIFT(psllq);
MMX_SHIFT(psrlw);
MMX_SHIFT(psrld);
MMX_SHIFT(psrlq);
MMX_SHIFT(psraw);
MMX_SHIFT(psrad);
MMX_SHIFT_IMM(psllw);
MMX_SHIFT_IMM(pslld);
MMX_SHIFT_IMM(psllq);
MMX_SHIFT_IMM(psrlw);
MMX_SHIFT_IMM(psrld);
MMX_SHIFT_IMM(psrlq);
MMX_SHIFT_IMM(psraw);
MMX_SHIFT_IMM(psrad);

static void mmx_palignr(struct cpu *c, const struct op *o)
{
    union lane b = mmx_src(c, o), a = mmx_dst(c, o), r;

    k_palignr(&r, &a, &b, 8, (uint8_t)o->imm);
    mmx_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(mmx_palignr, mmx_palignr);

static void mmx_pshufw(struct cpu *c, const struct op *o)
{
    union lane a = mmx_src(c, o), r;

    k_pshufw(&r, &a, 8, (uint8_t)o->imm);
    mmx_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(mmx_pshufw, mmx_pshufw);

static void mmx_pinsrw(struct cpu *c, const struct op *o)
{
    union lane r = mmx_dst(c, o);

    x87_wait(c, o);
    r.w[o->imm & 3] =
        o->flags & OP_MEM ? mem_load16(c, o, ea(c, o, 2, ACCESS_READ)) : (uint16_t)c->r[o->s];
    mmx_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(mmx_pinsrw, mmx_pinsrw);

static void mmx_pextrw(struct cpu *c, const struct op *o)
{
    union lane a = {.q = {mmx_get(c, o->s), 0}};

    x87_wait(c, o);
    c->r[o->d] = a.w[o->imm & 3];
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_pextrw, mmx_pextrw);

static void mmx_pmovmskb(struct cpu *c, const struct op *o)
{
    union lane a = {.q = {mmx_get(c, o->s), 0}};

    x87_wait(c, o);
    c->r[o->d] = mask_b(&a, 8);
    mmx_enter(c);
    NEXT(c, o);
}
EXEC_ANY(mmx_pmovmskb, mmx_pmovmskb);

/* ---- conversions. An unmasked SSE exception stops the result, not the entry of MMX state ---- */

/* Two integers to floating point: a source in memory has nothing to do with MMX state. */
static inline union lane integers(struct cpu *c, const struct op *o)
{
    if (o->flags & OP_MEM)
        return (union lane){.q = {mem_load64(c, o, ea(c, o, 8, ACCESS_READ)), 0}};
    return mmx_src(c, o);
}

static void mmx_cvtpi2ps(struct cpu *c, const struct op *o)
{
    union lane a = integers(c, o);
    struct fp f = fp_begin(c);
    uint32_t low = fp_from_i32(&f, a.sd[0]), high = fp_from_i32(&f, a.sd[1]);

    if (!(o->flags & OP_MEM))
        mmx_enter(c);
    fp_end(c, o, &f);
    c->vec[o->d].d[0] = low;
    c->vec[o->d].d[1] = high;
}
EXEC_BODY(mmx_cvtpi2ps, mmx_cvtpi2ps);

static void mmx_cvtpi2pd(struct cpu *c, const struct op *o)
{
    union lane a = integers(c, o);
    struct fp f = fp_begin(c);

    c->vec[o->d].q[0] = fp_from_i64(&f, a.sd[0]);
    c->vec[o->d].q[1] = fp_from_i64(&f, a.sd[1]);
    if (!(o->flags & OP_MEM))
        mmx_enter(c);
}
EXEC_BODY(mmx_cvtpi2pd, mmx_cvtpi2pd);

static inline void from_single(struct cpu *c, const struct op *o, bool truncate)
{
    union vec tmp;
    const union vec *a;
    union lane r;
    struct fp f;
    unsigned mode;

    x87_wait(c, o);
    a = vec_src(c, o, 1, o->s, &tmp, 8);
    f = fp_begin(c);
    mode = truncate ? ROUND_ZERO : f.rounding;
    r.d[0] = fp_to_i32_32(&f, a->d[0], mode);
    r.d[1] = fp_to_i32_32(&f, a->d[1], mode);
    mmx_enter(c);
    fp_end(c, o, &f);
    mmx_set(c, o->d, r.q[0]);
}

static inline void from_double(struct cpu *c, const struct op *o, bool truncate)
{
    union vec tmp;
    const union vec *a;
    union lane r;
    struct fp f;
    unsigned mode;

    x87_wait(c, o);
    a = vec_src(c, o, 1, o->s, &tmp, 16);
    f = fp_begin(c);
    mode = truncate ? ROUND_ZERO : f.rounding;
    r.d[0] = fp_to_i32_64(&f, a->q[0], mode);
    r.d[1] = fp_to_i32_64(&f, a->q[1], mode);
    mmx_enter(c);
    fp_end(c, o, &f);
    mmx_set(c, o->d, r.q[0]);
}

#define CONVERT(name, from, truncate)                                                              \
    static void mmx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        from(c, o, truncate);                                                                      \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(mmx_##name, mmx_##name)
CONVERT(cvtps2pi, from_single, false);
CONVERT(cvttps2pi, from_single, true);
CONVERT(cvtpd2pi, from_double, false);
CONVERT(cvttpd2pi, from_double, true);
