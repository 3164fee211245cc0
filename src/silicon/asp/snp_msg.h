/* A guest message on its way through: opened, answered, sealed, and only then obeyed. */
#ifndef LUCCA_SILICON_ASP_SNP_MSG_H
#define LUCCA_SILICON_ASP_SNP_MSG_H

#include "silicon/asp/snp_internal.h"
#include "silicon/snp_msg_abi.h"

struct snp_exchange {
    struct asp *a;
    struct snp_guest *guest; /* that asks */
    uint8_t vmpck;           /* the key it has */
    size_t req_len,
        rsp_len; /* of the payloads; `rsp_len` as the table says until a message differs */
    union {
        uint8_t bytes[SNP_MSG_PAYLOAD];
        struct snp_msg_cpuid_req cpuid;
        struct snp_msg_key_req key;
        struct snp_msg_report_req report;
        struct snp_msg_export_req export;
        struct snp_msg_import_req import;
        struct snp_msg_vmrk_req vmrk;
        struct snp_msg_tsc_req tsc;
    } req;
    union {
        uint8_t bytes[SNP_MSG_PAYLOAD];
        uint32_t status; /* all answers begin with it */
        struct snp_msg_cpuid_rsp cpuid;
        struct snp_msg_key_rsp key;
        struct snp_msg_report_rsp report;
        struct snp_msg_export_rsp export;
        struct snp_msg_tsc_rsp tsc;
    } rsp;

    /* What shall happen once the answer is sealed; NULL: nothing. It cannot fail. */
    void (*apply)(struct snp_exchange *x);
    struct snp_guest *target; /* of a message about another guest */
    struct snp_guest fresh;   /* what it shall become */
};

/* One for each message: SUCCESS with the answer filled in, or the status that the answer shall
 * carry in place of one. All change nothing but `x`. */
enum sev_status snp_answer_cpuid(struct snp_exchange *x);
enum sev_status snp_answer_key(struct snp_exchange *x);
enum sev_status snp_answer_report(struct snp_exchange *x);
enum sev_status snp_answer_export(struct snp_exchange *x);
enum sev_status snp_answer_import(struct snp_exchange *x);
enum sev_status snp_answer_absorb(struct snp_exchange *x);
enum sev_status snp_answer_absorb_noma(struct snp_exchange *x);
enum sev_status snp_answer_vmrk(struct snp_exchange *x);
enum sev_status snp_answer_tsc(struct snp_exchange *x);

/* ---- attestation keys (snp_keys.c) -------------------------------------------------------------
 */

/* May that VMPCK speak for that VMPL? A key cannot speak for a VMPL above its own. */
bool snp_may_speak(const struct snp_exchange *x, uint32_t vmpl);
/* Which of the two `sel` means for this guest: INVALID_KEY where it may not have it. */
enum sev_status snp_select_key(const struct snp_exchange *x, uint32_t sel,
                               enum snp_signing_key *key) MUST_USE;
/* The VCEK of the reported TCB, or the VLEK. False: libcrypto failed. */
bool snp_attestation_key(struct snp_exchange *x, enum snp_signing_key which,
                         struct p384_key *key) MUST_USE;

#endif
