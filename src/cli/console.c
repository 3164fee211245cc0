/* Serial ports on the terminal and in files. The terminal is put back as it was however the process
 * ends: at exit, and on signals that kill. */
#include "cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/bytes.h"

#define CTRL_A 0x01

struct console {
    struct chardev chr;
    int out;
    bool is_stdio, raw, watching, escape;
    struct hmp_console *hmp; /* NULL: no monitor */
    bool in_monitor;         /* keys are the monitor's; the guest goes on and may write */
    bool made_file;
    char *path;
    struct vm *vm;
};

/* ---- the terminal ------------------------------------------------------------------------------
 */

static struct termios cooked;
static volatile sig_atomic_t is_raw;

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &cooked);
    is_raw = 0;
}

static void restore_and_die(int sig)
{
    restore();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void go_raw(void)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT};
    struct termios t;
    static bool registered;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &cooked) < 0)
        return;
    t = cooked;
    t.c_iflag &= ~(tcflag_t)(BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    if (!registered) {
        atexit(restore);
        for (size_t i = 0; i < COUNT(deadly); i++)
            signal(deadly[i], restore_and_die);
        registered = true;
    }
    is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

bool console_is_terminal(void)
{
    return isatty(STDIN_FILENO);
}

/* ---- output ------------------------------------------------------------------------------------
 */

static void put(void *backend, const uint8_t *bytes, size_t n)
{
    struct console *c = backend;

    while (n && c->out >= 0) {
        ssize_t done = write(c->out, bytes, n);

        if (done > 0) {
            bytes += done;
            n -= (size_t)done;
        } else if (done < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = c->out, .events = POLLOUT};

            poll(&p, 1, 1000);
        } else if (done < 0 && errno != EINTR) {
            if (errno != EPIPE)
                fprintf(stderr, "lucca: the serial port's output is lost: %s\r\n", strerror(errno));
            c->out = -1;
        }
    }
}

/* ---- input -------------------------------------------------------------------------------------
 */

static void put_text(void *ctx, const char *text, size_t len)
{
    put(ctx, (const uint8_t *)text, len);
}

static void toggle_monitor(struct console *c)
{
    if (!c->hmp)
        return;
    c->in_monitor = !c->in_monitor;
    if (c->in_monitor)
        hmp_console_open(c->hmp);
    else
        put_text(c, "\r\n", 2);
}

/* What follows Ctrl-A. True: the byte is the guest's. */
static bool escape_key(struct console *c, uint8_t key)
{
    if (key == CTRL_A)
        return !c->in_monitor;
    if (key == 'x' || key == 'X')
        host_stop(vm_host(c->vm));
    else if (key == 'c' || key == 'C')
        toggle_monitor(c);
    return false;
}

static size_t filter(struct console *c, uint8_t *bytes, size_t n)
{
    size_t kept = 0;

    if (!c->raw)
        return n;
    for (size_t i = 0; i < n; i++) {
        if (c->escape) {
            c->escape = false;
            if (escape_key(c, bytes[i]))
                bytes[kept++] = bytes[i];
        } else if (bytes[i] == CTRL_A) {
            c->escape = true;
        } else if (c->in_monitor) {
            hmp_console_keys(c->hmp, &bytes[i], 1);
        } else {
            bytes[kept++] = bytes[i];
        }
    }
    return kept;
}

static void watch_input(struct console *c, bool on);

static void readable(void *ctx, short revents)
{
    struct console *c = ctx;
    uint8_t bytes[256];
    size_t room = c->chr.room ? c->chr.room(c->chr.dev) : 0;
    ssize_t n;

    if (!room) {
        /* A terminal must be heard in any case: Ctrl-A X. What the guest has no room for is lost.
         */
        if (!c->raw) {
            watch_input(c, false);
            return;
        }
        room = sizeof(bytes);
    }
    n = read(STDIN_FILENO, bytes, MIN(room, sizeof(bytes)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        board_unwatch(vm_board(c->vm), STDIN_FILENO);
        c->watching = false;
        c->is_stdio = false; /* the input has ended */
        return;
    }
    n = (ssize_t)filter(c, bytes, (size_t)n);
    if (n && c->chr.sink)
        c->chr.sink(c->chr.dev, bytes, (size_t)n);
}

static void watch_input(struct console *c, bool on)
{
    struct error err;

    if (!c->vm || !c->is_stdio || on == c->watching)
        return;
    if (board_watch(vm_board(c->vm), STDIN_FILENO, on ? POLLIN : 0, readable, c, &err) == OK)
        c->watching = on;
}

static void ready(void *backend)
{
    watch_input(backend, true);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static enum status open_file(struct console *c, const char *path, struct error *err)
{
    c->path = strdup(path);
    if (!c->path)
        return fail(err, ERR_NOMEM, "no memory for a serial port");
    c->out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    c->made_file = c->out >= 0;
    if (c->out < 0 && errno == EEXIST)
        c->out = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (c->out < 0)
        return fail(err, ERR_IO, "--serial file:%s: %s", path, strerror(errno));
    return OK;
}

enum status console_open(const char *spec, struct console **out, struct error *err)
{
    static bool stdio_taken;
    struct console *c = calloc(1, sizeof(*c));
    enum status s = OK;

    if (!c)
        return fail(err, ERR_NOMEM, "no memory for a serial port");
    c->chr = (struct chardev){.put = put, .backend = c, .ready = ready};
    c->out = STDOUT_FILENO;
    if (!strncmp(spec, "file:", 5)) {
        s = open_file(c, spec + 5, err);
    } else if (stdio_taken) {
        s = fail(err, ERR_ARG, "--serial stdio: only one serial port of all guests can have it");
    } else {
        stdio_taken = true;
        c->is_stdio = true;
    }
    if (s != OK) {
        console_close(c, true);
        return s;
    }
    *out = c;
    return OK;
}

struct chardev *console_chardev(struct console *c)
{
    return &c->chr;
}

enum status console_attach(struct console *c, struct vm *vm, struct monitor *m, struct error *err)
{
    c->vm = vm;
    if (!c->is_stdio)
        return OK;
    c->hmp = hmp_console_new(m, put_text, c);
    if (!c->hmp)
        return fail(err, ERR_NOMEM, "no memory for a monitor");
    go_raw();
    c->raw = is_raw;
    watch_input(c, true);
    if (!c->watching)
        return fail(err, ERR_IO, "standard input cannot be watched");
    return OK;
}

void console_detach(struct console *c)
{
    if (c->vm && c->is_stdio)
        board_unwatch(vm_board(c->vm), STDIN_FILENO);
    if (c->raw)
        restore();
    hmp_console_free(c->hmp);
    c->hmp = NULL;
    c->vm = NULL;
}

void console_close(struct console *c, bool failed)
{
    if (!c)
        return;
    if (c->path && c->out >= 0)
        close(c->out);
    if (failed && c->made_file)
        unlink(c->path);
    free(c->path);
    free(c);
}
