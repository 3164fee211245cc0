/* The native oracle: one instruction, the same state, run by the machine's own processor and by the
 * interpreter. Cases are generated from the instruction table; registers, flags, memory and
 * exceptions must agree. x86-64 Linux hosts only. */
#ifndef LUCCA_TESTS_ORACLE_H
#define LUCCA_TESTS_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "silicon/cpu/cpu.h"

/* Low addresses that both worlds map alike. The page after each area is not mapped. */
#define SCRATCH       0x10000000u
#define SCRATCH_BYTES 0x4000u
#define CODE          0x10010000u /* filled with INT3 around the instruction */
#define CODE_BYTES    0x1000u
#define CODE_AT       (CODE + 0x800u)

struct state {
    uint64_t r[16];
    uint64_t rip, rflags;
    uint8_t xsave[CPU_XSAVE_BYTES]; /* standard format, components 0..2 */
};

struct outcome {
    struct state after;
    unsigned vector; /* EXC_BP when the instruction completed */
    uint32_t error;  /* of #PF */
    uint64_t cr2;    /* of #PF */
};

struct sample {
    const struct row *row;
    enum form form;
    bool compat; /* 32-bit code segment */
    uint8_t code[16];
    unsigned len;
    uint64_t operand_at; /* address of the memory operand, or 0 */
    struct state before;
};

/* ---- encode.c ---- */
struct rng {
    uint64_t s;
};
uint64_t rng_next(struct rng *r);
static inline unsigned rng_below(struct rng *r, unsigned n)
{
    return (unsigned)(rng_next(r) % n);
}
/* A random legal encoding of the row with a random state to run it in. */
void sample_make(struct sample *s, enum form form, struct rng *r);
void sample_prepare(const struct sample *s, uint8_t *memory, struct rng *r);
/* Whether this kind of row can be compared natively at all, and if not, why. */
const char *sample_unfit(const struct row *row);
/* ---- native.c ---- */
bool native_start(uint8_t *scratch_copy);
bool native_has(enum feature f);
void native_run(const struct sample *s, const uint8_t *memory, struct outcome *out);
/* ---- emulated.c ---- */
bool emulated_start(void);
void emulated_run(const struct sample *s, const uint8_t *memory, struct outcome *out,
                  uint8_t *memory_after);
bool emulated_has(enum feature f);

#endif
