/* Sentences: errors, and lines of results. */
#include "attest/internal.h"

#include <stdarg.h>
#include <stdio.h>

enum attest_status attest_fail(struct attest_error *err, enum attest_status code, const char *path,
                               const char *fmt, ...)
{
    va_list args;

    if (!err)
        return code;
    err->code = code;
    snprintf(err->path, sizeof(err->path), "%s", path);
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return code;
}

void line_add(struct line *l, const char *fmt, ...)
{
    size_t at = MIN(l->len, l->size);
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(l->size ? l->text + at : NULL, l->size - at, fmt, args);
    va_end(args);
    if (n > 0)
        l->len += (size_t)n;
    if (l->len >= l->size && l->size > 3)
        memcpy(l->text + l->size - 4, "...", 4);
}

void line_hex(struct line *l, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        if (l->len + 2 < l->size) {
            l->text[l->len] = digits[bytes[i] >> 4];
            l->text[l->len + 1] = digits[bytes[i] & 15];
            l->text[l->len + 2] = 0;
            l->len += 2;
        } else {
            line_add(l, "%02x", bytes[i]);
        }
    }
}

/* Days since 1970 to a date of the proleptic Gregorian calendar, by eras of 400 years. */
void line_time(struct line *l, int64_t at)
{
    int64_t days = at / 86400 - (at % 86400 < 0), seconds = at - days * 86400, z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = (int64_t)yoe + era * 400 + (month <= 2);

    line_add(l, "%04lld-%02u-%02uT%02u:%02u:%02uZ", (long long)year, month, day,
             (unsigned)(seconds / 3600), (unsigned)(seconds / 60 % 60), (unsigned)(seconds % 60));
}

void line_tcb(struct line *l, const struct attest_tcb *tcb)
{
    const char *between = "";

    if (tcb->layout == ATTEST_LAYOUT_UNKNOWN) {
        line_hex(l, tcb->raw, sizeof(tcb->raw));
        line_add(l, " (layout unknown)");
        return;
    }
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        if (attest_tcb_has(tcb->layout, p)) {
            line_add(l, "%s%s %u", between, attest_tcb_part_name(p), tcb->part[p]);
            between = ", ";
        }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

ptrdiff_t text_hex(uint8_t *out, size_t size, const char *text, size_t len)
{
    size_t n = 0;
    int high = -1;

    for (size_t i = 0; i < len; i++) {
        int d = hex_digit(text[i]);

        if (d < 0 && is_space(text[i]) && high < 0)
            continue;
        if (d < 0)
            return -1;
        if (high < 0) {
            high = d;
            continue;
        }
        if (n == size)
            return -1;
        out[n++] = (uint8_t)(high << 4 | d);
        high = -1;
    }
    return high < 0 ? (ptrdiff_t)n : -1;
}

static int base64_digit(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

ptrdiff_t text_base64(uint8_t *out, size_t size, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned have = 0, padding = 0;
    size_t n = 0, digits = 0;

    for (size_t i = 0; i < len; i++) {
        int d = base64_digit(text[i]);

        if (is_space(text[i]))
            continue;
        if (text[i] == '=' && digits) {
            padding++;
            continue;
        }
        if (d < 0 || padding)
            return -1;
        digits++;
        bits = bits << 6 | (unsigned)d;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (n == size)
            return -1;
        out[n++] = (uint8_t)(bits >> have);
    }
    /* No stray digit, no bits beyond the last byte, padding whole or left out. */
    if (digits % 4 == 1 || (bits & ((1u << have) - 1)) ||
        (padding && (padding > 2 || (digits + padding) % 4)))
        return -1;
    return (ptrdiff_t)n;
}
