/* The virtual machine control block (APM2 appendix B), 4 KiB at a page boundary in DRAM. */
#ifndef LUCCA_SILICON_VMCB_H
#define LUCCA_SILICON_VMCB_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* selector; attrib = descriptor bits 47:40 in 7:0, 55:52 in 11:8; limit is byte-granular. */
struct vmcb_seg {
    uint16_t selector, attrib;
    uint32_t limit;
    uint64_t base;
};

struct vmcb_control {
    uint32_t intercept_cr;        /* 000: reads 15:0, writes 31:16 */
    uint32_t intercept_dr;        /* 004 */
    uint32_t intercept_exception; /* 008 */
    uint32_t intercept3;          /* 00C: INTERCEPT3_* */
    uint32_t intercept4;          /* 010: INTERCEPT4_* */
    uint32_t intercept5;          /* 014 */
    uint8_t reserved_018[0x03C - 0x018];
    uint16_t pause_threshold; /* 03C */
    uint16_t pause_count;     /* 03E */
    uint64_t iopm_base_pa;    /* 040: 12 KiB + 3 bits */
    uint64_t msrpm_base_pa;   /* 048: 8 KiB */
    uint64_t tsc_offset;      /* 050 */
    uint32_t asid;            /* 058 */
    uint8_t tlb_control;      /* 05C: 0, 1 all, 3 this ASID, 7 this ASID non-global */
    uint8_t reserved_05d[3];
    uint64_t vintr;           /* 060: V_* */
    uint64_t interrupt_state; /* 068: bit 0 shadow, GUEST_INTERRUPT_MASK */
    uint64_t exitcode;        /* 070 */
    uint64_t exitinfo1;       /* 078 */
    uint64_t exitinfo2;       /* 080 */
    uint64_t exitintinfo;     /* 088 */
    uint64_t nested_ctl;      /* 090: NESTED_* */
    uint64_t avic_apic_bar;   /* 098 */
    uint64_t ghcb_gpa;        /* 0A0 */
    uint64_t eventinj;        /* 0A8: EVENT_* */
    uint64_t ncr3;            /* 0B0 */
    uint64_t virt_ext;        /* 0B8 */
    uint32_t clean_bits;      /* 0C0: hints; this silicon reloads everything */
    uint32_t reserved_0c4;
    uint64_t nrip;              /* 0C8 */
    uint8_t insn_len;           /* 0D0: bytes fetched, for #NPF and #PF on data */
    uint8_t insn_bytes[15];     /* 0D1 */
    uint64_t avic_backing_page; /* 0E0 */
    uint8_t reserved_0e8[8];
    uint64_t avic_logical_table;  /* 0F0 */
    uint64_t avic_physical_table; /* 0F8 */
    uint8_t reserved_100[8];
    uint64_t vmsa_pa;     /* 108 */
    uint64_t vmgexit_rax; /* 110: with the VMGEXIT parameter feature */
    uint8_t vmgexit_cpl;  /* 118 */
    uint8_t reserved_119[0x138 - 0x119];
    uint64_t allowed_sev_features; /* 138: bit 63 puts the mask in force */
    uint64_t guest_sev_features;   /* 140: written at #VMEXIT */
    uint8_t reserved_148[0x400 - 0x148];
};
static_assert(offsetof(struct vmcb_control, iopm_base_pa) == 0x040, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, asid) == 0x058, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, exitcode) == 0x070, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, eventinj) == 0x0A8, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, nrip) == 0x0C8, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, insn_len) == 0x0D0, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, vmsa_pa) == 0x108, "APM2 B-1");
static_assert(offsetof(struct vmcb_control, guest_sev_features) == 0x140, "APM2 B-1");
static_assert(sizeof(struct vmcb_control) == 0x400, "APM2 B-1");

struct vmcb_save {
    struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 000 .. 09F */
    uint8_t reserved_0a0[0x0CB - 0x0A0];
    uint8_t cpl; /* 0CB */
    uint8_t reserved_0cc[4];
    uint64_t efer; /* 0D0 */
    uint8_t reserved_0d8[0x148 - 0x0D8];
    uint64_t cr4, cr3, cr0; /* 148, 150, 158 */
    uint64_t dr7, dr6;      /* 160, 168 */
    uint64_t rflags, rip;   /* 170, 178 */
    uint8_t reserved_180[0x1D8 - 0x180];
    uint64_t rsp;                                        /* 1D8 */
    uint64_t s_cet, ssp, isst;                           /* 1E0 */
    uint64_t rax;                                        /* 1F8 */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base; /* 200 .. 220 */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;    /* 228 .. 238 */
    uint64_t cr2;                                        /* 240 */
    uint8_t reserved_248[0x268 - 0x248];
    uint64_t g_pat;                                              /* 268 */
    uint64_t dbgctl, br_from, br_to, lastexcp_from, lastexcp_to; /* 270 .. 290 */
    uint8_t reserved_298[0xC00 - 0x298];
};
static_assert(offsetof(struct vmcb_save, cpl) == 0x0CB, "APM2 B-2");
static_assert(offsetof(struct vmcb_save, cr4) == 0x148, "APM2 B-2");
static_assert(offsetof(struct vmcb_save, rsp) == 0x1D8, "APM2 B-2");
static_assert(offsetof(struct vmcb_save, star) == 0x200, "APM2 B-2");
static_assert(offsetof(struct vmcb_save, cr2) == 0x240, "APM2 B-2");
static_assert(offsetof(struct vmcb_save, g_pat) == 0x268, "APM2 B-2");

struct vmcb {
    struct vmcb_control control;
    struct vmcb_save save;
};
static_assert(sizeof(struct vmcb) == 0x1000, "one page");

/* clang-format off */
#define INTERCEPT3(X)                                                                              \
    X(INTR, 0) X(NMI, 1) X(SMI, 2) X(INIT, 3) X(VINTR, 4) X(CR0_SEL, 5) X(IDTR_READ, 6)            \
    X(GDTR_READ, 7) X(LDTR_READ, 8) X(TR_READ, 9) X(IDTR_WRITE, 10) X(GDTR_WRITE, 11)              \
    X(LDTR_WRITE, 12) X(TR_WRITE, 13) X(RDTSC, 14) X(RDPMC, 15) X(PUSHF, 16) X(POPF, 17)           \
    X(CPUID, 18) X(RSM, 19) X(IRET, 20) X(SWINT, 21) X(INVD, 22) X(PAUSE, 23) X(HLT, 24)           \
    X(INVLPG, 25) X(INVLPGA, 26) X(IOIO, 27) X(MSR, 28) X(TASK_SWITCH, 29) X(FERR, 30)             \
    X(SHUTDOWN, 31)
#define INTERCEPT4(X)                                                                              \
    X(VMRUN, 0) X(VMMCALL, 1) X(VMLOAD, 2) X(VMSAVE, 3) X(STGI, 4) X(CLGI, 5) X(SKINIT, 6)         \
    X(RDTSCP, 7) X(ICEBP, 8) X(WBINVD, 9) X(MONITOR, 10) X(MWAIT, 11) X(MWAIT_ARMED, 12)           \
    X(XSETBV, 13) X(RDPRU, 14) X(EFER_TRAP, 15)
/* clang-format on */

enum vmexit {
    VMEXIT_CR_READ = 0x00,
    VMEXIT_CR_WRITE = 0x10,
    VMEXIT_DR_READ = 0x20,
    VMEXIT_DR_WRITE = 0x30,
    VMEXIT_EXCEPTION = 0x40,
#define X(name, bit) VMEXIT_##name = 0x60 + (bit),
    INTERCEPT3(X)
#undef X
#define X(name, bit) VMEXIT_##name = 0x80 + (bit),
        INTERCEPT4(X)
#undef X
            VMEXIT_CR_TRAP = 0x90,
    VMEXIT_INVLPGB = 0xA0,
    VMEXIT_INVPCID = 0xA2,
    VMEXIT_BUS_LOCK = 0xA5,
    VMEXIT_IDLE_HLT = 0xA6,
    VMEXIT_VC = 0x5D, /* what would be #VC, with ReflectVC (APM2 15.36.9) */
    VMEXIT_NPF = 0x400,
    VMEXIT_VMGEXIT = 0x403,
    VMEXIT_PAGE_NOT_VALIDATED = 0x404, /* only as the error code of #VC */
};
#define VMEXIT_INVALID UINT64_MAX
#define VMEXIT_BUSY    (UINT64_MAX - 1) /* the VMSA's BUSY bit is set (APM2 15.36.16) */

/* Which bit of intercept3 or intercept4 stands for an exit code from 60h to 8Fh. */
#define INTERCEPT_BIT(vmexit) (UINT32_C(1) << ((vmexit)&31))

#define GUEST_INTERRUPT_MASK UINT64_C(2) /* interrupt_state: RFLAGS.IF of an SEV-ES guest */

#define V_TPR(vintr)     ((vintr)&0xFF)
#define V_IRQ            (UINT64_C(1) << 8)
#define V_GIF            (UINT64_C(1) << 9)
#define V_INTR_PRIO(n)   ((uint64_t)(n) << 16)
#define V_IGN_TPR        (UINT64_C(1) << 20)
#define V_INTR_MASKING   (UINT64_C(1) << 24)
#define V_AVIC           (UINT64_C(1) << 31)
#define V_INTR_VECTOR(n) ((uint64_t)(n) << 32)

#define NESTED_NP     (UINT64_C(1) << 0)
#define NESTED_SEV    (UINT64_C(1) << 1)
#define NESTED_SEV_ES (UINT64_C(1) << 2)

#define EVENT_VECTOR(e)   ((e)&0xFF)
#define EVENT_TYPE_INTR   (UINT64_C(0) << 8)
#define EVENT_TYPE_NMI    (UINT64_C(2) << 8)
#define EVENT_TYPE_EXCEPT (UINT64_C(3) << 8)
#define EVENT_TYPE_SWINT  (UINT64_C(4) << 8)
#define EVENT_TYPE_MASK   (UINT64_C(7) << 8)
#define EVENT_ERROR_VALID (UINT64_C(1) << 11)
#define EVENT_VALID       (UINT64_C(1) << 31)

/* #NPF error code, EXITINFO1 (APM2 15.25.6); low bits as #PF's. EXITINFO2 is the GPA. */
#define NPF_PRESENT (UINT64_C(1) << 0)
#define NPF_WRITE   (UINT64_C(1) << 1)
#define NPF_USER    (UINT64_C(1) << 2)
#define NPF_RSVD    (UINT64_C(1) << 3)
#define NPF_FETCH   (UINT64_C(1) << 4)
#define NPF_FINAL   (UINT64_C(1) << 32) /* the fault was on the guest's final address */
#define NPF_WALK    (UINT64_C(1) << 33) /* the fault was on a guest page table */
/* SEV-SNP (APM2 15.36.10). */
#define NPF_RMP   (UINT64_C(1) << 31) /* an RMP check failed; so in the host's #PF */
#define NPF_ENC   (UINT64_C(1) << 34) /* the access was private */
#define NPF_SIZEM (UINT64_C(1) << 35) /* sizes differ: PVALIDATE, RMPADJUST on a larger page */
#define NPF_VMPL  (UINT64_C(1) << 36) /* the VMPL lacks the permission */

/* IOIO, EXITINFO1 (APM2 15.10.2); EXITINFO2 is the RIP after. */
#define IOIO_IN      (UINT64_C(1) << 0)
#define IOIO_STRING  (UINT64_C(1) << 2)
#define IOIO_REP     (UINT64_C(1) << 3)
#define IOIO_SIZE(i) ((unsigned)((i) >> 4 & 7)) /* 1, 2, 4 bytes */
#define IOIO_ADDR(i) ((unsigned)((i) >> 7 & 7)) /* 1: 16-bit, 2: 32-bit, 4: 64-bit addresses */
#define IOIO_SEG(i)  ((unsigned)((i) >> 10 & 7))
#define IOIO_PORT(i) ((uint16_t)((i) >> 16))

#endif
