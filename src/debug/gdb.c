/* The gdb server: its socket, and when the guest runs. */
#include "debug/gdb.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "debug/internal.h"

#define SIGNAL_INT  2
#define SIGNAL_TRAP 5
#define QUEUE_MAX   (1u << 20) /* a client that does not read is gone */

static struct soc *soc_of(struct gdb *g)
{
    return host_soc(vm_host(g->vm));
}

/* ---- out ---- */
static void flush(struct gdb *g)
{
    if (!sendq_flush(&g->queue, g->client))
        g->gone = true;
}

static void put(struct gdb *g, const char *bytes, size_t n)
{
    if (!sendq_put(&g->queue, bytes, n, QUEUE_MAX))
        g->gone = true;
}

void gdb_send(struct gdb *g, const char *data, size_t len)
{
    g->last_len = packet_frame(data, len, g->last);
    put(g, g->last, g->last_len);
}

/* ---- stops ---- */
static const char *kind_of(const struct probe_point *p)
{
    static const char *const names[] = {"hwbreak", "watch", "awatch"};

    return names[p->kind];
}

void gdb_tell_stop(struct gdb *g, unsigned n, unsigned sig, const struct probe_point *p)
{
    struct reply r = {0};

    g->running = false;
    g->thread = n;
    reply_format(&r, "T%02xthread:%x;", sig, n + 1);
    if (p && p->kind == PROBE_CODE)
        reply_format(&r, "%s:;", kind_of(p));
    else if (p)
        reply_format(&r, "%s:%llx;", kind_of(p), (unsigned long long)p->la);
    gdb_send(g, r.data, r.len);
}

/* Asked after each run of a vCPU. */
static bool stops(void *ctx, struct vcpu *v)
{
    struct gdb *g = ctx;
    struct probe_point p;

    if (!probe_hit(soc_of(g), vcpu_core(v), &p) || !g->running)
        return false;
    gdb_tell_stop(g, vcpu_index(v), SIGNAL_TRAP, &p);
    flush(g);
    return true;
}

static void on_event(void *ctx, struct vm *vm, enum vm_event event)
{
    struct gdb *g = ctx;

    if (g->client < 0 || !g->running)
        return;
    if (event == VM_EVENT_STOP) /* by another monitor, or by us on ^C */
        gdb_tell_stop(g, g->thread, SIGNAL_INT, NULL);
    if (event == VM_EVENT_END)
        gdb_send(g, "W00", 3);
    flush(g);
}

void gdb_drop_points(struct gdb *g)
{
    for (unsigned i = 0; i < g->point_count; i++)
        (void)probe_clear(soc_of(g), &g->points[i]);
    g->point_count = 0;
}

/* ---- the client ---- */
static void on_connect(void *ctx, short revents);
static void on_client(void *ctx, short revents);

static void watch(struct gdb *g, int fd, short events, watch_fn *fn)
{
    struct error err;

    if (board_watch(g->board, fd, events, fn, g, &err) != OK) {
        warn("--gdb: %s", err.text);
        g->gone = true;
    }
}

static void let_go(struct gdb *g)
{
    struct error err;

    gdb_drop_points(g);
    if (vm_state(g->vm) == VM_PAUSED && vm_resume(g->vm, &err) != OK)
        warn("--gdb: %s", err.text);
}

static void close_client(struct gdb *g)
{
    if (g->client < 0)
        return;
    board_unwatch(g->board, g->client);
    close(g->client);
    g->client = -1;
    g->queue.len = 0;
    g->gone = g->no_ack = g->running = false;
    g->in = (struct packet_reader){0};
    let_go(g);
    watch(g, g->listener.fd, POLLIN, on_connect);
}

static void take(struct gdb *g, uint8_t byte)
{
    switch (packet_take(&g->in, byte)) {
    case PACKET_READY:
        if (!g->no_ack)
            put(g, "+", 1);
        gdb_command(g, g->in.data, g->in.len);
        break;
    case PACKET_BAD:
        if (!g->no_ack)
            put(g, "-", 1);
        break;
    case PACKET_BREAK:
        vm_pause(g->vm); /* on_event tells */
        break;
    case PACKET_NAK:
        put(g, g->last, g->last_len);
        break;
    default:
        break;
    }
}

static void attend(struct gdb *g)
{
    flush(g);
    if (!g->gone)
        watch(g, g->client, (short)(POLLIN | (g->queue.len ? POLLOUT : 0)), on_client);
    if (g->gone)
        close_client(g);
}

static void on_client(void *ctx, short revents)
{
    struct gdb *g = ctx;
    uint8_t bytes[4096];
    ssize_t n;

    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        n = recv(g->client, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            g->gone = true;
        for (ssize_t i = 0; i < n && !g->gone; i++)
            take(g, bytes[i]);
    }
    attend(g);
}

static void on_connect(void *ctx, short revents)
{
    struct gdb *g = ctx;
    int fd = accept4(g->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    g->client = fd;
    g->thread = 0;
    g->view = VIEW_GUEST;
    watch(g, g->listener.fd, 0, on_connect);
    vm_pause(g->vm);
    attend(g);
}

/* ---- life ---- */
enum status gdb_new(struct vm *vm, const char *where, struct gdb **out, struct error *err)
{
    struct gdb *g = calloc(1, sizeof(*g));

    if (!g)
        return fail(err, ERR_NOMEM, "no memory for a gdb server");
    g->vm = vm;
    g->board = vm_board(vm);
    g->client = -1;
    g->hook = (struct vm_debugger){.stops = stops, .ctx = g};
    g->events = (struct vm_listener){.fn = on_event, .ctx = g};
    vm_listen(vm, &g->events);
    vm_debug(vm, &g->hook);
    if (listener_open("--gdb", where, &g->listener, err) != OK ||
        board_watch(g->board, g->listener.fd, POLLIN, on_connect, g, err) != OK) {
        gdb_free(g);
        return err->code;
    }
    *out = g;
    return OK;
}

void gdb_free(struct gdb *g)
{
    if (!g)
        return;
    vm_debug(g->vm, NULL);
    vm_unlisten(g->vm, &g->events);
    gdb_drop_points(g);
    if (g->client >= 0) {
        flush(g);
        board_unwatch(g->board, g->client);
        close(g->client);
    }
    if (g->listener.fd >= 0)
        board_unwatch(g->board, g->listener.fd);
    listener_close(&g->listener);
    sendq_free(&g->queue);
    free(g);
}
