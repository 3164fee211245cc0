/* Rows of the instruction table that a user program cannot be compared on and that no other test
 * tries: each does what the manual says (APM3), once. */
#include "sys_rig.h"

RIG_END

#define IDT       0x1000u
#define GDT       0x2000u
#define STACK_TOP 0x9000u
#define DATA      0x8000u
#define RIP       0x5000u
#define IOPM      0x20000u
#define K_CODE    0x08u
#define K_DATA    0x10u
#define U_CODE    0x18u /* SYSEXIT wants these two in this order */
#define U_DATA    0x20u

#define CODE32 UINT64_C(0x00CF9B000000FFFF)
#define DATA32 UINT64_C(0x00CF93000000FFFF)
#define DPL3   (UINT64_C(3) << 45)

/* 32-bit protected mode without paging, at CPL 0. */
static int start(void **state)
{
    static struct rig r;
    struct cpu *c;

    rig_start(&r, false);
    c = r.c;
    put64(&r, GDT + K_CODE, CODE32);
    put64(&r, GDT + K_DATA, DATA32);
    put64(&r, GDT + U_CODE, CODE32 | DPL3);
    put64(&r, GDT + U_DATA, DATA32 | DPL3);
    c->gdtr = (struct seg){.base = GDT, .limit = 0x7F};
    c->idtr = (struct seg){.base = IDT, .limit = 0xFFF};
    c->cr0 = CR0_PE | CR0_ET;
    mmu_world(c, 0);
    mode(&r, 0, false);
    c->rip = RIP;
    c->r[RSP] = STACK_TOP;
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    struct rig *r = *state;

    r->c->guest = false;
    rig_stop(r);
    return 0;
}

static void must_run(struct rig *r, const char *what, const uint8_t *code, unsigned len)
{
    struct outcome out;

    r->c->rip = RIP;
    out = try_insn(r, code, len);
    if (out.how != DONE)
        fail_msg("%s: outcome %d vector %d", what, out.how, out.vec);
}

/* ---- segment registers ---- */
static void selectors_go_through_the_stack(void **state)
{
    static const struct {
        const char *name;
        unsigned seg, len;
        uint8_t push[2], pop[2];
    } cases[] = {
        {"ES", ES, 1, {0x06}, {0x07}},
        {"SS", SS, 1, {0x16}, {0x17}},
        {"DS", DS, 1, {0x1E}, {0x1F}},
        {"FS", FS, 2, {0x0F, 0xA0}, {0x0F, 0xA1}},
        {"GS", GS, 2, {0x0F, 0xA8}, {0x0F, 0xA9}},
    };
    struct rig *r = *state;
    struct cpu *c = r->c;

    for (size_t i = 0; i < COUNT(cases); i++) {
        c->seg[cases[i].seg].selector = 0x1234;
        c->r[RSP] = STACK_TOP;
        must_run(r, cases[i].name, cases[i].push, cases[i].len);
        assert_int_equal(c->r[RSP], STACK_TOP - 4);
        assert_int_equal(get32(r, STACK_TOP - 4) & 0xFFFF, 0x1234);
        put32(r, STACK_TOP - 4, K_DATA);
        c->seg[cases[i].seg].attrib = 0x93; /* what a null selector loads can be told from this */
        c->seg[SS] = flat(K_DATA, 0xC93);
        must_run(r, cases[i].name, cases[i].pop, cases[i].len);
        assert_int_equal(c->r[RSP], STACK_TOP);
        assert_int_equal(c->seg[cases[i].seg].selector, K_DATA);
        assert_int_equal(c->seg[cases[i].seg].attrib, 0xC93);
        assert_int_equal(c->seg[cases[i].seg].limit, UINT32_MAX);
        assert_int_equal(c->shadow, cases[i].seg == SS); /* POP SS holds interrupts off */
        c->shadow = false;
    }
}

static void far_pointers_load_both_parts(void **state)
{
    static const struct {
        const char *name;
        unsigned seg, len;
        uint8_t code[7];
    } cases[] = {
        {"LES ECX", ES, 6, {0xC4, 0x0D, 0, 0x80, 0, 0}},
        {"LDS ECX", DS, 6, {0xC5, 0x0D, 0, 0x80, 0, 0}},
        {"LSS ECX", SS, 7, {0x0F, 0xB2, 0x0D, 0, 0x80, 0, 0}},
        {"LFS ECX", FS, 7, {0x0F, 0xB4, 0x0D, 0, 0x80, 0, 0}},
        {"LGS ECX", GS, 7, {0x0F, 0xB5, 0x0D, 0, 0x80, 0, 0}},
    };
    struct rig *r = *state;
    struct cpu *c = r->c;

    put32(r, DATA, 0x89ABCDEF);
    put32(r, DATA + 4, K_DATA);
    for (size_t i = 0; i < COUNT(cases); i++) {
        c->r[RCX] = 0;
        c->seg[cases[i].seg].selector = 0;
        must_run(r, cases[i].name, cases[i].code, cases[i].len);
        assert_int_equal(c->r[RCX], 0x89ABCDEF);
        assert_int_equal(c->seg[cases[i].seg].selector, K_DATA);
        assert_int_equal(c->rip, RIP + cases[i].len);
    }
}

/* In memory these are 16 bits, whatever the operand size. */
static void system_words_in_memory_are_16_bits(void **state)
{
    static const struct {
        const char *name;
        uint8_t code[7];
        unsigned len;
        uint16_t value;
    } cases[] = {
        {"SLDT", {0x0F, 0x00, 0x05, 0, 0x80, 0, 0}, 7, 0x5555},
        {"STR", {0x0F, 0x00, 0x0D, 0, 0x80, 0, 0}, 7, 0x6666},
        {"SMSW", {0x0F, 0x01, 0x25, 0, 0x80, 0, 0}, 7, CR0_PE | CR0_ET},
        {"MOV to memory from DS", {0x8C, 0x1D, 0, 0x80, 0, 0}, 6, 0x7777},
    };
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->ldtr.selector = 0x5555;
    c->tr.selector = 0x6666;
    c->seg[DS].selector = 0x7777;
    for (size_t i = 0; i < COUNT(cases); i++) {
        put64(r, DATA, UINT64_MAX);
        must_run(r, cases[i].name, cases[i].code, cases[i].len);
        assert_int_equal(get64(r, DATA), UINT64_C(0xFFFFFFFFFFFF0000) | cases[i].value);
    }
}

/* ---- far transfers ---- */
static void far_transfers_through_memory_and_back(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    put32(r, DATA, 0x6000);
    put32(r, DATA + 4, K_CODE);
    c->seg[CS].selector = 0x1238; /* tells the pushed one from the loaded one */
    must_run(r, "CALLF", INSN_BYTES(0xFF, 0x1D, 0, 0x80, 0, 0));
    assert_int_equal(c->rip, 0x6000);
    assert_int_equal(c->seg[CS].selector, K_CODE);
    assert_int_equal(c->r[RSP], STACK_TOP - 8);
    assert_int_equal(get32(r, STACK_TOP - 8), RIP + 6);
    assert_int_equal(get32(r, STACK_TOP - 4) & 0xFFFF, 0x1238);
    put32(r, STACK_TOP - 4, K_CODE);
    must_run(r, "RETF", INSN_BYTES(0xCB));
    assert_int_equal(c->rip, RIP + 6);
    assert_int_equal(c->r[RSP], STACK_TOP);
    must_run(r, "JMPF", INSN_BYTES(0xFF, 0x2D, 0, 0x80, 0, 0));
    assert_int_equal(c->rip, 0x6000);
    assert_int_equal(c->seg[CS].selector, K_CODE);
    assert_int_equal(c->r[RSP], STACK_TOP);
}

static void sysexit_goes_to_users(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->r[RCX] = 0x7000;
    c->r[RDX] = 0x6000;
    c->sysenter_cs = 0;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x35)).vec, EXC_GP);
    c->sysenter_cs = K_CODE;
    must_run(r, "SYSEXIT", INSN_BYTES(0x0F, 0x35));
    assert_int_equal(c->cpl, 3);
    assert_int_equal(c->rip, 0x6000);
    assert_int_equal(c->r[RSP], 0x7000);
    assert_int_equal(c->seg[CS].selector, U_CODE | 3);
    assert_int_equal(c->seg[SS].selector, U_DATA | 3);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x35)).vec, EXC_GP); /* and not from there */
}

/* ---- events ---- */
static void put_gate(struct rig *r, unsigned vec, uint32_t offset)
{
    put64(r, IDT + vec * 8,
          (offset & 0xFFFF) | (uint64_t)K_CODE << 16 | UINT64_C(0x8E) << 40 |
              (uint64_t)(offset >> 16) << 48);
}

static void software_interrupts_return_after_themselves(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    put_gate(r, EXC_DB, 0x6000);
    put_gate(r, EXC_OF, 0x6100);
    c->seg[CS].selector = K_CODE;
    must_run(r, "INT1", INSN_BYTES(0xF1));
    assert_int_equal(c->rip, 0x6000);
    assert_int_equal(c->r[RSP], STACK_TOP - 12);
    assert_int_equal(get32(r, STACK_TOP - 12), RIP + 1);
    c->r[RSP] = STACK_TOP;
    flags_write(c, 0);
    must_run(r, "INTO without OF", INSN_BYTES(0xCE));
    assert_int_equal(c->rip, RIP + 1);
    assert_int_equal(c->r[RSP], STACK_TOP);
    flags_write(c, FLAG_O);
    must_run(r, "INTO with OF", INSN_BYTES(0xCE));
    assert_int_equal(c->rip, 0x6100);
    assert_int_equal(get32(r, STACK_TOP - 12), RIP + 1);
    assert_true(get32(r, STACK_TOP - 4) & FLAG_O);
}

static void sti_holds_interrupts_off_for_one_more(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->rflags &= ~(uint64_t)RFLAGS_IF;
    c->shadow = false;
    must_run(r, "STI", INSN_BYTES(0xFB));
    assert_true(c->rflags & RFLAGS_IF);
    assert_true(c->shadow);
    c->shadow = false;
    must_run(r, "STI again", INSN_BYTES(0xFB));
    assert_false(c->shadow); /* they were on before */
    must_run(r, "CLI", INSN_BYTES(0xFA));
    assert_false(c->rflags & RFLAGS_IF);
    mode(r, 3, false);
    assert_int_equal(try_insn(r, INSN_BYTES(0xFB)).vec, EXC_GP);
    assert_int_equal(try_insn(r, INSN_BYTES(0xFA)).vec, EXC_GP);
}

/* ---- what a hypervisor is told ---- */
static struct rig *guest(void **state)
{
    struct rig *r = *state;

    r->c->guest = true;
    r->c->efer = EFER_SVME;
    r->c->vmcb = (struct vmcb_control){.asid = 1, .iopm_base_pa = IOPM};
    mmu_context(r->c);
    return r;
}

static void ports_and_strings_are_described(void **state)
{
    static const struct {
        const char *what;
        uint8_t code[2];
        unsigned len;
        uint64_t info1; /* APM2 15.10.2 */
    } cases[] = {
        {"IN AL, 21h", {0xE4, 0x21}, 2, 0x21 << 16 | 1 << 8 | 1 << 4 | 1},
        {"IN EAX, 21h", {0xE5, 0x21}, 2, 0x21 << 16 | 1 << 8 | 1 << 6 | 1},
        {"OUT 21h, EAX", {0xE7, 0x21}, 2, 0x21 << 16 | 1 << 8 | 1 << 6},
        {"OUT DX, EAX", {0xEF}, 1, 0x3F8 << 16 | 1 << 8 | 1 << 6},
        {"INSD", {0x6D}, 1, 0x3F8 << 16 | 1 << 8 | 1 << 6 | 4 | 1},
        {"OUTSB", {0x6E}, 1, 0x3F8 << 16 | 3 << 10 | 1 << 8 | 1 << 4 | 4},
    };
    struct rig *r = guest(state);

    r->c->vmcb.intercept3 = INTERCEPT_BIT(VMEXIT_IOIO);
    for (unsigned i = 0; i < 0x2000; i += 8)
        put64(r, IOPM + i, UINT64_MAX);
    r->c->r[RDX] = 0x3F8;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome out = try_insn(r, cases[i].code, cases[i].len);

        if (out.how != EXIT || out.code != VMEXIT_IOIO || out.info1 != cases[i].info1)
            fail_msg("%s: outcome %d EXITINFO1 %#llx", cases[i].what, out.how,
                     (unsigned long long)out.info1);
    }
}

static void svm_instructions_exit(void **state)
{
    static const struct {
        const char *name;
        uint8_t modrm;
        uint64_t exit;
    } cases[] = {
        {"VMSAVE", 0xDB, VMEXIT_VMSAVE},
        {"CLGI", 0xDD, VMEXIT_CLGI},
        {"SKINIT", 0xDE, VMEXIT_SKINIT},
        {"INVLPGA", 0xDF, VMEXIT_INVLPGA},
    };
    struct rig *r = guest(state);

    r->c->vmcb.intercept3 = r->c->vmcb.intercept4 = UINT32_MAX;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint8_t code[] = {0x0F, 0x01, cases[i].modrm};
        struct outcome out;

        mode(r, 0, false);
        out = try_insn(r, code, sizeof(code));
        if (out.how != EXIT || out.code != cases[i].exit)
            fail_msg("%s: outcome %d code %#llx", cases[i].name, out.how,
                     (unsigned long long)out.code);
        mode(r, 3, false);
        assert_int_equal(try_insn(r, code, sizeof(code)).vec, EXC_GP);
        r->c->efer = 0;
        assert_int_equal(try_insn(r, code, sizeof(code)).vec, EXC_UD);
        r->c->efer = EFER_SVME;
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(selectors_go_through_the_stack),
        T(far_pointers_load_both_parts),
        T(system_words_in_memory_are_16_bits),
        T(far_transfers_through_memory_and_back),
        T(sysexit_goes_to_users),
        T(software_interrupts_return_after_themselves),
        T(sti_holds_interrupts_off_for_one_more),
        T(ports_and_strings_are_described),
        T(svm_instructions_exit),
    };

    return cmocka_run_group_tests_name("sysrows", tests, NULL, NULL);
}
