/* AMD's key service over HTTP; see certs_fetch.h. */
#include "cli/certs_fetch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/bytes.h"

#define BODY_MAX     ATTEST_CRL_MAX
#define FIRST_WAIT   1u  /* seconds */
#define ASKS_MAX     8u  /* of one path */
#define TIMEOUT      30L /* seconds for one answer */
#define CONNECT_TIME 10L

/* ---- one request --------------------------------------------------------------------------------
 */

static size_t take_body(char *bytes, size_t one, size_t n, void *ctx)
{
    struct blob *b = ctx;
    uint8_t *more = n <= BODY_MAX - b->len ? realloc(b->bytes, b->len + n + 1) : NULL;

    if (!more)
        return 0;
    memcpy(more + b->len, bytes, n);
    b->bytes = more;
    b->len += n;
    return n;
}

struct answer {
    long http;
    curl_off_t retry_after; /* seconds; 0: not said */
};

static enum status ask(const char *url, struct blob *body, struct answer *a, struct error *err)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *c = curl_easy_init();
    CURLcode code;

    *a = (struct answer){0};
    *body = (struct blob){.bytes = malloc(1)};
    if (!c || !body->bytes) {
        curl_easy_cleanup(c);
        return fail(err, ERR_NOMEM, "no memory for a request");
    }
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, TIMEOUT);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIME);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lucca/" LUCCA_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    code = curl_easy_perform(c);
    if (code == CURLE_OK) {
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->http);
        curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &a->retry_after);
    }
    curl_easy_cleanup(c);
    if (code != CURLE_OK)
        return fail(err, ERR_IO, "%s: %s", url, *why ? why : curl_easy_strerror(code));
    return OK;
}

/* ---- with patience ------------------------------------------------------------------------------
 */

static enum status be_patient(struct fetcher *f, const char *url, const struct answer *a,
                              unsigned asked, struct error *err)
{
    uint64_t wait = a->retry_after > 0 ? (uint64_t)a->retry_after : FIRST_WAIT << asked;

    if (asked + 1 == ASKS_MAX || wait > f->patience || f->waited + wait > f->patience)
        return fail(err, ERR_IO,
                    "%s: status %ld, too many requests: it wants %llu s of waiting, and --patience "
                    "is %u s",
                    url, a->http, (unsigned long long)wait, f->patience);
    if (!f->quiet)
        fprintf(stderr, "lucca: %s: status %ld; asking again in %llu s\n", url, a->http,
                (unsigned long long)wait);
    sleep((unsigned)wait);
    f->waited += (unsigned)wait;
    return OK;
}

enum status fetch_path(struct fetcher *f, const char *path, struct blob *body, long *http,
                       struct error *err)
{
    const char *base = f->url ? f->url : KDS_URL;
    struct answer a;
    char url[1024];
    enum status s;

    *http = 0;
    *body = (struct blob){0};
    if (strncmp(base, "https://", 8) != 0 && strncmp(base, "http://", 7) != 0)
        return fail(err, ERR_ARG, "--kds %.200s: a URL with http:// or https:// is needed", base);
    if (snprintf(url, sizeof(url), "%.*s%s", (int)(strlen(base) - (base[strlen(base) - 1] == '/')),
                 base, path) >= (int)sizeof(url))
        return fail(err, ERR_ARG, "--kds: the URL is too long");
    for (unsigned asked = 0;; asked++) {
        s = ask(url, body, &a, err);
        *http = a.http;
        if (s == OK && a.http == 200)
            return OK;
        blob_free(body);
        if (s == OK && a.http != 429 && a.http != 503)
            return fail(err, ERR_IO, "%s: status %ld", url, a.http);
        if (s == OK)
            s = be_patient(f, url, &a, asked, err);
        if (s != OK)
            return s;
    }
}

/* ---- certificates -------------------------------------------------------------------------------
 */

/* What came goes into a bag of its own first, to be looked at. */
static enum status get_bag(struct fetcher *f, const char *path, struct attest_certs **bag,
                           long *http, struct error *err)
{
    struct attest_error why;
    struct blob body;
    enum status s = fetch_path(f, path, &body, http, err);

    *bag = NULL;
    if (s != OK)
        return s;
    *bag = attest_certs_new(&why);
    if (!*bag || attest_certs_add(*bag, body.bytes, body.len, &why) != ATTEST_OK) {
        s = fail(err, ERR_FORMAT, "%s%s: what came is no certificate: %s",
                 f->url ? f->url : KDS_URL, path, why.text);
        attest_certs_free(*bag);
        *bag = NULL;
    }
    blob_free(&body);
    return s;
}

static enum status keep(const struct attest_certs *got, const char *crl_of,
                        const struct store *store, struct attest_certs *bag, struct error *err)
{
    struct attest_error why = {0};
    char path[PATH_MAX];
    enum status s = OK;

    for (size_t i = 0; i < attest_certs_count(got) && s == OK; i++) {
        const struct attest_cert *c = attest_certs_at(got, i);

        if (attest_certs_add(bag, c->der.at, c->der.len, &why) != ATTEST_OK)
            s = attest_error_to(err, &why);
        else if (store)
            s = store_put_cert(store, c, path, err);
    }
    for (size_t i = 0; i < attest_certs_crl_count(got) && s == OK; i++) {
        const struct attest_crl *c = attest_certs_crl_at(got, i);

        if (attest_certs_add(bag, c->der.at, c->der.len, &why) != ATTEST_OK)
            s = attest_error_to(err, &why);
        else if (store)
            s = store_put_crl(store, c, crl_of, path, err);
    }
    return s;
}

/* It is of the chip and TCB that were asked for; who signed it is judged at each use. */
static bool fits(const struct attest_certs *got, const struct wanted *w, enum attest_product p)
{
    const struct attest_cert *c = attest_certs_find(got, ATTEST_CERT_VCEK, p);

    return c && attest_certs_count(got) == 1 && c->hwid_len &&
           memcmp(c->hwid, w->chip_id, c->hwid_len) == 0 &&
           memcmp(c->tcb.raw, w->tcb, sizeof(w->tcb)) == 0;
}

static enum status fetch_vcek_of(struct fetcher *f, const struct wanted *w, enum attest_product p,
                                 const struct store *store, struct attest_certs *bag, long *http,
                                 struct error *err)
{
    struct attest_certs *got = NULL;
    struct attest_error why;
    struct attest_tcb tcb;
    char path[512];
    enum status s;

    attest_tcb_decode(&tcb, w->tcb, attest_layout_of(p));
    *http = 0;
    if (attest_kds_path(ATTEST_KDS_VCEK, p, w->chip_id, &tcb, path, sizeof(path), &why) !=
        ATTEST_OK)
        return attest_error_to(err, &why);
    s = get_bag(f, path, &got, http, err);
    if (s == OK && !fits(got, w, p))
        s = fail(err, ERR_FORMAT, "%s: what came is no VCEK of this chip and TCB",
                 f->url ? f->url : KDS_URL);
    /* The leaf is kept last: whoever finds it in the store finds its chain there too. Without one
     * it is still worth keeping, as AMD's own chains are built in. */
    if (s == OK) {
        enum status chain = fetch_chain(f, p, false, store, bag, err);

        s = keep(got, "", store, bag, chain == OK ? err : NULL);
        s = s == OK ? chain : s;
    }
    attest_certs_free(got);
    return s;
}

enum status fetch_vcek(struct fetcher *f, const struct wanted *w, const struct store *store,
                       struct attest_certs *bag, struct error *err)
{
    enum attest_product products[3];
    size_t n = wanted_products(w, products);
    enum status s = OK;

    if (w->vlek)
        return fail(err, ERR_ARG,
                    "the report is signed by a VLEK, which only the provider has: give it with "
                    "--vek, or 'lucca certs import' it");
    for (size_t i = 0; i < n; i++) {
        long http;

        s = fetch_vcek_of(f, w, products[i], store, bag, &http, err);
        if (s == OK || http < 400 || http > 404) /* the next only where this one is not known */
            break;
    }
    return s;
}

/* What came is what was asked for, and nothing else. */
static bool is_answer(const struct attest_certs *got, enum attest_kds what, enum attest_product p)
{
    const struct attest_crl *crl = attest_certs_crl_at(got, 0);
    size_t certs = attest_certs_count(got), crls = attest_certs_crl_count(got);
    bool vlek = what == ATTEST_KDS_VLEK_CHAIN;

    if (what == ATTEST_KDS_VCEK_CRL || what == ATTEST_KDS_VLEK_CRL)
        return !certs && crls == 1 && crl->product == p;
    return certs == 2 && !crls && attest_certs_find(got, ATTEST_CERT_ARK, p) &&
           attest_certs_find(got, vlek ? ATTEST_CERT_ASVK : ATTEST_CERT_ASK, p);
}

static enum status fetch_and_keep(struct fetcher *f, enum attest_kds what,
                                  enum attest_product product, bool vlek, const struct store *store,
                                  struct attest_certs *bag, struct error *err)
{
    struct attest_certs *got = NULL;
    struct attest_error why;
    char path[128];
    long http;
    enum status s;

    if (attest_kds_path(what, product, NULL, NULL, path, sizeof(path), &why) != ATTEST_OK)
        return attest_error_to(err, &why);
    s = get_bag(f, path, &got, &http, err);
    if (s == OK && !is_answer(got, what, product))
        s = fail(err, ERR_FORMAT, "%s%s: what came is another certificate or list",
                 f->url ? f->url : KDS_URL, path);
    if (s == OK)
        s = keep(got, vlek ? "vlek" : "vcek", store, bag, err);
    attest_certs_free(got);
    return s;
}

enum status fetch_chain(struct fetcher *f, enum attest_product product, bool vlek,
                        const struct store *store, struct attest_certs *bag, struct error *err)
{
    return fetch_and_keep(f, vlek ? ATTEST_KDS_VLEK_CHAIN : ATTEST_KDS_VCEK_CHAIN, product, vlek,
                          store, bag, err);
}

enum status fetch_crl(struct fetcher *f, enum attest_product product, bool vlek,
                      const struct store *store, struct attest_certs *bag, struct error *err)
{
    return fetch_and_keep(f, vlek ? ATTEST_KDS_VLEK_CRL : ATTEST_KDS_VCEK_CRL, product, vlek, store,
                          bag, err);
}
