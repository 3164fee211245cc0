/* What the image formats share: host files and each other's openers. */
#ifndef LUCCA_HOST_DEVICE_BLOCK_INTERNAL_H
#define LUCCA_HOST_DEVICE_BLOCK_INTERNAL_H

#include "host/device/block.h"

#define QCOW2_MAGIC     "QFI\xfb"
#define QCOW2_CHAIN_MAX 8 /* images in a chain of backing files */

/* Open and lock; nothing else. */
enum status file_open(const char *path, bool readonly, int *fd, struct error *err) MUST_USE;
enum status file_size(int fd, const char *path, uint64_t *size, struct error *err) MUST_USE;
/* Bytes past the end of the file read as zeros. */
enum status image_read(int fd, const char *path, uint64_t off, void *to, size_t len,
                       struct error *err) MUST_USE;
enum status image_write(int fd, const char *path, uint64_t off, const void *from, size_t len,
                        struct error *err) MUST_USE;
enum status file_flush(int fd, const char *path, struct error *err) MUST_USE;

/* `guessed`: nobody said that it is raw, so refuse what begins like a qcow2 image. */
enum status raw_open(const char *path, bool readonly, bool guessed, struct block **out,
                     struct error *err) MUST_USE;
/* `depth`: how many images the chain may still have, this one included. */
enum status qcow2_open(const char *path, bool readonly, unsigned depth, struct block **out,
                       struct error *err) MUST_USE;

#endif
