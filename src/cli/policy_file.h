/* Policies as JSON: keys of liblucca-attest, nested where they have dots. */
#ifndef LUCCA_CLI_POLICY_FILE_H
#define LUCCA_CLI_POLICY_FILE_H

#include <jansson.h>

#include "base/status.h"
#include "lucca/attest.h"

#define POLICY_ID 80u

/* Reads a policy's file. `id`: "sha-256:" and the digest of the file. */
enum status policy_file_read(const char *path, struct attest_policy **policy, char id[POLICY_ID],
                             struct error *err) MUST_USE;
/* Whether a key may have a list of values. */
bool policy_key_has_several(const struct attest_policy_key *key);
/* What a report says, as a policy; without what changes from report to report unless `all`. */
json_t *policy_draft(const struct attest_report *report, bool all);
json_t *policy_schema(void);
/* Of what `report show` and `report verify` print with --json. */
json_t *report_schema(void);

#endif
