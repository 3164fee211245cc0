/* The devices that a PC has had since the beginning. Each answers at its traditional ports; pc.c
 * makes and owns them. Each `_new` returns NULL with `err` filled; each `_free` takes NULL. */
#ifndef LUCCA_HOST_DEVICE_LEGACY_H
#define LUCCA_HOST_DEVICE_LEGACY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board.h"
#include "host/device/chardev.h"

/* 16550A UART at `port`, interrupting on `gsi` (as source number `source` of that line). */
struct serial;
struct serial *serial_new(struct board *b, uint16_t port, unsigned gsi, unsigned source,
                          struct chardev *chr, struct error *err);
void serial_free(struct serial *s);
void serial_reset(struct serial *s);

/* 8254 at 40h-43h and the system control port 61h. */
struct pit;
struct pit *pit_new(struct board *b, struct error *err);
void pit_free(struct pit *p);
void pit_reset(struct pit *p);

/* MC146818 clock and its battery-backed memory at 70h-71h. */
struct rtc_config {
    int64_t base; /* Unix time (UTC) at VM clock 0 */
    uint64_t ram_low, ram_high;
    unsigned vcpus;
};
struct rtc;
struct rtc *rtc_new(struct board *b, const struct rtc_config *cfg, struct error *err);
void rtc_free(struct rtc *r);
void rtc_reset(struct rtc *r);

/* ACPI fixed hardware: PM1a event and control blocks, PM timer, GPE0. */
struct pm;
struct pm *pm_new(struct board *b, struct error *err);
void pm_free(struct pm *p);
void pm_reset(struct pm *p);
void pm_power_button(struct pm *p);

/* A keyboard controller without a keyboard (60h, 64h), for its reset line; system control port A
 * (92h); the ports that software writes to pass time (80h, EDh). */
struct i8042;
struct i8042 *i8042_new(struct board *b, struct error *err);
void i8042_free(struct i8042 *k);
void i8042_reset(struct i8042 *k);

/* Bytes written to port 402h go to `chr`; reading E9h there says that it exists. */
enum status debugcon_add(struct board *b, struct chardev *chr, struct error *err) MUST_USE;
/* A write of v to F4h ends the guest with code 2v+1. */
enum status debug_exit_add(struct board *b, struct error *err) MUST_USE;

/* QEMU's test device, as test kernels use it. */
struct testdev;
struct testdev *testdev_new(struct board *b, struct error *err);
void testdev_free(struct testdev *t);
void testdev_reset(struct testdev *t);

#endif
