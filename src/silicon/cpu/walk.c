/* Table walks: the guest's own, and the nested one behind it (APM2 5.2 .. 5.6, 15.25).
 *
 * Both kinds of 64-bit tables go through descend(). The guest's are read at guest-physical
 * addresses, each translated by the nested tables; under SEV always with the guest's key, whatever
 * their C-bits say (APM2 15.34.5). The nested tables are the host's and plain.
 */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/mmu.h"
#include "silicon/vmsa.h"

#define PTE_P  BIT(0)
#define PTE_W  BIT(1)
#define PTE_U  BIT(2)
#define PTE_A  BIT(5)
#define PTE_D  BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)

#define PF_P    1u
#define PF_W    2u
#define PF_U    4u
#define PF_RSVD 8u
#define PF_ID   16u

#define ADDRESS_BITS     (BIT(52) - BIT(12))
#define PDPTE_ZERO       (PTE_NX | PTE_W | PTE_U | (BIT(9) - BIT(5)))
#define SYSCFG_MEM_CRYPT BIT(23)

enum outcome { WALKED, ABSENT, RESERVED, REFUSED, NESTED_FAULT };

/* One way down a set of tables. */
struct descent {
    bool host;         /* the nested tables */
    bool nx;           /* NX is a right, not a reserved bit */
    bool giant;        /* 1 GiB pages exist */
    uint64_t reserved; /* address bits that must be zero */
    uint64_t cbit;

    uint64_t all, any; /* the entries' bits, and-ed and or-ed */
    uint64_t base;     /* of the page found */
    unsigned shift;    /* log2 of its size */
    unsigned n;        /* entries that have an A bit */
    bool can_mark;     /* the entry that was located can be written */
    unsigned entry_size;
    uint64_t at[4], entry[4]; /* system-physical addresses, contents */
    uint64_t gpa[4];          /* the guest's tables: where it has them */
    uint8_t fixed;            /* bit per entry: the reverse map table lets nobody set A or D */
    dram_key key;
};

/* Bits that no address may have: above the physical width, which memory encryption reduces (CPUID
 * 8000001F EBX[11:6]). */
static uint64_t beyond_physical(const struct cpu *c)
{
    const struct chip *chip = soc_chip(c->soc);
    unsigned bits = chip->pa_bits;

    if (c->host_syscfg & SYSCFG_MEM_CRYPT)
        bits -= chip->pa_reduction;
    return BIT(52) - BIT(bits);
}

static dram_key table_key(const struct cpu *c)
{
    return c->sev ? c->key : DRAM_PLAIN;
}

/* ---- 64-bit tables ---- */
static const struct reach walk_reach = {.acc = ACCESS_WRITE, .where = NPF_WALK, .private = true};

static bool nested(struct cpu *c, struct walk_cache *cache, uint64_t gpa, const struct reach *r,
                   struct nested_page *np, struct walk_fault *f);

static uint64_t read_entry(const struct cpu *c, uint64_t spa, dram_key key, unsigned size)
{
    uint64_t e = 0;

    if (!dram_read(c->dram, spa, key, &e, size))
        e = size == 8 ? UINT64_MAX : UINT32_MAX; /* nobody answers: the bus floats high */
    return e;
}

/* Where a table entry of the walk lies; WALKED when it can be read. */
static enum outcome locate(struct cpu *c, struct walk_cache *cache, struct descent *d, uint64_t at,
                           uint64_t *spa, struct walk_fault *f)
{
    struct nested_page np;

    *spa = at;
    d->can_mark = true;
    if (d->host)
        return rmp_host_page(c->rmp, at) ? WALKED : REFUSED;
    if (!c->nested_cr3)
        return WALKED;
    if (!nested(c, cache, at, &walk_reach, &np, f))
        return NESTED_FAULT;
    *spa = np.spa | (at & FRAME_MASK);
    d->can_mark = rmp_rights(c, &np, true, false) & CAN(ACCESS_WRITE);
    return WALKED;
}

static void note_entry(struct descent *d, uint64_t gpa, uint64_t spa, uint64_t e)
{
    d->all &= e;
    d->any |= e;
    d->at[d->n] = spa;
    d->gpa[d->n] = gpa;
    if (!d->can_mark)
        d->fixed |= (uint8_t)(1u << d->n);
    d->entry[d->n++] = e;
}

static uint64_t must_be_zero(const struct cpu *c, const struct descent *d, unsigned level,
                             bool pdpte, bool large)
{
    uint64_t bits = d->reserved;

    if (!d->nx)
        bits |= PTE_NX;
    if (!d->host && !long_mode(c)) /* legacy PAE has no available bits up there (APM2 5.2.3) */
        bits |= BIT(63) - BIT(52);
    if (pdpte)
        bits |= PDPTE_ZERO;
    else if (level == 3 || (level == 2 && !d->giant))
        bits |= PTE_PS;
    if (large && !(bits & PTE_PS)) /* PAT at bit 12, then zeros up to the page's base */
        bits |= BIT(12 + 9 * level) - BIT(13);
    return bits & ~d->cbit;
}

static enum outcome descend(struct cpu *c, struct walk_cache *cache, struct descent *d,
                            uint64_t root, uint64_t address, unsigned levels, struct walk_fault *f)
{
    uint64_t table = root, at, spa, e;

    d->all = UINT64_MAX;
    d->any = d->n = 0;
    d->entry_size = 8;
    for (unsigned level = levels;; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        bool pdpte = levels == 3 && level == 3, large;
        enum outcome found;

        at = table + (address >> shift & 511) * 8;
        found = locate(c, cache, d, at, &spa, f);
        if (found != WALKED)
            return found;
        e = read_entry(c, spa, d->key, 8);
        if (!(e & PTE_P))
            return ABSENT;
        large = e & PTE_PS && level > 1;
        if (e & must_be_zero(c, d, level - 1, pdpte, large))
            return RESERVED;
        table = e & ADDRESS_BITS & ~d->cbit;
        if (!pdpte)
            note_entry(d, at, spa, e);
        if (level == 1 || large) {
            d->shift = shift;
            d->base = table & ~(BIT(shift) - 1);
            return WALKED;
        }
    }
}

/* Two levels of 32-bit entries; 4 MiB pages with CR4.PSE, up to 40 bits of address (APM2 5.2.2). */
static enum outcome descend_32bit(struct cpu *c, struct walk_cache *cache, struct descent *d,
                                  uint64_t root, uint64_t address, struct walk_fault *f)
{
    uint64_t table = root, at, spa, e;

    d->all = UINT64_MAX;
    d->any = d->n = 0;
    d->entry_size = 4;
    for (unsigned shift = 22;; shift = 12) {
        at = table + (address >> shift & 1023) * 4;
        if (locate(c, cache, d, at, &spa, f) != WALKED)
            return NESTED_FAULT;
        e = read_entry(c, spa, d->key, 4);
        if (!(e & PTE_P))
            return ABSENT;
        note_entry(d, at, spa, e);
        d->shift = shift;
        d->base = table = e & UINT32_C(0xFFFFF000);
        if (shift == 12)
            return WALKED;
        if (e & PTE_PS && c->cr4 & CR4_PSE) {
            d->base = (e & UINT32_C(0xFFC00000)) | (e >> 13 & 0xFF) << 32;
            return e & BIT(21) ? RESERVED : WALKED;
        }
    }
}

/* A in every entry, D in the last when written; only what is not set yet. Returns the first entry
 * that may not be written though it must, or d->n. */
static unsigned mark_used(struct cpu *c, struct descent *d, bool write)
{
    for (unsigned i = 0; i < d->n; i++) {
        uint64_t e = d->entry[i] | PTE_A;

        if (write && i == d->n - 1)
            e |= PTE_D;
        if (e == d->entry[i])
            continue;
        if (UNLIKELY(d->fixed >> i & 1))
            return i;
        d->entry[i] = e;
        if (!dram_write(c->dram, d->at[i], d->key, &e, d->entry_size))
            warn("page table entry at %#llx is outside DRAM", (unsigned long long)d->at[i]);
    }
    return d->n;
}

static bool is_dirty(const struct descent *d)
{
    return d->entry[d->n - 1] & PTE_D;
}

/* ---- nested paging (APM2 15.25) ---- */
static uint8_t nested_rights(const struct descent *d)
{
    uint8_t rights = 0;

    if (!(d->all & PTE_U)) /* every nested access is a user's */
        return 0;
    rights = CAN(ACCESS_READ);
    if (d->all & PTE_W)
        rights |= CAN(ACCESS_WRITE);
    if (!(d->any & PTE_NX))
        rights |= CAN(ACCESS_FETCH);
    return rights;
}

uint64_t npf_info(const struct cpu *c, const struct reach *r, uint64_t why)
{
    uint64_t info = why | r->where | NPF_USER;

    if (r->acc == ACCESS_WRITE)
        info |= NPF_WRITE;
    if (r->acc == ACCESS_FETCH)
        info |= NPF_FETCH;
    if (c->snp && r->private)
        info |= NPF_ENC;
    return info;
}

static bool walk_nested(struct cpu *c, struct walk_cache *cache, uint64_t gpa,
                        const struct reach *r, struct nested_page *np, struct walk_fault *f)
{
    static const uint64_t why_not[] = {[WALKED] = NPF_PRESENT,
                                       [ABSENT] = 0,
                                       [RESERVED] = NPF_PRESENT | NPF_RSVD,
                                       [REFUSED] = NPF_PRESENT | NPF_RMP};
    struct descent d = {.host = true,
                        .nx = c->host_efer & EFER_NXE,
                        .giant = true,
                        .reserved = beyond_physical(c),
                        .key = DRAM_PLAIN};
    enum outcome why = ABSENT;

    if (!(gpa >> 48))
        why = descend(c, cache, &d, c->nested_cr3 & ADDRESS_BITS, gpa, 4, f);
    if (why != WALKED || !(nested_rights(&d) & CAN(r->acc))) {
        *f = (struct walk_fault){WALK_NPF, npf_info(c, r, why_not[why]), gpa};
        return false;
    }
    (void)mark_used(c, &d, r->acc == ACCESS_WRITE);
    np->tag = (gpa & ~(uint64_t)FRAME_MASK) | 1;
    np->spa = d.base + (gpa & (BIT(d.shift) - 1) & ~(uint64_t)FRAME_MASK);
    np->shift = (uint8_t)d.shift;
    np->rights = nested_rights(&d);
    if (!is_dirty(&d))
        np->rights &= (uint8_t)~CAN(ACCESS_WRITE);
    rmp_judge(c, c->rmp, gpa, np);
    cache->nested[(gpa >> 12) % NESTED_PAGES] = *np;
    return true;
}

/* A right that the cache does not show is asked of the tables. */
static bool nested(struct cpu *c, struct walk_cache *cache, uint64_t gpa, const struct reach *r,
                   struct nested_page *np, struct walk_fault *f)
{
    const struct nested_page *slot = &cache->nested[(gpa >> 12) % NESTED_PAGES];

    if (LIKELY(slot->tag == ((gpa & ~(uint64_t)FRAME_MASK) | 1) && slot->rights & CAN(r->acc) &&
               rmp_allows(c, slot, r))) {
        *np = *slot;
        return true;
    }
    if (!walk_nested(c, cache, gpa, r, np, f))
        return false;
    if (LIKELY(rmp_allows(c, np, r)))
        return true;
    rmp_refuse(c, c->rmp, gpa, np, r, f);
    return false;
}

/* ---- the guest's tables ---- */
static uint8_t guest_rights(const struct cpu *c, const struct descent *d, enum view view)
{
    bool user_page = d->all & PTE_U, writable = d->all & PTE_W, nx = d->any & PTE_NX;
    uint8_t rights = 0;

    if (view >= VIEW_USER) {
        if (!user_page)
            return 0;
        rights = CAN(ACCESS_READ);
        if (writable)
            rights |= CAN(ACCESS_WRITE);
        return nx ? rights : rights | CAN(ACCESS_FETCH);
    }
    if (!(user_page && view == VIEW_SMAP)) {
        rights = CAN(ACCESS_READ);
        if (writable || !(c->cr0 & CR0_WP))
            rights |= CAN(ACCESS_WRITE);
    }
    if (!nx && !(user_page && c->cr4 & CR4_SMEP))
        rights |= CAN(ACCESS_FETCH);
    return rights;
}

static uint64_t pf_error(const struct cpu *c, enum access acc, enum view view, enum outcome why)
{
    bool tells_fetch = (c->cr4 & CR4_PAE && c->efer & EFER_NXE) || c->cr4 & CR4_SMEP;
    uint64_t error = 0;

    if (why != ABSENT)
        error |= PF_P;
    if (why == RESERVED)
        error |= PF_RSVD;
    if (acc == ACCESS_WRITE)
        error |= PF_W;
    if (view >= VIEW_USER)
        error |= PF_U;
    if (acc == ACCESS_FETCH && tells_fetch)
        error |= PF_ID;
    return error;
}

static enum outcome descend_guest(struct cpu *c, struct walk_cache *cache, struct descent *d,
                                  uint64_t la, struct walk_fault *f)
{
    uint64_t cr3 = c->cr3 & ~c->cbit;

    if (long_mode(c))
        return descend(c, cache, d, cr3 & ADDRESS_BITS, la & (BIT(48) - 1), 4, f);
    if (c->cr4 & CR4_PAE)
        return descend(c, cache, d, cr3 & UINT32_C(0xFFFFFFE0), (uint32_t)la, 3, f);
    return descend_32bit(c, cache, d, cr3 & UINT32_C(0xFFFFF000), (uint32_t)la, f);
}

/* ---- the way there, remembered ---- */
static struct directory *directory_slot(struct walk_cache *cache, uint64_t la)
{
    return &cache->directories[(la >> 21) % DIRECTORIES];
}

static uint64_t directory_tag(const struct walk_cache *cache, uint64_t la)
{
    return la >> 21 << 12 | cache->space;
}

/* Reads the last entry alone when the directories are known. Anything but WALKED proves nothing. */
static enum outcome short_cut(struct cpu *c, struct walk_cache *cache, struct descent *d,
                              uint64_t la)
{
    const struct directory *dir = directory_slot(cache, la);
    uint64_t e;

    if (dir->tag != directory_tag(cache, la) || dir->fixed)
        return ABSENT;
    d->at[0] = dir->table + (la >> 12 & 511) * 8;
    e = read_entry(c, d->at[0], d->key, 8);
    if (!(e & PTE_P) || e & must_be_zero(c, d, 0, false, false))
        return ABSENT;
    d->all = dir->all & e;
    d->any = dir->any | e;
    d->entry[0] = e;
    d->n = 1;
    d->entry_size = 8;
    d->shift = 12;
    d->base = e & ADDRESS_BITS & ~d->cbit;
    return WALKED;
}

static void remember_way(struct walk_cache *cache, const struct descent *d, uint64_t la)
{
    if (d->n == 4)
        *directory_slot(cache, la) =
            (struct directory){.tag = directory_tag(cache, la),
                               .table = d->at[3] & ~(uint64_t)FRAME_MASK,
                               .all = d->entry[0] & d->entry[1] & d->entry[2],
                               .any = d->entry[0] | d->entry[1] | d->entry[2],
                               .fixed = d->fixed >> 3 & 1};
}

/* SEV_FEATURES: no C-bit, memory below VIRTUAL_TOM is private (APM2 15.36.8). */
static bool has_vtom(const struct cpu *c)
{
    return c->sev_features & SEV_FEATURE_VTOM;
}

/* As the last entry's C-bit says; always under tables that have none. */
static bool data_is_private(const struct cpu *c, uint64_t entry, uint64_t gpa)
{
    if (!c->sev || !(c->cr4 & CR4_PAE))
        return c->sev;
    return has_vtom(c) ? gpa < c->virtual_tom : entry & c->cbit;
}

/* Setting A and D is a write of a 4 KiB page, which a VMPL may be without (APM2 15.36.7). */
static bool use_tables(struct cpu *c, struct walk_cache *cache, struct descent *d, bool write,
                       struct walk_fault *f)
{
    unsigned i = mark_used(c, d, write);
    struct nested_page np;

    if (LIKELY(i == d->n))
        return true;
    if (nested(c, cache, d->gpa[i], &walk_reach, &np, f))
        rmp_refuse(c, c->rmp, d->gpa[i], &np, &walk_reach, f);
    return false;
}

/* Fills `p` but for spa's nested half; *gpa is the page's. */
static bool walk_guest(struct cpu *c, struct walk_cache *cache, uint64_t la, enum access acc,
                       enum view view, struct page *p, uint64_t *gpa, struct walk_fault *f)
{
    struct descent d = {.nx = c->efer & EFER_NXE,
                        .giant = has(c, FEAT_PAGE1GB),
                        .reserved = beyond_physical(c),
                        .cbit = c->sev && !has_vtom(c) ? c->cbit : 0,
                        .key = table_key(c)};
    enum outcome why = short_cut(c, cache, &d, la);

    if (why != WALKED || !(guest_rights(c, &d, view) & CAN(acc)))
        why = descend_guest(c, cache, &d, la, f);
    if (why == NESTED_FAULT)
        return false;
    if (why != WALKED || !(guest_rights(c, &d, view) & CAN(acc))) {
        *f = (struct walk_fault){WALK_PF, pf_error(c, acc, view, why), la};
        return false;
    }
    if (!use_tables(c, cache, &d, acc == ACCESS_WRITE, f))
        return false;
    remember_way(cache, &d, la);
    p->shift = (uint8_t)d.shift;
    p->rights = guest_rights(c, &d, view);
    if (!is_dirty(&d))
        p->rights &= (uint8_t)~CAN(ACCESS_WRITE);
    *gpa = d.base + (la & (BIT(d.shift) - 1) & ~(uint64_t)FRAME_MASK);
    if (!data_is_private(c, d.entry[d.n - 1], *gpa))
        p->key = DRAM_PLAIN;
    return true;
}

static bool to_guest_physical(struct cpu *c, struct walk_cache *cache, uint64_t la, enum access acc,
                              enum view view, struct page *p, uint64_t *gpa, struct walk_fault *f)
{
    *gpa = PAGE_OF(la);
    p->key = table_key(c);
    p->rights = CAN(ACCESS_READ) | CAN(ACCESS_WRITE) | CAN(ACCESS_FETCH);
    p->shift = FRAME_SHIFT;
    if (c->cr0 & CR0_PG && !walk_guest(c, cache, la, acc, view, p, gpa, f)) {
        if (f->kind == WALK_VC)
            f->address = la;
        return false;
    }
    *gpa |= la & FRAME_MASK;
    return true;
}

bool mmu_walk(struct cpu *c, struct walk_cache *cache, uint64_t la, enum access acc, enum view view,
              struct page *p, struct walk_fault *f)
{
    struct reach r = {.acc = acc, .where = NPF_FINAL, .user = view >= VIEW_USER};
    struct nested_page np;
    uint64_t gpa;
    bool private;

    if (!to_guest_physical(c, cache, la, acc, view, p, &gpa, f))
        return false;
    p->spa = PAGE_OF(gpa);
    if (!c->nested_cr3)
        return true;
    private = p->key != DRAM_PLAIN;
    r.private = private || acc == ACCESS_FETCH;
    if (!nested(c, cache, gpa, &r, &np, f)) {
        if (f->kind == WALK_VC)
            f->address = la;
        return false;
    }
    p->spa = np.spa;
    p->rights &= np.rights & rmp_rights(c, &np, private, r.user);
    return true;
}

bool mmu_walk_private(struct cpu *c, struct walk_cache *cache, uint64_t la, enum view view,
                      uint64_t *gpa, struct nested_page *np, struct walk_fault *f)
{
    const struct reach r = {.acc = ACCESS_READ, .where = NPF_FINAL, .private = true};
    struct page p;

    if (!to_guest_physical(c, cache, la, ACCESS_READ, view, &p, gpa, f))
        return false;
    if (p.key == DRAM_PLAIN) {
        *f = (struct walk_fault){WALK_PF, PF_P | PF_RSVD, la};
        return false;
    }
    return walk_nested(c, cache, *gpa, &r, np, f);
}

uint64_t cr3_reserved(const struct cpu *c)
{
    if (!long_mode(c))
        return 0;
    return (beyond_physical(c) & ~(c->sev ? c->cbit : 0)) | ~(BIT(52) - 1);
}

bool pdptes_legal(const struct cpu *c, uint64_t cr3)
{
    uint64_t zero = beyond_physical(c) | PDPTE_ZERO | (BIT(63) - BIT(52));

    for (unsigned i = 0; i < 4; i++) {
        uint64_t e = read_entry(c, (cr3 & UINT32_C(0xFFFFFFE0)) + 8 * i, DRAM_PLAIN, 8);

        if (e & PTE_P && e & zero)
            return false;
    }
    return true;
}
