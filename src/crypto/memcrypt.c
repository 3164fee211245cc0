/* Memory encryption: key schedules, the portable engine, and the choice of engine. */
#include "crypto/memcrypt.h"

#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/memcrypt_engine.h"

/* Generic functions that shall be compiled once for each table or cipher they are called with. */
#define ALWAYS_INLINE __attribute__((always_inline)) inline
#define UNROLL        _Pragma("GCC unroll 4")

/* ---- AES-128 in plain C (FIPS 197), a table look-up per byte ------------------------------- */

static uint8_t sbox[256], inv_sbox[256];
/* A column of MixColumns o SubBytes, and of its inverse, for a byte in row 0; rows 1 to 3 rotate.
 */
static uint32_t mix[256], inv_mix[256];

static uint8_t xtime(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x >> 7) * 0x1B);
}

static uint8_t gf_mul(uint8_t a, unsigned b)
{
    uint8_t r = 0;

    for (; b; b >>= 1, a = xtime(a))
        if (b & 1)
            r ^= a;
    return r;
}

static uint8_t rotl8(uint8_t x, unsigned n)
{
    return (uint8_t)(x << n | x >> (8 - n));
}

static uint32_t rotl32(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static void make_tables(void)
{
    uint8_t p = 1, q = 1;

    /* p walks the multiplicative group by its generator 3, q by 3^-1 (0xF6): q is p's inverse. */
    do {
        p = gf_mul(p, 3);
        q = gf_mul(q, 0xF6);
        sbox[p] = q ^ rotl8(q, 1) ^ rotl8(q, 2) ^ rotl8(q, 3) ^ rotl8(q, 4) ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;

    for (unsigned i = 0; i < 256; i++)
        inv_sbox[sbox[i]] = (uint8_t)i;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t s = sbox[i], v = inv_sbox[i];

        mix[i] = gf_mul(s, 2) | (uint32_t)s << 8 | (uint32_t)s << 16 | (uint32_t)gf_mul(s, 3) << 24;
        inv_mix[i] = gf_mul(v, 14) | (uint32_t)gf_mul(v, 9) << 8 | (uint32_t)gf_mul(v, 13) << 16 |
                     (uint32_t)gf_mul(v, 11) << 24;
    }
}

static void expand_key(uint8_t keys[11][16], const uint8_t key[16])
{
    uint8_t rcon = 1;

    memcpy(keys[0], key, 16);
    for (unsigned r = 1; r < 11; r++, rcon = xtime(rcon)) {
        const uint8_t *last = keys[r - 1];

        for (unsigned i = 0; i < 4; i++)
            keys[r][i] = last[i] ^ sbox[last[12 + (i + 1) % 4]];
        keys[r][0] ^= rcon;
        for (unsigned i = 4; i < 16; i++)
            keys[r][i] = last[i] ^ keys[r][i - 4];
    }
}

/* FIPS 197, 5.3.5: round keys for the equivalent inverse cipher, which AESDEC wants too. */
static void invert_keys(uint8_t dec[11][16], const uint8_t enc[11][16])
{
    memcpy(dec[0], enc[10], 16);
    memcpy(dec[10], enc[0], 16);
    for (unsigned r = 1; r < 10; r++)
        for (unsigned c = 0; c < 16; c += 4) {
            const uint8_t *k = enc[10 - r] + c;

            /* inv_mix undoes sbox first, so look up sbox of the byte. */
            store32(dec[r] + c, inv_mix[sbox[k[0]]] ^ rotl32(inv_mix[sbox[k[1]]], 8) ^
                                    rotl32(inv_mix[sbox[k[2]]], 16) ^
                                    rotl32(inv_mix[sbox[k[3]]], 24));
        }
}

/* `turn` is how far ShiftRows reaches for the next row's byte: +1 column, or -1 when inverse. */
ALWAYS_INLINE static void aes(const uint8_t keys[11][16], uint8_t to[16], const uint8_t from[16],
                              const uint32_t table[256], const uint8_t last[256], unsigned turn)
{
    uint32_t s[4], t[4];

    UNROLL
    for (unsigned c = 0; c < 4; c++)
        s[c] = load32(from + 4 * c) ^ load32(keys[0] + 4 * c);
    for (unsigned r = 1; r < 10; r++) {
        UNROLL
        for (unsigned c = 0; c < 4; c++)
            t[c] = table[s[c] & 0xFF] ^ rotl32(table[s[(c + turn) & 3] >> 8 & 0xFF], 8) ^
                   rotl32(table[s[(c + 2 * turn) & 3] >> 16 & 0xFF], 16) ^
                   rotl32(table[s[(c + 3 * turn) & 3] >> 24], 24) ^ load32(keys[r] + 4 * c);
        memcpy(s, t, sizeof(s));
    }
    UNROLL
    for (unsigned c = 0; c < 4; c++)
        store32(to + 4 * c,
                (last[s[c] & 0xFF] | (uint32_t)last[s[(c + turn) & 3] >> 8 & 0xFF] << 8 |
                 (uint32_t)last[s[(c + 2 * turn) & 3] >> 16 & 0xFF] << 16 |
                 (uint32_t)last[s[(c + 3 * turn) & 3] >> 24] << 24) ^
                    load32(keys[10] + 4 * c));
}

static void portable_encrypt_block(const uint8_t keys[11][16], uint8_t to[16],
                                   const uint8_t from[16])
{
    aes(keys, to, from, mix, sbox, 1);
}

static void portable_decrypt_block(const uint8_t keys[11][16], uint8_t to[16],
                                   const uint8_t from[16])
{
    aes(keys, to, from, inv_mix, inv_sbox, 3);
}

/* Times alpha^n, 0 < n <= 32: n bits up; what falls off the end comes back times the polynomial's
 * other terms, 1 + x + x^2 + x^7. */
ALWAYS_INLINE static void times_alpha(uint64_t t[2], unsigned n)
{
    uint64_t carry = t[1] >> (64 - n);

    t[1] = t[1] << n | t[0] >> (64 - n);
    t[0] = t[0] << n ^ carry ^ carry << 1 ^ carry << 2 ^ carry << 7;
}

ALWAYS_INLINE static void
portable_run(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to, const uint8_t *from,
             size_t blocks, void (*block)(const uint8_t[11][16], uint8_t[16], const uint8_t[16]))
{
    uint64_t t[2] = {load64(tweak), load64(tweak + 8)};

    for (; blocks; blocks--, to += 16, from += 16) {
        uint8_t x[16];

        store64(x, load64(from) ^ t[0]);
        store64(x + 8, load64(from + 8) ^ t[1]);
        block(keys, x, x);
        store64(to, load64(x) ^ t[0]);
        store64(to + 8, load64(x + 8) ^ t[1]);
        times_alpha(t, 1);
    }
}

static void portable_encrypt(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to,
                             const uint8_t *from, size_t blocks)
{
    portable_run(keys, tweak, to, from, blocks, portable_encrypt_block);
}

static void portable_decrypt(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to,
                             const uint8_t *from, size_t blocks)
{
    portable_run(keys, tweak, to, from, blocks, portable_decrypt_block);
}

static const struct memcrypt_ops portable = {
    .name = "portable",
    .encrypt_block = portable_encrypt_block,
    .encrypt = portable_encrypt,
    .decrypt = portable_decrypt,
};

/* ---- engines ------------------------------------------------------------------------------- */

static const struct memcrypt_ops *engine = &portable;

static const struct memcrypt_ops *find_engine(enum memcrypt_engine which)
{
    switch (which) {
    case MEMCRYPT_PORTABLE:
        return &portable;
    case MEMCRYPT_AESNI:
        return memcrypt_aesni();
    case MEMCRYPT_VAES:
        return memcrypt_vaes();
    default:
        return NULL;
    }
}

static void start(void)
{
    make_tables();
    for (int i = MEMCRYPT_ENGINES; i-- > 0;)
        if (find_engine((enum memcrypt_engine)i)) {
            engine = find_engine((enum memcrypt_engine)i);
            return;
        }
}

static void start_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start);
}

bool memcrypt_use(enum memcrypt_engine which)
{
    const struct memcrypt_ops *ops;

    start_once();
    ops = find_engine(which);
    if (ops)
        engine = ops;
    return ops;
}

const char *memcrypt_engine_name(void)
{
    start_once();
    return engine->name;
}

void memcrypt_key_init(struct memcrypt_key *key, const uint8_t seed[32])
{
    start_once();
    expand_key(key->enc, seed);
    invert_keys(key->dec, (const uint8_t(*)[16])key->enc);
    expand_key(key->tweak, seed + 16);
}

static void tweak_of(const struct memcrypt_key *key, uint64_t frame, unsigned first,
                     uint8_t tweak[16])
{
    uint64_t t[2] = {frame, 0};

    engine->encrypt_block((const uint8_t(*)[16])key->tweak, (uint8_t *)t, (const uint8_t *)t);
    for (; first > 32; first -= 32)
        times_alpha(t, 32);
    if (first)
        times_alpha(t, first);
    memcpy(tweak, t, 16);
}

void memcrypt_encrypt(const struct memcrypt_key *key, uint64_t frame, unsigned first,
                      unsigned blocks, void *to, const void *from)
{
    uint8_t tweak[16];

    tweak_of(key, frame, first, tweak);
    engine->encrypt((const uint8_t(*)[16])key->enc, tweak, to, from, blocks);
}

void memcrypt_decrypt(const struct memcrypt_key *key, uint64_t frame, unsigned first,
                      unsigned blocks, void *to, const void *from)
{
    uint8_t tweak[16];

    tweak_of(key, frame, first, tweak);
    engine->decrypt((const uint8_t(*)[16])key->dec, tweak, to, from, blocks);
}
