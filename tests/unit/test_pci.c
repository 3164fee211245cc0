/* PCI: configuration by ports and ECAM, BARs that the guest sizes and moves, MSI-X, INTx. */
#include "fake_board.h"

#include "host/device/pci.h"

struct card {
    struct pci_device pci;
    uint64_t last_off, last_value;
    unsigned reads, resets, cap;
};

struct rig {
    struct fake *f;
    struct pci_bus *bus;
    struct card card[3];
};

static uint64_t card_read(void *dev, uint64_t off, unsigned size)
{
    struct card *c = dev;

    c->reads++;
    c->last_off = off;
    return 0xC0FFEE00;
}

static void card_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct card *c = dev;

    c->last_off = off;
    c->last_value = value;
}

static const struct bus_ops card_ops = {card_read, card_write};

static void card_reset(void *opaque)
{
    struct card *c = opaque;

    c->resets++;
}

static void card_config_write(void *opaque, unsigned off, unsigned size, uint32_t value)
{
    struct card *c = opaque;

    if (off == c->cap + 4)
        c->pci.config[off] = (uint8_t)(value + 1);
}

static void card_config_read(void *opaque, unsigned off, unsigned size)
{
    struct card *c = opaque;

    if (off == c->cap + 5)
        c->pci.config[off]++;
}

static void add_card(struct rig *r, unsigned n)
{
    static const uint8_t body[8] = {0, 0, 8, 0x77};
    struct card *c = &r->card[n];
    struct error err;

    c->pci = (struct pci_device){
        .name = "card",
        .opaque = c,
        .vendor = 0x1234,
        .device = (uint16_t)(0x10 + n),
        .class_rev = 0x00FF0001,
        .bar = {[0] = {.size = 0x1000, .ops = &card_ops},
                [2] = {.size = 0x40, .io = true, .ops = &card_ops},
                [4] = {.size = 0x10000000, .mem64 = true, .prefetch = true, .ops = &card_ops}},
        .msix_vectors = 3,
        .msix_bar = 1,
        .has_intx = true,
        .reset = card_reset,
        .config_write = card_config_write,
        .config_read = card_config_read,
    };
    c->cap = pci_capability(&c->pci, 9, body, sizeof(body));
    assert_int_equal(c->cap, 0x40);
    if (pci_add(r->bus, &c->pci, &err) != OK)
        fail_msg("%s", err.text);
}

static struct rig *setup(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct error err;

    assert_non_null(r);
    r->f = fake_new(1);
    fake_enable_lapics(r->f);
    r->bus = pci_bus_new(r->f->board, r->f->bus, &err);
    assert_non_null(r->bus);
    for (unsigned n = 0; n < COUNT(r->card); n++)
        add_card(r, n);
    return r;
}

static void teardown(struct rig *r)
{
    pci_bus_free(r->bus);
    fake_free(r->f);
    free(r);
}

static uint64_t ecam(unsigned slot, unsigned reg)
{
    return PCI_ECAM_BASE + (slot << 15) + reg;
}

static uint64_t get(struct rig *r, unsigned slot, unsigned reg, unsigned size)
{
    return bus_read(r->f->bus, BUS_MEMORY, ecam(slot, reg), size);
}

static void set(struct rig *r, unsigned slot, unsigned reg, unsigned size, uint64_t value)
{
    bus_write(r->f->bus, BUS_MEMORY, ecam(slot, reg), size, value);
}

static uint64_t mem(struct rig *r, uint64_t gpa)
{
    return bus_read(r->f->bus, BUS_MEMORY, gpa, 4);
}

static void configuration_by_ports_and_memory(void **state)
{
    struct rig *r = setup();
    struct fake *f = r->f;

    outp(f, 0xCF8, 4, 0x80000000);
    assert_int_equal(inp(f, 0xCFC, 4), 0x29C08086);
    assert_int_equal(inp(f, 0xCFE, 2), 0x29C0);
    assert_int_equal(inp(f, 0xCF8, 4), 0x80000000);
    outp(f, 0xCF8, 4, 0x80001008); /* slot 2 */
    assert_int_equal(inp(f, 0xCFC, 4), 0x00FF0001);
    assert_int_equal(get(r, 2, 0, 4), 0x00111234);
    assert_int_equal(get(r, 2, 0, 8) >> 32, get(r, 2, 4, 4));
    outp(f, 0xCF8, 4, 0x80001100); /* function 1 */
    assert_int_equal(inp(f, 0xCFC, 4), 0xFFFFFFFF);
    outp(f, 0xCF8, 4, 0x80011000); /* bus 1 */
    assert_int_equal(inp(f, 0xCFC, 4), 0xFFFFFFFF);
    outp(f, 0xCF8, 4, 0x00001000); /* not enabled */
    assert_int_equal(inp(f, 0xCFC, 4), 0xFFFFFFFF);
    assert_int_equal(get(r, 9, 0, 4), 0xFFFFFFFF);
    assert_int_equal(bus_read(f->bus, BUS_MEMORY, PCI_ECAM_BASE + 0x100000, 4), 0xFFFFFFFF);
    assert_int_equal(get(r, 2, 0xFFE, 4), 0xFFFFFFFF); /* across the device's end */
    set(r, 2, 0xFFE, 4, 0);
    set(r, 2, 0xFFC, 8, 0);
    set(r, 2, 0xFFC, 4, 0x55);
    assert_int_equal(get(r, 2, 0xFFC, 4), 0);
    set(r, 2, 0, 4, 0); /* read-only */
    assert_int_equal(get(r, 2, 0, 4), 0x00111234);
    set(r, 2, 0x3C, 4, 0xAABBCC11);
    assert_int_equal(get(r, 2, 0x3C, 4), 0x00000111);
    teardown(r);
}

static void bars_are_sized_and_moved(void **state)
{
    struct rig *r = setup();
    struct card *c = &r->card[0];
    uint64_t bar0 = get(r, 1, 0x10, 4), bar4;

    assert_in_range(bar0, PCI_MMIO32_BASE, PCI_MMIO32_END);
    assert_int_equal(mem(r, bar0 + 0x10), 0xC0FFEE00);
    assert_int_equal(c->last_off, 0x10);
    assert_int_equal(inp(r->f, (uint16_t)(get(r, 1, 0x18, 4) & 0xFFFC) + 4, 4), 0xC0FFEE00);
    assert_int_equal(c->last_off, 4);
    bar4 = get(r, 1, 0x20, 8);
    assert_int_equal(bar4 & 15, 12);
    assert_int_equal(mem(r, (bar4 & ~15ull) + 0x0FFFFFFC), 0xC0FFEE00);
    /* Sizing. */
    set(r, 1, 0x04, 2, 0);
    assert_int_equal(mem(r, bar0), 0xFFFFFFFF);
    set(r, 1, 0x10, 4, 0xFFFFFFFF);
    assert_int_equal(get(r, 1, 0x10, 4), 0xFFFFF000);
    set(r, 1, 0x18, 4, 0xFFFFFFFF);
    assert_int_equal(get(r, 1, 0x18, 4), 0xFFFFFFC1);
    set(r, 1, 0x20, 4, 0xFFFFFFFF);
    set(r, 1, 0x24, 4, 0xFFFFFFFF);
    assert_int_equal(get(r, 1, 0x20, 4), 0xF000000C);
    assert_int_equal(get(r, 1, 0x24, 4), 0xFFFFFFFF);
    set(r, 1, 0x30, 4, 0xFFFFFFFF); /* no ROM */
    assert_int_equal(get(r, 1, 0x30, 4), 0);
    /* Moving. */
    set(r, 1, 0x10, 4, 0xD0000000);
    set(r, 1, 0x18, 4, 0xD000);
    set(r, 1, 0x20, 8, 0x3000000000);
    set(r, 1, 0x04, 2, 2);
    assert_int_equal(mem(r, 0xD0000FFC), 0xC0FFEE00);
    assert_int_equal(mem(r, 0x3000000000), 0xC0FFEE00);
    assert_int_equal(mem(r, bar0), 0xFFFFFFFF);
    assert_int_equal(inp(r->f, 0xD000, 4), 0xFFFFFFFF); /* I/O is still off */
    set(r, 1, 0x04, 2, 3);
    assert_int_equal(inp(r->f, 0xD000, 4), 0xC0FFEE00);
    teardown(r);
}

/* Two cards change places with decoding on; a BAR may lie on another only for a while. */
static void overlapping_bars_wait(void **state)
{
    struct rig *r = setup();
    uint32_t a = (uint32_t)get(r, 1, 0x10, 4), b = (uint32_t)get(r, 2, 0x10, 4);

    set(r, 1, 0x10, 4, b);
    assert_int_equal(mem(r, a), 0xFFFFFFFF);
    mem(r, b);
    assert_int_equal(r->card[1].reads, 1);
    set(r, 2, 0x10, 4, a);
    mem(r, a);
    assert_int_equal(r->card[1].reads, 2);
    mem(r, b);
    assert_int_equal(r->card[0].reads, 1);
    /* On top of the IOAPIC, ECAM, port 0, the end of the address space: nothing breaks. */
    set(r, 1, 0x10, 4, 0xFEC00000);
    assert_int_not_equal(mem(r, 0xFEC00000), 0xC0FFEE00);
    set(r, 1, 0x10, 4, PCI_ECAM_BASE);
    assert_int_equal(get(r, 1, 0, 4), 0x00101234);
    set(r, 1, 0x10, 4, 0xFFFFF000);
    set(r, 1, 0x18, 4, 0xFFFFFFFF);
    set(r, 1, 0x18, 4, 0x0CC0);
    assert_int_equal(inp(r->f, 0xCF8, 4), 0);
    set(r, 1, 0x20, 8, UINT64_MAX);
    set(r, 1, 0x10, 4, 0);
    assert_int_equal(mem(r, 0), 0xFFFFFFFF);
    set(r, 1, 0x10, 4, 0xE0000000);
    assert_int_equal(mem(r, 0xE0000000), 0xC0FFEE00);
    teardown(r);
}

static void capabilities_form_a_list(void **state)
{
    struct rig *r = setup();
    struct pci_device full = {.name = "full"};
    uint8_t big[180] = {0};

    assert_int_equal(get(r, 1, 6, 2) & 0x10, 0x10);
    assert_int_equal(get(r, 1, 0x34, 1), 0x40);
    assert_int_equal(get(r, 1, 0x40, 4), 0x77084809);
    assert_int_equal(get(r, 1, 0x48, 4), 0x00020011); /* MSI-X, three vectors */
    assert_int_equal(get(r, 1, 0x4C, 4), 1);
    assert_int_equal(get(r, 1, 0x50, 4), 0x801);
    set(r, 1, 0x44, 1, 0x20); /* judged by the device */
    assert_int_equal(get(r, 1, 0x44, 1), 0x21);
    set(r, 1, 0x46, 1, 0x20);
    assert_int_equal(get(r, 1, 0x46, 1), 0);
    assert_int_equal(get(r, 1, 0x45, 1), 1);
    assert_int_equal(get(r, 1, 0x45, 1), 2);
    assert_int_equal(pci_capability(&full, 9, big, sizeof(big)), 0x40);
    assert_int_equal(pci_capability(&full, 9, big, 16), 0); /* 12 bytes are left */
    assert_int_equal(pci_capability(&full, 9, big, 12), 0xF4);
    teardown(r);
}

static void set_vector(struct rig *r, uint64_t table, unsigned n, uint8_t vector, uint32_t mask)
{
    bus_write(r->f->bus, BUS_MEMORY, table + n * 16, 4, 0xFEE00000);
    bus_write(r->f->bus, BUS_MEMORY, table + n * 16 + 4, 4, 0);
    bus_write(r->f->bus, BUS_MEMORY, table + n * 16 + 8, 4, vector);
    bus_write(r->f->bus, BUS_MEMORY, table + n * 16 + 12, 4, mask);
}

static void msix_masks_and_pends(void **state)
{
    struct rig *r = setup();
    struct lapic *a = board_lapic(r->f->board, 0);
    struct pci_device *d = &r->card[0].pci;
    uint64_t table = get(r, 1, 0x14, 4);

    assert_false(pci_msix(d, 0)); /* not enabled */
    set(r, 1, 0x04, 2, 6);        /* memory, master */
    assert_int_equal(mem(r, table + 12), 1);
    set_vector(r, table, 0, 0x40, 0);
    set_vector(r, table, 1, 0x50, 0xFFFFFFFF);
    assert_int_equal(mem(r, table + 28), 1); /* one bit of it exists */
    set(r, 1, 0x4A, 2, 0x8000);
    assert_true(pci_msix(d, 0));
    assert_int_equal(lapic_irr_max(a), 0x40);
    assert_true(pci_msix(d, 1)); /* masked: pends */
    assert_int_equal(lapic_irr_max(a), 0x40);
    assert_int_equal(mem(r, table + 0x800), 2);
    bus_write(r->f->bus, BUS_MEMORY, table + 0x800, 4, 0); /* read-only */
    bus_write(r->f->bus, BUS_MEMORY, table + 28, 4, 0);
    assert_int_equal(lapic_irr_max(a), 0x50);
    assert_int_equal(mem(r, table + 0x800), 0);
    set_vector(r, table, 2, 0x60, 0);
    set(r, 1, 0x4A, 2, 0xC000); /* the whole function masked */
    assert_true(pci_msix(d, 2));
    assert_true(pci_msix(d, 2));
    assert_int_equal(lapic_irr_max(a), 0x50);
    set(r, 1, 0x4B, 1, 0x80); /* by its byte */
    assert_int_equal(lapic_irr_max(a), 0x60);
    assert_true(pci_msix(d, 3)); /* no such vector */
    set_vector(r, table, 0, 0x70, 0);
    set(r, 1, 0x04, 2, 2); /* not a master: no writes */
    assert_true(pci_msix(d, 0));
    assert_int_equal(lapic_irr_max(a), 0x60);
    bus_write(r->f->bus, BUS_MEMORY, table + 48, 8, UINT64_MAX); /* past the table */
    bus_write(r->f->bus, BUS_MEMORY, table + 0xFF8, 8, UINT64_MAX);
    assert_int_equal(bus_read(r->f->bus, BUS_MEMORY, table + 48, 8), 0);
    assert_int_equal(bus_read(r->f->bus, BUS_MEMORY, table + 0xFF8, 8), 0);
    teardown(r);
}

static void intx_obeys_the_command_register(void **state)
{
    struct rig *r = setup();
    struct lapic *a = board_lapic(r->f->board, 0);
    struct pci_device *d = &r->card[1].pci;

    ioapic_set(r->f, PCI_INTX_GSI(2), 0x8000 | 0x45);
    assert_int_equal(get(r, 2, 0x3D, 1), 1);
    set(r, 2, 0x04, 2, 0x400);
    pci_intx(d, true);
    assert_int_equal(lapic_take(a), -1);
    assert_int_equal(get(r, 2, 0x06, 2) & 8, 8); /* the status shows it all the same */
    set(r, 2, 0x04, 2, 0);
    assert_int_equal(lapic_take(a), 0x45);
    set(r, 2, 0x4A, 2, 0x8000); /* MSI-X replaces it */
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), -1);
    set(r, 2, 0x4A, 2, 0);
    assert_int_equal(lapic_take(a), 0x45);
    pci_intx(d, false);
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), -1);
    teardown(r);
}

static void reset_restores_the_slots(void **state)
{
    struct rig *r = setup();
    uint64_t bar0 = get(r, 1, 0x10, 4), table = get(r, 1, 0x14, 4);

    set_vector(r, table, 0, 0x40, 0);
    set(r, 1, 0x4A, 2, 0x8000);
    set(r, 1, 0x10, 4, 0xD0000000);
    set(r, 1, 0x04, 2, 0);
    pci_bus_reset(r->bus);
    assert_int_equal(r->card[0].resets, 1);
    assert_int_equal(get(r, 1, 0x10, 4), bar0);
    assert_int_equal(mem(r, bar0), 0xC0FFEE00);
    assert_int_equal(mem(r, 0xD0000000), 0xFFFFFFFF);
    assert_int_equal(mem(r, table + 12), 1);
    assert_int_equal(get(r, 1, 0x4A, 2), 2);
    teardown(r);
}

static void impossible_devices_are_refused(void **state)
{
    static const struct pci_device wrong[] = {
        {.name = "odd", .bar[0] = {.size = 0x1001, .ops = &card_ops}},
        {.name = "small", .bar[0] = {.size = 8, .ops = &card_ops}},
        {.name = "deaf", .bar[0] = {.size = 0x1000}},
        {.name = "last", .bar[5] = {.size = 0x1000, .mem64 = true, .ops = &card_ops}},
        {.name = "huge", .bar[0] = {.size = 1ull << 31, .ops = &card_ops}},
        {.name = "huge64", .bar[0] = {.size = 1ull << 62, .mem64 = true, .ops = &card_ops}},
        {.name = "vectors", .msix_vectors = 2049},
        {.name = "no bar", .msix_vectors = 1, .msix_bar = 6},
        {.name = "taken", .msix_vectors = 1, .bar[0] = {.size = 0x1000, .ops = &card_ops}},
    };
    struct rig *r = setup();
    struct pci_device d[PCI_SLOTS];
    struct error err;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        d[0] = wrong[i];
        if (pci_add(r->bus, &d[0], &err) == OK)
            fail_msg("%s was taken", wrong[i].name);
    }
    for (unsigned i = 4; i < PCI_SLOTS; i++) {
        d[i] = (struct pci_device){.name = "plain"};
        assert_int_equal(pci_add(r->bus, &d[i], &err), OK);
    }
    d[0] = (struct pci_device){.name = "one too many"};
    assert_int_equal(pci_add(r->bus, &d[0], &err), ERR_LIMIT);
    teardown(r);
}

static void the_reset_register_resets(void **state)
{
    struct rig *r = setup();

    outp(r->f, 0xCF8, 4, 0x06060606);
    outb(r->f, 0xCF9, 2);
    assert_int_equal(board_fate(r->f->board)->fate, FATE_RUNNING);
    assert_int_equal(inb(r->f, 0xCF9), 2);
    outb(r->f, 0xCF9, 6);
    assert_int_equal(board_fate(r->f->board)->fate, FATE_RESET);
    teardown(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_by_ports_and_memory),
        cmocka_unit_test(bars_are_sized_and_moved),
        cmocka_unit_test(overlapping_bars_wait),
        cmocka_unit_test(capabilities_form_a_list),
        cmocka_unit_test(msix_masks_and_pends),
        cmocka_unit_test(intx_obeys_the_command_register),
        cmocka_unit_test(reset_restores_the_slots),
        cmocka_unit_test(impossible_devices_are_refused),
        cmocka_unit_test(the_reset_register_resets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
