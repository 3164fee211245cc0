/* The events of the shared page (GHCB 4.1): a row for each, with the inputs that it needs. */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "host/vm/ghcb.h"

enum { EAX, EBX, ECX, EDX };

/* ---- what an instruction wanted ---------------------------------------------------------------
 */

static void dr7_read(struct ghcb_call *call)
{
    GHCB_PUT(call, rax, call->v->dr7);
}

/* The core does not switch debug registers for the guest, so nothing watches. */
static void dr7_write(struct ghcb_call *call)
{
    call->v->dr7 = (uint32_t)call->page.rax;
}

static void put_pair(struct ghcb_call *call, uint64_t value)
{
    GHCB_PUT(call, rax, (uint32_t)value);
    GHCB_PUT(call, rdx, value >> 32);
}

static void rdtsc(struct ghcb_call *call)
{
    const struct vcpu *v = call->v;

    put_pair(call, board_now(v->vm->board) + v->vmcb.control.tsc_offset);
}

#define MSR_TSC_AUX 0xC0000103u

/* TSC_AUX as far as the guest has told it: its writes do not exit. */
static void rdtscp(struct ghcb_call *call)
{
    uint64_t aux = 0;

    rdtsc(call);
    if (msr_access(call->v, MSR_TSC_AUX, false, &aux))
        GHCB_PUT(call, rcx, (uint32_t)aux);
}

static void raise_gp(struct ghcb_call *call)
{
    ghcb_exception(call, EXC_GP);
}

static void raise_ud(struct ghcb_call *call)
{
    ghcb_exception(call, EXC_UD);
}

#define LEAF_XSAVE 0xDu

static bool cpuid_has(const struct ghcb_call *call)
{
    return (uint32_t)call->page.rax != LEAF_XSAVE || GHCB_HAS(call, xcr0);
}

static void cpuid(struct ghcb_call *call)
{
    struct ghcb *g = &call->page;
    uint32_t out[4];

    if (GHCB_HAS(call, xcr0))
        call->v->xcr0 = g->xcr0;
    vcpu_cpuid(call->v, (uint32_t)g->rax, (uint32_t)g->rcx, out);
    GHCB_PUT(call, rax, out[EAX]);
    GHCB_PUT(call, rbx, out[EBX]);
    GHCB_PUT(call, rcx, out[ECX]);
    GHCB_PUT(call, rdx, out[EDX]);
}

static void nothing(struct ghcb_call *call)
{
}

static void wbinvd(struct ghcb_call *call)
{
    cpu_wbinvd(call->v->core);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static bool ioio_has(const struct ghcb_call *call)
{
    if (call->info1 & IOIO_STRING)
        return GHCB_HAS(call, scratch);
    return call->info1 & IOIO_IN || GHCB_HAS(call, rax);
}

/* Elements one after the other, whichever way the guest goes through them. */
static void ioio_string(struct ghcb_call *call, unsigned size)
{
    bool in = call->info1 & IOIO_IN;
    uint64_t count = call->info2;
    uint8_t *at;

    if (count > GHCB_BUFFER / size) {
        ghcb_refuse(call, GHCB_BAD_SCRATCH);
        return;
    }
    at = ghcb_scratch(call, count * size);
    if (!at)
        return;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = 0;

        memcpy(&value, at + i * size, size);
        value = io_port(call->v, in, IOIO_PORT(call->info1), size, value);
        memcpy(at + i * size, &value, size);
    }
    if (in)
        ghcb_changed(call, at, count * size);
}

static void ioio(struct ghcb_call *call)
{
    unsigned size = IOIO_SIZE(call->info1);
    bool in = call->info1 & IOIO_IN;
    uint64_t value;

    if (size != 1 && size != 2 && size != 4) {
        ghcb_refuse(call, GHCB_BAD_INPUT);
        return;
    }
    if (call->info1 & IOIO_STRING) {
        ioio_string(call, size);
        return;
    }
    value = io_port(call->v, in, IOIO_PORT(call->info1), size, in ? 0 : call->page.rax);
    if (in)
        GHCB_PUT(call, rax, value);
}

/* ---- MSRs and device memory ------------------------------------------------------------------ */

static bool msr_has(const struct ghcb_call *call)
{
    return !call->info1 || (GHCB_HAS(call, rax) && GHCB_HAS(call, rdx));
}

static void msr(struct ghcb_call *call)
{
    struct ghcb *g = &call->page;
    uint64_t value = g->rdx << 32 | (uint32_t)g->rax;

    if (call->info1 > 1)
        ghcb_refuse(call, GHCB_BAD_INPUT);
    else if (!msr_access(call->v, (uint32_t)g->rcx, call->info1, &value))
        ghcb_exception(call, EXC_GP);
    else if (!call->info1)
        put_pair(call, value);
}

/* Where the guest's access of device memory goes: not over RAM. */
static uint8_t *mmio_buffer(struct ghcb_call *call)
{
    uint64_t len = call->info2, last = call->info1 + len - 1, spa;

    if ((len != 1 && len != 2 && len != 4 && len != 8) || last < call->info1 ||
        ram_to_spa(call->v->vm, call->info1, &spa) || ram_to_spa(call->v->vm, last, &spa)) {
        ghcb_refuse(call, GHCB_BAD_INPUT);
        return NULL;
    }
    return ghcb_scratch(call, len);
}

static void mmio_read(struct ghcb_call *call)
{
    uint8_t *at = mmio_buffer(call);
    uint64_t value;

    if (!at)
        return;
    value = io_load(call->v, call->info1, (unsigned)call->info2);
    memcpy(at, &value, call->info2);
    ghcb_changed(call, at, call->info2);
}

static void mmio_write(struct ghcb_call *call)
{
    const uint8_t *at = mmio_buffer(call);
    uint64_t value = 0;

    if (!at)
        return;
    memcpy(&value, at, call->info2);
    io_store(call->v, call->info1, (unsigned)call->info2, value);
}

/* ---- the guest's own business ---------------------------------------------------------------- */

static void nmi_complete(struct ghcb_call *call)
{
    call->v->nmi_masked = false;
}

static void reset_hold(struct ghcb_call *call)
{
    call->later = true;
    ap_hold(call->v, AP_HELD_BY_PAGE, call->gpa);
}

static void guest_request(struct ghcb_call *call)
{
    struct ghcb *g = &call->page;
    struct snp_request req = {.request_gpa = call->info1,
                              .response_gpa = call->info2,
                              .extended = call->code == GHCB_EXT_GUEST_REQUEST,
                              .data_gpa = g->rax,
                              .data_pages = g->rbx};

    if (!snp_forward_request(call->v->vm, &req)) {
        ghcb_refuse(call, GHCB_BAD_INPUT);
        return;
    }
    ghcb_result(call, (uint64_t)req.vmm_error << 32 | req.fw_error);
    if (req.extended && req.vmm_error == SNP_REQUEST_INVALID_LEN)
        GHCB_PUT(call, rbx, req.data_pages);
}

static void run_vmpl(struct ghcb_call *call)
{
    if (call->info1 >= VCPU_LEVELS || !vcpu_run_vmpl(call->v, (unsigned)call->info1))
        ghcb_refuse(call, GHCB_BAD_INPUT);
}

static void features(struct ghcb_call *call)
{
    ghcb_result(call, ghcb_features(call->v->vm));
}

static void terminate(struct ghcb_call *call)
{
    ghcb_terminate(call->v, (unsigned)(call->info1 & 0xF), (unsigned)(call->info1 >> 4 & 0xFF));
}

static void unsupported(struct ghcb_call *call)
{
    vm_crash(call->v->vm,
             "vCPU %u: the guest cannot handle the exit %#" PRIx64 " that it got as #VC (%#" PRIx64
             ")",
             call->v->index, call->info1, call->info2);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum {
    NEEDS_RAX = 1 << 0,
    NEEDS_RBX = 1 << 1,
    NEEDS_RCX = 1 << 2,
    NEEDS_RDX = 1 << 3,
    NEEDS_CPL = 1 << 4,
    NEEDS_SCRATCH = 1 << 5,
};

static const uint16_t offsets[] = {
    offsetof(struct ghcb, rax), offsetof(struct ghcb, rbx), offsetof(struct ghcb, rcx),
    offsetof(struct ghcb, rdx), offsetof(struct ghcb, cpl), offsetof(struct ghcb, scratch),
};

/* `has`: what it needs beyond `needs`, as it depends on the request. */
static const struct ghcb_row {
    uint64_t code;
    const char *name;
    enum sev_level least;
    unsigned needs;
    void (*run)(struct ghcb_call *call);
    bool (*has)(const struct ghcb_call *call);
} rows[] = {
    {VMEXIT_DR_READ + 7, "dr7-read", SEV_ES, 0, dr7_read, NULL},
    {VMEXIT_DR_WRITE + 7, "dr7-write", SEV_ES, NEEDS_RAX, dr7_write, NULL},
    {VMEXIT_RDTSC, "rdtsc", SEV_ES, 0, rdtsc, NULL},
    {VMEXIT_RDPMC, "rdpmc", SEV_ES, NEEDS_RCX, raise_gp, NULL},
    {VMEXIT_CPUID, "cpuid", SEV_ES, NEEDS_RAX | NEEDS_RCX, cpuid, cpuid_has},
    {VMEXIT_INVD, "invd", SEV_ES, 0, nothing, NULL},
    {VMEXIT_IOIO, "ioio", SEV_ES, 0, ioio, ioio_has},
    {VMEXIT_MSR, "msr", SEV_ES, NEEDS_RCX, msr, msr_has},
    {VMEXIT_VMMCALL, "vmmcall", SEV_ES, NEEDS_RAX | NEEDS_CPL, raise_ud, NULL},
    {VMEXIT_RDTSCP, "rdtscp", SEV_ES, 0, rdtscp, NULL},
    {VMEXIT_WBINVD, "wbinvd", SEV_ES, 0, wbinvd, NULL},
    {VMEXIT_MONITOR, "monitor", SEV_ES, NEEDS_RAX | NEEDS_RCX | NEEDS_RDX, raise_ud, NULL},
    {VMEXIT_MWAIT, "mwait", SEV_ES, NEEDS_RAX | NEEDS_RCX, raise_ud, NULL},
    {GHCB_MMIO_READ, "mmio-read", SEV_ES, NEEDS_SCRATCH, mmio_read, NULL},
    {GHCB_MMIO_WRITE, "mmio-write", SEV_ES, NEEDS_SCRATCH, mmio_write, NULL},
    {GHCB_NMI_COMPLETE, "nmi-complete", SEV_ES, 0, nmi_complete, NULL},
    {GHCB_AP_RESET_HOLD, "ap-reset-hold", SEV_ES, 0, reset_hold, NULL},
    {GHCB_AP_JUMP_TABLE, "ap-jump-table", SEV_ES, 0, ap_jump_table, NULL},
    {GHCB_PSC, "page-state-change", SEV_SNP, NEEDS_SCRATCH, psc_event, NULL},
    {GHCB_GUEST_REQUEST, "guest-request", SEV_SNP, 0, guest_request, NULL},
    {GHCB_EXT_GUEST_REQUEST, "ext-guest-request", SEV_SNP, NEEDS_RAX | NEEDS_RBX, guest_request,
     NULL},
    /* RAX, the features, is for requests that create: checked there. */
    {GHCB_AP_CREATION, "ap-creation", SEV_SNP, 0, ap_create, NULL},
    {GHCB_RUN_VMPL, "run-vmpl", SEV_SNP, 0, run_vmpl, NULL},
    {GHCB_FEATURES, "features", SEV_ES, 0, features, NULL},
    {GHCB_TERMINATE, "terminate", SEV_ES, 0, terminate, NULL},
    {GHCB_UNSUPPORTED, "unsupported-event", SEV_ES, 0, unsupported, NULL},
};

const struct ghcb_row *ghcb_find(const struct vm *vm, uint64_t code)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].code == code && vm->cfg.sev >= rows[i].least)
            return &rows[i];
    return NULL;
}

const char *ghcb_row_name(const struct ghcb_row *row)
{
    return row->name;
}

bool ghcb_inputs_valid(const struct ghcb_row *row, const struct ghcb_call *call)
{
    for (size_t i = 0; i < COUNT(offsets); i++)
        if (row->needs & 1u << i && !ghcb_bit(call->given, offsets[i]))
            return false;
    return !row->has || row->has(call);
}

void ghcb_row_run(const struct ghcb_row *row, struct ghcb_call *call)
{
    row->run(call);
}
