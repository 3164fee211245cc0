/* Application processors of guests with encrypted state, whose registers neither INIT nor a SIPI
 * can set: the first SIPI starts the VMSA of the launch, later ones end a reset hold (GHCB 4.1.3),
 * and an SNP guest hands over a VMSA of its own making (GHCB 4.1.9). */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/ghcb.h"

static void trace_start(const struct vcpu *v, const char *how)
{
    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "vcpu-start vcpu=%u by=%s", v->index, how);
}

/* ---- reset hold ------------------------------------------------------------------------------ */

void ap_hold(struct vcpu *v, enum ap_hold how, uint64_t ghcb_gpa)
{
    v->held = how;
    v->held_ghcb = ghcb_gpa;
    v->yield = true;
    /* One that came while it ran was not for this. */
    (void)lapic_sipi_vector(v->lapic);
}

static void sipi(struct vcpu *v)
{
    if ((!v->waits_sipi && v->held == AP_RUNS) || !v->vmsa_spa)
        return;
    trace_start(v, v->started ? "sipi" : "first-sipi");
    if (v->held == AP_HELD_BY_PAGE)
        ghcb_answer_hold(v, v->held_ghcb);
    else if (v->held == AP_HELD_BY_MSR)
        v->vmcb.control.ghcb_gpa = UINT64_C(1) << 12 | GHCB_MSR_HOLD;
    v->held = AP_RUNS;
    v->started = true;
    v->waits_sipi = v->halted = false;
}

void ap_take_init_and_sipi(struct vcpu *v)
{
    uint32_t events = lapic_events(v->lapic);

    if (events & LAPIC_INIT && lapic_take_init(v->lapic)) {
        v->waits_sipi = lapic_waits_sipi(v->lapic);
        if (v->next_vmsa) {
            trace_start(v, "init");
            vcpu_start_vmsa(v, v->next_vmsa);
            v->next_vmsa = 0;
            v->started = true;
            v->waits_sipi = false;
        }
    }
    if (lapic_events(v->lapic) & LAPIC_SIPI && lapic_sipi_vector(v->lapic) >= 0)
        sipi(v);
}

/* ---- jump table ------------------------------------------------------------------------------ */

enum { JUMP_TABLE_SET, JUMP_TABLE_GET };

/* The page is the guest's; the host only remembers where it is. */
void ap_jump_table(struct ghcb_call *call)
{
    struct vm *vm = call->v->vm;
    uint64_t spa;

    if (call->info1 == JUMP_TABLE_GET)
        ghcb_result(call, vm->ap_jump_table);
    else if (call->info1 == JUMP_TABLE_SET && call->info2 % PAGE == 0 &&
             ram_to_spa(vm, call->info2, &spa))
        vm->ap_jump_table = call->info2;
    else
        ghcb_refuse(call, GHCB_BAD_INPUT);
}

/* ---- creation -------------------------------------------------------------------------------- */

enum { CREATE_ON_INIT, CREATE, DESTROY };
#define REQUEST(info1) ((unsigned)((info1)&7))
#define VMPL(info1)    ((unsigned)((info1) >> 16 & 0xF))
#define APIC_ID(info1) ((uint32_t)((info1) >> 32))

/* The chip checks that the guest has made the page a VMSA (APM2 15.36.12). One at a multiple of
 * 2 MiB is refused as other hypervisors do: parts in the field go wrong there. */
static bool vmsa_at(const struct vm *vm, uint64_t gpa, uint64_t *spa)
{
    return gpa % PAGE == 0 && gpa % LARGE_PAGE && ram_to_spa(vm, gpa, spa) &&
           rmp_is_private(vm, gpa);
}

static void stop(struct vcpu *target)
{
    target->vmsa_spa = target->next_vmsa = 0;
    target->held = AP_RUNS;
    target->halted = false;
    target->waits_sipi = target->yield = true;
}

static void start(struct vcpu *target, unsigned vmpl, uint64_t spa)
{
    trace_start(target, "creation");
    target->vmpl = vmpl;
    vcpu_start_vmsa(target, spa);
    target->next_vmsa = 0;
    target->started = true;
    target->waits_sipi = false;
}

/* A processor that is at another level takes the new one when it is told to run it. */
static void create(struct vcpu *target, unsigned vmpl, uint64_t spa, unsigned request)
{
    bool idle = target->waits_sipi || !target->vmsa_spa;

    if (vmpl != target->vmpl && !(idle && request == CREATE))
        target->level[vmpl] = (struct vcpu_level){
            .vmsa_spa = spa, .ghcb_msr = ghcb_sev_info(target->vm), .ghcb = UINT64_MAX};
    else if (request == CREATE_ON_INIT)
        target->next_vmsa = spa;
    else
        start(target, vmpl, spa);
}

void ap_create(struct ghcb_call *call)
{
    struct vm *vm = call->v->vm;
    uint32_t id = APIC_ID(call->info1);
    struct vcpu *target = id < vm->cfg.vcpus ? &vm->vcpu[id] : NULL;
    unsigned request = REQUEST(call->info1), vmpl = VMPL(call->info1);
    uint64_t spa = 0;

    if (!target || vmpl >= MIN(VCPU_LEVELS, vm->host->chip->vmpls) || request > DESTROY) {
        ghcb_refuse(call, GHCB_BAD_INPUT);
    } else if (request == DESTROY) {
        target->level[vmpl].vmsa_spa = 0;
        if (vmpl == target->vmpl)
            stop(target);
    } else if (!GHCB_HAS(call, rax)) {
        ghcb_refuse(call, GHCB_MISSING_INPUT);
    } else if (call->page.rax != vm->sev_features || !vmsa_at(vm, call->info2, &spa)) {
        ghcb_refuse(call, GHCB_BAD_INPUT);
    } else {
        create(target, vmpl, spa, request);
    }
}
