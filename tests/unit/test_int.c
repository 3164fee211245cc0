/* The integer interpreter where single instructions beside the host's do not look: what is kept
 * when an instruction faults half-way, repetition that pauses and resumes, stacks and branches of
 * every width, RFLAGS by privilege. Code runs by run() and ends at INT3, which is intercepted. */
#include "sys_rig.h"

#include "silicon/probe.h"
#include "silicon/cpu/flags.h"

RIG_END

#define PML4   0x10000u
#define PDPT   0x11000u
#define PD     0x12000u
#define PT     0x13000u
#define CODE   0x5000u
#define DATA   0x6000u /* present, and so is the next page */
#define STACK0 0x8000u
#define RO     0x9000u /* a page that cannot be written */
#define HOLE   0xA000u /* a page that is not present; the next one is */

static int start(void **state)
{
    static struct rig r;

    rig_start(&r, false);
    put64(&r, PML4, PDPT | 7);
    put64(&r, PDPT, PD | 7);
    put64(&r, PD, PT | 7);
    for (uint64_t at = 0; at < 0x200000; at += 0x1000)
        put64(&r, PT + at / 0x200, at | 7);
    put64(&r, PT + RO / 0x200, RO | 5);
    put64(&r, PT + HOLE / 0x200, 0);
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    struct rig *r = *state;

    r->c->guest = false;
    rig_stop(r);
    return 0;
}

/* ---- running code ---- */
static void fresh(struct rig *r)
{
    struct cpu *c = r->c;

    memset(c->r, 0, sizeof(c->r));
    memset(&c->lazy, 0, sizeof(c->lazy));
    c->rflags = 2;
    c->dr[6] = 0;
    c->shadow = false;
    c->inject = -1;
    c->guest = true;
    c->timer_at = UINT64_MAX;
    c->vmcb = (struct vmcb_control){
        .intercept_exception = UINT32_MAX, .intercept3 = INTERCEPT_BIT(VMEXIT_INTR), .asid = 1};
    c->r[RSP] = STACK0 + 0x800;
}

/* 64-bit code at a privilege. */
static struct cpu *long_code(void **state, unsigned cpl)
{
    struct rig *r = *state;

    fresh(r);
    long_paging(r, PML4, CR0_WP, 0, EFER_NXE);
    mode(r, cpl, true);
    return r->c;
}

/* 32- or 16-bit protected code without paging. */
static struct cpu *legacy_code(void **state, bool wide)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    fresh(r);
    c->cr0 = CR0_PE | CR0_NE | CR0_ET;
    c->cr4 = 0;
    c->efer = 0;
    mmu_world(c, 0);
    mode(r, 0, false);
    if (!wide) {
        c->seg[CS].attrib &= (uint16_t)~SEG_DB;
        c->seg[SS].attrib &= (uint16_t)~SEG_DB;
        c->seg[CS].limit = c->seg[SS].limit = 0xFFFF;
        cpu_mode_changed(c);
    }
    return c;
}

/* Runs until an intercepted exception; returns its vector, or -1 for another exit. */
static int go_on(struct rig *r)
{
    run(r->c);
    return r->c->vmcb.exitcode < VMEXIT_EXCEPTION + 32
               ? (int)(r->c->vmcb.exitcode - VMEXIT_EXCEPTION)
               : -1;
}

static int go(struct rig *r, const uint8_t *code, unsigned len)
{
    uint8_t page[64];

    memset(page, 0xCC, sizeof(page));
    memcpy(page, code, len);
    assert_true(soc_write(r->soc, CODE, page, sizeof(page)));
    r->c->rip = CODE;
    return go_on(r);
}
#define GO(...) go(*state, INSN_BYTES(__VA_ARGS__))

static void poke(void **state, uint64_t at, const void *from, size_t n)
{
    assert_true(soc_write(((struct rig *)*state)->soc, at, from, n));
}
static void peek(void **state, uint64_t at, void *to, size_t n)
{
    assert_true(soc_read(((struct rig *)*state)->soc, at, to, n));
}

/* ---- flags ---- */
static bool holds(unsigned cc, uint32_t f)
{
    bool c = f & FLAG_C, z = f & FLAG_Z, s = f & FLAG_S, o = f & FLAG_O, p = f & FLAG_P;
    const bool yes[] = {o, c, z, c || z, s, p, s != o, z || s != o};

    return yes[cc >> 1] != (cc & 1);
}

static void every_combination_of_flags_can_be_held(void **state)
{
    struct cpu *c = long_code(state, 0);

    for (uint32_t f = 0; f < 0x1000; f++) {
        if (f & ~OSZAPC)
            continue;
        flags_write(c, f);
        assert_int_equal(flags_read(c), f);
        for (unsigned cc = 0; cc < 16; cc++)
            assert_int_equal(condition(c, cc), holds(cc, f));
        for (unsigned cf = 0; cf < 2; cf++) {
            flags_write(c, f);
            flag_set_c(c, cf);
            assert_int_equal(flags_read(c), (f & ~FLAG_C) | cf);
        }
    }
}

/* APM3 POPF: IOPL changes at CPL 0 alone, IF when CPL <= IOPL. */
static void popf_changes_what_privilege_allows(void **state)
{
    static const struct {
        unsigned cpl, iopl;
        uint64_t may;
    } laws[] = {
        {0, 0, RFLAGS_IF | RFLAGS_IOPL},
        {3, 0, 0},
        {3, 3, RFLAGS_IF},
        {1, 1, RFLAGS_IF},
    };
    const uint64_t always = RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_ID | OSZAPC;
    const uint64_t all = UINT64_MAX & ~RFLAGS_TF;

    for (size_t i = 0; i < COUNT(laws); i++) {
        struct cpu *c = long_code(state, laws[i].cpl);
        uint64_t before = 2 | (uint64_t)laws[i].iopl << 12;

        c->rflags = before;
        poke(state, c->r[RSP], &all, 8);
        assert_int_equal(GO(0x9D), EXC_BP);
        assert_int_equal(rflags_get(c), before | always | laws[i].may);
        assert_int_equal(c->r[RSP], STACK0 + 0x808);
        /* 66: the upper half stays */
        c = long_code(state, laws[i].cpl);
        c->rflags = before;
        assert_int_equal(GO(0x66, 0x9D), EXC_BP);
        assert_int_equal(rflags_get(c), before | ((always | laws[i].may) & 0xFFFF));
    }
}

static void pushf_hides_rf(void **state)
{
    struct cpu *c = long_code(state, 0);
    uint64_t v;

    c->rflags = 2 | RFLAGS_RF | RFLAGS_ID;
    flags_write(c, FLAG_C | FLAG_S);
    assert_int_equal(GO(0x9C), EXC_BP);
    peek(state, STACK0 + 0x7F8, &v, 8);
    assert_int_equal(v, 2 | RFLAGS_ID | FLAG_C | FLAG_S);
}

/* ---- a fault leaves no trace ---- */
static const struct {
    const char *what;
    uint8_t code[8];
    unsigned len;
    int vec;
} faults[] = {
    /* RBX: read-only, RSI: a hole, RDI: present, RDX: not canonical */
    {"ADD to a read-only page", {0x48, 0x01, 0x03}, 3, EXC_PF},
    {"ADC to a hole", {0x48, 0x11, 0x06}, 3, EXC_PF},
    {"CMP with a hole", {0x48, 0x3B, 0x06}, 3, EXC_PF},
    {"INC of a read-only page", {0xFE, 0x03}, 2, EXC_PF},
    {"XADD to a read-only page", {0x48, 0x0F, 0xC1, 0x03}, 4, EXC_PF},
    {"XCHG with a read-only page", {0x48, 0x87, 0x03}, 3, EXC_PF},
    {"CMPXCHG of a read-only page", {0x48, 0x0F, 0xB1, 0x03}, 4, EXC_PF},
    {"CMPXCHG8B of a read-only page", {0x0F, 0xC7, 0x0B}, 3, EXC_PF},
    {"CMPXCHG16B, not aligned", {0x48, 0x0F, 0xC7, 0x4F, 0x08}, 5, EXC_GP},
    {"BTS in a read-only page", {0x48, 0x0F, 0xAB, 0x03}, 4, EXC_PF},
    {"SHL of a read-only page by 0", {0xC1, 0x23, 0x00}, 3, EXC_PF},
    {"PUSH from a hole", {0xFF, 0x36}, 2, EXC_PF},
    {"POP to a hole", {0x8F, 0x06}, 2, EXC_PF},
    {"POP [RSP - 8 + hole]", {0x8F, 0x84, 0x24, 0xF8, 0x17, 0x00, 0x00}, 7, EXC_PF},
    {"MOVS from a hole", {0xA4}, 1, EXC_PF},
    {"CALL to a non-canonical address", {0xFF, 0xD2}, 2, EXC_GP},
    {"JMP to a non-canonical address", {0xFF, 0xE2}, 2, EXC_GP},
    {"DIV by 0", {0xF7, 0xF5}, 2, EXC_DE},
    {"MOV through a non-canonical address", {0x8B, 0x02}, 2, EXC_GP},
    {"UD2", {0x0F, 0x0B}, 2, EXC_UD},
};

static void a_fault_leaves_no_trace(void **state)
{
    for (size_t i = 0; i < COUNT(faults); i++) {
        struct cpu *c = long_code(state, 0);
        uint64_t before[16];
        int vec;

        c->r[RAX] = 0x1234;
        c->r[RBX] = RO + 0x10;
        c->r[RDX] = BIT(47);
        c->r[RSI] = HOLE + 0x10;
        c->r[RDI] = DATA;
        flags_write(c, FLAG_C | FLAG_P | FLAG_O);
        memcpy(before, c->r, sizeof(before));
        vec = go(*state, faults[i].code, faults[i].len);
        if (vec != faults[i].vec || c->rip != CODE || memcmp(before, c->r, sizeof(before)) ||
            flags_read(c) != (FLAG_C | FLAG_P | FLAG_O))
            fail_msg("%s: vector %d at %#llx", faults[i].what, vec, (unsigned long long)c->rip);
    }
}

static void a_push_that_faults_keeps_the_pointer(void **state)
{
    static const uint8_t pushes[][5] = {{0x50}, {0x6A, 1}, {0x9C}, {0xE8, 0, 0, 0, 0}, {0xC8, 8}};
    static const unsigned len[] = {1, 2, 1, 5, 4};

    for (size_t i = 0; i < COUNT(pushes); i++) {
        struct cpu *c = long_code(state, 0);

        c->r[RSP] = HOLE + 8;
        c->r[RBP] = 0x77;
        assert_int_equal(go(*state, pushes[i], len[i]), EXC_PF);
        assert_int_equal(c->r[RSP], HOLE + 8);
        assert_int_equal(c->r[RBP], 0x77);
    }
}

/* A store across two pages of which the second is missing must not touch the first. */
static void a_store_over_a_page_end_is_whole_or_nothing(void **state)
{
    struct cpu *c = long_code(state, 0);
    uint64_t v = 0x5555555555555555;

    poke(state, HOLE - 4, &v, 4);
    c->r[RDI] = HOLE - 4;
    put64(*state, PT + RO / 0x200, RO | 7);
    mmu_flush_all(c);
    assert_int_equal(GO(0x48, 0x89, 0x07), EXC_PF);
    assert_int_equal(c->vmcb.exitinfo2, HOLE);
    assert_int_equal(get32(*state, HOLE - 4), 0x55555555);
    put64(*state, PT + RO / 0x200, RO | 5);
}

/* ---- strings ---- */
static void fill(void **state, uint64_t at, unsigned n, uint8_t step)
{
    uint8_t bytes[0x2000];

    for (unsigned i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * step + (i >> 8));
    poke(state, at, bytes, n);
}

/* Element by element is the law; overlapping copies tell bulk moves that break it. */
static void repeated_moves_are_element_by_element(void **state)
{
    static const struct {
        uint64_t from, to;
        unsigned size;
        bool down;
    } moves[] = {
        {DATA, DATA + 1, 1, false},
        {DATA, DATA + 3, 4, false},
        {DATA + 8, DATA, 8, false},
        {DATA, DATA + 0x1000, 8, false},
        {DATA + 5, DATA + 0xFFD, 2, false},
        {DATA + 0x800, DATA + 0x801, 1, true},
        {DATA + 0x801, DATA + 0x800, 4, true},
        {DATA + 0xFF8, DATA + 0x10, 8, false},
    };
    static const uint8_t codes[4][3] = {
        {0xF3, 0xA4}, {0x66, 0xF3, 0xA5}, {0xF3, 0xA5}, {0xF3, 0x48, 0xA5}};

    for (size_t i = 0; i < COUNT(moves); i++) {
        struct cpu *c = long_code(state, 0);
        unsigned size = moves[i].size, shape = size == 8 ? 3 : size / 2, n = 200;
        int64_t by = moves[i].down ? -(int64_t)size : (int64_t)size;
        uint8_t want[0x2000], got[0x2000];

        fill(state, DATA, sizeof(want), 7);
        peek(state, DATA, want, sizeof(want));
        for (unsigned k = 0; k < n; k++)
            memmove(want + (moves[i].to - DATA) + by * (int64_t)k,
                    want + (moves[i].from - DATA) + by * (int64_t)k, size);
        c->r[RSI] = moves[i].from;
        c->r[RDI] = moves[i].to;
        c->r[RCX] = n;
        c->rflags |= moves[i].down ? RFLAGS_DF : 0;
        assert_int_equal(go(*state, codes[shape], size == 1 || size == 4 ? 2 : 3), EXC_BP);
        peek(state, DATA, got, sizeof(got));
        if (memcmp(want, got, sizeof(want)) || c->r[RCX] ||
            c->r[RSI] != moves[i].from + (uint64_t)(by * n) ||
            c->r[RDI] != moves[i].to + (uint64_t)(by * n))
            fail_msg("move %zu", i);
    }
}

static void repetition_resumes_where_it_faulted(void **state)
{
    struct cpu *c = long_code(state, 0);
    uint8_t a[0x800], b[0x800];
    uint64_t retired;

    put64(*state, PT + RO / 0x200, RO | 7);
    mmu_flush_all(c);
    fill(state, DATA, 0x800, 3);
    c->r[RSI] = DATA;
    c->r[RDI] = HOLE - 0x100;
    c->r[RCX] = 0x800 / 4;
    c->rip = CODE;
    assert_int_equal(GO(0xF3, 0xA5), EXC_PF);
    assert_int_equal(c->vmcb.exitinfo2, HOLE);
    assert_int_equal(c->rip, CODE);
    assert_int_equal(c->r[RCX], 0x700 / 4);
    assert_int_equal(c->r[RSI], DATA + 0x100);
    assert_int_equal(c->r[RDI], HOLE);
    put64(*state, PT + HOLE / 0x200, HOLE | 7);
    retired = c->retired;
    assert_int_equal(go_on(*state), EXC_BP);
    assert_int_equal(c->retired - retired, 1);
    assert_int_equal(c->r[RCX], 0);
    peek(state, DATA, a, sizeof(a));
    peek(state, HOLE - 0x100, b, sizeof(b));
    assert_memory_equal(a, b, sizeof(a));
    put64(*state, PT + HOLE / 0x200, 0);
    put64(*state, PT + RO / 0x200, RO | 5);
}

/* A frame seen through two pages, one private and one shared: the shared one shows ciphertext, also
 * while the other is written. */
static void a_move_between_two_views_of_a_frame(void **state)
{
    static const uint8_t seed[32] = {1}, plain[32] = {2}, code[] = {0xF3, 0x48, 0xA5, 0xCC};
    struct cpu *c = long_code(state, 0);
    dram_key key = dram_key_new(c->dram, seed);
    const struct {
        uint64_t at, v;
    } tables[] = {
        {0x40000, 0x41007 | BIT(51)},  {0x41000, 0x42007 | BIT(51)},
        {0x42000, 0x43007 | BIT(51)},  {0x43000 + 0x50 * 8, 0x50007 | BIT(51)},
        {0x43000 + 0x51 * 8, 0x50007}, {0x43000 + 0x52 * 8, 0x52007 | BIT(51)},
    };
    uint8_t cipher[32], got[32];

    for (size_t i = 0; i < COUNT(tables); i++)
        assert_true(dram_write(c->dram, tables[i].at, key, &tables[i].v, 8));
    assert_true(dram_write(c->dram, 0x50000, key, plain, sizeof(plain)));
    assert_true(dram_write(c->dram, 0x52000, key, code, sizeof(code)));
    assert_true(dram_read(c->dram, 0x50000, DRAM_PLAIN, cipher, sizeof(cipher)));
    c->sev = true;
    c->cbit = BIT(51);
    c->key = key;
    mmu_world(c, 0x40000 | BIT(51));
    c->rip = 0x52000;
    c->r[RSI] = 0x51000;
    c->r[RDI] = 0x50100;
    c->r[RCX] = 4;
    assert_int_equal(go_on(*state), EXC_BP); /* REP MOVSQ */
    assert_true(dram_read(c->dram, 0x50100, key, got, sizeof(got)));
    assert_memory_equal(got, cipher, sizeof(got));
    c->sev = false;
    c->cbit = 0;
    c->key = DRAM_PLAIN;
}

/* A long repetition lets a timer in, with its progress in the registers, and counts its pauses the
 * same way every time. */
static void repetition_pauses_for_interrupts(void **state)
{
    struct cpu *c = long_code(state, 0);
    uint64_t retired = c->retired;

    c->r[RSI] = 0x1FFFFF;
    c->r[RCX] = 0x100000;
    c->rflags |= RFLAGS_DF;
    c->timer_at = c->retired + 3;
    assert_int_equal(GO(0xF3, 0xAC), -1); /* REP LODSB */
    assert_int_equal(c->vmcb.exitcode, VMEXIT_INTR);
    assert_int_equal(c->retired - retired, 3);
    assert_int_equal(c->rip, CODE);
    assert_int_equal(c->r[RCX], 0x100000 - 3 * 4096);
    assert_int_equal(c->r[RSI], 0x1FFFFF - 3 * 4096);
}

static void comparisons_end_repetition(void **state)
{
    struct cpu *c = long_code(state, 0);

    poke(state, DATA, "abcdefgh", 8);
    poke(state, DATA + 16, "abcdXfgh", 8);
    c->r[RSI] = DATA;
    c->r[RDI] = DATA + 16;
    c->r[RCX] = 8;
    assert_int_equal(GO(0xF3, 0xA6), EXC_BP); /* REPE CMPSB */
    assert_int_equal(c->r[RCX], 3);
    assert_int_equal(c->r[RSI], DATA + 5);
    assert_false(flag_z(c));
    c = long_code(state, 0);
    c->r[RAX] = 'f';
    c->r[RDI] = DATA;
    c->r[RCX] = 8;
    assert_int_equal(GO(0xF2, 0xAE), EXC_BP); /* REPNE SCASB */
    assert_int_equal(c->r[RCX], 2);
    assert_true(flag_z(c));
    c->r[RCX] = 0;
    flags_write(c, FLAG_C | FLAG_O);
    assert_int_equal(GO(0xF2, 0xAE), EXC_BP);
    assert_int_equal(flags_read(c), FLAG_C | FLAG_O); /* nothing compared */
}

/* APM3 REP: the trap flag traps after each element. */
static void single_steps_are_elements(void **state)
{
    struct cpu *c = long_code(state, 0);

    c->r[RSI] = DATA;
    c->r[RDI] = DATA + 0x100;
    c->r[RCX] = 3;
    c->rflags |= RFLAGS_TF;
    assert_int_equal(GO(0xF3, 0xA4), EXC_DB);
    assert_int_equal(c->r[RCX], 2);
    assert_int_equal(c->rip, CODE);
    assert_int_equal(go_on(*state), EXC_DB);
    assert_int_equal(c->rip, CODE);
    assert_int_equal(go_on(*state), EXC_DB);
    assert_int_equal(c->r[RCX], 0);
    assert_int_equal(c->rip, CODE + 2);
}

/* A load of SS holds traps back until after the next instruction, and its own single step is lost
 * (APM2 13.1.4, 8.5). */
static void a_load_of_ss_holds_traps_back(void **state)
{
    struct cpu *c = long_code(state, 0);

    c->r[RAX] = 0; /* null: legal in 64-bit code at CPL 0 */
    c->rflags |= RFLAGS_TF;
    assert_int_equal(GO(0x8E, 0xD0, 0x90, 0x90), EXC_DB); /* MOV SS, AX; NOP; NOP */
    assert_int_equal(c->rip, CODE + 3);
    c = long_code(state, 0);
    poke(state, DATA, &c->r[REG_ZERO], 2);
    c->r[RBX] = c->dr[0] = DATA;
    c->dr[7] = 0x30401 | 0x4; /* two bytes, reads and writes */
    c->dr[6] = 0xFFFF0FF8;
    mmu_flush_all(c);
    assert_int_equal(GO(0x8E, 0x13, 0x90, 0x90), EXC_DB); /* MOV SS, [RBX]; NOP; NOP */
    assert_int_equal(c->rip, CODE + 3);
    assert_int_equal(c->dr[6], 0xFFFF0FF1); /* its own match alone */
    c->dr[7] = 0x400;
    mmu_flush_all(c);
}

/* APM2 6.1.1: not the single step of the SYSCALL, if the mask takes TF away. */
static void a_masked_syscall_does_not_trap(void **state)
{
    struct cpu *c = long_code(state, 3);

    c->efer |= EFER_SCE;
    c->star = (uint64_t)c->seg[CS].selector << 32;
    c->lstar = CODE + 0x10;
    c->sfmask = RFLAGS_TF;
    c->rflags |= RFLAGS_TF;
    assert_int_equal(GO(0x0F, 0x05), EXC_BP);
    assert_int_equal(c->rip, CODE + 0x10);
    c = long_code(state, 3);
    c->efer |= EFER_SCE;
    c->sfmask = 0;
    c->rflags |= RFLAGS_TF;
    assert_int_equal(GO(0x0F, 0x05), EXC_DB);
    assert_int_equal(c->rip, CODE + 0x10);
}

/* ---- the debug port ---- */
static bool stopped_at(struct rig *r, const struct probe_point *want)
{
    struct probe_point hit;

    return r->c->vmcb.exitcode == VMEXIT_INTR && probe_hit(r->soc, r->c->id, &hit) &&
           hit.kind == want->kind && hit.la == want->la;
}

static void the_debug_port_stops_before_code(void **state)
{
    struct rig *r = *state;
    struct cpu *c = long_code(state, 0);
    const struct probe_point at = {PROBE_CODE, c->vmcb.asid, CODE + 3, 1};
    const struct probe_point other = {PROBE_CODE, c->vmcb.asid + 1, CODE, 1};
    uint64_t before = cpu_retired(c);

    assert_true(probe_set(r->soc, &other)); /* another guest's */
    assert_true(probe_set(r->soc, &at));
    c->r[RAX] = 0;
    assert_int_equal(GO(0x48, 0xFF, 0xC0, 0x48, 0xFF, 0xC0, 0x48, 0xFF, 0xC0), -1); /* INC RAX */
    assert_true(stopped_at(r, &at));
    assert_int_equal(c->rip, CODE + 3);
    assert_int_equal(c->r[RAX], 1);
    assert_int_equal(cpu_retired(c) - before, 1);
    assert_true(probe_clear(r->soc, &at));
    assert_false(probe_clear(r->soc, &at));
    assert_true(probe_clear(r->soc, &other));
    assert_int_equal(go_on(r), EXC_BP);
    assert_int_equal(c->r[RAX], 3);
    assert_int_equal(cpu_retired(c) - before, 3);
}

static void the_debug_port_stops_after_an_access(void **state)
{
    struct rig *r = *state;
    struct cpu *c = long_code(state, 0);
    struct probe_point at = {PROBE_WRITE, c->vmcb.asid, DATA + 4, 4};

    c->r[RBX] = DATA;
    assert_true(probe_set(r->soc, &at));
    /* MOV EAX, [RBX+4]; MOV [RBX], EAX; MOV [RBX+6], EAX; NOP */
    assert_int_equal(GO(0x8B, 0x43, 4, 0x89, 0x03, 0x89, 0x43, 6, 0x90), -1);
    assert_true(stopped_at(r, &at));
    assert_int_equal(c->rip, CODE + 8);
    assert_true(probe_clear(r->soc, &at));
    at.kind = PROBE_ACCESS;
    c = long_code(state, 0);
    c->r[RBX] = DATA;
    assert_true(probe_set(r->soc, &at));
    assert_int_equal(GO(0x8B, 0x43, 4, 0x89, 0x03, 0x89, 0x43, 6, 0x90), -1);
    assert_true(stopped_at(r, &at));
    assert_int_equal(c->rip, CODE + 3);
    assert_true(probe_clear(r->soc, &at));
    assert_int_equal(go_on(r), EXC_BP);
}

/* ---- stacks ---- */
static void a_16_bit_stack_wraps(void **state)
{
    struct cpu *c = legacy_code(state, false);
    uint16_t v = 0;

    c->r[RSP] = 0xABCD0000;
    c->r[RAX] = 0x1234;
    assert_int_equal(GO(0x50, 0x5B), EXC_BP); /* PUSH AX; POP BX */
    assert_int_equal(c->r[RSP], 0xABCD0000);
    assert_int_equal(c->r[RBX], 0x1234);
    peek(state, 0xFFFE, &v, 2);
    assert_int_equal(v, 0x1234);
}

static void pusha_and_popa_are_inverse(void **state)
{
    struct cpu *c = legacy_code(state, true);
    uint64_t before[8];

    for (unsigned i = 0; i < 8; i++)
        c->r[i] = i == RSP ? STACK0 + 0x800 : 0x11111111u * (i + 1);
    memcpy(before, c->r, sizeof(before));
    assert_int_equal(GO(0x60, 0x31, 0xC0, 0x31, 0xFF, 0x61), EXC_BP);
    assert_memory_equal(before, c->r, sizeof(before));
    assert_int_equal(get32(*state, STACK0 + 0x7FC), 0x11111111); /* EAX first */
    assert_int_equal(get32(*state, STACK0 + 0x7EC), STACK0 + 0x800);
}

static void pop_to_memory_counts_from_the_popped_pointer(void **state)
{
    struct cpu *c = long_code(state, 0);

    put64(*state, STACK0 + 0x800, 0x99);
    assert_int_equal(GO(0x8F, 0x44, 0x24, 0x08), EXC_BP); /* POP [RSP + 8] */
    assert_int_equal(get64(*state, STACK0 + 0x810), 0x99);
    assert_int_equal(c->r[RSP], STACK0 + 0x808);
}

static void pushes_beyond_the_limit_are_stack_faults(void **state)
{
    struct cpu *c = legacy_code(state, true);

    c->seg[SS].limit = 0x7FF;
    c->r[RSP] = 0x900;
    assert_int_equal(GO(0x50), EXC_SS);
    assert_int_equal(c->r[RSP], 0x900);
}

/* ---- branches ---- */
static void a_target_beyond_the_limit_changes_nothing(void **state)
{
    static const struct {
        uint8_t code[8];
        unsigned len;
    } branches[] = {
        {{0xE9, 0x00, 0x10, 0x00, 0x00}, 5},
        {{0xE8, 0x00, 0x10, 0x00, 0x00}, 5},
        {{0x0F, 0x85, 0x00, 0x10, 0x00, 0x00}, 6},
        {{0xFF, 0xE0}, 2},
        {{0xFF, 0xD0}, 2},
        {{0xC3}, 1},
        {{0xC2, 0x08, 0x00}, 3},
    };

    for (size_t i = 0; i < COUNT(branches); i++) {
        struct cpu *c = legacy_code(state, true);

        c->seg[CS].limit = CODE + 0xFFF;
        c->r[RAX] = CODE + 0x1000;
        put32(*state, STACK0 + 0x800, CODE + 0x1000);
        c->lazy.result = 1; /* not zero */
        assert_int_equal(go(*state, branches[i].code, branches[i].len), EXC_GP);
        assert_int_equal(c->rip, CODE);
        assert_int_equal(c->r[RSP], STACK0 + 0x800);
    }
}

static void loops_count_in_the_address_size(void **state)
{
    struct cpu *c = long_code(state, 0);

    c->r[RCX] = 0x100000001;
    c->r[RAX] = 5;
    assert_int_equal(GO(0x67, 0xE2, 0x02, 0xB0, 0x07), EXC_BP); /* LOOP by ECX: falls through */
    assert_int_equal(c->r[RCX], 0);
    assert_int_equal(c->r[RAX], 7);
    c = long_code(state, 0);
    c->r[RCX] = 0x100000001;
    assert_int_equal(GO(0xE2, 0x02, 0xB0, 0x07), EXC_BP); /* by RCX: taken */
    assert_int_equal(c->r[RCX], 0x100000000);
    assert_int_equal(c->r[RAX], 0);
}

/* AMD's cores take 66 on near branches as operand size and cut RIP (APM3 1.2.2). */
static void operand_size_cuts_rip(void **state)
{
    struct cpu *c = legacy_code(state, true);

    c->r[RAX] = 0x12340000 | (CODE + 0x20);
    assert_int_equal(GO(0x66, 0xFF, 0xE0), EXC_BP);
    assert_int_equal(c->rip, CODE + 0x20);
    c = long_code(state, 0);
    c->r[RAX] = 0x12340000 | (CODE + 0x20);
    assert_int_equal(GO(0x66, 0xFF, 0xD0), EXC_BP);
    assert_int_equal(c->rip, CODE + 0x20);
    assert_int_equal(c->r[RSP], STACK0 + 0x7FE);
}

/* Direct branches are linked; a changed target must still be seen. */
static void linked_branches_see_new_code(void **state)
{
    /* 1: INC EAX; DEC ECX; JNE 1b */
    static const uint8_t loop[] = {0xFF, 0xC0, 0xFF, 0xC9, 0x75, 0xFA};
    struct cpu *c = long_code(state, 0);

    c->r[RCX] = 1000;
    assert_int_equal(go(*state, loop, sizeof(loop)), EXC_BP);
    assert_int_equal(c->r[RAX], 1000);
    c->r[RCX] = 10;
    c->r[RDI] = CODE + 1; /* INC EAX becomes INC EBX */
    assert_int_equal(GO(0xFF, 0xC0, 0xC6, 0x07, 0xC3, 0xFF, 0xC9, 0x75, 0xF7), EXC_BP);
    assert_int_equal(c->r[RAX], 1001);
    assert_int_equal(c->r[RBX], 9);
}

static void bound_checks_both_ends(void **state)
{
    static const int32_t bounds[2] = {-5, 10};
    struct cpu *c = legacy_code(state, true);

    poke(state, DATA, bounds, sizeof(bounds));
    c->r[RBX] = DATA;
    for (int i = -7; i < 13; i++) {
        c->r[RAX] = (uint32_t)i;
        assert_int_equal(GO(0x62, 0x03), i < -5 || i > 10 ? EXC_BR : EXC_BP);
    }
}

/* ---- dispatch ---- */
#ifdef THREADED
static uintptr_t arrived; /* the stack's depth where the next routine began */

static void probe(struct cpu *c, const struct op *o)
{
    (void)c;
    (void)o;
    arrived = (uintptr_t)__builtin_frame_address(0);
}

static void call_routine(struct attempt *a)
{
    a->o->fn(a->r->c, a->o);
}

/* A routine that calls the next instead of jumping there lets a guest's loop use up the stack. */
static void routines_jump_to_the_next(void **state)
{
    struct op ops[2] = {{.fn = probe}, {.fn = probe}};
    struct attempt a = {.r = *state, .o = ops};
    unsigned reached = 0, tried = 0;
    uintptr_t base;

    long_code(state, 0);
    assert_int_equal(attempt(call_routine, &a).how, DONE);
    base = arrived;
    for (unsigned f = 0; f < FORMS; f++) {
        for (unsigned shape = 0; shape < 8; shape++) {
            struct cpu *c;

            if (insn_rows[f].rules & END)
                continue;
            c = long_code(state, 0);
            x87_reset(c);
            for (unsigned i = 0; i < 16; i++)
                c->r[i] = DATA;
            c->r[RDX] = 0;
            c->r[RSP] = STACK0 + 0x800;
            ops[0] = (struct op){.fn = insn_rows[f].exec[shape],
                                 .form = (uint16_t)f,
                                 .size = (uint8_t)(1 << (shape & 3)),
                                 .flags = shape >= 4 ? OP_MEM : 0,
                                 .base = RBX,
                                 .index = REG_ZERO,
                                 .seg = FLAT,
                                 .asize = 8};
            arrived = 0;
            tried++;
            if (attempt(call_routine, &a).how != DONE || !arrived)
                continue;
            reached++;
            if (arrived != base)
                fail_msg("%s: calls the next routine (see EXEC_BODY)", insn_rows[f].form);
        }
    }
    assert_true(reached > tried / 10 * 9);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_flags_can_be_held),
        cmocka_unit_test(popf_changes_what_privilege_allows),
        cmocka_unit_test(pushf_hides_rf),
        cmocka_unit_test(a_fault_leaves_no_trace),
        cmocka_unit_test(a_push_that_faults_keeps_the_pointer),
        cmocka_unit_test(a_store_over_a_page_end_is_whole_or_nothing),
        cmocka_unit_test(repeated_moves_are_element_by_element),
        cmocka_unit_test(a_move_between_two_views_of_a_frame),
        cmocka_unit_test(repetition_resumes_where_it_faulted),
        cmocka_unit_test(repetition_pauses_for_interrupts),
        cmocka_unit_test(comparisons_end_repetition),
        cmocka_unit_test(single_steps_are_elements),
        cmocka_unit_test(a_load_of_ss_holds_traps_back),
        cmocka_unit_test(the_debug_port_stops_before_code),
        cmocka_unit_test(the_debug_port_stops_after_an_access),
        cmocka_unit_test(a_masked_syscall_does_not_trap),
        cmocka_unit_test(a_16_bit_stack_wraps),
        cmocka_unit_test(pusha_and_popa_are_inverse),
        cmocka_unit_test(pop_to_memory_counts_from_the_popped_pointer),
        cmocka_unit_test(pushes_beyond_the_limit_are_stack_faults),
        cmocka_unit_test(a_target_beyond_the_limit_changes_nothing),
        cmocka_unit_test(loops_count_in_the_address_size),
        cmocka_unit_test(operand_size_cuts_rip),
        cmocka_unit_test(linked_branches_see_new_code),
        cmocka_unit_test(bound_checks_both_ends),
#ifdef THREADED /* elsewhere they return to run() */
        cmocka_unit_test(routines_jump_to_the_next),
#endif
    };

    return cmocka_run_group_tests(tests, start, stop);
}
