/* The probe: a test kernel of a few KiB that does what its command line says, one command and its
 * arguments, and tells the first serial port, a line "name=value" for each fact. A command's result
 * goes to debug-exit (0: as expected by the guest); "end" is its last line before that. */
#include "guest/probe/probe.h"

#define BLOCKS (PAGE / 16)

static _Alignas(PAGE) uint8_t page_a[PAGE], page_b[PAGE], page_c[PAGE], flag_page[PAGE];

static void fill(uint8_t *p, uint8_t salt)
{
    for (unsigned i = 0; i < PAGE; i++)
        p[i] = (uint8_t)((i >> 4) * 7 + i * 13 + salt);
}

/* How many of the page's 16-byte blocks are the same in both. */
static uint64_t same_blocks(const uint8_t *p, const uint8_t *q)
{
    uint64_t same = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        same += memcmp(p + 16 * i, q + 16 * i, 16) == 0;
    return same;
}

/* ---- commands -------------------------------------------------------------------------------- */

static unsigned hello(const struct boot_facts *f, const char *args)
{
    say("format=%s\nline=%s\nram=%u\nmodules=%u\n", f->format, f->line, f->ram,
        (uint64_t)f->modules);
    for (unsigned i = 0; i < f->modules && i < 8; i++) {
        uint64_t sum = 0;

        for (uint64_t k = 0; k < f->module[i].size; k++)
            sum += f->module[i].bytes[k];
        say("module=%u bytes, sum %u, '%s'\n", f->module[i].size, sum, f->module[i].line);
    }
    return 0;
}

/* exit N */
static unsigned leave_with(const struct boot_facts *f, const char *args)
{
    char word[32];

    return next_word(&args, word, sizeof(word)) ? (unsigned)parse_number(word) : 0;
}

/* A device writes to private pages and reads from them, for a driver that does not know better. */
static unsigned dma(const struct boot_facts *f, const char *args)
{
    static const char signature[4] = {'Q', 'E', 'M', 'U'};
    uint8_t *const shared_b = SHARED(page_b), *const shared_c = SHARED(page_c);

    if (!disk_open()) {
        say("disk=none\n");
        return 1;
    }
    fill(page_a, 1);
    fill(shared_b, 1);
    /* To the disk: sectors 0 to 7 from a private page, 8 to 15 the same bytes from a shared one, 16
     * to 23 what the host's view of the private one is. */
    if (!disk_io(true, 0, (uintptr_t)page_a, PAGE) || !disk_io(true, 8, (uintptr_t)page_b, PAGE))
        return 2;
    memcpy(shared_c, SHARED(page_a), PAGE);
    if (!disk_io(true, 16, (uintptr_t)page_c, PAGE))
        return 3;
    /* From the disk: sectors 8 to 15 to the private page, and to a shared one. */
    memset(page_a, 0, PAGE);
    memset(shared_c, 0, PAGE);
    if (!disk_io(false, 8, (uintptr_t)page_a, PAGE) || !disk_io(false, 8, (uintptr_t)page_c, PAGE))
        return 4;
    say("shared-read=%u\n", same_blocks(shared_c, shared_b));
    say("private-read=%u\n", same_blocks(page_a, shared_b));
    say("alias-of-private-read=%u\n", same_blocks(SHARED(page_a), shared_b));
    if (!fw_cfg_dma(0, (uintptr_t)page_b, 4))
        return 5;
    say("shared-fw_cfg=%s\n", memcmp(shared_b, signature, 4) ? "junk" : "signature");
    memset(page_a, 0, 16);
    if (!fw_cfg_dma(0, (uintptr_t)page_a, 4))
        return 6;
    say("private-fw_cfg=%s\n", memcmp(page_a, signature, 4) ? "junk" : "signature");
    return 0;
}

/* Says where a private page and a shared flag are; when somebody has set the flag, tells what has
 * become of the page. Again and again, until the flag is 2. */
static unsigned victim(const struct boot_facts *f, const char *args)
{
    volatile uint8_t *flag = SHARED(flag_page);

    fill(page_b, 5);
    for (;;) {
        fill(page_a, 5);
        *flag = 0;
        say("page=%x flag=%x\n", (uint64_t)(uintptr_t)page_a, (uint64_t)(uintptr_t)flag_page);
        while (!*flag)
            __asm__ volatile("pause");
        if (*flag == 2)
            return 0;
        say("damaged=");
        for (unsigned i = 0; i < BLOCKS; i++) {
            uint64_t bytes = 0;

            for (unsigned k = 0; k < 16; k++)
                bytes += page_a[16 * i + k] != page_b[16 * i + k];
            if (bytes)
                say("%u:%u ", (uint64_t)i, bytes);
        }
        say("\n");
    }
}

/* secret ADDRESS LENGTH: says the text there. */
static unsigned secret(const struct boot_facts *f, const char *args)
{
    char address[32], length[32];
    const char *at;

    if (!next_word(&args, address, sizeof(address)) || !next_word(&args, length, sizeof(length)))
        return 1;
    at = (const char *)(uintptr_t)parse_number(address);
    say("secret=");
    for (uint64_t i = 0; i < parse_number(length) && at[i] >= ' ' && at[i] <= '~'; i++)
        say("%u ", (uint64_t)(uint8_t)at[i]);
    say("\n");
    return 0;
}

/* Until somebody types 'q'. */
static unsigned wait(const struct boot_facts *f, const char *args)
{
    say("waiting\n");
    while (hear() != 'q')
        __asm__ volatile("pause");
    return 0;
}

/* QEMU's test device: its echo port, its interrupt lines, its memory. */
static unsigned testdev(const struct boot_facts *f, const char *args)
{
    volatile uint32_t *memory = (volatile uint32_t *)(uintptr_t)0xFF000000u;

    out32(0xE0, 0x12345678);
    say("echo=%x %x %x\n", (uint64_t)in32(0xE0), (uint64_t)in16(0xE0), (uint64_t)in8(0xE0));
    memory[0] = 0xCAFEF00D;
    memory[0xFFFC / 4] = 0x600DBEEF;
    say("memory=%x %x\n", (uint64_t)memory[0], (uint64_t)memory[0xFFFC / 4]);
    out8(0x20, 0x11); /* the first PIC: edges, vectors from 20h, then all requests may be read */
    out8(0x21, 0x20);
    out8(0x21, 4);
    out8(0x21, 1);
    out8(0x20, 0x0A);
    say("lines=%x", (uint64_t)in8(0x20) & 0x20);
    out8(0x2005, 1);
    say(" %x\n", (uint64_t)in8(0x20) & 0x20);
    return 0;
}

static unsigned crash(const struct boot_facts *f, const char *args)
{
    __asm__ volatile("ud2");
    return 0;
}

static const struct {
    const char *name;
    unsigned (*run)(const struct boot_facts *f, const char *args);
} commands[] = {
    {"hello", hello},   {"exit", leave_with}, {"dma", dma},         {"victim", victim},
    {"secret", secret}, {"wait", wait},       {"testdev", testdev}, {"crash", crash},
};

void probe_main(uint32_t eax, uint32_t ebx);
void probe_main(uint32_t eax, uint32_t ebx)
{
    struct boot_facts f;
    const char *args;
    char word[32];

    boot_facts(eax, ebx, &f);
    args = f.line;
    say("probe sev=%u\n", (uint64_t)(c_bit != 0));
    if (!next_word(&args, word, sizeof(word)))
        memcpy(word, "hello", 6);
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (memcmp(commands[i].name, word, text_length(commands[i].name) + 1) == 0) {
            unsigned how = commands[i].run(&f, args);

            say("end\n");
            leave(how);
        }
    say("no command '%s'\n", word);
    leave(127);
}
