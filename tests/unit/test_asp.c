/* The secure processor through its mailbox: the platform, its keys, a guest's launch with an owner
 * who computes everything with libcrypto alone, ASIDs, and what each command refuses. */
#include "asp_fixture.h"

static int open_genoa(void **state)
{
    rig_open(&rig, CHIP_GENOA, NULL);
    return 0;
}

/* ---- mailbox and platform ------------------------------------------------------------------ */

static void mailbox_answers_what_it_does_not_know(void **state)
{
    assert_int_equal(asp_read_reg(rig.asp, ASP_CMDRESP), 0);
    REFUSED(mailbox(&rig, 0x7FF, AT_CMD), SEV_INVALID_COMMAND);
    REFUSED(mailbox(&rig, 0x40, AT_CMD), SEV_INVALID_COMMAND);             /* SEND_START */
    REFUSED(mailbox(&rig, 0xCC, AT_CMD), SEV_INVALID_COMMAND);             /* its own */
    assert_int_equal(mailbox(&rig, SEV_CMD_NOP, UINT64_MAX), SEV_SUCCESS); /* has no buffer */
    assert_int_equal(asp_read_reg(rig.asp, ASP_CMDBUF_LO), 0);
    assert_int_equal(asp_read_reg(rig.asp, ASP_CMDBUF_HI), 0);
    asp_write_reg(rig.asp, 3, 7);
    assert_int_equal(asp_read_reg(rig.asp, 3), 0);
}

static struct sev_cmd_platform_status platform_status(void)
{
    struct sev_cmd_platform_status b;

    memset(&b, 0xEE, sizeof(b));
    assert_int_equal(COMMAND(&rig, PLATFORM_STATUS, b), SEV_SUCCESS);
    return b;
}

static void platform_goes_from_uninit_to_working_and_back(void **state)
{
    struct sev_cmd_platform_status s = platform_status();
    uint32_t handle;

    assert_int_equal(s.api_major, 1);
    assert_int_equal(s.api_minor, 55);
    assert_int_equal(s.build, 21);
    assert_int_equal(s.state, SEV_PLATFORM_UNINIT);
    assert_int_equal(s.owner | s.flags | s.reserved | s.guest_count, 0);
    rig_init(&rig);
    assert_int_equal(platform_status().state, SEV_PLATFORM_INIT);
    handle = start(&rig, 0);
    assert_int_equal(platform_status().state, SEV_PLATFORM_WORKING);
    assert_int_equal(platform_status().guest_count, 1);
    start(&rig, 0);
    assert_int_equal(by_handle(&rig, SEV_CMD_DECOMMISSION, handle), SEV_SUCCESS);
    assert_int_equal(platform_status().state, SEV_PLATFORM_WORKING);
    assert_int_equal(by_handle(&rig, SEV_CMD_DECOMMISSION, 2), SEV_SUCCESS);
    assert_int_equal(platform_status().state, SEV_PLATFORM_INIT);
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(platform_status().state, SEV_PLATFORM_UNINIT);
}

static void init_refuses_flags_that_it_cannot_keep(void **state)
{
    struct sev_cmd_init b = {.flags = 0x0002};

    REFUSED(COMMAND(&rig, INIT, b), SEV_INVALID_CONFIG);
    b.flags = SEV_INIT_ES; /* and no region */
    REFUSED(COMMAND(&rig, INIT, b), SEV_INVALID_LENGTH);
    b.tmr_paddr = b.tmr_len = SEV_TMR_BYTES; /* DRAM ends before */
    REFUSED(COMMAND(&rig, INIT, b), SEV_INVALID_ADDRESS);
}

static void init_ex_checks_its_lengths_and_addresses(void **state)
{
    struct sev_cmd_init_ex good = {.len = 0x24, .nv_paddr = AT_NV, .nv_len = SEV_NV_BYTES}, b;

    b = good, b.len = 0x20;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_LENGTH);
    b = good, b.nv_len = SEV_NV_BYTES - 1;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_LENGTH);
    b = good, b.nv_paddr = AT_NV + 16;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_ADDRESS);
    b = good, b.nv_paddr = DRAM_BYTES - FRAME_SIZE;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_ADDRESS);
    b = good, b.nv_paddr = -(uint64_t)FRAME_SIZE;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_ADDRESS);
    b = good, b.flags = 0x8000;
    REFUSED(COMMAND(&rig, INIT_EX, b), SEV_INVALID_CONFIG);
}

static void fill(uint64_t at, uint8_t byte, size_t len)
{
    for (size_t i = 0; i < len; i++)
        host_write(&rig, at + i, &byte, 1);
}

/* An area of ones is empty; what the chip writes there is the same chip's identity next time; an
 * area that something else changed is refused once, erased, and new the time after. */
static void init_ex_keeps_the_identity_in_the_hosts_area(void **state)
{
    struct sev_cmd_init_ex b = {.len = 0x24, .nv_paddr = AT_NV, .nv_len = SEV_NV_BYTES};
    static uint8_t area[SEV_NV_BYTES], flash[SEV_NV_BYTES];
    struct exported first, again;

    memcpy(flash, rig.asp->platform->nv, sizeof(flash));
    fill(AT_NV, 0xFF, SEV_NV_BYTES);
    assert_int_equal(COMMAND(&rig, INIT_EX, b), SEV_SUCCESS);
    export_certs(&rig, &first);
    assert_int_equal(PLAIN_COMMAND(&rig, PDH_GEN), SEV_SUCCESS);
    export_certs(&rig, &first);
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(COMMAND(&rig, INIT_EX, b), SEV_SUCCESS);
    export_certs(&rig, &again);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_memory_equal(rig.asp->platform->nv, flash, sizeof(flash)); /* untouched */
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);

    fill(AT_NV + 0x1234, 0x00, 16);
    assert_int_equal(COMMAND(&rig, INIT_EX, b), SEV_SECURE_DATA_INVALID);
    assert_int_equal(platform_status().state, SEV_PLATFORM_UNINIT);
    host_read(&rig, AT_NV, area, sizeof(area));
    for (unsigned i = 0; i < SEV_NV_BYTES; i++)
        assert_int_equal(area[i], 0xFF);
    assert_int_equal(COMMAND(&rig, INIT_EX, b), SEV_SUCCESS);
    export_certs(&rig, &again);
    assert_memory_not_equal(first.pek, again.pek, sizeof(first.pek));
    assert_memory_equal(first.cek, again.cek, sizeof(first.cek)); /* of the chip itself */
}

static void init_ex_without_an_area_is_init(void **state)
{
    struct sev_cmd_init_ex b = {.len = 0x24};
    struct exported first, again;

    assert_int_equal(COMMAND(&rig, INIT_EX, b), SEV_SUCCESS);
    export_certs(&rig, &first);
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    rig_init(&rig);
    export_certs(&rig, &again);
    assert_memory_equal(&first, &again, sizeof(first));
}

static void platform_reset_forgets_all_but_the_chip(void **state)
{
    struct exported first, again;

    rig_init(&rig);
    export_certs(&rig, &first);
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(PLAIN_COMMAND(&rig, PLATFORM_RESET), SEV_SUCCESS);
    rig_init(&rig);
    export_certs(&rig, &again);
    assert_memory_not_equal(first.oca, again.oca, SEV_CERT_BYTES);
    assert_memory_not_equal(first.pdh, again.pdh, SEV_CERT_BYTES);
    assert_memory_equal(first.cek, again.cek, SEV_CERT_BYTES);
}

/* ---- keys and certificates ----------------------------------------------------------------- */

static void certificates_chain_to_the_cek(void **state)
{
    struct exported e;

    export_certs(&rig, &e);
    assert_int_equal(load32(e.oca + 8), 0x1001);
    assert_int_equal(load32(e.pek + 8), 0x1002);
    assert_int_equal(load32(e.pdh + 8), 0x1003);
    assert_int_equal(load32(e.cek + 8), 0x1004);
    assert_int_equal(load32(e.oca + 0x414), 0x1001);
    assert_int_equal(load32(e.pek + 0x414), 0x1001); /* OCA first, then CEK */
    assert_int_equal(load32(e.pek + 0x61C), 0x1004);
    assert_int_equal(load32(e.pdh + 0x414), 0x1002);
    assert_int_equal(load32(e.cek + 0x414), 0x1000); /* AMD has not signed here */
    assert_true(signed_by(e.oca, e.oca, 0x414, e.oca + 0x41C));
    assert_true(signed_by(e.oca, e.pek, 0x414, e.pek + 0x41C));
    assert_true(signed_by(e.cek, e.pek, 0x414, e.pek + 0x624));
    assert_true(signed_by(e.pek, e.pdh, 0x414, e.pdh + 0x41C));
    assert_false(signed_by(e.oca, e.pdh, 0x414, e.pdh + 0x41C));
}

static void key_generation_replaces_what_it_says(void **state)
{
    struct exported was, is;

    export_certs(&rig, &was);
    assert_int_equal(PLAIN_COMMAND(&rig, PDH_GEN), SEV_SUCCESS);
    export_certs(&rig, &is);
    assert_memory_not_equal(was.pdh, is.pdh, SEV_CERT_BYTES);
    assert_memory_equal(was.pek, is.pek, SEV_CHAIN_BYTES);
    assert_true(signed_by(is.pek, is.pdh, 0x414, is.pdh + 0x41C));
    was = is;
    assert_int_equal(PLAIN_COMMAND(&rig, PEK_GEN), SEV_SUCCESS);
    export_certs(&rig, &is);
    assert_memory_not_equal(was.pdh, is.pdh, SEV_CERT_BYTES);
    assert_memory_not_equal(was.pek, is.pek, SEV_CERT_BYTES);
    assert_memory_not_equal(was.oca, is.oca, SEV_CERT_BYTES);
    assert_memory_equal(was.cek, is.cek, SEV_CERT_BYTES);
}

static void lengths_are_found_by_probing(void **state)
{
    struct sev_cmd_buffer b = {.paddr = 0};
    struct sev_cmd_pdh_cert_export e = {.pdh_len = SEV_CERT_BYTES};
    struct sev_cmd_guest_buffer m = {.handle = start(&rig, 0)};
    struct sev_cmd_attestation r = {.handle = guest_in_state(&rig, SEV_GUEST_RUNNING, 0)};

    REFUSED(COMMAND(&rig, PEK_CSR, b), SEV_INVALID_LENGTH);
    assert_int_equal(b.len, SEV_CERT_BYTES);
    b.len = 0x3F;
    REFUSED(COMMAND(&rig, GET_ID, b), SEV_INVALID_LENGTH);
    assert_int_equal(b.len, 0x40);
    REFUSED(COMMAND(&rig, PDH_CERT_EXPORT, e), SEV_INVALID_LENGTH);
    assert_int_equal(e.pdh_len, SEV_CERT_BYTES);
    assert_int_equal(e.chain_len, SEV_CHAIN_BYTES);
    REFUSED(COMMAND(&rig, LAUNCH_MEASURE, m), SEV_INVALID_LENGTH);
    assert_int_equal(m.len, 0x30);
    REFUSED(COMMAND(&rig, ATTESTATION, r), SEV_INVALID_LENGTH);
    assert_int_equal(r.len, 0xD0);
}

static void get_id_gives_a_point_that_names_the_chip(void **state)
{
    struct sev_cmd_buffer b = {AT_DATA, 0x1000};
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp256k1);
    EC_POINT *point = EC_POINT_new(group);
    uint8_t id[65] = {4}, again[64];

    assert_int_equal(COMMAND(&rig, GET_ID, b), SEV_SUCCESS);
    assert_int_equal(b.len, 0x40);
    host_read(&rig, AT_DATA, id + 1, 64);
    assert_int_equal(EC_POINT_oct2point(group, point, id, 65, NULL), 1); /* checks the curve */
    assert_int_equal(PLAIN_COMMAND(&rig, PEK_GEN), SEV_SUCCESS);
    assert_int_equal(COMMAND(&rig, GET_ID, b), SEV_SUCCESS);
    host_read(&rig, AT_DATA, again, 64);
    assert_memory_equal(id + 1, again, 64);
    EC_POINT_free(point);
    EC_GROUP_free(group);
}

/* An owner takes the platform: signs the PEK's CSR with an OCA of its own. */
struct takeover {
    struct p384_key key;
    struct sev_cert oca, pek;
    struct sev_cmd_pek_cert_import b;
};

static void take_over(struct takeover *t)
{
    struct sev_cmd_buffer csr = {AT_DATA, SEV_CERT_BYTES};

    assert_int_equal(COMMAND(&rig, PEK_CSR, csr), SEV_SUCCESS);
    host_read(&rig, AT_DATA, &t->pek, sizeof(t->pek));
    assert_int_equal(t->pek.sigs[0].usage, USAGE_NONE);
    assert_int_equal(t->pek.sigs[1].usage, USAGE_NONE);
    assert_true(p384_generate(&t->key));
    sev_cert_make(&t->oca, USAGE_OCA, ALGO_ECDSA_SHA256, 1, 55, &t->key.pub);
    assert_true(sev_cert_sign(&t->oca, 0, USAGE_OCA, &t->key));
    assert_true(sev_cert_sign(&t->pek, 0, USAGE_OCA, &t->key));
    t->b = (struct sev_cmd_pek_cert_import){AT_DATA, SEV_CERT_BYTES, 0, AT_MORE, SEV_CERT_BYTES};
}

static enum sev_status import(struct takeover *t)
{
    host_write(&rig, AT_DATA, &t->pek, sizeof(t->pek));
    host_write(&rig, AT_MORE, &t->oca, sizeof(t->oca));
    look(&rig, &before);
    return COMMAND(&rig, PEK_CERT_IMPORT, t->b);
}

static void an_owner_takes_the_platform(void **state)
{
    struct exported was, e;
    struct takeover t;

    export_certs(&rig, &was);
    take_over(&t);
    assert_int_equal(import(&t), SEV_SUCCESS);
    assert_int_equal(platform_status().owner, 1);
    export_certs(&rig, &e);
    assert_memory_equal(e.oca, &t.oca, SEV_CERT_BYTES);
    assert_memory_not_equal(e.pdh, was.pdh, SEV_CERT_BYTES);
    assert_true(signed_by(e.oca, e.pek, 0x414, e.pek + 0x41C));
    assert_int_equal(load32(e.pek + 0x61C), 0x1004);
    assert_true(signed_by(e.cek, e.pek, 0x414, e.pek + 0x624));
    assert_true(signed_by(e.pek, e.pdh, 0x414, e.pdh + 0x41C));
    assert_int_equal(import(&t), SEV_ALREADY_OWNED);
    assert_same_world(&rig, &before);

    /* it lasts, until PEK_GEN */
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(platform_status().owner, 0); /* reads 0 while UNINIT */
    rig_init(&rig);
    assert_int_equal(platform_status().owner, 1);
    assert_int_equal(PLAIN_COMMAND(&rig, PEK_GEN), SEV_SUCCESS);
    assert_int_equal(platform_status().owner, 0);
}

static void the_chips_signature_goes_to_the_free_slot(void **state)
{
    struct exported e;
    struct takeover t;

    take_over(&t);
    t.pek.sigs[1] = t.pek.sigs[0];
    t.pek.sigs[0] = (struct sev_cert_sig){.usage = USAGE_NONE};
    assert_int_equal(import(&t), SEV_SUCCESS);
    export_certs(&rig, &e);
    assert_true(signed_by(e.cek, e.pek, 0x414, e.pek + 0x41C));
    assert_true(signed_by(e.oca, e.pek, 0x414, e.pek + 0x624));
}

static void bad_owners_are_refused(void **state)
{
    struct takeover good, t;

    take_over(&good);
    t = good, t.b.pek_len++;
    assert_int_equal(import(&t), SEV_INVALID_LENGTH);
    t = good, t.b.oca_len = 0;
    assert_int_equal(import(&t), SEV_INVALID_LENGTH);
    t = good, t.b.oca_paddr = DRAM_BYTES - 0x800;
    assert_int_equal(import(&t), SEV_INVALID_ADDRESS);
    t = good, t.oca.sigs[0].sig[0] ^= 1;
    assert_int_equal(import(&t), SEV_BAD_SIGNATURE);
    t = good, t.pek.sigs[0].sig[80] ^= 1;
    assert_int_equal(import(&t), SEV_BAD_SIGNATURE);
    t = good, t.pek.sigs[0] = (struct sev_cert_sig){.usage = USAGE_NONE};
    assert_int_equal(import(&t), SEV_INVALID_CERTIFICATE);
    t = good, t.pek.api_minor++; /* another body, well signed */
    assert_true(sev_cert_sign(&t.pek, 0, USAGE_OCA, &t.key));
    assert_int_equal(import(&t), SEV_INVALID_CERTIFICATE);
    assert_same_world(&rig, &before);
    assert_int_equal(platform_status().owner, 0);
}

/* ---- launch -------------------------------------------------------------------------------- */

static const char kernel[] = "a kernel, of which the guest's owner knows every single byte....";
#define KERNEL_BYTES 64u

static void digest_of_launch(const void *bytes, size_t len, uint8_t out[32])
{
    assert_int_equal(EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL), 1);
}

static void check_measure(const struct owner *o, const struct sev_measurement *m, uint32_t policy,
                          const uint8_t digest[32])
{
    uint8_t msg[8 + 32 + 16] = {0x04, 1, 55, 21}, want[32];

    memcpy(msg + 4, &policy, 4);
    memcpy(msg + 8, digest, 32);
    memcpy(msg + 40, m->mnonce, 16);
    mac(o->tik, msg, sizeof(msg), want);
    assert_memory_equal(m->measure, want, 32);
}

static enum sev_status give_secret(uint32_t handle, const struct sev_packet_header *h,
                                   const uint8_t *data, uint32_t len, uint64_t to)
{
    struct sev_cmd_launch_secret b = {.handle = handle,
                                      .hdr_paddr = AT_DATA,
                                      .hdr_len = sizeof(*h),
                                      .guest_paddr = to,
                                      .guest_len = len,
                                      .trans_paddr = AT_MORE,
                                      .trans_len = len};

    host_write(&rig, AT_DATA, h, sizeof(*h));
    host_write(&rig, AT_MORE, data, len);
    look(&rig, &before);
    return COMMAND(&rig, LAUNCH_SECRET, b);
}

static void an_owner_launches_measures_and_gives_a_secret(void **state)
{
    const uint32_t policy = SEV_POLICY_NODBG | SEV_POLICY_NOKS | 1u << 16;
    struct sev_packet_header h;
    struct sev_measurement m;
    struct exported e;
    struct owner o;
    uint8_t digest[32], data[32], got[KERNEL_BYTES];
    uint32_t handle;
    dram_key key;

    export_certs(&rig, &e);
    owner_seal(&o, e.pdh, policy);
    assert_int_equal(start_with(&rig, &o, policy, 0, &handle), SEV_SUCCESS);
    assert_int_equal(handle, 1);
    assert_int_equal(activate(&rig, handle, 100), SEV_SUCCESS);
    assert_false(asp_vmrun_asid(rig.asp, 100, &key)); /* not before LAUNCH_FINISH */

    host_write(&rig, AT_GUEST + 0x40, kernel, KERNEL_BYTES);
    assert_int_equal(update(&rig, handle, AT_GUEST + 0x40, KERNEL_BYTES), SEV_SUCCESS);
    host_read(&rig, AT_GUEST + 0x40, got, KERNEL_BYTES);
    assert_memory_not_equal(got, kernel, 16);

    assert_int_equal(measure(&rig, handle, &m), SEV_SUCCESS);
    digest_of_launch(kernel, KERNEL_BYTES, digest);
    check_measure(&o, &m, policy, digest);
    assert_int_equal(state_of(&rig, handle), SEV_GUEST_LSECRET);

    owner_secret(&o, m.measure, "the disk's key, and nobody else's", 32, &h, data);
    assert_int_equal(give_secret(handle, &h, data, 32, AT_GUEST + 0x800), SEV_SUCCESS);
    assert_int_equal(by_handle(&rig, SEV_CMD_LAUNCH_FINISH, handle), SEV_SUCCESS);
    assert_int_equal(state_of(&rig, handle), SEV_GUEST_RUNNING);

    assert_true(asp_vmrun_asid(rig.asp, 100, &key));
    assert_true(dram_read(rig.dram, AT_GUEST + 0x40, key, got, KERNEL_BYTES));
    assert_memory_equal(got, kernel, KERNEL_BYTES);
    assert_true(dram_read(rig.dram, AT_GUEST + 0x800, key, got, 32));
    assert_memory_equal(got, "the disk's key, and nobody else's", 32);
}

static void the_measure_is_of_every_update_in_its_order(void **state)
{
    static uint8_t all[0x3010];
    struct sev_measurement m;
    struct exported e;
    struct owner o;
    uint8_t digest[32];
    uint32_t handle;

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)(i * 13 + (i >> 7));
    export_certs(&rig, &e);
    owner_seal(&o, e.pdh, 0);
    assert_int_equal(start_with(&rig, &o, 0, 0, &handle), SEV_SUCCESS);
    assert_int_equal(activate(&rig, handle, 200), SEV_SUCCESS);
    /* a piece that crosses frames first, then what stands before it in memory */
    host_write(&rig, AT_GUEST + 0x1800, all, 0x3000);
    host_write(&rig, AT_GUEST + 0x17F0, all + 0x3000, 16);
    assert_int_equal(update(&rig, handle, AT_GUEST + 0x1800, 0x3000), SEV_SUCCESS);
    assert_int_equal(update(&rig, handle, AT_GUEST + 0x17F0, 16), SEV_SUCCESS);
    assert_int_equal(measure(&rig, handle, &m), SEV_SUCCESS);
    digest_of_launch(all, sizeof(all), digest);
    check_measure(&o, &m, 0, digest);
}

/* Save areas are measured as the host laid them out, in the order of the commands; what the
 * firmware notes in them comes after. */
static void save_areas_are_measured(void **state)
{
    struct sev_measurement m;
    struct exported e;
    struct owner o;
    uint8_t all[KERNEL_BYTES + 2 * FRAME_SIZE], *vmsa = all + KERNEL_BYTES, digest[32];
    uint32_t handle;

    rig.asp->tmr = 16 * SEV_TMR_BYTES; /* beyond this small DRAM */
    memcpy(all, kernel, KERNEL_BYTES);
    for (unsigned i = 0; i < 2 * FRAME_SIZE; i++)
        vmsa[i] = (uint8_t)(i * 7 + i / 256);
    host_write(&rig, AT_GUEST + 0x2000, vmsa, 2 * FRAME_SIZE);
    export_certs(&rig, &e);
    owner_seal(&o, e.pdh, SEV_POLICY_ES);
    host_write(&rig, AT_GUEST, all, KERNEL_BYTES);
    assert_int_equal(start_with(&rig, &o, SEV_POLICY_ES, 0, &handle), SEV_SUCCESS);
    assert_int_equal(activate(&rig, handle, 99), SEV_SUCCESS);
    assert_int_equal(update(&rig, handle, AT_GUEST, KERNEL_BYTES), SEV_SUCCESS);
    for (unsigned i = 0; i < 2; i++) {
        struct sev_cmd_guest_buffer b = {handle, 0, AT_GUEST + 0x2000 + i * FRAME_SIZE, FRAME_SIZE};

        assert_int_equal(COMMAND(&rig, LAUNCH_UPDATE_VMSA, b), SEV_SUCCESS);
    }
    assert_int_equal(measure(&rig, handle, &m), SEV_SUCCESS);
    digest_of_launch(all, sizeof(all), digest);
    check_measure(&o, &m, SEV_POLICY_ES, digest);
}

static void a_launch_without_a_session_measures_under_nobodys_key(void **state)
{
    struct sev_measurement m, again;
    uint32_t one = start(&rig, 0), two = start(&rig, 0);

    assert_int_equal(measure(&rig, one, &m), SEV_SUCCESS);
    assert_int_equal(measure(&rig, two, &again), SEV_SUCCESS);
    assert_memory_not_equal(m.mnonce, again.mnonce, 16);
    assert_memory_not_equal(m.measure, again.measure, 32);
    REFUSED(measure(&rig, one, &again), SEV_INVALID_GUEST_STATE); /* once is all */
}

/* Each field of the session, and the policy, changed by a bit. */
static void a_session_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        size_t at;
        enum sev_status status;
    } cases[] = {
        {offsetof(struct sev_session, nonce), SEV_BAD_MEASUREMENT},
        {offsetof(struct sev_session, wrap_tk) + 31, SEV_BAD_MEASUREMENT},
        {offsetof(struct sev_session, wrap_iv), SEV_BAD_MEASUREMENT}, /* TIK: another one */
        {offsetof(struct sev_session, wrap_mac) + 7, SEV_BAD_MEASUREMENT},
        {offsetof(struct sev_session, policy_mac), SEV_BAD_MEASUREMENT},
    };
    struct exported e;
    struct owner good, o;
    uint32_t handle;

    export_certs(&rig, &e);
    owner_seal(&good, e.pdh, 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        o = good;
        ((uint8_t *)&o.session)[cases[i].at] ^= 0x20;
        assert_int_equal(start_with(&rig, &o, 0, 0, &handle), cases[i].status);
        assert_int_equal(handle, 0);
    }
    assert_int_equal(start_with(&rig, &good, SEV_POLICY_NOSEND, 0, &handle), SEV_BAD_MEASUREMENT);
    assert_int_equal(PLAIN_COMMAND(&rig, PDH_GEN), SEV_SUCCESS); /* made for the old one */
    assert_int_equal(start_with(&rig, &good, 0, 0, &handle), SEV_BAD_MEASUREMENT);
    assert_int_equal(platform_status().guest_count, 0);
}

static void an_owners_certificate_must_be_one(void **state)
{
    static const struct {
        size_t at;
        uint8_t flip;
    } cases[] = {
        {0x00, 2}, {0x08, 1}, {0x0C, 1}, {0x10, 1}, {0x20, 1}, {0x14 + 60, 1}, {0x14 + 72, 1},
    };
    struct exported e;
    struct owner good, o;
    uint32_t handle;

    export_certs(&rig, &e);
    owner_seal(&good, e.pdh, 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        o = good;
        o.cert[cases[i].at] ^= cases[i].flip;
        assert_int_equal(start_with(&rig, &o, 0, 0, &handle), SEV_INVALID_CERTIFICATE);
    }
}

static void start_checks_lengths_addresses_and_policies(void **state)
{
    static const struct {
        uint32_t policy;
        enum sev_status status;
    } policies[] = {
        {1u << 16 | 55u << 24, SEV_SUCCESS}, {1u << 16 | 56u << 24, SEV_POLICY_FAILURE},
        {2u << 16, SEV_POLICY_FAILURE},      {0u << 16 | 99u << 24, SEV_SUCCESS},
        {0x40, SEV_POLICY_FAILURE},          {0x8000, SEV_POLICY_FAILURE},
        {SEV_POLICY_ES, SEV_UNSUPPORTED},
    };
    struct sev_cmd_launch_start good, b;
    struct exported e;
    struct owner o;
    uint32_t handle;

    export_certs(&rig, &e);
    for (size_t i = 0; i < COUNT(policies); i++) {
        owner_seal(&o, e.pdh, policies[i].policy);
        assert_int_equal(start_with(&rig, &o, policies[i].policy, 0, &handle), policies[i].status);
    }
    owner_seal(&o, e.pdh, 0);
    assert_int_equal(start_with(&rig, &o, 0, 0, &handle), SEV_SUCCESS); /* leaves them in place */
    good = (struct sev_cmd_launch_start){.dh_cert_paddr = AT_DATA,
                                         .dh_cert_len = SEV_CERT_BYTES,
                                         .session_paddr = AT_MORE,
                                         .session_len = 0x80};
    b = good, b.session_len = 0x7F;
    REFUSED(COMMAND(&rig, LAUNCH_START, b), SEV_INVALID_LENGTH);
    b = good, b.dh_cert_len = 0;
    REFUSED(COMMAND(&rig, LAUNCH_START, b), SEV_INVALID_LENGTH);
    b = good, b.dh_cert_paddr = DRAM_BYTES - 16;
    REFUSED(COMMAND(&rig, LAUNCH_START, b), SEV_INVALID_ADDRESS);
    b = good, b.session_paddr = UINT64_MAX;
    REFUSED(COMMAND(&rig, LAUNCH_START, b), SEV_INVALID_ADDRESS);
    REFUSED(start_with(&rig, NULL, SEV_POLICY_ES, 0, &handle), SEV_UNSUPPORTED);
}

static void guests_share_a_key_when_both_policies_let_them(void **state)
{
    uint32_t a = start(&rig, 0), alone = start(&rig, SEV_POLICY_NOKS), b;
    uint8_t got[16];

    REFUSED(start_with(&rig, NULL, SEV_POLICY_NOSEND, a, &b), SEV_POLICY_FAILURE);
    REFUSED(start_with(&rig, NULL, SEV_POLICY_NOKS, alone, &b), SEV_POLICY_FAILURE);
    REFUSED(start_with(&rig, NULL, 0, 77, &b), SEV_INVALID_GUEST);
    assert_int_equal(start_with(&rig, NULL, 0, a, &b), SEV_SUCCESS);
    assert_int_not_equal(a, b);
    assert_int_equal(activate(&rig, a, 100), SEV_SUCCESS);
    assert_int_equal(activate(&rig, b, 101), SEV_SUCCESS);
    assert_int_equal(dram_bound(rig.dram, 100), dram_bound(rig.dram, 101));
    host_write(&rig, AT_GUEST, kernel, 16);
    assert_int_equal(update(&rig, a, AT_GUEST, 16), SEV_SUCCESS);

    /* the key outlives the first of them */
    assert_int_equal(by_handle(&rig, SEV_CMD_DEACTIVATE, a), SEV_SUCCESS);
    assert_int_equal(by_handle(&rig, SEV_CMD_DECOMMISSION, a), SEV_SUCCESS);
    assert_true(dram_read(rig.dram, AT_GUEST, dram_bound(rig.dram, 101), got, 16));
    assert_memory_equal(got, kernel, 16);
    assert_int_equal(by_handle(&rig, SEV_CMD_DEACTIVATE, b), SEV_SUCCESS);
    fill(AT_GUEST, 0, FRAME_SIZE); /* now neither an ASID nor a frame holds it */
    assert_non_null(dram_touch(rig.dram, AT_GUEST >> FRAME_SHIFT, DRAM_PLAIN));
    assert_int_equal(activate(&rig, b, 102), SEV_SUCCESS);
    assert_int_not_equal(dram_bound(rig.dram, 102), DRAM_PLAIN);
}

static void the_owners_keys_are_wiped_when_the_guest_is_launched(void **state)
{
    static const uint8_t zeros[16];
    const struct guest *g = &rig.asp->guests[guest_in_state(&rig, SEV_GUEST_LSECRET, 0) - 1];

    assert_memory_not_equal(g->tek, zeros, 16);
    assert_memory_not_equal(g->tik, zeros, 16);
    assert_int_equal(by_handle(&rig, SEV_CMD_LAUNCH_FINISH, 1), SEV_SUCCESS);
    assert_memory_equal(g->tek, zeros, 16);
    assert_memory_equal(g->tik, zeros, 16);
}

static void a_guest_has_a_key_of_its_own(void **state)
{
    uint32_t a = start(&rig, 0), b = start(&rig, 0);

    assert_int_equal(activate(&rig, a, 100), SEV_SUCCESS);
    assert_int_equal(activate(&rig, b, 101), SEV_SUCCESS);
    assert_int_not_equal(dram_bound(rig.dram, 100), DRAM_PLAIN);
    assert_int_not_equal(dram_bound(rig.dram, 100), dram_bound(rig.dram, 101));
}

static void handles_run_out(void **state)
{
    uint32_t handle;

    for (unsigned i = 1; i <= ASP_GUESTS; i++)
        assert_int_equal(start(&rig, 0), i);
    REFUSED(start_with(&rig, NULL, 0, 0, &handle), SEV_RESOURCE_LIMIT);
    assert_int_equal(by_handle(&rig, SEV_CMD_DECOMMISSION, 500), SEV_SUCCESS);
    assert_int_equal(start(&rig, 0), 500);
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(platform_status().guest_count, 0);
}

static void updates_want_whole_blocks_in_dram(void **state)
{
    uint32_t handle = guest_in_state(&rig, SEV_GUEST_LUPDATE, 100);

    REFUSED(update(&rig, handle, AT_GUEST + 8, 16), SEV_INVALID_ADDRESS);
    REFUSED(update(&rig, handle, AT_GUEST, 0), SEV_INVALID_LENGTH);
    REFUSED(update(&rig, handle, AT_GUEST, 24), SEV_INVALID_LENGTH);
    REFUSED(update(&rig, handle, DRAM_BYTES - 16, 32), SEV_INVALID_ADDRESS);
    REFUSED(update(&rig, handle, DRAM_BYTES, 16), SEV_INVALID_ADDRESS);
    REFUSED(update(&rig, handle, -(uint64_t)16, 32), SEV_INVALID_ADDRESS);
    REFUSED(update(&rig, handle, 0, 0xFFFFFFF0), SEV_INVALID_ADDRESS);
}

/* ---- secrets ------------------------------------------------------------------------------- */

struct secret {
    struct owner o;
    struct sev_measurement m;
    struct sev_packet_header h;
    uint8_t data[64];
    uint32_t handle;
};

static void ready_for_secrets(struct secret *s)
{
    struct exported e;

    export_certs(&rig, &e);
    owner_seal(&s->o, e.pdh, 0);
    assert_int_equal(start_with(&rig, &s->o, 0, 0, &s->handle), SEV_SUCCESS);
    assert_int_equal(activate(&rig, s->handle, 100), SEV_SUCCESS);
    assert_int_equal(measure(&rig, s->handle, &s->m), SEV_SUCCESS);
    owner_secret(&s->o, s->m.measure, kernel, 64, &s->h, s->data);
}

static void every_bit_of_a_secrets_packet_counts(void **state)
{
    struct secret s;

    ready_for_secrets(&s);
    for (size_t bit = 0; bit < 8 * sizeof(s.h); bit += bit < 32 ? 1 : 11) {
        struct sev_packet_header h = s.h;

        ((uint8_t *)&h)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(give_secret(s.handle, &h, s.data, 64, AT_GUEST),
                         bit == 0 ? SEV_UNSUPPORTED : SEV_BAD_MEASUREMENT);
        assert_same_world(&rig, &before);
    }
    for (size_t bit = 0; bit < 8 * sizeof(s.data); bit += 9) {
        s.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(give_secret(s.handle, &s.h, s.data, 64, AT_GUEST), SEV_BAD_MEASUREMENT);
        assert_same_world(&rig, &before);
        s.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(give_secret(s.handle, &s.h, s.data, 64, AT_GUEST), SEV_SUCCESS);
}

static void a_secret_for_another_measure_is_refused(void **state)
{
    struct secret s;

    ready_for_secrets(&s);
    s.m.measure[0] ^= 1;
    owner_secret(&s.o, s.m.measure, kernel, 64, &s.h, s.data);
    assert_int_equal(give_secret(s.handle, &s.h, s.data, 64, AT_GUEST), SEV_BAD_MEASUREMENT);
    assert_same_world(&rig, &before);
}

static void secrets_have_lengths_and_addresses_that_make_sense(void **state)
{
    struct sev_cmd_launch_secret good, b;
    struct secret s;

    ready_for_secrets(&s);
    host_write(&rig, AT_DATA, &s.h, sizeof(s.h));
    good = (struct sev_cmd_launch_secret){.handle = s.handle,
                                          .hdr_paddr = AT_DATA,
                                          .hdr_len = 0x34,
                                          .guest_paddr = AT_GUEST,
                                          .guest_len = 64,
                                          .trans_paddr = AT_MORE,
                                          .trans_len = 64};
    b = good, b.hdr_len = 0x33;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_LENGTH);
    b = good, b.trans_len = 48;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_LENGTH);
    b = good, b.guest_len = b.trans_len = 0;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_LENGTH);
    b = good, b.guest_len = b.trans_len = 40;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_LENGTH);
    b = good, b.guest_len = b.trans_len = 0x5010;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_LENGTH);
    b = good, b.guest_paddr += 8;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_ADDRESS);
    b = good, b.guest_paddr = DRAM_BYTES - 32;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_ADDRESS);
    b = good, b.hdr_paddr = DRAM_BYTES - 0x33;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_ADDRESS);
    b = good, b.trans_paddr = UINT64_MAX - 8;
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_INVALID_ADDRESS);
    b = good, b.guest_len = b.trans_len = 0x5000; /* as long as may be: only the MAC is wrong */
    REFUSED(COMMAND(&rig, LAUNCH_SECRET, b), SEV_BAD_MEASUREMENT);
}

/* ---- reports, debugging -------------------------------------------------------------------- */

static void a_report_is_signed_by_the_pek(void **state)
{
    struct sev_cmd_attestation b = {.paddr = AT_DATA, .len = 0x200};
    uint8_t report[0xD0], digest[32];
    struct exported e;
    struct sev_measurement m;

    b.handle = start(&rig, SEV_POLICY_NOSEND);
    memcpy(b.mnonce, "a caller's nonce", 16);
    assert_int_equal(activate(&rig, b.handle, 100), SEV_SUCCESS);
    host_write(&rig, AT_GUEST, kernel, KERNEL_BYTES);
    assert_int_equal(update(&rig, b.handle, AT_GUEST, KERNEL_BYTES), SEV_SUCCESS);
    REFUSED(COMMAND(&rig, ATTESTATION, b), SEV_INVALID_GUEST_STATE);
    assert_int_equal(measure(&rig, b.handle, &m), SEV_SUCCESS);
    assert_int_equal(by_handle(&rig, SEV_CMD_LAUNCH_FINISH, b.handle), SEV_SUCCESS);
    assert_int_equal(COMMAND(&rig, ATTESTATION, b), SEV_SUCCESS);
    assert_int_equal(b.len, 0xD0);
    host_read(&rig, AT_DATA, report, sizeof(report));

    export_certs(&rig, &e);
    assert_memory_equal(report, "a caller's nonce", 16);
    digest_of_launch(kernel, KERNEL_BYTES, digest);
    assert_memory_equal(report + 0x10, digest, 32);
    assert_int_equal(load32(report + 0x30), SEV_POLICY_NOSEND);
    assert_int_equal(load32(report + 0x34), 0x1002);
    assert_int_equal(load32(report + 0x38), 2);
    assert_true(signed_by(e.pek, report, 0x34, report + 0x40));
    report[0x10] ^= 1;
    assert_false(signed_by(e.pek, report, 0x34, report + 0x40));
}

static void debugging_obeys_the_policy(void **state)
{
    struct sev_cmd_dbg b = {.src_paddr = AT_GUEST, .dst_paddr = AT_MORE + 0xFF0, .len = 32};
    uint8_t got[32];

    b.handle = start(&rig, SEV_POLICY_NODBG);
    REFUSED(COMMAND(&rig, DBG_DECRYPT, b), SEV_POLICY_FAILURE); /* before INACTIVE */
    REFUSED(COMMAND(&rig, DBG_ENCRYPT, b), SEV_POLICY_FAILURE);
    b.handle = start(&rig, 0);
    REFUSED(COMMAND(&rig, DBG_DECRYPT, b), SEV_INACTIVE);
    assert_int_equal(activate(&rig, b.handle, 100), SEV_SUCCESS);
    host_write(&rig, AT_GUEST, kernel, 32);
    assert_int_equal(update(&rig, b.handle, AT_GUEST, 32), SEV_SUCCESS);
    assert_int_equal(COMMAND(&rig, DBG_DECRYPT, b), SEV_SUCCESS);
    host_read(&rig, AT_MORE + 0xFF0, got, 32); /* across frames */
    assert_memory_equal(got, kernel, 32);

    host_write(&rig, AT_MORE, "written by the debugger", 16);
    b.src_paddr = AT_MORE, b.dst_paddr = AT_GUEST + 16, b.len = 16;
    assert_int_equal(COMMAND(&rig, DBG_ENCRYPT, b), SEV_SUCCESS);
    assert_true(dram_read(rig.dram, AT_GUEST, dram_bound(rig.dram, 100), got, 32));
    assert_memory_equal(got, kernel, 16);
    assert_memory_equal(got + 16, "written by the debugger", 16);

    b.len = 8;
    REFUSED(COMMAND(&rig, DBG_DECRYPT, b), SEV_INVALID_LENGTH);
    b.len = 16, b.src_paddr += 4;
    REFUSED(COMMAND(&rig, DBG_DECRYPT, b), SEV_INVALID_ADDRESS);
    b.src_paddr = DRAM_BYTES;
    REFUSED(COMMAND(&rig, DBG_ENCRYPT, b), SEV_INVALID_ADDRESS);
    b.src_paddr = 0, b.dst_paddr = -(uint64_t)16, b.len = 32;
    REFUSED(COMMAND(&rig, DBG_ENCRYPT, b), SEV_INVALID_ADDRESS);
}

/* ---- ASIDs --------------------------------------------------------------------------------- */

static void asids_have_owners_and_bounds(void **state)
{
    uint32_t a = start(&rig, 0), b = start(&rig, 0);

    REFUSED(activate(&rig, a, 0), SEV_INVALID_ASID);
    REFUSED(activate(&rig, a, 1007), SEV_INVALID_ASID);
    REFUSED(activate(&rig, a, UINT32_MAX), SEV_INVALID_ASID);
    REFUSED(activate(&rig, a, 99), SEV_INVALID_ASID); /* kept for SEV-ES */
    assert_int_equal(activate(&rig, a, 1006), SEV_SUCCESS);
    REFUSED(activate(&rig, b, 1006), SEV_ASID_OWNED);
    REFUSED(activate(&rig, a, 1006), SEV_ASID_OWNED);
    REFUSED(activate(&rig, a, 1005), SEV_ACTIVE);
    REFUSED(by_handle(&rig, SEV_CMD_DECOMMISSION, a), SEV_ACTIVE);
}

static void asids_of_each_chip(void **state)
{
    static const struct {
        enum chip_id chip;
        uint32_t last;
    } cases[] = {
        {CHIP_NAPLES, 15},  {CHIP_ROME, 509},   {CHIP_MILAN, 509},
        {CHIP_GENOA, 1006}, {CHIP_TURIN, 1006},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t handle;

        rig_open(&rig, cases[i].chip, NULL);
        rig_init(&rig);
        handle = start(&rig, 0);
        assert_int_equal(activate(&rig, handle, cases[i].last + 1), SEV_INVALID_ASID);
        assert_int_equal(activate(&rig, handle, cases[i].last), SEV_SUCCESS);
        rig_close(&rig);
    }
}

static void asids_start_dirty_and_wait_for_every_core(void **state)
{
    struct sev_cmd_init init = {0};
    uint32_t handle;

    assert_int_equal(PLAIN_COMMAND(&rig, DF_FLUSH), SEV_SUCCESS); /* nothing to flush yet */
    assert_int_equal(COMMAND(&rig, INIT, init), SEV_SUCCESS);
    handle = start(&rig, 0);
    REFUSED(activate(&rig, handle, 100), SEV_DF_FLUSH_REQUIRED);
    REFUSED(PLAIN_COMMAND(&rig, DF_FLUSH), SEV_WBINVD_REQUIRED);
    asp_note_wbinvd(rig.asp, 0);
    asp_note_wbinvd(rig.asp, 63); /* no such core */
    REFUSED(PLAIN_COMMAND(&rig, DF_FLUSH), SEV_WBINVD_REQUIRED);
    asp_note_wbinvd(rig.asp, 1);
    assert_int_equal(PLAIN_COMMAND(&rig, DF_FLUSH), SEV_SUCCESS);
    assert_int_equal(activate(&rig, handle, 100), SEV_SUCCESS);
}

static void an_asid_that_ran_is_dirty_until_flushed(void **state)
{
    uint32_t ran = guest_in_state(&rig, SEV_GUEST_RUNNING, 100);
    uint32_t never = guest_in_state(&rig, SEV_GUEST_LUPDATE, 101), next = start(&rig, 0);
    dram_key key;

    assert_true(asp_vmrun_asid(rig.asp, 100, &key));
    assert_int_equal(by_handle(&rig, SEV_CMD_DEACTIVATE, ran), SEV_SUCCESS);
    assert_false(asp_vmrun_asid(rig.asp, 100, &key));
    assert_int_equal(dram_bound(rig.dram, 100), DRAM_PLAIN);
    assert_int_equal(by_handle(&rig, SEV_CMD_DEACTIVATE, never), SEV_SUCCESS);
    assert_int_equal(activate(&rig, never, 101), SEV_SUCCESS); /* clean: its guest never ran */
    REFUSED(activate(&rig, next, 100), SEV_DF_FLUSH_REQUIRED);
    REFUSED(PLAIN_COMMAND(&rig, DF_FLUSH), SEV_WBINVD_REQUIRED);
    flush_asids(&rig);
    assert_int_equal(activate(&rig, next, 100), SEV_SUCCESS);
    assert_int_equal(activate(&rig, ran, 102), SEV_SUCCESS); /* a launched guest runs at once */
    assert_true(asp_vmrun_asid(rig.asp, 102, &key));
}

static void vmrun_wants_an_asid_of_a_launched_guest(void **state)
{
    uint32_t handle = guest_in_state(&rig, SEV_GUEST_LSECRET, 100);
    dram_key key;

    assert_false(asp_vmrun_asid(rig.asp, 0, &key));
    assert_false(asp_vmrun_asid(rig.asp, 100, &key));
    assert_false(asp_vmrun_asid(rig.asp, 101, &key));
    assert_false(asp_vmrun_asid(rig.asp, 1007, &key));
    assert_false(asp_vmrun_asid(rig.asp, UINT32_MAX, &key));
    assert_int_equal(by_handle(&rig, SEV_CMD_LAUNCH_FINISH, handle), SEV_SUCCESS);
    assert_true(asp_vmrun_asid(rig.asp, 100, &key));
    assert_int_equal(key, dram_bound(rig.dram, 100));
}

static void shutdown_ends_every_guest(void **state)
{
    uint32_t handle = guest_in_state(&rig, SEV_GUEST_RUNNING, 100);
    dram_key key;

    assert_true(asp_vmrun_asid(rig.asp, 100, &key));
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_false(asp_vmrun_asid(rig.asp, 100, &key));
    assert_int_equal(dram_bound(rig.dram, 100), DRAM_PLAIN);
    rig_init(&rig);
    assert_int_equal(state_of(&rig, handle), SEV_GUEST_UNINIT);
}

static void guest_status_tells(void **state)
{
    struct sev_cmd_guest_status b;

    memset(&b, 0x77, sizeof(b));
    b.handle = 1000;
    assert_int_equal(COMMAND(&rig, GUEST_STATUS, b), SEV_SUCCESS);
    assert_int_equal(b.policy | b.asid | b.state, 0);
    b.handle = start(&rig, SEV_POLICY_NODBG);
    assert_int_equal(activate(&rig, b.handle, 300), SEV_SUCCESS);
    assert_int_equal(COMMAND(&rig, GUEST_STATUS, b), SEV_SUCCESS);
    assert_int_equal(b.policy, SEV_POLICY_NODBG);
    assert_int_equal(b.asid, 300);
    assert_int_equal(b.state, SEV_GUEST_LUPDATE);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, open_genoa, close_rig)
#define READY(test) cmocka_unit_test_setup_teardown(test, open_initialised, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(mailbox_answers_what_it_does_not_know),
        FRESH(platform_goes_from_uninit_to_working_and_back),
        FRESH(init_refuses_flags_that_it_cannot_keep),
        FRESH(init_ex_checks_its_lengths_and_addresses),
        FRESH(init_ex_keeps_the_identity_in_the_hosts_area),
        FRESH(init_ex_without_an_area_is_init),
        FRESH(platform_reset_forgets_all_but_the_chip),
        READY(certificates_chain_to_the_cek),
        READY(key_generation_replaces_what_it_says),
        READY(lengths_are_found_by_probing),
        READY(get_id_gives_a_point_that_names_the_chip),
        READY(an_owner_takes_the_platform),
        READY(the_chips_signature_goes_to_the_free_slot),
        READY(bad_owners_are_refused),
        READY(an_owner_launches_measures_and_gives_a_secret),
        READY(save_areas_are_measured),
        READY(the_measure_is_of_every_update_in_its_order),
        READY(a_launch_without_a_session_measures_under_nobodys_key),
        READY(a_session_that_does_not_fit_is_refused),
        READY(an_owners_certificate_must_be_one),
        READY(start_checks_lengths_addresses_and_policies),
        READY(guests_share_a_key_when_both_policies_let_them),
        READY(the_owners_keys_are_wiped_when_the_guest_is_launched),
        READY(a_guest_has_a_key_of_its_own),
        READY(handles_run_out),
        READY(updates_want_whole_blocks_in_dram),
        READY(every_bit_of_a_secrets_packet_counts),
        READY(a_secret_for_another_measure_is_refused),
        READY(secrets_have_lengths_and_addresses_that_make_sense),
        READY(a_report_is_signed_by_the_pek),
        READY(debugging_obeys_the_policy),
        READY(asids_have_owners_and_bounds),
        cmocka_unit_test(asids_of_each_chip),
        FRESH(asids_start_dirty_and_wait_for_every_core),
        READY(an_asid_that_ran_is_dirty_until_flushed),
        READY(vmrun_wants_an_asid_of_a_launched_guest),
        READY(shutdown_ends_every_guest),
        READY(guest_status_tells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
