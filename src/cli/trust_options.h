/* Whom to trust and what to verify with: options that `report verify` and `certs verify` share. */
#ifndef LUCCA_CLI_TRUST_OPTIONS_H
#define LUCCA_CLI_TRUST_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "lucca/attest.h"

#define TRUST_FILES_MAX 16u

struct trust_options {
    const char *root[TRUST_FILES_MAX], *cert[TRUST_FILES_MAX];
    size_t roots, certs; /* `cert`: --chain and --crl */
    bool trust_emulated;
    int64_t at; /* 0: now */
};

/* Adds a file of certificates or lists to a bag. `what` begins the sentence of an error. */
enum status bag_add_file(struct attest_certs *bag, const char *what, const char *path,
                         struct error *err) MUST_USE;
/* A certificate table, alone in a file. */
enum status bag_add_table_file(struct attest_certs *bag, const char *path,
                               struct error *err) MUST_USE;
/* AMD's roots and those of --root; and a bag with --chain and --crl. On failure neither is left. */
enum status trust_open(const struct trust_options *o, struct attest_trust **trust,
                       struct attest_certs **bag, struct error *err) MUST_USE;
/* The rows of option tables that have a struct trust_options first in their context. */
enum status set_trust_root(void *ctx, const char *value, struct error *err) MUST_USE;
enum status set_trust_cert(void *ctx, const char *value, struct error *err) MUST_USE;
enum status set_trust_emulated(void *ctx, const char *value, struct error *err) MUST_USE;
enum status set_trust_at(void *ctx, const char *value, struct error *err) MUST_USE;

#define TRUST_ROWS                                                                                 \
    {"at", "TIME", 0, set_trust_at, "judge dates at this time, not now"},                          \
        {"root", "FILE", 0, set_trust_root, "trust this root as AMD's; may be given again"},       \
        {"trust-emulated", NULL, 0, set_trust_emulated, "take roots of emulated chips"},           \
        {"chain", "FILE", 0, set_trust_cert, "ASK, ASVK and ARK, PEM or DER; may be given again"}, \
    {                                                                                              \
        "crl", "FILE", 0, set_trust_cert, "a revocation list; may be given again"                  \
    }

#endif
