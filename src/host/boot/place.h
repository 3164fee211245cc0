/* What the loaders of each format share: files in memory, places in the guest, the first tables. */
#ifndef LUCCA_HOST_BOOT_PLACE_H
#define LUCCA_HOST_BOOT_PLACE_H

#include "host/boot/loader.h"

struct boot_file {
    const char *path; /* borrowed */
    uint8_t *bytes;
    size_t size;
};

/* A file that the boot stub takes over. */
#define BOOT_HANDED 4
struct boot_handed {
    uint64_t gpa, len;
    uint8_t sha256[32];
};

struct boot_job {
    const struct boot_request *req;
    struct boot_plan *plan;
    struct error *err;
    struct boot_file kernel;
    struct boot_handed handed[BOOT_HANDED];
    unsigned handed_count;
};

/* Reads a whole file of at most `max` bytes; `what` ("kernel", "initrd") is for the sentence. */
enum status boot_read(struct boot_job *job, const char *what, const char *path, uint64_t max,
                      struct boot_file *out) MUST_USE;
void boot_file_free(struct boot_file *f);

/* Puts `len` bytes at `gpa`, zeros up to `span` (at least `len`), and makes it a launch region. Two
 * ranges may share a page when they are parts of the same `what`. */
enum status boot_place(struct boot_job *job, uint64_t gpa, const void *bytes, uint64_t len,
                       uint64_t span, const char *what) MUST_USE;

/* Page-aligned free room in [from, to) of `size` bytes, lowest (or highest) first; 0 when none. */
uint64_t boot_room(const struct boot_job *job, uint64_t size, uint64_t from, uint64_t to,
                   uint64_t align, bool highest);

/* Places `len` bytes in the lowest free room below 640 KiB. */
enum status boot_place_low(struct boot_job *job, const void *bytes, uint64_t len, const char *what,
                           uint64_t *gpa) MUST_USE;

/* Zeros, and launch regions, wherever [from, to) has nothing yet. */
enum status boot_fill(struct boot_job *job, uint64_t from, uint64_t to, const char *what) MUST_USE;

enum status boot_place_gdt(struct boot_job *job) MUST_USE;

/* What guests with encrypted state find where there is no firmware (confidential.c). */
enum status boot_confidential(struct boot_job *job) MUST_USE;

/* With a boot stub (stub.c): notes a file that has been placed; puts the stub before the kernel. */
enum status boot_hand(struct boot_job *job, uint64_t gpa, const void *bytes, uint64_t len) MUST_USE;
enum status boot_stub(struct boot_job *job) MUST_USE;

/* Each format: `*claimed` false (and OK) where the file is not of it. */
typedef enum status boot_format(struct boot_job *job, bool *claimed);
boot_format boot_linux, boot_multiboot, boot_pvh;

/* Loads the PT_LOAD segments of a checked ELF image at their physical addresses. */
struct elf {
    const uint8_t *bytes;
    size_t size;
    bool wide; /* ELF64 */
    uint64_t entry;
    uint64_t phoff;
    unsigned phnum;
    uint64_t phentsize;
};
struct elf_segment {
    uint32_t type;
    uint64_t offset, paddr, filesz, memsz;
};
bool elf_magic(const uint8_t *bytes, size_t size);
enum status elf_open(struct boot_job *job, struct elf *elf) MUST_USE;
enum status elf_segment(struct boot_job *job, const struct elf *elf, unsigned i,
                        struct elf_segment *seg) MUST_USE;
enum status elf_place(struct boot_job *job, const struct elf *elf, uint64_t *end) MUST_USE;

#endif
