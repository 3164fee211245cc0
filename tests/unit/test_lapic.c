/* Local APIC: priorities, timer, IPIs, INIT and SIPI, modes (APM2 chapter 16). */
#include "fake_board.h"

static struct fake *setup(unsigned vcpus)
{
    struct fake *f = fake_new(vcpus);

    fake_enable_lapics(f);
    return f;
}

static struct lapic *apic(struct fake *f, unsigned n)
{
    return board_lapic(f->board, n);
}

static void ipi(struct fake *f, unsigned from, uint32_t high, uint32_t low)
{
    lapic_write(apic(f, from), LAPIC_ICR2, high);
    lapic_write(apic(f, from), LAPIC_ICR, low);
}

static bool rd(struct lapic *a, uint32_t msr, uint64_t *v)
{
    return lapic_rdmsr(a, msr, v);
}

static bool wr(struct lapic *a, uint32_t msr, uint64_t v)
{
    return lapic_wrmsr(a, msr, v);
}

/* APM2 16.6.5: only a class above the processor priority is let through. */
static void higher_classes_go_first(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);

    ipi(f, 0, 0, 0x40031); /* to self */
    ipi(f, 0, 0, 0x40055);
    ipi(f, 0, 0, 0x40052);
    assert_int_equal(lapic_pending(a), 0x55);
    assert_true(lapic_events(a) & LAPIC_INTR);
    assert_int_equal(lapic_take(a), 0x55);
    assert_int_equal(lapic_pending(a), -1); /* 52h is of the same class */
    assert_int_equal(lapic_irr_max(a), 0x52);
    assert_false(lapic_events(a) & LAPIC_INTR);
    assert_int_equal(lapic_read(a, 0xA0), 0x50);       /* PPR */
    assert_int_equal(lapic_read(a, 0x120), 1 << 0x15); /* ISR 40h-5Fh */
    assert_int_equal(lapic_read(a, 0x220), 1 << 0x12); /* IRR */
    ipi(f, 0, 0, 0x40061);
    assert_int_equal(lapic_take(a), 0x61); /* nests */
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_pending(a), -1); /* 55h is still in service */
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), 0x52);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), 0x31);
    lapic_write(a, LAPIC_EOI, 0);
    lapic_write(a, LAPIC_EOI, 0); /* nothing in service */
    assert_int_equal(lapic_take(a), -1);
    fake_free(f);
}

static void tpr_holds_back(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);
    unsigned kicks;

    lapic_write(a, LAPIC_TPR, 0x53);
    assert_int_equal(lapic_cr8(a), 5);
    ipi(f, 0, 0, 0x4005F);
    assert_int_equal(lapic_pending(a), -1);
    assert_int_equal(lapic_irr_max(a), 0x5F);
    lapic_set_cr8(a, 5);
    assert_int_equal(lapic_read(a, LAPIC_TPR), 0x53); /* CR8 did not change */
    kicks = f->kicks[0];
    lapic_set_cr8(a, 4);
    assert_int_equal(lapic_read(a, LAPIC_TPR), 0x40);
    assert_int_equal(lapic_pending(a), 0x5F);
    assert_int_equal(f->kicks[0], kicks + 1);
    lapic_write(a, LAPIC_TPR, 0xF0);
    assert_int_equal(lapic_pending(a), -1);
    fake_free(f);
}

static void ipis_find_their_targets(void **state)
{
    /* dfr and ldr as they are in the rows' groups; `want`: bit per vCPU that gets the vector. */
    static const struct {
        const char *what;
        uint32_t dfr, high, low, want;
    } rows[] = {
        {"physical", 0xFFFFFFFF, 2u << 24, 0x40, 0x4},
        {"physical broadcast", 0xFFFFFFFF, 0xFFu << 24, 0x40, 0xF},
        {"physical, nobody", 0xFFFFFFFF, 9u << 24, 0x40, 0},
        {"flat, one", 0xFFFFFFFF, 0x08u << 24, 0x840, 0x8},
        {"flat, two", 0xFFFFFFFF, 0x05u << 24, 0x840, 0x5},
        {"flat, nobody", 0xFFFFFFFF, 0x10u << 24, 0x840, 0},
        {"cluster 1", 0x0FFFFFFF, 0x13u << 24, 0x840, 0x3},
        {"cluster 2", 0x0FFFFFFF, 0x22u << 24, 0x840, 0x8},
        {"cluster broadcast", 0x0FFFFFFF, 0xFFu << 24, 0x840, 0xF},
        {"self", 0xFFFFFFFF, 0, 0x40040, 0x2},
        {"all", 0xFFFFFFFF, 0, 0x80040, 0xF},
        {"others", 0xFFFFFFFF, 0, 0xC0040, 0xD},
    };
    static const uint8_t cluster_ldr[4] = {0x11, 0x12, 0x21, 0x22};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fake *f = setup(4);
        bool flat = rows[i].dfr == 0xFFFFFFFF;
        uint32_t got = 0;

        for (unsigned n = 0; n < 4; n++) {
            lapic_write(apic(f, n), LAPIC_DFR, rows[i].dfr);
            lapic_write(apic(f, n), LAPIC_LDR, (flat ? 1u << n : cluster_ldr[n]) << 24);
        }
        ipi(f, 1, rows[i].high, rows[i].low);
        for (unsigned n = 0; n < 4; n++)
            got |= (uint32_t)(lapic_pending(apic(f, n)) == 0x40) << n;
        if (got != rows[i].want)
            fail_msg("%s: %#x, not %#x", rows[i].what, got, rows[i].want);
        fake_free(f);
    }
}

static void lowest_priority_chooses_one(void **state)
{
    struct fake *f = setup(4);
    unsigned got[4] = {0};

    for (unsigned n = 0; n < 4; n++)
        lapic_write(apic(f, n), LAPIC_LDR, 1u << (24 + n));
    lapic_write(apic(f, 0), LAPIC_TPR, 0x20);
    lapic_write(apic(f, 3), LAPIC_TPR, 0x10);
    for (int i = 0; i < 4; i++) {
        board_msi(f->board, 0xFEE0F004, 0x160 + (unsigned)i); /* logical, all four */
        for (unsigned n = 0; n < 4; n++)
            if (lapic_irr_max(apic(f, n)) == 0x60 + i)
                got[n]++;
    }
    assert_int_equal(got[0] + got[3], 0);
    assert_int_equal(got[1], 2); /* equals take turns */
    assert_int_equal(got[2], 2);
    fake_free(f);
}

static void x2apic_addresses_clusters(void **state)
{
    struct fake *f = setup(20);
    uint64_t v;

    for (unsigned n = 0; n < 20; n++)
        assert_true(wr(apic(f, n), 0x1B, 0xFEE00C00));
    assert_true(rd(apic(f, 0), 0x1B, &v));
    assert_int_equal(v, 0xFEE00D00); /* the boot processor's bit stays */
    assert_int_equal(lapic_window(apic(f, 0)), UINT64_MAX);
    assert_true(rd(apic(f, 17), 0x802, &v));
    assert_int_equal(v, 17);
    assert_true(rd(apic(f, 17), 0x80D, &v));
    assert_int_equal(v, 0x10002);
    /* Logical: cluster 1, members 1 and 3. */
    assert_true(wr(apic(f, 0), 0x830, 0x0001000A00000841));
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(lapic_pending(apic(f, n)), n == 17 || n == 19 ? 0x41 : -1);
    /* Physical, and broadcast; FFh is no broadcast in 32 bits. */
    assert_true(wr(apic(f, 0), 0x830, 0x0000000500000050));
    assert_int_equal(lapic_pending(apic(f, 5)), 0x50);
    assert_true(wr(apic(f, 0), 0x830, 0x000000FF00000051));
    assert_int_equal(lapic_pending(apic(f, 5)), 0x50);
    assert_true(wr(apic(f, 0), 0x830, 0xFFFFFFFF00000052));
    assert_int_equal(lapic_pending(apic(f, 5)), 0x52);
    assert_true(rd(apic(f, 0), 0x830, &v));
    assert_true(v == 0xFFFFFFFF00000052);
    assert_true(wr(apic(f, 3), 0x83F, 0x77)); /* self IPI */
    assert_int_equal(lapic_pending(apic(f, 3)), 0x77);
    fake_free(f);
}

static void x2apic_refuses_what_it_lacks(void **state)
{
    static const uint32_t no_read[] = {0x800, 0x801, 0x80B, 0x80E, 0x831, 0x83F, 0x8FF};
    static const struct {
        uint32_t msr;
        uint64_t value;
        bool good;
    } writes[] = {
        {0x80B, 0, true},           {0x80B, 1, false},       {0x802, 0, false},
        {0x80D, 0, false},          {0x80E, 0, false},       {0x808, 0x20, true},
        {0x808, 0x120, false},      {0x828, 0, true},        {0x828, 1, false},
        {0x832, 0x400EF, true},     {0x832, 0x800EF, false}, {0x83E, 0xB, true},
        {0x83E, 0x4, false},        {0x839, 0, false},       {0x831, 0, false},
        {0x838, 1ull << 32, false}, {0x82F, 0, false},
    };
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);
    uint64_t v;

    assert_false(rd(a, 0x802, &v)); /* in xAPIC mode there are no such MSRs */
    assert_false(wr(a, 0x80B, 0));
    assert_true(wr(a, 0x1B, 0xFEE00D00));
    for (size_t i = 0; i < COUNT(no_read); i++)
        if (rd(a, no_read[i], &v))
            fail_msg("MSR %#x can be read", no_read[i]);
    for (size_t i = 0; i < COUNT(writes); i++)
        if (wr(a, writes[i].msr, writes[i].value) != writes[i].good)
            fail_msg("MSR %#x = %#lx", writes[i].msr, (unsigned long)writes[i].value);
    fake_free(f);
}

/* APM2 16.10: which mode may follow which. */
static void modes_change_by_the_book(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);
    uint64_t v;

    assert_int_equal(lapic_window(a), 0xFEE00000);
    assert_false(wr(a, 0x1B, 0xFEE00501));              /* reserved bit */
    assert_false(wr(a, 0x1B, 1ull << 48 | 0xFEE00900)); /* beyond the address width */
    assert_false(wr(a, 0x1B, 0xFEE00400));              /* x2APIC without APIC */
    assert_true(wr(a, 0x1B, 0xFED40900));               /* moved */
    assert_int_equal(lapic_window(a), 0xFED40000);
    assert_true(wr(a, 0x1B, 0xFEE00D00));
    assert_false(wr(a, 0x1B, 0xFEE00900)); /* no way back but through off */
    assert_true(wr(a, 0x1B, 0xFEE00100));
    assert_int_equal(lapic_window(a), UINT64_MAX);
    assert_false(wr(a, 0x1B, 0xFEE00D00));
    assert_true(wr(a, 0x1B, 0xFEE00900));
    assert_true(rd(a, 0x1B, &v));
    assert_int_equal(v, 0xFEE00900);
    assert_int_equal(lapic_read(a, LAPIC_SVR), 0xFF); /* off forgets */
    fake_free(f);
}

static void the_timer_counts(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);

    lapic_write(a, LAPIC_TDCR, 3); /* by 16 */
    lapic_write(a, LAPIC_LVTT, 0xEC);
    lapic_write(a, LAPIC_TMICT, 1000);
    assert_int_equal(board_next_deadline(f->board), 16000);
    f->now = 15;
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 1000);
    f->now = 16;
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 999);
    lapic_write(a, LAPIC_TDCR, 0xB); /* by 1 from here on */
    assert_int_equal(board_next_deadline(f->board), 16 + 999);
    fake_run_until(f, 1014);
    assert_int_equal(lapic_pending(a), -1);
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 1);
    fake_run_until(f, 1015);
    assert_int_equal(lapic_take(a), 0xEC);
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 0);
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    lapic_write(a, LAPIC_EOI, 0);
    /* Periodic; late firings coalesce and keep the phase. */
    lapic_write(a, LAPIC_LVTT, 0x200EC);
    lapic_write(a, LAPIC_TMICT, 100);
    f->now = 1015 + 350;
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 50);
    board_run_timers(f->board);
    assert_int_equal(lapic_take(a), 0xEC);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), -1);
    assert_int_equal(board_next_deadline(f->board), 1015 + 400);
    lapic_write(a, LAPIC_LVTT, 0x300EC); /* masked: it counts on, silently */
    fake_run_until(f, 1015 + 460);
    assert_int_equal(lapic_take(a), -1);
    assert_int_equal(lapic_read(a, LAPIC_TMCCT), 40);
    lapic_write(a, LAPIC_TMICT, 0);
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    fake_free(f);
}

/* Both mode bits of the timer's LVT at once are reserved; with a deadline armed they once divided
 * by a period of 0. */
static void a_reserved_timer_mode_is_harmless(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);

    lapic_write(a, LAPIC_LVTT, 0x400EC);
    assert_true(wr(a, 0x6E0, 1500));
    lapic_write(a, LAPIC_LVTT, 0x600EC);
    fake_run_until(f, 1500);
    assert_int_equal(lapic_take(a), 0xEC);
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    fake_free(f);
}

static void deadlines_are_tsc_values(void **state)
{
    struct fake *f = setup(1);
    struct lapic *a = apic(f, 0);
    uint64_t v;

    f->now = 5000;
    assert_true(wr(a, 0x6E0, 9000)); /* not in that mode: nothing */
    assert_true(rd(a, 0x6E0, &v));
    assert_int_equal(v, 0);
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    lapic_write(a, LAPIC_LVTT, 0x400EC);
    lapic_set_tsc_offset(a, -4000); /* TSC reads 1000 */
    assert_true(wr(a, 0x6E0, 1500));
    assert_int_equal(board_next_deadline(f->board), 5500);
    assert_true(rd(a, 0x6E0, &v));
    assert_int_equal(v, 1500);
    lapic_set_tsc_offset(a, -4200);
    assert_int_equal(board_next_deadline(f->board), 5700);
    fake_run_until(f, 5700);
    assert_int_equal(lapic_take(a), 0xEC);
    assert_true(rd(a, 0x6E0, &v));
    assert_int_equal(v, 0);
    lapic_write(a, LAPIC_EOI, 0);
    assert_true(wr(a, 0x6E0, 1)); /* past: at once */
    assert_int_equal(lapic_take(a), 0xEC);
    lapic_write(a, LAPIC_EOI, 0);
    assert_true(wr(a, 0x6E0, UINT64_MAX)); /* far: armed, and no overflow */
    assert_true(board_next_deadline(f->board) > 1ull << 62);
    assert_true(wr(a, 0x6E0, 0));
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    lapic_write(a, LAPIC_TMICT, 100); /* ignored in this mode */
    assert_int_equal(board_next_deadline(f->board), UINT64_MAX);
    fake_free(f);
}

static void processors_start_by_init_and_sipi(void **state)
{
    struct fake *f = setup(2);
    struct lapic *a = apic(f, 1);

    assert_false(lapic_waits_sipi(apic(f, 0)));
    assert_true(lapic_waits_sipi(a)); /* from power-on */
    ipi(f, 0, 1u << 24, 0xC500);      /* INIT, level, assert */
    ipi(f, 0, 1u << 24, 0x8500);      /* INIT, level, de-assert: nothing */
    assert_int_equal(lapic_events(a), LAPIC_INIT);
    ipi(f, 0, 1u << 24, 0x4699); /* SIPI before the INIT was taken */
    assert_int_equal(lapic_sipi_vector(a), -1);
    assert_true(lapic_take_init(a));
    assert_false(lapic_take_init(a));
    assert_true(lapic_waits_sipi(a));
    assert_int_equal(lapic_read(a, LAPIC_SVR), 0xFF);
    assert_int_equal(lapic_sipi_vector(a), 0x99);
    assert_int_equal(lapic_sipi_vector(a), -1);
    assert_false(lapic_waits_sipi(a));
    ipi(f, 0, 1u << 24, 0x4612); /* the second SIPI finds it running */
    assert_int_equal(lapic_events(a), 0);
    ipi(f, 0, 1u << 24, 0x4612 - 0x100); /* INIT again */
    assert_true(lapic_take_init(a));
    ipi(f, 1, 0, 0x4500); /* the boot processor does not wait after its INIT */
    assert_true(lapic_take_init(apic(f, 0)));
    assert_false(lapic_waits_sipi(apic(f, 0)));
    fake_free(f);
}

static void nmis_pass_every_priority(void **state)
{
    struct fake *f = fake_new(2); /* APICs not enabled by software */

    lapic_write(apic(f, 1), LAPIC_TPR, 0xFF);
    ipi(f, 0, 1u << 24, 0x4400);
    assert_int_equal(lapic_events(apic(f, 1)), LAPIC_NMI);
    assert_int_equal(f->kicks[1], 1);
    assert_true(lapic_nmi_take(apic(f, 1)));
    assert_false(lapic_nmi_take(apic(f, 1)));
    board_nmi(f->board); /* LINT1 masked on both */
    assert_int_equal(lapic_events(apic(f, 1)), 0);
    lapic_write(apic(f, 1), LAPIC_SVR, 0x1FF);
    lapic_write(apic(f, 1), LAPIC_LVT1, 0x400);
    board_nmi(f->board);
    assert_true(lapic_nmi_take(apic(f, 1)));
    assert_false(lapic_nmi_take(apic(f, 0)));
    fake_free(f);
}

static void illegal_vectors_and_registers_are_errors(void **state)
{
    struct fake *f = setup(2);
    struct lapic *a = apic(f, 0);

    lapic_write(a, LAPIC_LVTE, 0xFE);
    ipi(f, 0, 1u << 24, 0x0F);
    assert_int_equal(lapic_pending(apic(f, 1)), -1);
    assert_int_equal(lapic_take(a), 0xFE);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_read(a, LAPIC_ESR), 0); /* a write loads it */
    lapic_write(a, LAPIC_ESR, 0);
    assert_int_equal(lapic_read(a, LAPIC_ESR), 0x20);
    board_msi(f->board, 0xFEE00000, 0x05);
    lapic_read(a, 0x50);
    lapic_write(a, LAPIC_ESR, 0);
    assert_int_equal(lapic_read(a, LAPIC_ESR), 0xC0);
    lapic_write(a, LAPIC_ESR, 0);
    assert_int_equal(lapic_read(a, LAPIC_ESR), 0);
    assert_int_equal(lapic_read(a, 0x84), 0); /* not on 16 bytes */
    assert_int_equal(lapic_read(a, 0x30), 0x00050010);
    fake_free(f);
}

static void the_8259_speaks_through_lint0(void **state)
{
    struct fake *f = fake_new(2);
    struct lapic *a = apic(f, 0);

    fake_open_pic(f, 0xFFFE);
    board_gsi(f->board, 0, 0, true);
    assert_int_equal(lapic_events(a), LAPIC_EXTINT); /* as firmware left LINT0 */
    assert_int_equal(lapic_events(apic(f, 1)), 0);
    assert_int_equal(lapic_pending(a), -1);
    lapic_write(a, LAPIC_SVR, 0x1FF);
    ipi(f, 0, 0, 0x400F1);
    assert_int_equal(lapic_take(a), 0x20); /* ExtINT first */
    assert_int_equal(lapic_events(a), LAPIC_INTR);
    assert_int_equal(lapic_take(a), 0xF1);
    outb(f, 0x20, 0x20);
    lapic_write(a, LAPIC_LVT0, 0x10700); /* masked */
    board_gsi(f->board, 0, 0, false);
    board_gsi(f->board, 0, 0, true);
    assert_int_equal(lapic_events(a), 0);
    lapic_write(a, LAPIC_LVT0, 0x700);
    assert_int_equal(lapic_events(a), LAPIC_EXTINT);
    lapic_write(a, LAPIC_SVR, 0xFF); /* software disable masks every entry */
    assert_int_equal(lapic_events(a), 0);
    assert_int_equal(lapic_read(a, LAPIC_LVT0), 0x10700);
    assert_true(wr(a, 0x1B, 0xFEE00100)); /* off: LINT0 is the INTR pin */
    assert_int_equal(lapic_events(a), LAPIC_EXTINT);
    fake_free(f);
}

static void a_disabled_apic_takes_nothing(void **state)
{
    struct fake *f = fake_new(1);
    struct lapic *a = apic(f, 0);

    ipi(f, 0, 0, 0x40055);
    board_msi(f->board, 0xFEE00000, 0x55);
    assert_int_equal(lapic_irr_max(a), -1);
    lapic_write(a, LAPIC_SVR, 0x1FF);
    ipi(f, 0, 0, 0x40055);
    lapic_write(a, LAPIC_SVR, 0xFF);
    assert_int_equal(lapic_take(a), 0x55); /* what was accepted stays */
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_classes_go_first),
        cmocka_unit_test(tpr_holds_back),
        cmocka_unit_test(ipis_find_their_targets),
        cmocka_unit_test(lowest_priority_chooses_one),
        cmocka_unit_test(x2apic_addresses_clusters),
        cmocka_unit_test(x2apic_refuses_what_it_lacks),
        cmocka_unit_test(modes_change_by_the_book),
        cmocka_unit_test(the_timer_counts),
        cmocka_unit_test(a_reserved_timer_mode_is_harmless),
        cmocka_unit_test(deadlines_are_tsc_values),
        cmocka_unit_test(processors_start_by_init_and_sipi),
        cmocka_unit_test(nmis_pass_every_priority),
        cmocka_unit_test(illegal_vectors_and_registers_are_errors),
        cmocka_unit_test(the_8259_speaks_through_lint0),
        cmocka_unit_test(a_disabled_apic_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
