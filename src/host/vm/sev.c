/* The life of a SEV or SEV-ES guest as its hypervisor drives it: an ASID, LAUNCH_START, ACTIVATE,
 * LAUNCH_UPDATE_DATA for each launch region, LAUNCH_UPDATE_VMSA for each processor of an ES guest,
 * LAUNCH_MEASURE, LAUNCH_SECRET, LAUNCH_FINISH, and at its end DEACTIVATE and DECOMMISSION (SEV API
 * 6). That of an SNP guest is in snp.c. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/base64.h"
#include "host/vm/internal.h"
#include "host/vm/launch_image.h"
#include "silicon/vmsa.h"

#define DH_CERT_BYTES SEV_CERT_BYTES
#define SESSION_BYTES sizeof(struct sev_session)
#define HEADER_BYTES  sizeof(struct sev_packet_header)

static enum status check_chip(const struct host *h, const struct vm_config *cfg, struct error *err)
{
    const struct chip *chip = h->chip;

    if (cfg->sev > chip->level && cfg->sev == SEV_SNP)
        return fail(err, ERR_ARG, "%s has %s but no SEV-SNP; use --chip milan, genoa or turin",
                    chip->name, chip->level == SEV_ES ? "SEV and SEV-ES" : "SEV");
    if (cfg->sev > chip->level)
        return fail(err, ERR_ARG,
                    "%s has SEV but no SEV-ES; use --chip rome, milan, genoa or turin", chip->name);
    if (cfg->sev == SEV_SNP && !h->asp.snp)
        return fail(err, ERR_STATE, "the host was started without SEV-SNP");
    return OK;
}

/* Options that mean nothing to the guest would be silently lost. */
static enum status check_owner(const struct vm_config *cfg, struct error *err)
{
    bool legacy = cfg->sev == SEV_PLAIN || cfg->sev == SEV_ES, snp = cfg->sev == SEV_SNP;

    if (!legacy && (cfg->dh_cert || cfg->session))
        return fail(err, ERR_ARG, "--dh-cert-file and --session-file are for --sev sev and es");
    if (!cfg->dh_cert != !cfg->session)
        return fail(err, ERR_ARG, "--dh-cert-file and --session-file go together");
    if (cfg->sev == SEV_OFF && cfg->launch_image)
        return fail(err, ERR_ARG, "--launch-image is for encrypted guests: no other is measured");
    if (!snp && (cfg->id_block || cfg->id_auth || cfg->host_data || cfg->certs || cfg->vmpl ||
                 cfg->request_rate || cfg->boot_stub))
        return fail(err, ERR_ARG,
                    "--id-block, --id-auth, --host-data, --certs, --vmpl, --boot-stub "
                    "and --guest-request-rate are for --sev snp");
    if (!cfg->id_block != !cfg->id_auth)
        return fail(err, ERR_ARG, "--id-block and --id-auth go together");
    return OK;
}

static enum status check_policy(const struct vm_config *cfg, struct error *err)
{
    if (cfg->sev == SEV_PLAIN && cfg->policy & SEV_POLICY_ES)
        return fail(err, ERR_ARG,
                    "--policy 0x%" PRIx64 " demands SEV-ES (bit 2); the guest is plain SEV",
                    cfg->policy);
    if (cfg->sev == SEV_ES && !(cfg->policy & SEV_POLICY_ES))
        return fail(err, ERR_ARG, "--policy 0x%" PRIx64 " is not one of SEV-ES, which has bit 2",
                    cfg->policy);
    if (cfg->sev != SEV_SNP && cfg->policy > UINT32_MAX)
        return fail(err, ERR_ARG, "--policy 0x%" PRIx64 ": that of SEV has 32 bits", cfg->policy);
    if (cfg->sev == SEV_SNP && !(cfg->policy & SNP_POLICY_MBO))
        return fail(err, ERR_ARG, "--policy 0x%" PRIx64 " is not one of SEV-SNP, which has bit 17",
                    cfg->policy);
    return OK;
}

enum status sev_check(const struct host *h, const struct vm_config *cfg, struct error *err)
{
    enum status s = check_chip(h, cfg, err);

    if (s == OK)
        s = check_owner(cfg, err);
    return s == OK ? check_policy(cfg, err) : s;
}

/* ---- ASIDs ----------------------------------------------------------------------------------- */

/* Guests with a key take the ASIDs that the chip keeps for SEV without ES, or those below, with
 * ES; the others take those above all that can have a key (APM2 15.34.2). */
enum status sev_asid_alloc(struct vm *vm, struct error *err)
{
    struct host *h = vm->host;
    unsigned first = h->chip->min_sev_asid, last = h->chip->sev_asids;

    if (vm->cfg.sev >= SEV_ES) {
        last = first - 1;
        first = 1;
    }
    if (vm->cfg.sev == SEV_OFF) {
        for (unsigned i = 0; i < COUNT(h->plain_asid_used); i++)
            if (!h->plain_asid_used[i]) {
                h->plain_asid_used[i] = true;
                vm->asid = h->chip->sev_asids + 1 + i;
                return OK;
            }
        return fail(err, ERR_LIMIT, "more than %zu guests without SEV", COUNT(h->plain_asid_used));
    }
    for (unsigned i = first; i <= last; i++)
        if (!h->asp.asid_used[i]) {
            h->asp.asid_used[i] = true;
            vm->asid = i;
            return OK;
        }
    return fail(err, ERR_LIMIT,
                "no ASID is left: %s has %u for %s guests (%u to %u) and all are in use",
                h->chip->name, last - first + 1, vm->cfg.sev >= SEV_ES ? "SEV-ES and SNP" : "SEV",
                first, last);
}

void sev_asid_free(struct vm *vm)
{
    struct host *h = vm->host;

    if (!vm->asid)
        return;
    if (vm->cfg.sev == SEV_OFF)
        h->plain_asid_used[vm->asid - h->chip->sev_asids - 1] = false;
    else
        h->asp.asid_used[vm->asid] = false;
    vm->asid = 0;
}

/* ---- launch ---------------------------------------------------------------------------------- */

static enum status read_small(const char *path, char *to, size_t room, size_t *len,
                              struct error *err)
{
    FILE *f = fopen(path, "rbe");

    if (!f)
        return fail(err, ERR_IO, "'%s': %s", path, strerror(errno));
    *len = fread(to, 1, room, f);
    if (ferror(f)) {
        int why = errno;

        fclose(f);
        return fail(err, ERR_IO, "'%s': %s", path, strerror(why));
    }
    fclose(f);
    return OK;
}

/* A file of exactly `want` bytes, raw or base64, into the driver's data buffer at `spa`. */
enum status sev_put_file(struct host *h, const char *path, size_t want, uint64_t spa,
                         const char *what, struct error *err)
{
    char text[8192];
    uint8_t *decoded = NULL;
    const void *bytes = text;
    enum status s = OK;
    size_t len = 0, n = 0;

    if (read_small(path, text, sizeof(text), &len, err) != OK)
        return fail_at(err, what);
    if (len != want && base64_decode(text, len, &decoded, &n) && n == want) {
        bytes = decoded;
        len = n;
    }
    if (len != want)
        s = fail(err, ERR_FORMAT, "%s '%s': expected %zu bytes, raw or base64; found %zu", what,
                 path, want, len);
    else if (!soc_write(h->soc, spa, bytes, want))
        s = fail(err, ERR_STATE, "%s '%s' cannot be handed to the secure processor", what, path);
    free(decoded);
    return s;
}

static enum status launch_start(struct vm *vm, struct error *err)
{
    struct host *h = vm->host;
    struct sev_cmd_launch_start cmd = {.policy = (uint32_t)vm->cfg.policy};

    if (vm->cfg.dh_cert) {
        cmd.dh_cert_paddr = h->asp.data;
        cmd.dh_cert_len = DH_CERT_BYTES;
        cmd.session_paddr = h->asp.data + PAGE;
        cmd.session_len = SESSION_BYTES;
        if (sev_put_file(h, vm->cfg.dh_cert, DH_CERT_BYTES, cmd.dh_cert_paddr, "--dh-cert-file",
                         err) != OK ||
            sev_put_file(h, vm->cfg.session, SESSION_BYTES, cmd.session_paddr, "--session-file",
                         err) != OK)
            return err->code;
    }
    if (asp_command(h, SEV_CMD_LAUNCH_START, &cmd, sizeof(cmd), err) != OK)
        return err->code;
    vm->sev.handle = cmd.handle;
    vm->sev.launched = true;
    return OK;
}

static enum status activate(struct vm *vm, struct error *err)
{
    struct sev_cmd_activate cmd = {vm->sev.handle, vm->asid};

    if (asp_command(vm->host, SEV_CMD_ACTIVATE, &cmd, sizeof(cmd), err) != OK)
        return err->code;
    vm->sev.asid = vm->asid;
    vm->sev.active = true;
    return OK;
}

/* A region is contiguous for the guest; for the host it is in 2 MiB pieces. */
static enum status update_region(struct vm *vm, const struct boot_region *r, struct error *err)
{
    uint64_t gpa = r->gpa, left = r->len;

    while (left) {
        uint64_t n = MIN(left, LARGE_PAGE - gpa % LARGE_PAGE), spa = 0;
        struct sev_cmd_guest_buffer cmd = {.handle = vm->sev.handle, .len = (uint32_t)n};

        if (!ram_to_spa(vm, gpa, &spa))
            return fail(err, ERR_STATE, "launch region %s at %" PRIx64 " is not in RAM", r->what,
                        gpa);
        cmd.paddr = spa;
        if (asp_command(vm->host, SEV_CMD_LAUNCH_UPDATE_DATA, &cmd, sizeof(cmd), err) != OK)
            return err->code;
        gpa += n;
        left -= n;
    }
    return OK;
}

/* Each page is measured as it is here; the firmware then seals it (SEV API, LAUNCH_UPDATE_VMSA). */
static enum status update_vmsas(struct vm *vm, const struct boot_plan *plan, struct error *err)
{
    struct vmsa image;
    enum status s = OK;

    for (unsigned i = 0; i < vm->cfg.vcpus && s == OK; i++) {
        struct sev_cmd_guest_buffer cmd = {.handle = vm->sev.handle, .len = sizeof(image)};

        vmsa_first(vm, plan, i, &image);
        s = vmsa_page(&vm->vcpu[i], &image, err);
        cmd.paddr = vm->vcpu[i].launched_vmsa;
        if (s == OK)
            s = asp_command(vm->host, SEV_CMD_LAUNCH_UPDATE_VMSA, &cmd, sizeof(cmd), err);
    }
    vm->ap_jump_table = plan->ap_jump_table;
    return s;
}

static enum status measure(struct vm *vm, struct error *err)
{
    struct sev_cmd_guest_buffer cmd = {
        .handle = vm->sev.handle, .paddr = vm->host->asp.data, .len = SEV_MEASUREMENT_BYTES};

    if (asp_command(vm->host, SEV_CMD_LAUNCH_MEASURE, &cmd, sizeof(cmd), err) != OK)
        return err->code;
    if (!soc_read(vm->host->soc, vm->host->asp.data, vm->sev.measurement, SEV_MEASUREMENT_BYTES))
        return fail(err, ERR_STATE, "the launch measurement cannot be read");
    vm->sev.measured = true;
    return OK;
}

/* What is measured, for owners who compute it themselves. */
static enum status write_launch_image(struct vm *vm, const struct boot_plan *plan,
                                      struct error *err)
{
    unsigned vmsas = vm->cfg.sev == SEV_ES ? vm->cfg.vcpus : 0;
    struct vmsa vmsa[VM_MAX_VCPUS];
    struct launch_image *image = NULL;
    enum status s = launch_image_new(vm, &image, err);

    for (unsigned i = 0; i < plan->regions && s == OK; i++)
        s = launch_image_add(image, "data", plan->region[i].gpa, plan->region[i].len,
                             plan->region[i].what, NULL, err);
    for (unsigned i = 0; i < vmsas && s == OK; i++) {
        vmsa_first(vm, plan, i, &vmsa[i]);
        s = launch_image_add(image, "vmsa", 0, sizeof(vmsa[i]), "VMSA", &vmsa[i], err);
    }
    return launch_image_end(image, s, err);
}

enum status sev_launch(struct vm *vm, const struct boot_plan *plan, struct error *err)
{
    enum status s;

    if (vm->cfg.sev == SEV_SNP)
        return snp_launch(vm, plan, err);
    s = vm->cfg.launch_image ? write_launch_image(vm, plan, err) : OK;

    if (s == OK)
        s = asp_start(vm->host, err);
    if (s == OK)
        s = launch_start(vm, err);
    if (s == OK)
        s = activate(vm, err);
    for (unsigned i = 0; i < plan->regions && s == OK; i++) {
        if (tracing(TRACE_SEV))
            trace(TRACE_SEV, "launch region %9" PRIx64 " .. %9" PRIx64 " %s", plan->region[i].gpa,
                  plan->region[i].gpa + plan->region[i].len - 1, plan->region[i].what);
        s = update_region(vm, &plan->region[i], err);
    }
    if (s == OK && vm->cfg.sev == SEV_ES)
        s = update_vmsas(vm, plan, err);
    return s == OK ? measure(vm, err) : s;
}

enum status sev_finish(struct vm *vm, struct error *err)
{
    struct sev_cmd_handle cmd = {vm->sev.handle};

    if (vm->cfg.sev == SEV_SNP)
        return snp_finish(vm, err);
    return asp_command(vm->host, SEV_CMD_LAUNCH_FINISH, &cmd, sizeof(cmd), err);
}

void sev_teardown(struct vm *vm)
{
    struct sev_cmd_handle cmd = {vm->sev.handle};
    struct error err = {0};
    enum status s = OK;

    if (vm->cfg.sev == SEV_SNP) {
        snp_teardown(vm);
        return;
    }
    for (unsigned i = 0; vm->vcpu && i < vm->cfg.vcpus; i++)
        vmsa_release(&vm->vcpu[i]);
    vm->ap_jump_table = 0;
    if (!vm->sev.launched)
        return;
    if (vm->sev.active)
        s = asp_command(vm->host, SEV_CMD_DEACTIVATE, &cmd, sizeof(cmd), &err);
    if (s == OK)
        s = asp_command(vm->host, SEV_CMD_DECOMMISSION, &cmd, sizeof(cmd), &err);
    if (s == OK)
        s = asp_flush(vm->host, &err);
    if (s != OK)
        warn("%s", err.text);
    vm->sev = (struct sev_guest){0};
}

/* ---- what the owner and the monitor ask ------------------------------------------------------ */

static enum status need_sev(const struct vm *vm, struct error *err)
{
    if (vm->cfg.sev == SEV_OFF)
        return fail(err, ERR_STATE, "the guest '%s' has no SEV", vm->cfg.name);
    return OK;
}

enum status vm_sev_info(struct vm *vm, struct sev_info *out, struct error *err)
{
    struct sev_cmd_guest_status guest = {.handle = vm->sev.handle};
    struct sev_cmd_platform_status platform = {0};
    struct error local;

    err = err ? err : &local;
    if (need_sev(vm, err) != OK)
        return err->code;
    if (vm->cfg.sev == SEV_SNP)
        return snp_info(vm, out, err);
    if (asp_command(vm->host, SEV_CMD_PLATFORM_STATUS, &platform, sizeof(platform), err) != OK ||
        asp_command(vm->host, SEV_CMD_GUEST_STATUS, &guest, sizeof(guest), err) != OK)
        return err->code;
    *out = (struct sev_info){.api_major = platform.api_major,
                             .api_minor = platform.api_minor,
                             .build = platform.build,
                             .handle = vm->sev.handle,
                             .asid = guest.asid,
                             .policy = guest.policy,
                             .state = guest.state};
    return OK;
}

enum status vm_sev_measurement(struct vm *vm, uint8_t out[SEV_MEASUREMENT_BYTES], struct error *err)
{
    enum status s = need_sev(vm, err);

    if (s != OK)
        return s;
    if (vm->cfg.sev == SEV_SNP)
        return fail(err, ERR_STATE,
                    "SEV-SNP gives no measurement to the hypervisor: the guest asks for a report");
    if (!vm->sev.measured)
        return fail(err, ERR_STATE, "the guest '%s' is not measured", vm->cfg.name);
    memcpy(out, vm->sev.measurement, SEV_MEASUREMENT_BYTES);
    return OK;
}

enum status vm_sev_secret(struct vm *vm, const void *header, size_t header_len, const void *secret,
                          size_t secret_len, uint64_t gpa, struct error *err)
{
    struct host *h = vm->host;
    struct sev_cmd_launch_secret cmd = {.handle = vm->sev.handle,
                                        .hdr_paddr = h->asp.data,
                                        .hdr_len = (uint32_t)header_len,
                                        .guest_len = (uint32_t)secret_len,
                                        .trans_paddr = h->asp.data + PAGE,
                                        .trans_len = (uint32_t)secret_len};
    enum status s = need_sev(vm, err);
    uint64_t first = 0, last = 0;

    if (s != OK)
        return s;
    if (vm->cfg.sev == SEV_SNP)
        return fail(err, ERR_STATE,
                    "SEV-SNP has no launch secrets: their owner sends them to a guest that has "
                    "proved itself by a report");
    if (vm->state != VM_PRELAUNCH)
        return fail(err, ERR_STATE,
                    "a secret can only be injected before the guest starts; use --paused");
    if (header_len != HEADER_BYTES)
        return fail(err, ERR_ARG, "a secret's packet header has %zu bytes, not %zu", HEADER_BYTES,
                    header_len);
    if (!secret_len || secret_len > SEV_SECRET_MAX || secret_len % 16)
        return fail(err, ERR_ARG, "a secret has 16 to %u bytes, a multiple of 16; this one has %zu",
                    SEV_SECRET_MAX, secret_len);
    if (!ram_to_spa(vm, gpa, &first) || !ram_to_spa(vm, gpa + secret_len - 1, &last) ||
        last - first != secret_len - 1)
        return fail(err, ERR_ARG,
                    "the secret's address %" PRIx64
                    " is not guest memory, or the secret crosses a 2 MiB boundary",
                    gpa);
    cmd.guest_paddr = first;
    if (!soc_write(h->soc, cmd.hdr_paddr, header, header_len) ||
        !soc_write(h->soc, cmd.trans_paddr, secret, secret_len))
        return fail(err, ERR_STATE, "the secret cannot be handed to the secure processor");
    return asp_command(h, SEV_CMD_LAUNCH_SECRET, &cmd, sizeof(cmd), err);
}
