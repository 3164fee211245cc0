/* Model-specific registers of the host (soc.h): what a hypervisor's RDMSR and WRMSR find. */
#include "silicon/cpu/mmu.h"

#define MSR_EFER        0xC0000080u
#define MSR_SYSCFG      0xC0010010u
#define MSR_HWCR        0xC0010015u
#define MSR_VM_CR       0xC0010114u
#define MSR_VM_HSAVE_PA 0xC0010117u
#define MSR_RMP_BASE    0xC0010132u
#define MSR_RMP_END     0xC0010133u

#define SYSCFG_SNP  BIT(24)
#define SYSCFG_VMPL BIT(25)

#define RMP_GRAIN   (BIT(13) - 1) /* bits that RMP_BASE has clear and RMP_END set */
#define RMP_ADDRESS (BIT(52) - 1)

static bool has_snp(const struct cpu *c)
{
    return soc_chip(c->soc)->level >= SEV_SNP;
}

/* ---- SYSCFG (APM2 15.36.2) ---- */
static bool every_core_has_snp(struct soc *s)
{
    const struct cpu *c;
    bool all = true;

    for (unsigned i = 0; (c = soc_core(s, i)); i++)
        all &= (c->host_syscfg & SYSCFG_SNP) != 0;
    return all;
}

/* SNP_SHUTDOWN_EX takes the bits from all cores: they were all set, and the table is off. */
static void hear_of_shutdown(struct cpu *c)
{
    struct cpu *other;

    if (rmp_enabled(c->rmp) || !every_core_has_snp(c->soc))
        return;
    for (unsigned i = 0; (other = soc_core(c->soc, i)); i++)
        other->host_syscfg &= ~(SYSCFG_SNP | SYSCFG_VMPL);
}

static bool syscfg(struct cpu *c, uint64_t *v, bool write)
{
    hear_of_shutdown(c);
    if (write && *v & (SYSCFG_SNP | SYSCFG_VMPL) && !has_snp(c))
        return false;
    if (write && !(c->host_syscfg & SYSCFG_SNP)) { /* set once, it locks the register */
        c->host_syscfg = *v;
        if (every_core_has_snp(c->soc))
            rmp_enable(c->rmp, true);
    }
    *v = c->host_syscfg;
    return true;
}

/* ---- the reverse map table's bounds: alike on all cores, so one pair stands for them ---- */
static bool may_bound(const struct cpu *c, uint64_t v, bool write)
{
    return has_snp(c) && !(write && (c->host_syscfg & SYSCFG_SNP || v & ~RMP_ADDRESS));
}

static bool rmp_first(struct cpu *c, uint64_t *v, bool write)
{
    uint64_t base, end;

    if (!may_bound(c, *v, write) || (write && *v & RMP_GRAIN))
        return false;
    rmp_bounds(c->rmp, &base, &end);
    if (write)
        rmp_set_bounds(c->rmp, *v, end);
    else
        *v = base;
    return true;
}

static bool rmp_last(struct cpu *c, uint64_t *v, bool write)
{
    uint64_t base, end;

    if (!may_bound(c, *v, write))
        return false;
    rmp_bounds(c->rmp, &base, &end);
    if (write)
        rmp_set_bounds(c->rmp, base, *v | RMP_GRAIN);
    else
        *v = end;
    return true;
}

/* The page must be the hypervisor's (APM2 15.36.12); 0 is no page. */
static bool hsave(struct cpu *c, uint64_t *v, bool write)
{
    if (write && *v && !rmp_host_may_write(c->rmp, *v, FRAME_SIZE))
        return false;
    if (write)
        c->host_hsave = *v;
    *v = c->host_hsave;
    return true;
}

/* ---- the table ---- */
static const struct {
    uint32_t number;
    uint16_t at; /* offset of a uint64_t in struct cpu, for plain ones */
    bool (*fn)(struct cpu *c, uint64_t *v, bool write);
} msrs[] = {
    {MSR_EFER, offsetof(struct cpu, host_efer), NULL},
    {MSR_SYSCFG, 0, syscfg},
    {MSR_HWCR, offsetof(struct cpu, host_hwcr), NULL},
    {MSR_VM_CR, offsetof(struct cpu, host_vm_cr), NULL},
    {MSR_VM_HSAVE_PA, 0, hsave},
    {MSR_RMP_BASE, 0, rmp_first},
    {MSR_RMP_END, 0, rmp_last},
};

static bool host_msr(struct cpu *c, uint32_t number, uint64_t *v, bool write)
{
    for (size_t i = 0; i < COUNT(msrs); i++) {
        if (msrs[i].number != number)
            continue;
        if (msrs[i].fn)
            return msrs[i].fn(c, v, write);
        if (write)
            store64((uint8_t *)c + msrs[i].at, *v);
        else
            *v = load64((uint8_t *)c + msrs[i].at);
        return true;
    }
    return false;
}

bool cpu_rdmsr(struct cpu *c, uint32_t msr, uint64_t *value)
{
    uint64_t v = 0;
    bool known = host_msr(c, msr, &v, false);

    if (known)
        *value = v;
    return known;
}

bool cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t value)
{
    return host_msr(c, msr, &value, true);
}
