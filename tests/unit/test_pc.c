/* The PC as a whole: ACPI hardware, fw_cfg, ways to reset and to end, the test device, power-on. */
#include <stdio.h>

#include "fake_board.h"

#include "host/device/pc.h"

#define RIG_RAM   0x8000000
#define RIG_VCPUS 2

struct rig {
    struct fake *f;
    struct pc *pc;
    struct chardev com, con;
    char text[64];
};

static void put(void *backend, const uint8_t *bytes, size_t n)
{
    struct rig *r = backend;

    strncat(r->text, (const char *)bytes, n);
}

static void drop(void *backend, const uint8_t *bytes, size_t n)
{
}

static struct rig *setup(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct pc_config cfg = {
        .ram_low = RIG_RAM, .vcpus = RIG_VCPUS, .debug_exit = true, .testdev = true};
    struct error err;

    assert_non_null(r);
    r->f = fake_new(RIG_VCPUS);
    r->com = r->con = (struct chardev){.put = put, .backend = r};
    cfg.serial[0] = &r->com;
    cfg.debugcon = &r->con;
    if (pc_new(r->f->board, &cfg, &r->pc, &err) != OK)
        fail_msg("%s", err.text);
    fake_enable_lapics(r->f);
    return r;
}

static void teardown(struct rig *r)
{
    pc_free(r->pc);
    fake_free(r->f);
    free(r);
}

static enum fate fate(struct rig *r)
{
    return board_fate(r->f->board)->fate;
}

static void s5_powers_off(void **state)
{
    struct rig *r = setup();

    assert_int_equal(inp(r->f, 0x604, 2), 1); /* ACPI mode is on */
    outp(r->f, 0x604, 2, 0);
    assert_int_equal(inp(r->f, 0x604, 2), 1);
    outp(r->f, 0x604, 2, 0x2000 | 3 << 10); /* no such state */
    assert_int_equal(fate(r), FATE_RUNNING);
    outb(r->f, 0x605, 0x20); /* S5, by its byte */
    assert_int_equal(fate(r), FATE_POWEROFF);
    teardown(r);
}

static void the_power_button_is_an_sci(void **state)
{
    struct rig *r = setup();
    struct lapic *a = board_lapic(r->f->board, 0);

    ioapic_set(r->f, 9, 0x8000 | 0x49);
    pc_power_button(r->pc);
    assert_int_equal(lapic_take(a), -1); /* not enabled */
    assert_int_equal(inp(r->f, 0x600, 2), 0x100);
    outp(r->f, 0x602, 2, 0x120);
    assert_int_equal(lapic_take(a), 0x49);
    outp(r->f, 0x600, 2, 1); /* another bit: it stays */
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), 0x49);
    outp(r->f, 0x600, 4, 0x0120 << 16 | 0x100); /* status and enable in one */
    lapic_write(a, LAPIC_EOI, 0);
    assert_int_equal(lapic_take(a), -1);
    assert_int_equal(inp(r->f, 0x600, 4), 0x01200000);
    outp(r->f, 0x628, 1, 0xFF); /* GPE0 enables hold, its status never rises */
    assert_int_equal(inp(r->f, 0x628, 2), 0x00FF);
    outp(r->f, 0x620, 8, UINT64_MAX);
    assert_int_equal(inp(r->f, 0x620, 8), 0);
    teardown(r);
}

static void the_pm_timer_turns(void **state)
{
    struct rig *r = setup();
    uint64_t half = (((uint64_t)1 << 23) * 1000000000 + 3579544) / 3579545;

    r->f->now = 1000000000;
    assert_int_equal(inp(r->f, 0x608, 4), 3579545);
    assert_int_equal(inp(r->f, 0x60A, 1), 3579545 >> 16 & 0xFF);
    assert_int_equal(inp(r->f, 0x600, 2), 0);
    r->f->now = half + 1;
    assert_int_equal(inp(r->f, 0x608, 4), 1 << 23);
    assert_int_equal(inp(r->f, 0x600, 2), 1);
    outp(r->f, 0x600, 2, 1);
    assert_int_equal(inp(r->f, 0x600, 2), 0);
    outp(r->f, 0x602, 2, 1);
    assert_in_range(board_next_deadline(r->f->board), 2 * half - 2, 2 * half + 2);
    fake_run_until(r->f, board_next_deadline(r->f->board));
    assert_int_equal(inp(r->f, 0x608, 4), 0); /* 24 bits */
    assert_int_equal(inp(r->f, 0x600, 2), 1);
    teardown(r);
}

static void select_item(struct rig *r, uint16_t key)
{
    outp(r->f, 0x510, 2, key);
}

static void read_bytes(struct rig *r, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)inb(r->f, 0x511);
    to[n] = 0;
}

static void fw_cfg_by_ports(void **state)
{
    struct rig *r = setup();
    struct fw_cfg *c = pc_fw_cfg(r->pc);
    char text[80], name[80];
    struct error err;

    select_item(r, FW_CFG_SIGNATURE);
    read_bytes(r, text, 6);
    assert_memory_equal(text, "QEMU\0\0", 6); /* zeros past the end */
    select_item(r, FW_CFG_ID);
    assert_int_equal(inb(r->f, 0x511), 3);
    select_item(r, 0x1234); /* no such item */
    assert_int_equal(inb(r->f, 0x511), 0);
    assert_int_equal(fw_cfg_add_number(c, FW_CFG_NB_CPUS, 2, 0x302, &err), OK);
    select_item(r, FW_CFG_NB_CPUS);
    read_bytes(r, text, 2);
    assert_memory_equal(text, "\x02\x03", 2);
    assert_int_equal(fw_cfg_add_file(c, "opt/a", "first", 5, &err), OK);
    assert_int_equal(fw_cfg_add_file(c, "etc/b", "second", 6, &err), OK);
    assert_int_equal(fw_cfg_add_file(c, "opt/a", "FIRST!!", 7, &err), OK); /* replaced */
    select_item(r, FW_CFG_FILE_DIR);
    read_bytes(r, text, 4 + 64); /* the first is the machine's memory map */
    assert_memory_equal(text, "\0\0\0\3", 4);
    read_bytes(r, text, 64);
    assert_memory_equal(text, "\0\0\0\7\0\x21\0\0opt/a\0", 14);
    read_bytes(r, text, 64);
    assert_memory_equal(text, "\0\0\0\6\0\x22\0\0etc/b\0", 14);
    select_item(r, 0x21);
    read_bytes(r, text, 7);
    assert_string_equal(text, "FIRST!!");
    memset(name, 'n', sizeof(name));
    name[55] = 0;
    assert_int_equal(fw_cfg_add_file(c, name, "", 0, &err), OK);
    name[55] = 'n';
    name[56] = 0;
    assert_int_equal(fw_cfg_add_file(c, name, "", 0, &err), ERR_LIMIT);
    for (int i = 4; i < FW_CFG_MAX_FILES; i++) {
        snprintf(name, sizeof(name), "file%d", i);
        assert_int_equal(fw_cfg_add_file(c, name, "", 0, &err), OK);
    }
    assert_int_equal(fw_cfg_add_file(c, "one more", "", 0, &err), ERR_LIMIT);
    teardown(r);
}

/* As test kernels ask that have no firmware: how much memory, how many processors. */
static void fw_cfg_describes_the_machine(void **state)
{
    struct rig *r = setup();
    char text[80];

    select_item(r, FW_CFG_NB_CPUS);
    read_bytes(r, text, 2);
    assert_int_equal(load16((uint8_t *)text), RIG_VCPUS);
    select_item(r, FW_CFG_RAM_SIZE);
    read_bytes(r, text, 8);
    assert_int_equal(load64((uint8_t *)text), RIG_RAM);
    select_item(r, FW_CFG_FILE_DIR);
    read_bytes(r, text, 4 + 64);
    assert_memory_equal(text, "\0\0\0\1\0\0\0\x14\0\x20\0\0etc/e820\0", 21);
    select_item(r, FW_CFG_FILE_FIRST);
    read_bytes(r, text, 20);
    assert_int_equal(load64((uint8_t *)text), 0);
    assert_int_equal(load64((uint8_t *)text + 8), RIG_RAM);
    assert_int_equal(load32((uint8_t *)text + 16), 1);
    teardown(r);
}

/* Runs a descriptor at 1000h and returns the control word that came back. */
static uint32_t descriptor(struct rig *r, uint32_t control, uint32_t len, uint64_t to)
{
    store32(r->f->ram + 0x1000, __builtin_bswap32(control));
    store32(r->f->ram + 0x1004, __builtin_bswap32(len));
    store64(r->f->ram + 0x1008, __builtin_bswap64(to));
    outp(r->f, 0x514, 4, 0);
    outp(r->f, 0x518, 4, __builtin_bswap32(0x1000));
    return __builtin_bswap32(load32(r->f->ram + 0x1000));
}

static void fw_cfg_by_dma(void **state)
{
    struct rig *r = setup();
    uint8_t *ram = r->f->ram;
    struct error err;

    assert_int_equal(inp(r->f, 0x514, 4), 0x554D4551); /* "QEMU" */
    assert_int_equal(inp(r->f, 0x518, 4), 0x47464320); /* " CFG" */
    assert_int_equal(fw_cfg_add_file(pc_fw_cfg(r->pc), "f", "abcdefgh", 8, &err), OK);
    assert_int_equal(descriptor(r, 0x210000 | 8 | 2, 4, 0x2000), 0);
    assert_memory_equal(ram + 0x2000, "abcd", 4);
    assert_int_equal(descriptor(r, 4, 2, 0), 0); /* skip */
    memset(ram + 0x2000, 'x', 8);
    assert_int_equal(descriptor(r, 2, 6, 0x2000), 0);
    assert_memory_equal(ram + 0x2000, "gh\0\0\0\0xx", 8);
    assert_int_equal(descriptor(r, 0x210000 | 8 | 16, 4, 0x2000), 1);       /* no writing */
    assert_int_equal(descriptor(r, 0x210000 | 8 | 2, 16, FAKE_RAM - 8), 1); /* out of memory */
    assert_int_equal(descriptor(r, 0x210000 | 8 | 2, UINT32_MAX, 0x10000), 1);
    outp(r->f, 0x514, 4, 0xFFFFFFFF); /* a descriptor nowhere */
    outp(r->f, 0x518, 4, 0xFFFFFFFF);
    outp(r->f, 0x518, 2, 0x1234);
    teardown(r);
}

static void there_are_ways_to_end(void **state)
{
    static const struct {
        uint16_t port;
        uint8_t before, value;
        enum fate want;
    } rows[] = {
        {0x64, 0xFF, 0xFE, FATE_RESET},   {0x64, 0xFF, 0xF0, FATE_RESET},
        {0x64, 0xAA, 0xFF, FATE_RUNNING}, {0x60, 0xD1, 0x02, FATE_RESET},
        {0x60, 0xD1, 0x03, FATE_RUNNING}, {0x60, 0x60, 0x02, FATE_RUNNING},
        {0x92, 0xFF, 0x02, FATE_RUNNING}, {0x92, 0xFF, 0x03, FATE_RESET},
        {0xCF9, 0xFF, 0x06, FATE_RESET},  {0xF4, 0xFF, 0x10, FATE_EXIT},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig *r = setup();

        outb(r->f, 0x64, rows[i].before);
        outb(r->f, rows[i].port, rows[i].value);
        if (fate(r) != rows[i].want)
            fail_msg("row %zu: fate %d", i, fate(r));
        teardown(r);
    }
}

static void small_ports(void **state)
{
    struct rig *r = setup();
    struct lapic *a = board_lapic(r->f->board, 0);

    outp(r->f, 0xF4, 4, 0x21);
    assert_int_equal(board_fate(r->f->board)->code, 0x43);
    outb(r->f, 0x64, 0xAA);
    assert_int_equal(inb(r->f, 0x64) & 1, 1);
    assert_int_equal(inb(r->f, 0x60), 0x55);
    assert_int_equal(inb(r->f, 0x64) & 3, 0);
    outb(r->f, 0x80, 0x12);
    assert_int_equal(inb(r->f, 0x80), 0x12);
    assert_int_equal(inb(r->f, 0x92), 2);
    assert_int_equal(inb(r->f, 0x402), 0xE9);
    outb(r->f, 0x402, 'c');
    outb(r->f, 0x3F8, 's');
    assert_string_equal(r->text, "cs");
    assert_int_equal(inb(r->f, 0x2F8), 0xFF); /* there is no COM2 */
    /* The test device. */
    outp(r->f, 0xE0, 4, 0x12345678);
    assert_int_equal(inp(r->f, 0xE1, 2), 0x3456);
    outp(r->f, 0xE8, 4, 0xAABBCCDD);
    outp(r->f, 0xE4, 4, 0);
    assert_int_equal(inp(r->f, 0xE0, 4), 0xAABBCCDD);
    ioapic_set(r->f, 14, 0x48);
    outb(r->f, 0x200E, 1);
    assert_int_equal(lapic_take(a), 0x48);
    bus_write(r->f->bus, BUS_MEMORY, 0xFF00FFF8, 8, 0x1122334455667788);
    assert_int_equal(bus_read(r->f->bus, BUS_MEMORY, 0xFF00FFFC, 4), 0x11223344);
    assert_int_equal(bus_read(r->f->bus, BUS_MEMORY, 0xFF010000, 4), 0xFFFFFFFF);
    teardown(r);
}

static void reset_is_power_on(void **state)
{
    struct rig *r = setup();
    struct lapic *a = board_lapic(r->f->board, 0), *b = board_lapic(r->f->board, 1);

    fake_open_pic(r->f, 0);
    ioapic_set(r->f, 14, 0x8048);
    outb(r->f, 0x200E, 1);
    outb(r->f, 0x43, 0x34); /* a running 8254 */
    outb(r->f, 0x40, 0xFF);
    outb(r->f, 0x40, 0xFF);
    lapic_write(b, LAPIC_TMICT, 1000);
    outb(r->f, 0x64, 0xFE);
    pc_reset(r->pc);
    assert_int_equal(fate(r), FATE_RUNNING);
    assert_int_equal(lapic_events(a) | lapic_events(b), 0);
    assert_int_equal(lapic_pending(a), -1);
    assert_int_equal(lapic_irr_max(a), -1);
    assert_true(lapic_waits_sipi(b));
    assert_int_equal(board_next_deadline(r->f->board), UINT64_MAX);
    assert_int_equal(ioapic_get(r->f, 14), 0x10000);
    assert_int_equal(inb(r->f, 0x21), 0xFF);
    assert_int_equal(inp(r->f, 0xCFC, 4), 0xFFFFFFFF);
    fake_enable_lapics(r->f); /* the line is down: a rise is an edge again */
    ioapic_set(r->f, 14, 0x49);
    outb(r->f, 0x200E, 1);
    assert_int_equal(lapic_take(a), 0x49);
    teardown(r);
}

/* A guest that pokes everywhere: nothing may break but its own machine. */
static void random_accesses_do_no_harm(void **state)
{
    static const uint32_t windows[][2] = {
        {0xFEC00000, 0x1000},  {0xFEE00000, 0x1000},      {PCI_ECAM_BASE, 0x40000},
        {0xFF000000, 0x10000}, {PCI_MMIO32_BASE, 0x4000}, {0xFFFFF000, 0xFFF},
    };
    static const uint16_t ports[] = {0x20,  0x40,  0x60,  0x70,  0x80,  0xA0,  0xE0,
                                     0x3F8, 0x4D0, 0x510, 0x600, 0x620, 0xCF8, 0x2000};
    struct rig *r = setup();
    uint64_t x = 88172645463325252u;

    r->com.put = r->con.put = drop;
    for (int i = 0; i < 400000; i++) {
        unsigned size = 1u << (x >> 8 & 3), w = (x >> 32 & 0xFF) % COUNT(windows);
        unsigned port = ports[(x >> 40 & 0xFF) % COUNT(ports)] + (x >> 48 & 31);
        uint64_t value = x * 0x9E3779B97F4A7C15u >> (x & 63), at;
        struct lapic *a = board_lapic(r->f->board, x >> 5 & 1);

        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        at = windows[w][0] + x % windows[w][1];
        switch (x >> 20 & 7) {
        case 0:
            bus_write(r->f->bus, BUS_PORTS, port, MIN(size, 4), value);
            break;
        case 1:
            bus_read(r->f->bus, BUS_PORTS, port, MIN(size, 4));
            break;
        case 2:
            bus_write(r->f->bus, BUS_MEMORY, at, size, value);
            break;
        case 3:
            bus_read(r->f->bus, BUS_MEMORY, at, size);
            break;
        case 4:
            lapic_write(a, x >> 30 & 0xFFF, (uint32_t)value);
            break;
        case 5:
            if (lapic_wrmsr(a, 0x800 + (x >> 30 & 0xFF), value))
                lapic_read(a, x >> 30 & 0xFFF);
            break;
        case 6:
            if (!lapic_wrmsr(a, x >> 30 & 1 ? 0x1B : 0x6E0, value))
                lapic_take(a);
            break;
        case 7:
            r->f->now += value >> 36;
            board_run_timers(r->f->board);
            if (lapic_take(a) >= 0 && !lapic_take_init(a))
                lapic_sipi_vector(a);
            break;
        }
    }
    pc_reset(r->pc);
    assert_int_equal(fate(r), FATE_RUNNING);
    teardown(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s5_powers_off),
        cmocka_unit_test(the_power_button_is_an_sci),
        cmocka_unit_test(the_pm_timer_turns),
        cmocka_unit_test(fw_cfg_by_ports),
        cmocka_unit_test(fw_cfg_describes_the_machine),
        cmocka_unit_test(fw_cfg_by_dma),
        cmocka_unit_test(there_are_ways_to_end),
        cmocka_unit_test(small_ports),
        cmocka_unit_test(reset_is_power_on),
        cmocka_unit_test(random_accesses_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
