/* Instructions that touch device memory, as a hypervisor has to carry them out from the bytes that
 * #VMEXIT left in the VMCB (APM2 15.8.4). The faulting guest physical address says where the device
 * is, so only the other operands are computed here. Knows nothing of VMs: it can be tested alone.
 */
#ifndef LUCCA_HOST_VM_MMIO_H
#define LUCCA_HOST_VM_MMIO_H

#include <stdbool.h>
#include <stdint.h>

struct mmio_state {
    uint64_t gpr[16], rip, rflags;
    bool long_mode;       /* 64-bit code */
    bool big;             /* else: 32-bit code, by CS.D */
    uint64_t seg_base[6]; /* ES, CS, SS, DS, FS, GS */
};

struct mmio_ops {
    /* The device: 1, 2, 4 or 8 bytes. */
    uint64_t (*load)(void *ctx, uint64_t gpa, unsigned size);
    void (*store)(void *ctx, uint64_t gpa, unsigned size, uint64_t value);
    /* The other end of MOVS, at a linear address. False: nothing happens, see MMIO_FAULT. */
    bool (*other_load)(void *ctx, uint64_t linear, unsigned size, uint64_t *value);
    bool (*other_store)(void *ctx, uint64_t linear, unsigned size, uint64_t value);
};

enum mmio_result {
    MMIO_DONE,    /* `st` has the state after it; RIP stays while REP has more to do */
    MMIO_UNKNOWN, /* no such instruction here; `st` is unchanged */
    MMIO_FAULT,   /* an `other_` access failed; `st` is unchanged */
};

/* `write`: the fault was on a write, so of MOVS the destination is the device. */
enum mmio_result mmio_emulate(struct mmio_state *st, const uint8_t *bytes, unsigned count,
                              uint64_t gpa, bool write, const struct mmio_ops *ops, void *ctx);

#endif
