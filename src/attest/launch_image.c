/* Launch images in files: docs/launch-image.md. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/launch.h"
#include "attest/internal.h"
#include "base/bytes.h"

#define MAGIC          "lucca-launch-image 1"
#define LINE_MAX_CHARS 200u

static const struct {
    const char *name;
    enum attest_mode mode;
} modes[] = {{"sev", ATTEST_SEV}, {"es", ATTEST_SEV_ES}, {"snp", ATTEST_SNP}};

/* ---- text ------------------------------------------------------------------------------------ */

struct lines {
    struct cursor c;
    unsigned number;
    struct attest_error *err;
};

static enum attest_status broken(const struct lines *l, const char *what)
{
    return attest_fail(l->err, ATTEST_E_FORMAT, "launch_image", "line %u: %s", l->number, what);
}

/* The next line, without its end, NUL-terminated in `to`. */
static enum attest_status next_line(struct lines *l, char to[LINE_MAX_CHARS + 1])
{
    size_t most = MIN(l->c.left, LINE_MAX_CHARS + 1);
    const uint8_t *end = most ? memchr(l->c.at, '\n', most) : NULL;
    size_t len;

    l->number++;
    if (!end)
        return broken(l, l->c.left > LINE_MAX_CHARS ? "it is longer than 200 characters"
                                                    : "the file ends in its index");
    len = (size_t)(end - l->c.at);
    for (size_t i = 0; i < len; i++)
        if (l->c.at[i] < 0x20 || l->c.at[i] > 0x7E)
            return broken(l, "a character that cannot be printed");
    memcpy(to, l->c.at, len);
    to[len] = 0;
    (void)cursor_take(&l->c, len + 1);
    return ATTEST_OK;
}

/* A column, cut out of the line; NULL: there is none. */
static char *column(char **rest)
{
    char *at = *rest, *space = strchr(at, ' ');

    if (!space || space == at)
        return NULL;
    *space = 0;
    *rest = space + 1;
    return at;
}

static bool hex_number(const char *text, unsigned digits, uint64_t *out)
{
    size_t n = strlen(text);

    if (!n || n > digits || strspn(text, "0123456789abcdefABCDEF") != n)
        return false;
    *out = strtoull(text, NULL, 16);
    return true;
}

static bool permissions(char *text, struct attest_piece *p)
{
    char *comma = strchr(text, ',');
    uint64_t v;

    if (comma) {
        if (strcmp(comma, ",imi") != 0)
            return false;
        p->imi = true;
        *comma = 0;
    }
    if (strlen(text) != 6 || !hex_number(text, 6, &v))
        return false;
    for (unsigned i = 0; i < 3; i++)
        p->vmpl[i] = (uint8_t)(v >> (16 - 8 * i));
    return true;
}

static bool page_type(const char *name, unsigned *type)
{
    for (*type = 0; *type < ATTEST_PAGE_TYPES; ++*type)
        if (!strcmp(name, attest_page_type_name(*type)))
            return true;
    return false;
}

static enum attest_status parse_piece(const struct lines *l, char *line, struct attest_piece *p)
{
    char *type = column(&line), *gpa = type ? column(&line) : NULL;
    char *len = gpa ? column(&line) : NULL, *perms = len ? column(&line) : NULL;

    if (!perms || !*line)
        return broken(l, "a piece has five columns: type, GPA, length, permissions, name");
    if (!page_type(type, &p->type))
        return broken(l, "no such type of page");
    if (!hex_number(gpa, 16, &p->gpa) || !hex_number(len, 16, &p->len))
        return broken(l, "GPA and length are hexadecimal numbers");
    if (!permissions(perms, p))
        return broken(l, "permissions are six hexadecimal digits, and ',imi' after them or not");
    if (strlen(line) >= sizeof(p->what))
        return broken(l, "a name has at most 39 characters");
    memcpy(p->what, line, strlen(line) + 1);
    return ATTEST_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static enum attest_status parse_head(struct lines *l, enum attest_mode *mode)
{
    char line[LINE_MAX_CHARS + 1];
    enum attest_status s = next_line(l, line);

    if (s == ATTEST_OK && strcmp(line, MAGIC) != 0)
        return attest_fail(l->err, ATTEST_E_UNSUPPORTED, "launch_image",
                           "'%.60s' is no launch image of a known version", line);
    if (s == ATTEST_OK)
        s = next_line(l, line);
    if (s != ATTEST_OK)
        return s;
    for (size_t i = 0; i < COUNT(modes); i++)
        if (!strncmp(line, "mode ", 5) && !strcmp(line + 5, modes[i].name)) {
            *mode = modes[i].mode;
            return ATTEST_OK;
        }
    return broken(l, "expected 'mode sev', 'mode es' or 'mode snp'");
}

static enum attest_status parse_index(struct lines *l, struct attest_image *image)
{
    /* Contents are not known before the index ends; what has some points at the file for now. */
    const uint8_t *later = l->c.at;

    for (;;) {
        struct attest_piece p = {0};
        char line[LINE_MAX_CHARS + 1] = "";
        enum attest_status s = next_line(l, line);

        if (s != ATTEST_OK || !*line)
            return s;
        if (*line == '#')
            continue;
        s = parse_piece(l, line, &p);
        if (s == ATTEST_OK) {
            p.contents = piece_is_measured(&p) ? later : NULL;
            s = image_add(image, &p, l->err);
        }
        if (s != ATTEST_OK)
            return s;
    }
}

static enum attest_status take_contents(struct lines *l, struct attest_image *image)
{
    for (unsigned i = 0; i < image->pieces; i++) {
        struct attest_piece *p = &image->piece[i];

        if (!p->contents)
            continue;
        if (p->len > l->c.left)
            return attest_fail(l->err, ATTEST_E_FORMAT, "launch_image",
                               "the file ends in the contents of '%s'", p->what);
        p->contents = cursor_take(&l->c, p->len);
    }
    for (unsigned i = image->pieces; i && image->piece[i - 1].type == ATTEST_PAGE_VMSA; i--)
        image->vmsas++;
    if (l->c.left)
        return attest_fail(l->err, ATTEST_E_FORMAT, "launch_image",
                           "%zu bytes follow the contents of the last piece", l->c.left);
    return ATTEST_OK;
}

/* What has no index is what SEV measures. */
static enum attest_status open_raw(struct attest_image *image, const void *bytes, size_t len,
                                   struct attest_error *err)
{
    struct attest_piece p = {.type = ATTEST_PAGE_DATA, .len = len, .contents = bytes};

    snprintf(p.what, sizeof(p.what), "launch image");
    return image_add(image, &p, err);
}

enum attest_status attest_image_open(struct attest_image **out, const void *bytes, size_t len,
                                     struct attest_error *err)
{
    static const size_t head = sizeof("lucca-launch-image") - 1;
    bool indexed = len > head && !memcmp(bytes, MAGIC, head);
    struct lines l = {.c = cursor_over(bytes, len), .err = err};
    struct attest_image *image = image_new(ATTEST_SEV);
    enum attest_status s = ATTEST_OK;

    if (!image)
        return attest_fail(err, ATTEST_E_MEMORY, "launch_image", "no memory for a launch image");
    if (!indexed)
        s = open_raw(image, bytes, len, err);
    if (s == ATTEST_OK && indexed)
        s = parse_head(&l, &image->mode);
    if (s == ATTEST_OK && indexed)
        s = parse_index(&l, image);
    if (s == ATTEST_OK && indexed)
        s = take_contents(&l, image);
    if (s == ATTEST_OK && !image->pieces)
        s = attest_fail(err, ATTEST_E_FORMAT, "launch_image", "it launches nothing");
    if (s != ATTEST_OK) {
        attest_image_free(image);
        return s;
    }
    *out = image;
    return ATTEST_OK;
}

int attest_image_line(const struct attest_image *image, unsigned i, char *text, size_t size)
{
    const struct attest_piece *p = &image->piece[i];

    return snprintf(text, size, "%s %" PRIx64 " %" PRIx64 " %02x%02x%02x%s %s",
                    attest_page_type_name(p->type), p->gpa, p->len, p->vmpl[0], p->vmpl[1],
                    p->vmpl[2], p->imi ? ",imi" : "", p->what);
}
