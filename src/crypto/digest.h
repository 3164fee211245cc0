/* SHA-2, HMAC-SHA-256 and the SEV key derivation function. */
#ifndef LUCCA_CRYPTO_DIGEST_H
#define LUCCA_CRYPTO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SHA256_BYTES 32u
#define SHA384_BYTES 48u

enum digest_id { DIGEST_SHA256, DIGEST_SHA384 };

/* False where libcrypto is out of memory; nothing else can go wrong. */
bool sha256(uint8_t out[SHA256_BYTES], const void *bytes, size_t len) MUST_USE;
bool sha384(uint8_t out[SHA384_BYTES], const void *bytes, size_t len) MUST_USE;

/* A digest that is fed over time. */
struct digest;
struct digest *digest_new(enum digest_id id) MUST_USE;       /* NULL: out of memory */
struct digest *digest_copy(const struct digest *d) MUST_USE; /* which goes on by itself */
void digest_free(struct digest *d);
void digest_feed(struct digest *d, const void *bytes, size_t len);
/* The digest of what has been fed so far; feeding may go on. `out`: as many bytes as `id` has. */
bool digest_peek(const struct digest *d, uint8_t *out) MUST_USE;
/* The same, and what is fed from then on is another message: for many short ones. */
bool digest_finish(struct digest *d, uint8_t *out) MUST_USE;

/* A message in pieces. */
struct piece {
    const void *bytes;
    size_t len;
};
bool hmac_sha256(uint8_t out[SHA256_BYTES], const void *key, size_t key_len,
                 const struct piece *pieces, size_t n) MUST_USE;

/* SEV API: HMAC(key; i || label || 00 || context || L) for i = 1, 2 .., truncated; i and L (the
 * output's bits) are 32-bit LITTLE-endian, unlike the examples of NIST SP 800-108. len <= 8192. */
bool sev_kdf(uint8_t *out, size_t len, const void *key, size_t key_len, const char *label,
             const void *context, size_t context_len) MUST_USE;

/* In time that does not depend on where they differ. */
bool equal_bytes(const void *a, const void *b, size_t len) MUST_USE;

#endif
