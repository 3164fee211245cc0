#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status fail(struct error *err, enum status code, const char *fmt, ...)
{
    if (err) {
        va_list args;

        err->code = code;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, args);
        va_end(args);
    }
    return code;
}

enum status fail_at(struct error *err, const char *where)
{
    char old[sizeof(err->text)];

    memcpy(old, err->text, sizeof(old));
    snprintf(err->text, sizeof(err->text), "%.120s: %.380s", where, old);
    return err->code;
}
