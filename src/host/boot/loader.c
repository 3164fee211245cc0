/* Direct boot: which format a kernel file has, and what all formats have in common. */
#include "host/boot/loader.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "host/boot/place.h"

#define ECAM_BASE UINT64_C(0xB0000000)
#define ECAM_SIZE UINT64_C(0x10000000)

/* What kernels search for the tables of firmware: they find zeros, under SEV too, and not what the
 * ciphertext of zeros decrypts to. */
#define LEGACY_BASE UINT64_C(0x80000)
#define LEGACY_END  UINT64_C(0x100000)

unsigned boot_e820(uint64_t ram_low, uint64_t ram_high, struct e820 map[E820_MAX])
{
    unsigned n = 0;

    map[n++] = (struct e820){0, MIN(ram_low, UINT64_C(0xA0000)), E820_RAM};
    map[n++] = (struct e820){BOOT_ACPI_BASE, BOOT_ACPI_END - BOOT_ACPI_BASE, E820_ACPI};
    map[n++] = (struct e820){0x100000, ram_low - 0x100000, E820_RAM};
    map[n++] = (struct e820){ECAM_BASE, ECAM_SIZE, E820_RESERVED};
    if (ram_high > BOOT_HIGH_RAM)
        map[n++] = (struct e820){BOOT_HIGH_RAM, ram_high - BOOT_HIGH_RAM, E820_RAM};
    return n;
}

static int by_address(const void *a, const void *b)
{
    const struct boot_region *x = a, *y = b;

    return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

static enum status unknown_format(struct boot_job *job)
{
    const struct boot_file *k = &job->kernel;
    char hex[3 * 8 + 2] = "";

    for (size_t i = 0; i < MIN(k->size, (size_t)8); i++)
        snprintf(hex + 3 * i, 5, " %02x", k->bytes[i]);
    return fail(job->err, ERR_FORMAT,
                "kernel '%s': the file is not a bzImage, PVH ELF or multiboot image (its first "
                "bytes are%s)",
                k->path, hex);
}

static enum status place_blobs(struct boot_job *job)
{
    const struct boot_request *req = job->req;

    for (unsigned i = 0; i < req->blob_count; i++) {
        const struct boot_blob *b = &req->blobs[i];

        if (boot_place(job, b->gpa, b->bytes, b->len, b->len, b->what) != OK)
            return job->err->code;
    }
    /* The BIOS data area: zeros, where a kernel looks for an EBDA and the size of low memory. */
    return boot_place(job, 0, NULL, 0, 4096, "BIOS data area");
}

static enum status load(struct boot_job *job)
{
    /* In QEMU's order: an image that is both multiboot and PVH is taken as multiboot. */
    static boot_format *const formats[] = {boot_linux, boot_multiboot, boot_pvh};
    enum status s = place_blobs(job);

    if (s == OK)
        s = boot_confidential(job);
    if (s != OK)
        return s;
    for (size_t i = 0; i < COUNT(formats); i++) {
        bool claimed = false;

        s = formats[i](job, &claimed);
        if (s == OK && claimed)
            s = boot_fill(job, LEGACY_BASE, LEGACY_END, "legacy area");
        if (s == OK && claimed)
            return boot_stub(job);
        if (s != OK)
            return s;
    }
    return unknown_format(job);
}

enum status boot_load(const struct boot_request *req, struct boot_plan *plan, struct error *err)
{
    struct error local;
    struct boot_job job = {.req = req, .plan = plan, .err = err ? err : &local};
    enum status s;

    *plan = (struct boot_plan){0};
    if (req->ram_low < 0x200000)
        return fail(err, ERR_ARG, "direct boot needs at least 2 MiB of memory");
    s = boot_read(&job, "kernel", req->kernel, req->ram_low, &job.kernel);
    if (s != OK)
        return s;
    s = load(&job);
    boot_file_free(&job.kernel);
    if (s == OK)
        qsort(plan->region, plan->regions, sizeof(plan->region[0]), by_address);
    return s;
}
