/* ACPI tables (ACPI 6.3 chapter 5). All go into one growing block; a table is closed by filling in
 * its length and checksum. */
#include "host/device/acpi.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/aml.h"
#include "host/device/pc.h"

#define HEADER 36u
#define LENGTH 4u /* offsets within a table's header */
#define SUM    9u

static const struct {
    uint16_t port;
    uint8_t irq;
} com[4] = {{0x3F8, 4}, {0x2F8, 3}, {0x3E8, 4}, {0x2E8, 3}};

static uint8_t checksum(const uint8_t *bytes, size_t n)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return (uint8_t)-sum;
}

static size_t begin_table(struct aml *t, const char *signature, uint8_t revision)
{
    size_t at;

    aml_align(t, 16);
    at = t->len;
    aml_bytes(t, signature, 4);
    aml_u32(t, 0); /* length, later */
    aml_u8(t, revision);
    aml_u8(t, 0); /* checksum, later */
    aml_bytes(t, "LUCCA LUCCAPC ", 14);
    aml_u32(t, 1);
    aml_bytes(t, "LUCC", 4);
    aml_u32(t, 1);
    return at;
}

static void end_table(struct aml *t, size_t at)
{
    uint8_t *table = t->bytes + at;

    if (t->failed)
        return;
    store32(table + LENGTH, (uint32_t)(t->len - at));
    table[SUM] = checksum(table, t->len - at);
}

/* ---- DSDT ------------------------------------------------------------------------------------ */

/* INTA of every slot; these devices have no other pin. */
static void add_prt(struct aml *t)
{
    size_t all, one;

    aml_name(t, "_PRT");
    all = aml_package(t, PCI_SLOTS);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        one = aml_package(t, 4);
        aml_int(t, slot << 16 | 0xFFFF); /* any function */
        aml_int(t, 0);                   /* INTA */
        aml_int(t, 0);                   /* not through a link device: */
        aml_int(t, PCI_INTX_GSI(slot));
        aml_end(t, one);
    }
    aml_end(t, all);
}

/* _OSC: the caller's capabilities with none of the PCI Express features handed over. */
static void add_osc(struct aml *t)
{
    static const uint8_t body[] = {
        0x8A, 0x6B, 0x0A, 8,   'C', 'T', 'R', 'L', /* CreateDWordField(Arg3, 8, CTRL) */
        0x70, 0x00, 'C',  'T', 'R', 'L',           /* Store(0, CTRL) */
        0xA4, 0x6B,                                /* Return(Arg3) */
    };
    size_t method = aml_method(t, "_OSC", 4);

    aml_bytes(t, body, sizeof(body));
    aml_end(t, method);
}

static void add_pci(struct aml *t)
{
    size_t device = aml_device(t, "PCI0"), crs;

    aml_named_eisaid(t, "_HID", "PNP0A08");
    aml_named_eisaid(t, "_CID", "PNP0A03");
    aml_named_int(t, "_UID", 0);
    aml_named_int(t, "_SEG", 0);
    aml_named_int(t, "_BBN", 0);
    crs = aml_crs(t);
    aml_bus_window(t, 0, PCI_ECAM_SIZE / 0x100000 - 1);
    aml_io(t, 0xCF8, 8);
    aml_io_window(t, 0, 0xCF7);
    aml_io_window(t, 0xD00, 0xFFFF);
    aml_memory32_window(t, PCI_MMIO32_BASE, PCI_MMIO32_END - 1);
    aml_memory64_window(t, PCI_MMIO64_BASE, PCI_MMIO64_BASE + PCI_MMIO64_SIZE - 1);
    aml_crs_end(t, crs);
    add_prt(t);
    add_osc(t);
    aml_end(t, device);
}

/* A device with one range of ports and at most one interrupt (irq < 0: none). */
static void add_isa(struct aml *t, const char *name, const char *id, unsigned uid, uint16_t port,
                    uint8_t len, int irq)
{
    size_t device = aml_device(t, name), crs;

    aml_named_eisaid(t, "_HID", id);
    aml_named_int(t, "_UID", uid);
    crs = aml_crs(t);
    aml_io(t, port, len);
    if (irq >= 0)
        aml_irq(t, (unsigned)irq);
    aml_crs_end(t, crs);
    aml_end(t, device);
}

static void add_pic(struct aml *t)
{
    size_t device = aml_device(t, "PIC_"), crs;

    aml_named_eisaid(t, "_HID", "PNP0000");
    crs = aml_crs(t);
    aml_io(t, 0x20, 2);
    aml_io(t, 0xA0, 2);
    aml_io(t, 0x4D0, 2);
    aml_irq(t, 2);
    aml_crs_end(t, crs);
    aml_end(t, device);
}

/* What is taken of the address space and is no device of its own: ECAM, the ACPI blocks. */
static void add_board_resources(struct aml *t)
{
    size_t device = aml_device(t, "BRD_"), crs;

    aml_named_eisaid(t, "_HID", "PNP0C02");
    crs = aml_crs(t);
    aml_memory32(t, PCI_ECAM_BASE, PCI_ECAM_SIZE);
    aml_io(t, PC_PM_BASE, 12);
    aml_io(t, PC_GPE0_BASE, PC_GPE0_LEN);
    aml_crs_end(t, crs);
    aml_end(t, device);
}

static void add_fw_cfg(struct aml *t)
{
    size_t device = aml_device(t, "FWCF"), crs;

    aml_name(t, "_HID");
    aml_string(t, "QEMU0002");
    aml_named_int(t, "_STA", 0xB); /* present, enabled, working, not shown */
    crs = aml_crs(t);
    aml_io(t, 0x510, 12);
    aml_crs_end(t, crs);
    aml_end(t, device);
}

static void add_system_bus(struct aml *t, const struct acpi_config *cfg)
{
    size_t scope = aml_scope(t, "\\_SB_");
    char name[5] = "COM1";

    add_pci(t);
    add_board_resources(t);
    add_pic(t);
    add_isa(t, "TMR_", "PNP0100", 0, 0x40, 4, 0);
    add_isa(t, "RTC_", "PNP0B00", 0, 0x70, 2, 8);
    for (unsigned i = 0; i < COUNT(com); i++) {
        name[3] = (char)('1' + i);
        if (cfg->serial[i])
            add_isa(t, name, "PNP0501", i + 1, com[i].port, 8, com[i].irq);
    }
    if (cfg->fw_cfg)
        add_fw_cfg(t);
    aml_end(t, scope);
}

static size_t add_dsdt(struct aml *t, const struct acpi_config *cfg)
{
    size_t at = begin_table(t, "DSDT", 2), package;

    add_system_bus(t, cfg);
    /* S5 is SLP_TYP 0 in both control blocks; there are no other sleep states. */
    aml_name(t, "\\_S5_");
    package = aml_package(t, 4);
    for (int i = 0; i < 4; i++)
        aml_int(t, 0);
    aml_end(t, package);
    end_table(t, at);
    return at;
}

/* ---- FACS and FADT --------------------------------------------------------------------------- */

static size_t add_facs(struct aml *t)
{
    uint8_t facs[64] = "FACS";
    size_t at;

    aml_align(t, 64);
    at = t->len;
    store32(facs + 4, sizeof(facs));
    facs[32] = 2; /* version */
    aml_bytes(t, facs, sizeof(facs));
    return at;
}

/* A generic address (5.2.3.2) of I/O ports. */
static void store_gas(uint8_t *at, uint16_t port, uint8_t bits)
{
    at[0] = 1; /* system I/O */
    at[1] = bits;
    at[3] = bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 0;
    store64(at + 4, port);
}

#define FADT_SIZE 276u
/* WBINVD works, C1 on every processor, no sleep button, no RTC wake status, reset register. */
#define FADT_FLAGS (1u << 0 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 10)
/* Legacy devices; no 8042, no VGA, no PCI Express ASPM (bit 1 clear, 2 and 4 set). */
#define FADT_BOOT_ARCH (1u << 0 | 1u << 2 | 1u << 4)

static size_t add_fadt(struct aml *t, uint64_t facs, uint64_t dsdt)
{
    size_t at = begin_table(t, "FACP", 6);
    uint8_t f[FADT_SIZE] = {0};

    store32(f + 36, (uint32_t)facs);
    store32(f + 40, (uint32_t)dsdt);
    f[45] = 1; /* profile: desktop */
    store16(f + 46, PC_SCI_GSI);
    /* 48, 52, 53: no SMI command port, so ACPI is on already. */
    store32(f + 56, PC_PM_BASE);
    store32(f + 64, PC_PM_BASE + 4);
    store32(f + 76, PC_PM_BASE + 8);
    store32(f + 80, PC_GPE0_BASE);
    f[88] = 4; /* lengths of the event block, control block, timer, GPE0 */
    f[89] = 2;
    f[91] = 4;
    f[92] = PC_GPE0_LEN;
    store16(f + 96, 101);  /* no C2 */
    store16(f + 98, 1001); /* no C3 */
    f[108] = 0x32;         /* the clock's century byte */
    store16(f + 109, FADT_BOOT_ARCH);
    store32(f + 112, FADT_FLAGS);
    store_gas(f + 116, PC_RESET_PORT, 8);
    f[128] = 6; /* the value that resets */
    f[131] = 3; /* 6.3 */
    store64(f + 140, dsdt);
    store_gas(f + 148, PC_PM_BASE, 32);
    store_gas(f + 172, PC_PM_BASE + 4, 16);
    store_gas(f + 208, PC_PM_BASE + 8, 32);
    store_gas(f + 220, PC_GPE0_BASE, PC_GPE0_LEN * 8);
    aml_bytes(t, f + HEADER, sizeof(f) - HEADER);
    end_table(t, at);
    return at;
}

/* ---- MADT and MCFG ----------------------------------------------------------------------------
 */

static void add_processor(struct aml *t, unsigned id)
{
    bool wide = id >= 255; /* FFh is the broadcast id of xAPIC */

    aml_u8(t, wide ? 9 : 0);
    aml_u8(t, wide ? 16 : 8);
    if (wide) {
        aml_u16(t, 0);
        aml_u32(t, id);
        aml_u32(t, 1); /* enabled */
        aml_u32(t, id);
    } else {
        aml_u8(t, (uint8_t)id);
        aml_u8(t, (uint8_t)id);
        aml_u32(t, 1);
    }
}

static void add_override(struct aml *t, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    aml_u8(t, 2);
    aml_u8(t, 10);
    aml_u8(t, 0); /* ISA */
    aml_u8(t, irq);
    aml_u32(t, gsi);
    aml_u16(t, flags);
}

static size_t add_madt(struct aml *t, unsigned vcpus)
{
    static const uint8_t lint1_nmi[] = {4, 6, 0xFF, 0, 0, 1}; /* every processor */
    size_t at = begin_table(t, "APIC", 5);

    aml_u32(t, LAPIC_BASE);
    aml_u32(t, 1); /* a pair of 8259s is there too */
    for (unsigned id = 0; id < vcpus; id++)
        add_processor(t, id);
    aml_u8(t, 1); /* IOAPIC */
    aml_u8(t, 12);
    aml_u16(t, 0); /* its id, and a reserved byte */
    aml_u32(t, IOAPIC_BASE);
    aml_u32(t, 0);
    add_override(t, 0, 2, 0);
    add_override(t, PC_SCI_GSI, PC_SCI_GSI, 0xD); /* level, active high */
    aml_bytes(t, lint1_nmi, sizeof(lint1_nmi));
    end_table(t, at);
    return at;
}

static size_t add_mcfg(struct aml *t)
{
    size_t at = begin_table(t, "MCFG", 1);

    aml_u64(t, 0);
    aml_u64(t, PCI_ECAM_BASE);
    aml_u16(t, 0); /* segment */
    aml_u8(t, 0);  /* buses */
    aml_u8(t, PCI_ECAM_SIZE / 0x100000 - 1);
    aml_u32(t, 0);
    end_table(t, at);
    return at;
}

/* ---- the roots ---------------------------------------------------------------------------------
 */

enum { FADT, MADT, MCFG, TABLES };

static size_t add_root(struct aml *t, const char *signature, unsigned width, uint64_t base,
                       const size_t tables[TABLES])
{
    size_t at = begin_table(t, signature, 1);

    for (int i = 0; i < TABLES; i++) {
        uint64_t address = base + tables[i];

        aml_bytes(t, &address, width);
    }
    end_table(t, at);
    return at;
}

static void fill_rsdp(uint8_t *rsdp, uint64_t rsdt, uint64_t xsdt)
{
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "LUCCA ", 6);
    rsdp[15] = 2;
    store32(rsdp + 16, (uint32_t)rsdt);
    store32(rsdp + 20, 36);
    store64(rsdp + 24, xsdt);
    rsdp[8] = checksum(rsdp, 20);
    rsdp[32] = checksum(rsdp, 36);
}

enum status acpi_build(const struct acpi_config *cfg, uint64_t base_gpa, struct acpi_blob *out,
                       struct error *err)
{
    static const uint8_t rsdp[48];
    struct aml t = {0};
    size_t tables[TABLES], facs, dsdt, rsdt, xsdt;

    if (base_gpa % 4096)
        return fail(err, ERR_ARG, "ACPI tables at %#lx: not a page boundary",
                    (unsigned long)base_gpa);
    aml_bytes(&t, rsdp, sizeof(rsdp)); /* filled in when the rest is known */
    facs = add_facs(&t);
    dsdt = add_dsdt(&t, cfg);
    tables[FADT] = add_fadt(&t, base_gpa + facs, base_gpa + dsdt);
    tables[MADT] = add_madt(&t, cfg->vcpus);
    tables[MCFG] = add_mcfg(&t);
    rsdt = add_root(&t, "RSDT", 4, base_gpa, tables);
    xsdt = add_root(&t, "XSDT", 8, base_gpa, tables);
    if (t.failed) {
        free(t.bytes);
        return fail(err, ERR_NOMEM, "no memory for the ACPI tables");
    }
    if (base_gpa > UINT32_MAX || t.len > BIT(32) - base_gpa) {
        free(t.bytes);
        return fail(err, ERR_ARG, "ACPI tables at %#lx do not fit below 4 GiB",
                    (unsigned long)base_gpa);
    }
    fill_rsdp(t.bytes, base_gpa + rsdt, base_gpa + xsdt);
    *out = (struct acpi_blob){.bytes = t.bytes, .size = t.len, .rsdp = base_gpa};
    return OK;
}

void acpi_blob_free(struct acpi_blob *b)
{
    free(b->bytes);
    *b = (struct acpi_blob){0};
}
