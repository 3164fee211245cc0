/* Guest memory and nested page tables (src/host/vm/memory.c) over a host whose DRAM is a buffer:
 * every RAM address maps to its own frame, everything else to none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

#include <cmocka.h> /* last: it has a macro named fail */

/* A soc that is nothing but sparse DRAM. */
#define DRAM (UINT64_C(6) << 30)
static uint8_t *dram;

bool soc_read(struct soc *s, uint64_t spa, void *to, size_t len)
{
    if (spa > DRAM || len > DRAM - spa)
        return false;
    memcpy(to, dram + spa, len);
    return true;
}

bool soc_write(struct soc *s, uint64_t spa, const void *from, size_t len)
{
    if (spa > DRAM || len > DRAM - spa)
        return false;
    memcpy(dram + spa, from, len);
    return true;
}

static struct host host;
static struct vm vm;

/* A host at power-on: its DRAM is zeros. */
static void make_host(uint64_t frames, uint64_t bytes)
{
    assert_int_equal(madvise(dram, DRAM, MADV_DONTNEED), 0);
    host = (struct host){.frames = frames};
    host.frame_map = calloc(frames / 64 + 1, 8);
    host.dirty_map = calloc(frames / 64 + 1, 8);
    vm = (struct vm){.host = &host, .cfg = {.memory = bytes}};
}

static void make(uint64_t frames, uint64_t bytes)
{
    struct error err = {0};

    make_host(frames, bytes);
    if (memory_new(&vm, &err) != OK)
        fail_msg("%s", err.text);
}

static void unmake(void)
{
    memory_free(&vm);
    assert_int_equal(host_free_frames(&host), host.frames);
    free(host.frame_map);
    free(host.dirty_map);
}

/* The manual's walk (APM2 15.25.5): every level present, writable and user, or no translation. */
static uint64_t nested(uint64_t gpa)
{
    uint64_t table = vm.npt, entry;

    for (int shift = 39; shift >= 12; shift -= 9) {
        entry = load64(dram + table + 8 * (gpa >> shift & 511));
        if (!(entry & 1))
            return UINT64_MAX;
        assert_int_equal(entry & 7, 7);
        table = entry & UINT64_C(0xFFFFFFFFFF000);
        if (entry & BIT(7))
            return table | (gpa & (BIT(shift) - 1));
    }
    return table;
}

static void agree(uint64_t gpa, bool is_ram)
{
    uint64_t spa = UINT64_MAX;

    assert_int_equal(ram_to_spa(&vm, gpa, &spa), is_ram);
    if (!is_ram)
        spa = UINT64_MAX;
    assert_int_equal(nested(gpa), spa);
}

static void low_memory_maps_and_nothing_else(void **state)
{
    make(64 << 8, 34 << 20);
    for (uint64_t gpa = 0; gpa < 34 << 20; gpa += 4096)
        agree(gpa, true);
    agree((34 << 20) - 1, true);
    agree(34 << 20, false);
    agree(0xFEE00000, false);
    agree(HIGH_RAM, false);
    agree(BIT(47), false);
    unmake();
}

static void memory_past_the_hole_goes_on_at_four_gib(void **state)
{
    const uint64_t bytes = UINT64_C(5) << 30, low = PCI_ECAM_BASE, high = HIGH_RAM + bytes - low;

    make(DRAM / PAGE, bytes);
    agree(low - 1, true);
    agree(low, false);
    agree(HIGH_RAM - 1, false);
    agree(HIGH_RAM, true);
    agree(high - 1, true);
    agree(high, false);
    unmake();
}

static void no_two_addresses_share_a_frame(void **state)
{
    uint8_t *seen;

    make(40 << 8, 32 << 20);
    seen = calloc(1, host.frames);
    for (uint64_t gpa = 0; gpa < 32 << 20; gpa += 4096) {
        uint64_t spa = nested(gpa);

        assert_int_not_equal(spa, UINT64_MAX);
        assert_int_equal(seen[spa / PAGE]++, 0);
    }
    for (uint64_t i = 0; i < vm.npt_frames; i++)
        assert_int_equal(seen[vm.npt_base / PAGE + i], 0);
    free(seen);
    unmake();
}

static void host_accesses_cross_pieces_and_stop_at_the_end(void **state)
{
    char text[] = "across two pieces", back[sizeof(text)];

    make(40 << 8, 8 << 20);
    assert_true(vm_write_phys(&vm, LARGE_PAGE - 5, text, sizeof(text)));
    assert_true(vm_read_phys(&vm, LARGE_PAGE - 5, back, sizeof(back)));
    assert_string_equal(back, text);
    assert_false(vm_write_phys(&vm, (8 << 20) - 4, text, sizeof(text)));
    assert_false(vm_read_phys(&vm, UINT64_MAX - 2, back, sizeof(back)));
    assert_false(vm_read_phys(&vm, PCI_ECAM_BASE, back, 1));
    unmake();
}

static void memory_that_was_anothers_reads_as_zeros(void **state)
{
    uint64_t secret = 0x5EC2E7, found = 1;

    make(40 << 8, 4 << 20);
    assert_true(vm_write_phys(&vm, 0x1000, &secret, 8));
    memory_free(&vm);
    vm = (struct vm){.host = &host, .cfg = {.memory = 4 << 20}};
    assert_int_equal(memory_new(&vm, NULL), OK);
    assert_true(vm_read_phys(&vm, 0x1000, &found, 8));
    assert_int_equal(found, 0);
    unmake();
}

static void more_than_the_host_has_is_refused(void **state)
{
    struct error err = {0};

    make(40 << 8, 8 << 20);
    struct vm second = {.host = &host, .cfg = {.memory = 64 << 20}};

    assert_int_equal(memory_new(&second, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "64 MiB of memory are more than the"));
    memory_free(&second);
    unmake();
}

static void what_host_memory_for_promises_is_enough(void **state)
{
    static const uint64_t sizes[] = {2, 64, 512, 2816, 2818, 5120};

    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint64_t bytes = sizes[i] << 20, frames = host_memory_for(bytes, 8) / PAGE;

        make_host(frames, bytes);
        /* As host.c and vm.c take it: buffers, save areas and VMCBs, maps. */
        assert_int_not_equal(host_alloc(&host, 1, 1), 0);
        assert_int_not_equal(host_alloc(&host, ASP_DATA_BYTES / PAGE, 1), 0);
        for (int n = 0; n < 8; n++)
            assert_int_not_equal(host_alloc(&host, 1, 1), 0);
        assert_int_equal(memory_new(&vm, NULL), OK);
        assert_int_not_equal(host_alloc(&host, 6, 1), 0);
        for (int n = 0; n < 8; n++)
            assert_int_not_equal(host_alloc(&host, 1, 1), 0);
        memory_free(&vm);
        free(host.frame_map);
        free(host.dirty_map);
    }
}

static int set_up(void **state)
{
    dram = mmap(NULL, DRAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                0);
    return dram == MAP_FAILED ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_memory_maps_and_nothing_else),
        cmocka_unit_test(memory_past_the_hole_goes_on_at_four_gib),
        cmocka_unit_test(no_two_addresses_share_a_frame),
        cmocka_unit_test(host_accesses_cross_pieces_and_stop_at_the_end),
        cmocka_unit_test(memory_that_was_anothers_reads_as_zeros),
        cmocka_unit_test(more_than_the_host_has_is_refused),
        cmocka_unit_test(what_host_memory_for_promises_is_enough),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
