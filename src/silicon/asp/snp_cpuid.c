/* What CPUID tables may claim: nothing that the chip does not offer (SNP ABI, CPUID page). */
#include "silicon/asp/snp_internal.h"

#include "base/bytes.h"

/* How a register's value is judged. */
enum how {
    MASK, /* feature bits: those that the chip has */
    MOST, /* a number: no more than the chip's */
    SAME, /* as the chip has it */
    FREE, /* topology, names, sizes that depend on state: the hypervisor's business */
};

#define ANY_SUBLEAF UINT32_MAX
#define OSXSAVE     (1u << 27) /* mirrors CR4 */
#define OSPKE       (1u << 4)  /* likewise */
#define HYPERVISOR  (1u << 31)
#define HTT         (1u << 28) /* topology */
#define TOPOLOGY    (1u << 1 | 1u << 22)
#define X2APIC      (1u << 21) /* the guest's APIC is the hypervisor's: */
#define APIC        (1u << 9)
#define ARAT        (1u << 2)
#define SEV_ES_SNP  (1u << 1 | 1u << 3 | 1u << 4)

static const struct rule {
    uint32_t first, last, subleaf;
    enum how how[4];  /* EAX, EBX, ECX, EDX */
    uint32_t also[4]; /* MASK: bits that pass in any case */
} rules[] = {
    {0, 0, ANY_SUBLEAF, {MOST, SAME, SAME, SAME}, {0}},
    {1,
     1,
     ANY_SUBLEAF,
     {FREE, FREE, MASK, MASK},
     {0, 0, OSXSAVE | HYPERVISOR | X2APIC, HTT | APIC}},
    {4, 5, ANY_SUBLEAF, {FREE, FREE, FREE, FREE}, {0}},
    {6, 6, ANY_SUBLEAF, {MASK, MASK, MASK, MASK}, {ARAT, 0, 0, 0}},
    {7, 7, 0, {MOST, MASK, MASK, MASK}, {0, 0, OSPKE, 0}},
    {0xB, 0xB, ANY_SUBLEAF, {FREE, FREE, FREE, FREE}, {0}},
    {0xD, 0xD, 0, {MASK, FREE, MOST, MASK}, {0}},
    {0xD, 0xD, 1, {MASK, FREE, MASK, MASK}, {0}},
    {0xD, 0xD, ANY_SUBLEAF, {SAME, SAME, SAME, SAME}, {0}},
    {0x80000000, 0x80000000, ANY_SUBLEAF, {MOST, SAME, SAME, SAME}, {0}},
    {0x80000001, 0x80000001, ANY_SUBLEAF, {FREE, FREE, MASK, MASK}, {0, 0, TOPOLOGY, APIC}},
    {0x80000002, 0x80000006, ANY_SUBLEAF, {FREE, FREE, FREE, FREE}, {0}},
    {0x80000008, 0x80000008, ANY_SUBLEAF, {MOST, MASK, FREE, FREE}, {0}},
    {0x80000019, 0x80000019, ANY_SUBLEAF, {FREE, FREE, FREE, FREE}, {0}},
    {0x8000001D, 0x8000001E, ANY_SUBLEAF, {FREE, FREE, FREE, FREE}, {0}},
    {0x8000001F, 0x8000001F, ANY_SUBLEAF, {MASK, FREE, FREE, FREE}, {SEV_ES_SNP, 0, 0, 0}},
    {0, UINT32_MAX, ANY_SUBLEAF, {MASK, MASK, MASK, MASK}, {0}},
};

static const struct rule *rule_of(const struct snp_cpuid_entry *e)
{
    const struct rule *r = rules;

    while (e->eax_in < r->first || e->eax_in > r->last ||
           (r->subleaf != ANY_SUBLEAF && e->ecx_in != r->subleaf))
        r++;
    return r;
}

static uint32_t allowed(enum how how, uint32_t also, uint32_t claimed, uint32_t offered)
{
    switch (how) {
    case MASK:
        return claimed & (offered | also);
    case MOST:
        return MIN(claimed, offered);
    case SAME:
        return offered;
    default:
        return claimed;
    }
}

static bool correct(struct asp *a, struct snp_cpuid_entry *e)
{
    const struct rule *r = rule_of(e);
    uint32_t *const regs[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};
    uint32_t offered[4] = {0};
    bool changed = false;

    a->core_ops->cpuid(a->core_ctx, e->eax_in, e->ecx_in, offered);
    for (unsigned i = 0; i < COUNT(regs); i++) {
        uint32_t value = allowed(r->how[i], r->also[i], *regs[i], offered[i]);

        changed |= value != *regs[i];
        *regs[i] = value;
    }
    return changed;
}

bool snp_cpuid_correct(struct asp *a, struct snp_cpuid_entry *entries, unsigned count)
{
    bool changed = false;

    for (unsigned i = 0; a->core_ops && i < count; i++)
        if ((entries[i].eax_in & ~0x8000FFFFu) == 0) /* others pass unchecked */
            changed |= correct(a, &entries[i]);
    return changed;
}
