/* VMGEXIT: which protocol, the shared page copied in, checked, and answered. */
#include "host/vm/ghcb.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

/* ---- the copy -------------------------------------------------------------------------------- */

static void answer(struct ghcb_call *call, enum ghcb_answer how, uint64_t info2)
{
    GHCB_PUT(call, exitinfo1, how);
    GHCB_PUT(call, exitinfo2, info2);
}

void ghcb_refuse(struct ghcb_call *call, enum ghcb_reason why)
{
    answer(call, GHCB_REFUSED, why);
}

void ghcb_exception(struct ghcb_call *call, unsigned vector)
{
    answer(call, GHCB_EXCEPTION, vector | EVENT_TYPE_EXCEPT | EVENT_VALID);
}

void ghcb_result(struct ghcb_call *call, uint64_t info2)
{
    answer(call, GHCB_OK, info2);
}

/* Version 1 of the protocol let the guest put it into any shared page. Guests of either version put
 * it here, and only here was it copied with the rest. */
uint8_t *ghcb_scratch(struct ghcb_call *call, uint64_t len)
{
    const uint64_t first = call->gpa + offsetof(struct ghcb, buffer);
    uint64_t at = call->page.scratch;

    if (at < first || at - first > GHCB_BUFFER || len > GHCB_BUFFER - (at - first)) {
        ghcb_refuse(call, GHCB_BAD_SCRATCH);
        return NULL;
    }
    return call->page.buffer + (at - first);
}

void ghcb_changed(struct ghcb_call *call, const uint8_t *at, uint64_t len)
{
    call->buffer_from = (unsigned)(at - call->page.buffer);
    call->buffer_end = call->buffer_from + (unsigned)len;
}

/* ---- in and out ------------------------------------------------------------------------------ */

#define OUT_FROM offsetof(struct ghcb, rax)
#define OUT_END  offsetof(struct ghcb, x87_state)

static bool write_back(const struct ghcb_call *call)
{
    const uint8_t *page = (const uint8_t *)&call->page;
    uint64_t from = offsetof(struct ghcb, buffer) + call->buffer_from;
    struct vm *vm = call->v->vm;

    return vm_write_phys(vm, call->gpa + OUT_FROM, page + OUT_FROM, OUT_END - OUT_FROM) &&
           vm_write_phys(vm, call->gpa + from, page + from, call->buffer_end - call->buffer_from);
}

void ghcb_answer_hold(struct vcpu *v, uint64_t gpa)
{
    struct ghcb_call call = {.v = v, .gpa = gpa};

    if (!vm_read_phys(v->vm, gpa, &call.page, sizeof(call.page)))
        return;
    ghcb_result(&call, 1);
    if (!write_back(&call))
        vm_crash(v->vm, "vCPU %u: its GHCB at %" PRIx64 " cannot be written", v->index, gpa);
}

static void trace_call(const struct ghcb_call *call, const struct ghcb_row *row)
{
    trace(TRACE_SEV,
          "vmgexit vcpu=%u call=%s code=0x%" PRIx64 " info1=0x%" PRIx64 " info2=0x%" PRIx64
          " answer=0x%" PRIx64 " result=0x%" PRIx64,
          call->v->index, row ? ghcb_row_name(row) : "unknown", call->code, call->info1,
          call->info2, call->page.exitinfo1, call->page.exitinfo2);
}

static void run(struct ghcb_call *call)
{
    struct ghcb *g = &call->page;
    const struct ghcb_row *row = ghcb_find(call->v->vm, g->exitcode);
    bool told = GHCB_HAS(call, exitcode) && GHCB_HAS(call, exitinfo1) && GHCB_HAS(call, exitinfo2);

    memset(g->valid, 0, sizeof(g->valid));
    ghcb_result(call, 0);
    if (g->usage)
        ghcb_refuse(call, GHCB_BAD_USAGE);
    else if (!told)
        ghcb_refuse(call, GHCB_MISSING_INPUT);
    else if (!row)
        ghcb_refuse(call, GHCB_BAD_EVENT);
    else if (!ghcb_inputs_valid(row, call))
        ghcb_refuse(call, GHCB_MISSING_INPUT);
    else
        ghcb_row_run(row, call);
    if (tracing(TRACE_SEV))
        trace_call(call, row);
}

static void by_page(struct vcpu *v, uint64_t gpa)
{
    struct ghcb_call call = {.v = v, .gpa = gpa};

    if (v->vm->cfg.sev == SEV_SNP && gpa != v->ghcb) {
        vm_crash(v->vm, "vCPU %u: VMGEXIT with the GHCB at %" PRIx64 ", which is not registered",
                 v->index, gpa);
        return;
    }
    if (!vm_read_phys(v->vm, gpa, &call.page, sizeof(call.page))) {
        vm_crash(v->vm, "vCPU %u: VMGEXIT with a GHCB at %" PRIx64 ", where no memory is", v->index,
                 gpa);
        return;
    }
    memcpy(call.given, call.page.valid, sizeof(call.given));
    call.code = call.page.exitcode;
    call.info1 = call.page.exitinfo1;
    call.info2 = call.page.exitinfo2;
    run(&call);
    if (!call.later && !write_back(&call))
        vm_crash(v->vm, "vCPU %u: its GHCB at %" PRIx64 " is private: no answer can be written",
                 v->index, gpa);
}

void exit_vmgexit(struct vcpu *v)
{
    uint64_t value = v->vmcb.control.ghcb_gpa;

    if (GHCB_MSR_INFO(value))
        ghcb_msr(v, value);
    else if (value)
        by_page(v, value);
    else
        vm_crash(v->vm, "vCPU %u: VMGEXIT before the guest has set the GHCB MSR", v->index);
}

uint64_t ghcb_features(const struct vm *vm)
{
    if (vm->cfg.sev != SEV_SNP)
        return 0;
    return GHCB_FEATURE_SNP | GHCB_FEATURE_AP_CREATION | GHCB_FEATURE_MULTI_VMPL;
}

/* ---- termination (GHCB 2.3.1, 4.1.14) -------------------------------------------------------- */

/* Set 0 is the standard's; set 1 is each guest's own, here Linux's. */
static const char *const reasons[2][11] = {
    {"general failure", "no protocol version in common", "SEV-SNP or a feature is not supported"},
    {"the GHCB's registration was refused", "a page state change failed", "PVALIDATE failed",
     "not at VMPL0, and there is no SVSM", "the CPUID page is bad",
     "CPUID from the hypervisor failed", "the secrets page is bad", "VMPL above 0 without an SVSM",
     "an SVSM, but VMPL0", "the SVSM's calling area is not aligned", "SecureTSC failed"},
};

void ghcb_terminate(struct vcpu *v, unsigned set, unsigned code)
{
    const char *why = set < COUNT(reasons) && code < COUNT(reasons[0]) ? reasons[set][code] : NULL;

    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "terminate vcpu=%u set=%u code=%u", v->index, set, code);
    vm_crash(v->vm, "vCPU %u: the guest ended itself: reason set %u, code %u (%s%s)", v->index, set,
             code, set == 1 && why ? "as Linux numbers them: " : "",
             why ? why : "no reason that is known");
}
