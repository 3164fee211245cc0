/* QEMU's firmware configuration device: numbered items and named files, by ports 510h/511h and by
 * DMA through ports 514h-51Bh. */
#ifndef LUCCA_HOST_DEVICE_FW_CFG_H
#define LUCCA_HOST_DEVICE_FW_CFG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/board.h"

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0A,
    FW_CFG_INITRD_SIZE = 0x0B,
    FW_CFG_BOOT_MENU = 0x0E,
    FW_CFG_MAX_CPUS = 0x0F,
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
};
#define FW_CFG_MAX_FILES 64
#define FW_CFG_FILE_NAME 56 /* bytes, the final NUL included */

struct fw_cfg;
struct fw_cfg *fw_cfg_new(struct board *b, struct error *err);
void fw_cfg_free(struct fw_cfg *f);
void fw_cfg_reset(struct fw_cfg *f);

/* Bytes are copied. An item that exists is replaced. */
enum status fw_cfg_add_item(struct fw_cfg *f, uint16_t key, const void *bytes, size_t len,
                            struct error *err) MUST_USE;
/* As above, little-endian number of `size` bytes (2, 4 or 8). */
enum status fw_cfg_add_number(struct fw_cfg *f, uint16_t key, unsigned size, uint64_t value,
                              struct error *err) MUST_USE;
/* A named file ("opt/..." is the user's part of the name space). */
enum status fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *bytes, size_t len,
                            struct error *err) MUST_USE;

#endif
