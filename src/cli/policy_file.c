/* Policies as JSON; see policy_file.h. */
#include "cli/policy_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/inputs.h"
#include "crypto/digest.h"

#define FILE_MAX  (4u << 20)
#define PATH_TEXT 96u

/* ---- reading ------------------------------------------------------------------------------------
 */

struct reading {
    struct attest_policy *policy;
    const char *file;
};

static enum status wrong(const struct reading *r, const char *path, struct error *err,
                         const char *why)
{
    return fail(err, ERR_FORMAT, "policy '%s': %s: %s", r->file, path, why);
}

/* One value, as attest_policy_set() takes it. */
static enum status set_value(const struct reading *r, const char *path, const json_t *j,
                             struct error *err)
{
    struct attest_error why;
    char number[24];
    const char *text = json_string_value(j);

    if (json_is_integer(j)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(j));
        text = number;
    }
    if (!text)
        return wrong(r, path, err, "a string or a whole number is needed");
    if (json_is_string(j) && strlen(text) != json_string_length(j))
        return wrong(r, path, err, "there is a NUL in this string");
    if (attest_policy_set(r->policy, path, text, &why) != ATTEST_OK)
        return wrong(r, path, err, why.text);
    return OK;
}

bool policy_key_has_several(const struct attest_policy_key *key)
{
    return key->kind == ATTEST_POLICY_BYTES || key->kind == ATTEST_POLICY_EXACT ||
           key->kind == ATTEST_POLICY_WORDS || key->kind == ATTEST_POLICY_TEXT;
}

static enum status set_key(const struct reading *r, const struct attest_policy_key *key,
                           const json_t *j, struct error *err)
{
    enum status s = OK;

    if (!json_is_array(j))
        return set_value(r, key->name, j, err);
    if (!policy_key_has_several(key))
        return wrong(r, key->name, err, "this key has one value, not a list");
    if (!json_array_size(j))
        return wrong(r, key->name, err, "an empty list would ask nothing; leave the key out");
    for (size_t i = 0; i < json_array_size(j) && s == OK; i++)
        s = set_value(r, key->name, json_array_get(j, i), err);
    return s;
}

static bool is_group(const char *path)
{
    size_t count, len = strlen(path);
    const struct attest_policy_key *keys = attest_policy_keys(&count);

    for (size_t i = 0; i < count; i++)
        if (!strncmp(keys[i].name, path, len) && keys[i].name[len] == '.')
            return true;
    return false;
}

static bool is_comment(const char *path)
{
    return !strcmp(path, "$schema") || !strcmp(path, "description");
}

static enum status set_group(const struct reading *r, const char *prefix, json_t *j,
                             struct error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(j, name, value)
    {
        char path[PATH_TEXT];
        int n = snprintf(path, sizeof(path), "%s%s%.64s", prefix, *prefix ? "." : "", name);
        const struct attest_policy_key *key = attest_policy_key(path);
        enum status s;

        if (key && n < (int)sizeof(path))
            s = set_key(r, key, value, err);
        else if (is_group(path) && json_is_object(value))
            s = set_group(r, path, value, err);
        else if (is_group(path))
            s = wrong(r, path, err, "an object is needed");
        else if (!*prefix && is_comment(path) && json_is_string(value))
            s = OK;
        else
            s = wrong(r, path, err, "there is no such key; 'lucca policy schema' has them all");
        if (s != OK)
            return s;
    }
    return OK;
}

static enum status name_policy(const struct blob *b, char id[POLICY_ID], struct error *err)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * sizeof(digest) + 1];

    if (!sha256(digest, b->bytes, b->len))
        return fail(err, ERR_NOMEM, "no memory for a digest");
    hex_text(hex, digest, sizeof(digest));
    snprintf(id, POLICY_ID, "sha-256:%s", hex);
    return OK;
}

enum status policy_file_read(const char *path, struct attest_policy **policy, char id[POLICY_ID],
                             struct error *err)
{
    struct reading r = {.file = path};
    struct attest_error why;
    json_error_t where;
    json_t *j = NULL;
    struct blob b;
    enum status s = blob_read(&b, "policy", path, FILE_MAX, err);

    *policy = NULL;
    if (s != OK)
        return s;
    j = json_loadb((const char *)b.bytes, b.len, JSON_REJECT_DUPLICATES, &where);
    r.policy = attest_policy_new(&why);
    if (!r.policy)
        s = attest_error_to(err, &why);
    else if (!j)
        s = fail(err, ERR_FORMAT, "policy '%s': line %d: %s", path, where.line, where.text);
    else if (!json_is_object(j))
        s = fail(err, ERR_FORMAT, "policy '%s': a policy is an object in braces", path);
    else
        s = set_group(&r, "", j, err);
    if (s == OK)
        s = name_policy(&b, id, err);
    json_decref(j);
    blob_free(&b);
    if (s != OK) {
        attest_policy_free(r.policy);
        return s;
    }
    *policy = r.policy;
    return OK;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* Puts a value where the dots of `name` say, making the objects on the way. */
static void put(json_t *root, const char *name, json_t *value)
{
    char part[PATH_TEXT];
    const char *dot;

    while ((dot = strchr(name, '.'))) {
        json_t *inner;

        snprintf(part, sizeof(part), "%.*s", (int)(dot - name), name);
        inner = json_object_get(root, part);
        if (!inner) {
            inner = json_object();
            json_object_set_new(root, part, inner);
        }
        root = inner;
        name = dot + 1;
    }
    json_object_set_new(root, name, value);
}

/* Of one boot, one report or one machine: a policy that says them fits nothing else. */
static bool passes_away(const char *name)
{
    static const char *const names[] = {"report_data", "report_id", "report_id_ma", "chip_id"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

json_t *policy_draft(const struct attest_report *report, bool all)
{
    size_t count;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    json_t *j = json_object();

    json_object_set_new(j, "description",
                        json_string("Drafted from one report: read it, and keep what you mean"));
    for (size_t i = 0; i < count; i++) {
        bool number = keys[i].kind == ATTEST_POLICY_MINIMUM ||
                      (keys[i].kind == ATTEST_POLICY_EXACT && keys[i].limit <= UINT32_MAX);
        char text[256];
        int n = attest_policy_found(report, &keys[i], text, sizeof(text));

        if (n <= 0 || n >= (int)sizeof(text) || (!all && passes_away(keys[i].name)))
            continue;
        put(j, keys[i].name,
            number ? json_integer((json_int_t)strtoll(text, NULL, 0)) : json_string(text));
    }
    return j;
}
