/* lucca monitor: a client for people of the socket that `lucca run --qmp` (or another QMP server)
 * listens on. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/status.h"
#include "cli/cli.h"

#define PROMPT "(lucca) "

struct client {
    FILE *in;
    int fd;
    bool apart;  /* the server says apart from the text whether a command was refused */
    bool events; /* to be shown */
};

static int failed(const struct error *err)
{
    fprintf(stderr, "lucca: %s\n", err->text);
    return EXIT_ERROR;
}

/* ---- messages ----------------------------------------------------------------------------------
 */

/* The next message; NULL: the connection is over, or it is no JSON. */
static json_t *receive(struct client *c)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, c->in);
    json_t *j = n > 0 ? json_loadb(line, (size_t)n, 0, NULL) : NULL;

    free(line);
    return j;
}

static bool transmit(const struct client *c, json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0, sent = 0;

    json_decref(message);
    if (!text)
        return false;
    text[len++] = '\n'; /* in the NUL's place */
    while (sent < len) {
        ssize_t n = send(c->fd, text + sent, len - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    free(text);
    return sent == len;
}

static void show_event(const struct client *c, const json_t *message)
{
    json_t *data = json_object_get(message, "data");
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;

    if (c->events)
        printf("[%s%s%s]\n", json_string_value(json_object_get(message, "event")), text ? " " : "",
               text ? text : "");
    free(text);
}

/* The answer to a command: "return" or "error". NULL: the connection is over. */
static json_t *ask(struct client *c, const char *command, json_t *arguments)
{
    json_t *message = json_pack("{s:s}", "execute", command), *answer;

    if (message && arguments)
        json_object_set_new(message, "arguments", arguments);
    if (!transmit(c, message))
        return NULL;
    while ((answer = receive(c)) && json_object_get(answer, "event")) {
        show_event(c, answer);
        json_decref(answer);
    }
    return answer;
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static bool server_knows(struct client *c, const char *command)
{
    json_t *answer = ask(c, "query-commands", NULL), *entry;
    bool found = false;
    size_t i;

    json_array_foreach(json_object_get(answer, "return"), i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));

        found |= name && !strcmp(name, command);
    }
    json_decref(answer);
    return found;
}

static enum status greet(struct client *c, const char *path, struct error *err)
{
    json_t *hello = receive(c), *answer = NULL;
    enum status s = OK;

    if (!json_object_get(hello, "QMP"))
        s = fail(err, ERR_FORMAT, "%s: what listens there is no QMP server", path);
    else if (!(answer = ask(c, "qmp_capabilities", NULL)) || !json_object_get(answer, "return"))
        s = fail(err, ERR_FORMAT, "%s: the server refuses the conversation", path);
    json_decref(hello);
    json_decref(answer);
    if (s == OK)
        c->apart = server_knows(c, "x-human-command");
    return s;
}

/* Another client may hold the server: it takes one at a time. */
static void say_if_busy(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, 1000) == 0)
        fprintf(stderr, "lucca: the server is busy with another client; waiting\n");
}

static enum status open_client(struct client *c, const char *path, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(addr.sun_path))
        return fail(err, ERR_ARG, "%.40s...: a socket's path has at most %zu bytes", path,
                    sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return fail(err, ERR_IO, "%s: %s", path,
                    errno == ECONNREFUSED ? "nobody listens there any more" : strerror(errno));
    c->in = fdopen(c->fd, "r");
    if (!c->in)
        return fail(err, ERR_NOMEM, "%s: %s", path, strerror(errno));
    setvbuf(c->in, NULL, _IONBF, 0); /* so that poll() sees what getline() has not taken */
    say_if_busy(c->fd);
    return greet(c, path, err);
}

static void close_client(struct client *c)
{
    if (c->in)
        fclose(c->in);
    else if (c->fd >= 0)
        close(c->fd);
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static void print_lines(FILE *to, const char *text)
{
    for (; text && *text; text++)
        if (*text != '\r')
            fputc(*text, to);
}

enum outcome { DONE, REFUSED, OVER };

static enum outcome run_line(struct client *c, const char *line)
{
    json_t *args = json_pack("{s:s}", "command-line", line), *answer, *result;
    enum outcome outcome = DONE;
    const char *text;

    if (!args) {
        fprintf(stderr, "lucca: the command is not UTF-8\n");
        return REFUSED;
    }
    answer = ask(c, c->apart ? "x-human-command" : "human-monitor-command", args);
    if (!answer)
        return OVER;
    result = json_object_get(answer, "return");
    text = json_string_value(json_is_object(result) ? json_object_get(result, "output") : result);
    if (!result)
        outcome = REFUSED;
    else if (c->apart && !json_is_true(json_object_get(result, "ok")))
        outcome = REFUSED;
    if (!result)
        text = json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));
    print_lines(outcome == REFUSED ? stderr : stdout, text);
    if (!result)
        fputc('\n', stderr);
    json_decref(answer);
    return outcome;
}

static int run_one(struct client *c, int argc, char **argv)
{
    size_t room = 1;
    char *line;
    enum outcome outcome;

    for (int i = 0; i < argc; i++)
        room += strlen(argv[i]) + 1;
    line = calloc(1, room);
    if (!line) {
        fprintf(stderr, "lucca: no memory\n");
        return EXIT_ERROR;
    }
    for (int i = 0; i < argc; i++)
        snprintf(line + strlen(line), room - strlen(line), "%s%s", i ? " " : "", argv[i]);
    outcome = run_line(c, line);
    if (outcome == OVER)
        fprintf(stderr, "lucca: the machine went away before it answered\n");
    free(line);
    return outcome == DONE ? EXIT_OK : EXIT_ERROR;
}

static void prompt(bool person)
{
    if (person)
        printf(PROMPT);
    fflush(stdout);
}

/* False: the machine is gone. */
static bool drain_event(struct client *c)
{
    json_t *message = receive(c);

    if (!message)
        return false;
    if (c->events)
        printf("\r");
    if (json_object_get(message, "event"))
        show_event(c, message);
    json_decref(message);
    return true;
}

/* Lines from standard input, and events as they come. */
static int converse(struct client *c)
{
    bool person = isatty(STDIN_FILENO);
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};
    int status = EXIT_OK;
    char *line = NULL;
    size_t room = 0;

    c->events = person;
    setvbuf(stdin, NULL, _IONBF, 0);
    prompt(person);
    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        enum outcome outcome = DONE;

        if (p[1].revents && !drain_event(c)) {
            if (person)
                printf("the machine has ended\n");
            break;
        }
        if (p[0].revents) {
            if (getline(&line, &room, stdin) <= 0)
                break;
            line[strcspn(line, "\r\n")] = 0;
            outcome = *line ? run_line(c, line) : DONE;
        }
        if (outcome == OVER)
            break;
        if (outcome == REFUSED && !person)
            status = EXIT_ERROR;
        prompt(person);
    }
    free(line);
    return status;
}

int cmd_monitor(int argc, char **argv)
{
    struct client c = {.fd = -1};
    struct error err;
    int status;

    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        fprintf(argc < 2 ? stderr : stdout,
                "usage: lucca monitor PATH             talk to the machine behind a QMP socket\n"
                "       lucca monitor PATH COMMAND...  one command; status 1 if it is refused\n\n"
                "PATH is what 'lucca run --qmp unix:PATH' was told; 'help' lists commands.\n");
        return argc < 2 ? EXIT_ERROR : EXIT_OK;
    }
    if (open_client(&c, strncmp(argv[1], "unix:", 5) ? argv[1] : argv[1] + 5, &err) != OK)
        status = failed(&err);
    else
        status = argc > 2 ? run_one(&c, argc - 2, argv + 2) : converse(&c);
    close_client(&c);
    return status;
}
