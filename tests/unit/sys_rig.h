/* One core of a small machine, set up register by register; what an access or an event on it comes
 * to: done, a fault, or a #VMEXIT. */
#ifndef LUCCA_TESTS_SYS_RIG_H
#define LUCCA_TESTS_SYS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "silicon/cpu/decode.h"
#include "silicon/cpu/exec.h"
#include "silicon/cpu/mmu.h"
#include "silicon/cpu/seg.h"

#include <cmocka.h> /* after status.h: it has a macro `fail` */

#define RIG_BYTES (8u << 20)

enum how { DONE, FAULT, EXIT };

struct outcome {
    enum how how;
    int vec;
    uint32_t error;
    uint64_t address; /* of a #PF */
    uint64_t code, info1, info2;
};

struct rig {
    struct soc *soc;
    struct cpu *c;
};

static inline void rig_start(struct rig *r, bool eager)
{
    struct soc_config cfg = {
        .chip = chip_by_id(CHIP_GENOA), .dram_bytes = RIG_BYTES, .dram_eager = eager, .cores = 1};
    struct error err;

    assert_int_equal(soc_new(&cfg, &r->soc, &err), OK);
    r->c = soc_core(r->soc, 0);
}

static inline void rig_stop(struct rig *r)
{
    soc_free(r->soc);
}

/* ---- memory, under the plain key ---- */
static inline void put64(struct rig *r, uint64_t at, uint64_t v)
{
    assert_true(soc_write(r->soc, at, &v, 8));
}
static inline void put32(struct rig *r, uint64_t at, uint32_t v)
{
    assert_true(soc_write(r->soc, at, &v, 4));
}
static inline uint64_t get64(struct rig *r, uint64_t at)
{
    uint64_t v;

    assert_true(soc_read(r->soc, at, &v, 8));
    return v;
}
static inline uint32_t get32(struct rig *r, uint64_t at)
{
    return (uint32_t)get64(r, at);
}

/* ---- modes ---- */
static inline struct seg flat(uint16_t selector, uint16_t attrib)
{
    return (struct seg){.selector = selector, .attrib = attrib, .limit = UINT32_MAX};
}

/* 64-bit code (`l`) or 32-bit code at a privilege, flat. */
static inline void mode(struct rig *r, unsigned cpl, bool l)
{
    struct cpu *c = r->c;
    uint16_t rpl = (uint16_t)cpl, dpl = (uint16_t)(cpl << 5);

    c->cpl = (uint8_t)cpl;
    c->seg[CS] = flat(8 | rpl, (l ? 0xA9B : 0xC9B) | dpl);
    c->seg[SS] = c->seg[DS] = c->seg[ES] = flat(0x10 | rpl, 0xC93 | dpl);
    c->seg[FS] = c->seg[GS] = flat(0, 0);
    cpu_mode_changed(c);
}

static inline void long_paging(struct rig *r, uint64_t cr3, uint64_t cr0, uint64_t cr4,
                               uint64_t efer)
{
    r->c->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | cr0;
    r->c->cr4 = CR4_PAE | cr4;
    r->c->efer = EFER_LME | EFER_LMA | efer;
    mmu_world(r->c, cr3);
    mode(r, 0, true);
}

/* ---- running something that may unwind ---- */
struct attempt {
    struct rig *r;
    const struct op *o;
    uint64_t la;
    void *data;
    unsigned size, arg;
};

static inline struct outcome attempt(void (*what)(struct attempt *), struct attempt *a)
{
    struct cpu *c = a->r->c;
    struct outcome out = {0};
    jmp_buf here;

    c->unwind = &here;
    out.how = (enum how)setjmp(here);
    if (out.how == DONE)
        what(a);
    c->unwind = NULL;
    if (out.how == FAULT) {
        out.vec = c->fault_vector;
        out.error = c->fault_error;
        out.address = c->fault_address;
    }
    if (out.how == EXIT) {
        out.code = c->vmcb.exitcode;
        out.info1 = c->vmcb.exitinfo1;
        out.info2 = c->vmcb.exitinfo2;
    }
    return out;
}

static inline void do_load(struct attempt *a)
{
    mmu_load(a->r->c, a->o, a->la, a->data, a->size);
}
static inline void do_store(struct attempt *a)
{
    mmu_store(a->r->c, a->o, a->la, a->data, a->size);
}
static inline void do_fetch(struct attempt *a)
{
    (void)mmu_fetch(a->r->c, a->la);
}

static inline struct outcome try_access(struct rig *r, uint64_t la, enum access acc)
{
    static void (*const by_access[])(struct attempt *) = {do_load, do_store, do_fetch};
    uint8_t byte = 0x5A;
    struct attempt a = {.r = r, .la = la, .data = &byte, .size = 1};

    return attempt(by_access[acc], &a);
}

/* Runs the instruction in `code` at RIP; routines alone, no fetch. */
static inline void do_insn(struct attempt *a)
{
    struct cpu *c = a->r->c;
    struct op ops[2] = {{.off = 0}, {.fn = NULL}};
    extern void rig_end(struct cpu *, const struct op *);

    c->r[REG_BLOCK] = c->rip;
    assert_int_not_equal(decode_insn(c, a->data, a->size, c->decode, &ops[0]), 0);
    ops[1].fn = rig_end;
    ops[1].off = ops[0].len;
    ops[0].fn(c, &ops[0]);
}

#define INSN_BYTES(...) ((uint8_t[]){__VA_ARGS__}), sizeof((uint8_t[]){__VA_ARGS__})

static inline struct outcome try_insn(struct rig *r, const uint8_t *code, unsigned len)
{
    struct attempt a = {.r = r, .data = (void *)(uintptr_t)code, .size = len};

    return attempt(do_insn, &a);
}

#define RIG_END                                                                                    \
    void rig_end(struct cpu *c, const struct op *o);                                               \
    void rig_end(struct cpu *c, const struct op *o)                                                \
    {                                                                                              \
        c->rip = c->r[REG_BLOCK] + o->off;                                                         \
        c->next = NULL;                                                                            \
    }

#endif
