/* Fuzzes what a report comes in: wrappings, certificate tables, HCL blobs, and the verdict on
 * whatever is found. The input is the file. */
#include "rig.h"

#include "lucca/attest.h"

/* What was found must lie in the input, or in what was decoded from it: a sanitizer sees to it. */
static void touch(const uint8_t *bytes, size_t len)
{
    static volatile uint8_t sum;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum ^ bytes[i]);
}

static void show(const struct attest_report *r)
{
    size_t count;
    const struct attest_field *f = attest_report_fields(&count);
    const struct attest_policy_key *keys;
    char text[160];

    for (size_t i = 0; i < count; i++)
        MUST(attest_field_text(r, &f[i], text, sizeof(text)) > 0 && strlen(text) < sizeof(text));
    keys = attest_policy_keys(&count);
    for (size_t i = 0; i < count; i++)
        MUST(attest_policy_found(r, &keys[i], text, sizeof(text)) >= 0);
    MUST(r->product != ATTEST_PRODUCT_UNKNOWN || !r->has_cpuid);
}

static void judge(const struct attest_trust *trust, const struct attest_input *in)
{
    static struct attest_result result;
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_report report;

    MUST(certs);
    if (in->table && attest_certs_add_table(certs, in->table, in->table_len, NULL) != ATTEST_OK)
        MUST(attest_certs_count(certs) <= ATTEST_BAG_MAX);
    attest_verify(trust,
                  &(struct attest_query){.report = in->report,
                                         .report_len = ATTEST_REPORT_SIZE,
                                         .certs = certs,
                                         .claims = in->claims,
                                         .claims_len = in->claims_len,
                                         .at = 1700000000},
                  &result);
    MUST(result.summary[0] && result.count <= ATTEST_CHECKS_MAX);
    /* Good reports are in the corpus, and only a signature makes one. */
    if (result.verdict == ATTEST_GOOD)
        MUST(attest_result_check(&result, "report.signature")->outcome == ATTEST_PASS);
    MUST(result.parsed == (attest_report_parse(&report, in->report, ATTEST_REPORT_SIZE,
                                               ATTEST_PRODUCT_UNKNOWN, NULL) == ATTEST_OK));
    if (result.parsed)
        show(&result.report);
    attest_certs_free(certs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attest_trust *trust;
    struct attest_entry entries[ATTEST_TABLE_MAX];
    struct attest_error err = {0};
    struct attest_input in;
    size_t count;

    if (!trust)
        trust = attest_trust_new(NULL);
    MUST(trust);
    if (attest_table_parse(entries, &count, data, size, &err) == ATTEST_OK)
        for (size_t i = 0; i < count; i++)
            touch(entries[i].bytes, entries[i].len);
    else
        MUST(err.code && err.text[0]);
    err = (struct attest_error){0};
    if (attest_input_open(&in, data, size, &err) != ATTEST_OK) {
        MUST(err.code && err.text[0] && !in.owned);
        return 0;
    }
    touch(in.report, ATTEST_REPORT_SIZE);
    touch(in.table, in.table_len);
    touch(in.claims, in.claims_len);
    judge(trust, &in);
    attest_input_free(&in);
    return 0;
}
