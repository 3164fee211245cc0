/* Shared by lapic.c and lapic_ipi.c. */
#ifndef LUCCA_HOST_DEVICE_LAPIC_IMPL_H
#define LUCCA_HOST_DEVICE_LAPIC_IMPL_H

#include "host/device/lapic.h"
#include "host/device/pci.h" /* LAPIC_BASE */

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* Error status register (APM2 16.4.7). */
#define LAPIC_ESR_SENT_VECTOR     0x20u
#define LAPIC_ESR_RECEIVED_VECTOR 0x40u
#define LAPIC_ESR_REGISTER        0x80u

bool lapic_enabled(const struct lapic *a);
bool lapic_x2(const struct lapic *a);
/* Sets `event` and kicks the vCPU. */
void lapic_raise(struct lapic *a, uint32_t event);
/* Requests a fixed interrupt. False when the APIC takes none. */
bool lapic_request(struct lapic *a, unsigned vector, bool level);
void lapic_error(struct lapic *a, uint32_t bit);
/* Does what message `m`, already found to be for `a`, says. False when `a` does not take it. */
bool lapic_receive(struct lapic *a, const struct apic_msg *m);
/* Sends what the ICR says. */
void lapic_send(struct lapic *a);
void lapic_self_ipi(struct lapic *a, uint8_t vector);

/* x2APIC logical id: cluster in 31:16, a bit of sixteen in 15:0 (APM2 16.14). */
static inline uint32_t lapic_x2_ldr(unsigned id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

#endif
