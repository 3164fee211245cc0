/* Frames, tags and key objects; see dram.h.
 *
 * One rule carries the file: a frame's true content is its ciphertext, E_tag(bytes), where E_plain
 * changes nothing. Whoever reads or writes under another key goes through that ciphertext. Under
 * `eager` every tag stays plain, so that the bytes are the ciphertext itself.
 */
#include "silicon/dram/dram.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/memcrypt.h"

#define KEYS  65536u
#define SLOTS 2048u

struct key {
    struct memcrypt_key crypt;
    uint64_t holders; /* owner, slots bound to it, frames seen under it */
    uint64_t frames;  /* the frames among them */
};

struct dram {
    uint8_t *bytes;
    dram_key *seen_under; /* per frame */
    uint8_t *marks;       /* per frame: enum frame_mark */
    uint64_t size, frames;
    uint64_t retags; /* how often a frame's tag has changed */
    bool eager;
    dram_watch_fn *watcher;
    void *watcher_ctx;
    dram_key slots[SLOTS];
    dram_key last_new; /* the search for a free number starts after it */
    bool owned[KEYS];
    struct key *keys[KEYS]; /* [DRAM_PLAIN] stays NULL */
};

/* ---- memory -------------------------------------------------------------------------------- */

static void *reserve(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, uint64_t bytes)
{
    if (p)
        munmap(p, bytes);
}

enum status dram_new(uint64_t bytes, bool eager, struct dram **out, struct error *err)
{
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct dram *d;

    if (!bytes || bytes & FRAME_MASK)
        return fail(err, ERR_ARG, "DRAM of %llu bytes: it must be a multiple of %u",
                    (unsigned long long)bytes, FRAME_SIZE);
    if (bytes > machine)
        return fail(err, ERR_NOMEM,
                    "%llu MiB of DRAM are more than this machine's %llu MiB; ask for less memory",
                    (unsigned long long)(bytes >> 20), (unsigned long long)(machine >> 20));
    d = calloc(1, sizeof(*d));
    if (!d)
        return fail(err, ERR_NOMEM, "no memory for the tables of DRAM");
    d->size = bytes;
    d->frames = bytes >> FRAME_SHIFT;
    d->eager = eager;
    d->bytes = reserve(bytes);
    d->seen_under = reserve(d->frames * sizeof(*d->seen_under));
    d->marks = reserve(d->frames);
    if (!d->bytes || !d->seen_under || !d->marks) {
        dram_free(d);
        return fail(err, ERR_NOMEM, "the system refuses %llu MiB of memory for DRAM",
                    (unsigned long long)(bytes >> 20));
    }
    (void)madvise(d->bytes, bytes, MADV_HUGEPAGE); /* a wish: fewer TLB misses on the host */
    *out = d;
    return OK;
}

void dram_free(struct dram *d)
{
    if (!d)
        return;
    for (unsigned i = 0; i < KEYS; i++)
        free(d->keys[i]);
    release(d->bytes, d->size);
    release(d->seen_under, d->frames * sizeof(*d->seen_under));
    release(d->marks, d->frames);
    free(d);
}

uint64_t dram_size(const struct dram *d)
{
    return d->size;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void hold(struct dram *d, dram_key key)
{
    if (key != DRAM_PLAIN)
        d->keys[key]->holders++;
}

static void let_go(struct dram *d, dram_key key)
{
    if (key == DRAM_PLAIN || --d->keys[key]->holders)
        return;
    explicit_bzero(d->keys[key], sizeof(*d->keys[key]));
    free(d->keys[key]);
    d->keys[key] = NULL;
}

static void hear(struct dram *d, uint64_t frame, enum frame_mark why)
{
    if (!(d->marks[frame] & why))
        return;
    d->marks[frame] &= (uint8_t)~why;
    if (d->watcher)
        d->watcher(d->watcher_ctx, frame, why);
}

/* Bytes seen under `was` as `now` sees them, through their ciphertext. `to` may equal `from`. */
static void transcode(const struct dram *d, uint64_t frame, unsigned first, unsigned blocks,
                      dram_key was, dram_key now, void *to, const void *from)
{
    if (was == now) {
        memmove(to, from, (size_t)blocks * MEMCRYPT_BLOCK);
        return;
    }
    if (was != DRAM_PLAIN) {
        memcrypt_encrypt(&d->keys[was]->crypt, frame, first, blocks, to, from);
        from = to;
    }
    if (now != DRAM_PLAIN)
        memcrypt_decrypt(&d->keys[now]->crypt, frame, first, blocks, to, from);
}

/* Names another key for the frame's bytes, which the caller has made fit (or is about to). */
static void retag(struct dram *d, uint64_t frame, dram_key key)
{
    dram_key was = d->seen_under[frame];

    d->seen_under[frame] = key;
    d->retags++;
    if (key != DRAM_PLAIN)
        d->keys[key]->frames++;
    hold(d, key);
    if (was != DRAM_PLAIN)
        d->keys[was]->frames--;
    let_go(d, was);
}

static void see_under(struct dram *d, uint64_t frame, dram_key key)
{
    uint8_t *bytes = d->bytes + (frame << FRAME_SHIFT);

    hear(d, frame, FRAME_CACHED);
    transcode(d, frame, 0, MEMCRYPT_FRAME_BLOCKS, d->seen_under[frame], key, bytes, bytes);
    retag(d, frame, key);
}

static bool held_by_frames_alone(const struct dram *d, dram_key key)
{
    return key != DRAM_PLAIN && d->keys[key]->holders == d->keys[key]->frames;
}

/* Turns what is left of guests long gone into plain ciphertext, so that their key numbers are free
 * again. No access can tell. */
static void reclaim_keys(struct dram *d)
{
    for (uint64_t frame = 0; frame < d->frames; frame++)
        if (held_by_frames_alone(d, d->seen_under[frame]))
            see_under(d, frame, DRAM_PLAIN);
}

static dram_key free_number(const struct dram *d)
{
    for (unsigned i = 1; i < KEYS; i++) {
        dram_key key = (dram_key)(d->last_new + i);

        if (key != DRAM_PLAIN && !d->keys[key])
            return key;
    }
    return DRAM_PLAIN;
}

dram_key dram_key_new(struct dram *d, const uint8_t seed[32])
{
    dram_key key = free_number(d);

    if (key == DRAM_PLAIN) {
        reclaim_keys(d);
        key = free_number(d);
    }
    if (key == DRAM_PLAIN)
        return DRAM_PLAIN;
    d->keys[key] = aligned_alloc(_Alignof(struct key), sizeof(struct key));
    if (!d->keys[key])
        return DRAM_PLAIN;
    *d->keys[key] = (struct key){.holders = 1};
    memcrypt_key_init(&d->keys[key]->crypt, seed);
    d->owned[key] = true;
    d->last_new = key;
    return key;
}

void dram_key_drop(struct dram *d, dram_key key)
{
    if (!d->owned[key])
        return;
    d->owned[key] = false;
    let_go(d, key);
}

void dram_bind(struct dram *d, unsigned asid, dram_key key)
{
    dram_key was;

    if (asid == 0 || asid >= SLOTS || (key != DRAM_PLAIN && !d->keys[key]))
        return;
    was = d->slots[asid];
    hold(d, key);
    d->slots[asid] = key;
    let_go(d, was);
}

dram_key dram_bound(const struct dram *d, unsigned asid)
{
    return asid < SLOTS ? d->slots[asid] : DRAM_PLAIN;
}

/* ---- accesses ------------------------------------------------------------------------------ */

uint8_t *dram_touch(struct dram *d, uint64_t frame, dram_key key)
{
    if (d->eager || frame >= d->frames)
        return NULL;
    if (d->seen_under[frame] != key)
        see_under(d, frame, key);
    return d->bytes + (frame << FRAME_SHIFT);
}

uint64_t dram_retags(const struct dram *d)
{
    return d->retags;
}

/* The whole 16-byte blocks that an access inside a frame touches. */
struct span {
    unsigned first, blocks, skip; /* `skip`: bytes of the first block before the access */
};

static struct span span_of(unsigned offset, size_t len)
{
    unsigned first = offset / MEMCRYPT_BLOCK;
    unsigned last = (unsigned)(offset + len - 1) / MEMCRYPT_BLOCK;

    return (struct span){first, last - first + 1, offset % MEMCRYPT_BLOCK};
}

/* Another key than the frame's tag: through the ciphertext, block by block. */
static void peek(const struct dram *d, uint64_t frame, unsigned offset, dram_key key, void *to,
                 size_t len)
{
    const struct span s = span_of(offset, len);
    const uint8_t *bytes = d->bytes + (frame << FRAME_SHIFT) + s.first * MEMCRYPT_BLOCK;
    uint8_t view[FRAME_SIZE];

    transcode(d, frame, s.first, s.blocks, d->seen_under[frame], key, view, bytes);
    memcpy(to, view + s.skip, len);
}

static void patch(struct dram *d, uint64_t frame, unsigned offset, dram_key key, const void *from,
                  size_t len)
{
    const struct span s = span_of(offset, len);
    uint8_t *bytes = d->bytes + (frame << FRAME_SHIFT) + s.first * MEMCRYPT_BLOCK;
    dram_key tag = d->seen_under[frame];
    uint8_t view[FRAME_SIZE];

    transcode(d, frame, s.first, s.blocks, tag, key, view, bytes);
    memcpy(view + s.skip, from, len);
    transcode(d, frame, s.first, s.blocks, key, tag, bytes, view);
}

static void read_inside(const struct dram *d, uint64_t frame, unsigned offset, dram_key key,
                        void *to, size_t len)
{
    if (d->seen_under[frame] == key)
        memcpy(to, d->bytes + (frame << FRAME_SHIFT) + offset, len);
    else
        peek(d, frame, offset, key, to, len);
}

/* A whole frame that has these bytes already: zeros where nobody has written yet take no memory of
 * the machine's, and a launch writes gigabytes of them. */
static bool is_there(const struct dram *d, uint64_t frame, const void *from, size_t len)
{
    return len == FRAME_SIZE && memcmp(d->bytes + (frame << FRAME_SHIFT), from, len) == 0;
}

static void write_inside(struct dram *d, uint64_t frame, unsigned offset, dram_key key,
                         const void *from, size_t len)
{
    if (d->seen_under[frame] != key && len == FRAME_SIZE && !d->eager) {
        hear(d, frame, FRAME_CACHED);
        retag(d, frame, key);
    }
    if (d->seen_under[frame] != key)
        patch(d, frame, offset, key, from, len);
    else if (!is_there(d, frame, from, len))
        memcpy(d->bytes + (frame << FRAME_SHIFT) + offset, from, len);
    hear(d, frame, FRAME_CODE);
}

static bool in_dram(const struct dram *d, uint64_t spa, size_t len)
{
    return spa <= d->size && len <= d->size - spa;
}

bool dram_read(struct dram *d, uint64_t spa, dram_key key, void *to, size_t len)
{
    uint8_t *at = to;

    if (!in_dram(d, spa, len))
        return false;
    while (len) {
        unsigned offset = (unsigned)(spa & FRAME_MASK);
        size_t n = MIN(len, FRAME_SIZE - offset);

        read_inside(d, spa >> FRAME_SHIFT, offset, key, at, n);
        spa += n;
        at += n;
        len -= n;
    }
    return true;
}

bool dram_write(struct dram *d, uint64_t spa, dram_key key, const void *from, size_t len)
{
    const uint8_t *at = from;

    if (!in_dram(d, spa, len))
        return false;
    while (len) {
        unsigned offset = (unsigned)(spa & FRAME_MASK);
        size_t n = MIN(len, FRAME_SIZE - offset);

        write_inside(d, spa >> FRAME_SHIFT, offset, key, at, n);
        spa += n;
        at += n;
        len -= n;
    }
    return true;
}

/* ---- watching ------------------------------------------------------------------------------ */

void dram_watch(struct dram *d, dram_watch_fn *fn, void *ctx)
{
    d->watcher = fn;
    d->watcher_ctx = ctx;
}

void dram_mark(struct dram *d, uint64_t frame, enum frame_mark mark)
{
    if (frame < d->frames)
        d->marks[frame] |= (uint8_t)mark;
}

void dram_unmark(struct dram *d, uint64_t frame, enum frame_mark mark)
{
    if (frame < d->frames)
        d->marks[frame] &= (uint8_t)~mark;
}

bool dram_marked(const struct dram *d, uint64_t frame, enum frame_mark mark)
{
    return frame < d->frames && d->marks[frame] & mark;
}
