/* Instructions on device memory (src/host/vm/mmio.c): each form's effect, length and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "host/vm/mmio.h"

#include <cmocka.h> /* last: it has a macro named fail */

#define GPA     UINT64_C(0xFEB00010)
#define DEVICE  UINT64_C(0x8877665544332211) /* what the device reads as */
#define RIP     UINT64_C(0xFFFFFFFF81000000)
#define ZF      BIT(6)
#define CF      BIT(0)
#define NOTHING (-1)

struct world {
    uint64_t stored, other_stored, other_at, loads;
    int stored_size;
    bool fault;
};

static uint64_t dev_load(void *ctx, uint64_t gpa, unsigned size)
{
    struct world *w = ctx;

    assert_int_equal(gpa, GPA);
    w->loads++;
    return size == 8 ? DEVICE : DEVICE & (BIT(8 * size) - 1);
}

static void dev_store(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    struct world *w = ctx;

    assert_int_equal(gpa, GPA);
    w->stored = value;
    w->stored_size = (int)size;
}

static bool other_load(void *ctx, uint64_t linear, unsigned size, uint64_t *value)
{
    struct world *w = ctx;

    w->other_at = linear;
    *value = 0xA5A5A5A5A5A5A5A5 & (size == 8 ? UINT64_MAX : BIT(8 * size) - 1);
    return !w->fault;
}

static bool other_store(void *ctx, uint64_t linear, unsigned size, uint64_t value)
{
    struct world *w = ctx;

    w->other_at = linear;
    w->other_stored = value;
    return !w->fault;
}

static const struct mmio_ops ops = {dev_load, dev_store, other_load, other_store};

static struct mmio_state start(void)
{
    struct mmio_state st = {.rip = RIP, .rflags = 2, .long_mode = true};

    for (unsigned i = 0; i < 16; i++)
        st.gpr[i] = UINT64_C(0x1111111111111111) * i;
    return st;
}

/* One instruction in 64-bit code; the register that has to change, its new value, what is stored.
 */
static const struct {
    const char *what;
    uint8_t bytes[15];
    unsigned length;
    int reg;
    uint64_t value;
    int store_size;
    uint64_t stored;
} moves[] = {
    {"mov (rax), ecx", {0x8B, 0x08}, 2, 1, 0x44332211, NOTHING, 0},
    {"mov (rax), rcx", {0x48, 0x8B, 0x08}, 3, 1, DEVICE, NOTHING, 0},
    {"mov (rax), cx", {0x66, 0x8B, 0x08}, 3, 1, 0x1111111111112211, NOTHING, 0},
    {"mov (rax), ch", {0x8A, 0x28}, 2, 1, 0x1111111111111111, NOTHING, 0},
    {"mov (rax), bpl", {0x40, 0x8A, 0x28}, 3, 5, 0x5555555555555511, NOTHING, 0},
    {"mov 8(rax), r9d", {0x44, 0x8B, 0x48, 0x08}, 4, 9, 0x44332211, NOTHING, 0},
    {"mov disp32(rip), eax", {0x8B, 0x05, 1, 2, 3, 4}, 6, 0, 0x44332211, NOTHING, 0},
    {"mov (rsp,rax,2), eax", {0x8B, 0x04, 0x44}, 3, 0, 0x44332211, NOTHING, 0},
    {"mov disp32(,rax,4), eax", {0x8B, 0x04, 0x85, 0, 0, 0, 1}, 7, 0, 0x44332211, NOTHING, 0},
    {"mov moffs64, eax", {0xA1, 1, 2, 3, 4, 5, 6, 7, 8}, 9, 0, 0x44332211, NOTHING, 0},
    {"mov ecx, (rax)", {0x89, 0x08}, 2, NOTHING, 0, 4, 0x11111111},
    {"mov ch, (rax)", {0x88, 0x28}, 2, NOTHING, 0, 1, 0x11},
    {"mov r15, (rax)", {0x4C, 0x89, 0x38}, 3, NOTHING, 0, 8, UINT64_MAX},
    {"movl $imm, (rax)", {0xC7, 0x00, 0x78, 0x56, 0x34, 0x12}, 6, NOTHING, 0, 4, 0x12345678},
    {"movq $-1, (rax)", {0x48, 0xC7, 0x00, 0xFF, 0xFF, 0xFF, 0xFF}, 7, NOTHING, 0, 8, UINT64_MAX},
    {"movw $imm, (rax)", {0x66, 0xC7, 0x00, 0x34, 0x12}, 5, NOTHING, 0, 2, 0x1234},
    {"movb $imm, 4(rax)", {0xC6, 0x40, 0x04, 0x7F}, 4, NOTHING, 0, 1, 0x7F},
    {"movzbl (rax), ecx", {0x0F, 0xB6, 0x08}, 3, 1, 0x11, NOTHING, 0},
    {"movzwl (rax), ecx", {0x0F, 0xB7, 0x08}, 3, 1, 0x2211, NOTHING, 0},
    {"movsbq (rax), rcx", {0x48, 0x0F, 0xBE, 0x08}, 4, 1, 0x11, NOTHING, 0},
    {"movslq (rax), rcx", {0x48, 0x63, 0x08}, 3, 1, 0x44332211, NOTHING, 0},
    {"movnti ecx, (rax)", {0x0F, 0xC3, 0x08}, 3, NOTHING, 0, 4, 0x11111111},
    {"movbe (rax), ecx", {0x0F, 0x38, 0xF0, 0x08}, 4, 1, 0x11223344, NOTHING, 0},
    {"movbe ecx, (rax)", {0x0F, 0x38, 0xF1, 0x18}, 4, NOTHING, 0, 4, 0x33333333},
    {"orl $0x88, (rax)", {0x81, 0x08, 0x88, 0, 0, 0}, 6, NOTHING, 0, 4, 0x44332299},
    {"addl $-1, (rax)", {0x83, 0x00, 0xFF}, 3, NOTHING, 0, 4, 0x44332210},
    {"lock or ecx, (rax)", {0xF0, 0x09, 0x08}, 3, NOTHING, 0, 4, 0x55333311},
    {"and (rax), ecx", {0x23, 0x08}, 2, 1, 0x00110011, NOTHING, 0},
    {"xchg ecx, (rax)", {0x87, 0x08}, 2, 1, 0x44332211, 4, 0x11111111},
    {"notb (rax)", {0xF6, 0x10}, 2, NOTHING, 0, 1, 0xEE},
    {"incl (rax)", {0xFF, 0x00}, 2, NOTHING, 0, 4, 0x44332212},
    {"btsl $1, (rax)", {0x0F, 0xBA, 0x28, 0x01}, 4, NOTHING, 0, 4, 0x44332213},
    {"xadd ecx, (rax)", {0x0F, 0xC1, 0x08}, 3, 1, 0x44332211, 4, 0x55443322},
};

static void every_form_moves_what_it_says(void **state)
{
    for (size_t i = 0; i < COUNT(moves); i++) {
        struct mmio_state st = start(), want = start();
        struct world w = {.stored_size = NOTHING};

        if (mmio_emulate(&st, moves[i].bytes, 15, GPA, moves[i].store_size != NOTHING, &ops, &w) !=
            MMIO_DONE)
            fail_msg("%s: not done", moves[i].what);
        if (moves[i].reg != NOTHING)
            want.gpr[moves[i].reg] = moves[i].value;
        for (unsigned r = 0; r < 16; r++)
            if (st.gpr[r] != want.gpr[r])
                fail_msg("%s: register %u is %llx, not %llx", moves[i].what, r,
                         (unsigned long long)st.gpr[r], (unsigned long long)want.gpr[r]);
        if (w.stored_size != moves[i].store_size ||
            (moves[i].store_size != NOTHING && w.stored != moves[i].stored))
            fail_msg("%s: stored %llx in %d bytes", moves[i].what, (unsigned long long)w.stored,
                     w.stored_size);
        if (st.rip != RIP + moves[i].length)
            fail_msg("%s: length %d", moves[i].what, (int)(st.rip - RIP));
    }
}

static void compare_sets_flags_and_stores_nothing(void **state)
{
    const uint8_t cmp_equal[] = {0x81, 0x38, 0x11, 0x22, 0x33, 0x44}, cmp_less[] = {0x39, 0x38};
    const uint8_t test_none[] = {0xF7, 0x00, 0x00, 0x00, 0x00, 0x88};
    struct mmio_state st = start();
    struct world w = {.stored_size = NOTHING};

    assert_int_equal(mmio_emulate(&st, cmp_equal, 6, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rflags & (ZF | CF), ZF);
    st = start();
    assert_int_equal(mmio_emulate(&st, cmp_less, 2, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rflags & (ZF | CF), CF); /* 44332211 - 77777777 borrows */
    assert_int_equal(mmio_emulate(&st, test_none, 6, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rflags & (ZF | CF), ZF);
    assert_int_equal(w.stored_size, NOTHING);
}

static void compare_exchange_does_either(void **state)
{
    const uint8_t bytes[] = {0xF0, 0x0F, 0xB1, 0x0B}; /* lock cmpxchg ecx, (rbx) */
    struct mmio_state st = start();
    struct world w = {.stored_size = NOTHING};

    assert_int_equal(mmio_emulate(&st, bytes, 4, GPA, true, &ops, &w), MMIO_DONE);
    assert_int_equal(st.gpr[0], 0x44332211);
    assert_int_equal(st.rflags & ZF, 0);
    assert_int_equal(w.stored, 0x44332211);
    assert_int_equal(mmio_emulate(&st, bytes, 4, GPA, true, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rflags & ZF, ZF);
    assert_int_equal(w.stored, 0x11111111);
}

static void strings_go_on_until_the_count_ends(void **state)
{
    const uint8_t rep_stosd[] = {0xF3, 0xAB}, rep_movsb[] = {0xF3, 0xA4};
    struct mmio_state st = start();
    struct world w = {0};

    st.gpr[1] = 2;
    assert_int_equal(mmio_emulate(&st, rep_stosd, 2, GPA, true, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rip, RIP);
    assert_int_equal(st.gpr[1], 1);
    assert_int_equal(st.gpr[7], start().gpr[7] + 4);
    assert_int_equal(mmio_emulate(&st, rep_stosd, 2, GPA, true, &ops, &w), MMIO_DONE);
    assert_int_equal(st.rip, RIP + 2);

    /* Down, from memory to the device and from the device to memory. */
    st = start();
    st.gpr[1] = 1;
    st.rflags |= BIT(10);
    assert_int_equal(mmio_emulate(&st, rep_movsb, 2, GPA, true, &ops, &w), MMIO_DONE);
    assert_int_equal(w.stored, 0xA5);
    assert_int_equal(w.other_at, start().gpr[6]);
    assert_int_equal(st.gpr[6], start().gpr[6] - 1);
    st = start();
    st.gpr[1] = 1;
    assert_int_equal(mmio_emulate(&st, rep_movsb, 2, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(w.other_stored, 0x11);
    assert_int_equal(w.other_at, start().gpr[7]);
}

static void a_fault_at_the_other_end_leaves_no_trace(void **state)
{
    const uint8_t movsd[] = {0xA5};
    struct mmio_state st = start(), before = start();
    struct world w = {.stored_size = NOTHING, .fault = true};

    assert_int_equal(mmio_emulate(&st, movsd, 1, GPA, true, &ops, &w), MMIO_FAULT);
    assert_int_equal(w.stored_size, NOTHING);
    assert_memory_equal(&st, &before, sizeof(st));
}

static void modes_change_sizes(void **state)
{
    const uint8_t mov[] = {0x8B, 0x46, 0x10};              /* 16-bit: 10h(bp) */
    const uint8_t wide[] = {0x66, 0x67, 0x8B, 0x04, 0x24}; /* 16-bit code, 32-bit both */
    struct mmio_state st = start();
    struct world w = {0};

    st.long_mode = false;
    st.rip = 0x1000;
    assert_int_equal(mmio_emulate(&st, mov, 3, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(st.gpr[0], 0x2211);
    assert_int_equal(st.rip, 0x1003);
    assert_int_equal(mmio_emulate(&st, wide, 5, GPA, false, &ops, &w), MMIO_DONE);
    assert_int_equal(st.gpr[0], 0x44332211);
    assert_int_equal(st.rip, 0x1008);
}

static void what_it_does_not_know_is_left_alone(void **state)
{
    static const struct {
        uint8_t bytes[15];
        unsigned count;
    } cases[] = {
        {{0}, 0},                      /* no bytes at all */
        {{0x8B}, 1},                   /* cut short */
        {{0xC7, 0x00, 0x01}, 3},       /* in its immediate */
        {{0x8B, 0xC8}, 2},             /* registers alone */
        {{0xFF, 0x20}, 2},             /* jmp (rax) */
        {{0x0F, 0xBA, 0x00, 0x01}, 4}, /* group 8, /0 */
        {{0x0F, 0x28, 0x00}, 3},       /* movaps */
        {{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66},
         15},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mmio_state st = start(), before = start();
        struct world w = {.stored_size = NOTHING};

        if (mmio_emulate(&st, cases[i].bytes, cases[i].count, GPA, true, &ops, &w) != MMIO_UNKNOWN)
            fail_msg("case %zu is not refused", i);
        assert_memory_equal(&st, &before, sizeof(st));
        assert_int_equal(w.stored_size, NOTHING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_moves_what_it_says),
        cmocka_unit_test(compare_sets_flags_and_stores_nothing),
        cmocka_unit_test(compare_exchange_does_either),
        cmocka_unit_test(strings_go_on_until_the_count_ends),
        cmocka_unit_test(a_fault_at_the_other_end_leaves_no_trace),
        cmocka_unit_test(modes_change_sizes),
        cmocka_unit_test(what_it_does_not_know_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
