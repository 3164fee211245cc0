/* Finds the fewest changes of a launch's inputs that give a digest. All launches with one change
 * are measured, then all with two, then with three; each with every number of vCPUs, which costs
 * one step of the chain more and no more. */
#include "attest/explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/internal.h"
#include "attest/ovmf.h"

#define CHANGES      3u /* at most, besides the number of vCPUs */
#define CHANGES_SVSM 2u /* an SVSM's pages are measured anew each time */
#define VCPUS_USUAL  256u

/* A firmware is measured once; what comes after it is measured for each guess. */
struct firmware {
    const uint8_t *image;
    bool known, snp;
    uint8_t ld[ATTEST_SNP_DIGEST_BYTES];
    struct digest *sum;
};

struct search {
    struct suspects s;
    struct firmware firmware[ATTEST_SUSPECTS_MAX + 1];
    attest_fits_fn *fits;
    void *ctx;
    size_t len;
    unsigned vcpus_max, given_vcpus;
    uint64_t tried;
    bool no_memory;
    /* the guess that is being tried, and what it changes */
    unsigned depth;
    struct {
        enum dimension dim;
        const struct alternative *alt;
    } change[CHANGES];
    struct guess found;
    unsigned found_vcpus;
};

/* ---- measuring a guess
 * ----------------------------------------------------------------------------- */

static struct firmware *firmware_of(struct search *s, const struct attest_image *image)
{
    const struct attest_piece *p = &image->piece[0];
    bool snp = mode_is_snp(image->mode);
    struct firmware *f = s->firmware;

    while (f->known && (f->image != p->contents || f->snp != snp) &&
           f < &s->firmware[COUNT(s->firmware) - 1])
        f++;
    if (f->known && f->image == p->contents && f->snp == snp)
        return f;
    digest_free(f->sum);
    *f = (struct firmware){.known = true, .image = p->contents, .snp = snp};
    if (snp)
        return chain_piece(f->ld, p) ? f : NULL;
    f->sum = digest_new(DIGEST_SHA256);
    if (f->sum)
        digest_feed(f->sum, p->contents, p->len);
    return f->sum ? f : NULL;
}

/* The number of vCPUs with which the chain comes to the digest; 0: with none. */
static unsigned search_chain(struct search *s, const struct attest_image *image)
{
    uint8_t ld[ATTEST_SNP_DIGEST_BYTES], contents[2][SHA384_BYTES];
    const struct attest_piece *vmsa = &image->piece[image->pieces - image->vmsas];
    unsigned first = image->seeded ? 0 : 1, most = image->vmsas > 1 ? s->vcpus_max : 1;
    const struct firmware *f = first ? firmware_of(s, image) : NULL;
    bool ok = !first || f;

    if (ok)
        memcpy(ld, f ? f->ld : image->seed, sizeof(ld));
    for (unsigned i = first; ok && i < image->pieces - image->vmsas; i++)
        ok = chain_piece(ld, &image->piece[i]);
    ok = ok && sha384(contents[0], image->bsp, PAGE_BYTES) &&
         sha384(contents[1], image->ap, PAGE_BYTES);
    for (unsigned n = 1; ok && n <= most; n++) {
        ok = chain_page(ld, vmsa, vmsa->gpa, contents[n > 1]);
        if (ok && s->fits(s->ctx, ld, sizeof(ld)))
            return n;
    }
    s->no_memory |= !ok;
    return 0;
}

static bool sum_is(const struct search *s, const struct digest *sum, bool *ok)
{
    uint8_t found[SHA256_BYTES];

    *ok = digest_peek(sum, found);
    return *ok && s->fits(s->ctx, found, sizeof(found));
}

static unsigned search_sum(struct search *s, const struct attest_image *image)
{
    const struct firmware *f = firmware_of(s, image);
    struct digest *sum = f ? digest_copy(f->sum) : NULL;
    unsigned most = image->mode == ATTEST_SEV ? 0 : image->vmsas > 1 ? s->vcpus_max : 1, found = 0;
    bool ok = sum != NULL;

    for (unsigned i = 1; ok && i < image->pieces - image->vmsas; i++)
        digest_feed(sum, image->piece[i].contents, image->piece[i].len);
    if (ok && !most && sum_is(s, sum, &ok))
        found = MAX(s->given_vcpus, 1);
    for (unsigned n = 1; ok && n <= most && !found; n++) {
        digest_feed(sum, n > 1 ? image->ap : image->bsp, PAGE_BYTES);
        if (sum_is(s, sum, &ok))
            found = n;
    }
    digest_free(sum);
    s->no_memory |= !ok;
    return found;
}

/* Two vCPUs are laid out: all but the first are alike. A firmware that does not say where they
 * start has one. */
static bool try_guess(struct search *s, const struct guess *g)
{
    struct attest_launch in = g->in;
    struct attest_image *image;
    unsigned n;

    in.vcpus = 2;
    if (image_of(&image, &in, &g->hashes, NULL) != ATTEST_OK) {
        in.vcpus = 1;
        if (image_of(&image, &in, &g->hashes, NULL) != ATTEST_OK)
            return false; /* there is no such launch */
    }
    s->tried++;
    n = mode_is_snp(in.mode) ? search_chain(s, image) : search_sum(s, image);
    attest_image_free(image);
    if (!n)
        return false;
    s->found = *g;
    s->found_vcpus = n;
    return true;
}

/* All guesses with `left` more changes, of dimensions from `from` on. */
static bool try_changes(struct search *s, const struct guess *g, unsigned from, unsigned left)
{
    if (!left)
        return try_guess(s, g);
    for (unsigned d = from; d + left <= DIMENSIONS && !s->no_memory; d++)
        for (unsigned i = 0; i < s->s.count[d]; i++) {
            struct guess next = *g;

            suspects_apply(&next, d, &s->s.alt[d][i]);
            s->change[s->depth].dim = d;
            s->change[s->depth].alt = &s->s.alt[d][i];
            s->depth++;
            if (try_changes(s, &next, d + 1, left - 1))
                return true;
            s->depth--;
        }
    return false;
}

/* ---- the answer
 * ------------------------------------------------------------------------------------ */

static void tell(const struct search *s, struct attest_explanation *out)
{
    out->found = true;
    out->launch = s->found.in;
    out->launch.vcpus = s->found_vcpus;
    for (unsigned i = 0; i < s->depth; i++) {
        struct attest_change *c = &out->change[out->changes++];

        c->what = dimension_names[s->change[i].dim];
        snprintf(c->given, sizeof(c->given), "%s", s->s.given[s->change[i].dim]);
        snprintf(c->needed, sizeof(c->needed), "%s", s->change[i].alt->name);
    }
    if (s->found_vcpus != s->given_vcpus && s->found.in.mode != ATTEST_SEV) {
        struct attest_change *c = &out->change[out->changes++];

        c->what = "vCPUs (--vcpus)";
        snprintf(c->given, sizeof(c->given), "%u", s->given_vcpus);
        snprintf(c->needed, sizeof(c->needed), "%u", s->found_vcpus);
    }
}

static enum attest_status check_question(const struct attest_suspects *more,
                                         struct attest_error *err)
{
    if (more &&
        (more->ovmf_count > ATTEST_SUSPECTS_MAX || more->kernel_count > ATTEST_SUSPECTS_MAX ||
         more->initrd_count > ATTEST_SUSPECTS_MAX || more->append_count > ATTEST_SUSPECTS_MAX))
        return attest_fail(err, ATTEST_E_LIMIT, "suspects", "at most %u candidates of a kind",
                           ATTEST_SUSPECTS_MAX);
    if (more && more->vcpus_max > ATTEST_VCPUS_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "suspects.vcpus_max", "at most %u vCPUs",
                           ATTEST_VCPUS_MAX);
    return ATTEST_OK;
}

static enum attest_status search(struct search *s, const struct attest_launch *in,
                                 const struct attest_suspects *more, struct attest_explanation *out,
                                 struct attest_error *err)
{
    unsigned deepest = in->mode == ATTEST_SNP_SVSM ? CHANGES_SVSM : CHANGES;
    struct guess g = {.in = *in};
    enum attest_status status = suspects_list(&s->s, in, s->len, more, err);
    bool found = false;

    if (status != ATTEST_OK)
        return status;
    if (!kernel_hashes_of(&g.hashes, in))
        return NO_MEMORY(err);
    for (unsigned changes = 0; changes <= deepest && !found && !s->no_memory; changes++)
        found = try_changes(s, &g, 0, changes);
    if (s->no_memory)
        return NO_MEMORY(err);
    if (found)
        tell(s, out);
    return ATTEST_OK;
}

enum attest_status attest_explain_if(const struct attest_launch *in, attest_fits_fn *fits,
                                     void *ctx, const struct attest_suspects *suspects,
                                     struct attest_explanation *out, struct attest_error *err)
{
    struct attest_image *image;
    enum attest_status status = check_question(suspects, err);
    struct search *s;

    *out = (struct attest_explanation){.found = false};
    if (status == ATTEST_OK) /* inputs that are none are not searched */
        status = image_of(&image, in, NULL, err);
    if (status != ATTEST_OK)
        return status;
    attest_image_free(image);
    s = calloc(1, sizeof(*s));
    if (!s)
        return NO_MEMORY(err);
    s->fits = fits;
    s->ctx = ctx;
    s->len = digest_bytes(in->mode);
    s->given_vcpus = in->vcpus;
    s->vcpus_max = suspects && suspects->vcpus_max ? suspects->vcpus_max : VCPUS_USUAL;
    s->vcpus_max = MAX(s->vcpus_max, in->vcpus);
    status = search(s, in, suspects, out, err);
    out->tried = s->tried;
    out->owned = s->s.text;
    s->s.text = NULL;
    for (size_t i = 0; i < COUNT(s->firmware); i++)
        digest_free(s->firmware[i].sum);
    suspects_free(&s->s);
    free(s);
    return status;
}

static bool is_digest(void *ctx, const uint8_t *digest, size_t len)
{
    return !memcmp(ctx, digest, len);
}

enum attest_status attest_explain(const struct attest_launch *in, const uint8_t *digest, size_t len,
                                  const struct attest_suspects *suspects,
                                  struct attest_explanation *out, struct attest_error *err)
{
    uint8_t wanted[ATTEST_DIGEST_MAX] = {0};

    *out = (struct attest_explanation){.found = false};
    if (len != digest_bytes(in->mode))
        return attest_fail(err, ATTEST_E_ARG, "digest",
                           "a digest of %zu bytes is not of this mode, whose digests have %zu", len,
                           digest_bytes(in->mode));
    memcpy(wanted, digest, len);
    return attest_explain_if(in, is_digest, wanted, suspects, out, err);
}

void attest_explanation_free(struct attest_explanation *e)
{
    free(e->owned);
    e->owned = NULL;
}
