/* Every XMM and YMM row of the instruction table against the host's own instructions: encoded from
 * its row, run natively and by its routine, on random and on awkward operands, under all MXCSR
 * controls. Registers, memory, flags, MXCSR and faults must agree.
 *
 * Built twice: as it is, and with LUCCA_PORTABLE, where the routines may not use the host's unit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "silicon/cpu/decode.h"
#include "silicon/cpu/exec.h"
#include "silicon/cpu/fp.h"

#include <cmocka.h> /* last: its fail() is a macro */

/* ---- the table's vector part, by the same columns ---- */
#define INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, routine)       \
    extern exec_fn *const exec_##routine[];
#include "silicon/cpu/insn_sse.def"
#include "silicon/cpu/insn_vex.def"
#undef INSN

#define UNPACK(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
const struct row insn_rows[FORMS + 1] = {
#define INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, routine)       \
    [FORM_##form] = {#form, map,   byte, match,     UNPACK operands, FEAT_##needs,                 \
                     exit,  rules, sets, undefined, exec_##routine},
#include "silicon/cpu/insn_sse.def"
#include "silicon/cpu/insn_vex.def"
#undef INSN
    [FORM_UNDEFINED] = {.form = "undefined"},
};

#if defined(__x86_64__)
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

/* ---- what routines ask of the rest of the core: memory is the host's, at the same addresses ----
 */
static jmp_buf unwound;
static int fault_vector;

void cpu_fault(struct cpu *c, const struct op *o, int vec, uint32_t error)
{
    fault_vector = vec;
    longjmp(unwound, 1);
}
static uint64_t guard; /* an inaccessible page */

static void check_access(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    if (la + size > guard && la < guard + 4096)
        cpu_fault(c, o, EXC_PF, 0);
}
void mmu_load(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    check_access(c, o, la, size);
    memcpy(to, (const void *)(uintptr_t)la, size);
}
void mmu_store(struct cpu *c, const struct op *o, uint64_t la, const void *from, unsigned size)
{
    check_access(c, o, la, size);
    memcpy((void *)(uintptr_t)la, from, size);
}
void mmu_load_rw(struct cpu *c, const struct op *o, uint64_t la, void *to, unsigned size)
{
    mmu_load(c, o, la, to, size);
}
void mmu_probe_write(struct cpu *c, const struct op *o, uint64_t la, unsigned size)
{
    check_access(c, o, la, size);
}
uint64_t seg_linear(struct cpu *c, const struct op *o, unsigned seg, uint64_t off, unsigned size,
                    enum access acc)
{
    return off;
}

/* ---- random numbers and operands ---- */
static uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * UINT64_C(0x2545F4914F6CDD1D);
}
static unsigned below(unsigned n)
{
    return (unsigned)((rnd() >> 33) % n);
}

static const uint32_t awkward32[] = {
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF,
    0x00800000, 0x80800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFD54321,
    0x7F800001, 0xFF800001, 0x7FA00000, 0xFFBFFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0x3FC00000,
    0x40200000, 0xC0200000, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0xCF000001, 0x5F000000, 0xDF000000,
    0x5EFFFFFF, 0x3EFFFFFF, 0x4B000001, 0x4AFFFFFF, 0x477FF000, 0x477FEFFF, 0x387FC000, 0x33000000,
    0x33000001, 0x38800000, 0x337FFFFF, 0x00FFFFFF, 0x01000000, 0x3F7FFFFF, 0x3F800001, 0x7F000000,
};
static const uint64_t awkward64[] = {
    0x0000000000000000, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000,
    0x0000000000000001, 0x8000000000000001, 0x000FFFFFFFFFFFFF, 0x800FFFFFFFFFFFFF,
    0x0010000000000000, 0x8010000000000000, 0x7FF0000000000000, 0xFFF0000000000000,
    0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8123456789ABC, 0xFFFA987654321000,
    0x7FF0000000000001, 0xFFF0000000000001, 0x7FF4000000000000, 0xFFF7FFFFFFFFFFFF,
    0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x3FE0000000000000, 0x3FF8000000000000,
    0x4004000000000000, 0xC004000000000000, 0x41DFFFFFFFC00000, 0x41DFFFFFFFE00000,
    0x41E0000000000000, 0xC1E0000000000000, 0xC1E0000000200000, 0x43E0000000000000,
    0xC3E0000000000000, 0x43DFFFFFFFFFFFFF, 0x380FFFFFC0000000, 0x380FFFFFFFFFFFFF,
    0x3690000000000000, 0x36A0000000000000, 0x47EFFFFFE0000000, 0x47EFFFFFF0000000,
    0x3FDFFFFFFFFFFFFF, 0x4330000000000001, 0x432FFFFFFFFFFFFF, 0x001FFFFFFFFFFFFF,
    0x3FEFFFFFFFFFFFFF, 0x3FF0000000000001, 0x7FE0000000000000, 0x0020000000000000,
};
static const uint16_t awkward16[] = {
    0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7C01, 0xFE00, 0x7E55, 0x7D00,
    0x3C00, 0xBC00, 0x7FFF, 0xFFFF, 0x00FF, 0x0100, 0x8001, 0x7F80, 0x0080, 0x2020, 0x4142, 0x6161};

enum style { BITS, FLOATS, DOUBLES, HALVES, NEAR32, NEAR64, TINY32, TINY64, FEW, STYLES };

static void fill(union vec *v, enum style style)
{
    for (unsigned i = 0; i < 4; i++)
        v->q[i] = rnd();
    for (unsigned i = 0; i < 8 && (style == FLOATS || style == NEAR32 || style == TINY32); i++) {
        if (style == FLOATS)
            v->d[i] = awkward32[below(COUNT(awkward32))];
        else
            v->d[i] = (v->d[i] & 0x807FFFFF) | (style == NEAR32 ? 125 + below(5) : below(3)) << 23;
    }
    for (unsigned i = 0; i < 4 && (style == DOUBLES || style == NEAR64 || style == TINY64); i++) {
        if (style == DOUBLES)
            v->q[i] = awkward64[below(COUNT(awkward64))];
        else
            v->q[i] = (v->q[i] & UINT64_C(0x800FFFFFFFFFFFFF)) |
                      (uint64_t)(style == NEAR64 ? 1021 + below(5) : below(3)) << 52;
    }
    for (unsigned i = 0; i < 16 && style == HALVES; i++)
        v->w[i] = awkward16[below(COUNT(awkward16))];
    for (unsigned i = 0; i < 32 && style == FEW; i++)
        v->b[i] = (uint8_t)(below(3) * 0x7F + below(2));
}

/* ---- running on the host ---- */
struct machine {
    union vec vec[16];
    uint64_t r[16]; /* RSP, R14, R15 stay the host's */
    uint64_t flags, mxcsr, stack;
    uint8_t memory[256] __attribute__((aligned(64)));
};

void native_run(struct machine *m, void *code);
__asm__(".text\n"
        ".globl native_run\n"
        "native_run:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rdi, %r15; mov %rsi, %r14; mov %rsp, 0x290(%r15)\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "vmovdqu 32*\\n(%r15), %ymm\\n\n"
        ".endr\n"
        "ldmxcsr 0x288(%r15)\n"
        "push 0x280(%r15); popfq\n"
        "mov 0x200(%r15), %rax; mov 0x208(%r15), %rcx; mov 0x210(%r15), %rdx\n"
        "mov 0x218(%r15), %rbx; mov 0x228(%r15), %rbp; mov 0x230(%r15), %rsi\n"
        "mov 0x238(%r15), %rdi; mov 0x240(%r15), %r8; mov 0x248(%r15), %r9\n"
        "mov 0x250(%r15), %r10; mov 0x258(%r15), %r11; mov 0x260(%r15), %r12\n"
        "mov 0x268(%r15), %r13\n"
        "call *%r14\n"
        "mov %rax, 0x200(%r15); mov %rcx, 0x208(%r15); mov %rdx, 0x210(%r15)\n"
        "mov %rbx, 0x218(%r15); mov %rbp, 0x228(%r15); mov %rsi, 0x230(%r15)\n"
        "mov %rdi, 0x238(%r15); mov %r8, 0x240(%r15); mov %r9, 0x248(%r15)\n"
        "mov %r10, 0x250(%r15); mov %r11, 0x258(%r15); mov %r12, 0x260(%r15)\n"
        "mov %r13, 0x268(%r15)\n"
        "pushfq; pop 0x280(%r15)\n"
        "stmxcsr 0x288(%r15)\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
        "vmovdqu %ymm\\n, 32*\\n(%r15)\n"
        ".endr\n"
        "vzeroupper\n"
        "movl $0x1f80, -8(%rsp); ldmxcsr -8(%rsp)\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");
static_assert(offsetof(struct machine, r) == 0x200 && offsetof(struct machine, flags) == 0x280 &&
                  offsetof(struct machine, mxcsr) == 0x288 &&
                  offsetof(struct machine, stack) == 0x290,
              "native_run knows where things are");

static sigjmp_buf caught;
static struct machine *running; /* ends where the guard page starts */
static uint8_t *code;

/* The state in which an instruction faulted. */
static void save_context(const ucontext_t *u)
{
    static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, 0,       REG_RBP,
                                      REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, 0,       0};
    const uint8_t *area = (const uint8_t *)u->uc_mcontext.fpregs;
    bool high = load64(area + 512) & 4; /* XSTATE_BV: the upper halves, at 576 */

    for (unsigned i = 0; i < 16; i++) {
        memcpy(running->vec[i].b, area + 160 + 16 * i, 16);
        memset(running->vec[i].b + 16, 0, 16);
        if (high)
            memcpy(running->vec[i].b + 16, area + 576 + 16 * i, 16);
        if (i != RSP && i < 14)
            running->r[i] = (uint64_t)u->uc_mcontext.gregs[order[i]];
    }
    running->flags = (uint64_t)u->uc_mcontext.gregs[REG_EFL];
    running->mxcsr = u->uc_mcontext.fpregs->mxcsr;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    save_context(context);
    siglongjmp(caught, signal != SIGSEGV            ? signal
                       : info->si_code == SI_KERNEL ? SIGBUS /* #GP */
                                                    : SIGSEGV);
}

/* Runs `code` on the host; the vector of the fault it had, or -1. */
static int run_native(void)
{
    uint32_t normal = MXCSR_DEFAULT;
    int signal = sigsetjmp(caught, 1);

    if (!signal) {
        native_run(running, code);
        return -1;
    }
    __asm__ volatile("ldmxcsr %0" ::"m"(normal));
    return signal == SIGILL    ? EXC_UD
           : signal == SIGFPE  ? EXC_XF
           : signal == SIGSEGV ? EXC_PF
                               : EXC_GP;
}

/* ---- encoding a row ---- */
struct encoding {
    uint8_t bytes[16];
    unsigned n;
    bool memory;
};

static bool at(const struct row *r, enum operand_where where, unsigned *which)
{
    for (unsigned i = 0; i < 4; i++) {
        if (operand_kinds[OPERAND_KIND(r->operand[i])].where != where)
            continue;
        if (which)
            *which = i;
        return true;
    }
    return false;
}

static const uint8_t general[] = {RAX, RCX, RDX, RBX, RBP, 8, 9, 10, 11, 12, 13};

static unsigned any_register(bool is_general)
{
    return is_general ? general[below(COUNT(general))] : below(16);
}

static bool is_vex(const struct row *r)
{
    return r->map >= V0F;
}

/* The form in memory: [rsi + disp8], or [rsi + vector index * scale + disp8]. */
static void encode_memory(struct encoding *e, unsigned reg, bool vsib, unsigned index)
{
    uint8_t disp = (uint8_t)(below(8) ? 16 * below(4) : below(64));

    if (vsib) {
        e->bytes[e->n++] = (uint8_t)(0x44 | (reg & 7) << 3);
        e->bytes[e->n++] = (uint8_t)(below(4) << 6 | (index & 7) << 3 | RSI);
    } else {
        e->bytes[e->n++] = (uint8_t)(0x40 | (reg & 7) << 3 | RSI);
    }
    e->bytes[e->n++] = disp;
}

/* With `match` less than the row's, other instructions and undefined ones come out too. */
static struct encoding encode(const struct row *r, uint32_t match)
{
    struct encoding e = {.n = 0};
    bool vsib = at(r, AT_VSIB, NULL);
    bool any = !(match & MATCH_PREFIXES); /* an operand may turn out to be a general register */
    unsigned reg = match & DIGIT ? MATCH_DIGIT(match) : any_register(any || at(r, AT_G, NULL));
    unsigned rm = any_register(any || at(r, AT_E, NULL)), index = below(16);
    unsigned w = match & W1   ? 1
                 : match & W0 ? 0
                              : below(2),
             l = match & L1   ? 1
                 : match & L0 ? 0
                              : below(2);
    bool can_memory = match & MEM || any || at(r, AT_E, NULL) || at(r, AT_W, NULL);
    unsigned vvvv = at(r, AT_H, NULL) || (any && !below(4)) ? below(16) : 0;
    unsigned prefix = match & P66   ? 1
                      : match & PF3 ? 2
                      : match & PF2 ? 3
                      : match & NP  ? 0
                                    : below(4);

    e.memory = match & MEM || (can_memory && !(match & REG) && below(2));
    if (match & RMFIX)
        rm = MATCH_RM(match);
    if (e.memory)
        rm = RSI;
    if (is_vex(r)) {
        e.bytes[e.n++] = 0xC4;
        e.bytes[e.n++] = (uint8_t)((reg < 8) << 7 | !(vsib && index > 7) << 6 | (rm < 8) << 5 |
                                   (r->map - V0F + 1));
        e.bytes[e.n++] = (uint8_t)(w << 7 | (~vvvv & 15) << 3 | l << 2 | prefix);
    } else {
        static const uint8_t bytes[4] = {0, 0x66, 0xF3, 0xF2};

        if (prefix)
            e.bytes[e.n++] = bytes[prefix];
        e.bytes[e.n++] = (uint8_t)(0x40 | w << 3 | (reg > 7) << 2 | (rm > 7));
        e.bytes[e.n++] = 0x0F;
        if (r->map != M0F)
            e.bytes[e.n++] = r->map == M0F38 ? 0x38 : 0x3A;
    }
    e.bytes[e.n++] = r->byte;
    if (row_has_modrm(r)) {
        if (e.memory)
            encode_memory(&e, reg, vsib, index);
        else
            e.bytes[e.n++] = (uint8_t)(0xC0 | (reg & 7) << 3 | (rm & 7));
    }
    if (at(r, AT_I, NULL) || at(r, AT_L, NULL))
        e.bytes[e.n++] = (uint8_t)rnd();
    if (at(r, AT_I2, NULL))
        e.bytes[e.n++] = (uint8_t)rnd();
    return e;
}

/* ---- one case ---- */
static struct cpu *core;

static void stop(struct cpu *c, const struct op *o)
{
}

static void random_machine(struct machine *m, const struct row *r)
{
    enum style style = (enum style)below(STYLES);

    memset(m, 0, sizeof(*m));
    for (unsigned i = 0; i < 16; i++) {
        fill(&m->vec[i], below(4) ? style : (enum style)below(STYLES));
        m->r[i] = below(4) ? rnd() >> below(64) : (uint64_t)(int64_t)(int32_t)rnd();
        if (at(r, AT_VSIB, NULL)) /* near indices, both as dwords and as quadwords */
            for (unsigned j = 0; j < 4; j++)
                m->vec[i].q[j] = below(2) ? below(8) : (uint64_t)0 - below(8);
    }
    for (unsigned i = 0; i < sizeof(m->memory) / 32; i++)
        fill((union vec *)(void *)(m->memory + 32 * i), style);
    m->r[RSI] = (uint64_t)(uintptr_t)m->memory + (below(8) ? 64 : 128 + 16 * below(8));
    m->r[RDI] = m->r[RSI] + below(64);
    m->r[RSP] = m->r[14] = m->r[15] = 0;
    m->flags = 2 | (rnd() & OSZAPC);
    m->mxcsr = MXCSR_MASKS | (rnd() & (MXCSR_DAZ | MXCSR_FTZ | 0x6000));
    if (!below(4))
        m->mxcsr |= rnd() & MXCSR_FLAGS;
    if (!below(8))
        m->mxcsr &= ~(rnd() & MXCSR_MASKS);
    if (!below(4) && __builtin_cpu_supports("sse4a"))
        m->mxcsr |= MXCSR_MM;
}

static int run_routine(struct machine *m, const struct op *ops)
{
    struct cpu *c = core;
    volatile int fault = -1;

    memcpy(c->vec, m->vec, sizeof(m->vec));
    memcpy(c->r, m->r, sizeof(m->r));
    c->mxcsr = (uint32_t)m->mxcsr;
    flags_set(c, m->flags & FLAG_O, m->flags & FLAG_S, m->flags & FLAG_Z, m->flags & FLAG_A,
              m->flags & FLAG_P, m->flags & FLAG_C);
    fpenv_enter(c);
    if (!setjmp(unwound))
        ops[0].fn(c, &ops[0]);
    else
        fault = fault_vector;
    fpenv_leave(c);
    memcpy(m->vec, c->vec, sizeof(m->vec));
    memcpy(m->r, c->r, sizeof(m->r));
    m->mxcsr = c->mxcsr;
    m->flags = (m->flags & ~(uint64_t)OSZAPC) | (flag_o(c) ? FLAG_O : 0) |
               (flag_s(c) ? FLAG_S : 0) | (flag_z(c) ? FLAG_Z : 0) | (flag_a(c) ? FLAG_A : 0) |
               (flag_p(c) ? FLAG_P : 0) | (flag_c(c) ? FLAG_C : 0);
    return fault;
}

static void show(const char *what, const struct machine *m, const struct machine *before)
{
    printf("# %s: mxcsr %05x flags %03x\n", what, (unsigned)m->mxcsr, (unsigned)m->flags & OSZAPC);
    for (unsigned i = 0; i < 16; i++)
        if (!before || memcmp(&m->vec[i], &before->vec[i], 32))
            printf("#   ymm%-2u %016lx %016lx %016lx %016lx\n", i, m->vec[i].q[3], m->vec[i].q[2],
                   m->vec[i].q[1], m->vec[i].q[0]);
    for (unsigned i = 0; i < 16; i++)
        if (!before || m->r[i] != before->r[i])
            printf("#   r%-2u %016lx\n", i, m->r[i]);
    for (unsigned i = 0; i < sizeof(m->memory); i += 16)
        if (!before || memcmp(m->memory + i, before->memory + i, 16))
            printf("#   [%u] %016lx %016lx\n", i, load64(m->memory + i + 8), load64(m->memory + i));
}

/* Approximations may differ from the host's, by both's error. */
static bool is_approximate(const struct row *r)
{
    return !FP_NATIVE && (strstr(r->form, "RCP") || strstr(r->form, "RSQRT"));
}

static bool close_enough(const union vec *a, const union vec *b)
{
    for (unsigned i = 0; i < 8; i++) {
        double x = (double)a->ss[i], y = (double)b->ss[i];

        if (a->d[i] != b->d[i] && !(x / y > 1 - 0.00074 && x / y < 1 + 0.00074))
            return false;
    }
    return true;
}

static bool same_vectors(const struct machine *a, const struct machine *b, const struct row *r)
{
    for (unsigned i = 0; i < 16; i++)
        if (memcmp(&a->vec[i], &b->vec[i], 32) &&
            !(is_approximate(r) && close_enough(&a->vec[i], &b->vec[i])))
            return false;
    return true;
}

static bool same(const struct machine *a, const struct machine *b, const struct row *r)
{
    uint32_t compared = OSZAPC & ~(uint32_t)r->undefined;

    return a->mxcsr == b->mxcsr && same_vectors(a, b, r) && !memcmp(a->r, b->r, sizeof(a->r)) &&
           !((a->flags ^ b->flags) & compared) && !memcmp(a->memory, b->memory, sizeof(a->memory));
}

static unsigned cases, faults;
enum outcome { AGREED, DIFFERED, ABSENT /* from this host */ };

/* What no manual says: AMD's cores take SHA's operands misaligned, and VPERMQ and VPERMPD without
 * W; others, and for VPERMQ the table, do not. Some two-operand instructions read 8 bytes where
 * only 8 count, which shows at the end of a page, when MXCSR.MM lets them be misaligned. */
static bool vendors_differ(const struct row *r, uint64_t mxcsr, int host_fault, int our_fault)
{
    if (!strncmp(r->form, "SHA", 3))
        return host_fault == EXC_GP;
    if (!strncmp(r->form, "VPERMQ", 6) || !strncmp(r->form, "VPERMPD", 7))
        return our_fault == EXC_UD;
    return !is_vex(r) && mxcsr & MXCSR_MM && host_fault < 0 && our_fault == EXC_PF;
}

static void show_bytes(const struct row *r, const struct encoding *e)
{
    printf("# %s:", r->form);
    for (unsigned i = 0; i < e->n; i++)
        printf(" %02x", e->bytes[i]);
}

/* Runs one encoding of a row both ways. `exactly`: it must decode as this row, and the host must
 * have it; otherwise whatever it is, or #UD, must be the same. */
static enum outcome one_case(unsigned form, uint32_t match, bool exactly)
{
    static struct machine start, host, ours;
    const struct row *r = &insn_rows[form];
    struct encoding e = encode(r, match);
    struct op ops[2] = {{.off = 0}, {.fn = stop}};
    unsigned n;
    int host_fault, our_fault;

    memcpy(code, e.bytes, e.n);
    code[e.n] = 0xC3;
    random_machine(running, r);
    start = *running;
    host_fault = run_native();
    host = *running;
    /* Gathers are #UD when registers that must differ do not. */
    if (exactly && host_fault == EXC_UD && !at(r, AT_VSIB, NULL))
        return ABSENT;
    *running = start;
    n = decode_insn(core, e.bytes, e.n, 2, &ops[0]);
    if (exactly && (n != e.n || ops[0].form != form)) {
        show_bytes(r, &e);
        fail_msg("%s decoded as %s, %u of %u bytes", r->form, insn_rows[ops[0].form].form, n, e.n);
    }
    if (ops[0].form < FORMS)
        r = &insn_rows[ops[0].form];
    our_fault = run_routine(running, ops);
    ours = *running;
    cases++;
    faults += host_fault >= 0;
    if ((host_fault == our_fault && same(&host, &ours, r)) ||
        vendors_differ(&insn_rows[form], start.mxcsr, host_fault, our_fault))
        return AGREED;
    show_bytes(r, &e);
    printf("  host fault %d, ours %d\n", host_fault, our_fault);
    show("before", &start, NULL);
    show("host", &host, &start);
    show("ours", &ours, &start);
    return DIFFERED;
}

static unsigned repeats(void)
{
    const char *asked = getenv("LUCCA_TEST_REPEATS");

    return asked ? (unsigned)atoi(asked) : 400;
}

static uint32_t implied(const struct row *r)
{
    unsigned n;
    const struct candidate *k = decode_candidates(r->map, r->byte, &n);

    for (unsigned i = 0; i < n; i++)
        if (&insn_rows[k[i].form] == r)
            return k[i].match;
    return r->match;
}

/* One of the table's forms that this test, and 64-bit mode, has. */
static bool is_ours(unsigned form)
{
    const char *only = getenv("LUCCA_TEST_ONLY");
    const struct row *r = &insn_rows[form];

    return r->form && !(r->match & I64) && (!only || strstr(r->form, only));
}

/* After cmocka's own. */
static void catch_signals(void)
{
    static const int signals[] = {SIGILL, SIGFPE, SIGSEGV, SIGBUS};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

    for (unsigned i = 0; i < COUNT(signals); i++)
        sigaction(signals[i], &action, NULL);
}

static void every_row_agrees_with_the_host(void **state)
{
    unsigned absent = 0, bad = 0;

    catch_signals();
    for (unsigned form = 0; form < FORMS; form++) {
        enum outcome was = AGREED;

        for (unsigned i = 0; is_ours(form) && i < repeats() && was == AGREED; i++)
            was = one_case(form, implied(&insn_rows[form]), true);
        if (was == ABSENT)
            printf("# %s: not on this host\n", insn_rows[form].form);
        absent += was == ABSENT;
        bad += was == DIFFERED;
    }
    printf("# %u cases, %u of them faults; %u rows are not on this host\n", cases, faults, absent);
    assert_int_equal(bad, 0);
}

/* VEX opcodes with other prefixes, lengths, W and operands: what the host refuses, so do we. */
static void undefined_vex_is_undefined(void **state)
{
    unsigned bad = 0;

    catch_signals();
    for (unsigned form = 0; form < FORMS; form++) {
        enum outcome was = AGREED;

        if (!is_ours(form) || !is_vex(&insn_rows[form]))
            continue;
        for (unsigned i = 0; i < repeats() / 4 && was == AGREED; i++)
            was = one_case(form, insn_rows[form].match & (DIGIT | 7u << 16), false);
        bad += was == DIFFERED;
    }
    assert_int_equal(bad, 0);
}

/* DIVSS by zero, unmasked: #XF, or #UD without CR4.OSXMMEXCPT (APM2 8.2.20); ZE shows either way.
 */
static void unmasked_exceptions_need_osxmmexcpt(void **state)
{
    static const uint8_t divss[] = {0xF3, 0x0F, 0x5E, 0xC1};
    struct op ops[2] = {{.off = 0}, {.fn = stop}};

    catch_signals();
    memset(running, 0, sizeof(*running));
    running->vec[0].d[0] = 0x3F800000;
    assert_int_equal(decode_insn(core, divss, sizeof(divss), 2, &ops[0]), sizeof(divss));
    for (unsigned i = 0; i < 2; i++) {
        core->cr4 = i ? CR4_OSFXSR | CR4_OSXMMEXCPT : CR4_OSFXSR;
        running->mxcsr = MXCSR_MASKS & ~(MXCSR_ZE << 7);
        assert_int_equal(run_routine(running, ops), i ? EXC_XF : EXC_UD);
        assert_int_equal(running->mxcsr & MXCSR_FLAGS, MXCSR_ZE);
        assert_int_equal(running->vec[0].d[0], 0x3F800000);
    }
}

/* What the guest's instructions leave in the host's unit belongs to the guest alone. */
static void the_hosts_environment_is_kept(void **state)
{
    static const uint8_t addss[] = {0xF3, 0x0F, 0x58, 0xC1}; /* 1 + the least denormal */
    struct op ops[2] = {{.off = 0}, {.fn = stop}};
    uint32_t host = 0x1F80 | 0x2000, after;

    memset(running, 0, sizeof(*running));
    running->vec[0].d[0] = 0x3F800000;
    running->vec[1].d[0] = 1;
    running->mxcsr = MXCSR_DEFAULT | 2 << 13; /* up */
    decode_insn(core, addss, sizeof(addss), 2, &ops[0]);
    __asm__ volatile("ldmxcsr %0" ::"m"(host));
    run_routine(running, ops);
    __asm__ volatile("stmxcsr %0" : "=m"(after));
    assert_int_equal(running->vec[0].d[0], 0x3F800001);
    assert_int_equal(running->mxcsr & MXCSR_FLAGS, MXCSR_DE | MXCSR_PE);
    assert_int_equal(after, host);
    host = 0x1F80;
    __asm__ volatile("ldmxcsr %0" ::"m"(host));
}

static int set_up(void **state)
{
    uint8_t *pages;

    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + 4096, 4096, PROT_NONE))
        return -1;
    guard = (uint64_t)(uintptr_t)pages + 4096;
    running = (struct machine *)(void *)(pages + 4096 - sizeof(*running));
    core = aligned_alloc(64, (sizeof(*core) + 63) / 64 * 64);
    if (code == MAP_FAILED || !core)
        return -1;
    memset(core, 0, sizeof(*core));
    core->ctx = 1;
    core->decode = 2; /* 64-bit code */
    core->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    memset(core->features, 0xFF, sizeof(core->features));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_agrees_with_the_host),
        cmocka_unit_test(undefined_vex_is_undefined),
        cmocka_unit_test(unmasked_exceptions_need_osxmmexcpt),
        cmocka_unit_test(the_hosts_environment_is_kept),
    };

    if (!__builtin_cpu_supports("avx")) {
        puts("1..0 # SKIP this host has no AVX to compare with");
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, NULL);
}
#else
int main(void)
{
    puts("1..0 # SKIP this host is no x86-64 to compare with");
    return 0;
}
#endif
