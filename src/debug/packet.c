/* gdb's packets: framing, escapes, hex (GDB manual, appendix E.1). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "debug/internal.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* ---- in ---- */
static void keep(struct packet_reader *r, uint8_t byte)
{
    if (r->len < GDB_PACKET)
        r->data[r->len++] = (char)byte;
    else
        r->too_long = true;
}

static enum packet_event between(struct packet_reader *r, uint8_t byte)
{
    switch (byte) {
    case '$':
        r->state = DATA;
        r->len = 0;
        r->sum = 0;
        r->too_long = false;
        return PACKET_NOTHING;
    case 3:
        return PACKET_BREAK;
    case '+':
        return PACKET_ACK;
    case '-':
        return PACKET_NAK;
    default:
        return PACKET_NOTHING;
    }
}

static enum packet_event finish(struct packet_reader *r, uint8_t byte)
{
    int low = hex_digit((char)byte);

    r->state = BETWEEN;
    r->data[r->len] = 0;
    if (low < 0 || r->too_long || (uint8_t)(r->told | low) != r->sum)
        return PACKET_BAD;
    return PACKET_READY;
}

enum packet_event packet_take(struct packet_reader *r, uint8_t byte)
{
    int high;

    switch (r->state) {
    case BETWEEN:
        return between(r, byte);
    case DATA:
        if (byte == '#') {
            r->state = SUM_HIGH;
            return PACKET_NOTHING;
        }
        r->sum = (uint8_t)(r->sum + byte);
        if (byte == '}')
            r->state = ESCAPED;
        else
            keep(r, byte);
        return PACKET_NOTHING;
    case ESCAPED:
        r->sum = (uint8_t)(r->sum + byte);
        keep(r, byte ^ 0x20);
        r->state = DATA;
        return PACKET_NOTHING;
    case SUM_HIGH:
        high = hex_digit((char)byte);
        r->state = high < 0 ? BETWEEN : SUM_LOW;
        if (high < 0)
            return PACKET_BAD;
        r->told = (uint8_t)(high << 4);
        return PACKET_NOTHING;
    default:
        return finish(r, byte);
    }
}

bool hex_bytes(const char **at, const char *end, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++, *at += 2) {
        int high = end - *at >= 2 ? hex_digit((*at)[0]) : -1;
        int low = high >= 0 ? hex_digit((*at)[1]) : -1;

        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool hex_number(const char **at, const char *end, uint64_t *to)
{
    const char *start = *at;

    *to = 0;
    while (*at < end && hex_digit(**at) >= 0)
        *to = *to << 4 | (unsigned)hex_digit(*(*at)++);
    return *at > start && *at - start <= 16;
}

/* ---- out ---- */
static const char digits[] = "0123456789abcdef";

void reply_bytes(struct reply *r, const void *bytes, size_t n)
{
    n = MIN(n, sizeof(r->data) - r->len);
    memcpy(r->data + r->len, bytes, n);
    r->len += n;
}

void reply_text(struct reply *r, const char *text)
{
    reply_bytes(r, text, strlen(text));
}

void reply_format(struct reply *r, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    reply_text(r, text);
}

void reply_hex(struct reply *r, const void *bytes, size_t n)
{
    const uint8_t *b = bytes;

    for (size_t i = 0; i < n; i++) {
        char two[2] = {digits[b[i] >> 4], digits[b[i] & 15]};

        reply_bytes(r, two, 2);
    }
}

size_t packet_frame(const char *data, size_t len, char *out)
{
    size_t n = 0;
    uint8_t sum = 0;

    out[n++] = '$';
    for (size_t i = 0; i < len; i++) {
        char c = data[i];

        if (c == '$' || c == '#' || c == '}' || c == '*') {
            out[n++] = '}';
            sum = (uint8_t)(sum + '}');
            c ^= 0x20;
        }
        out[n++] = c;
        sum = (uint8_t)(sum + (uint8_t)c);
    }
    out[n++] = '#';
    out[n++] = digits[sum >> 4];
    out[n++] = digits[sum & 15];
    return n;
}
