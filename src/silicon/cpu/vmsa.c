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

#define VMSA_BUSY  BIT(63) /* of VINTR_CTRL */
#define XCR0_KNOWN UINT64_C(7)

/* Between a trap-like exit under RFLAGS.TF and its #DB, which the guest takes when it comes back.
 * The manual does not say where a processor keeps this; here it is in reserved bytes of the page.
 */
#define PENDING_DB 0x01

/* ---- SEV_FEATURES (APM2 15.36) ---- */
#define ALWAYS 31 /* no CPUID bit of its own */
static const struct {
    uint64_t bit;
    const char *name;
    uint8_t cpuid; /* bit of CPUID 8000001F EAX that says the chip has it */
    bool needs_snp, implemented;
} sev_features[] = {
    {SEV_FEATURE_SNP_ACTIVE, "SNP", 4, true, false},
    {SEV_FEATURE_VTOM, "virtual top of memory", 4, true, false},
    {SEV_FEATURE_REFLECT_VC, "ReflectVC", 4, true, false},
    {SEV_FEATURE_RESTRICTED_INJECTION, "restricted injection", 12, true, false},
    {SEV_FEATURE_ALTERNATE_INJECTION, "alternate injection", 13, true, false},
    {SEV_FEATURE_DEBUG_SWAP, "DebugSwap", 14, false, true},
    {SEV_FEATURE_PREVENT_HOST_IBS, "PreventHostIBS", 15, false, true}, /* there is no IBS */
    {SEV_FEATURE_BTB_ISOLATION, "BTB isolation", ALWAYS, false, true}, /* there is no BTB */
    {SEV_FEATURE_VMPL_SSS, "VMPL supervisor shadow stacks", 7, true, false},
    {SEV_FEATURE_SECURE_TSC, "Secure TSC", 8, true, false},
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
    if (!soc_vmsa_intact(c->soc, spa, c->key, v))
        return "the VMSA is not as the chip left it: its checksum does not match";
    return NULL;
}

const char *vmsa_open(struct cpu *c, const struct vmcb_control *control, struct vmsa *v,
                      uint64_t *code)
{
    uint64_t spa = control->vmsa_pa;
    const char *why;

    *code = VMEXIT_INVALID;
    if (spa & FRAME_MASK || !dram_read(c->dram, spa, c->key, v, sizeof(*v)))
        return "the VMSA pointer is unaligned or outside DRAM";
    why = illegal_es(c, spa, v);
    if (!why)
        why = illegal_features(c, v->sev_features);
    if (!why && v->xcr0 & ~XCR0_KNOWN)
        why = "the VMSA's XCR0 has components that this chip lacks";
    if (!why && v->xss)
        why = "the VMSA's XSS has components that this chip lacks";
    if (!why && v->vintr_ctrl & VMSA_BUSY) {
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

/* ---- in and out ---- */
void vmsa_enter(struct cpu *c, const struct vmsa *v, struct vmsa *host)
{
    c->es = true;
    c->vmsa_spa = c->vmcb.vmsa_pa;
    c->sev_features = v->sev_features;
    c->ghcb = c->vmcb.ghcb_gpa;
    host->sev_features = v->sev_features;
    host->rax = c->r[RAX];
    host->rsp = c->r[RSP];
    registers_store(c, host);
    registers_load(c, v);
    fpu_load(c, v);
    c->debug_pending = v->reserved_3f0[0] & PENDING_DB;
}

/* What an automatic exit tells the guest's own side (APM2 15.36.9). */
static void store_guest_exit(const struct cpu *c, struct vmsa *v)
{
    v->guest_exitcode = c->vmcb.exitcode;
    v->guest_exitinfo1 = c->vmcb.exitinfo1;
    v->guest_exitinfo2 = c->vmcb.exitinfo2;
    v->guest_exitintinfo = c->exitintinfo;
    v->guest_nrip = c->vmcb.nrip;
}

void vmsa_leave(struct cpu *c, struct vmsa *v, const struct vmsa *host)
{
    save_area_store(c, vmsa_save_area(v));
    registers_store(c, v);
    fpu_store(c, v);
    store_guest_exit(c, v);
    v->reserved_3f0[0] = c->debug_pending ? PENDING_DB : 0;
    if (dram_write(c->dram, c->vmsa_spa, c->key, v, sizeof(*v)))
        soc_vmsa_seal(c->soc, c->vmsa_spa, c->key, v);

    c->r[RAX] = host->rax;
    c->r[RSP] = host->rsp;
    registers_load(c, host);
    fpu_reset(c);
    c->debug_pending = false;
    c->es = c->snp = false;
    c->vmsa_spa = c->sev_features = 0;
}
