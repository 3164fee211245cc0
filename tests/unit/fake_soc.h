/* A package for tests of the hypervisor: every pin of soc.h over plain arrays, with a model of the
 * reverse map table as APM3 has RMPUPDATE and PSMASH. It stands in for the real one when a test is
 * linked. Include it in one file of a program. */
#ifndef LUCCA_TESTS_FAKE_SOC_H
#define LUCCA_TESTS_FAKE_SOC_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "silicon/soc.h"

#define FAKE_DRAM  (UINT64_C(32) << 20)
#define FAKE_PAGES (FAKE_DRAM / 4096)
#define FAKE_CORES 4u

struct fake_entry {
    bool assigned, large, immutable, validated;
    uint32_t asid;
    uint64_t gpa;
};

struct cpu {
    uint64_t gpr[16], xcr0;
};

struct soc {
    uint8_t *dram;
    struct fake_entry rmp[FAKE_PAGES];
    struct cpu core[FAKE_CORES];
    uint64_t now;
    unsigned flushes; /* WBINVD */
};

static struct soc fake_soc;

static inline void fake_soc_reset(void)
{
    uint8_t *dram = fake_soc.dram;

    if (!dram)
        dram = mmap(NULL, FAKE_DRAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (dram == MAP_FAILED || madvise(dram, FAKE_DRAM, MADV_DONTNEED) < 0)
        abort();
    memset(&fake_soc, 0, sizeof(fake_soc));
    fake_soc.dram = dram;
}

static inline bool fake_in_dram(uint64_t spa, size_t len)
{
    return spa <= FAKE_DRAM && len <= FAKE_DRAM - spa;
}

bool soc_read(struct soc *s, uint64_t spa, void *to, size_t len)
{
    if (!fake_in_dram(spa, len))
        return false;
    memcpy(to, s->dram + spa, len);
    return true;
}

bool soc_write(struct soc *s, uint64_t spa, const void *from, size_t len)
{
    if (!fake_in_dram(spa, len))
        return false;
    for (uint64_t at = spa / 4096; len && at <= (spa + len - 1) / 4096; at++)
        if (s->rmp[at].assigned)
            return false;
    memcpy(s->dram + spa, from, len);
    return true;
}

/* ---- RMPUPDATE, PSMASH -------------------------------------------------------------------------
 */

unsigned cpu_rmpupdate(struct cpu *c, uint64_t spa, const struct rmp_update *u)
{
    struct fake_entry *e = &fake_soc.rmp[spa / 4096], *base = &fake_soc.rmp[spa / 4096 & ~511ul];

    if (spa % (u->page_size ? 0x200000 : 4096) ||
        !fake_in_dram(spa, u->page_size ? 0x200000 : 4096))
        return 1;
    if (!u->assigned && (u->immutable || u->asid))
        return 1;
    if (e->immutable)
        return 2;
    if (!u->page_size && base->assigned && base->large)
        return 4;
    if (u->page_size && !base->large)
        for (unsigned i = 1; i < 512; i++)
            if (base[i].assigned)
                return 4;
    *e = (struct fake_entry){.assigned = u->assigned,
                             .large = u->assigned && u->page_size,
                             .immutable = u->immutable,
                             .asid = u->asid,
                             .gpa = u->gpa};
    for (unsigned i = 1; u->page_size && i < 512; i++)
        e[i] = (struct fake_entry){.assigned = u->assigned};
    return 0;
}

unsigned cpu_psmash(struct cpu *c, uint64_t spa)
{
    struct fake_entry *e = &fake_soc.rmp[spa / 4096];

    if (spa % 0x200000 || !fake_in_dram(spa, 0x200000))
        return 1;
    if (!e->assigned || !e->large)
        return 7;
    e->large = false;
    for (unsigned i = 1; i < 512; i++) {
        e[i] = *e;
        e[i].gpa = e->gpa + i * 4096;
    }
    return 0;
}

unsigned cpu_rmpread(struct cpu *c, uint64_t spa, struct rmp_update *state)
{
    return 1;
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

struct cpu *soc_core(struct soc *s, unsigned n)
{
    return n < FAKE_CORES ? &s->core[n] : NULL;
}

/* What nobody has changed is the leaf's own number. */
void cpu_cpuid(struct cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = leaf == 0xD ? 0 : leaf + i + subleaf * 16;
}

void cpu_wbinvd(struct cpu *c)
{
    fake_soc.flushes++;
}

uint64_t *cpu_gprs(struct cpu *c)
{
    return c->gpr;
}

uint64_t soc_now(const struct soc *s)
{
    return s->now;
}

uint64_t soc_dram_size(const struct soc *s)
{
    return FAKE_DRAM;
}

void cpu_xsetbv(struct cpu *c, uint64_t xcr0)
{
    c->xcr0 = xcr0;
}

uint64_t cpu_xgetbv(const struct cpu *c)
{
    return c->xcr0;
}

/* Pins that these tests have no use for. */
enum status soc_new(const struct soc_config *cfg, struct soc **out, struct error *err)
{
    return fail(err, ERR_UNSUPPORTED, "the fake package is not made");
}
void soc_free(struct soc *s)
{
}
const struct chip *soc_chip(const struct soc *s)
{
    return NULL;
}
bool soc_rmp_fault(const struct soc *s, uint64_t *spa)
{
    return false;
}
uint32_t soc_asp_read(struct soc *s, uint32_t reg)
{
    return 0;
}
void soc_asp_write(struct soc *s, uint32_t reg, uint32_t value)
{
}
void soc_idle_until(struct soc *s, uint64_t ns)
{
}
void cpu_vmrun(struct cpu *c, uint64_t vmcb_spa)
{
}
void cpu_timer(struct cpu *c, uint64_t insns)
{
}
uint64_t cpu_retired(const struct cpu *c)
{
    return 0;
}
void cpu_vmload(struct cpu *c, uint64_t vmcb_spa)
{
}
void cpu_vmsave(struct cpu *c, uint64_t vmcb_spa)
{
}
bool cpu_rdmsr(struct cpu *c, uint32_t msr, uint64_t *value)
{
    return false;
}
bool cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t value)
{
    return false;
}
void cpu_xrstor(struct cpu *c, const uint8_t image[CPU_XSAVE_BYTES])
{
}
void cpu_xsave(const struct cpu *c, uint8_t image[CPU_XSAVE_BYTES])
{
}
void cpu_set_dr(struct cpu *c, unsigned n, uint64_t value)
{
}
uint64_t cpu_get_dr(const struct cpu *c, unsigned n)
{
    return 0;
}

#endif
