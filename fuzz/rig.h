/* What the targets share: guest memory for a board, and the entry that the fuzzer and replay.c
 * call. */
#ifndef LUCCA_FUZZ_RIG_H
#define LUCCA_FUZZ_RIG_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/board_host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A law that does not hold ends the run, as a sanitizer does. */
#define MUST(law)                                                                                  \
    do {                                                                                           \
        if (!(law)) {                                                                              \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #law);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define RIG_RAM 65536u

struct rig {
    uint8_t ram[RIG_RAM];
    uint64_t now;
};

static inline bool rig_in_ram(uint64_t gpa, size_t len)
{
    return gpa <= RIG_RAM && len <= RIG_RAM - gpa;
}

static inline bool rig_dma_read(void *ctx, uint64_t gpa, void *to, size_t len)
{
    struct rig *r = ctx;

    if (!rig_in_ram(gpa, len))
        return false;
    memcpy(to, r->ram + gpa, len);
    return true;
}

static inline bool rig_dma_write(void *ctx, uint64_t gpa, const void *from, size_t len)
{
    struct rig *r = ctx;

    if (!rig_in_ram(gpa, len))
        return false;
    memcpy(r->ram + gpa, from, len);
    return true;
}

static inline uint64_t rig_now(void *ctx)
{
    const struct rig *r = ctx;

    return r->now;
}

static inline void rig_kick(void *ctx, unsigned vcpu)
{
}

static inline struct board *rig_board(struct rig *r, unsigned vcpus)
{
    static const struct board_hooks hooks = {rig_dma_read, rig_dma_write, rig_now, rig_kick};
    const struct board_config cfg = {.vcpus = vcpus, .pa_bits = 48, .hooks = &hooks, .ctx = r};
    struct board *b;

    MUST(board_new(&cfg, &b, NULL) == OK);
    return b;
}

#endif
