/* Guest memory: 2 MiB pieces of the host's DRAM, mapped by nested page tables that are in DRAM too
 * (APM2 15.25). What is not RAM is not present: an access there exits with VMEXIT_NPF. To a guest
 * with encrypted state an entry with a reserved bit says the same: it gets #VC and asks by its GHCB
 * (APM2 15.35.5). An SNP guest's piece is mapped by 4 KiB where the RMP knows it so. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "host/vm/internal.h"

/* Nested walks are user accesses (APM2 15.25.5), so every entry has U. */
#define PTE_PRESENT BIT(0)
#define PTE_WRITE   BIT(1)
#define PTE_USER    BIT(2)
#define PTE_LARGE   BIT(7)
#define PTE_RWU     (PTE_PRESENT | PTE_WRITE | PTE_USER)
#define PTE_ADDRESS UINT64_C(0x000FFFFFFFFFF000)
/* Bit 13 is no address bit of a large page, and PS is none of a fourth-level entry (APM2 5.4). */
#define PTE_MMIO     (PTE_RWU | PTE_LARGE | BIT(13))
#define PTE_MMIO_TOP (PTE_RWU | PTE_LARGE)

void ram_split(uint64_t bytes, uint64_t *ram_low, uint64_t *ram_high)
{
    *ram_low = MIN(bytes, (uint64_t)PCI_ECAM_BASE);
    *ram_high = HIGH_RAM + (bytes - *ram_low);
}

uint64_t npt_frames_for(uint64_t ram_low, uint64_t ram_high)
{
    const uint64_t gib = BIT(30), reach = BIT(39);
    uint64_t high = ram_high > HIGH_RAM ? ram_high : 0;
    uint64_t directories =
        (ram_low + gib - 1) / gib + (high ? (high - HIGH_RAM + gib - 1) / gib : 0);
    uint64_t pointers = MAX((MAX(ram_low, high) + reach - 1) / reach, 1);

    return 1 + pointers + directories;
}

/* The RMP has 16 bytes for each page of DRAM behind 16 KiB of its own, whole MiB (SNP ABI,
 * SNP_INIT). */
uint64_t rmp_bytes_for(uint64_t dram)
{
    return (RMP_BOOKKEEPING + dram / PAGE * RMP_ENTRY + RMP_GRAIN - 1) / RMP_GRAIN * RMP_GRAIN;
}

uint64_t host_memory_for(uint64_t guest_bytes, unsigned vcpus)
{
    uint64_t low, high, frames, bytes;

    ram_split(guest_bytes, &low, &high);
    /* A table for each piece that an SNP guest has in 4 KiB pages; VMCB, host save area, VMSA of
     * each vCPU; permission maps; the driver's buffers; a context and the pages of a launch; and as
     * guest memory is in aligned 2 MiB pieces, one such piece for all that is not. */
    frames = npt_frames_for(low, high) + guest_bytes / LARGE_PAGE + 3 * vcpus + 8 + ASP_FRAMES + 8;
    bytes = guest_bytes + (frames * PAGE + 2 * LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    /* The memory that SEV-ES needs, and the RMP for all this and itself. */
    bytes += 2 * LARGE_PAGE;
    bytes += rmp_bytes_for(bytes) + 2 * RMP_GRAIN;
    return (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
}

static uint64_t piece_gpa(const struct vm *vm, uint64_t i)
{
    uint64_t low = vm->ram_low / LARGE_PAGE;

    return i < low ? i * LARGE_PAGE : HIGH_RAM + (i - low) * LARGE_PAGE;
}

/* The table that entry `index` of the table at `table` points at, made if it is not there. */
static bool next_table(struct vm *vm, uint64_t table, uint64_t index, uint64_t *next)
{
    uint64_t at = table + 8 * index, entry = 0;

    if (!soc_read(vm->host->soc, at, &entry, 8))
        return false;
    if (!(entry & PTE_PRESENT)) {
        if (vm->npt_used == vm->npt_frames)
            return false;
        entry = (vm->npt_base + PAGE * vm->npt_used++) | PTE_RWU;
        if (!soc_write(vm->host->soc, at, &entry, 8))
            return false;
    }
    *next = entry & PTE_ADDRESS;
    return true;
}

/* The entry of the 2 MiB around `gpa`. */
static bool set_directory(struct vm *vm, uint64_t gpa, uint64_t entry)
{
    uint64_t pdpt = 0, pd = 0;

    return next_table(vm, vm->npt, gpa >> 39 & 511, &pdpt) &&
           next_table(vm, pdpt, gpa >> 30 & 511, &pd) &&
           soc_write(vm->host->soc, pd + 8 * (gpa >> 21 & 511), &entry, 8);
}

static bool map_piece(struct vm *vm, uint64_t gpa, uint64_t spa)
{
    return set_directory(vm, gpa, spa | PTE_RWU | PTE_LARGE);
}

/* What is empty in the table at `spa`, and in those below it, is device memory. */
static bool mark_mmio(struct vm *vm, uint64_t spa, unsigned level)
{
    uint64_t table[PAGE / 8];

    if (!soc_read(vm->host->soc, spa, table, sizeof(table)))
        return false;
    for (size_t i = 0; i < COUNT(table); i++)
        if (!(table[i] & PTE_PRESENT))
            table[i] = level == 4 ? PTE_MMIO_TOP : PTE_MMIO;
        else if (level > 2 && !mark_mmio(vm, table[i] & PTE_ADDRESS, level - 1))
            return false;
    return soc_write(vm->host->soc, spa, table, sizeof(table));
}

/* ---- pieces in 4 KiB pages ------------------------------------------------------------------- */

struct piece *memory_piece(const struct vm *vm, uint64_t gpa)
{
    uint64_t spa, i;

    if (!vm->piece || !ram_to_spa(vm, gpa, &spa))
        return NULL;
    i = gpa < vm->ram_low ? gpa : vm->ram_low + gpa - HIGH_RAM;
    return &vm->piece[i / LARGE_PAGE];
}

bool memory_split(struct vm *vm, uint64_t gpa)
{
    struct piece *p = memory_piece(vm, gpa);
    uint64_t table[PAGE / 8], spa = 0;

    if (!p || p->split)
        return p;
    gpa &= ~(LARGE_PAGE - 1);
    if (!p->table)
        p->table = host_alloc(vm->host, 1, 1);
    if (!p->table || !ram_to_spa(vm, gpa, &spa))
        return false;
    for (size_t i = 0; i < COUNT(table); i++)
        table[i] = (spa + i * PAGE) | PTE_RWU;
    p->split = soc_write(vm->host->soc, p->table, table, sizeof(table)) &&
               set_directory(vm, gpa, p->table | PTE_RWU);
    return p->split;
}

bool memory_join(struct vm *vm, uint64_t gpa)
{
    struct piece *p = memory_piece(vm, gpa);
    uint64_t spa = 0;

    if (!p || !p->split)
        return p;
    gpa &= ~(LARGE_PAGE - 1);
    p->split = !(ram_to_spa(vm, gpa, &spa) && map_piece(vm, gpa, spa));
    return !p->split;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static enum status map_all(struct vm *vm, struct error *err)
{
    vm->npt_frames = npt_frames_for(vm->ram_low, vm->ram_high);
    vm->npt_base = host_alloc(vm->host, vm->npt_frames, 1);
    if (!vm->npt_base)
        return fail(err, ERR_ARG, "the host's memory has no room for nested page tables");
    vm->npt = vm->npt_base;
    vm->npt_used = 1;
    for (uint64_t i = 0; i < vm->chunks; i++)
        if (!map_piece(vm, piece_gpa(vm, i), vm->chunk[i]))
            return fail(err, ERR_STATE, "guest memory at %" PRIx64 " cannot be mapped",
                        piece_gpa(vm, i));
    if (vm->cfg.sev >= SEV_ES && !mark_mmio(vm, vm->npt, 4))
        return fail(err, ERR_STATE, "device memory cannot be marked in the nested page tables");
    return OK;
}

enum status memory_new(struct vm *vm, struct error *err)
{
    uint64_t bytes = vm->cfg.memory;

    ram_split(bytes, &vm->ram_low, &vm->ram_high);
    if (host_free_frames(vm->host) * PAGE < bytes)
        return fail(err, ERR_ARG,
                    "the guest's %" PRIu64 " MiB of memory are more than the %" PRIu64
                    " MiB that the host has left; see --memory and --host-memory",
                    bytes >> 20, host_free_frames(vm->host) * PAGE >> 20);
    vm->chunk = calloc(bytes / LARGE_PAGE, sizeof(vm->chunk[0]));
    if (!vm->chunk)
        return fail(err, ERR_NOMEM, "no memory for the guest's map");
    if (vm->cfg.sev == SEV_SNP)
        vm->piece = calloc(bytes / LARGE_PAGE, sizeof(vm->piece[0]));
    if (vm->cfg.sev == SEV_SNP && !vm->piece)
        return fail(err, ERR_NOMEM, "no memory for the states of the guest's pages");
    for (; vm->chunks < bytes / LARGE_PAGE; vm->chunks++) {
        uint64_t spa = host_alloc(vm->host, LARGE_PAGE / PAGE, LARGE_PAGE / PAGE);

        if (!spa)
            return fail(err, ERR_ARG,
                        "the guest's %" PRIu64 " MiB of memory do not fit into what the host has "
                        "left; see --memory and --host-memory",
                        bytes >> 20);
        vm->chunk[vm->chunks] = spa;
    }
    return map_all(vm, err);
}

enum status memory_clear(struct vm *vm, struct error *err)
{
    for (uint64_t i = 0; i < vm->chunks; i++)
        if (!host_zero(vm->host, vm->chunk[i], LARGE_PAGE))
            return fail(err, ERR_STATE, "guest memory cannot be cleared");
    return OK;
}

void memory_free(struct vm *vm)
{
    for (uint64_t i = 0; i < vm->chunks; i++) {
        host_release(vm->host, vm->chunk[i], LARGE_PAGE / PAGE);
        if (vm->piece)
            host_release(vm->host, vm->piece[i].table, 1);
    }
    host_release(vm->host, vm->npt_base, vm->npt_frames);
    free(vm->chunk);
    free(vm->piece);
    vm->chunk = NULL;
    vm->piece = NULL;
    vm->chunks = 0;
}

bool ram_to_spa(const struct vm *vm, uint64_t gpa, uint64_t *spa)
{
    uint64_t i;

    if (gpa < vm->ram_low)
        i = gpa / LARGE_PAGE;
    else if (gpa >= HIGH_RAM && gpa < vm->ram_high)
        i = (vm->ram_low + gpa - HIGH_RAM) / LARGE_PAGE;
    else
        return false;
    *spa = vm->chunk[i] + gpa % LARGE_PAGE;
    return true;
}

static bool all_ram(const struct vm *vm, uint64_t gpa, size_t len)
{
    uint64_t end = gpa + len;

    if (end < gpa)
        return false;
    return end <= vm->ram_low || (gpa >= HIGH_RAM && end <= vm->ram_high);
}

bool vm_read_phys(struct vm *vm, uint64_t gpa, void *to, size_t len)
{
    uint8_t *p = to;

    if (!all_ram(vm, gpa, len))
        return false;
    while (len) {
        size_t n = (size_t)MIN((uint64_t)len, LARGE_PAGE - gpa % LARGE_PAGE);
        uint64_t spa = 0;

        if (!ram_to_spa(vm, gpa, &spa) || !soc_read(vm->host->soc, spa, p, n))
            return false;
        gpa += n;
        p += n;
        len -= n;
    }
    return true;
}

bool vm_write_phys(struct vm *vm, uint64_t gpa, const void *from, size_t len)
{
    const uint8_t *p = from;

    if (!all_ram(vm, gpa, len))
        return false;
    while (len) {
        size_t n = (size_t)MIN((uint64_t)len, LARGE_PAGE - gpa % LARGE_PAGE);
        uint64_t spa = 0;

        if (!ram_to_spa(vm, gpa, &spa) || !soc_write(vm->host->soc, spa, p, n))
            return false;
        gpa += n;
        p += n;
        len -= n;
    }
    return true;
}

unsigned vm_ram_ranges(const struct vm *vm, struct vm_ram out[2])
{
    out[0] = (struct vm_ram){0, vm->ram_low};
    if (vm->ram_high == HIGH_RAM)
        return 1;
    out[1] = (struct vm_ram){HIGH_RAM, vm->ram_high - HIGH_RAM};
    return 2;
}
