/* The MMU: translations and who keeps them.
 *
 * Two arrays. `pages` (here) is the TLB of the architecture: linear page and context to system-
 * physical page, key and rights. cpu.tlb keeps host pointers to a part of them, for accesses that
 * need nothing but the bytes: no data breakpoint on the page, no alignment check, no decoded code
 * where a write goes, and DRAM that is not eager.
 *
 * Contexts. A tag holds the linear page and a 12-bit context number, so that a number nobody uses
 * any more is a flush that costs nothing. An address space (guest, nested root, CR3 with its PCID,
 * and the mode bits that a walk looks at) owns VIEWS numbers in a row, one per enum view. A flush
 * gives it new ones; when they run out both arrays are wiped and counting starts again. Global
 * pages are walked again after a switch: a TLB may always forget.
 */
#include "silicon/cpu/mmu.h"

#include <stdlib.h>

#include "silicon/cpu/block.h"
#include "silicon/cpu/probe.h"
#include "silicon/vmsa.h"

#define CONTEXTS  4096u
#define PAGES     TLB_ENTRIES
#define NO_PCID   (BIT(63))
#define PCID_MASK UINT64_C(0xFFF)

/* Mode bits that change what a walk finds. Those of CR0 and of CR4 and EFER do not overlap. */
#define CR0_WALK  (CR0_PG | CR0_WP)
#define CR4_WALK  (CR4_PSE | CR4_PAE | CR4_SMEP)
#define EFER_WALK (EFER_NXE | EFER_LMA)

struct space {
    uint64_t first; /* of VIEWS context numbers; 0: free */
    uint64_t used;  /* when: to know the oldest */
    uint64_t cr3, nested_cr3, mode;
    uint32_t asid;
    dram_key key;
};

struct stale {
    uint64_t spa;
    unsigned shift;
};
#define STALE 8u

struct mmu_state {
    struct space spaces[TLB_SPACES], *now;
    uint64_t next; /* unused context numbers begin here */
    uint64_t clock;
    struct page pages[PAGES];

    /* Larger pages than 4 KiB are kept piecewise. INVLPG must find the pieces: by these filters of
     * where such pages have been (a bit per hash of the 2 MiB or 1 GiB region), then by a search.
     */
    uint64_t large_at[8], giant_at;

    uint64_t watched[5]; /* DR0..3 and DR7 at the last VMRUN */

    struct walk_cache walks;
    uint64_t nested_cr3; /* whose nested translations they are */
    uint32_t nested_asid;
    uint8_t nested_level;
    uint64_t vmsa; /* that the core ran on last */
    uint64_t top;  /* VIRTUAL_TOM, likewise */

    /* Pages that the reverse map table took away while no guest ran here. */
    struct stale stale[STALE];
    unsigned stales; /* more than STALE: everything */
};

enum status mmu_init(struct cpu *c, struct error *err)
{
    c->mmu = calloc(1, sizeof(*c->mmu));
    if (!c->mmu)
        return fail(err, ERR_NOMEM, "no memory for a core's translations");
    c->mmu->next = VIEWS;
    mmu_context(c);
    return OK;
}

void mmu_free(struct cpu *c)
{
    free(c->mmu);
    c->mmu = NULL;
}

/* ---- address spaces and contexts ---- */
static void wipe(struct cpu *c)
{
    struct mmu_state *m = c->mmu;

    memset(c->tlb, 0, sizeof(c->tlb));
    memset(m->pages, 0, sizeof(m->pages));
    memset(m->spaces, 0, sizeof(m->spaces));
    memset(m->large_at, 0, sizeof(m->large_at));
    memset(m->walks.directories, 0, sizeof(m->walks.directories));
    m->giant_at = 0;
    m->next = VIEWS;
    if (c->jumps)
        blocks_drop_lookups(c);
}

/* Who asks the reverse map table. */
static uint8_t level_of(const struct cpu *c)
{
    return c->snp ? (uint8_t)(1 + c->vmpl) : 0;
}

static uint64_t mode_of(const struct cpu *c)
{
    uint64_t who = level_of(c) | (c->sev_features & SEV_FEATURE_VTOM) << 3;

    return who | (c->cr0 & CR0_WALK) | ((c->cr4 & CR4_WALK) | (c->efer & EFER_WALK)) << 32;
}

static uint32_t asid_of(const struct cpu *c)
{
    return c->guest ? c->vmcb.asid : 0;
}

static bool is_current(const struct cpu *c, const struct space *s)
{
    return s->first && s->cr3 == c->cr3 && s->mode == mode_of(c) &&
           s->nested_cr3 == c->nested_cr3 && s->asid == asid_of(c) && s->key == c->key;
}

static void forget_other_guest(struct cpu *c)
{
    struct mmu_state *m = c->mmu;

    if (m->nested_cr3 == c->nested_cr3 && m->nested_asid == asid_of(c) &&
        m->nested_level == level_of(c))
        return;
    memset(m->walks.nested, 0, sizeof(m->walks.nested));
    m->nested_cr3 = c->nested_cr3;
    m->nested_asid = asid_of(c);
    m->nested_level = level_of(c);
}

static struct space *oldest(struct mmu_state *m)
{
    struct space *s = m->spaces;

    for (unsigned i = 1; i < TLB_SPACES; i++)
        if (m->spaces[i].used < s->used)
            s = &m->spaces[i];
    return s;
}

static struct space *enter_space(struct cpu *c)
{
    struct mmu_state *m = c->mmu;
    struct space *s;

    forget_other_guest(c);
    for (unsigned i = 0; i < TLB_SPACES; i++) {
        if (is_current(c, &m->spaces[i])) {
            m->spaces[i].used = ++m->clock;
            return &m->spaces[i];
        }
    }
    if (m->next + VIEWS > CONTEXTS)
        wipe(c);
    s = oldest(m);
    *s = (struct space){.first = m->next,
                        .used = ++m->clock,
                        .cr3 = c->cr3,
                        .nested_cr3 = c->nested_cr3,
                        .mode = mode_of(c),
                        .asid = asid_of(c),
                        .key = c->key};
    m->next += VIEWS;
    return s;
}

static enum view view_of_code(const struct cpu *c)
{
    bool ac = c->rflags & RFLAGS_AC;

    if (c->cpl == 3)
        return ac && c->cr0 & CR0_AM ? VIEW_ALIGN : VIEW_USER;
    return c->cr4 & CR4_SMAP && !ac ? VIEW_SMAP : VIEW_SYSTEM;
}

/* Implicit accesses at CPL 3 never pass SMAP (APM2 5.6.2). */
static enum view view_of_system(const struct cpu *c)
{
    bool waived = c->rflags & RFLAGS_AC && c->cpl < 3;

    return c->cr4 & CR4_SMAP && !waived ? VIEW_SMAP : VIEW_SYSTEM;
}

void mmu_context(struct cpu *c)
{
    struct mmu_state *m = c->mmu;

    if (!m->now || !is_current(c, m->now))
        m->now = enter_space(c);
    m->walks.space = m->now->first;
    c->ctx = m->now->first + view_of_code(c);
}

/* Every space of the ASID that `cr3`'s PCID names (or of all PCIDs) gets new numbers. */
static void renew_spaces(struct cpu *c, bool all_pcids, uint64_t pcid)
{
    struct mmu_state *m = c->mmu;

    for (unsigned i = 0; i < TLB_SPACES; i++) {
        struct space *s = &m->spaces[i];

        if (s->asid == asid_of(c) && (all_pcids || (s->cr3 & PCID_MASK) == pcid))
            *s = (struct space){0};
    }
    m->now = NULL;
    mmu_context(c);
}

static void forget_all(struct cpu *c)
{
    struct mmu_state *m = c->mmu;

    memset(m->spaces, 0, sizeof(m->spaces));
    memset(m->walks.nested, 0, sizeof(m->walks.nested));
    m->now = NULL;
}

/* Every translation to the page, or to a page of the 2 MiB, and every way that may rest on one. */
static void drop_spa(struct cpu *c, uint64_t spa, unsigned shift)
{
    struct mmu_state *m = c->mmu;
    uint64_t frame = spa >> shift << (shift - FRAME_SHIFT);
    bool code = false;

    for (unsigned i = 0; i < PAGES; i++)
        if ((m->pages[i].spa ^ spa) >> shift == 0)
            m->pages[i].tag = 0;
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if ((c->tlb[i].spa ^ spa) >> shift == 0)
            c->tlb[i].rtag = c->tlb[i].wtag = 0;
    for (unsigned i = 0; i < NESTED_PAGES; i++)
        if ((m->walks.nested[i].spa ^ spa) >> shift == 0)
            m->walks.nested[i].tag = 0;
    memset(m->walks.directories, 0, sizeof(m->walks.directories));
    for (uint64_t i = 0; i < BIT(shift - FRAME_SHIFT) && !code; i++)
        code = blocks_on_frame(c, frame + i);
    if (code)
        blocks_drop_lookups(c);
}

/* A hypervisor swaps debug registers without a MOV DR: pages now watched must leave the TLB. */
static bool breakpoints_changed(struct cpu *c)
{
    uint64_t now[] = {c->dr[0], c->dr[1], c->dr[2], c->dr[3], c->dr[7]};
    uint64_t *last = c->mmu->watched;
    bool changed = now[4] & 0xFF && memcmp(last, now, sizeof(now)) != 0;

    memcpy(last, now, sizeof(now));
    return changed;
}

/* Before a guest's next instruction: what the reverse map table took away meanwhile, and the save
 * area that is now in use, where only its own core may write (APM2 15.36.12). */
static void drop_stale(struct cpu *c)
{
    struct mmu_state *m = c->mmu;

    if (m->stales > STALE)
        forget_all(c);
    else
        for (unsigned i = 0; i < m->stales; i++)
            drop_spa(c, m->stale[i].spa, m->stale[i].shift);
    m->stales = 0;
    if (c->snp && c->vmsa_spa != m->vmsa) {
        drop_spa(c, c->vmsa_spa, FRAME_SHIFT);
        m->vmsa = c->vmsa_spa;
    }
}

void mmu_drop_page(struct cpu *c, uint64_t spa, bool large)
{
    struct mmu_state *m = c->mmu;

    if (spa == RMP_EVERY_PAGE)
        m->stales = STALE + 1;
    else if (m->stales < STALE)
        m->stale[m->stales++] = (struct stale){spa, large ? 21 : FRAME_SHIFT};
    else
        m->stales = STALE + 1;
    if (c->guest)
        drop_stale(c);
    if (!m->now)
        mmu_context(c);
}

void mmu_world(struct cpu *c, uint64_t cr3)
{
    c->cr3 = cr3;
    drop_stale(c);
    mmu_context(c);
    if (breakpoints_changed(c) || c->virtual_tom != c->mmu->top)
        renew_spaces(c, true, 0);
    c->mmu->top = c->virtual_tom;
}

void mmu_set_cr3(struct cpu *c, uint64_t cr3)
{
    bool pcide = c->cr4 & CR4_PCIDE;

    c->cr3 = cr3 & ~NO_PCID;
    if (pcide && cr3 & NO_PCID)
        mmu_context(c);
    else if (pcide)
        renew_spaces(c, false, cr3 & PCID_MASK);
    else
        renew_spaces(c, true, 0);
}

void mmu_flush_all(struct cpu *c)
{
    forget_all(c);
    mmu_context(c);
}

void mmu_flush_asid(struct cpu *c, bool globals)
{
    (void)globals; /* none are kept */
    memset(c->mmu->walks.nested, 0, sizeof(c->mmu->walks.nested));
    renew_spaces(c, true, 0);
}

/* ---- single pages ---- */
static struct tlb_entry *tlb_slot(struct cpu *c, uint64_t la)
{
    return &c->tlb[(la >> 12) & (TLB_ENTRIES - 1)];
}

/* Views of one page do not meet in one slot: SMAP's two and the user's alternate often. */
static struct page *page_slot(struct cpu *c, uint64_t la, enum view view)
{
    return &c->mmu->pages[((la >> 12) ^ (uint64_t)view << 9) & (PAGES - 1)];
}

static uint64_t *large_filter(struct mmu_state *m, uint64_t la)
{
    return &m->large_at[la >> 27 & 7];
}

static void note_large(struct mmu_state *m, uint64_t la, unsigned shift)
{
    if (shift == 30)
        m->giant_at |= BIT(la >> 30 & 63);
    if (shift == 21)
        *large_filter(m, la) |= BIT(la >> 21 & 63);
    if (shift == 22)
        *large_filter(m, la) |= UINT64_C(3) << (la >> 21 & 62);
}

/* log2 of the largest page that may hold `la`, as far as the filters know. */
static unsigned perhaps_in(struct mmu_state *m, uint64_t la)
{
    if (m->giant_at >> (la >> 30 & 63) & 1)
        return 30;
    if (*large_filter(m, la) >> (la >> 21 & 63) & 1)
        return 22;
    return FRAME_SHIFT;
}

static bool tag_within(uint64_t tag, uint64_t la, unsigned shift)
{
    return tag && (tag ^ la) >> shift == 0;
}

static void drop_region(struct cpu *c, uint64_t la, unsigned shift)
{
    for (unsigned i = 0; i < PAGES; i++)
        if (tag_within(c->mmu->pages[i].tag, la, shift))
            c->mmu->pages[i].tag = 0;
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (tag_within(c->tlb[i].rtag | c->tlb[i].wtag, la, shift))
            c->tlb[i].rtag = c->tlb[i].wtag = 0;
    blocks_drop_lookups(c);
}

void mmu_invlpg(struct cpu *c, uint64_t la)
{
    unsigned shift = perhaps_in(c->mmu, la);

    memset(c->mmu->walks.directories, 0, sizeof(c->mmu->walks.directories));
    if (shift != FRAME_SHIFT) {
        drop_region(c, la, shift);
        return;
    }
    tlb_slot(c, la)->rtag = tlb_slot(c, la)->wtag = 0;
    for (unsigned view = 0; view < VIEWS; view++)
        page_slot(c, la, view)->tag = 0;
    blocks_drop_page(c, la);
}

/* APM3 INVPCID: 0 a page of a PCID, 1 a PCID, 2 all with globals, 3 all without. */
void mmu_invpcid(struct cpu *c, const struct op *o, uint64_t type, uint64_t pcid, uint64_t la)
{
    if (type > 3)
        cpu_fault(c, o, EXC_GP, 0);
    if (type < 2 && (pcid & ~PCID_MASK || (pcid && !(c->cr4 & CR4_PCIDE))))
        cpu_fault(c, o, EXC_GP, 0);
    if (type == 0 && !canonical(la))
        cpu_fault(c, o, EXC_GP, 0);
    if (type == 0)
        mmu_invlpg(c, la);
    else
        renew_spaces(c, type != 1, pcid);
}

void mmu_drop_frame(struct cpu *c, uint64_t frame)
{
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        if (c->tlb[i].spa >> FRAME_SHIFT == frame)
            c->tlb[i].rtag = c->tlb[i].wtag = 0;
}

/* ---- breakpoints (APM2 13.1.1) ---- */
static unsigned debug_hits(const struct cpu *c, uint64_t at, unsigned len, unsigned kinds)
{
    unsigned hits = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = c->dr[7] >> (16 + 4 * i) & 3, code = c->dr[7] >> (18 + 4 * i) & 3;
        uint64_t size = code == 2 ? 8 : code + 1;
        uint64_t from = c->dr[i] & ~(size - 1);

        if (!(c->dr[7] >> (2 * i) & 3) || !(kinds >> kind & 1))
            continue;
        if (at + len > from && at < from + size)
            hits |= 1u << i;
    }
    return hits;
}

#define ON_FETCH (1u << 0)
#define ON_WRITE (1u << 1)
#define ON_IO    (1u << 2)
#define ON_DATA  (1u << 3)

unsigned debug_match(const struct cpu *c, uint64_t la, unsigned len, enum access acc)
{
    static const unsigned kinds[] = {ON_DATA, ON_WRITE | ON_DATA, ON_FETCH};

    return debug_hits(c, la, len, kinds[acc]);
}

unsigned debug_match_io(const struct cpu *c, uint16_t port, unsigned len)
{
    return c->cr4 & CR4_DE ? debug_hits(c, port, len, ON_IO) : 0;
}

static bool page_is_watched(const struct cpu *c, uint64_t la)
{
    if (UNLIKELY(c->dr[7] & 0xFF) && debug_hits(c, PAGE_OF(la), FRAME_SIZE, ON_WRITE | ON_DATA))
        return true;
    return probe_on_data(c, PAGE_OF(la), FRAME_SIZE, ACCESS_WRITE);
}

static void watch_data(struct cpu *c, uint64_t la, unsigned len, enum access acc)
{
    unsigned hits = UNLIKELY(c->dr[7] & 0xFF) ? debug_match(c, la, len, acc) : 0;

    if (hits)
        debug_due(c, hits);
    probe_note_data(c, la, len, acc);
}

/* ---- faults ---- */
/* Decode assists (APM2 15.8.4): the bytes at the instruction, as far as they can be fetched. */
static void note_instruction(struct cpu *c, const struct op *o)
{
    enum view view = c->cpl == 3 ? VIEW_USER : VIEW_SYSTEM;
    dram_key key = c->sev ? c->key : DRAM_PLAIN;
    unsigned have = 0, max = sizeof(c->vmcb.insn_bytes);
    struct walk_fault f;
    struct page p;

    while (o && have < max) {
        uint64_t la = code_linear(c, op_rip(c, o) + have);
        unsigned n = MIN(max - have, FRAME_SIZE - (unsigned)(la & FRAME_MASK));

        if (!mmu_walk(c, &c->mmu->walks, la, ACCESS_FETCH, view, &p, &f) ||
            !dram_read(c->dram, p.spa | (la & FRAME_MASK), key, c->vmcb.insn_bytes + have, n))
            break;
        have += n;
    }
    c->vmcb.insn_len = (uint8_t)have;
}

static _Noreturn void walk_failed(struct cpu *c, const struct op *o, enum access acc,
                                  const struct walk_fault *f)
{
    bool tells = f->kind == WALK_NPF || (c->guest && c->vmcb.intercept_exception & BIT(EXC_PF));

    if (f->kind == WALK_VC) {
        c->cr2 = f->address;
        cpu_vc(c, o, f->info);
    }
    if (tells && acc != ACCESS_FETCH && !c->es)
        note_instruction(c, o);
    if (f->kind == WALK_NPF)
        cpu_exit(c, o, VMEXIT_NPF, f->info, f->address);
    cpu_page_fault(c, o, f->address, (uint32_t)f->info);
}

/* Whether the operand at `la` is on the stack: #SS, not #GP, when it is not canonical. */
static bool on_stack(const struct cpu *c, const struct op *o, uint64_t la)
{
    if (!o)
        return false;
    if (o->flags & OP_MEM &&
        (!(insn_rows[o->form].rules & STACK) || la == c->seg[o->seg].base + ea_offset(c, o)))
        return o->seg == SS || (o->seg == FLAT && (o->base == RSP || o->base == RBP));
    return insn_rows[o->form].rules & STACK;
}

static void check_address(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    if (UNLIKELY(!canonical(la) || !canonical(la + size - 1)))
        cpu_fault(c, o, on_stack(c, o, la) ? EXC_SS : EXC_GP, 0);
}

/* Far pointers and 80-bit operands align on their larger part (APM2 8.2.18). */
static void check_alignment(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    unsigned align = MIN(16u, 1u << (31 - __builtin_clz(size)));

    if (la & (align - 1))
        cpu_fault(c, o, EXC_AC, 0);
}

/* ---- translation ---- */
static struct page translate(struct cpu *c, const struct op *o, uint64_t la, enum access acc,
                             enum view view)
{
    struct page *p = page_slot(c, la, view), found;
    uint64_t tag = PAGE_OF(la) | (c->mmu->now->first + view);
    struct walk_fault f;

    if (LIKELY(p->tag == tag && p->rights & CAN(acc)))
        return *p;
    if (!mmu_walk(c, &c->mmu->walks, la, acc, view, &found, &f))
        walk_failed(c, o, acc, &f);
    found.tag = tag;
    if (found.shift != FRAME_SHIFT)
        note_large(c->mmu, la, found.shift);
    *p = found;
    return found;
}

void mmu_locate(struct cpu *c, const struct op *o, uint64_t la, uint64_t *gpa,
                struct nested_page *np)
{
    struct walk_fault f;

    if (!canonical(la))
        cpu_fault(c, o, EXC_GP, 0);
    if (!mmu_walk_private(c, &c->mmu->walks, la, view_of_system(c), gpa, np, &f))
        walk_failed(c, o, ACCESS_READ, &f);
}

/* The page's bytes, or NULL: eager DRAM, or outside it. */
static uint8_t *page_bytes(struct cpu *c, const struct page *p)
{
    return dram_touch(c->dram, p->spa >> FRAME_SHIFT, p->key);
}

/* Lets code that runs at this privilege go to the bytes directly. */
static void keep_pointer(struct cpu *c, uint64_t la, const struct page *p)
{
    struct tlb_entry *e = tlb_slot(c, la);
    uint64_t frame = p->spa >> FRAME_SHIFT, tag;
    uint8_t *bytes;

    if (page_is_watched(c, la) || !(bytes = page_bytes(c, p)))
        return;
    dram_mark(c->dram, frame, FRAME_CACHED);
    tag = PAGE_OF(la) | c->ctx; /* after page_bytes: a watcher may have flushed */
    e->rtag = p->rights & CAN(ACCESS_READ) ? tag : 0;
    e->wtag = p->rights & CAN(ACCESS_WRITE) && !dram_marked(c->dram, frame, FRAME_CODE) ? tag : 0;
    e->addend = (uintptr_t)bytes - (uintptr_t)PAGE_OF(la);
    e->spa = PAGE_OF(p->spa);
}

static struct page translate_data(struct cpu *c, const struct op *o, uint64_t la, enum access acc)
{
    enum view view = view_of_code(c);
    struct page p = translate(c, o, la, acc, MIN(view, VIEW_USER));

    if (view != VIEW_ALIGN)
        keep_pointer(c, la, &p);
    return p;
}

static void read_page(struct cpu *c, const struct page *p, uint64_t la, void *to, unsigned len)
{
    const uint8_t *bytes = page_bytes(c, p);

    if (LIKELY(bytes != NULL))
        memcpy(to, bytes + (la & FRAME_MASK), len);
    else if (!dram_read(c->dram, p->spa | (la & FRAME_MASK), p->key, to, len))
        memset(to, 0xFF, len); /* nobody answers */
}

/* Outside DRAM a write is lost. Eager DRAM tells its watcher of code by itself. */
static void write_page(struct cpu *c, const struct page *p, uint64_t la, const void *from,
                       unsigned len)
{
    uint64_t frame = p->spa >> FRAME_SHIFT;
    uint8_t *bytes = page_bytes(c, p);

    if (!bytes) {
        (void)!dram_write(c->dram, p->spa | (la & FRAME_MASK), p->key, from, len);
        return;
    }
    memcpy(bytes + (la & FRAME_MASK), from, len);
    if (UNLIKELY(dram_marked(c->dram, frame, FRAME_CODE)))
        blocks_written(c, frame, (unsigned)(la & FRAME_MASK), len);
}

/* ---- accesses: one or two pages ---- */
struct target {
    uint64_t la[2];
    unsigned len[2];
    struct page page[2];
};

static void split(const struct cpu *c, uint64_t la, unsigned size, struct target *t)
{
    unsigned room = FRAME_SIZE - (unsigned)(la & FRAME_MASK);

    t->la[0] = la;
    t->len[0] = MIN(size, room);
    t->la[1] = long64(c) ? la + t->len[0] : (uint32_t)(la + t->len[0]);
    t->len[1] = size - t->len[0];
}

/* Both pages are translated before either is touched. */
static void aim(struct cpu *c, const struct op *o, uint64_t la, unsigned size, enum access acc,
                struct target *t)
{
    check_address(c, o, la, size);
    if (UNLIKELY(view_of_code(c) == VIEW_ALIGN))
        check_alignment(c, o, la, size);
    split(c, la, size, t);
    t->page[0] = translate_data(c, o, t->la[0], acc);
    if (t->len[1])
        t->page[1] = translate_data(c, o, t->la[1], acc);
}

static void aim_as(struct cpu *c, const struct op *o, enum view view, uint64_t la, unsigned size,
                   enum access acc, struct target *t)
{
    if (!canonical(la) || !canonical(la + size - 1))
        cpu_fault(c, o, EXC_GP, 0);
    split(c, la, size, t);
    t->page[0] = translate(c, o, t->la[0], acc, view);
    if (t->len[1])
        t->page[1] = translate(c, o, t->la[1], acc, view);
}

static void fetch_target(struct cpu *c, const struct target *t, void *to)
{
    read_page(c, &t->page[0], t->la[0], to, t->len[0]);
    if (t->len[1])
        read_page(c, &t->page[1], t->la[1], (uint8_t *)to + t->len[0], t->len[1]);
}

static void store_target(struct cpu *c, const struct target *t, const void *from)
{
    write_page(c, &t->page[0], t->la[0], from, t->len[0]);
    if (t->len[1])
        write_page(c, &t->page[1], t->la[1], (const uint8_t *)from + t->len[0], t->len[1]);
}

void mmu_load(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    struct target t;

    aim(c, o, la, size, ACCESS_READ, &t);
    fetch_target(c, &t, to);
    watch_data(c, la, size, ACCESS_READ);
}

void mmu_load_rw(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    struct target t;

    aim(c, o, la, size, ACCESS_WRITE, &t);
    fetch_target(c, &t, to);
    watch_data(c, la, size, ACCESS_READ);
}

void mmu_store(struct cpu *c, const struct op *o, uint64_t la, const void *from, unsigned size)
{
    struct target t;

    aim(c, o, la, size, ACCESS_WRITE, &t);
    store_target(c, &t, from);
    watch_data(c, la, size, ACCESS_WRITE);
}

void mmu_probe_write(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    struct target t;

    aim(c, o, la, size, ACCESS_WRITE, &t);
}

void mmu_load_sys(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    struct target t;

    aim_as(c, o, view_of_system(c), la, size, ACCESS_READ, &t);
    fetch_target(c, &t, to);
}

void mmu_store_sys(struct cpu *c, const struct op *o, uint64_t la, const void *from, unsigned size)
{
    struct target t;

    aim_as(c, o, view_of_system(c), la, size, ACCESS_WRITE, &t);
    store_target(c, &t, from);
}

void mmu_store_as(struct cpu *c, const struct op *o, unsigned cpl, uint64_t la, const void *from,
                  unsigned size)
{
    struct target t;

    aim_as(c, o, cpl == 3 ? VIEW_USER : view_of_system(c), la, size, ACCESS_WRITE, &t);
    store_target(c, &t, from);
}

uint8_t *mmu_span(struct cpu *c, const struct op *o, uint64_t la, unsigned len, enum access acc)
{
    struct page p;
    uint8_t *bytes;

    check_address(c, o, la, len);
    if (view_of_code(c) == VIEW_ALIGN || page_is_watched(c, la))
        return NULL;
    p = translate_data(c, o, la, acc);
    if (acc == ACCESS_WRITE && dram_marked(c->dram, p.spa >> FRAME_SHIFT, FRAME_CODE))
        return NULL;
    bytes = page_bytes(c, &p);
    return bytes ? bytes + (la & FRAME_MASK) : NULL;
}

struct code_page mmu_fetch(struct cpu *c, uint64_t la)
{
    struct page p;

    if (!canonical(la))
        cpu_fault(c, NULL, EXC_GP, 0);
    p = translate(c, NULL, la, ACCESS_FETCH, MIN(view_of_code(c), VIEW_USER));
    return (struct code_page){.frame = p.spa >> FRAME_SHIFT, .key = c->sev ? c->key : DRAM_PLAIN};
}
