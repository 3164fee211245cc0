/* What the interpreter's routines are written with.
 *
 * A routine does its instruction and goes on with NEXT(c, o), the last thing it does. Optimised
 * builds make that a jump to the next routine (threaded dispatch); others return to run().
 */
#ifndef LUCCA_SILICON_CPU_EXEC_H
#define LUCCA_SILICON_CPU_EXEC_H

#include "silicon/cpu/cpu.h"
#include "silicon/cpu/flags.h"

#ifdef __OPTIMIZE__
#if !defined(__SANITIZE_ADDRESS__) && !defined(LUCCA_UNTHREADED)
#define THREADED 1
#endif
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#undef THREADED
#endif
#endif

/* GCC jumps whenever it can; Clang must be told to where a local's address was taken. */
#ifdef __has_attribute
#if __has_attribute(musttail)
#define MUST_TAIL __attribute__((musttail))
#endif
#endif
#ifndef MUST_TAIL
#define MUST_TAIL
#endif

#ifdef THREADED
#define NEXT(c, o) MUST_TAIL return (o)[1].fn((c), (o) + 1)
#else
#define NEXT(c, o)                                                                                 \
    do {                                                                                           \
        (c)->next = (o) + 1;                                                                       \
        return;                                                                                    \
    } while (0)
#endif

/* Ends the block with RIP already in c->rip: back to run(), which looks at everything anew. */
#define LEAVE(c)                                                                                   \
    do {                                                                                           \
        (c)->next = NULL;                                                                          \
        return;                                                                                    \
    } while (0)

/* Ends the block after `o` (rows with END that fall through). */
#define LEAVE_AFTER(c, o)                                                                          \
    do {                                                                                           \
        (c)->rip = op_next_rip((c), (o));                                                          \
        LEAVE(c);                                                                                  \
    } while (0)

/* The hot paths: GCC would rather share them among thousands of routines. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- shapes ---- */
#define EXEC_ANY(name, fn) const exec_shapes exec_##name = {fn, fn, fn, fn, fn, fn, fn, fn}

/* For a `fn` with a local whose address goes elsewhere, and without NEXT: GCC would call the next
 * routine from it, not jump there, and a guest's loop would use up the stack. */
#define EXEC_BODY(name, fn)                                                                        \
    static void fn##_then_next(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        fn(c, o);                                                                                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(name, fn##_then_next)

/* ---- addresses ---- */
static inline uint64_t ea_offset(const struct cpu *c, const struct op *o)
{
    return c->r[o->base] + (c->r[o->index] << o->scale) + (uint64_t)o->disp;
}

/* Offset as LEA computes it and far forms need it: wrapped to the address size. */
static inline uint64_t ea_wrapped(const struct cpu *c, const struct op *o)
{
    uint64_t ea = ea_offset(c, o);

    return o->asize == 8 ? ea : o->asize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Slow paths are calls of their own: what is left of a routine is short, and jumps. */
#define COLD __attribute__((noinline, cold, unused))

static COLD uint64_t ea_legacy(struct cpu *c, const struct op *o, unsigned size, enum access acc)
{
    return seg_linear(c, o, o->seg, ea_wrapped(c, o), size, acc);
}

/* Linear address of the memory operand of `o`, `size` bytes. */
static ALWAYS_INLINE uint64_t ea(struct cpu *c, const struct op *o, unsigned size, enum access acc)
{
    if (LIKELY(!(o->flags & OP_LEGACY)))
        return c->seg[o->seg].base + ea_offset(c, o);
    return ea_legacy(c, o, size, acc);
}

/* ---- memory, by linear address ---- */
#define PAGE_OF(la) ((la) & ~UINT64_C(0xFFF))

/* NULL: take the slow path (miss, page crossing, no right). */
static ALWAYS_INLINE uint8_t *tlb_hit(struct cpu *c, uint64_t la, unsigned size, bool write)
{
    struct tlb_entry *e = &c->tlb[(la >> 12) & (TLB_ENTRIES - 1)];
    uint64_t want = PAGE_OF(la + size - 1) | c->ctx;

    if (LIKELY((write ? e->wtag : e->rtag) == want))
        return (uint8_t *)(uintptr_t)(la + e->addend);
    return NULL;
}

#define DEFINE_MEM(bits)                                                                           \
    static COLD uint##bits##_t mem_load_far##bits(struct cpu *c, const struct op *o, uint64_t la)  \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        mmu_load(c, o, la, &v, bits / 8);                                                          \
        return v;                                                                                  \
    }                                                                                              \
    static COLD void mem_store_far##bits(struct cpu *c, const struct op *o, uint64_t la,           \
                                         uint##bits##_t v)                                         \
    {                                                                                              \
        mmu_store(c, o, la, &v, bits / 8);                                                         \
    }                                                                                              \
    static COLD uint##bits##_t mem_load_rw_far##bits(struct cpu *c, const struct op *o,            \
                                                     uint64_t la)                                  \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        mmu_load_rw(c, o, la, &v, bits / 8);                                                       \
        return v;                                                                                  \
    }                                                                                              \
    static ALWAYS_INLINE uint##bits##_t mem_load##bits(struct cpu *c, const struct op *o,          \
                                                       uint64_t la)                                \
    {                                                                                              \
        const uint8_t *p = tlb_hit(c, la, bits / 8, false);                                        \
                                                                                                   \
        return LIKELY(p) ? load##bits(p) : mem_load_far##bits(c, o, la);                           \
    }                                                                                              \
    static ALWAYS_INLINE void mem_store##bits(struct cpu *c, const struct op *o, uint64_t la,      \
                                              uint##bits##_t v)                                    \
    {                                                                                              \
        uint8_t *p = tlb_hit(c, la, bits / 8, true);                                               \
                                                                                                   \
        if (LIKELY(p))                                                                             \
            store##bits(p, v);                                                                     \
        else                                                                                       \
            mem_store_far##bits(c, o, la, v);                                                      \
    }                                                                                              \
    static ALWAYS_INLINE uint##bits##_t mem_load_rw##bits(struct cpu *c, const struct op *o,       \
                                                          uint64_t la)                             \
    {                                                                                              \
        const uint8_t *p = tlb_hit(c, la, bits / 8, true);                                         \
                                                                                                   \
        return LIKELY(p) ? load##bits(p) : mem_load_rw_far##bits(c, o, la);                        \
    }
DEFINE_MEM(8)
DEFINE_MEM(16)
DEFINE_MEM(32)
DEFINE_MEM(64)
#undef DEFINE_MEM

static inline void mem_load(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    const uint8_t *p = tlb_hit(c, la, size, false);

    if (LIKELY(p))
        memcpy(to, p, size);
    else
        mmu_load(c, o, la, to, size);
}

static inline void mem_store(struct cpu *c, const struct op *o, uint64_t la, const void *from,
                             unsigned size)
{
    uint8_t *p = tlb_hit(c, la, size, true);

    if (LIKELY(p))
        memcpy(p, from, size);
    else
        mmu_store(c, o, la, from, size);
}

/* ---- vector and MMX operands ---- */
/* The bytes of source operand `reg` when it is a register, or of memory in `tmp`. `size` bytes are
 * valid; alignment is checked when the row says ALIGN. */
void vec_load(struct cpu *c, const struct op *o, union vec *tmp, unsigned size);

static inline const union vec *vec_src(struct cpu *c, const struct op *o, unsigned at, uint8_t reg,
                                       union vec *tmp, unsigned size)
{
    if (!(o->flags & OP_MEM) || o->mem != at)
        return &c->vec[reg];
    vec_load(c, o, tmp, size);
    return tmp;
}

/* Writes `size` bytes of a vector result. VEX: everything above is zeroed; legacy SSE: kept. */
static inline void vec_set(struct cpu *c, const struct op *o, uint8_t reg, const union vec *v,
                           unsigned size)
{
    memcpy(c->vec[reg].b, v->b, size);
    if (o->flags & OP_VEX)
        memset(c->vec[reg].b + size, 0, sizeof(*v) - size);
}

#endif
