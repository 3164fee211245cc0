/* Every memory encryption engine of this machine against libcrypto's AES-128-XTS. */
#include "base/bytes.h"
#include "crypto/memcrypt.h"
#include "crypto/openssl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FRAME 4096

static const uint8_t seed[32] = {
    0xC3, 0x09, 0x5E, 0x1B, 0xF8, 0x77, 0x20, 0xD4, 0x6A, 0x31, 0x9C, 0xE5, 0x0F, 0x82, 0x4D, 0xB6,
    0x18, 0xA1, 0x7F, 0xEC, 0x53, 0x0A, 0xD9, 0x64, 0xBE, 0x27, 0x90, 0x3C, 0xF1, 0x48, 0x85, 0x6E,
};

static void xts(uint64_t frame, uint8_t to[FRAME], const uint8_t from[FRAME])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t iv[16] = {0};
    int n;

    store64(iv, frame);
    assert_true(EVP_EncryptInit_ex(ctx, EVP_aes_128_xts(), NULL, seed, iv));
    assert_true(EVP_EncryptUpdate(ctx, to, &n, from, FRAME));
    EVP_CIPHER_CTX_free(ctx);
}

static void engine_agrees_with_libcrypto(enum memcrypt_engine engine)
{
    static const uint64_t frames[] = {0, 1, 0xFFFFF, 0xFFFFFFFFFF, UINT64_MAX};
    uint8_t plain[FRAME], want[FRAME], got[FRAME + 16];
    struct memcrypt_key key;

    if (!memcrypt_use(engine))
        skip();
    memcrypt_key_init(&key, seed);
    for (unsigned i = 0; i < FRAME; i++)
        plain[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t f = 0; f < COUNT(frames); f++) {
        xts(frames[f], want, plain);
        /* every start and many lengths: whole groups, tails, and tails alone */
        for (unsigned first = 0; first < 256; first += first < 20 ? 1 : 59)
            for (unsigned n = 0; n <= 256 - first; n += n < 40 ? 1 : 43) {
                memset(got, 0xEE, sizeof(got));
                memcrypt_encrypt(&key, frames[f], first, n, got, plain + 16 * first);
                assert_memory_equal(got, want + 16 * first, 16 * n);
                assert_int_equal(got[16 * n], 0xEE);
                memcrypt_decrypt(&key, frames[f], first, n, got, got); /* in place */
                assert_memory_equal(got, plain + 16 * first, 16 * n);
                assert_int_equal(got[16 * n], 0xEE);
            }
    }
}

static void portable_engine(void **state)
{
    engine_agrees_with_libcrypto(MEMCRYPT_PORTABLE);
}

static void aesni_engine(void **state)
{
    engine_agrees_with_libcrypto(MEMCRYPT_AESNI);
}

static void vaes_engine(void **state)
{
    engine_agrees_with_libcrypto(MEMCRYPT_VAES);
}

static void unaligned_buffers(void **state)
{
    uint8_t plain[FRAME], want[FRAME], room[FRAME + 64];
    struct memcrypt_key key;

    memset(plain, 0x5A, sizeof(plain));
    xts(3, want, plain);
    for (int engine = 0; engine < MEMCRYPT_ENGINES; engine++) {
        if (!memcrypt_use((enum memcrypt_engine)engine))
            continue;
        memcrypt_key_init(&key, seed);
        memcrypt_encrypt(&key, 3, 0, 256, room + 3, plain);
        assert_memory_equal(room + 3, want, FRAME);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portable_engine),
        cmocka_unit_test(aesni_engine),
        cmocka_unit_test(vaes_engine),
        cmocka_unit_test(unaligned_buffers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
