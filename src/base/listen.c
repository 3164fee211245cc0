/* Sockets that wait for clients: see listen.h. */
#include "base/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 8

/* ---- paths ---- */
/* Does anybody listen there? */
static bool is_live(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool live;

    if (fd < 0)
        return true;
    live = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno != ECONNREFUSED;
    close(fd);
    return live;
}

/* Something is at the path already. */
static enum status clear_path(const char *option, const struct sockaddr_un *addr, struct error *err)
{
    const char *path = addr->sun_path;
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? OK
                               : fail(err, ERR_IO, "%s unix:%s: %s", option, path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return fail(err, ERR_ARG,
                    "%s unix:%s: a file that is not a socket is there; use another path", option,
                    path);
    if (is_live(addr))
        return fail(err, ERR_STATE,
                    "%s unix:%s: the socket is in use by another process; use another path", option,
                    path);
    if (unlink(path) < 0 && errno != ENOENT)
        return fail(err, ERR_IO, "%s unix:%s: a stale socket cannot be removed: %s", option, path,
                    strerror(errno));
    return OK;
}

static enum status listen_path(const char *option, const char *path, struct listener *l,
                               struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path))
        return fail(err, ERR_ARG,
                    "%s unix:%.40s...: a socket's path has at most %zu bytes, this one has %zu",
                    option, path, sizeof(addr.sun_path) - 1, strlen(path));
    memcpy(addr.sun_path, path, strlen(path));
    if (clear_path(option, &addr, err) != OK)
        return err->code;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || bind(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return fail(err, ERR_IO, "%s unix:%s: %s", option, path, strerror(errno));
    memcpy(l->path, addr.sun_path, sizeof(l->path));
    if (listen(l->fd, BACKLOG) < 0)
        return fail(err, ERR_IO, "%s unix:%s: %s", option, path, strerror(errno));
    return OK;
}

/* ---- ports ---- */
static enum status listen_port(const char *option, const char *where, struct listener *l,
                               struct error *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(where, ':'), *port = colon ? colon + 1 : where;
    char host[64] = "127.0.0.1";
    struct addrinfo *found;
    int on = 1, why;

    if (colon && (size_t)(colon - where) >= sizeof(host))
        return fail(err, ERR_ARG, "%s tcp:%s: no such address", option, where);
    if (colon) {
        memcpy(host, where, (size_t)(colon - where));
        host[colon - where] = 0;
    }
    if (!*port || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 ||
        atoi(port) > UINT16_MAX)
        return fail(err, ERR_ARG,
                    "%s tcp:%s: a port is 0 to 65535; write tcp:PORT or "
                    "tcp:ADDRESS:PORT",
                    option, where);
    why = getaddrinfo(host, port, &hints, &found);
    if (why)
        return fail(err, ERR_ARG, "%s tcp:%s: %s; write tcp:PORT or tcp:ADDRESS:PORT", option,
                    where, gai_strerror(why));
    l->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(l->fd, found->ai_addr, found->ai_addrlen) < 0 || listen(l->fd, BACKLOG) < 0)
        (void)fail(err, ERR_IO, "%s tcp:%s: %s", option, where, strerror(errno));
    else
        err->code = OK;
    freeaddrinfo(found);
    return err->code;
}

enum status listener_open(const char *option, const char *where, struct listener *out,
                          struct error *err)
{
    struct error own;
    enum status s;

    err = err ? err : &own;
    *out = (struct listener){.fd = -1};
    if (!strncmp(where, "unix:", 5) && where[5])
        s = listen_path(option, where + 5, out, err);
    else if (!strncmp(where, "tcp:", 4))
        s = listen_port(option, where + 4, out, err);
    else
        s = fail(err, ERR_ARG, "%s %s: write unix:PATH or tcp:PORT", option, where);
    if (s != OK)
        listener_close(out);
    return s;
}

void listener_close(struct listener *l)
{
    if (l->fd >= 0)
        close(l->fd);
    if (l->path[0])
        unlink(l->path);
    *l = (struct listener){.fd = -1};
}
