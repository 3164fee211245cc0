/* SHA-2, HMAC-SHA-256 and the SEV key derivation function, over libcrypto's EVP. */
#include "crypto/digest.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

struct digest {
    EVP_MD_CTX *ctx;
    bool broken; /* libcrypto refused a piece: digest_peek says so */
};

static const EVP_MD *md_of(enum digest_id id)
{
    return id == DIGEST_SHA384 ? EVP_sha384() : EVP_sha256();
}

bool sha256(uint8_t out[SHA256_BYTES], const void *bytes, size_t len)
{
    return EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1;
}

bool sha384(uint8_t out[SHA384_BYTES], const void *bytes, size_t len)
{
    return EVP_Digest(bytes, len, out, NULL, EVP_sha384(), NULL) == 1;
}

struct digest *digest_new(enum digest_id id)
{
    struct digest *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, md_of(id), NULL) != 1) {
        digest_free(d);
        return NULL;
    }
    return d;
}

struct digest *digest_copy(const struct digest *d)
{
    struct digest *copy = calloc(1, sizeof(*copy));

    if (!copy)
        return NULL;
    copy->broken = d->broken;
    copy->ctx = EVP_MD_CTX_new();
    if (!copy->ctx || EVP_MD_CTX_copy_ex(copy->ctx, d->ctx) != 1) {
        digest_free(copy);
        return NULL;
    }
    return copy;
}

void digest_free(struct digest *d)
{
    if (d)
        EVP_MD_CTX_free(d->ctx);
    free(d);
}

void digest_feed(struct digest *d, const void *bytes, size_t len)
{
    if (EVP_DigestUpdate(d->ctx, bytes, len) != 1)
        d->broken = true;
}

bool digest_peek(const struct digest *d, uint8_t *out)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok = !d->broken && copy && EVP_MD_CTX_copy_ex(copy, d->ctx) == 1 &&
              EVP_DigestFinal_ex(copy, out, NULL) == 1;

    EVP_MD_CTX_free(copy);
    return ok;
}

bool digest_finish(struct digest *d, uint8_t *out)
{
    bool ok = !d->broken && EVP_DigestFinal_ex(d->ctx, out, NULL) == 1;

    d->broken = EVP_DigestInit_ex(d->ctx, NULL, NULL) != 1;
    return ok;
}

static bool mac_pieces(EVP_MAC_CTX *ctx, uint8_t out[SHA256_BYTES], const void *key, size_t key_len,
                       const struct piece *pieces, size_t n)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    size_t len;

    if (!EVP_MAC_init(ctx, key, key_len, params))
        return false;
    for (size_t i = 0; i < n; i++)
        if (pieces[i].len && !EVP_MAC_update(ctx, pieces[i].bytes, pieces[i].len))
            return false;
    return EVP_MAC_final(ctx, out, &len, SHA256_BYTES) && len == SHA256_BYTES;
}

bool hmac_sha256(uint8_t out[SHA256_BYTES], const void *key, size_t key_len,
                 const struct piece *pieces, size_t n)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    bool ok = ctx && mac_pieces(ctx, out, key, key_len, pieces, n);

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return ok;
}

bool sev_kdf(uint8_t *out, size_t len, const void *key, size_t key_len, const char *label,
             const void *context, size_t context_len)
{
    uint8_t counter[4], bits[4], block[SHA256_BYTES];
    const struct piece pieces[] = {
        {counter, sizeof(counter)},
        {label, strlen(label) + 1}, /* its NUL is the separator */
        {context, context_len},
        {bits, sizeof(bits)},
    };

    store32(bits, (uint32_t)len * 8);
    for (uint32_t i = 1; len; i++) {
        size_t n = MIN(len, sizeof(block));

        store32(counter, i);
        if (!hmac_sha256(block, key, key_len, pieces, COUNT(pieces)))
            return false;
        memcpy(out, block, n);
        out += n;
        len -= n;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return true;
}

bool equal_bytes(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
