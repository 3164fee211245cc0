/* The boot stub of SEV-SNP guests: all that is launched and measured besides small tables. It
 * validates the guest's memory itself, takes the kernel and its initrd from memory that the host
 * can write, and goes on only where they have the digests that the launch measured.
 *
 * Each page of a file is copied into private memory before it is looked at, so that the host cannot
 * change it afterwards; the page is then made private and the copy put there. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE  4096u
#define LARGE 0x200000u

/* As src/host/boot/stub.c lays it out. */
#define STUB_MAGIC UINT64_C(0x425453414343554C) /* "LUCCASTB" */
#define STUB_SPANS 96
#define STUB_FILES 4
#define SHARED     (UINT64_C(1) << 39) /* the same memory once more, without the C-bit */

struct stub_info {
    uint64_t magic, entry, params;
    uint32_t spans, files;
    struct {
        uint64_t gpa, len;
    } span[STUB_SPANS]; /* assigned to the guest, not validated */
    struct {
        uint64_t gpa, len;
        uint8_t sha256[32];
    } file[STUB_FILES]; /* shared memory */
};

/* What the guest says at its end, in the reason set of its own (GHCB 2.03, 2.3.1). */
enum { REASON_SET = 5 };
enum why { NO_INFO = 1, NOT_VALIDATED, NOT_CONVERTED, WRONG_DIGEST };

/* ---- the hypervisor, by the GHCB's MSR ---------------------------------------------------------
 */

#define GHCB_MSR      0xC0010130u
#define PSC_REQUEST   0x014u
#define PSC_RESPONSE  0x015u
#define PSC_PRIVATE   (UINT64_C(1) << 52)
#define TERMINATE     0x100u
#define RESPONSE(msr) ((msr)&0xFFF)

static uint64_t call(uint64_t request)
{
    uint32_t low, high;

    __asm__ volatile("wrmsr; rep; vmmcall; rdmsr"
                     : "=a"(low), "=d"(high)
                     : "c"(GHCB_MSR), "0"((uint32_t)request), "1"((uint32_t)(request >> 32))
                     : "memory");
    return (uint64_t)high << 32 | low;
}

static _Noreturn void end(enum why why)
{
    for (;;) {
        (void)call((uint64_t)why << 16 | REASON_SET << 12 | TERMINATE);
        __asm__ volatile("hlt");
    }
}

/* ---- pages ------------------------------------------------------------------------------------
 */

enum { FAIL_SIZEMISMATCH = 6 };

/* A page that was validated already would be one that the host has put there a second time. */
static uint32_t validate(uint64_t at, bool large)
{
    uint32_t code;
    bool same;

    __asm__ volatile(".byte 0xF2, 0x0F, 0x01, 0xFF" /* pvalidate */
                     : "=a"(code), "=@ccc"(same)
                     : "0"(at), "c"((uint32_t)large), "d"(1)
                     : "memory");
    if (same)
        end(NOT_VALIDATED);
    return code;
}

static void validate_span(uint64_t at, uint64_t to)
{
    while (at < to) {
        bool large = at % LARGE == 0 && to - at >= LARGE;
        uint32_t code = validate(at, large);

        if (large && code == FAIL_SIZEMISMATCH) {
            for (uint64_t p = at; p < at + LARGE; p += PAGE)
                if (validate(p, false))
                    end(NOT_VALIDATED);
            code = 0;
        }
        if (code)
            end(NOT_VALIDATED);
        at += large ? LARGE : PAGE;
    }
}

static void make_private(uint64_t at)
{
    uint64_t answer = call(PSC_PRIVATE | at | PSC_REQUEST);

    if (RESPONSE(answer) != PSC_RESPONSE || answer >> 32)
        end(NOT_CONVERTED);
    if (validate(at, false))
        end(NOT_VALIDATED);
}

/* ---- SHA-256 (FIPS 180-4) ---------------------------------------------------------------------
 */

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void block(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];

    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (unsigned i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (unsigned i = 0; i < 8; i++)
        s[i] = h[i];
    for (unsigned i = 0; i < 64; i++) {
        uint32_t a = s[0], e = s[4];
        uint32_t t1 =
            s[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        uint32_t t2 =
            (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

        for (unsigned j = 7; j > 0; j--)
            s[j] = s[j - 1];
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += s[i];
}

/* The last `n` bytes of a message of `total`, fewer than a block of them left. */
static void last_blocks(uint32_t h[8], const uint8_t *p, size_t n, uint64_t total)
{
    uint8_t tail[128] = {0};
    size_t size = n < 56 ? 64 : 128;

    for (size_t i = 0; i < n; i++)
        tail[i] = p[i];
    tail[n] = 0x80;
    for (unsigned i = 0; i < 8; i++)
        tail[size - 1 - i] = (uint8_t)(total * 8 >> 8 * i);
    for (size_t i = 0; i < size; i += 64)
        block(h, tail + i);
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* The compiler calls these for assignments, whatever it is told. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

void *memset(void *to, int value, size_t n)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return start;
}

static uint8_t copy[PAGE] __attribute__((aligned(64)));

static bool take(uint64_t gpa, uint64_t len, const uint8_t want[32])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint64_t done = 0;
    uint8_t wrong = 0;

    while (done < len) {
        size_t n = len - done < PAGE ? (size_t)(len - done) : PAGE, i = 0;

        memcpy(copy, (const void *)(SHARED + gpa + done), PAGE);
        make_private(gpa + done);
        memcpy((void *)(gpa + done), copy, PAGE);
        for (; i + 64 <= n; i += 64)
            block(h, copy + i);
        done += n;
        if (done == len)
            last_blocks(h, copy + i, n - i, len);
    }
    for (unsigned i = 0; i < 32; i++)
        wrong |= (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4))) ^ want[i];
    return !wrong;
}

struct jump {
    uint64_t entry, params;
};
struct jump stub_main(const struct stub_info *info);

struct jump stub_main(const struct stub_info *info)
{
    if (info->magic != STUB_MAGIC || info->spans > STUB_SPANS || info->files > STUB_FILES)
        end(NO_INFO);
    for (uint32_t i = 0; i < info->spans; i++)
        validate_span(info->span[i].gpa, info->span[i].gpa + info->span[i].len);
    for (uint32_t i = 0; i < info->files; i++)
        if (!take(info->file[i].gpa, info->file[i].len, info->file[i].sha256))
            end(WRONG_DIGEST);
    return (struct jump){info->entry, info->params};
}
