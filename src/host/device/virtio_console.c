/* virtio-console: one port, hvc0, on a character device (virtio 1.2, 5.3). */
#include "host/device/virtio_devices.h"

#include <stdlib.h>

#include "host/device/virtio.h"

enum { RECEIVE, TRANSMIT };

struct console {
    struct chardev *chr;
    uint8_t pending[4096]; /* from the host, waiting for the driver's buffers */
    size_t count;
};

/* Hands pending bytes to the driver, a chain at a time. */
static void receive_service(struct virtio *dev, struct queue *q)
{
    struct console *con = dev->state;
    struct chain c;
    size_t done = 0;

    while (done < con->count && queue_take(q, &c)) {
        size_t n = chain_write(&c, 0, con->pending + done, con->count - done);

        queue_give(q, &c, n);
        done += n;
    }
    con->count -= done;
    memmove(con->pending, con->pending + done, con->count);
}

static void transmit_service(struct virtio *dev, struct queue *q)
{
    struct console *con = dev->state;
    uint8_t bytes[4096];
    struct chain c;
    size_t n;

    while (queue_take(q, &c)) {
        for (uint64_t off = 0; off < c.out_len; off += n) {
            n = chain_read(&c, off, bytes, sizeof(bytes));
            if (!n)
                break;
            if (con->chr->put)
                con->chr->put(con->chr->backend, bytes, n);
        }
        queue_give(q, &c, 0);
    }
}

/* The backend's calls. */
static size_t console_room(void *opaque)
{
    struct virtio *dev = opaque;
    struct console *con = dev->state;

    return sizeof(con->pending) - con->count;
}

static size_t console_sink(void *opaque, const uint8_t *bytes, size_t n)
{
    struct virtio *dev = opaque;
    struct console *con = dev->state;

    n = MIN(n, console_room(dev));
    memcpy(con->pending + con->count, bytes, n);
    con->count += n;
    receive_service(dev, &dev->queues[RECEIVE]);
    queue_publish(&dev->queues[RECEIVE]);
    return n;
}

static void console_reset(struct virtio *dev)
{
    struct console *con = dev->state;

    con->count = 0;
}

static void console_free(struct virtio *dev)
{
    struct console *con = dev->state;

    con->chr->sink = NULL;
    con->chr->room = NULL;
    con->chr->dev = NULL;
    free(con);
}

static const struct virtio_model console_model = {
    .name = "virtio-console",
    .id = 3,
    .class_rev = 0x07800000,
    .config_len = 12, /* cols, rows, max_nr_ports, emerg_wr: none of them offered */
    .queues =
        {
            [RECEIVE] = {.size = 64, .service = receive_service},
            [TRANSMIT] = {.size = 64, .service = transmit_service},
        },
    .reset = console_reset,
    .free = console_free,
};

enum status virtio_console_new(struct board *b, struct pci_bus *pci, struct chardev *chr,
                               struct virtio **out, struct error *err)
{
    struct console *con = calloc(1, sizeof(*con));
    struct virtio *dev;

    if (!con)
        return fail(err, ERR_NOMEM, "virtio-console: no memory for the device");
    con->chr = chr;
    if (virtio_new(&console_model, b, con, &dev, err) != OK) {
        free(con);
        return ERR_NOMEM;
    }
    chr->sink = console_sink;
    chr->room = console_room;
    chr->dev = dev;
    return virtio_plug(dev, pci, out, err);
}
