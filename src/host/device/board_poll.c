/* Host file descriptors of the board's devices: one ppoll for all. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "host/device/board_impl.h"

struct pollset {
    struct pollfd *fds;
    size_t count, room;
};

static bool pollset_grow(struct pollset *set)
{
    size_t room = set->room ? set->room * 2 : 16;
    struct pollfd *more = realloc(set->fds, room * sizeof(*more));

    if (!more)
        return false;
    set->fds = more;
    set->room = room;
    return true;
}

/* Without memory for another descriptor the answer is -1, for which pollset_revents says 0. */
int pollset_add(struct pollset *set, int fd, short events)
{
    if (set->count == set->room && !pollset_grow(set))
        return -1;
    set->fds[set->count] = (struct pollfd){.fd = fd, .events = events};
    return (int)set->count++;
}

short pollset_revents(const struct pollset *set, int index)
{
    return index >= 0 && (size_t)index < set->count ? set->fds[index].revents : 0;
}

static struct watch *find_watch(struct board *b, int fd)
{
    for (size_t i = 0; i < b->watch_count; i++)
        if (b->watches[i].fd == fd && !b->watches[i].gone)
            return &b->watches[i];
    return NULL;
}

enum status board_watch(struct board *b, int fd, short events, watch_fn *fn, void *ctx,
                        struct error *err)
{
    struct watch *w = find_watch(b, fd);

    if (fd < 0)
        return fail(err, ERR_ARG, "descriptor %d cannot be watched", fd);
    if (!w && b->watch_count == b->watch_room) {
        size_t room = b->watch_room ? b->watch_room * 2 : 8;
        struct watch *more = realloc(b->watches, room * sizeof(*more));

        if (!more)
            return fail(err, ERR_NOMEM, "no memory to watch descriptor %d", fd);
        b->watches = more;
        b->watch_room = room;
    }
    if (!w)
        w = &b->watches[b->watch_count++];
    *w = (struct watch){.fd = fd, .events = events, .fn = fn, .ctx = ctx};
    return OK;
}

/* Indices must hold while board_poll walks the table, so then the entry is only marked. */
void board_unwatch(struct board *b, int fd)
{
    struct watch *w = find_watch(b, fd);

    if (!w)
        return;
    w->gone = true;
    if (!b->polling)
        *w = b->watches[--b->watch_count];
}

static void sweep_watches(struct board *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->watch_count; i++)
        if (!b->watches[i].gone)
            b->watches[kept++] = b->watches[i];
    b->watch_count = kept;
}

void board_poller(struct board *b, struct poller *p)
{
    p->next = b->pollers;
    b->pollers = p;
}

bool board_has_peers(const struct board *b)
{
    for (size_t i = 0; i < b->watch_count; i++)
        if (b->watches[i].events && !b->watches[i].gone)
            return true;
    return b->pollers != NULL;
}

static int wait_fds(struct pollset *set, uint64_t timeout_ns, uint32_t timeout_ms)
{
    struct timespec ts;

    if (timeout_ms != UINT32_MAX)
        timeout_ns = MIN(timeout_ns, timeout_ms * UINT64_C(1000000));
    ts.tv_sec = (time_t)(timeout_ns / 1000000000);
    ts.tv_nsec = (long)(timeout_ns % 1000000000);
    return ppoll(set->fds, set->count, timeout_ns == UINT64_MAX ? NULL : &ts, NULL);
}

static void run_watches(struct board *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        short revents = b->pollset->fds[i].revents;
        struct watch w = b->watches[i];

        /* An earlier callback may have dropped the entry or its interest. */
        if (revents && w.events && !w.gone)
            w.fn(w.ctx, revents);
    }
}

int board_poll(struct board *b, uint64_t timeout_ns)
{
    uint32_t timeout_ms = UINT32_MAX;
    size_t count = b->watch_count;
    int ready;

    if (!b->pollset && !(b->pollset = calloc(1, sizeof(*b->pollset))))
        return 0;
    b->pollset->count = 0;
    /* Entry i of the set is watch i; one that waits for nothing is a hole (-1) in the set. */
    for (size_t i = 0; i < count; i++)
        if (pollset_add(b->pollset, b->watches[i].events ? b->watches[i].fd : -1,
                        b->watches[i].events) < 0)
            return 0;
    for (struct poller *p = b->pollers; p; p = p->next)
        p->before(p->ctx, b->pollset, &timeout_ms);
    ready = wait_fds(b->pollset, timeout_ns, timeout_ms);
    for (size_t i = 0; ready <= 0 && i < b->pollset->count; i++)
        b->pollset->fds[i].revents = 0;
    b->polling = true;
    if (ready > 0)
        run_watches(b, count);
    for (struct poller *p = b->pollers; p; p = p->next)
        p->after(p->ctx, b->pollset);
    b->polling = false;
    sweep_watches(b);
    return MAX(ready, 0);
}

void board_poll_free(struct board *b)
{
    if (b->pollset)
        free(b->pollset->fds);
    free(b->pollset);
    free(b->watches);
}
