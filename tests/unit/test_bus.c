/* Bus regions, and the board's timers, lines, messages and descriptors. */
#include "fake_board.h"

#include <unistd.h>

struct probe {
    uint64_t off, value;
    unsigned size, reads, writes;
    struct bus *bus;
};

static uint64_t probe_read(void *dev, uint64_t off, unsigned size)
{
    struct probe *p = dev;

    p->off = off;
    p->size = size;
    p->reads++;
    return 0x1122334455667788;
}

static void probe_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct probe *p = dev;

    *p = (struct probe){off, value, size, p->reads, p->writes + 1, p->bus};
    if (p->bus) /* a device that moves itself away in the middle of its own access */
        bus_remove(p->bus, BUS_MEMORY, 0x1000, p);
}

static const struct bus_ops probe_ops = {probe_read, probe_write};

static void regions_do_not_overlap(void **state)
{
    static const struct {
        uint64_t base, size;
        enum status want;
    } rows[] = {
        {0x1000, 0x100, OK},
        {0x1100, 0x100, OK},
        {0x10FF, 1, ERR_STATE},
        {0xFFF, 2, ERR_STATE},
        {0x0, 0x10000, ERR_STATE},
        {0x11FF, 0x10, ERR_STATE},
        {0xFFF, 1, OK},
        {0x1200, 1, OK},
        {0x5000, 0, ERR_ARG},
        {UINT64_MAX, 2, ERR_ARG},
        {UINT64_MAX, 1, OK},
        {0x1080, 8, ERR_STATE},
        {2, UINT64_MAX, ERR_ARG},
        {0, 0xFFF, OK},
    };
    struct bus *b = bus_new();
    struct probe p = {0};
    struct error err;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (bus_add(b, BUS_MEMORY, rows[i].base, rows[i].size, &probe_ops, &p, "probe", &err) !=
            rows[i].want)
            fail_msg("row %zu", i);
    assert_int_equal(bus_add(b, BUS_PORTS, 0xFFFF, 2, &probe_ops, &p, "probe", &err), ERR_ARG);
    assert_int_equal(bus_add(b, BUS_PORTS, 0xFFFF, 1, &probe_ops, &p, "probe", &err), OK);
    bus_free(b);
}

static void accesses_find_their_region(void **state)
{
    struct bus *b = bus_new();
    struct probe p[40] = {0};
    struct error err;

    /* Added from the top down, so that each lands before the others. */
    for (int i = 39; i >= 0; i--)
        assert_int_equal(bus_add(b, BUS_MEMORY, 0x1000 + (uint64_t)i * 0x100, 0x80, &probe_ops,
                                 &p[i], "probe", &err),
                         OK);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(bus_read(b, BUS_MEMORY, 0x1000 + i * 0x100 + 0x7C, 4), 0x55667788);
        assert_int_equal(p[i].reads, 1);
        assert_int_equal(p[i].off, 0x7C);
    }
    assert_int_equal(bus_read(b, BUS_MEMORY, 0x1080, 4), 0xFFFFFFFF); /* a hole */
    assert_int_equal(bus_read(b, BUS_MEMORY, 0x107E, 4), 0xFFFFFFFF); /* across the end */
    assert_int_equal(bus_read(b, BUS_MEMORY, 0xFFF, 2), 0xFFFF);      /* across the start */
    assert_int_equal(bus_read(b, BUS_PORTS, 0x1000, 1), 0xFF);        /* another space */
    assert_int_equal(p[0].reads, 1);
    bus_write(b, BUS_MEMORY, 0x1104, 2, 0xAABBCCDD);
    assert_int_equal(p[1].value, 0xCCDD);
    bus_remove(b, BUS_MEMORY, 0x1100, &p[0]); /* not its region */
    bus_remove(b, BUS_MEMORY, 0x1104, &p[1]); /* not its base */
    bus_write(b, BUS_MEMORY, 0x1104, 1, 1);
    assert_int_equal(p[1].writes, 2);
    bus_remove(b, BUS_MEMORY, 0x1100, &p[1]);
    bus_write(b, BUS_MEMORY, 0x1104, 1, 1);
    assert_int_equal(p[1].writes, 2);
    p[0].bus = b;
    bus_write(b, BUS_MEMORY, 0x1000, 1, 1);
    bus_write(b, BUS_MEMORY, 0x1000, 1, 1);
    assert_int_equal(p[0].writes, 1);
    bus_free(b);
}

static char fired[64];
static struct fake *timer_board;
static struct timer timers[4];

static void fire(void *ctx)
{
    size_t n = strlen(fired);

    fired[n] = *(const char *)ctx;
    if (*(const char *)ctx == 'a') /* a past deadline in a callback fires in the same run */
        timer_arm(&timers[3], 1);
}

static void timers_fire_in_order(void **state)
{
    static const char names[] = "abcd";

    timer_board = fake_new(1);
    memset(fired, 0, sizeof(fired));
    for (int i = 0; i < 4; i++)
        timer_init(&timers[i], timer_board->board, fire, (void *)(uintptr_t)&names[i]);
    assert_int_equal(board_next_deadline(timer_board->board), UINT64_MAX);
    timer_arm(&timers[2], 300);
    timer_arm(&timers[1], 100);
    timer_arm(&timers[0], 100); /* equal deadlines: first armed, first fired */
    assert_int_equal(board_next_deadline(timer_board->board), 100);
    timer_board->now = 99;
    board_run_timers(timer_board->board);
    assert_string_equal(fired, "");
    timer_board->now = 100;
    board_run_timers(timer_board->board);
    assert_string_equal(fired, "bad");
    timer_arm(&timers[2], 200); /* moved */
    timer_arm(&timers[1], 150);
    timer_cancel(&timers[1]);
    timer_cancel(&timers[1]);
    timer_board->now = 1000;
    board_run_timers(timer_board->board);
    board_run_timers(timer_board->board);
    assert_string_equal(fired, "badc");
    fake_free(timer_board);
}

static void lines_are_shared_by_or(void **state)
{
    struct fake *f = fake_new(1);
    struct lapic *a = board_lapic(f->board, 0);

    fake_enable_lapics(f);
    ioapic_set(f, 17, 0x8000 | 0x45);
    board_gsi(f->board, 17, 3, true);
    board_gsi(f->board, 17, 9, true);
    assert_int_equal(lapic_pending(a), 0x45);
    lapic_accept(a, 0x45);
    board_gsi(f->board, 17, 3, false);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_pending(a), 0x45); /* 9 still holds it */
    lapic_accept(a, 0x45);
    board_gsi(f->board, 17, 9, false);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_pending(a), -1);
    board_gsi(f->board, 24, 0, true); /* no such line */
    fake_free(f);
}

static void messages_interrupt_or_write(void **state)
{
    struct fake *f = fake_new(2);

    fake_enable_lapics(f);
    board_msi(f->board, 0xFEE01000, 0x4051);
    assert_int_equal(lapic_pending(board_lapic(f->board, 0)), -1);
    assert_int_equal(lapic_pending(board_lapic(f->board, 1)), 0x51);
    assert_int_equal(f->kicks[1], 1);
    board_msi(f->board, 0x2000, 0x12345678);
    assert_int_equal(load32(f->ram + 0x2000), 0x12345678);
    board_msi(f->board, 0xFFFFFFFFFFFFFFFE, 0x12345678); /* no memory there */
    fake_free(f);
}

struct reader {
    struct board *board;
    int fd, drop;
    unsigned calls;
};

static void on_ready(void *ctx, short revents)
{
    struct reader *r = ctx;
    char c;

    r->calls++;
    assert_int_equal(read(r->fd, &c, 1), 1);
    if (r->drop >= 0)
        board_unwatch(r->board, r->drop);
}

static void pollset_before(void *ctx, struct pollset *set, uint32_t *timeout_ms)
{
    int *fds = ctx;

    fds[1] = pollset_add(set, fds[0], 1 /* POLLIN */);
    *timeout_ms = 0;
}

static void pollset_after(void *ctx, struct pollset *set)
{
    int *fds = ctx;

    fds[2] = pollset_revents(set, fds[1]);
}

static void descriptors_wake_their_devices(void **state)
{
    struct fake *f = fake_new(1);
    int a[2], b[2], c[3];
    struct reader ra = {.board = f->board}, rb = {.board = f->board};
    struct poller p = {.before = pollset_before, .after = pollset_after, .ctx = c};
    struct error err;

    assert_int_equal(pipe(a) | pipe(b), 0);
    ra.fd = a[0];
    rb.fd = b[0];
    ra.drop = b[0];
    rb.drop = -1;
    assert_false(board_has_peers(f->board));
    assert_int_equal(board_watch(f->board, a[0], 1, on_ready, &ra, &err), OK);
    assert_int_equal(board_watch(f->board, b[0], 0, on_ready, &rb, &err), OK);
    assert_true(board_has_peers(f->board));
    assert_int_equal(board_poll(f->board, 0), 0);
    assert_int_equal(write(b[1], "xx", 2), 2);
    assert_int_equal(board_poll(f->board, 0), 0); /* waits for nothing */
    assert_int_equal(board_watch(f->board, b[0], 1, on_ready, &rb, &err), OK);
    assert_int_equal(board_poll(f->board, UINT64_MAX), 1);
    assert_int_equal(rb.calls, 1);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(board_poll(f->board, 0), 2); /* the first callback drops the second */
    assert_int_equal(ra.calls, 1);
    assert_int_equal(rb.calls, 1);
    assert_int_equal(board_poll(f->board, 0), 0);
    c[0] = b[0];
    board_poller(f->board, &p);
    assert_int_equal(board_poll(f->board, UINT64_MAX), 1);
    assert_int_equal(c[2], 1);
    assert_int_equal(board_watch(f->board, -1, 1, on_ready, &rb, &err), ERR_ARG);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    fake_free(f);
}

static void the_first_fate_wins(void **state)
{
    struct fake *f = fake_new(1);

    board_end(f->board, FATE_EXIT, 3, NULL);
    board_end(f->board, FATE_CRASH, 0, "later");
    assert_int_equal(board_fate(f->board)->fate, FATE_EXIT);
    assert_int_equal(board_fate(f->board)->code, 3);
    board_reset(f->board);
    assert_int_equal(board_fate(f->board)->fate, FATE_RUNNING);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_do_not_overlap),
        cmocka_unit_test(accesses_find_their_region),
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(lines_are_shared_by_or),
        cmocka_unit_test(messages_interrupt_or_write),
        cmocka_unit_test(descriptors_wake_their_devices),
        cmocka_unit_test(the_first_fate_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
