/* Every user-mode row of the instruction table, natively and in the interpreter. A fixed seed, so
 * that a failure repeats; ORACLE_SEED and ORACLE_CASES widen the net; ORACLE_FORM=ADD narrows it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "oracle.h"

/* Its shadow takes a part of the low addresses, where cases stray: what faults in one world is
 * mapped in the other. The undefined behaviour sanitizer has none. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#endif
#ifndef ADDRESS_SANITIZER
#define ADDRESS_SANITIZER 0
#endif

static uint8_t memory[SCRATCH_BYTES], emulated_memory[SCRATCH_BYTES];

/* What of RFLAGS must agree after this row. */
static uint64_t flags_mask(const struct row *row)
{
    return (OSZAPC | FLAG_D) & ~(uint64_t)row->undefined;
}

static unsigned differences;
static char report[4096];

static void differ(const char *what, unsigned n, uint64_t native, uint64_t emulated)
{
    size_t at = strlen(report);

    differences++;
    if (at < sizeof(report) - 128)
        snprintf(report + at, sizeof(report) - at,
                 "    %s%u: native %016llx, interpreter %016llx\n", what, n,
                 (unsigned long long)native, (unsigned long long)emulated);
}

static void compare_x(const uint8_t *n, const uint8_t *e)
{
    for (unsigned i = 0; i < 16; i++)
        for (unsigned q = 0; q < 2; q++) {
            if (load64(n + 160 + 16 * i + 8 * q) != load64(e + 160 + 16 * i + 8 * q))
                differ(q ? "xmm hi " : "xmm lo ", i, load64(n + 160 + 16 * i + 8 * q),
                       load64(e + 160 + 16 * i + 8 * q));
            if (load64(n + 576 + 16 * i + 8 * q) != load64(e + 576 + 16 * i + 8 * q))
                differ(q ? "ymm top " : "ymm up ", i, load64(n + 576 + 16 * i + 8 * q),
                       load64(e + 576 + 16 * i + 8 * q));
        }
    if (load32(n + 24) != load32(e + 24))
        differ("mxcsr", 0, load32(n + 24), load32(e + 24));
}

/* x87: with `loose` the lowest bits of a significand may differ (transcendentals). */
static void compare_x87(const uint8_t *n, const uint8_t *e, bool loose)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t a = load64(n + 32 + 16 * i), b = load64(e + 32 + 16 * i);

        if (load16(n + 40 + 16 * i) != load16(e + 40 + 16 * i))
            differ("st exponent ", i, load16(n + 40 + 16 * i), load16(e + 40 + 16 * i));
        else if (a != b && !(loose && (a - b <= 2 || b - a <= 2)))
            differ("st significand ", i, a, b);
    }
    if (load16(n) != load16(e))
        differ("fcw", 0, load16(n), load16(e));
    if ((load16(n + 2) ^ load16(e + 2)) & (loose ? 0xFDDFu : 0xFFFFu))
        differ("fsw", 0, load16(n + 2), load16(e + 2));
    if (n[4] != e[4])
        differ("ftw", 0, n[4], e[4]);
}

static bool is_loose(const struct row *row)
{
    static const char *const names[] = {"FSIN",  "FCOS", "FPTAN", "FPATAN", "F2XM1",
                                        "FYL2X", "RCP",  "RSQRT", "VRCP",   "VRSQRT"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (!strncmp(row->form, names[i], strlen(names[i])))
            return true;
    return false;
}

static void compare(const struct sample *s, const struct outcome *n, const struct outcome *e)
{
    uint64_t mask = flags_mask(s->row);
    const uint8_t *native_memory = (const uint8_t *)(uintptr_t)SCRATCH;

    differences = 0;
    report[0] = 0;
    if (n->vector != e->vector) {
        differ("exception ", 0, n->vector, e->vector);
        return;
    }
    for (unsigned i = 0; i < 16; i++)
        if (n->after.r[i] != e->after.r[i])
            differ("r", i, n->after.r[i], e->after.r[i]);
    if (n->after.rip - (n->vector == EXC_BP) != e->after.rip)
        differ("rip", 0, n->after.rip - (n->vector == EXC_BP), e->after.rip);
    if (n->vector == EXC_BP && (n->after.rflags ^ e->after.rflags) & mask)
        differ("rflags", 0, n->after.rflags & mask, e->after.rflags & mask);
    /* In the upper half natively lies a kernel: present, but not here. */
    if (n->vector == EXC_PF &&
        (n->cr2 != e->cr2 || (n->error ^ e->error) & ~(uint32_t)(n->cr2 >> 63)))
        differ("cr2", 0, n->cr2, e->cr2);
    compare_x(n->after.xsave, e->after.xsave);
    compare_x87(n->after.xsave, e->after.xsave, is_loose(s->row));
    for (unsigned i = 0; i < SCRATCH_BYTES && differences < 8; i += 8)
        if (load64(native_memory + i) != load64(emulated_memory + i))
            differ("memory +", i, load64(native_memory + i), load64(emulated_memory + i));
}

static void show(const struct sample *s)
{
    fprintf(stderr, "# %s%s:", s->row->form, s->compat ? " (32-bit)" : "");
    for (unsigned i = 0; i < s->len; i++)
        fprintf(stderr, " %02x", s->code[i]);
    fprintf(stderr, "\n%s", report);
    if (getenv("ORACLE_VERBOSE")) {
        for (unsigned i = 0; i < 16; i++)
            fprintf(stderr, "    before r%u %016llx\n", i, (unsigned long long)s->before.r[i]);
        for (unsigned i = 0; i < 16; i++)
            fprintf(stderr, "    before xmm%u %016llx%016llx\n", i,
                    (unsigned long long)load64(s->before.xsave + 168 + 16 * i),
                    (unsigned long long)load64(s->before.xsave + 160 + 16 * i));
        fprintf(stderr, "    before rflags %llx mxcsr %x fcw %x fsw %x\n",
                (unsigned long long)s->before.rflags, load32(s->before.xsave + 24),
                load16(s->before.xsave), load16(s->before.xsave + 2));
    }
}

enum verdict { AGREES, DISAGREES, NOT_HERE };

static enum verdict try_row(enum form form, unsigned cases, uint64_t seed)
{
    struct rng r = {.s = seed * 0x10001 + form};
    unsigned bad = 0;

    if (!native_has(insn_rows[form].needs))
        return NOT_HERE;
    for (unsigned i = 0; i < cases; i++) {
        struct sample s;
        struct outcome n, e;

        sample_make(&s, form, &r);
        for (unsigned at = 0; at < SCRATCH_BYTES; at += 8)
            if (i % 16 == 0 || at % 512 == 0)
                store64(memory + at, rng_next(&r));
        sample_prepare(&s, memory, &r);
        memset(&n, 0, sizeof(n));
        memset(&e, 0, sizeof(e));
        native_run(&s, memory, &n);
        emulated_run(&s, memory, &e, emulated_memory);
        compare(&s, &n, &e);
        if (differences && !bad++)
            show(&s);
    }
    if (bad)
        fprintf(stderr, "#   %u of %u cases\n", bad, cases);
    return bad ? DISAGREES : AGREES;
}

int main(void)
{
    const char *only = getenv("ORACLE_FORM"), *seed = getenv("ORACLE_SEED");
    unsigned cases = getenv("ORACLE_CASES") ? (unsigned)atoi(getenv("ORACLE_CASES")) : 200;
    unsigned count[3] = {0}, unfit = 0, number = 0;

    if (ADDRESS_SANITIZER) {
        printf("1..0 # SKIP not under the address sanitizer\n");
        return 0;
    }
    if (!native_start(memory) || !emulated_start()) {
        printf("1..0 # SKIP the low addresses that the oracle needs are taken\n");
        return 0;
    }
    printf("1..%u\n", (unsigned)FORMS);
    for (unsigned f = 0; f < FORMS; f++) {
        const struct row *row = &insn_rows[f];
        const char *why = sample_unfit(row);
        enum verdict v;

        number++;
        if (why || (only && !strstr(row->form, only))) {
            printf("ok %u - %s # SKIP %s\n", number, row->form, why ? why : "not asked");
            unfit++;
            continue;
        }
        v = try_row(f, cases, seed ? strtoull(seed, NULL, 0) : 1);
        count[v]++;
        if (v == NOT_HERE)
            printf("ok %u - %s # SKIP this processor lacks it\n", number, row->form);
        else
            printf("%sok %u - %s\n", v == AGREES ? "" : "not ", number, row->form);
        fflush(stdout);
    }
    fprintf(stderr, "# %u rows agree, %u disagree, %u not on this processor, %u not user-mode\n",
            count[AGREES], count[DISAGREES], count[NOT_HERE], unfit);
    return count[DISAGREES] > 0;
}
