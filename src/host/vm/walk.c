/* The guest's page tables, walked as its processor would, to help with string I/O and
 * memory-to-memory moves: accessed and dirty bits are set. Under SEV the tables are private, and a
 * host would read noise and damage them: callers refuse before they come here. */
#include "base/bytes.h"
#include "host/vm/internal.h"

#define CR0_PG   BIT(31)
#define CR0_WP   BIT(16)
#define CR4_PSE  BIT(4)
#define CR4_PAE  BIT(5)
#define EFER_LMA BIT(10)
#define P        BIT(0)
#define W        BIT(1)
#define U        BIT(2)
#define ACCESSED BIT(5)
#define DIRTY    BIT(6)
#define PS       BIT(7)
#define ADDRESS  UINT64_C(0x000FFFFFFFFFF000)

/* Shape of each paging mode: how many index bits at which shift, entry size, root mask. */
struct shape {
    unsigned levels, bits, entry;
};

static struct shape shape_of(const struct vmcb_save *s)
{
    if (s->efer & EFER_LMA)
        return (struct shape){4, 9, 8};
    if (s->cr4 & CR4_PAE)
        return (struct shape){3, 9, 8};
    return (struct shape){2, 10, 4};
}

static bool large_here(const struct shape *sh, const struct vmcb_save *s, unsigned level,
                       uint64_t entry)
{
    if (level == 0 || !(entry & PS))
        return false;
    if (sh->levels == 2)
        return level == 1 && s->cr4 & CR4_PSE;
    return level == 1 || (level == 2 && sh->levels == 4);
}

static bool fault_at(struct walk_fault *f, uint64_t linear, uint32_t error)
{
    *f = (struct walk_fault){true, error, linear};
    return false;
}

/* #PF error code bits: present, write, user (APM2 8.4.2). */
static uint32_t error_code(const struct vcpu *v, bool present, bool write)
{
    return present | write << 1 | (uint32_t)(v->vmcb.save.cpl == 3) << 2;
}

static bool allowed(const struct vcpu *v, uint64_t rights, bool write)
{
    bool user = v->vmcb.save.cpl == 3;

    if (user && !(rights & U))
        return false;
    return !write || rights & W || (!user && !(v->vmcb.save.cr0 & CR0_WP));
}

bool guest_walk(struct vcpu *v, uint64_t linear, bool write, uint64_t *gpa,
                struct walk_fault *fault)
{
    const struct vmcb_save *s = &v->vmcb.save;
    const struct shape sh = shape_of(s);
    uint64_t rights = U | W, table = s->cr3 & (sh.levels == 3 ? ~UINT64_C(31) : ADDRESS);

    *fault = (struct walk_fault){.linear = linear};
    if (!(s->cr0 & CR0_PG)) {
        *gpa = linear;
        return true;
    }
    if (sh.levels != 4)
        linear = (uint32_t)linear;
    for (unsigned level = sh.levels; level-- > 0;) {
        unsigned shift = 12 + level * sh.bits;
        uint64_t at = table + (linear >> shift & (BIT(sh.bits) - 1)) * sh.entry;
        uint64_t entry = 0, size = BIT(shift);

        if (!vm_read_phys(v->vm, at, &entry, sh.entry))
            return false;
        if (!(entry & P))
            return fault_at(fault, linear, error_code(v, false, write));
        if (sh.levels != 3 || level != 2)
            rights &= entry;
        if (level && !large_here(&sh, s, level, entry)) {
            table = entry & ADDRESS;
            continue;
        }
        if (!allowed(v, rights, write))
            return fault_at(fault, linear, error_code(v, true, write));
        entry |= ACCESSED | (write ? DIRTY : 0);
        if (!vm_write_phys(v->vm, at, &entry, sh.entry))
            return false;
        *gpa = (entry & ADDRESS & ~(size - 1)) | (linear & (size - 1));
        if (sh.levels == 2 && level == 1) /* PSE-36: bits 39:32 in 20:13 */
            *gpa = (*gpa & 0xFFFFFFFF) | (entry >> 13 & 0xFF) << 32;
        return true;
    }
    return false;
}
