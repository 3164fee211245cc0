/* Reports, certificates and times as text and JSON; see attest_text.h. */
#include "cli/attest_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "cli/inputs.h"

#define EMULATED "EMULATED: the root is not AMD's; nothing here is confidential"

void error_print(const struct error *err)
{
    fputs("lucca: ", stderr);
    for (const unsigned char *c = (const unsigned char *)err->text; *c; c++)
        putc(*c < 0x20 || *c == 0x7F ? '?' : *c, stderr);
    putc('\n', stderr);
}

/* ---- times --------------------------------------------------------------------------------------
 */

void time_text(int64_t at, char out[TIME_TEXT])
{
    time_t t = (time_t)at;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, TIME_TEXT, "%lld", (long long)at);
}

json_t *json_time(int64_t at)
{
    char text[TIME_TEXT];

    time_text(at, text);
    return json_string(text);
}

enum status time_parse(const char *what, const char *text, int64_t *at, struct error *err)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S",
                                        "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"};
    char *end;

    for (size_t i = 0; i < COUNT(forms); i++) {
        struct tm tm = {.tm_mday = 1};
        const char *rest = strptime(text, forms[i], &tm);

        if (rest && !*rest) {
            *at = (int64_t)timegm(&tm);
            if (*at > 0)
                return OK;
        }
    }
    *at = strtoll(text, &end, 10);
    if (*text >= '1' && *text <= '9' && !*end && *at < INT64_C(253402300800))
        return OK;
    return fail(err, ERR_ARG,
                "%s %.60s: a time after 1970 such as 2026-11-20, 2026-11-20T12:00:00Z, or seconds "
                "since then",
                what, text);
}

/* ---- TCBs ---------------------------------------------------------------------------------------
 */

void attest_tcb_text(const struct attest_tcb *tcb, char out[TCB_TEXT_MAX])
{
    size_t n = 0;

    hex_text(out, tcb->raw, sizeof(tcb->raw));
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        if (attest_tcb_has(tcb->layout, p))
            n += (size_t)snprintf(out + n, TCB_TEXT_MAX - n, "%s%s %u", n ? ", " : "",
                                  attest_tcb_part_name(p), tcb->part[p]);
}

json_t *json_tcb(const struct attest_tcb *tcb)
{
    json_t *j = json_object();

    json_object_set_new(j, "raw", json_hex(tcb->raw, sizeof(tcb->raw)));
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        if (attest_tcb_has(tcb->layout, p))
            json_object_set_new(j, attest_tcb_part_name(p), json_integer(tcb->part[p]));
    return j;
}

/* ---- reports ------------------------------------------------------------------------------------
 */

static json_t *json_bits(const struct attest_field *f, uint64_t number)
{
    char text[24];
    json_t *j = json_object();

    snprintf(text, sizeof(text), "0x%" PRIx64, number);
    json_object_set_new(j, "value", json_string(text));
    for (size_t i = 0; i < f->bit_count; i++) {
        const struct attest_bit *b = &f->bits[i];
        uint64_t value = number >> b->shift & (BIT(b->width) - 1);

        json_object_set_new(j, b->name,
                            b->width == 1 ? json_boolean(value) : json_integer((json_int_t)value));
    }
    return j;
}

json_t *json_field(const struct attest_report *report, const struct attest_field *f)
{
    const uint8_t *raw = report->raw + f->offset;
    struct attest_tcb tcb;
    char text[16];

    switch ((enum attest_field_kind)f->kind) {
    case ATTEST_FIELD_NUMBER:
        return json_integer((json_int_t)attest_field_number(report, f));
    case ATTEST_FIELD_BYTES:
        return json_hex(raw, f->size);
    case ATTEST_FIELD_BITS:
        return json_bits(f, attest_field_number(report, f));
    case ATTEST_FIELD_TCB:
        attest_tcb_decode(&tcb, raw, report->layout);
        return json_tcb(&tcb);
    case ATTEST_FIELD_FIRMWARE:
        snprintf(text, sizeof(text), "%u.%u.%u", raw[2], raw[1], raw[0]);
        return json_string(text);
    }
    return NULL;
}

json_t *json_report(const struct attest_report *report)
{
    json_t *j = json_object();
    size_t count;
    const struct attest_field *fields = attest_report_fields(&count);

    for (size_t i = 0; i < count; i++)
        if (report->version >= fields[i].since)
            json_object_set_new(j, fields[i].name, json_field(report, &fields[i]));
    return j;
}

void report_print(const struct attest_report *report)
{
    size_t count;
    const struct attest_field *fields = attest_report_fields(&count);
    char text[512];

    for (size_t i = 0; i < count; i++) {
        if (report->version < fields[i].since)
            continue;
        (void)attest_field_text(report, &fields[i], text, sizeof(text));
        printf("%-19s %s\n", fields[i].name, text);
    }
}

/* ---- certificates -------------------------------------------------------------------------------
 */

json_t *json_cert(const struct attest_cert *c)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "kind",
                          attest_cert_kind_name(c->kind), "product",
                          attest_product_name(c->product), "subject", c->subject_cn, "issuer",
                          c->issuer_cn, "serial", json_hex(c->serial, c->serial_len), "not_before",
                          json_time(c->not_before), "not_after", json_time(c->not_after), "sha256",
                          json_hex(c->sha256, sizeof(c->sha256)), "emulated", c->emulated);

    if (!j)
        return NULL;
    json_object_set_new(j, "key_sha256", json_hex(c->spki_sha256, sizeof(c->spki_sha256)));
    if (c->has_product_name)
        json_object_set_new(j, "product_name", json_string(c->product_name));
    if (c->hwid_len)
        json_object_set_new(j, "hwid", json_hex(c->hwid, c->hwid_len));
    if (c->has_csp_id)
        json_object_set_new(j, "csp_id", json_string(c->csp_id));
    if (c->spl_mask)
        json_object_set_new(j, "tcb", json_tcb(&c->tcb));
    return j;
}

json_t *json_crl(const struct attest_crl *c)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:b}", "issuer", c->issuer_cn, "product",
                     attest_product_name(c->product), "number", json_hex(c->number, c->number_len),
                     "this_update", json_time(c->this_update), "next_update",
                     json_time(c->next_update), "revoked", (json_int_t)c->revoked, "sha256",
                     json_hex(c->sha256, sizeof(c->sha256)), "emulated", c->emulated);
}

static void hex_line(const char *name, const uint8_t *bytes, size_t n)
{
    printf("  %-10s ", name);
    for (size_t i = 0; i < n; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

void cert_print(const struct attest_cert *c)
{
    char from[TIME_TEXT], to[TIME_TEXT], tcb[TCB_TEXT_MAX];

    time_text(c->not_before, from);
    time_text(c->not_after, to);
    printf("%s of %s: \"%s\" by \"%s\"%s\n  valid      %s to %s\n", attest_cert_kind_name(c->kind),
           attest_product_name(c->product), c->subject_cn, c->issuer_cn,
           c->emulated ? ", EMULATED: not AMD's" : "", from, to);
    hex_line("serial", c->serial, c->serial_len);
    if (c->has_product_name)
        printf("  %-10s %s\n", "product", c->product_name);
    if (c->hwid_len)
        hex_line("chip id", c->hwid, c->hwid_len);
    if (c->has_csp_id)
        printf("  %-10s %s\n", "provider", c->csp_id);
    if (c->spl_mask) {
        attest_tcb_text(&c->tcb, tcb);
        printf("  %-10s %s\n", "TCB", tcb);
    }
    hex_line("sha256", c->sha256, sizeof(c->sha256));
    hex_line("key sha256", c->spki_sha256, sizeof(c->spki_sha256));
}

void crl_print(const struct attest_crl *c)
{
    char from[TIME_TEXT], to[TIME_TEXT];

    time_text(c->this_update, from);
    time_text(c->next_update, to);
    printf("revocation list by \"%s\"%s\n  current    %s to %s\n  revoked    %zu\n", c->issuer_cn,
           c->emulated ? ", EMULATED: not AMD's" : "", from, to, c->revoked);
    hex_line("sha256", c->sha256, sizeof(c->sha256));
}

void bag_print(const struct attest_certs *certs)
{
    for (size_t i = 0; i < attest_certs_count(certs); i++)
        cert_print(attest_certs_at(certs, i));
    for (size_t i = 0; i < attest_certs_crl_count(certs); i++)
        crl_print(attest_certs_crl_at(certs, i));
}

json_t *json_bag(const struct attest_certs *certs)
{
    json_t *list = json_array(), *crls = json_array();

    for (size_t i = 0; i < attest_certs_count(certs); i++)
        json_array_append_new(list, json_cert(attest_certs_at(certs, i)));
    for (size_t i = 0; i < attest_certs_crl_count(certs); i++)
        json_array_append_new(crls, json_crl(attest_certs_crl_at(certs, i)));
    return json_pack("{s:o, s:o}", "certificates", list, "revocation_lists", crls);
}

/* ---- results ------------------------------------------------------------------------------------
 */

void result_print(const struct attest_result *r)
{
    if (r->emulated)
        printf("%s\n\n", EMULATED);
    for (size_t i = 0; i < r->count; i++) {
        const struct attest_check *c = &r->check[i];

        printf("%-9s  %s: ", attest_outcome_name(c->outcome), c->info->name);
        if (c->outcome == ATTEST_FAIL)
            printf("%s\n             expected  %s\n             found     %s\n", c->info->what,
                   c->expected, c->found);
        else if (c->outcome == ATTEST_PASS)
            printf("expected %s, found %s\n", c->expected, c->found);
        else
            printf("%s\n", *c->found ? c->found : c->info->what);
    }
    printf("\n%s%s: %s\n", r->verdict ? "refused, for " : "", attest_verdict_name(r->verdict),
           r->summary);
}

static json_t *json_checks(const struct attest_result *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->count; i++) {
        const struct attest_check *c = &r->check[i];

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", c->info->name,
                                        "outcome", attest_outcome_name(c->outcome), "what",
                                        c->info->what, "expected", c->expected, "found", c->found));
    }
    return list;
}

json_t *json_result(const struct attest_result *r)
{
    json_t *j =
        json_pack("{s:s, s:i, s:s, s:b, s:o, s:o}", "verdict", attest_verdict_name(r->verdict),
                  "status", (int)r->verdict, "summary", r->summary, "emulated", r->emulated, "at",
                  json_time(r->at), "checks", json_checks(r));
    const struct {
        const char *name;
        const struct attest_cert *cert;
    } chain[] = {{"leaf", r->leaf}, {"issuer", r->issuer}, {"root", r->root}};
    json_t *certs = json_object();

    for (size_t i = 0; i < COUNT(chain); i++)
        json_object_set_new(certs, chain[i].name,
                            chain[i].cert ? json_cert(chain[i].cert) : json_null());
    json_object_set_new(certs, "revocation_list", r->crl ? json_crl(r->crl) : json_null());
    json_object_set_new(j, "chain", certs);
    if (r->parsed)
        json_object_set_new(j, "report", json_report(&r->report));
    return j;
}
