/* SNP commands of the platform: from SNP_INIT to SNP_SHUTDOWN_EX, its firmware and its keys (SNP
 * ABI, platform management). */
#include "silicon/asp/snp_internal.h"

#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/cipher.h"

/* ---- SNP_INIT, SNP_INIT_EX ----------------------------------------------------------------- */

#define MSR_SYSCFG      0xC0010010u
#define MSR_HWCR        0xC0010015u
#define MSR_VM_HSAVE_PA 0xC0010117u
#define MSR_RMP_BASE    0xC0010132u
#define MSR_RMP_END     0xC0010133u

#define SYSCFG_MFDM        BIT(19)
#define SYSCFG_MEM_ENCRYPT BIT(23)
#define SYSCFG_SNP         BIT(24)
#define SYSCFG_VMPL        BIT(25)
#define SYSCFG_NEEDED      (SYSCFG_MFDM | SYSCFG_MEM_ENCRYPT | SYSCFG_SNP | SYSCFG_VMPL)
#define HWCR_SMMLOCK       BIT(0)

#define MIB UINT64_C(0x100000)

static bool msr(const struct asp *a, unsigned core, uint32_t number, uint64_t *value)
{
    return a->core_ops && a->core_ops->rdmsr(a->core_ctx, core, number, value);
}

/* Ready for the table to be in force, and like its fellows (SNP ABI, SNP_INIT). */
static const char *core_fault(const struct asp *a, unsigned core, bool init_rmp)
{
    static const uint32_t equal[] = {MSR_SYSCFG, MSR_RMP_BASE, MSR_RMP_END};
    uint64_t value, first;

    if (!msr(a, core, MSR_SYSCFG, &value) || (value & SYSCFG_NEEDED) != SYSCFG_NEEDED)
        return "SYSCFG lacks MemEncryptionModEn, SecureNestedPagingEn, VMPLEn or MFDM";
    if (!msr(a, core, MSR_HWCR, &value) || !(value & HWCR_SMMLOCK))
        return "HWCR.SmmLock is clear";
    for (size_t i = 0; i < COUNT(equal); i++)
        if (!msr(a, core, equal[i], &value) || !msr(a, 0, equal[i], &first) || value != first)
            return "SYSCFG or the table's bounds differ from core 0's";
    if (init_rmp && (!msr(a, core, MSR_VM_HSAVE_PA, &value) || value))
        return "VM_HSAVE_PA is not zero";
    return NULL;
}

static const char *bounds_fault(const struct asp *a)
{
    uint64_t base, end;

    rmp_bounds(a->rmp, &base, &end);
    if (end <= base || base % MIB || (end + 1) % MIB)
        return "RMP_BASE and RMP_END bound no table, or not in steps of 1 MiB";
    return asp_reaches(a, base, end - base + 1) ? NULL : "the table is not in DRAM";
}

static enum sev_status check_cores(const struct asp *a, bool init_rmp)
{
    const char *fault = bounds_fault(a);
    unsigned core = 0;

    for (; core < a->cores && !fault; core++)
        fault = core_fault(a, core, init_rmp);
    if (fault && tracing(TRACE_ASP))
        trace(TRACE_ASP, "SNP_INIT: core %u: %s", core ? core - 1 : 0, fault);
    return fault ? SEV_INVALID_CONFIG : SEV_SUCCESS;
}

/* What came after ABI 1.55, and of that what this firmware cannot do. */
static enum sev_status check_recent(const struct asp *a, const struct snp_cmd_init_ex *b)
{
    const uint32_t recent = SNP_INIT_RAPL_DIS | SNP_INIT_HIDING | SNP_INIT_TIO;

    if (!(b->flags & recent) && !b->max_snp_asid)
        return SEV_SUCCESS;
    if (!snp_is_recent(a) || b->max_snp_asid >= a->chip->min_sev_asid)
        return SEV_INVALID_PARAM;
    if (b->flags & (SNP_INIT_HIDING | SNP_INIT_TIO)) {
        if (tracing(TRACE_ASP))
            trace(TRACE_ASP, "SNP_INIT_EX: ciphertext hiding and trusted I/O: not implemented");
        return SEV_UNSUPPORTED;
    }
    return SEV_SUCCESS;
}

enum sev_status snp_check_INIT_EX(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_init_ex *b = &c->buf.init_ex;
    bool init_rmp = b->flags & SNP_INIT_RMP;
    enum sev_status status = check_recent(a, b);

    if (status != SEV_SUCCESS)
        return status;
    if (a->state != SEV_PLATFORM_UNINIT)
        return SEV_INVALID_PLATFORM_STATE;
    if (!init_rmp && (!a->snp->rmp_ready || a->snp->rmp_stale))
        return SEV_RMP_INIT_REQUIRED;
    if (!init_rmp && b->flags & SNP_INIT_LIST)
        return SEV_INVALID_PARAM;
    status = check_cores(a, init_rmp);
    c->out.ranges.count = 0;
    if (status == SEV_SUCCESS && b->flags & SNP_INIT_LIST)
        status = snp_get_ranges(a, b->list_paddr, &c->out.ranges);
    /* what may still fail must be done here, and is the last that may */
    if (status == SEV_SUCCESS && init_rmp && !rmp_init_table(a->rmp))
        status = SEV_RMP_INITIALIZATION_FAILED;
    return status;
}

/* Pages that are to be nobody's but the hypervisor's for good. */
static void fix_ranges(struct asp *a, const struct snp_range_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        for (uint64_t n = 0; n < list->ranges[i].page_count; n++) {
            struct snp_operand p = {.spa = list->ranges[i].base + n * FRAME_SIZE};

            if (!rmp_covers(a->rmp, p.spa))
                break;
            if (snp_page_state(a, p.spa) == RMP_HYPERVISOR)
                snp_put_state(a, &p, RMP_HV_FIXED, 0);
        }
}

void snp_apply_INIT_EX(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_init_ex *b = &c->buf.init_ex;

    fix_ranges(a, &c->out.ranges);
    a->snp->state = SNP_PLATFORM_INIT;
    a->snp->rmp_ready = true;
    a->snp->rmp_stale = false;
    a->snp->rapl_dis = b->flags & SNP_INIT_RAPL_DIS;
    a->snp->max_asid = b->max_snp_asid ? b->max_snp_asid : a->chip->min_sev_asid - 1u;
    for (unsigned i = 1; i <= a->chip->sev_asids; i++)
        a->asids[i] = ASID_DIRTY;
    a->wbinvd_done = 0;
}

enum sev_status snp_check_INIT(struct asp *a, struct snp_call *c)
{
    c->buf.init_ex = (struct snp_cmd_init_ex){.flags = SNP_INIT_RMP};
    return snp_check_INIT_EX(a, c);
}

void snp_apply_INIT(struct asp *a, struct snp_call *c)
{
    snp_apply_INIT_EX(a, c);
}

/* ---- SNP_SHUTDOWN, SNP_SHUTDOWN_EX, SNP_DF_FLUSH ------------------------------------------- */

static bool all_clean(const struct asp *a)
{
    for (unsigned i = 1; i <= a->chip->sev_asids; i++)
        if (a->asids[i] != ASID_CLEAN)
            return false;
    return true;
}

/* No IOMMU is emulated, so that iommu_snp_shutdown finds nothing to hand back. */
enum sev_status snp_check_SHUTDOWN_EX(struct asp *a, struct snp_call *c)
{
    uint32_t flags = c->buf.shutdown_ex.flags;

    if (flags & SNP_SHUTDOWN_X86 && !(flags & SNP_SHUTDOWN_IOMMU))
        return SEV_INVALID_PARAM;
    if (a->state != SEV_PLATFORM_UNINIT)
        return SEV_INVALID_PLATFORM_STATE;
    if (a->snp->state == SNP_PLATFORM_UNINIT)
        return SEV_SUCCESS;
    return all_clean(a) ? SEV_SUCCESS : SEV_DF_FLUSH_REQUIRED;
}

static void forget_vlek(struct asp *a)
{
    wipe(a->snp->vlek, sizeof(a->snp->vlek));
    a->snp->vlek_loaded = false;
}

void snp_apply_SHUTDOWN_EX(struct asp *a, struct snp_call *c)
{
    if (a->snp->state == SNP_PLATFORM_UNINIT)
        return;
    for (unsigned i = 0; i < SNP_GUESTS; i++)
        if (a->snp->guests[i].used)
            snp_guest_end(a, &a->snp->guests[i]);
    forget_vlek(a);
    a->snp->state = SNP_PLATFORM_UNINIT;
    a->snp->rapl_dis = false;
    if (c->buf.shutdown_ex.flags & SNP_SHUTDOWN_X86) {
        rmp_release(a->rmp);
        a->snp->rmp_ready = false;
    }
}

enum sev_status snp_check_SHUTDOWN(struct asp *a, struct snp_call *c)
{
    c->buf.shutdown_ex.flags = 0;
    return snp_check_SHUTDOWN_EX(a, c);
}

void snp_apply_SHUTDOWN(struct asp *a, struct snp_call *c)
{
    snp_apply_SHUTDOWN_EX(a, c);
}

/* The legacy command by another number. */
enum sev_status snp_check_DF_FLUSH(struct asp *a, struct snp_call *c)
{
    return asp_check_DF_FLUSH(a, NULL);
}

void snp_apply_DF_FLUSH(struct asp *a, struct snp_call *c)
{
    asp_apply_DF_FLUSH(a, NULL);
}

/* ---- SNP_PLATFORM_STATUS, FEATURE_INFO ----------------------------------------------------- */

enum sev_status snp_check_PLATFORM_STATUS(struct asp *a, struct snp_call *c)
{
    return snp_output(a, c->buf.platform_status.status_paddr, sizeof(struct snp_platform_status));
}

uint64_t snp_reported_tcb(const struct asp *a)
{
    return a->snp->configured_tcb ? a->snp->configured_tcb : a->platform->versions.committed.tcb;
}

void snp_apply_PLATFORM_STATUS(struct asp *a, struct snp_call *c)
{
    const struct snp_firmware *fw = &a->platform->versions.current;
    struct snp_platform_status out = {
        .api_major = fw->major,
        .api_minor = fw->minor,
        .build_id = fw->build,
        .state = (uint8_t)a->snp->state,
        .rmp_flags = a->snp->rmp_ready ? SNP_STATUS_RMP_INITIALIZED : 0,
        .flags = a->snp->config | SNP_STATUS_FEATURE_INFO,
        .guest_count = a->snp->guest_count,
        .current_tcb = fw->tcb,
        .reported_tcb = snp_reported_tcb(a),
    };

    if (a->snp->rmp_ready && a->chip->id >= CHIP_GENOA) /* whose reports say so as well */
        out.rmp_flags |= SNP_STATUS_ALIAS_CHECKED;
    if (a->snp->vlek_loaded)
        out.flags |= SNP_STATUS_VLEK;
    if (a->snp->rapl_dis)
        out.flags |= SNP_STATUS_RAPL_DIS;
    asp_put(a, c->buf.platform_status.status_paddr, &out, sizeof(out));
}

/* By ecx_in. The second: guest messages CPUID, KEY, REPORT, EXPORT, IMPORT, ABSORB, VMRK,
 * ABSORB_NOMA and TSC_INFO. */
static const struct snp_feature_info features[] = {
    {.eax = 1, .ebx = SNP_FEATURE_EBX_LEGACY, .ecx = SNP_FEATURE_ECX_VLEK | SNP_FEATURE_ECX_X86},
    {.eax = 0x1FF},
};

enum sev_status snp_check_FEATURE_INFO(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_feature_info *b = &c->buf.feature_info;
    enum sev_status status;

    if (b->ecx_in >= COUNT(features))
        return SEV_INVALID_PARAM;
    if (b->paddr % 4)
        return SEV_INVALID_ADDRESS;
    status = snp_output(a, b->paddr, sizeof(features[0]));
    return status == SEV_INVALID_PARAM ? SEV_INVALID_ADDRESS : status; /* across two pages */
}

void snp_apply_FEATURE_INFO(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_feature_info *b = &c->buf.feature_info;

    asp_put(a, b->paddr, &features[b->ecx_in], sizeof(features[0]));
}

/* ---- SNP_CONFIG, SNP_COMMIT, DOWNLOAD_FIRMWARE_EX ------------------------------------------ */

enum sev_status snp_check_CONFIG(struct asp *a, struct snp_call *c)
{
    uint64_t tcb = c->buf.config.reported_tcb, committed = a->platform->versions.committed.tcb;

    if (!tcb_well_formed(a->chip, tcb))
        return SEV_INVALID_PARAM;
    return tcb_number(a->chip, tcb) <= tcb_number(a->chip, committed) ? SEV_SUCCESS
                                                                      : SEV_INVALID_PARAM;
}

/* A VLEK is good for one TCB; and so is a table that SNP_INIT_EX finds. */
static void tcb_changed(struct asp *a, uint64_t before)
{
    if (snp_reported_tcb(a) == before)
        return;
    forget_vlek(a);
    a->snp->rmp_stale = true;
}

void snp_apply_CONFIG(struct asp *a, struct snp_call *c)
{
    uint64_t before = snp_reported_tcb(a);

    a->snp->configured_tcb = c->buf.config.reported_tcb;
    a->snp->config = c->buf.config.flags;
    tcb_changed(a, before);
}

/* The last that may fail: a version that the chip would not have after a power cycle is none. */
static enum sev_status store_versions(struct asp *a, const struct snp_versions *v)
{
    struct error err;

    if (platform_versions_store(a->platform, v, &err) == OK)
        return SEV_SUCCESS;
    warn("secure processor: %s", err.text);
    return SEV_OUT_OF_ORDER;
}

enum sev_status snp_check_COMMIT(struct asp *a, struct snp_call *c)
{
    c->before_tcb = snp_reported_tcb(a);
    c->out.versions = a->platform->versions;
    c->out.versions.committed = c->out.versions.current;
    return store_versions(a, &c->out.versions);
}

void snp_apply_COMMIT(struct asp *a, struct snp_call *c)
{
    a->snp->configured_tcb = 0;
    tcb_changed(a, c->before_tcb);
}

/* The image's digest covers all of it but itself. */
static bool image_is_whole(struct asp *a, uint64_t paddr, const struct snp_firmware_image *image)
{
    const size_t before = offsetof(struct snp_firmware_image, sha384);
    uint8_t bytes[FRAME_SIZE], digest[SHA384_BYTES];

    digest_feed(a->snp->sha384, image, before);
    for (uint32_t at = sizeof(*image); at < image->size;) {
        uint32_t n = MIN(image->size - at, FRAME_SIZE);

        asp_get(a, paddr + at, bytes, n);
        digest_feed(a->snp->sha384, bytes, n);
        at += n;
    }
    return digest_finish(a->snp->sha384, digest) &&
           equal_bytes(digest, image->sha384, sizeof(digest));
}

static enum sev_status check_image(struct asp *a, const struct snp_cmd_download_firmware_ex *b,
                                   struct snp_firmware *fw)
{
    struct snp_firmware_image image;

    if (b->fw_len < sizeof(image))
        return SEV_INVALID_LENGTH;
    asp_get(a, b->fw_paddr, &image, sizeof(image));
    if (memcmp(image.magic, SNP_FIRMWARE_MAGIC, sizeof(image.magic)) ||
        image.version != SNP_FIRMWARE_VERSION)
        return SEV_BAD_SIGNATURE;
    if (image.size != b->fw_len)
        return SEV_INVALID_LENGTH;
    if (!image_is_whole(a, b->fw_paddr, &image))
        return SEV_BAD_SIGNATURE;
    *fw = (struct snp_firmware){image.tcb, image.api_major, image.api_minor, image.build};
    return tcb_well_formed(a->chip, fw->tcb) ? SEV_SUCCESS : SEV_UPDATE_FAILED;
}

static uint32_t version_number(const struct snp_firmware *fw)
{
    return (uint32_t)fw->major << 16 | (uint32_t)fw->minor << 8 | fw->build;
}

/* Nothing goes below what is committed (SNP ABI, DOWNLOAD_FIRMWARE_EX). */
enum sev_status snp_check_DOWNLOAD_FIRMWARE_EX(struct asp *a, struct snp_call *c)
{
    const struct snp_cmd_download_firmware_ex *b = &c->buf.download;
    const struct snp_firmware *committed = &a->platform->versions.committed;
    struct snp_firmware fw;
    enum sev_status status;

    if (a->state != SEV_PLATFORM_UNINIT)
        return SEV_INVALID_PLATFORM_STATE;
    if (b->fw_paddr % 32 || !asp_reaches(a, b->fw_paddr, b->fw_len))
        return SEV_INVALID_ADDRESS;
    status = check_image(a, b, &fw);
    if (status != SEV_SUCCESS)
        return status;
    if (!tcb_within(a->chip, committed->tcb, fw.tcb))
        return SEV_BAD_SVN;
    if (version_number(&fw) < version_number(committed))
        return SEV_BAD_VERSION;
    c->before_tcb = snp_reported_tcb(a);
    c->out.versions = a->platform->versions;
    c->out.versions.current = fw;
    if (b->flags & SNP_DOWNLOAD_COMMIT)
        c->out.versions.committed = fw;
    return store_versions(a, &c->out.versions);
}

void snp_apply_DOWNLOAD_FIRMWARE_EX(struct asp *a, struct snp_call *c)
{
    if (c->buf.download.flags & SNP_DOWNLOAD_COMMIT)
        snp_apply_COMMIT(a, c);
    a->snp->rmp_stale = true;
}

/* ---- VLEK_LOAD ----------------------------------------------------------------------------- */

enum sev_status snp_check_VLEK_LOAD(struct asp *a, struct snp_call *c)
{
    static const enum sev_status statuses[] = {
        [VLEK_GOOD] = SEV_SUCCESS,
        [VLEK_BAD_TCB] = SEV_BAD_SVN,
        [VLEK_BAD_TAG] = SEV_BAD_MEASUREMENT,
        [VLEK_FAILED] = SEV_OUT_OF_ORDER,
    };
    uint64_t paddr = c->buf.vlek_load.paddr, tcb = snp_reported_tcb(a);
    struct snp_vlek in;
    uint8_t vcek[VCEK_HASH_BYTES];
    enum sev_status status = SEV_OUT_OF_ORDER;

    if (!asp_reaches(a, paddr, sizeof(in)))
        return SEV_INVALID_ADDRESS;
    asp_get(a, paddr, &in, sizeof(in));
    c->secret = true;
    if (vcek_hash(a->platform->secret, tcb, vcek))
        status = statuses[vlek_unwrap(vcek, tcb, &in, c->out.vlek)];
    wipe(vcek, sizeof(vcek));
    return status;
}

void snp_apply_VLEK_LOAD(struct asp *a, struct snp_call *c)
{
    memcpy(a->snp->vlek, c->out.vlek, sizeof(a->snp->vlek));
    a->snp->vlek_loaded = true;
}
