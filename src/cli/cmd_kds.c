/* lucca kds: AMD's key service for the emulated chips on this disk, over HTTP. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/kds.h"

#define LISTEN      "127.0.0.1:8484"
#define CONNECTIONS 32u
#define TIMEOUT     10u /* seconds */
#define MEMORY      16384u

/* ---- one request ----------------------------------------------------------------------------- */

static enum MHD_Result take_argument(void *ctx, enum MHD_ValueKind kind, const char *key,
                                     const char *value)
{
    struct kds_request *q = ctx;

    if (q->arguments < KDS_QUERY_MAX)
        q->query[q->arguments] = (struct kds_argument){key, value ? value : ""};
    q->arguments++;
    return MHD_YES;
}

static enum MHD_Result send_reply(struct MHD_Connection *c, struct kds_reply *reply)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->len, reply->body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result done = MHD_NO;

    if (response && MHD_add_response_header(response, "Content-Type", reply->type) == MHD_YES &&
        MHD_add_response_header(response, "X-Lucca", "EMULATED") == MHD_YES)
        done = MHD_queue_response(c, reply->status, response);
    if (response)
        MHD_destroy_response(response);
    return done;
}

/* Called in the daemon's one thread: first with the head of a request, then with what follows. */
static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **state)
{
    static const char wrong_method[] = "only GET and HEAD are answered\n";
    static int begun;
    static struct kds_reply reply;
    struct kds_request q = {.path = url};

    if (!*state) {
        *state = &begun;
        return MHD_YES;
    }
    if (*data_len) { /* a body: read past it */
        *data_len = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        reply.type = "text/plain";
        reply.len = sizeof(wrong_method) - 1;
        memcpy(reply.body, wrong_method, reply.len);
    } else {
        (void)MHD_get_connection_values(c, MHD_GET_ARGUMENT_KIND, take_argument, &q);
        kds_answer(ctx, &q, &reply);
    }
    return send_reply(c, &reply);
}

/* ---- where ----------------------------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n > 0xFFFF)
        return false;
    *port = htons((uint16_t)n);
    return true;
}

/* 127.0.0.1:8484 or [::1]:8484; port 0: any. */
static bool parse_listen(const char *text, union address *to)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    size_t len = colon ? (size_t)(colon - text) : 0;

    memset(to, 0, sizeof(*to));
    if (!len || len >= sizeof(host))
        return false;
    memcpy(host, text, len);
    host[len] = 0;
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = 0;
        to->v6.sin6_family = AF_INET6;
        return inet_pton(AF_INET6, host + 1, &to->v6.sin6_addr) == 1 &&
               parse_port(colon + 1, &to->v6.sin6_port);
    }
    to->v4.sin_family = AF_INET;
    return inet_pton(AF_INET, host, &to->v4.sin_addr) == 1 &&
           parse_port(colon + 1, &to->v4.sin_port);
}

static bool is_loopback(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr)
                                        : ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

/* ---- serving --------------------------------------------------------------------------------- */

static void announce(struct MHD_Daemon *d, const char *text)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT);
    int host = (int)(strrchr(text, ':') - text);

    printf("listening on http://%.*s:%u\nEMULATED: these keys chain to a root that is not AMD's\n",
           host, text, info ? info->port : 0);
    fflush(stdout);
}

static int serve(struct kds *k, const char *where)
{
    union address at;
    struct MHD_Daemon *d;
    sigset_t stop;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD;
    int sig;

    if (!parse_listen(where, &at)) {
        fprintf(stderr,
                "lucca: --listen '%.80s' is not ADDRESS:PORT, such as 127.0.0.1:8484 or "
                "[::1]:8484\n",
                where);
        return EXIT_ERROR;
    }
    if (!is_loopback(&at))
        fprintf(stderr, "lucca: %s is open to other machines; whoever asks is answered\n", where);
    if (at.any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL); /* before the thread is there: it inherits this */
    d = MHD_start_daemon(flags, 0, NULL, NULL, answer, k, MHD_OPTION_SOCK_ADDR, &at.any,
                         MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                         TIMEOUT, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY,
                         MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    if (!d) {
        perror("lucca: cannot listen");
        return EXIT_ERROR;
    }
    announce(d, where);
    sigwait(&stop, &sig);
    MHD_stop_daemon(d);
    return EXIT_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void help(void)
{
    printf("usage: lucca kds serve [--listen ADDRESS:PORT] [--vlek NAME]\n\n"
           "Answers as AMD's key service does, for the emulated chips on this disk:\n"
           "  /vcek/v1/PRODUCT/CHIPID?blSPL=..&..  a VCEK, for a chip and a TCB\n"
           "  /vcek/v1/PRODUCT/cert_chain          ASK and ARK\n"
           "  /vcek/v1/PRODUCT/crl                 what is revoked\n"
           "  /vlek/v1/PRODUCT/..                  the same for VLEKs; cert?blSPL=..&.. is one\n\n"
           "  --listen ADDRESS:PORT  where; " LISTEN " unless said; port 0: any\n"
           "  --vlek NAME            give out VLEKs of this cloud provider\n"
           "  --help                 this text\n\n"
           "EMULATED: these keys chain to a root that is not AMD's.\n");
}

int cmd_kds(int argc, char **argv)
{
    static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
                                          {"vlek", required_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    const char *where = LISTEN;
    struct kds k = {0};
    int c, status;

    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (c == 'h') {
            help();
            return EXIT_OK;
        }
        if (c == '?' || c == ':') {
            fprintf(stderr, "lucca: %s %s; see 'lucca kds --help'\n", argv[optind - 1],
                    c == '?' ? "is no option of 'lucca kds'" : "needs a value");
            return EXIT_ERROR;
        }
        if (c == 'l')
            where = optarg;
        else
            k.csp = optarg;
    }
    if (argc - optind != 1 || strcmp(argv[optind], "serve") != 0) {
        fprintf(stderr, "lucca: 'lucca kds' needs 'serve'; see 'lucca kds --help'\n");
        return EXIT_ERROR;
    }
    status = serve(&k, where);
    kds_free(&k);
    return status;
}
