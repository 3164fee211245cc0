/* The machine's side of the board: what the VMM calls, and devices do not. Everything, callbacks
 * included, runs on the one thread of the VM.
 *
 * The VMM's loop, between two slices of guest code:
 *   - board_run_timers() once board_now() has reached board_next_deadline();
 *   - board_poll() now and then (each few milliseconds), or with a timeout when every vCPU idles;
 *   - look at board_fate(), and at lapic_events() of the vCPU about to run (lapic.h).
 * A device callback (bus_read, bus_write, lapic_write ...) may move the next deadline or end the
 * guest, so both are to be read again after each.
 */
#ifndef LUCCA_HOST_DEVICE_BOARD_HOST_H
#define LUCCA_HOST_DEVICE_BOARD_HOST_H

#include "host/device/board.h"
#include "host/device/bus.h"
#include "host/device/lapic.h"

/* What the board needs of the machine. All take `ctx` of board_config; all are required. */
struct board_hooks {
    /* Host accesses to guest physical memory. False where any byte is not guest RAM. */
    bool (*dma_read)(void *ctx, uint64_t gpa, void *to, size_t len);
    bool (*dma_write)(void *ctx, uint64_t gpa, const void *from, size_t len);
    /* ns on the VM's clock; never goes back. */
    uint64_t (*now)(void *ctx);
    /* Something new waits in lapic_events() of `vcpu`: wake it, or make its core exit. */
    void (*kick)(void *ctx, unsigned vcpu);
};

#define BOARD_MAX_VCPUS 64

struct board_config {
    unsigned vcpus;   /* 1 .. BOARD_MAX_VCPUS; APIC id n is vCPU n, vCPU 0 is the boot processor */
    unsigned pa_bits; /* guest physical address width (IA32_APIC_BASE refuses wider bases) */
    const struct board_hooks *hooks; /* borrowed */
    void *ctx;
};

/* A board with its bus, local APICs, IOAPIC and PIC; the other devices come with pc_new (pc.h). */
enum status board_new(const struct board_config *cfg, struct board **out,
                      struct error *err) MUST_USE;
void board_free(struct board *b);
/* Power-on state of the APICs, PIC and lines; the fate is running again. pc_reset calls it. */
void board_reset(struct board *b);

unsigned board_vcpus(const struct board *b);
struct lapic *board_lapic(struct board *b, unsigned vcpu);

/* ---- time ---- */
/* UINT64_MAX when no timer is armed. */
uint64_t board_next_deadline(const struct board *b);
/* Fires, in order, every timer due by now; timers armed meanwhile fire too when due. */
void board_run_timers(struct board *b);

/* ---- file descriptors ---- */
/* Waits up to `timeout_ns` (0: looks only; UINT64_MAX: for ever) for a descriptor of the watches
 * and pollers, runs their callbacks, and says how many were ready. A signal ends the wait with 0.
 * The wait is the host's time: under a virtual clock pass 0 unless every vCPU waits and no timer is
 * armed. */
int board_poll(struct board *b, uint64_t timeout_ns);
/* Does anything outside the VM (a watched descriptor or a poller) have a way to wake it? */
bool board_has_peers(const struct board *b);

/* ---- fate ---- */
struct board_fate {
    enum fate fate;
    int code; /* FATE_EXIT: what the guest chose */
    char why[232];
};
const struct board_fate *board_fate(const struct board *b);

/* ---- the rest ---- */
/* The NMI button: LINT1 of every local APIC, as its LVT entry says. */
void board_nmi(struct board *b);

#endif
