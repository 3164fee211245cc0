/* JSON configuration: an object whose keys are option names. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/run_options.h"

static enum status set_scalar(struct run *r, struct guest *g, const char *key, const json_t *value,
                              bool flag, struct error *err)
{
    char number[32];

    if (flag && !json_is_boolean(value))
        return fail(err, ERR_ARG, "'%s' has to be true or false", key);
    if (flag)
        return json_is_true(value) ? run_set(r, g, key, "", err) : OK;
    if (json_is_string(value))
        return run_set(r, g, key, json_string_value(value), err);
    if (!json_is_integer(value))
        return fail(err, ERR_ARG, "'%s' has to be a string or a whole number", key);
    snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return run_set(r, g, key, number, err);
}

static enum status set_key(struct run *r, struct guest *g, const char *key, const json_t *value,
                           struct error *err)
{
    bool flag = false, list = false;
    enum status s = OK;
    const json_t *item;
    size_t i;

    if (!strcmp(key, "config") || !run_option_known(key, &flag, &list))
        return fail(err, ERR_ARG, "no option '%s'; see 'lucca run --help'", key);
    if (!json_is_array(value))
        return set_scalar(r, g, key, value, flag, err);
    if (!list)
        return fail(err, ERR_ARG, "'%s' takes one value, not an array", key);
    json_array_foreach(value, i, item)
    {
        if (s == OK)
            s = set_scalar(r, g, key, item, flag, err);
    }
    return s;
}

enum status run_config(struct run *r, struct guest *g, const char *path, struct error *err)
{
    json_error_t why;
    enum status s = OK;
    const char *key;
    json_t *root, *value;
    FILE *f = fopen(path, "re");

    if (!f)
        return fail(err, ERR_IO, "configuration '%s': %s", path, strerror(errno));
    root = json_loadf(f, JSON_REJECT_DUPLICATES, &why);
    fclose(f);
    if (!root)
        return fail(err, ERR_FORMAT, "configuration '%s', line %d: %s", path, why.line, why.text);
    if (!json_is_object(root))
        s = fail(err, ERR_FORMAT, "it has to be a JSON object");
    else
        json_object_foreach(root, key, value)
        {
            s = set_key(r, g, key, value, err);
            if (s != OK)
                break;
        }
    json_decref(root);
    if (s != OK) {
        char where[128];

        snprintf(where, sizeof(where), "configuration '%s'", path);
        return fail_at(err, where);
    }
    return OK;
}
