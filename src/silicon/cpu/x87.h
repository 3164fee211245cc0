/* The x87 register stack, and what its instructions, MMX and the state images share. */
#ifndef LUCCA_SILICON_CPU_X87_H
#define LUCCA_SILICON_CPU_X87_H

#include "silicon/cpu/cpu.h"

/* Status word. ES and B say that a flag is up whose mask in the control word is clear: they are
 * derived, never stored from outside. */
#define X87_IE    0x0001u
#define X87_DE    0x0002u
#define X87_ZE    0x0004u
#define X87_OE    0x0008u
#define X87_UE    0x0010u
#define X87_PE    0x0020u
#define X87_FLAGS 0x003Fu
#define X87_SF    0x0040u
#define X87_ES    0x0080u
#define X87_C0    0x0100u
#define X87_C1    0x0200u
#define X87_C2    0x0400u
#define X87_C3    0x4000u
#define X87_B     0x8000u

/* Control word: masks in 5:0, precision in 9:8, rounding in 11:10. Bit 6 reads as one, bits 15:13
 * and 7 as zero. */
#define X87_CW(v)   (((v)&0x1F3Fu) | 0x40u)
#define X87_CW_INIT 0x037Fu

static inline unsigned x87_top(const struct cpu *c)
{
    return c->x87.sw >> 11 & 7;
}
static inline void x87_set_top(struct cpu *c, unsigned top)
{
    c->x87.sw = (uint16_t)((c->x87.sw & ~0x3800u) | (top & 7) << 11);
}
/* Physical number of ST(i). */
static inline unsigned x87_phys(const struct cpu *c, unsigned i)
{
    return (x87_top(c) + i) & 7;
}
static inline bool x87_empty(const struct cpu *c, unsigned i)
{
    return !(c->x87.valid >> x87_phys(c, i) & 1);
}
static inline void x87_derive_es(struct cpu *c)
{
    c->x87.sw &= (uint16_t) ~(X87_ES | X87_B);
    if (c->x87.sw & ~c->x87.cw & X87_FLAGS)
        c->x87.sw |= X87_ES | X87_B;
}

/* What a waiting instruction does first: an unmasked exception that is still pending is #MF, or
 * goes out on FERR# when CR0.NE is clear (APM2 8.2.17). */
void x87_pending(struct cpu *c, const struct op *o);
static inline void x87_wait(struct cpu *c, const struct op *o)
{
    if (UNLIKELY(c->x87.sw & X87_ES))
        x87_pending(c, o);
}

/* Notes where a non-control instruction is: code pointer and opcode; data pointer if it has one. */
void x87_track(struct cpu *c, const struct op *o);

/* As x87_reset, and the registers become zero: the initial configuration of XSAVE's component 0. */
void x87_init_state(struct cpu *c);

/* MPFR's constants, which all cores share: with the last machine they go. */
void x87_math_free(void);

/* The full tag word: 2 bits a physical register; 0 valid, 1 zero, 2 special, 3 empty. */
uint16_t x87_tag_word(const struct cpu *c);

#endif
