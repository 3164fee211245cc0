/* Inside the human monitor. */
#ifndef LUCCA_HOST_MONITOR_HMP_H
#define LUCCA_HOST_MONITOR_HMP_H

#include <stdio.h>

#include "host/monitor/internal.h"

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

/* ---- page tables, read with the host's view (paging.c) --------------------------------------- */

struct paging {
    unsigned levels, bits, entry; /* index bits of a level, bytes of an entry */
    uint64_t root;
    bool pse; /* two levels: 4 MiB pages are on */
};
/* False: paging is off. */
bool paging_of(const struct vcpu_regs *r, struct paging *p);
/* Reads alone: no accessed bits are set. */
bool paging_translate(struct vm *vm, const struct vcpu_regs *r, uint64_t linear, uint64_t *gpa);

#define PAGE_RIGHT_WRITE (UINT64_C(1) << 1)
#define PAGE_RIGHT_USER  (UINT64_C(1) << 2)
/* All that is mapped, in ascending order, neighbours of equal rights as one; false: the tables are
 * so many that the walk was given up. */
typedef void paging_seen_fn(void *ctx, uint64_t first, uint64_t last, uint64_t rights);
bool paging_each(struct vm *vm, const struct vcpu_regs *r, paging_seen_fn *seen, void *ctx);

#endif
