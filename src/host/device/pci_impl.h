/* Shared by pci.c and pci_msix.c. */
#ifndef LUCCA_HOST_DEVICE_PCI_IMPL_H
#define LUCCA_HOST_DEVICE_PCI_IMPL_H

#include "host/device/pci.h"

/* Configuration header (PCI 3.0 6.1). */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_CLASS_REV = 0x08,
    PCI_CACHE_LINE = 0x0C,
    PCI_LATENCY = 0x0D,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM = 0x2C,
    PCI_CAP_LIST = 0x34,
    PCI_IRQ_LINE = 0x3C,
    PCI_IRQ_PIN = 0x3D,
};
#define PCI_COMMAND_IO       0x001u
#define PCI_COMMAND_MEMORY   0x002u
#define PCI_COMMAND_MASTER   0x004u
#define PCI_COMMAND_INTX_OFF 0x400u
#define PCI_COMMAND_BITS     0x547u /* those, and the parity and SERR enables */
#define PCI_STATUS_INTX      0x08u
#define PCI_STATUS_CAP_LIST  0x10u
#define PCI_CAP_ID_MSIX      0x11u

#define MSIX_ENTRY   16u
#define MSIX_ENABLE  0x8000u
#define MSIX_MASKALL 0x4000u

struct pci_state {
    struct pci_device *device;
    uint8_t writable[256]; /* bits that the guest may change, header and MSI-X control */
    uint8_t initial[256];  /* what reset restores of those */
    struct pci_bar bar[PCI_BARS];
    bool mapped[PCI_BARS];
    uint64_t mapped_at[PCI_BARS];
    unsigned msix_cap;     /* offset; 0: none */
    unsigned msix_vectors; /* as the device asked */
    uint8_t *msix_table;   /* MSIX_ENTRY bytes a vector */
    uint64_t *msix_pending;
    bool intx; /* what the device says; the line obeys the command register too */
};

struct board *pci_board(struct pci_bus *p);
/* Makes the capability, the BAR and the table. */
enum status pci_msix_init(struct pci_state *s, struct error *err) MUST_USE;
void pci_msix_reset(struct pci_state *s);
/* After a write to the message control word. */
void pci_msix_update(struct pci_state *s);
bool pci_msix_enabled(const struct pci_state *s);

#endif
