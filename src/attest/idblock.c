/* ID blocks and their authentication. */
#include "attest/idblock.h"

#include <stdlib.h>
#include <string.h>

#include "attest/internal.h"
#include "crypto/cipher.h"
#include "crypto/digest.h"
#include "crypto/ecc.h"
#include "lucca/owner.h"

#include <openssl/decoder.h>

/* ---- keys ------------------------------------------------------------------------------------ */

/* Nobody is asked for a passphrase: there may be no one. */
static int no_passphrase(char *pass, size_t size, size_t *len, const OSSL_PARAM params[], void *arg)
{
    return 0;
}

static EVP_PKEY *decode_key(struct attest_span key, int selection)
{
    EVP_PKEY *pkey = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&pkey, NULL, NULL, NULL, selection, NULL, NULL);
    const unsigned char *at = key.at;
    size_t left = key.len;

    if (ctx && OSSL_DECODER_CTX_set_passphrase_cb(ctx, no_passphrase, NULL) == 1)
        (void)OSSL_DECODER_from_data(ctx, &at, &left);
    OSSL_DECODER_CTX_free(ctx);
    ERR_clear_error();
    return pkey;
}

static bool is_p384(const EVP_PKEY *pkey)
{
    char group[32];

    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
           !strcmp(group, "secp384r1");
}

static bool coordinate(const EVP_PKEY *pkey, const char *name, uint8_t out[P384_BYTES])
{
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 &&
              BN_bn2binpad(n, out, P384_BYTES) == (int)P384_BYTES;

    BN_clear_free(n);
    return ok;
}

static enum attest_status not_a_key(const char *path, EVP_PKEY *pkey, bool secret,
                                    struct attest_error *err)
{
    EVP_PKEY_free(pkey);
    return attest_fail(err, ATTEST_E_FORMAT, path,
                       "this is no %sP-384 key (PEM or DER, not encrypted)",
                       secret ? "private " : "");
}

static enum attest_status load_private(struct p384_key *key, struct attest_span from,
                                       const char *path, struct attest_error *err)
{
    EVP_PKEY *pkey = decode_key(from, EVP_PKEY_KEYPAIR);
    uint8_t d[P384_BYTES];
    bool ok = pkey && is_p384(pkey) && coordinate(pkey, OSSL_PKEY_PARAM_PRIV_KEY, d) &&
              p384_from_scalar(key, d);

    wipe(d, sizeof(d));
    if (!ok)
        return not_a_key(path, pkey, true, err);
    EVP_PKEY_free(pkey);
    return ATTEST_OK;
}

static enum attest_status load_public(struct p384_public *pub, struct attest_span from,
                                      const char *path, struct attest_error *err)
{
    EVP_PKEY *pkey = decode_key(from, EVP_PKEY_PUBLIC_KEY);

    if (!pkey) /* a private key has a public half */
        pkey = decode_key(from, EVP_PKEY_KEYPAIR);
    if (!pkey || !is_p384(pkey) || !coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_X, pub->x) ||
        !coordinate(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, pub->y) || !p384_valid(pub))
        return not_a_key(path, pkey, false, err);
    EVP_PKEY_free(pkey);
    return ATTEST_OK;
}

/* ---- the firmware's form -----------------------------------------------------------------------
 */

static void reversed(uint8_t *to, const uint8_t *from)
{
    for (unsigned i = 0; i < P384_BYTES; i++)
        to[i] = from[P384_BYTES - 1 - i];
}

static bool high_bytes_zero(const uint8_t number[72])
{
    return all_zero(number + P384_BYTES, 72 - P384_BYTES);
}

static void put_key(struct id_key *to, const struct p384_public *pub)
{
    *to = (struct id_key){.curve = ID_CURVE_P384};
    reversed(to->qx, pub->x);
    reversed(to->qy, pub->y);
}

static bool get_key(struct p384_public *pub, const struct id_key *from)
{
    if (from->curve != ID_CURVE_P384 || !high_bytes_zero(from->qx) || !high_bytes_zero(from->qy))
        return false;
    reversed(pub->x, from->qx);
    reversed(pub->y, from->qy);
    return p384_valid(pub);
}

static bool sign(struct id_signature *to, const struct p384_key *key, const void *msg, size_t len)
{
    struct p384_signature sig;

    if (!p384_sign(key, DIGEST_SHA384, msg, len, &sig))
        return false;
    *to = (struct id_signature){0};
    reversed(to->r, sig.r);
    reversed(to->s, sig.s);
    return true;
}

static bool signature_is_good(const struct id_signature *from, const struct id_key *by,
                              const void *msg, size_t len)
{
    struct p384_signature sig;
    struct p384_public pub;

    if (!get_key(&pub, by) || !high_bytes_zero(from->r) || !high_bytes_zero(from->s))
        return false;
    reversed(sig.r, from->r);
    reversed(sig.s, from->s);
    return p384_verify(&pub, DIGEST_SHA384, msg, len, &sig);
}

/* ---- blocks ------------------------------------------------------------------------------------
 */

void attest_id_block_encode(uint8_t bytes[ATTEST_ID_BLOCK_BYTES],
                            const struct attest_id_block *block)
{
    struct id_block b = {
        .version = block->version, .guest_svn = block->guest_svn, .policy = block->policy};

    memcpy(b.ld, block->measurement, sizeof(b.ld));
    memcpy(b.family_id, block->family_id, sizeof(b.family_id));
    memcpy(b.image_id, block->image_id, sizeof(b.image_id));
    memcpy(bytes, &b, sizeof(b));
}

void attest_id_block_decode(struct attest_id_block *block,
                            const uint8_t bytes[ATTEST_ID_BLOCK_BYTES])
{
    struct id_block b;

    memcpy(&b, bytes, sizeof(b));
    *block = (struct attest_id_block){
        .version = b.version, .guest_svn = b.guest_svn, .policy = b.policy};
    memcpy(block->measurement, b.ld, sizeof(b.ld));
    memcpy(block->family_id, b.family_id, sizeof(b.family_id));
    memcpy(block->image_id, b.image_id, sizeof(b.image_id));
}

static enum attest_status add_author(struct id_auth *a, struct attest_span author_key,
                                     struct attest_error *err)
{
    struct p384_key key = {0};
    enum attest_status s = load_private(&key, author_key, "author_key", err);

    if (s == ATTEST_OK) {
        a->auth_key_algo = ID_ALGO_ECDSA_P384_SHA384;
        put_key(&a->author_key, &key.pub);
        if (!sign(&a->id_key_sig, &key, &a->id_key, sizeof(a->id_key)))
            s = attest_fail(err, ATTEST_E_CRYPTO, "author_key", "libcrypto cannot sign with it");
    }
    wipe(&key, sizeof(key));
    return s;
}

enum attest_status attest_id_auth_make(uint8_t auth[ATTEST_ID_AUTH_BYTES],
                                       const uint8_t block[ATTEST_ID_BLOCK_BYTES],
                                       struct attest_span id_key, struct attest_span author_key,
                                       struct attest_error *err)
{
    struct id_auth a = {.id_key_algo = ID_ALGO_ECDSA_P384_SHA384};
    struct p384_key key = {0};
    enum attest_status s = load_private(&key, id_key, "id_key", err);

    if (s == ATTEST_OK) {
        put_key(&a.id_key, &key.pub);
        if (!sign(&a.id_block_sig, &key, block, ATTEST_ID_BLOCK_BYTES))
            s = attest_fail(err, ATTEST_E_CRYPTO, "id_key", "libcrypto cannot sign with it");
    }
    wipe(&key, sizeof(key));
    if (s == ATTEST_OK && author_key.at)
        s = add_author(&a, author_key, err);
    if (s == ATTEST_OK)
        memcpy(auth, &a, sizeof(a));
    return s;
}

enum attest_status attest_id_auth_check(const uint8_t auth[ATTEST_ID_AUTH_BYTES],
                                        const uint8_t block[ATTEST_ID_BLOCK_BYTES],
                                        uint8_t id_digest[ATTEST_KEY_DIGEST_BYTES],
                                        uint8_t author_digest[ATTEST_KEY_DIGEST_BYTES],
                                        bool *by_author, struct attest_error *err)
{
    struct id_auth a;

    memcpy(&a, auth, sizeof(a));
    *by_author = a.auth_key_algo != 0;
    if (a.id_key_algo != ID_ALGO_ECDSA_P384_SHA384 ||
        (*by_author && a.auth_key_algo != ID_ALGO_ECDSA_P384_SHA384))
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "id_auth.algorithm",
                           "algorithms %u and %u; known is 1, ECDSA P-384 with SHA-384",
                           a.id_key_algo, a.auth_key_algo);
    if (!signature_is_good(&a.id_block_sig, &a.id_key, block, ATTEST_ID_BLOCK_BYTES))
        return attest_fail(err, ATTEST_E_CRYPTO, "id_auth.id_block_sig",
                           "the ID key did not sign this ID block");
    if (*by_author && !signature_is_good(&a.id_key_sig, &a.author_key, &a.id_key, sizeof(a.id_key)))
        return attest_fail(err, ATTEST_E_CRYPTO, "id_auth.id_key_sig",
                           "the author's key did not sign this ID key");
    memset(author_digest, 0, ATTEST_KEY_DIGEST_BYTES);
    if (!sha384(id_digest, &a.id_key, sizeof(a.id_key)) ||
        (*by_author && !sha384(author_digest, &a.author_key, sizeof(a.author_key))))
        return NO_MEMORY(err);
    return ATTEST_OK;
}

enum attest_status attest_id_key_digest(uint8_t digest[ATTEST_KEY_DIGEST_BYTES],
                                        struct attest_span key, struct attest_error *err)
{
    struct p384_public pub = {0};
    struct id_key form;
    enum attest_status s = load_public(&pub, key, "key", err);

    if (s != ATTEST_OK)
        return s;
    put_key(&form, &pub);
    return sha384(digest, &form, sizeof(form)) ? ATTEST_OK : NO_MEMORY(err);
}
