/* One core without paging, and single instructions run on it: for tests of instruction routines. On
 * x86-64 hosts the same bytes can run natively beside it. */
#ifndef LUCCA_TESTS_CPU_BENCH_H
#define LUCCA_TESTS_CPU_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "silicon/cpu/cpu.h"
#include "silicon/cpu/decode.h"

#include <cmocka.h> /* after status.h: it has a macro `fail` */

#define BENCH_AREA  0x10000u /* physical, and linear: 64 KiB of operands */
#define BENCH_CODE  0x30000u /* where instructions seem to be */
#define BENCH_BYTES (2u << 20)

struct bench {
    struct soc *soc;
    struct cpu *c;
};

/* CR0, CR4 or EFER changed: what follows from them, and 64-bit code in any case. */
static inline void bench_world(struct bench *b, uint64_t cr3)
{
    mmu_world(b->c, cr3);
    cpu_mode_changed(b->c);
    b->c->decode = (b->c->decode & ~DECODE_SIZE) | 2;
}

/* 64-bit code at CPL 0 over untranslated memory: the decoder and the routines look at no more. */
static inline void bench_start(struct bench *b)
{
    struct soc_config cfg = {.chip = chip_by_id(CHIP_TURIN), .dram_bytes = BENCH_BYTES, .cores = 1};
    struct error err;

    assert_int_equal(soc_new(&cfg, &b->soc, &err), OK);
    b->c = soc_core(b->soc, 0);
    b->c->cr0 = CR0_PE | CR0_NE | CR0_ET | CR0_MP;
    b->c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    b->c->xcr0 = 7;
    b->c->cpl = 0;
    for (unsigned i = 0; i < FLAT; i++)
        b->c->seg[i] = (struct seg){.attrib = i == CS ? 0xAFB : 0xCF3, .limit = UINT32_MAX};
    bench_world(b, 0);
    b->c->r[REG_BLOCK] = BENCH_CODE;
}

static inline void bench_stop(struct bench *b)
{
    soc_free(b->soc);
}

static inline void bench_put(struct bench *b, uint32_t at, const void *from, size_t n)
{
    assert_true(soc_write(b->soc, at, from, n));
}

static inline void bench_get(struct bench *b, uint32_t at, void *to, size_t n)
{
    assert_true(soc_read(b->soc, at, to, n));
}

static inline void bench_end(struct cpu *c, const struct op *o)
{
    (void)o;
    c->next = NULL;
}

/* Runs the instruction; returns the vector it raised, or -1. */
static inline int bench_op(struct bench *b, const struct op *o)
{
    struct op ops[2] = {*o, {.fn = bench_end}};
    jmp_buf here;
    int vector = -1;

    b->c->unwind = &here;
    if (!setjmp(here))
        ops[0].fn(b->c, &ops[0]);
    else
        vector = b->c->fault_vector;
    b->c->unwind = NULL;
    return vector;
}

static inline int bench_run(struct bench *b, const uint8_t *code, unsigned len)
{
    struct op o = {.off = 0};

    assert_int_equal(decode_insn(b->c, code, len, b->c->decode, &o), len);
    return bench_op(b, &o);
}

/* Splitmix64: the same cases every time. */
static inline uint64_t bench_random(uint64_t *s)
{
    uint64_t z = *s += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

#endif
