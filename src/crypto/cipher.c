/* AES-128-CTR, AES-256-GCM and random bytes, over libcrypto's EVP. */
#include "crypto/cipher.h"

#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

/* EVP counts in int; feed it what fits. */
static bool update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t len)
{
    while (len) {
        size_t n = MIN(len, (size_t)1 << 30);
        int done;

        if (EVP_CipherUpdate(ctx, to, &done, from, (int)n) != 1 || (size_t)done != n)
            return false;
        from += n;
        if (to) /* NULL: associated data, which has no output */
            to += n;
        len -= n;
    }
    return true;
}

bool aes128_ctr(const uint8_t key[16], const uint8_t iv[16], void *to, const void *from, size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ok = ctx && EVP_CipherInit_ex(ctx, EVP_aes_128_ctr(), NULL, key, iv, 1) == 1 &&
              update(ctx, to, from, len);

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool aes256_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aad_len,
                     void *to, const void *from, size_t len, uint8_t tag[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int n;
    bool ok = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv, 1) == 1 &&
              update(ctx, NULL, aad, aad_len) && update(ctx, to, from, len) &&
              EVP_CipherFinal_ex(ctx, rest, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool aes256_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aad_len,
                     void *to, const void *from, size_t len, const uint8_t tag[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t rest[16], want[16];
    int n;
    bool ok;

    memcpy(want, tag, sizeof(want));
    ok = ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv, 0) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, want) == 1 &&
         update(ctx, NULL, aad, aad_len) && update(ctx, to, from, len) &&
         EVP_CipherFinal_ex(ctx, rest, &n) == 1;
    if (!ok && len)
        memset(to, 0, len);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool random_bytes(void *to, size_t len)
{
    return len <= INT_MAX && RAND_bytes(to, (int)len) == 1;
}

void wipe(void *secret, size_t len)
{
    OPENSSL_cleanse(secret, len);
}
