/* FXSAVE, XSAVE and their kin (APM2 11.4, 11.5), and the host's view of the same state.
 *
 * The area: 512 bytes of x87 and SSE state, then for XSAVE a 64-byte header, then YMM_Hi128 at 576
 * in the standard and in the compacted format alike, since it is the first extended component.
 *
 *      0  FCW FSW FTW(abridged) FOP FIP FDP      416  not written
 *     24  MXCSR, MXCSR_MASK                      512  XSTATE_BV
 *     32  ST(0) .. ST(7), 16 bytes each          520  XCOMP_BV: bit 63 compacted
 *    160  XMM0 .. XMM15                          576  YMM0_Hi128 .. YMM15_Hi128
 */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/fp.h"
#include "silicon/cpu/x87.h"

#define COMP_X87  BIT(0)
#define COMP_SSE  BIT(1)
#define COMP_AVX  BIT(2)
#define COMPACTED BIT(63)

#define AT_MXCSR  24
#define AT_ST     32
#define AT_XMM    160
#define AT_UNUSED 416
#define AT_HEADER 512
#define AT_YMM    576

/* XMM8 and up exist in 64-bit mode alone. */
static unsigned vec_count(const struct cpu *c)
{
    return long64(c) ? 16 : 8;
}

/* ---- components to and from an area ---- */

/* The error pointers are saved as zeros unless an exception is pending. */
static void x87_put(const struct cpu *c, bool wide, uint8_t *area)
{
    const struct x87 *x = &c->x87;

    memset(area, 0, 24);
    store16(area, x->cw);
    store16(area + 2, x->sw);
    area[4] = x->valid;
    if (x->sw & X87_ES) {
        store16(area + 6, x->fop);
        store64(area + 8, wide ? x->ip : (uint32_t)x->ip | (uint64_t)x->cs << 32);
        store64(area + 16, wide ? x->dp : (uint32_t)x->dp | (uint64_t)x->ds << 32);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *slot = area + AT_ST + 16 * i;
        const struct x87_reg *r = &x->reg[x87_phys(c, i)];

        memset(slot, 0, 16);
        store64(slot, r->mant);
        store16(slot + 8, r->se);
    }
}

/* Chips without XSAVEERPTR keep their error pointers unless the image has an exception pending. */
static void x87_take(struct cpu *c, bool wide, const uint8_t *area)
{
    struct x87 *x = &c->x87;

    x->cw = X87_CW(load16(area));
    x->sw = load16(area + 2);
    x87_derive_es(c);
    x->valid = area[4];
    if (has(c, FEAT_XSAVEERPTR) || x->sw & X87_ES) {
        x->fop = load16(area + 6) & 0x7FF;
        x->ip = wide ? load64(area + 8) : load32(area + 8);
        x->cs = wide ? 0 : load16(area + 12);
        x->dp = wide ? load64(area + 16) : load32(area + 16);
        x->ds = wide ? 0 : load16(area + 20);
    }
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *slot = area + AT_ST + 16 * i;
        struct x87_reg *r = &x->reg[x87_phys(c, i)];

        r->mant = load64(slot);
        r->se = load16(slot + 8);
    }
}

static void mxcsr_put(uint32_t mxcsr, uint8_t *area)
{
    store32(area + AT_MXCSR, mxcsr);
    store32(area + AT_MXCSR + 4, MXCSR_VALID);
}

/* Sixteen bytes of each vector register: `half` 0 is XMM, 1 is YMM_Hi128. */
static void vec_put(const struct cpu *c, unsigned half, unsigned count, uint8_t *to)
{
    for (unsigned i = 0; i < count; i++)
        memcpy(to + 16 * i, c->vec[i].b + 16 * half, 16);
}

static void vec_take(struct cpu *c, unsigned half, unsigned count, const uint8_t *from)
{
    for (unsigned i = 0; i < count; i++)
        memcpy(c->vec[i].b + 16 * half, from + 16 * i, 16);
}

static void vec_zero(struct cpu *c, unsigned half, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memset(c->vec[i].b + 16 * half, 0, 16);
}

/* ---- XINUSE: which components differ from their initial configuration ---- */

/* The error pointers do not count. */
static bool x87_in_use(const struct cpu *c)
{
    const struct x87 *x = &c->x87;

    for (unsigned i = 0; i < 8; i++)
        if (x->reg[i].mant || x->reg[i].se)
            return true;
    return x->cw != X87_CW_INIT || x->sw || x->valid;
}

static bool vec_in_use(const struct cpu *c, unsigned half, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (c->vec[i].q[2 * half] || c->vec[i].q[2 * half + 1])
            return true;
    return false;
}

static uint64_t xinuse(const struct cpu *c, unsigned count)
{
    return (x87_in_use(c) ? COMP_X87 : 0) | (vec_in_use(c, 0, count) ? COMP_SSE : 0) |
           (vec_in_use(c, 1, count) ? COMP_AVX : 0);
}

/* ---- FXSAVE, FXRSTOR ---- */

/* EFER.FFXSR leaves XMM to software at CPL 0 in 64-bit mode; without CR4.OSFXSR no SSE state is
 * touched at all (APM2 11.4.4). */
static bool fx_sse(const struct cpu *c)
{
    return c->cr4 & CR4_OSFXSR;
}
static bool fx_xmm(const struct cpu *c)
{
    return fx_sse(c) && !(c->efer & EFER_FFXSR && c->cpl == 0 && long64(c));
}

static uint64_t area_ea(struct cpu *c, const struct op *o, unsigned size, enum access acc,
                        unsigned align)
{
    uint64_t la = ea(c, o, size, acc);

    if (la & (align - 1))
        cpu_fault(c, o, EXC_GP, 0);
    return la;
}

static void fxsave(struct cpu *c, const struct op *o)
{
    uint64_t la = area_ea(c, o, 512, ACCESS_WRITE, 16);
    unsigned count = vec_count(c);
    uint8_t area[AT_UNUSED];

    mmu_probe_write(c, o, la, 512);
    x87_put(c, o->flags & OP_W, area);
    mem_store(c, o, la, area, AT_MXCSR);
    if (fx_sse(c)) {
        mxcsr_put(mxcsr_read(c), area);
        mem_store(c, o, la + AT_MXCSR, area + AT_MXCSR, 8);
    }
    mem_store(c, o, la + AT_ST, area + AT_ST, AT_XMM - AT_ST);
    if (fx_xmm(c)) {
        vec_put(c, 0, count, area + AT_XMM);
        mem_store(c, o, la + AT_XMM, area + AT_XMM, 16 * count);
    }
}
EXEC_BODY(fxsave, fxsave);

static void fxrstor(struct cpu *c, const struct op *o)
{
    uint8_t area[512];

    mem_load(c, o, area_ea(c, o, 512, ACCESS_READ, 16), area, 512);
    if (fx_sse(c)) {
        if (load32(area + AT_MXCSR) & ~MXCSR_VALID)
            cpu_fault(c, o, EXC_GP, 0);
        mxcsr_write(c, load32(area + AT_MXCSR));
    }
    x87_take(c, o->flags & OP_W, area);
    if (fx_xmm(c))
        vec_take(c, 0, vec_count(c), area + AT_XMM);
}
EXEC_BODY(fxrstor, fxrstor);

/* ---- XSAVE ---- */

static void xsave_gate(struct cpu *c, const struct op *o)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        cpu_fault(c, o, EXC_UD, 0);
    if (c->cr0 & CR0_TS)
        cpu_fault(c, o, EXC_NM, 0);
}

static uint64_t requested(const struct cpu *c)
{
    return (uint32_t)c->r[RAX] | c->r[RDX] << 32;
}

/* Writes the components `which`, and MXCSR where `mxcsr` says so. All of the area was probed. */
static void components_store(struct cpu *c, const struct op *o, uint64_t la, uint64_t which,
                             bool mxcsr)
{
    unsigned count = vec_count(c);
    uint8_t area[AT_UNUSED];

    if (which & COMP_X87) {
        x87_put(c, o->flags & OP_W, area);
        mem_store(c, o, la, area, AT_MXCSR);
        mem_store(c, o, la + AT_ST, area + AT_ST, AT_XMM - AT_ST);
    }
    if (mxcsr) {
        mxcsr_put(mxcsr_read(c), area);
        mem_store(c, o, la + AT_MXCSR, area + AT_MXCSR, 8);
    }
    if (which & COMP_SSE) {
        vec_put(c, 0, count, area);
        mem_store(c, o, la + AT_XMM, area, 16 * count);
    }
    if (which & COMP_AVX) {
        vec_put(c, 1, count, area);
        mem_store(c, o, la + AT_YMM, area, 16 * count);
    }
}

static unsigned area_size(uint64_t rfbm)
{
    return rfbm & COMP_AVX ? CPU_XSAVE_BYTES : AT_YMM;
}

/* XSAVE writes every component asked for; XSAVEOPT leaves out those in their initial state. */
static void xsave_standard(struct cpu *c, const struct op *o, bool skip_init)
{
    uint64_t rfbm = requested(c) & c->xcr0, used, bv, la;

    xsave_gate(c, o);
    la = area_ea(c, o, area_size(rfbm), ACCESS_WRITE, 64);
    mmu_probe_write(c, o, la, area_size(rfbm));
    used = xinuse(c, vec_count(c)) & rfbm;
    bv = (mem_load64(c, o, la + AT_HEADER) & ~rfbm) | used;
    components_store(c, o, la, skip_init ? used : rfbm, rfbm & (COMP_SSE | COMP_AVX));
    mem_store64(c, o, la + AT_HEADER, bv);
}

static void xsave(struct cpu *c, const struct op *o)
{
    xsave_standard(c, o, false);
    NEXT(c, o);
}
EXEC_ANY(xsave, xsave);

static void xsaveopt(struct cpu *c, const struct op *o)
{
    xsave_standard(c, o, true);
    NEXT(c, o);
}
EXEC_ANY(xsaveopt, xsaveopt);

/* The compacted writers count an MXCSR other than its initial value as SSE state in use. */
static void xsave_compacted(struct cpu *c, const struct op *o, uint64_t rfbm)
{
    uint64_t used, la;
    uint8_t header[16];

    xsave_gate(c, o);
    la = area_ea(c, o, area_size(rfbm), ACCESS_WRITE, 64);
    mmu_probe_write(c, o, la, area_size(rfbm));
    used = xinuse(c, vec_count(c));
    if (mxcsr_read(c) != MXCSR_DEFAULT)
        used |= COMP_SSE;
    used &= rfbm;
    components_store(c, o, la, used, used & COMP_SSE);
    store64(header, used);
    store64(header + 8, rfbm | COMPACTED);
    mem_store(c, o, la + AT_HEADER, header, sizeof(header));
}

static void xsavec(struct cpu *c, const struct op *o)
{
    xsave_compacted(c, o, requested(c) & c->xcr0);
    NEXT(c, o);
}
EXEC_ANY(xsavec, xsavec);

static void xsaves(struct cpu *c, const struct op *o)
{
    xsave_compacted(c, o, requested(c) & (c->xcr0 | c->xss));
    NEXT(c, o);
}
EXEC_ANY(xsaves, xsaves);

/* ---- XRSTOR ---- */

/* The header's rules (APM2 11.5.6): standard form, XCOMP_BV and the 8 bytes after it are zero;
 * compacted form, 48 bytes are zero and XSTATE_BV is within XCOMP_BV. */
static bool header_valid(const struct cpu *c, const uint8_t header[64], uint64_t enabled)
{
    uint64_t bv = load64(header), comp = load64(header + 8);
    bool compacted = comp & COMPACTED && has(c, FEAT_XSAVEC);

    if (bv & ~enabled)
        return false;
    if (!compacted)
        return comp == 0 && load64(header + 16) == 0;
    for (unsigned i = 16; i < 64; i += 8)
        if (load64(header + i))
            return false;
    return !(comp & ~COMPACTED & ~enabled) && !(bv & ~comp);
}

/* Puts the components `rfbm` in place: from `area` where XSTATE_BV has them, else initial. */
static void components_apply(struct cpu *c, const uint8_t *area, uint64_t rfbm, bool wide,
                             unsigned count)
{
    uint64_t bv = load64(area + AT_HEADER);

    if (rfbm & COMP_X87) {
        if (bv & COMP_X87)
            x87_take(c, wide, area);
        else
            x87_init_state(c);
    }
    if (rfbm & COMP_SSE) {
        if (bv & COMP_SSE)
            vec_take(c, 0, count, area + AT_XMM);
        else
            vec_zero(c, 0, count);
    }
    if (rfbm & COMP_AVX) {
        if (bv & COMP_AVX)
            vec_take(c, 1, count, area + AT_YMM);
        else
            vec_zero(c, 1, count);
    }
}

/* MXCSR: the standard form takes it from the area whenever SSE or AVX is asked for; in the
 * compacted form it belongs to SSE and has an initial value. */
static uint32_t mxcsr_wanted(struct cpu *c, const uint8_t *area, uint64_t rfbm)
{
    bool compacted = load64(area + AT_HEADER + 8) & COMPACTED;

    if (!compacted && rfbm & (COMP_SSE | COMP_AVX))
        return load32(area + AT_MXCSR);
    if (!compacted || !(rfbm & COMP_SSE))
        return mxcsr_read(c);
    return load64(area + AT_HEADER) & COMP_SSE ? load32(area + AT_MXCSR) : MXCSR_DEFAULT;
}

static void xrstor_from(struct cpu *c, const struct op *o, uint64_t enabled, bool supervisor)
{
    uint64_t rfbm = requested(c) & enabled, la;
    uint8_t area[CPU_XSAVE_BYTES];
    uint32_t mxcsr;

    xsave_gate(c, o);
    la = area_ea(c, o, area_size(rfbm), ACCESS_READ, 64);
    mem_load(c, o, la, area, area_size(rfbm));
    if (!header_valid(c, area + AT_HEADER, enabled) ||
        (supervisor && !(load64(area + AT_HEADER + 8) & COMPACTED)))
        cpu_fault(c, o, EXC_GP, 0);
    mxcsr = mxcsr_wanted(c, area, rfbm);
    if (mxcsr & ~MXCSR_VALID)
        cpu_fault(c, o, EXC_GP, 0);
    mxcsr_write(c, mxcsr);
    components_apply(c, area, rfbm, o->flags & OP_W, vec_count(c));
}

static void xrstor(struct cpu *c, const struct op *o)
{
    xrstor_from(c, o, c->xcr0, false);
    NEXT(c, o);
}
EXEC_ANY(xrstor, xrstor);

static void xrstors(struct cpu *c, const struct op *o)
{
    xrstor_from(c, o, c->xcr0 | c->xss, true);
    NEXT(c, o);
}
EXEC_ANY(xrstors, xrstors);

/* ---- the host's side: 64-bit images of components 0 to 2, standard format ---- */

void cpu_xsave(const struct cpu *c, uint8_t image[CPU_XSAVE_BYTES])
{
    memset(image, 0, CPU_XSAVE_BYTES);
    x87_put(c, true, image);
    mxcsr_put(c->mxcsr, image);
    vec_put(c, 0, 16, image + AT_XMM);
    vec_put(c, 1, 16, image + AT_YMM);
    store64(image + AT_HEADER, xinuse(c, 16));
}

/* Bits of MXCSR that the chip lacks are dropped: the host's own XRSTOR would fault on them. */
void cpu_xrstor(struct cpu *c, const uint8_t image[CPU_XSAVE_BYTES])
{
    c->mxcsr = load32(image + AT_MXCSR) & MXCSR_VALID;
    components_apply(c, image, COMP_X87 | COMP_SSE | COMP_AVX, true, 16);
}

/* What XSETBV would refuse (APM2 11.5.2) changes nothing. */
void cpu_xsetbv(struct cpu *c, uint64_t xcr0)
{
    uint64_t known = COMP_X87 | COMP_SSE | (has(c, FEAT_AVX) ? COMP_AVX : 0);

    if (xcr0 & ~known || !(xcr0 & COMP_X87) || (xcr0 & COMP_AVX && !(xcr0 & COMP_SSE)))
        return;
    c->xcr0 = xcr0;
    cpu_mode_changed(c);
}

uint64_t cpu_xgetbv(const struct cpu *c)
{
    return c->xcr0;
}
