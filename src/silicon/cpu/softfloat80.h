/* Arithmetic on 80-bit extended numbers in integers, as an x87 unit does it (APM1 6.3 to 6.8):
 * every rounding mode and precision, every flag, masked and unmasked responses.
 *
 * A function raises flags in env->flags. Where a flag of F80_BEFORE is raised and not masked, the
 * operation has not happened and its result means nothing. With overflow or underflow unmasked,
 * a result for a register has its exponent moved by 6000h; f80_to_f32 and f80_to_f64, whose results
 * are for memory, have none then.
 */
#ifndef LUCCA_SILICON_CPU_SOFTFLOAT80_H
#define LUCCA_SILICON_CPU_SOFTFLOAT80_H

#include <stdbool.h>
#include <stdint.h>

/* Flags as they stand in the status word, and their masks in the control word. */
#define F80_INVALID   0x01u
#define F80_DENORMAL  0x02u
#define F80_ZERODIV   0x04u
#define F80_OVERFLOW  0x08u
#define F80_UNDERFLOW 0x10u
#define F80_INEXACT   0x20u
#define F80_BEFORE    (F80_INVALID | F80_DENORMAL | F80_ZERODIV)
#define F80_UP        0x200u /* C1: the magnitude was rounded up */

enum f80_rounding { F80_NEAREST, F80_DOWN, F80_UPWARD, F80_ZERO };
#define F80_ROUNDING(cw) ((enum f80_rounding)((cw) >> 10 & 3))

struct f80 {
    uint64_t mant;
    uint16_t se; /* sign and biased exponent */
};

struct f80_env {
    uint16_t cw;    /* masks, precision, rounding: as the control word */
    uint16_t flags; /* raised so far */
    bool denormal;  /* an operand was a denormal before it was widened to 80 bits */
};

#define F80_BIAS       16383
#define F80_INDEFINITE ((struct f80){UINT64_C(0xC000000000000000), 0xFFFF})

static inline bool f80_sign(struct f80 a)
{
    return a.se >> 15;
}
static inline bool f80_stops(const struct f80_env *e)
{
    return e->flags & ~e->cw & F80_BEFORE;
}

enum f80_class {
    F80_IS_UNSUPPORTED,
    F80_IS_NAN,
    F80_IS_NORMAL,
    F80_IS_INFINITE,
    F80_IS_ZERO,
    F80_IS_DENORMAL
};
enum f80_class f80_classify(struct f80 a);

/* Rounded to the precision of the control word. */
struct f80 f80_add(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_sub(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_mul(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_div(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_sqrt(struct f80_env *e, struct f80 a);

/* Always to 64 bits. */
struct f80 f80_round_int(struct f80_env *e, struct f80 a);
struct f80 f80_scale(struct f80_env *e, struct f80 a, struct f80 b); /* a * 2^trunc(b) */
/* Exponent (returned) and significand of a. */
struct f80 f80_extract(struct f80_env *e, struct f80 a, struct f80 *significand);
/* One step of a - b * q, exact. q is rounded to zero, or to nearest. *quotient: its low three bits;
 * *partial: exponents were too far apart, and the step took only some bits off. */
struct f80 f80_rem(struct f80_env *e, struct f80 a, struct f80 b, bool nearest, unsigned *quotient,
                   bool *partial);

enum f80_order { F80_LESS, F80_EQUAL, F80_GREATER, F80_UNORDERED };
/* `quiet`: a quiet NaN raises nothing. */
enum f80_order f80_compare(struct f80_env *e, struct f80 a, struct f80 b, bool quiet);

/* The operand `a` of a one-operand function when it is a NaN or unsupported: its masked response in
 * *r, and true. */
bool f80_nan_response(struct f80_env *e, struct f80 a, struct f80 *r);
/* With two operands: b may be the NaN as well. */
bool f80_nan_response2(struct f80_env *e, struct f80 a, struct f80 b, struct f80 *r);

/* (-1)^sign * significand * 2^(exponent - 63), to 64 bits, the significand's top bit set; `sticky`:
 * more follows below it. Zero for significand 0. */
struct f80 f80_compose(struct f80_env *e, bool sign, int32_t exponent, uint64_t significand,
                       uint64_t below, bool sticky);

struct f80 f80_from_i64(int64_t v);
struct f80 f80_from_f32(struct f80_env *e, uint32_t v);
struct f80 f80_from_f64(struct f80_env *e, uint64_t v);
uint32_t f80_to_f32(struct f80_env *e, struct f80 a);
uint64_t f80_to_f64(struct f80_env *e, struct f80 a);
/* To a two's complement integer of `bits` (16, 32, 64); the most negative when it does not fit. */
int64_t f80_to_int(struct f80_env *e, struct f80 a, unsigned bits, enum f80_rounding rounding);
/* Packed BCD: 18 digits, then the sign. */
struct f80 f80_from_bcd(const uint8_t bcd[10]);
void f80_to_bcd(struct f80_env *e, struct f80 a, uint8_t bcd[10]);

#endif
