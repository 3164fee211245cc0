/* Loaders of each kernel format: what lands where, and what a hostile file gets. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/boot/loader.h"

#include <cmocka.h> /* last: it has a macro named fail */

#define RAM    (UINT64_C(64) << 20)
#define C_MASK BIT(51)

static uint8_t *ram;
static char kernel_path[] = "/tmp/lucca-boot-XXXXXX", initrd_path[] = "/tmp/lucca-boot-XXXXXX";

static bool ram_write(void *ctx, uint64_t gpa, const void *bytes, size_t len)
{
    if (gpa > RAM || len > RAM - gpa)
        return false;
    memcpy(ram + gpa, bytes, len);
    return true;
}

static void put_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static const struct boot_blob acpi = {BOOT_ACPI_BASE, "RSD PTR tables", 14, "ACPI tables"};

static struct boot_request request(void)
{
    return (struct boot_request){.kernel = kernel_path,
                                 .append = "console=ttyS0",
                                 .ram_low = RAM,
                                 .ram_high = BOOT_HIGH_RAM,
                                 .c_mask = C_MASK,
                                 .blobs = &acpi,
                                 .blob_count = 1,
                                 .rsdp = BOOT_ACPI_BASE,
                                 .write = ram_write};
}

static enum status load(const struct boot_request *req, struct boot_plan *plan, struct error *err)
{
    memset(ram, 0, RAM);
    return boot_load(req, plan, err);
}

static void must_load(const struct boot_request *req, struct boot_plan *plan)
{
    struct error err = {0};

    if (load(req, plan, &err) != OK)
        fail_msg("%s", err.text);
}

static void must_refuse(const struct boot_request *req, const char *words)
{
    struct boot_plan plan;
    struct error err = {0};

    if (load(req, &plan, &err) == OK)
        fail_msg("loaded, instead of: %s", words);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static bool launched(const struct boot_plan *plan, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < plan->regions; i++)
        if (gpa >= plan->region[i].gpa && gpa + len <= plan->region[i].gpa + plan->region[i].len)
            return true;
    return false;
}

static void regions_are_orderly(const struct boot_plan *plan)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < plan->regions; i++) {
        assert_true(plan->region[i].gpa >= end);
        assert_int_equal(plan->region[i].gpa % 4096, 0);
        assert_int_equal(plan->region[i].len % 4096, 0);
        assert_true(plan->region[i].len > 0);
        end = plan->region[i].gpa + plan->region[i].len;
    }
    /* Whatever was written is in a region: nothing the guest reads is left out of the launch. */
    for (uint64_t at = 0; at < RAM; at += 4096) {
        static const uint8_t zeros[4096];

        if (memcmp(ram + at, zeros, 4096) != 0 && !launched(plan, at, 4096))
            fail_msg("bytes at %llx are in no launch region", (unsigned long long)at);
    }
}

/* ---- bzImage -----------------------------------------------------------------------------------
 */

#define SETUP_BYTES   (5 * 512)
#define PAYLOAD_BYTES 0x3000

static uint8_t *bzimage(size_t *size)
{
    static uint8_t b[SETUP_BYTES + PAYLOAD_BYTES];

    memset(b, 0, sizeof(b));
    b[0x1F1] = 4;
    store16(b + 0x1FE, 0xAA55);
    b[0x201] = 0x66;
    memcpy(b + 0x202, "HdrS", 4);
    store16(b + 0x206, 0x20F);
    b[0x211] = 1;
    store32(b + 0x22C, 0x7FFFFFFF);
    store32(b + 0x230, 0x200000);
    b[0x234] = 1;
    store16(b + 0x236, 0x7F);
    store32(b + 0x238, 2047);
    store64(b + 0x258, 0x1000000);
    store32(b + 0x260, 0x800000);
    for (size_t i = 0; i < PAYLOAD_BYTES; i++)
        b[SETUP_BYTES + i] = (uint8_t)(i * 7 + 1);
    *size = sizeof(b);
    return b;
}

static uint64_t walk(uint64_t cr3, uint64_t linear)
{
    uint64_t table = cr3, entry = 0;

    for (int level = 3; level >= 1; level--) {
        entry = load64(ram + table + 8 * (linear >> (12 + 9 * level) & 511));
        if (!(entry & 1))
            return UINT64_MAX;
        if (level == 1)
            break;
        table = entry & UINT64_C(0x7FFFFFFFFF000);
    }
    assert_true(entry & BIT(7));
    assert_true(entry & C_MASK);
    return (entry & UINT64_C(0x7FFFFFFE00000)) | (linear & 0x1FFFFF);
}

static void linux_gets_its_zero_page_and_its_64_bit_entry(void **state)
{
    struct boot_request req = request();
    struct boot_plan plan;
    size_t size;
    const uint8_t *file = bzimage(&size), *zp;

    put_file(kernel_path, file, size);
    put_file(initrd_path, "initrd bytes", 12);
    req.initrd = initrd_path;
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_string_equal(plan.format, "bzImage");
    assert_true(plan.start.long_mode);
    assert_int_equal(plan.start.rip, 0x1000200);
    assert_memory_equal(ram + 0x1000000, file + SETUP_BYTES, PAYLOAD_BYTES);

    zp = ram + plan.start.rsi;
    assert_memory_equal(zp + 0x202, "HdrS", 4);
    assert_int_equal(load64(zp + 0x070), BOOT_ACPI_BASE);
    assert_int_equal(zp[0x1EF], 0);
    assert_int_not_equal(zp[0x210], 0);
    assert_string_equal((char *)ram + load32(zp + 0x228), "console=ttyS0");
    assert_int_equal(load32(zp + 0x21C), 12);
    assert_memory_equal(ram + load32(zp + 0x218), "initrd bytes", 12);
    assert_true(load32(zp + 0x218) >= 0x1800000);
    assert_int_equal(load32(zp + 0x2D0 + 16), E820_RAM);
    assert_int_equal(load32(zp + 0x2D0 + 20 + 16), E820_ACPI);
    for (uint64_t at = 0; at < BIT(32); at += 0x10203000)
        assert_int_equal(walk(plan.start.cr3, at), at);
    assert_true(launched(&plan, 0, 4096));
    assert_true(launched(&plan, plan.start.cr3, 6 * 4096));
}

static void linux_without_a_64_bit_entry_starts_in_32_bits(void **state)
{
    struct boot_request req = request();
    struct boot_plan plan;
    size_t size;
    uint8_t *file = bzimage(&size);

    store16(file + 0x236, 0);
    put_file(kernel_path, file, size);
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_false(plan.start.long_mode);
    assert_int_equal(plan.start.rip, 0x1000000);
    assert_memory_equal(ram + plan.start.gdt + 16, "\xFF\xFF\0\0\0\x9B\xCF\0", 8);
}

static void lying_linux_headers_are_refused(void **state)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
        const char *words;
    } lies[] = {
        {0x1F1, 1, 64, "cut short"},    {0x206, 2, 0x200, "not supported"},
        {0x211, 1, 0, "not supported"}, {0x230, 4, 3, "alignment"},
        {0x230, 4, 0, "alignment"},     {0x260, 4, 0xFFFFFFFF, "--memory"},
        {0x238, 4, 5, "characters"},
    };
    struct boot_request req = request();

    for (size_t i = 0; i < COUNT(lies); i++) {
        size_t size;
        uint8_t *file = bzimage(&size);

        memcpy(file + lies[i].at, &lies[i].value, lies[i].size);
        put_file(kernel_path, file, size);
        must_refuse(&req, lies[i].words);
    }
}

static void a_preference_outside_memory_is_not_insisted_on(void **state)
{
    struct boot_request req = request();
    struct boot_plan plan;
    size_t size;
    uint8_t *file = bzimage(&size);

    store64(file + 0x258, UINT64_MAX - 0x1000);
    put_file(kernel_path, file, size);
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_int_equal(plan.start.rip, 0x200200);
    file[0x234] = 0;
    put_file(kernel_path, file, size);
    must_refuse(&req, "--memory");
}

static void an_initrd_that_does_not_fit_is_refused(void **state)
{
    struct boot_request req = request();
    size_t size;
    uint8_t *file = bzimage(&size);

    put_file(kernel_path, file, size);
    req.initrd = initrd_path;
    assert_int_equal(truncate(initrd_path, (off_t)RAM - 0x1000000), 0);
    must_refuse(&req, "do not fit beside the kernel");
    assert_int_equal(truncate(initrd_path, (off_t)RAM + 1), 0);
    must_refuse(&req, "do not fit into the guest's memory");
    req.initrd = "/nonexistent/initrd";
    must_refuse(&req, "No such file");
}

/* Any truncation and any byte of the header changed: an answer, never a crash (run sanitized). */
static void no_header_byte_is_trusted(void **state)
{
    struct boot_request req = request();
    struct boot_plan plan;
    struct error err;
    size_t size;

    for (unsigned at = 0x1F1; at < 0x268; at++) {
        uint8_t *file = bzimage(&size);

        file[at] ^= 0xFF;
        put_file(kernel_path, file, size);
        memset(ram, 0, 0x100000);
        if (boot_load(&req, &plan, &err) == OK)
            assert_true(plan.start.rip < RAM);
    }
    for (size_t cut = 1; cut < SETUP_BYTES + 0x200; cut += 61) {
        uint8_t *file = bzimage(&size);

        put_file(kernel_path, file, cut);
        assert_int_not_equal(boot_load(&req, &plan, &err), OK);
    }
}

/* ---- PVH ---------------------------------------------------------------------------------------
 */

struct pvh_image {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[3];
    struct {
        uint32_t namesz, descsz, type;
        char name[4];
        uint32_t entry;
    } note;
    uint8_t code[0x1000];
};

static struct pvh_image pvh_image(void)
{
    struct pvh_image p = {0};

    memcpy(p.eh.e_ident, ELFMAG, SELFMAG);
    p.eh.e_ident[EI_CLASS] = ELFCLASS64;
    p.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    p.eh.e_phoff = offsetof(struct pvh_image, ph);
    p.eh.e_phnum = 3;
    p.eh.e_phentsize = sizeof(Elf64_Phdr);
    p.ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                           .p_offset = offsetof(struct pvh_image, code),
                           .p_paddr = 0x200000,
                           .p_filesz = 0x900,
                           .p_memsz = 0x900};
    p.ph[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                           .p_offset = offsetof(struct pvh_image, code) + 0x900,
                           .p_paddr = 0x200900, /* shares a page with the first */
                           .p_filesz = 0x100,
                           .p_memsz = 0x5000};
    p.ph[2] = (Elf64_Phdr){.p_type = PT_NOTE,
                           .p_offset = offsetof(struct pvh_image, note),
                           .p_filesz = sizeof(p.note)};
    p.note.namesz = 4;
    p.note.descsz = 4;
    p.note.type = 18;
    memcpy(p.note.name, "Xen", 4);
    p.note.entry = 0x200010;
    memset(p.code, 0x90, sizeof(p.code));
    return p;
}

static void pvh_gets_its_start_info(void **state)
{
    struct pvh_image p = pvh_image();
    struct boot_request req = request();
    struct boot_plan plan;
    const uint8_t *info;

    put_file(kernel_path, &p, sizeof(p));
    put_file(initrd_path, "module", 6);
    req.initrd = initrd_path;
    memset(ram, 0, RAM);
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_string_equal(plan.format, "PVH ELF");
    assert_false(plan.start.long_mode);
    assert_int_equal(plan.start.rip, 0x200010);
    assert_memory_equal(ram + 0x200000, p.code, 0xA00);
    assert_true(launched(&plan, 0x200000, 0x5900));
    info = ram + plan.start.rbx;
    assert_int_equal(load32(info), 0x336EC578);
    assert_int_equal(load32(info + 4), 1);
    assert_int_equal(load32(info + 12), 1);
    assert_memory_equal(ram + load64(ram + load64(info + 16)), "module", 6);
    assert_string_equal((char *)ram + load64(info + 24), "console=ttyS0");
    assert_int_equal(load64(info + 32), BOOT_ACPI_BASE);
    assert_int_equal(load32(ram + load64(info + 40) + 16), E820_RAM);
}

static void lying_elf_headers_are_refused(void **state)
{
    struct boot_request req = request();
    struct pvh_image p = pvh_image();

    p.ph[0].p_filesz = UINT64_MAX - 8;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "outside the file");
    p = pvh_image();
    p.ph[1].p_paddr = UINT64_MAX - 0x100;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "not in the guest's memory");
    p = pvh_image();
    p.ph[1].p_memsz = 8;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "smaller in memory");
    p = pvh_image();
    p.ph[0].p_paddr = BOOT_ACPI_BASE;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "lies on its ACPI tables");
    p = pvh_image();
    p.eh.e_phoff = UINT64_MAX - 100;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "program headers");
    p = pvh_image();
    p.note.namesz = UINT32_MAX;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "neither a PVH entry note");
    p = pvh_image();
    p.note.entry = UINT32_MAX;
    put_file(kernel_path, &p, sizeof(p));
    must_refuse(&req, "its PVH entry");
}

/* ---- multiboot ---------------------------------------------------------------------------------
 */

static void mb_header(uint8_t *at, uint32_t flags)
{
    store32(at, 0x1BADB002);
    store32(at + 4, flags);
    store32(at + 8, -(0x1BADB002 + flags));
}

static void multiboot_with_its_own_addresses(void **state)
{
    uint8_t file[0x2000];
    char modules[128];
    struct boot_request req = request();
    struct boot_plan plan;
    const uint8_t *info, *mods;

    for (size_t i = 0; i < sizeof(file); i++)
        file[i] = (uint8_t)i;
    mb_header(file + 0x40, 1u << 16);
    store32(file + 0x4C, 0x100040); /* header */
    store32(file + 0x50, 0x100000);
    store32(file + 0x54, 0x101000);
    store32(file + 0x58, 0x108000);
    store32(file + 0x5C, 0x100020);
    put_file(kernel_path, file, sizeof(file));
    put_file(initrd_path, "MODULE", 6);
    snprintf(modules, sizeof(modules), "%s one two,%s", initrd_path, initrd_path);
    req.initrd = modules;
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_string_equal(plan.format, "multiboot");
    assert_int_equal(plan.start.rip, 0x100020);
    assert_int_equal(plan.start.rax, 0x2BADB002);
    assert_memory_equal(ram + 0x100000, file, 0x1000);
    assert_true(launched(&plan, 0x100000, 0x8000));
    info = ram + plan.start.rbx;
    assert_true(load32(info) & 1);
    assert_int_equal(load32(info + 8), (RAM >> 10) - 1024);
    assert_int_equal(load32(info + 20), 2);
    mods = ram + load32(info + 24);
    assert_memory_equal(ram + load32(mods), "MODULE", 6);
    assert_int_equal(load32(mods + 4) - load32(mods), 6);
    assert_non_null(strstr((char *)ram + load32(mods + 8), " one two"));
    assert_true(load32(mods + 16) >= 0x108000);
    assert_non_null(strstr((char *)ram + load32(info + 16), " console=ttyS0"));
    assert_int_equal(load32(ram + load32(info + 48)), 20);
}

static void multiboot_elf_is_loaded_by_its_segments(void **state)
{
    struct {
        Elf32_Ehdr eh;
        Elf32_Phdr ph;
        uint8_t header[12];
        uint8_t code[64];
    } e = {0};
    struct boot_request req = request();
    struct boot_plan plan;

    memcpy(e.eh.e_ident, ELFMAG, SELFMAG);
    e.eh.e_ident[EI_CLASS] = ELFCLASS32;
    e.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    e.eh.e_entry = 0x400000;
    e.eh.e_phoff = sizeof(e.eh);
    e.eh.e_phnum = 1;
    e.eh.e_phentsize = sizeof(e.ph);
    e.ph = (Elf32_Phdr){.p_type = PT_LOAD,
                        .p_offset = offsetof(typeof(e), code),
                        .p_paddr = 0x400000,
                        .p_filesz = 64,
                        .p_memsz = 128};
    mb_header(e.header, 3);
    memset(e.code, 0xF4, sizeof(e.code));
    put_file(kernel_path, &e, sizeof(e));
    must_load(&req, &plan);
    regions_are_orderly(&plan);
    assert_int_equal(plan.start.rip, 0x400000);
    assert_memory_equal(ram + 0x400000, e.code, 64);
    mb_header(e.header, 8);
    put_file(kernel_path, &e, sizeof(e));
    must_refuse(&req, "features");
}

static void lying_multiboot_addresses_are_refused(void **state)
{
    static const struct {
        uint32_t header, load, load_end, bss_end, entry;
        const char *words;
    } lies[] = {
        {0x100040, 0x200000, 0, 0, 0x100020, "before the loaded part"},
        {0x100041, 0x100000, 0, 0, 0x100020, "before the loaded part"},
        {0x100040, 0x100000, 0xFFFFFFFF, 0, 0x100020, "more than the file has"},
        {0x100040, 0x100000, 0x80000, 0, 0x100020, "more than the file has"},
        {0x100040, 0x100000, 0x101000, 0x100800, 0x100020, "bss"},
        {0x100040, 0x100000, 0x101000, 0xFFFFF000, 0x100020, "--memory"},
        {0x100040, 0x100000, 0x101000, 0, 0xFFFFFFF0, "entry"},
    };
    struct boot_request req = request();

    for (size_t i = 0; i < COUNT(lies); i++) {
        uint8_t file[0x2000] = {0};

        mb_header(file + 0x40, 1u << 16);
        memcpy(file + 0x4C, &lies[i], 20);
        put_file(kernel_path, file, sizeof(file));
        must_refuse(&req, lies[i].words);
    }
}

/* ---- neither -----------------------------------------------------------------------------------
 */

static void other_files_are_named_for_what_they_are(void **state)
{
    struct boot_request req = request();

    put_file(kernel_path, "#!/bin/sh\n", 10);
    must_refuse(&req, "is not a bzImage, PVH ELF or multiboot image (its first bytes are 23 21 2f");
    put_file(kernel_path, "", 0);
    must_refuse(&req, "the file is empty");
    req.kernel = "/nonexistent/vmlinuz";
    must_refuse(&req, "No such file or directory");
    req.kernel = "/tmp";
    must_refuse(&req, "not a regular file");
}

static int set_up(void **state)
{
    int a = mkstemp(kernel_path), b = mkstemp(initrd_path);

    ram = malloc(RAM);
    if (a < 0 || b < 0 || !ram)
        return -1;
    close(a);
    close(b);
    return 0;
}

static int tear_down(void **state)
{
    free(ram);
    unlink(kernel_path);
    unlink(initrd_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_gets_its_zero_page_and_its_64_bit_entry),
        cmocka_unit_test(linux_without_a_64_bit_entry_starts_in_32_bits),
        cmocka_unit_test(lying_linux_headers_are_refused),
        cmocka_unit_test(a_preference_outside_memory_is_not_insisted_on),
        cmocka_unit_test(an_initrd_that_does_not_fit_is_refused),
        cmocka_unit_test(no_header_byte_is_trusted),
        cmocka_unit_test(pvh_gets_its_start_info),
        cmocka_unit_test(lying_elf_headers_are_refused),
        cmocka_unit_test(multiboot_with_its_own_addresses),
        cmocka_unit_test(multiboot_elf_is_loaded_by_its_segments),
        cmocka_unit_test(lying_multiboot_addresses_are_refused),
        cmocka_unit_test(other_files_are_named_for_what_they_are),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
