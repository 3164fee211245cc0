/* The host's own processor as judge. State goes in and out through signal frames: a trap enters a
 * handler that replaces the interrupted context by the sample's; the instruction runs; INT3 or its
 * own fault enters the handler again, which takes the context out. */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <ucontext.h>

#include "oracle.h"

#define FP_XSTATE_MAGIC 0x46505853u /* in the frame's software bytes: an XSAVE area follows */
#define XSTATE_BV       512
#define USER32_CS       0x23
#define USER32_DS       0x2B

static const struct sample *going_in;
static struct outcome *coming_out;
static ucontext_t home;

static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

static void put_in(ucontext_t *u)
{
    const struct state *s = &going_in->before;
    greg_t *g = u->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)u->uc_mcontext.fpregs;

    for (unsigned i = 0; i < 16; i++)
        g[greg_of[i]] = (greg_t)s->r[i];
    g[REG_RIP] = (greg_t)s->rip;
    g[REG_EFL] = (greg_t)s->rflags;
    if (going_in->compat)
        g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xFFFFll) | USER32_CS;
    memcpy(fp, s->xsave, 416);             /* up to the software bytes */
    memcpy(fp + 576, s->xsave + 576, 256); /* YMM_Hi128 */
    store64(fp + XSTATE_BV, load64(fp + XSTATE_BV) | 7);
}

static void take_out(const ucontext_t *u)
{
    struct outcome *o = coming_out;
    const greg_t *g = u->uc_mcontext.gregs;
    const uint8_t *fp = (const uint8_t *)u->uc_mcontext.fpregs;
    uint64_t bv = load64(fp + XSTATE_BV);

    for (unsigned i = 0; i < 16; i++)
        o->after.r[i] = (uint64_t)g[greg_of[i]];
    o->after.rip = (uint64_t)g[REG_RIP];
    o->after.rflags = (uint64_t)g[REG_EFL];
    memcpy(o->after.xsave, fp, 416);
    if (bv & 4)
        memcpy(o->after.xsave + 576, fp + 576, 256);
    else
        memset(o->after.xsave + 576, 0, 256);
    o->vector = (unsigned)g[REG_TRAPNO];
    o->error = (uint32_t)g[REG_ERR];
    o->cr2 = (uint64_t)g[REG_CR2];
}

/* First entry: UD2 in native_run. Second: the sample's end. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;

    (void)sig;
    (void)info;
    if (going_in) {
        home = *u;
        put_in(u);
        going_in = NULL;
    } else {
        greg_t *g = u->uc_mcontext.gregs;

        take_out(u);
        memcpy(g, home.uc_mcontext.gregs, sizeof(home.uc_mcontext.gregs));
        g[REG_RIP] += 2; /* past UD2 */
        /* The C code around expects default control words and an empty x87 stack. */
        store16((uint8_t *)u->uc_mcontext.fpregs, 0x37F);
        memset((uint8_t *)u->uc_mcontext.fpregs + 2, 0, 4);
        store32((uint8_t *)u->uc_mcontext.fpregs + 24, 0x1F80);
    }
}

bool native_start(uint8_t *scratch_copy)
{
    static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t alt = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    void *m = mmap((void *)(uintptr_t)SCRATCH, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    void *x = mmap((void *)(uintptr_t)CODE, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    (void)scratch_copy;
    if (m == MAP_FAILED || x == MAP_FAILED || !alt.ss_sp || sigaltstack(&alt, NULL))
        return false;
    memset(x, 0xCC, CODE_BYTES);
    /* 64-bit code ignores these; 32-bit samples use them. */
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(USER32_DS));
    sigfillset(&act.sa_mask);
    for (size_t i = 0; i < COUNT(signals); i++)
        if (sigaction(signals[i], &act, NULL))
            return false;
    return true;
}

void native_run(const struct sample *s, const uint8_t *memory, struct outcome *out)
{
    uint8_t *code = (uint8_t *)(uintptr_t)CODE_AT;

    memcpy((void *)(uintptr_t)SCRATCH, memory, SCRATCH_BYTES);
    memset(code, 0xCC, 16);
    memcpy(code, s->code, s->len);
    coming_out = out;
    going_in = s;
    /* Everything may come back changed but what the handler restores from `home`. */
    __asm__ volatile("ud2" ::
                         : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                           "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                           "xmm15");
}

bool native_has(enum feature f)
{
    enum { EAX, EBX, ECX, EDX, NONE };
    static const struct {
        uint32_t leaf, subleaf;
        unsigned reg, bit;
    } where[FEATURES] = {
#define FEATURE(name, leaf, subleaf, reg, bit, since) {leaf, subleaf, reg, bit},
#include "silicon/cpu/feature.def"
#undef FEATURE
    };
    uint32_t out[4];

    if (where[f].reg == NONE)
        return true;
    __asm__("cpuid"
            : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
            : "a"(where[f].leaf), "c"(where[f].subleaf));
    return out[where[f].reg] >> where[f].bit & 1;
}
