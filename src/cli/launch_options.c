/* The inputs of a launch as options. */
#include "cli/launch_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define FIRMWARE_MAX ((size_t)64 << 20)
#define FILE_MAX     ((size_t)1 << 30) /* kernels and initrds */
#define IMAGE_MAX    ((size_t)8 << 30) /* launch images hold both */

/* ---- setters ------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    enum attest_mode mode;
    bool hash_only;
} modes[] = {
    {"sev", ATTEST_SEV, false},           {"seves", ATTEST_SEV_ES, false},
    {"snp", ATTEST_SNP, false},           {"snp:ovmf-hash", ATTEST_SNP, true},
    {"snp:svsm", ATTEST_SNP_SVSM, false}, {"es", ATTEST_SEV_ES, false},
};

const char *mode_name(enum attest_mode mode)
{
    for (size_t i = 0; i < COUNT(modes); i++)
        if (modes[i].mode == mode && !modes[i].hash_only)
            return modes[i].name;
    return "?";
}

static enum status set_mode(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    for (size_t i = 0; i < COUNT(modes); i++)
        if (!strcmp(value, modes[i].name)) {
            o->in.mode = modes[i].mode;
            o->ovmf_hash_only = modes[i].hash_only;
            o->has_mode = true;
            return OK;
        }
    return fail(err, ERR_ARG, "--mode %s: sev, seves, snp, snp:ovmf-hash or snp:svsm", value);
}

static enum status set_vcpus(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    uint64_t n;
    enum status s = number_parse("--vcpus", value, ATTEST_VCPUS_MAX, &n, err);

    if (s == OK && !n)
        s = fail(err, ERR_ARG, "--vcpus 0: a guest has at least one");
    o->in.vcpus = s == OK ? (unsigned)n : 0;
    o->has_vcpus = true;
    return s;
}

static enum status set_vcpu_type(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    size_t n;
    const struct attest_vcpu_type *types = attest_vcpu_types(&n);

    for (size_t i = 0; i < n; i++)
        if (!strcmp(types[i].name, value)) {
            o->in.vcpu_signature = types[i].signature;
            o->has_signature = true;
            return OK;
        }
    return fail(err, ERR_ARG,
                "--vcpu-type %s: QEMU's names are EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa and "
                "EPYC-Turin, with -v1 and so on; --vcpu-sig takes any other",
                value);
}

static enum status set_vcpu_sig(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    uint64_t n = 0;
    enum status s = number_parse("--vcpu-sig", value, UINT32_MAX, &n, err);

    o->in.vcpu_signature = (uint32_t)n;
    o->has_signature = true;
    return s;
}

static enum status part(const char *name, const char *value, unsigned most, unsigned *out,
                        struct error *err)
{
    uint64_t n = 0;
    enum status s = number_parse(name, value, most, &n, err);

    *out = (unsigned)n + 1;
    return s;
}

static enum status set_family(void *ctx, const char *value, struct error *err)
{
    return part("--vcpu-family", value, 0x10E, &((struct launch_options *)ctx)->family, err);
}

static enum status set_model(void *ctx, const char *value, struct error *err)
{
    return part("--vcpu-model", value, 0xFF, &((struct launch_options *)ctx)->model, err);
}

static enum status set_stepping(void *ctx, const char *value, struct error *err)
{
    return part("--vcpu-stepping", value, 0xF, &((struct launch_options *)ctx)->stepping, err);
}

static enum status set_vmm(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    for (unsigned v = 0; v < ATTEST_VMMS; v++)
        if (!strcasecmp(attest_vmm_name(v), value)) {
            o->in.vmm = v;
            return OK;
        }
    return fail(err, ERR_ARG, "--vmm-type %s: QEMU, ec2, gce or KRUN", value);
}

static enum status set_features(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return number_parse("--guest-features", value, UINT64_MAX, &o->in.guest_features, err);
}

static enum status load(struct blob *b, struct attest_span *at, const char *name, const char *path,
                        size_t most, struct error *err)
{
    enum status s;

    blob_free(b);
    s = blob_read(b, name, path, most, err);
    *at = blob_span(b);
    return s;
}

static enum status set_ovmf(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return load(&o->ovmf, &o->in.ovmf, "--ovmf", value, FIRMWARE_MAX, err);
}

static enum status set_kernel(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return load(&o->kernel, &o->in.kernel, "--kernel", value, FILE_MAX, err);
}

static enum status set_initrd(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return load(&o->initrd, &o->in.initrd, "--initrd", value, FILE_MAX, err);
}

static enum status set_append(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    o->in.append = (struct attest_span){(const uint8_t *)value, strlen(value)};
    return OK;
}

static enum status set_svsm(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return load(&o->svsm, &o->in.svsm, "--svsm", value, FIRMWARE_MAX, err);
}

static enum status set_ovmf_hash(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    size_t len;

    if (!bytes_parse(o->ovmf_hash, sizeof(o->ovmf_hash), sizeof(o->ovmf_hash), value, &len))
        return fail(err, ERR_ARG, "--snp-ovmf-hash: 48 bytes in hex or base64 are needed");
    o->in.ovmf_hash = (struct attest_span){o->ovmf_hash, sizeof(o->ovmf_hash)};
    return OK;
}

static enum status set_vars_size(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;

    return number_parse("--vars-size", value, FIRMWARE_MAX, &o->in.vars_size, err);
}

static enum status set_vars_file(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    struct blob b;
    enum status s = blob_read(&b, "--vars-file", value, FIRMWARE_MAX, err);

    o->in.vars_size = b.len;
    blob_free(&b);
    return s;
}

static enum status set_image(void *ctx, const char *value, struct error *err)
{
    ((struct launch_options *)ctx)->image_path = value;
    return OK;
}

static enum status set_max_vcpus(void *ctx, const char *value, struct error *err)
{
    struct launch_options *o = ctx;
    uint64_t n = 0;
    enum status s = number_parse("--max-vcpus", value, ATTEST_VCPUS_MAX, &n, err);

    o->max_vcpus = (unsigned)n;
    return s;
}

static enum status add_candidate(struct candidates *c, const char *name, const char *value,
                                 size_t most, struct error *err)
{
    struct blob *b = &c->blob[c->count];

    if (c->count == CANDIDATES_MAX)
        return fail(err, ERR_LIMIT, "%s: at most %u of them", name, CANDIDATES_MAX);
    if (most) {
        enum status s = blob_read(b, name, value, most, err);

        if (s != OK)
            return s;
    }
    c->suspect[c->count++] = (struct attest_suspect){
        .bytes = most ? blob_span(b) : (struct attest_span){(const uint8_t *)value, strlen(value)},
        .name = value};
    return OK;
}

static enum status add_ovmf(void *ctx, const char *value, struct error *err)
{
    return add_candidate(&((struct launch_options *)ctx)->ovmfs, "--ovmf-candidate", value,
                         FIRMWARE_MAX, err);
}

static enum status add_kernel(void *ctx, const char *value, struct error *err)
{
    return add_candidate(&((struct launch_options *)ctx)->kernels, "--kernel-candidate", value,
                         FILE_MAX, err);
}

static enum status add_initrd(void *ctx, const char *value, struct error *err)
{
    return add_candidate(&((struct launch_options *)ctx)->initrds, "--initrd-candidate", value,
                         FILE_MAX, err);
}

static enum status add_append(void *ctx, const char *value, struct error *err)
{
    return add_candidate(&((struct launch_options *)ctx)->appends, "--append-candidate", value, 0,
                         err);
}

const struct option_row launch_option_rows[LAUNCH_OPTIONS] = {
    {"mode", "MODE", 0, set_mode, "sev, seves, snp, snp:ovmf-hash or snp:svsm"},
    {"vcpus", "N", 0, set_vcpus, "how many vCPUs the guest has"},
    {"vcpu-type", "NAME", 0, set_vcpu_type, "QEMU's name of their type, like EPYC-v4"},
    {"vcpu-sig", "NUMBER", 0, set_vcpu_sig, "or CPUID 1 EAX as they see it"},
    {"vcpu-family", "N", 0, set_family, "or family, model and stepping, ..."},
    {"vcpu-model", "N", 0, set_model, "... with their extended parts"},
    {"vcpu-stepping", "N", 0, set_stepping, "..."},
    {"vmm-type", "VMM", 0, set_vmm, "QEMU (the default), ec2, gce or KRUN"},
    {"guest-features", "NUMBER", 0, set_features, "SEV_FEATURES; 0x1 by default"},
    {"ovmf", "FILE", 0, set_ovmf, "the firmware"},
    {"snp-ovmf-hash", "DIGEST", 0, set_ovmf_hash,
     "its digest, as --mode snp:ovmf-hash says; then a part of it with the tables does"},
    {"kernel", "FILE", 0, set_kernel, "a kernel whose hash is launched"},
    {"initrd", "FILE", 0, set_initrd, "its initrd"},
    {"append", "TEXT", 0, set_append, "its command line"},
    {"svsm", "FILE", 0, set_svsm, "the SVSM's image"},
    {"vars-size", "BYTES", 0, set_vars_size, "of the variable store between SVSM and firmware"},
    {"vars-file", "FILE", 0, set_vars_file, "or the store, for its size"},
    {"launch-image", "FILE", 0, set_image,
     "instead of all this: what 'lucca run --launch-image' wrote"},
    {"ovmf-candidate", "FILE", 0, add_ovmf, "--explain: may have been the firmware"},
    {"kernel-candidate", "FILE", 0, add_kernel, "--explain: may have been the kernel"},
    {"initrd-candidate", "FILE", 0, add_initrd, "--explain: may have been the initrd"},
    {"append-candidate", "TEXT", 0, add_append, "--explain: may have been the command line"},
    {"max-vcpus", "N", 0, set_max_vcpus, "--explain: try up to so many vCPUs; 256 by default"},
};

/* ---- the whole ----------------------------------------------------------------------------------
 */

static enum status check_signature(struct launch_options *o, struct error *err)
{
    if (o->family || o->model || o->stepping) {
        if (o->has_signature)
            return fail(err, ERR_ARG,
                        "--vcpu-family and its like do not go with --vcpu-type or --vcpu-sig");
        if (!o->family || !o->model || !o->stepping)
            return fail(err, ERR_ARG,
                        "--vcpu-family, --vcpu-model and --vcpu-stepping go together");
        if (!attest_vcpu_signature(o->family - 1, o->model - 1, o->stepping - 1,
                                   &o->in.vcpu_signature))
            return fail(err, ERR_ARG, "no processor has such a family, model and stepping");
        o->has_signature = true;
    }
    if (!o->has_signature && o->in.mode != ATTEST_SEV && o->in.vmm == ATTEST_VMM_QEMU)
        return fail(err, ERR_ARG,
                    "--vcpu-type, --vcpu-sig or --vcpu-family, --vcpu-model and --vcpu-stepping "
                    "are needed: QEMU hands it to the guest");
    return OK;
}

enum status launch_options_check(struct launch_options *o, struct error *err)
{
    if (o->image_path &&
        (o->in.ovmf.at || o->in.kernel.at || o->in.svsm.at || o->has_vcpus || o->in.ovmf_hash.at))
        return fail(err, ERR_ARG, "--launch-image takes the place of the other inputs");
    if (o->image_path)
        return OK;
    if (!o->has_mode)
        return fail(err, ERR_ARG, "--mode is needed: sev, seves, snp, snp:ovmf-hash or snp:svsm");
    if (!o->in.ovmf.at)
        return fail(err, ERR_ARG, "--ovmf is needed, or --launch-image");
    if (o->ovmf_hash_only || o->in.mode == ATTEST_SEV)
        return OK;
    if (!o->has_vcpus)
        return fail(err, ERR_ARG, "--vcpus is needed in mode %s", mode_name(o->in.mode));
    return check_signature(o, err);
}

/* Files do not tell whether an SVSM is among an SNP guest's pages. */
static enum attest_mode file_mode(enum attest_mode mode)
{
    return mode == ATTEST_SNP_SVSM ? ATTEST_SNP : mode;
}

enum status launch_options_image(struct launch_options *o, struct error *err)
{
    struct attest_error why;
    enum attest_status a;
    enum status s = OK;

    if (o->image)
        return OK;
    if (o->image_path) {
        s = blob_read(&o->image_file, "--launch-image", o->image_path, IMAGE_MAX, err);
        if (s != OK)
            return s;
        a = attest_image_open(&o->image, o->image_file.bytes, o->image_file.len, &why);
    } else {
        a = attest_image_of(&o->image, &o->in, &why);
    }
    if (a != ATTEST_OK) {
        s = attest_error_to(err, &why);
        return o->image_path ? fail_at(err, o->image_path) : s;
    }
    if (o->image_path && o->has_mode && file_mode(o->in.mode) != attest_image_mode(o->image))
        return fail(err, ERR_ARG, "'%s' is a launch in mode %s, not %s", o->image_path,
                    mode_name(attest_image_mode(o->image)), mode_name(o->in.mode));
    return OK;
}

struct attest_suspects launch_options_suspects(const struct launch_options *o)
{
    return (struct attest_suspects){
        .ovmf = o->ovmfs.suspect,
        .ovmf_count = o->ovmfs.count,
        .kernel = o->kernels.suspect,
        .kernel_count = o->kernels.count,
        .initrd = o->initrds.suspect,
        .initrd_count = o->initrds.count,
        .append = o->appends.suspect,
        .append_count = o->appends.count,
        .vcpus_max = o->max_vcpus,
    };
}

static void candidates_free(struct candidates *c)
{
    for (size_t i = 0; i < c->count; i++)
        blob_free(&c->blob[i]);
}

void launch_options_free(struct launch_options *o)
{
    attest_image_free(o->image);
    blob_free(&o->ovmf);
    blob_free(&o->kernel);
    blob_free(&o->initrd);
    blob_free(&o->svsm);
    blob_free(&o->image_file);
    candidates_free(&o->ovmfs);
    candidates_free(&o->kernels);
    candidates_free(&o->initrds);
    candidates_free(&o->appends);
}
