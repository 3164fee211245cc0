/* Files, free room and launch regions: what every image format needs of the loader. */
#include "host/boot/place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"

#define PAGE    UINT64_C(4096)
#define LOW_END UINT64_C(0xA0000)

static uint64_t page_down(uint64_t a)
{
    return a & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t a)
{
    return page_down(a + PAGE - 1);
}

static enum status read_all(int fd, struct boot_file *f)
{
    size_t done = 0;

    while (done < f->size) {
        ssize_t n = read(fd, f->bytes + done, f->size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0) {
            errno = EIO; /* it shrank under us */
            return ERR_IO;
        }
        done += (size_t)n;
    }
    return OK;
}

static enum status read_open(struct boot_job *job, const char *what, int fd, uint64_t max,
                             struct boot_file *f)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return fail(job->err, ERR_IO, "%s '%s': %s", what, f->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(job->err, ERR_ARG, "%s '%s': not a regular file", what, f->path);
    if (st.st_size <= 0)
        return fail(job->err, ERR_FORMAT, "%s '%s': the file is empty", what, f->path);
    if ((uint64_t)st.st_size > max)
        return fail(job->err, ERR_ARG,
                    "%s '%s': %" PRIu64 " MiB do not fit into the guest's memory; give it more "
                    "with --memory",
                    what, f->path, ((uint64_t)st.st_size + 0xFFFFF) >> 20);
    f->size = (size_t)st.st_size;
    f->bytes = malloc(f->size);
    if (!f->bytes)
        return fail(job->err, ERR_NOMEM, "%s '%s': no memory on this machine to read it", what,
                    f->path);
    if (read_all(fd, f) != OK)
        return fail(job->err, ERR_IO, "%s '%s': %s", what, f->path, strerror(errno));
    return OK;
}

enum status boot_read(struct boot_job *job, const char *what, const char *path, uint64_t max,
                      struct boot_file *out)
{
    enum status s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *out = (struct boot_file){.path = path};
    if (fd < 0)
        return fail(job->err, ERR_IO, "%s '%s': %s", what, path, strerror(errno));
    s = read_open(job, what, fd, max, out);
    close(fd);
    if (s != OK)
        boot_file_free(out);
    return s;
}

void boot_file_free(struct boot_file *f)
{
    free(f->bytes);
    f->bytes = NULL;
}

static bool in_ram(const struct boot_request *req, uint64_t gpa, uint64_t len)
{
    if (gpa + len < gpa)
        return false;
    return gpa + len <= req->ram_low || (gpa >= BOOT_HIGH_RAM && gpa + len <= req->ram_high);
}

static struct boot_region *overlapping(const struct boot_job *job, uint64_t gpa, uint64_t end)
{
    struct boot_plan *p = job->plan;

    for (unsigned i = 0; i < p->regions; i++)
        if (gpa < p->region[i].gpa + p->region[i].len && p->region[i].gpa < end)
            return &p->region[i];
    return NULL;
}

/* Registers the pages of [gpa, end), merged with parts of the same thing that share a page. */
static enum status add_region(struct boot_job *job, uint64_t gpa, uint64_t end, const char *what)
{
    struct boot_plan *p = job->plan;
    struct boot_region *r;

    gpa = page_down(gpa);
    end = page_up(end);
    while ((r = overlapping(job, gpa, end))) {
        if (strcmp(r->what, what) != 0)
            return fail(job->err, ERR_FORMAT,
                        "kernel '%s': its %s at %" PRIx64 " lies on its %s at %" PRIx64,
                        job->req->kernel, what, gpa, r->what, r->gpa);
        gpa = MIN(gpa, r->gpa);
        end = MAX(end, r->gpa + r->len);
        *r = p->region[--p->regions];
    }
    if (p->regions == BOOT_REGIONS)
        return fail(job->err, ERR_LIMIT, "kernel '%s': more than %d separate parts to load",
                    job->req->kernel, BOOT_REGIONS);
    p->region[p->regions++] = (struct boot_region){gpa, end - gpa, what, BOOT_MEASURED};
    return OK;
}

static bool write_zeros(const struct boot_request *req, uint64_t gpa, uint64_t len)
{
    static const uint8_t zeros[4096];

    while (len) {
        uint64_t n = MIN(len, sizeof(zeros));

        if (!req->write(req->ctx, gpa, zeros, n))
            return false;
        gpa += n;
        len -= n;
    }
    return true;
}

enum status boot_place(struct boot_job *job, uint64_t gpa, const void *bytes, uint64_t len,
                       uint64_t span, const char *what)
{
    const struct boot_request *req = job->req;

    if (!span)
        return OK;
    if (!in_ram(req, gpa, span))
        return fail(job->err, ERR_ARG,
                    "kernel '%s': its %s needs %" PRIu64 " KiB at %" PRIx64
                    ", which is not in the guest's memory; give it more with --memory",
                    req->kernel, what, (span + 1023) >> 10, gpa);
    if (add_region(job, gpa, gpa + span, what) != OK)
        return job->err->code;
    if ((len && !req->write(req->ctx, gpa, bytes, len)) || !write_zeros(req, gpa + len, span - len))
        return fail(job->err, ERR_ARG, "kernel '%s': its %s at %" PRIx64 " cannot be written",
                    req->kernel, what, gpa);
    if (tracing(TRACE_BOOT))
        trace(TRACE_BOOT, "%-16s %9" PRIx64 " .. %9" PRIx64, what, gpa, gpa + span - 1);
    return OK;
}

uint64_t boot_room(const struct boot_job *job, uint64_t size, uint64_t from, uint64_t to,
                   uint64_t align, bool highest)
{
    const struct boot_region *r;
    uint64_t at;

    size = page_up(size);
    if (to < size || to - size < from)
        return 0;
    at = highest ? (to - size) & ~(align - 1) : (from + align - 1) & ~(align - 1);
    while (at >= from && at <= to - size) {
        r = overlapping(job, at, at + size);
        if (!r)
            return at;
        if (highest && r->gpa < size)
            return 0;
        at =
            highest ? (r->gpa - size) & ~(align - 1) : (r->gpa + r->len + align - 1) & ~(align - 1);
    }
    return 0;
}

enum status boot_place_low(struct boot_job *job, const void *bytes, uint64_t len, const char *what,
                           uint64_t *gpa)
{
    /* From the second page on: the first one holds the BIOS data area that kernels peek at. */
    *gpa = boot_room(job, len, PAGE, MIN(LOW_END, job->req->ram_low), PAGE, false);
    if (!*gpa)
        return fail(job->err, ERR_LIMIT,
                    "kernel '%s': no room below 640 KiB for its %s (%" PRIu64 " bytes)",
                    job->req->kernel, what, len);
    return boot_place(job, *gpa, bytes, len, len, what);
}

enum status boot_fill(struct boot_job *job, uint64_t from, uint64_t to, const char *what)
{
    while (from < to) {
        const struct boot_region *r = overlapping(job, from, from + PAGE);
        uint64_t end = from;

        if (r) {
            from = r->gpa + r->len;
            continue;
        }
        while (end < to && !overlapping(job, end, end + PAGE))
            end += PAGE;
        if (boot_place(job, from, NULL, 0, end - from, what) != OK)
            return job->err->code;
        from = end;
    }
    return OK;
}

enum status boot_place_gdt(struct boot_job *job)
{
    /* Null, unused, code at 10h (64-bit or 32-bit), data at 18h: flat, present, accessed. */
    const uint64_t code = job->plan->start.long_mode ? 0x00AF9B000000FFFFu : 0x00CF9B000000FFFFu;
    const uint64_t gdt[4] = {0, 0, code, 0x00CF93000000FFFFu};

    return boot_place_low(job, gdt, sizeof(gdt), "GDT", &job->plan->start.gdt);
}
