/* Nested page faults (APM2 15.25.6): accesses outside the guest's RAM, that is to devices. */
#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"
#include "host/vm/mmio.h"

#define EFER_LMA    BIT(10)
#define ATTRIB_LONG BIT(9)
#define ATTRIB_BIG  BIT(10)

/* The local APIC's window is each vCPU's own, and has 32-bit registers. */
static bool in_window(const struct vcpu *v, uint64_t gpa)
{
    return (gpa & ~(PAGE - 1)) == lapic_window(v->lapic);
}

uint64_t io_load(struct vcpu *v, uint64_t gpa, unsigned size)
{
    uint64_t value;

    if (in_window(v, gpa))
        value = (uint64_t)lapic_read(v->lapic, gpa & 0xFFC) >> 8 * (gpa & 3);
    else
        value = bus_read(board_bus(v->vm->board), BUS_MEMORY, gpa, size);
    if (tracing(TRACE_MMIO))
        trace(TRACE_MMIO, "vCPU %u %" PRIx64 " in  %u bytes %" PRIx64, v->index, gpa, size, value);
    return value;
}

void io_store(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
    if (tracing(TRACE_MMIO))
        trace(TRACE_MMIO, "vCPU %u %" PRIx64 " out %u bytes %" PRIx64, v->index, gpa, size, value);
    if (in_window(v, gpa)) {
        if (size >= 4 && gpa % 4 == 0)
            lapic_write(v->lapic, gpa & 0xFFC, (uint32_t)value);
        return;
    }
    bus_write(board_bus(v->vm->board), BUS_MEMORY, gpa, size, value);
}

static uint64_t device_load(void *ctx, uint64_t gpa, unsigned size)
{
    return io_load(ctx, gpa, size);
}

static void device_store(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    io_store(ctx, gpa, size, value);
}

/* ---- the other end of a memory-to-memory move ------------------------------------------------ */

/* Where `linear` is; else the guest gets its page fault, or ends where there can be none. */
static bool other_address(struct vcpu *v, uint64_t linear, bool write, uint64_t *gpa)
{
    struct walk_fault fault;

    if (v->vm->cfg.sev != SEV_OFF) {
        vm_crash(v->vm,
                 "vCPU %u: a move between memory and a device at RIP %" PRIx64
                 ": the guest's memory is private under SEV",
                 v->index, v->vmcb.save.rip);
        return false;
    }
    if (guest_walk(v, linear, write, gpa, &fault))
        return true;
    if (fault.pf) {
        v->vmcb.save.cr2 = fault.linear;
        vcpu_inject(v, EXC_PF, true, fault.error);
    } else {
        vm_crash(v->vm, "vCPU %u: page tables outside memory for %" PRIx64 ", RIP %" PRIx64,
                 v->index, linear, v->vmcb.save.rip);
    }
    return false;
}

static bool other_load(void *ctx, uint64_t linear, unsigned size, uint64_t *value)
{
    uint64_t gpa;

    *value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte;

        if (!other_address(ctx, linear + i, false, &gpa))
            return false;
        if (!vm_read_phys(((struct vcpu *)ctx)->vm, gpa, &byte, 1))
            byte = (uint8_t)device_load(ctx, gpa, 1);
        *value |= (uint64_t)byte << 8 * i;
    }
    return true;
}

static bool other_store(void *ctx, uint64_t linear, unsigned size, uint64_t value)
{
    uint64_t gpa;

    for (unsigned i = 0; i < size; i++)
        if (!other_address(ctx, linear + i, true, &gpa))
            return false;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);

        if (!other_address(ctx, linear + i, true, &gpa))
            return false;
        if (!vm_write_phys(((struct vcpu *)ctx)->vm, gpa, &byte, 1))
            device_store(ctx, gpa, 1, byte);
    }
    return true;
}

/* ---- the fault ------------------------------------------------------------------------------- */

static void load_state(struct vcpu *v, struct mmio_state *st)
{
    const struct vmcb_save *s = &v->vmcb.save;
    const struct vmcb_seg *const segs[] = {&s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs};

    vcpu_fetch_rest(v);
    st->rip = s->rip;
    st->rflags = s->rflags;
    st->long_mode = s->efer & EFER_LMA && s->cs.attrib & ATTRIB_LONG;
    st->big = s->cs.attrib & ATTRIB_BIG;
    for (unsigned i = 0; i < 16; i++)
        st->gpr[i] = vcpu_gpr(v, i);
    for (unsigned i = 0; i < COUNT(segs); i++)
        st->seg_base[i] = segs[i]->base;
}

static void store_state(struct vcpu *v, const struct mmio_state *st)
{
    for (unsigned i = 0; i < 16; i++)
        vcpu_set_gpr(v, i, st->gpr[i]);
    v->vmcb.save.rflags = st->rflags;
    if (st->rip != v->vmcb.save.rip)
        vcpu_skip(v, st->rip);
}

static void crash_unknown(struct vcpu *v, uint64_t gpa)
{
    const struct vmcb_control *c = &v->vmcb.control;
    char hex[3 * sizeof(c->insn_bytes) + 1] = "none";

    for (unsigned i = 0; i < MIN(c->insn_len, sizeof(c->insn_bytes)); i++)
        snprintf(hex + 3 * i, 4, "%02x ", c->insn_bytes[i]);
    vm_crash(v->vm,
             "vCPU %u: an access to device memory at %" PRIx64 " from RIP %" PRIx64
             " by an instruction that is not emulated there: bytes %s",
             v->index, gpa, v->vmcb.save.rip, hex);
}

/* ---- guests with encrypted state --------------------------------------------------------------
 */

static void trace_fault(const struct vcpu *v, uint64_t info, uint64_t gpa, const char *what)
{
    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "rmp-fault vcpu=%u gpa=0x%" PRIx64 " error=0x%" PRIx64 " answer=%s",
              v->index, gpa, info, what);
}

/* A fault of the RMP's checks (APM2 15.36.10). Where the sizes of pages differ, the hypervisor
 * makes them 4 KiB and the guest tries again. Nothing else is mended: a guest says which pages it
 * shares before it uses them so, and one that does not has lost its way or is attacked. */
static void rmp_fault(struct vcpu *v, uint64_t info, uint64_t gpa)
{
    const struct piece *p = memory_piece(v->vm, gpa);
    const char *why = "the RMP refuses it";

    if (p && p->large && !(info & NPF_VMPL) && rmp_smash(v->vm, gpa)) {
        trace_fault(v, info, gpa, "smash");
        return;
    }
    if (info & NPF_VMPL)
        why = "its VMPL has no permission for that";
    else if (info & NPF_ENC && !rmp_is_private(v->vm, gpa))
        why = "a private access to a page that the guest shares";
    else if (!(info & NPF_ENC) && rmp_is_private(v->vm, gpa))
        why = "a shared write to a page that is private";
    trace_fault(v, info, gpa, "crash");
    vm_crash(v->vm,
             "vCPU %u: RMP fault at guest address %" PRIx64 " (#NPF error %" PRIx64 ", %s): %s",
             v->index, gpa, info,
             info & NPF_FETCH   ? "a fetch"
             : info & NPF_WRITE ? "a write"
                                : "a read",
             why);
}

/* Device memory is marked so that it makes no exit (memory.c): what comes here cannot be mended. */
static void npf_encrypted(struct vcpu *v, uint64_t info, uint64_t gpa)
{
    if (info & NPF_RMP)
        rmp_fault(v, info, gpa);
    else
        vm_crash(v->vm,
                 "vCPU %u: a nested page fault (error %" PRIx64 ") at guest address %" PRIx64
                 ", where no access can be answered",
                 v->index, info, gpa);
}

void exit_npf(struct vcpu *v)
{
    static const struct mmio_ops ops = {device_load, device_store, other_load, other_store};
    const struct vmcb_control *c = &v->vmcb.control;
    uint64_t info = c->exitinfo1, gpa = c->exitinfo2, spa;
    struct mmio_state st;

    if (vcpu_encrypted(v)) {
        npf_encrypted(v, info, gpa);
        return;
    }
    if (ram_to_spa(v->vm, gpa, &spa)) {
        vm_crash(v->vm,
                 "vCPU %u: a nested page fault (error %" PRIx64 ") on RAM at %" PRIx64
                 ", RIP %" PRIx64,
                 v->index, info, gpa, v->vmcb.save.rip);
        return;
    }
    if (info & (NPF_FETCH | NPF_WALK)) {
        vm_crash(v->vm, "vCPU %u: %s at %" PRIx64 ", where no memory is, RIP %" PRIx64, v->index,
                 info & NPF_FETCH ? "code" : "a page table", gpa, v->vmcb.save.rip);
        return;
    }
    load_state(v, &st);
    switch (mmio_emulate(&st, c->insn_bytes, MIN(c->insn_len, (uint8_t)sizeof(c->insn_bytes)), gpa,
                         info & NPF_WRITE, &ops, v)) {
    case MMIO_DONE:
        store_state(v, &st);
        break;
    case MMIO_UNKNOWN:
        crash_unknown(v, gpa);
        break;
    case MMIO_FAULT:
        break; /* what it needs has been injected */
    }
}
