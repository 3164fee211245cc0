/* Model-specific registers that the core itself holds; a hypervisor intercepts the rest (APM2
 * appendix A). One table; a register without a row is #GP. */
#include "silicon/cpu/cpu.h"
#include "silicon/vmsa.h"

typedef bool msr_fn(struct cpu *c, const struct op *o, uint64_t *value, bool write);

struct msr {
    uint32_t number;
    uint16_t at;  /* offset of a uint64_t in struct cpu, for plain ones */
    uint8_t kind; /* what a write may hold */
    msr_fn *fn;   /* special ones */
};

#define CPUID_VIRTUAL_TOM BIT(18)

#define MSR_GHCB       0xC0010130u
#define MSR_SEV_STATUS 0xC0010131u

enum { ANY, CANONICAL, LOW32, ZERO };

static bool canonical(uint64_t v)
{
    return (int64_t)(v << 16) >> 16 == (int64_t)v;
}

/* APM2 3.1.7. LMA is the hardware's; LME may not change under paging. */
static bool msr_efer(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    uint64_t legal = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_FFXSR;

    (void)o;
    if (!write) {
        *v = c->efer;
        return true;
    }
    if (*v & ~legal)
        return false;
    if ((*v ^ c->efer) & EFER_LME && c->cr0 & CR0_PG)
        return false;
    c->efer = (*v & ~EFER_LMA) | (c->efer & EFER_LMA);
    if (c->es) /* the guest cannot leave the wall (APM2 15.35.10) */
        c->efer |= EFER_SVME;
    mmu_flush_all(c);
    cpu_mode_changed(c);
    return true;
}

/* Eight memory types, each 0, 1, 4, 5, 6 or 7. Types do nothing here: there is no cache. */
static bool msr_pat(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    for (unsigned i = 0; write && i < 8; i++) {
        unsigned type = *v >> (8 * i) & 0xFF;

        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    if (write)
        c->pat = *v;
    *v = c->pat;
    return true;
}

static bool msr_tsc(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    uint64_t now = cpu_tsc(c, o);

    if (write && c->sev_features & SEV_FEATURE_SECURE_TSC)
        return true; /* reads after it are undefined: nothing is as good as anything */
    if (write)
        c->tsc_offset += *v - now;
    else
        *v = now;
    return true;
}

static bool msr_fs_base(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    if (write && !canonical(*v))
        return false;
    if (write)
        c->seg[FS].base = *v;
    *v = c->seg[FS].base;
    return true;
}

static bool msr_gs_base(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    if (write && !canonical(*v))
        return false;
    if (write)
        c->seg[GS].base = *v;
    *v = c->seg[GS].base;
    return true;
}

/* SEV_STATUS: which walls stand around this guest (APM2 15.34.10). Read-only. */
static bool msr_sev_status(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    if (write)
        return false;
    *v = (c->guest && c->sev) | (uint64_t)c->es << 1 | c->sev_features << 2;
    return true;
}

/* Where guest and hypervisor meet (APM2 15.35.7): there for guests alone. */
static bool msr_ghcb(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    if (!c->es)
        return false;
    if (write)
        c->ghcb = *v;
    *v = c->ghcb;
    return true;
}

/* MHz (APM2 15.36.18). */
static bool msr_guest_tsc_freq(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    (void)o;
    if (write || !(c->sev_features & SEV_FEATURE_SECURE_TSC))
        return false;
    *v = (SOC_TSC_KHZ / 1000 * c->tsc_scale) >> 32 & 0x3FFFF;
    return true;
}

#define VIRTUAL_TOM_BITS (BIT(52) - BIT(21))

static bool msr_virtual_tom(struct cpu *c, const struct op *o, uint64_t *v, bool write)
{
    bool has = soc_chip(c->soc)->sev_features & CPUID_VIRTUAL_TOM;

    (void)o;
    if (!has || !(c->sev_features & SEV_FEATURE_VTOM))
        return false;
    if (write) {
        c->virtual_tom = *v & VIRTUAL_TOM_BITS;
        mmu_flush_asid(c, true);
    }
    *v = c->virtual_tom;
    return true;
}

bool msr_is_the_guests(const struct cpu *c, uint32_t number)
{
    return c->es && (number == MSR_GHCB || number == MSR_SEV_STATUS);
}

#define FIELD(name) offsetof(struct cpu, name)
static const struct msr msrs[] = {
    {0x00000010, 0, ANY, msr_tsc},
    {0x00000174, FIELD(sysenter_cs), ANY, NULL},
    {0x00000175, FIELD(sysenter_esp), CANONICAL, NULL},
    {0x00000176, FIELD(sysenter_eip), CANONICAL, NULL},
    {0x000001D9, FIELD(dbgctl), ZERO, NULL}, /* LBR and BTF are not implemented */
    {0x00000277, 0, ANY, msr_pat},
    {0x00000DA0, FIELD(xss), ZERO, NULL}, /* no supervisor state component is implemented */
    {0xC0000080, 0, ANY, msr_efer},
    {0xC0000081, FIELD(star), ANY, NULL},
    {0xC0000082, FIELD(lstar), CANONICAL, NULL},
    {0xC0000083, FIELD(cstar), CANONICAL, NULL},
    {0xC0000084, FIELD(sfmask), LOW32, NULL},
    {0xC0000100, 0, ANY, msr_fs_base},
    {0xC0000101, 0, ANY, msr_gs_base},
    {0xC0000102, FIELD(kernel_gs_base), CANONICAL, NULL},
    {0xC0000103, FIELD(tsc_aux), LOW32, NULL},
    {MSR_GHCB, 0, ANY, msr_ghcb},
    {MSR_SEV_STATUS, 0, ANY, msr_sev_status},
    {0xC0010134, 0, ANY, msr_guest_tsc_freq},
    {0xC0010135, 0, ANY, msr_virtual_tom},
};

static const struct msr *find_msr(uint32_t number)
{
    for (size_t i = 0; i < COUNT(msrs); i++)
        if (msrs[i].number == number)
            return &msrs[i];
    return NULL;
}

bool msr_read(struct cpu *c, const struct op *o, uint32_t number, uint64_t *value)
{
    const struct msr *m = find_msr(number);

    if (!m)
        return false;
    if (m->fn)
        return m->fn(c, o, value, false);
    *value = load64((const uint8_t *)c + m->at);
    return true;
}

bool msr_write(struct cpu *c, const struct op *o, uint32_t number, uint64_t value)
{
    const struct msr *m = find_msr(number);

    if (!m)
        return false;
    if (m->fn)
        return m->fn(c, o, &value, true);
    if (m->kind == CANONICAL && !canonical(value))
        return false;
    if (m->kind == ZERO && value)
        return false;
    store64((uint8_t *)c + m->at, m->kind == LOW32 ? (uint32_t)value : value);
    return true;
}
