/* SEV API as memory and registers show it: mailbox, command ids, status codes (SEV API 0.24 / 1.x,
 * chapters 4 and 5). Command buffers are in asp/commands.def; layouts here are little-endian and
 * naturally packed, each with its size asserted. */
#ifndef LUCCA_SILICON_ASP_ABI_H
#define LUCCA_SILICON_ASP_ABI_H

#include <stdint.h>

/* Mailbox registers, as indices of C2PMSG. */
#define ASP_CMDRESP   32u /* write: command in bits 26:16, bit 0 interrupt; read: bit 31 ready, 15:0 status */
#define ASP_CMDBUF_LO 56u
#define ASP_CMDBUF_HI 57u
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
    X(SECURE_DATA_INVALID, 0x18)

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

#endif
