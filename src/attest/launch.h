/* A launch as a list of what the firmware is given, in order; and its digest. The same list comes
 * from the inputs of a hypervisor's command line and from a launch image, so that any two of them
 * can be compared. */
#ifndef LUCCA_ATTEST_LAUNCH_H
#define LUCCA_ATTEST_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/digest.h"
#include "lucca/measure.h"

#define LAUNCH_PIECES_MAX (ATTEST_VCPUS_MAX + 4096u)
#define LAUNCH_BYTES_MAX  (UINT64_C(1) << 40) /* an hour of hashing is an attack */
#define HASH_TABLE_BYTES  0xB0u
#define PAGE_BYTES        0x1000u

struct attest_image {
    enum attest_mode mode;
    bool seeded; /* the first pieces are already in `seed` */
    uint8_t seed[ATTEST_SNP_DIGEST_BYTES];
    struct attest_piece *piece;
    unsigned pieces, room;
    uint64_t bytes; /* of all pieces */
    unsigned vmsas; /* the last so many pieces are the vCPUs' */
    /* pages that pieces point to */
    uint8_t bsp[ATTEST_VMSA_BYTES], ap[ATTEST_VMSA_BYTES], hashes[PAGE_BYTES];
};

/* SHA-256 of what is booted without being in the firmware. */
struct kernel_hashes {
    uint8_t cmdline[SHA256_BYTES], initrd[SHA256_BYTES], kernel[SHA256_BYTES];
};
bool kernel_hashes_of(struct kernel_hashes *h, const struct attest_launch *in) MUST_USE;
/* QEMU's table of them, with its padding. */
void hash_table_make(uint8_t table[HASH_TABLE_BYTES], const struct kernel_hashes *h);

/* Lays out the launch of `in`. `hashes`: what kernel_hashes_of() gives, or NULL to compute it.
 * Pieces point into `in`'s bytes and into the launch itself. */
enum attest_status image_of(struct attest_image **out, const struct attest_launch *in,
                            const struct kernel_hashes *hashes, struct attest_error *err) MUST_USE;
/* An empty one, for image_add(). */
struct attest_image *image_new(enum attest_mode mode) MUST_USE;
enum attest_status image_add(struct attest_image *l, const struct attest_piece *p,
                             struct attest_error *err) MUST_USE;

size_t digest_bytes(enum attest_mode mode);
/* Is the mode one whose digest is a chain of pages (SNP)? */
bool mode_is_snp(enum attest_mode mode);

/* The chain of page digests. `contents`: SHA-384 of the page, or NULL where it is not measured. */
bool chain_page(uint8_t ld[ATTEST_SNP_DIGEST_BYTES], const struct attest_piece *p, uint64_t gpa,
                const uint8_t *contents) MUST_USE;
/* All pages of a piece. */
bool chain_piece(uint8_t ld[ATTEST_SNP_DIGEST_BYTES], const struct attest_piece *p) MUST_USE;
bool piece_is_measured(const struct attest_piece *p);

#endif
