/* P-384 over libcrypto's EVP; scalars are turned into points by EC_POINT. */
#include "crypto/ecc.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "crypto/keys.h"
#include "crypto/openssl.h"

#define POINT_BYTES (1 + 2 * P384_BYTES) /* 04 || x || y */

/* ---- scalars and points -------------------------------------------------------------------- */

/* x and y of d * G, each `size` bytes. */
static bool point_of(const EC_GROUP *group, const BIGNUM *d, uint8_t *x, uint8_t *y, int size)
{
    EC_POINT *p = EC_POINT_new(group);
    BIGNUM *bx = BN_new(), *by = BN_new();
    bool ok = p && bx && by && EC_POINT_mul(group, p, d, NULL, NULL, NULL) == 1 &&
              EC_POINT_get_affine_coordinates(group, p, bx, by, NULL) == 1 &&
              BN_bn2binpad(bx, x, size) == size && BN_bn2binpad(by, y, size) == size;

    BN_free(by);
    BN_free(bx);
    EC_POINT_free(p);
    return ok;
}

/* d = (c mod (n-1)) + 1. NULL: out of memory. */
static BIGNUM *reduce_extra_bits(const EC_GROUP *group, const uint8_t *c, size_t len)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *limit = BN_dup(EC_GROUP_get0_order(group)), *d = BN_lebin2bn(c, (int)len, NULL);
    bool ok =
        ctx && limit && d && BN_sub_word(limit, 1) && BN_mod(d, d, limit, ctx) && BN_add_word(d, 1);

    if (!ok) {
        BN_clear_free(d);
        d = NULL;
    }
    BN_free(limit);
    BN_CTX_free(ctx);
    return d;
}

static bool key_of_scalar(const EC_GROUP *group, const BIGNUM *d, struct p384_key *key)
{
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(group)) >= 0)
        return false;
    return BN_bn2binpad(d, key->d, P384_BYTES) == (int)P384_BYTES &&
           point_of(group, d, key->pub.x, key->pub.y, P384_BYTES);
}

bool p384_from_scalar(struct p384_key *key, const uint8_t d[P384_BYTES])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    BIGNUM *n = BN_bin2bn(d, P384_BYTES, NULL);
    bool ok = group && n && key_of_scalar(group, n, key);

    BN_clear_free(n);
    EC_GROUP_free(group);
    return ok;
}

bool p384_from_extra_bits(struct p384_key *key, const uint8_t *c, size_t len)
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
    BIGNUM *d = group ? reduce_extra_bits(group, c, len) : NULL;
    bool ok = d && key_of_scalar(group, d, key);

    BN_clear_free(d);
    EC_GROUP_free(group);
    return ok;
}

bool p384_generate(struct p384_key *key)
{
    uint8_t c[P384_BYTES + 8]; /* 64 extra bits leave no bias to speak of */
    bool ok = random_bytes(c, sizeof(c)) && p384_from_extra_bits(key, c, sizeof(c));

    wipe(c, sizeof(c));
    return ok;
}

bool secp256k1_point(const uint8_t *c, size_t len, uint8_t x[32], uint8_t y[32])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp256k1);
    BIGNUM *d = group ? reduce_extra_bits(group, c, len) : NULL;
    bool ok = d && point_of(group, d, x, y, 32);

    BN_clear_free(d);
    EC_GROUP_free(group);
    return ok;
}

/* ---- EVP ----------------------------------------------------------------------------------- */

/* A key that EVP can use: `d` NULL for a public one. NULL where it is not on the curve. */
static EVP_PKEY *pkey_of(const struct p384_public *pub, const uint8_t *d)
{
    uint8_t point[POINT_BYTES] = {0x04};
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = d ? BN_bin2bn(d, P384_BYTES, NULL) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    memcpy(point + 1, pub->x, P384_BYTES);
    memcpy(point + 1 + P384_BYTES, pub->y, P384_BYTES);
    if (bld && ctx && (!d || n) &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, "P-384", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) &&
        (!d || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, n)))
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    BN_clear_free(n);
    OSSL_PARAM_BLD_free(bld);
    ERR_clear_error();
    return pkey;
}

EVP_PKEY *p384_public_pkey(const struct p384_public *pub)
{
    return pkey_of(pub, NULL);
}

bool p384_valid(const struct p384_public *pub)
{
    EVP_PKEY *pkey = pkey_of(pub, NULL);
    EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
    bool ok = ctx && EVP_PKEY_public_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

static const EVP_MD *md_of(enum digest_id id)
{
    return id == DIGEST_SHA384 ? EVP_sha384() : EVP_sha256();
}

/* DER SEQUENCE { r, s } from and to fixed-size numbers. */
static bool sig_from_der(struct p384_signature *sig, const uint8_t *der, size_t len)
{
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), sig->r, P384_BYTES) > 0 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(s), sig->s, P384_BYTES) > 0;

    ECDSA_SIG_free(s);
    return ok;
}

/* The length, or a negative number where memory is out. */
static int sig_to_der(const struct p384_signature *sig, uint8_t **der)
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig->r, P384_BYTES, NULL), *t = BN_bin2bn(sig->s, P384_BYTES, NULL);
    int len = -1;

    if (s && r && t && ECDSA_SIG_set0(s, r, t)) {
        r = t = NULL; /* `s` owns them now */
        len = i2d_ECDSA_SIG(s, der);
    }
    BN_free(r);
    BN_free(t);
    ECDSA_SIG_free(s);
    return len;
}

bool p384_sign(const struct p384_key *key, enum digest_id digest, const void *msg, size_t len,
               struct p384_signature *sig)
{
    EVP_PKEY *pkey = pkey_of(&key->pub, key->d);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[2 * P384_BYTES + 16];
    size_t der_len = sizeof(der);
    bool ok = pkey && ctx && EVP_DigestSignInit(ctx, NULL, md_of(digest), NULL, pkey) == 1 &&
              EVP_DigestSign(ctx, der, &der_len, msg, len) == 1 && sig_from_der(sig, der, der_len);

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

bool p384_verify(const struct p384_public *pub, enum digest_id digest, const void *msg, size_t len,
                 const struct p384_signature *sig)
{
    EVP_PKEY *pkey = pkey_of(pub, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t *der = NULL;
    int der_len = sig_to_der(sig, &der);
    bool ok = pkey && ctx && der_len > 0 &&
              EVP_DigestVerifyInit(ctx, NULL, md_of(digest), NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)der_len, msg, len) == 1;

    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok;
}

bool p384_agree(const struct p384_key *key, const struct p384_public *peer, uint8_t z[P384_BYTES])
{
    EVP_PKEY *own = pkey_of(&key->pub, key->d), *other = pkey_of(peer, NULL);
    EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t len = P384_BYTES;
    bool ok = ctx && other && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_derive_set_peer(ctx, other) == 1 && EVP_PKEY_derive(ctx, z, &len) == 1 &&
              len == P384_BYTES;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
    EVP_PKEY_free(own);
    ERR_clear_error();
    return ok;
}
