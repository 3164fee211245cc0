/* The probe's library: memory, words, the serial port, the way out. */
#include <stdarg.h>

#include "guest/probe/probe.h"

#define SERIAL     0x3F8
#define DEBUG_EXIT 0xF4
#define PM1_CNT    0x604
#define SLEEP_S5   0x2000 /* SLP_EN; the SLP_TYP that \_S5 names is 0 */

void *memset(void *to, int byte, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *p = a, *q = b;

    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i])
            return p[i] < q[i] ? -1 : 1;
    return 0;
}

size_t text_length(const char *s)
{
    size_t n = 0;

    while (((const volatile char *)s)[n])
        n++;
    return n;
}

bool next_word(const char **line, char *word, size_t room)
{
    const char *s = *line;
    size_t n = 0;

    while (*s == ' ')
        s++;
    for (; *s && *s != ' '; s++)
        if (n < room - 1)
            word[n++] = *s;
    word[n] = 0;
    *line = s;
    return n > 0;
}

uint64_t parse_number(const char *s)
{
    uint64_t base = 10, n = 0;

    if (s[0] == '0' && s[1] == 'x') {
        base = 16;
        s += 2;
    }
    for (; *s; s++)
        n = n * base + (uint64_t)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
    return n;
}

/* ---- serial port ----------------------------------------------------------------------------- */

static void put(char c)
{
    while (!(in8(SERIAL + 5) & 0x20))
        ;
    out8(SERIAL, (uint8_t)c);
}

static void put_number(uint64_t n, unsigned base)
{
    char digits[20];
    unsigned i = 0;

    do {
        digits[i++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (i)
        put(digits[--i]);
}

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            put(*f);
            continue;
        }
        f++;
        if (*f == 's')
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
        else
            put_number(va_arg(args, uint64_t), *f == 'x' ? 16 : 10);
    }
    va_end(args);
}

int hear(void)
{
    return in8(SERIAL + 5) & 1 ? in8(SERIAL) : -1;
}

void leave(unsigned how)
{
    out32(DEBUG_EXIT, how);
    out16(PM1_CNT, SLEEP_S5);
    for (;;)
        __asm__ volatile("hlt");
}
