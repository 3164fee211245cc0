/* What translations must forget when the reverse map table changes. */
#include "rmp_rig.h"

#include "silicon/cpu/block.h"

RIG_END

/* As code does: by the pointers that cores keep. */
static struct outcome touch(uint64_t la, bool write)
{
    static const uint8_t load[] = {0x8A, 0x08}, store[] = {0x88, 0x08}; /* MOV CL, [RAX] */

    rig.c->r[RAX] = la;
    return try_insn(&rig, write ? store : load, 2);
}

/* ---- what translations forget ------------------------------------------------------------------
 */
static void both_ways(uint64_t la)
{
    assert_int_equal(try_access(&rig, la, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, la, ACCESS_WRITE).how, DONE);
    assert_int_equal(touch(la, false).how, DONE);
    assert_int_equal(touch(la, true).how, DONE);
}

static void rmpupdate_is_felt_at_once(void **state)
{
    struct rmp_update back = {0}, again = {AREA_GPA, 1, 0, 0, 0, ASID};

    put_kind(VALID);
    both_ways(LA);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &again), 0); /* the same, but not validated */
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).error, 0x404);
    put_kind(VALID);
    both_ways(LA);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &back), 0);
    assert_int_equal(touch(LA, false).info1, RMPFAULT);
    assert_int_equal(touch(LA, true).info1, RMPFAULT | NPF_WRITE);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT);
    both_ways(SHARED);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &again), 0);
    assert_int_equal(touch(SHARED, true).how, EXIT);
    assert_int_equal(touch(SHARED, false).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_WRITE).info1,
                     (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

static void large_mappings_lose_writes_with_the_first_page(void **state)
{
    struct rmp_update one = {AREA_GPA, 1, 0, 0, 0, ASID};

    put_kind(FREE);
    map_area(true);
    both_ways(SHARED + 0x5000);
    both_ways(SHARED + 0x6000);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA + 0x9000, &one), 0);
    assert_int_equal(try_access(&rig, SHARED + 0x5000, ACCESS_WRITE).how, EXIT);
    assert_int_equal(try_access(&rig, SHARED + 0x6000, ACCESS_WRITE).how, EXIT);
}

static void psmash_is_felt_at_once(void **state)
{
    put_kind(LARGE);
    map_area(true);
    both_ways(LA + 0x5000);
    assert_int_equal(cpu_psmash(rig.c, AREA), 0);
    assert_int_equal(try_access(&rig, LA + 0x5000, ACCESS_READ).info1, RMPFAULT);
    map_area(false);
    both_ways(LA + 0x5000);
}

static void guests_instructions_are_felt_at_once(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA + 4096, false);
    struct cpu *c = rig.c;

    /* An alias: two linear addresses of one page. */
    rmp_put(t, AREA + 4096, &e);
    both_ways(LA + 4096);
    both_ways(OTHER);
    c->r[RAX] = OTHER;
    c->r[RCX] = c->r[RDX] = 0;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_READ).error, 0x404);
    assert_int_equal(c->cr2, LA + 4096);
    c->r[RAX] = OTHER;
    c->r[RCX] = 0;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    both_ways(LA + 4096);
    /* VMPL1 is where it can be hurt by RMPADJUST. */
    c->vmpl = 1;
    mmu_world(c, TABLE_GPA);
    both_ways(LA + 4096);
    c->vmpl = 0;
    mmu_world(c, TABLE_GPA);
    c->r[RAX] = OTHER;
    c->r[RCX] = 0;
    c->r[RDX] = 0x101;
    assert_int_equal(try_insn(&rig, RMPADJUST).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    c->vmpl = 1;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_WRITE).info1,
                     RMPFAULT | NPF_WRITE | NPF_VMPL);
}

/* What one VMPL may do is no right of another's. */
static void vmpls_share_no_translation(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);

    e.perms[1] = VMPL_READ;
    rmp_put(t, AREA, &e);
    for (unsigned i = 0; i < 2; i++) {
        rig.c->vmpl = 0;
        mmu_world(rig.c, TABLE_GPA);
        both_ways(LA);
        rig.c->vmpl = 1;
        mmu_world(rig.c, TABLE_GPA);
        assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
        assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE | NPF_VMPL);
        rig.c->vmpl = 2;
        mmu_world(rig.c, TABLE_GPA);
        assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT | NPF_VMPL);
    }
}

/* Few changes or many while a core is outside its guest. */
static void other_cores_forget_when_they_enter(void **state)
{
    struct cpu *other = soc_core(rig.soc, 1);

    for (unsigned changes = 1; changes < 64; changes += 31) {
        rig.c = other;
        become_guest(other);
        mode(&rig, 0, true);
        map_area(false);
        for (unsigned i = 0; i < changes; i++) {
            struct rmp_entry e = guest_page(AREA_GPA + i * 4096, false);

            rmp_put(t, AREA + i * 4096, &e);
            both_ways(LA + i * 4096);
        }
        other->guest = false;
        for (unsigned i = 0; i < changes; i++)
            assert_int_equal(
                cpu_rmpupdate(soc_core(rig.soc, 0), AREA + i * 4096, &(struct rmp_update){0}), 0);
        other->guest = true;
        mmu_world(other, TABLE_GPA);
        for (unsigned i = 0; i < changes; i++)
            assert_int_equal(try_access(&rig, LA + i * 4096, ACCESS_READ).how, EXIT);
    }
}

static void do_find(struct attempt *a)
{
    (void)block_find(a->r->c, a->la);
}

static void decoded_code_goes_too(void **state)
{
    static const uint8_t nops[64] = {0x90, 0x90, 0xF4};
    struct attempt a = {.r = &rig, .la = LA + 0x10};

    put_kind(VALID);
    assert_true(dram_write(rig.c->dram, AREA, key, nops, sizeof(nops)));
    assert_int_equal(attempt(do_find, &a).how, DONE);
    assert_int_equal(attempt(do_find, &a).how, DONE);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &(struct rmp_update){0}), 0);
    assert_int_equal(attempt(do_find, &a).info1, RMPFAULT | NPF_FETCH);
}

/* A way through the guest's tables that is remembered does not outlive a table's page. */
static void guests_tables_are_watched(void **state)
{
    struct rmp_entry e = guest_page(TABLE_GPA + 0x3000, false);

    put_kind(FREE);
    for (unsigned i = 1; i < 4; i++) {
        struct rmp_entry page = guest_page(AREA_GPA + i * 4096, false);

        rmp_put(t, AREA + i * 4096, &page);
    }
    both_ways(OTHER);
    e.validated = false;
    rmp_put(t, TABLE_SPA + 0x3000, &e);
    assert_int_equal(try_access(&rig, OTHER + 4096, ACCESS_READ).error, 0x404);
    assert_int_equal(rig.c->cr2, OTHER + 4096);
    e.validated = true;
    rmp_put(t, TABLE_SPA + 0x3000, &e);
    both_ways(OTHER + 4096);
    e = guest_page(TABLE_GPA, false);
    e.asid = ASID + 1;
    rmp_put(t, TABLE_SPA, &e); /* the root */
    assert_int_equal(try_access(&rig, OTHER + 8192, ACCESS_READ).info1,
                     (RMPFAULT & ~NPF_FINAL) | NPF_WALK | NPF_WRITE);
}

/* The host keeps nested tables in pages of its own (APM2 15.36.10: its page tables). */
static void nested_tables_are_the_hypervisors(void **state)
{
    struct rmp_entry e = guest_page(0, false);

    put_kind(VALID);
    both_ways(LA);
    rmp_put(t, NPT, &e);
    mmu_flush_all(rig.c);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT);
}

/* Translations from before the table was in force do not outlive that. */
static void the_table_comes_into_force(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);
    struct cpu *c = rig.c;

    rmp_release(t);
    c->snp = c->es = c->sev = false; /* a guest without keys, tables at the same addresses */
    c->key = DRAM_PLAIN;
    for (unsigned i = 0; i < 0x4000; i += 8) {
        uint64_t v;

        assert_true(dram_read(c->dram, TABLE_SPA + i, key, &v, 8));
        put_plain(SPARE + i, v & ~CBIT);
    }
    for (unsigned i = 0; i < 4; i++)
        put_plain(NPT + 0x1000 + (MIB / 4096 + i) * 8, (SPARE + i * 4096) | ALL);
    mmu_world(c, TABLE_GPA);
    mmu_flush_all(c);
    both_ways(LA);
    rmp_enable(t, true);
    assert_true(rmp_init_table(t));
    rmp_put(t, AREA, &e);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

/* SEV_FEATURES.VTOM: an address decides, not a bit (APM2 15.36.8). */
static void memory_is_private_below_virtual_tom(void **state)
{
    struct cpu *c = rig.c;

    put_kind(VALID);
    c->sev_features = 3; /* SNP, VTOM */
    c->virtual_tom = AREA_GPA + 2 * MIB;
    mmu_world(c, TABLE_GPA);
    both_ways(SHARED);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).error, 9); /* the C-bit is reserved */
    c->virtual_tom = AREA_GPA;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_WRITE).info1,
                     (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(rmpupdate_is_felt_at_once, snp_guest),
        IN(large_mappings_lose_writes_with_the_first_page, snp_guest),
        IN(psmash_is_felt_at_once, snp_guest),
        IN(guests_instructions_are_felt_at_once, snp_guest),
        IN(vmpls_share_no_translation, snp_guest),
        IN(other_cores_forget_when_they_enter, snp_guest),
        IN(decoded_code_goes_too, snp_guest),
        IN(guests_tables_are_watched, snp_guest),
        IN(nested_tables_are_the_hypervisors, snp_guest),
        IN(the_table_comes_into_force, snp_guest),
        IN(memory_is_private_below_virtual_tom, snp_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
