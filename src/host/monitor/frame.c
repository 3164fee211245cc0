/* Cuts a byte stream into JSON texts; see frame.h. Whether what is between the brackets is JSON is
 * the parser's business. */
#include "host/monitor/frame.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 512u

void frame_free(struct framer *f)
{
    free(f->text);
    *f = (struct framer){0};
}

static void start_over(struct framer *f)
{
    f->len = 0;
    f->depth = 0;
    f->in_string = f->escaped = false;
}

static enum frame give_up(struct framer *f, enum frame why, char c)
{
    start_over(f);
    f->skipping = c != '\n';
    return why;
}

static bool append(struct framer *f, char c)
{
    if (f->len + 1 >= f->room) {
        size_t room = f->room ? 2 * f->room : FIRST_ROOM;
        char *more = realloc(f->text, room);

        if (!more)
            return false;
        f->text = more;
        f->room = room;
    }
    f->text[f->len++] = c;
    f->text[f->len] = 0;
    return true;
}

/* Inside a string only its end matters. No JSON string has a raw newline: there the line starts
 * afresh, so that a lost quote costs one line and not the session. */
static void string_byte(struct framer *f, char c)
{
    if (f->escaped)
        f->escaped = false;
    else if (c == '\\')
        f->escaped = true;
    else if (c == '"')
        f->in_string = false;
}

enum frame frame_byte(struct framer *f, char c)
{
    bool open = c == '{' || c == '[', close = c == '}' || c == ']';

    if (f->skipping) {
        f->skipping = c != '\n';
        return FRAME_MORE;
    }
    if (!f->depth) {
        start_over(f);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            return FRAME_MORE;
        if (!open)
            return give_up(f, FRAME_GARBAGE, c);
    }
    if (f->in_string && c == '\n')
        return give_up(f, FRAME_GARBAGE, c);
    if (f->len == FRAME_MAX_BYTES)
        return give_up(f, FRAME_TOO_LONG, c);
    if (!append(f, c))
        return give_up(f, FRAME_NO_MEMORY, c);
    if (f->in_string) {
        string_byte(f, c);
        return FRAME_MORE;
    }
    f->in_string = c == '"';
    if (open && ++f->depth > FRAME_MAX_DEPTH)
        return give_up(f, FRAME_TOO_DEEP, c);
    return close && !--f->depth ? FRAME_WHOLE : FRAME_MORE;
}
