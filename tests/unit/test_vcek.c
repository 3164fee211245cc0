/* TCB versions, attestation keys, and the emulated AMD's X.509 certificates of them. */
#include "base/bytes.h"
#include "crypto/openssl.h"
#include "silicon/asp/x509.h"
#include "silicon/snp_msg_abi.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

static const uint8_t secret[CHIP_SECRET_BYTES] = {1, 2, 3};

static const struct chip *chip_of(enum chip_id id)
{
    return chip_by_id(id);
}

/* ---- TCB versions ------------------------------------------------------------------------------
 */

static void parts_have_their_places(void **state)
{
    const struct chip *genoa = chip_of(CHIP_GENOA), *turin = chip_of(CHIP_TURIN);
    uint64_t g = 0, t = 0;

    for (enum tcb_part p = 0; p < TCB_PARTS; p++) {
        g = tcb_set(genoa, g, p, (uint8_t)(0x10 + p));
        t = tcb_set(turin, t, p, (uint8_t)(0x10 + p));
    }
    assert_int_equal(g, UINT64_C(0x1413000000001211));
    assert_int_equal(t, UINT64_C(0x1400000013121110));
    assert_int_equal(tcb_get(genoa, g, TCB_FMC), 0);
    assert_int_equal(tcb_get(turin, t, TCB_FMC), 0x10);
    assert_int_equal(tcb_number(genoa, g), 0x11121314);
    assert_int_equal(tcb_number(turin, t), UINT64_C(0x1011121314));
    for (unsigned byte = 0; byte < 8; byte++) {
        uint64_t one = UINT64_C(1) << (8 * byte);

        assert_int_equal(tcb_well_formed(genoa, one), byte < 2 || byte > 5);
        assert_int_equal(tcb_well_formed(turin, one), byte < 4 || byte == 7);
    }
}

static void a_tcb_is_within_another_by_all_its_parts(void **state)
{
    const struct chip *c = chip_of(CHIP_MILAN);
    uint64_t limit = UINT64_C(0xDB18000000000004);

    assert_true(tcb_within(c, limit, limit));
    assert_true(tcb_within(c, 0, limit));
    assert_true(tcb_within(c, UINT64_C(0xDA18000000000003), limit));
    assert_false(tcb_within(c, UINT64_C(0x0019000000000000), limit)); /* less as a number */
    assert_false(tcb_within(c, UINT64_C(0x0000000000000104), limit));
    assert_false(tcb_within(c, UINT64_C(0x0000000000010000), UINT64_MAX));
}

/* ---- hash sticks -------------------------------------------------------------------------------
 */

static void digest(uint8_t d[48], const void *bytes, size_t len)
{
    assert_int_equal(EVP_Digest(bytes, len, d, NULL, EVP_sha384(), NULL), 1);
}

/* From d_i of a TCB on: what firmware of that TCB can compute of lower ones. */
static void vcek_hash_from(uint8_t d[48], unsigned i, unsigned down, const uint8_t *svn,
                           uint8_t hash[48])
{
    uint8_t link[56] = {0};

    while (down--)
        digest(d, d, 48);
    for (i++; i < 8; i++) {
        memcpy(link + 8, d, 48);
        digest(d, link, 56);
        for (unsigned n = svn[i]; n < 255; n++)
            digest(d, d, 48);
    }
    digest(hash, d, 48);
}

static void sticks_are_the_abis(void **state)
{
    static const uint8_t svn[8] = {0x0A, 2, 0, 0, 0, 0, 0x17, 0xFF};
    uint8_t d[48], mine[48], hash[48];

    memcpy(d, secret, 48);
    vcek_hash_from(d, 0, 255 - svn[0], svn, mine);
    assert_true(vcek_hash(secret, load64(svn), hash));
    assert_memory_equal(hash, mine, 48);
}

/* Roll-back is possible with what is at hand, roll-forward is not: going down hashes on. */
static void older_keys_follow_from_newer(void **state)
{
    uint8_t svn[8] = {4, 0, 0, 0, 0, 0, 0x18, 0xDB}, d[48], mine[48], hash[48];

    memcpy(d, secret, 48);
    for (unsigned n = svn[0]; n < 255; n++)
        digest(d, d, 48);
    svn[0] = 3; /* the TCB before, from the d_0 of this one */
    svn[7] = 0xD2;
    vcek_hash_from(d, 0, 1, svn, mine);
    assert_true(vcek_hash(secret, load64(svn), hash));
    assert_memory_equal(hash, mine, 48);
}

static void each_byte_changes_the_key(void **state)
{
    struct p384_key keys[9];
    uint8_t hash[48];

    for (unsigned i = 0; i < 9; i++) {
        assert_true(vcek_hash(secret, i < 8 ? UINT64_C(1) << (8 * i) : 0, hash));
        assert_true(vcek_key(hash, &keys[i]));
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(keys[i].d, keys[j].d, 48);
    }
    assert_true(vlek_key(hash, &keys[0])); /* the same hash, another label */
    assert_memory_not_equal(keys[0].d, keys[8].d, 48);
}

static void vleks_are_wrapped(void **state)
{
    uint8_t vcek[48] = {9}, other[48] = {8}, hashes[VLEK_HASHES][48], out[VLEK_HASHES][48];
    struct snp_vlek v, bad;

    memset(hashes, 0x5A, sizeof(hashes));
    assert_true(vlek_wrap(vcek, 0x1234, (const uint8_t(*)[48])hashes, &v));
    assert_memory_not_equal(v.wrapped, hashes, sizeof(hashes));
    assert_int_equal(vlek_unwrap(vcek, 0x1234, &v, out), VLEK_GOOD);
    assert_memory_equal(out, hashes, sizeof(hashes));
    assert_int_equal(vlek_unwrap(vcek, 0x1235, &v, out), VLEK_BAD_TCB);
    assert_int_equal(vlek_unwrap(other, 0x1234, &v, out), VLEK_BAD_TAG);
    for (size_t at = 0; at < sizeof(v); at++) {
        if (at >= offsetof(struct snp_vlek, reserved) && at < offsetof(struct snp_vlek, wrapped))
            continue; /* the tag does not cover it */
        bad = v;
        ((uint8_t *)&bad)[at] ^= 1;
        assert_int_not_equal(vlek_unwrap(vcek, 0x1234, &bad, out), VLEK_GOOD);
    }
}

/* ---- certificates ------------------------------------------------------------------------------
 */

static char home[] = "/tmp/lucca-test-XXXXXX";
static struct snp_root *root;
static struct platform *chip;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static int open_root(void **state)
{
    return !mkdtemp(home) || setenv("XDG_DATA_HOME", home, 1) ||
           platform_fresh(chip_of(CHIP_TURIN), &chip, NULL) != OK ||
           snp_root_open(chip->chip, &root, NULL) != OK;
}

static int close_root(void **state)
{
    snp_root_free(root);
    platform_free(chip);
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static X509 *parse(const struct x509_der *der)
{
    const uint8_t *at = der->der;
    X509 *x = d2i_X509(NULL, &at, (long)der->len);

    assert_non_null(x);
    return x;
}

/* The chain as a client builds it: `leaf`, what signed it, the root. */
static void assert_chain(const struct x509_der *leaf, enum snp_authority by)
{
    X509 *l = parse(leaf), *b = parse(&root->cert[by]), *ark = parse(&root->cert[SNP_ARK]);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *between = sk_X509_new_null();

    assert_int_equal(X509_STORE_add_cert(store, ark), 1);
    assert_true(sk_X509_push(between, b) > 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, store, l, between), 1);
    if (X509_verify_cert(ctx) != 1)
        fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    sk_X509_free(between);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(ark);
    X509_free(b);
    X509_free(l);
}

/* What extnValue holds; NULL: no such extension. */
static const uint8_t *extension(X509 *x, const char *oid, int *len)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 1);
    int at = X509_get_ext_by_OBJ(x, o, -1);
    const ASN1_OCTET_STRING *v = at < 0 ? NULL : X509_EXTENSION_get_data(X509_get_ext(x, at));

    ASN1_OBJECT_free(o);
    *len = v ? ASN1_STRING_length(v) : 0;
    return v ? ASN1_STRING_get0_data(v) : NULL;
}

static void assert_extension(X509 *x, const char *leaf, const void *bytes, int len)
{
    char oid[64];
    int n;
    const uint8_t *v;

    snprintf(oid, sizeof(oid), "1.3.6.1.4.1.3704.1.%s", leaf);
    v = extension(x, oid, &n);
    assert_int_equal(n, len);
    if (len)
        assert_memory_equal(v, bytes, len);
}

static void assert_name(X509_NAME *name, const char *cn)
{
    char text[256], want[256];

    snprintf(want, sizeof(want),
             "/OU=Engineering/C=US/L=Santa Clara/ST=CA/O=Advanced Micro Devices/CN=%s"
             "/serialNumber=EMULATED",
             cn);
    assert_string_equal(X509_NAME_oneline(name, text, sizeof(text)), want);
}

static void a_vcek_has_amds_profile(void **state)
{
    uint64_t tcb = UINT64_C(0xDB00000004030201);
    struct x509_der der;
    uint8_t hash[48], pub[97] = {4};
    struct p384_key key;
    X509 *x;

    assert_int_equal(snp_certify_vcek(root, chip, tcb, &der, NULL), OK);
    assert_chain(&der, SNP_ASK);
    x = parse(&der);
    assert_name(X509_get_subject_name(x), "SEV-VCEK");
    assert_name(X509_get_issuer_name(x), "SEV-Turin");
    assert_int_equal(X509_get_version(x), 2);
    assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(x)), 0);
    assert_int_equal(X509_get_ext_count(x), 11);
    assert_extension(x, "1", "\2\1\1", 3);
    assert_extension(x, "2", "\x16\5Turin", 7);
    assert_extension(x, "3.9", "\2\1\1", 3);
    assert_extension(x, "3.1", "\2\1\2", 3);
    assert_extension(x, "3.2", "\2\1\3", 3);
    assert_extension(x, "3.3", "\2\1\4", 3);
    assert_extension(x, "3.4", "", 0);
    assert_extension(x, "3.7", "\2\1\0", 3);
    assert_extension(x, "3.8", "\2\2\0\xDB", 4);
    assert_extension(x, "4", chip->id, 8); /* raw */
    assert_extension(x, "5", "", 0);
    assert_true(vcek_hash(chip->secret, tcb, hash) && vcek_key(hash, &key));
    memcpy(pub + 1, key.pub.x, 48);
    memcpy(pub + 49, key.pub.y, 48);
    assert_memory_equal(ASN1_STRING_get0_data(X509_get0_pubkey_bitstr(x)), pub, sizeof(pub));
    X509_free(x);
}

/* ---- genuine ones ------------------------------------------------------------------------------
 */

static X509 *genuine(const char *name)
{
    char path[512];
    FILE *f;
    X509 *x;

    snprintf(path, sizeof(path), LUCCA_DATA "/attestation/reports/%s/vcek.pem", name);
    f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot read %s", path);
    x = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(x);
    return x;
}

static void assert_same_algorithm(const X509_ALGOR *a, const X509_ALGOR *b)
{
    uint8_t *x = NULL, *y = NULL;
    int n = i2d_X509_ALGOR(a, &x);

    assert_int_equal(n, i2d_X509_ALGOR(b, &y));
    assert_memory_equal(x, y, n);
    OPENSSL_free(x);
    OPENSSL_free(y);
}

/* The same attributes in the same order and types; ours may say one thing more. */
static void assert_same_attributes(const X509_NAME *ours, const X509_NAME *amds)
{
    int n = X509_NAME_entry_count(amds);

    assert_int_equal(X509_NAME_entry_count(ours), n + 1);
    for (int i = 0; i < n; i++) {
        const X509_NAME_ENTRY *a = X509_NAME_get_entry(ours, i), *b = X509_NAME_get_entry(amds, i);

        assert_int_equal(OBJ_cmp(X509_NAME_ENTRY_get_object(a), X509_NAME_ENTRY_get_object(b)), 0);
        assert_int_equal(ASN1_STRING_type(X509_NAME_ENTRY_get_data(a)),
                         ASN1_STRING_type(X509_NAME_ENTRY_get_data(b)));
    }
    assert_int_equal(OBJ_obj2nid(X509_NAME_ENTRY_get_object(X509_NAME_get_entry(ours, n))),
                     NID_serialNumber);
}

static void assert_same_profile(X509 *ours, X509 *amds)
{
    const X509_ALGOR *a, *b;
    const ASN1_BIT_STRING *sig;

    assert_same_attributes(X509_get_subject_name(ours), X509_get_subject_name(amds));
    assert_same_attributes(X509_get_issuer_name(ours), X509_get_issuer_name(amds));
    assert_same_algorithm(X509_get0_tbs_sigalg(ours), X509_get0_tbs_sigalg(amds));
    X509_get0_signature(&sig, &a, ours);
    X509_get0_signature(&sig, &b, amds);
    assert_same_algorithm(a, b);
    assert_int_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(ours), X509_get0_serialNumber(amds)),
                     0);
    assert_int_equal(X509_get_ext_count(ours), X509_get_ext_count(amds));
    for (int i = 0; i < X509_get_ext_count(ours); i++) {
        X509_EXTENSION *x = X509_get_ext(ours, i), *y = X509_get_ext(amds, i);
        const ASN1_OCTET_STRING *v = X509_EXTENSION_get_data(x), *w = X509_EXTENSION_get_data(y);

        assert_int_equal(OBJ_cmp(X509_EXTENSION_get_object(x), X509_EXTENSION_get_object(y)), 0);
        assert_int_equal(X509_EXTENSION_get_critical(x), X509_EXTENSION_get_critical(y));
        assert_int_equal(ASN1_STRING_length(v), ASN1_STRING_length(w));
        if (i < X509_get_ext_count(ours) - 1) /* all but the chip's id */
            assert_memory_equal(ASN1_STRING_get0_data(v), ASN1_STRING_get0_data(w),
                                ASN1_STRING_length(v));
    }
}

/* A chip of the genuine one's TCB gets a certificate that differs in keys, dates and id alone. */
static void genuine_vceks_have_the_same_profile(void **state)
{
    static const struct {
        enum chip_id chip;
        const char *name;
        uint64_t tcb;
    } samples[] = {{CHIP_GENOA, "genoa-v3", UINT64_C(0x541700000000000A)},
                   {CHIP_MILAN, "milan-v3-azure-aci", UINT64_C(0xDB18000000000004)}};

    for (size_t i = 0; i < COUNT(samples); i++) {
        struct snp_root r = *root; /* that line's, but for the names in its own certificates */
        struct platform p = *chip;
        struct x509_der der;
        X509 *ours, *amds = genuine(samples[i].name);

        r.chip = p.chip = chip_of(samples[i].chip);
        assert_int_equal(snp_certify_vcek(&r, &p, samples[i].tcb, &der, NULL), OK);
        ours = parse(&der);
        assert_same_profile(ours, amds);
        X509_free(ours);
        X509_free(amds);
    }
}

/* The layout of reports finds in a genuine one what its VCEK says. */
static void genuine_reports_have_the_same_layout(void **state)
{
    static const char *const names[] = {"genoa-v3", "milan-v3-azure-aci", "milan-v2-c"};

    for (size_t i = 0; i < COUNT(names); i++) {
        X509 *vcek = genuine(names[i]);
        struct snp_report r;
        char path[512];
        const uint8_t *id;
        int len;
        FILE *f;

        snprintf(path, sizeof(path), LUCCA_DATA "/attestation/reports/%s/report.bin", names[i]);
        f = fopen(path, "rb");
        assert_non_null(f);
        assert_int_equal(fread(&r, 1, sizeof(r), f), sizeof(r));
        assert_int_equal(fgetc(f), EOF);
        fclose(f);
        id = extension(vcek, "1.3.6.1.4.1.3704.1.4", &len);
        assert_int_equal(len, sizeof(r.chip_id));
        assert_memory_equal(r.chip_id, id, len);
        id = extension(vcek, "1.3.6.1.4.1.3704.1.3.3", &len);
        assert_int_equal(tcb_get(chip_of(CHIP_GENOA), r.reported_tcb, TCB_SNP), id[2]);
        assert_int_equal(r.version, names[i][7] - '0');
        assert_int_equal(r.signature_algo, SNP_ALGO_ECDSA_P384_SHA384);
        assert_true(r.policy & SNP_POLICY_MBO);
        assert_int_equal(r.reserved | r.reserved2 | r.reserved3, 0);
        assert_int_equal(r.current_major, 1);
        for (size_t n = 0; n < sizeof(r.signature.reserved); n++)
            assert_int_equal(r.signature.reserved[n], 0);
        X509_free(vcek);
    }
}

/* ---- VLEKs, and what the root keeps ------------------------------------------------------------
 */

static void a_vlek_has_a_provider_and_no_chip(void **state)
{
    struct x509_der one, two;
    struct snp_vlek wrapped;
    uint8_t hash[48], hashes[VLEK_HASHES][48];
    struct p384_key key;
    uint64_t tcb = chip->versions.committed.tcb;
    X509 *x, *y;

    assert_int_equal(snp_certify_vlek(root, "CN=one", tcb, &one, NULL), OK);
    assert_int_equal(snp_certify_vlek(root, "CN=two", tcb, &two, NULL), OK);
    assert_chain(&one, SNP_ASVK);
    x = parse(&one);
    y = parse(&two);
    assert_name(X509_get_subject_name(x), "SEV-VLEK");
    assert_name(X509_get_issuer_name(x), "SEV-VLEK-Turin");
    assert_extension(x, "4", "", 0);
    assert_extension(x, "5", "\x16\6CN=one", 8);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(x), X509_get0_pubkey(y)), 1);

    /* The chip that unwraps it has that key. */
    assert_int_equal(snp_wrap_vlek(root, "CN=one", chip, tcb, &wrapped, NULL), OK);
    assert_true(vcek_hash(chip->secret, tcb, hash));
    assert_int_equal(vlek_unwrap(hash, tcb, &wrapped, hashes), VLEK_GOOD);
    assert_true(vlek_key(hashes[VLEK_HASHES - 1], &key));
    assert_memory_equal(ASN1_STRING_get0_data(X509_get0_pubkey_bitstr(x)) + 1, key.pub.x, 48);
    X509_free(y);
    X509_free(x);
}

static void what_makes_no_certificate_is_refused(void **state)
{
    struct x509_der der;
    struct snp_root *none;
    char longest[80];

    assert_int_equal(snp_certify_vcek(root, chip, UINT64_C(1) << 32, &der, NULL), ERR_ARG);
    assert_int_equal(snp_certify_vlek(root, "", 0, &der, NULL), ERR_ARG);
    assert_int_equal(snp_certify_vlek(root, "a\tb", 0, &der, NULL), ERR_ARG);
    memset(longest, 'x', sizeof(longest));
    longest[70] = 0;
    assert_int_equal(snp_certify_vlek(root, longest, 0, &der, NULL), OK);
    longest[70] = 'x';
    longest[71] = 0;
    assert_int_equal(snp_certify_vlek(root, longest, 0, &der, NULL), ERR_ARG);
    assert_int_equal(snp_root_open(chip_of(CHIP_ROME), &none, NULL), ERR_ARG);
}

static void the_root_is_kept(void **state)
{
    struct snp_root *again;
    char path[256];
    FILE *f;

    assert_int_equal(snp_root_open(chip->chip, &again, NULL), OK);
    for (enum snp_authority who = 0; who < SNP_AUTHORITIES; who++) {
        assert_int_equal(again->cert[who].len, root->cert[who].len);
        assert_memory_equal(again->cert[who].der, root->cert[who].der, root->cert[who].len);
    }
    snp_root_free(again);

    /* A certificate of another key. */
    snprintf(path, sizeof(path), "%s/lucca/roots/turin/ask.der", home);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(root->cert[SNP_ASVK].der, 1, root->cert[SNP_ASVK].len, f),
                     root->cert[SNP_ASVK].len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(snp_root_open(chip->chip, &again, NULL), ERR_FORMAT);
}

static void nobody_is_revoked(void **state)
{
    struct x509_der der;
    const uint8_t *at = der.der;
    X509 *ark = parse(&root->cert[SNP_ARK]);
    X509_CRL *crl;

    assert_int_equal(snp_revocations(root, &der, NULL), OK);
    crl = d2i_X509_CRL(NULL, &at, (long)der.len);
    assert_non_null(crl);
    assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(ark)), 1);
    assert_name(X509_CRL_get_issuer(crl), "ARK-Turin");
    assert_true(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)) <= 0);
    assert_int_equal(X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)), -1);
    assert_int_equal(X509_cmp_current_time(X509_CRL_get0_nextUpdate(crl)), 1);
    X509_CRL_free(crl);
    X509_free(ark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_their_places),
        cmocka_unit_test(a_tcb_is_within_another_by_all_its_parts),
        cmocka_unit_test(sticks_are_the_abis),
        cmocka_unit_test(older_keys_follow_from_newer),
        cmocka_unit_test(each_byte_changes_the_key),
        cmocka_unit_test(vleks_are_wrapped),
        cmocka_unit_test(a_vcek_has_amds_profile),
        cmocka_unit_test(genuine_vceks_have_the_same_profile),
        cmocka_unit_test(genuine_reports_have_the_same_layout),
        cmocka_unit_test(a_vlek_has_a_provider_and_no_chip),
        cmocka_unit_test(what_makes_no_certificate_is_refused),
        cmocka_unit_test(nobody_is_revoked),
        cmocka_unit_test(the_root_is_kept),
    };

    return cmocka_run_group_tests(tests, open_root, close_root);
}
