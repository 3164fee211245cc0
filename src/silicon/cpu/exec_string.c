/* String instructions: MOVS, CMPS, SCAS, LODS, STOS, alone or repeated.
 *
 * Repeated, an instruction keeps its progress in rCX, rSI and rDI after every element, so that a
 * fault can be resumed. It retires once when it ends, and once more each time it pauses: after
 * STEPS elements (pages, where they move in bulk) it goes back to run() with RIP at itself, to let
 * interrupts in. Single-stepped, it pauses after each element (APM3 REP). How often it pauses
 * depends on its operands alone, so counts repeat from run to run.
 */
#include "silicon/cpu/exec_int.h"

#define STEPS 4096

/* One element: moves and compares, then advances rSI and rDI. True: a comparison asks to stop. */
typedef bool element_fn(struct cpu *c, const struct op *o);

static inline void advance(struct cpu *c, const struct op *o, unsigned reg, int64_t by)
{
    reg_set(c, reg, o->asize, c->r[reg] + (uint64_t)by);
}

static inline int64_t stride(const struct cpu *c, int64_t size)
{
    return c->rflags & RFLAGS_DF ? -size : size;
}

static inline uint64_t source(struct cpu *c, const struct op *o, unsigned size)
{
    return linear(c, o, o->seg, c->r[RSI], size, ACCESS_READ);
}

/* ES has no override; in 64-bit mode its base is 0. */
static inline uint64_t destination(struct cpu *c, const struct op *o, unsigned size,
                                   enum access acc)
{
    return linear(c, o, long64(c) ? FLAT : ES, c->r[RDI], size, acc);
}

/* After a comparison: does REPE or REPNE end here? */
static inline bool compared(struct cpu *c, const struct op *o)
{
    return o->flags & OP_REP ? !flag_z(c) : flag_z(c);
}

#define DEFINE_ELEMENTS(bits, accumulator)                                                         \
    static bool movs_##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        int64_t by = stride(c, bits / 8);                                                          \
        uint##bits##_t v = mem_load##bits(c, o, source(c, o, bits / 8));                           \
                                                                                                   \
        mem_store##bits(c, o, destination(c, o, bits / 8, ACCESS_WRITE), v);                       \
        advance(c, o, RSI, by);                                                                    \
        advance(c, o, RDI, by);                                                                    \
        return false;                                                                              \
    }                                                                                              \
    static bool stos_##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint64_t la = destination(c, o, bits / 8, ACCESS_WRITE);                                   \
                                                                                                   \
        mem_store##bits(c, o, la, reg_get##bits(c, accumulator));                                  \
        advance(c, o, RDI, stride(c, bits / 8));                                                   \
        return false;                                                                              \
    }                                                                                              \
    static bool lods_##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        reg_set##bits(c, accumulator, mem_load##bits(c, o, source(c, o, bits / 8)));               \
        advance(c, o, RSI, stride(c, bits / 8));                                                   \
        return false;                                                                              \
    }                                                                                              \
    static bool scas_##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint64_t la = destination(c, o, bits / 8, ACCESS_READ);                                    \
        uint##bits##_t b = mem_load##bits(c, o, la), a = reg_get##bits(c, accumulator);            \
        uint##bits##_t r = (uint##bits##_t)(a - b);                                                \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_sub(a, b, r), bits);                              \
        advance(c, o, RDI, stride(c, bits / 8));                                                   \
        return compared(c, o);                                                                     \
    }                                                                                              \
    static bool cmps_##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        int64_t by = stride(c, bits / 8);                                                          \
        uint##bits##_t a = mem_load##bits(c, o, source(c, o, bits / 8));                           \
        uint64_t la = destination(c, o, bits / 8, ACCESS_READ);                                    \
        uint##bits##_t b = mem_load##bits(c, o, la), r = (uint##bits##_t)(a - b);                  \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_sub(a, b, r), bits);                              \
        advance(c, o, RSI, by);                                                                    \
        advance(c, o, RDI, by);                                                                    \
        return compared(c, o);                                                                     \
    }
DEFINE_ELEMENTS(8, 0)
DEFINE_ELEMENTS(16, RAX)
DEFINE_ELEMENTS(32, RAX)
DEFINE_ELEMENTS(64, RAX)

/* ---- bulk: as many elements as one page of source and destination hold, upwards, in 64-bit flat
 * mode. 0: do one element the long way ---- */
typedef uint64_t bulk_fn(struct cpu *c, const struct op *o, uint64_t count);

static inline uint64_t to_page_end(uint64_t la)
{
    return 4096 - (la & 4095);
}

/* What a forward copy, element by element, gives: where the destination begins inside the source,
 * its start repeats. */
static void copy_up(uint8_t *to, const uint8_t *from, uint64_t bytes, unsigned size)
{
    if (to <= from || to >= from + bytes)
        memmove(to, from, bytes);
    else
        for (uint64_t i = 0; i < bytes; i += size)
            memmove(to + i, from + i, size);
}

/* Two views of one frame, under different keys, are never seen at once: the second pointer spoils
 * the first. */
static uint64_t movs_bulk(struct cpu *c, const struct op *o, uint64_t count)
{
    uint64_t src = c->seg[o->seg].base + c->r[RSI], dst = c->r[RDI];
    uint64_t bytes = MIN(to_page_end(src), to_page_end(dst)) & ~(uint64_t)(o->size - 1);
    const uint8_t *from;
    uint64_t retags;
    uint8_t *to;

    bytes = MIN(bytes / o->size, count) * o->size;
    if (!bytes)
        return 0;
    from = mmu_span(c, o, src, (unsigned)bytes, ACCESS_READ);
    retags = dram_retags(c->dram);
    to = from ? mmu_span(c, o, dst, (unsigned)bytes, ACCESS_WRITE) : NULL;
    if (!to || retags != dram_retags(c->dram))
        return 0;
    copy_up(to, from, bytes, o->size);
    c->r[RSI] += bytes;
    c->r[RDI] += bytes;
    return bytes / o->size;
}

static uint64_t stos_bulk(struct cpu *c, const struct op *o, uint64_t count)
{
    uint64_t bytes = MIN(to_page_end(c->r[RDI]) / o->size, count) * o->size;
    uint8_t *to = bytes ? mmu_span(c, o, c->r[RDI], (unsigned)bytes, ACCESS_WRITE) : NULL;

    if (!to)
        return 0;
    if (o->size == 1)
        memset(to, (uint8_t)c->r[RAX], bytes);
    else
        for (uint64_t i = 0; i < bytes; i += o->size)
            memcpy(to + i, &c->r[RAX], o->size);
    c->r[RDI] += bytes;
    return bytes / o->size;
}

static uint64_t no_bulk(struct cpu *c, const struct op *o, uint64_t count)
{
    return 0;
}

/* ---- repetition ---- */
static bool bulk_possible(const struct cpu *c, const struct op *o)
{
    return !(o->flags & OP_LEGACY) && !(c->rflags & RFLAGS_DF) && !c->stepping;
}

/* Up to STEPS steps. True: it has ended. */
static inline bool repeat(struct cpu *c, const struct op *o, element_fn *element, bulk_fn *bulk)
{
    bool in_bulk = bulk != no_bulk && bulk_possible(c, o);
    unsigned steps = c->stepping ? 1 : STEPS;

    for (; steps; steps--) {
        uint64_t count = cut(c->r[RCX], o->asize), n;
        bool stop = false;

        if (!count)
            return true;
        n = in_bulk ? bulk(c, o, count) : 0;
        if (!n) {
            stop = element(c, o);
            n = 1;
        }
        reg_set(c, RCX, o->asize, count - n);
        if (stop)
            return true;
    }
    return !cut(c->r[RCX], o->asize);
}

#define DEFINE_STRING(name, bulk, bits)                                                            \
    static void name##_op##bits(struct cpu *c, const struct op *o)                                 \
    {                                                                                              \
        if (!(o->flags & (OP_REP | OP_REPNE))) {                                                   \
            (void)name##_##bits(c, o);                                                             \
        } else if (!repeat(c, o, name##_##bits, bulk)) {                                           \
            c->budget += o->left;                                                                  \
            c->rip = op_rip(c, o);                                                                 \
            LEAVE(c);                                                                              \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }
#define STRING(name, bulk)                                                                         \
    DEFINE_STRING(name, bulk, 8)                                                                   \
    DEFINE_STRING(name, bulk, 16)                                                                  \
    DEFINE_STRING(name, bulk, 32)                                                                  \
    DEFINE_STRING(name, bulk, 64)                                                                  \
    SHAPES_REG(name, name##_op)
STRING(movs, movs_bulk);
STRING(stos, stos_bulk);
STRING(lods, no_bulk);
STRING(scas, no_bulk);
STRING(cmps, no_bulk);
