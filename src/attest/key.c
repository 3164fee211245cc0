/* The library's use of libcrypto: keys, RSA-PSS, ECDSA, SHA-256. */
#include "attest/internal.h"

bool key_sha256(uint8_t out[32], const void *bytes, size_t len)
{
    return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    ERR_set_mark();
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    ERR_pop_to_mark();
    return key;
}

/* OSSL_PARAM wants the host's order, least byte first here. */
static void reversed(uint8_t *out, struct attest_span number)
{
    for (size_t i = 0; i < number.len; i++)
        out[i] = number.at[number.len - 1 - i];
}

static EVP_PKEY *rsa_key(const struct attest_cert *cert)
{
    uint8_t n[512], e[4];
    OSSL_PARAM params[3];

    if (cert->rsa_bits != 4096 || cert->rsa_e.len > sizeof(e))
        return NULL;
    reversed(n, cert->rsa_n);
    reversed(e, cert->rsa_e);
    params[0] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, sizeof(n));
    params[1] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e, cert->rsa_e.len);
    params[2] = OSSL_PARAM_construct_end();
    return from_params("RSA", params);
}

static EVP_PKEY *p384_key(const struct attest_cert *cert)
{
    uint8_t point[sizeof(cert->p384_point)];
    char group[] = "P-384";
    OSSL_PARAM params[3];

    memcpy(point, cert->p384_point, sizeof(point));
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point));
    params[2] = OSSL_PARAM_construct_end();
    return from_params("EC", params);
}

EVP_PKEY *key_of(const struct attest_cert *cert)
{
    return cert->p384 ? p384_key(cert) : rsa_key(cert);
}

static bool verify(EVP_PKEY *key, bool pss, struct attest_span message,
                   struct attest_span signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool good;

    ERR_set_mark(); /* the caller's queue of errors is the caller's */
    good = ctx && EVP_DigestVerifyInit(ctx, &how, EVP_sha384(), NULL, key) == 1;
    if (good && pss)
        good = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(how, EVP_sha384()) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 48) == 1;
    good = good && EVP_DigestVerify(ctx, signature.at, signature.len, message.at, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_pop_to_mark();
    return good;
}

bool key_verify_pss(EVP_PKEY *key, struct attest_span message, struct attest_span signature)
{
    return key && EVP_PKEY_is_a(key, "RSA") && verify(key, true, message, signature);
}

/* The order of P-384 (FIPS 186-4, D.1.2.4). */
static const uint8_t order[48] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC7, 0x63, 0x4D, 0x81, 0xF4, 0x37, 0x2D, 0xDF,
    0x58, 0x1A, 0x0D, 0xB2, 0x48, 0xB0, 0xA7, 0x7A, 0xEC, 0xEC, 0x19, 0x6A, 0xCC, 0xC5, 0x29, 0x73,
};

bool key_scalar_in_range(const uint8_t scalar[48])
{
    return !all_zero(scalar, 48) && memcmp(scalar, order, 48) < 0;
}

static size_t der_integer(uint8_t *out, const uint8_t scalar[48])
{
    size_t skip = 0, n = 2;

    while (skip < 47 && !scalar[skip])
        skip++;
    out[0] = 2;
    if (scalar[skip] & 0x80)
        out[n++] = 0;
    memcpy(out + n, scalar + skip, 48 - skip);
    n += 48 - skip;
    out[1] = (uint8_t)(n - 2);
    return n;
}

bool key_verify_p384(EVP_PKEY *key, struct attest_span message, const uint8_t *r, const uint8_t *s)
{
    uint8_t der[2 + 2 * 51] = {0x30};
    size_t n = 2;

    if (!key || !EVP_PKEY_is_a(key, "EC") || !key_scalar_in_range(r) || !key_scalar_in_range(s))
        return false;
    n += der_integer(der + n, r);
    n += der_integer(der + n, s);
    der[1] = (uint8_t)(n - 2);
    return verify(key, false, message, (struct attest_span){der, n});
}
