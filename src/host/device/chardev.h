/* Where a character device's bytes go and come from: stdio, a file, nothing. */
#ifndef LUCCA_HOST_DEVICE_CHARDEV_H
#define LUCCA_HOST_DEVICE_CHARDEV_H

#include <stddef.h>
#include <stdint.h>

/* The device's side. `put` may be called at any time; bytes for the device are pushed by the
 * backend through `sink` (set by the device), which returns how many it took. */
struct chardev {
    void (*put)(void *backend, const uint8_t *bytes, size_t n);
    void *backend;
    size_t (*sink)(void *dev, const uint8_t *bytes, size_t n);
    /* How many bytes `sink` would take now. */
    size_t (*room)(void *dev);
    void *dev;
    /* Set by the backend, or NULL: the device has room again after it had none. */
    void (*ready)(void *backend);
};

#endif
