/* SNP_LAUNCH_FINISH's pages as memory shows them (SEV-SNP ABI, "ID block", "ID authentication"). */
#ifndef LUCCA_ATTEST_IDBLOCK_H
#define LUCCA_ATTEST_IDBLOCK_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct id_block {
    uint8_t ld[48];
    uint8_t family_id[16], image_id[16];
    uint32_t version, guest_svn;
    uint64_t policy;
};
static_assert(offsetof(struct id_block, version) == 0x50, "SEV-SNP ABI, ID block");
static_assert(sizeof(struct id_block) == 0x60, "SEV-SNP ABI, ID block");

#define ID_ALGO_ECDSA_P384_SHA384 1u
#define ID_CURVE_P384             2u

/* Numbers are little-endian and fill 72 bytes, of which P-384 uses 48. */
struct id_key {
    uint32_t curve;
    uint8_t qx[72], qy[72];
    uint8_t reserved[0x404 - 4 - 2 * 72];
};
static_assert(sizeof(struct id_key) == 0x404, "SEV-SNP ABI, ECDSA P-384 public key");

struct id_signature {
    uint8_t r[72], s[72];
    uint8_t reserved[0x200 - 2 * 72];
};
static_assert(sizeof(struct id_signature) == 0x200, "SEV-SNP ABI, ECDSA P-384 signature");

struct id_auth {
    uint32_t id_key_algo, auth_key_algo;
    uint8_t reserved_008[0x38];
    struct id_signature id_block_sig;
    struct id_key id_key;
    uint8_t reserved_644[0x3C];
    struct id_signature id_key_sig;
    struct id_key author_key;
    uint8_t reserved_c84[0x37C];
};
static_assert(offsetof(struct id_auth, id_block_sig) == 0x040, "SEV-SNP ABI, ID authentication");
static_assert(offsetof(struct id_auth, id_key) == 0x240, "SEV-SNP ABI, ID authentication");
static_assert(offsetof(struct id_auth, id_key_sig) == 0x680, "SEV-SNP ABI, ID authentication");
static_assert(offsetof(struct id_auth, author_key) == 0x880, "SEV-SNP ABI, ID authentication");
static_assert(sizeof(struct id_auth) == 0x1000, "SEV-SNP ABI, ID authentication");

#endif
