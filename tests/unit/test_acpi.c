/* ACPI tables: what a kernel finds by walking from the RSDP, and, where iasl (Debian: acpica-tools)
 * is installed, what it says of each table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/device/acpi.h"
#include "host/device/pci.h"

#include <cmocka.h>

#define BASE 0xE0000u

static struct acpi_blob build(unsigned vcpus, uint64_t base)
{
    struct acpi_config cfg = {.vcpus = vcpus, .serial = {true, false, true}, .fw_cfg = true};
    struct acpi_blob blob = {0};
    struct error err;

    assert_int_equal(acpi_build(&cfg, base, &blob, &err), OK);
    return blob;
}

static uint8_t sum(const uint8_t *bytes, size_t n)
{
    uint8_t s = 0;

    while (n--)
        s += *bytes++;
    return s;
}

/* The table at guest address `gpa`, checked to lie in the block and to sum to zero. */
static const uint8_t *table(const struct acpi_blob *b, uint64_t gpa, const char *signature)
{
    const uint8_t *t = b->bytes + (gpa - BASE);

    assert_in_range(gpa, BASE, BASE + b->size - 36);
    assert_memory_equal(t, signature, 4);
    assert_in_range(load32(t + 4), 36, b->size - (gpa - BASE));
    assert_int_equal(sum(t, load32(t + 4)), 0);
    return t;
}

static const uint8_t *root_entry(const struct acpi_blob *b, const char *signature)
{
    const uint8_t *xsdt = table(b, load64(b->bytes + 24), "XSDT");
    const uint8_t *rsdt = table(b, load32(b->bytes + 16), "RSDT");
    unsigned n = (load32(xsdt + 4) - 36) / 8;

    for (unsigned i = 0; i < n; i++) {
        uint64_t gpa = load64(xsdt + 36 + i * 8);

        assert_int_equal(load32(rsdt + 36 + i * 4), gpa);
        if (!memcmp(b->bytes + (gpa - BASE), signature, 4))
            return table(b, gpa, signature);
    }
    fail_msg("no %s", signature);
    return NULL;
}

static void the_roots_lead_everywhere(void **state)
{
    struct acpi_blob b = build(2, BASE);
    const uint8_t *fadt, *mcfg;
    uint32_t facs;

    assert_int_equal(b.rsdp, BASE);
    assert_memory_equal(b.bytes, "RSD PTR ", 8);
    assert_int_equal(b.bytes[15], 2);
    assert_int_equal(sum(b.bytes, 20), 0);
    assert_int_equal(sum(b.bytes, 36), 0);
    fadt = root_entry(&b, "FACP");
    table(&b, load32(fadt + 40), "DSDT");
    assert_int_equal(load64(fadt + 140), load32(fadt + 40));
    facs = load32(fadt + 36);
    assert_int_equal(facs % 64, 0);
    assert_memory_equal(b.bytes + (facs - BASE), "FACS", 4);
    assert_int_equal(load16(fadt + 109) & 2, 0);         /* no 8042 to probe for */
    assert_int_equal(load32(fadt + 112) & 0x410, 0x400); /* reset register; fixed power button */
    assert_int_equal(load32(fadt + 48), 0);              /* no SMI */
    mcfg = root_entry(&b, "MCFG");
    assert_int_equal(load64(mcfg + 44), PCI_ECAM_BASE);
    assert_int_equal(mcfg[55], 255);
    acpi_blob_free(&b);
}

static void the_madt_lists_processors(void **state)
{
    struct acpi_blob b = build(300, BASE);
    const uint8_t *madt = root_entry(&b, "APIC");
    const uint8_t *end = madt + load32(madt + 4);
    unsigned narrow = 0, wide = 0, ioapics = 0, overrides = 0;

    for (const uint8_t *e = madt + 44; e < end; e += e[1]) {
        assert_in_range(e[1], 2, end - e);
        if (e[0] == 0)
            assert_int_equal(e[3], narrow++);
        if (e[0] == 9)
            assert_int_equal(load32(e + 4), 255 + wide++);
        ioapics += e[0] == 1;
        if (e[0] == 2 && e[3] == 0)
            assert_int_equal(load32(e + 4), 2);
        if (e[0] == 2 && e[3] == 9)
            assert_int_equal(load16(e + 8), 0xD);
        overrides += e[0] == 2;
    }
    assert_int_equal(narrow, 255);
    assert_int_equal(wide, 45);
    assert_int_equal(ioapics, 1);
    assert_int_equal(overrides, 2);
    acpi_blob_free(&b);
}

static void bad_places_are_refused(void **state)
{
    struct acpi_config cfg = {.vcpus = 1};
    struct acpi_blob b;
    struct error err;

    assert_int_equal(acpi_build(&cfg, 0xE0010, &b, &err), ERR_ARG);
    assert_int_equal(acpi_build(&cfg, 0x100000000, &b, &err), ERR_ARG);
    assert_int_equal(acpi_build(&cfg, UINT64_MAX & ~4095ull, &b, &err), ERR_ARG);
    assert_int_equal(acpi_build(&cfg, 0xFFFFF000, &b, &err), OK);
    acpi_blob_free(&b);
}

/* ---- iasl ---- */

static char dir[] = "/tmp/lucca-acpi-XXXXXX";

/* Runs `command` in `dir`; its output must not contain any of iasl's complaints. */
static void judge(const char *command, const char *must)
{
    char line[512], full[256];
    bool said = false;
    FILE *out;

    snprintf(full, sizeof(full), "cd %s && %s 2>&1", dir, command);
    out = popen(full, "r");
    assert_non_null(out);
    while (fgets(line, sizeof(line), out)) {
        if (strstr(line, "Error ") || strstr(line, "Invalid") || strstr(line, "Incorrect"))
            fail_msg("%s: %s", command, line);
        said |= strstr(line, must) != NULL;
    }
    assert_int_equal(pclose(out), 0);
    if (!said)
        fail_msg("%s did not say '%s'", command, must);
}

static void save(const char *name, const uint8_t *t)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.dat", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(t, 1, load32(t + 4), f), load32(t + 4));
    assert_int_equal(fclose(f), 0);
}

static void iasl_has_no_remarks(void **state)
{
    struct acpi_blob b;

    if (system("iasl -v >/dev/null 2>&1"))
        skip();
    assert_non_null(mkdtemp(dir));
    b = build(3, BASE);
    save("dsdt", table(&b, load32(root_entry(&b, "FACP") + 40), "DSDT"));
    save("facp", root_entry(&b, "FACP"));
    save("apic", root_entry(&b, "APIC"));
    save("mcfg", root_entry(&b, "MCFG"));
    judge("iasl -d dsdt.dat", "Disassembly completed");
    judge("iasl dsdt.dsl", "0 Errors, 0 Warnings, 0 Remarks");
    judge("iasl -d facp.dat apic.dat mcfg.dat", "decoded");
    judge("cat dsdt.dsl facp.dsl apic.dsl mcfg.dsl", "PNP0A08");
    judge("rm -r *.dat *.dsl *.aml && rmdir $PWD && echo gone", "gone");
    acpi_blob_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roots_lead_everywhere),
        cmocka_unit_test(the_madt_lists_processors),
        cmocka_unit_test(bad_places_are_refused),
        cmocka_unit_test(iasl_has_no_remarks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
