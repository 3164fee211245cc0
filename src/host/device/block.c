/* Disk images: opening, locking, and the checks that every request passes. */
#include "host/device/block_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* ---- host files ---- */

/* QEMU's locks on images, so that a guest of ours and its tools keep out of each other's way. A
 * read lock on byte 100 + n says "I do n", one on 200 + n "nobody else may": n is 0 to read, 1 to
 * write, 3 to resize. Whoever has taken its own looks whether they contradict another's.
 */
static const struct {
    uint8_t held[5], clashing[5];
} image_locks[] = {
    [false] = {{100, 101, 103, 201, 203}, {200, 201, 203, 101, 103}},
    [true] = {{100, 201, 203}, {200, 101, 103}}, /* read-only */
};

/* 0, or an errno: EAGAIN where another party's lock contradicts ours. */
static int lock_image(int fd, bool readonly)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};

    for (unsigned i = 0; i < 5 && image_locks[readonly].held[i]; i++) {
        lock.l_start = image_locks[readonly].held[i];
        if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
            return errno;
    }
    for (unsigned i = 0; i < 5 && image_locks[readonly].clashing[i]; i++) {
        lock = (struct flock){F_WRLCK, SEEK_SET, image_locks[readonly].clashing[i], 1, 0};
        if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
            return errno;
        if (lock.l_type != F_UNLCK)
            return EAGAIN;
    }
    return 0;
}

enum status file_open(const char *path, bool readonly, int *fd, struct error *err)
{
    struct stat st;
    int why;

    *fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail(err, ERR_IO, "cannot open disk image '%s'%s: %s", path,
                    readonly ? "" : " for writing", strerror(errno));
    if (fstat(*fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
        close(*fd);
        return fail(err, ERR_ARG, "disk image '%s' is neither a file nor a block device", path);
    }
    why = lock_image(*fd, readonly);
    if (!why)
        return OK;
    close(*fd);
    if (why == EAGAIN || why == EACCES)
        return fail(err, ERR_STATE,
                    "disk image '%s' is in use by another process%s: stop that one, or use %s",
                    path, readonly ? " that writes to it" : "",
                    readonly ? "a copy" : "a copy or readonly=on in both");
    return fail(err, ERR_IO, "cannot lock disk image '%s': %s", path, strerror(why));
}

enum status file_size(int fd, const char *path, uint64_t *size, struct error *err)
{
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0)
        return fail(err, ERR_IO, "cannot find the size of disk image '%s': %s", path,
                    strerror(errno));
    *size = (uint64_t)end;
    return OK;
}

/* Past the end of the file there are zeros: images may be shorter than their last cluster. */
enum status image_read(int fd, const char *path, uint64_t off, void *to, size_t len,
                       struct error *err)
{
    uint8_t *at = to;

    while (len) {
        ssize_t n = pread(fd, at, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, ERR_IO, "cannot read disk image '%s' at %#llx: %s", path,
                        (unsigned long long)off, strerror(errno));
        if (n == 0) {
            memset(at, 0, len);
            return OK;
        }
        at += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return OK;
}

enum status image_write(int fd, const char *path, uint64_t off, const void *from, size_t len,
                        struct error *err)
{
    const uint8_t *at = from;

    while (len) {
        ssize_t n = pwrite(fd, at, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(err, ERR_IO, "cannot write disk image '%s' at %#llx: %s", path,
                        (unsigned long long)off, n < 0 ? strerror(errno) : "no progress");
        at += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return OK;
}

enum status file_flush(int fd, const char *path, struct error *err)
{
    if (fdatasync(fd) != 0)
        return fail(err, ERR_IO, "cannot flush disk image '%s': %s", path, strerror(errno));
    return OK;
}

/* ---- the interface ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

enum status block_open(const char *path, enum block_format format, bool readonly,
                       struct block **out, struct error *err)
{
    if (strlen(path) >= sizeof((*out)->path))
        return fail(err, ERR_ARG, "the path of a disk image is longer than %zu bytes",
                    sizeof((*out)->path) - 1);
    if (format == BLOCK_QCOW2 || (format == BLOCK_AUTO && ends_with(path, ".qcow2")))
        return qcow2_open(path, readonly, QCOW2_CHAIN_MAX, out, err);
    return raw_open(path, readonly, format == BLOCK_AUTO, out, err);
}

void block_close(struct block *b)
{
    struct error err;

    if (!b)
        return;
    if (block_flush(b, &err) != OK)
        warn("%s", err.text);
    b->ops->close(b);
}

static enum status judge(const struct block *b, uint64_t off, uint64_t len, bool writes,
                         struct error *err)
{
    if (off > b->size || len > b->size - off)
        return fail(err, ERR_ARG, "disk image '%s': %llu bytes at %#llx are past its end", b->path,
                    (unsigned long long)len, (unsigned long long)off);
    if (writes && b->readonly)
        return fail(err, ERR_STATE, "disk image '%s' is read-only", b->path);
    return OK;
}

enum status block_read(struct block *b, uint64_t off, void *to, size_t len, struct error *err)
{
    enum status s = judge(b, off, len, false, err);

    return s == OK ? b->ops->read(b, off, to, len, err) : s;
}

enum status block_write(struct block *b, uint64_t off, const void *from, size_t len,
                        struct error *err)
{
    enum status s = judge(b, off, len, true, err);

    return s == OK ? b->ops->write(b, off, from, len, err) : s;
}

enum status block_zero(struct block *b, uint64_t off, uint64_t len, bool unmap, struct error *err)
{
    enum status s = judge(b, off, len, true, err);

    return s == OK ? b->ops->zero(b, off, len, unmap, err) : s;
}

enum status block_discard(struct block *b, uint64_t off, uint64_t len, struct error *err)
{
    enum status s = judge(b, off, len, true, err);

    return s == OK ? b->ops->discard(b, off, len, err) : s;
}

enum status block_flush(struct block *b, struct error *err)
{
    return b->readonly ? OK : b->ops->flush(b, err);
}
