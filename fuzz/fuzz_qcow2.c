/* Fuzzes qcow2 images: the input is the file. Whatever it says, opening and using it ends in an
 * answer or a named refusal. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/device/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t buffer[100000];

static void use(struct block *b)
{
    static const uint64_t places[] = {0, 512, 65536 - 512, 1 << 20};
    struct error err;

    for (size_t i = 0; i < COUNT(places) + 2; i++) {
        uint64_t off = i < COUNT(places) ? places[i] : i == COUNT(places) ? b->size / 2 : b->size;
        size_t len = sizeof(buffer);

        if (off > b->size)
            continue;
        len = MIN(len, b->size - off);
        (void)!block_read(b, off, buffer, len, &err);
        (void)!block_write(b, off, buffer, MIN(len, 3000), &err);
        (void)!block_zero(b, off, MIN(len, 70000), i % 2, &err);
        (void)!block_discard(b, off, MIN(len, 70000), &err);
        (void)!block_write(b, off, buffer, len, &err);
        (void)!block_read(b, off, buffer, len, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];
    struct block *b;
    struct error err;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    for (int readonly = 1; readonly >= 0; readonly--)
        if (block_open(path, BLOCK_QCOW2, readonly, &b, &err) == OK) {
            use(b);
            block_close(b);
        }
    close(fd);
    return 0;
}
