/* What the hypervisor does to the pages of an SNP guest: RMPUPDATE and PSMASH (APM2 15.36.5), and
 * the nested tables, whose sizes must be the RMP's (15.36.10). A piece of 2 MiB is one entry in
 * both until a page of it is shared for the first time; it stays in 4 KiB entries from then on.
 *
 * Who owns what is remembered here, not read from the RMP: only these functions change it. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

#define PIECE_PAGES (LARGE_PAGE / PAGE)

enum { FAIL_PERMISSION = 2 }; /* of RMPUPDATE: the entry is immutable */

static bool bit(const uint64_t *map, uint64_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void set_bits(uint64_t *map, uint64_t from, uint64_t count, bool on)
{
    for (uint64_t i = from; i < from + count; i++)
        if (on)
            map[i / 64] |= BIT(i % 64);
        else
            map[i / 64] &= ~BIT(i % 64);
}

/* The page's number among those of the guest's RAM, and where it is. */
static bool find(const struct vm *vm, uint64_t gpa, uint64_t *number, uint64_t *spa)
{
    if (!vm->page_private || !ram_to_spa(vm, gpa & ~(PAGE - 1), spa))
        return false;
    *number = (gpa < vm->ram_low ? gpa : vm->ram_low + gpa - HIGH_RAM) / PAGE;
    return true;
}

enum status rmp_maps_new(struct vm *vm, struct error *err)
{
    vm->page_private = calloc(vm->chunks * PIECE_PAGES / 64, 8);
    vm->piece_split = calloc(vm->chunks / 64 + 1, 8);
    if (!vm->page_private || !vm->piece_split)
        return fail(err, ERR_NOMEM, "no memory for the guest's page states");
    return OK;
}

void rmp_maps_free(struct vm *vm)
{
    free(vm->page_private);
    free(vm->piece_split);
    vm->page_private = vm->piece_split = NULL;
}

bool rmp_is_private(const struct vm *vm, uint64_t gpa)
{
    uint64_t number, spa;

    return find(vm, gpa, &number, &spa) && bit(vm->page_private, number);
}

/* ---- one entry --------------------------------------------------------------------------------
 */

static unsigned update(struct vm *vm, uint64_t spa, const struct rmp_update *entry)
{
    unsigned code = cpu_rmpupdate(soc_core(vm->host->soc, 0), spa, entry);

    if (code && tracing(TRACE_SEV))
        trace(TRACE_SEV, "RMPUPDATE of page %" PRIx64 " (GPA %" PRIx64 "): code %u", spa,
              entry->gpa, code);
    return code;
}

static bool assign(struct vm *vm, uint64_t gpa, uint64_t spa, bool large, bool immutable)
{
    const struct rmp_update entry = {
        .gpa = gpa, .assigned = 1, .page_size = large, .immutable = immutable, .asid = vm->asid};

    return update(vm, spa, &entry) == 0;
}

/* A page that a launch left immutable is the firmware's to give back. */
static bool unassign(struct vm *vm, uint64_t spa, bool large)
{
    const struct rmp_update entry = {.page_size = large};
    struct snp_cmd_page cmd = {spa | (large ? SNP_RECLAIM_2M : 0)};
    unsigned code = update(vm, spa, &entry);

    if (code == FAIL_PERMISSION &&
        asp_snp_command(vm->host, SNP_CMD_PAGE_RECLAIM, &cmd, sizeof(cmd), NULL, NULL) == OK)
        code = update(vm, spa, &entry);
    return code == 0;
}

/* ---- pages and pieces -------------------------------------------------------------------------
 */

static bool is_split(const struct vm *vm, uint64_t number)
{
    return bit(vm->piece_split, number / PIECE_PAGES);
}

/* Both tables in 4 KiB entries. Where nothing is assigned, the RMP's are that already. */
static bool split(struct vm *vm, uint64_t gpa, uint64_t number, uint64_t spa)
{
    uint64_t piece = number / PIECE_PAGES;

    if (is_split(vm, number))
        return true;
    if (!memory_split(vm, gpa))
        return false;
    if (bit(vm->page_private, number) &&
        cpu_psmash(soc_core(vm->host->soc, 0), spa & ~(LARGE_PAGE - 1)) != 0)
        return false;
    set_bits(vm->piece_split, piece, 1, true);
    return true;
}

bool rmp_smash(struct vm *vm, uint64_t gpa)
{
    uint64_t number, spa;

    return find(vm, gpa, &number, &spa) && split(vm, gpa, number, spa);
}

static bool set_page(struct vm *vm, uint64_t gpa, bool private, bool immutable)
{
    uint64_t number, spa;

    if (!find(vm, gpa, &number, &spa))
        return false;
    if (bit(vm->page_private, number) == private)
        return true;
    if (!split(vm, gpa, number, spa))
        return false;
    if (!(private ? assign(vm, gpa & ~(PAGE - 1), spa, false, immutable)
                  : unassign(vm, spa, false)))
        return false;
    set_bits(vm->page_private, number, 1, private);
    return true;
}

static bool set_piece(struct vm *vm, uint64_t gpa, bool private, bool immutable)
{
    uint64_t number, spa;

    gpa &= ~(LARGE_PAGE - 1);
    if (!find(vm, gpa, &number, &spa))
        return false;
    if (is_split(vm, number)) {
        for (uint64_t i = 0; i < PIECE_PAGES; i++)
            if (!set_page(vm, gpa + i * PAGE, private, immutable))
                return false;
        return true;
    }
    if (bit(vm->page_private, number) == private)
        return true;
    if (!(private ? assign(vm, gpa, spa, true, immutable) : unassign(vm, spa, true)))
        return false;
    set_bits(vm->page_private, number, PIECE_PAGES, private);
    return true;
}

bool rmp_make_private(struct vm *vm, uint64_t gpa, bool large)
{
    return large ? set_piece(vm, gpa, true, false) : set_page(vm, gpa, true, false);
}

bool rmp_make_pre_guest(struct vm *vm, uint64_t gpa, bool large)
{
    return large ? set_piece(vm, gpa, true, true) : set_page(vm, gpa, true, true);
}

bool rmp_make_shared(struct vm *vm, uint64_t gpa, bool large)
{
    return large ? set_piece(vm, gpa, false, false) : set_page(vm, gpa, false, false);
}

bool rmp_take_all(struct vm *vm)
{
    bool ok = true;

    for (uint64_t i = 0; i < vm->chunks; i++)
        ok &= rmp_make_shared(vm, memory_piece(vm, i), true);
    set_bits(vm->piece_split, 0, vm->chunks, false);
    return ok;
}
