/* What a launch measures, in a file: docs/launch-image.md. */
#ifndef LUCCA_HOST_VM_LAUNCH_IMAGE_H
#define LUCCA_HOST_VM_LAUNCH_IMAGE_H

#include "host/vm/internal.h"

struct launch_image;

/* To be freed by launch_image_end(). */
enum status launch_image_new(struct vm *vm, struct launch_image **out, struct error *err) MUST_USE;
/* One more step of the launch. `type`: as in the page; what follows its predecessor in memory and
 * is of its kind joins it. `bytes` are borrowed; NULL: what is in the guest's memory. */
enum status launch_image_add(struct launch_image *image, const char *type, uint64_t gpa,
                             uint64_t len, const char *what, const void *bytes,
                             struct error *err) MUST_USE;
/* Writes the file, whole or not at all, unless `s` says that the steps went wrong. */
enum status launch_image_end(struct launch_image *image, enum status s, struct error *err) MUST_USE;

#endif
