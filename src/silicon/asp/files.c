/* Small secret files that appear whole or not at all. */
#include "silicon/asp/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status path_join(char out[PATH_MAX], const char *dir, const char *leaf, struct error *err)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, leaf);

    if (n < 0 || n >= PATH_MAX)
        return fail(err, ERR_ARG, "the path %.100s/%.100s is too long", dir, leaf);
    return OK;
}

enum status make_directories(const char *dir, struct error *err)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
        return fail(err, ERR_ARG, "the path %.200s is too long", dir);
    for (char *at = path + 1;; at++) {
        char was = *at;

        if (was && was != '/')
            continue;
        *at = 0;
        if (mkdir(path, 0700) && errno != EEXIST)
            return fail(err, ERR_IO, "cannot make the directory %s: %s", path, strerror(errno));
        *at = was;
        if (!was)
            return OK;
    }
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

enum status file_write(const char *dir, const char *leaf, const void *bytes, size_t len,
                       struct error *err)
{
    char path[PATH_MAX], temp[PATH_MAX];
    bool done;
    int fd, why;

    if (path_join(path, dir, leaf, err) != OK || path_join(temp, dir, ".new-XXXXXX", err) != OK)
        return ERR_ARG;
    fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return fail(err, ERR_IO, "cannot write in %s: %s", dir, strerror(errno));
    done = write_all(fd, bytes, len);
    why = errno;
    if (close(fd) && done) {
        done = false;
        why = errno;
    }
    if (done && rename(temp, path)) {
        done = false;
        why = errno;
    }
    if (done)
        return OK;
    unlink(temp);
    return fail(err, ERR_IO, "cannot write %s: %s", path, strerror(why));
}

enum status file_read(const char *dir, const char *leaf, void *to, size_t room, size_t *len,
                      bool *found, struct error *err)
{
    char path[PATH_MAX];
    FILE *f;

    if (path_join(path, dir, leaf, err) != OK)
        return ERR_ARG;
    f = fopen(path, "rbe");
    if (found)
        *found = f || errno != ENOENT;
    if (!f && found && !*found)
        return OK;
    if (!f)
        return fail(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    *len = fread(to, 1, room, f);
    if (ferror(f)) {
        int why = errno;

        fclose(f);
        return fail(err, ERR_IO, "cannot read %s: %s", path, strerror(why));
    }
    fclose(f);
    return OK;
}
