/* Which input is wrong: launches that differ in a known way must be explained by that way and no
 * other, and two launches must part where they were made to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/launch.h"
#include "base/bytes.h"
#include "lucca/measure.h"

#include <cmocka.h> /* last: it has a macro fail() */

static uint8_t suffix[4096], other[4096]; /* the end of an AmdSev OVMF; another build of it */

static int load(void **state)
{
    FILE *f = fopen(LUCCA_DATA "/measure/ovmf_AmdSev_suffix.bin", "rbe");
    size_t n = f ? fread(suffix, 1, sizeof(suffix), f) : 0;

    (void)state;
    if (f)
        fclose(f);
    memcpy(other, suffix, sizeof(other));
    other[0] ^= 1;
    return n == sizeof(suffix) ? 0 : -1;
}

static struct attest_span text(const char *s)
{
    return (struct attest_span){(const uint8_t *)s, strlen(s)};
}

static struct attest_launch launch(enum attest_mode mode)
{
    return (struct attest_launch){
        .mode = mode,
        .vcpus = 1,
        .vcpu_signature = 0x800f12,
        .guest_features = 1,
        .ovmf = {suffix, sizeof(suffix)},
        .kernel = text("a kernel"),
        .initrd = text("an initrd"),
        .append = text("console=ttyS0"),
    };
}

static size_t measure(const struct attest_launch *in, uint8_t digest[48])
{
    struct attest_error err;
    size_t len;

    if (attest_measure(in, digest, &len, &err) != ATTEST_OK)
        fail_msg("%s", err.text);
    return len;
}

/* ---- the search
 * ---------------------------------------------------------------------------------- */

static void four_vcpus(struct attest_launch *l)
{
    l->vcpus = 4;
}
static void many_vcpus(struct attest_launch *l)
{
    l->vcpus = 255;
}
static void milan(struct attest_launch *l)
{
    l->vcpu_signature = 0xa00f11;
}
static void stepping(struct attest_launch *l)
{
    l->vcpu_signature = 0x800f17;
}
static void debug_swap(struct attest_launch *l)
{
    l->guest_features = 0x21;
}
static void secure_tsc(struct attest_launch *l)
{
    l->guest_features = 0x201;
}
static void ec2(struct attest_launch *l)
{
    l->vmm = ATTEST_VMM_EC2;
}
static void old_ec2(struct attest_launch *l)
{
    l->vmm = ATTEST_VMM_EC2, l->quirks = ATTEST_QUIRK_EC2_RDX_0;
}
static void gce(struct attest_launch *l)
{
    l->vmm = ATTEST_VMM_GCE;
}
static void newline(struct attest_launch *l)
{
    l->append = text("console=ttyS0\n");
}
static void no_nul(struct attest_launch *l)
{
    l->quirks = ATTEST_QUIRK_NO_NUL;
}
static void quotes(struct attest_launch *l)
{
    l->append = text("\"console=ttyS0\"");
}
static void no_append(struct attest_launch *l)
{
    l->append = (struct attest_span){NULL, 0};
}
static void no_initrd(struct attest_launch *l)
{
    l->initrd = (struct attest_span){NULL, 0};
}
static void no_hashes(struct attest_launch *l)
{
    l->quirks = ATTEST_QUIRK_NO_TABLE;
}
static void cpuid_last(struct attest_launch *l)
{
    l->quirks = ATTEST_QUIRK_CPUID_LAST;
}
static void wide_gpa(struct attest_launch *l)
{
    l->quirks = ATTEST_QUIRK_VMSA_GPA_52;
}
static void other_ovmf(struct attest_launch *l)
{
    l->ovmf.at = other;
}
static void other_kernel(struct attest_launch *l)
{
    l->kernel = text("new kernel");
}
static void es(struct attest_launch *l)
{
    l->mode = ATTEST_SEV_ES;
}
static void snp_features(struct attest_launch *l)
{
    l->quirks = ATTEST_QUIRK_SNP_FEATURES;
}
static void milan_and_swap(struct attest_launch *l)
{
    milan(l), debug_swap(l);
}
static void gce_with_8(struct attest_launch *l)
{
    gce(l), l->vcpus = 8;
}
static void three_and_vcpus(struct attest_launch *l)
{
    milan(l), debug_swap(l), newline(l), l->vcpus = 3;
}

static const struct {
    enum attest_mode mode;
    void (*change)(struct attest_launch *l);
    unsigned changes;
    const char *what, *needed; /* the first change */
} rows[] = {
    {ATTEST_SNP, four_vcpus, 1, "vCPUs", "4"},
    {ATTEST_SNP, many_vcpus, 1, "vCPUs", "255"},
    {ATTEST_SNP, milan, 1, "signature", "EPYC-Milan"},
    {ATTEST_SNP, stepping, 1, "signature", "0x800f17"},
    {ATTEST_SNP, debug_swap, 1, "features", "debug swap"},
    {ATTEST_SNP, secure_tsc, 1, "features", "0x201"},
    {ATTEST_SNP, ec2, 1, "hypervisor", "ec2"},
    {ATTEST_SNP, old_ec2, 1, "hypervisor", "before 2026"},
    {ATTEST_SNP, gce, 1, "hypervisor", "gce"},
    {ATTEST_SNP, newline, 1, "command line", "line feed"},
    {ATTEST_SNP, no_nul, 1, "command line", "NUL"},
    {ATTEST_SNP, quotes, 1, "command line", "double quotes"},
    {ATTEST_SNP, no_append, 1, "command line", "empty"},
    {ATTEST_SNP, no_initrd, 1, "initrd", "none"},
    {ATTEST_SNP, no_hashes, 1, "kernel", "not measured"},
    {ATTEST_SNP, cpuid_last, 1, "layout", "CPUID page after"},
    {ATTEST_SNP, wide_gpa, 1, "layout", "FFFFFFFFFF000"},
    {ATTEST_SNP, other_ovmf, 1, "firmware", "OVMF.new.fd"},
    {ATTEST_SNP, other_kernel, 1, "kernel", "vmlinuz.new"},
    {ATTEST_SNP, milan_and_swap, 2, "signature", "EPYC-Milan"},
    {ATTEST_SNP, gce_with_8, 2, "hypervisor", "gce"},
    {ATTEST_SNP, three_and_vcpus, 4, "command line", "line feed"},
    {ATTEST_SEV, newline, 1, "command line", "line feed"},
    {ATTEST_SEV, es, 1, "mode", "seves"},
    {ATTEST_SEV, other_ovmf, 1, "firmware", "OVMF.new.fd"},
    {ATTEST_SEV_ES, four_vcpus, 1, "vCPUs", "4"},
    {ATTEST_SEV_ES, no_initrd, 1, "initrd", "none"},
    {ATTEST_SEV_ES, snp_features, 1, "layout", "guest features"},
};

static void one_change_is_named(void **state)
{
    const struct attest_suspect ovmf = {{other, sizeof(other)}, "OVMF.new.fd"};
    const struct attest_suspect kernel = {text("new kernel"), "vmlinuz.new"};
    const struct attest_suspects more = {
        .ovmf = &ovmf, .ovmf_count = 1, .kernel = &kernel, .kernel_count = 1};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attest_launch given = launch(rows[i].mode), true_one = given;
        struct attest_explanation e;
        uint8_t digest[48], again[48];
        size_t len;

        rows[i].change(&true_one);
        len = measure(&true_one, digest);
        assert_int_equal(attest_explain(&given, digest, len, &more, &e, NULL), ATTEST_OK);
        if (!e.found || e.changes != rows[i].changes || !strstr(e.change[0].what, rows[i].what) ||
            !strstr(e.change[0].needed, rows[i].needed))
            fail_msg("row %zu: %u changes, '%s' to '%s'", i, e.changes,
                     e.found ? e.change[0].what : "", e.change[0].needed);
        (void)measure(&e.launch, again); /* what it says is so */
        assert_memory_equal(again, digest, len);
        attest_explanation_free(&e);
    }
}

static void nothing_to_explain(void **state)
{
    struct attest_launch given = launch(ATTEST_SNP);
    struct attest_explanation e;
    uint8_t digest[48];
    size_t len = measure(&given, digest);

    (void)state;
    assert_int_equal(attest_explain(&given, digest, len, NULL, &e, NULL), ATTEST_OK);
    assert_true(e.found);
    assert_int_equal(e.changes, 0);
    assert_int_equal(e.tried, 1);
    attest_explanation_free(&e);
    assert_int_equal(attest_explain(&given, digest, 32, NULL, &e, NULL), ATTEST_E_ARG);
}

static void what_nothing_explains(void **state)
{
    const struct attest_suspects few = {.vcpus_max = 2};
    struct attest_launch given = launch(ATTEST_SNP);
    struct attest_explanation e;
    uint8_t digest[48] = {0};

    (void)state;
    given.kernel = given.initrd = given.append = (struct attest_span){NULL, 0};
    assert_int_equal(attest_explain(&given, digest, 48, &few, &e, NULL), ATTEST_OK);
    assert_false(e.found);
    assert_true(e.tried > 1000);
    attest_explanation_free(&e);
}

/* ---- two launches
 * ---------------------------------------------------------------------------------- */

static void parts_at(const struct attest_launch *a, const struct attest_launch *b,
                     const char *where, const char *field, const char *va, const char *vb)
{
    struct attest_difference d;
    struct attest_image *x, *y;

    assert_int_equal(attest_image_of(&x, a, NULL), ATTEST_OK);
    assert_int_equal(attest_image_of(&y, b, NULL), ATTEST_OK);
    attest_image_compare(x, y, &d);
    if (!d.any || !strstr(d.where, where) || strcmp(d.field, field) != 0 ||
        (va && (strcmp(d.value[0], va) != 0 || strcmp(d.value[1], vb) != 0)))
        fail_msg("%d, %s: %s, %s and %s", d.any, d.where, d.field, d.value[0], d.value[1]);
    attest_image_free(x);
    attest_image_free(y);
}

static void where_two_launches_part(void **state)
{
    struct attest_launch a = launch(ATTEST_SNP), b = a;
    struct attest_difference d;
    struct attest_image *x, *y;

    (void)state;
    debug_swap(&b);
    parts_at(&a, &b, "VMSA of vCPU 0", "SEV_FEATURES", "0x1", "0x21");
    b = a, milan(&b);
    parts_at(&a, &b, "VMSA of vCPU 0", "RDX", "0x800f12", "0xa00f11");
    b = a, b.vmm = ATTEST_VMM_KRUN;
    parts_at(&a, &b, "VMSA of vCPU 0", "CS.attributes", "0x9b", "0x9a");
    b = a, four_vcpus(&b);
    parts_at(&a, &b, "VMSA of vCPU 1", "presence", "the end", "launched");
    b = a, newline(&b);
    parts_at(&a, &b, "kernel hashes", "hash of the command line", NULL, NULL);
    b = a, no_initrd(&b);
    parts_at(&a, &b, "kernel hashes", "hash of the initrd", NULL, NULL);
    b = a, other_kernel(&b);
    parts_at(&a, &b, "kernel hashes", "hash of the kernel", NULL, NULL);
    b = a, gce(&b);
    parts_at(&a, &b, "firmware's memory", "type", "zero", "unmeasured");
    b = a, cpuid_last(&b);
    parts_at(&a, &b, "CPUID page, or SVSM", "type", "cpuid", "zero");
    b = a, wide_gpa(&b);
    parts_at(&a, &b, "VMSA of vCPU 0", "GPA", "0xfffffffff000", "0xffffffffff000");
    b = a, other_ovmf(&b);
    parts_at(&a, &b, "firmware", "byte 0", NULL, NULL);
    a = launch(ATTEST_SEV_ES);
    b = a, newline(&b);
    parts_at(&a, &b, "kernel hashes", "hash of the command line", NULL, NULL);
    b = a, milan(&b);
    parts_at(&a, &b, "VMSA of vCPU 0", "RDX", NULL, NULL);
    b = launch(ATTEST_SNP);
    parts_at(&a, &b, "launch", "mode", "SEV", "SEV-SNP");
    assert_int_equal(attest_image_of(&x, &a, NULL), ATTEST_OK);
    assert_int_equal(attest_image_of(&y, &a, NULL), ATTEST_OK);
    attest_image_compare(x, y, &d);
    assert_false(d.any);
    attest_image_free(x);
    attest_image_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_change_is_named),
        cmocka_unit_test(nothing_to_explain),
        cmocka_unit_test(what_nothing_explains),
        cmocka_unit_test(where_two_launches_part),
    };

    return cmocka_run_group_tests_name("explain", tests, load, NULL);
}
