/* Local APIC, one per vCPU (APM2 chapter 16): xAPIC registers by memory, x2APIC by MSRs, the timer,
 * inter-processor interrupts, and what waits for the vCPU.
 *
 * The timer counts a 1 GHz clock (one tick a nanosecond on the VM's clock) through the divide
 * configuration register. The guest's TSC runs at 1 GHz as well: TSC = board_now + offset.
 */
#ifndef LUCCA_HOST_DEVICE_LAPIC_H
#define LUCCA_HOST_DEVICE_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "host/device/board.h"

#define LAPIC_TIMER_HZ 1000000000u

/* What waits for a vCPU (lapic_events). */
enum lapic_event {
    LAPIC_INTR = 1 << 0,   /* a vector above the processor priority: lapic_take */
    LAPIC_EXTINT = 1 << 1, /* the 8259 pair's INTR through LINT0: lapic_take */
    LAPIC_NMI = 1 << 2,    /* lapic_nmi_take */
    LAPIC_INIT = 1 << 3,   /* lapic_take_init */
    LAPIC_SIPI = 1 << 4,   /* lapic_sipi_vector */

};

struct lapic {
    uint32_t events; /* enum lapic_event */
    int pending;     /* highest vector above PPR, or -1 */

    /* The rest is lapic.c's own. */
    struct board *board;
    unsigned id;
    bool waits_sipi;
    uint8_t sipi;
    bool lint0, lint1; /* input levels */
    uint64_t base;     /* IA32_APIC_BASE */
    int irr_max, isr_max;
    uint64_t irr[4], isr[4], tmr[4];
    uint8_t tpr, ppr;
    uint32_t svr, ldr, dfr, esr, esr_seen;
    uint32_t icr_low, icr_high;
    uint32_t lvt[6];
    uint32_t timer_initial, timer_divide;
    uint64_t timer_expiry; /* ns at which the present count reaches 0 */
    uint64_t tsc_deadline;
    int64_t tsc_offset;
    struct timer timer;
};

/* ---- what waits; all are a load or two ---- */
static inline uint32_t lapic_events(const struct lapic *a)
{
    return a->events;
}
/* Highest vector that the processor priority lets through, or -1. ExtINT does not show here. */
static inline int lapic_pending(const struct lapic *a)
{
    return a->pending;
}
/* Highest requested vector whether or not TPR lets it through, or -1 (to judge CR8 intercepts). */
static inline int lapic_irr_max(const struct lapic *a)
{
    return a->irr_max;
}

/* Delivers `vector`, which lapic_pending just gave: IRR to ISR. */
void lapic_accept(struct lapic *a, unsigned vector);
/* Acknowledges whatever LAPIC_INTR or LAPIC_EXTINT announce (ExtINT first; the 8259 gives its
 * vector) and returns the vector to inject, or -1 when there is none. */
int lapic_take(struct lapic *a);
/* True, once, when an NMI waits. */
bool lapic_nmi_take(struct lapic *a);
/* True, once, when an INIT waits; the APIC then has its INIT state. The VMM gives the vCPU its INIT
 * state; all but the boot processor (lapic_is_bsp) wait for a SIPI. */
bool lapic_take_init(struct lapic *a);
/* The vector of a SIPI that a waiting vCPU shall start at (CS base = vector << 12), or -1. */
int lapic_sipi_vector(struct lapic *a);
/* Application processors from reset, and every processor but the boot one after INIT. */
bool lapic_waits_sipi(const struct lapic *a);
bool lapic_is_bsp(const struct lapic *a);

/* CR8, that is TPR[7:4]. */
static inline unsigned lapic_cr8(const struct lapic *a)
{
    return a->tpr >> 4;
}
void lapic_set_cr8(struct lapic *a, unsigned cr8);

/* ---- registers ---- */
/* Where the xAPIC window is, or UINT64_MAX when disabled or in x2APIC mode. Linux leaves it at
 * LAPIC_BASE. The window is 4 KiB and each vCPU sees its own. */
uint64_t lapic_window(const struct lapic *a);
/* 32-bit accesses at offset `off` of the window. */
uint32_t lapic_read(struct lapic *a, uint32_t off);
void lapic_write(struct lapic *a, uint32_t off, uint32_t value);

/* IA32_APIC_BASE (1Bh), IA32_TSC_DEADLINE (6E0h), x2APIC (800h-8FFh). False: #GP. */
static inline bool lapic_owns_msr(uint32_t msr)
{
    return msr == 0x1B || msr == 0x6E0 || (msr >= 0x800 && msr <= 0x8FF);
}
bool lapic_rdmsr(struct lapic *a, uint32_t msr, uint64_t *value) MUST_USE;
bool lapic_wrmsr(struct lapic *a, uint32_t msr, uint64_t value) MUST_USE;

/* The vCPU's TSC is board_now + offset (for the TSC deadline); 0 from reset. */
void lapic_set_tsc_offset(struct lapic *a, int64_t offset);

/* ---- for the board ---- */
enum apic_mode {
    APIC_FIXED,
    APIC_LOWEST,
    APIC_SMI,
    APIC_MODE_RESERVED,
    APIC_MODE_NMI,
    APIC_MODE_INIT,
    APIC_STARTUP,
    APIC_EXTINT,
};
/* An interrupt message on its way to local APICs. */
struct apic_msg {
    uint32_t dest;
    bool wide; /* dest is 32 bits (from x2APIC); else 8 */
    bool logical, level;
    uint8_t mode, vector;
};
void lapic_init(struct lapic *a, struct board *b, unsigned id);
void lapic_reset(struct lapic *a);
/* LINT0 carries the 8259 pair's INTR, LINT1 the NMI button. */
void lapic_lint0(struct lapic *a, bool level);
void lapic_lint1(struct lapic *a, bool level);
/* Sends to every local APIC that `m` names. False when none does. */
bool apic_deliver(struct board *b, const struct apic_msg *m);

#endif
