/* QMP: messages, their order, and which function answers which. Framing and names are QEMU's.
 *
 * A peer's bytes are hostile. A message is cut out (frame.h), parsed, checked against the row of
 * its command; only then a handler sees it. Whatever is wrong gets an error object, and the
 * conversation goes on. */
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/bytes.h"
#include "host/monitor/internal.h"

#define NAME_SHOWN 64 /* of a foreign name, in an error */

/* ---- strings ----------------------------------------------------------------------------------
 */

json_t *qmp_string(const char *text)
{
    json_t *s = json_string(text);
    char *clean;

    if (s || !(clean = strdup(text)))
        return s;
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    s = json_string(clean);
    free(clean);
    return s;
}

json_t *qmp_version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", 7, "minor", 2, "micro", 0,
                     "package", "Lucca " LUCCA_VERSION ", which speaks QMP as QEMU 7.2 does");
}

/* ---- out ---------------------------------------------------------------------------------------
 */

/* Steals the message. One that cannot be made for want of memory is lost. */
static void send_message(struct qmp_session *s, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL, *line = NULL;
    size_t len = text ? strlen(text) : 0;

    json_decref(message);
    if (text && (line = realloc(text, len + 2))) {
        line[len] = '\r';
        line[len + 1] = '\n';
        s->emit(s->ctx, line, len + 2);
        text = line;
    }
    free(text);
}

/* Steals `id`. */
static void send_with_id(struct qmp_session *s, json_t *message, json_t *id)
{
    if (message && id)
        json_object_set_new(message, "id", id);
    else
        json_decref(id);
    send_message(s, message);
}

static json_t *error_message(const char *class, const char *text)
{
    return json_pack("{s:{s:s, s:o}}", "error", "class", class, "desc", qmp_string(text));
}

static void refuse(struct qmp_session *s, json_t *id, const char *class, const struct error *err)
{
    send_with_id(s, error_message(class, err->text), id);
}

void qmp_event(struct qmp_session *s, const char *name, const json_t *data)
{
    struct timeval now;
    json_t *message;

    if (!s->negotiated)
        return;
    gettimeofday(&now, NULL);
    message = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
                        "microseconds", (json_int_t)now.tv_usec, "event", name);
    if (message && data)
        json_object_set_new(message, "data", json_deep_copy(data));
    send_message(s, message);
}

void qmp_answer(struct qmp_session *s, enum status status, const struct error *err)
{
    json_t *id = s->id;

    if (!s->waiting)
        return;
    s->waiting = false;
    s->id = NULL;
    if (status == OK)
        send_with_id(s, json_pack("{s:{}}", "return"), id);
    else
        refuse(s, id, "GenericError", err);
}

void qmp_session_start(struct qmp_session *s)
{
    s->negotiated = s->waiting = false;
    s->id = NULL;
    s->framer = (struct framer){0};
    send_message(s, json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(), "capabilities"));
}

void qmp_session_end(struct qmp_session *s)
{
    frame_free(&s->framer);
    json_decref(s->id);
    s->id = NULL;
    s->waiting = s->negotiated = false;
}

/* ---- commands ----------------------------------------------------------------------------------
 */

static const struct qmp_command *find_command(const char *name)
{
    for (size_t i = 0; i < qmp_command_count; i++)
        if (!strcmp(qmp_commands[i].name, name))
            return &qmp_commands[i];
    return NULL;
}

static const struct qmp_arg *find_arg(const struct qmp_command *cmd, const char *name)
{
    for (size_t i = 0; i < QMP_MAX_ARGS && cmd->args[i].name; i++)
        if (!strcmp(cmd->args[i].name, name))
            return &cmd->args[i];
    return NULL;
}

static const char *const type_names[] = {"string", "integer", "boolean", "array"};

static bool has_type(const json_t *value, enum qmp_type type)
{
    switch (type) {
    case QMP_STRING:
        return json_is_string(value);
    case QMP_SIZE:
        return json_is_integer(value);
    case QMP_BOOL:
        return json_is_boolean(value);
    case QMP_ARRAY:
        return json_is_array(value);
    }
    return false;
}

static enum status check_args(const struct qmp_command *cmd, json_t *args, struct error *err)
{
    const char *name;
    json_t *value;

    json_object_foreach(args, name, value)
    {
        const struct qmp_arg *arg = find_arg(cmd, name);

        if (!arg)
            return fail(err, ERR_ARG, "Parameter '%.*s' is unexpected", NAME_SHOWN, name);
        if (!has_type(value, arg->type))
            return fail(err, ERR_ARG, "Invalid parameter type for '%s', expected: %s", name,
                        type_names[arg->type]);
        if (arg->type == QMP_SIZE && json_integer_value(value) < 0)
            return fail(err, ERR_ARG, "Parameter '%s' expects a number from 0 on", name);
    }
    for (size_t i = 0; i < QMP_MAX_ARGS && cmd->args[i].name; i++)
        if (cmd->args[i].required && !json_object_get(args, cmd->args[i].name))
            return fail(err, ERR_ARG, "Parameter '%s' is missing", cmd->args[i].name);
    return OK;
}

/* Steals `id`. */
static void run(struct qmp_session *s, const struct qmp_command *cmd, json_t *args, json_t *id)
{
    struct qmp_call call = {.m = s->m, .s = s, .args = args};
    enum status why = check_args(cmd, args, &call.err);

    if (why == OK)
        why = cmd->run(&call);
    if (why != OK) {
        json_decref(call.result);
        refuse(s, id, "GenericError", &call.err);
    } else if (call.later) {
        s->waiting = true;
        s->id = id;
    } else {
        json_t *result = call.result ? call.result : json_object();

        send_with_id(s, json_pack("{s:o}", "return", result), id);
    }
}

/* Is it the order that the protocol has: capabilities first, and once? */
static const char *out_of_order(const struct qmp_session *s, const char *name)
{
    bool negotiates = !strcmp(name, "qmp_capabilities");

    if (!s->negotiated && !negotiates)
        return "Expecting capabilities negotiation with 'qmp_capabilities'";
    if (s->negotiated && negotiates)
        return "Capabilities negotiation is already complete, command ignored";
    return NULL;
}

static enum status check_envelope(json_t *message, struct error *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(message))
        return fail(err, ERR_FORMAT, "QMP input must be a JSON object");
    json_object_foreach(message, key,
                        value) if (strcmp(key, "execute") != 0 && strcmp(key, "arguments") != 0 &&
                                   strcmp(key, "id") !=
                                       0) return fail(err, ERR_FORMAT,
                                                      "QMP input member '%.*s' is unexpected",
                                                      NAME_SHOWN, key);
    if (!json_object_get(message, "execute"))
        return fail(err, ERR_FORMAT, "QMP input lacks member 'execute'");
    if (!json_is_string(json_object_get(message, "execute")))
        return fail(err, ERR_FORMAT, "QMP input member 'execute' must be a string");
    value = json_object_get(message, "arguments");
    if (value && !json_is_object(value))
        return fail(err, ERR_FORMAT, "QMP input member 'arguments' must be an object");
    return OK;
}

static void dispatch(struct qmp_session *s, json_t *message)
{
    json_t *id = json_is_object(message) ? json_incref(json_object_get(message, "id")) : NULL;
    json_t *args = json_object_get(message, "arguments"), *none = NULL;
    const struct qmp_command *cmd;
    const char *name, *order;
    struct error err;

    if (check_envelope(message, &err) != OK) {
        refuse(s, id, "GenericError", &err);
        return;
    }
    name = json_string_value(json_object_get(message, "execute"));
    cmd = find_command(name);
    order = out_of_order(s, name);
    if (order || !cmd) {
        (void)fail(&err, ERR_ARG, order ? "%s" : "The command %.64s has not been found",
                   order ? order : name);
        refuse(s, id, "CommandNotFound", &err);
        return;
    }
    if (!args)
        args = none = json_object();
    run(s, cmd, args, id);
    json_decref(none);
}

/* ---- in ----------------------------------------------------------------------------------------
 */

static void whole_message(struct qmp_session *s)
{
    json_error_t why;
    json_t *message = json_loadb(s->framer.text, s->framer.len, JSON_REJECT_DUPLICATES, &why);
    struct error err;

    if (message) {
        dispatch(s, message);
        json_decref(message);
        return;
    }
    (void)fail(&err, ERR_FORMAT, "JSON parse error, %s", why.text);
    refuse(s, NULL, "GenericError", &err);
}

static void bad_frame(struct qmp_session *s, enum frame why)
{
    static const char *const texts[] = {
        [FRAME_GARBAGE] = "JSON parse error, expecting an object",
        [FRAME_TOO_LONG] = "JSON parse error, the message is longer than 1 MiB",
        [FRAME_TOO_DEEP] = "JSON parse error, the message is nested more than 64 deep",
        [FRAME_NO_MEMORY] = "no memory for the message",
    };
    struct error err;

    (void)fail(&err, ERR_FORMAT, "%s", texts[why]);
    refuse(s, NULL, "GenericError", &err);
}

size_t qmp_feed(struct qmp_session *s, const char *bytes, size_t n)
{
    size_t i = 0;

    while (i < n && !s->waiting) {
        enum frame f = frame_byte(&s->framer, bytes[i++]);

        if (f == FRAME_WHOLE)
            whole_message(s);
        else if (f != FRAME_MORE)
            bad_frame(s, f);
    }
    return i;
}
