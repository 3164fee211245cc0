/* The SNP firmware's page commands: every way that a page goes from state to state, pages that
 * leave memory and come back, and what debuggers see. */
#include "snp_fixture.h"

static int open_running(void **state)
{
    (void)open_initialised(state);
    guest_in_state(&rig, SNP_GUEST_RUNNING, POLICY | SNP_POLICY_DEBUG);
    return 0;
}

/* ---- debugging --------------------------------------------------------------------------------
 */

static void debuggers_see_with_leave(void **state)
{
    static uint8_t secret[FRAME_SIZE], seen[FRAME_SIZE];
    struct snp_cmd_dbg b = {AT_GCTX, AT_GUEST, AT_OUT};

    fill(secret, sizeof(secret), 5);
    page_is(&rig, AT_GUEST, RMP_GUEST_VALID, 0x7000, false);
    firmware_page(&rig, AT_OUT);
    guest_write(&rig, AT_GUEST, secret, sizeof(secret));
    GOOD(SNP_DO(&rig, DBG_DECRYPT, b));
    host_read(&rig, AT_OUT, seen, sizeof(seen));
    assert_memory_equal(seen, secret, sizeof(seen));
    secret[9]++;
    host_write(&rig, AT_OUT, secret, sizeof(secret));
    b = (struct snp_cmd_dbg){AT_GCTX, AT_OUT, AT_GUEST};
    assert_int_equal(SNP_DO(&rig, DBG_ENCRYPT, b), SEV_INVALID_PAGE_STATE);
    page_is(&rig, AT_GUEST, RMP_PRE_SWAP, 0x7000, false);
    GOOD(SNP_DO(&rig, DBG_ENCRYPT, b));
    guest_read(&rig, AT_GUEST, seen, sizeof(seen));
    assert_memory_equal(seen, secret, sizeof(seen));
}

/* ---- pages ------------------------------------------------------------------------------------
 */

static enum sev_status reclaim(uint64_t word)
{
    struct snp_cmd_page b = {word};

    return SNP_DO(&rig, PAGE_RECLAIM, b);
}

static void pages_are_reclaimed(void **state)
{
    static const struct {
        enum rmp_state from, to;
    } ways[] = {
        {RMP_FIRMWARE, RMP_RECLAIM},        {RMP_METADATA, RMP_RECLAIM},
        {RMP_PRE_GUEST, RMP_GUEST_INVALID}, {RMP_PRE_SWAP, RMP_GUEST_VALID},
        {RMP_RECLAIM, RMP_RECLAIM},         {RMP_HYPERVISOR, RMP_HYPERVISOR},
        {RMP_GUEST_VALID, RMP_GUEST_VALID}, {RMP_GUEST_INVALID, RMP_GUEST_INVALID},
    };

    for (unsigned i = 0; i < COUNT(ways); i++) {
        page_is(&rig, AT_GUEST, ways[i].from, 0x8000, false);
        GOOD(reclaim(AT_GUEST));
        assert_state(AT_GUEST, ways[i].to);
        if (ways[i].from == RMP_HYPERVISOR)
            continue;
        page_is(&rig, AT_LARGE, ways[i].from, 2 * MIB, true);
        assert_int_equal(reclaim(AT_LARGE), SEV_INVALID_PAGE_SIZE);
        GOOD(reclaim(AT_LARGE | SNP_RECLAIM_2M));
        assert_state(AT_LARGE + 0x1000, ways[i].to);
        assert_true(rmp_get(rig.rmp, AT_LARGE).large);
    }
    page_is(&rig, AT_GUEST, RMP_HV_FIXED, 0, false);
    assert_int_equal(reclaim(AT_GUEST), SEV_INVALID_PAGE_STATE);
    assert_int_equal(reclaim(AT_GCTX), SEV_INVALID_PAGE_STATE);
    page_is(&rig, AT_GUEST, RMP_FIRMWARE, 0, false);
    assert_int_equal(reclaim(AT_GUEST | SNP_RECLAIM_2M), SEV_INVALID_PAGE_SIZE);
    assert_int_equal(reclaim(DRAM_BYTES), SEV_INVALID_ADDRESS);
}

static void small_pages_become_a_large_one(void **state)
{
    static const enum rmp_state states[] = {RMP_PRE_GUEST, RMP_PRE_SWAP};
    struct snp_cmd_page b = {AT_LARGE};

    for (unsigned s = 0; s < COUNT(states); s++) {
        for (uint64_t at = 0; at < SNP_LARGE; at += FRAME_SIZE)
            page_is(&rig, AT_LARGE + at, states[s], 6 * MIB + at, false);
        page_is(&rig, AT_LARGE + 0x1FF000, states[s], 6 * MIB, false);
        assert_int_equal(SNP_DO(&rig, PAGE_UNSMASH, b), SEV_INVALID_PAGE_STATE);
        page_is(&rig, AT_LARGE + 0x1FF000, RMP_GUEST_VALID, 6 * MIB + 0x1FF000, false);
        assert_int_equal(SNP_DO(&rig, PAGE_UNSMASH, b), SEV_INVALID_PAGE_STATE);
        page_is(&rig, AT_LARGE + 0x1FF000, states[s], 6 * MIB + 0x1FF000, false);
        GOOD(SNP_DO(&rig, PAGE_UNSMASH, b));
        assert_true(rmp_get(rig.rmp, AT_LARGE + 0x3000).large);
        assert_state(AT_LARGE + 0x3000, states[s]);
        assert_int_equal(rmp_get(rig.rmp, AT_LARGE + 0x3000).gpa, 6 * MIB + 0x3000);
        page_is(&rig, AT_LARGE, RMP_HYPERVISOR, 0, true);
    }
    b.page_paddr += FRAME_SIZE;
    assert_int_equal(SNP_DO(&rig, PAGE_UNSMASH, b), SEV_INVALID_PARAM);
}

static enum sev_status move(uint64_t src, uint64_t dst, uint32_t flags)
{
    struct snp_cmd_page_move b = {AT_GCTX, flags, 0, src, dst};

    return SNP_DO(&rig, PAGE_MOVE, b);
}

static void pages_move(void **state)
{
    static uint8_t bytes[SNP_LARGE], seen[SNP_LARGE];

    fill(bytes, sizeof(bytes), 3);
    for (unsigned large = 0; large < 2; large++)
        for (unsigned valid = 0; valid < 2; valid++) {
            uint64_t from = large ? AT_LARGE : AT_GUEST,
                     to = large ? AT_LARGE2 : AT_GUEST + FRAME_SIZE;

            page_is(&rig, from, valid ? RMP_PRE_SWAP : RMP_PRE_GUEST, 4 * MIB, large);
            page_is(&rig, to, RMP_PRE_GUEST, 0x1000 * 512, large);
            guest_write(&rig, from, bytes, large ? SNP_LARGE : FRAME_SIZE);
            GOOD(move(from, to, large));
            assert_state(from, RMP_GUEST_INVALID);
            assert_state(to, valid ? RMP_GUEST_VALID : RMP_GUEST_INVALID);
            assert_int_equal(rmp_get(rig.rmp, to).gpa, 4 * MIB);
            assert_int_equal(rmp_get(rig.rmp, to).large, large);
            guest_read(&rig, to, seen, sizeof(seen) >> (large ? 0 : 9));
            assert_memory_equal(seen, bytes, large ? SNP_LARGE : FRAME_SIZE);
        }
    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x1000, false);
    assert_int_equal(move(AT_GUEST, AT_GUEST, 0), SEV_INVALID_PARAM);
    firmware_page(&rig, AT_MORE);
    assert_int_equal(move(AT_GUEST, AT_MORE, 0), SEV_INVALID_PAGE_STATE);
}

static void md_init(uint64_t spa)
{
    struct snp_cmd_page_md_init b = {AT_GCTX, spa};

    firmware_page(&rig, spa);
    GOOD(SNP_DO(&rig, PAGE_MD_INIT, b));
}

static void metadata_pages_move(void **state)
{
    static uint8_t seen[FRAME_SIZE];

    memset(seen, 1, sizeof(seen));
    host_write(&rig, AT_MD, seen, sizeof(seen));
    md_init(AT_MD);
    assert_state(AT_MD, RMP_METADATA);
    host_read(&rig, AT_MD, seen, sizeof(seen));
    assert_int_equal(seen[0] | seen[FRAME_SIZE - 1], 0);
    /* which only the firmware can make */
    assert_int_equal(rmp_update(rig.rmp, AT_MORE, AT_GCTX | BIT(48), true, false, true, 0),
                     RMP_FAIL_INPUT);
    firmware_page(&rig, AT_MORE);
    GOOD(move(AT_MD, AT_MORE, 0));
    assert_state(AT_MD, RMP_FIRMWARE);
    assert_state(AT_MORE, RMP_METADATA);
    assert_true(
        snp_is_metadata_of(&(struct rmp_entry){.gpa = rmp_get(rig.rmp, AT_MORE).gpa}, AT_GCTX));
}

static void firmware_pages_become_fixed(void **state)
{
    struct snp_cmd_page_set_state b = {.len = sizeof(b), .list_paddr = AT_LARGE};
    static struct snp_range_list list = {.count = 2, .ranges = {{0x50000, 2, 0}, {0x70000, 1, 0}}};

    host_write(&rig, AT_LARGE, &list, sizeof(list));
    firmware_page(&rig, 0x50000);
    firmware_page(&rig, 0x51000);
    assert_int_equal(SNP_DO(&rig, PAGE_SET_STATE, b), SEV_INVALID_PAGE_STATE);
    firmware_page(&rig, 0x70000);
    GOOD(SNP_DO(&rig, PAGE_SET_STATE, b));
    assert_state(0x50000, RMP_HV_FIXED);
    assert_state(0x51000, RMP_HV_FIXED);
    assert_state(0x70000, RMP_HV_FIXED);
    list.ranges[0].base = AT_RMP;
    host_write(&rig, AT_LARGE, &list, sizeof(list));
    assert_int_equal(SNP_DO(&rig, PAGE_SET_STATE, b), SEV_INVALID_ADDRESS);
    b.len--;
    assert_int_equal(SNP_DO(&rig, PAGE_SET_STATE, b), SEV_INVALID_LENGTH);
}

/* ---- swapping ---------------------------------------------------------------------------------
 */

static enum sev_status swap(bool in, uint64_t src, uint64_t dst, uint64_t mdata, uint32_t flags)
{
    struct snp_cmd_swap b = {AT_GCTX, src, dst, mdata, in ? 0 : 0x5057, flags, 0};

    return in ? SNP_DO(&rig, PAGE_SWAP_IN, b) : SNP_DO(&rig, PAGE_SWAP_OUT, b);
}

static void pages_go_and_come_back(void **state)
{
    static uint8_t bytes[SNP_LARGE], seen[SNP_LARGE], outside[SNP_LARGE];
    static const struct {
        bool large, validated;
        uint32_t flags;
    } cases[] = {
        {false, false, 0},
        {false, true, SNP_SWAP_TYPE(SNP_SWAP_VMSA)},
        {true, true, SNP_SWAP_2M},
        {false, true, SNP_SWAP_ROOT_MDATA},
    };
    struct snp_mdata m;

    md_init(AT_MD);
    fill(bytes, sizeof(bytes), 8);
    for (unsigned i = 0; i < COUNT(cases); i++) {
        bool large = cases[i].large, vmsa = cases[i].flags >> 1 & 3;
        uint64_t at = large ? AT_LARGE : AT_GUEST, to = large ? AT_LARGE2 : AT_SWAP;
        size_t len = large ? SNP_LARGE : FRAME_SIZE;
        struct rmp_entry e;

        page_is(&rig, at, cases[i].validated ? RMP_PRE_SWAP : RMP_PRE_GUEST, 4 * MIB, large);
        e = rmp_get(rig.rmp, at);
        e.vmsa = vmsa;
        e.perms[2] = VMPL_READ;
        rmp_put(rig.rmp, at, &e);
        page_is(&rig, to, RMP_FIRMWARE, 0, large);
        guest_write(&rig, at, bytes, len);
        GOOD(swap(false, at, to, AT_MD + 0x40, cases[i].flags));
        assert_state(at, RMP_PRE_GUEST);
        assert_int_equal(guest_at(&rig, AT_GCTX)->oek_iv, i + 1);
        host_read(&rig, to, outside, len);
        assert_memory_not_equal(outside, bytes, 64);
        host_read(&rig, AT_MD + 0x40, &m, sizeof(m));
        if (!(cases[i].flags & SNP_SWAP_ROOT_MDATA)) {
            assert_int_equal(m.software_data, 0x5057);
            assert_int_equal(m.flags & SNP_MDATA_VALID, SNP_MDATA_VALID);
            assert_int_equal(m.iv, i + 1);
        }
        /* elsewhere it does not fit, nor when it was changed */
        page_is(&rig, at, RMP_PRE_GUEST, 6 * MIB, large);
        assert_int_equal(swap(true, to, at, AT_MD + 0x40, cases[i].flags), SEV_INVALID_MDATA_ENTRY);
        page_is(&rig, at, RMP_PRE_GUEST, 4 * MIB, large);
        outside[77] ^= 1;
        host_write(&rig, to, outside, len);
        assert_int_equal(swap(true, to, at, AT_MD + 0x40, cases[i].flags), SEV_BAD_MEASUREMENT);
        outside[77] ^= 1;
        host_write(&rig, to, outside, len);
        GOOD(swap(true, to, at, AT_MD + 0x40, cases[i].flags));
        assert_state(at, cases[i].validated ? RMP_PRE_SWAP : RMP_PRE_GUEST);
        assert_int_equal(rmp_get(rig.rmp, at).vmsa, vmsa);
        assert_int_equal(rmp_get(rig.rmp, at).perms[2], VMPL_READ);
        guest_read(&rig, at, seen, len);
        assert_memory_equal(seen, bytes, len);
        /* once */
        page_is(&rig, at, RMP_PRE_GUEST, 4 * MIB, large);
        assert_int_equal(swap(true, to, at, AT_MD + 0x40, cases[i].flags), SEV_INVALID_MDATA_ENTRY);
        page_is(&rig, to, RMP_HYPERVISOR, 0, large);
    }
}

static void metadata_goes_and_comes_back(void **state)
{
    const uint32_t flags = SNP_SWAP_TYPE(SNP_SWAP_METADATA) | SNP_SWAP_ROOT_MDATA;
    static uint8_t before[FRAME_SIZE], after[FRAME_SIZE];

    md_init(AT_MD);
    firmware_page(&rig, AT_SWAP);
    page_is(&rig, AT_GUEST, RMP_PRE_SWAP, 0x1000, false);
    GOOD(swap(false, AT_GUEST, AT_SWAP, AT_MD, 0));
    host_read(&rig, AT_MD, before, sizeof(before));
    firmware_page(&rig, AT_MORE);
    GOOD(swap(false, AT_MD, AT_MORE, 0, flags));
    assert_state(AT_MD, RMP_FIRMWARE);
    GOOD(swap(true, AT_MORE, AT_MD, 0, flags));
    assert_state(AT_MD, RMP_METADATA);
    host_read(&rig, AT_MD, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(after));
    GOOD(swap(true, AT_SWAP, AT_GUEST, AT_MD, 0));
}

static void swaps_in_place(void **state)
{
    static uint8_t bytes[FRAME_SIZE], seen[FRAME_SIZE];

    md_init(AT_MD);
    fill(bytes, sizeof(bytes), 4);
    firmware_page(&rig, AT_SWAP);
    page_is(&rig, AT_GUEST, RMP_PRE_SWAP, 0x1000, false);
    guest_write(&rig, AT_GUEST, bytes, sizeof(bytes));
    GOOD(swap(false, AT_GUEST, AT_SWAP, AT_MD, 0));
    host_read(&rig, AT_SWAP, seen, sizeof(seen));
    host_write(&rig, AT_GUEST, seen, sizeof(seen));
    assert_int_equal(swap(true, AT_SWAP, AT_GUEST, AT_MD, SNP_SWAP_IN_PLACE), SEV_INVALID_ADDRESS);
    GOOD(swap(true, AT_GUEST, AT_GUEST, AT_MD, SNP_SWAP_IN_PLACE));
    guest_read(&rig, AT_GUEST, seen, sizeof(seen));
    assert_memory_equal(seen, bytes, sizeof(seen));
    assert_int_equal(
        swap(true, AT_GUEST, AT_GUEST, AT_MD, SNP_SWAP_IN_PLACE | SNP_SWAP_TYPE(SNP_SWAP_VMSA)),
        SEV_INVALID_PARAM);
}

static void swapping_has_its_refusals(void **state)
{
    struct snp_guest *g = guest_at(&rig, AT_GCTX);

    md_init(AT_MD);
    firmware_page(&rig, AT_SWAP);
    page_is(&rig, AT_GUEST, RMP_PRE_SWAP, 0x1000, false);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, SNP_SWAP_TYPE(3)), SEV_INVALID_PARAM);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, SNP_SWAP_IN_PLACE), SEV_INVALID_PARAM);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD + 0x20, 0), SEV_INVALID_PARAM);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_GUEST + 0x40, 0), SEV_INVALID_PARAM);
    assert_int_equal(swap(false, AT_GUEST, AT_MORE, AT_MD, 0), SEV_INVALID_PAGE_STATE);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MORE, 0), SEV_INVALID_PAGE_STATE);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, SNP_SWAP_2M), SEV_INVALID_PAGE_SIZE);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, SNP_SWAP_TYPE(SNP_SWAP_VMSA)),
                     SEV_INVALID_PAGE_STATE);
    page_is(&rig, AT_MORE, RMP_METADATA, AT_GCTX2, false);
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MORE, 0), SEV_INVALID_PAGE_OWNER);
    g->policy |= SNP_POLICY_PAGE_SWAP_DISABLE;
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, 0), SEV_POLICY_FAILURE);
    g->policy &= ~SNP_POLICY_PAGE_SWAP_DISABLE;
    g->oek_iv = UINT64_MAX - 1;
    assert_int_equal(swap(false, AT_GUEST, AT_SWAP, AT_MD, 0), SEV_AEAD_OFLOW);
    g->oek_iv--;
    GOOD(swap(false, AT_GUEST, AT_SWAP, AT_MD, 0));
}

#define READY(test) cmocka_unit_test_setup_teardown(test, open_initialised, close_rig)
#define RUNS(test)  cmocka_unit_test_setup_teardown(test, open_running, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUNS(debuggers_see_with_leave),
        RUNS(pages_are_reclaimed),
        RUNS(small_pages_become_a_large_one),
        RUNS(pages_move),
        RUNS(metadata_pages_move),
        READY(firmware_pages_become_fixed),
        RUNS(pages_go_and_come_back),
        RUNS(metadata_goes_and_comes_back),
        RUNS(swaps_in_place),
        RUNS(swapping_has_its_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
