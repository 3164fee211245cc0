/* RSA-4096 with PSS (SHA-384, salt as long as the digest): the keys at AMD's root. */
#ifndef LUCCA_CRYPTO_RSA_H
#define LUCCA_CRYPTO_RSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RSA4096_BYTES   512u
#define RSA4096_DER_MAX 2560u

struct rsa4096_public {
    uint8_t n[RSA4096_BYTES]; /* big-endian */
    uint8_t e[RSA4096_BYTES];
};

/* A private key as PKCS #8, secret. */
struct rsa4096_key {
    uint8_t der[RSA4096_DER_MAX];
    size_t len;
    struct rsa4096_public pub;
};

bool rsa4096_generate(struct rsa4096_key *key) MUST_USE; /* takes seconds */
/* Fills `pub`; false where `der` is no 4096-bit RSA key. */
bool rsa4096_load(struct rsa4096_key *key, const uint8_t *der, size_t len) MUST_USE;
bool rsa4096_sign(const struct rsa4096_key *key, const void *msg, size_t len,
                  uint8_t sig[RSA4096_BYTES]) MUST_USE; /* big-endian */
bool rsa4096_verify(const struct rsa4096_public *pub, const void *msg, size_t len,
                    const uint8_t sig[RSA4096_BYTES]) MUST_USE;

#endif
