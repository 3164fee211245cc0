/* VM save areas as hypervisors lay them out for a launch. */
#include "attest/vmsa.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

struct segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

static void put64(uint8_t *page, enum vmsa_offset at, uint64_t v)
{
    store64(page + at, v);
}

static void put_segment(uint8_t *page, enum vmsa_offset at, struct segment s)
{
    store16(page + at, s.selector);
    store16(page + at + 2, s.attributes);
    store32(page + at + 4, s.limit);
    store64(page + at + 8, s.base);
}

/* What differs between hypervisors that start a processor out of reset. Attributes are as in APM2
 * table 15-5: type in bits 3:0, S 4, P 7. An accessed bit here and there is all the difference, and
 * the measurement sees it. */
static const struct reset_values {
    uint16_t cs_bsp, cs_ap, ss, tr;
    uint64_t pat;
    uint32_t mxcsr;
    uint16_t fcw;
} reset_values[] = {
    [ATTEST_VMM_QEMU] = {0x9B, 0x9B, 0x93, 0x8B, 0x0007040600070406, 0x1F80, 0x37F},
    [ATTEST_VMM_EC2] = {0x9A, 0x9B, 0x92, 0x83, 0x0007040600070406, 0, 0},
    [ATTEST_VMM_GCE] = {0x9B, 0x9B, 0x93, 0x8B, 0x00070106, 0, 0},
    [ATTEST_VMM_KRUN] = {0x9A, 0x9A, 0x92, 0x83, 0x0007040600070406, 0, 0},
};

/* Table 14-1 of APM2 ("processor state after RESET"), with EFER.SVME and CR4.MCE, which KVM sets.
 */
static void put_common(uint8_t *page)
{
    put_segment(page, VMSA_GDTR, (struct segment){.limit = 0xFFFF});
    put_segment(page, VMSA_IDTR, (struct segment){.limit = 0xFFFF});
    put_segment(page, VMSA_LDTR, (struct segment){.attributes = 0x82, .limit = 0xFFFF});
    put64(page, VMSA_EFER, 0x1000);
    put64(page, VMSA_CR4, 0x40);
    put64(page, VMSA_DR7, 0x400);
    put64(page, VMSA_DR6, 0xFFFF0FF0);
    put64(page, VMSA_RFLAGS, 0x2);
    put64(page, VMSA_XCR0, 0x1);
}

void vmsa_reset(uint8_t page[VMSA_BYTES], const struct vmsa_spec *spec)
{
    static const enum vmsa_offset data[] = {VMSA_ES, VMSA_DS, VMSA_FS, VMSA_GS};
    const struct reset_values *v = &reset_values[spec->vmm];
    bool bsp = spec->eip == VMSA_BSP_EIP;

    memset(page, 0, VMSA_BYTES);
    put_common(page);
    for (size_t i = 0; i < COUNT(data); i++)
        put_segment(page, data[i], (struct segment){.attributes = 0x93, .limit = 0xFFFF});
    put_segment(page, VMSA_CS,
                (struct segment){0xF000, bsp ? v->cs_bsp : v->cs_ap, 0xFFFF,
                                 spec->eip & UINT32_C(0xFFFF0000)});
    put_segment(page, VMSA_SS, (struct segment){.attributes = v->ss, .limit = 0xFFFF});
    put_segment(page, VMSA_TR, (struct segment){.attributes = v->tr, .limit = 0xFFFF});
    put64(page, VMSA_CR0, 0x10);
    put64(page, VMSA_RIP, spec->eip & 0xFFFF);
    put64(page, VMSA_G_PAT, v->pat);
    put64(page, VMSA_RDX, spec->rdx);
    put64(page, VMSA_SEV_FEATURES, spec->sev_features);
    store32(page + VMSA_MXCSR, v->mxcsr);
    store16(page + VMSA_X87_FCW, v->fcw);
}

void vmsa_svsm(uint8_t page[VMSA_BYTES], uint64_t rip, uint64_t rdx, uint64_t sev_features)
{
    static const enum vmsa_offset data[] = {VMSA_ES, VMSA_SS, VMSA_DS, VMSA_FS};

    memset(page, 0, VMSA_BYTES);
    put_common(page);
    for (size_t i = 0; i < COUNT(data); i++)
        put_segment(page, data[i], (struct segment){0x10, 0xC93, 0xFFFFFFFF, 0});
    put_segment(page, VMSA_CS, (struct segment){0x8, 0xC9B, 0xFFFFFFFF, 0});
    put_segment(page, VMSA_GS, (struct segment){.attributes = 0x93, .limit = 0xFFFF});
    put_segment(page, VMSA_TR, (struct segment){.attributes = 0x8B, .limit = 0xFFFF});
    put64(page, VMSA_CR0, 0x11);
    put64(page, VMSA_RIP, rip);
    put64(page, VMSA_G_PAT, reset_values[ATTEST_VMM_QEMU].pat);
    put64(page, VMSA_RDX, rdx);
    put64(page, VMSA_SEV_FEATURES, sev_features);
    store32(page + VMSA_MXCSR, reset_values[ATTEST_VMM_QEMU].mxcsr);
}

/* ---- names --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint16_t at, bytes;
    bool segment;
} fields[] = {
#define SEGMENT(offset, name)     {#name, offset, 16, true},
#define FIELD(offset, size, name) {#name, offset, size, false},
#include "attest/vmsa.def"
#undef FIELD
#undef SEGMENT
};

struct vmsa_field vmsa_field_at(unsigned offset)
{
    static const struct {
        const char *name;
        unsigned at, bytes;
    } parts[] = {{"selector", 0, 2}, {"attributes", 2, 2}, {"limit", 4, 4}, {"base", 8, 8}};
    struct vmsa_field f = {.name = "reserved", .at = offset, .bytes = 1};

    for (size_t i = 0; i < COUNT(fields); i++) {
        if (offset < fields[i].at || offset >= fields[i].at + (unsigned)fields[i].bytes)
            continue;
        f.at = fields[i].at;
        f.bytes = fields[i].bytes;
        snprintf(f.name, sizeof(f.name), "%s", fields[i].name);
        for (size_t k = 0; fields[i].segment && k < COUNT(parts); k++)
            if (offset - fields[i].at >= parts[k].at) {
                f.at = fields[i].at + parts[k].at;
                f.bytes = parts[k].bytes;
                snprintf(f.name, sizeof(f.name), "%s.%s", fields[i].name, parts[k].name);
            }
        break;
    }
    return f;
}
