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

static void line(const char *prefix, const char *fmt, va_list args)
{
    fprintf(stderr, "%s: ", prefix);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    line("lucca: warning", fmt, args);
    va_end(args);
}

void trace(enum trace t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    line(categories[t].name, fmt, args);
    va_end(args);
}
