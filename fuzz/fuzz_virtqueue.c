/* Fuzzes the virtio transport, rings and devices: the input fills guest memory and then plays the
 * driver. Nothing but a device of ours may come to harm, so the sanitizers are the judges. */
#include "rig.h"

#include "host/device/virtio.h"
#include "host/device/virtio_devices.h"

static struct rig rig;
static uint8_t disk[RIG_RAM];

/* ---- an image in memory ---- */

static enum status disk_read(struct block *b, uint64_t off, void *to, size_t len, struct error *err)
{
    memcpy(to, disk + off, len);
    return OK;
}

static enum status disk_write(struct block *b, uint64_t off, const void *from, size_t len,
                              struct error *err)
{
    memcpy(disk + off, from, len);
    return OK;
}

static enum status disk_zero(struct block *b, uint64_t off, uint64_t len, bool unmap,
                             struct error *err)
{
    memset(disk + off, 0, len);
    return OK;
}

static enum status disk_discard(struct block *b, uint64_t off, uint64_t len, struct error *err)
{
    return OK;
}

static enum status disk_flush(struct block *b, struct error *err)
{
    return OK;
}

static void disk_close(struct block *b)
{
}

static const struct block_ops disk_ops = {
    .read = disk_read,
    .write = disk_write,
    .zero = disk_zero,
    .discard = disk_discard,
    .flush = disk_flush,
    .close = disk_close,
};

/* ---- the driver ---- */

static struct block image = {.ops = &disk_ops, .size = RIG_RAM};
static struct chardev chr;
static uint64_t seed;

static enum status make(unsigned kind, struct board *b, struct pci_bus *pci, struct virtio **dev)
{
    enum status s;

    switch (kind % 4) {
    case 0:
        return virtio_blk_new(b, pci, &image, "fuzz", dev, NULL);
    case 1:
        s = virtio_scsi_new(b, pci, dev, NULL);
        return s == OK ? virtio_scsi_add(*dev, 0, 0, &image, "fuzz", NULL) : s;
    case 2:
        return virtio_console_new(b, pci, &chr, dev, NULL);
    default:
        return virtio_rng_new(b, pci, entropy_from_seed, &seed, dev, NULL);
    }
}

/* A sane set-up that the input may then spoil: rings of 8 at 0, 100h, 200h. */
static void set_up(struct bus *bus, uint64_t bar, uint32_t features)
{
    bus_write(bus, BUS_MEMORY, bar + 0x14, 1, 3);
    bus_write(bus, BUS_MEMORY, bar + 0x08, 4, 0);
    bus_write(bus, BUS_MEMORY, bar + 0x0c, 4, features & 0x30000000);
    bus_write(bus, BUS_MEMORY, bar + 0x08, 4, 1);
    bus_write(bus, BUS_MEMORY, bar + 0x0c, 4, 1);
    bus_write(bus, BUS_MEMORY, bar + 0x14, 1, 0xb);
    for (unsigned q = 0; q < 3; q++) {
        bus_write(bus, BUS_MEMORY, bar + 0x16, 2, q);
        bus_write(bus, BUS_MEMORY, bar + 0x18, 2, 8);
        bus_write(bus, BUS_MEMORY, bar + 0x20, 8, 0x100 * q);
        bus_write(bus, BUS_MEMORY, bar + 0x28, 8, 0x100 * q + 0x80);
        bus_write(bus, BUS_MEMORY, bar + 0x30, 8, 0x100 * q + 0xa0);
        bus_write(bus, BUS_MEMORY, bar + 0x1c, 2, 1);
    }
    bus_write(bus, BUS_MEMORY, bar + 0x14, 1, 0xf);
}

/* Each step is 8 bytes: what to do, where, with what. */
static void play(struct bus *bus, uint64_t bar, struct cursor *c)
{
    for (unsigned steps = 0; c->left >= 8 && steps < 64; steps++) {
        uint8_t what = cursor_u8(c), size = (uint8_t)(1u << (cursor_u8(c) & 3));
        uint16_t at = cursor_u16(c);
        uint32_t value = cursor_u32(c);

        switch (what % 6) {
        case 0:
            bus_write(bus, BUS_MEMORY, bar + at % 0x4000, size, value);
            break;
        case 1:
            bus_read(bus, BUS_MEMORY, bar + at % 0x4000, size);
            break;
        case 2:
            bus_write(bus, BUS_MEMORY, bar + 0x3000 + at % 4 * 4, 2, 0); /* kick */
            break;
        case 3:
            store32(rig.ram + at % (RIG_RAM - 4), value);
            break;
        case 4:
            bus_write(bus, BUS_MEMORY, PCI_ECAM_BASE + 0x8000 + at % 0x100, size, value);
            break;
        default:
            if (chr.sink)
                chr.sink(chr.dev, rig.ram + at % (RIG_RAM - 256), value % 256);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_over(data, size);
    uint8_t kind = cursor_u8(&c);
    uint32_t features = cursor_u32(&c);
    size_t memory = MIN(c.left / 2, RIG_RAM);
    struct virtio *dev = NULL;
    struct pci_bus *pci;
    struct board *b;

    memset(&rig, 0, sizeof(rig));
    memcpy(rig.ram, cursor_take(&c, memory), memory);
    chr = (struct chardev){0};
    seed = 0;
    b = rig_board(&rig, 1);
    pci = pci_bus_new(b, board_bus(b), NULL);
    MUST(pci && make(kind, b, pci, &dev) == OK);
    bus_write(board_bus(b), BUS_MEMORY, PCI_ECAM_BASE + 0x8004, 2, 6);
    set_up(board_bus(b), PCI_MMIO32_BASE, features); /* where the first BAR is put */
    play(board_bus(b), PCI_MMIO32_BASE, &c);
    rig.now += 1000000;
    board_run_timers(b);
    pci_bus_free(pci);
    virtio_free(dev);
    board_free(b);
    return 0;
}
