/* The attacks, a function each and a row of the table at the end. Pages are moved 2 MiB at a time,
 * as the nested tables and the RMP have a fresh guest's memory. */
#include "host/attack/attack.h"

#include <string.h>

#include "base/bytes.h"
#include "host/vm/internal.h"
#include "silicon/vmsa.h"

#define PTE_ADDRESS UINT64_C(0x000FFFFFFFFFF000)
#define PTE_LARGE   BIT(7)
#define TOUCHED     64u /* the block of a page that "write" changes */
#define FORGED_R15  0xBAD

static struct attack_result ends(enum attack_end end)
{
    return (struct attack_result){.end = end};
}

static struct attack_result stored(struct soc *soc, bool done)
{
    if (done)
        return ends(ATTACK_DONE);
    return ends(soc_rmp_fault(soc, NULL) ? ATTACK_RMP_FAULT : ATTACK_IMPOSSIBLE);
}

static struct soc *soc_of(const struct attack_aim *a)
{
    return host_soc(vm_host(a->vm));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static struct attack_result read_page(struct attack_aim *a)
{
    return ends(vm_read_phys(a->vm, a->gpa, a->kept, PAGE) ? ATTACK_DONE : ATTACK_IMPOSSIBLE);
}

static struct attack_result write_block(struct attack_aim *a)
{
    uint8_t block[16];

    if (!vm_read_phys(a->vm, a->gpa + TOUCHED, block, sizeof(block)))
        return ends(ATTACK_IMPOSSIBLE);
    block[0] ^= 1;
    return stored(soc_of(a), vm_write_phys(a->vm, a->gpa + TOUCHED, block, sizeof(block)));
}

static bool keep_page(struct attack_aim *a)
{
    return vm_read_phys(a->vm, a->gpa, a->kept, PAGE);
}

static struct attack_result replay_page(struct attack_aim *a)
{
    return stored(soc_of(a), vm_write_phys(a->vm, a->gpa, a->kept, PAGE));
}

/* ---- nested tables --------------------------------------------------------------------------- */

/* SPA of the entry that maps the 2 MiB at `gpa` (APM2 15.25.5): this is where they are large. */
static bool large_entry(const struct attack_aim *a, uint64_t gpa, uint64_t *at, uint64_t *entry)
{
    static const unsigned shifts[] = {39, 30, 21};
    uint64_t table = a->vm->npt;

    for (size_t i = 0; i < COUNT(shifts); i++) {
        *at = table + 8 * (gpa >> shifts[i] & 511);
        if (!soc_read(soc_of(a), *at, entry, sizeof(*entry)) || !(*entry & 1))
            return false;
        table = *entry & PTE_ADDRESS;
    }
    return *entry & PTE_LARGE;
}

static void flush(struct vm *vm)
{
    for (unsigned i = 0; i < vm_vcpus(vm); i++)
        vm_vcpu(vm, i)->flush = true;
}

/* The guest's 2 MiB at `gpa` are those of DRAM at `spa`. */
static bool map(struct attack_aim *a, uint64_t gpa, uint64_t spa)
{
    uint64_t at, entry;

    if (!large_entry(a, gpa, &at, &entry))
        return false;
    entry = (entry & ~PTE_ADDRESS) | spa;
    flush(a->vm);
    return soc_write(soc_of(a), at, &entry, sizeof(entry));
}

static struct attack_result map_to(struct attack_aim *a, uint64_t gpa, struct vm *owner,
                                   uint64_t owner_gpa)
{
    uint64_t spa = 0;

    if (!owner || !vm_gpa_to_spa(owner, owner_gpa, &spa) || !map(a, gpa, spa))
        return ends(ATTACK_IMPOSSIBLE);
    return ends(ATTACK_DONE);
}

static struct attack_result remap(struct attack_aim *a)
{
    return map_to(a, a->gpa, a->vm, a->other_gpa);
}

static struct attack_result alias(struct attack_aim *a)
{
    return map_to(a, a->other_gpa, a->vm, a->gpa);
}

static struct attack_result foreign(struct attack_aim *a)
{
    return map_to(a, a->gpa, a->foreign, a->gpa);
}

static struct attack_result put_back(struct attack_aim *a)
{
    return map_to(a, a->gpa, a->vm, a->gpa);
}

/* As `remap`, and the RMP says the same as the nested tables: all that is wrong is that the guest
 * has not validated the page (APM2 15.36.6). */
static struct attack_result substitute(struct attack_aim *a)
{
    struct rmp_update none = {.page_size = 1},
                      mine = {.gpa = a->gpa, .assigned = 1, .page_size = 1, .asid = vm_asid(a->vm)};
    struct cpu *core = soc_core(soc_of(a), 0);
    uint64_t spa;

    if (!vm_gpa_to_spa(a->vm, a->other_gpa, &spa) || cpu_rmpupdate(core, spa, &none) ||
        cpu_rmpupdate(core, spa, &mine))
        return ends(ATTACK_IMPOSSIBLE);
    return remap(a);
}

/* ---- registers ------------------------------------------------------------------------------- */

/* Without SEV-ES they are the hypervisor's to set. */
static struct attack_result edit_registers(struct attack_aim *a)
{
    const uint64_t at = offsetof(struct vmsa, r8_r15[7]);
    struct vcpu *v = vm_vcpu(a->vm, a->vcpu);
    uint64_t value = FORGED_R15;
    struct vcpu_regs regs;

    if (vcpu_vmsa(v))
        return stored(soc_of(a), soc_write(soc_of(a), vcpu_vmsa(v) + at, &value, sizeof(value)));
    if (!vcpu_get_regs(v, &regs))
        return ends(ATTACK_IMPOSSIBLE);
    regs.gpr[15] = value;
    return ends(vcpu_set_regs(v, &regs) ? ATTACK_DONE : ATTACK_IMPOSSIBLE);
}

static bool keep_vmsa(struct attack_aim *a)
{
    uint64_t spa = vcpu_vmsa(vm_vcpu(a->vm, a->vcpu));

    return spa && soc_read(soc_of(a), spa, a->kept, sizeof(a->kept));
}

static struct attack_result replay_registers(struct attack_aim *a)
{
    uint64_t spa = vcpu_vmsa(vm_vcpu(a->vm, a->vcpu));

    return stored(soc_of(a), soc_write(soc_of(a), spa, a->kept, sizeof(a->kept)));
}

/* Runs a save area that the guest made, whether it asked for that or not. */
static struct attack_result run_vmsa(struct attack_aim *a)
{
    struct vcpu *v = vm_vcpu(a->vm, a->vcpu);
    uint64_t spa;

    if (!v || !vm_gpa_to_spa(a->vm, a->vmsa, &spa))
        return ends(ATTACK_IMPOSSIBLE);
    vcpu_start_vmsa(v, spa);
    v->started = true;
    v->waits_sipi = false;
    return ends(ATTACK_DONE);
}

/* Takes the page of such a save area back, puts an old one there and hands it in again: nothing but
 * the VMSA bit, which RMPUPDATE cannot set, tells the two apart (APM2 15.36.12). */
static struct attack_result retake_vmsa(struct attack_aim *a)
{
    const struct rmp_update none = {0},
                            mine = {.gpa = a->vmsa, .assigned = 1, .asid = vm_asid(a->vm)};
    struct cpu *core = soc_core(soc_of(a), 0);
    uint64_t spa;

    if (!vm_gpa_to_spa(a->vm, a->vmsa, &spa) || cpu_rmpupdate(core, spa, &none) ||
        !soc_write(soc_of(a), spa, a->kept, sizeof(a->kept)) || cpu_rmpupdate(core, spa, &mine))
        return ends(ATTACK_IMPOSSIBLE);
    return ends(ATTACK_DONE);
}

/* ---- a run without a hypervisor ---------------------------------------------------------------
 */

#define SLICE  10000u
#define SLICES 100u

/* VMRUN to the first exit that somebody would have to answer; nobody does. */
static struct attack_result ignore_exit(struct attack_aim *a)
{
    struct vcpu *v = vm_vcpu(a->vm, a->vcpu);
    struct vmcb_control *c = &v->vmcb.control;

    for (unsigned i = 0; i < SLICES; i++) {
        c->vmsa_pa = vcpu_vmsa(v);
        c->tlb_control = 1;
        if (!soc_write(soc_of(a), v->vmcb_spa, &v->vmcb, sizeof(v->vmcb)))
            break;
        cpu_timer(v->core, SLICE);
        cpu_vmrun(v->core, v->vmcb_spa);
        if (!soc_read(soc_of(a), v->vmcb_spa, &v->vmcb, sizeof(v->vmcb)))
            break;
        if (c->exitcode != VMEXIT_INTR && c->exitcode != VMEXIT_PAUSE)
            return (struct attack_result){ATTACK_EXIT, c->exitcode, c->exitinfo1};
    }
    return ends(ATTACK_IMPOSSIBLE);
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct attack_result stale_request(struct attack_aim *a)
{
    struct snp_request req = {.request_gpa = a->request, .response_gpa = a->response};

    if (!snp_forward_request(a->vm, &req))
        return ends(ATTACK_IMPOSSIBLE);
    if (!req.fw_error)
        return ends(ATTACK_DONE);
    return (struct attack_result){ATTACK_REFUSED, req.fw_error, req.vmm_error};
}

/* ---- the table ------------------------------------------------------------------------------- */

const struct attack attacks[] = {
    {"read", "reads a private page", SEV_PLAIN, SEV_SNP, NULL, read_page},
    {"write", "changes a bit of a private page", SEV_PLAIN, SEV_SNP, NULL, write_block},
    {"replay", "puts a page's old ciphertext back", SEV_PLAIN, SEV_SNP, keep_page, replay_page},
    {"remap", "maps an address of the guest's to another of its pages", SEV_PLAIN, SEV_SNP, NULL,
     remap},
    {"alias", "maps a second address to a page", SEV_PLAIN, SEV_SNP, NULL, alias},
    {"foreign", "maps an address to another guest's page", SEV_PLAIN, SEV_SNP, NULL, foreign},
    {"substitute", "assigns another page to the address", SEV_SNP, SEV_SNP, NULL, substitute},
    {"put-back", "maps an address to its first page again", SEV_PLAIN, SEV_SNP, NULL, put_back},
    {"edit-registers", "changes a register", SEV_PLAIN, SEV_SNP, NULL, edit_registers},
    {"replay-registers", "puts an old VMSA back", SEV_ES, SEV_SNP, keep_vmsa, replay_registers},
    {"run-vmsa", "runs a save area that the guest made", SEV_SNP, SEV_SNP, NULL, run_vmsa},
    {"retake-vmsa", "takes a save area's page back and puts an old one in", SEV_SNP, SEV_SNP,
     keep_vmsa, retake_vmsa},
    {"ignore-exit", "does not do what an exit asks for", SEV_ES, SEV_SNP, NULL, ignore_exit},
    {"stale-request", "sends a guest's message again", SEV_SNP, SEV_SNP, NULL, stale_request},
    {0},
};

const struct attack *attack_find(const char *name)
{
    for (const struct attack *a = attacks; a->name; a++)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}
