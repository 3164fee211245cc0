/* lucca report verify; see report_verify.h. */
#include "cli/report_verify.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/policy_file.h"
#include "cli/report_ear.h"
#include "cli/report_file.h"

#define NONCE_MAX 64u

struct run {
    const struct verify_options *o;
    struct report_file file;
    struct attest_report report;
    struct attest_trust *trust;
    struct attest_certs *bag;
    struct attest_policy *policy; /* NULL: the built-in one */
    char policy_id[POLICY_ID];
    uint8_t nonce[NONCE_MAX];
    size_t nonce_len;
    struct store store;
    struct fetcher fetcher;
    struct attest_result result;
};

/* ---- the policy ---------------------------------------------------------------------------------
 */

static enum status read_nonce(struct run *r, struct error *err)
{
    const char *text = r->o->nonce;
    size_t digits = strlen(text);
    struct blob b;
    enum status s;

    if (digits && digits % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == digits) {
        if (bytes_parse(r->nonce, 1, NONCE_MAX, text, &r->nonce_len))
            return OK;
        return fail(err, ERR_ARG, "--nonce: it has %zu bytes, and REPORT_DATA holds 64",
                    digits / 2);
    }
    s = blob_read(&b, "--nonce", text, NONCE_MAX, err);
    if (s != OK)
        return s;
    if (b.len)
        memcpy(r->nonce, b.bytes, b.len);
    else
        s = fail(err, ERR_ARG, "--nonce '%s': the file is empty", text);
    r->nonce_len = b.len;
    blob_free(&b);
    return s;
}

/* REPORT_DATA is the nonce, and zeros after it. */
static enum status ask_nonce(struct run *r, struct error *err)
{
    const struct attest_policy_key *key = attest_policy_key("report_data");
    char hex[2 * NONCE_MAX + 1];
    struct attest_error why;
    enum status s = read_nonce(r, err);

    if (s != OK)
        return s;
    if (!r->policy) {
        r->policy = attest_policy_new(&why);
        if (!r->policy)
            return attest_error_to(err, &why);
    }
    if (attest_policy_count(r->policy, key))
        return fail(err, ERR_ARG,
                    "--nonce: the policy has a report_data of its own; give one of "
                    "them");
    hex_text(hex, r->nonce, sizeof(r->nonce));
    if (attest_policy_set(r->policy, key->name, hex, &why) != ATTEST_OK)
        return attest_error_to(err, &why);
    return OK;
}

static enum status open_policy(struct run *r, struct error *err)
{
    enum status s = OK;

    snprintf(r->policy_id, sizeof(r->policy_id), "built-in");
    if (r->o->policy)
        s = policy_file_read(r->o->policy, &r->policy, r->policy_id, err);
    if (s == OK && r->o->nonce)
        s = ask_nonce(r, err);
    return s;
}

static bool crl_required(const struct run *r)
{
    const struct attest_policy_key *key = attest_policy_key("crl");
    char text[16] = "";

    return r->policy && attest_policy_value(r->policy, key, 0, text, sizeof(text)) > 0 &&
           !strcmp(text, "required");
}

/* ---- certificates -------------------------------------------------------------------------------
 */

static const struct attest_cert *leaf_in(const struct attest_certs *bag)
{
    const struct attest_cert *c = attest_certs_find(bag, ATTEST_CERT_VCEK, ATTEST_PRODUCT_UNKNOWN);

    return c ? c : attest_certs_find(bag, ATTEST_CERT_VLEK, ATTEST_PRODUCT_UNKNOWN);
}

/* The leaf: as given, else what came with the report, else from the cache, else from the network.
 * Where it is nowhere the verdict says so. */
static int gather_leaf(struct run *r, struct error *err)
{
    struct wanted w = wanted_by(&r->report);
    struct error why = {0};
    bool found;

    if (r->o->table && bag_add_table_file(r->bag, r->o->table, err) != OK)
        return ATTEST_MISUSE;
    if (r->o->vek)
        return bag_add_file(r->bag, "--vek", r->o->vek, err) == OK ? ATTEST_GOOD : ATTEST_MISUSE;
    if (!r->o->table && report_file_certs(&r->file, r->bag, err) != OK)
        return ATTEST_UNTRUSTED;
    if (leaf_in(r->bag))
        return ATTEST_GOOD;
    if (store_find(&r->store, &w, r->bag, &found, err) != OK)
        return ATTEST_NO_CERTS;
    if (found)
        return ATTEST_GOOD;
    if (!r->o->fetch)
        (void)fail(&why, ERR_STATE,
                   "the %s is not with the report nor in '%s': give it with --vek%s",
                   w.vlek ? "VLEK" : "VCEK", r->store.dir,
                   w.vlek ? "" : ", or let --fetch ask AMD's key service");
    else if (fetch_vcek(&r->fetcher, &w, &r->store, r->bag, &why) == OK)
        return ATTEST_GOOD;
    error_print(&why);
    return ATTEST_GOOD;
}

/* Lists that are current, or all where there must be one: then a stale one says why not. */
static bool take_crls(struct run *r, const struct attest_certs *from, bool all)
{
    int64_t at = r->o->trust.at ? r->o->trust.at : (int64_t)time(NULL);
    bool taken = false;

    for (size_t i = 0; i < attest_certs_crl_count(from); i++) {
        const struct attest_crl *c = attest_certs_crl_at(from, i);

        if (all || (at >= c->this_update && at <= c->next_update))
            taken = attest_certs_add(r->bag, c->der.at, c->der.len, NULL) == ATTEST_OK || taken;
    }
    return taken;
}

static void gather_crls(struct run *r)
{
    const struct attest_cert *leaf = leaf_in(r->bag);
    struct attest_certs *lists = attest_certs_new(NULL);
    struct error why = {0};
    bool vlek = leaf && leaf->kind == ATTEST_CERT_VLEK;

    if (!leaf || !lists || leaf->product == ATTEST_PRODUCT_UNKNOWN ||
        attest_certs_crl_count(r->bag)) {
        attest_certs_free(lists);
        return;
    }
    if (store_find_crls(&r->store, leaf->product, vlek, leaf->emulated, lists, &why) != OK)
        error_print(&why);
    if (!take_crls(r, lists, false)) {
        if (r->o->fetch &&
            fetch_crl(&r->fetcher, leaf->product, vlek, &r->store, lists, &why) != OK)
            error_print(&why);
        (void)take_crls(r, lists, crl_required(r));
    }
    attest_certs_free(lists);
}

/* ---- output -------------------------------------------------------------------------------------
 */

static enum status make_ear(const struct run *r, char **token, struct error *err)
{
    const struct ear_options o = {.key_file = r->o->ear,
                                  .policy_id = r->policy_id,
                                  .nonce = r->nonce_len ? r->nonce : NULL,
                                  .nonce_len = r->nonce_len,
                                  .evidence = r->o->ear_evidence};

    *token = NULL;
    return r->o->ear ? ear_make(&o, &r->result, token, err) : OK;
}

static int print_json(const struct run *r, const char *token)
{
    json_t *j = json_result(&r->result);

    json_object_set_new(j, "file", json_string(r->file.path));
    json_object_set_new(j, "format", json_string(report_file_form(&r->file)));
    json_object_set_new(j, "policy", json_string(r->policy_id));
    if (token)
        json_object_set_new(j, "ear", json_string(token));
    return json_print(j);
}

static void print_text(const struct run *r, const char *token)
{
    if (token) {
        printf("%s\n", token);
        if (r->result.verdict || r->result.emulated)
            fprintf(stderr, "lucca: %s: %s\n", attest_verdict_name(r->result.verdict),
                    r->result.summary);
        return;
    }
    printf("%s: a report of version %u, product %s\npolicy: %s\n\n", r->file.path,
           r->report.version, attest_product_name(r->result.report.product),
           r->o->policy ? r->o->policy
                        : "built in: guests that the host may debug are refused, the rest is not "
                          "asked");
    result_print(&r->result);
}

/* ---- the verb -----------------------------------------------------------------------------------
 */

static int judge(struct run *r, struct error *err)
{
    struct attest_query query = {.report = r->file.in.report,
                                 .report_len = ATTEST_REPORT_SIZE,
                                 .certs = r->bag,
                                 .policy = r->policy,
                                 .at = r->o->trust.at,
                                 .claims = r->file.in.claims,
                                 .claims_len = r->file.in.claims_len,
                                 .product = r->o->product};
    char *token;

    (void)attest_verify(r->trust, &query, &r->result);
    if (!r->result.parsed) {
        (void)fail(err, ERR_FORMAT, "report '%s': %s", r->file.path, r->result.summary);
        return ATTEST_MISUSE;
    }
    if (make_ear(r, &token, err) != OK)
        return ATTEST_MISUSE;
    if (!r->o->json)
        print_text(r, token);
    else if (print_json(r, token) != 0)
        r->result.verdict = ATTEST_MISUSE;
    free(token);
    return (int)r->result.verdict;
}

static int verify(struct run *r, struct error *err)
{
    struct attest_error why;
    int status;

    if (attest_report_parse(&r->report, r->file.in.report, ATTEST_REPORT_SIZE, r->o->product,
                            &why) != ATTEST_OK) {
        (void)fail(err, ERR_FORMAT, "report '%s': %s", r->file.path, why.text);
        return ATTEST_MISUSE;
    }
    if (store_open(&r->store, r->o->cache, err) != OK || open_policy(r, err) != OK ||
        trust_open(&r->o->trust, &r->trust, &r->bag, err) != OK)
        return ATTEST_MISUSE;
    status = gather_leaf(r, err);
    if (status != ATTEST_GOOD)
        return status;
    gather_crls(r);
    return judge(r, err);
}

int report_verify(const struct verify_options *o, const char *path, struct error *err)
{
    struct run *r = calloc(1, sizeof(*r));
    int status = ATTEST_MISUSE;

    if (!r) {
        (void)fail(err, ERR_NOMEM, "no memory");
        return status;
    }
    r->o = o;
    r->fetcher = (struct fetcher){.url = o->kds, .patience = o->patience};
    if (o->ear_evidence && !o->ear)
        (void)fail(err, ERR_ARG, "--ear-evidence is for a token: give --ear KEY too");
    else if (o->kds && !o->fetch)
        (void)fail(err, ERR_ARG, "--kds says whom to ask: give --fetch too");
    else if (report_file_open(&r->file, path, o->format, err) == OK) {
        status = verify(r, err);
        report_file_close(&r->file);
    }
    attest_trust_free(r->trust);
    attest_certs_free(r->bag);
    attest_policy_free(r->policy);
    free(r);
    return status;
}
