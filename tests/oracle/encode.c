/* Rows of the instruction table, turned round: a legal encoding and a state that makes it work. */
#include "oracle.h"

#include "silicon/cpu/decode.h"

#define DATA      (SCRATCH + 0x2000u) /* where memory operands lie, give or take */
#define STACK_TOP (SCRATCH + 0x1000u)

uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->s += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* What is being built. */
struct build {
    struct sample *s;
    struct rng *r;
    const struct row *row;
    unsigned osize; /* 2, 4, 8; 1 for BYTE rows */
    unsigned asize;
    bool w, l;   /* REX.W / VEX.W, VEX.L */
    bool memory; /* ModRM.mod != 3 */
    uint8_t reg, rm, vvvv, z, is4;
    uint8_t base, index;
    uint8_t modrm_tail[6]; /* SIB and displacement */
    unsigned tail;
    uint8_t imm[10];
    unsigned imms;
    bool need_rex; /* SPL, BPL, SIL, DIL */
    int mem_size;
};

static bool has_where(const struct row *row, enum operand_where where)
{
    for (unsigned i = 0; i < 4; i++)
        if (operand_kinds[OPERAND_KIND(row->operand[i])].where == where)
            return true;
    return false;
}

static bool has_size(const struct row *row, enum operand_size size)
{
    for (unsigned i = 0; i < 4; i++)
        if (operand_kinds[OPERAND_KIND(row->operand[i])].size == size)
            return true;
    return false;
}

/* ---- values ---- */
static uint64_t integer(struct rng *r)
{
    static const uint64_t edges[] = {0,          1,          2,         0x7F,       0x80,
                                     0xFF,       0x7FFF,     0x8000,    0xFFFF,     0x7FFFFFFF,
                                     0x80000000, 0xFFFFFFFF, INT64_MAX, 1ull << 63, UINT64_MAX,
                                     0x55555555, 31,         32,        63,         64};
    switch (rng_below(r, 4)) {
    case 0:
        return edges[rng_below(r, COUNT(edges))];
    case 1:
        return rng_next(r) >> rng_below(r, 64);
    case 2:
        return (uint64_t)((int64_t)rng_next(r) >> rng_below(r, 64));
    default:
        return rng_next(r);
    }
}

static uint32_t single(struct rng *r)
{
    static const uint32_t edges[] = {
        0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000,
        0xFFC00000, 0x7F800001, 0xFFBFFFFF, 0x7FFFFFFF, 0x00000001, 0x807FFFFF, 0x00800000,
        0x7F7FFFFF, 0x4F000000, 0xCF000000, 0x4EFFFFFF, 0x3F000000, 0x3FC00000, 0x40200000,
        0x5F000000, 0x2F800000, 0x3F7FFFFF, 0x7FA00000, 0x42FE0000, 0x47000000, 0x437F0000};

    switch (rng_below(r, 3)) {
    case 0:
        return edges[rng_below(r, COUNT(edges))];
    case 1: /* moderate exponents, so that results are finite */
        return (uint32_t)((rng_next(r) & 0x807FFFFF) | (uint64_t)(120 + rng_below(r, 16)) << 23);
    default:
        return (uint32_t)rng_next(r);
    }
}

static uint64_t doubled(struct rng *r)
{
    static const uint64_t edges[] = {0,
                                     1ull << 63,
                                     0x3FF0000000000000,
                                     0xBFF0000000000000,
                                     0x7FF0000000000000,
                                     0xFFF0000000000000,
                                     0x7FF8000000000000,
                                     0x7FF0000000000001,
                                     0xFFF7FFFFFFFFFFFF,
                                     1,
                                     0x800FFFFFFFFFFFFF,
                                     0x0010000000000000,
                                     0x7FEFFFFFFFFFFFFF,
                                     0x41E0000000000000,
                                     0xC1E0000000200000,
                                     0x43E0000000000000,
                                     0xC3E0000000000000,
                                     0x3FE0000000000000,
                                     0x3FF8000000000000,
                                     0x36A0000000000000,
                                     0x380FFFFFFFFFFFFF,
                                     0x47EFFFFFF0000000};

    switch (rng_below(r, 3)) {
    case 0:
        return edges[rng_below(r, COUNT(edges))];
    case 1:
        return (rng_next(r) & 0x800FFFFFFFFFFFFF) | (uint64_t)(1016 + rng_below(r, 16)) << 52;
    default:
        return rng_next(r);
    }
}

static void fill(struct rng *r, uint8_t *to, unsigned n)
{
    unsigned kind = rng_below(r, 4);

    for (unsigned i = 0; i < n; i += 8) {
        uint64_t v;

        if (kind == 0)
            v = doubled(r);
        else if (kind == 1)
            v = single(r) | (uint64_t)single(r) << 32;
        else if (kind == 2)
            v = integer(r);
        else
            v = rng_next(r);
        store64(to + i, v);
    }
}

/* An 80-bit value: mostly well-formed. */
static void extended(struct rng *r, uint8_t *to)
{
    uint64_t mant = rng_next(r);
    uint16_t se = (uint16_t)(rng_next(r) & 0x8000);

    switch (rng_below(r, 8)) {
    case 0:
        mant = 0;
        break;
    case 1: /* infinity, NaNs */
        se |= 0x7FFF;
        mant = BIT(63) | (rng_below(r, 2) ? mant >> rng_below(r, 63) : 0);
        break;
    case 2: /* denormal, unnormal, anything */
        se |= rng_next(r) & 0x7FFF;
        break;
    case 3: /* small integers */
        mant = (uint64_t)(1 + rng_below(r, 1000)) << 54;
        while (!(mant >> 63))
            mant <<= 1;
        se |= 0x3FFF + rng_below(r, 12);
        break;
    default:
        mant |= BIT(63);
        se |= 0x3FFF - 20 + rng_below(r, 90);
        break;
    }
    store64(to, mant);
    store16(to + 8, se);
}

static uint32_t control_mxcsr(struct rng *r)
{
    uint32_t v = 0x1F80;

    if (!rng_below(r, 3))
        v |= rng_below(r, 4) << 13;
    if (!rng_below(r, 6))
        v |= 0x8000;
    if (!rng_below(r, 6))
        v |= 0x40;
    if (!rng_below(r, 6))
        v |= rng_below(r, 64);
    if (!rng_below(r, 12))
        v &= ~(rng_below(r, 64) << 7);
    return v;
}

/* An XSAVE image with every register random. */
static void floating(struct rng *r, uint8_t *x, bool x87)
{
    uint16_t cw = 0x37F, sw = 0;

    memset(x, 0, CPU_XSAVE_BYTES);
    if (x87) {
        if (!rng_below(r, 3))
            cw = (uint16_t)(0x7F | (unsigned[]){0, 2, 3}[rng_below(r, 3)] << 8 |
                            rng_below(r, 4) << 10);
        if (!rng_below(r, 16))
            cw &= (uint16_t) ~(rng_below(r, 64));
        sw = (uint16_t)(rng_below(r, 8) << 11 | (rng_next(r) & 0x4700));
        x[4] = rng_below(r, 4) ? 0xFF : (uint8_t)rng_next(r);
        for (unsigned i = 0; i < 8; i++)
            extended(r, x + 32 + 16 * i);
    }
    store16(x, cw);
    store16(x + 2, sw);
    store32(x + 24, control_mxcsr(r));
    store32(x + 28, 0xFFFF);
    fill(r, x + 160, 256);
    store64(x + 512, 7);
    fill(r, x + 576, 256);
}

/* ---- registers by operand ---- */
static uint8_t any_reg(const struct build *b)
{
    return (uint8_t)rng_below(b->r, b->s->compat ? 8 : 16);
}

static void add_imm(struct build *b, uint64_t v, unsigned n)
{
    memcpy(b->imm + b->imms, &v, n);
    b->imms += n;
}

static unsigned imm_bytes(const struct build *b, enum operand_size size)
{
    switch (size) {
    case SZ_B:
        return 1;
    case SZ_W:
        return 2;
    case SZ_Z:
        return b->osize == 2 ? 2 : 4;
    default:
        return b->osize;
    }
}

static int jump_distance(struct rng *r, unsigned most)
{
    int by = (int)rng_below(r, most);

    return rng_next(r) & 1 ? by : -17 - by;
}

static void pick_operand(struct build *b, unsigned kind)
{
    struct operand_kind k = operand_kinds[kind];

    switch (k.where) {
    case AT_G:
    case AT_E:
        if (k.size == SZ_B && !b->s->compat && rng_below(b->r, 2))
            b->need_rex = true;
        break;
    case AT_I:
    case AT_IS:
    case AT_I2:
        add_imm(b, rng_below(b->r, 2) ? integer(b->r) : rng_next(b->r), imm_bytes(b, k.size));
        break;
    case AT_L:
        b->is4 = (uint8_t)rng_below(b->r, 16);
        add_imm(b, (uint64_t)b->is4 << 4, 1);
        break;
    case AT_J: /* stays in the code page, and out of the instruction, where it would loop */
        add_imm(b, (uint64_t)(int64_t)jump_distance(b->r, k.size == SZ_B ? 100 : 900),
                k.size == SZ_B ? 1 : 4);
        break;
    case AT_O:
        add_imm(b, DATA + rng_below(b->r, 64), b->asize);
        break;
    default:
        break;
    }
}

/* ---- memory operands ---- */
static void aim(struct build *b, uint64_t at)
{
    struct state *st = &b->s->before;
    int32_t disp = (int32_t)rng_below(b->r, 256) - 128;
    unsigned form = rng_below(b->r, 4), mod = rng_below(b->r, 3);
    uint64_t index_part = 0;

    b->base = any_reg(b);
    if (form == 0 && !b->s->compat) { /* RIP-relative is done by the caller of encode */
        form = 1;
    }
    if (form <= 1 && (b->base & 7) != 4) { /* no SIB */
        b->rm = b->base;
    } else {
        unsigned scale = rng_below(b->r, 4);

        b->index = any_reg(b);
        while (b->index == b->base)
            b->index = any_reg(b);
        if (b->index == 4)
            scale = 0;
        else {
            st->r[b->index] = rng_below(b->r, 64);
            index_part = st->r[b->index] << scale;
        }
        b->rm = 4;
        b->modrm_tail[b->tail++] = (uint8_t)(scale << 6 | (b->index & 7) << 3 | (b->base & 7));
    }
    if (mod == 0 && (b->base & 7) == 5)
        mod = 1;
    b->memory = true;
    b->reg |= (uint8_t)(mod << 6); /* carried to modrm() */
    if (mod == 0)
        disp = 0;
    if (mod == 1)
        b->modrm_tail[b->tail++] = (uint8_t)disp;
    if (mod == 2) {
        store32(b->modrm_tail + b->tail, (uint32_t)disp);
        b->tail += 4;
    }
    st->r[b->base] = at - index_part - (uint64_t)(int64_t)disp;
    b->s->operand_at = at;
}

/* Vector indices: small offsets in every lane, three different registers. */
static void aim_vsib(struct build *b)
{
    struct state *st = &b->s->before;
    unsigned scale = rng_below(b->r, 4);
    uint8_t index = any_reg(b);

    b->base = (uint8_t)(rng_below(b->r, 2) ? RBX : RSI);
    st->r[b->base] = DATA;
    b->index = index;
    b->rm = 4;
    b->memory = true;
    b->modrm_tail[b->tail++] = (uint8_t)(scale << 6 | (index & 7) << 3 | (b->base & 7));
    b->reg = (uint8_t)((index + 1 + rng_below(b->r, 3)) & (b->s->compat ? 7 : 15));
    b->vvvv = (uint8_t)((index + 5) & (b->s->compat ? 7 : 15));
    for (unsigned lane = 0; lane < 4; lane++) {
        uint32_t v = rng_below(b->r, 256) - 128u;
        bool wide = b->row->form && strstr(b->row->form, "MVq") && strstr(b->row->form, "Q");

        (void)wide;
        /* Valid as dwords and as qwords: sign-extended or zero upper halves. */
        store64(st->xsave + 160 + 16 * index + 8 * (lane & 1), (uint64_t)(int64_t)(int32_t)v);
        store64(st->xsave + 576 + 16 * index + 8 * (lane & 1), (uint64_t)(int64_t)(int32_t)v);
    }
}

/* ---- the state around it ---- */
static void aim_implicit(struct build *b)
{
    struct state *st = &b->s->before;

    if (has_where(b->row, AT_X) || has_where(b->row, AT_Y) || b->row->rules & REP) {
        st->r[RSI] = DATA + 0x400 + rng_below(b->r, 64);
        st->r[RDI] = DATA + 0x800 + rng_below(b->r, 64);
        st->r[RCX] = rng_below(b->r, 20);
    }
    if (!strncmp(b->row->form, "XLAT", 4))
        st->r[RBX] = DATA;
    if (strstr(b->row->form, "MASKMOV") && b->row->map != V0F38)
        st->r[RDI] = DATA + rng_below(b->r, 64);
    if (!strncmp(b->row->form, "LOOP", 4) || strstr(b->row->form, "CXZ"))
        st->r[RCX] = rng_below(b->r, 3);
    if (!strncmp(b->row->form, "LEAVE", 5))
        st->r[RBP] = STACK_TOP;
}

static bool starts(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

static void aim_special(struct build *b)
{
    struct state *st = &b->s->before;
    const char *form = b->row->form;

    /* Memory bit strings: bit offsets that stay in the scratch area. */
    if (starts(form, "BT") && strstr(form, "EvGv") && b->memory) {
        while ((b->reg & 15) == b->base || (b->reg & 15) == b->index)
            b->reg = any_reg(b);
        st->r[b->reg] = (uint64_t)((int64_t)rng_below(b->r, 2048) - 1024);
    }
    /* Dividends that fit, most of the time. */
    if ((starts(form, "DIV_") || starts(form, "IDIV_")) && rng_below(b->r, 4) &&
        !(b->memory && (b->base == RDX || b->index == RDX)))
        st->r[RDX] = starts(form, "IDIV") && rng_below(b->r, 2) ? UINT64_MAX : rng_below(b->r, 3);
    /* Branches to an address must land in the code page. */
    if (starts(form, "JMP_E") || starts(form, "CALL_E")) {
        if (!b->memory)
            st->r[b->rm & 15] = CODE + 0x400 + rng_below(b->r, 256);
    }
}

/* ---- bytes ---- */
static void byte(struct sample *s, unsigned v)
{
    s->code[s->len++] = (uint8_t)v;
}

static void prefixes(const struct build *b)
{
    const struct row *row = b->row;
    bool vex = row->map >= V0F;

    if (b->asize == 4 && !b->s->compat)
        byte(b->s, 0x67);
    if (!vex && b->osize == 2 && !(row->match & MATCH_PREFIXES))
        byte(b->s, 0x66);
    if (!vex && row->match & P66)
        byte(b->s, 0x66);
    if (!vex && row->match & PF3)
        byte(b->s, 0xF3);
    if (!vex && row->match & PF2)
        byte(b->s, 0xF2);
    if (row->rules & REP && rng_below(b->r, 2))
        byte(b->s, rng_below(b->r, 2) ? 0xF2 : 0xF3);
    if (row->rules & LOCK && b->memory && !rng_below(b->r, 4))
        byte(b->s, 0xF0);
}

static void opcode_legacy(const struct build *b)
{
    static const uint8_t escapes[][3] = {
        [M0F] = {0x0F}, [M0F38] = {0x0F, 0x38}, [M0F3A] = {0x0F, 0x3A}};
    unsigned rex = (unsigned)b->w << 3 | (b->reg >> 3 & 1) << 2;

    if (b->memory)
        rex |= (b->index >> 3 & 1u) << 1 | (b->base >> 3 & 1u);
    else
        rex |= b->rm >> 3 & 1u;
    if (has_where(b->row, AT_Z))
        rex |= b->z >> 3 & 1u;
    if (!b->s->compat && (rex || b->need_rex))
        byte(b->s, 0x40 | rex);
    for (unsigned i = 0; i < 3 && b->row->map != M1 && escapes[b->row->map][i]; i++)
        byte(b->s, escapes[b->row->map][i]);
}

static void opcode_vex(const struct build *b)
{
    unsigned map = b->row->map - V0F + 1;
    unsigned pp = b->row->match & P66 ? 1 : b->row->match & PF3 ? 2 : b->row->match & PF2 ? 3 : 0;
    unsigned r = ~b->reg >> 3 & 1, x = 1, base = ~b->rm >> 3 & 1;
    unsigned tail = (~(unsigned)b->vvvv & 15) << 3 | (unsigned)b->l << 2 | pp;

    if (b->memory) {
        x = ~b->index >> 3 & 1;
        base = ~b->base >> 3 & 1;
    }
    if (map == 1 && !b->w && x && base && rng_below(b->r, 2)) {
        byte(b->s, 0xC5);
        byte(b->s, r << 7 | tail);
    } else {
        byte(b->s, 0xC4);
        byte(b->s, r << 7 | x << 6 | base << 5 | map);
        byte(b->s, (unsigned)b->w << 7 | tail);
    }
}

static void emit(struct build *b, unsigned mod)
{
    const struct row *row = b->row;
    unsigned opcode = row->byte;

    prefixes(b);
    if (row->map >= V0F)
        opcode_vex(b);
    else
        opcode_legacy(b);
    if (has_where(row, AT_Z))
        opcode += b->z & 7;
    if (row->match & CC)
        opcode += rng_below(b->r, 16);
    byte(b->s, opcode);
    if (row_has_modrm(row)) {
        byte(b->s, mod << 6 | (b->reg & 7) << 3 | (b->rm & 7));
        for (unsigned i = 0; i < b->tail; i++)
            byte(b->s, b->modrm_tail[i]);
    }
    for (unsigned i = 0; i < b->imms; i++)
        byte(b->s, b->imm[i]);
}

static void choose_sizes(struct build *b)
{
    const struct row *row = b->row;
    bool sized =
        has_size(row, SZ_V) || has_size(row, SZ_Z) || has_size(row, SZ_Y) || has_size(row, SZ_P);
    bool branch = row->rules & (FORCE64 | FAR | END);

    b->osize = row->rules & DEF64 && !b->s->compat ? 8 : 4;
    if (row->match & W1)
        b->w = true;
    else if (!(row->match & W0) && !b->s->compat && rng_below(b->r, 3) == 0)
        b->w = true;
    if (sized && !branch && !(row->match & MATCH_PREFIXES) && row->map < V0F && !b->w &&
        (has_size(row, SZ_V) || has_size(row, SZ_Z)) && rng_below(b->r, 3) == 0)
        b->osize = 2;
    if (b->w)
        b->osize = 8;
    if (row->rules & BYTE)
        b->osize = 1;
    if (row->map >= V0F)
        b->l = row->match & L1 ? true : row->match & L0 ? false : rng_below(b->r, 2);
    b->asize = b->s->compat ? 4 : rng_below(b->r, 8) ? 8 : 4;
    if (has_where(row, AT_O) && b->asize == 4 && !b->s->compat)
        b->asize = 8;
}

static bool wants_memory(struct build *b)
{
    uint32_t m = b->row->match;

    if (m & REG)
        return false;
    if (m & MEM || has_where(b->row, AT_M) || has_where(b->row, AT_VSIB))
        return true;
    return rng_below(b->r, 2);
}

static void choose_state(struct build *b)
{
    struct state *st = &b->s->before;
    bool x87 = b->row->rules & (X87 | MMX) || has_where(b->row, AT_P) || has_where(b->row, AT_Q);

    for (unsigned i = 0; i < 16; i++)
        st->r[i] = integer(b->r);
    st->r[RSP] = STACK_TOP;
    st->rip = CODE_AT;
    st->rflags = 0x202 | (rng_next(b->r) & OSZAPC);
    if (b->row->rules & REP && rng_below(b->r, 2))
        st->rflags |= FLAG_D;
    floating(b->r, st->xsave, x87);
    if (b->s->compat)
        for (unsigned i = 0; i < 16; i++)
            st->r[i] = i < 8 ? (uint32_t)st->r[i] : 0;
}

void sample_make(struct sample *s, enum form form, struct rng *r)
{
    struct build b = {.s = s, .r = r, .row = &insn_rows[form]};
    unsigned mod = 3;

    memset(s, 0, sizeof(*s));
    s->row = b.row;
    s->form = form;
    s->compat = b.row->match & I64;
    choose_sizes(&b);
    choose_state(&b);
    b.reg = b.row->match & DIGIT ? (uint8_t)MATCH_DIGIT(b.row->match) : any_reg(&b);
    b.rm = b.row->match & RMFIX ? (uint8_t)MATCH_RM(b.row->match) : any_reg(&b);
    b.z = any_reg(&b);
    if (has_where(b.row, AT_H) || has_where(b.row, AT_B))
        b.vvvv = any_reg(&b);
    if (has_where(b.row, AT_P) || b.row->rules & X87)
        b.reg &= 7;
    aim_implicit(&b);
    if (row_has_modrm(b.row) && wants_memory(&b)) {
        uint8_t reg = b.reg;

        b.reg = 0;
        if (has_where(b.row, AT_VSIB)) {
            mod = 0;
            aim_vsib(&b);
        } else {
            aim(&b, b.row->rules & ALIGN || has_size(b.row, SZ_NONE)
                        ? DATA + (rng_below(r, 8) ? 64u * rng_below(r, 4) : rng_below(r, 64))
                        : DATA + rng_below(r, 128));
            mod = b.reg >> 6;
            b.reg = reg;
        }
    }
    aim_special(&b);
    for (unsigned i = 0; i < 4; i++)
        pick_operand(&b, OPERAND_KIND(b.row->operand[i]));
    emit(&b, mod);
}

/* What the stack or the memory operand must hold for the instruction to stay in this world: return
 * addresses in the code page, and flags without AC and TF, which would strike the judge. */
void sample_prepare(const struct sample *s, uint8_t *memory, struct rng *r)
{
    uint8_t *stack = memory + (STACK_TOP - SCRATCH);
    const char *form = s->row->form;
    uint64_t target = CODE + 0x400 + rng_below(r, 256);

    if (starts(form, "POPF"))
        store64(stack, load64(stack) & ~(RFLAGS_AC | RFLAGS_TF | RFLAGS_NT));
    if (starts(form, "RET"))
        store64(stack, target);
    if (s->operand_at && (starts(form, "JMP_E") || starts(form, "CALL_E")))
        store64(memory + (s->operand_at - SCRATCH), target);
}

const char *sample_unfit(const struct row *row)
{
    if (row->rules & SYS)
        return "system instruction";
    if (row->rules & CPL0)
        return "privileged";
    if (row->rules & UNSTABLE)
        return "its result differs from run to run";
    if (row->rules & FAR)
        return "far transfer";
    return NULL;
}
