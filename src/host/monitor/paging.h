/* A guest's page tables, read without a trace (paging.c). */
#ifndef LUCCA_HOST_MONITOR_PAGING_H
#define LUCCA_HOST_MONITOR_PAGING_H

#include "host/vm/vm.h"

/* Who reads them. The host sees tables that are not private; a debugger that sees the others knows
 * where the C-bit is. */
struct paging_reader {
    bool (*read)(void *ctx, uint64_t gpa, void *to, size_t len);
    void *ctx;
    uint64_t cbit; /* mask, or 0 */
};

struct paging {
    unsigned levels, bits, entry; /* index bits of a level, bytes of an entry */
    uint64_t root;
    bool pse; /* two levels: 4 MiB pages are on */
};
/* False: paging is off. */
bool paging_of(const struct vcpu_regs *r, struct paging *p);
/* False: nothing is mapped there. `*gpa` keeps the C-bit of the last entry; no accessed bits are
 * set. */
bool paging_translate(const struct paging_reader *by, const struct vcpu_regs *r, uint64_t linear,
                      uint64_t *gpa);

#define PAGE_RIGHT_WRITE (UINT64_C(1) << 1)
#define PAGE_RIGHT_USER  (UINT64_C(1) << 2)
/* All that is mapped as the host reads it, in ascending order, neighbours of equal rights as one;
 * false: the tables are so many that the walk was given up. */
typedef void paging_seen_fn(void *ctx, uint64_t first, uint64_t last, uint64_t rights);
bool paging_each(struct vm *vm, const struct vcpu_regs *r, paging_seen_fn *seen, void *ctx);

#endif
