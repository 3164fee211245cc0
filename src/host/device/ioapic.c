/* IOAPIC, version 20h: index and window registers, an EOI register, 24 redirection entries. */
#include "host/device/ioapic.h"

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board_impl.h"
#include "host/device/pci.h"

#define VERSION 0x20u

/* Redirection entry: vector 7:0, mode 10:8, and these. Destination in 63:56. */
#define RTE_LOGICAL    BIT(11)
#define RTE_STATUS     BIT(12)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL      BIT(15)
#define RTE_MASKED     BIT(16)
#define RTE_READ_ONLY  (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_BITS       (UINT64_C(0xFF) << 56 | 0x1FFFF)

enum { OFF_SELECT = 0x00, OFF_WINDOW = 0x10, OFF_EOI = 0x40 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_REDIRECTION = 0x10 };

static bool send(struct ioapic *io, uint64_t rte)
{
    struct apic_msg m = {
        .dest = (uint32_t)(rte >> 56),
        .logical = rte & RTE_LOGICAL,
        .level = rte & RTE_LEVEL,
        .mode = rte >> 8 & 7,
        .vector = rte & 0xFF,
    };

    return apic_deliver(io->board, &m);
}

/* A level-triggered pin that is up is sent once, until the EOI clears its remote IRR. */
static void serve_level(struct ioapic *io, unsigned pin)
{
    uint64_t *rte = &io->redirection[pin];

    if (!(*rte & RTE_LEVEL) || *rte & (RTE_MASKED | RTE_REMOTE_IRR) || !(io->lines >> pin & 1))
        return;
    if (send(io, *rte))
        *rte |= RTE_REMOTE_IRR;
}

void ioapic_pin(struct ioapic *io, unsigned pin, bool level)
{
    bool was = io->lines >> pin & 1;
    uint64_t rte = io->redirection[pin];

    io->lines = level ? io->lines | 1u << pin : io->lines & ~(1u << pin);
    if (rte & RTE_LEVEL)
        serve_level(io, pin);
    else if (level && !was && !(rte & RTE_MASKED)) /* edges that come while masked are lost */
        send(io, rte);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *rte = &io->redirection[pin];

        if ((*rte & 0xFF) != vector || !(*rte & RTE_REMOTE_IRR))
            continue;
        *rte &= ~RTE_REMOTE_IRR;
        serve_level(io, pin);
    }
}

static uint32_t read_reg(const struct ioapic *io, unsigned reg)
{
    unsigned n = reg - REG_REDIRECTION;

    if (reg == REG_ID || reg == REG_ARBITRATION)
        return (uint32_t)io->id << 24;
    if (reg == REG_VERSION)
        return VERSION | (IOAPIC_PINS - 1) << 16;
    if (reg < REG_REDIRECTION || n >= 2 * IOAPIC_PINS)
        return UINT32_MAX;
    return (uint32_t)(io->redirection[n / 2] >> (n & 1) * 32);
}

static void write_redirection(struct ioapic *io, unsigned n, uint32_t value)
{
    uint64_t *rte = &io->redirection[n / 2];
    uint64_t half = UINT64_C(0xFFFFFFFF) << (n & 1) * 32;
    uint64_t bits = half & RTE_BITS & ~RTE_READ_ONLY;

    *rte = (*rte & ~bits) | ((uint64_t)value << (n & 1) * 32 & bits);
    /* An edge-triggered entry has no remote IRR: software clears a stuck one this way. */
    if (!(*rte & RTE_LEVEL))
        *rte &= ~RTE_REMOTE_IRR;
    serve_level(io, n / 2);
}

static void write_reg(struct ioapic *io, unsigned reg, uint32_t value)
{
    if (reg == REG_ID)
        io->id = value >> 24 & 15;
    else if (reg >= REG_REDIRECTION && reg - REG_REDIRECTION < 2 * IOAPIC_PINS)
        write_redirection(io, reg - REG_REDIRECTION, value);
}

static uint64_t mmio_read(void *dev, uint64_t off, unsigned size)
{
    struct ioapic *io = dev;

    if (off == OFF_SELECT)
        return io->select;
    if (off == OFF_WINDOW)
        return read_reg(io, io->select);
    return off & 15 ? 0 : UINT64_MAX;
}

static void mmio_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct ioapic *io = dev;

    if (off == OFF_SELECT)
        io->select = (uint8_t)value;
    else if (off == OFF_WINDOW)
        write_reg(io, io->select, (uint32_t)value);
    else if (off == OFF_EOI)
        ioapic_eoi(io, (uint8_t)value);
}

static const struct bus_ops ops = {mmio_read, mmio_write};

void ioapic_reset(struct ioapic *io)
{
    io->id = io->select = 0;
    io->lines = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->redirection[pin] = RTE_MASKED;
}

enum status ioapic_init(struct ioapic *io, struct board *b, struct error *err)
{
    io->board = b;
    ioapic_reset(io);
    return bus_add(board_bus(b), BUS_MEMORY, IOAPIC_BASE, 0x1000, &ops, io, "ioapic", err);
}
