/* Raw disk images: the file's bytes are the disk's. */
#include "host/device/block_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

struct raw {
    struct block block;
    int fd;
};

static enum status raw_read(struct block *b, uint64_t off, void *to, size_t len, struct error *err)
{
    return image_read(((struct raw *)b)->fd, b->path, off, to, len, err);
}

static enum status raw_write(struct block *b, uint64_t off, const void *from, size_t len,
                             struct error *err)
{
    return image_write(((struct raw *)b)->fd, b->path, off, from, len, err);
}

/* True where the host's file system took the hint. */
static bool hint(const struct raw *r, int mode, uint64_t off, uint64_t len)
{
    int rc;

    do
        rc = fallocate(r->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

static enum status raw_zero(struct block *b, uint64_t off, uint64_t len, bool unmap,
                            struct error *err)
{
    static const uint8_t zeros[65536];
    struct raw *r = (struct raw *)b;

    if (!len || (unmap && hint(r, FALLOC_FL_PUNCH_HOLE, off, len)) ||
        hint(r, FALLOC_FL_ZERO_RANGE, off, len))
        return OK;
    while (len) {
        size_t step = MIN(len, sizeof(zeros));
        enum status s = image_write(r->fd, b->path, off, zeros, step, err);

        if (s != OK)
            return s;
        off += step;
        len -= step;
    }
    return OK;
}

static enum status raw_discard(struct block *b, uint64_t off, uint64_t len, struct error *err)
{
    if (len)
        (void)hint((struct raw *)b, FALLOC_FL_PUNCH_HOLE, off, len);
    return OK;
}

static enum status raw_flush(struct block *b, struct error *err)
{
    return file_flush(((struct raw *)b)->fd, b->path, err);
}

static void raw_close(struct block *b)
{
    close(((struct raw *)b)->fd);
    free(b);
}

static const struct block_ops raw_ops = {
    .read = raw_read,
    .write = raw_write,
    .zero = raw_zero,
    .discard = raw_discard,
    .flush = raw_flush,
    .close = raw_close,
};

/* A guest can write anything to its raw disk, so the contents never choose the format; but a qcow2
 * image opened as raw by mistake would be damaged. */
static enum status raw_check(struct raw *r, bool guessed, struct error *err)
{
    uint8_t magic[4];
    uint64_t size;
    enum status s = file_size(r->fd, r->block.path, &size, err);

    if (s == OK && guessed)
        s = image_read(r->fd, r->block.path, 0, magic, sizeof(magic), err);
    if (s != OK)
        return s;
    if (guessed && !memcmp(magic, QCOW2_MAGIC, 4))
        return fail(err, ERR_ARG,
                    "disk image '%s' begins like a qcow2 image: say format=qcow2 or format=raw",
                    r->block.path);
    if (!size || (size % BLOCK_SECTOR && !r->block.readonly))
        return fail(err, ERR_FORMAT,
                    "disk image '%s' is %llu bytes long: a disk is a multiple of 512 bytes; "
                    "truncate -s %%512 '%s' pads it",
                    r->block.path, (unsigned long long)size, r->block.path);
    r->block.size = (size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return OK;
}

enum status raw_open(const char *path, bool readonly, bool guessed, struct block **out,
                     struct error *err)
{
    struct raw *r = calloc(1, sizeof(*r));
    enum status s;

    if (!r)
        return fail(err, ERR_NOMEM, "no memory for disk image '%s'", path);
    r->block.ops = &raw_ops;
    r->block.readonly = readonly;
    memcpy(r->block.path, path, strlen(path) + 1);
    s = file_open(path, readonly, &r->fd, err);
    if (s != OK) {
        free(r);
        return s;
    }
    s = raw_check(r, guessed, err);
    if (s != OK) {
        raw_close(&r->block);
        return s;
    }
    *out = &r->block;
    return OK;
}
