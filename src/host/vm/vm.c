/* A guest from its configuration to its end. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/device/acpi.h"
#include "host/vm/internal.h"

#define MSRPM_FRAMES 2
#define IOPM_FRAMES  4 /* 12 KiB and three bits */

/* ---- hooks of the board ---------------------------------------------------------------------- */

static bool hook_read(void *ctx, uint64_t gpa, void *to, size_t len)
{
    return vm_read_phys(ctx, gpa, to, len);
}

static bool hook_write(void *ctx, uint64_t gpa, const void *from, size_t len)
{
    return vm_write_phys(ctx, gpa, from, len);
}

static uint64_t hook_now(void *ctx)
{
    const struct vm *vm = ctx;

    return soc_now(vm->host->soc);
}

/* Everything is on one thread: no guest runs while a device speaks, and the scheduler looks at all
 * that wait before it runs one. */
static void hook_kick(void *ctx, unsigned vcpu)
{
}

static const struct board_hooks hooks = {hook_read, hook_write, hook_now, hook_kick};

/* ---- what the guest is made of ----------------------------------------------------------------
 */

static enum status check_config(const struct host *h, const struct vm_config *cfg,
                                struct error *err)
{
    if (cfg->vcpus < 1 || cfg->vcpus > VM_MAX_VCPUS)
        return fail(err, ERR_ARG, "--cpus %u: a guest has 1 to %d", cfg->vcpus, VM_MAX_VCPUS);
    if (cfg->vcpus > h->cores - h->cores_used)
        return fail(err, ERR_LIMIT, "the host has no core left for all of the guest's %u vCPUs",
                    cfg->vcpus);
    if (cfg->memory < LARGE_PAGE || cfg->memory % LARGE_PAGE)
        return fail(err, ERR_ARG, "--memory: %" PRIu64 " bytes is not a multiple of 2 MiB",
                    cfg->memory);
    if (!cfg->kernel)
        return fail(err, ERR_ARG, "--kernel FILE is needed: there is no firmware to find one");
    return sev_check(h, cfg, err);
}

static enum status make_maps(struct vm *vm, struct error *err)
{
    static const uint8_t ones[PAGE] = {[0 ... PAGE - 1] = 0xFF};
    uint8_t msrpm[MSRPM_FRAMES * PAGE];
    struct host *h = vm->host;

    vm->msrpm = host_alloc(h, MSRPM_FRAMES, 1);
    vm->iopm = host_alloc(h, IOPM_FRAMES, 1);
    if (!vm->msrpm || !vm->iopm)
        return fail(err, ERR_ARG, "the host's memory has no room for permission maps");
    msr_permissions(msrpm, vm->cfg.sev);
    if (!soc_write(h->soc, vm->msrpm, msrpm, sizeof(msrpm)))
        return fail(err, ERR_STATE, "the MSR permission map cannot be written");
    for (unsigned i = 0; i < IOPM_FRAMES; i++)
        if (!soc_write(h->soc, vm->iopm + i * PAGE, ones, PAGE))
            return fail(err, ERR_STATE, "the I/O permission map cannot be written");
    return OK;
}

static enum status make_board(struct vm *vm, struct error *err)
{
    const struct board_config bc = {
        .vcpus = vm->cfg.vcpus, .pa_bits = vm->host->chip->pa_bits, .hooks = &hooks, .ctx = vm};
    struct pc_config pc = {.ram_low = vm->ram_low,
                           .ram_high = vm->ram_high - HIGH_RAM,
                           .vcpus = vm->cfg.vcpus,
                           .rtc_base = vm->cfg.rtc_base,
                           .debugcon = vm->cfg.debugcon,
                           .debug_exit = vm->cfg.debug_exit,
                           .testdev = vm->cfg.testdev};
    enum status s = board_new(&bc, &vm->board, err);

    memcpy(pc.serial, vm->cfg.serial, sizeof(pc.serial));
    return s == OK ? pc_new(vm->board, &pc, &vm->pc, err) : s;
}

static enum status make_devices(struct vm *vm, struct error *err)
{
    struct pci_bus *pci = pc_pci(vm->pc);
    enum status s = disks_new(vm->board, pci, vm->cfg.drives, vm->cfg.drive_count, &vm->disks, err);

    if (s == OK && vm->cfg.net)
        s = virtio_net_new(vm->board, pci, vm->cfg.net, &vm->net, err);
    if (s == OK && vm->cfg.rng) {
        vm->entropy_state = vm->cfg.entropy_seed;
        s = virtio_rng_new(vm->board, pci, vm->cfg.entropy_seed ? entropy_from_seed : NULL,
                           &vm->entropy_state, &vm->entropy, err);
    }
    if (s == OK && vm->cfg.console)
        s = virtio_console_new(vm->board, pci, vm->cfg.console, &vm->console, err);
    return s;
}

static enum status make_vcpus(struct vm *vm, struct error *err)
{
    enum status s = OK;

    vm->vcpu = calloc(vm->cfg.vcpus, sizeof(vm->vcpu[0]));
    if (!vm->vcpu)
        return fail(err, ERR_NOMEM, "no memory for vCPUs");
    for (unsigned i = 0; i < vm->cfg.vcpus && s == OK; i++) {
        struct vcpu *v = &vm->vcpu[i];

        v->vm = vm;
        v->index = i;
        v->lapic = board_lapic(vm->board, i);
        s = vcpu_new(v, err);
    }
    return s;
}

/* ---- power-on ---------------------------------------------------------------------------------
 */

static enum status place(struct vm *vm, struct boot_plan *plan, struct error *err)
{
    struct acpi_config ac = {.vcpus = vm->cfg.vcpus, .fw_cfg = true};
    struct boot_request req = {.kernel = vm->cfg.kernel,
                               .initrd = vm->cfg.initrd,
                               .append = vm->cfg.append,
                               .ram_low = vm->ram_low,
                               .ram_high = vm->ram_high,
                               .write = hook_write,
                               .ctx = vm};
    struct acpi_blob acpi;
    struct boot_blob blob;
    enum status s;

    for (unsigned i = 0; i < COUNT(ac.serial); i++)
        ac.serial[i] = vm->cfg.serial[i] != NULL;
    if (vm->cfg.sev != SEV_OFF)
        req.c_mask = BIT(vm->host->chip->cbit);
    req.snp = vm->cfg.sev == SEV_SNP;
    req.stub = vm->cfg.boot_stub;
    req.park_aps = vm->cfg.sev == SEV_ES && vm->cfg.vcpus > 1;
    s = acpi_build(&ac, BOOT_ACPI_BASE, &acpi, err);
    if (s != OK)
        return s;
    blob = (struct boot_blob){BOOT_ACPI_BASE, acpi.bytes, acpi.size, "ACPI tables"};
    req.blobs = &blob;
    req.blob_count = 1;
    req.rsdp = acpi.rsdp;
    s = boot_load(&req, plan, err);
    acpi_blob_free(&acpi);
    return s;
}

static enum status power_on(struct vm *vm, struct error *err)
{
    struct boot_plan plan;
    enum status s = place(vm, &plan, err);

    if (s == OK && vm->cfg.sev != SEV_OFF)
        s = sev_launch(vm, &plan, err);
    if (s != OK)
        return s;
    for (unsigned i = 0; i < vm->cfg.vcpus; i++) {
        vcpu_init_state(&vm->vcpu[i], true);
        vm->vcpu[i].waits_sipi = lapic_waits_sipi(vm->vcpu[i].lapic);
    }
    vcpu_boot_state(&vm->vcpu[0], &plan.start);
    vm->state = VM_PRELAUNCH;
    return OK;
}

/* The machine as it was when it was new, not yet started. A SEV guest's key dies with its launch,
 * so the new one is another guest to the secure processor. */
enum status vm_relaunch(struct vm *vm, struct error *err)
{
    enum status s;

    sev_teardown(vm);
    pc_reset(vm->pc);
    s = memory_clear(vm, err);
    return s == OK ? power_on(vm, err) : s;
}

static enum status build(struct vm *vm, struct error *err)
{
    enum status s = sev_asid_alloc(vm, err);

    if (s == OK)
        s = memory_new(vm, err);
    if (s == OK)
        s = make_maps(vm, err);
    if (s == OK)
        s = make_board(vm, err);
    if (s == OK)
        s = make_devices(vm, err);
    if (s == OK)
        s = make_vcpus(vm, err);
    if (s == OK)
        s = power_on(vm, err);
    if (s == OK && !vm->cfg.paused)
        s = vm_start(vm, err);
    return s;
}

enum status vm_new(struct host *h, const struct vm_config *cfg, struct vm **out, struct error *err)
{
    struct error local;
    struct vm *vm, **at = &h->vms;
    enum status s;

    err = err ? err : &local;
    s = check_config(h, cfg, err);
    if (s != OK)
        return s;
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return fail(err, ERR_NOMEM, "no memory for a guest");
    vm->host = h;
    vm->cfg = *cfg;
    while (*at)
        at = &(*at)->next;
    *at = vm;
    s = build(vm, err);
    if (s != OK) {
        vm_free(vm);
        return s;
    }
    *out = vm;
    return OK;
}

/* Frees what there is: also a VM that was never finished. */
void vm_free(struct vm *vm)
{
    struct vm **at;

    if (!vm)
        return;
    for (at = &vm->host->vms; *at && *at != vm;)
        at = &(*at)->next;
    if (*at)
        *at = vm->next;
    sev_teardown(vm);
    for (unsigned i = 0; vm->vcpu && i < vm->cfg.vcpus; i++)
        if (vm->vcpu[i].vm)
            vcpu_free(&vm->vcpu[i]);
    pc_free(vm->pc);
    disks_free(vm->disks);
    virtio_free(vm->net);
    virtio_free(vm->entropy);
    virtio_free(vm->console);
    board_free(vm->board);
    host_release(vm->host, vm->msrpm, MSRPM_FRAMES);
    host_release(vm->host, vm->iopm, IOPM_FRAMES);
    memory_free(vm);
    sev_asid_free(vm);
    free(vm->vcpu);
    free(vm);
}

/* ---- control ----------------------------------------------------------------------------------
 */

void vm_notify(struct vm *vm, enum vm_event event)
{
    for (struct vm_listener *l = vm->listeners, *next; l; l = next) {
        next = l->next;
        l->fn(l->ctx, vm, event);
    }
}

void vm_listen(struct vm *vm, struct vm_listener *l)
{
    l->next = vm->listeners;
    vm->listeners = l;
}

void vm_unlisten(struct vm *vm, struct vm_listener *l)
{
    for (struct vm_listener **at = &vm->listeners; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            return;
        }
}

void vm_pause(struct vm *vm)
{
    if (vm->state != VM_RUNNING)
        return;
    vm->state = VM_PAUSED;
    vm_notify(vm, VM_EVENT_STOP);
}

enum status vm_start(struct vm *vm, struct error *err)
{
    enum status s = OK;

    if (vm->state == VM_PRELAUNCH && vm->cfg.sev != SEV_OFF)
        s = sev_finish(vm, err);
    if (s == OK)
        vm->state = VM_RUNNING;
    return s;
}

enum status vm_resume(struct vm *vm, struct error *err)
{
    enum status s;

    if (vm->state == VM_RUNNING)
        return OK;
    if (vm->state == VM_ENDED)
        return fail(err, ERR_STATE, "the guest '%s' has ended", vm->cfg.name);
    s = vm_start(vm, err);
    if (s == OK)
        vm_notify(vm, VM_EVENT_RESUME);
    return s;
}

void vm_reset(struct vm *vm)
{
    vm->reset_wanted = true;
}

void vm_powerdown(struct vm *vm)
{
    if (vm->state == VM_ENDED)
        return;
    pc_power_button(vm->pc);
    vm_notify(vm, VM_EVENT_POWERDOWN);
}

void vm_quit(struct vm *vm)
{
    vm->quit_wanted = true;
}

void vm_nmi(struct vm *vm)
{
    board_nmi(vm->board);
}

/* ---- questions --------------------------------------------------------------------------------
 */

enum vm_state vm_state(const struct vm *vm)
{
    return vm->state;
}

const struct vm_config *vm_config(const struct vm *vm)
{
    return &vm->cfg;
}

const struct board_fate *vm_fate(const struct vm *vm)
{
    return &vm->fate;
}

struct host *vm_host(struct vm *vm)
{
    return vm->host;
}

struct board *vm_board(struct vm *vm)
{
    return vm->board;
}

unsigned vm_vcpus(const struct vm *vm)
{
    return vm->cfg.vcpus;
}

struct vcpu *vm_vcpu(struct vm *vm, unsigned n)
{
    return n < vm->cfg.vcpus ? &vm->vcpu[n] : NULL;
}
