/* The guest as its author sees it, and as its hypervisor does. */
#include <string.h>

#include "base/bytes.h"
#include "debug/internal.h"
#include "host/monitor/paging.h"

#define PAGE      4096u
#define PAGE_MASK UINT64_C(0x000FFFFFFFFFF000)
#define CR4_PAE   BIT(5)
#define EFER_SVME BIT(12)

static struct soc *soc_of(struct vm *vm)
{
    return host_soc(vm_host(vm));
}

static bool has_key(const struct vm *vm)
{
    return vm_config(vm)->sev >= SEV_PLAIN;
}

static uint64_t cbit_of(struct vm *vm)
{
    return has_key(vm) ? BIT(soc_chip(soc_of(vm))->cbit) : 0;
}

/* ---- registers of an encrypted save area ------------------------------------------------------
 */

/* Fields of the same name in both. */
/* clang-format off */
#define SAME(X)                                                                                    \
    X(es) X(cs) X(ss) X(ds) X(fs) X(gs) X(gdtr) X(ldtr) X(idtr) X(tr) X(cpl) X(cr4) X(cr3) X(cr0)  \
    X(dr7) X(dr6) X(rflags) X(rip) X(star) X(lstar) X(cstar) X(sfmask) X(kernel_gs_base)           \
    X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(cr2) X(xcr0)
/* clang-format on */

static uint64_t *gpr_of(struct vmsa *a, unsigned n)
{
    uint64_t *const low[8] = {&a->rax, &a->rcx, &a->rdx, &a->rbx,
                              &a->rsp, &a->rbp, &a->rsi, &a->rdi};

    return n < 8 ? low[n] : &a->r8_r15[n - 8];
}

/* Tags are a bit for each register in both. */
static void fpu_from_vmsa(const struct vmsa *a, uint8_t *x)
{
    store16(x, a->x87_fcw);
    store16(x + 2, a->x87_fsw);
    x[4] = (uint8_t)a->x87_ftw;
    store16(x + 6, a->x87_fop);
    store64(x + 8, a->x87_rip);
    store64(x + 16, a->x87_dp);
    store32(x + 24, a->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(x + 32 + 16 * i, a->x87_regs + 8 * i, 8);
        memcpy(x + 40 + 16 * i, a->x87_regs + 64 + 2 * i, 2);
    }
    memcpy(x + 160, a->xmm, sizeof(a->xmm));
    memcpy(x + 576, a->ymm_high, sizeof(a->ymm_high));
    store64(x + 512, 7);
}

static void fpu_to_vmsa(const uint8_t *x, struct vmsa *a)
{
    a->x87_fcw = load16(x);
    a->x87_fsw = load16(x + 2);
    a->x87_ftw = x[4];
    a->mxcsr = load32(x + 24);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(a->x87_regs + 8 * i, x + 32 + 16 * i, 8);
        memcpy(a->x87_regs + 64 + 2 * i, x + 40 + 16 * i, 2);
    }
    memcpy(a->xmm, x + 160, sizeof(a->xmm));
    memcpy(a->ymm_high, x + 576, sizeof(a->ymm_high));
}

static bool read_vmsa(struct vcpu *v, struct vmsa *a)
{
    struct vm *vm = vcpu_vm(v);

    return probe_read_vmsa(soc_of(vm), vm_asid(vm), vcpu_vmsa(v), a);
}

bool view_get_regs(enum view view, struct vcpu *v, struct vcpu_regs *out)
{
    struct vmsa a;

    if (vcpu_get_regs(v, out))
        return true;
    if (view == VIEW_HOST || !read_vmsa(v, &a))
        return false;
#define X(field) out->field = a.field;
    SAME(X)
#undef X
    out->efer = a.efer & ~EFER_SVME;
    out->pat = a.g_pat;
    for (unsigned i = 0; i < 16; i++)
        out->gpr[i] = *gpr_of(&a, i);
    fpu_from_vmsa(&a, out->xsave);
    return true;
}

bool view_set_regs(enum view view, struct vcpu *v, const struct vcpu_regs *regs)
{
    struct vm *vm = vcpu_vm(v);
    struct vmsa a;

    if (vcpu_set_regs(v, regs))
        return true;
    if (view == VIEW_HOST || !read_vmsa(v, &a))
        return false;
#define X(field) a.field = regs->field;
    SAME(X)
#undef X
    a.efer = regs->efer | EFER_SVME;
    for (unsigned i = 0; i < 16; i++)
        *gpr_of(&a, i) = regs->gpr[i];
    fpu_to_vmsa(regs->xsave, &a);
    return probe_write_vmsa(soc_of(vm), vm_asid(vm), vcpu_vmsa(v), &a);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

struct reach {
    struct vm *vm;
    bool private; /* by the debug port, under the guest's key */
};

/* In one page. */
static bool transfer(const struct reach *at, uint64_t gpa, void *to, const void *from, size_t n)
{
    struct soc *s = soc_of(at->vm);
    uint32_t asid = at->private ? vm_asid(at->vm) : 0;
    uint64_t spa;

    if (!vm_gpa_to_spa(at->vm, gpa, &spa))
        return false;
    return from ? probe_write(s, asid, spa, from, n) : probe_read(s, asid, spa, to, n);
}

static bool read_table(void *ctx, uint64_t gpa, void *to, size_t len)
{
    return transfer(ctx, gpa, to, NULL, len);
}

static bool host_table(void *ctx, uint64_t gpa, void *to, size_t len)
{
    return vm_read_phys(ctx, gpa, to, len);
}

/* The guest-physical address, and whether an access there is private. */
static bool locate(enum view view, struct vcpu *v, const struct vcpu_regs *r, uint64_t la,
                   uint64_t *gpa, bool *private)
{
    struct vm *vm = vcpu_vm(v);
    struct reach tables = {vm, has_key(vm)};
    uint64_t cbit = view == VIEW_GUEST ? cbit_of(vm) : 0;
    const struct paging_reader as_guest = {read_table, &tables, cbit},
                               as_host = {host_table, vm, 0};

    if (!paging_translate(view == VIEW_GUEST ? &as_guest : &as_host, r, la, gpa))
        return false;
    /* Tables without C-bits map private memory alone (APM2 15.34.5). */
    *private = *gpa & cbit || (cbit && !(r->cr4 & CR4_PAE));
    *gpa &= ~cbit;
    return true;
}

static size_t access(enum view view, struct vcpu *v, uint64_t la, uint8_t *to, const uint8_t *from,
                     size_t n)
{
    struct vm *vm = vcpu_vm(v);
    struct vcpu_regs r;
    size_t done = 0;

    if (!view_get_regs(view, v, &r))
        return 0;
    while (done < n) {
        size_t piece = MIN(n - done, PAGE - ((la + done) & (PAGE - 1)));
        struct reach at = {.vm = vm};
        uint64_t gpa;
        bool good;

        if (!locate(view, v, &r, la + done, &gpa, &at.private))
            break;
        if (view == VIEW_GUEST)
            good = transfer(&at, gpa, to ? to + done : NULL, from ? from + done : NULL, piece);
        else if (from)
            good = vm_write_phys(vm, gpa, from + done, piece);
        else
            good = vm_read_phys(vm, gpa, to + done, piece);
        if (!good)
            break;
        done += piece;
    }
    return done;
}

size_t view_read(enum view view, struct vcpu *v, uint64_t la, void *to, size_t n)
{
    return access(view, v, la, to, NULL, n);
}

size_t view_write(enum view view, struct vcpu *v, uint64_t la, const void *from, size_t n)
{
    return access(view, v, la, NULL, from, n);
}
