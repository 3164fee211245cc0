/* SNP guests: their contexts, their ASIDs, their messages, their debugger (SNP ABI, guest
 * management). */
#include "silicon/asp/snp_internal.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"

/* ---- contexts ------------------------------------------------------------------------------ */

struct snp_guest *snp_guest_at(struct asp *a, uint64_t gctx)
{
    if (gctx & FRAME_MASK || snp_page_state(a, gctx) != RMP_CONTEXT)
        return NULL;
    for (unsigned i = 0; i < SNP_GUESTS; i++)
        if (a->snp->guests[i].used && a->snp->guests[i].gctx == gctx)
            return &a->snp->guests[i];
    return NULL;
}

static void unbind(struct asp *a, struct snp_guest *g)
{
    a->asids[g->asid] = a->asids[g->asid] == ASID_IN_USE ? ASID_DIRTY : ASID_CLEAN;
    dram_bind(a->dram, g->asid, DRAM_PLAIN);
    g->asid = 0;
    a->wbinvd_done = 0;
}

void snp_guest_forget(struct asp *a, struct snp_guest *g)
{
    if (g->asid)
        unbind(a, g);
    dram_key_drop(a->dram, g->key);
    wipe(g, sizeof(*g));
    a->snp->guest_count--;
}

void snp_guest_end(struct asp *a, struct snp_guest *g)
{
    const struct snp_operand page = {.spa = g->gctx};

    snp_put_state(a, &page, RMP_FIRMWARE, 0);
    snp_guest_forget(a, g);
}

void snp_guest_launched(struct asp *a, struct snp_guest *g)
{
    g->state = SNP_GUEST_RUNNING;
    if (g->asid)
        a->asids[g->asid] = ASID_IN_USE;
}

static struct snp_guest *free_guest(struct asp *a)
{
    for (unsigned i = 0; i < SNP_GUESTS; i++)
        if (!a->snp->guests[i].used)
            return &a->snp->guests[i];
    return NULL;
}

enum sev_status snp_check_GCTX_CREATE(struct asp *a, struct snp_call *c)
{
    uint8_t seed[32];

    if (!free_guest(a))
        return SEV_RESOURCE_LIMIT;
    if (!random_bytes(seed, sizeof(seed)) || !random_bytes(c->out.page, sizeof(c->out.page)))
        return SEV_OUT_OF_ORDER;
    c->fresh = (struct snp_guest){.used = true, .gctx = c->buf.gctx.gctx_paddr};
    c->fresh.key = dram_key_new(a->dram, seed);
    wipe(seed, sizeof(seed));
    return c->fresh.key == DRAM_PLAIN ? SEV_RESOURCE_LIMIT : SEV_SUCCESS;
}

void snp_apply_GCTX_CREATE(struct asp *a, struct snp_call *c)
{
    *free_guest(a) = c->fresh;
    a->snp->guest_count++;
    asp_put(a, c->fresh.gctx, c->out.page, sizeof(c->out.page));
    snp_put_state(a, &c->page[0], RMP_CONTEXT, 0);
}

enum sev_status snp_check_DECOMMISSION(struct asp *a, struct snp_call *c)
{
    return SEV_SUCCESS;
}

void snp_apply_DECOMMISSION(struct asp *a, struct snp_call *c)
{
    snp_guest_end(a, c->guest);
    c->guest = NULL;
}

enum sev_status snp_check_GUEST_STATUS(struct asp *a, struct snp_call *c)
{
    return snp_output(a, c->buf.guest_status.status_paddr, sizeof(struct snp_guest_status));
}

void snp_apply_GUEST_STATUS(struct asp *a, struct snp_call *c)
{
    const struct snp_guest_status out = {
        .policy = c->guest->policy,
        .asid = c->guest->asid,
        .state = (uint8_t)c->guest->state,
        .flags = c->guest->vcek_dis ? SNP_GUEST_VCEK_DIS : 0,
    };

    asp_put(a, c->buf.guest_status.status_paddr, &out, sizeof(out));
}

/* ---- ASIDs --------------------------------------------------------------------------------- */

/* The table begins with a counter for each ASID (APM2 15.36.4). */
static bool counter_is_zero(struct asp *a, uint32_t asid)
{
    uint64_t base, end, counter;

    rmp_bounds(a->rmp, &base, &end);
    asp_get(a, base + asid * sizeof(counter), &counter, sizeof(counter));
    return !counter;
}

static enum sev_status check_asid(struct asp *a, const struct snp_guest *g, uint32_t asid)
{
    if (asid == 0 || asid > a->chip->sev_asids)
        return SEV_INVALID_ASID;
    if (a->asids[asid] == ASID_ALLOCATED || a->asids[asid] == ASID_IN_USE)
        return SEV_ASID_OWNED;
    if (g->asid)
        return SEV_ACTIVE;
    if (a->asids[asid] == ASID_DIRTY)
        return SEV_DF_FLUSH_REQUIRED;
    if (asid > a->snp->max_asid)
        return SEV_INVALID_ASID;
    return counter_is_zero(a, asid) ? SEV_SUCCESS : SEV_INVALID_CONFIG;
}

/* The memory controllers get the key now; VMRUN may use it once the guest is launched. */
static void activate(struct asp *a, struct snp_guest *g, uint32_t asid)
{
    g->asid = asid;
    a->asids[asid] = g->state == SNP_GUEST_RUNNING ? ASID_IN_USE : ASID_ALLOCATED;
    dram_bind(a->dram, asid, g->key);
}

enum sev_status snp_check_ACTIVATE(struct asp *a, struct snp_call *c)
{
    return check_asid(a, c->guest, c->buf.activate.asid);
}

void snp_apply_ACTIVATE(struct asp *a, struct snp_call *c)
{
    activate(a, c->guest, c->buf.activate.asid);
}

/* The listed cores must exist. There is one socket, and its cores share all keys. */
enum sev_status snp_check_ACTIVATE_EX(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_activate_ex *b = &c->buf.activate_ex;
    uint32_t id;

    if (!b->numids || b->numids > a->cores)
        return SEV_INVALID_PARAM;
    if (!asp_reaches(a, b->ids_paddr, (uint64_t)b->numids * sizeof(id)))
        return SEV_INVALID_ADDRESS;
    for (uint32_t i = 0; i < b->numids; i++) {
        asp_get(a, b->ids_paddr + i * sizeof(id), &id, sizeof(id));
        if (id >= a->cores)
            return SEV_INVALID_PARAM;
    }
    return check_asid(a, c->guest, b->asid);
}

void snp_apply_ACTIVATE_EX(struct asp *a, struct snp_call *c)
{
    activate(a, c->guest, c->buf.activate_ex.asid);
}

/* ---- GUEST_REQUEST ------------------------------------------------------------------------- */

/* Counters move as a request is answered, so the answer is made here, as the last that may fail. */
enum sev_status snp_check_GUEST_REQUEST(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_guest_request *b = &c->buf.guest_request;
    uint8_t request[FRAME_SIZE];

    asp_get(a, b->request_paddr, request, sizeof(request));
    asp_get(a, b->response_paddr, c->out.page, sizeof(c->out.page));
    return snp_guest_request(a, c->guest, request, c->out.page);
}

void snp_apply_GUEST_REQUEST(struct asp *a, struct snp_call *c)
{
    asp_put(a, c->buf.guest_request.response_paddr, c->out.page, sizeof(c->out.page));
}

/* ---- debugging ----------------------------------------------------------------------------- */

enum sev_status snp_check_DBG_DECRYPT(struct asp *a, struct snp_call *c)
{
    return SEV_SUCCESS;
}

void snp_apply_DBG_DECRYPT(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_dbg *b = &c->buf.dbg;

    asp_copy(a, b->dst_paddr, DRAM_PLAIN, b->src_paddr, c->guest->key, FRAME_SIZE, NULL);
}

enum sev_status snp_check_DBG_ENCRYPT(struct asp *a, struct snp_call *c)
{
    return SEV_SUCCESS;
}

void snp_apply_DBG_ENCRYPT(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_dbg *b = &c->buf.dbg;

    asp_copy(a, b->dst_paddr, c->guest->key, b->src_paddr, DRAM_PLAIN, FRAME_SIZE, NULL);
}
