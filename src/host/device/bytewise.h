/* Devices of 8-bit registers on a wider bus: an access of more bytes is one of each byte in turn.
 */
#ifndef LUCCA_HOST_DEVICE_BYTEWISE_H
#define LUCCA_HOST_DEVICE_BYTEWISE_H

#include <stdint.h>

#include "host/device/bus.h"

static inline uint64_t bytewise_read(void *dev, uint64_t off, unsigned size,
                                     uint8_t (*read)(void *dev, unsigned off))
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read(dev, (unsigned)off + i) << i * 8;
    return value;
}

static inline void bytewise_write(void *dev, uint64_t off, unsigned size, uint64_t value,
                                  void (*write)(void *dev, unsigned off, uint8_t value))
{
    for (unsigned i = 0; i < size; i++)
        write(dev, (unsigned)off + i, (uint8_t)(value >> i * 8));
}

/* `name`_ops from the functions `name`_read and `name`_write of one byte. */
#define BYTE_OPS(name)                                                                             \
    static uint64_t name##_wide_read(void *dev, uint64_t off, unsigned size)                       \
    {                                                                                              \
        return bytewise_read(dev, off, size, name##_read);                                         \
    }                                                                                              \
    static void name##_wide_write(void *dev, uint64_t off, unsigned size, uint64_t value)          \
    {                                                                                              \
        bytewise_write(dev, off, size, value, name##_write);                                       \
    }                                                                                              \
    static const struct bus_ops name##_ops = {name##_wide_read, name##_wide_write}

#endif
