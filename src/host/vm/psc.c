/* Page state change (GHCB 2.3.1, 4.1.6): the guest says which of its pages are private and which it
 * shares; a list of such requests is worked off as far as one turn goes, and the guest calls again
 * for the rest. */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/ghcb.h"

struct psc_header {
    uint16_t cur, end;
    uint32_t reserved;
};
static_assert(sizeof(struct psc_header) == 8, "GHCB 4.1.6");

#define ENTRY_DONE(e)      ((unsigned)((e)&0xFFF)) /* pages of it that are done */
#define ENTRY_GPA(e)       ((e)&UINT64_C(0x000FFFFFFFFFF000))
#define ENTRY_OPERATION(e) ((unsigned)((e) >> 52 & 0xF))
#define ENTRY_LARGE(e)     ((bool)((e) >> 56 & 1))
#define ENTRY_RESERVED(e)  ((e) >> 57)
#define ENTRIES            ((GHCB_BUFFER - sizeof(struct psc_header)) / 8)
#define PIECE_PAGES        ((unsigned)(LARGE_PAGE / PAGE))
/* Pages in one turn: a list of 2 MiB entries may name many more. */
#define TURN 8192u

#define ERROR_HEADER  (UINT64_C(1) << 32 | 1)
#define ERROR_ENTRY   (UINT64_C(1) << 32 | 2)
#define ERROR_GENERAL (UINT64_C(0x100) << 32)

static const char *const names[] = {
    [PSC_PRIVATE] = "private",
    [PSC_SHARED] = "shared",
    [PSC_SMASH] = "smash",
    [PSC_UNSMASH] = "unsmash",
};

static bool known(unsigned operation)
{
    return operation >= PSC_PRIVATE && operation <= PSC_UNSMASH;
}

/* SMASH and UNSMASH are hints: the size of pages is the hypervisor's choice, and entries of 2 MiB
 * come from the guest's own requests. */
static bool change(struct vm *vm, uint64_t gpa, bool large, unsigned operation)
{
    uint64_t spa;

    switch (operation) {
    case PSC_PRIVATE:
        return rmp_make_private(vm, gpa, large);
    case PSC_SHARED:
        return rmp_make_shared(vm, gpa, large);
    case PSC_SMASH:
        return rmp_smash(vm, gpa);
    default:
        return ram_to_spa(vm, gpa, &spa);
    }
}

static void trace_change(const struct vcpu *v, uint64_t gpa, uint64_t pages, unsigned operation)
{
    if (tracing(TRACE_SEV) && pages)
        trace(TRACE_SEV, "page-state vcpu=%u gpa=0x%" PRIx64 " pages=%" PRIu64 " to=%s", v->index,
              gpa, pages, names[operation]);
}

bool psc_one(struct vcpu *v, uint64_t gpa, unsigned operation)
{
    if (!known(operation) || !change(v->vm, gpa, false, operation))
        return false;
    trace_change(v, gpa, 1, operation);
    return true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct run {
    uint64_t gpa, pages;
    unsigned operation;
};

/* Neighbours make one line. */
static void add_run(const struct vcpu *v, struct run *r, uint64_t gpa, uint64_t pages,
                    unsigned operation)
{
    if (r->operation != operation || r->gpa + r->pages * PAGE != gpa) {
        trace_change(v, r->gpa, r->pages, r->operation);
        *r = (struct run){gpa, 0, operation};
    }
    r->pages += pages;
}

static unsigned pages_of(uint64_t e)
{
    return ENTRY_LARGE(e) ? PIECE_PAGES : 1;
}

static bool legal(const struct vm *vm, uint64_t e)
{
    uint64_t pages = pages_of(e), spa;

    return known(ENTRY_OPERATION(e)) && !ENTRY_RESERVED(e) && ENTRY_DONE(e) <= pages &&
           ENTRY_GPA(e) % (pages * PAGE) == 0 && ram_to_spa(vm, ENTRY_GPA(e), &spa);
}

/* What is left of one entry; `*e` says how far it came. */
static bool entry_run(struct vcpu *v, uint64_t *e, struct run *r)
{
    unsigned pages = pages_of(*e), done = ENTRY_DONE(*e);
    unsigned operation = ENTRY_OPERATION(*e), step = done ? 1 : pages;
    uint64_t gpa = ENTRY_GPA(*e);

    for (; done < pages; done += step) {
        if (!change(v->vm, gpa + done * PAGE, step > 1, operation))
            break;
        add_run(v, r, gpa + done * PAGE, step, operation);
    }
    *e = (*e & ~UINT64_C(0xFFF)) | done;
    return done == pages;
}

static uint64_t list_run(struct vcpu *v, struct psc_header *h, uint8_t *entries)
{
    uint64_t result = 0;
    unsigned left = TURN;
    struct run r = {0};

    while (h->cur <= h->end && left && !result) {
        uint8_t *at = entries + 8 * h->cur;
        uint64_t e = load64(at);

        if (!legal(v->vm, e)) {
            result = ERROR_ENTRY;
            break;
        }
        result = entry_run(v, &e, &r) ? 0 : ERROR_GENERAL;
        store64(at, e);
        h->cur += !result;
        left -= MIN(left, pages_of(e));
    }
    trace_change(v, r.gpa, r.pages, r.operation);
    return result;
}

void psc_event(struct ghcb_call *call)
{
    struct psc_header h;
    uint8_t *at = ghcb_scratch(call, sizeof(h));
    uint64_t len;

    if (!at)
        return;
    memcpy(&h, at, sizeof(h));
    if (h.reserved || h.end >= ENTRIES) {
        ghcb_result(call, ERROR_HEADER);
        return;
    }
    len = sizeof(h) + 8 * ((uint64_t)h.end + 1);
    if (!ghcb_scratch(call, len))
        return;
    ghcb_result(call, list_run(call->v, &h, at + sizeof(h)));
    memcpy(at, &h, sizeof(h));
    ghcb_changed(call, at, len);
}
