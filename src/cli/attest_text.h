/* Reports, certificates and times as text and JSON, for the commands on liblucca-attest. */
#ifndef LUCCA_CLI_ATTEST_TEXT_H
#define LUCCA_CLI_ATTEST_TEXT_H

#include <stdint.h>

#include <jansson.h>

#include "base/status.h"
#include "lucca/attest.h"

/* "lucca: ..." on standard error. The sentence may quote a foreign file: what could steer a
 * terminal becomes '?'. */
void error_print(const struct error *err);

/* ---- times ---- */

#define TIME_TEXT 24u
/* "2026-11-20T12:00:00Z" */
void time_text(int64_t at, char out[TIME_TEXT]);
json_t *json_time(int64_t at);
/* "2026-11-20", "2026-11-20T12:00:00Z" or seconds since 1970. */
enum status time_parse(const char *what, const char *text, int64_t *at, struct error *err) MUST_USE;

/* ---- TCBs ---- */

#define TCB_TEXT_MAX 96u
/* "boot loader 4, tee 0, snp 24, microcode 219", or hex where the layout is not known. */
void attest_tcb_text(const struct attest_tcb *tcb, char out[TCB_TEXT_MAX]);
json_t *json_tcb(const struct attest_tcb *tcb);

/* ---- reports ---- */

/* The value of a field as --json has it. */
json_t *json_field(const struct attest_report *report, const struct attest_field *field);
json_t *json_report(const struct attest_report *report); /* all fields that its version has */
void report_print(const struct attest_report *report);

/* ---- certificates ---- */

json_t *json_cert(const struct attest_cert *cert);
json_t *json_crl(const struct attest_crl *crl);
void cert_print(const struct attest_cert *cert);
void crl_print(const struct attest_crl *crl);
/* Each certificate and list of a bag. */
void bag_print(const struct attest_certs *certs);
json_t *json_bag(const struct attest_certs *certs);

/* ---- results ---- */

/* One line per check, two more for what failed. */
void result_print(const struct attest_result *result);
json_t *json_result(const struct attest_result *result);

#endif
