/* DMA: a driver of virtio-blk over PCI (virtio 1.2, 4.1 and 5.2) that polls, and of fw_cfg. Rings
 * and headers are in memory shared with the host; where the data is, is the caller's affair. */
#include "guest/probe/probe.h"

#define PCI_ADDRESS     0xCF8
#define PCI_DATA        0xCFC
#define VIRTIO_BLK      0x10421AF4u
#define CAP_VENDOR      9
#define CAP_COMMON      1
#define CAP_NOTIFY      2
#define RING            8u
#define DESC_NEXT       1
#define DESC_WRITE      2
#define FEATURE_VERSION BIT(0) /* in the upper word: VERSION_1, ACCESS_PLATFORM */
#define FEATURE_ACCESS  BIT(1)
#define BIT(n)          (1u << (n))

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

/* What device and driver share. */
struct rings {
    struct descriptor desc[RING];
    struct {
        uint16_t flags, index, ring[RING];
    } avail;
    struct {
        _Alignas(4) uint16_t flags;
        uint16_t index;
        struct {
            uint32_t id, length;
        } ring[RING];
    } used;
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } request;
    uint8_t status;
};

static _Alignas(PAGE) uint8_t ring_page[PAGE];
static volatile uint8_t *common, *notify;
static uint32_t notify_step;

static uint32_t pci_read(unsigned slot, unsigned off)
{
    out32(PCI_ADDRESS, 0x80000000u | slot << 11 | (off & ~3u));
    return in32(PCI_DATA) >> 8 * (off & 3);
}

static void pci_write(unsigned slot, unsigned off, uint32_t v)
{
    out32(PCI_ADDRESS, 0x80000000u | slot << 11 | off);
    out32(PCI_DATA, v);
}

static volatile uint8_t *structure(unsigned slot, unsigned cap)
{
    unsigned bar = 0x10 + 4 * (pci_read(slot, cap + 4) & 0xFF);

    return (volatile uint8_t *)(uintptr_t)((pci_read(slot, bar) & ~15u) + pci_read(slot, cap + 8));
}

static void find_structures(unsigned slot)
{
    unsigned cap = pci_read(slot, 0x34) & 0xFC;

    for (; cap; cap = pci_read(slot, cap + 1) & 0xFC) {
        uint32_t head = pci_read(slot, cap);

        if ((head & 0xFF) != CAP_VENDOR)
            continue;
        if (head >> 24 == CAP_COMMON)
            common = structure(slot, cap);
        if (head >> 24 == CAP_NOTIFY) {
            notify = structure(slot, cap);
            notify_step = pci_read(slot, cap + 16);
        }
    }
}

static void set32(unsigned off, uint32_t v)
{
    *(volatile uint32_t *)(common + off) = v;
}

static void set16(unsigned off, uint16_t v)
{
    *(volatile uint16_t *)(common + off) = v;
}

static void set_address(unsigned off, const void *p)
{
    set32(off, (uint32_t)(uintptr_t)p);
    set32(off + 4, 0);
}

static bool start(void)
{
    const struct rings *r =
        (const struct rings *)ring_page; /* addresses as the device knows them */
    uint32_t offered;

    common[0x14] = 0;
    common[0x14] = 1;
    common[0x14] = 3;
    set32(0x00, 1);
    offered = *(volatile uint32_t *)(common + 0x04);
    set32(0x08, 1);
    set32(0x0C, offered & (FEATURE_VERSION | FEATURE_ACCESS));
    common[0x14] = 11; /* FEATURES_OK */
    if (!(common[0x14] & 8))
        return false;
    set16(0x16, 0);
    set16(0x18, RING);
    set_address(0x20, r->desc);
    set_address(0x28, &r->avail);
    set_address(0x30, &r->used);
    set16(0x1C, 1);
    common[0x14] = 15;
    return true;
}

bool disk_open(void)
{
    _Static_assert(sizeof(struct rings) <= PAGE, "they have a page");
    for (unsigned slot = 0; slot < 32; slot++)
        if (pci_read(slot, 0) == VIRTIO_BLK) {
            pci_write(slot, 4, 6); /* memory and bus mastering on */
            find_structures(slot);
            memset(SHARED(ring_page), 0, PAGE);
            return common && notify && start();
        }
    return false;
}

bool disk_io(bool write, uint64_t sector, uint64_t gpa, uint32_t bytes)
{
    volatile struct rings *r = SHARED(ring_page);
    const struct rings *theirs = (const struct rings *)ring_page;
    uint16_t turn = r->avail.index;

    r->request.type = write;
    r->request.reserved = 0;
    r->request.sector = sector;
    r->status = 0xFF;
    r->desc[0] = (struct descriptor){(uintptr_t)&theirs->request, 16, DESC_NEXT, 1};
    r->desc[1] = (struct descriptor){gpa, bytes, write ? DESC_NEXT : DESC_NEXT | DESC_WRITE, 2};
    r->desc[2] = (struct descriptor){(uintptr_t)&theirs->status, 1, DESC_WRITE, 0};
    r->avail.ring[turn % RING] = 0;
    r->avail.index = (uint16_t)(turn + 1);
    *(volatile uint16_t *)(notify + 0 * notify_step) = 0;
    while (r->used.index != (uint16_t)(turn + 1))
        __asm__ volatile("pause");
    return r->status == 0;
}

/* ---- fw_cfg ---------------------------------------------------------------------------------- */

static _Alignas(16) struct {
    uint32_t control, length;
    uint64_t address;
} dma;

bool fw_cfg_dma(uint16_t key, uint64_t gpa, uint32_t len)
{
    volatile __typeof__(dma) *d = SHARED(&dma);

    d->control = __builtin_bswap32((uint32_t)key << 16 | 0x08 | 0x02); /* select, read */
    d->length = __builtin_bswap32(len);
    d->address = __builtin_bswap64(gpa);
    out32(0x514, 0);
    out32(0x518, __builtin_bswap32((uint32_t)(uintptr_t)&dma));
    while (__builtin_bswap32(d->control) & ~1u)
        __asm__ volatile("pause");
    return d->control == 0;
}
