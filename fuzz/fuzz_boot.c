/* Fuzzes the kernel loaders: the input is the kernel's file. What is loaded lies in memory, in
 * orderly launch regions, and starts in memory; all else is a named refusal. */
#include "rig.h"

#include <sys/mman.h>
#include <unistd.h>

#include "host/boot/loader.h"

#define RAM    (UINT64_C(48) << 20)
#define PAGES  (RAM >> 12)
#define C_MASK BIT(51)

static uint8_t written[PAGES];
static volatile uint8_t sink;

/* Keeps no bytes: reads each, for the sanitizer to see, and notes where they went. */
static bool take_bytes(void *ctx, uint64_t gpa, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint8_t sum = 0;

    if (gpa > RAM || len > RAM - gpa)
        return false;
    for (size_t i = 0; i < len; i++)
        sum ^= p[i];
    sink = sum;
    for (uint64_t page = gpa >> 12; len && page <= (gpa + len - 1) >> 12; page++)
        written[page] = 1;
    return true;
}

static void regions_are_orderly(const struct boot_plan *plan)
{
    uint64_t end = 0;

    MUST(plan->regions > 0 && plan->regions <= BOOT_REGIONS);
    for (unsigned i = 0; i < plan->regions; i++) {
        const struct boot_region *r = &plan->region[i];

        MUST(r->gpa >= end && r->len && r->gpa % 4096 == 0 && r->len % 4096 == 0);
        MUST(r->gpa <= RAM && r->len <= RAM - r->gpa);
        end = r->gpa + r->len;
        memset(written + (r->gpa >> 12), 0, r->len >> 12);
    }
    MUST(!memchr(written, 1, sizeof(written))); /* all that was written is launched */
    MUST(plan->start.rip < RAM);
}

static int file_of(const void *bytes, size_t len, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct boot_blob acpi = {BOOT_ACPI_BASE, "RSD PTR tables", 14, "ACPI tables"};
    char kernel[64], initrd[64], modules[192], append[64];
    struct boot_request req = {.kernel = kernel,
                               .append = append,
                               .ram_low = RAM,
                               .ram_high = BOOT_HIGH_RAM,
                               .blobs = &acpi,
                               .rsdp = BOOT_ACPI_BASE,
                               .write = take_bytes};
    struct boot_plan plan;
    struct error err;
    int fd, module;
    uint8_t how;

    if (!size)
        return 0;
    how = data[0];
    memset(written, 0, sizeof(written));
    memset(append, 'a', sizeof(append));
    append[how >> 3] = 0;
    fd = file_of(data + 1, size - 1, kernel);
    module = file_of("module", how & 1 ? 6 : 0, initrd);
    snprintf(modules, sizeof(modules), "%s one,%s two", initrd, initrd);
    req.initrd = how & 2 ? how & 4 ? modules : initrd : NULL;
    req.c_mask = how & 4 ? C_MASK : 0;
    req.blob_count = how & 1;
    memset(&plan, 0, sizeof(plan));
    err.text[0] = 0;
    if (boot_load(&req, &plan, &err) == OK)
        regions_are_orderly(&plan);
    else
        MUST(err.text[0]);
    close(fd);
    close(module);
    return 0;
}
