/* Ports and device memory: sorted regions, found by the last hit or by binary search. */
#include "host/device/bus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

struct region {
    uint64_t base, size;
    const struct bus_ops *ops;
    void *dev;
    const char *name;
};

struct space {
    struct region *regions; /* by base; disjoint */
    size_t count, room;
    size_t last; /* index of the last hit; any value is safe */
};

struct bus {
    struct space space[BUS_SPACES];
};

struct bus *bus_new(void)
{
    return calloc(1, sizeof(struct bus));
}

void bus_free(struct bus *b)
{
    if (!b)
        return;
    for (int i = 0; i < BUS_SPACES; i++)
        free(b->space[i].regions);
    free(b);
}

/* Index of the first region whose base is above `addr`. */
static size_t first_above(const struct space *s, uint64_t addr)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->regions[mid].base <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint64_t space_limit(enum bus_space space)
{
    return space == BUS_PORTS ? 0xFFFF : UINT64_MAX;
}

static enum status grow(struct space *s, struct error *err)
{
    size_t room = s->room ? s->room * 2 : 16;
    struct region *more;

    if (s->count < s->room)
        return OK;
    more = realloc(s->regions, room * sizeof(*more));
    if (!more)
        return fail(err, ERR_NOMEM, "no memory for a table of %zu bus regions", room);
    s->regions = more;
    s->room = room;
    return OK;
}

enum status bus_add(struct bus *b, enum bus_space space, uint64_t base, uint64_t size,
                    const struct bus_ops *ops, void *dev, const char *name, struct error *err)
{
    struct space *s = &b->space[space];
    size_t at = first_above(s, base);
    enum status st;

    if (!size || base > space_limit(space) || size - 1 > space_limit(space) - base)
        return fail(err, ERR_ARG, "%s: a region of %" PRIu64 " bytes at %#" PRIx64 " does not fit",
                    name, size, base);
    if (at > 0 && base - s->regions[at - 1].base < s->regions[at - 1].size)
        return fail(err, ERR_STATE, "%s at %#" PRIx64 " overlaps %s", name, base,
                    s->regions[at - 1].name);
    if (at < s->count && s->regions[at].base - base < size)
        return fail(err, ERR_STATE, "%s at %#" PRIx64 " overlaps %s", name, base,
                    s->regions[at].name);
    st = grow(s, err);
    if (st != OK)
        return st;
    memmove(s->regions + at + 1, s->regions + at, (s->count - at) * sizeof(*s->regions));
    s->regions[at] =
        (struct region){.base = base, .size = size, .ops = ops, .dev = dev, .name = name};
    s->count++;
    return OK;
}

void bus_remove(struct bus *b, enum bus_space space, uint64_t base, const void *dev)
{
    struct space *s = &b->space[space];
    size_t at = first_above(s, base);

    if (at == 0 || s->regions[at - 1].base != base || s->regions[at - 1].dev != dev)
        return;
    memmove(s->regions + at - 1, s->regions + at, (s->count - at) * sizeof(*s->regions));
    s->count--;
}

void bus_each(const struct bus *b, enum bus_space space, bus_seen_fn *seen, void *ctx)
{
    const struct space *s = &b->space[space];

    for (size_t i = 0; i < s->count; i++)
        seen(ctx, s->regions[i].base, s->regions[i].size, s->regions[i].name);
}

/* The region that holds all `size` bytes at `addr`, or NULL. */
static const struct region *find(struct space *s, uint64_t addr, unsigned size)
{
    const struct region *r;

    if (s->last >= s->count || addr - s->regions[s->last].base >= s->regions[s->last].size) {
        size_t at = first_above(s, addr);

        if (at == 0 || addr - s->regions[at - 1].base >= s->regions[at - 1].size)
            return NULL;
        s->last = at - 1;
    }
    r = &s->regions[s->last];
    return r->size - (addr - r->base) >= size ? r : NULL;
}

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1;
}

static void show(const char *how, enum bus_space space, const struct region *r, uint64_t addr,
                 unsigned size, uint64_t value)
{
    trace(TRACE_MMIO, "%s %s %#" PRIx64 " %u %#" PRIx64 " %s", how,
          space == BUS_PORTS ? "port" : "mem", addr, size, value, r ? r->name : "(nobody)");
}

uint64_t bus_read(struct bus *b, enum bus_space space, uint64_t addr, unsigned size)
{
    const struct region *r = find(&b->space[space], addr, size);
    uint64_t value = ones(size);

    if (r)
        value &= r->ops->read(r->dev, addr - r->base, size);
    if (tracing(TRACE_MMIO))
        show("read", space, find(&b->space[space], addr, size), addr, size, value);
    return value;
}

void bus_write(struct bus *b, enum bus_space space, uint64_t addr, unsigned size, uint64_t value)
{
    const struct region *r = find(&b->space[space], addr, size);

    value &= ones(size);
    if (tracing(TRACE_MMIO))
        show("write", space, r, addr, size, value);
    /* The callback may add or remove regions: `r` is not touched after it. */
    if (r)
        r->ops->write(r->dev, addr - r->base, size, value);
}
