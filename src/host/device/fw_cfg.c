/* fw_cfg: the selected item is read byte by byte at port 511h, or copied to memory by a descriptor
 * whose address goes to port 514h. Descriptor: control, length (u32), address (u64), big-endian. */
#include "host/device/fw_cfg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/bus.h"

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

#define DIR_ENTRY   64u
#define ID_FEATURES 3u /* the ports, and DMA */

struct item {
    uint16_t key;
    uint8_t *bytes;
    size_t len;
};

struct fw_cfg {
    struct board *board;
    struct item *items;
    size_t count, room;
    unsigned files;
    uint16_t selected;
    uint64_t offset;
    uint32_t dma_high;
};

static struct item *find(const struct fw_cfg *f, uint16_t key)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->items[i].key == key)
            return &f->items[i];
    return NULL;
}

/* NULL: no memory. */
static struct item *new_item(struct fw_cfg *f, uint16_t key)
{
    if (f->count == f->room) {
        size_t room = f->room ? f->room * 2 : 32;
        struct item *more = realloc(f->items, room * sizeof(*more));

        if (!more)
            return NULL;
        f->items = more;
        f->room = room;
    }
    f->items[f->count] = (struct item){.key = key};
    return &f->items[f->count++];
}

enum status fw_cfg_add_item(struct fw_cfg *f, uint16_t key, const void *bytes, size_t len,
                            struct error *err)
{
    struct item *item = find(f, key);
    uint8_t *copy;

    if (len > UINT32_MAX)
        return fail(err, ERR_LIMIT, "fw_cfg item %#x has %zu bytes; 4 GiB is the limit", key, len);
    copy = malloc(len ? len : 1);
    if (copy && !item)
        item = new_item(f, key);
    if (!copy || !item) {
        free(copy);
        return fail(err, ERR_NOMEM, "no memory for the %zu bytes of fw_cfg item %#x", len, key);
    }
    if (len)
        memcpy(copy, bytes, len);
    free(item->bytes);
    item->bytes = copy;
    item->len = len;
    return OK;
}

enum status fw_cfg_add_number(struct fw_cfg *f, uint16_t key, unsigned size, uint64_t value,
                              struct error *err)
{
    uint8_t bytes[8];

    store64(bytes, value);
    return fw_cfg_add_item(f, key, bytes, MIN(size, sizeof(bytes)), err);
}

static void store_be32(uint8_t *at, uint32_t v)
{
    store32(at, __builtin_bswap32(v));
}

/* Place of `name` in the directory, or the number of files. */
static unsigned file_index(const struct fw_cfg *f, const uint8_t *dir, const char *name)
{
    unsigned i = 0;

    while (i < f->files && strcmp((const char *)dir + 4 + i * DIR_ENTRY + 8, name))
        i++;
    return i;
}

enum status fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *bytes, size_t len,
                            struct error *err)
{
    uint8_t dir[4 + FW_CFG_MAX_FILES * DIR_ENTRY] = {0};
    const struct item *old = find(f, FW_CFG_FILE_DIR);
    uint8_t *entry;
    unsigned index;
    enum status st;

    memcpy(dir, old->bytes, old->len);
    index = file_index(f, dir, name);
    if (strlen(name) >= FW_CFG_FILE_NAME)
        return fail(err, ERR_LIMIT, "fw_cfg file name '%s' is longer than %d characters", name,
                    FW_CFG_FILE_NAME - 1);
    if (index == FW_CFG_MAX_FILES)
        return fail(err, ERR_LIMIT, "no room for fw_cfg file '%s': there are %d already", name,
                    FW_CFG_MAX_FILES);
    st = fw_cfg_add_item(f, (uint16_t)(FW_CFG_FILE_FIRST + index), bytes, len, err);
    if (st != OK)
        return st;
    entry = dir + 4 + index * DIR_ENTRY;
    store_be32(entry, (uint32_t)len);
    store16(entry + 4, __builtin_bswap16((uint16_t)(FW_CFG_FILE_FIRST + index)));
    memcpy(entry + 8, name, strlen(name));
    if (index == f->files)
        f->files++;
    store_be32(dir, f->files);
    return fw_cfg_add_item(f, FW_CFG_FILE_DIR, dir, 4 + f->files * DIR_ENTRY, err);
}

/* ---- the guest's side -------------------------------------------------------------------------
 */

static void select_item(struct fw_cfg *f, uint16_t key)
{
    f->selected = key;
    f->offset = 0;
}

/* The next `n` bytes of the selected item; zeros past its end and where there is no such item. */
static void take(struct fw_cfg *f, uint8_t *to, size_t n)
{
    const struct item *item = find(f, f->selected);
    size_t have = item && f->offset < item->len ? MIN(n, item->len - f->offset) : 0;

    if (have)
        memcpy(to, item->bytes + f->offset, have);
    memset(to + have, 0, n - have);
    f->offset += n;
}

static uint64_t port_read(void *dev, uint64_t off, unsigned size)
{
    uint8_t byte;

    if (off != 1)
        return UINT64_MAX;
    take(dev, &byte, 1);
    return byte;
}

static void port_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    if (off == 0 && size == 2)
        select_item(dev, (uint16_t)value);
}

static bool copy_out(struct fw_cfg *f, uint64_t gpa, uint32_t len)
{
    uint8_t chunk[4096];

    while (len) {
        uint32_t n = MIN(len, (uint32_t)sizeof(chunk));

        take(f, chunk, n);
        if (!dma_write(f->board, gpa, chunk, n))
            return false;
        gpa += n;
        len -= n;
    }
    return true;
}

static void run_descriptor(struct fw_cfg *f, uint64_t gpa)
{
    uint8_t raw[16], result[4] = {0};
    uint32_t ctl, len;
    uint64_t to;
    bool good = true;

    if (!dma_read(f->board, gpa, raw, sizeof(raw))) {
        if (tracing(TRACE_MMIO))
            trace(TRACE_MMIO, "fw_cfg descriptor at %#" PRIx64 ", where no memory is", gpa);
        return;
    }
    ctl = __builtin_bswap32(load32(raw));
    len = __builtin_bswap32(load32(raw + 4));
    to = __builtin_bswap64(load64(raw + 8));
    if (ctl & DMA_SELECT)
        select_item(f, (uint16_t)(ctl >> 16));
    if (ctl & DMA_READ)
        good = copy_out(f, to, len);
    else if (ctl & DMA_WRITE) /* no item may be written */
        good = false;
    else if (ctl & DMA_SKIP)
        f->offset += len;
    store_be32(result, good ? 0 : DMA_ERROR);
    if (!dma_write(f->board, gpa, result, sizeof(result)) && tracing(TRACE_MMIO))
        trace(TRACE_MMIO, "fw_cfg descriptor at %#" PRIx64 " cannot be written", gpa);
}

static uint64_t dma_port_read(void *dev, uint64_t off, unsigned size)
{
    static const uint8_t signature[8] = "QEMU CFG";
    uint64_t value = 0;

    memcpy(&value, signature + off, size);
    return value;
}

static void dma_port_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct fw_cfg *f = dev;
    uint32_t half = __builtin_bswap32((uint32_t)value);

    if (size != 4)
        return;
    if (off == 0) {
        f->dma_high = half;
    } else if (off == 4) {
        uint64_t gpa = (uint64_t)f->dma_high << 32 | half;

        f->dma_high = 0;
        run_descriptor(f, gpa);
    }
}

void fw_cfg_reset(struct fw_cfg *f)
{
    select_item(f, FW_CFG_SIGNATURE);
    f->dma_high = 0;
}

struct fw_cfg *fw_cfg_new(struct board *b, struct error *err)
{
    static const struct bus_ops ports = {port_read, port_write};
    static const struct bus_ops dma = {dma_port_read, dma_port_write};
    static const uint8_t no_files[4] = {0};
    struct fw_cfg *f = calloc(1, sizeof(*f));

    if (!f) {
        fail(err, ERR_NOMEM, "no memory for fw_cfg");
        return NULL;
    }
    f->board = b;
    if (fw_cfg_add_item(f, FW_CFG_SIGNATURE, "QEMU", 4, err) == OK &&
        fw_cfg_add_number(f, FW_CFG_ID, 4, ID_FEATURES, err) == OK &&
        fw_cfg_add_item(f, FW_CFG_FILE_DIR, no_files, sizeof(no_files), err) == OK &&
        bus_add(board_bus(b), BUS_PORTS, 0x510, 2, &ports, f, "fw_cfg", err) == OK &&
        bus_add(board_bus(b), BUS_PORTS, 0x514, 8, &dma, f, "fw_cfg dma", err) == OK)
        return f;
    fw_cfg_free(f);
    return NULL;
}

void fw_cfg_free(struct fw_cfg *f)
{
    if (!f)
        return;
    bus_remove(board_bus(f->board), BUS_PORTS, 0x510, f);
    bus_remove(board_bus(f->board), BUS_PORTS, 0x514, f);
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].bytes);
    free(f->items);
    free(f);
}
