/* A socket that waits for clients: on a path or on a port of this machine. */
#ifndef LUCCA_BASE_LISTEN_H
#define LUCCA_BASE_LISTEN_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/status.h"

struct listener {
    int fd;                                                 /* -1: none */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": it is a port's */
};

/* `where`: "unix:PATH", "tcp:PORT" (of the loopback interface) or "tcp:ADDRESS:PORT". A path that
 * somebody listens on is an error; a socket that nobody listens on any more is replaced. Not
 * blocking. `option`: what to call it in errors. */
enum status listener_open(const char *option, const char *where, struct listener *out,
                          struct error *err) MUST_USE;
/* Closes, and removes the path. */
void listener_close(struct listener *l);

#endif
