/* The boot stub (src/guest/stub): a program that is launched with the small tables of a Linux
 * guest, instead of all its memory. The kernel and the initrd stay in memory that the host shares
 * with the guest, with their digests in a page that is measured; the rest of memory is the guest's
 * to validate. */
#include <string.h>

#include "base/bytes.h"
#include "crypto/digest.h"
#include "host/boot/place.h"

/* As src/guest/stub/stub.c reads it. */
#define STUB_MAGIC  UINT64_C(0x425453414343554C) /* "LUCCASTB" */
#define STUB_SPANS  96
#define STUB_MAX    0x10000u
#define SHARED_PML4 1 /* entry of the root for the addresses without the C-bit */

struct stub_info {
    uint64_t magic, entry, params;
    uint32_t spans, files;
    struct {
        uint64_t gpa, len;
    } span[STUB_SPANS];
    struct boot_handed file[BOOT_HANDED];
};

enum status boot_hand(struct boot_job *job, uint64_t gpa, const void *bytes, uint64_t len)
{
    struct boot_handed *f = &job->handed[job->handed_count];

    if (!job->req->stub)
        return OK;
    *f = (struct boot_handed){.gpa = gpa, .len = len};
    job->handed_count++;
    if (!sha256(f->sha256, bytes, len))
        return fail(job->err, ERR_NOMEM, "no memory for the digest of a file");
    return OK;
}

static enum status place_program(struct boot_job *job, uint64_t *entry)
{
    struct boot_job own = *job;
    struct elf elf;
    uint64_t end;
    enum status s = boot_read(job, "boot stub", job->req->stub, STUB_MAX, &own.kernel);

    if (s != OK)
        return s;
    if (!elf_magic(own.kernel.bytes, own.kernel.size))
        s = fail(job->err, ERR_FORMAT, "boot stub '%s': it is not an ELF file", job->req->stub);
    if (s == OK)
        s = elf_open(&own, &elf);
    if (s == OK)
        s = elf_place(&own, &elf, &end);
    *entry = s == OK ? elf.entry : 0;
    boot_file_free(&own.kernel);
    return s;
}

/* All memory in pages of 1 GiB, with the C-bit and once more without. */
static enum status place_tables(struct boot_job *job, uint64_t *root)
{
    const uint64_t leaf = 0xE3; /* present, writable, accessed, dirty, large */
    static uint64_t table[3][512];
    uint64_t at = boot_room(job, sizeof(table), 4096, 0xA0000, 4096, false);

    memset(table, 0, sizeof(table));
    table[0][0] = (at + 4096) | 3;
    table[0][SHARED_PML4] = (at + 2 * 4096) | 3;
    for (uint64_t i = 0; i < 512; i++) {
        table[1][i] = i << 30 | leaf | job->req->c_mask;
        table[2][i] = i << 30 | leaf;
    }
    return boot_place_low(job, table, sizeof(table), "stub's tables", root);
}

/* What nothing has been placed in. */
static enum status find_spans(struct boot_job *job, struct stub_info *info, uint64_t from,
                              uint64_t to)
{
    const struct boot_plan *p = job->plan;

    while (from < to) {
        const struct boot_region *next = NULL;

        for (unsigned i = 0; i < p->regions; i++)
            if (p->region[i].gpa + p->region[i].len > from && p->region[i].gpa < to &&
                (!next || p->region[i].gpa < next->gpa))
                next = &p->region[i];
        if (!next || next->gpa > from) {
            if (info->spans == STUB_SPANS)
                return fail(job->err, ERR_LIMIT, "more than %d pieces of memory", STUB_SPANS);
            info->span[info->spans].gpa = from;
            info->span[info->spans++].len = (next ? next->gpa : to) - from;
        }
        from = next ? next->gpa + next->len : to;
    }
    return OK;
}

enum status boot_stub(struct boot_job *job)
{
    struct boot_plan *p = job->plan;
    struct stub_info info = {.magic = STUB_MAGIC, .entry = p->start.rip, .params = p->start.rsi};
    uint64_t entry = 0, at = 0;

    if (!job->req->stub)
        return OK;
    if (!p->start.long_mode || !job->handed_count)
        return fail(job->err, ERR_UNSUPPORTED,
                    "kernel '%s': the boot stub starts a bzImage with a 64-bit entry",
                    job->req->kernel);
    if (place_program(job, &entry) != OK || place_tables(job, &p->start.cr3) != OK ||
        boot_place_low(job, &info, sizeof(info), "stub's list", &at) != OK)
        return job->err->code;
    for (unsigned i = 0; i < job->handed_count; i++)
        for (unsigned n = 0; n < p->regions; n++)
            if (p->region[n].gpa == job->handed[i].gpa)
                p->region[n].page = BOOT_SHARED;
    info.files = job->handed_count;
    memcpy(info.file, job->handed, sizeof(info.file));
    if (find_spans(job, &info, 0, job->req->ram_low) != OK ||
        find_spans(job, &info, BOOT_HIGH_RAM, job->req->ram_high) != OK)
        return job->err->code;
    if (!job->req->write(job->req->ctx, at, &info, sizeof(info)))
        return fail(job->err, ERR_STATE, "the boot stub's list cannot be written");
    p->start.rip = entry;
    p->start.rsi = at;
    return OK;
}
