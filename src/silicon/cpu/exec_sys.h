/* What the system instructions share. */
#ifndef LUCCA_SILICON_CPU_EXEC_SYS_H
#define LUCCA_SILICON_CPU_EXEC_SYS_H

#include "silicon/cpu/exec_int.h"
#include "silicon/cpu/mmu.h"
#include "silicon/cpu/seg.h"

static inline void need_cpl0(struct cpu *c, const struct op *o)
{
    if (c->cpl != 0)
        cpu_fault(c, o, EXC_GP, 0);
}

/* SGDT, SIDT, SLDT, SMSW, STR are closed to users by CR4.UMIP. */
static inline void need_no_umip(struct cpu *c, const struct op *o)
{
    if (c->cpl != 0 && c->cr4 & CR4_UMIP)
        cpu_fault(c, o, EXC_GP, 0);
}

/* An operand that is `size` bytes in memory or as a register. */
static inline uint64_t get_operand(struct cpu *c, const struct op *o, uint8_t reg, unsigned size)
{
    if (o->flags & OP_MEM)
        return mem_get(c, o, ea(c, o, size, ACCESS_READ), size);
    return reg_get(c, reg, size);
}

/* A 16-bit system value: two bytes in memory, the operand size (zero-extended) in a register. */
static inline void put_word(struct cpu *c, const struct op *o, uint16_t v)
{
    if (o->flags & OP_MEM)
        mem_store16(c, o, ea(c, o, 2, ACCESS_WRITE), v);
    else
        reg_set(c, o->d, o->size, v);
}

static inline void put_zf(struct cpu *c, bool zf)
{
    flags_write(c, (flags_read(c) & ~FLAG_Z) | (zf ? FLAG_Z : 0));
}

/* Stops the guest at something this silicon does not do, by name. */
_Noreturn void refuse_op(struct cpu *c, const struct op *o, const char *what);

#endif
