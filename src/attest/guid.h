/* GUIDs as UEFI images and tables hold them: the first three groups little-endian. */
#ifndef LUCCA_ATTEST_GUID_H
#define LUCCA_ATTEST_GUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

struct guid {
    uint8_t bytes[16];
};

/* GUID(0x96b582de, 0x1fb2, 0x45f7, 0xbaea, 0xa366c55a082d): as it is written. */
#define GUID(a, b, c, d, e)                                                                        \
    {                                                                                              \
        {                                                                                          \
            (uint8_t)(a), (uint8_t)((a) >> 8), (uint8_t)((a) >> 16), (uint8_t)((a) >> 24),         \
                (uint8_t)(b), (uint8_t)((b) >> 8), (uint8_t)(c), (uint8_t)((c) >> 8),              \
                (uint8_t)((d) >> 8), (uint8_t)(d), (uint8_t)((e) >> 40), (uint8_t)((e) >> 32),     \
                (uint8_t)((e) >> 24), (uint8_t)((e) >> 16), (uint8_t)((e) >> 8), (uint8_t)(e)      \
        }                                                                                          \
    }

#define GUID_TEXT 36u /* characters of 96b582de-1fb2-45f7-baea-a366c55a082d */

static inline bool guid_is(const void *at, const struct guid *g)
{
    return !memcmp(at, g->bytes, sizeof(g->bytes));
}

/* False where `text` is not exactly a GUID. */
bool guid_parse(struct guid *out, const char *text, size_t len);

#endif
