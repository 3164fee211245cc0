/* The SNP firmware's commands at work: platform, launch, digests, ID blocks, CPUID and secrets
 * pages, and every way that a page goes from state to state. */
#include "snp_fixture.h"

#include <stdio.h>

#include "crypto/cipher.h"
#include "silicon/vmsa.h"

static int open_off(void **state)
{
    rig_open(&rig, CHIP_GENOA);
    return 0;
}

static int open_launching(void **state)
{
    (void)open_initialised(state);
    guest_in_state(&rig, SNP_GUEST_LAUNCH, POLICY);
    return 0;
}

static struct snp_platform_status status_of_platform(void)
{
    struct snp_cmd_platform_status b = {AT_OUT + 0x20};
    struct snp_platform_status s;

    if (rmp_enforced(rig.rmp))
        firmware_page(&rig, AT_OUT);
    GOOD(SNP_DO(&rig, PLATFORM_STATUS, b));
    host_read(&rig, b.status_paddr, &s, sizeof(s));
    return s;
}

/* ---- platform ------------------------------------------------------------------------------- */

static void init_makes_the_table(void **state)
{
    struct snp_platform_status s = status_of_platform();

    assert_int_equal(s.state, SNP_PLATFORM_UNINIT);
    assert_int_equal(s.rmp_flags & SNP_STATUS_RMP_INITIALIZED, 0);
    GOOD(SNP_PLAIN(&rig, INIT));
    assert_true(rmp_enforced(rig.rmp));
    assert_state(0, RMP_HYPERVISOR);
    assert_state(AT_RMP, RMP_FIRMWARE);
    assert_state(AT_RMP + RMP_BYTES - FRAME_SIZE, RMP_FIRMWARE);
    assert_state(AT_FREE, RMP_HYPERVISOR);
    s = status_of_platform();
    assert_int_equal(s.state, SNP_PLATFORM_INIT);
    assert_int_equal(s.rmp_flags & SNP_STATUS_RMP_INITIALIZED, SNP_STATUS_RMP_INITIALIZED);
    assert_int_equal(s.api_major, 1);
    assert_int_equal(s.guest_count, 0);
    assert_int_equal(s.current_tcb, rig.asp->platform->versions.current.tcb);
    assert_int_equal(s.reported_tcb, rig.asp->platform->versions.committed.tcb);
    create(&rig, AT_GCTX);
    assert_int_equal(status_of_platform().guest_count, 1);
}

static void init_wants_the_cores_right(void **state)
{
    static const uint64_t bits[] = {BIT(19), BIT(23), BIT(24), BIT(25)};
    const struct core_msrs good = rig.cores[1];
    struct core_msrs bad[9] = {good, good, good, good, good, good, good, good, good};

    for (unsigned i = 0; i < COUNT(bits); i++)
        bad[i].syscfg &= ~bits[i];
    bad[4].hwcr = 0;
    bad[5].hsave = 0x5000;
    bad[6].rmp_base += MIB;
    bad[7].rmp_end += MIB;
    bad[8].syscfg |= BIT(20); /* legal, but not as the other core has it */
    for (unsigned i = 0; i < COUNT(bad); i++) {
        rig.cores[1] = bad[i];
        assert_int_equal(SNP_PLAIN(&rig, INIT), SEV_INVALID_CONFIG);
        assert_false(rmp_enforced(rig.rmp));
    }
    rig.cores[1] = good;
    asp_set_cores(rig.asp, NULL, NULL);
    assert_int_equal(SNP_PLAIN(&rig, INIT), SEV_INVALID_CONFIG);
}

static void init_wants_the_table_in_bounds(void **state)
{
    static const uint64_t bounds[][2] = {
        {AT_RMP, AT_RMP},           {AT_RMP + 0x1000, AT_RMP + MIB - 1},
        {AT_RMP, AT_RMP + MIB - 2}, {DRAM_BYTES, DRAM_BYTES + MIB - 1},
        {AT_RMP + MIB, AT_RMP - 1},
    };

    for (unsigned i = 0; i < COUNT(bounds); i++) {
        rmp_set_bounds(rig.rmp, bounds[i][0], bounds[i][1]);
        for (unsigned core = 0; core < CORES; core++) {
            rig.cores[core].rmp_base = bounds[i][0];
            rig.cores[core].rmp_end = bounds[i][1];
        }
        assert_int_equal(SNP_PLAIN(&rig, INIT), SEV_INVALID_CONFIG);
    }
}

static void init_ex_fixes_what_its_list_names(void **state)
{
    struct snp_cmd_init_ex b = {.flags = SNP_INIT_RMP | SNP_INIT_LIST, .list_paddr = AT_DATA};
    static struct snp_range_list list = {.count = 2, .ranges = {{0x50000, 3, 0}, {AT_RMP, 1, 0}}};
    struct snp_cmd_init_ex again = {0};

    host_write(&rig, AT_DATA, &list, sizeof(list));
    assert_int_equal(SNP_DO(&rig, INIT_EX, again), SEV_RMP_INIT_REQUIRED);
    list.count = SNP_RANGES_MAX + 1;
    host_write(&rig, AT_DATA, &list, sizeof(list));
    assert_int_equal(SNP_DO(&rig, INIT_EX, b), SEV_INVALID_PARAM);
    list.count = 2;
    host_write(&rig, AT_DATA, &list, sizeof(list));
    GOOD(SNP_DO(&rig, INIT_EX, b));
    assert_state(0x4F000, RMP_HYPERVISOR);
    assert_state(0x50000, RMP_HV_FIXED);
    assert_state(0x52000, RMP_HV_FIXED);
    assert_state(0x53000, RMP_HYPERVISOR);
    assert_state(AT_RMP, RMP_FIRMWARE); /* not the hypervisor's to have */
    flush(&rig);
    GOOD(SNP_PLAIN(&rig, SHUTDOWN));
    b.flags = SNP_INIT_LIST;
    assert_int_equal(SNP_DO(&rig, INIT_EX, b), SEV_INVALID_PARAM);
    GOOD(SNP_DO(&rig, INIT_EX, again)); /* the table as it was */
    assert_state(0x50000, RMP_HV_FIXED);
}

static void init_ex_refuses_what_the_chip_lacks(void **state)
{
    struct snp_cmd_init_ex b = {.flags = SNP_INIT_RMP | SNP_INIT_RAPL_DIS};

    assert_int_equal(SNP_DO(&rig, INIT_EX, b), SEV_INVALID_PARAM);
    rig_close(&rig);
    rig_open(&rig, CHIP_TURIN);
    b.flags |= SNP_INIT_HIDING;
    assert_int_equal(SNP_DO(&rig, INIT_EX, b), SEV_UNSUPPORTED);
    b.flags ^= SNP_INIT_HIDING;
    b.max_snp_asid = rig.asp->chip->min_sev_asid;
    assert_int_equal(SNP_DO(&rig, INIT_EX, b), SEV_INVALID_PARAM);
    b.max_snp_asid = ASID - 1;
    GOOD(SNP_DO(&rig, INIT_EX, b));
    assert_true(status_of_platform().flags & SNP_STATUS_RAPL_DIS);
    flush(&rig);
    create(&rig, AT_GCTX);
    GOOD(start(&rig, AT_GCTX, POLICY | SNP_POLICY_RAPL_DIS));
    assert_int_equal(activate(&rig, AT_GCTX, ASID), SEV_INVALID_ASID);
    GOOD(activate(&rig, AT_GCTX, ASID - 1));
}

static void shutdown_wants_everything_clean(void **state)
{
    struct snp_cmd_shutdown_ex b = {sizeof(b), SNP_SHUTDOWN_X86};

    GOOD(SNP_PLAIN(&rig, INIT));
    assert_int_equal(SNP_PLAIN(&rig, SHUTDOWN), SEV_DF_FLUSH_REQUIRED);
    assert_int_equal(SNP_PLAIN(&rig, DF_FLUSH), SEV_WBINVD_REQUIRED);
    flush(&rig);
    guest_in_state(&rig, SNP_GUEST_LAUNCH, POLICY);
    assert_int_equal(SNP_DO(&rig, SHUTDOWN_EX, b), SEV_INVALID_PARAM);
    b.flags |= SNP_SHUTDOWN_IOMMU;
    assert_int_equal(SNP_DO(&rig, SHUTDOWN_EX, b), SEV_DF_FLUSH_REQUIRED);
    GOOD(by_gctx(&rig, SNP_CMD_DECOMMISSION, AT_GCTX));
    create(&rig, AT_GCTX); /* without an ASID a guest does not hold it up */
    b.flags = 0;
    GOOD(SNP_DO(&rig, SHUTDOWN_EX, b));
    assert_state(AT_GCTX, RMP_FIRMWARE);
    assert_int_equal(rig.asp->snp->guest_count, 0);
    assert_true(rmp_enforced(rig.rmp));
    GOOD(SNP_DO(&rig, SHUTDOWN_EX, b)); /* already */
    GOOD(SNP_PLAIN(&rig, INIT));
    flush(&rig);
    b.flags = SNP_SHUTDOWN_IOMMU | SNP_SHUTDOWN_X86;
    GOOD(SNP_DO(&rig, SHUTDOWN_EX, b));
    assert_false(rmp_enforced(rig.rmp));
}

static void legacy_and_snp_take_turns(void **state)
{
    struct sev_cmd_init init = {0};

    assert_int_equal(command(&rig, SEV_CMD_INIT, &init, sizeof(init)),
                     SEV_INVALID_PLATFORM_STATE); /* cores want a table */
    rmp_enable(rig.rmp, false);
    GOOD(command(&rig, SEV_CMD_INIT, &init, sizeof(init)));
    rmp_enable(rig.rmp, true);
    assert_int_equal(SNP_PLAIN(&rig, INIT), SEV_INVALID_PLATFORM_STATE);
    GOOD(mailbox(&rig, SEV_CMD_SHUTDOWN, 0));
    rig_init(&rig);
    assert_int_equal(command(&rig, SEV_CMD_INIT, &init, sizeof(init)), SEV_SUCCESS);
    assert_int_equal(SNP_PLAIN(&rig, SHUTDOWN), SEV_INVALID_PLATFORM_STATE);
}

static void features_are_told(void **state)
{
    struct snp_cmd_feature_info b = {sizeof(b), 0, AT_OUT};
    uint32_t out[4];

    GOOD(SNP_DO(&rig, FEATURE_INFO, b));
    host_read(&rig, AT_OUT, out, sizeof(out));
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[2], 3);
    b.ecx_in = 1;
    GOOD(SNP_DO(&rig, FEATURE_INFO, b));
    host_read(&rig, AT_OUT, out, sizeof(out));
    assert_int_equal(out[0], 0x1FF);
    b.ecx_in = 2;
    assert_int_equal(SNP_DO(&rig, FEATURE_INFO, b), SEV_INVALID_PARAM);
    b.ecx_in = 0;
    b.paddr = AT_OUT + 2;
    assert_int_equal(SNP_DO(&rig, FEATURE_INFO, b), SEV_INVALID_ADDRESS);
    b.paddr = AT_OUT + FRAME_SIZE - 8;
    assert_int_equal(SNP_DO(&rig, FEATURE_INFO, b), SEV_INVALID_ADDRESS);
}

/* ---- TCB --------------------------------------------------------------------------------------
 */

static void config_goes_down_only(void **state)
{
    uint64_t committed = rig.asp->platform->versions.committed.tcb;
    struct snp_cmd_config b = {.reported_tcb = committed - BIT(56),
                               .flags = SNP_CONFIG_MASK_CHIP_ID};
    struct snp_cmd_commit commit = {sizeof(commit)};

    GOOD(SNP_DO(&rig, CONFIG, b));
    assert_int_equal(status_of_platform().reported_tcb, committed - BIT(56));
    assert_true(status_of_platform().flags & SNP_STATUS_MASK_CHIP_ID);
    b.reported_tcb = committed + BIT(56);
    assert_int_equal(SNP_DO(&rig, CONFIG, b), SEV_INVALID_PARAM);
    b.reported_tcb = BIT(16); /* a reserved byte */
    assert_int_equal(SNP_DO(&rig, CONFIG, b), SEV_INVALID_PARAM);
    /* one number: a lower boot loader makes up for any microcode */
    b.reported_tcb = (committed - 1) | UINT64_C(0xFF) << 56;
    GOOD(SNP_DO(&rig, CONFIG, b));
    GOOD(SNP_DO(&rig, COMMIT, commit));
    assert_int_equal(status_of_platform().reported_tcb, committed);
}

static struct snp_firmware_image image_of(const struct snp_firmware *fw)
{
    struct snp_firmware_image image = {.version = SNP_FIRMWARE_VERSION,
                                       .size = sizeof(image),
                                       .api_major = fw->major,
                                       .api_minor = fw->minor,
                                       .build = fw->build,
                                       .tcb = fw->tcb};

    memcpy(image.magic, SNP_FIRMWARE_MAGIC, sizeof(image.magic));
    assert_true(sha384(image.sha384, &image, offsetof(struct snp_firmware_image, sha384)));
    return image;
}

static enum sev_status download(const struct snp_firmware *fw, uint32_t flags)
{
    struct snp_firmware_image image = image_of(fw);
    struct snp_cmd_download_firmware_ex b = {
        .len = sizeof(b), .fw_paddr = AT_DATA, .fw_len = sizeof(image), .flags = flags};

    host_write(&rig, AT_DATA, &image, sizeof(image));
    return SNP_DO(&rig, DOWNLOAD_FIRMWARE_EX, b);
}

static void firmware_goes_up_only(void **state)
{
    const struct snp_firmware old = rig.asp->platform->versions.current;
    struct snp_firmware fw = old;
    struct snp_cmd_init_ex again = {0};

    fw.tcb += BIT(48) + BIT(56);
    fw.build++;
    GOOD(download(&fw, 0));
    assert_int_equal(status_of_platform().current_tcb, fw.tcb);
    assert_int_equal(status_of_platform().reported_tcb, old.tcb);
    assert_int_equal(status_of_platform().build_id, fw.build);
    GOOD(download(&old, 0)); /* not committed: there is a way back */
    GOOD(download(&fw, SNP_DOWNLOAD_COMMIT));
    assert_int_equal(status_of_platform().reported_tcb, fw.tcb);
    assert_int_equal(download(&old, 0), SEV_BAD_SVN);
    fw.build--;
    assert_int_equal(download(&fw, 0), SEV_BAD_VERSION);
    flush(&rig);
    GOOD(SNP_PLAIN(&rig, SHUTDOWN)); /* the table was made under another TCB */
    assert_int_equal(SNP_DO(&rig, INIT_EX, again), SEV_RMP_INIT_REQUIRED);
}

static void firmware_images_are_checked(void **state)
{
    const struct snp_firmware fw = rig.asp->platform->versions.current;
    struct snp_firmware_image image = image_of(&fw);
    struct snp_cmd_download_firmware_ex b = {
        .len = sizeof(b), .fw_paddr = AT_DATA, .fw_len = sizeof(image)};

    image.tcb++;
    host_write(&rig, AT_DATA, &image, sizeof(image));
    assert_int_equal(SNP_DO(&rig, DOWNLOAD_FIRMWARE_EX, b), SEV_BAD_SIGNATURE);
    image.magic[0]++;
    host_write(&rig, AT_DATA, &image, sizeof(image));
    assert_int_equal(SNP_DO(&rig, DOWNLOAD_FIRMWARE_EX, b), SEV_BAD_SIGNATURE);
    b.fw_len--;
    assert_int_equal(SNP_DO(&rig, DOWNLOAD_FIRMWARE_EX, b), SEV_INVALID_LENGTH);
    b.fw_paddr += 16;
    assert_int_equal(SNP_DO(&rig, DOWNLOAD_FIRMWARE_EX, b), SEV_INVALID_ADDRESS);
}

static void vlek_is_for_one_tcb(void **state)
{
    uint64_t tcb = snp_reported_tcb(rig.asp);
    uint8_t vcek[VCEK_HASH_BYTES], hashes[VLEK_HASHES][VCEK_HASH_BYTES];
    struct snp_cmd_vlek_load b = {.len = sizeof(b), .paddr = AT_DATA};
    struct snp_cmd_config config = {.reported_tcb = tcb - BIT(56)};
    struct snp_vlek v;

    fill(hashes[0], sizeof(hashes), 1);
    assert_true(vcek_hash(rig.asp->platform->secret, tcb, vcek));
    assert_true(vlek_wrap(vcek, tcb, (const uint8_t(*)[VCEK_HASH_BYTES])hashes, &v));
    host_write(&rig, AT_DATA, &v, sizeof(v));
    GOOD(SNP_DO(&rig, VLEK_LOAD, b));
    assert_memory_equal(rig.asp->snp->vlek, hashes, sizeof(hashes));
    assert_true(status_of_platform().flags & SNP_STATUS_VLEK);
    v.wrapped[5] ^= 1;
    host_write(&rig, AT_DATA, &v, sizeof(v));
    assert_int_equal(SNP_DO(&rig, VLEK_LOAD, b), SEV_BAD_MEASUREMENT);
    assert_true(rig.asp->snp->vlek_loaded);
    GOOD(SNP_DO(&rig, CONFIG, config));
    assert_false(status_of_platform().flags & SNP_STATUS_VLEK);
    assert_int_equal(SNP_DO(&rig, VLEK_LOAD, b), SEV_BAD_SVN);
}

/* ---- command buffers --------------------------------------------------------------------------
 */

static void written_buffers_are_reclaimed(void **state)
{
    struct sev_cmd_platform_status b;

    assert_int_equal(mailbox(&rig, SEV_CMD_PLATFORM_STATUS, AT_CMD), SEV_INVALID_PAGE_STATE);
    firmware_page(&rig, AT_CMD);
    GOOD(mailbox(&rig, SEV_CMD_PLATFORM_STATUS, AT_CMD));
    host_read(&rig, AT_CMD, &b, sizeof(b));
    assert_int_equal(b.api_major, 1);
    assert_state(AT_CMD, RMP_RECLAIM);
    assert_int_equal(mailbox(&rig, SEV_CMD_PLATFORM_STATUS, AT_RMP), SEV_INVALID_PAGE_STATE);
}

/* What the firmware writes never lands in the table, whatever state its pages are in. */
static void the_table_is_no_operand(void **state)
{
    struct snp_cmd_platform_status b = {AT_RMP + 0x8000};
    struct snp_cmd_page reclaim = {AT_RMP};

    assert_int_equal(SNP_DO(&rig, PLATFORM_STATUS, b), SEV_INVALID_ADDRESS);
    assert_int_equal(SNP_DO(&rig, PAGE_RECLAIM, reclaim), SEV_INVALID_ADDRESS);
    assert_int_equal(by_gctx(&rig, SNP_CMD_GCTX_CREATE, AT_RMP), SEV_INVALID_ADDRESS);
}

/* SEV without SNP goes on beside it, and cannot be used to write where guests with SNP are. */
static void legacy_commands_keep_off_assigned_pages(void **state)
{
    struct sev_cmd_init init = {0};
    struct sev_cmd_launch_start begin = {0};
    struct sev_cmd_activate act;
    struct sev_cmd_guest_buffer data;
    struct sev_cmd_dbg dbg;
    struct sev_cmd_buffer id = {AT_MORE, SEV_ID_BYTES};

    GOOD(command(&rig, SEV_CMD_INIT, &init, sizeof(init)));
    host_write(&rig, AT_CMD, &begin, sizeof(begin));
    firmware_page(&rig, AT_CMD);
    GOOD(mailbox(&rig, SEV_CMD_LAUNCH_START, AT_CMD));
    act = (struct sev_cmd_activate){1, rig.asp->chip->min_sev_asid};
    GOOD(command(&rig, SEV_CMD_ACTIVATE, &act, sizeof(act)));
    data = (struct sev_cmd_guest_buffer){1, 0, AT_GUEST, FRAME_SIZE};
    dbg = (struct sev_cmd_dbg){1, 0, AT_DATA, AT_GUEST, FRAME_SIZE};
    for (enum rmp_state s = RMP_HV_FIXED; s <= RMP_GUEST_VALID; s++) {
        page_is(&rig, AT_GUEST, s, 0x1000, false);
        assert_int_equal(command(&rig, SEV_CMD_LAUNCH_UPDATE_DATA, &data, sizeof(data)),
                         SEV_INVALID_PAGE_STATE);
        assert_int_equal(command(&rig, SEV_CMD_DBG_ENCRYPT, &dbg, sizeof(dbg)),
                         SEV_INVALID_PAGE_STATE);
        if (s != RMP_FIRMWARE)
            assert_int_equal(command(&rig, SEV_CMD_DBG_DECRYPT, &dbg, sizeof(dbg)),
                             SEV_INVALID_PAGE_STATE);
    }
    page_is(&rig, AT_GUEST, RMP_HYPERVISOR, 0, false);
    GOOD(command(&rig, SEV_CMD_LAUNCH_UPDATE_DATA, &data, sizeof(data)));
    firmware_page(&rig, AT_CMD);
    assert_int_equal(command(&rig, SEV_CMD_GET_ID, &id, sizeof(id)), SEV_INVALID_PAGE_STATE);
    firmware_page(&rig, AT_MORE);
    GOOD(command(&rig, SEV_CMD_GET_ID, &id, sizeof(id)));
}

/* ---- guests -----------------------------------------------------------------------------------
 */

static struct snp_guest_status status_of_guest(void)
{
    struct snp_cmd_guest_status b = {AT_GCTX, AT_OUT};
    struct snp_guest_status s;

    firmware_page(&rig, AT_OUT);
    GOOD(SNP_DO(&rig, GUEST_STATUS, b));
    host_read(&rig, AT_OUT, &s, sizeof(s));
    return s;
}

static void a_guest_lives_and_dies(void **state)
{
    dram_key key;

    create(&rig, AT_GCTX);
    assert_state(AT_GCTX, RMP_CONTEXT);
    assert_int_equal(status_of_guest().state, SNP_GUEST_INIT);
    GOOD(start(&rig, AT_GCTX, POLICY));
    assert_int_equal(status_of_guest().state, SNP_GUEST_LAUNCH);
    assert_int_equal(status_of_guest().policy, POLICY);
    GOOD(activate(&rig, AT_GCTX, ASID));
    assert_int_equal(status_of_guest().asid, ASID);
    assert_false(asp_vmrun_asid(rig.asp, ASID, &key));
    GOOD(finish(&rig, AT_GCTX));
    assert_int_equal(status_of_guest().state, SNP_GUEST_RUNNING);
    assert_true(asp_vmrun_asid(rig.asp, ASID, &key));
    assert_int_equal(key, guest_at(&rig, AT_GCTX)->key);
    GOOD(by_gctx(&rig, SNP_CMD_DECOMMISSION, AT_GCTX));
    assert_state(AT_GCTX, RMP_FIRMWARE);
    assert_false(asp_vmrun_asid(rig.asp, ASID, &key));
    assert_int_equal(by_gctx(&rig, SNP_CMD_DECOMMISSION, AT_GCTX), SEV_INVALID_GUEST);
    /* what it left in the caches must go first */
    create(&rig, AT_GCTX);
    GOOD(start(&rig, AT_GCTX, POLICY));
    assert_int_equal(activate(&rig, AT_GCTX, ASID), SEV_DF_FLUSH_REQUIRED);
    flush(&rig);
    GOOD(activate(&rig, AT_GCTX, ASID));
}

static void asids_are_given_once(void **state)
{
    struct snp_cmd_activate_ex ex = {
        .len = sizeof(ex), .gctx_paddr = AT_GCTX2, .asid = ASID + 1, .numids = 2};
    uint32_t ids[] = {0, CORES};

    guest_in_state(&rig, SNP_GUEST_LAUNCH, POLICY);
    create(&rig, AT_GCTX2);
    assert_int_equal(activate(&rig, AT_GCTX2, ASID + 1), SEV_INVALID_GUEST_STATE);
    GOOD(start(&rig, AT_GCTX2, POLICY));
    assert_int_equal(activate(&rig, AT_GCTX2, 0), SEV_INVALID_ASID);
    assert_int_equal(activate(&rig, AT_GCTX2, rig.asp->chip->min_sev_asid), SEV_INVALID_ASID);
    assert_int_equal(activate(&rig, AT_GCTX2, ASID), SEV_ASID_OWNED);
    assert_int_equal(activate(&rig, AT_GCTX, ASID + 1), SEV_ACTIVE);
    ex.ids_paddr = AT_DATA;
    host_write(&rig, AT_DATA, ids, sizeof(ids));
    assert_int_equal(SNP_DO(&rig, ACTIVATE_EX, ex), SEV_INVALID_PARAM);
    ids[1] = CORES - 1;
    host_write(&rig, AT_DATA, ids, sizeof(ids));
    GOOD(SNP_DO(&rig, ACTIVATE_EX, ex));
    assert_int_equal(guest_at(&rig, AT_GCTX2)->asid, ASID + 1);
}

static void policies_are_kept_or_refused(void **state)
{
    static const struct {
        uint64_t policy;
        enum sev_status genoa, turin;
    } laws[] = {
        {POLICY, SEV_SUCCESS, SEV_SUCCESS},
        {SNP_POLICY_MBO, SEV_SUCCESS, SEV_SUCCESS},
        {SNP_POLICY_SMT, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | 0x0137, SEV_SUCCESS, SEV_SUCCESS}, /* ABI 1.55 */
        {POLICY | 0x01FF, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | 0x0200, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | SNP_POLICY_MIGRATE_MA, SEV_SUCCESS, SEV_SUCCESS},
        {POLICY | SNP_POLICY_SINGLE_SOCKET, SEV_SUCCESS, SEV_SUCCESS},
        {POLICY | SNP_POLICY_CXL_ALLOW, SEV_POLICY_FAILURE, SEV_SUCCESS},
        {POLICY | SNP_POLICY_PAGE_SWAP_DISABLE, SEV_POLICY_FAILURE, SEV_SUCCESS},
        {POLICY | SNP_POLICY_MEM_AES_256_XTS, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | SNP_POLICY_RAPL_DIS, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | SNP_POLICY_CIPHERTEXT_HIDING_DRAM, SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | BIT(26), SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
        {POLICY | BIT(63), SEV_POLICY_FAILURE, SEV_POLICY_FAILURE},
    };

    for (unsigned turin = 0; turin < 2; turin++) {
        rig_close(&rig);
        rig_open(&rig, turin ? CHIP_TURIN : CHIP_GENOA);
        rig_init(&rig);
        for (unsigned i = 0; i < COUNT(laws); i++) {
            create(&rig, AT_GCTX);
            assert_int_equal(start(&rig, AT_GCTX, laws[i].policy),
                             turin ? laws[i].turin : laws[i].genoa);
            GOOD(by_gctx(&rig, SNP_CMD_DECOMMISSION, AT_GCTX));
        }
        rig.smt = 1;
        create(&rig, AT_GCTX);
        assert_int_equal(start(&rig, AT_GCTX, SNP_POLICY_MBO), SEV_POLICY_FAILURE);
        GOOD(start(&rig, AT_GCTX, POLICY));
    }
}

static void agents_are_bound(void **state)
{
    struct snp_cmd_launch_start b = {.gctx_paddr = AT_GCTX2,
                                     .policy = POLICY | SNP_POLICY_MIGRATE_MA,
                                     .ma_gctx_paddr = AT_GCTX,
                                     .flags = SNP_LAUNCH_MA};
    uint8_t ones[32];

    guest_in_state(&rig, SNP_GUEST_LAUNCH, POLICY);
    create(&rig, AT_GCTX2);
    assert_int_equal(SNP_DO(&rig, LAUNCH_START, b), SEV_INVALID_GUEST_STATE);
    GOOD(finish(&rig, AT_GCTX));
    b.policy = POLICY;
    assert_int_equal(SNP_DO(&rig, LAUNCH_START, b), SEV_POLICY_FAILURE);
    b.policy = POLICY | SNP_POLICY_MIGRATE_MA | SNP_POLICY_SINGLE_SOCKET;
    assert_int_equal(SNP_DO(&rig, LAUNCH_START, b), SEV_POLICY_FAILURE);
    b.policy = POLICY | SNP_POLICY_MIGRATE_MA;
    b.ma_gctx_paddr = AT_DATA;
    assert_int_equal(SNP_DO(&rig, LAUNCH_START, b), SEV_INVALID_GUEST);
    b.ma_gctx_paddr = AT_GCTX;
    GOOD(SNP_DO(&rig, LAUNCH_START, b));
    assert_memory_equal(guest_at(&rig, AT_GCTX2)->report_id_ma, guest_at(&rig, AT_GCTX)->report_id,
                        32);
    memset(ones, 0xFF, sizeof(ones));
    assert_memory_equal(guest_at(&rig, AT_GCTX)->report_id_ma, ones, 32);
}

/* ---- launch digest ----------------------------------------------------------------------------
 */

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char text[2 * 48 + 1];

    for (unsigned i = 0; i < 48; i++)
        snprintf(text + (size_t)2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

/* The first processor as QEMU starts it, of a part that says 800F12. */
static void first_vmsa(struct vmsa *v)
{
    const struct vmcb_seg data = {.attrib = 0x93, .limit = 0xFFFF};

    memset(v, 0, sizeof(*v));
    v->es = v->ss = v->ds = v->fs = v->gs = data;
    v->cs =
        (struct vmcb_seg){.selector = 0xF000, .attrib = 0x9B, .limit = 0xFFFF, .base = 0xFFFF0000};
    v->gdtr.limit = v->idtr.limit = v->ldtr.limit = v->tr.limit = 0xFFFF;
    v->ldtr.attrib = 0x82;
    v->tr.attrib = 0x8B;
    v->efer = 0x1000;
    v->cr4 = 0x40;
    v->cr0 = 0x10;
    v->dr7 = 0x400;
    v->dr6 = 0xFFFF0FF0;
    v->rflags = 2;
    v->rip = 0xFFF0;
    v->rdx = 0x800F12;
    v->g_pat = UINT64_C(0x0007040600070406);
    v->mxcsr = 0x1F80;
    v->x87_fcw = 0x37F;
    v->xcr0 = 1;
    v->sev_features = SEV_FEATURE_SNP_ACTIVE;
}

static void the_digest_is_the_published_one(void **state)
{
    static const struct {
        enum snp_page_type type;
        uint64_t gpa;
        const char *digest;
    } steps[] = {
        {SNP_PAGE_NORMAL, 0x1000,
         "e6e4d78904d9d6b33c0cbfd121998fd2d11744dae606b3aee35e2a45d6869b60b35c63928a9232bef72d6be38"
         "6"
         "f48ec6"},
        {SNP_PAGE_ZERO, 0x2000,
         "8233fbe1ec826b22907aa9397de357831970a96a08e3783a274d6349194edde812a85313b0916402f33d069e7"
         "1"
         "e1248d"},
        {SNP_PAGE_UNMEASURED, 0x3000,
         "e38aa6d01be592105dece52b841baab5f074b7680817c0db474561fc74b5aa89826cef755d515e57daaabe1f2"
         "2"
         "0f70d6"},
        {SNP_PAGE_SECRETS, 0x4000,
         "4ab99c5fb84fc4720a053aee17fc63d5ca6ba07716d1f97e2e899de0aa4610d5cfc20f60f19b161b1a7b6e8f2"
         "4"
         "5a4f6f"},
        {SNP_PAGE_CPUID, 0x5000,
         "adf702781cc8401038504a836700bf30b87124cea93ef7e2174454dd11b1b9b6d05e1d8e7f8b46ba81813eb77"
         "7"
         "f3236c"},
        {SNP_PAGE_VMSA, UINT64_C(0xFFFFFFFFF000),
         "47f0778b1d92227de6842bed9fec449ab465cbde34d2a4b4a2ac3d56f12d6f71c737bbb2a5b0ee82421b441ed"
         "9"
         "81ecc8"},
    };
    static const uint8_t zeros[FRAME_SIZE];
    struct vmsa v;

    first_vmsa(&v);
    v.guest_tsc_scale = 77; /* not measured */
    v.guest_tsc_offset = 78;
    for (unsigned i = 0; i < COUNT(steps); i++) {
        uint64_t spa = AT_GUEST + (uint64_t)i * FRAME_SIZE;
        const void *page = steps[i].type == SNP_PAGE_VMSA ? (const void *)&v : zeros;

        host_write(&rig, spa, page, FRAME_SIZE);
        GOOD(update(&rig, spa, steps[i].gpa, steps[i].type));
        assert_hex(guest_at(&rig, AT_GCTX)->measurement, steps[i].digest);
        assert_state(spa, RMP_GUEST_VALID);
        assert_int_equal(rmp_get(rig.rmp, spa).vmsa, steps[i].type == SNP_PAGE_VMSA);
        assert_int_equal(rmp_get(rig.rmp, spa).gpa, steps[i].gpa);
    }
}

static void a_large_page_is_512_small_ones(void **state)
{
    static const enum snp_page_type types[] = {SNP_PAGE_NORMAL, SNP_PAGE_UNMEASURED, SNP_PAGE_ZERO};
    static uint8_t bytes[SNP_LARGE], seen[SNP_LARGE];
    uint8_t large[48];

    for (unsigned t = 0; t < COUNT(types); t++) {
        struct snp_guest *g = guest_at(&rig, AT_GCTX);

        fill(bytes, sizeof(bytes), t);
        memset(g->measurement, 0, 48);
        page_is(&rig, AT_LARGE, RMP_PRE_GUEST, 8 * MIB, true);
        host_write(&rig, AT_LARGE, bytes, sizeof(bytes));
        GOOD(update_flags(&rig, AT_LARGE, SNP_UPDATE_2M | SNP_UPDATE_TYPE(types[t])));
        memcpy(large, g->measurement, 48);
        assert_true(rmp_get(rig.rmp, AT_LARGE).large);
        assert_state(AT_LARGE + 5 * FRAME_SIZE, RMP_GUEST_VALID);
        guest_read(&rig, AT_LARGE, seen, sizeof(seen));
        if (types[t] == SNP_PAGE_ZERO)
            memset(bytes, 0, sizeof(bytes));
        assert_memory_equal(seen, bytes, sizeof(seen));
        host_read(&rig, AT_LARGE, seen, sizeof(seen));
        assert_memory_not_equal(seen, bytes, sizeof(seen));

        memset(g->measurement, 0, 48);
        host_write(&rig, AT_LARGE2, bytes, sizeof(bytes));
        for (uint64_t at = 0; at < SNP_LARGE; at += FRAME_SIZE)
            GOOD(update(&rig, AT_LARGE2 + at, 8 * MIB + at, types[t]));
        assert_memory_equal(large, g->measurement, 48);
        for (uint64_t at = 0; at < SNP_LARGE; at += FRAME_SIZE)
            page_is(&rig, AT_LARGE2 + at, RMP_HYPERVISOR, 0, false);
    }
}

static void permissions_come_from_the_command(void **state)
{
    struct snp_cmd_launch_update b = {.gctx_paddr = AT_GCTX,
                                      .flags = SNP_UPDATE_TYPE(SNP_PAGE_ZERO),
                                      .page_paddr = AT_GUEST,
                                      .vmpl1_perms = VMPL_READ | VMPL_WRITE,
                                      .vmpl2_perms = VMPL_READ,
                                      .vmpl3_perms = 0};
    struct snp_page_info info = {.length = 0x70,
                                 .page_type = SNP_PAGE_ZERO,
                                 .vmpl1_perms = 3,
                                 .vmpl2_perms = 1,
                                 .gpa = 0x9000};
    uint8_t digest[48];

    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x9000, false);
    GOOD(SNP_DO(&rig, LAUNCH_UPDATE, b));
    assert_memory_equal(rmp_get(rig.rmp, AT_GUEST).perms, ((uint8_t[]){VMPL_ALL, 3, 1, 0}), 4);
    assert_true(sha384(digest, &info, sizeof(info)));
    assert_memory_equal(digest, guest_at(&rig, AT_GCTX)->measurement, 48);
}

static void images_are_measured_twice(void **state)
{
    struct snp_cmd_launch_start b = {
        .gctx_paddr = AT_GCTX, .policy = POLICY, .flags = SNP_LAUNCH_IMI};
    const struct snp_guest *g;

    create(&rig, AT_GCTX);
    GOOD(SNP_DO(&rig, LAUNCH_START, b));
    GOOD(activate(&rig, AT_GCTX, ASID));
    g = guest_at(&rig, AT_GCTX);
    assert_int_equal(update(&rig, AT_GUEST, 0, SNP_PAGE_ZERO), SEV_INVALID_PARAM);
    GOOD(update_flags(&rig, AT_GUEST, SNP_UPDATE_TYPE(SNP_PAGE_ZERO) | SNP_UPDATE_IMI));
    assert_memory_equal(g->imd, g->measurement, 48);
    assert_int_not_equal(g->imd[0] | g->imd[1] | g->imd[2], 0);
    assert_int_equal(finish(&rig, AT_GCTX), SEV_INVALID_GUEST_STATE);
}

/* ---- pages that the firmware fills ------------------------------------------------------------
 */

static void secrets_are_the_guests(void **state)
{
    struct snp_secrets_page s;
    static uint8_t seen[FRAME_SIZE];
    const struct snp_guest *g = guest_at(&rig, AT_GCTX);

    GOOD(update(&rig, AT_GUEST, 0x4000, SNP_PAGE_SECRETS));
    guest_read(&rig, AT_GUEST, &s, sizeof(s));
    assert_int_equal(s.version, 3);
    assert_int_equal(s.fms, rig.asp->chip->signature);
    assert_memory_equal(s.vmpck, g->vmpck, sizeof(s.vmpck));
    assert_memory_not_equal(s.vmpck[0], s.vmpck[1], 32);
    assert_int_equal(s.vmsa_tweak_bitmap[5], 0x80);
    assert_int_equal(s.vmsa_tweak_bitmap[0x3F], 0);
    host_read(&rig, AT_GUEST, seen, sizeof(seen));
    assert_memory_not_equal(seen, &s, 16);
}

static void claims_beyond_the_chip_are_corrected(void **state)
{
    static struct snp_cpuid_page t = {
        .count = 5,
        .entries = {{.eax_in = 0, .eax = 0x10},
                    {.eax_in = 1, .eax = 0x800F12, .ecx = 0x80000003},
                    {.eax_in = 0xD, .eax = 0xE7, .ebx = 4096},
                    {.eax_in = 0x40000000, .eax = 0x40000001, .ebx = 0x12345678},
                    {.eax_in = 0x80000008, .eax = 0x3034}},
    };
    struct snp_cpuid_page seen;

    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x5000, false);
    host_write(&rig, AT_GUEST, &t, sizeof(t));
    assert_int_equal(update_flags(&rig, AT_GUEST, SNP_UPDATE_TYPE(SNP_PAGE_CPUID)),
                     SEV_INVALID_PARAM);
    assert_state(AT_GUEST, RMP_PRE_GUEST);
    host_read(&rig, AT_GUEST, &seen, sizeof(seen));
    t.entries[0].eax = 0xD;
    t.entries[1].ecx = 0x80000001;
    t.entries[2].eax = 7;
    assert_memory_equal(&seen, &t, sizeof(seen));
    GOOD(update_flags(&rig, AT_GUEST, SNP_UPDATE_TYPE(SNP_PAGE_CPUID)));
    guest_read(&rig, AT_GUEST, &seen, sizeof(seen));
    assert_memory_equal(&seen, &t, sizeof(seen));
    t.count = SNP_CPUID_MAX + 1;
    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x5000, false);
    host_write(&rig, AT_GUEST, &t, sizeof(t));
    assert_int_equal(update_flags(&rig, AT_GUEST, SNP_UPDATE_TYPE(SNP_PAGE_CPUID)),
                     SEV_INVALID_PARAM);
}

static void vmsas_are_completed(void **state)
{
    struct snp_cmd_launch_start b = {
        .gctx_paddr = AT_GCTX, .policy = POLICY, .desired_tsc_khz = 2500000};
    struct vmsa v, seen;
    uint64_t nonce;

    create(&rig, AT_GCTX);
    GOOD(SNP_DO(&rig, LAUNCH_START, b));
    GOOD(activate(&rig, AT_GCTX, ASID));
    first_vmsa(&v);
    v.rax = 0x1122334455667788;
    v.sev_features |= SEV_FEATURE_SECURE_TSC;
    host_write(&rig, AT_GUEST, &v, sizeof(v));
    GOOD(update(&rig, AT_GUEST, 0xFFFFFFFFF000, SNP_PAGE_VMSA));
    guest_read(&rig, AT_GUEST, &seen, sizeof(seen));
    assert_int_equal(seen.guest_tsc_scale, UINT64_C(5) << 31); /* 2.5 */
    assert_int_equal(seen.integrity, 0);
    assert_int_equal(seen.integrity_slot, UINT64_MAX);
    assert_int_equal(seen.rax, v.rax);

    v.sev_features |= SEV_FEATURE_VMSA_REG_PROT;
    host_write(&rig, AT_MORE, &v, sizeof(v));
    GOOD(update(&rig, AT_MORE, 0xFFFFFFFFF000, SNP_PAGE_VMSA));
    guest_read(&rig, AT_MORE, &seen, sizeof(seen));
    nonce = seen.reg_prot_nonce;
    assert_int_not_equal(nonce, 0);
    assert_int_equal(seen.rax, v.rax ^ nonce);
    assert_int_equal(seen.r8_r15[7], v.r8_r15[7] ^ nonce);
    assert_int_equal(seen.cr3, v.cr3);
    assert_int_equal(seen.sev_features, v.sev_features);
}

/* ---- LAUNCH_FINISH ----------------------------------------------------------------------------
 */

struct id {
    struct snp_id_block block;
    struct snp_id_auth auth;
    struct p384_key key, author;
};

static void put_number(uint8_t le[72], const uint8_t be[48])
{
    memset(le, 0, 72);
    for (unsigned i = 0; i < 48; i++)
        le[i] = be[47 - i];
}

static void put_key(struct snp_public_key *k, const struct p384_key *key)
{
    k->curve = 2;
    put_number(k->qx, key->pub.x);
    put_number(k->qy, key->pub.y);
}

static void put_signature(struct snp_signature *s, const struct p384_key *key, const void *msg,
                          size_t len)
{
    struct p384_signature sig;

    assert_true(p384_sign(key, DIGEST_SHA384, msg, len, &sig));
    put_number(s->r, sig.r);
    put_number(s->s, sig.s);
}

static void sign_id(struct id *id)
{
    put_signature(&id->auth.id_block_sig, &id->key, &id->block, sizeof(id->block));
    put_signature(&id->auth.id_key_sig, &id->author, &id->auth.id_key, sizeof(id->auth.id_key));
}

static void make_id(struct id *id)
{
    *id = (struct id){.block = {.version = 1, .guest_svn = 9, .policy = POLICY},
                      .auth = {.id_key_algo = 1, .auth_key_algo = 1}};
    memcpy(id->block.ld, guest_at(&rig, AT_GCTX)->measurement, 48);
    memset(id->block.family_id, 0xFA, 16);
    memset(id->block.image_id, 0x1A, 16);
    assert_true(p384_generate(&id->key) && p384_generate(&id->author));
    put_key(&id->auth.id_key, &id->key);
    put_key(&id->auth.author_key, &id->author);
    sign_id(id);
}

static enum sev_status finish_with(const struct id *id, uint8_t flags)
{
    struct snp_cmd_launch_finish b = {
        .gctx_paddr = AT_GCTX, .id_block_paddr = AT_DATA, .id_auth_paddr = AT_MORE, .flags = flags};

    memset(b.host_data, 0xDA, sizeof(b.host_data));
    host_write(&rig, AT_DATA, &id->block, sizeof(id->block));
    host_write(&rig, AT_MORE, &id->auth, sizeof(id->auth));
    return SNP_DO(&rig, LAUNCH_FINISH, b);
}

static void an_id_block_names_the_guest(void **state)
{
    const struct snp_guest *g = guest_at(&rig, AT_GCTX);
    uint8_t digest[48], data[32];
    static struct id id;

    GOOD(update(&rig, AT_GUEST, 0x1000, SNP_PAGE_ZERO));
    make_id(&id);
    GOOD(finish_with(&id, SNP_FINISH_ID_BLOCK | SNP_FINISH_AUTH_KEY | SNP_FINISH_VCEK_DIS));
    assert_int_equal(g->state, SNP_GUEST_RUNNING);
    assert_true(g->id_block_en && g->author_key_en && g->vcek_dis);
    assert_memory_equal(&g->id_block, &id.block, sizeof(id.block));
    assert_true(sha384(digest, &id.auth.id_key, 0x404));
    assert_memory_equal(g->id_key_digest, digest, 48);
    assert_true(sha384(digest, &id.auth.author_key, 0x404));
    assert_memory_equal(g->author_key_digest, digest, 48);
    memset(data, 0xDA, sizeof(data));
    assert_memory_equal(g->host_data, data, 32);
    assert_int_equal(status_of_guest().flags, SNP_GUEST_VCEK_DIS);
}

static void a_wrong_id_block_is_refused(void **state)
{
    const uint8_t both = SNP_FINISH_ID_BLOCK | SNP_FINISH_AUTH_KEY;
    static struct id good, bad;

    make_id(&good);
    bad = good;
    bad.block.ld[47]++;
    sign_id(&bad);
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_BAD_MEASUREMENT);
    bad = good;
    bad.block.policy |= SNP_POLICY_DEBUG;
    sign_id(&bad);
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_POLICY_FAILURE);
    bad = good;
    bad.auth.id_key_algo = 2;
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_INVALID_PARAM);
    bad = good;
    bad.auth.auth_key_algo = 0;
    assert_int_equal(finish_with(&bad, both), SEV_INVALID_PARAM);
    bad = good;
    bad.auth.id_key.curve = 1;
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_BAD_SIGNATURE);
    bad = good;
    bad.auth.id_key.qx[0]++;
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_BAD_SIGNATURE);
    bad = good;
    bad.auth.id_key.qx[60] = 1; /* beyond the curve's size */
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_BAD_SIGNATURE);
    bad = good;
    bad.block.guest_svn++;
    assert_int_equal(finish_with(&bad, SNP_FINISH_ID_BLOCK), SEV_BAD_SIGNATURE);
    bad = good;
    bad.auth.id_key.reserved[3] = 1; /* the author signed another */
    assert_int_equal(finish_with(&bad, both), SEV_BAD_SIGNATURE);
    bad = good;
    memset(&bad.auth.author_key, 0, sizeof(bad.auth.author_key));
    assert_int_equal(finish_with(&bad, both), SEV_BAD_SIGNATURE);
    assert_int_equal(finish_with(&good, SNP_FINISH_AUTH_KEY), SEV_INVALID_PARAM);
    assert_int_equal(guest_at(&rig, AT_GCTX)->state, SNP_GUEST_LAUNCH);
    GOOD(finish_with(&good, both));
}

#define OFF(test)       cmocka_unit_test_setup_teardown(test, open_off, close_rig)
#define READY(test)     cmocka_unit_test_setup_teardown(test, open_initialised, close_rig)
#define LAUNCHING(test) cmocka_unit_test_setup_teardown(test, open_launching, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OFF(init_makes_the_table),
        OFF(init_wants_the_cores_right),
        OFF(init_wants_the_table_in_bounds),
        OFF(init_ex_fixes_what_its_list_names),
        OFF(init_ex_refuses_what_the_chip_lacks),
        OFF(shutdown_wants_everything_clean),
        OFF(legacy_and_snp_take_turns),
        OFF(features_are_told),
        OFF(config_goes_down_only),
        READY(firmware_goes_up_only),
        OFF(firmware_images_are_checked),
        READY(vlek_is_for_one_tcb),
        READY(written_buffers_are_reclaimed),
        READY(the_table_is_no_operand),
        READY(legacy_commands_keep_off_assigned_pages),
        READY(a_guest_lives_and_dies),
        READY(asids_are_given_once),
        READY(policies_are_kept_or_refused),
        READY(agents_are_bound),
        LAUNCHING(the_digest_is_the_published_one),
        LAUNCHING(a_large_page_is_512_small_ones),
        LAUNCHING(permissions_come_from_the_command),
        READY(images_are_measured_twice),
        LAUNCHING(secrets_are_the_guests),
        LAUNCHING(claims_beyond_the_chip_are_corrected),
        READY(vmsas_are_completed),
        LAUNCHING(an_id_block_names_the_guest),
        LAUNCHING(a_wrong_id_block_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
