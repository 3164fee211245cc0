/* Ports and device memory: who answers where. One bus per VM, built before it starts. */
#ifndef LUCCA_HOST_DEVICE_BUS_H
#define LUCCA_HOST_DEVICE_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* `off` is relative to the region; `size` is 1, 2, 4 or 8 bytes and never crosses its end. Values
 * are zero-extended. A device that has nothing at `off` reads as all ones and drops writes. */
struct bus_ops {
    uint64_t (*read)(void *dev, uint64_t off, unsigned size);
    void (*write)(void *dev, uint64_t off, unsigned size, uint64_t value);
};

enum bus_space { BUS_PORTS, BUS_MEMORY, BUS_SPACES };

struct bus;
struct bus *bus_new(void);
void bus_free(struct bus *b);

/* `ops`, `dev` and `name` are borrowed. Regions may not overlap (ERR_STATE). */
enum status bus_add(struct bus *b, enum bus_space space, uint64_t base, uint64_t size,
                    const struct bus_ops *ops, void *dev, const char *name,
                    struct error *err) MUST_USE;
/* For BARs that the guest moves. No effect when nothing of `dev` starts there. */
void bus_remove(struct bus *b, enum bus_space space, uint64_t base, const void *dev);
/* Every region of a space, ascending. */
typedef void bus_seen_fn(void *ctx, uint64_t base, uint64_t size, const char *name);
void bus_each(const struct bus *b, enum bus_space space, bus_seen_fn *seen, void *ctx);

/* An access nobody answers reads all ones; an access across a region's end likewise. */
uint64_t bus_read(struct bus *b, enum bus_space space, uint64_t addr, unsigned size);
void bus_write(struct bus *b, enum bus_space space, uint64_t addr, unsigned size, uint64_t value);

#endif
