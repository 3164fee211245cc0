/* Translations: what every combination of bits allows, error codes, A and D, nested faults, keys,
 * and what a flush must forget. The tables lie in DRAM, as a guest builds them. */
#include "sys_rig.h"

RIG_END

#define P   UINT64_C(0x1)
#define RW_ UINT64_C(0x2)
#define US  UINT64_C(0x4)
#define A   UINT64_C(0x20)
#define DD  UINT64_C(0x40)
#define PS  UINT64_C(0x80)
#define NX  (UINT64_C(1) << 63)
#define ALL (P | RW_ | US)

/* Guest tables, one page each, and what they map. */
#define PML4  0x10000u
#define PDPT  0x11000u
#define PD    0x12000u
#define PT    0x13000u
#define DATA  0x20000u
#define DATA2 0x21000u
#define LA    UINT64_C(0x00007F8000000000) /* PML4 index 255, the rest 0 */

static int start(void **state)
{
    static struct rig r;

    rig_start(&r, false);
    *state = &r;
    return 0;
}

static int start_eager(void **state)
{
    static struct rig r;

    rig_start(&r, true);
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    rig_stop(*state);
    return 0;
}

static void map_long(struct rig *r, uint64_t pml4e, uint64_t pdpe, uint64_t pde, uint64_t pte)
{
    put64(r, PML4 + 255 * 8, PDPT | pml4e);
    put64(r, PDPT, PD | pdpe);
    put64(r, PD, PT | pde);
    put64(r, PT, DATA | pte);
    mmu_flush_all(r->c);
}

/* ---- every combination of rights, against a second reading of APM2 5.6 ---- */
struct combination {
    bool present, writable, user, nx;    /* PTE */
    bool dir_writable, dir_user, dir_nx; /* PDE */
    bool wp, smep, smap, ac, nxe, user_mode;
    enum access acc;
};

static bool bit(unsigned n, unsigned at)
{
    return n >> at & 1;
}

/* -1: allowed; else the error code. */
static int64_t predict(const struct combination *k)
{
    bool w = k->writable && k->dir_writable, u = k->user && k->dir_user;
    bool x = !k->nx && !k->dir_nx, rsvd = !k->nxe && (k->dir_nx || (k->present && k->nx));
    bool write = k->acc == ACCESS_WRITE, fetch = k->acc == ACCESS_FETCH, ok;
    int64_t error =
        (write ? 2 : 0) | (k->user_mode ? 4 : 0) | (fetch && (k->nxe || k->smep) ? 16 : 0);

    if (rsvd && (k->dir_nx || k->present))
        return error | 1 | 8;
    if (!k->present)
        return error;
    if (k->user_mode)
        ok = u && (!write || w) && (!fetch || x);
    else if (fetch)
        ok = x && !(u && k->smep);
    else
        ok = !(u && k->smap && !k->ac) && (!write || w || !k->wp);
    return ok ? -1 : error | 1;
}

static void check_combination(struct rig *r, unsigned n, enum access acc)
{
    struct combination k = {bit(n, 0),  bit(n, 1),  bit(n, 2),  bit(n, 3), bit(n, 4),
                            bit(n, 5),  bit(n, 6),  bit(n, 7),  bit(n, 8), bit(n, 9),
                            bit(n, 10), bit(n, 11), bit(n, 12), acc};
    int64_t want = predict(&k);
    struct outcome out;

    put64(r, PD, PT | P | (k.dir_writable ? RW_ : 0) | (k.dir_user ? US : 0) | (k.dir_nx ? NX : 0));
    put64(r, PT,
          DATA | (k.present ? P : 0) | (k.writable ? RW_ : 0) | (k.user ? US : 0) |
              (k.nx ? NX : 0));
    r->c->rflags = 2 | (k.ac ? RFLAGS_AC : 0);
    long_paging(r, PML4, k.wp ? CR0_WP : 0, (k.smep ? CR4_SMEP : 0) | (k.smap ? CR4_SMAP : 0),
                k.nxe ? EFER_NXE : 0);
    mode(r, k.user_mode ? 3 : 0, true);
    mmu_flush_all(r->c);
    out = try_access(r, LA, acc);
    if (want < 0 ? out.how != DONE
                 : out.how != FAULT || out.vec != EXC_PF || out.error != (uint64_t)want ||
                       out.address != LA)
        fail_msg("combination %#x access %d: outcome %d vec %d error %#x, want %lld", n, acc,
                 out.how, out.vec, out.error, (long long)want);
    /* Nothing but success may set A in the last entry, nothing but a write D. */
    assert_int_equal(!!(get64(r, PT) & A), want < 0);
    assert_int_equal(!!(get64(r, PT) & DD), want < 0 && acc == ACCESS_WRITE);
}

static void every_combination_of_rights(void **state)
{
    struct rig *r = *state;

    map_long(r, ALL, ALL, ALL, ALL);
    for (unsigned n = 0; n < 1u << 13; n++)
        for (unsigned acc = ACCESS_READ; acc <= ACCESS_FETCH; acc++)
            check_combination(r, n, acc);
}

/* ---- laws of the 64-bit walk, one by one ---- */
static const struct {
    const char *law;
    uint64_t pml4e, pdpe, pde, pte;
    enum access acc;
    int error; /* -1: allowed */
} walks[] = {
    {"a plain page can be read", ALL, ALL, ALL, ALL, ACCESS_READ, -1},
    {"PML4E.P clear: not present", 0, ALL, ALL, ALL, ACCESS_READ, 0},
    {"PDPE.P clear: not present", ALL, 0, ALL, ALL, ACCESS_WRITE, 2},
    {"PDE.P clear: not present", ALL, ALL, 0, ALL, ACCESS_FETCH, 16},
    {"PML4E bit 7 must be zero", ALL | PS, ALL, ALL, ALL, ACCESS_READ, 9},
    {"an address bit above the physical width is reserved", ALL, ALL, ALL, ALL | BIT(51),
     ACCESS_READ, 9},
    {"bits 62:52 are available to software", ALL | BIT(52), ALL | BIT(58), ALL | BIT(60),
     ALL | BIT(62), ACCESS_READ, -1},
    {"a 1 GiB page needs zeros in 29:13", ALL, ALL | PS, ALL, ALL, ACCESS_READ, 9},
    {"a 2 MiB page needs zeros in 20:13", ALL, ALL, ALL | PS, ALL, ACCESS_READ, 9},
    {"W counts at every level", P | US, ALL, ALL, ALL, ACCESS_WRITE, 3},
    {"NX counts at every level", ALL | NX, ALL, ALL, ALL, ACCESS_FETCH, 17},
};

static void walks_of_long_mode(void **state)
{
    struct rig *r = *state;

    r->c->host_syscfg |= BIT(23); /* memory encryption takes physical bits */
    long_paging(r, PML4, CR0_WP, 0, EFER_NXE);
    for (size_t i = 0; i < COUNT(walks); i++) {
        struct outcome out;

        map_long(r, walks[i].pml4e, walks[i].pdpe, walks[i].pde, walks[i].pte);
        out = try_access(r, LA, walks[i].acc);
        if (walks[i].error < 0 ? out.how != DONE
                               : out.how != FAULT || out.error != (uint32_t)walks[i].error)
            fail_msg("%s: outcome %d error %#x", walks[i].law, out.how, out.error);
    }
}

static void large_pages_translate(void **state)
{
    struct rig *r = *state;

    long_paging(r, PML4, 0, 0, 0);
    put64(r, 0x345678, UINT64_C(0x1122334455667788));
    map_long(r, ALL, ALL | PS, 0, 0);
    put64(r, PDPT, ALL | PS); /* 1 GiB at 0 */
    uint64_t v = 0;
    struct attempt a = {.r = r, .la = LA + 0x345678, .data = &v, .size = 8};

    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, UINT64_C(0x1122334455667788));
    put64(r, PDPT, PD | ALL);
    put64(r, PD, 0x200000 | ALL | PS); /* 2 MiB */
    mmu_flush_all(r->c);
    a.la = LA + 0x145678;
    v = 0;
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, UINT64_C(0x1122334455667788));
    assert_true(get64(r, PD) & A);
    assert_false(get64(r, PD) & DD);
}

static void legacy_tables(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    uint64_t v = 0;
    struct attempt a = {.r = r, .la = 0x00401234, .data = &v, .size = 4};

    /* 32-bit: 4 KiB */
    c->cr0 = CR0_PE | CR0_PG | CR0_ET;
    c->cr4 = CR4_PSE;
    c->efer = 0;
    put32(r, PML4 + 4, PD | ALL);
    put32(r, PD + 4, DATA | ALL);
    put32(r, DATA + 0x234, 0xCAFEF00D);
    mmu_world(c, PML4);
    mode(r, 0, false);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0xCAFEF00D);
    assert_int_equal(get32(r, PML4 + 4), PD | ALL | A);
    assert_int_equal(get32(r, PD + 4), DATA | ALL | A);
    /* a 4 MiB page; bit 21 is reserved */
    put32(r, PML4 + 4, ALL | PS);
    put32(r, 0x1234, 0x600DF00D);
    mmu_flush_all(c);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0x600DF00D);
    put32(r, PML4 + 4, ALL | PS | 1u << 21);
    mmu_flush_all(c);
    assert_int_equal(attempt(do_load, &a).error, 9);
    /* PAE: four directory pointers, no rights in them; bit 1 of them is reserved */
    c->cr4 = CR4_PAE;
    put64(r, PML4, PD | P);
    memset(&v, 0, 8);
    put64(r, PD + 2 * 8, PT | ALL);
    put64(r, PT + 8, DATA | ALL);
    mmu_world(c, PML4);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0xCAFEF00D);
    assert_int_equal(get64(r, PML4), PD | P);
    put64(r, PML4, PD | P | RW_);
    mmu_flush_all(c);
    assert_int_equal(attempt(do_load, &a).error, 9);
    assert_false(pdptes_legal(c, PML4));
}

/* ---- nested paging (APM2 15.25.6): codes as hardware gives them ---- */
#define NPML4 0x30000u
#define NPDPT 0x31000u
#define NPD   0x32000u
#define NPT   0x33000u

static void nest(struct rig *r)
{
    struct cpu *c = r->c;

    put64(r, NPML4, NPDPT | ALL);
    put64(r, NPDPT, NPD | ALL);
    put64(r, NPD, NPT | ALL);
    for (unsigned i = 0; i < 512; i++)
        put64(r, NPT + 8 * i, i << 12 | ALL);
    c->guest = true;
    c->vmcb.asid = 1;
    c->nested_cr3 = NPML4;
    c->host_efer = EFER_NXE | EFER_SVME;
    long_paging(r, PML4, CR0_WP, 0, EFER_NXE);
    map_long(r, ALL, ALL, ALL, ALL);
}

static const struct {
    const char *law;
    uint64_t gpa, npte; /* the nested entry of this page becomes npte */
    enum access acc;
    uint64_t info1, info2;
} npfs[] = {
    {"the final page is absent", DATA, 0, ACCESS_READ, NPF_FINAL | 4, DATA + 0x10},
    {"... for a write", DATA, 0, ACCESS_WRITE, NPF_FINAL | 6, DATA + 0x10},
    {"... for a fetch", DATA, 0, ACCESS_FETCH, NPF_FINAL | 0x14, DATA + 0x10},
    {"a read-only final page refuses a write", DATA, DATA | P | US, ACCESS_WRITE, NPF_FINAL | 7,
     DATA + 0x10},
    {"every nested access is a user's", DATA, DATA | P | RW_, ACCESS_READ, NPF_FINAL | 5,
     DATA + 0x10},
    {"NX counts", DATA, DATA | ALL | NX, ACCESS_FETCH, NPF_FINAL | 0x15, DATA + 0x10},
    {"reserved bits of a nested entry", DATA, DATA | ALL | BIT(51), ACCESS_READ, NPF_FINAL | 0xD,
     DATA + 0x10},
    {"the guest's root is absent; its walk counts as a write", PML4, 0, ACCESS_READ, NPF_WALK | 6,
     PML4 + 255 * 8},
    {"the guest's last table is read-only; its walk counts as a write", PT, PT | P | US,
     ACCESS_READ, NPF_WALK | 7, PT},
};

static void nested_faults(void **state)
{
    struct rig *r = *state;

    r->c->host_syscfg |= BIT(23);
    nest(r);
    for (size_t i = 0; i < COUNT(npfs); i++) {
        struct outcome out;

        put64(r, NPT + npfs[i].gpa / 4096 * 8, npfs[i].npte);
        mmu_flush_all(r->c);
        out = try_access(r, LA + 0x10, npfs[i].acc);
        if (out.how != EXIT || out.code != VMEXIT_NPF || out.info1 != npfs[i].info1 ||
            out.info2 != npfs[i].info2)
            fail_msg("%s: outcome %d EXITINFO1 %#llx EXITINFO2 %#llx", npfs[i].law, out.how,
                     (unsigned long long)out.info1, (unsigned long long)out.info2);
        put64(r, NPT + npfs[i].gpa / 4096 * 8, npfs[i].gpa | ALL);
    }
}

/* The host may lift a restriction without a flush: a fault is never served from the TLB. */
static void npf_is_never_stale(void **state)
{
    struct rig *r = *state;

    nest(r);
    put64(r, NPT + DATA / 4096 * 8, DATA | P | US);
    mmu_flush_all(r->c);
    assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, EXIT);
    put64(r, NPT + DATA / 4096 * 8, DATA | ALL);
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, DONE);
    assert_true(get64(r, NPT + DATA / 4096 * 8) & DD);
    assert_true(get64(r, NPML4) & A);
}

static void decode_assists(void **state)
{
    static const uint8_t code[] = {0x48, 0x8B, 0x04, 0x25, 1, 2, 3, 4, 0x90, 0x90};
    struct rig *r = *state;
    struct cpu *c = r->c;
    struct op o = {.off = 4090 - 0xFF0, .base = REG_ZERO, .index = REG_ZERO, .len = 8};
    uint64_t v;
    struct attempt a = {.r = r, .o = &o, .la = LA + 0x1000, .data = &v, .size = 8};

    nest(r); /* the page after the code is not mapped: 6 bytes can be had */
    assert_true(soc_write(r->soc, DATA + 4090, code, 6));
    c->r[REG_BLOCK] = LA + 0xFF0;
    put64(r, PT + 8, 0x3FF000 | ALL); /* a guest-physical address that nobody maps */
    put64(r, NPD + 8, 0);
    assert_int_equal(attempt(do_load, &a).code, VMEXIT_NPF);
    assert_int_equal(c->vmcb.insn_len, 6);
    assert_memory_equal(c->vmcb.insn_bytes, code, 6);
}

/* ---- SEV: which key (APM2 15.34.5) ---- */
#define CBIT BIT(51)

static dram_key make_private(struct rig *r)
{
    static const uint8_t seed[32] = {1, 2, 3};
    struct cpu *c = r->c;

    nest(r);
    c->key = dram_key_new(c->dram, seed);
    c->sev = true;
    c->cbit = CBIT;
    c->host_syscfg |= BIT(23);
    return c->key;
}

static void put_private(struct rig *r, uint64_t at, uint64_t v)
{
    assert_true(dram_write(r->c->dram, at, r->c->key, &v, 8));
}

static void keys_follow_the_leaf(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    uint64_t v = 0;
    struct attempt a = {.r = r, .la = LA, .data = &v, .size = 8};

    make_private(r);
    /* Tables are read under the guest's key, with or without C in what points at them. */
    put_private(r, PML4 + 255 * 8, PDPT | ALL | CBIT);
    put_private(r, PDPT, PD | ALL);
    put_private(r, PD, PT | ALL | CBIT);
    put_private(r, PT, DATA | ALL | CBIT);
    put_private(r, PT + 8, DATA2 | ALL);
    put_private(r, DATA, 0x1111);
    put64(r, DATA2, 0x2222);
    mmu_world(c, PML4 | CBIT);
    mmu_flush_all(c);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0x1111);
    assert_int_not_equal(get64(r, DATA), 0x1111); /* the host sees ciphertext */
    a.la = LA + 0x1000;
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0x2222);
    assert_int_equal(get64(r, DATA2), 0x2222);
}

static void fetches_are_private(void **state)
{
    struct rig *r = *state;
    struct code_page p;

    make_private(r);
    put_private(r, PML4 + 255 * 8, PDPT | ALL);
    put_private(r, PDPT, PD | ALL);
    put_private(r, PD, PT | ALL);
    put_private(r, PT, DATA | ALL); /* C clear */
    mmu_flush_all(r->c);
    p = mmu_fetch(r->c, LA);
    assert_int_equal(p.frame, DATA / 4096);
    assert_int_equal(p.key, r->c->key);
    r->c->sev = false;
    r->c->cr0 &= ~CR0_PG;
}

static void bits_below_the_cbit_stay_reserved(void **state)
{
    struct rig *r = *state;

    make_private(r);
    put_private(r, PML4 + 255 * 8, PDPT | ALL);
    put_private(r, PDPT, PD | ALL);
    put_private(r, PD, PT | ALL);
    put_private(r, PT, DATA | ALL | CBIT | BIT(50));
    mmu_flush_all(r->c);
    assert_int_equal(try_access(r, LA, ACCESS_READ).error, 9);
}

static void without_paging_all_is_private(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    uint64_t v = 0;
    struct attempt a = {.r = r, .la = DATA, .data = &v, .size = 8};

    make_private(r);
    c->cr0 = CR0_PE;
    c->efer = 0;
    mode(r, 0, false);
    put_private(r, DATA, 0x7777);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, 0x7777);
}

/* The wrong key: the walk reads junk, and does not end at the page. */
static void another_key_opens_nothing(void **state)
{
    static const uint8_t other[32] = {9};
    struct rig *r = *state;
    struct cpu *c = r->c;

    make_private(r);
    put_private(r, PML4 + 255 * 8, PDPT | ALL);
    put_private(r, PDPT, PD | ALL);
    put_private(r, PD, PT | ALL);
    put_private(r, PT, DATA | ALL | CBIT);
    put_private(r, DATA, 0x1111);
    mmu_flush_all(c);
    assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
    c->key = dram_key_new(c->dram, other);
    mmu_context(c);
    assert_int_not_equal(try_access(r, LA, ACCESS_READ).how, DONE);
}

/* ---- accesses ---- */
static void a_crossing_store_is_all_or_nothing(void **state)
{
    struct rig *r = *state;
    uint64_t v = UINT64_MAX;
    struct attempt a = {.r = r, .la = LA + 0xFFC, .data = &v, .size = 8};
    struct outcome out;

    long_paging(r, PML4, CR0_WP, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    put64(r, PT + 8, DATA2 | P); /* read-only */
    put64(r, DATA + 0xFF8, 0);
    out = attempt(do_store, &a);
    assert_int_equal(out.error, 3);
    assert_int_equal(out.address, LA + 0x1000);
    assert_int_equal(get64(r, DATA + 0xFF8), 0);
    put64(r, PT + 8, DATA2 | ALL);
    assert_int_equal(attempt(do_store, &a).how, DONE);
    assert_int_equal(get64(r, DATA + 0xFF8), UINT64_C(0xFFFFFFFF00000000));
    assert_int_equal(get64(r, DATA2), UINT32_MAX);
    v = 0;
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, UINT64_MAX);
}

static void non_canonical_addresses(void **state)
{
    struct rig *r = *state;
    struct op data = {.flags = OP_MEM, .base = RAX, .index = REG_ZERO, .seg = FLAT};
    struct op stack = {.flags = OP_MEM, .base = RBP, .index = REG_ZERO, .seg = FLAT};
    uint64_t v;
    struct attempt a = {.r = r, .o = &data, .la = BIT(47), .data = &v, .size = 8};

    long_paging(r, PML4, 0, 0, 0);
    assert_int_equal(attempt(do_load, &a).vec, EXC_GP);
    a.o = &stack;
    assert_int_equal(attempt(do_load, &a).vec, EXC_SS);
    a.o = &data;
    a.la = BIT(47) - 4;
    assert_int_equal(attempt(do_load, &a).vec, EXC_GP);
    assert_int_equal(try_access(r, BIT(47), ACCESS_FETCH).vec, EXC_GP);
}

static void alignment_checks_are_for_users(void **state)
{
    struct rig *r = *state;
    uint64_t v;
    struct attempt a = {.r = r, .la = LA + 2, .data = &v, .size = 4};

    long_paging(r, PML4, CR0_AM, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    r->c->rflags |= RFLAGS_AC;
    mode(r, 3, true);
    assert_int_equal(attempt(do_load, &a).vec, EXC_AC);
    a.la = LA + 4;
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_null(tlb_hit(r->c, LA + 4, 4, false)); /* every access is looked at */
    mode(r, 0, true);
    a.la = LA + 2;
    assert_int_equal(attempt(do_load, &a).how, DONE);
    r->c->rflags = 2;
}

static void data_breakpoints(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    assert_int_equal(try_access(r, LA + 9, ACCESS_WRITE).how, DONE);
    assert_non_null(tlb_hit(c, LA + 9, 1, true));
    c->dr[1] = LA + 8;
    c->dr[7] = 0x400 | 1u << 2 | 1u << 20 | 3u << 22; /* L1, writes, 4 bytes */
    mmu_flush_all(c);
    assert_int_equal(try_access(r, LA + 9, ACCESS_READ).how, DONE);
    assert_false(c->debug_pending);
    assert_null(tlb_hit(c, LA + 9, 1, false));
    assert_int_equal(try_access(r, LA + 12, ACCESS_WRITE).how, DONE);
    assert_false(c->debug_pending);
    assert_int_equal(try_access(r, LA + 11, ACCESS_WRITE).how, DONE);
    assert_true(c->debug_pending);
    assert_int_equal(c->dr[6] & 0xF, 2);
    assert_int_equal(debug_match(c, LA + 8, 1, ACCESS_FETCH), 0);
    c->dr[7] = 0x400 | 2;
    c->dr[0] = LA;
    assert_int_equal(debug_match(c, LA, 1, ACCESS_FETCH), 1);
    c->debug_pending = false;
    c->dr[7] = 0x400;
    /* Set by a hypervisor: the next VMRUN forgets the page. */
    mmu_flush_all(c);
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, DONE);
    mmu_world(c, PML4);
    assert_non_null(tlb_hit(c, LA, 1, true));
    c->dr[7] = 0x400 | 2 | 1u << 16;
    mmu_world(c, PML4);
    assert_null(tlb_hit(c, LA, 1, true));
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, DONE);
    assert_true(c->debug_pending);
    c->debug_pending = false;
    c->dr[7] = 0x400;
}

/* ---- what is remembered, and what may not be ---- */
static void a_hit_needs_no_walk(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
    assert_non_null(tlb_hit(c, LA, 8, false));
    assert_null(tlb_hit(c, LA, 8, true)); /* not dirty yet: the walk must set D */
    assert_null(tlb_hit(c, LA + 0xFFF, 2, false));
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, DONE);
    assert_non_null(tlb_hit(c, LA, 8, true));
    mode(r, 3, true);
    assert_null(tlb_hit(c, LA, 8, false)); /* another view of the page */
    mode(r, 0, true);
    assert_non_null(tlb_hit(c, LA, 8, true));
}

static bool remembers(struct rig *r, uint64_t la)
{
    return tlb_hit(r->c, la, 1, false) != NULL;
}

static void flushes_forget(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long_paging(r, PML4, 0, CR4_PCIDE, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    put64(r, PT + 8, DATA2 | ALL);
    (void)try_access(r, LA, ACCESS_READ);
    (void)try_access(r, LA + 0x1000, ACCESS_READ);
    mmu_invlpg(c, LA);
    assert_false(remembers(r, LA));
    assert_true(remembers(r, LA + 0x1000));
    /* another PCID and back, without a flush */
    mmu_set_cr3(c, PML4 | 5 | BIT(63));
    assert_false(remembers(r, LA + 0x1000));
    mmu_set_cr3(c, PML4 | BIT(63));
    assert_true(remembers(r, LA + 0x1000));
    assert_int_equal(c->cr3, PML4);
    /* with one */
    mmu_set_cr3(c, PML4);
    assert_false(remembers(r, LA + 0x1000));
    (void)try_access(r, LA + 0x1000, ACCESS_READ);
    mmu_flush_asid(c, true);
    assert_false(remembers(r, LA + 0x1000));
    (void)try_access(r, LA + 0x1000, ACCESS_READ);
    mmu_flush_all(c);
    assert_false(remembers(r, LA + 0x1000));
}

static void a_large_page_is_forgotten_whole(void **state)
{
    struct rig *r = *state;

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, 0);
    put64(r, PD, 0x200000 | ALL | PS);
    for (unsigned i = 0; i < 16; i++)
        (void)try_access(r, LA + i * 0x3000, ACCESS_READ);
    assert_true(remembers(r, LA + 15 * 0x3000));
    mmu_invlpg(r->c, LA + 0x1FF000);
    for (unsigned i = 0; i < 16; i++)
        assert_false(remembers(r, LA + i * 0x3000));
    put64(r, PD, ALL | PS);
    uint64_t v = 0, there = UINT64_C(0xABCD);
    struct attempt a = {.r = r, .la = LA + 0x3000, .data = &v, .size = 8};

    put64(r, 0x3000, there);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v, there);
}

/* Directories are remembered too: INVLPG of any page forgets them, and a right they lack is asked
 * of the tables. */
static void directories_are_forgotten_and_never_deny(void **state)
{
    struct rig *r = *state;
    uint64_t v = 0;
    struct attempt a = {.r = r, .la = LA + 0x1008, .data = &v, .size = 8};

    long_paging(r, PML4, CR0_WP, 0, 0);
    map_long(r, ALL, ALL, P | US, ALL);
    put64(r, PT + 8, DATA | ALL);
    put64(r, DATA2 + 8, DATA2 | ALL); /* another page table, at DATA2, that maps itself */
    assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(r, LA + 0x1000, ACCESS_WRITE).error, 3);
    put64(r, PD, PT | ALL);
    assert_int_equal(try_access(r, LA + 0x1000, ACCESS_WRITE).how, DONE);
    put64(r, PD, DATA2 | ALL);
    mmu_invlpg(r->c, LA + 0x1000);
    assert_int_equal(attempt(do_load, &a).how, DONE);
    assert_int_equal(v & ~(A | DD), DATA2 | ALL);
}

static void context_numbers_run_out_safely(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
        mmu_set_cr3(c, PML4);
        assert_false(remembers(r, LA));
        assert_in_range(c->ctx, 1, 4095);
    }
}

static void a_frame_seen_otherwise_is_dropped(void **state)
{
    static const uint8_t seed[32] = {7};
    struct rig *r = *state;
    struct cpu *c = r->c;
    dram_key key = dram_key_new(c->dram, seed);

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    (void)try_access(r, LA, ACCESS_READ);
    assert_true(remembers(r, LA));
    assert_non_null(dram_touch(c->dram, DATA / 4096, key));
    assert_false(remembers(r, LA));
}

static void writes_to_code_are_slow(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long_paging(r, PML4, 0, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    dram_mark(c->dram, DATA / 4096, FRAME_CODE);
    assert_int_equal(try_access(r, LA, ACCESS_WRITE).how, DONE);
    /* No block stands there: the mark is gone, the next write may be fast. */
    assert_false(dram_marked(c->dram, DATA / 4096, FRAME_CODE));
    dram_mark(c->dram, DATA / 4096, FRAME_CODE);
    mmu_flush_all(c);
    assert_int_equal(try_access(r, LA, ACCESS_READ).how, DONE);
    assert_null(tlb_hit(c, LA, 1, true));
    assert_non_null(tlb_hit(c, LA, 1, false));
}

static void do_probe(struct attempt *a)
{
    mmu_probe_write(a->r->c, NULL, a->la, a->size);
}

static void spans_and_probes(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    struct attempt a = {.r = r, .la = LA + 0xFFC, .size = 8};

    long_paging(r, PML4, CR0_WP, 0, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    put64(r, DATA + 0x100, 42);
    assert_int_equal(load64(mmu_span(c, NULL, LA + 0x100, 8, ACCESS_READ)), 42);
    store64(mmu_span(c, NULL, LA + 0x100, 8, ACCESS_WRITE), 43);
    assert_int_equal(get64(r, DATA + 0x100), 43);
    /* A span that code stands on, or a breakpoint watches, must go piece by piece. */
    dram_mark(c->dram, DATA / 4096, FRAME_CODE);
    assert_null(mmu_span(c, NULL, LA + 0x100, 8, ACCESS_WRITE));
    assert_non_null(mmu_span(c, NULL, LA + 0x100, 8, ACCESS_READ));
    c->dr[0] = LA;
    c->dr[7] = 0x400 | 1 | 3u << 16;
    assert_null(mmu_span(c, NULL, LA + 0x100, 8, ACCESS_READ));
    c->dr[7] = 0x400;
    put64(r, PT + 8, DATA2 | P);
    assert_int_equal(attempt(do_probe, &a).error, 3);
    a.la = LA;
    assert_int_equal(attempt(do_probe, &a).how, DONE);
}

/* ---- INVPCID's operands ---- */
static void invpcid_refuses(void **state)
{
    static const struct {
        const char *law;
        uint64_t type, pcid, la;
        bool ok;
    } cases[] = {
        {"types are 0 to 3", 4, 0, 0, false},
        {"a PCID has 12 bits", 1, 0x1000, 0, false},
        {"type 0 needs a canonical address", 0, 1, BIT(50), false},
        {"type 2 looks at neither", 2, 0x1000, BIT(50), true},
        {"type 0", 0, 1, LA, true},
        {"type 1", 1, 1, 0, true},
        {"type 3", 3, 0, 0, true},
    };
    struct rig *r = *state;

    long_paging(r, PML4, 0, CR4_PCIDE, 0);
    map_long(r, ALL, ALL, ALL, ALL);
    for (size_t i = 0; i < COUNT(cases); i++) {
        static const uint8_t code[] = {0x66, 0x0F, 0x38, 0x82, 0x0B}; /* INVPCID RCX, [RBX] */
        uint64_t d[2] = {cases[i].pcid, cases[i].la};
        struct outcome out;

        assert_true(soc_write(r->soc, DATA, d, 16));
        r->c->r[RBX] = LA;
        r->c->r[RCX] = cases[i].type;
        out = try_insn(r, code, sizeof(code));
        if (out.how != (cases[i].ok ? DONE : FAULT))
            fail_msg("%s", cases[i].law);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define E(name)                                                                                    \
    {                                                                                              \
#name " (eager DRAM)", name, start_eager, stop, NULL                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_combination_of_rights),
        T(walks_of_long_mode),
        T(large_pages_translate),
        T(legacy_tables),
        T(nested_faults),
        T(npf_is_never_stale),
        T(decode_assists),
        T(keys_follow_the_leaf),
        T(fetches_are_private),
        T(bits_below_the_cbit_stay_reserved),
        T(without_paging_all_is_private),
        T(another_key_opens_nothing),
        T(a_crossing_store_is_all_or_nothing),
        T(non_canonical_addresses),
        T(alignment_checks_are_for_users),
        T(data_breakpoints),
        T(a_hit_needs_no_walk),
        T(flushes_forget),
        T(a_large_page_is_forgotten_whole),
        T(directories_are_forgotten_and_never_deny),
        T(context_numbers_run_out_safely),
        T(a_frame_seen_otherwise_is_dropped),
        T(writes_to_code_are_slow),
        T(spans_and_probes),
        T(invpcid_refuses),
        E(large_pages_translate),
        E(legacy_tables),
        E(nested_faults),
        E(keys_follow_the_leaf),
        E(without_paging_all_is_private),
        E(a_crossing_store_is_all_or_nothing),
    };

    return cmocka_run_group_tests_name("mmu", tests, NULL, NULL);
}
