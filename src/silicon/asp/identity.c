/* Making, sealing and unsealing a platform's keys. */
#include "silicon/asp/identity.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "crypto/digest.h"

/* 64 bits more than the curve needs, so that the reduction leaves no bias to speak of. */
#define EXTRA_BITS_BYTES 0x38u

bool identity_derive_cek(struct identity *id, const struct chip *chip,
                         const uint8_t secret[CHIP_SECRET_BYTES])
{
    uint8_t root[SHA256_BYTES], c[EXTRA_BITS_BYTES];
    bool ok = sha256(root, secret, CHIP_SECRET_BYTES) &&
              sev_kdf(c, sizeof(c), root, sizeof(root), "sev-chip-endorsement-key", NULL, 0) &&
              p384_from_extra_bits(&id->cek, c, sizeof(c));

    if (ok)
        sev_cert_make(&id->cek_cert, USAGE_CEK, ALGO_ECDSA_SHA256, chip->api_major, chip->api_minor,
                      &id->cek.pub);
    wipe(root, sizeof(root));
    wipe(c, sizeof(c));
    return ok;
}

bool identity_chip_id(const uint8_t secret[CHIP_SECRET_BYTES], uint8_t out[SEV_ID_BYTES])
{
    uint8_t c[40];
    bool ok = sev_kdf(c, sizeof(c), secret, CHIP_SECRET_BYTES, "lucca-chip-id", NULL, 0) &&
              secp256k1_point(c, sizeof(c), out, out + 32);

    wipe(c, sizeof(c));
    return ok;
}

bool identity_new_pdh(struct identity *id, const struct chip *chip)
{
    if (!p384_generate(&id->pdh))
        return false;
    sev_cert_make(&id->pdh_cert, USAGE_PDH, ALGO_ECDH_SHA256, chip->api_major, chip->api_minor,
                  &id->pdh.pub);
    return sev_cert_sign(&id->pdh_cert, 0, USAGE_PEK, &id->pek);
}

bool identity_new_pek(struct identity *id, const struct chip *chip)
{
    if (!p384_generate(&id->oca) || !p384_generate(&id->pek))
        return false;
    id->external = false;
    sev_cert_make(&id->oca_cert, USAGE_OCA, ALGO_ECDSA_SHA256, chip->api_major, chip->api_minor,
                  &id->oca.pub);
    sev_cert_make(&id->pek_cert, USAGE_PEK, ALGO_ECDSA_SHA256, chip->api_major, chip->api_minor,
                  &id->pek.pub);
    return sev_cert_sign(&id->oca_cert, 0, USAGE_OCA, &id->oca) &&
           sev_cert_sign(&id->pek_cert, 0, USAGE_OCA, &id->oca) &&
           sev_cert_sign(&id->pek_cert, 1, USAGE_CEK, &id->cek) && identity_new_pdh(id, chip);
}

/* ---- the persistent store ------------------------------------------------------------------ */

/* What is kept, in clear. */
struct kept {
    uint32_t magic, external;
    uint8_t oca[P384_BYTES], pek[P384_BYTES], pdh[P384_BYTES]; /* secret scalars */
    struct sev_cert oca_cert, pek_cert, pdh_cert;
};
#define KEPT_MAGIC 0x3141434Cu /* "LCA1" */

/* The area: HMAC, iv, then `kept` and zeros under AES-128-CTR. */
#define AT_MAC    0u
#define AT_IV     32u
#define AT_CIPHER 48u
static_assert(sizeof(struct kept) <= SEV_NV_BYTES - AT_CIPHER, "the store has room for the keys");

struct seal_keys {
    uint8_t cipher[16], mac[32];
};

static bool seal_keys(struct seal_keys *k, const uint8_t secret[CHIP_SECRET_BYTES])
{
    return sev_kdf(k->cipher, sizeof(k->cipher), secret, CHIP_SECRET_BYTES,
                   "sev-persistent-encryption", NULL, 0) &&
           sev_kdf(k->mac, sizeof(k->mac), secret, CHIP_SECRET_BYTES, "sev-persistent-integrity",
                   NULL, 0);
}

static bool area_mac(const struct seal_keys *k, const uint8_t *area, uint8_t mac[32])
{
    const struct piece sealed = {area + AT_IV, SEV_NV_BYTES - AT_IV};

    return hmac_sha256(mac, k->mac, sizeof(k->mac), &sealed, 1);
}

bool identity_seal(const struct identity *id, const uint8_t secret[CHIP_SECRET_BYTES],
                   uint8_t area[SEV_NV_BYTES])
{
    struct kept kept = {.magic = KEPT_MAGIC,
                        .external = id->external,
                        .oca_cert = id->oca_cert,
                        .pek_cert = id->pek_cert,
                        .pdh_cert = id->pdh_cert};
    struct seal_keys k;
    bool ok;

    memcpy(kept.oca, id->oca.d, P384_BYTES);
    memcpy(kept.pek, id->pek.d, P384_BYTES);
    memcpy(kept.pdh, id->pdh.d, P384_BYTES);
    memset(area, 0, SEV_NV_BYTES);
    memcpy(area + AT_CIPHER, &kept, sizeof(kept));
    ok = seal_keys(&k, secret) && random_bytes(area + AT_IV, 16) &&
         aes128_ctr(k.cipher, area + AT_IV, area + AT_CIPHER, area + AT_CIPHER,
                    SEV_NV_BYTES - AT_CIPHER) &&
         area_mac(&k, area, area + AT_MAC);
    wipe(&kept, sizeof(kept));
    wipe(&k, sizeof(k));
    return ok;
}

static bool all_ones(const uint8_t area[SEV_NV_BYTES])
{
    for (size_t i = 0; i < SEV_NV_BYTES; i++)
        if (area[i] != 0xFF)
            return false;
    return true;
}

static bool open_area(const uint8_t secret[CHIP_SECRET_BYTES], const uint8_t *area,
                      struct kept *kept)
{
    struct seal_keys k;
    uint8_t mac[32];
    bool ok = seal_keys(&k, secret) && area_mac(&k, area, mac) &&
              equal_bytes(mac, area + AT_MAC, sizeof(mac)) &&
              aes128_ctr(k.cipher, area + AT_IV, kept, area + AT_CIPHER, sizeof(*kept)) &&
              kept->magic == KEPT_MAGIC;

    wipe(&k, sizeof(k));
    return ok;
}

static bool take(struct identity *id, const struct kept *kept)
{
    struct p384_key oca = {0}, pek, pdh;

    if ((!kept->external && !p384_from_scalar(&oca, kept->oca)) ||
        !p384_from_scalar(&pek, kept->pek) || !p384_from_scalar(&pdh, kept->pdh))
        return false;
    id->oca = oca;
    id->pek = pek;
    id->pdh = pdh;
    id->oca_cert = kept->oca_cert;
    id->pek_cert = kept->pek_cert;
    id->pdh_cert = kept->pdh_cert;
    id->external = kept->external;
    return true;
}

enum unsealed identity_unseal(struct identity *id, const uint8_t secret[CHIP_SECRET_BYTES],
                              const uint8_t area[SEV_NV_BYTES])
{
    struct kept kept;
    bool ok;

    if (all_ones(area))
        return STORE_EMPTY;
    ok = open_area(secret, area, &kept) && take(id, &kept);
    wipe(&kept, sizeof(kept));
    return ok ? STORE_GOOD : STORE_BROKEN;
}
