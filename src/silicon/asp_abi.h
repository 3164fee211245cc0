/* SEV API as memory and registers show it: mailbox, command ids, status codes, command buffers (SEV
 * API 0.24 / 1.x). Layouts are little-endian and packed, each with its size
 * asserted; which command takes which, and when it is legal, is in asp/commands.def. */
#ifndef LUCCA_SILICON_ASP_ABI_H
#define LUCCA_SILICON_ASP_ABI_H

#include <assert.h>
#include <stdint.h>

/* Mailbox registers, as indices of C2PMSG. The address of the command buffer is spent by a command:
 * the two registers then hold its (empty) error stack. */
#define ASP_CMDRESP                                                                                \
    32u /* write: command in bits 26:16, bit 0 interrupt; read: bit 31 ready, 15:0 status */
#define ASP_CMDBUF_LO  56u
#define ASP_CMDBUF_HI  57u
#define ASP_RESP_READY (UINT32_C(1) << 31)

#define SEV_COMMANDS(X)                                                                            \
    X(INIT, 0x01)                                                                                  \
    X(SHUTDOWN, 0x02)                                                                              \
    X(PLATFORM_RESET, 0x03)                                                                        \
    X(PLATFORM_STATUS, 0x04)                                                                       \
    X(PEK_GEN, 0x05)                                                                               \
    X(PEK_CSR, 0x06)                                                                               \
    X(PEK_CERT_IMPORT, 0x07)                                                                       \
    X(PDH_CERT_EXPORT, 0x08)                                                                       \
    X(PDH_GEN, 0x09)                                                                               \
    X(DF_FLUSH, 0x0A)                                                                              \
    X(GET_ID, 0x0C)                                                                                \
    X(INIT_EX, 0x0D)                                                                               \
    X(NOP, 0x0E)                                                                                   \
    X(DECOMMISSION, 0x20)                                                                          \
    X(ACTIVATE, 0x21)                                                                              \
    X(DEACTIVATE, 0x22)                                                                            \
    X(GUEST_STATUS, 0x23)                                                                          \
    X(LAUNCH_START, 0x30)                                                                          \
    X(LAUNCH_UPDATE_DATA, 0x31)                                                                    \
    X(LAUNCH_UPDATE_VMSA, 0x32)                                                                    \
    X(LAUNCH_MEASURE, 0x33)                                                                        \
    X(LAUNCH_SECRET, 0x34)                                                                         \
    X(LAUNCH_FINISH, 0x35)                                                                         \
    X(ATTESTATION, 0x36)                                                                           \
    X(DBG_DECRYPT, 0x60)                                                                           \
    X(DBG_ENCRYPT, 0x61)

enum sev_command {
#define X(name, id) SEV_CMD_##name = id,
    SEV_COMMANDS(X)
#undef X
};

#define SEV_STATUSES(X)                                                                            \
    X(SUCCESS, 0x00)                                                                               \
    X(INVALID_PLATFORM_STATE, 0x01)                                                                \
    X(INVALID_GUEST_STATE, 0x02)                                                                   \
    X(INVALID_CONFIG, 0x03)                                                                        \
    X(INVALID_LENGTH, 0x04)                                                                        \
    X(ALREADY_OWNED, 0x05)                                                                         \
    X(INVALID_CERTIFICATE, 0x06)                                                                   \
    X(POLICY_FAILURE, 0x07)                                                                        \
    X(INACTIVE, 0x08)                                                                              \
    X(INVALID_ADDRESS, 0x09)                                                                       \
    X(BAD_SIGNATURE, 0x0A)                                                                         \
    X(BAD_MEASUREMENT, 0x0B)                                                                       \
    X(ASID_OWNED, 0x0C)                                                                            \
    X(INVALID_ASID, 0x0D)                                                                          \
    X(WBINVD_REQUIRED, 0x0E)                                                                       \
    X(DF_FLUSH_REQUIRED, 0x0F)                                                                     \
    X(INVALID_GUEST, 0x10)                                                                         \
    X(INVALID_COMMAND, 0x11)                                                                       \
    X(ACTIVE, 0x12)                                                                                \
    X(HWERROR_PLATFORM, 0x13)                                                                      \
    X(HWERROR_UNSAFE, 0x14)                                                                        \
    X(UNSUPPORTED, 0x15)                                                                           \
    X(INVALID_PARAM, 0x16)                                                                         \
    X(RESOURCE_LIMIT, 0x17)                                                                        \
    X(SECURE_DATA_INVALID, 0x18)                                                                   \
    X(INVALID_PAGE_SIZE, 0x19) /* this and the next ones: SNP commands */                          \
    X(INVALID_PAGE_STATE, 0x1A)                                                                    \
    X(INVALID_MDATA_ENTRY, 0x1B)                                                                   \
    X(INVALID_PAGE_OWNER, 0x1C)                                                                    \
    X(AEAD_OFLOW, 0x1D)                                                                            \
    X(RMP_INIT_REQUIRED, 0x20)                                                                     \
    X(BAD_SVN, 0x21)                                                                               \
    X(BAD_VERSION, 0x22)                                                                           \
    X(SHUTDOWN_REQUIRED, 0x23)                                                                     \
    X(UPDATE_FAILED, 0x24)                                                                         \
    X(RESTORE_REQUIRED, 0x25)                                                                      \
    X(RMP_INITIALIZATION_FAILED, 0x26)                                                             \
    X(INVALID_KEY, 0x27)

enum sev_status {
#define X(name, id) SEV_##name = id,
    SEV_STATUSES(X)
#undef X
};

/* Guest policy (SEV API 2.3). */
#define SEV_POLICY_NODBG  0x01u
#define SEV_POLICY_NOKS   0x02u
#define SEV_POLICY_ES     0x04u
#define SEV_POLICY_NOSEND 0x08u
#define SEV_POLICY_DOMAIN 0x10u
#define SEV_POLICY_SEV    0x20u

/* Platform and guest states (SEV API, PLATFORM_STATUS and GUEST_STATUS). */
enum sev_platform_state { SEV_PLATFORM_UNINIT, SEV_PLATFORM_INIT, SEV_PLATFORM_WORKING };
enum sev_guest_state {
    SEV_GUEST_UNINIT,
    SEV_GUEST_LUPDATE,
    SEV_GUEST_LSECRET,
    SEV_GUEST_RUNNING,
    SEV_GUEST_SUPDATE,
    SEV_GUEST_RUPDATE,
    SEV_GUEST_SENT,
};

/* ---- command buffers, in the order of the commands' ids ------------------------------------- */

#define SEV_INIT_ES     0x0001u   /* flags of INIT and INIT_EX, and of PLATFORM_STATUS */
#define SEV_TMR_BYTES   0x100000u /* of the region that INIT for SEV-ES guests needs, aligned so; */
#define SEV_TMR_SNP     0x200000u /* ..and after SNP_INIT, pages of the firmware */
#define SEV_NV_BYTES    0x8000u
#define SEV_CERT_BYTES  0x824u
#define SEV_CHAIN_BYTES 0x186Cu /* PEK, OCA, CEK */
#define SEV_ID_BYTES    0x40u
#define SEV_SECRET_MAX  0x5000u /* a launch secret's packet */

struct sev_cmd_init {
    uint16_t flags;
    uint8_t reserved[6];
    uint64_t tmr_paddr;
    uint32_t tmr_len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_init) == 0x14, "SEV API, INIT");

struct sev_cmd_init_ex {
    uint32_t len; /* of this structure */
    uint16_t flags;
    uint8_t reserved[2];
    uint64_t tmr_paddr;
    uint32_t tmr_len, reserved1;
    uint64_t nv_paddr; /* 0: the chip's own flash */
    uint32_t nv_len;   /* SEV_NV_BYTES */
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_init_ex) == 0x24, "SEV API, INIT_EX");

struct sev_cmd_platform_status {
    uint8_t api_major, api_minor;
    uint8_t state; /* enum sev_platform_state */
    uint8_t owner; /* bit 0: owned by someone else than the platform itself */
    uint16_t flags;
    uint8_t reserved, build;
    uint32_t guest_count;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_platform_status) == 0x0C, "SEV API, PLATFORM_STATUS");

struct sev_cmd_buffer { /* PEK_CSR, GET_ID */
    uint64_t paddr;
    uint32_t len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_buffer) == 0x0C, "SEV API, PEK_CSR, GET_ID");

struct sev_cmd_pek_cert_import {
    uint64_t pek_paddr;
    uint32_t pek_len, reserved;
    uint64_t oca_paddr;
    uint32_t oca_len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_pek_cert_import) == 0x1C, "SEV API, PEK_CERT_IMPORT");

struct sev_cmd_pdh_cert_export {
    uint64_t pdh_paddr;
    uint32_t pdh_len, reserved;
    uint64_t chain_paddr;
    uint32_t chain_len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_pdh_cert_export) == 0x1C, "SEV API, PDH_CERT_EXPORT");

struct sev_cmd_handle { /* DECOMMISSION, DEACTIVATE, LAUNCH_FINISH */
    uint32_t handle;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_handle) == 4, "SEV API, LAUNCH_FINISH");

struct sev_cmd_activate {
    uint32_t handle, asid;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_activate) == 8, "SEV API, ACTIVATE");

struct sev_cmd_guest_status {
    uint32_t handle, policy, asid;
    uint8_t state; /* enum sev_guest_state */
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_guest_status) == 0x0D, "SEV API, GUEST_STATUS");

struct sev_cmd_launch_start {
    uint32_t handle; /* in: 0, or the guest to share a key with; out: the new guest */
    uint32_t policy;
    uint64_t dh_cert_paddr; /* 0: no session */
    uint32_t dh_cert_len, reserved;
    uint64_t session_paddr;
    uint32_t session_len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_launch_start) == 0x24, "SEV API, LAUNCH_START");

struct sev_cmd_guest_buffer { /* LAUNCH_UPDATE_DATA, LAUNCH_UPDATE_VMSA, LAUNCH_MEASURE */
    uint32_t handle, reserved;
    uint64_t paddr;
    uint32_t len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_guest_buffer) == 0x14, "SEV API, LAUNCH_MEASURE");

struct sev_cmd_launch_secret {
    uint32_t handle, reserved;
    uint64_t hdr_paddr;
    uint32_t hdr_len, reserved1;
    uint64_t guest_paddr;
    uint32_t guest_len, reserved2;
    uint64_t trans_paddr;
    uint32_t trans_len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_launch_secret) == 0x34, "SEV API, LAUNCH_SECRET");

struct sev_cmd_attestation {
    uint32_t handle, reserved;
    uint64_t paddr;
    uint8_t mnonce[16];
    uint32_t len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_attestation) == 0x24, "SEV API, ATTESTATION");

struct sev_cmd_dbg {
    uint32_t handle, reserved;
    uint64_t src_paddr, dst_paddr;
    uint32_t len;
} __attribute__((packed));
static_assert(sizeof(struct sev_cmd_dbg) == 0x1C, "SEV API, DBG_DECRYPT");

/* ---- what the buffers point to --------------------------------------------------------------- */

/* From the guest's owner to LAUNCH_START (SEV API, LAUNCH_START). */
struct sev_session {
    uint8_t nonce[16];
    uint8_t wrap_tk[32]; /* TEK, TIK under AES-128-CTR(KEK, wrap_iv) */
    uint8_t wrap_iv[16];
    uint8_t wrap_mac[32];   /* HMAC(KIK; wrap_tk) */
    uint8_t policy_mac[32]; /* HMAC(TIK; policy) */
};
static_assert(sizeof(struct sev_session) == 0x80, "SEV API, LAUNCH_START");

/* From LAUNCH_MEASURE to the owner (SEV API, LAUNCH_MEASURE). */
struct sev_measurement {
    uint8_t measure[32], mnonce[16];
};
static_assert(sizeof(struct sev_measurement) == 0x30, "SEV API, LAUNCH_MEASURE");

/* Before the owner's packet to LAUNCH_SECRET (SEV API, LAUNCH_SECRET). */
#define SEV_PACKET_COMPRESSED 0x1u
struct sev_packet_header {
    uint32_t flags;
    uint8_t iv[16], mac[32];
} __attribute__((packed));
static_assert(sizeof(struct sev_packet_header) == 0x34, "SEV API, packet header");

/* From ATTESTATION (SEV API, ATTESTATION). */
struct sev_report {
    uint8_t mnonce[16], launch_digest[32];
    uint32_t policy;
    uint32_t sig_usage, sig_algo, reserved;
    uint8_t sig_r[72], sig_s[72]; /* little-endian; over the bytes before sig_usage */
};
static_assert(sizeof(struct sev_report) == 0xD0, "SEV API, ATTESTATION");

#endif
