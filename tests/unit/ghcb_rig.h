/* A guest with encrypted state over the fake package, whose VMGEXITs a test or a fuzzer makes up.
 */
#ifndef LUCCA_TESTS_GHCB_RIG_H
#define LUCCA_TESTS_GHCB_RIG_H

#include "fake_soc.h"
#include "base/bytes.h"
#include "host/vm/ghcb.h"

#define RIG_RAM   (2 * LARGE_PAGE)
#define RIG_VCPUS 2u
#define RIG_GHCB  UINT64_C(0x5000) /* shared; under SNP all else of the first piece is private */
#define RIG_PORT  0x510u
#define RIG_MMIO  UINT64_C(0xFE000000)

struct rig {
    struct host host;
    struct vm vm;
    struct vcpu vcpu[RIG_VCPUS];
    uint64_t reg; /* of the device behind RIG_PORT and RIG_MMIO; reads give it and add one */
    unsigned reads, writes;
};

static inline uint64_t rig_read(void *dev, uint64_t off, unsigned size)
{
    struct rig *r = dev;

    r->reads++;
    return r->reg++;
}

static inline void rig_write(void *dev, uint64_t off, unsigned size, uint64_t value)
{
    struct rig *r = dev;

    r->writes++;
    r->reg = value;
}

static inline bool rig_dma_read(void *ctx, uint64_t gpa, void *to, size_t len)
{
    return vm_read_phys(ctx, gpa, to, len);
}

static inline bool rig_dma_write(void *ctx, uint64_t gpa, const void *from, size_t len)
{
    return vm_write_phys(ctx, gpa, from, len);
}

static inline uint64_t rig_now(void *ctx)
{
    return fake_soc.now;
}

static inline void rig_kick(void *ctx, unsigned vcpu)
{
}

static inline bool rig_devices(struct rig *r)
{
    static const struct bus_ops ops = {rig_read, rig_write};
    struct bus *bus = board_bus(r->vm.board);

    return bus_add(bus, BUS_PORTS, RIG_PORT, 4, &ops, r, "port", NULL) == OK &&
           bus_add(bus, BUS_MEMORY, RIG_MMIO, PAGE, &ops, r, "mmio", NULL) == OK;
}

static inline bool rig_vcpus(struct rig *r)
{
    for (unsigned i = 0; i < RIG_VCPUS; i++) {
        struct vcpu *v = &r->vcpu[i];

        v->vm = &r->vm;
        v->index = i;
        v->core = soc_core(&fake_soc, i);
        v->lapic = board_lapic(r->vm.board, i);
        v->vmcb_spa = host_alloc(&r->host, 1, 1);
        v->vmsa_spa = host_alloc(&r->host, 1, 1);
        vcpu_init_state(v, true);
        v->waits_sipi = lapic_waits_sipi(v->lapic);
        if (!v->vmcb_spa || !v->vmsa_spa)
            return false;
    }
    return true;
}

static inline bool rig_new(struct rig *r, enum sev_level sev)
{
    static const struct board_hooks hooks = {rig_dma_read, rig_dma_write, rig_now, rig_kick};
    const struct board_config bc = {
        .vcpus = RIG_VCPUS, .pa_bits = 48, .hooks = &hooks, .ctx = &r->vm};

    fake_soc_reset();
    *r = (struct rig){.reg = 0x11};
    r->host = (struct host){
        .soc = &fake_soc, .chip = chip_by_name("genoa"), .cores = FAKE_CORES, .frames = FAKE_PAGES};
    r->host.frame_map = calloc(FAKE_PAGES / 64, 8);
    r->host.dirty_map = calloc(FAKE_PAGES / 64, 8);
    r->vm = (struct vm){.host = &r->host,
                        .cfg = {.name = "rig", .memory = RIG_RAM, .vcpus = RIG_VCPUS, .sev = sev},
                        .state = VM_RUNNING,
                        .asid = 7,
                        .vcpu = r->vcpu,
                        .sev_features = sev == SEV_SNP};
    if (!r->host.frame_map || !r->host.dirty_map || !host_alloc(&r->host, 1, 1) ||
        memory_new(&r->vm, NULL) != OK || board_new(&bc, &r->vm.board, NULL) != OK ||
        !rig_devices(r) || !rig_vcpus(r))
        return false;
    r->vcpu[0].ghcb = RIG_GHCB;
    for (uint64_t gpa = 0; sev == SEV_SNP && gpa < LARGE_PAGE; gpa += PAGE)
        if (gpa != RIG_GHCB && !rmp_make_private(&r->vm, gpa, false))
            return false;
    return true;
}

static inline void rig_free(struct rig *r)
{
    board_free(r->vm.board);
    memory_free(&r->vm);
    free(r->host.frame_map);
    free(r->host.dirty_map);
}

/* VMGEXIT with `value` in the MSR; what is there then. */
static inline uint64_t rig_vmgexit(struct rig *r, unsigned n, uint64_t value)
{
    struct vmcb_control *c = &r->vcpu[n].vmcb.control;

    c->ghcb_gpa = value;
    c->exitcode = VMEXIT_VMGEXIT;
    vcpu_exit(&r->vcpu[n]);
    return c->ghcb_gpa;
}

static inline bool rig_crashed(const struct rig *r)
{
    return board_fate(r->vm.board)->fate == FATE_CRASH;
}

/* What the nested tables say of `gpa`: the SPA, and how large the page is; 0: nothing. */
static inline uint64_t rig_nested(const struct rig *r, uint64_t gpa, uint64_t *size)
{
    uint64_t table = r->vm.npt, e;

    for (int shift = 39; shift >= 12; shift -= 9) {
        e = load64(fake_soc.dram + table + 8 * (gpa >> shift & 511));
        if ((e & 7) != 7)
            return 0;
        table = e & UINT64_C(0xFFFFFFFFFF000);
        if (shift > 12 && !(e & BIT(7)))
            continue;
        *size = BIT(shift);
        return (table & ~(*size - 1)) | (gpa & (*size - 1));
    }
    return 0;
}

/* The law of pages: each address has its own frame; a private one is assigned to the guest there,
 * in the size that the nested tables have; no large page covers a page of each kind. */
static inline const char *rig_law(const struct rig *r)
{
    for (uint64_t gpa = 0; gpa < RIG_RAM; gpa += PAGE) {
        uint64_t size = 0, spa = rig_nested(r, gpa, &size), want = 0;
        const struct fake_entry *e = &fake_soc.rmp[spa / PAGE];
        const struct fake_entry *base = &fake_soc.rmp[spa / LARGE_PAGE * 512];
        bool large = base->assigned && base->large;

        if (!ram_to_spa(&r->vm, gpa, &want) || spa != want)
            return "the nested tables lead elsewhere";
        if (e->assigned != rmp_is_private(&r->vm, gpa))
            return "the RMP and the hypervisor do not agree on who has a page";
        if (e->assigned && (size == LARGE_PAGE) != large)
            return "a private page has two sizes";
        if (!large && e->assigned && (e->gpa != gpa || e->asid != r->vm.asid))
            return "a page is assigned elsewhere";
        if (large && (base->gpa != gpa / LARGE_PAGE * LARGE_PAGE || base->asid != r->vm.asid))
            return "a large page is assigned elsewhere";
        if (!e->assigned && size == LARGE_PAGE && gpa % LARGE_PAGE == 0)
            for (unsigned i = 0; i < 512; i++)
                if (base[i].assigned)
                    return "a large page of the tables covers private pages";
    }
    return NULL;
}

#endif
