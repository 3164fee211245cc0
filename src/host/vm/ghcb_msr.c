/* The MSR protocol (GHCB 2.3.1): what a guest asks before it has a page to share. The answer
 * replaces the MSR's value. */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/ghcb.h"

#define PSC_OPERATION(msr) ((unsigned)((msr) >> 52 & 0xF))
#define PSC_ADDRESS(msr)   ((msr)&UINT64_C(0x000FFFFFFFFFF000))
#define PSC_RESERVED(msr)  ((msr) >> 56)
#define ERROR_32           (UINT64_C(1) << 32) /* 63:32: not zero */

uint64_t ghcb_sev_info(const struct vm *vm)
{
    return (uint64_t)GHCB_VERSION_MAX << 48 | (uint64_t)GHCB_VERSION_MIN << 32 |
           (uint64_t)vm->host->chip->cbit << 24 | GHCB_MSR_SEV_INFO;
}

static uint64_t sev_info(struct vcpu *v, uint64_t msr)
{
    return ghcb_sev_info(v->vm);
}

/* The subleaf is 0; bits 31:30 choose the register. */
static uint64_t cpuid(struct vcpu *v, uint64_t msr)
{
    unsigned n = (unsigned)(msr >> 30 & 3);
    uint32_t out[4];

    vcpu_cpuid(v, (uint32_t)(msr >> 32), 0, out);
    return (uint64_t)out[n] << 32 | (uint64_t)n << 30 | GHCB_MSR_CPUID;
}

static uint64_t hold(struct vcpu *v, uint64_t msr)
{
    ap_hold(v, AP_HELD_BY_MSR, 0);
    return msr;
}

static uint64_t preferred(struct vcpu *v, uint64_t msr)
{
    return GHCB_MSR_NONE | GHCB_MSR_PREFERRED;
}

static uint64_t register_page(struct vcpu *v, uint64_t msr)
{
    uint64_t gpa = GHCB_MSR_DATA(msr), spa;

    if (!gpa || !ram_to_spa(v->vm, gpa, &spa) || rmp_is_private(v->vm, gpa))
        return GHCB_MSR_NONE | GHCB_MSR_REGISTER;
    v->ghcb = gpa;
    return gpa | GHCB_MSR_REGISTER;
}

static uint64_t page_state(struct vcpu *v, uint64_t msr)
{
    bool done = !PSC_RESERVED(msr) && psc_one(v, PSC_ADDRESS(msr), PSC_OPERATION(msr));

    return GHCB_MSR_PSC | (done ? 0 : ERROR_32);
}

/* The level that asked finds its answer when it runs again; what this returns is the other's. */
static uint64_t run_vmpl(struct vcpu *v, uint64_t msr)
{
    v->vmcb.control.ghcb_gpa = GHCB_MSR_VMPL;
    if (!vcpu_run_vmpl(v, (unsigned)(msr >> 32 & 0xFF)))
        return GHCB_MSR_VMPL | ERROR_32;
    return v->vmcb.control.ghcb_gpa;
}

static uint64_t features(struct vcpu *v, uint64_t msr)
{
    return ghcb_features(v->vm) << 12 | GHCB_MSR_FEATURES;
}

static uint64_t terminate(struct vcpu *v, uint64_t msr)
{
    ghcb_terminate(v, (unsigned)(msr >> 12 & 0xF), (unsigned)(msr >> 16 & 0xFF));
    return msr;
}

static const struct {
    enum ghcb_msr request;
    const char *name;
    enum sev_level least;
    uint64_t (*answer)(struct vcpu *v, uint64_t msr);
} rows[] = {
    {GHCB_MSR_SEV_INFO_REQUEST, "sev-info", SEV_ES, sev_info},
    {GHCB_MSR_CPUID_REQUEST, "cpuid", SEV_ES, cpuid},
    {GHCB_MSR_HOLD_REQUEST, "ap-reset-hold", SEV_ES, hold},
    {GHCB_MSR_PREFERRED_REQUEST, "preferred-ghcb", SEV_SNP, preferred},
    {GHCB_MSR_REGISTER_REQUEST, "register-ghcb", SEV_SNP, register_page},
    {GHCB_MSR_PSC_REQUEST, "page-state-change", SEV_SNP, page_state},
    {GHCB_MSR_VMPL_REQUEST, "run-vmpl", SEV_SNP, run_vmpl},
    {GHCB_MSR_FEATURES_REQUEST, "features", SEV_ES, features},
    {GHCB_MSR_TERMINATE, "terminate", SEV_ES, terminate},
};

/* A request that is not known leaves the MSR as it is: the guest sees that it is no answer. */
void ghcb_msr(struct vcpu *v, uint64_t value)
{
    const char *name = "unknown";
    uint64_t to = value;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].request == GHCB_MSR_INFO(value) && v->vm->cfg.sev >= rows[i].least) {
            name = rows[i].name;
            to = rows[i].answer(v, value);
            break;
        }
    v->vmcb.control.ghcb_gpa = to;
    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "vmgexit vcpu=%u msr=%s value=0x%" PRIx64 " answer=0x%" PRIx64, v->index,
              name, value, to);
}
