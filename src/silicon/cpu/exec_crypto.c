/* AES, PCLMULQDQ and SHA instructions, each one lane's kernel; the host's own where it has them. */
#include "silicon/cpu/exec_fp.h"

/* ---- AES (FIPS 197): a lane is the state, its columns first ---- */
/* clang-format off */
static const uint8_t sbox[256] = {
    0x63, 0x7C, 0x77, 0x7B, 0xF2, 0x6B, 0x6F, 0xC5, 0x30, 0x01, 0x67, 0x2B, 0xFE, 0xD7, 0xAB, 0x76,
    0xCA, 0x82, 0xC9, 0x7D, 0xFA, 0x59, 0x47, 0xF0, 0xAD, 0xD4, 0xA2, 0xAF, 0x9C, 0xA4, 0x72, 0xC0,
    0xB7, 0xFD, 0x93, 0x26, 0x36, 0x3F, 0xF7, 0xCC, 0x34, 0xA5, 0xE5, 0xF1, 0x71, 0xD8, 0x31, 0x15,
    0x04, 0xC7, 0x23, 0xC3, 0x18, 0x96, 0x05, 0x9A, 0x07, 0x12, 0x80, 0xE2, 0xEB, 0x27, 0xB2, 0x75,
    0x09, 0x83, 0x2C, 0x1A, 0x1B, 0x6E, 0x5A, 0xA0, 0x52, 0x3B, 0xD6, 0xB3, 0x29, 0xE3, 0x2F, 0x84,
    0x53, 0xD1, 0x00, 0xED, 0x20, 0xFC, 0xB1, 0x5B, 0x6A, 0xCB, 0xBE, 0x39, 0x4A, 0x4C, 0x58, 0xCF,
    0xD0, 0xEF, 0xAA, 0xFB, 0x43, 0x4D, 0x33, 0x85, 0x45, 0xF9, 0x02, 0x7F, 0x50, 0x3C, 0x9F, 0xA8,
    0x51, 0xA3, 0x40, 0x8F, 0x92, 0x9D, 0x38, 0xF5, 0xBC, 0xB6, 0xDA, 0x21, 0x10, 0xFF, 0xF3, 0xD2,
    0xCD, 0x0C, 0x13, 0xEC, 0x5F, 0x97, 0x44, 0x17, 0xC4, 0xA7, 0x7E, 0x3D, 0x64, 0x5D, 0x19, 0x73,
    0x60, 0x81, 0x4F, 0xDC, 0x22, 0x2A, 0x90, 0x88, 0x46, 0xEE, 0xB8, 0x14, 0xDE, 0x5E, 0x0B, 0xDB,
    0xE0, 0x32, 0x3A, 0x0A, 0x49, 0x06, 0x24, 0x5C, 0xC2, 0xD3, 0xAC, 0x62, 0x91, 0x95, 0xE4, 0x79,
    0xE7, 0xC8, 0x37, 0x6D, 0x8D, 0xD5, 0x4E, 0xA9, 0x6C, 0x56, 0xF4, 0xEA, 0x65, 0x7A, 0xAE, 0x08,
    0xBA, 0x78, 0x25, 0x2E, 0x1C, 0xA6, 0xB4, 0xC6, 0xE8, 0xDD, 0x74, 0x1F, 0x4B, 0xBD, 0x8B, 0x8A,
    0x70, 0x3E, 0xB5, 0x66, 0x48, 0x03, 0xF6, 0x0E, 0x61, 0x35, 0x57, 0xB9, 0x86, 0xC1, 0x1D, 0x9E,
    0xE1, 0xF8, 0x98, 0x11, 0x69, 0xD9, 0x8E, 0x94, 0x9B, 0x1E, 0x87, 0xE9, 0xCE, 0x55, 0x28, 0xDF,
    0x8C, 0xA1, 0x89, 0x0D, 0xBF, 0xE6, 0x42, 0x68, 0x41, 0x99, 0x2D, 0x0F, 0xB0, 0x54, 0xBB, 0x16,
};
static const uint8_t inverse_sbox[256] = {
    0x52, 0x09, 0x6A, 0xD5, 0x30, 0x36, 0xA5, 0x38, 0xBF, 0x40, 0xA3, 0x9E, 0x81, 0xF3, 0xD7, 0xFB,
    0x7C, 0xE3, 0x39, 0x82, 0x9B, 0x2F, 0xFF, 0x87, 0x34, 0x8E, 0x43, 0x44, 0xC4, 0xDE, 0xE9, 0xCB,
    0x54, 0x7B, 0x94, 0x32, 0xA6, 0xC2, 0x23, 0x3D, 0xEE, 0x4C, 0x95, 0x0B, 0x42, 0xFA, 0xC3, 0x4E,
    0x08, 0x2E, 0xA1, 0x66, 0x28, 0xD9, 0x24, 0xB2, 0x76, 0x5B, 0xA2, 0x49, 0x6D, 0x8B, 0xD1, 0x25,
    0x72, 0xF8, 0xF6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xD4, 0xA4, 0x5C, 0xCC, 0x5D, 0x65, 0xB6, 0x92,
    0x6C, 0x70, 0x48, 0x50, 0xFD, 0xED, 0xB9, 0xDA, 0x5E, 0x15, 0x46, 0x57, 0xA7, 0x8D, 0x9D, 0x84,
    0x90, 0xD8, 0xAB, 0x00, 0x8C, 0xBC, 0xD3, 0x0A, 0xF7, 0xE4, 0x58, 0x05, 0xB8, 0xB3, 0x45, 0x06,
    0xD0, 0x2C, 0x1E, 0x8F, 0xCA, 0x3F, 0x0F, 0x02, 0xC1, 0xAF, 0xBD, 0x03, 0x01, 0x13, 0x8A, 0x6B,
    0x3A, 0x91, 0x11, 0x41, 0x4F, 0x67, 0xDC, 0xEA, 0x97, 0xF2, 0xCF, 0xCE, 0xF0, 0xB4, 0xE6, 0x73,
    0x96, 0xAC, 0x74, 0x22, 0xE7, 0xAD, 0x35, 0x85, 0xE2, 0xF9, 0x37, 0xE8, 0x1C, 0x75, 0xDF, 0x6E,
    0x47, 0xF1, 0x1A, 0x71, 0x1D, 0x29, 0xC5, 0x89, 0x6F, 0xB7, 0x62, 0x0E, 0xAA, 0x18, 0xBE, 0x1B,
    0xFC, 0x56, 0x3E, 0x4B, 0xC6, 0xD2, 0x79, 0x20, 0x9A, 0xDB, 0xC0, 0xFE, 0x78, 0xCD, 0x5A, 0xF4,
    0x1F, 0xDD, 0xA8, 0x33, 0x88, 0x07, 0xC7, 0x31, 0xB1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xEC, 0x5F,
    0x60, 0x51, 0x7F, 0xA9, 0x19, 0xB5, 0x4A, 0x0D, 0x2D, 0xE5, 0x7A, 0x9F, 0x93, 0xC9, 0x9C, 0xEF,
    0xA0, 0xE0, 0x3B, 0x4D, 0xAE, 0x2A, 0xF5, 0xB0, 0xC8, 0xEB, 0xBB, 0x3C, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2B, 0x04, 0x7E, 0xBA, 0x77, 0xD6, 0x26, 0xE1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0C, 0x7D,
};
/* clang-format on */

static uint8_t times2(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1B : 0));
}

static void mix_columns(union lane *s)
{
    for (unsigned i = 0; i < 16; i += 4) {
        uint8_t a = s->b[i], b = s->b[i + 1], c = s->b[i + 2], d = s->b[i + 3], all = a ^ b ^ c ^ d;

        s->b[i] ^= all ^ times2(a ^ b);
        s->b[i + 1] ^= all ^ times2(b ^ c);
        s->b[i + 2] ^= all ^ times2(c ^ d);
        s->b[i + 3] ^= all ^ times2(d ^ a);
    }
}

/* 14 11 13 9 is 2 3 1 1 times 5 0 4 0. */
static void inverse_mix_columns(union lane *s)
{
    for (unsigned i = 0; i < 16; i += 4) {
        uint8_t u = times2(times2(s->b[i] ^ s->b[i + 2]));
        uint8_t v = times2(times2(s->b[i + 1] ^ s->b[i + 3]));

        s->b[i] ^= u;
        s->b[i + 1] ^= v;
        s->b[i + 2] ^= u;
        s->b[i + 3] ^= v;
    }
    mix_columns(s);
}

/* SubBytes and ShiftRows: row r moves left by r. */
static void encrypt_bytes(union lane *r, const union lane *a)
{
    for (unsigned i = 0; i < 16; i++)
        r->b[i] = sbox[a->b[(i + 4 * (i % 4)) % 16]];
}

static void decrypt_bytes(union lane *r, const union lane *a)
{
    for (unsigned i = 0; i < 16; i++)
        r->b[i] = inverse_sbox[a->b[(i + 12 * (i % 4)) % 16]];
}

static void add_key(union lane *r, const union lane *key)
{
    r->q[0] ^= key->q[0];
    r->q[1] ^= key->q[1];
}

static void soft_aesenc(union lane *r, const union lane *a, const union lane *key)
{
    encrypt_bytes(r, a);
    mix_columns(r);
    add_key(r, key);
}

static void soft_aesenclast(union lane *r, const union lane *a, const union lane *key)
{
    encrypt_bytes(r, a);
    add_key(r, key);
}

static void soft_aesdec(union lane *r, const union lane *a, const union lane *key)
{
    decrypt_bytes(r, a);
    inverse_mix_columns(r);
    add_key(r, key);
}

static void soft_aesdeclast(union lane *r, const union lane *a, const union lane *key)
{
    decrypt_bytes(r, a);
    add_key(r, key);
}

#define AES_ROUND(name)                                                                            \
    NATIVE2(name, #name)                                                                           \
    KERNEL2(name)                                                                                  \
    {                                                                                              \
        if (HOST_HAS("aes"))                                                                       \
            native_##name(r, a, b);                                                                \
        else                                                                                       \
            soft_##name(r, a, b);                                                                  \
    }                                                                                              \
    VEC2(name)
AES_ROUND(aesenc);
AES_ROUND(aesenclast);
AES_ROUND(aesdec);
AES_ROUND(aesdeclast);

KERNEL1(aesimc)
{
    *r = *a;
    inverse_mix_columns(r);
}
VEC1(aesimc);

static uint32_t substitute(uint32_t x)
{
    return sbox[x & 0xFF] | (uint32_t)sbox[x >> 8 & 0xFF] << 8 |
           (uint32_t)sbox[x >> 16 & 0xFF] << 16 | (uint32_t)sbox[x >> 24] << 24;
}

static uint32_t rotate_right(uint32_t x, unsigned by)
{
    return x >> by | x << (32 - by);
}

KERNEL1I(aeskeygenassist)
{
    for (unsigned i = 0; i < 2; i++) {
        r->d[2 * i] = substitute(a->d[2 * i + 1]);
        r->d[2 * i + 1] = rotate_right(r->d[2 * i], 8) ^ imm;
    }
}
VEC1I(aeskeygenassist, 0);

/* ---- PCLMULQDQ: imm bit 0 chooses a's quadword, bit 4 b's ---- */
NATIVE2(pclmulqdq, "pclmulqdq $0,")

static void multiply_carryless(union lane *r, uint64_t x, uint64_t y)
{
    r->q[0] = y & 1 ? x : 0;
    r->q[1] = 0;
    for (unsigned i = 1; i < 64; i++) {
        uint64_t bit = -(y >> i & 1);

        r->q[0] ^= (x << i) & bit;
        r->q[1] ^= (x >> (64 - i)) & bit;
    }
}

KERNEL2I(pclmulqdq)
{
    union lane x = {.q = {a->q[imm & 1], 0}}, y = {.q = {b->q[imm >> 4 & 1], 0}};

    if (HOST_HAS("pclmul"))
        native_pclmulqdq(r, &x, &y);
    else
        multiply_carryless(r, x.q[0], y.q[0]);
}
VEC2I(pclmulqdq, 0);

/* ---- SHA-1: a holds A B C D from the top down ---- */
static uint32_t rotate_left(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

KERNEL2(sha1nexte)
{
    *r = *b;
    r->d[3] += rotate_left(a->d[3], 30);
}
VEC2(sha1nexte);

KERNEL2(sha1msg1)
{
    r->d[3] = a->d[1] ^ a->d[3];
    r->d[2] = a->d[0] ^ a->d[2];
    r->d[1] = b->d[3] ^ a->d[1];
    r->d[0] = b->d[2] ^ a->d[0];
}
VEC2(sha1msg1);

KERNEL2(sha1msg2)
{
    r->d[3] = rotate_left(a->d[3] ^ b->d[2], 1);
    r->d[2] = rotate_left(a->d[2] ^ b->d[1], 1);
    r->d[1] = rotate_left(a->d[1] ^ b->d[0], 1);
    r->d[0] = rotate_left(a->d[0] ^ r->d[3], 1);
}
VEC2(sha1msg2);

static uint32_t sha1_function(unsigned which, uint32_t x, uint32_t y, uint32_t z)
{
    return which == 0 ? (x & y) ^ (~x & z) : which == 2 ? (x & y) ^ (x & z) ^ (y & z) : x ^ y ^ z;
}

/* Four rounds; b has the message words, E added to the first. */
KERNEL2I(sha1rnds4)
{
    static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    uint32_t s[5] = {a->d[3], a->d[2], a->d[1], a->d[0], 0};

    for (unsigned i = 0; i < 4; i++) {
        uint32_t next = sha1_function(imm & 3, s[1], s[2], s[3]) + rotate_left(s[0], 5) +
                        b->d[3 - i] + s[4] + constants[imm & 3];

        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotate_left(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (unsigned i = 0; i < 4; i++)
        r->d[3 - i] = s[i];
}
VEC2I(sha1rnds4, 0);

/* ---- SHA-256 ---- */
KERNEL2(sha256msg1)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t w = i < 3 ? a->d[i + 1] : b->d[0];

        r->d[i] = a->d[i] + (rotate_right(w, 7) ^ rotate_right(w, 18) ^ w >> 3);
    }
}
VEC2(sha256msg1);

KERNEL2(sha256msg2)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t w = i < 2 ? b->d[i + 2] : r->d[i - 2];

        r->d[i] = a->d[i] + (rotate_right(w, 17) ^ rotate_right(w, 19) ^ w >> 10);
    }
}
VEC2(sha256msg2);

/* Two rounds: a is C D G H, b is A B E F, from the top down; XMM0 the words with constants. */
static void sha256_rounds(union lane *r, const union lane *a, const union lane *b,
                          const union lane *words)
{
    uint32_t s[8] = {b->d[3], b->d[2], a->d[3], a->d[2], b->d[1], b->d[0], a->d[1], a->d[0]};

    for (unsigned i = 0; i < 2; i++) {
        uint32_t sum1 = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
        uint32_t sum0 = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
        uint32_t t = s[7] + sum1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + words->d[i];
        uint32_t next = t + sum0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

        s[7] = s[6];
        s[6] = s[5];
        s[5] = s[4];
        s[4] = s[3] + t;
        s[3] = s[2];
        s[2] = s[1];
        s[1] = s[0];
        s[0] = next;
    }
    r->d[3] = s[0];
    r->d[2] = s[1];
    r->d[1] = s[4];
    r->d[0] = s[5];
}

static void sha256rnds2(struct cpu *c, const struct op *o)
{
    union lane r;
    const union vec *b = vec_only(c, o, 16);

    sha256_rounds(&r, lane_c(&c->vec[o->d], 0), lane_c(b, 0), lane_c(&c->vec[0], 0));
    *lane(&c->vec[o->d], 0) = r;
}

static void sse_sha256rnds2(struct cpu *c, const struct op *o)
{
    sha256rnds2(c, o);
    NEXT(c, o);
}
EXEC_ANY(sse_sha256rnds2, sse_sha256rnds2);
