/* QEMU's test device for test kernels: a register that echoes (E0h by any width, E8h byte by byte),
 * interrupt lines by hand (2000h + GSI), 64 KiB of device memory at FF000000h. Its flush port (E4h)
 * makes an emulator drop what it remembers of a page; there is nothing of the kind here to drop. */
#include <stdlib.h>
#include <string.h>

#include "host/device/board.h"
#include "host/device/bytewise.h"
#include "host/device/legacy.h"

#define IOMEM_BASE 0xFF000000u
#define IOMEM_SIZE 0x10000u
#define LINES_PORT 0x2000u
#define SOURCE     31u /* of each line */

struct testdev {
    struct board *board;
    uint8_t echo[4];
    uint8_t iomem[IOMEM_SIZE];
};

static uint8_t echo_read(void *dev, unsigned off)
{
    const struct testdev *t = dev;

    return t->echo[off & 3];
}

static void echo_write(void *dev, unsigned off, uint8_t value)
{
    struct testdev *t = dev;

    if (off < 4 || off >= 8) /* E4h-E7h: flush */
        t->echo[off & 3] = value;
}

static uint8_t lines_read(void *dev, unsigned off)
{
    return 0;
}

static void lines_write(void *dev, unsigned off, uint8_t value)
{
    const struct testdev *t = dev;

    board_gsi(t->board, off, SOURCE, value);
}

BYTE_OPS(echo);
BYTE_OPS(lines);

static uint64_t iomem_read(void *dev, uint64_t off, unsigned size)
{
    const struct testdev *t = dev;
    uint64_t value = 0;

    memcpy(&value, t->iomem + off, size);
    return value;
}

static void iomem_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *t = dev;

    memcpy(t->iomem + off, &value, size);
}

static const struct bus_ops iomem_ops = {iomem_read, iomem_write};

void testdev_reset(struct testdev *t)
{
    memset(t->echo, 0, sizeof(t->echo));
    memset(t->iomem, 0, sizeof(t->iomem));
}

struct testdev *testdev_new(struct board *b, struct error *err)
{
    struct testdev *t = calloc(1, sizeof(*t));
    struct bus *bus = board_bus(b);

    if (!t) {
        fail(err, ERR_NOMEM, "no memory for the test device");
        return NULL;
    }
    t->board = b;
    if (bus_add(bus, BUS_PORTS, 0xE0, 12, &echo_ops, t, "testdev echo", err) == OK &&
        bus_add(bus, BUS_PORTS, LINES_PORT, BOARD_GSIS, &lines_ops, t, "testdev lines", err) ==
            OK &&
        bus_add(bus, BUS_MEMORY, IOMEM_BASE, IOMEM_SIZE, &iomem_ops, t, "testdev memory", err) ==
            OK)
        return t;
    testdev_free(t);
    return NULL;
}

void testdev_free(struct testdev *t)
{
    struct bus *bus;

    if (!t)
        return;
    bus = board_bus(t->board);
    bus_remove(bus, BUS_PORTS, 0xE0, t);
    bus_remove(bus, BUS_PORTS, LINES_PORT, t);
    bus_remove(bus, BUS_MEMORY, IOMEM_BASE, t);
    free(t);
}
