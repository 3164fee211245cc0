/* 16550A: FIFO, interrupts and their order, time-out, loopback. */
#include "fake_board.h"

#include "host/device/legacy.h"

#define COM 0x3F8

struct rig {
    struct fake *f;
    struct serial *s;
    struct chardev chr;
    uint8_t sent[64];
    size_t count;
    unsigned ready;
};

static void put(void *backend, const uint8_t *bytes, size_t n)
{
    struct rig *r = backend;

    memcpy(r->sent + r->count, bytes, n);
    r->count += n;
}

static void ready(void *backend)
{
    struct rig *r = backend;

    r->ready++;
}

static struct rig *setup(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct error err;

    assert_non_null(r);
    r->f = fake_new(1);
    r->chr = (struct chardev){.put = put, .backend = r, .ready = ready};
    r->s = serial_new(r->f->board, COM, 4, 0, &r->chr, &err);
    assert_non_null(r->s);
    fake_open_pic(r->f, 0xFFEF);
    outb(r->f, COM + 4, 2); /* RTS: send me bytes */
    return r;
}

static void teardown(struct rig *r)
{
    serial_free(r->s);
    fake_free(r->f);
    free(r);
}

static uint8_t in(struct rig *r, unsigned reg)
{
    return inb(r->f, (uint16_t)(COM + reg));
}

static void out(struct rig *r, unsigned reg, uint8_t value)
{
    outb(r->f, (uint16_t)(COM + reg), value);
}

/* Does line 4 interrupt? Ends the interrupt, too. */
static bool irq(struct rig *r)
{
    bool got = lapic_take(board_lapic(r->f->board, 0)) == 0x24;

    if (got)
        outb(r->f, 0x20, 0x20);
    return got;
}

static void bytes_leave_at_once(void **state)
{
    struct rig *r = setup();

    for (const char *c = "hello"; *c; c++) {
        assert_int_equal(in(r, 5) & 0x60, 0x60);
        out(r, 0, (uint8_t)*c);
    }
    assert_int_equal(r->count, 5);
    assert_memory_equal(r->sent, "hello", 5);
    out(r, 3, 0x83); /* divisor latch */
    out(r, 0, 1);
    out(r, 1, 0);
    assert_int_equal(in(r, 0), 1);
    out(r, 3, 0x03);
    assert_int_equal(in(r, 1), 0);
    assert_int_equal(r->count, 5);
    out(r, 7, 0x5A);
    assert_int_equal(in(r, 7), 0x5A);
    teardown(r);
}

static void the_transmitter_interrupts(void **state)
{
    struct rig *r = setup();

    out(r, 1, 2);
    assert_true(irq(r)); /* enabled while empty */
    assert_int_equal(in(r, 2), 0x02);
    assert_int_equal(in(r, 2), 0x01); /* reading it was the answer */
    out(r, 1, 0);
    out(r, 1, 2); /* what Linux probes for: it comes again */
    assert_true(irq(r));
    assert_int_equal(in(r, 2), 0x02);
    out(r, 0, 'a');
    assert_true(irq(r));
    out(r, 0, 'b'); /* without having read IIR: another edge */
    assert_true(irq(r));
    assert_int_equal(r->count, 2);
    teardown(r);
}

static void the_receiver_obeys_its_level(void **state)
{
    struct rig *r = setup();
    uint64_t four_chars;

    out(r, 3, 0x83);
    out(r, 0, 12); /* 9600 baud */
    out(r, 3, 0x03);
    four_chars = 40 * (12 * 1000000000ull / 115200);
    out(r, 2, 0x41); /* FIFO, 4 bytes */
    out(r, 1, 1);
    assert_int_equal(r->chr.room(r->chr.dev), 16);
    assert_int_equal(r->chr.sink(r->chr.dev, (const uint8_t *)"abc", 3), 3);
    assert_false(irq(r));
    assert_int_equal(in(r, 2), 0xC1);
    fake_run_until(r->f, four_chars - 1);
    assert_false(irq(r));
    fake_run_until(r->f, four_chars);
    assert_true(irq(r));
    assert_int_equal(in(r, 2), 0xCC); /* time-out */
    assert_int_equal(in(r, 0), 'a');
    assert_int_equal(in(r, 2), 0xC1); /* a read restarts it */
    assert_int_equal(r->chr.sink(r->chr.dev, (const uint8_t *)"de", 2), 2);
    assert_true(irq(r));
    assert_int_equal(in(r, 2), 0xC4);
    for (const char *c = "bcde"; *c; c++) {
        assert_int_equal(in(r, 5) & 1, 1);
        assert_int_equal(in(r, 0), *c);
    }
    assert_int_equal(in(r, 5) & 1, 0);
    assert_int_equal(in(r, 2), 0xC1);
    assert_int_equal(board_next_deadline(r->f->board), UINT64_MAX);
    teardown(r);
}

static void the_fifo_is_never_overrun(void **state)
{
    struct rig *r = setup();
    uint8_t many[40] = {1, 2, 3};

    assert_int_equal(r->chr.sink(r->chr.dev, many, sizeof(many)), 1); /* no FIFO: one byte */
    assert_int_equal(r->chr.room(r->chr.dev), 0);
    assert_int_equal(in(r, 0), 1);
    assert_int_equal(r->ready, 1);
    out(r, 2, 1);
    assert_int_equal(r->chr.sink(r->chr.dev, many, sizeof(many)), 16);
    assert_int_equal(r->chr.sink(r->chr.dev, many, sizeof(many)), 0);
    out(r, 2, 3); /* clear */
    assert_int_equal(r->ready, 2);
    assert_int_equal(in(r, 5) & 3, 0);
    assert_int_equal(r->chr.room(r->chr.dev), 16);
    assert_int_equal(in(r, 0), 0);
    teardown(r);
}

static void loopback_closes_the_circle(void **state)
{
    struct rig *r = setup();

    assert_int_equal(in(r, 6), 0xB0);
    out(r, 4, 0x1A); /* loopback, RTS and OUT2: Linux's presence test */
    assert_int_equal(in(r, 6) & 0xF0, 0x90);
    assert_int_equal(in(r, 6) & 0x0F, 0);
    assert_int_equal(r->chr.room(r->chr.dev), 0); /* nobody else is heard */
    out(r, 0, 'x');
    assert_int_equal(r->count, 0);
    out(r, 0, 'y'); /* one too many without the FIFO */
    out(r, 1, 4);
    assert_true(irq(r));
    assert_int_equal(in(r, 2), 0x06);
    assert_int_equal(in(r, 5) & 3, 3);
    assert_int_equal(in(r, 5) & 3, 1);
    assert_int_equal(in(r, 0), 'x');
    out(r, 1, 8);
    out(r, 4, 0x15); /* DTR, OUT1: RTS and OUT2 fall */
    assert_int_equal(in(r, 2), 0x00);
    assert_int_equal(in(r, 6), 0x6B); /* RI rose: no delta for it */
    assert_int_equal(in(r, 2), 0x01);
    out(r, 4, 0x11);
    assert_int_equal(in(r, 6), 0x24); /* its fall is one */
    assert_int_equal(r->ready, 0);
    out(r, 4, 2);
    assert_int_equal(r->ready, 1);
    assert_int_equal(in(r, 6) & 0xF0, 0xB0);
    teardown(r);
}

static void nobody_is_sent_to_who_does_not_listen(void **state)
{
    struct rig *r = setup();

    out(r, 4, 0);
    assert_int_equal(r->chr.sink(r->chr.dev, (const uint8_t *)"a", 1), 0);
    for (int i = 0; i < 100; i++) { /* output alone */
        in(r, 5);
        out(r, 0, 'x');
        r->count = 0;
    }
    assert_int_equal(r->chr.room(r->chr.dev), 0);
    assert_int_equal(r->ready, 0);
    for (int i = 0; i < 16; i++) /* polling for input */
        in(r, 5);
    assert_int_equal(r->ready, 1);
    assert_int_equal(r->chr.room(r->chr.dev), 1);
    out(r, 0, 'x');
    assert_int_equal(r->chr.room(r->chr.dev), 0);
    out(r, 1, 1); /* receive interrupts */
    assert_int_equal(r->ready, 2);
    assert_int_equal(r->chr.room(r->chr.dev), 1);
    out(r, 1, 0);
    assert_int_equal(r->chr.room(r->chr.dev), 0);
    out(r, 4, 2);
    assert_int_equal(r->ready, 3);
    teardown(r);
}

static void reset_is_power_on(void **state)
{
    struct rig *r = setup();

    out(r, 2, 1);
    out(r, 1, 15);
    out(r, 4, 0x1F);
    out(r, 0, 'x');
    assert_true(irq(r));
    serial_reset(r->s);
    assert_false(irq(r));
    assert_int_equal(in(r, 1) | in(r, 4), 0);
    assert_int_equal(in(r, 5), 0x60);
    assert_int_equal(inp(r->f, COM + 2, 1), 0x01);
    teardown(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_leave_at_once),
        cmocka_unit_test(the_transmitter_interrupts),
        cmocka_unit_test(the_receiver_obeys_its_level),
        cmocka_unit_test(the_fifo_is_never_overrun),
        cmocka_unit_test(loopback_closes_the_circle),
        cmocka_unit_test(reset_is_power_on),
        cmocka_unit_test(nobody_is_sent_to_who_does_not_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
