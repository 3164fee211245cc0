/* A virtual processor: its VMCB, its state after power-on, INIT and a boot loader, and what is
 * injected into it before it runs. Each is pinned to a core of its own, so that what VMRUN does not
 * switch (APM2 15.5.1: FS, GS, TR, LDTR, system call MSRs, x87 and SSE, debug registers) stays. */
#include "base/bytes.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "host/vm/ghcb.h"

/* The parts of a VMCB that have a meaning: writing and reading them is half the cost of all. */
#define VMCB_BYTES (sizeof(struct vmcb_control) + offsetof(struct vmcb_save, reserved_298))

#define RFLAGS_FIXED BIT(1)
#define RFLAGS_TF    BIT(8)
#define RFLAGS_IF    BIT(9)
#define CR0_PE       BIT(0)
#define CR0_ET       BIT(4)
#define CR0_NW       BIT(29)
#define CR0_CD       BIT(30)
#define CR0_PG       BIT(31)
#define CR4_PAE      BIT(5)
#define EFER_LME     BIT(8)
#define EFER_LMA     BIT(10)
#define EFER_SVME    BIT(12)
#define DR6_RESET    0xFFFF0FF0u
#define DR6_BS       BIT(14)
#define DR7_RESET    0x400u
#define PAT_RESET    UINT64_C(0x0007040600070406)
#define SHADOW       BIT(0)
#define GUEST_IF     BIT(1)
#define EXC_VC       29

/* What ends a guest's run (APM2 15.9). WBINVD and RDTSC are the guest's own business. */
static const enum vmexit intercepts[] = {
    VMEXIT_INTR,    VMEXIT_NMI,    VMEXIT_SMI,     VMEXIT_INIT,   VMEXIT_RDPMC,  VMEXIT_CPUID,
    VMEXIT_RSM,     VMEXIT_INVD,   VMEXIT_PAUSE,   VMEXIT_HLT,    VMEXIT_IOIO,   VMEXIT_MSR,
    VMEXIT_INVLPGA, VMEXIT_VMRUN,  VMEXIT_VMMCALL, VMEXIT_VMLOAD, VMEXIT_VMSAVE, VMEXIT_STGI,
    VMEXIT_CLGI,    VMEXIT_SKINIT, VMEXIT_MONITOR, VMEXIT_MWAIT,  VMEXIT_RDPRU,  VMEXIT_SHUTDOWN,
};

/* Of a guest with encrypted state. Exceptions, CR accesses and RDTSC are not seen; of the debug
 * registers DR7, as without DebugSwap they are not switched (APM2 15.35.5, 15.35.8). */
static const enum vmexit intercepts_encrypted[] = {
    VMEXIT_INTR,    VMEXIT_NMI,    VMEXIT_SMI,     VMEXIT_INIT,   VMEXIT_RDPMC,
    VMEXIT_CPUID,   VMEXIT_RSM,    VMEXIT_INVD,    VMEXIT_PAUSE,  VMEXIT_HLT,
    VMEXIT_IOIO,    VMEXIT_MSR,    VMEXIT_INVLPGA, VMEXIT_VMRUN,  VMEXIT_VMMCALL,
    VMEXIT_VMLOAD,  VMEXIT_VMSAVE, VMEXIT_STGI,    VMEXIT_CLGI,   VMEXIT_SKINIT,
    VMEXIT_MONITOR, VMEXIT_MWAIT,  VMEXIT_RDPRU,   VMEXIT_WBINVD, VMEXIT_SHUTDOWN,
};
#define INTERCEPT_DR7 (BIT(7) | BIT(23)) /* reads, writes */
#define VIRT_EXT_LBR  BIT(0)             /* SEV-ES needs it (APM2 15.35.2) */

static void set_intercept(struct vmcb_control *c, enum vmexit what, bool on)
{
    uint32_t *vector = what < VMEXIT_VMRUN ? &c->intercept3 : &c->intercept4;

    if (on)
        *vector |= INTERCEPT_BIT(what);
    else
        *vector &= ~INTERCEPT_BIT(what);
}

static void init_encrypted_control(struct vmcb_control *c)
{
    for (size_t i = 0; i < COUNT(intercepts_encrypted); i++)
        set_intercept(c, intercepts_encrypted[i], true);
    c->intercept_dr = INTERCEPT_DR7;
    c->virt_ext = VIRT_EXT_LBR;
    c->nested_ctl |= NESTED_SEV_ES;
}

static void init_control(struct vcpu *v)
{
    struct vmcb_control *c = &v->vmcb.control;
    const struct vm *vm = v->vm;
    uint64_t tsc_offset = c->tsc_offset;

    *c = (struct vmcb_control){.tsc_offset = tsc_offset};
    if (vcpu_encrypted(v))
        init_encrypted_control(c);
    for (size_t i = 0; !vcpu_encrypted(v) && i < COUNT(intercepts); i++)
        set_intercept(c, intercepts[i], true);
    if (vm->cfg.vcpus > 1) {
        c->pause_count = 64; /* a lock that is held this long: let its owner run */
        c->pause_threshold = 0;
    } else {
        set_intercept(c, VMEXIT_PAUSE, false);
    }
    c->iopm_base_pa = vm->iopm;
    c->msrpm_base_pa = vm->msrpm;
    c->asid = vm->asid;
    c->vintr = V_INTR_MASKING;
    c->nested_ctl |= NESTED_NP | (vm->cfg.sev >= SEV_PLAIN ? NESTED_SEV : 0);
    c->ncr3 = vm->npt;
}

enum status vcpu_new(struct vcpu *v, struct error *err)
{
    struct host *h = v->vm->host;
    unsigned n = 0;

    while (n < h->cores && h->core_used[n])
        n++;
    if (n == h->cores)
        return fail(err, ERR_LIMIT, "the host has no core left");
    v->core_number = n;
    v->core = soc_core(h->soc, n);
    h->core_used[n] = true;
    h->cores_used++;
    v->vmcb_spa = host_alloc(h, 1, 1);
    if (!v->vmcb_spa)
        return fail(err, ERR_ARG, "the host's memory has no room for a VMCB");
    return OK;
}

void vcpu_free(struct vcpu *v)
{
    struct host *h = v->vm->host;

    host_release(h, v->vmcb_spa, 1);
    if (!v->core)
        return;
    h->core_used[v->core_number] = false;
    h->cores_used--;
}

/* ---- state at the start ---------------------------------------------------------------------- */

static void reset_fpu(struct vcpu *v)
{
    uint8_t image[CPU_XSAVE_BYTES] = {0};

    store16(image, 0x37F);       /* FCW */
    store32(image + 24, 0x1F80); /* MXCSR */
    store64(image + 512, 3);     /* XSTATE_BV: what follows is to be loaded */
    cpu_xsetbv(v->core, 1);
    cpu_xrstor(v->core, image);
}

/* A VMCB around a VMSA: all other state of the guest's is in there. */
void vcpu_start_vmsa(struct vcpu *v, uint64_t vmsa_spa)
{
    v->vmsa_spa = vmsa_spa;
    init_control(v);
    v->vmcb.control.ghcb_gpa = ghcb_sev_info(v->vm);
    v->ghcb = UINT64_MAX;
    v->held = AP_RUNS;
    v->halted = v->nmi_masked = v->nmi_returns = false;
    v->xcr0 = 1;
    v->dr7 = DR7_RESET;
    v->flush = true;
}

/* Each level has a VMSA and a GHCB of its own; interrupts go to the one that runs (APM2 15.36.8).
 */
bool vcpu_run_vmpl(struct vcpu *v, unsigned vmpl)
{
    struct vmcb_control *c = &v->vmcb.control;
    struct vcpu_level *to;

    if (vmpl >= VCPU_LEVELS || vmpl == v->vmpl || !v->level[vmpl].vmsa_spa)
        return false;
    v->level[v->vmpl] = (struct vcpu_level){.vmsa_spa = v->vmsa_spa,
                                            .ghcb_msr = c->ghcb_gpa,
                                            .ghcb = v->ghcb,
                                            .interrupt_state = c->interrupt_state};
    to = &v->level[vmpl];
    v->vmsa_spa = to->vmsa_spa;
    c->ghcb_gpa = to->ghcb_msr;
    v->ghcb = to->ghcb;
    c->interrupt_state = to->interrupt_state;
    v->vmpl = vmpl;
    v->flush = true;
    return true;
}

static void power_on_encrypted(struct vcpu *v)
{
    memset(&v->vmcb, 0, sizeof(v->vmcb));
    memset(v->level, 0, sizeof(v->level));
    v->vmpl = v->vm->cfg.vmpl;
    vcpu_start_vmsa(v, v->vmsa_spa);
    msr_reset(v);
    v->started = v->index == 0;
    v->waits_sipi = false;
    v->next_vmsa = 0;
}

/* APM2 14.1.3. */
void vcpu_init_state(struct vcpu *v, bool power_on)
{
    struct vmcb_save *s = &v->vmcb.save;
    const struct vmcb_seg data = {0, 0x093, 0xFFFF, 0}, table = {0, 0, 0xFFFF, 0};
    uint64_t cache = power_on ? CR0_CD | CR0_NW : s->cr0 & (CR0_CD | CR0_NW);
    uint32_t id[4];

    if (vcpu_encrypted(v)) {
        power_on_encrypted(v);
        return;
    }
    if (power_on) {
        memset(&v->vmcb, 0, sizeof(v->vmcb));
        reset_fpu(v);
    }
    init_control(v);
    s->es = s->ss = s->ds = s->fs = s->gs = data;
    s->cs = (struct vmcb_seg){0xF000, 0x09B, 0xFFFF, 0xFFFF0000};
    s->gdtr = s->idtr = table;
    s->ldtr = (struct vmcb_seg){0, 0x082, 0xFFFF, 0};
    s->tr = (struct vmcb_seg){0, 0x08B, 0xFFFF, 0};
    s->cpl = 0;
    s->efer = EFER_SVME;
    s->cr0 = CR0_ET | cache;
    s->cr2 = s->cr3 = s->cr4 = 0;
    s->dr6 = DR6_RESET;
    s->dr7 = DR7_RESET;
    s->rflags = RFLAGS_FIXED;
    s->rip = 0xFFF0;
    s->rax = s->rsp = 0;
    s->g_pat = PAT_RESET;
    for (unsigned i = 0; i < 16; i++)
        cpu_gprs(v->core)[i] = 0;
    for (unsigned i = 0; i < 4; i++)
        cpu_set_dr(v->core, i, 0);
    vcpu_cpuid(v, 1, 0, id);
    cpu_gprs(v->core)[RDX] = id[0];
    if (power_on)
        msr_reset(v);
    v->halted = v->waits_sipi = v->nmi_masked = v->nmi_returns = false;
    v->flush = true;
    (void)!soc_write(v->vm->host->soc, v->vmcb_spa, &v->vmcb, sizeof(v->vmcb));
    cpu_vmload(v->core, v->vmcb_spa);
}

/* Flat segments; the selectors are those of the loader's GDT. Encrypted state was laid out with the
 * launch. */
void vcpu_boot_state(struct vcpu *v, const struct boot_start *start)
{
    struct vmcb_save *s = &v->vmcb.save;
    const struct vmcb_seg data = {0x18, 0xC93, 0xFFFFFFFF, 0};

    if (vcpu_encrypted(v))
        return;
    s->cs = (struct vmcb_seg){0x10, start->long_mode ? 0xA9B : 0xC9B, 0xFFFFFFFF, 0};
    s->ds = s->es = s->ss = s->fs = s->gs = data;
    s->gdtr = (struct vmcb_seg){0, 0, 31, start->gdt};
    s->tr.limit = 0x67;
    s->cr0 = CR0_PE | CR0_ET;
    if (start->long_mode) {
        s->cr0 |= CR0_PG;
        s->cr3 = start->cr3;
        s->cr4 = CR4_PAE;
        s->efer |= EFER_LME | EFER_LMA;
    }
    s->rip = start->rip;
    s->rsp = start->rsp;
    s->rax = start->rax;
    cpu_gprs(v->core)[RBX] = start->rbx;
    cpu_gprs(v->core)[RSI] = start->rsi;
    cpu_gprs(v->core)[RDX] = 0;
    (void)!soc_write(v->vm->host->soc, v->vmcb_spa, &v->vmcb, sizeof(v->vmcb));
    cpu_vmload(v->core, v->vmcb_spa);
}

static void start_at_sipi(struct vcpu *v, unsigned vector)
{
    struct vmcb_save *s = &v->vmcb.save;

    s->cs.selector = (uint16_t)(vector << 8);
    s->cs.base = (uint64_t)vector << 12;
    s->rip = 0;
    v->waits_sipi = false;
    v->halted = false;
}

/* ---- registers ------------------------------------------------------------------------------- */

uint64_t vcpu_gpr(const struct vcpu *v, unsigned n)
{
    if (n == RAX)
        return v->vmcb.save.rax;
    if (n == RSP)
        return v->vmcb.save.rsp;
    return cpu_gprs(v->core)[n];
}

void vcpu_set_gpr(struct vcpu *v, unsigned n, uint64_t value)
{
    if (n == RAX)
        v->vmcb.save.rax = value;
    else if (n == RSP)
        v->vmcb.save.rsp = value;
    else
        cpu_gprs(v->core)[n] = value;
}

void vcpu_inject(struct vcpu *v, unsigned vector, bool has_error, uint32_t error)
{
    v->vmcb.control.eventinj = vector | EVENT_TYPE_EXCEPT | EVENT_VALID |
                               (has_error ? EVENT_ERROR_VALID | (uint64_t)error << 32 : 0);
}

void vcpu_skip(struct vcpu *v, uint64_t next_rip)
{
    struct vmcb_save *s = &v->vmcb.save;

    s->rip = next_rip;
    v->vmcb.control.interrupt_state &= ~SHADOW;
    if (s->rflags & RFLAGS_TF) {
        s->dr6 |= DR6_BS;
        vcpu_inject(v, EXC_DB, false, 0);
    }
}

/* VMSAVE's part of the save area. */
void vcpu_fetch_rest(struct vcpu *v)
{
    struct vmcb_save *s = &v->vmcb.save;
    struct vmcb_save in_dram;

    cpu_vmsave(v->core, v->vmcb_spa);
    if (!soc_read(v->vm->host->soc, v->vmcb_spa + sizeof(struct vmcb_control), &in_dram,
                  sizeof(in_dram)))
        return;
    s->fs = in_dram.fs;
    s->gs = in_dram.gs;
    s->tr = in_dram.tr;
    s->ldtr = in_dram.ldtr;
    s->star = in_dram.star;
    s->lstar = in_dram.lstar;
    s->cstar = in_dram.cstar;
    s->sfmask = in_dram.sfmask;
    s->kernel_gs_base = in_dram.kernel_gs_base;
    s->sysenter_cs = in_dram.sysenter_cs;
    s->sysenter_esp = in_dram.sysenter_esp;
    s->sysenter_eip = in_dram.sysenter_eip;
}

bool vcpu_get_regs(struct vcpu *v, struct vcpu_regs *out)
{
    const struct vmcb_save *s = &v->vmcb.save;
    uint64_t apic_base = 0;

    *out = (struct vcpu_regs){0};
    if (vcpu_encrypted(v))
        return false;
    vcpu_fetch_rest(v);
    if (!lapic_rdmsr(v->lapic, 0x1B, &apic_base))
        apic_base = 0;
    *out = (struct vcpu_regs){
        .rip = s->rip,
        .rflags = s->rflags,
        .es = s->es,
        .cs = s->cs,
        .ss = s->ss,
        .ds = s->ds,
        .fs = s->fs,
        .gs = s->gs,
        .ldtr = s->ldtr,
        .tr = s->tr,
        .gdtr = s->gdtr,
        .idtr = s->idtr,
        .cr0 = s->cr0,
        .cr2 = s->cr2,
        .cr3 = s->cr3,
        .cr4 = s->cr4,
        .cr8 = lapic_cr8(v->lapic),
        .efer = s->efer & ~EFER_SVME,
        .dr6 = s->dr6,
        .dr7 = s->dr7,
        .xcr0 = cpu_xgetbv(v->core),
        .star = s->star,
        .lstar = s->lstar,
        .cstar = s->cstar,
        .sfmask = s->sfmask,
        .kernel_gs_base = s->kernel_gs_base,
        .sysenter_cs = s->sysenter_cs,
        .sysenter_esp = s->sysenter_esp,
        .sysenter_eip = s->sysenter_eip,
        .pat = s->g_pat,
        .apic_base = apic_base,
        .cpl = s->cpl,
    };
    for (unsigned i = 0; i < 16; i++)
        out->gpr[i] = vcpu_gpr(v, i);
    for (unsigned i = 0; i < 4; i++)
        out->dr[i] = cpu_get_dr(v->core, i);
    cpu_xsave(v->core, out->xsave);
    return true;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* RFLAGS.IF: of encrypted state the core shows this bit alone (APM2 15.35.4). */
static bool interrupts_on(const struct vcpu *v)
{
    if (vcpu_encrypted(v))
        return v->vmcb.control.interrupt_state & GUEST_IF;
    return v->vmcb.save.rflags & RFLAGS_IF;
}

static bool interruptible(const struct vcpu *v)
{
    return interrupts_on(v) && !(v->vmcb.control.interrupt_state & SHADOW);
}

/* An event whose delivery an exit cut short goes on (APM2 15.7.2). Software interrupts, #BP, #OF
 * and #VC come back by themselves, as RIP is still at their instruction. */
static void reinject(struct vcpu *v)
{
    struct vmcb_control *c = &v->vmcb.control;
    uint64_t event = c->exitintinfo, type = event & EVENT_TYPE_MASK;
    unsigned vector = EVENT_VECTOR(event);

    if (!(event & EVENT_VALID) || c->eventinj & EVENT_VALID)
        return;
    if (type == EVENT_TYPE_SWINT ||
        (type == EVENT_TYPE_EXCEPT && (vector == 3 || vector == 4 || vector == EXC_VC)))
        return;
    c->eventinj = event;
}

/* An exit as soon as the guest can take an interrupt of class `priority` (APM2 15.21.4). */
static void open_window(struct vcpu *v, unsigned priority, bool ignore_tpr)
{
    struct vmcb_control *c = &v->vmcb.control;

    c->vintr |= V_IRQ | V_INTR_PRIO(priority) | (ignore_tpr ? V_IGN_TPR : 0);
    set_intercept(c, VMEXIT_VINTR, true);
}

static void inject_nmi(struct vcpu *v)
{
    struct vmcb_control *c = &v->vmcb.control;

    if (v->nmi_masked || (c->interrupt_state & SHADOW) || !lapic_nmi_take(v->lapic))
        return;
    c->eventinj = 2 | EVENT_TYPE_NMI | EVENT_VALID;
    v->nmi_masked = true;
    if (!vcpu_encrypted(v)) /* that tells by its GHCB when it is done */
        set_intercept(c, VMEXIT_IRET, true);
}

static void inject(struct vcpu *v)
{
    struct vmcb_control *c = &v->vmcb.control;
    uint32_t events = lapic_events(v->lapic);
    int highest;

    c->vintr &= ~(V_IRQ | V_INTR_PRIO(15) | V_IGN_TPR);
    set_intercept(c, VMEXIT_VINTR, false);
    if (!(c->eventinj & EVENT_VALID) && events & LAPIC_NMI)
        inject_nmi(v);
    if (events & (LAPIC_INTR | LAPIC_EXTINT)) {
        if (!(c->eventinj & EVENT_VALID) && interruptible(v)) {
            int vector = lapic_take(v->lapic);

            if (vector >= 0) {
                c->eventinj = (unsigned)vector | EVENT_TYPE_INTR | EVENT_VALID;
                if (tracing(TRACE_IRQ))
                    trace(TRACE_IRQ, "vCPU %u takes vector %#x", v->index, vector);
            }
        } else {
            open_window(v, 15, true);
        }
        return;
    }
    /* Kept back by the task priority alone: the guest may lower it without an exit. */
    highest = lapic_irr_max(v->lapic);
    if (highest >= 0 && (unsigned)highest >> 4 <= lapic_cr8(v->lapic))
        open_window(v, (unsigned)highest >> 4, false);
}

static void take_init_and_sipi(struct vcpu *v)
{
    uint32_t events = lapic_events(v->lapic);
    int vector;

    if (vcpu_encrypted(v)) {
        ap_take_init_and_sipi(v);
        return;
    }
    if (events & LAPIC_INIT && lapic_take_init(v->lapic)) {
        vcpu_init_state(v, false);
        v->waits_sipi = lapic_waits_sipi(v->lapic);
    }
    if (v->waits_sipi && lapic_events(v->lapic) & LAPIC_SIPI) {
        vector = lapic_sipi_vector(v->lapic);
        if (vector >= 0)
            start_at_sipi(v, (unsigned)vector);
    }
}

bool vcpu_runnable(struct vcpu *v)
{
    uint32_t events = lapic_events(v->lapic);

    if (events & (LAPIC_INIT | LAPIC_SIPI))
        take_init_and_sipi(v);
    if (v->waits_sipi || v->held != AP_RUNS)
        return false;
    if (!v->halted)
        return true;
    events = lapic_events(v->lapic);
    if ((events & (LAPIC_INTR | LAPIC_EXTINT) && interrupts_on(v)) ||
        (events & LAPIC_NMI && !v->nmi_masked))
        v->halted = false;
    return !v->halted;
}

bool vcpu_hopeless(const struct vcpu *v)
{
    return v->waits_sipi || v->held != AP_RUNS || (v->halted && !interrupts_on(v));
}

bool vcpu_halted(const struct vcpu *v)
{
    return v->halted || v->waits_sipi || v->held != AP_RUNS;
}

/* ---- run ------------------------------------------------------------------------------------- */

void vcpu_run(struct vcpu *v, uint64_t insns)
{
    struct vmcb_control *c = &v->vmcb.control;
    struct soc *soc = v->vm->host->soc;
    unsigned cr8 = lapic_cr8(v->lapic);

    inject(v);
    c->vintr = (c->vintr & ~UINT64_C(0xFF)) | cr8;
    c->vmsa_pa = v->vmsa_spa;
    c->tlb_control = v->flush ? 1 : 0;
    v->flush = false;
    if (!soc_write(soc, v->vmcb_spa, &v->vmcb, VMCB_BYTES)) {
        vm_crash(v->vm, "vCPU %u: its VMCB cannot be written", v->index);
        return;
    }
    cpu_timer(v->core, v->nmi_returns ? 1 : insns);
    cpu_vmrun(v->core, v->vmcb_spa);
    if (!soc_read(soc, v->vmcb_spa, &v->vmcb, VMCB_BYTES)) {
        vm_crash(v->vm, "vCPU %u: its VMCB cannot be read", v->index);
        return;
    }
    c->eventinj = 0;
    if (v->nmi_returns && v->vmcb.save.rip != v->nmi_iret) /* the IRET is done */
        v->nmi_returns = v->nmi_masked = false;
    if (V_TPR(c->vintr) != cr8)
        lapic_set_cr8(v->lapic, V_TPR(c->vintr) & 15);
    vcpu_exit(v);
    reinject(v);
}
