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

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/digest.h"
#include "crypto/ecc.h"
#include "silicon/asp/identity.h"
#include "silicon/asp/tcb.h"
#include "silicon/snp_abi.h"

#define VCEK_HASH_BYTES SHA384_BYTES
#define VLEK_HASHES     SNP_VLEK_HASHES

/* All false only where libcrypto fails. */
bool hash_sticks(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb,
                 uint8_t sticks[TCB_BYTES][VCEK_HASH_BYTES]) MUST_USE;
/* The last of the sticks: root of the VCEK and of derived keys. */
bool vcek_hash(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb,
               uint8_t hash[VCEK_HASH_BYTES]) MUST_USE;
bool vcek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key) MUST_USE;
/* Of the last of the loaded hashes. */
bool vlek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key) MUST_USE;

/* The wrapping key is VCEK's relative: KDF(vcek_hash, "vlek-wrapping-key"). */
bool vlek_wrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t tcb,
               const uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES], struct snp_vlek *out) MUST_USE;
enum vlek_unwrapped { VLEK_GOOD, VLEK_BAD_TCB, VLEK_BAD_TAG, VLEK_FAILED /* libcrypto */ };
enum vlek_unwrapped vlek_unwrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t reported_tcb,
                                const struct snp_vlek *in,
                                uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES]) MUST_USE;

#endif
