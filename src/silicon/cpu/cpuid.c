/* CPUID (APM3 appendix E): what the chip reports, minus what is not implemented. Feature bits come
 * from feature.def alone. */
#include "silicon/cpu/cpu.h"

enum reg { EAX, EBX, ECX, EDX, NONE };

static const struct {
    uint32_t leaf;
    uint8_t subleaf, reg, bit, since;
} features[FEATURES] = {
#define FEATURE(name, leaf, subleaf, reg, bit, since) {leaf, subleaf, reg, bit, CHIP_##since},
#include "silicon/cpu/feature.def"
#undef FEATURE
};

void features_init(struct cpu *c, const struct chip *chip)
{
    for (unsigned f = 0; f < FEATURES; f++)
        if (chip->id >= features[f].since)
            c->features[f / 64] |= BIT(f % 64);
}

static void feature_bits(const struct cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (unsigned f = 0; f < FEATURES; f++)
        if (features[f].leaf == leaf && features[f].subleaf == subleaf && features[f].reg != NONE &&
            has(c, f))
            out[features[f].reg] |= 1u << features[f].bit;
}

static void text(uint32_t out[4], unsigned first, const char *s, unsigned from, unsigned n)
{
    char piece[16] = {0};
    size_t len = strlen(s);

    if (from < len)
        memcpy(piece, s + from, MIN(len - from, n));
    memcpy(out + first, piece, n);
}

static void leaf_vendor(uint32_t out[4], uint32_t max)
{
    out[EAX] = max;
    text(out, EBX, "Auth", 0, 4);
    text(out, EDX, "enti", 0, 4);
    text(out, ECX, "cAMD", 0, 4);
}

static void leaf_1(const struct cpu *c, uint32_t out[4])
{
    out[EAX] = soc_chip(c->soc)->signature;
    out[EBX] |= 8u << 8 | c->id << 24; /* CLFLUSH of 64 bytes, initial APIC id */
    if (c->cr4 & CR4_OSXSAVE)
        out[ECX] |= 1u << 27;
}

/* XSAVE areas: 512 legacy, 64 header, then YMM_Hi128 at 576. */
static void leaf_d(const struct cpu *c, uint32_t subleaf, uint32_t out[4])
{
    switch (subleaf) {
    case 0:
        out[EAX] = 7;
        out[EBX] = c->xcr0 & 4 ? 832 : 576;
        out[ECX] = 832;
        break;
    case 1:
        out[EBX] = c->xcr0 & 4 ? 832 : 576; /* compacted: the same, with one extended component */
        break;
    case 2:
        out[EAX] = 256;
        out[EBX] = 576;
        break;
    default:
        break;
    }
}

/* Caches and TLBs of a Zen core; software shows them and sizes buffers by them. */
static void leaf_8000001d(uint32_t subleaf, uint32_t out[4])
{
    static const struct {
        uint32_t type_level, ways, sets;
    } caches[] = {{0x121, 8, 64}, {0x122, 8, 64}, {0x143, 8, 2048}, {0x163, 16, 32768}};

    if (subleaf >= COUNT(caches))
        return;
    out[EAX] = caches[subleaf].type_level;
    out[EBX] = 63 | (caches[subleaf].ways - 1) << 22;
    out[ECX] = caches[subleaf].sets - 1;
}

static void leaf_svm(uint32_t out[4])
{
    out[EAX] = 1;
    out[EBX] = 0x8000; /* ASIDs */
    /* nested paging, NRIP save, flush by ASID, decode assists, pause filter */
    out[EDX] = 1u << 0 | 1u << 3 | 1u << 6 | 1u << 7 | 1u << 10;
}

/* Of CPUID 8000001F EAX, what is implemented here (APM2 15.34.1, 15.36): SEV, SEV-ES, SEV-SNP,
 * VMPLs, RMPQUERY, Secure TSC, TSC_AUX, coherency across encryption domains (nothing is cached),
 * 64-bit hosts alone, restricted and alternate injection, DebugSwap, PreventHostIBS (there is no
 * IBS), VMGEXIT parameter, VIRTUAL_TOM, SMT protection (there are no siblings). Not: SME,
 * VMPAGE_FLUSH, shadow stacks, VTE, IBS and PMC virtualisation, VMSA register protection. */
#define SEV_IMPLEMENTED 0x0206FF7Au

static void leaf_sev(const struct chip *chip, uint32_t out[4])
{
    if (chip->level < SEV_PLAIN)
        return;
    out[EAX] = chip->sev_features & SEV_IMPLEMENTED;
    out[EBX] = chip->cbit | (uint32_t)chip->pa_reduction << 6 | (uint32_t)chip->vmpls << 12;
    out[ECX] = chip->sev_asids;
    out[EDX] = chip->min_sev_asid;
}

/* The others give the same whatever ECX holds. */
static bool has_subleaves(uint32_t leaf)
{
    return leaf == 7 || leaf == 0xB || leaf == 0xD || leaf == 0x8000001D;
}

void cpu_cpuid(struct cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct chip *chip = soc_chip(c->soc);

    memset(out, 0, 4 * sizeof(*out));
    subleaf = has_subleaves(leaf) ? subleaf : 0;
    feature_bits(c, leaf, subleaf, out);
    switch (leaf) {
    case 0:
        leaf_vendor(out, 0x10);
        break;
    case 1:
        leaf_1(c, out);
        break;
    case 5: /* MONITOR line sizes */
        out[EAX] = out[EBX] = 64;
        out[ECX] = 3;
        break;
    case 0xD:
        leaf_d(c, subleaf, out);
        break;
    case 0x80000000:
        leaf_vendor(out, 0x8000001F);
        break;
    case 0x80000001:
        out[EAX] = chip->signature;
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        text(out, EAX, chip->brand, (leaf - 0x80000002) * 16, 16);
        break;
    case 0x80000005: /* L1 TLBs and caches: 32 KiB each, 8 ways */
        out[EAX] = out[EBX] = 0xFF40FF40;
        out[ECX] = out[EDX] = 0x20080140;
        break;
    case 0x80000006: /* L2 1 MiB 8 ways, L3 32 MiB 16 ways */
        out[EAX] = out[EBX] = 0x68006400;
        out[ECX] = 0x04006140;
        out[EDX] = 0x01009140;
        break;
    case 0x80000008:
        out[EAX] = chip->pa_bits | 48u << 8;
        break;
    case 0x8000000A:
        leaf_svm(out);
        break;
    case 0x8000001D:
        leaf_8000001d(subleaf, out);
        break;
    case 0x8000001F:
        leaf_sev(chip, out);
        break;
    default:
        break;
    }
}
