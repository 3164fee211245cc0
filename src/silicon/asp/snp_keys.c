/* Attestation keys as a guest may use them, and keys derived from them (SEV-SNP ABI, MSG_KEY_REQ).
 */
#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/asp/snp_msg.h"

bool snp_may_speak(const struct snp_exchange *x, uint32_t vmpl)
{
    return vmpl >= x->vmpck && vmpl < SNP_VMPCKS;
}

enum sev_status snp_select_key(const struct snp_exchange *x, uint32_t sel,
                               enum snp_signing_key *key)
{
    bool loaded = x->a->snp->vlek_loaded;

    switch (sel) {
    case SNP_KEY_VLEK_ELSE_VCEK:
        *key = loaded ? SNP_SIGNED_VLEK : SNP_SIGNED_VCEK;
        break;
    case SNP_KEY_VCEK:
        *key = SNP_SIGNED_VCEK;
        break;
    case SNP_KEY_VLEK:
        *key = SNP_SIGNED_VLEK;
        break;
    default:
        return SEV_INVALID_KEY;
    }
    return *key == SNP_SIGNED_VLEK ? (loaded ? SEV_SUCCESS : SEV_INVALID_KEY)
                                   : (x->guest->vcek_dis ? SEV_INVALID_KEY : SEV_SUCCESS);
}

/* The chip derives its VCEK at INIT and CONFIG; here when it is first used, and again when the TCB
 * it is for has changed. */
static bool current_vcek(struct snp_exchange *x, const struct snp_vcek **out)
{
    struct snp_vcek *v = &x->a->snp->vcek;
    uint64_t tcb = snp_reported_tcb(x->a);

    if (!v->known || v->tcb != tcb) {
        v->known = vcek_hash(x->a->platform->secret, tcb, v->hash) && vcek_key(v->hash, &v->key);
        v->tcb = tcb;
    }
    *out = v;
    return v->known;
}

bool snp_attestation_key(struct snp_exchange *x, enum snp_signing_key which, struct p384_key *key)
{
    const struct snp_vcek *v;

    if (which == SNP_SIGNED_VLEK)
        return vlek_key(x->a->snp->vlek[VLEK_HASHES - 1], key);
    if (!current_vcek(x, &v))
        return false;
    *key = v->key;
    return true;
}

/* ---- MSG_KEY_REQ -------------------------------------------------------------------------------
 */

struct root {
    uint8_t bytes[VCEK_HASH_BYTES];
    size_t len;
};

static enum sev_status find_root(struct snp_exchange *x, struct root *root)
{
    const struct snp_msg_key_req *req = &x->req.key;
    const struct snp_vcek *v;
    enum snp_signing_key key;
    enum sev_status status;

    if (req->flags & SNP_KEY_ROOT_VMRK) {
        root->len = sizeof(x->guest->vmrk);
        memcpy(root->bytes, x->guest->vmrk, root->len);
        return SEV_SUCCESS;
    }
    if (x->a->snp->config & SNP_CONFIG_MASK_CHIP_KEY)
        return SEV_INVALID_KEY;
    status = snp_select_key(x, SNP_KEY_SEL(req->flags), &key);
    if (status != SEV_SUCCESS)
        return status;
    root->len = VCEK_HASH_BYTES;
    if (key == SNP_SIGNED_VLEK) {
        memcpy(root->bytes, x->a->snp->vlek[VLEK_HASHES - 1], root->len);
        return SEV_SUCCESS;
    }
    if (req->guest_field_select & SNP_GFS_TCB)
        return vcek_hash(x->a->platform->secret, req->tcb, root->bytes) ? SEV_SUCCESS
                                                                        : SEV_OUT_OF_ORDER;
    if (!current_vcek(x, &v))
        return SEV_OUT_OF_ORDER;
    memcpy(root->bytes, v->hash, root->len);
    return SEV_SUCCESS;
}

static void make_mix(const struct snp_exchange *x, struct snp_key_mix *mix)
{
    const struct snp_msg_key_req *req = &x->req.key;
    const struct snp_guest *g = x->guest;
    uint64_t gfs = req->guest_field_select;

    *mix = (struct snp_key_mix){.flags = req->flags & SNP_KEY_ROOT_VMRK,
                                .guest_field_select = gfs,
                                .vmpl = req->vmpl,
                                .guest_svn = gfs & SNP_GFS_GUEST_SVN ? req->guest_svn : 0,
                                .tcb = gfs & SNP_GFS_TCB ? req->tcb : 0,
                                .policy = gfs & SNP_GFS_POLICY ? g->policy : 0};
    if (gfs & SNP_GFS_IMAGE_ID)
        memcpy(mix->image_id, g->id_block.image_id, sizeof(mix->image_id));
    if (gfs & SNP_GFS_FAMILY_ID)
        memcpy(mix->family_id, g->id_block.family_id, sizeof(mix->family_id));
    if (gfs & SNP_GFS_MEASUREMENT)
        memcpy(mix->measurement, g->measurement, sizeof(mix->measurement));
    memcpy(mix->host_data, g->host_data, sizeof(mix->host_data));
    if (g->author_key_en) {
        mix->flags |= SNP_MIX_KEY_AUTHOR;
        memcpy(mix->key_digest, g->author_key_digest, sizeof(mix->key_digest));
    } else if (g->id_block_en) {
        mix->flags |= SNP_MIX_KEY_ID;
        memcpy(mix->key_digest, g->id_key_digest, sizeof(mix->key_digest));
    }
}

static bool request_good(const struct snp_exchange *x)
{
    const struct snp_msg_key_req *req = &x->req.key;
    uint64_t gfs = req->guest_field_select;

    return !(req->flags & ~SNP_KEY_FLAGS) && !req->reserved && !(gfs & ~SNP_GFS_FIELDS) &&
           snp_may_speak(x, req->vmpl) &&
           (!(gfs & SNP_GFS_GUEST_SVN) || req->guest_svn <= x->guest->id_block.guest_svn) &&
           (!(gfs & SNP_GFS_TCB) ||
            tcb_within(x->a->chip, req->tcb, x->a->platform->versions.committed.tcb));
}

enum sev_status snp_answer_key(struct snp_exchange *x)
{
    struct snp_key_mix mix;
    struct root root;
    enum sev_status status;

    if (!request_good(x))
        return SEV_INVALID_PARAM;
    status = find_root(x, &root);
    if (status == SEV_SUCCESS) {
        make_mix(x, &mix);
        if (!sev_kdf(x->rsp.key.key, sizeof(x->rsp.key.key), root.bytes, root.len, "gmsg-keyreq",
                     &mix, sizeof(mix)))
            status = SEV_OUT_OF_ORDER;
    }
    wipe(&root, sizeof(root));
    return status;
}
