/* What the decoder knows about the table's columns: for the decoder, the disassembler and tests. */
#ifndef LUCCA_SILICON_CPU_DECODE_H
#define LUCCA_SILICON_CPU_DECODE_H

#include "silicon/cpu/cpu.h"

struct operand_kind {
    uint8_t where, size;
};
extern const struct operand_kind operand_kinds[OPERANDS];

/* A row as one of the meanings of an opcode. `match` is the row's and what its operands imply (an
 * M operand: MEM). */
struct candidate {
    uint16_t form;
    uint16_t weight; /* how many things must hold */
    uint32_t match;
};

/* The candidates of an opcode, the most demanding first. */
const struct candidate *decode_candidates(enum opcode_map map, uint8_t byte, unsigned *n);
bool row_has_modrm(const struct row *r);

#endif
