/* MMX: every row of the table with an MMX register against the host's own, whole FXSAVE images
 * compared; then what the host cannot show. */
#include "silicon/cpu/x87.h"

#include <stdio.h>
#include <sys/mman.h>

#include "cpu_bench.h"

#define AREA     512
#define AT_MEM   (BENCH_AREA + 0x100)
#define AT_IN    (BENCH_AREA + 0x400)
#define AT_OUT   (BENCH_AREA + 0x800)
#define MEM_SIZE 16
#define CASES    2000

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

struct mcase {
    uint8_t code[8], len;
    uint8_t area[AREA] __attribute__((aligned(16)));
    uint8_t mem[MEM_SIZE];
    uint64_t gpr[2]; /* RAX, RCX */
};

struct result {
    uint8_t area[AREA] __attribute__((aligned(16)));
    uint64_t gpr[2];
    uint8_t mem[MEM_SIZE];
};

static uint64_t seed = 2;
static uint64_t rnd(void)
{
    return bench_random(&seed);
}
static unsigned below(unsigned n)
{
    return (unsigned)(rnd() % n);
}

static bool has_where(const struct row *row, enum operand_where where)
{
    for (unsigned i = 0; i < 4; i++)
        if (operand_kinds[OPERAND_KIND(row->operand[i])].where == where)
            return true;
    return false;
}

/* Mixed lanes: full range, small, saturating, and floating point of moderate size. */
static uint64_t lanes(void)
{
    uint64_t v = rnd();

    switch (below(5)) {
    case 0:
        return v & UINT64_C(0x000F000F000F000F);
    case 1:
        return v | UINT64_C(0x7F807F807F807F80);
    case 2:
        return (uint64_t)(0x4E000000 + below(0x2000000)) << 32 | (0x3F000000 + below(0x4000000));
    case 3:
        return (uint64_t)(1020 + below(16)) << 52 | v >> 12;
    default:
        return v;
    }
}

static void area_make(uint8_t *a)
{
    memset(a, 0, AREA);
    store16(a, 0x37F);
    store16(a + 2, (uint16_t)(rnd() & 0x7F00));
    a[4] = (uint8_t)rnd();
    store32(a + 24, 0x1F80 | below(4) << 13 | below(2) << 6);
    for (unsigned i = 0; i < 8; i++) {
        store64(a + 32 + 16 * i, lanes());
        store16(a + 40 + 16 * i, (uint16_t)rnd());
    }
    for (unsigned i = 0; i < 32; i++)
        store64(a + 160 + 8 * i, lanes());
}

static void code_make(struct mcase *k, const struct row *row)
{
    static const uint8_t escapes[][2] = {[M0F38] = {0x38}, [M0F3A] = {0x3A}};
    bool memory = !(row->match & REG) && !has_where(row, AT_NONE) && below(2);
    unsigned reg = below(8), rm = below(8);
    uint8_t *at = k->code;

    if (row->match & (P66 | PF2 | PF3))
        *at++ = row->match & P66 ? 0x66 : row->match & PF2 ? 0xF2 : 0xF3;
    if (has_where(row, AT_E) && below(2))
        *at++ = 0x48;
    *at++ = 0x0F;
    if (row->map != M0F)
        *at++ = escapes[row->map][0];
    *at++ = row->byte;
    if (row_has_modrm(row)) {
        for (unsigned i = 0; i < 4; i++) {
            enum operand o = OPERAND_KIND(row->operand[i]);

            if (operand_kinds[o].where == AT_G)
                reg = below(2);
            if (operand_kinds[o].where == AT_E)
                rm = below(2);
            if (operand_kinds[o].where == AT_M)
                memory = true;
            else if (o == OPD_Nq || o == OPD_Uq || o == OPD_Udq)
                memory = false;
            else if (operand_kinds[o].where == AT_E || o == OPD_Qq || o == OPD_Qd || o == OPD_Wq ||
                     o == OPD_Wdq)
                memory = below(2);
        }
        if (row->match & DIGIT)
            reg = MATCH_DIGIT(row->match);
        *at++ = (uint8_t)(memory ? reg << 3 | RDX : 0xC0 | reg << 3 | rm);
    }
    if (has_where(row, AT_I))
        *at++ = (uint8_t)(below(2) ? below(20) : below(256));
    k->len = (uint8_t)(at - k->code);
}

static void emulated_run(const struct mcase *k, struct result *r)
{
    static const uint8_t fxrstor[] = {0x48, 0x0F, 0xAE, 0x0F}, fxsave[] = {0x48, 0x0F, 0xAE, 0x06};
    struct cpu *c = bench.c;

    bench_put(&bench, AT_IN, k->area, AREA);
    c->r[RDI] = AT_IN;
    assert_int_equal(bench_run(&bench, fxrstor, 4), -1);
    bench_put(&bench, AT_MEM, k->mem, MEM_SIZE);
    c->r[RDX] = c->r[RDI] = AT_MEM;
    c->r[RAX] = k->gpr[0];
    c->r[RCX] = k->gpr[1];
    assert_int_equal(bench_run(&bench, k->code, k->len), -1);
    r->gpr[0] = c->r[RAX];
    r->gpr[1] = c->r[RCX];
    c->r[RSI] = AT_OUT;
    assert_int_equal(bench_run(&bench, fxsave, 4), -1);
    bench_get(&bench, AT_OUT, r->area, AREA);
    bench_get(&bench, AT_MEM, r->mem, MEM_SIZE);
}

#ifdef __x86_64__
typedef void native_fn(const uint8_t *area, struct result *out, uint8_t *mem, const uint64_t *gpr);

static void native_run(uint8_t *thunk, const struct mcase *k, struct result *r, uint8_t *mem)
{
    static const uint8_t head[] = {
        0x48, 0x0F, 0xAE, 0x0F,                   /* fxrstor64 [rdi] */
        0x49, 0x89, 0xF1, 0x48, 0x89, 0xD7,       /* mov r9, rsi; mov rdi, rdx */
        0x48, 0x8B, 0x01, 0x48, 0x8B, 0x49, 0x08, /* mov rax, [rcx]; mov rcx, [rcx+8] */
    };
    static const uint8_t tail[] = {
        0x49, 0x0F, 0xAE, 0x01,                   /* fxsave64 [r9] */
        0x49, 0x89, 0x81, 0x00, 0x02, 0x00, 0x00, /* mov [r9+512], rax */
        0x49, 0x89, 0x89, 0x08, 0x02, 0x00, 0x00, /* mov [r9+520], rcx */
        0xDB, 0xE3, 0xC3,                         /* fninit; ret */
    };
    uint32_t mxcsr;

    memcpy(thunk, head, sizeof(head));
    memcpy(thunk + sizeof(head), k->code, k->len);
    memcpy(thunk + sizeof(head) + k->len, tail, sizeof(tail));
    memset(r, 0, sizeof(*r));
    memcpy(mem, k->mem, MEM_SIZE);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    ((native_fn *)(uintptr_t)thunk)(k->area, r, mem, k->gpr);
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    memcpy(r->mem, mem, MEM_SIZE);
}
static_assert(offsetof(struct result, gpr) == 512, "as the thunk stores it");

static void report(const struct row *row, const struct mcase *k, const struct result *host,
                   const struct result *ours)
{
    printf("# %s:", row->form);
    for (unsigned i = 0; i < k->len; i++)
        printf(" %02x", k->code[i]);
    printf(" mem %016llx\n", (unsigned long long)load64(k->mem));
    for (unsigned i = 0; i < 416; i += 8)
        if (load64(host->area + i) != load64(ours->area + i))
            printf("#  at %u was %016llx host %016llx ours %016llx\n", i,
                   (unsigned long long)load64(k->area + i),
                   (unsigned long long)load64(host->area + i),
                   (unsigned long long)load64(ours->area + i));
    if (memcmp(host->gpr, ours->gpr, 16) || memcmp(host->mem, ours->mem, MEM_SIZE))
        printf("#  registers or memory differ: host %016llx ours %016llx\n",
               (unsigned long long)host->gpr[0], (unsigned long long)ours->gpr[0]);
}

static unsigned compare_row(const struct row *row, uint8_t *thunk, uint8_t *mem)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < CASES; i++) {
        struct result host, ours = {.gpr = {0}};
        struct mcase k = {.len = 0};

        area_make(k.area);
        code_make(&k, row);
        store64(k.mem, lanes());
        store64(k.mem + 8, lanes());
        k.gpr[0] = lanes();
        k.gpr[1] = lanes();
        native_run(thunk, &k, &host, mem);
        emulated_run(&k, &ours);
        if ((memcmp(host.area, ours.area, 416) || memcmp(host.gpr, ours.gpr, 16) ||
             memcmp(host.mem, ours.mem, MEM_SIZE)) &&
            ++bad <= 2)
            report(row, &k, &host, &ours);
    }
    if (bad)
        printf("# %s: %u of %u cases differ\n", row->form, bad, CASES);
    return bad;
}

static void *low_page(int protection)
{
    void *p = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void host_agrees(void **state)
{
    uint8_t *thunk = low_page(PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t *mem = low_page(PROT_READ | PROT_WRITE);
    unsigned bad = 0;

    (void)state;
    for (enum form f = 0; f < FORMS; f++) {
        const struct row *row = &insn_rows[f];

        if (row->rules & MMX && (has_where(row, AT_P) || has_where(row, AT_Q) || row->byte == 0x77))
            bad += compare_row(row, thunk, mem);
    }
    assert_int_equal(bad, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __x86_64__
        cmocka_unit_test(host_agrees),
#endif
    };

    return cmocka_run_group_tests(tests, start, stop);
}
