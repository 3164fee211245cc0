/* What a device may use of the machine around it: memory by DMA, time, interrupts, host file
 * descriptors, and the guest's fate. One board per VM; devices borrow it. */
#ifndef LUCCA_HOST_DEVICE_BOARD_H
#define LUCCA_HOST_DEVICE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct board;
struct bus;

/* ---- memory: every DMA is a host access at a guest physical address. A private page gives
 * ciphertext and takes junk, as on hardware. False when the range is not guest RAM. ---- */
bool dma_read(struct board *b, uint64_t gpa, void *to, size_t len) MUST_USE;
bool dma_write(struct board *b, uint64_t gpa, const void *from, size_t len) MUST_USE;

/* ---- time: ns on the VM's clock (virtual or the machine's) ---- */
uint64_t board_now(const struct board *b);

typedef void timer_fn(void *ctx);
/* A one-shot timer, embedded in its device. Zero-initialise, then timer_init. */
struct timer {
    struct board *board;
    timer_fn *fn;
    void *ctx;
    uint64_t deadline; /* ns; UINT64_MAX when not armed */
    struct timer *next;
};
void timer_init(struct timer *t, struct board *b, timer_fn *fn, void *ctx);
void timer_arm(struct timer *t, uint64_t deadline); /* re-arms; a past deadline fires at once */
void timer_cancel(struct timer *t);

/* ---- interrupts ---- */
#define BOARD_GSIS 24
/* Level of global system interrupt `gsi` (0..23). ISA lines reach PIC and IOAPIC both (IRQ 0 is
 * IOAPIC pin 2); lines that several devices share are OR-ed by the caller of board_gsi per source:
 * `source` is any number below 32 that no other device uses on that line. */
void board_gsi(struct board *b, unsigned gsi, unsigned source, bool level);
/* A message-signalled interrupt: a write to FEExxxxx. */
void board_msi(struct board *b, uint64_t address, uint32_t data);

/* ---- host file descriptors (poll). Callbacks run between guest slices, never inside one. ---- */
typedef void watch_fn(void *ctx, short revents);
/* `events` as in poll(2); 0 keeps the entry but waits for nothing. One entry per fd. */
enum status board_watch(struct board *b, int fd, short events, watch_fn *fn, void *ctx,
                        struct error *err) MUST_USE;
void board_unwatch(struct board *b, int fd);
/* For libraries with their own set of descriptors (libslirp): `before` adds its pollfds and may
 * shorten the wait, `after` is told their revents. */
struct pollset; /* pollset_add(set, fd, events) -> index; pollset_revents(set, index) */
int pollset_add(struct pollset *set, int fd, short events);
short pollset_revents(const struct pollset *set, int index);
struct poller {
    void (*before)(void *ctx, struct pollset *set, uint32_t *timeout_ms);
    void (*after)(void *ctx, struct pollset *set);
    void *ctx;
    struct poller *next;
};
void board_poller(struct board *b, struct poller *p);

/* ---- the guest's fate ---- */
enum fate {
    FATE_RUNNING,
    FATE_POWEROFF, /* ACPI S5 or a halted system that can never wake */
    FATE_RESET,
    FATE_EXIT,  /* debug-exit: the guest chose `code` */
    FATE_CRASH, /* triple fault, or an exit nobody can handle; `why` says where */
};
/* The first call wins until the machine has acted on it. `why` is copied. */
void board_end(struct board *b, enum fate fate, int code, const char *why);

/* The VM's bus, for devices that move regions (PCI BARs). */
struct bus *board_bus(struct board *b);

#endif
