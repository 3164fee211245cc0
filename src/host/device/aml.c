/* ACPI machine language, as far as this machine's DSDT needs it. */
#include "host/device/aml.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void aml_bytes(struct aml *a, const void *bytes, size_t n)
{
    if (!a->failed && a->len + n > a->room) {
        size_t room = MAX(a->len + n, a->room * 2);
        uint8_t *more = realloc(a->bytes, room);

        a->failed = !more;
        if (more) {
            a->bytes = more;
            a->room = room;
        }
    }
    if (a->failed)
        return;
    memcpy(a->bytes + a->len, bytes, n);
    a->len += n;
}

void aml_u8(struct aml *a, uint8_t v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u16(struct aml *a, uint16_t v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u32(struct aml *a, uint32_t v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u64(struct aml *a, uint64_t v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_align(struct aml *a, size_t unit)
{
    while (!a->failed && a->len % unit)
        aml_u8(a, 0);
}

/* NameString (20.2.2): a root character, then one segment, or two or more behind a prefix. */
static void name_string(struct aml *a, const char *name)
{
    size_t segments;

    if (*name == '\\') {
        aml_u8(a, '\\');
        name++;
    }
    segments = (strlen(name) + 1) / 5;
    if (segments == 0)
        aml_u8(a, 0);
    if (segments == 2)
        aml_u8(a, 0x2E);
    if (segments > 2) {
        aml_u8(a, 0x2F);
        aml_u8(a, (uint8_t)segments);
    }
    for (size_t i = 0; i < segments; i++)
        aml_bytes(a, name + i * 5, 4);
}

/* Opens a gap of `n` bytes at `at`. */
static uint8_t *insert(struct aml *a, size_t at, size_t n)
{
    static const uint8_t zeros[8];

    aml_bytes(a, zeros, n);
    if (a->failed)
        return NULL;
    memmove(a->bytes + at + n, a->bytes + at, a->len - n - at);
    return a->bytes + at;
}

/* PkgLength (20.2.4) counts itself: 6 bits in one byte, or 4 bits and up to three bytes more. */
void aml_end(struct aml *a, size_t mark)
{
    size_t len = a->len - mark, extra = 0;
    uint8_t *at;

    if (len + 1 >= 1u << 6)
        extra = len + 2 < 1u << 12 ? 1 : len + 3 < 1u << 20 ? 2 : 3;
    at = insert(a, mark, extra + 1);
    if (!at)
        return;
    len += extra + 1;
    at[0] = (uint8_t)(extra ? extra << 6 | (len & 15) : len);
    for (size_t i = 1; i <= extra; i++)
        at[i] = (uint8_t)(len >> (i * 8 - 4));
}

/* Where a term's package length will go: right behind its opcode. */
static size_t begin(struct aml *a, uint8_t prefix, uint8_t opcode)
{
    if (prefix)
        aml_u8(a, prefix);
    aml_u8(a, opcode);
    return a->len;
}

size_t aml_scope(struct aml *a, const char *name)
{
    size_t mark = begin(a, 0, 0x10);

    name_string(a, name);
    return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
    size_t mark = begin(a, 0x5B, 0x82);

    name_string(a, name);
    return mark;
}

size_t aml_method(struct aml *a, const char *name, unsigned args)
{
    size_t mark = begin(a, 0, 0x14);

    name_string(a, name);
    aml_u8(a, (uint8_t)(args & 7)); /* not serialized */
    return mark;
}

size_t aml_package(struct aml *a, uint8_t count)
{
    size_t mark = begin(a, 0, 0x12);

    aml_u8(a, count);
    return mark;
}

void aml_name(struct aml *a, const char *name)
{
    aml_u8(a, 0x08);
    name_string(a, name);
}

void aml_int(struct aml *a, uint64_t v)
{
    static const uint8_t prefix[4] = {0x0A, 0x0B, 0x0C, 0x0E};
    unsigned size = v > UINT32_MAX ? 3 : v > UINT16_MAX ? 2 : v > UINT8_MAX;

    if (v <= 1) {
        aml_u8(a, (uint8_t)v);
        return;
    }
    aml_u8(a, prefix[size]);
    aml_bytes(a, &v, (size_t)1 << size);
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of 5 bits and four hex digits, stored big-endian (19.3.4). */
void aml_eisaid(struct aml *a, const char *id)
{
    uint32_t v = (uint32_t)(id[0] & 31) << 26 | (uint32_t)(id[1] & 31) << 21 |
                 (uint32_t)(id[2] & 31) << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
                 hex(id[5]) << 4 | hex(id[6]);

    aml_u8(a, 0x0C);
    aml_u32(a, __builtin_bswap32(v));
}

void aml_string(struct aml *a, const char *s)
{
    aml_u8(a, 0x0D);
    aml_bytes(a, s, strlen(s) + 1);
}

void aml_named_int(struct aml *a, const char *name, uint64_t v)
{
    aml_name(a, name);
    aml_int(a, v);
}

void aml_named_eisaid(struct aml *a, const char *name, const char *id)
{
    aml_name(a, name);
    aml_eisaid(a, id);
}

/* ---- resources ------------------------------------------------------------------------------- */

/* The buffer's own size goes between its package length and its bytes when it ends. */
size_t aml_crs(struct aml *a)
{
    aml_name(a, "_CRS");
    return begin(a, 0, 0x11);
}

void aml_crs_end(struct aml *a, size_t mark)
{
    size_t len;
    uint8_t *at;

    aml_u16(a, 0x0079); /* end tag; a checksum of 0 says there is none */
    len = a->len - mark;
    at = insert(a, mark, 3);
    if (!at)
        return;
    at[0] = 0x0B;
    store16(at + 1, (uint16_t)len);
    aml_end(a, mark);
}

void aml_io(struct aml *a, uint16_t base, uint8_t len)
{
    aml_u8(a, 0x47);
    aml_u8(a, 1); /* decodes 16 bits */
    aml_u16(a, base);
    aml_u16(a, base);
    aml_u8(a, 1);
    aml_u8(a, len);
}

void aml_irq(struct aml *a, unsigned irq)
{
    aml_u8(a, 0x22);
    aml_u16(a, (uint16_t)(1u << irq));
}

void aml_memory32(struct aml *a, uint32_t base, uint32_t len)
{
    aml_u8(a, 0x86);
    aml_u16(a, 9);
    aml_u8(a, 1); /* writable */
    aml_u32(a, base);
    aml_u32(a, len);
}

enum { WINDOW_MEMORY, WINDOW_IO, WINDOW_BUS };

/* Word, dword and qword address space descriptors (6.4.3.5): granularity 0, both ends fixed,
 * positive decode, the bridge's to hand on. */
static void window(struct aml *a, unsigned width, uint8_t kind, uint8_t flags, uint64_t first,
                   uint64_t last)
{
    uint64_t fields[5] = {0, first, last, 0, last - first + 1};

    aml_u8(a, width == 2 ? 0x88 : width == 4 ? 0x87 : 0x8A);
    aml_u16(a, (uint16_t)(3 + 5 * width));
    aml_u8(a, kind);
    aml_u8(a, 0x0C);
    aml_u8(a, flags);
    for (int i = 0; i < 5; i++)
        aml_bytes(a, &fields[i], width);
}

void aml_bus_window(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, 2, WINDOW_BUS, 0, first, last);
}

void aml_io_window(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, 2, WINDOW_IO, 3, first, last); /* the whole range */
}

void aml_memory32_window(struct aml *a, uint32_t first, uint32_t last)
{
    window(a, 4, WINDOW_MEMORY, 1, first, last); /* writable, not cacheable */
}

void aml_memory64_window(struct aml *a, uint64_t first, uint64_t last)
{
    window(a, 8, WINDOW_MEMORY, 1, first, last);
}
