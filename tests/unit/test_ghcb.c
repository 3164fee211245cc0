/* The GHCB (src/host/vm/ghcb*.c, ap.c): what a guest asks and what it is told, and that nothing it
 * hands over is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "ghcb_rig.h"

#include <cmocka.h> /* last: it has a macro named fail */

static struct rig rig;
static struct ghcb page; /* what the guest is about to ask, and then its answer */

#define SET(field, value)                                                                          \
    (page.field = (value), ghcb_set_bit(page.valid, offsetof(struct ghcb, field)))
#define HAS(field) ghcb_bit(page.valid, offsetof(struct ghcb, field))
#define SCRATCH    (RIG_GHCB + offsetof(struct ghcb, buffer))

static void start(enum sev_level sev)
{
    assert_true(rig_new(&rig, sev));
}

static void stop(void)
{
    rig_free(&rig);
}

static void begin(uint64_t code, uint64_t info1, uint64_t info2)
{
    memset(&page, 0, sizeof(page));
    page.version = 2;
    SET(exitcode, code);
    SET(exitinfo1, info1);
    SET(exitinfo2, info2);
}

/* The page goes out, and comes back with the answer. */
static void ask(void)
{
    assert_true(vm_write_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
    rig_vmgexit(&rig, 0, RIG_GHCB);
    assert_true(vm_read_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
}

static void answered(uint64_t info1, uint64_t info2)
{
    assert_false(rig_crashed(&rig));
    assert_true(HAS(exitinfo1) && HAS(exitinfo2));
    assert_int_equal(page.exitinfo1, info1);
    assert_int_equal(page.exitinfo2, info2);
}

static void crashed_by(const char *words)
{
    const char *why = board_fate(rig.vm.board)->why;

    assert_true(rig_crashed(&rig));
    if (!strstr(why, words))
        fail_msg("'%s' does not say '%s'", why, words);
}

/* ---- the MSR ----------------------------------------------------------------------------------
 */

static void msr_of_information(void **state)
{
    const uint64_t info = UINT64_C(2) << 48 | UINT64_C(1) << 32 | UINT64_C(51) << 24 | 1;

    start(SEV_ES);
    assert_int_equal(rig.vcpu[0].vmcb.control.ghcb_gpa, info);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x002), info);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x080), 0x081);
    /* What is not known, and what belongs to SNP, stays as it is. */
    assert_int_equal(rig_vmgexit(&rig, 0, 0x00303), 0x00303);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x010), 0x010);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x5012), 0x5012);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(1) << 52 | 0x6014), UINT64_C(1) << 52 | 0x6014);
    assert_false(rig_crashed(&rig));
    stop();
    start(SEV_SNP);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x080), 0x23 << 12 | 0x081);
    assert_int_equal(rig_vmgexit(&rig, 0, 0x010), ~UINT64_C(0xFFF) | 0x011);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(1) << 32 | 0x016) >> 32, 1);
    stop();
}

static void msr_of_cpuid(void **state)
{
    start(SEV_ES);
    for (uint64_t n = 0; n < 4; n++) {
        uint64_t v = rig_vmgexit(&rig, 0, UINT64_C(0x80000000) << 32 | n << 30 | 0x004);

        assert_int_equal(v >> 32, 0x80000000 + n);
        assert_int_equal(v & UINT32_MAX, n << 30 | 0x005);
    }
    /* The guest's own wall: SEV and SEV-ES, and where its C-bit is. */
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(0x8000001F) << 32 | 0x004) >> 32, 0x0A);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(0x8000001F) << 32 | 1u << 30 | 0x004) >> 32 & 63,
                     51);
    stop();
    start(SEV_SNP);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(0x8000001F) << 32 | 0x004) >> 32, 0x1A);
    stop();
}

static void msr_of_registration(void **state)
{
    const uint64_t none = ~UINT64_C(0xFFF) | 0x013;

    start(SEV_SNP);
    rig.vcpu[0].ghcb = UINT64_MAX;
    assert_int_equal(rig_vmgexit(&rig, 0, 0x6012), none);           /* private */
    assert_int_equal(rig_vmgexit(&rig, 0, RIG_MMIO | 0x012), none); /* no RAM */
    assert_int_equal(rig_vmgexit(&rig, 0, ~UINT64_C(0) << 12 | 0x012), none);
    assert_int_equal(rig.vcpu[0].ghcb, UINT64_MAX);
    assert_int_equal(rig_vmgexit(&rig, 0, RIG_GHCB | 0x012), RIG_GHCB | 0x013);
    assert_int_equal(rig.vcpu[0].ghcb, RIG_GHCB);
    begin(GHCB_FEATURES, 0, 0);
    ask();
    answered(0, 0x23);
    /* Another page, though it is shared as well. */
    assert_false(rig_crashed(&rig));
    rig_vmgexit(&rig, 0, LARGE_PAGE);
    crashed_by("not registered");
    stop();
}

static void msr_of_page_state(void **state)
{
    start(SEV_SNP);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(2) << 52 | 0x6014), 0x015);
    assert_false(rmp_is_private(&rig.vm, 0x6000));
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(1) << 52 | 0x6014), 0x015);
    assert_true(rmp_is_private(&rig.vm, 0x6000));
    assert_null(rig_law(&rig));
    /* No such operation, no such page, bits that are zero. */
    assert_true(rig_vmgexit(&rig, 0, UINT64_C(5) << 52 | 0x6014) >> 32);
    assert_true(rig_vmgexit(&rig, 0, 0x6014) >> 32);
    assert_true(rig_vmgexit(&rig, 0, UINT64_C(1) << 52 | RIG_MMIO | 0x014) >> 32);
    assert_true(rig_vmgexit(&rig, 0, UINT64_C(0x101) << 52 | 0x6014) >> 32);
    assert_false(rig_crashed(&rig));
    stop();
}

static void terminations_are_named(void **state)
{
    static const struct {
        uint64_t msr;
        const char *says;
    } cases[] = {
        {0x00000100, "reason set 0, code 0 (general failure)"},
        {0x00010100, "no protocol version in common"},
        {0x00011100, "a page state change failed"},
        {0x00021100, "PVALIDATE failed"},
        {0x00FF1100, "reason set 1, code 255 (no reason"},
        {0x0002F100, "reason set 15, code 2 (no reason"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        start(SEV_ES);
        rig_vmgexit(&rig, 0, cases[i].msr);
        crashed_by(cases[i].says);
        stop();
    }
    start(SEV_ES);
    begin(GHCB_TERMINATE, 0x21, 0);
    ask();
    crashed_by("PVALIDATE failed");
    stop();
    start(SEV_ES);
    begin(GHCB_UNSUPPORTED, 0x404, 0);
    ask();
    crashed_by("0x404");
    stop();
    start(SEV_ES);
    rig_vmgexit(&rig, 0, 0);
    crashed_by("before the guest has set");
    stop();
    start(SEV_ES);
    rig_vmgexit(&rig, 0, RIG_MMIO);
    crashed_by("where no memory is");
    stop();
}

/* ---- the page: who may ask what ---------------------------------------------------------------
 */

enum { A = 1, B = 2, C = 4, D = 8, CPL = 16, SCR = 32, X = 64 };

static const struct {
    uint64_t code, info1;
    bool snp;
    unsigned needs;
} events[] = {
    {0x27, 0, false, 0},
    {0x37, 0, false, A},
    {0x6E, 0, false, 0},
    {0x6F, 0, false, C},
    {0x72, 0, false, A | C},
    {0x76, 0, false, 0},
    {0x7B, RIG_PORT << 16 | 1u << 4, false, A},
    {0x7B, RIG_PORT << 16 | 1u << 4 | 1, false, 0},
    {0x7B, RIG_PORT << 16 | 1u << 4 | 4, false, SCR},
    {0x7C, 0, false, C},
    {0x7C, 1, false, A | C | D},
    {0x81, 0, false, A | CPL},
    {0x87, 0, false, 0},
    {0x89, 0, false, 0},
    {0x8A, 0, false, A | C | D},
    {0x8B, 0, false, A | C},
    {0x80000001, RIG_MMIO, false, SCR},
    {0x80000002, RIG_MMIO, false, SCR},
    {0x80000003, 0, false, 0},
    {0x80000005, 1, false, 0},
    {0x80000010, 0, true, SCR},
    {0x80000011, 0, true, 0},
    {0x80000012, 0, true, A | B},
    {0x80000013, UINT64_C(1) << 32 | 1, true, A},
    {0x80000018, 1, true, 0},
    {0x8000FFFD, 0, false, 0},
};

static void put_inputs(unsigned inputs)
{
    if (inputs & A)
        SET(rax, 0);
    if (inputs & B)
        SET(rbx, 0);
    if (inputs & C)
        SET(rcx, 0);
    if (inputs & D)
        SET(rdx, 0);
    if (inputs & CPL)
        SET(cpl, 0);
    if (inputs & SCR)
        SET(scratch, SCRATCH);
}

static void each_event_needs_its_inputs(void **state)
{
    for (size_t i = 0; i < COUNT(events); i++) {
        start(SEV_SNP);
        begin(events[i].code, events[i].info1, 0);
        put_inputs(events[i].needs);
        ask();
        assert_false(rig_crashed(&rig));
        assert_true(HAS(exitinfo1));
        if (page.exitinfo1 == GHCB_REFUSED && page.exitinfo2 == GHCB_MISSING_INPUT)
            fail_msg("%#lx asks for more than it needs", (unsigned long)events[i].code);
        for (unsigned without = 1; without <= SCR; without <<= 1) {
            if (!(events[i].needs & without))
                continue;
            begin(events[i].code, events[i].info1, 0);
            put_inputs(events[i].needs & ~without);
            ask();
            answered(GHCB_REFUSED, GHCB_MISSING_INPUT);
        }
        stop();
    }
}

static void exit_information_is_always_needed(void **state)
{
    static const size_t fields[] = {offsetof(struct ghcb, exitcode),
                                    offsetof(struct ghcb, exitinfo1),
                                    offsetof(struct ghcb, exitinfo2)};

    start(SEV_ES);
    for (size_t i = 0; i < COUNT(fields); i++) {
        begin(GHCB_FEATURES, 0, 0);
        page.valid[fields[i] / 64] &= (uint8_t) ~(1u << fields[i] / 8 % 8);
        ask();
        answered(GHCB_REFUSED, GHCB_MISSING_INPUT);
    }
    begin(GHCB_FEATURES, 0, 0);
    page.usage = 1;
    ask();
    answered(GHCB_REFUSED, GHCB_BAD_USAGE);
    stop();
}

static void events_of_snp_are_unknown_to_others(void **state)
{
    static const uint64_t unknown[] = {0,          0x78,       0x400,      0x403,
                                       0x80000000, 0x80000006, 0x80000018, UINT64_MAX};

    start(SEV_ES);
    for (size_t i = 0; i < COUNT(events); i++) {
        if (!events[i].snp)
            continue;
        begin(events[i].code, events[i].info1, 0);
        put_inputs(events[i].needs);
        ask();
        answered(GHCB_REFUSED, GHCB_BAD_EVENT);
    }
    for (size_t i = 0; i < COUNT(unknown); i++) {
        begin(unknown[i], 0, 0);
        ask();
        answered(GHCB_REFUSED, GHCB_BAD_EVENT);
    }
    begin(GHCB_FEATURES, 0, 0);
    ask();
    answered(0, 0);
    stop();
}

/* What is not an answer is as the guest left it, and is not marked. */
static void answers_touch_nothing_else(void **state)
{
    struct ghcb before;

    start(SEV_ES);
    memset(&page, 0xA5, sizeof(page));
    memset(page.valid, 0xFF, sizeof(page.valid));
    page.usage = 0;
    page.exitcode = 0x72;
    page.rax = 0x12345;
    page.rcx = 0;
    before = page;
    ask();
    answered(0, 0);
    assert_int_equal(page.rax, 0x12345);
    assert_int_equal(page.rdx, 0x12348);
    assert_true(HAS(rax) && HAS(rbx) && HAS(rcx) && HAS(rdx));
    assert_false(HAS(exitcode) || HAS(scratch) || HAS(xcr0) || HAS(cpl) || HAS(rsp));
    page.rax = before.rax, page.rbx = before.rbx, page.rcx = before.rcx, page.rdx = before.rdx;
    page.exitinfo1 = before.exitinfo1, page.exitinfo2 = before.exitinfo2;
    memcpy(page.valid, before.valid, sizeof(page.valid));
    assert_memory_equal(&page, &before, sizeof(page));
    stop();
}

/* ---- instructions -----------------------------------------------------------------------------
 */

static void cpuid_follows_xcr0(void **state)
{
    start(SEV_ES);
    begin(0x72, 0, 0);
    SET(rax, 0xD);
    SET(rcx, 0);
    ask();
    answered(GHCB_REFUSED, GHCB_MISSING_INPUT);
    for (uint64_t xcr0 = 1; xcr0 <= 7; xcr0 += 6) {
        begin(0x72, 0, 0);
        SET(rax, 1);
        SET(rcx, 0);
        SET(xcr0, xcr0);
        ask();
        answered(0, 0);
        assert_int_equal(page.rcx >> 27 & 1, xcr0 == 7); /* OSXSAVE */
    }
    stop();
}

static void msrs_are_read_and_written(void **state)
{
    start(SEV_ES);
    begin(0x7C, 1, 0);
    SET(rcx, 0x200);
    SET(rax, 0x55667788);
    SET(rdx, 0x11223344);
    ask();
    answered(0, 0);
    assert_false(HAS(rax));
    begin(0x7C, 0, 0);
    SET(rcx, 0x200);
    ask();
    answered(0, 0);
    assert_true(HAS(rax) && HAS(rdx));
    assert_int_equal(page.rax, 0x55667788);
    assert_int_equal(page.rdx, 0x11223344);
    /* Refused as hardware does: #GP, type 3, valid. */
    begin(0x7C, 0, 0);
    SET(rcx, 0xDEADBEEF);
    ask();
    answered(1, 0x8000030D);
    begin(0x7C, 0, 0);
    SET(rcx, 0xC0000080); /* EFER is the guest's own */
    ask();
    answered(1, 0x8000030D);
    begin(0x7C, 2, 0);
    SET(rcx, 0x200);
    SET(rax, 0);
    SET(rdx, 0);
    ask();
    answered(GHCB_REFUSED, GHCB_BAD_INPUT);
    stop();
}

static void other_instructions(void **state)
{
    start(SEV_ES);
    begin(0x81, 0, 0);
    SET(rax, 12);
    SET(cpl, 0);
    ask();
    answered(1, 0x80000306);
    fake_soc.now = UINT64_C(0x123456789);
    begin(0x6E, 0, 0);
    ask();
    answered(0, 0);
    assert_int_equal(page.rdx << 32 | page.rax, 0x123456789);
    begin(0x37, 0, 0);
    SET(rax, 0x455);
    ask();
    answered(0, 0);
    begin(0x27, 0, 0);
    ask();
    assert_true(HAS(rax));
    assert_int_equal(page.rax, 0x455);
    begin(0x89, 0, 0);
    ask();
    assert_int_equal(fake_soc.flushes, 1);
    rig.vcpu[0].nmi_masked = true;
    begin(0x80000003, 0, 0);
    ask();
    assert_false(rig.vcpu[0].nmi_masked);
    stop();
}

/* ---- ports and device memory ------------------------------------------------------------------
 */

#define OUT8   (RIG_PORT << 16 | 1u << 4)
#define IN8    (OUT8 | 1)
#define STRING 4u
#define REP    8u

static void ports(void **state)
{
    start(SEV_ES);
    begin(0x7B, OUT8, 0);
    SET(rax, 0x1234);
    ask();
    answered(0, 0);
    assert_int_equal(rig.reg, 0x34);
    begin(0x7B, (RIG_PORT << 16 | 1u << 5) | 1, 0);
    rig.reg = 0xABCDE;
    ask();
    answered(0, 0);
    assert_int_equal(page.rax, 0xBCDE);
    for (unsigned size = 0; size < 8; size++) {
        if (size == 1 || size == 2 || size == 4)
            continue;
        begin(0x7B, RIG_PORT << 16 | size << 4, 0);
        SET(rax, 0);
        ask();
        answered(GHCB_REFUSED, GHCB_BAD_INPUT);
    }
    stop();
}

static void strings(void **state)
{
    static const struct {
        uint64_t scratch, count;
        unsigned size;
        bool good;
    } cases[] = {
        {SCRATCH, 2032, 1, true},
        {SCRATCH, 2033, 1, false},
        {SCRATCH, 508, 4, true},
        {SCRATCH, 509, 4, false},
        {SCRATCH, UINT64_C(0x4000000000000001), 4, false},
        {SCRATCH, UINT64_MAX, 1, false},
        {SCRATCH + 2031, 1, 1, true},
        {SCRATCH + 2031, 2, 1, false},
        {SCRATCH + 2032, 0, 1, true},
        {SCRATCH - 1, 1, 1, false},
        {RIG_GHCB, 1, 1, false},
        {UINT64_MAX, 1, 1, false},
        {0, 1, 1, false},
    };

    start(SEV_ES);
    begin(0x7B, IN8 | STRING | REP, 3);
    SET(scratch, SCRATCH + 5);
    page.buffer[8] = 0xEE;
    ask();
    answered(0, 0);
    assert_memory_equal(page.buffer, "\0\0\0\0\0\x11\x12\x13\xEE", 9);
    begin(0x7B, OUT8 | STRING | REP, 3);
    SET(scratch, SCRATCH);
    memcpy(page.buffer, "abc", 3);
    ask();
    answered(0, 0);
    assert_int_equal(rig.writes, 3);
    assert_int_equal(rig.reg, 'c');
    for (size_t i = 0; i < COUNT(cases); i++) {
        rig.writes = 0;
        begin(0x7B, RIG_PORT << 16 | cases[i].size << 4 | STRING | REP, cases[i].count);
        SET(scratch, cases[i].scratch);
        ask();
        if (cases[i].good)
            answered(0, 0);
        else
            answered(GHCB_REFUSED, GHCB_BAD_SCRATCH);
        assert_int_equal(rig.writes, cases[i].good ? cases[i].count : 0);
    }
    stop();
}

static void device_memory(void **state)
{
    static const struct {
        uint64_t gpa, len;
        unsigned why;
    } bad[] = {
        {RIG_MMIO, 0, GHCB_BAD_INPUT},      {RIG_MMIO, 3, GHCB_BAD_INPUT},
        {RIG_MMIO, 9, GHCB_BAD_INPUT},      {RIG_MMIO, UINT64_MAX, GHCB_BAD_INPUT},
        {0x1000, 4, GHCB_BAD_INPUT},        {UINT64_MAX - 3, 8, GHCB_BAD_INPUT},
        {HIGH_RAM - 4, 16, GHCB_BAD_INPUT}, {RIG_RAM - 1, 1, GHCB_BAD_INPUT},
    };

    start(SEV_ES);
    begin(0x80000002, RIG_MMIO + 8, 4);
    SET(scratch, SCRATCH + 4);
    memcpy(page.buffer, "xxxx\x78\x56\x34\x12yyyy", 12);
    ask();
    answered(0, 0);
    assert_int_equal(rig.reg, 0x12345678);
    begin(0x80000001, RIG_MMIO + 8, 2);
    SET(scratch, SCRATCH);
    memset(page.buffer, 0xEE, 4);
    ask();
    answered(0, 0);
    assert_memory_equal(page.buffer, "\x78\x56\xEE\xEE", 4);
    /* Where no device is: all ones. */
    begin(0x80000001, UINT64_C(1) << 45, 8);
    SET(scratch, SCRATCH);
    ask();
    answered(0, 0);
    assert_memory_equal(page.buffer, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    for (size_t i = 0; i < COUNT(bad); i++)
        for (uint64_t code = 0x80000001; code <= 0x80000002; code++) {
            begin(code, bad[i].gpa, bad[i].len);
            SET(scratch, SCRATCH);
            ask();
            answered(GHCB_REFUSED, bad[i].why);
        }
    stop();
}

/* Every address without RAM makes the guest ask: its entry has a reserved bit. */
static void device_memory_is_marked(void **state)
{
    static const uint64_t at[] = {RIG_RAM, RIG_MMIO, LAPIC_BASE, HIGH_RAM, UINT64_C(1) << 45};

    start(SEV_ES);
    for (size_t i = 0; i < COUNT(at); i++) {
        uint64_t table = rig.vm.npt, e = 0;
        int shift = 39;

        for (; shift >= 12; shift -= 9) {
            e = load64(fake_soc.dram + table + 8 * (at[i] >> shift & 511));
            assert_true(e & 1);
            if (e & BIT(7))
                break;
            table = e & UINT64_C(0xFFFFFFFFFF000);
        }
        assert_true(shift == 39 || e & BIT(13));
    }
    stop();
}

/* ---- processors ------------------------------------------------------------------------------ */

static void send(unsigned mode, unsigned vector)
{
    assert_true(apic_deliver(
        rig.vm.board,
        &(struct apic_msg){.dest = 1, .mode = (uint8_t)mode, .vector = (uint8_t)vector}));
}

static void reset_hold_ends_by_sipi(void **state)
{
    struct vcpu *ap = &rig.vcpu[1];

    start(SEV_ES);
    assert_false(vcpu_runnable(ap));
    send(APIC_MODE_INIT, 0);
    assert_false(vcpu_runnable(ap));
    send(APIC_STARTUP, 0x9A);
    assert_true(vcpu_runnable(ap)); /* where its launch VMSA says */
    send(APIC_STARTUP, 0x9A);       /* the second one that Linux sends */
    assert_true(vcpu_runnable(ap));
    for (unsigned how = 0; how < 2; how++) {
        begin(GHCB_AP_RESET_HOLD, 0, 0);
        assert_true(vm_write_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
        rig_vmgexit(&rig, 1, how ? 0x006 : RIG_GHCB);
        assert_false(vcpu_runnable(ap));
        assert_true(vcpu_halted(ap) && vcpu_hopeless(ap));
        send(APIC_MODE_INIT, 0);
        assert_false(vcpu_runnable(ap));
        send(APIC_STARTUP, 0x9A);
        assert_true(vcpu_runnable(ap));
        assert_true(vm_read_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
        if (how)
            assert_int_equal(ap->vmcb.control.ghcb_gpa, 0x1007);
        else
            answered(0, 1);
    }
    stop();
}

static void jump_table(void **state)
{
    start(SEV_ES);
    begin(GHCB_AP_JUMP_TABLE, 1, 0);
    ask();
    answered(0, 0);
    begin(GHCB_AP_JUMP_TABLE, 0, 0x9000);
    ask();
    answered(0, 0);
    begin(GHCB_AP_JUMP_TABLE, 1, 0);
    ask();
    answered(0, 0x9000);
    begin(GHCB_AP_JUMP_TABLE, 0, RIG_MMIO);
    ask();
    answered(GHCB_REFUSED, GHCB_BAD_INPUT);
    begin(GHCB_AP_JUMP_TABLE, 2, 0x9000);
    ask();
    answered(GHCB_REFUSED, GHCB_BAD_INPUT);
    stop();
}

#define TO(apic, vmpl, request) ((uint64_t)(apic) << 32 | (vmpl) << 16 | (request))

static void create(uint64_t info1, uint64_t gpa, uint64_t features)
{
    begin(GHCB_AP_CREATION, info1, gpa);
    SET(rax, features);
    ask();
}

static void processors_are_created(void **state)
{
    static const struct {
        uint64_t info1, gpa, features;
    } bad[] = {
        {TO(2, 0, 1), 0x8000, 1},     {TO(1, 4, 1), 0x8000, 1},
        {TO(1, 0, 3), 0x8000, 1},     {TO(1, 0, 1), 0x8000, 9},
        {TO(1, 0, 1), 0x8001, 1},     {TO(1, 0, 1), RIG_GHCB, 1},
        {TO(1, 0, 1), 0, 1},          {TO(1, 0, 1), RIG_MMIO, 1},
        {TO(1, 0, 1), LARGE_PAGE, 1}, {TO(UINT32_MAX, 0, 1), 0x8000, 1},
        {TO(1, 0, 1), RIG_RAM, 1},    {TO(1, 0, 1), UINT64_MAX & ~UINT64_C(0xFFF), 1},
    };
    struct vcpu *ap = &rig.vcpu[1];
    uint64_t spa = 0;

    start(SEV_SNP);
    for (size_t i = 0; i < COUNT(bad); i++) {
        create(bad[i].info1, bad[i].gpa, bad[i].features);
        answered(GHCB_REFUSED, GHCB_BAD_INPUT);
        assert_false(vcpu_runnable(ap));
    }
    assert_true(ram_to_spa(&rig.vm, 0x8000, &spa));
    create(TO(1, 0, 1), 0x8000, 1);
    answered(0, 0);
    assert_true(vcpu_runnable(ap));
    assert_int_equal(ap->vmsa_spa, spa);
    assert_int_equal(ap->ghcb, UINT64_MAX);
    create(TO(1, 0, 2), 0, 0);
    answered(0, 0);
    assert_false(vcpu_runnable(ap));
    send(APIC_MODE_INIT, 0);
    send(APIC_STARTUP, 1);
    assert_false(vcpu_runnable(ap)); /* there is nothing to start */
    create(TO(1, 0, 0), 0x8000, 1);
    answered(0, 0);
    assert_false(vcpu_runnable(ap));
    send(APIC_MODE_INIT, 0);
    assert_true(vcpu_runnable(ap));
    assert_int_equal(ap->vmsa_spa, spa);
    stop();
}

/* A VMPL below runs when it is asked for, with a GHCB and an MSR of its own, and comes back. */
static void levels_take_turns(void **state)
{
    const uint64_t info = UINT64_C(2) << 48 | UINT64_C(1) << 32 | UINT64_C(51) << 24 | 1;
    struct vcpu *v = &rig.vcpu[0];
    uint64_t spa = 0, first;

    start(SEV_SNP);
    first = v->vmsa_spa;
    assert_true(ram_to_spa(&rig.vm, 0x8000, &spa));
    for (unsigned vmpl = 0; vmpl < 5; vmpl++) { /* its own, and those without a VMSA */
        begin(GHCB_RUN_VMPL, vmpl, 0);
        ask();
        answered(GHCB_REFUSED, GHCB_BAD_INPUT);
    }
    create(TO(0, 1, 0), 0x8000, 1);
    answered(0, 0);
    assert_int_equal(v->vmsa_spa, first);
    v->vmcb.control.interrupt_state = BIT(1);
    begin(GHCB_RUN_VMPL, 1, 0);
    ask();
    answered(0, 0);
    assert_int_equal(v->vmsa_spa, spa);
    assert_int_equal(v->vmcb.control.ghcb_gpa, info);
    assert_int_equal(v->vmcb.control.interrupt_state, 0);
    assert_int_equal(v->ghcb, UINT64_MAX);
    /* Back by the MSR; and there again, where the answer waits. */
    assert_int_equal(rig_vmgexit(&rig, 0, 0x016), RIG_GHCB);
    assert_int_equal(v->vmsa_spa, first);
    assert_int_equal(v->vmcb.control.interrupt_state, BIT(1));
    assert_int_equal(v->ghcb, RIG_GHCB);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(1) << 32 | 0x016), 0x017);
    assert_int_equal(v->vmsa_spa, spa);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(3) << 32 | 0x016), UINT64_C(1) << 32 | 0x017);
    assert_int_equal(rig_vmgexit(&rig, 0, UINT64_C(0xFF) << 32 | 0x016), UINT64_C(1) << 32 | 0x017);
    stop();
}

/* ---- a vCPU that shows nothing ----------------------------------------------------------------
 */

static void the_core_shows_interrupts_alone(void **state)
{
    struct vcpu *v = &rig.vcpu[0];
    struct vcpu_regs regs;

    start(SEV_ES);
    assert_false(vcpu_get_regs(v, &regs));
    v->vmcb.control.exitcode = VMEXIT_HLT;
    vcpu_exit(v);
    assert_true(vcpu_halted(v) && vcpu_hopeless(v));
    v->vmcb.control.interrupt_state = BIT(1);
    assert_false(vcpu_hopeless(v));
    assert_false(vcpu_runnable(v));
    assert_true(apic_deliver(rig.vm.board, &(struct apic_msg){.dest = 0, .mode = APIC_MODE_NMI}));
    assert_true(vcpu_runnable(v));
    assert_true(v->vmcb.control.nested_ctl & NESTED_SEV_ES);
    assert_true(v->vmcb.control.virt_ext & 1);
    v->vmcb.control.exitcode = VMEXIT_CPUID; /* not one that leaves such a guest */
    vcpu_exit(v);
    crashed_by("which nobody asked for");
    stop();
}

static void rmp_faults_have_reasons(void **state)
{
    static const struct {
        uint64_t error, gpa;
        const char *says;
    } cases[] = {
        {NPF_RMP | NPF_PRESENT | NPF_WRITE, 0x8000, "a shared write to a page that is private"},
        {NPF_RMP | NPF_PRESENT | NPF_ENC, RIG_GHCB, "a private access to a page that the guest"},
        {NPF_RMP | NPF_PRESENT | NPF_ENC | NPF_VMPL, 0x8000, "its VMPL has no permission"},
        {NPF_PRESENT | NPF_WRITE, 0x8000, "where no access can be answered"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        start(SEV_SNP);
        rig.vcpu[0].vmcb.control.exitcode = VMEXIT_NPF;
        rig.vcpu[0].vmcb.control.exitinfo1 = cases[i].error;
        rig.vcpu[0].vmcb.control.exitinfo2 = cases[i].gpa;
        vcpu_exit(&rig.vcpu[0]);
        crashed_by(cases[i].says);
        stop();
    }
    /* PVALIDATE of a small page in a large one: made small, and tried again. */
    start(SEV_SNP);
    assert_true(rmp_make_private(&rig.vm, LARGE_PAGE, true));
    rig.vcpu[0].vmcb.control.exitcode = VMEXIT_NPF;
    rig.vcpu[0].vmcb.control.exitinfo1 = NPF_RMP | NPF_SIZEM | NPF_ENC | NPF_PRESENT;
    rig.vcpu[0].vmcb.control.exitinfo2 = LARGE_PAGE + 0x3000;
    vcpu_exit(&rig.vcpu[0]);
    assert_false(rig_crashed(&rig));
    assert_null(rig_law(&rig));
    assert_false(memory_piece(&rig.vm, LARGE_PAGE)->large);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(msr_of_information),
        cmocka_unit_test(msr_of_cpuid),
        cmocka_unit_test(msr_of_registration),
        cmocka_unit_test(msr_of_page_state),
        cmocka_unit_test(terminations_are_named),
        cmocka_unit_test(each_event_needs_its_inputs),
        cmocka_unit_test(exit_information_is_always_needed),
        cmocka_unit_test(events_of_snp_are_unknown_to_others),
        cmocka_unit_test(answers_touch_nothing_else),
        cmocka_unit_test(cpuid_follows_xcr0),
        cmocka_unit_test(msrs_are_read_and_written),
        cmocka_unit_test(other_instructions),
        cmocka_unit_test(ports),
        cmocka_unit_test(strings),
        cmocka_unit_test(device_memory),
        cmocka_unit_test(device_memory_is_marked),
        cmocka_unit_test(reset_hold_ends_by_sipi),
        cmocka_unit_test(jump_table),
        cmocka_unit_test(processors_are_created),
        cmocka_unit_test(levels_take_turns),
        cmocka_unit_test(the_core_shows_interrupts_alone),
        cmocka_unit_test(rmp_faults_have_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
