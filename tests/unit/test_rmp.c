/* The reverse map table: its registers, its entries in memory, what the host's instructions do to
 * them, and the host's stores. */
#include "rmp_rig.h"

RIG_END

/* ---- registers ------------------------------------------------------------------------------- */
static uint64_t msr(unsigned core, uint32_t number)
{
    uint64_t v = 0;

    assert_true(cpu_rdmsr(soc_core(rig.soc, core), number, &v));
    return v;
}

static void bounds_have_a_grain_and_lock(void **state)
{
    struct cpu *c = rig.c;

    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT + 0x1000));
    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, BIT(52)));
    assert_true(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT));
    assert_true(cpu_wrmsr(c, MSR_RMP_END, RMP_AT + MIB - 0x2000));
    assert_int_equal(msr(1, MSR_RMP_BASE), RMP_AT);
    assert_int_equal(msr(1, MSR_RMP_END), RMP_AT + MIB - 1);
    assert_true(cpu_wrmsr(c, MSR_SYSCFG, SNP_BITS));
    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, 0));
    assert_false(cpu_wrmsr(c, MSR_RMP_END, 0));
}

static void syscfg_sticks(void **state)
{
    assert_false(rmp_enabled(t));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, BIT(23)));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, SNP_BITS));
    assert_false(rmp_enabled(t)); /* the other core is not there yet */
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, 0));
    assert_int_equal(msr(0, MSR_SYSCFG), SNP_BITS);
    assert_true(cpu_wrmsr(soc_core(rig.soc, 1), MSR_SYSCFG, SNP_BITS));
    assert_true(rmp_enabled(t));
    assert_false(rmp_enforced(t));
    rmp_release(t);
    assert_int_equal(msr(1, MSR_SYSCFG), BIT(23));
    assert_int_equal(msr(0, MSR_SYSCFG), BIT(23));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, 0));
    assert_int_equal(msr(0, MSR_SYSCFG), 0);
}

static void older_chips_have_none(void **state)
{
    uint64_t v;

    make(CHIP_ROME, 1);
    assert_false(cpu_wrmsr(rig.c, MSR_SYSCFG, SNP_BITS));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, BIT(23)));
    assert_false(cpu_rdmsr(rig.c, MSR_RMP_BASE, &v));
    assert_false(cpu_wrmsr(rig.c, MSR_RMP_END, 0xFFFFF));
    assert_int_equal(cpu_psmash(rig.c, 0), CPU_RMP_UD);
}

/* ---- the table in memory --------------------------------------------------------------------- */
static uint64_t low_of(uint64_t spa)
{
    uint64_t v;

    assert_true(soc_read(rig.soc, RMP_AT + 0x4000 + (spa >> 12) * 16, &v, 8));
    return v;
}

static uint64_t high_of(uint64_t spa)
{
    uint64_t v;

    assert_true(soc_read(rig.soc, RMP_AT + 0x4000 + (spa >> 12) * 16 + 8, &v, 8));
    return v;
}

static void a_fresh_table(void **state)
{
    uint64_t past = (MIB - 0x4000) / 16 * 4096;

    for (uint64_t spa = 0; spa < BYTES; spa += 4096) {
        bool own = spa >= RMP_AT && spa < RMP_AT + MIB;

        assert_int_equal(rmp_state(t, spa), own ? RMP_FIRMWARE : RMP_HYPERVISOR);
    }
    assert_int_equal(low_of(RMP_AT + 0x1000), UINT64_C(0x8000000000000005));
    assert_int_equal(rmp_state(t, BYTES), RMP_HV_FIXED); /* no memory there */
    assert_int_equal(low_of(past - 4096), 4);
    assert_int_equal(rmp_state(t, past), RMP_DEFAULT);
    assert_false(soc_write(rig.soc, RMP_AT, &past, 8));
    assert_false(soc_write(rig.soc, RMP_AT + MIB - 8, &past, 8));
    assert_true(soc_write(rig.soc, RMP_AT + MIB, &past, 8));
}

static void bounds_that_make_no_table(void **state)
{
    static const uint64_t wrong[][2] = {{RMP_AT, RMP_AT - 1},
                                        {RMP_AT, RMP_AT + MIB / 2 - 1},
                                        {RMP_AT + 0x2000, RMP_AT + MIB - 1},
                                        {BYTES - MIB, BYTES + MIB - 1},
                                        {0, UINT64_MAX}};

    rmp_set_bounds(t, RMP_AT, RMP_AT + MIB - 1);
    assert_false(rmp_init_table(t)); /* SNP is off */
    rmp_enable(t, true);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        rmp_set_bounds(t, wrong[i][0], wrong[i][1]);
        assert_false(rmp_init_table(t));
    }
    rmp_set_bounds(t, RMP_AT, RMP_AT + MIB - 1);
    assert_true(rmp_init_table(t));
}

static void assert_entry(const struct rmp_entry *found, const struct rmp_entry *want)
{
    assert_int_equal(found->assigned, want->assigned);
    assert_int_equal(found->validated, want->validated);
    assert_int_equal(found->immutable, want->immutable);
    assert_int_equal(found->vmsa, want->vmsa);
    assert_int_equal(found->large, want->large);
    assert_int_equal(found->asid, want->asid);
    assert_int_equal(found->gpa, want->gpa);
    assert_memory_equal(found->perms, want->perms, sizeof(want->perms));
}

static void entries_in_memory(void **state)
{
    struct rmp_entry e = {.assigned = true,
                          .validated = true,
                          .vmsa = true,
                          .asid = 0x2A5,
                          .gpa = UINT64_C(0x7123456789000),
                          .perms = {0xF, 1, 3, 5}},
                     back;

    rmp_put(t, AREA + 0x3000, &e);
    assert_int_equal(low_of(AREA + 0x3000), 1 | e.gpa | UINT64_C(0x2A5) << 51 | BIT(61) | BIT(62));
    assert_int_equal(high_of(AREA + 0x3000), 0x0503010F);
    assert_int_equal(low_of(AREA), 1 << 3); /* one page that follows is assigned */
    back = rmp_get(t, AREA + 0x3000);
    assert_entry(&back, &e);
    e = (struct rmp_entry){.immutable = true};
    rmp_put(t, AREA + 0x3000, &e);
    assert_int_equal(low_of(AREA + 0x3000), 4);
    assert_int_equal(low_of(AREA), 0);
    /* A 2 MiB page: the entry is the first, the others show Assigned alone. */
    e = guest_page(AREA_GPA, true);
    rmp_put(t, AREA, &e);
    assert_int_equal(low_of(AREA) & 7, 3);
    assert_int_equal(low_of(AREA + 0x1000), 1);
    assert_int_equal(low_of(AREA + 2 * MIB - 0x1000), 1);
    assert_int_equal(low_of(AREA + 2 * MIB), 0);
    back = rmp_get(t, AREA + 0x5678);
    assert_true(back.large && back.asid == ASID && back.gpa == AREA_GPA + 0x5000);
    /* A 4 KiB entry inside it: the others stay as they were, in pieces. */
    e = (struct rmp_entry){.assigned = true};
    rmp_put(t, AREA + 0x1000, &e);
    assert_int_equal(rmp_state(t, AREA + 0x1000), RMP_RECLAIM);
    back = rmp_get(t, AREA + 0x2000);
    assert_true(!back.large && back.asid == ASID && back.gpa == AREA_GPA + 0x2000);
}

/* ---- RMPUPDATE, PSMASH ------------------------------------------------------------------------
 */
#define L 1 /* 2 MiB */
static const struct {
    const char *law;
    struct rmp_entry before; /* at AREA, or AREA + 4 KiB where `second` */
    bool second;
    uint64_t spa;
    struct rmp_update state;
    unsigned code;
} updates[] = {
    {"assigns 4 KiB", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, ASID}, 0},
    {"assigns 2 MiB", {0}, 0, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 0},
    {"pre-guest pages", {0}, 0, AREA, {AREA_GPA, 1, L, 1, 0, ASID}, 0},
    {"firmware pages", {0}, 0, AREA + 0x1000, {0, 1, 0, 1, 0, 0}, 0},
    {"takes back", {.assigned = 1, .asid = 3}, 0, AREA, {0, 0, 0, 0, 0, 0}, 0},
    {"takes back 2 MiB", {.assigned = 1, .large = 1}, 0, AREA, {0, 0, L, 0, 0, 0}, 0},
    {"an odd 2 MiB address", {0}, 0, AREA + 0x1000, {AREA_GPA, 1, L, 0, 0, ASID}, 1},
    {"an odd 2 MiB GPA", {0}, 0, AREA, {AREA_GPA + 0x1000, 1, L, 0, 0, ASID}, 1},
    {"an odd address", {0}, 0, AREA + 8, {AREA_GPA, 1, 0, 0, 0, ASID}, 1},
    {"no size", {0}, 0, AREA, {AREA_GPA, 1, 2, 0, 0, ASID}, 1},
    {"reserved byte", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 1, ASID}, 1},
    {"unassigned, immutable", {0}, 0, AREA, {0, 0, 0, 1, 0, 0}, 1},
    {"unassigned, ASID", {0}, 0, AREA, {0, 0, 0, 0, 0, ASID}, 1},
    {"an ASID that no entry holds", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, 1024}, 1},
    {"a GPA that no entry holds", {0}, 0, AREA, {BIT(51), 1, 0, 0, 0, ASID}, 1},
    {"not covered", {0}, 0, 1024 * MIB, {AREA_GPA, 1, 0, 0, 0, ASID}, 1},
    {"immutable", {.assigned = 1, .immutable = 1}, 0, AREA, {0, 0, 0, 0, 0, 0}, 2},
    {"fixed", {.immutable = 1}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, ASID}, 2},
    {"fixed below 2 MiB", {.immutable = 1}, 1, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 2},
    {"4 KiB over 2 MiB", {.assigned = 1, .large = 1}, 0, AREA, {0, 0, 0, 0, 0, 0}, 4},
    {"4 KiB inside 2 MiB", {.assigned = 1, .large = 1}, 0, AREA + 0x7000, {0, 0, 0, 0, 0, 0}, 4},
    {"2 MiB over 4 KiB", {.assigned = 1}, 1, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 4},
};

static void rmpupdate(void **state)
{
    const struct rmp_entry none = {0}, none_large = {.large = true};

    for (size_t i = 0; i < COUNT(updates); i++) {
        const struct rmp_update *u = &updates[i].state;
        uint64_t at = AREA + (updates[i].second ? 0x1000 : 0);
        struct rmp_entry was, e;
        unsigned code;

        rmp_put(t, AREA, &none_large);
        rmp_put(t, AREA, &none);
        rmp_put(t, at, &updates[i].before);
        was = rmp_get(t, updates[i].spa);
        code = cpu_rmpupdate(rig.c, updates[i].spa, u);
        if (code != updates[i].code)
            fail_msg("%s: code %u", updates[i].law, code);
        e = rmp_get(t, updates[i].spa);
        if (code) {
            assert_entry(&e, &was);
            continue;
        }
        assert_true(e.assigned == u->assigned && e.asid == u->asid && e.immutable == u->immutable &&
                    e.gpa == u->gpa && !e.validated && !e.vmsa &&
                    e.large == (u->assigned && u->page_size));
        assert_int_equal(load32(e.perms), u->asid ? VMPL_ALL : 0);
        assert_int_equal(rmp_get(t, AREA + MIB).assigned, u->assigned && u->page_size);
    }
}

static void psmash(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, true), piece;

    e.vmsa = true;
    assert_int_equal(cpu_psmash(rig.c, AREA + 0x1000), RMP_FAIL_INPUT);
    assert_int_equal(cpu_psmash(rig.c, 1024 * MIB), RMP_FAIL_INPUT);
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_FAIL_BADADDR);
    rmp_put(t, AREA, &e);
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_SUCCESS);
    for (unsigned i = 0; i < 512; i++) {
        e.large = false;
        e.gpa = AREA_GPA + i * 4096;
        piece = rmp_get(t, AREA + i * 4096);
        assert_entry(&piece, &e);
    }
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_FAIL_BADADDR);
    /* Piece by piece they can be taken back; then all 2 MiB are free again. */
    for (unsigned i = 0; i < 512; i++) {
        assert_false(rmp_free_2m(t, AREA));
        assert_int_equal(cpu_rmpupdate(rig.c, AREA + i * 4096, &(struct rmp_update){0}), 0);
    }
    assert_true(rmp_free_2m(t, AREA));
}

static void without_snp_there_are_no_instructions(void **state)
{
    struct rmp_update u = {0};

    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &u), CPU_RMP_UD);
    assert_int_equal(cpu_psmash(rig.c, AREA), CPU_RMP_UD);
    assert_int_equal(cpu_rmpread(rig.c, AREA, &u), CPU_RMP_UD);
}

/* ---- the host's stores ------------------------------------------------------------------------
 */
static void host_stores(void **state)
{
    static uint8_t bytes[3 * 4096];
    struct rmp_entry e = guest_page(AREA_GPA, false);
    uint64_t fault = 0;

    memset(bytes, 0x5A, sizeof(bytes));
    rmp_put(t, AREA + 2 * MIB, &e); /* first page of the next 2 MiB */
    assert_true(soc_write(rig.soc, AREA + 2 * MIB - 4096, bytes, 4096));
    assert_false(soc_write(rig.soc, AREA + 2 * MIB - 4096, bytes, 4097));
    assert_true(soc_rmp_fault(rig.soc, &fault));
    assert_int_equal(fault, AREA + 2 * MIB);
    assert_true(soc_write(rig.soc, AREA + 2 * MIB + 4096, bytes, sizeof(bytes)));
    assert_false(soc_rmp_fault(rig.soc, &fault));
    assert_false(soc_write(rig.soc, AREA + 2 * MIB + 4095, bytes, 2));
    rmp_put(t, AREA + 3 * MIB, &e);
    assert_false(soc_write(rig.soc, AREA + 3 * MIB - 8192, bytes, sizeof(bytes)));
    assert_true(soc_rmp_fault(rig.soc, &fault));
    assert_int_equal(fault, AREA + 3 * MIB);
    assert_true(soc_read(rig.soc, AREA + 3 * MIB - 8192, bytes, sizeof(bytes)));
    assert_int_equal(bytes[0], 0); /* nothing of it was done */
    assert_false(soc_write(rig.soc, BYTES - 8, bytes, 16));
    assert_false(soc_rmp_fault(rig.soc, NULL)); /* outside DRAM is another matter */
    assert_false(cpu_wrmsr(rig.c, MSR_HSAVE, AREA + 3 * MIB));
    assert_true(cpu_wrmsr(rig.c, MSR_HSAVE, AREA));
    assert_true(cpu_wrmsr(rig.c, MSR_HSAVE, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(bounds_have_a_grain_and_lock, bare),
        IN(syscfg_sticks, bare),
        IN(older_chips_have_none, NULL),
        IN(a_fresh_table, enabled),
        IN(bounds_that_make_no_table, bare),
        IN(entries_in_memory, enabled),
        IN(rmpupdate, enabled),
        IN(psmash, enabled),
        IN(without_snp_there_are_no_instructions, bare),
        IN(host_stores, enabled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
