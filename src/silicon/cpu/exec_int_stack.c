/* PUSH, POP and what else moves the stack pointer, near calls excepted. */
#include "silicon/cpu/exec_int.h"

/* Operands of 8 bytes exist in 64-bit mode alone, where the stack is flat and 64 bits wide. */
static void push_r64(struct cpu *c, const struct op *o)
{
    mem_store64(c, o, c->r[RSP] - 8, c->r[o->d]);
    c->r[RSP] -= 8;
    NEXT(c, o);
}
static void push_m64(struct cpu *c, const struct op *o)
{
    uint64_t v = mem_load64(c, o, ea(c, o, 8, ACCESS_READ));

    mem_store64(c, o, c->r[RSP] - 8, v);
    c->r[RSP] -= 8;
    NEXT(c, o);
}
static void push_imm64(struct cpu *c, const struct op *o)
{
    mem_store64(c, o, c->r[RSP] - 8, o->imm);
    c->r[RSP] -= 8;
    NEXT(c, o);
}
static void pop_r64(struct cpu *c, const struct op *o)
{
    uint64_t v = mem_load64(c, o, c->r[RSP]);

    c->r[RSP] += 8;
    c->r[o->d] = v; /* after the pointer: POP RSP keeps what it popped */
    NEXT(c, o);
}

#define DEFINE_PUSH(bits)                                                                          \
    static void push_r##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        stack_push(c, o, bits / 8, reg_get##bits(c, o->d));                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void push_m##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        stack_push(c, o, bits / 8, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));         \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void push_imm##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        stack_push(c, o, bits / 8, o->imm);                                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void pop_r##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint64_t la = stack_linear(c, o, 0, bits / 8, ACCESS_READ);                                \
        uint##bits##_t v = mem_load##bits(c, o, la);                                               \
                                                                                                   \
        stack_move(c, bits / 8);                                                                   \
        reg_set##bits(c, o->d, v);                                                                 \
        NEXT(c, o);                                                                                \
    }
DEFINE_PUSH(16)
DEFINE_PUSH(32)

/* An address based on rSP counts from the pointer after the pop (APM3 POP). */
#define DEFINE_POP_MEMORY(bits)                                                                    \
    static void pop_m##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint64_t from = stack_linear(c, o, 0, bits / 8, ACCESS_READ);                              \
        uint##bits##_t v = mem_load##bits(c, o, from);                                             \
        uint64_t off = ea_offset(c, o) + (o->base == RSP ? bits / 8 : 0);                          \
                                                                                                   \
        mem_store##bits(c, o, linear(c, o, o->seg, off, bits / 8, ACCESS_WRITE), v);               \
        stack_move(c, bits / 8);                                                                   \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_POP_MEMORY)
SHAPES_WIDE(push, push_r, push_m);
SHAPES_WIDE_REG(push_imm, push_imm);
SHAPES_WIDE(pop, pop_r, pop_m);

/* ---- all registers: AX first, DI last. Memory first, the pointer at the end ---- */
static void pusha(struct cpu *c, const struct op *o)
{
    int64_t size = o->size;

    for (unsigned n = RAX; n <= RDI; n++) {
        uint64_t la = stack_linear(c, o, -size * (n + 1), o->size, ACCESS_WRITE);

        mem_put(c, o, la, o->size, c->r[n]);
    }
    stack_move(c, -size * 8);
    NEXT(c, o);
}
static void popa(struct cpu *c, const struct op *o)
{
    uint64_t v[8];

    for (unsigned n = RAX; n <= RDI; n++) {
        uint64_t la = stack_linear(c, o, o->size * (int64_t)(RDI - n), o->size, ACCESS_READ);

        v[n] = mem_get(c, o, la, o->size);
    }
    stack_move(c, o->size * 8);
    for (unsigned n = RAX; n <= RDI; n++)
        if (n != RSP)
            reg_set(c, n, o->size, v[n]);
    NEXT(c, o);
}
EXEC_ANY(pusha, pusha);
EXEC_ANY(popa, popa);

/* ---- frames ---- */
static uint64_t frame_linear(struct cpu *c, const struct op *o, int64_t delta, enum access acc)
{
    uint64_t bp = c->r[RBP] + (uint64_t)delta;

    return long64(c) ? bp : seg_linear(c, o, SS, cut(bp, stack_width(c)), o->size, acc);
}

/* ENTER: the old rBP, `level - 1` frame pointers of outer procedures, the new frame pointer, then
 * room for locals, whose end must be writable. */
static void enter(struct cpu *c, const struct op *o)
{
    unsigned level = o->imm2 & 31, size = o->size;
    int64_t down = -(int64_t)size;
    uint64_t frame = c->r[RSP] - size;

    mem_put(c, o, stack_linear(c, o, down, size, ACCESS_WRITE), size, c->r[RBP]);
    for (unsigned i = 1; i < level; i++) {
        uint64_t from = frame_linear(c, o, -(int64_t)(i * size), ACCESS_READ);
        uint64_t v = mem_get(c, o, from, size);

        down -= size;
        mem_put(c, o, stack_linear(c, o, down, size, ACCESS_WRITE), size, v);
    }
    if (level) {
        down -= size;
        mem_put(c, o, stack_linear(c, o, down, size, ACCESS_WRITE), size, frame);
    }
    down -= (int64_t)o->imm;
    mmu_probe_write(c, o, stack_linear(c, o, down, size, ACCESS_WRITE), size);
    reg_set(c, RBP, size, frame);
    stack_move(c, down);
    NEXT(c, o);
}

static void leave(struct cpu *c, const struct op *o)
{
    uint64_t v = mem_get(c, o, frame_linear(c, o, 0, ACCESS_READ), o->size);

    reg_set(c, RSP, stack_width(c), c->r[RBP] + o->size);
    reg_set(c, RBP, o->size, v);
    NEXT(c, o);
}
static void leave_64(struct cpu *c, const struct op *o)
{
    uint64_t v = mem_load64(c, o, c->r[RBP]);

    c->r[RSP] = c->r[RBP] + 8;
    c->r[RBP] = v;
    NEXT(c, o);
}
EXEC_ANY(enter, enter);
const exec_shapes exec_leave = {leave, leave, leave, leave_64, leave, leave, leave, leave};

/* ---- RFLAGS ---- */
#define RFLAGS_ALL                                                                                 \
    (RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_IOPL | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID | OSZAPC)

static bool iopl_allows(const struct cpu *c)
{
    return c->cpl <= (c->rflags >> 12 & 3);
}

/* In virtual-8086 mode both need IOPL 3 (APM2 8.2.14); VME is not implemented. */
static void check_v86(struct cpu *c, const struct op *o)
{
    if (c->rflags & RFLAGS_VM && (c->rflags & RFLAGS_IOPL) != RFLAGS_IOPL)
        cpu_fault(c, o, EXC_GP, 0);
}

static void pushf(struct cpu *c, const struct op *o)
{
    cpu_intercept(c, o);
    check_v86(c, o);
    stack_push(c, o, o->size, rflags_get(c) & ~(RFLAGS_VM | RFLAGS_RF));
    NEXT(c, o);
}

/* Above CPL 0 IOPL stays, above IOPL so does IF; VM, VIF and VIP stay, RF is cleared. */
static void popf(struct cpu *c, const struct op *o)
{
    uint64_t may = RFLAGS_ALL, v;
    bool ac;

    cpu_intercept(c, o);
    check_v86(c, o);
    v = mem_get(c, o, stack_linear(c, o, 0, o->size, ACCESS_READ), o->size);
    if (c->cpl > 0)
        may &= ~RFLAGS_IOPL;
    if (!iopl_allows(c))
        may &= ~RFLAGS_IF;
    may = cut(may, o->size);
    ac = (c->rflags ^ v) & may & RFLAGS_AC;
    c->rflags = ((c->rflags & ~may) | (v & may)) & ~((uint64_t)OSZAPC | RFLAGS_RF);
    flags_write(c, (uint32_t)v);
    stack_move(c, o->size);
    if (ac)
        cpu_mode_changed(c); /* SMAP looks at it */
    LEAVE_AFTER(c, o);
}
EXEC_ANY(pushf, pushf);
EXEC_ANY(popf, popf);
