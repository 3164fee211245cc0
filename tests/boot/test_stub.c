/* The boot stub of SEV-SNP guests, argv[1], starts a kernel that is what was launched, in memory
 * that it has validated itself, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

#include <cmocka.h> /* last: it has a macro named fail */

#define MIB    (UINT64_C(1) << 20)
#define KERNEL MIB     /* where the loader puts it */
#define INITRD 0x3000u /* bytes, three pages */
#define MEMORY (16 * MIB)

static const char *stub;
static char kernel_path[] = "/tmp/lucca-stub-XXXXXX";
static char initrd_path[sizeof(kernel_path) + 8];

/* At the 64-bit entry of a bzImage: writes to the first byte of the memory that RSI (boot_params)
 * says nothing of, 8 MiB, and ends with reason set 7, code 42h: mov byte [800000h], 1;
 * mov ecx, C0010130h; mov eax, 00427100h; xor edx, edx; wrmsr; vmgexit; hlt. */
static const uint8_t code[] = {0xC6, 0x04, 0x25, 0x00, 0x00, 0x80, 0x00, 0x01, 0xB9,
                               0x30, 0x01, 0x01, 0xC0, 0xB8, 0x00, 0x71, 0x42, 0x00,
                               0x31, 0xD2, 0x0F, 0x30, 0xF3, 0x0F, 0x01, 0xD9, 0xF4};

/* A bzImage of protocol 2.15: one sector of setup, 3 pages and some bytes that run at 64 bits. */
static void put_kernel(void)
{
    static uint8_t image[1024 + 0x3010];
    FILE *f = fopen(kernel_path, "w");

    assert_non_null(f);
    image[0x1F1] = 1;
    store32(image + 0x1F4, (sizeof(image) - 1024) / 16);
    store16(image + 0x1FE, 0xAA55);
    image[0x201] = 0x6A;
    memcpy(image + 0x202, "HdrS", 4);
    store16(image + 0x206, 0x020F);
    image[0x211] = 1;
    store32(image + 0x22C, 0x7FFFFFFF);
    store32(image + 0x230, 0x100000);
    image[0x234] = 1;
    store16(image + 0x236, 1);
    store32(image + 0x238, 255);
    store64(image + 0x258, KERNEL);
    store32(image + 0x260, 0x4000);
    memcpy(image + 1024 + 0x200, code, sizeof(code));
    assert_int_equal(fwrite(image, sizeof(image), 1, f), 1);
    fclose(f);
}

static void put_initrd(void)
{
    static uint8_t bytes[INITRD];
    FILE *f = fopen(initrd_path, "w");

    assert_non_null(f);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(fwrite(bytes, sizeof(bytes), 1, f), 1);
    fclose(f);
}

struct rig {
    struct host *host;
    struct vm *vm;
};

static void launch(struct rig *r, const char *initrd)
{
    const struct host_config hc = {.chip = chip_by_id(CHIP_MILAN),
                                   .memory = host_memory_for(MEMORY, 1),
                                   .cores = 1,
                                   .clock = CLOCK_VIRTUAL,
                                   .snp = true};
    const struct vm_config cfg = {.name = "careful",
                                  .memory = MEMORY,
                                  .vcpus = 1,
                                  .sev = SEV_SNP,
                                  .policy = 0x30000,
                                  .kernel = kernel_path,
                                  .initrd = initrd,
                                  .boot_stub = stub,
                                  .paused = true};
    struct error err = {0};

    if (host_new(&hc, &r->host, &err) != OK || vm_new(r->host, &cfg, &r->vm, &err) != OK)
        fail_msg("%s", err.text);
}

/* How it ends; then all is over. */
static void ends(struct rig *r, const char *why)
{
    struct error err = {0};

    if (vm_resume(r->vm, &err) != OK)
        fail_msg("%s", err.text);
    host_run(r->host);
    assert_int_equal(vm_fate(r->vm)->fate, FATE_CRASH);
    if (!strstr(vm_fate(r->vm)->why, why))
        fail_msg("'%s' does not say '%s'", vm_fate(r->vm)->why, why);
    vm_free(r->vm);
    host_free(r->host);
}

static void change(struct rig *r, uint64_t gpa)
{
    uint8_t byte = 0;

    assert_true(vm_read_phys(r->vm, gpa, &byte, 1));
    byte ^= 0x10;
    assert_true(vm_write_phys(r->vm, gpa, &byte, 1));
}

static void what_was_launched_starts(void **state)
{
    struct rig r;

    launch(&r, NULL);
    ends(&r, "set 7, code 66");
    launch(&r, initrd_path);
    ends(&r, "set 7, code 66");
}

static void a_changed_file_does_not(void **state)
{
    /* The kernel's first and last byte, and the initrd's, which is at the end of memory. */
    static const uint64_t where[] = {KERNEL, KERNEL + 0x300F, MEMORY - INITRD, MEMORY - 1};

    for (size_t i = 0; i < COUNT(where); i++) {
        struct rig r;

        launch(&r, initrd_path);
        change(&r, where[i]);
        ends(&r, "set 5, code 4");
    }
}

/* The host cannot hand over less than it has said: a page of its own where the guest's should be is
 * none that the guest can validate. */
static void memory_that_the_host_keeps_is_missed(void **state)
{
    struct rig r;

    launch(&r, NULL);
    assert_true(rmp_make_shared(r.vm, 12 * MIB, true));
    ends(&r, "vCPU 0");
}

/* The digest that proves it is about the stub and its list, whatever the memory. */
static void only_small_things_are_measured(void **state)
{
    struct rig r;
    unsigned shared = 0;

    launch(&r, initrd_path);
    for (uint64_t gpa = 0; gpa < MEMORY; gpa += PAGE)
        shared += !rmp_is_private(r.vm, gpa);
    assert_int_equal(shared, 4 + INITRD / PAGE);
    vm_free(r.vm);
    host_free(r.host);
}

static int set_up(void **state)
{
    int fd = mkstemp(kernel_path);

    if (fd < 0)
        return -1;
    snprintf(initrd_path, sizeof(initrd_path), "%s.initrd", kernel_path);
    put_kernel();
    put_initrd();
    return close(fd);
}

static int tear_down(void **state)
{
    unlink(initrd_path);
    return unlink(kernel_path);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_launched_starts),
        cmocka_unit_test(a_changed_file_does_not),
        cmocka_unit_test(memory_that_the_host_keeps_is_missed),
        cmocka_unit_test(only_small_things_are_measured),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_stub STUB\n");
        return 1;
    }
    stub = argv[1];
    return cmocka_run_group_tests_name("stub", tests, set_up, tear_down);
}
