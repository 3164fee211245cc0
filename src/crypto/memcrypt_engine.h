/* Between memcrypt.c and its engines. */
#ifndef LUCCA_CRYPTO_MEMCRYPT_ENGINE_H
#define LUCCA_CRYPTO_MEMCRYPT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XEX over `blocks` consecutive blocks; `tweak` is that of the first one. */
typedef void memcrypt_run_fn(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to,
                             const uint8_t *from, size_t blocks);

struct memcrypt_ops {
    const char *name;
    void (*encrypt_block)(const uint8_t keys[11][16], uint8_t to[16], const uint8_t from[16]);
    memcrypt_run_fn *encrypt, *decrypt;
};

/* NULL where the machine lacks the instructions. */
const struct memcrypt_ops *memcrypt_aesni(void);
const struct memcrypt_ops *memcrypt_vaes(void);

#endif
