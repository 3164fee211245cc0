/* A malicious hypervisor at a running guest: it writes into private pages, reads them, and runs the
 * guest under ASIDs that are not its own. The guest is the probe; argv[1] is its image. */
#include "base/bytes.h"
#include "host/vm/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUEST_BYTES   (UINT64_C(16) << 20)
#define PAGE_BYTES    4096u
#define BLOCKS        (PAGE_BYTES / 16)
#define FIRST_ECX     0x50524F42u /* the probe's first instruction puts it there */
#define BOUND         200u        /* slices of 1000 instructions for a guest that runs junk */
#define PATTERN(i, s) ((uint8_t)(((i) >> 4) * 7 + (i)*13 + (s)))

static const char *image;

struct rig {
    struct host *host;
    struct vm *vm;
    struct chardev console;
    char text[16384];
    size_t len, seen;
    const char *awaited;
};

static void hear(void *backend, const uint8_t *bytes, size_t n)
{
    struct rig *r = backend;

    for (size_t i = 0; i < n; i++)
        if (bytes[i] != '\r' && r->len < sizeof(r->text) - 1)
            r->text[r->len++] = (char)bytes[i];
    if (r->awaited && strstr(r->text + r->seen, r->awaited))
        host_stop(r->host);
}

static struct host *new_host(unsigned guests, bool eager)
{
    struct host_config cfg = {.chip = chip_by_id(CHIP_GENOA),
                              .memory = guests * host_memory_for(GUEST_BYTES, 1),
                              .dram_eager = eager,
                              .cores = guests,
                              .clock = CLOCK_VIRTUAL};
    struct error err = {0};
    struct host *h = NULL;

    if (host_new(&cfg, &h, &err) != OK)
        fail_msg("%s", err.text);
    return h;
}

static void launch(struct rig *r, struct host *h, enum sev_level sev, const char *command)
{
    struct error err = {0};
    struct vm_config cfg = {.name = "victim",
                            .memory = GUEST_BYTES,
                            .vcpus = 1,
                            .sev = sev,
                            .policy = SEV_POLICY_NODBG,
                            .kernel = image,
                            .append = command,
                            .paused = true};

    *r = (struct rig){.host = h, .console = {.put = hear, .backend = r}};
    cfg.serial[0] = &r->console;
    if (vm_new(h, &cfg, &r->vm, &err) != OK || vm_resume(r->vm, &err) != OK)
        fail_msg("%s", err.text);
}

/* Runs the guest until it says this; returns what follows. */
static const char *until(struct rig *r, const char *what)
{
    const char *at;

    r->awaited = what;
    while (!(at = strstr(r->text + r->seen, what)) && vm_state(r->vm) == VM_RUNNING)
        host_run(r->host);
    if (!at)
        fail_msg("the guest has ended (%s) without '%s': %s", vm_fate(r->vm)->why, what, r->text);
    at += strlen(what);
    r->seen = (size_t)(at - r->text);
    r->awaited = NULL;
    return at;
}

static uint64_t fact(struct rig *r, const char *name)
{
    const char *at = until(r, name);

    if (!strpbrk(at, " \n"))
        (void)until(r, "\n");
    return strtoull(at, NULL, 16);
}

static void write_phys(struct rig *r, uint64_t gpa, const void *bytes, size_t len)
{
    assert_true(vm_write_phys(r->vm, gpa, bytes, len));
}

/* Lets the guest look, and counts per block of the page the bytes that have changed. */
static void damage(struct rig *r, uint64_t flag, unsigned changed[BLOCKS])
{
    const uint8_t one = 1;
    char *at;

    write_phys(r, flag, &one, 1);
    (void)until(r, "damaged=");
    at = r->text + r->seen;
    (void)until(r, "\n");
    memset(changed, 0, BLOCKS * sizeof(changed[0]));
    while (*at != '\n') {
        unsigned long block = strtoul(at, &at, 10);

        assert_true(block < BLOCKS && *at == ':');
        changed[block] = (unsigned)strtoul(at + 1, &at, 10);
        at += strspn(at, " ");
    }
}

struct poke {
    unsigned at, len;
};

static const struct poke pokes[] = {
    {0, 1}, {5, 1}, {16, 16}, {37, 11}, {47, 2}, {100, 300}, {4080, 16}, {4095, 1}, {512, 3000},
};

/* The bytes of block `b` that a poke touches. */
static unsigned touched(const struct poke *p, unsigned b)
{
    unsigned from = MAX(p->at, 16 * b), to = MIN(p->at + p->len, 16 * b + 16);

    return from < to ? to - from : 0;
}

static void poke_all(enum sev_level sev, bool eager)
{
    struct host *h = new_host(1, eager);
    uint8_t bytes[PAGE_BYTES];
    unsigned changed[BLOCKS];
    uint64_t page, flag;
    struct rig r;

    launch(&r, h, sev, "victim");
    for (size_t i = 0; i < COUNT(pokes); i++) {
        const struct poke *p = &pokes[i];

        page = fact(&r, "page=");
        flag = fact(&r, "flag=");
        assert_true(vm_read_phys(r.vm, page + p->at, bytes, p->len));
        for (unsigned k = 0; k < p->len; k++) /* a write of what is there would change nothing */
            bytes[k] ^= 0xFF;
        write_phys(&r, page + p->at, bytes, p->len);
        damage(&r, flag, changed);
        for (unsigned b = 0; b < BLOCKS; b++) {
            unsigned n = touched(p, b);

            if (sev == SEV_OFF && changed[b] != n)
                fail_msg("poke %zu: %u bytes of block %u changed, not %u", i, changed[b], b, n);
            if (sev != SEV_OFF && !changed[b] != !n)
                fail_msg("poke %zu: block %u is %s", i, b, n ? "whole" : "damaged");
        }
    }
    bytes[0] = 2;
    (void)fact(&r, "page=");
    flag = fact(&r, "flag=");
    write_phys(&r, flag, bytes, 1);
    (void)until(&r, "end\n");
    vm_free(r.vm);
    host_free(h);
}

static void writes_without_sev_do_what_they_say(void **state)
{
    poke_all(SEV_OFF, false);
}

static void writes_into_private_pages_damage_the_blocks_they_touch(void **state)
{
    poke_all(SEV_PLAIN, false);
}

static void writes_damage_the_same_blocks_in_true_ciphertext(void **state)
{
    poke_all(SEV_PLAIN, true);
}

static unsigned blocks_in_the_clear(const uint8_t *page)
{
    unsigned n = 0;

    for (unsigned b = 0; b < BLOCKS; b++) {
        unsigned same = 0;

        for (unsigned i = 16 * b; i < 16 * b + 16; i++)
            same += page[i] == PATTERN(i, 5);
        n += same == 16;
    }
    return n;
}

static void reads_of_private_pages_see_ciphertext(void **state)
{
    static const struct {
        enum sev_level sev;
        unsigned clear;
    } rows[] = {{SEV_OFF, BLOCKS}, {SEV_PLAIN, 0}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct host *h = new_host(1, false);
        uint8_t page[PAGE_BYTES], again[PAGE_BYTES];
        struct rig r;
        uint64_t gpa;

        launch(&r, h, rows[i].sev, "victim");
        gpa = fact(&r, "page=");
        assert_true(vm_read_phys(r.vm, gpa, page, sizeof(page)));
        assert_int_equal(blocks_in_the_clear(page), rows[i].clear);
        assert_true(vm_read_phys(r.vm, gpa, again, sizeof(again)));
        assert_memory_equal(page, again, sizeof(page));
        vm_free(r.vm);
        host_free(h);
    }
}

/* SEV without integrity (APM2 15.34): a page's old ciphertext, put back in its place, is its old
 * contents; elsewhere it is junk, as the address is part of the encryption. */
static void old_ciphertext_is_good_where_it_was_alone(void **state)
{
    struct host *h = new_host(1, false);
    uint8_t page[PAGE_BYTES], junk[PAGE_BYTES];
    unsigned changed[BLOCKS], damaged = 0;
    uint64_t gpa, flag;
    struct rig r;

    launch(&r, h, SEV_PLAIN, "victim");
    gpa = fact(&r, "page=");
    flag = fact(&r, "flag=");
    assert_true(vm_read_phys(r.vm, gpa, page, sizeof(page)));
    memset(junk, 0xA5, sizeof(junk));
    write_phys(&r, gpa, junk, sizeof(junk));
    write_phys(&r, gpa, page, sizeof(page));
    damage(&r, flag, changed);
    for (unsigned b = 0; b < BLOCKS; b++)
        assert_int_equal(changed[b], 0);

    (void)fact(&r, "page=");
    assert_true(vm_read_phys(r.vm, gpa, page, sizeof(page)));
    write_phys(&r, gpa + 16, page, 16); /* the first block's, in the second's place */
    damage(&r, flag, changed);
    for (unsigned b = 0; b < BLOCKS; b++)
        damaged += changed[b] != 0;
    assert_int_equal(damaged, 1);
    assert_true(changed[1] > 0);
    vm_free(r.vm);
    host_free(h);
}

/* ---- ASIDs ----------------------------------------------------------------------------------- */

static bool first_fetch_is_good(struct rig *r, uint32_t asid)
{
    struct vcpu *v = vm_vcpu(r->vm, 0);

    v->vmcb.control.asid = asid;
    vcpu_run(v, 1);
    return (uint32_t)vcpu_gpr(v, RCX) == FIRST_ECX;
}

/* As the board knows it: here no scheduler looks. */
static enum fate fate_of(struct vm *vm)
{
    return board_fate(vm_board(vm))->fate;
}

/* The guest gets nowhere: it ends, or goes on in junk and says nothing. */
static void gets_nowhere(struct rig *r)
{
    for (unsigned i = 0; i < BOUND && fate_of(r->vm) == FATE_RUNNING; i++)
        vcpu_run(vm_vcpu(r->vm, 0), 1000);
    assert_false(strstr(r->text, "probe") != NULL);
}

static void the_right_asid_fetches(void **state)
{
    struct host *h = new_host(1, false);
    struct rig r;

    launch(&r, h, SEV_PLAIN, "hello");
    assert_true(first_fetch_is_good(&r, r.vm->asid));
    (void)until(&r, "end\n");
    vm_free(r.vm);
    host_free(h);
}

static void another_guests_asid_fetches_junk(void **state)
{
    struct host *h = new_host(2, false);
    struct rig r, other;

    launch(&r, h, SEV_PLAIN, "hello");
    launch(&other, h, SEV_PLAIN, "hello");
    assert_int_not_equal(r.vm->asid, other.vm->asid);
    assert_false(first_fetch_is_good(&r, other.vm->asid));
    gets_nowhere(&r);
    /* Its key was not harmed, nor was the other guest. */
    (void)until(&other, "end\n");
    vm_free(other.vm);
    vm_free(r.vm);
    host_free(h);
}

static void an_asid_without_a_key_does_not_run(void **state)
{
    const struct chip *chip = chip_by_id(CHIP_GENOA);
    const uint32_t wrong[] = {chip->sev_asids, chip->sev_asids + 1, 0};

    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct host *h = new_host(1, false);
        struct rig r;

        launch(&r, h, SEV_PLAIN, "hello");
        assert_false(first_fetch_is_good(&r, wrong[i]));
        assert_int_equal(fate_of(r.vm), FATE_CRASH);
        assert_int_equal(r.len, 0);
        vm_free(r.vm);
        host_free(h);
    }
}

/* Without the SEV bit in the VMCB the same pages are fetched as the host sees them. */
static void a_sev_guest_run_without_sev_fetches_ciphertext(void **state)
{
    struct host *h = new_host(1, false);
    struct rig r;

    launch(&r, h, SEV_PLAIN, "hello");
    vm_vcpu(r.vm, 0)->vmcb.control.nested_ctl &= ~NESTED_SEV;
    assert_false(first_fetch_is_good(&r, r.vm->asid));
    gets_nowhere(&r);
    vm_free(r.vm);
    host_free(h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_without_sev_do_what_they_say),
        cmocka_unit_test(writes_into_private_pages_damage_the_blocks_they_touch),
        cmocka_unit_test(writes_damage_the_same_blocks_in_true_ciphertext),
        cmocka_unit_test(reads_of_private_pages_see_ciphertext),
        cmocka_unit_test(old_ciphertext_is_good_where_it_was_alone),
        cmocka_unit_test(the_right_asid_fetches),
        cmocka_unit_test(another_guests_asid_fetches_junk),
        cmocka_unit_test(an_asid_without_a_key_does_not_run),
        cmocka_unit_test(a_sev_guest_run_without_sev_fetches_ciphertext),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_hypervisor PROBE\n");
        return 1;
    }
    image = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
