/* The launch of an SNP guest: LAUNCH_START, LAUNCH_UPDATE, LAUNCH_FINISH (SNP ABI, launching a
 * guest). */
#include "silicon/asp/snp_internal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/cipher.h"
#include "silicon/vmsa.h"

/* ---- LAUNCH_START -------------------------------------------------------------------------- */

#define POLICY_OLD                                                                                 \
    (UINT64_C(0xFFFF) | SNP_POLICY_SMT | SNP_POLICY_MBO | SNP_POLICY_MIGRATE_MA |                  \
     SNP_POLICY_DEBUG | SNP_POLICY_SINGLE_SOCKET)
#define POLICY_RECENT                                                                              \
    (POLICY_OLD | SNP_POLICY_CXL_ALLOW | SNP_POLICY_RAPL_DIS | SNP_POLICY_PAGE_SWAP_DISABLE |      \
     SNP_POLICY_MEM_AES_256_XTS | SNP_POLICY_CIPHERTEXT_HIDING_DRAM)
/* Memory is under AES-128 (XEX), and its ciphertext can be seen. */
#define POLICY_IMPOSSIBLE (SNP_POLICY_MEM_AES_256_XTS | SNP_POLICY_CIPHERTEXT_HIDING_DRAM)

/* CPUID 8000001E EBX[15:8]: threads of a core, less one. */
static bool smt(const struct asp *a)
{
    uint32_t regs[4] = {0};

    if (a->core_ops)
        a->core_ops->cpuid(a->core_ctx, 0x8000001E, 0, regs);
    return regs[1] >> 8 & 0xFF;
}

static bool policy_can_be_kept(const struct asp *a, uint64_t policy)
{
    const struct snp_firmware *fw = &a->platform->versions.current;
    unsigned wanted = SNP_POLICY_ABI_MAJOR(policy) << 8 | SNP_POLICY_ABI_MINOR(policy);

    return !(policy & ~(snp_is_recent(a) ? POLICY_RECENT : POLICY_OLD)) &&
           policy & SNP_POLICY_MBO && wanted <= ((unsigned)fw->major << 8 | fw->minor) &&
           (policy & SNP_POLICY_SMT || !smt(a)) && !(policy & POLICY_IMPOSSIBLE) &&
           (!(policy & SNP_POLICY_RAPL_DIS) || a->snp->rapl_dis);
}

/* The agent that may move the guest: one that nobody may move. */
static enum sev_status bind_agent(struct asp *a, const struct snp_cmd_launch_start *b,
                                  struct snp_guest *g)
{
    const struct snp_guest *agent = snp_guest_at(a, b->ma_gctx_paddr);

    if (!agent)
        return SEV_INVALID_GUEST;
    if (agent->state != SNP_GUEST_RUNNING)
        return SEV_INVALID_GUEST_STATE;
    if (!(b->policy & SNP_POLICY_MIGRATE_MA) || agent->has_ma ||
        (agent->policy ^ b->policy) & SNP_POLICY_SINGLE_SOCKET)
        return SEV_POLICY_FAILURE;
    g->has_ma = true;
    memcpy(g->report_id_ma, agent->report_id, sizeof(g->report_id_ma));
    return SEV_SUCCESS;
}

#define SCALE_ONE  BIT(32) /* 8.32 fixed point */
#define SCALE_BITS 40

bool snp_set_clock(const struct asp *a, uint32_t khz, struct snp_guest *g)
{
    uint32_t host = a->core_ops ? a->core_ops->tsc_khz : 0;

    g->desired_tsc_khz = khz;
    g->tsc_offset = 0;
    g->tsc_scale = khz && host ? ((uint64_t)khz << 32) / host : SCALE_ONE;
    return g->tsc_scale && !(g->tsc_scale >> SCALE_BITS);
}

enum sev_status snp_check_LAUNCH_START(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_start *b = &c->buf.launch_start;
    struct snp_guest *g = &c->fresh;
    enum sev_status status = SEV_SUCCESS;

    *g = *c->guest;
    g->state = SNP_GUEST_LAUNCH;
    g->policy = b->policy;
    g->launch_tcb = a->platform->versions.committed.tcb;
    g->imi = b->flags & SNP_LAUNCH_IMI;
    memcpy(g->gosvw, b->gosvw, sizeof(g->gosvw));
    memset(g->report_id_ma, 0xFF, sizeof(g->report_id_ma));
    if (!policy_can_be_kept(a, b->policy))
        return SEV_POLICY_FAILURE;
    if (b->flags & SNP_LAUNCH_MA)
        status = bind_agent(a, b, g);
    if (status != SEV_SUCCESS)
        return status;
    if (!snp_set_clock(a, b->desired_tsc_khz, g))
        return SEV_INVALID_PARAM;
    return random_bytes(g->report_id, sizeof(g->report_id)) &&
                   random_bytes(g->oek, sizeof(g->oek)) && random_bytes(g->vmrk, sizeof(g->vmrk)) &&
                   random_bytes(g->vmpck, sizeof(g->vmpck))
               ? SEV_SUCCESS
               : SEV_OUT_OF_ORDER;
}

void snp_apply_LAUNCH_START(struct asp *a, struct snp_call *c)
{
    *c->guest = c->fresh;
}

/* ---- LAUNCH_UPDATE: what the page is to be ------------------------------------------------- */

static enum snp_page_type type_of(const struct snp_cmd_launch_update *b)
{
    return b->flags >> 1 & 7;
}

enum sev_status snp_form_LAUNCH_UPDATE(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_update *b = &c->buf.launch_update;
    enum snp_page_type type = type_of(b);
    bool can_be_large =
        type == SNP_PAGE_NORMAL || type == SNP_PAGE_ZERO || type == SNP_PAGE_UNMEASURED;

    if (type < SNP_PAGE_NORMAL || type > SNP_PAGE_CPUID || (c->page[0].large && !can_be_large))
        return SEV_INVALID_PARAM;
    if ((b->vmpl1_perms | b->vmpl2_perms | b->vmpl3_perms) & ~VMPL_ALL)
        return SEV_INVALID_PARAM; /* supervisor shadow stacks are not implemented */
    return SEV_SUCCESS;
}

/* VmsaRegProt: one bit per quadword of the VMSA, set where the nonce covers it (SNP ABI, secrets
 * page). */
static const uint8_t tweak_bitmap[0x40] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x00, 0x88, 0x00, 0x00, 0x00, 0x00, 0xEE, 0xFF, 0x00, 0x00,
    0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x3F, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00,
};

static bool protect_registers(uint8_t *page, struct vmsa *v)
{
    uint64_t nonce;

    if (!random_bytes(&nonce, sizeof(nonce)))
        return false;
    v->reg_prot_nonce = nonce;
    memcpy(page, v, FRAME_SIZE);
    for (unsigned i = 0; i < FRAME_SIZE / 8; i++)
        if (tweak_bitmap[i / 8] & 1u << i % 8)
            store64(page + (size_t)8 * i, load64(page + (size_t)8 * i) ^ nonce);
    return true;
}

/* What the firmware writes into a VMSA after it was measured. */
static bool edit_vmsa(const struct snp_guest *g, uint8_t *page)
{
    struct vmsa v;

    memcpy(&v, page, sizeof(v));
    v.integrity = 0;
    v.integrity_slot = UINT64_MAX;
    if (v.sev_features & SEV_FEATURE_SECURE_TSC) {
        v.guest_tsc_scale = g->tsc_scale;
        v.guest_tsc_offset = g->tsc_offset;
    }
    memcpy(page, &v, sizeof(v));
    return !(v.sev_features & SEV_FEATURE_VMSA_REG_PROT) || protect_registers(page, &v);
}

static void make_secrets(const struct asp *a, const struct snp_guest *g, uint8_t *page)
{
    struct snp_secrets_page s = {.version = SNP_SECRETS_VERSION,
                                 .flags = g->imi ? SNP_SECRETS_IMI : 0,
                                 .fms = a->chip->signature,
                                 .tsc_factor = SNP_TSC_FACTOR};

    memcpy(s.gosvw, g->gosvw, sizeof(s.gosvw));
    memcpy(s.vmpck, g->vmpck, sizeof(s.vmpck));
    memcpy(s.vmsa_tweak_bitmap, tweak_bitmap, sizeof(s.vmsa_tweak_bitmap));
    memcpy(page, &s, sizeof(s));
    wipe(&s, sizeof(s));
}

/* A table that claims too much is corrected where it stands, and refused: the one refusal that
 * leaves a trace. */
static enum sev_status take_cpuid(struct asp *a, uint64_t spa, uint8_t *page)
{
    struct snp_cpuid_page t;

    memcpy(&t, page, sizeof(t));
    if (t.count > SNP_CPUID_MAX)
        return SEV_INVALID_PARAM;
    if (!snp_cpuid_correct(a, t.entries, t.count))
        return SEV_SUCCESS;
    asp_put(a, spa, &t, sizeof(t));
    return SEV_INVALID_PARAM;
}

/* ---- LAUNCH_UPDATE: the digest ------------------------------------------------------------- */

/* CONTENTS of the 4 KiB page at `spa`. */
static bool digest_page(struct asp *a, enum snp_page_type type, uint64_t spa, uint8_t out[48])
{
    uint8_t page[FRAME_SIZE];
    const uint8_t *there;

    if (type != SNP_PAGE_NORMAL && type != SNP_PAGE_VMSA)
        return true;
    there = type == SNP_PAGE_NORMAL ? dram_touch(a->dram, spa >> FRAME_SHIFT, DRAM_PLAIN) : NULL;
    if (there) /* where it stands: most of a launch is this */
        return snp_sha384(a, there, FRAME_SIZE, out);
    asp_get(a, spa, page, sizeof(page));
    if (type == SNP_PAGE_VMSA) /* the firmware's own to fill */
        memset(page + offsetof(struct vmsa, guest_tsc_scale), 0, 16);
    return snp_sha384(a, page, sizeof(page), out);
}

static bool chain(struct asp *a, struct snp_page_info *info, uint8_t digest[48])
{
    memcpy(info->digest_cur, digest, 48);
    return snp_sha384(a, info, sizeof(*info), digest);
}

static bool measure(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_update *b = &c->buf.launch_update;
    const struct snp_operand *p = &c->page[0];
    struct snp_page_info info = {.length = sizeof(info),
                                 .page_type = (uint8_t)type_of(b),
                                 .imi_page = b->flags & SNP_UPDATE_IMI ? SNP_PAGE_INFO_IMI : 0,
                                 .vmpl1_perms = b->vmpl1_perms,
                                 .vmpl2_perms = b->vmpl2_perms,
                                 .vmpl3_perms = b->vmpl3_perms,
                                 .gpa = p->entry.gpa};
    uint64_t end = p->spa + (p->large ? SNP_LARGE : FRAME_SIZE);

    memcpy(c->fresh.measurement, c->guest->measurement, 48);
    memcpy(c->fresh.imd, c->guest->imd, 48);
    for (uint64_t spa = p->spa; spa < end; spa += FRAME_SIZE, info.gpa += FRAME_SIZE) {
        if (!digest_page(a, type_of(b), spa, info.contents) ||
            !chain(a, &info, c->fresh.measurement))
            return false;
        if (info.imi_page && !chain(a, &info, c->fresh.imd))
            return false;
    }
    return true;
}

/* ---- LAUNCH_UPDATE: the command ------------------------------------------------------------ */

/* The page as the guest is to find it, where that is not what stands there. */
static enum sev_status make_page(struct asp *a, struct snp_call *c)
{
    uint64_t spa = c->page[0].spa;
    uint8_t *page = c->out.page;

    c->secret = true;
    switch (type_of(&c->buf.launch_update)) {
    case SNP_PAGE_VMSA:
        asp_get(a, spa, page, FRAME_SIZE);
        return edit_vmsa(c->guest, page) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
    case SNP_PAGE_SECRETS:
        make_secrets(a, c->guest, page);
        return SEV_SUCCESS;
    case SNP_PAGE_CPUID:
        asp_get(a, spa, page, FRAME_SIZE);
        return take_cpuid(a, spa, page);
    default:
        c->secret = false;
        return SEV_SUCCESS;
    }
}

enum sev_status snp_check_LAUNCH_UPDATE(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_update *b = &c->buf.launch_update;

    if (c->guest->imi && !(b->flags & SNP_UPDATE_IMI))
        return SEV_INVALID_PARAM;
    if (!measure(a, c))
        return SEV_OUT_OF_ORDER;
    return make_page(a, c);
}

static void write_zeros(struct asp *a, uint64_t spa, uint64_t len, dram_key key)
{
    static const uint8_t zeros[FRAME_SIZE];

    for (uint64_t end = spa + len; spa < end; spa += FRAME_SIZE)
        asp_put_private(a, spa, key, zeros, sizeof(zeros));
}

/* From the host's view to the guest's. */
static void take_pages(struct asp *a, uint64_t spa, uint64_t len, dram_key key)
{
    uint8_t page[FRAME_SIZE];

    for (uint64_t end = spa + len; spa < end; spa += FRAME_SIZE) {
        asp_get(a, spa, page, sizeof(page));
        asp_put_private(a, spa, key, page, sizeof(page));
    }
}

static void write_pages(struct asp *a, struct snp_call *c)
{
    const struct snp_operand *p = &c->page[0];
    uint64_t len = p->large ? SNP_LARGE : FRAME_SIZE;
    dram_key key = c->guest->key;

    switch (type_of(&c->buf.launch_update)) {
    case SNP_PAGE_NORMAL:
    case SNP_PAGE_UNMEASURED:
        take_pages(a, p->spa, len, key);
        break;
    case SNP_PAGE_ZERO:
        write_zeros(a, p->spa, len, key);
        break;
    default:
        asp_put_private(a, p->spa, key, c->out.page, FRAME_SIZE);
        break;
    }
}

void snp_apply_LAUNCH_UPDATE(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_update *b = &c->buf.launch_update;
    struct rmp_entry e = c->page[0].entry;

    write_pages(a, c);
    memcpy(c->guest->measurement, c->fresh.measurement, 48);
    memcpy(c->guest->imd, c->fresh.imd, 48);
    e.validated = true;
    e.immutable = false;
    e.vmsa = type_of(b) == SNP_PAGE_VMSA;
    e.perms[0] = VMPL_ALL;
    e.perms[1] = b->vmpl1_perms;
    e.perms[2] = b->vmpl2_perms;
    e.perms[3] = b->vmpl3_perms;
    rmp_put(a->rmp, c->page[0].spa, &e);
}

/* ---- LAUNCH_FINISH ------------------------------------------------------------------------- */

/* 72 little-endian bytes as 48 big-endian ones; false where they do not fit. */
static bool take_number(const uint8_t *le, uint8_t be[P384_BYTES])
{
    for (unsigned i = 0; i < P384_BYTES; i++)
        be[i] = le[P384_BYTES - 1 - i];
    for (unsigned i = P384_BYTES; i < 72; i++)
        if (le[i])
            return false;
    return true;
}

static bool take_key(const struct snp_public_key *k, struct p384_public *pub)
{
    return k->curve == SNP_CURVE_P384 && take_number(k->qx, pub->x) && take_number(k->qy, pub->y) &&
           p384_valid(pub);
}

static bool signed_by(const struct snp_public_key *k, const void *msg, size_t len,
                      const struct snp_signature *s)
{
    struct p384_public pub;
    struct p384_signature sig;

    return take_key(k, &pub) && take_number(s->r, sig.r) && take_number(s->s, sig.s) &&
           p384_verify(&pub, DIGEST_SHA384, msg, len, &sig);
}

static enum sev_status check_id(struct asp *a, const struct snp_id_auth *auth, bool author,
                                struct snp_guest *g)
{
    const struct snp_id_block *block = &g->id_block;

    if (memcmp(block->ld, g->measurement, sizeof(block->ld)))
        return SEV_BAD_MEASUREMENT;
    if (block->policy != g->policy)
        return SEV_POLICY_FAILURE;
    if (auth->id_key_algo != SNP_ALGO_ECDSA_P384_SHA384 ||
        (author && auth->auth_key_algo != SNP_ALGO_ECDSA_P384_SHA384))
        return SEV_INVALID_PARAM;
    if (!signed_by(&auth->id_key, block, sizeof(*block), &auth->id_block_sig))
        return SEV_BAD_SIGNATURE;
    if (author &&
        !signed_by(&auth->author_key, &auth->id_key, sizeof(auth->id_key), &auth->id_key_sig))
        return SEV_BAD_SIGNATURE;
    if (!snp_sha384(a, &auth->id_key, sizeof(auth->id_key), g->id_key_digest))
        return SEV_OUT_OF_ORDER;
    if (author && !snp_sha384(a, &auth->author_key, sizeof(auth->author_key), g->author_key_digest))
        return SEV_OUT_OF_ORDER;
    return SEV_SUCCESS;
}

enum sev_status snp_check_LAUNCH_FINISH(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_launch_finish *b = &c->buf.launch_finish;
    struct snp_guest *g = &c->fresh;
    struct snp_id_auth auth;

    if (c->guest->imi) /* ends with ABSORB */
        return SEV_INVALID_GUEST_STATE;
    *g = *c->guest;
    g->id_block_en = b->flags & SNP_FINISH_ID_BLOCK;
    g->author_key_en = b->flags & SNP_FINISH_AUTH_KEY;
    g->vcek_dis = b->flags & SNP_FINISH_VCEK_DIS;
    memcpy(g->host_data, b->host_data, sizeof(g->host_data));
    if (g->author_key_en && !g->id_block_en)
        return SEV_INVALID_PARAM;
    if (!g->id_block_en)
        return SEV_SUCCESS;
    if (!asp_reaches(a, b->id_block_paddr, sizeof(g->id_block)) ||
        !asp_reaches(a, b->id_auth_paddr, sizeof(auth)))
        return SEV_INVALID_ADDRESS;
    asp_get(a, b->id_block_paddr, &g->id_block, sizeof(g->id_block));
    asp_get(a, b->id_auth_paddr, &auth, sizeof(auth));
    return check_id(a, &auth, g->author_key_en, g);
}

void snp_apply_LAUNCH_FINISH(struct asp *a, struct snp_call *c)
{
    *c->guest = c->fresh;
    snp_guest_launched(a, c->guest);
}
