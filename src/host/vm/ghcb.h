/* The guest-hypervisor communication block (GHCB standard 2.03): the MSR protocol, the shared page
 * with its valid bitmap, and the events that a guest asks for by VMGEXIT. What the guest hands over
 * is copied once, checked, and answered with the standard's error codes. */
#ifndef LUCCA_HOST_VM_GHCB_H
#define LUCCA_HOST_VM_GHCB_H

#include "host/vm/internal.h"

/* ---- the page (GHCB 2.6) --------------------------------------------------------------------- */

#define GHCB_BUFFER 2032u

struct ghcb {
    uint8_t reserved_000[0x0CB];
    uint8_t cpl; /* 0CB */
    uint8_t reserved_0cc[0x140 - 0x0CC];
    uint64_t xss; /* 140 */
    uint8_t reserved_148[0x160 - 0x148];
    uint64_t dr7; /* 160 */
    uint8_t reserved_168[0x178 - 0x168];
    uint64_t rip; /* 178 */
    uint8_t reserved_180[0x1D8 - 0x180];
    uint64_t rsp; /* 1D8 */
    uint8_t reserved_1e0[0x1F8 - 0x1E0];
    uint64_t rax; /* 1F8 */
    uint8_t reserved_200[0x308 - 0x200];
    uint64_t rcx, rdx, rbx, reserved_320, rbp, rsi, rdi, r8_r15[8]; /* 308 .. 378 */
    uint8_t reserved_380[0x390 - 0x380];
    uint64_t exitcode, exitinfo1, exitinfo2, scratch; /* 390 .. 3A8 */
    uint8_t reserved_3b0[0x3E8 - 0x3B0];
    uint64_t xcr0;      /* 3E8 */
    uint8_t valid[16];  /* 3F0: bit n: the quadword at 8 * n */
    uint64_t x87_state; /* 400 */
    uint8_t reserved_408[0x800 - 0x408];
    uint8_t buffer[GHCB_BUFFER]; /* 800 */
    uint8_t reserved_ff0[0xFFA - 0xFF0];
    uint16_t version; /* FFA */
    uint32_t usage;   /* FFC */
};
static_assert(offsetof(struct ghcb, cpl) == 0x0CB, "GHCB 2.6");
static_assert(offsetof(struct ghcb, xss) == 0x140, "GHCB 2.6");
static_assert(offsetof(struct ghcb, dr7) == 0x160, "GHCB 2.6");
static_assert(offsetof(struct ghcb, rip) == 0x178, "GHCB 2.6");
static_assert(offsetof(struct ghcb, rsp) == 0x1D8, "GHCB 2.6");
static_assert(offsetof(struct ghcb, rax) == 0x1F8, "GHCB 2.6");
static_assert(offsetof(struct ghcb, rcx) == 0x308, "GHCB 2.6");
static_assert(offsetof(struct ghcb, rbp) == 0x328, "GHCB 2.6");
static_assert(offsetof(struct ghcb, exitcode) == 0x390, "GHCB 2.6");
static_assert(offsetof(struct ghcb, scratch) == 0x3A8, "GHCB 2.6");
static_assert(offsetof(struct ghcb, xcr0) == 0x3E8, "GHCB 2.6");
static_assert(offsetof(struct ghcb, valid) == 0x3F0, "GHCB 2.6");
static_assert(offsetof(struct ghcb, buffer) == 0x800, "GHCB 2.6");
static_assert(offsetof(struct ghcb, version) == 0xFFA, "GHCB 2.6");
static_assert(sizeof(struct ghcb) == 0x1000, "one page");

#define GHCB_VERSION_MIN 1u
#define GHCB_VERSION_MAX 2u

/* ---- the MSR (GHCB 2.3.1): what a value with bits in 11:0 asks ------------------------------- */

enum ghcb_msr {
    GHCB_MSR_SEV_INFO = 0x001,
    GHCB_MSR_SEV_INFO_REQUEST = 0x002,
    GHCB_MSR_CPUID_REQUEST = 0x004,
    GHCB_MSR_CPUID = 0x005,
    GHCB_MSR_HOLD_REQUEST = 0x006,
    GHCB_MSR_HOLD = 0x007,
    GHCB_MSR_PREFERRED_REQUEST = 0x010,
    GHCB_MSR_PREFERRED = 0x011,
    GHCB_MSR_REGISTER_REQUEST = 0x012,
    GHCB_MSR_REGISTER = 0x013,
    GHCB_MSR_PSC_REQUEST = 0x014,
    GHCB_MSR_PSC = 0x015,
    GHCB_MSR_VMPL_REQUEST = 0x016,
    GHCB_MSR_VMPL = 0x017,
    GHCB_MSR_FEATURES_REQUEST = 0x080,
    GHCB_MSR_FEATURES = 0x081,
    GHCB_MSR_TERMINATE = 0x100,
};
#define GHCB_MSR_INFO(msr) ((unsigned)((msr)&0xFFF))
#define GHCB_MSR_DATA(msr) ((msr) & ~UINT64_C(0xFFF))
/* 63:12 all ones: no preference, refused. */
#define GHCB_MSR_NONE (~UINT64_C(0xFFF))

/* ---- events (GHCB 4.1): the exit codes of vmcb.h and these ----------------------------------- */

enum ghcb_event {
    GHCB_MMIO_READ = 0x80000001,
    GHCB_MMIO_WRITE = 0x80000002,
    GHCB_NMI_COMPLETE = 0x80000003,
    GHCB_AP_RESET_HOLD = 0x80000004,
    GHCB_AP_JUMP_TABLE = 0x80000005,
    GHCB_PSC = 0x80000010,
    GHCB_GUEST_REQUEST = 0x80000011,
    GHCB_EXT_GUEST_REQUEST = 0x80000012,
    GHCB_AP_CREATION = 0x80000013,
    GHCB_RUN_VMPL = 0x80000018,
    GHCB_FEATURES = 0x8000FFFD,
    GHCB_TERMINATE = 0x8000FFFE,
    GHCB_UNSUPPORTED = 0x8000FFFF,
};

/* Hypervisor features. */
#define GHCB_FEATURE_SNP         (UINT64_C(1) << 0)
#define GHCB_FEATURE_AP_CREATION (UINT64_C(1) << 1)
#define GHCB_FEATURE_MULTI_VMPL  (UINT64_C(1) << 5)

/* SW_EXITINFO1 31:0, and with GHCB_REFUSED the reason in SW_EXITINFO2. */
enum ghcb_answer { GHCB_OK, GHCB_EXCEPTION, GHCB_REFUSED };
enum ghcb_reason {
    GHCB_NOT_REGISTERED = 1,
    GHCB_BAD_USAGE,
    GHCB_BAD_SCRATCH,
    GHCB_MISSING_INPUT,
    GHCB_BAD_INPUT,
    GHCB_BAD_EVENT,
};

/* ---- one call -------------------------------------------------------------------------------- */

/* `page`: the copy. What the handler puts there and marks goes back: registers and exit
 * information always, the buffer as far as `buffer_from` and `buffer_end` say. */
struct ghcb_call {
    struct vcpu *v;
    uint64_t gpa;
    struct ghcb page;
    uint8_t given[16]; /* the bitmap as it came; the answer has its own */
    uint64_t code, info1, info2;
    unsigned buffer_from, buffer_end;
    bool later; /* the answer comes with the event that the guest waits for */
};

/* Bits of the quadword at `offset` in a valid bitmap. */
static inline bool ghcb_bit(const uint8_t bitmap[16], size_t offset)
{
    return bitmap[offset / 64] >> offset / 8 % 8 & 1;
}
static inline void ghcb_set_bit(uint8_t bitmap[16], size_t offset)
{
    bitmap[offset / 64] |= (uint8_t)(1u << offset / 8 % 8);
}
#define GHCB_HAS(call, field) ghcb_bit((call)->given, offsetof(struct ghcb, field))
#define GHCB_PUT(call, field, value)                                                               \
    ((call)->page.field = (value), ghcb_set_bit((call)->page.valid, offsetof(struct ghcb, field)))

void ghcb_refuse(struct ghcb_call *call, enum ghcb_reason why);
void ghcb_exception(struct ghcb_call *call, unsigned vector);
void ghcb_result(struct ghcb_call *call, uint64_t info2);
/* `len` bytes at SW_SCRATCH, in the page's own buffer; else NULL, refused. */
uint8_t *ghcb_scratch(struct ghcb_call *call, uint64_t len);
/* The handler has changed `len` bytes from `at`, which ghcb_scratch gave. */
void ghcb_changed(struct ghcb_call *call, const uint8_t *at, uint64_t len);

/* ghcb.c */
/* The answer to an AP reset hold in the page at `gpa`. */
void ghcb_answer_hold(struct vcpu *v, uint64_t gpa);
uint64_t ghcb_features(const struct vm *vm);
/* Why a guest ends itself. `code`: reason code, `set`: reason code set. */
void ghcb_terminate(struct vcpu *v, unsigned set, unsigned code);

/* ghcb_msr.c */
void ghcb_msr(struct vcpu *v, uint64_t value);
uint64_t ghcb_sev_info(const struct vm *vm);

/* ghcb_events.c: NULL where guests of this level have no such event. */
struct ghcb_row;
const struct ghcb_row *ghcb_find(const struct vm *vm, uint64_t code);
const char *ghcb_row_name(const struct ghcb_row *row);
/* Has the guest marked what the event needs? */
bool ghcb_inputs_valid(const struct ghcb_row *row, const struct ghcb_call *call);
void ghcb_row_run(const struct ghcb_row *row, struct ghcb_call *call);

/* psc.c */
enum psc_operation { PSC_PRIVATE = 1, PSC_SHARED = 2, PSC_SMASH = 3, PSC_UNSMASH = 4 };
void psc_event(struct ghcb_call *call);
bool psc_one(struct vcpu *v, uint64_t gpa, unsigned operation);

/* ap.c */
void ap_hold(struct vcpu *v, enum ap_hold how, uint64_t ghcb_gpa);
void ap_create(struct ghcb_call *call);
void ap_jump_table(struct ghcb_call *call);

#endif
