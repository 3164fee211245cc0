/* Reports of emulated chips: they verify up to the emulated AMD for who asks for that, and are
 * refused as emulated by everybody else. */
#include "silicon/asp/x509.h"
#include "snp_guest_rig.h"

#include "attest_rig.h"

#include <ftw.h>

static char home[] = "/tmp/lucca-test-XXXXXX";
static struct attest_result result;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static int open_home(void **state)
{
    return !mkdtemp(home) || setenv("XDG_DATA_HOME", home, 1);
}

static int close_home(void **state)
{
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What a guest of that chip gets when it asks for a report. */
static void ask_for_report(struct guest_rig *rig, uint8_t report[ATTEST_REPORT_SIZE])
{
    static uint8_t answer[FRAME_SIZE];
    uint8_t req[0x60] = {1, 2, 3};
    struct snp_guest *guest = guest_rig_guest(rig, 0, SNP_GUEST_RUNNING);
    enum sev_status status;
    size_t len;

    assert_true(guest_ask(rig, guest, 0, 5, req, sizeof(req), answer, &len, &status));
    assert_int_equal(status, SEV_SUCCESS);
    assert_int_equal(load32(answer), 0);
    memcpy(report, answer + 0x20, ATTEST_REPORT_SIZE);
}

static void add_der(struct attest_certs *certs, const struct x509_der *der)
{
    struct attest_error err = {0};

    if (attest_certs_add(certs, der->der, der->len, &err) != ATTEST_OK)
        fail_msg("%s: %s", err.path, err.text);
}

static void verify(const uint8_t *report, const struct attest_certs *certs,
                   const struct x509_der *named, bool emulated)
{
    struct attest_trust *trust = attest_trust_new(NULL);

    if (named)
        assert_int_equal(attest_trust_add_root(trust, named->der, named->len, NULL), ATTEST_OK);
    if (emulated)
        attest_trust_emulated(trust);
    attest_verify(
        trust,
        &(struct attest_query){.report = report, .report_len = ATTEST_REPORT_SIZE, .certs = certs},
        &result);
    result.root = NULL; /* may be the trust's */
    attest_trust_free(trust);
}

static void verify_chip(enum chip_id id, enum attest_product product)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    uint8_t report[ATTEST_REPORT_SIZE];
    struct snp_root *root = NULL;
    struct guest_rig rig;
    struct error err = {0};
    struct x509_der vcek, crl;

    if (!guest_rig_open(&rig, id, NULL, &err) || snp_root_open(rig.asp->chip, &root, &err) != OK ||
        snp_certify_vcek(root, rig.asp->platform, snp_reported_tcb(rig.asp), &vcek, &err) != OK ||
        snp_revocations(root, &crl, &err) != OK)
        fail_msg("%s", err.text);
    ask_for_report(&rig, report);
    add_der(certs, &vcek);
    add_der(certs, &root->cert[SNP_ASK]);
    add_der(certs, &root->cert[SNP_ARK]);
    add_der(certs, &crl);
    verify(report, certs, NULL, true);
    expect(&result, ATTEST_GOOD, NULL);
    assert_true(result.emulated);
    assert_non_null(strstr(result.summary, "EMULATED"));
    assert_int_equal(result.report.product, product);
    assert_int_equal(attest_result_check(&result, "report.chip_id")->outcome, ATTEST_PASS);
    assert_int_equal(attest_result_check(&result, "revocation.serial")->outcome, ATTEST_PASS);
    verify(report, certs, &root->cert[SNP_ARK], true);
    expect(&result, ATTEST_GOOD, NULL);
    assert_true(result.emulated);
    verify(report, certs, NULL, false);
    expect(&result, ATTEST_UNTRUSTED, "chain.emulated");
    assert_int_equal(attest_result_check(&result, "chain.root")->outcome, ATTEST_FAIL);
    /* Naming the root is not enough. */
    verify(report, certs, &root->cert[SNP_ARK], false);
    expect(&result, ATTEST_UNTRUSTED, "chain.emulated");
    assert_true(result.emulated);
    report[0x50] ^= 1;
    verify(report, certs, NULL, true);
    expect(&result, ATTEST_UNTRUSTED, "report.signature");
    attest_certs_free(certs);
    snp_root_free(root);
    guest_rig_close(&rig);
}

static void milan(void **state)
{
    verify_chip(CHIP_MILAN, ATTEST_MILAN);
}

static void genoa(void **state)
{
    verify_chip(CHIP_GENOA, ATTEST_GENOA);
}

static void turin(void **state)
{
    verify_chip(CHIP_TURIN, ATTEST_TURIN);
}

/* The provider's certificate, which the host loads; here its chain alone. */
static void vlek(void **state)
{
    const struct chip *chip = chip_by_id(CHIP_GENOA);
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_trust *trust = attest_trust_new(NULL);
    struct attest_query q = {.certs = certs};
    const struct attest_cert *leaf;
    struct snp_root *root;
    struct x509_der der;

    assert_int_equal(snp_root_open(chip, &root, NULL), OK);
    assert_int_equal(
        snp_certify_vlek(root, "CN=cloud.example", UINT64_C(0x541700000000000A), &der, NULL), OK);
    add_der(certs, &der);
    add_der(certs, &root->cert[SNP_ASVK]);
    add_der(certs, &root->cert[SNP_ARK]);
    leaf = attest_certs_find(certs, ATTEST_CERT_VLEK, ATTEST_GENOA);
    assert_non_null(leaf);
    assert_string_equal(leaf->csp_id, "CN=cloud.example");
    attest_verify_chain(trust, &q, leaf, &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.emulated");
    attest_trust_emulated(trust);
    attest_verify_chain(trust, &q, leaf, &result);
    expect(&result, ATTEST_GOOD, NULL);
    attest_certs_free(certs);
    attest_trust_free(trust);
    snp_root_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(milan),
        cmocka_unit_test(genoa),
        cmocka_unit_test(turin),
        cmocka_unit_test(vlek),
    };

    return cmocka_run_group_tests(tests, open_home, close_home);
}
