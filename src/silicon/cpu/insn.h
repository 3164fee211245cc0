/* The instruction table as C sees it.
 *
 * insn.def is the one list of instructions; decoder, interpreter, traces, the native comparison and
 * the coverage page expand it. A row:
 *
 *   INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, exec)
 *
 *   form       mnemonic, '_', operands in the manual's letters: unique
 *   map        M1 M0F M0F38 M0F3A (legacy) V0F V0F38 V0F3A (VEX)
 *   byte       opcode; the first of 8 for a Z operand, the first of 16 with CC
 *   match      what else must hold for this row to be meant: MATCH bits below, or-ed
 *   operands   (RW(Ev), R(Gv)): up to four, in the manual's order
 *   needs      a FEAT_ from feature.def; without it #UD
 *   exit       the VMEXIT_ code when a hypervisor intercepts it, or 0 (see vmcb.h)
 *   rules      RULE bits, or-ed
 *   sets, undefined   status flags written; those the manual leaves undefined
 *   exec       the interpreter's routine: `exec_NAME`, an exec_shapes
 */
#ifndef LUCCA_SILICON_CPU_INSN_H
#define LUCCA_SILICON_CPU_INSN_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct cpu;

enum opcode_map { M1, M0F, M0F38, M0F3A, V0F, V0F38, V0F3A, OPCODE_MAPS };

/* ---- match ---- */
#define NP             0x00000001u /* none of 66, F3, F2 */
#define P66            0x00000002u /* 66 is part of the opcode */
#define PF3            0x00000004u
#define PF2            0x00000008u
#define MEM            0x00000010u /* ModRM.mod != 3 */
#define REG            0x00000020u /* ModRM.mod == 3 */
#define O64            0x00000040u /* in 64-bit mode alone */
#define I64            0x00000080u /* not in 64-bit mode */
#define W0             0x00000100u /* REX.W or VEX.W clear */
#define W1             0x00000200u
#define L0             0x00000400u /* VEX.L clear */
#define L1             0x00000800u
#define CC             0x00001000u /* sixteen opcodes: the low four bits are a condition (op.cc) */
#define DIGIT          0x00002000u
#define D(n)           (DIGIT | (uint32_t)(n) << 16) /* ModRM.reg == n */
#define RMFIX          0x00004000u
#define RM(n)          (RMFIX | REG | (uint32_t)(n) << 20) /* ModRM.rm == n, mod 3 */
#define MODRM          0x00008000u /* has a ModRM although no operand shows it */
#define MATCH_DIGIT(m) ((m) >> 16 & 7)
#define MATCH_RM(m)    ((m) >> 20 & 7)
/* With none of NP, P66, PF3, PF2, those prefixes mean operand size and REP, and do not select.
 * Several are alternatives (MOVBE is NP | P66: 66 stays operand size). F3 and F2 win over 66, the
 * last of them counts; 66 stays operand size unless it is the row's only prefix. */
#define MATCH_PREFIXES (NP | P66 | PF3 | PF2)

/* ---- operands: where x what. Sizes: b 1, w 2, d 4, q 8, dq 16, qq 32; v 2/4/8 by operand size,
 * y 4/8, z 2/4 (immediates), x 16 or 32 by VEX.L, hx/qx/ex a half, quarter, eighth of x;
 * ss 4, sd 8 scalars; t 10 (x87), fixed sizes of memory areas in RULE or the routine. ---- */
/* clang-format off */
#define OPERANDS_LIST(X)                                                                           \
    X(NONE, NONE, 0)                                                                               \
    /* general registers by ModRM.reg */                                                           \
    X(Gb, G, SZ_B) X(Gw, G, SZ_W) X(Gd, G, SZ_D) X(Gq, G, SZ_Q) X(Gv, G, SZ_V) X(Gy, G, SZ_Y)      \
    /* general register or memory by ModRM.rm */                                                   \
    X(Eb, E, SZ_B) X(Ew, E, SZ_W) X(Ed, E, SZ_D) X(Eq, E, SZ_Q) X(Ev, E, SZ_V) X(Ey, E, SZ_Y)      \
    /* memory; M is an address, or an area whose size the routine knows */                         \
    X(M, M, SZ_NONE) X(Mb, M, SZ_B) X(Mw, M, SZ_W) X(Md, M, SZ_D) X(Mq, M, SZ_Q) X(Mt, M, SZ_T)    \
    X(Mdq, M, SZ_DQ) X(Mqq, M, SZ_QQ) X(Mx, M, SZ_X) X(Mv, M, SZ_V) X(My, M, SZ_Y)                 \
    /* far pointer: offset of operand size, selector */                                            \
    X(Mp, M, SZ_P)                                                                                 \
    /* a general register by ModRM.rm alone (mod 3), by VEX.vvvv */                                \
    X(Rv, E, SZ_V) X(Ry, E, SZ_Y) X(Rd, E, SZ_D) X(Rq, E, SZ_Q) X(By, B, SZ_Y)                     \
    /* the opcode's low three bits */                                                              \
    X(Zb, Z, SZ_B) X(Zv, Z, SZ_V) X(Zq, Z, SZ_Q)                                                   \
    /* immediates: s sign-extended byte; Iv is 8 bytes with REX.W; Ap far pointer */               \
    X(Ib, I, SZ_B) X(Ibs, IS, SZ_B) X(Iw, I, SZ_W) X(Iz, IS, SZ_Z) X(Iv, I, SZ_V) X(Ap, A, SZ_P)   \
    /* a second immediate byte (ENTER); jumps */                                                   \
    X(Ib2, I2, SZ_B) X(Jb, J, SZ_B) X(Jz, J, SZ_Z)                                                 \
    /* absolute address of address size */                                                         \
    X(Ob, O, SZ_B) X(Ov, O, SZ_V)                                                                  \
    /* fixed registers, the number one */                                                          \
    X(AL, FIX0, SZ_B) X(AX, FIX0, SZ_W) X(EAX, FIX0, SZ_D) X(rAX, FIX0, SZ_V) X(CL, FIX1, SZ_B)    \
    X(DX, FIX2, SZ_W) X(ONE, ONE, SZ_B)                                                            \
    /* string operands: [seg:rSI], [ES:rDI] */                                                     \
    X(Xb, X, SZ_B) X(Xv, X, SZ_V) X(Yb, Y, SZ_B) X(Yv, Y, SZ_V) X(Xz, X, SZ_Z) X(Yz, Y, SZ_Z)      \
    /* segment, control and debug registers by ModRM.reg */                                        \
    X(Sw, S, SZ_W) X(Cr, C, SZ_NONE) X(Dr, DR, SZ_NONE)                                            \
    /* MMX: by reg; register or memory by rm; register by rm */                                    \
    X(Pq, P, SZ_Q) X(Pd, P, SZ_D) X(Qq, Q, SZ_Q) X(Qd, Q, SZ_D) X(Nq, Q, SZ_Q)                     \
    /* XMM/YMM: V by reg, W register or memory by rm, U register by rm, H by vvvv, L by imm8 */    \
    X(Vx, V, SZ_X) X(Vdq, V, SZ_DQ) X(Vqq, V, SZ_QQ) X(Vq, V, SZ_Q) X(Vd, V, SZ_D) X(Vss, V, SZ_D) \
    X(Vsd, V, SZ_Q) X(Wx, W, SZ_X) X(Wdq, W, SZ_DQ) X(Wqq, W, SZ_QQ) X(Wq, W, SZ_Q) X(Wd, W, SZ_D) \
    X(Ww, W, SZ_W) X(Wb, W, SZ_B) X(Wss, W, SZ_D) X(Wsd, W, SZ_Q) X(Whx, W, SZ_HX)                 \
    X(Wqx, W, SZ_QX) X(Wex, W, SZ_EX) X(Ux, W, SZ_X) X(Udq, W, SZ_DQ) X(Uq, W, SZ_Q)               \
    X(Hx, H, SZ_X) X(Hdq, H, SZ_DQ) X(Hqq, H, SZ_QQ) X(Hss, H, SZ_D) X(Hsd, H, SZ_Q)               \
    X(Hq, H, SZ_Q) X(Lx, L, SZ_X) X(Ldq, L, SZ_DQ) X(XMM0, XMM0, SZ_DQ)                            \
    /* gather: VSIB memory with the index in an XMM/YMM register */                                \
    X(MVd, VSIB, SZ_D) X(MVq, VSIB, SZ_Q)                                                          \
    /* x87: ST(0), ST(i) by ModRM.rm */                                                            \
    X(ST0, ST0, SZ_T) X(STi, STI, SZ_T)
/* clang-format on */

enum operand_where {
    AT_NONE,
    AT_G,
    AT_E,
    AT_M,
    AT_B,
    AT_Z,
    AT_I,
    AT_IS,
    AT_I2,
    AT_A,
    AT_J,
    AT_O,
    AT_FIX0,
    AT_FIX1,
    AT_FIX2,
    AT_ONE,
    AT_X,
    AT_Y,
    AT_S,
    AT_C,
    AT_DR,
    AT_P,
    AT_Q,
    AT_V,
    AT_W,
    AT_H,
    AT_L,
    AT_XMM0,
    AT_VSIB,
    AT_ST0,
    AT_STI,
};

enum operand_size {
    SZ_NONE,
    SZ_B,
    SZ_W,
    SZ_D,
    SZ_Q,
    SZ_DQ,
    SZ_QQ,
    SZ_V,
    SZ_Y,
    SZ_Z,
    SZ_X,
    SZ_HX,
    SZ_QX,
    SZ_EX,
    SZ_T,
    SZ_P,
};

enum operand {
#define X(name, where, size) OPD_##name,
    OPERANDS_LIST(X)
#undef X
        OPERANDS
};

#define ACC_R           0x100u
#define ACC_W           0x200u
#define R(x)            (OPD_##x | ACC_R)
#define W(x)            (OPD_##x | ACC_W)
#define RW(x)           (OPD_##x | ACC_R | ACC_W)
#define OPERAND_KIND(o) ((o)&0xFF)

/* ---- rules ---- */
#define CPL0     0x00000001u /* #GP(0) above CPL 0 */
#define LOCK     0x00000002u /* LOCK is allowed, on a memory destination */
#define REP      0x00000004u /* a string instruction: F3 and F2 repeat */
#define END      0x00000008u /* ends a block: control flow, or it changes how code is decoded or run */
#define PE       0x00000010u /* #UD in real and virtual-8086 mode */
#define ALIGN    0x00000020u /* a memory operand must be aligned on its size, else #GP(0) */
#define X87      0x00000040u /* #NM with CR0.TS or CR0.EM */
#define MMX      0x00000080u /* #UD with CR0.EM, #NM with CR0.TS */
#define SSE      0x00000100u /* #UD with CR0.EM or without CR4.OSFXSR, #NM with CR0.TS */
#define AVX      0x00000200u /* #UD without CR4.OSXSAVE and XCR0[2:1], #NM with CR0.TS */
#define STACK    0x00000400u /* implicit stack access */
#define DEF64    0x00000800u /* operand size is 8 by default in 64-bit mode, and never 4 */
#define FORCE64  0x00001000u /* operand size is always 8 in 64-bit mode (near branches) */
#define BYTE     0x00002000u /* operand size is 1 */
#define WIG      0x00004000u /* documentation: REX.W/VEX.W is ignored */
#define SYS      0x00008000u /* a system instruction: not for the native comparison */
#define UNSTABLE 0x00010000u /* user-mode, but its result differs run to run (RDTSC, CPUID ..) */
#define FAR      0x00020000u /* a far transfer */

/* ---- status flags as RFLAGS bits ---- */
#define FLAG_C  0x001u
#define FLAG_P  0x004u
#define FLAG_A  0x010u
#define FLAG_Z  0x040u
#define FLAG_S  0x080u
#define FLAG_D  0x400u
#define FLAG_O  0x800u
#define OSZAPC  (FLAG_O | FLAG_S | FLAG_Z | FLAG_A | FLAG_P | FLAG_C)
#define OSZAP   (OSZAPC & ~FLAG_C)
#define NOFLAGS 0u

/* ---- features ---- */
enum feature {
#define FEATURE(name, leaf, subleaf, reg, bit, since) FEAT_##name,
#include "silicon/cpu/feature.def"
#undef FEATURE
    FEATURES
};
static_assert(FEATURES <= 128, "cpu.features is two words");

/* ---- decoded instructions ---- */
struct op;
typedef void exec_fn(struct cpu *c, const struct op *o);

/* Index: log2 of the operand size (0..3), plus 4 when an operand is in memory. Vector and system
 * routines fill all eight with one function (EXEC_ANY). */
typedef exec_fn *const exec_shapes[8];

struct row {
    const char *form;
    uint8_t map, byte;
    uint32_t match;
    uint16_t operand[4];
    uint8_t needs;
    uint16_t exit;
    uint32_t rules;
    uint16_t sets, undefined;
    exec_fn *const *exec; /* an exec_shapes; sixteen, one per condition, in a row with CC */
};

enum form {
#define INSN(form, ...) FORM_##form,
#include "silicon/cpu/insn.def"
#undef INSN
    FORMS
};
static_assert(FORMS <= UINT16_MAX, "an op keeps its form in 16 bits");

/* The last row stands for what no other row decodes: its op raises #UD. */
#define FORM_UNDEFINED FORMS
extern const struct row insn_rows[FORMS + 1];

/* One instruction, ready to run. Operand n of the row is in d, s, v, w (in this order) when it is
 * a register: its number, or for an 8-bit general register its byte offset into cpu.r (REG8).
 * A memory operand: base + (index << scale) + disp, then seg. */
struct op {
    exec_fn *fn;
    uint64_t imm; /* immediate, sign-extended as the row says; branches: target - next RIP;
                   * far pointers: selector << 32 | offset */
    int64_t disp;
    uint16_t form;
    uint16_t off; /* of this instruction's first byte from the block's first byte */
    uint8_t len;
    uint8_t left;  /* instructions after this one in its block */
    uint8_t size;  /* operand size in bytes: 1 2 4 8; vectors: 8 (MMX), 16, 32 */
    uint8_t flags; /* OP_ */
    uint8_t d, s, v, w;
    uint8_t base, index, scale, seg; /* REG_ZERO for none; REG_BLOCK for RIP-relative */
    uint8_t cc;                      /* condition of a CC row; x87: ModRM */
    uint8_t asize;                   /* address size in bytes */
    uint8_t mem;                     /* which operand (0..3) is in memory, when OP_MEM */
    uint8_t imm2;                    /* second immediate (ENTER) */
};
static_assert(sizeof(struct op) == 48, "op is copied and walked by size");

#define OP_MEM    0x01 /* an operand is in memory */
#define OP_LEGACY 0x02 /* not flat: 16/32-bit addresses or segment bases and limits apply */
#define OP_LOCK   0x04
#define OP_REP    0x08 /* F3 */
#define OP_REPNE  0x10 /* F2 */
#define OP_REX    0x20
#define OP_VEX    0x40
#define OP_W      0x80 /* REX.W or VEX.W */

#define REG_ZERO  16 /* cpu.r[16] is always 0 */
#define REG_BLOCK 17 /* cpu.r[17]: RIP of the block's first byte */

#endif
