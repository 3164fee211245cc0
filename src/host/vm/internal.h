/* Inside the hypervisor: what its files share. */
#ifndef LUCCA_HOST_VM_INTERNAL_H
#define LUCCA_HOST_VM_INTERNAL_H

#include "host/boot/loader.h"
#include "host/device/pc.h"
#include "host/vm/vm.h"
#include "silicon/asp_abi.h"
#include "silicon/snp_abi.h"

#define PAGE       UINT64_C(4096)
#define LARGE_PAGE UINT64_C(0x200000)
#define HIGH_RAM   UINT64_C(0x100000000)

/* The reverse map table: its own bookkeeping, then an entry for each page (APM2 15.36.4). */
#define RMP_BOOKKEEPING UINT64_C(0x4000)
#define RMP_ENTRY       UINT64_C(16)
#define RMP_GRAIN       UINT64_C(0x100000)

/* ---- host ---------------------------------------------------------------------------------- */

struct asp_driver {
    uint64_t command; /* SPA of the page for command buffers */
    uint64_t reclaim; /* of the page for those of PAGE_RECLAIM, in the midst of another command */
    uint64_t data;    /* SPA of what they point at: certificates, sessions, secrets */
    bool initialised;
    bool asid_used[2048]; /* ASIDs in use by SEV guests */
    uint64_t tmr;         /* SPA of the memory that SEV-ES needs; 0: none */
    bool snp;             /* SNP_INIT_EX is done: the RMP is in force */
    uint64_t rmp_base, rmp_bytes;
};
#define ASP_DATA_BYTES (16 * PAGE)
#define ASP_FRAMES     (2 + ASP_DATA_BYTES / PAGE)

struct host {
    struct soc *soc;
    const struct chip *chip;
    enum soc_clock clock;
    unsigned cores, cores_used;
    bool core_used[64];
    uint64_t *frame_map; /* a bit for each frame of DRAM that is in use */
    uint64_t *dirty_map; /* a bit for each frame that was ever in use: to be zeroed again */
    uint64_t frames;
    struct asp_driver asp;
    bool plain_asid_used[64]; /* of guests without a key, above those that can hold one */
    struct vm *vms;
    volatile bool stop; /* signal handlers set it too */
    uint64_t next_poll; /* host ns */
};

/* Zeroed, aligned DRAM: `count` frames at a multiple of `align` frames. 0 when there is none. */
uint64_t host_alloc(struct host *h, uint64_t count, uint64_t align);
void host_release(struct host *h, uint64_t spa, uint64_t count);
uint64_t host_free_frames(const struct host *h);
bool host_zero(struct host *h, uint64_t spa, uint64_t len);

/* ---- the secure processor's driver (asp.c) -------------------------------------------------- */

/* Runs one command over `len` bytes of command buffer, copied in and out. */
enum status asp_command(struct host *h, enum sev_command cmd, void *buffer, size_t len,
                        struct error *err) MUST_USE;
/* The same for the commands of the SNP ABI. `*status`, unless NULL: what the firmware said; where
 * it says no that is an error too. */
enum status asp_snp_command(struct host *h, enum snp_command cmd, void *buffer, size_t len,
                            enum sev_status *status, struct error *err) MUST_USE;
/* With the RMP in force, pages that the firmware writes are its own while it does (SNP ABI, "Page
 * states"): FIRMWARE, and back by PAGE_RECLAIM. Nothing without. */
enum status asp_lend(struct host *h, uint64_t spa, uint64_t pages, struct error *err) MUST_USE;
enum status asp_take_back(struct host *h, uint64_t spa, uint64_t pages, struct error *err) MUST_USE;
/* INIT, WBINVD and DF_FLUSH, once. */
enum status asp_start(struct host *h, struct error *err) MUST_USE;
enum status asp_flush(struct host *h, struct error *err) MUST_USE;
void asp_stop(struct host *h);

/* ---- VM ------------------------------------------------------------------------------------ */

struct sev_guest {
    bool launched;
    uint32_t handle, asid;
    bool active;
    uint8_t measurement[SEV_MEASUREMENT_BYTES];
    bool measured;
    uint64_t gctx;         /* SEV-SNP: SPA of its context page; 0: none */
    uint64_t next_request; /* when the throttle lets the next guest message through, ns */
    uint8_t *certs;        /* what extended requests get, whole pages; NULL: an empty table */
    uint64_t cert_pages;
};

/* How an application processor of a guest with encrypted state waits for its SIPI. */
enum ap_hold { AP_RUNS, AP_HELD_BY_PAGE, AP_HELD_BY_MSR };

/* What stays of a vCPU's privilege level while another one runs. */
struct vcpu_level {
    uint64_t vmsa_spa; /* 0: none */
    uint64_t ghcb_msr, ghcb, interrupt_state;
};
#define VCPU_LEVELS 4u

struct vcpu {
    struct vm *vm;
    unsigned index;
    unsigned core_number;
    struct cpu *core;
    struct lapic *lapic;
    uint64_t vmcb_spa;
    uint64_t vmsa_spa; /* SEV-ES, SEV-SNP: the page that VMRUN loads it from; 0 without */
    uint64_t
        launched_vmsa; /* the one that its launch made: freed with the launch, not with vmsa_spa */
    struct vmcb vmcb;  /* as it is in DRAM after #VMEXIT; written back before VMRUN */
    bool halted, waits_sipi;
    bool nmi_masked;
    bool nmi_returns; /* its handler is at the IRET at nmi_iret, which ends the masking */
    uint64_t nmi_iret;
    /* Guests with encrypted state: what they told by their GHCB, and how their APs start. */
    uint64_t ghcb;      /* SNP: GPA that is registered; UINT64_MAX: none */
    uint64_t held_ghcb; /* with AP_HELD_BY_PAGE */
    enum ap_hold held;
    bool started;       /* its launch VMSA has run */
    uint64_t next_vmsa; /* SNP: SPA of the one to start at the next INIT; 0: none */
    uint64_t xcr0, dr7;
    unsigned vmpl;                        /* SNP: the level that runs ... */
    struct vcpu_level level[VCPU_LEVELS]; /* ... and those that do not */
    bool yield;                           /* gave up the rest of its slice */
    bool flush;                           /* the next VMRUN flushes its TLB */
    uint64_t mtrr_var[16], mtrr_fixed[11], mtrr_def_type;
    uint64_t misc_msr[16]; /* values of MSRs that only remember (msr.c) */
};

/* 2 MiB of an SNP guest's RAM: its nested tables agree with the RMP in the size of pages. */
struct piece {
    uint64_t table;      /* SPA of the table of its 4 KiB pages; 0: never needed */
    uint64_t private[8]; /* a bit for each 4 KiB that is assigned to the guest */
    bool split;          /* mapped by `table`; else by one large page */
    bool large;          /* the RMP has one entry for it */
};

struct vm {
    struct host *host;
    struct vm_config cfg;
    struct vm *next;
    enum vm_state state;
    bool reset_wanted, quit_wanted;
    struct board_fate fate;

    uint64_t *chunk; /* SPA of each 2 MiB of guest RAM, low then high */
    uint64_t chunks;
    struct piece *piece; /* of each chunk, under SNP; else NULL */
    uint64_t ram_low, ram_high;
    uint64_t npt;      /* SPA of the root of the nested page tables */
    uint64_t npt_base; /* of the frames they are in */
    uint64_t npt_frames, npt_used;
    uint64_t msrpm, iopm;
    uint32_t asid;
    struct sev_guest sev;
    uint64_t sev_features;  /* SEV_FEATURES of every VMSA (vmsa.h) */
    uint64_t ap_jump_table; /* SEV-ES: GPA that GHCB event 80000005 answers; 0: none */

    struct board *board;
    struct pc *pc;
    struct disks *disks;
    struct virtio *net, *entropy, *console;
    uint64_t entropy_state;
    struct vcpu *vcpu;
    struct vm_listener *listeners;
    const struct vm_debugger *debugger;
};

void vm_notify(struct vm *vm, enum vm_event event);
void vm_finish(struct vm *vm);
enum status vm_relaunch(struct vm *vm, struct error *err) MUST_USE;
/* LAUNCH_FINISH where it is due, and off it goes. */
enum status vm_start(struct vm *vm, struct error *err) MUST_USE;
/* Ends the guest with FATE_CRASH. */
void vm_crash(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- guest memory (memory.c) ---------------------------------------------------------------- */

/* Frames that nested page tables for this much RAM take. */
uint64_t npt_frames_for(uint64_t ram_low, uint64_t ram_high);
uint64_t rmp_bytes_for(uint64_t dram);
void ram_split(uint64_t bytes, uint64_t *ram_low, uint64_t *ram_high);
enum status memory_new(struct vm *vm, struct error *err) MUST_USE;
enum status memory_clear(struct vm *vm, struct error *err) MUST_USE;
void memory_free(struct vm *vm);
bool ram_to_spa(const struct vm *vm, uint64_t gpa, uint64_t *spa);
/* The piece around `gpa`, or NULL where none is. */
struct piece *memory_piece(const struct vm *vm, uint64_t gpa);
/* Nested tables of 4 KiB pages, or of one large page, for the piece around `gpa`. Done already:
 * true. */
bool memory_split(struct vm *vm, uint64_t gpa) MUST_USE;
bool memory_join(struct vm *vm, uint64_t gpa) MUST_USE;

/* ---- an SNP guest's pages (rmp_driver.c) ------------------------------------------------------
 * `large`: the 2 MiB piece at `gpa`. Each splits the RMP's entry and the nested tables where it has
 * to and has the vCPUs flush what they cached. False: `gpa` is not RAM, or the chip refuses. */

/* Assigned to the guest at `gpa`, not validated: also a page that was the guest's and valid. */
bool rmp_make_private(struct vm *vm, uint64_t gpa, bool large) MUST_USE;
/* The same and immutable, on its way into the launch (SNP ABI, "Pre-Guest"). */
bool rmp_make_pre_guest(struct vm *vm, uint64_t gpa, bool large) MUST_USE;
/* The hypervisor's again. A page that is shared already is left alone. */
bool rmp_make_shared(struct vm *vm, uint64_t gpa, bool large) MUST_USE;
/* PSMASH: the piece around `gpa` in 4 KiB entries, both tables; done already: true. */
bool rmp_smash(struct vm *vm, uint64_t gpa) MUST_USE;
bool rmp_is_private(const struct vm *vm, uint64_t gpa);
/* Every page that the guest has, in whatever state its launch left it: PAGE_RECLAIM where the
 * RMP's entry is immutable. */
bool rmp_release_all(struct vm *vm) MUST_USE;

/* ---- SEV launch (sev.c) ---------------------------------------------------------------------- */

enum status sev_check(const struct host *h, const struct vm_config *cfg,
                      struct error *err) MUST_USE;
enum status sev_asid_alloc(struct vm *vm, struct error *err) MUST_USE;
void sev_asid_free(struct vm *vm);
enum status sev_launch(struct vm *vm, const struct boot_plan *plan, struct error *err) MUST_USE;
enum status sev_finish(struct vm *vm, struct error *err) MUST_USE;
void sev_teardown(struct vm *vm);
/* A file of exactly `want` bytes, raw or base64, to `spa`. */
enum status sev_put_file(struct host *h, const char *path, size_t want, uint64_t spa,
                         const char *what, struct error *err) MUST_USE;

/* ---- the first register state of guests that encrypt it (vmsa.c) ------------------------------
 */

struct vmsa;
void vmsa_first(const struct vm *vm, const struct boot_plan *plan, unsigned index,
                struct vmsa *out);
/* The vCPU's page, with this in it. */
enum status vmsa_page(struct vcpu *v, const struct vmsa *image, struct error *err) MUST_USE;
void vmsa_release(struct vcpu *v);

/* ---- SEV-SNP (snp.c) ------------------------------------------------------------------------- */

/* The RMP, the MSRs of all cores and SNP_INIT_EX: before anything else of the secure processor and
 * before a core has a host save area (SNP ABI, SNP_INIT). */
enum status snp_start(struct host *h, struct error *err) MUST_USE;
void snp_stop(struct host *h);
enum status snp_launch(struct vm *vm, const struct boot_plan *plan, struct error *err) MUST_USE;
enum status snp_finish(struct vm *vm, struct error *err) MUST_USE;
enum status snp_info(struct vm *vm, struct sev_info *out, struct error *err) MUST_USE;
void snp_teardown(struct vm *vm);

/* snp_cpuid.c: the CPUID table, and where the firmware's correction differs from it (to the trace).
 */
void snp_cpuid_table(struct vcpu *v, struct snp_cpuid_page *page);
void snp_cpuid_differences(struct vcpu *v, const struct snp_cpuid_page *page);

/* A guest's message to the secure processor (GHCB 2.03, 80000011h and 80000012h). Both pages are
 * the guest's shared memory, checked here. */
struct snp_request {
    uint64_t request_gpa, response_gpa;
    bool extended;                 /* with the certificates of the chip's key */
    uint64_t data_gpa, data_pages; /* where they go; data_pages: out, too, when they are too few */
    uint32_t fw_error, vmm_error;  /* out: SW_EXITINFO2 31:0 and 63:32 */
};
/* VMM errors of guest requests (GHCB 2.03, 4.1.7). */
enum { SNP_REQUEST_INVALID_LEN = 1, SNP_REQUEST_BUSY = 2 };
/* False: an address is no shared page of the guest's (SW_EXITINFO1 = 2, SW_EXITINFO2 = 5). */
bool snp_forward_request(struct vm *vm, struct snp_request *req) MUST_USE;

/* ---- vCPU (vcpu.c) --------------------------------------------------------------------------- */

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

enum status vcpu_new(struct vcpu *v, struct error *err) MUST_USE;
void vcpu_free(struct vcpu *v);
/* INIT state (APM2 14.1.3), from power-on or by INIT. */
void vcpu_init_state(struct vcpu *v, bool power_on);
/* Encrypted state: from here on it is what is in the page at `vmsa_spa`. */
void vcpu_start_vmsa(struct vcpu *v, uint64_t vmsa_spa);
void vcpu_boot_state(struct vcpu *v, const struct boot_start *start);
/* Runs once: to the next #VMEXIT, at most `insns` instructions, and handles it. */
void vcpu_run(struct vcpu *v, uint64_t insns);
bool vcpu_runnable(struct vcpu *v);
/* Can anything but a reset ever wake it? */
bool vcpu_hopeless(const struct vcpu *v);
uint64_t vcpu_gpr(const struct vcpu *v, unsigned n);
void vcpu_set_gpr(struct vcpu *v, unsigned n, uint64_t value);
/* Past the instruction that exited. */
void vcpu_skip(struct vcpu *v, uint64_t next_rip);
enum { EXC_DB = 1, EXC_UD = 6, EXC_GP = 13, EXC_PF = 14 };
void vcpu_inject(struct vcpu *v, unsigned vector, bool has_error, uint32_t error);
/* Brings FS, GS, TR and what else VMRUN leaves out into `vmcb`. */
void vcpu_fetch_rest(struct vcpu *v);

void vcpu_exit(struct vcpu *v);                                                /* exit.c */
void exit_vmgexit(struct vcpu *v);                                             /* ghcb.c */
void exit_ioio(struct vcpu *v);                                                /* ioio.c */
void exit_npf(struct vcpu *v);                                                 /* npf.c */
void exit_msr(struct vcpu *v);                                                 /* msr.c */
void msr_reset(struct vcpu *v);                                                /* msr.c */
void msr_permissions(uint8_t map[2 * 4096], enum sev_level sev);               /* msr.c */
void vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t out[4]); /* cpuid.c */

/* The VMSA is the guest's own: the host sees and sets no register (APM2 15.35). */
static inline bool vcpu_encrypted(const struct vcpu *v)
{
    return v->vm->cfg.sev >= SEV_ES;
}

/* ---- what an exit and a GHCB event have in common ---------------------------------------------
 */

/* One access to a port or to device memory, of 1, 2, 4 or 8 bytes. */
uint64_t io_port(struct vcpu *v, bool in, uint16_t port, unsigned size, uint64_t value);
uint64_t io_load(struct vcpu *v, uint64_t gpa, unsigned size);
void io_store(struct vcpu *v, uint64_t gpa, unsigned size, uint64_t value);
/* False: #GP. */
bool msr_access(struct vcpu *v, uint32_t msr, bool write, uint64_t *value) MUST_USE;

/* ---- processors of guests with encrypted state (ap.c) -----------------------------------------
 */

void ap_take_init_and_sipi(struct vcpu *v);
/* The vCPU goes on at another privilege level, where that has a VMSA. */
bool vcpu_run_vmpl(struct vcpu *v, unsigned vmpl);

/* ---- guest linear memory in the host's view (walk.c) ----------------------------------------- */

struct walk_fault {
    bool pf; /* else: no such memory */
    uint32_t error;
    uint64_t linear;
};
bool guest_walk(struct vcpu *v, uint64_t linear, bool write, uint64_t *gpa,
                struct walk_fault *fault);

#endif
