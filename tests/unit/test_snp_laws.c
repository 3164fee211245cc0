/* What the SNP firmware refuses: every command from every wrong state of platform, guest and pages.
 * A refusal gives the ABI's status and leaves no trace in memory, in the table or in the firmware.
 */
#include "snp_fixture.h"

#include <stdlib.h>

/* ---- does a refusal leave a trace? ------------------------------------------------------------
 */

struct world {
    uint8_t memory[DRAM_BYTES]; /* as the host sees it, the table with it */
    struct asp asp;             /* without its registers */
    struct snp snp;
    struct snp_versions versions;
};

static struct world *before, *now;

static void look(struct world *w)
{
    host_read(&rig, 0, w->memory, sizeof(w->memory));
    w->asp = *rig.asp;
    w->asp.cmdresp = w->asp.cmdbuf_lo = w->asp.cmdbuf_hi = 0;
    w->snp = *rig.asp->snp;
    w->versions = rig.asp->platform->versions;
}

/* `from` for `len` bytes of a command buffer. */
static void refused(unsigned line, uint32_t cmd, const void *buf, size_t len,
                    enum sev_status status)
{
    enum sev_status got;

    if (len)
        host_write(&rig, AT_CMD, buf, len);
    look(before);
    got = mailbox(&rig, cmd, AT_CMD);
    if (got != status)
        fail_msg("line %u: command %#x: status %#x, not %#x", line, cmd, got, status);
    look(now);
    if (memcmp(before, now, sizeof(*now)))
        fail_msg("line %u: command %#x, refused with %#x, left a trace", line, cmd, status);
}
#define REFUSED(cmd, buf, status) refused(__LINE__, cmd, &(buf), sizeof(buf), status)

static int take_memory(void **state)
{
    before = calloc(1, sizeof(*before));
    now = calloc(1, sizeof(*now));
    return before && now ? 0 : -1;
}

static int give_memory(void **state)
{
    free(before);
    free(now);
    return 0;
}

/* ---- the laws ---------------------------------------------------------------------------------
 */

/* The ABI's requirements once more. Guest states: C(reated), L(aunching), R(unning); 'a' where it
 * must be active. Where pages are named: the offset of the address, and the states that are right,
 * in letters: F(irmware), M(etadata), g: PRE_GUEST, s: PRE_SWAP, G: GUEST_VALID, I: GUEST_INVALID,
 * C context, R reclaim, H hypervisor, X: fixed. `gctx`: offset of the context, or -1. */
#define NO_PAGES                                                                                   \
    {                                                                                              \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }
static const struct law {
    uint32_t id;
    unsigned size;
    int gctx;
    bool off, on; /* legal with the platform UNINIT, INIT */
    const char *guest;
    struct {
        unsigned at;
        const char *states;
    } page[2];
    enum sev_status wrong_length; /* of the first word, where it is one */
} laws[] = {
    {0x81, 0, -1, true, false, "", NO_PAGES, 0},
    {0x82, 0, -1, true, true, "", NO_PAGES, 0},
    {0x83, 8, -1, true, true, "", NO_PAGES, 0},
    {0x84, 0, -1, true, true, "", NO_PAGES, 0},
    {0x85, 0x40, -1, true, false, "", NO_PAGES, 0},
    {0x86, 8, -1, true, true, "", NO_PAGES, SEV_INVALID_PARAM},
    {0x90, 8, 0, false, true, "CLR", NO_PAGES, 0},
    {0x91, 0xC, 0, false, true, "LR", NO_PAGES, 0},
    {0x92, 0x10, 0, false, true, "CLR", {{8, "F"}}, 0},
    {0x93, 8, -1, false, true, "", {{0, "F"}}, 0},
    {0x94, 0x18, 0, false, true, "R", {{0x10, "F"}}, 0},
    {0x95, 0x20, 8, false, true, "LR", NO_PAGES, SEV_INVALID_PARAM},
    {0xA0, 0x30, 0, false, true, "C", NO_PAGES, 0},
    {0xA1, 0x20, 0, false, true, "La", {{0x10, "g"}}, 0},
    {0xA2, 0x40, 0, false, true, "La", NO_PAGES, 0},
    {0xB0, 0x18, 0, false, true, "CLRa", {{8, "gsGI"}, {0x10, "F"}}, 0},
    {0xB1, 0x18, 0, false, true, "CLRa", {{0x10, "gs"}}, 0},
    {0xC0, 0x30, 0, false, true, "LRa", NO_PAGES, 0},
    {0xC1, 0x30, 0, false, true, "LRa", NO_PAGES, 0},
    {0xC2, 0x20, 0, false, true, "LRa", {{0x10, "gsM"}, {0x18, "gF"}}, 0},
    {0xC3, 0x10, 0, false, true, "CLR", {{8, "F"}}, 0},
    {0xC6, 0x10, -1, false, true, "", NO_PAGES, SEV_INVALID_LENGTH},
    {0xC7, 8, -1, false, true, "", {{0, "FMgsGIRH"}}, 0},
    {0xC8, 8, -1, false, true, "", NO_PAGES, 0},
    {0xC9, 0x40, -1, true, true, "", NO_PAGES, 0},
    {0xCA, 0x18, -1, true, true, "", NO_PAGES, SEV_INVALID_PARAM},
    {0xCB, 4, -1, true, true, "", NO_PAGES, SEV_INVALID_PARAM},
    {0xCD, 0x10, -1, false, true, "", NO_PAGES, SEV_INVALID_PARAM},
    {0xCE, 0x10, -1, true, true, "", {{8, "F"}}, SEV_INVALID_PARAM},
};

#define SPOT(i) (AT_GUEST + (uint64_t)(i)*FRAME_SIZE) /* where operand `i` is */

static const struct {
    char letter;
    enum rmp_state state;
} letters[] = {
    {'H', RMP_HYPERVISOR},    {'X', RMP_HV_FIXED},    {'R', RMP_RECLAIM},   {'F', RMP_FIRMWARE},
    {'C', RMP_CONTEXT},       {'M', RMP_METADATA},    {'g', RMP_PRE_GUEST}, {'s', RMP_PRE_SWAP},
    {'I', RMP_GUEST_INVALID}, {'G', RMP_GUEST_VALID},
};

static enum rmp_state state_of(char letter)
{
    for (size_t i = 0; i < COUNT(letters); i++)
        if (letters[i].letter == letter)
            return letters[i].state;
    fail();
    return RMP_DEFAULT;
}

/* A buffer that nothing is wrong with but what the test makes wrong. */
static void good_buffer(const struct law *l, uint8_t buf[0x40])
{
    memset(buf, 0, 0x40);
    if (l->wrong_length)
        store32(buf, l->size);
    if (l->gctx >= 0)
        store64(buf + l->gctx, AT_GCTX);
    for (unsigned i = 0; i < COUNT(l->page); i++)
        if (l->page[i].states) {
            store64(buf + l->page[i].at, SPOT(i));
            page_is(&rig, SPOT(i), state_of(l->page[i].states[0]),
                    l->page[i].states[0] == 'M' ? AT_GCTX : 0x5000, false);
        }
    if (l->id == SNP_CMD_LAUNCH_UPDATE)
        buf[8] = SNP_UPDATE_TYPE(SNP_PAGE_ZERO);
    if (l->id == SNP_CMD_DBG_ENCRYPT)
        store64(buf + 8, AT_DATA);
    if (l->id == SNP_CMD_GUEST_REQUEST)
        store64(buf + 8, AT_DATA);
}

static void bad(unsigned line, const struct law *l, const uint8_t *buf, enum sev_status status)
{
    refused(line, l->id, buf, l->size, status);
}
#define BAD(l, buf, status) bad(__LINE__, l, buf, status)

static void the_table_has_every_command(void **state)
{
    static const uint32_t known[] = {
#define X(name, id) id,
        SNP_COMMANDS(X)
#undef X
    };

    assert_int_equal(COUNT(known), COUNT(laws));
    for (size_t i = 0; i < COUNT(laws); i++)
        assert_int_equal(laws[i].id, known[i]);
    for (uint32_t id = 0x80; id < 0x100; id++) {
        bool is = false;

        for (size_t i = 0; i < COUNT(laws); i++)
            is |= laws[i].id == id;
        assert_int_equal(mailbox(&rig, id, UINT64_MAX) == SEV_INVALID_COMMAND, !is);
    }
}

static void chips_without_snp_know_none(void **state)
{
    rig_close(&rig);
    rig_open(&rig, CHIP_ROME);
    for (size_t i = 0; i < COUNT(laws); i++)
        refused(__LINE__, laws[i].id, NULL, 0, SEV_INVALID_COMMAND);
}

static void wrong_platform_states_are_refused(void **state)
{
    uint8_t buf[0x40];

    for (unsigned on = 0; on < 2; on++) {
        for (size_t i = 0; i < COUNT(laws); i++) {
            memset(buf, 0, sizeof(buf));
            if (laws[i].wrong_length)
                store32(buf, laws[i].size);
            if (on ? !laws[i].on : !laws[i].off)
                BAD(&laws[i], buf, SEV_INVALID_PLATFORM_STATE);
        }
        if (!on)
            rig_init(&rig);
    }
}

/* SNP_INIT comes before INIT, and SNP_SHUTDOWN after SHUTDOWN. */
static void the_legacy_platform_holds_it_up(void **state)
{
    struct sev_cmd_init init = {0};
    struct snp_cmd_shutdown_ex shutdown = {sizeof(shutdown), 0};
    struct snp_cmd_download_firmware_ex download = {.len = sizeof(download)};

    GOOD(command(&rig, SEV_CMD_INIT, &init, sizeof(init)));
    refused(__LINE__, SNP_CMD_SHUTDOWN, NULL, 0, SEV_INVALID_PLATFORM_STATE);
    REFUSED(SNP_CMD_SHUTDOWN_EX, shutdown, SEV_INVALID_PLATFORM_STATE);
    REFUSED(SNP_CMD_DOWNLOAD_FIRMWARE_EX, download, SEV_INVALID_PLATFORM_STATE);
}

/* Whatever the state of all else: buffers out of DRAM, reserved bits, lengths. */
static void malformed_buffers_are_refused(void **state)
{
    uint8_t buf[0x40];

    for (size_t i = 0; i < COUNT(laws); i++) {
        const struct law *l = &laws[i];

        if (!l->size)
            continue;
        assert_int_equal(mailbox(&rig, l->id, DRAM_BYTES - l->size + 1), SEV_INVALID_ADDRESS);
        assert_int_equal(mailbox(&rig, l->id, UINT64_MAX - 1), SEV_INVALID_ADDRESS);
        good_buffer(l, buf);
        if (l->gctx >= 0) {
            buf[l->gctx] |= 8;
            BAD(l, buf, SEV_INVALID_PARAM);
        }
        good_buffer(l, buf);
        if (l->wrong_length) {
            buf[0]++;
            BAD(l, buf, l->wrong_length);
        }
    }
}

/* Every reserved bit of every buffer, by a list of the fields that are not reserved. */
static void reserved_bits_are_refused(void **state)
{
    static const struct {
        uint32_t id;
        unsigned from, to; /* bits */
    } reserved[] = {
        {0x85, 5, 64},
        {0x85, 64, 76},
        {0x85, 0x12 * 8, 0x40 * 8},
        {0x86, 34, 64},
        {0xC9, 66, 0x200},
        {0xCA, 32, 64},
        {0xCA, 0x14 * 8 + 1, 192},
        {0xCD, 32, 64},
        {0x91, 0, 12},
        {0x95, 32, 76},
        {0x92, 0, 12},
        {0xA0, 0, 12},
        {0xA0, 128, 140},
        {0xA0, 194, 224},
        {0xA1, 0, 12},
        {0xA1, 69, 140},
        {0xA1, 192, 200},
        {0xA1, 224, 256},
        {0xA2, 0, 12},
        {0xA2, 195, 256},
        {0x94, 64, 76},
        {0x94, 128, 140},
        {0xB0, 64, 76},
        {0xB0, 128, 140},
        {0xC0, 64, 76},
        {0xC0, 128, 140},
        {0xC0, 325, 384},
        {0xC1, 325, 384},
        {0xC2, 65, 140},
        {0xC2, 192, 204},
        {0xC3, 64, 76},
        {0xC6, 32, 64},
        {0xC7, 1, 12},
        {0xC8, 1, 12},
    };
    uint8_t buf[0x40];

    for (size_t r = 0; r < COUNT(reserved); r++)
        for (size_t i = 0; i < COUNT(laws); i++) {
            if (laws[i].id != reserved[r].id)
                continue;
            for (unsigned bit = reserved[r].from; bit < reserved[r].to; bit += 5) {
                good_buffer(&laws[i], buf);
                buf[bit / 8] |= 1u << bit % 8;
                assert_int_equal(command(&rig, laws[i].id, buf, laws[i].size), SEV_INVALID_PARAM);
            }
        }
}

static void pages_that_are_no_context_name_no_guest(void **state)
{
    uint8_t buf[0x40];

    for (size_t i = 0; i < COUNT(laws); i++) {
        const struct law *l = &laws[i];

        if (l->gctx < 0)
            continue;
        for (size_t s = 0; s < COUNT(letters); s++) {
            good_buffer(l, buf);
            /* CONTEXT, too: the table can say so, the firmware made none there */
            page_is(&rig, AT_GCTX2, letters[s].state, 0x5000, false);
            store64(buf + l->gctx, AT_GCTX2);
            BAD(l, buf, SEV_INVALID_GUEST);
        }
        store64(buf + l->gctx, DRAM_BYTES + AT_GCTX);
        BAD(l, buf, SEV_INVALID_GUEST);
        store64(buf + l->gctx, AT_RMP);
        BAD(l, buf, SEV_INVALID_GUEST);
    }
}

static void wrong_guest_states_are_refused(void **state)
{
    static const char states[] = "CLR";
    uint8_t buf[0x40];

    for (enum snp_guest_state s = SNP_GUEST_INIT; s <= SNP_GUEST_RUNNING; s++) {
        rig_close(&rig);
        rig_open(&rig, CHIP_GENOA);
        rig_init(&rig);
        guest_in_state(&rig, s, POLICY | SNP_POLICY_DEBUG);
        for (size_t i = 0; i < COUNT(laws); i++)
            if (laws[i].gctx >= 0 && !strchr(laws[i].guest, states[s])) {
                good_buffer(&laws[i], buf);
                BAD(&laws[i], buf, SEV_INVALID_GUEST_STATE);
            }
    }
}

static void guests_without_an_asid_are_refused(void **state)
{
    uint8_t buf[0x40];

    create(&rig, AT_GCTX);
    GOOD(start(&rig, AT_GCTX, POLICY | SNP_POLICY_DEBUG));
    for (size_t i = 0; i < COUNT(laws); i++)
        if (strchr(laws[i].guest, 'a')) {
            good_buffer(&laws[i], buf);
            BAD(&laws[i], buf, SEV_INACTIVE);
        }
}

/* Each page operand in each state that it may not be in, alone and as a part of 2 MiB; of another
 * guest; out of DRAM; in the table. */
static void wrong_pages_are_refused(void **state)
{
    uint8_t buf[0x40];

    for (size_t i = 0; i < COUNT(laws); i++) {
        const struct law *l = &laws[i];

        for (unsigned p = 0; p < COUNT(l->page) && l->page[p].states; p++) {
            guest_at(&rig, AT_GCTX)->state =
                strchr(l->guest, 'L') ? SNP_GUEST_LAUNCH : SNP_GUEST_RUNNING;
            for (size_t s = 0; s < COUNT(letters); s++) {
                if (strchr(l->page[p].states, letters[s].letter))
                    continue;
                good_buffer(l, buf);
                page_is(&rig, SPOT(p), letters[s].state, 0x5000, false);
                BAD(l, buf, SEV_INVALID_PAGE_STATE);
            }
            good_buffer(l, buf);
            store64(buf + l->page[p].at, DRAM_BYTES);
            BAD(l, buf, SEV_INVALID_ADDRESS);
            store64(buf + l->page[p].at, AT_RMP + 0x4000);
            BAD(l, buf, SEV_INVALID_ADDRESS);
        }
    }
}

static void wrong_sizes_are_refused(void **state)
{
    struct snp_cmd_launch_update update = {
        .gctx_paddr = AT_GCTX, .flags = SNP_UPDATE_TYPE(SNP_PAGE_ZERO), .page_paddr = AT_LARGE};
    struct snp_cmd_page_move move = {AT_GCTX, SNP_MOVE_2M, 0, AT_LARGE, AT_LARGE2};
    struct snp_cmd_page reclaim = {AT_LARGE};
    struct snp_cmd_gctx create = {AT_LARGE};
    struct snp_cmd_page_md_init md = {AT_GCTX, AT_LARGE};

    page_is(&rig, AT_LARGE, RMP_PRE_GUEST, 2 * MIB, true);
    page_is(&rig, AT_LARGE2, RMP_PRE_GUEST, 4 * MIB, false);
    REFUSED(SNP_CMD_LAUNCH_UPDATE, update, SEV_INVALID_PAGE_SIZE);
    update.flags |= SNP_UPDATE_2M;
    update.page_paddr = AT_LARGE2;
    REFUSED(SNP_CMD_LAUNCH_UPDATE, update, SEV_INVALID_PAGE_SIZE);
    update.page_paddr = AT_LARGE + FRAME_SIZE; /* aligned to what it is not */
    REFUSED(SNP_CMD_LAUNCH_UPDATE, update, SEV_INVALID_ADDRESS);
    REFUSED(SNP_CMD_PAGE_MOVE, move, SEV_INVALID_PAGE_SIZE);
    REFUSED(SNP_CMD_PAGE_RECLAIM, reclaim, SEV_INVALID_PAGE_SIZE);
    page_is(&rig, AT_LARGE, RMP_FIRMWARE, 0, true);
    REFUSED(SNP_CMD_GCTX_CREATE, create, SEV_INVALID_PAGE_SIZE);
    REFUSED(SNP_CMD_PAGE_MD_INIT, md, SEV_INVALID_PAGE_SIZE);
}

static void pages_of_others_are_refused(void **state)
{
    struct snp_cmd_launch_update update = {
        .gctx_paddr = AT_GCTX, .flags = SNP_UPDATE_TYPE(SNP_PAGE_ZERO), .page_paddr = AT_GUEST};
    struct snp_cmd_dbg dbg = {AT_GCTX, AT_GUEST, AT_OUT};
    struct snp_cmd_page_move move = {AT_GCTX, 0, 0, AT_GUEST, AT_MORE};
    struct snp_cmd_swap swap = {AT_GCTX, AT_GUEST, AT_OUT, 0, 0, SNP_SWAP_ROOT_MDATA, 0};
    struct rmp_entry theirs;

    firmware_page(&rig, AT_OUT);
    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x5000, false);
    page_is(&rig, AT_MORE, RMP_PRE_GUEST, 0x6000, false);
    theirs = rmp_get(rig.rmp, AT_GUEST);
    theirs.asid++;
    rmp_put(rig.rmp, AT_GUEST, &theirs);
    REFUSED(SNP_CMD_LAUNCH_UPDATE, update, SEV_INVALID_PAGE_OWNER);
    REFUSED(SNP_CMD_DBG_DECRYPT, dbg, SEV_INVALID_PAGE_OWNER);
    REFUSED(SNP_CMD_PAGE_MOVE, move, SEV_INVALID_PAGE_OWNER);
    move = (struct snp_cmd_page_move){AT_GCTX, 0, 0, AT_MORE, AT_GUEST};
    REFUSED(SNP_CMD_PAGE_MOVE, move, SEV_INVALID_PAGE_OWNER);
    REFUSED(SNP_CMD_PAGE_SWAP_OUT, swap, SEV_INVALID_PAGE_OWNER);
    swap.src_paddr = AT_OUT;
    swap.dst_paddr = AT_GUEST;
    REFUSED(SNP_CMD_PAGE_SWAP_IN, swap, SEV_INVALID_PAGE_OWNER);
    page_is(&rig, AT_MORE, RMP_METADATA, AT_GCTX2, false);
    move = (struct snp_cmd_page_move){AT_GCTX, 0, 0, AT_MORE, AT_OUT};
    REFUSED(SNP_CMD_PAGE_MOVE, move, SEV_INVALID_PAGE_OWNER);
}

/* Without DEBUG in its policy nobody debugs a guest, with whatever pages. */
static void debuggers_need_leave(void **state)
{
    struct snp_cmd_dbg dbg = {AT_GCTX, AT_GUEST, AT_OUT};

    guest_at(&rig, AT_GCTX)->policy = POLICY;
    firmware_page(&rig, AT_OUT);
    page_is(&rig, AT_GUEST, RMP_PRE_SWAP, 0x5000, false);
    REFUSED(SNP_CMD_DBG_DECRYPT, dbg, SEV_POLICY_FAILURE);
    dbg = (struct snp_cmd_dbg){AT_GCTX, AT_OUT, AT_GUEST};
    REFUSED(SNP_CMD_DBG_ENCRYPT, dbg, SEV_POLICY_FAILURE);
}

static void types_and_permissions_are_checked(void **state)
{
    struct snp_cmd_launch_update b = {.gctx_paddr = AT_GCTX, .page_paddr = AT_GUEST};

    page_is(&rig, AT_GUEST, RMP_PRE_GUEST, 0x5000, false);
    page_is(&rig, AT_LARGE, RMP_PRE_GUEST, 2 * MIB, true);
    for (unsigned type = 0; type < 8; type++) {
        b.flags = SNP_UPDATE_TYPE(type);
        b.page_paddr = AT_GUEST;
        if (type == 0 || type == 7)
            REFUSED(SNP_CMD_LAUNCH_UPDATE, b, SEV_INVALID_PARAM);
        b.flags |= SNP_UPDATE_2M;
        b.page_paddr = AT_LARGE;
        if (type == SNP_PAGE_VMSA || type >= SNP_PAGE_SECRETS || type == 0)
            REFUSED(SNP_CMD_LAUNCH_UPDATE, b, SEV_INVALID_PARAM);
    }
    b.page_paddr = AT_GUEST;
    b.flags = SNP_UPDATE_TYPE(SNP_PAGE_ZERO);
    b.vmpl2_perms = 0x10;
    REFUSED(SNP_CMD_LAUNCH_UPDATE, b, SEV_INVALID_PARAM);
}

/* What is refused for its contents changes nothing either. */
static void refusals_of_contents_leave_no_trace(void **state)
{
    struct snp_cmd_launch_start agent = {
        .gctx_paddr = AT_GCTX2, .policy = POLICY, .ma_gctx_paddr = AT_MORE, .flags = SNP_LAUNCH_MA};
    struct snp_cmd_launch_start policy = {.gctx_paddr = AT_GCTX2, .policy = SNP_POLICY_SMT};
    struct snp_cmd_launch_finish id = {.gctx_paddr = AT_GCTX,
                                       .id_block_paddr = AT_DATA,
                                       .id_auth_paddr = AT_MORE,
                                       .flags = SNP_FINISH_ID_BLOCK};
    struct snp_cmd_activate asids[] = {{AT_GCTX, ASID + 1}, {AT_GCTX, ASID}, {AT_GCTX, 0}};
    struct snp_cmd_config config = {.reported_tcb = UINT64_MAX};
    struct snp_cmd_vlek_load vlek = {.len = sizeof(vlek), .paddr = AT_DATA};
    struct snp_cmd_download_firmware_ex fw = {
        .len = sizeof(fw), .fw_paddr = AT_DATA, .fw_len = 0x60};
    struct snp_cmd_page unsmash = {AT_LARGE};
    struct snp_cmd_page_set_state fix = {.len = sizeof(fix), .list_paddr = AT_LARGE};
    struct snp_range_list list = {.count = 1, .ranges = {{AT_GUEST, 2, 0}}};

    create(&rig, AT_GCTX2);
    REFUSED(SNP_CMD_LAUNCH_START, agent, SEV_INVALID_GUEST);
    REFUSED(SNP_CMD_LAUNCH_START, policy, SEV_POLICY_FAILURE);
    memset(&id.host_data, 1, sizeof(id.host_data));
    id.id_auth_paddr = DRAM_BYTES - 0x800;
    REFUSED(SNP_CMD_LAUNCH_FINISH, id, SEV_INVALID_ADDRESS);
    id.id_auth_paddr = AT_MORE;
    host_write(&rig, AT_DATA, (uint8_t[]){1}, 1);
    REFUSED(SNP_CMD_LAUNCH_FINISH, id, SEV_BAD_MEASUREMENT);
    REFUSED(SNP_CMD_ACTIVATE, asids[0], SEV_ACTIVE);
    REFUSED(SNP_CMD_ACTIVATE, asids[1], SEV_ASID_OWNED);
    REFUSED(SNP_CMD_ACTIVATE, asids[2], SEV_INVALID_ASID);
    REFUSED(SNP_CMD_CONFIG, config, SEV_INVALID_PARAM);
    REFUSED(SNP_CMD_VLEK_LOAD, vlek, SEV_BAD_SVN);
    REFUSED(SNP_CMD_DOWNLOAD_FIRMWARE_EX, fw, SEV_BAD_SIGNATURE);
    REFUSED(SNP_CMD_PAGE_UNSMASH, unsmash, SEV_INVALID_PAGE_STATE);
    host_write(&rig, AT_LARGE, &list, sizeof(list));
    page_is(&rig, AT_GUEST, RMP_FIRMWARE, 0, false);
    REFUSED(SNP_CMD_PAGE_SET_STATE, fix, SEV_INVALID_PAGE_STATE);
    refused(__LINE__, SNP_CMD_SHUTDOWN, NULL, 0, SEV_DF_FLUSH_REQUIRED);
}

/* A request that cannot be read does not move a counter. */
static void unreadable_requests_are_refused(void **state)
{
    struct snp_cmd_guest_request b = {AT_GCTX, AT_DATA, AT_OUT};

    GOOD(finish(&rig, AT_GCTX));
    firmware_page(&rig, AT_OUT);
    REFUSED(SNP_CMD_GUEST_REQUEST, b, SEV_INVALID_PARAM);
    b.request_paddr = DRAM_BYTES;
    REFUSED(SNP_CMD_GUEST_REQUEST, b, SEV_INVALID_ADDRESS);
}

static int open_off(void **state)
{
    rig_open(&rig, CHIP_GENOA);
    return 0;
}

static int open_active(void **state)
{
    (void)open_initialised(state);
    guest_in_state(&rig, SNP_GUEST_LAUNCH, POLICY | SNP_POLICY_DEBUG);
    return 0;
}

#define OFF(test)    cmocka_unit_test_setup_teardown(test, open_off, close_rig)
#define READY(test)  cmocka_unit_test_setup_teardown(test, open_initialised, close_rig)
#define ACTIVE(test) cmocka_unit_test_setup_teardown(test, open_active, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OFF(the_table_has_every_command),
        OFF(chips_without_snp_know_none),
        OFF(wrong_platform_states_are_refused),
        READY(the_legacy_platform_holds_it_up),
        ACTIVE(malformed_buffers_are_refused),
        ACTIVE(reserved_bits_are_refused),
        READY(pages_that_are_no_context_name_no_guest),
        READY(wrong_guest_states_are_refused),
        READY(guests_without_an_asid_are_refused),
        ACTIVE(wrong_pages_are_refused),
        ACTIVE(wrong_sizes_are_refused),
        ACTIVE(pages_of_others_are_refused),
        ACTIVE(debuggers_need_leave),
        ACTIVE(types_and_permissions_are_checked),
        ACTIVE(refusals_of_contents_leave_no_trace),
        ACTIVE(unreadable_requests_are_refused),
    };

    return cmocka_run_group_tests(tests, take_memory, give_memory);
}
