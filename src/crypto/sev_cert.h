/* AMD's binary certificates: sev_cert (CEK, OCA, PEK, PDH) and amd_cert (ARK, ASK), as in the
 * appendices of the SEV API. All numbers are little-endian. They carry no names and no dates. */
#ifndef LUCCA_CRYPTO_SEV_CERT_H
#define LUCCA_CRYPTO_SEV_CERT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/ecc.h"
#include "crypto/rsa.h"

enum sev_usage {
    USAGE_ARK = 0x0000,
    USAGE_ASK = 0x0013,
    USAGE_NONE = 0x1000, /* an empty signature slot */
    USAGE_OCA = 0x1001,
    USAGE_PEK = 0x1002,
    USAGE_PDH = 0x1003,
    USAGE_CEK = 0x1004,
};

enum sev_algo {
    ALGO_NONE = 0x0000,
    ALGO_RSA_SHA256 = 0x0001,
    ALGO_ECDSA_SHA256 = 0x0002,
    ALGO_ECDH_SHA256 = 0x0003,
    ALGO_RSA_SHA384 = 0x0101,
    ALGO_ECDSA_SHA384 = 0x0102,
    ALGO_ECDH_SHA384 = 0x0103,
};

#define SEV_CURVE_P384 2u

struct sev_cert_sig {
    uint32_t usage; /* of the key that signed: enum sev_usage */
    uint32_t algo;  /* enum sev_algo */
    uint8_t sig[0x200];
};

struct sev_cert {
    uint32_t version; /* 1 */
    uint8_t api_major, api_minor;
    uint16_t reserved;
    uint32_t usage, algo;
    uint8_t pubkey[0x404]; /* EC: curve, QX[72], QY[72], zeros */
    struct sev_cert_sig sigs[2];
};
static_assert(offsetof(struct sev_cert, pubkey) == 0x010, "SEV API, certificates");
static_assert(offsetof(struct sev_cert, sigs) == 0x414, "SEV API, certificates");
static_assert(sizeof(struct sev_cert) == 0x824, "SEV API, certificates");

#define SEV_CERT_BODY offsetof(struct sev_cert, sigs) /* the bytes that signatures cover */

struct amd_cert {
    uint32_t version; /* 1 */
    uint8_t key_id[16], signer_id[16];
    uint32_t usage;
    uint8_t reserved[16];
    uint32_t exponent_bits, modulus_bits; /* 4096: other sizes are not made here */
    uint8_t exponent[RSA4096_BYTES], modulus[RSA4096_BYTES], sig[RSA4096_BYTES];
};
static_assert(offsetof(struct amd_cert, exponent_bits) == 0x38, "SEV API, AMD certificates");
static_assert(sizeof(struct amd_cert) == 0x640, "SEV API, AMD certificates");

/* What a check of a certificate finds; the SEV status codes of the same name. */
enum cert_verdict { CERT_GOOD, CERT_INVALID, CERT_BAD_SIGNATURE };

/* A version 1 body with both slots empty. */
void sev_cert_make(struct sev_cert *cert, enum sev_usage usage, enum sev_algo algo,
                   uint8_t api_major, uint8_t api_minor, const struct p384_public *pub);
/* False where the key is not P-384 or not a point of it. */
bool sev_cert_public(const struct sev_cert *cert, struct p384_public *pub) MUST_USE;
bool sev_cert_sign(struct sev_cert *cert, unsigned slot, enum sev_usage signer,
                   const struct p384_key *key) MUST_USE; /* ECDSA-SHA256 */
bool sev_cert_sign_by_ask(struct sev_cert *cert, unsigned slot,
                          const struct rsa4096_key *ask) MUST_USE;

/* Is `cert` well-formed and signed by `signer`, and may a key of that usage sign it? */
enum cert_verdict sev_cert_verify(const struct sev_cert *cert,
                                  const struct sev_cert *signer) MUST_USE;
enum cert_verdict sev_cert_verify_by_ask(const struct sev_cert *cert,
                                         const struct amd_cert *ask) MUST_USE;

void amd_cert_make(struct amd_cert *cert, enum sev_usage usage, const uint8_t key_id[16],
                   const uint8_t signer_id[16], const struct rsa4096_public *pub);
bool amd_cert_sign(struct amd_cert *cert, const struct rsa4096_key *signer) MUST_USE;
/* ARK by itself, ASK by ARK: usages, key ids and the signature (PSS, SHA-384). */
enum cert_verdict amd_cert_verify(const struct amd_cert *cert,
                                  const struct amd_cert *signer) MUST_USE;

#endif
