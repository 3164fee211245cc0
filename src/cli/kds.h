/* AMD's key distribution service (AMD 57230) for the emulated chips on this disk: what it answers.
 * How it is asked is cmd_kds.c's business. */
#ifndef LUCCA_CLI_KDS_H
#define LUCCA_CLI_KDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/asp/x509.h"

#define KDS_BODY_MAX  16384u
#define KDS_QUERY_MAX 8u

struct kds {
    const char *csp; /* whose VLEKs it gives; NULL: nobody's */
    struct snp_root *roots[CHIPS];
};

struct kds_request {
    const char *path; /* without the query, percent-decoded */
    struct kds_argument {
        const char *name, *value; /* `value` "" where there is none */
    } query[KDS_QUERY_MAX];
    size_t arguments; /* more than KDS_QUERY_MAX: some are missing above */
};

struct kds_reply {
    unsigned status; /* of HTTP */
    const char *type;
    size_t len;
    char body[KDS_BODY_MAX];
};

void kds_answer(struct kds *k, const struct kds_request *request, struct kds_reply *reply);
void kds_free(struct kds *k);

#endif
