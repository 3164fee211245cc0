/* Shifts and rotates. */
#include "silicon/cpu/exec_int.h"

/* Each takes the value and a count already masked to 5 bits (6 for 64-bit operands), which is not
 * 0, and sets the flags. OF is what APM3 defines for a count of 1, whatever the count. */
#define MSB(v, bits) ((v) >> (bits - 1) & 1)

#define DEFINE_SHIFTS(bits)                                                                        \
    static inline uint##bits##_t do_shl##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        uint##bits##_t r = n < bits ? (uint##bits##_t)(a << n) : 0;                                \
        bool cf = n <= bits && a >> (bits - n) & 1;                                                \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, cf, cf ^ MSB(r, bits));                                  \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_shr##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        uint##bits##_t r = n < bits ? (uint##bits##_t)(a >> n) : 0;                                \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, n <= bits && a >> (n - 1) & 1, MSB(a, bits));            \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_sar##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned by = MIN(n, bits - 1u);                                                           \
        int##bits##_t r = (int##bits##_t)((int##bits##_t)a >> by);                                 \
                                                                                                   \
        flags_result(c, r, (int##bits##_t)a >> MIN(n - 1, bits - 1u) & 1, false);                  \
        return (uint##bits##_t)r;                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_rol##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned by = n % bits;                                                                    \
        uint##bits##_t r = by ? (uint##bits##_t)(a << by | a >> (bits - by)) : a;                  \
                                                                                                   \
        flags_set_co(c, r & 1, (r & 1) ^ MSB(r, bits));                                            \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_ror##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned by = n % bits;                                                                    \
        uint##bits##_t r = by ? (uint##bits##_t)(a >> by | a << (bits - by)) : a;                  \
                                                                                                   \
        flags_set_co(c, MSB(r, bits), MSB(r, bits) ^ (r >> (bits - 2) & 1));                       \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_rcl##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned by = n % (bits + 1);                                                              \
        bool cf = flag_c(c);                                                                       \
        uint##bits##_t r = a;                                                                      \
                                                                                                   \
        if (by) {                                                                                  \
            r = (uint##bits##_t)((by < bits ? a << by : 0) | (uint##bits##_t)cf << (by - 1) |      \
                                 (by > 1 ? a >> (bits + 1 - by) : 0));                             \
            cf = a >> (bits - by) & 1;                                                             \
        }                                                                                          \
        flags_set_co(c, cf, cf ^ MSB(r, bits));                                                    \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_rcr##bits(struct cpu *c, uint##bits##_t a, unsigned n)         \
    {                                                                                              \
        unsigned by = n % (bits + 1);                                                              \
        bool cf = flag_c(c);                                                                       \
        uint##bits##_t r = a;                                                                      \
                                                                                                   \
        if (by) {                                                                                  \
            r = (uint##bits##_t)((by < bits ? a >> by : 0) | (uint##bits##_t)cf << (bits - by) |   \
                                 (by > 1 ? a << (bits + 1 - by) : 0));                             \
            cf = a >> (by - 1) & 1;                                                                \
        }                                                                                          \
        flags_set_co(c, cf, MSB(r, bits) ^ (r >> (bits - 2) & 1));                                 \
        return r;                                                                                  \
    }
FOR_SIZES(DEFINE_SHIFTS)

/* A count of 0 changes nothing but the high half of a 32-bit register; memory must be writable all
 * the same. */
#define COUNT_MASK(bits) (bits == 64 ? 63 : 31)

#define DEFINE_SHIFT_FORMS(name, bits)                                                             \
    static inline uint##bits##_t name##_by##bits(struct cpu *c, uint##bits##_t a, uint64_t count)  \
    {                                                                                              \
        unsigned n = (unsigned)count & COUNT_MASK(bits);                                           \
                                                                                                   \
        return n ? do_##name##bits(c, a, n) : a;                                                   \
    }                                                                                              \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d, name##_by##bits(c, reg_get##bits(c, o->d), o->imm));                \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, name##_by##bits(c, a, o->imm));                                  \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_rcl##bits(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        reg_set##bits(c, o->d, name##_by##bits(c, reg_get##bits(c, o->d), c->r[RCX]));             \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_mcl##bits(struct cpu *c, const struct op *o)                                \
    {                                                                                              \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la);                                            \
                                                                                                   \
        mem_store##bits(c, o, la, name##_by##bits(c, a, c->r[RCX]));                               \
        NEXT(c, o);                                                                                \
    }
#define SHIFT(name)                                                                                \
    DEFINE_SHIFT_FORMS(name, 8)                                                                    \
    DEFINE_SHIFT_FORMS(name, 16)                                                                   \
    DEFINE_SHIFT_FORMS(name, 32)                                                                   \
    DEFINE_SHIFT_FORMS(name, 64)                                                                   \
    SHAPES(name##_imm, name##_r, name##_m);                                                        \
    SHAPES(name##_cl, name##_rcl, name##_mcl)
SHIFT(shl);
SHIFT(shr);
SHIFT(sar);
SHIFT(rol);
SHIFT(ror);
SHIFT(rcl);
SHIFT(rcr);

/* ---- SHLD, SHRD: bits come in from `b`. A 16-bit shift by more than 16 is undefined (APM3); AMD's
 * cores go on with `b` again and clear CF ---- */
static inline uint16_t do_shld16(struct cpu *c, uint16_t a, uint16_t b, unsigned n)
{
    uint64_t all = (uint64_t)a << 32 | (uint64_t)b << 16 | b;
    uint16_t r = (uint16_t)(all << n >> 32);
    bool cf = n <= 16 && all >> (48 - n) & 1;

    flags_result(c, (int16_t)r, cf, MSB(a, 16) ^ MSB(r, 16));
    return r;
}
static inline uint16_t do_shrd16(struct cpu *c, uint16_t a, uint16_t b, unsigned n)
{
    uint64_t all = (uint64_t)b << 32 | (uint64_t)b << 16 | a;
    uint16_t r = (uint16_t)(all >> n);

    flags_result(c, (int16_t)r, n <= 16 && all >> (n - 1) & 1, MSB(a, 16) ^ MSB(r, 16));
    return r;
}
#define DEFINE_DOUBLE_SHIFTS(bits)                                                                 \
    static inline uint##bits##_t do_shld##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b,  \
                                               unsigned n)                                         \
    {                                                                                              \
        uint##bits##_t r = a << n | b >> (bits - n);                                               \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, a >> (bits - n) & 1, MSB(a, bits) ^ MSB(r, bits));       \
        return r;                                                                                  \
    }                                                                                              \
    static inline uint##bits##_t do_shrd##bits(struct cpu *c, uint##bits##_t a, uint##bits##_t b,  \
                                               unsigned n)                                         \
    {                                                                                              \
        uint##bits##_t r = a >> n | b << (bits - n);                                               \
                                                                                                   \
        flags_result(c, (int##bits##_t)r, a >> (n - 1) & 1, MSB(a, bits) ^ MSB(r, bits));          \
        return r;                                                                                  \
    }
DEFINE_DOUBLE_SHIFTS(32)
DEFINE_DOUBLE_SHIFTS(64)

#define DEFINE_DOUBLE_FORMS(name, form, count, bits)                                               \
    static void name##_##form##_r##bits(struct cpu *c, const struct op *o)                         \
    {                                                                                              \
        unsigned n = (unsigned)(count)&COUNT_MASK(bits);                                           \
        uint##bits##_t a = reg_get##bits(c, o->d), b = reg_get##bits(c, o->s);                     \
                                                                                                   \
        reg_set##bits(c, o->d, n ? do_##name##bits(c, a, b, n) : a);                               \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_##form##_m##bits(struct cpu *c, const struct op *o)                         \
    {                                                                                              \
        unsigned n = (unsigned)(count)&COUNT_MASK(bits);                                           \
        uint64_t la = ea(c, o, bits / 8, ACCESS_WRITE);                                            \
        uint##bits##_t a = mem_load_rw##bits(c, o, la), b = reg_get##bits(c, o->s);                \
                                                                                                   \
        mem_store##bits(c, o, la, n ? do_##name##bits(c, a, b, n) : a);                            \
        NEXT(c, o);                                                                                \
    }
#define DOUBLE_SHIFT(name, form, count)                                                            \
    DEFINE_DOUBLE_FORMS(name, form, count, 16)                                                     \
    DEFINE_DOUBLE_FORMS(name, form, count, 32)                                                     \
    DEFINE_DOUBLE_FORMS(name, form, count, 64)                                                     \
    SHAPES_WIDE(name##_##form, name##_##form##_r, name##_##form##_m)
DOUBLE_SHIFT(shld, imm, o->imm);
DOUBLE_SHIFT(shld, cl, c->r[RCX]);
DOUBLE_SHIFT(shrd, imm, o->imm);
DOUBLE_SHIFT(shrd, cl, c->r[RCX]);

/* ---- BMI2: no flags; the count is operand 2 ---- */
#define DEFINE_SHIFTX(bits)                                                                        \
    static inline uint##bits##_t do_shlx##bits(uint##bits##_t a, uint64_t n)                       \
    {                                                                                              \
        return a << (n & (bits - 1));                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_shrx##bits(uint##bits##_t a, uint64_t n)                       \
    {                                                                                              \
        return a >> (n & (bits - 1));                                                              \
    }                                                                                              \
    static inline uint##bits##_t do_sarx##bits(uint##bits##_t a, uint64_t n)                       \
    {                                                                                              \
        return (uint##bits##_t)((int##bits##_t)a >> (n & (bits - 1)));                             \
    }                                                                                              \
    static inline uint##bits##_t do_rorx##bits(uint##bits##_t a, uint64_t n)                       \
    {                                                                                              \
        return a >> (n & (bits - 1)) | a << (-n & (bits - 1));                                     \
    }
DEFINE_SHIFTX(32)
DEFINE_SHIFTX(64)

#define DEFINE_SHIFTX_FORMS(name, count, bits)                                                     \
    static void name##_r##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        reg_set##bits(c, o->d, do_##name##bits(reg_get##bits(c, o->s), count));                    \
        NEXT(c, o);                                                                                \
    }                                                                                              \
    static void name##_m##bits(struct cpu *c, const struct op *o)                                  \
    {                                                                                              \
        uint##bits##_t a = mem_load##bits(c, o, ea(c, o, bits / 8, ACCESS_READ));                  \
                                                                                                   \
        reg_set##bits(c, o->d, do_##name##bits(a, count));                                         \
        NEXT(c, o);                                                                                \
    }
#define SHIFTX(name, count)                                                                        \
    DEFINE_SHIFTX_FORMS(name, count, 32)                                                           \
    DEFINE_SHIFTX_FORMS(name, count, 64)                                                           \
    SHAPES_Y(name, name##_r, name##_m)
SHIFTX(shlx, c->r[o->v]);
SHIFTX(shrx, c->r[o->v]);
SHIFTX(sarx, c->r[o->v]);
SHIFTX(rorx, o->imm);
