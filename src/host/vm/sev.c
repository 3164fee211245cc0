/* The life of a SEV guest as its hypervisor drives it: an ASID, LAUNCH_START, ACTIVATE,
 * LAUNCH_UPDATE_DATA for each launch region, LAUNCH_MEASURE, LAUNCH_SECRET, LAUNCH_FINISH, and at
 * its end DEACTIVATE and DECOMMISSION (SEV API 6). */
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

#define DH_CERT_BYTES SEV_CERT_BYTES
#define SESSION_BYTES sizeof(struct sev_session)
#define HEADER_BYTES  sizeof(struct sev_packet_header)

static const char *const level_names[] = {"no SEV", "SEV", "SEV-ES", "SEV-SNP"};

enum status sev_check(const struct host *h, const struct vm_config *cfg, struct error *err)
{
    const struct chip *chip = h->chip;

    if (cfg->sev > chip->level && cfg->sev == SEV_SNP)
        return fail(err, ERR_ARG, "%s has %s but no SEV-SNP; use --chip milan, genoa or turin",
                    chip->name, chip->level == SEV_ES ? "SEV and SEV-ES" : "SEV");
    if (cfg->sev > chip->level)
        return fail(err, ERR_ARG,
                    "%s has SEV but no SEV-ES; use --chip rome, milan, genoa or turin", chip->name);
    if (cfg->sev > SEV_PLAIN)
        return fail(err, ERR_UNSUPPORTED, "%s guests are not implemented; use --sev sev or off",
                    level_names[cfg->sev]);
    if (cfg->sev == SEV_OFF && (cfg->dh_cert || cfg->session))
        return fail(err, ERR_ARG, "--dh-cert-file and --session-file are for --sev sev");
    if (cfg->sev == SEV_OFF && cfg->launch_image)
        return fail(err, ERR_ARG, "--launch-image is for --sev sev: nothing else is measured");
    if (!cfg->dh_cert != !cfg->session)
        return fail(err, ERR_ARG, "--dh-cert-file and --session-file go together");
    if (cfg->sev == SEV_PLAIN && cfg->policy & SEV_POLICY_ES)
        return fail(err, ERR_ARG,
                    "--policy 0x%" PRIx32 " demands SEV-ES (bit 2); the guest is plain SEV",
                    cfg->policy);
    return OK;
}

/* ---- ASIDs ----------------------------------------------------------------------------------- */

/* Guests with a key take the ASIDs that the chip keeps for SEV without ES; the others take those
 * above all that can have a key (APM2 15.34.2). */
enum status sev_asid_alloc(struct vm *vm, struct error *err)
{
    struct host *h = vm->host;
    unsigned first = h->chip->min_sev_asid, last = h->chip->sev_asids;

    if (vm->cfg.sev == SEV_OFF) {
        for (unsigned i = 0; i < COUNT(h->plain_asid_used); i++)
            if (!h->plain_asid_used[i]) {
                h->plain_asid_used[i] = true;
                vm->asid = last + 1 + i;
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
                "no ASID is left: %s has %u for SEV guests (%u to %u) and all are in use",
                h->chip->name, last - first + 1, first, last);
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
static enum status put_owner_file(struct host *h, const char *path, size_t want, uint64_t spa,
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
    struct sev_cmd_launch_start cmd = {.policy = vm->cfg.policy};

    if (vm->cfg.dh_cert) {
        cmd.dh_cert_paddr = h->asp.data;
        cmd.dh_cert_len = DH_CERT_BYTES;
        cmd.session_paddr = h->asp.data + PAGE;
        cmd.session_len = SESSION_BYTES;
        if (put_owner_file(h, vm->cfg.dh_cert, DH_CERT_BYTES, cmd.dh_cert_paddr, "--dh-cert-file",
                           err) != OK ||
            put_owner_file(h, vm->cfg.session, SESSION_BYTES, cmd.session_paddr, "--session-file",
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

/* ---- what is measured, for owners who compute it themselves -----------------------------------
 */

static enum status write_regions(struct vm *vm, const struct boot_plan *plan, FILE *f,
                                 struct error *err)
{
    uint8_t page[PAGE];

    for (unsigned i = 0; i < plan->regions; i++)
        for (uint64_t at = 0; at < plan->region[i].len; at += PAGE)
            if (!vm_read_phys(vm, plan->region[i].gpa + at, page, PAGE) ||
                fwrite(page, PAGE, 1, f) != 1)
                return fail(err, ERR_IO, "--launch-image '%s': %s", vm->cfg.launch_image,
                            strerror(errno));
    return OK;
}

/* The plaintext of all launch regions, whole or not at all. */
static enum status write_launch_image(struct vm *vm, const struct boot_plan *plan,
                                      struct error *err)
{
    const char *path = vm->cfg.launch_image;
    char part[PATH_MAX];
    enum status s;
    FILE *f;

    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
        return fail(err, ERR_ARG, "--launch-image: the path is too long");
    f = fopen(part, "we");
    if (!f)
        return fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    s = write_regions(vm, plan, f, err);
    if (fclose(f) != 0 && s == OK)
        s = fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    if (s == OK && rename(part, path) < 0)
        s = fail(err, ERR_IO, "--launch-image '%s': %s", path, strerror(errno));
    if (s != OK)
        unlink(part);
    return s;
}

enum status sev_launch(struct vm *vm, const struct boot_plan *plan, struct error *err)
{
    enum status s = vm->cfg.launch_image ? write_launch_image(vm, plan, err) : OK;

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
    return s == OK ? measure(vm, err) : s;
}

enum status sev_finish(struct vm *vm, struct error *err)
{
    struct sev_cmd_handle cmd = {vm->sev.handle};

    return asp_command(vm->host, SEV_CMD_LAUNCH_FINISH, &cmd, sizeof(cmd), err);
}

void sev_teardown(struct vm *vm)
{
    struct sev_cmd_handle cmd = {vm->sev.handle};
    struct error err = {0};
    enum status s = OK;

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
    if (need_sev(vm, err) != OK ||
        asp_command(vm->host, SEV_CMD_PLATFORM_STATUS, &platform, sizeof(platform), err) != OK ||
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
