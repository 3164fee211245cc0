/* What a virtio device stands on: the PCI transport (virtio 1.2, 4.1) and split rings (2.7).
 *
 * A device is a `struct virtio_model`: an id, features, configuration bytes and a service function
 * per queue. The transport calls service() when the driver kicks; the device takes chains, moves
 * bytes with chain_read() and chain_write(), and gives the chains back:
 *
 *      while (queue_take(q, &c))
 *              queue_give(q, &c, chain_fill(&c, make_bytes, ctx));
 *
 * Every ring, descriptor and length is the guest's word. A chain is read from memory once, into a
 * copy that is bounded, acyclic and free of overflow; what the driver changes later has no effect
 * on it. A ring that breaks the rules sets DEVICE_NEEDS_RESET (2.1.2) and the queue stays quiet
 * until the driver resets the device; it never ends the machine. */
#ifndef LUCCA_HOST_DEVICE_VIRTIO_H
#define LUCCA_HOST_DEVICE_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "host/device/board.h"
#include "host/device/pci.h"

#define VIRTIO_QUEUES    4
#define VIRTIO_RING_MAX  256u /* descriptors per ring, and per chain with indirect tables */
#define VIRTIO_CONFIG    64u  /* bytes of device configuration a model can have */
#define VIRTIO_NO_VECTOR 0xffffu
#define VIRTIO_BUDGET    4096u  /* per round of service, so that no ring can hold the host: */
#define VIRTIO_UNIT      65536u /* a chain takes 1 of it, and 1 for each 64 KiB */

/* Bits of the ISR status byte (4.1.4.5). */
#define VIRTIO_ISR_QUEUE  0x01
#define VIRTIO_ISR_CONFIG 0x02

/* Feature bits of the transport (virtio 1.2, 6). */
#define VIRTIO_F_INDIRECT_DESC   BIT(28)
#define VIRTIO_F_EVENT_IDX       BIT(29)
#define VIRTIO_F_VERSION_1       BIT(32)
#define VIRTIO_F_ACCESS_PLATFORM BIT(33)

/* Device status bits (2.1). */
#define VIRTIO_S_ACKNOWLEDGE 0x01
#define VIRTIO_S_DRIVER      0x02
#define VIRTIO_S_DRIVER_OK   0x04
#define VIRTIO_S_FEATURES_OK 0x08
#define VIRTIO_S_NEEDS_RESET 0x40
#define VIRTIO_S_FAILED      0x80

struct virtio;
struct queue;

struct virtio_model {
    const char *name;
    uint16_t id;        /* virtio 1.2, 5: the PCI device id is 1040h + id */
    uint32_t class_rev; /* PCI class in 31:8 */
    uint64_t features;  /* on top of the transport's own */
    unsigned config_len;
    uint64_t config_writable; /* bit n: the driver may write configuration byte n */
    struct {
        uint16_t size; /* a power of two up to VIRTIO_RING_MAX; 0 ends the list */
        void (*service)(struct virtio *dev, struct queue *q);
    } queues[VIRTIO_QUEUES];
    void (*reset)(struct virtio *dev); /* forget what the driver set up; may be NULL */
    void (*free)(struct virtio *dev);  /* release `state`; may be NULL */
};

struct queue {
    struct virtio *dev;
    unsigned index;
    uint16_t size;
    uint16_t vector;
    bool enabled;
    uint64_t desc, avail, used; /* guest physical addresses of the three parts */
    uint16_t next_avail;        /* index of the next entry to take */
    uint16_t seen_avail;        /* the driver's index when it was last read */
    uint16_t next_used;         /* index of the next entry to give */
    uint16_t published;         /* the used index that the driver has been told */
    unsigned budget;            /* what this round of service may still take */
};

struct virtio {
    const struct virtio_model *model;
    struct board *board;
    void *state;       /* the device's own */
    uint64_t features; /* offered; a constructor may change them */
    uint64_t driver_features;
    uint8_t config[VIRTIO_CONFIG];
    uint8_t status;
    struct queue queues[VIRTIO_QUEUES];

    /* the transport's registers */
    uint32_t feature_select[2]; /* device's, driver's */
    uint16_t config_vector, queue_select;
    unsigned queue_count;
    uint8_t isr;
    unsigned cfg_access; /* offset of the PCI configuration access capability */
    struct timer again;  /* resumes a queue whose round of service was cut short */
    struct pci_device pci;
};

/* A device that is not on a bus yet. It owns `state` once OK comes back. A constructor then sets
 * its features and configuration bytes and ends with virtio_plug. */
enum status virtio_new(const struct virtio_model *model, struct board *b, void *state,
                       struct virtio **out, struct error *err) MUST_USE;
/* Puts the device on the bus; frees it where that fails. */
enum status virtio_plug(struct virtio *dev, struct pci_bus *pci, struct virtio **out,
                        struct error *err) MUST_USE;

static inline bool virtio_has(const struct virtio *dev, uint64_t feature)
{
    return (dev->driver_features & feature) != 0;
}

/* The driver has finished its set-up and the device is in order. */
static inline bool virtio_live(const struct virtio *dev)
{
    return (dev->status & (VIRTIO_S_DRIVER_OK | VIRTIO_S_NEEDS_RESET)) == VIRTIO_S_DRIVER_OK;
}

/* One chain of descriptors: `out` parts that the device reads, then `in` parts that it writes. */
struct chain {
    struct queue *queue;
    uint16_t head;
    unsigned outs, ins;
    uint64_t out_len, in_len; /* bytes in each */
    struct {
        uint64_t gpa;
        uint32_t len;
    } part[VIRTIO_RING_MAX];
};

/* The next chain the driver made available; false when there is none or the ring is bad. */
bool queue_take(struct queue *q, struct chain *c) MUST_USE;
/* Undoes the last `n` queue_takes, none of which was given. */
void queue_untake(struct queue *q, uint16_t n);
/* Puts the chain in the used ring; the driver sees it at the next queue_publish. */
void queue_give(struct queue *q, const struct chain *c, uint64_t written);
/* Shows given chains to the driver and interrupts it if it asked for that. The transport does it
 * after service(); a device does it when it gives chains at other times. */
void queue_publish(struct queue *q);
/* The driver broke a rule; `why` goes to the trace. */
void queue_break(struct queue *q, const char *why);

/* Moves up to `len` bytes at offset `off` of the device-readable or device-writable bytes; how
 * many bytes there were to move. A part outside guest memory breaks the queue. */
size_t chain_read(struct chain *c, uint64_t off, void *to, size_t len);
size_t chain_write(struct chain *c, uint64_t off, const void *from, size_t len);
/* Fills the device-writable bytes (at most 64 KiB of them) from `make`; returns how many. */
size_t chain_fill(struct chain *c, void (*make)(void *ctx, void *to, size_t len), void *ctx);

/* Raises a queue's (or, with isr 2, the configuration's) interrupt: between ring and transport. */
void virtio_signal(struct virtio *dev, uint16_t vector, uint8_t isr);
/* Sets DEVICE_NEEDS_RESET and tells the driver. */
void virtio_needs_reset(struct virtio *dev, const char *why);

#endif
