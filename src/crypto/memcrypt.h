/* What the memory controllers' AES engines do (APM2 15.34.1): AES-128 with a tweak that depends on
 * the system physical address.
 *
 * XEX: block j of a frame is C = E_k1(P ^ T_j) ^ T_j with T_j = E_k2(frame number) times alpha^j in
 * GF(2^128), polynomial x^128 + x^7 + x^2 + x + 1, little-endian as in IEEE 1619. Deterministic:
 * the same plaintext at the same address under the same key repeats; no freshness and no MAC.
 */
#ifndef LUCCA_CRYPTO_MEMCRYPT_H
#define LUCCA_CRYPTO_MEMCRYPT_H

#include <stdbool.h>
#include <stdint.h>

#define MEMCRYPT_BLOCK        16u
#define MEMCRYPT_FRAME_BLOCKS 256u /* 16-byte blocks in a 4 KiB frame */

/* Round keys: data key both ways (`dec` for the equivalent inverse cipher), tweak key one way. */
struct memcrypt_key {
    _Alignas(16) uint8_t enc[11][16];
    uint8_t dec[11][16];
    uint8_t tweak[11][16];
};

/* `seed`: the data key, then the tweak key. */
void memcrypt_key_init(struct memcrypt_key *key, const uint8_t seed[32]);

/* `blocks` blocks of `frame`, from block `first` on; first + blocks <= MEMCRYPT_FRAME_BLOCKS.
 * `to` may equal `from`. */
void memcrypt_encrypt(const struct memcrypt_key *key, uint64_t frame, unsigned first,
                      unsigned blocks, void *to, const void *from);
void memcrypt_decrypt(const struct memcrypt_key *key, uint64_t frame, unsigned first,
                      unsigned blocks, void *to, const void *from);

/* The best engine of this machine is chosen by itself; tests and benchmarks choose by hand. */
enum memcrypt_engine { MEMCRYPT_PORTABLE, MEMCRYPT_AESNI, MEMCRYPT_VAES, MEMCRYPT_ENGINES };
/* False, and nothing changed, where this machine has no such engine. */
bool memcrypt_use(enum memcrypt_engine engine);
const char *memcrypt_engine_name(void);

#endif
