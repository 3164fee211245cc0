/* Memory operands of XMM, YMM and MMX instructions. */
#include "silicon/cpu/exec_vec.h"

#include "silicon/cpu/fp.h"

static bool must_align(const struct op *o, uint64_t la, unsigned size)
{
    return UNLIKELY(la & (size - 1)) && insn_rows[o->form].rules & ALIGN;
}

void vec_load(struct cpu *c, const struct op *o, union vec *tmp, unsigned size)
{
    uint64_t la = ea(c, o, size, ACCESS_READ);

    if (must_align(o, la, size) && !(c->mxcsr & MXCSR_MM && !(o->flags & OP_VEX)))
        cpu_fault(c, o, EXC_GP, 0);
    mem_load(c, o, la, tmp, size);
}

void vec_load_move(struct cpu *c, const struct op *o, unsigned size)
{
    uint64_t la = ea(c, o, size, ACCESS_READ);

    if (must_align(o, la, size))
        cpu_fault(c, o, EXC_GP, 0);
    mem_load(c, o, la, &c->operand, size);
}

void vec_store(struct cpu *c, const struct op *o, const void *from, unsigned size)
{
    uint64_t la = ea(c, o, size, ACCESS_WRITE);

    if (must_align(o, la, size))
        cpu_fault(c, o, EXC_GP, 0);
    mem_store(c, o, la, from, size);
}
