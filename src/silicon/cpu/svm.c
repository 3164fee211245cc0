/* Secure virtual machine: the world switch (APM2 15.5 .. 15.6).
 *
 * The host here is C code that calls cpu_vmrun, so host state is not saved in a host save area: it
 * is the caller's stack. Everything else is as the manual has it: the guest comes from the VMCB in
 * DRAM and goes back there.
 */
#include "silicon/cpu/svm.h"

#include "silicon/rmp/rmp.h"

#include <stdlib.h>

#define VMCB_CHECKED_EFER                                                                          \
    (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_FFXSR | BIT(13))
#define SYSCFG_MEM_ENCRYPT BIT(23)
#define SYSCFG_SNP         BIT(24)
#define HWCR_SMMLOCK       BIT(0)
#define VIRT_EXT_LBR       BIT(0)

/* ---- segments ---- */
static struct seg seg_from(const struct vmcb_seg *v)
{
    return (struct seg){
        .selector = v->selector, .attrib = v->attrib, .limit = v->limit, .base = v->base};
}

static struct vmcb_seg seg_to(const struct seg *s)
{
    return (struct vmcb_seg){
        .selector = s->selector, .attrib = s->attrib, .limit = s->limit, .base = s->base};
}

/* ---- VMRUN: what makes a guest's state illegal (APM2 15.5.1) ---- */
static const char *illegal_state(const struct cpu *c, const struct vmcb_save *s)
{
    bool lme = s->efer & EFER_LME, pg = s->cr0 & CR0_PG;

    if (!(s->efer & EFER_SVME))
        return "EFER.SVME is clear";
    if (s->efer & ~VMCB_CHECKED_EFER)
        return "reserved EFER bits";
    if (!(s->cr0 & CR0_CD) && s->cr0 & CR0_NW)
        return "CR0.CD clear with NW set";
    if (s->cr0 >> 32)
        return "CR0 bits 63:32";
    if (s->cr4 & ~cr4_legal(c))
        return "CR4 bits that the chip does not have";
    if (s->dr6 >> 32 || s->dr7 >> 32)
        return "DR6 or DR7 bits 63:32";
    if (lme && pg && !(s->cr4 & CR4_PAE))
        return "long mode paging without CR4.PAE";
    if (lme && pg && !(s->cr0 & CR0_PE))
        return "long mode paging without CR0.PE";
    if (lme && pg && s->cr4 & CR4_PAE && s->cs.attrib & SEG_L && s->cs.attrib & SEG_DB)
        return "CS.L and CS.D both set in long mode";
    return NULL;
}

const char *illegal_event(uint64_t e)
{
    uint64_t type = e & EVENT_TYPE_MASK;

    if (!(e & EVENT_VALID))
        return NULL;
    if (type == EVENT_TYPE_EXCEPT)
        return EVENT_VECTOR(e) > 31 || EVENT_VECTOR(e) == EXC_NMI
                   ? "EVENTINJ of an exception by a vector that is none"
                   : NULL;
    return type == EVENT_TYPE_INTR || type == EVENT_TYPE_NMI || type == EVENT_TYPE_SWINT
               ? NULL
               : "EVENTINJ of a reserved type";
}

/* ASIDs below the lowest for SEV without ES hold guests whose state is encrypted (APM2 15.35.2). */
static const char *illegal_plain_asid(const struct cpu *c, const struct vmcb_control *v)
{
    return v->asid < soc_chip(c->soc)->min_sev_asid ? "the ASID is for guests with encrypted state"
                                                    : NULL;
}

/* APM2 15.35.2, 15.35.8: a guest's INT3, INTO and INT n cannot be forged. */
static const char *illegal_es_controls(const struct vmcb_control *v)
{
    uint64_t type = v->eventinj & EVENT_TYPE_MASK;
    unsigned vec = EVENT_VECTOR(v->eventinj);

    if (!(v->virt_ext & VIRT_EXT_LBR))
        return "SEV-ES needs LBR virtualisation";
    if (!(v->eventinj & EVENT_VALID))
        return NULL;
    if (type == EVENT_TYPE_SWINT)
        return "EVENTINJ of a software interrupt into a guest with encrypted state";
    if (type == EVENT_TYPE_EXCEPT && (vec == EXC_BP || vec == EXC_OF))
        return "EVENTINJ of #BP or #OF into a guest with encrypted state";
    return NULL;
}

static const char *illegal_controls(struct cpu *c, const struct vmcb_control *v)
{
    if (!(v->intercept4 & INTERCEPT_BIT(VMEXIT_VMRUN)))
        return "VMRUN is not intercepted";
    if (v->asid == 0)
        return "ASID 0 is the host's";
    if (illegal_event(v->eventinj))
        return illegal_event(v->eventinj);
    if (!(v->nested_ctl & NESTED_SEV))
        return v->nested_ctl & NESTED_SEV_ES ? "SEV-ES needs SEV" : NULL;
    if (!(v->nested_ctl & NESTED_NP))
        return "SEV needs nested paging";
    if (!(c->host_hwcr & HWCR_SMMLOCK))
        return "SEV needs HWCR.SMMLOCK";
    if (!(c->host_syscfg & SYSCFG_MEM_ENCRYPT))
        return "SEV needs SYSCFG.MemEncryptionModEn";
    if (v->asid > soc_chip(c->soc)->sev_asids)
        return "the ASID is above the chip's highest encrypted one";
    if (!soc_asid_key(c->soc, v->asid, &c->key))
        return "no launched guest's key is active for the ASID";
    return v->nested_ctl & NESTED_SEV_ES ? illegal_es_controls(v) : illegal_plain_asid(c, v);
}

/* ---- load and save ---- */
void save_area_load(struct cpu *c, const struct vmcb_save *s)
{
    c->seg[ES] = seg_from(&s->es);
    c->seg[CS] = seg_from(&s->cs);
    c->seg[SS] = seg_from(&s->ss);
    c->seg[DS] = seg_from(&s->ds);
    c->gdtr = seg_from(&s->gdtr);
    c->idtr = seg_from(&s->idtr);
    c->cpl = s->cpl & 3;
    if (!(s->cr0 & CR0_PE))
        c->cpl = 0;
    else if (s->rflags & RFLAGS_VM)
        c->cpl = 3;
    c->efer = s->efer;
    if (s->cr0 & CR0_PG && s->efer & EFER_LME)
        c->efer |= EFER_LMA;
    else
        c->efer &= ~EFER_LMA;
    c->cr0 = s->cr0 | CR0_ET;
    c->cr2 = s->cr2;
    c->cr4 = s->cr4;
    c->dr[6] = (s->dr6 & 0xE00F) | 0xFFFF0FF0;
    c->dr[7] = s->dr7 | 0x400;
    c->rflags = (s->rflags & ~(uint64_t)OSZAPC) | 2;
    flags_write(c, (uint32_t)s->rflags);
    c->rip = s->rip;
    c->r[RSP] = s->rsp;
    c->r[RAX] = s->rax;
    c->pat = s->g_pat;
    c->dbgctl = s->dbgctl;
}

void save_area_store(const struct cpu *c, struct vmcb_save *s)
{
    s->es = seg_to(&c->seg[ES]);
    s->cs = seg_to(&c->seg[CS]);
    s->ss = seg_to(&c->seg[SS]);
    s->ds = seg_to(&c->seg[DS]);
    s->gdtr = seg_to(&c->gdtr);
    s->idtr = seg_to(&c->idtr);
    s->cpl = c->cpl;
    s->efer = c->efer;
    s->cr0 = c->cr0;
    s->cr2 = c->cr2;
    s->cr3 = c->cr3;
    s->cr4 = c->cr4;
    s->dr6 = c->dr[6];
    s->dr7 = c->dr[7];
    s->rflags = rflags_get(c);
    s->rip = c->rip;
    s->rsp = c->r[RSP];
    s->rax = c->r[RAX];
    s->g_pat = c->pat;
    s->dbgctl = c->dbgctl;
}

static void load_controls(struct cpu *c)
{
    const struct vmcb_control *v = &c->vmcb;

    c->cr8 = v->vintr & 0xF;
    c->shadow = v->interrupt_state & 1;
    c->pause_left = v->pause_count;
    c->paused_at = c->retired;
    c->nested_cr3 = v->nested_ctl & NESTED_NP ? v->ncr3 : 0;
    c->sev = v->nested_ctl & NESTED_SEV;
    c->cbit = c->sev ? BIT(soc_chip(c->soc)->cbit) : 0;
    if (!c->sev)
        c->key = DRAM_PLAIN;
    c->es = c->snp = false;
    c->vmpl = 0;
    c->sev_features = 0;
    c->inject = -1;
    c->exitintinfo = 0;
    c->debug_pending = false;
}

static void flush_as_asked(struct cpu *c)
{
    switch (c->vmcb.tlb_control) {
    case 0:
        break;
    case 1:
        mmu_flush_all(c);
        break;
    case 3:
        mmu_flush_asid(c, true);
        break;
    case 7:
        mmu_flush_asid(c, false);
        break;
    default:
        warn("VMCB.TLB_CONTROL %u is not implemented; all entries are flushed",
             c->vmcb.tlb_control);
        mmu_flush_all(c);
        break;
    }
}

static void save_exit(struct cpu *c, struct vmcb_control *to)
{
    const struct vmcb_control *from = &c->vmcb;

    to->exitcode = from->exitcode;
    to->exitinfo1 = from->exitinfo1;
    to->exitinfo2 = from->exitinfo2;
    to->exitintinfo = c->exitintinfo;
    to->vintr = (from->vintr & ~UINT64_C(0xFF)) | (c->cr8 & 0xF);
    to->interrupt_state = c->shadow;
    to->eventinj = 0; /* V is cleared once the event is delivered or reported in EXITINTINFO */
    to->tlb_control = 0;
}

/* Decode assists: not for guests with encrypted state. */
static void save_assists(const struct cpu *c, struct vmcb_control *to)
{
    to->nrip = c->vmcb.nrip;
    to->insn_len = c->vmcb.insn_len;
    memcpy(to->insn_bytes, c->vmcb.insn_bytes, sizeof(to->insn_bytes));
}

/* All that a hypervisor hears of encrypted state. */
static void save_es_exit(const struct cpu *c, const struct vmcb_control *was,
                         struct vmcb_control *to)
{
    if (vmsa_reflected(c)) { /* the rest is in the VMSA */
        to->exitcode = VMEXIT_VC;
        to->exitinfo1 = to->exitinfo2 = to->exitintinfo = 0;
    }
    if (c->sev_features & SEV_FEATURE_RESTRICTED_INJECTION)
        to->vintr |= was->vintr & V_IRQ;
    if (c->sev_features & SEV_FEATURE_ALTERNATE_INJECTION) {
        to->vintr = was->vintr;
        to->eventinj = was->eventinj;
        to->interrupt_state = was->interrupt_state & 1;
    }
    to->interrupt_state |= c->rflags & RFLAGS_IF ? GUEST_INTERRUPT_MASK : 0;
    to->ghcb_gpa = c->ghcb;
    to->guest_sev_features = c->sev_features & (BIT(62) - 1);
    if (c->sev_features & SEV_FEATURE_VMGEXIT_PARAMETER && c->vmcb.exitcode == VMEXIT_VMGEXIT) {
        to->vmgexit_rax = c->r[RAX];
        to->vmgexit_cpl = c->cpl;
    }
}

static void refuse(struct cpu *c, uint64_t spa, struct vmcb *image, uint64_t code, const char *why)
{
    warn("VMRUN of the VMCB at %#llx: %s: %s", (unsigned long long)spa,
         code == VMEXIT_BUSY ? "VMEXIT_BUSY" : "VMEXIT_INVALID", why);
    image->control.exitcode = code;
    if (!soc_write(c->soc, spa, image, sizeof(*image)))
        warn("the VMCB at %#llx is outside DRAM", (unsigned long long)spa);
}

static void run_guest(struct cpu *c, uint64_t cr3)
{
    mmu_world(c, cr3);
    flush_as_asked(c);
    cpu_mode_changed(c);
    soc_running(c->soc, c);
    run(c);
    soc_running(c->soc, NULL);
    c->guest = false;
}

/* The save area of the VMCB stays as the host left it (APM2 15.35.8). */
static void run_encrypted(struct cpu *c, struct vmcb *image, struct vmsa *v)
{
    struct vmcb_control was = image->control;
    struct vmsa host;

    if (vmsa_wants_flush(c, v))
        c->vmcb.tlb_control = 3;
    vmsa_enter(c, v, &host);
    save_area_load(c, vmsa_save_area(v));
    run_guest(c, v->cr3);
    save_exit(c, &image->control);
    save_es_exit(c, &was, &image->control);
    vmsa_leave(c, v, &host);
}

static void run_plain(struct cpu *c, struct vmcb *image)
{
    save_area_load(c, &image->save);
    run_guest(c, image->save.cr3);
    save_exit(c, &image->control);
    save_assists(c, &image->control);
    save_area_store(c, &image->save);
}

void cpu_vmrun(struct cpu *c, uint64_t vmcb_spa)
{
    uint64_t code = VMEXIT_INVALID;
    struct vmcb image;
    struct vmsa vmsa;
    const char *why;
    bool es;

    if (vmcb_spa & FRAME_MASK || !soc_read(c->soc, vmcb_spa, &image, sizeof(image))) {
        warn("VMRUN: the VMCB address %#llx is unaligned or outside DRAM",
             (unsigned long long)vmcb_spa);
        return;
    }
    if (c->host_syscfg & SYSCFG_SNP && !c->host_hsave) { /* #GP, both (APM2 15.36.12) */
        warn("VMRUN: VM_HSAVE_PA is 0");
        return;
    }
    if (!rmp_host_may_write(c->rmp, vmcb_spa, sizeof(image))) {
        warn("VMRUN: the VMCB at %#llx is not the hypervisor's", (unsigned long long)vmcb_spa);
        return;
    }
    es = image.control.nested_ctl & NESTED_SEV_ES;
    why = c->host_efer & EFER_SVME ? illegal_controls(c, &image.control)
                                   : "the host's EFER.SVME is clear";
    if (!why && es)
        why = vmsa_open(c, &image.control, &vmsa, &code);
    if (!why)
        why = illegal_state(c, es ? vmsa_save_area(&vmsa) : &image.save);
    if (why) {
        refuse(c, vmcb_spa, &image, code, why);
        return;
    }
    c->vmcb = image.control;
    c->vmcb.insn_len = 0;
    c->guest = true;
    load_controls(c);
    if (es)
        run_encrypted(c, &image, &vmsa);
    else
        run_plain(c, &image);
    if (!soc_write(c->soc, vmcb_spa, &image, es ? sizeof(image.control) : sizeof(image)))
        warn("the VMCB at %#llx left DRAM", (unsigned long long)vmcb_spa);
}

/* An injected NMI closes nothing behind it: there is no V_NMI here, so a hypervisor holds the next
 * one back until IRET or, where it may not see that, until NMI_COMPLETE (APM2 15.20). */
void event_inject(struct cpu *c)
{
    uint64_t e = c->vmcb.eventinj;
    unsigned vec = (e & EVENT_TYPE_MASK) == EVENT_TYPE_NMI ? EXC_NMI : EVENT_VECTOR(e);

    if (!(e & EVENT_VALID))
        return;
    c->vmcb.eventinj = 0;
    event_deliver(c, vec, e & EVENT_ERROR_VALID, (uint32_t)(e >> 32),
                  (e & EVENT_TYPE_MASK) == EVENT_TYPE_SWINT,
                  (e & EVENT_TYPE_MASK) == EVENT_TYPE_INTR ||
                      (e & EVENT_TYPE_MASK) == EVENT_TYPE_NMI);
    c->retired++; /* see run() */
}

/* ---- VMLOAD, VMSAVE (APM2 15.5.2) ---- */
void more_state_load(struct cpu *c, const struct vmcb_save *s)
{
    c->seg[FS] = seg_from(&s->fs);
    c->seg[GS] = seg_from(&s->gs);
    c->tr = seg_from(&s->tr);
    c->ldtr = seg_from(&s->ldtr);
    c->kernel_gs_base = s->kernel_gs_base;
    c->star = s->star;
    c->lstar = s->lstar;
    c->cstar = s->cstar;
    c->sfmask = s->sfmask;
    c->sysenter_cs = s->sysenter_cs;
    c->sysenter_esp = s->sysenter_esp;
    c->sysenter_eip = s->sysenter_eip;
}

void more_state_store(const struct cpu *c, struct vmcb_save *s)
{
    s->fs = seg_to(&c->seg[FS]);
    s->gs = seg_to(&c->seg[GS]);
    s->tr = seg_to(&c->tr);
    s->ldtr = seg_to(&c->ldtr);
    s->kernel_gs_base = c->kernel_gs_base;
    s->star = c->star;
    s->lstar = c->lstar;
    s->cstar = c->cstar;
    s->sfmask = c->sfmask;
    s->sysenter_cs = c->sysenter_cs;
    s->sysenter_esp = c->sysenter_esp;
    s->sysenter_eip = c->sysenter_eip;
}

void cpu_vmload(struct cpu *c, uint64_t vmcb_spa)
{
    struct vmcb_save s;

    if (!soc_read(c->soc, vmcb_spa + offsetof(struct vmcb, save), &s, sizeof(s))) {
        warn("VMLOAD from %#llx, outside DRAM", (unsigned long long)vmcb_spa);
        return;
    }
    more_state_load(c, &s);
}

void cpu_vmsave(struct cpu *c, uint64_t vmcb_spa)
{
    uint64_t at = vmcb_spa + offsetof(struct vmcb, save);
    struct vmcb_save s;

    if (!soc_read(c->soc, at, &s, sizeof(s))) {
        warn("VMSAVE to %#llx, outside DRAM", (unsigned long long)vmcb_spa);
        return;
    }
    more_state_store(c, &s);
    if (!soc_write(c->soc, at, &s, sizeof(s)))
        warn("VMSAVE to %#llx, outside DRAM", (unsigned long long)vmcb_spa);
}

/* ---- the core's pins and registers that software swaps ---- */
void cpu_timer(struct cpu *c, uint64_t insns)
{
    c->timer_at = insns ? c->retired + insns : UINT64_MAX;
}

uint64_t *cpu_gprs(struct cpu *c)
{
    return c->r;
}

void cpu_set_dr(struct cpu *c, unsigned n, uint64_t value)
{
    c->dr[n & 3] = value;
}

uint64_t cpu_get_dr(const struct cpu *c, unsigned n)
{
    return c->dr[n & 3];
}

void cpu_wbinvd(struct cpu *c)
{
    soc_wbinvd(c->soc, c->id);
}

/* ---- modes ---- */
/* The gates on x87, MMX, SSE and AVX code (APM2 11.3.1, 11.5.1). */
static uint8_t decode_gates(const struct cpu *c)
{
    uint8_t gates = 0;
    bool em = c->cr0 & CR0_EM;

    if (c->cr0 & (CR0_EM | CR0_TS))
        gates |= DECODE_X87;
    if (em)
        gates |= DECODE_MMX;
    if (em || !(c->cr4 & CR4_OSFXSR))
        gates |= DECODE_SSE;
    if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & 6) != 6)
        gates |= DECODE_AVX;
    return gates;
}

void cpu_mode_changed(struct cpu *c)
{
    uint8_t decode = decode_gates(c);

    if (long_mode(c) && c->seg[CS].attrib & SEG_L)
        decode |= 2;
    else if (c->seg[CS].attrib & SEG_DB)
        decode |= 1;
    if (!protected_mode(c))
        decode |= DECODE_REAL;
    if ((decode & DECODE_SIZE) != 2 && c->seg[SS].attrib & SEG_DB)
        decode |= DECODE_STACK32;
    c->decode = decode;
    mmu_context(c);
}

/* ---- a core at power-on ---- */
static void power_on(struct cpu *c)
{
    c->rflags = 2;
    c->efer = c->host_efer = 0;
    c->xcr0 = 1;
    c->pat = UINT64_C(0x0007040600070406);
    c->mxcsr = 0x1F80;
    c->dr[6] = 0xFFFF0FF0;
    c->dr[7] = 0x400;
    c->timer_at = UINT64_MAX;
    c->inject = -1;
    c->seg[FLAT] = (struct seg){.limit = UINT32_MAX, .attrib = 0xC93};
    x87_reset(c);
}

enum status cpu_new(struct soc *s, struct dram *d, const struct chip *chip, unsigned id,
                    struct cpu **out, struct error *err)
{
    struct cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);

    if (!c)
        return fail(err, ERR_NOMEM, "no memory for core %u", id);
    memset(c, 0, sizeof(*c));
    c->soc = s;
    c->dram = d;
    c->id = id;
    features_init(c, chip);
    power_on(c);
    if (blocks_init(c, err) != OK || mmu_init(c, err) != OK) {
        cpu_free(c);
        return err ? err->code : ERR_NOMEM;
    }
    *out = c;
    return OK;
}

void cpu_free(struct cpu *c)
{
    if (!c)
        return;
    blocks_free(c);
    mmu_free(c);
    free(c);
}
