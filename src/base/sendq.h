/* What waits to be sent on a socket that does not block. Zeroes are an empty one. */
#ifndef LUCCA_BASE_SENDQ_H
#define LUCCA_BASE_SENDQ_H

#include <stdbool.h>
#include <stddef.h>

struct sendq {
    char *bytes;
    size_t len, room;
};

/* False, and nothing done: more than `most` bytes would wait, or memory is out. */
bool sendq_put(struct sendq *q, const char *bytes, size_t len, size_t most);
/* Sends what the socket takes now. False: the peer is gone. */
bool sendq_flush(struct sendq *q, int fd);
void sendq_free(struct sendq *q);

#endif
