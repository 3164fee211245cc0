/* A line editor for the human monitor where the terminal is raw: letters, backspace, Ctrl-C, Ctrl-U
 * and Enter. Everything else is ignored. */
#include <stdlib.h>
#include <string.h>

#include "host/monitor/internal.h"

#define LINE_BYTES 256
#define PROMPT     "(lucca) "

#define CTRL_C    0x03
#define CTRL_U    0x15
#define BACKSPACE 0x08
#define ESCAPE    0x1B
#define DELETE    0x7F

struct hmp_console {
    struct monitor *m;
    hmp_put_fn *put;
    void *ctx;
    char line[LINE_BYTES];
    size_t len;
    bool escape; /* inside the sequence of a function or arrow key */
};

struct hmp_console *hmp_console_new(struct monitor *m, hmp_put_fn *put, void *ctx)
{
    struct hmp_console *c = calloc(1, sizeof(*c));

    if (c)
        *c = (struct hmp_console){.m = m, .put = put, .ctx = ctx};
    return c;
}

void hmp_console_free(struct hmp_console *c)
{
    free(c);
}

static void say(const struct hmp_console *c, const char *text)
{
    c->put(c->ctx, text, strlen(text));
}

void hmp_console_open(struct hmp_console *c)
{
    c->len = 0;
    c->escape = false;
    say(c, "\r\nLucca's monitor: 'help' lists commands, Ctrl-A C goes back\r\n" PROMPT);
}

static void enter(struct hmp_console *c)
{
    char *out;

    say(c, "\r\n");
    c->line[c->len] = 0;
    c->len = 0;
    (void)hmp_run(c->m, c->line, &out);
    if (out)
        say(c, out);
    free(out);
    say(c, PROMPT);
}

static void erase(struct hmp_console *c, size_t n)
{
    for (; n && c->len; n--, c->len--)
        say(c, "\b \b");
}

/* ESC, then '[' or 'O', parameters, and a letter or '~' at the end. */
static bool in_escape(struct hmp_console *c, uint8_t key)
{
    bool inside = c->escape || key == ESCAPE;

    if (key == ESCAPE)
        c->escape = true;
    else if (key == '~' || (key >= 'A' && key <= 'Z' && key != 'O') || (key >= 'a' && key <= 'z'))
        c->escape = false;
    return inside;
}

static void one_key(struct hmp_console *c, uint8_t key)
{
    if (in_escape(c, key))
        return;
    if (key == '\r' || key == '\n') {
        enter(c);
    } else if (key == BACKSPACE || key == DELETE) {
        erase(c, 1);
    } else if (key == CTRL_U) {
        erase(c, c->len);
    } else if (key == CTRL_C) {
        c->len = 0;
        say(c, "\r\n" PROMPT);
    } else if (key >= ' ' && c->len < LINE_BYTES - 1) {
        c->line[c->len++] = (char)key;
        c->put(c->ctx, (const char *)&key, 1);
    }
}

void hmp_console_keys(struct hmp_console *c, const uint8_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        one_key(c, keys[i]);
}
