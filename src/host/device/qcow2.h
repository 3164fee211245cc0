/* qcow2 images, versions 2 and 3: what the opener, the allocator and the data path share.
 *
 * guest offset -> L1 entry -> L2 table (one cluster of entries) -> entry -> cluster in the file.
 * cluster number in the file -> refcount table entry -> refcount block (one cluster) -> count.
 *
 * L1 and the refcount table are in memory for as long as the image is open; L2 tables and refcount
 * blocks pass through a small cache. Every change is written through, in an order that a killed
 * process leaves consistent: first the count, then the cluster, then what points at it. At worst
 * a cluster is lost. Everything is big-endian in the file and native in memory, except for what
 * the cache holds. */
#ifndef LUCCA_HOST_DEVICE_QCOW2_H
#define LUCCA_HOST_DEVICE_QCOW2_H

#include "base/bytes.h"
#include "host/device/block_internal.h"

/* Bits of L1 and L2 entries. */
#define QCOW2_COPIED     BIT(63) /* the refcount is 1: may be written in place */
#define QCOW2_COMPRESSED BIT(62)
#define QCOW2_ZERO       BIT(0) /* L2, version 3: reads as zeros whatever the offset says */
#define QCOW2_OFFSET     UINT64_C(0x00fffffffffffe00)

/* Where the refcount table's place stands in the header (offset u64, clusters u32). */
#define QCOW2_H_REFTABLE  48u
#define QCOW2_H_AUTOCLEAR 88u

#define QCOW2_MAX_L1       (32u << 20) /* bytes of tables kept in memory */
#define QCOW2_MAX_REFTABLE (8u << 20)

struct qcow2_cached {
    uint64_t off; /* 0: empty */
    uint64_t used;
    uint8_t *bytes;
};

struct qcow2 {
    struct block block;
    int fd;
    unsigned version, cluster_bits, refcount_order;
    uint64_t cluster_size;
    uint64_t file_end;
    uint64_t autoclear; /* feature bits that the first write has to clear */

    uint64_t l1_offset;
    size_t l1_entries;
    uint64_t *l1;

    uint64_t reftable_offset;
    size_t reftable_entries;
    uint64_t *reftable;
    uint64_t next_free; /* no cluster before this one is free */

    struct block *backing; /* NULL: what is not allocated reads as zeros */

    struct qcow2_cached *cache;
    unsigned cache_slots;
    uint64_t cache_clock;

    uint8_t *scratch;       /* a cluster in the making */
    uint8_t *inflated;      /* the last compressed cluster that was read, */
    uint64_t inflated_from; /* and its L2 entry; 0: none */
    uint8_t *packed;        /* its compressed bytes */
};

static inline unsigned qcow2_l2_bits(const struct qcow2 *q)
{
    return q->cluster_bits - 3;
}

/* log2 of how many counts a refcount block holds */
static inline unsigned qcow2_block_bits(const struct qcow2 *q)
{
    return q->cluster_bits + 3 - q->refcount_order;
}

static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

/* ---- qcow2_table.c: the file and the cache ---- */
enum status qcow2_pread(struct qcow2 *q, uint64_t off, void *to, size_t len,
                        struct error *err) MUST_USE;
enum status qcow2_pwrite(struct qcow2 *q, uint64_t off, const void *from, size_t len,
                         struct error *err) MUST_USE;
/* The cluster at `off` as the cache holds it; good until the next call. */
enum status qcow2_table(struct qcow2 *q, uint64_t off, uint8_t **bytes, struct error *err) MUST_USE;
/* Changes `len` bytes of a table, in the cache and in the file. */
enum status qcow2_table_set(struct qcow2 *q, uint64_t table, size_t at, const void *bytes,
                            size_t len, struct error *err) MUST_USE;
/* The cluster at `off` is no longer the table that it was. */
void qcow2_table_forget(struct qcow2 *q, uint64_t off);
enum status qcow2_corrupt(const struct qcow2 *q, struct error *err, const char *what, uint64_t v);

/* ---- qcow2_refcount.c ---- */
enum status qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *count,
                           struct error *err) MUST_USE;
/* A cluster with a count of 1; its contents are up to the caller. */
enum status qcow2_alloc(struct qcow2 *q, uint64_t *off, struct error *err) MUST_USE;
/* One reference less to each cluster that [off, off + len) touches. */
enum status qcow2_unref(struct qcow2 *q, uint64_t off, uint64_t len, struct error *err) MUST_USE;

/* ---- qcow2.c: the data path ---- */
extern const struct block_ops qcow2_ops;

#endif
