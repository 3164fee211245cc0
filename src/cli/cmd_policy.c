/* lucca policy: what a report must say, as a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/cli.h"
#include "cli/policy_file.h"
#include "cli/report_file.h"

struct policy_options {
    bool all, json;
    const char *out, *format;
    enum attest_product product;
};

static enum status set_all(void *ctx, const char *value, struct error *err)
{
    ((struct policy_options *)ctx)->all = true;
    return OK;
}

static enum status set_json(void *ctx, const char *value, struct error *err)
{
    ((struct policy_options *)ctx)->json = true;
    return OK;
}

static enum status set_out(void *ctx, const char *value, struct error *err)
{
    ((struct policy_options *)ctx)->out = value;
    return OK;
}

static enum status set_format(void *ctx, const char *value, struct error *err)
{
    ((struct policy_options *)ctx)->format = value;
    if (!report_format_known(value))
        return fail(err, ERR_ARG, "--format %.40s: " REPORT_FORMATS, value);
    return OK;
}

static enum status set_product(void *ctx, const char *value, struct error *err)
{
    enum attest_product p = attest_product_from_name(value);

    ((struct policy_options *)ctx)->product = p;
    if (p == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_ARG, "--product %.40s: milan, genoa or turin", value);
    return OK;
}

static const struct option_row explain_rows[] = {
    {"all", NULL, 0, set_all, "what is not asked too"},
    {"json", NULL, 0, set_json, "as JSON: each key and its sentence"},
};

static const struct option_row init_rows[] = {
    {"all", NULL, 0, set_all,
     "chip_id, report_data and report_id too, which fit this report alone"},
    {"out", "FILE", 'o', set_out, "write FILE, not standard output"},
    {"format", "FORMAT", 0, set_format, "the report is " REPORT_FORMATS},
    {"product", "NAME", 0, set_product, "milan, genoa or turin: version 2 does not say"},
};

static void print_help(void)
{
    printf("usage: lucca policy explain [OPTION]... FILE   what a policy asks, in words\n"
           "       lucca policy init [OPTION]... REPORT    draft one from a report\n"
           "       lucca policy schema                     the JSON schema of policies\n\n"
           "Options of 'explain':\n");
    options_print(explain_rows, COUNT(explain_rows));
    printf("\nOptions of 'init':\n");
    options_print(init_rows, COUNT(init_rows));
}

/* ---- explain ------------------------------------------------------------------------------------
 */

static int explain(const struct policy_options *o, const char *path, struct error *err)
{
    size_t count;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    json_t *j = o->json ? json_object() : NULL;
    struct attest_policy *policy;
    char id[POLICY_ID];

    if (policy_file_read(path, &policy, id, err) != OK) {
        json_decref(j);
        return EXIT_ERROR;
    }
    for (size_t i = 0; i < count; i++) {
        char text[4096];

        if (!attest_policy_count(policy, &keys[i]) && !o->all)
            continue;
        (void)attest_policy_explain(policy, &keys[i], text, sizeof(text));
        if (j)
            json_object_set_new(j, keys[i].name, json_string(text));
        else
            printf("%s: %s\n", keys[i].name, text);
    }
    attest_policy_free(policy);
    if (j)
        return json_print(j);
    printf("\n%s\n", id);
    return EXIT_OK;
}

/* ---- init ---------------------------------------------------------------------------------------
 */

static int write_draft(json_t *j, const char *path, struct error *err)
{
    char *text = json_dumps(j, JSON_INDENT(2));
    char *line = NULL;
    int n = text ? asprintf(&line, "%s\n", text) : -1;
    enum status s = n > 0 ? write_whole(path, line, (size_t)n, 0666, err)
                          : fail(err, ERR_NOMEM, "no memory for a policy");

    json_decref(j);
    free(text);
    free(n > 0 ? line : NULL);
    return s == OK ? EXIT_OK : EXIT_ERROR;
}

static int init(const struct policy_options *o, const char *path, struct error *err)
{
    struct attest_report report;
    struct attest_error why;
    struct report_file f;
    json_t *j = NULL;

    if (report_file_open(&f, path, o->format, err) != OK)
        return EXIT_ERROR;
    if (attest_report_parse(&report, f.in.report, ATTEST_REPORT_SIZE, o->product, &why) ==
        ATTEST_OK)
        j = policy_draft(&report, o->all);
    else
        (void)fail(err, ERR_FORMAT, "report '%s': %s", f.path, why.text);
    report_file_close(&f);
    if (!j)
        return EXIT_ERROR;
    return o->out ? write_draft(j, o->out, err) : json_print(j);
}

static int schema(const struct policy_options *o, const char *path, struct error *err)
{
    return json_print(policy_schema());
}

/* ---- the command --------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    const struct option_row *rows;
    size_t count;
    int words;
    int (*run)(const struct policy_options *o, const char *path, struct error *err);
} verbs[] = {
    {"explain", explain_rows, COUNT(explain_rows), 1, explain},
    {"init", init_rows, COUNT(init_rows), 1, init},
    {"schema", NULL, 0, 0, schema},
};

int cmd_policy(int argc, char **argv)
{
    struct policy_options o = {0};
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
                   "'lucca policy' takes explain, init or schema; see 'lucca policy --help'");
    else if (options_parse(argc - 1, argv + 1, "lucca policy", verbs[v].rows, verbs[v].count, &o,
                           &rest, &help, &err) != OK ||
             help)
        ;
    else if (argc - 1 - rest != verbs[v].words)
        (void)fail(&err, ERR_ARG, "'lucca policy %s' takes %s; see 'lucca policy --help'",
                   verbs[v].name, verbs[v].words ? "one file" : "nothing more");
    else
        status = verbs[v].run(&o, verbs[v].words ? argv[1 + rest] : NULL, &err);
    if (err.code != OK)
        error_print(&err);
    if (help)
        print_help();
    return help ? EXIT_OK : status;
}
