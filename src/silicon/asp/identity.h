/* The keys and certificates that make a platform one of its own (SEV API, key management), and the
 * sealed form in which they outlast a power cycle.
 *
 *     chip secret --KDF--> CEK, chip unique for ever; AMD's ASK vouches for it
 *     OCA, self-signed: the owner's, or the platform's own
 *     PEK, signed by OCA and CEK --signs--> PDH, with which guests' owners agree on keys
 */
#ifndef LUCCA_SILICON_ASP_IDENTITY_H
#define LUCCA_SILICON_ASP_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/sev_cert.h"
#include "silicon/asp_abi.h"
#include "silicon/chip.h"

#define CHIP_SECRET_BYTES 48u

/* A value: a command prepares a whole new one and takes it in one assignment. */
struct identity {
    struct p384_key cek, oca, pek, pdh; /* `oca` is all zero under external ownership */
    struct sev_cert cek_cert, oca_cert, pek_cert, pdh_cert;
    bool external; /* the OCA is someone else's */
};

/* All four make what they can from nothing but `secret` and random bytes; false: libcrypto failed.
 */
bool identity_derive_cek(struct identity *id, const struct chip *chip,
                         const uint8_t secret[CHIP_SECRET_BYTES]) MUST_USE;
bool identity_new_pek(struct identity *id, const struct chip *chip) MUST_USE; /* OCA, PEK, PDH */
bool identity_new_pdh(struct identity *id, const struct chip *chip) MUST_USE;
/* The 64 bytes of GET_ID: a point of secp256k1, x then y, big-endian. */
bool identity_chip_id(const uint8_t secret[CHIP_SECRET_BYTES], uint8_t out[SEV_ID_BYTES]) MUST_USE;

/* The persistent store, encrypted and authenticated under the chip secret. */
enum unsealed {
    STORE_GOOD,
    STORE_EMPTY,  /* all ones, as erased flash reads */
    STORE_BROKEN, /* not what this chip wrote */
};
bool identity_seal(const struct identity *id, const uint8_t secret[CHIP_SECRET_BYTES],
                   uint8_t area[SEV_NV_BYTES]) MUST_USE;
/* Fills OCA, PEK and PDH; `id` is unchanged unless STORE_GOOD. */
enum unsealed identity_unseal(struct identity *id, const uint8_t secret[CHIP_SECRET_BYTES],
                              const uint8_t area[SEV_NV_BYTES]) MUST_USE;

#endif
