/* QMP's socket: one client at a time, who may send and read at any pace without holding up a guest.
 * What waits to be sent is bounded: while it is much, no more commands are read; a client who lets
 * events pile up beyond all measure is dropped. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/listen.h"
#include "base/log.h"
#include "base/sendq.h"
#include "host/monitor/internal.h"

#define READ_BYTES   4096u
#define QUEUE_FULL   (256u << 10) /* no more commands until it is shorter */
#define QUEUE_MAX    (16u << 20)  /* the client is gone, or might as well be */
#define GOODBYE_MS   250
#define GOODBYE_STEP 50

struct qmp_server {
    struct monitor *m;
    struct board *board;
    struct listener listener;
    int client; /* -1: none */
    struct qmp_session session;
    struct sendq queue;
    char unread[READ_BYTES]; /* what a waiting session has not looked at */
    size_t unread_len;
    bool dropped; /* to be closed when nobody is in the middle of it */
};

static void attend(struct qmp_server *s);

/* ---- the client -------------------------------------------------------------------------------
 */

static void on_connect(void *ctx, short revents);

static void watch_listener(struct qmp_server *s, bool on)
{
    struct error err;

    if (board_watch(s->board, s->listener.fd, on ? POLLIN : 0, on_connect, s, &err) != OK)
        warn("QMP: %s", err.text);
}

static void close_client(struct qmp_server *s)
{
    if (s->client < 0)
        return;
    board_unwatch(s->board, s->client);
    close(s->client);
    s->client = -1;
    s->queue.len = s->unread_len = 0;
    s->dropped = false;
    qmp_session_end(&s->session);
    watch_listener(s, true);
}

/* What the socket takes now. */
static void flush(struct qmp_server *s)
{
    if (!sendq_flush(&s->queue, s->client))
        s->dropped = true;
}

static void emit(void *ctx, const char *text, size_t len)
{
    struct qmp_server *s = ctx;

    if (s->client >= 0 && !s->dropped && !sendq_put(&s->queue, text, len, QUEUE_MAX))
        s->dropped = true;
}

static bool wants_input(const struct qmp_server *s)
{
    return !s->session.waiting && s->queue.len < QUEUE_FULL;
}

/* Bytes that were kept while the session waited come first. */
static void feed_unread(struct qmp_server *s)
{
    while (s->unread_len && wants_input(s) && !s->dropped) {
        size_t n = qmp_feed(&s->session, s->unread, s->unread_len);

        s->unread_len -= n;
        memmove(s->unread, s->unread + n, s->unread_len);
    }
}

static void read_client(struct qmp_server *s)
{
    ssize_t n = recv(s->client, s->unread, sizeof(s->unread), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        s->dropped = true;
        return;
    }
    s->unread_len = (size_t)n;
    feed_unread(s);
}

static void on_client(void *ctx, short revents)
{
    struct qmp_server *s = ctx;

    if (revents & POLLIN && !s->unread_len && wants_input(s))
        read_client(s);
    else if (revents & (POLLERR | POLLHUP) && !(revents & POLLIN))
        s->dropped = true;
    attend(s);
}

/* A client that goes away while nothing is wanted of it is noticed when something is. */
static void watch_client(struct qmp_server *s)
{
    short events =
        (short)((wants_input(s) && !s->unread_len ? POLLIN : 0) | (s->queue.len ? POLLOUT : 0));
    struct error err;

    if (board_watch(s->board, s->client, events, on_client, s, &err) != OK) {
        warn("QMP: %s", err.text);
        s->dropped = true;
    }
}

/* After anything: send, go on with what was put off, close or watch. */
static void attend(struct qmp_server *s)
{
    if (s->client < 0)
        return;
    flush(s);
    feed_unread(s);
    flush(s);
    if (!s->dropped)
        watch_client(s);
    if (s->dropped)
        close_client(s);
}

static void on_connect(void *ctx, short revents)
{
    struct qmp_server *s = ctx;
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    s->client = fd;
    watch_listener(s, false);
    qmp_session_start(&s->session);
    attend(s);
}

void server_event(struct qmp_server *s, const char *name, const json_t *data)
{
    if (s->client < 0)
        return;
    qmp_event(&s->session, name, data);
    flush(s);
    watch_client(s); /* and no more: this may be in the middle of a command */
}

void server_answer(struct qmp_server *s, enum status status, const struct error *err)
{
    qmp_answer(&s->session, status, err);
    attend(s);
}

/* ---- life ------------------------------------------------------------------------------------
 */

enum status server_new(struct monitor *m, const char *where, struct qmp_server **out,
                       struct error *err)
{
    struct qmp_server *s = calloc(1, sizeof(*s));

    if (!s)
        return fail(err, ERR_NOMEM, "no memory for a QMP server");
    s->m = m;
    s->board = vm_board(m->vm);
    s->listener.fd = s->client = -1;
    s->session = (struct qmp_session){.m = m, .emit = emit, .ctx = s};
    if (listener_open("--qmp", where, &s->listener, err) != OK ||
        board_watch(s->board, s->listener.fd, POLLIN, on_connect, s, err) != OK) {
        server_free(s);
        return err->code;
    }
    *out = s;
    return OK;
}

static void say_goodbye(struct qmp_server *s)
{
    for (int left = GOODBYE_MS; s->client >= 0 && s->queue.len && !s->dropped && left > 0;
         left -= GOODBYE_STEP) {
        struct pollfd p = {.fd = s->client, .events = POLLOUT};

        poll(&p, 1, GOODBYE_STEP);
        flush(s);
    }
}

void server_free(struct qmp_server *s)
{
    if (!s)
        return;
    say_goodbye(s);
    close_client(s);
    if (s->listener.fd >= 0)
        board_unwatch(s->board, s->listener.fd);
    listener_close(&s->listener);
    sendq_free(&s->queue);
    free(s);
}
