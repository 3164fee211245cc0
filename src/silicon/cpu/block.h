/* Decoded blocks: straight runs of ops that start at one RIP and end at a branch, at the page's
 * end, or after BLOCK_MAX instructions.
 *
 * A block is cached by the physical frame and offset it was decoded from, the key it was fetched
 * under and the decode mode; it dies when the frame is written. A second table, `jumps`, finds it
 * by RIP in the current TLB context, so that it forgets what the TLB forgets. Direct branches to
 * the same page are linked block to block, in 64-bit mode: within a page nothing can change
 * between two instructions but by instructions that end blocks.
 *
 * Death is instant and safe: every op of a dead block gets a routine that leaves for run(), so a
 * block may write over itself. The memory stays until run() empties the whole cache.
 */
#ifndef LUCCA_SILICON_CPU_BLOCK_H
#define LUCCA_SILICON_CPU_BLOCK_H

#include "silicon/cpu/exec.h"

#define BLOCK_MAX 64

struct block {
    uint16_t n;     /* instructions; ops[n] is the terminator */
    uint16_t first; /* offset of the first byte in its frame */
    uint16_t bytes; /* length; may reach into the next page (then not found by frame) */
    uint8_t decode;
    dram_key key;
    uint64_t frame;
    struct block *link[2];    /* fall through, taken; NULL: ask run() */
    struct block *next_at;    /* of those in the same bucket of the frame */
    struct block *next_other; /* for a page-crossing block: next in its second frame */
    struct op ops[];
};

/* Where a RIP leads in a TLB context. A page's entries lie together, 64 of them. */
struct jump {
    uint64_t rip;
    uint64_t tag; /* jump_tag(), 0: empty */
    struct block *to;
};
#define JUMPS 4096u

static inline unsigned jump_slot(uint64_t rip)
{
    return (unsigned)(((rip >> 12 ^ rip >> 18) & 63) << 6 | ((rip ^ rip >> 6) & 63));
}

static inline uint64_t jump_tag(const struct cpu *c)
{
    return c->ctx | (uint64_t)c->decode << 12 | BIT(32);
}

/* ops[n].imm of a block is the block. */
static inline struct block *block_of_last(const struct op *last)
{
    return (struct block *)(uintptr_t)last[1].imm;
}

/* Goes on with the ops of a block. */
#ifdef THREADED
#define RUN_OPS(c, first) return (first)->fn((c), (first))
#else
#define RUN_OPS(c, first)                                                                          \
    do {                                                                                           \
        (c)->next = (first);                                                                       \
        return;                                                                                    \
    } while (0)
#endif

/* The tail of every routine that ends a block: go to `to`, at `rip`, if the budget allows. */
#define ENTER(c, to, at)                                                                           \
    do {                                                                                           \
        if (UNLIKELY(((c)->budget -= (to)->n) < 0)) {                                              \
            (c)->budget += (to)->n;                                                                \
            (c)->rip = (at);                                                                       \
            LEAVE(c);                                                                              \
        }                                                                                          \
        (c)->r[REG_BLOCK] = (at);                                                                  \
        RUN_OPS(c, (to)->ops);                                                                     \
    } while (0)

/* Ends a routine: a branch to a RIP known only now (indirect, far from here). */
#define JUMP_TO(c, o, where)                                                                       \
    do {                                                                                           \
        uint64_t jump_rip = (where);                                                               \
        const struct jump *jump_at = &(c)->jumps[jump_slot(jump_rip)];                             \
                                                                                                   \
        if (LIKELY(jump_at->rip == jump_rip && jump_at->tag == jump_tag(c)))                       \
            ENTER(c, jump_at->to, jump_rip);                                                       \
        (c)->rip = jump_rip;                                                                       \
        LEAVE(c);                                                                                  \
    } while (0)

/* Ends a routine: a direct branch, 64-bit mode. `o` is its block's last op, `taken` 0 or 1, `where`
 * the RIP. A missing link is made by run() when the target lies in the same page. */
#define JUMP_DIRECT(c, o, taken, where)                                                            \
    do {                                                                                           \
        uint64_t direct_rip = (where);                                                             \
        struct block *direct_from = block_of_last(o);                                              \
        struct block *direct_to = direct_from->link[taken];                                        \
                                                                                                   \
        if (LIKELY(direct_to))                                                                     \
            ENTER(c, direct_to, direct_rip);                                                       \
        if ((direct_rip ^ (c)->r[REG_BLOCK]) >> 12)                                                \
            JUMP_TO(c, o, direct_rip);                                                             \
        (c)->link_from = direct_from;                                                              \
        (c)->link_which = (taken);                                                                 \
        (c)->rip = direct_rip;                                                                     \
        LEAVE(c);                                                                                  \
    } while (0)

/* Ends a routine with `o` not done, to be run again from run(): a string instruction that pauses.
 * What it did so far must be in the registers. */
#define LEAVE_AT(c, o)                                                                             \
    do {                                                                                           \
        (c)->budget += (o)->left + 1;                                                              \
        (c)->rip = op_rip((c), (o));                                                               \
        LEAVE(c);                                                                                  \
    } while (0)

/* Where an instruction at `rip` lies. */
static inline uint64_t code_linear(const struct cpu *c, uint64_t rip)
{
    return long64(c) ? rip : (uint32_t)(c->seg[CS].base + rip);
}

/* [off, off+len) of `frame` was written by core `c`: blocks of every core that overlap die. */
void blocks_written(struct cpu *c, uint64_t frame, unsigned off, unsigned len);

#endif
