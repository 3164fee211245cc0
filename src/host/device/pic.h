/* 8259A pair: master at 20h, slave at 0A0h, edge/level control at 4D0h. */
#ifndef LUCCA_HOST_DEVICE_PIC_H
#define LUCCA_HOST_DEVICE_PIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board.h"

struct pic_chip {
    uint8_t irr, isr, imr;
    uint8_t lines; /* input levels */
    uint8_t elcr, elcr_mask;
    uint8_t vector;   /* ICW2 */
    uint8_t priority; /* the IRQ with the highest priority */
    uint8_t init;     /* next ICW expected, 2..4; 0: operating */
    bool need_icw4, single, auto_eoi, rotate_auto_eoi, fully_nested;
    bool read_isr, poll, special_mask;
};

struct pic {
    struct board *board;
    struct pic_chip chip[2];
    bool out; /* the master's INTR output */
};

enum status pic_init(struct pic *p, struct board *b, struct error *err) MUST_USE;
void pic_reset(struct pic *p);
void pic_line(struct pic *p, unsigned irq, bool level);
/* The interrupt acknowledge cycle: the vector (a spurious one when nothing waits any more). */
uint8_t pic_acknowledge(struct pic *p);

#endif
