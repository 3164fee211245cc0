/* Attestation keys. A chip's secret and a TCB version give the VCEK; hashes that the host loads
 * give the VLEK (SEV-SNP ABI, VCEK and VLEK).
 *
 * "Hash sticks": each byte i of TCB_VERSION, in the order of the bytes, shortens a chain of
 * SHA-384: d_i = base_i hashed 255 - svn_i times; stick_i = SHA-384(d_i); base_(i+1) = SHA-384(0[8]
 * || d_i) with base_0 the chip's secret. Firmware of one TCB can so compute what older ones had,
 * and never what newer ones have. AMD publishes no order for Turin, whose first byte is FMC's: here
 * it is that of the bytes as well.
 */
#ifndef LUCCA_SILICON_ASP_VCEK_H
#define LUCCA_SILICON_ASP_VCEK_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/digest.h"
#include "crypto/ecc.h"
#include "silicon/asp/identity.h"
#include "silicon/asp/tcb.h"

#define VCEK_HASH_BYTES SHA384_BYTES
#define VLEK_HASHES     TCB_BYTES

/* All false only where libcrypto fails. */
bool hash_sticks(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb,
                 uint8_t sticks[TCB_BYTES][VCEK_HASH_BYTES]) MUST_USE;
/* The last of the sticks: root of the VCEK and of derived keys. */
bool vcek_hash(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb,
               uint8_t hash[VCEK_HASH_BYTES]) MUST_USE;
bool vcek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key) MUST_USE;
/* Of the last of the loaded hashes. */
bool vlek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key) MUST_USE;

/* VLEK_LOAD: hashes wrapped for one chip and TCB. */
struct vlek_hashstick {
    uint8_t iv[12], reserved[4];
    uint8_t wrapped[VLEK_HASHES][VCEK_HASH_BYTES];
    uint64_t tcb, reserved2;
    uint8_t tag[16];
};
static_assert(sizeof(struct vlek_hashstick) == 0x1B0, "SEV-SNP ABI, SNP_VLEK_LOAD");

/* The wrapping key is VCEK's relative: KDF(vcek_hash, "vlek-wrapping-key"). */
bool vlek_wrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t tcb,
               const uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES],
               struct vlek_hashstick *out) MUST_USE;
enum vlek_unwrapped { VLEK_GOOD, VLEK_BAD_TCB, VLEK_BAD_TAG, VLEK_FAILED /* libcrypto */ };
enum vlek_unwrapped vlek_unwrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t reported_tcb,
                                const struct vlek_hashstick *in,
                                uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES]) MUST_USE;

#endif
