/* Where two launches part. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/explain.h"
#include "attest/guid.h"
#include "attest/internal.h"
#include "attest/launch.h"
#include "attest/vmsa.h"

/* The pages of a launch, one after another; pieces of SEV are taken whole. */
struct walk {
    const struct attest_image *image;
    unsigned piece;
    uint64_t at; /* in the piece */
};

static const struct attest_piece *here(const struct walk *w)
{
    return w->piece < w->image->pieces ? &w->image->piece[w->piece] : NULL;
}

static void step(struct walk *w)
{
    const struct attest_piece *p = here(w);

    w->at += p->type == ATTEST_PAGE_DATA ? p->len : PAGE_BYTES;
    if (w->at >= p->len) {
        w->piece++;
        w->at = 0;
    }
}

static size_t size_here(const struct walk *w)
{
    const struct attest_piece *p = here(w);

    return p->type == ATTEST_PAGE_DATA ? p->len : PAGE_BYTES;
}

static void bytes_text(char *to, size_t size, const uint8_t *bytes, size_t n)
{
    uint64_t number = 0;

    if (n <= 8) { /* as the processor reads it */
        memcpy(&number, bytes, n);
        snprintf(to, size, "%#" PRIx64, number);
        return;
    }
    for (size_t i = 0, at = 0; i < MIN(n, 16); i++, at += 2)
        snprintf(to + at, size - at, "%02x", bytes[i]);
}

/* ---- contents -------------------------------------------------------------------------------- */

/* Where in a page the table of kernel hashes begins. */
static const uint8_t *hash_table_in(const uint8_t *page, size_t len)
{
    static const struct guid table = GUID(0x9438d606, 0x4f22, 0x4cc9, 0xb479, 0xa793d411fd21);

    return len >= HASH_TABLE_BYTES ? memmem(page, len - HASH_TABLE_BYTES + 16, table.bytes, 16)
                                   : NULL;
}

struct named {
    char name[64];
    size_t at, bytes;
};

static struct named name_in_table(size_t offset, size_t table)
{
    static const struct {
        const char *name;
        size_t at;
    } hashes[] = {{"hash of the command line", 0x24},
                  {"hash of the initrd", 0x56},
                  {"hash of the kernel", 0x88}};
    struct named n = {"kernel hash table", offset, 1};

    for (size_t i = 0; i < COUNT(hashes); i++)
        if (offset >= table + hashes[i].at && offset < table + hashes[i].at + 32) {
            n.at = table + hashes[i].at;
            n.bytes = 32;
            snprintf(n.name, sizeof(n.name), "%s", hashes[i].name);
        }
    return n;
}

static struct named name_of(const struct attest_piece *p, const uint8_t *page, size_t len,
                            size_t offset)
{
    const uint8_t *table = p->type == ATTEST_PAGE_VMSA ? NULL : hash_table_in(page, len);
    struct named n = {"", offset, 1};

    if (p->type == ATTEST_PAGE_VMSA) {
        struct vmsa_field f = vmsa_field_at((unsigned)offset);

        snprintf(n.name, sizeof(n.name), "%s", f.name);
        n.at = f.at;
        n.bytes = f.bytes;
    } else if (table && offset >= (size_t)(table - page) &&
               offset < (size_t)(table - page) + HASH_TABLE_BYTES) {
        n = name_in_table(offset, (size_t)(table - page));
    } else {
        n.bytes = MIN(len - offset, 8);
        snprintf(n.name, sizeof(n.name), "byte %#zx", offset);
    }
    return n;
}

/* TSC scale and offset are not measured. */
static bool skipped(const struct attest_piece *p, bool snp, size_t at)
{
    return snp && p->type == ATTEST_PAGE_VMSA && at >= 0x2F0 && at < 0x300;
}

static bool contents_part(const struct walk w[2], const struct attest_piece *p,
                          const struct attest_piece *q, struct attest_difference *d)
{
    size_t len[2] = {size_here(&w[0]), size_here(&w[1])}, common = MIN(len[0], len[1]), at = 0;
    const uint8_t *a = p->contents ? p->contents + w[0].at : NULL;
    const uint8_t *b = q->contents ? q->contents + w[1].at : NULL;
    struct named n;

    if (!a || !b)
        return false;
    while (at < common && (a[at] == b[at] || skipped(p, mode_is_snp(w[0].image->mode), at)))
        at++;
    if (at == common) {
        if (len[0] == len[1])
            return false;
        snprintf(d->field, sizeof(d->field), "length");
        for (unsigned i = 0; i < 2; i++)
            snprintf(d->value[i], sizeof(d->value[i]), "%#zx bytes", len[i]);
        return true;
    }
    n = name_of(p, a, len[0], at);
    snprintf(d->field, sizeof(d->field), "%s", n.name);
    bytes_text(d->value[0], sizeof(d->value[0]), a + n.at, MIN(n.bytes, common - n.at));
    bytes_text(d->value[1], sizeof(d->value[1]), b + n.at, MIN(n.bytes, common - n.at));
    d->gpa[0] += p->type == ATTEST_PAGE_DATA ? at / PAGE_BYTES * PAGE_BYTES : 0;
    d->gpa[1] += p->type == ATTEST_PAGE_DATA ? at / PAGE_BYTES * PAGE_BYTES : 0;
    return true;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static bool text_parts(struct attest_difference *d, const char *field, const char *a, const char *b)
{
    if (!strcmp(a, b))
        return false;
    snprintf(d->field, sizeof(d->field), "%s", field);
    snprintf(d->value[0], sizeof(d->value[0]), "%s", a);
    snprintf(d->value[1], sizeof(d->value[1]), "%s", b);
    return true;
}

static bool pages_part(const struct walk w[2], const struct attest_piece *const p[2],
                       struct attest_difference *d)
{
    char text[2][40];

    if (text_parts(d, "type", attest_page_type_name(p[0]->type), attest_page_type_name(p[1]->type)))
        return true;
    if (p[0]->type == ATTEST_PAGE_DATA || !mode_is_snp(w[0].image->mode))
        return contents_part(w, p[0], p[1], d); /* SEV measures nothing but contents */
    for (unsigned i = 0; i < 2; i++)
        snprintf(text[i], sizeof(text[i]), "%#" PRIx64, p[i]->gpa + w[i].at);
    if (text_parts(d, "GPA", text[0], text[1]))
        return true;
    for (unsigned i = 0; i < 2; i++)
        snprintf(text[i], sizeof(text[i]), "%02x %02x %02x%s", p[i]->vmpl[0], p[i]->vmpl[1],
                 p[i]->vmpl[2], p[i]->imi ? " imi" : "");
    if (text_parts(d, "permissions", text[0], text[1]))
        return true;
    return contents_part(w, p[0], p[1], d);
}

static void note_where(const struct walk w[2], struct attest_difference *d)
{
    const struct attest_piece *p = here(&w[0]), *q = here(&w[1]);

    for (unsigned i = 0; i < 2; i++) {
        d->piece[i] = w[i].piece;
        d->gpa[i] = here(&w[i]) ? here(&w[i])->gpa + w[i].at : 0;
    }
    if (p && q && strcmp(p->what, q->what) != 0)
        snprintf(d->where, sizeof(d->where), "%s, or %s", p->what, q->what);
    else
        snprintf(d->where, sizeof(d->where), "%s", p ? p->what : q->what);
}

void attest_image_compare(const struct attest_image *a, const struct attest_image *b,
                          struct attest_difference *out)
{
    struct walk w[2] = {{.image = a}, {.image = b}};

    *out = (struct attest_difference){0};
    if (mode_is_snp(a->mode) != mode_is_snp(b->mode)) {
        out->any = text_parts(out, "mode", mode_is_snp(a->mode) ? "SEV-SNP" : "SEV",
                              mode_is_snp(b->mode) ? "SEV-SNP" : "SEV");
        snprintf(out->where, sizeof(out->where), "launch");
        return;
    }
    if (a->seeded != b->seeded || memcmp(a->seed, b->seed, sizeof(a->seed)) != 0) {
        out->any = true;
        snprintf(out->where, sizeof(out->where), "firmware");
        snprintf(out->field, sizeof(out->field), "digest");
        for (unsigned i = 0; i < 2; i++)
            bytes_text(out->value[i], sizeof(out->value[i]), w[i].image->seed, 48);
        return;
    }
    for (;;) {
        const struct attest_piece *p[2] = {here(&w[0]), here(&w[1])};

        if (!p[0] || !p[1])
            break;
        note_where(w, out);
        if (pages_part(w, p, out)) {
            out->any = true;
            return;
        }
        step(&w[0]);
        step(&w[1]);
    }
    if (!here(&w[0]) && !here(&w[1]))
        return;
    note_where(w, out);
    out->any = true;
    snprintf(out->field, sizeof(out->field), "presence");
    for (unsigned i = 0; i < 2; i++)
        snprintf(out->value[i], sizeof(out->value[i]), here(&w[i]) ? "launched" : "the end");
}
