/* A store of certificates that one can carry to a machine without network:
 *
 *   DIR/Milan/CHIP_ID/TCB.der       VCEKs; ids and TCBs in hex, as reports have them
 *   DIR/Milan/vlek/TCB-DIGEST.der   VLEKs
 *   DIR/Milan/ask-DIGEST.der        ASKs; likewise asvk and ark
 *   DIR/Milan/vcek.crl              revocation lists; likewise vlek.crl, and other.crl by import
 *   DIR/emulated/Milan/...          the same of emulated chips
 *
 * It is no authority: whatever is taken from it is verified like anything else. */
#ifndef LUCCA_CLI_CERTS_STORE_H
#define LUCCA_CLI_CERTS_STORE_H

#include <limits.h>
#include <stdbool.h>

#include "base/status.h"
#include "lucca/attest.h"

struct store {
    char dir[PATH_MAX - 512]; /* what stands in it has shorter names */
};

/* Where a certificate is wanted for: a chip or, for a VLEK, a TCB alone. */
struct wanted {
    enum attest_product product; /* unknown: any whose chip ids look like this one */
    bool vlek;
    uint8_t chip_id[64];
    uint8_t tcb[8];
};
struct wanted wanted_by(const struct attest_report *report);
/* The products to try, in order; returns how many. */
size_t wanted_products(const struct wanted *w, enum attest_product out[3]);

/* `dir` NULL: $XDG_CACHE_HOME/lucca/certs or ~/.cache/lucca/certs. Nothing is made yet. */
enum status store_open(struct store *s, const char *dir, struct error *err) MUST_USE;
/* Adds the leaf and its chain to the bag; *found says whether there was one. */
enum status store_find(const struct store *s, const struct wanted *w, struct attest_certs *bag,
                       bool *found, struct error *err) MUST_USE;
/* Adds the revocation lists of a product, if there are any. */
enum status store_find_crls(const struct store *s, enum attest_product product, bool vlek,
                            bool emulated, struct attest_certs *bag, struct error *err) MUST_USE;
/* `path`: where it went. A certificate that no report needs is refused. */
enum status store_put_cert(const struct store *s, const struct attest_cert *cert,
                           char path[PATH_MAX], struct error *err) MUST_USE;
/* `of`: "vcek", "vlek" or "other". */
enum status store_put_crl(const struct store *s, const struct attest_crl *crl, const char *of,
                          char path[PATH_MAX], struct error *err) MUST_USE;

#endif
