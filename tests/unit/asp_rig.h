/* A secure processor with some DRAM around it, and a guest owner who trusts libcrypto alone. */
#ifndef LUCCA_TESTS_ASP_RIG_H
#define LUCCA_TESTS_ASP_RIG_H

#include "base/bytes.h"
#include "crypto/openssl.h"
#include "silicon/asp/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/hmac.h>

#include <cmocka.h>

#define DRAM_BYTES (64u * FRAME_SIZE)
#define CORES      2u
#define AT_CMD     0x1000u  /* command buffers */
#define AT_DATA    0x2000u  /* what they point to */
#define AT_MORE    0x6000u  /* some more of it */
#define AT_GUEST   0x10000u /* guest memory */
#define AT_NV      0x20000u

struct rig {
    struct dram *dram;
    struct rmp *rmp;
    struct asp *asp;
};

static inline void rig_open(struct rig *r, enum chip_id chip, const char *platform)
{
    struct error err = {0};

    assert_int_equal(dram_new(DRAM_BYTES, false, &r->dram, NULL), OK);
    assert_int_equal(rmp_new(r->dram, &r->rmp, NULL), OK);
    if (asp_new(chip_by_id(chip), r->dram, r->rmp, CORES, platform, &r->asp, &err) != OK)
        fail_msg("%s", err.text);
}

static inline void rig_close(struct rig *r)
{
    asp_free(r->asp);
    rmp_free(r->rmp);
    dram_free(r->dram);
}

static inline void host_write(struct rig *r, uint64_t at, const void *from, size_t len)
{
    assert_true(dram_write(r->dram, at, DRAM_PLAIN, from, len));
}

static inline void host_read(struct rig *r, uint64_t at, void *to, size_t len)
{
    assert_true(dram_read(r->dram, at, DRAM_PLAIN, to, len));
}

/* The mailbox alone, with a buffer that is somewhere already. */
static inline enum sev_status mailbox(struct rig *r, uint32_t cmd, uint64_t buffer)
{
    uint32_t response;

    asp_write_reg(r->asp, ASP_CMDBUF_LO, (uint32_t)buffer);
    asp_write_reg(r->asp, ASP_CMDBUF_HI, (uint32_t)(buffer >> 32));
    asp_write_reg(r->asp, ASP_CMDRESP, cmd << 16);
    response = asp_read_reg(r->asp, ASP_CMDRESP);
    assert_true(response & ASP_RESP_READY);
    return (enum sev_status)(response & 0xFFFF);
}

static inline enum sev_status command(struct rig *r, uint32_t cmd, void *buf, size_t len)
{
    enum sev_status status;

    if (len)
        host_write(r, AT_CMD, buf, len);
    status = mailbox(r, cmd, AT_CMD);
    if (len)
        host_read(r, AT_CMD, buf, len);
    return status;
}

#define COMMAND(r, name, buf)  command(r, SEV_CMD_##name, &(buf), sizeof(buf))
#define PLAIN_COMMAND(r, name) command(r, SEV_CMD_##name, NULL, 0)

static inline void flush_asids(struct rig *r)
{
    for (unsigned i = 0; i < CORES; i++)
        asp_note_wbinvd(r->asp, i);
    assert_int_equal(PLAIN_COMMAND(r, DF_FLUSH), SEV_SUCCESS);
}

static inline void rig_init(struct rig *r)
{
    struct sev_cmd_init init = {0};

    assert_int_equal(COMMAND(r, INIT, init), SEV_SUCCESS);
    flush_asids(r);
}

/* ---- certificates, without our own code ----------------------------------------------------- */

static inline BIGNUM *le_number(const uint8_t *p)
{
    BIGNUM *n = BN_lebin2bn(p, 48, NULL);

    assert_non_null(n);
    return n;
}

/* The P-384 key at byte 10h of a certificate. */
static inline EVP_PKEY *cert_key(const uint8_t *cert)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    uint8_t point[97] = {4};
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    assert_int_equal(load32(cert + 0x10), 2);
    for (unsigned i = 0; i < 48; i++) {
        point[1 + i] = cert[0x14 + 47 - i];
        point[49 + i] = cert[0x14 + 72 + 47 - i];
    }
    assert_true(OSSL_PARAM_BLD_push_utf8_string(bld, "group", "P-384", 0));
    assert_true(OSSL_PARAM_BLD_push_octet_string(bld, "pub", point, sizeof(point)));
    params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* ECDSA with SHA-256 by the key of `cert`; `sig`: R and S, 72 bytes each, little-endian. */
static inline bool signed_by(const uint8_t *cert, const void *msg, size_t len, const uint8_t *sig)
{
    EVP_PKEY *key = cert_key(cert);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ECDSA_SIG *s = ECDSA_SIG_new();
    uint8_t *der = NULL;
    int der_len;
    bool ok;

    assert_true(ECDSA_SIG_set0(s, le_number(sig), le_number(sig + 72)));
    der_len = i2d_ECDSA_SIG(s, &der);
    ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestVerify(ctx, der, (size_t)der_len, msg, len) == 1;
    OPENSSL_free(der);
    ECDSA_SIG_free(s);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

/* PDH, then PEK, OCA, CEK, as PDH_CERT_EXPORT gives them. */
struct exported {
    uint8_t pdh[SEV_CERT_BYTES], pek[SEV_CERT_BYTES], oca[SEV_CERT_BYTES], cek[SEV_CERT_BYTES];
};

static inline void export_certs(struct rig *r, struct exported *e)
{
    struct sev_cmd_pdh_cert_export b = {AT_DATA, SEV_CERT_BYTES, 0, AT_MORE, SEV_CHAIN_BYTES};

    assert_int_equal(COMMAND(r, PDH_CERT_EXPORT, b), SEV_SUCCESS);
    assert_int_equal(b.pdh_len, SEV_CERT_BYTES);
    assert_int_equal(b.chain_len, SEV_CHAIN_BYTES);
    host_read(r, AT_DATA, e->pdh, SEV_CERT_BYTES);
    host_read(r, AT_MORE, e->pek, SEV_CHAIN_BYTES);
}

/* ---- the guest's owner ------------------------------------------------------------------------
 */

struct owner {
    uint8_t cert[SEV_CERT_BYTES]; /* the owner's half of the agreement */
    struct sev_session session;
    uint8_t tek[16], tik[16];
};

static inline void mac(const uint8_t *key, const void *msg, size_t len, uint8_t out[32])
{
    assert_non_null(HMAC(EVP_sha256(), key, 16, msg, len, out, NULL));
}

static inline void ctr(const uint8_t key[16], const uint8_t iv[16], void *to, const void *from,
                       size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_128_ctr(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(ctx, to, &n, from, (int)len), 1);
    EVP_CIPHER_CTX_free(ctx);
}

/* 16 bytes: one round of SP 800-108 with little-endian numbers. */
static inline void derive16(const uint8_t *key, int key_len, const char *label,
                            const uint8_t *context, size_t context_len, uint8_t out[16])
{
    uint8_t msg[128] = {1, 0, 0, 0}, whole[32];
    size_t n = 4;

    memcpy(msg + n, label, strlen(label) + 1);
    n += strlen(label) + 1;
    if (context_len)
        memcpy(msg + n, context, context_len);
    n += context_len;
    memcpy(msg + n, "\x80\0\0\0", 4); /* 128 bits */
    assert_non_null(HMAC(EVP_sha256(), key, key_len, msg, n + 4, whole, NULL));
    memcpy(out, whole, 16);
}

static inline void owner_cert(struct owner *o, EVP_PKEY *key)
{
    uint8_t point[97];
    size_t len;

    memset(o->cert, 0, sizeof(o->cert));
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &len), 1);
    assert_int_equal(len, 97);
    store32(o->cert, 1);
    o->cert[4] = 1;
    store32(o->cert + 8, 0x1003);  /* PDH */
    store32(o->cert + 12, 0x0003); /* ECDH-SHA256 */
    store32(o->cert + 16, 2);
    for (unsigned i = 0; i < 48; i++) {
        o->cert[0x14 + i] = point[48 - i];
        o->cert[0x14 + 72 + i] = point[96 - i];
    }
    store32(o->cert + 0x414, 0x1000);
    store32(o->cert + 0x61C, 0x1000);
}

/* Wraps TEK and TIK and the policy for the platform whose PDH certificate that is. */
static inline void owner_seal(struct owner *o, const uint8_t *pdh, uint32_t policy)
{
    EVP_PKEY *own = EVP_EC_gen("P-384"), *peer = cert_key(pdh);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
    uint8_t z[48], master[16], kek[16], kik[16], tk[32];
    size_t len = sizeof(z);

    assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
    assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    assert_int_equal(EVP_PKEY_derive(ctx, z, &len), 1);
    assert_int_equal(len, 48);
    owner_cert(o, own);
    assert_int_equal(RAND_bytes(o->tek, 16) & RAND_bytes(o->tik, 16), 1);
    assert_int_equal(RAND_bytes((uint8_t *)&o->session, sizeof(o->session)), 1);
    derive16(z, 48, "sev-master-secret", o->session.nonce, 16, master);
    derive16(master, 16, "sev-kek", NULL, 0, kek);
    derive16(master, 16, "sev-kik", NULL, 0, kik);
    memcpy(tk, o->tek, 16);
    memcpy(tk + 16, o->tik, 16);
    ctr(kek, o->session.wrap_iv, o->session.wrap_tk, tk, 32);
    mac(kik, o->session.wrap_tk, 32, o->session.wrap_mac);
    mac(o->tik, &policy, 4, o->session.policy_mac);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
}

/* The packet of LAUNCH_SECRET for a guest that measured so. */
static inline void owner_secret(const struct owner *o, const uint8_t measure[32], const void *text,
                                uint32_t len, struct sev_packet_header *h, uint8_t *data)
{
    uint8_t msg[512], *p = msg;

    *h = (struct sev_packet_header){0};
    assert_int_equal(RAND_bytes(h->iv, 16), 1);
    ctr(o->tek, h->iv, data, text, len);
    *p++ = 0x01;
    p = (uint8_t *)memcpy(p, &h->flags, 4) + 4;
    p = (uint8_t *)memcpy(p, h->iv, 16) + 16;
    p = (uint8_t *)memcpy(p, &len, 4) + 4;
    p = (uint8_t *)memcpy(p, &len, 4) + 4;
    p = (uint8_t *)memcpy(p, data, len) + len;
    p = (uint8_t *)memcpy(p, measure, 32) + 32;
    mac(o->tik, msg, (size_t)(p - msg), h->mac);
}

/* ---- guests -----------------------------------------------------------------------------------
 */

static inline enum sev_status start_with(struct rig *r, struct owner *o, uint32_t policy,
                                         uint32_t share, uint32_t *handle)
{
    struct sev_cmd_launch_start b = {.handle = share, .policy = policy};
    enum sev_status status;

    if (o) {
        host_write(r, AT_DATA, o->cert, sizeof(o->cert));
        host_write(r, AT_MORE, &o->session, sizeof(o->session));
        b.dh_cert_paddr = AT_DATA;
        b.dh_cert_len = sizeof(o->cert);
        b.session_paddr = AT_MORE;
        b.session_len = sizeof(o->session);
    }
    status = COMMAND(r, LAUNCH_START, b);
    *handle = b.handle;
    return status;
}

static inline uint32_t start(struct rig *r, uint32_t policy)
{
    uint32_t handle;

    assert_int_equal(start_with(r, NULL, policy, 0, &handle), SEV_SUCCESS);
    return handle;
}

static inline enum sev_status activate(struct rig *r, uint32_t handle, uint32_t asid)
{
    struct sev_cmd_activate b = {handle, asid};

    return COMMAND(r, ACTIVATE, b);
}

static inline enum sev_status update(struct rig *r, uint32_t handle, uint64_t at, uint32_t len)
{
    struct sev_cmd_guest_buffer b = {handle, 0, at, len};

    return COMMAND(r, LAUNCH_UPDATE_DATA, b);
}

static inline enum sev_status measure(struct rig *r, uint32_t handle, struct sev_measurement *m)
{
    struct sev_cmd_guest_buffer b = {handle, 0, AT_DATA, sizeof(*m)};
    enum sev_status status = COMMAND(r, LAUNCH_MEASURE, b);

    host_read(r, AT_DATA, m, sizeof(*m));
    return status;
}

static inline enum sev_status by_handle(struct rig *r, enum sev_command cmd, uint32_t handle)
{
    struct sev_cmd_handle b = {handle};

    return command(r, cmd, &b, sizeof(b));
}

/* An unmeasured guest, measured, or running. */
static inline uint32_t guest_in_state(struct rig *r, enum sev_guest_state state, uint32_t asid)
{
    uint32_t handle = start(r, 0);
    struct sev_measurement m;

    if (asid)
        assert_int_equal(activate(r, handle, asid), SEV_SUCCESS);
    if (state > SEV_GUEST_LUPDATE)
        assert_int_equal(measure(r, handle, &m), SEV_SUCCESS);
    if (state > SEV_GUEST_LSECRET)
        assert_int_equal(by_handle(r, SEV_CMD_LAUNCH_FINISH, handle), SEV_SUCCESS);
    return handle;
}

static inline uint8_t state_of(struct rig *r, uint32_t handle)
{
    struct sev_cmd_guest_status b = {.handle = handle};

    assert_int_equal(COMMAND(r, GUEST_STATUS, b), SEV_SUCCESS);
    return b.state;
}

/* ---- does a refusal leave a trace? ------------------------------------------------------------
 */

struct world {
    uint8_t memory[DRAM_BYTES]; /* as the host sees it */
    struct asp asp;             /* without its registers */
    uint8_t nv[SEV_NV_BYTES];
    uint8_t digests[8][32]; /* of the first guests */
};

static inline void look(struct rig *r, struct world *w)
{
    host_read(r, 0, w->memory, sizeof(w->memory));
    w->asp = *r->asp;
    w->asp.cmdresp = w->asp.cmdbuf_lo = w->asp.cmdbuf_hi = 0;
    memcpy(w->nv, r->asp->platform->nv, sizeof(w->nv));
    memset(w->digests, 0, sizeof(w->digests));
    for (unsigned i = 0; i < COUNT(w->digests); i++)
        if (w->asp.guests[i].measured)
            assert_true(digest_peek(w->asp.guests[i].measured, w->digests[i]));
}

/* All but the command buffer itself, into which lengths are written back. */
static inline void assert_same_world_around(struct rig *r, const struct world *before, uint64_t at)
{
    static struct world now;

    look(r, &now);
    if (at < DRAM_BYTES)
        memcpy(now.memory + at, before->memory + at, MIN(64, DRAM_BYTES - at));
    assert_memory_equal(&now, before, sizeof(now));
}

static inline void assert_same_world(struct rig *r, const struct world *before)
{
    assert_same_world_around(r, before, AT_CMD);
}

#endif
