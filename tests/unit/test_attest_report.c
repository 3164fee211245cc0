/* Reports and what they come in: fields, layouts, wrappings; and what is refused by name. */
#include "attest_rig.h"

static struct file file;
static struct attest_report report;
static struct attest_error err;

static void parse(const char *path, enum attest_product hint)
{
    load(&file, path);
    if (attest_report_parse(&report, file.bytes, file.len, hint, &err) != ATTEST_OK)
        fail_msg("%s: %s: %s", path, err.path, err.text);
}

static void refused(enum attest_product hint, enum attest_status status, const char *path)
{
    err = (struct attest_error){0};
    assert_int_equal(attest_report_parse(&report, file.bytes, file.len, hint, &err), status);
    assert_int_equal(err.code, status);
    assert_string_equal(err.path, path);
    assert_true(err.text[0]);
}

/* ---- fields ---- */

static const char *text_of(const char *field)
{
    static char text[256];
    const struct attest_field *f = attest_report_field(field);

    assert_non_null(f);
    assert_in_range(attest_field_text(&report, f, text, sizeof(text)), 1, sizeof(text) - 1);
    return text;
}

static void fields_of_version_3(void **state)
{
    parse("reports/milan-v3/report.bin", ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(report.version, 3);
    assert_int_equal(report.product, ATTEST_MILAN);
    assert_int_equal(report.layout, ATTEST_LAYOUT_MILAN);
    assert_true(report.has_cpuid && !report.has_mitigations && !report.chip_id_masked);
    assert_int_equal(report.cpuid_family, 0x19);
    assert_int_equal(report.policy, 0x30000);
    assert_int_equal(report.platform_info, 0x25);
    assert_int_equal(report.signing_key, ATTEST_KEY_VCEK);
    assert_int_equal(report.reported_tcb.part[ATTEST_TCB_BOOT_LOADER], 4);
    assert_int_equal(report.reported_tcb.part[ATTEST_TCB_SNP], 0x18);
    assert_int_equal(report.reported_tcb.part[ATTEST_TCB_MICROCODE], 0xDB);
    assert_int_equal(report.chip_id[0], 0x6C);
    assert_string_equal(text_of("reported_tcb"), "boot_loader 4, tee 0, snp 24, microcode 219");
    assert_string_equal(text_of("policy"), "0x30000: abi_minor 0, abi_major 0, smt, reserved_1");
    assert_string_equal(text_of("platform_info"), "0x25: smt_en, ecc_en, alias_check_complete");
    assert_string_equal(text_of("key_info"), "0x0: signing_key 0");
    assert_string_equal(text_of("cpuid_family"), "25");
    assert_int_equal(strlen(text_of("chip_id")), 128);
    assert_null(attest_report_field("nothing"));
}

/* The table covers the report: no two fields overlap, and each byte that is no reserved one has
 * one. */
static void the_table_covers_the_report(void **state)
{
    size_t count, at = 0;
    const struct attest_field *f = attest_report_fields(&count);

    for (size_t i = 0; i < count; i++) {
        assert_true(f[i].offset >= at);
        at = f[i].offset + f[i].size;
        assert_true(f[i].name[0] && f[i].what[0] && f[i].since >= 2 && f[i].since <= 5);
        for (size_t b = 0; b < f[i].bit_count; b++)
            assert_true(f[i].bits[b].shift + f[i].bits[b].width <= 8 * f[i].size);
    }
    assert_int_equal(at, 0x2A0 + 2 * 72);
}

/* Short buffers are cut, and the length that was needed comes back. */
static void short_buffers(void **state)
{
    char text[16];
    int n;

    parse("reports/milan-v3/report.bin", ATTEST_PRODUCT_UNKNOWN);
    memset(text, 'x', sizeof(text));
    n = attest_field_text(&report, attest_report_field("chip_id"), text, 10);
    assert_int_equal(n, 128);
    assert_int_equal(strlen(text), 9);
    assert_int_equal(text[10], 'x');
    n = attest_field_text(&report, attest_report_field("chip_id"), NULL, 0);
    assert_int_equal(n, 128);
}

/* ---- versions, products, layouts ---- */

static void versions_and_products_are_never_guessed(void **state)
{
    load(&file, "reports/milan-v3/report.bin");
    for (unsigned version = 0; version < 10; version++) {
        store32(file.bytes, version);
        if (version < 2 || version > 5)
            refused(ATTEST_PRODUCT_UNKNOWN, ATTEST_E_UNSUPPORTED, "report.version");
        else
            assert_int_equal(
                attest_report_parse(&report, file.bytes, file.len, ATTEST_PRODUCT_UNKNOWN, NULL),
                ATTEST_OK);
    }
    store32(file.bytes, 3);
    refused(ATTEST_GENOA, ATTEST_E_ARG, "report.cpuid");
    file.bytes[0x189] = 0x20;
    refused(ATTEST_PRODUCT_UNKNOWN, ATTEST_E_UNSUPPORTED, "report.cpuid");
    file.bytes[0x188] = 0;
    refused(ATTEST_PRODUCT_UNKNOWN, ATTEST_E_UNSUPPORTED, "report.cpuid");
    refused(ATTEST_MILAN, ATTEST_E_UNSUPPORTED, "report.cpuid");
}

static void version_2_leaves_the_product_open(void **state)
{
    parse("parse-only/genoa-v2/report.bin", ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(report.product, ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(report.layout, ATTEST_LAYOUT_MILAN); /* its id is longer than a Turin's */
    assert_int_equal(report.reported_tcb.part[ATTEST_TCB_BOOT_LOADER], 7);
    assert_false(report.has_cpuid);
    parse("parse-only/genoa-v2/report.bin", ATTEST_GENOA);
    assert_int_equal(report.product, ATTEST_GENOA);
    refused(ATTEST_TURIN, ATTEST_E_ARG, "report.chip_id");
    memset(file.bytes + 0x1A8, 0, 56);
    assert_int_equal(
        attest_report_parse(&report, file.bytes, file.len, ATTEST_PRODUCT_UNKNOWN, NULL),
        ATTEST_OK);
    assert_int_equal(report.layout, ATTEST_LAYOUT_UNKNOWN);
    assert_non_null(strstr(text_of("reported_tcb"), "layout unknown"));
    assert_int_equal(attest_report_parse(&report, file.bytes, file.len, ATTEST_TURIN, NULL),
                     ATTEST_OK);
    assert_int_equal(report.layout, ATTEST_LAYOUT_TURIN);
}

static void version_5_of_turin(void **state)
{
    static const uint8_t tcb[] = {1, 2, 3, 4, 0, 0, 0, 0x51};

    load(&file, "reports/milan-v3/report.bin");
    store32(file.bytes, 5);
    memcpy(file.bytes + 0x188, "\x1A\x02\x01", 3);
    memcpy(file.bytes + 0x180, tcb, 8);
    store64(file.bytes + 0x1F8, 0x3F);
    store64(file.bytes + 0x200, 0x1F);
    assert_int_equal(attest_report_parse(&report, file.bytes, file.len, ATTEST_TURIN, NULL),
                     ATTEST_OK);
    assert_true(report.has_mitigations);
    assert_int_equal(report.launch_mit_vector, 0x3F);
    assert_int_equal(report.current_mit_vector, 0x1F);
    assert_string_equal(text_of("reported_tcb"),
                        "fmc 1, boot_loader 2, tee 3, snp 4, microcode 81");
    assert_string_equal(text_of("current_mit_vector"), "0x1f");
}

static void products(void **state)
{
    static const struct {
        unsigned family, model;
        enum attest_product product;
    } cpus[] = {
        {0x19, 0x00, ATTEST_MILAN},
        {0x19, 0x01, ATTEST_MILAN},
        {0x19, 0x0F, ATTEST_MILAN},
        {0x19, 0x10, ATTEST_GENOA},
        {0x19, 0x11, ATTEST_GENOA},
        {0x19, 0x1F, ATTEST_GENOA},
        {0x19, 0x20, 0},
        {0x19, 0xA0, ATTEST_GENOA},
        {0x19, 0xAF, ATTEST_GENOA},
        {0x19, 0xB0, 0},
        {0x1A, 0x02, ATTEST_TURIN},
        {0x1A, 0x11, ATTEST_TURIN},
        {0x1A, 0x12, 0},
        {0x17, 0x31, 0},
        {0x1B, 0x00, 0},
    };

    for (size_t i = 0; i < COUNT(cpus); i++)
        assert_int_equal(attest_product_from_cpuid(cpus[i].family, cpus[i].model), cpus[i].product);
    assert_int_equal(attest_product_from_eax(0x00A00F11), ATTEST_MILAN);
    assert_int_equal(attest_product_from_eax(0x00A10F10), ATTEST_GENOA);
    assert_int_equal(attest_product_from_eax(0x00AA0F02), ATTEST_GENOA); /* Bergamo */
    assert_int_equal(attest_product_from_eax(0x00B00F21), ATTEST_TURIN);
    assert_int_equal(attest_product_from_eax(0x00830F10), ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(attest_product_from_name("Milan-B0"), ATTEST_MILAN);
    assert_int_equal(attest_product_from_name("genoa"), ATTEST_GENOA);
    assert_int_equal(attest_product_from_name("Turin-B1"), ATTEST_TURIN);
    assert_int_equal(attest_product_from_name("Mila"), ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(attest_product_from_name(""), ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(attest_product_from_name("unknown"), ATTEST_PRODUCT_UNKNOWN);
}

/* Each component by itself: never one number. */
static void tcb_order(void **state)
{
    static const uint8_t low[8] = {2, 1, 0, 0, 0, 0, 5, 0x10},
                         high[8] = {1, 1, 0, 0, 0, 0, 6, 0x20};
    struct attest_tcb a, b, t;

    attest_tcb_decode(&a, low, ATTEST_LAYOUT_MILAN);
    attest_tcb_decode(&b, high, ATTEST_LAYOUT_MILAN);
    attest_tcb_decode(&t, high, ATTEST_LAYOUT_TURIN);
    assert_true(attest_tcb_at_most(&a, &a));
    assert_false(attest_tcb_at_most(&a, &b)); /* the boot loader went back */
    assert_false(attest_tcb_at_most(&b, &a));
    assert_false(attest_tcb_at_most(&b, &t)); /* layouts do not compare */
    assert_false(attest_tcb_has(ATTEST_LAYOUT_MILAN, ATTEST_TCB_FMC));
    assert_true(attest_tcb_has(ATTEST_LAYOUT_TURIN, ATTEST_TCB_FMC));
}

/* ---- wrappings ---- */

static enum attest_status open_bytes(const void *bytes, size_t len, enum attest_wrapping wrapping,
                                     const char *coding)
{
    struct attest_input in;
    enum attest_status why;

    err = (struct attest_error){0};
    why = attest_input_open(&in, bytes, len, &err);
    if (why != ATTEST_OK) {
        assert_true(err.text[0]);
        return why;
    }
    assert_int_equal(in.wrapping, wrapping);
    assert_string_equal(in.coding, coding);
    assert_memory_equal(in.report, file.bytes, ATTEST_REPORT_SIZE);
    assert_int_equal(in.table != NULL, wrapping == ATTEST_EXTENDED);
    attest_input_free(&in);
    return why;
}

static size_t to_base64(char *out, const uint8_t *bytes, size_t len, const char *last)
{
    char digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = 0;

    memcpy(digits + 62, last, 2);
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)bytes[i] << 16 | (i + 1 < len ? bytes[i + 1] << 8 : 0) |
                     (i + 2 < len ? bytes[i + 2] : 0);

        for (unsigned k = 0; k < 4; k++)
            out[n++] = i + k > len ? '=' : digits[v >> (18 - 6 * k) & 63];
        if (n % 64 == 0)
            out[n++] = '\n';
    }
    out[n] = 0;
    return n;
}

static void reports_in_their_wrappings(void **state)
{
    static uint8_t bytes[16384];
    static char text[4096];
    struct file table;
    size_t n;

    load(&file, "reports/genoa-v3/report.bin");
    load(&table, "reports/genoa-v3/auxblob.bin");
    assert_int_equal(open_bytes(file.bytes, file.len, ATTEST_RAW, "binary"), ATTEST_OK);
    memcpy(bytes, file.bytes, file.len);
    memcpy(bytes + file.len, table.bytes, table.len);
    assert_int_equal(open_bytes(bytes, file.len + table.len, ATTEST_EXTENDED, "binary"), ATTEST_OK);
    memset(bytes + file.len, 0, 24); /* "no certificates" */
    assert_int_equal(open_bytes(bytes, file.len + 24, ATTEST_EXTENDED, "binary"), ATTEST_OK);
    assert_int_equal(open_bytes(bytes, file.len + 23, 0, ""), ATTEST_E_FORMAT);
    memset(bytes, 0, sizeof(bytes));
    store32(bytes + 4, ATTEST_REPORT_SIZE);
    memcpy(bytes + 32, file.bytes, file.len);
    assert_int_equal(open_bytes(bytes, 32 + file.len, ATTEST_MSG, "binary"), ATTEST_OK);
    assert_int_equal(open_bytes(bytes, 4000, ATTEST_MSG, "binary"), ATTEST_OK);
    bytes[3999] = 1;
    assert_int_equal(open_bytes(bytes, 4000, 0, ""), ATTEST_E_FORMAT);
    bytes[3999] = 0;
    bytes[0] = 0x16; /* the secure processor refused */
    assert_int_equal(open_bytes(bytes, 4000, 0, ""), ATTEST_E_FORMAT);
    assert_string_equal(err.path, "message.status");
    for (n = 0; n < file.len; n++)
        snprintf(text + 2 * n, 3, "%02x", file.bytes[n]);
    strcat(text, "\n");
    assert_int_equal(open_bytes(text, strlen(text), ATTEST_RAW, "hex"), ATTEST_OK);
    n = to_base64(text, file.bytes, file.len, "+/");
    assert_int_equal(open_bytes(text, n, ATTEST_RAW, "base64"), ATTEST_OK);
    n = to_base64(text, file.bytes, file.len, "-_");
    while (text[n - 1] == '=' || text[n - 1] == '\n')
        n--;
    assert_int_equal(open_bytes(text, n, ATTEST_RAW, "base64"), ATTEST_OK);
    assert_int_equal(open_bytes(text, n - 1, 0, ""), ATTEST_E_FORMAT);
    assert_int_equal(open_bytes("", 0, 0, ""), ATTEST_E_FORMAT);
    assert_int_equal(open_bytes("neither!", 8, 0, ""), ATTEST_E_FORMAT);
    assert_int_equal(open_bytes(file.bytes, file.len - 1, 0, ""), ATTEST_E_FORMAT);
}

static void hcl_header(void **state)
{
    struct attest_hcl hcl;

    load(&file, "reports/milan-v3-azure-hcl/hcl-report.bin");
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, file.len, &err), ATTEST_OK);
    assert_int_equal(hcl.version, 1);
    assert_int_equal(hcl.report_type, 2);
    assert_int_equal(hcl.request_version, 1);
    assert_memory_equal(hcl.claims, "{\"keys\":", 8);
    assert_int_equal(hcl.claims[hcl.claims_len - 1], '}');
    store32(file.bytes + 0x4D0, (uint32_t)(file.len - 0x4D4));
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, file.len, &err), ATTEST_OK);
    store32(file.bytes + 0x4D0, (uint32_t)(file.len - 0x4D4 + 1));
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, file.len, &err), ATTEST_E_FORMAT);
    store32(file.bytes + 0x4D0, UINT32_MAX);
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, file.len, &err), ATTEST_E_FORMAT);
    store32(file.bytes + 0x4C8, 4);
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, file.len, &err), ATTEST_E_UNSUPPORTED);
    assert_int_equal(attest_hcl_parse(&hcl, file.bytes, 0x4D3, &err), ATTEST_E_FORMAT);
}

/* ---- certificate tables ---- */

static void tables(void **state)
{
    struct attest_entry entries[ATTEST_TABLE_MAX];
    struct attest_certs *certs = attest_certs_new(NULL);
    static uint8_t big[24 * 70];
    struct file good;
    size_t count;

    load(&file, "reports/genoa-v3/auxblob.bin");
    good = file;
    assert_int_equal(attest_table_parse(entries, &count, file.bytes, file.len, &err), ATTEST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(entries[0].kind, ATTEST_ENTRY_ARK);
    assert_int_equal(entries[1].kind, ATTEST_ENTRY_ASK);
    assert_int_equal(entries[2].kind, ATTEST_ENTRY_VCEK);
    assert_int_equal(entries[2].len, 1879);
    assert_ptr_equal(entries[0].bytes, file.bytes + 96);
    for (size_t len = 0; len < file.len; len++)
        assert_int_equal(attest_table_parse(entries, &count, file.bytes, len, NULL),
                         ATTEST_E_FORMAT);
    store32(file.bytes + 16, 95); /* into the index */
    assert_int_equal(attest_table_parse(entries, &count, file.bytes, file.len, &err),
                     ATTEST_E_FORMAT);
    store32(file.bytes + 16, UINT32_MAX);
    assert_int_equal(attest_table_parse(entries, &count, file.bytes, file.len, &err),
                     ATTEST_E_FORMAT);
    file = good;
    store32(file.bytes + 20, UINT32_MAX);
    assert_int_equal(attest_table_parse(entries, &count, file.bytes, file.len, &err),
                     ATTEST_E_FORMAT);
    memset(big, 0, sizeof(big));
    assert_int_equal(attest_table_parse(entries, &count, big, 24, &err), ATTEST_OK);
    assert_int_equal(count, 0);
    for (unsigned i = 0; i < 65; i++) {
        big[24 * i] = 1;
        store32(big + 24 * i + 16, sizeof(big));
    }
    assert_int_equal(attest_table_parse(entries, &count, big, sizeof(big), &err), ATTEST_E_FORMAT);
    memset(big + 24 * 64, 0, 24);
    assert_int_equal(attest_table_parse(entries, &count, big, sizeof(big), &err), ATTEST_OK);
    assert_int_equal(count, 64);
    assert_int_equal(attest_certs_add_table(certs, big, sizeof(big), &err), ATTEST_OK);
    assert_int_equal(attest_certs_count(certs), 0);
    attest_certs_free(certs);
}

/* Certificates in PEM with text around them, and what is neither PEM nor DER. */
static void certificate_files(void **state)
{
    static const struct {
        const char *text, *path;
    } bad[] = {
        {"", "certificate"},
        {"hello", "certificate"},
        {"-----BEGIN CERTIFICATE-----\nMIIB", "pem"},
        {"-----BEGIN CERTIFICATE-----\nMI!B\n-----END CERTIFICATE-----\n", "pem"},
        {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END X509 CRL-----\n", "pem"},
        {"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "pem"},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "certificate"},
        {"0", "certificate"},
    };
    struct attest_certs *certs = attest_certs_new(NULL);
    static char two[16384];
    struct file a, b;

    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_not_equal(attest_certs_add(certs, bad[i].text, strlen(bad[i].text), &err),
                             ATTEST_OK);
        assert_string_equal(err.path, bad[i].path);
    }
    assert_int_equal(attest_certs_count(certs), 0);
    load(&a, "reports/milan-v2-c/vcek.pem");
    load(&b, "reports/genoa-v3/vcek.pem");
    snprintf(two, sizeof(two), "one\n%.*s and two\n%.*s", (int)a.len, (char *)a.bytes, (int)b.len,
             (char *)b.bytes);
    assert_int_equal(attest_certs_add(certs, two, strlen(two), &err), ATTEST_OK);
    assert_int_equal(attest_certs_count(certs), 2);
    assert_int_equal(attest_certs_at(certs, 0)->product, ATTEST_MILAN);
    assert_int_equal(attest_certs_at(certs, 1)->product, ATTEST_GENOA);
    assert_null(attest_certs_at(certs, 2));
    attest_certs_free(certs);
}

/* ---- AMD's key service ---- */

static void paths(void **state)
{
    char text[512], want[512];

    parse("reports/milan-v3/report.bin", ATTEST_PRODUCT_UNKNOWN);
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK, report.product, report.chip_id,
                                     &report.reported_tcb, text, sizeof(text), &err),
                     ATTEST_OK);
    assert_int_equal(strlen(text), strlen("/vcek/v1/Milan/") + 128 +
                                       strlen("?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"));
    assert_non_null(strstr(text, "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219"));
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK, report.product, report.chip_id,
                                     &report.reported_tcb, text, 100, &err),
                     ATTEST_E_LIMIT);
    attest_tcb_decode(&report.reported_tcb, (const uint8_t[8]){1, 2, 3, 4, 0, 0, 0, 5},
                      ATTEST_LAYOUT_TURIN);
    memset(report.chip_id + 8, 0, 56);
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK, ATTEST_TURIN, report.chip_id,
                                     &report.reported_tcb, text, sizeof(text), &err),
                     ATTEST_OK);
    snprintf(want, sizeof(want),
             "/vcek/v1/Turin/6c65aee8a139e984?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=05");
    assert_string_equal(text, want);
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK, ATTEST_MILAN, report.chip_id,
                                     &report.reported_tcb, text, sizeof(text), &err),
                     ATTEST_E_ARG); /* another layout */
    memset(report.chip_id, 0, 64);
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK, ATTEST_TURIN, report.chip_id,
                                     &report.reported_tcb, text, sizeof(text), &err),
                     ATTEST_E_ARG);
    attest_kds_path(ATTEST_KDS_VLEK_CHAIN, ATTEST_GENOA, NULL, NULL, text, sizeof(text), NULL);
    assert_string_equal(text, "/vlek/v1/Genoa/cert_chain");
    attest_kds_path(ATTEST_KDS_VCEK_CRL, ATTEST_TURIN, NULL, NULL, text, sizeof(text), NULL);
    assert_string_equal(text, "/vcek/v1/Turin/crl");
    assert_int_equal(attest_kds_path(ATTEST_KDS_VCEK_CRL, ATTEST_PRODUCT_UNKNOWN, NULL, NULL, text,
                                     sizeof(text), NULL),
                     ATTEST_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_version_3),
        cmocka_unit_test(the_table_covers_the_report),
        cmocka_unit_test(short_buffers),
        cmocka_unit_test(versions_and_products_are_never_guessed),
        cmocka_unit_test(version_2_leaves_the_product_open),
        cmocka_unit_test(version_5_of_turin),
        cmocka_unit_test(products),
        cmocka_unit_test(tcb_order),
        cmocka_unit_test(reports_in_their_wrappings),
        cmocka_unit_test(hcl_header),
        cmocka_unit_test(tables),
        cmocka_unit_test(certificate_files),
        cmocka_unit_test(paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
