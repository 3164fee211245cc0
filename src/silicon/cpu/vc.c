/* Which exits the hypervisor of a guest with encrypted state sees, and #VC for the rest (APM2
 * 15.35.3, 15.35.5). */
#include "silicon/cpu/cpu.h"

/* #NPF with a reserved bit is how a hypervisor marks what it emulates: MMIO. */
bool vc_automatic(uint64_t code, uint64_t info1)
{
    switch (code) {
    case VMEXIT_EXCEPTION + EXC_MC:
    case VMEXIT_INTR:
    case VMEXIT_NMI:
    case VMEXIT_SMI:
    case VMEXIT_INIT:
    case VMEXIT_VINTR:
    case VMEXIT_PAUSE:
    case VMEXIT_HLT:
    case VMEXIT_SHUTDOWN:
    case VMEXIT_EFER_TRAP:
    case VMEXIT_BUS_LOCK:
    case VMEXIT_IDLE_HLT:
    case VMEXIT_VMGEXIT:
        return true;
    case VMEXIT_NPF:
        return !(info1 & NPF_RSVD);
    default:
        return code >= VMEXIT_CR_TRAP && code < VMEXIT_CR_TRAP + 16;
    }
}

/* Of those that instructions can be intercepted for; traps advance by nature. */
bool vc_advances(uint64_t code)
{
    return code == VMEXIT_PAUSE || code == VMEXIT_HLT || code == VMEXIT_IDLE_HLT;
}

_Noreturn void cpu_vc(struct cpu *c, const struct op *o, uint64_t code)
{
    cpu_exit(c, o, code, 0, 0);
}
