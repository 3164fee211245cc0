/* All of a machine's disks, from their option strings to devices. */
#include "host/device/virtio_devices.h"

#include <stdio.h>
#include <stdlib.h>

struct disk {
    struct block *image;
    struct virtio *dev; /* virtio-blk; NULL for a disk of the SCSI controller */
};

struct disks {
    struct virtio *scsi;
    unsigned targets;
    size_t count;
    struct disk disk[];
};

static enum status add_scsi(struct disks *d, struct board *b, struct pci_bus *pci,
                            struct block *image, const char *serial, struct error *err)
{
    enum status s = d->scsi ? OK : virtio_scsi_new(b, pci, &d->scsi, err);

    return s == OK ? virtio_scsi_add(d->scsi, d->targets++, 0, image, serial, err) : s;
}

static enum status add_disk(struct disks *d, struct board *b, struct pci_bus *pci,
                            const struct drive_config *c, struct error *err)
{
    struct disk *disk = &d->disk[d->count];
    char serial[DISK_SERIAL_MAX + 1];
    enum status s = block_open(c->file, c->format, c->readonly, &disk->image, err);

    if (s != OK)
        return s;
    d->count++;
    snprintf(serial, sizeof(serial), "lucca-%zu", d->count - 1);
    if (c->bus == DRIVE_SCSI)
        return add_scsi(d, b, pci, disk->image, c->serial[0] ? c->serial : serial, err);
    return virtio_blk_new(b, pci, disk->image, c->serial[0] ? c->serial : serial, &disk->dev, err);
}

enum status disks_new(struct board *b, struct pci_bus *pci, const struct drive_config *drives,
                      size_t n, struct disks **out, struct error *err)
{
    struct disks *d = calloc(1, sizeof(*d) + n * sizeof(d->disk[0]));
    enum status s = OK;

    *out = d;
    if (!d)
        return fail(err, ERR_NOMEM, "no memory for the disks");
    for (size_t i = 0; i < n && s == OK; i++)
        s = add_disk(d, b, pci, &drives[i], err);
    return s;
}

void disks_free(struct disks *d)
{
    if (!d)
        return;
    virtio_free(d->scsi);
    for (size_t i = 0; i < d->count; i++) {
        virtio_free(d->disk[i].dev);
        block_close(d->disk[i].image);
    }
    free(d);
}
