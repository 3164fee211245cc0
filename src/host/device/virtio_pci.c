/* virtio over PCI, modern only (virtio 1.2, 4.1): capabilities, registers, interrupts, reset.
 *
 * BAR 0, 16 KiB of memory:   0000 common   1000 ISR   2000 device configuration   3000 notify
 * BAR 1: MSI-X table and PBA, kept by pci.c. Vector numbers are the driver's choice.
 */
#include "host/device/virtio.h"

#include <stdlib.h>

#include "base/log.h"
#include "host/device/virtio_devices.h"

#define PCI_VENDOR_VIRTIO 0x1af4u
#define PCI_DEVICE_VIRTIO 0x1040u /* + the virtio device id: never a transitional one (4.1.2.1) */
#define PCI_CAP_VENDOR    0x09u

#define REGION      0x1000u /* each structure has a page of BAR 0 */
#define BAR_SIZE    (4 * REGION)
#define NOTIFY_STEP 4u

/* 4.1.4: kinds of capability. */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI_CFG };

/* Offsets in the configuration access capability (4.1.4.9). */
#define ACCESS_BAR    4u
#define ACCESS_OFFSET 8u
#define ACCESS_LENGTH 12u
#define ACCESS_DATA   16u
#define ACCESS_SIZE   20u

/* ---- interrupts (4.1.5.1.2, 4.1.5.3) ---- */

void virtio_signal(struct virtio *dev, uint16_t vector, uint8_t isr)
{
    if (pci_msix(&dev->pci, vector)) /* drops VIRTIO_NO_VECTOR, which no table has */
        return;
    dev->isr |= isr;
    pci_intx(&dev->pci, true);
}

void virtio_needs_reset(struct virtio *dev, const char *why)
{
    if (dev->status & VIRTIO_S_NEEDS_RESET)
        return;
    if (tracing(TRACE_VIRTIO))
        trace(TRACE_VIRTIO, "%s: needs a reset: %s", dev->model->name, why);
    dev->status |= VIRTIO_S_NEEDS_RESET;
    if (dev->status & VIRTIO_S_DRIVER_OK)
        virtio_signal(dev, dev->config_vector, VIRTIO_ISR_CONFIG);
}

static uint64_t isr_read(struct virtio *dev)
{
    uint8_t isr = dev->isr;

    dev->isr = 0;
    pci_intx(&dev->pci, false);
    return isr;
}

/* ---- queues ---- */

static void kick(struct virtio *dev, struct queue *q)
{
    if (!q->enabled || !virtio_live(dev))
        return;
    q->budget = VIRTIO_BUDGET;
    dev->model->queues[q->index].service(dev, q);
    if (!q->budget)
        timer_arm(&dev->again, board_now(dev->board) + 1000);
    queue_publish(q);
}

static void kick_all(void *opaque)
{
    struct virtio *dev = opaque;

    for (unsigned i = 0; i < dev->queue_count; i++)
        kick(dev, &dev->queues[i]);
}

static void queue_enable(struct virtio *dev, struct queue *q)
{
    uint64_t last = UINT64_MAX - 16 * VIRTIO_RING_MAX; /* no part reaches past 2^64 */

    if (q->enabled)
        return;
    if (q->desc % 16 || q->avail % 2 || q->used % 4 || q->desc > last || q->avail > last ||
        q->used > last) {
        virtio_needs_reset(dev, "a ring at an address it cannot have"); /* 2.7: alignment */
        return;
    }
    q->enabled = true;
}

static void queue_reset(struct virtio *dev, unsigned i)
{
    dev->queues[i] = (struct queue){
        .dev = dev,
        .index = i,
        .size = dev->model->queues[i].size,
        .vector = VIRTIO_NO_VECTOR,
        .budget = VIRTIO_BUDGET,
    };
}

static void reset(void *opaque)
{
    struct virtio *dev = opaque;

    dev->status = 0;
    dev->driver_features = 0;
    dev->feature_select[0] = dev->feature_select[1] = 0;
    dev->config_vector = VIRTIO_NO_VECTOR;
    dev->queue_select = 0;
    for (unsigned i = 0; i < dev->queue_count; i++)
        queue_reset(dev, i);
    timer_cancel(&dev->again);
    (void)isr_read(dev);
    if (dev->model->reset)
        dev->model->reset(dev);
}

/* ---- common configuration (4.1.4.3) ---- */

static struct queue *selected(struct virtio *dev)
{
    return dev->queue_select < dev->queue_count ? &dev->queues[dev->queue_select] : NULL;
}

static void set_low(uint64_t *v, uint32_t half)
{
    *v = (*v & ~UINT64_C(0xffffffff)) | half;
}

static void set_high(uint64_t *v, uint32_t half)
{
    *v = (*v & 0xffffffff) | (uint64_t)half << 32;
}

/* 3.1.1 step 5, 6.2: no unknown feature, and VERSION_1. ACCESS_PLATFORM is offered but not insisted
 * on: to this device the guest's addresses are what they are either way. */
static bool features_fit(const struct virtio *dev)
{
    return !(dev->driver_features & ~dev->features) && virtio_has(dev, VIRTIO_F_VERSION_1);
}

static void set_status(struct virtio *dev, uint32_t v)
{
    uint8_t was = dev->status;

    if (!v) {
        reset(dev);
        return;
    }
    v |= was & VIRTIO_S_NEEDS_RESET;
    if ((v & VIRTIO_S_FEATURES_OK) && !(was & VIRTIO_S_FEATURES_OK) && !features_fit(dev))
        v &= ~VIRTIO_S_FEATURES_OK;
    if (!(v & VIRTIO_S_FEATURES_OK))
        v &= ~VIRTIO_S_DRIVER_OK;
    dev->status = (uint8_t)v;
    if (tracing(TRACE_VIRTIO) && (dev->status ^ was) & VIRTIO_S_FEATURES_OK)
        trace(TRACE_VIRTIO, "%s: driver accepts features %016llx of %016llx", dev->model->name,
              (unsigned long long)dev->driver_features, (unsigned long long)dev->features);
    if ((dev->status & ~was) & VIRTIO_S_DRIVER_OK)
        kick_all(dev); /* what was made available before is looked at now */
}

static void set_driver_features(struct virtio *dev, uint32_t v)
{
    if (dev->status & VIRTIO_S_FEATURES_OK)
        return;
    if (dev->feature_select[1] == 0)
        set_low(&dev->driver_features, v);
    else if (dev->feature_select[1] == 1)
        set_high(&dev->driver_features, v);
}

static uint16_t vector_or_none(const struct virtio *dev, uint32_t v)
{
    return v < dev->pci.msix_vectors ? (uint16_t)v : VIRTIO_NO_VECTOR;
}

static void set_queue_size(struct virtio *dev, struct queue *q, uint32_t v)
{
    if (!q->enabled && v && v <= dev->model->queues[q->index].size && !(v & (v - 1)))
        q->size = (uint16_t)v;
}

/* FIELD(offset, size, value to read, statement that takes v): registers of the device, then those
 * of the selected queue `q`. A 64-bit register is two rows (4.1.3.1: 32 bits at a time). */
#define DEVICE_FIELDS(FIELD)                                                                       \
    FIELD(0x00, 4, dev->feature_select[0], dev->feature_select[0] = v)                             \
    FIELD(0x04, 4, select_half(dev->features, dev->feature_select[0]), (void)v)                    \
    FIELD(0x08, 4, dev->feature_select[1], dev->feature_select[1] = v)                             \
    FIELD(0x0c, 4, select_half(dev->driver_features, dev->feature_select[1]),                      \
          set_driver_features(dev, v))                                                             \
    FIELD(0x10, 2, dev->config_vector, dev->config_vector = vector_or_none(dev, v))                \
    FIELD(0x12, 2, dev->queue_count, (void)v)                                                      \
    FIELD(0x14, 1, dev->status, set_status(dev, v))                                                \
    FIELD(0x15, 1, 0, (void)v) /* the configuration never changes: generation 0 */                 \
    FIELD(0x16, 2, dev->queue_select, dev->queue_select = (uint16_t)v)
#define QUEUE_FIELDS(FIELD)                                                                        \
    FIELD(0x18, 2, q->size, set_queue_size(dev, q, v))                                             \
    FIELD(0x1a, 2, q->vector, q->vector = vector_or_none(dev, v))                                  \
    FIELD(0x1c, 2, q->enabled, if (v == 1) queue_enable(dev, q))                                   \
    FIELD(0x1e, 2, q->index, (void)v) /* queue_notify_off */                                       \
    FIELD(0x20, 4, q->desc & 0xffffffff, if (!q->enabled) set_low(&q->desc, v))                    \
    FIELD(0x24, 4, q->desc >> 32, if (!q->enabled) set_high(&q->desc, v))                          \
    FIELD(0x28, 4, q->avail & 0xffffffff, if (!q->enabled) set_low(&q->avail, v))                  \
    FIELD(0x2c, 4, q->avail >> 32, if (!q->enabled) set_high(&q->avail, v))                        \
    FIELD(0x30, 4, q->used & 0xffffffff, if (!q->enabled) set_low(&q->used, v))                    \
    FIELD(0x34, 4, q->used >> 32, if (!q->enabled) set_high(&q->used, v))
#define COMMON_SIZE 0x38u

static uint32_t select_half(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static void common_image(struct virtio *dev, uint8_t image[COMMON_SIZE])
{
    struct queue *q = selected(dev);
    uint32_t v;

    memset(image, 0, COMMON_SIZE);
#define FIELD(off, size, get, set) v = (uint32_t)(get), memcpy(image + (off), &v, size);
    DEVICE_FIELDS(FIELD)
    if (q) {
        QUEUE_FIELDS(FIELD)
    }
#undef FIELD
}

static void common_write(struct virtio *dev, uint64_t off, unsigned size, uint32_t v)
{
    struct queue *q = selected(dev);

#define FIELD(o, s, get, set)                                                                      \
    if (off == (o) && size == (s)) {                                                               \
        set;                                                                                       \
        return;                                                                                    \
    }
    DEVICE_FIELDS(FIELD)
    if (q) {
        QUEUE_FIELDS(FIELD)
    }
#undef FIELD
}

/* ---- BAR 0 ---- */

static uint64_t bytes_at(const uint8_t *bytes, size_t have, uint64_t off, unsigned size)
{
    uint64_t v = 0;

    if (off > have || size > have - off)
        return UINT64_MAX >> (64 - 8 * size);
    memcpy(&v, bytes + off, size);
    return v;
}

/* Drivers want the structure to be there, and not empty, even where a device defines none. */
static unsigned config_size(const struct virtio *dev)
{
    return MAX(dev->model->config_len, 4u);
}

static uint64_t bar_read(void *opaque, uint64_t off, unsigned size)
{
    uint8_t image[COMMON_SIZE];
    struct virtio *dev = opaque;
    uint64_t at = off % REGION;

    switch (off / REGION) {
    case 0:
        common_image(dev, image);
        return bytes_at(image, COMMON_SIZE, at, size);
    case 1:
        return at ? 0 : isr_read(dev);
    case 2:
        return bytes_at(dev->config, config_size(dev), at, size);
    default:
        return 0; /* notify is for writing */
    }
}

static void config_store(struct virtio *dev, uint64_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size && at + i < dev->model->config_len; i++)
        if (dev->model->config_writable >> (at + i) & 1)
            dev->config[at + i] = (uint8_t)(value >> 8 * i);
}

static void bar_write(void *opaque, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio *dev = opaque;
    uint64_t at = off % REGION;

    if (off < REGION && size == 8) {
        common_write(dev, at, 4, (uint32_t)value);
        common_write(dev, at + 4, 4, (uint32_t)(value >> 32));
    } else if (off < REGION) {
        common_write(dev, at, size, (uint32_t)value);
    } else if (off / REGION == 2) {
        config_store(dev, at, size, value);
    } else if (off / REGION == 3 && at / NOTIFY_STEP < dev->queue_count) {
        kick(dev, &dev->queues[at / NOTIFY_STEP]);
    }
}

static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write};

/* ---- configuration space ---- */

/* The access that the configuration access capability describes; false when it is not a sound one
 * (4.1.4.9.1: the length is 1, 2 or 4 and the offset a multiple of it). */
static bool access_target(const struct virtio *dev, uint32_t *off, unsigned *size)
{
    const uint8_t *cap = dev->pci.config + dev->cfg_access;

    *off = load32(cap + ACCESS_OFFSET);
    *size = load32(cap + ACCESS_LENGTH);
    return cap[ACCESS_BAR] == 0 && (*size == 1 || *size == 2 || *size == 4) && *off % *size == 0 &&
           *off <= BAR_SIZE - *size;
}

static void access_write(void *opaque, unsigned off, unsigned size, uint32_t value)
{
    struct virtio *dev = opaque;
    uint8_t *cap = dev->pci.config + dev->cfg_access;
    unsigned at = off - dev->cfg_access, width;
    uint32_t target;

    if (off < dev->cfg_access || at >= ACCESS_SIZE)
        return;
    for (unsigned i = 0; i < size && at + i < ACCESS_SIZE; i++)
        if (at + i == ACCESS_BAR || at + i >= ACCESS_OFFSET)
            cap[at + i] = (uint8_t)(value >> 8 * i);
    if (at == ACCESS_DATA && access_target(dev, &target, &width))
        bar_write(dev, target, width, load32(cap + ACCESS_DATA) & (UINT32_MAX >> (32 - 8 * width)));
}

static void access_read(void *opaque, unsigned off, unsigned size)
{
    struct virtio *dev = opaque;
    unsigned at = off - dev->cfg_access, width;
    uint32_t target;

    if (off >= dev->cfg_access && at == ACCESS_DATA && access_target(dev, &target, &width))
        store32(dev->pci.config + off, (uint32_t)bar_read(dev, target, width));
}

static unsigned add_cap(struct virtio *dev, uint8_t kind, uint32_t off, uint32_t len, unsigned size,
                        uint32_t extra)
{
    uint8_t cap[ACCESS_SIZE] = {[2] = (uint8_t)size, [3] = kind};

    store32(cap + 8, off);
    store32(cap + 12, len);
    store32(cap + 16, extra);
    return pci_capability(&dev->pci, PCI_CAP_VENDOR, cap, size);
}

enum status virtio_new(const struct virtio_model *model, struct board *b, void *state,
                       struct virtio **out, struct error *err)
{
    struct virtio *dev = calloc(1, sizeof(*dev));

    if (!dev)
        return fail(err, ERR_NOMEM, "%s: no memory for the device", model->name);
    dev->model = model;
    dev->board = b;
    dev->state = state;
    dev->features = model->features | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
                    VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM;
    dev->config_vector = VIRTIO_NO_VECTOR;
    timer_init(&dev->again, b, kick_all, dev);
    while (dev->queue_count < VIRTIO_QUEUES && model->queues[dev->queue_count].size)
        queue_reset(dev, dev->queue_count++);
    *out = dev;
    return OK;
}

enum status virtio_plug(struct virtio *dev, struct pci_bus *pci, struct virtio **out,
                        struct error *err)
{
    const struct virtio_model *model = dev->model;
    enum status status;

    dev->pci = (struct pci_device){
        .name = model->name,
        .opaque = dev,
        .vendor = PCI_VENDOR_VIRTIO,
        .device = (uint16_t)(PCI_DEVICE_VIRTIO + model->id),
        .subvendor = PCI_VENDOR_VIRTIO,
        .subdevice = 0x1100,               /* 4.1.2.1: 40h or more */
        .class_rev = model->class_rev | 1, /* 4.1.2.1: revision 1 or more */
        .bar[0] = {.size = BAR_SIZE, .ops = &bar_ops},
        .msix_vectors = dev->queue_count + 1,
        .msix_bar = 1,
        .has_intx = true,
        .reset = reset,
        .config_write = access_write,
        .config_read = access_read,
    };
    add_cap(dev, CAP_COMMON, 0, COMMON_SIZE, 16, 0);
    add_cap(dev, CAP_ISR, REGION, 1, 16, 0);
    add_cap(dev, CAP_DEVICE, 2 * REGION, config_size(dev), 16, 0);
    add_cap(dev, CAP_NOTIFY, 3 * REGION, NOTIFY_STEP * dev->queue_count, 20, NOTIFY_STEP);
    dev->cfg_access = add_cap(dev, CAP_PCI_CFG, 0, 0, ACCESS_SIZE, 0);
    status = pci_add(pci, &dev->pci, err);
    if (status == OK)
        *out = dev;
    else
        virtio_free(dev);
    return status;
}

void virtio_free(struct virtio *dev)
{
    if (!dev)
        return;
    timer_cancel(&dev->again);
    if (dev->model->free)
        dev->model->free(dev);
    free(dev);
}
