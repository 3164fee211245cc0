/* The virtio transport and rings, driven as a guest would and as a guest should not; then the
 * entropy and console devices. */
#include "virtio_rig.h"

/* ---- a device that echoes what it reads into what it writes ---- */

static void (*meddle)(struct rig *r); /* what the guest does while the device holds a chain */
static struct rig rig;

static void echo_service(struct virtio *dev, struct queue *q)
{
    uint8_t bytes[8192];
    struct chain c;

    while (queue_take(q, &c)) {
        size_t n;

        if (meddle)
            meddle(&rig);
        n = chain_read(&c, 0, bytes, sizeof(bytes));
        queue_give(q, &c, chain_write(&c, 0, bytes, n));
    }
}

static const struct virtio_model echo = {
    .name = "echo",
    .id = 42,
    .class_rev = 0x00ff0000,
    .features = BIT(3),
    .config_len = 8,
    .config_writable = 0xf0,
    .queues = {{.size = 16, .service = echo_service}, {.size = 256, .service = echo_service}},
};

static struct virtio *echo_dev;

static int echo_up(void **state)
{
    struct error err;

    rig_init(&rig);
    meddle = NULL;
    assert_int_equal(virtio_new(&echo, rig.f->board, NULL, &echo_dev, &err), OK);
    store64(echo_dev->config, 0x1122334455667788);
    assert_int_equal(virtio_plug(echo_dev, rig.pci, &echo_dev, &err), OK);
    rig_find(&rig, 1);
    return 0;
}

static int echo_down(void **state)
{
    virtio_free(echo_dev);
    rig_free(&rig);
    return 0;
}

static void live(uint64_t features)
{
    assert_int_equal(rig_negotiate(&rig, features), 0xb);
    rig_msix(&rig);
    rig_queue(&rig, 0, 16);
    rig_queue(&rig, 1, 256);
    rig_start(&rig);
    strcpy((char *)rig.f->ram + RIG_DATA, "the quick brown fox");
}

/* ---- transport ---- */

static void it_is_a_modern_device(void **state)
{
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1040 + 42);
    assert_true(cfg_get(&rig, 8, 1) >= 1);
    assert_true(cfg_get(&rig, 0x2e, 2) >= 0x40);
    assert_int_equal(reg_get(&rig, 0x12, 2), 2);
    assert_int_equal(rig_offered(&rig), BIT(3) | BIT(28) | BIT(29) | BIT(32) | BIT(33));
    reg_set(&rig, 0, 4, 2);
    assert_int_equal(reg_get(&rig, 4, 4), 0);
    assert_int_equal(config_get(&rig, 0, 8), 0x1122334455667788);
    assert_int_equal(config_get(&rig, 3, 1), 0x55);
    assert_int_equal(config_get(&rig, 8, 2), 0xffff);
    bus_write(rig.f->bus, BUS_MEMORY, rig.config, 4, 0); /* not writable */
    bus_write(rig.f->bus, BUS_MEMORY, rig.config + 4, 2, 0);
    assert_int_equal(config_get(&rig, 0, 8), 0x1122000055667788);
}

static void features_are_agreed_on(void **state)
{
    static const struct {
        const char *law;
        uint64_t features;
        uint8_t status;
    } cases[] = {
        {"VERSION_1 is needed", VIRTIO_F_ACCESS_PLATFORM, 3},
        {"ACCESS_PLATFORM is not", VIRTIO_F_VERSION_1, 0xb},
        {"all that is offered", BIT(3) | BIT(28) | BIT(29) | BIT(32) | BIT(33), 0xb},
        {"nothing that is not offered", VIRTIO_F_VERSION_1 | BIT(4), 3},
        {"nor above 32", VIRTIO_F_VERSION_1 | BIT(40), 3},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        if (rig_negotiate(&rig, cases[i].features) != cases[i].status)
            fail_msg("%s", cases[i].law);
    rig_negotiate(&rig, VIRTIO_F_VERSION_1);
    reg_set(&rig, 8, 4, 0);
    reg_set(&rig, 0xc, 4, UINT32_MAX); /* too late */
    assert_int_equal(reg_get(&rig, 0xc, 4), 0);
    reg_set(&rig, 0x14, 1, 0);
    reg_set(&rig, 0x14, 1, 7); /* DRIVER_OK before FEATURES_OK */
    assert_int_equal(status_get(&rig), 3);
}

static void queues_take_their_shape(void **state)
{
    rig_negotiate(&rig, RIG_USUAL);
    reg_set(&rig, 0x16, 2, 0);
    assert_int_equal(reg_get(&rig, 0x18, 2), 16);
    reg_set(&rig, 0x18, 2, 12);
    assert_int_equal(reg_get(&rig, 0x18, 2), 16);
    reg_set(&rig, 0x18, 2, 32);
    assert_int_equal(reg_get(&rig, 0x18, 2), 16);
    reg_set(&rig, 0x18, 2, 8);
    assert_int_equal(reg_get(&rig, 0x18, 2), 8);
    reg_set(&rig, 0x20, 8, 0x123456789abcdef0);
    assert_int_equal(reg_get(&rig, 0x24, 4), 0x12345678);
    assert_int_equal(reg_get(&rig, 0x20, 8), 0x123456789abcdef0);
    assert_int_equal(reg_get(&rig, 0x1a, 2), 0xffff);
    reg_set(&rig, 0x1a, 2, 3); /* there are vectors 0 to 2 */
    assert_int_equal(reg_get(&rig, 0x1a, 2), 0xffff);
    reg_set(&rig, 0x1a, 2, 2);
    assert_int_equal(reg_get(&rig, 0x1a, 2), 2);
    reg_set(&rig, 0x16, 2, 2); /* there is no queue 2 */
    assert_int_equal(reg_get(&rig, 0x18, 2), 0);
    reg_set(&rig, 0x1c, 2, 1);
    reg_set(&rig, 0x16, 2, 0);
    reg_set(&rig, 0x14, 1, 0);
    assert_int_equal(reg_get(&rig, 0x18, 2), 16);
    assert_int_equal(reg_get(&rig, 0x20, 8), 0);
}

static void a_ring_that_cannot_be_is_refused(void **state)
{
    static const uint64_t bad[3] = {0x1008, 0x2001, 0x3002};

    for (unsigned i = 0; i < 3; i++) {
        rig_negotiate(&rig, RIG_USUAL);
        reg_set(&rig, 0x20 + 8 * i, 8, bad[i]);
        reg_set(&rig, 0x1c, 2, 1);
        assert_int_equal(reg_get(&rig, 0x1c, 2), 0);
        assert_int_equal(status_get(&rig), 0x4b);
        rig_negotiate(&rig, RIG_USUAL);
        reg_set(&rig, 0x20 + 8 * i, 8, UINT64_MAX & ~15ull);
        reg_set(&rig, 0x1c, 2, 1);
        assert_int_equal(status_get(&rig), 0x4b);
    }
}

/* 4.1.4.9: firmware without memory accesses reaches the registers through configuration space. */
static void configuration_access_reaches_registers(void **state)
{
    rig_negotiate(&rig, RIG_USUAL);
    cfg_set(&rig, rig.access + 4, 1, 0);
    cfg_set(&rig, rig.access + 8, 4, 0x12);
    cfg_set(&rig, rig.access + 12, 4, 2);
    assert_int_equal(cfg_get(&rig, rig.access + 16, 4), 2);
    cfg_set(&rig, rig.access + 8, 4, 0x14);
    cfg_set(&rig, rig.access + 12, 4, 1);
    assert_int_equal(cfg_get(&rig, rig.access + 16, 1), 0xb);
    cfg_set(&rig, rig.access + 16, 4, 0);
    assert_int_equal(status_get(&rig), 0);
    cfg_set(&rig, rig.access + 8, 4, 0x4000); /* outside the BAR: nothing happens */
    cfg_set(&rig, rig.access + 16, 4, 1);
    cfg_set(&rig, rig.access + 8, 4, UINT32_MAX);
    cfg_set(&rig, rig.access + 12, 4, 4);
    cfg_set(&rig, rig.access + 16, 4, 1);
    assert_int_equal(status_get(&rig), 0);
}

/* ---- chains ---- */

static const uint8_t *data(uint64_t gpa)
{
    return rig.f->ram + gpa;
}

static void chains_are_carried(void **state)
{
    live(RIG_USUAL);
    assert_int_equal(rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30), 20);
    assert_string_equal(data(RIG_DATA + 0x1000), "the quick brown fox");
    assert_true(rig_irq(&rig, 1));
    assert_false(rig_irq(&rig, 2));

    /* The same in many parts, by an indirect table after a direct descriptor. */
    memset(rig.f->ram + RIG_DATA + 0x1000, 0, 64);
    put_desc(&rig, rig.q[1].desc, 7, RIG_DATA, 4, RIG_NEXT, 200);
    put_desc(&rig, rig.q[1].desc, 200, RIG_INDIRECT, 6 * 16, RIG_INDIR, 0);
    put_desc(&rig, RIG_INDIRECT, 0, RIG_DATA + 4, 6, RIG_NEXT, 3);
    put_desc(&rig, RIG_INDIRECT, 3, RIG_DATA + 10, 10, RIG_NEXT, 5);
    put_desc(&rig, RIG_INDIRECT, 5, RIG_DATA + 0x1010, 0, RIG_NEXT | RIG_WRITE, 4);
    put_desc(&rig, RIG_INDIRECT, 4, RIG_DATA + 0x1020, 3, RIG_NEXT | RIG_WRITE, 2);
    put_desc(&rig, RIG_INDIRECT, 2, RIG_DATA + 0x1000, 17, RIG_WRITE, 0);
    rig_offer(&rig, 1, 7);
    rig_kick(&rig, 1);
    assert_int_equal(rig_used(&rig, 1, NULL), 20);
    assert_memory_equal(data(RIG_DATA + 0x1020), "the", 4);
    assert_string_equal(data(RIG_DATA + 0x1000), " quick brown fox");
    assert_true(rig_irq(&rig, 2));
    assert_int_equal(status_get(&rig), 0xf);
}

static void rings_wrap(void **state)
{
    live(RIG_USUAL);
    for (unsigned i = 0; i < 70000; i++)
        assert_int_equal(rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30), 20);
}

static void requests_before_driver_ok_wait(void **state)
{
    rig_negotiate(&rig, RIG_USUAL);
    rig_queue(&rig, 0, 8);
    assert_int_equal(rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30), -1);
    rig_start(&rig);
    assert_int_equal(rig_used(&rig, 0, NULL), 20);
}

static void intx_stands_in_for_msix(void **state)
{
    rig_negotiate(&rig, RIG_USUAL);
    rig_queue(&rig, 0, 8);
    rig_start(&rig);
    assert_int_equal(cfg_get(&rig, 6, 2) & 8, 0);
    rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    assert_int_equal(cfg_get(&rig, 6, 2) & 8, 8); /* interrupt status */
    assert_int_equal(bus_read(rig.f->bus, BUS_MEMORY, rig.isr, 1), 1);
    assert_int_equal(cfg_get(&rig, 6, 2) & 8, 0);
    assert_int_equal(bus_read(rig.f->bus, BUS_MEMORY, rig.isr, 1), 0);
}

static void interrupts_come_when_asked_for(void **state)
{
    live(RIG_USUAL);
    store16(rig.f->ram + rig.q[0].avail, 1); /* NO_INTERRUPT */
    rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    assert_false(rig_irq(&rig, 1));

    live(RIG_USUAL | VIRTIO_F_EVENT_IDX);
    store16(rig.f->ram + rig.q[0].avail + 4 + 2 * 16, 1); /* used_event: after entry 1 */
    rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    assert_false(rig_irq(&rig, 1));
    assert_int_equal(load16(data(rig.q[0].used + 4 + 8 * 16)), 1); /* avail_event */
    rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    assert_true(rig_irq(&rig, 1));
    rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    assert_false(rig_irq(&rig, 1));
    store16(rig.f->ram + rig.q[0].avail + 4 + 2 * 16, 4); /* in the middle of a batch */
    for (uint16_t head = 0; head < 8; head += 2)
        rig_chain(&rig, 0, head, RIG_DATA, 20, RIG_DATA + 0x1000, 30);
    rig_kick(&rig, 0);
    assert_true(rig_irq(&rig, 1));
}

/* ---- what a bad driver does ---- */

static void turn_descriptors(struct rig *r)
{
    put_desc(r, r->q[0].desc, 0, 0x7fffffff0000, 1u << 31, RIG_NEXT, 0);
    put_desc(r, r->q[0].desc, 1, 0x7fffffff0000, 1u << 31, RIG_NEXT, 0);
}

static void descriptors_are_read_once(void **state)
{
    live(RIG_USUAL);
    meddle = turn_descriptors;
    assert_int_equal(rig_do(&rig, 0, RIG_DATA, 20, RIG_DATA + 0x1000, 30), 20);
    assert_string_equal(data(RIG_DATA + 0x1000), "the quick brown fox");
    assert_int_equal(status_get(&rig), 0xf);
}

#define D0  rig.q[0].desc
#define OUT RIG_DATA
#define IN  (RIG_DATA + 0x1000)

static void head_outside(void)
{
    rig_offer(&rig, 0, 16);
}
static void next_outside(void)
{
    put_desc(&rig, D0, 0, OUT, 4, RIG_NEXT, 16);
    rig_offer(&rig, 0, 0);
}
static void loop(void)
{
    put_desc(&rig, D0, 0, OUT, 4, RIG_NEXT, 1);
    put_desc(&rig, D0, 1, OUT, 4, RIG_NEXT, 0);
    rig_offer(&rig, 0, 0);
}
static void runs_ahead(void)
{
    store16(rig.f->ram + rig.q[0].avail + 2, 17);
}
static void read_after_write(void)
{
    put_desc(&rig, D0, 0, IN, 4, RIG_NEXT | RIG_WRITE, 1);
    put_desc(&rig, D0, 1, OUT, 4, 0, 0);
    rig_offer(&rig, 0, 0);
}
static void wraps(void)
{
    put_desc(&rig, D0, 0, UINT64_MAX - 2, 4, 0, 0);
    rig_offer(&rig, 0, 0);
}
static void too_long(void)
{
    put_desc(&rig, D0, 0, OUT, UINT32_MAX, RIG_NEXT, 1);
    put_desc(&rig, D0, 1, OUT, 1, 0, 0);
    rig_offer(&rig, 0, 0);
}
static void indirect_odd(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 17, RIG_INDIR, 0);
    rig_offer(&rig, 0, 0);
}
static void indirect_empty(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 0, RIG_INDIR, 0);
    rig_offer(&rig, 0, 0);
}
static void indirect_huge(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 257 * 16, RIG_INDIR, 0);
    rig_offer(&rig, 0, 0);
}
static void indirect_nested(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 16, RIG_INDIR, 0);
    put_desc(&rig, RIG_INDIRECT, 0, RIG_INDIRECT, 16, RIG_INDIR, 0);
    rig_offer(&rig, 0, 0);
}
static void indirect_loop(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 32, RIG_INDIR, 0);
    put_desc(&rig, RIG_INDIRECT, 0, OUT, 4, RIG_NEXT, 1);
    put_desc(&rig, RIG_INDIRECT, 1, OUT, 4, RIG_NEXT, 1);
    rig_offer(&rig, 0, 0);
}
static void indirect_next_outside(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 32, RIG_INDIR, 0);
    put_desc(&rig, RIG_INDIRECT, 0, OUT, 4, RIG_NEXT, 2);
    rig_offer(&rig, 0, 0);
}
static void indirect_and_next(void)
{
    put_desc(&rig, D0, 0, RIG_INDIRECT, 16, RIG_INDIR | RIG_NEXT, 1);
    rig_offer(&rig, 0, 0);
}
static void indirect_nowhere(void)
{
    put_desc(&rig, D0, 0, FAKE_RAM, 16, RIG_INDIR, 0);
    rig_offer(&rig, 0, 0);
}
static void buffer_nowhere(void)
{
    put_desc(&rig, D0, 0, FAKE_RAM - 2, 4, 0, 0);
    rig_offer(&rig, 0, 0);
}

static const struct {
    const char *law;
    void (*breaks)(void);
} crimes[] = {
    {"a head is in the table", head_outside},
    {"a next is in the table", next_outside},
    {"a chain ends", loop},
    {"no more is available than the ring holds", runs_ahead},
    {"reads come before writes", read_after_write},
    {"a buffer ends before 2^64", wraps},
    {"a chain is shorter than 4 GiB", too_long},
    {"an indirect table is whole descriptors", indirect_odd},
    {"an indirect table has an entry", indirect_empty},
    {"an indirect table has at most 256 entries", indirect_huge},
    {"an indirect table is not in another", indirect_nested},
    {"an indirect chain ends", indirect_loop},
    {"an indirect next is in its table", indirect_next_outside},
    {"an indirect descriptor is the last", indirect_and_next},
    {"an indirect table is in memory", indirect_nowhere},
    {"a buffer is in memory", buffer_nowhere},
};

static void a_bad_ring_asks_for_a_reset(void **state)
{
    for (size_t i = 0; i < COUNT(crimes); i++) {
        live(RIG_USUAL);
        rig_irq(&rig, 0);
        crimes[i].breaks();
        rig_kick(&rig, 0);
        if (status_get(&rig) != 0x4f || !rig_irq(&rig, 0))
            fail_msg("%s", crimes[i].law);
        /* Quiet until the reset, and as new after it. */
        assert_int_equal(rig_do(&rig, 1, OUT, 20, IN, 20), -1);
        live(RIG_USUAL);
        assert_int_equal(rig_do(&rig, 0, OUT, 20, IN, 30), 20);
    }
    live(VIRTIO_F_VERSION_1); /* without the feature there are no indirect tables */
    put_desc(&rig, D0, 0, RIG_INDIRECT, 16, RIG_INDIR, 0);
    put_desc(&rig, RIG_INDIRECT, 0, OUT, 4, 0, 0);
    rig_offer(&rig, 0, 0);
    rig_kick(&rig, 0);
    assert_int_equal(status_get(&rig), 0x4f);
}

static void a_ring_outside_memory_asks_for_a_reset(void **state)
{
    for (unsigned part = 0; part < 3; part++) {
        rig_negotiate(&rig, RIG_USUAL);
        memset(rig.f->ram + RIG_RINGS, 0, RIG_RINGS);
        store16(rig.f->ram + RIG_RINGS + 0x2002, 1); /* one chain is there already */
        for (unsigned i = 0; i < 3; i++)
            reg_set(&rig, 0x20 + 8 * i, 8, i == part ? 16 * FAKE_RAM : RIG_RINGS + 0x1000 * i);
        reg_set(&rig, 0x28, 8, part == 1 ? FAKE_RAM : RIG_RINGS + 0x2000);
        reg_set(&rig, 0x1c, 2, 1);
        reg_set(&rig, 0x14, 1, 0xf);
        assert_int_equal(status_get(&rig), 0x4f);
    }
}

/* A ring that refills itself as fast as it is served does not hold the host. */
static void refill(struct rig *r)
{
    rig_offer(r, 0, 0);
}

static void a_ring_that_never_empties_is_put_off(void **state)
{
    live(RIG_USUAL);
    meddle = refill;
    rig_chain(&rig, 0, 0, OUT, 20, IN, 20);
    rig_kick(&rig, 0);
    assert_int_equal(load16(data(rig.q[0].used + 2)), VIRTIO_BUDGET);
    assert_true(board_next_deadline(rig.f->board) > rig.f->now);
    meddle = NULL;
    fake_run_until(rig.f, rig.f->now + 1000000);
    assert_int_equal(load16(data(rig.q[0].used + 2)), VIRTIO_BUDGET + 1);
    assert_int_equal(board_next_deadline(rig.f->board), UINT64_MAX);
}

static void a_reset_of_the_bus_resets_the_device(void **state)
{
    live(RIG_USUAL);
    pci_bus_reset(rig.pci);
    cfg_set(&rig, 4, 2, 6);
    assert_int_equal(status_get(&rig), 0);
    live(RIG_USUAL);
    assert_int_equal(rig_do(&rig, 0, OUT, 20, IN, 30), 20);
}

/* ---- entropy ---- */

static void count_up(void *ctx, void *to, size_t len)
{
    uint8_t *next = ctx, *at = to;

    while (len--)
        *at++ = (*next)++;
}

static void entropy_comes_from_its_source(void **state)
{
    uint64_t seeds[2] = {7, 7};
    uint8_t next = 0, a[40], b[40];
    struct virtio *dev;
    struct error err;

    rig_init(&rig);
    assert_int_equal(virtio_rng_new(rig.f->board, rig.pci, count_up, &next, &dev, &err), OK);
    rig_find(&rig, 1);
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1044);
    assert_int_equal(config_get(&rig, 0, 4), 0); /* no configuration, but a place for it */
    live(RIG_USUAL);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 100), 100);
    assert_int_equal(data(IN)[0], 0);
    assert_int_equal(data(IN)[99], 99);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 0x20000), 0x10000);
    virtio_free(dev);
    rig_free(&rig);

    entropy_from_seed(&seeds[0], a, sizeof(a));
    entropy_from_seed(&seeds[1], b, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
    entropy_from_seed(&seeds[1], b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

static void entropy_comes_from_the_system(void **state)
{
    struct virtio *dev;
    struct error err;

    rig_init(&rig);
    assert_int_equal(virtio_rng_new(rig.f->board, rig.pci, NULL, NULL, &dev, &err), OK);
    rig_find(&rig, 1);
    live(RIG_USUAL);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 64), 64);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN + 64, 64), 64);
    assert_memory_not_equal(data(IN), data(IN + 64), 64);
    virtio_free(dev);
    rig_free(&rig);
}

/* ---- console ---- */

static char printed[256];

static void print(void *backend, const uint8_t *bytes, size_t n)
{
    strncat(printed, (const char *)bytes, n);
}

static void the_console_talks_both_ways(void **state)
{
    struct chardev chr = {.put = print};
    static uint8_t much[5000];
    struct virtio *dev;
    struct error err;

    rig_init(&rig);
    assert_int_equal(virtio_console_new(rig.f->board, rig.pci, &chr, &dev, &err), OK);
    rig_find(&rig, 1);
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1043);
    live(RIG_USUAL);
    assert_int_equal(rig_do(&rig, 1, OUT, 9, 0, 0), 0);
    assert_string_equal(printed, "the quick");

    /* Bytes wait for buffers, and what has no room is left to the backend. */
    memset(much, 'x', sizeof(much));
    assert_int_equal(chr.room(chr.dev), 4096);
    assert_int_equal(chr.sink(chr.dev, (const uint8_t *)"hello", 5), 5);
    assert_int_equal(chr.sink(chr.dev, much, sizeof(much)), 4091);
    assert_int_equal(chr.room(chr.dev), 0);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 5), 5);
    assert_memory_equal(data(IN), "hello", 5);
    assert_true(rig_irq(&rig, 1));
    assert_int_equal(chr.room(chr.dev), 5);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 8192), 4091);
    assert_int_equal(rig_do(&rig, 0, 0, 0, IN, 8), -1); /* a buffer waits for bytes */
    assert_int_equal(chr.sink(chr.dev, (const uint8_t *)"abc", 3), 3);
    assert_int_equal(rig_used(&rig, 0, NULL), 3);
    assert_memory_equal(data(IN), "abc", 3);
    virtio_free(dev);
    assert_null(chr.sink);
    rig_free(&rig);
}

#define WITH_ECHO(test) cmocka_unit_test_setup_teardown(test, echo_up, echo_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ECHO(it_is_a_modern_device),
        WITH_ECHO(features_are_agreed_on),
        WITH_ECHO(queues_take_their_shape),
        WITH_ECHO(a_ring_that_cannot_be_is_refused),
        WITH_ECHO(configuration_access_reaches_registers),
        WITH_ECHO(chains_are_carried),
        WITH_ECHO(rings_wrap),
        WITH_ECHO(requests_before_driver_ok_wait),
        WITH_ECHO(intx_stands_in_for_msix),
        WITH_ECHO(interrupts_come_when_asked_for),
        WITH_ECHO(descriptors_are_read_once),
        WITH_ECHO(a_bad_ring_asks_for_a_reset),
        WITH_ECHO(a_ring_outside_memory_asks_for_a_reset),
        WITH_ECHO(a_ring_that_never_empties_is_put_off),
        WITH_ECHO(a_reset_of_the_bus_resets_the_device),
        cmocka_unit_test(entropy_comes_from_its_source),
        cmocka_unit_test(entropy_comes_from_the_system),
        cmocka_unit_test(the_console_talks_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
