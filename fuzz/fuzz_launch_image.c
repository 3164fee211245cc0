/* Fuzzes launch images: what is taken can be written again, and is the same launch. */
#include "rig.h"

#include "lucca/measure.h"

#define DIGEST_MAX (16u << 20) /* bytes of a launch that is hashed here */

static char file[1u << 21];

static size_t write_again(const struct attest_image *image)
{
    static const char *const modes[] = {
        [ATTEST_SEV] = "sev", [ATTEST_SEV_ES] = "es", [ATTEST_SNP] = "snp"};
    size_t n = (size_t)snprintf(file, sizeof(file), "lucca-launch-image 1\nmode %s\n",
                                modes[attest_image_mode(image)]);

    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        MUST(n + 256 < sizeof(file));
        n += (size_t)attest_image_line(image, i, file + n, 256);
        file[n++] = '\n';
    }
    file[n++] = '\n';
    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        const struct attest_piece *p = attest_image_piece(image, i);

        MUST(!p->contents || p->len < sizeof(file) - n);
        if (p->contents) {
            memcpy(file + n, p->contents, p->len);
            n += p->len;
        }
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t digest[ATTEST_DIGEST_MAX] = {0}, again[ATTEST_DIGEST_MAX] = {0};
    struct attest_image *image, *other;
    struct attest_error err = {0};
    struct attest_difference d;
    uint64_t bytes = 0;
    size_t n;

    if (size > 1u << 20)
        return 0;
    if (attest_image_open(&image, data, size, &err) != ATTEST_OK) {
        MUST(err.code != ATTEST_OK && err.text[0]);
        return 0;
    }
    for (unsigned i = 0; i < attest_image_pieces(image); i++)
        bytes += attest_image_piece(image, i)->len;
    n = write_again(image);
    MUST(attest_image_open(&other, file, n, &err) == ATTEST_OK);
    if (bytes <= DIGEST_MAX) {
        attest_image_compare(image, other, &d);
        MUST(!d.any);
        MUST(attest_image_digest(image, digest, &err) == ATTEST_OK);
        MUST(attest_image_digest(other, again, &err) == ATTEST_OK);
        MUST(!memcmp(digest, again, sizeof(digest)));
    }
    attest_image_free(other);
    attest_image_free(image);
    return 0;
}
