/* Small secret files that appear whole or not at all. */
#ifndef LUCCA_SILICON_ASP_FILES_H
#define LUCCA_SILICON_ASP_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum status path_join(char out[PATH_MAX], const char *dir, const char *leaf,
                      struct error *err) MUST_USE;
/* The directory and those above it, mode 0700 where it makes them. */
enum status make_directories(const char *dir, struct error *err) MUST_USE;

/* Writes beside, syncs, renames over. */
enum status file_write(const char *dir, const char *leaf, const void *bytes, size_t len,
                       struct error *err) MUST_USE;
/* At most `room` bytes; `len`: how many there were. `*found` false, and OK, where there is no such
 * file; `found` NULL: then it is an error. */
enum status file_read(const char *dir, const char *leaf, void *to, size_t room, size_t *len,
                      bool *found, struct error *err) MUST_USE;

#endif
