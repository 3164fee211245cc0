#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint32_t log_traces;

static const struct {
    const char *name, *what;
} categories[TRACES] = {
#define X(id, name, what) {name, what},
    TRACE_CATEGORIES(X)
#undef X
};

static int find_category(const char *name, size_t len)
{
    for (int i = 0; i < TRACES; i++)
        if (strlen(categories[i].name) == len && !memcmp(categories[i].name, name, len))
            return i;
    return -1;
}

enum status log_enable(const char *list, struct error *err)
{
    if (!strcmp(list, "help")) {
        for (int i = 0; i < TRACES; i++)
            printf("%-8s %s\n", categories[i].name, categories[i].what);
        return OK;
    }
    while (*list) {
        size_t len = strcspn(list, ",");
        int found = find_category(list, len);

        if (found < 0)
            return fail(err, ERR_ARG, "no trace category '%.*s'; --trace help lists them", (int)len,
                        list);
        log_traces |= 1u << found;
        list += len + (list[len] == ',');
    }
    return OK;
}

static bool as_json;

enum status log_format(const char *name, struct error *err)
{
    as_json = !strcmp(name, "json");
    if (!as_json && strcmp(name, "text"))
        return fail(err, ERR_ARG, "no trace format '%s'; there are text and json", name);
    return OK;
}

void warn(const char *fmt, ...)
{
    va_list args;

    fputs("lucca: warning: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- lines of JSON --------------------------------------------------------------------------- */

static void json_string(const char *s, size_t len)
{
    fputc('"', stderr);
    for (size_t i = 0; i < len; i++)
        if (s[i] == '"' || s[i] == '\\')
            fprintf(stderr, "\\%c", s[i]);
        else if ((unsigned char)s[i] < 0x20)
            fprintf(stderr, "\\u%04x", (unsigned char)s[i]);
        else
            fputc(s[i], stderr);
    fputc('"', stderr);
}

/* EVENT KEY=VALUE ...: one word, then pairs. */
static bool is_event(const char *text)
{
    const char *at = text + strcspn(text, " ");

    if (!*text || memchr(text, '=', (size_t)(at - text)))
        return false;
    while (*at) {
        size_t len = strcspn(++at, " ");
        const char *sign = memchr(at, '=', len);

        if (!sign || sign == at)
            return false;
        at += len;
    }
    return true;
}

static void json_value(const char *s, size_t len)
{
    bool number = len && len < 16 && strspn(s, "0123456789") >= len && (len == 1 || *s != '0');

    if (number)
        fprintf(stderr, "%.*s", (int)len, s);
    else
        json_string(s, len);
}

static void json_members(const char *text)
{
    size_t len = strcspn(text, " ");

    fputs(",\"event\":", stderr);
    json_string(text, len);
    for (text += len; *text; text += len) {
        size_t key = strcspn(++text, "=");

        len = strcspn(text, " ");
        fputc(',', stderr);
        json_string(text, key);
        fputc(':', stderr);
        json_value(text + key + 1, len - key - 1);
    }
}

static void json_line(const char *category, const char *text)
{
    fprintf(stderr, "{\"trace\":\"%s\"", category);
    if (is_event(text)) {
        json_members(text);
    } else {
        fputs(",\"text\":", stderr);
        json_string(text, strlen(text));
    }
    fputs("}\n", stderr);
}

void trace(enum trace t, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (as_json)
        json_line(categories[t].name, text);
    else
        fprintf(stderr, "%s: %s\n", categories[t].name, text);
}
