/* IOAPIC: 24 pins to interrupt messages. */
#ifndef LUCCA_HOST_DEVICE_IOAPIC_H
#define LUCCA_HOST_DEVICE_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board.h"

#define IOAPIC_PINS 24

struct ioapic {
    struct board *board;
    uint8_t id, select;
    uint32_t lines; /* pin levels */
    uint64_t redirection[IOAPIC_PINS];
};

enum status ioapic_init(struct ioapic *io, struct board *b, struct error *err) MUST_USE;
void ioapic_reset(struct ioapic *io);
void ioapic_pin(struct ioapic *io, unsigned pin, bool level);
/* A local APIC ended a level-triggered interrupt `vector`. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);

#endif
