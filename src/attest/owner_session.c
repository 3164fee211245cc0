/* A launch of SEV or SEV-ES as its owner sees it: session, measurement, secrets (SEV API,
 * LAUNCH_START, LAUNCH_MEASURE, LAUNCH_SECRET). */
#include "attest/owner.h"

#include <inttypes.h>
#include <string.h>

#include "attest/guid.h"
#include "attest/internal.h"
#include "crypto/cipher.h"
#include "crypto/sev_cert.h"

static_assert(sizeof(struct session) == ATTEST_SESSION_BYTES, "SEV API, LAUNCH_START session");
static_assert(sizeof(struct secret_header) == ATTEST_SECRET_HEADER_BYTES, "SEV API, LAUNCH_SECRET");

/* ---- sessions ----------------------------------------------------------------------------------
 */

bool session_wrap(struct session *s, const void *z, size_t z_len, const uint8_t tek[16],
                  const uint8_t tik[16], uint32_t policy)
{
    uint8_t master[16], kek[16], kik[16], keys[32], policy_le[4];
    struct piece wrapped = {s->wrap_tk, sizeof(s->wrap_tk)}, said = {policy_le, sizeof(policy_le)};
    bool ok;

    memcpy(keys, tek, 16);
    memcpy(keys + 16, tik, 16);
    store32(policy_le, policy);
    ok = sev_kdf(master, sizeof(master), z, z_len, "sev-master-secret", s->nonce,
                 sizeof(s->nonce)) &&
         sev_kdf(kek, sizeof(kek), master, sizeof(master), "sev-kek", NULL, 0) &&
         sev_kdf(kik, sizeof(kik), master, sizeof(master), "sev-kik", NULL, 0) &&
         aes128_ctr(kek, s->wrap_iv, s->wrap_tk, keys, sizeof(keys)) &&
         hmac_sha256(s->wrap_mac, kik, sizeof(kik), &wrapped, 1) &&
         hmac_sha256(s->policy_mac, tik, 16, &said, 1);
    wipe(master, sizeof(master));
    wipe(kek, sizeof(kek));
    wipe(kik, sizeof(kik));
    wipe(keys, sizeof(keys));
    return ok;
}

static enum attest_status take_pdh(struct p384_public *pub, struct attest_span pdh,
                                   struct attest_error *err)
{
    struct sev_cert cert;

    if (pdh.len != sizeof(cert))
        return attest_fail(err, ATTEST_E_FORMAT, "pdh", "a PDH certificate has %zu bytes, not %zu",
                           sizeof(cert), pdh.len);
    memcpy(&cert, pdh.at, sizeof(cert));
    if (cert.version != 1 || cert.usage != USAGE_PDH ||
        (cert.algo != ALGO_ECDH_SHA256 && cert.algo != ALGO_ECDH_SHA384))
        return attest_fail(err, ATTEST_E_FORMAT, "pdh",
                           "this is no PDH certificate: usage %#" PRIx32 ", algorithm %#" PRIx32,
                           cert.usage, cert.algo);
    if (!sev_cert_public(&cert, pub))
        return attest_fail(err, ATTEST_E_FORMAT, "pdh.key",
                           "the PDH's key is not on the curve P-384");
    return ATTEST_OK;
}

enum attest_status attest_session_make(struct attest_session *session, struct attest_span pdh,
                                       uint32_t policy, struct attest_error *err)
{
    struct p384_key own = {0};
    struct p384_public theirs;
    uint8_t z[P384_BYTES];
    struct sev_cert cert;
    struct session s;
    enum attest_status status = take_pdh(&theirs, pdh, err);

    if (status != ATTEST_OK)
        return status;
    if (!p384_generate(&own) || !p384_agree(&own, &theirs, z) ||
        !random_bytes(session->tek, sizeof(session->tek)) ||
        !random_bytes(session->tik, sizeof(session->tik)) ||
        !random_bytes(s.nonce, sizeof(s.nonce)) || !random_bytes(s.wrap_iv, sizeof(s.wrap_iv)) ||
        !session_wrap(&s, z, sizeof(z), session->tek, session->tik, policy)) {
        wipe(session, sizeof(*session));
        status = attest_fail(err, ATTEST_E_CRYPTO, "session", "libcrypto cannot make a session");
    } else {
        sev_cert_make(&cert, USAGE_PDH, ALGO_ECDH_SHA256, 0, 0, &own.pub);
        memcpy(session->dh_cert, &cert, sizeof(cert));
        memcpy(session->session, &s, sizeof(s));
    }
    wipe(&own, sizeof(own));
    wipe(z, sizeof(z));
    return status;
}

/* ---- measurements
 * -------------------------------------------------------------------------------- */

bool launch_measure(uint8_t mac[32], const uint8_t tik[16], const struct attest_launch_facts *f,
                    const uint8_t nonce[16])
{
    uint8_t head[8] = {0x04, f->api_major, f->api_minor, f->build};
    const struct piece pieces[] = {
        {head, sizeof(head)}, {f->digest, sizeof(f->digest)}, {nonce, 16}};

    store32(head + 4, f->policy);
    return hmac_sha256(mac, tik, 16, pieces, COUNT(pieces));
}

enum attest_status attest_launch_measure_make(uint8_t measure[ATTEST_MEASURE_BYTES],
                                              const uint8_t tik[16],
                                              const struct attest_launch_facts *facts,
                                              const uint8_t nonce[16], struct attest_error *err)
{
    uint8_t mac[32];

    if (!launch_measure(mac, tik, facts, nonce))
        return NO_MEMORY(err);
    memmove(measure + 32, nonce, 16); /* it may be there already */
    memcpy(measure, mac, sizeof(mac));
    return ATTEST_OK;
}

enum attest_status attest_launch_measure_check(const uint8_t tik[16],
                                               const struct attest_launch_facts *facts,
                                               const uint8_t measure[ATTEST_MEASURE_BYTES],
                                               struct attest_error *err)
{
    uint8_t mac[32];

    if (!launch_measure(mac, tik, facts, measure + 32))
        return NO_MEMORY(err);
    if (!equal_bytes(mac, measure, sizeof(mac)))
        return attest_fail(err, ATTEST_E_CRYPTO, "measure",
                           "this is not the measurement of such a launch under this TIK");
    return ATTEST_OK;
}

/* ---- secrets -----------------------------------------------------------------------------------
 */

/* Since API 0.17 the MAC covers the measurement, too: a packet opens in one launch alone. */
static bool secret_mac(struct secret_header *h, const uint8_t tik[16], const uint8_t *sealed,
                       size_t len, const uint8_t *measure)
{
    uint8_t head[1 + 4] = {0x01}, lengths[8];
    const struct piece pieces[] = {{head, sizeof(head)},
                                   {h->iv, sizeof(h->iv)},
                                   {lengths, sizeof(lengths)},
                                   {sealed, len},
                                   {measure, 32}};

    store32(head + 1, h->flags);
    store32(lengths, (uint32_t)len);     /* in the guest */
    store32(lengths + 4, (uint32_t)len); /* on the way */
    return hmac_sha256(h->mac, tik, 16, pieces, COUNT(pieces));
}

enum attest_status attest_secret_seal(uint8_t header[ATTEST_SECRET_HEADER_BYTES], uint8_t *sealed,
                                      const uint8_t tek[16], const uint8_t tik[16],
                                      const uint8_t measure[ATTEST_MEASURE_BYTES],
                                      const void *secret, size_t len, struct attest_error *err)
{
    struct secret_header h = {.flags = 0};

    if (!len || len % 16 || len > ATTEST_SECRET_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "secret",
                           "a secret has a multiple of 16 bytes, at most %u, not %zu",
                           ATTEST_SECRET_MAX, len);
    if (!random_bytes(h.iv, sizeof(h.iv)) || !aes128_ctr(tek, h.iv, sealed, secret, len) ||
        !secret_mac(&h, tik, sealed, len, measure))
        return attest_fail(err, ATTEST_E_CRYPTO, "secret", "libcrypto cannot seal the secret");
    memcpy(header, &h, sizeof(h));
    return ATTEST_OK;
}

/* The launch-secret area of OVMF: a GUID, a 32-bit length, then entries of the same form; lengths
 * count their own header. */
#define SECRET_OVERHEAD 20u
static const struct guid secret_table = GUID(0x1e74f542, 0x71dd, 0x4d66, 0x963e, 0xef4287ff173b);

enum attest_status attest_secret_add(uint8_t table[ATTEST_SECRET_MAX], size_t *len,
                                     const char *guid, const void *secret, size_t secret_len,
                                     struct attest_error *err)
{
    size_t used = *len ? load32(table + 16) : SECRET_OVERHEAD;
    struct guid g;

    if (!guid_parse(&g, guid, strlen(guid)))
        return attest_fail(err, ATTEST_E_ARG, "secret.guid", "'%.60s' is no GUID", guid);
    if (guid_is(g.bytes, &secret_table))
        return attest_fail(err, ATTEST_E_ARG, "secret.guid", "that GUID is the table's own");
    if (used > ATTEST_SECRET_MAX || secret_len > ATTEST_SECRET_MAX - used ||
        SECRET_OVERHEAD > ATTEST_SECRET_MAX - used - secret_len)
        return attest_fail(err, ATTEST_E_LIMIT, "secret",
                           "all secrets together have at most %u bytes", ATTEST_SECRET_MAX);
    if (!*len)
        memcpy(table, secret_table.bytes, sizeof(secret_table.bytes));
    memcpy(table + used, g.bytes, sizeof(g.bytes));
    store32(table + used + 16, (uint32_t)(secret_len + SECRET_OVERHEAD));
    if (secret_len)
        memcpy(table + used + SECRET_OVERHEAD, secret, secret_len);
    used += SECRET_OVERHEAD + secret_len;
    store32(table + 16, (uint32_t)used);
    *len = (used + 15) / 16 * 16;
    memset(table + used, 0, *len - used);
    return ATTEST_OK;
}
