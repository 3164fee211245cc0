/* A report against a policy, and the policy that a report would satisfy. */
#include "attest/policy.h"

#include <stdio.h>

static uint64_t raw_number(const struct attest_report *r, const struct policy_row *row)
{
    uint64_t number = 0;

    memcpy(&number, r->raw + row->at, MIN(row->arg, sizeof(number)));
    return number;
}

static bool provisional(const struct attest_report *r)
{
    return memcmp(r->committed_tcb.raw, r->current_tcb.raw, 8) != 0 ||
           memcmp(&r->committed, &r->current, sizeof(r->current)) != 0;
}

static bool bit_of(const struct attest_report *r, const struct policy_row *row)
{
    switch (row->source) {
    case SRC_MASKED_ID:
        return r->chip_id_masked;
    case SRC_PROVISIONAL:
        return provisional(r);
    default:
        return load64(r->raw + row->at) >> row->arg & 1;
    }
}

/* The number that a policy's is compared with; NULL, or why there is none. */
static const char *number_of(const struct attest_report *r, const struct policy_row *row,
                             uint64_t *number)
{
    struct attest_tcb tcb;

    if (r->version < row->since)
        return "the report's version has no such field";
    if (row->source != SRC_TCB) {
        *number = raw_number(r, row);
        return NULL;
    }
    if (r->layout == ATTEST_LAYOUT_UNKNOWN)
        return "the product, and with it the TCB's layout, is not known";
    if (!attest_tcb_has(r->layout, row->arg))
        return "the product has no such component";
    attest_tcb_decode(&tcb, r->raw + row->at, r->layout);
    *number = tcb.part[row->arg];
    return NULL;
}

static void add_number(struct line *l, enum policy_id id, uint64_t number)
{
    unsigned long long n = number;

    if (policy_rows[id].kind == ATTEST_POLICY_VERSION)
        line_add(l, "%llu.%llu", n >> 8, n & 255);
    else if (policy_rows[id].kind == ATTEST_POLICY_MASK || policy_keys[id].limit > UINT32_MAX)
        line_add(l, "0x%llx", n);
    else
        line_add(l, "%llu", n);
}

/* ---- one check by kind: each decides, and writes what was found ---- */

static bool bytes_fit(const struct judge *j, enum policy_id id, struct line *found)
{
    const struct policy_values *values = &j->query->policy->values[id];
    const struct attest_report *r = &j->result->report;
    const uint8_t *raw = r->raw + policy_rows[id].at;
    size_t size = policy_keys[id].size;

    line_hex(found, raw, size);
    if (policy_rows[id].source == SRC_AUTHOR && !r->author_key_en) {
        line_add(found, ", and AUTHOR_KEY_EN is clear");
        return false;
    }
    for (size_t i = 0; i < values->count; i++)
        if (memcmp(values->data + i * size, raw, size) == 0)
            return true;
    return false;
}

static bool number_fits(const struct judge *j, enum policy_id id, struct line *found)
{
    const struct attest_policy *policy = j->query->policy;
    const struct policy_row *row = &policy_rows[id];
    uint64_t number, want = policy_number(policy, id, 0);
    const char *none = number_of(&j->result->report, row, &number);

    if (none) {
        line_add(found, "%s", none);
        return false;
    }
    add_number(found, id, number);
    switch ((enum attest_policy_kind)row->kind) {
    case ATTEST_POLICY_MASK:
        return (number & want) == want;
    case ATTEST_POLICY_EXACT:
        for (size_t i = 0; i < policy->values[id].count; i++)
            if (policy_number(policy, id, i) == number)
                return true;
        return false;
    default:
        return number >= want;
    }
}

static bool word_fits(const struct judge *j, enum policy_id id, struct line *found)
{
    const struct attest_policy *policy = j->query->policy;
    const struct attest_report *r = &j->result->report;
    uint64_t word = r->signing_key, words = 2;

    if (policy_rows[id].source == SRC_PRODUCT) {
        word = (uint64_t)r->product - 1; /* enum attest_product has a 0 for unknown */
        words = 3;
    }
    line_add(found, "%s", word < words ? policy_keys[id].words[word] : "neither");
    for (size_t i = 0; i < policy->values[id].count; i++)
        if (policy_number(policy, id, i) == word)
            return true;
    return false;
}

static bool text_fits(const struct judge *j, enum policy_id id, struct line *found)
{
    const struct policy_values *values = &j->query->policy->values[id];
    const char *text = j->leaf && j->leaf->cert.has_csp_id ? j->leaf->cert.csp_id : NULL;

    line_add(found, "%s", text ? text : "the certificate has none");
    for (size_t i = 0; text && i < values->count; i++)
        if (strcmp((const char *)values->data + i * POLICY_TEXT_MAX, text) == 0)
            return true;
    return false;
}

static void add_wanted(struct line *l, const struct judge *j, enum policy_id id)
{
    static const char *const prefixes[] = {
        [ATTEST_POLICY_MINIMUM] = "at least ",
        [ATTEST_POLICY_MASK] = "bits ",
        [ATTEST_POLICY_VERSION] = "at least ",
        [ATTEST_POLICY_TEXT] = "",
    };
    size_t count = j->query->policy->values[id].count;
    char value[ATTEST_TEXT_MAX];

    if (prefixes[policy_keys[id].kind])
        line_add(l, "%s", prefixes[policy_keys[id].kind]);
    for (size_t i = 0; i < count && l->len < l->size; i++) {
        attest_policy_value(j->query->policy, &policy_keys[id], i, value, sizeof(value));
        line_add(l, "%s%s", i ? " or " : "", value);
    }
}

static void judge_crl(struct judge *j)
{
    static const enum check_id all[] = {CHECK_CRL, CHECK_CRL_SIGNED, CHECK_CRL_FRESH};
    bool good = true;

    for (size_t i = 0; i < COUNT(all); i++)
        good &= j->result->check[all[i]].outcome == ATTEST_PASS;
    judge_set(j, CHECK_POLICY + POLICY_CRL_RULE, good ? ATTEST_PASS : ATTEST_FAIL, "required", "%s",
              good ? "a good one" : "none that is good: see revocation.*");
}

static void judge_rule(struct judge *j, enum policy_id id)
{
    enum rule rule = policy_rule(j->query->policy, id);
    bool asked = j->query->policy && j->query->policy->values[id].count, bit;

    if (id == POLICY_CRL_RULE) {
        if (rule == RULE_REQUIRED)
            judge_crl(j);
        return;
    }
    /* A VLEK is of no chip: a masked id takes nothing away. */
    if (id == POLICY_MASKED_ID && !asked && j->result->report.signing_key == ATTEST_KEY_VCEK)
        rule = RULE_FORBIDDEN;
    if (rule == RULE_ALLOWED)
        return;
    bit = bit_of(&j->result->report, &policy_rows[id]);
    judge_set(j, CHECK_POLICY + id, bit == (rule == RULE_REQUIRED) ? ATTEST_PASS : ATTEST_FAIL,
              rule == RULE_REQUIRED ? "required" : "forbidden", "%s", bit ? "set" : "not set");
}

static void judge_values(struct judge *j, enum policy_id id)
{
    static bool (*const fits[])(const struct judge *, enum policy_id, struct line *) = {
        [ATTEST_POLICY_BYTES] = bytes_fit,     [ATTEST_POLICY_MINIMUM] = number_fits,
        [ATTEST_POLICY_EXACT] = number_fits,   [ATTEST_POLICY_MASK] = number_fits,
        [ATTEST_POLICY_VERSION] = number_fits, [ATTEST_POLICY_WORDS] = word_fits,
        [ATTEST_POLICY_TEXT] = text_fits,
    };
    char wanted[ATTEST_TEXT_MAX], found[ATTEST_TEXT_MAX];
    struct line w = LINE_OVER(wanted), f = LINE_OVER(found);
    bool good = fits[policy_rows[id].kind](j, id, &f);

    add_wanted(&w, j, id);
    judge_set(j, CHECK_POLICY + id, good ? ATTEST_PASS : ATTEST_FAIL, wanted, "%s", found);
}

void policy_judge(struct judge *j)
{
    for (unsigned id = 0; id < POLICY_KEYS; id++)
        if (policy_rows[id].kind == ATTEST_POLICY_RULE)
            judge_rule(j, id);
        else if (j->query->policy && j->query->policy->values[id].count)
            judge_values(j, id);
}

/* ---- the draft ---- */

/* What a policy should say of a bit: what is good is kept, what is bad is not let in. */
static const char *drafted_rule(const struct policy_row *row, bool bit)
{
    return row->wanted ? (bit ? "required" : "allowed") : (bit ? "allowed" : "forbidden");
}

int attest_policy_found(const struct attest_report *report, const struct attest_policy_key *key,
                        char *text, size_t size)
{
    enum policy_id id = (enum policy_id)(key - policy_keys);
    const struct policy_row *row = &policy_rows[id];
    struct line l = {.text = text, .size = size};
    uint64_t number;

    line_add(&l, "%s", "");
    switch (row->source) {
    case SRC_CSP_ID:
    case SRC_CRL:
        break;
    case SRC_PRODUCT:
        if (report->product != ATTEST_PRODUCT_UNKNOWN)
            line_add(&l, "%s", key->words[report->product - 1]);
        break;
    case SRC_SIGNING_KEY:
        if (report->signing_key <= ATTEST_KEY_VLEK)
            line_add(&l, "%s", key->words[report->signing_key]);
        break;
    case SRC_AUTHOR:
        if (report->author_key_en)
            line_hex(&l, report->raw + row->at, key->size);
        break;
    default:
        if (key->kind == ATTEST_POLICY_BYTES)
            line_hex(&l, report->raw + row->at, key->size);
        else if (key->kind == ATTEST_POLICY_RULE)
            line_add(&l, "%s", drafted_rule(row, bit_of(report, row)));
        else if (!number_of(report, row, &number))
            add_number(&l, id, number);
    }
    return (int)l.len;
}
