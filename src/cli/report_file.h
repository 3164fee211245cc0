/* Reports as files hold them: raw, wrapped, as text, or as JSON evidence. */
#ifndef LUCCA_CLI_REPORT_FILE_H
#define LUCCA_CLI_REPORT_FILE_H

#include "cli/inputs.h"

#define REPORT_FORMATS "auto, raw, hex, base64, extended, msg, hcl or trustee"

struct report_file {
    const char *path;       /* as errors name it */
    struct blob file, made; /* `made`: what JSON was turned into */
    struct attest_input in;
    struct attest_certs *evidence; /* the certificates of JSON evidence, or NULL */
};
/* `path` may be "-"; `format` NULL is auto. Whatever fails here is no report: status 1. */
enum status report_file_open(struct report_file *f, const char *path, const char *format,
                             struct error *err) MUST_USE;
void report_file_close(struct report_file *f);
/* "raw", "extended", "msg", "hcl", "trustee" */
const char *report_file_form(const struct report_file *f);
/* Adds the certificates that came with the report. */
enum status report_file_certs(const struct report_file *f, struct attest_certs *certs,
                              struct error *err) MUST_USE;
/* Whether `format` is one of REPORT_FORMATS. */
bool report_format_known(const char *format);

/* report_evidence.c: JSON evidence of Trustee, of COCONUT-SVSM's proxy, and of configfs-tsm, as the
 * report or HCL blob inside. */
enum status evidence_read(const struct blob *json, struct blob *report, struct attest_certs *certs,
                          struct error *err) MUST_USE;

#endif
