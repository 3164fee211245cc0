/* Multiboot 1 (GNU multiboot specification 0.6.96): a 32-bit ELF image, or any file that gives its
 * load addresses in the header. The modules are --initrd "file args,file args". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/boot/place.h"

#define HEADER_MAGIC 0x1BADB002u
#define LOADER_MAGIC 0x2BADB002u
#define SEARCH_BYTES 8192u
#define FLAG_ADDRESS (1u << 16)
#define FLAGS_REFUSED                                                                              \
    0x0000FFF8u /* bits below 16 that a loader must understand; 0..2 are known                     \
                 */
#define MODULES_MAX 48u

#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MMAP    (1u << 6)
#define INFO_LOADER  (1u << 9)

struct mb_header {
    size_t offset;
    uint32_t flags, header_addr, load_addr, load_end, bss_end, entry;
};

struct mb_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, loader_name;
    uint32_t apm_table, vbe[4];
};
static_assert(sizeof(struct mb_info) == 88, "multiboot 3.3");

struct mb_module {
    uint32_t start, end, string, reserved;
};

struct mb_mmap {
    uint32_t size, base_lo, base_hi, len_lo, len_hi, type;
};

static bool find_header(const struct boot_file *k, struct mb_header *h)
{
    size_t end = MIN(k->size, (size_t)SEARCH_BYTES);

    for (size_t at = 0; at + 12 <= end; at += 4) {
        const uint8_t *p = k->bytes + at;
        struct cursor c = cursor_over(p + 12, k->size - at - 12);

        if (load32(p) != HEADER_MAGIC || load32(p) + load32(p + 4) + load32(p + 8) != 0)
            continue;
        *h = (struct mb_header){.offset = at, .flags = load32(p + 4)};
        h->header_addr = cursor_u32(&c);
        h->load_addr = cursor_u32(&c);
        h->load_end = cursor_u32(&c);
        h->bss_end = cursor_u32(&c);
        h->entry = cursor_u32(&c);
        return !(h->flags & FLAG_ADDRESS) || !c.short_read;
    }
    return false;
}

static enum status bad(struct boot_job *job, const char *why)
{
    return fail(job->err, ERR_FORMAT, "kernel '%s': a broken multiboot image: %s", job->kernel.path,
                why);
}

/* The file's own addresses (multiboot 3.1.3). */
static enum status place_flat(struct boot_job *job, const struct mb_header *h, uint64_t *end)
{
    const struct boot_file *k = &job->kernel;
    uint64_t offset, len, span;

    if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > h->offset)
        return bad(job, "its header says it lies before the loaded part");
    offset = h->offset - (h->header_addr - h->load_addr);
    len = h->load_end ? (uint64_t)h->load_end - h->load_addr : k->size - offset;
    if ((h->load_end && h->load_end < h->load_addr) || len > k->size - offset)
        return bad(job, "it says it loads more than the file has");
    span = len;
    if (h->bss_end) {
        if (h->bss_end < h->load_addr + len)
            return bad(job, "its bss ends before its data");
        span = (uint64_t)h->bss_end - h->load_addr;
    }
    *end = h->load_addr + span;
    return boot_place(job, h->load_addr, k->bytes + offset, len, span, "kernel");
}

static enum status place_module(struct boot_job *job, char *spec, uint64_t from,
                                struct mb_module *mod, const char *what)
{
    const struct boot_request *req = job->req;
    size_t path_len = strcspn(spec, " ");
    char *path = strndup(spec, path_len);
    struct boot_file f = {0};
    uint64_t at, string;
    enum status s;

    if (!path)
        return fail(job->err, ERR_NOMEM, "no memory to load modules");
    s = boot_read(job, "module", path, req->ram_low, &f);
    if (s == OK) {
        at = boot_room(job, f.size, from, req->ram_low, 4096, false);
        if (!at)
            s = fail(job->err, ERR_ARG,
                     "module '%s': no room for it in the guest's memory; give it more with "
                     "--memory",
                     path);
        else
            s = boot_place(job, at, f.bytes, f.size, f.size, what);
        mod->start = (uint32_t)at;
        mod->end = (uint32_t)(at + f.size);
    }
    if (s == OK)
        s = boot_place_low(job, spec, strlen(spec) + 1, "module string", &string);
    if (s == OK)
        mod->string = (uint32_t)string;
    boot_file_free(&f);
    free(path);
    return s;
}

static enum status place_modules(struct boot_job *job, uint64_t from, struct mb_info *info)
{
    struct mb_module mods[MODULES_MAX] = {0};
    char *specs, *save = NULL;
    enum status s = OK;
    uint64_t at;

    if (!job->req->initrd)
        return OK;
    specs = strdup(job->req->initrd);
    if (!specs)
        return fail(job->err, ERR_NOMEM, "no memory to load modules");
    for (char *m = strtok_r(specs, ",", &save); m && s == OK; m = strtok_r(NULL, ",", &save)) {
        if (info->mods_count == MODULES_MAX)
            s = fail(job->err, ERR_LIMIT, "--initrd names more than %u modules", MODULES_MAX);
        else
            s = place_module(job, m, from, &mods[info->mods_count++], "module");
    }
    free(specs);
    if (s != OK || !info->mods_count)
        return s;
    s = boot_place_low(job, mods, info->mods_count * sizeof(mods[0]), "module list", &at);
    info->mods_addr = (uint32_t)at;
    info->flags |= INFO_MODULES;
    return s;
}

static enum status place_mmap(struct boot_job *job, struct mb_info *info)
{
    struct mb_mmap out[E820_MAX];
    struct e820 map[E820_MAX];
    unsigned n = boot_e820(job->req->ram_low, job->req->ram_high, map);
    uint64_t at;

    for (unsigned i = 0; i < n; i++)
        out[i] = (struct mb_mmap){
            sizeof(out[0]) - 4,    (uint32_t)map[i].base,         (uint32_t)(map[i].base >> 32),
            (uint32_t)map[i].size, (uint32_t)(map[i].size >> 32), map[i].type};
    if (boot_place_low(job, out, n * sizeof(out[0]), "memory map", &at) != OK)
        return job->err->code;
    info->mmap_addr = (uint32_t)at;
    info->mmap_length = (uint32_t)(n * sizeof(out[0]));
    info->flags |= INFO_MMAP;
    return OK;
}

/* The command line starts with the kernel's own name, as GRUB and QEMU give it. */
static enum status place_strings(struct boot_job *job, struct mb_info *info)
{
    static const char loader[] = "lucca";
    const char *append = job->req->append;
    size_t len = strlen(job->req->kernel) + (append ? strlen(append) : 0) + 2;
    char *line = malloc(len);
    uint64_t at = 0, name = 0;
    enum status s;

    if (!line)
        return fail(job->err, ERR_NOMEM, "no memory for the command line");
    snprintf(line, len, "%s%s%s", job->req->kernel, append && *append ? " " : "",
             append ? append : "");
    s = boot_place_low(job, line, strlen(line) + 1, "command line", &at);
    if (s == OK)
        s = boot_place_low(job, loader, sizeof(loader), "loader name", &name);
    info->cmdline = (uint32_t)at;
    info->loader_name = (uint32_t)name;
    info->flags |= INFO_CMDLINE | INFO_LOADER;
    free(line);
    return s;
}

static enum status place_image(struct boot_job *job, const struct mb_header *h, uint64_t *end)
{
    struct elf elf;

    if (h->flags & FLAG_ADDRESS) {
        job->plan->start.rip = h->entry;
        return place_flat(job, h, end);
    }
    if (elf_open(job, &elf) != OK)
        return job->err->code;
    job->plan->start.rip = elf.entry;
    return elf_place(job, &elf, end);
}

/* Multiboot 1 cannot start an ELF64 image without load addresses; PVH may. */
static bool usable(const struct boot_file *k, const struct mb_header *h)
{
    const unsigned elf_class = 4, elf_32bit = 1;

    if (h->flags & FLAG_ADDRESS)
        return true;
    return elf_magic(k->bytes, k->size) && k->bytes[elf_class] == elf_32bit;
}

enum status boot_multiboot(struct boot_job *job, bool *claimed)
{
    struct boot_start *start = &job->plan->start;
    struct mb_info info = {.flags = INFO_MEMORY};
    struct mb_header h;
    uint64_t end;

    if (!find_header(&job->kernel, &h) || !usable(&job->kernel, &h))
        return OK;
    *claimed = true;
    job->plan->format = "multiboot";
    if (h.flags & FLAGS_REFUSED)
        return fail(job->err, ERR_UNSUPPORTED,
                    "kernel '%s': its multiboot header asks for features %08" PRIx32
                    " that this loader does not have",
                    job->req->kernel, h.flags & FLAGS_REFUSED);
    if (place_image(job, &h, &end) != OK)
        return job->err->code;
    info.mem_lower = 640;
    info.mem_upper = (uint32_t)((job->req->ram_low - 0x100000) >> 10);
    if (start->rip >= job->req->ram_low)
        return bad(job, "its entry is outside the guest's memory");
    start->rax = LOADER_MAGIC;
    if (place_modules(job, MAX(end, UINT64_C(0x100000)), &info) != OK ||
        place_mmap(job, &info) != OK || place_strings(job, &info) != OK ||
        boot_place_low(job, &info, sizeof(info), "multiboot info", &start->rbx) != OK)
        return job->err->code;
    return boot_place_gdt(job);
}
