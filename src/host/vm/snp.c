/* SEV-SNP as a hypervisor drives it (SNP ABI 1.55): the platform's start with an RMP, the launch of
 * a guest page by page, its messages to the secure processor, and its end.
 *
 * All of a guest's RAM is launched, so that it is private and validated when the first instruction
 * runs: there is no firmware that could do it, and Linux does not. Pages go in by ascending address
 * in the largest steps that fit, 2 MiB or 4 KiB: what the loader has put there as NORMAL, the rest
 * as ZERO, the CPUID table and the secrets as such; last the boot processor's VMSA. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"
#include "host/vm/launch_image.h"
#include "silicon/vmsa.h"

#define MSR_SYSCFG   0xC0010010u
#define MSR_RMP_BASE 0xC0010132u
#define MSR_RMP_END  0xC0010133u

#define SYSCFG_MFDM    BIT(19)
#define SYSCFG_SNP_EN  BIT(24)
#define SYSCFG_VMPL_EN BIT(25)

/* KVM's address for VMSAs, which calculators of launch digests expect. */
#define VMSA_GPA UINT64_C(0xFFFFFFFFF000)

#define PERMS_ALL 0x0Fu

/* ---- platform ---------------------------------------------------------------------------------
 */

static enum status core_guards(struct host *h, unsigned n, struct error *err)
{
    struct cpu *c = soc_core(h->soc, n);
    uint64_t syscfg = 0;

    if (!cpu_wrmsr(c, MSR_RMP_BASE, h->asp.rmp_base) ||
        !cpu_wrmsr(c, MSR_RMP_END, h->asp.rmp_base + h->asp.rmp_bytes - 1) ||
        !cpu_rdmsr(c, MSR_SYSCFG, &syscfg) || !cpu_wrmsr(c, MSR_SYSCFG, syscfg | SYSCFG_MFDM) ||
        !cpu_wrmsr(c, MSR_SYSCFG, syscfg | SYSCFG_MFDM | SYSCFG_SNP_EN | SYSCFG_VMPL_EN))
        return fail(err, ERR_STATE, "core %u refuses to turn SEV-SNP on", n);
    return OK;
}

static enum status flush(struct host *h, struct error *err)
{
    for (unsigned i = 0; i < h->cores; i++)
        cpu_wbinvd(soc_core(h->soc, i));
    return asp_snp_command(h, SNP_CMD_DF_FLUSH, NULL, 0, NULL, err);
}

enum status snp_start(struct host *h, struct error *err)
{
    struct snp_cmd_init_ex init = {.flags = SNP_INIT_RMP};
    struct asp_driver *asp = &h->asp;
    enum status s = OK;

    if (h->chip->level < SEV_SNP)
        return fail(err, ERR_ARG, "%s has no SEV-SNP; use --chip milan, genoa or turin",
                    h->chip->name);
    asp->rmp_bytes = rmp_bytes_for(soc_dram_size(h->soc));
    asp->rmp_base = host_alloc(h, asp->rmp_bytes / PAGE, RMP_GRAIN / PAGE);
    if (!asp->rmp_base)
        return fail(err, ERR_ARG, "the host's memory has no room for the reverse map table");
    for (unsigned i = 0; i < h->cores && s == OK; i++)
        s = core_guards(h, i, err);
    if (s == OK)
        s = asp_snp_command(h, SNP_CMD_INIT_EX, &init, sizeof(init), NULL, err);
    if (s != OK)
        return s;
    asp->snp = true;
    return flush(h, err);
}

/* After the legacy half has shut down. The RMP stays in force: the machine goes off anyway. */
void snp_stop(struct host *h)
{
    struct snp_cmd_shutdown_ex cmd = {.len = sizeof(cmd)};
    struct error err = {0};

    if (!h->asp.snp)
        return;
    if (flush(h, &err) != OK ||
        asp_snp_command(h, SNP_CMD_SHUTDOWN_EX, &cmd, sizeof(cmd), NULL, &err) != OK)
        warn("%s", err.text);
    h->asp.snp = false;
}

/* ---- the launch -------------------------------------------------------------------------------
 */

static enum status make_context(struct vm *vm, struct error *err)
{
    struct host *h = vm->host;
    struct snp_cmd_gctx create = {0};
    struct snp_cmd_launch_start start = {.policy = vm->cfg.policy};
    struct snp_cmd_activate activate = {.asid = vm->asid};
    uint64_t gctx = host_alloc(h, 1, 1);

    if (!gctx)
        return fail(err, ERR_ARG, "the host's memory has no room for the guest's context");
    if (asp_lend(h, gctx, 1, err) != OK) {
        host_release(h, gctx, 1);
        return ERR_STATE;
    }
    vm->sev.gctx = create.gctx_paddr = start.gctx_paddr = activate.gctx_paddr = gctx;
    if (asp_snp_command(h, SNP_CMD_GCTX_CREATE, &create, sizeof(create), NULL, err) != OK)
        return ERR_STATE;
    vm->sev.launched = true;
    if (asp_snp_command(h, SNP_CMD_LAUNCH_START, &start, sizeof(start), NULL, err) != OK ||
        asp_snp_command(h, SNP_CMD_ACTIVATE, &activate, sizeof(activate), NULL, err) != OK)
        return ERR_STATE;
    vm->sev.asid = vm->asid;
    vm->sev.active = true;
    return OK;
}

/* As the launch image has them. */
static const char *const page_names[] = {[SNP_PAGE_NORMAL] = "normal",
                                         [SNP_PAGE_ZERO] = "zero",
                                         [SNP_PAGE_SECRETS] = "secrets",
                                         [SNP_PAGE_CPUID] = "cpuid"};

static enum status update(struct vm *vm, uint64_t spa, bool large, enum snp_page_type type,
                          enum sev_status *status, struct error *err)
{
    const uint8_t n = (uint8_t)vm->cfg.vmpl;
    struct snp_cmd_launch_update cmd = {
        .gctx_paddr = vm->sev.gctx,
        .flags = SNP_UPDATE_TYPE(type) | (large ? SNP_UPDATE_2M : 0),
        .page_paddr = spa,
        .vmpl1_perms = n >= 1 ? PERMS_ALL : 0,
        .vmpl2_perms = n >= 2 ? PERMS_ALL : 0,
        .vmpl3_perms = n >= 3 ? PERMS_ALL : 0,
    };

    return asp_snp_command(vm->host, SNP_CMD_LAUNCH_UPDATE, &cmd, sizeof(cmd), status, err);
}

/* The firmware writes what it would accept over a CPUID table that claims too much (SNP ABI,
 * LAUNCH_UPDATE); that is then launched. */
static enum status again(struct vm *vm, uint64_t spa, struct error *err)
{
    struct snp_cpuid_page page;

    if (!soc_read(vm->host->soc, spa, &page, sizeof(page)))
        return fail(err, ERR_STATE, "the CPUID table cannot be read");
    if (tracing(TRACE_SEV))
        snp_cpuid_differences(&vm->vcpu[0], &page);
    return update(vm, spa, false, SNP_PAGE_CPUID, NULL, err);
}

static enum status launch_page(struct vm *vm, uint64_t gpa, bool large, enum snp_page_type type,
                               struct error *err)
{
    enum sev_status status = SEV_SUCCESS;
    enum status s;
    uint64_t spa = 0;

    if (!rmp_make_pre_guest(vm, gpa, large) || !ram_to_spa(vm, gpa, &spa))
        return fail(err, ERR_STATE, "the page at %" PRIx64 " cannot be assigned to the guest", gpa);
    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "launch gpa=0x%" PRIx64 " pages=%u type=%s", gpa, large ? 512 : 1,
              page_names[type]);
    s = update(vm, spa, large, type, &status, err);
    if (s != OK && type == SNP_PAGE_CPUID && status == SEV_INVALID_PARAM)
        s = again(vm, spa, err);
    return s;
}

/* The processor that boots. The others come by AP creation (GHCB 2.03, 4.3.2), for which the guest
 * makes their VMSAs. */
static enum status launch_vmsa(struct vm *vm, const struct vmsa *image, struct error *err)
{
    struct vcpu *v = &vm->vcpu[0];
    const struct rmp_update state = {
        .gpa = VMSA_GPA, .assigned = 1, .immutable = 1, .asid = vm->asid};

    if (vmsa_page(v, image, err) != OK)
        return ERR_STATE;
    if (cpu_rmpupdate(v->core, v->launched_vmsa, &state) != 0)
        return fail(err, ERR_STATE, "the VMSA's page cannot be assigned to the guest");
    return update(vm, v->launched_vmsa, false, SNP_PAGE_VMSA, NULL, err);
}

/* ---- which page is what -----------------------------------------------------------------------
 */

static const struct boot_region *region_at(const struct boot_plan *plan, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < plan->regions; i++) {
        const struct boot_region *r = &plan->region[i];

        if (r->gpa < to && from < r->gpa + r->len)
            return r;
    }
    return NULL;
}

static enum snp_page_type type_of(const struct boot_region *r)
{
    static const enum snp_page_type types[] = {[BOOT_MEASURED] = SNP_PAGE_NORMAL,
                                               [BOOT_CPUID] = SNP_PAGE_CPUID,
                                               [BOOT_SECRETS] = SNP_PAGE_SECRETS};

    return r ? types[r->page] : SNP_PAGE_ZERO;
}

/* One thing fills the 2 MiB: a region of the loader's that is measured, or nothing. */
static bool uniform(const struct boot_plan *plan, uint64_t gpa)
{
    const struct boot_region *r = region_at(plan, gpa, gpa + LARGE_PAGE);

    return !r || (r->page == BOOT_MEASURED && r->gpa <= gpa && r->gpa + r->len >= gpa + LARGE_PAGE);
}

typedef enum status page_fn(struct vm *vm, struct launch_image *image, uint64_t gpa, bool large,
                            const struct boot_region *r, struct error *err);

/* Everything in RAM, in the order of the launch. */
static enum status each_page(struct vm *vm, const struct boot_plan *plan,
                             struct launch_image *image, page_fn *fn, struct error *err)
{
    struct vm_ram ram[2];
    unsigned n = vm_ram_ranges(vm, ram);
    enum status s = OK;

    for (unsigned i = 0; i < n; i++) {
        uint64_t gpa = ram[i].gpa, end = gpa + ram[i].size;

        while (gpa < end && s == OK) {
            bool large = gpa % LARGE_PAGE == 0 && uniform(plan, gpa);
            uint64_t len = large ? LARGE_PAGE : PAGE;

            s = fn(vm, image, gpa, large, region_at(plan, gpa, gpa + len), err);
            gpa += len;
        }
    }
    return s;
}

/* With a boot stub: what the guest validates itself, and what it takes over first. */
static bool is_left_to_the_guest(const struct vm *vm, const struct boot_region *r)
{
    return r ? r->page == BOOT_SHARED : vm->cfg.boot_stub != NULL;
}

static enum status launch_one(struct vm *vm, struct launch_image *image, uint64_t gpa, bool large,
                              const struct boot_region *r, struct error *err)
{
    if (is_left_to_the_guest(vm, r)) {
        if (!r && !rmp_make_private(vm, gpa, large))
            return fail(err, ERR_STATE, "the page at %" PRIx64 " cannot be assigned to the guest",
                        gpa);
        return OK;
    }
    return launch_page(vm, gpa, large, type_of(r), err);
}

/* What is launched together under one name is one piece of the image. */
static enum status describe_one(struct vm *vm, struct launch_image *image, uint64_t gpa, bool large,
                                const struct boot_region *r, struct error *err)
{
    if (is_left_to_the_guest(vm, r))
        return OK;
    return launch_image_add(image, page_names[type_of(r)], gpa, large ? LARGE_PAGE : PAGE,
                            r ? r->what : "memory", NULL, err);
}

static enum status describe(struct vm *vm, const struct boot_plan *plan, const struct vmsa *vmsa,
                            struct error *err)
{
    struct launch_image *image = NULL;
    enum status s = launch_image_new(vm, &image, err);

    if (s == OK)
        s = each_page(vm, plan, image, describe_one, err);
    if (s == OK)
        s = launch_image_add(image, "vmsa", VMSA_GPA, sizeof(*vmsa), "VMSA of vCPU 0", vmsa, err);
    return launch_image_end(image, s, err);
}

static enum status put_cpuid(struct vm *vm, const struct boot_plan *plan, struct error *err)
{
    struct snp_cpuid_page page;

    for (unsigned i = 0; i < plan->regions; i++)
        if (plan->region[i].page == BOOT_CPUID) {
            snp_cpuid_table(&vm->vcpu[0], &page);
            if (!vm_write_phys(vm, plan->region[i].gpa, &page, sizeof(page)))
                return fail(err, ERR_STATE, "the CPUID table cannot be written");
        }
    return OK;
}

static enum status read_certs(struct vm *vm, struct error *err);

enum status snp_launch(struct vm *vm, const struct boot_plan *plan, struct error *err)
{
    struct vmsa vmsa;
    enum status s;

    vm->sev_features = SEV_FEATURE_SNP_ACTIVE;
    vmsa_first(vm, plan, 0, &vmsa);
    s = read_certs(vm, err);
    if (s == OK)
        s = put_cpuid(vm, plan, err);
    if (s == OK && vm->cfg.launch_image)
        s = describe(vm, plan, &vmsa, err);
    if (s == OK)
        s = make_context(vm, err);
    if (s == OK)
        s = each_page(vm, plan, NULL, launch_one, err);
    return s == OK ? launch_vmsa(vm, &vmsa, err) : s;
}

/* ---- its end ----------------------------------------------------------------------------------
 */

static enum status put_identity(struct vm *vm, struct snp_cmd_launch_finish *cmd, struct error *err)
{
    struct host *h = vm->host;
    struct snp_id_auth auth;

    if (!vm->cfg.id_block)
        return OK;
    cmd->id_block_paddr = h->asp.data;
    cmd->id_auth_paddr = h->asp.data + PAGE;
    cmd->flags = SNP_FINISH_ID_BLOCK;
    if (sev_put_file(h, vm->cfg.id_block, sizeof(struct snp_id_block), cmd->id_block_paddr,
                     "--id-block", err) != OK ||
        sev_put_file(h, vm->cfg.id_auth, sizeof(auth), cmd->id_auth_paddr, "--id-auth", err) != OK)
        return ERR_FORMAT;
    if (!soc_read(h->soc, cmd->id_auth_paddr, &auth, sizeof(auth)))
        return fail(err, ERR_STATE, "--id-auth cannot be read back");
    if (auth.author_key.curve)
        cmd->flags |= SNP_FINISH_AUTH_KEY;
    return OK;
}

enum status snp_finish(struct vm *vm, struct error *err)
{
    struct snp_cmd_launch_finish cmd = {.gctx_paddr = vm->sev.gctx};
    enum status s = put_identity(vm, &cmd, err);

    if (s != OK)
        return s;
    if (vm->cfg.host_data)
        memcpy(cmd.host_data, vm->cfg.host_data, sizeof(cmd.host_data));
    return asp_snp_command(vm->host, SNP_CMD_LAUNCH_FINISH, &cmd, sizeof(cmd), NULL, err);
}

void snp_teardown(struct vm *vm)
{
    struct host *h = vm->host;
    struct snp_cmd_gctx cmd = {vm->sev.gctx};
    struct error err = {.text = "pages of the guest cannot be taken back"};
    bool active = vm->sev.active;
    enum status s = OK;

    if (vm->sev.launched)
        s = asp_snp_command(h, SNP_CMD_DECOMMISSION, &cmd, sizeof(cmd), NULL, &err);
    for (unsigned i = 0; vm->vcpu && i < vm->cfg.vcpus; i++) {
        if (vm->vcpu[i].launched_vmsa && s == OK)
            s = asp_take_back(h, vm->vcpu[i].launched_vmsa, 1, &err);
        vmsa_release(&vm->vcpu[i]);
    }
    if (!rmp_release_all(vm) && s == OK)
        s = ERR_STATE;
    if (vm->sev.gctx && s == OK)
        s = asp_take_back(h, vm->sev.gctx, 1, &err);
    host_release(h, vm->sev.gctx, 1);
    if (active && s == OK)
        s = flush(h, &err);
    if (s != OK)
        warn("%s", err.text);
    free(vm->sev.certs);
    vm->sev = (struct sev_guest){0};
}

/* ---- what the monitor asks --------------------------------------------------------------------
 */

/* Both commands put their answer where a page of the firmware's is. */
static enum status ask(struct host *h, enum snp_command id, void *cmd, size_t len, void *answer,
                       size_t answer_len, struct error *err)
{
    enum status s = asp_lend(h, h->asp.data, 1, err), back;

    if (s != OK)
        return s;
    s = asp_snp_command(h, id, cmd, len, NULL, err);
    back = asp_take_back(h, h->asp.data, 1, s == OK ? err : NULL);
    if (s != OK || back != OK)
        return s != OK ? s : back;
    if (!soc_read(h->soc, h->asp.data, answer, answer_len))
        return fail(err, ERR_STATE, "the secure processor's answer cannot be read");
    return OK;
}

enum status snp_info(struct vm *vm, struct sev_info *out, struct error *err)
{
    struct host *h = vm->host;
    struct snp_cmd_platform_status platform = {h->asp.data};
    struct snp_cmd_guest_status guest = {vm->sev.gctx, h->asp.data};
    struct snp_platform_status p;
    struct snp_guest_status g;
    static const uint8_t states[] = {[SNP_GUEST_INIT] = SEV_GUEST_UNINIT,
                                     [SNP_GUEST_LAUNCH] = SEV_GUEST_LUPDATE,
                                     [SNP_GUEST_RUNNING] = SEV_GUEST_RUNNING};
    enum status s =
        ask(h, SNP_CMD_PLATFORM_STATUS, &platform, sizeof(platform), &p, sizeof(p), err);

    if (s == OK)
        s = ask(h, SNP_CMD_GUEST_STATUS, &guest, sizeof(guest), &g, sizeof(g), err);
    if (s == OK)
        *out = (struct sev_info){.api_major = p.api_major,
                                 .api_minor = p.api_minor,
                                 .build = (uint8_t)p.build_id,
                                 .asid = g.asid,
                                 .policy = g.policy,
                                 .state = g.state < COUNT(states) ? states[g.state] : 0};
    return s;
}

/* ---- guest messages ---------------------------------------------------------------------------
 */

#define CERTS_MAX (64 * PAGE)

/* The table of GUIDs, offsets and lengths that the GHCB's standard defines ends with 24 zero bytes
 * (GHCB 2.03, 4.1.8.1); its makers put the certificates behind it. */
static enum status read_certs(struct vm *vm, struct error *err)
{
    const char *path = vm->cfg.certs;
    size_t len;
    FILE *f;

    if (!path)
        return OK;
    f = fopen(path, "rbe");
    vm->sev.certs = f ? calloc(1, CERTS_MAX) : NULL;
    if (!vm->sev.certs) {
        if (f)
            fclose(f);
        return fail(err, ERR_IO, "--certs '%s' cannot be read", path);
    }
    len = fread(vm->sev.certs, 1, CERTS_MAX, f);
    if (ferror(f) || !len || fgetc(f) != EOF) {
        fclose(f);
        return fail(err, ERR_FORMAT, "--certs '%s': empty, unreadable or more than %" PRIu64 " KiB",
                    path, CERTS_MAX >> 10);
    }
    fclose(f);
    vm->sev.cert_pages = (len + PAGE - 1) / PAGE;
    return OK;
}

static bool shared_pages(const struct vm *vm, uint64_t gpa, uint64_t pages)
{
    uint64_t spa;

    if (gpa % PAGE || pages > CERTS_MAX / PAGE)
        return false;
    for (uint64_t i = 0; i < pages; i++)
        if (!ram_to_spa(vm, gpa + i * PAGE, &spa) || rmp_is_private(vm, gpa + i * PAGE))
            return false;
    return true;
}

static bool throttled(struct vm *vm)
{
    uint64_t now = soc_now(vm->host->soc);

    if (!vm->cfg.request_rate)
        return false;
    if (now < vm->sev.next_request)
        return true;
    vm->sev.next_request = now + UINT64_C(1000000000) / vm->cfg.request_rate;
    return false;
}

/* The message is copied, so that the guest cannot change it under the firmware, and the answer goes
 * to a page of the firmware's first. */
static enum status forward(struct vm *vm, struct snp_request *req, struct error *err)
{
    struct host *h = vm->host;
    const uint64_t request = h->asp.data, response = request + PAGE;
    struct snp_cmd_guest_request cmd = {vm->sev.gctx, request, response};
    enum sev_status status = SEV_SUCCESS;
    uint8_t page[PAGE];
    enum status s;

    if (!vm_read_phys(vm, req->request_gpa, page, PAGE) || !soc_write(h->soc, request, page, PAGE))
        return fail(err, ERR_STATE, "a guest message cannot be copied");
    s = asp_lend(h, response, 1, err);
    if (s != OK)
        return s;
    (void)!asp_snp_command(h, SNP_CMD_GUEST_REQUEST, &cmd, sizeof(cmd), &status, err);
    req->fw_error = status;
    s = asp_take_back(h, response, 1, err);
    if (s == OK && status == SEV_SUCCESS &&
        (!soc_read(h->soc, response, page, PAGE) ||
         !vm_write_phys(vm, req->response_gpa, page, PAGE)))
        s = fail(err, ERR_STATE, "the answer to a guest message cannot be copied");
    return s;
}

static bool give_certs(struct vm *vm, const struct snp_request *req)
{
    static const uint8_t none[24];

    if (!vm->sev.certs)
        return vm_write_phys(vm, req->data_gpa, none, sizeof(none));
    return vm_write_phys(vm, req->data_gpa, vm->sev.certs, vm->sev.cert_pages * PAGE);
}

bool snp_forward_request(struct vm *vm, struct snp_request *req)
{
    uint64_t need = MAX(vm->sev.cert_pages, 1u);
    struct error err = {0};

    req->fw_error = req->vmm_error = 0;
    if (!shared_pages(vm, req->request_gpa, 1) || !shared_pages(vm, req->response_gpa, 1) ||
        req->request_gpa == req->response_gpa)
        return false;
    if (throttled(vm)) {
        req->vmm_error = SNP_REQUEST_BUSY;
        return true;
    }
    if (req->extended && req->data_pages < need) {
        req->vmm_error = SNP_REQUEST_INVALID_LEN;
        req->data_pages = need;
        return true;
    }
    if (req->extended && !shared_pages(vm, req->data_gpa, need))
        return false;
    if (forward(vm, req, &err) != OK || (req->extended && !req->fw_error && !give_certs(vm, req))) {
        warn("%s: %s", vm->cfg.name, err.text);
        req->fw_error = SEV_HWERROR_PLATFORM;
    }
    return true;
}
