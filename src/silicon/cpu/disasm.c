/* Ops as text, for traces and monitors: "add rax, qword [rbx+0x8]". */
#include "silicon/cpu/decode.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    char *at;
    size_t left;
};

static __attribute__((format(printf, 2, 3))) void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->at, t->left, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    t->at += MIN((size_t)n, t->left - 1);
    t->left -= MIN((size_t)n, t->left - 1);
}

static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs", "flat"};

/* ---- registers ---- */
static void put_byte_register(struct text *t, unsigned offset)
{
    static const char *const names[] = {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil"};

    if (offset & 1)
        put(t, "%ch", "acdb"[offset / 8]);
    else if (offset / 8 < 8)
        put(t, "%s", names[offset / 8]);
    else
        put(t, "r%ub", offset / 8);
}

static void put_register(struct text *t, unsigned n, unsigned size)
{
    static const char *const names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};

    if (n < 8)
        put(t, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", names[n]);
    else
        put(t, "r%u%s", n, size == 8 ? "" : size == 4 ? "d" : "w");
}

/* ---- sizes ---- */
static unsigned bytes_of(const struct op *o, const struct operand_kind *k)
{
    unsigned vector = o->size >= 16 ? o->size : 16;

    switch (k->size) {
    case SZ_B:
        return 1;
    case SZ_W:
        return 2;
    case SZ_D:
        return 4;
    case SZ_Q:
        return 8;
    case SZ_DQ:
        return 16;
    case SZ_QQ:
        return 32;
    case SZ_V:
    case SZ_Z:
        return o->size > 8 ? 8 : o->size;
    case SZ_Y:
        return o->flags & OP_W ? 8 : 4;
    case SZ_X:
        return vector;
    case SZ_HX:
        return vector / 2;
    case SZ_QX:
        return vector / 4;
    case SZ_EX:
        return vector / 8;
    case SZ_T:
        return 10;
    default:
        return 0;
    }
}

static const char *size_name(unsigned bytes)
{
    switch (bytes) {
    case 1:
        return "byte ";
    case 2:
        return "word ";
    case 4:
        return "dword ";
    case 8:
        return "qword ";
    case 10:
        return "tword ";
    case 16:
        return "oword ";
    case 32:
        return "yword ";
    default:
        return "";
    }
}

/* ---- memory ---- */
static void put_displacement(struct text *t, int64_t disp, bool alone, unsigned asize)
{
    if (alone)
        put(t, "0x%" PRIx64,
            asize == 8   ? (uint64_t)disp
            : asize == 4 ? (uint32_t)disp
                         : (uint16_t)disp);
    else if (disp < 0)
        put(t, "-0x%" PRIx64, -(uint64_t)disp);
    else if (disp > 0)
        put(t, "+0x%" PRIx64, (uint64_t)disp);
}

static void put_memory(struct text *t, const struct op *o, const struct operand_kind *k)
{
    int64_t disp = o->disp;
    bool alone = true;

    put(t, "%s[", size_name(k->where == AT_VSIB ? 0 : bytes_of(o, k)));
    if (o->seg != FLAT && o->seg != DS)
        put(t, "%s:", segments[o->seg]);
    if (o->base == REG_BLOCK) {
        put(t, "rip");
        disp -= o->off + o->len;
        alone = false;
    } else if (o->base != REG_ZERO) {
        put_register(t, o->base, o->asize);
        alone = false;
    }
    if (o->index != REG_ZERO) {
        put(t, alone ? "" : "+");
        if (k->where == AT_VSIB)
            put(t, "vmm%u", o->index);
        else
            put_register(t, o->index, o->asize);
        if (o->scale)
            put(t, "*%u", 1u << o->scale);
        alone = false;
    }
    put_displacement(t, disp, alone, o->asize);
    put(t, "]");
}

/* ---- operands ---- */
static void put_fixed(struct text *t, const struct op *o, const struct operand_kind *k, unsigned n)
{
    if (k->size == SZ_B)
        put_byte_register(t, n * 8);
    else
        put_register(t, n, bytes_of(o, k));
}

static void put_operand(struct text *t, const struct op *o, unsigned i,
                        const struct operand_kind *k, uint64_t rip)
{
    unsigned n = i == 0 ? o->d : i == 1 ? o->s : i == 2 ? o->v : o->w;

    if (o->flags & OP_MEM && o->mem == i) {
        put_memory(t, o, k);
        return;
    }
    switch (k->where) {
    case AT_G:
    case AT_E:
    case AT_B:
    case AT_Z:
        if (k->size == SZ_B)
            put_byte_register(t, n);
        else
            put_register(t, n, bytes_of(o, k));
        break;
    case AT_FIX0:
        put_fixed(t, o, k, RAX);
        break;
    case AT_FIX1:
        put_fixed(t, o, k, RCX);
        break;
    case AT_FIX2:
        put_fixed(t, o, k, RDX);
        break;
    case AT_I:
    case AT_IS:
        put(t, "0x%" PRIx64,
            o->size == 8   ? o->imm
            : o->size == 4 ? (uint32_t)o->imm
            : o->size == 2 ? (uint16_t)o->imm
            : o->size == 1 ? (uint8_t)o->imm
                           : o->imm);
        break;
    case AT_I2:
        put(t, "0x%x", o->imm2);
        break;
    case AT_ONE:
        put(t, "1");
        break;
    case AT_A:
        put(t, "0x%x:0x%x", (unsigned)(o->imm >> 32), (unsigned)o->imm);
        break;
    case AT_J:
        put(t, "0x%" PRIx64, rip + o->len + o->imm);
        break;
    case AT_X:
        put(t, "%s[%s:", size_name(bytes_of(o, k)), segments[o->seg]);
        put_register(t, RSI, o->asize);
        put(t, "]");
        break;
    case AT_Y:
        put(t, "%s[es:", size_name(bytes_of(o, k)));
        put_register(t, RDI, o->asize);
        put(t, "]");
        break;
    case AT_S:
        put(t, "%s", segments[n]);
        break;
    case AT_C:
        put(t, "cr%u", n);
        break;
    case AT_DR:
        put(t, "dr%u", n);
        break;
    case AT_P:
    case AT_Q:
        put(t, "mm%u", n);
        break;
    case AT_ST0:
    case AT_STI:
        put(t, "st%u", n);
        break;
    default:
        put(t, "%s%u", k->size == SZ_QQ || (k->size == SZ_X && o->size == 32) ? "ymm" : "xmm", n);
        break;
    }
}

static void put_mnemonic(struct text *t, const struct op *o, const struct row *r)
{
    static const char *const conditions[] = {"o", "no", "b", "ae", "e", "ne", "be", "a",
                                             "s", "ns", "p", "np", "l", "ge", "le", "g"};

    if (o->flags & OP_LOCK)
        put(t, "lock ");
    if (r->rules & REP && o->flags & (OP_REP | OP_REPNE))
        put(t, o->flags & OP_REP ? "rep " : "repne ");
    for (const char *p = r->form; *p && *p != '_'; p++) {
        if (r->match & CC && p[0] == 'c' && p[1] == 'c') {
            put(t, "%s", conditions[o->cc]);
            p++;
        } else {
            put(t, "%c", tolower((unsigned char)*p));
        }
    }
}

void disassemble(const struct op *o, uint64_t rip, char *text, size_t size)
{
    const struct row *r = &insn_rows[o->form];
    struct text t = {text, size};

    put_mnemonic(&t, o, r);
    for (unsigned i = 0; i < 4; i++) {
        const struct operand_kind *k = &operand_kinds[OPERAND_KIND(r->operand[i])];

        if (k->where == AT_NONE)
            break;
        put(&t, i ? ", " : " ");
        put_operand(&t, o, i, k, rip);
    }
}
