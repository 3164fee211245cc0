/* 8259A interrupt controllers, as a PC wires two of them. */
#include "host/device/pic.h"

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board_impl.h"
#include "host/device/bytewise.h"

#define CASCADE 2 /* the master's input that the slave drives */

/* How far the first IRQ in `bits` is from the top of the rotating order; 8 for none. */
static unsigned first_rank(const struct pic_chip *c, uint8_t bits)
{
    for (unsigned r = 0; r < 8; r++)
        if (bits >> ((c->priority + r) & 7) & 1)
            return r;
    return 8;
}

/* The IRQ that the chip would interrupt with, or -1. */
static int winner(const struct pic *p, const struct pic_chip *c)
{
    uint8_t blockers = c->isr;
    unsigned r = first_rank(c, c->irr & ~c->imr);

    if (c->special_mask)
        blockers &= ~c->imr;
    /* Special fully nested mode: the slave may interrupt its own service routine. */
    if (c->fully_nested && c == &p->chip[0])
        blockers &= ~(1u << CASCADE);
    return r < first_rank(c, blockers) ? (int)((c->priority + r) & 7) : -1;
}

static void update(struct pic *p)
{
    bool slave = winner(p, &p->chip[1]) >= 0, out;
    struct pic_chip *master = &p->chip[0];

    master->irr = (uint8_t)((master->irr & ~(1u << CASCADE)) | (unsigned)slave << CASCADE);
    out = winner(p, master) >= 0;
    if (out == p->out)
        return;
    p->out = out;
    for (unsigned i = 0; i < p->board->vcpus; i++)
        lapic_lint0(&p->board->lapic[i], out);
}

void pic_line(struct pic *p, unsigned irq, bool level)
{
    struct pic_chip *c = &p->chip[irq >> 3 & 1];
    uint8_t bit = (uint8_t)(1u << (irq & 7));

    if (irq == CASCADE)
        return;
    if (c->elcr & bit)
        c->irr = level ? c->irr | bit : c->irr & ~bit;
    else if (level && !(c->lines & bit))
        c->irr |= bit;
    c->lines = level ? c->lines | bit : c->lines & ~bit;
    update(p);
}

static void acknowledge(struct pic_chip *c, unsigned irq)
{
    uint8_t bit = (uint8_t)(1u << irq);

    if (!(c->elcr & bit))
        c->irr &= ~bit;
    if (!c->auto_eoi)
        c->isr |= bit;
    else if (c->rotate_auto_eoi)
        c->priority = (irq + 1) & 7;
}

/* What no longer waits when the processor asks is IRQ 7 of that chip, without its ISR bit. */
uint8_t pic_acknowledge(struct pic *p)
{
    struct pic_chip *master = &p->chip[0], *slave = &p->chip[1];
    int irq = winner(p, master);
    uint8_t vector = (uint8_t)(master->vector + 7);

    if (irq == CASCADE) {
        int from = winner(p, slave);

        acknowledge(master, CASCADE);
        if (from >= 0)
            acknowledge(slave, (unsigned)from);
        vector = (uint8_t)(slave->vector + (from < 0 ? 7 : from));
    } else if (irq >= 0) {
        acknowledge(master, (unsigned)irq);
        vector = (uint8_t)(master->vector + irq);
    }
    update(p);
    if (tracing(TRACE_IRQ))
        trace(TRACE_IRQ, "8259 pair gives vector %#x", vector);
    return vector;
}

static void begin_init(struct pic_chip *c, uint8_t icw1)
{
    c->irr &= c->elcr; /* the edge detectors are cleared */
    c->isr = c->imr = 0;
    c->priority = 0;
    c->auto_eoi = c->rotate_auto_eoi = c->fully_nested = false;
    c->special_mask = c->read_isr = c->poll = false;
    c->need_icw4 = icw1 & 1;
    c->single = icw1 & 2;
    c->init = 2;
}

static void end_of_interrupt(struct pic_chip *c, unsigned irq, bool rotate)
{
    c->isr &= ~(1u << irq);
    if (rotate)
        c->priority = (irq + 1) & 7;
}

static void ocw2(struct pic_chip *c, uint8_t value)
{
    unsigned irq = value & 7, r = first_rank(c, c->isr);
    bool rotate = value & 0x80;

    switch (value >> 5 & 3) {
    case 0: /* rotation in automatic EOI mode */
        c->rotate_auto_eoi = rotate;
        break;
    case 1: /* non-specific EOI */
        if (r < 8)
            end_of_interrupt(c, (c->priority + r) & 7, rotate);
        break;
    case 2: /* set priority; without the rotate bit, nothing */
        if (rotate)
            c->priority = (irq + 1) & 7;
        break;
    case 3: /* specific EOI */
        end_of_interrupt(c, irq, rotate);
        break;
    }
}

static void ocw3(struct pic_chip *c, uint8_t value)
{
    c->poll = value & 4;
    if (value & 2)
        c->read_isr = value & 1;
    if (value & 0x40)
        c->special_mask = value & 0x20;
}

static void write_data(struct pic_chip *c, uint8_t value)
{
    switch (c->init) {
    case 2:
        c->vector = value & 0xF8;
        c->init = c->single ? (c->need_icw4 ? 4 : 0) : 3;
        break;
    case 3: /* the wiring of the cascade is fixed */
        c->init = c->need_icw4 ? 4 : 0;
        break;
    case 4:
        c->auto_eoi = value & 2;
        c->fully_nested = value & 0x10;
        c->init = 0;
        break;
    default:
        c->imr = value;
        break;
    }
}

static void write_chip(struct pic *p, struct pic_chip *c, unsigned off, uint8_t value)
{
    if (off)
        write_data(c, value);
    else if (value & 0x10)
        begin_init(c, value);
    else if (value & 8)
        ocw3(c, value);
    else
        ocw2(c, value);
    update(p);
}

/* A read after the poll command acknowledges as the processor would. */
static uint8_t read_chip(struct pic *p, struct pic_chip *c, unsigned off)
{
    if (c->poll) {
        int irq = winner(p, c);

        c->poll = false;
        if (irq < 0)
            return 0;
        acknowledge(c, (unsigned)irq);
        update(p);
        return (uint8_t)(0x80 | irq);
    }
    if (off)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

static uint8_t master_read(void *dev, unsigned off)
{
    struct pic *p = dev;

    return read_chip(p, &p->chip[0], off);
}

static void master_write(void *dev, unsigned off, uint8_t value)
{
    struct pic *p = dev;

    write_chip(p, &p->chip[0], off, value);
}

static uint8_t slave_read(void *dev, unsigned off)
{
    struct pic *p = dev;

    return read_chip(p, &p->chip[1], off);
}

static void slave_write(void *dev, unsigned off, uint8_t value)
{
    struct pic *p = dev;

    write_chip(p, &p->chip[1], off, value);
}

static uint8_t elcr_read(void *dev, unsigned off)
{
    struct pic *p = dev;

    return p->chip[off].elcr;
}

static void elcr_write(void *dev, unsigned off, uint8_t value)
{
    struct pic *p = dev;

    p->chip[off].elcr = value & p->chip[off].elcr_mask;
}

BYTE_OPS(master);
BYTE_OPS(slave);
BYTE_OPS(elcr);

/* As a PC's firmware leaves them, since there may be none: vectors 8 and 70h, all masked. */
void pic_reset(struct pic *p)
{
    for (int i = 0; i < 2; i++)
        p->chip[i] = (struct pic_chip){
            .imr = 0xFF,
            .vector = i ? 0x70 : 0x08,
            .elcr_mask = i ? 0xDE : 0xF8, /* IRQ 0, 1, 2, 8 and 13 are edges always */
        };
    update(p);
}

enum status pic_init(struct pic *p, struct board *b, struct error *err)
{
    enum status st;

    p->board = b;
    pic_reset(p);
    st = bus_add(board_bus(b), BUS_PORTS, 0x20, 2, &master_ops, p, "pic", err);
    if (st == OK)
        st = bus_add(board_bus(b), BUS_PORTS, 0xA0, 2, &slave_ops, p, "pic", err);
    if (st == OK)
        st = bus_add(board_bus(b), BUS_PORTS, 0x4D0, 2, &elcr_ops, p, "elcr", err);
    return st;
}
