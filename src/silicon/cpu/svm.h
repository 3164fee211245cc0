/* The world switch: what the files that do it share. */
#ifndef LUCCA_SILICON_CPU_SVM_H
#define LUCCA_SILICON_CPU_SVM_H

#include "silicon/cpu/cpu.h"
#include "silicon/vmsa.h"

/* ---- svm.c ---- */
/* What is wrong with an EVENTINJ, or NULL (APM2 15.20). */
const char *illegal_event(uint64_t e);
/* What VMRUN and #VMEXIT move (APM2 15.5.1, 15.6); all but CR3, which VMRUN gives to the MMU. */
void save_area_load(struct cpu *c, const struct vmcb_save *s);
void save_area_store(const struct cpu *c, struct vmcb_save *s);
/* What VMLOAD and VMSAVE move (APM2 15.5.2). */
void more_state_load(struct cpu *c, const struct vmcb_save *s);
void more_state_store(const struct cpu *c, struct vmcb_save *s);

/* ---- exec_sys_cr.c ---- */
/* Bits of CR4 that the chip has. */
uint64_t cr4_legal(const struct cpu *c);

/* ---- vmsa.c ---- */
/* The first part of a VMSA is laid out as the save area of a VMCB. */
static inline struct vmcb_save *vmsa_save_area(struct vmsa *v)
{
    return (struct vmcb_save *)(void *)v;
}

/* Reads the VMSA that a VMCB names, under the guest's key (c->key), and judges it; NULL, or why it
 * may not run and with which exit code. */
const char *vmsa_open(struct cpu *c, const struct vmcb_control *control, struct vmsa *v,
                      uint64_t *code);
/* All of the guest's registers but those of save_area_load; the host's go to `host`. */
void vmsa_enter(struct cpu *c, const struct vmsa *v, struct vmsa *host);
/* The exit that is noted would have been #VC, but for ReflectVC. */
bool vmsa_reflected(const struct cpu *c);
/* The guest was on another core, or asks for it: nothing that a TLB holds of it counts. */
bool vmsa_wants_flush(const struct cpu *c, const struct vmsa *v);
/* Everything back into the page, and the host's registers into the core. */
void vmsa_leave(struct cpu *c, struct vmsa *v, const struct vmsa *host);

#endif
