/* GUIDs from text. */
#include "attest/guid.h"

#include <ctype.h>

static int nibble(char c)
{
    if (!isxdigit((unsigned char)c))
        return -1;
    return isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool guid_parse(struct guid *out, const char *text, size_t len)
{
    static const uint8_t place[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t at = 0;

    if (len != GUID_TEXT)
        return false;
    for (size_t i = 0; i < sizeof(place); i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
            return false;
        if (nibble(text[at]) < 0 || nibble(text[at + 1]) < 0)
            return false;
        out->bytes[place[i]] = (uint8_t)(nibble(text[at]) << 4 | nibble(text[at + 1]));
        at += 2;
    }
    return true;
}
