/* Guests of a few instructions on the whole machine: what they say, how they end, what the host
 * sees of them, and what is refused. */
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

#define MIB  (UINT64_C(1) << 20)
#define LOAD 0x100000u

static char kernel_path[] = "/tmp/lucca-vm-XXXXXX";

/* ---- a serial port that is remembered ----------------------------------------------------------
 */

struct tape {
    struct chardev chr;
    char text[64];
    size_t n;
};

static void tape_put(void *backend, const uint8_t *bytes, size_t n)
{
    struct tape *t = backend;

    for (size_t i = 0; i < n && t->n + 1 < sizeof(t->text); i++)
        t->text[t->n++] = (char)bytes[i];
}

static struct tape *tape_new(void)
{
    struct tape *t = calloc(1, sizeof(*t));

    t->chr = (struct chardev){.put = tape_put, .backend = t};
    return t;
}

/* ---- guests ------------------------------------------------------------------------------------
 */

/* A multiboot image of 32-bit code that starts right after its header. */
static void put_kernel(const uint8_t *code, size_t len)
{
    uint8_t image[512] = {0};
    const uint32_t header[] = {0x1BADB002, BIT(16),    -(0x1BADB002 + (uint32_t)BIT(16)),
                               LOAD,       LOAD,       LOAD + sizeof(image),
                               0,          LOAD + 0x20};
    FILE *f = fopen(kernel_path, "w");

    assert_non_null(f);
    memcpy(image, header, sizeof(header));
    memcpy(image + 0x20, code, len);
    assert_int_equal(fwrite(image, 1, sizeof(image), f), sizeof(image));
    fclose(f);
}

#define OUT_3F8(c)                                                                                 \
    0x66, 0xBA, 0xF8, 0x03, 0xB0, (c), 0xEE /* mov dx, 3F8h; mov al, c; out dx, al                 \
                                             */
#define EXIT(n) 0xB0, (n), 0xE6, 0xF4       /* mov al, n; out F4h, al */
static const uint8_t says_hi[] = {OUT_3F8('H'), OUT_3F8('i'), EXIT(0x10), 0xF4};
static const uint8_t says_ho[] = {OUT_3F8('H'), OUT_3F8('o'), EXIT(0x11), 0xF4};
static const uint8_t faults[] = {0x0F, 0x01, 0x1D, 0, 0, 0, 0, 0x0F, 0x0B}; /* lidt [0]; ud2 */
static const uint8_t halts[] = {0xFA, 0xF4};                                /* cli; hlt */
static const uint8_t resets[] = {OUT_3F8('R'), 0x66, 0xBA, 0xF9, 0x0C, 0xB0, 0x06, 0xEE, 0xF4};
/* fld of device memory: an instruction that no emulator of moves knows */
static const uint8_t floats_on_a_device[] = {0xDB, 0xE3, 0xD9, 0x05, 0x00, 0x00, 0xC0, 0xFE};

/* mov edi, 180000h; mov eax, 44434241h; mov ecx, 16; rep stosd */
static const uint8_t fills[] = {0xBF, 0x00, 0x00, 0x18, 0x00, 0xB8, 0x41, 0x42, 0x43,
                                0x44, 0xB9, 0x10, 0x00, 0x00, 0x00, 0xF3, 0xAB, EXIT(0)};
/* mov esi, LOAD + 100h; mov ecx, 48; mov dx, 3F8h; l: lodsb; out dx, al; loop l */
static const uint8_t prints_its_data[] = {0xBE, 0x00, 0x01, 0x10, 0x00,   0xB9, 0x30,
                                          0x00, 0x00, 0x00, 0x66, 0xBA,   0xF8, 0x03,
                                          0xAC, 0xEE, 0xE2, 0xFC, EXIT(0)};

/* mov esi, LOAD + 60h; mov ecx, 5; mov dx, 3F8h; rep outsb */
static const uint8_t prints_by_string[] = {
    0xBE, 0x60, 0x00, 0x10, 0x00, 0xB9,    0x05,         0x00, 0x00, 0x00, 0x66,
    0xBA, 0xF8, 0x03, 0xF3, 0x6E, EXIT(0), [0x40] = 'p', 'o',  'r',  't',  's'};

/* mov esp, 400000h; a gate for #UD to the last instruction; lidt; rsm: #VMEXIT, #UD, #VMEXIT ... */
static const uint8_t exits_for_ever[] = {
    0xBC, 0x00, 0x00, 0x40, 0x00, 0xC7, 0x05, 0x30, 0x00, 0x18, 0x00, 0x40, 0x00, 0x10,
    0x00, 0xC7, 0x05, 0x34, 0x00, 0x18, 0x00, 0x00, 0x8E, 0x10, 0x00, 0x0F, 0x01, 0x1D,
    0x42, 0x00, 0x10, 0x00, 0x0F, 0xAA, 0xFF, 0xFF, 0x00, 0x00, 0x18, 0x00};

static struct host *new_host(const char *chip, unsigned guests)
{
    const struct host_config cfg = {.chip = chip_by_name(chip),
                                    .memory = guests * host_memory_for(4 * MIB, 1),
                                    .cores = guests,
                                    .clock = CLOCK_VIRTUAL};
    struct error err = {0};
    struct host *h = NULL;

    if (host_new(&cfg, &h, &err) != OK)
        fail_msg("%s", err.text);
    return h;
}

static struct vm_config config(enum sev_level sev, struct tape *t)
{
    return (struct vm_config){.name = "test",
                              .memory = 4 * MIB,
                              .vcpus = 1,
                              .sev = sev,
                              .policy = 1,
                              .kernel = kernel_path,
                              .serial = {t ? &t->chr : NULL},
                              .debug_exit = true};
}

static struct vm *new_vm(struct host *h, const struct vm_config *cfg)
{
    struct error err = {0};
    struct vm *vm = NULL;

    if (vm_new(h, cfg, &vm, &err) != OK)
        fail_msg("%s", err.text);
    return vm;
}

static void a_guest_speaks_and_chooses_its_status(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct tape *t = tape_new();
        struct vm_config cfg = config((enum sev_level)sev, t);
        struct vm *vm;

        put_kernel(says_hi, sizeof(says_hi));
        vm = new_vm(h, &cfg);
        host_run(h);
        assert_int_equal(vm_state(vm), VM_ENDED);
        assert_int_equal(vm_fate(vm)->fate, FATE_EXIT);
        assert_int_equal(vm_fate(vm)->code, 0x21);
        assert_string_equal(t->text, "Hi");
        vm_free(vm);
        host_free(h);
        free(t);
    }
}

static void the_host_sees_a_kernel_only_without_sev(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct vm_config cfg = config((enum sev_level)sev, NULL);
        uint8_t seen[sizeof(says_hi)];
        struct vm *vm;

        put_kernel(says_hi, sizeof(says_hi));
        cfg.paused = true;
        vm = new_vm(h, &cfg);
        assert_true(vm_read_phys(vm, LOAD + 0x20, seen, sizeof(seen)));
        assert_int_equal(!memcmp(seen, says_hi, sizeof(seen)), sev == SEV_OFF);
        vm_free(vm);
        host_free(h);
    }
}

static void stop_host(void *ctx, struct vm *vm, enum vm_event event)
{
    if (event == VM_EVENT_END)
        host_stop(ctx);
}

static void a_guest_that_only_exits_leaves_room_for_others(void **state)
{
    struct host *h = new_host("genoa", 2);
    struct vm_config cfg = config(SEV_OFF, NULL);
    struct vm_listener l = {.fn = stop_host, .ctx = h};
    struct vm *busy, *other;

    put_kernel(exits_for_ever, sizeof(exits_for_ever));
    busy = new_vm(h, &cfg);
    put_kernel(says_hi, sizeof(says_hi));
    other = new_vm(h, &cfg);
    vm_listen(other, &l);
    host_run(h);
    assert_int_equal(vm_fate(other)->fate, FATE_EXIT);
    assert_int_equal(vm_state(busy), VM_RUNNING);
    vm_free(other);
    vm_free(busy);
    host_free(h);
}

/* A device has nothing but the host's view: of a private page it gets noise. */
static void a_device_reads_private_memory_as_noise(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct vm_config cfg = config((enum sev_level)sev, NULL);
        char got[64];
        struct vm *vm;

        put_kernel(fills, sizeof(fills));
        vm = new_vm(h, &cfg);
        host_run(h);
        assert_int_equal(vm_fate(vm)->fate, FATE_EXIT);
        assert_true(dma_read(vm_board(vm), 0x180000, got, sizeof(got)));
        for (unsigned i = 0; i < sizeof(got); i += 16)
            assert_int_equal(!memcmp(got + i, "ABCDABCDABCDABCD", 16), sev == SEV_OFF);
        vm_free(vm);
        host_free(h);
    }
}

/* A host that writes into a private page hurts the 16-byte block that it touches, and no other. */
static void a_host_write_damages_one_block(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct tape *t = tape_new();
        struct vm_config cfg = config((enum sev_level)sev, t);
        char want[48] = {0};
        struct vm *vm;

        put_kernel(prints_its_data, sizeof(prints_its_data));
        cfg.paused = true;
        vm = new_vm(h, &cfg);
        want[16 + 3] = (char)0xEE;
        assert_true(vm_write_phys(vm, LOAD + 0x100 + 16 + 3, &want[16 + 3], 1));
        assert_int_equal(vm_resume(vm, NULL), OK);
        host_run(h);
        assert_int_equal(t->n, 48);
        assert_memory_equal(t->text, want, 16);
        assert_memory_equal(t->text + 32, want + 32, 16);
        if (sev == SEV_OFF)
            assert_memory_equal(t->text + 16, want + 16, 16);
        else
            assert_memory_not_equal(t->text + 16, want + 16, 16);
        vm_free(vm);
        host_free(h);
        free(t);
    }
}

static void quit_soon(void *ctx)
{
    vm_quit(ctx);
}

/* Another guest's ASID is another key: the first instruction fetched is noise. */
static void the_wrong_asid_runs_noise(void **state)
{
    struct host *h = new_host("genoa", 2);
    struct tape *t = tape_new();
    struct vm_config mine = config(SEV_PLAIN, t), other = config(SEV_PLAIN, NULL);
    struct vm *a, *b;
    struct timer guard;

    put_kernel(says_hi, sizeof(says_hi));
    a = new_vm(h, &mine);
    other.paused = true;
    b = new_vm(h, &other);
    assert_int_equal(vm_resume(b, NULL), OK); /* its key is active, but it does not run */
    vm_pause(b);
    a->vcpu[0].vmcb.control.asid = b->asid;
    timer_init(&guard, vm_board(a), quit_soon, a); /* noise may happen to loop */
    timer_arm(&guard, 1000000);
    vm_quit(b);
    host_run(h);
    assert_int_not_equal(vm_fate(a)->fate, FATE_EXIT);
    assert_string_equal(t->text, "");
    vm_free(a);
    vm_free(b);
    host_free(h);
    free(t);
}

static void guests_share_a_host_and_nothing_else(void **state)
{
    struct host *h = new_host("genoa", 2);
    struct tape *ta = tape_new(), *tb = tape_new();
    struct vm_config ca = config(SEV_PLAIN, ta), cb = config(SEV_PLAIN, tb);
    struct sev_info ia, ib;
    struct vm *a, *b;

    put_kernel(says_hi, sizeof(says_hi));
    a = new_vm(h, &ca);
    put_kernel(says_ho, sizeof(says_ho));
    b = new_vm(h, &cb);
    assert_int_equal(vm_sev_info(a, &ia, NULL), OK);
    assert_int_equal(vm_sev_info(b, &ib, NULL), OK);
    assert_int_not_equal(ia.asid, ib.asid);
    assert_int_not_equal(ia.handle, ib.handle);
    host_run(h);
    assert_string_equal(ta->text, "Hi");
    assert_string_equal(tb->text, "Ho");
    assert_int_equal(vm_fate(b)->code, 0x23);
    vm_free(a);
    vm_free(b);
    host_free(h);
    free(ta);
    free(tb);
}

static void crash_says(const uint8_t *code, size_t len, const char *words)
{
    struct host *h = new_host("genoa", 1);
    struct vm_config cfg = config(SEV_OFF, NULL);
    struct vm *vm;

    put_kernel(code, len);
    vm = new_vm(h, &cfg);
    host_run(h);
    assert_int_equal(vm_fate(vm)->fate, FATE_CRASH);
    if (!strstr(vm_fate(vm)->why, words))
        fail_msg("'%s' does not say '%s'", vm_fate(vm)->why, words);
    vm_free(vm);
    host_free(h);
}

static void a_crash_has_a_reason_and_a_place(void **state)
{
    crash_says(faults, sizeof(faults), "triple fault on vCPU 0 at RIP 0010:100027");
    crash_says(floats_on_a_device, sizeof(floats_on_a_device), "bytes d9 05 00 00 c0 fe");
}

static void string_io_needs_memory_that_the_host_can_read(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct tape *t = tape_new();
        struct vm_config cfg = config((enum sev_level)sev, t);
        struct vm *vm;

        put_kernel(prints_by_string, sizeof(prints_by_string));
        vm = new_vm(h, &cfg);
        host_run(h);
        assert_string_equal(t->text, sev == SEV_OFF ? "ports" : "");
        if (sev != SEV_OFF)
            assert_non_null(strstr(vm_fate(vm)->why, "OUTS on port 03f8 at RIP 10002e"));
        vm_free(vm);
        host_free(h);
        free(t);
    }
}

static void a_guest_that_can_never_wake_has_ended(void **state)
{
    struct host *h = new_host("genoa", 1);
    struct vm_config cfg = config(SEV_OFF, NULL);
    struct vm *vm;

    put_kernel(halts, sizeof(halts));
    vm = new_vm(h, &cfg);
    host_run(h);
    assert_int_equal(vm_fate(vm)->fate, FATE_POWEROFF);
    vm_free(vm);
    host_free(h);
}

static void count_resets(void *ctx, struct vm *vm, enum vm_event event)
{
    int *n = ctx;

    if (event == VM_EVENT_RESET && ++*n == 3)
        vm_quit(vm);
}

static void a_reset_launches_anew(void **state)
{
    for (int sev = SEV_OFF; sev <= SEV_PLAIN; sev++) {
        struct host *h = new_host("genoa", 1);
        struct tape *t = tape_new();
        struct vm_config cfg = config((enum sev_level)sev, t);
        int resets_seen = 0;
        struct vm_listener l = {.fn = count_resets, .ctx = &resets_seen};
        struct vm *vm;

        put_kernel(resets, sizeof(resets));
        vm = new_vm(h, &cfg);
        vm_listen(vm, &l);
        host_run(h);
        assert_int_equal(resets_seen, 3);
        assert_string_equal(t->text, "RRR");
        vm_free(vm);
        host_free(h);
        free(t);
    }
}

static void no_reboot_ends_at_a_reset(void **state)
{
    struct host *h = new_host("genoa", 1);
    struct tape *t = tape_new();
    struct vm_config cfg = config(SEV_OFF, t);
    struct vm *vm;

    cfg.no_reboot = true;
    put_kernel(resets, sizeof(resets));
    vm = new_vm(h, &cfg);
    host_run(h);
    assert_string_equal(t->text, "R");
    vm_free(vm);
    host_free(h);
    free(t);
}

static void refused(struct host *h, const struct vm_config *cfg, const char *words)
{
    struct error err = {0};
    struct vm *vm = NULL;

    assert_int_not_equal(vm_new(h, cfg, &vm, &err), OK);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

static void asids_run_out_and_come_back(void **state)
{
    const unsigned asids = chip_by_name("naples")->sev_asids; /* and the lowest is 1 */
    struct host *h = new_host("naples", asids + 1);
    struct vm_config cfg = config(SEV_PLAIN, NULL);
    struct vm *vm[16] = {0};

    put_kernel(halts, sizeof(halts));
    assert_int_equal(asids, 15);
    for (unsigned i = 0; i < asids; i++)
        vm[i] = new_vm(h, &cfg);
    refused(h, &cfg, "naples has 15 for SEV guests (1 to 15)");
    vm_free(vm[7]);
    vm[7] = new_vm(h, &cfg);
    for (unsigned i = 0; i < asids; i++)
        vm_free(vm[i]);
    host_free(h);
}

static void what_a_chip_lacks_is_named(void **state)
{
    struct host *rome = new_host("rome", 1), *genoa = new_host("genoa", 1);
    struct vm_config snp = config(SEV_SNP, NULL), es = config(SEV_ES, NULL);
    struct vm_config big = config(SEV_OFF, NULL), odd = config(SEV_OFF, NULL);

    refused(rome, &snp, "rome has SEV and SEV-ES but no SEV-SNP; use --chip milan, genoa or turin");
    refused(rome, &es, "is not one of SEV-ES, which has bit 2");
    es.policy = 5;
    es.host_data = (const uint8_t *)kernel_path;
    refused(rome, &es, "are for --sev snp");
    refused(genoa, &snp, "the host was started without SEV-SNP");
    big.memory = 64 * MIB;
    refused(genoa, &big, "are more than the");
    odd.memory = 3 * MIB;
    refused(genoa, &odd, "multiple of 2 MiB");
    odd = config(SEV_PLAIN, NULL);
    odd.dh_cert = kernel_path;
    refused(genoa, &odd, "go together");
    odd.session = kernel_path;
    refused(genoa, &odd, "expected 2084 bytes");
    host_free(rome);
    host_free(genoa);
}

static void a_launch_is_measured_and_takes_secrets_only_then(void **state)
{
    struct host *h = new_host("genoa", 1);
    struct vm_config cfg = config(SEV_PLAIN, NULL);
    uint8_t header[0x34] = {0}, secret[32] = {0}, measure[SEV_MEASUREMENT_BYTES];
    struct sev_info info;
    struct error err = {0};
    struct vm *vm;

    cfg.paused = true;
    put_kernel(halts, sizeof(halts));
    vm = new_vm(h, &cfg);
    assert_int_equal(vm_state(vm), VM_PRELAUNCH);
    assert_int_equal(vm_sev_measurement(vm, measure, &err), OK);
    assert_int_equal(vm_sev_info(vm, &info, &err), OK);
    assert_int_equal(info.state, 2);
    assert_int_not_equal(vm_sev_secret(vm, header, 51, secret, 32, LOAD, &err), OK);
    assert_non_null(strstr(err.text, "has 52 bytes, not 51"));
    assert_int_not_equal(vm_sev_secret(vm, header, 52, secret, 31, LOAD, &err), OK);
    assert_non_null(strstr(err.text, "multiple of 16"));
    assert_int_not_equal(vm_sev_secret(vm, header, 52, secret, 32, 64 * MIB, &err), OK);
    assert_non_null(strstr(err.text, "not guest memory"));
    /* Nobody has the launch's keys, so nobody can seal a packet for it. */
    assert_int_not_equal(vm_sev_secret(vm, header, 52, secret, 32, LOAD, &err), OK);
    assert_non_null(strstr(err.text, "BAD_MEASUREMENT"));
    assert_int_equal(vm_resume(vm, &err), OK);
    assert_int_equal(vm_sev_info(vm, &info, &err), OK);
    assert_int_equal(info.state, 3);
    assert_int_not_equal(vm_sev_secret(vm, header, 52, secret, 32, LOAD, &err), OK);
    assert_non_null(strstr(err.text, "before the guest starts"));
    vm_free(vm);
    host_free(h);
}

/* The kernel is in it where the regions before it end, and an address has its own bytes. */
static void the_launch_image_is_what_was_launched(void **state)
{
    struct host *h = new_host("genoa", 1);
    struct vm_config cfg = config(SEV_PLAIN, NULL);
    char path[sizeof(kernel_path) + 8], part[sizeof(path) + 8];
    uint8_t *image = calloc(1, 4 * MIB);
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s.image", kernel_path);
    snprintf(part, sizeof(part), "%s.part", path);
    put_kernel(says_hi, sizeof(says_hi));
    cfg.launch_image = path;
    vm_free(new_vm(h, &cfg));
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(image, 1, 4 * MIB, f);
    fclose(f);
    assert_int_equal(n % 4096, 0);
    assert_non_null(memmem(image, n, says_hi, sizeof(says_hi)));
    assert_int_equal(access(part, F_OK), -1);
    unlink(path);
    cfg.launch_image = "/nonexistent/image";
    refused(h, &cfg, "No such file");
    host_free(h);
    free(image);
}

static int set_up(void **state)
{
    int fd = mkstemp(kernel_path);

    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    return unlink(kernel_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_speaks_and_chooses_its_status),
        cmocka_unit_test(the_host_sees_a_kernel_only_without_sev),
        cmocka_unit_test(a_guest_that_only_exits_leaves_room_for_others),
        cmocka_unit_test(a_device_reads_private_memory_as_noise),
        cmocka_unit_test(a_host_write_damages_one_block),
        cmocka_unit_test(the_wrong_asid_runs_noise),
        cmocka_unit_test(the_launch_image_is_what_was_launched),
        cmocka_unit_test(guests_share_a_host_and_nothing_else),
        cmocka_unit_test(a_crash_has_a_reason_and_a_place),
        cmocka_unit_test(string_io_needs_memory_that_the_host_can_read),
        cmocka_unit_test(a_guest_that_can_never_wake_has_ended),
        cmocka_unit_test(a_reset_launches_anew),
        cmocka_unit_test(no_reboot_ends_at_a_reset),
        cmocka_unit_test(asids_run_out_and_come_back),
        cmocka_unit_test(what_a_chip_lacks_is_named),
        cmocka_unit_test(a_launch_is_measured_and_takes_secrets_only_then),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
