/* IEEE 754 arithmetic in integers, as SSE does it (APM1 4.10): NaNs by operand order, tininess
 * found after rounding, DAZ and FTZ. */
#include "silicon/cpu/fp.h"

typedef unsigned __int128 u128;

/* A binary format: bits of significand (the hidden one included), range of exponents. */
struct format {
    unsigned precision;
    int emin, emax;
    unsigned width;
    bool half; /* DAZ and FTZ do not apply to it */
};
static const struct format F16 = {11, -14, 15, 16, true};
static const struct format F32 = {24, -126, 127, 32, false};
static const struct format F64 = {53, -1022, 1023, 64, false};

enum kind { ZERO, FINITE, INFINITE, QNAN, SNAN };

/* FINITE: sig / 2^63 * 2^exp, sig's bit 63 set. */
struct num {
    enum kind kind;
    bool sign, denormal;
    int exp;
    uint64_t sig;
};

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS uint64_t sign_bit(struct format t, bool sign)
{
    return (uint64_t)sign << (t.width - 1);
}

ALWAYS uint64_t infinity(struct format t, bool sign)
{
    return sign_bit(t, sign) | (uint64_t)(t.emax - t.emin + 2) << (t.precision - 1);
}

ALWAYS uint64_t quiet_bit(struct format t)
{
    return UINT64_C(1) << (t.precision - 2);
}

/* "Real indefinite": the NaN of invalid operations. */
ALWAYS uint64_t default_nan(struct format t)
{
    return infinity(t, true) | quiet_bit(t);
}

ALWAYS struct num unpack(const struct fp *f, struct format t, uint64_t v)
{
    struct num n = {.sign = v >> (t.width - 1) & 1};
    uint64_t fraction = v & ((UINT64_C(1) << (t.precision - 1)) - 1);
    int biased = (int)(v >> (t.precision - 1) & (uint64_t)(t.emax - t.emin + 2));

    if (biased == t.emax - t.emin + 2) {
        n.kind = !fraction ? INFINITE : fraction & quiet_bit(t) ? QNAN : SNAN;
    } else if (biased) {
        n.kind = FINITE;
        n.exp = biased - 1 + t.emin;
        n.sig = fraction << (64 - t.precision) | BIT(63);
    } else if (fraction && (!f->daz || t.half)) {
        unsigned up = (unsigned)__builtin_clzll(fraction);

        n.kind = FINITE;
        n.denormal = true;
        n.sig = fraction << up;
        n.exp = t.emin + (int)(64 - t.precision) - (int)up;
    }
    return n;
}

ALWAYS bool is_nan(struct num n)
{
    return n.kind >= QNAN;
}

/* v >> by, rounded. */
ALWAYS uint64_t round_shift(const struct fp *f, bool sign, u128 v, unsigned by, bool *inexact)
{
    uint64_t kept;
    u128 rest, half;
    bool up;

    if (by > 127) {
        v = by > 128 ? v != 0 : v >> 1 | (v & 1);
        by = 127;
    }
    kept = (uint64_t)(v >> by);
    rest = v & (((u128)1 << by) - 1);
    half = (u128)1 << (by - 1);
    *inexact = rest != 0;
    if (f->rounding == ROUND_NEAREST)
        up = rest > half || (rest == half && (kept & 1));
    else
        up = rest && f->rounding == (sign ? ROUND_DOWN : ROUND_UP);
    return kept + up;
}

/* The nearest of the format to sig / 2^127 * 2^exp (sig not 0, its lowest bit may stand for more
 * below it), with the exceptions of that. */
ALWAYS uint64_t finish(struct fp *f, struct format t, bool sign, int exp, u128 sig)
{
    uint64_t high = (uint64_t)(sig >> 64), m;
    unsigned up =
        high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((uint64_t)sig);
    unsigned drop = 128 - t.precision;
    int carry;
    bool inexact;

    sig <<= up;
    exp -= (int)up;
    m = round_shift(f, sign, sig, drop, &inexact);
    carry = (int)(m >> t.precision);
    if (exp + carry < t.emin) { /* tiny even after rounding */
        if (f->unmasked & MXCSR_UE) {
            f->post |= inexact ? MXCSR_UE | MXCSR_PE : MXCSR_UE;
            return 0; /* never seen: #XF follows */
        }
        if (f->ftz && !t.half) {
            f->post |= MXCSR_UE | MXCSR_PE;
            return sign_bit(t, sign);
        }
        m = round_shift(f, sign, sig, drop + (unsigned)(t.emin - exp), &inexact);
        if (inexact)
            f->post |= MXCSR_UE | MXCSR_PE;
        return sign_bit(t, sign) | m;
    }
    if (inexact)
        f->post |= MXCSR_PE;
    if (exp + carry > t.emax) {
        bool away = f->rounding == ROUND_NEAREST || f->rounding == (sign ? ROUND_DOWN : ROUND_UP);

        /* Unmasked, only the significand's rounding counts as inexact. */
        f->post |= f->unmasked & MXCSR_OE && !inexact ? MXCSR_OE : MXCSR_OE | MXCSR_PE;
        return away ? infinity(t, sign) : infinity(t, sign) - 1;
    }
    /* m's hidden bit adds 1 to the exponent's field, a carry 2. */
    return sign_bit(t, sign) | (((uint64_t)(exp - t.emin) << (t.precision - 1)) + m);
}

/* v >> by; what is shifted out stays visible in the lowest bit. */
ALWAYS u128 shift_sticky(u128 v, unsigned by)
{
    if (by > 127)
        return v != 0;
    return v >> by | ((v & (((u128)1 << by) - 1)) != 0);
}

/* ---- operands ---- */
ALWAYS uint64_t invalid(struct fp *f, struct format t)
{
    f->pre |= MXCSR_IE;
    return default_nan(t);
}

/* The first operand that is a NaN, quieted. */
ALWAYS uint64_t propagate(struct fp *f, struct format t, struct num a, struct num b, uint64_t va,
                          uint64_t vb)
{
    if (a.kind == SNAN || b.kind == SNAN)
        f->pre |= MXCSR_IE;
    return (is_nan(a) ? va : vb) | quiet_bit(t);
}

ALWAYS void note_denormal(struct fp *f, struct num a, struct num b)
{
    if (a.denormal || b.denormal)
        f->pre |= MXCSR_DE;
}

ALWAYS uint64_t exact_zero(struct fp *f, struct format t)
{
    return sign_bit(t, f->rounding == ROUND_DOWN);
}

/* x / 2^126 * 2^exp of two signed magnitudes whose leading ones are at bit 126 or below. */
ALWAYS uint64_t add_aligned(struct fp *f, struct format t, bool sa, int ea, u128 a, bool sb, int eb,
                            u128 b)
{
    if (ea < eb || (ea == eb && a < b)) {
        u128 v = a;
        int e = ea;
        bool s = sa;

        a = b, ea = eb, sa = sb;
        b = v, eb = e, sb = s;
    }
    b = shift_sticky(b, (unsigned)(ea - eb));
    if (sa == sb)
        a += b;
    else if (a == b)
        return exact_zero(f, t);
    else if (a < b)
        a = b - a, sa = sb;
    else
        a -= b;
    return finish(f, t, sa, ea + 1, a);
}

ALWAYS uint64_t add(struct fp *f, struct format t, uint64_t va, uint64_t vb, bool minus)
{
    struct num a = unpack(f, t, va), b = unpack(f, t, vb);

    if (is_nan(a) || is_nan(b))
        return propagate(f, t, a, b, va, vb);
    b.sign ^= minus;
    if (a.kind == INFINITE && b.kind == INFINITE && a.sign != b.sign)
        return invalid(f, t);
    note_denormal(f, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE)
        return infinity(t, a.kind == INFINITE ? a.sign : b.sign);
    if (a.kind == ZERO && b.kind == ZERO)
        return a.sign == b.sign ? sign_bit(t, a.sign) : exact_zero(f, t);
    if (a.kind == ZERO)
        return finish(f, t, b.sign, b.exp, (u128)b.sig << 64);
    if (b.kind == ZERO)
        return finish(f, t, a.sign, a.exp, (u128)a.sig << 64);
    return add_aligned(f, t, a.sign, a.exp, (u128)a.sig << 63, b.sign, b.exp, (u128)b.sig << 63);
}

ALWAYS uint64_t mul(struct fp *f, struct format t, uint64_t va, uint64_t vb)
{
    struct num a = unpack(f, t, va), b = unpack(f, t, vb);
    bool sign = a.sign ^ b.sign;

    if (is_nan(a) || is_nan(b))
        return propagate(f, t, a, b, va, vb);
    if ((a.kind == INFINITE && b.kind == ZERO) || (a.kind == ZERO && b.kind == INFINITE))
        return invalid(f, t);
    note_denormal(f, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE)
        return infinity(t, sign);
    if (a.kind == ZERO || b.kind == ZERO)
        return sign_bit(t, sign);
    return finish(f, t, sign, a.exp + b.exp + 1, (u128)a.sig * b.sig);
}

ALWAYS uint64_t divide(struct fp *f, struct format t, uint64_t va, uint64_t vb)
{
    struct num a = unpack(f, t, va), b = unpack(f, t, vb);
    bool sign = a.sign ^ b.sign;
    u128 up;
    uint64_t q;

    if (is_nan(a) || is_nan(b))
        return propagate(f, t, a, b, va, vb);
    if (a.kind == b.kind && (a.kind == INFINITE || a.kind == ZERO))
        return invalid(f, t);
    if (b.kind == ZERO && a.kind == FINITE) {
        f->pre |= MXCSR_ZE;
        return infinity(t, sign);
    }
    note_denormal(f, a, b);
    if (a.kind == INFINITE || b.kind == ZERO)
        return infinity(t, sign);
    if (a.kind == ZERO || b.kind == INFINITE)
        return sign_bit(t, sign);
    up = (u128)a.sig << 63;
    q = (uint64_t)(up / b.sig);
    return finish(f, t, sign, a.exp - b.exp, (u128)q << 64 | (up % b.sig != 0));
}

/* The integer root of v, bit by bit. */
static uint64_t root(u128 v)
{
    uint64_t r = 0;

    for (uint64_t bit = BIT(63); bit; bit >>= 1)
        if ((u128)(r | bit) * (r | bit) <= v)
            r |= bit;
    return r;
}

ALWAYS uint64_t square_root(struct fp *f, struct format t, uint64_t va)
{
    struct num a = unpack(f, t, va);
    u128 v;
    uint64_t r;

    if (is_nan(a))
        return propagate(f, t, a, a, va, va);
    if (a.kind == ZERO)
        return sign_bit(t, a.sign);
    if (a.sign)
        return invalid(f, t);
    note_denormal(f, a, a);
    if (a.kind == INFINITE)
        return infinity(t, false);
    v = (u128)a.sig << (a.exp & 1 ? 64 : 63);
    r = root(v);
    return finish(f, t, false, (a.exp - (a.exp & 1)) / 2, (u128)r << 64 | (v != (u128)r * r));
}

ALWAYS uint64_t fused(struct fp *f, struct format t, uint64_t va, uint64_t vb, uint64_t vc,
                      unsigned negate)
{
    struct num a = unpack(f, t, va), b = unpack(f, t, vb), c = unpack(f, t, vc);
    bool sign = a.sign ^ b.sign ^ (negate & FP_MINUS_PRODUCT ? 1 : 0);
    bool inf = a.kind == INFINITE || b.kind == INFINITE, zero = a.kind == ZERO || b.kind == ZERO;

    if (is_nan(a) || is_nan(b) || is_nan(c)) {
        if (a.kind == SNAN || b.kind == SNAN || c.kind == SNAN)
            f->pre |= MXCSR_IE;
        return (is_nan(a) ? va : is_nan(b) ? vb : vc) | quiet_bit(t);
    }
    c.sign ^= negate & FP_MINUS_ADDEND ? 1 : 0;
    if ((inf && zero) || (inf && c.kind == INFINITE && sign != c.sign))
        return invalid(f, t);
    note_denormal(f, a, b);
    note_denormal(f, c, c);
    if (inf || c.kind == INFINITE)
        return infinity(t, inf ? sign : c.sign);
    if (zero && c.kind == ZERO)
        return sign == c.sign ? sign_bit(t, sign) : exact_zero(f, t);
    if (zero)
        return finish(f, t, c.sign, c.exp, (u128)c.sig << 64);
    if (c.kind == ZERO)
        return finish(f, t, sign, a.exp + b.exp + 1, (u128)a.sig * b.sig);
    /* The product's lowest 22 bits are 0: shifting it down by 1 loses nothing. */
    return add_aligned(f, t, sign, a.exp + b.exp + 1, (u128)a.sig * b.sig >> 1, c.sign, c.exp,
                       (u128)c.sig << 63);
}

ALWAYS enum fp_order compare(struct fp *f, struct format t, uint64_t va, uint64_t vb,
                             bool signaling)
{
    struct num a = unpack(f, t, va), b = unpack(f, t, vb);

    if (is_nan(a) || is_nan(b)) {
        if (signaling || a.kind == SNAN || b.kind == SNAN)
            f->pre |= MXCSR_IE;
        return FP_UNORDERED;
    }
    note_denormal(f, a, b);
    if (a.kind == ZERO && b.kind == ZERO)
        return FP_EQUAL;
    if (a.kind == ZERO)
        return b.sign ? FP_GREATER : FP_LESS;
    if (b.kind == ZERO || a.sign != b.sign)
        return a.sign ? FP_LESS : FP_GREATER;
    /* Patterns of one sign order as integers; denormals count here only without DAZ. */
    if (va == vb)
        return FP_EQUAL;
    return (va < vb) != a.sign ? FP_LESS : FP_GREATER;
}

/* MIN and MAX give the second operand, as it is, unless the first is truly less or greater. */
ALWAYS uint64_t select(struct fp *f, struct format t, uint64_t va, uint64_t vb, enum fp_order want)
{
    uint64_t v = compare(f, t, va, vb, true) == want ? va : vb;
    struct num n = unpack(f, t, v);

    return n.kind == ZERO ? sign_bit(t, n.sign) : v;
}

/* ---- conversions ---- */
/* |a| rounded to an integer (a FINITE; below 2^64, or UINT64_MAX and `inexact` false). */
ALWAYS uint64_t to_integer(struct num a, unsigned mode, bool *inexact)
{
    struct fp by = {.rounding = (uint8_t)mode};

    *inexact = false;
    if (a.exp > 63)
        return UINT64_MAX;
    /* sig / 2^63 * 2^exp, with 64 bits of fraction */
    return round_shift(&by, a.sign, (u128)a.sig << 63, (unsigned)(126 - a.exp), inexact);
}

ALWAYS uint64_t to_signed(struct fp *f, struct format t, uint64_t va, unsigned mode, unsigned bits)
{
    struct num a = unpack(f, t, va);
    uint64_t least = BIT(bits - 1), m;
    bool inexact;

    if (a.kind == ZERO)
        return 0;
    if (a.kind != FINITE || a.exp >= (int)bits) {
        f->pre |= MXCSR_IE;
        return least;
    }
    m = to_integer(a, mode, &inexact);
    if (m > least - !a.sign) {
        f->pre |= MXCSR_IE;
        return least;
    }
    if (inexact)
        f->post |= MXCSR_PE;
    return a.sign ? -m : m;
}

ALWAYS uint64_t from_signed(struct fp *f, struct format t, int64_t v)
{
    uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;

    return v ? finish(f, t, v < 0, 63, (u128)m << 64) : 0;
}

ALWAYS uint64_t round_integral(struct fp *f, struct format t, uint64_t va, unsigned mode,
                               bool show_inexact)
{
    struct num a = unpack(f, t, va);
    struct fp exact = {0};
    uint64_t m;
    bool inexact;

    if (is_nan(a))
        return propagate(f, t, a, a, va, va);
    if (a.kind == ZERO)
        return sign_bit(t, a.sign);
    if (a.kind == INFINITE || a.exp >= (int)t.precision - 1)
        return va;
    m = to_integer(a, mode, &inexact);
    if (inexact && show_inexact)
        f->post |= MXCSR_PE;
    return m ? finish(&exact, t, a.sign, 63, (u128)m << 64) : sign_bit(t, a.sign);
}

/* Another format: a NaN keeps its sign and the upper bits of its fraction. */
ALWAYS uint64_t convert(struct fp *f, struct format from, struct format to, uint64_t va,
                        bool denormal_shows)
{
    struct num a = unpack(f, from, va);
    uint64_t fraction = va << (65 - from.precision); /* left-aligned */

    switch (a.kind) {
    case ZERO:
        return sign_bit(to, a.sign);
    case INFINITE:
        return infinity(to, a.sign);
    case SNAN:
        f->pre |= MXCSR_IE;
        break;
    case QNAN:
        break;
    default:
        if (a.denormal && denormal_shows)
            f->pre |= MXCSR_DE;
        return finish(f, to, a.sign, a.exp, (u128)a.sig << 64);
    }
    return infinity(to, a.sign) | quiet_bit(to) | fraction >> (65 - to.precision);
}

#define ARITHMETIC(bits, format)                                                                   \
    uint##bits##_t fp_add##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)add(f, format, a, b, false);                                        \
    }                                                                                              \
    uint##bits##_t fp_sub##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)add(f, format, a, b, true);                                         \
    }                                                                                              \
    uint##bits##_t fp_mul##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)mul(f, format, a, b);                                               \
    }                                                                                              \
    uint##bits##_t fp_div##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)divide(f, format, a, b);                                            \
    }                                                                                              \
    uint##bits##_t fp_min##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)select(f, format, a, b, FP_LESS);                                   \
    }                                                                                              \
    uint##bits##_t fp_max##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                              \
        return (uint##bits##_t)select(f, format, a, b, FP_GREATER);                                \
    }                                                                                              \
    uint##bits##_t fp_sqrt##bits(struct fp *f, uint##bits##_t a)                                   \
    {                                                                                              \
        return (uint##bits##_t)square_root(f, format, a);                                          \
    }                                                                                              \
    uint##bits##_t fp_fma##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b,                  \
                                uint##bits##_t c, unsigned negate)                                 \
    {                                                                                              \
        return (uint##bits##_t)fused(f, format, a, b, c, negate);                                  \
    }                                                                                              \
    uint##bits##_t fp_round##bits(struct fp *f, uint##bits##_t a, unsigned mode, bool inexact)     \
    {                                                                                              \
        return (uint##bits##_t)round_integral(f, format, a, mode, inexact);                        \
    }                                                                                              \
    enum fp_order fp_compare##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b,               \
                                   bool signaling)                                                 \
    {                                                                                              \
        return compare(f, format, a, b, signaling);                                                \
    }                                                                                              \
    uint32_t fp_to_i32_##bits(struct fp *f, uint##bits##_t a, unsigned mode)                       \
    {                                                                                              \
        return (uint32_t)to_signed(f, format, a, mode, 32);                                        \
    }                                                                                              \
    uint64_t fp_to_i64_##bits(struct fp *f, uint##bits##_t a, unsigned mode)                       \
    {                                                                                              \
        return to_signed(f, format, a, mode, 64);                                                  \
    }                                                                                              \
    uint##bits##_t fp_from_i##bits(struct fp *f, int64_t v)                                        \
    {                                                                                              \
        return (uint##bits##_t)from_signed(f, format, v);                                          \
    }
ARITHMETIC(32, F32)
ARITHMETIC(64, F64)

uint64_t fp_32_to_64(struct fp *f, uint32_t a)
{
    return convert(f, F32, F64, a, true);
}

uint32_t fp_64_to_32(struct fp *f, uint64_t a)
{
    return (uint32_t)convert(f, F64, F32, a, true);
}

uint32_t fp_16_to_32(struct fp *f, uint16_t a)
{
    return (uint32_t)convert(f, F16, F32, a, false);
}

uint16_t fp_32_to_16(struct fp *f, uint32_t a)
{
    return (uint16_t)convert(f, F32, F16, a, true);
}

/* Approximations: the correctly rounded value cut to 12 bits of fraction; denormals are zeros. */
static uint32_t approximate(uint32_t v)
{
    return (v & 0x7FFFFFFF) > 0x7F800000 ? v : v & ~UINT32_C(0x7FF);
}

uint32_t fp_rcp(uint32_t a)
{
    struct fp f = {.daz = true, .ftz = true};

    if ((a & 0x7FFFFFFF) >= 0x7E800000 && (a & 0x7FFFFFFF) < 0x7F800000)
        return a & 0x80000000; /* 2^126 and above */
    return approximate(fp_div32(&f, 0x3F800000, a));
}

uint32_t fp_rsqrt(uint32_t a)
{
    struct fp f = {.daz = true, .ftz = true};

    return approximate(fp_div32(&f, 0x3F800000, fp_sqrt32(&f, a)));
}

/* ---- MXCSR ---- */
struct fp fp_begin(const struct cpu *c)
{
    return (struct fp){.rounding = MXCSR_RC(c->mxcsr),
                       .daz = c->mxcsr & MXCSR_DAZ,
                       .ftz = c->mxcsr & MXCSR_FTZ,
                       .unmasked = (uint8_t)(~c->mxcsr >> 7 & MXCSR_FLAGS)};
}

void fp_end(struct cpu *c, const struct op *o, const struct fp *f)
{
    uint32_t raised = f->before | f->pre;

    if (!(f->pre & f->unmasked))
        raised |= f->post;
    c->mxcsr |= raised;
    if (raised & f->unmasked)
        cpu_fault(c, o, c->cr4 & CR4_OSXMMEXCPT ? EXC_XF : EXC_UD, 0);
}
