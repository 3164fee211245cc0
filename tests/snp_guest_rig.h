/* A secure processor with guests that already run, and the guest's end of its messages, written
 * from the ABI's tables with libcrypto alone: the fields by their offsets, not by our structures.
 */
#ifndef LUCCA_TESTS_SNP_GUEST_RIG_H
#define LUCCA_TESTS_SNP_GUEST_RIG_H

#include "base/bytes.h"
#include "crypto/openssl.h"
#include "silicon/asp/snp_msg.h"

#include <string.h>

#define RIG_DRAM  0x400000u /* 4 MiB */
#define RIG_TABLE 0x200000u /* the reverse map table, 1 MiB */

struct guest_rig {
    struct dram *dram;
    struct rmp *rmp;
    struct asp *asp;
};

static inline bool guest_rig_open(struct guest_rig *r, enum chip_id chip, const char *platform,
                                  struct error *err)
{
    if (dram_new(RIG_DRAM, false, &r->dram, err) != OK || rmp_new(r->dram, &r->rmp, err) != OK ||
        asp_new(chip_by_id(chip), r->dram, r->rmp, 1, platform, &r->asp, err) != OK)
        return false;
    rmp_set_bounds(r->rmp, RIG_TABLE, RIG_TABLE + 0xFFFFF);
    rmp_enable(r->rmp, true);
    r->asp->snp->state = SNP_PLATFORM_INIT;
    return rmp_init_table(r->rmp);
}

static inline void guest_rig_close(struct guest_rig *r)
{
    asp_free(r->asp);
    rmp_free(r->rmp);
    dram_free(r->dram);
}

/* Number `n` of the guests, with its context in frame 16 + n; what identifies it is random. */
static inline struct snp_guest *guest_rig_guest(struct guest_rig *r, unsigned n,
                                                enum snp_guest_state state)
{
    struct snp_guest *g = &r->asp->snp->guests[n];
    const struct snp_operand page = {.spa = (16 + n) * (uint64_t)FRAME_SIZE};

    memset(g, 0, sizeof(*g));
    g->used = true;
    g->gctx = page.spa;
    g->state = state;
    g->policy = 0x30000;
    g->launch_tcb = r->asp->platform->versions.committed.tcb;
    g->tsc_scale = UINT64_C(1) << 32;
    memset(g->report_id_ma, 0xFF, sizeof(g->report_id_ma));
    (void)RAND_bytes(g->report_id, sizeof(g->report_id));
    (void)RAND_bytes(g->vmpck[0], sizeof(g->vmpck));
    (void)RAND_bytes(g->oek, sizeof(g->oek));
    (void)RAND_bytes(g->vmrk, sizeof(g->vmrk));
    (void)RAND_bytes(g->measurement, sizeof(g->measurement));
    (void)RAND_bytes(g->host_data, sizeof(g->host_data));
    snp_put_state(r->asp, &page, RMP_CONTEXT, 0);
    r->asp->snp->guest_count++;
    return g;
}

/* ---- the guest's end ---------------------------------------------------------------------------
 */

/* AES-256-GCM with SEQNO as IV and bytes 30h to 5Fh as associated data. */
static inline bool guest_gcm(bool seal, const uint8_t key[32], uint8_t *page, void *payload,
                             size_t len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t iv[12] = {0}, *text = page + 0x60;
    int n;
    bool ok;

    memcpy(iv, page + 0x20, 8);
    ok = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv, seal) == 1 &&
         EVP_CipherUpdate(ctx, NULL, &n, page + 0x30, 0x30) == 1 &&
         EVP_CipherUpdate(ctx, seal ? text : payload, &n, seal ? payload : text, (int)len) == 1 &&
         (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, page) == 1) &&
         EVP_CipherFinal_ex(ctx, iv, &n) == 1 &&
         (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, page) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static inline void guest_header(uint8_t page[FRAME_SIZE], uint64_t seqno, uint8_t type,
                                uint8_t version, uint8_t vmpck, size_t len)
{
    memset(page, 0, FRAME_SIZE);
    store64(page + 0x20, seqno);
    page[0x30] = 1; /* AES-256-GCM */
    page[0x31] = 1;
    store16(page + 0x32, 0x60);
    page[0x34] = type;
    page[0x35] = version;
    store16(page + 0x36, (uint16_t)len);
    page[0x3C] = vmpck;
}

static inline bool guest_seal(uint8_t page[FRAME_SIZE], const uint8_t key[32], uint64_t seqno,
                              uint8_t type, uint8_t vmpck, const void *payload, size_t len)
{
    guest_header(page, seqno, type, 1, vmpck, len);
    return guest_gcm(true, key, page, (void *)(uintptr_t)payload, len);
}

/* Is it the answer to that request? `payload` then holds its `*len` bytes. */
static inline bool guest_open(uint8_t page[FRAME_SIZE], const uint8_t key[32], uint64_t seqno,
                              uint8_t type, uint8_t vmpck, void *payload, size_t *len)
{
    static const uint8_t zeros[0x23];

    *len = load16(page + 0x36);
    return load64(page + 0x20) == seqno + 1 && page[0x30] == 1 && page[0x31] == 1 &&
           load16(page + 0x32) == 0x60 && page[0x34] == type + 1 && page[0x35] == 1 &&
           page[0x3C] == vmpck && *len && *len % 16 == 0 && *len <= FRAME_SIZE - 0x60 &&
           !memcmp(page + 0x10, zeros, 0x10) && !memcmp(page + 0x28, zeros, 8) &&
           !memcmp(page + 0x38, zeros, 4) && !memcmp(page + 0x3D, zeros, 0x23) &&
           guest_gcm(false, key, page, payload, *len);
}

/* A whole exchange: the next message of that VMPCK. `answer` has room for a page. False: the answer
 * is not one. */
static inline bool guest_ask(struct guest_rig *r, struct snp_guest *g, uint8_t vmpck, uint8_t type,
                             const void *payload, size_t len, void *answer, size_t *answer_len,
                             enum sev_status *status)
{
    uint8_t request[FRAME_SIZE], response[FRAME_SIZE] = {0}, key[32];
    uint64_t seqno = g->msg_count[vmpck] + 1;

    *answer_len = 0;
    memcpy(key, g->vmpck[vmpck], sizeof(key));
    if (!guest_seal(request, key, seqno, type, vmpck, payload, len))
        return false;
    *status = snp_guest_request(r->asp, g, request, response);
    return *status != SEV_SUCCESS ||
           guest_open(response, key, seqno, type, vmpck, answer, answer_len);
}

#endif
