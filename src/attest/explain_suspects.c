/* What may have been otherwise in a launch whose digest nobody expected. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/explain.h"
#include "attest/internal.h"

const char *const dimension_names[DIMENSIONS] = {
    [DIM_MODE] = "mode",
    [DIM_OVMF] = "firmware",
    [DIM_VMM] = "hypervisor (--vmm-type)",
    [DIM_APPEND] = "command line (--append)",
    [DIM_INITRD] = "initrd",
    [DIM_KERNEL] = "kernel",
    [DIM_SIGNATURE] = "vCPU signature (--vcpu-sig)",
    [DIM_FEATURES] = "guest features (--guest-features)",
    [DIM_LAYOUT] = "layout",
    [DIM_VARS] = "variable store (--vars-size)",
};

static const char *const vmm_names[ATTEST_VMMS] = {
    [ATTEST_VMM_QEMU] = "QEMU",
    [ATTEST_VMM_EC2] = "ec2",
    [ATTEST_VMM_GCE] = "gce",
    [ATTEST_VMM_KRUN] = "KRUN",
};

const char *attest_vmm_name(enum attest_vmm vmm)
{
    return (unsigned)vmm < ATTEST_VMMS ? vmm_names[vmm] : NULL;
}

/* ---- lists -------------------------------------------------------------------------------------
 */

/* The next free one, or NULL: so many are not tried. */
static struct alternative *more_of(struct suspects *s, enum dimension d)
{
    if (!s->alt[d] || s->count[d] == ALTERNATIVES_MAX)
        return NULL;
    s->alt[d][s->count[d]] = (struct alternative){.number = 0};
    return &s->alt[d][s->count[d]++];
}

static void number(struct suspects *s, enum dimension d, uint64_t v, uint64_t given,
                   const char *name)
{
    struct alternative *a;

    if (v == given)
        return;
    for (unsigned i = 0; i < s->count[d]; i++)
        if (s->alt[d][i].number == v)
            return;
    a = more_of(s, d);
    if (!a)
        return;
    a->number = v;
    if (name)
        snprintf(a->name, sizeof(a->name), "%#" PRIx64 " (%s)", v, name);
    else
        snprintf(a->name, sizeof(a->name), "%#" PRIx64, v);
}

static void quirk(struct suspects *s, unsigned q, const char *name)
{
    struct alternative *a = more_of(s, DIM_LAYOUT);

    if (!a)
        return;
    a->quirk = q;
    snprintf(a->name, sizeof(a->name), "%s", name);
}

/* ---- processors and features
 * --------------------------------------------------------------------- */

/* What a guest sees of real chips, with `-cpu host`. */
static const struct {
    uint32_t signature;
    const char *name;
} chips[] = {
    {0x800f12, "Naples"},  {0x830f10, "Rome"},    {0xa00f10, "Milan"},       {0xa00f11, "Milan"},
    {0xa00f12, "Milan-X"}, {0xa10f10, "Genoa"},   {0xa10f11, "Genoa"},       {0xa10f12, "Genoa-X"},
    {0xaa0f00, "Bergamo"}, {0xaa0f01, "Bergamo"}, {0xaa0f02, "Bergamo"},     {0xb00f10, "Turin"},
    {0xb00f20, "Turin"},   {0xb00f21, "Turin"},   {0xb10f10, "Turin Dense"},
};

static void list_processors(struct suspects *s, const struct attest_launch *in,
                            const struct attest_suspects *more)
{
    size_t n;
    const struct attest_vcpu_type *types = attest_vcpu_types(&n);
    uint64_t given = in->vcpu_signature;

    snprintf(s->given[DIM_SIGNATURE], 80, "%#" PRIx64, given);
    if (more && more->signature)
        number(s, DIM_SIGNATURE, more->signature, given, "the report's processor");
    for (size_t i = 0; i < n; i++)
        number(s, DIM_SIGNATURE, types[i].signature, given, types[i].name);
    for (size_t i = 0; i < COUNT(chips); i++)
        number(s, DIM_SIGNATURE, chips[i].signature, given, chips[i].name);
    number(s, DIM_SIGNATURE, 0, given, "none");
    for (unsigned stepping = 0; stepping < 16; stepping++)
        number(s, DIM_SIGNATURE, (given & ~UINT64_C(0xF)) | stepping, given, "another stepping");
}

static void list_features(struct suspects *s, const struct attest_launch *in)
{
    uint64_t given = in->guest_features;

    snprintf(s->given[DIM_FEATURES], 80, "%#" PRIx64, given);
    number(s, DIM_FEATURES, 0x1, given, "SNP alone, as Linux has it by default");
    number(s, DIM_FEATURES, 0x21, given, "with debug swap, as Linux 6.6 and 6.7 had it");
    number(s, DIM_FEATURES, 0, given, "none");
    for (unsigned bit = 0; bit < 16; bit++)
        number(s, DIM_FEATURES, given ^ UINT64_C(1) << bit, given,
               given >> bit & 1 ? "one bit less" : "one bit more");
}

/* ---- kernels and command lines
 * ------------------------------------------------------------------- */

static struct alternative *file(struct suspects *s, enum dimension d, struct attest_span bytes,
                                const char *name)
{
    struct alternative *a = more_of(s, d);

    if (!a)
        return NULL;
    a->bytes = bytes;
    snprintf(a->name, sizeof(a->name), "%s", name);
    if (bytes.at == NULL || d == DIM_OVMF)
        return a;
    return sha256(a->hash, bytes.at, bytes.len) ? a : NULL;
}

/* A command line is hashed with its NUL. */
static void command_line(struct suspects *s, const char *text, size_t len, bool nul,
                         const char *name)
{
    struct alternative *a = more_of(s, DIM_APPEND);
    struct digest *d = digest_new(DIGEST_SHA256);

    if (a && d) {
        digest_feed(d, text, len);
        if (nul)
            digest_feed(d, "", 1);
        a->bytes = (struct attest_span){(const uint8_t *)text, len};
        a->quirk = nul ? 0 : ATTEST_QUIRK_NO_NUL;
        snprintf(a->name, sizeof(a->name), "%s", name);
        if (!digest_peek(d, a->hash))
            s->count[DIM_APPEND]--;
    } else if (a) {
        s->count[DIM_APPEND]--;
    }
    digest_free(d);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Variants of how a command line comes to be: shells, editors and configuration files add and drop
 * white space, line ends, NULs and quotes. Each is `before` text `after`. */
static const struct {
    const char *before, *after;
    size_t after_len;
    const char *name;
} variants[] = {
    {"", "\n", 1, "with a line feed at its end"},
    {"", "\0", 1, "with a second NUL at its end"},
    {"", " ", 1, "with a space at its end"},
    {" ", "", 0, "with a space before it"},
    {"", "\r\n", 2, "with a carriage return and a line feed at its end"},
    {"\"", "\"", 1, "in double quotes"},
    {"'", "'", 1, "in single quotes"},
    {"", " initrd=initrd", 14, "with 'initrd=initrd' at its end"},
};

static bool list_command_lines(struct suspects *s, const struct attest_launch *in)
{
    const char *text = (const char *)in->append.at, *from = text;
    size_t len = in->append.len, most = len + 32;
    char *to;

    s->text = malloc((COUNT(variants) + 1) * most);
    if (!s->text)
        return false;
    to = s->text;
    command_line(s, text ? text : "", len, false, "hashed without its final NUL");
    if (len)
        command_line(s, "", 0, true, "empty");
    for (size_t i = 0; i < COUNT(variants); i++, to += most) {
        size_t before = strlen(variants[i].before);

        memcpy(to, variants[i].before, before);
        if (len)
            memcpy(to + before, text, len);
        memcpy(to + before + len, variants[i].after, variants[i].after_len);
        command_line(s, to, before + len + variants[i].after_len, true, variants[i].name);
    }
    while (len && is_space(from[len - 1]))
        len--;
    if (len != in->append.len)
        command_line(s, from, len, true, "without the white space at its end");
    while (len && is_space(*from))
        from++, len--;
    if (from != text)
        command_line(s, from, len, true, "without the white space around it");
    if (len >= 2 && (*from == '"' || *from == '\'') && from[len - 1] == *from)
        command_line(s, from + 1, len - 2, true, "without the quotes around it");
    return true;
}

static bool list_kernels(struct suspects *s, const struct attest_launch *in,
                         const struct attest_suspects *more)
{
    struct alternative *a;

    snprintf(s->given[DIM_KERNEL], 80, in->kernel.at ? "as given" : "none");
    snprintf(s->given[DIM_INITRD], 80, in->initrd.at ? "as given" : "none");
    if (in->append.at)
        snprintf(s->given[DIM_APPEND], 80, "'%.*s'", (int)MIN(in->append.len, 70),
                 (const char *)in->append.at);
    else
        snprintf(s->given[DIM_APPEND], 80, "none");
    for (size_t i = 0; more && i < more->kernel_count; i++)
        (void)file(s, DIM_KERNEL, more->kernel[i].bytes, more->kernel[i].name);
    if (!in->kernel.at && !s->count[DIM_KERNEL])
        return true;
    a = in->kernel.at ? more_of(s, DIM_KERNEL) : NULL;
    if (a) {
        a->quirk = ATTEST_QUIRK_NO_TABLE;
        snprintf(a->name, sizeof(a->name), "not measured (kernel-hashes=off, or no kernel)");
    }
    if (in->initrd.at && in->initrd.len &&
        (a = file(s, DIM_INITRD, (struct attest_span){0}, "none")))
        (void)!sha256(a->hash, "", 0);
    for (size_t i = 0; more && i < more->initrd_count; i++)
        (void)file(s, DIM_INITRD, more->initrd[i].bytes, more->initrd[i].name);
    for (size_t i = 0; more && i < more->append_count; i++)
        command_line(s, (const char *)more->append[i].bytes.at, more->append[i].bytes.len, true,
                     more->append[i].name);
    return list_command_lines(s, in);
}

/* ---- the launch
 * ------------------------------------------------------------------------------------ */

static void list_layouts(struct suspects *s, const struct attest_launch *in)
{
    bool ec2 = in->vmm == ATTEST_VMM_EC2, gce = in->vmm == ATTEST_VMM_GCE;

    snprintf(s->given[DIM_LAYOUT], 80, "as usual");
    if (in->mode == ATTEST_SEV_ES)
        quirk(s, ATTEST_QUIRK_SNP_FEATURES, "VMSAs with the guest features, not with 0");
    if (!mode_is_snp(in->mode))
        return;
    quirk(s, ec2 ? ATTEST_QUIRK_CPUID_IN_ORDER : ATTEST_QUIRK_CPUID_LAST,
          ec2 ? "CPUID page in its place" : "CPUID page after all other sections");
    quirk(s, gce ? ATTEST_QUIRK_MEM_ZERO : ATTEST_QUIRK_MEM_UNMEASURED,
          gce ? "firmware's memory as ZERO pages" : "firmware's memory as UNMEASURED pages");
    if (ec2)
        quirk(s, ATTEST_QUIRK_EC2_RDX_0, "VMSAs with RDX 0, as EC2 had them before 2026");
    quirk(s, ATTEST_QUIRK_VMSA_GPA_52, "VMSAs at FFFFFFFFFF000");
    quirk(s, ATTEST_QUIRK_SORTED, "sections in the order of their addresses");
}

static void list_hypervisors(struct suspects *s, const struct attest_launch *in)
{
    snprintf(s->given[DIM_VMM], 80, "%s", attest_vmm_name(in->vmm));
    for (unsigned v = 0; v < ATTEST_VMMS; v++) {
        struct alternative *a = v == (unsigned)in->vmm ? NULL : more_of(s, DIM_VMM);

        if (!a)
            continue;
        a->number = v;
        snprintf(a->name, sizeof(a->name), "%s", attest_vmm_name(v));
        if (v != ATTEST_VMM_EC2)
            continue;
        a = more_of(s, DIM_VMM); /* and as it was before 2026 */
        if (a) {
            a->number = v;
            a->quirk = ATTEST_QUIRK_EC2_RDX_0;
            snprintf(a->name, sizeof(a->name), "%s, with RDX 0 as before 2026", attest_vmm_name(v));
        }
    }
}

static void list_modes(struct suspects *s, const struct attest_launch *in, size_t digest_len)
{
    struct alternative *a;

    if (digest_len != ATTEST_SEV_DIGEST_BYTES)
        return;
    a = more_of(s, DIM_MODE);
    if (!a)
        return;
    a->number = in->mode == ATTEST_SEV ? ATTEST_SEV_ES : ATTEST_SEV;
    snprintf(a->name, sizeof(a->name), "%s", in->mode == ATTEST_SEV ? "seves" : "sev");
    snprintf(s->given[DIM_MODE], 80, "%s", in->mode == ATTEST_SEV ? "sev" : "seves");
}

/* Sizes of edk2's variable stores. */
static void list_stores(struct suspects *s, const struct attest_launch *in)
{
    static const uint64_t sizes[] = {0, 0x20000, 0x84000, 0x40000, 0x10000};

    snprintf(s->given[DIM_VARS], 80, "%#" PRIx64, in->vars_size);
    for (size_t i = 0; i < COUNT(sizes); i++)
        number(s, DIM_VARS, sizes[i], in->vars_size, i ? NULL : "none");
}

enum attest_status suspects_list(struct suspects *s, const struct attest_launch *in,
                                 size_t digest_len, const struct attest_suspects *more,
                                 struct attest_error *err)
{
    *s = (struct suspects){.text = NULL};
    for (unsigned d = 0; d < DIMENSIONS; d++) {
        s->alt[d] = calloc(ALTERNATIVES_MAX, sizeof(*s->alt[d]));
        if (!s->alt[d])
            return NO_MEMORY(err);
    }
    snprintf(s->given[DIM_OVMF], 80, "as given");
    for (size_t i = 0; more && i < more->ovmf_count; i++)
        (void)file(s, DIM_OVMF, more->ovmf[i].bytes, more->ovmf[i].name);
    list_modes(s, in, digest_len);
    if (in->mode != ATTEST_SNP_SVSM && !list_kernels(s, in, more))
        return NO_MEMORY(err);
    if (in->mode == ATTEST_SNP_SVSM)
        list_stores(s, in);
    else
        list_hypervisors(s, in);
    list_processors(s, in, more);
    list_features(s, in);
    list_layouts(s, in);
    return ATTEST_OK;
}

void suspects_free(struct suspects *s)
{
    for (unsigned d = 0; d < DIMENSIONS; d++)
        free(s->alt[d]);
    free(s->text);
}

void suspects_apply(struct guess *g, enum dimension d, const struct alternative *a)
{
    g->in.quirks |= a->quirk;
    switch (d) {
    case DIM_MODE:
        g->in.mode = (enum attest_mode)a->number;
        break;
    case DIM_OVMF:
        g->in.ovmf = a->bytes;
        g->in.ovmf_hash = (struct attest_span){NULL, 0};
        break;
    case DIM_VMM:
        g->in.vmm = (enum attest_vmm)a->number;
        break;
    case DIM_APPEND:
        g->in.append = a->bytes;
        memcpy(g->hashes.cmdline, a->hash, sizeof(a->hash));
        break;
    case DIM_INITRD:
        g->in.initrd = a->bytes;
        memcpy(g->hashes.initrd, a->hash, sizeof(a->hash));
        break;
    case DIM_KERNEL:
        if (a->quirk)
            break; /* its hash is not launched */
        g->in.kernel = a->bytes;
        memcpy(g->hashes.kernel, a->hash, sizeof(a->hash));
        break;
    case DIM_SIGNATURE:
        g->in.vcpu_signature = (uint32_t)a->number;
        break;
    case DIM_FEATURES:
        g->in.guest_features = a->number;
        break;
    case DIM_VARS:
        g->in.vars_size = a->number;
        break;
    default:
        break; /* DIM_LAYOUT is nothing but quirks */
    }
}
