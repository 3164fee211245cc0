/* Guests with encrypted state: VMRUN and #VMEXIT by way of the VMSA (APM2 15.35.8, 15.35.9).
 *
 * The whole guest is in that page, under its own key. What the host had in the core comes back at
 * #VMEXIT (the manual's swap types A and B) or is reset (type C: x87, SSE), so that no register of
 * the guest's is left to be read.
 */
#include "silicon/cpu/svm.h"

#include <stdio.h>

#include "silicon/cpu/fp.h"
#include "silicon/cpu/x87.h"
#include "silicon/rmp/rmp.h"

#define SYSCFG_SNP BIT(24)
#define XCR0_KNOWN UINT64_C(7)

/* ---- SEV_FEATURES (APM2 15.36) ---- */
#define ALWAYS 31 /* no CPUID bit of its own */
static const struct {
    uint64_t bit;
    const char *name;
    uint8_t cpuid; /* bit of CPUID 8000001F EAX that says the chip has it */
    bool needs_snp, implemented;
} sev_features[] = {
    {SEV_FEATURE_SNP_ACTIVE, "SNP", 4, false, true},
    {SEV_FEATURE_VTOM, "virtual top of memory", 4, true, true},
    {SEV_FEATURE_REFLECT_VC, "ReflectVC", 4, true, true},
    {SEV_FEATURE_RESTRICTED_INJECTION, "restricted injection", 12, true, true},
    {SEV_FEATURE_ALTERNATE_INJECTION, "alternate injection", 13, true, true},
    {SEV_FEATURE_DEBUG_SWAP, "DebugSwap", 14, false, true},
    {SEV_FEATURE_PREVENT_HOST_IBS, "PreventHostIBS", 15, false, true}, /* there is no IBS */
    {SEV_FEATURE_BTB_ISOLATION, "BTB isolation", ALWAYS, false, true}, /* there is no BTB */
    {SEV_FEATURE_VMPL_SSS, "VMPL supervisor shadow stacks", 7, true, false},
    {SEV_FEATURE_SECURE_TSC, "Secure TSC", 8, true, true},
    {SEV_FEATURE_VMGEXIT_PARAMETER, "VMGEXIT parameter", 17, false, true},
    {BIT(11), "PMC virtualisation", 20, false, false},
    {BIT(12), "IBS virtualisation", 19, false, false},
    {BIT(13), "guest intercept control", 22, true, false},
    {SEV_FEATURE_VMSA_REG_PROT, "VMSA register protection", 24, true, false},
    {SEV_FEATURE_SMT_PROTECTION, "SMT protection", 25, false, true}, /* there are no siblings */
    {BIT(16), "Secure AVIC", 26, true, false},
    {BIT(21), "IBPB on entry", 31, false, false},
};

/* The sentence names the feature, so that whoever set the bit knows which. */
static const char *illegal_features(const struct cpu *c, uint64_t wanted)
{
    static char why[96];
    const struct chip *chip = soc_chip(c->soc);

    for (unsigned i = 0; i < COUNT(sev_features); i++) {
        bool have =
            sev_features[i].cpuid == ALWAYS || chip->sev_features >> sev_features[i].cpuid & 1;

        if (!(wanted & sev_features[i].bit))
            continue;
        wanted &= ~sev_features[i].bit;
        if (sev_features[i].implemented && have)
            continue;
        snprintf(why, sizeof(why), "SEV_FEATURES asks for %s, which %s", sev_features[i].name,
                 have ? "is not implemented" : "this chip does not have");
        return why;
    }
    return wanted ? "SEV_FEATURES has reserved bits" : NULL;
}

/* ---- judging ---- */
static const char *illegal_es(struct cpu *c, uint64_t spa, const struct vmsa *v)
{
    for (unsigned i = 0; i < COUNT(sev_features); i++)
        if (v->sev_features & sev_features[i].bit && sev_features[i].needs_snp)
            return "SEV_FEATURES has a bit that needs SNP";
    if (!rmp_host_may_write(c->rmp, spa, sizeof(*v)))
        return "the VMSA's page is not the hypervisor's";
    if (!soc_vmsa_intact(c->soc, spa, c->key, v))
        return "the VMSA is not as the chip left it: its checksum does not match";
    return NULL;
}

/* APM2 15.36.12, table 15-41. A VMSA in a 2 MiB page is none. */
static const char *illegal_snp(const struct cpu *c, uint64_t spa, uint32_t asid,
                               const struct vmsa *v)
{
    struct rmp_entry e = rmp_get(c->rmp, spa);

    if (!(c->host_syscfg & SYSCFG_SNP) || !rmp_enforced(c->rmp))
        return "SNP is not enabled on the platform";
    if (!rmp_covers(c->rmp, spa))
        return "the RMP does not cover the VMSA";
    if (!e.assigned || e.asid != asid)
        return "the VMSA's page is not this guest's";
    if (e.immutable || e.large)
        return "the VMSA's page is immutable, or a part of a 2 MiB page";
    if (!e.vmsa)
        return "the VMSA's page is none by its RMP entry";
    if (v->vmpl >= soc_chip(c->soc)->vmpls)
        return "the VMSA's VMPL is higher than the chip knows";
    return NULL;
}

#define INJECTION (SEV_FEATURE_RESTRICTED_INJECTION | SEV_FEATURE_ALTERNATE_INJECTION)

/* APM2 15.36.16: #HV alone, an exception without error code. */
static const char *illegal_injection(const struct vmcb_control *control, uint64_t features)
{
    uint64_t e = control->eventinj;

    if ((features & INJECTION) == INJECTION)
        return "restricted and alternate injection exclude each other";
    if (features & INJECTION && control->vintr & V_AVIC)
        return "AVIC in a guest that restricts injection";
    if (!(features & SEV_FEATURE_RESTRICTED_INJECTION) || !(e & EVENT_VALID))
        return NULL;
    if ((e & (EVENT_TYPE_MASK | EVENT_ERROR_VALID)) == EVENT_TYPE_EXCEPT &&
        EVENT_VECTOR(e) == EXC_HV)
        return NULL;
    return "EVENTINJ of something else than #HV into a guest that restricts injection";
}

static const char *illegal_components(const struct vmsa *v)
{
    if (v->xcr0 & ~XCR0_KNOWN)
        return "the VMSA's XCR0 has components that this chip lacks";
    return v->xss ? "the VMSA's XSS has components that this chip lacks" : NULL;
}

static const char *illegal_vmsa(struct cpu *c, const struct vmcb_control *control,
                                const struct vmsa *v)
{
    bool snp = v->sev_features & SEV_FEATURE_SNP_ACTIVE;
    const char *why = snp ? illegal_snp(c, control->vmsa_pa, control->asid, v)
                          : illegal_es(c, control->vmsa_pa, v);

    if (!why)
        why = illegal_features(c, v->sev_features);
    if (!why)
        why = illegal_injection(control, v->sev_features);
    if (!why && v->sev_features & SEV_FEATURE_ALTERNATE_INJECTION)
        why = illegal_event(v->eventinj);
    return why ? why : illegal_components(v);
}

const char *vmsa_open(struct cpu *c, const struct vmcb_control *control, struct vmsa *v,
                      uint64_t *code)
{
    const char *why;

    *code = VMEXIT_INVALID;
    if (control->vmsa_pa & FRAME_MASK ||
        !dram_read(c->dram, control->vmsa_pa, c->key, v, sizeof(*v)))
        return "the VMSA pointer is unaligned or outside DRAM";
    why = illegal_vmsa(c, control, v);
    if (!why && v->sev_features & SEV_FEATURE_ALTERNATE_INJECTION && v->vintr_ctrl & VMSA_BUSY) {
        *code = VMEXIT_BUSY;
        why = "the VMSA's BUSY bit is set";
    }
    return why;
}

/* ---- registers that VMRUN of other guests leaves to software ---- */
#define CPUID_TSC_AUX BIT(9)

static bool swaps_tsc_aux(const struct cpu *c)
{
    return soc_chip(c->soc)->sev_features & CPUID_TSC_AUX;
}

/* RCX at 308h to R15 at 378h, in the order of their encoding; RAX and RSP are in the save area. */
static uint64_t *gpr_in(struct vmsa *v, unsigned reg)
{
    return (uint64_t *)(void *)((uint8_t *)v + 0x300 + reg * 8);
}
static_assert(offsetof(struct vmsa, rdi) == 0x300 + RDI * 8, "APM2 B-4");
static_assert(offsetof(struct vmsa, r8_r15) == 0x300 + 8 * 8, "APM2 B-4");

static void registers_load(struct cpu *c, const struct vmsa *from)
{
    struct vmsa *v = (struct vmsa *)(uintptr_t)from;

    more_state_load(c, vmsa_save_area(v));
    for (unsigned i = 0; i < 16; i++)
        if (i != RAX && i != RSP)
            c->r[i] = *gpr_in(v, i);
    c->xcr0 = v->xcr0 | 1;
    c->xss = v->xss;
    if (swaps_tsc_aux(c))
        c->tsc_aux = v->tsc_aux;
    if (v->sev_features & SEV_FEATURE_DEBUG_SWAP)
        memcpy(c->dr, v->dr, sizeof(v->dr));
}

static void registers_store(const struct cpu *c, struct vmsa *v)
{
    more_state_store(c, vmsa_save_area(v));
    for (unsigned i = 0; i < 16; i++)
        if (i != RAX && i != RSP)
            *gpr_in(v, i) = c->r[i];
    v->xcr0 = c->xcr0;
    v->xss = c->xss;
    if (swaps_tsc_aux(c))
        v->tsc_aux = (uint32_t)c->tsc_aux;
    if (v->sev_features & SEV_FEATURE_DEBUG_SWAP)
        memcpy(v->dr, c->dr, sizeof(v->dr));
}

/* ---- x87, SSE, AVX: the tag word is FXSAVE's, ST(i) in stack order (APM2 B-4) ---- */
static void fpu_load(struct cpu *c, const struct vmsa *v)
{
    struct x87 *x = &c->x87;

    x->cw = X87_CW(v->x87_fcw);
    x->sw = v->x87_fsw;
    x->valid = (uint8_t)v->x87_ftw;
    x->fop = v->x87_fop & 0x7FF;
    x->ip = v->x87_rip;
    x->dp = v->x87_dp;
    x->cs = v->x87_cs;
    x->ds = v->x87_ds;
    x87_derive_es(c);
    for (unsigned i = 0; i < 8; i++) {
        struct x87_reg *r = &x->reg[x87_phys(c, i)];

        r->mant = load64(v->x87_regs + i * 8);
        r->se = load16(v->x87_regs + 64 + i * 2);
    }
    c->mxcsr = v->mxcsr & MXCSR_VALID;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(c->vec[i].b, v->xmm[i], 16);
        memcpy(c->vec[i].b + 16, v->ymm_high[i], 16);
    }
}

static void fpu_store(const struct cpu *c, struct vmsa *v)
{
    const struct x87 *x = &c->x87;

    v->x87_fcw = x->cw;
    v->x87_fsw = x->sw;
    v->x87_ftw = x->valid;
    v->x87_fop = x->fop;
    v->x87_rip = x->ip;
    v->x87_dp = x->dp;
    v->x87_cs = x->cs;
    v->x87_ds = x->ds;
    for (unsigned i = 0; i < 8; i++) {
        const struct x87_reg *r = &x->reg[x87_phys(c, i)];

        store64(v->x87_regs + i * 8, r->mant);
        store16(v->x87_regs + 64 + i * 2, r->se);
    }
    v->mxcsr = c->mxcsr;
    for (unsigned i = 0; i < 16; i++) {
        memcpy(v->xmm[i], c->vec[i].b, 16);
        memcpy(v->ymm_high[i], c->vec[i].b + 16, 16);
    }
}

static void fpu_reset(struct cpu *c)
{
    x87_init_state(c);
    c->mxcsr = MXCSR_DEFAULT;
    memset(c->vec, 0, sizeof(c->vec));
}

/* ---- interrupts ---- */
#define V_OF_VMSA (BIT(20) | BIT(11) | BIT(12) | BIT(9) | V_IRQ | 0xF00FF | UINT64_C(0xFF00000000))

/* Alternate injection: the guest's more privileged side says what comes (APM2 15.36.16). */
static void interrupts_load(struct cpu *c, const struct vmsa *v)
{
    struct vmcb_control *control = &c->vmcb;

    if (v->sev_features & SEV_FEATURE_RESTRICTED_INJECTION)
        control->vintr &= ~V_IRQ;
    if (!(v->sev_features & SEV_FEATURE_ALTERNATE_INJECTION))
        return;
    control->eventinj = v->eventinj;
    control->vintr = (control->vintr & ~V_OF_VMSA) | (v->vintr_ctrl & V_OF_VMSA);
    c->cr8 = control->vintr & 0xF;
    c->shadow = v->vintr_ctrl & VMSA_INT_SHADOW;
}

static void interrupts_store(const struct cpu *c, struct vmsa *v)
{
    if (!(v->sev_features & SEV_FEATURE_ALTERNATE_INJECTION))
        return;
    v->eventinj = 0;
    v->vintr_ctrl &= ~(UINT64_C(0xFF) | V_IRQ | VMSA_INT_SHADOW);
    v->vintr_ctrl |= (c->cr8 & 0xF) | (c->vmcb.vintr & V_IRQ) | (c->shadow ? VMSA_INT_SHADOW : 0);
}

/* ---- in and out ---- */
/* APM2 15.36.15. */
bool vmsa_wants_flush(const struct cpu *c, const struct vmsa *v)
{
    return v->sev_features & SEV_FEATURE_SNP_ACTIVE && v->pcpu_id != c->id + 1;
}

void vmsa_enter(struct cpu *c, const struct vmsa *v, struct vmsa *host)
{
    c->es = true;
    c->snp = v->sev_features & SEV_FEATURE_SNP_ACTIVE;
    c->vmpl = c->snp ? v->vmpl : 0;
    c->vmsa_spa = c->vmcb.vmsa_pa;
    c->sev_features = v->sev_features;
    c->ghcb = c->vmcb.ghcb_gpa;
    c->virtual_tom = v->virtual_tom & (BIT(52) - BIT(21));
    c->tsc_scale = v->guest_tsc_scale;
    c->tsc_plus = v->guest_tsc_offset;
    host->sev_features = v->sev_features;
    host->rax = c->r[RAX];
    host->rsp = c->r[RSP];
    registers_store(c, host);
    registers_load(c, v);
    fpu_load(c, v);
    interrupts_load(c, v);
    c->debug_pending = v->pending & VMSA_PENDING_DB && v->rflags & RFLAGS_TF;
}

/* Every exit tells the guest's own side (APM2 15.36.9). What would have been #VC, and happened as
 * an event was on its way, leaves the VMSA busy until somebody has seen to that. */
static void store_guest_exit(const struct cpu *c, struct vmsa *v)
{
    v->guest_exitcode = c->vmcb.exitcode;
    v->guest_exitinfo1 = c->vmcb.exitinfo1;
    v->guest_exitinfo2 = c->vmcb.exitinfo2;
    v->guest_exitintinfo = c->exitintinfo;
    v->guest_nrip = c->vmcb.nrip;
    if (vmsa_reflected(c) && c->exitintinfo & EVENT_VALID &&
        v->sev_features & SEV_FEATURE_ALTERNATE_INJECTION)
        v->vintr_ctrl |= VMSA_BUSY;
}

bool vmsa_reflected(const struct cpu *c)
{
    return !vc_automatic(c->vmcb.exitcode, c->vmcb.exitinfo1);
}

/* #VMEXIT writes nothing behind. */
#define CHANGES offsetof(struct vmsa, reserved_670)

void vmsa_leave(struct cpu *c, struct vmsa *v, const struct vmsa *host)
{
    save_area_store(c, vmsa_save_area(v));
    registers_store(c, v);
    fpu_store(c, v);
    interrupts_store(c, v);
    store_guest_exit(c, v);
    v->virtual_tom = c->virtual_tom;
    v->pending = c->debug_pending ? VMSA_PENDING_DB : 0;
    if (c->snp)
        v->pcpu_id = v->tlb_id = c->id + 1;
    if (dram_write(c->dram, c->vmsa_spa, c->key, v, CHANGES) && !c->snp)
        soc_vmsa_seal(c->soc, c->vmsa_spa, c->key, v);

    c->r[RAX] = host->rax;
    c->r[RSP] = host->rsp;
    registers_load(c, host);
    fpu_reset(c);
    c->debug_pending = false;
    c->es = c->snp = false;
    c->vmpl = 0;
    c->vmsa_spa = c->sev_features = 0;
}
