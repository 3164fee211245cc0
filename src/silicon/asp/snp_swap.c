/* PAGE_SWAP_OUT and PAGE_SWAP_IN: a guest's pages leave memory under its OEK and come back; what
 * proves them to be the ones that left stays in METADATA pages, or in the guest's context (SNP ABI,
 * page management). */
#include "silicon/asp/snp_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/vmsa.h"

#define STATE(name) (1u << RMP_##name)

static enum snp_swap_type type_of(const struct snp_cmd_swap *b)
{
    return b->flags >> 1 & 3;
}

static bool is_large(const struct snp_cmd_swap *b)
{
    return b->flags & SNP_SWAP_2M;
}

static size_t size_of(const struct snp_cmd_swap *b)
{
    return is_large(b) ? SNP_LARGE : FRAME_SIZE;
}

/* ---- where the entry is -------------------------------------------------------------------- */

static bool overlaps(uint64_t spa, const struct snp_cmd_swap *b)
{
    uint64_t page = spa & ~(uint64_t)FRAME_MASK, len = size_of(b);

    return (page >= b->src_paddr && page - b->src_paddr < len) ||
           (page >= b->dst_paddr && page - b->dst_paddr < len);
}

static enum sev_status check_entry(struct asp *a, const struct snp_cmd_swap *b,
                                   const struct snp_guest *g)
{
    struct snp_operand p;
    enum sev_status status;

    if (b->flags & SNP_SWAP_ROOT_MDATA)
        return SEV_SUCCESS;
    if (b->mdata_paddr % sizeof(struct snp_mdata) || overlaps(b->mdata_paddr, b))
        return SEV_INVALID_PARAM;
    status = snp_operand(a, b->mdata_paddr & ~(uint64_t)FRAME_MASK, SNP_S4K, STATE(METADATA), &p);
    if (status != SEV_SUCCESS)
        return status;
    return snp_is_metadata_of(&p.entry, g->gctx) ? SEV_SUCCESS : SEV_INVALID_PAGE_OWNER;
}

static void put_entry(struct asp *a, struct snp_call *c)
{
    if (c->buf.swap.flags & SNP_SWAP_ROOT_MDATA)
        c->guest->root_mdata = c->mdata;
    else
        asp_put(a, c->buf.swap.mdata_paddr, &c->mdata, sizeof(c->mdata));
}

/* ---- common checks ------------------------------------------------------------------------- */

static enum sev_status check_form(const struct snp_cmd_swap *b, const struct snp_guest *g)
{
    enum snp_swap_type type = type_of(b);

    if (type > SNP_SWAP_VMSA || (type != SNP_SWAP_DATA && is_large(b)))
        return SEV_INVALID_PARAM;
    if (type != SNP_SWAP_METADATA && g->policy & SNP_POLICY_PAGE_SWAP_DISABLE)
        return SEV_POLICY_FAILURE;
    return SEV_SUCCESS;
}

static bool take_memory(struct snp_call *c)
{
    c->len = size_of(&c->buf.swap);
    c->bytes = malloc(c->len);
    return c->bytes;
}

static void make_iv(uint8_t iv[12], uint64_t counter)
{
    store64(iv, counter);
    memset(iv + 8, 0, 4);
}

/* ---- PAGE_SWAP_OUT ------------------------------------------------------------------------- */

static enum sev_status check_leaving(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    bool metadata = type_of(b) == SNP_SWAP_METADATA;
    struct snp_operand *src = &c->page[0];
    enum sev_status status =
        snp_operand(a, b->src_paddr, is_large(b) ? SNP_S2M : SNP_S4K,
                    metadata ? STATE(METADATA) : STATE(PRE_SWAP) | STATE(PRE_GUEST), src);

    if (status != SEV_SUCCESS)
        return status;
    if (metadata)
        return snp_is_metadata_of(&src->entry, c->guest->gctx) ? SEV_SUCCESS
                                                               : SEV_INVALID_PAGE_OWNER;
    if (src->entry.vmsa != (type_of(b) == SNP_SWAP_VMSA))
        return SEV_INVALID_PAGE_STATE;
    return snp_owned(src, c->guest);
}

static enum sev_status check_outside(struct asp *a, const struct snp_cmd_swap *b)
{
    if (b->dst_paddr % size_of(b) || !snp_may_touch(a, b->dst_paddr, size_of(b)))
        return SEV_INVALID_ADDRESS;
    return snp_pages_are(a, b->dst_paddr, size_of(b), STATE(FIRMWARE) | STATE(DEFAULT))
               ? SEV_SUCCESS
               : SEV_INVALID_PAGE_STATE;
}

static enum sev_status seal(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    const struct rmp_entry *e = &c->page[0].entry;
    bool metadata = type_of(b) == SNP_SWAP_METADATA;
    uint8_t iv[12];

    if (c->guest->oek_iv >= SNP_COUNTER_END)
        return SEV_AEAD_OFLOW;
    if (!take_memory(c))
        return SEV_RESOURCE_LIMIT;
    c->mdata = (struct snp_mdata){.software_data = b->software_data,
                                  .iv = c->guest->oek_iv + 1,
                                  .flags = SNP_MDATA_VALID,
                                  .perms = metadata ? 0 : load32(e->perms)};
    c->mdata.flags |= metadata ? SNP_MDATA_METADATA : e->gpa;
    c->mdata.flags |= e->validated ? SNP_MDATA_PAGE_VALIDATED : 0;
    c->mdata.flags |= type_of(b) == SNP_SWAP_VMSA ? SNP_MDATA_VMSA : 0;
    c->mdata.flags |= is_large(b) ? SNP_MDATA_2M : 0;
    make_iv(iv, c->mdata.iv);
    if (!dram_read(a->dram, b->src_paddr, metadata ? DRAM_PLAIN : c->guest->key, c->bytes,
                   size_of(b)) ||
        !aes256_gcm_seal(c->guest->oek, iv, NULL, 0, c->bytes, c->bytes, size_of(b), c->mdata.tag))
        return SEV_OUT_OF_ORDER;
    return SEV_SUCCESS;
}

enum sev_status snp_check_PAGE_SWAP_OUT(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    enum sev_status status = check_form(b, c->guest);

    if (status == SEV_SUCCESS && b->flags & SNP_SWAP_IN_PLACE)
        status = SEV_INVALID_PARAM;
    if (status == SEV_SUCCESS)
        status = check_leaving(a, c);
    if (status == SEV_SUCCESS)
        status = check_outside(a, b);
    if (status == SEV_SUCCESS)
        status = check_entry(a, b, c->guest);
    return status == SEV_SUCCESS ? seal(a, c) : status;
}

void snp_apply_PAGE_SWAP_OUT(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    struct rmp_entry e = c->page[0].entry;

    c->guest->oek_iv = c->mdata.iv;
    asp_put(a, b->dst_paddr, c->bytes, size_of(b));
    put_entry(a, c);
    if (type_of(b) == SNP_SWAP_METADATA) {
        snp_put_state(a, &c->page[0], RMP_FIRMWARE, 0);
        return;
    }
    e.validated = e.vmsa = false;
    rmp_put(a->rmp, b->src_paddr, &e);
}

/* ---- PAGE_SWAP_IN -------------------------------------------------------------------------- */

static enum sev_status check_coming(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    bool metadata = type_of(b) == SNP_SWAP_METADATA;
    enum sev_status status =
        snp_operand(a, b->dst_paddr, is_large(b) ? SNP_S2M : SNP_S4K,
                    metadata ? STATE(FIRMWARE) : STATE(PRE_GUEST), &c->page[0]);

    if (status != SEV_SUCCESS)
        return status;
    if (b->src_paddr % size_of(b) || !snp_may_touch(a, b->src_paddr, size_of(b)))
        return SEV_INVALID_ADDRESS;
    return snp_owned(&c->page[0], c->guest);
}

/* The entry is of such a page, and of this guest-physical address: a page comes back where it was.
 */
static bool entry_fits(const struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    const uint64_t kind = SNP_MDATA_VALID | SNP_MDATA_VMSA | SNP_MDATA_METADATA | SNP_MDATA_2M;
    uint64_t want = SNP_MDATA_VALID;

    want |= type_of(b) == SNP_SWAP_METADATA ? SNP_MDATA_METADATA : c->page[0].entry.gpa;
    want |= type_of(b) == SNP_SWAP_VMSA ? SNP_MDATA_VMSA : 0;
    want |= is_large(b) ? SNP_MDATA_2M : 0;
    return (c->mdata.flags & (kind | ~(uint64_t)FRAME_MASK)) == want;
}

/* A VMSA finds the clock of where it comes back. */
static void set_clock(const struct snp_guest *g, uint8_t *page)
{
    struct vmsa v;

    memcpy(&v, page, sizeof(v));
    if (v.sev_features & SEV_FEATURE_SECURE_TSC) {
        v.guest_tsc_scale = g->tsc_scale;
        v.guest_tsc_offset = g->tsc_offset;
    }
    memcpy(page, &v, sizeof(v));
}

static enum sev_status unseal(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    uint8_t iv[12];

    if (b->flags & SNP_SWAP_ROOT_MDATA)
        c->mdata = c->guest->root_mdata;
    else
        asp_get(a, b->mdata_paddr, &c->mdata, sizeof(c->mdata));
    if (!entry_fits(c))
        return SEV_INVALID_MDATA_ENTRY;
    if (!take_memory(c))
        return SEV_RESOURCE_LIMIT;
    asp_get(a, b->src_paddr, c->bytes, size_of(b));
    make_iv(iv, c->mdata.iv);
    if (!aes256_gcm_open(c->guest->oek, iv, NULL, 0, c->bytes, c->bytes, size_of(b), c->mdata.tag))
        return SEV_BAD_MEASUREMENT;
    if (type_of(b) == SNP_SWAP_VMSA)
        set_clock(c->guest, c->bytes);
    return SEV_SUCCESS;
}

enum sev_status snp_check_PAGE_SWAP_IN(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    bool in_place = b->flags & SNP_SWAP_IN_PLACE;
    enum sev_status status = check_form(b, c->guest);

    if (status == SEV_SUCCESS && (b->software_data || (in_place && type_of(b) != SNP_SWAP_DATA)))
        status = SEV_INVALID_PARAM;
    if (status == SEV_SUCCESS && in_place && b->src_paddr != b->dst_paddr)
        status = SEV_INVALID_ADDRESS;
    if (status == SEV_SUCCESS)
        status = check_coming(a, c);
    if (status == SEV_SUCCESS)
        status = check_entry(a, b, c->guest);
    return status == SEV_SUCCESS ? unseal(a, c) : status;
}

void snp_apply_PAGE_SWAP_IN(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_swap *b = &c->buf.swap;
    bool metadata = type_of(b) == SNP_SWAP_METADATA;
    struct rmp_entry e = c->page[0].entry;

    asp_put_private(a, b->dst_paddr, metadata ? DRAM_PLAIN : c->guest->key, c->bytes, size_of(b));
    if (metadata) {
        snp_put_state(a, &c->page[0], RMP_METADATA, c->guest->gctx);
    } else {
        e.validated = c->mdata.flags & SNP_MDATA_PAGE_VALIDATED;
        e.vmsa = c->mdata.flags & SNP_MDATA_VMSA;
        store32(e.perms, (uint32_t)c->mdata.perms);
        rmp_put(a->rmp, b->dst_paddr, &e);
    }
    c->mdata.flags &= ~SNP_MDATA_VALID;
    put_entry(a, c);
}
