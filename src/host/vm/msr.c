/* MSRs that exit, and which ones do not: the permission map (APM2 15.11) lets through what the core
 * switches by itself. The rest is a table: values that are fixed, values that are only remembered,
 * and a few with a handler. What is not in it is #GP, as on a machine that lacks it. */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

#define MSR_TSC        0x10u
#define MTRR_VAR_FIRST 0x200u
#define MTRR_VAR_LAST  0x20Fu

/* Read and written by the guest without an exit. */
static const struct direct {
    uint32_t first, last;
    bool read, write;
} direct[] = {
    {MSR_TSC, MSR_TSC, true, false},      {0x174, 0x176, true, true}, /* SYSENTER_CS, _ESP, _EIP */
    {0x1D9, 0x1D9, true, true},                                       /* DEBUGCTL */
    {0x277, 0x277, true, true},                                       /* PAT */
    {0xDA0, 0xDA0, true, true},                                       /* XSS */
    {0xC0000081, 0xC0000084, true, true}, /* STAR, LSTAR, CSTAR, SFMASK */
    {0xC0000100, 0xC0000103, true, true}, /* FS_BASE, GS_BASE, KERNEL_GS_BASE, TSC_AUX */
    {0xC0010131, 0xC0010131, true, true}, /* SEV_STATUS */
};

/* And those that a guest with encrypted state has to itself: its early code has no handler for them
 * (APM2 15.35.5). The GHCB's own never exits. */
static const struct direct direct_encrypted[] = {
    {0xC0000080, 0xC0000080, true, true}, /* EFER */
    {0xC0010130, 0xC0010130, true, true}, /* GHCB */
};

/* Byte and bit of an MSR in the permission map; false for those that always exit. */
static bool map_slot(uint32_t msr, unsigned *byte, unsigned *shift)
{
    static const uint32_t bases[] = {0, 0xC0000000, 0xC0010000};

    for (unsigned i = 0; i < COUNT(bases); i++)
        if (msr >= bases[i] && msr - bases[i] < 0x2000) {
            uint32_t n = msr - bases[i];

            *byte = i * 0x800 + n / 4;
            *shift = n % 4 * 2;
            return true;
        }
    return false;
}

static void let_through(uint8_t *map, const struct direct *rows, size_t count)
{
    unsigned byte = 0, shift = 0;

    for (size_t i = 0; i < count; i++)
        for (uint32_t msr = rows[i].first; msr <= rows[i].last; msr++) {
            if (!map_slot(msr, &byte, &shift))
                continue;
            if (rows[i].read)
                map[byte] &= (uint8_t) ~(1u << shift);
            if (rows[i].write)
                map[byte] &= (uint8_t) ~(2u << shift);
        }
}

void msr_permissions(uint8_t map[2 * 4096], enum sev_level sev)
{
    memset(map, 0xFF, 2 * 4096);
    let_through(map, direct, COUNT(direct));
    if (sev >= SEV_ES)
        let_through(map, direct_encrypted, COUNT(direct_encrypted));
}

/* ---- with a handler -------------------------------------------------------------------------- */

static bool read_apic(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    return lapic_rdmsr(v->lapic, msr, value);
}

static bool write_apic(struct vcpu *v, uint32_t msr, uint64_t value)
{
    return lapic_wrmsr(v->lapic, msr, value);
}

/* The guest's TSC is the core's plus an offset, so a write moves the offset. */
static bool write_tsc(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t offset = value - board_now(v->vm->board);

    v->vmcb.control.tsc_offset = offset;
    lapic_set_tsc_offset(v->lapic, (int64_t)offset);
    return true;
}

#define EFER_SCE   BIT(0)
#define EFER_LME   BIT(8)
#define EFER_LMA   BIT(10)
#define EFER_NXE   BIT(11)
#define EFER_SVME  BIT(12)
#define EFER_FFXSR BIT(14)
#define CR0_PG     BIT(31)

/* VMRUN needs EFER.SVME (APM2 15.5.1), but the guest has no SVM. Encrypted state has its own. */
static bool read_efer(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = v->vmcb.save.efer & ~EFER_SVME;
    return !vcpu_encrypted(v);
}

static bool write_efer(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct vmcb_save *s = &v->vmcb.save;

    if (vcpu_encrypted(v))
        return false;
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR))
        return false;
    if ((value ^ s->efer) & EFER_LME && s->cr0 & CR0_PG)
        return false;
    if ((value ^ s->efer) & EFER_NXE)
        v->flush = true;
    s->efer = (value & ~EFER_LMA) | (s->efer & EFER_LMA) | EFER_SVME;
    return true;
}

static uint64_t *mtrr_slot(struct vcpu *v, uint32_t msr)
{
    static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26A,
                                     0x26B, 0x26C, 0x26D, 0x26E, 0x26F};

    if (msr >= MTRR_VAR_FIRST && msr <= MTRR_VAR_LAST)
        return &v->mtrr_var[msr - MTRR_VAR_FIRST];
    for (size_t i = 0; i < COUNT(fixed); i++)
        if (fixed[i] == msr)
            return &v->mtrr_fixed[i];
    return &v->mtrr_def_type;
}

static bool read_mtrr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = *mtrr_slot(v, msr);
    return true;
}

static bool write_mtrr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    *mtrr_slot(v, msr) = value;
    return true;
}

static bool drop_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* A row without `read` gives `fixed`; one without `write` refuses. `memory`, counted from 1, is
 * the slot of a value that the guest sets and reads back. */
static const struct msr_row {
    uint32_t first, last;
    const char *name;
    uint64_t fixed;
    bool (*read)(struct vcpu *v, uint32_t msr, uint64_t *value);
    bool (*write)(struct vcpu *v, uint32_t msr, uint64_t value);
    unsigned memory;
} rows[] = {
    {.first = 0x1B, .last = 0x1B, .name = "APIC_BASE", .read = read_apic, .write = write_apic},
    {.first = 0x6E0, .last = 0x6E0, .name = "TSC_DEADLINE", .read = read_apic, .write = write_apic},
    {.first = 0x800, .last = 0x8FF, .name = "x2APIC", .read = read_apic, .write = write_apic},
    {.first = MSR_TSC, .last = MSR_TSC, .name = "TSC", .write = write_tsc},
    {.first = 0xC0000080,
     .last = 0xC0000080,
     .name = "EFER",
     .read = read_efer,
     .write = write_efer},
    {.first = 0x48, .last = 0x48, .name = "SPEC_CTRL", .memory = 1},
    {.first = 0x49, .last = 0x49, .name = "PRED_CMD", .write = drop_write},
    {.first = 0x8B, .last = 0x8B, .name = "PATCH_LEVEL", .write = drop_write},
    {.first = 0xFE, .last = 0xFE, .name = "MTRRcap", .fixed = 0x508},
    {.first = 0x179, .last = 0x179, .name = "MCG_CAP"},
    {.first = 0x17A, .last = 0x17A, .name = "MCG_STATUS", .write = drop_write},
    {.first = 0x17B, .last = 0x17B, .name = "MCG_CTL", .write = drop_write},
    {.first = 0x200, .last = 0x20F, .name = "MTRR", .read = read_mtrr, .write = write_mtrr},
    {.first = 0x250, .last = 0x250, .name = "MTRR", .read = read_mtrr, .write = write_mtrr},
    {.first = 0x258, .last = 0x259, .name = "MTRR", .read = read_mtrr, .write = write_mtrr},
    {.first = 0x268, .last = 0x26F, .name = "MTRR", .read = read_mtrr, .write = write_mtrr},
    {.first = 0x2FF, .last = 0x2FF, .name = "MTRR", .read = read_mtrr, .write = write_mtrr},
    /* Only told by the GHCB, as it does not exit. */
    {.first = 0xC0000103, .last = 0xC0000103, .name = "TSC_AUX", .memory = 8},
    /* Every AMD processor has these counters, so test kernels stop them unasked. They never count.
     */
    {.first = 0xC0010000, .last = 0xC0010007, .name = "PERF_CTL, PERF_CTR", .write = drop_write},
    {.first = 0xC0010010, .last = 0xC0010010, .name = "SYSCFG", .write = drop_write},
    {.first = 0xC0010015,
     .last = 0xC0010015,
     .name = "HWCR",
     .fixed = BIT(24),
     .write = drop_write},
    {.first = 0xC001001A, .last = 0xC001001A, .name = "TOP_MEM", .write = drop_write},
    {.first = 0xC001001D, .last = 0xC001001D, .name = "TOP_MEM2", .write = drop_write},
    {.first = 0xC001001F, .last = 0xC001001F, .name = "NB_CFG", .memory = 2},
    {.first = 0xC0010020, .last = 0xC0010020, .name = "PATCH_LOADER", .write = drop_write},
    {.first = 0xC0010058, .last = 0xC0010058, .name = "MMIO_CFG_BASE", .write = drop_write},
    {.first = 0xC0010114, .last = 0xC0010114, .name = "VM_CR", .fixed = BIT(4) | BIT(3)},
    {.first = 0xC0010117, .last = 0xC0010117, .name = "VM_HSAVE_PA", .write = drop_write},
    {.first = 0xC001011F, .last = 0xC001011F, .name = "VIRT_SPEC_CTRL", .memory = 3},
    {.first = 0xC0011022, .last = 0xC0011022, .name = "DC_CFG", .memory = 4},
    {.first = 0xC0011023, .last = 0xC0011023, .name = "TW_CFG", .memory = 5},
    {.first = 0xC0011029, .last = 0xC0011029, .name = "DE_CFG", .memory = 6},
    {.first = 0xC001102A, .last = 0xC001102A, .name = "BU_CFG2", .memory = 7},
};

static const struct msr_row *find_row(uint32_t msr)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (msr >= rows[i].first && msr <= rows[i].last)
            return &rows[i];
    return NULL;
}

void msr_reset(struct vcpu *v)
{
    memset(v->mtrr_var, 0, sizeof(v->mtrr_var));
    memset(v->mtrr_fixed, 0, sizeof(v->mtrr_fixed));
    memset(v->misc_msr, 0, sizeof(v->misc_msr));
    /* As firmware leaves them: enabled, write-back wherever nothing else is said. */
    v->mtrr_def_type = 0xC06;
    for (size_t i = 0; i < COUNT(v->mtrr_fixed); i++)
        v->mtrr_fixed[i] = UINT64_C(0x0606060606060606);
    v->misc_msr[6] = BIT(1); /* DE_CFG: LFENCE serializes */
}

static bool read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct msr_row *r = find_row(msr);

    *value = 0;
    if (!r)
        return false;
    if (r->read)
        return r->read(v, msr, value);
    *value = r->memory ? v->misc_msr[r->memory] : r->fixed;
    return true;
}

static bool write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct msr_row *r = find_row(msr);

    if (!r)
        return false;
    if (r->memory) {
        v->misc_msr[r->memory] = value;
        return true;
    }
    return r->write && r->write(v, msr, value);
}

bool msr_access(struct vcpu *v, uint32_t msr, bool write, uint64_t *value)
{
    bool done = write ? write_msr(v, msr, *value) : read_msr(v, msr, value);

    if (tracing(TRACE_EXIT))
        trace(TRACE_EXIT, "vCPU %u %s MSR %08" PRIx32 " (%s) %" PRIx64 "%s", v->index,
              write ? "writes" : "reads", msr, find_row(msr) ? find_row(msr)->name : "unknown",
              *value, done ? "" : ": #GP");
    return done;
}

void exit_msr(struct vcpu *v)
{
    bool write = v->vmcb.control.exitinfo1 & 1;
    uint64_t value = (vcpu_gpr(v, RDX) << 32) | (uint32_t)vcpu_gpr(v, RAX);

    if (!msr_access(v, (uint32_t)vcpu_gpr(v, RCX), write, &value)) {
        vcpu_inject(v, EXC_GP, true, 0);
        return;
    }
    if (!write) {
        vcpu_set_gpr(v, RAX, (uint32_t)value);
        vcpu_set_gpr(v, RDX, value >> 32);
    }
    vcpu_skip(v, v->vmcb.control.nrip);
}
