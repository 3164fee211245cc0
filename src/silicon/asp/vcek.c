/* Attestation keys; see vcek.h. */
#include "silicon/asp/vcek.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/cipher.h"

/* 64 bits more than the curve needs (FIPS 186-4, B.4.1). */
#define EXTRA_BITS_BYTES 0x38u

static_assert(CHIP_SECRET_BYTES == VCEK_HASH_BYTES, "the chip's secret is the first base");

bool hash_sticks(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb,
                 uint8_t sticks[TCB_BYTES][VCEK_HASH_BYTES])
{
    uint8_t link[8 + VCEK_HASH_BYTES] = {0}, *d = link + 8;
    bool ok = true;

    memcpy(d, secret, CHIP_SECRET_BYTES);
    for (unsigned i = 0; i < TCB_BYTES && ok; i++) {
        for (unsigned n = 255 - (uint8_t)(tcb >> (8 * i)); n && ok; n--)
            ok = sha384(d, d, VCEK_HASH_BYTES);
        ok = ok && sha384(sticks[i], d, VCEK_HASH_BYTES) && sha384(d, link, sizeof(link));
    }
    wipe(link, sizeof(link));
    return ok;
}

bool vcek_hash(const uint8_t secret[CHIP_SECRET_BYTES], uint64_t tcb, uint8_t hash[VCEK_HASH_BYTES])
{
    uint8_t sticks[TCB_BYTES][VCEK_HASH_BYTES];
    bool ok = hash_sticks(secret, tcb, sticks);

    memcpy(hash, sticks[TCB_BYTES - 1], VCEK_HASH_BYTES);
    wipe(sticks, sizeof(sticks));
    return ok;
}

static bool attestation_key(const uint8_t hash[VCEK_HASH_BYTES], const char *label,
                            struct p384_key *key)
{
    uint8_t c[EXTRA_BITS_BYTES];
    bool ok = sev_kdf(c, sizeof(c), hash, VCEK_HASH_BYTES, label, NULL, 0) &&
              p384_from_extra_bits(key, c, sizeof(c));

    wipe(c, sizeof(c));
    return ok;
}

bool vcek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key)
{
    return attestation_key(hash, "sev-versioned-chip-endorsement-key", key);
}

bool vlek_key(const uint8_t hash[VCEK_HASH_BYTES], struct p384_key *key)
{
    return attestation_key(hash, "sev-versioned-loaded-attestation-key", key);
}

/* ---- VLEK_LOAD ------------------------------------------------------------------------------- */

static_assert(VLEK_HASHES == TCB_BYTES, "a stick for each byte of TCB_VERSION");
#define AAD_BYTES (offsetof(struct snp_vlek, tag) - offsetof(struct snp_vlek, tcb))

static bool wrapping_key(const uint8_t vcek[VCEK_HASH_BYTES], uint8_t key[32])
{
    return sev_kdf(key, 32, vcek, VCEK_HASH_BYTES, "vlek-wrapping-key", NULL, 0);
}

bool vlek_wrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t tcb,
               const uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES], struct snp_vlek *out)
{
    uint8_t key[32];
    bool ok;

    memset(out, 0, sizeof(*out));
    out->tcb = tcb;
    ok = wrapping_key(vcek, key) && random_bytes(out->iv, sizeof(out->iv)) &&
         aes256_gcm_seal(key, out->iv, &out->tcb, AAD_BYTES, out->wrapped, hashes,
                         sizeof(out->wrapped), out->tag);
    wipe(key, sizeof(key));
    return ok;
}

enum vlek_unwrapped vlek_unwrap(const uint8_t vcek[VCEK_HASH_BYTES], uint64_t reported_tcb,
                                const struct snp_vlek *in,
                                uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES])
{
    uint8_t key[32];
    bool ok;

    if (in->tcb != reported_tcb)
        return VLEK_BAD_TCB;
    if (!wrapping_key(vcek, key))
        return VLEK_FAILED;
    ok = aes256_gcm_open(key, in->iv, &in->tcb, AAD_BYTES, hashes, in->wrapped, sizeof(in->wrapped),
                         in->tag);
    wipe(key, sizeof(key));
    return ok ? VLEK_GOOD : VLEK_BAD_TAG;
}
