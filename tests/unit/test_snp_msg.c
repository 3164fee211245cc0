/* Guest messages: the envelope, the order, and what each answers (SEV-SNP ABI, guest messages). */
#include "snp_guest_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ecdsa.h>
#include <openssl/hmac.h>

#include <cmocka.h>

enum {
    CPUID = 1,
    KEY = 3,
    REPORT = 5,
    EXPORT = 7,
    IMPORT = 9,
    ABSORB = 0xB,
    VMRK = 0xD,
    NOMA = 0xF,
    TSC = 0x11
};

static struct guest_rig rig;
static struct snp_guest *guest;
static uint8_t answer[FRAME_SIZE];
static size_t answer_len;

static void start(enum chip_id chip)
{
    struct error err = {0};

    if (!guest_rig_open(&rig, chip, NULL, &err))
        fail_msg("no rig: %s", err.text);
    guest = guest_rig_guest(&rig, 0, SNP_GUEST_RUNNING);
}

static int open_genoa(void **state)
{
    start(CHIP_GENOA);
    return 0;
}

static int close_rig(void **state)
{
    guest_rig_close(&rig);
    return 0;
}

/* Asks as the VMPL that has the key; SUCCESS at the mailbox, and the status in the answer. */
static enum sev_status ask_of(struct snp_guest *g, uint8_t vmpck, uint8_t type, const void *payload,
                              size_t len)
{
    enum sev_status status;

    memset(answer, 0xEE, sizeof(answer));
    if (!guest_ask(&rig, g, vmpck, type, payload, len, answer, &answer_len, &status))
        fail_msg("that is no answer to message %02x", type);
    assert_int_equal(status, SEV_SUCCESS);
    return (enum sev_status)load32(answer);
}

static enum sev_status ask(uint8_t type, const void *payload, size_t len)
{
    return ask_of(guest, 0, type, payload, len);
}

/* ---- reports -----------------------------------------------------------------------------------
 */

static const uint8_t *report(void)
{
    return answer + 0x20;
}

static enum sev_status get_report(uint8_t vmpck, uint32_t vmpl, uint32_t key_sel)
{
    uint8_t req[0x60] = {0};

    for (unsigned i = 0; i < 64; i++)
        req[i] = (uint8_t)(i * 7);
    store32(req + 0x40, vmpl);
    store32(req + 0x44, key_sel);
    return ask_of(guest, vmpck, REPORT, req, sizeof(req));
}

/* R and S at 2A0h, 72 bytes each, little-endian, over the bytes before. */
static bool report_signed_by(const struct p384_public *pub)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ECDSA_SIG *s = ECDSA_SIG_new();
    uint8_t point[97] = {4}, *der = NULL;
    OSSL_PARAM *params;
    int len;
    bool ok;

    memcpy(point + 1, pub->x, 48);
    memcpy(point + 49, pub->y, 48);
    assert_true(OSSL_PARAM_BLD_push_utf8_string(bld, "group", "P-384", 0));
    assert_true(OSSL_PARAM_BLD_push_octet_string(bld, "pub", point, sizeof(point)));
    params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    assert_true(ECDSA_SIG_set0(s, BN_lebin2bn(report() + 0x2A0, 72, NULL),
                               BN_lebin2bn(report() + 0x2E8, 72, NULL)));
    len = i2d_ECDSA_SIG(s, &der);
    ok = EVP_DigestVerifyInit(md, NULL, EVP_sha384(), NULL, key) == 1 &&
         EVP_DigestVerify(md, der, (size_t)len, report(), 0x2A0) == 1;
    OPENSSL_free(der);
    ECDSA_SIG_free(s);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static struct p384_public vcek_of(uint64_t tcb)
{
    uint8_t hash[VCEK_HASH_BYTES];
    struct p384_key key;

    assert_true(vcek_hash(rig.asp->platform->secret, tcb, hash));
    assert_true(vcek_key(hash, &key));
    return key.pub;
}

static bool zeros(const uint8_t *p, size_t n)
{
    while (n--)
        if (*p++)
            return false;
    return true;
}

/* Reserved fields, by version (SNP ABI, ATTESTATION_REPORT). */
static void assert_reserved_zero(uint32_t version)
{
    const uint8_t *r = report();

    assert_true(zeros(r + 0x4C, 4));
    assert_true(zeros(r + (version < 3 ? 0x188 : 0x18B), version < 3 ? 0x18 : 0x15));
    assert_int_equal(r[0x1EB] | r[0x1EF], 0);
    assert_true(zeros(r + (version < 5 ? 0x1F8 : 0x208), version < 5 ? 0xA8 : 0x98));
    assert_true(zeros(r + 0x2A0 + 48, 24)); /* above R's 48 bytes, and S's */
    assert_true(zeros(r + 0x2E8 + 48, 24));
    assert_true(zeros(r + 0x330, 0x170));
}

static void assert_report_of_guest(void)
{
    const uint8_t *r = report();

    assert_int_equal(load64(r + 8), guest->policy);
    assert_int_equal(load32(r + 0x34), 1);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(r[0x50 + i], (uint8_t)(i * 7));
    assert_memory_equal(r + 0x90, guest->measurement, 48);
    assert_memory_equal(r + 0xC0, guest->host_data, 32);
    assert_memory_equal(r + 0x140, guest->report_id, 32);
    assert_memory_equal(r + 0x160, guest->report_id_ma, 32);
    assert_int_equal(load64(r + 0x1F0), guest->launch_tcb);
}

static void each_chip_has_its_report(void **state)
{
    static const struct {
        enum chip_id chip;
        uint32_t version;
        size_t id;
        uint8_t tcb[8], fms[3];
    } chips[] = {
        {CHIP_MILAN, 2, 64, {4, 0, 0, 0, 0, 0, 0x18, 0xDB}, {0, 0, 0}},
        {CHIP_GENOA, 3, 64, {0x0A, 0, 0, 0, 0, 0, 0x17, 0x54}, {0x19, 0x11, 1}},
        {CHIP_TURIN, 5, 8, {1, 1, 1, 4, 0, 0, 0, 0x51}, {0x1A, 2, 1}},
    };

    for (size_t i = 0; i < COUNT(chips); i++) {
        const struct p384_public pub = (start(chips[i].chip), vcek_of(load64(chips[i].tcb)));
        const struct chip *chip = rig.asp->chip;
        const uint8_t *r = report();

        assert_int_equal(get_report(0, 2, 0), SEV_SUCCESS);
        assert_int_equal(answer_len, 0x4C0);
        assert_int_equal(load32(answer + 4), 0x4A0);
        assert_true(zeros(answer + 8, 0x18));
        assert_int_equal(load32(r), chips[i].version);
        assert_int_equal(load32(r + 0x30), 2);
        assert_int_equal(load32(r + 0x48), 0); /* VCEK */
        assert_memory_equal(r + 0x38, chips[i].tcb, 8);
        assert_memory_equal(r + 0x180, chips[i].tcb, 8);
        assert_memory_equal(r + 0x1E0, chips[i].tcb, 8);
        assert_memory_equal(r + 0x188, chips[i].fms, 3);
        assert_memory_equal(r + 0x1A0, rig.asp->platform->id, chips[i].id);
        assert_true(zeros(r + 0x1A0 + chips[i].id, 64 - chips[i].id));
        assert_int_equal(r[0x1E8], chip->api_build);
        assert_int_equal(r[0x1E9], chip->api_minor);
        assert_int_equal(r[0x1EA], chip->api_major);
        assert_memory_equal(r + 0x1E8, r + 0x1EC, 4);
        assert_report_of_guest();
        assert_reserved_zero(chips[i].version);
        assert_true(report_signed_by(&pub));
        answer[0x20 + 0x91] ^= 1;
        assert_false(report_signed_by(&pub));
        guest_rig_close(&rig);
    }
    start(CHIP_GENOA);
}

static void a_report_follows_the_reported_tcb(void **state)
{
    uint64_t lower =
        tcb_set(rig.asp->chip, rig.asp->platform->versions.committed.tcb, TCB_MICROCODE, 0x50);
    struct p384_public first, second;

    assert_int_equal(get_report(0, 0, 1), SEV_SUCCESS);
    first = vcek_of(rig.asp->platform->versions.committed.tcb);
    assert_true(report_signed_by(&first));
    rig.asp->snp->configured_tcb = lower;
    assert_int_equal(get_report(0, 0, 1), SEV_SUCCESS);
    second = vcek_of(lower);
    assert_int_equal(load64(report() + 0x180), lower);
    assert_true(report_signed_by(&second));
    assert_false(report_signed_by(&first));
}

static void an_id_block_shows_in_reports(void **state)
{
    guest->id_block_en = guest->author_key_en = true;
    guest->id_block.guest_svn = 7;
    memset(guest->id_block.family_id, 0xF1, 16);
    memset(guest->id_block.image_id, 0x11, 16);
    memset(guest->id_key_digest, 0x1D, 48);
    memset(guest->author_key_digest, 0xA0, 48);
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    assert_int_equal(load32(report() + 4), 7);
    assert_memory_equal(report() + 0x10, guest->id_block.family_id, 16);
    assert_memory_equal(report() + 0x20, guest->id_block.image_id, 16);
    assert_memory_equal(report() + 0xE0, guest->id_key_digest, 48);
    assert_memory_equal(report() + 0x110, guest->author_key_digest, 48);
    assert_int_equal(load32(report() + 0x48), 1); /* AUTHOR_KEY_EN */
}

static void a_key_speaks_for_no_vmpl_above_its_own(void **state)
{
    assert_int_equal(get_report(2, 2, 0), SEV_SUCCESS);
    assert_int_equal(load32(report() + 0x30), 2);
    assert_int_equal(get_report(2, 3, 0), SEV_SUCCESS);
    assert_int_equal(get_report(2, 1, 0), SEV_INVALID_PARAM);
    assert_int_equal(answer_len, 0x4C0);
    assert_true(zeros(answer + 4, 0x4BC)); /* the status alone */
    assert_int_equal(get_report(0, 4, 0), SEV_INVALID_PARAM);
    assert_int_equal(get_report(0, UINT32_MAX, 0), SEV_INVALID_PARAM);
}

static void load_vlek(struct p384_public *pub)
{
    struct p384_key key;

    rig.asp->snp->vlek_loaded = true;
    (void)RAND_bytes(rig.asp->snp->vlek[0], sizeof(rig.asp->snp->vlek));
    assert_true(vlek_key(rig.asp->snp->vlek[7], &key));
    *pub = key.pub;
}

static void key_selection(void **state)
{
    struct p384_public vcek = vcek_of(rig.asp->platform->versions.committed.tcb), vlek;

    assert_int_equal(get_report(0, 0, 2), SEV_INVALID_KEY); /* none is loaded */
    assert_int_equal(get_report(0, 0, 3), SEV_INVALID_KEY); /* reserved */
    assert_int_equal(get_report(0, 0, 4), SEV_INVALID_PARAM);
    load_vlek(&vlek);
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    assert_int_equal(load32(report() + 0x48), 1 << 2);
    assert_true(report_signed_by(&vlek));
    assert_int_equal(get_report(0, 0, 2), SEV_SUCCESS);
    assert_true(report_signed_by(&vlek));
    assert_int_equal(get_report(0, 0, 1), SEV_SUCCESS);
    assert_int_equal(load32(report() + 0x48), 0);
    assert_true(report_signed_by(&vcek));
    guest->vcek_dis = true;
    assert_int_equal(get_report(0, 0, 1), SEV_INVALID_KEY);
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    rig.asp->snp->vlek_loaded = false;
    assert_int_equal(get_report(0, 0, 0), SEV_INVALID_KEY);
}

static void masks(void **state)
{
    struct p384_public vlek;

    rig.asp->snp->config = SNP_CONFIG_MASK_CHIP_ID;
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    assert_true(zeros(report() + 0x1A0, 64));
    assert_int_equal(load32(report() + 0x48), 0);
    rig.asp->snp->config = SNP_CONFIG_MASK_CHIP_KEY;
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    assert_false(zeros(report() + 0x1A0, 64));
    assert_int_equal(load32(report() + 0x48), 7 << 2 | 2); /* unsigned; MASK_CHIP_KEY */
    assert_true(zeros(report() + 0x2A0, 0x200));
    load_vlek(&vlek);
    assert_int_equal(get_report(0, 0, 0), SEV_SUCCESS);
    assert_int_equal(load32(report() + 0x48), 1 << 2 | 2);
    assert_true(report_signed_by(&vlek));
}

/* ---- the envelope ------------------------------------------------------------------------------
 */

static uint8_t request[FRAME_SIZE], response[FRAME_SIZE];

/* A request of that sequence number; what the mailbox says. A refusal changes nothing. */
static enum sev_status send(uint64_t seqno, uint8_t vmpck)
{
    static const uint8_t tsc[0x80];

    assert_true(guest_seal(request, guest->vmpck[vmpck & 3], seqno, TSC, vmpck, tsc, sizeof(tsc)));
    return snp_guest_request(rig.asp, guest, request, response);
}

static enum sev_status refused(void)
{
    static struct snp before;
    static const uint8_t untouched[FRAME_SIZE];
    enum sev_status status;

    before = *rig.asp->snp;
    memset(response, 0, sizeof(response));
    status = snp_guest_request(rig.asp, guest, request, response);
    assert_int_not_equal(status, SEV_SUCCESS);
    assert_memory_equal(&before, rig.asp->snp, sizeof(before));
    assert_memory_equal(response, untouched, sizeof(response));
    return status;
}

static void messages_come_in_order(void **state)
{
    assert_int_equal(send(0, 0), SEV_AEAD_OFLOW);
    assert_int_equal(send(2, 0), SEV_AEAD_OFLOW);
    assert_int_equal(send(1, 0), SEV_SUCCESS);
    assert_int_equal(load64(response + 0x20), 2);
    assert_int_equal(refused(), SEV_AEAD_OFLOW);  /* replayed */
    assert_int_equal(send(2, 0), SEV_AEAD_OFLOW); /* the answer's number */
    assert_int_equal(send(5, 0), SEV_AEAD_OFLOW); /* one left out */
    assert_int_equal(send(3, 0), SEV_SUCCESS);
    assert_int_equal(send(1, 1), SEV_SUCCESS); /* each key counts for itself */
    assert_int_equal(guest->msg_count[0], 4);
    assert_int_equal(guest->msg_count[1], 2);
}

static void counters_end(void **state)
{
    guest->msg_count[0] = UINT64_MAX - 3;
    assert_int_equal(send(UINT64_MAX - 2, 0), SEV_SUCCESS);
    assert_int_equal(guest->msg_count[0], UINT64_MAX - 1); /* 2^64 - 2 */
    assert_int_equal(send(UINT64_MAX, 0), SEV_AEAD_OFLOW);
    guest->msg_count[0] = UINT64_MAX;
    assert_int_equal(send(0, 0), SEV_AEAD_OFLOW);
}

static void altered_messages_are_refused(void **state)
{
    static const uint8_t tsc[0x80];

    for (unsigned bit = 0; bit < (0x60 + 0x80) * 8; bit++) {
        assert_true(guest_seal(request, guest->vmpck[0], 1, TSC, 0, tsc, sizeof(tsc)));
        request[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)refused();
    }
    assert_int_equal(send(1, 0), SEV_SUCCESS);
}

static void the_tag_is_before_the_number(void **state)
{
    static const uint8_t tsc[0x80];

    assert_true(guest_seal(request, guest->vmpck[0], 9, TSC, 0, tsc, sizeof(tsc)));
    request[0] ^= 1;
    assert_int_equal(refused(), SEV_BAD_MEASUREMENT);
    assert_true(guest_seal(request, guest->vmpck[0], 1, TSC, 1, tsc, sizeof(tsc))); /* wrong key */
    assert_int_equal(refused(), SEV_BAD_MEASUREMENT);
}

/* Fields that the tag does not cover, or that it covers and the guest itself gets wrong. */
static void headers_are_checked(void **state)
{
    static const struct {
        unsigned at, len;
        uint32_t value;
    } bad[] = {{0x10, 1, 1}, {0x1F, 1, 1},    {0x28, 1, 1},    {0x30, 1, 0}, {0x30, 1, 2},
               {0x31, 1, 2}, {0x32, 2, 0x50}, {0x36, 2, 0},    {0x36, 2, 8}, {0x36, 2, 0xFB0},
               {0x38, 1, 1}, {0x3C, 1, 4},    {0x3C, 1, 0xFF}, {0x3D, 1, 1}, {0x5F, 1, 1}};
    uint8_t payload[0x80] = {0};

    for (size_t i = 0; i < COUNT(bad); i++) {
        guest_header(request, 1, TSC, 1, 0, sizeof(payload));
        memcpy(request + bad[i].at, &bad[i].value, bad[i].len);
        assert_true(guest_gcm(true, guest->vmpck[0], request, payload, sizeof(payload)));
        if (bad[i].at >= 0x10 && bad[i].at < 0x20)
            request[bad[i].at] = 1;
        assert_int_equal(refused(), SEV_INVALID_PARAM);
    }
}

static void types_versions_and_sizes(void **state)
{
    static const struct {
        uint8_t type, version;
        uint16_t len;
    } bad[] = {{0, 1, 0x80},      {2, 1, 0x80},       {0x13, 1, 0x80},    {0xFF, 1, 0x80},
               {TSC, 0, 0x80},    {TSC, 2, 0x80},     {TSC, 1, 0x70},     {TSC, 1, 0x90},
               {REPORT, 1, 0x50}, {REPORT, 1, 0x70},  {KEY, 1, 0x10},     {KEY, 2, 0x20},
               {EXPORT, 1, 0x20}, {IMPORT, 1, 0x310}, {ABSORB, 1, 0x330}, {NOMA, 1, 0x20},
               {VMRK, 1, 0x30}};
    uint8_t payload[0x400] = {0};

    for (size_t i = 0; i < COUNT(bad); i++) {
        guest_header(request, 1, bad[i].type, bad[i].version, 0, bad[i].len);
        assert_true(guest_gcm(true, guest->vmpck[0], request, payload, bad[i].len));
        assert_int_equal(refused(), SEV_INVALID_PARAM);
    }
}

static void only_running_guests_ask(void **state)
{
    static const uint8_t tsc[0x80];

    assert_true(guest_seal(request, guest->vmpck[0], 1, TSC, 0, tsc, sizeof(tsc)));
    guest->state = SNP_GUEST_INIT;
    assert_int_equal(refused(), SEV_INVALID_GUEST_STATE);
    guest->state = SNP_GUEST_LAUNCH;
    assert_int_equal(refused(), SEV_INVALID_GUEST_STATE);
}

/* ---- derived keys ------------------------------------------------------------------------------
 */

struct key_req {
    uint32_t flags;
    uint64_t gfs;
    uint32_t vmpl, svn;
    uint64_t tcb;
};

static enum sev_status get_key(struct key_req k, uint8_t key[32])
{
    uint8_t req[0x20] = {0};
    enum sev_status status;

    store32(req, k.flags);
    store64(req + 8, k.gfs);
    store32(req + 0x10, k.vmpl);
    store32(req + 0x14, k.svn);
    store64(req + 0x18, k.tcb);
    status = ask(KEY, req, sizeof(req));
    assert_int_equal(answer_len, 0x40);
    assert_true(zeros(answer + 4, 0x1C));
    memcpy(key, answer + 0x20, 32);
    return status;
}

#define DIFFERENT(a, b) assert_memory_not_equal(a, b, 32)

static void keys_are_of_what_was_selected(void **state)
{
    uint8_t one[32], two[32];

    for (unsigned bit = 0; bit < 4; bit++) {
        struct snp_guest was = *guest;
        struct key_req k = {.gfs = BIT(bit)};

        assert_int_equal(get_key(k, one), SEV_SUCCESS);
        assert_int_equal(get_key(k, two), SEV_SUCCESS);
        assert_memory_equal(one, two, 32);
        if (bit == 0)
            guest->policy |= SNP_POLICY_DEBUG;
        if (bit == 1)
            guest->id_block.image_id[15]++;
        if (bit == 2)
            guest->id_block.family_id[0]++;
        if (bit == 3)
            guest->measurement[31]++;
        assert_int_equal(get_key(k, two), SEV_SUCCESS);
        DIFFERENT(one, two);
        k.gfs = 0; /* nothing selected, nothing matters */
        assert_int_equal(get_key(k, one), SEV_SUCCESS);
        was.msg_count[0] = guest->msg_count[0];
        *guest = was;
        assert_int_equal(get_key(k, two), SEV_SUCCESS);
        assert_memory_equal(one, two, 32);
    }
}

static void keys_are_of_owner_vmpl_and_svn(void **state)
{
    uint8_t one[32], two[32];

    assert_int_equal(get_key((struct key_req){0}, one), SEV_SUCCESS);
    assert_int_equal(get_key((struct key_req){.vmpl = 1}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    guest->host_data[3]++; /* always mixed in */
    assert_int_equal(get_key((struct key_req){0}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    guest->host_data[3]--;
    guest->id_block_en = true;
    assert_int_equal(get_key((struct key_req){0}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    guest->author_key_en = true;
    assert_int_equal(get_key((struct key_req){0}, one), SEV_SUCCESS);
    DIFFERENT(one, two);
    guest->id_block.guest_svn = 5;
    assert_int_equal(get_key((struct key_req){.gfs = 16, .svn = 5}, one), SEV_SUCCESS);
    assert_int_equal(get_key((struct key_req){.gfs = 16, .svn = 4}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    assert_int_equal(get_key((struct key_req){.gfs = 16, .svn = 6}, two), SEV_INVALID_PARAM);
    assert_true(zeros(two, 32));
}

static void keys_are_of_chip_and_tcb(void **state)
{
    uint64_t tcb = rig.asp->platform->versions.committed.tcb;
    uint64_t lower = tcb_set(rig.asp->chip, tcb, TCB_SNP, 1);
    uint64_t higher = tcb_set(rig.asp->chip, tcb, TCB_MICROCODE, 0x55);
    uint8_t one[32], two[32];
    struct snp_guest same;

    assert_int_equal(get_key((struct key_req){.gfs = 32, .tcb = tcb}, one), SEV_SUCCESS);
    assert_int_equal(get_key((struct key_req){.gfs = 32, .tcb = lower}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    assert_int_equal(get_key((struct key_req){.gfs = 32, .tcb = higher}, two), SEV_INVALID_PARAM);
    assert_int_equal(get_key((struct key_req){.gfs = 32, .tcb = tcb | 1 << 24}, two),
                     SEV_INVALID_PARAM);

    /* Without bit 5 the reported TCB counts. */
    assert_int_equal(get_key((struct key_req){0}, one), SEV_SUCCESS);
    rig.asp->snp->configured_tcb = lower;
    assert_int_equal(get_key((struct key_req){0}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    rig.asp->snp->configured_tcb = 0;

    same = *guest;
    guest_rig_close(&rig);
    start(CHIP_GENOA); /* another chip, the same guest */
    *guest = same;
    assert_int_equal(get_key((struct key_req){0}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
}

static void key_roots(void **state)
{
    struct p384_public vlek;
    uint8_t one[32], two[32];

    assert_int_equal(get_key((struct key_req){0}, one), SEV_SUCCESS);
    assert_int_equal(get_key((struct key_req){.flags = 1}, two), SEV_SUCCESS); /* VMRK */
    DIFFERENT(one, two);
    rig.asp->snp->config = SNP_CONFIG_MASK_CHIP_KEY;
    assert_int_equal(get_key((struct key_req){0}, one), SEV_INVALID_KEY);
    assert_int_equal(get_key((struct key_req){.flags = 1}, one), SEV_SUCCESS);
    assert_memory_equal(one, two, 32);
    guest->vmrk[0]++;
    assert_int_equal(get_key((struct key_req){.flags = 1}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    rig.asp->snp->config = 0;
    assert_int_equal(get_key((struct key_req){.flags = 2 << 1}, two), SEV_INVALID_KEY);
    load_vlek(&vlek);
    assert_int_equal(get_key((struct key_req){.flags = 2 << 1}, one), SEV_SUCCESS);
    assert_int_equal(get_key((struct key_req){.flags = 0}, two), SEV_SUCCESS);
    assert_memory_equal(one, two, 32);
    assert_int_equal(get_key((struct key_req){.flags = 1 << 1}, two), SEV_SUCCESS);
    DIFFERENT(one, two);
    guest->vcek_dis = true;
    assert_int_equal(get_key((struct key_req){.flags = 1 << 1}, two), SEV_INVALID_KEY);
    assert_int_equal(get_key((struct key_req){.flags = 3 << 1}, two), SEV_INVALID_KEY);
    assert_int_equal(get_key((struct key_req){.flags = 8}, two), SEV_INVALID_PARAM);
    assert_int_equal(get_key((struct key_req){.gfs = 64}, two), SEV_INVALID_PARAM);
    assert_int_equal(get_key((struct key_req){.vmpl = 4}, two), SEV_INVALID_PARAM);
}

/* The whole derivation again, from the ABI's tables: HMAC-SHA-256 in counter mode over A8h bytes.
 */
static void the_mix_is_the_abis(void **state)
{
    uint8_t hash[48], msg[4 + 12 + 0xA8 + 4] = {1}, *mix = msg + 16, key[32], mine[32];
    uint64_t tcb = rig.asp->platform->versions.committed.tcb;

    guest->id_block_en = true;
    guest->id_block.guest_svn = 9;
    memset(guest->id_block.image_id, 1, 16);
    memset(guest->id_block.family_id, 2, 16);
    memset(guest->id_key_digest, 3, 48);
    memcpy(msg + 4, "gmsg-keyreq", 12);
    store32(mix, 1 << 1); /* VCEK; ID key */
    store64(mix + 8, 0x3F);
    store32(mix + 0x10, 3);
    store32(mix + 0x14, 9);
    store64(mix + 0x18, tcb);
    store64(mix + 0x20, guest->policy);
    memset(mix + 0x28, 1, 16);
    memset(mix + 0x38, 2, 16);
    memcpy(mix + 0x48, guest->measurement, 32);
    memcpy(mix + 0x68, guest->host_data, 32);
    memset(mix + 0x88, 3, 32);
    store32(mix + 0xA8, 256);
    assert_true(vcek_hash(rig.asp->platform->secret, tcb, hash));
    assert_non_null(HMAC(EVP_sha256(), hash, 48, msg, sizeof(msg), mine, NULL));
    assert_int_equal(get_key((struct key_req){0, 0x3F, 3, 9, tcb}, key), SEV_SUCCESS);
    assert_memory_equal(key, mine, 32);
}

/* ---- CPUID and time ----------------------------------------------------------------------------
 */

static void offer(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    out[0] = out[1] = out[2] = out[3] = 0xFF;
}

static void cpuid_is_cut_down_to_what_there_is(void **state)
{
    static const struct asp_cores cores = {.cpuid = offer, .tsc_khz = 1000000};
    uint8_t req[0x10 + 0x30] = {1};

    asp_set_cores(rig.asp, &cores, NULL);
    store32(req + 0x10, 0x80000021);
    store32(req + 0x10 + 0x18, 0x0F);
    assert_int_equal(ask(CPUID, req, sizeof(req)), SEV_SUCCESS);
    assert_int_equal(answer_len, sizeof(req));
    assert_int_equal(load32(answer + 4), 1);
    assert_memory_equal(answer + 0x10, req + 0x10, 0x30);
    store32(req + 0x10 + 0x18, 0xF0F);
    assert_int_equal(ask(CPUID, req, sizeof(req)), SEV_INVALID_PARAM);
    assert_int_equal(answer_len, sizeof(req));
    assert_int_equal(load32(answer + 0x10 + 0x18), 0x0F);
    store32(req, 2); /* more than there are */
    assert_int_equal(ask(CPUID, req, sizeof(req)), SEV_INVALID_PARAM);
    assert_int_equal(answer_len, 0x10);
    store32(req, 0x05555556); /* times 30h is 20h, in 32 bits */
    assert_int_equal(ask(CPUID, req, 0x30), SEV_INVALID_PARAM);
    assert_int_equal(answer_len, 0x10);
}

static void time_is_as_launched(void **state)
{
    uint8_t req[0x80] = {0};

    guest->tsc_scale = UINT64_C(0x123456789A);
    guest->tsc_offset = 77;
    assert_int_equal(ask(TSC, req, sizeof(req)), SEV_SUCCESS);
    assert_int_equal(answer_len, 0x80);
    assert_int_equal(load64(answer + 8), UINT64_C(0x123456789A));
    assert_int_equal(load64(answer + 0x10), 77);
    req[0x7F] = 1;
    assert_int_equal(ask(TSC, req, sizeof(req)), SEV_INVALID_PARAM);
}

/* ---- migration ---------------------------------------------------------------------------------
 */

static struct snp_guest *agent, *moved;

static void bind(struct snp_guest *g)
{
    g->has_ma = true;
    g->policy |= SNP_POLICY_MIGRATE_MA;
    memcpy(g->report_id_ma, agent->report_id, 32);
}

static int open_migration(void **state)
{
    start(CHIP_GENOA);
    agent = guest;
    moved = guest_rig_guest(&rig, 1, SNP_GUEST_RUNNING);
    bind(moved);
    moved->root_mdata.flags = SNP_MDATA_VALID;
    memset(moved->imd, 0x55, sizeof(moved->imd));
    return 0;
}

static enum sev_status export_by(struct snp_guest *g, uint8_t vmpck, uint64_t gctx, uint32_t flags)
{
    uint8_t req[0x10] = {0};

    store64(req, gctx);
    store32(req + 8, flags);
    return ask_of(g, vmpck, EXPORT, req, sizeof(req));
}

/* The context that the last answer exported, for `gctx`. */
static void make_import(uint8_t req[0x320], uint64_t gctx)
{
    memset(req, 0, 0x320);
    store64(req, gctx);
    store32(req + 8, 0x300);
    store32(req + 0xC, 3);
    memcpy(req + 0x20, answer + 0x20, 0x300);
}

static void a_guest_moves(void **state)
{
    struct snp_guest was = *moved;
    struct snp_guest *g;
    uint8_t req[0x320];

    moved->msg_count[2] = was.msg_count[2] = 6;
    assert_int_equal(export_by(agent, 3, moved->gctx, 0), SEV_SUCCESS);
    assert_int_equal(answer_len, 0x320);
    assert_int_equal(load32(answer + 4), 0x300);
    assert_int_equal(load32(answer + 8), 3);
    assert_memory_equal(answer + 0x20, was.measurement, 48);
    assert_memory_equal(answer + 0x20 + 0x50, was.vmpck, 128);
    assert_int_equal(load64(answer + 0x20 + 0x1D0), 6);
    assert_int_equal(load64(answer + 0x20 + 0x228), was.policy);
    assert_false(moved->used); /* it has left */
    assert_int_equal(rmp_state(rig.rmp, was.gctx), RMP_FIRMWARE);
    make_import(req, was.gctx);
    assert_int_equal(ask_of(agent, 0, IMPORT, req, sizeof(req)), SEV_INVALID_GUEST);
    g = guest_rig_guest(&rig, 2, SNP_GUEST_INIT);
    store64(req, g->gctx);
    assert_int_equal(ask_of(agent, 0, IMPORT, req, sizeof(req)), SEV_SUCCESS);
    assert_int_equal(answer_len, 0x10);
    assert_int_equal(g->state, SNP_GUEST_RUNNING);
    assert_memory_equal(g->measurement, was.measurement, 48);
    assert_memory_equal(g->vmpck, was.vmpck, 128);
    assert_memory_equal(g->vmrk, was.vmrk, 32);
    assert_memory_not_equal(g->report_id, was.report_id, 32);
    assert_memory_equal(g->report_id_ma, agent->report_id, 32);
    assert_int_equal(g->msg_count[2], 6);
    assert_int_equal(ask_of(agent, 0, IMPORT, req, sizeof(req)), SEV_INVALID_GUEST_STATE);
    guest = g; /* and it goes on asking */
    assert_int_equal(get_report(2, 2, 0), SEV_SUCCESS);
}

static void agents_export_their_own(void **state)
{
    struct snp_guest *other = guest_rig_guest(&rig, 3, SNP_GUEST_RUNNING);

    assert_int_equal(export_by(other, 0, moved->gctx, 0), SEV_INVALID_GUEST);
    assert_int_equal(export_by(agent, 0, moved->gctx + 8, 0), SEV_INVALID_GUEST);
    assert_int_equal(export_by(agent, 0, 0x3000, 0), SEV_INVALID_GUEST);
    assert_int_equal(export_by(agent, 0, moved->gctx, 2), SEV_INVALID_PARAM);
    assert_int_equal(export_by(other, 1, other->gctx, 0), SEV_INVALID_PARAM); /* VMPCK0 alone */
    assert_int_equal(export_by(agent, 0, moved->gctx, 1), SEV_SUCCESS);       /* an image: stays */
    assert_true(moved->used);
    moved->state = SNP_GUEST_LAUNCH;
    assert_int_equal(export_by(agent, 0, moved->gctx, 0), SEV_INVALID_GUEST_STATE);
    assert_int_equal(export_by(other, 0, other->gctx, 0), SEV_SUCCESS); /* itself */
    assert_int_equal(load64(answer + 0x20 + 0x1C0), 4); /* after this exchange, its second */
    assert_false(other->used);
}

static void imports_are_checked(void **state)
{
    static const struct {
        unsigned at;
        uint8_t xor ;
        enum sev_status status;
    } bad[] = {{8, 1, SEV_INVALID_PARAM},
               {0xC, 1, SEV_INVALID_PARAM},
               {0x10, 1, SEV_INVALID_PARAM},
               {0x20 + 0x220, 8, SEV_INVALID_PARAM},               /* flags */
               {0x20 + 0x22A, 2, SEV_INVALID_PARAM},               /* policy bit 17 */
               {0x20 + 0x22A, 4, SEV_INVALID_PARAM},               /* MIGRATE_MA */
               {0x20 + 0x230, 3, SEV_INVALID_PARAM},               /* state */
               {0x20 + 0x2C3, 1, SEV_INVALID_PARAM},               /* TCB */
               {0x20 + 0x2FF, 1, SEV_INVALID_PARAM},               /* reserved */
               {0x20 + 0x1F0 + 0x10, 1, SEV_INVALID_MDATA_ENTRY}}; /* not valid */
    struct snp_guest *g = guest_rig_guest(&rig, 2, SNP_GUEST_INIT), was = *g;
    uint8_t req[0x320];

    assert_int_equal(export_by(agent, 0, moved->gctx, 1), SEV_SUCCESS);
    make_import(req, g->gctx);
    for (size_t i = 0; i < COUNT(bad); i++) {
        req[bad[i].at] ^= bad[i].xor ;
        assert_int_equal(ask_of(agent, 0, IMPORT, req, sizeof(req)), bad[i].status);
        req[bad[i].at] ^= bad[i].xor ;
        assert_memory_equal(&was, g, sizeof(was));
    }
    assert_int_equal(ask_of(agent, 0, IMPORT, req, sizeof(req)), SEV_SUCCESS);
}

static void images_absorb_what_was_measured(void **state)
{
    struct snp_guest *image = guest_rig_guest(&rig, 2, SNP_GUEST_LAUNCH);
    uint8_t req[0x320];

    bind(image);
    image->imi = true;
    moved->root_mdata.flags = 0;
    assert_int_equal(export_by(agent, 0, moved->gctx, 1), SEV_SUCCESS);
    make_import(req, image->gctx);
    assert_int_equal(ask_of(agent, 0, ABSORB, req, sizeof(req)), SEV_BAD_MEASUREMENT);
    memset(image->measurement, 0x55, sizeof(image->measurement));
    req[0x20 + 0x200] = SNP_MDATA_VALID;
    assert_int_equal(ask_of(agent, 0, ABSORB, req, sizeof(req)), SEV_INVALID_MDATA_ENTRY);
    req[0x20 + 0x200] = 0;
    image->imi = false;
    assert_int_equal(ask_of(agent, 0, ABSORB, req, sizeof(req)), SEV_INVALID_GUEST_STATE);
    image->imi = true;
    image->has_ma = false;
    assert_int_equal(ask_of(agent, 0, ABSORB, req, sizeof(req)), SEV_INVALID_GUEST);
    image->has_ma = true;
    assert_int_equal(ask_of(agent, 0, ABSORB, req, sizeof(req)), SEV_SUCCESS);
    assert_int_equal(image->state, SNP_GUEST_RUNNING);
    assert_memory_equal(image->measurement, moved->measurement, 48);
}

static void a_guest_absorbs_without_an_agent(void **state)
{
    struct snp_guest *image = guest_rig_guest(&rig, 2, SNP_GUEST_RUNNING);
    uint8_t req[0x320], old_key[32];

    assert_int_equal(export_by(agent, 0, moved->gctx, 1), SEV_SUCCESS);
    make_import(req, 0);
    memset(image->measurement, 0x55, sizeof(image->measurement));
    assert_int_equal(ask_of(image, 1, NOMA, req, sizeof(req)), SEV_BAD_MEASUREMENT);
    memset(image->imd, 0x55, sizeof(image->imd));
    store64(req, image->gctx);
    assert_int_equal(ask_of(image, 1, NOMA, req, sizeof(req)), SEV_INVALID_PARAM);
    store64(req, 0);
    image->has_ma = true;
    assert_int_equal(ask_of(image, 1, NOMA, req, sizeof(req)), SEV_INVALID_GUEST);
    image->has_ma = false;
    memcpy(old_key, image->vmpck[0], 32);
    assert_int_equal(ask_of(image, 1, NOMA, req, sizeof(req)), SEV_SUCCESS);
    assert_memory_not_equal(image->vmpck[0], old_key, 32);
    assert_memory_equal(image->vmpck, moved->vmpck, 128);
    assert_memory_equal(image->msg_count, moved->msg_count, sizeof(moved->msg_count));
}

static void agents_give_roots_of_keys(void **state)
{
    struct snp_guest *g = guest_rig_guest(&rig, 2, SNP_GUEST_LAUNCH);
    uint8_t req[0x40] = {0};

    memset(req + 0x20, 0xAB, 32);
    store64(req, g->gctx);
    assert_int_equal(ask_of(agent, 0, VMRK, req, sizeof(req)), SEV_INVALID_GUEST);
    bind(g);
    assert_int_equal(ask_of(agent, 1, VMRK, req, sizeof(req)), SEV_INVALID_PARAM);
    g->imi = true;
    assert_int_equal(ask_of(agent, 0, VMRK, req, sizeof(req)), SEV_INVALID_GUEST_STATE);
    g->imi = false;
    assert_memory_not_equal(g->vmrk, req + 0x20, 32);
    assert_int_equal(ask_of(agent, 0, VMRK, req, sizeof(req)), SEV_SUCCESS);
    assert_memory_equal(g->vmrk, req + 0x20, 32);
    g->state = SNP_GUEST_RUNNING;
    assert_int_equal(ask_of(agent, 0, VMRK, req, sizeof(req)), SEV_INVALID_GUEST_STATE);
}

#define ON_GENOA(f)    cmocka_unit_test_setup_teardown(f, open_genoa, close_rig)
#define ON_THE_MOVE(f) cmocka_unit_test_setup_teardown(f, open_migration, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_chip_has_its_report, NULL, close_rig),
        ON_GENOA(a_report_follows_the_reported_tcb),
        ON_GENOA(an_id_block_shows_in_reports),
        ON_GENOA(a_key_speaks_for_no_vmpl_above_its_own),
        ON_GENOA(key_selection),
        ON_GENOA(masks),
        ON_GENOA(messages_come_in_order),
        ON_GENOA(counters_end),
        ON_GENOA(altered_messages_are_refused),
        ON_GENOA(the_tag_is_before_the_number),
        ON_GENOA(headers_are_checked),
        ON_GENOA(types_versions_and_sizes),
        ON_GENOA(only_running_guests_ask),
        ON_GENOA(keys_are_of_what_was_selected),
        ON_GENOA(keys_are_of_owner_vmpl_and_svn),
        ON_GENOA(keys_are_of_chip_and_tcb),
        ON_GENOA(key_roots),
        ON_GENOA(the_mix_is_the_abis),
        ON_GENOA(cpuid_is_cut_down_to_what_there_is),
        ON_GENOA(time_is_as_launched),
        ON_THE_MOVE(a_guest_moves),
        ON_THE_MOVE(agents_export_their_own),
        ON_THE_MOVE(imports_are_checked),
        ON_THE_MOVE(images_absorb_what_was_measured),
        ON_THE_MOVE(a_guest_absorbs_without_an_agent),
        ON_THE_MOVE(agents_give_roots_of_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
