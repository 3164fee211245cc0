/* insn.def as a table. */
#include "silicon/cpu/cpu.h"

#define INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, routine)       \
    extern exec_fn *const exec_##routine[];
#include "silicon/cpu/insn.def"
#undef INSN

#define UNPACK(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

const struct row insn_rows[FORMS + 1] = {
#define INSN(form, map, byte, match, operands, needs, exit, rules, sets, undefined, routine)       \
    [FORM_##form] = {#form, map,   byte, match,     UNPACK operands, FEAT_##needs,                 \
                     exit,  rules, sets, undefined, exec_##routine},
#include "silicon/cpu/insn.def"
#undef INSN
    [FORM_UNDEFINED] = {.form = "undefined", .rules = END},
};
