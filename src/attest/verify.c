/* The verdict on a report. */
#include "attest/policy.h"

#include <stdio.h>
#include <time.h>

static const struct attest_check_info infos[CHECK_POLICY + POLICY_KEYS] = {
#define CHECK(id, name, blame, must, what) [CHECK_##id] = {name, blame, what},
#include "attest/checks.def"
#undef CHECK
#define POLICY(id, name, kind, limit, source, at, arg, since, wanted, what)                        \
    [CHECK_POLICY + POLICY_##id] = {"policy." name, ATTEST_AGAINST_POLICY, what},
#include "attest/policy.def"
#undef POLICY
};
static const bool must_pass[CHECK_POLICY] = {
#define CHECK(id, name, blame, must, what) [CHECK_##id] = must,
#include "attest/checks.def"
#undef CHECK
};

const struct attest_check_info *attest_checks(size_t *count)
{
    *count = COUNT(infos);
    return infos;
}

const char *attest_verdict_name(enum attest_verdict verdict)
{
    static const char *const names[] = {
        "good",
        "misuse",
        "signature or chain",
        "certificates not obtained",
        "revocation not obtained",
        "policy",
    };

    return (unsigned)verdict < COUNT(names) ? names[verdict] : "unknown";
}

const char *attest_outcome_name(enum attest_outcome outcome)
{
    static const char *const names[] = {"not asked", "pass", "fail"};

    return (unsigned)outcome < COUNT(names) ? names[outcome] : "unknown";
}

void judge_set(struct judge *j, unsigned id, enum attest_outcome outcome, const char *expected,
               const char *fmt, ...)
{
    struct attest_check *check = &j->result->check[id];
    va_list args;

    check->outcome = outcome;
    snprintf(check->expected, sizeof(check->expected), "%s", expected);
    va_start(args, fmt);
    vsnprintf(check->found, sizeof(check->found), fmt, args);
    va_end(args);
}

static void begin(struct judge *j, const struct attest_trust *trust,
                  const struct attest_query *query, struct attest_result *result)
{
    *j = (struct judge){.trust = trust, .query = query, .result = result};
    result->verdict = ATTEST_MISUSE;
    result->emulated = result->parsed = false;
    result->at = query->at ? query->at : (int64_t)time(NULL);
    result->leaf = result->issuer = result->root = NULL;
    result->crl = NULL;
    result->summary[0] = 0;
    result->count = COUNT(infos);
    for (size_t i = 0; i < COUNT(infos); i++) {
        struct attest_check *check = &result->check[i];

        check->info = &infos[i];
        check->outcome = ATTEST_NOT_ASKED;
        check->expected[0] = check->found[0] = 0;
    }
}

static void judge_tcb(struct judge *j)
{
    const struct attest_report *r = &j->result->report;
    const struct attest_cert *leaf = &j->leaf->cert;
    char in_cert[96], in_report[96], current[96];
    struct line c = LINE_OVER(in_cert), f = LINE_OVER(in_report), t = LINE_OVER(current);
    bool known = r->layout != ATTEST_LAYOUT_UNKNOWN && r->layout == leaf->tcb.layout;

    line_tcb(&c, &leaf->tcb);
    line_tcb(&f, &r->reported_tcb);
    line_tcb(&t, &r->current_tcb);
    DECIDE(j, known && memcmp(r->reported_tcb.part, leaf->tcb.part, sizeof(leaf->tcb.part)) == 0,
           REPORTED_TCB, in_cert, "%s", in_report);
    DECIDE(j, known && attest_tcb_at_most(&leaf->tcb, &r->current_tcb), CURRENT_TCB, in_cert, "%s",
           current);
}

static void judge_chip(struct judge *j)
{
    const struct attest_report *r = &j->result->report;
    const struct attest_cert *leaf = &j->leaf->cert;
    char want[2 * 64 + 1], found[2 * 64 + 1];
    struct line w = LINE_OVER(want), f = LINE_OVER(found);

    if (r->signing_key == ATTEST_KEY_VLEK) {
        NOT_ASKED(j, CHIP_ID, "a VLEK is of no chip");
        return;
    }
    if (r->chip_id_masked) {
        NOT_ASKED(j, CHIP_ID, "CHIP_ID is masked: see policy.masked_chip_id");
        return;
    }
    line_hex(&w, leaf->hwid, leaf->hwid_len);
    if (!leaf->hwid_len)
        line_add(&w, "a hardware id in the certificate");
    line_hex(&f, r->chip_id, sizeof(r->chip_id));
    DECIDE(j,
           leaf->hwid_len && memcmp(r->chip_id, leaf->hwid, leaf->hwid_len) == 0 &&
               all_zero(r->chip_id + leaf->hwid_len, sizeof(r->chip_id) - leaf->hwid_len),
           CHIP_ID, want, "%s", found);
}

static void judge_claims(struct judge *j)
{
    const struct attest_report *r = &j->result->report;
    uint8_t digest[64] = {0};
    char want[2 * 64 + 1], found[2 * 64 + 1];
    struct line w = LINE_OVER(want), f = LINE_OVER(found);

    if (!j->query->claims) {
        NOT_ASKED(j, CLAIMS, "no claims came with the report");
        return;
    }
    if (!key_sha256(digest, j->query->claims, j->query->claims_len)) {
        FAIL(j, CLAIMS, "a digest", "libcrypto has no SHA-256");
        return;
    }
    line_hex(&w, digest, sizeof(digest));
    line_hex(&f, r->report_data, sizeof(r->report_data));
    DECIDE(j, memcmp(digest, r->report_data, sizeof(digest)) == 0, CLAIMS, want, "%s", found);
}

static void judge_signature(struct judge *j)
{
    const struct attest_report *r = &j->result->report;
    bool good = j->result->check[CHECK_SCALARS].outcome == ATTEST_PASS && r->signature_algo == 1 &&
                key_verify_p384(j->leaf->key, (struct attest_span){r->raw, 0x2A0}, r->signature_r,
                                r->signature_s);

    DECIDE(j, good, SIGNATURE, "good", "%s", good ? "good" : "wrong");
}

/* Version 2 does not say its product: the leaf's chain does. */
static void settle_product(struct judge *j)
{
    struct attest_report *r = &j->result->report;

    if (!r->has_cpuid && r->product == ATTEST_PRODUCT_UNKNOWN && j->leaf &&
        j->leaf->cert.product != ATTEST_PRODUCT_UNKNOWN)
        report_set_product(r, j->leaf->cert.product);
}

/* The sentence: the first failure of the kind that decided. */
static void summarize(struct judge *j)
{
    struct attest_result *r = j->result;
    size_t passed = 0, asked = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct attest_check *c = &r->check[i];

        passed += c->outcome == ATTEST_PASS;
        asked += c->outcome != ATTEST_NOT_ASKED;
        if (c->outcome == ATTEST_FAIL && c->info->blame == r->verdict && !r->summary[0])
            snprintf(r->summary, sizeof(r->summary), "%s%s: expected %.120s; found %.120s",
                     r->emulated ? "EMULATED: " : "", c->info->name, c->expected, c->found);
    }
    if (!r->summary[0])
        snprintf(r->summary, sizeof(r->summary), "%s%zu checks passed, %zu were not asked",
                 r->emulated ? "EMULATED, so nothing here is confidential: " : "", passed,
                 r->count - asked);
}

/* Nothing is good by default: a check that had to pass and did not is a failure, whatever became of
 * it. */
static enum attest_verdict finish(struct judge *j, unsigned from, unsigned to)
{
    struct attest_result *r = j->result;
    enum attest_verdict verdict = ATTEST_GOOD;

    for (unsigned i = 0; i < r->count; i++) {
        struct attest_check *c = &r->check[i];

        if (c->outcome == ATTEST_FAIL && (!verdict || c->info->blame < verdict))
            verdict = c->info->blame;
    }
    for (unsigned i = from; i < to; i++) {
        struct attest_check *c = &r->check[i];

        if (i >= CHECK_POLICY || !must_pass[i] || c->outcome != ATTEST_NOT_ASKED)
            continue;
        if (!verdict)
            verdict = c->info->blame;
        snprintf(c->found, sizeof(c->found), "not judged: something before it failed");
    }
    r->verdict = verdict;
    summarize(j);
    return verdict;
}

enum attest_verdict attest_verify(const struct attest_trust *trust,
                                  const struct attest_query *query, struct attest_result *result)
{
    struct attest_error err = {0};
    struct judge j;

    begin(&j, trust, query, result);
    result->parsed =
        query->report && attest_report_parse(&result->report, query->report, query->report_len,
                                             query->product, &err) == ATTEST_OK;
    DECIDE(&j, result->parsed, REPORT, "a report of 1184 bytes, version 2 to 5", "%s%s%s",
           result->parsed ? "as expected" : err.path, result->parsed || !err.path[0] ? "" : ": ",
           result->parsed  ? ""
           : query->report ? err.text
                           : "nothing");
    if (!result->parsed)
        return finish(&j, 0, CHECK_POLICY);
    report_judge(&j);
    chain_find(&j, NULL);
    settle_product(&j);
    report_judge_tcb(&j);
    chain_judge(&j);
    revocation_judge(&j, policy_requires_crl(query->policy));
    if (j.leaf) {
        judge_signature(&j);
        judge_tcb(&j);
        judge_chip(&j);
    }
    judge_claims(&j);
    policy_judge(&j);
    return finish(&j, 0, CHECK_POLICY);
}

enum attest_verdict attest_verify_chain(const struct attest_trust *trust,
                                        const struct attest_query *query,
                                        const struct attest_cert *leaf,
                                        struct attest_result *result)
{
    struct judge j;

    begin(&j, trust, query, result);
    chain_find(&j, leaf);
    chain_judge(&j);
    revocation_judge(&j, policy_requires_crl(query->policy));
    return finish(&j, CHECK_CERTIFICATES, CHECK_CRL);
}

const struct attest_check *attest_result_check(const struct attest_result *result, const char *name)
{
    for (size_t i = 0; i < result->count; i++)
        if (strcmp(result->check[i].info->name, name) == 0)
            return &result->check[i];
    return NULL;
}
