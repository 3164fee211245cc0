/* TCB versions: eight security patch levels in a u64, whose places differ from chip to chip
 * (SEV-SNP ABI, TCB_VERSION), and the versions that a chip runs.
 *
 *     byte            0            1            2    3         4, 5  6         7
 *     Milan, Genoa    boot loader  TEE          0    0         0     SNP       microcode
 *     Turin           FMC          boot loader  TEE  SNP       0     0         microcode
 */
#ifndef LUCCA_SILICON_ASP_TCB_H
#define LUCCA_SILICON_ASP_TCB_H

#include <stdbool.h>
#include <stdint.h>

#include "silicon/chip.h"

#define TCB_BYTES 8u

enum tcb_part { TCB_FMC, TCB_BOOTLOADER, TCB_TEE, TCB_SNP, TCB_MICROCODE, TCB_PARTS };

/* Which byte it is in; negative: this chip has no such part. */
int tcb_place(const struct chip *chip, enum tcb_part part);
/* 0 where the chip has no such part. */
uint8_t tcb_get(const struct chip *chip, uint64_t tcb, enum tcb_part part);
uint64_t tcb_set(const struct chip *chip, uint64_t tcb, enum tcb_part part, uint8_t level);

/* Are the bytes that are no part's zero? */
bool tcb_well_formed(const struct chip *chip, uint64_t tcb);
/* Well-formed, and no part above `limit`'s. */
bool tcb_within(const struct chip *chip, uint64_t tcb, uint64_t limit);
/* The parts as one number, FMC (or boot loader) most significant: what CONFIG compares. */
uint64_t tcb_number(const struct chip *chip, uint64_t tcb);

/* Firmware as PLATFORM_STATUS and reports name it. */
struct snp_firmware {
    uint64_t tcb;
    uint8_t major, minor, build;
};

struct snp_versions {
    struct snp_firmware current, committed;
};

/* What a chip leaves the factory with, current and committed: levels of firmware in the field. */
struct snp_versions snp_versions_default(const struct chip *chip);

#endif
