/* The emulator of instructions on device memory: a table of forms, one decoder, one function for
 * each kind. */
#include "host/vm/mmio.h"

#include "base/bytes.h"

enum kind {
    LOAD,       /* reg <- mem */
    STORE,      /* mem <- reg */
    STORE_IMM,  /* mem <- immediate */
    ALU_MR,     /* mem <- mem op reg; the operation is in opcode bits 5:3 */
    ALU_RM,     /* reg <- reg op mem */
    ALU_IMM,    /* mem <- mem op immediate; the operation is in ModRM.reg */
    TEST_REG,   /* flags of mem & reg */
    UNARY,      /* TEST imm, NOT, NEG by ModRM.reg */
    INC_DEC,    /* by ModRM.reg */
    XCHG,       /* */
    ZERO_EXT,   /* reg <- zero-extended mem of `size` */
    SIGN_EXT,   /* */
    MOVS,       /* */
    STOS,       /* */
    LODS,       /* */
    BIT_REG,    /* BT, BTS, BTR, BTC by register: opcode bits 4:3 */
    BIT_IMM,    /* by immediate: ModRM.reg bits 1:0 */
    LOAD_SWAP,  /* MOVBE */
    STORE_SWAP, /* */
    CMPXCHG,    /* */
    XADD,       /* */
};

enum imm { NO_IMM, IMM_BYTE, IMM_FULL, IMM_UNARY, IMM_ADDRESS };

/* `size`: of the memory operand; 0: by operand size, -1: opcode bit 0 says byte or operand size. */
static const struct form {
    uint8_t map, opcode, mask; /* map 0: one byte, 1: 0F, 2: 0F 38 */
    enum kind kind;
    bool modrm;
    enum imm imm;
    int size;
} forms[] = {
    {0, 0x00, 0xC6, ALU_MR, true, NO_IMM, -1},
    {0, 0x02, 0xC6, ALU_RM, true, NO_IMM, -1},
    {0, 0x63, 0xFF, SIGN_EXT, true, NO_IMM, 4},
    {0, 0x80, 0xFF, ALU_IMM, true, IMM_BYTE, 1},
    {0, 0x81, 0xFF, ALU_IMM, true, IMM_FULL, 0},
    {0, 0x83, 0xFF, ALU_IMM, true, IMM_BYTE, 0},
    {0, 0x84, 0xFE, TEST_REG, true, NO_IMM, -1},
    {0, 0x86, 0xFE, XCHG, true, NO_IMM, -1},
    {0, 0x88, 0xFE, STORE, true, NO_IMM, -1},
    {0, 0x8A, 0xFE, LOAD, true, NO_IMM, -1},
    {0, 0xA0, 0xFE, LOAD, false, IMM_ADDRESS, -1},
    {0, 0xA2, 0xFE, STORE, false, IMM_ADDRESS, -1},
    {0, 0xA4, 0xFE, MOVS, false, NO_IMM, -1},
    {0, 0xAA, 0xFE, STOS, false, NO_IMM, -1},
    {0, 0xAC, 0xFE, LODS, false, NO_IMM, -1},
    {0, 0xC6, 0xFF, STORE_IMM, true, IMM_BYTE, 1},
    {0, 0xC7, 0xFF, STORE_IMM, true, IMM_FULL, 0},
    {0, 0xF6, 0xFE, UNARY, true, IMM_UNARY, -1},
    {0, 0xFE, 0xFE, INC_DEC, true, NO_IMM, -1},
    {1, 0xA3, 0xE7, BIT_REG, true, NO_IMM, 0},
    {1, 0xB0, 0xFE, CMPXCHG, true, NO_IMM, -1},
    {1, 0xB6, 0xFF, ZERO_EXT, true, NO_IMM, 1},
    {1, 0xB7, 0xFF, ZERO_EXT, true, NO_IMM, 2},
    {1, 0xBA, 0xFF, BIT_IMM, true, IMM_BYTE, 0},
    {1, 0xBE, 0xFF, SIGN_EXT, true, NO_IMM, 1},
    {1, 0xBF, 0xFF, SIGN_EXT, true, NO_IMM, 2},
    {1, 0xC0, 0xFE, XADD, true, NO_IMM, -1},
    {1, 0xC3, 0xFF, STORE, true, NO_IMM, 0}, /* MOVNTI */
    {2, 0xF0, 0xFF, LOAD_SWAP, true, NO_IMM, 0},
    {2, 0xF1, 0xFF, STORE_SWAP, true, NO_IMM, 0},
};

enum { ES, CS, SS, DS, FS, GS };

struct insn {
    const struct form *form;
    uint8_t opcode, rex, modrm;
    bool rep, op16, addr_toggle;
    int segment;
    unsigned size;    /* of the memory operand */
    unsigned op_size; /* 2, 4 or 8 */
    unsigned addr_size;
    uint64_t imm; /* sign-extended */
    unsigned length;
};

static uint64_t mask_of(unsigned size)
{
    return size == 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

static uint64_t sign_extend(uint64_t v, unsigned size)
{
    unsigned up = 64 - 8 * size;

    return (uint64_t)((int64_t)(v << up) >> up);
}

/* ---- decode ---------------------------------------------------------------------------------- */

static uint8_t prefixes(struct cursor *c, const struct mmio_state *st, struct insn *in)
{
    for (;;) {
        uint8_t b = cursor_u8(c);

        switch (b) {
        case 0x26:
        case 0x2E:
        case 0x36:
        case 0x3E:
            in->segment = b >> 3 & 3;
            break;
        case 0x64:
        case 0x65:
            in->segment = b - 0x60;
            break;
        case 0x66:
            in->op16 = true;
            break;
        case 0x67:
            in->addr_toggle = true;
            break;
        case 0xF0:
            break;
        case 0xF2:
        case 0xF3:
            in->rep = true;
            break;
        default:
            if (st->long_mode && (b & 0xF0) == 0x40) {
                in->rex = b;
                b = cursor_u8(c);
            }
            return b;
        }
        if (c->short_read)
            return 0;
    }
}

static void skip_address(struct cursor *c, const struct insn *in)
{
    unsigned mod = in->modrm >> 6, rm = in->modrm & 7, disp = 0;

    if (in->addr_size == 2) {
        disp = mod == 2 || (mod == 0 && rm == 6) ? 2 : mod == 1;
    } else {
        uint8_t sib = rm == 4 ? cursor_u8(c) : 0;

        if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5))))
            disp = 4;
        else if (mod == 1)
            disp = 1;
    }
    cursor_take(c, disp);
}

static void read_immediate(struct cursor *c, struct insn *in)
{
    bool unary_test = in->form->imm == IMM_UNARY && (in->modrm >> 3 & 7) < 2;
    unsigned n = 0;

    if (in->form->imm == IMM_BYTE)
        n = 1;
    else if (in->form->imm == IMM_FULL || unary_test)
        n = MIN(in->size, 4u);
    else if (in->form->imm == IMM_ADDRESS)
        n = in->addr_size;
    if (n == 1)
        in->imm = sign_extend(cursor_u8(c), 1);
    else if (n == 2)
        in->imm = sign_extend(cursor_u16(c), 2);
    else if (n == 4)
        in->imm = sign_extend(cursor_u32(c), 4);
    else if (n == 8)
        in->imm = cursor_u64(c);
}

static const struct form *find_form(uint8_t map, uint8_t opcode)
{
    for (size_t i = 0; i < COUNT(forms); i++)
        if (forms[i].map == map && (opcode & forms[i].mask) == forms[i].opcode)
            return &forms[i];
    return NULL;
}

static void sizes(const struct mmio_state *st, struct insn *in)
{
    bool toggle = in->op16;

    if (st->long_mode) {
        in->op_size = in->rex & 8 ? 8 : toggle ? 2 : 4;
        in->addr_size = in->addr_toggle ? 4 : 8;
    } else {
        in->op_size = st->big != toggle ? 4 : 2;
        in->addr_size = st->big != in->addr_toggle ? 4 : 2;
    }
    if (in->form->size > 0)
        in->size = (unsigned)in->form->size;
    else
        in->size = in->form->size < 0 && !(in->opcode & 1) ? 1 : in->op_size;
}

static bool decode(const struct mmio_state *st, const uint8_t *bytes, unsigned count,
                   struct insn *in)
{
    struct cursor c = cursor_over(bytes, count);
    uint8_t map = 0;

    *in = (struct insn){.segment = -1};
    in->opcode = prefixes(&c, st, in);
    if (in->opcode == 0x0F) {
        map = 1;
        in->opcode = cursor_u8(&c);
        if (in->opcode == 0x38) {
            map = 2;
            in->opcode = cursor_u8(&c);
        }
    }
    in->form = c.short_read ? NULL : find_form(map, in->opcode);
    if (!in->form || (in->opcode == 0x63 && !map && !st->long_mode))
        return false;
    sizes(st, in);
    if (in->form->modrm) {
        in->modrm = cursor_u8(&c);
        if (in->modrm >> 6 == 3)
            return false; /* registers alone: not what faulted */
        skip_address(&c, in);
    }
    read_immediate(&c, in);
    in->length = (unsigned)(count - c.left);
    return !c.short_read;
}

/* ---- registers and flags --------------------------------------------------------------------- */

/* Without REX, byte registers 4 to 7 are AH, CH, DH, BH. */
static bool high_byte(const struct insn *in, unsigned n, unsigned size)
{
    return size == 1 && !in->rex && n >= 4 && n < 8;
}

static uint64_t get_reg(const struct mmio_state *st, const struct insn *in, unsigned n,
                        unsigned size)
{
    if (high_byte(in, n, size))
        return st->gpr[n - 4] >> 8 & 0xFF;
    return st->gpr[n] & mask_of(size);
}

static void set_reg(struct mmio_state *st, const struct insn *in, unsigned n, unsigned size,
                    uint64_t v)
{
    if (high_byte(in, n, size))
        st->gpr[n - 4] = (st->gpr[n - 4] & ~UINT64_C(0xFF00)) | (v & 0xFF) << 8;
    else if (size >= 4)
        st->gpr[n] = v & mask_of(size);
    else
        st->gpr[n] = (st->gpr[n] & ~mask_of(size)) | (v & mask_of(size));
}

static unsigned reg_field(const struct insn *in)
{
    return (in->modrm >> 3 & 7) | (in->rex & 4) << 1;
}

#define CF BIT(0)
#define PF BIT(2)
#define AF BIT(4)
#define ZF BIT(6)
#define SF BIT(7)
#define DF BIT(10)
#define OF BIT(11)

enum alu { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP };

/* a op b, and the flags it leaves. */
static uint64_t alu(struct mmio_state *st, enum alu op, uint64_t a, uint64_t b, unsigned size)
{
    uint64_t mask = mask_of(size), top = BIT(8 * size - 1), r, carries = 0, overflow = 0;
    uint64_t carry = (op == ADC || op == SBB) && st->rflags & CF;

    switch (op) {
    case ADD:
    case ADC:
        r = a + b + carry;
        carries = (a & b) | ((a | b) & ~r);
        overflow = ~(a ^ b) & (a ^ r);
        break;
    case SUB:
    case SBB:
    case CMP:
        r = a - b - carry;
        carries = (~a & b) | ((~a | b) & r);
        overflow = (a ^ b) & (a ^ r);
        break;
    case OR:
        r = a | b;
        break;
    case AND:
        r = a & b;
        break;
    default:
        r = a ^ b;
        break;
    }
    r &= mask;
    st->rflags &= ~(CF | PF | AF | ZF | SF | OF);
    st->rflags |= (carries & top ? CF : 0) | (carries & 8 ? AF : 0) | (overflow & top ? OF : 0) |
                  (r & top ? SF : 0) | (r ? 0 : ZF) |
                  (__builtin_parity((unsigned)(r & 0xFF)) ? 0 : PF);
    return r;
}

static uint64_t swap_bytes(uint64_t v, unsigned size)
{
    return __builtin_bswap64(v) >> (64 - 8 * size);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

struct access {
    struct mmio_state *st;
    const struct insn *in;
    uint64_t gpa;
    bool write;
    const struct mmio_ops *ops;
    void *ctx;
};

static uint64_t load(const struct access *a)
{
    return a->ops->load(a->ctx, a->gpa, a->in->size) & mask_of(a->in->size);
}

static void store(const struct access *a, uint64_t v)
{
    a->ops->store(a->ctx, a->gpa, a->in->size, v & mask_of(a->in->size));
}

static enum mmio_result do_move(const struct access *a)
{
    const struct insn *in = a->in;
    struct mmio_state *st = a->st;
    unsigned reg = in->form->modrm ? reg_field(in) : 0, size = in->size;

    switch (in->form->kind) {
    case LOAD:
        set_reg(st, in, reg, size, load(a));
        break;
    case STORE:
        store(a, get_reg(st, in, reg, size));
        break;
    case STORE_IMM:
        store(a, in->imm);
        break;
    case ZERO_EXT:
        set_reg(st, in, reg, in->op_size, load(a));
        break;
    case SIGN_EXT:
        set_reg(st, in, reg, in->op_size, sign_extend(load(a), size));
        break;
    case LOAD_SWAP:
        set_reg(st, in, reg, size, swap_bytes(load(a), size));
        break;
    default:
        store(a, swap_bytes(get_reg(st, in, reg, size), size));
        break;
    }
    return MMIO_DONE;
}

static enum mmio_result do_alu(const struct access *a)
{
    const struct insn *in = a->in;
    struct mmio_state *st = a->st;
    unsigned reg = reg_field(in), size = in->size, extension = in->modrm >> 3 & 7;
    enum alu op = in->form->kind == ALU_IMM ? extension : in->opcode >> 3 & 7;
    uint64_t m = load(a), r;

    if (in->form->kind == ALU_RM) {
        r = alu(st, op, get_reg(st, in, reg, size), m, size);
        if (op != CMP)
            set_reg(st, in, reg, size, r);
        return MMIO_DONE;
    }
    r = in->form->kind == ALU_IMM ? in->imm & mask_of(size) : get_reg(st, in, reg, size);
    r = alu(st, op, m, r, size);
    if (op != CMP)
        store(a, r);
    return MMIO_DONE;
}

static enum mmio_result do_unary(const struct access *a)
{
    const struct insn *in = a->in;
    unsigned extension = in->modrm >> 3 & 7, size = in->size;
    uint64_t carry;

    if (in->form->kind == TEST_REG) {
        alu(a->st, AND, load(a), get_reg(a->st, in, reg_field(in), size), size);
    } else if (in->form->kind == INC_DEC) {
        if (extension > 1)
            return MMIO_UNKNOWN;
        carry = a->st->rflags & CF;
        store(a, alu(a->st, extension ? SUB : ADD, load(a), 1, size));
        a->st->rflags = (a->st->rflags & ~CF) | carry;
    } else if (extension < 2) {
        alu(a->st, AND, load(a), in->imm & mask_of(size), size);
    } else if (extension == 2) {
        store(a, ~load(a));
    } else if (extension == 3) {
        store(a, alu(a->st, SUB, 0, load(a), size));
    } else {
        return MMIO_UNKNOWN;
    }
    return MMIO_DONE;
}

static enum mmio_result do_exchange(const struct access *a)
{
    const struct insn *in = a->in;
    struct mmio_state *st = a->st;
    unsigned reg = reg_field(in), size = in->size;
    uint64_t m = load(a), r = get_reg(st, in, reg, size), rax = st->gpr[0] & mask_of(size);

    switch (in->form->kind) {
    case XCHG:
        store(a, r);
        set_reg(st, in, reg, size, m);
        break;
    case XADD:
        store(a, alu(st, ADD, m, r, size));
        set_reg(st, in, reg, size, m);
        break;
    default:
        alu(st, CMP, rax, m, size);
        store(a, rax == m ? r : m);
        if (rax != m)
            set_reg(st, in, 0, size, m);
        break;
    }
    return MMIO_DONE;
}

/* The fault's address has the register's bit offset in it already, as far as whole operands go. */
static enum mmio_result do_bit(const struct access *a)
{
    const struct insn *in = a->in;
    bool by_reg = in->form->kind == BIT_REG;
    unsigned op = by_reg ? in->opcode >> 3 & 3 : in->modrm >> 3 & 3;
    uint64_t n = by_reg ? get_reg(a->st, in, reg_field(in), in->size) : in->imm;
    uint64_t bit = BIT(n & (8 * in->size - 1)), m;

    if (!by_reg && !(in->modrm & 0x20))
        return MMIO_UNKNOWN;
    m = load(a);
    a->st->rflags = (a->st->rflags & ~CF) | (m & bit ? CF : 0);
    if (op == 1)
        store(a, m | bit);
    else if (op == 2)
        store(a, m & ~bit);
    else if (op == 3)
        store(a, m ^ bit);
    return MMIO_DONE;
}

static void advance(struct mmio_state *st, unsigned reg, uint64_t by, unsigned addr_size)
{
    uint64_t mask = mask_of(addr_size), v = (st->gpr[reg] + by) & mask;

    st->gpr[reg] = addr_size == 2 ? (st->gpr[reg] & ~mask) | v : v;
}

static uint64_t linear(const struct access *a, unsigned reg, int segment)
{
    uint64_t at = a->st->gpr[reg] & mask_of(a->in->addr_size);

    if (a->st->long_mode)
        return at + (segment >= FS ? a->st->seg_base[segment] : 0);
    return (uint32_t)(at + a->st->seg_base[segment]);
}

/* One element; with REP and more to do, RIP stays and the next one faults again. */
static enum mmio_result do_string(const struct access *a)
{
    const struct insn *in = a->in;
    struct mmio_state *st = a->st;
    enum { RAX_, RCX_, RSI_ = 6, RDI_ };
    uint64_t count_mask = mask_of(in->addr_size), v = 0;
    uint64_t step = st->rflags & DF ? -(uint64_t)in->size : in->size;
    int source = in->segment < 0 ? DS : in->segment;

    if (in->rep && !(st->gpr[RCX_] & count_mask))
        return MMIO_DONE;
    if (in->form->kind == STOS) {
        store(a, st->gpr[RAX_]);
    } else if (in->form->kind == LODS) {
        set_reg(st, in, RAX_, in->size, load(a));
    } else if (a->write) {
        if (!a->ops->other_load(a->ctx, linear(a, RSI_, source), in->size, &v))
            return MMIO_FAULT;
        store(a, v);
    } else if (!a->ops->other_store(a->ctx, linear(a, RDI_, ES), in->size, load(a))) {
        return MMIO_FAULT;
    }
    if (in->form->kind != STOS)
        advance(st, RSI_, step, in->addr_size);
    if (in->form->kind != LODS)
        advance(st, RDI_, step, in->addr_size);
    if (in->rep)
        advance(st, RCX_, -UINT64_C(1), in->addr_size);
    return MMIO_DONE;
}

enum mmio_result mmio_emulate(struct mmio_state *st, const uint8_t *bytes, unsigned count,
                              uint64_t gpa, bool write, const struct mmio_ops *ops, void *ctx)
{
    static enum mmio_result (*const kinds[])(const struct access *) = {
        [LOAD] = do_move,       [STORE] = do_move,       [STORE_IMM] = do_move,
        [ALU_MR] = do_alu,      [ALU_RM] = do_alu,       [ALU_IMM] = do_alu,
        [TEST_REG] = do_unary,  [UNARY] = do_unary,      [INC_DEC] = do_unary,
        [XCHG] = do_exchange,   [ZERO_EXT] = do_move,    [SIGN_EXT] = do_move,
        [MOVS] = do_string,     [STOS] = do_string,      [LODS] = do_string,
        [BIT_REG] = do_bit,     [BIT_IMM] = do_bit,      [LOAD_SWAP] = do_move,
        [STORE_SWAP] = do_move, [CMPXCHG] = do_exchange, [XADD] = do_exchange,
    };
    struct mmio_state after = *st;
    struct insn in;
    const struct access a = {&after, &in, gpa, write, ops, ctx};
    enum mmio_result r;
    bool again;

    if (!decode(st, bytes, count, &in))
        return MMIO_UNKNOWN;
    r = kinds[in.form->kind](&a);
    if (r != MMIO_DONE)
        return r;
    again = in.rep && (in.form->kind == MOVS || in.form->kind == STOS || in.form->kind == LODS) &&
            (after.gpr[1] & mask_of(in.addr_size));
    if (!again)
        after.rip = st->long_mode ? st->rip + in.length : (uint32_t)(st->rip + in.length);
    *st = after;
    return MMIO_DONE;
}
