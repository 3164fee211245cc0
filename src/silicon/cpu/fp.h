/* SSE floating point: MXCSR, and IEEE 754 arithmetic in integers as x86 does it.
 *
 * Two ways lead to every result. On x86-64 hosts, while no exception is unmasked, routines use the
 * host's own instruction (FP_NATIVE): the host's MXCSR holds the guest's controls between
 * fpenv_enter and fpenv_leave, and sticky flags gather there. Everywhere else, and whenever an
 * exception could be raised, they use the functions below, which take and give bit patterns and
 * note exceptions in `struct fp`. Both give the same bits; tests/unit/test_sse.c compares them.
 */
#ifndef LUCCA_SILICON_CPU_FP_H
#define LUCCA_SILICON_CPU_FP_H

#include "silicon/cpu/cpu.h"

/* LUCCA_PORTABLE: an x86-64 host must do as others do (tests). */
#if defined(__x86_64__) && !defined(LUCCA_PORTABLE)
#define FP_NATIVE 1
#else
#define FP_NATIVE 0
#endif

#define MXCSR_IE      0x00001u
#define MXCSR_DE      0x00002u
#define MXCSR_ZE      0x00004u
#define MXCSR_OE      0x00008u
#define MXCSR_UE      0x00010u
#define MXCSR_PE      0x00020u
#define MXCSR_FLAGS   0x0003Fu
#define MXCSR_DAZ     0x00040u
#define MXCSR_MASKS   0x01F80u /* the exceptions', in the flags' order */
#define MXCSR_RC(m)   ((m) >> 13 & 3)
#define MXCSR_FTZ     0x08000u
#define MXCSR_MM      0x20000u /* misaligned operands are no #GP */
#define MXCSR_VALID   0x2FFFFu /* MXCSR_MASK of FXSAVE: MISALIGNSSE is there on every chip */
#define MXCSR_DEFAULT 0x01F80u

/* MXCSR as the guest sees it, flags that gathered in the host included; and its change. */
uint32_t mxcsr_read(struct cpu *c);
void mxcsr_write(struct cpu *c, uint32_t v);

enum { ROUND_NEAREST, ROUND_DOWN, ROUND_UP, ROUND_ZERO };

/* The controls an operation obeys and the exceptions it had, in two kinds: those found in the
 * operands (IE DE ZE) come first, and when one of them is unmasked in any element, no element's
 * result is computed and the others (OE UE PE) do not show (APM1 4.10). */
struct fp {
    uint8_t rounding;
    uint8_t unmasked; /* in the flags' order */
    bool daz, ftz;
    uint8_t pre, post;
    uint8_t before; /* of the instruction's earlier steps */
};

/* Between the steps of an instruction; false when an exception ends it here. */
static inline bool fp_goes_on(struct fp *f)
{
    if ((f->pre | f->post) & f->unmasked)
        return false;
    f->before |= f->pre | f->post;
    f->pre = f->post = 0;
    return true;
}

static inline bool fp_native(const struct cpu *c)
{
    return FP_NATIVE && LIKELY((c->mxcsr & MXCSR_MASKS) == MXCSR_MASKS);
}

struct fp fp_begin(const struct cpu *c);
/* Notes the exceptions in MXCSR; #XF (#UD without CR4.OSXMMEXCPT) when one is unmasked. */
void fp_end(struct cpu *c, const struct op *o, const struct fp *f);

/* What fp_fma subtracts. */
#define FP_MINUS_PRODUCT 1u
#define FP_MINUS_ADDEND  2u

#define FP_ARITHMETIC(bits)                                                                        \
    uint##bits##_t fp_add##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_sub##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_mul##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_div##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_min##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_max##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b);                 \
    uint##bits##_t fp_sqrt##bits(struct fp *f, uint##bits##_t a);                                  \
    /* (-)a * b (-)+ c, rounded once; a NaN of a, b, c is chosen in this order */                  \
    uint##bits##_t fp_fma##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b,                  \
                                uint##bits##_t c, unsigned negate);                                \
    /* To an integral value by ROUND_ `mode`; `inexact`: PE shows */                               \
    uint##bits##_t fp_round##bits(struct fp *f, uint##bits##_t a, unsigned mode, bool inexact);    \
    enum fp_order fp_compare##bits(struct fp *f, uint##bits##_t a, uint##bits##_t b,               \
                                   bool signaling);                                                \
    /* To signed integers; out of range: the integer indefinite and IE */                          \
    uint32_t fp_to_i32_##bits(struct fp *f, uint##bits##_t a, unsigned mode);                      \
    uint64_t fp_to_i64_##bits(struct fp *f, uint##bits##_t a, unsigned mode);                      \
    uint##bits##_t fp_from_i##bits(struct fp *f, int64_t v)

/* Bits, so that a predicate is a set of them. */
enum fp_order { FP_LESS = 1, FP_EQUAL = 2, FP_GREATER = 4, FP_UNORDERED = 8 };

FP_ARITHMETIC(32);
FP_ARITHMETIC(64);
#undef FP_ARITHMETIC

uint64_t fp_32_to_64(struct fp *f, uint32_t a);
uint32_t fp_64_to_32(struct fp *f, uint64_t a);
uint32_t fp_16_to_32(struct fp *f, uint16_t a);
uint16_t fp_32_to_16(struct fp *f, uint32_t a);
/* RCPSS and RSQRTSS: within 1.5 * 2^-12 of the truth, no exceptions. */
uint32_t fp_rcp(uint32_t a);
uint32_t fp_rsqrt(uint32_t a);

#endif
