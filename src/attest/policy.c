/* Policies: keys with values, set from text and shown as text. */
#include "attest/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const rule_words[] = {"allowed", "forbidden", "required", NULL};
static const char *const product_words[] = {"milan", "genoa", "turin", NULL};
static const char *const signing_words[] = {"vcek", "vlek", NULL};

#define WORDS_SRC_RAW         NULL
#define WORDS_SRC_BIT         rule_words
#define WORDS_SRC_TCB         NULL
#define WORDS_SRC_AUTHOR      NULL
#define WORDS_SRC_PRODUCT     product_words
#define WORDS_SRC_SIGNING_KEY signing_words
#define WORDS_SRC_CSP_ID      NULL
#define WORDS_SRC_MASKED_ID   rule_words
#define WORDS_SRC_PROVISIONAL rule_words
#define WORDS_SRC_CRL         rule_words

const struct policy_row policy_rows[POLICY_KEYS] = {
#define POLICY(id, name, kind, limit, source, at, arg, since, wanted, what)                        \
    [POLICY_##id] = {source, ATTEST_POLICY_##kind, at, arg, since, wanted},
#include "attest/policy.def"
#undef POLICY
};
const struct attest_policy_key policy_keys[POLICY_KEYS] = {
#define POLICY(id, name, kind, limit, source, at, arg, since, wanted, what)                        \
    [POLICY_##id] = {name,           ATTEST_POLICY_##kind,                                         \
                     limit,          ATTEST_POLICY_##kind ? 0 : (limit)&0xFFFF,                    \
                     WORDS_##source, what},
#include "attest/policy.def"
#undef POLICY
};

const struct attest_policy_key *attest_policy_keys(size_t *count)
{
    *count = POLICY_KEYS;
    return policy_keys;
}

const struct attest_policy_key *attest_policy_key(const char *name)
{
    for (size_t i = 0; i < POLICY_KEYS; i++)
        if (strcmp(policy_keys[i].name, name) == 0)
            return &policy_keys[i];
    return NULL;
}

size_t policy_element(enum policy_id id)
{
    switch (policy_keys[id].kind) {
    case ATTEST_POLICY_BYTES:
        return policy_keys[id].size;
    case ATTEST_POLICY_TEXT:
        return POLICY_TEXT_MAX;
    default:
        return sizeof(uint64_t);
    }
}

uint64_t policy_number(const struct attest_policy *policy, enum policy_id id, size_t i)
{
    return load64(policy->values[id].data + i * sizeof(uint64_t));
}

enum rule policy_rule(const struct attest_policy *policy, enum policy_id id)
{
    if (!policy || !policy->values[id].count)
        return !policy && id == POLICY_DEBUG ? RULE_FORBIDDEN : RULE_ALLOWED;
    return (enum rule)policy_number(policy, id, 0);
}

bool policy_requires_crl(const struct attest_policy *policy)
{
    return policy_rule(policy, POLICY_CRL_RULE) == RULE_REQUIRED;
}

struct attest_policy *attest_policy_new(struct attest_error *err)
{
    struct attest_policy *policy = calloc(1, sizeof(*policy));

    if (policy && attest_policy_set(policy, "debug", "forbidden", err) == ATTEST_OK)
        return policy;
    if (!policy)
        NO_MEMORY(err);
    attest_policy_free(policy);
    return NULL;
}

void attest_policy_free(struct attest_policy *policy)
{
    for (size_t i = 0; policy && i < POLICY_KEYS; i++)
        free(policy->values[i].data);
    free(policy);
}

/* ---- from text ---- */

static bool number_of(const char *text, uint64_t limit, uint64_t *number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, text[0] == '0' && (text[1] | 32) == 'x' ? 16 : 10);
    return !errno && !*end && *number <= limit;
}

/* "1.55" as it stands in the report: the minor version's byte, then the major one's. */
static bool version_of(const char *text, uint64_t *number)
{
    const char *dot = strchr(text, '.');
    char major[4] = "";
    uint64_t high, low;

    if (!dot || dot == text || (size_t)(dot - text) >= sizeof(major))
        return false;
    memcpy(major, text, (size_t)(dot - text));
    if (!number_of(major, 255, &high) || !number_of(dot + 1, 255, &low))
        return false;
    *number = high << 8 | low;
    return true;
}

static bool word_of(const char *const *words, const char *text, uint64_t *number)
{
    for (*number = 0; words[*number]; ++*number)
        if (strcmp(words[*number], text) == 0)
            return true;
    return false;
}

static enum attest_status wrong(struct attest_error *err, const struct attest_policy_key *key,
                                const char *want)
{
    char path[64];

    snprintf(path, sizeof(path), "policy.%s", key->name);
    return attest_fail(err, ATTEST_E_FORMAT, path, "the value of %s must be %s", key->name, want);
}

static enum attest_status take_bytes(enum policy_id id, const char *text, uint8_t *element,
                                     struct attest_error *err)
{
    const struct attest_policy_key *key = &policy_keys[id];
    ptrdiff_t n = text_hex(element, key->size, text, strlen(text));
    char want[64];

    if (n == key->size || (id == POLICY_CHIP && n == 8)) /* a Turin's id: zeros follow */
        return ATTEST_OK;
    snprintf(want, sizeof(want), "%u bytes in hex", key->size);
    return wrong(err, key, want);
}

static enum attest_status take_value(enum policy_id id, const char *text, uint8_t *element,
                                     struct attest_error *err)
{
    const struct attest_policy_key *key = &policy_keys[id];
    uint64_t number = 0;
    char want[96];

    switch (key->kind) {
    case ATTEST_POLICY_BYTES:
        return take_bytes(id, text, element, err);
    case ATTEST_POLICY_TEXT:
        if (!*text || strlen(text) >= POLICY_TEXT_MAX)
            return wrong(err, key, "1 to 127 characters");
        memcpy(element, text, strlen(text));
        return ATTEST_OK;
    case ATTEST_POLICY_VERSION:
        if (!version_of(text, &number))
            return wrong(err, key, "\"MAJOR.MINOR\"");
        break;
    case ATTEST_POLICY_RULE:
    case ATTEST_POLICY_WORDS:
        if (!word_of(key->words, text, &number) ||
            (id == POLICY_CRL_RULE && number == RULE_FORBIDDEN))
            return wrong(err, key,
                         id == POLICY_CRL_RULE             ? "allowed or required"
                         : key->kind == ATTEST_POLICY_RULE ? "allowed, forbidden or required"
                         : id == POLICY_PRODUCTS           ? "milan, genoa or turin"
                                                           : "vcek or vlek");
        break;
    default:
        snprintf(want, sizeof(want), "a number of at most %llu", (unsigned long long)key->limit);
        if (!number_of(text, key->limit, &number))
            return wrong(err, key, want);
    }
    store64(element, number);
    return ATTEST_OK;
}

static bool has_several(enum attest_policy_kind kind)
{
    return kind == ATTEST_POLICY_BYTES || kind == ATTEST_POLICY_EXACT ||
           kind == ATTEST_POLICY_WORDS || kind == ATTEST_POLICY_TEXT;
}

#define VALUES_MAX 65536u

enum attest_status attest_policy_set(struct attest_policy *policy, const char *name,
                                     const char *value, struct attest_error *err)
{
    const struct attest_policy_key *key = attest_policy_key(name);
    uint8_t element[POLICY_TEXT_MAX] = {0}, *grown;
    struct policy_values *values;
    enum attest_status why;
    enum policy_id id;
    size_t size, at;

    if (!key)
        return attest_fail(err, ATTEST_E_ARG, "policy", "there is no key \"%.60s\"", name);
    id = (enum policy_id)(key - policy_keys);
    why = take_value(id, value, element, err);
    if (why != ATTEST_OK)
        return why;
    values = &policy->values[id];
    size = policy_element(id);
    at = has_several(key->kind) ? values->count : 0;
    if (at == VALUES_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "policy", "%s has more than %u values", name,
                           VALUES_MAX);
    grown = at && at & (at - 1) ? values->data : realloc(values->data, (at ? 2 * at : 1) * size);
    if (!grown)
        return NO_MEMORY(err);
    memcpy(grown + at * size, element, size);
    values->data = grown;
    values->count = at + 1;
    return ATTEST_OK;
}

/* ---- to text ---- */

size_t attest_policy_count(const struct attest_policy *policy, const struct attest_policy_key *key)
{
    return policy->values[key - policy_keys].count;
}

static void add_value(struct line *l, const struct attest_policy *policy, enum policy_id id,
                      size_t i)
{
    const struct attest_policy_key *key = &policy_keys[id];
    const uint8_t *element = policy->values[id].data + i * policy_element(id);
    unsigned long long number = key->kind == ATTEST_POLICY_BYTES || key->kind == ATTEST_POLICY_TEXT
                                    ? 0
                                    : policy_number(policy, id, i);

    switch (key->kind) {
    case ATTEST_POLICY_BYTES:
        line_hex(l, element, key->size);
        break;
    case ATTEST_POLICY_TEXT:
        line_add(l, "%s", (const char *)element);
        break;
    case ATTEST_POLICY_VERSION:
        line_add(l, "%llu.%llu", number >> 8, number & 255);
        break;
    case ATTEST_POLICY_RULE:
    case ATTEST_POLICY_WORDS:
        line_add(l, "%s", key->words[number]);
        break;
    case ATTEST_POLICY_MASK:
        line_add(l, "0x%llx", number);
        break;
    case ATTEST_POLICY_EXACT:
        line_add(l, key->limit > UINT32_MAX ? "0x%llx" : "%llu", number);
        break;
    case ATTEST_POLICY_MINIMUM:
        line_add(l, "%llu", number);
        break;
    }
}

int attest_policy_value(const struct attest_policy *policy, const struct attest_policy_key *key,
                        size_t i, char *text, size_t size)
{
    enum policy_id id = (enum policy_id)(key - policy_keys);
    struct line l = {.text = text, .size = size};

    if (i >= policy->values[id].count)
        return -1;
    line_add(&l, "%s", "");
    add_value(&l, policy, id, i);
    return (int)l.len;
}

int attest_policy_explain(const struct attest_policy *policy, const struct attest_policy_key *key,
                          char *text, size_t size)
{
    static const char *const verbs[] = {
        [ATTEST_POLICY_BYTES] = " must be ",
        [ATTEST_POLICY_MINIMUM] = " must be at least ",
        [ATTEST_POLICY_EXACT] = " must be ",
        [ATTEST_POLICY_MASK] = " must include the bits ",
        [ATTEST_POLICY_VERSION] = " must be at least ",
        [ATTEST_POLICY_RULE] = " is ",
        [ATTEST_POLICY_WORDS] = " must be ",
        [ATTEST_POLICY_TEXT] = " must be ",
    };
    enum policy_id id = (enum policy_id)(key - policy_keys);
    struct line l = {.text = text, .size = size};
    size_t count = policy->values[id].count;

    line_add(&l, "%s", key->what);
    if (!count)
        line_add(&l, " is not asked");
    for (size_t i = 0; i < count; i++) {
        line_add(&l, "%s", !i ? verbs[key->kind] : i + 1 < count ? ", " : " or ");
        add_value(&l, policy, id, i);
    }
    line_add(&l, ".");
    return (int)l.len;
}
