/* A board for device tests: a megabyte of memory, a clock that stands until it is told, a record of
 * kicks. */
#ifndef LUCCA_TESTS_FAKE_BOARD_H
#define LUCCA_TESTS_FAKE_BOARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/board_host.h"
#include "host/device/lapic.h"

#include <cmocka.h> /* after base/status.h: both have a `fail` */

#define FAKE_RAM 0x100000u

struct fake {
    struct board *board;
    struct bus *bus;
    uint64_t now;
    unsigned kicks[BOARD_MAX_VCPUS];
    uint8_t ram[FAKE_RAM];
};

static bool fake_range(uint64_t gpa, size_t len)
{
    return gpa <= FAKE_RAM && len <= FAKE_RAM - gpa;
}

static bool fake_dma_read(void *ctx, uint64_t gpa, void *to, size_t len)
{
    struct fake *f = ctx;

    if (!fake_range(gpa, len))
        return false;
    memcpy(to, f->ram + gpa, len);
    return true;
}

static bool fake_dma_write(void *ctx, uint64_t gpa, const void *from, size_t len)
{
    struct fake *f = ctx;

    if (!fake_range(gpa, len))
        return false;
    memcpy(f->ram + gpa, from, len);
    return true;
}

static uint64_t fake_now(void *ctx)
{
    struct fake *f = ctx;

    return f->now;
}

static void fake_kick(void *ctx, unsigned vcpu)
{
    struct fake *f = ctx;

    f->kicks[vcpu]++;
}

static inline struct fake *fake_new(unsigned vcpus)
{
    static const struct board_hooks hooks = {fake_dma_read, fake_dma_write, fake_now, fake_kick};
    struct fake *f = calloc(1, sizeof(*f));
    struct board_config cfg = {.vcpus = vcpus, .pa_bits = 48, .hooks = &hooks, .ctx = f};
    struct error err;

    assert_non_null(f);
    assert_int_equal(board_new(&cfg, &f->board, &err), OK);
    f->bus = board_bus(f->board);
    return f;
}

static inline void fake_free(struct fake *f)
{
    board_free(f->board);
    free(f);
}

/* Lets the clock reach `ns`, deadline by deadline. */
static inline void fake_run_until(struct fake *f, uint64_t ns)
{
    while (board_next_deadline(f->board) <= ns) {
        f->now = MAX(f->now, board_next_deadline(f->board));
        board_run_timers(f->board);
    }
    f->now = ns;
}

static inline uint64_t inp(struct fake *f, uint16_t port, unsigned size)
{
    return bus_read(f->bus, BUS_PORTS, port, size);
}

static inline uint8_t inb(struct fake *f, uint16_t port)
{
    return (uint8_t)inp(f, port, 1);
}

static inline void outp(struct fake *f, uint16_t port, unsigned size, uint64_t value)
{
    bus_write(f->bus, BUS_PORTS, port, size, value);
}

static inline void outb(struct fake *f, uint16_t port, uint8_t value)
{
    outp(f, port, 1, value);
}

/* The 8259 pair set up as a PC's kernel does (vectors 20h and 28h) with only `mask`'s zeros open,
 * and every local APIC enabled by software. */
static inline void fake_open_pic(struct fake *f, uint16_t mask)
{
    static const uint8_t icw[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};

    for (int chip = 0; chip < 2; chip++) {
        uint16_t port = chip ? 0xA0 : 0x20;

        outb(f, port, icw[chip][0]);
        for (int i = 1; i < 4; i++)
            outb(f, port + 1, icw[chip][i]);
        outb(f, port + 1, (uint8_t)(mask >> chip * 8));
    }
}

static inline void ioapic_set(struct fake *f, unsigned pin, uint64_t rte)
{
    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 0x11 + pin * 2);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00010, 4, rte >> 32);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 0x10 + pin * 2);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00010, 4, rte & 0xFFFFFFFF);
}

static inline uint64_t ioapic_get(struct fake *f, unsigned pin)
{
    uint64_t low, high;

    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 0x10 + pin * 2);
    low = bus_read(f->bus, BUS_MEMORY, 0xFEC00010, 4);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 0x11 + pin * 2);
    high = bus_read(f->bus, BUS_MEMORY, 0xFEC00010, 4);
    return high << 32 | low;
}

#define LAPIC_EOI   0xB0
#define LAPIC_SVR   0xF0
#define LAPIC_TPR   0x80
#define LAPIC_LDR   0xD0
#define LAPIC_DFR   0xE0
#define LAPIC_ESR   0x280
#define LAPIC_ICR   0x300
#define LAPIC_ICR2  0x310
#define LAPIC_LVTT  0x320
#define LAPIC_LVT0  0x350
#define LAPIC_LVT1  0x360
#define LAPIC_LVTE  0x370
#define LAPIC_TMICT 0x380
#define LAPIC_TMCCT 0x390
#define LAPIC_TDCR  0x3E0

static inline void fake_enable_lapics(struct fake *f)
{
    for (unsigned i = 0; i < board_vcpus(f->board); i++)
        lapic_write(board_lapic(f->board, i), LAPIC_SVR, 0x1FF);
}

#endif
