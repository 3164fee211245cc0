/* RFLAGS as the architecture shows it. */
#include "silicon/cpu/flags.h"

uint32_t flags_read(const struct cpu *c)
{
    return (flag_c(c) ? FLAG_C : 0) | (flag_p(c) ? FLAG_P : 0) | (flag_a(c) ? FLAG_A : 0) |
           (flag_z(c) ? FLAG_Z : 0) | (flag_s(c) ? FLAG_S : 0) | (flag_o(c) ? FLAG_O : 0);
}

void flags_write(struct cpu *c, uint32_t f)
{
    flags_set(c, f & FLAG_O, f & FLAG_S, f & FLAG_Z, f & FLAG_A, f & FLAG_P, f & FLAG_C);
}

uint64_t rflags_get(const struct cpu *c)
{
    return c->rflags | flags_read(c);
}
