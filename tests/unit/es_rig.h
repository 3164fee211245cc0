/* A guest with encrypted state on a whole chip: launched by the secure processor's commands, with
 * nested tables, run by VMRUN. The test is the hypervisor, and sees through the wall when it looks
 * at what became of the guest. Guest-physical addresses are system-physical ones. */
#ifndef LUCCA_TESTS_ES_RIG_H
#define LUCCA_TESTS_ES_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "silicon/asp_abi.h"
#include "silicon/cpu/cpu.h"
#include "silicon/vmsa.h"

#include <cmocka.h> /* after status.h: it has a macro `fail` */

#define ES_DRAM    (16u << 20)
#define ES_VMCB    0x1000u
#define ES_VMSA    0x3000u
#define ES_MSRPM   0x4000u
#define ES_IOPM    0x6000u
#define ES_NPT     0x10000u
#define ES_CMD     0x20000u
#define ES_SECRET  0x21000u
#define ES_TMR     0x100000u
#define ES_CR3     0x300000u
#define ES_IDT     0x310000u
#define ES_GDT     0x311000u
#define ES_CODE    0x410000u
#define ES_HANDLER 0x420000u /* 16 bytes a vector: HLT */
#define ES_STACK   0x440000u
#define ES_DATA    0x450000u
#define ES_MMIO    0x1000000u /* guest-physical; the nested entry has a reserved bit */
#define ES_ABSENT  0x1200000u
#define ES_SHARED  0x2000000u /* linear: what is private at ES_DATA's 2 MiB, without the C-bit */

struct es {
    struct soc *soc;
    struct cpu *c;
    uint32_t handle, asid;
    dram_key key;
    struct vmcb vmcb; /* the host's copy; es_run writes and reads back the controls */
    struct vmsa vmsa; /* a look through the wall after es_run */
};

static inline void es_host_write(struct es *e, uint64_t at, const void *from, size_t n)
{
    assert_true(soc_write(e->soc, at, from, n));
}
static inline void es_guest_write(struct es *e, uint64_t at, const void *from, size_t n)
{
    assert_true(dram_write(e->c->dram, at, e->key, from, n));
}
static inline void es_guest_read(struct es *e, uint64_t at, void *to, size_t n)
{
    assert_true(dram_read(e->c->dram, at, e->key, to, n));
}
static inline uint64_t es_guest64(struct es *e, uint64_t at)
{
    uint64_t v;

    es_guest_read(e, at, &v, 8);
    return v;
}
static inline void es_guest_put64(struct es *e, uint64_t at, uint64_t v)
{
    es_guest_write(e, at, &v, 8);
}

static inline enum sev_status es_command(struct es *e, uint32_t cmd, void *buf, size_t n)
{
    es_host_write(e, ES_CMD, buf, n);
    soc_asp_write(e->soc, ASP_CMDBUF_LO, ES_CMD);
    soc_asp_write(e->soc, ASP_CMDBUF_HI, 0);
    soc_asp_write(e->soc, ASP_CMDRESP, cmd << 16);
    assert_true(soc_read(e->soc, ES_CMD, buf, n));
    return (enum sev_status)(soc_asp_read(e->soc, ASP_CMDRESP) & 0xFFFF);
}

static inline enum sev_status es_update_vmsa(struct es *e, uint32_t handle, uint64_t at, uint32_t n)
{
    struct sev_cmd_guest_buffer b = {handle, 0, at, n};

    return es_command(e, SEV_CMD_LAUNCH_UPDATE_VMSA, &b, sizeof(b));
}

/* 64-bit code at CPL 0 on a flat stack, private memory; interrupts off. */
static inline struct vmsa es_first_vmsa(const struct es *e)
{
    uint64_t cbit = BIT(soc_chip(e->soc)->cbit);
    struct vmcb_seg data = {0x10, 0xC93, UINT32_MAX, 0};
    struct vmsa v = {
        .es = data,
        .ss = data,
        .ds = data,
        .cs = {0x08, 0xA9B, UINT32_MAX, 0},
        .gdtr = {.limit = 0xFF, .base = ES_GDT},
        .idtr = {.limit = 0xFFF, .base = ES_IDT},
        .tr = {.selector = 0x40, .attrib = 0x8B, .limit = 0x67},
        .ldtr = {.attrib = 0x82},
        .efer = EFER_SVME | EFER_LME | EFER_LMA,
        .cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET,
        .cr3 = ES_CR3 | cbit,
        .cr4 = CR4_PAE | CR4_OSFXSR,
        .dr6 = 0xFFFF0FF0,
        .dr7 = 0x400,
        .rflags = 2,
        .rip = ES_CODE,
        .rsp = ES_STACK,
        .g_pat = UINT64_C(0x0007040600070406),
        .xcr0 = 1,
        .mxcsr = 0x1F80,
        .x87_fcw = 0x37F,
    };

    return v;
}

/* Changes the guest's state as only the test can: under its key, and sealed. */
static inline void es_set(struct es *e, const struct vmsa *v)
{
    uint64_t slot = e->vmsa.integrity_slot;

    e->vmsa = *v;
    e->vmsa.integrity_slot = slot;
    es_guest_write(e, ES_VMSA, &e->vmsa, sizeof(e->vmsa));
    soc_vmsa_seal(e->soc, ES_VMSA, e->key, &e->vmsa);
}

static inline void es_tables(struct es *e)
{
    uint64_t cbit = BIT(soc_chip(e->soc)->cbit);

    for (uint64_t i = 0, host, guest; i < 32; i++) {
        host = i < 8 ? i << 21 | 0xE7 : i == 8 ? i << 21 | BIT(50) | 0xE7 : 0;
        guest = (i < 8 ? i << 21 | cbit : i < 16 ? i << 21 : (i - 16) << 21) | 0xE7;
        es_host_write(e, ES_NPT + 0x2000 + i * 8, &host, 8);
        es_guest_put64(e, ES_CR3 + 0x2000 + i * 8, guest);
    }
    es_guest_put64(e, ES_CR3, (ES_CR3 + 0x1000) | 7);
    es_guest_put64(e, ES_CR3 + 0x1000, (ES_CR3 + 0x2000) | 7);
    es_host_write(e, ES_NPT, &(uint64_t){(ES_NPT + 0x1000) | 7}, 8);
    es_host_write(e, ES_NPT + 0x1000, &(uint64_t){(ES_NPT + 0x2000) | 7}, 8);
    es_guest_put64(e, ES_GDT + 0x08, UINT64_C(0x00AF9B000000FFFF));
    es_guest_put64(e, ES_GDT + 0x10, UINT64_C(0x00CF93000000FFFF));
    for (uint64_t v = 0, at = ES_HANDLER; v < 256; v++, at += 16) {
        es_guest_put64(e, ES_IDT + v * 16,
                       (at & 0xFFFF) | 8u << 16 | UINT64_C(0x8E) << 40 | (at >> 16) << 48);
        es_guest_put64(e, ES_IDT + v * 16 + 8, 0);
        es_guest_write(e, at, "\xF4", 1);
    }
}

static inline void es_launch(struct es *e, uint32_t asid)
{
    struct sev_cmd_launch_start start = {.policy = SEV_POLICY_ES};
    struct sev_cmd_activate activate = {.asid = asid};
    struct sev_cmd_guest_buffer measure = {0, 0, ES_SECRET, sizeof(struct sev_measurement)};
    struct sev_cmd_handle finish;
    struct vmsa v = es_first_vmsa(e);

    assert_int_equal(es_command(e, SEV_CMD_LAUNCH_START, &start, sizeof(start)), SEV_SUCCESS);
    e->asid = asid;
    e->handle = measure.handle = activate.handle = finish.handle = start.handle;
    assert_int_equal(es_command(e, SEV_CMD_ACTIVATE, &activate, sizeof(activate)), SEV_SUCCESS);
    es_host_write(e, ES_VMSA, &v, sizeof(v));
    assert_int_equal(es_update_vmsa(e, e->handle, ES_VMSA, 0x1000), SEV_SUCCESS);
    assert_int_equal(es_command(e, SEV_CMD_LAUNCH_MEASURE, &measure, sizeof(measure)), SEV_SUCCESS);
    assert_int_equal(es_command(e, SEV_CMD_LAUNCH_FINISH, &finish, sizeof(finish)), SEV_SUCCESS);
    assert_true(soc_asid_key(e->soc, asid, &e->key));
    es_guest_read(e, ES_VMSA, &e->vmsa, sizeof(e->vmsa));
}

/* What a hypervisor of such guests intercepts. */
static inline void es_vmcb(struct es *e)
{
    e->vmcb =
        (struct vmcb){.control = {
                          .intercept3 = INTERCEPT_BIT(VMEXIT_INTR) | INTERCEPT_BIT(VMEXIT_HLT) |
                                        INTERCEPT_BIT(VMEXIT_MSR),
                          .intercept4 = INTERCEPT_BIT(VMEXIT_VMRUN) | INTERCEPT_BIT(VMEXIT_VMMCALL),
                          .iopm_base_pa = ES_IOPM,
                          .msrpm_base_pa = ES_MSRPM,
                          .asid = e->asid,
                          .nested_ctl = NESTED_NP | NESTED_SEV | NESTED_SEV_ES,
                          .ncr3 = ES_NPT,
                          .virt_ext = 1,
                          .vmsa_pa = ES_VMSA,
                          .ghcb_gpa = 0x1234,
                      }};
    memset(&e->vmcb.save, 0xA5, sizeof(e->vmcb.save));
}

/* After SEV's INIT. */
static inline void es_machine(struct es *e, enum chip_id chip, bool eager)
{
    struct soc_config cfg = {
        .chip = chip_by_id(chip), .dram_bytes = ES_DRAM, .dram_eager = eager, .cores = 1};
    struct sev_cmd_init init = {
        .flags = SEV_INIT_ES, .tmr_paddr = ES_TMR, .tmr_len = SEV_TMR_BYTES};
    static uint8_t ones[0x1000];
    struct error err;

    *e = (struct es){0};
    assert_int_equal(soc_new(&cfg, &e->soc, &err), OK);
    e->c = soc_core(e->soc, 0);
    assert_true(cpu_wrmsr(e->c, 0xC0000080, EFER_SVME));
    assert_true(cpu_wrmsr(e->c, 0xC0010015, 1));
    assert_true(cpu_wrmsr(e->c, 0xC0010010, BIT(23)));
    memset(ones, 0xFF, sizeof(ones));
    for (unsigned i = 0; i < 2; i++)
        es_host_write(e, ES_MSRPM + i * 0x1000, ones, sizeof(ones));
    assert_int_equal(es_command(e, SEV_CMD_INIT, &init, sizeof(init)), SEV_SUCCESS);
    cpu_wbinvd(e->c);
    assert_int_equal(es_command(e, SEV_CMD_DF_FLUSH, &init, sizeof(init)), SEV_SUCCESS);
}

static inline void es_open(struct es *e, enum chip_id chip, bool eager)
{
    es_machine(e, chip, eager);
    es_launch(e, 7);
    es_tables(e);
    es_vmcb(e);
}

static inline void es_close(struct es *e)
{
    soc_free(e->soc);
}

/* VMRUN; the exit code. */
static inline uint64_t es_run(struct es *e)
{
    es_host_write(e, ES_VMCB, &e->vmcb, sizeof(e->vmcb));
    cpu_vmrun(e->c, ES_VMCB);
    assert_true(soc_read(e->soc, ES_VMCB, &e->vmcb, sizeof(e->vmcb)));
    es_guest_read(e, ES_VMSA, &e->vmsa, sizeof(e->vmsa));
    return e->vmcb.control.exitcode;
}

#define CODE(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static inline void es_code(struct es *e, const uint8_t *code, size_t n)
{
    es_guest_write(e, ES_CODE, code, n);
}

/* Ends in HLT at a handler: which vector, and the frame it found. */
struct es_frame {
    unsigned vec;
    uint64_t error, rip, cs, rflags, rsp;
};

static inline struct es_frame es_trapped(struct es *e)
{
    struct es_frame f = {.vec = (unsigned)((e->vmsa.rip - 1 - ES_HANDLER) / 16)};
    uint64_t at = e->vmsa.rsp;

    assert_int_equal(e->vmcb.control.exitcode, VMEXIT_HLT);
    assert_in_range(e->vmsa.rip, ES_HANDLER, ES_HANDLER + 0xFFF);
    if (f.vec == EXC_VC || event_has_error(f.vec)) {
        f.error = es_guest64(e, at);
        at += 8;
    }
    f.rip = es_guest64(e, at);
    f.cs = es_guest64(e, at + 8);
    f.rflags = es_guest64(e, at + 16);
    f.rsp = es_guest64(e, at + 24);
    return f;
}

/* `code` from the first state comes to #VC with that error code at byte `at`. */
static inline void es_expect_vc(struct es *e, uint64_t error, unsigned at)
{
    struct es_frame f;

    assert_int_equal(es_run(e), VMEXIT_HLT);
    f = es_trapped(e);
    assert_int_equal(f.vec, EXC_VC);
    assert_int_equal(f.error, error);
    assert_int_equal(f.rip, ES_CODE + at);
}

static inline void es_restart(struct es *e)
{
    struct vmsa v = es_first_vmsa(e);

    es_set(e, &v);
}

#endif
