/* OSZAPC, lazily: see struct lazy in cpu.h. */
#ifndef LUCCA_SILICON_CPU_FLAGS_H
#define LUCCA_SILICON_CPU_FLAGS_H

#include "silicon/cpu/cpu.h"

static inline bool flag_c(const struct cpu *c)
{
    return c->lazy.carry >> LAZY_CF & 1;
}
static inline bool flag_z(const struct cpu *c)
{
    return c->lazy.result == 0;
}
static inline bool flag_s(const struct cpu *c)
{
    return ((uint64_t)c->lazy.result >> 63 ^ c->lazy.carry) & 1;
}
static inline bool flag_o(const struct cpu *c)
{
    return (c->lazy.carry ^ c->lazy.carry << 1) >> 63;
}
static inline bool flag_p(const struct cpu *c)
{
    return !(__builtin_parity((uint8_t)c->lazy.result) ^ (c->lazy.carry >> 8 & 1));
}
static inline bool flag_a(const struct cpu *c)
{
    return c->lazy.carry >> 3 & 1;
}

/* After an addition or subtraction of `bits`: `cv` has the carry or borrow OUT of each bit. */
static inline void flags_arith(struct cpu *c, int64_t result, uint64_t cv, unsigned bits)
{
    c->lazy.result = result;
    c->lazy.carry = ((cv << (64 - bits)) & (BIT(63) | BIT(62))) | (cv & BIT(3));
}

/* After AND, OR, XOR, TEST: CF = OF = AF = 0. */
static inline void flags_logic(struct cpu *c, int64_t result)
{
    c->lazy.result = result;
    c->lazy.carry = 0;
}

/* Carry vectors: which bits carried or borrowed out. */
static inline uint64_t carries_add(uint64_t a, uint64_t b, uint64_t sum)
{
    return (a & b) | ((a | b) & ~sum);
}
static inline uint64_t carries_sub(uint64_t a, uint64_t b, uint64_t diff)
{
    return (~a & b) | ((~a | b) & diff);
}

static inline void flag_set_c(struct cpu *c, bool cf)
{
    /* OF is bit 63 xor 62: keep it by flipping both when CF flips. */
    uint64_t flip = (uint64_t)(flag_c(c) ^ cf);

    c->lazy.carry ^= flip << 63 | flip << 62;
}

static inline void flags_set(struct cpu *c, bool of, bool sf, bool zf, bool af, bool pf, bool cf)
{
    c->lazy.result = !zf;
    c->lazy.carry = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 | (uint64_t)af << 3 | sf |
                    (uint64_t)(pf ^ zf) << 8;
}

/* Conditions as encoded: O NO B AE E NE BE A S NS P NP L GE LE G. */
static inline bool condition(const struct cpu *c, unsigned cc)
{
    bool yes;

    switch (cc >> 1) {
    case 0:
        yes = flag_o(c);
        break;
    case 1:
        yes = flag_c(c);
        break;
    case 2:
        yes = flag_z(c);
        break;
    case 3:
        yes = flag_c(c) || flag_z(c);
        break;
    case 4:
        yes = flag_s(c);
        break;
    case 5:
        yes = flag_p(c);
        break;
    case 6:
        yes = flag_s(c) != flag_o(c);
        break;
    default:
        yes = flag_z(c) || flag_s(c) != flag_o(c);
        break;
    }
    return yes ^ (cc & 1);
}

#endif
