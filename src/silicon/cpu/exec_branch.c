/* Near control flow, and the instructions that raise exceptions on purpose.
 *
 * A routine for operands of 8 bytes runs in 64-bit mode alone and takes the short way: direct
 * branches lead to linked blocks. The others cut RIP to the operand size (in 64-bit mode too, where
 * 66 makes a branch 16 bits wide) and look the target up.
 */
#include "silicon/cpu/exec_int.h"

/* #GP(0) at `o` unless code can be at `rip`: canonical, or within the CS limit. */
static void check_target(struct cpu *c, const struct op *o, uint64_t rip)
{
    bool bad = long64(c) ? (uint64_t)((int64_t)(rip << 16) >> 16) != rip : rip > c->seg[CS].limit;

    if (bad)
        cpu_fault(c, o, EXC_GP, 0);
}

static void go(struct cpu *c, const struct op *o, uint64_t rip)
{
    JUMP_TO(c, o, rip);
}

static uint64_t target(const struct cpu *c, const struct op *o)
{
    return cut(op_next_rip(c, o) + o->imm, o->size);
}

/* ---- 64-bit mode ---- */
static inline uint64_t next64(const struct cpu *c, const struct op *o)
{
    return c->r[REG_BLOCK] + o->off + o->len;
}

static inline uint64_t target64(struct cpu *c, const struct op *o)
{
    uint64_t rip = next64(c, o) + o->imm;

    if (UNLIKELY((rip ^ c->r[REG_BLOCK]) >> 47)) /* not in the same half: perhaps in none */
        check_target(c, o, rip);
    return rip;
}

static void jmp_64(struct cpu *c, const struct op *o)
{
    JUMP_DIRECT(c, o, 1, target64(c, o));
}

static void call_64(struct cpu *c, const struct op *o)
{
    uint64_t rip = target64(c, o);

    mem_store64(c, o, c->r[RSP] - 8, next64(c, o));
    c->r[RSP] -= 8;
    JUMP_DIRECT(c, o, 1, rip);
}

static void ret_64(struct cpu *c, const struct op *o)
{
    uint64_t rip = mem_load64(c, o, c->r[RSP]);

    if (UNLIKELY((uint64_t)((int64_t)(rip << 16) >> 16) != rip))
        check_target(c, o, rip);
    c->r[RSP] += 8 + o->imm;
    JUMP_TO(c, o, rip);
}

/* ---- other sizes ---- */
static void jmp_cut(struct cpu *c, const struct op *o)
{
    uint64_t rip = target(c, o);

    check_target(c, o, rip);
    return go(c, o, rip);
}

static void call_cut(struct cpu *c, const struct op *o)
{
    uint64_t rip = target(c, o);

    check_target(c, o, rip);
    stack_push(c, o, o->size, op_next_rip(c, o));
    return go(c, o, rip);
}

static void ret_cut(struct cpu *c, const struct op *o)
{
    uint64_t la = stack_linear(c, o, 0, o->size, ACCESS_READ);
    uint64_t rip = mem_get(c, o, la, o->size);

    check_target(c, o, rip);
    stack_move(c, o->size + (int64_t)o->imm);
    return go(c, o, rip);
}

#define BRANCH_SHAPES(name)                                                                        \
    const exec_shapes exec_##name = {name##_cut, name##_cut, name##_cut, name##_64,                \
                                     name##_cut, name##_cut, name##_cut, name##_64}
BRANCH_SHAPES(jmp);
BRANCH_SHAPES(call);
BRANCH_SHAPES(ret);

/* ---- indirect ---- */
static void jump(struct cpu *c, const struct op *o, uint64_t rip)
{
    check_target(c, o, rip);
    JUMP_TO(c, o, rip);
}
static void call_to(struct cpu *c, const struct op *o, uint64_t rip)
{
    check_target(c, o, rip);
    stack_push(c, o, o->size, op_next_rip(c, o));
    JUMP_TO(c, o, rip);
}

#define DEFINE_INDIRECT(bits)                                                                      \
    static void jmp_indirect_r##bits(struct cpu *c, const struct op *o)                            \
    {                                                                                              \
        return jump(c, o, reg_get##bits(c, o->d));                                                 \
    }                                                                                              \
    static void jmp_indirect_m##bits(struct cpu *c, const struct op *o)                            \
    {                                                                                              \
        return jump(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                  \
    }                                                                                              \
    static void call_indirect_r##bits(struct cpu *c, const struct op *o)                           \
    {                                                                                              \
        return call_to(c, o, reg_get##bits(c, o->d));                                              \
    }                                                                                              \
    static void call_indirect_m##bits(struct cpu *c, const struct op *o)                           \
    {                                                                                              \
        return call_to(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));               \
    }
FOR_WIDE(DEFINE_INDIRECT)
SHAPES_WIDE(jmp_indirect, jmp_indirect_r, jmp_indirect_m);
SHAPES_WIDE(call_indirect, call_indirect_r, call_indirect_m);

/* ---- conditional: a routine for each condition in 64-bit mode ---- */
static void jcc_cut(struct cpu *c, const struct op *o)
{
    /* Not taken, RIP is not cut. */
    if (!condition(c, o->cc))
        return go(c, o, op_next_rip(c, o));
    return jmp_cut(c, o);
}

#define DEFINE_JCC(cc)                                                                             \
    static void jcc_##cc(struct cpu *c, const struct op *o)                                        \
    {                                                                                              \
        if (condition(c, cc))                                                                      \
            JUMP_DIRECT(c, o, 1, target64(c, o));                                                  \
        JUMP_DIRECT(c, o, 0, next64(c, o));                                                        \
    }
#define JCC_SHAPES(cc) jcc_cut, jcc_cut, jcc_cut, jcc_##cc, jcc_cut, jcc_cut, jcc_cut, jcc_##cc,
FOR_CONDITIONS(DEFINE_JCC)
exec_fn *const exec_jcc[16 * 8] = {FOR_CONDITIONS(JCC_SHAPES)};

/* ---- by rCX, of the address size ---- */
static void jcxz(struct cpu *c, const struct op *o)
{
    if (cut(c->r[RCX], o->asize))
        return go(c, o, op_next_rip(c, o));
    return jmp_cut(c, o);
}
EXEC_ANY(jcxz, jcxz);

static void loop_while(struct cpu *c, const struct op *o, bool also)
{
    uint64_t count = cut(c->r[RCX] - 1, o->asize);
    bool taken = count && also;
    uint64_t rip = taken ? target(c, o) : op_next_rip(c, o);

    if (taken)
        check_target(c, o, rip);
    reg_set(c, RCX, o->asize, count);
    if (o->size == 8)
        JUMP_DIRECT(c, o, taken, rip);
    return go(c, o, rip);
}
static void loop(struct cpu *c, const struct op *o)
{
    return loop_while(c, o, true);
}
static void loope(struct cpu *c, const struct op *o)
{
    return loop_while(c, o, flag_z(c));
}
static void loopne(struct cpu *c, const struct op *o)
{
    return loop_while(c, o, !flag_z(c));
}
EXEC_ANY(loop, loop);
EXEC_ANY(loope, loope);
EXEC_ANY(loopne, loopne);

/* ---- exceptions on purpose ---- */
static void ud(struct cpu *c, const struct op *o)
{
    cpu_fault(c, o, EXC_UD, 0);
}

/* EXITINFO1 of the intercept is the vector (APM2 15.8.4). */
static void int_n(struct cpu *c, const struct op *o)
{
    uint8_t vec = (uint8_t)o->imm;

    if (c->guest && c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_SWINT))
        cpu_exit(c, o, VMEXIT_SWINT, vec, 0);
    event_int(c, o, vec);
    LEAVE(c);
}
static void int1(struct cpu *c, const struct op *o)
{
    cpu_intercept(c, o);
    c->debug_pending = false; /* this #DB tells of what waits behind a load of SS, too */
    event_int(c, o, EXC_DB);
    LEAVE(c);
}
static void int3(struct cpu *c, const struct op *o)
{
    event_int(c, o, EXC_BP);
    LEAVE(c);
}
static void into(struct cpu *c, const struct op *o)
{
    if (!flag_o(c))
        LEAVE_AFTER(c, o);
    event_int(c, o, EXC_OF);
    LEAVE(c);
}
EXEC_ANY(ud, ud);
EXEC_ANY(int_n, int_n);
EXEC_ANY(int1, int1);
EXEC_ANY(int3, int3);
EXEC_ANY(into, into);

/* Two signed bounds, the lower first. */
#define DEFINE_BOUND(bits)                                                                         \
    static void bound_##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 4, ACCESS_READ);                                             \
        int##bits##_t low = (int##bits##_t)mem_load##bits(c, o, la);                               \
        int##bits##_t high = (int##bits##_t)mem_load##bits(c, o, la + bits / 8);                   \
        int##bits##_t index = (int##bits##_t)reg_get##bits(c, o->d);                               \
                                                                                                   \
        if (index < low || index > high)                                                           \
            cpu_fault(c, o, EXC_BR, 0);                                                            \
        NEXT(c, o);                                                                                \
    }
DEFINE_BOUND(16)
DEFINE_BOUND(32)
const exec_shapes exec_bound = {bound_16, bound_16, bound_32, bound_32,
                                bound_16, bound_16, bound_32, bound_32};
