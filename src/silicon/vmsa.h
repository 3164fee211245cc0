/* The VM save area of an SEV-ES or SEV-SNP guest (APM2 appendix B, tables B-4 and following): a
 * page of DRAM under the guest's key, which VMRUN loads and #VMEXIT fills. The hypervisor lays out
 * the first one of each vCPU and never sees another. Unlisted bytes are zero. */
#ifndef LUCCA_SILICON_VMSA_H
#define LUCCA_SILICON_VMSA_H

#include "silicon/vmcb.h"

struct vmsa {
    struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 000 .. 09F */
    uint64_t pl_ssp[4];                                           /* 0A0 */
    uint64_t u_cet;                                               /* 0C0 */
    uint8_t reserved_0c8[2];
    uint8_t vmpl; /* 0CA */
    uint8_t cpl;  /* 0CB */
    uint8_t reserved_0cc[4];
    uint64_t efer;                                      /* 0D0 */
    uint8_t reserved_0d8[0x140 - 0x0D8];                /* performance counters: not implemented */
    uint64_t xss, cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 140 .. 178 */
    uint64_t dr[4], dr_addr_mask[4];                    /* 180, 1A0: DebugSwap */
    uint8_t reserved_1c0[0x1D8 - 0x1C0];
    uint64_t rsp, s_cet, ssp, isst, rax;                   /* 1D8 .. 1F8 */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;   /* 200 .. 220 */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2; /* 228 .. 240 */
    uint8_t reserved_248[0x268 - 0x248];
    uint64_t g_pat;                                              /* 268 */
    uint64_t dbgctl, br_from, br_to, lastexcp_from, lastexcp_to; /* 270 .. 290 */
    uint8_t reserved_298[0x2D8 - 0x298];
    uint64_t pending;                           /* 2D8, reserved in the manual: VMSA_PENDING_DB */
    uint64_t spec_ctrl;                         /* 2E0 */
    uint32_t pkru, tsc_aux;                     /* 2E8, 2EC */
    uint64_t guest_tsc_scale, guest_tsc_offset; /* 2F0: 8.32 fixed point; 2F8 */
    uint64_t reg_prot_nonce;                    /* 300 */
    uint64_t rcx, rdx, rbx, secure_avic_ctl, rbp, rsi, rdi, r8_r15[8]; /* 308 .. 378 */
    uint64_t integrity, integrity_slot; /* 380: the firmware's, of an ES guest: 0; address of the
                                         * checksum's slot */
    uint64_t guest_exitinfo1, guest_exitinfo2, guest_exitintinfo, guest_nrip; /* 390 .. 3A8 */
    uint64_t sev_features, vintr_ctrl, guest_exitcode;                        /* 3B0, 3B8, 3C0 */
    uint64_t virtual_tom, tlb_id, pcpu_id, eventinj, xcr0;                    /* 3C8 .. 3E8 */
    uint8_t reserved_3f0[16];
    uint64_t x87_dp;                                             /* 400 */
    uint32_t mxcsr;                                              /* 408 */
    uint16_t x87_ftw, x87_fsw, x87_fcw, x87_fop, x87_ds, x87_cs; /* 40C .. 416 */
    uint64_t x87_rip;                                            /* 418 */
    uint8_t x87_regs[80];     /* 420: mantissas, then exponents */
    uint8_t xmm[16][16];      /* 470 */
    uint8_t ymm_high[16][16]; /* 570 */
    uint8_t reserved_670[0x1000 - 0x670];
} __attribute__((packed, aligned(8)));
static_assert(sizeof(struct vmsa) == 0x1000, "one page");
static_assert(offsetof(struct vmsa, vmpl) == 0x0CA, "APM2 B-4");
static_assert(offsetof(struct vmsa, efer) == 0x0D0, "APM2 B-4");
static_assert(offsetof(struct vmsa, xss) == 0x140, "APM2 B-4");
static_assert(offsetof(struct vmsa, dr) == 0x180, "APM2 B-4");
static_assert(offsetof(struct vmsa, rsp) == 0x1D8, "APM2 B-4");
static_assert(offsetof(struct vmsa, star) == 0x200, "APM2 B-4");
static_assert(offsetof(struct vmsa, g_pat) == 0x268, "APM2 B-4");
static_assert(offsetof(struct vmsa, spec_ctrl) == 0x2E0, "APM2 B-4");
static_assert(offsetof(struct vmsa, tsc_aux) == 0x2EC, "APM2 B-4");
static_assert(offsetof(struct vmsa, rcx) == 0x308, "APM2 B-4");
static_assert(offsetof(struct vmsa, secure_avic_ctl) == 0x320, "APM2 B-4");
static_assert(offsetof(struct vmsa, guest_exitinfo1) == 0x390, "APM2 B-4");
static_assert(offsetof(struct vmsa, sev_features) == 0x3B0, "APM2 B-4");
static_assert(offsetof(struct vmsa, guest_exitcode) == 0x3C0, "APM2 B-4");
static_assert(offsetof(struct vmsa, virtual_tom) == 0x3C8, "APM2 B-4");
static_assert(offsetof(struct vmsa, xcr0) == 0x3E8, "APM2 B-4");
static_assert(offsetof(struct vmsa, mxcsr) == 0x408, "APM2 B-4");
static_assert(offsetof(struct vmsa, x87_fcw) == 0x410, "APM2 B-4");
static_assert(offsetof(struct vmsa, x87_regs) == 0x420, "APM2 B-4");
static_assert(offsetof(struct vmsa, xmm) == 0x470, "APM2 B-4");
static_assert(offsetof(struct vmsa, ymm_high) == 0x570, "APM2 B-4");

/* Between a trap-like exit under RFLAGS.TF and its #DB, which the guest takes when it comes back.
 * The manual does not say where a processor keeps this. */
#define VMSA_PENDING_DB UINT64_C(1)

/* VINTR_CTRL, with alternate injection (APM2 15.36.16); the other bits are V_* of the VMCB. */
#define VMSA_INT_SHADOW (UINT64_C(1) << 10)
#define VMSA_BUSY       (UINT64_C(1) << 63) /* not to be run */

/* SEV_FEATURES (APM2 15.34.10, 15.36): bit n is bit n + 2 of the SEV_STATUS MSR. */
#define SEV_FEATURE_SNP_ACTIVE           (UINT64_C(1) << 0)
#define SEV_FEATURE_VTOM                 (UINT64_C(1) << 1)
#define SEV_FEATURE_REFLECT_VC           (UINT64_C(1) << 2)
#define SEV_FEATURE_RESTRICTED_INJECTION (UINT64_C(1) << 3)
#define SEV_FEATURE_ALTERNATE_INJECTION  (UINT64_C(1) << 4)
#define SEV_FEATURE_DEBUG_SWAP           (UINT64_C(1) << 5)
#define SEV_FEATURE_PREVENT_HOST_IBS     (UINT64_C(1) << 6)
#define SEV_FEATURE_BTB_ISOLATION        (UINT64_C(1) << 7)
#define SEV_FEATURE_VMPL_SSS             (UINT64_C(1) << 8)
#define SEV_FEATURE_SECURE_TSC           (UINT64_C(1) << 9)
#define SEV_FEATURE_VMGEXIT_PARAMETER    (UINT64_C(1) << 10)
#define SEV_FEATURE_VMSA_REG_PROT        (UINT64_C(1) << 14)
#define SEV_FEATURE_SMT_PROTECTION       (UINT64_C(1) << 15)

#endif
