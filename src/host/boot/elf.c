/* ELF images of both widths: checked headers, and segments at their physical addresses. */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "host/boot/place.h"

bool elf_magic(const uint8_t *bytes, size_t size)
{
    return size >= EI_NIDENT && !memcmp(bytes, ELFMAG, SELFMAG);
}

static enum status bad(struct boot_job *job, const char *why)
{
    return fail(job->err, ERR_FORMAT, "kernel '%s': a broken ELF file: %s", job->kernel.path, why);
}

enum status elf_open(struct boot_job *job, struct elf *elf)
{
    const struct boot_file *k = &job->kernel;

    *elf = (struct elf){.bytes = k->bytes, .size = k->size};
    elf->wide = k->bytes[EI_CLASS] == ELFCLASS64;
    if (k->bytes[EI_DATA] != ELFDATA2LSB || (!elf->wide && k->bytes[EI_CLASS] != ELFCLASS32))
        return bad(job, "it is not little-endian of 32 or 64 bits");
    if (k->size < (elf->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return bad(job, "its header is cut short");
    if (elf->wide) {
        Elf64_Ehdr h;

        memcpy(&h, k->bytes, sizeof(h));
        elf->entry = h.e_entry;
        elf->phoff = h.e_phoff;
        elf->phnum = h.e_phnum;
        elf->phentsize = h.e_phentsize;
    } else {
        Elf32_Ehdr h;

        memcpy(&h, k->bytes, sizeof(h));
        elf->entry = h.e_entry;
        elf->phoff = h.e_phoff;
        elf->phnum = h.e_phnum;
        elf->phentsize = h.e_phentsize;
    }
    if (elf->phentsize != (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return bad(job, "its program headers have an unknown size");
    if (elf->phoff > k->size || elf->phnum * elf->phentsize > k->size - elf->phoff)
        return bad(job, "its program headers lie outside the file");
    return OK;
}

enum status elf_segment(struct boot_job *job, const struct elf *elf, unsigned i,
                        struct elf_segment *seg)
{
    const uint8_t *at = elf->bytes + elf->phoff + i * elf->phentsize;

    if (elf->wide) {
        Elf64_Phdr p;

        memcpy(&p, at, sizeof(p));
        *seg = (struct elf_segment){p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz};
    } else {
        Elf32_Phdr p;

        memcpy(&p, at, sizeof(p));
        *seg = (struct elf_segment){p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz};
    }
    if (seg->type != PT_LOAD && seg->type != PT_NOTE)
        return OK;
    if (seg->offset > elf->size || seg->filesz > elf->size - seg->offset)
        return bad(job, "a segment lies outside the file");
    if (seg->type == PT_LOAD && seg->memsz < seg->filesz)
        return bad(job, "a segment is smaller in memory than in the file");
    return OK;
}

enum status elf_place(struct boot_job *job, const struct elf *elf, uint64_t *end)
{
    *end = 0;
    for (unsigned i = 0; i < elf->phnum; i++) {
        struct elf_segment seg;

        if (elf_segment(job, elf, i, &seg) != OK)
            return job->err->code;
        if (seg.type != PT_LOAD || !seg.memsz)
            continue;
        if (boot_place(job, seg.paddr, elf->bytes + seg.offset, seg.filesz, seg.memsz, "kernel") !=
            OK)
            return job->err->code;
        *end = MAX(*end, seg.paddr + seg.memsz);
    }
    return *end ? OK : bad(job, "it has nothing to load");
}
