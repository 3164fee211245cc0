/* Exceptions and interrupts: the frames they push in each mode, what goes wrong on the way, and
 * what two at once become (APM2 chapter 8). Far transfers and returns, since they undo the same
 * frames. Everything lies in the first megabytes of DRAM, untranslated or mapped one to one. */
#include "sys_rig.h"

RIG_END

#define IDT       0x1000u
#define GDT       0x2000u
#define TSS       0x3000u
#define STACK_TOP 0x9000u /* where RSP begins */
#define RING0     0xB000u /* the TSS's RSP0 */
#define IST1      0xD000u
#define PML4      0x10000u
#define PDPT      0x11000u

#define CODE32 UINT64_C(0x00CF9B000000FFFF)
#define DATA32 UINT64_C(0x00CF93000000FFFF)
#define CODE64 UINT64_C(0x00AF9B000000FFFF)
#define DPL(n) ((uint64_t)(n) << 45)

/* Selectors */
#define K_CODE 0x08u
#define K_DATA 0x10u
#define U_CODE 0x18u
#define U_DATA 0x20u
#define K64    0x28u
#define U64    0x30u
#define TSSSEL 0x40u
#define TSS2   0x50u
#define GATE   0x60u

static void build_tables(struct rig *r)
{
    struct cpu *c = r->c;

    put64(r, GDT + K_CODE, CODE32);
    put64(r, GDT + K_DATA, DATA32);
    put64(r, GDT + U_CODE, CODE32 | DPL(3));
    put64(r, GDT + U_DATA, DATA32 | DPL(3));
    put64(r, GDT + K64, CODE64);
    put64(r, GDT + U64, CODE64 | DPL(3));
    c->gdtr = (struct seg){.base = GDT, .limit = 0x7F};
    c->idtr = (struct seg){.base = IDT, .limit = 0xFFF};
    c->tr = (struct seg){.selector = TSSSEL, .attrib = 0x8B, .limit = 0x67, .base = TSS};
    c->r[RSP] = STACK_TOP;
    c->rip = 0x5000;
    c->rflags = 2 | RFLAGS_IF | RFLAGS_TF;
    flags_write(c, FLAG_C);
    c->exitintinfo = 0;
    c->inject = -1;
}

static int start(void **state)
{
    static struct rig r;

    rig_start(&r, false);
    build_tables(&r);
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    rig_stop(*state);
    return 0;
}

static void gate32(struct rig *r, unsigned vec, unsigned type, unsigned dpl, uint16_t selector,
                   uint32_t offset)
{
    put64(r, IDT + vec * 8,
          (offset & 0xFFFF) | (uint64_t)selector << 16 | (uint64_t)type << 40 | DPL(dpl) | BIT(47) |
              (uint64_t)(offset >> 16) << 48);
}

static void gate64(struct rig *r, unsigned vec, unsigned type, unsigned dpl, unsigned ist,
                   uint16_t selector, uint64_t offset)
{
    put64(r, IDT + vec * 16,
          (offset & 0xFFFF) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
              (uint64_t)type << 40 | DPL(dpl) | BIT(47) | (offset >> 16 & 0xFFFF) << 48);
    put64(r, IDT + vec * 16 + 8, offset >> 32);
}

static void protected32(struct rig *r, unsigned cpl)
{
    struct cpu *c = r->c;

    c->cr0 = CR0_PE | CR0_ET;
    c->cr4 = c->efer = 0;
    mmu_world(c, 0);
    mode(r, cpl, false);
    c->seg[CS].selector = cpl ? U_CODE | 3 : K_CODE;
    c->seg[SS].selector = c->seg[DS].selector = cpl ? U_DATA | 3 : K_DATA;
    put32(r, TSS + 4, RING0);
    put32(r, TSS + 8, K_DATA);
}

static void long64_at(struct rig *r, unsigned cpl)
{
    put64(r, PML4, PDPT | 7);
    put64(r, PDPT, 0x87);
    long_paging(r, PML4, 0, 0, EFER_NXE | EFER_SCE);
    mode(r, cpl, true);
    r->c->seg[CS].selector = cpl ? U64 | 3 : K64;
    r->c->seg[SS].selector = cpl ? U_DATA | 3 : K_DATA;
    put64(r, TSS + 4, RING0);
    put64(r, TSS + 0x24, IST1);
}

/* ---- attempts ---- */
static void do_interrupt(struct attempt *a)
{
    event_deliver(a->r->c, a->arg, false, 0, false, true);
}
static void do_raise(struct attempt *a)
{
    event_raise(a->r->c, a->arg, event_has_error(a->arg), (uint32_t)a->la);
}

static struct outcome interrupt(struct rig *r, unsigned vec)
{
    struct attempt a = {.r = r, .arg = vec};

    return attempt(do_interrupt, &a);
}

static struct outcome raise_fault(struct rig *r, unsigned vec, uint32_t error)
{
    struct attempt a = {.r = r, .arg = vec, .la = error};

    return attempt(do_raise, &a);
}

static uint64_t flags_now(const struct rig *r)
{
    return rflags_get(r->c);
}

/* ---- real mode ---- */
static void real_mode_uses_the_ivt(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->cr0 = CR0_ET;
    mmu_world(c, 0);
    for (unsigned i = 0; i < FLAT; i++)
        c->seg[i] = (struct seg){.limit = 0xFFFF, .attrib = 0x93};
    seg_load_real(c, CS, 0x1234);
    cpu_mode_changed(c);
    c->idtr = (struct seg){.limit = 0x3FF};
    put32(r, 0x21 * 4, 0xF0005678);
    c->rip = 0x777;
    assert_int_equal(interrupt(r, 0x21).how, DONE);
    assert_int_equal(c->seg[CS].selector, 0xF000);
    assert_int_equal(c->seg[CS].base, 0xF0000);
    assert_int_equal(c->rip, 0x5678);
    assert_int_equal(c->r[RSP], STACK_TOP - 6);
    assert_int_equal(get64(r, STACK_TOP - 6) & 0xFFFFFFFFFFFF, UINT64_C(0x030312340777));
    assert_false(c->rflags & (RFLAGS_IF | RFLAGS_TF));
    /* and IRET takes it back */
    assert_int_equal(try_insn(r, INSN_BYTES(0xCF)).how, DONE);
    assert_int_equal(c->rip, 0x777);
    assert_int_equal(c->seg[CS].selector, 0x1234);
    assert_int_equal(c->r[RSP], STACK_TOP);
    assert_int_equal(flags_now(r), 2 | RFLAGS_IF | RFLAGS_TF | FLAG_C);
    c->idtr.limit = 0x21 * 4 + 2;
    assert_int_equal(interrupt(r, 0x21).vec, EXC_GP);
}

/* ---- legacy protected mode ---- */
static void legacy_same_privilege(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    protected32(r, 0);
    gate32(r, 0x21, SYS_INTERRUPT, 0, K_CODE, 0x123456);
    gate32(r, EXC_GP, SYS_TRAP, 0, K_CODE, 0x6000);
    assert_int_equal(interrupt(r, 0x21).how, DONE);
    assert_int_equal(c->rip, 0x123456);
    assert_int_equal(c->r[RSP], STACK_TOP - 12);
    assert_int_equal(get32(r, STACK_TOP - 12), 0x5000);
    assert_int_equal(get32(r, STACK_TOP - 8), K_CODE);
    assert_int_equal(get32(r, STACK_TOP - 4), 0x303);
    assert_int_equal(flags_now(r), 2 | FLAG_C);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCF)).how, DONE);
    assert_int_equal(c->rip, 0x5000);
    assert_int_equal(c->r[RSP], STACK_TOP);
    /* a fault pushes its error code, and RF in the image; a trap gate leaves IF */
    assert_int_equal(raise_fault(r, EXC_GP, 0x18).how, DONE);
    assert_int_equal(get32(r, STACK_TOP - 16), 0x18);
    assert_int_equal(get32(r, STACK_TOP - 4), 0x10303);
    assert_int_equal(flags_now(r), 2 | RFLAGS_IF | FLAG_C);
}

static void legacy_to_inner_privilege_and_back(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    protected32(r, 3);
    c->seg[FS] = flat(K_DATA, 0xC93); /* a kernel's, left behind */
    gate32(r, 0x80, SYS_INTERRUPT, 3, K_CODE, 0x6000);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCD, 0x80)).how, DONE);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->seg[CS].selector, K_CODE);
    assert_int_equal(c->seg[SS].selector, K_DATA);
    assert_int_equal(c->r[RSP], RING0 - 20);
    assert_int_equal(get32(r, RING0 - 20), 0x5002);
    assert_int_equal(get32(r, RING0 - 16), U_CODE | 3);
    assert_int_equal(get32(r, RING0 - 12), 0x303);
    assert_int_equal(get32(r, RING0 - 8), STACK_TOP);
    assert_int_equal(get32(r, RING0 - 4), U_DATA | 3);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCF)).how, DONE);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->rip, 0x5002);
    assert_int_equal(c->r[RSP], STACK_TOP);
    assert_int_equal(c->seg[SS].selector, U_DATA | 3);
    assert_int_equal(c->seg[FS].attrib, 0); /* became null on the way out */
}

static const struct {
    const char *law;
    unsigned vec, type, dpl;
    uint16_t selector;
    bool software;
    int want;
    uint32_t error;
} gates[] = {
    {"INT n needs the gate's DPL", 0x30, SYS_INTERRUPT, 0, K_CODE, true, EXC_GP, 0x30 * 8 + 2},
    {"an interrupt does not", 0x30, SYS_INTERRUPT, 0, K_CODE, false, -1, 0},
    {"a data segment is no handler", 0x30, SYS_INTERRUPT, 3, K_DATA, false, EXC_GP, K_DATA | 1},
    {"EXT is clear for INT n", 0x30, SYS_INTERRUPT, 3, K_DATA, true, EXC_GP, K_DATA},
    {"a null handler selector", 0x30, SYS_INTERRUPT, 3, 0, false, EXC_GP, 1},
    {"a selector beyond the table", 0x30, SYS_INTERRUPT, 3, 0x80, false, EXC_GP, 0x81},
    {"a gate of no gate's type", 0x30, SYS_CALL, 3, K_CODE, false, EXC_GP, 0x30 * 8 + 3},
    {"handlers are never less privileged", 0x30, SYS_INTERRUPT, 3, U_CODE | 3, false, -1, 0},
    {"beyond the IDT's limit", 0xFF, SYS_INTERRUPT, 3, K_CODE, true, EXC_GP, 0xFF * 8 + 2},
};

static void gates_are_checked(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(gates); i++) {
        struct outcome out;

        build_tables(r);
        protected32(r, 3);
        r->c->idtr.limit = 0xFF * 8 + 6;
        gate32(r, gates[i].vec, gates[i].type, gates[i].dpl, gates[i].selector, 0x6000);
        out = gates[i].software ? try_insn(r, INSN_BYTES(0xCD, (uint8_t)gates[i].vec))
                                : interrupt(r, gates[i].vec);
        if (gates[i].want < 0
                ? out.how != DONE
                : out.how != FAULT || out.vec != gates[i].want || out.error != gates[i].error)
            fail_msg("%s: outcome %d vec %d error %#x", gates[i].law, out.how, out.vec, out.error);
        if (gates[i].want >= 0)
            assert_int_equal(r->c->r[RSP], STACK_TOP); /* nothing moved */
    }
}

static void inner_stacks_are_checked(void **state)
{
    static const struct {
        const char *law;
        uint32_t ss, limit;
        int vec;
        uint32_t error;
    } cases[] = {
        {"SS0 null: #TS", 0, 0x67, EXC_TS, 1},
        {"SS0 of the wrong privilege: #TS", U_DATA | 3, 0x67, EXC_TS, U_DATA | 1},
        {"SS0 of code: #TS", K_CODE, 0x67, EXC_TS, K_CODE | 1},
        {"beyond the table: #TS", 0x80, 0x67, EXC_TS, 0x81},
        {"a TSS too short: #TS of its selector", K_DATA, 6, EXC_TS, TSSSEL | 1},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome out;

        build_tables(r);
        protected32(r, 3);
        r->c->tr.limit = cases[i].limit;
        put32(r, TSS + 8, cases[i].ss);
        gate32(r, 0x30, SYS_INTERRUPT, 0, K_CODE, 0x6000);
        out = interrupt(r, 0x30);
        if (out.vec != cases[i].vec || out.error != cases[i].error)
            fail_msg("%s: vec %d error %#x", cases[i].law, out.vec, out.error);
    }
}

static void virtual_8086_is_left_and_entered(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    uint32_t frame[] = {0x100, 0x2000, 0x23202, 0x800, 0x3000, 1, 2, 3, 4};

    protected32(r, 0);
    gate32(r, 0x30, SYS_INTERRUPT, 0, K_CODE, 0x6000);
    c->r[RSP] = RING0 - sizeof(frame);
    assert_true(soc_write(r->soc, c->r[RSP], frame, sizeof(frame)));
    assert_int_equal(try_insn(r, INSN_BYTES(0xCF)).how, DONE);
    assert_true(c->rflags & RFLAGS_VM);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->seg[CS].base, 0x20000);
    assert_int_equal(c->seg[SS].base, 0x30000);
    assert_int_equal(c->seg[ES].selector, 1);
    assert_int_equal(c->seg[GS].selector, 4);
    assert_int_equal(c->r[RSP], 0x800);
    c->rflags &= ~UINT64_C(0x1000); /* IOPL 2: INT n is the monitor's */
    assert_int_equal(try_insn(r, INSN_BYTES(0xCD, 0x30)).vec, EXC_GP);
    c->rflags |= RFLAGS_IOPL;
    assert_int_equal(interrupt(r, 0x30).how, DONE);
    assert_false(c->rflags & RFLAGS_VM);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->r[RSP], RING0 - sizeof(frame));
    assert_int_equal(c->seg[DS].attrib, 0);
    for (unsigned i = 0; i < COUNT(frame); i++)
        assert_int_equal(get32(r, (uint64_t)c->r[RSP] + 4 * i), frame[i]);
}

/* ---- long mode ---- */
static void long_mode_frames(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long64_at(r, 3);
    c->r[RSP] = 0x7FF5;
    gate64(r, EXC_GP, SYS_INTERRUPT, 0, 0, K64, UINT64_C(0xFFFF800000001000));
    assert_int_equal(raise_fault(r, EXC_GP, 0x50).how, DONE);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->rip, UINT64_C(0xFFFF800000001000));
    assert_int_equal(c->seg[SS].selector, 0);
    assert_int_equal(c->r[RSP], RING0 - 48);
    assert_int_equal(get64(r, RING0 - 48), 0x50);
    assert_int_equal(get64(r, RING0 - 40), 0x5000);
    assert_int_equal(get64(r, RING0 - 32), U64 | 3);
    assert_int_equal(get64(r, RING0 - 24), 0x10303);
    assert_int_equal(get64(r, RING0 - 16), 0x7FF5);
    assert_int_equal(get64(r, RING0 - 8), U_DATA | 3);
    assert_int_equal(c->inject, -1);
    c->seg[FS] = (struct seg){.base = 0x12345}; /* a user's, under a null selector */
    assert_int_equal(c->exitintinfo, 0);
    /* IRETQ back, error code dropped */
    c->r[RSP] += 8;
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0xCF)).how, DONE);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->seg[FS].base, 0x12345);
    assert_int_equal(c->r[RSP], 0x7FF5);
    assert_true(long64(c));
    assert_int_equal(flags_now(r) & ~RFLAGS_RF, 2 | RFLAGS_IF | RFLAGS_TF | FLAG_C);
}

/* A debugger at an instruction breakpoint goes on: IRET loads RF, the breakpoint there is passed
 * over, and the next one, which RF no longer covers, is not (APM2 13.1.4, 3.1.6). */
static void iret_resumes_past_a_breakpoint(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    static const uint8_t iretq[] = {0x48, 0xCF}, code[] = {0x90, 0x90, 0xCC};
    const uint64_t at = 0x6000, frame[] = {at, K64, 2 | RFLAGS_RF, STACK_TOP, K_DATA};

    long64_at(r, 0);
    assert_true(soc_write(r->soc, 0x5000, iretq, sizeof(iretq)));
    assert_true(soc_write(r->soc, at, code, sizeof(code)));
    assert_true(soc_write(r->soc, STACK_TOP - sizeof(frame), frame, sizeof(frame)));
    c->r[RSP] = STACK_TOP - sizeof(frame);
    c->rflags = 2;
    c->guest = true;
    c->timer_at = UINT64_MAX;
    c->vmcb = (struct vmcb_control){.intercept_exception = UINT32_MAX, .asid = 1};
    c->dr[0] = at;
    c->dr[1] = at + 1;
    c->dr[7] = 0x400 | 1; /* only the first */
    run(c);
    assert_int_equal(c->vmcb.exitcode, VMEXIT_EXCEPTION + EXC_BP);
    c->r[RSP] = STACK_TOP - sizeof(frame);
    c->rip = 0x5000;
    c->dr[7] = 0x400 | 1 | 4; /* and the second */
    run(c);
    assert_int_equal(c->vmcb.exitcode, VMEXIT_EXCEPTION + EXC_DB);
    assert_int_equal(c->rip, at + 1);
    assert_int_equal(c->dr[6] & 0xF, 2);
    c->dr[7] = 0x400;
    c->guest = false;
}

static void ist_and_alignment(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long64_at(r, 0);
    c->r[RSP] = 0x8FF7;
    gate64(r, 0x20, SYS_INTERRUPT, 0, 0, K64, 0x6000);
    gate64(r, EXC_NMI, SYS_INTERRUPT, 0, 1, K64, 0x7000);
    assert_int_equal(interrupt(r, 0x20).how, DONE);
    assert_int_equal(c->r[RSP], 0x8FF0 - 40);
    assert_int_equal(get64(r, 0x8FF0 - 16), 0x8FF7);
    assert_int_equal(c->seg[SS].selector, K_DATA); /* no change of privilege */
    assert_int_equal(interrupt(r, EXC_NMI).how, DONE);
    assert_int_equal(c->r[RSP], IST1 - 40);
    assert_int_equal(c->rip, 0x7000);
}

static void compatibility_code_is_interrupted(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long64_at(r, 3);
    mode(r, 3, false);
    c->seg[CS].selector = U_CODE | 3;
    c->seg[SS].selector = U_DATA | 3;
    gate64(r, 0x20, SYS_INTERRUPT, 0, 0, K64, 0x6000);
    assert_int_equal(interrupt(r, 0x20).how, DONE);
    assert_true(long64(c));
    assert_int_equal(c->r[RSP], RING0 - 40);
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0xCF)).how, DONE);
    assert_false(long64(c));
    assert_int_equal(c->decode & DECODE_SIZE, 1);
    assert_int_equal(c->r[RSP], STACK_TOP);
}

static void long_gates_are_checked(void **state)
{
    struct rig *r = *state;

    long64_at(r, 0);
    gate64(r, 0x30, SYS_INTERRUPT, 0, 0, K_CODE, 0x6000);
    assert_int_equal(interrupt(r, 0x30).error, K_CODE | 1); /* handlers are 64-bit code */
    gate64(r, 0x30, SYS_INTERRUPT, 0, 0, K64, BIT(47));
    assert_int_equal(interrupt(r, 0x30).vec, EXC_GP);
    gate64(r, 0x30, SYS_INTERRUPT16, 0, 0, K64, 0x6000);
    assert_int_equal(interrupt(r, 0x30).error, 0x30 * 8 + 3);
    gate64(r, 0x30, SYS_INTERRUPT, 0, 0, K64, 0x6000);
    r->c->r[RSP] = BIT(47) + 0x1000;
    assert_int_equal(interrupt(r, 0x30).vec, EXC_SS);
}

/* ---- two at once ---- */
#define BENIGN EXC_UD
static const struct {
    const char *law;
    unsigned first, second;
    int becomes; /* a vector, or -1: shutdown */
} doubles[] = {
    {"benign, then contributory: one after the other", BENIGN, EXC_GP, EXC_GP},
    {"benign, then a page fault", BENIGN, EXC_PF, EXC_PF},
    {"contributory twice", EXC_GP, EXC_NP, EXC_DF},
    {"#DE is contributory", EXC_DE, EXC_GP, EXC_DF},
    {"contributory, then a page fault: one after the other", EXC_TS, EXC_PF, EXC_PF},
    {"a page fault twice", EXC_PF, EXC_PF, EXC_DF},
    {"a page fault, then contributory", EXC_PF, EXC_GP, EXC_DF},
    {"a page fault, then benign", EXC_PF, BENIGN, BENIGN},
    {"anything in a double fault's delivery: shutdown", EXC_DF, EXC_GP, -1},
};

static void two_at_once(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    for (size_t i = 0; i < COUNT(doubles); i++) {
        struct outcome out;

        build_tables(r);
        protected32(r, 0);
        for (unsigned vec = 0; vec < 32; vec++)
            gate32(r, vec, SYS_INTERRUPT, 0, K_CODE, 0x6000 + vec * 16);
        gate32(r, doubles[i].first, SYS_CALL, 0, K_CODE, 0); /* cannot be delivered */
        assert_int_equal(raise_fault(r, doubles[i].first, 0).how, FAULT);
        assert_int_equal(EVENT_VECTOR(c->exitintinfo), doubles[i].first);
        gate32(r, doubles[i].first, SYS_INTERRUPT, 0, K_CODE, 0x6000 + doubles[i].first * 16);
        out = raise_fault(r, doubles[i].second, 0);
        if (doubles[i].becomes < 0
                ? out.how != EXIT || out.code != VMEXIT_SHUTDOWN
                : out.how != DONE || c->rip != 0x6000u + (unsigned)doubles[i].becomes * 16)
            fail_msg("%s: outcome %d, RIP %#llx", doubles[i].law, out.how,
                     (unsigned long long)c->rip);
    }
}

/* An interrupt that meets a fault is delivered again, not made worse. */
static void an_interrupt_never_doubles(void **state)
{
    struct rig *r = *state;

    protected32(r, 0);
    gate32(r, EXC_GP, SYS_INTERRUPT, 0, K_CODE, 0x6000);
    gate32(r, 13 + 32, SYS_CALL, 0, K_CODE, 0);
    assert_int_equal(interrupt(r, 13 + 32).vec, EXC_GP);
    assert_int_equal(raise_fault(r, EXC_GP, 1).how, DONE);
    assert_int_equal(r->c->rip, 0x6000);
}

static void a_hypervisor_sees_exceptions_first(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    struct outcome out;

    protected32(r, 0);
    gate32(r, EXC_PF, SYS_INTERRUPT, 0, K_CODE, 0x6000);
    gate32(r, 0x30, SYS_CALL, 0, K_CODE, 0);
    c->guest = true;
    c->vmcb.intercept_exception = BIT(EXC_PF) | BIT(EXC_GP);
    c->cr2 = 0x1234;
    c->fault_address = 0xABCD000;
    out = raise_fault(r, EXC_PF, 7);
    assert_int_equal(out.code, VMEXIT_EXCEPTION + EXC_PF);
    assert_int_equal(out.info1, 7);
    assert_int_equal(out.info2, 0xABCD000);
    assert_int_equal(c->cr2, 0x1234);
    assert_int_equal(c->exitintinfo, 0);
    /* what was on its way is in EXITINTINFO */
    assert_int_equal(interrupt(r, 0x30).vec, EXC_GP);
    out = raise_fault(r, EXC_GP, 0x183);
    assert_int_equal(out.code, VMEXIT_EXCEPTION + EXC_GP);
    assert_int_equal(c->exitintinfo, EVENT_VALID | EVENT_TYPE_INTR | 0x30);
    /* not intercepted: CR2 is set */
    c->exitintinfo = 0;
    c->vmcb.intercept_exception = 0;
    assert_int_equal(raise_fault(r, EXC_PF, 7).how, DONE);
    assert_int_equal(c->cr2, 0xABCD000);
    c->guest = false;
}

static void int3_is_an_exception_int_n_is_not(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    protected32(r, 0);
    gate32(r, 3, SYS_TRAP, 3, K_CODE, 0x6000);
    c->guest = true;
    c->vmcb.intercept_exception = BIT(EXC_BP);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCC)).code, VMEXIT_EXCEPTION + EXC_BP);
    assert_int_equal(c->rip, 0x5000);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCD, 3)).how, DONE);
    assert_int_equal(get32(r, STACK_TOP - 12), 0x5002);
    c->guest = false;
}

/* ---- far transfers ---- */
/* #UD in the #UD handler's first instruction, for ever: nothing retires, and yet a timer comes. */
static void a_timer_ends_an_endless_fault(void **state)
{
    static const uint8_t ud2[] = {0x0F, 0x0B};
    struct rig *r = *state;
    struct cpu *c = r->c;

    long64_at(r, 0);
    gate64(r, EXC_UD, 0xE, 0, 1, K64, 0x5000);
    assert_true(soc_write(r->soc, 0x5000, ud2, sizeof(ud2)));
    c->rflags = 2;
    c->guest = true;
    c->vmcb = (struct vmcb_control){.intercept3 = INTERCEPT_BIT(VMEXIT_INTR), .asid = 1};
    cpu_mode_changed(c);
    cpu_timer(c, 1000);
    run(c);
    assert_int_equal(c->vmcb.exitcode, VMEXIT_INTR);
    assert_int_equal(c->rip, 0x5000);
    c->guest = false;
}

static void call_gates_change_the_stack(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    protected32(r, 3);
    put64(r, GDT + GATE, 0x6000 | (uint64_t)K_CODE << 16 | UINT64_C(0xEC02) << 32); /* 2 params */
    put32(r, STACK_TOP, 0x1111);
    put32(r, STACK_TOP + 4, 0x2222);
    /* CALLF GATE|3:0 */
    assert_int_equal(try_insn(r, INSN_BYTES(0x9A, 0, 0, 0, 0, GATE | 3, 0)).how, DONE);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->rip, 0x6000);
    assert_int_equal(c->r[RSP], RING0 - 24);
    assert_int_equal(get32(r, RING0 - 24), 0x5007);
    assert_int_equal(get32(r, RING0 - 20), U_CODE | 3);
    assert_int_equal(get32(r, RING0 - 16), 0x1111);
    assert_int_equal(get32(r, RING0 - 12), 0x2222);
    assert_int_equal(get32(r, RING0 - 8), STACK_TOP);
    assert_int_equal(get32(r, RING0 - 4), U_DATA | 3);
    /* RETF 8 releases them on both stacks */
    assert_int_equal(try_insn(r, INSN_BYTES(0xCA, 8, 0)).how, DONE);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->rip, 0x5007);
    assert_int_equal(c->r[RSP], STACK_TOP + 8);
}

static const struct {
    const char *law;
    uint8_t code[7];
    unsigned len, cpl;
    int vec;
    uint32_t error;
} transfers[] = {
    {"JMPF to a null selector", {0xEA, 0, 0, 0, 0, 0, 0}, 7, 0, EXC_GP, 0},
    {"JMP to data", {0xEA, 0, 0, 0, 0, K_DATA, 0}, 7, 0, EXC_GP, K_DATA},
    {"JMP to an inner privilege", {0xEA, 0, 0, 0, 0, K_CODE, 0}, 7, 3, EXC_GP, K_CODE},
    {"JMP to an outer one", {0xEA, 0, 0, 0, 0, U_CODE | 3, 0}, 7, 0, EXC_GP, U_CODE},
    {"JMP within", {0xEA, 0, 0x60, 0, 0, K_CODE, 0}, 7, 0, -1, 0},
    {"JMP beyond the table", {0xEA, 0, 0, 0, 0, 0x88, 0}, 7, 0, EXC_GP, 0x88},
};

static void direct_transfers_are_checked(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(transfers); i++) {
        struct outcome out;

        build_tables(r);
        protected32(r, transfers[i].cpl);
        out = try_insn(r, transfers[i].code, transfers[i].len);
        if (transfers[i].vec < 0 ? out.how != DONE || r->c->rip != 0x6000
                                 : out.how != FAULT || out.vec != transfers[i].vec ||
                                       out.error != transfers[i].error)
            fail_msg("%s: outcome %d vec %d error %#x", transfers[i].law, out.how, out.vec,
                     out.error);
    }
}

static void syscall_and_sysret(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    long64_at(r, 3);
    c->star = (uint64_t)K64 << 32 | (uint64_t)(U64 - 16) << 48;
    c->lstar = UINT64_C(0xFFFFFFFF81000000);
    c->sfmask = RFLAGS_IF | RFLAGS_TF;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x05)).how, DONE);
    assert_int_equal(c->rip, c->lstar);
    assert_int_equal(c->cpl, 0);
    assert_int_equal(c->r[RCX], 0x5002);
    assert_int_equal(c->r[11], 0x303);
    assert_int_equal(flags_now(r), 2 | FLAG_C);
    assert_int_equal(c->seg[CS].selector, K64);
    assert_int_equal(c->seg[SS].selector, K64 + 8);
    assert_int_equal(c->seg[SS].attrib, 0xC93);
    /* SYSRET keeps SS's attributes but its privilege, and traps with the TF that it loads */
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0x0F, 0x07)).vec, EXC_DB);
    assert_int_equal(c->rip, 0x5002);
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->seg[CS].selector, U64 | 3);
    assert_int_equal(c->seg[SS].attrib, 0xCF3);
    assert_int_equal(flags_now(r), 0x303);
    assert_int_equal(try_insn(r, INSN_BYTES(0x48, 0x0F, 0x07)).vec, EXC_GP); /* at CPL 3 */
    c->efer &= ~EFER_SCE;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x05)).vec, EXC_UD);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x34)).vec, EXC_UD); /* SYSENTER, long mode */
}

static void a_task_is_switched_and_returned_to(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;
    const uint64_t tss = UINT64_C(0x0000890000000067);

    protected32(r, 0);
    put64(r, GDT + TSSSEL, tss | 2ull << 40 | (uint64_t)TSS << 16);
    put64(r, GDT + TSS2, tss | (uint64_t)(TSS + 0x100) << 16);
    put32(r, TSS + 0x100 + 0x20, 0x7000); /* EIP */
    put32(r, TSS + 0x100 + 0x24, 2);
    put32(r, TSS + 0x100 + 0x28, 0xAAAA); /* EAX */
    put32(r, TSS + 0x100 + 0x38, 0xC000); /* ESP */
    for (unsigned i = 0; i < 6; i++)
        put32(r, TSS + 0x100 + 0x48 + 4 * i, i == CS ? K_CODE : K_DATA);
    c->r[RAX] = 0x5555;
    assert_int_equal(try_insn(r, INSN_BYTES(0x9A, 0, 0, 0, 0, TSS2, 0)).how, DONE);
    assert_int_equal(c->rip, 0x7000);
    assert_int_equal(c->r[RAX], 0xAAAA);
    assert_int_equal(c->r[RSP], 0xC000);
    assert_int_equal(c->tr.selector, TSS2);
    assert_true(c->rflags & RFLAGS_NT);
    assert_true(c->cr0 & CR0_TS);
    assert_int_equal(get32(r, TSS + 0x100) & 0xFFFF, TSSSEL);
    assert_int_equal(get32(r, TSS + 0x20), 0x5007);
    assert_int_equal(get64(r, GDT + TSS2) >> 40 & 0xF, SYS_BUSY_TSS);
    assert_int_equal(try_insn(r, INSN_BYTES(0xCF)).how, DONE);
    assert_int_equal(c->rip, 0x5007);
    assert_int_equal(c->r[RAX], 0x5555);
    assert_int_equal(c->r[RSP], STACK_TOP);
    assert_int_equal(c->tr.selector, TSSSEL);
    assert_int_equal(get64(r, GDT + TSS2) >> 40 & 0xF, SYS_TSS);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(real_mode_uses_the_ivt),
        T(legacy_same_privilege),
        T(legacy_to_inner_privilege_and_back),
        T(gates_are_checked),
        T(inner_stacks_are_checked),
        T(virtual_8086_is_left_and_entered),
        T(long_mode_frames),
        T(iret_resumes_past_a_breakpoint),
        T(ist_and_alignment),
        T(compatibility_code_is_interrupted),
        T(long_gates_are_checked),
        T(two_at_once),
        T(an_interrupt_never_doubles),
        T(a_hypervisor_sees_exceptions_first),
        T(int3_is_an_exception_int_n_is_not),
        T(a_timer_ends_an_endless_fault),
        T(call_gates_change_the_stack),
        T(direct_transfers_are_checked),
        T(syscall_and_sysret),
        T(a_task_is_switched_and_returned_to),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
