/* qcow2: the header and the tables of an image, judged in full before anything is written. */
#include "host/device/qcow2.h"

#include <stdlib.h>
#include <unistd.h>

#define HEADER_V2 72u
#define HEADER_V3 104u
#define HEADER_IN 112u /* the part that is read: version 3 with the compression type */

#define NAME_MAX_LEN 1023u

#define EXT_END            0u
#define EXT_BACKING_FORMAT 0xe2792acau

#define INCOMPAT_DIRTY   BIT(0)
#define INCOMPAT_CORRUPT BIT(1)
#define INCOMPAT_ZTYPE   BIT(3)

/* The features that change what an old reader would see, by name (bit order). */
static const char *const incompat_names[] = {
    [2] = "an external data file",
    [4] = "extended L2 entries (subclusters)",
};

struct header {
    uint32_t version, cluster_bits, l1_entries, crypt, reftable_clusters, snapshots;
    uint32_t backing_len, refcount_order, length;
    uint64_t size, l1_offset, reftable_offset, snapshots_offset, backing_offset;
    uint64_t incompatible, autoclear;
    uint8_t compression;
};

static uint32_t be32(struct cursor *c)
{
    return __builtin_bswap32(cursor_u32(c));
}

static uint64_t be64(struct cursor *c)
{
    return __builtin_bswap64(cursor_u64(c));
}

static void parse_header(const uint8_t bytes[HEADER_IN], struct header *h)
{
    struct cursor c = cursor_over(bytes + 4, HEADER_IN - 4);

    *h = (struct header){.version = be32(&c)};
    h->backing_offset = be64(&c);
    h->backing_len = be32(&c);
    h->cluster_bits = be32(&c);
    h->size = be64(&c);
    h->crypt = be32(&c);
    h->l1_entries = be32(&c);
    h->l1_offset = be64(&c);
    h->reftable_offset = be64(&c);
    h->reftable_clusters = be32(&c);
    h->snapshots = be32(&c);
    h->snapshots_offset = be64(&c);
    h->refcount_order = 4; /* version 2: 16 bits each */
    h->length = HEADER_V2;
    if (h->version < 3)
        return;
    h->incompatible = be64(&c);
    be64(&c); /* compatible features change nothing for us */
    h->autoclear = be64(&c);
    h->refcount_order = be32(&c);
    h->length = be32(&c);
    if (h->length > HEADER_V3)
        h->compression = cursor_u8(&c);
}

/* ---- what is well-formed but not for us ---- */

static enum status refuse(const struct qcow2 *q, struct error *err, const char *what)
{
    return fail(err, ERR_UNSUPPORTED,
                "disk image '%s' uses %s, which is not supported: 'qemu-img convert' can make one "
                "without",
                q->block.path, what);
}

static enum status check_features(const struct qcow2 *q, const struct header *h, struct error *err)
{
    uint64_t unknown = h->incompatible & ~(INCOMPAT_DIRTY | INCOMPAT_CORRUPT | INCOMPAT_ZTYPE);

    if (h->incompatible & INCOMPAT_CORRUPT)
        return fail(err, ERR_FORMAT,
                    "disk image '%s' is marked corrupt: 'qemu-img check -r all' can repair it",
                    q->block.path);
    if ((h->incompatible & INCOMPAT_DIRTY) && !q->block.readonly)
        return fail(err, ERR_STATE,
                    "disk image '%s' is marked dirty, as its last writer did not finish: run "
                    "'qemu-img check -r all' on it, or use readonly=on",
                    q->block.path);
    for (unsigned i = 0; i < COUNT(incompat_names); i++)
        if (incompat_names[i] && (unknown & BIT(i)))
            return refuse(q, err, incompat_names[i]);
    if (unknown)
        return fail(err, ERR_UNSUPPORTED,
                    "disk image '%s' uses unknown features (bits %#llx of its header)",
                    q->block.path, (unsigned long long)unknown);
    if (h->crypt)
        return refuse(q, err, h->crypt == 2 ? "LUKS encryption" : "encryption");
    if (h->compression == 1)
        return refuse(q, err, "zstd compression");
    if (h->compression)
        return refuse(q, err, "an unknown kind of compression");
    return OK;
}

/* ---- what must hold ---- */

static enum status lie(const struct qcow2 *q, struct error *err, const char *field, uint64_t value)
{
    return fail(err, ERR_FORMAT,
                "disk image '%s' is not a sound qcow2 image: its header's %s is %llu (%#llx)",
                q->block.path, field, (unsigned long long)value, (unsigned long long)value);
}

/* A table of `bytes` at `off`: aligned, after the header's cluster and within the file. */
static bool table_fits(const struct qcow2 *q, uint64_t off, uint64_t bytes)
{
    uint64_t end = qcow2_clusters(q, q->file_end) << q->cluster_bits;

    return off % q->cluster_size == 0 && off >= q->cluster_size && off < q->file_end &&
           bytes <= end - off;
}

static enum status check_sizes(const struct qcow2 *q, const struct header *h, struct error *err)
{
    uint64_t per_l1 = BIT(2 * h->cluster_bits - 3);

    if (h->version >= 3 && (h->length < HEADER_V3 || h->length % 8 || h->length > q->cluster_size))
        return lie(q, err, "length", h->length);
    if (!h->size || h->size % BLOCK_SECTOR || h->size > INT64_MAX)
        return lie(q, err, "disk size", h->size);
    if (h->l1_entries > QCOW2_MAX_L1 / 8 ||
        h->l1_entries < h->size / per_l1 + (h->size % per_l1 != 0))
        return lie(q, err, "L1 table size", h->l1_entries);
    if (!h->reftable_clusters ||
        (uint64_t)h->reftable_clusters << h->cluster_bits > QCOW2_MAX_REFTABLE)
        return lie(q, err, "refcount table size", h->reftable_clusters);
    if (h->refcount_order > 6)
        return lie(q, err, "refcount width (log2)", h->refcount_order);
    if (h->snapshots > 65536)
        return lie(q, err, "number of snapshots", h->snapshots);
    return OK;
}

static enum status check_places(const struct qcow2 *q, const struct header *h, struct error *err)
{
    if (!table_fits(q, h->l1_offset, h->l1_entries * UINT64_C(8)))
        return lie(q, err, "L1 table offset", h->l1_offset);
    if (!table_fits(q, h->reftable_offset, (uint64_t)h->reftable_clusters << h->cluster_bits))
        return lie(q, err, "refcount table offset", h->reftable_offset);
    /* A snapshot is at least 40 bytes; they are never read, and their clusters' counts guard them.
     */
    if (h->snapshots && !table_fits(q, h->snapshots_offset, h->snapshots * UINT64_C(40)))
        return lie(q, err, "snapshot table offset", h->snapshots_offset);
    if (!h->backing_offset != !h->backing_len || h->backing_len > NAME_MAX_LEN)
        return lie(q, err, "backing file name length", h->backing_len);
    if (h->backing_offset &&
        (h->backing_offset < h->length || h->backing_offset > q->cluster_size ||
         h->backing_len > q->cluster_size - h->backing_offset))
        return lie(q, err, "backing file name offset", h->backing_offset);
    return OK;
}

/* ---- tables ---- */

static enum status load_table(struct qcow2 *q, uint64_t off, size_t entries, uint64_t **out,
                              struct error *err)
{
    enum status s;

    *out = malloc(entries * 8);
    if (!*out)
        return fail(err, ERR_NOMEM, "no memory for the tables of disk image '%s'", q->block.path);
    s = qcow2_pread(q, off, *out, entries * 8, err);
    for (size_t i = 0; i < entries && s == OK; i++)
        (*out)[i] = __builtin_bswap64((*out)[i]);
    return s;
}

/* Every cluster that holds metadata, to find two uses of one. */
struct claims {
    uint64_t *cluster;
    size_t n;
};

static void claim(const struct qcow2 *q, struct claims *m, uint64_t off, uint64_t bytes)
{
    for (uint64_t at = off; at < off + bytes; at += q->cluster_size)
        m->cluster[m->n++] = at >> q->cluster_bits;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = load64(a), y = load64(b);

    return (x > y) - (x < y);
}

static enum status claim_entries(const struct qcow2 *q, struct claims *m, const uint64_t *table,
                                 size_t entries, uint64_t flags, const char *what,
                                 struct error *err)
{
    for (size_t i = 0; i < entries; i++) {
        uint64_t off = table[i] & ~flags;

        if ((table[i] && !off) || (off && !table_fits(q, off, q->cluster_size)))
            return qcow2_corrupt(q, err, what, table[i]);
        if (off)
            claim(q, m, off, q->cluster_size);
    }
    return OK;
}

/* No cluster has two jobs; and for a writer, each of them is counted as in use, so that none will
 * ever be handed out as free. */
static enum status judge_claims(struct qcow2 *q, struct claims *m, struct error *err)
{
    uint64_t count;
    enum status s;

    qsort(m->cluster, m->n, sizeof(m->cluster[0]), by_number);
    for (size_t i = 1; i < m->n; i++)
        if (m->cluster[i] == m->cluster[i - 1])
            return qcow2_corrupt(q, err, "two of its tables overlap",
                                 m->cluster[i] << q->cluster_bits);
    for (size_t i = 0; i < m->n && !q->block.readonly; i++) {
        s = qcow2_refcount(q, m->cluster[i], &count, err);
        if (s != OK)
            return s;
        if (!count)
            return qcow2_corrupt(q, err, "a table's reference count is 0",
                                 m->cluster[i] << q->cluster_bits);
    }
    return OK;
}

static enum status check_tables(struct qcow2 *q, struct error *err)
{
    uint64_t l1_bytes = q->l1_entries * 8, reftable_bytes = q->reftable_entries * 8;
    struct claims m = {0};
    enum status s;

    m.cluster = malloc((1 + qcow2_clusters(q, l1_bytes) + qcow2_clusters(q, reftable_bytes) +
                        q->l1_entries + q->reftable_entries) *
                       sizeof(uint64_t));
    if (!m.cluster)
        return fail(err, ERR_NOMEM, "no memory to check disk image '%s'", q->block.path);
    claim(q, &m, 0, q->cluster_size);
    claim(q, &m, q->l1_offset, l1_bytes);
    claim(q, &m, q->reftable_offset, reftable_bytes);
    s = claim_entries(q, &m, q->l1, q->l1_entries, QCOW2_COPIED, "an L1 entry is impossible", err);
    if (s == OK)
        s = claim_entries(q, &m, q->reftable, q->reftable_entries, 0,
                          "a refcount table entry is impossible", err);
    if (s == OK)
        s = judge_claims(q, &m, err);
    free(m.cluster);
    return s;
}

/* ---- the backing file ---- */

/* The format's name in the header extensions; "" where there is none. */
static enum status backing_format(struct qcow2 *q, const struct header *h, const uint8_t *first,
                                  char format[16], struct error *err)
{
    struct cursor c = cursor_over(first + h->length, h->backing_offset - h->length);

    format[0] = '\0';
    while (c.left >= 8) {
        uint32_t type = be32(&c), len = be32(&c);
        const uint8_t *body = cursor_take(&c, len);

        if (type == EXT_END)
            return OK;
        if (!body)
            return lie(q, err, "extension length", len);
        if (type == EXT_BACKING_FORMAT && len < 16) {
            memcpy(format, body, len);
            format[len] = '\0';
        }
        if (len % 8 && c.left)
            cursor_take(&c, MIN(8 - len % 8, c.left));
    }
    return OK;
}

/* Names are relative to the image's own folder. */
static enum status backing_path(const struct qcow2 *q, const char *name, char path[4096],
                                struct error *err)
{
    const char *slash = strrchr(q->block.path, '/');
    size_t folder = slash && name[0] != '/' ? (size_t)(slash - q->block.path) + 1 : 0;
    size_t before_slash = strcspn(name, "/");

    if (memchr(name, ':', before_slash))
        return fail(err, ERR_UNSUPPORTED,
                    "disk image '%s' has backing file '%s': only plain paths are supported "
                    "(./%s for a file of that name)",
                    q->block.path, name, name);
    if (folder + strlen(name) >= 4096)
        return fail(err, ERR_FORMAT, "disk image '%s': the path of its backing file is too long",
                    q->block.path);
    memcpy(path, q->block.path, folder);
    memcpy(path + folder, name, strlen(name) + 1);
    return OK;
}

static enum status open_backing(struct qcow2 *q, const struct header *h, unsigned depth,
                                struct error *err)
{
    char name[NAME_MAX_LEN + 1], path[4096], format[16];
    uint8_t *first = q->scratch;
    enum status s;

    if (!h->backing_offset)
        return OK;
    if (depth <= 1)
        return fail(err, ERR_LIMIT, "disk image '%s': more than %d images in the chain",
                    q->block.path, QCOW2_CHAIN_MAX);
    s = qcow2_pread(q, 0, first, q->cluster_size, err);
    if (s == OK)
        s = backing_format(q, h, first, format, err);
    if (s != OK)
        return s;
    memcpy(name, first + h->backing_offset, h->backing_len);
    name[h->backing_len] = '\0';
    if (strlen(name) != h->backing_len)
        return lie(q, err, "backing file name length", h->backing_len);
    s = backing_path(q, name, path, err);
    if (s != OK)
        return s;
    if (!strcmp(format, "qcow2"))
        return qcow2_open(path, true, depth - 1, &q->backing, err);
    if (!strcmp(format, "raw"))
        return raw_open(path, true, false, &q->backing, err);
    return fail(err, ERR_UNSUPPORTED,
                "disk image '%s' %s%s for its backing file: 'qemu-img rebase -u -F raw|qcow2 -b "
                "'%s'' can say which it is",
                q->block.path, format[0] ? "names format " : "names no format", format, name);
}

/* ---- opening ---- */

static enum status reserve(struct qcow2 *q, struct error *err)
{
    uint64_t slots = (4u << 20) / q->cluster_size;

    q->cache_slots = (unsigned)MAX(4, MIN(slots, 64));
    q->cache = calloc(q->cache_slots, sizeof(q->cache[0]));
    q->scratch = malloc(q->cluster_size);
    q->inflated = malloc(q->cluster_size);
    q->packed = malloc(2 * q->cluster_size);
    if (!q->cache || !q->scratch || !q->inflated || !q->packed)
        return fail(err, ERR_NOMEM, "no memory for disk image '%s'", q->block.path);
    for (unsigned i = 0; i < q->cache_slots; i++) {
        q->cache[i].bytes = malloc(q->cluster_size);
        if (!q->cache[i].bytes)
            return fail(err, ERR_NOMEM, "no memory for disk image '%s'", q->block.path);
    }
    return OK;
}

static enum status read_header(struct qcow2 *q, struct header *h, struct error *err)
{
    uint8_t bytes[HEADER_IN];
    enum status s = file_size(q->fd, q->block.path, &q->file_end, err);

    if (s == OK)
        s = qcow2_pread(q, 0, bytes, sizeof(bytes), err);
    if (s != OK)
        return s;
    if (q->file_end < HEADER_V2 || memcmp(bytes, QCOW2_MAGIC, 4))
        return fail(err, ERR_FORMAT, "disk image '%s' is not a qcow2 image", q->block.path);
    parse_header(bytes, h);
    if (h->version != 2 && h->version != 3)
        return lie(q, err, "version", h->version);
    if (h->cluster_bits < 9 || h->cluster_bits > 21)
        return lie(q, err, "cluster size (log2)", h->cluster_bits);
    q->version = h->version;
    q->cluster_bits = h->cluster_bits;
    q->cluster_size = BIT(h->cluster_bits);
    s = check_features(q, h, err);
    if (s == OK)
        s = check_sizes(q, h, err);
    return s == OK ? check_places(q, h, err) : s;
}

static enum status load(struct qcow2 *q, unsigned depth, struct error *err)
{
    struct header h = {0};
    enum status s = read_header(q, &h, err);

    if (s != OK)
        return s;
    q->block.size = h.size;
    q->refcount_order = h.refcount_order;
    q->autoclear = h.autoclear;
    q->l1_offset = h.l1_offset;
    q->l1_entries = h.l1_entries;
    q->reftable_offset = h.reftable_offset;
    q->reftable_entries = (size_t)h.reftable_clusters << (h.cluster_bits - 3);
    s = reserve(q, err);
    if (s == OK)
        s = load_table(q, q->l1_offset, q->l1_entries, &q->l1, err);
    if (s == OK)
        s = load_table(q, q->reftable_offset, q->reftable_entries, &q->reftable, err);
    if (s == OK)
        s = check_tables(q, err);
    return s == OK ? open_backing(q, &h, depth, err) : s;
}

enum status qcow2_open(const char *path, bool readonly, unsigned depth, struct block **out,
                       struct error *err)
{
    struct qcow2 *q = calloc(1, sizeof(*q));
    enum status s;

    if (!q)
        return fail(err, ERR_NOMEM, "no memory for disk image '%s'", path);
    q->block.ops = &qcow2_ops;
    q->block.readonly = readonly;
    memcpy(q->block.path, path, strlen(path) + 1);
    s = file_open(path, readonly, &q->fd, err);
    if (s != OK) {
        free(q);
        return s;
    }
    s = load(q, depth, err);
    if (s != OK) {
        qcow2_ops.close(&q->block);
        return s;
    }
    *out = &q->block;
    return OK;
}
