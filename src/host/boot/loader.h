/* Direct boot: puts a kernel, its initrd or modules, its command line and the tables it reads at
 * the start into a guest's memory, as a loader with the host's view of memory would, and says where
 * the first vCPU begins. Formats are told by content: Linux bzImage, multiboot 1 and PVH ELF.
 *
 * Every byte the guest needs at its start lies in a launch region: page-aligned ranges, ascending,
 * never overlapping. Under SEV they are what LAUNCH_UPDATE_DATA measures and encrypts, in that
 * order; bytes of a region that no part of an image fills are zero.
 */
#ifndef LUCCA_HOST_BOOT_LOADER_H
#define LUCCA_HOST_BOOT_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define BOOT_REGIONS  64
#define BOOT_HIGH_RAM (UINT64_C(1) << 32)

/* Bytes that others made and that have their own place: ACPI tables. */
struct boot_blob {
    uint64_t gpa;
    const void *bytes;
    size_t len;
    const char *what;
};

struct boot_request {
    const char *kernel;
    const char *initrd; /* NULL: none; for multiboot "file args,file args" */
    const char *append; /* NULL: empty */

    uint64_t ram_low;  /* RAM is [0, ram_low) ... */
    uint64_t ram_high; /* ... and [4 GiB, ram_high); 4 GiB when there is none */
    uint64_t c_mask;   /* the C-bit as leaf page table entries carry it; 0 without SEV */
    bool snp;          /* SEV-SNP: with the pages and the blob that firmware would hand over */
    const char *stub;  /* SEV-SNP: a program that validates memory and checks files; or NULL */
    bool park_aps;     /* SEV-ES: with what the other processors begin with */

    const struct boot_blob *blobs;
    unsigned blob_count;
    uint64_t rsdp; /* of the ACPI tables among the blobs; 0 without */

    /* Writes as the host does, at a guest physical address; false outside RAM. */
    bool (*write)(void *ctx, uint64_t gpa, const void *bytes, size_t len);
    void *ctx;
};

/* What a launch region is to be launched as. */
enum boot_page {
    BOOT_MEASURED,
    BOOT_CPUID,   /* SEV-SNP: the firmware checks the CPUID table that it holds */
    BOOT_SECRETS, /* SEV-SNP: the firmware fills it */
    BOOT_SHARED,  /* SEV-SNP with a boot stub: not launched, the guest takes it over */
};

struct boot_region {
    uint64_t gpa, len;
    const char *what;
    enum boot_page page;
};

/* Where and how the boot processor begins. 32-bit: flat segments, paging off. 64-bit: CR3 and long
 * mode are on. Selectors are 10h (code) and 18h (data) in a GDT at `gdt`. */
struct boot_start {
    bool long_mode;
    uint64_t rip, rsp, rax, rbx, rsi, cr3, gdt;
};

struct boot_plan {
    const char *format; /* "bzImage", "multiboot", "PVH ELF" */
    struct boot_start start;
    uint64_t ap_code;       /* SEV-ES: where the others begin, in real mode; 0: nowhere */
    uint64_t ap_jump_table; /* SEV-ES: whence they go on (GHCB 2.03, 4.1.4) */
    uint64_t setup_data;    /* SEV-SNP: first node of Linux' list, the one with the blob */
    struct boot_region region[BOOT_REGIONS];
    unsigned regions;
};

enum status boot_load(const struct boot_request *req, struct boot_plan *plan,
                      struct error *err) MUST_USE;

/* The guest's memory map as every format hands it over (types as in ACPI 6.5, 15). */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
struct e820 {
    uint64_t base, size;
    uint32_t type;
};
#define E820_MAX 8
unsigned boot_e820(uint64_t ram_low, uint64_t ram_high, struct e820 map[E820_MAX]);

/* Where ACPI tables may lie: below 1 MiB, E820 type 3, so that Linux maps them with the C-bit. The
 * pages of confidential guests are at its end, for the same reason. */
#define BOOT_ACPI_BASE 0xE0000u
#define BOOT_ACPI_END  0x100000u

#define BOOT_AP_CODE       0xFB000u
#define BOOT_AP_JUMP_TABLE 0xFC000u
#define BOOT_CPUID_PAGE    0xFD000u
#define BOOT_SECRETS_PAGE  0xFE000u
#define BOOT_BLOB_PAGE     0xFF000u

#endif
