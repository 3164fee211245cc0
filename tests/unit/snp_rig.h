/* A secure processor that does SNP, with DRAM, a reverse map table and cores around it, and the
 * host that drives it. */
#ifndef LUCCA_TESTS_SNP_RIG_H
#define LUCCA_TESTS_SNP_RIG_H

#include "base/bytes.h"
#include "silicon/asp/snp_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MIB        UINT64_C(0x100000)
#define DRAM_BYTES (8 * MIB)
#define CORES      2u

/* The first 2 MiB are pages one by one; the next two are large ones; the table is behind them. */
#define AT_CMD    UINT64_C(0x001000)
#define AT_DATA   UINT64_C(0x002000) /* what buffers point to: the host's */
#define AT_MORE   UINT64_C(0x003000)
#define AT_OUT    UINT64_C(0x004000) /* a page for the firmware to write */
#define AT_GCTX   UINT64_C(0x010000)
#define AT_GCTX2  UINT64_C(0x011000)
#define AT_GUEST  UINT64_C(0x020000) /* pages of the guest */
#define AT_MD     UINT64_C(0x040000)
#define AT_SWAP   UINT64_C(0x041000)
#define AT_LARGE  UINT64_C(0x200000)
#define AT_LARGE2 UINT64_C(0x400000)
#define AT_RMP    UINT64_C(0x600000)
#define RMP_BYTES MIB
#define AT_FREE   UINT64_C(0x700000) /* behind the table */

#define ASID   7u
#define POLICY (SNP_POLICY_SMT | SNP_POLICY_MBO)

/* A core as SNP_INIT wants it. */
struct core_msrs {
    uint64_t syscfg, hwcr, hsave, rmp_base, rmp_end;
};

struct rig {
    struct dram *dram;
    struct rmp *rmp;
    struct asp *asp;
    struct core_msrs cores[CORES];
    uint32_t smt;
};

static inline bool rig_rdmsr(void *ctx, unsigned core, uint32_t msr, uint64_t *value)
{
    const struct rig *r = ctx;
    const struct core_msrs *m = &r->cores[core];

    switch (msr) {
    case 0xC0010010:
        *value = m->syscfg;
        return true;
    case 0xC0010015:
        *value = m->hwcr;
        return true;
    case 0xC0010117:
        *value = m->hsave;
        return true;
    case 0xC0010132:
        *value = m->rmp_base;
        return true;
    case 0xC0010133:
        *value = m->rmp_end;
        return true;
    default:
        return false;
    }
}

/* A chip that has little: leaf 1 says so. */
#define OFFERED_ECX 0x00000001u
static inline void rig_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct rig *r = ctx;

    memset(out, 0, 16);
    if (leaf == 0)
        out[0] = 0xD;
    if (leaf == 1)
        out[2] = OFFERED_ECX;
    if (leaf == 0xD && subleaf == 0)
        out[0] = 7;
    if (leaf == 0x80000008)
        out[0] = 0x3034;
    if (leaf == 0x8000001E)
        out[1] = r->smt << 8;
}

static inline void rig_open(struct rig *r, enum chip_id chip)
{
    static const struct asp_cores ops = {rig_rdmsr, rig_cpuid, 1000000};
    struct error err = {0};

    memset(r, 0, sizeof(*r));
    assert_int_equal(dram_new(DRAM_BYTES, false, &r->dram, NULL), OK);
    assert_int_equal(rmp_new(r->dram, &r->rmp, NULL), OK);
    if (asp_new(chip_by_id(chip), r->dram, r->rmp, CORES, NULL, &r->asp, &err) != OK)
        fail_msg("%s", err.text);
    asp_set_cores(r->asp, &ops, r);
    for (unsigned i = 0; i < CORES; i++)
        r->cores[i] = (struct core_msrs){.syscfg = BIT(19) | BIT(23) | BIT(24) | BIT(25),
                                         .hwcr = 1,
                                         .rmp_base = AT_RMP,
                                         .rmp_end = AT_RMP + RMP_BYTES - 1};
    rmp_set_bounds(r->rmp, AT_RMP, AT_RMP + RMP_BYTES - 1);
    rmp_enable(r->rmp, true);
}

static inline void rig_close(struct rig *r)
{
    asp_free(r->asp);
    rmp_free(r->rmp);
    dram_free(r->dram);
}

/* The host's stores, which the table would stop elsewhere, are not the subject here. */
static inline void host_write(struct rig *r, uint64_t at, const void *from, size_t len)
{
    assert_true(dram_write(r->dram, at, DRAM_PLAIN, from, len));
}

static inline void host_read(struct rig *r, uint64_t at, void *to, size_t len)
{
    assert_true(dram_read(r->dram, at, DRAM_PLAIN, to, len));
}

static inline enum sev_status mailbox(struct rig *r, uint32_t cmd, uint64_t buffer)
{
    asp_write_reg(r->asp, ASP_CMDBUF_LO, (uint32_t)buffer);
    asp_write_reg(r->asp, ASP_CMDBUF_HI, (uint32_t)(buffer >> 32));
    asp_write_reg(r->asp, ASP_CMDRESP, cmd << 16);
    assert_true(asp_read_reg(r->asp, ASP_CMDRESP) & ASP_RESP_READY);
    return (enum sev_status)(asp_read_reg(r->asp, ASP_CMDRESP) & 0xFFFF);
}

static inline enum sev_status command(struct rig *r, uint32_t cmd, const void *buf, size_t len)
{
    if (len)
        host_write(r, AT_CMD, buf, len);
    return mailbox(r, cmd, AT_CMD);
}

#define SNP_DO(r, name, buf) command(r, SNP_CMD_##name, &(buf), sizeof(buf))
#define SNP_PLAIN(r, name)   command(r, SNP_CMD_##name, NULL, 0)
#define GOOD(call)           assert_int_equal(call, SEV_SUCCESS)

static inline void flush(struct rig *r)
{
    for (unsigned i = 0; i < CORES; i++)
        asp_note_wbinvd(r->asp, i);
    GOOD(SNP_PLAIN(r, DF_FLUSH));
}

static inline void rig_init(struct rig *r)
{
    GOOD(SNP_PLAIN(r, INIT));
    flush(r);
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* As RMPUPDATE, but from any state. */
static inline void page_is(struct rig *r, uint64_t spa, enum rmp_state state, uint64_t gpa,
                           bool large)
{
    struct rmp_entry e = {.large = large};

    e.assigned = state != RMP_HYPERVISOR && state != RMP_HV_FIXED;
    e.immutable = state == RMP_HV_FIXED || state == RMP_FIRMWARE || state == RMP_CONTEXT ||
                  state == RMP_METADATA || state == RMP_PRE_GUEST || state == RMP_PRE_SWAP;
    e.validated = state == RMP_PRE_SWAP || state == RMP_GUEST_VALID;
    e.vmsa = state == RMP_CONTEXT;
    if (state >= RMP_PRE_GUEST) {
        e.asid = ASID;
        e.gpa = gpa;
        e.perms[0] = VMPL_ALL;
    }
    if (state == RMP_METADATA)
        e.gpa = gpa | BIT(48);
    rmp_put(r->rmp, spa, &e);
    assert_int_equal(rmp_state(r->rmp, spa), state);
}

static inline void firmware_page(struct rig *r, uint64_t spa)
{
    page_is(r, spa, RMP_FIRMWARE, 0, false);
}

/* ---- guests --------------------------------------------------------------------------------- */

static inline enum sev_status by_gctx(struct rig *r, uint32_t cmd, uint64_t gctx)
{
    struct snp_cmd_gctx b = {gctx};

    return command(r, cmd, &b, sizeof(b));
}

static inline struct snp_guest *guest_at(struct rig *r, uint64_t gctx)
{
    struct snp_guest *g = snp_guest_at(r->asp, gctx);

    assert_non_null(g);
    return g;
}

static inline void create(struct rig *r, uint64_t gctx)
{
    firmware_page(r, gctx);
    GOOD(by_gctx(r, SNP_CMD_GCTX_CREATE, gctx));
}

static inline enum sev_status start(struct rig *r, uint64_t gctx, uint64_t policy)
{
    struct snp_cmd_launch_start b = {.gctx_paddr = gctx, .policy = policy};

    return SNP_DO(r, LAUNCH_START, b);
}

static inline enum sev_status activate(struct rig *r, uint64_t gctx, uint32_t asid)
{
    struct snp_cmd_activate b = {gctx, asid};

    return SNP_DO(r, ACTIVATE, b);
}

static inline enum sev_status update_flags(struct rig *r, uint64_t spa, uint32_t flags)
{
    struct snp_cmd_launch_update b = {.gctx_paddr = AT_GCTX, .flags = flags, .page_paddr = spa};

    return SNP_DO(r, LAUNCH_UPDATE, b);
}

static inline enum sev_status update(struct rig *r, uint64_t spa, uint64_t gpa,
                                     enum snp_page_type type)
{
    page_is(r, spa, RMP_PRE_GUEST, gpa, false);
    return update_flags(r, spa, SNP_UPDATE_TYPE(type));
}

static inline enum sev_status finish(struct rig *r, uint64_t gctx)
{
    struct snp_cmd_launch_finish b = {.gctx_paddr = gctx};

    return SNP_DO(r, LAUNCH_FINISH, b);
}

/* A guest in AT_GCTX that is created, launching and active, or running. */
static inline void guest_in_state(struct rig *r, enum snp_guest_state state, uint64_t policy)
{
    create(r, AT_GCTX);
    if (state == SNP_GUEST_INIT)
        return;
    GOOD(start(r, AT_GCTX, policy));
    GOOD(activate(r, AT_GCTX, ASID));
    if (state == SNP_GUEST_RUNNING)
        GOOD(finish(r, AT_GCTX));
}

static inline void guest_read(struct rig *r, uint64_t spa, void *to, size_t len)
{
    assert_true(dram_read(r->dram, spa, guest_at(r, AT_GCTX)->key, to, len));
}

static inline void guest_write(struct rig *r, uint64_t spa, const void *from, size_t len)
{
    assert_true(dram_write(r->dram, spa, guest_at(r, AT_GCTX)->key, from, len));
}

#endif
