/* lucca certs check: a fleet's chips against the store: what is missing, what expires, what falls
 * behind. */
#ifndef LUCCA_CLI_CERTS_CHECK_H
#define LUCCA_CLI_CERTS_CHECK_H

#include "cli/certs_store.h"

enum check_output { CHECK_TEXT, CHECK_JSON, CHECK_PROMETHEUS };

struct check_options {
    const char *cache, *policy; /* `policy`: whose minimum_tcb.reported chips must have, or NULL */
    unsigned within;            /* days ahead */
    int64_t at;                 /* 0: now */
    enum check_output output;
};

/* The statuses of `report verify`: 3 a certificate is missing or expires, 4 a revocation list, 5 a
 * chip falls behind. */
int certs_check(const struct check_options *o, const char *list, struct error *err);

#endif
