/* What the host does about each #VMEXIT: one row of a table for each code. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

void vm_crash(struct vm *vm, const char *fmt, ...)
{
    char why[sizeof(vm->fate.why)];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    board_end(vm->board, FATE_CRASH, 0, why);
}

static void exit_nothing(struct vcpu *v)
{
}

static void exit_cpuid(struct vcpu *v)
{
    uint32_t out[4];

    vcpu_cpuid(v, (uint32_t)vcpu_gpr(v, RAX), (uint32_t)vcpu_gpr(v, RCX), out);
    vcpu_set_gpr(v, RAX, out[0]);
    vcpu_set_gpr(v, RBX, out[1]);
    vcpu_set_gpr(v, RCX, out[2]);
    vcpu_set_gpr(v, RDX, out[3]);
    vcpu_skip(v, v->vmcb.control.nrip);
}

static void exit_hlt(struct vcpu *v)
{
    vcpu_skip(v, v->vmcb.control.nrip);
    v->halted = true;
    v->yield = true;
}

static void exit_pause(struct vcpu *v)
{
    vcpu_skip(v, v->vmcb.control.nrip);
    v->yield = true;
}

/* The NMI handler is about to return: the next NMI may come once it has. */
static void exit_iret(struct vcpu *v)
{
    v->nmi_returns = true;
    v->nmi_iret = v->vmcb.save.rip;
    v->vmcb.control.intercept3 &= ~INTERCEPT_BIT(VMEXIT_IRET);
}

static void exit_invd(struct vcpu *v)
{
    vcpu_skip(v, v->vmcb.control.nrip);
}

static void exit_ud(struct vcpu *v)
{
    vcpu_inject(v, EXC_UD, false, 0);
}

static void exit_gp(struct vcpu *v)
{
    vcpu_inject(v, EXC_GP, true, 0);
}

static void exit_shutdown(struct vcpu *v)
{
    const struct vmcb_save *s = &v->vmcb.save;

    vm_crash(v->vm,
             "triple fault on vCPU %u at RIP %04x:%" PRIx64 " (RSP %" PRIx64 ", CR0 %" PRIx64
             ", CR2 %" PRIx64 ", CR3 %" PRIx64 ", CR4 %" PRIx64 ", EFER %" PRIx64 ")",
             v->index, s->cs.selector, s->rip, s->rsp, s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
}

static void exit_invalid(struct vcpu *v)
{
    const struct vmcb_control *c = &v->vmcb.control;
    const struct vmcb_save *s = &v->vmcb.save;

    vm_crash(v->vm,
             "VMRUN refuses the state of vCPU %u (VMEXIT_INVALID): ASID %u, NESTED_CTL %" PRIx64
             ", CR0 %" PRIx64 ", CR3 %" PRIx64 ", CR4 %" PRIx64 ", EFER %" PRIx64
             ", CS attributes %03x, RIP %" PRIx64 ", EVENTINJ %" PRIx64,
             v->index, c->asid, c->nested_ctl, s->cr0, s->cr3, s->cr4, s->efer, s->cs.attrib,
             s->rip, c->eventinj);
}

struct row {
    uint64_t code;
    const char *name;
    void (*handle)(struct vcpu *v);
};

static const struct row exits[] = {
    {VMEXIT_INTR, "INTR", exit_nothing},   {VMEXIT_NMI, "NMI", exit_nothing},
    {VMEXIT_SMI, "SMI", exit_nothing},     {VMEXIT_INIT, "INIT", exit_nothing},
    {VMEXIT_VINTR, "VINTR", exit_nothing}, {VMEXIT_RDPMC, "RDPMC", exit_gp},
    {VMEXIT_CPUID, "CPUID", exit_cpuid},   {VMEXIT_RSM, "RSM", exit_ud},
    {VMEXIT_IRET, "IRET", exit_iret},      {VMEXIT_INVD, "INVD", exit_invd},
    {VMEXIT_PAUSE, "PAUSE", exit_pause},   {VMEXIT_HLT, "HLT", exit_hlt},
    {VMEXIT_INVLPGA, "INVLPGA", exit_ud},  {VMEXIT_IOIO, "IOIO", exit_ioio},
    {VMEXIT_MSR, "MSR", exit_msr},         {VMEXIT_SHUTDOWN, "SHUTDOWN", exit_shutdown},
    {VMEXIT_VMRUN, "VMRUN", exit_ud},      {VMEXIT_VMMCALL, "VMMCALL", exit_ud},
    {VMEXIT_VMLOAD, "VMLOAD", exit_ud},    {VMEXIT_VMSAVE, "VMSAVE", exit_ud},
    {VMEXIT_STGI, "STGI", exit_ud},        {VMEXIT_CLGI, "CLGI", exit_ud},
    {VMEXIT_SKINIT, "SKINIT", exit_ud},    {VMEXIT_MONITOR, "MONITOR", exit_ud},
    {VMEXIT_MWAIT, "MWAIT", exit_ud},      {VMEXIT_RDPRU, "RDPRU", exit_ud},
    {VMEXIT_NPF, "NPF", exit_npf},         {VMEXIT_INVALID, "INVALID", exit_invalid},
};

/* ---- guests with encrypted state: the automatic exits (APM2 15.35.3) --------------------------
 */

/* The core is past the instruction already. */
static void exit_hlt_encrypted(struct vcpu *v)
{
    v->halted = true;
    v->yield = true;
}

static void exit_pause_encrypted(struct vcpu *v)
{
    v->yield = true;
}

static void exit_shutdown_encrypted(struct vcpu *v)
{
    vm_crash(v->vm, "triple fault on vCPU %u, whose registers are encrypted", v->index);
}

static void exit_invalid_encrypted(struct vcpu *v)
{
    const struct vmcb_control *c = &v->vmcb.control;

    vm_crash(v->vm,
             "VMRUN refuses vCPU %u (%s): ASID %u, NESTED_CTL %" PRIx64 ", VMSA at %" PRIx64
             ", EVENTINJ %" PRIx64,
             v->index, c->exitcode == VMEXIT_BUSY ? "VMEXIT_BUSY" : "VMEXIT_INVALID", c->asid,
             c->nested_ctl, c->vmsa_pa, c->eventinj);
}

static const struct row exits_encrypted[] = {
    {VMEXIT_INTR, "INTR", exit_nothing},
    {VMEXIT_NMI, "NMI", exit_nothing},
    {VMEXIT_SMI, "SMI", exit_nothing},
    {VMEXIT_INIT, "INIT", exit_nothing},
    {VMEXIT_VINTR, "VINTR", exit_nothing},
    {VMEXIT_PAUSE, "PAUSE", exit_pause_encrypted},
    {VMEXIT_HLT, "HLT", exit_hlt_encrypted},
    {VMEXIT_SHUTDOWN, "SHUTDOWN", exit_shutdown_encrypted},
    {VMEXIT_NPF, "NPF", exit_npf},
    {VMEXIT_VMGEXIT, "VMGEXIT", exit_vmgexit},
    {VMEXIT_INVALID, "INVALID", exit_invalid_encrypted},
    {VMEXIT_BUSY, "BUSY", exit_invalid_encrypted},
};

/* ---- all ------------------------------------------------------------------------------------- */

static void trace_exit(const struct vcpu *v, const char *name)
{
    const struct vmcb_control *c = &v->vmcb.control;
    const struct vmcb_save *s = &v->vmcb.save;

    if (vcpu_encrypted(v))
        trace(TRACE_EXIT, "vCPU %u %-7s info %" PRIx64 " %" PRIx64, v->index, name, c->exitinfo1,
              c->exitinfo2);
    else
        trace(TRACE_EXIT,
              "vCPU %u %-7s info %" PRIx64 " %" PRIx64 " at %04x:%" PRIx64 " rax %" PRIx64
              " rcx %" PRIx64,
              v->index, name, c->exitinfo1, c->exitinfo2, s->cs.selector, s->rip, s->rax,
              vcpu_gpr(v, RCX));
}

static const struct row *find_row(const struct vcpu *v, uint64_t code)
{
    bool encrypted = vcpu_encrypted(v);
    const struct row *rows = encrypted ? exits_encrypted : exits;
    size_t count = encrypted ? COUNT(exits_encrypted) : COUNT(exits);

    for (size_t i = 0; i < count; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

void vcpu_exit(struct vcpu *v)
{
    uint64_t code = v->vmcb.control.exitcode;
    const struct row *r = find_row(v, code);

    if (!r) {
        vm_crash(v->vm, "vCPU %u: #VMEXIT %#" PRIx64 " at RIP %" PRIx64 ", which nobody asked for",
                 v->index, code, v->vmcb.save.rip);
        return;
    }
    if (tracing(TRACE_EXIT))
        trace_exit(v, r->name);
    r->handle(v);
}
