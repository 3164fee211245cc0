/* Whom to trust: AMD's roots, pinned by key, and others that the user names. Also the cache of
 * signatures that were found good. */
#include "attest/trust.h"

#include <stdlib.h>

#include "attest/roots.h"

/* SHA-256 of the ARKs' SubjectPublicKeyInfo. */
static const uint8_t pins[][32] = {
    /* ARK-Milan */
    {0x9F, 0x05, 0x6B, 0xEE, 0x44, 0x37, 0x7E, 0x29, 0x30, 0x8C, 0xB5,
     0xFF, 0xA8, 0x95, 0xBD, 0xFB, 0x62, 0xD1, 0x88, 0x81, 0xFA, 0x6B,
     0xED, 0x8D, 0x6F, 0x07, 0x5B, 0x02, 0x04, 0x08, 0x9C, 0xB9},
    /* ARK-Genoa */
    {0x42, 0x9A, 0x69, 0xC9, 0x42, 0x2A, 0xA2, 0x58, 0xEE, 0x4D, 0x8D,
     0xB5, 0xFC, 0xDA, 0x9C, 0x64, 0x70, 0xEF, 0x15, 0xF8, 0xCD, 0x5A,
     0x9C, 0xEB, 0xD6, 0xCB, 0xC7, 0xD9, 0x0B, 0x86, 0x38, 0x31},
    /* ARK-Turin */
    {0x4F, 0x12, 0x54, 0x10, 0x56, 0x3A, 0x2A, 0xB9, 0xA5, 0x03, 0x56,
     0xF9, 0x24, 0x3F, 0x6F, 0xE0, 0xB6, 0xF7, 0x3D, 0xE9, 0x86, 0x03,
     0xF5, 0x3F, 0x90, 0x33, 0x9C, 0x70, 0xE9, 0xD7, 0xAD, 0x08},
};

struct attest_trust *attest_trust_new(struct attest_error *err)
{
    struct attest_trust *trust = calloc(1, sizeof(*trust));
    enum attest_status why = ATTEST_OK;

    if (!trust) {
        NO_MEMORY(err);
        return NULL;
    }
    trust->builtin = attest_certs_new(err);
    trust->added = attest_certs_new(err);
    if (!trust->builtin || !trust->added)
        why = ATTEST_E_MEMORY;
    for (size_t i = 0; i < attest_roots_count && why == ATTEST_OK; i++)
        why = attest_certs_add(trust->builtin, attest_roots[i].at, attest_roots[i].len, err);
    if (why == ATTEST_OK)
        return trust;
    attest_trust_free(trust);
    return NULL;
}

void attest_trust_free(struct attest_trust *trust)
{
    if (!trust)
        return;
    attest_certs_free(trust->builtin);
    attest_certs_free(trust->added);
    free(trust);
}

enum attest_status attest_trust_add_root(struct attest_trust *trust, const void *bytes, size_t len,
                                         struct attest_error *err)
{
    size_t before = trust->added->cert_count;
    enum attest_status why = attest_certs_add(trust->added, bytes, len, err);

    for (size_t i = before; i < trust->added->cert_count && why == ATTEST_OK; i++)
        if (trust->added->certs[i]->cert.kind != ATTEST_CERT_ARK)
            why = attest_fail(err, ATTEST_E_ARG, "root",
                              "\"%s\" by \"%s\" is no ARK: a root is named ARK-Milan, ARK-Genoa or "
                              "ARK-Turin, and issued by itself",
                              trust->added->certs[i]->cert.subject_cn,
                              trust->added->certs[i]->cert.issuer_cn);
    if (why == ATTEST_OK && trust->added->cert_count == before)
        why = attest_fail(err, ATTEST_E_ARG, "root", "it holds no certificate");
    return why;
}

void attest_trust_emulated(struct attest_trust *trust)
{
    trust->emulated = true;
}

const struct attest_certs *attest_trust_builtin(const struct attest_trust *trust)
{
    return trust->builtin;
}

bool trust_amd(const struct attest_cert *root)
{
    for (size_t i = 0; i < COUNT(pins); i++)
        if (memcmp(root->spki_sha256, pins[i], sizeof(pins[i])) == 0)
            return true;
    return false;
}

bool trust_added(const struct attest_trust *trust, const struct attest_cert *root)
{
    for (size_t i = 0; i < trust->added->cert_count; i++) {
        const struct attest_cert *c = &trust->added->certs[i]->cert;

        if (c->kind == ATTEST_CERT_ARK && memcmp(root->spki_sha256, c->spki_sha256, 32) == 0)
            return true;
    }
    return false;
}

bool trust_any_emulated(const struct attest_trust *trust)
{
    if (!trust->emulated)
        return false;
    for (size_t i = 0; i < trust->added->cert_count; i++)
        if (trust->added->certs[i]->cert.emulated)
            return false;
    return true;
}

/* ---- the cache: a set of (key, what it signed), both as digests ---- */

#define SLOTS 1024u

struct fact {
    bool is;
    uint8_t spki[32], signed_by_it[32];
};

struct attest_cache {
    CRYPTO_RWLOCK *lock;
    struct fact slots[SLOTS];
};

struct attest_cache *attest_cache_new(struct attest_error *err)
{
    struct attest_cache *cache = calloc(1, sizeof(*cache));

    if (cache && (cache->lock = CRYPTO_THREAD_lock_new()))
        return cache;
    free(cache);
    NO_MEMORY(err);
    return NULL;
}

void attest_cache_free(struct attest_cache *cache)
{
    if (cache)
        CRYPTO_THREAD_lock_free(cache->lock);
    free(cache);
}

/* Digests are as good as random: their first bytes choose the slot. */
static struct fact *slot_of(struct attest_cache *cache, const uint8_t spki[32],
                            const uint8_t signed_by_it[32])
{
    return &cache->slots[(load32(spki) ^ load32(signed_by_it)) % SLOTS];
}

bool cache_knows(struct attest_cache *cache, const uint8_t spki[32], const uint8_t signed_by_it[32])
{
    const struct fact *f = cache ? slot_of(cache, spki, signed_by_it) : NULL;
    bool known;

    if (!f || !CRYPTO_THREAD_read_lock(cache->lock))
        return false;
    known =
        f->is && memcmp(f->spki, spki, 32) == 0 && memcmp(f->signed_by_it, signed_by_it, 32) == 0;
    CRYPTO_THREAD_unlock(cache->lock);
    return known;
}

void cache_learn(struct attest_cache *cache, const uint8_t spki[32], const uint8_t signed_by_it[32])
{
    struct fact *f = cache ? slot_of(cache, spki, signed_by_it) : NULL;

    if (!f || !CRYPTO_THREAD_write_lock(cache->lock))
        return;
    f->is = true;
    memcpy(f->spki, spki, 32);
    memcpy(f->signed_by_it, signed_by_it, 32);
    CRYPTO_THREAD_unlock(cache->lock);
}
