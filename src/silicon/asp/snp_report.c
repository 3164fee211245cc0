/* Attestation reports (SEV-SNP ABI, MSG_REPORT_REQ). */
#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/asp/snp_msg.h"
#include "silicon/asp/x509.h"

/* Which report a chip's firmware writes. Milan's, API 1.55 build 3, is older than the builds whose
 * reports name the product (29 on Milan); Genoa's are all seen with version 3. The mitigation
 * vector is that of genuine reports. */
static const struct dialect {
    uint32_t version;
    uint64_t mitigations;
} dialects[CHIPS] = {
    [CHIP_MILAN] = {.version = 2},
    [CHIP_GENOA] = {.version = 3},
    [CHIP_TURIN] = {.version = 5, .mitigations = 0x3F},
};

/* One thread in a core, memory with ECC as every EPYC's, and no two addresses of one cell. */
static uint64_t platform_info(const struct asp *a)
{
    uint64_t info = SNP_PLATFORM_ECC;

    if (a->snp->rapl_dis)
        info |= SNP_PLATFORM_RAPL;
    if (dialects[a->chip->id].version >= 3)
        info |= SNP_PLATFORM_ALIASES;
    return info;
}

static void tell_guest(struct snp_report *r, const struct snp_exchange *x)
{
    const struct snp_guest *g = x->guest;

    r->guest_svn = g->id_block.guest_svn;
    r->policy = g->policy;
    memcpy(r->family_id, g->id_block.family_id, sizeof(r->family_id));
    memcpy(r->image_id, g->id_block.image_id, sizeof(r->image_id));
    r->vmpl = x->req.report.vmpl;
    memcpy(r->report_data, x->req.report.report_data, sizeof(r->report_data));
    memcpy(r->measurement, g->measurement, sizeof(r->measurement));
    memcpy(r->host_data, g->host_data, sizeof(r->host_data));
    memcpy(r->id_key_digest, g->id_key_digest, sizeof(r->id_key_digest));
    memcpy(r->author_key_digest, g->author_key_digest, sizeof(r->author_key_digest));
    memcpy(r->report_id, g->report_id, sizeof(r->report_id));
    memcpy(r->report_id_ma, g->report_id_ma, sizeof(r->report_id_ma));
    r->launch_tcb = g->launch_tcb;
}

/* CPUID 1 EAX: base and extended family and model put together. */
static void tell_product(struct snp_report *r, uint32_t signature)
{
    r->cpuid_family = (uint8_t)((signature >> 8 & 0xF) + (signature >> 20 & 0xFF));
    r->cpuid_model = (uint8_t)((signature >> 4 & 0xF) | (signature >> 12 & 0xF0));
    r->cpuid_stepping = signature & 0xF;
}

static void tell_platform(struct snp_report *r, const struct asp *a)
{
    const struct dialect *d = &dialects[a->chip->id];
    const struct snp_firmware *current = &a->platform->versions.current;
    const struct snp_firmware *committed = &a->platform->versions.committed;

    r->version = d->version;
    r->current_tcb = current->tcb;
    r->committed_tcb = committed->tcb;
    r->reported_tcb = snp_reported_tcb(a);
    r->platform_info = platform_info(a);
    r->current_build = current->build;
    r->current_minor = current->minor;
    r->current_major = current->major;
    r->committed_build = committed->build;
    r->committed_minor = committed->minor;
    r->committed_major = committed->major;
    if (!(a->snp->config & SNP_CONFIG_MASK_CHIP_ID))
        (void)snp_hwid(a->platform, r->chip_id);
    if (d->version >= 3)
        tell_product(r, a->chip->signature);
    if (d->version >= 5)
        r->launch_mit_vector = r->current_mit_vector = d->mitigations;
}

static void reverse(uint8_t *to, const uint8_t from[P384_BYTES])
{
    for (unsigned i = 0; i < P384_BYTES; i++)
        to[i] = from[P384_BYTES - 1 - i];
}

static bool sign(struct snp_report *r, struct snp_exchange *x, enum snp_signing_key which)
{
    struct p384_key key;
    struct p384_signature sig;
    bool ok = snp_attestation_key(x, which, &key) &&
              p384_sign(&key, DIGEST_SHA384, r, offsetof(struct snp_report, signature), &sig);

    if (ok) {
        reverse(r->signature.r, sig.r);
        reverse(r->signature.s, sig.s);
    }
    wipe(&key, sizeof(key));
    return ok;
}

enum sev_status snp_answer_report(struct snp_exchange *x)
{
    const struct snp_msg_report_req *req = &x->req.report;
    struct snp_report *r = &x->rsp.report.report;
    bool masked = x->a->snp->config & SNP_CONFIG_MASK_CHIP_KEY;
    enum snp_signing_key key;
    enum sev_status status;

    for (size_t i = 0; i < sizeof(req->reserved); i++)
        if (req->reserved[i])
            return SEV_INVALID_PARAM;
    if (req->flags & ~UINT32_C(3) || !snp_may_speak(x, req->vmpl))
        return SEV_INVALID_PARAM;
    status = snp_select_key(x, req->flags, &key);
    if (status != SEV_SUCCESS)
        return status;
    if (masked && key == SNP_SIGNED_VCEK)
        key = SNP_SIGNED_NONE;
    tell_guest(r, x);
    tell_platform(r, x->a);
    r->signature_algo = SNP_ALGO_ECDSA_P384_SHA384;
    r->key_info = SNP_REPORT_SIGNING_KEY(key) |
                  (x->guest->author_key_en ? SNP_REPORT_AUTHOR_KEY_EN : 0) |
                  (masked ? SNP_REPORT_MASK_CHIP_KEY : 0);
    if (key != SNP_SIGNED_NONE && !sign(r, x, key))
        return SEV_OUT_OF_ORDER;
    x->rsp.report.report_size = sizeof(*r);
    return SEV_SUCCESS;
}
