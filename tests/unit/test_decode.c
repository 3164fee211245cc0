/* The decoder: the table is unambiguous, ops say what the bytes do, and lengths and validity agree
 * with Zydis for everything the table has. */
#include "silicon/cpu/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

static struct cpu *cpu;

enum { MODE16, MODE32, MODE64 };

static int setup(void **state)
{
    (void)state;
    cpu = calloc(1, sizeof(*cpu));
    if (!cpu)
        return -1;
    cpu->features[0] = cpu->features[1] = UINT64_MAX;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(cpu);
    return 0;
}

/* ---- the table ---- */
static bool exclude(uint32_t a, uint32_t b, uint32_t one, uint32_t other)
{
    return (a & one && b & other) || (a & other && b & one);
}

/* Can one instruction meet both? */
static bool overlap(uint32_t a, uint32_t b)
{
    if (a & MATCH_PREFIXES && b & MATCH_PREFIXES && !(a & b & MATCH_PREFIXES))
        return false;
    if (a & b & DIGIT && MATCH_DIGIT(a) != MATCH_DIGIT(b))
        return false;
    if (a & b & RMFIX && MATCH_RM(a) != MATCH_RM(b))
        return false;
    return !exclude(a, b, MEM, REG) && !exclude(a, b, O64, I64) && !exclude(a, b, W0, W1) &&
           !exclude(a, b, L0, L1);
}

static void no_two_rows_mean_the_same_bytes(void **state)
{
    (void)state;
    for (unsigned at = 0; at < OPCODE_MAPS * 256; at++) {
        unsigned n;
        const struct candidate *k = decode_candidates(at / 256, (uint8_t)at, &n);

        for (unsigned i = 0; i < n; i++)
            for (unsigned j = i + 1; j < n; j++)
                if (k[i].weight == k[j].weight && overlap(k[i].match, k[j].match))
                    fail_msg("%s and %s: no bytes tell them apart", insn_rows[k[i].form].form,
                             insn_rows[k[j].form].form);
    }
}

static void rows_of_an_opcode_agree_on_modrm(void **state)
{
    (void)state;
    for (unsigned at = 0; at < OPCODE_MAPS * 256; at++) {
        unsigned n;
        const struct candidate *k = decode_candidates(at / 256, (uint8_t)at, &n);

        for (unsigned i = 1; i < n; i++)
            if (row_has_modrm(&insn_rows[k[i].form]) != row_has_modrm(&insn_rows[k[0].form]))
                fail_msg("%s has a ModRM byte and %s has none, or the reverse",
                         insn_rows[k[i].form].form, insn_rows[k[0].form].form);
    }
}

static void every_row_has_routines(void **state)
{
    (void)state;
    for (unsigned f = 0; f < FORMS; f++)
        for (unsigned i = 0; i < (insn_rows[f].match & CC ? 128 : 8); i++)
            if (!insn_rows[f].exec[i])
                fail_msg("%s: shape %u has no routine", insn_rows[f].form, i);
}

/* ---- ops ---- */
static struct op decode(uint8_t decode, const char *hex)
{
    uint8_t bytes[15];
    unsigned n = 0;
    struct op o = {.off = 0x20};

    for (; *hex; hex += *hex == ' ') {
        assert_true(n < sizeof(bytes));
        bytes[n++] = (uint8_t)strtoul(hex, NULL, 16);
        hex += 2;
    }
    assert_int_equal(decode_insn(cpu, bytes, n, decode, &o), n);
    assert_int_equal(o.off, 0x20);
    return o;
}

static exec_fn *raises_ud(void)
{
    return decode(MODE64, "0f 04").fn; /* nothing is there */
}

/* Text shows the operands, their order and sizes. RIP is 1020h. */
static const struct {
    uint8_t mode;
    const char *hex, *text;
} texts[] = {
    {MODE64, "48 01 d8", "add rax, rbx"},
    {MODE32, "01 d8", "add eax, ebx"},
    {MODE16, "01 d8", "add ax, bx"},
    {MODE16, "66 01 d8", "add eax, ebx"},
    {MODE64, "66 48 01 d8", "add rax, rbx"},
    {MODE64, "00 e0", "add al, ah"},
    {MODE64, "40 00 e0", "add al, spl"},
    {MODE64, "44 00 e0", "add al, r12b"},
    {MODE64, "40 66 01 d8", "add ax, bx"}, /* REX is void before another prefix */
    {MODE64, "48 8b 05 10 00 00 00", "mov rax, qword [rip+0x10]"},
    {MODE64, "8b 04 25 10 00 00 00", "mov eax, dword [0x10]"},
    {MODE32, "8b 05 10 00 00 00", "mov eax, dword [0x10]"},
    {MODE64, "64 8b 44 8d f0", "mov eax, dword [fs:rbp+rcx*4-0x10]"},
    {MODE64, "64 2e 8b 00", "mov eax, dword [fs:rax]"},
    {MODE64, "2e 8b 00", "mov eax, dword [rax]"},
    {MODE32, "2e 8b 00", "mov eax, dword [cs:eax]"},
    {MODE32, "8b 45 00", "mov eax, dword [ss:ebp]"},
    {MODE32, "3e 8b 45 00", "mov eax, dword [ebp]"},
    {MODE32, "8b 04 24", "mov eax, dword [ss:esp]"},
    {MODE16, "8b 42 fe", "mov ax, word [ss:bp+si-0x2]"},
    {MODE16, "8b 06 34 12", "mov ax, word [0x1234]"},
    {MODE32, "67 8b 06 34 12", "mov eax, dword [0x1234]"},
    {MODE64, "67 8b 00", "mov eax, dword [eax]"},
    {MODE64, "4a 8d 04 a5 00 00 00 00", "lea rax, [r12*4]"},
    {MODE64, "48 8b 04 24", "mov rax, qword [rsp]"},
    {MODE64, "4b 8b 44 25 00", "mov rax, qword [r13+r12]"},
    {MODE64, "48 b8 88 77 66 55 44 33 22 11", "mov rax, 0x1122334455667788"},
    {MODE64, "48 c7 c0 ff ff ff ff", "mov rax, 0xffffffffffffffff"},
    {MODE64, "48 83 c0 ff", "add rax, 0xffffffffffffffff"},
    {MODE64, "48 a1 88 77 66 55 44 33 22 11", "mov rax, qword [0x1122334455667788]"},
    {MODE64, "67 a1 44 33 22 11", "mov eax, dword [0x11223344]"},
    {MODE64, "41 50", "push r8"},
    {MODE64, "66 50", "push ax"},
    {MODE64, "6a fe", "push 0xfffffffffffffffe"},
    {MODE64, "c8 34 12 05", "enter 0x1234, 0x5"},
    {MODE64, "74 10", "je 0x1032"},
    {MODE64, "0f 8f 00 00 00 80", "jg 0xffffffff80001026"},
    {MODE64, "e9 00 01 00 00", "jmp 0x1125"},
    {MODE64, "66 e9 00 01", "jmp 0x1124"},
    {MODE16, "e9 00 01", "jmp 0x1123"},
    {MODE64, "0f 95 c1", "setne cl"},
    {MODE64, "48 0f 4c c1", "cmovl rax, rcx"},
    {MODE64, "d3 e0", "shl eax, cl"},
    {MODE64, "d1 f8", "sar eax, 1"},
    {MODE64, "f0 48 0f b1 0b", "lock cmpxchg qword [rbx], rcx"},
    {MODE64, "f3 a4", "rep movs byte [es:rdi], byte [flat:rsi]"},
    {MODE64, "f3 90", "pause"},
    {MODE64, "f3 41 90", "xchg r8d, eax"},
    {MODE64, "f3 0f bc c1", "tzcnt eax, ecx"},
    {MODE64, "f2 0f bc c1", "bsf eax, ecx"},
    {MODE64, "66 f3 0f b8 c1", "popcnt ax, cx"},
    {MODE64, "66 0f 38 f0 00", "movbe ax, word [rax]"},
    {MODE64, "66 f2 0f 38 f1 c1", "crc32 eax, cx"},
    {MODE64, "f2 48 0f 38 f0 c1", "crc32 rax, cl"},
    {MODE64, "c4 e2 f0 f2 c3", "andn rax, rcx, rbx"},
    {MODE32, "c4 e2 f0 f2 c3", "andn eax, ecx, ebx"},
    {MODE64, "63 c1", "movsxd eax, ecx"},
    {MODE32, "40", "inc eax"},
    {MODE32, "c4 00", "les eax, [eax]"},
};

static void operands_are_read_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct op o = decode(texts[i].mode, texts[i].hex);
        char text[128];

        disassemble(&o, 0x1020, text, sizeof(text));
        if (strcmp(text, texts[i].text))
            fail_msg("%s: '%s', expected '%s'", texts[i].hex, text, texts[i].text);
    }
}

static void rip_relative_counts_from_the_block(void **state)
{
    struct op o = decode(MODE64, "48 8b 05 10 00 00 00");

    (void)state;
    assert_int_equal(o.base, REG_BLOCK);
    assert_int_equal(o.disp, 0x20 + 7 + 0x10);
    assert_false(o.flags & OP_LEGACY);
    assert_true(decode(MODE64, "67 8b 05 10 00 00 00").flags & OP_LEGACY);
    assert_true(decode(MODE32, "8b 00").flags & OP_LEGACY);
}

static void far_pointers_keep_both_parts(void **state)
{
    (void)state;
    assert_int_equal(decode(MODE32, "ea 78 56 34 12 bc 9a").imm, UINT64_C(0x9ABC12345678));
    assert_int_equal(decode(MODE16, "ea 78 56 bc 9a").imm, UINT64_C(0x9ABC00005678));
}

/* APM3 1.2.5: LOCK on anything but the listed instructions with a memory destination is #UD. */
static void lock_is_for_memory_destinations(void **state)
{
    exec_fn *ud = raises_ud();

    (void)state;
    assert_ptr_not_equal(decode(MODE64, "f0 01 18").fn, ud);
    assert_ptr_equal(decode(MODE64, "f0 01 d8").fn, ud);
    assert_ptr_equal(decode(MODE64, "f0 03 18").fn, ud);
    assert_ptr_equal(decode(MODE64, "f0 89 18").fn, ud);
    assert_ptr_equal(decode(MODE64, "f0 0f a3 18").fn, ud);
    assert_ptr_not_equal(decode(MODE64, "f0 0f ab 18").fn, ud);
}

static void an_instruction_has_at_most_15_bytes(void **state)
{
    static const char *const fits = "66 66 66 66 66 66 66 66 66 66 66 66 66 01 d8";
    uint8_t bytes[15];
    struct op o = {0};
    exec_fn *gp;

    (void)state;
    assert_ptr_not_equal(decode(MODE64, fits).fn, raises_ud());
    memset(bytes, 0x66, sizeof(bytes));
    assert_int_equal(decode_insn(cpu, bytes, 15, MODE64, &o), 15);
    gp = o.fn;
    assert_ptr_not_equal(gp, raises_ud());
    bytes[14] = 0x01; /* ADD, and no room for its ModRM */
    assert_int_equal(decode_insn(cpu, bytes, 15, MODE64, &o), 15);
    assert_ptr_equal(o.fn, gp);
    assert_true(op_ends_block(&o));
}

static void too_few_bytes_ask_for_more(void **state)
{
    static const uint8_t longest[] = {0x66, 0x67, 0x65, 0x4C, 0x81, 0x84, 0x88, 1,
                                      2,    3,    4,    5,    6,    7,    8};
    static const uint8_t vex[] = {0xC4, 0xE2, 0xF0, 0xF2, 0xC3};
    struct op o = {0};

    (void)state;
    for (unsigned n = 0; n < 15; n++)
        assert_int_equal(decode_insn(cpu, longest, n, MODE64, &o), 0);
    assert_int_equal(decode_insn(cpu, longest, 15, MODE64, &o), 15);
    for (unsigned mode = MODE32; mode <= MODE64; mode++)
        for (unsigned n = 0; n <= sizeof(vex); n++)
            assert_int_equal(decode_insn(cpu, vex, n, (uint8_t)mode, &o), n == sizeof(vex) ? n : 0);
}

/* CR0.EM and TS, CR4.OSFXSR and the like reach the decoder as DECODE_ bits. */
static void state_that_is_off_raises(void **state)
{
    static const char *const x87 = "d8 c1", *const mmx = "0f fc c1", *const sse = "0f 58 c1",
                             *const avx = "c5 f0 58 c1";
    exec_fn *ud = raises_ud(), *nm = decode(MODE64 | DECODE_X87, x87).fn;

    (void)state;
    assert_ptr_not_equal(nm, ud);
    assert_ptr_not_equal(nm, decode(MODE64, x87).fn);
    assert_ptr_equal(decode(MODE64 | DECODE_X87, mmx).fn, nm);
    assert_ptr_equal(decode(MODE64 | DECODE_X87 | DECODE_MMX, mmx).fn, ud);
    assert_ptr_equal(decode(MODE64 | DECODE_X87, sse).fn, nm);
    assert_ptr_equal(decode(MODE64 | DECODE_X87 | DECODE_SSE, sse).fn, ud);
    assert_ptr_equal(decode(MODE64 | DECODE_X87, avx).fn, nm);
    assert_ptr_equal(decode(MODE64 | DECODE_AVX, avx).fn, ud);
    assert_ptr_equal(decode(MODE32 | DECODE_REAL, avx).fn, ud);
}

static void a_missing_feature_hides_its_rows(void **state)
{
    (void)state;
    cpu->features[FEAT_BMI1 / 64] &= ~BIT(FEAT_BMI1 % 64);
    assert_ptr_equal(decode(MODE64, "c4 e2 f0 f2 c3").fn, raises_ud());
    assert_int_equal(decode(MODE64, "f3 0f bc c1").form, FORM_BSF_GvEv);
    cpu->features[FEAT_BMI1 / 64] |= BIT(FEAT_BMI1 % 64);
    assert_int_equal(decode(MODE64, "f3 0f bc c1").form, FORM_TZCNT_GvEv);
}

static void blocks_end_where_control_may_go_elsewhere(void **state)
{
    static const char *const ends[] = {"74 00", "eb fe", "c3",    "ff e0", "e8 00 00 00 00",
                                       "9d",    "cc",    "0f 0b", "f0 90"};
    static const char *const goes_on[] = {"90", "f3 a4", "48 01 d8", "50"};

    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        struct op o = decode(MODE64, ends[i]);

        assert_true(op_ends_block(&o));
    }
    for (size_t i = 0; i < COUNT(goes_on); i++) {
        struct op o = decode(MODE64, goes_on[i]);

        assert_false(op_ends_block(&o));
    }
}

/* ---- against Zydis ---- */
static uint64_t rng = 88172645463325252u;

static uint32_t random32(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 20);
}

/* What these add is not in any EPYC before Genoa, or in none, or not advertised here. */
static bool not_implemented(const ZydisDecodedInstruction *z)
{
    static const char *const sets[] = {
        "3DNOW",   "AVX512",    "AVX_VNNI", "AMX",          "FMA4",      "XOP",     "TBM",
        "LWP",     "GFNI",      "KNC",      "VTX",          "VMFUNC",    "SMX",     "SGX",
        "TDX",     "CET",       "MPX",      "PT",           "KEYLOCKER", "MOVDIR",  "ENQCMD",
        "WAITPKG", "SERIALIZE", "HRESET",   "UINTR",        "TSX",       "RTM",     "PADLOCK",
        "PCONFIG", "PKU",       "CLDEMOTE", "PREFETCHWT1",  "MONITORX",  "MCOMMIT", "RDPRU",
        "INVLPGB", "SNP",       "MOVDIRI",  "PREFETCH_NOP", /* 0F 0D with a register: #UD on AMD's
                                                               cores */
    };
    const char *set = ZydisISASetGetString(z->meta.isa_set);

    for (size_t i = 0; i < COUNT(sets); i++)
        if (strstr(set, sets[i]))
            return true;
    /* Zydis ignores VEX.W in 32-bit code; the host's processor raises #UD. */
    return z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64 && z->raw.vex.W &&
           (z->mnemonic == ZYDIS_MNEMONIC_VPINSRD || z->mnemonic == ZYDIS_MNEMONIC_VPEXTRD);
}

/* What the decoder accepts and the row's routine refuses with #UD. */
static bool refused_later(const struct op *o)
{
    const struct row *r = &insn_rows[o->form];

    for (unsigned i = 0; i < 4; i++) {
        enum operand_where where = operand_kinds[OPERAND_KIND(r->operand[i])].where;

        if (where == AT_C || where == AT_DR || where == AT_VSIB)
            return true; /* control registers that are none; a gather's registers not distinct */
        if (where == AT_S && i == 0)
            return true; /* MOV to CS */
    }
    return o->form == FORM_MONITOR || o->form == FORM_MWAIT; /* F2, F3: ignored */
}

static unsigned random_bytes(uint8_t *b, unsigned mode)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x2E, 0x64, 0x36};
    unsigned at = 0;

    for (unsigned i = 0; i < 15; i++)
        b[i] = (uint8_t)random32();
    while (at < 3 && random32() % 3 == 0)
        b[at++] = prefixes[random32() % 8];
    if (mode == MODE64 && random32() & 1)
        b[at++] = 0x40 | random32() % 16;
    switch (random32() % 6) {
    case 0:
        break;
    case 1:
    case 2:
        b[at++] = 0x0F;
        break;
    case 3:
        b[at++] = 0x0F;
        b[at++] = random32() & 1 ? 0x38 : 0x3A;
        break;
    case 4:
        b[at++] = 0xC5;
        b[at] |= random32() & 1 ? 0x78 : 0;
        b[at] |= mode == MODE64 ? 0 : 0xC0;
        break;
    default:
        b[at++] = 0xC4;
        b[at] = (uint8_t)((b[at] & 0xE0) | (1 + random32() % 3));
        b[at] |= mode == MODE64 ? 0 : 0xC0;
        b[at + 1] |= random32() & 1 ? 0x78 : 0;
        break;
    }
    return at;
}

static ZydisDecoder zydis_decoder(unsigned mode)
{
    static const ZydisMachineMode machine[] = {
        ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth stack[] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
                                            ZYDIS_STACK_WIDTH_64};
    ZydisDecoder d;

    assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&d, machine[mode], stack[mode])));
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    return d;
}

static void differ(const uint8_t *b, unsigned mode, const char *why, const char *what)
{
    char hex[64];

    for (unsigned i = 0; i < 15; i++)
        snprintf(hex + 3 * i, 4, "%02x ", b[i]);
    fail_msg("mode %u: %s: %s: %s", 16u << mode, hex, what, why);
}

static void zydis_agrees_on_length_and_validity(void **state)
{
    struct op longest = {0};
    uint8_t fifteen[15];
    exec_fn *ud = raises_ud();

    (void)state;
    memset(fifteen, 0x66, sizeof(fifteen));
    decode_insn(cpu, fifteen, 15, MODE64, &longest);
    for (unsigned i = 0; i < 500000; i++) {
        unsigned mode = random32() % 3, len;
        ZydisDecoder d = zydis_decoder(mode);
        ZydisDecodedInstruction z;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        struct op o = {0};
        bool valid, zydis_valid;
        uint8_t b[18];

        random_bytes(b, mode);
        zydis_valid = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, b, 15, &z, operands));
        len = decode_insn(cpu, b, 15, (uint8_t)mode, &o);
        valid = o.fn != ud && o.fn != longest.fn;
        if (valid && !zydis_valid && !refused_later(&o))
            differ(b, mode, "Zydis knows no such instruction", insn_rows[o.form].form);
        if (!valid && zydis_valid && !not_implemented(&z))
            differ(b, mode, "only Zydis knows it", ZydisMnemonicGetString(z.mnemonic));
        if (valid && zydis_valid && len != z.length)
            differ(b, mode, "Zydis has another length", insn_rows[o.form].form);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_rows_mean_the_same_bytes),
        cmocka_unit_test(rows_of_an_opcode_agree_on_modrm),
        cmocka_unit_test(every_row_has_routines),
        cmocka_unit_test(operands_are_read_as_written),
        cmocka_unit_test(rip_relative_counts_from_the_block),
        cmocka_unit_test(far_pointers_keep_both_parts),
        cmocka_unit_test(lock_is_for_memory_destinations),
        cmocka_unit_test(an_instruction_has_at_most_15_bytes),
        cmocka_unit_test(too_few_bytes_ask_for_more),
        cmocka_unit_test(state_that_is_off_raises),
        cmocka_unit_test(a_missing_feature_hides_its_rows),
        cmocka_unit_test(blocks_end_where_control_may_go_elsewhere),
        cmocka_unit_test(zydis_agrees_on_length_and_validity),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
