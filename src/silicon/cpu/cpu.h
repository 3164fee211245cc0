/* One core: its state, and what the files of src/silicon/cpu ask of each other.
 *
 * How a core runs. cpu_vmrun (svm.c) loads the guest and calls run (run.c): find the block that
 * starts at RIP (block.c; decoded by decode.c), run its ops one after the other (exec_*.c, each op
 * calls the next), look up the next block. An op that cannot finish calls cpu_fault or cpu_exit,
 * which do not return: they unwind to run with the op named, whose RIP is then exact, because RIP
 * inside a block is cpu.r[REG_BLOCK] + op.off. Nothing an op changed before it faulted may be
 * visible: ops load and check first, and write registers last.
 */
#ifndef LUCCA_SILICON_CPU_H
#define LUCCA_SILICON_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/log.h"
#include "silicon/chip.h"
#include "silicon/cpu/insn.h"
#include "silicon/dram/dram.h"
#include "silicon/soc.h"
#include "silicon/vmcb.h"

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* Order of a segment override and of IOIO's field; FLAT has base 0 and no limit. */
enum { ES, CS, SS, DS, FS, GS, FLAT, SEGS };

/* attrib as in the VMCB: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. */
struct seg {
    uint16_t selector, attrib;
    uint32_t limit; /* in bytes */
    uint64_t base;
};
#define SEG_TYPE(a) ((a)&0xF)
#define SEG_S       0x010u
#define SEG_DPL(a)  ((a) >> 5 & 3)
#define SEG_P       0x080u
#define SEG_L       0x200u
#define SEG_DB      0x400u
#define SEG_G       0x800u

#define EXC_DE  0
#define EXC_DB  1
#define EXC_NMI 2
#define EXC_BP  3
#define EXC_OF  4
#define EXC_BR  5
#define EXC_UD  6
#define EXC_NM  7
#define EXC_DF  8
#define EXC_TS  10
#define EXC_NP  11
#define EXC_SS  12
#define EXC_GP  13
#define EXC_PF  14
#define EXC_MF  16
#define EXC_AC  17
#define EXC_MC  18
#define EXC_XF  19
#define EXC_HV  28
#define EXC_VC  29

#define RFLAGS_TF   UINT64_C(0x100)
#define RFLAGS_IF   UINT64_C(0x200)
#define RFLAGS_DF   UINT64_C(0x400)
#define RFLAGS_IOPL UINT64_C(0x3000)
#define RFLAGS_NT   UINT64_C(0x4000)
#define RFLAGS_RF   UINT64_C(0x10000)
#define RFLAGS_VM   UINT64_C(0x20000)
#define RFLAGS_AC   UINT64_C(0x40000)
#define RFLAGS_VIF  UINT64_C(0x80000)
#define RFLAGS_VIP  UINT64_C(0x100000)
#define RFLAGS_ID   UINT64_C(0x200000)

#define CR0_PE         UINT64_C(0x1)
#define CR0_MP         UINT64_C(0x2)
#define CR0_EM         UINT64_C(0x4)
#define CR0_TS         UINT64_C(0x8)
#define CR0_ET         UINT64_C(0x10)
#define CR0_NE         UINT64_C(0x20)
#define CR0_WP         UINT64_C(0x10000)
#define CR0_AM         UINT64_C(0x40000)
#define CR0_NW         UINT64_C(0x20000000)
#define CR0_CD         UINT64_C(0x40000000)
#define CR0_PG         UINT64_C(0x80000000)
#define CR4_VME        UINT64_C(0x1)
#define CR4_PVI        UINT64_C(0x2)
#define CR4_TSD        UINT64_C(0x4)
#define CR4_DE         UINT64_C(0x8)
#define CR4_PSE        UINT64_C(0x10)
#define CR4_PAE        UINT64_C(0x20)
#define CR4_MCE        UINT64_C(0x40)
#define CR4_PGE        UINT64_C(0x80)
#define CR4_PCE        UINT64_C(0x100)
#define CR4_OSFXSR     UINT64_C(0x200)
#define CR4_OSXMMEXCPT UINT64_C(0x400)
#define CR4_UMIP       UINT64_C(0x800)
#define CR4_FSGSBASE   UINT64_C(0x10000)
#define CR4_PCIDE      UINT64_C(0x20000)
#define CR4_OSXSAVE    UINT64_C(0x40000)
#define CR4_SMEP       UINT64_C(0x100000)
#define CR4_SMAP       UINT64_C(0x200000)
#define EFER_SCE       UINT64_C(0x1)
#define EFER_LME       UINT64_C(0x100)
#define EFER_LMA       UINT64_C(0x400)
#define EFER_NXE       UINT64_C(0x800)
#define EFER_SVME      UINT64_C(0x1000)
#define EFER_FFXSR     UINT64_C(0x4000)

/* An 80-bit register; `se` is sign and exponent. MMX sees `mant`. */
struct x87_reg {
    uint64_t mant;
    uint16_t se;
    uint8_t pad[6];
};

struct x87 {
    struct x87_reg reg[8]; /* physical: ST(i) is reg[(top + i) & 7], top = sw >> 11 & 7 */
    uint16_t cw, sw;       /* sw holds TOP */
    uint8_t valid;         /* bit per physical register: not empty (the abridged tag word) */
    uint16_t fop;
    uint64_t ip, dp;
    uint16_t cs, ds;
};

union vec {
    uint8_t b[32];
    int8_t sb[32];
    uint16_t w[16];
    int16_t sw[16];
    uint32_t d[8];
    int32_t sd[8];
    uint64_t q[4];
    int64_t sq[4];
    float ss[8];
    double dd[4];
} __attribute__((aligned(32)));

/* OSZAPC, computed when asked. `result`: the last result, sign-extended from its size: ZF is
 * result == 0. `carry` bits: 63 CF; 63 xor 62 OF; 3 AF; 0 flips SF, 8 flips PF (both 0 after
 * arithmetic; needed to hold combinations no result has). */
struct lazy {
    int64_t result;
    uint64_t carry;
};
#define LAZY_CF         63
#define LAZY_OF         62
#define LAZY_CARRY_MASK (BIT(63) | BIT(62) | BIT(3))

/* How code is decoded and which state it may use: blocks are keyed by it. */
#define DECODE_SIZE    0x03u /* 0: 16-bit code, 1: 32-bit, 2: 64-bit */
#define DECODE_REAL    0x04u /* real or virtual-8086 mode */
#define DECODE_X87     0x08u /* CR0.EM or TS set: #NM */
#define DECODE_MMX     0x10u /* CR0.EM set: MMX is #UD (TS: DECODE_X87) */
#define DECODE_SSE     0x20u /* SSE is #UD */
#define DECODE_AVX     0x40u /* AVX is #UD */
#define DECODE_STACK32 0x80u /* legacy modes: SS.B */

/* A translation as used: the hit is one compare and one add. A tag is the page's linear address
 * with the 12-bit context in its low bits; 0 never matches (contexts start at 1). */
struct tlb_entry {
    uint64_t rtag, wtag;
    uintptr_t addend; /* host address - linear address */
    uint64_t spa;     /* of the page */
};
#define TLB_ENTRIES 2048u

struct block;

/* Where a TLB context comes from: see mmu.c. */
#define TLB_SPACES 16

struct cpu {
    /* ---- hot ---- */
    uint64_t r[18]; /* RAX.., [REG_ZERO] = 0, [REG_BLOCK] = RIP of the block */
    struct lazy lazy;
    const struct op *next; /* NULL: leave to run(); else the op run() calls (unthreaded builds) */
    uint64_t ctx;          /* current TLB context, 1..4095: address space x CPL x SMAP */
    int64_t budget;        /* instructions until run() must look up; counted at block entry */
    uint64_t rflags;       /* all but OSZAPC; bit 1 set */
    uint64_t rip;          /* exact between blocks; inside one see op_rip */
    uint8_t cpl;
    uint8_t decode; /* DECODE_ */
    bool shadow;    /* interrupt shadow: STI, MOV SS */
    struct seg seg[SEGS];
    union vec vec[16];
    union vec operand; /* the running vector instruction's, when it comes from memory */
    uint32_t mxcsr;    /* control bits; status flags are folded in by fpenv_leave */
    struct x87 x87;

    /* ---- system ---- */
    uint64_t cr0, cr2, cr3, cr4, cr8, xcr0, efer;
    uint64_t dr[8]; /* 0..3, 6, 7 */
    struct seg ldtr, tr, gdtr, idtr;
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux, xss, dbgctl;

    /* ---- the world it runs in ---- */
    struct soc *soc;
    struct dram *dram;
    struct rmp *rmp;
    unsigned id;
    uint64_t features[2];     /* bit per FEAT_ */
    bool guest;               /* between VMRUN and #VMEXIT */
    struct vmcb_control vmcb; /* the running guest's controls, as loaded */
    uint64_t nested_cr3;      /* 0: no nested paging */
    bool sev;                 /* the guest has a key: C-bit counts */
    uint64_t cbit;            /* mask of the C-bit in a guest's PTE and CR3, or 0 */
    dram_key key;             /* for private accesses */
    /* Encrypted state (APM2 15.35, 15.36); all 0 for a guest without. */
    bool es, snp;
    uint8_t vmpl;
    uint64_t vmsa_spa, sev_features, ghcb;
    uint64_t virtual_tom;         /* SEV_FEATURE_VTOM: data below is private, the rest is not */
    uint64_t tsc_scale, tsc_plus; /* Secure TSC: 8.32 fixed point, and what is added */
    uint64_t host_efer, host_hsave, host_syscfg, host_hwcr, host_vm_cr;
    uint64_t tsc_offset; /* written TSC - clock */

    /* ---- run loop ---- */
    jmp_buf *unwind;     /* where cpu_fault and cpu_exit go */
    const struct op *at; /* the op that faulted or exited; NULL: between instructions */
    int64_t slice;       /* budget at the last entry, to know what was retired */
    uint64_t retired;    /* up to the last time run() counted */
    unsigned pause_left; /* PAUSEs until the filter lets one exit (APM2 15.14.4) */
    uint64_t paused_at;  /* `retired` at the last one */
    uint64_t timer_at;   /* `retired` at which the core's timer fires; UINT64_MAX: never */
    int fault_vector;    /* what cpu_fault leaves for run(); the address for #PF */
    uint32_t fault_error;
    uint64_t fault_address;
    bool stepping; /* one instruction at a time: traps are looked at after it */
    bool intr_pin;
    int inject;           /* vector being delivered, -1: none (for #DF and EXITINTINFO) */
    uint64_t exitintinfo; /* event whose delivery is in progress, EVENT_VALID set */
    bool ext;             /* that event is no INT n: EXT in error codes of faults it meets */

    struct tlb_entry tlb[TLB_ENTRIES];
    struct mmu_state *mmu;   /* mmu.c */
    struct blocks *blocks;   /* block.c */
    struct jump *jumps;      /* block.h: JUMPS of them */
    struct block *link_from; /* a direct branch without a link left for run(): from which block, */
    unsigned link_which;     /* 0 fall through, 1 taken */
    struct probe *probe;     /* points of the debug port (probe.h); NULL: none */
    unsigned probe_where;    /* the point that stopped it, */
    bool probe_stopped;      /* .. if one did */
    bool debug_pending;      /* a #DB trap is due after this instruction (data breakpoints) */
};

#define REG8(c, off) (((uint8_t *)(c)->r)[off])

/* RIP of `o` and of the instruction after it. */
static inline uint64_t op_rip(const struct cpu *c, const struct op *o)
{
    return c->r[REG_BLOCK] + o->off;
}
static inline uint64_t op_next_rip(const struct cpu *c, const struct op *o)
{
    uint64_t rip = c->r[REG_BLOCK] + o->off + o->len;

    return (c->decode & DECODE_SIZE) == 2 ? rip : (uint32_t)rip;
}

static inline bool has(const struct cpu *c, enum feature f)
{
    return c->features[f / 64] >> (f % 64) & 1;
}
/* A #DB trap is due after this instruction: by the breakpoints in `hits`, and each #DB tells of its
 * own matches alone, or with 0 by a single step. */
static inline void debug_due(struct cpu *c, unsigned hits)
{
    if (!c->debug_pending)
        c->dr[6] &= ~UINT64_C(0xF);
    c->dr[6] |= hits ? hits : BIT(14);
    c->debug_pending = true;
}
static inline bool long64(const struct cpu *c)
{
    return (c->decode & DECODE_SIZE) == 2;
}
static inline bool long_mode(const struct cpu *c)
{
    return c->efer & EFER_LMA;
}
static inline bool protected_mode(const struct cpu *c)
{
    return c->cr0 & CR0_PE && !(c->rflags & RFLAGS_VM);
}

/* ---- run.c ---- */
/* Runs until cpu_exit; returns with c->vmcb's exit fields set. */
void run(struct cpu *c);
/* #vec at `o` (NULL: between instructions): RIP and retired count become exact, then delivery, with
 * the intercept check first. `error` is ignored for vectors without one. */
_Noreturn void cpu_fault(struct cpu *c, const struct op *o, int vec, uint32_t error);
/* #PF: sets CR2 (unless intercepted) and EXITINFO. */
_Noreturn void cpu_page_fault(struct cpu *c, const struct op *o, uint64_t la, uint32_t error);
/* #VMEXIT at `o`, which has not happened. */
_Noreturn void cpu_exit(struct cpu *c, const struct op *o, uint64_t code, uint64_t info1,
                        uint64_t info2);
/* The same at an instruction that has happened; `next` is where the guest goes on. */
_Noreturn void cpu_exit_after(struct cpu *c, const struct op *o, uint64_t next, uint64_t code,
                              uint64_t info1);
/* SYSCALL and SYSRET trap as RFLAGS.TF says when they are done, not before (APM2 6.1.1). */
void cpu_trap_if_stepping(struct cpu *c);
/* Exits if the row of `o` is intercepted (its exit column against intercept3/4). */
void cpu_intercept(struct cpu *c, const struct op *o);
/* Instructions retired up to and including those before `o` (exact). */
uint64_t cpu_retired_at(const struct cpu *c, const struct op *o);
/* The TSC as the guest reads it at `o`. */
uint64_t cpu_tsc(const struct cpu *c, const struct op *o);
/* Recompute c->decode and the TLB context after CR0, CR4, EFER, XCR0, CS, SS, CPL or AC changed. */
void cpu_mode_changed(struct cpu *c);

/* ---- vc.c: automatic exits and #VC (APM2 15.35.3, 15.35.5) ---- */
/* The exit is one that the hypervisor of a guest with encrypted state sees. */
bool vc_automatic(uint64_t code, uint64_t info1);
/* ..and one after which the guest goes on with the next instruction. */
bool vc_advances(uint64_t code);
/* #VC at `o`: it did what a hypervisor may not see. `code`, of an exit that is not automatic, is
 * the error code. cpu_exit comes to the same. For VMEXIT_PAGE_NOT_VALIDATED the caller has set CR2.
 */
_Noreturn void cpu_vc(struct cpu *c, const struct op *o, uint64_t code);

/* ---- flags.c / flags.h: inline helpers ---- */
uint32_t flags_read(const struct cpu *c);         /* OSZAPC */
void flags_write(struct cpu *c, uint32_t oszapc); /* all six */
uint64_t rflags_get(const struct cpu *c);         /* architectural RFLAGS */

/* ---- mmu.c ---- */
enum access { ACCESS_READ = 0, ACCESS_WRITE = 1, ACCESS_FETCH = 2 };
enum status mmu_init(struct cpu *c, struct error *err) MUST_USE;
void mmu_free(struct cpu *c);
/* Slow paths: any alignment, page crossings, eager DRAM, data breakpoints; they fault by unwinding.
 * `o` names the instruction for the fault; NULL for implicit accesses between instructions. */
void mmu_load(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size);
void mmu_store(struct cpu *c, const struct op *o, uint64_t la, const void *from, unsigned size);
/* As mmu_load, but with the permissions of a write: the first half of a read-modify-write. */
void mmu_load_rw(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size);
/* Both pages of [la, la+size) can be written: faults now, so that a later store cannot. */
void mmu_probe_write(struct cpu *c, const struct op *o, uint64_t la, unsigned size);
/* Accesses of the system: CPL 0 whatever c->cpl is (descriptor tables, TSS, IDT, frames). */
void mmu_load_sys(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size);
void mmu_store_sys(struct cpu *c, const struct op *o, uint64_t la, const void *from, unsigned size);
/* A pointer to `len` bytes in the page of `la` (no crossing), for bulk moves; NULL when they must
 * be done piece by piece (eager DRAM, breakpoints). Faults as the access would. */
uint8_t *mmu_span(struct cpu *c, const struct op *o, uint64_t la, unsigned len, enum access acc);
/* Fetch: the frame and key of the code page at `la`; faults with `o` NULL. */
struct code_page {
    uint64_t frame;
    dram_key key;
};
struct code_page mmu_fetch(struct cpu *c, uint64_t la);
/* VMRUN: another ASID, nested root or CR3 than the TLB last saw may be loaded now. Does not flush.
 */
void mmu_world(struct cpu *c, uint64_t cr3);
/* Flushes, as architecture names them. */
void mmu_set_cr3(struct cpu *c, uint64_t cr3); /* honours PCID and bit 63 */
void mmu_invlpg(struct cpu *c, uint64_t la);
void mmu_invpcid(struct cpu *c, const struct op *o, uint64_t type, uint64_t pcid, uint64_t la);
void mmu_flush_all(struct cpu *c);                /* every entry of this core, globals too */
void mmu_flush_asid(struct cpu *c, bool globals); /* the current ASID's entries */
/* Guest-physical access for the walker and PDPTEs: private (fetch/table) rules. */
/* Called by run.c when ctx inputs changed: sets c->ctx. */
void mmu_context(struct cpu *c);
/* Host pointers into `frame` are dead (the watcher's FRAME_CACHED); translations stay. */
void mmu_drop_frame(struct cpu *c, uint64_t frame);
/* Linear address of an operand outside 64-bit flat mode: segment, limit, rights, wraparound. */
uint64_t seg_linear(struct cpu *c, const struct op *o, unsigned seg, uint64_t off, unsigned size,
                    enum access acc);

/* ---- block.c ---- */
enum status blocks_init(struct cpu *c, struct error *err) MUST_USE;
void blocks_free(struct cpu *c);
struct block *block_find(struct cpu *c, uint64_t rip); /* decodes if need be; may fault */
/* At most `max` instructions from rip; not chained, valid until the next call. */
struct block *block_short(struct cpu *c, uint64_t rip, unsigned max);
/* Makes the link that c->link_from lacks, to the block at rip in the same page. */
void block_link(struct cpu *c, uint64_t rip);
bool blocks_overlap(struct cpu *c, uint64_t frame, unsigned off, unsigned len);
bool blocks_on_frame(struct cpu *c, uint64_t frame);
void blocks_drop_frame(struct cpu *c, uint64_t frame); /* code there was written */
void blocks_drop_page(struct cpu *c, uint64_t la);     /* its translation was invalidated */
void blocks_drop_all(struct cpu *c);                   /* not from inside a block */
void blocks_drop_lookups(struct cpu *c);               /* all translations were */

/* ---- decode.c, disasm.c ---- */
/* Decodes one instruction from `bytes` (`avail` of them, at most 15) under `decode` (DECODE_) and
 * the core's features. The caller has set o->off (RIP-relative operands count from the block's
 * start); everything else but o->left is filled: what may not run there gets a routine that raises
 * #UD, #NM or #GP. Returns its length, or 0 when more than `avail` bytes are needed. */
unsigned decode_insn(const struct cpu *c, const uint8_t *bytes, unsigned avail, uint8_t decode,
                     struct op *o);
/* No instruction of a block may follow `o`: it is control flow, changes how code is decoded or
 * run, or always faults. */
bool op_ends_block(const struct op *o);
/* One line of text, AT&T-free (Intel order): "add rax, [rbx+8]". */
void disassemble(const struct op *o, uint64_t rip, char *text, size_t size);

/* ---- event.c: exceptions, interrupts, IRET, far transfers, task state ---- */
void event_deliver(struct cpu *c, unsigned vec, bool has_error, uint32_t error, bool software,
                   bool external);
bool event_has_error(unsigned vec);
/* INT n, INT3 (vec 3), INTO, INT1 at `o`; faults are reported at it, the return RIP is after it. */
void event_int(struct cpu *c, const struct op *o, unsigned vec);
/* An exception that arose: the rules for #DF and shutdown (c->inject), then the intercepts, then
 * delivery. #PF takes its address from c->fault_address. */
void event_raise(struct cpu *c, unsigned vec, bool has_error, uint32_t error);
/* DR6 bits of enabled breakpoints that match an access; see APM2 13.1. */
unsigned debug_match(const struct cpu *c, uint64_t la, unsigned len, enum access acc);
unsigned debug_match_io(const struct cpu *c, uint16_t port, unsigned len);

/* ---- seg.c ---- */
void seg_load(struct cpu *c, const struct op *o, unsigned seg,
              uint16_t selector); /* MOV/POP Sreg */
void seg_load_real(struct cpu *c, unsigned seg, uint16_t selector);

/* ---- msr.c, cpuid.c ---- */
bool msr_read(struct cpu *c, const struct op *o, uint32_t msr, uint64_t *value) MUST_USE;
bool msr_write(struct cpu *c, const struct op *o, uint32_t msr, uint64_t value) MUST_USE;
/* No hypervisor can intercept it: the registers of guests with encrypted state. */
bool msr_is_the_guests(const struct cpu *c, uint32_t msr);
void features_init(struct cpu *c, const struct chip *chip);

/* ---- svm.c ---- */
/* What VMRUN was asked to inject (EVENTINJ), if anything. */
void event_inject(struct cpu *c);
enum status cpu_new(struct soc *s, struct dram *d, const struct chip *chip, unsigned id,
                    struct cpu **out, struct error *err) MUST_USE;
void cpu_free(struct cpu *c);

/* ---- x87.c / fpenv.c ---- */
void x87_reset(struct cpu *c); /* FNINIT */
/* The host's floating-point environment follows the guest's MXCSR (rounding, and on x86-64 DAZ and
 * FTZ) while guest code runs; sticky flags gather there. Called around run() and at LDMXCSR... */
void fpenv_enter(struct cpu *c);
void fpenv_leave(struct cpu *c);

/* ---- soc.c, for cores ---- */
/* SEV keys: DRAM key for VMRUN with this ASID, or false: VMEXIT_INVALID. */
bool soc_asid_key(struct soc *s, uint32_t asid, dram_key *key);
/* What the chip keeps of an SEV-ES guest's VMSA: is the page at `spa` as it was left, and: this is
 * how it is left now. */
struct vmsa;
bool soc_vmsa_intact(const struct soc *s, uint64_t spa, dram_key key, const struct vmsa *v);
void soc_vmsa_seal(struct soc *s, uint64_t spa, dram_key key, const struct vmsa *v);
void soc_wbinvd(struct soc *s, unsigned core);
/* Which core runs a guest now (NULL: none): its retired instructions move the virtual clock. */
void soc_running(struct soc *s, struct cpu *c);
/* Code was decoded on `frame`: no core may write there past mmu_store any more. */
void soc_code_frame(struct soc *s, uint64_t frame);
/* The clock at which `c` stands now, its running slice included. */
uint64_t soc_clock_now(const struct soc *s, const struct cpu *c, const struct op *o);
/* A deterministic stream under CLOCK_VIRTUAL, the OS's generator else: RDRAND, RDSEED. */
uint64_t soc_random(struct soc *s);
/* The debug port's points, shared by all cores. */
struct probe *soc_probe(struct soc *s);

#endif
