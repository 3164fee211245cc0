/* A guest's page tables, read without a trace. The host's view is of no use where they are private.
 */
#include "host/monitor/paging.h"

#include "base/bytes.h"

#define CR0_PG   BIT(31)
#define CR4_PSE  BIT(4)
#define CR4_PAE  BIT(5)
#define CR4_LA57 BIT(12)
#define EFER_LMA BIT(10)
#define PRESENT  BIT(0)
#define LARGE    BIT(7)
#define ADDRESS  UINT64_C(0x000FFFFFFFFFF000)
#define RIGHTS   (PAGE_RIGHT_WRITE | PAGE_RIGHT_USER)

#define MAX_TABLES 8192u /* of one listing: tables that point at each other have no end */

bool paging_of(const struct vcpu_regs *r, struct paging *p)
{
    if (!(r->cr0 & CR0_PG))
        return false;
    if (r->efer & EFER_LMA)
        *p = (struct paging){r->cr4 & CR4_LA57 ? 5 : 4, 9, 8, r->cr3 & ADDRESS, true};
    else if (r->cr4 & CR4_PAE)
        *p = (struct paging){3, 9, 8, r->cr3 & 0xFFFFFFE0, true};
    else
        *p = (struct paging){2, 10, 4, r->cr3 & 0xFFFFF000, r->cr4 & CR4_PSE};
    return true;
}

static bool is_leaf(const struct paging *p, unsigned level, uint64_t entry)
{
    if (level == 0)
        return true;
    if (!(entry & LARGE) || !p->pse)
        return false;
    return level == 1 || (level == 2 && p->levels >= 4);
}

static uint64_t page_of(const struct paging *p, unsigned level, uint64_t entry)
{
    uint64_t size = BIT(12 + level * p->bits), gpa = entry & ADDRESS & ~(size - 1);

    if (p->levels == 2 && level == 1) /* PSE-36: bits 39:32 in 20:13 (APM2 5.2.3) */
        gpa = (gpa & 0xFFFFFFFF) | (entry >> 13 & 0xFF) << 32;
    return gpa;
}

static unsigned entries_at(const struct paging *p, unsigned level)
{
    return p->levels == 3 && level == 2 ? 4 : 1u << p->bits;
}

bool paging_translate(const struct paging_reader *by, const struct vcpu_regs *r, uint64_t linear,
                      uint64_t *gpa)
{
    struct paging p;
    uint64_t table;

    if (!paging_of(r, &p)) {
        *gpa = linear | by->cbit;
        return true;
    }
    if (p.levels < 4)
        linear = (uint32_t)linear;
    table = p.root & ~by->cbit;
    for (unsigned level = p.levels; level-- > 0;) {
        unsigned shift = 12 + level * p.bits;
        uint64_t entry = 0;

        if (!by->read(by->ctx, table + (linear >> shift & (entries_at(&p, level) - 1)) * p.entry,
                      &entry, p.entry) ||
            !(entry & PRESENT))
            return false;
        if (is_leaf(&p, level, entry)) {
            *gpa = page_of(&p, level, entry) | (linear & (BIT(shift) - 1));
            return true;
        }
        table = entry & ADDRESS & ~by->cbit;
    }
    return false;
}

/* ---- listing ----------------------------------------------------------------------------------
 */

struct listing {
    struct vm *vm;
    struct paging p;
    paging_seen_fn *seen;
    void *ctx;
    unsigned tables;
    bool any; /* a run is open */
    uint64_t first, last, rights;
};

static void close_run(struct listing *l)
{
    if (l->any)
        l->seen(l->ctx, l->first, l->last, l->rights);
    l->any = false;
}

static void add_page(struct listing *l, uint64_t linear, uint64_t size, uint64_t rights)
{
    if (l->any && (linear != l->last + 1 || rights != l->rights))
        close_run(l);
    if (!l->any)
        l->first = linear;
    l->any = true;
    l->last = linear + (size - 1);
    l->rights = rights;
}

/* Addresses are canonical: the top bit of the last level is repeated above it. */
static uint64_t canonical(const struct paging *p, uint64_t linear)
{
    unsigned width = 12 + p->levels * p->bits;

    if (p->levels < 4 || !(linear & BIT(width - 1)))
        return linear;
    return linear | ~(BIT(width) - 1);
}

static bool list_table(struct listing *l, uint64_t table, unsigned level, uint64_t linear,
                       uint64_t rights)
{
    const struct paging *p = &l->p;
    uint8_t bytes[4096];
    unsigned n = entries_at(p, level);

    if (++l->tables > MAX_TABLES)
        return false;
    if (!vm_read_phys(l->vm, table, bytes, n * p->entry))
        return true;
    for (unsigned i = 0; i < n; i++) {
        uint64_t entry = p->entry == 8 ? load64(bytes + 8 * i) : load32(bytes + 4 * i);
        uint64_t at = linear + ((uint64_t)i << (12 + level * p->bits));
        /* The page directory pointers of PAE have no rights (APM2 5.2.4). */
        uint64_t mine = p->levels == 3 && level == 2 ? rights : rights & entry;

        if (!(entry & PRESENT))
            continue;
        if (is_leaf(p, level, entry))
            add_page(l, canonical(p, at), BIT(12 + level * p->bits), mine);
        else if (!list_table(l, entry & ADDRESS, level - 1, at, mine))
            return false;
    }
    return true;
}

bool paging_each(struct vm *vm, const struct vcpu_regs *r, paging_seen_fn *seen, void *ctx)
{
    struct listing l = {.vm = vm, .seen = seen, .ctx = ctx};
    bool whole;

    if (!paging_of(r, &l.p))
        return true;
    whole = list_table(&l, l.p.root, l.p.levels - 1, 0, RIGHTS);
    close_run(&l);
    return whole;
}
