/* The decoder: bytes to ops, by the instruction table.
 *
 * An opcode (map and byte) leads to its candidate rows; the first whose conditions hold is meant
 * (prefixes, ModRM, mode, VEX bits, feature). Rows that ask for more come first, so that a row
 * without conditions may stand for "all others". What the operands say then reads the rest.
 */
#include "silicon/cpu/decode.h"

#include <pthread.h>

#define MAX_LENGTH 15

const struct operand_kind operand_kinds[OPERANDS] = {
#define X(name, where, size) [OPD_##name] = {AT_##where, size},
    OPERANDS_LIST(X)
#undef X
};

/* ---- the index: opcode to rows ---- */
struct opcode {
    struct candidate *rows;
    uint16_t n;
    bool modrm;
    bool forced_reg; /* ModRM.mod is ignored (MOV CRn, DRn) */
    bool by_z;       /* a register is in the opcode: with REX.B other rows do not count (PAUSE) */
};

static struct opcode opcodes[OPCODE_MAPS][256];
static struct candidate pool[FORMS * 2 + 1024];
static pthread_once_t indexed = PTHREAD_ONCE_INIT;

static bool has_operand(const struct row *r, enum operand_where where)
{
    for (unsigned i = 0; i < 4; i++)
        if (operand_kinds[OPERAND_KIND(r->operand[i])].where == where)
            return true;
    return false;
}

/* Is ModRM.rm an address, a register, or either, by this operand alone? */
static uint32_t implied_match(enum operand o)
{
    switch (o) {
    case OPD_Rv:
    case OPD_Ry:
    case OPD_Rd:
    case OPD_Rq:
    case OPD_Ux:
    case OPD_Udq:
    case OPD_Uq:
    case OPD_Nq:
    case OPD_STi:
        return REG;
    default:
        return operand_kinds[o].where == AT_M || operand_kinds[o].where == AT_VSIB ? MEM : 0;
    }
}

bool row_has_modrm(const struct row *r)
{
    static const enum operand_where by_modrm[] = {AT_G, AT_E, AT_M, AT_S, AT_C,    AT_DR,
                                                  AT_P, AT_Q, AT_V, AT_W, AT_VSIB, AT_STI};

    if (r->match & (MODRM | DIGIT | RMFIX | REG | MEM))
        return true;
    for (unsigned i = 0; i < COUNT(by_modrm); i++)
        if (has_operand(r, by_modrm[i]))
            return true;
    return false;
}

static struct candidate candidate_of(unsigned form)
{
    const struct row *r = &insn_rows[form];
    struct candidate k = {.form = (uint16_t)form, .match = r->match};
    uint32_t conditions;

    for (unsigned i = 0; i < 4; i++)
        k.match |= implied_match(OPERAND_KIND(r->operand[i]));
    conditions = k.match & (MEM | REG | O64 | I64 | W0 | W1 | L0 | L1 | DIGIT | RMFIX);
    k.weight = (uint16_t)(__builtin_popcount(conditions) + !!(k.match & MATCH_PREFIXES));
    return k;
}

static unsigned opcodes_of(const struct row *r)
{
    return r->match & CC ? 16 : has_operand(r, AT_Z) ? 8 : 1;
}

static void add_candidate(struct opcode *op, struct candidate k)
{
    unsigned at = op->n++;

    while (at > 0 && op->rows[at - 1].weight < k.weight) {
        op->rows[at] = op->rows[at - 1];
        at--;
    }
    op->rows[at] = k;
}

static void build_index(void)
{
    struct candidate *free_rows = pool;

    for (unsigned form = 0; form < FORMS; form++)
        for (unsigned i = 0; i < opcodes_of(&insn_rows[form]); i++)
            opcodes[insn_rows[form].map][insn_rows[form].byte + i].n++;
    for (unsigned map = 0; map < OPCODE_MAPS; map++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            opcodes[map][byte].rows = free_rows;
            free_rows += opcodes[map][byte].n;
            opcodes[map][byte].n = 0;
        }
    }
    assert(free_rows <= pool + COUNT(pool));
    for (unsigned form = 0; form < FORMS; form++) {
        const struct row *r = &insn_rows[form];

        for (unsigned i = 0; i < opcodes_of(r); i++) {
            struct opcode *op = &opcodes[r->map][r->byte + i];

            op->modrm |= row_has_modrm(r);
            op->forced_reg |= has_operand(r, AT_C) || has_operand(r, AT_DR);
            op->by_z |= has_operand(r, AT_Z);
            add_candidate(op, candidate_of(form));
        }
    }
}

const struct candidate *decode_candidates(enum opcode_map map, uint8_t byte, unsigned *n)
{
    pthread_once(&indexed, build_index);
    *n = opcodes[map][byte].n;
    return opcodes[map][byte].rows;
}

/* ---- routines of what may not run ---- */
static void raise_ud(struct cpu *c, const struct op *o)
{
    cpu_fault(c, o, EXC_UD, 0);
}

static void raise_nm(struct cpu *c, const struct op *o)
{
    cpu_fault(c, o, EXC_NM, 0);
}

static void raise_gp(struct cpu *c, const struct op *o)
{
    cpu_fault(c, o, EXC_GP, 0);
}

bool op_ends_block(const struct op *o)
{
    return insn_rows[o->form].rules & END || o->fn == raise_ud || o->fn == raise_nm ||
           o->fn == raise_gp;
}

/* ---- one instruction's bytes ---- */
#define REX_W  8
#define REX_R  4
#define REX_X  2
#define REX_B  1
#define NO_SEG SEGS

struct reader {
    const uint8_t *bytes;
    unsigned at, avail;
    bool more;     /* ended before the instruction did */
    bool too_long; /* more than 15 bytes */
    bool bad;      /* its prefixes or VEX bits can mean nothing */

    uint8_t mode; /* DECODE_SIZE */
    bool opsize66, addr67, lock, rex_seen, vex;
    uint8_t rep; /* F2, F3 or 0: the last one */
    uint8_t seg; /* override, or NO_SEG */
    uint8_t rex; /* REX_, from VEX too */
    uint8_t vvvv, l;
    bool vvvv_used; /* not 1111b as encoded */
    enum opcode_map map;
    uint8_t opcode, modrm;
};

static uint8_t next_byte(struct reader *x)
{
    if (x->at >= MAX_LENGTH) {
        x->too_long = true;
        return 0;
    }
    if (x->at >= x->avail) {
        x->more = true;
        return 0;
    }
    return x->bytes[x->at++];
}

static uint64_t next_bytes(struct reader *x, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)next_byte(x) << (8 * i);
    return v;
}

static bool stopped(const struct reader *x)
{
    return x->more || x->too_long || x->bad;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned up = 64 - 8 * bytes;

    return (uint64_t)((int64_t)(v << up) >> up);
}

/* Takes one legacy prefix; false when `byte` is none. In 64-bit mode the overrides of ES, CS, SS
 * and DS are nothing, not even the end of an FS or GS override (APM1 3.5.1.3). */
static bool take_prefix(struct reader *x, uint8_t byte)
{
    bool flat = x->mode == 2;

    switch (byte) {
    case 0x66:
        x->opsize66 = true;
        return true;
    case 0x67:
        x->addr67 = true;
        return true;
    case 0xF0:
        x->lock = true;
        return true;
    case 0xF2:
    case 0xF3:
        x->rep = byte;
        return true;
    case 0x26:
    case 0x2E:
    case 0x36:
    case 0x3E:
        if (!flat)
            x->seg = (uint8_t)(ES + (byte - 0x26) / 8);
        return true;
    case 0x64:
    case 0x65:
        x->seg = (uint8_t)(FS + byte - 0x64);
        return true;
    default:
        return false;
    }
}

/* Prefixes and REX; returns the first byte of the opcode. */
static uint8_t read_prefixes(struct reader *x)
{
    uint8_t byte = next_byte(x);

    while (!stopped(x)) {
        if (x->mode == 2 && (byte & 0xF0) == 0x40) {
            x->rex = byte & 0xF;
            x->rex_seen = true;
        } else if (take_prefix(x, byte)) {
            x->rex = 0; /* REX counts right before the opcode alone */
            x->rex_seen = false;
        } else {
            break;
        }
        byte = next_byte(x);
    }
    return byte;
}

/* C4 and C5: VEX in 64-bit mode, and where LES and LDS would have a register operand. */
static bool is_vex(const struct reader *x, uint8_t byte)
{
    if (byte != 0xC4 && byte != 0xC5)
        return false;
    return x->mode == 2 || (x->at < x->avail && x->bytes[x->at] >= 0xC0);
}

static void read_vex(struct reader *x, uint8_t byte)
{
    uint8_t first = next_byte(x), last = first;
    unsigned map = 1;

    x->bad |= x->opsize66 || x->rep || x->lock || x->rex_seen;
    x->vex = true;
    x->rex = first & 0x80 ? 0 : REX_R;
    if (byte == 0xC4) {
        map = first & 0x1F;
        last = next_byte(x);
        x->rex |=
            (first & 0x40 ? 0 : REX_X) | (first & 0x20 ? 0 : REX_B) | (last & 0x80 ? REX_W : 0);
    }
    x->vvvv = ~last >> 3 & 0xF;
    x->vvvv_used = x->vvvv != 0;
    if (x->mode != 2) {
        x->rex &= REX_W;
        x->vvvv &= 7;
    }
    x->l = last >> 2 & 1;
    x->opsize66 = (last & 3) == 1;
    x->rep = (last & 3) == 2 ? 0xF3 : (last & 3) == 3 ? 0xF2 : 0;
    x->bad |= map < 1 || map > 3;
    x->map = V0F + (map - 1) % 3;
    x->opcode = next_byte(x);
}

static void read_opcode(struct reader *x)
{
    uint8_t byte = read_prefixes(x);

    if (byte == 0xC4 || byte == 0xC5) {
        if (x->mode != 2 && x->at >= x->avail)
            next_byte(x); /* not enough to tell */
        if (stopped(x))
            return;
        if (is_vex(x, byte)) {
            read_vex(x, byte);
            return;
        }
    }
    x->map = M1;
    if (byte == 0x0F) {
        x->map = M0F;
        byte = next_byte(x);
        if (byte == 0x38 || byte == 0x3A) {
            x->map = byte == 0x38 ? M0F38 : M0F3A;
            byte = next_byte(x);
        }
    }
    x->opcode = byte;
}

/* ---- which row ---- */
static uint32_t conditions_of(const struct reader *x)
{
    uint32_t is = x->rep == 0xF3 ? PF3 : x->rep == 0xF2 ? PF2 : x->opsize66 ? P66 : NP;

    is |= x->modrm >= 0xC0 ? REG : MEM;
    is |= x->mode == 2 ? O64 : I64;
    is |= x->rex & REX_W ? W1 : W0;
    is |= x->l ? L1 : L0;
    return is;
}

static bool matches(const struct reader *x, uint32_t match, uint32_t is)
{
    if (match & (REG | MEM | O64 | I64 | W0 | W1 | L0 | L1) & ~is)
        return false;
    if (match & MATCH_PREFIXES && !(match & MATCH_PREFIXES & is))
        return false;
    if (match & DIGIT && MATCH_DIGIT(match) != (x->modrm >> 3 & 7))
        return false;
    return !(match & RMFIX) || MATCH_RM(match) == (x->modrm & 7);
}

static const struct row *find_row(const struct cpu *c, const struct reader *x,
                                  const struct opcode *op, uint16_t *form)
{
    uint32_t is = conditions_of(x);

    for (unsigned i = 0; i < op->n; i++) {
        const struct candidate *k = &op->rows[i];

        if (op->by_z && x->rex & REX_B && !has_operand(&insn_rows[k->form], AT_Z))
            continue;
        if (matches(x, k->match, is) && has(c, insn_rows[k->form].needs)) {
            *form = k->form;
            return &insn_rows[k->form];
        }
    }
    return NULL;
}

/* ---- sizes ---- */
static uint8_t operand_size(const struct reader *x, const struct row *r)
{
    /* 66 is no operand size where it selected the row. */
    bool other = x->opsize66 && !x->vex && (r->match & MATCH_PREFIXES) != P66;

    if (x->mode != 2)
        return (x->mode == 1) != other ? 4 : 2;
    if (r->rules & FORCE64 || x->rex & REX_W)
        return 8;
    return other ? 2 : r->rules & DEF64 ? 8 : 4;
}

static uint8_t address_size(const struct reader *x)
{
    static const uint8_t sizes[3][2] = {{2, 4}, {4, 2}, {8, 4}};

    return sizes[x->mode][x->addr67];
}

/* Registers of 4 or 8 bytes by REX.W alone. */
static uint8_t y_size(const struct reader *x)
{
    return x->rex & REX_W && x->mode == 2 ? 8 : 4;
}

/* What op.size says of a row: its vector, its y or its v operands' size. */
static uint8_t size_of_row(const struct reader *x, const struct row *r, uint8_t osize)
{
    uint8_t vector = 0;
    bool y = false, v = false;

    if (r->rules & BYTE)
        return 1;
    for (unsigned i = 0; i < 4; i++) {
        struct operand_kind k = operand_kinds[OPERAND_KIND(r->operand[i])];
        bool wide = k.where == AT_V || k.where == AT_W || k.where == AT_H;

        if (k.where == AT_P || k.where == AT_Q)
            vector = MAX(vector, 8);
        else if (wide && (k.size == SZ_QQ || (k.size >= SZ_X && k.size <= SZ_EX && x->l)))
            vector = 32;
        else if (wide)
            vector = MAX(vector, 16);
        y |= k.size == SZ_Y;
        v |= k.size == SZ_V;
    }
    return vector ? vector : y && !v ? y_size(x) : osize;
}

/* ---- memory operands ---- */
static const struct {
    uint8_t base, index;
} bases16[8] = {{RBX, RSI},      {RBX, RDI},      {RBP, RSI},      {RBP, RDI},
                {RSI, REG_ZERO}, {RDI, REG_ZERO}, {RBP, REG_ZERO}, {RBX, REG_ZERO}};

static void read_address16(struct reader *x, struct op *o)
{
    unsigned mod = x->modrm >> 6, rm = x->modrm & 7;

    o->base = bases16[rm].base;
    o->index = bases16[rm].index;
    if (mod == 0 && rm == 6) {
        o->base = REG_ZERO;
        o->disp = (int64_t)next_bytes(x, 2);
    } else if (mod == 1) {
        o->disp = (int64_t)sign_extend(next_bytes(x, 1), 1);
    } else if (mod == 2) {
        o->disp = (int64_t)sign_extend(next_bytes(x, 2), 2);
    }
}

/* A vector index (VSIB) may be register 4; a general one is none then. */
static void read_sib(struct reader *x, struct op *o, bool vsib)
{
    uint8_t sib = next_byte(x);

    o->scale = sib >> 6;
    o->index = (sib >> 3 & 7) | (x->rex & REX_X ? 8 : 0);
    if (o->index == 4 && !vsib)
        o->index = REG_ZERO;
    o->base = (sib & 7) | (x->rex & REX_B ? 8 : 0);
    if ((sib & 7) == 5 && x->modrm < 0x40) {
        o->base = REG_ZERO;
        o->disp = (int64_t)sign_extend(next_bytes(x, 4), 4);
    }
}

static void read_address(struct reader *x, struct op *o, bool vsib)
{
    unsigned mod = x->modrm >> 6, rm = x->modrm & 7;

    o->base = (uint8_t)rm | (x->rex & REX_B ? 8 : 0);
    if (rm == 4) {
        read_sib(x, o, vsib);
    } else if (vsib) {
        x->bad = true;
    } else if (mod == 0 && rm == 5) {
        o->base = x->mode == 2 ? REG_BLOCK : REG_ZERO;
        o->disp = (int64_t)sign_extend(next_bytes(x, 4), 4);
    }
    if (mod == 1)
        o->disp = (int64_t)sign_extend(next_bytes(x, 1), 1);
    else if (mod == 2)
        o->disp = (int64_t)sign_extend(next_bytes(x, 4), 4);
}

static uint8_t segment_of(const struct reader *x, const struct op *o)
{
    if (x->mode == 2)
        return x->seg == NO_SEG ? FLAT : x->seg;
    if (x->seg != NO_SEG)
        return x->seg;
    return o->flags & OP_MEM && (o->base == RBP || o->base == RSP) ? SS : DS;
}

/* ---- operands ---- */
static uint8_t reg_number(const struct reader *x, const struct operand_kind *k, unsigned low3,
                          unsigned rex_bit)
{
    unsigned n = low3 | (x->rex & rex_bit ? 8 : 0);

    if (k->size != SZ_B)
        return (uint8_t)n;
    /* An 8-bit register is a byte offset: AH, CH, DH, BH without REX. */
    return (uint8_t)(n >= 4 && !x->rex_seen && !x->vex && n < 8 ? (n - 4) * 8 + 1 : n * 8);
}

static uint64_t read_immediate(struct reader *x, const struct operand_kind *k, unsigned osize)
{
    unsigned n;
    uint64_t v;

    switch (k->size) {
    case SZ_B:
        n = 1;
        break;
    case SZ_W:
        n = 2;
        break;
    case SZ_V:
        n = osize;
        break;
    default: /* z */
        n = MIN(osize, 4u);
        break;
    }
    v = next_bytes(x, n);
    return k->where == AT_I ? v : sign_extend(v, n);
}

/* Operand `i` of the row: its register, or what it adds to the op. */
static uint8_t read_operand(struct reader *x, struct op *o, unsigned i,
                            const struct operand_kind *k, unsigned osize)
{
    unsigned reg = x->modrm >> 3 & 7, rm = x->modrm & 7;

    switch (k->where) {
    case AT_G:
        return reg_number(x, k, reg, REX_R);
    case AT_E:
    case AT_M:
    case AT_VSIB:
        if (o->flags & OP_MEM)
            o->mem = (uint8_t)i;
        return reg_number(x, k, rm, REX_B);
    case AT_Q:
        if (o->flags & OP_MEM)
            o->mem = (uint8_t)i;
        return (uint8_t)rm;
    case AT_W:
        if (o->flags & OP_MEM)
            o->mem = (uint8_t)i;
        return (uint8_t)rm | (x->rex & REX_B ? 8 : 0);
    case AT_B:
    case AT_H:
        return x->vvvv;
    case AT_Z:
        return reg_number(x, k, x->opcode & 7, REX_B);
    case AT_I:
    case AT_IS:
    case AT_J:
        o->imm = read_immediate(x, k, osize);
        return 0;
    case AT_I2:
        o->imm2 = next_byte(x);
        return 0;
    case AT_A:
        o->imm = next_bytes(x, osize);
        o->imm |= next_bytes(x, 2) << 32;
        return 0;
    case AT_O:
        o->flags |= OP_MEM;
        o->mem = (uint8_t)i;
        o->disp = (int64_t)next_bytes(x, o->asize);
        return 0;
    case AT_FIX1:
        return k->size == SZ_B ? RCX * 8 : RCX;
    case AT_FIX2:
        return RDX;
    case AT_ONE:
        o->imm = 1;
        return 0;
    case AT_S:
        x->bad |= reg > GS;
        return (uint8_t)reg;
    case AT_P:
        return (uint8_t)reg;
    case AT_C:
    case AT_DR:
    case AT_V:
        return (uint8_t)reg | (x->rex & REX_R ? 8 : 0);
    case AT_L:
        o->imm = next_byte(x);
        return (uint8_t)(o->imm >> 4 & (x->mode == 2 ? 15 : 7));
    case AT_STI:
        return (uint8_t)rm;
    default: /* fixed or implicit: register 0 */
        return 0;
    }
}

static void read_operands(struct reader *x, const struct row *r, struct op *o, unsigned osize)
{
    uint8_t *const slot[4] = {&o->d, &o->s, &o->v, &o->w};

    for (unsigned i = 0; i < 4; i++) {
        const struct operand_kind *k = &operand_kinds[OPERAND_KIND(r->operand[i])];

        *slot[i] = read_operand(x, o, i, k, osize);
    }
}

/* ---- what may run ---- */
static bool is_legal(const struct reader *x, const struct row *r, const struct op *o,
                     uint8_t decode)
{
    if (x->lock &&
        !(r->rules & LOCK && ((o->flags & OP_MEM && o->mem == 0) || has_operand(r, AT_C))))
        return false;
    if (decode & DECODE_REAL && (r->rules & PE || x->vex))
        return false;
    if (x->vvvv_used && !has_operand(r, AT_B) && !has_operand(r, AT_H))
        return false;
    if (r->rules & MMX && decode & DECODE_MMX)
        return false;
    if (r->rules & SSE && decode & DECODE_SSE)
        return false;
    return !(r->rules & AVX && decode & DECODE_AVX);
}

static exec_fn *routine_of(const struct reader *x, const struct row *r, const struct op *o,
                           uint8_t decode)
{
    unsigned shape = o->size == 1 ? 0 : o->size == 2 ? 1 : o->size == 4 ? 2 : 3;

    if (!is_legal(x, r, o, decode))
        return raise_ud;
    if (r->rules & (X87 | MMX | SSE | AVX) && decode & DECODE_X87)
        return raise_nm;
    if (o->flags & OP_MEM)
        shape += 4;
    return r->exec[(r->match & CC ? o->cc * 8 : 0) + shape];
}

static unsigned undefined(const struct reader *x, struct op *o, exec_fn *fn)
{
    *o = (struct op){.fn = fn,
                     .form = FORM_UNDEFINED,
                     .off = o->off,
                     .len = (uint8_t)x->at,
                     .size = 4,
                     .asize = address_size(x),
                     .base = REG_ZERO,
                     .index = REG_ZERO};
    return x->at;
}

/* How reading ended early: not enough bytes, too many, or nonsense. */
static unsigned cut_short(const struct reader *x, struct op *o)
{
    if (x->more)
        return 0;
    return undefined(x, o, x->bad ? raise_ud : raise_gp);
}

static uint8_t flags_of(const struct reader *x, const struct op *o, const struct row *r)
{
    bool w = x->rex & REX_W && (x->mode == 2 || r->match & W1);

    return (uint8_t)((x->mode != 2 || o->asize != 8 ? OP_LEGACY : 0) | (x->lock ? OP_LOCK : 0) |
                     (x->rep == 0xF3 ? OP_REP : 0) | (x->rep == 0xF2 ? OP_REPNE : 0) |
                     (x->rex_seen ? OP_REX : 0) | (x->vex ? OP_VEX : 0) | (w ? OP_W : 0));
}

unsigned decode_insn(const struct cpu *c, const uint8_t *bytes, unsigned avail, uint8_t decode,
                     struct op *o)
{
    struct reader x = {.bytes = bytes, .avail = avail, .mode = decode & DECODE_SIZE, .seg = NO_SEG};
    const struct opcode *op;
    const struct row *r;
    uint16_t off = o->off;
    uint8_t osize;

    pthread_once(&indexed, build_index);
    read_opcode(&x);
    if (stopped(&x))
        return cut_short(&x, o);
    op = &opcodes[x.map][x.opcode];
    if (op->modrm)
        x.modrm = next_byte(&x) | (op->forced_reg ? 0xC0 : 0);
    if (stopped(&x))
        return cut_short(&x, o);
    *o = (struct op){.off = off, .base = REG_ZERO, .index = REG_ZERO, .asize = address_size(&x)};
    r = find_row(c, &x, op, &o->form);
    if (!r)
        return undefined(&x, o, raise_ud);
    osize = operand_size(&x, r);
    o->size = size_of_row(&x, r, osize);
    o->cc = r->rules & X87 ? x.modrm : x.opcode & 0xF; /* x87 keeps ModRM: it is in FOP */
    o->flags = flags_of(&x, o, r);
    if (op->modrm && x.modrm < 0xC0) {
        o->flags |= OP_MEM;
        if (o->asize == 2 && has_operand(r, AT_VSIB))
            x.bad = true; /* 16-bit addresses have no SIB */
        else if (o->asize == 2)
            read_address16(&x, o);
        else
            read_address(&x, o, has_operand(r, AT_VSIB));
    }
    o->seg = segment_of(&x, o);
    read_operands(&x, r, o, osize);
    if (stopped(&x))
        return cut_short(&x, o);
    o->len = (uint8_t)x.at;
    if (o->base == REG_BLOCK)
        o->disp += o->off + o->len;
    o->fn = routine_of(&x, r, o, decode);
    return x.at;
}
