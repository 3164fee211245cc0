/* Segments: addresses through them, and who may load or ask about which descriptor (APM2 chapter
 * 4). No paging; the tables lie in low DRAM. */
#include "sys_rig.h"

RIG_END

#define GDT    0x2000u
#define LDT    0x3000u
#define MEM_AT 0x8000u

#define DPL(n) ((uint64_t)(n) << 45)

/* Descriptors: base 0x10000, limit 0xFFF bytes unless named otherwise. */
#define SMALL(type) (UINT64_C(0x0040000100000FFF) | (uint64_t)(type) << 40)
enum {
    NUL,
    KCODE = 8,
    KDATA = 16,
    UDATA = 24,
    RODATA = 32,
    ABSENT = 40,
    XCODE = 48,
    CONF = 56,
    TSS = 64,
    LDTSEL = 80,
    GATE = 96,
    BIG = 104,
    DOWN = 112,
    UCODE = 120
};

static int start(void **state)
{
    static struct rig r;
    static const struct {
        unsigned at;
        uint64_t d;
    } table[] = {
        {KCODE, SMALL(0x9B)},
        {KDATA, SMALL(0x92)},
        {UDATA, SMALL(0x92) | DPL(3)},
        {RODATA, SMALL(0x90) | DPL(3)},
        {ABSENT, SMALL(0x12) | DPL(3)},
        {XCODE, SMALL(0x98) | DPL(3)}, /* execute only */
        {CONF, SMALL(0x9E)},
        {TSS, UINT64_C(0x0000890000000067)},
        {LDTSEL, UINT64_C(0x0000820000000017) | (uint64_t)LDT << 16},
        {GATE, UINT64_C(0x0000EC0000080000)},
        {BIG, UINT64_C(0x00CF92000000FFFF) | DPL(3)},
        {DOWN, SMALL(0x96) | DPL(3)},
        {UCODE, SMALL(0x9A) | DPL(3)},
    };

    rig_start(&r, false);
    for (size_t i = 0; i < COUNT(table); i++)
        put64(&r, GDT + table[i].at, table[i].d);
    put64(&r, LDT + 8, SMALL(0x92));
    r.c->cr0 = CR0_PE | CR0_ET;
    mmu_world(r.c, 0);
    r.c->gdtr = (struct seg){.base = GDT, .limit = 0x7F};
    mode(&r, 0, false);
    *state = &r;
    return 0;
}

static int stop(void **state)
{
    rig_stop(*state);
    return 0;
}

/* ---- addresses ---- */
static void do_linear(struct attempt *a)
{
    *(uint64_t *)a->data = seg_linear(a->r->c, NULL, a->arg & 7, a->la, a->size, a->arg >> 3);
}

static const struct {
    const char *law;
    struct seg s;
    unsigned seg;
    enum access acc;
    uint64_t off;
    unsigned size;
    int vec; /* -1: goes */
} accesses[] = {
    {"within the limit",
     {.attrib = 0x93, .limit = 0xFFF, .base = 0x10000},
     DS,
     ACCESS_READ,
     0xFFC,
     4,
     -1},
    {"one byte over",
     {.attrib = 0x93, .limit = 0xFFF, .base = 0x10000},
     DS,
     ACCESS_READ,
     0xFFD,
     4,
     EXC_GP},
    {"on the stack it is #SS", {.attrib = 0x93, .limit = 0xFFF}, SS, ACCESS_READ, 0xFFD, 4, EXC_SS},
    {"read-only data", {.attrib = 0x91, .limit = 0xFFF}, DS, ACCESS_WRITE, 0, 1, EXC_GP},
    {"code cannot be written", {.attrib = 0x9B, .limit = 0xFFF}, CS, ACCESS_WRITE, 0, 1, EXC_GP},
    {"code can be read", {.attrib = 0x9B, .limit = 0xFFF}, CS, ACCESS_READ, 0, 1, -1},
    {"execute-only code cannot", {.attrib = 0x99, .limit = 0xFFF}, CS, ACCESS_READ, 0, 1, EXC_GP},
    {"a null segment", {0}, ES, ACCESS_READ, 0, 1, EXC_GP},
    {"expand-down: above the limit",
     {.attrib = 0x497, .limit = 0xFFF},
     DS,
     ACCESS_WRITE,
     0x1000,
     4,
     -1},
    {"expand-down: at the limit",
     {.attrib = 0x497, .limit = 0xFFF},
     DS,
     ACCESS_WRITE,
     0xFFF,
     1,
     EXC_GP},
    {"expand-down, B clear: up to 64 KiB",
     {.attrib = 0x97, .limit = 0xFFF},
     DS,
     ACCESS_WRITE,
     0xFFFE,
     4,
     EXC_GP},
    {"over the top of 4 GiB",
     {.attrib = 0xC93, .limit = UINT32_MAX},
     DS,
     ACCESS_READ,
     0xFFFFFFFE,
     4,
     EXC_GP},
};

static void addresses_through_segments(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(accesses); i++) {
        uint64_t la = 0;
        struct attempt a = {.r = r,
                            .la = accesses[i].off,
                            .data = &la,
                            .size = accesses[i].size,
                            .arg = accesses[i].seg | (unsigned)accesses[i].acc << 3};
        struct outcome out;

        r->c->seg[accesses[i].seg] = accesses[i].s;
        out = attempt(do_linear, &a);
        if (accesses[i].vec < 0 ? out.how != DONE || la != accesses[i].s.base + accesses[i].off
                                : out.how != FAULT || out.vec != accesses[i].vec || out.error)
            fail_msg("%s: outcome %d vec %d", accesses[i].law, out.how, out.vec);
    }
}

static void linear_addresses_wrap_at_4g_and_64bit_code_is_flat(void **state)
{
    struct rig *r = *state;
    uint64_t la = 0;
    struct attempt a = {.r = r, .la = 0x2000, .data = &la, .size = 4, .arg = DS};

    r->c->seg[DS] = (struct seg){.attrib = 0xC93, .limit = UINT32_MAX, .base = 0xFFFFF000};
    assert_int_equal(attempt(do_linear, &a).how, DONE);
    assert_int_equal(la, 0x1000);
    r->c->efer = EFER_LMA;
    mode(r, 0, true);
    r->c->seg[DS].base = 0x7777;
    r->c->seg[GS].base = UINT64_C(0xFFFF800000000000);
    assert_int_equal(attempt(do_linear, &a).how, DONE);
    assert_int_equal(la, 0x2000);
    a.arg = GS;
    assert_int_equal(attempt(do_linear, &a).how, DONE);
    assert_int_equal(la, UINT64_C(0xFFFF800000002000));
}

/* ---- loading ---- */
static void do_seg_load(struct attempt *a)
{
    seg_load(a->r->c, NULL, a->arg, (uint16_t)a->la);
}

static const struct {
    const char *law;
    unsigned seg, selector, cpl;
    int vec;
    uint32_t error;
} loads[] = {
    {"DS of data", DS, KDATA, 0, -1, 0},
    {"DS of a user's data at CPL 0", DS, UDATA, 0, -1, 0},
    {"DS null", DS, 0, 0, -1, 0},
    {"DS null with an RPL", DS, 3, 3, -1, 0},
    {"DS of the kernel's data at CPL 3", DS, KDATA, 3, EXC_GP, KDATA},
    {"DS with an RPL beyond the DPL", DS, KDATA | 3, 0, EXC_GP, KDATA},
    {"DS of readable conforming code, by anyone", DS, CONF, 3, -1, 0},
    {"DS of execute-only code", DS, XCODE, 0, EXC_GP, XCODE},
    {"DS of a system descriptor", DS, TSS, 0, EXC_GP, TSS},
    {"DS not present", DS, ABSENT, 0, EXC_NP, ABSENT},
    {"DS beyond the GDT", DS, 0x80, 0, EXC_GP, 0x80},
    {"DS of an LDT that is not there", DS, 12, 0, EXC_GP, 12},
    {"SS of writable data of CPL", SS, KDATA, 0, -1, 0},
    {"SS null, outside 64-bit mode", SS, 0, 0, EXC_GP, 0},
    {"SS read-only", SS, RODATA | 3, 3, EXC_GP, RODATA},
    {"SS with another RPL", SS, KDATA | 1, 0, EXC_GP, KDATA},
    {"SS with another DPL", SS, UDATA, 0, EXC_GP, UDATA},
    {"SS not present is #SS", SS, ABSENT | 3, 3, EXC_SS, ABSENT},
};

static void loads_are_checked(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(loads); i++) {
        struct attempt a = {.r = r, .arg = loads[i].seg, .la = loads[i].selector};
        struct outcome out;

        mode(r, loads[i].cpl, false);
        out = attempt(do_seg_load, &a);
        if (loads[i].vec < 0
                ? out.how != DONE || r->c->seg[loads[i].seg].selector != loads[i].selector
                : out.how != FAULT || out.vec != loads[i].vec || out.error != loads[i].error)
            fail_msg("%s: outcome %d vec %d error %#x", loads[i].law, out.how, out.vec, out.error);
    }
}

static void a_loaded_segment_is_the_descriptor(void **state)
{
    struct rig *r = *state;
    struct seg *ds = &r->c->seg[DS];
    struct attempt a = {.r = r, .arg = DS, .la = KDATA};

    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    assert_int_equal(ds->base, 0x10000);
    assert_int_equal(ds->limit, 0xFFF);
    assert_int_equal(ds->attrib, 0x493); /* accessed */
    assert_int_equal(get64(r, GDT + KDATA), SMALL(0x93));
    a.la = BIG;
    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    assert_int_equal(ds->limit, UINT32_MAX);
    a.la = 0;
    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    assert_int_equal(ds->attrib, 0);
}

static void null_stacks_in_64bit_mode(void **state)
{
    struct rig *r = *state;
    struct attempt a = {.r = r, .arg = SS, .la = 0};

    r->c->efer = EFER_LMA;
    mode(r, 0, true);
    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    mode(r, 3, true);
    a.la = 3;
    assert_int_equal(attempt(do_seg_load, &a).vec, EXC_GP);
}

static void real_mode_keeps_limits(void **state)
{
    struct rig *r = *state;
    struct attempt a = {.r = r, .arg = DS, .la = 0x1234};

    r->c->seg[DS].limit = UINT32_MAX; /* loaded in protected mode before */
    r->c->cr0 = CR0_ET;
    cpu_mode_changed(r->c);
    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    assert_int_equal(r->c->seg[DS].base, 0x12340);
    assert_int_equal(r->c->seg[DS].limit, UINT32_MAX);
}

/* ---- instructions ---- */
static void mov_ss_casts_a_shadow(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->r[RAX] = KDATA;
    assert_int_equal(try_insn(r, INSN_BYTES(0x8E, 0xD0)).how, DONE);
    assert_true(c->shadow);
    assert_int_equal(c->seg[SS].selector, KDATA);
    c->shadow = false;
    assert_int_equal(try_insn(r, INSN_BYTES(0x8E, 0xD8)).how, DONE);
    assert_false(c->shadow);
    assert_int_equal(try_insn(r, INSN_BYTES(0x8E, 0xC8)).vec, EXC_UD); /* MOV CS */
    c->r[RBX] = UINT64_MAX;
    assert_int_equal(try_insn(r, INSN_BYTES(0x8C, 0xDB)).how, DONE); /* MOV EBX, DS */
    assert_int_equal(c->r[RBX], KDATA);
}

static void push_pop_and_far_loads(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    c->r[RSP] = MEM_AT;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0E)).how, DONE); /* PUSH CS */
    assert_int_equal(get32(r, MEM_AT - 4), 8);
    put32(r, MEM_AT - 4, UDATA);
    assert_int_equal(try_insn(r, INSN_BYTES(0x07)).how, DONE); /* POP ES */
    assert_int_equal(c->seg[ES].selector, UDATA);
    assert_int_equal(c->r[RSP], MEM_AT);
    put64(r, MEM_AT, UINT64_C(0x87654321) | (uint64_t)KDATA << 32);
    c->r[RBX] = MEM_AT;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0xB4, 0x0B)).how, DONE); /* LFS ECX, [EBX] */
    assert_int_equal(c->seg[FS].selector, KDATA);
    assert_int_equal(c->r[RCX], 0x87654321);
    /* A refused selector leaves the register as it was. */
    put32(r, MEM_AT + 4, TSS);
    put32(r, MEM_AT, 1);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0xB4, 0x0B)).error, TSS);
    assert_int_equal(c->r[RCX], 0x87654321);
    assert_int_equal(c->seg[FS].selector, KDATA);
}

static void tables_and_tasks(void **state)
{
    struct rig *r = *state;
    struct cpu *c = r->c;

    put64(r, MEM_AT, UINT64_C(0x000000FF56780123));
    c->r[RBX] = MEM_AT;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x01, 0x1B)).how, DONE); /* LIDT [EBX] */
    assert_int_equal(c->idtr.limit, 0x123);
    assert_int_equal(c->idtr.base, 0x00FF5678);
    put64(r, MEM_AT, UINT64_C(0x1200AABBCCDD0123));
    assert_int_equal(try_insn(r, INSN_BYTES(0x66, 0x0F, 0x01, 0x1B)).how, DONE);
    assert_int_equal(c->idtr.base, 0xBBCCDD); /* 24 bits with a 16-bit operand */
    c->r[RAX] = LDTSEL;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x00, 0xD0)).how, DONE); /* LLDT */
    assert_int_equal(c->ldtr.base, LDT);
    struct attempt a = {.r = r, .arg = DS, .la = 12};
    assert_int_equal(attempt(do_seg_load, &a).how, DONE);
    c->r[RAX] = TSS;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x00, 0xD8)).how, DONE); /* LTR */
    assert_int_equal(c->tr.attrib & 0xF, SYS_BUSY_TSS);
    assert_int_equal(get64(r, GDT + TSS) >> 40 & 0xF, SYS_BUSY_TSS);
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x00, 0xD8)).error, TSS); /* busy now */
    c->r[RAX] = KDATA;
    assert_int_equal(try_insn(r, INSN_BYTES(0x0F, 0x00, 0xD0)).error, KDATA);
}

static const struct {
    const char *law;
    uint8_t modrm_op; /* 02 LAR, 03 LSL, 00 /4 VERR, /5 VERW */
    uint8_t digit;
    unsigned selector, cpl;
    bool zf;
    uint64_t result;
} questions[] = {
    {"LAR of data", 2, 0, KDATA, 0, true, 0x00409200},
    {"LAR of what CPL 3 may not see", 2, 0, KDATA, 3, false, 7},
    {"LAR of a call gate", 2, 0, GATE | 3, 3, true, 0xEC00},
    {"LAR of null", 2, 0, 0, 0, false, 7},
    {"LAR beyond the table", 2, 0, 0x88, 0, false, 7},
    {"LSL of small data", 3, 0, KDATA, 0, true, 0xFFF},
    {"LSL of pages", 3, 0, BIG, 0, true, UINT32_MAX},
    {"LSL of a TSS", 3, 0, TSS, 0, true, 0x67},
    {"LSL of a gate", 3, 0, GATE, 0, false, 7},
    {"VERR of execute-only code", 0, 4, XCODE, 0, false, 7},
    {"VERR of readable conforming code", 0, 4, CONF | 3, 3, true, 7},
    {"VERW of read-only data", 0, 5, RODATA, 0, false, 7},
    {"VERW of data", 0, 5, UDATA | 3, 3, true, 7},
    {"VERW of a system descriptor", 0, 5, TSS, 0, false, 7},
};

static void questions_about_selectors(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < COUNT(questions); i++) {
        uint8_t code[] = {0x0F, questions[i].modrm_op,
                          (uint8_t)(0xC1 | (questions[i].digit ? questions[i].digit : 3) << 3)};

        mode(r, questions[i].cpl, false);
        r->c->r[RCX] = questions[i].selector; /* LAR EBX, ECX; VERR CX */
        r->c->r[RBX] = 7;
        assert_int_equal(try_insn(r, code, sizeof(code)).how, DONE);
        if (!!(flags_read(r->c) & FLAG_Z) != questions[i].zf || r->c->r[RBX] != questions[i].result)
            fail_msg("%s: ZF %u, %#llx", questions[i].law, !!(flags_read(r->c) & FLAG_Z),
                     (unsigned long long)r->c->r[RBX]);
    }
}

static void arpl_raises(void **state)
{
    struct rig *r = *state;

    r->c->r[RAX] = 0x18;
    r->c->r[RBX] = 0x3;
    assert_int_equal(try_insn(r, INSN_BYTES(0x63, 0xD8)).how, DONE); /* ARPL AX, BX */
    assert_int_equal(r->c->r[RAX], 0x1B);
    assert_true(flags_read(r->c) & FLAG_Z);
    assert_int_equal(try_insn(r, INSN_BYTES(0x63, 0xD8)).how, DONE);
    assert_false(flags_read(r->c) & FLAG_Z);
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(addresses_through_segments),
        T(linear_addresses_wrap_at_4g_and_64bit_code_is_flat),
        T(loads_are_checked),
        T(a_loaded_segment_is_the_descriptor),
        T(null_stacks_in_64bit_mode),
        T(real_mode_keeps_limits),
        T(mov_ss_casts_a_shadow),
        T(push_pop_and_far_loads),
        T(tables_and_tasks),
        T(questions_about_selectors),
        T(arpl_raises),
    };

    return cmocka_run_group_tests_name("seg", tests, NULL, NULL);
}
