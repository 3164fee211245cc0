/* System instructions: identification, time, randomness, translations, idling, SVM. */
#include "silicon/cpu/exec_sys.h"

#include "silicon/vmsa.h"

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)

_Noreturn void refuse_op(struct cpu *c, const struct op *o, const char *what)
{
    warn("core %u at %#llx: %s: not implemented, the guest is shut down", c->id,
         (unsigned long long)op_rip(c, o), what);
    cpu_exit(c, o, VMEXIT_SHUTDOWN, 0, 0);
}

/* ---- identification ---- */
static void do_cpuid(struct cpu *c, const struct op *o)
{
    uint32_t out[4];

    if (c->es) /* always (APM2 15.36.12) */
        cpu_vc(c, o, VMEXIT_CPUID);
    cpu_intercept(c, o);
    cpu_cpuid(c, (uint32_t)c->r[RAX], (uint32_t)c->r[RCX], out);
    c->r[RAX] = out[0];
    c->r[RBX] = out[1];
    c->r[RCX] = out[2];
    c->r[RDX] = out[3];
}
EXEC_BODY(cpuid, do_cpuid);

static void do_rdpid(struct cpu *c, const struct op *o)
{
    c->r[o->d] = (uint32_t)c->tsc_aux;
    NEXT(c, o);
}
EXEC_ANY(rdpid, do_rdpid);

/* ---- time ---- */
static void need_tsc(struct cpu *c, const struct op *o)
{
    if (c->cr4 & CR4_TSD)
        need_cpl0(c, o);
    if (!(c->sev_features & SEV_FEATURE_SECURE_TSC))
        cpu_intercept(c, o);
}

static void put_edx_eax(struct cpu *c, uint64_t v)
{
    c->r[RAX] = (uint32_t)v;
    c->r[RDX] = v >> 32;
}

static void do_rdtsc(struct cpu *c, const struct op *o)
{
    need_tsc(c, o);
    put_edx_eax(c, cpu_tsc(c, o));
    NEXT(c, o);
}
EXEC_ANY(rdtsc, do_rdtsc);

static void do_rdtscp(struct cpu *c, const struct op *o)
{
    need_tsc(c, o);
    put_edx_eax(c, cpu_tsc(c, o));
    c->r[RCX] = (uint32_t)c->tsc_aux;
    NEXT(c, o);
}
EXEC_ANY(rdtscp, do_rdtscp);

/* Four counters that nothing can start: their event select registers do not exist. */
static void do_rdpmc(struct cpu *c, const struct op *o)
{
    if (!(c->cr4 & CR4_PCE))
        need_cpl0(c, o);
    cpu_intercept(c, o);
    if ((uint32_t)c->r[RCX] > 3)
        cpu_fault(c, o, EXC_GP, 0);
    put_edx_eax(c, 0);
    NEXT(c, o);
}
EXEC_ANY(rdpmc, do_rdpmc);

/* ---- randomness: always ready ---- */
static void do_random(struct cpu *c, const struct op *o)
{
    reg_set(c, o->d, o->size, soc_random(c->soc));
    flags_write(c, FLAG_C);
    NEXT(c, o);
}
EXEC_ANY(random, do_random);

/* ---- MSRs ---- */
#define MSR_EFER 0xC0000080u

/* Two bits a register, read and write, in three ranges; what is in none always exits (APM2
 * 15.11). */
static bool msr_is_intercepted(struct cpu *c, uint32_t msr, bool write)
{
    static const uint32_t starts[] = {0, 0xC0000000, 0xC0010000};
    uint8_t byte;

    if (msr_is_the_guests(c, msr))
        return false;
    if (c->sev_features & SEV_FEATURE_ALTERNATE_INJECTION && msr >> 8 == 8) /* x2APIC */
        return true;
    if (!c->guest || !(c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_MSR)))
        return false;
    for (unsigned i = 0; i < COUNT(starts); i++) {
        uint32_t n = msr - starts[i];
        uint64_t at = (c->vmcb.msrpm_base_pa & ~UINT64_C(0xFFF)) + i * 0x800 + n / 4;

        if (n < 0x2000)
            return !dram_read(c->dram, at, DRAM_PLAIN, &byte, 1) || byte >> (n % 4 * 2 + write) & 1;
    }
    return true;
}

static void intercept_msr(struct cpu *c, const struct op *o, uint32_t msr, bool write)
{
    if (msr_is_intercepted(c, msr, write))
        cpu_exit(c, o, VMEXIT_MSR, write, 0);
}

static void do_rdmsr(struct cpu *c, const struct op *o)
{
    uint32_t msr = (uint32_t)c->r[RCX];
    uint64_t v = 0;

    need_cpl0(c, o);
    intercept_msr(c, o, msr, false);
    if (!msr_read(c, o, msr, &v))
        cpu_fault(c, o, EXC_GP, 0);
    put_edx_eax(c, v);
}
EXEC_BODY(rdmsr, do_rdmsr);

static void do_wrmsr(struct cpu *c, const struct op *o)
{
    uint32_t msr = (uint32_t)c->r[RCX];
    uint64_t v = (uint32_t)c->r[RAX] | c->r[RDX] << 32;

    need_cpl0(c, o);
    intercept_msr(c, o, msr, true);
    if (!msr_write(c, o, msr, v))
        cpu_fault(c, o, EXC_GP, 0);
    if (msr == MSR_EFER && c->es && c->vmcb.intercept4 & INTERCEPT_BIT(VMEXIT_EFER_TRAP))
        cpu_exit_after(c, o, op_next_rip(c, o), VMEXIT_EFER_TRAP, c->efer);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(wrmsr, do_wrmsr);

/* ---- extended control register ---- */
static void do_xgetbv(struct cpu *c, const struct op *o)
{
    uint32_t n = (uint32_t)c->r[RCX];

    if (!(c->cr4 & CR4_OSXSAVE))
        cpu_fault(c, o, EXC_UD, 0);
    if (n > 1 || (n == 1 && !has(c, FEAT_XGETBV1)))
        cpu_fault(c, o, EXC_GP, 0);
    put_edx_eax(c, c->xcr0); /* 1: XCR0 and XINUSE, where every component counts as in use */
    NEXT(c, o);
}
EXEC_ANY(xgetbv, do_xgetbv);

/* x87 is always there; AVX stands on SSE (APM2 11.5.2). */
static void do_xsetbv(struct cpu *c, const struct op *o)
{
    uint64_t v = (uint32_t)c->r[RAX] | c->r[RDX] << 32;

    if (!(c->cr4 & CR4_OSXSAVE))
        cpu_fault(c, o, EXC_UD, 0);
    need_cpl0(c, o);
    cpu_intercept(c, o);
    if ((uint32_t)c->r[RCX] || v & ~(XCR0_X87 | XCR0_SSE | XCR0_AVX) || !(v & XCR0_X87) ||
        (v & XCR0_AVX && !(v & XCR0_SSE)))
        cpu_fault(c, o, EXC_GP, 0);
    c->xcr0 = v;
    cpu_mode_changed(c);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(xsetbv, do_xsetbv);

/* ---- translations and caches ---- */
static void do_invlpg(struct cpu *c, const struct op *o)
{
    uint64_t la;

    need_cpl0(c, o);
    la = long64(c) ? c->seg[o->seg].base + ea_wrapped(c, o)
                   : (uint32_t)(c->seg[o->seg].base + ea_wrapped(c, o));
    if (c->guest && c->vmcb.intercept3 & INTERCEPT_BIT(VMEXIT_INVLPG))
        cpu_exit(c, o, VMEXIT_INVLPG, la, 0);
    if (canonical(la))
        mmu_invlpg(c, la);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(invlpg, do_invlpg);

static void do_invpcid(struct cpu *c, const struct op *o)
{
    uint64_t type = reg_get(c, o->d, long64(c) ? 8 : 4), descriptor[2];

    need_cpl0(c, o);
    if (c->guest && c->vmcb.intercept5 & BIT(2))
        cpu_exit(c, o, VMEXIT_INVPCID, 0, 0);
    mem_load(c, o, ea(c, o, 16, ACCESS_READ), descriptor, 16);
    mmu_invpcid(c, o, type, descriptor[0], descriptor[1]);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(invpcid, do_invpcid);

/* There is no cache that memory does not know of. */
static void do_invd(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    cpu_intercept(c, o);
    NEXT(c, o);
}
EXEC_ANY(invd, do_invd);

static void do_wbinvd(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    cpu_intercept(c, o);
    soc_wbinvd(c->soc, c->id);
    NEXT(c, o);
}
EXEC_ANY(wbinvd, do_wbinvd);

/* ---- idling ---- */
/* IOPL decides, not CPL (APM3 CLI, STI). */
static void need_iopl(struct cpu *c, const struct op *o)
{
    unsigned iopl = c->rflags >> 12 & 3;

    if (c->cr0 & CR0_PE && c->cpl > iopl)
        cpu_fault(c, o, EXC_GP, 0);
}

static void do_cli(struct cpu *c, const struct op *o)
{
    need_iopl(c, o);
    c->rflags &= ~RFLAGS_IF;
    LEAVE_AFTER(c, o);
}
EXEC_ANY(cli, do_cli);

/* The instruction after STI runs before an interrupt, if STI opened the gate. */
static void do_sti(struct cpu *c, const struct op *o)
{
    need_iopl(c, o);
    if (!(c->rflags & RFLAGS_IF))
        c->shadow = true;
    c->rflags |= RFLAGS_IF;
    LEAVE_AFTER(c, o);
}
EXEC_ANY(sti, do_sti);

static void do_hlt(struct cpu *c, const struct op *o)
{
    need_cpl0(c, o);
    cpu_intercept(c, o);
    refuse_op(c, o, "HLT that no hypervisor intercepts");
}
EXEC_ANY(hlt, do_hlt);

static void do_monitor(struct cpu *c, const struct op *o)
{
    uint8_t byte;

    if (c->cpl != 0)
        cpu_fault(c, o, EXC_UD, 0);
    if ((uint32_t)c->r[RCX])
        cpu_fault(c, o, EXC_GP, 0);
    cpu_intercept(c, o);
    mem_load(c, o, linear(c, o, o->seg, cut(c->r[RAX], o->asize), 1, ACCESS_READ), &byte, 1);
}
EXEC_BODY(monitor, do_monitor);

/* May wake for no reason (APM3 MWAIT), and here it always does, at once. */
static void do_mwait(struct cpu *c, const struct op *o)
{
    if (c->cpl != 0)
        cpu_fault(c, o, EXC_UD, 0);
    if ((uint32_t)c->r[RCX] & ~1u)
        cpu_fault(c, o, EXC_GP, 0);
    cpu_intercept(c, o);
    LEAVE_AFTER(c, o);
}
EXEC_ANY(mwait, do_mwait);

/* ---- SMAP, FS and GS ---- */
static void set_ac(struct cpu *c, const struct op *o, bool ac)
{
    if (c->cpl != 0)
        cpu_fault(c, o, EXC_UD, 0);
    c->rflags = ac ? c->rflags | RFLAGS_AC : c->rflags & ~RFLAGS_AC;
    mmu_context(c);
}

static void do_clac(struct cpu *c, const struct op *o)
{
    set_ac(c, o, false);
    NEXT(c, o);
}
EXEC_ANY(clac, do_clac);

static void do_stac(struct cpu *c, const struct op *o)
{
    set_ac(c, o, true);
    NEXT(c, o);
}
EXEC_ANY(stac, do_stac);

static void do_swapgs(struct cpu *c, const struct op *o)
{
    uint64_t base = c->seg[GS].base;

    need_cpl0(c, o);
    c->seg[GS].base = c->kernel_gs_base;
    c->kernel_gs_base = base;
    NEXT(c, o);
}
EXEC_ANY(swapgs, do_swapgs);

static void need_fsgsbase(struct cpu *c, const struct op *o)
{
    if (!(c->cr4 & CR4_FSGSBASE))
        cpu_fault(c, o, EXC_UD, 0);
}

#define DEFINE_BASE(lower, seg_name)                                                               \
    static void do_rd##lower##base(struct cpu *c, const struct op *o)                              \
    {                                                                                              \
        need_fsgsbase(c, o);                                                                       \
        reg_set(c, o->d, o->size, c->seg[seg_name].base);                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(rd##lower##base, do_rd##lower##base);                                                 \
    static void do_wr##lower##base(struct cpu *c, const struct op *o)                              \
    {                                                                                              \
        uint64_t base = reg_get(c, o->d, o->size);                                                 \
                                                                                                   \
        need_fsgsbase(c, o);                                                                       \
        if (!canonical(base))                                                                      \
            cpu_fault(c, o, EXC_GP, 0);                                                            \
        c->seg[seg_name].base = base;                                                              \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    EXEC_ANY(wr##lower##base, do_wr##lower##base)
DEFINE_BASE(fs, FS);
DEFINE_BASE(gs, GS);

/* ---- SVM: for the hypervisor above; here none runs as guest code ---- */
static void do_vmmcall(struct cpu *c, const struct op *o)
{
    cpu_intercept(c, o);
    cpu_fault(c, o, EXC_UD, 0);
}
EXEC_ANY(vmmcall, do_vmmcall);

static void do_svm(struct cpu *c, const struct op *o)
{
    if (!(c->efer & EFER_SVME))
        cpu_fault(c, o, EXC_UD, 0);
    need_cpl0(c, o);
    cpu_intercept(c, o);
    refuse_op(c, o, insn_rows[o->form].form);
}
EXEC_ANY(svm, do_svm);

/* A call of the hypervisor that no intercept can swallow; else VMMCALL (APM2 15.35.6). */
static void do_vmgexit(struct cpu *c, const struct op *o)
{
    if (c->es)
        cpu_exit_after(c, o, op_next_rip(c, o), VMEXIT_VMGEXIT, 0);
    do_vmmcall(c, o);
}
EXEC_ANY(vmgexit, do_vmgexit);

/* Only system management mode, which this silicon never enters, knows RSM. */
static void do_rsm(struct cpu *c, const struct op *o)
{
    cpu_intercept(c, o);
    cpu_fault(c, o, EXC_UD, 0);
}
EXEC_ANY(rsm, do_rsm);
