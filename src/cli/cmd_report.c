/* lucca report: what is in an attestation report, and whether to believe it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/cli.h"
#include "cli/policy_file.h"
#include "cli/report_file.h"
#include "cli/report_verify.h"

/* ---- options ------------------------------------------------------------------------------------
 */

#define FLAG(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct verify_options *)ctx)->member = true;                                             \
        return OK;                                                                                 \
    }
#define WORD(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct verify_options *)ctx)->member = value;                                            \
        return OK;                                                                                 \
    }
FLAG(json)
FLAG(fetch)
FLAG(ear_evidence)
WORD(vek)
WORD(table)
WORD(policy)
WORD(nonce)
WORD(cache)
WORD(kds)
WORD(ear)

static enum status set_format(void *ctx, const char *value, struct error *err)
{
    ((struct verify_options *)ctx)->format = value;
    if (!report_format_known(value))
        return fail(err, ERR_ARG, "--format %.40s: " REPORT_FORMATS, value);
    return OK;
}

static enum status set_product(void *ctx, const char *value, struct error *err)
{
    enum attest_product p = attest_product_from_name(value);

    ((struct verify_options *)ctx)->product = p;
    if (p == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_ARG, "--product %.40s: milan, genoa or turin", value);
    return OK;
}

static enum status set_patience(void *ctx, const char *value, struct error *err)
{
    uint64_t n = 0;
    enum status s = number_parse("--patience", value, 86400, &n, err);

    ((struct verify_options *)ctx)->patience = (unsigned)n;
    return s;
}

#define FORMAT_ROW                                                                                 \
    {                                                                                              \
        "format", "FORMAT", 0, set_format, "the report is " REPORT_FORMATS                         \
    }
#define PRODUCT_ROW                                                                                \
    {                                                                                              \
        "product", "NAME", 0, set_product, "milan, genoa or turin: version 2 does not say"         \
    }

static const struct option_row show_rows[] = {
    FORMAT_ROW,
    PRODUCT_ROW,
    {"certs", "TABLE", 0, set_table, "show this certificate table too"},
    {"json", NULL, 0, set_json, "as JSON"},
};

static const struct option_row verify_rows[] = {
    {"vek", "CERT", 0, set_vek, "the VCEK or VLEK, PEM or DER"},
    {"certs", "TABLE", 0, set_table, "the certificate table that came with the report"},
    TRUST_ROWS,
    {"policy", "FILE", 0, set_policy, "what the report must say: see 'lucca policy --help'"},
    {"nonce", "HEX", 0, set_nonce, "what REPORT_DATA must hold, in hex, or a file's name"},
    FORMAT_ROW,
    PRODUCT_ROW,
    {"cache", "DIR", 0, set_cache, "certificates kept, otherwise in ~/.cache/lucca/certs"},
    {"fetch", NULL, 0, set_fetch, "ask AMD's key service for what is missing"},
    {"kds", "URL", 0, set_kds, "ask this service instead"},
    {"patience", "SECONDS", 0, set_patience, "wait at most so long where it asks to: 120"},
    {"json", NULL, 0, set_json, "the result as JSON"},
    {"ear", "KEY", 0, set_ear, "the result as an EAR token, signed with this P-384 key"},
    {"ear-evidence", NULL, 0, set_ear_evidence, "put the report into the token"},
};

static void print_help(void)
{
    printf("usage: lucca report show [OPTION]... FILE     every field of a report\n"
           "       lucca report verify [OPTION]... FILE   whether to believe it\n"
           "       lucca report schema                    the JSON schema of both\n\n"
           "FILE may be -, for standard input. Options of 'show':\n");
    options_print(show_rows, COUNT(show_rows));
    printf("\nOptions of 'verify':\n");
    options_print(verify_rows, COUNT(verify_rows));
    printf("\nExit status of 'verify': 0 good, 1 misuse, 2 signature or chain, 3 certificates not\n"
           "obtained, 4 revocation not obtained, 5 policy.\n");
}

/* ---- show ---------------------------------------------------------------------------------------
 */

static json_t *claims_json(const struct report_file *f)
{
    json_t *j = json_loadb((const char *)f->in.claims, f->in.claims_len, 0, NULL);

    return j ? j : json_hex(f->in.claims, f->in.claims_len);
}

static int show_json(const struct report_file *f, const struct attest_report *report,
                     const struct attest_certs *certs)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o}", "file", f->path, "format",
                          report_file_form(f), "coding", f->in.coding, "product",
                          attest_product_name(report->product), "report", json_report(report));
    json_t *bag = json_bag(certs);

    if (attest_certs_count(certs) || attest_certs_crl_count(certs))
        json_object_update_missing(j, bag);
    json_decref(bag);
    if (f->in.claims)
        json_object_set_new(j, "claims", claims_json(f));
    return json_print(j);
}

static int show_text(const struct report_file *f, const struct attest_report *report,
                     const struct attest_certs *certs)
{
    printf("%s: %s in %s, a report of version %u, product %s\n\n", f->path, report_file_form(f),
           f->in.coding, report->version, attest_product_name(report->product));
    report_print(report);
    if (attest_certs_count(certs) || attest_certs_crl_count(certs)) {
        printf("\ncertificates that came with it, not verified:\n");
        bag_print(certs);
    }
    if (!f->in.claims)
        return EXIT_OK;
    printf("\nclaims that came with it, not verified:\n");
    return json_print(claims_json(f));
}

/* A version 2 report does not say its product, but its certificate does. */
static enum attest_product hint_of(const struct verify_options *o, const struct attest_certs *certs)
{
    const struct attest_cert *c = attest_certs_find(certs, ATTEST_CERT_VCEK, o->product);

    return o->product != ATTEST_PRODUCT_UNKNOWN || !c ? o->product : c->product;
}

static int show(const struct verify_options *o, const char *path, struct error *err)
{
    struct attest_report report;
    struct attest_error why;
    struct report_file f;
    struct attest_certs *certs = attest_certs_new(&why);
    int status = EXIT_ERROR;
    enum status s;

    if (!certs) {
        (void)attest_error_to(err, &why);
        return status;
    }
    s = report_file_open(&f, path, o->format, err);
    if (s == OK) {
        s = report_file_certs(&f, certs, err);
        if (s == OK && o->table)
            s = bag_add_table_file(certs, o->table, err);
        if (s == OK && attest_report_parse(&report, f.in.report, ATTEST_REPORT_SIZE,
                                           hint_of(o, certs), &why) != ATTEST_OK)
            s = fail(err, ERR_FORMAT, "report '%s': %s", f.path, why.text);
        if (s == OK)
            status = (o->json ? show_json : show_text)(&f, &report, certs);
        report_file_close(&f);
    }
    attest_certs_free(certs);
    return status;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static int schema(const struct verify_options *o, const char *path, struct error *err)
{
    return json_print(report_schema());
}

static const struct {
    const char *name;
    const struct option_row *rows;
    size_t count;
    int words;
    int (*run)(const struct verify_options *o, const char *path, struct error *err);
} verbs[] = {
    {"show", show_rows, COUNT(show_rows), 1, show},
    {"verify", verify_rows, COUNT(verify_rows), 1, report_verify},
    {"schema", NULL, 0, 0, schema},
};

int cmd_report(int argc, char **argv)
{
    struct verify_options o = {.patience = KDS_PATIENCE};
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
                   "'lucca report' takes show, verify or schema; see 'lucca report "
                   "--help'");
    else if (options_parse(argc - 1, argv + 1, "lucca report", verbs[v].rows, verbs[v].count, &o,
                           &rest, &help, &err) != OK ||
             help)
        ;
    else if (argc - 1 - rest != verbs[v].words)
        (void)fail(&err, ERR_ARG, "'lucca report %s' takes %s; see 'lucca report --help'",
                   verbs[v].name, verbs[v].words ? "one file, or -" : "nothing more");
    else
        status = verbs[v].run(&o, verbs[v].words ? argv[1 + rest] : NULL, &err);
    if (err.code != OK)
        error_print(&err);
    if (help)
        print_help();
    return help ? EXIT_OK : status;
}
