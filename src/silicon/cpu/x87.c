/* The x87 state as a whole: reset, pending exceptions, pointers to the last instruction. */
#include "silicon/cpu/x87.h"

#include "silicon/cpu/exec.h"

void x87_reset(struct cpu *c)
{
    c->x87.cw = X87_CW_INIT;
    c->x87.sw = 0;
    c->x87.valid = 0;
    c->x87.fop = 0;
    c->x87.ip = c->x87.dp = 0;
    c->x87.cs = c->x87.ds = 0;
}

void x87_init_state(struct cpu *c)
{
    x87_reset(c);
    memset(c->x87.reg, 0, sizeof(c->x87.reg));
}

/* No FERR# wire leaves this chip, and IGNNE# is tied active: without the intercept, an instruction
 * that finds an exception pending under CR0.NE = 0 goes on. */
void x87_pending(struct cpu *c, const struct op *o)
{
    if (c->cr0 & CR0_NE)
        cpu_fault(c, o, EXC_MF, 0);
    if (c->guest && c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_FERR))
        cpu_exit(c, o, VMEXIT_FERR, 0, 0);
}

/* Selector of the memory operand's segment. A flat operand of 64-bit code does not name its
 * segment any more; it is SS when the base register says so. */
static uint16_t data_selector(const struct cpu *c, const struct op *o)
{
    if (o->seg != FLAT)
        return c->seg[o->seg].selector;
    return c->seg[o->base == RSP || o->base == RBP ? SS : DS].selector;
}

void x87_track(struct cpu *c, const struct op *o)
{
    const struct row *row = &insn_rows[o->form];

    c->x87.ip = op_rip(c, o);
    c->x87.cs = c->seg[CS].selector;
    c->x87.fop = (uint16_t)((row->byte & 7) << 8 | o->cc);
    if (o->flags & OP_MEM) {
        c->x87.dp = ea_wrapped(c, o);
        c->x87.ds = data_selector(c, o);
    }
}

uint16_t x87_tag_word(const struct cpu *c)
{
    unsigned word = 0;

    for (unsigned i = 0; i < 8; i++) {
        const struct x87_reg *r = &c->x87.reg[i];
        unsigned exp = r->se & 0x7FFF, tag = 0;

        if (!(c->x87.valid >> i & 1))
            tag = 3;
        else if (exp == 0 && r->mant == 0)
            tag = 1;
        else if (exp == 0 || exp == 0x7FFF || !(r->mant >> 63))
            tag = 2;
        word |= tag << 2 * i;
    }
    return (uint16_t)word;
}
