/* Page state changes (src/host/vm/psc.c, rmp_driver.c, memory.c): every page has one owner, the RMP
 * and the nested tables agree on the size of each, and lists end where the standard says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "ghcb_rig.h"

#include <cmocka.h> /* last: it has a macro named fail */

static struct rig rig;
static struct ghcb page;

#define SCRATCH        (RIG_GHCB + offsetof(struct ghcb, buffer))
#define BAD_HEADER     (UINT64_C(1) << 32 | 1)
#define BAD_ENTRY      (UINT64_C(1) << 32 | 2)
#define ENTRY(gpa, op) ((gpa) | (uint64_t)(op) << 52)
#define LARGE          (UINT64_C(1) << 56)

enum { PRIVATE = 1, SHARED, SMASH, UNSMASH };

static int fresh(void **state)
{
    return rig_new(&rig, SEV_SNP) ? 0 : -1;
}

static int done(void **state)
{
    rig_free(&rig);
    return 0;
}

/* A list of `n` entries, from `cur` to `end`; what SW_EXITINFO2 says. */
static uint64_t list_at(uint64_t scratch, uint16_t cur, uint16_t end, const uint64_t *entry,
                        unsigned n)
{
    static const size_t given[] = {
        offsetof(struct ghcb, exitcode), offsetof(struct ghcb, exitinfo1),
        offsetof(struct ghcb, exitinfo2), offsetof(struct ghcb, scratch)};

    memset(&page, 0, sizeof(page));
    for (size_t i = 0; i < COUNT(given); i++)
        ghcb_set_bit(page.valid, given[i]);
    page.exitcode = GHCB_PSC;
    page.scratch = scratch;
    store16(page.buffer, cur);
    store16(page.buffer + 2, end);
    memcpy(page.buffer + 8, entry, 8 * n);
    assert_true(vm_write_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
    rig_vmgexit(&rig, 0, RIG_GHCB);
    assert_false(rig_crashed(&rig));
    assert_true(vm_read_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
    if (rig_law(&rig))
        fail_msg("%s", rig_law(&rig));
    if (page.exitinfo1)
        return page.exitinfo1 << 60 | page.exitinfo2;
    return page.exitinfo2;
}

static uint64_t list(uint16_t cur, uint16_t end, const uint64_t *entry, unsigned n)
{
    return list_at(SCRATCH, cur, end, entry, n);
}

static uint64_t one(uint64_t entry)
{
    return list(0, 0, &entry, 1);
}

static unsigned cur(void)
{
    return load16(page.buffer);
}

static uint64_t entry_after(unsigned n)
{
    return load64(page.buffer + 8 + 8 * n);
}

static unsigned private_pages(uint64_t gpa)
{
    unsigned n = 0;

    for (uint64_t at = gpa; at < gpa + LARGE_PAGE; at += PAGE)
        n += rmp_is_private(&rig.vm, at);
    return n;
}

static void pages_change_hands(void **state)
{
    const uint64_t some[] = {ENTRY(0x8000, SHARED), ENTRY(0x9000, SHARED), ENTRY(0x20000, SHARED),
                             ENTRY(0x8000, PRIVATE)};

    assert_int_equal(private_pages(0), 511);
    assert_int_equal(list(0, 3, some, 4), 0);
    assert_int_equal(cur(), 4);
    assert_int_equal(private_pages(0), 509);
    assert_true(rmp_is_private(&rig.vm, 0x8000));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(entry_after(i), some[i] | 1);
    /* The host may write what is shared, and nothing else. */
    assert_true(vm_write_phys(&rig.vm, 0x9000, "x", 1));
    assert_false(vm_write_phys(&rig.vm, 0x8000, "x", 1));
    assert_false(vm_write_phys(&rig.vm, 0x9FFF, "xy", 2));
}

static void large_pages_change_hands(void **state)
{
    uint64_t size = 0;

    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE), 0);
    assert_int_equal(entry_after(0) & 0xFFF, 512);
    assert_int_equal(private_pages(LARGE_PAGE), 512);
    assert_true(memory_piece(&rig.vm, LARGE_PAGE)->large);
    rig_nested(&rig, LARGE_PAGE, &size);
    assert_int_equal(size, LARGE_PAGE);
    /* One page of it makes all of them small; and it becomes large again when it is shared. */
    assert_int_equal(one(ENTRY(LARGE_PAGE + 0x7000, SHARED)), 0);
    assert_int_equal(private_pages(LARGE_PAGE), 511);
    rig_nested(&rig, LARGE_PAGE, &size);
    assert_int_equal(size, PAGE);
    assert_int_equal(one(ENTRY(LARGE_PAGE, SHARED) | LARGE), 0);
    assert_int_equal(private_pages(LARGE_PAGE), 0);
    rig_nested(&rig, LARGE_PAGE, &size);
    assert_int_equal(size, LARGE_PAGE);
    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE), 0);
    assert_true(memory_piece(&rig.vm, LARGE_PAGE)->large);
    /* A large request over small pages is carried out page by page. */
    assert_int_equal(one(ENTRY(LARGE_PAGE + 0x7000, SHARED)), 0);
    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE), 0);
    assert_int_equal(private_pages(LARGE_PAGE), 512);
    assert_false(memory_piece(&rig.vm, LARGE_PAGE)->large);
}

/* Private memory that the guest asks for again is not validated any more: its contents may be
 * another's. */
static void private_again_is_not_valid(void **state)
{
    uint64_t spa = 0;

    assert_true(ram_to_spa(&rig.vm, 0x8000, &spa));
    fake_soc.rmp[spa / PAGE].validated = true;
    assert_int_equal(one(ENTRY(0x8000, PRIVATE)), 0);
    assert_false(fake_soc.rmp[spa / PAGE].validated);
}

static void sizes_are_hints(void **state)
{
    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE), 0);
    assert_int_equal(one(ENTRY(LARGE_PAGE, UNSMASH) | LARGE), 0);
    assert_int_equal(one(ENTRY(LARGE_PAGE, SMASH) | LARGE), 0);
    assert_int_equal(private_pages(LARGE_PAGE), 512);
    assert_false(memory_piece(&rig.vm, LARGE_PAGE)->large);
}

static void a_piece_goes_on_where_it_was(void **state)
{
    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE | 510), 0);
    assert_int_equal(private_pages(LARGE_PAGE), 2);
    assert_true(rmp_is_private(&rig.vm, LARGE_PAGE + 511 * PAGE));
    assert_int_equal(one(ENTRY(0x8000, SHARED) | 1), 0); /* done already */
    assert_true(rmp_is_private(&rig.vm, 0x8000));
}

static void long_lists_take_turns(void **state)
{
    uint64_t entries[253];
    unsigned turns = 0, before = 0;

    for (unsigned i = 0; i < COUNT(entries); i++)
        entries[i] = ENTRY(LARGE_PAGE, i % 2 ? SHARED : PRIVATE) | LARGE;
    while (before < COUNT(entries)) {
        assert_int_equal(list((uint16_t)before, 252, entries, COUNT(entries)), 0);
        assert_true(cur() > before);
        assert_int_equal(load16(page.buffer + 2), 252);
        before = cur();
        assert_true(++turns < 100);
    }
    assert_true(turns > 1);
    assert_int_equal(before, 253);
    assert_int_equal(private_pages(LARGE_PAGE), 512);
}

static void bad_lists_are_refused(void **state)
{
    static const uint64_t bad[] = {
        ENTRY(0x8000, 0),
        ENTRY(0x8000, 5),
        ENTRY(0x8000, 15),
        ENTRY(0x8000, SHARED) | 2,
        ENTRY(LARGE_PAGE, SHARED) | LARGE | 513,
        ENTRY(LARGE_PAGE, SHARED) | LARGE | 0xFFF,
        ENTRY(0x8000, SHARED) | LARGE,
        ENTRY(0x8000, SHARED) | UINT64_C(1) << 57,
        ENTRY(0x8000, SHARED) | UINT64_C(1) << 63,
        ENTRY(RIG_RAM, SHARED),
        ENTRY(RIG_MMIO, PRIVATE),
        ENTRY(UINT64_C(0x000FFFFFFFFFF000), PRIVATE),
    };
    uint64_t entries[256] = {0};

    for (size_t i = 0; i < COUNT(bad); i++) {
        entries[0] = ENTRY(0x8000, SHARED);
        entries[1] = bad[i];
        entries[2] = ENTRY(0x9000, SHARED);
        assert_int_equal(list(0, 2, entries, 3), BAD_ENTRY);
        assert_int_equal(cur(), 1); /* those before are done, those after are not */
        assert_false(rmp_is_private(&rig.vm, 0x8000));
        assert_true(rmp_is_private(&rig.vm, 0x9000));
        assert_true(rmp_make_private(&rig.vm, 0x8000, false));
    }
    assert_int_equal(list(0, 253, entries, 1), BAD_HEADER);
    assert_int_equal(list(0, UINT16_MAX, entries, 1), BAD_HEADER);
    assert_int_equal(list(UINT16_MAX, UINT16_MAX, entries, 1), BAD_HEADER);
    assert_int_equal(list(9, 8, entries, 9), 0); /* nothing is left to do */
    assert_int_equal(private_pages(0), 511);
}

static void lists_lie_in_the_page(void **state)
{
    static const uint64_t outside[] = {
        0, RIG_GHCB, SCRATCH - 8, SCRATCH + 2032 - 8, SCRATCH + 2032, UINT64_MAX, 0x6000,
    };
    const uint64_t refused = (uint64_t)GHCB_REFUSED << 60 | GHCB_BAD_SCRATCH;
    uint64_t entry = ENTRY(0x8000, SHARED);

    for (size_t i = 0; i < COUNT(outside); i++)
        assert_int_equal(list_at(outside[i], 0, 0, &entry, 1), refused);
    entry = 252u << 16; /* a header there, whose list ends eight bytes too late */
    assert_int_equal(list_at(SCRATCH + 8, 0, 0, &entry, 1), refused);
    assert_true(rmp_is_private(&rig.vm, 0x8000));
}

/* The guest hides the page by which it asked: nobody can answer it, and it is told by its end. */
static void the_page_itself_may_go(void **state)
{
    memset(&page, 0, sizeof(page));
    memset(page.valid, 0xFF, sizeof(page.valid));
    page.exitcode = GHCB_PSC;
    page.exitinfo1 = page.exitinfo2 = 0;
    page.scratch = SCRATCH;
    store64(page.buffer + 8, ENTRY(RIG_GHCB, PRIVATE));
    assert_true(vm_write_phys(&rig.vm, RIG_GHCB, &page, sizeof(page)));
    rig_vmgexit(&rig, 0, RIG_GHCB);
    assert_true(rig_crashed(&rig));
    assert_non_null(strstr(board_fate(rig.vm.board)->why, "is private"));
}

static void all_comes_back(void **state)
{
    assert_int_equal(one(ENTRY(LARGE_PAGE, PRIVATE) | LARGE), 0);
    assert_true(rmp_release_all(&rig.vm));
    assert_null(rig_law(&rig));
    assert_int_equal(private_pages(0) + private_pages(LARGE_PAGE), 0);
    for (uint64_t i = 0; i < FAKE_PAGES; i++)
        assert_false(fake_soc.rmp[i].assigned);
    assert_int_equal(memory_clear(&rig.vm, NULL), OK);
}

static void pages_on_their_way_into_a_launch(void **state)
{
    uint64_t spa = 0;

    assert_true(rmp_make_pre_guest(&rig.vm, LARGE_PAGE + 0x3000, false));
    assert_true(ram_to_spa(&rig.vm, LARGE_PAGE + 0x3000, &spa));
    assert_true(fake_soc.rmp[spa / PAGE].immutable);
    assert_null(rig_law(&rig));
    assert_false(rmp_make_shared(&rig.vm, LARGE_PAGE + 0x3000, false)); /* the firmware's to free */
    assert_false(rmp_make_private(&rig.vm, RIG_RAM, false));
    assert_false(rmp_make_private(&rig.vm, 0x1234, false));
    assert_false(rmp_make_private(&rig.vm, 0x1000, true));
    assert_false(rmp_make_shared(&rig.vm, UINT64_MAX & ~UINT64_C(0xFFF), false));
    assert_false(rmp_smash(&rig.vm, RIG_MMIO));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_change_hands),
        TEST(large_pages_change_hands),
        TEST(private_again_is_not_valid),
        TEST(sizes_are_hints),
        TEST(a_piece_goes_on_where_it_was),
        TEST(long_lists_take_turns),
        TEST(bad_lists_are_refused),
        TEST(lists_lie_in_the_page),
        TEST(the_page_itself_may_go),
        TEST(all_comes_back),
        TEST(pages_on_their_way_into_a_launch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
