/* Stream encryption of messages, and random bytes. (Memory encryption: memcrypt.h.) */
#ifndef LUCCA_CRYPTO_CIPHER_H
#define LUCCA_CRYPTO_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* AES-128-CTR; `iv` is the first 128-bit counter block, big-endian. Both directions. `to` may equal
 * `from`. */
bool aes128_ctr(const uint8_t key[16], const uint8_t iv[16], void *to, const void *from,
                size_t len) MUST_USE;

/* AES-256-GCM. `open` is false where the tag does not fit; `to` then holds zeros. */
bool aes256_gcm_seal(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aad_len,
                     void *to, const void *from, size_t len, uint8_t tag[16]) MUST_USE;
bool aes256_gcm_open(const uint8_t key[32], const uint8_t iv[12], const void *aad, size_t aad_len,
                     void *to, const void *from, size_t len, const uint8_t tag[16]) MUST_USE;

bool random_bytes(void *to, size_t len) MUST_USE;
/* Overwrites a secret; the compiler may not leave it out. */
void wipe(void *secret, size_t len);

#endif
