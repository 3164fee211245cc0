/* Moves between XMM/YMM registers, memory and general registers; inserts and extracts. */
#include "silicon/cpu/exec_vec.h"
#include "silicon/cpu/fp.h"

/* ---- whole registers: MOVUPS, MOVDQU, LDDQU ..; MOVAPS, MOVDQA, MOVNT* .., whose memory must be
 * aligned whatever MXCSR.MM says (APM1 4.3.2) ---- */
static void vec_mov_reg(struct cpu *c, const struct op *o)
{
    const union vec *s = &c->vec[o->s];

    if (o->size == 32)
        c->vec[o->d] = *s;
    else
        lane_done(c, o, o->d, lane_c(s, 0));
    NEXT(c, o);
}

static ALWAYS_INLINE uint64_t move_address(struct cpu *c, const struct op *o, bool aligned,
                                           enum access acc)
{
    uint64_t la = ea(c, o, o->size, acc);

    if (aligned && UNLIKELY(la & (o->size - 1u)))
        cpu_fault(c, o, EXC_GP, 0);
    return la;
}

static ALWAYS_INLINE void move_load(struct cpu *c, const struct op *o, bool aligned)
{
    uint64_t la = move_address(c, o, aligned, ACCESS_READ);
    const uint8_t *p = tlb_hit(c, la, o->size, false);

    if (UNLIKELY(!p)) {
        mmu_load(c, o, la, &c->operand, o->size);
        p = c->operand.b;
    }
    memcpy(lane(&c->vec[o->d], 0), p, 16);
    if (o->size == 32)
        memcpy(lane(&c->vec[o->d], 1), p + 16, 16);
    else if (o->flags & OP_VEX)
        *lane(&c->vec[o->d], 1) = (union lane){.q = {0, 0}};
}

static ALWAYS_INLINE void move_store(struct cpu *c, const struct op *o, bool aligned)
{
    uint64_t la = move_address(c, o, aligned, ACCESS_WRITE);
    uint8_t *p = tlb_hit(c, la, o->size, true);
    const union vec *from = &c->vec[o->s];

    if (UNLIKELY(!p)) {
        mmu_store(c, o, la, from, o->size);
        return;
    }
    memcpy(p, lane_c(from, 0), 16);
    if (o->size == 32)
        memcpy(p + 16, lane_c(from, 1), 16);
}

#define MOVE(name, aligned)                                                                        \
    static void vec_##name##_mem(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        move_load(c, o, aligned);                                                                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_REG_MEM(vec_##name, vec_mov_reg, vec_##name##_mem);                                       \
    static void vec_##name##_to_mem(struct cpu *c, const struct op *o)                             \
    {                                                                                              \
        move_store(c, o, aligned);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_REG_MEM(vec_##name##_store, vec_mov_reg, vec_##name##_to_mem)
MOVE(movu, false);
MOVE(mova, true);

/* ---- parts ---- */
#define MERGE(name, m)                                                                             \
    static inline void name(union lane *r, const union lane *a, const union lane *b)               \
    {                                                                                              \
        *r = *a;                                                                                   \
        r->m[0] = b->m[0];                                                                         \
    }
MERGE(merge_d, d)
MERGE(merge_q, q)

static inline void merge_high(union lane *r, const union lane *a, const union lane *b)
{
    r->q[0] = a->q[0];
    r->q[1] = b->q[0];
}

static inline void merge_from_high(union lane *r, const union lane *a, const union lane *b)
{
    r->q[0] = b->q[1];
    r->q[1] = a->q[1];
}

VEC2_LANE(movss, merge_d, 4);
VEC2_LANE(movsd, merge_q, 8);
VEC2_LANE(movhps, merge_high, 8);
VEC2_LANE(movhlps, merge_from_high, 16);

/* MOVSS and MOVSD from memory, MOVQ: zero above what is moved. */
static void vec_movq_reg(struct cpu *c, const struct op *o)
{
    union lane r = {.q = {c->vec[o->s].q[0], 0}};

    lane_done(c, o, o->d, &r);
    NEXT(c, o);
}

static void vec_movq_mem(struct cpu *c, const struct op *o)
{
    union lane r = {.q = {0, 0}};

    r.q[0] = mem_load64(c, o, ea(c, o, 8, ACCESS_READ));
    lane_done(c, o, o->d, &r);
    NEXT(c, o);
}
EXEC_REG_MEM(vec_movq, vec_movq_reg, vec_movq_mem);

static void vec_movss_load(struct cpu *c, const struct op *o)
{
    union lane r = {.q = {0, 0}};

    r.d[0] = mem_load32(c, o, ea(c, o, 4, ACCESS_READ));
    lane_done(c, o, o->d, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_movss_load, vec_movss_load);

static void vec_store_d(struct cpu *c, const struct op *o)
{
    mem_store32(c, o, ea(c, o, 4, ACCESS_WRITE), c->vec[o->s].d[0]);
    NEXT(c, o);
}
EXEC_ANY(vec_store_d, vec_store_d);

static void vec_store_q(struct cpu *c, const struct op *o)
{
    mem_store64(c, o, ea(c, o, 8, ACCESS_WRITE), c->vec[o->s].q[0]);
    NEXT(c, o);
}
EXEC_ANY(vec_store_q, vec_store_q);
/* MOVQ Wq, Vq: a register is zeroed above. */
EXEC_REG_MEM(vec_movq_store, vec_movq_reg, vec_store_q);

static void vec_store_high(struct cpu *c, const struct op *o)
{
    mem_store64(c, o, ea(c, o, 8, ACCESS_WRITE), c->vec[o->s].q[1]);
    NEXT(c, o);
}
EXEC_ANY(vec_store_high, vec_store_high);

/* ---- general registers ---- */
/* The source that is a general register or memory, of `size` bytes. */
static uint64_t general(struct cpu *c, const struct op *o, uint8_t reg, unsigned size)
{
    uint64_t la;

    if (!(o->flags & OP_MEM))
        return c->r[reg];
    la = ea(c, o, size, ACCESS_READ);
    switch (size) {
    case 1:
        return mem_load8(c, o, la);
    case 2:
        return mem_load16(c, o, la);
    case 4:
        return mem_load32(c, o, la);
    default:
        return mem_load64(c, o, la);
    }
}

/* MOVD, MOVQ Vx, Ey */
static void vec_movd(struct cpu *c, const struct op *o)
{
    union lane r = {.q = {0, 0}};

    if (o->flags & OP_W)
        r.q[0] = general(c, o, o->s, 8);
    else
        r.d[0] = (uint32_t)general(c, o, o->s, 4);
    lane_done(c, o, o->d, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_movd, vec_movd);

/* A general register of 8 bytes, or 4 zero-extended, or memory gets element `v`. */
static void general_set(struct cpu *c, const struct op *o, uint64_t v, unsigned size)
{
    uint64_t la;

    if (!(o->flags & OP_MEM)) {
        c->r[o->d] = v;
        return;
    }
    la = ea(c, o, size, ACCESS_WRITE);
    switch (size) {
    case 1:
        mem_store8(c, o, la, (uint8_t)v);
        break;
    case 2:
        mem_store16(c, o, la, (uint16_t)v);
        break;
    case 4:
        mem_store32(c, o, la, (uint32_t)v);
        break;
    default:
        mem_store64(c, o, la, v);
        break;
    }
}

/* MOVD, MOVQ Ey, Vx */
static void vec_movd_store(struct cpu *c, const struct op *o)
{
    if (o->flags & OP_W)
        general_set(c, o, c->vec[o->s].q[0], 8);
    else
        general_set(c, o, c->vec[o->s].d[0], 4);
    NEXT(c, o);
}
EXEC_ANY(vec_movd_store, vec_movd_store);

#define EXTRACT(name, m, size)                                                                     \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        general_set(c, o, c->vec[o->s].m[o->imm % (16 / (size))], size);                           \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
EXTRACT(pextrb, b, 1);
EXTRACT(pextrw, w, 2);
EXTRACT(pextrd, d, 4);
EXTRACT(pextrq, q, 8);

#define INSERT(name, m, type, size)                                                                \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        uint64_t v = general(c, o, o->flags & OP_VEX ? o->v : o->s, size);                         \
        union lane r = *lane_c(vec_src1(c, o), 0);                                                 \
                                                                                                   \
        r.m[o->imm % (16 / (size))] = (type)v;                                                     \
        lane_done(c, o, o->d, &r);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
INSERT(pinsrb, b, uint8_t, 1);
INSERT(pinsrw, w, uint16_t, 2);
INSERT(pinsrd, d, uint32_t, 4);
INSERT(pinsrq, q, uint64_t, 8);

/* imm: 7:6 element of a register source, 5:4 where it goes, 3:0 elements to zero */
static void vec_insertps(struct cpu *c, const struct op *o)
{
    const union vec *b = vec_src2(c, o, 4);
    union lane r = *lane_c(vec_src1(c, o), 0);

    r.d[o->imm >> 4 & 3] = b->d[o->flags & OP_MEM ? 0 : o->imm >> 6 & 3];
    for (unsigned i = 0; i < 4; i++)
        if (o->imm >> i & 1)
            r.d[i] = 0;
    lane_done(c, o, o->d, &r);
    NEXT(c, o);
}
EXEC_ANY(vec_insertps, vec_insertps);

/* ---- signs to a general register ---- */
#define MOVMSK(name, mask, per)                                                                    \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        const union vec *s = &c->vec[o->s];                                                        \
        uint32_t m = mask(0);                                                                      \
                                                                                                   \
        if (o->size == 32)                                                                         \
            m |= mask(1) << (per);                                                                 \
        c->r[o->d] = m;                                                                            \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
#define MASK_B(i) mask_b(lane_c(s, i), 16)
#define MASK_D(i) mask_d(lane_c(s, i))
#define MASK_Q(i) mask_q(lane_c(s, i))
MOVMSK(pmovmskb, MASK_B, 16);
MOVMSK(movmskps, MASK_D, 4);
MOVMSK(movmskpd, MASK_Q, 2);

/* ---- MASKMOVDQU: bytes of d whose mask byte in s is negative, to [rDI]. AMD's cores fault where
 * any of the 16 bytes cannot be written, whatever the mask. ---- */
static void vec_maskmovdqu(struct cpu *c, const struct op *o)
{
    uint64_t off = c->r[RDI], la;
    uint32_t mask = mask_b(lane_c(&c->vec[o->s], 0), 16);

    if (o->flags & OP_LEGACY)
        la = seg_linear(c, o, o->seg,
                        o->asize == 8   ? off
                        : o->asize == 4 ? (uint32_t)off
                                        : (uint16_t)off,
                        16, ACCESS_WRITE);
    else
        la = c->seg[o->seg].base + off;
    mmu_probe_write(c, o, la, 16);
    for (unsigned i = 0; i < 16; i++)
        if (mask >> i & 1)
            mem_store8(c, o, la + i, c->vec[o->d].b[i]);
    NEXT(c, o);
}
EXEC_ANY(vec_maskmovdqu, vec_maskmovdqu);

/* ---- MXCSR ---- */
static void vec_ldmxcsr(struct cpu *c, const struct op *o)
{
    uint32_t v = mem_load32(c, o, ea(c, o, 4, ACCESS_READ));

    if (v & ~MXCSR_VALID)
        cpu_fault(c, o, EXC_GP, 0);
    mxcsr_write(c, v);
    NEXT(c, o);
}
EXEC_ANY(vec_ldmxcsr, vec_ldmxcsr);

static void vec_stmxcsr(struct cpu *c, const struct op *o)
{
    mem_store32(c, o, ea(c, o, 4, ACCESS_WRITE), mxcsr_read(c));
    NEXT(c, o);
}
EXEC_ANY(vec_stmxcsr, vec_stmxcsr);

/* ---- bit fields of the low quadword (SSE4A); a length of 0 means 64. AMD leaves the upper
 * quadword undefined; its cores zero it. ---- */
static void extract_field(struct cpu *c, const struct op *o, unsigned length, unsigned index)
{
    uint64_t v = c->vec[o->d].q[0] >> (index & 63);

    length &= 63;
    c->vec[o->d].q[0] = length ? v & (BIT(length) - 1) : v;
    c->vec[o->d].q[1] = 0;
}

static void insert_field(struct cpu *c, const struct op *o, unsigned length, unsigned index)
{
    uint64_t mask = length & 63 ? BIT(length & 63) - 1 : ~UINT64_C(0);
    uint64_t from = c->vec[o->s].q[0] & mask;

    index &= 63;
    c->vec[o->d].q[0] = (c->vec[o->d].q[0] & ~(mask << index)) | from << index;
    c->vec[o->d].q[1] = 0;
}

static void vec_extrq_imm(struct cpu *c, const struct op *o)
{
    extract_field(c, o, (uint8_t)o->imm, o->imm2);
    NEXT(c, o);
}
EXEC_ANY(vec_extrq_imm, vec_extrq_imm);

static void vec_extrq(struct cpu *c, const struct op *o)
{
    extract_field(c, o, c->vec[o->s].b[0], c->vec[o->s].b[1]);
    NEXT(c, o);
}
EXEC_ANY(vec_extrq, vec_extrq);

static void vec_insertq_imm(struct cpu *c, const struct op *o)
{
    insert_field(c, o, (uint8_t)o->imm, o->imm2);
    NEXT(c, o);
}
EXEC_ANY(vec_insertq_imm, vec_insertq_imm);

static void vec_insertq(struct cpu *c, const struct op *o)
{
    insert_field(c, o, c->vec[o->s].b[8], c->vec[o->s].b[9]);
    NEXT(c, o);
}
EXEC_ANY(vec_insertq, vec_insertq);
