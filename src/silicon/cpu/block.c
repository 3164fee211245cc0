/* The block cache: see block.h. One per core; its memory is one arena, emptied as a whole. */
#include "silicon/cpu/block.h"

#include "silicon/cpu/probe.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LONGEST_INSN  15u
#define ARENA_BYTES   (64u << 20)
#define FRAME_BUCKETS 4096u
#define CHUNKS        64u /* a frame's bytes by 64: which have been decoded */

/* A frame that holds code. */
struct code_frame {
    uint64_t frame;
    uint64_t chunks; /* bit per 64 bytes: a block covers some of them */
    struct code_frame *next;
    struct block *crossing;   /* blocks that begin in the page before (by next_other) */
    struct block *at[CHUNKS]; /* blocks that begin in each 64 bytes */
};

struct blocks {
    uint8_t *arena;
    size_t used;
    unsigned emptied; /* how often */
    struct code_frame *frames[FRAME_BUCKETS];
    struct block *brief; /* block_short's own */
};

static void leave_dead(struct cpu *c, const struct op *o)
{
    LEAVE_AT(c, o);
}

/* The terminator of a block that ends without a branch. */
static void leave_end(struct cpu *c, const struct op *o)
{
    struct block *from = (struct block *)(uintptr_t)o->imm;
    uint64_t rip = c->r[REG_BLOCK] + o->off;

    if (!long64(c)) {
        c->rip = (uint32_t)rip;
        LEAVE(c);
    }
    if (LIKELY(from->link[0]))
        ENTER(c, from->link[0], rip);
    if ((rip ^ c->r[REG_BLOCK]) >> 12)
        JUMP_TO(c, o, rip);
    c->link_from = from;
    c->link_which = 0;
    c->rip = rip;
    LEAVE(c);
}

/* ---- memory ---- */
enum status blocks_init(struct cpu *c, struct error *err)
{
    struct blocks *b = calloc(1, sizeof(*b));

    c->blocks = b;
    c->jumps = calloc(JUMPS, sizeof(*c->jumps));
    if (!b || !c->jumps)
        return fail(err, ERR_NOMEM, "no memory for a core's block cache");
    b->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    b->brief = calloc(1, sizeof(struct block) + (BLOCK_MAX + 1) * sizeof(struct op));
    if (b->arena == MAP_FAILED || !b->brief)
        return fail(err, ERR_NOMEM, "no memory for a core's block cache");
    return OK;
}

void blocks_free(struct cpu *c)
{
    struct blocks *b = c->blocks;

    free(c->jumps);
    if (!b)
        return;
    if (b->arena && b->arena != MAP_FAILED)
        munmap(b->arena, ARENA_BYTES);
    free(b->brief);
    free(b);
}

static void empty(struct cpu *c)
{
    struct blocks *b = c->blocks;

    b->used = 0;
    b->emptied++;
    memset(b->frames, 0, sizeof(b->frames));
    blocks_drop_lookups(c);
}

static void *take(struct blocks *b, size_t size)
{
    void *p = b->arena + b->used;

    b->used += (size + 15) & ~(size_t)15;
    return p;
}

#define WORST                                                                                      \
    (sizeof(struct block) + (BLOCK_MAX + 1) * sizeof(struct op) + 2 * sizeof(struct code_frame) +  \
     64)

/* ---- frames ---- */
static struct code_frame *find_frame(struct blocks *b, uint64_t frame)
{
    struct code_frame *f = b->frames[frame % FRAME_BUCKETS];

    while (f && f->frame != frame)
        f = f->next;
    return f;
}

static struct code_frame *get_frame(struct cpu *c, uint64_t frame)
{
    struct blocks *b = c->blocks;
    struct code_frame *f = find_frame(b, frame);

    if (!f) {
        f = take(b, sizeof(*f));
        memset(f, 0, sizeof(*f));
        f->frame = frame;
        f->next = b->frames[frame % FRAME_BUCKETS];
        b->frames[frame % FRAME_BUCKETS] = f;
    }
    if (!f->chunks) {
        dram_mark(c->dram, frame, FRAME_CODE);
        soc_code_frame(c->soc, frame);
    }
    return f;
}

static uint64_t chunk_bits(unsigned from, unsigned to)
{
    uint64_t up_to = ~UINT64_C(0) >> (63 - (to >> 6));

    return up_to & ~UINT64_C(0) << (from >> 6);
}

/* ---- decoding ---- */
struct source {
    struct code_page page;
    uint64_t la;   /* linear address of the first byte */
    unsigned off;  /* in its frame */
    unsigned room; /* bytes from there to the end of the page or of the code segment */
    uint8_t bytes[BLOCK_MAX * LONGEST_INSN + LONGEST_INSN];
    unsigned avail; /* of them */
    bool crossed;   /* bytes of the next page were fetched too */
    struct code_page other;
};

static void read_page(struct cpu *c, const struct code_page *p, uint8_t *to, unsigned off,
                      unsigned n)
{
    if (!dram_read(c->dram, p->frame << FRAME_SHIFT | off, p->key, to, n))
        memset(to, 0xFF, n); /* beyond DRAM: nobody answers */
}

static void open_source(struct cpu *c, struct source *s, uint64_t rip)
{
    s->la = code_linear(c, rip);
    s->page = mmu_fetch(c, s->la);
    s->off = s->la & FRAME_MASK;
    s->room = FRAME_SIZE - s->off;
    s->avail = 0;
    s->crossed = false;
    if (!long64(c)) { /* the CS limit ends code too */
        uint64_t limit = c->seg[CS].limit;

        if (rip > limit)
            cpu_fault(c, NULL, EXC_GP, 0);
        s->room = (unsigned)MIN(s->room, limit - rip + 1);
    }
}

/* What up to `max` instructions can need of this page. */
static void read_source(struct cpu *c, struct source *s, unsigned max)
{
    s->avail = MIN(s->room, max * LONGEST_INSN);
    read_page(c, &s->page, s->bytes, s->off, s->avail);
}

/* The instruction at the very end of the page needs bytes of the next: fetch them, or fault. Blocks
 * whose first instruction this is are the only ones that cross, so `bytes` has room. */
static void cross_page(struct cpu *c, struct source *s)
{
    unsigned here = FRAME_SIZE - s->off;

    if (s->room < here) /* the CS limit, not the page, cut it off */
        cpu_fault(c, NULL, EXC_GP, 0);
    s->other = mmu_fetch(c, s->la + here);
    s->crossed = true;
    read_page(c, &s->other, s->bytes + here, 0, LONGEST_INSN);
    s->avail = here + LONGEST_INSN;
}

/* Fills b->ops from `s`; at most `max` instructions, at least one. `probed`: with an op before each
 * that has a code point of the debug port on it. */
static void decode_block(struct cpu *c, struct source *s, struct block *b, unsigned max,
                         bool probed)
{
    unsigned at = 0, n = 0;

    read_source(c, s, max);
    while (n < max && at < s->avail) {
        struct op *o = &b->ops[n];
        unsigned len;

        if (probed && probe_at_code(c, s->la + at)) {
            if (n + 1 == max)
                break;
            *o++ = (struct op){.fn = probe_op, .off = (uint16_t)at};
            n++;
        }
        o->off = (uint16_t)at;
        len = decode_insn(c, s->bytes + at, MIN(LONGEST_INSN, s->avail - at), c->decode, o);
        if (!len) {
            if (at)
                break;
            cross_page(c, s);
            len = decode_insn(c, s->bytes + at, MIN(LONGEST_INSN, s->avail - at), c->decode, o);
        }
        at += len;
        n++;
        if (op_ends_block(o))
            break;
    }
    b->n = (uint16_t)n;
    b->bytes = (uint16_t)at;
    for (unsigned i = 0; i < n; i++)
        b->ops[i].left = (uint8_t)(n - 1 - i);
    b->ops[n] = (struct op){.fn = leave_end, .imm = (uintptr_t)b, .off = (uint16_t)at};
    b->first = (uint16_t)s->off;
    b->frame = s->page.frame;
    b->key = s->page.key;
    b->decode = c->decode;
    b->link[0] = b->link[1] = NULL;
}

static void remember_jump(struct cpu *c, uint64_t rip, struct block *b)
{
    c->jumps[jump_slot(rip)] = (struct jump){.rip = rip, .tag = jump_tag(c), .to = b};
}

static struct block *find_at(const struct cpu *c, const struct code_frame *f,
                             const struct source *s)
{
    struct block *b = f ? f->at[s->off >> 6] : NULL;

    while (b && !(b->first == s->off && b->decode == c->decode && b->key == s->page.key))
        b = b->next_at;
    return b;
}

struct block *block_find(struct cpu *c, uint64_t rip)
{
    struct jump *j = &c->jumps[jump_slot(rip)];
    struct blocks *bs = c->blocks;
    struct code_frame *f;
    struct source s;
    struct block *b;

    if (j->rip == rip && j->tag == jump_tag(c))
        return j->to;
    open_source(c, &s, rip);
    b = find_at(c, find_frame(bs, s.page.frame), &s);
    if (b && (long64(c) || b->bytes <= s.room)) {
        remember_jump(c, rip, b);
        return b;
    }
    if (bs->used + WORST > ARENA_BYTES)
        empty(c);
    b = (struct block *)(bs->arena + bs->used);
    decode_block(c, &s, b, BLOCK_MAX, true);
    take(bs, sizeof(*b) + (b->n + 1u) * sizeof(struct op));
    f = get_frame(c, s.page.frame);
    f->chunks |= chunk_bits(s.off, MIN(s.off + b->bytes, FRAME_SIZE) - 1);
    if (s.crossed) {
        /* Not found by frame: its second half depends on the translation of the next page. */
        struct code_frame *g = get_frame(c, s.other.frame);

        g->chunks |= 1;
        b->next_at = f->crossing;
        f->crossing = b;
        if (g != f) {
            b->next_other = g->crossing;
            g->crossing = b;
        }
    } else {
        b->next_at = f->at[s.off >> 6];
        f->at[s.off >> 6] = b;
    }
    remember_jump(c, rip, b);
    return b;
}

struct block *block_short(struct cpu *c, uint64_t rip, unsigned max)
{
    struct source s;

    open_source(c, &s, rip);
    decode_block(c, &s, c->blocks->brief, MIN(max, BLOCK_MAX), false);
    return c->blocks->brief;
}

/* ---- death ---- */
static void kill_block(struct block *b)
{
    for (unsigned i = 0; i < b->n; i++)
        b->ops[i].fn = leave_dead;
    b->link[0] = b->link[1] = NULL;
}

/* Everything on the frame dies: links between its blocks, and lookups that lead to it. */
static void kill_frame(struct cpu *c, struct code_frame *f)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        for (struct block *b = f->at[i]; b; b = b->next_at)
            kill_block(b);
        f->at[i] = NULL;
    }
    /* Crossing blocks hang in two frames by different fields; which one this is shows in frame. */
    for (struct block *b = f->crossing, *next; b; b = next) {
        next = b->frame == f->frame ? b->next_at : b->next_other;
        kill_block(b);
    }
    f->crossing = NULL;
    f->chunks = 0;
    for (unsigned i = 0; i < JUMPS; i++)
        if (c->jumps[i].tag && c->jumps[i].to->ops[0].fn == leave_dead)
            c->jumps[i].tag = 0;
}

void block_link(struct cpu *c, uint64_t rip)
{
    unsigned emptied = c->blocks->emptied;
    struct block *from = c->link_from, *to;

    c->link_from = NULL;
    to = block_find(c, rip);
    /* A crossing block depends on a second translation: it is found by `jumps` alone. */
    if (emptied == c->blocks->emptied && from->ops[0].fn != leave_dead &&
        to->first + to->bytes <= (int)FRAME_SIZE)
        from->link[c->link_which] = to;
}

void blocks_drop_frame(struct cpu *c, uint64_t frame)
{
    struct code_frame *f = find_frame(c->blocks, frame);
    struct block *brief = c->blocks->brief;

    if (brief->n && brief->frame == frame)
        kill_block(brief);
    if (f && f->chunks)
        kill_frame(c, f);
}

bool blocks_overlap(struct cpu *c, uint64_t frame, unsigned off, unsigned len)
{
    const struct code_frame *f = find_frame(c->blocks, frame);
    const struct block *brief = c->blocks->brief;

    if (brief->n && brief->frame == frame && off < brief->first + brief->bytes + 0u &&
        off + len > brief->first)
        return true;
    return f && f->chunks & chunk_bits(off, off + len - 1);
}

bool blocks_on_frame(struct cpu *c, uint64_t frame)
{
    const struct code_frame *f = find_frame(c->blocks, frame);

    return f && f->chunks;
}

void blocks_drop_all(struct cpu *c)
{
    empty(c);
}

void blocks_drop_page(struct cpu *c, uint64_t la)
{
    /* The page's 64 entries, and a crossing block that began in the page before. */
    memset(&c->jumps[jump_slot(PAGE_OF(la)) & ~63u], 0, 64 * sizeof(struct jump));
    memset(&c->jumps[jump_slot(PAGE_OF(la) - 1) & ~63u], 0, 64 * sizeof(struct jump));
}

void blocks_drop_lookups(struct cpu *c)
{
    memset(c->jumps, 0, JUMPS * sizeof(*c->jumps));
}
