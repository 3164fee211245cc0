/* Launch measurements against values that others published, and the parsers below them against
 * damaged input. Data: tests/data/measure, with its provenance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/launch.h"
#include "attest/ovmf.h"
#include "attest/vmsa.h"
#include "base/bytes.h"
#include "lucca/measure.h"

#include <cmocka.h> /* last: it has a macro fail() */

#define SUFFIX_BYTES 4096u

static uint8_t suffix[SUFFIX_BYTES]; /* the last 4 KiB of an AmdSev OVMF */

static void hex(char *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", from[i]);
}

static void assert_hex(const char *what, const uint8_t *found, size_t n, const char *wanted)
{
    char text[2 * ATTEST_DIGEST_MAX + 1];

    hex(text, found, n);
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        fail_msg("%s: %s, not %s", what, text, wanted);
}

static int load(void **state)
{
    FILE *f = fopen(LUCCA_DATA "/measure/ovmf_AmdSev_suffix.bin", "rbe");
    size_t n = f ? fread(suffix, 1, sizeof(suffix), f) : 0;

    (void)state;
    if (f)
        fclose(f);
    return n == sizeof(suffix) ? 0 : -1;
}

static struct attest_launch amdsev(enum attest_mode mode)
{
    return (struct attest_launch){
        .mode = mode,
        .vmm = ATTEST_VMM_QEMU,
        .vcpus = 1,
        .vcpu_signature = 0x800f12,
        .guest_features = 0x21,
        .ovmf = {suffix, sizeof(suffix)},
    };
}

static struct attest_span text(const char *s)
{
    return s ? (struct attest_span){(const uint8_t *)s, strlen(s)} : (struct attest_span){NULL, 0};
}

/* ---- published digests ----------------------------------------------------------------------- */

#define EMPTY   "" /* a file without a byte; NULL: no file */
#define CONSOLE "console=ttyS0 loglevel=7"
#define FIRMWARE_DIGEST                                                                            \
    "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d46" \
    "6b74"

/* virtee/sev-snp-measure, tests/test_guest.py (Apache-2.0); as in vectors.json. */
static const struct {
    const char *name;
    enum attest_mode mode;
    unsigned vcpus;
    const char *kernel, *initrd, *append;
    uint64_t features;
    bool by_hash; /* the firmware is given by its digest, too */
    const char *digest;
} vectors[] = {
    {"test_sev", ATTEST_SEV, 1, EMPTY, EMPTY, CONSOLE, 0x21, false,
     "82a3ee5d537c3620628270c292ae30cb40c3c878666a7890ee7ef2a08fb535ff"},
    {"test_sev_with_kernel_without_initrd_and_append", ATTEST_SEV, 1, EMPTY, NULL, NULL, 0x21,
     false, "77f613d7bbcdf12a73782ea9e88b0172aeda50d1a54201cb903594ff52846898"},
    {"test_seves", ATTEST_SEV_ES, 1, EMPTY, EMPTY, "", 0x1, false,
     "13810ae661ea11e2bb205621f582fee268f0367c8f97bc297b7fadef3e12002c"},
    {"test_snp_default", ATTEST_SNP, 1, EMPTY, EMPTY, CONSOLE, 0x21, false,
     "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228"
     "9"
     "77"},
    {"test_snp_ovmf_hash_full_default", ATTEST_SNP, 1, EMPTY, EMPTY, CONSOLE, 0x21, true,
     "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d0228"
     "9"
     "77"},
    {"test_snp_with_multiple_vcpus_default", ATTEST_SNP, 4, EMPTY, EMPTY, "", 0x21, false,
     "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a631"
     "9"
     "42"},
    {"test_snp_without_kernel_default", ATTEST_SNP, 1, NULL, NULL, NULL, 0x21, false,
     "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0"
     "e"
     "2b"},
};

static void published_digests(void **state)
{
    uint8_t firmware[48], digest[ATTEST_DIGEST_MAX];
    struct attest_error err;
    size_t len;

    (void)state;
    assert_int_equal(attest_measure_ovmf(suffix, sizeof(suffix), firmware, &err), ATTEST_OK);
    assert_hex("the firmware", firmware, 48, FIRMWARE_DIGEST);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct attest_launch in = amdsev(vectors[i].mode);

        in.vcpus = vectors[i].vcpus;
        in.kernel = text(vectors[i].kernel);
        in.initrd = text(vectors[i].initrd);
        in.append = text(vectors[i].append);
        in.guest_features = vectors[i].features;
        if (vectors[i].by_hash)
            in.ovmf_hash = (struct attest_span){firmware, sizeof(firmware)};
        if (attest_measure(&in, digest, &len, &err) != ATTEST_OK)
            fail_msg("%s: %s", vectors[i].name, err.text);
        assert_int_equal(len, strlen(vectors[i].digest) / 2);
        assert_hex(vectors[i].name, digest, len, vectors[i].digest);
    }
}

/* ---- single pages (SEV-SNP ABI, 8.17) -------------------------------------------------------- */

static const struct {
    enum attest_page_type type;
    uint64_t gpa;
    const char *digest; /* each on top of the one before */
} steps[] = {
    {ATTEST_PAGE_NORMAL, 0x1000,
     "e6e4d78904d9d6b33c0cbfd121998fd2d11744dae606b3aee35e2a45d6869b60b35c63928a9232bef72d6be386f48"
     "e"
     "c6"},
    {ATTEST_PAGE_ZERO, 0x2000,
     "8233fbe1ec826b22907aa9397de357831970a96a08e3783a274d6349194edde812a85313b0916402f33d069e71e12"
     "4"
     "8d"},
    {ATTEST_PAGE_UNMEASURED, 0x3000,
     "e38aa6d01be592105dece52b841baab5f074b7680817c0db474561fc74b5aa89826cef755d515e57daaabe1f220f7"
     "0"
     "d6"},
    {ATTEST_PAGE_SECRETS, 0x4000,
     "4ab99c5fb84fc4720a053aee17fc63d5ca6ba07716d1f97e2e899de0aa4610d5cfc20f60f19b161b1a7b6e8f245a4"
     "f"
     "6f"},
    {ATTEST_PAGE_CPUID, 0x5000,
     "adf702781cc8401038504a836700bf30b87124cea93ef7e2174454dd11b1b9b6d05e1d8e7f8b46ba81813eb777f32"
     "3"
     "6c"},
    {ATTEST_PAGE_VMSA, ATTEST_VMSA_GPA,
     "47f0778b1d92227de6842bed9fec449ab465cbde34d2a4b4a2ac3d56f12d6f71c737bbb2a5b0ee82421b441ed981e"
     "c"
     "c8"},
};

static void chained_pages(void **state)
{
    static const uint8_t zeros[PAGE_BYTES];
    const struct vmsa_spec spec = {
        .vmm = ATTEST_VMM_QEMU, .eip = VMSA_BSP_EIP, .rdx = 0x800f12, .sev_features = 1};
    uint8_t ld[48] = {0}, vmsa[VMSA_BYTES];
    struct attest_error err;

    (void)state;
    vmsa_reset(vmsa, &spec);
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct attest_piece p = {.type = steps[i].type, .gpa = steps[i].gpa, .len = PAGE_BYTES};

        if (p.type == ATTEST_PAGE_NORMAL)
            p.contents = zeros;
        if (p.type == ATTEST_PAGE_VMSA)
            p.contents = vmsa;
        assert_int_equal(attest_measure_page(ld, &p, &err), ATTEST_OK);
        assert_hex(attest_page_type_name(p.type), ld, 48, steps[i].digest);
    }
}

/* TSC scale and offset (2F0h .. 2FFh) are the host's business: the firmware measures zeros. */
static void tsc_is_not_measured(void **state)
{
    uint8_t plain[VMSA_BYTES], scaled[VMSA_BYTES], a[48] = {0}, b[48] = {0}, c[48] = {0};
    struct attest_piece p = {.type = ATTEST_PAGE_VMSA, .len = PAGE_BYTES, .contents = plain};
    const struct vmsa_spec spec = {.eip = VMSA_BSP_EIP};

    (void)state;
    vmsa_reset(plain, &spec);
    memcpy(scaled, plain, sizeof(scaled));
    memset(scaled + VMSA_GUEST_TSC_SCALE, 0x5A, 16);
    assert_int_equal(attest_measure_page(a, &p, NULL), ATTEST_OK);
    p.contents = scaled;
    assert_int_equal(attest_measure_page(b, &p, NULL), ATTEST_OK);
    assert_memory_equal(a, b, sizeof(a));
    scaled[VMSA_GUEST_TSC_SCALE - 1] ^= 1;
    assert_int_equal(attest_measure_page(c, &p, NULL), ATTEST_OK);
    assert_memory_not_equal(a, c, sizeof(a));
}

/* Permissions count, in the order of the ABI's table: VMPL1 at 65h. */
static void permissions_are_measured(void **state)
{
    uint8_t info[0x70] = {0}, wanted[48];
    struct attest_piece p = {
        .type = ATTEST_PAGE_ZERO, .vmpl = {1, 2, 3}, .imi = true, .gpa = 0x7000, .len = PAGE_BYTES};
    uint8_t ld[48];

    (void)state;
    memset(ld, 0x11, sizeof(ld));
    memcpy(info, ld, sizeof(ld));
    store16(info + 0x60, 0x70);
    info[0x62] = 3;
    info[0x63] = 1;
    info[0x65] = 1;
    info[0x66] = 2;
    info[0x67] = 3;
    store64(info + 0x68, 0x7000);
    assert_true(sha384(wanted, info, sizeof(info)));
    assert_int_equal(attest_measure_page(ld, &p, NULL), ATTEST_OK);
    assert_memory_equal(ld, wanted, sizeof(ld));
}

/* ---- VMSAs ----------------------------------------------------------------------------------- */

static void published_vmsas(void **state)
{
    static const struct {
        enum attest_vmm vmm;
        uint64_t rdx;
        const char *bsp, *ap; /* the first 16 bytes of SHA-384 */
    } rows[] = {
        {ATTEST_VMM_QEMU, 0x800f12, "77920c4c629ff47e90c0e174fc1ad0eb",
         "8413b852790765a310d95867a8b00bfc"},
        {ATTEST_VMM_EC2, 0x600, "d08442e8bcdb6a5dcd7f22e4f7fd6979",
         "acff2d22db95b8eb82272d844aa2ad1f"},
        {ATTEST_VMM_GCE, 0x600, "f9e03177dad7f4819ee193af7cfb7050",
         "5302d262c88780a7a13159a327fa99cf"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa_spec spec = {
            .vmm = rows[i].vmm, .eip = VMSA_BSP_EIP, .rdx = rows[i].rdx, .sev_features = 1};
        uint8_t page[VMSA_BYTES], digest[48];

        vmsa_reset(page, &spec);
        assert_true(sha384(digest, page, sizeof(page)));
        assert_hex("BSP", digest, 16, rows[i].bsp);
        spec.eip = 0x80b004;
        vmsa_reset(page, &spec);
        assert_true(sha384(digest, page, sizeof(page)));
        assert_hex("AP", digest, 16, rows[i].ap);
    }
}

static void vmsa_fields_have_names(void **state)
{
    struct vmsa_field f;
    unsigned last = 0;

    (void)state;
    f = vmsa_field_at(0x018);
    assert_string_equal(f.name, "CS.base");
    assert_int_equal(f.at, 0x018);
    assert_int_equal(f.bytes, 8);
    assert_string_equal(vmsa_field_at(0x093).name, "TR.attributes");
    assert_string_equal(vmsa_field_at(0x3B7).name, "SEV_FEATURES");
    assert_string_equal(vmsa_field_at(0x0C9).name, "reserved");
    assert_string_equal(vmsa_field_at(0xFFF).name, "reserved");
    for (unsigned at = 0; at < VMSA_BYTES; at = f.at + f.bytes) { /* in order, none overlaps */
        f = vmsa_field_at(at);
        assert_int_equal(f.at, at);
        assert_true(at == 0 || f.at > last);
        last = f.at;
    }
}

static void signatures(void **state)
{
    uint32_t sig = 0;
    size_t count;
    const struct attest_vcpu_type *types = attest_vcpu_types(&count);

    (void)state;
    assert_true(attest_vcpu_signature(23, 1, 2, &sig));
    assert_int_equal(sig, 0x800f12);
    assert_true(attest_vcpu_signature(0x19, 0x11, 0, &sig));
    assert_int_equal(sig, 0xa10f10);
    assert_true(attest_vcpu_signature(6, 0x3F, 2, &sig));
    assert_int_equal(sig, 0x306f2 & ~0u);
    assert_false(attest_vcpu_signature(0x10F, 0, 0, &sig));
    assert_false(attest_vcpu_signature(0x19, 0x100, 0, &sig));
    assert_false(attest_vcpu_signature(0x19, 0, 16, &sig));
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(types[i].name, types[k].name);
}

/* ---- hypervisors ----------------------------------------------------------------------------- */

static void order_of(const struct attest_launch *in, char *to, size_t size)
{
    struct attest_image *image;
    struct attest_error err;

    *to = 0;
    if (attest_image_of(&image, in, &err) != ATTEST_OK)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < attest_image_pieces(image); i++)
        snprintf(to + strlen(to), size - strlen(to), "%s%s", i ? " " : "",
                 attest_page_type_name(attest_image_piece(image, i)->type));
    attest_image_free(image);
}

static void order_of_pages(void **state)
{
    struct attest_launch in = amdsev(ATTEST_SNP);
    char order[200];

    (void)state;
    in.vcpus = 2;
    order_of(&in, order, sizeof(order));
    assert_string_equal(order, "normal zero zero secrets cpuid zero zero zero vmsa vmsa");
    in.vmm = ATTEST_VMM_EC2;
    order_of(&in, order, sizeof(order));
    assert_string_equal(order, "normal zero zero secrets zero zero zero cpuid vmsa vmsa");
    in.vmm = ATTEST_VMM_GCE;
    order_of(&in, order, sizeof(order));
    assert_string_equal(
        order, "normal unmeasured unmeasured secrets cpuid zero zero unmeasured vmsa vmsa");
    in.vmm = ATTEST_VMM_QEMU;
    in.kernel = text("kernel");
    order_of(&in, order, sizeof(order));
    assert_string_equal(order, "normal zero zero secrets cpuid zero normal zero vmsa vmsa");
    in.mode = ATTEST_SEV_ES;
    order_of(&in, order, sizeof(order));
    assert_string_equal(order, "data data vmsa vmsa");
}

/* An image like an SVSM's: the suffix with its hash table entry turned into SVSM information. */
static void svsm_image(uint8_t image[2 * SUFFIX_BYTES])
{
    static const uint8_t svsm[16] = {0x12, 0xa6, 0x89, 0xa7, 0x97, 0x05, 0x4b, 0x4c,
                                     0xa4, 0x9f, 0xcb, 0xb1, 0xfe, 0x9d, 0x1d, 0xdd};
    static const uint8_t hashes[16] = {0x1f, 0x37, 0x55, 0x72, 0x3b, 0x3a, 0x04, 0x4b,
                                       0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54};
    uint8_t *at;

    memset(image, 0xEE, SUFFIX_BYTES);
    memcpy(image + SUFFIX_BYTES, suffix, SUFFIX_BYTES);
    at = memmem(image, 2 * SUFFIX_BYTES, hashes, sizeof(hashes));
    assert_non_null(at);
    memcpy(at, svsm, sizeof(svsm));
    store32(at - 10, 0x1234); /* entry: the first word of the data */
}

static void svsm_launch(void **state)
{
    static uint8_t image[2 * SUFFIX_BYTES];
    struct attest_launch in = amdsev(ATTEST_SNP_SVSM);
    struct attest_image *launch;
    struct attest_error err;
    char order[200];

    (void)state;
    svsm_image(image);
    in.vcpus = 2;
    in.svsm = (struct attest_span){image, sizeof(image)};
    in.vars_size = 0x84000;
    order_of(&in, order, sizeof(order));
    assert_string_equal(order, "normal normal zero zero secrets cpuid zero zero zero vmsa vmsa");
    assert_int_equal(attest_image_of(&launch, &in, &err), ATTEST_OK);
    assert_int_equal(attest_image_piece(launch, 1)->gpa, 0xFFFFF000 - 0x84000 - 0x2000);
    assert_int_equal(load64(attest_image_piece(launch, 9)->contents + VMSA_RIP),
                     0xFFFFF000 - 0x84000 - 0x2000 + 0x1234);
    assert_memory_equal(attest_image_piece(launch, 9)->contents,
                        attest_image_piece(launch, 10)->contents, VMSA_BYTES);
    attest_image_free(launch);
    in.svsm = (struct attest_span){suffix, sizeof(suffix)}; /* no SVSM */
    assert_int_equal(attest_image_of(&launch, &in, &err), ATTEST_E_FORMAT);
}

/* ---- what cannot be measured ----------------------------------------------------------------- */

static void refused(const struct attest_launch *in, enum attest_status code, const char *why)
{
    uint8_t digest[ATTEST_DIGEST_MAX];
    struct attest_error err = {0};
    size_t len;

    assert_int_equal(attest_measure(in, digest, &len, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, why))
        fail_msg("'%s' does not say '%s'", err.text, why);
}

static void impossible_launches(void **state)
{
    static uint8_t bare[8192]; /* firmware without a table */
    struct attest_launch in = amdsev(ATTEST_SNP);
    uint8_t hash[48] = {0};

    (void)state;
    in.vcpus = 0;
    refused(&in, ATTEST_E_ARG, "vCPU");
    in.vcpus = ATTEST_VCPUS_MAX + 1;
    refused(&in, ATTEST_E_ARG, "vCPU");
    in = amdsev(ATTEST_SNP);
    in.initrd = text("initrd");
    refused(&in, ATTEST_E_ARG, "without a kernel");
    in = amdsev(ATTEST_SNP);
    in.ovmf_hash = (struct attest_span){hash, 47};
    refused(&in, ATTEST_E_ARG, "48 bytes");
    in = amdsev(ATTEST_SNP);
    in.ovmf = (struct attest_span){NULL, 0};
    refused(&in, ATTEST_E_ARG, "firmware");
    in = amdsev(ATTEST_SNP);
    in.ovmf = (struct attest_span){bare, sizeof(bare)};
    refused(&in, ATTEST_E_FORMAT, "SEV metadata");
    in.mode = ATTEST_SEV_ES;
    in.vcpus = 2;
    refused(&in, ATTEST_E_FORMAT, "reset block");
    in.mode = ATTEST_SEV;
    in.kernel = text("kernel");
    refused(&in, ATTEST_E_FORMAT, "AmdSev");
    in = amdsev(ATTEST_SNP_SVSM);
    refused(&in, ATTEST_E_ARG, "SVSM");
}

/* ---- broken images --------------------------------------------------------------------------- */

/* Every single damaged byte of the tables: parsed or refused, and in bounds (sanitizers look). */
static void damaged_tables(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    unsigned refusals = 0;

    (void)state;
    for (unsigned at = SUFFIX_BYTES - 0x600; at < SUFFIX_BYTES; at++)
        for (unsigned v = 0; v < COUNT(values); v++) {
            uint8_t *image = malloc(SUFFIX_BYTES);
            struct attest_error err = {0};
            struct ovmf o;

            assert_non_null(image);
            memcpy(image, suffix, SUFFIX_BYTES);
            image[at] = values[v];
            if (ovmf_parse(&o, image, SUFFIX_BYTES, OVMF_END, &err) != ATTEST_OK) {
                assert_true(err.text[0]);
                refusals++;
            }
            free(image);
        }
    assert_true(refusals > 50);
}

static void cut_images(void **state)
{
    struct attest_error err;
    struct ovmf o;

    (void)state;
    for (size_t n = 1; n < SUFFIX_BYTES; n++) {
        uint8_t *image = malloc(n);

        assert_non_null(image);
        memcpy(image, suffix + SUFFIX_BYTES - n, n); /* the end is where the table is */
        if (ovmf_parse(&o, image, n, OVMF_END, &err) == ATTEST_OK && o.has_metadata)
            assert_true(n >= 0x554); /* where the metadata begin */
        free(image);
    }
    assert_int_equal(ovmf_parse(&o, suffix, 0, OVMF_END, &err), ATTEST_E_FORMAT);
}

static void what_the_table_says(void **state)
{
    struct attest_error err;
    struct ovmf o;

    (void)state;
    assert_int_equal(ovmf_parse(&o, suffix, sizeof(suffix), OVMF_END, &err), ATTEST_OK);
    assert_int_equal(o.gpa, 0xFFFFF000);
    assert_true(o.has_reset && o.has_metadata && !o.has_svsm);
    assert_int_equal(o.reset_eip, 0x80b004);
    assert_int_equal(o.hashes.gpa, 0x810c00);
    assert_int_equal(o.hashes.size, 0x400);
    assert_int_equal(o.secret.gpa, 0x810000);
    assert_int_equal(o.secret.size, 0xc00);
    assert_int_equal(o.section_count, 7);
    assert_int_equal(o.sections[5].type, OVMF_KERNEL_HASHES);
    assert_int_equal(o.sections[6].size, 0xf000);
}

/* ---- launch images --------------------------------------------------------------------------- */

static char file[64 * 1024];

/* What a launcher would write of this launch. */
static size_t write_image(const struct attest_image *image, const char *mode)
{
    size_t n =
        (size_t)snprintf(file, sizeof(file), "lucca-launch-image 1\nmode %s\n# a remark\n", mode);

    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        n += (size_t)attest_image_line(image, i, file + n, sizeof(file) - n);
        file[n++] = '\n';
    }
    file[n++] = '\n';
    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        const struct attest_piece *p = attest_image_piece(image, i);

        if (p->contents) {
            memcpy(file + n, p->contents, p->len);
            n += p->len;
        }
    }
    return n;
}

static void images_in_files(void **state)
{
    static const struct {
        enum attest_mode mode;
        const char *name;
    } modes[] = {{ATTEST_SEV, "sev"}, {ATTEST_SEV_ES, "es"}, {ATTEST_SNP, "snp"}};
    struct attest_error err;

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        struct attest_launch in = amdsev(modes[i].mode);
        uint8_t wanted[ATTEST_DIGEST_MAX] = {0}, found[ATTEST_DIGEST_MAX] = {0};
        struct attest_image *image, *again;
        size_t n, len;

        in.vcpus = 3;
        in.kernel = text("kernel");
        assert_int_equal(attest_measure(&in, wanted, &len, &err), ATTEST_OK);
        assert_int_equal(attest_image_of(&image, &in, &err), ATTEST_OK);
        n = write_image(image, modes[i].name);
        if (attest_image_open(&again, file, n, &err) != ATTEST_OK)
            fail_msg("%s", err.text);
        assert_int_equal(attest_image_mode(again), modes[i].mode);
        assert_int_equal(attest_image_digest(again, found, &err), ATTEST_OK);
        assert_memory_equal(found, wanted, len);
        attest_image_free(again);
        for (size_t cut = 1; cut < n; cut += 97) /* whole or not at all */
            assert_int_not_equal(attest_image_open(&again, file, n - cut, &err), ATTEST_OK);
        attest_image_free(image);
    }
}

/* Without an index the file is what SEV measures. */
static void raw_image(void **state)
{
    uint8_t digest[ATTEST_DIGEST_MAX], wanted[32];
    struct attest_image *image;
    struct attest_error err;

    (void)state;
    assert_int_equal(attest_image_open(&image, suffix, sizeof(suffix), &err), ATTEST_OK);
    assert_int_equal(attest_image_digest(image, digest, &err), ATTEST_OK);
    assert_true(sha256(wanted, suffix, sizeof(suffix)));
    assert_memory_equal(digest, wanted, 32);
    attest_image_free(image);
}

static void broken_images(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"lucca-launch-image 2\nmode snp\n\n", "known version"},
        {"lucca-launch-image 1\nmode tdx\n\n", "mode"},
        {"lucca-launch-image 1\nmode snp\n\n", "nothing"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 000000 x\n", "ends in its index"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 000000\n\n", "five columns"},
        {"lucca-launch-image 1\nmode snp\nblank 1000 1000 000000 x\n\n", "type"},
        {"lucca-launch-image 1\nmode snp\ndata 1000 1000 000000 x\n\n", "not launched with"},
        {"lucca-launch-image 1\nmode sev\nvmsa 1000 1000 000000 x\n\n", "not launched with"},
        {"lucca-launch-image 1\nmode snp\nzero 1001 1000 000000 x\n\n", "whole"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1001 000000 x\n\n", "whole"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 0 000000 x\n\n", "empty"},
        {"lucca-launch-image 1\nmode snp\nzero fffffffffffff000 2000 000000 x\n\n", "beyond"},
        {"lucca-launch-image 1\nmode snp\nzero 0 10000001000 000000 x\n\n", "1 TiB"},
        {"lucca-launch-image 1\nmode snp\nzero -1000 1000 000000 x\n\n", "hexadecimal"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 00000 x\n\n", "permissions"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 000000,mi x\n\n", "permissions"},
        {"lucca-launch-image 1\nmode snp\nsecrets 1000 2000 000000 x\n\n", "one page"},
        {"lucca-launch-image 1\nmode snp\nnormal 1000 1000 000000 x\n\n", "contents of 'x'"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 000000 x\n\nmore", "follow"},
        {"lucca-launch-image 1\nmode snp\nzero 1000 1000 000000 \t\n\n", "printed"},
    };
    struct attest_image *image;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attest_error err = {0};

        assert_int_not_equal(attest_image_open(&image, rows[i].text, strlen(rows[i].text), &err),
                             ATTEST_OK);
        if (!strstr(err.text, rows[i].why))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_digests),   cmocka_unit_test(chained_pages),
        cmocka_unit_test(tsc_is_not_measured), cmocka_unit_test(permissions_are_measured),
        cmocka_unit_test(published_vmsas),     cmocka_unit_test(vmsa_fields_have_names),
        cmocka_unit_test(signatures),          cmocka_unit_test(order_of_pages),
        cmocka_unit_test(svsm_launch),         cmocka_unit_test(impossible_launches),
        cmocka_unit_test(damaged_tables),      cmocka_unit_test(cut_images),
        cmocka_unit_test(what_the_table_says), cmocka_unit_test(images_in_files),
        cmocka_unit_test(raw_image),           cmocka_unit_test(broken_images),
    };

    return cmocka_run_group_tests_name("measure", tests, load, NULL);
}
