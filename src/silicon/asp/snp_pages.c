/* SNP commands that change what pages are (SNP ABI, page management). */
#include "silicon/asp/snp_internal.h"

#include <string.h>

#include "base/bytes.h"

#define STATE(name) (1u << RMP_##name)

/* ---- PAGE_RECLAIM, PAGE_UNSMASH ------------------------------------------------------------ */

/* Of pages that are not immutable there is nothing to take back, and nothing wrong with that. */
enum sev_status snp_check_PAGE_RECLAIM(struct asp *a, struct snp_call *c)
{
    const unsigned states = STATE(METADATA) | STATE(FIRMWARE) | STATE(PRE_GUEST) | STATE(PRE_SWAP) |
                            STATE(HYPERVISOR) | STATE(RECLAIM) | STATE(GUEST_INVALID) |
                            STATE(GUEST_VALID);
    uint64_t word = c->buf.page.page_paddr;

    return snp_operand(a, word & ~(uint64_t)FRAME_MASK, word & SNP_RECLAIM_2M ? SNP_S2M : SNP_S4K,
                       states, &c->page[0]);
}

void snp_apply_PAGE_RECLAIM(struct asp *a, struct snp_call *c)
{
    struct rmp_entry e = c->page[0].entry;

    if (!e.immutable)
        return;
    if (!e.asid) {
        snp_put_state(a, &c->page[0], RMP_RECLAIM, 0);
        return;
    }
    e.immutable = false;
    rmp_put(a->rmp, c->page[0].spa, &e);
}

/* The page that follows `first` by `n`, where both are to be parts of one. */
static bool continues(const struct rmp_entry *first, const struct rmp_entry *e, unsigned n)
{
    return e->validated == first->validated && e->asid == first->asid && !e->large && !e->vmsa &&
           e->immutable && e->assigned && e->gpa == first->gpa + (uint64_t)n * FRAME_SIZE &&
           !memcmp(e->perms, first->perms, sizeof(e->perms));
}

enum sev_status snp_check_PAGE_UNSMASH(struct asp *a, struct snp_call *c)
{
    uint64_t spa = c->buf.page.page_paddr;
    enum sev_status status;

    if (spa % SNP_LARGE)
        return SEV_INVALID_PARAM;
    if (!snp_may_touch(a, spa, SNP_LARGE))
        return SEV_INVALID_ADDRESS;
    status = snp_operand(a, spa, SNP_SANY, STATE(PRE_GUEST) | STATE(PRE_SWAP), &c->page[0]);
    if (status != SEV_SUCCESS)
        return status;
    if (c->page[0].entry.gpa % SNP_LARGE)
        return SEV_INVALID_PAGE_STATE;
    for (unsigned i = 0; i < SNP_LARGE / FRAME_SIZE; i++) {
        struct rmp_entry e = rmp_get(a->rmp, spa + (uint64_t)i * FRAME_SIZE);

        if (!rmp_covers(a->rmp, spa + (uint64_t)i * FRAME_SIZE) ||
            !continues(&c->page[0].entry, &e, i))
            return SEV_INVALID_PAGE_STATE;
    }
    return SEV_SUCCESS;
}

void snp_apply_PAGE_UNSMASH(struct asp *a, struct snp_call *c)
{
    struct rmp_entry e = c->page[0].entry;

    e.large = true;
    rmp_put(a->rmp, c->page[0].spa, &e);
}

/* ---- PAGE_MOVE ----------------------------------------------------------------------------- */

enum sev_status snp_check_PAGE_MOVE(struct asp *a, struct snp_call *c)
{
    const struct snp_operand *src = &c->page[0], *dst = &c->page[1];
    bool metadata = src->state == RMP_METADATA;

    if (metadata != (dst->state == RMP_FIRMWARE))
        return SEV_INVALID_PAGE_STATE;
    if (metadata)
        return snp_is_metadata_of(&src->entry, c->guest->gctx) ? SEV_SUCCESS
                                                               : SEV_INVALID_PAGE_OWNER;
    if (c->guest->policy & SNP_POLICY_PAGE_SWAP_DISABLE)
        return SEV_POLICY_FAILURE;
    return src->spa == dst->spa ? SEV_INVALID_PARAM : SEV_SUCCESS;
}

static void move_metadata(struct asp *a, const struct snp_call *c)
{
    asp_copy(a, c->page[1].spa, DRAM_PLAIN, c->page[0].spa, DRAM_PLAIN, FRAME_SIZE, NULL);
    snp_put_state(a, &c->page[1], RMP_METADATA, c->guest->gctx);
    snp_put_state(a, &c->page[0], RMP_FIRMWARE, 0);
}

void snp_apply_PAGE_MOVE(struct asp *a, struct snp_call *c)
{
    const struct snp_operand *src = &c->page[0], *dst = &c->page[1];
    struct rmp_entry to = src->entry, from = src->entry;
    dram_key key = c->guest->key;

    if (src->state == RMP_METADATA) {
        move_metadata(a, c);
        return;
    }
    asp_copy(a, dst->spa, key, src->spa, key, src->large ? SNP_LARGE : FRAME_SIZE, NULL);
    to.immutable = from.immutable = false;
    from.validated = false;
    rmp_put(a->rmp, dst->spa, &to);
    rmp_put(a->rmp, src->spa, &from);
}

/* ---- PAGE_MD_INIT, PAGE_SET_STATE ---------------------------------------------------------- */

enum sev_status snp_check_PAGE_MD_INIT(struct asp *a, struct snp_call *c)
{
    return SEV_SUCCESS;
}

void snp_apply_PAGE_MD_INIT(struct asp *a, struct snp_call *c)
{
    static const uint8_t zeros[FRAME_SIZE];

    asp_put(a, c->page[0].spa, zeros, sizeof(zeros));
    snp_put_state(a, &c->page[0], RMP_METADATA, c->guest->gctx);
}

enum sev_status snp_check_PAGE_SET_STATE(struct asp *a, struct snp_call *c)
{
    uint64_t list = c->buf.page_set_state.list_paddr;
    enum sev_status status;

    if (list % SNP_LARGE)
        return SEV_INVALID_ADDRESS;
    status = snp_get_ranges(a, list, &c->out.ranges);
    if (status != SEV_SUCCESS)
        return status;
    for (unsigned i = 0; i < c->out.ranges.count; i++) {
        const struct snp_range *r = &c->out.ranges.ranges[i];
        uint64_t len = (uint64_t)r->page_count * FRAME_SIZE;

        if (!snp_may_touch(a, r->base, len))
            return SEV_INVALID_ADDRESS;
        if (!snp_pages_are(a, r->base, len, STATE(FIRMWARE)))
            return SEV_INVALID_PAGE_STATE;
    }
    return SEV_SUCCESS;
}

void snp_apply_PAGE_SET_STATE(struct asp *a, struct snp_call *c)
{
    for (unsigned i = 0; i < c->out.ranges.count; i++)
        for (uint64_t n = 0; n < c->out.ranges.ranges[i].page_count; n++) {
            struct snp_operand p = {.spa = c->out.ranges.ranges[i].base + n * FRAME_SIZE};

            snp_put_state(a, &p, RMP_HV_FIXED, 0);
        }
}
