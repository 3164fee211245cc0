/* x and xp: memory as the host sees it, in the formats of QEMU's monitor and of gdb. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/monitor/hmp.h"

#define MAX_ITEMS      65536u
#define LINE_MAX_BYTES 16u

struct format {
    uint64_t count;
    char letter;   /* x d u o c */
    unsigned size; /* of an item: 1, 2, 4, 8 */
};

static enum status parse_format(struct hmp_call *c, const char *text, struct format *f)
{
    static const char sizes[] = "bhwg";
    bool sized = false;
    char *end;

    *f = (struct format){1, 'x', 4};
    if (isdigit((unsigned char)*text)) {
        f->count = strtoull(text, &end, 10);
        text = end;
    }
    for (; *text; text++) {
        const char *size = strchr(sizes, *text);

        if (size) {
            f->size = 1u << (size - sizes);
            sized = true;
        } else if (strchr("xduoc", *text)) {
            f->letter = *text;
        } else if (*text == 'i') {
            return fail(&c->err, ERR_UNSUPPORTED,
                        "format 'i': the monitor has no disassembler; dump the guest and use gdb");
        } else {
            return fail(&c->err, ERR_ARG, "invalid char in format: '%c'",
                        isprint((unsigned char)*text) ? *text : '?');
        }
    }
    if (f->letter == 'c' && !sized)
        f->size = 1;
    if (f->count < 1 || f->count > MAX_ITEMS)
        return fail(&c->err, ERR_ARG, "a count is from 1 to %u", MAX_ITEMS);
    return OK;
}

/* ---- addresses --------------------------------------------------------------------------------
 */

static bool find_register(const struct vcpu_regs *r, const char *name, size_t len, uint64_t *value)
{
    static const char gprs[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    const struct {
        const char *name;
        uint64_t value;
    } others[] = {{"rip", r->rip},         {"pc", r->rip},         {"sp", r->gpr[4]},
                  {"rflags", r->rflags},   {"eflags", r->rflags},  {"cr0", r->cr0},
                  {"cr2", r->cr2},         {"cr3", r->cr3},        {"cr4", r->cr4},
                  {"fs_base", r->fs.base}, {"gs_base", r->gs.base}};

    for (size_t i = 0; i < COUNT(gprs); i++)
        if (strlen(gprs[i]) == len && !memcmp(gprs[i], name, len)) {
            *value = r->gpr[i];
            return true;
        }
    for (size_t i = 0; i < COUNT(others); i++)
        if (strlen(others[i].name) == len && !memcmp(others[i].name, name, len)) {
            *value = others[i].value;
            return true;
        }
    return false;
}

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* A number or a register; NULL: neither. */
static const char *parse_term(const struct vcpu_regs *r, const char *at, uint64_t *value)
{
    size_t len = 0;
    char *end;

    at = skip_space(at);
    if (isdigit((unsigned char)*at)) {
        *value = strtoull(at, &end, 0);
        return end;
    }
    if (*at++ != '$')
        return NULL;
    while (isalnum((unsigned char)at[len]) || at[len] == '_')
        len++;
    return find_register(r, at, len, value) ? at + len : NULL;
}

/* Terms with + and - between them. */
static enum status parse_address(struct hmp_call *c, const struct vcpu_regs *r, uint64_t *address)
{
    const char *at = skip_space(c->rest);
    char sign = '+';

    if (!*at)
        return fail(&c->err, ERR_ARG, "an address is missing");
    *address = 0;
    for (;;) {
        uint64_t value = 0;
        const char *next = parse_term(r, at, &value);

        if (!next)
            return fail(&c->err, ERR_ARG, "'%.40s' is neither a number nor a register like $rip",
                        skip_space(at));
        *address += sign == '+' ? value : -value;
        at = skip_space(next);
        if (!*at)
            return OK;
        sign = *at++;
        if (sign != '+' && sign != '-')
            return fail(&c->err, ERR_ARG, "'%.40s': only + and - go between terms", at - 1);
    }
}

/* ---- items ------------------------------------------------------------------------------------
 */

static void print_char(FILE *out, unsigned char c)
{
    static const char escaped[] = "\n\r\t\\'", letters[] = "nrt\\'";
    const char *e = c ? strchr(escaped, c) : NULL;

    if (e)
        fprintf(out, "'\\%c'", letters[e - escaped]);
    else if (c >= 32 && c < 127)
        fprintf(out, "'%c'", c);
    else
        fprintf(out, "'\\x%02x'", c);
}

static void print_item(FILE *out, const struct format *f, const uint8_t *p)
{
    uint64_t v = 0;
    unsigned drop = 64 - 8 * f->size;

    memcpy(&v, p, f->size);
    if (f->letter == 'x')
        fprintf(out, "0x%0*" PRIx64, (int)(2 * f->size), v);
    else if (f->letter == 'd')
        fprintf(out, "%" PRId64, (int64_t)(v << drop) >> drop);
    else if (f->letter == 'u')
        fprintf(out, "%" PRIu64, v);
    else if (f->letter == 'o')
        fprintf(out, "0%0*" PRIo64, (int)((8 * f->size + 2) / 3), v);
    else
        print_char(out, (unsigned char)v);
}

/* ---- the two commands -------------------------------------------------------------------------
 */

struct look {
    struct vm *vm;
    const struct vcpu_regs *regs; /* NULL: addresses are physical */
};

/* An item may cross from page to page. */
static bool read_as_host(void *ctx, uint64_t gpa, void *to, size_t len)
{
    return vm_read_phys(ctx, gpa, to, len);
}

static bool read_item(const struct look *l, uint64_t at, uint8_t *to, size_t len)
{
    const struct paging_reader host = {.read = read_as_host, .ctx = l->vm};

    while (len) {
        size_t n = MIN(len, 4096 - (at & 4095));
        uint64_t gpa = at;

        if (l->regs && !paging_translate(&host, l->regs, at, &gpa))
            return false;
        if (!vm_read_phys(l->vm, gpa, to, n))
            return false;
        at += n;
        to += n;
        len -= n;
    }
    return true;
}

static void show(struct hmp_call *c, const struct look *l, const struct format *f, uint64_t at)
{
    unsigned per_line = f->size == 1 ? 8 : LINE_MAX_BYTES / f->size;
    uint8_t item[8];

    for (uint64_t i = 0; i < f->count; i++, at += f->size) {
        if (i % per_line == 0)
            fprintf(c->out, "%s%016" PRIx64 ":", i ? "\n" : "", at);
        if (!read_item(l, at, item, f->size)) {
            fprintf(c->out, " Cannot access memory\n");
            return;
        }
        fputc(' ', c->out);
        print_item(c->out, f, item);
    }
    fputc('\n', c->out);
}

/* "/16xg" at the beginning of the rest. */
static enum status take_format(struct hmp_call *c, struct format *f)
{
    c->rest = (char *)skip_space(c->rest);
    if (*c->rest != '/')
        return parse_format(c, "", f);
    return parse_format(c, hmp_word(c) + 1, f);
}

static enum status parse(struct hmp_call *c, struct format *f, struct vcpu_regs *regs, uint64_t *at)
{
    if (take_format(c, f) != OK)
        return c->err.code;
    vcpu_get_regs(vm_vcpu(c->m->vm, 0), regs);
    return parse_address(c, regs, at);
}

/* Page tables of a SEV guest are private (APM2 15.34.5), so the host cannot follow them; without
 * paging there are none. */
enum status hmp_x(struct hmp_call *c)
{
    struct vm *vm = c->m->vm;
    struct vcpu_regs regs;
    struct paging paging;
    struct format f;
    uint64_t at = 0;

    if (parse(c, &f, &regs, &at) != OK)
        return c->err.code;
    if (vm_config(vm)->sev >= SEV_ES ||
        (vm_config(vm)->sev != SEV_OFF && paging_of(&regs, &paging)))
        return fail(&c->err, ERR_STATE,
                    "the guest's page tables are encrypted (SEV): the host cannot follow them from "
                    "%016" PRIx64 "; xp shows what memory holds, as ciphertext",
                    at);
    show(c, &(struct look){vm, &regs}, &f, at);
    return OK;
}

enum status hmp_xp(struct hmp_call *c)
{
    struct vcpu_regs regs;
    struct format f;
    uint64_t at = 0;

    if (parse(c, &f, &regs, &at) != OK)
        return c->err.code;
    show(c, &(struct look){c->m->vm, NULL}, &f, at);
    return OK;
}
