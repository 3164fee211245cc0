/* The human monitor. */
#include <stdio.h>

#include "host/monitor/internal.h"

bool hmp_run(struct monitor *m, const char *line, char **out)
{
    if (asprintf(out, "unknown command: '%.80s'\r\n", line) < 0)
        *out = NULL;
    return false;
}
