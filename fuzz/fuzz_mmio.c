/* Fuzzes the emulator of instructions on device memory: the input is the instruction and the state.
 * A refusal changes nothing; devices see accesses of 1, 2, 4 or 8 bytes at the fault's address. */
#include "rig.h"

#include "host/vm/mmio.h"

#define GPA UINT64_C(0xFEB00010)

static bool other_fails;
static unsigned accesses;

static bool good_size(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static uint64_t dev_load(void *ctx, uint64_t gpa, unsigned size)
{
    MUST(gpa == GPA && good_size(size));
    accesses++;
    return UINT64_C(0x8877665544332211) & (size == 8 ? UINT64_MAX : BIT(8 * size) - 1);
}

static void dev_store(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    MUST(gpa == GPA && good_size(size));
    accesses++;
}

static bool other_load(void *ctx, uint64_t linear, unsigned size, uint64_t *value)
{
    const struct mmio_state *st = ctx;

    MUST(good_size(size) && (st->long_mode || linear <= UINT32_MAX));
    *value = linear;
    return !other_fails;
}

static bool other_store(void *ctx, uint64_t linear, unsigned size, uint64_t value)
{
    const struct mmio_state *st = ctx;

    MUST(good_size(size) && (st->long_mode || linear <= UINT32_MAX));
    return !other_fails;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mmio_ops ops = {dev_load, dev_store, other_load, other_store};
    struct cursor c = cursor_over(data, size);
    uint8_t how = cursor_u8(&c), *bytes;
    struct mmio_state st = {0}, was;
    unsigned count;

    st.long_mode = how & 1;
    st.big = how & 2;
    other_fails = how & 4;
    for (unsigned i = 0; i < 16; i++)
        st.gpr[i] = how & 8 ? cursor_u64(&c) : UINT64_C(0x1111111111111111) * i;
    st.rip = how & 16 ? cursor_u64(&c) : UINT64_C(0xFFFFFFFF81000000);
    st.rflags = how & 32 ? cursor_u32(&c) | 2u : 2;
    for (unsigned i = 0; i < 6; i++)
        st.seg_base[i] = how & 64 ? cursor_u64(&c) : 0;
    count = (unsigned)MIN(c.left, 15u);
    bytes = malloc(count ? count : 1); /* so that a read past them is heard of */
    MUST(bytes);
    if (count)
        memcpy(bytes, c.at, count);
    was = st;
    accesses = 0;
    if (mmio_emulate(&st, bytes, count, GPA, how & 128, &ops, &was) == MMIO_DONE) {
        uint64_t moved = st.rip - was.rip;

        MUST((st.long_mode ? moved : (uint32_t)moved) <= count);
        MUST(accesses <= 2);
    } else {
        MUST(!memcmp(st.gpr, was.gpr, sizeof(st.gpr)));
        MUST(st.rip == was.rip && st.rflags == was.rflags);
    }
    free(bytes);
    return 0;
}
