/* Who uses which frame of the host's DRAM. */
#include "base/bytes.h"
#include "host/vm/internal.h"

static bool used(const uint64_t *map, uint64_t i)
{
    return map[i / 64] >> (i % 64) & 1;
}

static void mark(uint64_t *map, uint64_t from, uint64_t count, bool on)
{
    for (uint64_t i = from; i < from + count; i++)
        if (on)
            map[i / 64] |= BIT(i % 64);
        else
            map[i / 64] &= ~BIT(i % 64);
}

uint64_t host_free_frames(const struct host *h)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < h->frames; i++)
        n += !used(h->frame_map, i);
    return n;
}

bool host_zero(struct host *h, uint64_t spa, uint64_t len)
{
    static const uint8_t zeros[64 * 1024];

    while (len) {
        uint64_t n = MIN(len, sizeof(zeros));

        if (!soc_write(h->soc, spa, zeros, n))
            return false;
        spa += n;
        len -= n;
    }
    return true;
}

static bool any_dirty(const struct host *h, uint64_t from, uint64_t count)
{
    for (uint64_t i = from; i < from + count; i++)
        if (used(h->dirty_map, i))
            return true;
    return false;
}

uint64_t host_alloc(struct host *h, uint64_t count, uint64_t align)
{
    uint64_t at = align; /* never frame 0: address 0 means none */

    while (at + count <= h->frames) {
        uint64_t n = 0;

        while (n < count && !used(h->frame_map, at + n))
            n++;
        if (n == count) {
            /* DRAM is zero at power-on; only what somebody used has to be cleared. */
            if (any_dirty(h, at, count) && !host_zero(h, at * PAGE, count * PAGE))
                return 0;
            mark(h->frame_map, at, count, true);
            mark(h->dirty_map, at, count, true);
            return at * PAGE;
        }
        at = (at + n + align) / align * align;
    }
    return 0;
}

void host_release(struct host *h, uint64_t spa, uint64_t count)
{
    if (spa)
        mark(h->frame_map, spa / PAGE, count, false);
}
