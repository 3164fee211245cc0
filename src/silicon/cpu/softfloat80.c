/* 80-bit arithmetic in integers.
 *
 * Operands are unpacked to a sign, an exponent and a normalised 64-bit significand; results are a
 * 128-bit significand, its top bit set, whose lowest bit also stands for everything below it. One
 * function rounds that to any precision and meets the exponent's limits.
 */
#include "silicon/cpu/softfloat80.h"

#include <stddef.h>
#include <string.h>

typedef unsigned __int128 u128;

#define TOP64   (UINT64_C(1) << 63)
#define TOP128  ((u128)1 << 127)
#define QUIET   (UINT64_C(1) << 62)
#define EXP_MAX 0x7FFF
#define REBIAS  0x6000 /* what unmasked overflow and underflow move the exponent by */

enum kind { ZERO, FINITE, INFINITE, QNAN, SNAN, UNSUPPORTED };

struct num {
    enum kind kind;
    bool sign, denormal;
    int32_t exp;   /* biased; FINITE alone */
    uint64_t mant; /* top bit set; FINITE alone */
};

static struct num unpack(struct f80 a)
{
    struct num n = {.sign = f80_sign(a), .exp = a.se & EXP_MAX, .mant = a.mant};

    if (n.exp == 0) {
        unsigned up = a.mant ? (unsigned)__builtin_clzll(a.mant) : 0;

        n.kind = a.mant ? FINITE : ZERO;
        n.denormal = a.mant;
        n.mant <<= up;
        n.exp = 1 - (int32_t)up;
    } else if (!(a.mant & TOP64)) {
        n.kind = UNSUPPORTED;
    } else if (n.exp < EXP_MAX) {
        n.kind = FINITE;
    } else if (a.mant == TOP64) {
        n.kind = INFINITE;
    } else {
        n.kind = a.mant & QUIET ? QNAN : SNAN;
    }
    return n;
}

static struct f80 pack(bool sign, int32_t exp, uint64_t mant)
{
    return (struct f80){mant, (uint16_t)((unsigned)sign << 15 | (unsigned)exp)};
}

static struct f80 zero(bool sign)
{
    return pack(sign, 0, 0);
}

static struct f80 infinity(bool sign)
{
    return pack(sign, EXP_MAX, TOP64);
}

static bool masked(const struct f80_env *e, unsigned flag)
{
    return e->cw & flag;
}

static struct f80 invalid(struct f80_env *e)
{
    e->flags |= F80_INVALID;
    return F80_INDEFINITE;
}

enum f80_class f80_classify(struct f80 a)
{
    struct num n = unpack(a);

    switch (n.kind) {
    case ZERO:
        return F80_IS_ZERO;
    case FINITE:
        return n.denormal ? F80_IS_DENORMAL : F80_IS_NORMAL;
    case INFINITE:
        return F80_IS_INFINITE;
    case UNSUPPORTED:
        return F80_IS_UNSUPPORTED;
    default:
        return F80_IS_NAN;
    }
}

/* ---- rounding ---- */

static unsigned precision(const struct f80_env *e)
{
    static const uint8_t bits[4] = {24, 64, 53, 64};

    return bits[e->cw >> 8 & 3];
}

static u128 shift_right_jam(u128 v, int32_t by)
{
    if (by <= 0)
        return v;
    if (by > 127)
        return v != 0;
    return v >> by | ((v << (128 - by)) != 0);
}

/* Is the magnitude to grow? `rest` is what is cut off, as a fraction of the last place. */
static bool rounds_up(enum f80_rounding r, bool sign, bool odd, u128 rest)
{
    switch (r) {
    case F80_NEAREST:
        return rest > TOP128 || (rest == TOP128 && odd);
    case F80_DOWN:
        return rest && sign;
    case F80_UPWARD:
        return rest && !sign;
    default:
        return false;
    }
}

struct rounded {
    uint64_t mant; /* top-aligned; 0 with carry when it overflowed to the next power of two */
    bool carry, inexact, up;
};

/* Rounds `sig` to its top `bits` (1 to 64; 0 as well, for what lies below the last place). */
static struct rounded round_at(enum f80_rounding r, bool sign, u128 sig, unsigned bits)
{
    u128 rest = bits ? sig << bits : sig;
    u128 kept = bits ? sig >> (128 - bits) : 0;
    struct rounded out = {.inexact = rest != 0};

    out.up = rounds_up(r, sign, kept & 1, rest);
    kept += out.up;
    out.carry = kept >> bits;
    out.mant = bits ? (uint64_t)(kept << (64 - bits)) : 0;
    return out;
}

static void note(struct f80_env *e, const struct rounded *r)
{
    if (r->inexact)
        e->flags |= F80_INEXACT;
    if (r->up)
        e->flags |= F80_UP;
}

/* The masked response to overflow: infinity, or the greatest number of that precision. */
static struct f80 overflow(struct f80_env *e, bool sign, unsigned bits)
{
    enum f80_rounding r = F80_ROUNDING(e->cw);
    bool inf = r == F80_NEAREST || r == (sign ? F80_DOWN : F80_UPWARD);

    e->flags |= F80_OVERFLOW | F80_INEXACT;
    if (!inf)
        return pack(sign, EXP_MAX - 1, UINT64_MAX << (64 - bits));
    e->flags |= F80_UP;
    return infinity(sign);
}

/* sig * 2^(exp - bias), sig in [1, 2). Tininess is judged after rounding to an exponent without
 * limits (APM1 6.8.6). */
static struct f80 round_pack(struct f80_env *e, bool sign, int32_t exp, u128 sig, unsigned bits)
{
    enum f80_rounding mode = F80_ROUNDING(e->cw);
    struct rounded r = round_at(mode, sign, sig, bits);
    bool tiny = exp + r.carry < 1;

    if (tiny && masked(e, F80_UNDERFLOW)) {
        r = round_at(mode, sign, shift_right_jam(sig, 1 - exp), bits);
        note(e, &r);
        if (r.inexact)
            e->flags |= F80_UNDERFLOW;
        return pack(sign, r.mant >> 63, r.mant);
    }
    if (r.carry) {
        r.mant = TOP64;
        exp++;
    }
    if (tiny) {
        e->flags |= F80_UNDERFLOW;
        exp += REBIAS;
        if (exp < 1) { /* FSCALE alone gets this far */
            e->flags |= F80_INEXACT;
            return zero(sign);
        }
    }
    if (exp >= EXP_MAX) {
        if (masked(e, F80_OVERFLOW))
            return overflow(e, sign, bits);
        e->flags |= F80_OVERFLOW;
        exp -= REBIAS;
        if (exp >= EXP_MAX) {
            e->flags |= F80_INEXACT | F80_UP;
            return infinity(sign);
        }
    }
    note(e, &r);
    return pack(sign, exp, r.mant);
}

struct f80 f80_compose(struct f80_env *e, bool sign, int32_t exponent, uint64_t significand,
                       uint64_t below, bool sticky)
{
    if (!significand)
        return zero(sign);
    return round_pack(e, sign, exponent + F80_BIAS, (u128)significand << 64 | below | sticky, 64);
}

/* ---- NaNs and denormals among the operands ---- */

static bool is_nan(const struct num *n)
{
    return n->kind == QNAN || n->kind == SNAN;
}

static struct f80 quieted(struct f80 a)
{
    a.mant |= QUIET;
    return a;
}

/* The larger significand wins; between equal ones, the positive. A quiet NaN wins over a signalling
 * one (APM1 table 6-8). */
static struct f80 choose_nan(struct f80 a, const struct num *na, struct f80 b, const struct num *nb)
{
    if (!is_nan(nb))
        return quieted(a);
    if (!is_nan(na))
        return quieted(b);
    if (na->kind != nb->kind)
        return na->kind == QNAN ? a : b;
    a = quieted(a);
    b = quieted(b);
    if (a.mant != b.mant)
        return a.mant > b.mant ? a : b;
    return a.se < b.se ? a : b;
}

static bool nan_response2(struct f80_env *e, struct f80 a, const struct num *na, struct f80 b,
                          const struct num *nb, struct f80 *r)
{
    if (na->kind == UNSUPPORTED || nb->kind == UNSUPPORTED) {
        *r = invalid(e);
        return true;
    }
    if (!is_nan(na) && !is_nan(nb))
        return false;
    if (na->kind == SNAN || nb->kind == SNAN)
        e->flags |= F80_INVALID;
    *r = choose_nan(a, na, b, nb);
    return true;
}

bool f80_nan_response(struct f80_env *e, struct f80 a, struct f80 *r)
{
    struct num na = unpack(a), none = {.kind = ZERO};

    return nan_response2(e, a, &na, zero(false), &none, r);
}

bool f80_nan_response2(struct f80_env *e, struct f80 a, struct f80 b, struct f80 *r)
{
    struct num na = unpack(a), nb = unpack(b);

    return nan_response2(e, a, &na, b, &nb, r);
}

/* True: the exception is not masked, and the operation ends here. */
static bool denormal_stops(struct f80_env *e, bool denormal)
{
    denormal |= e->denormal;
    if (denormal)
        e->flags |= F80_DENORMAL;
    return denormal && !masked(e, F80_DENORMAL);
}

/* ---- addition, multiplication, division, square root ---- */

static struct f80 add_finite(struct f80_env *e, const struct num *a, const struct num *b)
{
    const struct num *big = a, *small = b;
    u128 x, y, sum;
    int32_t exp;
    unsigned up;

    if (a->exp < b->exp || (a->exp == b->exp && a->mant < b->mant)) {
        big = b;
        small = a;
    }
    exp = big->exp;
    x = (u128)big->mant << 63;
    y = shift_right_jam((u128)small->mant << 63, exp - small->exp);
    sum = big->sign == small->sign ? x + y : x - y;
    if (!sum)
        return zero(F80_ROUNDING(e->cw) == F80_DOWN);
    up = sum >> 64 ? (unsigned)__builtin_clzll((uint64_t)(sum >> 64))
                   : 64 + (unsigned)__builtin_clzll((uint64_t)sum);
    return round_pack(e, big->sign, exp + 1 - (int32_t)up, sum << up, precision(e));
}

static struct f80 add(struct f80_env *e, struct f80 a, struct f80 b, bool subtract)
{
    struct num na = unpack(a), nb = unpack(b);
    struct f80 r;

    if (nan_response2(e, a, &na, b, &nb, &r))
        return r;
    nb.sign ^= subtract;
    if (na.kind == INFINITE && nb.kind == INFINITE && na.sign != nb.sign)
        return invalid(e);
    if (denormal_stops(e, na.denormal || nb.denormal))
        return zero(false);
    if (na.kind == INFINITE || nb.kind == INFINITE)
        return infinity(na.kind == INFINITE ? na.sign : nb.sign);
    if (na.kind == ZERO && nb.kind == ZERO)
        return zero(na.sign == nb.sign ? na.sign : F80_ROUNDING(e->cw) == F80_DOWN);
    if (na.kind == ZERO)
        return round_pack(e, nb.sign, nb.exp, (u128)nb.mant << 64, precision(e));
    if (nb.kind == ZERO)
        return round_pack(e, na.sign, na.exp, (u128)na.mant << 64, precision(e));
    return add_finite(e, &na, &nb);
}

struct f80 f80_add(struct f80_env *e, struct f80 a, struct f80 b)
{
    return add(e, a, b, false);
}

struct f80 f80_sub(struct f80_env *e, struct f80 a, struct f80 b)
{
    return add(e, a, b, true);
}

struct f80 f80_mul(struct f80_env *e, struct f80 a, struct f80 b)
{
    struct num na = unpack(a), nb = unpack(b);
    bool sign = na.sign ^ nb.sign;
    struct f80 r;
    u128 product;
    int32_t exp;

    if (nan_response2(e, a, &na, b, &nb, &r))
        return r;
    if ((na.kind == INFINITE && nb.kind == ZERO) || (na.kind == ZERO && nb.kind == INFINITE))
        return invalid(e);
    if (denormal_stops(e, na.denormal || nb.denormal))
        return zero(false);
    if (na.kind == INFINITE || nb.kind == INFINITE)
        return infinity(sign);
    if (na.kind == ZERO || nb.kind == ZERO)
        return zero(sign);
    product = (u128)na.mant * nb.mant;
    exp = na.exp + nb.exp - F80_BIAS + 1;
    if (!(product & TOP128)) {
        product <<= 1;
        exp--;
    }
    return round_pack(e, sign, exp, product, precision(e));
}

/* a / b for significands with a < 2b: 128 bits of quotient, and whether anything is left. */
static u128 divide(u128 a, uint64_t b, bool *left)
{
    uint64_t high = (uint64_t)(a / b);
    u128 rest = (a % b) << 64;

    *left = rest % b;
    return (u128)high << 64 | (uint64_t)(rest / b);
}

struct f80 f80_div(struct f80_env *e, struct f80 a, struct f80 b)
{
    struct num na = unpack(a), nb = unpack(b);
    bool sign = na.sign ^ nb.sign, less, left;
    struct f80 r;
    u128 quotient;

    if (nan_response2(e, a, &na, b, &nb, &r))
        return r;
    if (na.kind == nb.kind && (na.kind == ZERO || na.kind == INFINITE))
        return invalid(e);
    if (nb.kind == ZERO && na.kind == FINITE) {
        e->flags |= F80_ZERODIV;
        return infinity(sign);
    }
    if (denormal_stops(e, na.denormal || nb.denormal))
        return zero(false);
    if (na.kind == INFINITE || nb.kind == ZERO)
        return infinity(sign);
    if (na.kind == ZERO || nb.kind == INFINITE)
        return zero(sign);
    less = na.mant < nb.mant;
    quotient = divide((u128)na.mant << (63 + less), nb.mant, &left);
    return round_pack(e, sign, na.exp - nb.exp + F80_BIAS - less, quotient | left, precision(e));
}

/* The root of `v` (at least 2^126), and what is left of it. */
static uint64_t root(u128 v, u128 *left)
{
    uint64_t r = 0;
    u128 rest = 0;

    for (int i = 126; i >= 0; i -= 2) {
        u128 trial = (u128)r << 2 | 1;

        rest = rest << 2 | (v >> i & 3);
        r <<= 1;
        if (rest >= trial) {
            rest -= trial;
            r |= 1;
        }
    }
    *left = rest;
    return r;
}

struct f80 f80_sqrt(struct f80_env *e, struct f80 a)
{
    struct num n = unpack(a);
    struct f80 r;
    u128 left, sig;
    uint64_t whole;
    int32_t exp;

    if (f80_nan_response(e, a, &r))
        return r;
    if (n.kind == ZERO)
        return a;
    if (n.sign)
        return invalid(e);
    if (denormal_stops(e, n.denormal) || n.kind == INFINITE)
        return a;
    exp = n.exp - F80_BIAS;
    whole = root((u128)n.mant << (63 + (exp & 1)), &left);
    /* The next bit of the root is one when what is left is more than the root. */
    sig = (u128)whole << 64 | (left > whole ? TOP64 : 0) | (left != 0);
    return round_pack(e, false, (exp - (exp & 1)) / 2 + F80_BIAS, sig, precision(e));
}

/* ---- integers ---- */

struct f80 f80_from_i64(int64_t v)
{
    uint64_t mag = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    unsigned up;

    if (!v)
        return zero(false);
    up = (unsigned)__builtin_clzll(mag);
    return pack(v < 0, F80_BIAS + 63 - (int32_t)up, mag << up);
}

/* |n| as an integer, for exponents below 64; beyond, false. */
static bool integer_of(const struct num *n, enum f80_rounding mode, uint64_t *v, struct rounded *r)
{
    int32_t bits = n->exp - F80_BIAS + 1; /* before the point */
    u128 sig = (u128)n->mant << 64;

    if (bits > 64)
        return false;
    if (bits < 0) {
        sig = shift_right_jam(sig, -bits);
        bits = 0;
    }
    *r = round_at(mode, n->sign, sig, (unsigned)bits);
    *v = r->carry ? (bits < 64 ? UINT64_C(1) << bits : 0) : bits ? r->mant >> (64 - bits) : 0;
    return !(r->carry && bits == 64);
}

struct f80 f80_round_int(struct f80_env *e, struct f80 a)
{
    struct num n = unpack(a);
    struct rounded r = {0};
    struct f80 out;
    uint64_t v = 0;
    unsigned up;

    if (f80_nan_response(e, a, &out))
        return out;
    if (n.kind != FINITE || denormal_stops(e, n.denormal) || n.exp >= F80_BIAS + 63)
        return a;
    (void)integer_of(&n, F80_ROUNDING(e->cw), &v, &r);
    note(e, &r);
    if (!v)
        return zero(n.sign);
    up = (unsigned)__builtin_clzll(v);
    return pack(n.sign, F80_BIAS + 63 - (int32_t)up, v << up);
}

int64_t f80_to_int(struct f80_env *e, struct f80 a, unsigned bits, enum f80_rounding rounding)
{
    struct num n = unpack(a);
    uint64_t limit = UINT64_C(1) << (bits - 1), v = 0;
    int64_t indefinite = -(int64_t)(limit - 1) - 1;
    struct rounded r = {.inexact = false};

    if (n.kind == ZERO)
        return 0;
    if (n.kind != FINITE || !integer_of(&n, rounding, &v, &r) || v > limit - !n.sign) {
        e->flags |= F80_INVALID;
        return indefinite;
    }
    note(e, &r);
    return n.sign ? (int64_t)(0 - v) : (int64_t)v;
}

#define BCD_LIMIT UINT64_C(1000000000000000000) /* 10^18 */

struct f80 f80_from_bcd(const uint8_t bcd[10])
{
    uint64_t v = 0;
    struct f80 r;

    for (int i = 8; i >= 0; i--)
        v = v * 100 + (uint64_t)(bcd[i] >> 4) * 10 + (bcd[i] & 15);
    r = f80_from_i64((int64_t)v);
    r.se |= (uint16_t)((bcd[9] & 0x80) << 8);
    return r;
}

void f80_to_bcd(struct f80_env *e, struct f80 a, uint8_t bcd[10])
{
    static const uint8_t indefinite[10] = {0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF};
    struct num n = unpack(a);
    struct rounded r = {.inexact = false};
    uint64_t v = 0;

    if (n.kind > FINITE ||
        (n.kind == FINITE && (!integer_of(&n, F80_ROUNDING(e->cw), &v, &r) || v >= BCD_LIMIT))) {
        e->flags |= F80_INVALID;
        memcpy(bcd, indefinite, sizeof(indefinite));
        return;
    }
    note(e, &r);
    for (unsigned i = 0; i < 9; i++, v /= 100)
        bcd[i] = (uint8_t)(v % 10 | v / 10 % 10 << 4);
    bcd[9] = n.sign ? 0x80 : 0;
}

/* ---- scaling, splitting, remainders ---- */

/* More than any pair of exponents can differ by: what is scaled further is beyond rescue. */
#define SCALE_LIMIT 0x10000

static int32_t scale_amount(const struct num *b)
{
    int32_t bits = b->exp - F80_BIAS + 1, n;

    if (bits <= 0)
        return 0;
    n = bits > 17 ? SCALE_LIMIT : (int32_t)(b->mant >> (64 - bits));
    if (n > SCALE_LIMIT)
        n = SCALE_LIMIT;
    return b->sign ? -n : n;
}

struct f80 f80_scale(struct f80_env *e, struct f80 a, struct f80 b)
{
    struct num na = unpack(a), nb = unpack(b);
    struct f80 r;

    if (nan_response2(e, a, &na, b, &nb, &r))
        return r;
    if (nb.kind == INFINITE && (nb.sign ? na.kind == INFINITE : na.kind == ZERO))
        return invalid(e);
    if (denormal_stops(e, na.denormal || nb.denormal))
        return a;
    if (na.kind != FINITE || nb.kind == ZERO)
        return na.kind == FINITE ? round_pack(e, na.sign, na.exp, (u128)na.mant << 64, 64) : a;
    if (nb.kind == INFINITE)
        return nb.sign ? zero(na.sign) : infinity(na.sign);
    return round_pack(e, na.sign, na.exp + scale_amount(&nb), (u128)na.mant << 64, 64);
}

struct f80 f80_extract(struct f80_env *e, struct f80 a, struct f80 *significand)
{
    struct num n = unpack(a);
    struct f80 r;

    if (f80_nan_response(e, a, &r)) {
        *significand = r;
        return r;
    }
    *significand = a;
    if (n.kind == INFINITE)
        return infinity(false);
    if (n.kind == ZERO) {
        e->flags |= F80_ZERODIV;
        return infinity(true);
    }
    if (denormal_stops(e, n.denormal))
        return a;
    *significand = pack(n.sign, F80_BIAS, n.mant);
    return f80_from_i64(n.exp - F80_BIAS);
}

/* a mod b over `steps` more bits of quotient: the remainder, and the quotient's low bits. */
static uint64_t reduce(uint64_t a, uint64_t b, int32_t steps, unsigned *quotient)
{
    u128 rest = a;
    unsigned q = 0;

    for (int32_t i = steps; i >= 0; i--) {
        q <<= 1;
        if (rest >= b) {
            rest -= b;
            q |= 1;
        }
        if (i)
            rest <<= 1;
    }
    *quotient = q;
    return (uint64_t)rest;
}

/* A remainder as a number: rest * 2^(exp - bias - 63). */
static struct f80 remainder_of(struct f80_env *e, bool sign, int32_t exp, uint64_t rest)
{
    unsigned up;

    if (!rest)
        return zero(sign);
    up = (unsigned)__builtin_clzll(rest);
    return round_pack(e, sign, exp - (int32_t)up, (u128)(rest << up) << 64, 64);
}

static struct f80 rem_finite(struct f80_env *e, const struct num *a, const struct num *b,
                             bool nearest, unsigned *quotient, bool *partial)
{
    int32_t d = a->exp - b->exp;
    bool sign = a->sign;
    uint64_t rest;

    if (d < -1 || (d < 0 && !nearest))
        return remainder_of(e, sign, a->exp, a->mant);
    if (d >= 64) {
        int32_t take = (d & 31) | 32;

        *partial = true;
        rest = reduce(a->mant, b->mant, take, quotient);
        *quotient = 0;
        return remainder_of(e, sign, b->exp + d - take, rest);
    }
    if (d < 0) { /* b / 4 < a < b: the quotient is 0 or 1 */
        if (a->mant <= b->mant)
            return remainder_of(e, sign, a->exp, a->mant);
        *quotient = 1;
        /* 2b - a, in units of a's last place */
        return remainder_of(e, !sign, a->exp, b->mant - (a->mant - b->mant));
    }
    rest = reduce(a->mant, b->mant, d, quotient);
    if (nearest && (rest > b->mant - rest || (rest == b->mant - rest && *quotient & 1))) {
        rest = b->mant - rest;
        sign = !sign;
        ++*quotient;
    }
    *quotient &= 7;
    return rest ? remainder_of(e, sign, b->exp, rest) : zero(a->sign);
}

struct f80 f80_rem(struct f80_env *e, struct f80 a, struct f80 b, bool nearest, unsigned *quotient,
                   bool *partial)
{
    struct num na = unpack(a), nb = unpack(b);
    struct f80 r;

    *quotient = 0;
    *partial = false;
    if (nan_response2(e, a, &na, b, &nb, &r))
        return r;
    if (na.kind == INFINITE || nb.kind == ZERO)
        return invalid(e);
    if (denormal_stops(e, na.denormal || nb.denormal) || na.kind == ZERO)
        return a;
    if (nb.kind == INFINITE)
        return remainder_of(e, na.sign, na.exp, na.mant);
    return rem_finite(e, &na, &nb, nearest, quotient, partial);
}

/* ---- order ---- */

static int compare_magnitude(const struct num *a, const struct num *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1; /* ZERO < FINITE < INFINITE */
    if (a->kind != FINITE)
        return 0;
    if (a->exp != b->exp)
        return a->exp < b->exp ? -1 : 1;
    return a->mant < b->mant ? -1 : a->mant > b->mant;
}

enum f80_order f80_compare(struct f80_env *e, struct f80 a, struct f80 b, bool quiet)
{
    struct num na = unpack(a), nb = unpack(b);
    int order;

    if (na.kind > INFINITE || nb.kind > INFINITE) {
        if (!quiet || na.kind >= SNAN || nb.kind >= SNAN)
            e->flags |= F80_INVALID;
        return F80_UNORDERED;
    }
    (void)denormal_stops(e, na.denormal || nb.denormal); /* the order is known all the same */
    if (na.kind == ZERO && nb.kind == ZERO)
        return F80_EQUAL;
    if (na.sign != nb.sign)
        return na.sign ? F80_LESS : F80_GREATER;
    order = compare_magnitude(&na, &nb);
    if (na.sign)
        order = -order;
    return order < 0 ? F80_LESS : order > 0 ? F80_GREATER : F80_EQUAL;
}

/* ---- 32 and 64-bit numbers ---- */

struct narrow {
    unsigned bits; /* of the significand, the hidden one included */
    int32_t exp_max;
};
static const struct narrow f32 = {24, 0xFF}, f64 = {53, 0x7FF};

static struct f80 widen(struct f80_env *e, const struct narrow *f, uint64_t v, bool sign)
{
    uint64_t frac = v & ((UINT64_C(1) << (f->bits - 1)) - 1);
    int32_t exp = (int32_t)(v >> (f->bits - 1)) & f->exp_max;
    int32_t bias = F80_BIAS - f->exp_max / 2;
    unsigned up;

    frac <<= 64 - f->bits;
    if (exp == f->exp_max) {
        if (frac && !(frac & QUIET))
            e->flags |= F80_INVALID;
        return pack(sign, EXP_MAX, frac ? frac | TOP64 | QUIET : TOP64);
    }
    if (exp)
        return pack(sign, exp + bias, frac | TOP64);
    if (!frac)
        return zero(sign);
    e->flags |= F80_DENORMAL;
    up = (unsigned)__builtin_clzll(frac);
    return pack(sign, 1 + bias - (int32_t)up, frac << up);
}

struct f80 f80_from_f32(struct f80_env *e, uint32_t v)
{
    return widen(e, &f32, v & 0x7FFFFFFF, v >> 31);
}

struct f80 f80_from_f64(struct f80_env *e, uint64_t v)
{
    return widen(e, &f64, v & INT64_MAX, v >> 63);
}

/* Exponent and fraction, without the sign. */
static uint64_t narrow_pack(const struct narrow *f, int32_t exp, uint64_t mant)
{
    return ((uint64_t)exp << (f->bits - 1)) | (mant << 1 >> (65 - f->bits));
}

static uint64_t narrow_overflow(struct f80_env *e, const struct narrow *f, bool sign)
{
    struct f80 r = overflow(e, sign, f->bits);
    bool inf = (r.se & EXP_MAX) == EXP_MAX;

    return narrow_pack(f, inf ? f->exp_max : f->exp_max - 1, r.mant);
}

static uint64_t narrow_finite(struct f80_env *e, const struct narrow *f, const struct num *n)
{
    enum f80_rounding mode = F80_ROUNDING(e->cw);
    int32_t exp = n->exp - F80_BIAS + f->exp_max / 2;
    u128 sig = (u128)n->mant << 64;
    struct rounded r = round_at(mode, n->sign, sig, f->bits);

    if (exp + r.carry < 1) {
        if (!masked(e, F80_UNDERFLOW)) {
            e->flags |= F80_UNDERFLOW;
            return 0;
        }
        r = round_at(mode, n->sign, shift_right_jam(sig, 1 - exp), f->bits);
        note(e, &r);
        if (r.inexact)
            e->flags |= F80_UNDERFLOW;
        return narrow_pack(f, r.mant >> 63, r.mant);
    }
    if (r.carry) {
        r.mant = TOP64;
        exp++;
    }
    if (exp >= f->exp_max) {
        if (masked(e, F80_OVERFLOW))
            return narrow_overflow(e, f, n->sign);
        e->flags |= F80_OVERFLOW;
        return 0;
    }
    note(e, &r);
    return narrow_pack(f, exp, r.mant);
}

static uint64_t narrow(struct f80_env *e, const struct narrow *f, struct f80 a, bool *sign)
{
    struct num n = unpack(a);

    *sign = n.sign;
    switch (n.kind) {
    case ZERO:
        return 0;
    case INFINITE:
        return narrow_pack(f, f->exp_max, TOP64);
    case UNSUPPORTED:
        *sign = true;
        invalid(e);
        return narrow_pack(f, f->exp_max, QUIET);
    case QNAN:
    case SNAN:
        if (n.kind == SNAN)
            e->flags |= F80_INVALID;
        return narrow_pack(f, f->exp_max, a.mant | QUIET);
    default:
        return narrow_finite(e, f, &n); /* a denormal is no exception here */
    }
}

uint32_t f80_to_f32(struct f80_env *e, struct f80 a)
{
    bool sign;
    uint32_t v = (uint32_t)narrow(e, &f32, a, &sign);

    return v | (uint32_t)sign << 31;
}

uint64_t f80_to_f64(struct f80_env *e, struct f80 a)
{
    bool sign;
    uint64_t v = narrow(e, &f64, a, &sign);

    return v | (uint64_t)sign << 63;
}
