/* What the reverse map table says to a memory access (APM2 15.36.10): asked on each fill, after
 * everything else has been checked, and never on a TLB hit. */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/mmu.h"

static bool free_for_writes(const struct rmp *t, uint64_t spa, unsigned shift)
{
    return shift == FRAME_SHIFT ? !rmp_get(t, spa).assigned : rmp_free_2m(t, spa);
}

/* Covered, the guest's, at this address, mutable, and of the size that the nested tables map. */
static bool is_the_guests(const struct cpu *c, const struct rmp_entry *e, uint64_t gpa,
                          unsigned shift)
{
    return e->assigned && e->asid == c->vmcb.asid && e->gpa == PAGE_OF(gpa) && !e->immutable &&
           e->large == (shift != FRAME_SHIFT);
}

/* The save area that the core runs on is in use: immutable for as long (APM2 15.36.12). */
static bool is_in_use(const struct cpu *c, uint64_t spa)
{
    return c->vmsa_spa && PAGE_OF(c->vmsa_spa) == PAGE_OF(spa);
}

void rmp_judge(const struct cpu *c, struct rmp *t, uint64_t gpa, struct nested_page *np)
{
    struct rmp_entry e;

    np->private = VMPL_ALL;
    np->shared_write = true;
    if (LIKELY(!rmp_enforced(t)))
        return;
    rmp_hold(t, np->spa);
    np->shared_write = free_for_writes(t, np->spa, np->shift);
    if (!c->snp)
        return;
    e = rmp_get(t, np->spa);
    np->private = 0;
    if (is_the_guests(c, &e, gpa, np->shift) && e.validated)
        np->private = e.perms[c->vmpl];
    if (is_in_use(c, np->spa))
        np->private &= (uint8_t)~VMPL_WRITE;
}

uint8_t rmp_rights(const struct cpu *c, const struct nested_page *np, bool private, bool user)
{
    uint8_t rights = CAN(ACCESS_READ) | CAN(ACCESS_FETCH);

    if (!c->snp || !private)
        rights |= np->shared_write ? CAN(ACCESS_WRITE) : 0;
    if (!c->snp)
        return rights;
    if (!(np->private & (user ? VMPL_EXECUTE_USER : VMPL_EXECUTE_SYSTEM)))
        rights &= (uint8_t)~CAN(ACCESS_FETCH);
    if (!private)
        return rights;
    if (!(np->private & VMPL_READ))
        return rights & CAN(ACCESS_FETCH);
    return np->private & VMPL_WRITE ? rights | CAN(ACCESS_WRITE) : rights;
}

bool rmp_allows(const struct cpu *c, const struct nested_page *np, const struct reach *r)
{
    if (r->where == NPF_WALK)
        return c->snp ? np->private & VMPL_READ : np->shared_write;
    return rmp_rights(c, np, r->private, r->user) & CAN(r->acc);
}

void rmp_refuse(const struct cpu *c, const struct rmp *t, uint64_t gpa,
                const struct nested_page *np, const struct reach *r, struct walk_fault *f)
{
    struct rmp_entry e = rmp_get(t, np->spa);

    *f = (struct walk_fault){WALK_NPF, npf_info(c, r, NPF_PRESENT | NPF_RMP), gpa};
    if (!c->snp || !r->private || !is_the_guests(c, &e, gpa, np->shift))
        return;
    if (!e.validated)
        *f = (struct walk_fault){.kind = WALK_VC, .info = VMEXIT_PAGE_NOT_VALIDATED};
    else if (!is_in_use(c, np->spa) || ~e.perms[c->vmpl] & (VMPL_READ | VMPL_WRITE))
        f->info |= NPF_VMPL;
}

bool rmp_host_page(const struct rmp *t, uint64_t spa)
{
    return LIKELY(!rmp_enforced(t)) || !rmp_get(t, spa).assigned;
}
