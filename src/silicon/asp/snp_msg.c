/* Guest messages: AES-256-GCM under a VMPCK, in order, each answered once (SEV-SNP ABI, guest
 * messages). What is wrong with an envelope is the mailbox's status, and nobody is answered; what
 * is wrong with a letter is a status inside the sealed answer. */
#include "silicon/asp/snp_msg.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"

#define MSG_VERSION 1u /* of all messages */

/* Requests have exactly `request` bytes, or that many at least where the rest depends on the
 * content. `refusal`: the answer's length where it carries a status alone. */
static const struct message {
    uint8_t type;
    bool open_ended;
    uint16_t request, response, refusal;
    enum sev_status (*answer)(struct snp_exchange *x);
} messages[] = {
    {SNP_MSG_CPUID, true, offsetof(struct snp_msg_cpuid_req, entries),
     offsetof(struct snp_msg_cpuid_rsp, entries), offsetof(struct snp_msg_cpuid_rsp, entries),
     snp_answer_cpuid},
    {SNP_MSG_KEY, false, sizeof(struct snp_msg_key_req), sizeof(struct snp_msg_key_rsp),
     sizeof(struct snp_msg_key_rsp), snp_answer_key},
    {SNP_MSG_REPORT, false, sizeof(struct snp_msg_report_req), sizeof(struct snp_msg_report_rsp),
     sizeof(struct snp_msg_report_rsp), snp_answer_report},
    {SNP_MSG_EXPORT, false, sizeof(struct snp_msg_export_req), sizeof(struct snp_msg_export_rsp),
     sizeof(struct snp_msg_export_rsp), snp_answer_export},
    {SNP_MSG_IMPORT, false, sizeof(struct snp_msg_import_req), sizeof(struct snp_msg_status_rsp),
     sizeof(struct snp_msg_status_rsp), snp_answer_import},
    {SNP_MSG_ABSORB, false, sizeof(struct snp_msg_import_req), sizeof(struct snp_msg_status_rsp),
     sizeof(struct snp_msg_status_rsp), snp_answer_absorb},
    {SNP_MSG_ABSORB_NOMA, false, sizeof(struct snp_msg_import_req),
     sizeof(struct snp_msg_status_rsp), sizeof(struct snp_msg_status_rsp), snp_answer_absorb_noma},
    {SNP_MSG_VMRK, false, sizeof(struct snp_msg_vmrk_req), sizeof(struct snp_msg_status_rsp),
     sizeof(struct snp_msg_status_rsp), snp_answer_vmrk},
    {SNP_MSG_TSC_INFO, false, sizeof(struct snp_msg_tsc_req), sizeof(struct snp_msg_tsc_rsp),
     sizeof(struct snp_msg_tsc_rsp), snp_answer_tsc},
};

/* ---- the envelope ------------------------------------------------------------------------------
 */

static bool zeros(const uint8_t *bytes, size_t n)
{
    while (n--)
        if (*bytes++)
            return false;
    return true;
}

static bool header_good(const struct snp_msg_header *h)
{
    return zeros(h->authtag + 16, sizeof(h->authtag) - 16) &&
           zeros(h->reserved, sizeof(h->reserved)) && zeros(h->reserved1, sizeof(h->reserved1)) &&
           zeros(h->reserved2, sizeof(h->reserved2)) && h->algo == SNP_MSG_ALGO_GCM &&
           h->hdr_version == SNP_MSG_HDR_VERSION && h->hdr_size == sizeof(*h) && h->size &&
           !(h->size % SNP_MSG_PAYLOAD_UNIT) && h->size <= SNP_MSG_PAYLOAD && h->vmpck < SNP_VMPCKS;
}

/* MSG_SEQNO, then zeros. */
static void make_iv(uint8_t iv[12], uint64_t seqno)
{
    memset(iv, 0, 12);
    store64(iv, seqno);
}

static const struct message *find_message(const struct snp_msg_header *h)
{
    for (size_t i = 0; i < COUNT(messages); i++)
        if (messages[i].type == h->type)
            return &messages[i];
    return NULL;
}

static enum sev_status open_request(struct snp_exchange *x, const struct snp_msg_header *h,
                                    const uint8_t *page, const struct message **m)
{
    const struct snp_guest *g = x->guest;
    uint64_t count;
    uint8_t iv[12];

    if (!header_good(h))
        return SEV_INVALID_PARAM;
    make_iv(iv, h->seqno);
    if (!aes256_gcm_open(g->vmpck[h->vmpck], iv, page + SNP_MSG_AAD, SNP_MSG_AAD_LEN, x->req.bytes,
                         page + sizeof(*h), h->size, h->authtag))
        return SEV_BAD_MEASUREMENT;
    count = g->msg_count[h->vmpck];
    if (count >= SNP_COUNTER_END || h->seqno != count + 1)
        return SEV_AEAD_OFLOW;
    *m = find_message(h);
    if (!*m || !h->version || h->version > MSG_VERSION ||
        ((*m)->open_ended ? h->size < (*m)->request : h->size != (*m)->request))
        return SEV_INVALID_PARAM;
    x->vmpck = h->vmpck;
    x->req_len = h->size;
    return SEV_SUCCESS;
}

static bool seal_response(const struct snp_exchange *x, const struct snp_msg_header *request,
                          uint8_t *page)
{
    struct snp_msg_header h = {.seqno = request->seqno + 1,
                               .algo = SNP_MSG_ALGO_GCM,
                               .hdr_version = SNP_MSG_HDR_VERSION,
                               .hdr_size = sizeof(h),
                               .type = (uint8_t)(request->type + 1),
                               .version = MSG_VERSION,
                               .size = (uint16_t)x->rsp_len,
                               .vmpck = x->vmpck};
    uint8_t iv[12];

    make_iv(iv, h.seqno);
    if (!aes256_gcm_seal(x->guest->vmpck[x->vmpck], iv, &h.algo, SNP_MSG_AAD_LEN, page + sizeof(h),
                         x->rsp.bytes, x->rsp_len, h.authtag))
        return false;
    memcpy(page, &h, sizeof(h));
    return true;
}

/* ---- a request ---------------------------------------------------------------------------------
 */

static void answer(struct snp_exchange *x, const struct message *m)
{
    enum sev_status status;

    x->rsp_len = m->response;
    status = m->answer(x);
    if (status == SEV_SUCCESS)
        return;
    memset(&x->rsp, 0, sizeof(x->rsp));
    x->rsp.status = (uint32_t)status;
    x->rsp_len = m->refusal;
    x->apply = NULL;
}

static enum sev_status exchange(struct snp_exchange *x, const uint8_t *request_page,
                                uint8_t *response_page)
{
    const struct message *m;
    struct snp_msg_header h;
    enum sev_status status;

    memcpy(&h, request_page, sizeof(h));
    status = open_request(x, &h, request_page, &m);
    if (status != SEV_SUCCESS)
        return status;
    answer(x, m);
    if (!seal_response(x, &h, response_page))
        return SEV_OUT_OF_ORDER;
    x->guest->msg_count[x->vmpck] += 2; /* the request's and the answer's */
    if (x->apply)
        x->apply(x);
    return SEV_SUCCESS;
}

enum sev_status snp_guest_request(struct asp *a, struct snp_guest *g, const uint8_t *request_page,
                                  uint8_t *response_page)
{
    struct snp_exchange x = {.a = a, .guest = g};
    enum sev_status status = SEV_INVALID_GUEST_STATE;

    if (g->state == SNP_GUEST_RUNNING)
        status = exchange(&x, request_page, response_page);
    wipe(&x, sizeof(x));
    return status;
}

/* ---- CPUID --------------------------------------------------------------------------------------
 */

/* What claims too much comes back cut down, with INVALID_PARAM, as at launch. */
enum sev_status snp_answer_cpuid(struct snp_exchange *x)
{
    const struct snp_msg_cpuid_req *req = &x->req.cpuid;
    struct snp_msg_cpuid_rsp *rsp = &x->rsp.cpuid;
    size_t len = req->count * sizeof(req->entries[0]);

    if (req->count > SNP_CPUID_MAX || req->reserved || req->reserved1 ||
        x->req_len != offsetof(struct snp_msg_cpuid_req, entries) + len)
        return SEV_INVALID_PARAM;
    memcpy(rsp->entries, req->entries, len);
    rsp->count = req->count;
    if (snp_cpuid_correct(x->a, rsp->entries, req->count))
        rsp->status = SEV_INVALID_PARAM;
    x->rsp_len += len;
    return SEV_SUCCESS;
}

/* ---- time --------------------------------------------------------------------------------------
 */

enum sev_status snp_answer_tsc(struct snp_exchange *x)
{
    if (!zeros(x->req.tsc.reserved, sizeof(x->req.tsc.reserved)))
        return SEV_INVALID_PARAM;
    x->rsp.tsc.tsc_scale = x->guest->tsc_scale;
    x->rsp.tsc.tsc_offset = x->guest->tsc_offset;
    x->rsp.tsc.tsc_factor = SNP_TSC_FACTOR;
    return SEV_SUCCESS;
}
