/* The reverse map table in DRAM: see rmp.h.
 *
 * Entries are laid out as Zen 3 and Zen 4 have them, two quadwords:
 *
 *   low   0 assigned, 1 page size, 2 immutable, 11:3 assigned pages that follow in the 2 MiB,
 *         50:12 guest frame, 60:51 ASID, 61 VMSA, 62 validated, 63 lock
 *   high  a byte of permissions for each VMPL
 *
 * A 2 MiB page has its entry at its first frame; the 511 that follow it show Assigned alone. The
 * count is kept there for 4 KiB entries too, so that "is any page of these 2 MiB assigned" is one
 * look.
 */
#include "silicon/rmp/rmp.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BOOKKEEPING 0x4000u
#define ENTRY_BYTES 16u
#define LARGE_BYTES (UINT64_C(1) << 21)
#define LARGE_PAGES 512u
#define INIT_ALIGN  (UINT64_C(1) << 20)

#define LOW_ASSIGNED  BIT(0)
#define LOW_LARGE     BIT(1)
#define LOW_IMMUTABLE BIT(2)
#define LOW_COUNT_ONE BIT(3)
#define LOW_COUNT     (BIT(12) - BIT(3))
#define LOW_GPA       (BIT(51) - BIT(12))
#define LOW_ASID_AT   51
#define LOW_ASID      0x3FFu
#define LOW_VMSA      BIT(61)
#define LOW_VALIDATED BIT(62)
#define LOW_LOCK      BIT(63)

#define FIRST_OF(spa) ((spa) & ~(LARGE_BYTES - 1))

struct raw {
    uint64_t low, high;
};

struct rmp {
    struct dram *dram;
    uint64_t base, end;     /* as the MSRs say */
    uint64_t table, frames; /* the first entry, and how many there are */
    bool enabled, ready;
    rmp_watch_fn *watcher;
    void *watcher_ctx;
    uint64_t *held; /* bit per frame of DRAM: somebody keeps a translation */
    uint64_t held_words;
};

enum status rmp_new(struct dram *dram, struct rmp **out, struct error *err)
{
    struct rmp *r = calloc(1, sizeof(*r));

    if (r) {
        r->dram = dram;
        r->held_words = (dram_size(dram) >> FRAME_SHIFT) / 64 + 1;
        r->held_words += -r->held_words & (LARGE_PAGES / 64 - 1);
        r->held = calloc(r->held_words, sizeof(*r->held));
    }
    if (!r || !r->held) {
        rmp_free(r);
        return fail(err, ERR_NOMEM, "no memory for the reverse map table's bounds");
    }
    *out = r;
    return OK;
}

void rmp_free(struct rmp *r)
{
    if (!r)
        return;
    free(r->held);
    free(r);
}

/* ---- bounds -------------------------------------------------------------------------------- */
void rmp_set_bounds(struct rmp *r, uint64_t base, uint64_t end)
{
    uint64_t size = end + 1 - base;

    r->base = base;
    r->end = end;
    r->table = base + BOOKKEEPING;
    r->frames = 0;
    if (base < end && end < dram_size(r->dram) && size > BOOKKEEPING)
        r->frames = (size - BOOKKEEPING) / ENTRY_BYTES & ~(uint64_t)(LARGE_PAGES - 1);
}

void rmp_bounds(const struct rmp *r, uint64_t *base, uint64_t *end)
{
    *base = r->base;
    *end = r->end;
}

void rmp_enable(struct rmp *r, bool on)
{
    r->enabled = on;
}

bool rmp_enabled(const struct rmp *r)
{
    return r->enabled;
}

bool rmp_enforced(const struct rmp *r)
{
    return r->enabled && r->ready;
}

bool rmp_covers(const struct rmp *r, uint64_t spa)
{
    return spa >> FRAME_SHIFT < r->frames;
}

/* ---- who must hear ------------------------------------------------------------------------- */
void rmp_watch(struct rmp *r, rmp_watch_fn *fn, void *ctx)
{
    r->watcher = fn;
    r->watcher_ctx = ctx;
}

void rmp_hold(struct rmp *r, uint64_t spa)
{
    uint64_t frame = spa >> FRAME_SHIFT;

    if (frame / 64 < r->held_words)
        r->held[frame / 64] |= BIT(frame % 64);
}

/* Forgets who holds the page, or the 2 MiB. */
static bool was_held(struct rmp *r, uint64_t spa, bool large)
{
    uint64_t frame = spa >> FRAME_SHIFT, any = 0;

    if (frame / 64 >= r->held_words)
        return false;
    if (!large) {
        any = r->held[frame / 64] & BIT(frame % 64);
        r->held[frame / 64] &= ~any;
        return any;
    }
    for (unsigned i = 0; i < LARGE_PAGES / 64; i++) {
        any |= r->held[frame / LARGE_PAGES * (LARGE_PAGES / 64) + i];
        r->held[frame / LARGE_PAGES * (LARGE_PAGES / 64) + i] = 0;
    }
    return any;
}

static void tell(struct rmp *r, uint64_t spa, bool large)
{
    if (was_held(r, spa, large) && r->watcher)
        r->watcher(r->watcher_ctx, spa, large);
}

/* ---- entries in memory --------------------------------------------------------------------- */
static uint64_t entry_at(const struct rmp *r, uint64_t spa)
{
    return r->table + (spa >> FRAME_SHIFT) * ENTRY_BYTES;
}

/* Of a page that is covered. */
static struct raw raw_get(const struct rmp *r, uint64_t spa)
{
    uint64_t at = entry_at(r, spa);
    const uint8_t *bytes = dram_touch(r->dram, at >> FRAME_SHIFT, DRAM_PLAIN);
    struct raw e = {0};

    if (bytes)
        memcpy(&e, bytes + (at & FRAME_MASK), sizeof(e));
    else
        (void)!dram_read(r->dram, at, DRAM_PLAIN, &e, sizeof(e));
    return e;
}

static void raw_put(struct rmp *r, uint64_t spa, const struct raw *e, unsigned n)
{
    (void)!dram_write(r->dram, entry_at(r, spa), DRAM_PLAIN, e, n * sizeof(*e));
}

static struct raw encode(const struct rmp_entry *e)
{
    struct raw raw = {.high = load32(e->perms)};

    raw.low = (e->gpa & LOW_GPA) | (uint64_t)(e->asid & LOW_ASID) << LOW_ASID_AT;
    if (e->assigned)
        raw.low |= LOW_ASSIGNED;
    if (e->assigned && e->large)
        raw.low |= LOW_LARGE;
    if (e->immutable)
        raw.low |= LOW_IMMUTABLE;
    if (e->immutable && e->assigned)
        raw.low |= LOW_LOCK;
    if (e->vmsa)
        raw.low |= LOW_VMSA;
    if (e->validated)
        raw.low |= LOW_VALIDATED;
    return raw;
}

static struct rmp_entry decode(struct raw raw)
{
    struct rmp_entry e = {.assigned = raw.low & LOW_ASSIGNED,
                          .validated = raw.low & LOW_VALIDATED,
                          .immutable = raw.low & LOW_IMMUTABLE,
                          .vmsa = raw.low & LOW_VMSA,
                          .large = raw.low & LOW_LARGE,
                          .asid = raw.low >> LOW_ASID_AT & LOW_ASID,
                          .gpa = raw.low & LOW_GPA};

    store32(e.perms, (uint32_t)raw.high);
    return e;
}

static bool is_large(struct raw e)
{
    return (e.low & (LOW_ASSIGNED | LOW_LARGE)) == (LOW_ASSIGNED | LOW_LARGE);
}

/* No page of the 2 MiB that `first` is the first of is assigned. */
static bool is_free(struct raw first)
{
    return !(first.low & (LOW_ASSIGNED | LOW_COUNT));
}

struct rmp_entry rmp_get(const struct rmp *r, uint64_t spa)
{
    struct raw first;
    struct rmp_entry e;

    if (!rmp_covers(r, spa))
        return (struct rmp_entry){0};
    first = raw_get(r, FIRST_OF(spa));
    if (!is_large(first))
        return decode(raw_get(r, spa));
    e = decode(first);
    if (e.asid)
        e.gpa += spa & (LARGE_BYTES - 1) & ~(uint64_t)FRAME_MASK;
    return e;
}

bool rmp_free_2m(const struct rmp *r, uint64_t spa)
{
    return !rmp_covers(r, spa) || is_free(raw_get(r, FIRST_OF(spa)));
}

enum rmp_state rmp_state_of(const struct rmp_entry *e)
{
    if (!e->assigned)
        return e->immutable ? RMP_HV_FIXED : RMP_HYPERVISOR;
    if (e->asid)
        return e->immutable ? (e->validated ? RMP_PRE_SWAP : RMP_PRE_GUEST)
                            : (e->validated ? RMP_GUEST_VALID : RMP_GUEST_INVALID);
    if (!e->immutable)
        return RMP_RECLAIM;
    if (e->gpa)
        return RMP_METADATA;
    return e->vmsa ? RMP_CONTEXT : RMP_FIRMWARE;
}

enum rmp_state rmp_state(const struct rmp *r, uint64_t spa)
{
    struct rmp_entry e = rmp_get(r, spa);

    return rmp_covers(r, spa) ? rmp_state_of(&e) : RMP_DEFAULT;
}

/* ---- changes ------------------------------------------------------------------------------- */

/* What a translation that `was` allowed may do is not all allowed by `e`, of the same size, any
 * more. */
static bool takes_away(const struct rmp_entry *was, const struct rmp_entry *e)
{
    if (!was->assigned)
        return e->assigned;
    if (rmp_state_of(was) != RMP_GUEST_VALID)
        return false;
    for (unsigned i = 0; i < COUNT(e->perms); i++)
        if (was->perms[i] & ~e->perms[i])
            return true;
    return rmp_state_of(e) != RMP_GUEST_VALID || was->asid != e->asid || was->gpa != e->gpa;
}

static void put_large(struct rmp *r, uint64_t spa, const struct rmp_entry *e)
{
    struct raw all[LARGE_PAGES] = {encode(e)};
    bool was_free = is_free(raw_get(r, spa));
    struct rmp_entry was = rmp_get(r, spa);

    if (e->assigned)
        all[0].low |= LOW_COUNT;
    for (unsigned i = 1; i < LARGE_PAGES; i++)
        all[i] = e->assigned ? (struct raw){.low = LOW_ASSIGNED} : all[0];
    raw_put(r, spa, all, LARGE_PAGES);
    if (was_free ? e->assigned : !was.large || takes_away(&was, e))
        tell(r, spa, true);
}

/* 512 entries of 4 KiB for one of 2 MiB, alike but for the address. */
static void smash(struct rmp *r, uint64_t spa)
{
    struct raw all[LARGE_PAGES];
    struct rmp_entry e = rmp_get(r, FIRST_OF(spa));

    e.large = false;
    for (unsigned i = 0; i < LARGE_PAGES; i++) {
        all[i] = encode(&e);
        e.gpa += e.asid ? FRAME_SIZE : 0;
    }
    all[0].low |= LOW_COUNT;
    raw_put(r, FIRST_OF(spa), all, LARGE_PAGES);
    tell(r, FIRST_OF(spa), true);
}

static void count(struct rmp *r, uint64_t spa, bool more)
{
    struct raw first = raw_get(r, FIRST_OF(spa));

    first.low = more ? first.low + LOW_COUNT_ONE : first.low - LOW_COUNT_ONE;
    raw_put(r, FIRST_OF(spa), &first, 1);
}

static void put_small(struct rmp *r, uint64_t spa, const struct rmp_entry *e)
{
    struct raw first = raw_get(r, FIRST_OF(spa)), raw = encode(e);
    bool was_free = is_free(first);
    struct rmp_entry was = rmp_get(r, spa);

    raw.low &= ~LOW_LARGE;
    if (spa == FIRST_OF(spa))
        raw.low |= first.low & LOW_COUNT;
    raw_put(r, spa, &raw, 1);
    if (spa != FIRST_OF(spa) && was.assigned != e->assigned)
        count(r, spa, e->assigned);
    /* Larger nested pages over these 2 MiB could be written as long as all of them were free. */
    if (was_free && e->assigned)
        tell(r, FIRST_OF(spa), true);
    else if (takes_away(&was, e))
        tell(r, spa, false);
}

void rmp_put(struct rmp *r, uint64_t spa, const struct rmp_entry *e)
{
    spa &= ~(uint64_t)FRAME_MASK;
    if (!rmp_covers(r, spa))
        return;
    if (e->large) {
        put_large(r, FIRST_OF(spa), e);
        return;
    }
    if (is_large(raw_get(r, FIRST_OF(spa))))
        smash(r, spa);
    put_small(r, spa, e);
}

/* ---- the table as a whole ------------------------------------------------------------------ */

/* What the firmware makes of a table that is all zeros: its own pages, and addresses where there is
 * no memory. */
static void put_firsts(struct rmp *r)
{
    const struct rmp_entry own = {.assigned = true, .immutable = true},
                           none = {.immutable = true, .large = true};
    uint64_t end = r->frames << FRAME_SHIFT;

    for (uint64_t spa = r->base & ~(uint64_t)FRAME_MASK; spa <= r->end; spa += FRAME_SIZE)
        rmp_put(r, spa, &own);
    for (uint64_t spa = dram_size(r->dram); spa < end; spa += LARGE_BYTES)
        rmp_put(r, spa, &none);
}

bool rmp_init_table(struct rmp *r)
{
    static const uint8_t zeros[FRAME_SIZE];
    bool whole = !(r->base % INIT_ALIGN) && !((r->end + 1) % INIT_ALIGN);

    if (!r->enabled || !r->frames || !whole)
        return false;
    for (uint64_t at = r->base; at < r->end; at += FRAME_SIZE)
        (void)!dram_write(r->dram, at, DRAM_PLAIN, zeros, sizeof(zeros));
    put_firsts(r);
    r->ready = true;
    if (r->watcher)
        r->watcher(r->watcher_ctx, RMP_EVERY_PAGE, true);
    return true;
}

void rmp_release(struct rmp *r)
{
    r->enabled = r->ready = false;
}

/* Pages that are all covered or all not: coverage is in steps of 2 MiB. */
static bool free_within(const struct rmp *r, uint64_t spa, uint64_t end)
{
    if (rmp_free_2m(r, spa))
        return true;
    for (; spa < end; spa += FRAME_SIZE)
        if (rmp_get(r, spa).assigned)
            return false;
    return true;
}

bool rmp_host_may_write(const struct rmp *r, uint64_t spa, uint64_t len)
{
    uint64_t at = spa & ~(uint64_t)FRAME_MASK, end = MIN(spa + len, r->frames << FRAME_SHIFT);

    if (!rmp_enforced(r) || spa + len < spa)
        return true;
    for (; at < end; at = FIRST_OF(at) + LARGE_BYTES)
        if (!free_within(r, at, MIN(end, FIRST_OF(at) + LARGE_BYTES)))
            return false;
    return true;
}

/* ---- instructions -------------------------------------------------------------------------- */
static bool illegal(uint64_t spa, uint64_t gpa, bool assigned, bool large, bool immutable,
                    uint32_t asid)
{
    uint64_t in_page = large ? LARGE_BYTES - 1 : FRAME_MASK;

    if (gpa && !asid) /* METADATA is for the firmware to make */
        return true;
    return (spa | gpa) & in_page || gpa & ~(LOW_GPA | FRAME_MASK) || asid > LOW_ASID ||
           (!assigned && (immutable || asid));
}

/* 511 entries follow the first of 2 MiB: what of them a large entry would bury. */
static enum rmp_code buries(const struct rmp *r, uint64_t spa)
{
    for (unsigned i = 1; i < LARGE_PAGES; i++) {
        struct raw e = raw_get(r, spa + i * FRAME_SIZE);

        if (e.low & LOW_IMMUTABLE)
            return RMP_FAIL_PERMISSION;
        if (e.low & LOW_ASSIGNED)
            return RMP_FAIL_OVERLAP;
    }
    return RMP_SUCCESS;
}

enum rmp_code rmp_update(struct rmp *r, uint64_t spa, uint64_t gpa, bool assigned, bool large,
                         bool immutable, uint32_t asid)
{
    struct rmp_entry was = rmp_get(r, spa), e = {.assigned = assigned,
                                                 .large = large,
                                                 .immutable = immutable,
                                                 .asid = (uint16_t)asid,
                                                 .gpa = assigned ? gpa : 0};
    enum rmp_code code = RMP_SUCCESS;

    if (illegal(spa, assigned ? gpa : 0, assigned, large, immutable, asid) || !rmp_covers(r, spa))
        return RMP_FAIL_INPUT;
    if (was.immutable)
        return RMP_FAIL_PERMISSION;
    if (!large && was.large)
        return RMP_FAIL_OVERLAP;
    if (large && !was.large)
        code = buries(r, spa);
    if (code != RMP_SUCCESS)
        return code;
    if (asid)
        e.perms[0] = VMPL_ALL;
    rmp_put(r, spa, &e);
    return RMP_SUCCESS;
}

enum rmp_code rmp_psmash(struct rmp *r, uint64_t spa)
{
    if (spa & (LARGE_BYTES - 1) || !rmp_covers(r, spa))
        return RMP_FAIL_INPUT;
    if (!is_large(raw_get(r, spa)))
        return RMP_FAIL_BADADDR;
    smash(r, spa);
    return RMP_SUCCESS;
}
