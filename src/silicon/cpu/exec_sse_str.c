/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SSE4.2): compare two strings of bytes or words. */
#include "silicon/cpu/exec_vec.h"

/* The immediate: 1:0 elements, 3:2 aggregation, 5:4 polarity, 6 which form of result. */
#define WORDS(imm)  ((imm)&1)
#define SIGNED(imm) ((imm)&2)
enum { EQUAL_ANY, RANGES, EQUAL_EACH, EQUAL_ORDERED };

struct text {
    int32_t at[16];
    unsigned valid; /* elements before its end */
};

static void read_elements(struct text *s, const union lane *v, unsigned imm)
{
    for (unsigned i = 0; i < 16u >> WORDS(imm); i++)
        s->at[i] =
            WORDS(imm) ? (SIGNED(imm) ? v->sw[i] : v->w[i]) : (SIGNED(imm) ? v->sb[i] : v->b[i]);
}

/* Implicit length: up to the first zero. */
static void end_at_zero(struct text *s, unsigned n)
{
    s->valid = 0;
    while (s->valid < n && s->at[s->valid])
        s->valid++;
}

/* Explicit length: a register's magnitude, at most n. */
static unsigned explicit_length(uint64_t r, bool wide_register, unsigned n)
{
    int64_t v = wide_register ? (int64_t)r : (int32_t)r;
    uint64_t magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;

    return magnitude > n ? n : (unsigned)magnitude;
}

static bool matches_any(const struct text *a, int32_t y)
{
    for (unsigned i = 0; i < a->valid; i++)
        if (a->at[i] == y)
            return true;
    return false;
}

static bool in_ranges(const struct text *a, int32_t y)
{
    for (unsigned i = 0; i + 1 < a->valid; i += 2)
        if (a->at[i] <= y && y <= a->at[i + 1])
            return true;
    return false;
}

/* Does a start at element j of b, as far as b's register shows? */
static bool starts_at(const struct text *a, const struct text *b, unsigned j, unsigned n)
{
    for (unsigned i = 0; i < a->valid && i + j < n; i++)
        if (i + j >= b->valid || a->at[i] != b->at[i + j])
            return false;
    return true;
}

/* A bit for each element of b. */
static uint32_t aggregate(const struct text *a, const struct text *b, unsigned imm, unsigned n)
{
    uint32_t result = 0;

    for (unsigned j = 0; j < n; j++) {
        bool yes;

        switch (imm >> 2 & 3) {
        case EQUAL_ANY:
            yes = j < b->valid && matches_any(a, b->at[j]);
            break;
        case RANGES:
            yes = j < b->valid && in_ranges(a, b->at[j]);
            break;
        case EQUAL_EACH:
            yes = j < a->valid && j < b->valid ? a->at[j] == b->at[j]
                                               : j >= a->valid && j >= b->valid;
            break;
        default:
            yes = starts_at(a, b, j, n);
            break;
        }
        result |= (uint32_t)yes << j;
    }
    if (imm & 0x10)
        result ^= (1u << (imm & 0x20 ? b->valid : n)) - 1;
    return result;
}

/* Sets the flags; returns the result's bits. */
static uint32_t compare_strings(struct cpu *c, const struct op *o, bool is_explicit)
{
    const union vec *v = vec_only(c, o, 16);
    unsigned imm = (unsigned)o->imm, n = 16u >> WORDS(imm);
    struct text a, b;
    uint32_t result;

    read_elements(&a, lane_c(&c->vec[o->d], 0), imm);
    read_elements(&b, lane_c(v, 0), imm);
    if (is_explicit) {
        a.valid = explicit_length(c->r[RAX], o->flags & OP_W, n);
        b.valid = explicit_length(c->r[RDX], o->flags & OP_W, n);
    } else {
        end_at_zero(&a, n);
        end_at_zero(&b, n);
    }
    result = aggregate(&a, &b, imm, n);
    flags_set(c, result & 1, a.valid < n, b.valid < n, false, false, result);
    return result;
}

static void set_index(struct cpu *c, const struct op *o, uint32_t result)
{
    unsigned n = 16u >> WORDS(o->imm);

    if (!result)
        c->r[RCX] = n;
    else
        c->r[RCX] =
            o->imm & 0x40 ? 31 - (unsigned)__builtin_clz(result) : (unsigned)__builtin_ctz(result);
}

static void set_mask(struct cpu *c, const struct op *o, uint32_t result)
{
    union lane r = {.q = {result, 0}};

    for (unsigned i = 0; i < 16 && o->imm & 0x40; i++)
        r.b[i] = result >> (WORDS(o->imm) ? i / 2 : i) & 1 ? 0xFF : 0;
    lane_done(c, o, 0, &r);
}

#define STRINGS(name, is_explicit, set)                                                            \
    static void vec_##name(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        set(c, o, compare_strings(c, o, is_explicit));                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(vec_##name, vec_##name)
STRINGS(pcmpestrm, true, set_mask);
STRINGS(pcmpestri, true, set_index);
STRINGS(pcmpistrm, false, set_mask);
STRINGS(pcmpistri, false, set_index);
