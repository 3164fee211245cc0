/* What a debugger asks of the hypervisor: single steps, registers, where things lie. */
#include <string.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

#define EFER_SVME BIT(12)
#define STEPS_MAX 8 /* exits that take a vCPU no further: page faults of the nested tables */

void vm_debug(struct vm *vm, const struct vm_debugger *d)
{
    vm->debugger = d;
}

void vm_step(struct vm *vm, struct vcpu *v)
{
    uint64_t before = cpu_retired(v->core);
    uint64_t rip = v->vmcb.save.rip;

    if (vm->state != VM_PAUSED || !vcpu_runnable(v))
        return;
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        vcpu_run(v, 1);
        if (cpu_retired(v->core) != before || v->vmcb.save.rip != rip)
            return;
    }
}

unsigned vcpu_index(const struct vcpu *v)
{
    return v->index;
}

unsigned vcpu_core(const struct vcpu *v)
{
    return v->core_number;
}

struct vm *vcpu_vm(const struct vcpu *v)
{
    return v->vm;
}

uint64_t vcpu_vmsa(const struct vcpu *v)
{
    return v->vmsa_spa;
}

uint32_t vm_asid(const struct vm *vm)
{
    return vm->asid;
}

bool vm_gpa_to_spa(const struct vm *vm, uint64_t gpa, uint64_t *spa)
{
    return ram_to_spa(vm, gpa, spa);
}

/* All of the image counts, also what was in its initial state when it was saved (XSTATE_BV). */
static void set_fpu(struct vcpu *v, const uint8_t image[CPU_XSAVE_BYTES])
{
    uint8_t all[CPU_XSAVE_BYTES];

    memcpy(all, image, sizeof(all));
    store64(all + 512, 7); /* x87, SSE, AVX */
    cpu_xrstor(v->core, all);
}

bool vcpu_set_regs(struct vcpu *v, const struct vcpu_regs *r)
{
    struct vmcb_save *s = &v->vmcb.save;

    if (vcpu_encrypted(v))
        return false;
    s->rip = r->rip;
    s->rflags = r->rflags;
    s->es = r->es;
    s->cs = r->cs;
    s->ss = r->ss;
    s->ds = r->ds;
    s->fs = r->fs;
    s->gs = r->gs;
    s->ldtr = r->ldtr;
    s->tr = r->tr;
    s->gdtr = r->gdtr;
    s->idtr = r->idtr;
    s->cr0 = r->cr0;
    s->cr2 = r->cr2;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer | EFER_SVME;
    s->dr6 = r->dr6;
    s->dr7 = r->dr7;
    s->star = r->star;
    s->lstar = r->lstar;
    s->cstar = r->cstar;
    s->sfmask = r->sfmask;
    s->kernel_gs_base = r->kernel_gs_base;
    s->sysenter_cs = r->sysenter_cs;
    s->sysenter_esp = r->sysenter_esp;
    s->sysenter_eip = r->sysenter_eip;
    for (unsigned i = 0; i < 16; i++)
        vcpu_set_gpr(v, i, r->gpr[i]);
    set_fpu(v, r->xsave);
    (void)!soc_write(v->vm->host->soc, v->vmcb_spa, &v->vmcb, sizeof(v->vmcb));
    cpu_vmload(v->core, v->vmcb_spa);
    v->flush = true;
    return true;
}
