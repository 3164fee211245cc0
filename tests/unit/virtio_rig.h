/* A virtio driver for tests: it finds a device in ECAM as a guest does, negotiates, lays out rings
 * in the fake board's megabyte, and can break every rule on request. */
#ifndef LUCCA_TESTS_VIRTIO_RIG_H
#define LUCCA_TESTS_VIRTIO_RIG_H

#include "fake_board.h"

#include "host/device/virtio.h"
#include "host/device/virtio_devices.h"

/* Memory: queue n's rings from (n + 1) * 4000h, indirect tables, data, and interrupt words. */
#define RIG_RINGS    0x4000u
#define RIG_INDIRECT 0x20000u
#define RIG_DATA     0x30000u
#define RIG_IRQ      0xf0000u /* vector v writes v + 1 at RIG_IRQ + 4 * v: no APIC is needed */

#define RIG_NEXT  1u
#define RIG_WRITE 2u
#define RIG_INDIR 4u

struct rig_queue {
    uint16_t size, next, seen; /* the driver's available index, and used index that it has seen */
    uint64_t desc, avail, used, notify;
};

struct rig {
    struct fake *f;
    struct pci_bus *pci;
    uint64_t ecam, common, isr, config, notify;
    uint32_t notify_step;
    unsigned msix, access; /* offsets of capabilities */
    uint64_t features;
    struct rig_queue q[4];
};

static inline void rig_init(struct rig *r)
{
    struct error err;

    *r = (struct rig){.f = fake_new(1)};
    r->pci = pci_bus_new(r->f->board, r->f->bus, &err);
    assert_non_null(r->pci);
}

static inline void rig_free(struct rig *r)
{
    pci_bus_free(r->pci);
    fake_free(r->f);
}

static inline uint32_t cfg_get(struct rig *r, unsigned off, unsigned size)
{
    return (uint32_t)bus_read(r->f->bus, BUS_MEMORY, r->ecam + off, size);
}

static inline void cfg_set(struct rig *r, unsigned off, unsigned size, uint32_t v)
{
    bus_write(r->f->bus, BUS_MEMORY, r->ecam + off, size, v);
}

static inline uint64_t reg_get(struct rig *r, unsigned off, unsigned size)
{
    return bus_read(r->f->bus, BUS_MEMORY, r->common + off, size);
}

static inline void reg_set(struct rig *r, unsigned off, unsigned size, uint64_t v)
{
    bus_write(r->f->bus, BUS_MEMORY, r->common + off, size, v);
}

static inline uint64_t config_get(struct rig *r, unsigned off, unsigned size)
{
    return bus_read(r->f->bus, BUS_MEMORY, r->config + off, size);
}

static inline uint8_t status_get(struct rig *r)
{
    return (uint8_t)reg_get(r, 0x14, 1);
}

/* Walks the capabilities of the device in `slot` (slot 0 is the host bridge). */
static inline void rig_find(struct rig *r, unsigned slot)
{
    unsigned at;

    r->ecam = PCI_ECAM_BASE + ((uint64_t)slot << 15);
    assert_int_equal(cfg_get(r, 0, 2), 0x1af4);
    for (at = cfg_get(r, 0x34, 1); at; at = cfg_get(r, at + 1, 1)) {
        uint64_t bar = cfg_get(r, 0x10 + 4 * cfg_get(r, at + 4, 1), 4) & ~0xfu;
        uint64_t where = bar + cfg_get(r, at + 8, 4);

        if (cfg_get(r, at, 1) == 0x11) {
            r->msix = at;
            continue;
        }
        assert_int_equal(cfg_get(r, at, 1), 9);
        switch (cfg_get(r, at + 3, 1)) {
        case 1:
            r->common = where;
            break;
        case 2:
            r->notify = where;
            r->notify_step = cfg_get(r, at + 16, 4);
            break;
        case 3:
            r->isr = where;
            break;
        case 4:
            r->config = where;
            break;
        case 5:
            r->access = at;
            break;
        default:
            fail_msg("capability of kind %u", cfg_get(r, at + 3, 1));
        }
    }
    assert_true(r->common && r->notify && r->isr && r->config && r->msix && r->access);
    cfg_set(r, 4, 2, 6); /* memory, bus master */
}

static inline uint64_t rig_offered(struct rig *r)
{
    uint64_t low;

    reg_set(r, 0, 4, 0);
    low = reg_get(r, 4, 4);
    reg_set(r, 0, 4, 1);
    return reg_get(r, 4, 4) << 32 | low;
}

/* Reset, then up to FEATURES_OK; what the status byte reads then. */
static inline uint8_t rig_negotiate(struct rig *r, uint64_t features)
{
    reg_set(r, 0x14, 1, 0);
    assert_int_equal(status_get(r), 0);
    memset(r->q, 0, sizeof(r->q));
    reg_set(r, 0x14, 1, 1);
    reg_set(r, 0x14, 1, 3);
    for (unsigned half = 0; half < 2; half++) {
        reg_set(r, 8, 4, half);
        reg_set(r, 0xc, 4, (uint32_t)(features >> 32 * half));
    }
    reg_set(r, 0x14, 1, 0xb);
    r->features = features;
    return status_get(r);
}

/* MSI-X on: vector v's message is a plain write into memory. */
static inline void rig_msix(struct rig *r)
{
    unsigned count = (cfg_get(r, r->msix + 2, 2) & 0x7ff) + 1;
    uint32_t place = cfg_get(r, r->msix + 4, 4);
    uint64_t table = (cfg_get(r, 0x10 + 4 * (place & 7), 4) & ~0xfu) + (place & ~7u);

    for (unsigned v = 0; v < count; v++) {
        bus_write(r->f->bus, BUS_MEMORY, table + 16 * v, 4, RIG_IRQ + 4 * v);
        bus_write(r->f->bus, BUS_MEMORY, table + 16 * v + 4, 4, 0);
        bus_write(r->f->bus, BUS_MEMORY, table + 16 * v + 8, 4, v + 1);
        bus_write(r->f->bus, BUS_MEMORY, table + 16 * v + 12, 4, 0);
    }
    cfg_set(r, r->msix + 2, 2, 0x8000);
}

/* True once per interrupt by vector `v` (or any number of them since the last look). */
static inline bool rig_irq(struct rig *r, unsigned v)
{
    uint8_t *word = r->f->ram + RIG_IRQ + 4 * v;
    bool was = load32(word) == v + 1;

    store32(word, 0);
    return was;
}

/* Queue n gets vector n + 1; the configuration has 0. */
static inline void rig_queue(struct rig *r, unsigned n, uint16_t size)
{
    struct rig_queue *q = &r->q[n];

    *q = (struct rig_queue){.size = size, .desc = RIG_RINGS * (n + 1)};
    q->avail = q->desc + 0x2000;
    q->used = q->desc + 0x3000;
    memset(r->f->ram + q->desc, 0, RIG_RINGS);
    reg_set(r, 0x16, 2, n);
    reg_set(r, 0x18, 2, size);
    reg_set(r, 0x1a, 2, n + 1);
    reg_set(r, 0x20, 4, (uint32_t)q->desc);
    reg_set(r, 0x24, 4, 0);
    reg_set(r, 0x28, 8, q->avail);
    reg_set(r, 0x30, 8, q->used);
    q->notify = r->notify + reg_get(r, 0x1e, 2) * r->notify_step;
    reg_set(r, 0x1c, 2, 1);
}

static inline void rig_start(struct rig *r)
{
    reg_set(r, 0x10, 2, 0);
    reg_set(r, 0x14, 1, 0xf);
    assert_int_equal(status_get(r), 0xf);
}

static inline void put_desc(struct rig *r, uint64_t table, unsigned i, uint64_t gpa, uint32_t len,
                            uint16_t flags, uint16_t next)
{
    uint8_t *d = r->f->ram + table + 16 * i;

    store64(d, gpa);
    store32(d + 8, len);
    store16(d + 12, flags);
    store16(d + 14, next);
}

/* Makes chain `head` available. */
static inline void rig_offer(struct rig *r, unsigned n, uint16_t head)
{
    struct rig_queue *q = &r->q[n];

    store16(r->f->ram + q->avail + 4 + 2 * (q->next % q->size), head);
    store16(r->f->ram + q->avail + 2, ++q->next);
}

static inline void rig_kick(struct rig *r, unsigned n)
{
    bus_write(r->f->bus, BUS_MEMORY, r->q[n].notify, 2, n);
}

/* A chain of an out part and an in part (either may be empty) from descriptor `head` on. */
static inline void rig_chain(struct rig *r, unsigned n, uint16_t head, uint64_t out,
                             uint32_t out_len, uint64_t in, uint32_t in_len)
{
    uint64_t desc = r->q[n].desc;

    if (out_len && in_len) {
        put_desc(r, desc, head, out, out_len, RIG_NEXT, (uint16_t)(head + 1));
        put_desc(r, desc, head + 1u, in, in_len, RIG_WRITE, 0);
    } else {
        put_desc(r, desc, head, out_len ? out : in, out_len + in_len, in_len ? RIG_WRITE : 0, 0);
    }
    rig_offer(r, n, head);
}

/* The next used entry: its length, or -1 where there is none. */
static inline int64_t rig_used(struct rig *r, unsigned n, uint16_t *head)
{
    struct rig_queue *q = &r->q[n];
    const uint8_t *used = r->f->ram + q->used, *entry = used + 4 + 8 * (q->seen % q->size);

    if (load16(used + 2) == q->seen)
        return -1;
    q->seen++;
    if (head)
        *head = (uint16_t)load32(entry);
    return load32(entry + 4);
}

/* One request and its answer; the length the device reports. */
static inline int64_t rig_do(struct rig *r, unsigned n, uint64_t out, uint32_t out_len, uint64_t in,
                             uint32_t in_len)
{
    uint16_t head = 0xffff;
    int64_t len;

    rig_chain(r, n, 0, out, out_len, in, in_len);
    rig_kick(r, n);
    len = rig_used(r, n, &head);
    if (len >= 0)
        assert_int_equal(head, 0);
    return len;
}

#define RIG_USUAL (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM | VIRTIO_F_INDIRECT_DESC)

#endif
