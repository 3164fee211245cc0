/* Attacks on running guests under SEV, SEV-ES and SEV-SNP: what became of each must be what the
 * table of docs/attacks.md says. argv: the victim's image, the page. */
#include "attack_owner.h"
#include "base/bytes.h"
#include "guest/victim/victim.h"
#include "host/attack/attack.h"
#include "host/vm/internal.h"
#include "silicon/vmsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GUEST_BYTES (UINT64_C(16) << 20)
#define SLICE       20000u
#define BOUND       2000u /* slices for one command */

/* 2 MiB of the guest's memory each. */
#define PAGE_A UINT64_C(0x400000)
#define PAGE_B UINT64_C(0x600000)
#define PAGE_C UINT64_C(0x800000)
#define IMAGE  UINT64_C(0x100000) /* where the victim's is linked */
/* Pages that the guest shares on demand. */
#define REQUEST  UINT64_C(0x301000)
#define RESPONSE UINT64_C(0x302000)
#define KEY      UINT64_C(0x303000)

#define OLD   5u /* salts of the guest's patterns */
#define NEW   6u
#define OTHER 7u

#define CARRY   (UINT64_C(1) << 32) /* of VICTIM_ACCEPT's answer */
#define INUSE   3u                  /* codes of PVALIDATE and RMPADJUST (APM3) */
#define PERMIT  2u
#define SIZES   6u
#define POLICY  (SNP_POLICY_SMT | SNP_POLICY_MBO)
#define OUTCOME 128

static const char *image, *page_path;

struct rig {
    struct host *host;
    struct attack_aim aim;
    char outcome[OUTCOME];
};

/* ---- machine --------------------------------------------------------------------------------- */

static struct vm *new_vm(struct host *h, enum sev_level sev)
{
    static const uint64_t policies[] = {
        [SEV_PLAIN] = SEV_POLICY_NODBG, [SEV_ES] = SEV_POLICY_ES, [SEV_SNP] = POLICY};
    struct error err = {0};
    struct vm_config cfg = {.name = "victim",
                            .memory = GUEST_BYTES,
                            .vcpus = 2,
                            .sev = sev,
                            .policy = policies[sev],
                            .kernel = image};
    struct vm *vm = NULL;

    if (vm_new(h, &cfg, &vm, &err) != OK)
        fail_msg("%s", err.text);
    return vm;
}

static void open_rig(struct rig *r, enum chip_id chip, bool eager, enum sev_level sev)
{
    struct host_config cfg = {.chip = chip_by_id(chip),
                              .memory = 2 * host_memory_for(GUEST_BYTES, 2),
                              .dram_eager = eager,
                              .cores = 4,
                              .clock = CLOCK_VIRTUAL,
                              .snp = sev == SEV_SNP};
    struct error err = {0};

    memset(r, 0, sizeof(*r));
    if (host_new(&cfg, &r->host, &err) != OK)
        fail_msg("%s", err.text);
    r->aim = (struct attack_aim){.gpa = PAGE_A, .other_gpa = PAGE_B};
    r->aim.vm = new_vm(r->host, sev);
}

static void close_rig(struct rig *r)
{
    vm_free(r->aim.foreign);
    vm_free(r->aim.vm);
    host_free(r->host);
}

static bool lives(struct vm *vm)
{
    return board_fate(vm_board(vm))->fate == FATE_RUNNING;
}

static uint32_t box32(struct vm *vm, unsigned slot, size_t field)
{
    uint32_t v = 0;

    assert_true(vm_read_phys(vm, VICTIM_BOX + slot * VICTIM_SLOT + field, &v, 4));
    return v;
}

static uint64_t box64(struct vm *vm, unsigned slot, size_t field)
{
    uint64_t v = 0;

    assert_true(vm_read_phys(vm, VICTIM_BOX + slot * VICTIM_SLOT + field, &v, 8));
    return v;
}

#define READY(vm, slot)   (box32(vm, slot, offsetof(struct victim_slot, ready)) == VICTIM_READY)
#define COMMAND(vm, slot) box32(vm, slot, offsetof(struct victim_slot, command))

static void turn(struct vm *vm)
{
    for (unsigned i = 0; i < vm_vcpus(vm) && lives(vm); i++)
        if (vcpu_runnable(vm_vcpu(vm, i)))
            vcpu_run(vm_vcpu(vm, i), SLICE);
}

/* False: the guest has ended. */
static bool await_ready(struct vm *vm, unsigned slot)
{
    for (unsigned i = 0; i < BOUND && lives(vm); i++) {
        if (READY(vm, slot))
            return true;
        turn(vm);
    }
    if (lives(vm))
        fail_msg("the processor of slot %u does not come up", slot);
    return false;
}

static void post(struct vm *vm, unsigned slot, uint32_t command, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t args[3] = {a, b, c}, at = VICTIM_BOX + slot * VICTIM_SLOT;

    assert_true(
        vm_write_phys(vm, at + offsetof(struct victim_slot, args), args, sizeof(args)) &&
        vm_write_phys(vm, at + offsetof(struct victim_slot, command), &command, sizeof(command)));
}

/* False: the guest has ended over it. */
static bool finish(struct vm *vm, unsigned slot, uint64_t *answer)
{
    for (unsigned i = 0; i < BOUND && lives(vm); i++) {
        turn(vm);
        if (COMMAND(vm, slot) == VICTIM_IDLE) {
            *answer = box64(vm, slot, offsetof(struct victim_slot, answer));
            return lives(vm);
        }
    }
    if (lives(vm))
        fail_msg("the guest does not do command %u", COMMAND(vm, slot));
    return false;
}

static bool ask(struct rig *r, unsigned slot, uint32_t command, uint64_t a, uint64_t b, uint64_t c,
                uint64_t *answer)
{
    post(r->aim.vm, slot, command, a, b, c);
    return finish(r->aim.vm, slot, answer);
}

/* A command that must succeed. */
static uint64_t tell(struct rig *r, unsigned slot, uint32_t command, uint64_t a, uint64_t b,
                     uint64_t c)
{
    uint64_t answer = 0;

    if (!ask(r, slot, command, a, b, c, &answer))
        fail_msg("command %u ended the guest: %s", command, board_fate(vm_board(r->aim.vm))->why);
    return answer;
}

static bool played[32]; /* the rows of `attacks` */

static void begin(struct rig *r, const char *attack)
{
    assert_true(attack_find(attack)->begin(&r->aim));
}

static struct attack_result strike(struct rig *r, const char *attack)
{
    const struct attack *row = attack_find(attack);
    struct attack_result a = row->run(&r->aim);
    enum sev_level sev = vm_config(r->aim.vm)->sev;

    assert_true(sev >= row->from && sev <= row->to);
    played[row - attacks] = true;
    if (a.end == ATTACK_IMPOSSIBLE)
        fail_msg("'%s' cannot be tried", attack);
    return a;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static __attribute__((format(printf, 2, 3))) void came(struct rig *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->outcome, sizeof(r->outcome), fmt, args);
    va_end(args);
}

/* #NPF by its bits (APM2 15.36.10). */
static void fault(struct rig *r, const char *prefix, uint64_t info, const char *suffix)
{
    came(r, "%s#NPF with%s%s%s%s", prefix, info & NPF_RMP ? " RMP" : "",
         info & NPF_SIZEM ? " SIZEM" : "", info & NPF_VMPL ? " VMPL" : "", suffix);
}

/* How the guest ended, from the last exit of whichever processor it was. */
static void ended(struct rig *r)
{
    struct vm *vm = r->aim.vm;
    const char *why = board_fate(vm_board(vm))->why;

    assert_int_equal(board_fate(vm_board(vm))->fate, FATE_CRASH);
    for (unsigned i = 0; i < vm_vcpus(vm); i++) {
        const struct vmcb_control *c = &vm_vcpu(vm, i)->vmcb.control;

        if (c->exitcode == VMEXIT_NPF)
            fault(r, "guest ends: ", c->exitinfo1, "");
        else if (c->exitcode == VMEXIT_INVALID)
            came(r, "guest ends: VMEXIT_INVALID");
        else if (strstr(why, "reason set 0, code 0"))
            came(r, "guest ends itself: #VC %llx",
                 (unsigned long long)box64(vm, 0, offsetof(struct victim_slot, vc_error)));
        else if (strstr(why, "reason set 1, code 2"))
            came(r, "guest ends itself: CF is 1");
        else if (strstr(why, "reason set 2, code 13"))
            came(r, "guest ends itself: #GP");
        else
            continue;
        return;
    }
    came(r, "guest ends: %s", why);
}

/* As `ask`, but nobody mends what stops the first processor: an honest hypervisor would put its
 * tables right. False: the guest got nowhere, and `outcome` says why. Only guests with encrypted
 * state can be left alone so; PAUSE of the others asks for more. */
static bool ask_alone(struct rig *r, uint32_t command, uint64_t a, uint64_t b, uint64_t *answer)
{
    struct attack_result exit;

    if (vm_config(r->aim.vm)->sev < SEV_ES) {
        if (ask(r, 0, command, a, b, 0, answer))
            return true;
        ended(r);
        return false;
    }
    post(r->aim.vm, 0, command, a, b, 0);
    exit = attack_find("ignore-exit")->run(&r->aim);
    if (exit.end == ATTACK_EXIT && exit.code == VMEXIT_NPF) {
        fault(r, "guest is stopped: ", exit.info, "");
        return false;
    }
    if (exit.end == ATTACK_EXIT) {
        vcpu_exit(vm_vcpu(r->aim.vm, 0));
        ended(r);
        return false;
    }
    assert_int_equal(COMMAND(r->aim.vm, 0), VICTIM_IDLE);
    *answer = box64(r->aim.vm, 0, offsetof(struct victim_slot, answer));
    return true;
}

/* The page at `gpa` as the guest sees it: which of its patterns, or none. */
static void looks(struct rig *r, uint64_t gpa)
{
    static const struct {
        unsigned salt;
        const char *what;
    } rows[] = {{OLD, "guest has its old page"},
                {NEW, "guest has its page"},
                {OTHER, "guest has its other page"}};
    uint64_t differ = 0, least = PAGE;

    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!ask_alone(r, VICTIM_COUNT, gpa, rows[i].salt, &differ))
            return;
        if (!differ) {
            came(r, "%s", rows[i].what);
            return;
        }
        least = MIN(least, differ);
    }
    came(r, "%s", least <= 16 ? "junk in 16 bytes" : "guest has junk");
}

/* After a store of the hypervisor's: was it stopped, and what does the guest have now? */
static void store_then_look(struct rig *r, struct attack_result a)
{
    char seen[OUTCOME];

    looks(r, PAGE_A);
    if (a.end != ATTACK_RMP_FAULT)
        return;
    memcpy(seen, r->outcome, sizeof(seen));
    assert_string_equal(seen, "guest has its page");
    came(r, "#PF with RMP, page unchanged");
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void with_pages(struct rig *r)
{
    tell(r, 0, VICTIM_FILL, PAGE_A, NEW, 0);
    tell(r, 0, VICTIM_FILL, PAGE_B, OTHER, 0);
}

static void read_page(struct rig *r)
{
    unsigned same = 0;

    with_pages(r);
    assert_int_equal(strike(r, "read").end, ATTACK_DONE);
    for (unsigned b = 0; b < PAGE / 16; b++) {
        unsigned n = 0;

        for (unsigned i = 16 * b; i < 16 * b + 16; i++)
            n += r->aim.kept[i] == (uint8_t)((i >> 4) * 7 + i * 13 + NEW);
        same += n == 16;
    }
    came(r, "%s", same ? "plaintext" : "ciphertext");
}

static void write_page(struct rig *r)
{
    with_pages(r);
    store_then_look(r, strike(r, "write"));
}

static void replay_page(struct rig *r)
{
    with_pages(r);
    tell(r, 0, VICTIM_FILL, PAGE_A, OLD, 0);
    begin(r, "replay");
    tell(r, 0, VICTIM_FILL, PAGE_A, NEW, 0);
    store_then_look(r, strike(r, "replay"));
}

static void remap(struct rig *r)
{
    with_pages(r);
    assert_int_equal(strike(r, "remap").end, ATTACK_DONE);
    looks(r, PAGE_A);
}

/* The guest writes at the second address and looks at the first. */
static void alias(struct rig *r)
{
    uint64_t answer;

    with_pages(r);
    assert_int_equal(strike(r, "alias").end, ATTACK_DONE);
    if (ask_alone(r, VICTIM_FILL, PAGE_B, OTHER, &answer))
        looks(r, PAGE_A);
}

static void foreign(struct rig *r)
{
    uint64_t answer;

    with_pages(r);
    r->aim.foreign = new_vm(r->host, vm_config(r->aim.vm)->sev);
    assert_true(await_ready(r->aim.foreign, 0));
    post(r->aim.foreign, 0, VICTIM_FILL, PAGE_A, OTHER, 0);
    assert_true(finish(r->aim.foreign, 0, &answer));
    assert_int_equal(strike(r, "foreign").end, ATTACK_DONE);
    looks(r, PAGE_A);
    /* The other guest has lost nothing. */
    post(r->aim.foreign, 0, VICTIM_COUNT, PAGE_A, OTHER, 0);
    assert_true(finish(r->aim.foreign, 0, &answer));
    assert_int_equal(answer, 0);
}

static void substitute(struct rig *r)
{
    with_pages(r);
    assert_int_equal(strike(r, "substitute").end, ATTACK_DONE);
    looks(r, PAGE_A);
    assert_int_equal(box64(r->aim.vm, 0, offsetof(struct victim_slot, vc_cr2)), PAGE_A);
}

/* What APM2 15.36.6 warns of: a guest that validates an address twice has two pages for it. */
static void substitute_the_careless(struct rig *r)
{
    with_pages(r);
    tell(r, 0, VICTIM_FILL, PAGE_A, OLD, 0);
    assert_int_equal(strike(r, "substitute").end, ATTACK_DONE);
    assert_int_equal(tell(r, 0, VICTIM_ACCEPT, PAGE_A, 1, true), 0);
    tell(r, 0, VICTIM_FILL, PAGE_A, NEW, 0);
    assert_int_equal(strike(r, "put-back").end, ATTACK_DONE);
    looks(r, PAGE_A);
}

/* A memory map of the hypervisor's says that the guest has yet to accept a page that it has. */
static void accept_twice(struct rig *r)
{
    uint64_t answer;

    assert_int_equal(tell(r, 0, VICTIM_ACCEPT, PAGE_A, 1, true), CARRY);
    if (ask(r, 0, VICTIM_ACCEPT, PAGE_A, 1, false, &answer))
        came(r, "guest goes on");
    else
        ended(r);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void small_over_large(struct rig *r)
{
    struct attack_result a;
    uint64_t answer;

    post(r->aim.vm, 0, VICTIM_ACCEPT, PAGE_C, 0, true);
    a = strike(r, "ignore-exit");
    assert_int_equal(a.code, VMEXIT_NPF);
    assert_int_equal(strike(r, "ignore-exit").info, a.info); /* for ever */
    assert_true(finish(r->aim.vm, 0, &answer));
    assert_int_equal(answer, CARRY);
    fault(r, "", a.info, " until PSMASH");
}

static void large_over_small(struct rig *r)
{
    assert_int_equal(tell(r, 0, VICTIM_ACCEPT, PAGE_C, 0, true), CARRY);
    came(r, "%s", tell(r, 0, VICTIM_ACCEPT, PAGE_C, 1, true) == SIZES ? "FAIL_SIZEMISMATCH" : "?");
}

/* ---- registers ------------------------------------------------------------------------------- */

static void registers_then(struct rig *r, struct attack_result a)
{
    uint64_t r15 = 0;

    if (!ask(r, 0, VICTIM_R15_IS, 0, 0, 0, &r15)) {
        ended(r);
        return;
    }
    if (a.end == ATTACK_RMP_FAULT)
        came(r, r15 == VICTIM_R15 ? "#PF with RMP, registers unchanged" : "?");
    else
        came(r, r15 == VICTIM_R15 ? "registers unchanged" : "guest runs with the forged register");
}

static void edit_registers(struct rig *r)
{
    registers_then(r, strike(r, "edit-registers"));
}

static void replay_registers(struct rig *r)
{
    begin(r, "replay-registers");
    with_pages(r);
    registers_then(r, strike(r, "replay-registers"));
}

/* ---- privilege levels and save areas ----------------------------------------------------------
 */

/* The second processor, from a save area of the guest's own making. */
static void start_second(struct rig *r, unsigned vmpl)
{
    if (vmpl)
        assert_int_equal(tell(r, 0, VICTIM_GRANT, vmpl, 0, 0), 0);
    r->aim.vmsa = tell(r, 0, VICTIM_MAKE_CPU, vmpl, 1, 0);
    assert_int_not_equal(r->aim.vmsa, 0);
    r->aim.vcpu = 1;
    assert_int_equal(strike(r, "run-vmsa").end, ATTACK_DONE);
    if (!await_ready(r->aim.vm, 1))
        fail_msg("%s", board_fate(vm_board(r->aim.vm))->why);
}

static void code(struct rig *r, uint64_t got, uint64_t expected, const char *name)
{
    if (got == expected)
        came(r, "%s", name);
    else
        came(r, "RAX is %llx", (unsigned long long)got);
}

static void vmpl3_reads(struct rig *r)
{
    uint64_t answer;

    with_pages(r);
    start_second(r, 3);
    if (ask(r, 1, VICTIM_PEEK, PAGE_A, 0, 0, &answer))
        came(r, "it reads %llx", (unsigned long long)answer);
    else
        ended(r);
}

/* VMPL1 has all rights to the victim's image and none to PAGE_A. */
static void vmpl1_adjusts_itself(struct rig *r)
{
    start_second(r, 1);
    code(r, tell(r, 1, VICTIM_ADJUST, IMAGE, 0, 0xF01), PERMIT, "FAIL_PERMISSION");
}

static void vmpl1_gives_what_it_lacks(struct rig *r)
{
    start_second(r, 1);
    code(r, tell(r, 1, VICTIM_ADJUST, PAGE_A, 1, 0x102), PERMIT, "FAIL_PERMISSION");
}

static void vmpl3_validates(struct rig *r)
{
    uint64_t answer;

    start_second(r, 3);
    if (ask(r, 1, VICTIM_ACCEPT, PAGE_A, 1, true, &answer))
        came(r, "it does");
    else
        ended(r);
}

static void writes_running_vmsa(struct rig *r)
{
    uint64_t answer;

    start_second(r, 0);
    if (ask(r, 1, VICTIM_POKE, r->aim.vmsa + offsetof(struct vmsa, r8_r15[7]), 0xBAD, 0, &answer))
        came(r, "it does");
    else
        ended(r);
}

/* No processor runs on it then: it is a page of the guest's like others. */
static void writes_vmsa_at_rest(struct rig *r)
{
    start_second(r, 0);
    tell(r, 0, VICTIM_POKE, r->aim.vmsa + offsetof(struct vmsa, r8_r15[7]), 0xBAD, 0);
    came(r, tell(r, 1, VICTIM_R15_IS, 0, 0, 0) == 0xBAD ? "guest runs with the forged register"
                                                        : "registers unchanged");
}

static void adjusts_running_vmsa(struct rig *r)
{
    start_second(r, 0);
    code(r, tell(r, 1, VICTIM_ADJUST, r->aim.vmsa, 0, 0xF01), INUSE, "FAIL_INUSE");
}

/* The host's store into a save area of the guest's own making, while it is a processor's. */
static void host_writes_made_vmsa(struct rig *r)
{
    struct attack_result a;

    start_second(r, 0);
    a = strike(r, "edit-registers");
    assert_int_equal(tell(r, 1, VICTIM_R15_IS, 0, 0, 0), VICTIM_R15);
    came(r, a.end == ATTACK_RMP_FAULT ? "#PF with RMP, registers unchanged" : "?");
}

static void retakes_vmsa(struct rig *r)
{
    uint64_t answer;

    start_second(r, 0);
    begin(r, "retake-vmsa");
    assert_int_equal(tell(r, 1, VICTIM_R15_IS, 0, 0, 0), VICTIM_R15);
    assert_int_equal(strike(r, "retake-vmsa").end, ATTACK_DONE);
    if (ask(r, 1, VICTIM_R15_IS, 0, 0, 0, &answer))
        came(r, "guest goes on");
    else
        ended(r);
}

/* ---- firmware -------------------------------------------------------------------------------- */

/* Sends a report request; the guest's key shows what came back. */
static void report(struct rig *r, uint8_t digest[48])
{
    uint8_t page[PAGE], key[32];

    r->aim.request = REQUEST;
    r->aim.response = RESPONSE;
    for (uint64_t at = REQUEST; at <= KEY; at += PAGE)
        tell(r, 0, VICTIM_SHARE, at, 0, 0);
    tell(r, 0, VICTIM_KEY, KEY, 0, 0);
    assert_true(vm_read_phys(r->aim.vm, KEY, key, sizeof(key)));
    assert_true(owner_seal(page, key, 1));
    assert_true(vm_write_phys(r->aim.vm, REQUEST, page, sizeof(page)));
    assert_int_equal(strike(r, "stale-request").end, ATTACK_DONE); /* for the first time */
    assert_true(vm_read_phys(r->aim.vm, RESPONSE, page, sizeof(page)));
    assert_true(owner_open(page, key, 1, digest));
}

static void stale_request(struct rig *r)
{
    uint8_t digest[48], before[PAGE], after[PAGE];
    struct attack_result a;

    report(r, digest);
    assert_true(vm_read_phys(r->aim.vm, RESPONSE, before, sizeof(before)));
    a = strike(r, "stale-request");
    if (a.end == ATTACK_REFUSED && a.code == SEV_AEAD_OFLOW)
        came(r, "firmware refuses: AEAD_OFLOW");
    else
        came(r, "status %llx", (unsigned long long)a.code);
    assert_true(vm_read_phys(r->aim.vm, RESPONSE, after, sizeof(after)));
    assert_memory_equal(before, after, sizeof(after));
}

static void put_file(char path[32], const void *bytes, size_t len)
{
    int fd;

    strcpy(path, "/tmp/lucca-attack-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

static enum status launch_again(struct rig *r, const uint8_t block[96], const uint8_t auth[4096],
                                struct error *err)
{
    struct vm_config cfg = *vm_config(r->aim.vm);
    char block_path[32], auth_path[32];
    struct vm *vm = NULL;
    enum status s;

    put_file(block_path, block, 96);
    put_file(auth_path, auth, 4096);
    cfg.id_block = block_path;
    cfg.id_auth = auth_path;
    s = vm_new(r->host, &cfg, &vm, err);
    if (s == OK)
        vm_free(vm);
    unlink(block_path);
    unlink(auth_path);
    return s;
}

#define DIGEST_AT 0x00 /* in the ID block (SNP ABI) */
#define FAMILY_AT 0x30

/* The guest once more with an ID block: the right one goes in, the wrong one does not. */
static void identify(struct rig *r, unsigned spoilt, uint64_t policy, bool resign)
{
    uint8_t digest[48], block[96], auth[4096];
    struct error err = {0};
    char *at;

    report(r, digest);
    assert_true(owner_identity(digest, POLICY, block, auth));
    if (launch_again(r, block, auth, &err) != OK)
        fail_msg("%s", err.text);
    if (resign) {
        digest[spoilt] ^= policy == POLICY;
        assert_true(owner_identity(digest, policy, block, auth));
    } else {
        block[spoilt] ^= 1;
    }
    assert_int_not_equal(launch_again(r, block, auth, &err), OK);
    at = strstr(err.text, "LAUNCH_FINISH with ");
    if (!at)
        fail_msg("%s", err.text);
    at += strlen("LAUNCH_FINISH with ");
    at[strcspn(at, " ")] = 0;
    came(r, "launch refused: %s", at);
}

static void wrong_digest(struct rig *r)
{
    identify(r, DIGEST_AT, POLICY, true);
}

static void wrong_policy(struct rig *r)
{
    identify(r, 0, POLICY | SNP_POLICY_DEBUG, true);
}

static void changed_identity(struct rig *r)
{
    identify(r, FAMILY_AT, POLICY, false);
}

/* ---- the matrix ------------------------------------------------------------------------------ */

static const struct scenario {
    const char *title; /* as the page has it */
    enum sev_level from;
    void (*play)(struct rig *r);
} scenarios[] = {
    {"host reads a private page", SEV_PLAIN, read_page},
    {"host writes a private page", SEV_PLAIN, write_page},
    {"replay of an old page", SEV_PLAIN, replay_page},
    {"remap to another page of the guest", SEV_PLAIN, remap},
    {"two addresses for one page", SEV_PLAIN, alias},
    {"page of another ASID", SEV_PLAIN, foreign},
    {"page that was not validated", SEV_SNP, substitute},
    {"the same, and the guest validates it", SEV_SNP, substitute_the_careless},
    {"double validation", SEV_SNP, accept_twice},
    {"PVALIDATE of 4 KiB in a 2 MiB page", SEV_SNP, small_over_large},
    {"PVALIDATE of 2 MiB over 4 KiB pages", SEV_SNP, large_over_small},
    {"host edits a register", SEV_PLAIN, edit_registers},
    {"host puts old registers back", SEV_ES, replay_registers},
    {"host writes a VMSA that the guest made", SEV_SNP, host_writes_made_vmsa},
    {"host takes a VMSA back and puts an old one in", SEV_SNP, retakes_vmsa},
    {"guest writes the VMSA that it runs on", SEV_SNP, writes_running_vmsa},
    {"another processor writes a VMSA between two runs", SEV_SNP, writes_vmsa_at_rest},
    {"RMPADJUST of the running VMSA", SEV_SNP, adjusts_running_vmsa},
    {"VMPL3 reads a page of VMPL0", SEV_SNP, vmpl3_reads},
    {"RMPADJUST of the own VMPL", SEV_SNP, vmpl1_adjusts_itself},
    {"RMPADJUST of rights that VMPL1 lacks", SEV_SNP, vmpl1_gives_what_it_lacks},
    {"PVALIDATE at VMPL3", SEV_SNP, vmpl3_validates},
    {"stale report request", SEV_SNP, stale_request},
    {"ID block of another launch", SEV_SNP, wrong_digest},
    {"ID block of another policy", SEV_SNP, wrong_policy},
    {"ID block changed after it was signed", SEV_SNP, changed_identity},
};

static const char *const modes[] = {
    [SEV_PLAIN] = "SEV", [SEV_ES] = "SEV-ES", [SEV_SNP] = "SEV-SNP"};

struct cell {
    const struct scenario *s;
    enum sev_level mode;
    char name[96];
};

static char page_text[32768];

/* The page's cell: `| title | SEV | SEV-ES | SEV-SNP |`. */
static void cell_of(const struct scenario *s, enum sev_level mode, char out[OUTCOME])
{
    char line[96];
    const char *at;
    size_t n;

    snprintf(line, sizeof(line), "\n| %s | ", s->title);
    at = strstr(page_text, line);
    if (!at)
        fail_msg("%s has no row '%s'", page_path, s->title);
    at += strlen(line);
    for (unsigned i = SEV_PLAIN; i < mode; i++) {
        at = strstr(at, " | ");
        assert_non_null(at);
        at += 3;
    }
    n = strcspn(at, "|\n");
    while (n && at[n - 1] == ' ')
        n--;
    assert_true(n < OUTCOME);
    memcpy(out, at, n);
    out[n] = 0;
}

static void play(const struct cell *c, enum chip_id chip, bool eager, const char *expected)
{
    struct rig r;

    open_rig(&r, chip, eager, c->mode);
    if (!await_ready(r.aim.vm, 0))
        fail_msg("%s", board_fate(vm_board(r.aim.vm))->why);
    c->s->play(&r);
    close_rig(&r);
    if (strcmp(r.outcome, expected) != 0)
        fail_msg("on %s%s: %s; %s says: %s", chip_by_id(chip)->name,
                 eager ? " with true ciphertext" : "", r.outcome, page_path, expected);
}

/* On every chip that has the mode. */
static void plays(void **state)
{
    static const enum chip_id chips[] = {CHIP_NAPLES, CHIP_ROME, CHIP_MILAN, CHIP_GENOA,
                                         CHIP_TURIN};
    const struct cell *c = *state;
    char expected[OUTCOME];

    cell_of(c->s, c->mode, expected);
    if (c->mode < c->s->from) {
        assert_string_equal(expected, "");
        return;
    }
    for (size_t i = 0; i < COUNT(chips); i++)
        if (chip_by_id(chips[i])->level >= c->mode)
            play(c, chips[i], false, expected);
    play(c, CHIP_GENOA, true, expected);
}

/* Nothing is in the page's table that no test has seen. */
static void the_page_has_no_other_rows(void **state)
{
    const char *at = strstr(page_text, "\n| Attack |");
    unsigned rows = 0;

    assert_non_null(at);
    for (at = strchr(at + 1, '\n'); at && at[1] == '|'; at = strchr(at + 1, '\n'))
        rows++;
    assert_int_equal(rows, COUNT(scenarios) + 1); /* and the line under the heads */
}

static void every_attack_is_played(void **state)
{
    for (const struct attack *a = attacks; a->name; a++)
        if (!played[a - attacks])
            fail_msg("'%s' is in the table, but in no test", a->name);
    assert_null(attack_find("nothing"));
}

int main(int argc, char **argv)
{
    static struct cell cells[COUNT(scenarios) * 3];
    static struct CMUnitTest tests[COUNT(cells) + 2];
    size_t n = 0;
    FILE *f;

    if (argc != 3 || !(f = fopen(argv[2], "re"))) {
        fprintf(stderr, "usage: test_attack VICTIM PAGE\n");
        return 1;
    }
    image = argv[1];
    page_path = argv[2];
    (void)!fread(page_text, 1, sizeof(page_text) - 1, f);
    fclose(f);
    for (size_t i = 0; i < COUNT(scenarios); i++)
        for (enum sev_level mode = SEV_PLAIN; mode <= SEV_SNP; mode++, n++) {
            cells[n] = (struct cell){.s = &scenarios[i], .mode = mode};
            snprintf(cells[n].name, sizeof(cells[n].name), "%s: %s", modes[mode],
                     scenarios[i].title);
            tests[n] = (struct CMUnitTest){
                .name = cells[n].name, .test_func = plays, .initial_state = &cells[n]};
        }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_page_has_no_other_rows);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(every_attack_is_played);
    return _cmocka_run_group_tests("attacks", tests, n, NULL, NULL);
}
