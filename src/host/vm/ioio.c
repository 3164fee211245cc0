/* Port I/O (APM2 15.10): single accesses, and INS and OUTS through the guest's page tables. */
#include <inttypes.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

#define RFLAGS_DF   BIT(10)
#define EFER_LMA    BIT(10)
#define ATTRIB_LONG BIT(9)

static uint64_t size_mask(unsigned size)
{
    return size == 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

static void trace_port(const struct vcpu *v, bool in, uint16_t port, unsigned size, uint64_t value)
{
    trace(TRACE_MMIO, "vCPU %u port %04x %s %u bytes %" PRIx64, v->index, port, in ? "in " : "out",
          size, value);
}

uint64_t io_port(struct vcpu *v, bool in, uint16_t port, unsigned size, uint64_t value)
{
    struct bus *bus = board_bus(v->vm->board);

    if (in)
        value = bus_read(bus, BUS_PORTS, port, size);
    value &= size_mask(size);
    if (!in)
        bus_write(bus, BUS_PORTS, port, size, value);
    if (tracing(TRACE_MMIO))
        trace_port(v, in, port, size, value);
    return value;
}

static void io_one(struct vcpu *v, uint64_t info)
{
    unsigned size = IOIO_SIZE(info);
    uint64_t rax = vcpu_gpr(v, RAX), mask = size_mask(size);
    uint64_t value = io_port(v, info & IOIO_IN, IOIO_PORT(info), size, rax);

    if (info & IOIO_IN)
        vcpu_set_gpr(v, RAX, size == 4 ? value : (rax & ~mask) | value);
}

/* ---- strings --------------------------------------------------------------------------------- */

static const struct vmcb_seg *segment(const struct vmcb_save *s, unsigned n)
{
    const struct vmcb_seg *const segs[] = {&s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs};

    return n < COUNT(segs) ? segs[n] : &s->ds;
}

static bool in_64bit(const struct vmcb_save *s)
{
    return s->efer & EFER_LMA && s->cs.attrib & ATTRIB_LONG;
}

static void set_low(struct vcpu *v, unsigned reg, uint64_t value, uint64_t mask)
{
    uint64_t old = vcpu_gpr(v, reg);

    vcpu_set_gpr(v, reg, mask == 0xFFFFFFFF ? value & mask : (old & ~mask) | (value & mask));
}

/* One element at the guest's address; false: a fault was injected or the guest has crashed. */
static bool io_element(struct vcpu *v, uint64_t linear, unsigned size, bool in, uint16_t port)
{
    struct walk_fault fault;
    uint64_t value = 0, gpa;

    for (unsigned i = 0; i < size; i++) {
        if (guest_walk(v, linear + i, in, &gpa, &fault))
            continue;
        if (!fault.pf) {
            vm_crash(v->vm, "vCPU %u: string I/O through page tables outside memory, RIP %" PRIx64,
                     v->index, v->vmcb.save.rip);
            return false;
        }
        v->vmcb.save.cr2 = fault.linear;
        vcpu_inject(v, EXC_PF, true, fault.error);
        return false;
    }
    if (in)
        value = io_port(v, true, port, size, 0);
    for (unsigned i = 0; i < size; i++) {
        bool done = guest_walk(v, linear + i, in, &gpa, &fault) &&
                    (in ? vm_write_phys(v->vm, gpa, (uint8_t *)&value + i, 1)
                        : vm_read_phys(v->vm, gpa, (uint8_t *)&value + i, 1));

        if (!done) {
            vm_crash(v->vm, "vCPU %u: string I/O at %" PRIx64 ", which is not memory, RIP %" PRIx64,
                     v->index, linear, v->vmcb.save.rip);
            return false;
        }
    }
    if (!in)
        io_port(v, false, port, size, value);
    return true;
}

/* Up to this many elements before other vCPUs and timers get a turn. */
#define STRING_BATCH 4096

static bool io_string(struct vcpu *v, uint64_t info)
{
    const struct vmcb_save *s = &v->vmcb.save;
    bool in = info & IOIO_IN, rep = info & IOIO_REP;
    unsigned size = IOIO_SIZE(info), reg = in ? RDI : RSI;
    uint64_t mask = size_mask(2 * IOIO_ADDR(info));
    uint64_t step = s->rflags & RFLAGS_DF ? -(uint64_t)size : size;
    unsigned seg = in ? 0 : IOIO_SEG(info);
    uint64_t base;

    if (v->vm->cfg.sev != SEV_OFF) {
        vm_crash(v->vm,
                 "vCPU %u: %s on port %04x at RIP %" PRIx64
                 ": the buffer of string I/O is private under SEV; a guest has to unroll it",
                 v->index, in ? "INS" : "OUTS", IOIO_PORT(info), s->rip);
        return false;
    }
    vcpu_fetch_rest(v);
    base = in_64bit(s) && seg < 4 ? 0 : segment(s, seg)->base;
    for (unsigned n = 0; n < STRING_BATCH; n++) {
        uint64_t count = rep ? vcpu_gpr(v, RCX) & mask : 1, at = vcpu_gpr(v, reg) & mask;
        uint64_t linear = base + at;

        if (!count)
            return true;
        if (!io_element(v, in_64bit(s) ? linear : (uint32_t)linear, size, in, IOIO_PORT(info)))
            return false;
        set_low(v, reg, at + step, mask);
        if (rep)
            set_low(v, RCX, count - 1, mask);
        if (!rep || count == 1)
            return true;
    }
    v->yield = true;
    return false; /* RIP stays: the rest follows */
}

void exit_ioio(struct vcpu *v)
{
    const struct vmcb_control *c = &v->vmcb.control;
    uint64_t info = c->exitinfo1;

    if (info & IOIO_STRING) {
        if (io_string(v, info))
            vcpu_skip(v, c->exitinfo2);
        return;
    }
    io_one(v, info);
    vcpu_skip(v, c->exitinfo2);
}
