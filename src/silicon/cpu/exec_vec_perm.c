/* What AVX and AVX2 add beside wider lanes: broadcasts, permutations across lanes, moves under a
 * mask, gathers. */
#include "silicon/cpu/exec_vec.h"

VEC2(vpermilps);
VEC2(vpermilpd);
VEC1I(vpermilpd_imm, 2);
VEC2(psllvd);
VEC2(psllvq);
VEC2(psrlvd);
VEC2(psrlvq);
VEC2(psravd);

/* ---- VZEROUPPER, VZEROALL: of the registers the mode has ---- */
static void vec_vzeroupper(struct cpu *c, const struct op *o)
{
    for (unsigned i = 0; i < (long64(c) ? 16u : 8u); i++)
        *lane(&c->vec[i], 1) = (union lane){.q = {0, 0}};
    NEXT(c, o);
}
EXEC_ANY(vec_vzeroupper, vec_vzeroupper);

static void vec_vzeroall(struct cpu *c, const struct op *o)
{
    memset(c->vec, 0, (long64(c) ? 16 : 8) * sizeof(c->vec[0]));
    NEXT(c, o);
}
EXEC_ANY(vec_vzeroall, vec_vzeroall);

/* ---- broadcasts ---- */
#define BROADCAST(name, m)                                                                         \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        wide r = {.q = {0}};                                                                       \
        __typeof__(r.m[0]) v = vec_only(c, o, sizeof(v))->m[0];                                    \
                                                                                                   \
        for (unsigned i = 0; i < o->size / sizeof(v); i++)                                         \
            r.m[i] = v;                                                                            \
        vec_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
BROADCAST(broadcast_b, b);
BROADCAST(broadcast_w, w);
BROADCAST(broadcast_d, d);
BROADCAST(broadcast_q, q);

static void vec_broadcast_dq(struct cpu *c, const struct op *o)
{
    union lane v = *lane_c(vec_only(c, o, 16), 0);

    *lane(&c->vec[o->d], 0) = v;
    *lane(&c->vec[o->d], 1) = v;
    NEXT(c, o);
}
EXEC_ANY(vec_broadcast_dq, vec_broadcast_dq);

/* ---- across lanes ---- */
static void vec_insert128(struct cpu *c, const struct op *o)
{
    union lane v = *lane_c(vec_rm(c, o, o->v, 16), 0);
    const union vec *a = &c->vec[o->s];
    union lane low = o->imm & 1 ? *lane_c(a, 0) : v, high = o->imm & 1 ? v : *lane_c(a, 1);

    *lane(&c->vec[o->d], 0) = low;
    *lane(&c->vec[o->d], 1) = high;
    NEXT(c, o);
}
EXEC_ANY(vec_insert128, vec_insert128);

static void vec_extract128_reg(struct cpu *c, const struct op *o)
{
    union lane v = *lane_c(&c->vec[o->s], o->imm & 1);

    lane_done(c, o, o->d, &v);
    NEXT(c, o);
}

static void vec_extract128_mem(struct cpu *c, const struct op *o)
{
    vec_store(c, o, lane_c(&c->vec[o->s], o->imm & 1), 16);
    NEXT(c, o);
}
EXEC_REG_MEM(vec_extract128, vec_extract128_reg, vec_extract128_mem);

/* A lane of a:b by two bits; bit 3 zeroes it. */
static inline union lane choose_lane(const union vec *a, const union vec *b, unsigned by)
{
    if (by & 8)
        return (union lane){.q = {0, 0}};
    return *lane_c(by & 2 ? b : a, by & 1);
}

static void vec_perm2x128(struct cpu *c, const struct op *o)
{
    const union vec *b = vec_rm(c, o, o->v, 32), *a = &c->vec[o->s];
    union lane low = choose_lane(a, b, o->imm & 15), high = choose_lane(a, b, o->imm >> 4 & 15);

    *lane(&c->vec[o->d], 0) = low;
    *lane(&c->vec[o->d], 1) = high;
    NEXT(c, o);
}
EXEC_ANY(vec_perm2x128, vec_perm2x128);

/* The selectors are the first source. */
static void vec_vpermd(struct cpu *c, const struct op *o)
{
    const union vec *b = vec_rm(c, o, o->v, 32), *by = &c->vec[o->s];
    wide r;

    for (unsigned i = 0; i < 8; i++)
        r.d[i] = b->d[by->d[i] & 7];
    vec_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_vpermd, vec_vpermd);

static void vec_vpermq(struct cpu *c, const struct op *o)
{
    const union vec *b = vec_only(c, o, 32);
    wide r;

    for (unsigned i = 0; i < 4; i++)
        r.q[i] = b->q[o->imm >> 2 * i & 3];
    vec_done(c, o, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_vpermq, vec_vpermq);

/* ---- moves under a mask: elements whose mask is clear are neither read nor written, and cannot
 * fault ---- */
static uint64_t element_address(struct cpu *c, const struct op *o, unsigned at, unsigned size,
                                enum access acc)
{
    uint64_t off = ea_offset(c, o) + at;

    if (LIKELY(!(o->flags & OP_LEGACY)))
        return c->seg[o->seg].base + off;
    return seg_linear(c, o, o->seg, o->asize == 8 ? off : (uint32_t)off, size, acc);
}

#define MASKED_MOVE(m, sm, bits)                                                                   \
    static void vec_maskload_##m(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        const union vec *mask = &c->vec[o->s];                                                     \
        wide r = {.q = {0}};                                                                       \
                                                                                                   \
        for (unsigned i = 0; i < o->size / sizeof(r.m[0]); i++)                                    \
            if (mask->sm[i] < 0)                                                                   \
                r.m[i] = mem_load##bits(                                                           \
                    c, o, element_address(c, o, i * (bits) / 8, (bits) / 8, ACCESS_READ));         \
        vec_done(c, o, &r);                                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_maskload_##m, vec_maskload_##m);                                                  \
    static void vec_maskstore_##m(struct cpu *c, const struct op *o)                               \
    {                                                                                              \
        const union vec *mask = &c->vec[o->s], *from = &c->vec[o->v];                              \
        unsigned n = o->size / sizeof(mask->m[0]);                                                 \
                                                                                                   \
        for (unsigned i = 0; i < n; i++)                                                           \
            if (mask->sm[i] < 0)                                                                   \
                mmu_probe_write(c, o,                                                              \
                                element_address(c, o, i *(bits) / 8, (bits) / 8, ACCESS_WRITE),    \
                                (bits) / 8);                                                       \
        for (unsigned i = 0; i < n; i++)                                                           \
            if (mask->sm[i] < 0)                                                                   \
                mem_store##bits(c, o,                                                              \
                                element_address(c, o, i *(bits) / 8, (bits) / 8, ACCESS_WRITE),    \
                                from->m[i]);                                                       \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_maskstore_##m, vec_maskstore_##m)
MASKED_MOVE(d, sd, 32);
MASKED_MOVE(q, sq, 64);

/* ---- gathers: destination, memory by a vector of indices, mask. An element that arrived has its
 * mask cleared, so that after a fault the instruction goes on where it was (APM4 VPGATHERDD) ----
 */
static uint64_t gather_address(struct cpu *c, const struct op *o, int64_t index, unsigned size)
{
    uint64_t off = c->r[o->base] + ((uint64_t)index << o->scale) + (uint64_t)o->disp;

    if (LIKELY(!(o->flags & OP_LEGACY)))
        return c->seg[o->seg].base + off;
    return seg_linear(c, o, o->seg, o->asize == 8 ? off : (uint32_t)off, size, ACCESS_READ);
}

static void gather_check(struct cpu *c, const struct op *o)
{
    if (o->d == o->v || o->d == o->index || o->v == o->index)
        cpu_fault(c, o, EXC_UD, 0);
}

/* `n` elements; those above, and all of the mask, become zero. */
#define GATHER(name, index_member, m, sm, bits, n)                                                 \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        union vec *d = &c->vec[o->d], *mask = &c->vec[o->v];                                       \
        unsigned count = n;                                                                        \
                                                                                                   \
        gather_check(c, o);                                                                        \
        for (unsigned i = 0; i < count; i++) {                                                     \
            if (mask->sm[i] < 0)                                                                   \
                d->m[i] = mem_load##bits(                                                          \
                    c, o, gather_address(c, o, c->vec[o->index].index_member[i], (bits) / 8));     \
            mask->m[i] = 0;                                                                        \
        }                                                                                          \
        memset(mask, 0, sizeof(*mask));                                                            \
        memset(&d->m[count], 0, sizeof(*d) - count * sizeof(d->m[0]));                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
GATHER(gather_dd, sd, d, sd, 32, o->size / 4u);
GATHER(gather_dq, sd, q, sq, 64, o->size / 8u);
GATHER(gather_qd, sq, d, sd, 32, o->size / 8u);
GATHER(gather_qq, sq, q, sq, 64, o->size / 8u);
