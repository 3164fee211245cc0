/* Fuzzes the PC's registers: the input reads and writes ports, device memory and local APICs, and
 * lets time pass. What the processors then see is in range. */
#include "rig.h"

#include "host/device/pc.h"

#define VCPUS 3u

static struct rig rig;

/* A PCI device with memory, ports and MSI-X, so that its BARs can be moved about. */
static uint64_t dev_read(void *dev, uint64_t off, unsigned size)
{
    return off;
}

static void dev_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
}

static const struct bus_ops dev_ops = {dev_read, dev_write};

static struct pci_device pci_device(const char *name)
{
    return (struct pci_device){
        .name = name,
        .vendor = 0x1AF4,
        .device = 0x1041,
        .class_rev = 0x02000001,
        .bar = {{.size = 0x1000, .ops = &dev_ops},
                {.size = 0x40, .io = true, .ops = &dev_ops},
                {.size = 0x4000, .mem64 = true, .prefetch = true, .ops = &dev_ops}},
        .msix_vectors = 5,
        .msix_bar = 4,
        .has_intx = true};
}

static void put(void *backend, const uint8_t *bytes, size_t n)
{
}

/* Where registers are: what the input's offset is added to. */
static const struct place {
    enum bus_space space;
    uint64_t base, size;
} places[] = {
    {BUS_PORTS, 0, 0x10000},
    {BUS_PORTS, 0x20, 0x10},
    {BUS_PORTS, 0x40, 0x40},
    {BUS_PORTS, 0x3F8, 8},
    {BUS_PORTS, 0x510, 12},
    {BUS_PORTS, 0x600, 0x40},
    {BUS_PORTS, 0xCF8, 8},
    {BUS_PORTS, PCI_IO_BASE, 0x100},
    {BUS_MEMORY, IOAPIC_BASE, 0x100},
    {BUS_MEMORY, PCI_ECAM_BASE, 0x20000},
    {BUS_MEMORY, PCI_MMIO32_BASE, 0x20000},
    {BUS_MEMORY, PCI_MMIO64_BASE, 0x10000},
    {BUS_MEMORY, 0xFF000000, 0x1000},
    {BUS_MEMORY, 0xFEE00000, 0x1000},
};

static void processors_see_sense(struct board *b)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        struct lapic *a = board_lapic(b, i);

        MUST(lapic_pending(a) >= -1 && lapic_pending(a) <= 255);
        MUST(lapic_irr_max(a) >= -1 && lapic_irr_max(a) <= 255);
        MUST(lapic_cr8(a) <= 15);
        if (lapic_events(a) & LAPIC_SIPI)
            MUST(lapic_waits_sipi(a) || lapic_events(a) & LAPIC_INIT);
    }
}

static void take_events(struct lapic *a)
{
    uint32_t events = lapic_events(a);

    if (events & (LAPIC_INTR | LAPIC_EXTINT))
        MUST(lapic_take(a) <= 255);
    if (events & LAPIC_NMI)
        MUST(lapic_nmi_take(a));
    if (events & LAPIC_INIT)
        MUST(lapic_take_init(a));
    if (events & LAPIC_SIPI)
        MUST(lapic_sipi_vector(a) <= 255);
}

/* Ten bytes: what, where, which value. */
static void step(struct board *b, struct pc *pc, struct cursor *c)
{
    uint8_t what = cursor_u8(c), which = cursor_u8(c);
    uint32_t at = cursor_u32(c), value = cursor_u32(c);
    const struct place *p = &places[which % COUNT(places)];
    unsigned size = 1u << (what >> 4 & 3);
    struct lapic *a = board_lapic(b, which % VCPUS);
    uint64_t wide = (uint64_t)at << 32 | value;

    switch (what & 15) {
    case 0:
    case 1:
    case 2:
        bus_write(board_bus(b), p->space, p->base + at % p->size, size, value);
        break;
    case 3:
        (void)bus_read(board_bus(b), p->space, p->base + at % p->size, size);
        break;
    case 4:
        lapic_write(a, at & 0xFF0, value);
        break;
    case 5:
        (void)lapic_read(a, at & 0xFF0);
        break;
    case 6:
        if (!lapic_wrmsr(a, 0x800 + (at & 0xFF), value))
            (void)!lapic_wrmsr(a, at & 1 ? 0x1B : 0x6E0, wide);
        break;
    case 7:
        if (!lapic_rdmsr(a, at & 1 ? 0x1B : 0x6E0, &wide))
            (void)!lapic_rdmsr(a, 0x800 + (at & 0xFF), &wide);
        break;
    case 8:
        rig.now += which & 1 ? value : value & 0xFFFF;
        if (board_next_deadline(b) <= rig.now)
            board_run_timers(b);
        break;
    case 9:
        take_events(a);
        break;
    case 10:
        board_gsi(b, at % BOARD_GSIS, 31, value & 1);
        break;
    case 11:
        board_msi(b, wide, at);
        break;
    case 12:
        store32(rig.ram + at % (RIG_RAM - 4), value);
        break;
    case 13:
        if (which & 1)
            board_nmi(b);
        else
            pc_power_button(pc);
        break;
    case 14:
        lapic_set_cr8(a, value & 15);
        break;
    default:
        if (which == 0xFF)
            pc_reset(pc);
    }
    processors_see_sense(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chardev serial = {.put = put}, debugcon = {.put = put};
    const struct pc_config cfg = {.ram_low = RIG_RAM,
                                  .ram_high = UINT64_C(1) << 32,
                                  .vcpus = VCPUS,
                                  .rtc_base = 1767225600,
                                  .serial = {&serial},
                                  .debugcon = &debugcon,
                                  .debug_exit = true,
                                  .testdev = true};
    struct pci_device one = pci_device("one"), two = pci_device("two");
    struct cursor c = cursor_over(data, size);
    struct board *b;
    struct pc *pc;

    memset(&rig, 0, sizeof(rig));
    b = rig_board(&rig, VCPUS);
    MUST(pc_new(b, &cfg, &pc, NULL) == OK);
    MUST(pci_add(pc_pci(pc), &one, NULL) == OK && pci_add(pc_pci(pc), &two, NULL) == OK);
    for (unsigned steps = 0; c.left >= 10 && steps < 256; steps++)
        step(b, pc, &c);
    pc_free(pc);
    board_free(b);
    return 0;
}
