/* Bytes that wait for a socket: see sendq.h. */
#include "base/sendq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

bool sendq_put(struct sendq *q, const char *bytes, size_t len, size_t most)
{
    if (q->len > most || len > most - q->len)
        return false;
    if (q->len + len > q->room) {
        size_t room = MAX(q->len + len, 2 * q->room);
        char *more = realloc(q->bytes, room);

        if (!more)
            return false;
        q->bytes = more;
        q->room = room;
    }
    memcpy(q->bytes + q->len, bytes, len);
    q->len += len;
    return true;
}

bool sendq_flush(struct sendq *q, int fd)
{
    bool there = true;
    size_t sent = 0;

    while (sent < q->len) {
        ssize_t n = send(fd, q->bytes + sent, q->len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        there = n >= 0 || errno == EAGAIN;
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    q->len -= sent;
    if (sent)
        memmove(q->bytes, q->bytes + sent, q->len);
    return there;
}

void sendq_free(struct sendq *q)
{
    free(q->bytes);
    *q = (struct sendq){0};
}
