/* Integer arithmetic, logic and moves. */
#include "silicon/cpu/exec_int.h"

/* ---- results with flags: a OP b of each size ---- */
#define DEFINE_COMPUTE(bits)                                                                       \
    static inline uint##bits##_t do_add##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a + b);                                                \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_add(a, b, r), bits);                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_adc##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a + b + flag_c(c));                                    \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_add(a, b, r), bits);                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_sub##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a - b);                                                \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_sub(a, b, r), bits);                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_sbb##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        uint##bits##_t r = (uint##bits##_t)(a - b - flag_c(c));                                    \
                                                                                                   \
        flags_arith(c, (int##bits##_t)r, carries_sub(a, b, r), bits);                              \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_and##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        flags_logic(c, (int##bits##_t)(a & b));                                                    \
        return a & b;                                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_or##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)    \
    {                                                                                              \
        flags_logic(c, (int##bits##_t)(a | b));                                                    \
        return a | b;                                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_xor##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b)   \
    {                                                                                              \
        flags_logic(c, (int##bits##_t)(a ^ b));                                                    \
        return a ^ b;                                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_inc##bits(struct cpu *c, uint##bits##_t a)                     \
    {                                                                                              \
        bool cf = flag_c(c);                                                                       \
        uint##bits##_t r = do_add##bits(c, a, 1);                                                  \
                                                                                                   \
        flag_set_c(c, cf);                                                                         \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_dec##bits(struct cpu *c, uint##bits##_t a)                     \
    {                                                                                              \
        bool cf = flag_c(c);                                                                       \
        uint##bits##_t r = do_sub##bits(c, a, 1);                                                  \
                                                                                                   \
        flag_set_c(c, cf);                                                                         \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_neg##bits(struct cpu *c, uint##bits##_t a)                     \
    {                                                                                              \
        return do_sub##bits(c, 0, a);                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_not##bits(struct cpu *c, uint##bits##_t a)                     \
    {                                                                                              \
        return (uint##bits##_t) ~a;                                                                \
    }
FOR_SIZES(DEFINE_COMPUTE)

/* ---- two operands: NAME (E, G), NAME_load (G, E), NAME_imm (E, I) ---- */
#define DEFINE_BINARY(name, bits)                                                                  \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d,                                                                     \
                      do_##name##bits(c, reg_get##bits(c, o->d), reg_get##bits(c, o->s)));         \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_i##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d,                                                                     \
                      do_##name##bits(c, reg_get##bits(c, o->d), (uint##bits##_t)o->imm));         \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_l##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint##bits##_t b = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, do_##name##bits(c, reg_get##bits(c, o->d), b));                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, do_##name##bits(c, a, reg_get##bits(c, o->s)));                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_mi##bits(struct cpu *c, const struct op *o)                                 \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, do_##name##bits(c, a, (uint##bits##_t)o->imm));                  \
        NEXT(c, o);                                                                                \
    }
#define BINARY(name)                                                                               \
    DEFINE_BINARY(name, 8)                                                                         \
    DEFINE_BINARY(name, 16)                                                                        \
    DEFINE_BINARY(name, 32)                                                                        \
    DEFINE_BINARY(name, 64)                                                                        \
    SHAPES(name, name##_r, name##_m);                                                              \
    SHAPES(name##_load, name##_r, name##_l);                                                       \
    SHAPES(name##_imm, name##_i, name##_mi)
BINARY(add);
BINARY(or);
BINARY(adc);
BINARY(sbb);
BINARY(and);
BINARY(sub);
BINARY(xor);

/* CMP and TEST: flags alone. */
#define DEFINE_COMPARE(name, how, bits)                                                            \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        (void)do_##how##bits(c, reg_get##bits(c, o->d), reg_get##bits(c, o->s));                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_i##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        (void)do_##how##bits(c, reg_get##bits(c, o->d), (uint##bits##_t)o->imm);                   \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        (void)do_##how##bits(c, a, reg_get##bits(c, o->s));                                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_mi##bits(struct cpu *c, const struct op *o)                                 \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        (void)do_##how##bits(c, a, (uint##bits##_t)o->imm);                                        \
        NEXT(c, o);                                                                                \
    }
#define COMPARE(name, how)                                                                         \
    DEFINE_COMPARE(name, how, 8)                                                                   \
    DEFINE_COMPARE(name, how, 16)                                                                  \
    DEFINE_COMPARE(name, how, 32)                                                                  \
    DEFINE_COMPARE(name, how, 64)                                                                  \
    SHAPES(name, name##_r, name##_m);                                                              \
    SHAPES(name##_imm, name##_i, name##_mi)
COMPARE(cmp, sub);

COMPARE(test, and);

#define DEFINE_CMP_LOAD(bits)                                                                      \
    static void cmp_l##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        uint##bits##_t b = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        (void)do_sub##bits(c, reg_get##bits(c, o->d), b);                                          \
        NEXT(c, o);                                                                                \
    }
FOR_SIZES(DEFINE_CMP_LOAD)
SHAPES(cmp_load, cmp_r, cmp_l);

/* ---- one operand ---- */
#define DEFINE_UNARY(name, bits)                                                                   \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d, do_##name##bits(c, reg_get##bits(c, o->d)));                        \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, do_##name##bits(c, a));                                          \
        NEXT(c, o);                                                                                \
    }
#define UNARY(name)                                                                                \
    DEFINE_UNARY(name, 8)                                                                          \
    DEFINE_UNARY(name, 16)                                                                         \
    DEFINE_UNARY(name, 32)                                                                         \
    DEFINE_UNARY(name, 64)                                                                         \
    SHAPES(name, name##_r, name##_m)
UNARY(inc);
UNARY(dec);
UNARY(neg);
UNARY(not );

/* ---- exchange ---- */
#define DEFINE_EXCHANGE(bits)                                                                      \
    static void xadd_r##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        uint##bits##_t a = reg_get##bits(c, o->d);                                                 \
        uint##bits##_t sum = do_add##bits(c, a, reg_get##bits(c, o->s));                           \
                                                                                                   \
        reg_set##bits(c, o->s, a);                                                                 \
        reg_set##bits(c, o->d, sum);                                                               \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void xadd_m##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, do_add##bits(c, a, reg_get##bits(c, o->s)));                     \
        reg_set##bits(c, o->s, a);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void xchg_r##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        uint##bits##_t a = reg_get##bits(c, o->d);                                                 \
                                                                                                   \
        reg_set##bits(c, o->d, reg_get##bits(c, o->s));                                            \
        reg_set##bits(c, o->s, a);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void xchg_m##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, reg_get##bits(c, o->s));                                         \
        reg_set##bits(c, o->s, a);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void cmpxchg_r##bits(struct cpu *c, const struct op *o)                                 \
    {                                                                                              \
        uint##bits##_t a = reg_get##bits(c, o->d);                                                 \
                                                                                                   \
        (void)do_sub##bits(c, reg_get##bits(c, RAX), a);                                           \
        if (flag_z(c))                                                                             \
            reg_set##bits(c, o->d, reg_get##bits(c, o->s));                                        \
        else                                                                                       \
            reg_set##bits(c, RAX, a);                                                              \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void cmpxchg_m##bits(struct cpu *c, const struct op *o)                                 \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        (void)do_sub##bits(c, reg_get##bits(c, RAX), a);                                           \
        if (flag_z(c)) {                                                                           \
            mem_store##bits(c, o, la, reg_get##bits(c, o->s));                                     \
        } else {                                                                                   \
            mem_store##bits(c, o, la, a); /* the write happens either way (APM3 CMPXCHG) */        \
            reg_set##bits(c, RAX, a);                                                              \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }
FOR_SIZES(DEFINE_EXCHANGE)
SHAPES(xadd, xadd_r, xadd_m);
SHAPES(xchg, xchg_r, xchg_m);
SHAPES(cmpxchg, cmpxchg_r, cmpxchg_m);

/* 90h is NOP: it does not clear the high half of RAX as XCHG EAX, EAX would. */
#define DEFINE_XCHG_ACC(bits)                                                                      \
    static void xchg_acc_r##bits(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        uint##bits##_t a = reg_get##bits(c, RAX);                                                  \
                                                                                                   \
        if (o->d != RAX) {                                                                         \
            reg_set##bits(c, RAX, reg_get##bits(c, o->d));                                         \
            reg_set##bits(c, o->d, a);                                                             \
        }                                                                                          \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_XCHG_ACC)
SHAPES_WIDE_REG(xchg_acc, xchg_acc_r);

static void set_z(struct cpu *c, bool z)
{
    flags_set(c, flag_o(c), flag_s(c), z, flag_a(c), flag_p(c), flag_c(c));
}

static void cmpxchg8b(struct cpu *c, const struct op *o)
{
    uint64_t la = ea(c, o, 8, ACCESS_WRITE), old = mem_load_rw64(c, o, la);
    bool equal = old == (c->r[RDX] << 32 | (uint32_t)c->r[RAX]);

    mem_store64(c, o, la, equal ? c->r[RCX] << 32 | (uint32_t)c->r[RBX] : old);
    if (!equal) {
        c->r[RAX] = (uint32_t)old;
        c->r[RDX] = old >> 32;
    }
    set_z(c, equal);
    NEXT(c, o);
}
EXEC_ANY(cmpxchg8b, cmpxchg8b);

/* A function of its own: a routine whose local's address is known elsewhere would not jump to the
 * next one but call it. */
static __attribute__((noinline)) void swap16_bytes(struct cpu *c, const struct op *o)
{
    uint64_t la = ea(c, o, 16, ACCESS_WRITE), old[2], new[2] = {c->r[RBX], c->r[RCX]};
    bool equal;

    if (la & 15)
        cpu_fault(c, o, EXC_GP, 0);
    mmu_load_rw(c, o, la, old, sizeof(old));
    equal = old[0] == c->r[RAX] && old[1] == c->r[RDX];
    mmu_store(c, o, la, equal ? new : old, sizeof(old));
    if (!equal) {
        c->r[RAX] = old[0];
        c->r[RDX] = old[1];
    }
    set_z(c, equal);
}
static void cmpxchg16b(struct cpu *c, const struct op *o)
{
    swap16_bytes(c, o);
    NEXT(c, o);
}
EXEC_ANY(cmpxchg16b, cmpxchg16b);

/* ---- moves ---- */
#define DEFINE_MOVE(bits)                                                                          \
    static void mov_r##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        reg_set##bits(c, o->d, reg_get##bits(c, o->s));                                            \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void mov_i##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        reg_set##bits(c, o->d, (uint##bits##_t)o->imm);                                            \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void mov_l##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        reg_set##bits(c, o->d, mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ)));             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void mov_m##bits(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        mem_store##bits(c, o, ea(c, o, bits / 8, ACCESS_WRITE), reg_get##bits(c, o->s));           \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void mov_mi##bits(struct cpu *c, const struct op *o)                                    \
    {                                                                                              \
        mem_store##bits(c, o, ea(c, o, bits / 8, ACCESS_WRITE), (uint##bits##_t)o->imm);           \
        NEXT(c, o);                                                                                \
    }
FOR_SIZES(DEFINE_MOVE)
SHAPES(mov, mov_r, mov_m);
SHAPES(mov_load, mov_r, mov_l);
SHAPES(mov_imm, mov_i, mov_mi);

/* `from` bits, zero- or sign-extended to the operand size. */
#define DEFINE_EXTEND(name, type, from, bits)                                                      \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d, (uint##bits##_t)(type)reg_get##from(c, o->s));                      \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint64_t la = ea(c, o, from / 8, ACCESS_READ);                                             \
                                                                                                   \
        reg_set##bits(c, o->d, (uint##bits##_t)(type)mem_load##from(c, o, la));                    \
        NEXT(c, o);                                                                                \
    }
#define EXTEND(name, type, from)                                                                   \
    DEFINE_EXTEND(name, type, from, 16)                                                            \
    DEFINE_EXTEND(name, type, from, 32)                                                            \
    DEFINE_EXTEND(name, type, from, 64)                                                            \
    SHAPES_WIDE(name, name##_r, name##_m)
EXTEND(movzx_b, uint8_t, 8);
EXTEND(movzx_w, uint16_t, 16);
EXTEND(movsx_b, int8_t, 8);
EXTEND(movsx_w, int16_t, 16);
EXTEND(movsxd, int32_t, 32);

static void lea_16(struct cpu *c, const struct op *o)
{
    reg_set16(c, o->d, (uint16_t)ea_offset(c, o));
    NEXT(c, o);
}
static void lea_32(struct cpu *c, const struct op *o)
{
    c->r[o->d] = (uint32_t)ea_wrapped(c, o);
    NEXT(c, o);
}
static void lea_64(struct cpu *c, const struct op *o)
{
    c->r[o->d] = ea_wrapped(c, o);
    NEXT(c, o);
}
SHAPES_WIDE_REG(lea, lea_);

#define swap16(v) __builtin_bswap16(v)
#define swap32(v) __builtin_bswap32(v)
#define swap64(v) __builtin_bswap64(v)
#define DEFINE_MOVBE(bits)                                                                         \
    static void movbe_load##bits(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        uint##bits##_t v = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, swap##bits(v));                                                     \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void movbe_store##bits(struct cpu *c, const struct op *o)                               \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, swap##bits(reg_get##bits(c, o->s)));                             \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_MOVBE)
SHAPES_WIDE_REG(movbe_load, movbe_load);
SHAPES_WIDE_REG(movbe_store, movbe_store);

/* BSWAP of 16 bits is undefined (APM3); cores of AMD clear the register's low half. */
static void bswap_16(struct cpu *c, const struct op *o)
{
    reg_set16(c, o->d, 0);
    NEXT(c, o);
}
static void bswap_32(struct cpu *c, const struct op *o)
{
    reg_set32(c, o->d, swap32(reg_get32(c, o->d)));
    NEXT(c, o);
}
static void bswap_64(struct cpu *c, const struct op *o)
{
    reg_set64(c, o->d, swap64(reg_get64(c, o->d)));
    NEXT(c, o);
}
SHAPES_WIDE_REG(bswap, bswap_);

static void xlat(struct cpu *c, const struct op *o)
{
    uint64_t off = c->r[RBX] + reg_get8(c, 0);

    reg_set8(c, 0, mem_load8(c, o, linear(c, o, o->seg, off, 1, ACCESS_READ)));
    NEXT(c, o);
}
EXEC_ANY(xlat, xlat);

/* CBW, CWDE, CDQE */
static void cbw_16(struct cpu *c, const struct op *o)
{
    reg_set16(c, RAX, (uint16_t)(int8_t)c->r[RAX]);
    NEXT(c, o);
}
static void cbw_32(struct cpu *c, const struct op *o)
{
    reg_set32(c, RAX, (uint32_t)(int16_t)c->r[RAX]);
    NEXT(c, o);
}
static void cbw_64(struct cpu *c, const struct op *o)
{
    reg_set64(c, RAX, (uint64_t)(int32_t)c->r[RAX]);
    NEXT(c, o);
}
SHAPES_WIDE_REG(cbw, cbw_);

/* CWD, CDQ, CQO */
#define DEFINE_CWD(bits)                                                                           \
    static void cwd_##bits(struct cpu *c, const struct op *o)                                      \
    {                                                                                              \
        reg_set##bits(c, RDX, (uint##bits##_t)((int##bits##_t)c->r[RAX] >> (bits - 1)));           \
        NEXT(c, o);                                                                                \
    }
FOR_WIDE(DEFINE_CWD)
SHAPES_WIDE_REG(cwd, cwd_);

/* ---- by condition: a routine for each of the sixteen ---- */
#define DEFINE_CMOV(cc, bits)                                                                      \
    static void cmov_r##bits##_##cc(struct cpu *c, const struct op *o)                             \
    {                                                                                              \
        uint##bits##_t v = reg_get##bits(c, condition(c, cc) ? o->s : o->d);                       \
                                                                                                   \
        reg_set##bits(c, o->d, v);                                                                 \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void cmov_m##bits##_##cc(struct cpu *c, const struct op *o)                             \
    {                                                                                              \
        uint##bits##_t v = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, condition(c, cc) ? v : reg_get##bits(c, o->d));                     \
        NEXT(c, o);                                                                                \
    }
#define DEFINE_CONDITIONAL(cc)                                                                     \
    DEFINE_CMOV(cc, 16)                                                                            \
    DEFINE_CMOV(cc, 32)                                                                            \
    DEFINE_CMOV(cc, 64)                                                                            \
    static void setcc_r##cc(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        reg_set8(c, o->d, condition(c, cc));                                                       \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void setcc_m##cc(struct cpu *c, const struct op *o)                                     \
    {                                                                                              \
        mem_store8(c, o, ea(c, o, 1, ACCESS_WRITE), condition(c, cc));                             \
        NEXT(c, o);                                                                                \
    }
FOR_CONDITIONS(DEFINE_CONDITIONAL)

#define CMOV_SHAPES(cc)                                                                            \
    cmov_r16_##cc, cmov_r16_##cc, cmov_r32_##cc, cmov_r64_##cc, cmov_m16_##cc, cmov_m16_##cc,      \
        cmov_m32_##cc, cmov_m64_##cc,
#define SETCC_SHAPES(cc)                                                                           \
    setcc_r##cc, setcc_r##cc, setcc_r##cc, setcc_r##cc, setcc_m##cc, setcc_m##cc, setcc_m##cc,     \
        setcc_m##cc,
exec_fn *const exec_cmov[16 * 8] = {FOR_CONDITIONS(CMOV_SHAPES)};
exec_fn *const exec_setcc[16 * 8] = {FOR_CONDITIONS(SETCC_SHAPES)};

/* ---- flags ---- */
static void cmc(struct cpu *c, const struct op *o)
{
    flag_set_c(c, !flag_c(c));
    NEXT(c, o);
}
static void clc(struct cpu *c, const struct op *o)
{
    flag_set_c(c, false);
    NEXT(c, o);
}
static void stc(struct cpu *c, const struct op *o)
{
    flag_set_c(c, true);
    NEXT(c, o);
}
static void cld(struct cpu *c, const struct op *o)
{
    c->rflags &= ~RFLAGS_DF;
    NEXT(c, o);
}
static void std(struct cpu *c, const struct op *o)
{
    c->rflags |= RFLAGS_DF;
    NEXT(c, o);
}
/* AH is the second byte of RAX. */
static void sahf(struct cpu *c, const struct op *o)
{
    uint32_t keep = flags_read(c) & FLAG_O;

    flags_write(c, keep | (REG8(c, 1) & (OSZAPC & ~FLAG_O)));
    NEXT(c, o);
}
static void lahf(struct cpu *c, const struct op *o)
{
    REG8(c, 1) = (uint8_t)((flags_read(c) & 0xFF) | 2);
    NEXT(c, o);
}
EXEC_ANY(cmc, cmc);
EXEC_ANY(clc, clc);
EXEC_ANY(stc, stc);
EXEC_ANY(cld, cld);
EXEC_ANY(std, std);
EXEC_ANY(sahf, sahf);
EXEC_ANY(lahf, lahf);

/* ---- hints ---- */
static void nop(struct cpu *c, const struct op *o)
{
    NEXT(c, o);
}
EXEC_ANY(nop, nop);

/* The filter (APM2 15.14.4): so many PAUSEs run before one exits, and where there is a threshold
 * only if each came that soon after the last. A cycle is an instruction here. */
static bool pause_filtered(struct cpu *c)
{
    const struct vmcb_control *v = &c->vmcb;

    if (!c->guest)
        return false;
    if (v->pause_threshold && c->retired - c->paused_at > v->pause_threshold)
        c->pause_left = v->pause_count;
    c->paused_at = c->retired;
    if (!c->pause_left)
        return false;
    c->pause_left--;
    return true;
}

static void pause_hint(struct cpu *c, const struct op *o)
{
    if (!pause_filtered(c))
        cpu_intercept(c, o);
    NEXT(c, o);
}
EXEC_ANY(pause, pause_hint);

/* Faults as a load of a byte would; caches are not modelled. */
static void clflush(struct cpu *c, const struct op *o)
{
    (void)mem_load8(c, o, ea(c, o, 1, ACCESS_READ));
    NEXT(c, o);
}
EXEC_ANY(clflush, clflush);

/* Zeroes the cache line that holds rAX (APM3 CLZERO). */
static void clzero(struct cpu *c, const struct op *o)
{
    static const uint8_t zeros[64];
    uint64_t off = cut(c->r[RAX], o->asize) & ~UINT64_C(63);

    mmu_store(c, o, linear(c, o, o->seg, off, 64, ACCESS_WRITE), zeros, sizeof(zeros));
    NEXT(c, o);
}
EXEC_ANY(clzero, clzero);
