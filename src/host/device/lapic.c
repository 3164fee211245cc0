/* Local APIC: registers, priorities and the timer (APM2 chapter 16). Messages between APICs are in
 * lapic_ipi.c.
 *
 * Priorities are kept as the highest bit set of IRR and ISR, so that "what may be delivered now" is
 * one comparison after each change and a load at each look. */
#include "host/device/lapic.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board_impl.h"
#include "host/device/lapic_impl.h"

#define BASE_BSC  BIT(8)
#define BASE_EXTD BIT(10)
#define BASE_EN   BIT(11)

#define SVR_ENABLE   0x100u
#define LVT_MASKED   0x10000u
#define LVT_MODE     0x60000u /* timer: 0 one-shot, 1 periodic, 2 TSC deadline */
#define LVT_PERIODIC 0x20000u
#define LVT_DEADLINE 0x40000u

/* Registers by offset / 16, which is also the x2APIC MSR number less 800h (APM2 table 16-6). */
enum reg {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0A,
    REG_EOI = 0x0B,
    REG_LDR = 0x0D,
    REG_DFR = 0x0E,
    REG_SVR = 0x0F,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_LVT_LAST = 0x37,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3E,
    REG_SELF_IPI = 0x3F,
};

/* Version 10h as in AMD's parts, six LVT entries; no extended register space (bit 31). */
#define VERSION 0x00050010u

/* Bits that software may set in each LVT entry: timer, thermal, performance, LINT0, LINT1, error.
 */
static const uint32_t lvt_bits[LVT_COUNT] = {0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF};

/* ---- priorities --------------------------------------------------------------------------- */

static int highest(const uint64_t bits[4])
{
    for (int i = 3; i >= 0; i--)
        if (bits[i])
            return i * 64 + 63 - __builtin_clzll(bits[i]);
    return -1;
}

static void set_bit(uint64_t bits[4], unsigned n)
{
    bits[n >> 6] |= BIT(n & 63);
}

static void clear_bit(uint64_t bits[4], unsigned n)
{
    bits[n >> 6] &= ~BIT(n & 63);
}

static bool test_bit(const uint64_t bits[4], unsigned n)
{
    return bits[n >> 6] >> (n & 63) & 1;
}

void lapic_raise(struct lapic *a, uint32_t event)
{
    a->events |= event;
    a->board->hooks->kick(a->board->ctx, a->id);
}

/* PPR is TPR, or the class of what is in service where that is higher (APM2 16.6.5). */
static void update_pending(struct lapic *a)
{
    int was = a->pending;
    uint8_t served = a->isr_max < 0 ? 0 : a->isr_max & 0xF0;

    a->ppr = served > (a->tpr & 0xF0) ? served : a->tpr;
    a->pending = a->irr_max >= 0 && a->irr_max >> 4 > a->ppr >> 4 ? a->irr_max : -1;
    if (a->pending < 0)
        a->events &= ~(uint32_t)LAPIC_INTR;
    else if (a->pending > was)
        lapic_raise(a, LAPIC_INTR);
}

bool lapic_enabled(const struct lapic *a)
{
    return a->base & BASE_EN;
}

bool lapic_x2(const struct lapic *a)
{
    return a->base & BASE_EXTD;
}

bool lapic_request(struct lapic *a, unsigned vector, bool level)
{
    if (!(a->svr & SVR_ENABLE) || !lapic_enabled(a))
        return false;
    if (vector < 16) {
        lapic_error(a, LAPIC_ESR_RECEIVED_VECTOR);
        return true;
    }
    if (tracing(TRACE_IRQ))
        trace(TRACE_IRQ, "vCPU %u requested %#x%s", a->id, vector, level ? " level" : "");
    set_bit(a->irr, vector);
    if (level)
        set_bit(a->tmr, vector);
    else
        clear_bit(a->tmr, vector);
    if ((int)vector > a->irr_max) {
        a->irr_max = (int)vector;
        update_pending(a);
    }
    return true;
}

void lapic_error(struct lapic *a, uint32_t bit)
{
    uint32_t lvt = a->lvt[LVT_ERROR];

    if (a->esr & bit)
        return;
    a->esr |= bit;
    if (!(lvt & LVT_MASKED) && (lvt & 0xFF) >= 16)
        lapic_request(a, lvt & 0xFF, false);
}

void lapic_accept(struct lapic *a, unsigned vector)
{
    vector &= 0xFF;
    clear_bit(a->irr, vector);
    set_bit(a->isr, vector);
    a->irr_max = highest(a->irr);
    a->isr_max = MAX(a->isr_max, (int)vector);
    a->pending = -1;
    update_pending(a);
}

int lapic_take(struct lapic *a)
{
    int vector = a->pending;

    if (a->events & LAPIC_EXTINT)
        return pic_acknowledge(&a->board->pic);
    if (vector >= 0)
        lapic_accept(a, (unsigned)vector);
    return vector;
}

static void end_of_interrupt(struct lapic *a)
{
    unsigned vector = (unsigned)a->isr_max;

    if (a->isr_max < 0)
        return;
    clear_bit(a->isr, vector);
    a->isr_max = highest(a->isr);
    update_pending(a);
    if (test_bit(a->tmr, vector))
        ioapic_eoi(&a->board->ioapic, (uint8_t)vector);
}

static void set_tpr(struct lapic *a, uint8_t tpr)
{
    if (a->tpr == tpr)
        return;
    a->tpr = tpr;
    update_pending(a);
}

void lapic_set_cr8(struct lapic *a, unsigned cr8)
{
    /* CR8 says nothing of TPR[3:0]; writing it clears them (APM2 16.6.4). */
    if (a->tpr >> 4 != (cr8 & 15))
        set_tpr(a, (uint8_t)((cr8 & 15) << 4));
}

/* ---- local pins ---------------------------------------------------------------------------- */

/* With the APIC off, LINT0 of the boot processor is its INTR pin. */
static bool extint_level(const struct lapic *a)
{
    uint32_t lvt = a->lvt[LVT_LINT0];

    if (!lapic_enabled(a))
        return a->lint0 && lapic_is_bsp(a);
    return a->lint0 && !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_EXTINT;
}

static void update_extint(struct lapic *a)
{
    bool level = extint_level(a);

    if (!level)
        a->events &= ~(uint32_t)LAPIC_EXTINT;
    else if (!(a->events & LAPIC_EXTINT))
        lapic_raise(a, LAPIC_EXTINT);
}

static void lint_edge(struct lapic *a, uint32_t lvt)
{
    struct apic_msg m = {.mode = lvt >> 8 & 7, .vector = lvt & 0xFF};

    if (!lapic_enabled(a) || lvt & LVT_MASKED)
        return;
    if (m.mode == APIC_FIXED || m.mode == APIC_MODE_NMI)
        lapic_receive(a, &m);
}

void lapic_lint0(struct lapic *a, bool level)
{
    bool rises = level && !a->lint0;

    a->lint0 = level;
    update_extint(a);
    if (rises)
        lint_edge(a, a->lvt[LVT_LINT0]);
}

void lapic_lint1(struct lapic *a, bool level)
{
    bool rises = level && !a->lint1;

    a->lint1 = level;
    if (rises)
        lint_edge(a, a->lvt[LVT_LINT1]);
}

/* ---- timer --------------------------------------------------------------------------------- */

static bool deadline_mode(const struct lapic *a)
{
    return (a->lvt[LVT_TIMER] & LVT_MODE) == LVT_DEADLINE;
}

/* Divide configuration bits 3, 1, 0: 2, 4, .. 128, 1 (APM2 figure 16-10). */
static uint64_t divisor(const struct lapic *a)
{
    unsigned code = (a->timer_divide & 3) | (a->timer_divide >> 1 & 4);

    return UINT64_C(1) << ((code + 1) & 7);
}

static uint64_t period(const struct lapic *a)
{
    return a->timer_initial * divisor(a);
}

static void timer_interrupt(struct lapic *a)
{
    uint32_t lvt = a->lvt[LVT_TIMER];

    if (!(lvt & LVT_MASKED))
        lapic_request(a, lvt & 0xFF, false);
}

/* Brings a periodic count that ran out back to its present period. */
static void reload(struct lapic *a)
{
    uint64_t now = board_now(a->board);

    if (now >= a->timer_expiry && a->lvt[LVT_TIMER] & LVT_PERIODIC)
        a->timer_expiry += ((now - a->timer_expiry) / period(a) + 1) * period(a);
}

static void timer_fired(void *ctx)
{
    struct lapic *a = ctx;

    if (deadline_mode(a)) {
        a->tsc_deadline = 0;
    } else if (a->lvt[LVT_TIMER] & LVT_PERIODIC) {
        reload(a);
        timer_arm(&a->timer, a->timer_expiry);
    }
    timer_interrupt(a);
}

static uint32_t current_count(struct lapic *a)
{
    uint64_t now = board_now(a->board);

    if (!a->timer_initial || deadline_mode(a))
        return 0;
    if (a->lvt[LVT_TIMER] & LVT_PERIODIC && now >= a->timer_expiry)
        return a->timer_initial - (uint32_t)((now - a->timer_expiry) % period(a) / divisor(a));
    if (now >= a->timer_expiry)
        return 0;
    return (uint32_t)((a->timer_expiry - now + divisor(a) - 1) / divisor(a));
}

static void start_count(struct lapic *a, uint32_t count)
{
    a->timer_expiry = board_now(a->board) + count * divisor(a);
    if (count)
        timer_arm(&a->timer, a->timer_expiry);
    else
        timer_cancel(&a->timer);
}

static void write_initial(struct lapic *a, uint32_t value)
{
    if (deadline_mode(a))
        return;
    a->timer_initial = value;
    start_count(a, value);
}

/* The count goes on from where it stands, at the new rate. */
static void write_divide(struct lapic *a, uint32_t value)
{
    uint32_t left = current_count(a);

    a->timer_divide = value & 0xB;
    if (left)
        start_count(a, left);
}

static void arm_deadline(struct lapic *a)
{
    uint64_t now = board_now(a->board);
    uint64_t tsc = now + (uint64_t)a->tsc_offset;
    uint64_t wait = a->tsc_deadline - tsc;

    if (!a->tsc_deadline) {
        timer_cancel(&a->timer);
    } else if (a->tsc_deadline <= tsc) {
        timer_cancel(&a->timer);
        timer_fired(a);
    } else {
        timer_arm(&a->timer, wait >= UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + wait);
    }
}

void lapic_set_tsc_offset(struct lapic *a, int64_t offset)
{
    a->tsc_offset = offset;
    if (deadline_mode(a))
        arm_deadline(a);
}

/* Entering or leaving TSC-deadline mode disarms the timer (APM2 16.4.1). */
static void write_timer_lvt(struct lapic *a, uint32_t value)
{
    uint32_t was = a->lvt[LVT_TIMER];
    bool running = a->timer.deadline != UINT64_MAX;

    if (value & LVT_DEADLINE) /* both mode bits are reserved (APM2 16.4.1): no period to reload */
        value &= ~LVT_PERIODIC;
    if (!(was & LVT_DEADLINE) && was & LVT_PERIODIC && a->timer_initial)
        reload(a);
    a->lvt[LVT_TIMER] = value;
    if ((was ^ value) & LVT_DEADLINE) {
        timer_cancel(&a->timer);
        a->timer_initial = 0;
        a->tsc_deadline = 0;
    } else if (a->timer_initial && running) {
        timer_arm(&a->timer, a->timer_expiry);
    }
}

/* ---- registers ----------------------------------------------------------------------------- */

static uint32_t masks(const struct lapic *a)
{
    return a->svr & SVR_ENABLE ? 0 : LVT_MASKED;
}

static void write_lvt(struct lapic *a, unsigned n, uint32_t value)
{
    value = (value & lvt_bits[n]) | masks(a);
    if (n == LVT_TIMER)
        write_timer_lvt(a, value);
    else
        a->lvt[n] = value;
    if (n == LVT_LINT0)
        update_extint(a);
}

static void write_svr(struct lapic *a, uint32_t value)
{
    a->svr = value & 0x3FF;
    if (masks(a)) {
        for (unsigned i = 0; i < LVT_COUNT; i++)
            a->lvt[i] |= LVT_MASKED;
        update_extint(a);
    }
}

static uint32_t bit_word(const uint64_t bits[4], unsigned n)
{
    return (uint32_t)(bits[n >> 1] >> (n & 1) * 32);
}

static bool read_reg(struct lapic *a, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_ID:
        *value = lapic_x2(a) ? a->id : a->id << 24;
        return true;
    case REG_VERSION:
        *value = VERSION | (LVT_COUNT - 1) << 16;
        return true;
    case REG_TPR:
        *value = a->tpr;
        return true;
    case REG_APR:
    case REG_PPR:
        *value = a->ppr;
        return true;
    case REG_LDR:
        *value = a->ldr;
        return true;
    case REG_DFR:
        *value = a->dfr;
        return true;
    case REG_SVR:
        *value = a->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *value = bit_word(a->isr, reg - REG_ISR);
        return true;
    case REG_TMR ... REG_TMR + 7:
        *value = bit_word(a->tmr, reg - REG_TMR);
        return true;
    case REG_IRR ... REG_IRR + 7:
        *value = bit_word(a->irr, reg - REG_IRR);
        return true;
    case REG_ESR:
        *value = a->esr_seen;
        return true;
    case REG_ICR_LOW:
        *value = a->icr_low;
        return true;
    case REG_ICR_HIGH:
        *value = a->icr_high;
        return true;
    case REG_LVT ... REG_LVT_LAST:
        *value = a->lvt[reg - REG_LVT];
        return true;
    case REG_TIMER_INITIAL:
        *value = a->timer_initial;
        return true;
    case REG_TIMER_CURRENT:
        *value = current_count(a);
        return true;
    case REG_TIMER_DIVIDE:
        *value = a->timer_divide;
        return true;
    default:
        return false;
    }
}

static bool write_reg(struct lapic *a, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_TPR:
        set_tpr(a, (uint8_t)value);
        return true;
    case REG_EOI:
        end_of_interrupt(a);
        return true;
    case REG_LDR:
        a->ldr = value & 0xFF000000;
        return true;
    case REG_DFR:
        a->dfr = value | 0x0FFFFFFF;
        return true;
    case REG_SVR:
        write_svr(a, value);
        return true;
    case REG_ESR:
        a->esr_seen = a->esr;
        a->esr = 0;
        return true;
    case REG_ICR_LOW:
        /* Delivery is at once: its status (bit 12) never shows. */
        a->icr_low = value & 0x000CCFFF;
        lapic_send(a);
        return true;
    case REG_ICR_HIGH:
        a->icr_high = value & 0xFF000000;
        return true;
    case REG_LVT ... REG_LVT_LAST:
        write_lvt(a, reg - REG_LVT, value);
        return true;
    case REG_TIMER_INITIAL:
        write_initial(a, value);
        return true;
    case REG_TIMER_DIVIDE:
        write_divide(a, value);
        return true;
    case REG_ID:
    case REG_VERSION:
        /* Read-only here: APIC ids are vCPU numbers, as the MADT says. */
        return true;
    default:
        return false;
    }
}

uint64_t lapic_window(const struct lapic *a)
{
    return (a->base & (BASE_EN | BASE_EXTD)) == BASE_EN ? a->base & ~UINT64_C(0xFFF) : UINT64_MAX;
}

uint32_t lapic_read(struct lapic *a, uint32_t off)
{
    uint32_t value = 0;

    if (off & 0xF || off >= 0x1000)
        return 0;
    if (!read_reg(a, off >> 4, &value) && off >> 4 != REG_EOI)
        lapic_error(a, LAPIC_ESR_REGISTER);
    return value;
}

void lapic_write(struct lapic *a, uint32_t off, uint32_t value)
{
    if (off & 0xF || off >= 0x1000)
        return;
    if (!write_reg(a, off >> 4, value))
        lapic_error(a, LAPIC_ESR_REGISTER);
}

/* ---- MSRs ---------------------------------------------------------------------------------- */

/* The bits that x2APIC software may write; all others raise #GP (APM2 16.11.2). */
static bool x2_write_bits(unsigned reg, uint64_t *bits)
{
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        *bits = 0xFF;
        return true;
    case REG_EOI:
    case REG_ESR:
        *bits = 0;
        return true;
    case REG_SVR:
        *bits = 0x3FF;
        return true;
    case REG_ICR_LOW:
        *bits = 0xFFFFFFFF000CDFFF;
        return true;
    case REG_LVT ... REG_LVT_LAST:
        /* Status and remote IRR are read-only, but software writes back what it read. */
        *bits = lvt_bits[reg - REG_LVT] | 0x1000 |
                (reg - REG_LVT == LVT_LINT0 || reg - REG_LVT == LVT_LINT1 ? 0x4000 : 0);
        return true;
    case REG_TIMER_INITIAL:
        *bits = UINT32_MAX;
        return true;
    case REG_TIMER_DIVIDE:
        *bits = 0xB;
        return true;
    default:
        return false;
    }
}

static bool x2_read(struct lapic *a, unsigned reg, uint64_t *value)
{
    uint32_t low;

    if (reg == REG_APR || reg == REG_DFR || reg == REG_ICR_HIGH || !read_reg(a, reg, &low))
        return false;
    *value = reg == REG_ICR_LOW ? (uint64_t)a->icr_high << 32 | low : low;
    return true;
}

static bool x2_write(struct lapic *a, unsigned reg, uint64_t value)
{
    uint64_t bits;

    if (!x2_write_bits(reg, &bits) || value & ~bits)
        return false;
    if (reg == REG_SELF_IPI) {
        lapic_self_ipi(a, (uint8_t)value);
        return true;
    }
    if (reg == REG_ICR_LOW)
        a->icr_high = (uint32_t)(value >> 32);
    return write_reg(a, reg, (uint32_t)value);
}

/* The registers that both INIT and disabling the APIC bring to their reset values. */
static void reset_registers(struct lapic *a)
{
    timer_cancel(&a->timer);
    memset(a->irr, 0, sizeof(a->irr));
    memset(a->isr, 0, sizeof(a->isr));
    memset(a->tmr, 0, sizeof(a->tmr));
    a->irr_max = a->isr_max = -1;
    a->tpr = 0;
    a->svr = 0xFF;
    a->ldr = lapic_x2(a) ? lapic_x2_ldr(a->id) : 0;
    a->dfr = UINT32_MAX;
    a->esr = a->esr_seen = 0;
    a->icr_low = a->icr_high = 0;
    a->timer_initial = a->timer_divide = 0;
    a->timer_expiry = a->tsc_deadline = 0;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        a->lvt[i] = LVT_MASKED;
    /* The boot processor's LINT0 as firmware leaves it, since there may be none: the 8259 pair's
     * INTR goes through. */
    if (lapic_is_bsp(a))
        a->lvt[LVT_LINT0] = APIC_EXTINT << 8;
    update_pending(a);
    update_extint(a);
}

/* The three modes and their legal changes (APM2 16.10): off <-> xAPIC -> x2APIC -> off. */
static bool write_base(struct lapic *a, uint64_t value)
{
    uint64_t modes = BASE_EN | BASE_EXTD, was = a->base & modes, next = value & modes;
    uint64_t legal = modes | BASE_BSC | ((BIT(a->board->pa_bits) - 1) & ~UINT64_C(0xFFF));

    if (value & ~legal || next == BASE_EXTD || (was == modes && next == BASE_EN) ||
        (was == 0 && next == modes))
        return false;
    a->base = (value & ~BASE_BSC) | (a->base & BASE_BSC);
    if (was != next && next == 0)
        reset_registers(a);
    if (was != next && next == modes)
        a->ldr = lapic_x2_ldr(a->id);
    update_extint(a);
    return true;
}

bool lapic_rdmsr(struct lapic *a, uint32_t msr, uint64_t *value)
{
    if (msr == 0x1B) {
        *value = a->base;
        return true;
    }
    if (msr == 0x6E0) {
        *value = deadline_mode(a) ? a->tsc_deadline : 0;
        return true;
    }
    return msr >= 0x800 && msr <= 0x8FF && lapic_x2(a) && x2_read(a, msr - 0x800, value);
}

bool lapic_wrmsr(struct lapic *a, uint32_t msr, uint64_t value)
{
    if (msr == 0x1B)
        return write_base(a, value);
    if (msr == 0x6E0) {
        if (deadline_mode(a)) {
            a->tsc_deadline = value;
            arm_deadline(a);
        }
        return true;
    }
    return msr >= 0x800 && msr <= 0x8FF && lapic_x2(a) && x2_write(a, msr - 0x800, value);
}

/* ---- reset and INIT ------------------------------------------------------------------------- */

bool lapic_is_bsp(const struct lapic *a)
{
    return a->base & BASE_BSC;
}

bool lapic_waits_sipi(const struct lapic *a)
{
    return a->waits_sipi;
}

bool lapic_nmi_take(struct lapic *a)
{
    bool had = a->events & LAPIC_NMI;

    a->events &= ~(uint32_t)LAPIC_NMI;
    return had;
}

/* INIT keeps the APIC's id and base (APM2 16.3.5). A SIPI that followed it stays. */
bool lapic_take_init(struct lapic *a)
{
    if (!(a->events & LAPIC_INIT))
        return false;
    a->events &= LAPIC_SIPI;
    a->waits_sipi = !lapic_is_bsp(a);
    a->pending = -1;
    reset_registers(a);
    return true;
}

int lapic_sipi_vector(struct lapic *a)
{
    if (!(a->events & LAPIC_SIPI) || a->events & LAPIC_INIT)
        return -1;
    a->events &= ~(uint32_t)LAPIC_SIPI;
    a->waits_sipi = false;
    return a->sipi;
}

void lapic_reset(struct lapic *a)
{
    a->base = LAPIC_BASE | BASE_EN | (a->id == 0 ? BASE_BSC : 0);
    a->events = 0;
    a->pending = -1;
    a->waits_sipi = a->id != 0;
    a->lint1 = false;
    a->tsc_offset = 0;
    reset_registers(a);
}

void lapic_init(struct lapic *a, struct board *b, unsigned id)
{
    *a = (struct lapic){.board = b, .id = id};
    timer_init(&a->timer, b, timer_fired, a);
    lapic_reset(a);
}
