/* Disk images: one interface, raw files and qcow2 behind it. Reads and writes are synchronous. */
#ifndef LUCCA_HOST_DEVICE_BLOCK_H
#define LUCCA_HOST_DEVICE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct block;

enum block_format {
    BLOCK_AUTO, /* qcow2 when the name ends in .qcow2, else raw; never guessed from the contents */
    BLOCK_RAW,
    BLOCK_QCOW2,
};

struct block_ops {
    enum status (*read)(struct block *b, uint64_t off, void *to, size_t len, struct error *err);
    enum status (*write)(struct block *b, uint64_t off, const void *from, size_t len,
                         struct error *err);
    /* The range reads as zeros afterwards; `unmap`: give its space back to the host if possible. */
    enum status (*zero)(struct block *b, uint64_t off, uint64_t len, bool unmap, struct error *err);
    /* The contents of the range no longer matter. */
    enum status (*discard)(struct block *b, uint64_t off, uint64_t len, struct error *err);
    enum status (*flush)(struct block *b, struct error *err);
    void (*close)(struct block *b);
};

/* The head of every image; size is in bytes and a multiple of 512. */
struct block {
    const struct block_ops *ops;
    uint64_t size;
    bool readonly;
    char path[4096];
};

#define BLOCK_SECTOR 512u

/* Opens `path` and locks it against other writers (an OFD lock: shared for `readonly`, exclusive
 * otherwise). Nothing is written before the whole header is accepted. */
enum status block_open(const char *path, enum block_format format, bool readonly,
                       struct block **out, struct error *err) MUST_USE;
/* Flushes and closes. NULL is fine. */
void block_close(struct block *b);

/* Each checks that the range is inside the image and that the image may be written. */
enum status block_read(struct block *b, uint64_t off, void *to, size_t len,
                       struct error *err) MUST_USE;
enum status block_write(struct block *b, uint64_t off, const void *from, size_t len,
                        struct error *err) MUST_USE;
enum status block_zero(struct block *b, uint64_t off, uint64_t len, bool unmap,
                       struct error *err) MUST_USE;
enum status block_discard(struct block *b, uint64_t off, uint64_t len, struct error *err) MUST_USE;
enum status block_flush(struct block *b, struct error *err) MUST_USE;

#endif
