/* A guest's memory as the host sees it, in an ELF core file. */
#ifndef LUCCA_HOST_MONITOR_DUMP_H
#define LUCCA_HOST_MONITOR_DUMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/vm/vm.h"

struct dump;

/* What of guest physical memory; all of it where `length` is 0. */
struct dump_range {
    uint64_t begin, length;
};

/* The guest must not run between dump_start and the last dump_step. The file appears under its name
 * when it is whole; what is at `path` and is not a regular file (a pipe, a device) is written to.
 */
enum status dump_start(struct vm *vm, const char *path, struct dump_range range, struct dump **out,
                       struct error *err) MUST_USE;
/* Some more of it: a few ms of work. */
enum status dump_step(struct dump *d, bool *done, struct error *err) MUST_USE;
/* Of one that is not done nothing stays. */
void dump_free(struct dump *d);

uint64_t dump_total(const struct dump *d);     /* bytes of memory to write */
uint64_t dump_completed(const struct dump *d); /* bytes of it written */

#endif
