/* 8254, port 61h, and the MC146818 clock. */
#include "fake_board.h"

#include "host/device/legacy.h"

/* ns after which `ticks` of the 1.193182 MHz input have passed. */
static uint64_t ticks(uint64_t n)
{
    return (n * 1000000000 + 1193181) / 1193182;
}

static void set_count(struct fake *f, unsigned channel, uint8_t mode, uint16_t count)
{
    outb(f, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    outb(f, 0x40 + channel, count & 0xFF);
    outb(f, 0x40 + channel, count >> 8);
}

static unsigned latched(struct fake *f, unsigned channel)
{
    unsigned low;

    outb(f, 0x43, (uint8_t)(channel << 6));
    low = inb(f, 0x40 + channel);
    return low | inb(f, 0x40 + channel) << 8;
}

/* Interrupts that line 0 gave up to `ns`, taken as they come. */
static unsigned irqs_until(struct fake *f, uint64_t ns)
{
    unsigned n = 0;

    while (board_next_deadline(f->board) <= ns) {
        f->now = board_next_deadline(f->board);
        board_run_timers(f->board);
        while (lapic_take(board_lapic(f->board, 0)) == 0x20) {
            n++;
            outb(f, 0x20, 0x20);
        }
    }
    f->now = ns;
    return n;
}

struct rig {
    struct fake *f;
    struct pit *pit;
    struct rtc *rtc;
};

static struct rig setup(void)
{
    static const struct rtc_config cfg = {
        .base = 1700000000 /* 2023-11-14 22:13:20, Tuesday */,
        .ram_low = 0xB0000000,
        .ram_high = 0x150000000,
        .vcpus = 4,
    };
    struct rig r = {.f = fake_new(1)};
    struct error err;

    r.pit = pit_new(r.f->board, &err);
    r.rtc = rtc_new(r.f->board, &cfg, &err);
    assert_non_null(r.pit);
    assert_non_null(r.rtc);
    fake_open_pic(r.f, 0xFEFA); /* lines 0, 8 and the cascade */
    return r;
}

static void teardown(struct rig *r)
{
    pit_free(r->pit);
    rtc_free(r->rtc);
    fake_free(r->f);
}

static void counts_go_down(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    set_count(f, 0, 2, 1000);
    f->now = ticks(1);
    assert_int_equal(latched(f, 0), 999);
    f->now = ticks(1000);
    assert_int_equal(latched(f, 0), 1000);
    f->now = ticks(1999);
    assert_int_equal(latched(f, 0), 1);
    set_count(f, 0, 3, 1000); /* by twos, twice a period */
    f->now += ticks(100);
    assert_int_equal(latched(f, 0), 800);
    f->now += ticks(500);
    assert_in_range(latched(f, 0), 798, 800);
    set_count(f, 1, 0, 0); /* 0 is 65536 */
    f->now += ticks(65535);
    assert_int_equal(latched(f, 1), 1);
    f->now += ticks(2);
    assert_int_equal(latched(f, 1), 0xFFFF); /* goes on past zero */
    outb(f, 0x43, 0x71);                     /* channel 1, mode 0, BCD */
    outb(f, 0x41, 0x00);
    outb(f, 0x41, 0x10); /* 1000 */
    f->now += ticks(1);
    assert_int_equal(latched(f, 1), 0x0999);
    teardown(&r);
}

static void reads_latch_and_read_back(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    set_count(f, 0, 2, 0x1234);
    outb(f, 0x43, 0x00);
    f->now = ticks(0x100);
    outb(f, 0x43, 0x00); /* a latch holds until it is read */
    assert_int_equal(inb(f, 0x40), 0x34);
    assert_int_equal(inb(f, 0x40), 0x12);
    assert_int_equal(inb(f, 0x40), 0x34); /* live now: 1134h */
    assert_int_equal(inb(f, 0x40), 0x11);
    outb(f, 0x43, 0xC2); /* count and status of channel 0 */
    assert_int_equal(inb(f, 0x40), 0xB4);
    assert_int_equal(inb(f, 0x40), 0x34);
    assert_int_equal(inb(f, 0x40), 0x11);
    outb(f, 0x43, 0x1A); /* low byte only, mode 5 */
    outb(f, 0x43, 0xE2); /* status alone: output up, null count */
    assert_int_equal(inb(f, 0x40), 0xDA);
    assert_int_equal(inb(f, 0x43), 0xFF);
    teardown(&r);
}

static void periodic_modes_interrupt(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    set_count(f, 0, 2, 11932); /* a little under 100 Hz */
    assert_int_equal(board_next_deadline(f->board), ticks(11932));
    assert_int_equal(irqs_until(f, 1000000000), 99);
    set_count(f, 0, 3, 1193);
    assert_int_equal(irqs_until(f, 1000000000 + ticks(1193 * 10)), 10);
    f->now += ticks(1193 * 5) + 10; /* five at once are one */
    board_run_timers(f->board);
    assert_int_equal(irqs_until(f, f->now), 0);
    assert_int_equal(lapic_take(board_lapic(f->board, 0)), 0x20);
    outb(f, 0x20, 0x20);
    set_count(f, 0, 2, 1); /* the impossible count does not hang the machine */
    assert_true(board_next_deadline(f->board) > f->now);
    teardown(&r);
}

static void one_shots_interrupt_once(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    set_count(f, 0, 0, 5000);
    assert_int_equal(irqs_until(f, ticks(4999)), 0);
    assert_int_equal(irqs_until(f, ticks(200000)), 1);
    set_count(f, 0, 4, 5000); /* Linux's one-shot */
    assert_int_equal(irqs_until(f, f->now + ticks(200000)), 1);
    set_count(f, 0, 4, 5000);
    outb(f, 0x43, 0x30); /* a new mode stops it */
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    set_count(f, 0, 5, 5000); /* gated: channel 0's gate never rises */
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    teardown(&r);
}

/* How kernels calibrate: gate on, mode 0, wait for the output in port 61h. */
static void channel_2_is_gated_by_port_61(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;
    uint64_t from;

    outb(f, 0x61, 0x01);
    set_count(f, 2, 0, 59659); /* 50 ms */
    from = f->now;
    f->now = from + ticks(59658);
    assert_int_equal(inb(f, 0x61) & 0x21, 0x01);
    f->now = from + ticks(59659);
    assert_int_equal(inb(f, 0x61) & 0x21, 0x21);
    outb(f, 0x61, 0x00);
    set_count(f, 2, 0, 1000);
    f->now += ticks(5000); /* held by its gate */
    assert_int_equal(inb(f, 0x61) & 0x20, 0);
    assert_int_equal(latched(f, 2), 1000);
    outb(f, 0x61, 0x01);
    f->now += ticks(400);
    outb(f, 0x61, 0x00);
    f->now += ticks(5000);
    assert_in_range(latched(f, 2), 599, 601);
    outb(f, 0x61, 0x01);
    f->now += ticks(602);
    assert_int_equal(inb(f, 0x61) & 0x20, 0x20);
    set_count(f, 2, 1, 1000); /* one-shot: waits for a rising gate */
    assert_int_equal(inb(f, 0x61) & 0x20, 0x20);
    outb(f, 0x61, 0x00);
    outb(f, 0x61, 0x01);
    assert_int_equal(inb(f, 0x61) & 0x20, 0);
    f->now += ticks(1001);
    assert_int_equal(inb(f, 0x61) & 0x20, 0x20);
    teardown(&r);
}

/* ---- clock ---- */

static uint8_t cmos(struct fake *f, uint8_t index)
{
    outb(f, 0x70, index);
    return inb(f, 0x71);
}

static void set_cmos(struct fake *f, uint8_t index, uint8_t value)
{
    outb(f, 0x70, index);
    outb(f, 0x71, value);
}

static void expect_time(struct fake *f, const uint8_t want[8])
{
    static const uint8_t index[8] = {0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32};

    for (int i = 0; i < 8; i++)
        if (cmos(f, index[i]) != want[i])
            fail_msg("register %#x is %#x, not %#x", index[i], cmos(f, index[i]), want[i]);
}

static void the_date_is_the_hosts(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    expect_time(f, (const uint8_t[]){0x20, 0x13, 0x22, 0x03, 0x14, 0x11, 0x23, 0x20});
    f->now = 6400 * 1000000000ull; /* to midnight */
    expect_time(f, (const uint8_t[]){0x00, 0x00, 0x00, 0x04, 0x15, 0x11, 0x23, 0x20});
    set_cmos(f, 0x0B, 0x06); /* binary */
    expect_time(f, (const uint8_t[]){0, 0, 0, 4, 15, 11, 23, 20});
    set_cmos(f, 0x0B, 0x00); /* BCD, 12 hours */
    expect_time(f, (const uint8_t[]){0x00, 0x00, 0x12, 0x04, 0x15, 0x11, 0x23, 0x20});
    f->now += 13 * 3600 * 1000000000ull;
    expect_time(f, (const uint8_t[]){0x00, 0x00, 0x81, 0x04, 0x15, 0x11, 0x23, 0x20});
    teardown(&r);
}

static void software_sets_the_date(void **state)
{
    static const uint8_t set[][2] = {{0x00, 0x58}, {0x02, 0x59}, {0x04, 0x23}, {0x07, 0x28},
                                     {0x08, 0x02}, {0x09, 0x00}, {0x32, 0x20}};
    struct rig r = setup();
    struct fake *f = r.f;

    set_cmos(f, 0x0B, 0x82);
    for (size_t i = 0; i < COUNT(set); i++)
        set_cmos(f, set[i][0], set[i][1]);
    f->now = 5 * 1000000000ull; /* the clock stands while SET is up */
    assert_int_equal(cmos(f, 0), 0x58);
    set_cmos(f, 0x0B, 0x02);
    f->now += 2 * 1000000000ull; /* 2000 is a leap year */
    expect_time(f, (const uint8_t[]){0x00, 0x00, 0x00, 0x03, 0x29, 0x02, 0x00, 0x20});
    for (unsigned i = 0; i < 128; i++) /* nonsense does no harm */
        if (i != 0x0A && i != 0x0B)
            set_cmos(f, (uint8_t)i, 0xFF);
    cmos(f, 0);
    teardown(&r);
}

static void update_flag_and_uip(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    cmos(f, 0x0C);
    assert_int_equal(cmos(f, 0x0A), 0x26);
    f->now = 1000000000 - 100000;
    assert_int_equal(cmos(f, 0x0A), 0xA6);
    f->now = 1000000000;
    assert_int_equal(cmos(f, 0x0A), 0x26);
    assert_int_equal(cmos(f, 0x0C) & 0x90, 0x10); /* flagged though not enabled */
    assert_int_equal(cmos(f, 0x0C), 0);
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    set_cmos(f, 0x0B, 0x12);
    assert_int_equal(board_next_deadline(f->board), 2000000000);
    fake_run_until(f, 2000000000);
    assert_int_equal(lapic_take(board_lapic(f->board, 0)), 0x28);
    assert_int_equal(cmos(f, 0x0C) & 0x90, 0x90);
    teardown(&r);
}

static void alarm_and_periodic_interrupts(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    set_cmos(f, 0x05, 0xC0); /* any hour */
    set_cmos(f, 0x03, 0x14);
    set_cmos(f, 0x01, 0x05);
    set_cmos(f, 0x0B, 0x22);
    assert_int_equal(board_next_deadline(f->board), 45 * 1000000000ull); /* 22:14:05 */
    fake_run_until(f, 45 * 1000000000ull);
    assert_int_equal(cmos(f, 0x0C) & 0xA0, 0xA0);
    assert_int_equal(board_next_deadline(f->board), 3645 * 1000000000ull);
    set_cmos(f, 0x05, 0x22);
    assert_int_equal(board_next_deadline(f->board), (45 + 86400) * 1000000000ull);
    set_cmos(f, 0x03, 0x99); /* never */
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    set_cmos(f, 0x0B, 0x42); /* 1024 Hz */
    assert_in_range(board_next_deadline(f->board) - f->now, 1, 976563);
    f->now = board_next_deadline(f->board);
    board_run_timers(f->board);
    assert_int_equal(cmos(f, 0x0C) & 0xC0, 0xC0);
    assert_in_range(board_next_deadline(f->board) - f->now, 976562, 976563);
    set_cmos(f, 0x0A, 0x2F); /* 2 Hz */
    assert_in_range(board_next_deadline(f->board) - f->now, 400000000, 500000000);
    set_cmos(f, 0x0A, 0x20); /* off */
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    teardown(&r);
}

static void cmos_tells_the_memory(void **state)
{
    struct rig r = setup();
    struct fake *f = r.f;

    assert_int_equal(cmos(f, 0x15) | cmos(f, 0x16) << 8, 640);
    assert_int_equal(cmos(f, 0x30) | cmos(f, 0x31) << 8, 0xFFFF);
    assert_int_equal(cmos(f, 0x34) | cmos(f, 0x35) << 8, (0xB0000000 - 0x1000000) >> 16);
    assert_int_equal(cmos(f, 0x5B) | cmos(f, 0x5C) << 8 | cmos(f, 0x5D) << 16, 0x15000);
    assert_int_equal(cmos(f, 0x5F), 3);
    assert_int_equal(cmos(f, 0x0D), 0x80);
    set_cmos(f, 0x50, 0xA5);
    rtc_reset(r.rtc);
    assert_int_equal(cmos(f, 0x50), 0xA5); /* the battery keeps it */
    teardown(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_go_down),
        cmocka_unit_test(reads_latch_and_read_back),
        cmocka_unit_test(periodic_modes_interrupt),
        cmocka_unit_test(one_shots_interrupt_once),
        cmocka_unit_test(channel_2_is_gated_by_port_61),
        cmocka_unit_test(the_date_is_the_hosts),
        cmocka_unit_test(software_sets_the_date),
        cmocka_unit_test(update_flag_and_uip),
        cmocka_unit_test(alarm_and_periodic_interrupts),
        cmocka_unit_test(cmos_tells_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
