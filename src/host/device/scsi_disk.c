/* A SCSI disk over a disk image (SPC-4 for what every device does, SBC-3 for what a disk does). */
#include "host/device/scsi_disk.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

/* Sense keys and additional sense codes (SPC-4, 4.5). */
#define MEDIUM_ERROR    0x3
#define ILLEGAL_REQUEST 0x5
#define DATA_PROTECT    0x7

#define ASC_WRITE_ERROR     0x0c00
#define ASC_READ_ERROR      0x1100
#define ASC_LIST_LENGTH     0x1a00
#define ASC_BAD_OPCODE      0x2000
#define ASC_LBA_RANGE       0x2100
#define ASC_BAD_CDB_FIELD   0x2400
#define ASC_NO_LUN          0x2500
#define ASC_BAD_LIST_FIELD  0x2600
#define ASC_WRITE_PROTECTED 0x2700
#define ASC_NO_SAVING       0x3900

#define VENDOR   "LUCCA   "
#define PRODUCT  "DISK            "
#define REVISION "1.0 "

#define UNMAP_DESCRIPTORS 64u
#define UNMAP_BLOCKS      0x400000u /* in one command: 2 GiB */

static uint64_t be_get(const uint8_t *at, unsigned size)
{
    uint64_t v = 0;

    while (size--)
        v = v << 8 | *at++;
    return v;
}

static void be_put(uint8_t *at, unsigned size, uint64_t v)
{
    while (size--) {
        at[size] = (uint8_t)v;
        v >>= 8;
    }
}

void scsi_fail(struct scsi_cmd *c, uint8_t key, uint16_t asc_ascq)
{
    c->status = SCSI_CHECK_CONDITION;
    memset(c->sense, 0, sizeof(c->sense));
    c->sense[0] = 0x70; /* current error, fixed format */
    c->sense[2] = key;
    c->sense[7] = SCSI_SENSE - 8;
    be_put(c->sense + 12, 2, asc_ascq);
}

void scsi_reply(struct scsi_cmd *c, const void *bytes, size_t len, uint32_t allocation)
{
    len = MIN(len, allocation);
    len = MIN(len, c->in_len);
    c->moved = c->put(c->ctx, 0, bytes, len);
}

static void host_failed(struct scsi_disk *d, struct scsi_cmd *c, uint16_t asc,
                        const struct error *err)
{
    if (!d->warned)
        warn("a disk request failed: %s", err->text);
    d->warned = true;
    scsi_fail(c, MEDIUM_ERROR, asc);
}

static uint64_t blocks(const struct scsi_disk *d)
{
    return d->image->size / BLOCK_SECTOR;
}

/* ---- what it is ---- */

static size_t vpd_supported(const struct scsi_disk *d, uint8_t *p)
{
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};

    memcpy(p, pages, sizeof(pages));
    return sizeof(pages);
}

static size_t vpd_serial(const struct scsi_disk *d, uint8_t *p)
{
    size_t n = strlen(d->serial);

    memcpy(p, d->serial, n);
    return n;
}

/* One designator: T10 vendor identification, in ASCII, of the logical unit (SPC-4, 7.8.5). */
static size_t vpd_identification(const struct scsi_disk *d, uint8_t *p)
{
    size_t n = strlen(d->serial);

    p[0] = 2;
    p[1] = 1;
    p[3] = (uint8_t)(8 + n);
    memcpy(p + 4, VENDOR, 8);
    memcpy(p + 12, d->serial, n);
    return 12 + n;
}

static size_t vpd_limits(const struct scsi_disk *d, uint8_t *p)
{
    if (!d->image->readonly) {
        be_put(p + 20 - 4, 4, UNMAP_BLOCKS);
        be_put(p + 24 - 4, 4, UNMAP_DESCRIPTORS);
        be_put(p + 28 - 4, 4, 8); /* optimal unmap granularity: 4 KiB */
        be_put(p + 36 - 4, 8, UNMAP_BLOCKS);
    }
    return 60;
}

static size_t vpd_characteristics(const struct scsi_disk *d, uint8_t *p)
{
    be_put(p, 2, 1); /* does not rotate */
    return 60;
}

static size_t vpd_provisioning(const struct scsi_disk *d, uint8_t *p)
{
    if (!d->image->readonly) {
        p[1] = 0x80 | 0x40; /* UNMAP, and WRITE SAME (16) with the UNMAP bit */
        p[2] = 2;           /* thin */
    }
    return 4;
}

static const struct {
    uint8_t page;
    size_t (*fill)(const struct scsi_disk *d, uint8_t *p);
} vpd_pages[] = {
    {0x00, vpd_supported}, {0x80, vpd_serial},          {0x83, vpd_identification},
    {0xb0, vpd_limits},    {0xb1, vpd_characteristics}, {0xb2, vpd_provisioning},
};

static void inquiry_vpd(struct scsi_disk *d, struct scsi_cmd *c, uint32_t allocation)
{
    uint8_t reply[4 + 64] = {0, c->cdb[2]};

    for (size_t i = 0; i < COUNT(vpd_pages); i++)
        if (vpd_pages[i].page == c->cdb[2]) {
            size_t n = vpd_pages[i].fill(d, reply + 4);

            be_put(reply + 2, 2, n);
            scsi_reply(c, reply, 4 + n, allocation);
            return;
        }
    scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
}

/* SPC-4, 6.6. It answers even where there is no logical unit: peripheral qualifier 3. */
static void inquiry(struct scsi_disk *d, struct scsi_cmd *c)
{
    uint8_t reply[36] = {[2] = 5 /* SPC-3 */, [3] = 2, [4] = sizeof(reply) - 5, [7] = 0x02};
    uint32_t allocation = (uint32_t)be_get(c->cdb + 3, 2);

    if (d && (c->cdb[1] & 1)) {
        inquiry_vpd(d, c, allocation);
        return;
    }
    if (c->cdb[1] & 3 || c->cdb[2]) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
        return;
    }
    if (!d)
        reply[0] = 0x7f;
    memcpy(reply + 8, VENDOR PRODUCT REVISION, 28);
    scsi_reply(c, reply, sizeof(reply), allocation);
}

static void request_sense(struct scsi_disk *d, struct scsi_cmd *c)
{
    struct scsi_cmd none = {0};

    /* Sense goes out with the command that failed (autosense), so there is never any left. */
    scsi_fail(&none, d ? 0 : ILLEGAL_REQUEST, d ? 0 : ASC_NO_LUN);
    scsi_reply(c, none.sense, sizeof(none.sense), c->cdb[4]);
}

static void ready(struct scsi_disk *d, struct scsi_cmd *c)
{
}

static void read_capacity_10(struct scsi_disk *d, struct scsi_cmd *c)
{
    uint8_t reply[8];

    be_put(reply, 4, MIN(blocks(d) - 1, UINT32_MAX));
    be_put(reply + 4, 4, BLOCK_SECTOR);
    scsi_reply(c, reply, sizeof(reply), sizeof(reply));
}

static void read_capacity_16(struct scsi_disk *d, struct scsi_cmd *c)
{
    uint8_t reply[32] = {[14] = d->image->readonly ? 0 : 0x80 /* provisioning management */};

    if ((c->cdb[1] & 0x1f) != 0x10) { /* the other service actions of 9Eh */
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
        return;
    }
    be_put(reply, 8, blocks(d) - 1);
    be_put(reply + 8, 4, BLOCK_SECTOR);
    scsi_reply(c, reply, sizeof(reply), (uint32_t)be_get(c->cdb + 10, 4));
}

/* ---- mode pages (SPC-4, 7.5; SBC-3, 6.4) ---- */

static const uint8_t mode_pages[][20] = {
    {0x08, 18, 0x04},    /* caching: the write cache is on */
    {0x0a, 10, 0, 0x10}, /* control: commands may be reordered */
};

static void mode_sense(struct scsi_disk *d, struct scsi_cmd *c)
{
    bool ten = c->cdb[0] == 0x5a, changeable = c->cdb[2] >> 6 == 1;
    uint8_t reply[64] = {0}, page = c->cdb[2] & 0x3f;
    size_t head = ten ? 8 : 4, n = head;

    if (c->cdb[2] >> 6 == 3) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_NO_SAVING);
        return;
    }
    for (size_t i = 0; i < COUNT(mode_pages); i++) {
        if (page != 0x3f && page != mode_pages[i][0])
            continue;
        memcpy(reply + n, mode_pages[i], changeable ? 2 : 2u + mode_pages[i][1]);
        n += 2u + mode_pages[i][1];
    }
    if (n == head || (c->cdb[3] && c->cdb[3] != 0xff)) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
        return;
    }
    be_put(reply, ten ? 2 : 1, n - (ten ? 2 : 1));
    reply[ten ? 3 : 2] = 0x10 | (d->image->readonly ? 0x80 : 0); /* FUA is understood */
    scsi_reply(c, reply, n, ten ? (uint32_t)be_get(c->cdb + 7, 2) : c->cdb[4]);
}

/* ---- data ---- */

struct extent {
    uint64_t lba, count;
};

/* Where the CDBs of 6, 10, 12 and 16 bytes keep the block and the count (SPC-4, 4.2.5). */
static struct extent extent_of(const uint8_t *cdb)
{
    switch (cdb[0] >> 5) {
    case 0: /* 6 bytes: 21 bits of address, and a count of 0 means 256 */
        return (struct extent){be_get(cdb + 1, 3) & 0x1fffff, cdb[4] ? cdb[4] : 256};
    case 1:
    case 2:
        return (struct extent){be_get(cdb + 2, 4), be_get(cdb + 7, 2)};
    case 5:
        return (struct extent){be_get(cdb + 2, 4), be_get(cdb + 6, 4)};
    default:
        return (struct extent){be_get(cdb + 2, 8), be_get(cdb + 10, 4)};
    }
}

static bool on_disk(const struct scsi_disk *d, struct scsi_cmd *c, struct extent e)
{
    if (e.lba <= blocks(d) && e.count <= blocks(d) - e.lba)
        return true;
    scsi_fail(c, ILLEGAL_REQUEST, ASC_LBA_RANGE);
    return false;
}

static bool may_write(const struct scsi_disk *d, struct scsi_cmd *c)
{
    if (!d->image->readonly)
        return true;
    scsi_fail(c, DATA_PROTECT, ASC_WRITE_PROTECTED);
    return false;
}

static bool has_room(struct scsi_cmd *c, uint64_t need, uint64_t have)
{
    c->overrun = need > have;
    return !c->overrun;
}

static void data_in(struct scsi_disk *d, struct scsi_cmd *c)
{
    struct extent e = extent_of(c->cdb);
    uint64_t len = e.count * BLOCK_SECTOR;
    struct error err;

    if (!on_disk(d, c, e) || !has_room(c, len, c->in_len))
        return;
    while (c->moved < len) {
        size_t step = MIN(len - c->moved, c->bounce_size);

        if (block_read(d->image, e.lba * BLOCK_SECTOR + c->moved, c->bounce, step, &err) != OK) {
            host_failed(d, c, ASC_READ_ERROR, &err);
            return;
        }
        if (c->put(c->ctx, c->moved, c->bounce, step) != step)
            return;
        c->moved += step;
    }
}

static void flush(struct scsi_disk *d, struct scsi_cmd *c)
{
    struct error err;

    if (block_flush(d->image, &err) != OK)
        host_failed(d, c, ASC_WRITE_ERROR, &err);
}

static void data_out(struct scsi_disk *d, struct scsi_cmd *c)
{
    struct extent e = extent_of(c->cdb);
    uint64_t len = e.count * BLOCK_SECTOR;
    struct error err;

    if (!may_write(d, c) || !on_disk(d, c, e) || !has_room(c, len, c->out_len))
        return;
    while (c->moved < len) {
        size_t step = MIN(len - c->moved, c->bounce_size);

        if (c->get(c->ctx, c->moved, c->bounce, step) != step)
            return;
        if (block_write(d->image, e.lba * BLOCK_SECTOR + c->moved, c->bounce, step, &err) != OK) {
            host_failed(d, c, ASC_WRITE_ERROR, &err);
            return;
        }
        c->moved += step;
    }
    if (c->cdb[0] >> 5 && (c->cdb[1] & 8)) /* force unit access */
        flush(d, c);
}

/* SBC-3, 5.28: a list of extents whose contents no longer matter. */
static void unmap(struct scsi_disk *d, struct scsi_cmd *c)
{
    uint8_t list[8 + 16 * UNMAP_DESCRIPTORS];
    uint64_t len = be_get(c->cdb + 7, 2), n, total = 0;
    struct error err;

    if (!may_write(d, c) || !len)
        return;
    if (len < 8 || len > sizeof(list)) {
        scsi_fail(c, ILLEGAL_REQUEST, len < 8 ? ASC_LIST_LENGTH : ASC_BAD_CDB_FIELD);
        return;
    }
    if (!has_room(c, len, c->out_len) || c->get(c->ctx, 0, list, len) != len)
        return;
    c->moved = len;
    n = be_get(list + 2, 2) / 16;
    if (n > (len - 8) / 16) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_LIST_FIELD);
        return;
    }
    for (uint64_t i = 0; i < n; i++) {
        struct extent e = {be_get(list + 8 + 16 * i, 8), be_get(list + 16 + 16 * i, 4)};

        total += e.count;
        if (!on_disk(d, c, e))
            return;
    }
    if (total > UNMAP_BLOCKS) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_LIST_FIELD);
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        if (block_discard(d->image, be_get(list + 8 + 16 * i, 8) * BLOCK_SECTOR,
                          be_get(list + 16 + 16 * i, 4) * BLOCK_SECTOR, &err) != OK) {
            host_failed(d, c, ASC_WRITE_ERROR, &err);
            return;
        }
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
    return !bytes[0] && !memcmp(bytes, bytes + 1, n - 1);
}

static void repeat(struct scsi_disk *d, struct scsi_cmd *c, struct extent e, const uint8_t *block)
{
    uint64_t len = e.count * BLOCK_SECTOR;
    size_t room = c->bounce_size / BLOCK_SECTOR * BLOCK_SECTOR;
    struct error err;

    for (size_t i = 0; i < room; i += BLOCK_SECTOR)
        memcpy(c->bounce + i, block, BLOCK_SECTOR);
    for (uint64_t done = 0, step; done < len; done += step) {
        step = MIN(len - done, room);
        if (block_write(d->image, e.lba * BLOCK_SECTOR + done, c->bounce, step, &err) != OK) {
            host_failed(d, c, ASC_WRITE_ERROR, &err);
            return;
        }
    }
}

/* SBC-3, 5.46 (10 and 16 bytes): one block, many times; zeros become a hole if UNMAP is set. */
static void write_same(struct scsi_disk *d, struct scsi_cmd *c)
{
    struct extent e = extent_of(c->cdb);
    uint8_t block[BLOCK_SECTOR] = {0};
    bool no_data = c->cdb[0] == 0x93 && (c->cdb[1] & 1);
    struct error err;

    if (!may_write(d, c))
        return;
    if (c->cdb[1] & 0xf6 & ~8u) { /* protection, LBDATA, PBDATA, ANCHOR */
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
        return;
    }
    if (!e.count && e.lba < blocks(d))
        e.count = blocks(d) - e.lba;
    if (!on_disk(d, c, e))
        return;
    if (e.count > UNMAP_BLOCKS) {
        scsi_fail(c, ILLEGAL_REQUEST, ASC_BAD_CDB_FIELD);
        return;
    }
    if (!no_data) {
        if (!has_room(c, sizeof(block), c->out_len) ||
            c->get(c->ctx, 0, block, sizeof(block)) != sizeof(block))
            return;
        c->moved = sizeof(block);
    }
    if (!all_zero(block, sizeof(block)))
        repeat(d, c, e, block);
    else if (block_zero(d->image, e.lba * BLOCK_SECTOR, e.count * BLOCK_SECTOR, c->cdb[1] & 8,
                        &err) != OK)
        host_failed(d, c, ASC_WRITE_ERROR, &err);
}

/* ---- dispatch ---- */

static const struct {
    uint8_t opcode;
    bool any_lun; /* answered even where there is no logical unit */
    void (*run)(struct scsi_disk *d, struct scsi_cmd *c);
} commands[] = {
    {0x00, false, ready},            /* TEST UNIT READY */
    {0x03, true, request_sense},     /* REQUEST SENSE */
    {0x08, false, data_in},          /* READ (6) */
    {0x0a, false, data_out},         /* WRITE (6) */
    {0x12, true, inquiry},           /* INQUIRY */
    {0x1a, false, mode_sense},       /* MODE SENSE (6) */
    {0x1b, false, ready},            /* START STOP UNIT: there is no motor */
    {0x25, false, read_capacity_10}, /* READ CAPACITY (10) */
    {0x28, false, data_in},          /* READ (10) */
    {0x2a, false, data_out},         /* WRITE (10) */
    {0x35, false, flush},            /* SYNCHRONIZE CACHE (10) */
    {0x41, false, write_same},       /* WRITE SAME (10) */
    {0x42, false, unmap},            /* UNMAP */
    {0x5a, false, mode_sense},       /* MODE SENSE (10) */
    {0x88, false, data_in},          /* READ (16) */
    {0x8a, false, data_out},         /* WRITE (16) */
    {0x91, false, flush},            /* SYNCHRONIZE CACHE (16) */
    {0x93, false, write_same},       /* WRITE SAME (16) */
    {0x9e, false, read_capacity_16}, /* SERVICE ACTION IN (16) */
    {0xa8, false, data_in},          /* READ (12) */
    {0xaa, false, data_out},         /* WRITE (12) */
};

void scsi_execute(struct scsi_disk *d, struct scsi_cmd *c)
{
    c->status = SCSI_GOOD;
    c->moved = 0;
    c->overrun = false;
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (commands[i].opcode != c->cdb[0])
            continue;
        if (d || commands[i].any_lun)
            commands[i].run(d, c);
        else
            scsi_fail(c, ILLEGAL_REQUEST, ASC_NO_LUN);
        return;
    }
    scsi_fail(c, ILLEGAL_REQUEST, d ? ASC_BAD_OPCODE : ASC_NO_LUN);
}
