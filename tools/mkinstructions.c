/* Prints docs/instructions.md from the instruction table, and refuses to while a row has no test.
 */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "silicon/cpu/insn.h"
#include "silicon/vmcb.h"

/* ---- the table, as text where text is shown ---- */

#define UNPACK(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct line {
    const char *form, *needs, *exit;
    uint8_t map, byte;
    uint32_t match, rules;
    uint16_t operand[4], sets, undefined;
} lines[FORMS] = {
#define INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, exec)          \
    [FORM_##                                                                                       \
        form] = {#form, #needs, #exit, map, byte, match, rules, UNPACK operands, sets, undefined},
#include "silicon/cpu/insn.def"
#undef INSN
};

static const char *const operand_names[OPERANDS] = {
#define X(name, where, size) [OPD_##name] = #name,
    OPERANDS_LIST(X)
#undef X
};

static const uint8_t operand_places[OPERANDS] = {
#define X(name, where, size) [OPD_##name] = AT_##where,
    OPERANDS_LIST(X)
#undef X
};

/* Rows that the native comparison leaves out, and who tests them instead. */
static const char *const covered[FORMS] = {
#define COVERED(form, test) [FORM_##form] = #test,
#include "tests/covered.def"
#undef COVERED
};

static const struct {
    const char *name, *reg, *since;
    uint32_t leaf, subleaf;
    unsigned bit;
} features[] = {
#define FEATURE(name, leaf, subleaf, reg, bit, since) {#name, #reg, #since, leaf, subleaf, bit},
#include "silicon/cpu/feature.def"
#undef FEATURE
};

/* Each file of insn.def is a chapter. */
#define CHAPTERS 5
static const struct {
    const char *title, *file;
} chapters[CHAPTERS] = {
    {"General-purpose instructions", "insn_int.def"},
    {"System instructions", "insn_sys.def"},
    {"x87 and MMX", "insn_x87.def"},
    {"SSE", "insn_sse.def"},
    {"AVX, FMA, BMI: VEX encodings", "insn_vex.def"},
};
static const uint8_t chapter_of[FORMS] = {
#define INSN(form, ...) [FORM_##form] = 0,
#include "silicon/cpu/insn_int.def"
#undef INSN
#define INSN(form, ...) [FORM_##form] = 1,
#include "silicon/cpu/insn_sys.def"
#undef INSN
#define INSN(form, ...) [FORM_##form] = 2,
#include "silicon/cpu/insn_x87.def"
#undef INSN
#define INSN(form, ...) [FORM_##form] = 3,
#include "silicon/cpu/insn_sse.def"
#undef INSN
#define INSN(form, ...) [FORM_##form] = 4,
#include "silicon/cpu/insn_vex.def"
#undef INSN
};

/* As the oracle sees it (tests/oracle/encode.c, sample_unfit). */
static bool is_compared(const struct line *l)
{
    return !(l->rules & (SYS | CPL0 | UNSTABLE | FAR));
}

/* ---- cells ---- */

static bool has_place(const struct line *l, uint8_t where)
{
    for (unsigned i = 0; i < 4; i++)
        if (operand_places[OPERAND_KIND(l->operand[i])] == where)
            return true;
    return false;
}

static bool has_modrm(const struct line *l)
{
    static const uint8_t by_modrm[] = {AT_G, AT_E, AT_M, AT_S, AT_C,    AT_DR,
                                       AT_P, AT_Q, AT_V, AT_W, AT_VSIB, AT_STI};

    for (size_t i = 0; i < sizeof(by_modrm); i++)
        if (has_place(l, by_modrm[i]))
            return true;
    return l->match & (MODRM | DIGIT | RMFIX | MEM | REG);
}

static const char *prefix_of(uint32_t match)
{
    switch (match & MATCH_PREFIXES) {
    case P66:
        return "66 ";
    case PF3:
        return "F3 ";
    case PF2:
        return "F2 ";
    case NP:
        return "NP ";
    default:
        return "";
    }
}

static void print_opcode(const struct line *l)
{
    static const char *const maps[] = {"", "0F ", "0F 38 ", "0F 3A ", "0F ", "0F 38 ", "0F 3A "};

    if (l->map >= V0F)
        printf("VEX.%s", l->match & L0 ? "128 " : l->match & L1 ? "256 " : "");
    if (l->map >= V0F && !(l->match & (L0 | L1)))
        printf("any ");
    printf("%s%s%02X", prefix_of(l->match), maps[l->map], l->byte);
    if (l->match & CC)
        printf("+cc");
    if (has_place(l, AT_Z))
        printf("+r");
    if (l->match & RMFIX && l->match & DIGIT)
        printf(" %02X", 0xC0u | MATCH_DIGIT(l->match) << 3 | MATCH_RM(l->match));
    else if (l->match & DIGIT)
        printf(" /%u", MATCH_DIGIT(l->match));
    else if (has_modrm(l))
        printf(" /r");
    if (l->match & (W0 | W1))
        printf(" W%d", l->match & W1 ? 1 : 0);
}

/* "ADD_EbGb_82" is ADD with the operands of its row. */
static void print_name(const struct line *l)
{
    printf("%.*s", (int)strcspn(l->form, "_"), l->form);
    for (unsigned i = 0; i < 4; i++)
        if (OPERAND_KIND(l->operand[i]) != OPD_NONE)
            printf("%s%s", i ? ", " : " ", operand_names[OPERAND_KIND(l->operand[i])]);
}

/* One letter a status flag: written, undefined (u), left alone (.). */
static void print_flags(const struct line *l)
{
    static const struct {
        uint16_t flag;
        char letter;
    } flags[] = {{FLAG_O, 'O'}, {FLAG_S, 'S'}, {FLAG_Z, 'Z'},
                 {FLAG_A, 'A'}, {FLAG_P, 'P'}, {FLAG_C, 'C'}};

    if (!((l->sets | l->undefined) & OSZAPC))
        return;
    for (size_t i = 0; i < COUNT(flags); i++)
        putchar(l->undefined & flags[i].flag ? 'u'
                : l->sets & flags[i].flag    ? flags[i].letter
                                             : '.');
}

static void print_notes(const struct line *l)
{
    static const struct {
        bool of_match;
        uint32_t bit;
        const char *text;
    } notes[] = {{true, O64, "64-bit mode"}, {true, I64, "not in 64-bit mode"},
                 {false, CPL0, "CPL 0"},     {false, PE, "protected mode"},
                 {false, LOCK, "LOCK"},      {false, REP, "REP"},
                 {false, ALIGN, "aligned"}};
    bool any = false;

    for (size_t i = 0; i < COUNT(notes); i++)
        if ((notes[i].of_match ? l->match : l->rules) & notes[i].bit) {
            printf("%s%s", any ? ", " : "", notes[i].text);
            any = true;
        }
    if (strcmp(l->exit, "0") != 0)
        printf("%sexit %s", any ? ", " : "", l->exit + strlen("VMEXIT_"));
}

/* ---- the page ---- */

static void print_chapter(unsigned chapter)
{
    printf("\n## %s\n\n`src/silicon/cpu/%s`\n\n"
           "| Instruction | Opcode | Needs | Flags | Notes | Test |\n|---|---|---|---|---|---|\n",
           chapters[chapter].title, chapters[chapter].file);
    for (unsigned f = 0; f < FORMS; f++) {
        const struct line *l = &lines[f];

        if (chapter_of[f] != chapter)
            continue;
        printf("| ");
        print_name(l);
        printf(" | ");
        print_opcode(l);
        printf(" | %s | ", strcmp(l->needs, "BASE") ? l->needs : "");
        print_flags(l);
        printf(" | ");
        print_notes(l);
        printf(" | %s |\n", covered[f] ? covered[f] : "native");
    }
}

static void print_features(void)
{
    printf("\n## What CPUID may advertise\n\n| Feature | CPUID | First chip |\n|---|---|---|\n");
    for (size_t i = 1; i < COUNT(features); i++)
        printf("| %s | %08X.%u %s[%u] | %s |\n", features[i].name, features[i].leaf,
               features[i].subleaf, features[i].reg, features[i].bit, features[i].since);
}

static void print_page(void)
{
    unsigned native = 0;

    for (unsigned f = 0; f < FORMS; f++)
        native += is_compared(&lines[f]);
    printf(
        "# Instructions\n\n"
        "Made by `make docs` from `src/silicon/cpu/insn.def`; a test fails when it is stale. What "
        "has no row\nhere raises #UD, and CPUID does not advertise it.\n\n"
        "%u rows. %u are compared with the host's own processor (`tests/oracle`: `native`); the "
        "other %u are\nsystem instructions, or differ from run to run, and are tested by the "
        "unit test named.\n\n"
        "Operands are in the manual's letters (APM3 appendix A). Opcodes: `+r` eight opcodes, the "
        "register in\nthe low bits; `+cc` sixteen, one a condition; `/r` a ModRM byte; `/n` one "
        "whose reg field is n; `NP`\nno 66, F3 or F2. Flags OSZAPC: `u` undefined, `.` left alone. "
        "`exit`: the #VMEXIT that a hypervisor\nmay ask for.\n",
        (unsigned)FORMS, native, (unsigned)FORMS - native);
    for (unsigned i = 0; i < CHAPTERS; i++)
        print_chapter(i);
    print_features();
}

/* Either compared or listed, never both, never neither. */
static bool all_covered(void)
{
    bool good = true;

    for (unsigned f = 0; f < FORMS; f++)
        if (is_compared(&lines[f]) == !!covered[f]) {
            fprintf(stderr, "%s %s\n", lines[f].form,
                    covered[f] ? "is compared natively: take it out of tests/covered.def"
                               : "has no test: write one and name it in tests/covered.def");
            good = false;
        }
    return good;
}

int main(void)
{
    if (!all_covered())
        return 1;
    print_page();
    return 0;
}
