/* CPUID as a guest sees it: what the chip reports, less what the host keeps to itself, plus what is
 * the guest's own: its topology, its APIC, its hypervisor, its C-bit. */
#include <string.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

enum { EAX, EBX, ECX, EDX };

#define CR4_OSXSAVE BIT(18)
#define CR4_PKE     BIT(22)
#define HV_BASE     0x40000000u
#define HV_TIMING   0x40000010u

static unsigned id_bits(const struct vcpu *v)
{
    unsigned bits = 0;

    while (1u << bits < v->vm->cfg.vcpus)
        bits++;
    return bits;
}

static void flag(uint32_t *reg, unsigned bit, bool on)
{
    *reg = on ? *reg | 1u << bit : *reg & ~(1u << bit);
}

/* Of a guest with encrypted state the host knows what the last CPUID event told: XCR0 is other than
 * its reset value where XSAVE is in use. */
static bool os_xsave(const struct vcpu *v)
{
    return vcpu_encrypted(v) ? v->xcr0 > 1 : v->vmcb.save.cr4 & CR4_OSXSAVE;
}

static void leaf_0000_0001(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    uint64_t base = 0;

    if (!lapic_rdmsr(v->lapic, 0x1B, &base))
        base = 0;
    out[EBX] = (out[EBX] & 0xFF00) | v->index << 24 | v->vm->cfg.vcpus << 16;
    flag(&out[ECX], 3, false); /* MONITOR */
    flag(&out[ECX], 21, true); /* x2APIC */
    flag(&out[ECX], 24, true); /* TSC deadline */
    flag(&out[ECX], 27, os_xsave(v));
    flag(&out[ECX], 31, true);                 /* hypervisor */
    flag(&out[EDX], 9, base & BIT(11));        /* APIC, unless disabled */
    flag(&out[EDX], 28, v->vm->cfg.vcpus > 1); /* HTT: more than one in the package */
}

static void leaf_zero(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(out[0]));
}

static void leaf_0000_0006(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    leaf_zero(v, sub, out);
    out[EAX] = 1u << 2; /* the APIC timer always runs */
}

static void leaf_0000_0007(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    if (sub != 0)
        return;
    flag(&out[EBX], 1, false); /* TSC_ADJUST */
    flag(&out[ECX], 4, v->vmcb.save.cr4 & CR4_PKE);
}

/* One package, one thread a core. */
static void leaf_0000_000b(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    leaf_zero(v, sub, out);
    out[ECX] = sub & 0xFF;
    out[EDX] = v->index;
    if (sub == 0) {
        out[EBX] = 1;
        out[ECX] |= 1u << 8; /* thread level */
    } else if (sub == 1) {
        out[EAX] = id_bits(v);
        out[EBX] = v->vm->cfg.vcpus;
        out[ECX] |= 2u << 8; /* core level */
    }
}

/* EBX of subleaves 0 and 1 is the size of the area, standard and compacted, for what XCR0 enables
 * now (APM3, CPUID Fn0000_000D). */
static void leaf_0000_000d(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    uint64_t xcr0 = vcpu_encrypted(v) ? v->xcr0 : cpu_xgetbv(v->core);
    uint32_t size = 576, part[4];

    if (sub > 1)
        return;
    for (unsigned i = 2; i < 63; i++)
        if (xcr0 & BIT(i)) {
            cpu_cpuid(v->core, 0xD, i, part);
            if (sub == 0)
                size = MAX(size, part[EBX] + part[EAX]);
            else
                size = (part[ECX] & 2 ? (size + 63) & ~63u : size) + part[EAX];
        }
    out[EBX] = size;
}

static void leaf_hypervisor(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    out[EAX] = HV_TIMING;
    memcpy(&out[EBX], "LuccaLucca\0\0", 12);
}

/* Frequencies in kHz, where VMware and others have put them: TSC, APIC timer. */
static void leaf_timing(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    leaf_zero(v, sub, out);
    out[EAX] = SOC_TSC_KHZ;
    out[EBX] = LAPIC_TIMER_HZ / 1000;
}

static void leaf_8000_0001(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    /* SVM, OSVW, IBS, SKINIT, watchdog, LWP, performance counters, MWAITX: the host's. */
    static const uint8_t hidden[] = {2, 9, 10, 12, 13, 15, 23, 24, 26, 28, 29};

    for (size_t i = 0; i < COUNT(hidden); i++)
        flag(&out[ECX], hidden[i], false);
    flag(&out[ECX], 1, v->vm->cfg.vcpus > 1); /* CmpLegacy */
    flag(&out[ECX], 22, true);                /* topology extensions: 8000001D, 8000001E */
    flag(&out[EDX], 9, true);
}

static void leaf_8000_0007(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    leaf_zero(v, sub, out);
    out[EDX] = 1u << 8; /* invariant TSC */
}

static void leaf_8000_0008(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    out[ECX] = id_bits(v) << 12 | (v->vm->cfg.vcpus - 1);
    out[EAX] = (out[EAX] & 0xFF) | 48u << 8; /* 4-level paging alone */
    out[EDX] = 0;                            /* INVLPGB, RDPRU */
    flag(&out[EBX], 3, false);               /* INVLPGB */
    flag(&out[EBX], 4, false);               /* RDPRU */
}

/* The last level is shared by all; the others are each core's own. */
static void leaf_8000_001d(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    if (!(out[EAX] & 0x1F))
        return;
    out[EAX] &= ~(0xFFFu << 14);
    if ((out[EAX] >> 5 & 7) == 3)
        out[EAX] |= (v->vm->cfg.vcpus - 1) << 14;
}

static void leaf_8000_001e(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    out[EAX] = v->index;
    out[EBX] = v->index; /* core id; one thread each */
    out[ECX] = 0;        /* node 0 of one */
    out[EDX] = 0;
}

/* What a guest needs of its own wall: that it has SEV, and where the C-bit is. */
static void leaf_8000_001f(struct vcpu *v, uint32_t sub, uint32_t out[4])
{
    leaf_zero(v, sub, out);
    if (v->vm->cfg.sev == SEV_OFF)
        return;
    out[EAX] = 1u << 1;
    flag(&out[EAX], 3, v->vm->cfg.sev >= SEV_ES);
    flag(&out[EAX], 4, v->vm->cfg.sev >= SEV_SNP);
    out[EBX] = v->vm->host->chip->cbit | 1u << 6;
}

static const struct {
    uint32_t first, last;
    void (*edit)(struct vcpu *v, uint32_t sub, uint32_t out[4]);
} leaves[] = {
    {0x00000001, 0x00000001, leaf_0000_0001}, {0x00000005, 0x00000005, leaf_zero},
    {0x00000006, 0x00000006, leaf_0000_0006}, {0x00000007, 0x00000007, leaf_0000_0007},
    {0x0000000A, 0x0000000A, leaf_zero},      {0x0000000B, 0x0000000B, leaf_0000_000b},
    {0x0000000D, 0x0000000D, leaf_0000_000d}, {0x0000000F, 0x00000010, leaf_zero},
    {HV_BASE, HV_BASE, leaf_hypervisor},      {HV_BASE + 1, HV_TIMING - 1, leaf_zero},
    {HV_TIMING, HV_TIMING, leaf_timing},      {HV_TIMING + 1, 0x4FFFFFFF, leaf_zero},
    {0x80000001, 0x80000001, leaf_8000_0001}, {0x80000007, 0x80000007, leaf_8000_0007},
    {0x80000008, 0x80000008, leaf_8000_0008}, {0x8000000A, 0x8000000A, leaf_zero},
    {0x8000001B, 0x8000001C, leaf_zero},      {0x8000001D, 0x8000001D, leaf_8000_001d},
    {0x8000001E, 0x8000001E, leaf_8000_001e}, {0x8000001F, 0x8000001F, leaf_8000_001f},
    {0x80000020, 0x80000020, leaf_zero},      {0x80000022, 0x80000026, leaf_zero},
};

void vcpu_cpuid(struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    cpu_cpuid(v->core, leaf, sub, out);
    for (size_t i = 0; i < COUNT(leaves); i++)
        if (leaf >= leaves[i].first && leaf <= leaves[i].last)
            leaves[i].edit(v, sub, out);
}
