/* What a hypervisor does to an SNP guest's pages: RMPUPDATE and PSMASH (APM2 15.36.5, 15.36.11),
 * with nested tables that have the same size of page as the RMP, as the chip demands of private
 * memory (APM2 15.36.10). The RMP is not read: nobody but the hypervisor moves pages between itself
 * and the guest, so `struct piece` knows. */
#include <string.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

#define PIECE_PAGES (LARGE_PAGE / PAGE)

static uint64_t *slot(struct piece *p, uint64_t gpa, uint64_t *bit)
{
    uint64_t n = gpa % LARGE_PAGE / PAGE;

    *bit = BIT(n % 64);
    return &p->private[n / 64];
}

bool rmp_is_private(const struct vm *vm, uint64_t gpa)
{
    struct piece *p = memory_piece(vm, gpa);
    uint64_t bit;

    return p && *slot(p, gpa, &bit) & bit;
}

static bool any_private(const struct piece *p)
{
    for (size_t i = 0; i < COUNT(p->private); i++)
        if (p->private[i])
            return true;
    return false;
}

static void mark(struct piece *p, uint64_t gpa, bool large, bool on)
{
    uint64_t bit, *word = slot(p, gpa, &bit);

    if (large)
        memset(p->private, on ? 0xFF : 0, sizeof(p->private));
    else
        *word = on ? *word | bit : *word & ~bit;
}

static void flush(struct vm *vm)
{
    for (unsigned i = 0; vm->vcpu && i < vm->cfg.vcpus; i++)
        vm->vcpu[i].flush = true;
}

/* To the guest, or with `gpa` UINT64_MAX back to the hypervisor. */
static bool update(struct vm *vm, uint64_t spa, uint64_t gpa, bool large, bool immutable)
{
    bool assign = gpa != UINT64_MAX;
    struct rmp_update state = {.gpa = assign ? gpa : 0,
                               .assigned = assign,
                               .page_size = large,
                               .immutable = immutable,
                               .asid = assign ? vm->asid : 0};

    flush(vm);
    return cpu_rmpupdate(soc_core(vm->host->soc, 0), spa, &state) == 0;
}

bool rmp_smash(struct vm *vm, uint64_t gpa)
{
    struct piece *p = memory_piece(vm, gpa);
    uint64_t spa = 0;

    if (!p || !ram_to_spa(vm, gpa & ~(LARGE_PAGE - 1), &spa))
        return false;
    if (p->large) {
        if (cpu_psmash(soc_core(vm->host->soc, 0), spa) != 0)
            return false;
        p->large = false;
    }
    flush(vm);
    return memory_split(vm, gpa);
}

static bool assign_page(struct vm *vm, struct piece *p, uint64_t gpa, bool immutable)
{
    uint64_t spa = 0;

    if (!rmp_smash(vm, gpa) || !ram_to_spa(vm, gpa, &spa) ||
        !update(vm, spa, gpa, false, immutable))
        return false;
    mark(p, gpa, false, true);
    return true;
}

static bool assign_piece(struct vm *vm, struct piece *p, uint64_t gpa, bool immutable)
{
    uint64_t spa = 0;

    /* An entry for 2 MiB does not go over pages that are assigned one by one. */
    if (any_private(p) && !p->large) {
        for (uint64_t i = 0; i < PIECE_PAGES; i++)
            if (!assign_page(vm, p, gpa + i * PAGE, immutable))
                return false;
        return true;
    }
    if (!memory_join(vm, gpa) || !ram_to_spa(vm, gpa, &spa) ||
        !update(vm, spa, gpa, true, immutable))
        return false;
    mark(p, gpa, true, true);
    p->large = true;
    return true;
}

static bool assign(struct vm *vm, uint64_t gpa, bool large, bool immutable)
{
    struct piece *p = memory_piece(vm, gpa);

    if (!p || gpa % (large ? LARGE_PAGE : PAGE))
        return false;
    return large ? assign_piece(vm, p, gpa, immutable) : assign_page(vm, p, gpa, immutable);
}

bool rmp_make_private(struct vm *vm, uint64_t gpa, bool large)
{
    return assign(vm, gpa, large, false);
}

bool rmp_make_pre_guest(struct vm *vm, uint64_t gpa, bool large)
{
    return assign(vm, gpa, large, true);
}

/* ---- back ------------------------------------------------------------------------------------ */

/* An immutable page is the firmware's to give up first (SNP ABI, SNP_PAGE_RECLAIM). */
static bool take_back(struct vm *vm, uint64_t spa, bool large, bool reclaim)
{
    struct snp_cmd_page cmd = {spa | (large ? SNP_RECLAIM_2M : 0)};

    if (update(vm, spa, UINT64_MAX, large, false))
        return true;
    return reclaim &&
           asp_snp_command(vm->host, SNP_CMD_PAGE_RECLAIM, &cmd, sizeof(cmd), NULL, NULL) == OK &&
           update(vm, spa, UINT64_MAX, large, false);
}

static bool release_page(struct vm *vm, struct piece *p, uint64_t gpa, bool reclaim)
{
    uint64_t spa = 0;

    if (!rmp_is_private(vm, gpa))
        return true;
    if (!rmp_smash(vm, gpa) || !ram_to_spa(vm, gpa, &spa) || !take_back(vm, spa, false, reclaim))
        return false;
    mark(p, gpa, false, false);
    return any_private(p) || memory_join(vm, gpa);
}

static bool release_piece(struct vm *vm, struct piece *p, uint64_t gpa, bool reclaim)
{
    uint64_t spa = 0;

    if (p->large) {
        if (!ram_to_spa(vm, gpa, &spa) || !take_back(vm, spa, true, reclaim))
            return false;
        p->large = false;
        mark(p, gpa, true, false);
        return true;
    }
    for (uint64_t i = 0; i < PIECE_PAGES; i++)
        if (!release_page(vm, p, gpa + i * PAGE, reclaim))
            return false;
    return true;
}

bool rmp_make_shared(struct vm *vm, uint64_t gpa, bool large)
{
    struct piece *p = memory_piece(vm, gpa);

    if (!p || gpa % (large ? LARGE_PAGE : PAGE))
        return false;
    return large ? release_piece(vm, p, gpa, false) : release_page(vm, p, gpa, false);
}

bool rmp_release_all(struct vm *vm)
{
    bool done = true;

    for (uint64_t gpa = 0; vm->piece && gpa < vm->ram_high; gpa += LARGE_PAGE) {
        struct piece *p = memory_piece(vm, gpa);

        if (p)
            done &= release_piece(vm, p, gpa, true);
    }
    return done;
}
