/* The PCI root bus: configuration accesses by ports CF8h/CFCh and by ECAM, BARs that the guest
 * sizes and moves, INTx lines. The ports' window also holds the reset control register CF9h. */
#include "host/device/pci.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/pci_impl.h"

#define CAP_FIRST 0x40u
#define CAP_END   0x100u

struct pci_bus {
    struct board *board;
    struct bus *bus;
    struct pci_state *slots[PCI_SLOTS];
    unsigned count;
    uint32_t address; /* CF8h */
    uint8_t reset_control;
    uint64_t next_io, next_mmio32, next_mmio64; /* where the next BAR may go */
    struct pci_device host_bridge;
};

struct board *pci_board(struct pci_bus *p)
{
    return p->board;
}

/* ---- BARs ---------------------------------------------------------------------------------- */

#define NOWHERE UINT64_MAX

static uint64_t bar_address(const struct pci_state *s, unsigned n)
{
    const struct pci_bar *bar = &s->bar[n];
    const uint8_t *at = s->device->config + PCI_BAR0 + n * 4;

    return (bar->mem64 ? load64(at) : load32(at)) & ~(bar->size - 1);
}

/* Where BAR `n` answers now, or NOWHERE. */
static uint64_t decoded(const struct pci_state *s, unsigned n)
{
    const struct pci_bar *bar = &s->bar[n];
    unsigned command = load16(s->device->config + PCI_COMMAND);
    uint64_t base;

    if (!bar->size || !(command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return NOWHERE;
    base = bar_address(s, n);
    if (base == 0 || base + bar->size < base)
        return NOWHERE;
    return base;
}

static void unmap_moved(struct pci_bus *p, struct pci_state *s)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &s->bar[n];

        if (!s->mapped[n] || decoded(s, n) == s->mapped_at[n])
            continue;
        bus_remove(p->bus, bar->io ? BUS_PORTS : BUS_MEMORY, s->mapped_at[n],
                   bar->ops == s->device->bar[n].ops ? s->device->opaque : s->device);
        s->mapped[n] = false;
    }
}

/* A BAR that the guest puts on top of something else does not answer until one of them moves. */
static void map_waiting(struct pci_bus *p, struct pci_state *s)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const struct pci_bar *bar = &s->bar[n];
        uint64_t base = decoded(s, n);
        struct error err;

        if (s->mapped[n] || base == NOWHERE)
            continue;
        s->mapped[n] = bus_add(p->bus, bar->io ? BUS_PORTS : BUS_MEMORY, base, bar->size, bar->ops,
                               bar->ops == s->device->bar[n].ops ? s->device->opaque : s->device,
                               s->device->name, &err) == OK;
        s->mapped_at[n] = base;
        if (!s->mapped[n] && tracing(TRACE_MMIO))
            trace(TRACE_MMIO, "BAR %u not mapped: %s", n, err.text);
    }
}

static void remap(struct pci_bus *p)
{
    for (unsigned i = 0; i < p->count; i++)
        unmap_moved(p, p->slots[i]);
    for (unsigned i = 0; i < p->count; i++)
        map_waiting(p, p->slots[i]);
}

static void bar_writable(struct pci_state *s, unsigned n)
{
    const struct pci_bar *bar = &s->bar[n];
    uint8_t *mask = s->writable + PCI_BAR0 + n * 4;
    uint8_t *config = s->device->config + PCI_BAR0 + n * 4;
    uint64_t bits = ~(bar->size - 1);

    store32(mask, (uint32_t)bits);
    if (bar->mem64)
        store32(mask + 4, (uint32_t)(bits >> 32));
    store32(config, bar->io ? 1u : (bar->mem64 ? 4u : 0) | (bar->prefetch ? 8u : 0));
}

/* Small 64-bit BARs go below 4 GiB too, where software without large addresses reaches them. */
#define BELOW_4G_MAX 0x1000000u

static enum status place_bar(struct pci_bus *p, struct pci_state *s, unsigned n, struct error *err)
{
    const struct pci_bar *bar = &s->bar[n];
    bool high = bar->mem64 && bar->size > BELOW_4G_MAX;
    uint64_t *next = bar->io ? &p->next_io : high ? &p->next_mmio64 : &p->next_mmio32;
    uint64_t end = bar->io ? PCI_IO_END + 1
                   : high  ? PCI_MMIO64_BASE + PCI_MMIO64_SIZE
                           : PCI_MMIO32_END;
    uint64_t base = (*next + bar->size - 1) & ~(bar->size - 1);
    uint8_t *config = s->device->config + PCI_BAR0 + n * 4;

    if (base < *next || base > end || bar->size > end - base)
        return fail(err, ERR_LIMIT, "%s: no address left for its BAR %u of %" PRIu64 " bytes",
                    s->device->name, n, bar->size);
    *next = base + bar->size;
    store32(config, load32(config) | (uint32_t)base);
    if (bar->mem64)
        store32(config + 4, (uint32_t)(base >> 32));
    return OK;
}

static enum status check_bar(const struct pci_state *s, unsigned n, struct error *err)
{
    const struct pci_bar *bar = &s->bar[n];
    bool pair = bar->mem64 && (bar->io || n + 1 == PCI_BARS || s->bar[n + 1].size);

    if (bar->size & (bar->size - 1) || bar->size < (bar->io ? 4 : 16) || !bar->ops || pair)
        return fail(err, ERR_ARG, "%s: BAR %u of %" PRIu64 " bytes is not one PCI has",
                    s->device->name, n, bar->size);
    return OK;
}

static enum status make_bars(struct pci_bus *p, struct pci_state *s, struct error *err)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        enum status st;

        if (!s->bar[n].size)
            continue;
        st = check_bar(s, n, err);
        if (st != OK)
            return st;
        bar_writable(s, n);
        st = place_bar(p, s, n, err);
        if (st != OK)
            return st;
    }
    return OK;
}

/* ---- interrupts ---------------------------------------------------------------------------- */

static void update_intx(struct pci_state *s)
{
    struct pci_device *d = s->device;
    bool up = s->intx && !(load16(d->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF) &&
              !pci_msix_enabled(s);

    d->config[PCI_STATUS] =
        (uint8_t)((d->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (s->intx ? PCI_STATUS_INTX : 0));
    board_gsi(d->bus->board, PCI_INTX_GSI(d->slot), d->slot, up);
}

void pci_intx(struct pci_device *d, bool level)
{
    if (d->state->intx == level || !d->has_intx)
        return;
    d->state->intx = level;
    update_intx(d->state);
}

/* ---- configuration space ------------------------------------------------------------------- */

static bool touches(unsigned off, unsigned size, unsigned first, unsigned len)
{
    return off < first + len && first < off + size;
}

static uint32_t config_read(struct pci_state *s, unsigned off, unsigned size)
{
    struct pci_device *d = s->device;
    uint32_t value = 0;

    if (d->config_read && off >= CAP_FIRST)
        d->config_read(d->opaque, off, size);
    memcpy(&value, d->config + off, size);
    return value;
}

static void config_write(struct pci_bus *p, struct pci_state *s, unsigned off, unsigned size,
                         uint32_t value)
{
    struct pci_device *d = s->device;

    for (unsigned i = 0; i < size && off + i < sizeof(s->writable); i++) {
        uint8_t mask = s->writable[off + i];

        d->config[off + i] = (uint8_t)((d->config[off + i] & ~mask) | (value >> i * 8 & mask));
    }
    if (touches(off, size, PCI_COMMAND, 2) || touches(off, size, PCI_BAR0, 4 * PCI_BARS))
        remap(p);
    if (s->msix_cap && touches(off, size, s->msix_cap + 2, 2))
        pci_msix_update(s);
    if (touches(off, size, PCI_COMMAND, 2) || (s->msix_cap && touches(off, size, s->msix_cap, 4)))
        update_intx(s);
    if (d->config_write && off >= CAP_FIRST)
        d->config_write(d->opaque, off, size, value);
}

/* Device `devfn` of bus `bus`: only bus 0 and function 0 exist. */
static struct pci_state *target(struct pci_bus *p, unsigned bus, unsigned devfn)
{
    if (bus || devfn & 7 || devfn >> 3 >= PCI_SLOTS)
        return NULL;
    return p->slots[devfn >> 3];
}

/* ---- ports --------------------------------------------------------------------------------- */

static uint64_t address_read(void *dev, uint64_t off, unsigned size)
{
    struct pci_bus *p = dev;

    if (off == 0 && size == 4)
        return p->address;
    if (off == 1 && size == 1)
        return p->reset_control;
    return UINT64_MAX;
}

/* CF9h: bit 1 asks for a whole reset, bit 2 does it. */
static void address_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bus *p = dev;

    if (off == 0 && size == 4)
        p->address = (uint32_t)value;
    if (off != 1 || size != 1)
        return;
    p->reset_control = value & 0x0E;
    if (value & 4)
        board_end(p->board, FATE_RESET, 0, "reset control register (port CF9h)");
}

static const struct bus_ops address_ops = {address_read, address_write};

static struct pci_state *addressed(struct pci_bus *p)
{
    uint32_t a = p->address;

    return a >> 31 ? target(p, a >> 16 & 0xFF, a >> 8 & 0xFF) : NULL;
}

static uint64_t data_read(void *dev, uint64_t off, unsigned size)
{
    struct pci_bus *p = dev;
    struct pci_state *s = addressed(p);

    return s ? config_read(s, (p->address & 0xFC) + (unsigned)off, size) : UINT64_MAX;
}

static void data_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bus *p = dev;
    struct pci_state *s = addressed(p);

    if (s)
        config_write(p, s, (p->address & 0xFC) + (unsigned)off, size, (uint32_t)value);
}

static const struct bus_ops data_ops = {data_read, data_write};

/* ---- ECAM ---------------------------------------------------------------------------------- */

static uint64_t ecam_read(void *dev, uint64_t off, unsigned size)
{
    struct pci_state *s = target(dev, (unsigned)(off >> 20), off >> 12 & 0xFF);
    unsigned reg = off & 0xFFF;
    uint64_t value;

    if (!s || reg + size > 4096)
        return UINT64_MAX;
    value = config_read(s, reg, MIN(size, 4));
    return size == 8 ? value | (uint64_t)config_read(s, reg + 4, 4) << 32 : value;
}

static void ecam_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bus *p = dev;
    struct pci_state *s = target(p, (unsigned)(off >> 20), off >> 12 & 0xFF);
    unsigned reg = off & 0xFFF;

    if (!s || reg + size > 4096)
        return;
    config_write(p, s, reg, MIN(size, 4), (uint32_t)value);
    if (size == 8)
        config_write(p, s, reg + 4, 4, (uint32_t)(value >> 32));
}

static const struct bus_ops ecam_ops = {ecam_read, ecam_write};

/* ---- devices ------------------------------------------------------------------------------- */

unsigned pci_capability(struct pci_device *d, uint8_t id, const void *body, unsigned len)
{
    unsigned at = d->cap_end ? d->cap_end : CAP_FIRST;

    if (len < 2 || len > CAP_END - at)
        return 0;
    memcpy(d->config + at, body, len);
    d->config[at] = id;
    d->config[at + 1] = 0;
    d->config[d->cap_last ? d->cap_last + 1 : PCI_CAP_LIST] = (uint8_t)at;
    d->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    d->cap_last = at;
    d->cap_end = (at + len + 3) & ~3u;
    return at;
}

static void fill_header(struct pci_state *s)
{
    struct pci_device *d = s->device;
    uint8_t *c = d->config;

    store16(c + PCI_VENDOR_ID, d->vendor);
    store16(c + PCI_VENDOR_ID + 2, d->device);
    store32(c + PCI_CLASS_REV, d->class_rev);
    store16(c + PCI_SUBSYSTEM, d->subvendor);
    store16(c + PCI_SUBSYSTEM + 2, d->subdevice);
    c[PCI_IRQ_PIN] = d->has_intx;
    c[PCI_IRQ_LINE] = d->has_intx ? PCI_INTX_GSI(d->slot) : 0;
    /* BARs have addresses and answer from the start, as firmware would leave them. */
    store16(c + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    store16(s->writable + PCI_COMMAND, PCI_COMMAND_BITS);
    s->writable[PCI_CACHE_LINE] = s->writable[PCI_LATENCY] = s->writable[PCI_IRQ_LINE] = 0xFF;
}

static void free_state(struct pci_state *s)
{
    if (!s)
        return;
    free(s->msix_table);
    free(s->msix_pending);
    free(s);
}

enum status pci_add(struct pci_bus *p, struct pci_device *d, struct error *err)
{
    struct pci_state *s;
    enum status st = OK;

    if (p->count == PCI_SLOTS)
        return fail(err, ERR_LIMIT, "%s: all %d PCI slots are taken", d->name, PCI_SLOTS);
    s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, ERR_NOMEM, "%s: no memory for its PCI slot", d->name);
    s->device = d;
    d->bus = p;
    d->slot = p->count;
    d->state = s;
    memcpy(s->bar, d->bar, sizeof(s->bar));
    fill_header(s);
    if (d->msix_vectors)
        st = pci_msix_init(s, err);
    if (st == OK)
        st = make_bars(p, s, err);
    if (st != OK) {
        d->state = NULL;
        free_state(s);
        return st;
    }
    memcpy(s->initial, d->config, sizeof(s->initial));
    p->slots[p->count++] = s;
    remap(p);
    return OK;
}

void pci_bus_reset(struct pci_bus *p)
{
    p->address = 0;
    p->reset_control = 0;
    for (unsigned i = 0; i < p->count; i++) {
        struct pci_state *s = p->slots[i];

        if (s->device->reset)
            s->device->reset(s->device->opaque);
        memcpy(s->device->config, s->initial, sizeof(s->initial));
        pci_msix_reset(s);
        s->intx = false;
        update_intx(s);
    }
    remap(p);
}

/* Slot 0. The id is the Q35 host bridge's, which guests and their firmware know. */
static const struct pci_device host_bridge = {
    .name = "pci host bridge",
    .vendor = 0x8086,
    .device = 0x29C0,
    .subvendor = 0x1AF4,
    .subdevice = 0x1100,
    .class_rev = 0x06000000,
};

struct pci_bus *pci_bus_new(struct board *b, struct bus *bus, struct error *err)
{
    struct pci_bus *p = calloc(1, sizeof(*p));
    enum status st;

    if (!p) {
        fail(err, ERR_NOMEM, "no memory for the PCI bus");
        return NULL;
    }
    p->board = b;
    p->bus = bus;
    p->next_io = PCI_IO_BASE;
    p->next_mmio32 = PCI_MMIO32_BASE;
    p->next_mmio64 = PCI_MMIO64_BASE;
    p->host_bridge = host_bridge;
    st = bus_add(bus, BUS_PORTS, 0xCF8, 4, &address_ops, p, "pci address", err);
    if (st == OK)
        st = bus_add(bus, BUS_PORTS, 0xCFC, 4, &data_ops, p, "pci data", err);
    if (st == OK)
        st = bus_add(bus, BUS_MEMORY, PCI_ECAM_BASE, PCI_ECAM_SIZE, &ecam_ops, p, "ecam", err);
    if (st == OK)
        st = pci_add(p, &p->host_bridge, err);
    if (st != OK) {
        pci_bus_free(p);
        return NULL;
    }
    return p;
}

void pci_bus_free(struct pci_bus *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->count; i++)
        free_state(p->slots[i]);
    free(p);
}
