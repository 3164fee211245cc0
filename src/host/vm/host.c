/* The host: one soc, and who uses which frame of its DRAM. */
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

static bool used(const uint64_t *map, uint64_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void mark(uint64_t *map, uint64_t from, uint64_t count, bool on)
{
    for (uint64_t i = from; i < from + count; i++)
        if (on)
            map[i / 64] |= BIT(i % 64);
        else
            map[i / 64] &= ~BIT(i % 64);
}

uint64_t host_free_frames(const struct host *h)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < h->frames; i++)
        n += !used(h->frame_map, i);
    return n;
}

bool host_zero(struct host *h, uint64_t spa, uint64_t len)
{
    static const uint8_t zeros[64 * 1024];

    while (len) {
        uint64_t n = MIN(len, sizeof(zeros));

        if (!soc_write(h->soc, spa, zeros, n))
            return false;
        spa += n;
        len -= n;
    }
    return true;
}

static bool any_dirty(const struct host *h, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++)
        if (used(h->dirty_map, i))
            return true;
    return false;
}

uint64_t host_alloc(struct host *h, uint64_t count, uint64_t align)
{
    uint64_t at = align; /* never frame 0: address 0 means none */

    while (at + count <= h->frames) {
        uint64_t n = 0;

        while (n < count && !used(h->frame_map, at + n))
            n++;
        if (n == count) {
            /* DRAM is zero at power-on; only what somebody used has to be cleared. */
            if (any_dirty(h, at, count) && !host_zero(h, at * PAGE, count * PAGE))
                return 0;
            mark(h->frame_map, at, count, true);
            mark(h->dirty_map, at, count, true);
            return at * PAGE;
        }
        at = (at + n + align) / align * align;
    }
    return 0;
}

void host_release(struct host *h, uint64_t spa, uint64_t count)
{
    if (spa)
        mark(h->frame_map, spa / PAGE, count, false);
}

/* What a host kernel does to each core before it can run guests: SVM on, a host save area, and
 * memory encryption enabled with SMM locked (APM2 15.4, 15.30.4, 15.34.3, 15.34.7). */
static enum status core_on(struct host *h, unsigned n, struct error *err)
{
    struct cpu *c = soc_core(h->soc, n);
    uint64_t save = host_alloc(h, 1, 1), efer = 0, syscfg = 0, hwcr = 0;

    if (!save)
        return fail(err, ERR_ARG, "the host's memory has no room for the save area of core %u", n);
    if (!cpu_rdmsr(c, MSR_EFER, &efer) || !cpu_wrmsr(c, MSR_EFER, efer | EFER_SVME) ||
        !cpu_wrmsr(c, MSR_VM_HSAVE_PA, save) || !cpu_rdmsr(c, MSR_SYSCFG, &syscfg) ||
        !cpu_wrmsr(c, MSR_SYSCFG, syscfg | SYSCFG_MEM_ENC) || !cpu_rdmsr(c, MSR_HWCR, &hwcr) ||
        !cpu_wrmsr(c, MSR_HWCR, hwcr | HWCR_SMM_LOCK))
        return fail(err, ERR_STATE, "core %u refuses to turn SVM on", n);
    return OK;
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
    h->asp.data = host_alloc(h, ASP_DATA_BYTES / PAGE, 1);
    if (!h->asp.command || !h->asp.data)
        return fail(err, ERR_ARG, "the host's memory is too small");
    for (unsigned i = 0; i < h->cores && s == OK; i++)
        s = core_on(h, i, err);
    return s;
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
    if (h->soc)
        asp_stop(h);
    if (h->soc)
        soc_free(h->soc);
    free(h->frame_map);
    free(h->dirty_map);
    free(h);
}

uint64_t host_memory_for(uint64_t guest_bytes, unsigned vcpus)
{
    uint64_t low, high, frames;

    ram_split(guest_bytes, &low, &high);
    /* VMCB and host save area of each vCPU; permission maps; the driver's buffers; and as guest
     * memory is in aligned 2 MiB pieces, one such piece for all that is not. */
    frames = npt_frames_for(low, high) + 2 * vcpus + 8 + 1 + ASP_DATA_BYTES / PAGE;
    return guest_bytes + (frames * PAGE + 2 * LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
}

struct soc *host_soc(struct host *h)
{
    return h->soc;
}

enum soc_clock host_clock(const struct host *h)
{
    return h->clock;
}

struct vm *host_first_vm(struct host *h)
{
    return h->vms;
}

void host_stop(struct host *h)
{
    h->stop = true;
}
