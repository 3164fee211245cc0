/* Interrupt messages: who they are for, and what they do there (APM2 16.5 to 16.7). */
#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board_impl.h"
#include "host/device/lapic_impl.h"

bool lapic_receive(struct lapic *a, const struct apic_msg *m)
{
    switch (m->mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        return lapic_request(a, m->vector, m->level);
    case APIC_MODE_NMI:
        lapic_raise(a, LAPIC_NMI);
        return true;
    case APIC_MODE_INIT:
        a->events &= ~(uint32_t)LAPIC_SIPI;
        lapic_raise(a, LAPIC_INIT);
        return true;
    case APIC_STARTUP:
        /* Only a processor that waits for it, or will once it has taken its INIT, is started. */
        if (!a->waits_sipi && !(a->events & LAPIC_INIT))
            return true;
        a->sipi = m->vector;
        lapic_raise(a, LAPIC_SIPI);
        return true;
    default:
        /* SMI: there is no SMM. ExtINT: the 8259 pair is wired to LINT0, not to the IOAPIC. */
        if (tracing(TRACE_IRQ))
            trace(TRACE_IRQ, "vCPU %u ignores delivery mode %u", a->id, m->mode);
        return false;
    }
}

static bool match_logical(const struct lapic *a, const struct apic_msg *m)
{
    uint8_t mine = (uint8_t)(a->ldr >> 24), dest = (uint8_t)m->dest;

    if (lapic_x2(a))
        return m->dest >> 16 == a->ldr >> 16 && (m->dest & a->ldr & 0xFFFF);
    if (m->wide && m->dest > 0xFF)
        return false;
    if (a->dfr >> 28 == 0xF) /* flat: a bit for each of eight */
        return dest & mine;
    if (dest == 0xFF)
        return true;
    return dest >> 4 == mine >> 4 && (dest & mine & 15); /* cluster in 7:4, a bit of four in 3:0 */
}

static bool match(const struct lapic *a, const struct apic_msg *m)
{
    if (!lapic_enabled(a))
        return false;
    if (m->dest == (m->wide ? UINT32_MAX : 0xFF))
        return true;
    return m->logical ? match_logical(a, m) : m->dest == a->id;
}

/* The lowest processor priority of those that match; among equals, the next in turn. */
static struct lapic *lowest(struct board *b, const struct apic_msg *m)
{
    struct lapic *best = NULL;

    for (unsigned i = 1; i <= b->vcpus; i++) {
        struct lapic *a = &b->lapic[(b->lowest_turn + i) % b->vcpus];

        if (match(a, m) && a->svr & 0x100 && (!best || a->ppr >> 4 < best->ppr >> 4))
            best = a;
    }
    if (best)
        b->lowest_turn = best->id;
    return best;
}

bool apic_deliver(struct board *b, const struct apic_msg *m)
{
    bool taken = false;

    if (m->mode == APIC_LOWEST) {
        struct lapic *a = lowest(b, m);

        return a && lapic_receive(a, m);
    }
    for (unsigned i = 0; i < b->vcpus; i++)
        if (match(&b->lapic[i], m) && lapic_receive(&b->lapic[i], m))
            taken = true;
    return taken;
}

void lapic_self_ipi(struct lapic *a, uint8_t vector)
{
    if (vector < 16)
        lapic_error(a, LAPIC_ESR_SENT_VECTOR);
    lapic_request(a, vector, false);
}

/* ICR bits 19:18. */
enum shorthand { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

static void send_all(struct lapic *a, const struct apic_msg *m, bool self)
{
    struct board *b = a->board;

    for (unsigned i = 0; i < b->vcpus; i++)
        if ((self || i != a->id) && lapic_enabled(&b->lapic[i]))
            lapic_receive(&b->lapic[i], m);
}

void lapic_send(struct lapic *a)
{
    uint32_t low = a->icr_low;
    struct apic_msg m = {
        .dest = lapic_x2(a) ? a->icr_high : a->icr_high >> 24,
        .wide = lapic_x2(a),
        .logical = low >> 11 & 1,
        .level = low >> 15 & 1,
        .mode = low >> 8 & 7,
        .vector = low & 0xFF,
    };

    /* The INIT level de-assert of old multiprocessor start-up sequences does nothing. */
    if (m.mode == APIC_MODE_INIT && m.level && !(low & 0x4000))
        return;
    if ((m.mode == APIC_FIXED || m.mode == APIC_LOWEST) && m.vector < 16) {
        lapic_error(a, LAPIC_ESR_SENT_VECTOR);
        return;
    }
    if (tracing(TRACE_IRQ))
        trace(TRACE_IRQ, "vCPU %u sends mode %u vector %#x to %#x (shorthand %u)", a->id, m.mode,
              m.vector, m.dest, low >> 18 & 3);
    switch ((enum shorthand)(low >> 18 & 3)) {
    case TO_DEST:
        apic_deliver(a->board, &m);
        break;
    case TO_SELF:
        lapic_receive(a, &m);
        break;
    case TO_ALL:
    case TO_OTHERS:
        send_all(a, &m, (low >> 18 & 3) == TO_ALL);
        break;
    }
}
