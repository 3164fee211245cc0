/* Virtual machines on one emulated host: the hypervisor as its users see it (the command, the
 * monitor, tests).
 *
 * One process is one host: DRAM, cores and a secure processor (struct soc), and the guests that
 * share them. Everything runs on the caller's thread: host_run() goes round all vCPUs, a slice at a
 * time, and calls device and descriptor callbacks between slices. Functions below may be called
 * from such callbacks.
 */
#ifndef LUCCA_HOST_VM_VM_H
#define LUCCA_HOST_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board_host.h"
#include "host/device/chardev.h"
#include "host/device/virtio_devices.h"
#include "silicon/soc.h"
#include "silicon/vmcb.h"

struct host;
struct vm;
struct vcpu;

/* ---- the host ------------------------------------------------------------------------------ */

struct host_config {
    const struct chip *chip;
    uint64_t memory; /* DRAM in bytes, multiple of 2 MiB; host_memory_for() says what VMs need */
    bool dram_eager;
    unsigned cores; /* one for each vCPU of all guests */
    enum soc_clock clock;
    const char *platform; /* the chip's identity on disk, or NULL */
    bool snp; /* SEV-SNP is initialised, as its guests need: the RMP guards all memory */
};

enum status host_new(const struct host_config *cfg, struct host **out, struct error *err) MUST_USE;
/* Every VM must be freed first. */
void host_free(struct host *h);
/* DRAM that a guest of this size takes, with its tables. */
uint64_t host_memory_for(uint64_t guest_bytes, unsigned vcpus);
struct soc *host_soc(struct host *h);
enum soc_clock host_clock(const struct host *h);

/* Runs until every VM has ended or host_stop() is called, which may be before. */
void host_run(struct host *h);
/* Instructions that all cores have retired. */
uint64_t host_retired(struct host *h);
void host_stop(struct host *h);

/* ---- a guest ------------------------------------------------------------------------------- */

#define VM_MAX_VCPUS  8
#define VM_MAX_DRIVES 16
#define VM_SERIALS    4

struct vm_config {
    const char *name;
    uint64_t memory; /* bytes, multiple of 2 MiB */
    unsigned vcpus;
    enum sev_level sev;
    uint64_t policy;                /* SEV and SEV-ES: 32 bits */
    const char *dh_cert, *session;  /* files of the guest owner, raw or base64; both or neither */
    const char *launch_image;       /* file for what the launch measures, in its order; or NULL */
    const char *id_block, *id_auth; /* SEV-SNP: files, raw or base64; or NULL */
    const char *certs;              /* SEV-SNP: file of the certificates that extended guest
                                     * requests get, as the GHCB's standard lays them out; or NULL */
    const uint8_t *host_data;       /* SEV-SNP: 32 bytes for the report; or NULL: zeros */
    unsigned vmpl;                  /* SEV-SNP: of the processors that the launch makes */
    unsigned request_rate;          /* SEV-SNP: guest messages a second; 0: as many as it likes */
    const char *kernel, *initrd, *append;
    const char *boot_stub; /* SEV-SNP: a program that validates memory and starts the kernel; NULL:
                            * all memory is launched */
    const struct drive_config *drives;
    size_t drive_count;
    const struct net_config *net; /* NULL: none */
    bool rng;
    struct chardev *serial[VM_SERIALS]; /* borrowed */
    struct chardev *debugcon;           /* borrowed */
    struct chardev *console;            /* borrowed; NULL: no virtio console */
    bool debug_exit, testdev;
    bool paused;           /* launched and measured, but waits for vm_resume() */
    bool no_reboot;        /* a reset ends the guest as power-off does */
    int64_t rtc_base;      /* Unix time at the clock's zero */
    uint64_t entropy_seed; /* of the virtio entropy device; 0: the operating system's entropy */
};

/* Builds the machine, loads the kernel and launches it. Strings and files are read again on reset
 * and must outlive the VM. */
enum status vm_new(struct host *h, const struct vm_config *cfg, struct vm **out,
                   struct error *err) MUST_USE;
void vm_free(struct vm *vm);

enum vm_state {
    VM_PRELAUNCH, /* launched paused: the measurement can be had, secrets can be put in */
    VM_RUNNING,
    VM_PAUSED,
    VM_ENDED, /* vm_fate() says how */
};
enum vm_state vm_state(const struct vm *vm);
const struct vm_config *vm_config(const struct vm *vm);
const struct board_fate *vm_fate(const struct vm *vm);
struct host *vm_host(struct vm *vm);
struct board *vm_board(struct vm *vm);

/* Each is ignored where it makes no sense (a pause of a paused VM ...), but vm_resume of a
 * prelaunch VM finishes its launch, which can fail. */
void vm_pause(struct vm *vm);
enum status vm_resume(struct vm *vm, struct error *err) MUST_USE;
/* At the next turn of host_run: the machine as at power-on, loaded (under SEV: launched) anew. */
void vm_reset(struct vm *vm);
/* The power button: the guest decides. */
void vm_powerdown(struct vm *vm);
/* Pulls the plug. */
void vm_quit(struct vm *vm);
void vm_nmi(struct vm *vm);

enum vm_event { VM_EVENT_STOP, VM_EVENT_RESUME, VM_EVENT_RESET, VM_EVENT_POWERDOWN, VM_EVENT_END };
struct vm_listener {
    void (*fn)(void *ctx, struct vm *vm, enum vm_event event);
    void *ctx;
    struct vm_listener *next; /* the VM's own */
};
/* Borrowed; must outlive the VM or be removed. */
void vm_listen(struct vm *vm, struct vm_listener *l);
void vm_unlisten(struct vm *vm, struct vm_listener *l);

/* ---- its memory, as the host sees it: ciphertext where the guest's pages are private --------- */

struct vm_ram {
    uint64_t gpa, size;
};
/* The guest's RAM, ascending: one or two ranges. */
unsigned vm_ram_ranges(const struct vm *vm, struct vm_ram out[2]);
/* False, and nothing done, when the range is not all RAM. */
bool vm_read_phys(struct vm *vm, uint64_t gpa, void *to, size_t len) MUST_USE;
bool vm_write_phys(struct vm *vm, uint64_t gpa, const void *from, size_t len) MUST_USE;

/* ---- its processors ------------------------------------------------------------------------ */

unsigned vm_vcpus(const struct vm *vm);
struct vcpu *vm_vcpu(struct vm *vm, unsigned n);
bool vcpu_halted(const struct vcpu *v); /* in HLT, or waiting for a SIPI */

/* What a hypervisor sees of a guest that is not SEV-ES: everything. gpr in encoding order. */
struct vcpu_regs {
    uint64_t gpr[16], rip, rflags;
    struct vmcb_seg es, cs, ss, ds, fs, gs, ldtr, tr, gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, dr[4], dr6, dr7, xcr0;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, pat, apic_base;
    unsigned cpl;
    uint8_t xsave[CPU_XSAVE_BYTES];
};
/* False, and zeros: they are encrypted (SEV-ES, SEV-SNP). */
bool vcpu_get_regs(struct vcpu *v, struct vcpu_regs *out);

/* False, and nothing done: they are encrypted. `xsave` is set as a whole; XCR0 stays. */
bool vcpu_set_regs(struct vcpu *v, const struct vcpu_regs *regs);

/* ---- a debugger (debug.c): src/debug has it, by the package's debug port ----------------------
 */

struct vm_debugger {
    /* After each run of a vCPU: shall the VM pause here? */
    bool (*stops)(void *ctx, struct vcpu *v);
    void *ctx;
};
/* Borrowed; NULL: none any more. */
void vm_debug(struct vm *vm, const struct vm_debugger *d);
/* One instruction of one vCPU of a VM that is paused; nothing where the vCPU cannot run. */
void vm_step(struct vm *vm, struct vcpu *v);

unsigned vcpu_index(const struct vcpu *v);
unsigned vcpu_core(const struct vcpu *v); /* its number in the package */
struct vm *vcpu_vm(const struct vcpu *v);
/* Where the state of a vCPU with encrypted registers lies, system-physical; 0: it is in the VMCB.
 */
uint64_t vcpu_vmsa(const struct vcpu *v);
uint32_t vm_asid(const struct vm *vm);
/* System-physical address of a page of the guest's RAM. */
bool vm_gpa_to_spa(const struct vm *vm, uint64_t gpa, uint64_t *spa) MUST_USE;

/* ---- SEV ----------------------------------------------------------------------------------- */

struct sev_info {
    uint8_t api_major, api_minor, build;
    uint32_t handle, asid; /* handle: SEV and SEV-ES */
    uint64_t policy;
    uint8_t state; /* enum sev_guest_state, also of SEV-SNP: launching, measured, running ... */
};
/* Of a VM without SEV: ERR_STATE. */
enum status vm_sev_info(struct vm *vm, struct sev_info *out, struct error *err) MUST_USE;
/* measure[32] then mnonce[16], as LAUNCH_MEASURE gave them. */
#define SEV_MEASUREMENT_BYTES 48
enum status vm_sev_measurement(struct vm *vm, uint8_t out[SEV_MEASUREMENT_BYTES],
                               struct error *err) MUST_USE;
/* LAUNCH_SECRET: only before vm_resume() of a VM launched paused. */
enum status vm_sev_secret(struct vm *vm, const void *header, size_t header_len, const void *secret,
                          size_t secret_len, uint64_t gpa, struct error *err) MUST_USE;

/* Of the platform, for query-sev-capabilities and the like; starts the secure processor if it is
 * not yet in use. Buffers are malloc'ed. */
struct sev_platform {
    uint8_t *pdh, *chain, *id;
    size_t pdh_len, chain_len, id_len;
};
enum status host_sev_platform(struct host *h, struct sev_platform *out, struct error *err) MUST_USE;
void sev_platform_free(struct sev_platform *p);

#endif
