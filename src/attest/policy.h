/* Policies: the table of their keys, and what a policy holds. */
#ifndef LUCCA_ATTEST_POLICY_H
#define LUCCA_ATTEST_POLICY_H

#include "attest/internal.h"

enum policy_id {
#define POLICY(id, ...) POLICY_##id,
#include "attest/policy.def"
#undef POLICY
    POLICY_KEYS
};
static_assert(CHECK_POLICY + POLICY_KEYS <= ATTEST_CHECKS_MAX, "a result holds every check");

/* Where the report says it. */
enum policy_source {
    SRC_RAW, /* bytes, or a little-endian number */
    SRC_BIT,
    SRC_TCB,
    SRC_AUTHOR, /* bytes that count where AUTHOR_KEY_EN is set */
    SRC_PRODUCT,
    SRC_SIGNING_KEY,
    SRC_CSP_ID,
    SRC_MASKED_ID,
    SRC_PROVISIONAL,
    SRC_CRL,
};
struct policy_row {
    uint8_t source, kind;
    uint16_t at;
    uint8_t arg; /* bytes, bit, or part */
    uint8_t since;
    bool wanted;
};
extern const struct policy_row policy_rows[POLICY_KEYS];
extern const struct attest_policy_key policy_keys[POLICY_KEYS];

struct attest_policy {
    struct policy_values {
        uint8_t *data; /* `count` elements of policy_element() bytes */
        size_t count;
    } values[POLICY_KEYS];
};

#define POLICY_TEXT_MAX 128u
size_t policy_element(enum policy_id id);
/* A number, or a word's place in its list. */
uint64_t policy_number(const struct attest_policy *policy, enum policy_id id, size_t i);
/* What a policy says of a RULE; NULL is the built-in one. */
enum rule policy_rule(const struct attest_policy *policy, enum policy_id id);

#endif
