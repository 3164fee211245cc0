/* Fuzzes fw_cfg: the input fills guest memory with descriptors and plays the guest at the ports. */
#include "rig.h"

#include "host/device/fw_cfg.h"

static struct rig rig;

static void fill(struct fw_cfg *f, struct cursor *c)
{
    struct error err;
    char name[64];

    for (unsigned n = cursor_u8(c) % 80; n; n--) {
        size_t len = cursor_u8(c) % (sizeof(name) + 1), i = 0;
        const uint8_t *at = len <= c->left ? cursor_take(c, len) : NULL;

        for (; at && i < len && i < sizeof(name) - 1; i++)
            name[i] = (char)(at[i] ? at[i] : '/');
        name[i] = 0;
        if (fw_cfg_add_file(f, name, rig.ram + n, len * 100, &err) != OK)
            MUST(err.text[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_over(data, size);
    struct fw_cfg *f;
    struct board *b;
    size_t memory;

    memset(&rig, 0, sizeof(rig));
    b = rig_board(&rig, 1);
    f = fw_cfg_new(b, NULL);
    MUST(f);
    fill(f, &c);
    memory = MIN(c.left / 2, RIG_RAM);
    memcpy(rig.ram, cursor_take(&c, memory), memory);
    for (unsigned steps = 0; c.left >= 6 && steps < 64; steps++) {
        uint8_t what = cursor_u8(&c), port = cursor_u8(&c);
        uint32_t value = cursor_u32(&c);
        unsigned at = 0x510 + port % 12, bytes = 1u << (what >> 4 & 3);

        if (what & 1)
            bus_write(board_bus(b), BUS_PORTS, at, bytes, value);
        else if (what & 2) /* a descriptor in memory */
            bus_write(board_bus(b), BUS_PORTS, 0x518, 4, __builtin_bswap32(value % RIG_RAM));
        else if (what & 4)
            fw_cfg_reset(f);
        else
            (void)bus_read(board_bus(b), BUS_PORTS, at, bytes);
    }
    fw_cfg_free(f);
    board_free(b);
    return 0;
}
