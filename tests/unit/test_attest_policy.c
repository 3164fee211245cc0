/* Policies: what each key accepts and refuses, how values are read and shown, and drafts. */
#include "attest_rig.h"

static struct attest_trust *trust;
static struct file file;
static struct attest_result result;

static enum attest_outcome judge(const char *key, const char *const *values)
{
    struct attest_policy *policy = attest_policy_new(NULL);
    struct attest_error err = {0};
    char name[80];
    const struct attest_check *check;
    enum attest_outcome outcome;

    for (; *values; values++)
        if (attest_policy_set(policy, key, *values, &err) != ATTEST_OK)
            fail_msg("%s = %s: %s", key, *values, err.text);
    attest_verify(
        trust,
        &(struct attest_query){.report = file.bytes, .report_len = file.len, .policy = policy},
        &result);
    snprintf(name, sizeof(name), "policy.%s", key);
    check = attest_result_check(&result, name);
    assert_non_null(check);
    assert_int_equal(check->info->blame, ATTEST_AGAINST_POLICY);
    outcome = check->outcome;
    if (outcome != ATTEST_NOT_ASKED)
        assert_true(check->expected[0] && check->found[0]);
    attest_policy_free(policy);
    return outcome;
}

static void expect_outcome(const char *key, const char *value, enum attest_outcome want)
{
    enum attest_outcome got = judge(key, (const char *const[]){value, NULL});

    if (got != want)
        fail_msg("%s = %s: %s", key, value, attest_outcome_name(got));
}

static void load_milan(void)
{
    load(&file, "reports/milan-v3/report.bin");
}

static void to_turin(void)
{
    static const uint8_t tcb[] = {1, 2, 3, 4, 0, 0, 0, 0x51};
    static const uint16_t tcbs[] = {0x38, 0x180, 0x1E0, 0x1F0};

    load_milan();
    store32(file.bytes, 5);
    memcpy(file.bytes + 0x188, "\x1A\x02\x01", 3);
    for (unsigned i = 0; i < COUNT(tcbs); i++)
        memcpy(file.bytes + tcbs[i], tcb, 8);
    store64(file.bytes + 0x1F8, 0x3F);
    store64(file.bytes + 0x200, 0x0B);
}

/* ---- every key ---- */

/* The report of Milan: values that it satisfies, and ones that it does not. */
static const struct {
    const char *key, *pass, *fail;
} plain[] = {
    {"product", "milan", "genoa"},
    {"signing_key", "vcek", "vlek"},
    {"report_version", "3", "4"},
    {"vmpl", "0", "1"},
    {"guest_svn", "0", "1"},
    {"guest_policy", "0x30000", "0x30001"},
    {"abi", "0.0", "0.1"},
    {"debug", "forbidden", "required"},
    {"migration", "forbidden", "required"},
    {"smt", "required", "forbidden"},
    {"cxl", "forbidden", "required"},
    {"single_socket", "forbidden", "required"},
    {"mem_aes_256_xts", "forbidden", "required"},
    {"rapl_disabled", "forbidden", "required"},
    {"ciphertext_hiding", "forbidden", "required"},
    {"page_swap_disabled", "forbidden", "required"},
    {"platform.smt", "required", "forbidden"},
    {"platform.tsme", "forbidden", "required"},
    {"platform.ecc", "required", "forbidden"},
    {"platform.rapl_disabled", "forbidden", "required"},
    {"platform.ciphertext_hiding", "forbidden", "required"},
    {"platform.alias_check", "required", "forbidden"},
    {"platform.tio", "forbidden", "required"},
    {"author_key", "forbidden", "required"},
    {"mask_chip_key", "forbidden", "required"},
    {"masked_chip_id", "forbidden", "required"},
    {"provisional_firmware", "forbidden", "required"},
    {"minimum_tcb.reported.boot_loader", "4", "5"},
    {"minimum_tcb.reported.tee", "0", "1"},
    {"minimum_tcb.reported.snp", "24", "25"},
    {"minimum_tcb.reported.microcode", "219", "220"},
    {"minimum_tcb.committed.microcode", "0xdb", "0xdc"},
    {"minimum_tcb.current.snp", "0x18", "0x19"},
    {"minimum_tcb.launch.boot_loader", "0", "255"},
    {"measurement", NULL, NULL}, /* below */
};

static void every_plain_key(void **state)
{
    load_milan();
    for (size_t i = 0; plain[i].pass; i++) {
        expect_outcome(plain[i].key, plain[i].pass, ATTEST_PASS);
        expect_outcome(plain[i].key, plain[i].fail, ATTEST_FAIL);
    }
    for (size_t i = 0; plain[i].pass; i++)
        if (attest_policy_key(plain[i].key)->kind == ATTEST_POLICY_RULE)
            expect_outcome(plain[i].key, "allowed", ATTEST_NOT_ASKED);
}

/* Keys of bytes: the report's own value passes, alone and among others; another one fails. */
static void every_key_of_bytes(void **state)
{
    size_t count, seen = 0;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    struct attest_report report;
    char own[192], other[192];

    load_milan();
    file.bytes[0x48] |= 1; /* AUTHOR_KEY_EN, so that the author's digest counts */
    memset(file.bytes + 0x110, 7, 48);
    assert_int_equal(attest_report_parse(&report, file.bytes, file.len, 0, NULL), ATTEST_OK);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].kind != ATTEST_POLICY_BYTES)
            continue;
        seen++;
        assert_int_equal(attest_policy_found(&report, &keys[i], own, sizeof(own)),
                         2 * keys[i].size);
        memcpy(other, own, sizeof(own));
        other[2 * keys[i].size - 1] = other[2 * keys[i].size - 1] == '1' ? '2' : '1';
        expect_outcome(keys[i].name, own, ATTEST_PASS);
        expect_outcome(keys[i].name, other, ATTEST_FAIL);
        assert_int_equal(judge(keys[i].name, (const char *const[]){other, own, NULL}), ATTEST_PASS);
        other[2 * keys[i].size - 2] = 0;
        assert_int_equal(attest_policy_set(NULL, keys[i].name, other, NULL), ATTEST_E_FORMAT);
    }
    assert_int_equal(seen, 10);
    /* Without AUTHOR_KEY_EN the digest is nobody's. */
    attest_policy_found(&report, attest_policy_key("author_key_digest"), own, sizeof(own));
    file.bytes[0x48] &= 0xFE;
    expect_outcome("author_key_digest", own, ATTEST_FAIL);
}

static void keys_of_newer_reports(void **state)
{
    static const struct {
        const char *key, *pass, *fail;
    } rows[] = {
        {"mitigations.launch", "0x3f", "0x40"},
        {"mitigations.current", "0xb", "0xf"},
        {"minimum_tcb.reported.fmc", "1", "2"},
        {"minimum_tcb.reported.boot_loader", "2", "3"},
        {"minimum_tcb.current.tee", "3", "4"},
        {"minimum_tcb.committed.snp", "4", "5"},
        {"minimum_tcb.launch.microcode", "81", "82"},
        {"product", "turin", "milan"},
    };

    to_turin();
    for (size_t i = 0; i < COUNT(rows); i++) {
        expect_outcome(rows[i].key, rows[i].pass, ATTEST_PASS);
        expect_outcome(rows[i].key, rows[i].fail, ATTEST_FAIL);
    }
    load_milan(); /* which has neither: asking is failing */
    expect_outcome("mitigations.launch", "0", ATTEST_FAIL);
    expect_outcome("minimum_tcb.reported.fmc", "0", ATTEST_FAIL);
    assert_non_null(strstr(attest_result_check(&result, "policy.minimum_tcb.reported.fmc")->found,
                           "no such component"));
}

/* Each part of each TCB by itself, in both layouts. */
static void every_part_of_every_tcb(void **state)
{
    static const struct {
        const char *name;
        uint16_t at;
    } tcbs[] = {{"reported", 0x180}, {"committed", 0x1E0}, {"current", 0x38}, {"launch", 0x1F0}};
    static const int8_t milan[] = {-1, 0, 1, 6, 7}, turin[] = {0, 1, 2, 3, 7};

    for (unsigned i = 0; i < 2 * COUNT(tcbs) * ATTEST_TCB_PARTS; i++) {
        unsigned t = i / 2 / ATTEST_TCB_PARTS, part = i / 2 % ATTEST_TCB_PARTS;
        int byte = i % 2 ? turin[part] : milan[part];
        char key[64];

        snprintf(key, sizeof(key), "minimum_tcb.%s.%s", tcbs[t].name, attest_tcb_part_name(part));
        if (i % 2)
            to_turin();
        else
            load_milan();
        for (unsigned k = 0; k < COUNT(tcbs); k++) /* high in all but this one */
            for (unsigned b = 0; b < 8; b++)
                file.bytes[tcbs[k].at + b] = k == t && (int)b == byte ? 9 : 99;
        expect_outcome(key, "9", byte < 0 ? ATTEST_FAIL : ATTEST_PASS);
        expect_outcome(key, "10", ATTEST_FAIL);
    }
}

static void firmware_versions(void **state)
{
    load_milan();
    memcpy(file.bytes + 0x1E8, "\x15\x37\x01\x00\x14\x37\x01", 7); /* 1.55.21, 1.55.20 */
    expect_outcome("minimum_firmware.current", "1.55", ATTEST_PASS);
    expect_outcome("minimum_firmware.current", "1.56", ATTEST_FAIL);
    expect_outcome("minimum_firmware.current", "0.99", ATTEST_PASS);
    expect_outcome("minimum_firmware.committed", "2.0", ATTEST_FAIL);
    expect_outcome("minimum_build.current", "21", ATTEST_PASS);
    expect_outcome("minimum_build.current", "22", ATTEST_FAIL);
    expect_outcome("minimum_build.committed", "21", ATTEST_FAIL);
    expect_outcome("provisional_firmware", "forbidden", ATTEST_FAIL);
    file.bytes[0x1EC] = 0x15;
    expect_outcome("provisional_firmware", "forbidden", ATTEST_PASS);
    file.bytes[0x1E0 + 7]--; /* COMMITTED_TCB */
    expect_outcome("provisional_firmware", "forbidden", ATTEST_FAIL);
}

/* What is not set is not asked, but debugging and masked ids. */
static void what_is_not_asked(void **state)
{
    struct attest_policy *policy = attest_policy_new(NULL);
    size_t count, asked = 0;
    const struct attest_check_info *infos = attest_checks(&count);
    struct attest_query q = {.policy = policy};

    load_milan();
    q.report = file.bytes;
    q.report_len = file.len;
    for (unsigned built_in = 0; built_in < 2; built_in++) {
        attest_verify(trust, &q, &result);
        assert_int_equal(result.count, count);
        for (size_t i = asked = 0; i < count; i++) {
            assert_ptr_equal(result.check[i].info, &infos[i]);
            asked += strncmp(infos[i].name, "policy.", 7) == 0 &&
                     result.check[i].outcome != ATTEST_NOT_ASKED;
        }
        assert_int_equal(asked, 2);
        assert_int_equal(attest_result_check(&result, "policy.debug")->outcome, ATTEST_PASS);
        assert_int_equal(attest_result_check(&result, "policy.masked_chip_id")->outcome,
                         ATTEST_PASS);
        q.policy = NULL; /* the built-in one */
    }
    file.bytes[0x0A] |= 8;
    attest_verify(trust, &q, &result);
    assert_int_equal(attest_result_check(&result, "policy.debug")->outcome, ATTEST_FAIL);
    assert_int_equal(attest_policy_set(policy, "debug", "allowed", NULL), ATTEST_OK);
    q.policy = policy;
    attest_verify(trust, &q, &result);
    assert_int_equal(attest_result_check(&result, "policy.debug")->outcome, ATTEST_NOT_ASKED);
    attest_policy_free(policy);
}

/* ---- values ---- */

static void values_that_make_no_sense(void **state)
{
    static const char *const bad[][2] = {
        {"debug", "maybe"},
        {"debug", ""},
        {"vmpl", "4"},
        {"vmpl", "-1"},
        {"vmpl", " 0"},
        {"vmpl", "0x"},
        {"vmpl", "0 "},
        {"guest_svn", "4294967296"},
        {"guest_policy", "0x10000000000000000"},
        {"abi", "1"},
        {"abi", "1."},
        {"abi", ".5"},
        {"abi", "1.256"},
        {"abi", "1000.1"},
        {"abi", "1.5.2"},
        {"minimum_tcb.reported.snp", "256"},
        {"product", "Milan"},
        {"product", "rome"},
        {"signing_key", "none"},
        {"crl", "forbidden"},
        {"csp_id", ""},
        {"measurement", "00"},
        {"measurement", "zz"},
        {"chip_id", "0011223344556677 8"},
        {"mitigations.launch", "x"},
    };
    struct attest_policy *policy = attest_policy_new(NULL);
    struct attest_error err;

    for (size_t i = 0; i < COUNT(bad); i++) {
        if (attest_policy_set(policy, bad[i][0], bad[i][1], &err) != ATTEST_E_FORMAT)
            fail_msg("%s = \"%s\" was taken", bad[i][0], bad[i][1]);
        assert_memory_equal(err.path, "policy.", 7);
        assert_string_equal(err.path + 7, bad[i][0]);
    }
    assert_int_equal(attest_policy_set(policy, "nonsense", "1", &err), ATTEST_E_ARG);
    assert_null(attest_policy_key("minimum_tcb"));
    attest_policy_free(policy);
}

/* What was set comes back as it can be set again. */
static void values_come_back(void **state)
{
    static const char *const rows[][2] = {
        {"debug", "required"},
        {"vmpl", "3"},
        {"guest_policy", "0x30000"},
        {"abi", "1.55"},
        {"product", "turin"},
        {"csp_id", "CN=cloud.example"},
        {"guest_svn", "7"},
        {"crl", "required"},
        {"mitigations.current", "0x3f"},
        {"family_id", "000102030405060708090a0b0c0d0e0f"},
    };
    struct attest_policy *policy = attest_policy_new(NULL);
    char text[256];

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct attest_policy_key *key = attest_policy_key(rows[i][0]);

        assert_int_equal(attest_policy_set(policy, rows[i][0], rows[i][1], NULL), ATTEST_OK);
        assert_int_equal(attest_policy_count(policy, key), 1);
        assert_int_equal(attest_policy_value(policy, key, 0, text, sizeof(text)),
                         strlen(rows[i][1]));
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(attest_policy_value(policy, key, 1, text, sizeof(text)), -1);
    }
    /* A second value replaces one of which there is one, and stands beside others. */
    attest_policy_set(policy, "guest_svn", "9", NULL);
    assert_int_equal(attest_policy_count(policy, attest_policy_key("guest_svn")), 1);
    attest_policy_value(policy, attest_policy_key("guest_svn"), 0, text, sizeof(text));
    assert_string_equal(text, "9");
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%032x", i);
        assert_int_equal(attest_policy_set(policy, "image_id", text, NULL), ATTEST_OK);
    }
    assert_int_equal(attest_policy_count(policy, attest_policy_key("image_id")), 100);
    attest_policy_value(policy, attest_policy_key("image_id"), 77, text, sizeof(text));
    assert_string_equal(text, "0000000000000000000000000000004d");
    attest_policy_free(policy);
}

static void policies_in_words(void **state)
{
    struct attest_policy *policy = attest_policy_new(NULL);
    char text[256];

    attest_policy_explain(policy, attest_policy_key("debug"), text, sizeof(text));
    assert_string_equal(text, "debugging by the host (POLICY, DEBUG) is forbidden.");
    attest_policy_explain(policy, attest_policy_key("vmpl"), text, sizeof(text));
    assert_non_null(strstr(text, "is not asked."));
    attest_policy_set(policy, "vmpl", "0", NULL);
    attest_policy_set(policy, "vmpl", "1", NULL);
    attest_policy_set(policy, "vmpl", "2", NULL);
    attest_policy_explain(policy, attest_policy_key("vmpl"), text, sizeof(text));
    assert_string_equal(text,
                        "the privilege level that asked for the report (VMPL) must be 0, 1 or 2.");
    attest_policy_set(policy, "minimum_tcb.reported.snp", "8", NULL);
    attest_policy_explain(policy, attest_policy_key("minimum_tcb.reported.snp"), text,
                          sizeof(text));
    assert_string_equal(text, "the SNP firmware's version in REPORTED_TCB must be at least 8.");
    attest_policy_free(policy);
}

/* A Turin's id may be given as its 8 bytes. */
static void short_chip_ids(void **state)
{
    to_turin();
    memset(file.bytes + 0x1A8, 0, 56);
    memcpy(file.bytes + 0x1A0, "\1\2\3\4\5\6\7\x08", 8);
    expect_outcome("chip_id", "0102030405060708", ATTEST_PASS);
    expect_outcome("chip_id", "0102030405060709", ATTEST_FAIL);
    file.bytes[0x1A8] = 1;
    expect_outcome("chip_id", "0102030405060708", ATTEST_FAIL);
}

static void providers_of_vleks(void **state)
{
    load_milan(); /* a VCEK: it has no provider */
    expect_outcome("csp_id", "CN=cloud.example", ATTEST_FAIL);
}

/* A policy drafted from a report accepts that report. */
static void drafts(void **state)
{
    size_t count, set = 0;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    struct attest_policy *policy = attest_policy_new(NULL);
    struct attest_report report;
    char text[256];

    for (unsigned turn = 0; turn < 2; turn++) {
        if (turn)
            to_turin();
        else
            load_milan();
        assert_int_equal(attest_report_parse(&report, file.bytes, file.len, 0, NULL), ATTEST_OK);
        attest_policy_free(policy);
        policy = attest_policy_new(NULL);
        for (size_t i = set = 0; i < count; i++) {
            struct attest_error err = {0};

            if (!attest_policy_found(&report, &keys[i], text, sizeof(text)))
                continue;
            set++;
            if (attest_policy_set(policy, keys[i].name, text, &err) != ATTEST_OK)
                fail_msg("%s: %s", err.path, err.text);
        }
        attest_verify(
            trust,
            &(struct attest_query){.report = file.bytes, .report_len = file.len, .policy = policy},
            &result);
        for (size_t i = 0; i < result.count; i++)
            if (strncmp(result.check[i].info->name, "policy.", 7) == 0 &&
                result.check[i].outcome == ATTEST_FAIL)
                fail_msg("%s: %s", result.check[i].info->name, result.check[i].found);
    }
    /* all but the author's digest, the provider and the list */
    assert_int_equal(set, count - 3);
    attest_policy_free(policy);
}

/* ---- the verdict ---- */

static void the_gravest_kind_decides(void **state)
{
    struct attest_policy *policy = attest_policy_new(NULL);
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_query q = {.policy = policy, .certs = certs, .at = date("2025-04-15")};

    attest_policy_set(policy, "guest_svn", "1", NULL);
    load_milan();
    q.report = file.bytes;
    q.report_len = file.len;
    assert_int_equal(attest_verify(trust, &q, &result), ATTEST_NO_CERTS);
    add(certs, "reports/milan-v3/vcek.der");
    assert_int_equal(attest_verify(trust, &q, &result), ATTEST_AGAINST_POLICY);
    assert_string_equal(result.summary, "policy.guest_svn: expected at least 1; found 0");
    attest_policy_set(policy, "crl", "required", NULL);
    assert_int_equal(attest_verify(trust, &q, &result), ATTEST_NO_REVOCATION);
    file.bytes[0x50] ^= 1;
    assert_int_equal(attest_verify(trust, &q, &result), ATTEST_UNTRUSTED);
    file.bytes[0] = 9;
    assert_int_equal(attest_verify(trust, &q, &result), ATTEST_MISUSE);
    attest_policy_free(policy);
    attest_certs_free(certs);
}

static int make(void **state)
{
    trust = attest_trust_new(NULL);
    return !trust;
}

static int unmake(void **state)
{
    attest_trust_free(trust);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plain_key),           cmocka_unit_test(every_key_of_bytes),
        cmocka_unit_test(keys_of_newer_reports),     cmocka_unit_test(every_part_of_every_tcb),
        cmocka_unit_test(firmware_versions),         cmocka_unit_test(what_is_not_asked),
        cmocka_unit_test(values_that_make_no_sense), cmocka_unit_test(values_come_back),
        cmocka_unit_test(policies_in_words),         cmocka_unit_test(short_chip_ids),
        cmocka_unit_test(providers_of_vleks),        cmocka_unit_test(drafts),
        cmocka_unit_test(the_gravest_kind_decides),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
