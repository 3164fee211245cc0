/* What the loader told: multiboot 1 (specification 0.6.96, 3.3) and PVH (x86/HVM direct boot ABI).
 */
#include "guest/probe/probe.h"

#define MULTIBOOT_LOADER 0x2BADB002u
#define RAM              1u

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr;
};
struct multiboot_module {
    uint32_t start, end, string, reserved;
};
struct multiboot_range {
    uint32_t size;
    uint64_t base, length;
    uint32_t type;
} __attribute__((packed));

struct pvh_info {
    uint32_t magic, version, flags, modules;
    uint64_t modlist, cmdline, rsdp, memmap;
    uint32_t memmap_entries, reserved;
};
struct pvh_module {
    uint64_t start, size, cmdline, reserved;
};
struct pvh_range {
    uint64_t base, length;
    uint32_t type, reserved;
};

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static void from_multiboot(const struct multiboot_info *info, struct boot_facts *out)
{
    const struct multiboot_module *mods = at(info->mods_addr);
    uint64_t p = info->mmap_addr, end = p + info->mmap_length;
    char image[256];

    out->format = "multiboot";
    out->line = info->flags & 4 ? at(info->cmdline) : "";
    next_word(&out->line, image, sizeof(image));
    out->modules = info->flags & 8 ? info->mods_count : 0;
    for (unsigned i = 0; i < out->modules && i < 8; i++)
        out->module[i] =
            (struct module){at(mods[i].start), mods[i].end - mods[i].start, at(mods[i].string)};
    while (info->flags & 64 && p < end) {
        const struct multiboot_range *r = at(p);

        out->ram += r->type == RAM ? r->length : 0;
        p += r->size + 4;
    }
}

static void from_pvh(const struct pvh_info *info, struct boot_facts *out)
{
    const struct pvh_module *mods = at(info->modlist);
    const struct pvh_range *map = at(info->memmap);

    out->format = info->magic == 0x336EC578 ? "PVH" : "nothing known";
    out->line = info->cmdline ? at(info->cmdline) : "";
    out->modules = info->modules;
    for (unsigned i = 0; i < out->modules && i < 8; i++)
        out->module[i] = (struct module){at(mods[i].start), mods[i].size, ""};
    for (unsigned i = 0; i < info->memmap_entries; i++)
        out->ram += map[i].type == RAM ? map[i].length : 0;
}

void boot_facts(uint32_t eax, uint32_t ebx, struct boot_facts *out)
{
    memset(out, 0, sizeof(*out));
    if (eax == MULTIBOOT_LOADER)
        from_multiboot(at(ebx), out);
    else
        from_pvh(at(ebx), out);
    while (*out->line == ' ')
        out->line++;
}
