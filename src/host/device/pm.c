/* ACPI fixed hardware (ACPI 6.3 chapter 4): PM1a event block, control block, timer, and a GPE0
 * block without events. The machine is in ACPI mode from the start: there is no SMI command port.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/board.h"
#include "host/device/legacy.h"
#include "host/device/pc.h"

#define PM_SIZE    12u
#define TIMER_HZ   3579545u
#define TIMER_BITS 24
/* The status bit is set whenever the timer's top bit changes (4.8.3.3). */
#define HALF_TURN (UINT64_C(1) << (TIMER_BITS - 1))

#define STS_TIMER  0x0001u
#define STS_BUTTON 0x0100u
#define STS_BITS   0x8731u /* timer, bus master, global, button, sleep button, RTC, wake */
#define EN_BITS    0x0721u
#define CNT_SCI_EN 0x0001u
#define CNT_SLP_EN 0x2000u
#define CNT_BITS   0x1C07u
#define S5_TYPE    0u /* as _S5 in the DSDT says */

struct pm {
    struct board *board;
    uint16_t sts, en, cnt;
    uint64_t seen;            /* half turns of the timer that the status has accounted for */
    uint8_t gpe[PC_GPE0_LEN]; /* status, then enables */
    bool warned;              /* of a sleep state that does not exist: once */
    struct timer timer;
};

static uint64_t ticks(const struct pm *p)
{
    return (uint64_t)((unsigned __int128)board_now(p->board) * TIMER_HZ / 1000000000);
}

static void update(struct pm *p)
{
    uint64_t turns = ticks(p) / HALF_TURN;

    if (turns != p->seen)
        p->sts |= STS_TIMER;
    p->seen = turns;
    if (p->en & STS_TIMER) {
        unsigned __int128 next = (unsigned __int128)(turns + 1) * HALF_TURN * 1000000000;

        timer_arm(&p->timer, (uint64_t)(next / TIMER_HZ) + 1);
    } else {
        timer_cancel(&p->timer);
    }
    board_gsi(p->board, PC_SCI_GSI, 0, p->sts & p->en);
}

static void timer_turned(void *ctx)
{
    update(ctx);
}

static uint64_t pm_read(void *dev, uint64_t off, unsigned size)
{
    struct pm *p = dev;
    uint8_t image[PM_SIZE];
    uint64_t value = 0;

    update(p);
    store16(image, p->sts);
    store16(image + 2, p->en);
    store16(image + 4, p->cnt);
    store16(image + 6, 0);
    store32(image + 8, (uint32_t)(ticks(p) & (BIT(TIMER_BITS) - 1)));
    memcpy(&value, image + off, size);
    return value;
}

static void write_control(struct pm *p, uint16_t value)
{
    unsigned type = value >> 10 & 7;

    p->cnt = (value & CNT_BITS) | CNT_SCI_EN;
    if (!(value & CNT_SLP_EN))
        return;
    if (type == S5_TYPE)
        board_end(p->board, FATE_POWEROFF, 0, "ACPI S5");
    else if (!p->warned)
        warn("the guest asks for ACPI sleep type %u, which this machine does not offer", type);
    p->warned = true;
}

static void pm_write_byte(struct pm *p, unsigned off, uint8_t value, uint8_t control[2])
{
    unsigned shift = (off & 1) * 8;

    if (off < 2)
        p->sts &= ~(value << shift & STS_BITS);
    else if (off < 4)
        p->en = (uint16_t)((p->en & ~(0xFF << shift)) | (value << shift & EN_BITS));
    else if (off < 6)
        control[off & 1] = value;
}

static void pm_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pm *p = dev;
    uint8_t control[2];

    update(p);
    store16(control, p->cnt);
    for (unsigned i = 0; i < size; i++)
        pm_write_byte(p, (unsigned)off + i, (uint8_t)(value >> i * 8), control);
    if (off < 6 && off + size > 4)
        write_control(p, load16(control));
    update(p);
}

static uint64_t gpe_read(void *dev, uint64_t off, unsigned size)
{
    const struct pm *p = dev;
    uint64_t value = 0;

    memcpy(&value, p->gpe + off, size);
    return value;
}

/* Status bits are cleared by writing ones; nothing sets them. */
static void gpe_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct pm *p = dev;

    for (unsigned i = 0; i < size; i++)
        if (off + i >= PC_GPE0_LEN / 2)
            p->gpe[off + i] = (uint8_t)(value >> i * 8);
}

static const struct bus_ops pm_ops = {pm_read, pm_write};
static const struct bus_ops gpe_ops = {gpe_read, gpe_write};

void pm_power_button(struct pm *p)
{
    p->sts |= STS_BUTTON;
    update(p);
}

void pm_reset(struct pm *p)
{
    p->sts = p->en = 0;
    p->cnt = CNT_SCI_EN;
    p->seen = ticks(p) / HALF_TURN;
    memset(p->gpe, 0, sizeof(p->gpe));
    update(p);
}

struct pm *pm_new(struct board *b, struct error *err)
{
    struct pm *p = calloc(1, sizeof(*p));

    if (!p) {
        fail(err, ERR_NOMEM, "no memory for the ACPI hardware");
        return NULL;
    }
    p->board = b;
    timer_init(&p->timer, b, timer_turned, p);
    pm_reset(p);
    if (bus_add(board_bus(b), BUS_PORTS, PC_PM_BASE, PM_SIZE, &pm_ops, p, "acpi pm", err) == OK &&
        bus_add(board_bus(b), BUS_PORTS, PC_GPE0_BASE, PC_GPE0_LEN, &gpe_ops, p, "acpi gpe", err) ==
            OK)
        return p;
    pm_free(p);
    return NULL;
}

void pm_free(struct pm *p)
{
    if (!p)
        return;
    timer_cancel(&p->timer);
    bus_remove(board_bus(p->board), BUS_PORTS, PC_PM_BASE, p);
    bus_remove(board_bus(p->board), BUS_PORTS, PC_GPE0_BASE, p);
    free(p);
}
