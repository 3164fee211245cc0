/* virtio-rng: entropy for every writable buffer the driver offers (virtio 1.2, 5.4). */
#include "host/device/virtio_devices.h"

#include <stdlib.h>
#include <sys/random.h>

#include "host/device/virtio.h"

struct rng {
    entropy_fn *fn;
    void *ctx;
};

static void rng_service(struct virtio *dev, struct queue *q)
{
    struct rng *r = dev->state;
    struct chain c;

    while (queue_take(q, &c))
        queue_give(q, &c, chain_fill(&c, r->fn, r->ctx));
}

static void rng_free(struct virtio *dev)
{
    free(dev->state);
}

static const struct virtio_model rng_model = {
    .name = "virtio-rng",
    .id = 4,
    .class_rev = 0x00ff0000,
    .queues = {{.size = 64, .service = rng_service}},
    .free = rng_free,
};

static void entropy_from_system(void *ctx, void *to, size_t len)
{
    uint8_t *at = to;

    while (len) {
        ssize_t n = getrandom(at, len, 0); /* fails for a signal alone */

        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

/* SplitMix64: 64 bits of state, every seed a different stream. Repeatable, not secret. */
void entropy_from_seed(void *seed, void *to, size_t len)
{
    uint64_t *state = seed;
    uint8_t *at = to;

    for (size_t i = 0; i < len; i += 8) {
        uint64_t z = *state += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        z ^= z >> 31;
        memcpy(at + i, &z, MIN(len - i, 8));
    }
}

enum status virtio_rng_new(struct board *b, struct pci_bus *pci, entropy_fn *fn, void *ctx,
                           struct virtio **out, struct error *err)
{
    struct rng *r = calloc(1, sizeof(*r));
    struct virtio *dev;

    if (!r)
        return fail(err, ERR_NOMEM, "virtio-rng: no memory for the device");
    r->fn = fn ? fn : entropy_from_system;
    r->ctx = ctx;
    if (virtio_new(&rng_model, b, r, &dev, err) != OK) {
        free(r);
        return ERR_NOMEM;
    }
    return virtio_plug(dev, pci, out, err);
}
