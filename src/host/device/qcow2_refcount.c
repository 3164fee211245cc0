/* qcow2: reference counts of clusters, and where new clusters come from. */
#include "host/device/qcow2.h"

#include <fcntl.h>
#include <stdlib.h>

/* ---- counts in a block: 1 to 64 bits each, big-endian, bits from the lowest ---- */

static uint64_t count_get(const uint8_t *block, unsigned order, uint64_t i)
{
    unsigned bits = 1u << order;
    uint64_t v = 0;

    if (order < 3)
        return block[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1);
    for (unsigned n = 0; n < bits / 8; n++)
        v = v << 8 | block[i * (bits / 8) + n];
    return v;
}

static void count_set(uint8_t *block, unsigned order, uint64_t i, uint64_t v)
{
    unsigned bits = 1u << order, shift = (unsigned)(i * bits % 8);

    if (order < 3) {
        uint8_t mask = (uint8_t)(((1u << bits) - 1) << shift);
        uint8_t *byte = &block[i * bits / 8];

        *byte = (uint8_t)((*byte & ~mask) | (v << shift & mask));
        return;
    }
    for (unsigned n = bits / 8; n-- > 0; v >>= 8)
        block[i * (bits / 8) + n] = (uint8_t)v;
}

enum status qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *count, struct error *err)
{
    uint64_t block = cluster >> qcow2_block_bits(q);
    uint8_t *bytes;
    enum status s;

    *count = 0;
    if (block >= q->reftable_entries || !q->reftable[block])
        return OK;
    s = qcow2_table(q, q->reftable[block], &bytes, err);
    if (s == OK)
        *count = count_get(bytes, q->refcount_order, cluster & (BIT(qcow2_block_bits(q)) - 1));
    return s;
}

/* The cluster's block exists. */
static enum status refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count,
                                struct error *err)
{
    uint64_t table = q->reftable[cluster >> qcow2_block_bits(q)];
    uint64_t i = cluster & (BIT(qcow2_block_bits(q)) - 1);
    size_t len = q->refcount_order > 3 ? 1u << (q->refcount_order - 3) : 1;
    size_t at = (i << q->refcount_order) / 8;
    uint8_t *bytes, new[8];
    enum status s = qcow2_table(q, table, &bytes, err);

    if (s != OK)
        return s;
    memcpy(new, bytes + at, len);
    count_set(new, q->refcount_order, len > 1 ? 0 : i % (8 / MIN(8u, 1u << q->refcount_order)),
              count);
    return qcow2_table_set(q, table, at, new, len, err);
}

/* ---- growth ---- */

static enum status set_reftable_entry(struct qcow2 *q, size_t i, uint64_t off, struct error *err)
{
    uint64_t be = __builtin_bswap64(off);
    enum status s = qcow2_pwrite(q, q->reftable_offset + 8 * i, &be, sizeof(be), err);

    if (s == OK)
        q->reftable[i] = off;
    return s;
}

/* Clusters in [first, first + n) are given a count of 1 in the new block number `block`. */
static enum status write_block(struct qcow2 *q, uint64_t at, uint64_t block, uint64_t first,
                               uint64_t n, struct error *err)
{
    uint64_t lowest = block << qcow2_block_bits(q);
    uint8_t *bytes = calloc(1, q->cluster_size);
    enum status s;

    if (!bytes)
        return fail(err, ERR_NOMEM, "no memory to grow disk image '%s'", q->block.path);
    for (uint64_t c = MAX(first, lowest); c < first + n && c < lowest + BIT(qcow2_block_bits(q));
         c++)
        count_set(bytes, q->refcount_order, c - lowest, 1);
    s = qcow2_pwrite(q, at << q->cluster_bits, bytes, q->cluster_size, err);
    free(bytes);
    return s;
}

/* A block that does not exist yet takes the first cluster that it counts and that lies past the
 * end of the file: there nothing can be in the way. */
static enum status add_block(struct qcow2 *q, uint64_t *cluster, struct error *err)
{
    uint64_t block = *cluster >> qcow2_block_bits(q);
    uint64_t at = MAX(*cluster, qcow2_clusters(q, q->file_end));
    enum status s;

    if (at >> qcow2_block_bits(q) != block) {
        *cluster = (block + 1) << qcow2_block_bits(q);
        return OK;
    }
    s = write_block(q, at, block, at, 1, err);
    if (s == OK)
        s = set_reftable_entry(q, block, at << q->cluster_bits, err);
    *cluster = at + 1;
    return s;
}

/* A larger table at the end of the file: first the blocks that count it and themselves, then the
 * table. */
struct growth {
    uint64_t first;         /* cluster */
    uint64_t blocks, table; /* clusters of each */
    size_t entries;
};

static struct growth plan_growth(const struct qcow2 *q)
{
    unsigned bits = qcow2_block_bits(q);
    struct growth g = {.blocks = 1};
    uint64_t last, first_block;

    g.first = MAX((uint64_t)q->reftable_entries << bits, qcow2_clusters(q, q->file_end));
    first_block = g.first >> bits;
    for (;;) {
        uint64_t want = MAX(first_block + g.blocks, q->reftable_entries * UINT64_C(3) / 2);

        g.table = qcow2_clusters(q, want * 8);
        last = (g.first + g.table + g.blocks - 1) >> bits;
        if (last - first_block + 1 == g.blocks)
            break;
        g.blocks = last - first_block + 1;
    }
    g.entries = g.table << (q->cluster_bits - 3);
    return g;
}

static enum status write_growth(struct qcow2 *q, const struct growth *g, uint64_t *table,
                                struct error *err)
{
    uint64_t first_block = g->first >> qcow2_block_bits(q);
    uint64_t off = (g->first + g->blocks) << q->cluster_bits;
    uint8_t place[12];
    enum status s = OK;

    for (uint64_t i = 0; i < g->blocks && s == OK; i++) {
        s = write_block(q, g->first + i, first_block + i, g->first, g->table + g->blocks, err);
        table[first_block + i] = __builtin_bswap64((g->first + i) << q->cluster_bits);
    }
    if (s == OK)
        s = qcow2_pwrite(q, off, table, g->entries * 8, err);
    if (s == OK)
        s = file_flush(q->fd, q->block.path, err); /* before the header points there */
    store64(place, __builtin_bswap64(off));
    store32(place + 8, __builtin_bswap32((uint32_t)g->table));
    return s == OK ? qcow2_pwrite(q, QCOW2_H_REFTABLE, place, sizeof(place), err) : s;
}

static enum status grow_reftable(struct qcow2 *q, struct error *err)
{
    struct growth g = plan_growth(q);
    uint64_t old = q->reftable_offset, old_len = q->reftable_entries * 8;
    uint64_t *table;
    enum status s;

    if (g.entries * 8 > QCOW2_MAX_REFTABLE)
        return fail(err, ERR_LIMIT, "disk image '%s' cannot grow: its refcount table is full",
                    q->block.path);
    table = calloc(g.entries, 8);
    if (!table)
        return fail(err, ERR_NOMEM, "no memory to grow disk image '%s'", q->block.path);
    for (size_t i = 0; i < q->reftable_entries; i++)
        table[i] = __builtin_bswap64(q->reftable[i]);
    s = write_growth(q, &g, table, err);
    if (s != OK) {
        free(table);
        return s;
    }
    for (size_t i = 0; i < g.entries; i++)
        table[i] = __builtin_bswap64(table[i]);
    free(q->reftable);
    q->reftable = table;
    q->reftable_entries = g.entries;
    q->reftable_offset = (g.first + g.blocks) << q->cluster_bits;
    return qcow2_unref(q, old, old_len, err);
}

/* ---- clusters ---- */

enum status qcow2_alloc(struct qcow2 *q, uint64_t *off, struct error *err)
{
    uint64_t count, from = q->next_free, cluster = from;
    enum status s = OK;

    while (s == OK) {
        uint64_t block = cluster >> qcow2_block_bits(q);

        if (block >= q->reftable_entries) {
            s = grow_reftable(q, err);
        } else if (!q->reftable[block]) {
            s = add_block(q, &cluster, err);
        } else {
            s = qcow2_refcount(q, cluster, &count, err);
            if (s != OK || !count)
                break;
            cluster++;
        }
    }
    if (s == OK)
        s = refcount_set(q, cluster, 1, err);
    if (s != OK)
        return s;
    if (q->next_free == from) /* or growth has freed an earlier one */
        q->next_free = cluster + 1;
    *off = cluster << q->cluster_bits;
    return OK;
}

static enum status unref_one(struct qcow2 *q, uint64_t cluster, struct error *err)
{
    uint64_t count, off = cluster << q->cluster_bits;
    enum status s = qcow2_refcount(q, cluster, &count, err);

    if (s == OK && !count)
        return qcow2_corrupt(q, err, "a cluster in use has a reference count of 0", off);
    if (s == OK)
        s = refcount_set(q, cluster, count - 1, err);
    if (s != OK || count > 1)
        return s;
    qcow2_table_forget(q, off);
    q->next_free = MIN(q->next_free, cluster);
    /* Space for the host, where its file system can take it. */
    (void)!fallocate(q->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
                     (off_t)q->cluster_size);
    return OK;
}

enum status qcow2_unref(struct qcow2 *q, uint64_t off, uint64_t len, struct error *err)
{
    uint64_t last = (off + len - 1) >> q->cluster_bits;
    enum status s = OK;

    for (uint64_t c = off >> q->cluster_bits; c <= last && s == OK; c++)
        s = unref_one(q, c, err);
    return s;
}
