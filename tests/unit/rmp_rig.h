/* A machine with a reverse map table, and an SNP guest on it whose pages a test gives and takes. */
#ifndef LUCCA_TESTS_RMP_RIG_H
#define LUCCA_TESTS_RMP_RIG_H

#include "sys_rig.h"

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
static inline void make(enum chip_id chip, unsigned cores)
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

static inline void enable(void)
{
    struct cpu *c;

    for (unsigned i = 0; (c = soc_core(rig.soc, i)); i++) {
        assert_true(cpu_wrmsr(c, MSR_RMP_BASE, RMP_AT));
        assert_true(cpu_wrmsr(c, MSR_RMP_END, RMP_AT + MIB - 1));
        assert_true(cpu_wrmsr(c, MSR_SYSCFG, SNP_BITS));
    }
    assert_true(rmp_init_table(t));
}

static inline struct rmp_entry guest_page(uint64_t gpa, bool large)
{
    return (struct rmp_entry){.assigned = true,
                              .validated = true,
                              .large = large,
                              .asid = ASID,
                              .gpa = gpa,
                              .perms = {VMPL_ALL, VMPL_ALL, 0, 0}};
}

static inline void put_private(uint64_t spa, uint64_t v)
{
    assert_true(dram_write(rig.c->dram, spa, key, &v, 8));
}

static inline void put_plain(uint64_t spa, uint64_t v)
{
    assert_true(dram_write(rig.c->dram, spa, DRAM_PLAIN, &v, 8));
}

static inline void guest_tables(void)
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

static inline void map_area(bool large)
{
    put_plain(NPD + (AREA_GPA >> 21) * 8, large ? AREA | PS | ALL : NPT | ALL);
    mmu_flush_all(rig.c);
}

static inline void become_guest(struct cpu *c)
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

static inline int snp_guest(void **state)
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

static inline int bare(void **state)
{
    eager = *state != NULL;
    make(CHIP_GENOA, 2);
    return 0;
}

static inline int enabled(void **state)
{
    eager = *state != NULL;
    make(CHIP_GENOA, 1);
    enable();
    return 0;
}

static inline int stop(void **state)
{
    rig_stop(&rig);
    return 0;
}

/* ---- pages and instructions ---- */
#define PVALIDATE INSN_BYTES(0xF2, 0x0F, 0x01, 0xFF)
#define RMPADJUST INSN_BYTES(0xF3, 0x0F, 0x01, 0xFE)
#define RMPQUERY  INSN_BYTES(0xF3, 0x0F, 0x01, 0xFD)
#define RMPFAULT  (NPF_PRESENT | NPF_USER | NPF_FINAL | NPF_RMP | NPF_ENC)

enum entry_kind { FREE, INVALID, VALID, FOREIGN, ELSEWHERE, FIXED, LARGE, LARGE_INVALID };

static inline void put_kind(enum entry_kind kind)
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

/* Each test twice: DRAM that keeps views, and DRAM that is ciphertext. */
#define TRY(test, setup, name, how)                                                                \
    {                                                                                              \
        name, test, setup, stop, how                                                               \
    }
#define IN(test, setup)                                                                            \
    TRY(test, setup, #test, NULL), TRY(test, setup, #test " (eager DRAM)", &eager)

#endif
