/* Buffers of the SEV API as memory shows them, and the computations on them that tests look at. */
#ifndef LUCCA_ATTEST_OWNER_H
#define LUCCA_ATTEST_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "lucca/owner.h"

/* LAUNCH_START's session buffer. */
struct session {
    uint8_t nonce[16];
    uint8_t wrap_tk[32]; /* TEK, TIK under the key encryption key */
    uint8_t wrap_iv[16];
    uint8_t wrap_mac[32];
    uint8_t policy_mac[32];
};

/* LAUNCH_SECRET's packet header. */
struct secret_header {
    uint32_t flags;
    uint8_t iv[16];
    uint8_t mac[32];
};

/* Fills in the rest of a session with nonce and IV. `z`: what both sides agreed on, big-endian. */
bool session_wrap(struct session *s, const void *z, size_t z_len, const uint8_t tek[16],
                  const uint8_t tik[16], uint32_t policy) MUST_USE;
/* HMAC of LAUNCH_MEASURE. */
bool launch_measure(uint8_t mac[32], const uint8_t tik[16], const struct attest_launch_facts *f,
                    const uint8_t nonce[16]) MUST_USE;

#endif
