/* RSA-4096 PSS over libcrypto's EVP. */
#include "crypto/rsa.h"

#include <string.h>

#include "crypto/keys.h"
#include "crypto/openssl.h"

static EVP_PKEY *private_key(const uint8_t *der, size_t len)
{
    EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &der, (long)len);

    ERR_clear_error();
    return pkey;
}

EVP_PKEY *rsa4096_private_pkey(const struct rsa4096_key *key)
{
    return private_key(key->der, key->len);
}

static bool number(const EVP_PKEY *pkey, const char *name, uint8_t out[RSA4096_BYTES])
{
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 &&
              BN_bn2binpad(n, out, RSA4096_BYTES) == (int)RSA4096_BYTES;

    BN_free(n);
    return ok;
}

static bool public_part(const EVP_PKEY *pkey, struct rsa4096_public *pub)
{
    return EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bits(pkey) == 4096 &&
           number(pkey, OSSL_PKEY_PARAM_RSA_N, pub->n) &&
           number(pkey, OSSL_PKEY_PARAM_RSA_E, pub->e);
}

bool rsa4096_load(struct rsa4096_key *key, const uint8_t *der, size_t len)
{
    EVP_PKEY *pkey = len <= sizeof(key->der) ? private_key(der, len) : NULL;
    bool ok = pkey && public_part(pkey, &key->pub);

    if (ok) {
        memcpy(key->der, der, len);
        key->len = len;
    }
    EVP_PKEY_free(pkey);
    return ok;
}

bool rsa4096_generate(struct rsa4096_key *key)
{
    EVP_PKEY *pkey = EVP_RSA_gen(4096);
    PKCS8_PRIV_KEY_INFO *p8 = pkey ? EVP_PKEY2PKCS8(pkey) : NULL;
    uint8_t *der = NULL;
    int len = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &der) : -1;
    bool ok = len > 0 && rsa4096_load(key, der, (size_t)len);

    if (len > 0)
        OPENSSL_clear_free(der, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(p8);
    EVP_PKEY_free(pkey);
    return ok;
}

static bool use_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool rsa4096_sign(const struct rsa4096_key *key, const void *msg, size_t len,
                  uint8_t sig[RSA4096_BYTES])
{
    EVP_PKEY *pkey = rsa4096_private_pkey(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    size_t sig_len = RSA4096_BYTES;
    bool ok = pkey && ctx && EVP_DigestSignInit(ctx, &pctx, EVP_sha384(), NULL, pkey) == 1 &&
              use_pss(pctx) && EVP_DigestSign(ctx, sig, &sig_len, msg, len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

EVP_PKEY *rsa4096_public_pkey(const struct rsa4096_public *pub)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(pub->n, RSA4096_BYTES, NULL), *e = BN_bin2bn(pub->e, RSA4096_BYTES, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (bld && n && e && ctx && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    BN_free(e);
    BN_free(n);
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

bool rsa4096_verify(const struct rsa4096_public *pub, const void *msg, size_t len,
                    const uint8_t sig[RSA4096_BYTES])
{
    EVP_PKEY *pkey = rsa4096_public_pkey(pub);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    bool ok = pkey && ctx && EVP_DigestVerifyInit(ctx, &pctx, EVP_sha384(), NULL, pkey) == 1 &&
              use_pss(pctx) && EVP_DigestVerify(ctx, sig, RSA4096_BYTES, msg, len) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok;
}
