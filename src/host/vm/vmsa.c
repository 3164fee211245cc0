/* The first register state of a guest with encrypted state: what VMRUN loads it from, as its launch
 * measures it. Fields that are not set here are zero. */
#include "base/bytes.h"

#include "host/vm/internal.h"
#include "silicon/vmsa.h"

#define CR0_PE    BIT(0)
#define CR0_ET    BIT(4)
#define CR0_PG    BIT(31)
#define CR4_PAE   BIT(5)
#define CR4_MCE   BIT(6)
#define EFER_LME  BIT(8)
#define EFER_LMA  BIT(10)
#define EFER_SVME BIT(12)

/* As after INIT (APM2 14.1.3), with caches on and machine checks enabled, as KVM has it. */
static void at_reset(const struct vm *vm, struct vmsa *a)
{
    const struct vmcb_seg data = {0, 0x093, 0xFFFF, 0}, table = {0, 0, 0xFFFF, 0};

    *a = (struct vmsa){.vmpl = (uint8_t)vm->cfg.vmpl,
                       .efer = EFER_SVME,
                       .cr4 = CR4_MCE,
                       .cr0 = CR0_ET,
                       .dr7 = 0x400,
                       .dr6 = 0xFFFF0FF0,
                       .rflags = BIT(1),
                       .rip = 0xFFF0,
                       .g_pat = UINT64_C(0x0007040600070406),
                       .rdx = vm->host->chip->signature,
                       .sev_features = vm->sev_features,
                       .xcr0 = 1,
                       .mxcsr = 0x1F80,
                       .x87_fcw = 0x37F};
    a->es = a->ss = a->ds = a->fs = a->gs = data;
    a->cs = (struct vmcb_seg){0xF000, 0x09B, 0xFFFF, 0xFFFF0000};
    a->gdtr = a->idtr = table;
    a->ldtr = (struct vmcb_seg){0, 0x082, 0xFFFF, 0};
    a->tr = (struct vmcb_seg){0, 0x08B, 0xFFFF, 0};
}

/* The same start as vcpu_boot_state() gives a guest whose registers the host may set. */
static void at_entry(const struct boot_start *start, struct vmsa *a)
{
    const struct vmcb_seg data = {0x18, 0xC93, 0xFFFFFFFF, 0};

    a->cs = (struct vmcb_seg){0x10, start->long_mode ? 0xA9B : 0xC9B, 0xFFFFFFFF, 0};
    a->ds = a->es = a->ss = a->fs = a->gs = data;
    a->gdtr = (struct vmcb_seg){0, 0, 31, start->gdt};
    a->tr.limit = 0x67;
    a->cr0 = CR0_PE | CR0_ET;
    if (start->long_mode) {
        a->cr0 |= CR0_PG;
        a->cr3 = start->cr3;
        a->cr4 |= CR4_PAE;
        a->efer |= EFER_LME | EFER_LMA;
    }
    a->rip = start->rip;
    a->rsp = start->rsp;
    a->rax = start->rax;
    a->rbx = start->rbx;
    a->rsi = start->rsi;
    a->rdx = 0;
}

void vmsa_first(const struct vm *vm, const struct boot_plan *plan, unsigned index, struct vmsa *out)
{
    at_reset(vm, out);
    if (index == 0) {
        at_entry(&plan->start, out);
    } else if (plan->ap_code) {
        out->cs.selector = (uint16_t)(plan->ap_code >> 4);
        out->cs.base = plan->ap_code;
        out->rip = 0;
    }
}

/* Never at a 2 MiB boundary: there Zen 3 and Zen 4 fault where they should not, and KVM too takes
 * care of that (revision guide, erratum 1467). */
static uint64_t frame(struct host *h)
{
    uint64_t first = host_alloc(h, 1, 1), second;

    if (first % LARGE_PAGE)
        return first;
    second = host_alloc(h, 1, 1);
    host_release(h, first, 1);
    return second;
}

/* A page of the host's for each processor that is launched. */
enum status vmsa_page(struct vcpu *v, const struct vmsa *image, struct error *err)
{
    struct host *h = v->vm->host;

    if (!v->launched_vmsa)
        v->launched_vmsa = frame(h);
    if (!v->launched_vmsa)
        return fail(err, ERR_ARG, "the host's memory has no room for the VMSA of vCPU %u",
                    v->index);
    if (!soc_write(h->soc, v->launched_vmsa, image, sizeof(*image)))
        return fail(err, ERR_STATE, "the VMSA of vCPU %u cannot be written", v->index);
    v->vmsa_spa = v->launched_vmsa;
    return OK;
}

void vmsa_release(struct vcpu *v)
{
    host_release(v->vm->host, v->launched_vmsa, 1);
    v->launched_vmsa = v->vmsa_spa = 0;
}
