/* Split virtqueues (virtio 1.2, 2.7): chains are copied out once and judged, then moved by DMA. */
#include "host/device/virtio.h"

#include <stdatomic.h>

#include "base/log.h"

/* Where things lie in the three parts of a ring of `size` entries (2.7.5, 2.7.6, 2.7.8). */
#define DESC_SIZE              16u
#define AVAIL_FLAGS            0u
#define AVAIL_IDX              2u
#define AVAIL_ENTRY(i)         (4u + 2u * (i))
#define AVAIL_USED_EVENT(size) (4u + 2u * (size))
#define USED_IDX               2u
#define USED_ENTRY(i)          (4u + 8u * (i))
#define USED_AVAIL_EVENT(size) (4u + 8u * (size))
#define AVAIL_F_NO_INTERRUPT   1u

#define DESC_F_NEXT     1u
#define DESC_F_WRITE    2u
#define DESC_F_INDIRECT 4u

struct desc {
    uint64_t gpa;
    uint32_t len;
    uint16_t flags, next;
};
static_assert(sizeof(struct desc) == DESC_SIZE, "virtio 1.2, 2.7.5");

void queue_break(struct queue *q, const char *why)
{
    if (tracing(TRACE_VIRTIO))
        trace(TRACE_VIRTIO, "%s: queue %u is bad: %s", q->dev->model->name, q->index, why);
    virtio_needs_reset(q->dev, why);
}

static bool ring_read(struct queue *q, uint64_t gpa, void *to, size_t len)
{
    if (dma_read(q->dev->board, gpa, to, len))
        return true;
    queue_break(q, "a part of the ring is outside guest memory");
    return false;
}

static bool ring_write(struct queue *q, uint64_t gpa, const void *from, size_t len)
{
    if (dma_write(q->dev->board, gpa, from, len))
        return true;
    queue_break(q, "a part of the ring is outside guest memory");
    return false;
}

/* ---- a chain, copied out ---- */

static bool chain_add(struct chain *c, const struct desc *d)
{
    bool in = d->flags & DESC_F_WRITE;
    uint64_t *total = in ? &c->in_len : &c->out_len;
    unsigned n = c->outs + c->ins;

    if (!in && c->ins) {
        queue_break(c->queue, "a chain reads after it writes"); /* 2.7.4.2 */
        return false;
    }
    if (d->gpa + d->len < d->gpa) {
        queue_break(c->queue, "a descriptor wraps around the address space");
        return false;
    }
    if (c->in_len + c->out_len + d->len > UINT32_MAX) {
        queue_break(c->queue, "a chain is longer than 4 GiB"); /* 2.7.5 */
        return false;
    }
    *total += d->len;
    if (!d->len)
        return true;
    /* Parts that touch become one: framing means nothing (2.7.4), and DMA likes long moves. */
    if ((in ? c->ins : c->outs) && c->part[n - 1].gpa + c->part[n - 1].len == d->gpa) {
        c->part[n - 1].len += d->len;
        return true;
    }
    if (n == VIRTIO_RING_MAX) {
        queue_break(c->queue, "a chain has more parts than the largest ring");
        return false;
    }
    c->part[n].gpa = d->gpa;
    c->part[n].len = d->len;
    if (in)
        c->ins++;
    else
        c->outs++;
    return true;
}

/* 2.7.5.3: a table that holds a whole chain, starting at its first entry. */
static bool chain_indirect(struct chain *c, const struct desc *d)
{
    struct desc table[VIRTIO_RING_MAX];
    struct queue *q = c->queue;
    uint32_t n = d->len / DESC_SIZE;

    if (!virtio_has(q->dev, VIRTIO_F_INDIRECT_DESC) || (d->flags & DESC_F_NEXT)) {
        queue_break(q, "an indirect descriptor where none may be");
        return false;
    }
    if (!n || n > VIRTIO_RING_MAX || d->len % DESC_SIZE) {
        queue_break(q, "an indirect table of an impossible length");
        return false;
    }
    if (!ring_read(q, d->gpa, table, d->len))
        return false;
    for (uint32_t at = 0, steps = 0;; at = table[at].next) {
        if (at >= n || steps++ == n || (table[at].flags & DESC_F_INDIRECT)) {
            queue_break(q, "an indirect table that loops, nests or leaves its bounds");
            return false;
        }
        if (!chain_add(c, &table[at]))
            return false;
        if (!(table[at].flags & DESC_F_NEXT))
            return true;
    }
}

static bool chain_copy(struct chain *c)
{
    struct queue *q = c->queue;
    uint16_t at = c->head;

    for (unsigned steps = 0;; steps++) {
        struct desc d;

        if (at >= q->size || steps == q->size) {
            queue_break(q, "a chain that loops or leaves the ring");
            return false;
        }
        if (!ring_read(q, q->desc + (uint64_t)at * DESC_SIZE, &d, sizeof(d)))
            return false;
        if (d.flags & DESC_F_INDIRECT)
            return chain_indirect(c, &d);
        if (!chain_add(c, &d))
            return false;
        if (!(d.flags & DESC_F_NEXT))
            return true;
        at = d.next;
    }
}

/* ---- the ring ---- */

static bool avail_refresh(struct queue *q)
{
    uint16_t idx;

    if (!ring_read(q, q->avail + AVAIL_IDX, &idx, sizeof(idx)))
        return false;
    if ((uint16_t)(idx - q->next_avail) > q->size) {
        queue_break(q, "the available index runs ahead of the ring");
        return false;
    }
    atomic_thread_fence(memory_order_acquire); /* entries are read after the index */
    q->seen_avail = idx;
    return true;
}

/* Whether there is a chain to take; arms the driver's next kick where there is none. */
static bool avail_any(struct queue *q)
{
    if (q->next_avail != q->seen_avail)
        return true;
    if (!avail_refresh(q))
        return false;
    if (q->next_avail != q->seen_avail || !virtio_has(q->dev, VIRTIO_F_EVENT_IDX))
        return q->next_avail != q->seen_avail;
    if (!ring_write(q, q->used + USED_AVAIL_EVENT(q->size), &q->next_avail, 2))
        return false;
    atomic_thread_fence(memory_order_seq_cst); /* the driver may have looked before the write */
    return avail_refresh(q) && q->next_avail != q->seen_avail;
}

bool queue_take(struct queue *q, struct chain *c)
{
    if (!q->enabled || !virtio_live(q->dev) || !q->budget || !avail_any(q))
        return false;
    c->queue = q;
    c->outs = c->ins = 0;
    c->out_len = c->in_len = 0;
    if (!ring_read(q, q->avail + AVAIL_ENTRY(q->next_avail % q->size), &c->head, sizeof(c->head)) ||
        !chain_copy(c))
        return false;
    q->next_avail++;
    q->budget -= (unsigned)MIN(q->budget, 1 + (c->in_len + c->out_len) / VIRTIO_UNIT);
    return true;
}

void queue_untake(struct queue *q, uint16_t n)
{
    q->next_avail -= n;
    q->budget += n;
}

void queue_give(struct queue *q, const struct chain *c, uint64_t written)
{
    uint8_t entry[8];

    if (!virtio_live(q->dev))
        return;
    store32(entry, c->head);
    store32(entry + 4, (uint32_t)MIN(written, UINT32_MAX));
    if (ring_write(q, q->used + USED_ENTRY(q->next_used % q->size), entry, sizeof(entry)))
        q->next_used++;
}

/* 2.7.7, 2.7.10: does the driver want to hear of the used entries in [was, q->published)? */
static bool wants_interrupt(struct queue *q, uint16_t was)
{
    uint16_t word;

    if (virtio_has(q->dev, VIRTIO_F_EVENT_IDX))
        return ring_read(q, q->avail + AVAIL_USED_EVENT(q->size), &word, sizeof(word)) &&
               (uint16_t)(q->published - word - 1) < (uint16_t)(q->published - was);
    return ring_read(q, q->avail + AVAIL_FLAGS, &word, sizeof(word)) &&
           !(word & AVAIL_F_NO_INTERRUPT);
}

void queue_publish(struct queue *q)
{
    uint16_t was = q->published;

    q->budget = VIRTIO_BUDGET;
    if (q->next_used == was || !virtio_live(q->dev))
        return;
    atomic_thread_fence(memory_order_release); /* entries are seen before the index */
    if (!ring_write(q, q->used + USED_IDX, &q->next_used, sizeof(q->next_used)))
        return;
    q->published = q->next_used;
    atomic_thread_fence(memory_order_seq_cst); /* the driver's wish is read after that */
    if (wants_interrupt(q, was))
        virtio_signal(q->dev, q->vector, VIRTIO_ISR_QUEUE);
}

/* ---- bytes ---- */

static size_t chain_move(struct chain *c, bool in, uint64_t off, uint8_t *bytes, size_t len)
{
    unsigned i = in ? c->outs : 0, end = in ? c->outs + c->ins : c->outs;
    size_t done = 0;

    for (; i < end && done < len; i++) {
        uint64_t gpa = c->part[i].gpa + off;
        size_t step;
        bool ok;

        if (off >= c->part[i].len) {
            off -= c->part[i].len;
            continue;
        }
        step = MIN(c->part[i].len - off, len - done);
        ok = in ? dma_write(c->queue->dev->board, gpa, bytes + done, step)
                : dma_read(c->queue->dev->board, gpa, bytes + done, step);
        if (!ok) {
            queue_break(c->queue, "a buffer is outside guest memory");
            break;
        }
        done += step;
        off = 0;
    }
    return done;
}

size_t chain_read(struct chain *c, uint64_t off, void *to, size_t len)
{
    return chain_move(c, false, off, to, len);
}

size_t chain_write(struct chain *c, uint64_t off, const void *from, size_t len)
{
    return chain_move(c, true, off, (uint8_t *)from, len);
}

size_t chain_fill(struct chain *c, void (*make)(void *ctx, void *to, size_t len), void *ctx)
{
    uint8_t bytes[4096];
    size_t want = MIN(c->in_len, 65536), done = 0;

    while (done < want) {
        size_t step = MIN(sizeof(bytes), want - done);

        make(ctx, bytes, step);
        if (chain_write(c, done, bytes, step) != step)
            break;
        done += step;
    }
    return done;
}
