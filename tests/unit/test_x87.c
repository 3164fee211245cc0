/* x87: every instruction of the table against the host's own unit, whole states compared:
 * registers, tags, status with C0 to C3, pointers, memory. Then what the manual says where no host
 * is needed. */
#include "silicon/cpu/exec_x87.h"

#include <stdio.h>
#include <sys/mman.h>

#include "cpu_bench.h"

#define IMAGE    108 /* FNSAVE, 32-bit protected format */
#define AT_MEM   (BENCH_AREA + 0x100)
#define AT_IN    (BENCH_AREA + 0x400)
#define AT_OUT   (BENCH_AREA + 0x800)
#define MEM_SIZE 128

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

/* ---- cases ---- */

struct fcase {
    enum form form;
    uint8_t code[8];
    unsigned len;
    uint8_t image[IMAGE], mem[MEM_SIZE];
    uint64_t flags; /* RFLAGS before */
};

struct result {
    uint8_t image[IMAGE], mem[MEM_SIZE];
    uint64_t rax, flags;
};

static uint64_t seed = 1;
static uint64_t rnd(void)
{
    return bench_random(&seed);
}
static unsigned below(unsigned n)
{
    return (unsigned)(rnd() % n);
}

static uint64_t mantissa(void)
{
    static const uint64_t edges[] = {
        UINT64_C(0x8000000000000000), UINT64_C(0xFFFFFFFFFFFFFFFF), UINT64_C(0x8000000000000001),
        UINT64_C(0xC000000000000000), UINT64_C(0xFFFFFFFFFFFFF800), UINT64_C(0xFFFFFFFFFFFFFC00),
        UINT64_C(0xFFFFFF0000000000), UINT64_C(0xFFFFFF8000000000), UINT64_C(0x8000000000000400),
        UINT64_C(0x8000008000000000), UINT64_C(0xBFFFFFFFFFFFFFFF), UINT64_C(0xA000000000000000)};

    switch (below(4)) {
    case 0:
        return edges[below(COUNT(edges))];
    case 1: /* few bits: exact results, halfway cases */
        return BIT(63) | rnd() << (32 + below(31));
    default:
        return BIT(63) | rnd();
    }
}

static void number(uint8_t to[10])
{
    uint64_t mant = mantissa();
    unsigned sign = (unsigned)(rnd() & 0x8000), exp;

    switch (below(16)) {
    case 0:
        exp = 0;
        mant = 0;
        break;
    case 1:
        exp = 0x7FFF;
        mant = BIT(63);
        break;
    case 2:
        exp = 0x7FFF;
        mant = BIT(63) | mant >> below(40);
        break;
    case 3: /* denormal */
        exp = 0;
        mant = mant >> (1 + below(63));
        break;
    case 4: /* pseudo-denormal; unsupported */
        exp = below(2) ? 0 : below(0x8000);
        mant = below(2) ? mant : mant & ~BIT(63);
        break;
    case 5: /* near the exponent's limits */
        exp = below(2) ? 1 + below(70) : 0x7FFE - below(70);
        break;
    case 6:
        exp = 1 + below(0x7FFE);
        break;
    case 7: /* near the limits of 32 and 64-bit numbers */
        exp = (unsigned[]){0x3F81, 0x407E, 0x3C01, 0x43FE}[below(4)] + below(60) - 56;
        break;
    case 8: /* integers */
        exp = 0x3FFF + below(66);
        mant &= ~UINT64_C(0) << below(64);
        mant |= BIT(63);
        break;
    default:
        exp = 0x3FFF - 6 + below(12);
        break;
    }
    store64(to, mant);
    store16(to + 8, (uint16_t)(sign | exp));
}

static void operand(uint8_t *mem, unsigned size)
{
    for (unsigned i = 0; i < MEM_SIZE; i += 8)
        store64(mem + i, rnd());
    if (size == 10) {
        number(mem);
    } else if (size == 4) {
        uint32_t v = (uint32_t)rnd();

        switch (below(8)) {
        case 0:
            v &= 0x80000000;
            break;
        case 1:
            v |= 0x7F800000;
            break;
        case 2:
            v = (v & 0x80000000) | 0x7F800000;
            break;
        case 3:
            v &= ~0x7F800000u;
            break;
        case 4:
        case 5:
            v = (v & 0x80700000) | (120 + below(16)) << 23;
            break;
        default:
            break;
        }
        store32(mem, v);
    } else if (size == 8) {
        uint64_t v = rnd();

        switch (below(8)) {
        case 0:
            v &= BIT(63);
            break;
        case 1:
            v |= UINT64_C(0x7FF) << 52;
            break;
        case 2:
            v = (v & BIT(63)) | UINT64_C(0x7FF) << 52;
            break;
        case 3:
            v &= ~(UINT64_C(0x7FF) << 52);
            break;
        case 4:
        case 5:
            v = (v & (BIT(63) | UINT64_C(0xFC) << 44)) | (uint64_t)(1016 + below(16)) << 52;
            break;
        default:
            break;
        }
        store64(mem, v);
    }
}

/* A state as FRSTOR takes it: no exception pending, so that the instruction runs. */
static void image_make(uint8_t *im, bool full)
{
    unsigned cw = 0x7F, sw, tags = 0;

    cw |= below(4) << 8 | below(4) << 10;
    if (below(2))
        cw = 0x37F;
    if (!below(4))
        cw &= ~below(64);
    sw = (unsigned)rnd() & 0x7F7F & (cw | ~0x3Fu);
    if (below(2))
        sw &= ~0x7Fu;
    for (unsigned i = 0; i < 8; i++)
        if (!full && !below(4))
            tags |= 3u << 2 * i;
    if (below(2)) /* room to push */
        tags |= 3u << 2 * (((sw >> 11) - 1) & 7);
    memset(im, 0, IMAGE);
    store32(im, cw);
    store32(im + 4, sw);
    store32(im + 8, tags);
    store32(im + 12, (uint32_t)rnd());
    store32(im + 16, (uint32_t)rnd() & 0x07FFFFFF);
    store32(im + 20, (uint32_t)rnd());
    store32(im + 24, (uint32_t)rnd() & 0xFFFF);
    for (unsigned i = 0; i < 8; i++)
        number(im + 28 + 10 * i);
    if (!below(4)) /* equal operands */
        memcpy(im + 28, im + 28 + 10 * (1 + below(3)), 10);
}

static unsigned memory_size(const struct row *row)
{
    for (unsigned i = 0; i < 4; i++) {
        switch (OPERAND_KIND(row->operand[i])) {
        case OPD_Mw:
            return 2;
        case OPD_Md:
            return 4;
        case OPD_Mq:
            return 8;
        case OPD_Mt:
            return 10;
        default:
            break;
        }
    }
    return 0;
}

static void case_make(struct fcase *k, enum form form)
{
    const struct row *row = &insn_rows[form];
    unsigned digit = MATCH_DIGIT(row->match);

    memset(k, 0, sizeof(*k));
    k->form = form;
    if (row->match & MEM && !memory_size(row) && below(2)) /* the environment's sizes */
        k->code[k->len++] = below(2) ? 0x66 : 0x48;
    k->code[k->len++] = row->byte;
    if (row->match & MEM)
        k->code[k->len++] = (uint8_t)(digit << 3 | RDX);
    else
        k->code[k->len++] =
            (uint8_t)(0xC0 | digit << 3 |
                      (row->match & RMFIX ? MATCH_RM(row->match) : below(below(2) ? 3 : 8)));
    image_make(k->image, below(2));
    operand(k->mem, memory_size(row));
    k->flags = 0x202 | (rnd() & OSZAPC);
}

/* ---- the host's answer ---- */

#ifdef __x86_64__
typedef void native_fn(const uint8_t *image, struct result *out, uint8_t *mem, uint64_t flags);
static uint8_t *native_code;
static unsigned native_at; /* offset of the instruction */

static void native_run(const struct fcase *k, struct result *r, uint8_t *mem)
{
    static const uint8_t head[] = {
        0xDD, 0x27,          /* frstor [rdi] */
        0xB8, 0,    0, 0, 0, /* mov eax, 0 */
        0x51, 0x9D,          /* push rcx; popfq */
    };
    static const uint8_t tail[] = {
        0x9C, 0x59,                      /* pushfq; pop rcx */
        0xDD, 0x36, 0x9B,                /* fnsave [rsi]; fwait */
        0x48, 0x89, 0x86, 0xF0, 0, 0, 0, /* mov [rsi+240], rax */
        0x48, 0x89, 0x8E, 0xF8, 0, 0, 0, /* mov [rsi+248], rcx */
        0xC3,
    };

    native_at = sizeof(head);
    memcpy(mem, k->mem, MEM_SIZE);
    memcpy(native_code, head, sizeof(head));
    memcpy(native_code + native_at, k->code, k->len);
    memcpy(native_code + native_at + k->len, tail, sizeof(tail));
    ((native_fn *)(uintptr_t)native_code)(k->image, r, mem, k->flags);
    memcpy(r->mem, mem, MEM_SIZE);
}
static_assert(offsetof(struct result, rax) == 0xF0, "as the thunk stores it");
#endif

/* ---- ours ---- */

static void load_image(const uint8_t *image)
{
    static const uint8_t frstor[] = {0xDD, 0x27};

    bench_put(&bench, AT_IN, image, IMAGE);
    bench.c->r[RDI] = AT_IN;
    bench.c->x87.sw = 0;
    assert_int_equal(bench_run(&bench, frstor, 2), -1);
}

static void save_image(uint8_t *image)
{
    static const uint8_t fnsave[] = {0xDD, 0x36};

    bench.c->r[RSI] = AT_OUT;
    assert_int_equal(bench_run(&bench, fnsave, 2), -1);
    bench_get(&bench, AT_OUT, image, IMAGE);
}

static void emulated_run(const struct fcase *k, struct result *r)
{
    struct cpu *c = bench.c;

    load_image(k->image);
    bench_put(&bench, AT_MEM, k->mem, MEM_SIZE);
    c->r[RAX] = 0;
    c->r[RDX] = AT_MEM;
    flags_write(c, (uint32_t)k->flags);
    assert_int_equal(bench_run(&bench, k->code, k->len), -1);
    r->rax = c->r[RAX];
    r->flags = 0x202 | flags_read(c);
    save_image(r->image);
    bench_get(&bench, AT_MEM, r->mem, MEM_SIZE);
}

/* ---- comparison ---- */

#ifdef __x86_64__
static void show(const char *who, const uint8_t *im)
{
    printf("# %s cw %04x sw %04x tw %04x ip %08x fop %03x cs %04x dp %08x ds %04x\n#  ", who,
           load16(im), load16(im + 4), load16(im + 8), load32(im + 12), load16(im + 18),
           load16(im + 16), load32(im + 20), load16(im + 24));
    for (unsigned i = 0; i < 8; i++)
        printf(" %04x.%016llx", load16(im + 36 + 10 * i),
               (unsigned long long)load64(im + 28 + 10 * i));
    printf("\n");
}

static bool transcendental(enum form f)
{
    return f == FORM_F2XM1 || f == FORM_FYL2X || f == FORM_FYL2XP1 || f == FORM_FPTAN ||
           f == FORM_FPATAN || f == FORM_FSIN || f == FORM_FCOS || f == FORM_FSINCOS;
}

static bool disagree(const struct result *a, const struct result *b)
{
    return memcmp(a->image, b->image, IMAGE) || memcmp(a->mem, b->mem, MEM_SIZE) ||
           (uint16_t)a->rax != (uint16_t)b->rax || (a->flags & OSZAPC) != (b->flags & OSZAPC);
}

static void report(const struct fcase *k, const struct result *host, const struct result *ours)
{
    printf("# %s %02x %02x mem %016llx %04x flags %x\n", insn_rows[k->form].form, k->code[0],
           k->code[1], (unsigned long long)load64(k->mem), load16(k->mem + 8),
           (unsigned)k->flags & OSZAPC);
    show("in  ", k->image);
    show("host", host->image);
    show("ours", ours->image);
    printf("# mem host %016llx %04x ours %016llx %04x, flags %x %x\n",
           (unsigned long long)load64(host->mem), load16(host->mem + 8),
           (unsigned long long)load64(ours->mem), load16(ours->mem + 8),
           (unsigned)host->flags & OSZAPC, (unsigned)ours->flags & OSZAPC);
}

/* Both ran the instruction at their own address, on memory at their own address. */
static void align_pointers(const struct fcase *k, struct result *host, const uint8_t *mem)
{
    uint8_t *im = host->image;

    if (load32(im + 12) == (uint32_t)(uintptr_t)native_code + native_at)
        store32(im + 12, BENCH_CODE);
    if (load32(im + 20) == (uint32_t)(uintptr_t)mem && insn_rows[k->form].match & MEM)
        store32(im + 20, AT_MEM);
}

static void native_selectors(struct cpu *c)
{
    uint16_t cs, ds;

    __asm__("mov %%cs, %0; mov %%ds, %1" : "=r"(cs), "=r"(ds));
    c->seg[CS].selector = cs;
    c->seg[DS].selector = ds;
}

/* What is open in transcendental instructions: the last place of results, and C1, which says how it
 * was rounded; a new stack fault says in C1 which it was. */
static void forgive(const struct fcase *k, struct result *host, const struct result *ours)
{
    uint16_t sw = load16(host->image + 4);

    if (!(sw & ~load16(k->image + 4) & X87_SF))
        store16(host->image + 4, (sw & ~X87_C1) | (load16(ours->image + 4) & X87_C1));
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *h = host->image + 28 + 10 * i;
        const uint8_t *o = ours->image + 28 + 10 * i;
        /* As integers, significands with their exponents above are neighbours when numbers are. */
        __int128 a = (__int128)(load16(h + 8) & 0x7FFF) << 63 | (load64(h) & INT64_MAX);
        __int128 b = (__int128)(load16(o + 8) & 0x7FFF) << 63 | (load64(o) & INT64_MAX);
        __int128 d = a > b ? a - b : b - a;

        if (load16(h + 8) >> 15 == load16(o + 8) >> 15 && d <= 1)
            memcpy(h, o, 10);
    }
}

static unsigned compare_form(enum form form, unsigned cases, uint8_t *mem)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < cases; i++) {
        struct result host = {.rax = 0}, ours = {.rax = 0};
        struct fcase k;
        bool differ = true;

        case_make(&k, form);
        emulated_run(&k, &ours);
        /* A task switch in between may cost the host's pointers: they are saved as zeros. */
        for (unsigned tries = 0; differ && tries < 3; tries++) {
            native_run(&k, &host, mem);
            align_pointers(&k, &host, mem);
            if (transcendental(form))
                forgive(&k, &host, &ours);
            differ = disagree(&host, &ours);
        }
        if (differ && ++bad <= 3)
            report(&k, &host, &ours);
    }
    if (bad)
        printf("# %s: %u of %u cases differ\n", insn_rows[form].form, bad, cases);
    return bad;
}

static void host_agrees(void **state)
{
    uint8_t *mem =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    unsigned bad = 0;

    (void)state;
    native_code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_ptr_not_equal(native_code, MAP_FAILED);
    assert_ptr_not_equal(mem, MAP_FAILED);
    native_selectors(bench.c);
    for (enum form f = 0; f < FORMS; f++)
        if (insn_rows[f].rules & X87)
            bad += compare_form(f, transcendental(f) ? 2000 : 5000, mem);
    assert_int_equal(bad, 0);
}
#endif

/* ---- without a host ---- */

static void fresh(void)
{
    x87_init_state(bench.c);
    bench.c->cr0 = CR0_PE | CR0_NE | CR0_ET | CR0_MP;
    bench.c->guest = false;
}

static int run2(uint8_t a, uint8_t b)
{
    uint8_t code[2] = {a, b};

    return bench_run(&bench, code, 2);
}

/* 1 / 0 with zero divide unmasked. */
static void divide_by_zero(void)
{
    fresh();
    bench.c->x87.cw = 0x37B;
    assert_int_equal(run2(0xD9, 0xEE), -1); /* fldz */
    assert_int_equal(run2(0xD9, 0xE8), -1); /* fld1 */
    assert_int_equal(run2(0xD8, 0xF1), -1); /* fdiv st0, st1 */
}

static void unmasked_exception_waits_for_the_next_instruction(void **state)
{
    static const uint8_t fwait = 0x9B;
    const struct x87_reg *st0;

    (void)state;
    divide_by_zero();
    assert_int_equal(bench.c->x87.sw & 0xFF, X87_ZE | X87_ES);
    assert_true(bench.c->x87.sw & X87_B);
    st0 = &bench.c->x87.reg[x87_phys(bench.c, 0)];
    assert_true(st0->mant == BIT(63) && st0->se == 0x3FFF); /* the operand stays */
    assert_int_equal(bench_run(&bench, &fwait, 1), EXC_MF);
    assert_int_equal(run2(0xD9, 0xE8), EXC_MF);
    assert_int_equal(run2(0xD9, 0xD0), EXC_MF); /* fnop */
    assert_int_equal(run2(0xDF, 0xE0), -1);     /* fnstsw ax does not wait */
    assert_int_equal((uint16_t)bench.c->r[RAX], bench.c->x87.sw);
    assert_int_equal(run2(0xDB, 0xE2), -1); /* fnclex */
    assert_int_equal(bench_run(&bench, &fwait, 1), -1);
    assert_int_equal(run2(0xD9, 0xE8), -1);
}

static void mmx_waits_too(void **state)
{
    static const uint8_t emms[] = {0x0F, 0x77};

    (void)state;
    divide_by_zero();
    assert_int_equal(bench_run(&bench, emms, 2), EXC_MF);
}

/* CR0.NE = 0: the FERR intercept, or nothing at all. */
static void without_ne_the_exception_goes_out_on_ferr(void **state)
{
    (void)state;
    divide_by_zero();
    bench.c->cr0 &= ~CR0_NE;
    bench.c->guest = true;
    bench.c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_FERR);
    bench.c->vmcb.exitcode = 0;
    (void)run2(0xD9, 0xE8);
    assert_true(bench.c->vmcb.exitcode == VMEXIT_FERR);
    bench.c->vmcb.intercept3 = 0;
    assert_int_equal(run2(0xD9, 0xE8), -1);
    fresh();
}

static void fwait_heeds_ts_only_with_mp(void **state)
{
    static const uint8_t fwait = 0x9B;

    (void)state;
    fresh();
    bench.c->cr0 |= CR0_TS;
    assert_int_equal(bench_run(&bench, &fwait, 1), EXC_NM);
    bench.c->cr0 &= ~CR0_MP;
    assert_int_equal(bench_run(&bench, &fwait, 1), -1);
    fresh();
}

/* The environment's formats (APM2 11.2.3): the same state in each. */
static void environment_has_four_formats(void **state)
{
    static const uint8_t store[] = {0x66, 0xD9, 0x32}, load[] = {0x66, 0xD9, 0x22};
    struct cpu *c = bench.c;
    uint8_t env[28];

    (void)state;
    for (unsigned format = 0; format < 4; format++) {
        bool wide = format & 1, real = format & 2;

        fresh();
        c->x87.valid = 0x81;
        c->x87.reg[0] = (struct x87_reg){.mant = BIT(63), .se = 0x3FFF};
        c->x87.sw = 0x3800;
        c->x87.ip = 0x1234;
        c->x87.dp = 0x5678;
        c->x87.cs = 0x1000;
        c->x87.ds = 0x2000;
        c->x87.fop = 0x123;
        c->decode = (uint8_t)((c->decode & ~DECODE_SIZE) | (real ? DECODE_REAL : 0) | 1);
        c->r[RDX] = AT_MEM;
        assert_int_equal(bench_run(&bench, store + wide, 3 - wide), -1);
        bench_get(&bench, AT_MEM, env, 28);
        assert_int_equal(load16(env), 0x37F);
        assert_int_equal(load16(env + (wide ? 4 : 2)), 0x3800);
        assert_int_equal(load16(env + (wide ? 8 : 4)), 0x7FFC); /* reg 7 holds zero, 0 one */
        if (wide && real) {
            assert_int_equal(load32(env + 12), 0xFFFF1234);
            assert_int_equal(load32(env + 16), 0x1000 | 0x123);
            assert_int_equal(load32(env + 20), 0xFFFF5678);
            assert_int_equal(load32(env + 24), 0x2000);
        } else if (wide) {
            assert_int_equal(load32(env + 12), 0x1234);
            assert_int_equal(load32(env + 16), 0x01231000);
            assert_int_equal(load32(env + 20), 0x5678);
            assert_int_equal(load32(env + 24), 0xFFFF2000);
        } else if (real) {
            assert_int_equal(load16(env + 6), 0x1234);
            assert_int_equal(load16(env + 8), 0x1123);
            assert_int_equal(load16(env + 10), 0x5678);
            assert_int_equal(load16(env + 12), 0x2000);
        } else {
            assert_int_equal(load16(env + 6), 0x1234);
            assert_int_equal(load16(env + 8), 0x1000);
            assert_int_equal(load16(env + 10), 0x5678);
            assert_int_equal(load16(env + 12), 0x2000);
        }
        fresh();
        assert_int_equal(bench_run(&bench, load + wide, 3 - wide), -1);
        assert_int_equal(c->x87.valid, 0x81);
        assert_int_equal(c->x87.sw, 0x3800);
        assert_true(c->x87.ip == (real ? 0x11234 : 0x1234));
        assert_true(c->x87.dp == (real ? 0x25678 : 0x5678));
        c->decode = (uint8_t)((c->decode & ~(DECODE_SIZE | DECODE_REAL)) | 2);
    }
}

struct exact {
    uint8_t op; /* after D9 */
    struct f80 x, result;
    uint16_t flags;
};

/* Values that every correct implementation gives, whatever the host. */
static void known_values(void **state)
{
    static const struct exact cases[] = {
        {0xFA,
         {UINT64_C(0x8000000000000000), 0x4000},
         {UINT64_C(0xB504F333F9DE6484), 0x3FFF},
         0x20},
        {0xFA,
         {UINT64_C(0x8000000000000000), 0xC000},
         {UINT64_C(0xC000000000000000), 0xFFFF},
         0x01},
        {0xFA,
         {UINT64_C(0x9000000000000000), 0x4002},
         {UINT64_C(0xC000000000000000), 0x4000},
         0x00},
        {0xFC,
         {UINT64_C(0xA000000000000000), 0x4000},
         {UINT64_C(0x8000000000000000), 0x4000},
         0x20},
        {0xFC,
         {UINT64_C(0xE000000000000000), 0x4000},
         {UINT64_C(0x8000000000000000), 0x4001},
         0x220},
        {0xFC, {UINT64_C(0x8000000000000000), 0xBFFE}, {0, 0x8000}, 0x20},
        {0xF0,
         {UINT64_C(0x8000000000000000), 0x3FFF},
         {UINT64_C(0x8000000000000000), 0x3FFF},
         0x20},
        {0xF0,
         {UINT64_C(0x8000000000000000), 0x3FFE},
         {UINT64_C(0xD413CCCFE7799211), 0x3FFD},
         0x20},
        {0xFE,
         {UINT64_C(0xC90FDAA22168C235), 0x4000},
         {UINT64_C(0x8000000000000000), 0xBFBF},
         0x220},
        {0xFE,
         {UINT64_C(0x8000000000000000), 0x403E},
         {UINT64_C(0x8000000000000000), 0x403E},
         0x400},
        {0xE0, {UINT64_C(0x8000000000000001), 0x7FFF}, {UINT64_C(0x8000000000000001), 0xFFFF}, 0},
        {0xFA,
         {UINT64_C(0x8000000000000001), 0x7FFF},
         {UINT64_C(0xC000000000000001), 0x7FFF},
         0x01},
        {0xFA,
         {UINT64_C(0x4000000000000001), 0x3FFF},
         {UINT64_C(0xC000000000000000), 0xFFFF},
         0x01},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct f80 r;

        fresh();
        x87_push(bench.c, cases[i].x);
        assert_int_equal(run2(0xD9, cases[i].op), -1);
        r = x87_get(bench.c, 0);
        assert_true(r.mant == cases[i].result.mant);
        assert_int_equal(r.se, cases[i].result.se);
        assert_int_equal(bench.c->x87.sw & ~0x3800, cases[i].flags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unmasked_exception_waits_for_the_next_instruction),
        cmocka_unit_test(mmx_waits_too),
        cmocka_unit_test(without_ne_the_exception_goes_out_on_ferr),
        cmocka_unit_test(fwait_heeds_ts_only_with_mp),
        cmocka_unit_test(environment_has_four_formats),
        cmocka_unit_test(known_values),
#ifdef __x86_64__
        cmocka_unit_test(host_agrees),
#endif
    };

    return cmocka_run_group_tests(tests, start, stop);
}
