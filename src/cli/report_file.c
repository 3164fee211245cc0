/* Reports as files hold them; see report_file.h. */
#include "cli/report_file.h"

#include <ctype.h>
#include <string.h>

#include "base/bytes.h"

#define FILE_MAX (4u << 20)

static const char *const forms[] = {
    [ATTEST_RAW] = "raw",
    [ATTEST_EXTENDED] = "extended",
    [ATTEST_MSG] = "msg",
    [ATTEST_HCL] = "hcl",
};

bool report_format_known(const char *format)
{
    static const char *const others[] = {"auto", "hex", "base64", "trustee"};

    for (size_t i = 0; i < COUNT(forms); i++)
        if (!strcmp(format, forms[i]))
            return true;
    for (size_t i = 0; i < COUNT(others); i++)
        if (!strcmp(format, others[i]))
            return true;
    return false;
}

const char *report_file_form(const struct report_file *f)
{
    return f->made.bytes ? "trustee" : forms[f->in.wrapping];
}

static bool is_json(const struct blob *b)
{
    size_t i = 0;

    while (i < b->len && isspace(b->bytes[i]))
        i++;
    return i < b->len && b->bytes[i] == '{';
}

/* What was found is what was asked for; hex and base64 are codings of any wrapping. */
static enum status check_format(const struct report_file *f, const char *format, struct error *err)
{
    const char *form = report_file_form(f);

    if (!format || !strcmp(format, "auto") || !strcmp(format, form) ||
        !strcmp(format, f->in.coding))
        return OK;
    return fail(err, ERR_FORMAT, "report '%s': it is %s in %s, not %s as --format says", f->path,
                form, f->in.coding, format);
}

static enum status open_json(struct report_file *f, struct error *err)
{
    struct attest_error why;
    enum status s;

    f->evidence = attest_certs_new(&why);
    if (!f->evidence)
        return attest_error_to(err, &why);
    s = evidence_read(&f->file, &f->made, f->evidence, err);
    if (s != OK)
        (void)fail_at(err, f->path);
    return s;
}

enum status report_file_open(struct report_file *f, const char *path, const char *format,
                             struct error *err)
{
    const struct blob *b = &f->file;
    struct attest_error why;
    enum status s;

    *f = (struct report_file){.path = !strcmp(path, "-") ? "/dev/stdin" : path};
    s = blob_read(&f->file, "report", f->path, FILE_MAX, err);
    if (s == OK && is_json(b)) {
        s = open_json(f, err);
        b = &f->made;
    }
    if (s == OK && attest_input_open(&f->in, b->bytes, b->len, &why) != ATTEST_OK)
        s = fail(err, ERR_FORMAT, "report '%s': %s", f->path, why.text);
    if (s == OK)
        s = check_format(f, format, err);
    if (s != OK)
        report_file_close(f);
    return s;
}

void report_file_close(struct report_file *f)
{
    attest_input_free(&f->in);
    attest_certs_free(f->evidence);
    f->evidence = NULL;
    blob_free(&f->made);
    blob_free(&f->file);
}

enum status report_file_certs(const struct report_file *f, struct attest_certs *certs,
                              struct error *err)
{
    const struct attest_certs *bag = f->evidence;
    struct attest_error why = {0};

    for (size_t i = 0; bag && i < attest_certs_count(bag) && why.code == ATTEST_OK; i++) {
        struct attest_span der = attest_certs_at(bag, i)->der;

        (void)attest_certs_add(certs, der.at, der.len, &why);
    }
    for (size_t i = 0; bag && i < attest_certs_crl_count(bag) && why.code == ATTEST_OK; i++) {
        struct attest_span der = attest_certs_crl_at(bag, i)->der;

        (void)attest_certs_add(certs, der.at, der.len, &why);
    }
    if (why.code == ATTEST_OK && f->in.table)
        (void)attest_certs_add_table(certs, f->in.table, f->in.table_len, &why);
    if (why.code == ATTEST_OK)
        return OK;
    return fail(err, ERR_CRYPTO, "the certificates in '%s': %s", f->path, why.text);
}
