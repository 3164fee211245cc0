/* The package: cores, memory controllers, the secure processor, one crystal. */
#include "silicon/soc.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "silicon/asp/asp.h"
#include "silicon/cpu/block.h"
#include "silicon/cpu/probe.h"
#include "silicon/cpu/mmu.h"
#include "silicon/cpu/x87.h"
#include "silicon/dram/dram.h"
#include "silicon/vmsa.h"

#define RATE_ONE   256u
#define RATE_FIRST (10 * RATE_ONE) /* before anything is measured */
#define PACE_MAX   4
#define PACE_NS    INT64_C(5000000) /* this far behind doubles the pace */
#define JUMP_NS    INT64_C(1000000000)
#define MEASURE    UINT64_C(2000000) /* instructions that the measure remembers */

struct soc {
    const struct chip *chip;
    struct dram *dram;
    struct rmp *rmp;
    struct asp *asp;
    struct probe probe;
    bool rmp_fault; /* the last soc_write met an assigned page: */
    uint64_t rmp_fault_at;
    unsigned cores;
    struct cpu *core[64];

    enum soc_clock clock;
    uint64_t elapsed; /* ns up to when `running` began its slice */
    struct cpu *running;
    uint64_t run_start; /* cpu_retired(running) then */
    uint64_t rate;      /* ns for an instruction, RATE_ONE is 1 */
    /* CLOCK_HOST */
    bool started;
    uint64_t power_on;                  /* CLOCK_MONOTONIC at the first slice */
    uint64_t run_began;                 /* the same at the start of this slice */
    uint64_t measured_ns, measured_for; /* of late, in slices: time and instructions */
    uint64_t random[4];                 /* xoshiro256** state under CLOCK_VIRTUAL */
};

/* ---- what the cores must hear from the memory controllers ---- */
static void frame_changed(void *ctx, uint64_t frame, enum frame_mark why)
{
    struct soc *s = ctx;

    for (unsigned i = 0; i < s->cores; i++) {
        if (why & FRAME_CACHED)
            mmu_drop_frame(s->core[i], frame);
        if (why & FRAME_CODE)
            blocks_drop_frame(s->core[i], frame);
    }
}

static void entry_changed(void *ctx, uint64_t spa, bool large)
{
    struct soc *s = ctx;

    for (unsigned i = 0; i < s->cores; i++)
        mmu_drop_page(s->core[i], spa, large);
}

void soc_code_frame(struct soc *s, uint64_t frame)
{
    for (unsigned i = 0; i < s->cores; i++) {
        struct cpu *c = s->core[i];

        for (unsigned t = 0; t < TLB_ENTRIES; t++)
            if (c->tlb[t].spa == frame << FRAME_SHIFT)
                c->tlb[t].wtag = 0;
    }
}

void blocks_written(struct cpu *c, uint64_t frame, unsigned off, unsigned len)
{
    struct soc *s = c->soc;
    bool left = false;

    for (unsigned i = 0; i < s->cores; i++) {
        if (blocks_overlap(s->core[i], frame, off, len))
            blocks_drop_frame(s->core[i], frame);
        left |= blocks_on_frame(s->core[i], frame);
    }
    if (!left)
        dram_unmark(s->dram, frame, FRAME_CODE);
}

/* ---- life ---- */
static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- what the secure processor asks of the cores ---- */
static bool core_rdmsr(void *ctx, unsigned core, uint32_t msr, uint64_t *value)
{
    struct soc *s = ctx;

    return core < s->cores && cpu_rdmsr(s->core[core], msr, value);
}

static void core_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct soc *s = ctx;

    cpu_cpuid(s->core[0], leaf, subleaf, out);
}

static const struct asp_cores core_ops = {core_rdmsr, core_cpuid, SOC_TSC_KHZ};

static enum status build(struct soc *s, const struct soc_config *cfg, struct error *err)
{
    enum status why = dram_new(cfg->dram_bytes, cfg->dram_eager, &s->dram, err);

    if (why != OK)
        return why;
    why = rmp_new(s->dram, &s->rmp, err);
    if (why != OK)
        return why;
    why = asp_new(cfg->chip, s->dram, s->rmp, cfg->cores, cfg->platform, &s->asp, err);
    if (why != OK)
        return why;
    for (unsigned i = 0; i < cfg->cores; i++) {
        why = cpu_new(s, s->dram, cfg->chip, i, &s->core[i], err);
        if (why != OK)
            return why;
        s->core[i]->rmp = s->rmp;
        s->cores++;
    }
    asp_set_cores(s->asp, &core_ops, s);
    dram_watch(s->dram, frame_changed, s);
    rmp_watch(s->rmp, entry_changed, s);
    return OK;
}

enum status soc_new(const struct soc_config *cfg, struct soc **out, struct error *err)
{
    struct soc *s = calloc(1, sizeof(*s));
    enum status why;

    if (!s)
        return fail(err, ERR_NOMEM, "no memory for the machine");
    s->chip = cfg->chip;
    s->clock = cfg->clock;
    s->rate = RATE_ONE;
    for (unsigned i = 0; i < COUNT(s->random); i++)
        s->random[i] = UINT64_C(0x9E3779B97F4A7C15) * (i + 1);
    why = cfg->cores < 1 || cfg->cores > COUNT(s->core)
              ? fail(err, ERR_LIMIT, "a machine has 1 to %zu cores, not %u", COUNT(s->core),
                     cfg->cores)
              : build(s, cfg, err);
    if (why != OK) {
        soc_free(s);
        return why;
    }
    *out = s;
    return OK;
}

void soc_free(struct soc *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->cores; i++)
        cpu_free(s->core[i]);
    x87_math_free();
    asp_free(s->asp);
    rmp_free(s->rmp);
    dram_free(s->dram);
    free(s);
}

const struct chip *soc_chip(const struct soc *s)
{
    return s->chip;
}

uint64_t soc_dram_size(const struct soc *s)
{
    return dram_size(s->dram);
}

struct probe *soc_probe(struct soc *s)
{
    return &s->probe;
}

struct cpu *soc_core(struct soc *s, unsigned n)
{
    return n < s->cores ? s->core[n] : NULL;
}

/* ---- the host's side of memory and of the secure processor ---- */
bool soc_read(struct soc *s, uint64_t spa, void *to, size_t len)
{
    return dram_read(s->dram, spa, DRAM_PLAIN, to, len);
}

bool soc_write(struct soc *s, uint64_t spa, const void *from, size_t len)
{
    s->rmp_fault = len && !rmp_host_may_write(s->rmp, spa, len);
    if (s->rmp_fault) {
        s->rmp_fault_at = spa;
        while (rmp_host_may_write(s->rmp, s->rmp_fault_at, 1))
            s->rmp_fault_at = (s->rmp_fault_at | FRAME_MASK) + 1;
        return false;
    }
    return dram_write(s->dram, spa, DRAM_PLAIN, from, len);
}

bool soc_rmp_fault(const struct soc *s, uint64_t *spa)
{
    if (s->rmp_fault && spa)
        *spa = s->rmp_fault_at & ~(uint64_t)FRAME_MASK;
    return s->rmp_fault;
}

uint32_t soc_asp_read(struct soc *s, uint32_t reg)
{
    return asp_read_reg(s->asp, reg);
}

void soc_asp_write(struct soc *s, uint32_t reg, uint32_t value)
{
    asp_write_reg(s->asp, reg, value);
}

bool soc_asid_key(struct soc *s, uint32_t asid, dram_key *key)
{
    return asp_vmrun_asid(s->asp, asid, key);
}

bool soc_vmsa_intact(const struct soc *s, uint64_t spa, dram_key key, const struct vmsa *v)
{
    return asp_vmsa_intact(s->asp, spa, key, v);
}

void soc_vmsa_seal(struct soc *s, uint64_t spa, dram_key key, const struct vmsa *v)
{
    asp_vmsa_seal(s->asp, spa, key, v);
}

void soc_wbinvd(struct soc *s, unsigned core)
{
    asp_note_wbinvd(s->asp, core);
}

/* ---- time ----
 * Time passes with the instructions that cores retire: 1 ns each under CLOCK_VIRTUAL. Under
 * CLOCK_HOST as many as they take of late on this machine, and up to PACE_MAX times more or fewer
 * while the clock lags behind CLOCK_MONOTONIC or leads. So a pause of this process, which no
 * machine has between two instructions, does not show between two instructions: a guest that
 * measures its TSC against a timer finds what they both run at.
 */
static uint64_t run_time(const struct soc *s, uint64_t insns)
{
    return s->clock == CLOCK_HOST ? insns * s->rate / RATE_ONE : insns;
}

/* Leads where negative. */
static int64_t lag(const struct soc *s, uint64_t at)
{
    return (int64_t)(at - s->power_on - s->elapsed);
}

static void set_pace(struct soc *s)
{
    uint64_t usual = s->measured_for ? s->measured_ns * RATE_ONE / s->measured_for : RATE_FIRST;
    int64_t behind;

    s->run_began = monotonic();
    if (!s->started)
        s->power_on = s->run_began - s->elapsed;
    s->started = true;
    behind = lag(s, s->run_began);
    if (behind > JUMP_NS) { /* it was stopped for long: nothing to smooth */
        s->elapsed += (uint64_t)behind;
        behind = 0;
    }
    usual = MAX(usual, RATE_ONE);
    if (behind >= 0)
        s->rate = usual + usual * (uint64_t)MIN(behind, (PACE_MAX - 1) * PACE_NS) / PACE_NS;
    else
        s->rate = usual / (1 + (uint64_t)MIN(-behind, (PACE_MAX - 1) * PACE_NS) / PACE_NS);
}

static void measure(struct soc *s, uint64_t insns)
{
    s->measured_ns += monotonic() - s->run_began;
    s->measured_for += insns;
    if (s->measured_for > MEASURE) {
        s->measured_ns /= 2;
        s->measured_for /= 2;
    }
}

uint64_t soc_clock_now(const struct soc *s, const struct cpu *c, const struct op *o)
{
    if (!s->running)
        return s->elapsed;
    return s->elapsed +
           run_time(s, cpu_retired_at(s->running, s->running == c ? o : NULL) - s->run_start);
}

uint64_t soc_now(const struct soc *s)
{
    return soc_clock_now(s, NULL, NULL);
}

void soc_running(struct soc *s, struct cpu *c)
{
    if (s->running) {
        uint64_t insns = cpu_retired(s->running) - s->run_start;

        s->elapsed += run_time(s, insns);
        if (s->clock == CLOCK_HOST)
            measure(s, insns);
    }
    s->running = c;
    if (c)
        s->run_start = cpu_retired(c);
    if (c && s->clock == CLOCK_HOST)
        set_pace(s);
}

void soc_idle_until(struct soc *s, uint64_t ns)
{
    int64_t behind = s->clock == CLOCK_HOST && s->started ? lag(s, monotonic()) : 0;

    if (s->clock == CLOCK_HOST)
        ns = behind > 0 ? MIN(ns, s->elapsed + (uint64_t)behind) : 0;
    if (ns > s->elapsed)
        s->elapsed = ns;
}

uint64_t cpu_tsc(const struct cpu *c, const struct op *o)
{
    uint64_t host = soc_clock_now(c->soc, c, o) * (SOC_TSC_KHZ / 1000) / 1000 + c->tsc_offset;

    if (c->sev_features & SEV_FEATURE_SECURE_TSC) /* APM2 15.36.18 */
        return (uint64_t)((unsigned __int128)host * c->tsc_scale >> 32) + c->tsc_plus;
    return c->guest ? host + c->vmcb.tsc_offset : host;
}

/* ---- randomness ---- */
static uint64_t rotl(uint64_t x, unsigned k)
{
    return x << k | x >> (64 - k);
}

/* xoshiro256**: repeatable, which is what CLOCK_VIRTUAL promises; secret it is not. */
static uint64_t repeatable_random(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t soc_random(struct soc *s)
{
    uint64_t v;

    if (s->clock == CLOCK_VIRTUAL || getrandom(&v, sizeof(v), 0) != sizeof(v))
        return repeatable_random(s->random);
    return v;
}
