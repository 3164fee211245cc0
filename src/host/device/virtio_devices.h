/* virtio devices for the VMM: constructors, and the option strings that describe disks and nets. */
#ifndef LUCCA_HOST_DEVICE_VIRTIO_DEVICES_H
#define LUCCA_HOST_DEVICE_VIRTIO_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/block.h"
#include "host/device/board.h"
#include "host/device/chardev.h"
#include "host/device/pci.h"

struct virtio;

/* Every constructor puts the new device in the next free PCI slot. Board, bus, image and chardev
 * are borrowed and must outlive it. Call virtio_free once the guest has stopped for good: nothing
 * may use the PCI bus after it but pci_bus_free. NULL is fine. */
void virtio_free(struct virtio *dev);

/* ---- disks ---- */
#define DISK_SERIAL_MAX 20 /* virtio 1.2, 5.2.6: the device ID string */

enum status virtio_blk_new(struct board *b, struct pci_bus *pci, struct block *image,
                           const char *serial, struct virtio **out, struct error *err) MUST_USE;

/* One SCSI controller; disks are added before the guest starts. Target 0..255, LUN 0..255. */
enum status virtio_scsi_new(struct board *b, struct pci_bus *pci, struct virtio **out,
                            struct error *err) MUST_USE;
enum status virtio_scsi_add(struct virtio *scsi, unsigned target, unsigned lun, struct block *image,
                            const char *serial, struct error *err) MUST_USE;

enum drive_bus { DRIVE_VIRTIO, DRIVE_SCSI };

struct drive_config {
    char file[4096];
    enum block_format format;
    enum drive_bus bus;
    bool readonly;
    char serial[DISK_SERIAL_MAX + 1]; /* "" where none was given */
};

/* file=PATH,format=raw|qcow2,if=virtio|scsi,readonly=on|off,serial=S (a comma in PATH is ",,") */
enum status drive_parse(const char *text, struct drive_config *out, struct error *err) MUST_USE;

/* All of a machine's disks at once: opens each image, makes a virtio-blk device for each
 * DRIVE_VIRTIO in order and one virtio-scsi controller for all DRIVE_SCSI (targets 0, 1, ...).
 * A drive without a serial gets "lucca-N". Where it fails, *out still holds what was made until
 * then (NULL if nothing), for disks_free. */
struct disks;
enum status disks_new(struct board *b, struct pci_bus *pci, const struct drive_config *drives,
                      size_t n, struct disks **out, struct error *err) MUST_USE;
/* As virtio_free, for all of them; flushes and closes the images. NULL is fine. */
void disks_free(struct disks *d);

/* ---- network ---- */
#define NET_FORWARDS 32

struct net_forward {
    bool udp;
    uint32_t host, guest; /* IPv4, host byte order; host 0: every address, guest 0: the DHCP one */
    uint16_t host_port, guest_port;
};

struct net_config {
    enum { NET_NONE, NET_USER } kind;
    bool mac_given;
    uint8_t mac[6];
    unsigned forwards;
    struct net_forward forward[NET_FORWARDS];
};

/* none | user[,hostfwd=tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT]...[,mac=52:54:00:..] */
enum status net_parse(const char *text, struct net_config *out, struct error *err) MUST_USE;

/* User networking as the guest sees it: 10.0.2.0/24, gateway and host 10.0.2.2, DNS 10.0.2.3, DHCP
 * from 10.0.2.15. NET_NONE makes no device (*out is NULL). The process must ignore SIGPIPE. */
enum status virtio_net_new(struct board *b, struct pci_bus *pci, const struct net_config *config,
                           struct virtio **out, struct error *err) MUST_USE;

/* ---- entropy ---- */
typedef void entropy_fn(void *ctx, void *to, size_t len);

/* `fn` NULL: the operating system's entropy. */
enum status virtio_rng_new(struct board *b, struct pci_bus *pci, entropy_fn *fn, void *ctx,
                           struct virtio **out, struct error *err) MUST_USE;

/* An entropy_fn over a seed (ctx is a uint64_t that it advances), for runs that must repeat. */
void entropy_from_seed(void *seed, void *to, size_t len);

/* ---- console ---- */
/* One port (hvc0). Takes over `chr`: sets its sink, room and dev. */
enum status virtio_console_new(struct board *b, struct pci_bus *pci, struct chardev *chr,
                               struct virtio **out, struct error *err) MUST_USE;

#endif
