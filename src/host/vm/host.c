/* The host: one soc, its cores turned on for guests. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

#define MSR_EFER        0xC0000080u
#define MSR_SYSCFG      0xC0010010u
#define MSR_HWCR        0xC0010015u
#define MSR_VM_HSAVE_PA 0xC0010117u
#define EFER_SVME       BIT(12)
#define SYSCFG_MEM_ENC  BIT(23)
#define HWCR_SMM_LOCK   BIT(0)

/* What firmware and kernel do to each core: memory encryption enabled, with SMM locked (APM2
 * 15.34.3, 15.34.7). */
static enum status core_encrypts(struct host *h, unsigned n, struct error *err)
{
    struct cpu *c = soc_core(h->soc, n);
    uint64_t syscfg = 0, hwcr = 0;

    if (!cpu_rdmsr(c, MSR_SYSCFG, &syscfg) || !cpu_wrmsr(c, MSR_SYSCFG, syscfg | SYSCFG_MEM_ENC) ||
        !cpu_rdmsr(c, MSR_HWCR, &hwcr) || !cpu_wrmsr(c, MSR_HWCR, hwcr | HWCR_SMM_LOCK))
        return fail(err, ERR_STATE, "core %u refuses to turn memory encryption on", n);
    return OK;
}

/* Before it can run guests: SVM on, and a host save area (APM2 15.4, 15.30.4). */
static enum status core_on(struct host *h, unsigned n, struct error *err)
{
    struct cpu *c = soc_core(h->soc, n);
    uint64_t save = host_alloc(h, 1, 1), efer = 0;

    if (!save)
        return fail(err, ERR_ARG, "the host's memory has no room for the save area of core %u", n);
    if (!cpu_rdmsr(c, MSR_EFER, &efer) || !cpu_wrmsr(c, MSR_EFER, efer | EFER_SVME) ||
        !cpu_wrmsr(c, MSR_VM_HSAVE_PA, save))
        return fail(err, ERR_STATE, "core %u refuses to turn SVM on", n);
    return OK;
}

/* SNP comes between: it is to be initialised before any core has a host save area. */
static enum status cores_on(struct host *h, bool snp, struct error *err)
{
    enum status s = OK;

    for (unsigned i = 0; i < h->cores && s == OK; i++)
        s = core_encrypts(h, i, err);
    if (s == OK && snp)
        s = snp_start(h, err);
    for (unsigned i = 0; i < h->cores && s == OK; i++)
        s = core_on(h, i, err);
    return s;
}

static enum status host_set_up(struct host *h, const struct host_config *cfg, struct error *err)
{
    const struct soc_config soc = {.chip = cfg->chip,
                                   .dram_bytes = cfg->memory,
                                   .dram_eager = cfg->dram_eager,
                                   .cores = cfg->cores,
                                   .clock = cfg->clock,
                                   .platform = cfg->platform};
    enum status s = soc_new(&soc, &h->soc, err);

    if (s != OK)
        return s;
    h->chip = cfg->chip;
    h->clock = cfg->clock;
    h->cores = cfg->cores;
    h->frames = soc_dram_size(h->soc) / PAGE;
    h->frame_map = calloc((h->frames + 63) / 64, 8);
    h->dirty_map = calloc((h->frames + 63) / 64, 8);
    if (!h->frame_map || !h->dirty_map)
        return fail(err, ERR_NOMEM, "no memory for the host");
    h->asp.command = host_alloc(h, 1, 1);
    h->asp.reclaim = host_alloc(h, 1, 1);
    h->asp.data = host_alloc(h, ASP_DATA_BYTES / PAGE, 1);
    if (!h->asp.command || !h->asp.reclaim || !h->asp.data)
        return fail(err, ERR_ARG, "the host's memory is too small");
    return cores_on(h, cfg->snp, err);
}

enum status host_new(const struct host_config *cfg, struct host **out, struct error *err)
{
    struct host *h = calloc(1, sizeof(*h));
    enum status s;

    if (!h)
        return fail(err, ERR_NOMEM, "no memory for the host");
    s = host_set_up(h, cfg, err);
    if (s != OK) {
        host_free(h);
        return s;
    }
    *out = h;
    return OK;
}

void host_free(struct host *h)
{
    if (!h)
        return;
    if (h->soc) {
        asp_stop(h);
        snp_stop(h);
        soc_free(h->soc);
    }
    free(h->frame_map);
    free(h->dirty_map);
    free(h);
}

struct soc *host_soc(struct host *h)
{
    return h->soc;
}

enum soc_clock host_clock(const struct host *h)
{
    return h->clock;
}

void host_stop(struct host *h)
{
    h->stop = true;
}

uint64_t host_retired(struct host *h)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < h->cores; i++)
        sum += cpu_retired(soc_core(h->soc, i));
    return sum;
}
