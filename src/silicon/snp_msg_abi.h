/* What a guest and the secure processor say to each other under a VMPCK, and the attestation report
 * (SEV-SNP ABI, guest messages): between those two alone, so nothing here is the hypervisor's. All
 * numbers are little-endian. */
#ifndef LUCCA_SILICON_SNP_MSG_ABI_H
#define LUCCA_SILICON_SNP_MSG_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "silicon/snp_abi.h"

/* ---- a message: a header in clear, then the payload under AES-256-GCM --------------------------
 */

#define SNP_MSG_ALGO_GCM     1u
#define SNP_MSG_HDR_VERSION  1u
#define SNP_MSG_PAYLOAD_UNIT 0x10u

struct snp_msg_header {
    uint8_t authtag[32]; /* 16 bytes, then zeros */
    uint64_t seqno;
    uint8_t reserved[8];
    uint8_t algo, hdr_version; /* from here on: associated data */
    uint16_t hdr_size;
    uint8_t type, version; /* enum snp_msg_type */
    uint16_t size;         /* of the payload */
    uint8_t reserved1[4];
    uint8_t vmpck;
    uint8_t reserved2[35];
};
static_assert(offsetof(struct snp_msg_header, algo) == 0x30, "SNP ABI, message header");
static_assert(offsetof(struct snp_msg_header, vmpck) == 0x3C, "SNP ABI, message header");
static_assert(sizeof(struct snp_msg_header) == 0x60, "SNP ABI, message header");

#define SNP_MSG_AAD     offsetof(struct snp_msg_header, algo)
#define SNP_MSG_AAD_LEN (sizeof(struct snp_msg_header) - SNP_MSG_AAD)
#define SNP_MSG_PAYLOAD (0x1000u - sizeof(struct snp_msg_header)) /* at most */

/* An answer has the request's type plus one. */
enum snp_msg_type {
    SNP_MSG_CPUID = 0x01,
    SNP_MSG_KEY = 0x03,
    SNP_MSG_REPORT = 0x05,
    SNP_MSG_EXPORT = 0x07,
    SNP_MSG_IMPORT = 0x09,
    SNP_MSG_ABSORB = 0x0B,
    SNP_MSG_VMRK = 0x0D,
    SNP_MSG_ABSORB_NOMA = 0x0F,
    SNP_MSG_TSC_INFO = 0x11,
};

/* ---- CPUID -------------------------------------------------------------------------------------
 */

struct snp_msg_cpuid_req {
    uint32_t count, reserved;
    uint64_t reserved1;
    struct snp_cpuid_entry entries[SNP_CPUID_MAX]; /* the message ends after `count` */
};
static_assert(offsetof(struct snp_msg_cpuid_req, entries) == 0x10, "SNP ABI, MSG_CPUID_REQ");

struct snp_msg_cpuid_rsp {
    uint32_t status, count;
    uint64_t reserved;
    struct snp_cpuid_entry entries[SNP_CPUID_MAX];
};
static_assert(offsetof(struct snp_msg_cpuid_rsp, entries) == 0x10, "SNP ABI, MSG_CPUID_RSP");

/* ---- derived keys ------------------------------------------------------------------------------
 */

#define SNP_KEY_ROOT_VMRK   (UINT32_C(1) << 0) /* else VCEK or VLEK */
#define SNP_KEY_SEL(flags)  ((flags) >> 1 & 3) /* enum snp_key_sel */
#define SNP_KEY_FLAGS       UINT32_C(7)
#define SNP_GFS_POLICY      (UINT64_C(1) << 0)
#define SNP_GFS_IMAGE_ID    (UINT64_C(1) << 1)
#define SNP_GFS_FAMILY_ID   (UINT64_C(1) << 2)
#define SNP_GFS_MEASUREMENT (UINT64_C(1) << 3)
#define SNP_GFS_GUEST_SVN   (UINT64_C(1) << 4)
#define SNP_GFS_TCB         (UINT64_C(1) << 5)
#define SNP_GFS_FIELDS      UINT64_C(0x3F)

/* Which attestation key a guest asks for. */
enum snp_key_sel { SNP_KEY_VLEK_ELSE_VCEK, SNP_KEY_VCEK, SNP_KEY_VLEK };

struct snp_msg_key_req {
    uint32_t flags; /* SNP_KEY_* */
    uint32_t reserved;
    uint64_t guest_field_select; /* SNP_GFS_* */
    uint32_t vmpl, guest_svn;
    uint64_t tcb;
};
static_assert(sizeof(struct snp_msg_key_req) == 0x20, "SNP ABI, MSG_KEY_REQ");

struct snp_msg_key_rsp {
    uint32_t status;
    uint8_t reserved[0x1C];
    uint8_t key[32];
};
static_assert(sizeof(struct snp_msg_key_rsp) == 0x40, "SNP ABI, MSG_KEY_RSP");

/* What a derived key is made of; fields that are not selected are zero. */
#define SNP_MIX_KEY_NONE   (UINT32_C(0) << 1)
#define SNP_MIX_KEY_ID     (UINT32_C(1) << 1)
#define SNP_MIX_KEY_AUTHOR (UINT32_C(2) << 1)
struct snp_key_mix {
    uint32_t flags; /* SNP_KEY_ROOT_VMRK, SNP_MIX_KEY_* */
    uint32_t reserved;
    uint64_t guest_field_select;
    uint32_t vmpl, guest_svn;
    uint64_t tcb, policy;
    uint8_t image_id[16], family_id[16];
    uint8_t measurement[32]; /* its first bytes */
    uint8_t host_data[32];   /* this and the next: always */
    uint8_t key_digest[32];  /* the first bytes of the author's or the ID key's */
};
static_assert(sizeof(struct snp_key_mix) == 0xA8, "SNP ABI, MSG_KEY_REQ");

/* ---- reports -----------------------------------------------------------------------------------
 */

#define SNP_REPORT_AUTHOR_KEY_EN  (UINT32_C(1) << 0)
#define SNP_REPORT_MASK_CHIP_KEY  (UINT32_C(1) << 1)
#define SNP_REPORT_SIGNING_KEY(k) ((uint32_t)(k) << 2)
enum snp_signing_key { SNP_SIGNED_VCEK = 0, SNP_SIGNED_VLEK = 1, SNP_SIGNED_NONE = 7 };

#define SNP_PLATFORM_SMT     (UINT64_C(1) << 0)
#define SNP_PLATFORM_TSME    (UINT64_C(1) << 1)
#define SNP_PLATFORM_ECC     (UINT64_C(1) << 2)
#define SNP_PLATFORM_RAPL    (UINT64_C(1) << 3) /* disabled */
#define SNP_PLATFORM_HIDING  (UINT64_C(1) << 4)
#define SNP_PLATFORM_ALIASES (UINT64_C(1) << 5) /* checked; from version 3 on */

struct snp_report {
    uint32_t version, guest_svn;
    uint64_t policy;
    uint8_t family_id[16], image_id[16];
    uint32_t vmpl, signature_algo;
    uint64_t current_tcb, platform_info;
    uint32_t key_info, reserved;
    uint8_t report_data[64], measurement[48], host_data[32], id_key_digest[48];
    uint8_t author_key_digest[48], report_id[32], report_id_ma[32];
    uint64_t reported_tcb;
    uint8_t cpuid_family, cpuid_model, cpuid_stepping; /* from version 3 on */
    uint8_t reserved1[21];
    uint8_t chip_id[64];
    uint64_t committed_tcb;
    uint8_t current_build, current_minor, current_major, reserved2;
    uint8_t committed_build, committed_minor, committed_major, reserved3;
    uint64_t launch_tcb;
    uint64_t launch_mit_vector, current_mit_vector; /* from version 5 on */
    uint8_t reserved4[0x98];
    struct snp_signature signature; /* of what comes before */
};
static_assert(offsetof(struct snp_report, key_info) == 0x48, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, report_data) == 0x50, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, host_data) == 0xC0, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, report_id) == 0x140, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, reported_tcb) == 0x180, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, chip_id) == 0x1A0, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, current_build) == 0x1E8, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, launch_tcb) == 0x1F0, "SNP ABI, ATTESTATION_REPORT");
static_assert(offsetof(struct snp_report, signature) == 0x2A0, "SNP ABI, ATTESTATION_REPORT");
static_assert(sizeof(struct snp_report) == 0x4A0, "SNP ABI, ATTESTATION_REPORT");

struct snp_msg_report_req {
    uint8_t report_data[64];
    uint32_t vmpl;
    uint32_t flags; /* enum snp_key_sel in bits 1:0 */
    uint8_t reserved[0x18];
};
static_assert(sizeof(struct snp_msg_report_req) == 0x60, "SNP ABI, MSG_REPORT_REQ");

struct snp_msg_report_rsp {
    uint32_t status, report_size;
    uint8_t reserved[0x18];
    struct snp_report report;
};
static_assert(sizeof(struct snp_msg_report_rsp) == 0x4C0, "SNP ABI, MSG_REPORT_RSP");

/* ---- migration ---------------------------------------------------------------------------------
 */

/* A guest's context as its migration agent sees it. */
#define SNP_CONTEXT_VERSION    3u
#define SNP_CONTEXT_AUTHOR_KEY (UINT64_C(1) << 0)
#define SNP_CONTEXT_ID_BLOCK   (UINT64_C(1) << 1)
#define SNP_CONTEXT_VCEK_DIS   (UINT64_C(1) << 2)
struct snp_context {
    uint8_t measurement[48], oek[32], vmpck[SNP_VMPCKS][32], vmrk[32], host_data[32];
    uint8_t id_key_digest[48], author_key_digest[48], report_id[32], imd[48];
    uint64_t msg_count[SNP_VMPCKS];
    struct snp_mdata root_mdata;
    uint64_t flags; /* SNP_CONTEXT_* */
    uint64_t policy, state, oek_iv;
    struct snp_id_block id_block;
    uint8_t gosvw[16];
    uint64_t desired_tsc_khz, tsc_offset, launch_tcb;
    uint8_t reserved[0x38];
};
static_assert(offsetof(struct snp_context, vmrk) == 0xD0, "SNP ABI, guest context");
static_assert(offsetof(struct snp_context, id_key_digest) == 0x110, "SNP ABI, guest context");
static_assert(offsetof(struct snp_context, msg_count) == 0x1C0, "SNP ABI, guest context");
static_assert(offsetof(struct snp_context, flags) == 0x220, "SNP ABI, guest context");
static_assert(offsetof(struct snp_context, id_block) == 0x240, "SNP ABI, guest context");
static_assert(offsetof(struct snp_context, launch_tcb) == 0x2C0, "SNP ABI, guest context");
static_assert(sizeof(struct snp_context) == 0x300, "SNP ABI, guest context");

#define SNP_EXPORT_IMI (UINT32_C(1) << 0)
struct snp_msg_export_req {
    uint64_t gctx_paddr;
    uint32_t flags, reserved;
};
static_assert(sizeof(struct snp_msg_export_req) == 0x10, "SNP ABI, MSG_EXPORT_REQ");

struct snp_msg_export_rsp {
    uint32_t status, size, version;
    uint8_t reserved[0x14];
    struct snp_context context;
};
static_assert(sizeof(struct snp_msg_export_rsp) == 0x320, "SNP ABI, MSG_EXPORT_RSP");

struct snp_msg_import_req { /* ABSORB and ABSORB_NOMA as well */
    uint64_t gctx_paddr;    /* ABSORB_NOMA: reserved */
    uint32_t size, version;
    uint8_t reserved[0x10];
    struct snp_context context;
};
static_assert(sizeof(struct snp_msg_import_req) == 0x320, "SNP ABI, MSG_IMPORT_REQ");

struct snp_msg_vmrk_req {
    uint64_t gctx_paddr;
    uint8_t reserved[0x18];
    uint8_t vmrk[32];
};
static_assert(sizeof(struct snp_msg_vmrk_req) == 0x40, "SNP ABI, MSG_VMRK_REQ");

struct snp_msg_status_rsp { /* IMPORT, ABSORB, ABSORB_NOMA, VMRK */
    uint32_t status;
    uint8_t reserved[0x0C];
};
static_assert(sizeof(struct snp_msg_status_rsp) == 0x10, "SNP ABI, MSG_IMPORT_RSP");

/* ---- time --------------------------------------------------------------------------------------
 */

struct snp_msg_tsc_req {
    uint8_t reserved[0x80];
};
static_assert(sizeof(struct snp_msg_tsc_req) == 0x80, "SNP ABI, MSG_TSC_INFO_REQ");

struct snp_msg_tsc_rsp {
    uint32_t status, reserved;
    uint64_t tsc_scale, tsc_offset;
    uint32_t tsc_factor;
    uint8_t reserved1[0x64];
};
static_assert(sizeof(struct snp_msg_tsc_rsp) == 0x80, "SNP ABI, MSG_TSC_INFO_RSP");

#endif
