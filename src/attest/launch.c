/* The list of a launch and its digest. Who lays out what: launch_layout.c. */
#include "attest/launch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "attest/internal.h"
#include "base/bytes.h"

/* ---- the list ------------------------------------------------------------------------------ */

static const char *const type_names[ATTEST_PAGE_TYPES] = {
    [ATTEST_PAGE_DATA] = "data",
    [ATTEST_PAGE_NORMAL] = "normal",
    [ATTEST_PAGE_VMSA] = "vmsa",
    [ATTEST_PAGE_ZERO] = "zero",
    [ATTEST_PAGE_UNMEASURED] = "unmeasured",
    [ATTEST_PAGE_SECRETS] = "secrets",
    [ATTEST_PAGE_CPUID] = "cpuid",
};

const char *attest_page_type_name(unsigned type)
{
    return type < ATTEST_PAGE_TYPES ? type_names[type] : NULL;
}

bool mode_is_snp(enum attest_mode mode)
{
    return mode == ATTEST_SNP || mode == ATTEST_SNP_SVSM;
}

size_t digest_bytes(enum attest_mode mode)
{
    return mode_is_snp(mode) ? ATTEST_SNP_DIGEST_BYTES : ATTEST_SEV_DIGEST_BYTES;
}

bool piece_is_measured(const struct attest_piece *p)
{
    return p->type == ATTEST_PAGE_DATA || p->type == ATTEST_PAGE_NORMAL ||
           p->type == ATTEST_PAGE_VMSA;
}

struct attest_image *image_new(enum attest_mode mode)
{
    struct attest_image *l = calloc(1, sizeof(*l));

    if (l)
        l->mode = mode;
    return l;
}

void attest_image_free(struct attest_image *l)
{
    if (l)
        free(l->piece);
    free(l);
}

static enum attest_status check_piece(const struct attest_image *l, const struct attest_piece *p,
                                      struct attest_error *err)
{
    bool snp = mode_is_snp(l->mode);
    const char *type = attest_page_type_name(p->type);

    if (!type)
        return attest_fail(err, ATTEST_E_ARG, "launch", "%s: no page type %u", p->what, p->type);
    if (snp ? p->type == ATTEST_PAGE_DATA
            : p->type != ATTEST_PAGE_DATA && (p->type != ATTEST_PAGE_VMSA || l->mode == ATTEST_SEV))
        return attest_fail(err, ATTEST_E_FORMAT, "launch",
                           "%s: a %s guest is not launched with '%s'", p->what,
                           snp ? "SEV-SNP" : "SEV", type);
    if (p->type == ATTEST_PAGE_DATA ? p->len % 16 : p->len % PAGE_BYTES || p->gpa % PAGE_BYTES)
        return attest_fail(err, ATTEST_E_FORMAT, "launch",
                           "%s: %#" PRIx64 " bytes at %#" PRIx64 " are not made of whole %s",
                           p->what, p->len, p->gpa,
                           p->type == ATTEST_PAGE_DATA ? "16-byte blocks" : "4 KiB pages");
    if (!p->len)
        return attest_fail(err, ATTEST_E_FORMAT, "launch", "%s: it is empty", p->what);
    if ((p->type == ATTEST_PAGE_VMSA || p->type == ATTEST_PAGE_SECRETS ||
         p->type == ATTEST_PAGE_CPUID) &&
        p->len != PAGE_BYTES)
        return attest_fail(err, ATTEST_E_FORMAT, "launch",
                           "%s: '%s' is one page, not %#" PRIx64 " bytes", p->what, type, p->len);
    if (p->gpa > UINT64_MAX - p->len)
        return attest_fail(err, ATTEST_E_FORMAT, "launch", "%s: it reaches beyond all addresses",
                           p->what);
    if (piece_is_measured(p) && !p->contents)
        return attest_fail(err, ATTEST_E_ARG, "launch",
                           "%s: its contents are measured, and there are none", p->what);
    return ATTEST_OK;
}

enum attest_status image_add(struct attest_image *l, const struct attest_piece *p,
                             struct attest_error *err)
{
    enum attest_status s = check_piece(l, p, err);

    if (s != ATTEST_OK)
        return s;
    if (l->pieces >= LAUNCH_PIECES_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "launch", "a launch has at most %u pieces here",
                           LAUNCH_PIECES_MAX);
    if (p->len > LAUNCH_BYTES_MAX - l->bytes)
        return attest_fail(err, ATTEST_E_LIMIT, "launch", "%s: a launch has at most 1 TiB here",
                           p->what);
    if (l->pieces == l->room) {
        unsigned room = l->room ? 2 * l->room : 64;
        struct attest_piece *more = realloc(l->piece, room * sizeof(*more));

        if (!more)
            return attest_fail(err, ATTEST_E_MEMORY, "launch",
                               "no memory for a launch of %u pieces", room);
        l->piece = more;
        l->room = room;
    }
    l->piece[l->pieces++] = *p;
    l->bytes += p->len;
    return ATTEST_OK;
}

/* ---- the digest ---------------------------------------------------------------------------- */

/* SEV-SNP ABI, 8.17.2: the digest of this structure is the next launch digest. */
struct page_info {
    uint8_t digest_cur[48];
    uint8_t contents[48];
    uint16_t length; /* 70h */
    uint8_t page_type, imi_page, reserved;
    uint8_t vmpl1_perms, vmpl2_perms, vmpl3_perms;
    uint64_t gpa;
};
static_assert(sizeof(struct page_info) == 0x70, "SEV-SNP ABI, PAGE_INFO");
static_assert(offsetof(struct page_info, length) == 0x60, "SEV-SNP ABI, PAGE_INFO");
static_assert(offsetof(struct page_info, vmpl1_perms) == 0x65, "SEV-SNP ABI, PAGE_INFO");
static_assert(offsetof(struct page_info, gpa) == 0x68, "SEV-SNP ABI, PAGE_INFO");

bool chain_page(uint8_t ld[ATTEST_SNP_DIGEST_BYTES], const struct attest_piece *p, uint64_t gpa,
                const uint8_t *contents)
{
    struct page_info info = {
        .length = sizeof(info),
        .page_type = (uint8_t)p->type,
        .imi_page = p->imi,
        .vmpl1_perms = p->vmpl[0],
        .vmpl2_perms = p->vmpl[1],
        .vmpl3_perms = p->vmpl[2],
        .gpa = gpa,
    };

    memcpy(info.digest_cur, ld, sizeof(info.digest_cur));
    if (contents)
        memcpy(info.contents, contents, sizeof(info.contents));
    return sha384(ld, &info, sizeof(info));
}

/* SEV-SNP ABI: TSC scale and offset (VMSA 2F0h .. 2FFh) count as zero. */
static bool vmsa_digest(uint8_t out[SHA384_BYTES], const uint8_t *page)
{
    uint8_t copy[PAGE_BYTES];

    memcpy(copy, page, sizeof(copy));
    memset(copy + 0x2F0, 0, 16);
    return sha384(out, copy, sizeof(copy));
}

bool chain_piece(uint8_t ld[ATTEST_SNP_DIGEST_BYTES], const struct attest_piece *p)
{
    uint8_t contents[SHA384_BYTES];
    bool measured = piece_is_measured(p);

    for (uint64_t at = 0; at < p->len; at += PAGE_BYTES) {
        if (p->type == ATTEST_PAGE_VMSA && !vmsa_digest(contents, p->contents))
            return false;
        if (p->type == ATTEST_PAGE_NORMAL && !sha384(contents, p->contents + at, PAGE_BYTES))
            return false;
        if (!chain_page(ld, p, p->gpa + at, measured ? contents : NULL))
            return false;
    }
    return true;
}

/* Application processors are all alike: what one contributes is computed once. */
static bool chain_all(const struct attest_image *l, uint8_t ld[ATTEST_SNP_DIGEST_BYTES])
{
    const uint8_t *last = NULL;
    uint8_t contents[SHA384_BYTES];

    for (unsigned i = 0; i < l->pieces; i++) {
        const struct attest_piece *p = &l->piece[i];
        bool ok;

        if (p->type != ATTEST_PAGE_VMSA) {
            ok = chain_piece(ld, p);
        } else {
            ok = p->contents == last || vmsa_digest(contents, p->contents);
            last = p->contents;
            ok = ok && chain_page(ld, p, p->gpa, contents);
        }
        if (!ok)
            return false;
    }
    return true;
}

static bool sum_all(const struct attest_image *l, uint8_t out[SHA256_BYTES])
{
    struct digest *d = digest_new(DIGEST_SHA256);
    bool ok = d != NULL;

    for (unsigned i = 0; ok && i < l->pieces; i++)
        digest_feed(d, l->piece[i].contents, l->piece[i].len);
    ok = ok && digest_peek(d, out);
    digest_free(d);
    return ok;
}

enum attest_status attest_image_digest(const struct attest_image *l, uint8_t out[ATTEST_DIGEST_MAX],
                                       struct attest_error *err)
{
    bool ok;

    if (mode_is_snp(l->mode)) {
        memcpy(out, l->seed, ATTEST_SNP_DIGEST_BYTES);
        ok = chain_all(l, out);
    } else {
        ok = sum_all(l, out);
    }
    return ok ? ATTEST_OK
              : attest_fail(err, ATTEST_E_MEMORY, "launch", "libcrypto has no memory for a digest");
}
