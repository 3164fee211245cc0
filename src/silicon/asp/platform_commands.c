/* Commands of the platform: from INIT to SHUTDOWN, and its keys (SEV API, platform management). */
#include "silicon/asp/snp_internal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/cipher.h"

/* ---- INIT, INIT_EX ------------------------------------------------------------------------- */

/* What this chip wrote there, or a new identity where nothing is written. A store that somebody
 * else wrote is erased, so that the next INIT can start afresh: the one trace a refusal leaves. */
static enum sev_status unseal(struct asp *a, struct call *c, uint8_t area[SEV_NV_BYTES])
{
    struct error err;

    if (!identity_derive_cek(&c->identity, a->chip, a->platform->secret))
        return SEV_OUT_OF_ORDER;
    switch (identity_unseal(&c->identity, a->platform->secret, area)) {
    case STORE_GOOD:
        return SEV_SUCCESS;
    case STORE_EMPTY:
        c->store_identity = true;
        return identity_new_pek(&c->identity, a->chip) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
    default:
        memset(area, 0xFF, SEV_NV_BYTES);
        if (c->nv_paddr)
            asp_put(a, c->nv_paddr, area, SEV_NV_BYTES);
        else if (platform_nv_store(a->platform, NULL, &err) != OK)
            warn("secure processor: %s", err.text);
        return SEV_SECURE_DATA_INVALID;
    }
}

/* SEV-ES needs a region for itself; `nv`: where INIT_EX says that the store is, or 0. */
static enum sev_status check_es(const struct asp *a, uint16_t flags, uint64_t tmr, uint32_t len,
                                uint64_t nv)
{
    uint32_t need = rmp_enforced(a->rmp) ? SEV_TMR_SNP : SEV_TMR_BYTES;

    if (rmp_enabled(a->rmp) && !rmp_enforced(a->rmp)) /* SNP_INIT comes first */
        return SEV_INVALID_PLATFORM_STATE;
    if (flags & ~SEV_INIT_ES)
        return SEV_INVALID_CONFIG;
    if (!(flags & SEV_INIT_ES))
        return SEV_SUCCESS;
    if (a->chip->level < SEV_ES)
        return SEV_UNSUPPORTED;
    if (len != need)
        return SEV_INVALID_LENGTH;
    if (!tmr || tmr % need || asp_check_output(a, tmr, need) != SEV_SUCCESS)
        return SEV_INVALID_ADDRESS;
    return nv && nv < tmr + need && tmr < nv + SEV_NV_BYTES ? SEV_INVALID_ADDRESS : SEV_SUCCESS;
}

static enum sev_status init_from_flash(struct asp *a, struct call *c)
{
    uint8_t area[SEV_NV_BYTES];
    struct error err;

    c->nv_paddr = 0;
    if (platform_nv_load(a->platform, area, &err) != OK) {
        warn("secure processor: %s", err.text);
        return SEV_OUT_OF_ORDER;
    }
    return unseal(a, c, area);
}

enum sev_status asp_check_INIT(struct asp *a, struct call *c)
{
    const struct sev_cmd_init *b = &c->buf.init;
    enum sev_status status = check_es(a, b->flags, b->tmr_paddr, b->tmr_len, 0);

    c->tmr = b->flags & SEV_INIT_ES ? b->tmr_paddr : 0;
    return status == SEV_SUCCESS ? init_from_flash(a, c) : status;
}

void asp_apply_INIT(struct asp *a, struct call *c)
{
    a->identity = c->identity;
    a->nv_paddr = c->nv_paddr;
    a->tmr = c->tmr;
    a->state = SEV_PLATFORM_INIT;
    if (a->snp->state == SNP_PLATFORM_INIT) /* which has begun with ASIDs already */
        return;
    for (unsigned i = 1; i <= a->chip->sev_asids; i++)
        a->asids[i] = ASID_DIRTY;
    a->wbinvd_done = 0;
}

enum sev_status asp_check_INIT_EX(struct asp *a, struct call *c)
{
    const struct sev_cmd_init_ex *b = &c->buf.init_ex;
    uint8_t area[SEV_NV_BYTES];
    enum sev_status status;

    if (b->len != sizeof(*b))
        return SEV_INVALID_LENGTH;
    if (b->nv_paddr && b->nv_len != SEV_NV_BYTES)
        return SEV_INVALID_LENGTH;
    if (b->nv_paddr & FRAME_MASK || !asp_reaches(a, b->nv_paddr, SEV_NV_BYTES))
        return SEV_INVALID_ADDRESS;
    status = b->nv_paddr ? asp_check_output(a, b->nv_paddr, SEV_NV_BYTES) : SEV_SUCCESS;
    if (status == SEV_SUCCESS)
        status = check_es(a, b->flags, b->tmr_paddr, b->tmr_len, b->nv_paddr);
    c->tmr = b->flags & SEV_INIT_ES ? b->tmr_paddr : 0;
    if (status != SEV_SUCCESS)
        return status;
    if (!b->nv_paddr)
        return init_from_flash(a, c);
    c->nv_paddr = b->nv_paddr;
    asp_get(a, b->nv_paddr, area, sizeof(area));
    return unseal(a, c, area);
}

void asp_apply_INIT_EX(struct asp *a, struct call *c)
{
    asp_apply_INIT(a, c);
}

/* ---- SHUTDOWN, PLATFORM_RESET, PLATFORM_STATUS --------------------------------------------- */

enum sev_status asp_check_SHUTDOWN(struct asp *a, struct call *c)
{
    return SEV_SUCCESS;
}

void asp_apply_SHUTDOWN(struct asp *a, struct call *c)
{
    for (unsigned i = 0; i < ASP_GUESTS; i++)
        if (a->guests[i].state != SEV_GUEST_UNINIT)
            asp_guest_end(a, &a->guests[i]);
    wipe(&a->identity, sizeof(a->identity));
    a->nv_paddr = a->tmr = 0;
    a->state = SEV_PLATFORM_UNINIT;
}

/* Of the chip's own store alone: an area that INIT_EX named is its owner's to erase. Done here, not
 * in apply, because a disk can refuse; it is the last thing that can. */
enum sev_status asp_check_PLATFORM_RESET(struct asp *a, struct call *c)
{
    struct error err;

    if (platform_nv_store(a->platform, NULL, &err) == OK)
        return SEV_SUCCESS;
    warn("secure processor: %s", err.text);
    return SEV_OUT_OF_ORDER;
}

void asp_apply_PLATFORM_RESET(struct asp *a, struct call *c)
{
}

enum sev_status asp_check_PLATFORM_STATUS(struct asp *a, struct call *c)
{
    return SEV_SUCCESS;
}

void asp_apply_PLATFORM_STATUS(struct asp *a, struct call *c)
{
    c->buf.platform_status = (struct sev_cmd_platform_status){
        .api_major = a->chip->api_major,
        .api_minor = a->chip->api_minor,
        .build = a->chip->api_build,
        .state = (uint8_t)a->state,
        .owner = a->identity.external,
        .flags = a->tmr ? SEV_INIT_ES : 0,
        .guest_count = a->guest_count,
    };
}

/* ---- keys and certificates ----------------------------------------------------------------- */

enum sev_status asp_check_PEK_GEN(struct asp *a, struct call *c)
{
    c->identity = a->identity;
    c->store_identity = true;
    return identity_new_pek(&c->identity, a->chip) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
}

void asp_apply_PEK_GEN(struct asp *a, struct call *c)
{
    a->identity = c->identity;
}

enum sev_status asp_check_PDH_GEN(struct asp *a, struct call *c)
{
    c->identity = a->identity;
    c->store_identity = true;
    return identity_new_pdh(&c->identity, a->chip) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
}

void asp_apply_PDH_GEN(struct asp *a, struct call *c)
{
    a->identity = c->identity;
}

/* PEK_CSR, GET_ID and their kin: is there room for what they write? Their length fields then come
 * back as `needed`, which is also how a caller finds out. */
static enum sev_status check_room(const struct asp *a, uint64_t paddr, uint32_t room,
                                  uint32_t needed)
{
    if (room < needed)
        return SEV_INVALID_LENGTH;
    return asp_check_output(a, paddr, needed);
}

enum sev_status asp_check_PEK_CSR(struct asp *a, struct call *c)
{
    struct sev_cmd_buffer *b = &c->buf.buffer;
    enum sev_status status = check_room(a, b->paddr, b->len, SEV_CERT_BYTES);

    b->len = SEV_CERT_BYTES;
    return status;
}

void asp_apply_PEK_CSR(struct asp *a, struct call *c)
{
    struct sev_cert csr = a->identity.pek_cert;

    csr.sigs[0] = csr.sigs[1] = (struct sev_cert_sig){.usage = USAGE_NONE};
    asp_put(a, c->buf.buffer.paddr, &csr, sizeof(csr));
}

static enum sev_status status_of(enum cert_verdict v)
{
    static const enum sev_status statuses[] = {
        [CERT_GOOD] = SEV_SUCCESS,
        [CERT_INVALID] = SEV_INVALID_CERTIFICATE,
        [CERT_BAD_SIGNATURE] = SEV_BAD_SIGNATURE,
    };

    return statuses[v];
}

/* This platform's PEK, as its new owner signed it, takes over the chip's signature on the old one.
 */
static void take_over_cek(struct sev_cert *pek, const struct sev_cert *old)
{
    unsigned room = pek->sigs[1].usage != USAGE_OCA;

    for (unsigned i = 0; i < COUNT(old->sigs); i++)
        if (old->sigs[i].usage == USAGE_CEK)
            pek->sigs[room] = old->sigs[i];
}

enum sev_status asp_check_PEK_CERT_IMPORT(struct asp *a, struct call *c)
{
    const struct sev_cmd_pek_cert_import *b = &c->buf.pek_cert_import;
    struct sev_cert pek, oca;
    enum sev_status status;

    if (a->identity.external)
        return SEV_ALREADY_OWNED;
    if (b->pek_len != SEV_CERT_BYTES || b->oca_len != SEV_CERT_BYTES)
        return SEV_INVALID_LENGTH;
    if (!asp_reaches(a, b->pek_paddr, SEV_CERT_BYTES) ||
        !asp_reaches(a, b->oca_paddr, SEV_CERT_BYTES))
        return SEV_INVALID_ADDRESS;
    asp_get(a, b->pek_paddr, &pek, sizeof(pek));
    asp_get(a, b->oca_paddr, &oca, sizeof(oca));
    status = status_of(sev_cert_verify(&oca, &oca));
    if (status == SEV_SUCCESS)
        status = status_of(sev_cert_verify(&pek, &oca));
    if (status != SEV_SUCCESS)
        return status;
    if (memcmp(&pek, &a->identity.pek_cert, SEV_CERT_BODY))
        return SEV_INVALID_CERTIFICATE;

    take_over_cek(&pek, &a->identity.pek_cert);
    c->identity = a->identity;
    c->identity.pek_cert = pek;
    c->identity.oca_cert = oca;
    c->identity.external = true;
    wipe(&c->identity.oca, sizeof(c->identity.oca));
    c->store_identity = true;
    return identity_new_pdh(&c->identity, a->chip) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
}

void asp_apply_PEK_CERT_IMPORT(struct asp *a, struct call *c)
{
    a->identity = c->identity;
}

enum sev_status asp_check_PDH_CERT_EXPORT(struct asp *a, struct call *c)
{
    struct sev_cmd_pdh_cert_export *b = &c->buf.pdh_cert_export;
    enum sev_status pdh = check_room(a, b->pdh_paddr, b->pdh_len, SEV_CERT_BYTES);
    enum sev_status chain = check_room(a, b->chain_paddr, b->chain_len, SEV_CHAIN_BYTES);

    b->pdh_len = SEV_CERT_BYTES;
    b->chain_len = SEV_CHAIN_BYTES;
    /* a length first, whichever it is: it is what a probe asks for */
    return pdh == SEV_INVALID_LENGTH || chain == SEV_INVALID_LENGTH ? SEV_INVALID_LENGTH
           : pdh != SEV_SUCCESS                                     ? pdh
                                                                    : chain;
}

void asp_apply_PDH_CERT_EXPORT(struct asp *a, struct call *c)
{
    const struct sev_cmd_pdh_cert_export *b = &c->buf.pdh_cert_export;
    const struct sev_cert chain[] = {a->identity.pek_cert, a->identity.oca_cert,
                                     a->identity.cek_cert};

    static_assert(sizeof(chain) == SEV_CHAIN_BYTES, "SEV API, PDH_CERT_EXPORT");
    asp_put(a, b->pdh_paddr, &a->identity.pdh_cert, SEV_CERT_BYTES);
    asp_put(a, b->chain_paddr, chain, sizeof(chain));
}

enum sev_status asp_check_GET_ID(struct asp *a, struct call *c)
{
    struct sev_cmd_buffer *b = &c->buf.buffer;
    enum sev_status status = check_room(a, b->paddr, b->len, SEV_ID_BYTES);

    b->len = SEV_ID_BYTES;
    return status;
}

void asp_apply_GET_ID(struct asp *a, struct call *c)
{
    asp_put(a, c->buf.buffer.paddr, a->platform->id, SEV_ID_BYTES);
}

enum sev_status asp_check_NOP(struct asp *a, struct call *c)
{
    return SEV_SUCCESS;
}

void asp_apply_NOP(struct asp *a, struct call *c)
{
}

/* ---- DF_FLUSH ------------------------------------------------------------------------------ */

static bool any_dirty(const struct asp *a)
{
    for (unsigned i = 1; i <= a->chip->sev_asids; i++)
        if (a->asids[i] == ASID_DIRTY)
            return true;
    return false;
}

/* Every core's caches must have been written back since an ASID became dirty. */
enum sev_status asp_check_DF_FLUSH(struct asp *a, struct call *c)
{
    uint64_t all = a->cores < 64 ? BIT(a->cores) - 1 : UINT64_MAX;

    return any_dirty(a) && a->wbinvd_done != all ? SEV_WBINVD_REQUIRED : SEV_SUCCESS;
}

void asp_apply_DF_FLUSH(struct asp *a, struct call *c)
{
    for (unsigned i = 1; i <= a->chip->sev_asids; i++)
        if (a->asids[i] == ASID_DIRTY)
            a->asids[i] = ASID_CLEAN;
}
