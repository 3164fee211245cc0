/* Launch images: an index in text, then the bytes that are measured. */
#include "host/vm/launch_image.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

struct step {
    const char *type, *what;
    uint64_t gpa, len;
    const void *bytes;
};

struct launch_image {
    struct vm *vm;
    struct step *step;
    size_t steps, room;
};

enum status launch_image_new(struct vm *vm, struct launch_image **out, struct error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return fail(err, ERR_NOMEM, "no memory for the launch image");
    (*out)->vm = vm;
    return OK;
}

static bool joins(const struct step *last, const char *type, uint64_t gpa, const char *what,
                  const void *bytes)
{
    return !bytes && !last->bytes && !strcmp(last->type, type) && !strcmp(last->what, what) &&
           last->gpa + last->len == gpa;
}

enum status launch_image_add(struct launch_image *image, const char *type, uint64_t gpa,
                             uint64_t len, const char *what, const void *bytes, struct error *err)
{
    struct step *more;

    if (image->steps && joins(&image->step[image->steps - 1], type, gpa, what, bytes)) {
        image->step[image->steps - 1].len += len;
        return OK;
    }
    if (image->steps == image->room) {
        more = realloc(image->step, (image->room + 64) * sizeof(*more));
        if (!more)
            return fail(err, ERR_NOMEM, "no memory for the launch image");
        image->step = more;
        image->room += 64;
    }
    image->step[image->steps++] = (struct step){type, what, gpa, len, bytes};
    return OK;
}

/* Permissions as snp.c gives them: everything to the VMPLs up to the guest's own. */
static void write_index(const struct launch_image *image, FILE *f)
{
    unsigned n = image->vm->cfg.vmpl;

    if (image->vm->cfg.sev == SEV_PLAIN)
        return;
    fprintf(f, "lucca-launch-image 1\nmode %s\n", image->vm->cfg.sev == SEV_SNP ? "snp" : "es");
    for (size_t i = 0; i < image->steps; i++) {
        const struct step *s = &image->step[i];

        fprintf(f, "%s %" PRIx64 " %" PRIx64 " %s%s%s %.39s\n", s->type, s->gpa, s->len,
                n >= 1 ? "0f" : "00", n >= 2 ? "0f" : "00", n >= 3 ? "0f" : "00", s->what);
    }
    fputc('\n', f);
}

static bool has_contents(const struct step *s)
{
    return !strcmp(s->type, "data") || !strcmp(s->type, "normal") || !strcmp(s->type, "vmsa");
}

static bool write_contents(const struct launch_image *image, FILE *f)
{
    uint8_t page[PAGE];

    for (size_t i = 0; i < image->steps; i++) {
        const struct step *s = &image->step[i];

        if (s->bytes && fwrite(s->bytes, s->len, 1, f) != 1)
            return false;
        for (uint64_t at = 0; !s->bytes && has_contents(s) && at < s->len; at += PAGE)
            if (!vm_read_phys(image->vm, s->gpa + at, page, PAGE) || fwrite(page, PAGE, 1, f) != 1)
                return false;
    }
    return !ferror(f);
}

static enum status write_file(const struct launch_image *image, struct error *err)
{
    const char *path = image->vm->cfg.launch_image;
    char part[PATH_MAX];
    enum status s = OK;
    FILE *f;

    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
        return fail(err, ERR_ARG, "--launch-image: the path is too long");
    f = fopen(part, "we");
    if (!f)
        return fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    write_index(image, f);
    if (!write_contents(image, f))
        s = fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    if (fclose(f) != 0 && s == OK)
        s = fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    if (s == OK && rename(part, path) < 0)
        s = fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    if (s != OK)
        unlink(part);
    return s;
}

enum status launch_image_end(struct launch_image *image, enum status s, struct error *err)
{
    if (!image)
        return s;
    if (s == OK)
        s = write_file(image, err);
    free(image->step);
    free(image);
    return s;
}
