/* The JSON schemas that are published, from the library's tables; see policy_file.h. */
#include "cli/policy_file.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define PATH_TEXT 96u

static json_t *schema_words(const char *const *words)
{
    json_t *list = json_array();

    for (size_t i = 0; words[i]; i++)
        json_array_append_new(list, json_string(words[i]));
    return json_pack("{s:o}", "enum", list);
}

static json_t *schema_number(uint64_t limit)
{
    json_t *number = json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);

    if (limit <= INT64_MAX)
        json_object_set_new(number, "maximum", json_integer((json_int_t)limit));
    return json_pack("{s:[o, {s:s, s:s}]}", "anyOf", number, "type", "string", "pattern",
                     "^(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})$");
}

static json_t *schema_value(const struct attest_policy_key *key)
{
    char pattern[64];

    switch (key->kind) {
    case ATTEST_POLICY_BYTES:
        snprintf(pattern, sizeof(pattern), "^%s[0-9a-fA-F]{%u}%s$",
                 !strcmp(key->name, "chip_id") ? "([0-9a-fA-F]{16}|" : "", 2u * key->size,
                 !strcmp(key->name, "chip_id") ? ")" : "");
        return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
    case ATTEST_POLICY_VERSION:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]{1,3}\\.[0-9]{1,3}$");
    case ATTEST_POLICY_TEXT:
        return json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", 1, "maxLength", 127);
    case ATTEST_POLICY_RULE:
    case ATTEST_POLICY_WORDS:
        return schema_words(key->words);
    default:
        return schema_number(key->limit);
    }
}

static json_t *schema_object(void)
{
    return json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
}

/* As put(), through the "properties" of schemas. */
static void put_schema(json_t *root, const char *name, json_t *value)
{
    char part[PATH_TEXT];
    const char *dot;

    while ((dot = strchr(name, '.'))) {
        json_t *all = json_object_get(root, "properties");

        snprintf(part, sizeof(part), "%.*s", (int)(dot - name), name);
        if (!json_object_get(all, part))
            json_object_set_new(all, part, schema_object());
        root = json_object_get(all, part);
        name = dot + 1;
    }
    json_object_set_new(json_object_get(root, "properties"), name, value);
}

static json_t *schema_head(const char *title, const char *what)
{
    json_t *j =
        json_pack("{s:s, s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema",
                  "title", title, "description", what);
    json_t *body = schema_object();

    json_object_update_missing(j, body);
    json_decref(body);
    return j;
}

json_t *policy_schema(void)
{
    size_t count;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    json_t *j = schema_head("lucca policy",
                            "What a report must say. A key that is not there is not asked, but "
                            "debug and masked_chip_id, which are forbidden until allowed.");

    put_schema(j, "$schema", json_pack("{s:s}", "type", "string"));
    put_schema(j, "description", json_pack("{s:s}", "type", "string"));
    for (size_t i = 0; i < count; i++) {
        json_t *one = schema_value(&keys[i]), *list;

        if (policy_key_has_several(&keys[i])) {
            list = json_pack("{s:s, s:i, s:O}", "type", "array", "minItems", 1, "items", one);
            one = json_pack("{s:[o, o]}", "anyOf", one, list);
        }
        json_object_set_new(one, "description", json_string(keys[i].what));
        put_schema(j, keys[i].name, one);
    }
    return j;
}

static json_t *schema_string(void)
{
    return json_pack("{s:s}", "type", "string");
}

static json_t *schema_tcb(void)
{
    json_t *j = schema_object();

    put_schema(j, "raw", json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9a-f]{16}$"));
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        put_schema(j, attest_tcb_part_name(p),
                   json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", 0, "maximum", 255));
    return j;
}

static json_t *schema_field(const struct attest_field *f)
{
    char pattern[32];
    json_t *j;

    switch ((enum attest_field_kind)f->kind) {
    case ATTEST_FIELD_NUMBER:
        return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
    case ATTEST_FIELD_BYTES:
        snprintf(pattern, sizeof(pattern), "^[0-9a-f]{%u}$", 2u * f->size);
        return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
    case ATTEST_FIELD_BITS:
        j = schema_object();
        put_schema(j, "value",
                   json_pack("{s:s, s:s}", "type", "string", "pattern", "^0x[0-9a-f]+$"));
        for (size_t i = 0; i < f->bit_count; i++)
            put_schema(j, f->bits[i].name,
                       json_pack("{s:s, s:s}", "type",
                                 f->bits[i].width == 1 ? "boolean" : "integer", "description",
                                 f->bits[i].what));
        return j;
    case ATTEST_FIELD_TCB:
        return schema_tcb();
    case ATTEST_FIELD_FIRMWARE:
        return json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+\\.[0-9]+\\.[0-9]+$");
    }
    return NULL;
}

static json_t *schema_report(void)
{
    size_t count;
    const struct attest_field *fields = attest_report_fields(&count);
    json_t *j = schema_object();

    for (size_t i = 0; i < count; i++) {
        json_t *field = schema_field(&fields[i]);

        json_object_set_new(field, "description", json_string(fields[i].what));
        put_schema(j, fields[i].name, field);
    }
    return j;
}

static json_t *schema_cert(void)
{
    static const char *const strings[] = {"kind",       "product",      "subject",   "issuer",
                                          "serial",     "not_before",   "not_after", "sha256",
                                          "key_sha256", "product_name", "hwid",      "csp_id"};
    json_t *j = schema_object();

    for (size_t i = 0; i < COUNT(strings); i++)
        put_schema(j, strings[i], schema_string());
    put_schema(j, "emulated", json_pack("{s:s}", "type", "boolean"));
    put_schema(j, "tcb", schema_tcb());
    return j;
}

static json_t *schema_crl(void)
{
    static const char *const strings[] = {"issuer",      "product",     "number",
                                          "this_update", "next_update", "sha256"};
    json_t *j = schema_object();

    for (size_t i = 0; i < COUNT(strings); i++)
        put_schema(j, strings[i], schema_string());
    put_schema(j, "revoked", json_pack("{s:s, s:i}", "type", "integer", "minimum", 0));
    put_schema(j, "emulated", json_pack("{s:s}", "type", "boolean"));
    return j;
}

static json_t *schema_ref(const char *name, bool or_null)
{
    char ref[40];
    json_t *j;

    snprintf(ref, sizeof(ref), "#/$defs/%s", name);
    j = json_pack("{s:s}", "$ref", ref);
    return or_null ? json_pack("{s:[o, {s:s}]}", "anyOf", j, "type", "null") : j;
}

static json_t *schema_list(json_t *items)
{
    return json_pack("{s:s, s:o}", "type", "array", "items", items);
}

static json_t *schema_check(void)
{
    static const char *const strings[] = {"name", "what", "expected", "found"};
    static const char *const outcomes[] = {"pass", "fail", "not asked", NULL};
    json_t *j = schema_object(), *required = json_array();

    for (size_t i = 0; i < COUNT(strings); i++) {
        put_schema(j, strings[i], schema_string());
        json_array_append_new(required, json_string(strings[i]));
    }
    put_schema(j, "outcome", schema_words(outcomes));
    json_array_append_new(required, json_string("outcome"));
    json_object_set_new(j, "required", required);
    return j;
}

json_t *report_schema(void)
{
    static const char *const verdicts[] = {"good",
                                           "misuse",
                                           "signature or chain",
                                           "certificates not obtained",
                                           "revocation not obtained",
                                           "policy",
                                           NULL};
    static const char *const strings[] = {"file",    "format", "coding", "product",
                                          "summary", "at",     "policy", "ear"};
    static const char *const certs[] = {"chain.leaf", "chain.issuer", "chain.root"};
    json_t *j = schema_head("lucca report",
                            "What 'lucca report show --json' and 'lucca report verify --json' "
                            "print; verdict and what follows from it are of 'verify' alone.");
    json_t *defs = json_object();

    for (size_t i = 0; i < COUNT(strings); i++)
        put_schema(j, strings[i], schema_string());
    put_schema(j, "verdict", schema_words(verdicts));
    put_schema(j, "status",
               json_pack("{s:s, s:i, s:i, s:s}", "type", "integer", "minimum", 0, "maximum", 5,
                         "description", "the exit status"));
    put_schema(j, "emulated",
               json_pack("{s:s, s:s}", "type", "boolean", "description",
                         "the root is an emulated chip's: nothing is confidential"));
    put_schema(j, "checks", schema_list(schema_check()));
    put_schema(j, "report", schema_report());
    for (size_t i = 0; i < COUNT(certs); i++)
        put_schema(j, certs[i], schema_ref("certificate", true));
    put_schema(j, "chain.revocation_list", schema_ref("revocation_list", true));
    put_schema(j, "certificates", schema_list(schema_ref("certificate", false)));
    put_schema(j, "revocation_lists", schema_list(schema_ref("revocation_list", false)));
    put_schema(j, "claims",
               json_pack("{s:s}", "description",
                         "the runtime claims of an HCL blob, as they stand in it"));
    json_object_set_new(defs, "certificate", schema_cert());
    json_object_set_new(defs, "revocation_list", schema_crl());
    json_object_set_new(j, "$defs", defs);
    json_object_set_new(j, "required", json_pack("[s]", "file"));
    return j;
}
