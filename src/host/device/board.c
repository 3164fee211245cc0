/* The board: time, interrupt lines and messages, DMA through the machine's hooks, fate. */
#include "host/device/board.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board_impl.h"

enum status board_new(const struct board_config *cfg, struct board **out, struct error *err)
{
    struct board *b;
    enum status st;

    if (cfg->vcpus < 1 || cfg->vcpus > BOARD_MAX_VCPUS)
        return fail(err, ERR_LIMIT, "%u vCPUs asked for; a board holds 1 to %d", cfg->vcpus,
                    BOARD_MAX_VCPUS);
    if (cfg->pa_bits < 36 || cfg->pa_bits > 52)
        return fail(err, ERR_ARG, "a physical address width of %u bits; 36 to 52 are possible",
                    cfg->pa_bits);
    b = calloc(1, sizeof(*b) + cfg->vcpus * sizeof(b->lapic[0]));
    if (!b)
        return fail(err, ERR_NOMEM, "no memory for the board");
    b->vcpus = cfg->vcpus;
    b->pa_bits = cfg->pa_bits;
    b->hooks = cfg->hooks;
    b->ctx = cfg->ctx;
    b->bus = bus_new();
    st = b->bus ? OK : fail(err, ERR_NOMEM, "no memory for the bus");
    for (unsigned i = 0; i < b->vcpus; i++)
        lapic_init(&b->lapic[i], b, i);
    if (st == OK)
        st = ioapic_init(&b->ioapic, b, err);
    if (st == OK)
        st = pic_init(&b->pic, b, err);
    if (st != OK) {
        board_free(b);
        return st;
    }
    *out = b;
    return OK;
}

void board_free(struct board *b)
{
    if (!b)
        return;
    bus_free(b->bus);
    board_poll_free(b);
    free(b);
}

void board_reset(struct board *b)
{
    memset(b->lines, 0, sizeof(b->lines));
    pic_reset(&b->pic);
    ioapic_reset(&b->ioapic);
    for (unsigned i = 0; i < b->vcpus; i++)
        lapic_reset(&b->lapic[i]);
    memset(&b->fate, 0, sizeof(b->fate));
}

unsigned board_vcpus(const struct board *b)
{
    return b->vcpus;
}

struct lapic *board_lapic(struct board *b, unsigned vcpu)
{
    return vcpu < b->vcpus ? &b->lapic[vcpu] : NULL;
}

struct bus *board_bus(struct board *b)
{
    return b->bus;
}

bool dma_read(struct board *b, uint64_t gpa, void *to, size_t len)
{
    return b->hooks->dma_read(b->ctx, gpa, to, len);
}

bool dma_write(struct board *b, uint64_t gpa, const void *from, size_t len)
{
    return b->hooks->dma_write(b->ctx, gpa, from, len);
}

/* ---- time --------------------------------------------------------------------------------- */

uint64_t board_now(const struct board *b)
{
    return b->hooks->now(b->ctx);
}

void timer_init(struct timer *t, struct board *b, timer_fn *fn, void *ctx)
{
    *t = (struct timer){.board = b, .fn = fn, .ctx = ctx, .deadline = UINT64_MAX};
}

void timer_cancel(struct timer *t)
{
    struct timer **at = &t->board->timers;

    if (t->deadline == UINT64_MAX)
        return;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    t->next = NULL;
    t->deadline = UINT64_MAX;
}

void timer_arm(struct timer *t, uint64_t deadline)
{
    struct timer **at = &t->board->timers;

    timer_cancel(t);
    if (deadline == UINT64_MAX)
        return;
    while (*at && (*at)->deadline <= deadline)
        at = &(*at)->next;
    t->deadline = deadline;
    t->next = *at;
    *at = t;
}

uint64_t board_next_deadline(const struct board *b)
{
    return b->timers ? b->timers->deadline : UINT64_MAX;
}

void board_run_timers(struct board *b)
{
    uint64_t now = board_now(b);

    while (b->timers && b->timers->deadline <= now) {
        struct timer *t = b->timers;

        timer_cancel(t);
        t->fn(t->ctx);
    }
}

/* ---- interrupts --------------------------------------------------------------------------- */

/* A PC wires ISA line 0 to IOAPIC pin 2; pin 0 has no line. */
static void ioapic_level(struct board *b, unsigned gsi)
{
    if (gsi == 0 || gsi == 2)
        ioapic_pin(&b->ioapic, 2, b->lines[0] || b->lines[2]);
    else
        ioapic_pin(&b->ioapic, gsi, b->lines[gsi] != 0);
}

void board_gsi(struct board *b, unsigned gsi, unsigned source, bool level)
{
    uint32_t was, bit = 1u << (source & 31);

    if (gsi >= BOARD_GSIS)
        return;
    was = b->lines[gsi];
    b->lines[gsi] = level ? was | bit : was & ~bit;
    if (!was == !b->lines[gsi])
        return;
    if (tracing(TRACE_IRQ))
        trace(TRACE_IRQ, "line %u %s", gsi, level ? "up" : "down");
    if (gsi < 16)
        pic_line(&b->pic, gsi, level);
    ioapic_level(b, gsi);
}

void board_msi(struct board *b, uint64_t address, uint32_t data)
{
    struct apic_msg m = {
        .dest = address >> 12 & 0xFF,
        .logical = address >> 2 & 1,
        .level = data >> 15 & 1,
        .mode = data >> 8 & 7,
        .vector = data & 0xFF,
    };

    if (address >> 20 != 0xFEE) {
        /* Not an interrupt: the device just writes four bytes where its driver told it to. */
        if (!dma_write(b, address, &data, sizeof(data)) && tracing(TRACE_IRQ))
            trace(TRACE_IRQ, "message to %#" PRIx64 ", where no memory is", address);
        return;
    }
    apic_deliver(b, &m);
}

void board_nmi(struct board *b)
{
    for (unsigned i = 0; i < b->vcpus; i++) {
        lapic_lint1(&b->lapic[i], true);
        lapic_lint1(&b->lapic[i], false);
    }
}

/* ---- fate --------------------------------------------------------------------------------- */

void board_end(struct board *b, enum fate fate, int code, const char *why)
{
    if (b->fate.fate != FATE_RUNNING)
        return;
    b->fate.fate = fate;
    b->fate.code = code;
    snprintf(b->fate.why, sizeof(b->fate.why), "%s", why ? why : "");
}

const struct board_fate *board_fate(const struct board *b)
{
    return &b->fate;
}
