/* The platform's certificates of SEV and SEV-ES, up to AMD's root (SEV API, appendix C). They carry
 * no names and no dates: a key id says who signed, and a pinned key who that is. */
#include <stdio.h>
#include <string.h>

#include "attest/internal.h"
#include "crypto/digest.h"
#include "crypto/sev_cert.h"
#include "lucca/owner.h"

static_assert(ATTEST_SEV_CERT_BYTES == sizeof(struct sev_cert), "SEV API, certificates");

static const struct {
    const char *name;
    uint32_t usage;
    bool amd; /* an amd_cert, with an RSA key; else a sev_cert */
} kinds[ATTEST_SEV_CERTS] = {
    [ATTEST_SEV_ARK] = {"ARK", USAGE_ARK, true},  [ATTEST_SEV_ASK] = {"ASK", USAGE_ASK, true},
    [ATTEST_SEV_CEK] = {"CEK", USAGE_CEK, false}, [ATTEST_SEV_OCA] = {"OCA", USAGE_OCA, false},
    [ATTEST_SEV_PEK] = {"PEK", USAGE_PEK, false}, [ATTEST_SEV_PDH] = {"PDH", USAGE_PDH, false},
};

const char *attest_sev_cert_name(enum attest_sev_cert cert)
{
    return (unsigned)cert < ATTEST_SEV_CERTS ? kinds[cert].name : NULL;
}

/* ---- taking files apart ------------------------------------------------------------------------
 */

#define AMD_HEADER     0x40u
#define AMD_4096       (AMD_HEADER + 3 * 512)
#define AMD_2048       (AMD_HEADER + 3 * 256) /* Naples */
#define RSA_BITS(cert) load32((cert).at + 0x3C)

/* Which certificate begins at `at`, and its length; false: none that is known. */
static bool recognise(const uint8_t *at, size_t left, enum attest_sev_cert *kind, size_t *len)
{
    if (left < AMD_HEADER || load32(at) != 1)
        return false;
    for (unsigned k = 0; k < ATTEST_SEV_CERTS; k++) {
        bool long_key = load32(at + 0x3C) == 4096;

        if (load32(at + (kinds[k].amd ? 0x24 : 0x08)) != kinds[k].usage)
            continue;
        if (kinds[k].amd &&
            (load32(at + 0x38) != load32(at + 0x3C) || (!long_key && load32(at + 0x3C) != 2048)))
            continue;
        *kind = k;
        *len = !kinds[k].amd ? sizeof(struct sev_cert) : long_key ? AMD_4096 : AMD_2048;
        return *len <= left;
    }
    return false;
}

enum attest_status attest_sev_chain_add(struct attest_sev_chain *chain, const void *bytes,
                                        size_t len, struct attest_error *err)
{
    const uint8_t *at = bytes;
    size_t left = len;

    if (!left)
        return attest_fail(err, ATTEST_E_FORMAT, "chain", "the file is empty");
    while (left) {
        enum attest_sev_cert kind;
        struct attest_span *slot;
        size_t n;

        if (!recognise(at, left, &kind, &n))
            return attest_fail(err, ATTEST_E_FORMAT, "chain",
                               "at byte %zu of %zu no SEV certificate begins, or it is cut off",
                               len - left, len);
        slot = &chain->cert[kind];
        if (slot->at && (slot->len != n || memcmp(slot->at, at, n) != 0))
            return attest_fail(err, ATTEST_E_FORMAT, "chain", "two different certificates are %ss",
                               kinds[kind].name);
        *slot = (struct attest_span){at, n};
        at += n;
        left -= n;
    }
    return ATTEST_OK;
}

/* ---- RSA
 * ----------------------------------------------------------------------------------------- */

/* A key of AMD's: little-endian numbers after the header. NULL: libcrypto does not take it. */
static EVP_PKEY *rsa_key(struct attest_span cert)
{
    unsigned bytes = RSA_BITS(cert) / 8;
    BIGNUM *e = BN_lebin2bn(cert.at + AMD_HEADER, (int)bytes, NULL);
    BIGNUM *n = BN_lebin2bn(cert.at + AMD_HEADER + bytes, (int)bytes, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (e && n && ctx && bld && BN_num_bits(n) == (int)RSA_BITS(cert) && BN_num_bits(e) <= 64 &&
        BN_is_odd(e) && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    ERR_clear_error();
    return key;
}

/* RSASSA-PSS with a salt as long as the digest: SHA-384 for keys of 4096 bits, SHA-256 for 2048. */
static bool rsa_verify(struct attest_span signer, const void *msg, size_t len,
                       const uint8_t *sig_le)
{
    unsigned bytes = RSA_BITS(signer) / 8;
    const EVP_MD *md = bytes == 512 ? EVP_sha384() : EVP_sha256();
    EVP_PKEY *key = rsa_key(signer);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    uint8_t sig[512];
    bool ok;

    for (unsigned i = 0; i < bytes; i++)
        sig[i] = sig_le[bytes - 1 - i];
    ok = key && ctx && EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
         EVP_DigestVerify(ctx, sig, bytes, msg, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok;
}

/* ---- roots
 * --------------------------------------------------------------------------------------- */

#define EMULATED_ID "LUCCA-EMULATED" /* how the key ids of emulated roots begin */

/* SHA-256 of the modulus of AMD's ARKs, big-endian. Those of Milan, Genoa and Turin are the keys of
 * the X.509 certificates, too. */
static const struct {
    const char *product;
    uint8_t modulus[32];
} pins[] = {
    {"Naples", {0x5f, 0x45, 0x2a, 0x21, 0x94, 0x9d, 0xbb, 0x87, 0xcf, 0x60, 0xa8,
                0xd0, 0x22, 0x78, 0xb7, 0x4a, 0x63, 0xba, 0x40, 0xd4, 0x42, 0x0a,
                0x47, 0xac, 0x34, 0x46, 0x3c, 0x43, 0xde, 0x6a, 0x83, 0x79}},
    {"Rome", {0xf1, 0x66, 0x57, 0xb7, 0x4d, 0xd8, 0x70, 0x04, 0x5b, 0x04, 0x0e,
              0xa2, 0x05, 0x83, 0xf0, 0x98, 0x01, 0x8e, 0x5b, 0x2f, 0x98, 0xec,
              0xff, 0x99, 0xc9, 0xf6, 0xfe, 0xfd, 0xc5, 0xec, 0xb2, 0xca}},
    {"Milan", {0x85, 0x75, 0x96, 0xe6, 0x6a, 0x0d, 0xc4, 0x86, 0xd6, 0x9f, 0x44,
               0x59, 0x55, 0x4c, 0x56, 0xf9, 0x6c, 0x3f, 0x83, 0xf3, 0x36, 0x59,
               0x84, 0x65, 0x0d, 0x1a, 0xab, 0x5f, 0x7b, 0x21, 0x5b, 0x2a}},
    {"Genoa", {0x33, 0xf0, 0x78, 0x76, 0x14, 0xfd, 0x42, 0x9b, 0x04, 0x8d, 0x62,
               0x1d, 0x96, 0x29, 0x50, 0xdf, 0x61, 0x47, 0x06, 0x3c, 0xe5, 0xc2,
               0x14, 0x10, 0xc6, 0xb7, 0xfa, 0x14, 0x31, 0xa6, 0xce, 0xa2}},
    {"Turin", {0x10, 0xd4, 0x84, 0xfa, 0xa3, 0x51, 0x04, 0x29, 0x2e, 0x92, 0x74,
               0x02, 0xd9, 0x8e, 0xa1, 0x3b, 0x32, 0x44, 0xb3, 0xa8, 0xfa, 0x4c,
               0xcb, 0xe4, 0x1f, 0xcf, 0x55, 0x73, 0xdd, 0x9e, 0xfa, 0x19}},
};

/* AMD's exponents are all 65537; another one with a pinned modulus is not AMD's key. */
static const char *pinned_product(struct attest_span ark)
{
    unsigned bytes = RSA_BITS(ark) / 8;
    uint8_t modulus[512], digest[32];

    for (unsigned i = 0; i < bytes; i++)
        modulus[i] = ark.at[AMD_HEADER + 2 * bytes - 1 - i];
    if (!sha256(digest, modulus, bytes) || load32(ark.at + AMD_HEADER) != 65537 ||
        !all_zero(ark.at + AMD_HEADER + 4, bytes - 4))
        return NULL;
    for (size_t i = 0; i < COUNT(pins); i++)
        if (!memcmp(digest, pins[i].modulus, sizeof(digest)))
            return pins[i].product;
    return NULL;
}

static bool given_as_root(struct attest_span ark, const struct attest_span *roots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (roots[i].len == ark.len && !memcmp(roots[i].at, ark.at, ark.len))
            return true;
    return false;
}

static bool says_emulated(const struct attest_sev_chain *c)
{
    for (unsigned k = ATTEST_SEV_ARK; k <= ATTEST_SEV_ASK; k++)
        for (unsigned id = 0x04; c->cert[k].at && id <= 0x14; id += 0x10)
            if (!memcmp(c->cert[k].at + id, EMULATED_ID, sizeof(EMULATED_ID) - 1))
                return true;
    return false;
}

/* ---- checks
 * -------------------------------------------------------------------------------------- */

struct trust {
    const struct attest_span *roots;
    size_t root_count;
    bool emulated;
};

static bool outcome(struct attest_sev_check *c, bool good, const char *why)
{
    c->outcome = good ? ATTEST_PASS : ATTEST_FAIL;
    snprintf(c->found, sizeof(c->found), "%s", why);
    return good;
}

static void check_root(const struct attest_sev_chain *c, const struct trust *t,
                       struct attest_sev_result *r, struct attest_sev_check *check)
{
    struct attest_span ark = c->cert[ATTEST_SEV_ARK];
    char text[64];

    r->product = pinned_product(ark);
    if (r->product) {
        snprintf(text, sizeof(text), "AMD's root for %s", r->product);
        outcome(check, true, text);
    } else if (r->emulated && !t->emulated) {
        outcome(check, false, "an emulated root; --trust-emulated takes it");
    } else if (given_as_root(ark, t->roots, t->root_count)) {
        outcome(check, true,
                r->emulated ? "the emulated root that was given" : "the root that was given");
    } else if (r->emulated && !t->root_count) {
        outcome(check, true, "an emulated root, as asked: it protects nothing");
    } else {
        outcome(check, false, "neither AMD's root nor one that was given");
    }
}

/* An ARK or ASK under the ARK. */
static void check_amd(const struct attest_sev_chain *c, enum attest_sev_cert which,
                      struct attest_sev_check *check)
{
    struct attest_span cert = c->cert[which], ark = c->cert[ATTEST_SEV_ARK];
    size_t signed_bytes = cert.len - RSA_BITS(cert) / 8;

    if (memcmp(cert.at + 0x14, ark.at + 0x04, 16) != 0) {
        outcome(check, false, "it names another key as its signer's");
        return;
    }
    if (cert.len != ark.len) {
        outcome(check, false, "its key has another size");
        return;
    }
    if (which == ATTEST_SEV_ARK && memcmp(cert.at + 0x04, cert.at + 0x14, 16) != 0) {
        outcome(check, false, "a root is signed by itself alone");
        return;
    }
    outcome(check, rsa_verify(ark, cert.at, signed_bytes, cert.at + signed_bytes),
            "RSA-PSS signature");
}

static const char *const verdicts[] = {
    [CERT_GOOD] = "ECDSA signature",
    [CERT_INVALID] = "no signature of that key is on it, or it is not well-formed",
    [CERT_BAD_SIGNATURE] = "ECDSA signature",
};

static void copy_cert(struct sev_cert *to, struct attest_span from)
{
    memcpy(to, from.at, sizeof(*to));
}

static void check_cek(const struct attest_sev_chain *c, struct attest_sev_check *check)
{
    struct attest_span ask = c->cert[ATTEST_SEV_ASK];
    uint32_t algo = ask.len == AMD_4096 ? ALGO_RSA_SHA384 : ALGO_RSA_SHA256;
    struct p384_public pub;
    struct sev_cert cek;

    copy_cert(&cek, c->cert[ATTEST_SEV_CEK]);
    if (!sev_cert_public(&cek, &pub)) {
        outcome(check, false, "its key is not on the curve P-384");
        return;
    }
    for (unsigned i = 0; i < COUNT(cek.sigs); i++)
        if (cek.sigs[i].usage == USAGE_ASK && cek.sigs[i].algo == algo) {
            outcome(check, rsa_verify(ask, &cek, SEV_CERT_BODY, cek.sigs[i].sig),
                    "RSA-PSS signature");
            return;
        }
    outcome(check, false,
            "AMD has not signed it: ask AMD's key service for the CEK of this chip's id");
}

static void check_ec(const struct attest_sev_chain *c, enum attest_sev_cert which,
                     enum attest_sev_cert signer, struct attest_sev_check *check)
{
    struct sev_cert cert, by;
    enum cert_verdict v;

    copy_cert(&cert, c->cert[which]);
    copy_cert(&by, c->cert[signer]);
    v = sev_cert_verify(&cert, &by);
    outcome(check, v == CERT_GOOD, verdicts[v]);
}

static const struct {
    const char *name, *what;
    enum attest_sev_cert cert, signer;
} checks[ATTEST_SEV_CHECKS] = {
    {"root", "the ARK is one to trust", ATTEST_SEV_ARK, ATTEST_SEV_CERTS},
    {"ark-by-itself", "the ARK is signed by itself", ATTEST_SEV_ARK, ATTEST_SEV_ARK},
    {"ask-by-ark", "the ASK is signed by the ARK", ATTEST_SEV_ASK, ATTEST_SEV_ARK},
    {"cek-by-ask", "the CEK is signed by the ASK", ATTEST_SEV_CEK, ATTEST_SEV_ASK},
    {"oca-by-itself", "the OCA is signed by itself", ATTEST_SEV_OCA, ATTEST_SEV_OCA},
    {"pek-by-oca", "the PEK is signed by the OCA", ATTEST_SEV_PEK, ATTEST_SEV_OCA},
    {"pek-by-cek", "the PEK is signed by the CEK", ATTEST_SEV_PEK, ATTEST_SEV_CEK},
    {"pdh-by-pek", "the PDH is signed by the PEK", ATTEST_SEV_PDH, ATTEST_SEV_PEK},
};

static void run_check(const struct attest_sev_chain *c, unsigned i, const struct trust *t,
                      struct attest_sev_result *r)
{
    enum attest_sev_cert cert = checks[i].cert, signer = checks[i].signer, missing;
    struct attest_sev_check *check = &r->check[i];

    check->name = checks[i].name;
    check->what = checks[i].what;
    check->outcome = ATTEST_NOT_ASKED;
    if (!c->cert[cert].at || (signer != ATTEST_SEV_CERTS && !c->cert[signer].at)) {
        missing = c->cert[cert].at ? signer : cert;
        snprintf(check->found, sizeof(check->found), "no %s was given", kinds[missing].name);
    } else if (signer == ATTEST_SEV_CERTS) {
        check_root(c, t, r, check);
    } else if (cert == ATTEST_SEV_CEK) {
        check_cek(c, check);
    } else if (kinds[cert].amd) {
        check_amd(c, cert, check);
    } else {
        check_ec(c, cert, signer, check);
    }
}

enum attest_verdict attest_sev_chain_verify(const struct attest_sev_chain *chain,
                                            const struct attest_span *roots, size_t root_count,
                                            bool trust_emulated, struct attest_sev_result *result)
{
    const struct trust t = {roots, root_count, trust_emulated};

    *result = (struct attest_sev_result){.verdict = ATTEST_GOOD, .emulated = says_emulated(chain)};
    for (unsigned i = 0; i < ATTEST_SEV_CHECKS; i++) {
        run_check(chain, i, &t, result);
        if (result->check[i].outcome == ATTEST_FAIL)
            result->verdict = ATTEST_UNTRUSTED;
        else if (result->check[i].outcome != ATTEST_PASS && result->verdict == ATTEST_GOOD)
            result->verdict = ATTEST_NO_CERTS;
    }
    return result->verdict;
}
