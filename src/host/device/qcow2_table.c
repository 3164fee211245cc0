/* qcow2: access to the file, and a write-through cache of L2 tables and refcount blocks. */
#include "host/device/qcow2.h"

enum status qcow2_corrupt(const struct qcow2 *q, struct error *err, const char *what, uint64_t v)
{
    return fail(err, ERR_FORMAT,
                "disk image '%s' is damaged: %s (%#llx); 'qemu-img check' can tell more",
                q->block.path, what, (unsigned long long)v);
}

enum status qcow2_pread(struct qcow2 *q, uint64_t off, void *to, size_t len, struct error *err)
{
    return image_read(q->fd, q->block.path, off, to, len, err);
}

enum status qcow2_pwrite(struct qcow2 *q, uint64_t off, const void *from, size_t len,
                         struct error *err)
{
    enum status s = image_write(q->fd, q->block.path, off, from, len, err);

    if (s == OK)
        q->file_end = MAX(q->file_end, off + len);
    return s;
}

static struct qcow2_cached *cache_find(struct qcow2 *q, uint64_t off)
{
    for (unsigned i = 0; i < q->cache_slots; i++)
        if (q->cache[i].off == off)
            return &q->cache[i];
    return NULL;
}

enum status qcow2_table(struct qcow2 *q, uint64_t off, uint8_t **bytes, struct error *err)
{
    struct qcow2_cached *slot = cache_find(q, off);
    enum status s;

    if (!slot) {
        slot = &q->cache[0];
        for (unsigned i = 1; i < q->cache_slots; i++)
            if (q->cache[i].used < slot->used)
                slot = &q->cache[i];
        slot->off = 0;
        s = qcow2_pread(q, off, slot->bytes, q->cluster_size, err);
        if (s != OK)
            return s;
        slot->off = off;
    }
    slot->used = ++q->cache_clock;
    *bytes = slot->bytes;
    return OK;
}

enum status qcow2_table_set(struct qcow2 *q, uint64_t table, size_t at, const void *bytes,
                            size_t len, struct error *err)
{
    enum status s = qcow2_pwrite(q, table + at, bytes, len, err);
    struct qcow2_cached *slot = cache_find(q, table);

    if (s != OK)
        qcow2_table_forget(q, table); /* who knows what the file holds now */
    else if (slot)
        memcpy(slot->bytes + at, bytes, len);
    return s;
}

void qcow2_table_forget(struct qcow2 *q, uint64_t off)
{
    struct qcow2_cached *slot = cache_find(q, off);

    if (slot) {
        slot->off = 0;
        slot->used = 0;
    }
}
