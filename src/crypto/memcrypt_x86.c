/* Memory encryption on x86-64: AES-NI, eight blocks in flight, and VAES, sixteen. */
#include "crypto/memcrypt_engine.h"

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

/* Functions for one instruction set; the rest of the program stays baseline x86-64. */
#define AESNI __attribute__((target("aes,sse2")))
#define VAES  __attribute__((target("vaes,aes,avx512f,avx512bw")))
#define LANES 8 /* blocks in flight: as many as hide AESENC's latency */
#define ZMMS  4 /* registers of four blocks in flight */

AESNI static inline __m128i key_of(const uint8_t keys[11][16], unsigned r)
{
    return _mm_loadu_si128((const __m128i *)keys[r]);
}

AESNI static inline __m128i block_load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)from);
}

AESNI static void aesni_encrypt_block(const uint8_t keys[11][16], uint8_t to[16],
                                      const uint8_t from[16])
{
    __m128i x = _mm_xor_si128(block_load(from), key_of(keys, 0));

    for (unsigned r = 1; r < 10; r++)
        x = _mm_aesenc_si128(x, key_of(keys, r));
    x = _mm_aesenclast_si128(x, key_of(keys, 10));
    _mm_storeu_si128((__m128i *)to, x);
}

AESNI static inline __m128i times_alpha(__m128i t)
{
    /* The top bit of each half: into bit 64, and as the polynomial into the low half. */
    const __m128i poly = _mm_set_epi32(0, 1, 0, 0x87);
    __m128i carry = _mm_srai_epi32(_mm_shuffle_epi32(t, _MM_SHUFFLE(1, 1, 3, 3)), 31);

    return _mm_xor_si128(_mm_add_epi64(t, t), _mm_and_si128(carry, poly));
}

/* One byte up; the byte that falls off, times the polynomial: 1 + x + x^2 + x^7. */
AESNI static inline __m128i times_alpha8(__m128i t)
{
    __m128i c = _mm_srli_si128(t, 15), up = _mm_slli_si128(t, 1);

    c = _mm_xor_si128(_mm_xor_si128(c, _mm_slli_epi64(c, 1)),
                      _mm_xor_si128(_mm_slli_epi64(c, 2), _mm_slli_epi64(c, 7)));
    return _mm_xor_si128(up, c);
}

#define DEFINE_AESNI_RUN(name, round, last)                                                        \
    AESNI static void name(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to,       \
                           const uint8_t *from, size_t blocks)                                     \
    {                                                                                              \
        __m128i t[LANES], x[LANES];                                                                \
                                                                                                   \
        t[0] = block_load(tweak);                                                                  \
        for (unsigned i = 1; i < LANES; i++)                                                       \
            t[i] = times_alpha(t[i - 1]);                                                          \
        for (; blocks >= LANES; blocks -= LANES, to += 16 * LANES, from += 16 * LANES) {           \
            _Pragma("GCC unroll 8") for (unsigned i = 0; i < LANES; i++) x[i] =                    \
                _mm_xor_si128(_mm_xor_si128(block_load(from + 16 * i), t[i]), key_of(keys, 0));    \
            _Pragma("GCC unroll 9") for (unsigned r = 1; r < 10; r++)                              \
            {                                                                                      \
                __m128i k = key_of(keys, r);                                                       \
                                                                                                   \
                _Pragma("GCC unroll 8") for (unsigned i = 0; i < LANES; i++) x[i] =                \
                    round(x[i], k);                                                                \
            }                                                                                      \
            _Pragma("GCC unroll 8") for (unsigned i = 0; i < LANES; i++)                           \
            {                                                                                      \
                x[i] = _mm_xor_si128(last(x[i], key_of(keys, 10)), t[i]);                          \
                _mm_storeu_si128((__m128i *)(to + 16 * i), x[i]);                                  \
                t[i] = times_alpha8(t[i]);                                                         \
            }                                                                                      \
        }                                                                                          \
        for (unsigned i = 0; i < blocks; i++, to += 16, from += 16) {                              \
            __m128i y = _mm_xor_si128(_mm_xor_si128(block_load(from), t[i]), key_of(keys, 0));     \
                                                                                                   \
            for (unsigned r = 1; r < 10; r++)                                                      \
                y = round(y, key_of(keys, r));                                                     \
            y = _mm_xor_si128(last(y, key_of(keys, 10)), t[i]);                                    \
            _mm_storeu_si128((__m128i *)to, y);                                                    \
        }                                                                                          \
    }
DEFINE_AESNI_RUN(aesni_encrypt, _mm_aesenc_si128, _mm_aesenclast_si128)
DEFINE_AESNI_RUN(aesni_decrypt, _mm_aesdec_si128, _mm_aesdeclast_si128)
#undef DEFINE_AESNI_RUN

/* Two bytes up in each lane, as times_alpha8 does one. */
VAES static inline __m512i times_alpha16(__m512i t)
{
    __m512i c = _mm512_bsrli_epi128(t, 14), up = _mm512_bslli_epi128(t, 2);

    c = _mm512_xor_si512(_mm512_xor_si512(c, _mm512_slli_epi64(c, 1)),
                         _mm512_xor_si512(_mm512_slli_epi64(c, 2), _mm512_slli_epi64(c, 7)));
    return _mm512_xor_si512(up, c);
}

/* Sixteen blocks a turn; what is left over goes to AES-NI with the tweak reached. */
#define DEFINE_VAES_RUN(name, tail, round, last)                                                   \
    VAES static void name(const uint8_t keys[11][16], const uint8_t tweak[16], uint8_t *to,        \
                          const uint8_t *from, size_t blocks)                                      \
    {                                                                                              \
        _Alignas(64) uint8_t start[4 * ZMMS][16];                                                  \
        __m512i t[ZMMS], x[ZMMS], k[11];                                                           \
        __m128i at = block_load(tweak);                                                            \
                                                                                                   \
        if (blocks < 4 * ZMMS) {                                                                   \
            tail(keys, tweak, to, from, blocks);                                                   \
            return;                                                                                \
        }                                                                                          \
        for (unsigned i = 0; i < 4 * ZMMS; i++, at = times_alpha(at))                              \
            _mm_storeu_si128((__m128i *)start[i], at);                                             \
        for (unsigned i = 0; i < ZMMS; i++)                                                        \
            t[i] = _mm512_loadu_si512(start[4 * i]);                                               \
        for (unsigned r = 0; r < 11; r++)                                                          \
            k[r] = _mm512_broadcast_i32x4(key_of(keys, r));                                        \
        for (; blocks >= 4 * ZMMS; blocks -= 4 * ZMMS, to += 64 * ZMMS, from += 64 * ZMMS) {       \
            _Pragma("GCC unroll 4") for (unsigned i = 0; i < ZMMS; i++) x[i] =                     \
                _mm512_xor_si512(_mm512_xor_si512(_mm512_loadu_si512(from + 64 * i), t[i]), k[0]); \
            _Pragma("GCC unroll 9") for (unsigned r = 1; r < 10; r++)                              \
                _Pragma("GCC unroll 4") for (unsigned i = 0; i < ZMMS; i++) x[i] =                 \
                    round(x[i], k[r]);                                                             \
            _Pragma("GCC unroll 4") for (unsigned i = 0; i < ZMMS; i++)                            \
            {                                                                                      \
                x[i] = _mm512_xor_si512(last(x[i], k[10]), t[i]);                                  \
                _mm512_storeu_si512(to + 64 * i, x[i]);                                            \
                t[i] = times_alpha16(t[i]);                                                        \
            }                                                                                      \
        }                                                                                          \
        _mm512_storeu_si512(start, t[0]);                                                          \
        tail(keys, start[0], to, from, blocks);                                                    \
    }
DEFINE_VAES_RUN(vaes_encrypt, aesni_encrypt, _mm512_aesenc_epi128, _mm512_aesenclast_epi128)
DEFINE_VAES_RUN(vaes_decrypt, aesni_decrypt, _mm512_aesdec_epi128, _mm512_aesdeclast_epi128)
#undef DEFINE_VAES_RUN

static const struct memcrypt_ops aesni = {
    .name = "aes-ni",
    .encrypt_block = aesni_encrypt_block,
    .encrypt = aesni_encrypt,
    .decrypt = aesni_decrypt,
};

static const struct memcrypt_ops vaes = {
    .name = "vaes",
    .encrypt_block = aesni_encrypt_block,
    .encrypt = vaes_encrypt,
    .decrypt = vaes_decrypt,
};

const struct memcrypt_ops *memcrypt_aesni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_AES ? &aesni : NULL;
}

const struct memcrypt_ops *memcrypt_vaes(void)
{
    unsigned a, b, c, d;

    /* avx512*: asked of the compiler's run-time, which also asks the operating system. */
    __builtin_cpu_init();
    return memcrypt_aesni() && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
                   c & 1u << 9
               ? &vaes
               : NULL;
}

#else

const struct memcrypt_ops *memcrypt_aesni(void)
{
    return NULL;
}

const struct memcrypt_ops *memcrypt_vaes(void)
{
    return NULL;
}

#endif
