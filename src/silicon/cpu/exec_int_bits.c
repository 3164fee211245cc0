/* Single bits, bit scans and counts, BMI1 and BMI2. */
#include "silicon/cpu/exec_int.h"

/* ---- BT, BTS, BTR, BTC. In memory a register's bit offset is signed and reaches beyond the
 * operand: the word that holds the bit is accessed. S, Z, A, P and OF stay (undefined, APM3) ----
 */
static inline void flag_from_bit(struct cpu *c, bool bit)
{
    flags_set_co(c, bit, flag_o(c));
}

#define bit_set(a, m)    ((a) | (m))
#define bit_reset(a, m)  ((a) & ~(m))
#define bit_change(a, m) ((a) ^ (m))

#define DEFINE_BIT_ADDRESS(bits)                                                                   \
    static inline uint64_t bit_linear##bits(struct cpu *c, const struct op *o, enum access acc)    \
    {                                                                                              \
        int64_t word = (int##bits##_t)reg_get##bits(c, o->s) / bits;                               \
                                                                                                   \
        /* Division rounds to 0, words go down. */                                                 \
        word -= (int##bits##_t)reg_get##bits(c, o->s) % bits < 0;                                  \
        return linear(c, o, o->seg, ea_offset(c, o) + (uint64_t)word * (bits / 8), bits / 8, acc); \
    }
FOR_WIDE(DEFINE_BIT_ADDRESS)

#define DEFINE_BIT_TEST(bits)                                                                      \
    static void bt_r##bits(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        flag_from_bit(c, reg_get##bits(c, o->d) >> (c->r[o->s] & (bits - 1)) & 1);                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void bt_ri##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        flag_from_bit(c, reg_get##bits(c, o->d) >> (o->imm & (bits - 1)) & 1);                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void bt_m##bits(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, bit_linear##bits(c, o, ACCESS_READ));              \
                                                                                                   \
        flag_from_bit(c, a >> (c->r[o->s] & (bits - 1)) & 1);                                      \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void bt_mi##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        flag_from_bit(c, a >> (o->imm & (bits - 1)) & 1);                                          \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_BIT_TEST)
SHAPES_WIDE(bt, bt_r, bt_m);
SHAPES_WIDE(bt_imm, bt_ri, bt_mi);

#define DEFINE_BIT_FORMS(name, how, form, count, address, bits)                                    \
    static void name##_##form##_r##bits(struct cpu *c, const struct op *o)                         \
    {                                                                                              \
        unsigned n = (unsigned)(count) & (bits - 1);                                               \
        uint##bits##_t a = reg_get##bits(c, o->d);                                                 \
                                                                                                   \
        reg_set##bits(c, o->d, (uint##bits##_t)how(a, (uint##bits##_t)(UINT64_C(1) << n)));        \
        flag_from_bit(c, a >> n & 1);                                                              \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_##form##_m##bits(struct cpu *c, const struct op *o)                         \
    {                                                                                              \
        unsigned n = (unsigned)(count) & (bits - 1);                                               \
        uint64_t la = address;                                                                     \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, (uint##bits##_t)how(a, (uint##bits##_t)(UINT64_C(1) << n)));     \
        flag_from_bit(c, a >> n & 1);                                                              \
        NEXT(c, o);                                                                                \
    }
#define DEFINE_BIT_OP(name, how, bits)                                                             \
    DEFINE_BIT_FORMS(name, how, by, c->r[o->s], bit_linear##bits(c, o, ACCESS_WRITE), bits)        \
    DEFINE_BIT_FORMS(name, how, imm, o->imm, ea(c, o, bits / 8, ACCESS_WRITE), bits)
#define BIT_OP(name, how)                                                                          \
    DEFINE_BIT_OP(name, how, 16)                                                                   \
    DEFINE_BIT_OP(name, how, 32)                                                                   \
    DEFINE_BIT_OP(name, how, 64)                                                                   \
    SHAPES_WIDE(name, name##_by_r, name##_by_m);                                                   \
    SHAPES_WIDE(name##_imm, name##_imm_r, name##_imm_m)
BIT_OP(bts, bit_set);
BIT_OP(btr, bit_reset);
BIT_OP(btc, bit_change);

/* ---- one source, one destination: op_(c, o, a) writes o->d ---- */
#define DEFINE_SCANS(bits)                                                                         \
    static inline void do_bsf##bits(struct cpu *c, const struct op *o, uint##bits##_t a)           \
    {                                                                                              \
        /* A zero source leaves the destination alone (APM3 BSF). */                               \
        if (a)                                                                                     \
            reg_set##bits(c, o->d, (uint##bits##_t)__builtin_ctzll(a));                            \
        flags_logic(c, a != 0);                                                                    \
    }                                                                                              \
    static inline void do_bsr##bits(struct cpu *c, const struct op *o, uint##bits##_t a)           \
    {                                                                                              \
        if (a)                                                                                     \
            reg_set##bits(c, o->d, (uint##bits##_t)(63 - __builtin_clzll(a)));                     \
        flags_logic(c, a != 0);                                                                    \
    }                                                                                              \
    static inline void do_tzcnt##bits(struct cpu *c, const struct op *o, uint##bits##_t a)         \
    {                                                                                              \
        uint##bits##_t n = (uint##bits##_t)(a ? __builtin_ctzll(a) : bits);                        \
                                                                                                   \
        reg_set##bits(c, o->d, n);                                                                 \
        flags_result(c, n, !a, false);                                                             \
    }                                                                                              \
    static inline void do_lzcnt##bits(struct cpu *c, const struct op *o, uint##bits##_t a)         \
    {                                                                                              \
        uint##bits##_t n = (uint##bits##_t)(a ? __builtin_clzll(a) - (64 - bits) : bits);          \
                                                                                                   \
        reg_set##bits(c, o->d, n);                                                                 \
        flags_result(c, n, !a, false);                                                             \
    }                                                                                              \
    static inline void do_popcnt##bits(struct cpu *c, const struct op *o, uint##bits##_t a)        \
    {                                                                                              \
        reg_set##bits(c, o->d, (uint##bits##_t)__builtin_popcountll(a));                           \
        /* All but ZF are cleared, PF too. */                                                      \
        flags_set(c, false, false, !a, false, false, false);                                       \
    }
FOR_WIDE(DEFINE_SCANS)

#define DEFINE_SCAN_FORMS(name, bits)                                                              \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        do_##name##bits(c, o, reg_get##bits(c, o->s));                                             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        do_##name##bits(c, o, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));              \
        NEXT(c, o);                                                                                \
    }
#define SCAN(name)                                                                                 \
    DEFINE_SCAN_FORMS(name, 16)                                                                    \
    DEFINE_SCAN_FORMS(name, 32)                                                                    \
    DEFINE_SCAN_FORMS(name, 64)                                                                    \
    SHAPES_WIDE(name, name##_r, name##_m)
SCAN(bsf);
SCAN(bsr);
SCAN(tzcnt);
SCAN(lzcnt);
SCAN(popcnt);

/* ---- BMI: do_(c, source in E, the other source) gives the result ---- */
#define DEFINE_BMI(bits)                                                                           \
    static inline uint##bits##_t do_andn##bits(struct cpu *c, uint##bits##_t e, uint##bits##_t b)  \
    {                                                                                              \
        uint##bits##_t r = ~b & e;                                                                 \
                                                                                                   \
        flags_logic(c, (int##bits##_t)r);                                                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_blsr##bits(struct cpu *c, uint##bits##_t e, uint##bits##_t b)  \
    {                                                                                              \
        uint##bits##_t r = (e - 1) & e;                                                            \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, !e, false);                                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_blsmsk##bits(struct cpu *c, uint##bits##_t e,                  \
                                                 uint##bits##_t b)                                 \
    {                                                                                              \
        uint##bits##_t r = (e - 1) ^ e;                                                            \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, !e, false);                                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_blsi##bits(struct cpu *c, uint##bits##_t e, uint##bits##_t b)  \
    {                                                                                              \
        uint##bits##_t r = -e & e;                                                                 \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, e, false);                                               \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_bextr##bits(struct cpu *c, uint##bits##_t e, uint##bits##_t b) \
    {                                                                                              \
        unsigned start = b & 0xFF, length = b >> 8 & 0xFF;                                         \
        uint##bits##_t r = start < bits ? e >> start : 0;                                          \
                                                                                                   \
        if (length < bits)                                                                         \
            r &= (uint##bits##_t)(BIT(length) - 1);                                                \
        flags_result(c, (int##bits##_t)r, false, false);                                           \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_bzhi##bits(struct cpu *c, uint##bits##_t e, uint##bits##_t b)  \
    {                                                                                              \
        unsigned n = b & 0xFF;                                                                     \
        uint##bits##_t r = n < bits ? e & (uint##bits##_t)(BIT(n) - 1) : e;                        \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, n >= bits, false);                                       \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_pext##bits(struct cpu *c, uint##bits##_t mask,                 \
                                               uint##bits##_t b)                                   \
    {                                                                                              \
        uint##bits##_t r = 0;                                                                      \
                                                                                                   \
        for (unsigned n = 0; mask; mask &= mask - 1)                                               \
            r |= (b >> __builtin_ctzll(mask) & 1) << n++;                                          \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_pdep##bits(struct cpu *c, uint##bits##_t mask,                 \
                                               uint##bits##_t b)                                   \
    {                                                                                              \
        uint##bits##_t r = 0;                                                                      \
                                                                                                   \
        for (; mask; mask &= mask - 1, b >>= 1)                                                    \
            r |= (b & 1) << __builtin_ctzll(mask);                                                 \
        return r;                                                                                  \
    }
DEFINE_BMI(32)
DEFINE_BMI(64)

/* `e` and `other` name the op's fields of the two sources. */
#define DEFINE_BMI_FORMS(name, e, other, bits)                                                     \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint##bits##_t r = do_##name##bits(c, reg_get##bits(c, o->e), reg_get##bits(c, o->other)); \
                                                                                                   \
        reg_set##bits(c, o->d, r);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, do_##name##bits(c, a, reg_get##bits(c, o->other)));                 \
        NEXT(c, o);                                                                                \
    }
#define BMI(name, e, other)                                                                        \
    DEFINE_BMI_FORMS(name, e, other, 32)                                                           \
    DEFINE_BMI_FORMS(name, e, other, 64)                                                           \
    SHAPES_Y(name, name##_r, name##_m)
BMI(andn, v, s);
BMI(pext, v, s);
BMI(pdep, v, s);
BMI(bextr, s, v);
BMI(bzhi, s, v);
BMI(blsr, s, s);
BMI(blsmsk, s, s);
BMI(blsi, s, s);
