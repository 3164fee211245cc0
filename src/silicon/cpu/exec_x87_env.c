/* x87 control instructions: control and status words, environment and state images (APM1 6.2). */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/x87.h"

static void finit(struct cpu *c, const struct op *o)
{
    x87_reset(c);
    NEXT(c, o);
}
EXEC_ANY(fninit, finit);

static void fclex(struct cpu *c, const struct op *o)
{
    c->x87.sw &= (uint16_t) ~(X87_FLAGS | X87_SF | X87_ES | X87_B);
    NEXT(c, o);
}
EXEC_ANY(fnclex, fclex);

/* FNENI, FNDISI, FNSETPM: of the 8087 and 80287, without effect since. */
static void fignored(struct cpu *c, const struct op *o)
{
    NEXT(c, o);
}
EXEC_ANY(fignored, fignored);

/* FWAIT heeds TS only together with MP (APM2 3.1.1). */
static void fwait(struct cpu *c, const struct op *o)
{
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        cpu_fault(c, o, EXC_NM, 0);
    x87_wait(c, o);
    NEXT(c, o);
}
EXEC_ANY(fwait, fwait);

static void fstsw_ax(struct cpu *c, const struct op *o)
{
    store16(&c->r[RAX], c->x87.sw);
    NEXT(c, o);
}
EXEC_ANY(fnstsw_ax, fstsw_ax);

static void fstsw(struct cpu *c, const struct op *o)
{
    mem_store16(c, o, ea(c, o, 2, ACCESS_WRITE), c->x87.sw);
    NEXT(c, o);
}
EXEC_ANY(fnstsw, fstsw);

static void fstcw(struct cpu *c, const struct op *o)
{
    mem_store16(c, o, ea(c, o, 2, ACCESS_WRITE), c->x87.cw);
    NEXT(c, o);
}
EXEC_ANY(fnstcw, fstcw);

static void fldcw(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    c->x87.cw = X87_CW(mem_load16(c, o, ea(c, o, 2, ACCESS_READ)));
    x87_derive_es(c);
    NEXT(c, o);
}
EXEC_ANY(fldcw, fldcw);

/* ---- environment: 7 fields of 2 or 4 bytes, by operand size and mode ---- */

static bool env_is_real(const struct cpu *c)
{
    return c->decode & DECODE_REAL;
}

static unsigned env_size(const struct op *o)
{
    return o->size == 2 ? 14 : 28;
}

static void env_build(const struct cpu *c, const struct op *o, uint8_t env[28])
{
    const struct x87 *x = &c->x87;
    uint32_t field[7] = {x->cw, x->sw, x87_tag_word(c)};
    bool wide = o->size != 2;

    if (env_is_real(c)) {
        uint32_t ip = (uint32_t)x->ip + ((uint32_t)x->cs << 4);
        uint32_t dp = (uint32_t)x->dp + ((uint32_t)x->ds << 4);

        field[3] = ip & 0xFFFF;
        field[4] = (ip >> 16 << 12) | x->fop;
        field[5] = dp & 0xFFFF;
        field[6] = dp >> 16 << 12;
    } else {
        field[3] = (uint32_t)x->ip;
        field[4] = x->cs | (uint32_t)x->fop << 16;
        field[5] = (uint32_t)x->dp;
        field[6] = x->ds;
    }
    for (unsigned i = 0; i < 7; i++) {
        /* Unused upper halves read as ones. */
        bool half = i < 3 || (env_is_real(c) ? i == 3 || i == 5 : i == 6);

        if (wide)
            store32(env + 4 * i, field[i] | (half ? 0xFFFF0000u : 0));
        else
            store16(env + 2 * i, (uint16_t)field[i]);
    }
}

static void env_apply(struct cpu *c, const struct op *o, const uint8_t env[28])
{
    struct x87 *x = &c->x87;
    uint32_t field[7];
    bool wide = o->size != 2;

    for (unsigned i = 0; i < 7; i++)
        field[i] = wide ? load32(env + 4 * i) : load16(env + 2 * i);
    x->cw = X87_CW(field[0]);
    x->sw = (uint16_t)field[1];
    x87_derive_es(c);
    x->valid = 0;
    for (unsigned i = 0; i < 8; i++)
        if ((field[2] >> 2 * i & 3) != 3)
            x->valid |= (uint8_t)(1u << i);
    if (env_is_real(c)) {
        x->ip = (field[3] & 0xFFFF) | (field[4] >> 12 & 0xFFFF) << 16;
        x->fop = field[4] & 0x7FF;
        x->dp = (field[5] & 0xFFFF) | (field[6] >> 12 & 0xFFFF) << 16;
        x->cs = x->ds = 0;
    } else {
        x->ip = field[3];
        x->cs = (uint16_t)field[4];
        x->fop = wide ? field[4] >> 16 & 0x7FF : 0;
        x->dp = field[5];
        x->ds = (uint16_t)field[6];
    }
}

static void fstenv(struct cpu *c, const struct op *o)
{
    uint64_t la = ea(c, o, env_size(o), ACCESS_WRITE);
    uint8_t env[28];

    env_build(c, o, env);
    mmu_probe_write(c, o, la, env_size(o));
    mem_store(c, o, la, env, env_size(o));
    c->x87.cw |= X87_FLAGS;
    x87_derive_es(c);
}
EXEC_BODY(fnstenv, fstenv);

static void fldenv(struct cpu *c, const struct op *o)
{
    uint8_t env[28];

    x87_wait(c, o);
    mem_load(c, o, ea(c, o, env_size(o), ACCESS_READ), env, env_size(o));
    env_apply(c, o, env);
}
EXEC_BODY(fldenv, fldenv);

/* ---- the environment followed by ST(0) to ST(7), 10 bytes each ---- */

static void fsave(struct cpu *c, const struct op *o)
{
    unsigned size = env_size(o) + 80;
    uint64_t la = ea(c, o, size, ACCESS_WRITE);
    uint8_t image[28 + 80];

    env_build(c, o, image);
    for (unsigned i = 0; i < 8; i++) {
        const struct x87_reg *r = &c->x87.reg[x87_phys(c, i)];

        store64(image + env_size(o) + 10 * i, r->mant);
        store16(image + env_size(o) + 10 * i + 8, r->se);
    }
    mmu_probe_write(c, o, la, size);
    mem_store(c, o, la, image, size);
    x87_reset(c);
}
EXEC_BODY(fnsave, fsave);

static void frstor(struct cpu *c, const struct op *o)
{
    unsigned size = env_size(o) + 80;
    uint8_t image[28 + 80];

    x87_wait(c, o);
    mem_load(c, o, ea(c, o, size, ACCESS_READ), image, size);
    env_apply(c, o, image);
    for (unsigned i = 0; i < 8; i++) {
        struct x87_reg *r = &c->x87.reg[x87_phys(c, i)];

        r->mant = load64(image + env_size(o) + 10 * i);
        r->se = load16(image + env_size(o) + 10 * i + 8);
    }
}
EXEC_BODY(frstor, frstor);
