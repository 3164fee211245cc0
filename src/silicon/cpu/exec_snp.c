/* SEV-SNP's instructions on pages (APM3): PVALIDATE, RMPADJUST and RMPQUERY as a guest executes
 * them, RMPUPDATE, PSMASH and RMPREAD as the host does. */
#include "silicon/cpu/exec_sys.h"

#define LARGE_SHIFT 21

#define ADJUST_TARGET(rdx) ((rdx)&0xFF)
#define ADJUST_PERMS(rdx)  ((uint8_t)((rdx) >> 8))
#define ADJUST_VMSA        BIT(16)
#define ADJUST_BITS        (BIT(17) - 1)

/* A page that an instruction names, and its entry. */
struct named_page {
    uint64_t gpa;
    struct nested_page np;
    struct rmp_entry entry;
};

static void need_snp(struct cpu *c, const struct op *o)
{
    if (!c->snp)
        cpu_fault(c, o, EXC_UD, 0);
    need_cpl0(c, o);
}

static uint64_t linear_rax(const struct cpu *c)
{
    return long64(c) ? c->r[RAX] : (uint32_t)c->r[RAX];
}

static bool legal_size(uint64_t la, uint64_t size)
{
    return size <= 1 && !(la & (BIT(size ? LARGE_SHIFT : FRAME_SHIFT) - 1));
}

static _Noreturn void refuse_page(struct cpu *c, const struct op *o, const struct named_page *p,
                                  uint64_t why)
{
    const struct reach r = {.acc = ACCESS_READ, .where = NPF_FINAL, .private = true};

    cpu_exit(c, o, VMEXIT_NPF, npf_info(c, &r, NPF_PRESENT | NPF_RMP | why), p->gpa);
}

/* The page at `la`; it is the guest's, whatever the sizes. */
static void find_page(struct cpu *c, const struct op *o, uint64_t la, struct named_page *p)
{
    const struct rmp_entry *e = &p->entry;

    mmu_locate(c, o, la, &p->gpa, &p->np);
    p->entry = rmp_get(c->rmp, p->np.spa);
    if (!e->assigned || e->asid != c->vmcb.asid || e->gpa != PAGE_OF(p->gpa) || e->immutable)
        refuse_page(c, o, p, 0);
}

/* Sizes of what was asked, of the nested page and of the entry (APM2 15.36.11). */
static enum rmp_code match_size(struct cpu *c, const struct op *o, const struct named_page *p,
                                bool large)
{
    bool mapped_large = p->np.shift != FRAME_SHIFT;

    if (!large && (p->entry.large || mapped_large))
        refuse_page(c, o, p, NPF_SIZEM);
    if (large && p->gpa & (BIT(LARGE_SHIFT) - 1))
        return RMP_FAIL_INPUT;
    return large && !(p->entry.large && mapped_large) ? RMP_FAIL_SIZEMISMATCH : RMP_SUCCESS;
}

/* The save area that the core runs on cannot change under it. */
static bool is_running_vmsa(const struct cpu *c, const struct named_page *p)
{
    unsigned shift = p->entry.large ? LARGE_SHIFT : FRAME_SHIFT;

    return (c->vmsa_spa ^ p->np.spa) >> shift == 0;
}

static void need_validated(struct cpu *c, const struct op *o, uint64_t la,
                           const struct named_page *p)
{
    if (p->entry.validated)
        return;
    c->cr2 = la;
    cpu_vc(c, o, VMEXIT_PAGE_NOT_VALIDATED);
}

/* ---- PVALIDATE ---- */
/* `same`: the entry was like that already. */
static enum rmp_code validate(struct cpu *c, const struct op *o, bool *same)
{
    uint64_t la = linear_rax(c);
    uint32_t size = (uint32_t)c->r[RCX];
    bool on = c->r[RDX] & 1; /* Linux leaves whatever it has in the other bits */
    struct named_page p;
    enum rmp_code code;

    if (!legal_size(la, size))
        return RMP_FAIL_INPUT;
    find_page(c, o, la, &p);
    code = match_size(c, o, &p, size);
    if (code != RMP_SUCCESS)
        return code;
    *same = p.entry.validated == on;
    if (*same)
        return RMP_SUCCESS;
    if (is_running_vmsa(c, &p))
        return RMP_FAIL_INUSE;
    p.entry.validated = on;
    rmp_put(c->rmp, p.np.spa, &p.entry);
    return RMP_SUCCESS;
}

static void do_pvalidate(struct cpu *c, const struct op *o)
{
    bool same = false;
    enum rmp_code code;

    need_snp(c, o);
    if (c->vmpl)
        cpu_fault(c, o, EXC_GP, 0);
    code = validate(c, o, &same);
    c->r[RAX] = code;
    flags_write(c, (flags_read(c) & ~FLAG_C) | (same ? FLAG_C : 0));
    LEAVE_AFTER(c, o);
}
EXEC_ANY(pvalidate, do_pvalidate);

/* ---- RMPADJUST ---- */
static enum rmp_code adjust(struct cpu *c, const struct op *o)
{
    uint64_t la = linear_rax(c), size = c->r[RCX], rdx = c->r[RDX];
    unsigned target = ADJUST_TARGET(rdx);
    struct named_page p;
    enum rmp_code code;

    if (!legal_size(la, size) || rdx & ~ADJUST_BITS || ADJUST_PERMS(rdx) & ~VMPL_ALL ||
        target >= COUNT(p.entry.perms))
        return RMP_FAIL_INPUT;
    if (target <= c->vmpl)
        return RMP_FAIL_PERMISSION;
    find_page(c, o, la, &p);
    code = match_size(c, o, &p, size);
    if (code != RMP_SUCCESS)
        return code;
    need_validated(c, o, la, &p);
    if (ADJUST_PERMS(rdx) & ~p.entry.perms[c->vmpl])
        return RMP_FAIL_PERMISSION;
    if (is_running_vmsa(c, &p))
        return RMP_FAIL_INUSE;
    p.entry.perms[target] = ADJUST_PERMS(rdx);
    if (c->vmpl == 0)
        p.entry.vmsa = rdx & ADJUST_VMSA;
    rmp_put(c->rmp, p.np.spa, &p.entry);
    return RMP_SUCCESS;
}

static void do_rmpadjust(struct cpu *c, const struct op *o)
{
    need_snp(c, o);
    c->r[RAX] = adjust(c, o);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(rmpadjust, do_rmpadjust);

/* ---- RMPQUERY ---- */
static enum rmp_code query(struct cpu *c, const struct op *o)
{
    uint64_t la = linear_rax(c), target = c->r[RDX];
    struct named_page p;

    if (la & FRAME_MASK || target >= COUNT(p.entry.perms))
        return RMP_FAIL_INPUT;
    if (target < c->vmpl)
        return RMP_FAIL_PERMISSION;
    find_page(c, o, la, &p);
    if (p.entry.large != (p.np.shift != FRAME_SHIFT))
        refuse_page(c, o, &p, 0);
    need_validated(c, o, la, &p);
    c->r[RCX] = p.entry.large;
    c->r[RDX] = target | (uint64_t)p.entry.perms[target] << 8 | (p.entry.vmsa ? ADJUST_VMSA : 0);
    return RMP_SUCCESS;
}

static void do_rmpquery(struct cpu *c, const struct op *o)
{
    need_snp(c, o);
    c->r[RAX] = query(c, o);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(rmpquery, do_rmpquery);

/* ---- the host's (soc.h) ---- */
unsigned cpu_rmpupdate(struct cpu *c, uint64_t spa, const struct rmp_update *state)
{
    if (!rmp_enabled(c->rmp))
        return CPU_RMP_UD;
    if (state->assigned > 1 || state->page_size > 1 || state->immutable > 1 || state->reserved)
        return RMP_FAIL_INPUT;
    return rmp_update(c->rmp, spa, state->gpa, state->assigned, state->page_size, state->immutable,
                      state->asid);
}

unsigned cpu_psmash(struct cpu *c, uint64_t spa)
{
    return rmp_enabled(c->rmp) ? rmp_psmash(c->rmp, spa) : CPU_RMP_UD;
}

/* No chip of today reports RMPREAD (CPUID 8000001F EAX[21]). */
unsigned cpu_rmpread(struct cpu *c, uint64_t spa, struct rmp_update *state)
{
    (void)c;
    (void)spa;
    (void)state;
    return CPU_RMP_UD;
}
