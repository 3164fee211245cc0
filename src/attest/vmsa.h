/* VM save areas as hypervisors lay them out for a launch: what each writes into the first one of a
 * vCPU is part of the measurement of SEV-ES and SEV-SNP guests. */
#ifndef LUCCA_ATTEST_VMSA_H
#define LUCCA_ATTEST_VMSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucca/measure.h"

#define VMSA_BYTES 0x1000u

enum vmsa_offset {
#define SEGMENT(offset, name)      VMSA_##name = (offset),
#define FIELD(offset, bytes, name) VMSA_##name = (offset),
#include "attest/vmsa.def"
#undef FIELD
#undef SEGMENT
};

struct vmsa_spec {
    enum attest_vmm vmm;
    uint32_t eip;          /* FFFFFFF0: the bootstrap processor */
    uint64_t rdx;          /* CPUID 1 EAX where the hypervisor hands it over */
    uint64_t sev_features; /* 0 under SEV-ES */
};

#define VMSA_BSP_EIP UINT32_C(0xFFFFFFF0)

/* A processor as it comes out of reset. */
void vmsa_reset(uint8_t page[VMSA_BYTES], const struct vmsa_spec *spec);
/* A processor that begins in an SVSM, in 32-bit protected mode at `rip`. */
void vmsa_svsm(uint8_t page[VMSA_BYTES], uint64_t rip, uint64_t rdx, uint64_t sev_features);

/* The field at an offset, like "CS.base" or "SEV_FEATURES", and where it begins and ends; for bytes
 * that have no name: "reserved". */
struct vmsa_field {
    char name[32];
    unsigned at, bytes;
};
struct vmsa_field vmsa_field_at(unsigned offset);

#endif
