/* Little-endian loads and stores at any alignment, and one bounded reader for foreign bytes. */
#ifndef LUCCA_BASE_BYTES_H
#define LUCCA_BASE_BYTES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Lucca runs on little-endian hosts");

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define BIT(n)    (UINT64_C(1) << (n))

#define DEFINE_LOAD_STORE(bits)                                                                    \
    static inline uint##bits##_t load##bits(const void *p)                                         \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v;                                                                                  \
    }                                                                                              \
    static inline void store##bits(void *p, uint##bits##_t v)                                      \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
DEFINE_LOAD_STORE(8)
DEFINE_LOAD_STORE(16)
DEFINE_LOAD_STORE(32)
DEFINE_LOAD_STORE(64)
#undef DEFINE_LOAD_STORE

/* A cursor over `size` foreign bytes. Reading past the end yields zeros and sets `short_read`;
 * check it once, after the last read. The bytes are borrowed. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool short_read;
};

static inline struct cursor cursor_over(const void *bytes, size_t size)
{
    return (struct cursor){.at = bytes, .left = size};
}

/* The next `n` bytes, or NULL (and short_read) where fewer are left. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
    const uint8_t *at = c->at;

    if (n > c->left) {
        c->short_read = true;
        c->left = 0;
        return NULL;
    }
    c->at += n;
    c->left -= n;
    return at;
}

#define DEFINE_CURSOR(bits)                                                                        \
    static inline uint##bits##_t cursor_u##bits(struct cursor *c)                                  \
    {                                                                                              \
        const uint8_t *p = cursor_take(c, bits / 8);                                               \
                                                                                                   \
        return p ? load##bits(p) : 0;                                                              \
    }
DEFINE_CURSOR(8)
DEFINE_CURSOR(16)
DEFINE_CURSOR(32)
DEFINE_CURSOR(64)
#undef DEFINE_CURSOR

#endif
