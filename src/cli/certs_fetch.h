/* AMD's key service, or another one that answers as it does. The one place of the command that
 * opens a connection to the world, and only where --fetch or `certs fetch` asked for it. */
#ifndef LUCCA_CLI_CERTS_FETCH_H
#define LUCCA_CLI_CERTS_FETCH_H

#include "cli/certs_store.h"
#include "cli/inputs.h"

#define KDS_URL      "https://kdsintf.amd.com"
#define KDS_PATIENCE 120u /* seconds of waiting that the service may ask for, together */

struct fetcher {
    const char *url; /* without a slash at its end; NULL: KDS_URL */
    unsigned patience, waited;
    bool quiet;
};

/* Gets a path. `*http` is the status, 0 where there was no answer. Waits and asks again on 429 and
 * 503, as long as Retry-After says, or 1, 2, 4... seconds. */
enum status fetch_path(struct fetcher *f, const char *path, struct blob *body, long *http,
                       struct error *err) MUST_USE;
/* The VCEK and its chain into bag and store (NULL: no store). */
enum status fetch_vcek(struct fetcher *f, const struct wanted *w, const struct store *store,
                       struct attest_certs *bag, struct error *err) MUST_USE;
/* ASK or ASVK, and ARK. */
enum status fetch_chain(struct fetcher *f, enum attest_product product, bool vlek,
                        const struct store *store, struct attest_certs *bag,
                        struct error *err) MUST_USE;
enum status fetch_crl(struct fetcher *f, enum attest_product product, bool vlek,
                      const struct store *store, struct attest_certs *bag,
                      struct error *err) MUST_USE;

#endif
