/* IOAPIC and the 8259 pair. */
#include "fake_board.h"

#define LEVEL  0x8000u
#define MASKED 0x10000u
#define REMOTE 0x4000u

static struct fake *setup(void)
{
    struct fake *f = fake_new(2);

    fake_enable_lapics(f);
    return f;
}

static int take(struct fake *f)
{
    return lapic_take(board_lapic(f->board, 0));
}

static void eoi(struct fake *f)
{
    lapic_write(board_lapic(f->board, 0), LAPIC_EOI, 0);
}

static void edges_are_sent_once(void **state)
{
    struct fake *f = setup();

    ioapic_set(f, 5, 0x41);
    board_gsi(f->board, 5, 0, true);
    assert_int_equal(take(f), 0x41);
    eoi(f);
    assert_int_equal(take(f), -1); /* still up: no new edge */
    assert_int_equal(ioapic_get(f, 5), 0x41);
    board_gsi(f->board, 5, 0, false);
    ioapic_set(f, 5, MASKED | 0x41);
    board_gsi(f->board, 5, 0, true); /* lost */
    ioapic_set(f, 5, 0x41);
    assert_int_equal(take(f), -1);
    board_gsi(f->board, 5, 0, false);
    board_gsi(f->board, 5, 0, true);
    assert_int_equal(take(f), 0x41);
    fake_free(f);
}

static void levels_come_back_until_they_fall(void **state)
{
    struct fake *f = setup();

    ioapic_set(f, 20, LEVEL | MASKED | 0x51);
    board_gsi(f->board, 20, 0, true);
    assert_int_equal(take(f), -1);
    ioapic_set(f, 20, LEVEL | 0x51);
    assert_int_equal(ioapic_get(f, 20), LEVEL | REMOTE | 0x51);
    assert_int_equal(take(f), 0x51);
    ioapic_set(f, 20, LEVEL | 0x51); /* remote IRR holds it */
    assert_int_equal(take(f), -1);
    eoi(f);
    assert_int_equal(take(f), 0x51);
    board_gsi(f->board, 20, 0, false);
    eoi(f);
    assert_int_equal(take(f), -1);
    assert_int_equal(ioapic_get(f, 20), LEVEL | 0x51);
    fake_free(f);
}

/* Two pins with one vector: the EOI serves both. And two ways to clear remote IRR by hand. */
static void eoi_finds_every_pin(void **state)
{
    struct fake *f = setup();

    ioapic_set(f, 16, LEVEL | 0x61);
    ioapic_set(f, 17, LEVEL | 0x61);
    board_gsi(f->board, 16, 0, true);
    board_gsi(f->board, 17, 0, true);
    assert_int_equal(take(f), 0x61);
    board_gsi(f->board, 16, 0, false);
    eoi(f);
    assert_int_equal(ioapic_get(f, 16), LEVEL | 0x61);
    assert_int_equal(ioapic_get(f, 17), LEVEL | REMOTE | 0x61);
    assert_int_equal(take(f), 0x61);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00040, 4, 0x61); /* EOI register */
    assert_int_equal(take(f), -1);                      /* same class in service */
    eoi(f);
    assert_int_equal(take(f), 0x61);
    board_gsi(f->board, 17, 0, false);
    ioapic_set(f, 17, MASKED | 0x61); /* edge for a moment */
    ioapic_set(f, 17, LEVEL | 0x61);
    assert_int_equal(ioapic_get(f, 17), LEVEL | 0x61);
    fake_free(f);
}

static void pins_have_destinations(void **state)
{
    struct fake *f = setup();

    assert_int_equal(ioapic_get(f, 0), MASKED);
    ioapic_set(f, 2, 1ull << 56 | 0x71); /* ISA line 0 comes in on pin 2 */
    board_gsi(f->board, 0, 0, true);
    assert_int_equal(lapic_take(board_lapic(f->board, 1)), 0x71);
    ioapic_set(f, 9, 0xFFull << 56 | LEVEL | 0x72);
    board_gsi(f->board, 9, 0, true);
    assert_int_equal(lapic_irr_max(board_lapic(f->board, 1)), 0x72);
    assert_int_equal(take(f), 0x72);
    ioapic_set(f, 10, 0x7ull << 56 | LEVEL | 0x73); /* nobody: not held for ever */
    board_gsi(f->board, 10, 0, true);
    assert_int_equal(ioapic_get(f, 10), 0x7ull << 56 | LEVEL | 0x73);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 1);
    assert_int_equal(bus_read(f->bus, BUS_MEMORY, 0xFEC00010, 4), 0x00170020);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00000, 4, 0x40); /* past the last pin */
    assert_int_equal(bus_read(f->bus, BUS_MEMORY, 0xFEC00010, 4), 0xFFFFFFFF);
    bus_write(f->bus, BUS_MEMORY, 0xFEC00010, 4, 0);
    fake_free(f);
}

static void pulse(struct fake *f, unsigned irq)
{
    board_gsi(f->board, irq, 0, true);
    board_gsi(f->board, irq, 0, false);
}

static void the_pair_cascades(void **state)
{
    struct fake *f = setup();

    fake_open_pic(f, 0x0000);
    pulse(f, 10);
    pulse(f, 3);
    pulse(f, 1);
    assert_int_equal(take(f), 0x21); /* highest first */
    assert_int_equal(take(f), -1);
    outb(f, 0x20, 0x20);
    assert_int_equal(take(f), 0x2A); /* through IR2, above IR3 */
    outb(f, 0xA0, 0x0B);
    assert_int_equal(inb(f, 0xA0), 1 << 2);
    outb(f, 0x20, 0x0B);
    assert_int_equal(inb(f, 0x20), 1 << 2);
    outb(f, 0x20, 0x0A);
    assert_int_equal(inb(f, 0x20), 1 << 3);
    pulse(f, 1);
    assert_int_equal(take(f), 0x21); /* nests above the slave */
    outb(f, 0x20, 0x61);             /* specific EOI */
    outb(f, 0xA0, 0x20);
    outb(f, 0x20, 0x20);
    assert_int_equal(take(f), 0x23);
    fake_free(f);
}

static void what_went_away_is_spurious(void **state)
{
    struct fake *f = setup();
    struct lapic *a = board_lapic(f->board, 0);

    fake_open_pic(f, 0x0000);
    outb(f, 0x4D0, 0xFF);
    outb(f, 0x4D1, 0xFF);
    assert_int_equal(inb(f, 0x4D0), 0xF8); /* some are edges always */
    assert_int_equal(inb(f, 0x4D1), 0xDE);
    board_gsi(f->board, 5, 0, true);
    assert_int_equal(lapic_events(a), LAPIC_EXTINT);
    board_gsi(f->board, 5, 0, false); /* a level does not stay behind */
    assert_int_equal(lapic_events(a), 0);
    board_gsi(f->board, 5, 0, true);
    assert_int_equal(take(f), 0x25);
    outb(f, 0x20, 0x20);
    assert_int_equal(take(f), 0x25); /* and comes back while it is up */
    outb(f, 0x20, 0x20);
    outb(f, 0x20, 0x0C); /* poll */
    assert_int_equal(inb(f, 0x20), 0x85);
    outb(f, 0x20, 0x0C);
    assert_int_equal(inb(f, 0x20), 0);
    fake_free(f);
}

static void modes_of_the_8259(void **state)
{
    struct fake *f = setup();

    fake_open_pic(f, 0x0000);
    /* Special mask: a masked IRQ in service does not hold back lower ones. */
    pulse(f, 4);
    assert_int_equal(take(f), 0x24);
    pulse(f, 6);
    assert_int_equal(take(f), -1);
    outb(f, 0x21, 1 << 4);
    assert_int_equal(take(f), -1);
    outb(f, 0x20, 0x68);
    assert_int_equal(take(f), 0x26);
    outb(f, 0x20, 0x48);
    outb(f, 0x20, 0x64);
    outb(f, 0x20, 0x66);
    outb(f, 0x21, 0);
    /* Rotation: after a rotating EOI of 4, 5 is on top. */
    pulse(f, 4);
    assert_int_equal(take(f), 0x24);
    outb(f, 0x20, 0xA0);
    pulse(f, 1);
    pulse(f, 5);
    assert_int_equal(take(f), 0x25);
    outb(f, 0x20, 0x20);
    assert_int_equal(take(f), 0x21);
    outb(f, 0x20, 0x20);
    outb(f, 0x20, 0xC7); /* back to 0 on top */
    /* Automatic EOI. */
    outb(f, 0x20, 0x11);
    outb(f, 0x21, 0x20);
    outb(f, 0x21, 4);
    outb(f, 0x21, 3);
    pulse(f, 3);
    pulse(f, 7);
    assert_int_equal(take(f), 0x23);
    assert_int_equal(take(f), 0x27);
    fake_free(f);
}

static void firmware_leaves_all_masked(void **state)
{
    struct fake *f = fake_new(1);

    assert_int_equal(inp(f, 0x20, 2), 0xFF00); /* a word is two bytes */
    pulse(f, 3);
    assert_int_equal(lapic_events(board_lapic(f->board, 0)), 0);
    outb(f, 0x21, 0xF7); /* an edge is remembered while masked */
    assert_int_equal(take(f), 0x0B);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_are_sent_once), cmocka_unit_test(levels_come_back_until_they_fall),
        cmocka_unit_test(eoi_finds_every_pin), cmocka_unit_test(pins_have_destinations),
        cmocka_unit_test(the_pair_cascades),   cmocka_unit_test(what_went_away_is_spurious),
        cmocka_unit_test(modes_of_the_8259),   cmocka_unit_test(firmware_leaves_all_masked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
