/* Inside the human monitor. */
#ifndef LUCCA_HOST_MONITOR_HMP_H
#define LUCCA_HOST_MONITOR_HMP_H

#include <stdio.h>

#include "host/monitor/internal.h"
#include "host/monitor/paging.h"

/* One line. `rest`: what follows the command's name. Output goes to `out` with \n for line ends. */
struct hmp_call {
    struct monitor *m;
    char *rest;
    FILE *out;
    struct error err;
};

struct hmp_command {
    const char *name, *alias; /* alias: "" for none */
    const char *args, *help;
    enum status (*run)(struct hmp_call *c);
};
extern const struct hmp_command hmp_info_commands[];
extern const size_t hmp_info_count;

/* The next word of `rest`, cut out; NULL: there is none. */
char *hmp_word(struct hmp_call *c);
/* "Try help": words that the command has no use for. */
enum status hmp_no_more(struct hmp_call *c) MUST_USE;

/* hmp_memory.c */
enum status hmp_x(struct hmp_call *c);
enum status hmp_xp(struct hmp_call *c);

#endif
