/* EAR tokens; see report_ear.h. */
#include "cli/report_ear.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/inputs.h"
#include "crypto/openssl.h"
#include "host/vm/base64.h"

#define PROFILE "tag:ietf.org,2026:rats/ear#04" /* draft-ietf-rats-ear-04, 3 */
#define SUBMOD  "snp"
#define P384    48u

/* ---- base64url without padding (RFC 7515, 2) ---------------------------------------------------
 */

static char *url_encode(const void *bytes, size_t len)
{
    char *text = base64_encode(bytes, len), *to = text;

    for (const char *c = text; c && *c; c++)
        if (*c != '=' && *c != '\n')
            *to++ = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    if (to)
        *to = 0;
    return text;
}

static json_t *json_url(const void *bytes, size_t len)
{
    char *text = url_encode(bytes, len);
    json_t *j = text ? json_string(text) : NULL;

    free(text);
    return j;
}

/* ---- the appraisal ------------------------------------------------------------------------------
 */

/* Values of draft-ietf-rats-ar4si, 2.3: 2 to 31 affirm, 32 to 95 warn, 96 and above contraindicate,
 * 0 claims nothing. */
enum {
    NO_CLAIM = 0,
    AFFIRMED = 2,
    BOOT_APPROVED = 3,
    UNSAFE = 96,
    UNRECOGNIZED = 97,
    BAD_CRYPTO = 99
};

static enum attest_outcome outcome(const struct attest_result *r, const char *name)
{
    const struct attest_check *c = attest_result_check(r, name);

    return c ? c->outcome : ATTEST_NOT_ASKED;
}

/* An emulated chip is no hardware that anybody endorses, trusted or not. */
static int hardware(const struct attest_result *r)
{
    if (r->verdict == ATTEST_NO_CERTS || r->verdict == ATTEST_NO_REVOCATION)
        return NO_CLAIM;
    if (outcome(r, "report.signature") == ATTEST_FAIL)
        return BAD_CRYPTO;
    if (r->emulated || (r->verdict && r->verdict != ATTEST_AGAINST_POLICY))
        return UNRECOGNIZED;
    return AFFIRMED;
}

static int configuration(const struct attest_result *r)
{
    if (r->verdict && r->verdict != ATTEST_AGAINST_POLICY)
        return NO_CLAIM;
    for (size_t i = 0; i < r->count; i++)
        if (r->check[i].outcome == ATTEST_FAIL &&
            strcmp(r->check[i].info->name, "policy.measurement") != 0)
            return UNSAFE;
    return AFFIRMED;
}

static int executables(const struct attest_result *r)
{
    enum attest_outcome measured = outcome(r, "policy.measurement");

    if ((r->verdict && r->verdict != ATTEST_AGAINST_POLICY) || measured == ATTEST_NOT_ASKED)
        return NO_CLAIM;
    return measured == ATTEST_PASS ? BOOT_APPROVED : UNSAFE;
}

static int identity(const struct attest_result *r)
{
    enum attest_outcome chip = outcome(r, "policy.chip_id");

    if ((r->verdict && r->verdict != ATTEST_AGAINST_POLICY) || chip == ATTEST_NOT_ASKED)
        return NO_CLAIM;
    return chip == ATTEST_PASS ? AFFIRMED : UNRECOGNIZED;
}

/* Memory that the host cannot read: not so where it may debug the guest. */
static int opaque(const struct attest_result *r)
{
    bool debug = attest_field_number(&r->report, attest_report_field("policy")) & BIT(19);

    if ((r->verdict && r->verdict != ATTEST_AGAINST_POLICY) || r->emulated)
        return NO_CLAIM;
    return debug ? UNSAFE : AFFIRMED;
}

/* No better than the worst of the vector, and never affirming what was refused. */
static const char *status_of(const struct attest_result *r)
{
    if (r->verdict == ATTEST_NO_CERTS || r->verdict == ATTEST_NO_REVOCATION)
        return "none";
    return r->verdict || r->emulated || opaque(r) == UNSAFE ? "contraindicated" : "affirming";
}

static json_t *appraisal(const struct ear_options *o, const struct attest_result *r)
{
    json_t *failed = json_array(), *not_asked = json_array(), *j;

    for (size_t i = 0; i < r->count; i++) {
        const struct attest_check *c = &r->check[i];

        if (c->outcome == ATTEST_PASS)
            continue;
        json_array_append_new(c->outcome == ATTEST_FAIL ? failed : not_asked,
                              json_string(c->info->name));
    }
    j = json_pack("{s:s, s:{s:i, s:i, s:i, s:i, s:i}, s:[s], s:o, s:{s:s, s:s, s:b, s:o, s:o}}",
                  "ear_status", status_of(r), "ear_trustworthiness_vector", "instance-identity",
                  identity(r), "configuration", configuration(r), "executables", executables(r),
                  "hardware", hardware(r), "runtime-opaque", opaque(r), "ear_appraisal_policy_ids",
                  o->policy_id, "ear_attester_claims", json_report(&r->report),
                  "ear_verifier_claims", "verdict", attest_verdict_name(r->verdict), "summary",
                  r->summary, "emulated", r->emulated, "failed", failed, "not_asked", not_asked);
    return j;
}

static json_t *claims(const struct ear_options *o, const struct attest_result *r)
{
    json_t *j = json_pack("{s:s, s:I, s:{s:s, s:s}, s:s, s:{s:o}}", "eat_profile", PROFILE, "iat",
                          (json_int_t)time(NULL), "ear_verifier_id", "developer", "Lucca", "build",
                          "lucca " LUCCA_VERSION, "ear_status", status_of(r), "submods", SUBMOD,
                          appraisal(o, r));

    if (j && o->nonce)
        json_object_set_new(j, "eat_nonce", json_url(o->nonce, o->nonce_len));
    if (j && o->evidence)
        json_object_set_new(j, "ear_raw_evidence", json_url(r->report.raw, ATTEST_REPORT_SIZE));
    return j;
}

/* ---- signing ------------------------------------------------------------------------------------
 */

static enum status read_key(const char *path, EVP_PKEY **key, struct error *err)
{
    char group[32] = "";
    struct blob b;
    enum status s = blob_read(&b, "--ear", path, 65536, err);
    BIO *bio;

    *key = NULL;
    if (s != OK)
        return s;
    bio = BIO_new_mem_buf(b.bytes, (int)b.len);
    if (bio)
        *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    blob_free(&b);
    ERR_clear_error();
    if (*key &&
        EVP_PKEY_get_utf8_string_param(*key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group),
                                       NULL) &&
        !strcmp(group, "secp384r1"))
        return OK;
    EVP_PKEY_free(*key);
    *key = NULL;
    return fail(err, ERR_FORMAT,
                "--ear '%s': a private key on P-384 is needed, in PEM without a password: openssl "
                "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
                path);
}

/* R and S, 48 bytes each (RFC 7518, 3.4). */
static bool sign(EVP_PKEY *key, const char *text, uint8_t out[2 * P384])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[160];
    const uint8_t *at = der;
    size_t len = sizeof(der);
    ECDSA_SIG *sig = NULL;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, key) > 0 &&
              EVP_DigestSign(ctx, der, &len, (const uint8_t *)text, strlen(text)) > 0;

    if (ok)
        sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, P384) == (int)P384 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + P384, P384) == (int)P384;
    ECDSA_SIG_free(sig);
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* Appends base64url of JSON or bytes to a growing text. */
static bool append(char **text, const char *between, const void *bytes, size_t len)
{
    char *part = url_encode(bytes, len), *all = NULL;

    if (part && asprintf(&all, "%s%s%s", *text ? *text : "", between, part) < 0)
        all = NULL;
    free(part);
    free(*text);
    *text = all;
    return all;
}

static bool append_json(char **text, const char *between, json_t *j)
{
    char *dump = j ? json_dumps(j, JSON_COMPACT) : NULL;
    bool ok = dump && append(text, between, dump, strlen(dump));

    free(dump);
    json_decref(j);
    return ok;
}

enum status ear_make(const struct ear_options *o, const struct attest_result *r, char **token,
                     struct error *err)
{
    uint8_t signature[2 * P384];
    EVP_PKEY *key;
    enum status s = read_key(o->key_file, &key, err);

    *token = NULL;
    if (s != OK)
        return s;
    if (!append_json(token, "", json_pack("{s:s, s:s}", "alg", "ES384", "typ", "JWT")) ||
        !append_json(token, ".", claims(o, r)) || !sign(key, *token, signature) ||
        !append(token, ".", signature, sizeof(signature))) {
        free(*token);
        *token = NULL;
        s = fail(err, ERR_CRYPTO, "--ear: libcrypto did not sign the token, or there is no memory");
    }
    EVP_PKEY_free(key);
    return s;
}
