/* Real reports and certificates: each gets the verdict that is known for it; and of a good report
 * every flipped bit and every other length is refused. */
#include "attest_rig.h"

#include <pthread.h>

static struct attest_trust *trust;

static const struct row {
    const char *report, *certs; /* `certs` beside the report */
    const char *at;
    enum attest_verdict verdict;
    const char *failing; /* a check that must fail, where one must */
} rows[] = {
    {"reports/milan-v2-a/report.bin", "vcek.der", "2022-12-23", ATTEST_AGAINST_POLICY,
     "policy.debug"},
    {"reports/milan-v2-b/report.bin", "vcek.der", "2023-07-02", ATTEST_GOOD, NULL},
    {"reports/milan-v2-azure-cvm/report.bin", "vcek.der", "2023-04-24", ATTEST_GOOD, NULL},
    {"reports/milan-v2-azure-aci/report.bin", "vcek.pem", "2023-02-27", ATTEST_GOOD, NULL},
    {"reports/milan-v2-azure-aci-b/report.bin", "vcek.der", "2022-08-16", ATTEST_GOOD, NULL},
    {"reports/milan-v2-d/report.bin", "vcek.der", "2025-02-17", ATTEST_GOOD, NULL},
    {"reports/milan-v3/report.bin", "vcek.der", "2025-04-15", ATTEST_GOOD, NULL},
    {"reports/milan-v3-azure-aci/report.bin", "vcek.pem", "2025-04-23", ATTEST_GOOD, NULL},
    {"reports/genoa-v3/report.bin", "vcek.pem", "2025-07-19", ATTEST_GOOD, NULL},
    {"reports/genoa-v3-azure-aci/report.bin", "vcek.pem", "2026-05-06", ATTEST_GOOD, NULL},
    {"reports/milan-v2-azure-hcl/hcl-report.bin", "vcek.pem", "2023-07-31", ATTEST_GOOD, NULL},
    {"reports/milan-v2-c/report.bin", "vcek.pem", "2022-07-25", ATTEST_GOOD, NULL},
    {"reports/milan-v3-azure-hcl/hcl-report.bin", "vcek.der", "2025-04-28", ATTEST_GOOD, NULL},
    {"reports/milan-v2-azure-aci-c/report.bin", "vcek.pem", "2023-08-21", ATTEST_GOOD, NULL},
    {"reports/genoa-v3-azure-aci-b/report.bin", "vcek.pem", "2025-04-28", ATTEST_GOOD, NULL},
    {"reports/milan-v3-azure-signing/report.bin", "vcek.pem", "2025-04-23", ATTEST_GOOD, NULL},
    {"reports/genoa-v3-azure-signing/report.bin", "vcek.pem", "2025-04-24", ATTEST_GOOD, NULL},
    {"reports/milan-v3-b/report.bin", "vcek.der", "2025-04-15", ATTEST_GOOD, NULL},
    {"reports/milan-v3-c/report.bin", "vcek.der", "2025-05-04", ATTEST_GOOD, NULL},
    {"reports/turin-v5/report.bin", "vcek.pem", "2026-11-20", ATTEST_GOOD, NULL},
    {"reports/genoa-v5/report.bin", "vcek.der", "2026-11-20", ATTEST_GOOD, NULL},
    {"reports/milan-v3-vlek/report.bin", "vlek.der", "2025-06-01", ATTEST_GOOD, NULL},
    {"reports/milan-v3-vlek/report.bin", "vlek.der", "2026-11-20", ATTEST_UNTRUSTED,
     "chain.validity"},
    {"bad/milan-v2-c-signature/report.bin", "vcek.pem", "2022-07-25", ATTEST_UNTRUSTED,
     "report.signature"},
    {"bad/msg-header-1216/not-a-report.bin", "vcek.pem", "2022-07-25", ATTEST_UNTRUSTED,
     "report.signature"},
    {"bad/wrong-vcek/report.bin", "vcek.der", "2023-03-14", ATTEST_UNTRUSTED, "report.signature"},
    {"bad/wrong-vcek/report.bin", "vcek.der", "2023-03-14", ATTEST_UNTRUSTED, "report.chip_id"},
    {"bad/rogue-leaf/report.bin", "vcek.pem", "2022-05-02", ATTEST_UNTRUSTED, "chain.kind"},
    {"bad/rogue-leaf/report.bin", "vcek.pem", "2022-05-02", ATTEST_UNTRUSTED, "chain.extensions"},
    {"parse-only/genoa-v2/report.bin", NULL, "2026-01-01", ATTEST_NO_CERTS, "chain.certificates"},
    {"parse-only/milan-v2/report.bin", NULL, "2026-01-01", ATTEST_NO_CERTS, "chain.certificates"},
    {"parse-only/msg-report-rsp/msg_report_rsp.bin", NULL, "2026-01-01", ATTEST_NO_CERTS,
     "chain.certificates"},
};

static void beside(char *out, size_t size, const char *path, const char *leaf)
{
    snprintf(out, size, "%.*s%s", (int)(strrchr(path, '/') + 1 - path), path, leaf);
}

/* Opens the row's report in whatever it is wrapped in, and verifies it. */
static void verify_row(const struct row *row, struct attest_result *result)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_error err = {0};
    struct attest_input in;
    struct file file;
    char path[256];

    assert_non_null(certs);
    load(&file, row->report);
    if (attest_input_open(&in, file.bytes, file.len, &err) != ATTEST_OK)
        fail_msg("%s: %s", row->report, err.text);
    if (row->certs) {
        beside(path, sizeof(path), row->report, row->certs);
        add(certs, path);
    }
    attest_verify(trust,
                  &(struct attest_query){.report = in.report,
                                         .report_len = ATTEST_REPORT_SIZE,
                                         .claims = in.claims,
                                         .claims_len = in.claims_len,
                                         .certs = certs,
                                         .at = date(row->at)},
                  result);
    result->leaf = result->issuer = result->root = NULL; /* of a bag that goes */
    attest_certs_free(certs);
    attest_input_free(&in);
}

static void each_report_gets_its_verdict(void **state)
{
    static struct attest_result result;

    for (size_t i = 0; i < COUNT(rows); i++) {
        verify_row(&rows[i], &result);
        if (result.verdict != rows[i].verdict)
            print_message("# %s\n", rows[i].report);
        expect(&result, rows[i].verdict, rows[i].failing);
        assert_false(result.emulated);
        assert_true(result.summary[0]);
        assert_int_equal(attest_result_check(&result, "report.claims")->outcome,
                         strstr(rows[i].report, "hcl-report") ? ATTEST_PASS : ATTEST_NOT_ASKED);
    }
}

/* With the certificate of any other chip a good report is refused. */
static void every_swapped_certificate_is_refused(void **state)
{
    struct attest_cache *cache = attest_cache_new(NULL);
    static struct attest_result result;
    struct attest_input in;
    struct file file;
    char path[256];

    for (size_t i = 0; rows[i].verdict == ATTEST_GOOD || !i; i++) {
        load(&file, rows[i].report);
        assert_int_equal(attest_input_open(&in, file.bytes, file.len, NULL), ATTEST_OK);
        for (size_t k = 0; rows[k].verdict == ATTEST_GOOD || !k; k++) {
            struct attest_certs *certs = attest_certs_new(NULL);

            beside(path, sizeof(path), rows[k].report, rows[k].certs);
            add(certs, path);
            attest_verify(trust,
                          &(struct attest_query){.report = in.report,
                                                 .report_len = ATTEST_REPORT_SIZE,
                                                 .certs = certs,
                                                 .cache = cache,
                                                 .at = date(rows[k].at)},
                          &result);
            assert_int_equal(result.verdict, i == k ? rows[i].verdict : ATTEST_UNTRUSTED);
            if (i != k)
                expect(&result, ATTEST_UNTRUSTED, "report.signature");
            attest_certs_free(certs);
        }
        attest_input_free(&in);
    }
    attest_cache_free(cache);
}

/* An HCL report whose claims were changed by a byte. */
static void claims_are_bound(void **state)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    static struct attest_result result;
    struct attest_input in;
    struct file file;

    add(certs, "reports/milan-v2-azure-hcl/vcek.pem");
    load(&file, "reports/milan-v2-azure-hcl/hcl-report.bin");
    assert_int_equal(attest_input_open(&in, file.bytes, file.len, NULL), ATTEST_OK);
    assert_int_equal(in.claims_len, 1110);
    file.bytes[in.claims - file.bytes + 7] ^= 1;
    attest_verify(trust,
                  &(struct attest_query){.report = in.report,
                                         .report_len = ATTEST_REPORT_SIZE,
                                         .claims = in.claims,
                                         .claims_len = in.claims_len,
                                         .certs = certs,
                                         .at = date("2023-07-31")},
                  &result);
    expect(&result, ATTEST_UNTRUSTED, "report.claims");
    attest_input_free(&in);
    attest_certs_free(certs);
}

/* What is no report at all is refused before anything is judged. */
static void what_is_no_report_is_refused(void **state)
{
    static const char *const files[] = {"bad/msg-header-1216/not-a-report.bin",
                                        "bad/trailing-newline-1185/report.bin"};
    static struct attest_result result;
    struct attest_input in;
    struct file file;

    for (size_t i = 0; i < COUNT(files); i++) {
        load(&file, files[i]);
        attest_verify(trust, &(struct attest_query){.report = file.bytes, .report_len = file.len},
                      &result);
        expect(&result, ATTEST_MISUSE, "format.report");
    }
    /* The last file is not a wrapped report either. */
    assert_int_equal(attest_input_open(&in, file.bytes, file.len, NULL), ATTEST_E_FORMAT);
    attest_verify(trust, &(struct attest_query){0}, &result);
    expect(&result, ATTEST_MISUSE, "format.report");
}

/* It parses, and its signature is wrong. */
static void altered_certificate(void **state)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    static struct attest_result result;
    const struct attest_cert *c;

    add(certs, "bad/vcek-legacy-encoding.der");
    c = attest_certs_at(certs, 0);
    assert_int_equal(c->kind, ATTEST_CERT_VCEK);
    assert_int_equal(c->hwid_len, 64);
    assert_int_equal(c->tcb.part[ATTEST_TCB_BOOT_LOADER], 3);
    assert_int_equal(c->tcb.part[ATTEST_TCB_TEE], 0);
    assert_int_equal(c->tcb.part[ATTEST_TCB_SNP], 10);
    assert_int_equal(c->tcb.part[ATTEST_TCB_MICROCODE], 169);
    attest_verify_chain(trust, &(struct attest_query){.certs = certs, .at = c->not_before + 1}, c,
                        &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.leaf_signature");
    attest_certs_free(certs);
}

/* The table that a host gave with a report: PEM inside. */
static void certificates_from_a_table(void **state)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    static struct attest_result result;
    struct attest_error err = {0};
    struct attest_entry entries[ATTEST_TABLE_MAX];
    struct file file, table;
    size_t count;

    load(&table, "reports/genoa-v3/auxblob.bin");
    assert_int_equal(attest_table_parse(entries, &count, table.bytes, table.len, &err), ATTEST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(attest_certs_add_table(certs, table.bytes, table.len, &err), ATTEST_OK);
    assert_int_equal(attest_certs_count(certs), 3);
    assert_non_null(attest_certs_find(certs, ATTEST_CERT_VCEK, ATTEST_GENOA));
    assert_null(attest_certs_find(certs, ATTEST_CERT_VCEK, ATTEST_MILAN));
    load(&file, "reports/genoa-v3/report.bin");
    attest_verify(
        trust,
        &(struct attest_query){
            .report = file.bytes, .report_len = file.len, .certs = certs, .at = date("2025-07-19")},
        &result);
    expect(&result, ATTEST_GOOD, NULL);
    /* the chain that was judged is the one given, not the one built in */
    assert_ptr_equal(result.root, attest_certs_find(certs, ATTEST_CERT_ARK, ATTEST_GENOA));
    attest_certs_free(certs);
}

/* ---- every bit, every length ---- */

struct good {
    struct file report;
    struct attest_certs *certs;
    struct attest_cache *cache;
    struct attest_result result;
};

static void load_good(struct good *g, const char *folder)
{
    char path[256];

    g->certs = attest_certs_new(NULL);
    g->cache = attest_cache_new(NULL);
    snprintf(path, sizeof(path), "reports/%s/vcek.der", folder);
    add(g->certs, path);
    snprintf(path, sizeof(path), "reports/%s/report.bin", folder);
    load(&g->report, path);
}

static enum attest_verdict verify_good(struct good *g)
{
    return attest_verify(trust,
                         &(struct attest_query){.report = g->report.bytes,
                                                .report_len = g->report.len,
                                                .certs = g->certs,
                                                .cache = g->cache,
                                                .at = date("2025-04-15")},
                         &g->result);
}

static void unload_good(struct good *g)
{
    attest_certs_free(g->certs);
    attest_cache_free(g->cache);
}

static void every_flipped_bit_is_refused(void **state)
{
    static struct good g;

    load_good(&g, "milan-v3");
    assert_int_equal(verify_good(&g), ATTEST_GOOD);
    for (size_t bit = 0; bit < 8 * ATTEST_REPORT_SIZE; bit++) {
        enum attest_verdict verdict;

        g.report.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        verdict = verify_good(&g);
        g.report.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (verdict != ATTEST_UNTRUSTED && verdict != ATTEST_MISUSE)
            fail_msg("bit %zu of byte %zXh: verdict %d", bit % 8, bit / 8, verdict);
        if (!g.result.parsed)
            continue;
        /* Past the header every change breaks the signature, whatever else it breaks. */
        assert_int_equal(attest_result_check(&g.result, "report.signature")->outcome, ATTEST_FAIL);
    }
    assert_int_equal(verify_good(&g), ATTEST_GOOD);
    unload_good(&g);
}

static void every_other_length_is_refused(void **state)
{
    static struct good g;
    size_t len;

    load_good(&g, "milan-v3");
    for (len = 0; len < 3000; len++) {
        g.report.len = len;
        assert_int_equal(verify_good(&g), len == ATTEST_REPORT_SIZE ? ATTEST_GOOD : ATTEST_MISUSE);
    }
    unload_good(&g);
}

/* Every bit of the certificate: refused, by the parser or by the chain. */
static void every_flipped_bit_of_the_certificate_is_refused(void **state)
{
    static struct good g;
    struct file cert;

    load_good(&g, "milan-v3");
    load(&cert, "reports/milan-v3/vcek.der");
    for (size_t bit = 0; bit < 8 * cert.len; bit++) {
        struct attest_certs *certs = attest_certs_new(NULL);

        cert.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (attest_certs_add(certs, cert.bytes, cert.len, NULL) == ATTEST_OK) {
            attest_verify(trust,
                          &(struct attest_query){.report = g.report.bytes,
                                                 .report_len = g.report.len,
                                                 .certs = certs,
                                                 .cache = g.cache,
                                                 .at = date("2025-04-15")},
                          &g.result);
            if (g.result.verdict != ATTEST_UNTRUSTED && g.result.verdict != ATTEST_NO_CERTS)
                fail_msg("bit %zu of byte %zXh: verdict %d", bit % 8, bit / 8, g.result.verdict);
        }
        cert.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        attest_certs_free(certs);
    }
    unload_good(&g);
}

/* R or S zero, or not below the order: refused by name. */
static void scalars_out_of_range(void **state)
{
    static const char order[] = "\x73\x29\xC5\xCC\x6A\x19\xEC\xEC\x7A\xA7\xB0\x48\xB2\x0D\x1A\x58"
                                "\xDF\x2D\x37\xF4\x81\x4D\x63\xC7\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                                "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    static struct good g;
    uint8_t was[48];

    load_good(&g, "milan-v3");
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *scalar = g.report.bytes + 0x2A0 + 72 * i;

        memcpy(was, scalar, 48);
        memset(scalar, 0, 48);
        verify_good(&g);
        expect(&g.result, ATTEST_UNTRUSTED, "format.signature");
        memcpy(scalar, order, 48);
        verify_good(&g);
        expect(&g.result, ATTEST_UNTRUSTED, "format.signature");
        memset(scalar, 0xFF, 48);
        verify_good(&g);
        expect(&g.result, ATTEST_UNTRUSTED, "format.signature");
        memcpy(scalar, was, 48);
        scalar[48] = 1;
        verify_good(&g);
        expect(&g.result, ATTEST_UNTRUSTED, "format.signature");
        scalar[48] = 0;
    }
    assert_int_equal(verify_good(&g), ATTEST_GOOD);
    unload_good(&g);
}

/* One trust, one bag and one cache for all threads: each gets its own verdicts right. */
struct worker {
    pthread_t thread;
    struct good *good;
    unsigned wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct attest_result *result = malloc(sizeof(*result));
    uint8_t report[ATTEST_REPORT_SIZE];

    memcpy(report, w->good->report.bytes, sizeof(report));
    for (unsigned i = 0; i < 40; i++) {
        enum attest_verdict want = i % 2 ? ATTEST_UNTRUSTED : ATTEST_GOOD;

        report[0x90] = (uint8_t)(w->good->report.bytes[0x90] ^ (i % 2));
        w->wrong += attest_verify(trust,
                                  &(struct attest_query){.report = report,
                                                         .report_len = sizeof(report),
                                                         .certs = w->good->certs,
                                                         .cache = w->good->cache,
                                                         .at = date("2025-04-15")},
                                  result) != want;
    }
    free(result);
    return NULL;
}

static void threads_share_what_they_only_read(void **state)
{
    static struct worker workers[4];
    static struct good g;

    load_good(&g, "milan-v3");
    for (unsigned i = 0; i < COUNT(workers); i++) {
        workers[i].good = &g;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < COUNT(workers); i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    unload_good(&g);
}

/* ---- revocation lists ---- */

static enum attest_verdict with_crl(const char *crl, const char *other, const char *at,
                                    const char *required, struct attest_result *result)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_policy *policy = attest_policy_new(NULL);
    enum attest_verdict verdict;
    struct file file;

    assert_int_equal(attest_policy_set(policy, "crl", required, NULL), ATTEST_OK);
    add(certs, "reports/milan-v2-c/vcek.pem");
    if (crl)
        add(certs, crl);
    if (other)
        add(certs, other);
    load(&file, "reports/milan-v2-c/report.bin");
    verdict = attest_verify(trust,
                            &(struct attest_query){.report = file.bytes,
                                                   .report_len = file.len,
                                                   .certs = certs,
                                                   .policy = policy,
                                                   .at = date(at)},
                            result);
    attest_policy_free(policy);
    attest_certs_free(certs);
    return verdict;
}

static void revocation_lists(void **state)
{
    static const char milan[] = "crl/milan-3-2022.crl", genoa[] = "crl/genoa-2-2022.crl";
    static struct attest_result r;

    assert_int_equal(with_crl(milan, NULL, "2023-01-01", "required", &r), ATTEST_GOOD);
    assert_int_equal(attest_result_check(&r, "revocation.serial")->outcome, ATTEST_PASS);
    assert_int_equal(with_crl(milan, genoa, "2023-01-01", "required", &r), ATTEST_GOOD);
    with_crl(milan, NULL, "2026-11-20", "required", &r);
    expect(&r, ATTEST_NO_REVOCATION, "revocation.freshness");
    with_crl(milan, NULL, "2026-11-20", "allowed", &r); /* given, so judged */
    expect(&r, ATTEST_NO_REVOCATION, "revocation.freshness");
    with_crl(milan, NULL, "2022-05-09", "required", &r); /* before it was made */
    expect(&r, ATTEST_NO_REVOCATION, "revocation.freshness");
    with_crl(genoa, NULL, "2023-01-01", "required", &r);
    expect(&r, ATTEST_NO_REVOCATION, "revocation.list");
    with_crl(NULL, NULL, "2023-01-01", "required", &r);
    expect(&r, ATTEST_NO_REVOCATION, "revocation.list");
    expect(&r, ATTEST_NO_REVOCATION, "policy.crl");
    assert_int_equal(with_crl(NULL, NULL, "2023-01-01", "allowed", &r), ATTEST_GOOD);
    assert_int_equal(attest_result_check(&r, "revocation.list")->outcome, ATTEST_NOT_ASKED);
}

static void revocation_list_says(void **state)
{
    static const uint8_t first_ask[] = {2, 0, 1}, ask[] = {2, 0, 2};
    struct attest_error err;
    struct attest_crl crl;
    struct file file;
    int64_t when;

    load(&file, "crl/genoa-2-2022.crl");
    assert_int_equal(attest_crl_parse(&crl, file.bytes, file.len, &err), ATTEST_OK);
    assert_string_equal(crl.issuer_cn, "ARK-Genoa");
    assert_int_equal(crl.product, ATTEST_GENOA);
    assert_int_equal(crl.revoked, 1);
    assert_true(crl.pss_exact && !crl.unknown_critical && !crl.emulated);
    assert_true(attest_crl_lists(&crl, first_ask, sizeof(first_ask), &when));
    assert_int_equal(when, date("2022-10-31") + 13 * 3600 + 34 * 60 + 46);
    assert_false(attest_crl_lists(&crl, ask, sizeof(ask), NULL));
    assert_int_equal(crl.next_update, date("2023-10-31") + 23 * 3600);
}

/* Every bit of a list: it is refused, or its signature is. */
static void every_flipped_bit_of_a_list_is_refused(void **state)
{
    static struct attest_result r;
    struct file crl, report;

    load(&report, "reports/milan-v2-c/report.bin");
    load(&crl, "crl/milan-3-2022.crl");
    for (size_t bit = 0; bit < 8 * crl.len; bit++) {
        struct attest_certs *certs = attest_certs_new(NULL);

        add(certs, "reports/milan-v2-c/vcek.pem");
        crl.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (attest_certs_add(certs, crl.bytes, crl.len, NULL) == ATTEST_OK &&
            attest_certs_crl_count(certs)) {
            attest_verify_chain(trust,
                                &(struct attest_query){.certs = certs, .at = date("2023-01-01")},
                                attest_certs_at(certs, 0), &r);
            if (r.verdict != ATTEST_NO_REVOCATION)
                fail_msg("bit %zu of byte %zXh: verdict %d", bit % 8, bit / 8, r.verdict);
        }
        crl.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        attest_certs_free(certs);
    }
}

/* ---- the roots that come with the library ---- */

static void built_in_roots(void **state)
{
    static const char *const ark_spki[] = {
        "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
        "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
        "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08"};
    static const char *const der[] = {
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
        "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
        "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
        "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c"};
    const struct attest_certs *roots = attest_trust_builtin(trust);

    assert_int_equal(attest_certs_count(roots), 9);
    for (unsigned i = 0; i < 9; i++) {
        const struct attest_cert *c = attest_certs_at(roots, i);
        char hex[65];

        assert_int_equal(c->product, ATTEST_MILAN + i / 3);
        assert_int_equal(c->kind, ATTEST_CERT_ARK + i % 3);
        assert_true(c->pss_exact && c->names_exact && c->ca && c->may_sign_certs && !c->emulated);
        assert_int_equal(c->rsa_bits, 4096);
        for (unsigned k = 0; k < 32; k++)
            snprintf(hex + 2 * k, 3, "%02x", c->sha256[k]);
        assert_string_equal(hex, der[i]);
        for (unsigned k = 0; k < 32; k++)
            snprintf(hex + 2 * k, 3, "%02x", c->spki_sha256[k]);
        if (c->kind == ATTEST_CERT_ARK)
            assert_string_equal(hex, ark_spki[i / 3]);
    }
}

static int make_trust(void **state)
{
    trust = attest_trust_new(NULL);
    return !trust;
}

static int free_trust(void **state)
{
    attest_trust_free(trust);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_in_roots),
        cmocka_unit_test(each_report_gets_its_verdict),
        cmocka_unit_test(every_swapped_certificate_is_refused),
        cmocka_unit_test(claims_are_bound),
        cmocka_unit_test(what_is_no_report_is_refused),
        cmocka_unit_test(altered_certificate),
        cmocka_unit_test(certificates_from_a_table),
        cmocka_unit_test(scalars_out_of_range),
        cmocka_unit_test(threads_share_what_they_only_read),
        cmocka_unit_test(revocation_lists),
        cmocka_unit_test(revocation_list_says),
        cmocka_unit_test(every_other_length_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_flipped_bit_of_the_certificate_is_refused),
        cmocka_unit_test(every_flipped_bit_of_a_list_is_refused),
    };

    return cmocka_run_group_tests(tests, make_trust, free_trust);
}
