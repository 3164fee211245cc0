/* SEV-SNP firmware ABI as memory shows it: command ids, command buffers, and the pages and tables
 * that they point to (SNP ABI 1.55; fields and bits of later ones are marked). The mailbox, the
 * status codes and the legacy commands are in asp_abi.h. Layouts are little-endian and packed, each
 * with its size asserted; which command takes which, and when it is legal, is in
 * asp/snp_commands.def. In every buffer reserved fields, and bits 11:0 of a page's address, are
 * zero.
 */
#ifndef LUCCA_SILICON_SNP_ABI_H
#define LUCCA_SILICON_SNP_ABI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SNP_COMMANDS(X)                                                                            \
    X(INIT, 0x81)                                                                                  \
    X(SHUTDOWN, 0x82)                                                                              \
    X(PLATFORM_STATUS, 0x83)                                                                       \
    X(DF_FLUSH, 0x84)                                                                              \
    X(INIT_EX, 0x85)                                                                               \
    X(SHUTDOWN_EX, 0x86)                                                                           \
    X(DECOMMISSION, 0x90)                                                                          \
    X(ACTIVATE, 0x91)                                                                              \
    X(GUEST_STATUS, 0x92)                                                                          \
    X(GCTX_CREATE, 0x93)                                                                           \
    X(GUEST_REQUEST, 0x94)                                                                         \
    X(ACTIVATE_EX, 0x95)                                                                           \
    X(LAUNCH_START, 0xA0)                                                                          \
    X(LAUNCH_UPDATE, 0xA1)                                                                         \
    X(LAUNCH_FINISH, 0xA2)                                                                         \
    X(DBG_DECRYPT, 0xB0)                                                                           \
    X(DBG_ENCRYPT, 0xB1)                                                                           \
    X(PAGE_SWAP_OUT, 0xC0)                                                                         \
    X(PAGE_SWAP_IN, 0xC1)                                                                          \
    X(PAGE_MOVE, 0xC2)                                                                             \
    X(PAGE_MD_INIT, 0xC3)                                                                          \
    X(PAGE_SET_STATE, 0xC6)                                                                        \
    X(PAGE_RECLAIM, 0xC7)                                                                          \
    X(PAGE_UNSMASH, 0xC8)                                                                          \
    X(CONFIG, 0xC9)                                                                                \
    X(DOWNLOAD_FIRMWARE_EX, 0xCA)                                                                  \
    X(COMMIT, 0xCB)                                                                                \
    X(VLEK_LOAD, 0xCD)                                                                             \
    X(FEATURE_INFO, 0xCE)

enum snp_command {
#define X(name, id) SNP_CMD_##name = id,
    SNP_COMMANDS(X)
#undef X
};

/* Platform and guest states (SNP ABI, PLATFORM_STATUS and GUEST_STATUS). */
enum snp_platform_state { SNP_PLATFORM_UNINIT, SNP_PLATFORM_INIT };
enum snp_guest_state { SNP_GUEST_INIT, SNP_GUEST_LAUNCH, SNP_GUEST_RUNNING };

/* Guest policy (SNP ABI, "Guest policy"): ABI_MINOR in bits 7:0 and ABI_MAJOR in 15:8 are the least
 * that the guest accepts. Bits 21 and up came after ABI 1.55. */
#define SNP_POLICY_ABI_MINOR(p)           ((uint8_t)(p))
#define SNP_POLICY_ABI_MAJOR(p)           ((uint8_t)((p) >> 8))
#define SNP_POLICY_SMT                    (UINT64_C(1) << 16)
#define SNP_POLICY_MBO                    (UINT64_C(1) << 17) /* must be one */
#define SNP_POLICY_MIGRATE_MA             (UINT64_C(1) << 18)
#define SNP_POLICY_DEBUG                  (UINT64_C(1) << 19)
#define SNP_POLICY_SINGLE_SOCKET          (UINT64_C(1) << 20)
#define SNP_POLICY_CXL_ALLOW              (UINT64_C(1) << 21)
#define SNP_POLICY_MEM_AES_256_XTS        (UINT64_C(1) << 22)
#define SNP_POLICY_RAPL_DIS               (UINT64_C(1) << 23)
#define SNP_POLICY_CIPHERTEXT_HIDING_DRAM (UINT64_C(1) << 24)
#define SNP_POLICY_PAGE_SWAP_DISABLE      (UINT64_C(1) << 25)

/* ---- platform -------------------------------------------------------------------------------- */

#define SNP_INIT_RMP      (UINT32_C(1) << 0)
#define SNP_INIT_LIST     (UINT32_C(1) << 1)
#define SNP_INIT_RAPL_DIS (UINT32_C(1) << 2) /* this and the next ones: after ABI 1.55 */
#define SNP_INIT_HIDING   (UINT32_C(1) << 3)
#define SNP_INIT_TIO      (UINT32_C(1) << 4)
struct snp_cmd_init_ex {
    uint32_t flags; /* SNP_INIT_* */
    uint32_t reserved;
    uint64_t list_paddr;
    uint16_t max_snp_asid; /* after ABI 1.55 */
    uint8_t reserved1[0x40 - 0x12];
} __attribute__((packed));
static_assert(sizeof(struct snp_cmd_init_ex) == 0x40, "SNP ABI, SNP_INIT_EX");

/* What INIT_EX and PAGE_SET_STATE point to: in one page. */
#define SNP_RANGES_MAX 255u
struct snp_range {
    uint64_t base;
    uint32_t page_count, reserved;
};
static_assert(sizeof(struct snp_range) == 0x10, "SNP ABI, RANGE_LIST");
struct snp_range_list {
    uint32_t count, reserved;
    struct snp_range ranges[SNP_RANGES_MAX];
};
static_assert(sizeof(struct snp_range_list) == 0xFF8, "SNP ABI, RANGE_LIST");

#define SNP_SHUTDOWN_IOMMU (UINT32_C(1) << 0)
#define SNP_SHUTDOWN_X86   (UINT32_C(1) << 1) /* needs the one above */
struct snp_cmd_shutdown_ex {
    uint32_t len, flags;
};
static_assert(sizeof(struct snp_cmd_shutdown_ex) == 8, "SNP ABI, SNP_SHUTDOWN_EX");

struct snp_cmd_platform_status {
    uint64_t status_paddr; /* struct snp_platform_status, inside a page */
};
static_assert(sizeof(struct snp_cmd_platform_status) == 8, "SNP ABI, SNP_PLATFORM_STATUS");

#define SNP_STATUS_RMP_INITIALIZED 0x01u /* rmp_flags */
#define SNP_STATUS_ALIAS_CHECKED   0x02u
#define SNP_STATUS_MASK_CHIP_ID    (UINT32_C(1) << 0) /* flags */
#define SNP_STATUS_MASK_CHIP_KEY   (UINT32_C(1) << 1)
#define SNP_STATUS_VLEK            (UINT32_C(1) << 2)
#define SNP_STATUS_FEATURE_INFO    (UINT32_C(1) << 3)
#define SNP_STATUS_RAPL_DIS        (UINT32_C(1) << 4) /* this and the next ones: after ABI 1.55 */
#define SNP_STATUS_HIDING_CAPABLE  (UINT32_C(1) << 5)
#define SNP_STATUS_HIDING          (UINT32_C(1) << 6)
struct snp_platform_status {
    uint8_t api_major, api_minor;
    uint8_t state;     /* enum snp_platform_state */
    uint8_t rmp_flags; /* SNP_STATUS_RMP_INITIALIZED, .. */
    uint32_t build_id;
    uint32_t flags; /* SNP_STATUS_MASK_CHIP_ID, .. */
    uint32_t guest_count;
    uint64_t current_tcb, reported_tcb;
};
static_assert(sizeof(struct snp_platform_status) == 0x20, "SNP ABI, SNP_PLATFORM_STATUS");

#define SNP_CONFIG_MASK_CHIP_ID  (UINT32_C(1) << 0)
#define SNP_CONFIG_MASK_CHIP_KEY (UINT32_C(1) << 1)
struct snp_cmd_config {
    uint64_t reported_tcb; /* 0: the committed one */
    uint32_t flags;        /* SNP_CONFIG_* */
    uint8_t reserved[0x40 - 0x0C];
};
static_assert(sizeof(struct snp_cmd_config) == 0x40, "SNP ABI, SNP_CONFIG");

struct snp_cmd_commit {
    uint32_t len;
};
static_assert(sizeof(struct snp_cmd_commit) == 4, "SNP ABI, SNP_COMMIT");

#define SNP_DOWNLOAD_COMMIT (UINT32_C(1) << 0)
struct snp_cmd_download_firmware_ex {
    uint32_t len, reserved;
    uint64_t fw_paddr; /* 32-byte aligned */
    uint32_t fw_len;
    uint32_t flags; /* SNP_DOWNLOAD_* */
};
static_assert(sizeof(struct snp_cmd_download_firmware_ex) == 0x18, "SNP ABI, DOWNLOAD_FIRMWARE_EX");

/* The image that DOWNLOAD_FIRMWARE_EX takes here: Lucca's own format, not AMD's. There is no code
 * in it; it tells the emulated firmware which version to be. */
#define SNP_FIRMWARE_MAGIC   "LUCCA-EMULATEDFW" /* 16 bytes, without a NUL */
#define SNP_FIRMWARE_VERSION 1u
struct snp_firmware_image {
    uint8_t magic[16];
    uint32_t version; /* of this format */
    uint32_t size;    /* of the image, with this header */
    uint8_t api_major, api_minor, build, reserved[5];
    uint64_t tcb; /* TCB_VERSION in the chip's layout */
    uint8_t reserved1[8];
    uint8_t sha384[48]; /* of the bytes before, then of those after */
};
static_assert(sizeof(struct snp_firmware_image) == 0x60, "Lucca's firmware image");

struct snp_cmd_vlek_load {
    uint32_t len;
    uint8_t wrapped_version, reserved[3];
    uint64_t paddr; /* struct snp_vlek */
};
static_assert(sizeof(struct snp_cmd_vlek_load) == 0x10, "SNP ABI, VLEK_LOAD");

/* Eight hashes under AES-256-GCM, whose associated data are `tcb` and `reserved1`. */
#define SNP_VLEK_HASHES 8u
struct snp_vlek {
    uint8_t iv[12], reserved[4];
    uint8_t wrapped[SNP_VLEK_HASHES * 48];
    uint64_t tcb, reserved1;
    uint8_t tag[16];
};
static_assert(sizeof(struct snp_vlek) == 0x1B0, "SNP ABI, VLEK_LOAD");

struct snp_cmd_feature_info {
    uint32_t len, ecx_in;
    uint64_t paddr; /* struct snp_feature_info, 4-byte aligned, inside a page */
};
static_assert(sizeof(struct snp_cmd_feature_info) == 0x10, "SNP ABI, FEATURE_INFO");

#define SNP_FEATURE_EBX_LEGACY (UINT32_C(1) << 0) /* ecx_in 0 */
#define SNP_FEATURE_ECX_VLEK   (UINT32_C(1) << 0)
#define SNP_FEATURE_ECX_X86    (UINT32_C(1) << 1) /* x86_snp_shutdown */
struct snp_feature_info {
    uint32_t eax, ebx, ecx, edx;
};
static_assert(sizeof(struct snp_feature_info) == 0x10, "SNP ABI, FEATURE_INFO");

/* ---- guests ---------------------------------------------------------------------------------- */

struct snp_cmd_gctx { /* GCTX_CREATE, DECOMMISSION */
    uint64_t gctx_paddr;
};
static_assert(sizeof(struct snp_cmd_gctx) == 8, "SNP ABI, SNP_GCTX_CREATE");

struct snp_cmd_activate {
    uint64_t gctx_paddr;
    uint32_t asid;
} __attribute__((packed));
static_assert(sizeof(struct snp_cmd_activate) == 0x0C, "SNP ABI, SNP_ACTIVATE");

struct snp_cmd_activate_ex {
    uint32_t len, reserved;
    uint64_t gctx_paddr;
    uint32_t asid, numids;
    uint64_t ids_paddr; /* APIC ids, 32 bits each */
};
static_assert(sizeof(struct snp_cmd_activate_ex) == 0x20, "SNP ABI, SNP_ACTIVATE_EX");

struct snp_cmd_guest_status {
    uint64_t gctx_paddr, status_paddr; /* struct snp_guest_status, inside a page */
};
static_assert(sizeof(struct snp_cmd_guest_status) == 0x10, "SNP ABI, SNP_GUEST_STATUS");

#define SNP_GUEST_VCEK_DIS 0x01u
struct snp_guest_status {
    uint64_t policy;
    uint32_t asid;
    uint8_t state; /* enum snp_guest_state */
    uint8_t reserved[3];
    uint32_t flags; /* SNP_GUEST_VCEK_DIS */
    uint8_t reserved1[0x0C];
};
static_assert(sizeof(struct snp_guest_status) == 0x20, "SNP ABI, SNP_GUEST_STATUS");

#define SNP_LAUNCH_MA  (UINT32_C(1) << 0)
#define SNP_LAUNCH_IMI (UINT32_C(1) << 1)
struct snp_cmd_launch_start {
    uint64_t gctx_paddr, policy, ma_gctx_paddr;
    uint32_t flags; /* SNP_LAUNCH_* */
    uint32_t desired_tsc_khz;
    uint8_t gosvw[16];
};
static_assert(sizeof(struct snp_cmd_launch_start) == 0x30, "SNP ABI, SNP_LAUNCH_START");

enum snp_page_type {
    SNP_PAGE_NORMAL = 1,
    SNP_PAGE_VMSA,
    SNP_PAGE_ZERO,
    SNP_PAGE_UNMEASURED,
    SNP_PAGE_SECRETS,
    SNP_PAGE_CPUID,
};

#define SNP_UPDATE_2M         (UINT32_C(1) << 0)
#define SNP_UPDATE_TYPE(type) ((uint32_t)(type) << 1) /* enum snp_page_type, bits 3:1 */
#define SNP_UPDATE_IMI        (UINT32_C(1) << 4)
struct snp_cmd_launch_update {
    uint64_t gctx_paddr;
    uint32_t flags; /* SNP_UPDATE_* */
    uint32_t reserved;
    uint64_t page_paddr;
    uint8_t reserved1, vmpl1_perms, vmpl2_perms, vmpl3_perms;
    uint8_t reserved2[4];
};
static_assert(sizeof(struct snp_cmd_launch_update) == 0x20, "SNP ABI, SNP_LAUNCH_UPDATE");

/* What the launch digest is made of, one for each 4 KiB (SNP ABI, PAGE_INFO). */
#define SNP_PAGE_INFO_IMI 0x01u
struct snp_page_info {
    uint8_t digest_cur[48], contents[48];
    uint16_t length; /* 70h */
    uint8_t page_type, imi_page, reserved;
    uint8_t vmpl1_perms, vmpl2_perms, vmpl3_perms;
    uint64_t gpa;
};
static_assert(sizeof(struct snp_page_info) == 0x70, "SNP ABI, PAGE_INFO");

#define SNP_FINISH_ID_BLOCK 0x01u
#define SNP_FINISH_AUTH_KEY 0x02u
#define SNP_FINISH_VCEK_DIS 0x04u
struct snp_cmd_launch_finish {
    uint64_t gctx_paddr, id_block_paddr, id_auth_paddr;
    uint8_t flags; /* SNP_FINISH_* */
    uint8_t reserved[7];
    uint8_t host_data[32];
};
static_assert(sizeof(struct snp_cmd_launch_finish) == 0x40, "SNP ABI, SNP_LAUNCH_FINISH");

#define SNP_ID_BLOCK_VERSION 1u
struct snp_id_block {
    uint8_t ld[48], family_id[16], image_id[16];
    uint32_t version, guest_svn;
    uint64_t policy;
};
static_assert(sizeof(struct snp_id_block) == 0x60, "SNP ABI, ID block");

#define SNP_ALGO_ECDSA_P384_SHA384 1u
#define SNP_CURVE_P384             2u
struct snp_public_key {
    uint32_t curve;
    uint8_t qx[72], qy[72]; /* little-endian */
    uint8_t reserved[0x404 - 0x94];
};
static_assert(sizeof(struct snp_public_key) == 0x404, "SNP ABI, ECDSA public key");

struct snp_signature {
    uint8_t r[72], s[72]; /* little-endian */
    uint8_t reserved[0x200 - 0x90];
};
static_assert(sizeof(struct snp_signature) == 0x200, "SNP ABI, ECDSA signature");

struct snp_id_auth {
    uint32_t id_key_algo, auth_key_algo;
    uint8_t reserved[0x38];
    struct snp_signature id_block_sig;
    struct snp_public_key id_key;
    uint8_t reserved1[0x3C];
    struct snp_signature id_key_sig;
    struct snp_public_key author_key;
    uint8_t reserved2[0x37C];
};
static_assert(sizeof(struct snp_id_auth) == 0x1000, "SNP ABI, ID authentication information");
static_assert(offsetof(struct snp_id_auth, id_block_sig) == 0x40, "SNP ABI, ID authentication");
static_assert(offsetof(struct snp_id_auth, id_key) == 0x240, "SNP ABI, ID authentication");
static_assert(offsetof(struct snp_id_auth, id_key_sig) == 0x680, "SNP ABI, ID authentication");
static_assert(offsetof(struct snp_id_auth, author_key) == 0x880, "SNP ABI, ID authentication");

struct snp_cmd_guest_request {
    uint64_t gctx_paddr, request_paddr, response_paddr;
};
static_assert(sizeof(struct snp_cmd_guest_request) == 0x18, "SNP ABI, SNP_GUEST_REQUEST");

struct snp_cmd_dbg { /* always 4 KiB */
    uint64_t gctx_paddr, src_paddr, dst_paddr;
};
static_assert(sizeof(struct snp_cmd_dbg) == 0x18, "SNP ABI, SNP_DBG_DECRYPT");

/* ---- pages that the firmware fills or corrects at launch ------------------------------------- */

#define SNP_CPUID_MAX 64u
struct snp_cpuid_entry {
    uint32_t eax_in, ecx_in;
    uint64_t xcr0_in, xss_in;
    uint32_t eax, ebx, ecx, edx;
    uint64_t reserved;
};
static_assert(sizeof(struct snp_cpuid_entry) == 0x30, "SNP ABI, CPUID page");

struct snp_cpuid_page {
    uint32_t count, reserved;
    uint64_t reserved1;
    struct snp_cpuid_entry entries[SNP_CPUID_MAX];
    uint8_t reserved2[0x1000 - 0x10 - SNP_CPUID_MAX * 0x30];
};
static_assert(sizeof(struct snp_cpuid_page) == 0x1000, "SNP ABI, CPUID page");

#define SNP_SECRETS_VERSION 3u
#define SNP_SECRETS_IMI     (UINT32_C(1) << 0)
#define SNP_VMPCKS          4u
struct snp_secrets_page {
    uint32_t version;
    uint32_t flags; /* SNP_SECRETS_IMI */
    uint32_t fms;   /* CPUID 1 EAX */
    uint32_t reserved;
    uint8_t gosvw[16];
    uint8_t vmpck[SNP_VMPCKS][32];
    uint8_t guest_area[0x60];        /* of the guest's system */
    uint8_t vmsa_tweak_bitmap[0x40]; /* VmsaRegProt: the quadwords under the nonce */
    uint8_t guest_area1[0x20];
    uint32_t tsc_factor;
    uint8_t reserved1[0x1000 - 0x164];
};
static_assert(sizeof(struct snp_secrets_page) == 0x1000, "SNP ABI, secrets page");
static_assert(offsetof(struct snp_secrets_page, vmpck) == 0x20, "SNP ABI, secrets page");
static_assert(offsetof(struct snp_secrets_page, guest_area) == 0xA0, "SNP ABI, secrets page");
static_assert(offsetof(struct snp_secrets_page, vmsa_tweak_bitmap) == 0x100, "SNP ABI, secrets");
static_assert(offsetof(struct snp_secrets_page, tsc_factor) == 0x160, "SNP ABI, secrets page");

/* ---- pages ----------------------------------------------------------------------------------- */

#define SNP_SWAP_2M         (UINT32_C(1) << 0)
#define SNP_SWAP_TYPE(type) ((uint32_t)(type) << 1) /* enum snp_swap_type, bits 2:1 */
#define SNP_SWAP_IN_PLACE   (UINT32_C(1) << 3)      /* PAGE_SWAP_IN */
#define SNP_SWAP_ROOT_MDATA (UINT32_C(1) << 4)
enum snp_swap_type { SNP_SWAP_DATA, SNP_SWAP_METADATA, SNP_SWAP_VMSA };
struct snp_cmd_swap { /* PAGE_SWAP_OUT, PAGE_SWAP_IN */
    uint64_t gctx_paddr, src_paddr, dst_paddr, mdata_paddr;
    uint64_t software_data; /* PAGE_SWAP_IN: reserved */
    uint32_t flags;         /* SNP_SWAP_* */
    uint32_t reserved;
};
static_assert(sizeof(struct snp_cmd_swap) == 0x30, "SNP ABI, SNP_PAGE_SWAP_OUT");

/* One page that is swapped out, in a METADATA page or in its guest's context. */
#define SNP_MDATA_VALID          (UINT64_C(1) << 0)
#define SNP_MDATA_PAGE_VALIDATED (UINT64_C(1) << 1)
#define SNP_MDATA_VMSA           (UINT64_C(1) << 2)
#define SNP_MDATA_METADATA       (UINT64_C(1) << 3)
#define SNP_MDATA_2M             (UINT64_C(1) << 4)
struct snp_mdata {
    uint64_t software_data, iv;
    uint8_t tag[16];
    uint64_t flags; /* SNP_MDATA_*; the GPA in bits 63:12 */
    uint64_t perms; /* by VMPL, a byte each */
    uint64_t reserved[2];
};
static_assert(sizeof(struct snp_mdata) == 0x40, "SNP ABI, metadata entry");

#define SNP_MOVE_2M (UINT32_C(1) << 0)
struct snp_cmd_page_move {
    uint64_t gctx_paddr;
    uint32_t flags, reserved;
    uint64_t src_paddr, dst_paddr;
};
static_assert(sizeof(struct snp_cmd_page_move) == 0x20, "SNP ABI, SNP_PAGE_MOVE");

struct snp_cmd_page_md_init {
    uint64_t gctx_paddr, page_paddr;
};
static_assert(sizeof(struct snp_cmd_page_md_init) == 0x10, "SNP ABI, SNP_PAGE_MD_INIT");

struct snp_cmd_page_set_state {
    uint32_t len, reserved;
    uint64_t list_paddr; /* struct snp_range_list */
};
static_assert(sizeof(struct snp_cmd_page_set_state) == 0x10, "SNP ABI, SNP_PAGE_SET_STATE");

#define SNP_RECLAIM_2M (UINT64_C(1) << 0)
struct snp_cmd_page { /* PAGE_RECLAIM: with SNP_RECLAIM_2M; PAGE_UNSMASH: the address alone */
    uint64_t page_paddr;
};
static_assert(sizeof(struct snp_cmd_page) == 8, "SNP ABI, SNP_PAGE_RECLAIM");

#endif
