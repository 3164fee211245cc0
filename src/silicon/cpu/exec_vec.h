/* What the XMM and YMM routines are written with.
 *
 * Nearly every vector instruction works on 16-byte lanes that know nothing of each other. So each
 * is one kernel over lanes (vec_lanes.h), and a macro here makes its routines: sse_NAME (legacy:
 * the first operand is also the first source; what lies above 16 bytes stays) and avx_NAME (three
 * operands, one or two lanes by o->size, zero above). vec_NAME serves both, where the operands sit
 * the same in both.
 */
#ifndef LUCCA_SILICON_CPU_EXEC_VEC_H
#define LUCCA_SILICON_CPU_EXEC_VEC_H

#include "silicon/cpu/exec.h"
#include "silicon/cpu/vec_lanes.h"

/* A local of two lanes: a routine whose locals need more than the stack's alignment, or whose
 * locals' addresses other functions see, cannot jump to the next routine. So memory operands are
 * loaded into c->operand. */
typedef union vec wide __attribute__((aligned(16)));

static inline union lane *lane(wide *v, unsigned i)
{
    return (union lane *)(void *)v->b + i;
}

static inline const union lane *lane_c(const wide *v, unsigned i)
{
    return (const union lane *)(const void *)v->b + i;
}

/* Stores to the memory operand of `o`, at any alignment. */
void vec_store(struct cpu *c, const struct op *o, const void *from, unsigned size);

/* Writes the result of a routine common to both encodings. */
static inline void vec_done(struct cpu *c, const struct op *o, const wide *r)
{
    *lane(&c->vec[o->d], 0) = *lane_c(r, 0);
    if (o->flags & OP_VEX)
        *lane(&c->vec[o->d], 1) = *lane_c(r, 1);
}

/* Writes one lane; VEX zeroes what is above it. */
static inline void lane_done(struct cpu *c, const struct op *o, unsigned reg, const union lane *r)
{
    *lane(&c->vec[reg], 0) = *r;
    if (o->flags & OP_VEX)
        *lane(&c->vec[reg], 1) = (union lane){.q = {0, 0}};
}

/* The source that may be memory: `size` bytes of it, in c->operand, or register `reg`. */
static inline const union vec *vec_rm(struct cpu *c, const struct op *o, uint8_t reg, unsigned size)
{
    if (!(o->flags & OP_MEM))
        return &c->vec[reg];
    vec_load(c, o, &c->operand, size);
    return &c->operand;
}

/* First and second source, by encoding. */
static inline const union vec *vec_src1(const struct cpu *c, const struct op *o)
{
    return &c->vec[o->flags & OP_VEX ? o->s : o->d];
}

static inline const union vec *vec_src2(struct cpu *c, const struct op *o, unsigned size)
{
    return vec_rm(c, o, o->flags & OP_VEX ? o->v : o->s, size);
}

/* The one source of a routine common to both encodings. */
static inline const union vec *vec_only(struct cpu *c, const struct op *o, unsigned size)
{
    return vec_rm(c, o, o->s, size);
}

/* r = kernel(a, b) in each lane; the immediates are what the kernel takes after its size. */
#define VEC_ROUTINES(name, kernel, imm0, imm1)                                                     \
    static void sse_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_rm(c, o, o->s, 16);                                               \
        union lane r;                                                                              \
                                                                                                   \
        kernel(&r, lane_c(&c->vec[o->d], 0), lane_c(b, 0), 16 imm0);                               \
        *lane(&c->vec[o->d], 0) = r;                                                               \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void avx_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *a = &c->vec[o->s], *b = vec_rm(c, o, o->v, o->size);                      \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        kernel(&low, lane_c(a, 0), lane_c(b, 0), 16 imm0);                                         \
        if (o->size == 32)                                                                         \
            kernel(&high, lane_c(a, 1), lane_c(b, 1), 16 imm1);                                    \
        *lane(&c->vec[o->d], 0) = low;                                                             \
        *lane(&c->vec[o->d], 1) = high;                                                            \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(sse_##name, sse_##name);                                                              \
    EXEC_ANY(avx_##name, avx_##name)

#define VEC_IMM(shift) , (uint8_t)(o->imm >> (shift))
#define VEC2(name)     VEC_ROUTINES(name, k_##name, , )
/* With an immediate, of which the upper lane uses the bits from `per` up. */
#define VEC2I(name, per) VEC_ROUTINES(name, k_##name, VEC_IMM(0), VEC_IMM(per))

/* r = kernel(a): operands sit the same in both encodings. */
#define VEC_ROUTINE1(name, kernel, imm0, imm1)                                                     \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *a = vec_only(c, o, o->size);                                              \
        union lane low, high = {.q = {0, 0}};                                                      \
                                                                                                   \
        kernel(&low, lane_c(a, 0), 16 imm0);                                                       \
        if (o->size == 32)                                                                         \
            kernel(&high, lane_c(a, 1), 16 imm1);                                                  \
        *lane(&c->vec[o->d], 0) = low;                                                             \
        if (o->flags & OP_VEX)                                                                     \
            *lane(&c->vec[o->d], 1) = high;                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
#define VEC1(name)       VEC_ROUTINE1(name, k_##name, , )
#define VEC1I(name, per) VEC_ROUTINE1(name, k_##name, VEC_IMM(0), VEC_IMM(per))

/* One lane, both encodings; a memory operand has `bytes`, all that `kernel(r, a, b)` reads of b. */
#define VEC2_LANE(name, kernel, bytes)                                                             \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *b = vec_src2(c, o, bytes);                                                \
        union lane r;                                                                              \
                                                                                                   \
        kernel(&r, lane_c(vec_src1(c, o), 0), lane_c(b, 0));                                       \
        lane_done(c, o, o->d, &r);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)

/* A routine for register operands and one for a memory operand. */
#define EXEC_REG_MEM(name, reg, mem)                                                               \
    const exec_shapes exec_##name = {reg, reg, reg, reg, mem, mem, mem, mem}

#endif
