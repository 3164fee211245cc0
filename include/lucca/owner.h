/* What the owner of a guest does. SEV-SNP: ID blocks. SEV and SEV-ES: certificates of the platform,
 * launch sessions, launch measurements, sealed secrets. Part of liblucca-attest. No global state;
 * everything here is thread-safe. */
#ifndef LUCCA_OWNER_H
#define LUCCA_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucca/attest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- SEV-SNP: ID block and ID authentication (SEV-SNP ABI, SNP_LAUNCH_FINISH) ---------------- */

#define ATTEST_ID_BLOCK_BYTES   96u
#define ATTEST_ID_AUTH_BYTES    4096u
#define ATTEST_KEY_DIGEST_BYTES 48u

struct attest_id_block {
    uint8_t measurement[48]; /* the launch digest that it is for */
    uint8_t family_id[16], image_id[16];
    uint32_t version; /* 1 */
    uint32_t guest_svn;
    uint64_t policy; /* as the guest is launched */
};
ATTEST_API void attest_id_block_encode(uint8_t bytes[ATTEST_ID_BLOCK_BYTES],
                                       const struct attest_id_block *block);
ATTEST_API void attest_id_block_decode(struct attest_id_block *block,
                                       const uint8_t bytes[ATTEST_ID_BLOCK_BYTES]);

/* Signs the block with the ID key, and that key with the author key unless `author_key.at` is
 * NULL. Keys are P-384 private keys, PEM or DER. */
ATTEST_API enum attest_status attest_id_auth_make(uint8_t auth[ATTEST_ID_AUTH_BYTES],
                                                  const uint8_t block[ATTEST_ID_BLOCK_BYTES],
                                                  struct attest_span id_key,
                                                  struct attest_span author_key,
                                                  struct attest_error *err);
/* The checks of SNP_LAUNCH_FINISH, and the digests of both keys as reports show them. `by_author`:
 * whether there is an author's key; else its digest is zero. */
ATTEST_API enum attest_status attest_id_auth_check(const uint8_t auth[ATTEST_ID_AUTH_BYTES],
                                                   const uint8_t block[ATTEST_ID_BLOCK_BYTES],
                                                   uint8_t id_digest[ATTEST_KEY_DIGEST_BYTES],
                                                   uint8_t author_digest[ATTEST_KEY_DIGEST_BYTES],
                                                   bool *by_author, struct attest_error *err);
/* ID_KEY_DIGEST or AUTHOR_KEY_DIGEST of a key: P-384, private or public, PEM or DER. */
ATTEST_API enum attest_status attest_id_key_digest(uint8_t digest[ATTEST_KEY_DIGEST_BYTES],
                                                   struct attest_span key,
                                                   struct attest_error *err);

/* ---- SEV and SEV-ES: the platform's certificates (SEV API, appendix C) ----------------------- */

#define ATTEST_SEV_CERT_BYTES 0x824u

enum attest_sev_cert {
    ATTEST_SEV_ARK,
    ATTEST_SEV_ASK,
    ATTEST_SEV_CEK,
    ATTEST_SEV_OCA,
    ATTEST_SEV_PEK,
    ATTEST_SEV_PDH,
    ATTEST_SEV_CERTS
};
ATTEST_API const char *attest_sev_cert_name(enum attest_sev_cert cert); /* "ARK" */

/* Spans point into what was added. */
struct attest_sev_chain {
    struct attest_span cert[ATTEST_SEV_CERTS];
};
/* Binary certificates, one after another, in any order; more files may be added. */
ATTEST_API enum attest_status attest_sev_chain_add(struct attest_sev_chain *chain,
                                                   const void *bytes, size_t len,
                                                   struct attest_error *err);

struct attest_sev_check {
    const char *name; /* "pdh-by-pek" */
    const char *what; /* "the PDH is signed by the PEK" */
    enum attest_outcome outcome;
    char found[ATTEST_TEXT_MAX];
};
#define ATTEST_SEV_CHECKS 8u
struct attest_sev_result {
    enum attest_verdict verdict; /* GOOD, UNTRUSTED, NO_CERTS */
    bool emulated;               /* the root says that it is software */
    const char *product;         /* whose root it is: "Rome"; NULL: not AMD's */
    struct attest_sev_check check[ATTEST_SEV_CHECKS];
};
/* AMD's roots are pinned by key. `roots`: other ARKs to trust, binary; emulated ones are refused
 * all the same unless `trust_emulated`, which takes any of them where `root_count` is 0. */
ATTEST_API enum attest_verdict attest_sev_chain_verify(const struct attest_sev_chain *chain,
                                                       const struct attest_span *roots,
                                                       size_t root_count, bool trust_emulated,
                                                       struct attest_sev_result *result);

/* ---- SEV and SEV-ES: a launch ---------------------------------------------------------------- */

#define ATTEST_SESSION_BYTES       0x80u
#define ATTEST_SECRET_HEADER_BYTES 0x34u
#define ATTEST_SECRET_MAX          0x4000u
#define ATTEST_MEASURE_BYTES       48u /* LAUNCH_MEASURE's answer: HMAC, then 16 bytes of nonce */

/* The keys are the owner's secret: they open what is sealed for the guest. */
struct attest_session {
    uint8_t tek[16], tik[16];
    uint8_t dh_cert[ATTEST_SEV_CERT_BYTES]; /* for LAUNCH_START: --dh-cert-file */
    uint8_t session[ATTEST_SESSION_BYTES];  /* likewise: --session-file */
};
/* A new session for the platform with this PDH certificate, which has to be verified before. */
ATTEST_API enum attest_status attest_session_make(struct attest_session *session,
                                                  struct attest_span pdh, uint32_t policy,
                                                  struct attest_error *err);

/* What LAUNCH_MEASURE signs for. */
struct attest_launch_facts {
    uint8_t api_major, api_minor, build; /* of the platform's firmware */
    uint32_t policy;
    uint8_t digest[32]; /* see attest_measure() */
};
/* Is `measure` (48 bytes) what firmware says of such a launch? ATTEST_E_CRYPTO: no. */
ATTEST_API enum attest_status
attest_launch_measure_check(const uint8_t tik[16], const struct attest_launch_facts *facts,
                            const uint8_t measure[ATTEST_MEASURE_BYTES], struct attest_error *err);
/* The measure for a nonce of 16 bytes. */
ATTEST_API enum attest_status attest_launch_measure_make(uint8_t measure[ATTEST_MEASURE_BYTES],
                                                         const uint8_t tik[16],
                                                         const struct attest_launch_facts *facts,
                                                         const uint8_t nonce[16],
                                                         struct attest_error *err);

/* A packet for LAUNCH_SECRET that only the guest with this measurement opens. `len`: a multiple of
 * 16, at most ATTEST_SECRET_MAX; `sealed` has as many bytes. */
ATTEST_API enum attest_status attest_secret_seal(uint8_t header[ATTEST_SECRET_HEADER_BYTES],
                                                 uint8_t *sealed, const uint8_t tek[16],
                                                 const uint8_t tik[16],
                                                 const uint8_t measure[ATTEST_MEASURE_BYTES],
                                                 const void *secret, size_t len,
                                                 struct attest_error *err);
/* A list of secrets as OVMF's launch-secret area holds it, padded to 16 bytes. Begin with
 * `*len` 0. `guid` is text. */
ATTEST_API enum attest_status attest_secret_add(uint8_t table[ATTEST_SECRET_MAX], size_t *len,
                                                const char *guid, const void *secret,
                                                size_t secret_len, struct attest_error *err);

#ifdef __cplusplus
}
#endif

#endif
