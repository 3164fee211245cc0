/* Inside the board: shared by board.c and board_poll.c. */
#ifndef LUCCA_HOST_DEVICE_BOARD_IMPL_H
#define LUCCA_HOST_DEVICE_BOARD_IMPL_H

#include "host/device/board_host.h"
#include "host/device/ioapic.h"
#include "host/device/pic.h"

struct watch {
    int fd;
    short events;
    bool gone; /* removed while callbacks ran */
    watch_fn *fn;
    void *ctx;
};

struct board {
    unsigned vcpus, pa_bits;
    const struct board_hooks *hooks;
    void *ctx;
    struct bus *bus;
    struct timer *timers;       /* by deadline, then by age */
    uint32_t lines[BOARD_GSIS]; /* bit per source that holds the line up */
    struct ioapic ioapic;
    struct pic pic;
    unsigned lowest_turn; /* vCPU after which the search for the lowest priority begins */

    struct watch *watches;
    size_t watch_count, watch_room;
    struct poller *pollers;
    struct pollset *pollset;
    bool polling;

    struct board_fate fate;
    struct lapic lapic[]; /* `vcpus` of them */
};

void board_poll_free(struct board *b);

#endif
