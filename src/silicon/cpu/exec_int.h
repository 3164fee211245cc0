/* What the integer routines share: registers by size, shapes, flags beyond flags.h, the stack. */
#ifndef LUCCA_SILICON_CPU_EXEC_INT_H
#define LUCCA_SILICON_CPU_EXEC_INT_H

#include "silicon/cpu/block.h"
#include "silicon/cpu/exec.h"

/* ---- registers: reading gives the low bits, writing keeps or clears the rest as the size says.
 * A 16-bit write merges in a register of the host: a narrow store would stall the next load. ----
 */
static inline uint8_t reg_get8(const struct cpu *c, unsigned n)
{
    return ((const uint8_t *)c->r)[n];
}
static inline uint16_t reg_get16(const struct cpu *c, unsigned n)
{
    return (uint16_t)c->r[n];
}
static inline uint32_t reg_get32(const struct cpu *c, unsigned n)
{
    return (uint32_t)c->r[n];
}
static inline uint64_t reg_get64(const struct cpu *c, unsigned n)
{
    return c->r[n];
}
static inline void reg_set8(struct cpu *c, unsigned n, uint8_t v)
{
    REG8(c, n) = v;
}
static inline void reg_set16(struct cpu *c, unsigned n, uint16_t v)
{
    c->r[n] = (c->r[n] & ~UINT64_C(0xFFFF)) | v;
}
static inline void reg_set32(struct cpu *c, unsigned n, uint32_t v)
{
    c->r[n] = v;
}
static inline void reg_set64(struct cpu *c, unsigned n, uint64_t v)
{
    c->r[n] = v;
}

/* A register of `size` bytes (2, 4, 8) known only at run time. */
static inline uint64_t reg_get(const struct cpu *c, unsigned n, unsigned size)
{
    return size == 8 ? c->r[n] : size == 4 ? (uint32_t)c->r[n] : (uint16_t)c->r[n];
}
static inline void reg_set(struct cpu *c, unsigned n, unsigned size, uint64_t v)
{
    if (size == 2)
        reg_set16(c, n, (uint16_t)v);
    else
        c->r[n] = size == 4 ? (uint32_t)v : v;
}

/* ---- shapes ---- */
#define FOR_SIZES(X) X(8) X(16) X(32) X(64)
#define FOR_WIDE(X)  X(16) X(32) X(64)

#define FOR_CONDITIONS(X)                                                                          \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* name_r8 .. name_r64, name_m8 .. name_m64 */
#define SHAPES(name, reg, mem)                                                                     \
    const exec_shapes exec_##name = {reg##8, reg##16, reg##32, reg##64,                            \
                                     mem##8, mem##16, mem##32, mem##64}
/* 16, 32 and 64 bits only. */
#define SHAPES_WIDE(name, reg, mem)                                                                \
    const exec_shapes exec_##name = {reg##16, reg##16, reg##32, reg##64,                           \
                                     mem##16, mem##16, mem##32, mem##64}
/* 32 and 64 bits only. */
#define SHAPES_Y(name, reg, mem)                                                                   \
    const exec_shapes exec_##name = {reg##32, reg##32, reg##32, reg##64,                           \
                                     mem##32, mem##32, mem##32, mem##64}
/* Rows without a memory form: memory shapes are never chosen. */
#define SHAPES_REG(name, reg)      SHAPES(name, reg, reg)
#define SHAPES_WIDE_REG(name, reg) SHAPES_WIDE(name, reg, reg)

/* ---- flags ---- */
static inline void flags_set_co(struct cpu *c, bool cf, bool of)
{
    c->lazy.carry = (c->lazy.carry & ~(BIT(LAZY_CF) | BIT(LAZY_OF))) | (uint64_t)cf << LAZY_CF |
                    (uint64_t)(cf ^ of) << LAZY_OF;
}

/* S, Z, P by result; A clear. */
static inline void flags_result(struct cpu *c, int64_t result, bool cf, bool of)
{
    c->lazy.result = result;
    c->lazy.carry = (uint64_t)cf << LAZY_CF | (uint64_t)(cf ^ of) << LAZY_OF;
}

/* ---- addresses of implicit operands: `off` in segment `seg`, of the instruction's address size
 * ---- */
static inline uint64_t cut(uint64_t v, unsigned size)
{
    return size == 8 ? v : size == 4 ? (uint32_t)v : (uint16_t)v;
}

static inline uint64_t linear(struct cpu *c, const struct op *o, unsigned seg, uint64_t off,
                              unsigned size, enum access acc)
{
    if (LIKELY(!(o->flags & OP_LEGACY)))
        return c->seg[seg].base + off;
    return seg_linear(c, o, seg, cut(off, o->asize), size, acc);
}

/* ---- memory of `size` bytes (2, 4, 8) known only at run time ---- */
static inline uint64_t mem_get(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    return size == 8   ? mem_load64(c, o, la)
           : size == 4 ? mem_load32(c, o, la)
                       : mem_load16(c, o, la);
}
static inline void mem_put(struct cpu *c, const struct op *o, uint64_t la, unsigned size,
                           uint64_t v)
{
    if (size == 8)
        mem_store64(c, o, la, v);
    else if (size == 4)
        mem_store32(c, o, la, (uint32_t)v);
    else
        mem_store16(c, o, la, (uint16_t)v);
}

/* ---- the stack. Its pointer is 8 bytes wide in 64-bit mode, else 4 or 2 by SS.B ---- */
static inline unsigned stack_width(const struct cpu *c)
{
    return long64(c) ? 8 : c->decode & DECODE_STACK32 ? 4 : 2;
}

/* Linear address of `size` bytes at rSP + delta. */
static inline uint64_t stack_linear(struct cpu *c, const struct op *o, int64_t delta, unsigned size,
                                    enum access acc)
{
    uint64_t sp = c->r[RSP] + (uint64_t)delta;

    if (LIKELY(long64(c)))
        return sp;
    return seg_linear(c, o, SS, cut(sp, stack_width(c)), size, acc);
}

static inline void stack_move(struct cpu *c, int64_t delta)
{
    reg_set(c, RSP, stack_width(c), c->r[RSP] + (uint64_t)delta);
}

static inline void stack_push(struct cpu *c, const struct op *o, unsigned size, uint64_t v)
{
    mem_put(c, o, stack_linear(c, o, -(int64_t)size, size, ACCESS_WRITE), size, v);
    stack_move(c, -(int64_t)size);
}

#endif
