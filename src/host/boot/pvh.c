/* PVH: an ELF image whose Xen note names a 32-bit entry. It finds a start_info block in EBX, paging
 * off, flat segments (the x86/HVM direct boot ABI of the Xen project). */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "host/boot/place.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define START_MAGIC              0x336EC578u

struct start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
static_assert(sizeof(struct start_info) == 56, "version 1");

struct modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};

struct memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

static uint64_t align4(uint64_t n)
{
    return (n + 3) & ~UINT64_C(3);
}

/* Looks for the note in one PT_NOTE segment. */
static bool find_in_notes(const uint8_t *at, size_t size, uint64_t *entry)
{
    struct cursor c = cursor_over(at, size);

    while (c.left >= 12) {
        uint32_t namesz = cursor_u32(&c), descsz = cursor_u32(&c), type = cursor_u32(&c);
        const uint8_t *name = cursor_take(&c, align4(namesz));
        const uint8_t *desc = cursor_take(&c, MIN(align4(descsz), c.left));

        if (c.short_read || !name || !desc)
            return false;
        if (type != XEN_ELFNOTE_PHYS32_ENTRY || namesz != 4 || memcmp(name, "Xen", 4) != 0)
            continue;
        if (descsz != 4 && descsz != 8)
            return false;
        *entry = descsz == 8 ? load64(desc) : load32(desc);
        return true;
    }
    return false;
}

static enum status find_entry(struct boot_job *job, const struct elf *elf, bool *found,
                              uint64_t *entry)
{
    for (unsigned i = 0; i < elf->phnum && !*found; i++) {
        struct elf_segment seg;

        if (elf_segment(job, elf, i, &seg) != OK)
            return job->err->code;
        if (seg.type == PT_NOTE)
            *found = find_in_notes(elf->bytes + seg.offset, seg.filesz, entry);
    }
    return OK;
}

static enum status place_module(struct boot_job *job, uint64_t kernel_end, struct start_info *info)
{
    const struct boot_request *req = job->req;
    struct modlist_entry mod = {0};
    struct boot_file f;
    enum status s;

    if (!req->initrd)
        return OK;
    s = boot_read(job, "initrd", req->initrd, req->ram_low, &f);
    if (s != OK)
        return s;
    mod.size = f.size;
    mod.paddr = boot_room(job, f.size, kernel_end, req->ram_low, 4096, true);
    if (!mod.paddr)
        s = fail(job->err, ERR_ARG,
                 "initrd '%s': %zu MiB do not fit beside the kernel in the guest's memory; give "
                 "it more with --memory",
                 req->initrd, (f.size + 0xFFFFF) >> 20);
    else
        s = boot_place(job, mod.paddr, f.bytes, f.size, f.size, "initrd");
    boot_file_free(&f);
    if (s != OK)
        return s;
    info->nr_modules = 1;
    return boot_place_low(job, &mod, sizeof(mod), "module list", &info->modlist_paddr);
}

static enum status place_memmap(struct boot_job *job, struct start_info *info)
{
    struct memmap_entry out[E820_MAX] = {0};
    struct e820 map[E820_MAX];

    info->memmap_entries = boot_e820(job->req->ram_low, job->req->ram_high, map);
    for (unsigned i = 0; i < info->memmap_entries; i++)
        out[i] = (struct memmap_entry){map[i].base, map[i].size, map[i].type, 0};
    return boot_place_low(job, out, info->memmap_entries * sizeof(out[0]), "memory map",
                          &info->memmap_paddr);
}

enum status boot_pvh(struct boot_job *job, bool *claimed)
{
    const struct boot_request *req = job->req;
    const char *line = req->append ? req->append : "";
    struct start_info info = {.magic = START_MAGIC, .version = 1, .rsdp_paddr = req->rsdp};
    struct boot_start *start = &job->plan->start;
    uint64_t entry = 0, end;
    bool found = false;
    struct elf elf;

    if (!elf_magic(job->kernel.bytes, job->kernel.size))
        return OK;
    if (elf_open(job, &elf) != OK || find_entry(job, &elf, &found, &entry) != OK)
        return job->err->code;
    if (!found)
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': an ELF file with neither a PVH entry note nor a multiboot "
                    "header that a 32-bit loader can use",
                    req->kernel);
    *claimed = true;
    job->plan->format = "PVH ELF";
    if (elf_place(job, &elf, &end) != OK)
        return job->err->code;
    if (entry >= req->ram_low)
        return fail(job->err, ERR_FORMAT,
                    "kernel '%s': its PVH entry %" PRIx64 " is outside the guest's memory",
                    req->kernel, entry);
    start->rip = entry;
    if (place_module(job, end, &info) != OK || place_memmap(job, &info) != OK ||
        boot_place_low(job, line, strlen(line) + 1, "command line", &info.cmdline_paddr) != OK ||
        boot_place_low(job, &info, sizeof(info), "start_info", &start->rbx) != OK)
        return job->err->code;
    return boot_place_gdt(job);
}
