/* The pins of the package: ALL that a hypervisor has of the silicon. `src/host` includes this, the
 * layouts beside it (chip.h, vmcb.h, asp_abi.h) and nothing else of `src/silicon`.
 *
 * A core is used as code that runs on it uses it: VMRUN with a VMCB in DRAM, MSRs, physical memory
 * under the host's (plain) key, and the secure processor's mailbox registers. No key, no plaintext
 * of a private page, no register of an SEV-ES guest crosses here.
 */
#ifndef LUCCA_SILICON_SOC_H
#define LUCCA_SILICON_SOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/chip.h"

struct soc;
struct cpu;

enum soc_clock {
    CLOCK_VIRTUAL, /* time is instructions retired, 1 ns each, plus skipped idle time */
    CLOCK_HOST,    /* time follows the machine's CLOCK_MONOTONIC, smoothly while cores run */
};

struct soc_config {
    const struct chip *chip;
    uint64_t dram_bytes; /* multiple of 2 MiB */
    bool dram_eager;     /* true ciphertext in memory: slow, the specification */
    unsigned cores;      /* 1 .. 64 */
    enum soc_clock clock;
    const char *platform; /* path of the chip's identity on disk; NULL: a fresh chip, not kept */
};

enum status soc_new(const struct soc_config *cfg, struct soc **out, struct error *err) MUST_USE;
void soc_free(struct soc *s);
const struct chip *soc_chip(const struct soc *s);
uint64_t soc_dram_size(const struct soc *s);

/* Physical memory as the host sees it: ciphertext where a page is private. False outside DRAM, and
 * for a write to a page that the RMP assigns to somebody else: nothing is done then, and
 * soc_rmp_fault says so until the next write. */
bool soc_read(struct soc *s, uint64_t spa, void *to, size_t len) MUST_USE;
bool soc_write(struct soc *s, uint64_t spa, const void *from, size_t len) MUST_USE;
/* The last soc_write ended in #PF with error code bit 31 (RMP), as a host's store does (APM2
 * 15.36.10). `spa`, unless NULL: the page. */
bool soc_rmp_fault(const struct soc *s, uint64_t *spa);

/* The secure processor's mailbox: its three 32-bit registers, offsets as in asp_abi.h. A write to
 * CmdResp runs the command to its end. */
uint32_t soc_asp_read(struct soc *s, uint32_t reg);
void soc_asp_write(struct soc *s, uint32_t reg, uint32_t value);

/* Time, in ns since power-on; never goes back. The TSC of every core runs at SOC_TSC_KHZ from it.
 */
#define SOC_TSC_KHZ 1000000u
uint64_t soc_now(const struct soc *s);
/* All cores idle until `ns`. CLOCK_VIRTUAL goes there; CLOCK_HOST goes there as far as the
 * machine's clock has. No effect when that is past. */
void soc_idle_until(struct soc *s, uint64_t ns);

/* ---- cores: code on core n --------------------------------------------------------------- */
struct cpu *soc_core(struct soc *s, unsigned n);

/* VMRUN (APM2 15.5): loads the guest from the VMCB at `vmcb_spa`, runs it, returns after #VMEXIT
 * with the state saved and EXITCODE set there. Runs with interrupts on: the timer below
 * ends it with VMEXIT_INTR. */
void cpu_vmrun(struct cpu *c, uint64_t vmcb_spa);

/* The core's own timer: VMEXIT_INTR after the guest retired `insns` more (0: never). */
void cpu_timer(struct cpu *c, uint64_t insns);
/* Instructions the core has retired since power-on, guests' all told; an exception or an
 * injected event that reaches its handler counts as one. */
uint64_t cpu_retired(const struct cpu *c);

/* General registers that VMRUN leaves to software: RAX and RSP travel in the VMCB (their slots
 * here are not used). For an SEV-ES guest they hold nothing of the guest's. Order: as encoded. */
uint64_t *cpu_gprs(struct cpu *c);

/* VMLOAD/VMSAVE: FS, GS, TR, LDTR, KERNEL_GS_BASE, STAR.., SYSENTER.. from and to a VMCB. */
void cpu_vmload(struct cpu *c, uint64_t vmcb_spa);
void cpu_vmsave(struct cpu *c, uint64_t vmcb_spa);

/* Host MSRs: EFER, SYSCFG, HWCR, VM_CR, VM_HSAVE_PA, TSC. False: #GP. */
bool cpu_rdmsr(struct cpu *c, uint32_t msr, uint64_t *value) MUST_USE;
bool cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t value) MUST_USE;

/* CPUID as the chip reports it to host code (`leaf`, `subleaf` in; EAX, EBX, ECX, EDX out). */
void cpu_cpuid(struct cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* State that a host swaps by XSETBV, XRSTOR/XSAVE and MOV DR around VMRUN: one vCPU a core does not
 * need to, but reset and dumps do. `image`: the 512-byte FXSAVE layout followed by the XSAVE
 * header and YMM_Hi128 at 576 (832 bytes in all, standard format). */
#define CPU_XSAVE_BYTES 832
void cpu_xsetbv(struct cpu *c, uint64_t xcr0);
uint64_t cpu_xgetbv(const struct cpu *c);
void cpu_xrstor(struct cpu *c, const uint8_t image[CPU_XSAVE_BYTES]);
void cpu_xsave(const struct cpu *c, uint8_t image[CPU_XSAVE_BYTES]);
void cpu_set_dr(struct cpu *c, unsigned n, uint64_t value); /* DR0..DR3 */
uint64_t cpu_get_dr(const struct cpu *c, unsigned n);

void cpu_wbinvd(struct cpu *c);

/* ---- SEV-SNP: what a hypervisor executes on pages (APM3; EAX of the instruction returned) ------
 */

/* #UD instead of a code: SYSCFG.SecureNestedPagingEn is not set on all cores, or the chip lacks the
 * instruction. */
#define CPU_RMP_UD 0xFFFFFFFFu

/* The 16 bytes that RCX of RMPUPDATE and RMPREAD points to. */
struct rmp_update {
    uint64_t gpa;
    uint8_t assigned, page_size /* 0: 4 KiB, 1: 2 MiB */, immutable, reserved;
    uint32_t asid;
};
unsigned cpu_rmpupdate(struct cpu *c, uint64_t spa, const struct rmp_update *state);
unsigned cpu_psmash(struct cpu *c, uint64_t spa);
/* RMPREAD is there on chips that report it (Turin does not by what is known of it); the
 * firmware-less way to look is the table itself, which the host may read. */
unsigned cpu_rmpread(struct cpu *c, uint64_t spa, struct rmp_update *state);

#endif
