/* FXSAVE, XSAVE and their kin: against the host where it has them, and law by law. */
#include "silicon/cpu/fp.h"
#include "silicon/cpu/x87.h"

#include <stdio.h>
#include <sys/mman.h>

#include "cpu_bench.h"

#define AREA     1024 /* 832 used */
#define AT_FIRST (BENCH_AREA + 0x000)
#define AT_NEXT  (BENCH_AREA + 0x400)
#define AT_OUT   (BENCH_AREA + 0x800)

static struct bench bench;

static int start(void **state)
{
    (void)state;
    bench_start(&bench);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    bench_stop(&bench);
    return 0;
}

static uint64_t seed = 3;
static uint64_t rnd(void)
{
    return bench_random(&seed);
}
static unsigned below(unsigned n)
{
    return (unsigned)(rnd() % n);
}

/* Instructions on [rdi], 64-bit forms. */
static const uint8_t fxsave[] = {0x48, 0x0F, 0xAE, 0x07};
static const uint8_t fxrstor[] = {0x48, 0x0F, 0xAE, 0x0F};
static const uint8_t xsave[] = {0x48, 0x0F, 0xAE, 0x27};
static const uint8_t xrstor[] = {0x48, 0x0F, 0xAE, 0x2F};
static const uint8_t xsaveopt[] = {0x48, 0x0F, 0xAE, 0x37};
static const uint8_t xrstors[] = {0x48, 0x0F, 0xC7, 0x1F};
static const uint8_t xsavec[] = {0x48, 0x0F, 0xC7, 0x27};
static const uint8_t xsaves[] = {0x48, 0x0F, 0xC7, 0x2F};

static int op_at(const uint8_t code[4], uint32_t at, uint64_t mask)
{
    bench.c->r[RDI] = at;
    bench.c->r[RAX] = mask;
    bench.c->r[RDX] = 0;
    return bench_run(&bench, code, 4);
}

static void put(uint32_t at, const uint8_t *area)
{
    bench_put(&bench, at, area, AREA);
}

static void get(uint32_t at, uint8_t *area)
{
    bench_get(&bench, at, area, AREA);
}

/* A legal image: every register zero or random; a header of either form. */
static void area_make(uint8_t *a, bool compacted)
{
    memset(a, 0, AREA);
    store16(a, below(2) ? 0x37F : (uint16_t)rnd());
    store16(a + 2, below(2) ? 0 : (uint16_t)rnd());
    a[4] = below(2) ? 0 : (uint8_t)rnd();
    if (below(2)) {
        store16(a + 6, (uint16_t)rnd());
        store64(a + 8, rnd() >> 17); /* canonical */
        store64(a + 16, rnd() >> 17);
    }
    store32(a + 24, below(2) ? 0x1F80 : (uint32_t)rnd() & 0xFFFF);
    store32(a + 28, (uint32_t)rnd());
    for (unsigned i = 32; below(2) && i < 160; i += 8)
        store64(a + i, rnd());
    for (unsigned i = 160; below(3) && i < 416; i += 8)
        store64(a + i, rnd());
    for (unsigned i = 576; below(3) && i < 832; i += 8)
        store64(a + i, rnd());
    store64(a + 512, rnd() & 7);
    if (compacted)
        store64(a + 520, BIT(63) | (rnd() & 7) | load64(a + 512));
}

/* Before a writer: what it must keep shows. */
static void poison(uint8_t *a)
{
    for (unsigned i = 0; i < AREA; i += 8)
        store64(a + i, rnd());
    store64(a + 512, rnd() & 7);
}

#ifdef __x86_64__
#include <cpuid.h>

static uint8_t *thunk;
static uint8_t (*host)[AREA]; /* first, next, out */

static bool host_able(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) ||
        !__get_cpuid_count(13, 1, &a, &b, &c, &d) || (a & 3) != 3)
        return false;
    /* Error pointers and what counts as in use are AMD's here. */
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

static void emit(uint8_t **at, const void *bytes, size_t n)
{
    memcpy(*at, bytes, n);
    *at += n;
}

/* xrstor [rdi], mask 7; then `code` on [r8], `mask`; then `last` on [r9], mask 7. */
static void native(const uint8_t code[4], unsigned mask, const uint8_t last[4])
{
    static const uint8_t all[] = {0xB8, 7, 0, 0, 0, 0x31, 0xD2}; /* mov eax, 7; xor edx, edx */
    static const uint8_t to_r8[] = {0x4C, 0x89, 0xC7};           /* mov rdi, r8 */
    static const uint8_t to_r9[] = {0x4C, 0x89, 0xCF};           /* mov rdi, r9 */
    static const uint8_t end[] = {0xDB, 0xE3, 0xC5, 0xF8, 0x77, 0xC3}; /* fninit; vzeroupper; ret */
    uint8_t some[] = {0xB8, (uint8_t)mask, 0, 0, 0}, *at = thunk;
    uint32_t mxcsr;

    emit(&at, all, sizeof(all));
    emit(&at, xrstor, 4);
    emit(&at, to_r8, sizeof(to_r8));
    emit(&at, some, sizeof(some));
    emit(&at, code, 4);
    emit(&at, to_r9, sizeof(to_r9));
    emit(&at, all, sizeof(all));
    emit(&at, last, 4);
    emit(&at, end, sizeof(end));
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    ((void (*)(uint8_t *, long, long, long, uint8_t *, uint8_t *))(uintptr_t)thunk)(
        host[0], 0, 0, 0, host[1], host[2]);
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
}

static bool same(const char *what, unsigned mask, const uint8_t *theirs, uint32_t at, bool tell)
{
    uint8_t ours[AREA];
    bool ok;

    get(at, ours);
    ok = !memcmp(theirs, ours, AREA);
    for (unsigned i = 0; tell && !ok && i < AREA; i += 8)
        if (load64(theirs + i) != load64(ours + i))
            printf("# %s mask %u at %u: host %016llx ours %016llx\n", what, mask, i,
                   (unsigned long long)load64(theirs + i), (unsigned long long)load64(ours + i));
    return ok;
}

static void host_agrees(void **state)
{
    static const struct {
        const char *name;
        const uint8_t *code;
        bool reads;
    } ops[] = {{"fxsave", fxsave, false},     {"fxrstor", fxrstor, true}, {"xsave", xsave, false},
               {"xsaveopt", xsaveopt, false}, {"xsavec", xsavec, false},  {"xrstor", xrstor, true}};
    unsigned bad = 0;

    (void)state;
    if (!host_able())
        skip();
    thunk =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    host = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(thunk, MAP_FAILED);
    assert_ptr_not_equal(host, MAP_FAILED);
    for (unsigned i = 0; i < 20000 && bad < 4; i++) {
        unsigned n = below(COUNT(ops)), mask = below(8);
        uint8_t inputs[3][AREA];
        bool ok = false;

        area_make(host[0], false);
        if (ops[n].reads)
            area_make(host[1], ops[n].code == xrstor && below(2));
        else
            poison(host[1]);
        poison(host[2]);
        put(AT_FIRST, host[0]);
        put(AT_NEXT, host[1]);
        put(AT_OUT, host[2]);
        assert_int_equal(op_at(xrstor, AT_FIRST, 7), -1);
        assert_int_equal(op_at(ops[n].code, AT_NEXT, mask), -1);
        assert_int_equal(op_at(xsave, AT_OUT, 7), -1);
        /* An interrupt in between may leave zeros that the host counts as in use. */
        memcpy(inputs, host, sizeof(inputs));
        for (unsigned tries = 0; !ok && tries < 4; tries++) {
            memcpy(host, inputs, sizeof(inputs));
            native(ops[n].code, mask, xsave);
            ok = same(ops[n].name, mask, host[1], AT_NEXT, tries == 3) &&
                 same("after it", mask, host[2], AT_OUT, tries == 3);
        }
        bad += !ok;
    }
    assert_int_equal(bad, 0);
}
#endif

/* ---- laws ---- */

static void fresh(void)
{
    bench.c->cr0 = CR0_PE | CR0_NE | CR0_ET | CR0_MP;
    bench.c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    bench.c->efer = 0;
    bench.c->xcr0 = 7;
    bench.c->cpl = 0;
}

struct change {
    unsigned at;
    uint8_t value;
};

/* What XRSTOR refuses with #GP (APM2 11.5.6), as changes of a legal header of each form. */
static void xrstor_refuses_bad_headers(void **state)
{
    static const struct {
        bool compacted;
        struct change change;
        int vector;
    } cases[] = {
        {false, {513, 0x01}, EXC_GP}, /* XSTATE_BV: a component XCR0 lacks */
        {false, {519, 0x80}, EXC_GP}, {false, {520, 0x01}, EXC_GP}, {false, {528, 0x01}, EXC_GP},
        {false, {535, 0x01}, EXC_GP}, {false, {536, 0x01}, -1},     {false, {575, 0x01}, -1},
        {true, {521, 0x01}, EXC_GP},  {true, {520, 0x03}, EXC_GP}, /* not all of XSTATE_BV */
        {true, {528, 0x01}, EXC_GP},  {true, {536, 0x01}, EXC_GP},  {true, {575, 0x01}, EXC_GP},
        {false, {27, 0x01}, EXC_GP},                           /* reserved MXCSR bits */
        {true, {27, 0x01}, EXC_GP},   {false, {26, 0x02}, -1}, /* MM is none */
    };

    (void)state;
    fresh();
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t area[AREA] = {0x7F, 0x03}, before[AREA], after[AREA];

        store32(area + 24, 0x1F80);
        store64(area + 512, 7);
        store64(area + 520, cases[i].compacted ? BIT(63) | 7 : 0);
        assert_int_equal((put(AT_FIRST, area), op_at(xrstor, AT_FIRST, 7)), -1);
        memset(area + 160, 0x55, 256);
        area[cases[i].change.at] = cases[i].change.value;
        put(AT_FIRST, area);
        cpu_xsave(bench.c, before);
        assert_int_equal(op_at(xrstor, AT_FIRST, 7), cases[i].vector);
        cpu_xsave(bench.c, after);
        if (cases[i].vector >= 0)
            assert_memory_equal(before, after, CPU_XSAVE_BYTES);
        else
            assert_int_equal(after[160], 0x55);
    }
}

static void gates(void **state)
{
    static const uint8_t *const ops[] = {xsave, xrstor, xsaveopt, xsavec, xsaves, xrstors};
    uint8_t area[AREA] = {0};

    (void)state;
    put(AT_FIRST, area);
    for (size_t i = 0; i < COUNT(ops); i++) {
        fresh();
        assert_int_equal(op_at(ops[i], AT_FIRST + 32, 7), EXC_GP);
        bench.c->cr0 |= CR0_TS;
        assert_int_equal(op_at(ops[i], AT_FIRST, 7), EXC_NM);
        bench.c->cr4 &= ~CR4_OSXSAVE;
        assert_int_equal(op_at(ops[i], AT_FIRST, 7), EXC_UD);
    }
    fresh();
    assert_int_equal(op_at(fxsave, AT_FIRST + 8, 7), EXC_GP);
    assert_int_equal(op_at(fxrstor, AT_FIRST + 8, 7), EXC_GP);
}

static void xsaves_and_xrstors(void **state)
{
    uint8_t area[AREA], image[CPU_XSAVE_BYTES], again[CPU_XSAVE_BYTES];

    (void)state;
    fresh();
    area_make(area, false);
    store64(area + 512, 7);
    store64(area + 160, 1); /* every component in use */
    store64(area + 576, 1);
    put(AT_FIRST, area);
    assert_int_equal(op_at(xrstor, AT_FIRST, 7), -1);
    assert_int_equal(op_at(xrstors, AT_FIRST, 7), EXC_GP); /* standard form */
    cpu_xsave(bench.c, image);
    memset(area, 0, AREA); /* the writer leaves the header's reserved bytes alone */
    put(AT_NEXT, area);
    assert_int_equal(op_at(xsaves, AT_NEXT, 7), -1);
    get(AT_NEXT, area);
    assert_true(load64(area + 520) == (BIT(63) | 7));
    memset(area, 0, AREA);
    put(AT_FIRST, area);
    assert_int_equal(op_at(xrstor, AT_FIRST, 7), -1);
    assert_int_equal(op_at(xrstors, AT_NEXT, 7), -1);
    cpu_xsave(bench.c, again);
    assert_memory_equal(image, again, CPU_XSAVE_BYTES);
}

/* EFER.FFXSR at CPL 0, and CR4.OSFXSR clear (APM2 11.4.4). */
static void fxsave_without_xmm(void **state)
{
    uint8_t area[AREA];

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        bool keeps_xmm = k != 2, keeps_mxcsr = k == 1;

        fresh();
        bench.c->vec[3].q[0] = 42;
        mxcsr_write(bench.c, 0x1F80);
        if (k == 1)
            bench.c->cr4 &= ~CR4_OSFXSR;
        else
            bench.c->efer = EFER_FFXSR;
        bench.c->cpl = k == 2 ? 3 : 0;
        memset(area, 0xA5, AREA);
        put(AT_FIRST, area);
        assert_int_equal(op_at(fxsave, AT_FIRST, 0), -1);
        get(AT_FIRST, area);
        assert_int_equal(load64(area + 160 + 48), keeps_xmm ? 0xA5A5A5A5A5A5A5A5 : 42);
        assert_int_equal(load32(area + 24), keeps_mxcsr ? 0xA5A5A5A5 : 0x1F80);
        assert_int_equal(load32(area + 28), keeps_mxcsr ? 0xA5A5A5A5 : 0x2FFFF);
        store64(area + 160 + 48, 43);
        store32(area + 24, 0x1FA0);
        put(AT_FIRST, area);
        assert_int_equal(op_at(fxrstor, AT_FIRST, 0), -1);
        assert_int_equal(bench.c->vec[3].q[0], keeps_xmm ? 42 : 43);
        assert_int_equal(mxcsr_read(bench.c), keeps_mxcsr ? 0x1F80 : 0x1FA0);
    }
    fresh();
    store32(area + 24, 0xFFFFFFFF);
    put(AT_FIRST, area);
    assert_int_equal(op_at(fxrstor, AT_FIRST, 0), EXC_GP);
}

/* Chips without XSAVEERPTR restore the error pointers only with an exception pending. */
static void error_pointers(void **state)
{
    uint64_t features = bench.c->features[FEAT_XSAVEERPTR / 64];

    (void)state;
    fresh();
    for (unsigned k = 0; k < 4; k++) {
        bool always = k & 1, pending = k & 2;
        uint8_t area[AREA] = {0x7F, 0x03};

        if (!always)
            bench.c->features[FEAT_XSAVEERPTR / 64] &= ~BIT(FEAT_XSAVEERPTR % 64);
        if (pending) {
            store16(area, 0x37B);
            store16(area + 2, X87_ZE);
        }
        store32(area + 24, 0x1F80);
        store64(area + 8, 0x1122334455);
        put(AT_FIRST, area);
        bench.c->x87.ip = 7;
        assert_int_equal(op_at(fxrstor, AT_FIRST, 0), -1);
        assert_int_equal(bench.c->x87.ip, always || pending ? 0x1122334455 : 7);
        assert_int_equal(op_at(fxsave, AT_FIRST, 0), -1);
        get(AT_FIRST, area);
        assert_int_equal(load64(area + 8), pending ? 0x1122334455 : 0);
        bench.c->features[FEAT_XSAVEERPTR / 64] = features;
    }
}

/* 4-level tables over the bench's memory, the page `hole` missing. */
static void page(uint32_t hole)
{
    uint64_t tables[4][512] = {{0}};

    for (unsigned level = 0; level < 3; level++)
        tables[level][0] = (0x100000 + 0x1000 * (level + 1)) | 7;
    for (unsigned i = 0; i < 512; i++)
        tables[3][i] = i == hole >> 12 ? 0 : i << 12 | 0x67;
    bench_put(&bench, 0x100000, tables, sizeof(tables));
    bench.c->cr0 |= CR0_PG | CR0_WP;
    bench.c->cr4 |= CR4_PAE;
    bench.c->efer |= EFER_LME | EFER_LMA;
    bench_world(&bench, 0x100000);
}

/* An area that ends in a page that is not there: #PF, and nothing was written. */
static void faults_leave_no_trace(void **state)
{
    static const uint8_t *const ops[] = {fxsave, xsave, xsaveopt, xsavec, xsaves};
    static const uint8_t fnsave[] = {0xDD, 0x37}, fnstenv[] = {0xD9, 0x37};
    uint32_t hole = BENCH_AREA + 0x2000;
    uint8_t before[256], after[256];

    (void)state;
    fresh();
    page(hole);
    memset(before, 0xA5, sizeof(before));
    bench.c->vec[0].q[0] = bench.c->vec[0].q[2] = 1;
    bench.c->x87.cw = 0x340;
    bench_put(&bench, hole - 256, before, 256);
    for (size_t i = 0; i < COUNT(ops); i++) {
        assert_int_equal(op_at(ops[i], hole - 256, 7), EXC_PF);
        bench_get(&bench, hole - 256, after, 256);
        assert_memory_equal(before, after, 256);
        assert_int_equal(op_at(i ? xrstor : fxrstor, hole - 256, 7), EXC_PF);
    }
    bench.c->r[RDI] = hole - 60;
    assert_int_equal(bench_run(&bench, fnsave, 2), EXC_PF);
    bench.c->r[RDI] = hole - 20;
    assert_int_equal(bench_run(&bench, fnstenv, 2), EXC_PF);
    bench_get(&bench, hole - 256, after, 256);
    assert_memory_equal(before, after, 256);
    assert_int_equal(bench.c->x87.cw, 0x340);
}

static void the_host_swaps_state(void **state)
{
    uint8_t area[AREA], image[CPU_XSAVE_BYTES];

    (void)state;
    fresh();
    area_make(area, false);
    store64(area + 512, 7);
    store16(area, 0x37F);
    store16(area + 2, 0);
    store32(area + 24, 0xFFFF1FA0); /* bits the chip lacks are dropped */
    store64(area + 160, 1);
    store64(area + 576, 1);
    cpu_xrstor(bench.c, area);
    assert_int_equal(mxcsr_read(bench.c), 0x31FA0 & 0x2FFFF);
    cpu_xsave(bench.c, image);
    assert_memory_equal(image + 160, area + 160, 256);
    assert_memory_equal(image + 576, area + 576, 256);
    memset(area + 512, 0, 8); /* nothing there: all initial */
    cpu_xrstor(bench.c, area);
    cpu_xsave(bench.c, image);
    assert_int_equal(load64(image + 512), 0);
    assert_int_equal(bench.c->x87.cw, 0x37F);

    cpu_xsetbv(bench.c, 1);
    assert_int_equal(cpu_xgetbv(bench.c), 1);
    cpu_xsetbv(bench.c, 5); /* AVX without SSE */
    cpu_xsetbv(bench.c, 6); /* without x87 */
    cpu_xsetbv(bench.c, 0x207);
    assert_int_equal(cpu_xgetbv(bench.c), 1);
    cpu_xsetbv(bench.c, 7);
    assert_int_equal(cpu_xgetbv(bench.c), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __x86_64__
        cmocka_unit_test(host_agrees),
#endif
        cmocka_unit_test(xrstor_refuses_bad_headers),
        cmocka_unit_test(gates),
        cmocka_unit_test(xsaves_and_xrstors),
        cmocka_unit_test(fxsave_without_xmm),
        cmocka_unit_test(error_pointers),
        cmocka_unit_test(the_host_swaps_state),
        cmocka_unit_test(faults_leave_no_trace),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
