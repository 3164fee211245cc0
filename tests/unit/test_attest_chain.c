/* Chains of one's own, good ones and ones with one thing wrong: each wrong thing fails the check
 * that is about it. */
#include "attest_pki.h"

static struct keys keys;

static void demand(struct world *w, const char *key, const char *value)
{
    struct attest_error err = {0};

    if (!w->policy)
        w->policy = attest_policy_new(NULL);
    if (attest_policy_set(w->policy, key, value, &err) != ATTEST_OK)
        fail_msg("%s: %s", err.path, err.text);
}

/* ---- one thing wrong ---- */

static void leaf_expired(struct world *w)
{
    w->leaf.until = "2025-12-31";
}
static void leaf_too_early(struct world *w)
{
    w->leaf.from = "2026-01-02";
}
static void issuer_expired(struct world *w)
{
    w->issuer.until = "2025-12-31";
}
static void root_expired(struct world *w)
{
    w->root.until = "2025-12-31";
}
static void leaf_by_wrong_key(struct world *w)
{
    w->leaf.signer = keys.root;
}
static void issuer_by_wrong_key(struct world *w)
{
    w->issuer.signer = keys.issuer;
}
static void root_by_wrong_key(struct world *w)
{
    w->root.signer = keys.issuer;
}
static void root_unknown(struct world *w)
{
    w->distrust = true;
}
static void report_by_wrong_key(struct world *w)
{
    w->report_key = keys.other_leaf;
}
static void no_leaf(struct world *w)
{
    w->leaf_missing = true;
}
static void no_issuer(struct world *w)
{
    emulated(w); /* with AMD's very names the built-in ASK would be taken, and fail */
    w->emulated_ok = true;
    w->issuer_in_bag = false;
}
static void built_in_issuer(struct world *w)
{
    w->issuer_in_bag = false;
}
static void pkcs1_leaf(struct world *w)
{
    w->leaf.plain_rsa = true;
}
static void pss_sha256(struct world *w)
{
    w->leaf.md = w->leaf.mgf = EVP_sha256();
    w->leaf.salt = 32;
}
static void pss_short_salt(struct world *w)
{
    w->issuer.salt = 32;
}
static void pss_other_mgf(struct world *w)
{
    w->root.mgf = EVP_sha256();
}
static void weak_issuer(struct world *w)
{
    w->issuer.key = w->leaf.signer = keys.weak;
}
static void leaf_is_rsa(struct world *w)
{
    w->leaf.key = keys.weak;
}
static void issuer_no_ca(struct world *w)
{
    extend(&w->issuer, "2.5.29.19", "\x30\x00", 2);
}
static void issuer_without_constraints(struct world *w)
{
    extension(&w->issuer, "2.5.29.19")->gone = true;
}
static void issuer_may_not_sign(struct world *w)
{
    extend(&w->issuer, "2.5.29.15", "\x03\x02\x07\x80", 4);
}
static void root_allows_none_between(struct world *w)
{
    extend(&w->root, "2.5.29.19", "\x30\x06\x01\x01\xFF\x02\x01\x00", 8);
}
static void leaf_is_ca(struct world *w)
{
    extend(&w->leaf, "2.5.29.19", "\x30\x03\x01\x01\xFF", 5);
}
static void unknown_critical(struct world *w)
{
    extend(&w->leaf, "1.2.3.4", "\x05\x00", 2);
    extension(&w->leaf, "1.2.3.4")->critical = true;
}
static void other_organization(struct world *w)
{
    w->leaf.organization = "Advanced Micro Device";
}
static void stray_serial_number(struct world *w)
{
    w->leaf.subject_serial = "X";
}
static void leaf_of_genoa(struct world *w)
{
    w->leaf.issuer = "SEV-Genoa";
}
static void product_name_of_genoa(struct world *w)
{
    extend_text(&w->leaf, AMD_ARC ".2", "Genoa-B1");
}
static void report_of_genoa(struct world *w)
{
    memcpy(w->report + 0x188, "\x19\x11\x01", 3);
}
static void no_hwid(struct world *w)
{
    extension(&w->leaf, AMD_ARC ".4")->gone = true;
}
static void vcek_with_csp(struct world *w)
{
    extend_text(&w->leaf, AMD_ARC ".5", "CN=cloud.example");
}
static void short_hwid(struct world *w)
{
    extend(&w->leaf, AMD_ARC ".4", good_chip, 8);
}
static void no_ucode_spl(struct world *w)
{
    extension(&w->leaf, AMD_ARC ".3.8")->gone = true;
}
static void no_spl4(struct world *w)
{
    extension(&w->leaf, AMD_ARC ".3.4")->gone = true;
}
static void spl5_not_zero(struct world *w)
{
    extend_number(&w->leaf, AMD_ARC ".3.5", 1);
}
static void fmc_on_milan(struct world *w)
{
    extend_number(&w->leaf, AMD_ARC ".3.9", 0);
}
static void no_struct_version(struct world *w)
{
    extension(&w->leaf, AMD_ARC ".1")->gone = true;
}
static void no_product_name(struct world *w)
{
    extension(&w->leaf, AMD_ARC ".2")->gone = true;
}
static void other_chip(struct world *w)
{
    w->report[0x1A0 + 63] ^= 1;
}
static void other_reported_tcb(struct world *w)
{
    w->report[0x180 + 7]--; /* an older microcode than the certificate's */
}
static void current_behind(struct world *w)
{
    w->report[0x38 + 7]--;
    w->report[0x1E0 + 7]--;
}
static void committed_above_current(struct world *w)
{
    w->report[0x1E0 + 6]++;
}
static void vlek_as_vcek(struct world *w)
{
    good_leaf(w, true);
    w->report[0x48] = 0;
}
static void vcek_as_vlek(struct world *w)
{
    w->report[0x48] = ATTEST_KEY_VLEK << 2;
}
static void vcek_content_as_vlek(struct world *w)
{
    w->leaf.subject = "SEV-VLEK";
    w->leaf.issuer = w->issuer.subject = "SEV-VLEK-Milan";
    w->report[0x48] = ATTEST_KEY_VLEK << 2;
}
static void masked_chip_id(struct world *w)
{
    memset(w->report + 0x1A0, 0, 64);
}
static void unsigned_report(struct world *w)
{
    w->report[0x48] = ATTEST_KEY_NONE << 2;
}
static void key_info_reserved(struct world *w)
{
    w->report[0x49] = 1;
}
static void algorithm_2(struct world *w)
{
    w->report[0x34] = 2;
}
static void policy_bit_17(struct world *w)
{
    w->report[0x0A] &= 0xFD;
}
static void policy_bit_26(struct world *w)
{
    w->report[0x0B] |= 4;
}
static void reserved_byte(struct world *w)
{
    w->report[0x29F] = 1;
}
static void vector_in_version_3(struct world *w)
{
    w->report[0x1F8] = 1;
}
static void platform_bit_8(struct world *w)
{
    w->report[0x41] = 1;
}
static void tcb_reserved_byte(struct world *w)
{
    w->report[0x1F0 + 3] = 1; /* in LAUNCH_TCB */
}
static void debug_guest(struct world *w)
{
    w->report[0x0A] |= 8;
}
static void emulated_world(struct world *w)
{
    emulated(w);
}
static void emulated_unknown_world(struct world *w)
{
    emulated(w);
    w->distrust = true;
}
static void emulated_leaf_alone(struct world *w)
{
    w->leaf.subject_serial = "EMULATED";
}
static void crl_names_issuer(struct world *w)
{
    w->with_crl = true;
    w->crl.serial = w->issuer.serial;
    w->crl.serial_len = w->issuer.serial_len;
}
static void crl_names_root(struct world *w)
{
    w->with_crl = true;
    w->crl.serial = w->root.serial;
    w->crl.serial_len = w->root.serial_len;
}
static void crl_by_issuer(struct world *w)
{
    w->with_crl = true;
    w->crl.signer = keys.issuer;
}
static void crl_stale(struct world *w)
{
    w->with_crl = true;
    w->crl.until = "2025-12-31";
}
static void crl_early(struct world *w)
{
    w->with_crl = true;
    w->crl.from = "2026-01-02";
}
static void crl_delta(struct world *w)
{
    w->with_crl = true;
    w->crl.delta = true;
}
static void crl_missing(struct world *w)
{
    demand(w, "crl", "required");
}
static void root_may_not_sign_lists(struct world *w)
{
    w->with_crl = true;
    extend(&w->root, "2.5.29.15", "\x03\x02\x02\x04", 4);
}

#define U ATTEST_UNTRUSTED
static const struct {
    void (*wrong)(struct world *);
    const char *name, *failing;
    enum attest_verdict verdict;
} rows[] = {
#define ROW(wrong, failing, verdict)                                                               \
    {                                                                                              \
        wrong, #wrong, failing, verdict                                                            \
    }
    ROW(leaf_expired, "chain.validity", U),
    ROW(leaf_too_early, "chain.validity", U),
    ROW(issuer_expired, "chain.validity", U),
    ROW(root_expired, "chain.validity", U),
    ROW(leaf_by_wrong_key, "chain.leaf_signature", U),
    ROW(issuer_by_wrong_key, "chain.issuer_signature", U),
    ROW(root_by_wrong_key, "chain.root_signature", U),
    ROW(root_unknown, "chain.root", U),
    ROW(report_by_wrong_key, "report.signature", U),
    ROW(no_leaf, "chain.certificates", ATTEST_NO_CERTS),
    ROW(no_issuer, "chain.certificates", ATTEST_NO_CERTS),
    ROW(built_in_issuer, "chain.leaf_signature", U),
    ROW(pkcs1_leaf, "chain.signature_algorithm", U),
    ROW(pss_sha256, "chain.signature_algorithm", U),
    ROW(pss_short_salt, "chain.signature_algorithm", U),
    ROW(pss_other_mgf, "chain.signature_algorithm", U),
    ROW(weak_issuer, "chain.keys", U),
    ROW(leaf_is_rsa, "chain.keys", U),
    ROW(issuer_no_ca, "chain.constraints", U),
    ROW(issuer_without_constraints, "chain.constraints", U),
    ROW(issuer_may_not_sign, "chain.constraints", U),
    ROW(root_allows_none_between, "chain.constraints", U),
    ROW(leaf_is_ca, "chain.constraints", U),
    ROW(unknown_critical, "chain.constraints", U),
    ROW(other_organization, "chain.names", U),
    ROW(stray_serial_number, "chain.names", U),
    ROW(leaf_of_genoa, "chain.names", U),
    ROW(product_name_of_genoa, "chain.product", U),
    ROW(report_of_genoa, "chain.product", U),
    ROW(no_hwid, "chain.extensions", U),
    ROW(vcek_with_csp, "chain.extensions", U),
    ROW(short_hwid, "chain.extensions", U),
    ROW(no_ucode_spl, "chain.extensions", U),
    ROW(no_spl4, "chain.extensions", U),
    ROW(spl5_not_zero, "chain.extensions", U),
    ROW(fmc_on_milan, "chain.extensions", U),
    ROW(no_struct_version, "chain.extensions", U),
    ROW(no_product_name, "chain.extensions", U),
    ROW(other_chip, "report.chip_id", U),
    ROW(other_reported_tcb, "report.reported_tcb", U),
    ROW(current_behind, "report.current_tcb", U),
    ROW(committed_above_current, "report.tcb_order", ATTEST_AGAINST_POLICY),
    ROW(vlek_as_vcek, "chain.kind", U),
    ROW(vcek_as_vlek, "chain.kind", U),
    ROW(vcek_content_as_vlek, "chain.extensions", U),
    ROW(masked_chip_id, "policy.masked_chip_id", ATTEST_AGAINST_POLICY),
    ROW(unsigned_report, "format.key_info", U),
    ROW(key_info_reserved, "format.key_info", U),
    ROW(algorithm_2, "format.signature_algorithm", U),
    ROW(policy_bit_17, "format.policy_reserved", U),
    ROW(policy_bit_26, "format.policy_reserved", U),
    ROW(reserved_byte, "format.reserved", U),
    ROW(vector_in_version_3, "format.reserved", U),
    ROW(platform_bit_8, "format.platform_info", U),
    ROW(tcb_reserved_byte, "format.tcb_reserved", U),
    ROW(debug_guest, "policy.debug", ATTEST_AGAINST_POLICY),
    ROW(emulated_world, "chain.emulated", U),
    ROW(emulated_unknown_world, "chain.emulated", U),
    ROW(emulated_leaf_alone, "chain.emulated", U),
    ROW(crl_names_issuer, "revocation.serial", U),
    ROW(crl_names_root, "revocation.serial", U),
    ROW(crl_by_issuer, "revocation.signature", ATTEST_NO_REVOCATION),
    ROW(crl_stale, "revocation.freshness", ATTEST_NO_REVOCATION),
    ROW(crl_early, "revocation.freshness", ATTEST_NO_REVOCATION),
    ROW(crl_delta, "revocation.signature", ATTEST_NO_REVOCATION),
    ROW(crl_missing, "revocation.list", ATTEST_NO_REVOCATION),
    ROW(root_may_not_sign_lists, "revocation.signature", ATTEST_NO_REVOCATION),
#undef ROW
};

static void each_wrong_thing_fails_its_check(void **state)
{
    static struct attest_result result;
    static struct world w;

    for (size_t i = 0; i < COUNT(rows); i++) {
        good_world(&w, &keys, ATTEST_MILAN, false);
        rows[i].wrong(&w);
        judge_world(&w, &result);
        if (result.verdict != rows[i].verdict ||
            attest_result_check(&result, rows[i].failing)->outcome != ATTEST_FAIL) {
            explain(&result);
            fail_msg("%s: verdict %d", rows[i].name, result.verdict);
        }
    }
}

/* ---- good ones ---- */

static void assert_good(struct world *w, struct attest_result *result)
{
    if (judge_world(w, result) != ATTEST_GOOD)
        explain(result);
    assert_int_equal(result->verdict, ATTEST_GOOD);
}

static void every_product_and_kind(void **state)
{
    static struct attest_result result;
    static struct world w;

    for (unsigned product = ATTEST_MILAN; product <= ATTEST_TURIN; product++)
        for (unsigned vlek = 0; vlek < 2; vlek++) {
            good_world(&w, &keys, product, vlek);
            w.with_crl = true;
            if (vlek)
                demand(&w, "csp_id", "CN=cloud.example");
            assert_good(&w, &result);
            assert_int_equal(result.report.product, product);
            assert_int_equal(attest_result_check(&result, "report.chip_id")->outcome,
                             vlek ? ATTEST_NOT_ASKED : ATTEST_PASS);
            assert_int_equal(attest_result_check(&result, "revocation.serial")->outcome,
                             ATTEST_PASS);
        }
}

/* good_chip begins like an OCTET STRING of 64 bytes: as it is, wrapped, and one that is neither. */
static void chip_id_like_asn1(void **state)
{
    static struct attest_result result;
    static struct world w;
    uint8_t wrapped[66] = {4, 64};

    good_world(&w, &keys, ATTEST_MILAN, false);
    assert_good(&w, &result);
    memcpy(wrapped + 2, good_chip, 64);
    good_world(&w, &keys, ATTEST_MILAN, false);
    extend(&w.leaf, AMD_ARC ".4", wrapped, sizeof(wrapped));
    assert_good(&w, &result);
    good_world(&w, &keys, ATTEST_TURIN, false);
    wrapped[1] = 8;
    extend(&w.leaf, AMD_ARC ".4", wrapped, 10);
    assert_good(&w, &result);
}

/* Version 2 does not say its product; the chain does. */
static void version_2(void **state)
{
    static struct attest_result result;
    static struct world w;

    for (unsigned product = ATTEST_MILAN; product <= ATTEST_TURIN; product++) {
        good_world(&w, &keys, product, false);
        store32(w.report, 2);
        memset(w.report + 0x188, 0, 3);
        memset(w.report + 0x1F8, 0, 16);
        assert_good(&w, &result);
        assert_int_equal(result.report.product, product);
        assert_false(result.report.has_cpuid);
    }
    /* A long id is no Turin's. */
    good_world(&w, &keys, ATTEST_TURIN, false);
    store32(w.report, 2);
    memset(w.report + 0x188, 0, 3);
    memset(w.report + 0x1F8, 0, 16);
    w.report[0x1A0 + 20] = 1;
    judge_world(&w, &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.product");
}

static void masked_ids_by_policy(void **state)
{
    static struct attest_result result;
    static struct world w;

    good_world(&w, &keys, ATTEST_MILAN, false);
    memset(w.report + 0x1A0, 0, 64);
    demand(&w, "masked_chip_id", "allowed");
    assert_good(&w, &result);
    good_world(&w, &keys, ATTEST_MILAN, true); /* a VLEK: nothing is lost */
    memset(w.report + 0x1A0, 0, 64);
    assert_good(&w, &result);
    good_world(&w, &keys, ATTEST_MILAN, true);
    memset(w.report + 0x1A0, 0, 64);
    demand(&w, "masked_chip_id", "forbidden");
    judge_world(&w, &result);
    expect(&result, ATTEST_AGAINST_POLICY, "policy.masked_chip_id");
}

static void emulated_roots(void **state)
{
    static struct attest_result result;
    static struct world w;

    good_world(&w, &keys, ATTEST_GENOA, false);
    emulated(&w);
    w.emulated_ok = true;
    assert_good(&w, &result); /* named and allowed */
    assert_true(result.emulated);
    assert_non_null(strstr(result.summary, "EMULATED"));
    good_world(&w, &keys, ATTEST_GENOA, false);
    emulated(&w);
    w.emulated_ok = w.distrust = true;
    assert_good(&w, &result); /* none was named: any will do */
    assert_true(result.emulated);
    good_world(&w, &keys, ATTEST_GENOA, false);
    w.emulated_ok = w.distrust = true;
    judge_world(&w, &result); /* it does not say so, and is not AMD's */
    expect(&result, ATTEST_UNTRUSTED, "chain.root");
    assert_false(result.emulated);
}

/* With emulated roots named, another emulated root is not taken. */
static void named_emulated_roots_are_pins(void **state)
{
    static struct attest_result result;
    static struct world w, other;
    struct attest_trust *trust = attest_trust_new(NULL);
    struct attest_certs *certs = attest_certs_new(NULL);

    good_world(&w, &keys, ATTEST_MILAN, false);
    emulated(&w);
    judge_world(&w, &result); /* makes the certificates */
    good_world(&other, &keys, ATTEST_MILAN, false);
    emulated(&other);
    other.root.key = other.root.signer = keys.issuer;
    make_cert(&other.root);
    attest_trust_emulated(trust);
    assert_int_equal(attest_trust_add_root(trust, other.root.der, other.root.len, NULL), ATTEST_OK);
    attest_certs_add(certs, w.root.der, w.root.len, NULL);
    attest_certs_add(certs, w.issuer.der, w.issuer.len, NULL);
    attest_certs_add(certs, w.leaf.der, w.leaf.len, NULL);
    attest_verify(
        trust,
        &(struct attest_query){
            .report = w.report, .report_len = sizeof(w.report), .certs = certs, .at = date(w.at)},
        &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.root");
    assert_int_equal(attest_trust_add_root(trust, w.leaf.der, w.leaf.len, NULL), ATTEST_E_ARG);
    attest_certs_free(certs);
    attest_trust_free(trust);
}

/* What the parser refuses, by path. */
static void certificates_that_do_not_parse(void **state)
{
    static const struct {
        const char *oid, *bytes;
        size_t len;
        const char *path;
    } bad[] = {
        {AMD_ARC ".4", "\x04\x08\x01\x02\x03\x04\x05\x06\x07", 9, "certificate.extensions.hwid"},
        {AMD_ARC ".4", "\x04\x07\x01\x02\x03\x04\x05\x06\x07\x08", 10,
         "certificate.extensions.hwid"},
        {AMD_ARC ".3.1", "\x02\x02\x00\x04", 4, "certificate.extensions.spl"},
        {AMD_ARC ".3.8", "\x02\x01\xDB", 3, "certificate.extensions.spl"}, /* negative */
        {AMD_ARC ".3.8", "\x02\x02\x01\x00", 4, "certificate.extensions.spl"},
        {AMD_ARC ".3.8", "\x02\x01\x01\x00", 4, "certificate.extensions.spl"},
        {AMD_ARC ".2", "\x0C\x05Milan", 7, "certificate.extensions.product_name"},
        {"2.5.29.19", "\x30\x03\x01\x01\x01", 5, "certificate.extensions.basic_constraints"},
    };
    static struct made_cert doubled;
    static struct world w;
    struct attest_error err;
    struct attest_cert c;

    for (size_t i = 0; i < COUNT(bad); i++) {
        good_world(&w, &keys, ATTEST_MILAN, false);
        extend(&w.leaf, bad[i].oid, bad[i].bytes, bad[i].len);
        make_cert(&w.leaf);
        assert_int_equal(attest_cert_parse(&c, w.leaf.der, w.leaf.len, &err), ATTEST_E_FORMAT);
        assert_string_equal(err.path, bad[i].path);
    }
    good_world(&w, &keys, ATTEST_MILAN, false);
    doubled = w.leaf;
    doubled.extensions[doubled.extension_count++] = *extension(&w.leaf, AMD_ARC ".3.3");
    make_cert(&doubled);
    assert_int_equal(attest_cert_parse(&c, doubled.der, doubled.len, &err), ATTEST_E_FORMAT);
    assert_string_equal(err.path, "certificate.extensions");
    make_cert(&w.leaf); /* the same, once */
    assert_int_equal(attest_cert_parse(&c, w.leaf.der, w.leaf.len, &err), ATTEST_OK);
    assert_int_equal(c.serial_len, 1);
    assert_int_equal(c.serial[0], 0);
    assert_int_equal(c.not_before, date("2024-01-01"));
    assert_int_equal(c.tcb.part[ATTEST_TCB_MICROCODE], 0xDB);
    for (size_t len = 0; len < w.leaf.len; len++)
        assert_int_not_equal(attest_cert_parse(&c, w.leaf.der, len, NULL), ATTEST_OK);
    assert_int_not_equal(attest_cert_parse(&c, w.leaf.der, w.leaf.len + 1, NULL), ATTEST_OK);
}

/* A list without nextUpdate could be old without one's knowing. */
static void lists_need_a_next_update(void **state)
{
    static struct world w;
    struct attest_error err;
    struct attest_crl crl;

    good_world(&w, &keys, ATTEST_MILAN, false);
    w.crl.until = NULL;
    make_crl(&w);
    assert_int_equal(attest_crl_parse(&crl, w.crl.der, w.crl.len, &err), ATTEST_E_FORMAT);
    assert_string_equal(err.path, "crl.next_update");
}

/* A newer list that leaves a serial out does not bring it back; lists of others say nothing. */
static void what_was_revoked_stays_revoked(void **state)
{
    static struct attest_result result;
    static struct world w;
    struct attest_trust *trust = attest_trust_new(NULL);
    struct attest_query q = {.at = date("2026-01-01")};

    for (unsigned forged = 0; forged < 2; forged++) {
        struct attest_certs *certs = attest_certs_new(NULL);

        good_world(&w, &keys, ATTEST_MILAN, false);
        w.with_crl = true;
        assert_int_equal(judge_world(&w, &result), ATTEST_GOOD);
        if (!forged)
            attest_trust_add_root(trust, w.root.der, w.root.len, NULL);
        attest_certs_add(certs, w.root.der, w.root.len, NULL);
        attest_certs_add(certs, w.issuer.der, w.issuer.len, NULL);
        attest_certs_add(certs, w.leaf.der, w.leaf.len, NULL);
        attest_certs_add(certs, w.crl.der, w.crl.len, NULL);
        w.crl.from = "2025-01-01";
        w.crl.until = "2025-06-01"; /* long gone */
        w.crl.serial = w.issuer.serial;
        w.crl.serial_len = w.issuer.serial_len;
        if (forged)
            w.crl.signer = keys.issuer;
        make_crl(&w);
        attest_certs_add(certs, w.crl.der, w.crl.len, NULL);
        q.report = w.report;
        q.report_len = sizeof(w.report);
        q.certs = certs;
        attest_verify(trust, &q, &result);
        expect(&result, forged ? ATTEST_GOOD : ATTEST_UNTRUSTED,
               forged ? NULL : "revocation.serial");
        attest_certs_free(certs);
    }
    attest_trust_free(trust);
}

/* The cache remembers signatures, and nothing else. */
static void the_cache_forgives_nothing(void **state)
{
    static struct attest_result result;
    static struct world w;
    struct attest_trust *trust = attest_trust_new(NULL), *stranger = attest_trust_new(NULL);
    struct attest_certs *certs = attest_certs_new(NULL), *wrong = attest_certs_new(NULL);
    struct attest_cache *cache = attest_cache_new(NULL);
    struct attest_query q;

    good_world(&w, &keys, ATTEST_MILAN, false);
    assert_int_equal(judge_world(&w, &result), ATTEST_GOOD);
    attest_trust_add_root(trust, w.root.der, w.root.len, NULL);
    attest_certs_add(certs, w.root.der, w.root.len, NULL);
    attest_certs_add(certs, w.issuer.der, w.issuer.len, NULL);
    attest_certs_add(certs, w.leaf.der, w.leaf.len, NULL);
    q = (struct attest_query){.report = w.report,
                              .report_len = sizeof(w.report),
                              .certs = certs,
                              .at = date(w.at),
                              .cache = cache};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(attest_verify(trust, &q, &result), ATTEST_GOOD);
    q.at = date("2032-01-01");
    attest_verify(trust, &q, &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.validity");
    q.at = date(w.at);
    attest_verify(stranger, &q, &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.root");
    w.report[0x50] ^= 1;
    attest_verify(trust, &q, &result);
    expect(&result, ATTEST_UNTRUSTED, "report.signature");
    w.report[0x50] ^= 1;
    w.leaf.der[w.leaf.len - 1] ^= 1; /* the same certificate, with another signature */
    attest_certs_add(wrong, w.root.der, w.root.len, NULL);
    attest_certs_add(wrong, w.issuer.der, w.issuer.len, NULL);
    attest_certs_add(wrong, w.leaf.der, w.leaf.len, NULL);
    q.certs = wrong;
    attest_verify(trust, &q, &result);
    expect(&result, ATTEST_UNTRUSTED, "chain.leaf_signature");
    attest_cache_free(cache);
    attest_certs_free(certs);
    attest_certs_free(wrong);
    attest_trust_free(trust);
    attest_trust_free(stranger);
}

/* Of several leaves the one that fits the report is judged; an ASK with the same name and another
 * key does not stand in the way. */
static void the_fitting_certificates_are_chosen(void **state)
{
    static struct attest_result result;
    static struct world w, other;
    struct attest_trust *trust = attest_trust_new(NULL);
    struct attest_certs *certs = attest_certs_new(NULL);

    good_world(&w, &keys, ATTEST_MILAN, false);
    assert_int_equal(judge_world(&w, &result), ATTEST_GOOD);
    good_world(&other, &keys, ATTEST_MILAN, false);
    other.issuer.key = keys.root;
    extend_number(&other.leaf, AMD_ARC ".3.8", 0xDA);
    make_cert(&other.issuer);
    make_cert(&other.leaf);
    attest_trust_add_root(trust, w.root.der, w.root.len, NULL);
    attest_certs_add(certs, other.leaf.der, other.leaf.len, NULL);
    attest_certs_add(certs, w.leaf.der, w.leaf.len, NULL);
    attest_certs_add(certs, other.issuer.der, other.issuer.len, NULL);
    attest_certs_add(certs, w.issuer.der, w.issuer.len, NULL);
    attest_verify(
        trust,
        &(struct attest_query){
            .report = w.report, .report_len = sizeof(w.report), .certs = certs, .at = date(w.at)},
        &result);
    expect(&result, ATTEST_GOOD, NULL);
    assert_ptr_equal(result.leaf, attest_certs_at(certs, 1));
    assert_ptr_equal(result.issuer, attest_certs_at(certs, 3));
    attest_certs_free(certs);
    attest_trust_free(trust);
}

static int make(void **state)
{
    make_keys(&keys);
    return 0;
}

static int unmake(void **state)
{
    free_keys(&keys);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_product_and_kind),
        cmocka_unit_test(chip_id_like_asn1),
        cmocka_unit_test(version_2),
        cmocka_unit_test(masked_ids_by_policy),
        cmocka_unit_test(emulated_roots),
        cmocka_unit_test(named_emulated_roots_are_pins),
        cmocka_unit_test(each_wrong_thing_fails_its_check),
        cmocka_unit_test(certificates_that_do_not_parse),
        cmocka_unit_test(lists_need_a_next_update),
        cmocka_unit_test(what_was_revoked_stays_revoked),
        cmocka_unit_test(the_cache_forgives_nothing),
        cmocka_unit_test(the_fitting_certificates_are_chosen),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
