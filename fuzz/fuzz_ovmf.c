/* Fuzzes firmware images: the first byte says how they are launched, the rest is the image. What
 * can be laid out has a digest, the same each time, and differs in nothing from itself. */
#include "rig.h"

#include "lucca/measure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t kernel[] = "kernel";
    uint8_t how = size ? data[0] : 0, digest[ATTEST_DIGEST_MAX], again[ATTEST_DIGEST_MAX];
    struct attest_span image = {size ? data + 1 : data, size ? size - 1 : 0};
    struct attest_launch in = {
        .mode = how & 3,
        .vmm = how >> 2 & 3,
        .vcpus = 1 + (how >> 4 & 1),
        .vcpu_signature = 0x800f12,
        .guest_features = 1,
        .ovmf = image,
    };
    struct attest_difference d;
    struct attest_image *launch;
    struct attest_error err = {0};
    size_t len;

    if (how & 0x20)
        in.kernel = (struct attest_span){kernel, sizeof(kernel)};
    if (in.mode == ATTEST_SNP_SVSM)
        in.svsm = image;
    if (attest_image_of(&launch, &in, &err) != ATTEST_OK) {
        MUST(err.code != ATTEST_OK && err.text[0] && err.path[0]);
        return 0;
    }
    MUST(attest_image_pieces(launch) >= 1);
    for (unsigned i = 0; i < attest_image_pieces(launch); i++) {
        const struct attest_piece *p = attest_image_piece(launch, i);

        MUST(p->len && attest_page_type_name(p->type) && p->what[0]);
        MUST(in.mode < ATTEST_SNP || (p->len % 4096 == 0 && p->gpa % 4096 == 0));
    }
    MUST(attest_image_digest(launch, digest, &err) == ATTEST_OK);
    MUST(attest_measure(&in, again, &len, &err) == ATTEST_OK && !memcmp(digest, again, len));
    attest_image_compare(launch, launch, &d);
    MUST(!d.any);
    attest_image_free(launch);
    return 0;
}
