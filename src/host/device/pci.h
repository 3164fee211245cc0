/* PCI: one root bus, configuration by ports CF8/CFC and by ECAM, memory and I/O BARs, MSI-X. */
#ifndef LUCCA_HOST_DEVICE_PCI_H
#define LUCCA_HOST_DEVICE_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board.h"
#include "host/device/bus.h"

/* Guest physical map that PCI, ACPI and the loader share. RAM fills what lies below PCI_ECAM_BASE
 * and goes on at 4 GiB. */
#define PCI_ECAM_BASE   0xB0000000u
#define PCI_ECAM_SIZE   0x10000000u
#define PCI_MMIO32_BASE 0xC0000000u
#define PCI_MMIO32_END  0xFEC00000u
#define PCI_IO_BASE     0xC000u
#define PCI_IO_END      0xFFFFu
#define PCI_MMIO64_BASE 0x20000000000ull /* 2 TiB: above all RAM, below every chip's limit */
#define PCI_MMIO64_SIZE 0x1000000000ull
#define IOAPIC_BASE     0xFEC00000u
#define LAPIC_BASE      0xFEE00000u

#define PCI_SLOTS 32
#define PCI_BARS  6

struct pci_bus;
struct pci_device;

struct pci_bar {
    uint64_t size; /* a power of two; 0: no such BAR */
    bool io, mem64, prefetch;
    const struct bus_ops *ops; /* `dev` is pci_device.opaque; offsets are within the BAR */
};

/* Filled by the device before pci_add; config space and BAR state are kept by pci.c. */
struct pci_device {
    const char *name;
    void *opaque;
    uint16_t vendor, device, subvendor, subdevice;
    uint32_t class_rev; /* config 08h: class in 31:8, revision in 7:0 */
    struct pci_bar bar[PCI_BARS];
    unsigned msix_vectors; /* 0: none; else a table and PBA in BAR `msix_bar`, made by pci.c */
    unsigned msix_bar;
    bool has_intx;
    /* Told of reset and of writes to device-made capabilities; either may be NULL. */
    void (*reset)(void *opaque);
    void (*config_write)(void *opaque, unsigned off, unsigned size, uint32_t value);
    /* Called before the guest reads a device-made capability, to freshen config[]; may be NULL. */
    void (*config_read)(void *opaque, unsigned off, unsigned size);

    uint8_t config[4096];
    unsigned cap_last, cap_end; /* pci_capability's: the newest one, and the end of all; 0: none */
    struct pci_bus *bus;
    unsigned slot;
    struct pci_state *state; /* pci.c's own */
};

struct pci_bus *pci_bus_new(struct board *b, struct bus *bus, struct error *err);
/* Devices are their owners' to free, before or after. */
void pci_bus_free(struct pci_bus *p);
void pci_bus_reset(struct pci_bus *p);

/* Next free slot; BARs are given addresses at once (there may be no firmware to do it). */
enum status pci_add(struct pci_bus *p, struct pci_device *d, struct error *err) MUST_USE;
/* Appends a capability of `len` bytes in all before pci_add (body[0] and body[1], its id and next,
 * are filled in); returns its offset. Guest writes there go to config_write alone. */
unsigned pci_capability(struct pci_device *d, uint8_t id, const void *body, unsigned len);

/* Signals MSI-X vector `n` if the guest enabled MSI-X (honouring masks and the PBA); true then. */
bool pci_msix(struct pci_device *d, unsigned n);
void pci_intx(struct pci_device *d, bool level);
/* INTA of slot s is routed to GSI 16 + s % 8; the ACPI _PRT says so. */
#define PCI_INTX_GSI(slot) (16u + (slot) % 8u)

#endif
