/* virtio-blk: one disk, one queue (virtio 1.2, 5.2). */
#include "host/device/virtio_devices.h"

#include <stdlib.h>

#include "base/log.h"
#include "host/device/virtio.h"

/* 5.2.3 */
#define BLK_F_SEG_MAX      BIT(2)
#define BLK_F_RO           BIT(5)
#define BLK_F_BLK_SIZE     BIT(6)
#define BLK_F_FLUSH        BIT(9)
#define BLK_F_DISCARD      BIT(13)
#define BLK_F_WRITE_ZEROES BIT(14)

/* 5.2.6: requests and their outcome, the last byte the device writes. */
enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_ZERO = 13 };
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

#define HEADER      16u
#define RANGE_SIZE  16u /* sector, count and flags of a discard or write zeroes */
#define RANGE_MAX   32u
#define RANGE_UNMAP 1u
#define RANGE_LIMIT 0x400000u /* sectors in one range: 2 GiB */
#define BOUNCE      (256u * 1024)

struct blk {
    struct block *image;
    char serial[DISK_SERIAL_MAX];
    bool warned;
    uint8_t bounce[BOUNCE];
};

static bool in_image(const struct block *image, uint64_t sector, uint64_t bytes)
{
    uint64_t sectors = image->size / BLOCK_SECTOR;

    return bytes % BLOCK_SECTOR == 0 && sector <= sectors &&
           bytes / BLOCK_SECTOR <= sectors - sector;
}

/* The host failed, not the guest: a person should hear of it, once. */
static uint8_t host_failed(struct blk *d, const struct error *err)
{
    if (!d->warned)
        warn("a disk request failed: %s", err->text);
    d->warned = true;
    return BLK_S_IOERR;
}

static uint8_t blk_in(struct blk *d, struct chain *c, uint64_t sector)
{
    uint64_t len = c->in_len - 1;
    struct error err;

    if (!in_image(d->image, sector, len))
        return BLK_S_IOERR;
    for (uint64_t done = 0; done < len;) {
        size_t step = MIN(len - done, BOUNCE);

        if (block_read(d->image, sector * BLOCK_SECTOR + done, d->bounce, step, &err) != OK)
            return host_failed(d, &err);
        if (chain_write(c, done, d->bounce, step) != step)
            return BLK_S_IOERR;
        done += step;
    }
    return BLK_S_OK;
}

static uint8_t blk_out(struct blk *d, struct chain *c, uint64_t sector)
{
    uint64_t len = c->out_len - HEADER;
    struct error err;

    if (d->image->readonly || !in_image(d->image, sector, len))
        return BLK_S_IOERR;
    for (uint64_t done = 0; done < len;) {
        size_t step = MIN(len - done, BOUNCE);

        if (chain_read(c, HEADER + done, d->bounce, step) != step)
            return BLK_S_IOERR;
        if (block_write(d->image, sector * BLOCK_SECTOR + done, d->bounce, step, &err) != OK)
            return host_failed(d, &err);
        done += step;
    }
    return BLK_S_OK;
}

static uint8_t blk_flush(struct blk *d)
{
    struct error err;

    return block_flush(d->image, &err) == OK ? BLK_S_OK : host_failed(d, &err);
}

/* Discard and write zeroes: a list of ranges, all judged before the first one is done. */
static uint8_t blk_ranges(struct blk *d, struct chain *c, uint32_t type)
{
    uint8_t list[RANGE_MAX * RANGE_SIZE];
    uint64_t len = c->out_len - HEADER;
    uint32_t known = type == BLK_ZERO ? RANGE_UNMAP : 0;
    struct error err;

    if (d->image->readonly || !len || len > sizeof(list) || len % RANGE_SIZE ||
        chain_read(c, HEADER, list, len) != len)
        return BLK_S_IOERR;
    for (uint8_t *r = list; r < list + len; r += RANGE_SIZE) {
        if (load32(r + 12) & ~known)
            return BLK_S_UNSUPP; /* 5.2.6.2 */
        if (load32(r + 8) > RANGE_LIMIT ||
            !in_image(d->image, load64(r), (uint64_t)load32(r + 8) * BLOCK_SECTOR))
            return BLK_S_IOERR;
    }
    for (uint8_t *r = list; r < list + len; r += RANGE_SIZE) {
        uint64_t off = load64(r) * BLOCK_SECTOR, bytes = (uint64_t)load32(r + 8) * BLOCK_SECTOR;
        enum status s = type == BLK_ZERO
                            ? block_zero(d->image, off, bytes, load32(r + 12) & RANGE_UNMAP, &err)
                            : block_discard(d->image, off, bytes, &err);

        if (s != OK)
            return host_failed(d, &err);
    }
    return BLK_S_OK;
}

static uint8_t blk_request(struct blk *d, struct chain *c, const uint8_t *header)
{
    uint32_t type = load32(header);
    uint64_t sector = load64(header + 8);
    size_t n;

    switch (type) {
    case BLK_IN:
        return blk_in(d, c, sector);
    case BLK_OUT:
        return blk_out(d, c, sector);
    case BLK_FLUSH:
        return blk_flush(d);
    case BLK_GET_ID:
        n = MIN(c->in_len - 1, sizeof(d->serial));
        return chain_write(c, 0, d->serial, n) == n ? BLK_S_OK : BLK_S_IOERR;
    case BLK_DISCARD:
    case BLK_ZERO:
        return blk_ranges(d, c, type);
    default:
        return BLK_S_UNSUPP;
    }
}

static void blk_service(struct virtio *dev, struct queue *q)
{
    uint8_t header[HEADER], outcome;
    struct chain c;

    while (queue_take(q, &c)) {
        if (!c.in_len || chain_read(&c, 0, header, HEADER) != HEADER) {
            queue_break(q, "a disk request without a header or a place for its status");
            return;
        }
        outcome = blk_request(dev->state, &c, header);
        if (tracing(TRACE_VIRTIO))
            trace(TRACE_VIRTIO, "virtio-blk: type %u sector %llu out %llu in %llu: status %u",
                  load32(header), (unsigned long long)load64(header + 8),
                  (unsigned long long)c.out_len, (unsigned long long)c.in_len, outcome);
        if (chain_write(&c, c.in_len - 1, &outcome, 1) == 1)
            queue_give(q, &c, outcome == BLK_S_OK ? c.in_len : 1);
    }
}

static void blk_free(struct virtio *dev)
{
    free(dev->state);
}

static const struct virtio_model blk_model = {
    .name = "virtio-blk",
    .id = 2,
    .class_rev = 0x01000000,
    .features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH,
    .config_len = 60, /* 5.2.4, up to secure erase */
    .queues = {{.size = VIRTIO_RING_MAX, .service = blk_service}},
    .free = blk_free,
};

/* 5.2.4 */
static void blk_configure(struct virtio *dev, const struct block *image)
{
    store64(dev->config + 0, image->size / BLOCK_SECTOR);
    store32(dev->config + 12, VIRTIO_RING_MAX - 2); /* data segments: less header and status */
    store32(dev->config + 20, BLOCK_SECTOR);
    if (image->readonly) {
        dev->features |= BLK_F_RO;
        return;
    }
    dev->features |= BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
    store32(dev->config + 36, RANGE_LIMIT);
    store32(dev->config + 40, RANGE_MAX);
    store32(dev->config + 44, 1); /* discard alignment, in sectors */
    store32(dev->config + 48, RANGE_LIMIT);
    store32(dev->config + 52, RANGE_MAX);
    store8(dev->config + 56, 1); /* write zeroes may unmap */
}

enum status virtio_blk_new(struct board *b, struct pci_bus *pci, struct block *image,
                           const char *serial, struct virtio **out, struct error *err)
{
    struct blk *d = calloc(1, sizeof(*d));
    struct virtio *dev;

    if (!d)
        return fail(err, ERR_NOMEM, "virtio-blk: no memory for the device");
    d->image = image;
    memcpy(d->serial, serial, strnlen(serial, sizeof(d->serial)));
    if (virtio_new(&blk_model, b, d, &dev, err) != OK) {
        free(d);
        return ERR_NOMEM;
    }
    blk_configure(dev, image);
    return virtio_plug(dev, pci, out, err);
}
