/* Attestation results for machines: an EAR (draft-ietf-rats-ear-04) as a JWT signed with ES384. */
#ifndef LUCCA_CLI_REPORT_EAR_H
#define LUCCA_CLI_REPORT_EAR_H

#include "base/status.h"
#include "lucca/attest.h"

struct ear_options {
    const char *key_file;  /* P-384, private, PEM */
    const char *policy_id; /* ear_appraisal_policy_ids */
    const uint8_t *nonce;  /* eat_nonce, or NULL */
    size_t nonce_len;
    bool evidence; /* ear_raw_evidence: the report */
};
/* `*token` is malloc'ed. */
enum status ear_make(const struct ear_options *o, const struct attest_result *result, char **token,
                     struct error *err) MUST_USE;

#endif
