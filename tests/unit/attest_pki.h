/* An AMD of one's own, for tests: an ARK, an ASK or ASVK, a leaf and a report, all good until a
 * test breaks something before they are made. */
#ifndef LUCCA_TESTS_ATTEST_PKI_H
#define LUCCA_TESTS_ATTEST_PKI_H

#include "attest_rig.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define AMD_ARC "1.3.6.1.4.1.3704.1"

struct made_extension {
    char oid[40];
    uint8_t bytes[160];
    size_t len;
    bool critical, gone;
};
struct made_cert {
    const char *subject, *issuer; /* common names */
    const char *subject_serial, *issuer_serial, *organization;
    EVP_PKEY *key, *signer;
    const char *from, *until;
    const uint8_t *serial;
    size_t serial_len;
    int version;
    bool plain_rsa; /* PKCS #1 v1.5 instead of PSS */
    const EVP_MD *md, *mgf;
    int salt;
    struct made_extension extensions[24];
    size_t extension_count;
    uint8_t der[8192];
    size_t len;
};
struct made_crl {
    const char *issuer;
    EVP_PKEY *signer;
    const char *from, *until;
    const uint8_t *serial; /* the one that is revoked, or NULL */
    size_t serial_len;
    bool delta; /* a critical extension that says the list is not whole */
    uint8_t der[8192];
    size_t len;
};
struct keys {
    EVP_PKEY *root, *issuer, *leaf, *other_leaf, *weak;
};
struct world {
    struct keys *keys;
    struct made_cert root, issuer, leaf;
    struct made_crl crl;
    bool with_crl, root_in_bag, issuer_in_bag, leaf_missing;
    bool distrust;    /* the root is not added to the trust */
    bool emulated_ok; /* the trust takes emulated roots */
    enum attest_product product;
    const char *at;
    uint8_t report[ATTEST_REPORT_SIZE];
    EVP_PKEY *report_key;
    struct attest_policy *policy;
};

static inline void extend(struct made_cert *c, const char *oid, const void *bytes, size_t len)
{
    struct made_extension *e = NULL;

    for (size_t i = 0; i < c->extension_count; i++)
        if (strcmp(c->extensions[i].oid, oid) == 0)
            e = &c->extensions[i];
    if (!e) {
        assert_true(c->extension_count < COUNT(c->extensions));
        e = &c->extensions[c->extension_count++];
    }
    *e = (struct made_extension){.len = len};
    snprintf(e->oid, sizeof(e->oid), "%s", oid);
    memcpy(e->bytes, bytes, len);
}

static inline struct made_extension *extension(struct made_cert *c, const char *oid)
{
    for (size_t i = 0; i < c->extension_count; i++)
        if (strcmp(c->extensions[i].oid, oid) == 0)
            return &c->extensions[i];
    fail_msg("no extension %s", oid);
    return NULL;
}

static inline void extend_number(struct made_cert *c, const char *oid, unsigned number)
{
    uint8_t der[4] = {2, 1, (uint8_t)number};

    if (number > 0x7F) {
        der[1] = 2;
        der[2] = 0;
        der[3] = (uint8_t)number;
    }
    extend(c, oid, der, 2u + der[1]);
}

static inline void extend_text(struct made_cert *c, const char *oid, const char *text)
{
    uint8_t der[160] = {0x16, (uint8_t)strlen(text)};

    memcpy(der + 2, text, strlen(text));
    extend(c, oid, der, 2 + strlen(text));
}

/* ---- making ---- */

static inline X509_NAME *made_name(const char *cn, const char *organization, const char *serial)
{
    const char *attributes[][2] = {
        {"OU", "Engineering"}, {"C", "US"}, {"L", "Santa Clara"},    {"ST", "CA"},
        {"O", organization},   {"CN", cn},  {"serialNumber", serial}};
    X509_NAME *name = X509_NAME_new();

    for (size_t i = 0; i < COUNT(attributes); i++)
        if (attributes[i][1])
            assert_int_equal(X509_NAME_add_entry_by_txt(name, attributes[i][0], MBSTRING_UTF8,
                                                        (const uint8_t *)attributes[i][1], -1, -1,
                                                        0),
                             1);
    return name;
}

static inline EVP_MD_CTX *made_signer(EVP_PKEY *key, bool plain, const EVP_MD *md,
                                      const EVP_MD *mgf, int salt)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;

    assert_int_equal(EVP_DigestSignInit(ctx, &how, md, NULL, key), 1);
    if (EVP_PKEY_is_a(key, "RSA") && !plain) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(how, mgf), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(how, salt), 1);
    }
    return ctx;
}

static inline void make_cert(struct made_cert *c)
{
    X509 *x = X509_new();
    X509_NAME *issuer = made_name(c->issuer, c->organization, c->issuer_serial);
    X509_NAME *subject = made_name(c->subject, c->organization, c->subject_serial);
    BIGNUM *serial = BN_bin2bn(c->serial, (int)c->serial_len, NULL);
    EVP_MD_CTX *ctx = made_signer(c->signer, c->plain_rsa, c->md, c->mgf, c->salt);
    uint8_t *out = c->der;

    X509_set_version(x, c->version - 1);
    BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x));
    X509_set_issuer_name(x, issuer);
    X509_set_subject_name(x, subject);
    ASN1_TIME_adj(X509_getm_notBefore(x), date(c->from), 0, 0);
    ASN1_TIME_adj(X509_getm_notAfter(x), date(c->until), 0, 0);
    X509_set_pubkey(x, c->key);
    for (size_t i = 0; i < c->extension_count; i++) {
        const struct made_extension *e = &c->extensions[i];
        ASN1_OBJECT *oid = OBJ_txt2obj(e->oid, 1);
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        X509_EXTENSION *made;

        ASN1_OCTET_STRING_set(value, e->bytes, (int)e->len);
        made = X509_EXTENSION_create_by_OBJ(NULL, oid, e->critical, value);
        if (!e->gone)
            assert_int_equal(X509_add_ext(x, made, -1), 1);
        X509_EXTENSION_free(made);
        ASN1_OCTET_STRING_free(value);
        ASN1_OBJECT_free(oid);
    }
    assert_true(X509_sign_ctx(x, ctx) > 0);
    assert_true(i2d_X509(x, NULL) <= (int)sizeof(c->der));
    c->len = (size_t)i2d_X509(x, &out);
    EVP_MD_CTX_free(ctx);
    BN_free(serial);
    X509_NAME_free(issuer);
    X509_NAME_free(subject);
    X509_free(x);
}

static inline void make_crl(struct world *w)
{
    struct made_crl *c = &w->crl;
    X509_CRL *x = X509_CRL_new();
    X509_NAME *issuer = made_name(c->issuer, w->root.organization, w->root.subject_serial);
    ASN1_TIME *from = ASN1_TIME_adj(NULL, date(c->from), 0, 0);
    ASN1_TIME *until = c->until ? ASN1_TIME_adj(NULL, date(c->until), 0, 0) : NULL;
    EVP_MD_CTX *ctx = made_signer(c->signer, false, EVP_sha384(), EVP_sha384(), 48);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    uint8_t *out = c->der;

    X509_CRL_set_version(x, 1);
    X509_CRL_set_issuer_name(x, issuer);
    X509_CRL_set1_lastUpdate(x, from);
    if (until)
        X509_CRL_set1_nextUpdate(x, until);
    if (c->serial) {
        X509_REVOKED *r = X509_REVOKED_new();
        BIGNUM *serial = BN_bin2bn(c->serial, (int)c->serial_len, NULL);
        ASN1_INTEGER *n = BN_to_ASN1_INTEGER(serial, NULL);

        X509_REVOKED_set_serialNumber(r, n);
        X509_REVOKED_set_revocationDate(r, from);
        X509_CRL_add0_revoked(x, r);
        ASN1_INTEGER_free(n);
        BN_free(serial);
    }
    ASN1_INTEGER_set(number, 7);
    X509_CRL_add1_ext_i2d(x, NID_crl_number, number, 0, 0);
    if (c->delta)
        X509_CRL_add1_ext_i2d(x, NID_delta_crl, number, 1, 0);
    assert_true(X509_CRL_sign_ctx(x, ctx) > 0);
    c->len = (size_t)i2d_X509_CRL(x, &out);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    EVP_MD_CTX_free(ctx);
    X509_NAME_free(issuer);
    X509_CRL_free(x);
}

/* Signs the report as the secure processor does: R and S in 72 bytes each, least byte first. */
static inline void sign_report(uint8_t *report, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[160];
    const uint8_t *at = der;
    size_t len = sizeof(der);
    ECDSA_SIG *sig;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &len, report, 0x2A0), 1);
    sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    memset(report + 0x2A0, 0, 0x200);
    BN_bn2lebinpad(ECDSA_SIG_get0_r(sig), report + 0x2A0, 48);
    BN_bn2lebinpad(ECDSA_SIG_get0_s(sig), report + 0x2A0 + 72, 48);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
}

/* ---- the good world ---- */

static const uint8_t good_chip[64] = {0x04, 0x40, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};

static inline void authority(struct made_cert *c, const char *subject, const char *issuer,
                             EVP_PKEY *key, EVP_PKEY *signer, bool root)
{
    static const uint8_t root_serial[] = {1}, issuer_serial[] = {0x81, 0x02};

    *c = (struct made_cert){.subject = subject,
                            .issuer = issuer,
                            .organization = "Advanced Micro Devices",
                            .key = key,
                            .signer = signer,
                            .from = "2020-01-01",
                            .until = "2045-01-01",
                            .serial = root ? root_serial : issuer_serial,
                            .serial_len = root ? 1 : 2,
                            .version = 3,
                            .md = EVP_sha384(),
                            .mgf = EVP_sha384(),
                            .salt = 48};
    extend(c, "2.5.29.19", root ? "\x30\x03\x01\x01\xFF" : "\x30\x06\x01\x01\xFF\x02\x01\x00",
           root ? 5 : 8);
    extend(c, "2.5.29.15", root ? "\x03\x02\x01\x06" : "\x03\x02\x01\x04", 4);
    c->extensions[0].critical = c->extensions[1].critical = true;
}

static inline void good_leaf(struct world *w, bool vlek)
{
    static const struct {
        const char *subject, *issuer, *name;
    } names[][2] = {
        [ATTEST_MILAN] = {{"SEV-VCEK", "SEV-Milan", "Milan-B0"},
                          {"SEV-VLEK", "SEV-VLEK-Milan", "Milan"}},
        [ATTEST_GENOA] = {{"SEV-VCEK", "SEV-Genoa", "Genoa"},
                          {"SEV-VLEK", "SEV-VLEK-Genoa", "Genoa"}},
        [ATTEST_TURIN] = {{"SEV-VCEK", "SEV-Turin", "Turin"},
                          {"SEV-VLEK", "SEV-VLEK-Turin", "Turin"}},
    };
    struct made_cert *c = &w->leaf;
    bool turin = w->product == ATTEST_TURIN;
    char oid[40];

    authority(c, names[w->product][vlek].subject, names[w->product][vlek].issuer, w->keys->leaf,
              w->keys->issuer, false);
    c->extension_count = 0;
    c->serial_len = 0; /* BN_bin2bn of nothing is 0 */
    c->from = "2024-01-01";
    c->until = "2031-01-01";
    extend_number(c, AMD_ARC ".1", turin);
    extend_text(c, AMD_ARC ".2", names[w->product][vlek].name);
    for (unsigned i = 1; i <= 9; i++) {
        static const uint8_t parts[] = {0, 4, 1, 0x18, 0, 0, 0, 0, 0xDB, 2};

        snprintf(oid, sizeof(oid), AMD_ARC ".3.%u", i);
        if (i == 9 ? turin : i != 4 || !turin)
            extend_number(c, oid, parts[i]);
    }
    if (vlek)
        extend_text(c, AMD_ARC ".5", "CN=cloud.example");
    else
        extend(c, AMD_ARC ".4", good_chip, turin ? 8 : 64);
    w->issuer.subject = names[w->product][vlek].issuer;
    w->report[0x48] = (uint8_t)(vlek << 2);
}

static inline void good_report(struct world *w)
{
    static const uint8_t milan[] = {4, 1, 0, 0, 0, 0, 0x18, 0xDB};
    static const uint8_t turin[] = {2, 4, 1, 0x18, 0, 0, 0, 0xDB};
    static const uint16_t tcbs[] = {0x38, 0x180, 0x1E0, 0x1F0};
    static const uint8_t cpus[][3] = {[ATTEST_MILAN] = {0x19, 1, 1},
                                      [ATTEST_GENOA] = {0x19, 0xA0, 2},
                                      [ATTEST_TURIN] = {0x1A, 2, 1}};
    uint8_t *r = w->report;

    memset(r, 0, sizeof(w->report));
    store32(r, w->product == ATTEST_TURIN ? 5 : 3);
    store64(r + 8, 0x30000);
    store32(r + 0x34, 1);
    store64(r + 0x40, w->product == ATTEST_TURIN ? 0x65 : 0x25);
    memset(r + 0x50, 0x5A, 64);
    memset(r + 0x90, 0xA5, 48);
    memset(r + 0x160, 0xFF, 32);
    for (unsigned i = 0; i < COUNT(tcbs); i++)
        memcpy(r + tcbs[i], w->product == ATTEST_TURIN ? turin : milan, 8);
    memcpy(r + 0x188, cpus[w->product], 3);
    memcpy(r + 0x1A0, good_chip, w->product == ATTEST_TURIN ? 8 : 64);
    memcpy(r + 0x1E8, "\x15\x37\x01\x00\x15\x37\x01", 7); /* 1.55.21, twice */
    if (w->product == ATTEST_TURIN)
        store64(r + 0x1F8, 0x3F), store64(r + 0x200, 0x3F);
}

static inline void good_world(struct world *w, struct keys *keys, enum attest_product product,
                              bool vlek)
{
    static const char *const roots[] = {NULL, "ARK-Milan", "ARK-Genoa", "ARK-Turin"};

    *w = (struct world){.keys = keys,
                        .product = product,
                        .at = "2026-01-01",
                        .root_in_bag = true,
                        .issuer_in_bag = true,
                        .report_key = keys->leaf};
    authority(&w->root, roots[product], roots[product], keys->root, keys->root, true);
    authority(&w->issuer, NULL, roots[product], keys->issuer, keys->root, false);
    good_report(w);
    good_leaf(w, vlek);
    w->crl = (struct made_crl){.issuer = roots[product],
                               .signer = keys->root,
                               .from = "2025-12-01",
                               .until = "2026-12-01"};
}

static inline void emulated(struct world *w)
{
    w->root.subject_serial = w->root.issuer_serial = "EMULATED";
    w->issuer.subject_serial = w->issuer.issuer_serial = "EMULATED";
    w->leaf.subject_serial = w->leaf.issuer_serial = "EMULATED";
}

/* Makes everything and verifies. */
static inline enum attest_verdict judge_world(struct world *w, struct attest_result *result)
{
    struct attest_trust *trust = attest_trust_new(NULL);
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_error err = {0};
    enum attest_status why = ATTEST_OK;

    make_cert(&w->root);
    make_cert(&w->issuer);
    make_cert(&w->leaf);
    make_crl(w);
    sign_report(w->report, w->report_key);
    if (!w->distrust)
        assert_int_equal(attest_trust_add_root(trust, w->root.der, w->root.len, &err), ATTEST_OK);
    if (w->emulated_ok)
        attest_trust_emulated(trust);
    if (w->root_in_bag)
        why = attest_certs_add(certs, w->root.der, w->root.len, &err);
    if (w->issuer_in_bag && why == ATTEST_OK)
        why = attest_certs_add(certs, w->issuer.der, w->issuer.len, &err);
    if (!w->leaf_missing && why == ATTEST_OK)
        why = attest_certs_add(certs, w->leaf.der, w->leaf.len, &err);
    if (w->with_crl && why == ATTEST_OK)
        why = attest_certs_add(certs, w->crl.der, w->crl.len, &err);
    if (why != ATTEST_OK)
        fail_msg("%s: %s", err.path, err.text);
    attest_verify(trust,
                  &(struct attest_query){.report = w->report,
                                         .report_len = sizeof(w->report),
                                         .certs = certs,
                                         .policy = w->policy,
                                         .at = date(w->at)},
                  result);
    attest_policy_free(w->policy);
    w->policy = NULL;
    attest_certs_free(certs);
    attest_trust_free(trust);
    return result->verdict;
}

static inline EVP_PKEY *made_key(const char *curve, unsigned bits)
{
    EVP_PKEY *key = curve ? EVP_EC_gen(curve) : EVP_RSA_gen(bits);

    assert_non_null(key);
    return key;
}

static inline void make_keys(struct keys *keys)
{
    *keys = (struct keys){.root = made_key(NULL, 4096),
                          .issuer = made_key(NULL, 4096),
                          .leaf = made_key("P-384", 0),
                          .other_leaf = made_key("P-384", 0),
                          .weak = made_key(NULL, 2048)};
}

static inline void free_keys(struct keys *keys)
{
    EVP_PKEY_free(keys->root);
    EVP_PKEY_free(keys->issuer);
    EVP_PKEY_free(keys->leaf);
    EVP_PKEY_free(keys->other_leaf);
    EVP_PKEY_free(keys->weak);
}

#endif
