/* MSI-X (PCI 3.0 6.8.2): the table and the pending bits of each device, in a BAR of their own: the
 * table at its start, the pending bits in its upper half. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/pci_impl.h"

#define MSIX_MAX 2048u

static unsigned control(const struct pci_state *s)
{
    return load16(s->device->config + s->msix_cap + 2);
}

bool pci_msix_enabled(const struct pci_state *s)
{
    return s->msix_cap && control(s) & MSIX_ENABLE;
}

static bool masked(const struct pci_state *s, unsigned n)
{
    return control(s) & MSIX_MASKALL || s->msix_table[n * MSIX_ENTRY + 12] & 1;
}

/* A message is a memory write by the device: without bus mastering there is none. */
static void fire(struct pci_state *s, unsigned n)
{
    const uint8_t *entry = s->msix_table + n * MSIX_ENTRY;

    s->msix_pending[n / 64] &= ~BIT(n % 64);
    if (load16(s->device->config + PCI_COMMAND) & PCI_COMMAND_MASTER)
        board_msi(pci_board(s->device->bus), load64(entry) & ~UINT64_C(3), load32(entry + 8));
}

static void fire_if_pending(struct pci_state *s, unsigned n)
{
    if (s->msix_pending[n / 64] >> (n % 64) & 1 && pci_msix_enabled(s) && !masked(s, n))
        fire(s, n);
}

void pci_msix_update(struct pci_state *s)
{
    for (unsigned n = 0; n < s->msix_vectors; n++)
        fire_if_pending(s, n);
}

bool pci_msix(struct pci_device *d, unsigned n)
{
    struct pci_state *s = d->state;

    if (!pci_msix_enabled(s))
        return false;
    if (n >= s->msix_vectors)
        return true;
    if (masked(s, n))
        s->msix_pending[n / 64] |= BIT(n % 64);
    else
        fire(s, n);
    return true;
}

static size_t table_size(const struct pci_state *s)
{
    return s->msix_vectors * MSIX_ENTRY;
}

static uint64_t half(const struct pci_state *s)
{
    return s->bar[s->device->msix_bar].size / 2;
}

/* `size` bytes at `off` of a block of `len`; what lies beyond reads as zero. */
static uint64_t peek(const void *block, size_t len, uint64_t off, unsigned size)
{
    uint64_t value = 0;

    if (off < len)
        memcpy(&value, (const uint8_t *)block + off, MIN(size, len - off));
    return value;
}

static uint64_t msix_read(void *dev, uint64_t off, unsigned size)
{
    const struct pci_state *s = ((const struct pci_device *)dev)->state;

    if (off < half(s))
        return peek(s->msix_table, table_size(s), off, size);
    return peek(s->msix_pending, (s->msix_vectors + 63) / 64 * 8, off - half(s), size);
}

static void msix_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_state *s = ((struct pci_device *)dev)->state;

    /* Software writes whole words; others have no defined effect. */
    if (off >= table_size(s) || off % size || size < 4)
        return;
    memcpy(s->msix_table + off, &value, size);
    s->msix_table[off / MSIX_ENTRY * MSIX_ENTRY + 12] &= 1; /* one bit of vector control exists */
    memset(s->msix_table + off / MSIX_ENTRY * MSIX_ENTRY + 13, 0, 3);
    fire_if_pending(s, (unsigned)(off / MSIX_ENTRY));
}

static const struct bus_ops msix_ops = {msix_read, msix_write};

void pci_msix_reset(struct pci_state *s)
{
    if (!s->msix_cap)
        return;
    memset(s->msix_table, 0, table_size(s));
    memset(s->msix_pending, 0, (s->msix_vectors + 63) / 64 * sizeof(uint64_t));
    for (unsigned n = 0; n < s->msix_vectors; n++)
        s->msix_table[n * MSIX_ENTRY + 12] = 1;
}

enum status pci_msix_init(struct pci_state *s, struct error *err)
{
    struct pci_device *d = s->device;
    uint64_t size = 4096;
    uint8_t cap[12] = {0};

    if (d->msix_vectors > MSIX_MAX || d->msix_bar >= PCI_BARS || d->bar[d->msix_bar].size)
        return fail(err, ERR_ARG, "%s: %u MSI-X vectors in BAR %u, which must be a free one",
                    d->name, d->msix_vectors, d->msix_bar);
    s->msix_vectors = d->msix_vectors;
    while (size < 2 * table_size(s))
        size *= 2;
    s->bar[d->msix_bar] = (struct pci_bar){.size = size, .ops = &msix_ops};
    s->msix_table = calloc(s->msix_vectors, MSIX_ENTRY);
    s->msix_pending = calloc((s->msix_vectors + 63) / 64, sizeof(uint64_t));
    if (!s->msix_table || !s->msix_pending)
        return fail(err, ERR_NOMEM, "%s: no memory for its MSI-X table", d->name);
    store16(cap + 2, (uint16_t)(s->msix_vectors - 1));
    store32(cap + 4, d->msix_bar);
    store32(cap + 8, (uint32_t)(size / 2) | d->msix_bar);
    s->msix_cap = pci_capability(d, PCI_CAP_ID_MSIX, cap, sizeof(cap));
    if (!s->msix_cap)
        return fail(err, ERR_LIMIT, "%s: no room for its MSI-X capability", d->name);
    s->writable[s->msix_cap + 3] = (MSIX_ENABLE | MSIX_MASKALL) >> 8;
    pci_msix_reset(s);
    return OK;
}
