/* MC146818 clock: the host's date at power-on, then the VM's clock. The time registers are filled
 * when they are read, and the interrupt flags worked out from what has passed since they were last
 * looked at; a timer runs only for interrupts that software enabled. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "host/device/board.h"
#include "host/device/bytewise.h"
#include "host/device/legacy.h"

#define NS UINT64_C(1000000000)
/* UIP rises this long before the update of the time registers (data sheet, tBUC). */
#define UIP_NS 244000u

enum {
    SECONDS = 0x00,
    SECONDS_ALARM = 0x01,
    MINUTES = 0x02,
    MINUTES_ALARM = 0x03,
    HOURS = 0x04,
    HOURS_ALARM = 0x05,
    WEEKDAY = 0x06,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    REG_A = 0x0A,
    REG_B = 0x0B,
    REG_C = 0x0C,
    REG_D = 0x0D,
    CENTURY = 0x32,
    CMOS_SIZE = 0x80,
};

#define A_UIP         0x80
#define B_SET         0x80
#define B_BINARY      0x04
#define B_24H         0x02
#define FLAG_IRQ      0x80
#define FLAG_PERIODIC 0x40
#define FLAG_ALARM    0x20
#define FLAG_UPDATE   0x10
#define FLAGS         0x70 /* the same bits enable them in register B */
#define ANY           0xC0 /* alarm bytes C0h and above match always */

struct rtc {
    struct board *board;
    struct rtc_config cfg;
    int64_t offset; /* seconds that software set the clock forward */
    uint64_t seen;  /* ns up to which the flags are accounted for */
    uint8_t index;
    uint8_t cmos[CMOS_SIZE];
    struct timer timer;
};

/* ---- calendar ------------------------------------------------------------------------------- */

static uint8_t encode(const struct rtc *r, int n)
{
    return (uint8_t)(r->cmos[REG_B] & B_BINARY ? n : n / 10 << 4 | n % 10);
}

static int decode(const struct rtc *r, uint8_t v)
{
    return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc *r, int hour)
{
    if (r->cmos[REG_B] & B_24H)
        return encode(r, hour);
    return (uint8_t)(encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0));
}

static int decode_hour(const struct rtc *r, uint8_t v)
{
    if (r->cmos[REG_B] & B_24H)
        return decode(r, v);
    return decode(r, v & 0x7F) % 12 + (v & 0x80 ? 12 : 0);
}

static int64_t clock_at(const struct rtc *r, uint64_t ns)
{
    return r->cfg.base + r->offset + (int64_t)(ns / NS);
}

static void fill_time(struct rtc *r)
{
    time_t now = (time_t)clock_at(r, board_now(r->board));
    struct tm t = {0};
    int year;

    gmtime_r(&now, &t);
    year = ((t.tm_year + 1900) % 10000 + 10000) % 10000; /* software may set it before year 0 */
    r->cmos[SECONDS] = encode(r, t.tm_sec);
    r->cmos[MINUTES] = encode(r, t.tm_min);
    r->cmos[HOURS] = encode_hour(r, t.tm_hour);
    r->cmos[WEEKDAY] = encode(r, t.tm_wday + 1);
    r->cmos[DAY] = encode(r, t.tm_mday);
    r->cmos[MONTH] = encode(r, t.tm_mon + 1);
    r->cmos[YEAR] = encode(r, year % 100);
    r->cmos[CENTURY] = encode(r, year / 100);
}

static void take_time(struct rtc *r)
{
    struct tm t = {
        .tm_sec = decode(r, r->cmos[SECONDS]),
        .tm_min = decode(r, r->cmos[MINUTES]),
        .tm_hour = decode_hour(r, r->cmos[HOURS]),
        .tm_mday = decode(r, r->cmos[DAY]),
        .tm_mon = decode(r, r->cmos[MONTH]) - 1,
        .tm_year = decode(r, r->cmos[CENTURY]) * 100 + decode(r, r->cmos[YEAR]) - 1900,
    };

    r->offset = 0;
    r->offset = (int64_t)timegm(&t) - clock_at(r, board_now(r->board));
}

static bool frozen(const struct rtc *r)
{
    return r->cmos[REG_B] & B_SET;
}

/* ---- flags and interrupts -------------------------------------------------------------------- */

/* log2 of the periodic interrupt's period in ticks of 32768 Hz, or -1 (data sheet, table 5). */
static int periodic_shift(const struct rtc *r)
{
    int rate = r->cmos[REG_A] & 15;

    if (rate == 0)
        return -1;
    return rate < 3 ? rate + 6 : rate - 1;
}

static uint64_t ticks32k(uint64_t ns)
{
    return (uint64_t)((unsigned __int128)ns * 32768 / NS);
}

static bool field_matches(uint8_t alarm, int value, int want)
{
    return alarm >= ANY || value == want;
}

/* Seconds from `after` (excluded) to the next match of the alarm, or 0 when it never matches. */
static int64_t next_alarm(const struct rtc *r, int64_t after)
{
    uint8_t hours = r->cmos[HOURS_ALARM], minutes = r->cmos[MINUTES_ALARM];
    uint8_t seconds = r->cmos[SECONDS_ALARM];
    bool any_hour = hours >= ANY && (r->cmos[REG_B] & B_24H || hours == 0xFF);
    int hour = decode_hour(r, hours), minute = decode(r, minutes), second = decode(r, seconds);

    for (int64_t t = after + 1; t <= after + 86400;) {
        int64_t day = ((t % 86400) + 86400) % 86400;

        if (!any_hour && day / 3600 != hour)
            t += 3600 - day % 3600;
        else if (!field_matches(minutes, (int)(day / 60 % 60), minute))
            t += 60 - day % 60;
        else if (!field_matches(seconds, (int)(day % 60), second))
            t++;
        else
            return t - after;
    }
    return 0;
}

static void account(struct rtc *r)
{
    uint64_t now = board_now(r->board);
    int shift = periodic_shift(r);
    int64_t was = clock_at(r, r->seen), is = clock_at(r, now);

    if (shift >= 0 && ticks32k(now) >> shift != ticks32k(r->seen) >> shift)
        r->cmos[REG_C] |= FLAG_PERIODIC;
    if (!frozen(r) && is != was) {
        int64_t alarm = next_alarm(r, was);

        r->cmos[REG_C] |= FLAG_UPDATE;
        if (alarm && was + alarm <= is)
            r->cmos[REG_C] |= FLAG_ALARM;
    }
    r->seen = now;
}

static uint64_t next_event(const struct rtc *r)
{
    uint8_t on = r->cmos[REG_B] & FLAGS;
    int shift = periodic_shift(r);
    uint64_t at = UINT64_MAX;

    if (on & FLAG_PERIODIC && shift >= 0) {
        unsigned __int128 tick = ((unsigned __int128)(ticks32k(r->seen) >> shift) + 1) << shift;

        at = (uint64_t)((tick * NS + 32767) / 32768);
    }
    if (on & FLAG_UPDATE && !frozen(r))
        at = MIN(at, (r->seen / NS + 1) * NS);
    if (on & FLAG_ALARM && !frozen(r)) {
        int64_t alarm = next_alarm(r, clock_at(r, r->seen));

        if (alarm)
            at = MIN(at, (r->seen / NS + (uint64_t)alarm) * NS);
    }
    return at;
}

/* Flags and line as of now, and the timer for what comes next. */
static void update(struct rtc *r)
{
    account(r);
    if (r->cmos[REG_C] & r->cmos[REG_B] & FLAGS)
        r->cmos[REG_C] |= FLAG_IRQ;
    else
        r->cmos[REG_C] &= ~FLAG_IRQ;
    board_gsi(r->board, 8, 0, r->cmos[REG_C] & FLAG_IRQ);
    timer_arm(&r->timer, next_event(r));
}

static void event(void *ctx)
{
    update(ctx);
}

/* ---- registers --------------------------------------------------------------------------------
 */

static bool is_time(unsigned index)
{
    return index == CENTURY || (index <= YEAR && index != SECONDS_ALARM && index != MINUTES_ALARM &&
                                index != HOURS_ALARM);
}

static uint8_t read_cmos(struct rtc *r, unsigned index)
{
    uint8_t value;

    if (is_time(index) && !frozen(r))
        fill_time(r);
    switch (index) {
    case REG_A:
        value = r->cmos[REG_A];
        if (!frozen(r) && board_now(r->board) % NS >= NS - UIP_NS)
            value |= A_UIP;
        return value;
    case REG_C:
        update(r);
        value = r->cmos[REG_C];
        r->cmos[REG_C] = 0;
        update(r);
        return value;
    default:
        return r->cmos[index];
    }
}

static void write_time(struct rtc *r, unsigned index, uint8_t value)
{
    if (!frozen(r))
        fill_time(r);
    r->cmos[index] = value;
    if (!frozen(r))
        take_time(r);
}

/* Leaving SET starts the clock from the registers; entering it stops them where they are. The data
 * mode bits do not convert what the registers hold. */
static void write_b(struct rtc *r, uint8_t value)
{
    bool was = frozen(r);

    if (!was && value & B_SET)
        fill_time(r);
    r->cmos[REG_B] = value & 0xF7;
    if (was && !frozen(r))
        take_time(r);
}

static void write_cmos(struct rtc *r, unsigned index, uint8_t value)
{
    account(r);
    if (is_time(index))
        write_time(r, index, value);
    else if (index == REG_A)
        r->cmos[REG_A] = value & 0x7F;
    else if (index == REG_B)
        write_b(r, value);
    else if (index != REG_C && index != REG_D)
        r->cmos[index] = value;
    r->seen = board_now(r->board);
    update(r);
}

static uint8_t rtc_read(void *dev, unsigned off)
{
    struct rtc *r = dev;

    return off ? read_cmos(r, r->index) : 0xFF;
}

static void rtc_write(void *dev, unsigned off, uint8_t value)
{
    struct rtc *r = dev;

    if (off)
        write_cmos(r, r->index, value);
    else
        r->index = value & 0x7F; /* bit 7 masks NMIs on a PC; nothing here raises them */
}

BYTE_OPS(rtc);

/* What firmware reads of the machine's memory: KiB below 640K, KiB and 64 KiB units above 1 and 16
 * MiB, 64 KiB units above 4 GiB. */
static void fill_memory(struct rtc *r)
{
    const struct rtc_config *cfg = &r->cfg;
    uint64_t above_1m = cfg->ram_low > 0x100000 ? cfg->ram_low - 0x100000 : 0;
    uint64_t above_16m = cfg->ram_low > 0x1000000 ? cfg->ram_low - 0x1000000 : 0;

    store16(r->cmos + 0x15, 640);
    store16(r->cmos + 0x17, (uint16_t)MIN(above_1m / 1024, 0xFFFF));
    memcpy(r->cmos + 0x30, r->cmos + 0x17, 2);
    store16(r->cmos + 0x34, (uint16_t)MIN(above_16m / 65536, 0xFFFF));
    for (int i = 0; i < 3; i++)
        r->cmos[0x5B + i] = (uint8_t)(MIN(cfg->ram_high / 65536, 0xFFFFFF) >> i * 8);
    r->cmos[0x5F] = (uint8_t)(cfg->vcpus - 1);
    r->cmos[0x14] = 0x02; /* equipment: an FPU */
    r->cmos[0x38] = 0x10; /* no floppy signature check */
    r->cmos[0x3D] = 0x02; /* boot from the first disk */
}

/* The battery keeps time and memory; the interrupt enables and flags are cleared. */
void rtc_reset(struct rtc *r)
{
    r->index = 0;
    r->cmos[REG_B] &= ~(FLAGS | B_SET);
    r->cmos[REG_C] = 0;
    r->seen = board_now(r->board);
    update(r);
}

struct rtc *rtc_new(struct board *b, const struct rtc_config *cfg, struct error *err)
{
    struct rtc *r = calloc(1, sizeof(*r));

    if (!r) {
        fail(err, ERR_NOMEM, "no memory for the clock");
        return NULL;
    }
    r->board = b;
    r->cfg = *cfg;
    timer_init(&r->timer, b, event, r);
    r->cmos[REG_A] = 0x26; /* 32768 Hz, 1024 Hz periodic */
    r->cmos[REG_B] = B_24H;
    r->cmos[REG_D] = 0x80; /* the battery is good */
    fill_memory(r);
    rtc_reset(r);
    if (bus_add(board_bus(b), BUS_PORTS, 0x70, 2, &rtc_ops, r, "rtc", err) != OK) {
        free(r);
        return NULL;
    }
    return r;
}

void rtc_free(struct rtc *r)
{
    if (!r)
        return;
    timer_cancel(&r->timer);
    bus_remove(board_bus(r->board), BUS_PORTS, 0x70, r);
    free(r);
}
