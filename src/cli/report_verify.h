/* lucca report verify: the report, the certificates wherever they are, the policy, the verdict. */
#ifndef LUCCA_CLI_REPORT_VERIFY_H
#define LUCCA_CLI_REPORT_VERIFY_H

#include "cli/certs_fetch.h"
#include "cli/trust_options.h"

struct verify_options {
    struct trust_options trust; /* first: see TRUST_ROWS */
    const char *vek, *table, *policy, *nonce, *cache, *kds, *ear, *format;
    enum attest_product product;
    bool fetch, json, ear_evidence;
    unsigned patience;
};

/* Prints and returns the exit status; an error that is not a verdict is in `err`. */
int report_verify(const struct verify_options *o, const char *path, struct error *err);

#endif
