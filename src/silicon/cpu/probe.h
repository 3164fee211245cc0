/* Points of the debug port (silicon/probe.h) as a core looks at them. */
#ifndef LUCCA_SILICON_CPU_PROBE_H
#define LUCCA_SILICON_CPU_PROBE_H

#include "silicon/cpu/cpu.h"
#include "silicon/probe.h"

/* Shared by all cores, which have no pointer to it while it has no points. */
struct probe {
    struct probe_point point[PROBE_POINTS];
    unsigned points, data; /* how many; of them for data */
};

/* A code point at this linear address, for the guest that runs. */
bool probe_at_code(const struct cpu *c, uint64_t la);
/* A data point that an access to [la, la + len) would meet. */
bool probe_on_data(const struct cpu *c, uint64_t la, unsigned len, enum access acc);
/* There is one: the guest stops after this instruction. */
void probe_note_data(struct cpu *c, uint64_t la, unsigned len, enum access acc);
/* Between instructions: one at RIP? */
void probe_look(struct cpu *c);
/* Data points make every instruction careful. */
static inline bool probe_watches(const struct cpu *c)
{
    return UNLIKELY(c->probe != NULL) && c->probe->data;
}
/* The op that a block has before an instruction with a code point on it. */
void probe_op(struct cpu *c, const struct op *o);

#endif
