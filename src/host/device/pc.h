/* The PC around the processors: the legacy devices, power management, fw_cfg and the PCI root,
 * wired to a board. One call makes them all; the VMM then adds PCI devices to pc_pci(). */
#ifndef LUCCA_HOST_DEVICE_PC_H
#define LUCCA_HOST_DEVICE_PC_H

#include "host/device/board.h"
#include "host/device/chardev.h"
#include "host/device/fw_cfg.h"
#include "host/device/pci.h"

#define PC_SERIALS 4

/* Ports that ACPI tables name. */
#define PC_PM_BASE    0x600u /* PM1a event block; control block at +4, timer at +8 */
#define PC_GPE0_BASE  0x620u
#define PC_GPE0_LEN   16u
#define PC_SCI_GSI    9u
#define PC_RESET_PORT 0xCF9u

struct pc_config {
    uint64_t ram_low, ram_high; /* bytes below PCI_ECAM_BASE, and from 4 GiB on */
    unsigned vcpus;
    int64_t rtc_base;                   /* Unix time (UTC) at VM clock 0 */
    struct chardev *serial[PC_SERIALS]; /* 3F8h/4, 2F8h/3, 3E8h/4, 2E8h/3; NULL: no such port */
    struct chardev *debugcon;           /* port 402h; NULL: none */
    bool debug_exit;                    /* port F4h: v ends the guest with 2v+1 */
    bool testdev;                       /* ports E0h-EBh, 2000h-2017h and memory at FF000000h */
};

struct pc;
enum status pc_new(struct board *b, const struct pc_config *cfg, struct pc **out,
                   struct error *err) MUST_USE;
void pc_free(struct pc *p);
/* Power-on state of everything: the board, these devices and every PCI device. */
void pc_reset(struct pc *p);
struct pci_bus *pc_pci(struct pc *p);
struct fw_cfg *pc_fw_cfg(struct pc *p);
/* The power button: a fixed-event SCI that asks the guest to shut down. */
void pc_power_button(struct pc *p);

#endif
