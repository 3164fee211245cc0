/* The reverse map table: its registers, its entries in memory, what the host's instructions do to
 * them and what guests' instructions do; and what translations must forget when it changes. */
#include "sys_rig.h"

#include "silicon/cpu/block.h"

RIG_END

#define MIB       (UINT64_C(1) << 20)
#define BYTES     (64 * MIB)
#define RMP_AT    (16 * MIB)
#define NPML4     UINT64_C(0x100000)
#define NPDPT     UINT64_C(0x101000)
#define NPD       UINT64_C(0x102000)
#define NPT       UINT64_C(0x103000)
#define TABLE_GPA (5 * MIB) /* the guest's tables */
#define TABLE_SPA (25 * MIB)
#define AREA_GPA  (8 * MIB) /* 2 MiB for the tests, at AREA in DRAM */
#define AREA      (32 * MIB)
#define SPARE     (40 * MIB)
#define ASID      7u
#define CBIT      (UINT64_C(1) << 51)

#define P   UINT64_C(0x01)
#define RW_ UINT64_C(0x02)
#define US  UINT64_C(0x04)
#define PS  UINT64_C(0x80)
#define ALL (P | RW_ | US | 0x60)

#define LA      UINT64_C(0x400000) /* AREA_GPA, 2 MiB, private */
#define SHARED  UINT64_C(0x600000) /* the same, C-bit clear */
#define ABSENT  UINT64_C(0x800000)
#define OTHER   UINT64_C(0xA00000) /* guest pages of 4 KiB from AREA_GPA + 4 KiB on */
#define NOWHERE UINT64_C(0xC00000) /* guest-physical memory that nested tables lack */

#define MSR_SYSCFG   0xC0010010u
#define MSR_HSAVE    0xC0010117u
#define MSR_RMP_BASE 0xC0010132u
#define MSR_RMP_END  0xC0010133u
#define SNP_BITS     (BIT(23) | BIT(24) | BIT(25))

static struct rig rig;
static struct rmp *t;
static dram_key key;
static bool eager;

/* ---- the machine ---------------------------------------------------------------------------- */
static void make(enum chip_id chip, unsigned cores)
{
    static const uint8_t seed[32] = {9, 8, 7};
    struct soc_config cfg = {
        .chip = chip_by_id(chip), .dram_bytes = BYTES, .dram_eager = eager, .cores = cores};
    struct error err;

    assert_int_equal(soc_new(&cfg, &rig.soc, &err), OK);
    rig.c = soc_core(rig.soc, 0);
    t = rig.c->rmp;
    key = dram_key_new(rig.c->dram, seed);
}

static void enable(void)
{
    struct cpu *c;

    for (unsigned i = 0; (c = soc_core(rig.soc, i)); i++) {
        assert_true(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT));
        assert_true(cpu_wrmsr(c, MSR_RMP_END, RMP_AT + MIB - 1));
        assert_true(cpu_wrmsr(c, MSR_SYSCFG, SNP_BITS));
    }
    assert_true(rmp_init_table(t));
}

static struct rmp_entry guest_page(uint64_t gpa, bool large)
{
    return (struct rmp_entry){.assigned = true,
                              .validated = true,
                              .large = large,
                              .asid = ASID,
                              .gpa = gpa,
                              .perms = {VMPL_ALL, VMPL_ALL, 0, 0}};
}

static void put_private(uint64_t spa, uint64_t v)
{
    assert_true(dram_write(rig.c->dram, spa, key, &v, 8));
}

static void put_plain(uint64_t spa, uint64_t v)
{
    assert_true(dram_write(rig.c->dram, spa, DRAM_PLAIN, &v, 8));
}

static void guest_tables(void)
{
    static const uint64_t pde[][2] = {{LA, AREA_GPA | CBIT | PS | ALL},
                                      {SHARED, AREA_GPA | PS | ALL},
                                      {OTHER, (TABLE_GPA + 0x3000) | ALL},
                                      {NOWHERE, AREA_GPA * 2 | CBIT | PS | ALL}};

    for (unsigned i = 0; i < 0x4000; i += 8)
        put_private(TABLE_SPA + i, 0);
    put_private(TABLE_SPA, (TABLE_GPA + 0x1000) | ALL);
    put_private(TABLE_SPA + 0x1000, (TABLE_GPA + 0x2000) | ALL);
    for (size_t i = 0; i < COUNT(pde); i++)
        put_private(TABLE_SPA + 0x2000 + (pde[i][0] >> 21) * 8, pde[i][1]);
    for (unsigned i = 0; i < 511; i++)
        put_private(TABLE_SPA + 0x3000 + i * 8, (AREA_GPA + (i + 1) * 4096) | CBIT | ALL);
    for (unsigned i = 0; i < 4; i++) {
        struct rmp_entry e = guest_page(TABLE_GPA + i * 4096, false);

        memset(e.perms, VMPL_ALL, sizeof(e.perms));
        rmp_put(t, TABLE_SPA + i * 4096, &e);
    }
}

static void map_area(bool large)
{
    put_plain(NPD + (AREA_GPA >> 21) * 8, large ? AREA | PS | ALL : NPT | ALL);
    mmu_flush_all(rig.c);
}

static void become_guest(struct cpu *c)
{
    c->guest = c->sev = c->es = c->snp = true;
    c->vmcb.asid = ASID;
    c->vmpl = 0;
    c->key = key;
    c->cbit = CBIT;
    c->nested_cr3 = NPML4;
    c->host_efer = EFER_NXE | EFER_SVME;
    c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP;
    c->cr4 = CR4_PAE;
    c->efer = EFER_LME | EFER_LMA | EFER_NXE;
    mmu_world(c, TABLE_GPA);
}

static int snp_guest(void **state)
{
    eager = *state != NULL;
    make(CHIP_GENOA, 2);
    enable();
    guest_tables();
    put_plain(NPML4, NPDPT | ALL);
    put_plain(NPDPT, NPD | ALL);
    /* The tables' pages are of 4 KiB, so must their mapping be. */
    put_plain(NPD + (TABLE_GPA >> 21) * 8, (NPT + 0x1000) | ALL);
    for (unsigned i = 0; i < 512; i++) {
        put_plain(NPT + i * 8, (AREA + i * 4096) | ALL);
        put_plain(NPT + 0x1000 + i * 8, (TABLE_SPA - MIB + i * 4096) | ALL);
    }
    become_guest(rig.c);
    mode(&rig, 0, true);
    map_area(false);
    return 0;
}

static int bare(void **state)
{
    eager = *state != NULL;
    make(CHIP_GENOA, 2);
    return 0;
}

static int enabled(void **state)
{
    eager = *state != NULL;
    make(CHIP_GENOA, 1);
    enable();
    return 0;
}

static int stop(void **state)
{
    rig_stop(&rig);
    return 0;
}

/* ---- registers ------------------------------------------------------------------------------- */
static uint64_t msr(unsigned core, uint32_t number)
{
    uint64_t v = 0;

    assert_true(cpu_rdmsr(soc_core(rig.soc, core), number, &v));
    return v;
}

static void bounds_have_a_grain_and_lock(void **state)
{
    struct cpu *c = rig.c;

    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT + 0x1000));
    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, BIT(52)));
    assert_true(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT));
    assert_true(cpu_wrmsr(c, MSR_RMP_END, RMP_AT + MIB - 0x2000));
    assert_int_equal(msr(1, MSR_RMP_BASE), RMP_AT);
    assert_int_equal(msr(1, MSR_RMP_END), RMP_AT + MIB - 1);
    assert_true(cpu_wrmsr(c, MSR_SYSCFG, SNP_BITS));
    assert_false(cpu_wrmsr(c, MSR_RMP_BASE, 0));
    assert_false(cpu_wrmsr(c, MSR_RMP_END, 0));
}

static void syscfg_sticks(void **state)
{
    assert_false(rmp_enabled(t));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, BIT(23)));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, SNP_BITS));
    assert_false(rmp_enabled(t)); /* the other core is not there yet */
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, 0));
    assert_int_equal(msr(0, MSR_SYSCFG), SNP_BITS);
    assert_true(cpu_wrmsr(soc_core(rig.soc, 1), MSR_SYSCFG, SNP_BITS));
    assert_true(rmp_enabled(t));
    assert_false(rmp_enforced(t));
    rmp_release(t);
    assert_int_equal(msr(1, MSR_SYSCFG), BIT(23));
    assert_int_equal(msr(0, MSR_SYSCFG), BIT(23));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, 0));
    assert_int_equal(msr(0, MSR_SYSCFG), 0);
}

static void older_chips_have_none(void **state)
{
    uint64_t v;

    make(CHIP_ROME, 1);
    assert_false(cpu_wrmsr(rig.c, MSR_SYSCFG, SNP_BITS));
    assert_true(cpu_wrmsr(rig.c, MSR_SYSCFG, BIT(23)));
    assert_false(cpu_rdmsr(rig.c, MSR_RMP_BASE, &v));
    assert_false(cpu_wrmsr(rig.c, MSR_RMP_END, 0xFFFFF));
    assert_int_equal(cpu_psmash(rig.c, 0), CPU_RMP_UD);
}

/* ---- the table in memory --------------------------------------------------------------------- */
static uint64_t low_of(uint64_t spa)
{
    uint64_t v;

    assert_true(soc_read(rig.soc, RMP_AT + 0x4000 + (spa >> 12) * 16, &v, 8));
    return v;
}

static uint64_t high_of(uint64_t spa)
{
    uint64_t v;

    assert_true(soc_read(rig.soc, RMP_AT + 0x4000 + (spa >> 12) * 16 + 8, &v, 8));
    return v;
}

static void a_fresh_table(void **state)
{
    uint64_t past = (MIB - 0x4000) / 16 * 4096;

    for (uint64_t spa = 0; spa < BYTES; spa += 4096) {
        bool own = spa >= RMP_AT && spa < RMP_AT + MIB;

        assert_int_equal(rmp_state(t, spa), own ? RMP_FIRMWARE : RMP_HYPERVISOR);
    }
    assert_int_equal(low_of(RMP_AT + 0x1000), UINT64_C(0x8000000000000005));
    assert_int_equal(rmp_state(t, BYTES), RMP_HV_FIXED); /* no memory there */
    assert_int_equal(low_of(past - 4096), 4);
    assert_int_equal(rmp_state(t, past), RMP_DEFAULT);
    assert_false(soc_write(rig.soc, RMP_AT, &past, 8));
    assert_false(soc_write(rig.soc, RMP_AT + MIB - 8, &past, 8));
    assert_true(soc_write(rig.soc, RMP_AT + MIB, &past, 8));
}

static void bounds_that_make_no_table(void **state)
{
    static const uint64_t wrong[][2] = {{RMP_AT, RMP_AT - 1},
                                        {RMP_AT, RMP_AT + MIB / 2 - 1},
                                        {RMP_AT + 0x2000, RMP_AT + MIB - 1},
                                        {BYTES - MIB, BYTES + MIB - 1},
                                        {0, UINT64_MAX}};

    rmp_set_bounds(t, RMP_AT, RMP_AT + MIB - 1);
    assert_false(rmp_init_table(t)); /* SNP is off */
    rmp_enable(t, true);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        rmp_set_bounds(t, wrong[i][0], wrong[i][1]);
        assert_false(rmp_init_table(t));
    }
    rmp_set_bounds(t, RMP_AT, RMP_AT + MIB - 1);
    assert_true(rmp_init_table(t));
}

static void entries_in_memory(void **state)
{
    struct rmp_entry e = {.assigned = true,
                          .validated = true,
                          .vmsa = true,
                          .asid = 0x2A5,
                          .gpa = UINT64_C(0x7123456789000),
                          .perms = {0xF, 1, 3, 5}},
                     back;

    rmp_put(t, AREA + 0x3000, &e);
    assert_int_equal(low_of(AREA + 0x3000), 1 | e.gpa | UINT64_C(0x2A5) << 51 | BIT(61) | BIT(62));
    assert_int_equal(high_of(AREA + 0x3000), 0x0503010F);
    assert_int_equal(low_of(AREA), 1 << 3); /* one page that follows is assigned */
    back = rmp_get(t, AREA + 0x3000);
    assert_memory_equal(&back, &e, sizeof(e));
    e = (struct rmp_entry){.immutable = true};
    rmp_put(t, AREA + 0x3000, &e);
    assert_int_equal(low_of(AREA + 0x3000), 4);
    assert_int_equal(low_of(AREA), 0);
    /* A 2 MiB page: the entry is the first, the others show Assigned alone. */
    e = guest_page(AREA_GPA, true);
    rmp_put(t, AREA, &e);
    assert_int_equal(low_of(AREA) & 7, 3);
    assert_int_equal(low_of(AREA + 0x1000), 1);
    assert_int_equal(low_of(AREA + 2 * MIB - 0x1000), 1);
    assert_int_equal(low_of(AREA + 2 * MIB), 0);
    back = rmp_get(t, AREA + 0x5678);
    assert_true(back.large && back.asid == ASID && back.gpa == AREA_GPA + 0x5000);
    /* A 4 KiB entry inside it: the others stay as they were, in pieces. */
    e = (struct rmp_entry){.assigned = true};
    rmp_put(t, AREA + 0x1000, &e);
    assert_int_equal(rmp_state(t, AREA + 0x1000), RMP_RECLAIM);
    back = rmp_get(t, AREA + 0x2000);
    assert_true(!back.large && back.asid == ASID && back.gpa == AREA_GPA + 0x2000);
}

/* ---- RMPUPDATE, PSMASH ------------------------------------------------------------------------
 */
#define L 1 /* 2 MiB */
static const struct {
    const char *law;
    struct rmp_entry before; /* at AREA, or AREA + 4 KiB where `second` */
    bool second;
    uint64_t spa;
    struct rmp_update state;
    unsigned code;
} updates[] = {
    {"assigns 4 KiB", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, ASID}, 0},
    {"assigns 2 MiB", {0}, 0, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 0},
    {"pre-guest pages", {0}, 0, AREA, {AREA_GPA, 1, L, 1, 0, ASID}, 0},
    {"firmware pages", {0}, 0, AREA + 0x1000, {0, 1, 0, 1, 0, 0}, 0},
    {"takes back", {.assigned = 1, .asid = 3}, 0, AREA, {0, 0, 0, 0, 0, 0}, 0},
    {"takes back 2 MiB", {.assigned = 1, .large = 1}, 0, AREA, {0, 0, L, 0, 0, 0}, 0},
    {"an odd 2 MiB address", {0}, 0, AREA + 0x1000, {AREA_GPA, 1, L, 0, 0, ASID}, 1},
    {"an odd 2 MiB GPA", {0}, 0, AREA, {AREA_GPA + 0x1000, 1, L, 0, 0, ASID}, 1},
    {"an odd address", {0}, 0, AREA + 8, {AREA_GPA, 1, 0, 0, 0, ASID}, 1},
    {"no size", {0}, 0, AREA, {AREA_GPA, 1, 2, 0, 0, ASID}, 1},
    {"reserved byte", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 1, ASID}, 1},
    {"unassigned, immutable", {0}, 0, AREA, {0, 0, 0, 1, 0, 0}, 1},
    {"unassigned, ASID", {0}, 0, AREA, {0, 0, 0, 0, 0, ASID}, 1},
    {"an ASID that no entry holds", {0}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, 1024}, 1},
    {"a GPA that no entry holds", {0}, 0, AREA, {BIT(51), 1, 0, 0, 0, ASID}, 1},
    {"not covered", {0}, 0, 1024 * MIB, {AREA_GPA, 1, 0, 0, 0, ASID}, 1},
    {"immutable", {.assigned = 1, .immutable = 1}, 0, AREA, {0, 0, 0, 0, 0, 0}, 2},
    {"fixed", {.immutable = 1}, 0, AREA, {AREA_GPA, 1, 0, 0, 0, ASID}, 2},
    {"fixed below 2 MiB", {.immutable = 1}, 1, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 2},
    {"4 KiB over 2 MiB", {.assigned = 1, .large = 1}, 0, AREA, {0, 0, 0, 0, 0, 0}, 4},
    {"4 KiB inside 2 MiB", {.assigned = 1, .large = 1}, 0, AREA + 0x7000, {0, 0, 0, 0, 0, 0}, 4},
    {"2 MiB over 4 KiB", {.assigned = 1}, 1, AREA, {AREA_GPA, 1, L, 0, 0, ASID}, 4},
};

static void rmpupdate(void **state)
{
    const struct rmp_entry none = {0}, none_large = {.large = true};

    for (size_t i = 0; i < COUNT(updates); i++) {
        const struct rmp_update *u = &updates[i].state;
        uint64_t at = AREA + (updates[i].second ? 0x1000 : 0);
        struct rmp_entry was, e;
        unsigned code;

        rmp_put(t, AREA, &none_large);
        rmp_put(t, AREA, &none);
        rmp_put(t, at, &updates[i].before);
        was = rmp_get(t, updates[i].spa);
        code = cpu_rmpupdate(rig.c, updates[i].spa, u);
        if (code != updates[i].code)
            fail_msg("%s: code %u", updates[i].law, code);
        e = rmp_get(t, updates[i].spa);
        if (code) {
            assert_memory_equal(&e, &was, sizeof(e));
            continue;
        }
        assert_true(e.assigned == u->assigned && e.asid == u->asid && e.immutable == u->immutable &&
                    e.gpa == u->gpa && !e.validated && !e.vmsa &&
                    e.large == (u->assigned && u->page_size));
        assert_int_equal(load32(e.perms), u->asid ? VMPL_ALL : 0);
        assert_int_equal(rmp_get(t, AREA + MIB).assigned, u->assigned && u->page_size);
    }
}

static void psmash(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, true), piece;

    e.vmsa = true;
    assert_int_equal(cpu_psmash(rig.c, AREA + 0x1000), RMP_FAIL_INPUT);
    assert_int_equal(cpu_psmash(rig.c, 1024 * MIB), RMP_FAIL_INPUT);
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_FAIL_BADADDR);
    rmp_put(t, AREA, &e);
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_SUCCESS);
    for (unsigned i = 0; i < 512; i++) {
        e.large = false;
        e.gpa = AREA_GPA + i * 4096;
        piece = rmp_get(t, AREA + i * 4096);
        assert_memory_equal(&piece, &e, sizeof(e));
    }
    assert_int_equal(cpu_psmash(rig.c, AREA), RMP_FAIL_BADADDR);
    /* Piece by piece they can be taken back; then all 2 MiB are free again. */
    for (unsigned i = 0; i < 512; i++) {
        assert_false(rmp_free_2m(t, AREA));
        assert_int_equal(cpu_rmpupdate(rig.c, AREA + i * 4096, &(struct rmp_update){0}), 0);
    }
    assert_true(rmp_free_2m(t, AREA));
}

static void without_snp_there_are_no_instructions(void **state)
{
    struct rmp_update u = {0};

    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &u), CPU_RMP_UD);
    assert_int_equal(cpu_psmash(rig.c, AREA), CPU_RMP_UD);
    assert_int_equal(cpu_rmpread(rig.c, AREA, &u), CPU_RMP_UD);
}

/* ---- the host's stores ------------------------------------------------------------------------
 */
static void host_stores(void **state)
{
    static uint8_t bytes[3 * 4096];
    struct rmp_entry e = guest_page(AREA_GPA, false);
    uint64_t fault = 0;

    memset(bytes, 0x5A, sizeof(bytes));
    rmp_put(t, AREA + 2 * MIB, &e); /* first page of the next 2 MiB */
    assert_true(soc_write(rig.soc, AREA + 2 * MIB - 4096, bytes, 4096));
    assert_false(soc_write(rig.soc, AREA + 2 * MIB - 4096, bytes, 4097));
    assert_true(soc_rmp_fault(rig.soc, &fault));
    assert_int_equal(fault, AREA + 2 * MIB);
    assert_true(soc_write(rig.soc, AREA + 2 * MIB + 4096, bytes, sizeof(bytes)));
    assert_false(soc_rmp_fault(rig.soc, &fault));
    assert_false(soc_write(rig.soc, AREA + 2 * MIB + 4095, bytes, 2));
    rmp_put(t, AREA + 3 * MIB, &e);
    assert_false(soc_write(rig.soc, AREA + 3 * MIB - 8192, bytes, sizeof(bytes)));
    assert_true(soc_rmp_fault(rig.soc, &fault));
    assert_int_equal(fault, AREA + 3 * MIB);
    assert_true(soc_read(rig.soc, AREA + 3 * MIB - 8192, bytes, sizeof(bytes)));
    assert_int_equal(bytes[0], 0); /* nothing of it was done */
    assert_false(soc_write(rig.soc, BYTES - 8, bytes, 16));
    assert_false(soc_rmp_fault(rig.soc, NULL)); /* outside DRAM is another matter */
    assert_false(cpu_wrmsr(rig.c, MSR_HSAVE, AREA + 3 * MIB));
    assert_true(cpu_wrmsr(rig.c, MSR_HSAVE, AREA));
    assert_true(cpu_wrmsr(rig.c, MSR_HSAVE, 0));
}

/* ---- PVALIDATE, RMPADJUST, RMPQUERY ------------------------------------------------------------
 */
#define PVALIDATE INSN_BYTES(0xF2, 0x0F, 0x01, 0xFF)
#define RMPADJUST INSN_BYTES(0xF3, 0x0F, 0x01, 0xFE)
#define RMPQUERY  INSN_BYTES(0xF3, 0x0F, 0x01, 0xFD)
#define RMPFAULT  (NPF_PRESENT | NPF_USER | NPF_FINAL | NPF_RMP | NPF_ENC)

enum entry_kind { FREE, INVALID, VALID, FOREIGN, ELSEWHERE, FIXED, LARGE, LARGE_INVALID };

static void put_kind(enum entry_kind kind)
{
    bool large = kind == LARGE || kind == LARGE_INVALID;
    struct rmp_entry e = guest_page(AREA_GPA, large);
    const struct rmp_entry none = {.large = true};

    rmp_put(t, AREA, &none);
    e.validated = kind != INVALID && kind != LARGE_INVALID;
    e.assigned = kind != FREE;
    e.asid = kind == FREE ? 0 : kind == FOREIGN ? ASID + 1 : ASID;
    e.gpa += kind == ELSEWHERE ? 4096 : 0;
    e.immutable = kind == FIXED;
    if (kind == FREE)
        e = (struct rmp_entry){0};
    rmp_put(t, AREA, &e);
}

/* What an instruction came to: DONE with a code, a fault, or #NPF. */
struct result {
    enum how how;
    uint64_t code; /* EAX, vector, EXITINFO1 */
    uint64_t more; /* carry, error code, EXITINFO2 */
};

static void expect(const char *law, const struct result *want, const struct outcome *out)
{
    struct result got = {out->how, rig.c->r[RAX], flags_read(rig.c) & FLAG_C};

    if (out->how == FAULT)
        got = (struct result){FAULT, (uint64_t)out->vec, out->error};
    if (out->how == EXIT)
        got = (struct result){EXIT, out->info1, out->info2};
    if (got.how != want->how || got.code != want->code || got.more != want->more)
        fail_msg("%s: %d %#llx %#llx, want %d %#llx %#llx", law, got.how,
                 (unsigned long long)got.code, (unsigned long long)got.more, want->how,
                 (unsigned long long)want->code, (unsigned long long)want->more);
}

static const struct {
    const char *law;
    enum entry_kind entry;
    bool nested_large;
    uint64_t rax, rcx, rdx;
    struct result want;
    bool valid; /* after it */
} validations[] = {
    {"validates", INVALID, 0, LA, 0, 1, {DONE, 0, 0}, 1},
    {"was valid", VALID, 0, LA, 0, 1, {DONE, 0, 1}, 1},
    {"rescinds", VALID, 0, LA, 0, 0, {DONE, 0, 0}, 0},
    {"was invalid", INVALID, 0, LA, 0, 0, {DONE, 0, 1}, 0},
    {"validates 2 MiB", LARGE_INVALID, 1, LA, 1, 1, {DONE, 0, 0}, 1},
    {"rescinds 2 MiB", LARGE, 1, LA, 1, 0, {DONE, 0, 0}, 0},
    {"2 MiB over 4 KiB", INVALID, 0, LA, 1, 1, {DONE, 6, 0}, 0},
    {"2 MiB over a smaller mapping", LARGE_INVALID, 0, LA, 1, 1, {DONE, 6, 0}, 0},
    {"4 KiB of 2 MiB", LARGE_INVALID, 1, LA, 0, 1, {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA}, 0},
    {"4 KiB of a larger mapping", INVALID, 1, LA, 0, 1, {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA}, 0},
    {"a size that is none", INVALID, 0, LA, 2, 1, {DONE, 1, 0}, 0},
    {"one bit of EDX counts", INVALID, 0, LA, 0, 0xFFFFFF01, {DONE, 0, 0}, 1},
    {"an odd address", INVALID, 0, LA + 8, 0, 1, {DONE, 1, 0}, 0},
    {"an odd 2 MiB address", LARGE_INVALID, 1, LA + 4096, 1, 1, {DONE, 1, 0}, 0},
    {"2 MiB at an odd guest address", LARGE_INVALID, 1, OTHER, 1, 1, {DONE, 1, 0}, 0},
    {"bits 63:32 of RCX and RDX do not count",
     INVALID,
     0,
     LA,
     BIT(32),
     BIT(33) | 1,
     {DONE, 0, 0},
     1},
    {"not assigned", FREE, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 0},
    {"another guest's", FOREIGN, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"of another address", ELSEWHERE, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"immutable", FIXED, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"C-bit clear", INVALID, 0, SHARED, 0, 1, {FAULT, EXC_PF, 9}, 0},
    {"no page", INVALID, 0, ABSENT, 0, 1, {FAULT, EXC_PF, 0}, 0},
    {"no memory",
     INVALID,
     0,
     NOWHERE,
     0,
     1,
     {EXIT, NPF_USER | NPF_FINAL | NPF_ENC, AREA_GPA * 2},
     0},
    {"not canonical", INVALID, 0, BIT(60), 0, 1, {FAULT, EXC_GP, 0}, 0},
};

static void pvalidate(void **state)
{
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(validations); i++) {
        struct outcome out;

        put_kind(validations[i].entry);
        map_area(validations[i].nested_large);
        c->r[RAX] = validations[i].rax;
        c->r[RCX] = validations[i].rcx;
        c->r[RDX] = validations[i].rdx;
        flags_write(c, OSZAPC);
        out = try_insn(&rig, PVALIDATE);
        expect(validations[i].law, &validations[i].want, &out);
        if (rmp_get(t, AREA).validated != validations[i].valid)
            fail_msg("%s: wrong state", validations[i].law);
    }
}

static void pvalidate_in_32_bit_code(void **state)
{
    struct cpu *c = rig.c;

    put_kind(INVALID);
    mode(&rig, 0, false);
    c->r[RAX] = BIT(40) | LA;
    c->r[RCX] = 0;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_true(rmp_get(t, AREA).validated);
    assert_int_equal(try_insn(&rig, RMPADJUST).vec, EXC_UD); /* 64-bit mode alone */
    assert_int_equal(try_insn(&rig, RMPQUERY).vec, EXC_UD);
}

static void who_may_execute_them(void **state)
{
    static const uint8_t code[][4] = {
        {0xF2, 0x0F, 0x01, 0xFF}, {0xF3, 0x0F, 0x01, 0xFE}, {0xF3, 0x0F, 0x01, 0xFD}};
    /* RMPUPDATE, PSMASH, RMPREAD are the host's. */
    static const uint8_t hosts[][4] = {
        {0xF2, 0x0F, 0x01, 0xFE}, {0xF3, 0x0F, 0x01, 0xFF}, {0xF2, 0x0F, 0x01, 0xFD}};
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(code); i++) {
        assert_int_equal(try_insn(&rig, hosts[i], 4).vec, EXC_UD);
        mode(&rig, 3, true);
        assert_int_equal(try_insn(&rig, code[i], 4).vec, EXC_GP);
        c->snp = false;
        assert_int_equal(try_insn(&rig, code[i], 4).vec, EXC_UD);
        c->snp = true;
        mode(&rig, 0, true);
    }
    c->vmpl = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).vec, EXC_GP);
    rig_stop(&rig);
    make(CHIP_MILAN, 1);
    rig.c->snp = rig.c->guest = true;
    mode(&rig, 0, true);
    rig.c->decode |= 2;
    assert_int_equal(try_insn(&rig, RMPQUERY).vec, EXC_UD); /* comes with Genoa */
}

static const struct {
    const char *law;
    enum entry_kind entry;
    bool nested_large;
    unsigned vmpl;
    uint64_t rax, rcx, rdx;
    struct result want;
    uint8_t perms[4];
    bool vmsa; /* after it */
} adjustments[] = {
    {"gives", VALID, 0, 0, LA, 0, 0x0102, {DONE, 0, 0}, {15, 15, 1, 0}, 0},
    {"takes", VALID, 0, 0, LA, 0, 0x0001, {DONE, 0, 0}, {15, 0, 0, 0}, 0},
    {"makes a VMSA", VALID, 0, 0, LA, 0, 0x10001, {DONE, 0, 0}, {15, 0, 0, 0}, 1},
    {"VMPL1 gives to VMPL2", VALID, 0, 1, LA, 0, 0x0702, {DONE, 0, 0}, {15, 15, 7, 0}, 0},
    {"VMPL1 makes no VMSA", VALID, 0, 1, LA, 0, 0x10702, {DONE, 0, 0}, {15, 15, 7, 0}, 0},
    {"to itself", VALID, 0, 1, LA, 0, 0x0701, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"upwards", VALID, 0, 1, LA, 0, 0x0700, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"more than it has", VALID, 0, 2, LA, 0, 0x0103, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"no such VMPL", VALID, 0, 0, LA, 0, 0x0104, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved permissions", VALID, 0, 0, LA, 0, 0x1001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved bits", VALID, 0, 0, LA, 0, 0x20001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved bits, high", VALID, 0, 0, LA, 0, BIT(63) | 1, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"no such size", VALID, 0, 0, LA, 2, 0x0001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"an odd address", VALID, 0, 0, LA + 1, 0, 0x0001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"2 MiB", LARGE, 1, 0, LA, 1, 0x0F03, {DONE, 0, 0}, {15, 15, 0, 15}, 0},
    {"2 MiB over 4 KiB", VALID, 0, 0, LA, 1, 0x0F03, {DONE, 6, 0}, {15, 15, 0, 0}, 0},
    {"4 KiB of 2 MiB",
     LARGE,
     1,
     0,
     LA,
     0,
     1,
     {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA},
     {15, 15, 0, 0},
     0},
    {"not validated", INVALID, 0, 0, LA, 0, 1, {FAULT, EXC_VC, 0x404}, {15, 15, 0, 0}, 0},
    {"another guest's", FOREIGN, 0, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, {15, 15, 0, 0}, 0},
    {"not assigned", FREE, 0, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, {0, 0, 0, 0}, 0},
    {"C-bit clear", VALID, 0, 0, SHARED, 0, 1, {FAULT, EXC_PF, 9}, {15, 15, 0, 0}, 0},
};

static void rmpadjust(void **state)
{
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(adjustments); i++) {
        struct outcome out;
        struct rmp_entry e;

        put_kind(adjustments[i].entry);
        c->vmpl = (uint8_t)adjustments[i].vmpl;
        mmu_world(c, TABLE_GPA);
        map_area(adjustments[i].nested_large);
        c->r[RAX] = adjustments[i].rax;
        c->r[RCX] = adjustments[i].rcx;
        c->r[RDX] = adjustments[i].rdx;
        flags_write(c, 0);
        out = try_insn(&rig, RMPADJUST);
        expect(adjustments[i].law, &adjustments[i].want, &out);
        e = rmp_get(t, AREA);
        if (memcmp(e.perms, adjustments[i].perms, 4) || e.vmsa != adjustments[i].vmsa)
            fail_msg("%s: permissions %#x, VMSA %d", adjustments[i].law, load32(e.perms), e.vmsa);
    }
}

static struct outcome query(uint64_t la, uint64_t target)
{
    rig.c->r[RAX] = la;
    rig.c->r[RCX] = 99;
    rig.c->r[RDX] = target;
    return try_insn(&rig, RMPQUERY);
}

static void rmpquery(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);
    struct cpu *c = rig.c;

    e.vmsa = true;
    e.perms[2] = 5;
    rmp_put(t, AREA, &e);
    assert_int_equal(query(LA, 2).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_int_equal(c->r[RCX], 0);
    assert_int_equal(c->r[RDX], 0x10502);
    assert_int_equal(query(LA, 4).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INPUT);
    assert_int_equal(c->r[RDX], 4);
    c->vmpl = 1;
    assert_int_equal(query(LA, 0).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_PERMISSION);
    c->vmpl = 0;
    put_kind(LARGE);
    map_area(true);
    assert_int_equal(query(LA + 0x3000, 1).how, DONE);
    assert_int_equal(c->r[RCX], 1);
    assert_int_equal(c->r[RDX], 0x0F01);
    map_area(false);
    assert_int_equal(query(LA, 1).info1, RMPFAULT);
    put_kind(INVALID);
    assert_int_equal(query(LA, 1).error, 0x404);
    assert_int_equal(c->cr2, LA);
    put_kind(FOREIGN);
    assert_int_equal(query(LA, 1).info1, RMPFAULT);
}

/* The area that a core runs on does not change under it (APM2 15.36.12). */
static void a_running_vmsa_is_in_use(void **state)
{
    struct cpu *c = rig.c;

    put_kind(VALID);
    c->vmsa_spa = AREA;
    mmu_world(c, TABLE_GPA);
    c->r[RAX] = LA;
    c->r[RCX] = c->r[RDX] = 0;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INUSE);
    c->r[RAX] = LA;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, RMPADJUST).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INUSE);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE);
    c->vmsa_spa = SPARE; /* another of its guest's runs */
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).how, DONE);
    c->vmsa_spa = AREA;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE);
}

/* As code does: by the pointers that cores keep. */
static struct outcome touch(uint64_t la, bool write)
{
    static const uint8_t load[] = {0x8A, 0x08}, store[] = {0x88, 0x08}; /* MOV CL, [RAX] */

    rig.c->r[RAX] = la;
    return try_insn(&rig, write ? store : load, 2);
}

/* ---- what translations forget ------------------------------------------------------------------
 */
static void both_ways(uint64_t la)
{
    assert_int_equal(try_access(&rig, la, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, la, ACCESS_WRITE).how, DONE);
    assert_int_equal(touch(la, false).how, DONE);
    assert_int_equal(touch(la, true).how, DONE);
}

static void rmpupdate_is_felt_at_once(void **state)
{
    struct rmp_update back = {0}, again = {AREA_GPA, 1, 0, 0, 0, ASID};

    put_kind(VALID);
    both_ways(LA);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &again), 0); /* the same, but not validated */
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).error, 0x404);
    put_kind(VALID);
    both_ways(LA);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &back), 0);
    assert_int_equal(touch(LA, false).info1, RMPFAULT);
    assert_int_equal(touch(LA, true).info1, RMPFAULT | NPF_WRITE);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT);
    both_ways(SHARED);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &again), 0);
    assert_int_equal(touch(SHARED, true).how, EXIT);
    assert_int_equal(touch(SHARED, false).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_WRITE).info1,
                     (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

static void large_mappings_lose_writes_with_the_first_page(void **state)
{
    struct rmp_update one = {AREA_GPA, 1, 0, 0, 0, ASID};

    put_kind(FREE);
    map_area(true);
    both_ways(SHARED + 0x5000);
    both_ways(SHARED + 0x6000);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA + 0x9000, &one), 0);
    assert_int_equal(try_access(&rig, SHARED + 0x5000, ACCESS_WRITE).how, EXIT);
    assert_int_equal(try_access(&rig, SHARED + 0x6000, ACCESS_WRITE).how, EXIT);
}

static void psmash_is_felt_at_once(void **state)
{
    put_kind(LARGE);
    map_area(true);
    both_ways(LA + 0x5000);
    assert_int_equal(cpu_psmash(rig.c, AREA), 0);
    assert_int_equal(try_access(&rig, LA + 0x5000, ACCESS_READ).info1, RMPFAULT);
    map_area(false);
    both_ways(LA + 0x5000);
}

static void guests_instructions_are_felt_at_once(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA + 4096, false);
    struct cpu *c = rig.c;

    /* An alias: two linear addresses of one page. */
    rmp_put(t, AREA + 4096, &e);
    both_ways(LA + 4096);
    both_ways(OTHER);
    c->r[RAX] = OTHER;
    c->r[RCX] = c->r[RDX] = 0;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_READ).error, 0x404);
    assert_int_equal(c->cr2, LA + 4096);
    c->r[RAX] = OTHER;
    c->r[RCX] = 0;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    both_ways(LA + 4096);
    /* VMPL1 is where it can be hurt by RMPADJUST. */
    c->vmpl = 1;
    mmu_world(c, TABLE_GPA);
    both_ways(LA + 4096);
    c->vmpl = 0;
    mmu_world(c, TABLE_GPA);
    c->r[RAX] = OTHER;
    c->r[RCX] = 0;
    c->r[RDX] = 0x101;
    assert_int_equal(try_insn(&rig, RMPADJUST).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    c->vmpl = 1;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA + 4096, ACCESS_WRITE).info1,
                     RMPFAULT | NPF_WRITE | NPF_VMPL);
}

/* What one VMPL may do is no right of another's. */
static void vmpls_share_no_translation(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);

    e.perms[1] = VMPL_READ;
    rmp_put(t, AREA, &e);
    for (unsigned i = 0; i < 2; i++) {
        rig.c->vmpl = 0;
        mmu_world(rig.c, TABLE_GPA);
        both_ways(LA);
        rig.c->vmpl = 1;
        mmu_world(rig.c, TABLE_GPA);
        assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
        assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE | NPF_VMPL);
        rig.c->vmpl = 2;
        mmu_world(rig.c, TABLE_GPA);
        assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT | NPF_VMPL);
    }
}

/* Few changes or many while a core is outside its guest. */
static void other_cores_forget_when_they_enter(void **state)
{
    struct cpu *other = soc_core(rig.soc, 1);

    for (unsigned changes = 1; changes < 64; changes += 31) {
        rig.c = other;
        become_guest(other);
        mode(&rig, 0, true);
        map_area(false);
        for (unsigned i = 0; i < changes; i++) {
            struct rmp_entry e = guest_page(AREA_GPA + i * 4096, false);

            rmp_put(t, AREA + i * 4096, &e);
            both_ways(LA + i * 4096);
        }
        other->guest = false;
        for (unsigned i = 0; i < changes; i++)
            assert_int_equal(
                cpu_rmpupdate(soc_core(rig.soc, 0), AREA + i * 4096, &(struct rmp_update){0}), 0);
        other->guest = true;
        mmu_world(other, TABLE_GPA);
        for (unsigned i = 0; i < changes; i++)
            assert_int_equal(try_access(&rig, LA + i * 4096, ACCESS_READ).how, EXIT);
    }
}

static void do_find(struct attempt *a)
{
    (void)block_find(a->r->c, a->la);
}

static void decoded_code_goes_too(void **state)
{
    static const uint8_t nops[64] = {0x90, 0x90, 0xF4};
    struct attempt a = {.r = &rig, .la = LA + 0x10};

    put_kind(VALID);
    assert_true(dram_write(rig.c->dram, AREA, key, nops, sizeof(nops)));
    assert_int_equal(attempt(do_find, &a).how, DONE);
    assert_int_equal(attempt(do_find, &a).how, DONE);
    assert_int_equal(cpu_rmpupdate(rig.c, AREA, &(struct rmp_update){0}), 0);
    assert_int_equal(attempt(do_find, &a).info1, RMPFAULT | NPF_FETCH);
}

/* A way through the guest's tables that is remembered does not outlive a table's page. */
static void guests_tables_are_watched(void **state)
{
    struct rmp_entry e = guest_page(TABLE_GPA + 0x3000, false);

    put_kind(FREE);
    for (unsigned i = 1; i < 4; i++) {
        struct rmp_entry page = guest_page(AREA_GPA + i * 4096, false);

        rmp_put(t, AREA + i * 4096, &page);
    }
    both_ways(OTHER);
    e.validated = false;
    rmp_put(t, TABLE_SPA + 0x3000, &e);
    assert_int_equal(try_access(&rig, OTHER + 4096, ACCESS_READ).error, 0x404);
    assert_int_equal(rig.c->cr2, OTHER + 4096);
    e.validated = true;
    rmp_put(t, TABLE_SPA + 0x3000, &e);
    both_ways(OTHER + 4096);
    e = guest_page(TABLE_GPA, false);
    e.asid = ASID + 1;
    rmp_put(t, TABLE_SPA, &e); /* the root */
    assert_int_equal(try_access(&rig, OTHER + 8192, ACCESS_READ).info1,
                     (RMPFAULT & ~NPF_FINAL) | NPF_WALK | NPF_WRITE);
}

/* The host keeps nested tables in pages of its own (APM2 15.36.10: its page tables). */
static void nested_tables_are_the_hypervisors(void **state)
{
    struct rmp_entry e = guest_page(0, false);

    put_kind(VALID);
    both_ways(LA);
    rmp_put(t, NPT, &e);
    mmu_flush_all(rig.c);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).info1, RMPFAULT);
}

/* Translations from before the table was in force do not outlive that. */
static void the_table_comes_into_force(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);
    struct cpu *c = rig.c;

    rmp_release(t);
    c->snp = c->es = c->sev = false; /* a guest without keys, tables at the same addresses */
    c->key = DRAM_PLAIN;
    for (unsigned i = 0; i < 0x4000; i += 8) {
        uint64_t v;

        assert_true(dram_read(c->dram, TABLE_SPA + i, key, &v, 8));
        put_plain(SPARE + i, v & ~CBIT);
    }
    for (unsigned i = 0; i < 4; i++)
        put_plain(NPT + 0x1000 + (MIB / 4096 + i) * 8, (SPARE + i * 4096) | ALL);
    mmu_world(c, TABLE_GPA);
    mmu_flush_all(c);
    both_ways(LA);
    rmp_enable(t, true);
    assert_true(rmp_init_table(t));
    rmp_put(t, AREA, &e);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

/* SEV_FEATURES.VTOM: an address decides, not a bit (APM2 15.36.8). */
static void memory_is_private_below_virtual_tom(void **state)
{
    struct cpu *c = rig.c;

    put_kind(VALID);
    c->sev_features = 3; /* SNP, VTOM */
    c->virtual_tom = AREA_GPA + 2 * MIB;
    mmu_world(c, TABLE_GPA);
    both_ways(SHARED);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).error, 9); /* the C-bit is reserved */
    c->virtual_tom = AREA_GPA;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, SHARED, ACCESS_WRITE).info1,
                     (RMPFAULT & ~NPF_ENC) | NPF_WRITE);
}

/* Each test twice: DRAM that keeps views, and DRAM that is ciphertext. */
#define TRY(test, setup, name, how)                                                                \
    {                                                                                              \
        name, test, setup, stop, how                                                               \
    }
#define IN(test, setup)                                                                            \
    TRY(test, setup, #test, NULL), TRY(test, setup, #test " (eager DRAM)", &eager)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(bounds_have_a_grain_and_lock, bare),
        IN(syscfg_sticks, bare),
        IN(older_chips_have_none, NULL),
        IN(a_fresh_table, enabled),
        IN(bounds_that_make_no_table, bare),
        IN(entries_in_memory, enabled),
        IN(rmpupdate, enabled),
        IN(psmash, enabled),
        IN(without_snp_there_are_no_instructions, bare),
        IN(host_stores, enabled),
        IN(pvalidate, snp_guest),
        IN(pvalidate_in_32_bit_code, snp_guest),
        IN(who_may_execute_them, snp_guest),
        IN(rmpadjust, snp_guest),
        IN(rmpquery, snp_guest),
        IN(a_running_vmsa_is_in_use, snp_guest),
        IN(rmpupdate_is_felt_at_once, snp_guest),
        IN(large_mappings_lose_writes_with_the_first_page, snp_guest),
        IN(psmash_is_felt_at_once, snp_guest),
        IN(guests_instructions_are_felt_at_once, snp_guest),
        IN(vmpls_share_no_translation, snp_guest),
        IN(other_cores_forget_when_they_enter, snp_guest),
        IN(decoded_code_goes_too, snp_guest),
        IN(guests_tables_are_watched, snp_guest),
        IN(nested_tables_are_the_hypervisors, snp_guest),
        IN(the_table_comes_into_force, snp_guest),
        IN(memory_is_private_below_virtual_tom, snp_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
