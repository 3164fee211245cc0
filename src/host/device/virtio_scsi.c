/* virtio-scsi: one controller, disks at (target, LUN) (virtio 1.2, 5.6). */
#include "host/device/virtio_devices.h"

#include <stdlib.h>

#include "base/log.h"
#include "host/device/scsi_disk.h"
#include "host/device/virtio.h"

enum { CONTROL, EVENT, REQUEST };

/* Places in the configuration (5.6.4); the driver may write the last two. */
#define CONFIG_SENSE_SIZE 20u
#define CONFIG_CDB_SIZE   24u
#define CONFIG_MAX_TARGET 30u
#define CONFIG_SIZE       36u

#define SENSE_DEFAULT 96u
#define SENSE_MAX     256u
#define CDB_DEFAULT   32u

/* Response codes (5.6.6.1, 5.6.6.2). */
enum {
    S_OK = 0,
    S_OVERRUN = 1,
    S_BAD_TARGET = 3,
    S_FAILURE = 9,
    S_FUNCTION_REJECTED = 11,
    S_INCORRECT_LUN = 12,
};

/* Control requests (5.6.6.2). */
enum { T_TMF = 0, T_AN_QUERY = 1, T_AN_SUBSCRIBE = 2 };

#define UNITS 256u

struct unit {
    struct scsi_disk disk;
    uint8_t target, lun;
};

struct scsi {
    struct unit *units[UNITS];
    unsigned count;
    uint8_t bounce[256 * 1024];
};

struct address {
    bool target_exists;
    uint8_t target;
    struct unit *unit; /* NULL: no such LUN */
};

/* 5.6.6.1: 01, target, then one level of LUN in peripheral or flat form, then zeros. */
static struct address find(struct scsi *s, const uint8_t lun[8])
{
    struct address a = {.target = lun[1]};
    unsigned n = (lun[2] & 0x3fu) << 8 | lun[3];

    if (lun[0] != 1)
        return a;
    for (unsigned i = 0; i < s->count; i++) {
        struct unit *u = s->units[i];

        if (u->target != a.target)
            continue;
        a.target_exists = true;
        if (lun[2] >> 6 <= 1 && n == u->lun && load32(lun + 4) == 0)
            a.unit = u;
    }
    return a;
}

/* ---- requests ---- */

/* Where a request's parts lie in its chain. */
struct request {
    struct chain *chain;
    uint32_t cdb_size, sense_size;
};

static uint32_t head_out(const struct request *r)
{
    return 19 + r->cdb_size;
}

static uint32_t head_in(const struct request *r)
{
    return 12 + r->sense_size;
}

static size_t get(void *ctx, uint64_t off, void *to, size_t len)
{
    struct request *r = ctx;

    return chain_read(r->chain, head_out(r) + off, to, len);
}

static size_t put(void *ctx, uint64_t off, const void *from, size_t len)
{
    struct request *r = ctx;

    return chain_write(r->chain, head_in(r) + off, from, len);
}

/* SPC-4, 6.33: every LUN of the target. */
static void report_luns(struct scsi *s, uint8_t target, struct scsi_cmd *c)
{
    uint8_t *reply = c->bounce;
    uint32_t allocation = __builtin_bswap32(load32(c->cdb + 6)), n = 0;

    memset(reply, 0, 8 + 8 * UNITS);
    for (unsigned i = 0; i < s->count; i++)
        if (s->units[i]->target == target)
            reply[8 + 8 * n++ + 1] = s->units[i]->lun;
    store32(reply, __builtin_bswap32(8 * n));
    scsi_reply(c, reply, 8 + 8 * n, allocation);
}

/* The response of 5.6.6.1; returns what the used ring is told. */
static uint64_t answer(const struct request *r, const struct scsi_cmd *c, uint8_t response)
{
    uint8_t head[12 + SENSE_MAX] = {0};
    uint64_t room = MAX(c->in_len, c->out_len);

    if (response == S_OK && c->status == SCSI_CHECK_CONDITION) {
        store32(head, MIN(SCSI_SENSE, r->sense_size));
        memcpy(head + 12, c->sense, MIN(SCSI_SENSE, r->sense_size));
    }
    store32(head + 4, (uint32_t)(room - c->moved));
    head[10] = c->status;
    head[11] = response;
    chain_write(r->chain, 0, head, head_in(r));
    return head_in(r) + (c->in_len ? c->moved : 0);
}

static uint64_t serve(struct scsi *s, struct request *r, const uint8_t *head)
{
    struct address a = find(s, head);
    struct scsi_cmd c = {
        .out_len = r->chain->out_len - head_out(r),
        .in_len = r->chain->in_len - head_in(r),
        .get = get,
        .put = put,
        .ctx = r,
        .bounce = s->bounce,
        .bounce_size = sizeof(s->bounce),
    };
    uint64_t used;

    memcpy(c.cdb, head + 19, MIN(r->cdb_size, sizeof(c.cdb)));
    if (!a.target_exists)
        used = answer(r, &c, S_BAD_TARGET);
    else if (c.out_len && c.in_len)
        used = answer(r, &c, S_FAILURE); /* INOUT is not offered (5.6.3) */
    else {
        if (c.cdb[0] == SCSI_REPORT_LUNS)
            report_luns(s, a.target, &c);
        else
            scsi_execute(a.unit ? &a.unit->disk : NULL, &c);
        used = answer(r, &c, c.overrun ? S_OVERRUN : S_OK);
    }
    if (tracing(TRACE_VIRTIO))
        trace(TRACE_VIRTIO, "virtio-scsi: target %u lun %u command %02x: status %02x, %llu bytes",
              a.target, head[3], c.cdb[0], c.status, (unsigned long long)c.moved);
    return used;
}

static void request_service(struct virtio *dev, struct queue *q)
{
    uint8_t head[19 + SENSE_MAX];
    struct chain c;
    struct request r = {
        .chain = &c,
        .cdb_size = load32(dev->config + CONFIG_CDB_SIZE),
        .sense_size = load32(dev->config + CONFIG_SENSE_SIZE),
    };

    if (r.cdb_size > SENSE_MAX || r.sense_size > SENSE_MAX) {
        queue_break(q, "a size of CDB or sense data above 256");
        return;
    }
    while (queue_take(q, &c)) {
        if (c.in_len < head_in(&r) || chain_read(&c, 0, head, head_out(&r)) != head_out(&r)) {
            queue_break(q, "a SCSI request without its header or room for the response");
            return;
        }
        queue_give(q, &c, serve(dev->state, &r, head));
    }
}

/* ---- control: everything is done by the time it is answered, so there is nothing to abort ---- */

static void control_service(struct virtio *dev, struct queue *q)
{
    uint8_t head[24] = {0}, reply[5] = {0};
    struct address a;
    struct chain c;
    size_t n;

    while (queue_take(q, &c)) {
        n = chain_read(&c, 0, head, sizeof(head));
        if (n < 16) {
            queue_break(q, "a SCSI control request without its header");
            return;
        }
        switch (load32(head)) {
        case T_TMF:
            a = find(dev->state, head + 8);
            reply[0] = a.unit ? S_OK : a.target_exists ? S_INCORRECT_LUN : S_BAD_TARGET;
            n = 1;
            break;
        case T_AN_QUERY:
        case T_AN_SUBSCRIBE:
            a = find(dev->state, head + 4);
            store32(reply, 0); /* no asynchronous events */
            reply[4] = a.unit ? S_OK : S_BAD_TARGET;
            n = 5;
            break;
        default:
            reply[0] = S_FUNCTION_REJECTED;
            n = 1;
        }
        queue_give(q, &c, chain_write(&c, 0, reply, n));
    }
}

/* The driver leaves buffers here for events that never come: no hot plugging is offered. */
static void event_service(struct virtio *dev, struct queue *q)
{
}

static void scsi_defaults(struct virtio *dev)
{
    store32(dev->config + CONFIG_SENSE_SIZE, SENSE_DEFAULT);
    store32(dev->config + CONFIG_CDB_SIZE, CDB_DEFAULT);
}

static void scsi_free(struct virtio *dev)
{
    struct scsi *s = dev->state;

    for (unsigned i = 0; i < s->count; i++)
        free(s->units[i]);
    free(s);
}

static const struct virtio_model scsi_model = {
    .name = "virtio-scsi",
    .id = 8,
    .class_rev = 0x01000000,
    .config_len = CONFIG_SIZE,
    .config_writable = UINT64_C(0xff) << CONFIG_SENSE_SIZE,
    .queues =
        {
            [CONTROL] = {.size = 64, .service = control_service},
            [EVENT] = {.size = 64, .service = event_service},
            [REQUEST] = {.size = VIRTIO_RING_MAX, .service = request_service},
        },
    .reset = scsi_defaults,
    .free = scsi_free,
};

enum status virtio_scsi_new(struct board *b, struct pci_bus *pci, struct virtio **out,
                            struct error *err)
{
    struct scsi *s = calloc(1, sizeof(*s));
    struct virtio *dev;

    if (!s)
        return fail(err, ERR_NOMEM, "virtio-scsi: no memory for the device");
    if (virtio_new(&scsi_model, b, s, &dev, err) != OK) {
        free(s);
        return ERR_NOMEM;
    }
    store32(dev->config + 0, 1);                    /* request queues */
    store32(dev->config + 4, VIRTIO_RING_MAX - 2);  /* data segments */
    store32(dev->config + 8, 0xffff);               /* sectors in a command */
    store32(dev->config + 12, VIRTIO_RING_MAX / 2); /* commands per LUN */
    store32(dev->config + 16, 16);                  /* size of an event */
    scsi_defaults(dev);
    store32(dev->config + 32, 255); /* largest LUN */
    return virtio_plug(dev, pci, out, err);
}

enum status virtio_scsi_add(struct virtio *dev, unsigned target, unsigned lun, struct block *image,
                            const char *serial, struct error *err)
{
    struct scsi *s = dev->state;
    struct unit *u;

    if (target > 255 || lun > 255)
        return fail(err, ERR_ARG, "virtio-scsi: no target %u, LUN %u: both end at 255", target,
                    lun);
    if (s->count == UNITS)
        return fail(err, ERR_LIMIT, "virtio-scsi: more than %u disks on one controller", UNITS);
    for (unsigned i = 0; i < s->count; i++)
        if (s->units[i]->target == target && s->units[i]->lun == lun)
            return fail(err, ERR_STATE, "virtio-scsi: two disks at target %u, LUN %u", target, lun);
    u = calloc(1, sizeof(*u));
    if (!u)
        return fail(err, ERR_NOMEM, "virtio-scsi: no memory for a disk");
    u->disk.image = image;
    u->target = (uint8_t)target;
    u->lun = (uint8_t)lun;
    memcpy(u->disk.serial, serial, strnlen(serial, SCSI_SERIAL));
    s->units[s->count++] = u;
    store16(dev->config + CONFIG_MAX_TARGET,
            (uint16_t)MAX(load16(dev->config + CONFIG_MAX_TARGET), target));
    return OK;
}
