/* virtio-net: one pair of queues on user networking (virtio 1.2, 5.1). */
#include "host/device/virtio_devices.h"

#include <stdlib.h>

#include "host/device/net_user.h"
#include "host/device/virtio.h"

/* 5.1.3. Checksums are left out on the way to the device, and vouched for on the way back: frames
 * never leave this process as frames. */
#define NET_F_CSUM       BIT(0)
#define NET_F_GUEST_CSUM BIT(1)
#define NET_F_MAC        BIT(5)
#define NET_F_MRG_RXBUF  BIT(15)
#define NET_F_STATUS     BIT(16)

#define HEADER            12u /* 5.1.6, with num_buffers: always so for VERSION_1 */
#define HEADER_NEEDS_CSUM 1u
#define HEADER_DATA_VALID 2u

#define FRAME_MIN 14u
#define FRAME_MAX 65550u
#define MERGE_MAX 16u  /* buffers for one frame */
#define BACKLOG   256u /* frames that wait for buffers; TCP sends again what is dropped */

enum { RECEIVE, TRANSMIT };

struct frame {
    size_t len; /* header and all */
    uint8_t bytes[];
};

struct net {
    struct virtio *dev;
    struct net_user *user;
    struct frame *backlog[BACKLOG];
    unsigned first, waiting;
    struct chain chains[MERGE_MAX];
    uint8_t out[HEADER + FRAME_MAX];
};

/* ---- to the guest ---- */

/* Takes buffers for `len` bytes: their number, 0 where there are too few of them now. `*never`:
 * however many there are, the frame will not fit. */
static unsigned take_buffers(struct net *n, struct queue *q, size_t len, bool *never)
{
    unsigned most = virtio_has(n->dev, NET_F_MRG_RXBUF) ? MERGE_MAX : 1, count = 0;
    uint64_t room = 0;

    *never = false;
    while (room < len && count < most) {
        if (!queue_take(q, &n->chains[count])) {
            queue_untake(q, (uint16_t)count);
            return 0;
        }
        room += n->chains[count++].in_len;
    }
    if (room >= len)
        return count;
    queue_untake(q, (uint16_t)count);
    *never = true;
    return 0;
}

/* True when the frame is done with. */
static bool deliver(struct net *n, struct queue *q, struct frame *f)
{
    bool never;
    unsigned count = take_buffers(n, q, f->len, &never);

    if (!count)
        return never || !virtio_live(n->dev);
    store16(f->bytes + 10, (uint16_t)count); /* num_buffers */
    for (size_t i = 0, done = 0; i < count; i++) {
        size_t got = chain_write(&n->chains[i], 0, f->bytes + done, f->len - done);

        queue_give(q, &n->chains[i], got);
        done += got;
    }
    return true;
}

static void receive_service(struct virtio *dev, struct queue *q)
{
    struct net *n = dev->state;

    while (n->waiting && deliver(n, q, n->backlog[n->first])) {
        free(n->backlog[n->first]);
        n->first = (n->first + 1) % BACKLOG;
        n->waiting--;
    }
}

static void from_network(void *ctx, const uint8_t *bytes, size_t len)
{
    struct net *n = ctx;
    struct frame *f;

    if (!virtio_live(n->dev) || n->waiting == BACKLOG)
        return;
    f = calloc(1, sizeof(*f) + HEADER + len);
    if (!f)
        return;
    f->len = HEADER + len;
    memcpy(f->bytes + HEADER, bytes, len);
    if (virtio_has(n->dev, NET_F_GUEST_CSUM))
        f->bytes[0] = HEADER_DATA_VALID;
    n->backlog[(n->first + n->waiting++) % BACKLOG] = f;
    receive_service(n->dev, &n->dev->queues[RECEIVE]);
    queue_publish(&n->dev->queues[RECEIVE]);
}

/* ---- from the guest ---- */

/* 5.1.6.2: the sum of everything from csum_start on (where the pseudo-header's sum already stands
 * in for the checksum) goes to csum_start + csum_offset. */
static bool finish_checksum(uint8_t *header, uint8_t *frame, size_t len)
{
    size_t start = load16(header + 6), at = start + load16(header + 8);
    uint64_t sum = 0;

    if (start >= len || at + 2 > len)
        return false;
    for (size_t i = start; i + 1 < len; i += 2)
        sum += load16(frame + i);
    if ((len - start) % 2)
        sum += frame[len - 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    sum ^= 0xffff;
    store16(frame + at, (uint16_t)(sum ? sum : 0xffff));
    return true;
}

static void transmit_service(struct virtio *dev, struct queue *q)
{
    struct net *n = dev->state;
    struct chain c;

    while (queue_take(q, &c)) {
        size_t len = chain_read(&c, 0, n->out, sizeof(n->out));
        bool whole = len == c.out_len && len >= HEADER + FRAME_MIN;

        if (whole && (n->out[0] & HEADER_NEEDS_CSUM))
            whole = finish_checksum(n->out, n->out + HEADER, len - HEADER);
        queue_give(q, &c, 0);
        if (whole)
            net_user_send(n->user, n->out + HEADER, len - HEADER);
    }
}

/* ---- life ---- */

static void net_reset(struct virtio *dev)
{
    struct net *n = dev->state;

    for (; n->waiting; n->waiting--) {
        free(n->backlog[n->first]);
        n->first = (n->first + 1) % BACKLOG;
    }
}

static void net_free(struct virtio *dev)
{
    struct net *n = dev->state;

    net_user_free(n->user);
    net_reset(dev);
    free(n);
}

static const struct virtio_model net_model = {
    .name = "virtio-net",
    .id = 1,
    .class_rev = 0x02000000,
    .features = NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_MAC | NET_F_MRG_RXBUF | NET_F_STATUS,
    .config_len = 8,
    .queues =
        {
            [RECEIVE] = {.size = VIRTIO_RING_MAX, .service = receive_service},
            [TRANSMIT] = {.size = VIRTIO_RING_MAX, .service = transmit_service},
        },
    .reset = net_reset,
    .free = net_free,
};

enum status virtio_net_new(struct board *b, struct pci_bus *pci, const struct net_config *config,
                           struct virtio **out, struct error *err)
{
    static const uint8_t usual_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    struct net *n;
    enum status s;

    *out = NULL;
    if (config->kind == NET_NONE)
        return OK;
    n = calloc(1, sizeof(*n));
    if (!n)
        return fail(err, ERR_NOMEM, "virtio-net: no memory for the device");
    if (virtio_new(&net_model, b, n, &n->dev, err) != OK) {
        free(n);
        return ERR_NOMEM;
    }
    memcpy(n->dev->config, config->mac_given ? config->mac : usual_mac, 6);
    store16(n->dev->config + 6, 1); /* the link is up */
    s = net_user_new(b, config, from_network, n, &n->user, err);
    if (s != OK) {
        virtio_free(n->dev);
        return s;
    }
    s = virtio_plug(n->dev, pci, out, err);
    if (s == OK)
        net_user_start(n->user);
    return s;
}
