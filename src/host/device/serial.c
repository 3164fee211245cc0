/* 16550A UART. What the guest writes leaves at once (the line has no speed), so the transmitter is
 * always empty; what comes in waits in the 16-byte FIFO, and the time that a character takes counts
 * for the receive time-out alone. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/board.h"
#include "host/device/bytewise.h"
#include "host/device/legacy.h"

#define FIFO 16u

enum { RBR_THR = 0, IER = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

#define IER_RECEIVED 0x01
#define IER_EMPTY    0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08

#define IIR_NONE     0x01
#define IIR_MODEM    0x00
#define IIR_EMPTY    0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE     0x06
#define IIR_TIMEOUT  0x0C
#define IIR_FIFOS    0xC0

#define FCR_ENABLE 0x01
#define FCR_CLEAR  0x02
#define LCR_DLAB   0x80
#define MCR_RTS    0x02
#define MCR_LOOP   0x10

#define LSR_READY   0x01
#define LSR_OVERRUN 0x02
#define LSR_IDLE    0x60 /* holding register and transmitter empty */

#define MSR_RI    0x40
#define MSR_IDLE  0xB0 /* DCD, DSR, CTS: somebody listens */
#define CHAR_BITS 10u
/* Sending takes one look at LSR; this many without sending are a wait for input. */
#define POLLS_TO_LISTEN 16u

struct serial {
    struct board *board;
    struct chardev *chr;
    uint16_t port;
    unsigned gsi, source;
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    uint16_t divisor;
    uint8_t fifo[FIFO];
    unsigned head, count;
    bool empty_irq;   /* the transmitter became empty and nobody was told yet */
    bool timeout_irq; /* bytes below the trigger level have waited long enough */
    unsigned polls;   /* times in a row that the guest looked for a byte and did not send one */
    bool told_full;   /* the other end waits for chardev.ready */
    struct timer timeout;
};

static unsigned capacity(const struct serial *s)
{
    return s->fcr & FCR_ENABLE ? FIFO : 1;
}

static unsigned trigger_level(const struct serial *s)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};

    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* The interrupt with the highest priority, as IIR shows it. */
static uint8_t identify(const struct serial *s)
{
    if (s->ier & IER_LINE && s->lsr & LSR_OVERRUN)
        return IIR_LINE;
    if (s->ier & IER_RECEIVED && s->count >= trigger_level(s))
        return IIR_RECEIVED;
    if (s->ier & IER_RECEIVED && s->timeout_irq)
        return IIR_TIMEOUT;
    if (s->ier & IER_EMPTY && s->empty_irq)
        return IIR_EMPTY;
    if (s->ier & IER_MODEM && s->msr & 0x0F)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update(struct serial *s)
{
    board_gsi(s->board, s->gsi, s->source, identify(s) != IIR_NONE);
}

/* Four character times without a byte in or out (16550 data sheet, FIFO time-out). */
static void restart_timeout(struct serial *s)
{
    uint64_t bit_ns = UINT64_C(1000000000) * MAX(s->divisor, 1) / 115200;

    s->timeout_irq = false;
    if (s->count && s->fcr & FCR_ENABLE)
        timer_arm(&s->timeout, board_now(s->board) + 4 * CHAR_BITS * bit_ns);
    else
        timer_cancel(&s->timeout);
}

static void timed_out(void *ctx)
{
    struct serial *s = ctx;

    s->timeout_irq = s->count != 0;
    update(s);
}

static void receive(struct serial *s, uint8_t byte)
{
    if (s->count == capacity(s)) {
        s->lsr |= LSR_OVERRUN;
        return;
    }
    s->fifo[(s->head + s->count++) % FIFO] = byte;
}

/* The other end obeys RTS, so that what is typed before a driver opens the port is not lost. Simple
 * software never raises RTS: it is listening when it takes interrupts or looks again and again. */
static bool listening(const struct serial *s)
{
    return s->mcr & MCR_RTS || s->ier & IER_RECEIVED || s->polls >= POLLS_TO_LISTEN;
}

static size_t space(const struct serial *s)
{
    return s->mcr & MCR_LOOP || !listening(s) ? 0 : capacity(s) - s->count;
}

static size_t room(void *dev)
{
    struct serial *s = dev;

    s->told_full = !space(s);
    return space(s);
}

static size_t sink(void *dev, const uint8_t *bytes, size_t n)
{
    struct serial *s = dev;

    n = MIN(n, room(s));
    for (size_t i = 0; i < n; i++)
        receive(s, bytes[i]);
    s->told_full = !space(s);
    if (n) {
        restart_timeout(s);
        update(s);
    }
    return n;
}

/* After anything that may have made space. */
static void tell_ready(struct serial *s)
{
    if (!s->told_full || !space(s))
        return;
    s->told_full = false;
    if (s->chr->ready)
        s->chr->ready(s->chr->backend);
}

static void clear_fifo(struct serial *s)
{
    s->head = s->count = 0;
    restart_timeout(s);
}

static uint8_t read_data(struct serial *s)
{
    uint8_t byte = s->fifo[s->head];

    if (!s->count)
        return 0;
    s->head = (s->head + 1) % FIFO;
    s->count--;
    restart_timeout(s);
    update(s);
    tell_ready(s);
    return byte;
}

static void write_data(struct serial *s, uint8_t byte)
{
    s->polls = 0;
    s->empty_irq = false;
    update(s); /* the line falls, so that an edge follows */
    if (s->mcr & MCR_LOOP) {
        receive(s, byte);
        restart_timeout(s);
    } else {
        s->chr->put(s->chr->backend, &byte, 1);
    }
    s->empty_irq = true;
    update(s);
}

static void write_ier(struct serial *s, uint8_t value)
{
    /* Enabling it while the transmitter is empty, which is always, raises it. */
    if (value & ~s->ier & IER_EMPTY)
        s->empty_irq = true;
    s->ier = value & 0x0F;
    update(s);
    tell_ready(s);
}

static void write_fcr(struct serial *s, uint8_t value)
{
    if ((value ^ s->fcr) & FCR_ENABLE || value & FCR_CLEAR) {
        s->fcr = value & (0xC0 | FCR_ENABLE);
        clear_fifo(s);
    }
    s->fcr = value & FCR_ENABLE ? value & (0xC0 | FCR_ENABLE) : 0;
    update(s);
    tell_ready(s);
}

/* Modem inputs: the four outputs in loopback (DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD). */
static uint8_t modem_inputs(const struct serial *s)
{
    uint8_t m = s->mcr;

    if (!(m & MCR_LOOP))
        return MSR_IDLE;
    return (uint8_t)((m & 1) << 5 | (m & 2) << 3 | (m & 4) << 4 | (m & 8) << 4);
}

static void write_mcr(struct serial *s, uint8_t value)
{
    uint8_t was = s->msr & 0xF0, now, changed;

    s->mcr = value & 0x1F;
    now = modem_inputs(s);
    changed = was ^ now;
    if (changed & MSR_RI && now & MSR_RI) /* only its trailing edge counts */
        changed &= ~MSR_RI;
    s->msr = (uint8_t)(now | (s->msr & 0x0F) | changed >> 4);
    update(s);
    tell_ready(s);
}

static uint8_t read_iir(struct serial *s)
{
    uint8_t id = identify(s);

    if (id == IIR_EMPTY) {
        s->empty_irq = false;
        update(s);
    }
    return id | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t read_lsr(struct serial *s)
{
    uint8_t value = (uint8_t)(s->lsr | LSR_IDLE | (s->count ? LSR_READY : 0));

    s->lsr &= ~LSR_OVERRUN;
    if (!s->count && s->polls < POLLS_TO_LISTEN)
        s->polls++;
    update(s);
    tell_ready(s);
    return value;
}

static uint8_t read_msr(struct serial *s)
{
    uint8_t value = s->msr;

    s->msr &= 0xF0;
    update(s);
    return value;
}

static uint8_t serial_read(void *dev, unsigned off)
{
    struct serial *s = dev;

    if (s->lcr & LCR_DLAB && off < 2)
        return (uint8_t)(s->divisor >> off * 8);
    switch (off) {
    case RBR_THR:
        return read_data(s);
    case IER:
        return s->ier;
    case IIR_FCR:
        return read_iir(s);
    case LCR:
        return s->lcr;
    case MCR:
        return s->mcr;
    case LSR:
        return read_lsr(s);
    case MSR:
        return read_msr(s);
    default:
        return s->scr;
    }
}

static void serial_write(void *dev, unsigned off, uint8_t value)
{
    struct serial *s = dev;

    if (s->lcr & LCR_DLAB && off < 2) {
        s->divisor = (uint16_t)((s->divisor & ~(0xFF << off * 8)) | value << off * 8);
        return;
    }
    switch (off) {
    case RBR_THR:
        write_data(s, value);
        break;
    case IER:
        write_ier(s, value);
        break;
    case IIR_FCR:
        write_fcr(s, value);
        break;
    case LCR:
        s->lcr = value;
        break;
    case MCR:
        write_mcr(s, value);
        break;
    case SCR:
        s->scr = value;
        break;
    default: /* line and modem status are read-only */
        break;
    }
}

BYTE_OPS(serial);

void serial_reset(struct serial *s)
{
    s->ier = s->fcr = s->mcr = s->lsr = s->scr = 0;
    s->lcr = 3;
    s->divisor = 12; /* 9600 baud, as firmware leaves it */
    s->msr = MSR_IDLE;
    s->empty_irq = false;
    s->polls = 0;
    clear_fifo(s);
    update(s);
}

struct serial *serial_new(struct board *b, uint16_t port, unsigned gsi, unsigned source,
                          struct chardev *chr, struct error *err)
{
    struct serial *s = calloc(1, sizeof(*s));

    if (!s) {
        fail(err, ERR_NOMEM, "no memory for the serial port at %#x", port);
        return NULL;
    }
    s->board = b;
    s->chr = chr;
    s->port = port;
    s->gsi = gsi;
    s->source = source;
    timer_init(&s->timeout, b, timed_out, s);
    serial_reset(s);
    if (bus_add(board_bus(b), BUS_PORTS, port, 8, &serial_ops, s, "serial", err) != OK) {
        free(s);
        return NULL;
    }
    chr->dev = s;
    chr->sink = sink;
    chr->room = room;
    return s;
}

void serial_free(struct serial *s)
{
    if (!s)
        return;
    timer_cancel(&s->timeout);
    bus_remove(board_bus(s->board), BUS_PORTS, s->port, s);
    free(s);
}
