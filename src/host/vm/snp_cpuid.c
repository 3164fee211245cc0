/* The CPUID table of an SNP guest (SNP ABI, CPUID page): what the guest takes for granted without
 * asking the hypervisor, once the secure processor has checked it against the chip. */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

/* The leaves that depend on ECX, as far as the chips have them. Leaf Dh ends where no bit is left,
 * 8000001Dh at a cache of type none. */
static const struct {
    uint32_t leaf, subs;
} leaves[] = {
    {0x00000000, 1}, {0x00000001, 1},  {0x00000005, 1}, {0x00000006, 1}, {0x00000007, 2},
    {0x0000000B, 2}, {0x0000000D, 64}, {0x40000000, 1}, {0x40000010, 1}, {0x80000000, 1},
    {0x80000001, 1}, {0x80000002, 1},  {0x80000003, 1}, {0x80000004, 1}, {0x80000005, 1},
    {0x80000006, 1}, {0x80000007, 1},  {0x80000008, 1}, {0x8000000A, 1}, {0x80000019, 1},
    {0x8000001A, 1}, {0x8000001B, 1},  {0x8000001C, 1}, {0x8000001D, 4}, {0x8000001E, 1},
    {0x8000001F, 1}, {0x80000020, 1},  {0x80000021, 1},
};

#define XSAVE_LEAF  0xD
#define XSAVE_BASIC 0x240u /* legacy area and header: all that XCR0 = 1 enables */

/* What no EPYC has although this host offers it to others: the firmware would take it away. */
static void as_the_chip(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    if (leaf == 1)
        out[2] &= ~(UINT32_C(1) << 24); /* TSC deadline */
    if (leaf == XSAVE_LEAF && sub < 2)
        out[1] = XSAVE_BASIC;
}

static bool all_zero(const uint32_t out[4])
{
    return !(out[0] | out[1] | out[2] | out[3]);
}

static void add(struct snp_cpuid_page *page, uint32_t leaf, uint32_t sub, const uint32_t out[4])
{
    if (page->count < SNP_CPUID_MAX)
        page->entries[page->count++] =
            (struct snp_cpuid_entry){.eax_in = leaf,
                                     .ecx_in = sub,
                                     .xcr0_in = leaf == XSAVE_LEAF && sub < 2,
                                     .eax = out[0],
                                     .ebx = out[1],
                                     .ecx = out[2],
                                     .edx = out[3]};
}

/* A leaf that is not listed reads as zeros, so zeros need no entry. */
void snp_cpuid_table(struct vcpu *v, struct snp_cpuid_page *page)
{
    uint32_t out[4];

    memset(page, 0, sizeof(*page));
    for (size_t i = 0; i < COUNT(leaves); i++)
        for (uint32_t sub = 0; sub < leaves[i].subs; sub++) {
            vcpu_cpuid(v, leaves[i].leaf, sub, out);
            as_the_chip(leaves[i].leaf, sub, out);
            if (!all_zero(out))
                add(page, leaves[i].leaf, sub, out);
        }
}

void snp_cpuid_differences(struct vcpu *v, const struct snp_cpuid_page *page)
{
    struct snp_cpuid_page mine;

    snp_cpuid_table(v, &mine);
    for (uint32_t i = 0; i < mine.count; i++) {
        const struct snp_cpuid_entry *a = &mine.entries[i], *b = &page->entries[i];

        if (memcmp(a, b, sizeof(*a)) != 0)
            trace(TRACE_SEV,
                  "CPUID %08" PRIx32 ".%" PRIx32 ": the firmware makes %08" PRIx32 " %08" PRIx32
                  " %08" PRIx32 " %08" PRIx32 " of %08" PRIx32 " %08" PRIx32 " %08" PRIx32
                  " %08" PRIx32,
                  a->eax_in, a->ecx_in, b->eax, b->ebx, b->ecx, b->edx, a->eax, a->ebx, a->ecx,
                  a->edx);
    }
}
