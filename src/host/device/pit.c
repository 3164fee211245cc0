/* 8254 timer and system control port 61h. Counters are not stepped: each is worked out, when
 * somebody looks, from the time at which it was loaded. Only channel 0's next interrupt is a timer.
 */
#include <stdlib.h>

#include "base/bytes.h"
#include "host/device/board.h"
#include "host/device/bytewise.h"
#include "host/device/legacy.h"

#define PIT_HZ     1193182u
#define CHANNELS   3
#define REFRESH_NS 15085u /* half a period of the refresh bit of port 61h */

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };
enum { MODE_COUNT, MODE_ONE_SHOT, MODE_RATE, MODE_SQUARE, MODE_STROBE, MODE_GATED_STROBE };

struct channel {
    uint8_t access, mode;
    bool bcd;
    bool gate;
    bool loaded;  /* a count was written since the mode */
    bool started; /* and counting has begun (modes 1 and 5 wait for the gate) */
    bool stopped; /* by its gate; `held` ticks have passed then */
    uint64_t held;
    uint32_t count;             /* 1 .. 65536 */
    uint64_t start;             /* ns */
    uint8_t low;                /* first byte of a two-byte write */
    bool write_high, read_high; /* which byte comes next */
    uint8_t latched;            /* bytes of `latch` still to read */
    uint16_t latch;
    bool has_status;
    uint8_t status;
};

struct pit {
    struct board *board;
    struct channel channel[CHANNELS];
    bool speaker; /* port 61h bit 1 */
    struct timer timer;
};

static uint64_t to_ticks(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * PIT_HZ / 1000000000);
}

/* The first ns at which `ticks` have passed. */
static uint64_t to_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * 1000000000 + PIT_HZ - 1) / PIT_HZ);
}

static uint64_t elapsed(const struct pit *p, const struct channel *c)
{
    if (!c->started)
        return 0;
    return c->stopped ? c->held : to_ticks(board_now(p->board) - c->start);
}

static bool periodic(const struct channel *c)
{
    return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

static uint16_t to_bcd(uint32_t n)
{
    return (uint16_t)(n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t n)
{
    return (n & 15) + (n >> 4 & 15) * 10 + (n >> 8 & 15) * 100 + (n >> 12 & 15) * 1000;
}

static uint16_t counter(const struct pit *p, const struct channel *c)
{
    uint64_t d = elapsed(p, c), left;
    uint32_t range = c->bcd ? 10000 : 65536;

    if (!c->loaded)
        return 0;
    if (c->mode == MODE_RATE)
        left = c->count - d % c->count;
    else if (c->mode == MODE_SQUARE) /* counts by two, twice a period */
        left = c->count - d * 2 % c->count;
    else
        left = (c->count + range - d % range) % range;
    left %= range;
    return c->bcd ? to_bcd((uint32_t)left) : (uint16_t)left;
}

static bool output(const struct pit *p, const struct channel *c)
{
    uint64_t d = elapsed(p, c);

    switch (c->mode) {
    case MODE_COUNT:
        return c->started && d >= c->count;
    case MODE_ONE_SHOT:
        return !c->started || d >= c->count;
    case MODE_RATE:
        return !c->started || !c->gate || d % c->count != c->count - 1;
    case MODE_SQUARE:
        return !c->started || !c->gate || d % c->count < (c->count + 1) / 2;
    default: /* a strobe: low for one tick at the end */
        return !c->started || d != c->count;
    }
}

/* ---- channel 0's interrupt: a rising edge of its output ------------------------------------- */

static void arm(struct pit *p)
{
    const struct channel *c = &p->channel[0];
    uint64_t d = elapsed(p, c), at;

    if (!c->started) {
        timer_cancel(&p->timer);
        return;
    }
    if (periodic(c))
        at = (d / c->count + 1) * c->count;
    else
        at = c->count + (c->mode != MODE_COUNT); /* a strobe ends a tick later */
    if (!periodic(c) && d >= at)
        timer_cancel(&p->timer);
    else
        timer_arm(&p->timer, c->start + to_ns(at));
}

static void rise(void *ctx)
{
    struct pit *p = ctx;

    /* Software sees edges alone of this line: in the periodic modes it stays up between them. */
    board_gsi(p->board, 0, 0, false);
    board_gsi(p->board, 0, 0, true);
    arm(p);
}

/* ---- programming ----------------------------------------------------------------------------- */

static void begin(struct pit *p, struct channel *c)
{
    c->start = board_now(p->board);
    c->started = true;
    c->stopped = false;
    if (c->mode != MODE_ONE_SHOT && c->mode != MODE_GATED_STROBE && !c->gate) {
        c->stopped = true;
        c->held = 0;
    }
    if (c == &p->channel[0]) {
        if (c->mode == MODE_COUNT)
            board_gsi(p->board, 0, 0, false);
        arm(p);
    }
}

static void load(struct pit *p, struct channel *c, uint16_t value)
{
    uint32_t count = c->bcd ? from_bcd(value) : value;

    c->count = count ? count : c->bcd ? 10000 : 65536;
    /* Neither periodic mode can count 1: the smallest they take is 2. */
    if (c->count == 1 && periodic(c))
        c->count = 2;
    c->loaded = true;
    if (c->mode != MODE_ONE_SHOT && c->mode != MODE_GATED_STROBE)
        begin(p, c);
}

static void set_gate(struct pit *p, struct channel *c, bool gate)
{
    bool rises = gate && !c->gate;

    if (c->gate == gate)
        return;
    if (!gate && c->started && (c->mode == MODE_COUNT || c->mode == MODE_STROBE)) {
        c->held = elapsed(p, c);
        c->stopped = true;
    }
    c->gate = gate;
    if (!rises || !c->loaded)
        return;
    if ((c->mode == MODE_COUNT || c->mode == MODE_STROBE) && c->stopped) {
        c->stopped = false;
        c->start = board_now(p->board) - to_ns(c->held);
    } else if (c->mode != MODE_COUNT && c->mode != MODE_STROBE) {
        begin(p, c); /* the others start afresh */
    }
}

static void latch_count(const struct pit *p, struct channel *c)
{
    if (c->latched)
        return;
    c->latch = counter(p, c);
    if (c->access == ACCESS_HIGH)
        c->latch >>= 8;
    c->latched = c->access == ACCESS_BOTH ? 2 : 1;
}

static void latch_status(const struct pit *p, struct channel *c)
{
    if (c->has_status)
        return;
    c->has_status = true;
    c->status =
        (uint8_t)(output(p, c) << 7 | !c->loaded << 6 | c->access << 4 | c->mode << 1 | c->bcd);
}

/* The read-back command: bits 3:1 choose channels, bits 5 and 4 (inverted) count and status. */
static void read_back(struct pit *p, uint8_t value)
{
    for (unsigned n = 0; n < CHANNELS; n++) {
        if (!(value >> (n + 1) & 1))
            continue;
        if (!(value & 0x20))
            latch_count(p, &p->channel[n]);
        if (!(value & 0x10))
            latch_status(p, &p->channel[n]);
    }
}

static void control(struct pit *p, uint8_t value)
{
    struct channel *c;

    if (value >> 6 == 3) {
        read_back(p, value);
        return;
    }
    c = &p->channel[value >> 6];
    if ((value >> 4 & 3) == ACCESS_LATCH) {
        latch_count(p, c);
        return;
    }
    *c = (struct channel){
        .access = value >> 4 & 3,
        .mode = (value >> 1 & 7) > 5 ? (value >> 1 & 3) : (value >> 1 & 7),
        .bcd = value & 1,
        .gate = c->gate,
        .count = 65536,
    };
    if (c == &p->channel[0]) {
        timer_cancel(&p->timer);
        board_gsi(p->board, 0, 0, c->mode != MODE_COUNT);
    }
}

static void write_channel(struct pit *p, struct channel *c, uint8_t value)
{
    switch (c->access) {
    case ACCESS_LOW:
        load(p, c, value);
        break;
    case ACCESS_HIGH:
        load(p, c, (uint16_t)(value << 8));
        break;
    default:
        if (c->write_high)
            load(p, c, (uint16_t)(value << 8 | c->low));
        else
            c->low = value;
        c->write_high = !c->write_high;
        break;
    }
}

static uint8_t read_channel(const struct pit *p, struct channel *c)
{
    uint16_t value;

    if (c->has_status) {
        c->has_status = false;
        return c->status;
    }
    if (c->latched) {
        value = c->latch;
        c->latch >>= 8;
        c->latched--;
        return (uint8_t)value;
    }
    value = counter(p, c);
    if (c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high))
        value >>= 8;
    if (c->access == ACCESS_BOTH)
        c->read_high = !c->read_high;
    return (uint8_t)value;
}

static uint8_t pit_read(void *dev, unsigned off)
{
    struct pit *p = dev;

    return off < CHANNELS ? read_channel(p, &p->channel[off]) : 0xFF;
}

static void pit_write(void *dev, unsigned off, uint8_t value)
{
    struct pit *p = dev;

    if (off < CHANNELS)
        write_channel(p, &p->channel[off], value);
    else
        control(p, value);
}

/* Port 61h: gate of channel 2, speaker, refresh toggle, output of channel 2. */
static uint8_t port61_read(void *dev, unsigned off)
{
    const struct pit *p = dev;
    const struct channel *c = &p->channel[2];

    return (uint8_t)(c->gate | p->speaker << 1 | (board_now(p->board) / REFRESH_NS & 1) << 4 |
                     output(p, c) << 5);
}

static void port61_write(void *dev, unsigned off, uint8_t value)
{
    struct pit *p = dev;

    p->speaker = value & 2;
    set_gate(p, &p->channel[2], value & 1);
}

BYTE_OPS(pit);
BYTE_OPS(port61);

void pit_reset(struct pit *p)
{
    timer_cancel(&p->timer);
    p->speaker = false;
    for (unsigned n = 0; n < CHANNELS; n++)
        p->channel[n] = (struct channel){
            .access = ACCESS_BOTH, .mode = MODE_SQUARE, .gate = n != 2, .count = 65536};
}

struct pit *pit_new(struct board *b, struct error *err)
{
    struct pit *p = calloc(1, sizeof(*p));

    if (!p) {
        fail(err, ERR_NOMEM, "no memory for the 8254");
        return NULL;
    }
    p->board = b;
    timer_init(&p->timer, b, rise, p);
    pit_reset(p);
    if (bus_add(board_bus(b), BUS_PORTS, 0x40, 4, &pit_ops, p, "pit", err) == OK &&
        bus_add(board_bus(b), BUS_PORTS, 0x61, 1, &port61_ops, p, "system control B", err) == OK)
        return p;
    pit_free(p);
    return NULL;
}

void pit_free(struct pit *p)
{
    if (!p)
        return;
    timer_cancel(&p->timer);
    bus_remove(board_bus(p->board), BUS_PORTS, 0x40, p);
    bus_remove(board_bus(p->board), BUS_PORTS, 0x61, p);
    free(p);
}
