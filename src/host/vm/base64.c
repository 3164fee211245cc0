/* Base64 both ways. */
#include "host/vm/base64.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_decode(const char *text, size_t len, uint8_t **out, size_t *out_len)
{
    uint8_t *to = malloc(len / 4 * 3 + 4);
    size_t n = 0, digits = 0, padding = 0;
    uint32_t group = 0;

    if (!to)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *at;

        if (isspace((unsigned char)text[i]))
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        at = text[i] && !padding ? strchr(alphabet, text[i]) : NULL;
        if (!at) {
            free(to);
            return false;
        }
        group = group << 6 | (uint32_t)(at - alphabet);
        if (++digits % 4 == 0) {
            to[n++] = (uint8_t)(group >> 16);
            to[n++] = (uint8_t)(group >> 8);
            to[n++] = (uint8_t)group;
        }
    }
    if (digits % 4 == 3) {
        to[n++] = (uint8_t)(group >> 10);
        to[n++] = (uint8_t)(group >> 2);
    } else if (digits % 4 == 2) {
        to[n++] = (uint8_t)(group >> 4);
    }
    if (digits % 4 == 1 || (digits + padding) % 4) {
        free(to);
        return false;
    }
    *out = to;
    *out_len = n;
    return true;
}

char *base64_encode(const void *bytes, size_t len)
{
    const uint8_t *b = bytes;
    char *to = malloc((len + 2) / 3 * 4 + 1), *p = to;

    for (size_t i = 0; to && i < len; i += 3) {
        uint32_t group = (uint32_t)b[i] << 16;

        if (i + 1 < len)
            group |= (uint32_t)b[i + 1] << 8;
        if (i + 2 < len)
            group |= b[i + 2];
        *p++ = alphabet[group >> 18];
        *p++ = alphabet[group >> 12 & 63];
        *p++ = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
        *p++ = i + 2 < len ? alphabet[group & 63] : '=';
    }
    if (to)
        *p = 0;
    return to;
}
