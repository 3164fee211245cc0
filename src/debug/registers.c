/* Registers as gdb's target description names and numbers them: one table. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "debug/internal.h"

enum feature { CORE, SSE, SEGMENTS, AVX, SYSTEM, FEATURES };

static const char *const features[FEATURES] = {
    [CORE] = "org.gnu.gdb.i386.core",
    [SSE] = "org.gnu.gdb.i386.sse",
    [SEGMENTS] = "org.gnu.gdb.i386.segments",
    [AVX] = "org.gnu.gdb.i386.avx",
    [SYSTEM] = "org.lucca.system",
};

/* `kept`: bytes of it in struct vcpu_regs; the rest of `bits` is zero. */
static const struct reg {
    const char *name, *type;
    uint16_t bits, at, kept;
    enum feature feature;
} regs[] = {
#define AT(field) offsetof(struct vcpu_regs, field)
#define GPR(name, n)                                                                               \
    {                                                                                              \
        name, "int64", 64, AT(gpr) + 8 * (n), 8, CORE                                              \
    }
#define SEG(name)                                                                                  \
    {                                                                                              \
#name, "int32", 32, AT(name.selector), 2, CORE                                             \
    }
#define ST(n)                                                                                      \
    {                                                                                              \
        "st" #n, "i387_ext", 80, AT(xsave) + 32 + 16 * (n), 10, CORE                               \
    }
#define FPU(name, offset, kept)                                                                    \
    {                                                                                              \
        name, "int", 32, AT(xsave) + (offset), kept, CORE                                          \
    }
#define XMM(n)                                                                                     \
    {                                                                                              \
        "xmm" #n, "vec128", 128, AT(xsave) + 160 + 16 * (n), 16, SSE                               \
    }
#define YMMH(n)                                                                                    \
    {                                                                                              \
        "ymm" #n "h", "uint128", 128, AT(xsave) + 576 + 16 * (n), 16, AVX                          \
    }
#define SYS(name)                                                                                  \
    {                                                                                              \
#name, "int64", 64, AT(name), 8, SYSTEM                                                    \
    }
    GPR("rax", 0),
    GPR("rbx", 3),
    GPR("rcx", 1),
    GPR("rdx", 2),
    GPR("rsi", 6),
    GPR("rdi", 7),
    {"rbp", "data_ptr", 64, AT(gpr) + 40, 8, CORE},
    {"rsp", "data_ptr", 64, AT(gpr) + 32, 8, CORE},
    GPR("r8", 8),
    GPR("r9", 9),
    GPR("r10", 10),
    GPR("r11", 11),
    GPR("r12", 12),
    GPR("r13", 13),
    GPR("r14", 14),
    GPR("r15", 15),
    {"rip", "code_ptr", 64, AT(rip), 8, CORE},
    {"eflags", "int32", 32, AT(rflags), 4, CORE},
    SEG(cs),
    SEG(ss),
    SEG(ds),
    SEG(es),
    SEG(fs),
    SEG(gs),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    FPU("fctrl", 0, 2),
    FPU("fstat", 2, 2),
    FPU("ftag", 4, 1),
    FPU("fiseg", 12, 2),
    FPU("fioff", 8, 4),
    FPU("foseg", 20, 2),
    FPU("fooff", 16, 4),
    FPU("fop", 6, 2),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    {"mxcsr", "int", 32, AT(xsave) + 24, 4, SSE},
    {"fs_base", "int64", 64, AT(fs.base), 8, SEGMENTS},
    {"gs_base", "int64", 64, AT(gs.base), 8, SEGMENTS},
    YMMH(0),
    YMMH(1),
    YMMH(2),
    YMMH(3),
    YMMH(4),
    YMMH(5),
    YMMH(6),
    YMMH(7),
    YMMH(8),
    YMMH(9),
    YMMH(10),
    YMMH(11),
    YMMH(12),
    YMMH(13),
    YMMH(14),
    YMMH(15),
    SYS(cr0),
    SYS(cr2),
    SYS(cr3),
    SYS(cr4),
    SYS(cr8),
    SYS(efer),
    SYS(kernel_gs_base),
};

unsigned registers_count(void)
{
    return COUNT(regs);
}

unsigned register_bytes(unsigned n)
{
    return regs[n].bits / 8u;
}

void register_get(const struct vcpu_regs *r, unsigned n, uint8_t *to)
{
    memset(to, 0, register_bytes(n));
    memcpy(to, (const uint8_t *)r + regs[n].at, regs[n].kept);
}

void register_set(struct vcpu_regs *r, unsigned n, const uint8_t *from)
{
    memcpy((uint8_t *)r + regs[n].at, from, regs[n].kept);
}

/* The union that gdb wants of an XMM register. */
static const char vectors[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
    "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
    "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>";

char *registers_xml(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    fputs("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
          "<architecture>i386:x86-64</architecture>",
          f);
    for (unsigned i = 0; i < COUNT(regs); i++) {
        bool first = !i || regs[i].feature != regs[i - 1].feature;

        if (first && i)
            fputs("</feature>", f);
        if (first)
            fprintf(f, "<feature name=\"%s\">%s", features[regs[i].feature],
                    regs[i].feature == SSE ? vectors : "");
        fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", regs[i].name,
                regs[i].bits, regs[i].type, i);
    }
    fputs("</feature></target>", f);
    return fclose(f) == 0 ? text : NULL;
}
