/* Commands of a guest's life: its ASID, its launch, its report, its debugger (SEV API, guest
 * management and debugging). */
#include "silicon/asp/internal.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "crypto/sev_cert.h"
#include "silicon/vmsa.h"

#define BLOCK 16u /* of memory encryption: what guest memory is counted in */

static bool is_es(const struct guest *g)
{
    return g->policy & SEV_POLICY_ES;
}

/* ---- ASIDs --------------------------------------------------------------------------------- */

enum sev_status asp_check_ACTIVATE(struct asp *a, struct call *c)
{
    uint32_t asid = c->buf.activate.asid;

    if (asid == 0 || asid > a->chip->sev_asids)
        return SEV_INVALID_ASID;
    if (a->asids[asid] == ASID_ALLOCATED || a->asids[asid] == ASID_IN_USE)
        return SEV_ASID_OWNED;
    if (c->guest->asid)
        return SEV_ACTIVE;
    if (a->asids[asid] == ASID_DIRTY)
        return SEV_DF_FLUSH_REQUIRED;
    return is_es(c->guest) == (asid < a->chip->min_sev_asid) ? SEV_SUCCESS : SEV_INVALID_ASID;
}

/* The memory controllers get the key now; VMRUN may use it once the guest is launched. */
void asp_apply_ACTIVATE(struct asp *a, struct call *c)
{
    struct guest *g = c->guest;

    g->asid = c->buf.activate.asid;
    a->asids[g->asid] = g->state == SEV_GUEST_LUPDATE || g->state == SEV_GUEST_LSECRET
                            ? ASID_ALLOCATED
                            : ASID_IN_USE;
    dram_bind(a->dram, g->asid, g->key);
}

enum sev_status asp_check_DEACTIVATE(struct asp *a, struct call *c)
{
    return SEV_SUCCESS; /* without an ASID there is nothing to do, and nothing wrong */
}

void asp_apply_DEACTIVATE(struct asp *a, struct call *c)
{
    if (c->guest->asid)
        asp_unbind(a, c->guest);
}

enum sev_status asp_check_DECOMMISSION(struct asp *a, struct call *c)
{
    return c->guest->asid ? SEV_ACTIVE : SEV_SUCCESS;
}

void asp_apply_DECOMMISSION(struct asp *a, struct call *c)
{
    asp_guest_end(a, c->guest);
    if (!a->guest_count)
        a->state = SEV_PLATFORM_INIT;
}

enum sev_status asp_check_GUEST_STATUS(struct asp *a, struct call *c)
{
    return SEV_SUCCESS;
}

/* A handle that is no guest's is a guest in state 0. */
void asp_apply_GUEST_STATUS(struct asp *a, struct call *c)
{
    struct sev_cmd_guest_status *b = &c->buf.guest_status;
    const struct guest *g = asp_guest(a, b->handle);

    b->policy = g ? g->policy : 0;
    b->asid = g ? g->asid : 0;
    b->state = g ? (uint8_t)g->state : SEV_GUEST_UNINIT;
}

/* ---- LAUNCH_START -------------------------------------------------------------------------- */

struct session_keys {
    uint8_t z[P384_BYTES], master[16], kek[16], kik[16];
};

/* The owner's public key, from a certificate whose signatures are the owner's own business. */
static bool owner_key(const struct sev_cert *cert, struct p384_public *pub)
{
    return cert->version == 1 && cert->usage == USAGE_PDH && cert->algo == ALGO_ECDH_SHA256 &&
           sev_cert_public(cert, pub);
}

static bool derive(struct session_keys *k, const uint8_t nonce[16])
{
    return sev_kdf(k->master, 16, k->z, sizeof(k->z), "sev-master-secret", nonce, 16) &&
           sev_kdf(k->kek, 16, k->master, 16, "sev-kek", NULL, 0) &&
           sev_kdf(k->kik, 16, k->master, 16, "sev-kik", NULL, 0);
}

/* MAC first, then open: TEK and TIK come out. */
static enum sev_status unwrap(const struct session_keys *k, const struct sev_session *s,
                              struct guest *g)
{
    const struct piece wrapped = {s->wrap_tk, sizeof(s->wrap_tk)};
    uint8_t mac[32], tk[32];

    if (!hmac_sha256(mac, k->kik, sizeof(k->kik), &wrapped, 1))
        return SEV_OUT_OF_ORDER;
    if (!equal_bytes(mac, s->wrap_mac, sizeof(mac)))
        return SEV_BAD_MEASUREMENT;
    if (!aes128_ctr(k->kek, s->wrap_iv, tk, s->wrap_tk, sizeof(tk)))
        return SEV_OUT_OF_ORDER;
    memcpy(g->tek, tk, 16);
    memcpy(g->tik, tk + 16, 16);
    wipe(tk, sizeof(tk));
    return SEV_SUCCESS;
}

/* What the owner demands, in the owner's hand; and can this platform keep it? */
static enum sev_status check_policy(const struct asp *a, const struct sev_session *s,
                                    const struct guest *g)
{
    const unsigned reserved = 0xFFC0;
    uint8_t major = (uint8_t)(g->policy >> 16), minor = (uint8_t)(g->policy >> 24), mac[32];
    const struct piece policy = {&g->policy, sizeof(g->policy)};

    if (!hmac_sha256(mac, g->tik, sizeof(g->tik), &policy, 1))
        return SEV_OUT_OF_ORDER;
    if (!equal_bytes(mac, s->policy_mac, sizeof(mac)))
        return SEV_BAD_MEASUREMENT;
    if (a->chip->api_major < major || (a->chip->api_major == major && a->chip->api_minor < minor))
        return SEV_POLICY_FAILURE;
    return g->policy & reserved ? SEV_POLICY_FAILURE : SEV_SUCCESS;
}

/* Fills TEK and TIK from the owner's session. */
static enum sev_status open_session(struct asp *a, const struct sev_cmd_launch_start *b,
                                    struct guest *g)
{
    struct sev_cert cert;
    struct sev_session session;
    struct p384_public owner;
    struct session_keys k;
    enum sev_status status;

    if (b->session_len != sizeof(session) || b->dh_cert_len != sizeof(cert))
        return SEV_INVALID_LENGTH;
    if (!asp_reaches(a, b->dh_cert_paddr, sizeof(cert)) ||
        !asp_reaches(a, b->session_paddr, sizeof(session)))
        return SEV_INVALID_ADDRESS;
    asp_get(a, b->dh_cert_paddr, &cert, sizeof(cert));
    asp_get(a, b->session_paddr, &session, sizeof(session));
    if (!owner_key(&cert, &owner))
        return SEV_INVALID_CERTIFICATE;
    if (!p384_agree(&a->identity.pdh, &owner, k.z) || !derive(&k, session.nonce))
        return SEV_OUT_OF_ORDER;
    status = unwrap(&k, &session, g);
    wipe(&k, sizeof(k));
    return status == SEV_SUCCESS ? check_policy(a, &session, g) : status;
}

static struct guest *free_guest(struct asp *a)
{
    for (unsigned i = 0; i < ASP_GUESTS; i++)
        if (a->guests[i].state == SEV_GUEST_UNINIT)
            return &a->guests[i];
    return NULL;
}

static enum sev_status check_sharing(struct asp *a, uint32_t handle, struct guest *g)
{
    const struct guest *with = asp_guest(a, handle);

    if (!with)
        return SEV_INVALID_GUEST;
    if (with->policy != g->policy || with->policy & SEV_POLICY_NOKS)
        return SEV_POLICY_FAILURE;
    g->key = with->key;
    return SEV_SUCCESS;
}

/* Memory and a key, or nothing at all. */
static enum sev_status take_resources(struct asp *a, struct guest *g)
{
    uint8_t seed[32];

    g->measured = digest_new(DIGEST_SHA256);
    if (!g->measured)
        return SEV_OUT_OF_ORDER;
    if (g->key == DRAM_PLAIN && random_bytes(seed, sizeof(seed)))
        g->key = dram_key_new(a->dram, seed);
    wipe(seed, sizeof(seed));
    if (g->key != DRAM_PLAIN)
        return SEV_SUCCESS;
    digest_free(g->measured);
    return SEV_RESOURCE_LIMIT;
}

enum sev_status asp_check_LAUNCH_START(struct asp *a, struct call *c)
{
    const struct sev_cmd_launch_start *b = &c->buf.launch_start;
    struct guest *g = &c->fresh;
    enum sev_status status;

    *g = (struct guest){.state = SEV_GUEST_LUPDATE, .policy = b->policy};
    if (b->dh_cert_paddr)
        status = open_session(a, b, g);
    else /* an owner who sent no keys has none: nobody can check the measure or seal a secret */
        status =
            random_bytes(g->tek, 16) && random_bytes(g->tik, 16) ? SEV_SUCCESS : SEV_OUT_OF_ORDER;
    if (status == SEV_SUCCESS && b->handle)
        status = check_sharing(a, b->handle, g);
    if (status != SEV_SUCCESS)
        return status;
    if (!free_guest(a))
        return SEV_RESOURCE_LIMIT;
    if (is_es(g) && !a->tmr)
        return SEV_UNSUPPORTED;
    status = take_resources(a, g);
    if (status == SEV_SUCCESS)
        c->guest = free_guest(a);
    return status;
}

void asp_apply_LAUNCH_START(struct asp *a, struct call *c)
{
    *c->guest = c->fresh;
    a->guest_count++;
    a->state = SEV_PLATFORM_WORKING;
    c->buf.launch_start.handle = asp_handle_of(a, c->guest);
}

/* ---- LAUNCH_UPDATE_DATA, LAUNCH_MEASURE ---------------------------------------------------- */

enum sev_status asp_check_LAUNCH_UPDATE_DATA(struct asp *a, struct call *c)
{
    const struct sev_cmd_guest_buffer *b = &c->buf.guest_buffer;

    if (b->paddr % BLOCK)
        return SEV_INVALID_ADDRESS;
    if (!b->len || b->len % BLOCK)
        return SEV_INVALID_LENGTH;
    return asp_check_guest_memory(a, b->paddr, b->len);
}

/* What the host sees there is measured, and becomes what the guest sees there. */
void asp_apply_LAUNCH_UPDATE_DATA(struct asp *a, struct call *c)
{
    const struct sev_cmd_guest_buffer *b = &c->buf.guest_buffer;

    asp_copy(a, b->paddr, c->guest->key, b->paddr, DRAM_PLAIN, b->len, c->guest->measured);
}

/* A page: VMRUN takes no other address (APM2 15.35.8). */
enum sev_status asp_check_LAUNCH_UPDATE_VMSA(struct asp *a, struct call *c)
{
    const struct sev_cmd_guest_buffer *b = &c->buf.guest_buffer;
    enum sev_status status;

    if (!is_es(c->guest))
        return SEV_UNSUPPORTED;
    if (!c->guest->asid)
        return SEV_INACTIVE;
    if (b->paddr % FRAME_SIZE)
        return SEV_INVALID_ADDRESS;
    if (b->len != FRAME_SIZE)
        return SEV_INVALID_LENGTH;
    status = asp_check_guest_memory(a, b->paddr, b->len);
    if (status != SEV_SUCCESS)
        return status;
    c->vmsa = asp_vmsa_slot(a, b->paddr, c->guest->key);
    return c->vmsa ? SEV_SUCCESS : SEV_RESOURCE_LIMIT;
}

/* Measured as the host laid it out, before the slot is noted. */
void asp_apply_LAUNCH_UPDATE_VMSA(struct asp *a, struct call *c)
{
    uint64_t spa = c->buf.guest_buffer.paddr;
    struct guest *g = c->guest;
    struct vmsa v;

    asp_get(a, spa, &v, sizeof(v));
    digest_feed(g->measured, &v, sizeof(v));
    asp_vmsa_begin(a, c->vmsa, asp_handle_of(a, g), spa, g->key, &v);
    asp_put_private(a, spa, g->key, &v, sizeof(v));
    wipe(&v, sizeof(v));
}

/* HMAC(TIK; 04 || api_major || api_minor || build || policy || launch digest || mnonce) */
static bool measure(const struct asp *a, const struct guest *g, const uint8_t digest[32],
                    const uint8_t mnonce[16], uint8_t out[32])
{
    const uint8_t head[] = {0x04, a->chip->api_major, a->chip->api_minor, a->chip->api_build};
    const struct piece pieces[] = {
        {head, sizeof(head)},
        {&g->policy, sizeof(g->policy)},
        {digest, 32},
        {mnonce, 16},
    };

    return hmac_sha256(out, g->tik, sizeof(g->tik), pieces, COUNT(pieces));
}

enum sev_status asp_check_LAUNCH_MEASURE(struct asp *a, struct call *c)
{
    struct sev_cmd_guest_buffer *b = &c->buf.guest_buffer;
    struct sev_measurement *out = &c->out.measurement;
    uint32_t room = b->len;
    enum sev_status status;

    b->len = sizeof(*out);
    if (room < sizeof(*out))
        return SEV_INVALID_LENGTH;
    status = asp_check_output(a, b->paddr, sizeof(*out));
    if (status != SEV_SUCCESS)
        return status;
    if (!random_bytes(out->mnonce, sizeof(out->mnonce)) ||
        !digest_peek(c->guest->measured, c->fresh.launch_digest) ||
        !measure(a, c->guest, c->fresh.launch_digest, out->mnonce, out->measure))
        return SEV_OUT_OF_ORDER;
    return SEV_SUCCESS;
}

void asp_apply_LAUNCH_MEASURE(struct asp *a, struct call *c)
{
    struct guest *g = c->guest;

    memcpy(g->launch_digest, c->fresh.launch_digest, sizeof(g->launch_digest));
    memcpy(g->measure, c->out.measurement.measure, sizeof(g->measure));
    digest_free(g->measured);
    g->measured = NULL;
    g->state = SEV_GUEST_LSECRET;
    asp_put(a, c->buf.guest_buffer.paddr, &c->out.measurement, sizeof(c->out.measurement));
}

/* ---- LAUNCH_SECRET, LAUNCH_FINISH ---------------------------------------------------------- */

/* HMAC(TIK; 01 || flags || iv || guest_len || trans_len || ciphertext || measure) */
static bool packet_mac(const struct guest *g, const struct sev_packet_header *h,
                       const uint8_t *data, uint32_t len, uint8_t out[32])
{
    const uint8_t context = 0x01;
    const struct piece pieces[] = {
        {&context, 1}, {&h->flags, 4}, {h->iv, 16},      {&len, 4},
        {&len, 4},     {data, len},    {g->measure, 32},
    };

    return hmac_sha256(out, g->tik, sizeof(g->tik), pieces, COUNT(pieces));
}

enum sev_status asp_check_LAUNCH_SECRET(struct asp *a, struct call *c)
{
    const struct sev_cmd_launch_secret *b = &c->buf.launch_secret;
    struct sev_packet_header h;
    uint8_t mac[32], *data = c->out.secret;
    enum sev_status status;

    if (b->hdr_len != sizeof(h) || b->guest_len != b->trans_len || !b->guest_len ||
        b->guest_len % BLOCK || b->guest_len > SEV_SECRET_MAX)
        return SEV_INVALID_LENGTH;
    if (b->guest_paddr % BLOCK || !asp_reaches(a, b->guest_paddr, b->guest_len) ||
        !asp_reaches(a, b->hdr_paddr, sizeof(h)) || !asp_reaches(a, b->trans_paddr, b->trans_len))
        return SEV_INVALID_ADDRESS;
    status = asp_check_guest_memory(a, b->guest_paddr, b->guest_len);
    if (status != SEV_SUCCESS)
        return status;
    asp_get(a, b->hdr_paddr, &h, sizeof(h));
    if (h.flags & SEV_PACKET_COMPRESSED)
        return SEV_UNSUPPORTED;
    asp_get(a, b->trans_paddr, data, b->trans_len);
    if (!packet_mac(c->guest, &h, data, b->trans_len, mac))
        return SEV_OUT_OF_ORDER;
    if (!equal_bytes(mac, h.mac, sizeof(mac)))
        return SEV_BAD_MEASUREMENT;
    return aes128_ctr(c->guest->tek, h.iv, data, data, b->trans_len) ? SEV_SUCCESS
                                                                     : SEV_OUT_OF_ORDER;
}

void asp_apply_LAUNCH_SECRET(struct asp *a, struct call *c)
{
    const struct sev_cmd_launch_secret *b = &c->buf.launch_secret;

    asp_put_private(a, b->guest_paddr, c->guest->key, c->out.secret, b->guest_len);
}

enum sev_status asp_check_LAUNCH_FINISH(struct asp *a, struct call *c)
{
    return SEV_SUCCESS;
}

void asp_apply_LAUNCH_FINISH(struct asp *a, struct call *c)
{
    struct guest *g = c->guest;

    wipe(g->tek, sizeof(g->tek));
    wipe(g->tik, sizeof(g->tik));
    g->state = SEV_GUEST_RUNNING;
    if (g->asid)
        a->asids[g->asid] = ASID_IN_USE;
}

/* ---- ATTESTATION --------------------------------------------------------------------------- */

static void reversed(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[n - 1 - i];
}

enum sev_status asp_check_ATTESTATION(struct asp *a, struct call *c)
{
    struct sev_cmd_attestation *b = &c->buf.attestation;
    struct sev_report *r = &c->out.report;
    struct p384_signature sig;
    uint32_t room = b->len;
    enum sev_status status;

    b->len = sizeof(*r);
    if (room < sizeof(*r))
        return SEV_INVALID_LENGTH;
    status = asp_check_output(a, b->paddr, sizeof(*r));
    if (status != SEV_SUCCESS)
        return status;
    *r = (struct sev_report){
        .policy = c->guest->policy, .sig_usage = USAGE_PEK, .sig_algo = ALGO_ECDSA_SHA256};
    memcpy(r->mnonce, b->mnonce, sizeof(r->mnonce));
    memcpy(r->launch_digest, c->guest->launch_digest, sizeof(r->launch_digest));
    if (!p384_sign(&a->identity.pek, DIGEST_SHA256, r, offsetof(struct sev_report, sig_usage),
                   &sig))
        return SEV_OUT_OF_ORDER;
    reversed(r->sig_r, sig.r, P384_BYTES);
    reversed(r->sig_s, sig.s, P384_BYTES);
    return SEV_SUCCESS;
}

void asp_apply_ATTESTATION(struct asp *a, struct call *c)
{
    asp_put(a, c->buf.attestation.paddr, &c->out.report, sizeof(c->out.report));
}

/* ---- debugging ----------------------------------------------------------------------------- */

static enum sev_status check_debug(const struct asp *a, const struct sev_cmd_dbg *b)
{
    if (b->src_paddr % BLOCK || b->dst_paddr % BLOCK)
        return SEV_INVALID_ADDRESS;
    if (!b->len || b->len % BLOCK)
        return SEV_INVALID_LENGTH;
    return asp_reaches(a, b->src_paddr, b->len) && asp_reaches(a, b->dst_paddr, b->len)
               ? SEV_SUCCESS
               : SEV_INVALID_ADDRESS;
}

enum sev_status asp_check_DBG_DECRYPT(struct asp *a, struct call *c)
{
    const struct sev_cmd_dbg *b = &c->buf.dbg;
    enum sev_status status = check_debug(a, b);

    return status == SEV_SUCCESS ? asp_check_output(a, b->dst_paddr, b->len) : status;
}

void asp_apply_DBG_DECRYPT(struct asp *a, struct call *c)
{
    const struct sev_cmd_dbg *b = &c->buf.dbg;

    asp_copy(a, b->dst_paddr, DRAM_PLAIN, b->src_paddr, c->guest->key, b->len, NULL);
}

enum sev_status asp_check_DBG_ENCRYPT(struct asp *a, struct call *c)
{
    const struct sev_cmd_dbg *b = &c->buf.dbg;
    enum sev_status status = check_debug(a, b);

    return status == SEV_SUCCESS ? asp_check_guest_memory(a, b->dst_paddr, b->len) : status;
}

void asp_apply_DBG_ENCRYPT(struct asp *a, struct call *c)
{
    const struct sev_cmd_dbg *b = &c->buf.dbg;

    asp_copy(a, b->dst_paddr, c->guest->key, b->src_paddr, DRAM_PLAIN, b->len, NULL);
}
