/* ELF core dumps of a guest, laid out as QEMU does it, so that crash, gdb and readelf open them:
 *
 *     ELF header, type CORE, for x86-64
 *     program headers: NOTE, then a LOAD for each range of RAM (p_paddr: guest physical address)
 *     notes: a "CORE" NT_PRSTATUS for each vCPU, then a "QEMU" one with its system registers
 *     padding to a page
 *     the ranges' bytes; pages of zeros are holes in the file
 *
 * The bytes are what vm_read_phys gives: the host's view. Where the guest's pages are private, that
 * is ciphertext. */
#include "host/monitor/dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

#define PAGE_BYTES  4096u
#define CHUNK_BYTES (1u << 20)
#define STEP_CHUNKS 16u
#define MAX_RANGES  2u

/* ---- notes ------------------------------------------------------------------------------------
 */

/* Linux's elf_prstatus for x86-64. */
struct prstatus {
    uint32_t signo, code, error;
    uint16_t cursig, pad0;
    uint64_t sigpend, sighold;
    uint32_t pid, ppid, pgrp, sid;
    uint64_t times[8];
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip,
        cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
    uint32_t fpvalid, pad1;
};
static_assert(sizeof(struct prstatus) == 336, "elf_prstatus of x86-64");

/* QEMU's note of system registers: version 1. */
struct system_segment {
    uint32_t selector, limit, flags, pad; /* flags: bits 55:40 of the descriptor at 23:8 */
    uint64_t base;
};

struct system_state {
    uint32_t version, size;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8_15[8], rip, rflags;
    struct system_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    uint64_t cr[5], kernel_gs_base;
};
static_assert(sizeof(struct system_state) == 440, "QEMU's CPU state note");

#define NAME_BYTES 8 /* "CORE" or "QEMU", its NUL, padded to 4 */

struct prstatus_note {
    Elf64_Nhdr head;
    char name[NAME_BYTES];
    struct prstatus body;
} __attribute__((packed));

struct system_note {
    Elf64_Nhdr head;
    char name[NAME_BYTES];
    struct system_state body;
} __attribute__((packed));

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static struct prstatus_note prstatus_note(const struct vcpu_regs *r, unsigned index)
{
    const uint64_t *g = r->gpr;

    return (struct prstatus_note){
        .head = {sizeof("CORE"), sizeof(struct prstatus), NT_PRSTATUS},
        .name = "CORE",
        .body = {.pid = index + 1,
                 .r15 = g[15],
                 .r14 = g[14],
                 .r13 = g[13],
                 .r12 = g[12],
                 .rbp = g[RBP],
                 .rbx = g[RBX],
                 .r11 = g[11],
                 .r10 = g[10],
                 .r9 = g[9],
                 .r8 = g[8],
                 .rax = g[RAX],
                 .rcx = g[RCX],
                 .rdx = g[RDX],
                 .rsi = g[RSI],
                 .rdi = g[RDI],
                 .rip = r->rip,
                 .cs = r->cs.selector,
                 .eflags = r->rflags,
                 .rsp = g[RSP],
                 .ss = r->ss.selector,
                 .fs_base = r->fs.base,
                 .gs_base = r->gs.base,
                 .ds = r->ds.selector,
                 .es = r->es.selector,
                 .fs = r->fs.selector,
                 .gs = r->gs.selector},
    };
}

static struct system_segment system_segment(const struct vmcb_seg *s)
{
    return (struct system_segment){.selector = s->selector,
                                   .limit = s->limit,
                                   .flags = (uint32_t)(s->attrib & 0xFF) << 8 |
                                            (uint32_t)(s->attrib & 0xF00) << 12,
                                   .base = s->base};
}

static struct system_note system_note(const struct vcpu_regs *r)
{
    struct system_note n = {
        .head = {sizeof("QEMU"), sizeof(struct system_state), 0},
        .name = "QEMU",
        .body = {.version = 1,
                 .size = sizeof(struct system_state),
                 .rax = r->gpr[RAX],
                 .rbx = r->gpr[RBX],
                 .rcx = r->gpr[RCX],
                 .rdx = r->gpr[RDX],
                 .rsi = r->gpr[RSI],
                 .rdi = r->gpr[RDI],
                 .rsp = r->gpr[RSP],
                 .rbp = r->gpr[RBP],
                 .rip = r->rip,
                 .rflags = r->rflags,
                 .cs = system_segment(&r->cs),
                 .ds = system_segment(&r->ds),
                 .es = system_segment(&r->es),
                 .fs = system_segment(&r->fs),
                 .gs = system_segment(&r->gs),
                 .ss = system_segment(&r->ss),
                 .ldt = system_segment(&r->ldtr),
                 .tr = system_segment(&r->tr),
                 .gdt = system_segment(&r->gdtr),
                 .idt = system_segment(&r->idtr),
                 .cr = {r->cr0, 0, r->cr2, r->cr3, r->cr4},
                 .kernel_gs_base = r->kernel_gs_base},
    };

    memcpy(n.body.r8_15, &r->gpr[8], sizeof(n.body.r8_15));
    return n;
}

/* ---- the file ----------------------------------------------------------------------------------
 */

struct dump {
    struct vm *vm;
    int fd;
    char path[PATH_MAX]; /* where it shall be, symbolic links followed */
    char temp[PATH_MAX]; /* where it grows; "": at `path`, which is no regular file */
    struct vm_ram range[MAX_RANGES];
    unsigned ranges, at; /* the range that is being written */
    uint64_t done_of_range, total, completed;
    uint64_t hole; /* zeros that the file has by a seek alone, at its end so far */
    uint8_t chunk[CHUNK_BYTES];
};

uint64_t dump_total(const struct dump *d)
{
    return d->total;
}

uint64_t dump_completed(const struct dump *d)
{
    return d->completed;
}

void dump_free(struct dump *d)
{
    if (!d)
        return;
    if (d->fd >= 0)
        close(d->fd);
    if (*d->temp)
        unlink(d->temp);
    free(d);
}

static enum status io_error(const struct dump *d, int why, struct error *err)
{
    if (why == ENOSPC || why == EDQUOT || why == EFBIG)
        return fail(err, ERR_IO, "the dump of %" PRIu64 " MiB does not fit at '%.300s': %s",
                    d->total >> 20, d->path, strerror(why));
    return fail(err, ERR_IO, "the dump cannot be written to '%.300s': %s", d->path, strerror(why));
}

static enum status write_all(struct dump *d, const void *bytes, size_t len, struct error *err)
{
    const uint8_t *p = bytes;

    while (len) {
        ssize_t n = write(d->fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return io_error(d, n < 0 ? errno : ENOSPC, err);
        p += n;
        len -= (size_t)n;
    }
    return OK;
}

/* A pipe without a reader is an error here and now; one with a slow reader is waited for. */
static int open_special(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0)
        fcntl(fd, F_SETFL, 0);
    return fd;
}

static int open_beside(struct dump *d)
{
    int fd = -1;

    if (snprintf(d->temp, sizeof(d->temp), "%s.XXXXXX", d->path) < (int)sizeof(d->temp))
        fd = mkostemp(d->temp, O_CLOEXEC);
    else
        errno = ENAMETOOLONG;
    if (fd < 0)
        *d->temp = 0;
    return fd;
}

/* The target itself is opened only where it cannot be replaced. */
static enum status open_file(struct dump *d, const char *path, struct error *err)
{
    struct stat st;
    bool there = stat(path, &st) == 0, regular = there && S_ISREG(st.st_mode);

    if (there && S_ISDIR(st.st_mode))
        return fail(err, ERR_ARG, "'%.300s' is a directory, not a file to dump to", path);
    if (strlen(path) >= sizeof(d->path))
        return fail(err, ERR_ARG, "the dump's path is longer than %d bytes", PATH_MAX - 1);
    memcpy(d->path, path, strlen(path) + 1);
    if (regular && !realpath(path, d->path))
        return fail(err, ERR_IO, "could not open '%.300s': %s", path, strerror(errno));
    d->fd = there && !regular ? open_special(path) : open_beside(d);
    if (d->fd < 0)
        return fail(err, ERR_IO, "could not open '%.300s': %s", path, strerror(errno));
    return OK;
}

/* ---- headers -----------------------------------------------------------------------------------
 */

static void choose_ranges(struct dump *d, struct dump_range want)
{
    struct vm_ram ram[2];
    unsigned n = vm_ram_ranges(d->vm, ram);
    uint64_t first = want.begin, end = want.begin + want.length;

    if (!want.length || end < first)
        end = UINT64_MAX;
    for (unsigned i = 0; i < n; i++) {
        uint64_t from = MAX(ram[i].gpa, first), to = MIN(ram[i].gpa + ram[i].size, end);

        if (from >= to)
            continue;
        d->range[d->ranges++] = (struct vm_ram){from, to - from};
        d->total += to - from;
    }
}

/* The headers and notes, padded so that memory starts at a page of the file. */
static uint8_t *make_head(const struct dump *d, size_t *len)
{
    unsigned vcpus = vm_vcpus(d->vm);
    size_t phdrs = sizeof(Elf64_Ehdr), notes = phdrs + (1 + d->ranges) * sizeof(Elf64_Phdr),
           notes_len = vcpus * (sizeof(struct prstatus_note) + sizeof(struct system_note));
    uint64_t offset = (notes + notes_len + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uint8_t *head = calloc(1, offset), *prstatus, *system;
    Elf64_Phdr *ph;

    if (!head)
        return NULL;
    ph = (Elf64_Phdr *)(head + phdrs);
    prstatus = head + notes;
    system = prstatus + vcpus * sizeof(struct prstatus_note);
    *(Elf64_Ehdr *)head = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = phdrs,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(1 + d->ranges)};
    *len = offset;
    *ph++ = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = notes, .p_filesz = notes_len, .p_memsz = notes_len};
    for (unsigned i = 0; i < d->ranges; i++) {
        *ph++ = (Elf64_Phdr){.p_type = PT_LOAD,
                             .p_offset = offset,
                             .p_vaddr = d->range[i].gpa,
                             .p_paddr = d->range[i].gpa,
                             .p_filesz = d->range[i].size,
                             .p_memsz = d->range[i].size};
        offset += d->range[i].size;
    }
    for (unsigned i = 0; i < vcpus; i++) {
        struct vcpu_regs regs;

        vcpu_get_regs(vm_vcpu(d->vm, i), &regs);
        ((struct prstatus_note *)prstatus)[i] = prstatus_note(&regs, i);
        ((struct system_note *)system)[i] = system_note(&regs);
    }
    return head;
}

static enum status write_head(struct dump *d, struct error *err)
{
    size_t len = 0;
    uint8_t *head = make_head(d, &len);
    enum status s;

    if (!head)
        return fail(err, ERR_NOMEM, "no memory for a dump");
    s = write_all(d, head, len, err);
    free(head);
    return s;
}

enum status dump_start(struct vm *vm, const char *path, struct dump_range range, struct dump **out,
                       struct error *err)
{
    struct dump *d = calloc(1, sizeof(*d));
    enum status s = OK;

    if (!d)
        return fail(err, ERR_NOMEM, "no memory for a dump");
    d->vm = vm;
    d->fd = -1;
    choose_ranges(d, range);
    if (!d->ranges)
        s = fail(err, ERR_ARG,
                 "the guest has no memory in the %" PRIu64 " bytes from %#" PRIx64 " on",
                 range.length, range.begin);
    if (s == OK)
        s = open_file(d, path, err);
    if (s == OK)
        s = write_head(d, err);
    if (s != OK) {
        dump_free(d);
        return s;
    }
    *out = d;
    return OK;
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static bool all_zero(const uint8_t *p, size_t len)
{
    return !*p && !memcmp(p, p + 1, len - 1);
}

/* Zeros before what is written next. */
static enum status skip_hole(struct dump *d, struct error *err)
{
    uint64_t n = d->hole;

    d->hole = 0;
    if (n && lseek(d->fd, (off_t)n, SEEK_CUR) < 0)
        return io_error(d, errno, err);
    return OK;
}

static enum status write_chunk(struct dump *d, size_t len, struct error *err)
{
    size_t from = 0, to;

    if (!*d->temp)
        return write_all(d, d->chunk, len, err);
    while (from < len) {
        for (to = from; to < len; to += PAGE_BYTES)
            if (all_zero(d->chunk + to, MIN(PAGE_BYTES, len - to)))
                break;
        to = MIN(to, len);
        if (to > from &&
            (skip_hole(d, err) != OK || write_all(d, d->chunk + from, to - from, err) != OK))
            return err->code;
        for (from = to; from < len; from += PAGE_BYTES) {
            size_t n = MIN(PAGE_BYTES, len - from);

            if (!all_zero(d->chunk + from, n))
                break;
            d->hole += n;
        }
    }
    return OK;
}

/* A hole at the end has no size until it is given one; a name stands for a whole file. */
static enum status complete(struct dump *d, struct error *err)
{
    int fd = d->fd;
    off_t end = 0;

    if (*d->temp && d->hole) {
        end = lseek(fd, (off_t)d->hole, SEEK_CUR);
        if (end < 0 || ftruncate(fd, end) < 0)
            return io_error(d, errno, err);
    }
    d->fd = -1;
    if (close(fd) < 0)
        return io_error(d, errno, err);
    if (*d->temp && rename(d->temp, d->path) < 0)
        return io_error(d, errno, err);
    *d->temp = 0;
    return OK;
}

enum status dump_step(struct dump *d, bool *done, struct error *err)
{
    for (unsigned i = 0; i < STEP_CHUNKS && d->at < d->ranges; i++) {
        const struct vm_ram *r = &d->range[d->at];
        size_t len = (size_t)MIN(r->size - d->done_of_range, CHUNK_BYTES);

        if (!vm_read_phys(d->vm, r->gpa + d->done_of_range, d->chunk, len))
            return fail(err, ERR_STATE, "guest memory at %#" PRIx64 " cannot be read",
                        r->gpa + d->done_of_range);
        if (write_chunk(d, len, err) != OK)
            return err->code;
        d->done_of_range += len;
        d->completed += len;
        if (d->done_of_range == r->size) {
            d->at++;
            d->done_of_range = 0;
        }
    }
    *done = d->at == d->ranges;
    return *done ? complete(d, err) : OK;
}
