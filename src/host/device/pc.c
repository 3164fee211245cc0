/* The PC: which devices there are and how they are wired. */
#include "host/device/pc.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "host/device/board_host.h"
#include "host/device/legacy.h"

struct pc {
    struct board *board;
    struct pit *pit;
    struct rtc *rtc;
    struct pm *pm;
    struct i8042 *i8042;
    struct serial *serial[PC_SERIALS];
    struct fw_cfg *fw_cfg;
    struct testdev *testdev;
    struct pci_bus *pci;
};

/* COM1 and COM3 share a line, COM2 and COM4 another. */
static const struct {
    uint16_t port;
    uint8_t gsi, source;
} com[PC_SERIALS] = {{0x3F8, 4, 0}, {0x2F8, 3, 0}, {0x3E8, 4, 1}, {0x2E8, 3, 1}};

static enum status add_serials(struct pc *p, const struct pc_config *cfg, struct error *err)
{
    for (int i = 0; i < PC_SERIALS; i++) {
        if (!cfg->serial[i])
            continue;
        p->serial[i] =
            serial_new(p->board, com[i].port, com[i].gsi, com[i].source, cfg->serial[i], err);
        if (!p->serial[i])
            return err->code;
    }
    return OK;
}

static enum status add_optional(struct pc *p, const struct pc_config *cfg, struct error *err)
{
    enum status st = add_serials(p, cfg, err);

    if (st == OK && cfg->debugcon)
        st = debugcon_add(p->board, cfg->debugcon, err);
    if (st == OK && cfg->debug_exit)
        st = debug_exit_add(p->board, err);
    if (st == OK && cfg->testdev) {
        p->testdev = testdev_new(p->board, err);
        st = p->testdev ? OK : err->code;
    }
    return st;
}

/* What QEMU tells of the machine, to firmware and to test kernels that have none. */
static enum status describe(struct fw_cfg *f, const struct pc_config *cfg, struct error *err)
{
    const struct {
        uint16_t key;
        uint8_t size;
        uint64_t value;
    } numbers[] = {
        {FW_CFG_RAM_SIZE, 8, cfg->ram_low + cfg->ram_high},
        {FW_CFG_NOGRAPHIC, 2, 1},
        {FW_CFG_NB_CPUS, 2, cfg->vcpus},
        {FW_CFG_BOOT_MENU, 2, 0},
        {FW_CFG_MAX_CPUS, 2, cfg->vcpus},
    };
    const struct {
        uint64_t base, bytes;
        uint32_t type; /* 1: RAM */
    } __attribute__((packed))
    e820[] = {{0, cfg->ram_low, 1}, {UINT64_C(1) << 32, cfg->ram_high, 1}};

    for (size_t i = 0; i < COUNT(numbers); i++)
        if (fw_cfg_add_number(f, numbers[i].key, numbers[i].size, numbers[i].value, err) != OK)
            return err->code;
    return fw_cfg_add_file(f, "etc/e820", e820, sizeof(*e820) * (cfg->ram_high ? 2 : 1), err);
}

enum status pc_new(struct board *b, const struct pc_config *cfg, struct pc **out, struct error *err)
{
    struct rtc_config rtc = {cfg->rtc_base, cfg->ram_low, cfg->ram_high, cfg->vcpus};
    struct pc *p = calloc(1, sizeof(*p));
    struct error own;
    enum status st = OK;

    if (!err)
        err = &own;
    if (!p)
        return fail(err, ERR_NOMEM, "no memory for the PC's devices");
    p->board = b;
    if (!(p->pit = pit_new(b, err)) || !(p->rtc = rtc_new(b, &rtc, err)) ||
        !(p->pm = pm_new(b, err)) || !(p->i8042 = i8042_new(b, err)) ||
        !(p->fw_cfg = fw_cfg_new(b, err)) || !(p->pci = pci_bus_new(b, board_bus(b), err)))
        st = err->code;
    if (st == OK)
        st = describe(p->fw_cfg, cfg, err);
    if (st == OK)
        st = add_optional(p, cfg, err);
    if (st != OK) {
        pc_free(p);
        return st;
    }
    *out = p;
    return OK;
}

void pc_free(struct pc *p)
{
    if (!p)
        return;
    pit_free(p->pit);
    rtc_free(p->rtc);
    pm_free(p->pm);
    i8042_free(p->i8042);
    for (int i = 0; i < PC_SERIALS; i++)
        serial_free(p->serial[i]);
    fw_cfg_free(p->fw_cfg);
    testdev_free(p->testdev);
    pci_bus_free(p->pci);
    free(p);
}

void pc_reset(struct pc *p)
{
    board_reset(p->board);
    pit_reset(p->pit);
    rtc_reset(p->rtc);
    pm_reset(p->pm);
    i8042_reset(p->i8042);
    for (int i = 0; i < PC_SERIALS; i++)
        if (p->serial[i])
            serial_reset(p->serial[i]);
    fw_cfg_reset(p->fw_cfg);
    if (p->testdev)
        testdev_reset(p->testdev);
    pci_bus_reset(p->pci);
}

struct pci_bus *pc_pci(struct pc *p)
{
    return p->pci;
}

struct fw_cfg *pc_fw_cfg(struct pc *p)
{
    return p->fw_cfg;
}

void pc_power_button(struct pc *p)
{
    pm_power_button(p->pm);
}
