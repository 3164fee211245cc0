/* P-384: key agreement and signatures. Keys are values; all numbers are big-endian bytes. */
#ifndef LUCCA_CRYPTO_ECC_H
#define LUCCA_CRYPTO_ECC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/digest.h"

#define P384_BYTES 48u

struct p384_public {
    uint8_t x[P384_BYTES], y[P384_BYTES];
};

struct p384_key {
    uint8_t d[P384_BYTES]; /* secret */
    struct p384_public pub;
};

struct p384_signature {
    uint8_t r[P384_BYTES], s[P384_BYTES];
};

bool p384_generate(struct p384_key *key) MUST_USE;
/* False where `d` is not in 1 .. n-1. */
bool p384_from_scalar(struct p384_key *key, const uint8_t d[P384_BYTES]) MUST_USE;
/* FIPS 186-4, B.4.1: d = (c mod (n-1)) + 1, `c` a LITTLE-endian number of `len` bytes. */
bool p384_from_extra_bits(struct p384_key *key, const uint8_t *c, size_t len) MUST_USE;
/* On the curve, and not the point at infinity. */
bool p384_valid(const struct p384_public *pub) MUST_USE;

bool p384_sign(const struct p384_key *key, enum digest_id digest, const void *msg, size_t len,
               struct p384_signature *sig) MUST_USE;
/* False for a wrong signature, and for a key that is no point of the curve. */
bool p384_verify(const struct p384_public *pub, enum digest_id digest, const void *msg, size_t len,
                 const struct p384_signature *sig) MUST_USE;

/* Z: the x coordinate of d * peer. False where the peer's key is no point of the curve. */
bool p384_agree(const struct p384_key *key, const struct p384_public *peer,
                uint8_t z[P384_BYTES]) MUST_USE;

/* The point of secp256k1 that names a chip: d = (c mod (n-1)) + 1 as above, times the generator. */
bool secp256k1_point(const uint8_t *c, size_t len, uint8_t x[32], uint8_t y[32]) MUST_USE;

#endif
