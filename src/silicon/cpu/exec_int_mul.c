/* Multiplication, division, decimal adjustment, ADX and CRC32. */
#include "silicon/cpu/exec_int.h"

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

/* ---- multiplication. CF = OF = the high half says more than the low; AMD's cores keep S, Z, A
 * and P, which APM3 leaves undefined ---- */
static void mul_8(struct cpu *c, uint8_t b)
{
    uint16_t r = (uint16_t)(reg_get8(c, 0) * b);

    reg_set16(c, RAX, r);
    flags_set_co(c, r >> 8, r >> 8);
}
static void imul_8(struct cpu *c, uint8_t b)
{
    int16_t r = (int16_t)((int8_t)reg_get8(c, 0) * (int8_t)b);

    reg_set16(c, RAX, (uint16_t)r);
    flags_set_co(c, r != (int8_t)r, r != (int8_t)r);
}

#define DEFINE_MUL(bits, uwide, swide)                                                             \
    static void mul_##bits(struct cpu *c, uint##bits##_t b)                                        \
    {                                                                                              \
        uwide r = (uwide)reg_get##bits(c, RAX) * b;                                                \
        bool more = r >> bits;                                                                     \
                                                                                                   \
        reg_set##bits(c, RAX, (uint##bits##_t)r);                                                  \
        reg_set##bits(c, RDX, (uint##bits##_t)(r >> bits));                                        \
        flags_set_co(c, more, more);                                                               \
    }                                                                                              \
    static void imul_##bits(struct cpu *c, uint##bits##_t b)                                       \
    {                                                                                              \
        swide r = (swide)(int##bits##_t)reg_get##bits(c, RAX) * (int##bits##_t)b;                  \
        bool more = r != (int##bits##_t)r;                                                         \
                                                                                                   \
        reg_set##bits(c, RAX, (uint##bits##_t)r);                                                  \
        reg_set##bits(c, RDX, (uint##bits##_t)(r >> bits));                                        \
        flags_set_co(c, more, more);                                                               \
    }                                                                                              \
    static uint##bits##_t imul2_##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)          \
    {                                                                                              \
        swide r = (swide)(int##bits##_t)a * (int##bits##_t)b;                                      \
        bool more = r != (int##bits##_t)r;                                                         \
                                                                                                   \
        flags_set_co(c, more, more);                                                               \
        return (uint##bits##_t)r;                                                                  \
    }
DEFINE_MUL(16, uint32_t, int32_t)
DEFINE_MUL(32, uint64_t, int64_t)
DEFINE_MUL(64, uint128, int128)

#define DEFINE_MUL_FORMS(bits)                                                                     \
    static void imul2_r##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        uint##bits##_t b = reg_get##bits(c, o->s);                                                 \
                                                                                                   \
        reg_set##bits(c, o->d, imul2_##bits(c, reg_get##bits(c, o->d), b));                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void imul2_m##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        uint##bits##_t b = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, imul2_##bits(c, reg_get##bits(c, o->d), b));                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void imul3_r##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        uint##bits##_t a = reg_get##bits(c, o->s);                                                 \
                                                                                                   \
        reg_set##bits(c, o->d, imul2_##bits(c, a, (uint##bits##_t)o->imm));                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void imul3_m##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, imul2_##bits(c, a, (uint##bits##_t)o->imm));                        \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_MUL_FORMS)
SHAPES_WIDE(imul2, imul2_r, imul2_m);
SHAPES_WIDE(imul3, imul3_r, imul3_m);

/* ---- division: rDX:rAX by b; #DE when b is 0 or the quotient does not fit ---- */
static void div_8(struct cpu *c, const struct op *o, uint8_t b)
{
    uint16_t a = reg_get16(c, RAX);

    if (!b || a / b > UINT8_MAX)
        cpu_fault(c, o, EXC_DE, 0);
    reg_set16(c, RAX, (uint16_t)((a % b) << 8 | a / b));
}
static void idiv_8(struct cpu *c, const struct op *o, uint8_t b)
{
    int a = (int16_t)reg_get16(c, RAX), by = (int8_t)b;

    if (!by || a / by != (int8_t)(a / by))
        cpu_fault(c, o, EXC_DE, 0);
    reg_set16(c, RAX, (uint16_t)((uint8_t)(a % by) << 8 | (uint8_t)(a / by)));
}

/* The quotient of magnitudes must fit below 2^(bits-1), or be just that when negative; the
 * remainder has the dividend's sign. */
#define DEFINE_DIV(bits, uwide)                                                                    \
    static void div_##bits(struct cpu *c, const struct op *o, uint##bits##_t b)                    \
    {                                                                                              \
        uwide a = (uwide)reg_get##bits(c, RDX) << bits | reg_get##bits(c, RAX);                    \
                                                                                                   \
        if (reg_get##bits(c, RDX) >= b) /* b is 0, or too small */                                 \
            cpu_fault(c, o, EXC_DE, 0);                                                            \
        reg_set##bits(c, RAX, (uint##bits##_t)(a / b));                                            \
        reg_set##bits(c, RDX, (uint##bits##_t)(a % b));                                            \
    }                                                                                              \
    static void idiv_##bits(struct cpu *c, const struct op *o, uint##bits##_t b)                   \
    {                                                                                              \
        bool minus_a = reg_get##bits(c, RDX) >> (bits - 1), minus_b = b >> (bits - 1);             \
        uwide a = (uwide)reg_get##bits(c, RDX) << bits | reg_get##bits(c, RAX);                    \
        uint##bits##_t by = minus_b ? (uint##bits##_t) - b : b, rest;                              \
        uwide q;                                                                                   \
                                                                                                   \
        if (minus_a)                                                                               \
            a = -a;                                                                                \
        if ((a >> bits) >= by)                                                                     \
            cpu_fault(c, o, EXC_DE, 0);                                                            \
        q = a / by;                                                                                \
        rest = (uint##bits##_t)(a % by);                                                           \
        if (q > ((uwide)1 << (bits - 1)) - (minus_a == minus_b))                                   \
            cpu_fault(c, o, EXC_DE, 0);                                                            \
        reg_set##bits(c, RAX, (uint##bits##_t)(minus_a == minus_b ? q : -q));                      \
        reg_set##bits(c, RDX, minus_a ? (uint##bits##_t) - rest : rest);                           \
    }
DEFINE_DIV(16, uint32_t)
DEFINE_DIV(32, uint64_t)
DEFINE_DIV(64, uint128)

/* ---- the one-operand forms ---- */
#define DEFINE_ACCUMULATE(bits)                                                                    \
    static void mul_r##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        mul_##bits(c, reg_get##bits(c, o->d));                                                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void mul_m##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        mul_##bits(c, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                      \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void imul_r##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        imul_##bits(c, reg_get##bits(c, o->d));                                                    \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void imul_m##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        imul_##bits(c, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void div_r##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        div_##bits(c, o, reg_get##bits(c, o->d));                                                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void div_m##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        div_##bits(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void idiv_r##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        idiv_##bits(c, o, reg_get##bits(c, o->d));                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void idiv_m##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        idiv_##bits(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                  \
        NEXT(c, o);                                                                                \
    }
FOR_SIZES(DEFINE_ACCUMULATE)
SHAPES(mul, mul_r, mul_m);
SHAPES(imul, imul_r, imul_m);
SHAPES(div, div_r, div_m);
SHAPES(idiv, idiv_r, idiv_m);

/* MULX: the low half to vvvv first, so that the high half wins when both are one register. */
static void mulx_32(struct cpu *c, const struct op *o, uint32_t b)
{
    uint64_t r = (uint64_t)reg_get32(c, RDX) * b;

    reg_set32(c, o->s, (uint32_t)r);
    reg_set32(c, o->d, (uint32_t)(r >> 32));
}
static void mulx_64(struct cpu *c, const struct op *o, uint64_t b)
{
    uint128 r = (uint128)c->r[RDX] * b;

    c->r[o->s] = (uint64_t)r;
    c->r[o->d] = (uint64_t)(r >> 64);
}

/* ---- ADX: chains of carries in CF and in OF ---- */
static inline void flag_set_o(struct cpu *c, bool of)
{
    c->lazy.carry ^= (uint64_t)(flag_o(c) ^ of) << LAZY_OF;
}

#define DEFINE_ADX(bits, wide)                                                                     \
    static void adcx_##bits(struct cpu *c, const struct op *o, uint##bits##_t b)                   \
    {                                                                                              \
        wide sum = (wide)reg_get##bits(c, o->d) + b + flag_c(c);                                   \
                                                                                                   \
        reg_set##bits(c, o->d, (uint##bits##_t)sum);                                               \
        flag_set_c(c, sum >> bits);                                                                \
    }                                                                                              \
    static void adox_##bits(struct cpu *c, const struct op *o, uint##bits##_t b)                   \
    {                                                                                              \
        wide sum = (wide)reg_get##bits(c, o->d) + b + flag_o(c);                                   \
                                                                                                   \
        reg_set##bits(c, o->d, (uint##bits##_t)sum);                                               \
        flag_set_o(c, sum >> bits);                                                                \
    }
DEFINE_ADX(32, uint64_t)
DEFINE_ADX(64, uint128)

/* The source is operand 1 (ADX) or 2 (MULX). */
#define DEFINE_Y_FORMS(name, source, bits)                                                         \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        name##_##bits(c, o, reg_get##bits(c, o->source));                                          \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        name##_##bits(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));                \
        NEXT(c, o);                                                                                \
    }
#define Y_FORMS(name, source)                                                                      \
    DEFINE_Y_FORMS(name, source, 32)                                                               \
    DEFINE_Y_FORMS(name, source, 64)                                                               \
    SHAPES_Y(name, name##_r, name##_m)
Y_FORMS(mulx, v);
Y_FORMS(adcx, s);
Y_FORMS(adox, s);

/* ---- CRC32: CRC-32C (polynomial 11EDC6F41h, bits reflected), without inversions ---- */
static uint32_t crc32c(uint32_t crc, uint64_t bytes, unsigned bits)
{
    static const uint32_t nibbles[16] = {0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1,
                                         0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
                                         0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
                                         0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};

    for (unsigned i = 0; i < bits; i += 4)
        crc = crc >> 4 ^ nibbles[(crc ^ bytes >> i) & 15];
    return crc;
}

#define DEFINE_CRC32(bits)                                                                         \
    static void crc32_r##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        reg_set32(c, o->d, crc32c(reg_get32(c, o->d), reg_get##bits(c, o->s), bits));              \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void crc32_m##bits(struct cpu *c, const struct op *o)                                   \
    {                                                                                              \
        uint##bits##_t v = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set32(c, o->d, crc32c(reg_get32(c, o->d), v, bits));                                   \
        NEXT(c, o);                                                                                \
    }
FOR_SIZES(DEFINE_CRC32)
SHAPES(crc32, crc32_r, crc32_m);

/* ---- decimal adjustment (APM3): AL and AH are the first two bytes of RAX ---- */
static void daa(struct cpu *c, const struct op *o)
{
    uint8_t al = REG8(c, 0), r = al;
    bool af = (al & 15) > 9 || flag_a(c), cf = al > 0x99 || flag_c(c);

    r = (uint8_t)(r + (af ? 6 : 0) + (cf ? 0x60 : 0));
    REG8(c, 0) = r;
    flags_set(c, false, r >> 7, !r, af, !__builtin_parity(r), cf);
    NEXT(c, o);
}
static void das(struct cpu *c, const struct op *o)
{
    uint8_t al = REG8(c, 0), r = al;
    bool af = (al & 15) > 9 || flag_a(c), high = al > 0x99 || flag_c(c);
    bool cf = high || (af && al < 6);

    r = (uint8_t)(r - (af ? 6 : 0) - (high ? 0x60 : 0));
    REG8(c, 0) = r;
    flags_set(c, false, r >> 7, !r, af, !__builtin_parity(r), cf);
    NEXT(c, o);
}

static void adjust_ascii(struct cpu *c, int by)
{
    bool adjust = (REG8(c, 0) & 15) > 9 || flag_a(c);

    if (adjust)
        reg_set16(c, RAX, (uint16_t)(c->r[RAX] + (uint64_t)(int64_t)by));
    REG8(c, 0) &= 15;
    flags_set(c, false, false, !REG8(c, 0), adjust, !__builtin_parity(REG8(c, 0)), adjust);
}
static void aaa(struct cpu *c, const struct op *o)
{
    adjust_ascii(c, 0x106);
    NEXT(c, o);
}
static void aas(struct cpu *c, const struct op *o)
{
    adjust_ascii(c, -0x106);
    NEXT(c, o);
}
static void aam(struct cpu *c, const struct op *o)
{
    uint8_t al = REG8(c, 0), by = (uint8_t)o->imm;

    if (!by)
        cpu_fault(c, o, EXC_DE, 0);
    reg_set16(c, RAX, (uint16_t)((al / by) << 8 | al % by));
    flags_result(c, (int8_t)REG8(c, 0), false, false);
    NEXT(c, o);
}
static void aad(struct cpu *c, const struct op *o)
{
    uint8_t r = (uint8_t)(REG8(c, 0) + REG8(c, 1) * o->imm);

    reg_set16(c, RAX, r);
    flags_result(c, (int8_t)r, false, false);
    NEXT(c, o);
}
static void salc(struct cpu *c, const struct op *o)
{
    REG8(c, 0) = flag_c(c) ? 0xFF : 0;
    NEXT(c, o);
}
EXEC_ANY(daa, daa);
EXEC_ANY(das, das);
EXEC_ANY(aaa, aaa);
EXEC_ANY(aas, aas);
EXEC_ANY(aam, aam);
EXEC_ANY(aad, aad);
EXEC_ANY(salc, salc);
