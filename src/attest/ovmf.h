/* Firmware images for confidential guests: what the table of GUIDs at the end of OVMF (or of an
 * SVSM) says about the launch. Nothing is copied: the image has to outlive its description.
 *
 *   end - 20h        reset vector
 *   end - 30h        footer's GUID; before it 16 bits: the length of the table with the footer
 *   below, downwards  entry = data, 16-bit length (data + 12h), GUID
 *
 * The entry for SEV metadata counts from the image's end to "ASEV", 32-bit length, version 1,
 * count, then count times {gpa, size, type}, 32 bits each. */
#ifndef LUCCA_ATTEST_OVMF_H
#define LUCCA_ATTEST_OVMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "lucca/attest.h"

#define OVMF_IMAGE_MAX      (64u << 20)
#define OVMF_SECTIONS_MAX   64u
#define OVMF_SECTIONS_TOTAL (256u << 20)          /* bytes: firmware uses some 128 KiB */
#define OVMF_END            UINT64_C(0x100000000) /* images end where the first 4 GiB do */

enum ovmf_section_type {
    OVMF_SEC_MEM = 1,
    OVMF_SECRETS = 2,
    OVMF_CPUID = 3,
    OVMF_SVSM_CAA = 4,
    OVMF_KERNEL_HASHES = 0x10,
};

struct ovmf_section {
    uint32_t gpa, size, type;
};

/* A place in guest memory; size 0: the image has none. */
struct ovmf_area {
    uint32_t gpa, size;
};

struct ovmf {
    const uint8_t *image;
    size_t size;
    uint64_t gpa; /* of its first byte */
    bool has_reset, has_metadata, has_svsm;
    uint32_t reset_eip;  /* where application processors start: SEV-ES reset block */
    uint32_t svsm_entry; /* offset from the image's start */
    struct ovmf_area hashes, secret;
    struct ovmf_section sections[OVMF_SECTIONS_MAX];
    unsigned section_count;
};

/* An image whose last byte is at `end` - 1. An image without a table is fine; one with a broken
 * table, or with metadata that contradicts itself, is not. */
enum attest_status ovmf_parse(struct ovmf *o, const void *image, size_t size, uint64_t end,
                              struct attest_error *err) MUST_USE;
bool ovmf_has_section(const struct ovmf *o, uint32_t type);

#endif
