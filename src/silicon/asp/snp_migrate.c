/* Guests that move: their contexts, exported and taken in by migration agents (SEV-SNP ABI,
 * MSG_EXPORT_REQ and the messages after it). The agent is a guest itself, and the guest's owner
 * trusts it: what it says of a context is checked for form, and for the images that it must fit. */
#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/asp/snp_msg.h"

static bool is_agent_of(const struct snp_guest *agent, const struct snp_guest *g)
{
    return g->has_ma && equal_bytes(g->report_id_ma, agent->report_id, sizeof(g->report_id_ma));
}

static bool zeros(const uint8_t *bytes, size_t n)
{
    while (n--)
        if (*bytes++)
            return false;
    return true;
}

/* ---- contexts ----------------------------------------------------------------------------------
 */

static void write_context(struct snp_context *c, const struct snp_guest *g)
{
    *c = (struct snp_context){.root_mdata = g->root_mdata,
                              .flags = (g->author_key_en ? SNP_CONTEXT_AUTHOR_KEY : 0) |
                                       (g->id_block_en ? SNP_CONTEXT_ID_BLOCK : 0) |
                                       (g->vcek_dis ? SNP_CONTEXT_VCEK_DIS : 0),
                              .policy = g->policy,
                              .state = (uint64_t)g->state,
                              .oek_iv = g->oek_iv,
                              .id_block = g->id_block,
                              .desired_tsc_khz = g->desired_tsc_khz,
                              .tsc_offset = g->tsc_offset,
                              .launch_tcb = g->launch_tcb};
    memcpy(c->measurement, g->measurement, sizeof(c->measurement));
    memcpy(c->oek, g->oek, sizeof(c->oek));
    memcpy(c->vmpck, g->vmpck, sizeof(c->vmpck));
    memcpy(c->vmrk, g->vmrk, sizeof(c->vmrk));
    memcpy(c->host_data, g->host_data, sizeof(c->host_data));
    memcpy(c->id_key_digest, g->id_key_digest, sizeof(c->id_key_digest));
    memcpy(c->author_key_digest, g->author_key_digest, sizeof(c->author_key_digest));
    memcpy(c->report_id, g->report_id, sizeof(c->report_id));
    memcpy(c->imd, g->imd, sizeof(c->imd));
    memcpy(c->msg_count, g->msg_count, sizeof(c->msg_count));
    memcpy(c->gosvw, g->gosvw, sizeof(c->gosvw));
}

/* `g` keeps what is its own on this machine: its page, its key, its ASID, its agent. */
static void read_context(struct snp_guest *g, const struct snp_context *c)
{
    g->state = SNP_GUEST_RUNNING;
    g->policy = c->policy;
    g->launch_tcb = c->launch_tcb;
    g->oek_iv = c->oek_iv;
    g->root_mdata = c->root_mdata;
    g->id_block = c->id_block;
    g->author_key_en = c->flags & SNP_CONTEXT_AUTHOR_KEY;
    g->id_block_en = c->flags & SNP_CONTEXT_ID_BLOCK;
    g->vcek_dis = c->flags & SNP_CONTEXT_VCEK_DIS;
    g->tsc_offset = c->tsc_offset;
    memcpy(g->measurement, c->measurement, sizeof(g->measurement));
    memcpy(g->oek, c->oek, sizeof(g->oek));
    memcpy(g->vmpck, c->vmpck, sizeof(g->vmpck));
    memcpy(g->vmrk, c->vmrk, sizeof(g->vmrk));
    memcpy(g->host_data, c->host_data, sizeof(g->host_data));
    memcpy(g->id_key_digest, c->id_key_digest, sizeof(g->id_key_digest));
    memcpy(g->author_key_digest, c->author_key_digest, sizeof(g->author_key_digest));
    memcpy(g->imd, c->imd, sizeof(g->imd));
    memcpy(g->msg_count, c->msg_count, sizeof(g->msg_count));
    memcpy(g->gosvw, c->gosvw, sizeof(g->gosvw));
}

static bool import_good(const struct snp_exchange *x)
{
    const struct snp_msg_import_req *req = &x->req.import;
    const struct snp_context *c = &req->context;

    return req->size == sizeof(*c) && req->version == SNP_CONTEXT_VERSION &&
           zeros(req->reserved, sizeof(req->reserved)) && zeros(c->reserved, sizeof(c->reserved)) &&
           c->flags < 8 && c->state == SNP_GUEST_RUNNING && c->desired_tsc_khz <= UINT32_MAX &&
           (c->policy & SNP_POLICY_MBO) && tcb_well_formed(x->a->chip, c->launch_tcb);
}

/* ---- out ---------------------------------------------------------------------------------------
 */

static void end_target(struct snp_exchange *x)
{
    snp_guest_end(x->a, x->target);
}

enum sev_status snp_answer_export(struct snp_exchange *x)
{
    const struct snp_msg_export_req *req = &x->req.export;
    struct snp_guest *g = snp_guest_at(x->a, req->gctx_paddr);
    struct snp_context *c = &x->rsp.export.context;

    if (req->flags & ~SNP_EXPORT_IMI || req->reserved)
        return SEV_INVALID_PARAM;
    if (!g || (g != x->guest && !is_agent_of(x->guest, g)))
        return SEV_INVALID_GUEST;
    if (g->state != SNP_GUEST_RUNNING)
        return SEV_INVALID_GUEST_STATE;
    if (g == x->guest && x->vmpck)
        return SEV_INVALID_PARAM;
    x->rsp.export.size = sizeof(*c);
    x->rsp.export.version = SNP_CONTEXT_VERSION;
    write_context(c, g);
    if (g == x->guest)
        c->msg_count[x->vmpck] += 2; /* as this exchange leaves it */
    if (!(req->flags & SNP_EXPORT_IMI)) {
        x->target = g;
        x->apply = end_target;
    }
    return SEV_SUCCESS;
}

/* ---- in ----------------------------------------------------------------------------------------
 */

static void become_fresh(struct snp_exchange *x)
{
    *x->target = x->fresh;
    snp_guest_launched(x->a, x->target);
}

static enum sev_status take_in(struct snp_exchange *x, struct snp_guest *g)
{
    const struct snp_context *c = &x->req.import.context;

    x->target = g;
    x->fresh = *g;
    if (!snp_set_clock(x->a, (uint32_t)c->desired_tsc_khz, &x->fresh))
        return SEV_INVALID_PARAM;
    read_context(&x->fresh, c);
    x->apply = become_fresh;
    return SEV_SUCCESS;
}

enum sev_status snp_answer_import(struct snp_exchange *x)
{
    const struct snp_msg_import_req *req = &x->req.import;
    struct snp_guest *g = snp_guest_at(x->a, req->gctx_paddr);
    enum sev_status status;

    if (!import_good(x) || !(req->context.policy & SNP_POLICY_MIGRATE_MA))
        return SEV_INVALID_PARAM;
    if (!g)
        return SEV_INVALID_GUEST;
    if (g->state != SNP_GUEST_INIT)
        return SEV_INVALID_GUEST_STATE;
    if (!(req->context.root_mdata.flags & SNP_MDATA_VALID))
        return SEV_INVALID_MDATA_ENTRY;
    status = take_in(x, g);
    if (status != SEV_SUCCESS)
        return status;
    x->fresh.has_ma = true;
    memcpy(x->fresh.report_id_ma, x->guest->report_id, sizeof(x->fresh.report_id_ma));
    return random_bytes(x->fresh.report_id, sizeof(x->fresh.report_id)) ? SEV_SUCCESS
                                                                        : SEV_OUT_OF_ORDER;
}

enum sev_status snp_answer_absorb(struct snp_exchange *x)
{
    const struct snp_msg_import_req *req = &x->req.import;
    struct snp_guest *g = snp_guest_at(x->a, req->gctx_paddr);

    if (!import_good(x) || !(req->context.policy & SNP_POLICY_MIGRATE_MA))
        return SEV_INVALID_PARAM;
    if (!g || !is_agent_of(x->guest, g))
        return SEV_INVALID_GUEST;
    if (g->state != SNP_GUEST_LAUNCH || !g->imi)
        return SEV_INVALID_GUEST_STATE;
    if (req->context.root_mdata.flags & SNP_MDATA_VALID)
        return SEV_INVALID_MDATA_ENTRY;
    if (!equal_bytes(req->context.imd, g->measurement, sizeof(g->measurement)))
        return SEV_BAD_MEASUREMENT;
    return take_in(x, g);
}

/* A guest that carries itself: the one that asks becomes what it brings. */
enum sev_status snp_answer_absorb_noma(struct snp_exchange *x)
{
    const struct snp_msg_import_req *req = &x->req.import;
    struct snp_guest *g = x->guest;

    if (!import_good(x) || req->gctx_paddr)
        return SEV_INVALID_PARAM;
    if (g->has_ma)
        return SEV_INVALID_GUEST;
    if (!equal_bytes(req->context.imd, g->measurement, sizeof(g->measurement)) ||
        !equal_bytes(req->context.imd, g->imd, sizeof(g->imd)))
        return SEV_BAD_MEASUREMENT;
    return take_in(x, g);
}

/* ---- VMRK --------------------------------------------------------------------------------------
 */

static void set_vmrk(struct snp_exchange *x)
{
    memcpy(x->target->vmrk, x->req.vmrk.vmrk, sizeof(x->target->vmrk));
}

enum sev_status snp_answer_vmrk(struct snp_exchange *x)
{
    const struct snp_msg_vmrk_req *req = &x->req.vmrk;
    struct snp_guest *g = snp_guest_at(x->a, req->gctx_paddr);

    if (x->vmpck || !zeros(req->reserved, sizeof(req->reserved)))
        return SEV_INVALID_PARAM;
    if (!g || !is_agent_of(x->guest, g))
        return SEV_INVALID_GUEST;
    if (g->state != SNP_GUEST_LAUNCH || g->imi)
        return SEV_INVALID_GUEST_STATE;
    x->target = g;
    x->apply = set_vmrk;
    return SEV_SUCCESS;
}
