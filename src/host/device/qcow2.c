/* qcow2: reading, writing, zeroing. The opener is in qcow2_open.c. */
#include "host/device/qcow2.h"

#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

/* What an L2 entry says about a cluster of the disk. */
struct place {
    enum { HOLE, ZEROS, DATA, PACKED } kind;
    uint64_t entry;
    uint64_t off; /* in the file; for ZEROS, of the cluster that is kept for later, or 0 */
    uint32_t len; /* PACKED: bytes */
};

static uint64_t l1_index(const struct qcow2 *q, uint64_t off)
{
    return off >> (q->cluster_bits + qcow2_l2_bits(q));
}

static size_t l2_index(const struct qcow2 *q, uint64_t off)
{
    return off >> q->cluster_bits & (BIT(qcow2_l2_bits(q)) - 1);
}

/* ---- finding ---- */

static bool touches(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* Data may not lie on the header or on the tables that every access depends on. */
static bool sound_offset(const struct qcow2 *q, uint64_t off)
{
    uint64_t len = q->cluster_size;

    return off % len == 0 && off >= len && off < q->file_end &&
           !touches(off, len, q->l1_offset, q->l1_entries * 8) &&
           !touches(off, len, q->reftable_offset, q->reftable_entries * 8);
}

static enum status packed_place(const struct qcow2 *q, uint64_t entry, struct place *p,
                                struct error *err)
{
    unsigned bits = 62 - (q->cluster_bits - 8); /* of the offset; the rest counts sectors */

    p->kind = PACKED;
    p->off = entry & (BIT(bits) - 1);
    p->len =
        (uint32_t)(((entry & (QCOW2_COMPRESSED - 1)) >> bits) + 1) * 512 - (uint32_t)(p->off & 511);
    if (p->off < q->cluster_size || p->off >= q->file_end)
        return qcow2_corrupt(q, err, "a compressed cluster lies outside the file", p->off);
    return OK;
}

static enum status place_of(const struct qcow2 *q, uint64_t entry, struct place *p,
                            struct error *err)
{
    uint64_t known = QCOW2_OFFSET | QCOW2_COPIED | (q->version >= 3 ? QCOW2_ZERO : 0);

    *p = (struct place){.kind = HOLE, .entry = entry};
    if (entry & QCOW2_COMPRESSED)
        return packed_place(q, entry, p, err);
    if (entry & ~known)
        return qcow2_corrupt(q, err, "an L2 entry has reserved bits set", entry);
    p->off = entry & QCOW2_OFFSET;
    if (p->off && !sound_offset(q, p->off))
        return qcow2_corrupt(q, err, "an L2 entry points where no data can be", entry);
    if (entry & QCOW2_ZERO)
        p->kind = ZEROS;
    else if (p->off)
        p->kind = DATA;
    return OK;
}

static enum status find(struct qcow2 *q, uint64_t off, struct place *p, struct error *err)
{
    uint64_t l2 = q->l1[l1_index(q, off)] & QCOW2_OFFSET;
    uint8_t *table;
    enum status s;

    *p = (struct place){.kind = HOLE};
    if (!l2)
        return OK;
    s = qcow2_table(q, l2, &table, err);
    if (s != OK)
        return s;
    return place_of(q, __builtin_bswap64(load64(table + 8 * l2_index(q, off))), p, err);
}

/* ---- reading ---- */

static enum status inflate_cluster(struct qcow2 *q, const struct place *p, struct error *err)
{
    z_stream z = {.next_in = q->packed, .avail_in = p->len};
    enum status s;
    int rc;

    if (q->inflated_from == p->entry)
        return OK;
    q->inflated_from = 0;
    s = qcow2_pread(q, p->off, q->packed, p->len, err);
    if (s != OK)
        return s;
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return fail(err, ERR_NOMEM, "no memory to read disk image '%s'", q->block.path);
    z.next_out = q->inflated;
    z.avail_out = (uInt)q->cluster_size;
    rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* The stream may have a tail that is not needed, but the cluster must be whole. */
    if (z.avail_out || (rc != Z_STREAM_END && rc != Z_BUF_ERROR && rc != Z_OK))
        return qcow2_corrupt(q, err, "a compressed cluster does not inflate", p->off);
    q->inflated_from = p->entry;
    return OK;
}

static enum status read_backing(struct qcow2 *q, uint64_t off, uint8_t *to, size_t len,
                                struct error *err)
{
    size_t have = 0;

    if (q->backing && off < q->backing->size)
        have = MIN(len, q->backing->size - off);
    memset(to + have, 0, len - have);
    return have ? block_read(q->backing, off, to, have, err) : OK;
}

/* Within one cluster. */
static enum status read_place(struct qcow2 *q, const struct place *p, uint64_t off, uint8_t *to,
                              size_t len, struct error *err)
{
    size_t within = off & (q->cluster_size - 1);
    enum status s;

    switch (p->kind) {
    case DATA:
        return qcow2_pread(q, p->off + within, to, len, err);
    case PACKED:
        s = inflate_cluster(q, p, err);
        if (s == OK)
            memcpy(to, q->inflated + within, len);
        return s;
    case ZEROS:
        memset(to, 0, len);
        return OK;
    default:
        return read_backing(q, off, to, len, err);
    }
}

/* How much of [off, off + len) lies in one cluster. */
static size_t in_cluster(const struct qcow2 *q, uint64_t off, uint64_t len)
{
    return (size_t)MIN(len, q->cluster_size - (off & (q->cluster_size - 1)));
}

static enum status qcow2_read(struct block *b, uint64_t off, void *to, size_t len,
                              struct error *err)
{
    struct qcow2 *q = (struct qcow2 *)b;
    enum status s = OK;
    struct place p;

    for (size_t done = 0, n; done < len && s == OK; done += n) {
        n = in_cluster(q, off + done, len - done);
        s = find(q, off + done, &p, err);
        if (s == OK)
            s = read_place(q, &p, off + done, (uint8_t *)to + done, n, err);
    }
    return s;
}

/* ---- writing ---- */

/* Features that a writer must understand to keep them true are struck out by one who does not. */
static enum status begin_change(struct qcow2 *q, struct error *err)
{
    uint64_t none = 0;
    enum status s;

    if (!q->autoclear)
        return OK;
    s = qcow2_pwrite(q, QCOW2_H_AUTOCLEAR, &none, sizeof(none), err);
    if (s == OK)
        q->autoclear = 0;
    return s;
}

/* The L2 table for `off`, made or copied so that it is ours to change. */
static enum status own_l2(struct qcow2 *q, uint64_t off, uint64_t *l2, struct error *err)
{
    uint64_t i = l1_index(q, off), old = q->l1[i], be;
    uint8_t *bytes = q->scratch;
    enum status s;

    *l2 = old & QCOW2_OFFSET;
    if (old & QCOW2_COPIED)
        return OK;
    s = qcow2_alloc(q, l2, err);
    if (s == OK && old)
        s = qcow2_table(q, old & QCOW2_OFFSET, &bytes, err);
    else
        memset(bytes, 0, q->cluster_size);
    if (s == OK)
        s = qcow2_pwrite(q, *l2, bytes, q->cluster_size, err);
    be = __builtin_bswap64(*l2 | QCOW2_COPIED);
    if (s == OK)
        s = qcow2_pwrite(q, q->l1_offset + 8 * i, &be, sizeof(be), err);
    if (s != OK)
        return s;
    q->l1[i] = *l2 | QCOW2_COPIED;
    return old ? qcow2_unref(q, old & QCOW2_OFFSET, 1, err) : OK;
}

/* Gives back what the old entry held, unless the new one goes on using it. */
static enum status drop_place(struct qcow2 *q, const struct place *p, uint64_t kept,
                              struct error *err)
{
    if (p->kind == PACKED) {
        q->inflated_from = 0;
        return qcow2_unref(q, p->off, p->len, err);
    }
    return p->off && p->off != kept ? qcow2_unref(q, p->off, 1, err) : OK;
}

static enum status set_entry(struct qcow2 *q, uint64_t off, const struct place *old, uint64_t entry,
                             struct error *err)
{
    uint64_t l2, be = __builtin_bswap64(entry);
    enum status s;

    if (entry == old->entry)
        return OK;
    s = own_l2(q, off, &l2, err);
    if (s == OK)
        s = qcow2_table_set(q, l2, 8 * l2_index(q, off), &be, sizeof(be), err);
    return s == OK ? drop_place(q, old, entry & QCOW2_OFFSET, err) : s;
}

/* A whole new cluster: what was there, with `from` laid over it. */
static enum status write_new(struct qcow2 *q, const struct place *p, uint64_t off,
                             const uint8_t *from, size_t len, struct error *err)
{
    size_t within = off & (q->cluster_size - 1);
    bool keep = p->kind == ZEROS && (p->entry & QCOW2_COPIED) && p->off;
    uint64_t at = p->off, l2;
    enum status s = own_l2(q, off, &l2, err); /* first, as it uses the scratch cluster too */

    if (s == OK && len < q->cluster_size)
        s = read_place(q, p, off - within, q->scratch, q->cluster_size, err);
    if (s != OK)
        return s;
    memcpy(q->scratch + within, from, len);
    if (!keep)
        s = qcow2_alloc(q, &at, err);
    if (s == OK)
        s = qcow2_pwrite(q, at, q->scratch, q->cluster_size, err);
    return s == OK ? set_entry(q, off, p, at | QCOW2_COPIED, err) : s;
}

static enum status qcow2_write(struct block *b, uint64_t off, const void *from, size_t len,
                               struct error *err)
{
    struct qcow2 *q = (struct qcow2 *)b;
    enum status s = begin_change(q, err);
    struct place p;

    for (size_t done = 0, n; done < len && s == OK; done += n) {
        const uint8_t *bytes = (const uint8_t *)from + done;
        uint64_t at = off + done;

        n = in_cluster(q, at, len - done);
        s = find(q, at, &p, err);
        if (s != OK)
            return s;
        if (p.kind == DATA && (p.entry & QCOW2_COPIED))
            s = qcow2_pwrite(q, p.off + (at & (q->cluster_size - 1)), bytes, n, err);
        else
            s = write_new(q, &p, at, bytes, n, err);
    }
    return s;
}

/* ---- zeros ---- */

static bool reads_zero(const struct qcow2 *q, const struct place *p)
{
    return p->kind == ZEROS || (p->kind == HOLE && !q->backing);
}

static enum status write_zeros(struct qcow2 *q, uint64_t off, size_t len, struct error *err)
{
    uint8_t *zeros = calloc(1, len);
    enum status s;

    if (!zeros)
        return fail(err, ERR_NOMEM, "no memory to clear a part of disk image '%s'", q->block.path);
    s = qcow2_write(&q->block, off, zeros, len, err);
    free(zeros);
    return s;
}

/* One cluster, whole. An entry of 0 means zeros where there is no backing file; version 3 has a
 * flag for it. */
static enum status zero_cluster(struct qcow2 *q, const struct place *p, uint64_t off, bool unmap,
                                struct error *err)
{
    bool keep = !unmap && p->off && p->kind != PACKED && (p->entry & QCOW2_COPIED);

    if (!q->backing && !keep)
        return set_entry(q, off, p, 0, err);
    if (q->version < 3)
        return write_zeros(q, off, q->cluster_size, err);
    return set_entry(q, off, p, QCOW2_ZERO | (keep ? p->off | QCOW2_COPIED : 0), err);
}

/* The next offset after `off` that another L2 table serves. */
static uint64_t l2_end(const struct qcow2 *q, uint64_t off)
{
    return (l1_index(q, off) + 1) << (q->cluster_bits + qcow2_l2_bits(q));
}

static enum status clear(struct qcow2 *q, uint64_t off, uint64_t len, bool unmap, bool whole_only,
                         struct error *err)
{
    enum status s = begin_change(q, err);
    uint64_t end = off + len, n;
    struct place p;

    for (; off < end && s == OK; off += n) {
        n = in_cluster(q, off, end - off);
        if (!q->backing && !q->l1[l1_index(q, off)]) {
            n = MIN(l2_end(q, off), end) - off; /* nothing there at all */
            continue;
        }
        s = find(q, off, &p, err);
        if (s != OK)
            return s;
        /* The last cluster may be shorter than a cluster: it is whole as well. */
        if (n == q->cluster_size || (!(off & (q->cluster_size - 1)) && off + n == q->block.size))
            s = reads_zero(q, &p) && !(unmap && p.off) ? OK : zero_cluster(q, &p, off, unmap, err);
        else if (!whole_only && !reads_zero(q, &p))
            s = write_zeros(q, off, n, err);
    }
    return s;
}

static enum status qcow2_zero(struct block *b, uint64_t off, uint64_t len, bool unmap,
                              struct error *err)
{
    return clear((struct qcow2 *)b, off, len, unmap, false, err);
}

static enum status qcow2_discard(struct block *b, uint64_t off, uint64_t len, struct error *err)
{
    struct qcow2 *q = (struct qcow2 *)b;

    if (q->backing && q->version < 3)
        return OK; /* the old contents would come back from below: keep the cluster */
    return clear(q, off, len, true, true, err);
}

static enum status qcow2_flush(struct block *b, struct error *err)
{
    return file_flush(((struct qcow2 *)b)->fd, b->path, err);
}

static void qcow2_close(struct block *b)
{
    struct qcow2 *q = (struct qcow2 *)b;

    block_close(q->backing);
    for (unsigned i = 0; q->cache && i < q->cache_slots; i++)
        free(q->cache[i].bytes);
    free(q->cache);
    free(q->l1);
    free(q->reftable);
    free(q->scratch);
    free(q->inflated);
    free(q->packed);
    close(q->fd);
    free(q);
}

const struct block_ops qcow2_ops = {
    .read = qcow2_read,
    .write = qcow2_write,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .flush = qcow2_flush,
    .close = qcow2_close,
};
