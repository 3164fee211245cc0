/* What hypervisors launch a guest with, and in which order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/guid.h"
#include "attest/launch.h"
#include "attest/ovmf.h"
#include "attest/internal.h"
#include "attest/vmsa.h"
#include "base/bytes.h"

/* ---- QEMU's table of kernel hashes ----------------------------------------------------------- */

static const struct guid table_guid = GUID(0x9438d606, 0x4f22, 0x4cc9, 0xb479, 0xa793d411fd21);
static const struct guid cmdline_guid = GUID(0x97d02dd8, 0xbd20, 0x4c94, 0xaa78, 0xe7714d36ab2a);
static const struct guid initrd_guid = GUID(0x44baf731, 0x3a2f, 0x4bd7, 0x9af1, 0x41e29169781d);
static const struct guid kernel_guid = GUID(0x4de79437, 0xabd2, 0x427f, 0xb835, 0xd5b172d2045b);

#define TABLE_LENGTH 0xA8u /* of the table with its header; then 8 bytes of padding */
#define ENTRY_LENGTH 0x32u

static uint8_t *put_header(uint8_t *at, const struct guid *g, uint16_t length)
{
    memcpy(at, g->bytes, sizeof(g->bytes));
    store16(at + 16, length);
    return at + 18;
}

static uint8_t *put_entry(uint8_t *at, const struct guid *g, const uint8_t hash[SHA256_BYTES])
{
    at = put_header(at, g, ENTRY_LENGTH);
    memcpy(at, hash, SHA256_BYTES);
    return at + SHA256_BYTES;
}

void hash_table_make(uint8_t table[HASH_TABLE_BYTES], const struct kernel_hashes *h)
{
    uint8_t *at = table;

    memset(table, 0, HASH_TABLE_BYTES);
    at = put_header(at, &table_guid, TABLE_LENGTH);
    at = put_entry(at, &cmdline_guid, h->cmdline);
    at = put_entry(at, &initrd_guid, h->initrd);
    (void)put_entry(at, &kernel_guid, h->kernel);
}

/* With its final NUL, as the kernel gets it. */
static bool cmdline_hash(uint8_t out[SHA256_BYTES], const struct attest_launch *in)
{
    struct digest *d = digest_new(DIGEST_SHA256);
    bool ok = d != NULL;

    if (ok && in->append.len)
        digest_feed(d, in->append.at, in->append.len);
    if (ok && !(in->quirks & ATTEST_QUIRK_NO_NUL))
        digest_feed(d, "", 1);
    ok = ok && digest_peek(d, out);
    digest_free(d);
    return ok;
}

bool kernel_hashes_of(struct kernel_hashes *h, const struct attest_launch *in)
{
    return cmdline_hash(h->cmdline, in) && sha256(h->initrd, in->initrd.at, in->initrd.len) &&
           sha256(h->kernel, in->kernel.at, in->kernel.len);
}

/* ---- the layout ------------------------------------------------------------------------------ */

/* What one layout works with. */
struct plan {
    struct attest_image *l;
    const struct attest_launch *in;
    struct ovmf ovmf, svsm;
    bool table; /* kernel hashes are launched */
    uint8_t bytes[HASH_TABLE_BYTES];
    struct attest_error *err;
};

static enum attest_status add(struct plan *p, unsigned type, uint64_t gpa, uint64_t len,
                              const uint8_t *contents, const char *what)
{
    struct attest_piece piece = {.type = type, .gpa = gpa, .len = len, .contents = contents};

    snprintf(piece.what, sizeof(piece.what), "%s", what);
    return image_add(p->l, &piece, p->err);
}

static bool unmeasured_memory(const struct attest_launch *in)
{
    bool gce = in->vmm == ATTEST_VMM_GCE && !(in->quirks & ATTEST_QUIRK_MEM_ZERO);

    return gce || (in->quirks & ATTEST_QUIRK_MEM_UNMEASURED);
}

static bool cpuid_last(const struct attest_launch *in)
{
    bool ec2 = in->vmm == ATTEST_VMM_EC2 && !(in->quirks & ATTEST_QUIRK_CPUID_IN_ORDER);

    return ec2 || (in->quirks & ATTEST_QUIRK_CPUID_LAST);
}

/* The page with the kernel's hashes, at the place in it where the firmware looks. */
static enum attest_status add_hash_page(struct plan *p, const struct ovmf_section *s)
{
    unsigned at = p->ovmf.hashes.gpa & (PAGE_BYTES - 1);

    if (!p->table)
        return add(p, ATTEST_PAGE_ZERO, s->gpa, s->size, NULL, "kernel hashes (none)");
    if (s->size != PAGE_BYTES || at + HASH_TABLE_BYTES > PAGE_BYTES)
        return attest_fail(
            p->err, ATTEST_E_FORMAT, "image.metadata",
            "the firmware's section for kernel hashes, %#" PRIx32
            " bytes with the table at %#x, does not hold a table of %u bytes in one page",
            s->size, at, HASH_TABLE_BYTES);
    memcpy(p->l->hashes + at, p->bytes, HASH_TABLE_BYTES);
    return add(p, ATTEST_PAGE_NORMAL, s->gpa, s->size, p->l->hashes, "kernel hashes");
}

static enum attest_status add_section(struct plan *p, const struct ovmf_section *s, bool last)
{
    if ((s->type == OVMF_CPUID && cpuid_last(p->in)) != last || !s->size)
        return ATTEST_OK;
    switch (s->type) {
    case OVMF_SEC_MEM:
        return add(p, unmeasured_memory(p->in) ? ATTEST_PAGE_UNMEASURED : ATTEST_PAGE_ZERO, s->gpa,
                   s->size, NULL, "firmware's memory");
    case OVMF_SECRETS:
        return add(p, ATTEST_PAGE_SECRETS, s->gpa, s->size, NULL, "secrets page");
    case OVMF_CPUID:
        return add(p, ATTEST_PAGE_CPUID, s->gpa, s->size, NULL, "CPUID page");
    case OVMF_SVSM_CAA:
        return add(p, ATTEST_PAGE_ZERO, s->gpa, s->size, NULL, "SVSM calling area");
    case OVMF_KERNEL_HASHES:
        return add_hash_page(p, s);
    default:
        return attest_fail(p->err, ATTEST_E_UNSUPPORTED, "image.metadata",
                           "SEV metadata section type %#" PRIx32 " at %#" PRIx32
                           "; how it is measured is not known here",
                           s->type, s->gpa);
    }
}

static int by_address(const void *a, const void *b)
{
    const struct ovmf_section *x = a, *y = b;

    return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

static enum attest_status add_sections(struct plan *p, struct ovmf *image)
{
    enum attest_status s = ATTEST_OK;

    if (p->in->quirks & ATTEST_QUIRK_SORTED)
        qsort(image->sections, image->section_count, sizeof(image->sections[0]), by_address);
    for (unsigned last = 0; last < 2; last++)
        for (unsigned i = 0; i < image->section_count && s == ATTEST_OK; i++)
            s = add_section(p, &image->sections[i], last);
    return s;
}

/* ---- processors ------------------------------------------------------------------------------ */

static uint64_t first_rdx(const struct attest_launch *in)
{
    if (in->vmm == ATTEST_VMM_QEMU)
        return in->vcpu_signature;
    if (in->vmm == ATTEST_VMM_KRUN || (in->quirks & ATTEST_QUIRK_EC2_RDX_0))
        return 0;
    return 0x600;
}

static void make_vmsas(struct plan *p)
{
    bool snp = mode_is_snp(p->in->mode) || (p->in->quirks & ATTEST_QUIRK_SNP_FEATURES);
    struct vmsa_spec spec = {
        .vmm = p->in->vmm,
        .eip = VMSA_BSP_EIP,
        .rdx = first_rdx(p->in),
        .sev_features = snp ? p->in->guest_features : 0,
    };

    if (p->in->mode == ATTEST_SNP_SVSM) {
        vmsa_svsm(p->l->bsp, p->svsm.gpa + p->svsm.svsm_entry, p->in->vcpu_signature,
                  spec.sev_features);
        memcpy(p->l->ap, p->l->bsp, sizeof(p->l->ap));
        return;
    }
    vmsa_reset(p->l->bsp, &spec);
    spec.eip = p->ovmf.reset_eip;
    vmsa_reset(p->l->ap, &spec);
}

static enum attest_status add_vmsas(struct plan *p)
{
    bool wide = p->in->quirks & ATTEST_QUIRK_VMSA_GPA_52;
    uint64_t gpa = wide ? ATTEST_VMSA_GPA_52 : ATTEST_VMSA_GPA;
    enum attest_status s = ATTEST_OK;
    char what[32];

    if (!p->in->vcpus || p->in->vcpus > ATTEST_VCPUS_MAX)
        return attest_fail(p->err, ATTEST_E_ARG, "launch.vcpus", "%u vCPUs; there can be 1 to %u",
                           p->in->vcpus, ATTEST_VCPUS_MAX);
    if (p->in->vcpus > 1 && p->in->mode != ATTEST_SNP_SVSM && !p->ovmf.has_reset)
        return attest_fail(
            p->err, ATTEST_E_FORMAT, "image.table",
            "the firmware has no SEV-ES reset block: where application processors start is "
            "not known; measure one vCPU, or give the firmware's whole image");
    make_vmsas(p);
    for (unsigned i = 0; i < p->in->vcpus && s == ATTEST_OK; i++) {
        snprintf(what, sizeof(what), "VMSA of vCPU %u", i);
        s = add(p, ATTEST_PAGE_VMSA, gpa, PAGE_BYTES, i ? p->l->ap : p->l->bsp, what);
    }
    p->l->vmsas = p->in->vcpus;
    return s;
}

/* ---- modes ----------------------------------------------------------------------------------- */

static enum attest_status make_table(struct plan *p, const struct kernel_hashes *hashes)
{
    struct kernel_hashes own;

    if (!p->in->kernel.at) {
        if (p->in->initrd.at || p->in->append.at)
            return attest_fail(
                p->err, ATTEST_E_ARG, "launch.kernel",
                "an initrd or a command line without a kernel is not measured; give the "
                "kernel, too");
        return ATTEST_OK;
    }
    if (p->in->quirks & ATTEST_QUIRK_NO_TABLE)
        return ATTEST_OK;
    if (!hashes) {
        if (!kernel_hashes_of(&own, p->in))
            return attest_fail(p->err, ATTEST_E_MEMORY, "launch.kernel",
                               "libcrypto has no memory for a digest");
        hashes = &own;
    }
    hash_table_make(p->bytes, hashes);
    p->table = true;
    return ATTEST_OK;
}

static enum attest_status lay_out_sev(struct plan *p)
{
    enum attest_status s =
        add(p, ATTEST_PAGE_DATA, p->ovmf.gpa, p->ovmf.size, p->ovmf.image, "firmware");

    if (s == ATTEST_OK && p->table && p->ovmf.hashes.size < HASH_TABLE_BYTES)
        return attest_fail(
            p->err, ATTEST_E_FORMAT, "image.table",
            "a kernel is given, but this firmware has no place for kernel hashes: it would "
            "not measure the kernel; use an AmdSev build of OVMF");
    if (s == ATTEST_OK && p->table) {
        memcpy(p->l->hashes, p->bytes, HASH_TABLE_BYTES);
        s = add(p, ATTEST_PAGE_DATA, p->ovmf.hashes.gpa, HASH_TABLE_BYTES, p->l->hashes,
                "kernel hashes");
    }
    return s == ATTEST_OK && p->in->mode == ATTEST_SEV_ES ? add_vmsas(p) : s;
}

static enum attest_status add_firmware(struct plan *p)
{
    if (!p->in->ovmf_hash.at)
        return add(p, ATTEST_PAGE_NORMAL, p->ovmf.gpa, p->ovmf.size, p->ovmf.image, "firmware");
    if (p->in->ovmf_hash.len != ATTEST_SNP_DIGEST_BYTES)
        return attest_fail(p->err, ATTEST_E_ARG, "launch.ovmf_hash",
                           "the digest of a firmware has %u bytes, not %zu",
                           ATTEST_SNP_DIGEST_BYTES, p->in->ovmf_hash.len);
    memcpy(p->l->seed, p->in->ovmf_hash.at, ATTEST_SNP_DIGEST_BYTES);
    p->l->seeded = true;
    return ATTEST_OK;
}

static enum attest_status lay_out_snp(struct plan *p)
{
    enum attest_status s;

    if (!p->ovmf.has_metadata)
        return attest_fail(p->err, ATTEST_E_FORMAT, "image.metadata",
                           "this firmware has no SEV metadata: it was not built for SEV-SNP");
    if (p->table && !ovmf_has_section(&p->ovmf, OVMF_KERNEL_HASHES))
        return attest_fail(
            p->err, ATTEST_E_FORMAT, "image.metadata",
            "a kernel is given, but this firmware's metadata has no section for kernel "
            "hashes: it would not measure the kernel; use an AmdSev build of OVMF");
    s = add_firmware(p);
    if (s == ATTEST_OK)
        s = add_sections(p, &p->ovmf);
    return s == ATTEST_OK ? add_vmsas(p) : s;
}

static enum attest_status lay_out_svsm(struct plan *p)
{
    const struct attest_launch *in = p->in;
    enum attest_status s;

    if (!in->svsm.at)
        return attest_fail(p->err, ATTEST_E_ARG, "launch.svsm",
                           "an SVSM launch needs the SVSM's image");
    if (in->kernel.at)
        return attest_fail(p->err, ATTEST_E_ARG, "launch.kernel",
                           "a kernel is not measured in a launch with an SVSM");
    if (in->vmm != ATTEST_VMM_QEMU)
        return attest_fail(p->err, ATTEST_E_UNSUPPORTED, "launch.vmm",
                           "only QEMU's way to launch an SVSM is known here");
    if (in->vars_size % PAGE_BYTES || in->vars_size >= p->ovmf.gpa)
        return attest_fail(p->err, ATTEST_E_ARG, "launch.vars_size",
                           "a variable store of %" PRIu64 " bytes is not made of whole pages",
                           in->vars_size);
    s = ovmf_parse(&p->svsm, in->svsm.at, in->svsm.len, p->ovmf.gpa - in->vars_size, p->err);
    if (s != ATTEST_OK)
        return s;
    if (!p->svsm.has_svsm || !p->svsm.has_metadata)
        return attest_fail(p->err, ATTEST_E_FORMAT, "svsm",
                           "the SVSM's image has no %s: is it an SVSM for QEMU's -bios?",
                           p->svsm.has_svsm ? "SEV metadata" : "SVSM information");
    s = add_firmware(p);
    if (s == ATTEST_OK)
        s = add(p, ATTEST_PAGE_NORMAL, p->svsm.gpa, p->svsm.size, p->svsm.image, "SVSM");
    if (s == ATTEST_OK)
        s = add_sections(p, &p->svsm);
    return s == ATTEST_OK ? add_vmsas(p) : s;
}

static enum attest_status check_input(const struct attest_launch *in, struct attest_error *err)
{
    if ((unsigned)in->vmm >= ATTEST_VMMS)
        return attest_fail(err, ATTEST_E_ARG, "launch.vmm", "no hypervisor has the number %u",
                           in->vmm);
    if ((unsigned)in->mode > ATTEST_SNP_SVSM)
        return attest_fail(err, ATTEST_E_ARG, "launch.mode", "no mode has the number %u", in->mode);
    if (!in->ovmf.at)
        return attest_fail(err, ATTEST_E_ARG, "launch.ovmf", "a launch needs its firmware's image");
    if (in->ovmf_hash.at && !mode_is_snp(in->mode))
        return attest_fail(err, ATTEST_E_ARG, "launch.ovmf_hash",
                           "the digest of a firmware stands for it under SEV-SNP alone");
    return ATTEST_OK;
}

enum attest_status image_of(struct attest_image **out, const struct attest_launch *in,
                            const struct kernel_hashes *hashes, struct attest_error *err)
{
    struct plan p = {.in = in, .err = err};
    enum attest_status s = check_input(in, err);

    if (s == ATTEST_OK)
        s = ovmf_parse(&p.ovmf, in->ovmf.at, in->ovmf.len, OVMF_END, err);
    if (s == ATTEST_OK)
        s = make_table(&p, hashes);
    if (s != ATTEST_OK)
        return s;
    p.l = image_new(in->mode);
    if (!p.l)
        return attest_fail(err, ATTEST_E_MEMORY, "launch", "no memory for a launch");
    if (in->mode == ATTEST_SNP_SVSM)
        s = lay_out_svsm(&p);
    else if (in->mode == ATTEST_SNP)
        s = lay_out_snp(&p);
    else
        s = lay_out_sev(&p);
    if (s != ATTEST_OK) {
        attest_image_free(p.l);
        return s;
    }
    *out = p.l;
    return ATTEST_OK;
}
