/* Measurements: the public face of launches. */
#include "lucca/measure.h"

#include <string.h>

#include "attest/internal.h"
#include "attest/launch.h"
#include "attest/ovmf.h"

enum attest_status attest_image_of(struct attest_image **out, const struct attest_launch *in,
                                   struct attest_error *err)
{
    return image_of(out, in, NULL, err);
}

enum attest_mode attest_image_mode(const struct attest_image *image)
{
    return image->mode;
}

unsigned attest_image_pieces(const struct attest_image *image)
{
    return image->pieces;
}

const struct attest_piece *attest_image_piece(const struct attest_image *image, unsigned i)
{
    return i < image->pieces ? &image->piece[i] : NULL;
}

enum attest_status attest_measure(const struct attest_launch *in, uint8_t digest[ATTEST_DIGEST_MAX],
                                  size_t *len, struct attest_error *err)
{
    struct attest_image *image;
    enum attest_status s = image_of(&image, in, NULL, err);

    if (s != ATTEST_OK)
        return s;
    s = attest_image_digest(image, digest, err);
    *len = digest_bytes(in->mode);
    attest_image_free(image);
    return s;
}

enum attest_status attest_measure_page(uint8_t ld[ATTEST_SNP_DIGEST_BYTES],
                                       const struct attest_piece *piece, struct attest_error *err)
{
    struct attest_image *one = image_new(ATTEST_SNP);
    enum attest_status s;

    if (!one)
        return attest_fail(err, ATTEST_E_MEMORY, "launch", "no memory for a page");
    s = image_add(one, piece, err);
    if (s == ATTEST_OK) {
        memcpy(one->seed, ld, sizeof(one->seed));
        s = attest_image_digest(one, ld, err);
    }
    attest_image_free(one);
    return s;
}

enum attest_status attest_measure_ovmf(const void *ovmf, size_t len,
                                       uint8_t digest[ATTEST_SNP_DIGEST_BYTES],
                                       struct attest_error *err)
{
    struct attest_piece p = {
        .type = ATTEST_PAGE_NORMAL, .len = len, .contents = ovmf, .what = "firmware"};
    struct ovmf image;
    enum attest_status s = ovmf_parse(&image, ovmf, len, OVMF_END, err);

    if (s != ATTEST_OK)
        return s;
    p.gpa = image.gpa;
    memset(digest, 0, ATTEST_SNP_DIGEST_BYTES);
    return attest_measure_page(digest, &p, err);
}

/* ---- processors ------------------------------------------------------------------------------ */

/* CPUID 1 EAX: stepping 3:0, model 7:4, family 11:8, extended model 19:16, extended family 27:20.
 */
bool attest_vcpu_signature(unsigned family, unsigned model, unsigned stepping, uint32_t *out)
{
    unsigned base = MIN(family, 0xF), extended = family - base;

    if (extended > 0xFF || model > 0xFF || stepping > 0xF)
        return false;
    *out = extended << 20 | (model >> 4) << 16 | base << 8 | (model & 0xF) << 4 | stepping;
    return true;
}

static const struct attest_vcpu_type vcpu_types[] = {
    {"EPYC", 0x800f12},          {"EPYC-v1", 0x800f12},       {"EPYC-v2", 0x800f12},
    {"EPYC-IBPB", 0x800f12},     {"EPYC-v3", 0x800f12},       {"EPYC-v4", 0x800f12},
    {"EPYC-v5", 0x800f12},       {"EPYC-Rome", 0x830f10},     {"EPYC-Rome-v1", 0x830f10},
    {"EPYC-Rome-v2", 0x830f10},  {"EPYC-Rome-v3", 0x830f10},  {"EPYC-Rome-v4", 0x830f10},
    {"EPYC-Rome-v5", 0x830f10},  {"EPYC-Milan", 0xa00f11},    {"EPYC-Milan-v1", 0xa00f11},
    {"EPYC-Milan-v2", 0xa00f11}, {"EPYC-Milan-v3", 0xa00f11}, {"EPYC-Genoa", 0xa10f10},
    {"EPYC-Genoa-v1", 0xa10f10}, {"EPYC-Genoa-v2", 0xa10f10}, {"EPYC-Turin", 0xb00f00},
    {"EPYC-Turin-v1", 0xb00f00},
};

const struct attest_vcpu_type *attest_vcpu_types(size_t *count)
{
    *count = COUNT(vcpu_types);
    return vcpu_types;
}
