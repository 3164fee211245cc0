/* What the files of the attestation library share. */
#ifndef LUCCA_ATTEST_INTERNAL_H
#define LUCCA_ATTEST_INTERNAL_H

#include "lucca/attest.h"

#include "base/bytes.h"
#include "crypto/openssl.h"

/* Fills `err` (which may be NULL) and returns `code`. */
enum attest_status attest_fail(struct attest_error *err, enum attest_status code, const char *path,
                               const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define NO_MEMORY(err) attest_fail(err, ATTEST_E_MEMORY, "", "no memory")

/* One sentence about a buffer that cannot grow: appends, and never writes past the end. */
struct line {
    char *text;
    size_t size, len; /* `len` counts what would have been written too */
};
void line_add(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_hex(struct line *l, const uint8_t *bytes, size_t len);
/* "2022-12-23T00:00:00Z" */
void line_time(struct line *l, int64_t at);
void line_tcb(struct line *l, const struct attest_tcb *tcb);
/* `raw` by layout and parts. */
void tcb_encode(struct attest_tcb *tcb);
#define LINE_OVER(buffer)                                                                          \
    ((struct line){.text = memset(buffer, 0, 1), .size = sizeof(buffer), .len = 0})

/* Hex, or base64 in either alphabet, with white space between; -1 where the text is neither or
 * does not fit. */
ptrdiff_t text_hex(uint8_t *out, size_t size, const char *text, size_t len);
ptrdiff_t text_base64(uint8_t *out, size_t size, const char *text, size_t len);

static inline bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return !any;
}

static inline bool span_equal(struct attest_span a, struct attest_span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* ---- libcrypto ---- */

bool key_sha256(uint8_t out[32], const void *bytes, size_t len);
/* Keys of certificates; NULL where libcrypto does not take them: a point off the curve. */
EVP_PKEY *key_of(const struct attest_cert *cert);
bool key_verify_pss(EVP_PKEY *key, struct attest_span message, struct attest_span signature);
/* `r` and `s`: 48 bytes, big-endian, in 1 .. n-1. */
bool key_verify_p384(EVP_PKEY *key, struct attest_span message, const uint8_t *r, const uint8_t *s);
/* 1 .. n-1 */
bool key_scalar_in_range(const uint8_t scalar[48]);

/* ---- bags ---- */

struct cert_item {
    struct attest_cert cert;
    EVP_PKEY *key;
    uint8_t *der;
};
struct crl_item {
    struct attest_crl crl;
    uint8_t *der;
};
struct attest_certs {
    struct cert_item *certs[ATTEST_BAG_MAX];
    struct crl_item *crls[ATTEST_BAG_MAX];
    size_t cert_count, crl_count;
    bool has_eax; /* a table said what CPUID 1 returned */
    uint32_t eax;
};

struct attest_trust {
    struct attest_certs *builtin;
    struct attest_certs *added; /* roots */
    bool emulated;
};

bool cache_knows(struct attest_cache *cache, const uint8_t spki[32],
                 const uint8_t signed_by_it[32]);
void cache_learn(struct attest_cache *cache, const uint8_t spki[32],
                 const uint8_t signed_by_it[32]);

/* ---- checks ---- */

/* checks.def has one row per check; then comes one per row of policy.def. */
enum check_id {
#define CHECK(id, name, blame, must, what) CHECK_##id,
#include "attest/checks.def"
#undef CHECK
    CHECK_POLICY
};

/* What a verification knows so far. */
struct judge {
    const struct attest_trust *trust;
    const struct attest_query *query;
    struct attest_result *result;
    const struct cert_item *leaf, *issuer, *root;
};
void judge_set(struct judge *j, unsigned id, enum attest_outcome outcome, const char *expected,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
#define PASS(j, id, ...)      judge_set(j, CHECK_##id, ATTEST_PASS, __VA_ARGS__)
#define FAIL(j, id, ...)      judge_set(j, CHECK_##id, ATTEST_FAIL, __VA_ARGS__)
#define NOT_ASKED(j, id, ...) judge_set(j, CHECK_##id, ATTEST_NOT_ASKED, "", __VA_ARGS__)
#define DECIDE(j, good, id, ...)                                                                   \
    judge_set(j, CHECK_##id, (good) ? ATTEST_PASS : ATTEST_FAIL, __VA_ARGS__)

/* Where a version 2 report did not say it. */
void report_set_product(struct attest_report *report, enum attest_product product);
void report_judge(struct judge *j);
void report_judge_tcb(struct judge *j);
void chain_find(struct judge *j, const struct attest_cert *leaf);
void chain_judge(struct judge *j);
void revocation_judge(struct judge *j, bool required);

/* ---- policies ---- */

enum rule { RULE_ALLOWED, RULE_FORBIDDEN, RULE_REQUIRED };
bool policy_requires_crl(const struct attest_policy *policy);
void policy_judge(struct judge *j);

#endif
