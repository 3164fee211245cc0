/* AMD's binary certificates: making, signing and checking them. */
#include "crypto/sev_cert.h"

#include <string.h>

#include "base/bytes.h"

/* EC numbers fill 72 bytes, of which P-384 uses 48. */
#define EC_FIELD 72u
#define EC_QX    4u
#define EC_QY    (EC_QX + EC_FIELD)

static void reversed(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[n - 1 - i];
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;

    while (n--)
        any |= *p++;
    return !any;
}

/* ---- sev_cert ------------------------------------------------------------------------------ */

void sev_cert_make(struct sev_cert *cert, enum sev_usage usage, enum sev_algo algo,
                   uint8_t api_major, uint8_t api_minor, const struct p384_public *pub)
{
    *cert = (struct sev_cert){
        .version = 1,
        .api_major = api_major,
        .api_minor = api_minor,
        .usage = usage,
        .algo = algo,
        .sigs = {{.usage = USAGE_NONE}, {.usage = USAGE_NONE}},
    };
    store32(cert->pubkey, SEV_CURVE_P384);
    reversed(cert->pubkey + EC_QX, pub->x, P384_BYTES);
    reversed(cert->pubkey + EC_QY, pub->y, P384_BYTES);
}

bool sev_cert_public(const struct sev_cert *cert, struct p384_public *pub)
{
    const uint8_t *key = cert->pubkey;

    if (load32(key) != SEV_CURVE_P384 ||
        !all_zero(key + EC_QX + P384_BYTES, EC_FIELD - P384_BYTES) ||
        !all_zero(key + EC_QY + P384_BYTES, EC_FIELD - P384_BYTES))
        return false;
    reversed(pub->x, key + EC_QX, P384_BYTES);
    reversed(pub->y, key + EC_QY, P384_BYTES);
    return p384_valid(pub);
}

bool sev_cert_sign(struct sev_cert *cert, unsigned slot, enum sev_usage signer,
                   const struct p384_key *key)
{
    struct sev_cert_sig *s = &cert->sigs[slot];
    struct p384_signature sig;

    if (!p384_sign(key, DIGEST_SHA256, cert, SEV_CERT_BODY, &sig))
        return false;
    *s = (struct sev_cert_sig){.usage = signer, .algo = ALGO_ECDSA_SHA256};
    reversed(s->sig, sig.r, P384_BYTES);
    reversed(s->sig + EC_FIELD, sig.s, P384_BYTES);
    return true;
}

bool sev_cert_sign_by_ask(struct sev_cert *cert, unsigned slot, const struct rsa4096_key *ask)
{
    struct sev_cert_sig *s = &cert->sigs[slot];
    uint8_t sig[RSA4096_BYTES];

    if (!rsa4096_sign(ask, cert, SEV_CERT_BODY, sig))
        return false;
    *s = (struct sev_cert_sig){.usage = USAGE_ASK, .algo = ALGO_RSA_SHA384};
    reversed(s->sig, sig, RSA4096_BYTES);
    return true;
}

/* A usage without an algorithm, or the other way round, is no empty slot and no signature. */
static bool half_empty(const struct sev_cert_sig *s)
{
    return (s->usage == USAGE_NONE) != (s->algo == ALGO_NONE);
}

static bool slot_verifies(const struct sev_cert *cert, const struct sev_cert_sig *s,
                          const struct p384_public *pub)
{
    enum digest_id digest = s->algo == ALGO_ECDSA_SHA384 ? DIGEST_SHA384 : DIGEST_SHA256;
    struct p384_signature sig;

    if (s->algo != ALGO_ECDSA_SHA256 && s->algo != ALGO_ECDSA_SHA384)
        return false;
    if (!all_zero(s->sig + P384_BYTES, EC_FIELD - P384_BYTES) ||
        !all_zero(s->sig + EC_FIELD + P384_BYTES, EC_FIELD - P384_BYTES))
        return false;
    reversed(sig.r, s->sig, P384_BYTES);
    reversed(sig.s, s->sig + EC_FIELD, P384_BYTES);
    return p384_verify(pub, digest, cert, SEV_CERT_BODY, &sig);
}

/* What a body must say, by usage, and whose signature it may carry. */
static const struct {
    enum sev_usage usage;
    enum sev_algo algos[2];
    enum sev_usage parents[2];
} kinds[] = {
    {USAGE_OCA, {ALGO_ECDSA_SHA256, ALGO_ECDSA_SHA384}, {USAGE_OCA, USAGE_OCA}},
    {USAGE_PEK, {ALGO_ECDSA_SHA256, ALGO_ECDSA_SHA384}, {USAGE_OCA, USAGE_CEK}},
    {USAGE_CEK, {ALGO_ECDSA_SHA256, ALGO_ECDSA_SHA384}, {USAGE_ASK, USAGE_ASK}},
    {USAGE_PDH, {ALGO_ECDH_SHA256, ALGO_ECDH_SHA384}, {USAGE_PEK, USAGE_PEK}},
};

static bool body_allows(const struct sev_cert *cert, uint32_t parent)
{
    struct p384_public pub;

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (cert->usage == kinds[i].usage)
            return cert->version == 1 &&
                   (cert->algo == kinds[i].algos[0] || cert->algo == kinds[i].algos[1]) &&
                   (parent == kinds[i].parents[0] || parent == kinds[i].parents[1]) &&
                   sev_cert_public(cert, &pub);
    return false;
}

enum cert_verdict sev_cert_verify(const struct sev_cert *cert, const struct sev_cert *signer)
{
    enum cert_verdict verdict = CERT_INVALID; /* until a slot is found: none is the signer's */
    struct p384_public pub;

    if (!sev_cert_public(signer, &pub))
        return CERT_INVALID;
    for (size_t i = 0; i < COUNT(cert->sigs); i++) {
        const struct sev_cert_sig *s = &cert->sigs[i];

        if (half_empty(s))
            return CERT_BAD_SIGNATURE;
        if (s->usage == signer->usage && s->algo == signer->algo)
            verdict = slot_verifies(cert, s, &pub) ? CERT_GOOD : CERT_BAD_SIGNATURE;
    }
    if (verdict == CERT_GOOD && !body_allows(cert, signer->usage))
        verdict = CERT_INVALID;
    return verdict;
}

/* ---- amd_cert ------------------------------------------------------------------------------ */

static bool rsa_public(const struct amd_cert *cert, struct rsa4096_public *pub)
{
    if (cert->version != 1 || cert->exponent_bits != 4096 || cert->modulus_bits != 4096)
        return false;
    reversed(pub->n, cert->modulus, RSA4096_BYTES);
    reversed(pub->e, cert->exponent, RSA4096_BYTES);
    return true;
}

enum cert_verdict sev_cert_verify_by_ask(const struct sev_cert *cert, const struct amd_cert *ask)
{
    enum cert_verdict verdict = CERT_INVALID;
    uint8_t sig[RSA4096_BYTES];
    struct rsa4096_public pub;

    if (ask->usage != USAGE_ASK || !rsa_public(ask, &pub))
        return CERT_INVALID;
    for (size_t i = 0; i < COUNT(cert->sigs); i++) {
        const struct sev_cert_sig *s = &cert->sigs[i];

        if (half_empty(s))
            return CERT_BAD_SIGNATURE;
        if (s->usage != USAGE_ASK || s->algo != ALGO_RSA_SHA384)
            continue;
        reversed(sig, s->sig, RSA4096_BYTES);
        verdict = rsa4096_verify(&pub, cert, SEV_CERT_BODY, sig) ? CERT_GOOD : CERT_BAD_SIGNATURE;
    }
    if (verdict == CERT_GOOD && !body_allows(cert, USAGE_ASK))
        verdict = CERT_INVALID;
    return verdict;
}

void amd_cert_make(struct amd_cert *cert, enum sev_usage usage, const uint8_t key_id[16],
                   const uint8_t signer_id[16], const struct rsa4096_public *pub)
{
    *cert = (struct amd_cert){
        .version = 1, .usage = usage, .exponent_bits = 4096, .modulus_bits = 4096};
    memcpy(cert->key_id, key_id, 16);
    memcpy(cert->signer_id, signer_id, 16);
    reversed(cert->exponent, pub->e, RSA4096_BYTES);
    reversed(cert->modulus, pub->n, RSA4096_BYTES);
}

bool amd_cert_sign(struct amd_cert *cert, const struct rsa4096_key *signer)
{
    uint8_t sig[RSA4096_BYTES];

    if (!rsa4096_sign(signer, cert, offsetof(struct amd_cert, sig), sig))
        return false;
    reversed(cert->sig, sig, RSA4096_BYTES);
    return true;
}

enum cert_verdict amd_cert_verify(const struct amd_cert *cert, const struct amd_cert *signer)
{
    uint8_t sig[RSA4096_BYTES];
    struct rsa4096_public pub, own;

    if (signer->usage != USAGE_ARK || !rsa_public(signer, &pub) || !rsa_public(cert, &own) ||
        (cert->usage != USAGE_ARK && cert->usage != USAGE_ASK) ||
        memcmp(cert->signer_id, signer->key_id, 16))
        return CERT_INVALID;
    if (cert->usage == USAGE_ARK && memcmp(cert->key_id, signer->key_id, 16))
        return CERT_INVALID; /* a root is signed by itself alone */
    reversed(sig, cert->sig, RSA4096_BYTES);
    return rsa4096_verify(&pub, cert, offsetof(struct amd_cert, sig), sig) ? CERT_GOOD
                                                                           : CERT_BAD_SIGNATURE;
}
