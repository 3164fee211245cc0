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
    const uint8_t *p;

    if (must_align(o, la, size) && !(c->mxcsr & MXCSR_MM && !(o->flags & OP_VEX)))
        cpu_fault(c, o, EXC_GP, 0);
    p = tlb_hit(c, la, size, false);
    if (UNLIKELY(!p))
        mmu_load(c, o, la, tmp, size);
    else if (size == 16)
        memcpy(tmp, p, 16);
    else if (size == 32)
        memcpy(tmp, p, 32);
    else if (size == 8)
        memcpy(tmp, p, 8);
    else
        memcpy(tmp, p, size);
}

void vec_store(struct cpu *c, const struct op *o, const void *from, unsigned size)
{
    mem_store(c, o, ea(c, o, size, ACCESS_WRITE), from, size);
}
