/* Linux bzImage (Documentation/arch/x86/boot.rst of the kernel is the protocol's text).
 *
 * The kernel starts at its 64-bit entry with an identity map of the first 4 GiB made here. Under
 * SEV every leaf of that map carries the C-bit, so that the kernel finds what LAUNCH_UPDATE_DATA
 * encrypted; page walks are private in any case. An image without that entry starts at the 32-bit
 * one, paging off, where every access is private.
 */
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "host/boot/place.h"

/* Offsets in the setup header, which boot_params keeps at the same place. */
enum {
    ACPI_RSDP_ADDR = 0x070,
    EXT_RAMDISK_IMAGE = 0x0C0,
    E820_ENTRIES = 0x1E8,
    SETUP_SECTS = 0x1F1,
    SYSSIZE = 0x1F4, /* of what follows the setup part, in units of 16 bytes */
    BOOT_FLAG = 0x1FE,
    HEADER_LEN = 0x201,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    CODE32_START = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21C,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22C,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_MAX = 0x290,
    E820_TABLE = 0x2D0,
    PARAMS_SIZE = 0x1000,
};

#define LOADED_HIGH    0x01
#define XLF_KERNEL_64  0x01
#define XLF_ABOVE_4G   0x02
#define LOADER_UNKNOWN 0xFF /* no id assigned */

struct linux_image {
    const uint8_t *payload;
    size_t payload_len;
    uint16_t version;
    bool relocatable, entry64, initrd_high;
    uint64_t pref, align, span; /* `span`: what the kernel uses from its load address on */
    uint64_t initrd_max;        /* last address an initrd may use */
    uint32_t cmdline_max;
};

static enum status parse(struct boot_job *job, struct linux_image *img)
{
    const struct boot_file *k = &job->kernel;
    const uint8_t *h = k->bytes;
    uint32_t setup = h[SETUP_SECTS] ? h[SETUP_SECTS] : 4;
    uint64_t start = (uint64_t)(setup + 1) * 512;

    *img = (struct linux_image){.version = load16(h + VERSION)};
    if (k->size < HEADER_MAX || k->size <= start)
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': a bzImage cut short: its setup part says %" PRIu64
                    " bytes, the file has %zu",
                    k->path, start, k->size);
    if (img->version >= 0x0204 && (k->size - start) / 16 < load32(h + SYSSIZE))
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': a bzImage cut short: its header says %" PRIu64
                    " bytes, the file has %zu",
                    k->path, start + UINT64_C(16) * load32(h + SYSSIZE), k->size);
    if (img->version < 0x0203 || !(h[LOADFLAGS] & LOADED_HIGH))
        return fail(job->err, ERR_UNSUPPORTED,
                    "kernel '%s': boot protocol %u.%02u of a zImage or an old bzImage is not "
                    "supported; 2.03 and a kernel loaded high are needed",
                    k->path, img->version >> 8, img->version & 0xFF);
    img->payload = h + start;
    img->payload_len = k->size - start;
    img->pref = 0x100000;
    img->align = 0x200000;
    img->span = img->payload_len;
    img->initrd_max = load32(h + INITRD_ADDR_MAX);
    img->cmdline_max = 255;
    if (img->version >= 0x0205) {
        img->relocatable = h[RELOCATABLE];
        img->align = load32(h + KERNEL_ALIGNMENT);
    }
    if (img->version >= 0x0206)
        img->cmdline_max = load32(h + CMDLINE_SIZE);
    if (img->version >= 0x020A) {
        img->pref = load64(h + PREF_ADDRESS);
        img->span = MAX(img->span, load32(h + INIT_SIZE));
    }
    if (img->version >= 0x020C) {
        img->entry64 = load16(h + XLOADFLAGS) & XLF_KERNEL_64;
        img->initrd_high = load16(h + XLOADFLAGS) & XLF_ABOVE_4G;
    }
    if (img->align < 4096 || (img->align & (img->align - 1)) || img->align > 0x40000000)
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': its header asks for an alignment of %" PRIx64
                    ", which is no power of two between 4 KiB and 1 GiB",
                    k->path, img->align);
    if (img->entry64 && img->payload_len < 0x400)
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': a bzImage cut short: no room for its 64-bit entry", k->path);
    return OK;
}

/* The load address: where the kernel prefers to be, else the first aligned room that holds it. */
static enum status choose_base(struct boot_job *job, const struct linux_image *img, uint64_t *base)
{
    uint64_t top = job->req->ram_low;

    *base = img->pref;
    if (img->pref >= 0x100000 && img->pref <= top && top - img->pref >= img->span)
        return OK;
    if (img->relocatable)
        *base = boot_room(job, img->span, 0x100000, top, img->align, false);
    if (img->relocatable && *base)
        return OK;
    return fail(job->err, ERR_ARG,
                "kernel '%s': needs %" PRIu64 " MiB from %" PRIx64
                " on; give the guest more with --memory",
                job->req->kernel, (img->span + 0xFFFFF) >> 20, img->pref);
}

static enum status place_initrd(struct boot_job *job, const struct linux_image *img, uint64_t base,
                                uint8_t *params)
{
    const struct boot_request *req = job->req;
    uint64_t low = base + img->span, at;
    struct boot_file f;
    enum status s;

    if (!req->initrd)
        return OK;
    s = boot_read(job, "initrd", req->initrd, MAX(req->ram_low, req->ram_high - BOOT_HIGH_RAM), &f);
    if (s != OK)
        return s;
    at = boot_room(job, f.size, low, MIN(req->ram_low, img->initrd_max + 1), 4096, true);
    if (!at && img->initrd_high)
        at = boot_room(job, f.size, BOOT_HIGH_RAM, req->ram_high, 4096, false);
    if (!at)
        s = fail(job->err, ERR_ARG,
                 "initrd '%s': %zu MiB do not fit beside the kernel in the guest's memory; give "
                 "it more with --memory",
                 req->initrd, (f.size + 0xFFFFF) >> 20);
    else
        s = boot_place(job, at, f.bytes, f.size, f.size, "initrd");
    if (s == OK)
        s = boot_hand(job, at, f.bytes, f.size);
    if (s == OK) {
        store32(params + RAMDISK_IMAGE, (uint32_t)at);
        store32(params + RAMDISK_SIZE, (uint32_t)f.size);
        store32(params + EXT_RAMDISK_IMAGE, (uint32_t)(at >> 32));
        store32(params + EXT_RAMDISK_IMAGE + 4, (uint32_t)((uint64_t)f.size >> 32));
    }
    boot_file_free(&f);
    return s;
}

static enum status place_cmdline(struct boot_job *job, const struct linux_image *img,
                                 uint8_t *params)
{
    const char *line = job->req->append ? job->req->append : "";
    size_t len = strlen(line);
    uint64_t at;

    if (len > img->cmdline_max)
        return fail(job->err, ERR_ARG,
                    "--append: %zu characters; kernel '%s' takes %" PRIu32 " at most", len,
                    job->req->kernel, img->cmdline_max);
    if (boot_place_low(job, line, len + 1, "command line", &at) != OK)
        return job->err->code;
    store32(params + CMD_LINE_PTR, (uint32_t)at);
    return OK;
}

static enum status place_params(struct boot_job *job, uint64_t base, uint8_t *params)
{
    const struct boot_request *req = job->req;
    struct e820 map[E820_MAX];
    unsigned n = boot_e820(req->ram_low, req->ram_high, map);

    params[TYPE_OF_LOADER] = LOADER_UNKNOWN;
    params[LOADFLAGS] |= LOADED_HIGH;
    store32(params + CODE32_START, (uint32_t)base);
    store64(params + SETUP_DATA, job->plan->setup_data);
    store64(params + ACPI_RSDP_ADDR, req->rsdp);
    params[E820_ENTRIES] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *e = params + E820_TABLE + 20 * i;

        store64(e, map[i].base);
        store64(e + 8, map[i].size);
        store32(e + 16, map[i].type);
    }
    return boot_place_low(job, params, PARAMS_SIZE, "boot_params", &job->plan->start.rsi);
}

/* PML4, PDPT and four page directories of 2 MiB leaves: the first 4 GiB at their own addresses. */
static enum status place_page_tables(struct boot_job *job)
{
    const uint64_t present_rw = 3, large = BIT(7), accessed_dirty = BIT(5) | BIT(6);
    static uint64_t table[6][512];
    uint64_t at = boot_room(job, sizeof(table), 4096, 0xA0000, 4096, false);

    memset(table, 0, sizeof(table));
    table[0][0] = (at + 4096) | present_rw;
    for (unsigned i = 0; i < 4; i++)
        table[1][i] = (at + 4096 * (2 + i)) | present_rw;
    for (uint64_t i = 0; i < 4 * 512; i++)
        table[2 + i / 512][i % 512] =
            i << 21 | present_rw | large | accessed_dirty | job->req->c_mask;
    return boot_place_low(job, table, sizeof(table), "page tables", &job->plan->start.cr3);
}

enum status boot_linux(struct boot_job *job, bool *claimed)
{
    const struct boot_file *k = &job->kernel;
    struct boot_start *start = &job->plan->start;
    uint8_t params[PARAMS_SIZE] = {0};
    struct linux_image img;
    uint64_t base;
    size_t header_end;

    if (k->size < HEADER_MAX || load16(k->bytes + BOOT_FLAG) != 0xAA55 ||
        memcmp(k->bytes + HEADER_MAGIC, "HdrS", 4) != 0)
        return OK;
    *claimed = true;
    job->plan->format = "bzImage";
    if (parse(job, &img) != OK || choose_base(job, &img, &base) != OK)
        return job->err->code;

    header_end = MIN((size_t)HEADER_MAGIC + k->bytes[HEADER_LEN], (size_t)HEADER_MAX);
    memcpy(params + SETUP_SECTS, k->bytes + SETUP_SECTS, header_end - SETUP_SECTS);
    start->long_mode = img.entry64;
    start->rip = base + (img.entry64 ? 0x200 : 0);
    if (boot_place(job, base, img.payload, img.payload_len, img.payload_len, "kernel") != OK ||
        boot_hand(job, base, img.payload, img.payload_len) != OK ||
        place_initrd(job, &img, base, params) != OK || place_cmdline(job, &img, params) != OK ||
        place_params(job, base, params) != OK || boot_place_gdt(job) != OK)
        return job->err->code;
    return img.entry64 ? place_page_tables(job) : OK;
}
