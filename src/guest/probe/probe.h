/* What the probe's parts share: the machine it finds itself on. */
#ifndef LUCCA_GUEST_PROBE_H
#define LUCCA_GUEST_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* The C-bit of this machine; 0 where memory is not encrypted. */
extern uint64_t c_bit;

/* The same bytes of DRAM as the host and its devices see them (start.S has the map). */
#define SHARED(p) ((void *)((uintptr_t)(p) + UINT64_C(0x100000000)))

static inline void out8(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t v;

    __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

/* lib.c */
void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t text_length(const char *s);
/* The word at `*line`, and `*line` past it; false at the end. */
bool next_word(const char **line, char *word, size_t room);
uint64_t parse_number(const char *s);
/* To the first serial port: %s, %u (decimal), %x (hexadecimal), both of 64-bit values. */
void say(const char *format, ...);
int hear(void);           /* a byte from there, or -1 */
void leave(unsigned how); /* debug-exit with `how`; where there is none, power-off */

/* disk.c: the first virtio-blk device. `gpa` is what the device is told: an address of the guest.
 */
bool disk_open(void);
bool disk_io(bool write, uint64_t sector, uint64_t gpa, uint32_t bytes);

/* fw_cfg by DMA: item `key`, its first `len` bytes, to `gpa`. */
bool fw_cfg_dma(uint16_t key, uint64_t gpa, uint32_t len);

/* boot.c: what the loader told. */
struct module {
    const uint8_t *bytes;
    uint64_t size;
    const char *line;
};
struct boot_facts {
    const char *format; /* "multiboot" or "PVH" */
    const char *line;   /* the command line, without the image's name */
    uint64_t ram;       /* bytes of RAM in the memory map */
    struct module module[8];
    unsigned modules;
};
void boot_facts(uint32_t eax, uint32_t ebx, struct boot_facts *out);

#endif
