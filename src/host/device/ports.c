/* Devices of a port or two: keyboard controller (for its reset line), system control port A, delay
 * ports, debug console, debug exit. */
#include <stdlib.h>

#include "host/device/board.h"
#include "host/device/bytewise.h"
#include "host/device/legacy.h"

/* ---- keyboard controller ------------------------------------------------------------------- */

#define STATUS_OUTPUT  0x01
#define STATUS_COMMAND 0x08
#define STATUS_IDLE    0x14 /* self-test passed, keyboard not locked */

#define OUTPUT_RUN 0x01 /* output port: the processor's reset line, active low */
#define OUTPUT_A20 0x02

struct i8042 {
    struct board *board;
    uint8_t command_byte, output_port;
    uint8_t pending; /* command that waits for its byte at port 60h */
    uint8_t answer;
    bool has_answer, last_was_command;
    uint8_t delay[2]; /* ports 80h and EDh read back */
};

static void reset_line(struct i8042 *k)
{
    board_end(k->board, FATE_RESET, 0, "keyboard controller");
}

static void answer(struct i8042 *k, uint8_t byte)
{
    k->answer = byte;
    k->has_answer = true;
}

static void command(struct i8042 *k, uint8_t value)
{
    k->last_was_command = true;
    k->pending = 0;
    switch (value) {
    case 0x20: /* read the command byte */
        answer(k, k->command_byte);
        break;
    case 0x60: /* write it */
    case 0xD1: /* write the output port */
        k->pending = value;
        break;
    case 0xAA: /* self-test: passed */
        answer(k, 0x55);
        break;
    case 0xA9: /* no mouse port: its clock line is stuck */
    case 0xAB: /* no keyboard either */
        answer(k, 1);
        break;
    case 0xD0:
        answer(k, k->output_port);
        break;
    case 0xF0 ... 0xFF: /* pulse the output lines whose bits are 0 */
        if (!(value & 1))
            reset_line(k);
        break;
    default:
        break;
    }
}

static void data(struct i8042 *k, uint8_t value)
{
    k->last_was_command = false;
    if (k->pending == 0x60)
        k->command_byte = value;
    if (k->pending == 0xD1) {
        k->output_port = value;
        if (!(value & OUTPUT_RUN))
            reset_line(k);
    }
    k->pending = 0;
}

static uint64_t k_data_read(void *dev, uint64_t off, unsigned size)
{
    struct i8042 *k = dev;

    k->has_answer = false;
    return k->answer;
}

static void k_data_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    data(dev, (uint8_t)value);
}

static uint64_t k_command_read(void *dev, uint64_t off, unsigned size)
{
    const struct i8042 *k = dev;

    return STATUS_IDLE | (k->has_answer ? STATUS_OUTPUT : 0) |
           (k->last_was_command ? STATUS_COMMAND : 0);
}

static void k_command_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    command(dev, (uint8_t)value);
}

/* Port 92h: bit 0 resets, bit 1 is A20, which is always open. */
static uint64_t port92_read(void *dev, uint64_t off, unsigned size)
{
    return OUTPUT_A20;
}

static void port92_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct i8042 *k = dev;

    if (value & 1)
        board_end(k->board, FATE_RESET, 0, "system control port A (92h)");
}

static uint64_t delay_read(void *dev, uint64_t off, unsigned size)
{
    return *(uint8_t *)dev;
}

static void delay_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    *(uint8_t *)dev = (uint8_t)value;
}

void i8042_reset(struct i8042 *k)
{
    k->command_byte = 0;
    k->output_port = OUTPUT_RUN | OUTPUT_A20;
    k->pending = k->answer = 0;
    k->has_answer = k->last_was_command = false;
}

struct i8042 *i8042_new(struct board *b, struct error *err)
{
    static const struct bus_ops data_ops = {k_data_read, k_data_write};
    static const struct bus_ops command_ops = {k_command_read, k_command_write};
    static const struct bus_ops port92_ops = {port92_read, port92_write};
    static const struct bus_ops delay_ops = {delay_read, delay_write};
    struct i8042 *k = calloc(1, sizeof(*k));
    struct bus *bus = board_bus(b);

    if (!k) {
        fail(err, ERR_NOMEM, "no memory for the keyboard controller");
        return NULL;
    }
    k->board = b;
    i8042_reset(k);
    if (bus_add(bus, BUS_PORTS, 0x60, 1, &data_ops, k, "i8042 data", err) == OK &&
        bus_add(bus, BUS_PORTS, 0x64, 1, &command_ops, k, "i8042 command", err) == OK &&
        bus_add(bus, BUS_PORTS, 0x92, 1, &port92_ops, k, "system control A", err) == OK &&
        bus_add(bus, BUS_PORTS, 0x80, 1, &delay_ops, &k->delay[0], "delay", err) == OK &&
        bus_add(bus, BUS_PORTS, 0xED, 1, &delay_ops, &k->delay[1], "delay", err) == OK)
        return k;
    i8042_free(k);
    return NULL;
}

void i8042_free(struct i8042 *k)
{
    struct bus *bus;

    if (!k)
        return;
    bus = board_bus(k->board);
    bus_remove(bus, BUS_PORTS, 0x60, k);
    bus_remove(bus, BUS_PORTS, 0x64, k);
    bus_remove(bus, BUS_PORTS, 0x92, k);
    bus_remove(bus, BUS_PORTS, 0x80, &k->delay[0]);
    bus_remove(bus, BUS_PORTS, 0xED, &k->delay[1]);
    free(k);
}

/* ---- debug console -------------------------------------------------------------------------- */

static uint64_t debugcon_read(void *dev, uint64_t off, unsigned size)
{
    return 0xE9;
}

static void debugcon_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    const struct chardev *chr = dev;
    uint8_t byte = (uint8_t)value;

    chr->put(chr->backend, &byte, 1);
}

enum status debugcon_add(struct board *b, struct chardev *chr, struct error *err)
{
    static const struct bus_ops ops = {debugcon_read, debugcon_write};

    return bus_add(board_bus(b), BUS_PORTS, 0x402, 1, &ops, chr, "debug console", err);
}

/* ---- debug exit ----------------------------------------------------------------------------- */

static uint64_t debug_exit_read(void *dev, uint64_t off, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    board_end(dev, FATE_EXIT, (int)((uint32_t)value << 1 | 1), "debug exit (port F4h)");
}

enum status debug_exit_add(struct board *b, struct error *err)
{
    static const struct bus_ops ops = {debug_exit_read, debug_exit_write};

    return bus_add(board_bus(b), BUS_PORTS, 0xF4, 4, &ops, b, "debug exit", err);
}
