/* The reverse map table's access rules, read from the manual a second time (APM2 15.36.10, tables
 * of RMP and VMPL checks) and written as a table. It shares nothing with src/silicon/rmp or the
 * MMU: entries are laid out here, bit by bit, and every combination of requester, access, C-bit,
 * page sizes, nested rights, page state, owner, address, VMPL and permissions is tried on a core.
 * Both must agree on the outcome, on every bit of an error code, and again when it comes from the
 * TLB. */
#include "sys_rig.h"

#include <stdio.h>

RIG_END

/* ---- the scene ----------------------------------------------------------------------------- */
enum { PLAIN_GUEST = 1, SEV_GUEST = 2, SNP_GUEST = 4, ANY_GUEST = 7 };
/* WALK reads an entry of the guest's last table; MARK must set A or D there. */
enum { READ_ = 1, WRITE_ = 2, FETCH_ = 4, WALK_ = 8, MARK_ = 16 };
enum nested_rights { ABSENT, READ_ONLY, NO_EXECUTE, ALL_RIGHTS, NESTED_RIGHTS };

/* Page states as entries show them (SNP ABI, table of page states). */
static const struct state {
    const char *name;
    bool covered, assigned, validated, owned, immutable, vmsa, gpa;
} states[] = {
    {"DEFAULT", 0, 0, 0, 0, 0, 0, 0},     {"HYPERVISOR", 1, 0, 0, 0, 0, 0, 0},
    {"HV_FIXED", 1, 0, 0, 0, 1, 0, 0},    {"RECLAIM", 1, 1, 0, 0, 0, 0, 0},
    {"FIRMWARE", 1, 1, 0, 0, 1, 0, 0},    {"CONTEXT", 1, 1, 0, 0, 1, 1, 0},
    {"METADATA", 1, 1, 0, 0, 1, 0, 1},    {"PRE_GUEST", 1, 1, 0, 1, 1, 0, 1},
    {"PRE_SWAP", 1, 1, 1, 1, 1, 0, 1},    {"GUEST_INVALID", 1, 1, 0, 1, 0, 0, 1},
    {"GUEST_VALID", 1, 1, 1, 1, 0, 0, 1}, {"GUEST_VALID, VMSA", 1, 1, 1, 1, 0, 1, 1},
};
#define VALID 10u /* first of those whose permissions matter */

struct scene {
    unsigned who, deed;
    bool user, cbit;
    bool nested_2m, guest_2m; /* sizes that the tables map with */
    enum nested_rights nested;
    const struct state *state;
    bool entry_2m, right_asid, right_gpa;
    bool neighbour; /* another page of the 2 MiB is assigned */
    unsigned vmpl;
    uint8_t perms; /* of that VMPL; the others have what it lacks */
};

/* ---- the rules ----------------------------------------------------------------------------- */
enum check {
    END_OF_CHECKS,
    COVERED,
    GUEST_OWNED,
    REVERSE_MAP,
    MUTABLE,
    PAGE_SIZE,
    VALIDATED,
    VMPL_PERMISSION,
    HYPERVISOR_OWNED,
};

#define PRIVATE_CHECKS                                                                             \
    {                                                                                              \
        COVERED, GUEST_OWNED, REVERSE_MAP, MUTABLE, PAGE_SIZE, VALIDATED, VMPL_PERMISSION          \
    }

/* C-bits: 1 clear, 2 set. */
static const struct {
    unsigned who, deeds, cbits;
    enum check checks[8];
} rules[] = {
    {PLAIN_GUEST | SEV_GUEST, WRITE_ | WALK_ | MARK_, 3, {HYPERVISOR_OWNED}},
    {PLAIN_GUEST | SEV_GUEST, READ_ | FETCH_, 3, {END_OF_CHECKS}},
    {SNP_GUEST, FETCH_ | WALK_ | MARK_, 3, PRIVATE_CHECKS},
    {SNP_GUEST, WRITE_, 1, {HYPERVISOR_OWNED}},
    {SNP_GUEST, READ_ | WRITE_, 2, PRIVATE_CHECKS},
    {SNP_GUEST, READ_, 1, {END_OF_CHECKS}},
};

static bool vmpl_permits(const struct scene *s)
{
    bool r = s->perms & 1, w = s->perms & 2, xu = s->perms & 4, xs = s->perms & 8;

    switch (s->deed) {
    case READ_:
    case WALK_:
        return r;
    case WRITE_:
    case MARK_:
        return r && w; /* writing without reading is no permission */
    default:
        return s->user ? xu : xs;
    }
}

static bool passes(const struct scene *s, enum check check)
{
    const struct state *e = s->state;

    switch (check) {
    case COVERED:
        return e->covered;
    case GUEST_OWNED:
        return e->assigned && e->owned && s->right_asid;
    case REVERSE_MAP:
        return e->gpa && s->right_gpa;
    case MUTABLE:
        return !e->immutable;
    case PAGE_SIZE:
        return s->nested_2m == s->entry_2m;
    case VALIDATED:
        return e->validated;
    case VMPL_PERMISSION:
        return vmpl_permits(s);
    case HYPERVISOR_OWNED:
        return !e->covered || (!e->assigned && !(s->nested_2m && s->neighbour));
    default:
        return false;
    }
}

struct verdict {
    enum { ALLOWED, NPF, VC } what;
    uint64_t info1;
};

static uint64_t error_bits(const struct scene *s)
{
    bool walk = s->deed == WALK_ || s->deed == MARK_;
    uint64_t bits = 1u << 2; /* user, as every nested access is */

    if (walk || s->deed == WRITE_)
        bits |= 1u << 1;
    if (s->deed == FETCH_)
        bits |= 1u << 4;
    bits |= UINT64_C(1) << (walk ? 33 : 32);
    if (s->who == SNP_GUEST && (walk || s->deed == FETCH_ || s->cbit))
        bits |= UINT64_C(1) << 34;
    return bits;
}

static struct verdict predict(const struct scene *s)
{
    bool writes = s->deed == WRITE_ || s->deed == WALK_ || s->deed == MARK_;
    uint64_t bits = error_bits(s);

    if (s->nested == ABSENT)
        return (struct verdict){NPF, bits};
    if ((s->nested == READ_ONLY && writes) || (s->nested == NO_EXECUTE && s->deed == FETCH_))
        return (struct verdict){NPF, bits | 1};
    for (size_t i = 0; i < COUNT(rules); i++) {
        if (!(rules[i].who & s->who && rules[i].deeds & s->deed &&
              rules[i].cbits & (s->cbit ? 2u : 1u)))
            continue;
        for (const enum check *k = rules[i].checks; *k != END_OF_CHECKS; k++) {
            if (passes(s, *k))
                continue;
            if (*k == VALIDATED)
                return (struct verdict){VC, 0};
            return (struct verdict){NPF, bits | 1 | UINT64_C(1) << 31 |
                                             (*k == VMPL_PERMISSION ? UINT64_C(1) << 36 : 0)};
        }
        return (struct verdict){ALLOWED, 0};
    }
    fail_msg("no rule for requester %u, access %u", s->who, s->deed);
    return (struct verdict){0};
}

/* ---- the machine ---------------------------------------------------------------------------
 * Guest-physical 64 MiB is where the page in question lies, either at 128 MiB of DRAM or, where the
 * table does not reach, at 320 MiB. The guest's tables are at 32 MiB, which is 96 MiB of DRAM. */
#define BYTES     (UINT64_C(512) << 20)
#define RMP_AT    (UINT64_C(16) << 20)
#define NPML4     UINT64_C(0x100000)
#define NPDPT     UINT64_C(0x101000)
#define NPD       UINT64_C(0x102000)
#define NPT_TABLE UINT64_C(0x103000)
#define NPT_SPOT  UINT64_C(0x104000)
#define TABLE_GPA (UINT64_C(32) << 20)
#define TABLE_SPA (UINT64_C(96) << 20)
#define SPOT_GPA  (UINT64_C(64) << 20)
#define SPOT_SPA  (UINT64_C(128) << 20)
#define FAR_SPA   (UINT64_C(320) << 20)
#define PAGE_NO   5u /* of the 2 MiB */
#define OTHER_NO  9u
#define ASID      7u
#define CBIT      (UINT64_C(1) << 51)

#define PML4 (TABLE_GPA + 0x0000)
#define PDPT (TABLE_GPA + 0x1000)
#define PD   (TABLE_GPA + 0x2000)
#define PT   (TABLE_GPA + 0x3000)

#define P_  UINT64_C(0x01)
#define RW_ UINT64_C(0x02)
#define US  UINT64_C(0x04)
#define A_  UINT64_C(0x20)
#define D_  UINT64_C(0x40)
#define PS  UINT64_C(0x80)
#define NX  (UINT64_C(1) << 63)
#define ALL (P_ | RW_ | US | A_ | D_)

#define LA_4K    UINT64_C(0x400000) /* PD entry 2: the last table at PT */
#define LA_2M    UINT64_C(0x600000) /* PD entry 3 */
#define LA_SPOT  UINT64_C(0x800000) /* PD entry 4: the last table is the page in question */
#define LA_ALIAS UINT64_C(0xA00000) /* PD entry 5: LA_4K and LA_2M with the other C-bit */

static struct rig rig;
static dram_key key;
static uint64_t spot; /* 2 MiB of DRAM */

static void put_raw(uint64_t at, dram_key under, uint64_t v)
{
    assert_true(dram_write(rig.c->dram, at, under, &v, 8));
}

static uint64_t get_raw(uint64_t at, dram_key under)
{
    uint64_t v;

    assert_true(dram_read(rig.c->dram, at, under, &v, 8));
    return v;
}

/* An entry as Zen 3 and Zen 4 have it in memory. */
static void put_entry(uint64_t spa, uint64_t low, uint64_t high)
{
    uint64_t at = RMP_AT + 0x4000 + (spa >> 12) * 16;

    put_raw(at, DRAM_PLAIN, low);
    put_raw(at + 8, DRAM_PLAIN, high);
}

static dram_key guest_key(const struct scene *s)
{
    return s->who == PLAIN_GUEST ? DRAM_PLAIN : key;
}

static void put_table(const struct scene *s, uint64_t gpa, uint64_t v)
{
    put_raw(gpa - TABLE_GPA + TABLE_SPA, guest_key(s), v);
}

static void guest_tables(const struct scene *s)
{
    uint64_t c = s->who == PLAIN_GUEST ? 0 : CBIT, page = SPOT_GPA + PAGE_NO * 4096;

    put_table(s, PML4, PDPT | ALL);
    put_table(s, PDPT, PD | ALL);
    put_table(s, PD + 2 * 8, PT | ALL);
    put_table(s, PT, page | ALL | (s->cbit ? c : 0));
    put_table(s, PD + 3 * 8, SPOT_GPA | ALL | PS | (s->cbit ? c : 0));
    put_table(s, PD + 4 * 8, page | ALL);
    if (s->guest_2m) {
        put_table(s, PD + 5 * 8, SPOT_GPA | ALL | PS | (s->cbit ? 0 : c));
    } else {
        put_table(s, PD + 5 * 8, (PT + 0x1000) | ALL);
        put_table(s, PT + 0x1000, page | ALL | (s->cbit ? 0 : c));
    }
}

/* As a last table the page maps TABLE_GPA's first page, with or without A. */
static uint64_t last_entry(const struct scene *s)
{
    return (PML4 | ALL) & ~(s->deed == MARK_ ? A_ : 0);
}

static void nested_tables(const struct scene *s)
{
    static const uint64_t rights[] = {
        [ABSENT] = 0, [READ_ONLY] = ALL & ~RW_, [NO_EXECUTE] = ALL | NX, [ALL_RIGHTS] = ALL};
    uint64_t r = rights[s->nested];

    spot = s->state->covered ? SPOT_SPA : FAR_SPA;
    put_raw(NPD + (SPOT_GPA >> 21) * 8, DRAM_PLAIN, s->nested_2m ? spot | r | PS : NPT_SPOT | ALL);
    put_raw(NPT_SPOT + PAGE_NO * 8, DRAM_PLAIN, (spot + PAGE_NO * 4096) | r);
}

static void entries(const struct scene *s)
{
    const struct state *e = s->state;
    uint64_t gpa = s->entry_2m ? SPOT_GPA : SPOT_GPA + PAGE_NO * 4096, low, high;
    uint64_t page = SPOT_SPA + PAGE_NO * 4096, other = SPOT_SPA + OTHER_NO * 4096, count;

    if (!e->covered)
        return;
    if (!s->right_gpa)
        gpa += UINT64_C(2) << 20;
    low = e->assigned | (uint64_t)s->entry_2m << 1 | (uint64_t)e->immutable << 2 |
          (e->gpa ? gpa : 0) | (uint64_t)e->vmsa << 61 | (uint64_t)e->validated << 62;
    if (e->owned)
        low |= (uint64_t)(s->right_asid ? ASID : ASID + 1) << 51;
    high = UINT64_C(0x0F0F0F0F) ^ (UINT64_C(0x0F0F0F0F) * s->perms);
    high = (high & ~(UINT64_C(0xFF) << 8 * s->vmpl)) | (uint64_t)s->perms << 8 * s->vmpl;
    count = s->entry_2m ? 511 : e->assigned + s->neighbour;
    put_entry(SPOT_SPA, s->entry_2m ? low | count << 3 : count << 3, s->entry_2m ? high : 0);
    put_entry(page, s->entry_2m ? e->assigned : low, s->entry_2m ? 0 : high);
    put_entry(other, s->entry_2m ? e->assigned : s->neighbour, 0);
}

static void arrange(const struct scene *s)
{
    struct cpu *c = rig.c;

    c->sev = s->who != PLAIN_GUEST;
    c->es = c->snp = s->who == SNP_GUEST;
    c->key = guest_key(s);
    c->cbit = c->sev ? CBIT : 0;
    c->vmpl = (uint8_t)s->vmpl;
    guest_tables(s);
    nested_tables(s);
    entries(s);
    put_raw(spot + PAGE_NO * 4096, guest_key(s), last_entry(s));
    put_raw(spot + PAGE_NO * 4096 + 0x120, guest_key(s), 0);
    mmu_world(c, PML4);
    mode(&rig, s->user ? 3 : 0, true);
    mmu_flush_all(c);
}

/* ---- trying it ----------------------------------------------------------------------------- */
static uint64_t where(const struct scene *s, bool alias)
{
    if (s->deed == WALK_ || s->deed == MARK_)
        return LA_SPOT;
    return (alias         ? s->guest_2m ? LA_ALIAS + PAGE_NO * 4096 : LA_ALIAS
            : s->guest_2m ? LA_2M + PAGE_NO * 4096
                          : LA_4K) +
           0x123;
}

static void describe(const struct scene *s, char *text, size_t size)
{
    snprintf(
        text, size,
        "requester %u access %u user %d C %d guest 2M %d nested %s rights %d, %s %s ASID %s GPA "
        "%s neighbour %d VMPL%u perms %#x",
        s->who, s->deed, s->user, s->cbit, s->guest_2m, s->nested_2m ? "2M" : "4K", s->nested,
        s->state->name, s->entry_2m ? "2M" : "4K", s->right_asid ? "right" : "wrong",
        s->right_gpa ? "right" : "wrong", s->neighbour, s->vmpl, s->perms);
}

static bool agrees(const struct scene *s, uint64_t la, const struct verdict *v,
                   const struct outcome *out)
{
    bool walk = s->deed == WALK_ || s->deed == MARK_;
    uint64_t gpa = SPOT_GPA + PAGE_NO * 4096 + (walk ? 0 : 0x123);

    switch (v->what) {
    case ALLOWED:
        return out->how == DONE;
    case VC:
        return out->how == FAULT && out->vec == EXC_VC && out->error == 0x404 && rig.c->cr2 == la;
    default:
        return out->how == EXIT && out->code == VMEXIT_NPF && out->info1 == v->info1 &&
               out->info2 == gpa;
    }
}

static void attempt_scene(const struct scene *s, bool alias, const char *when)
{
    const enum access acc = s->deed == WRITE_   ? ACCESS_WRITE
                            : s->deed == FETCH_ ? ACCESS_FETCH
                                                : ACCESS_READ;
    struct verdict v = predict(s);
    uint64_t la = where(s, alias);
    struct outcome out;
    char text[256];

    rig.c->cr2 = 0;
    out = try_access(&rig, la, acc);
    if (agrees(s, la, &v, &out))
        return;
    describe(s, text, sizeof(text));
    fail_msg("%s, %s: want %d %#llx; outcome %d, vector %d error %#x, EXITINFO1 %#llx 2 %#llx",
             text, when, v.what, (unsigned long long)v.info1, out.how, out.vec, out.error,
             (unsigned long long)out.info1, (unsigned long long)out.info2);
}

static unsigned long tried;

/* Refused accesses leave memory alone: the byte that a write would make, the A that a walk would.
 */
static void check_memory(const struct scene *s)
{
    uint64_t now = get_raw(spot + PAGE_NO * 4096, guest_key(s));
    uint64_t want = last_entry(s);

    if (s->deed == MARK_ && predict(s).what == ALLOWED)
        want |= A_;
    assert_int_equal(now, want);
    if (s->deed != WRITE_ || predict(s).what != ALLOWED)
        assert_int_equal(get_raw(spot + PAGE_NO * 4096 + 0x120, guest_key(s)), 0);
}

static void try_scene(const struct scene *s)
{
    tried++;
    arrange(s);
    attempt_scene(s, false, "the first time");
    check_memory(s);
    attempt_scene(s, false, "from the TLB");
}

/* ---- every combination ---------------------------------------------------------------------- */
static const unsigned deeds[] = {READ_, WRITE_, FETCH_, WALK_, MARK_};

static void each_permission(struct scene s, void (*fn)(const struct scene *))
{
    bool matter = s.state >= &states[VALID] && s.right_asid && s.right_gpa;

    for (s.vmpl = 0; s.vmpl < 4; s.vmpl += matter ? 1 : 3)
        for (unsigned perms = 0; perms < 16; perms += matter ? 1 : 15) {
            s.perms = (uint8_t)perms;
            fn(&s);
        }
}

static void each_entry(struct scene s, void (*fn)(const struct scene *))
{
    for (size_t i = 0; i < COUNT(states); i++) {
        s.state = &states[i];
        for (unsigned n = 0; n < 8; n++) {
            s.right_asid = n & 1;
            s.right_gpa = n & 2;
            s.entry_2m = n & 4;
            if ((!s.state->owned && !s.right_asid) || (!s.state->gpa && !s.right_gpa) ||
                (!s.state->assigned && s.entry_2m))
                continue;
            s.neighbour = false;
            each_permission(s, fn);
            s.neighbour = true;
            if (!s.entry_2m)
                each_permission(s, fn);
        }
    }
}

static void each_scene(unsigned who, void (*fn)(const struct scene *))
{
    struct scene s = {.who = who};

    for (unsigned n = 0; n < 16; n++) {
        s.user = n & 1;
        s.cbit = who != PLAIN_GUEST && n & 2;
        s.guest_2m = n & 4;
        s.nested_2m = n & 8;
        if (who == PLAIN_GUEST && n & 2)
            continue;
        for (size_t i = 0; i < COUNT(deeds); i++) {
            s.deed = deeds[i];
            if ((s.deed == WALK_ || s.deed == MARK_) && (s.guest_2m || s.cbit))
                continue;
            for (unsigned rights = ABSENT; rights < NESTED_RIGHTS; rights++) {
                s.nested = (enum nested_rights)rights;
                each_entry(s, fn);
            }
        }
    }
}

static void snp_guests(void **state)
{
    each_scene(SNP_GUEST, try_scene);
}

static void sev_guests(void **state)
{
    each_scene(SEV_GUEST, try_scene);
}

static void plain_guests(void **state)
{
    each_scene(PLAIN_GUEST, try_scene);
}

/* ---- what one access leaves in the caches does not speak for another ------------------------ */
static void follow(const struct scene *first)
{
    struct scene s = *first;

    if (first->nested != ALL_RIGHTS || first->deed >= WALK_ || first->user)
        return;
    for (unsigned n = 0; n < 6; n++) {
        arrange(first);
        attempt_scene(first, false, "first of two");
        s.cbit = n & 1 ? !first->cbit : first->cbit;
        s.deed = deeds[n / 2];
        attempt_scene(&s, s.cbit != first->cbit, "after another access");
        tried++;
    }
}

static void accesses_after_others(void **state)
{
    each_scene(SNP_GUEST, follow);
}

/* ---- the host -------------------------------------------------------------------------------- */
static void try_host(const struct scene *s)
{
    uint64_t at = spot + PAGE_NO * 4096 + 0x40, v = 0, now, fault = 0;
    bool owned, wrote;

    if (s->nested != ALL_RIGHTS || s->deed != READ_ || s->user || s->nested_2m || s->cbit)
        return;
    tried++;
    arrange(s);
    at = spot + PAGE_NO * 4096 + 0x40;
    owned = !s->state->covered || !s->state->assigned;
    assert_true(soc_read(rig.soc, at, &v, 8)); /* ciphertext, but never refused */
    v = ~v;
    wrote = soc_write(rig.soc, at, &v, 8);
    assert_int_equal(wrote, owned);
    assert_int_equal(soc_rmp_fault(rig.soc, &fault), !owned);
    if (!owned)
        assert_int_equal(fault, at & ~UINT64_C(0xFFF));
    assert_true(soc_read(rig.soc, at, &now, 8));
    assert_int_equal(now == v, owned);
}

static void hosts(void **state)
{
    each_scene(SNP_GUEST, try_host);
}

/* ---- set-up ---------------------------------------------------------------------------------- */
static void table_entry_valid(uint64_t gpa)
{
    put_entry(gpa - TABLE_GPA + TABLE_SPA, 1 | gpa | (uint64_t)ASID << 51 | UINT64_C(1) << 62,
              UINT64_C(0x0F0F0F0F));
}

static int start(void **state)
{
    static const uint8_t seed[32] = {1, 2, 3};
    struct soc_config cfg = {.chip = chip_by_id(CHIP_GENOA), .dram_bytes = BYTES, .cores = 1};
    struct error err;

    assert_int_equal(soc_new(&cfg, &rig.soc, &err), OK);
    rig.c = soc_core(rig.soc, 0);
    key = dram_key_new(rig.c->dram, seed);
    assert_true(cpu_wrmsr(rig.c, 0xC0010132, RMP_AT));
    assert_true(cpu_wrmsr(rig.c, 0xC0010133, RMP_AT + 0xFFFFF));
    assert_true(cpu_wrmsr(rig.c, 0xC0010010, BIT(23) | BIT(24) | BIT(25)));
    assert_true(rmp_init_table(rig.c->rmp));
    assert_true(rmp_covers(rig.c->rmp, SPOT_SPA) && !rmp_covers(rig.c->rmp, FAR_SPA));
    put_raw(NPML4, DRAM_PLAIN, NPDPT | ALL);
    put_raw(NPDPT, DRAM_PLAIN, NPD | ALL);
    put_raw(NPD + (TABLE_GPA >> 21) * 8, DRAM_PLAIN, NPT_TABLE | ALL);
    for (unsigned i = 0; i < 5; i++)
        put_raw(NPT_TABLE + i * 8, DRAM_PLAIN, (TABLE_SPA + i * 4096) | ALL);
    return 0;
}

/* A guest of its own: the tables' pages belong to it, or to nobody where it is no SNP guest. */
static int guest(unsigned who)
{
    struct cpu *c = rig.c;

    for (unsigned i = 0; i < 5; i++) {
        if (who == SNP_GUEST)
            table_entry_valid(TABLE_GPA + i * 4096);
        else
            put_entry(TABLE_SPA + i * 4096, 0, 0);
    }
    put_entry(TABLE_SPA,
              who == SNP_GUEST ? get_raw(RMP_AT + 0x4000 + (TABLE_SPA >> 12) * 16, 0) | 4 << 3 : 0,
              who == SNP_GUEST ? UINT64_C(0x0F0F0F0F) : 0);
    c->guest = true;
    c->vmcb.asid = ASID;
    c->nested_cr3 = NPML4;
    c->host_efer = EFER_NXE | EFER_SVME;
    c->sev = who != PLAIN_GUEST;
    c->cbit = CBIT;
    c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;
    c->cr4 = CR4_PAE;
    c->efer = EFER_LME | EFER_LMA | EFER_NXE;
    return 0;
}

static int snp(void **state)
{
    return guest(SNP_GUEST);
}

static int sev(void **state)
{
    return guest(SEV_GUEST);
}

static int plain(void **state)
{
    return guest(PLAIN_GUEST);
}

static int stop(void **state)
{
    print_message("# %lu combinations\n", tried);
    soc_free(rig.soc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(snp_guests, snp),
        cmocka_unit_test_setup(sev_guests, sev),
        cmocka_unit_test_setup(plain_guests, plain),
        cmocka_unit_test_setup(accesses_after_others, snp),
        cmocka_unit_test_setup(hosts, snp),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
