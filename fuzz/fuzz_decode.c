/* Fuzzes the decoder: any bytes, in every mode. Lengths are 1 to 15, what an op holds indexes what
 * it may, more bytes never change what fewer decided, and text fits. */
#include "rig.h"

#include "silicon/cpu/decode.h"

static struct cpu *cpu;

static void fields_are_in_range(const struct op *o, unsigned decode)
{
    bool long_mode = (decode & DECODE_SIZE) == 2;

    MUST(o->fn);
    MUST(o->form <= FORM_UNDEFINED);
    MUST(o->base <= REG_BLOCK && o->index <= REG_BLOCK);
    MUST(o->scale <= 3);
    MUST(o->mem <= 3);
    MUST(o->cc <= 15 || insn_rows[o->form].rules & X87);
    MUST(long_mode || (o->base != REG_BLOCK && o->index != REG_BLOCK));
    MUST(o->form == FORM_UNDEFINED || o->asize == 2 || o->asize == 4 || o->asize == 8);
    MUST(!(o->flags & OP_REX) || long_mode);
}

/* `bytes` end where `avail` says, so that the address sanitizer hears of a read past them. */
static unsigned decode_exact(const uint8_t *bytes, unsigned avail, uint8_t decode, struct op *o)
{
    uint8_t *exact = malloc(avail ? avail : 1);
    unsigned len;

    MUST(exact);
    memcpy(exact, bytes, avail);
    memset(o, 0, sizeof(*o));
    o->off = 0x123;
    len = decode_insn(cpu, exact, avail, decode, o);
    free(exact);
    return len;
}

static void try_mode(const uint8_t *bytes, unsigned avail, uint8_t decode)
{
    struct op o, again;
    unsigned len = decode_exact(bytes, avail, decode, &o);
    char text[96];

    MUST(len <= avail);
    MUST(len || avail < 15);
    if (!len)
        return;
    MUST(o.len == len && o.off == 0x123);
    fields_are_in_range(&o, decode);
    disassemble(&o, 0x7FFFFFFFF000, text, sizeof(text));
    MUST(memchr(text, 0, sizeof(text)));
    MUST(decode_exact(bytes, len, decode, &again) == len);
    MUST(again.fn == o.fn && again.imm == o.imm && again.disp == o.disp && again.form == o.form);
    if (o.form != FORM_UNDEFINED)
        for (unsigned fewer = 0; fewer < len; fewer++)
            MUST(decode_exact(bytes, fewer, decode, &again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!cpu) {
        cpu = calloc(1, sizeof(*cpu));
        MUST(cpu);
    }
    if (size < 2)
        return 0;
    /* Now and then a chip that lacks something. */
    cpu->features[0] = cpu->features[1] =
        data[0] & 0x80 ? UINT64_MAX << (data[0] & 63) : UINT64_MAX;
    for (unsigned mode = 0; mode < 3; mode++)
        try_mode(data + 2, (unsigned)MIN(size - 2, 15u),
                 (uint8_t)((data[1] & ~DECODE_SIZE) | mode));
    return 0;
}
