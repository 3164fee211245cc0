/* Guests with encrypted state from their launch to their end, as the hypervisor drives it: what
 * they begin with, whose their memory is, what is refused, and that all of it comes back. */
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
#include "silicon/vmsa.h"

#include <cmocka.h> /* last: it has a macro named fail */

#define MIB       (UINT64_C(1) << 20)
#define LOAD      0x100000u
#define GUEST_MIB 8

static char kernel_path[] = "/tmp/lucca-launch-XXXXXX";
static char side_path[sizeof(kernel_path) + 8];

/* ---- guests -----------------------------------------------------------------------------------
 */

/* Ends itself by the GHCB's MSR protocol with reason set 7, code 42h: mov ecx, C0010130h;
 * mov eax, 00427100h; xor edx, edx; wrmsr; vmgexit; hlt. */
static const uint8_t terminates[] = {0xB9, 0x30, 0x01, 0x01, 0xC0, 0xB8, 0x00, 0x71, 0x42, 0x00,
                                     0x31, 0xD2, 0x0F, 0x30, 0xF3, 0x0F, 0x01, 0xD9, 0xF4};

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

static void put_side(const void *bytes, size_t len)
{
    FILE *f = fopen(side_path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static struct host *new_host(const char *chip, unsigned guests, bool snp)
{
    const struct host_config cfg = {.chip = chip_by_name(chip),
                                    .memory = guests * host_memory_for(GUEST_MIB * MIB, 2),
                                    .cores = 2 * guests,
                                    .clock = CLOCK_VIRTUAL,
                                    .snp = snp};
    struct error err = {0};
    struct host *h = NULL;

    if (host_new(&cfg, &h, &err) != OK)
        fail_msg("%s", err.text);
    return h;
}

static struct vm_config config(enum sev_level sev)
{
    static const uint64_t policies[] = {
        [SEV_OFF] = 1, [SEV_PLAIN] = 1, [SEV_ES] = 5, [SEV_SNP] = 0x30000};

    return (struct vm_config){.name = "test",
                              .memory = GUEST_MIB * MIB,
                              .vcpus = 2,
                              .sev = sev,
                              .policy = policies[sev],
                              .kernel = kernel_path,
                              .paused = true};
}

static struct vm *new_vm(struct host *h, const struct vm_config *cfg)
{
    struct error err = {0};
    struct vm *vm = NULL;

    if (vm_new(h, cfg, &vm, &err) != OK)
        fail_msg("%s", err.text);
    return vm;
}

static void refused(struct host *h, const struct vm_config *cfg, const char *words)
{
    struct error err = {0};
    struct vm *vm = NULL;

    assert_int_not_equal(vm_new(h, cfg, &vm, &err), OK);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not say '%s'", err.text, words);
}

/* Frames of DRAM that the host may not write: each is tried with the byte that it has. */
static uint64_t frames_of_others(struct host *h)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < h->frames; i++) {
        uint8_t byte = 0;

        assert_true(soc_read(h->soc, i * PAGE, &byte, 1));
        if (!soc_write(h->soc, i * PAGE, &byte, 1)) {
            assert_true(soc_rmp_fault(h->soc, NULL));
            n++;
        }
    }
    return n;
}

static void ends_itself(struct host *h, struct vm *vm)
{
    struct error err = {0};

    if (vm_resume(vm, &err) != OK)
        fail_msg("%s", err.text);
    host_run(h);
    assert_int_equal(vm_fate(vm)->fate, FATE_CRASH);
    if (!strstr(vm_fate(vm)->why, "set 7, code 66"))
        fail_msg("it ended otherwise: %s", vm_fate(vm)->why);
}

/* ---- cases ------------------------------------------------------------------------------------
 */

static void guests_with_encrypted_state_run(void **state)
{
    static const struct {
        const char *chip;
        enum sev_level sev;
    } cases[] = {{"rome", SEV_ES},   {"milan", SEV_ES},  {"milan", SEV_SNP},
                 {"genoa", SEV_SNP}, {"turin", SEV_SNP}, {"turin", SEV_ES}};

    put_kernel(terminates, sizeof(terminates));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct host *h = new_host(cases[i].chip, 1, cases[i].sev == SEV_SNP);
        struct vm_config cfg = config(cases[i].sev);
        struct vm *vm = new_vm(h, &cfg);

        assert_in_range(vm->asid, 1, h->chip->min_sev_asid - 1);
        ends_itself(h, vm);
        vm_free(vm);
        host_free(h);
    }
}

static void the_host_cannot_write_an_snp_guest(void **state)
{
    struct host *h = new_host("milan", 1, true);
    struct vm_config cfg = config(SEV_SNP);
    uint64_t free_before = host_free_frames(h), before = frames_of_others(h);
    uint8_t byte = 0;
    struct vm *vm;

    put_kernel(terminates, sizeof(terminates));
    assert_int_equal(before, rmp_bytes_for(h->frames * PAGE) / PAGE);
    vm = new_vm(h, &cfg);
    for (uint64_t gpa = 0; gpa < GUEST_MIB * MIB; gpa += PAGE) {
        assert_true(rmp_is_private(vm, gpa));
        assert_false(vm_write_phys(vm, gpa, &byte, 1));
    }
    /* Its memory, its context, its VMSA. */
    assert_int_equal(frames_of_others(h) - before, GUEST_MIB * MIB / PAGE + 2);
    ends_itself(h, vm);
    vm_free(vm);
    assert_int_equal(frames_of_others(h), before);
    assert_int_equal(host_free_frames(h), free_before);
    host_free(h);
}

static void nothing_of_a_guest_is_left_for_the_next(void **state)
{
    struct host *h = new_host("genoa", 1, true);
    struct vm_config snp = config(SEV_SNP), off = config(SEV_OFF);
    uint8_t page[PAGE];
    struct vm *vm;

    put_kernel(terminates, sizeof(terminates));
    vm_free(new_vm(h, &snp));
    vm = new_vm(h, &off);
    for (uint64_t gpa = 2 * MIB; gpa < GUEST_MIB * MIB; gpa += PAGE) {
        assert_true(vm_read_phys(vm, gpa, page, PAGE));
        for (size_t i = 0; i < PAGE; i++)
            assert_int_equal(page[i], 0);
    }
    vm_free(vm);
    host_free(h);
}

static void every_kind_of_guest_shares_a_host(void **state)
{
    struct host *h = new_host("genoa", 6, true);
    uint64_t before = frames_of_others(h), tmr = SEV_TMR_SNP / PAGE;
    struct vm *vm[5];

    put_kernel(terminates, sizeof(terminates));
    for (unsigned i = 0; i < COUNT(vm); i++) {
        struct vm_config cfg = config(i == 4 ? SEV_SNP : (enum sev_level)i);

        vm[i] = new_vm(h, &cfg);
    }
    assert_int_not_equal(vm[2]->asid, vm[3]->asid);
    assert_int_not_equal(vm[3]->asid, vm[4]->asid);
    /* The host runs until all have ended. */
    for (unsigned i = 0; i < COUNT(vm); i++)
        if (i < 2)
            vm_quit(vm[i]);
        else if (vm_resume(vm[i], NULL) != OK)
            fail_msg("guest %u does not start", i);
    host_run(h);
    for (unsigned i = 2; i < COUNT(vm); i++)
        assert_int_equal(vm_fate(vm[i])->fate, FATE_CRASH);
    for (unsigned i = 0; i < COUNT(vm); i++)
        vm_free(vm[i]);
    assert_int_equal(frames_of_others(h), before + tmr);
    host_free(h);
}

static void a_reset_launches_anew(void **state)
{
    put_kernel(terminates, sizeof(terminates));
    for (enum sev_level sev = SEV_ES; sev <= SEV_SNP; sev++) {
        struct host *h = new_host("milan", 1, true);
        struct vm_config cfg = config(sev);
        struct vm *vm = new_vm(h, &cfg);
        struct error err = {0};

        for (unsigned i = 0; i < 3; i++)
            if (vm_relaunch(vm, &err) != OK)
                fail_msg("%s", err.text);
        ends_itself(h, vm);
        vm_free(vm);
        host_free(h);
    }
}

static void a_launch_that_fails_leaves_nothing(void **state)
{
    struct host *h = new_host("milan", 1, true);
    struct vm_config good = config(SEV_SNP), cfg = good;
    uint64_t before = frames_of_others(h), free_before = host_free_frames(h);
    char auth_path[sizeof(side_path) + 8];
    uint8_t block[sizeof(struct snp_id_block)] = {0}, auth[sizeof(struct snp_id_auth)] = {0};
    FILE *f;

    put_kernel(terminates, sizeof(terminates));
    cfg.policy = 0;
    refused(h, &cfg, "is not one of SEV-SNP, which has bit 17");
    cfg.policy = UINT64_C(1) << 63 | 0x30000;
    refused(h, &cfg, "SNP_LAUNCH_START with");
    cfg.policy = 0x3FF00;
    refused(h, &cfg, "newer API");
    cfg = good;
    cfg.paused = false;
    snprintf(auth_path, sizeof(auth_path), "%s.auth", side_path);
    f = fopen(auth_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(auth, sizeof(auth), 1, f), 1);
    fclose(f);
    put_side(block, sizeof(block));
    cfg.id_block = side_path;
    refused(h, &cfg, "--id-block and --id-auth go together");
    cfg.id_auth = auth_path;
    refused(h, &cfg, "the launch digest is not the one in --id-block");
    put_side(block, sizeof(block) - 1);
    refused(h, &cfg, "expected 96 bytes");
    unlink(auth_path);
    cfg = good;
    cfg.certs = "/nonexistent/certs";
    refused(h, &cfg, "--certs '/nonexistent/certs' cannot be read");
    assert_int_equal(frames_of_others(h), before);
    assert_int_equal(host_free_frames(h), free_before);
    vm_free(new_vm(h, &good));
    host_free(h);
}

static void the_first_state_is_that_of_the_boot_plan(void **state)
{
    struct host *h = new_host("rome", 1, false);
    struct vm_config cfg = config(SEV_ES);
    const struct boot_plan plan = {.start = {true, 0x1000200, 0x8000, 1, 2, 0x9000, 0xA000, 0xB000},
                                   .ap_code = 0xFB000};
    struct vmsa a;
    struct vm *vm;

    put_kernel(terminates, sizeof(terminates));
    vm = new_vm(h, &cfg);
    vmsa_first(vm, &plan, 0, &a);
    assert_int_equal(a.rip, 0x1000200);
    assert_int_equal(a.rsp, 0x8000);
    assert_int_equal(a.rax, 1);
    assert_int_equal(a.rbx, 2);
    assert_int_equal(a.rsi, 0x9000);
    assert_int_equal(a.cr3, 0xA000);
    assert_int_equal(a.gdtr.base, 0xB000);
    assert_int_equal(a.cr0, 0x80000011);
    assert_int_equal(a.cr4, 0x60);
    assert_int_equal(a.efer, 0x1500);
    assert_int_equal(a.cs.attrib, 0xA9B);
    assert_int_equal(a.sev_features, 0);
    vmsa_first(vm, &plan, 1, &a);
    assert_int_equal(a.cs.base, 0xFB000);
    assert_int_equal(a.cs.selector, 0xFB00);
    assert_int_equal(a.rip, 0);
    assert_int_equal(a.cr0, 0x10);
    assert_int_equal(a.efer, 0x1000);
    assert_int_equal(a.rdx, h->chip->signature);
    assert_int_equal(vm->ap_jump_table, BOOT_AP_JUMP_TABLE);
    vm_free(vm);
    host_free(h);
}

static const struct snp_cpuid_entry *find(const struct snp_cpuid_page *page, uint32_t leaf,
                                          uint32_t sub)
{
    for (uint32_t i = 0; i < page->count; i++)
        if (page->entries[i].eax_in == leaf && page->entries[i].ecx_in == sub)
            return &page->entries[i];
    return NULL;
}

/* What Linux and OVMF insist on, and what the firmware would take away. */
static void the_cpuid_table_is_what_guests_need(void **state)
{
    static const char *const chips[] = {"milan", "genoa", "turin"};

    put_kernel(terminates, sizeof(terminates));
    for (size_t i = 0; i < COUNT(chips); i++) {
        struct host *h = new_host(chips[i], 1, true);
        struct vm_config cfg = config(SEV_SNP);
        struct vm *vm = new_vm(h, &cfg);
        struct snp_cpuid_page page;

        snp_cpuid_table(&vm->vcpu[0], &page);
        assert_in_range(page.count, 10, SNP_CPUID_MAX);
        assert_true(find(&page, 0x80000000, 0)->eax >= 0x8000001F);
        assert_int_equal(find(&page, 0x8000001F, 0)->eax, 0x1A);
        assert_int_equal(find(&page, 0x8000001F, 0)->ebx & 0x3F, h->chip->cbit);
        assert_int_equal(find(&page, 1, 0)->eax, h->chip->signature);
        assert_true(find(&page, 1, 0)->ecx & BIT(30)); /* RDRAND */
        assert_false(find(&page, 1, 0)->ecx & BIT(24));
        for (uint32_t sub = 0; sub < 2; sub++) {
            const struct snp_cpuid_entry *e = find(&page, 0xD, sub);

            assert_int_equal(e->xcr0_in, 1);
            assert_int_equal(e->xss_in, 0);
            assert_int_equal(e->ebx, 0x240);
        }
        vm_free(vm);
        host_free(h);
    }
}

static void requests_are_checked_before_they_go_anywhere(void **state)
{
    struct host *h = new_host("milan", 1, true);
    struct vm_config cfg = config(SEV_SNP);
    const uint64_t a = 4 * MIB, b = a + PAGE, c = b + PAGE, private = 6 * MIB;
    const struct {
        uint64_t request, response;
    } wrong[] = {{a, a}, {a, private}, {private, b}, {a + 8, b}, {a, b + 8}, {a, GUEST_MIB * MIB}};
    uint8_t certs[PAGE + 1] = {1}, before[PAGE], back[PAGE];
    struct vm *vm;

    put_kernel(terminates, sizeof(terminates));
    put_side(certs, sizeof(certs));
    cfg.certs = side_path;
    cfg.request_rate = 1000;
    cfg.paused = false;
    vm = new_vm(h, &cfg);
    for (uint64_t gpa = a; gpa <= c + PAGE; gpa += PAGE)
        assert_true(rmp_make_shared(vm, gpa, false));
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct snp_request req = {.request_gpa = wrong[i].request,
                                  .response_gpa = wrong[i].response};

        assert_false(snp_forward_request(vm, &req));
    }
    /* Two pages of certificates do not go into one, and nothing is asked of the firmware. */
    struct snp_request req = {a, b, true, c, 1, 0, 0};

    assert_true(snp_forward_request(vm, &req));
    assert_int_equal(req.vmm_error, SNP_REQUEST_INVALID_LEN);
    assert_int_equal(req.data_pages, 2);
    assert_true(snp_forward_request(vm, &req));
    assert_int_equal(req.vmm_error, SNP_REQUEST_BUSY); /* a thousandth of a second is long */
    assert_true(vm_read_phys(vm, c, before, sizeof(before)));
    soc_idle_until(h->soc, soc_now(h->soc) + 1000000);
    assert_true(snp_forward_request(vm, &req));
    assert_int_equal(req.vmm_error, 0);
    assert_int_not_equal(req.fw_error, SEV_SUCCESS); /* zeros are no message */
    assert_true(vm_read_phys(vm, c, back, sizeof(back)));
    assert_memory_equal(back, before, sizeof(back));
    vm_free(vm);
    host_free(h);
}

static void the_launch_image_has_a_line_for_each_piece(void **state)
{
    static const char *const words[] = {
        "lucca-launch-image 1\nmode snp\n", "\ncpuid fd000 1000 000000 CPUID page\n",
        "\nsecrets fe000 1000 000000 secrets page\n", "\nzero 101000 6ff000 000000 memory\n",
        "\nvmsa fffffffff000 1000 000000 VMSA of vCPU 0\n\n"};
    struct host *h = new_host("milan", 1, true);
    struct vm_config cfg = config(SEV_SNP);
    char text[4 * MIB / 1024];
    size_t n;
    FILE *f;

    put_kernel(terminates, sizeof(terminates));
    cfg.launch_image = side_path;
    vm_free(new_vm(h, &cfg));
    f = fopen(side_path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    for (size_t i = 0; i < COUNT(words); i++)
        if (!memmem(text, n, words[i], strlen(words[i])))
            fail_msg("no '%s' in the launch image", words[i]);
    host_free(h);
}

/* ---- all --------------------------------------------------------------------------------------
 */

static int set_up(void **state)
{
    int fd = mkstemp(kernel_path);

    snprintf(side_path, sizeof(side_path), "%s.side", kernel_path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    unlink(side_path);
    return unlink(kernel_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guests_with_encrypted_state_run),
        cmocka_unit_test(the_host_cannot_write_an_snp_guest),
        cmocka_unit_test(nothing_of_a_guest_is_left_for_the_next),
        cmocka_unit_test(every_kind_of_guest_shares_a_host),
        cmocka_unit_test(a_reset_launches_anew),
        cmocka_unit_test(a_launch_that_fails_leaves_nothing),
        cmocka_unit_test(the_first_state_is_that_of_the_boot_plan),
        cmocka_unit_test(the_cpuid_table_is_what_guests_need),
        cmocka_unit_test(requests_are_checked_before_they_go_anywhere),
        cmocka_unit_test(the_launch_image_has_a_line_for_each_piece),
    };

    return cmocka_run_group_tests_name("launch", tests, set_up, tear_down);
}
