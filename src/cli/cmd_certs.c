/* lucca certs: the certificates that reports are verified with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/certs_check.h"
#include "cli/certs_fetch.h"
#include "cli/cli.h"
#include "cli/report_file.h"
#include "cli/trust_options.h"

#define WITHIN 30u /* days */

struct certs_verb {
    struct trust_options trust; /* first: see TRUST_ROWS */
    const char *cache, *kds, *policy, *chip_id, *tcb, *format;
    enum attest_product product;
    unsigned patience, within;
    bool json, prometheus;
};

/* ---- options ------------------------------------------------------------------------------------
 */

#define FLAG(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct certs_verb *)ctx)->member = true;                                                 \
        return OK;                                                                                 \
    }
#define WORD(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct certs_verb *)ctx)->member = value;                                                \
        return OK;                                                                                 \
    }
#define NUMBER(member, option, most)                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        uint64_t n = 0;                                                                            \
        enum status s = number_parse(option, value, most, &n, err);                                \
                                                                                                   \
        ((struct certs_verb *)ctx)->member = (unsigned)n;                                          \
        return s;                                                                                  \
    }
FLAG(json)
FLAG(prometheus)
WORD(cache)
WORD(kds)
WORD(policy)
WORD(chip_id)
WORD(tcb)
NUMBER(patience, "--patience", 86400)
NUMBER(within, "--within", 36500)

static enum status set_product(void *ctx, const char *value, struct error *err)
{
    enum attest_product p = attest_product_from_name(value);

    ((struct certs_verb *)ctx)->product = p;
    if (p == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_ARG, "--product %.40s: milan, genoa or turin", value);
    return OK;
}

#define CACHE_ROW                                                                                  \
    {                                                                                              \
        "cache", "DIR", 0, set_cache, "the store, otherwise ~/.cache/lucca/certs"                  \
    }
#define JSON_ROW                                                                                   \
    {                                                                                              \
        "json", NULL, 0, set_json, "as JSON"                                                       \
    }

static const struct option_row fetch_rows[] = {
    CACHE_ROW,
    {"kds", "URL", 0, set_kds, "ask this service, not " KDS_URL},
    {"patience", "SECONDS", 0, set_patience, "wait at most so long where it asks to: 120"},
    {"product", "NAME", 0, set_product, "milan, genoa or turin, where the report does not say"},
    {"chip-id", "HEX", 0, set_chip_id, "of this chip, not of a report's"},
    {"tcb", "HEX", 0, set_tcb, "with --chip-id: 8 bytes as REPORTED_TCB has them"},
    JSON_ROW,
};
static const struct option_row show_rows[] = {JSON_ROW};
static const struct option_row verify_rows[] = {TRUST_ROWS, JSON_ROW};
static const struct option_row import_rows[] = {CACHE_ROW, JSON_ROW};
static const struct option_row check_rows[] = {
    CACHE_ROW,
    {"policy", "FILE", 0, set_policy, "behind is below its minimum_tcb.reported"},
    {"within", "DAYS", 0, set_within, "what ends in so many days expires: 30"},
    {"at", "TIME", 0, set_trust_at, "as of this time, not now"},
    JSON_ROW,
    {"prometheus", NULL, 0, set_prometheus, "as Prometheus has metrics"},
};

/* ---- fetch --------------------------------------------------------------------------------------
 */

/* What a fetch did, once all is in the store. */
static int print_bag(const struct certs_verb *o, const struct attest_certs *bag)
{
    if (o->json)
        return json_print(json_bag(bag));
    bag_print(bag);
    return EXIT_OK;
}

static enum status wanted_chip(const struct certs_verb *o, struct wanted *w, struct error *err)
{
    size_t n = 0;

    *w = (struct wanted){.product = o->product};
    if (!bytes_parse(w->chip_id, 8, 64, o->chip_id, &n) || (n != 8 && n != 64))
        return fail(err, ERR_ARG, "--chip-id: 64 bytes in hex are needed, or 8 on Turin");
    if (!o->tcb || !bytes_parse(w->tcb, 8, 8, o->tcb, &n))
        return fail(err, ERR_ARG,
                    "--chip-id needs --tcb: 8 bytes in hex, as REPORTED_TCB in a report has them");
    return OK;
}

static enum status wanted_report(const struct certs_verb *o, const char *path, struct wanted *w,
                                 struct error *err)
{
    struct attest_report report;
    struct attest_error why;
    struct report_file f;
    enum status s = report_file_open(&f, path, NULL, err);

    if (s != OK)
        return s;
    if (attest_report_parse(&report, f.in.report, ATTEST_REPORT_SIZE, o->product, &why) !=
        ATTEST_OK)
        s = fail(err, ERR_FORMAT, "report '%s': %s", f.path, why.text);
    else
        *w = wanted_by(&report);
    report_file_close(&f);
    return s;
}

/* The leaf, unless a provider alone has it; its chain; and the list. */
static enum status fetch_for(struct fetcher *f, struct wanted *w, const struct store *store,
                             struct attest_certs *bag, struct error *err)
{
    const struct attest_cert *leaf;
    enum status s = OK;

    if (w->vlek && w->product == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_ARG, "the report does not say its product: give --product");
    if (w->vlek)
        fprintf(stderr, "lucca: a VLEK comes from the provider; its chain and list are fetched\n");
    s = w->vlek ? fetch_chain(f, w->product, true, store, bag, err)
                : fetch_vcek(f, w, store, bag, err);
    leaf = attest_certs_find(bag, ATTEST_CERT_VCEK, ATTEST_PRODUCT_UNKNOWN);
    if (s == OK)
        s = fetch_crl(f, leaf && !w->vlek ? leaf->product : w->product, w->vlek, store, bag, err);
    return s;
}

static enum status fetch_product(struct fetcher *f, enum attest_product product,
                                 const struct store *store, struct attest_certs *bag,
                                 struct error *err)
{
    enum status s = OK;

    for (int vlek = 0; vlek < 2 && s == OK; vlek++) {
        s = fetch_chain(f, product, vlek, store, bag, err);
        if (s == OK)
            s = fetch_crl(f, product, vlek, store, bag, err);
    }
    return s;
}

static int fetch(const struct certs_verb *o, int count, char **words, struct error *err)
{
    struct fetcher f = {.url = o->kds, .patience = o->patience};
    struct attest_certs *bag = attest_certs_new(NULL);
    int status = ATTEST_MISUSE;
    struct store store;
    struct wanted w = {0};
    enum status s = bag ? store_open(&store, o->cache, err) : fail(err, ERR_NOMEM, "no memory");

    if (s == OK && !count && !o->chip_id && o->product == ATTEST_PRODUCT_UNKNOWN)
        s = fail(err, ERR_ARG, "'lucca certs fetch' takes reports, --chip-id, or a --product");
    if (s == OK && count && o->chip_id)
        s = fail(err, ERR_ARG, "--chip-id and reports: give one of them");
    if (s == OK && !count && !o->chip_id) {
        s = fetch_product(&f, o->product, &store, bag, err);
        status = ATTEST_NO_CERTS;
    }
    for (int i = 0; s == OK && i < (o->chip_id ? 1 : count); i++) {
        s = o->chip_id ? wanted_chip(o, &w, err) : wanted_report(o, words[i], &w, err);
        if (s == OK) {
            status = ATTEST_NO_CERTS;
            s = fetch_for(&f, &w, &store, bag, err);
        }
    }
    if (s == OK)
        status = print_bag(o, bag);
    attest_certs_free(bag);
    return status;
}

/* ---- show, import -------------------------------------------------------------------------------
 */

/* A bag holds so many; one file at a time is never too many. */
static int each_file(const struct certs_verb *o, int count, char **words,
                     enum status (*each)(const struct certs_verb *o, const struct attest_certs *bag,
                                         json_t *list, struct error *err),
                     struct error *err)
{
    json_t *list = json_array();
    enum status s = count ? OK : fail(err, ERR_ARG, "files of certificates are needed");

    for (int i = 0; i < count && s == OK; i++) {
        struct attest_certs *bag = attest_certs_new(NULL);

        s = bag ? bag_add_file(bag, "certificate", words[i], err)
                : fail(err, ERR_NOMEM, "no memory");
        if (s == OK)
            s = each(o, bag, list, err);
        attest_certs_free(bag);
    }
    if (s == OK && o->json)
        return json_print(list);
    json_decref(list);
    return s == OK ? EXIT_OK : EXIT_ERROR;
}

static enum status show_bag(const struct certs_verb *o, const struct attest_certs *bag,
                            json_t *list, struct error *err)
{
    if (o->json)
        json_array_append_new(list, json_bag(bag));
    else
        bag_print(bag);
    return OK;
}

static int show(const struct certs_verb *o, int count, char **words, struct error *err)
{
    return each_file(o, count, words, show_bag, err);
}

static enum status import_bag(const struct certs_verb *o, const struct attest_certs *bag,
                              json_t *list, struct error *err)
{
    struct store store;
    enum status s = store_open(&store, o->cache, err);
    size_t certs = attest_certs_count(bag), all = certs + attest_certs_crl_count(bag);

    for (size_t i = 0; i < all && s == OK; i++) {
        char path[PATH_MAX];

        s = i < certs
                ? store_put_cert(&store, attest_certs_at(bag, i), path, err)
                : store_put_crl(&store, attest_certs_crl_at(bag, i - certs), "other", path, err);
        if (s == OK && o->json)
            json_array_append_new(list, json_string(path));
        else if (s == OK)
            printf("%s\n", path);
    }
    return s;
}

static int import(const struct certs_verb *o, int count, char **words, struct error *err)
{
    return each_file(o, count, words, import_bag, err);
}

/* ---- verify -------------------------------------------------------------------------------------
 */

static const struct attest_cert *leaf_of(const struct attest_certs *bag)
{
    const struct attest_cert *c = attest_certs_find(bag, ATTEST_CERT_VCEK, ATTEST_PRODUCT_UNKNOWN);

    return c ? c : attest_certs_find(bag, ATTEST_CERT_VLEK, ATTEST_PRODUCT_UNKNOWN);
}

static int verify_bag(const struct certs_verb *o, const struct attest_trust *trust,
                      const struct attest_certs *bag, struct error *err)
{
    const struct attest_cert *leaf = leaf_of(bag);
    struct attest_query query = {.certs = bag, .at = o->trust.at};
    struct attest_result *r = calloc(1, sizeof(*r));
    int status;

    if (!r || !leaf) {
        free(r);
        (void)(leaf ? fail(err, ERR_NOMEM, "no memory")
                    : fail(err, ERR_ARG, "there is neither a VCEK nor a VLEK in these files"));
        return ATTEST_MISUSE;
    }
    status = (int)attest_verify_chain(trust, &query, leaf, r);
    r->count = 0; /* the checks of a report are not those of a chain */
    while (strncmp(r->check[r->count].info->name, "report.", 7) != 0)
        r->count++;
    if (!o->json)
        result_print(r);
    else if (json_print(json_result(r)) != 0)
        status = ATTEST_MISUSE;
    free(r);
    return status;
}

static int verify(const struct certs_verb *o, int count, char **words, struct error *err)
{
    struct attest_trust *trust = NULL;
    struct attest_certs *bag = NULL;
    int status = ATTEST_MISUSE;
    enum status s = count ? trust_open(&o->trust, &trust, &bag, err)
                          : fail(err, ERR_ARG, "files of certificates are needed");

    if (s != OK)
        return status;
    for (int i = 0; i < count && s == OK; i++)
        s = bag_add_file(bag, "certificate", words[i], err);
    if (s == OK)
        status = verify_bag(o, trust, bag, err);
    attest_trust_free(trust);
    attest_certs_free(bag);
    return status;
}

/* ---- check --------------------------------------------------------------------------------------
 */

static int check(const struct certs_verb *o, int count, char **words, struct error *err)
{
    const struct check_options c = {.cache = o->cache,
                                    .policy = o->policy,
                                    .within = o->within,
                                    .at = o->trust.at,
                                    .output = o->json         ? CHECK_JSON
                                              : o->prometheus ? CHECK_PROMETHEUS
                                                              : CHECK_TEXT};

    if (count == 1 && !(o->json && o->prometheus))
        return certs_check(&c, words[0], err);
    (void)fail(err, ERR_ARG,
               "'lucca certs check' takes one list, and one of --json and "
               "--prometheus");
    return ATTEST_MISUSE;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *takes, *what;
    const struct option_row *rows;
    size_t count;
    int (*run)(const struct certs_verb *o, int count, char **words, struct error *err);
} verbs[] = {
    {"fetch", "[REPORT]...", "get what reports need from AMD", fetch_rows, COUNT(fetch_rows),
     fetch},
    {"show", "FILE...", "what certificates and lists say", show_rows, COUNT(show_rows), show},
    {"verify", "FILE...", "a VCEK or VLEK, up to a root", verify_rows, COUNT(verify_rows), verify},
    {"import", "FILE...", "put them into the store", import_rows, COUNT(import_rows), import},
    {"check", "LIST", "what is missing, expires or falls behind", check_rows, COUNT(check_rows),
     check},
};

static void print_help(void)
{
    for (size_t i = 0; i < COUNT(verbs); i++) {
        char line[64];

        snprintf(line, sizeof(line), "%s [OPTION]... %s", verbs[i].name, verbs[i].takes);
        printf("%s lucca certs %-32s %s\n", i ? "      " : "usage:", line, verbs[i].what);
    }
    printf("\nA LIST has a line 'PRODUCT CHIP_ID TCB [NAME]' for each chip.\n");
    for (size_t i = 0; i < COUNT(verbs); i++) {
        printf("\nOptions of '%s':\n", verbs[i].name);
        options_print(verbs[i].rows, verbs[i].count);
    }
}

int cmd_certs(int argc, char **argv)
{
    struct certs_verb o = {.patience = KDS_PATIENCE, .within = WITHIN};
    struct error err = {0};
    int status = EXIT_ERROR, rest = argc;
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    size_t v = 0;

    while (argc > 1 && v < COUNT(verbs) && strcmp(verbs[v].name, argv[1]) != 0)
        v++;
    if (help)
        ;
    else if (argc < 2 || v == COUNT(verbs))
        (void)fail(&err, ERR_ARG,
                   "'lucca certs' takes fetch, show, verify, import or check; see "
                   "'lucca certs --help'");
    else if (options_parse(argc - 1, argv + 1, "lucca certs", verbs[v].rows, verbs[v].count, &o,
                           &rest, &help, &err) == OK &&
             !help)
        status = verbs[v].run(&o, argc - 1 - rest, argv + 1 + rest, &err);
    if (err.code != OK)
        error_print(&err);
    if (help)
        print_help();
    return help ? EXIT_OK : status;
}
