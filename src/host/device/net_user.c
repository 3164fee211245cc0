/* User networking over libslirp: 10.0.2.0/24, with the host at .2, DNS at .3, DHCP from .15. */
#include "host/device/net_user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

#define NS_PER_MS 1000000

struct net_user {
    struct board *board;
    Slirp *slirp;
    net_deliver_fn *deliver;
    void *ctx;
    struct poller poller;
    struct pollset *set; /* during a poll */
};

/* ---- what libslirp asks of us ---- */

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
    struct net_user *n = opaque;

    n->deliver(n->ctx, frame, len);
    return (ssize_t)len;
}

static void guest_error(const char *msg, void *opaque)
{
    if (tracing(TRACE_VIRTIO))
        trace(TRACE_VIRTIO, "net: %s", msg);
}

static int64_t clock_ns(void *opaque)
{
    struct net_user *n = opaque;

    return (int64_t)board_now(n->board);
}

struct slirp_timer {
    struct timer timer;
    struct net_user *net;
    SlirpTimerId id;
    void *cb_opaque;
};

static void timer_fired(void *ctx)
{
    struct slirp_timer *t = ctx;

    slirp_handle_timer(t->net->slirp, t->id, t->cb_opaque);
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct slirp_timer *t = calloc(1, sizeof(*t));
    struct net_user *n = opaque;

    if (!t)
        return NULL;
    t->net = n;
    t->id = id;
    t->cb_opaque = cb_opaque;
    timer_init(&t->timer, n->board, timer_fired, t);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct slirp_timer *t = timer;

    if (t)
        timer_cancel(&t->timer);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct slirp_timer *t = timer;

    if (t)
        timer_arm(&t->timer, (uint64_t)MAX(expire_ms, 0) * NS_PER_MS);
}

/* Descriptors come up anew in each poll, on the one thread there is: nothing to note or to wake. */
static void poll_fd(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = poll_fd,
    .unregister_poll_fd = poll_fd,
    .notify = notify,
    .timer_new_opaque = timer_new_opaque,
};

/* ---- polling ---- */

static const struct {
    int slirp;
    short poll;
} events[] = {
    {SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
    {SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int add_poll(int fd, int wanted, void *opaque)
{
    struct net_user *n = opaque;
    short bits = 0;

    for (size_t i = 0; i < COUNT(events); i++)
        if (wanted & events[i].slirp)
            bits |= events[i].poll;
    return pollset_add(n->set, fd, bits);
}

static int get_revents(int index, void *opaque)
{
    struct net_user *n = opaque;
    short bits = pollset_revents(n->set, index);
    int seen = 0;

    for (size_t i = 0; i < COUNT(events); i++)
        if (bits & events[i].poll)
            seen |= events[i].slirp;
    return seen;
}

static void before_poll(void *ctx, struct pollset *set, uint32_t *timeout_ms)
{
    struct net_user *n = ctx;

    n->set = set;
    slirp_pollfds_fill(n->slirp, timeout_ms, add_poll, n);
}

static void after_poll(void *ctx, struct pollset *set)
{
    struct net_user *n = ctx;

    n->set = set;
    slirp_pollfds_poll(n->slirp, 0, get_revents, n);
}

/* ---- life ---- */

static struct in_addr ipv4(uint32_t host_order)
{
    return (struct in_addr){htonl(host_order)};
}

static enum status forward(struct net_user *n, const struct net_forward *f, struct error *err)
{
    struct in_addr host = ipv4(f->host);
    char text[INET_ADDRSTRLEN];

    if (slirp_add_hostfwd(n->slirp, f->udp, host, f->host_port, ipv4(f->guest), f->guest_port) == 0)
        return OK;
    inet_ntop(AF_INET, &host, text, sizeof(text));
    return fail(err, ERR_IO, "--net: hostfwd cannot listen on %s port %s:%u: %s",
                f->udp ? "UDP" : "TCP", text, f->host_port, strerror(errno));
}

enum status net_user_new(struct board *b, const struct net_config *config, net_deliver_fn *deliver,
                         void *ctx, struct net_user **out, struct error *err)
{
    const SlirpConfig cfg = {
        .version = 4,
        .in_enabled = true,
        .vnetwork = ipv4(0x0a000200),
        .vnetmask = ipv4(0xffffff00),
        .vhost = ipv4(0x0a000202),
        .vnameserver = ipv4(0x0a000203),
        .vdhcp_start = ipv4(0x0a00020f),
    };
    struct net_user *n = calloc(1, sizeof(*n));
    enum status s = OK;

    if (!n)
        return fail(err, ERR_NOMEM, "--net: no memory for a network");
    n->board = b;
    n->deliver = deliver;
    n->ctx = ctx;
    n->slirp = slirp_new(&cfg, &callbacks, n);
    if (!n->slirp)
        s = fail(err, ERR_NOMEM, "--net: libslirp did not start");
    for (unsigned i = 0; i < config->forwards && s == OK; i++)
        s = forward(n, &config->forward[i], err);
    if (s != OK) {
        net_user_free(n);
        return s;
    }
    *out = n;
    return OK;
}

void net_user_start(struct net_user *n)
{
    n->poller = (struct poller){.before = before_poll, .after = after_poll, .ctx = n};
    board_poller(n->board, &n->poller);
}

void net_user_free(struct net_user *n)
{
    if (!n)
        return;
    if (n->slirp)
        slirp_cleanup(n->slirp);
    free(n);
}

void net_user_send(struct net_user *n, const uint8_t *frame, size_t len)
{
    slirp_input(n->slirp, frame, (int)len);
}
