/* What owners of guests do: ID blocks, certificates of legacy SEV, sessions, measurements, secrets;
 * against published values. Data: tests/data/idblock, tests/data/sev-legacy, with their provenance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/guid.h"
#include "attest/idblock.h"
#include "attest/owner.h"
#include "base/bytes.h"
#include "crypto/cipher.h"
#include "crypto/digest.h"
#include "crypto/ecc.h"
#include "crypto/openssl.h"
#include "crypto/sev_cert.h"
#include "lucca/owner.h"

#include <openssl/pem.h>

#include <cmocka.h> /* last: it has a macro fail() */

#define FILE_MAX 8192u

struct file {
    uint8_t bytes[FILE_MAX];
    size_t len;
};

static struct attest_span read_file(struct file *to, const char *name)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", LUCCA_DATA, name);
    f = fopen(path, "rbe");
    assert_non_null(f);
    to->len = fread(to->bytes, 1, sizeof(to->bytes), f);
    fclose(f);
    return (struct attest_span){to->bytes, to->len};
}

static size_t unhex(uint8_t *to, const char *hex)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (uint8_t)byte;
    }
    return n;
}

static void assert_hex(const void *found, const char *wanted)
{
    uint8_t bytes[512];
    size_t n = unhex(bytes, wanted);

    assert_memory_equal(found, bytes, n);
}

/* ---- ID blocks ------------------------------------------------------------------------------- */

static void published_key_digests(void **state)
{
    static const struct {
        const char *file, *digest;
    } rows[] = {
        {"idblock/id_key.pub.pem",
         "870b7e35c53f8a72d0d322f75ab2af8262792aaf6579622ce4131c3f21f289e77"
         "cb0560a5e3b90b3932e674ec709cb14"},
        {"idblock/author_key.pub.pem",
         "63111c34bbfc0a4938f9a009bd074980d8172323e61599c9fd336da867324"
         "8e1dca98d0be8f76376a106b8afd4c0a057"},
    };
    uint8_t digest[48];
    struct file f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(attest_id_key_digest(digest, read_file(&f, rows[i].file), NULL),
                         ATTEST_OK);
        assert_hex(digest, rows[i].digest);
    }
    memset(f.bytes + 40, 'A', 8);
    assert_int_equal(attest_id_key_digest(digest, (struct attest_span){f.bytes, f.len}, NULL),
                     ATTEST_E_FORMAT);
}

static const uint8_t published_measurement[48] = {
    0x07, 0x6f, 0x05, 0x2d, 0x08, 0xbd, 0xa7, 0xa7, 0x00, 0xaa, 0x2a, 0x60, 0x8c, 0x5c, 0xaa, 0x6b,
    0x00, 0xeb, 0xad, 0x29, 0x7b, 0x6d, 0x68, 0xa8, 0x5a, 0x45, 0xb1, 0xe6, 0x69, 0xa5, 0x58, 0xb6,
    0x7e, 0x1b, 0x91, 0xd2, 0x84, 0xa3, 0x01, 0xfe, 0x63, 0xc4, 0xfa, 0x07, 0x50, 0x46, 0x7e, 0xed};

static void published_block(void **state)
{
    struct attest_id_block block = {.version = 1, .policy = 0x30000}, again;
    uint8_t bytes[ATTEST_ID_BLOCK_BYTES];
    struct file f;

    (void)state;
    memcpy(block.measurement, published_measurement, 48);
    attest_id_block_encode(bytes, &block);
    assert_int_equal(read_file(&f, "idblock/id_block.bin").len, sizeof(bytes));
    assert_memory_equal(bytes, f.bytes, sizeof(bytes));
    attest_id_block_decode(&again, bytes);
    assert_memory_equal(&again, &block, sizeof(block));
}

/* A new key as PEM. */
static struct attest_span new_key(struct file *f, const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    BIO *bio = BIO_new(BIO_s_mem());
    int n;

    assert_true(key && bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    n = BIO_read(bio, f->bytes, sizeof(f->bytes));
    assert_true(n > 0);
    f->len = (size_t)n;
    BIO_free(bio);
    EVP_PKEY_free(key);
    return (struct attest_span){f->bytes, f->len};
}

/* Signatures at their places, judged with nothing but P-384: R at 40h, curve word at 240h. */
static bool signed_at(const uint8_t *auth, size_t sig_at, size_t key_at, const void *msg,
                      size_t len)
{
    struct p384_signature sig;
    struct p384_public pub;

    assert_int_equal(load32(auth + key_at), 2);
    for (unsigned i = 0; i < 48; i++) {
        sig.r[i] = auth[sig_at + 47 - i];
        sig.s[i] = auth[sig_at + 72 + 47 - i];
        pub.x[i] = auth[key_at + 4 + 47 - i];
        pub.y[i] = auth[key_at + 4 + 72 + 47 - i];
    }
    return p384_verify(&pub, DIGEST_SHA384, msg, len, &sig);
}

static void id_authentication(void **state)
{
    struct file id, author, other;
    struct attest_span id_key = new_key(&id, "P-384"), author_key = new_key(&author, "P-384");
    uint8_t block[ATTEST_ID_BLOCK_BYTES], auth[ATTEST_ID_AUTH_BYTES], a[48], b[48], wanted[48];
    struct attest_error err;
    bool by_author = false;

    (void)state;
    memset(block, 0x5A, sizeof(block));
    assert_int_equal(attest_id_auth_make(auth, block, id_key, author_key, &err), ATTEST_OK);
    assert_int_equal(load32(auth), 1);
    assert_int_equal(load32(auth + 4), 1);
    assert_true(signed_at(auth, 0x40, 0x240, block, sizeof(block)));
    assert_true(signed_at(auth, 0x680, 0x880, auth + 0x240, 0x404));
    assert_int_equal(attest_id_auth_check(auth, block, a, b, &by_author, &err), ATTEST_OK);
    assert_true(by_author);
    assert_int_equal(attest_id_key_digest(wanted, id_key, &err), ATTEST_OK);
    assert_memory_equal(a, wanted, 48);
    assert_int_equal(attest_id_key_digest(wanted, author_key, &err), ATTEST_OK);
    assert_memory_equal(b, wanted, 48);
    for (size_t bit = 0; bit < 8 * sizeof(block); bit += 5) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(attest_id_auth_check(auth, block, a, b, &by_author, &err),
                         ATTEST_E_CRYPTO);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    auth[0x880 + 7] ^= 1; /* the author's key */
    assert_int_equal(attest_id_auth_check(auth, block, a, b, &by_author, &err), ATTEST_E_CRYPTO);
    assert_string_equal(err.path, "id_auth.id_key_sig");
    assert_int_equal(attest_id_auth_make(auth, block, id_key, (struct attest_span){NULL, 0}, &err),
                     ATTEST_OK);
    assert_int_equal(attest_id_auth_check(auth, block, a, b, &by_author, &err), ATTEST_OK);
    assert_false(by_author);
    assert_int_equal(attest_id_auth_make(auth, block, new_key(&other, "P-256"), author_key, &err),
                     ATTEST_E_FORMAT);
    assert_int_equal(attest_id_auth_make(auth, block, read_file(&other, "idblock/id_key.pub.pem"),
                                         author_key, &err),
                     ATTEST_E_FORMAT); /* a public key does not sign */
}

/* ---- certificates ------------------------------------------------------------------------------
 */

static const char *const rome_files[ATTEST_SEV_CERTS] = {
    "sev-legacy/rome/ark.cert", "sev-legacy/rome/ask.cert", "sev-legacy/rome/cek.cert",
    "sev-legacy/rome/oca.cert", "sev-legacy/rome/pek.cert", "sev-legacy/rome/pdh.cert"};

static struct file rome[ATTEST_SEV_CERTS];

static struct attest_sev_chain rome_chain(void)
{
    struct attest_sev_chain c = {0};

    for (unsigned i = 0; i < ATTEST_SEV_CERTS; i++) {
        struct attest_span s = read_file(&rome[i], rome_files[i]);

        assert_int_equal(attest_sev_chain_add(&c, s.at, s.len, NULL), ATTEST_OK);
    }
    return c;
}

static void chain_to_amd(void **state)
{
    struct attest_sev_chain c = rome_chain();
    struct attest_sev_result r;

    (void)state;
    for (unsigned i = 0; i < ATTEST_SEV_CERTS; i++)
        assert_int_equal(c.cert[i].len, rome[i].len); /* each is told apart */
    assert_int_equal(attest_sev_chain_verify(&c, NULL, 0, false, &r), ATTEST_GOOD);
    assert_string_equal(r.product, "Rome");
    assert_false(r.emulated);
    for (unsigned i = 0; i < ATTEST_SEV_CHECKS; i++)
        assert_int_equal(r.check[i].outcome, ATTEST_PASS);
}

static void missing_certificates(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ATTEST_SEV_CERTS; i++) {
        struct attest_sev_chain c = rome_chain();
        struct attest_sev_result r;

        c.cert[i] = (struct attest_span){NULL, 0};
        assert_int_equal(attest_sev_chain_verify(&c, NULL, 0, false, &r), ATTEST_NO_CERTS);
    }
}

/* What is signed: a flipped bit is noticed by the check that covers it. */
static void flipped_certificates(void **state)
{
    static const struct {
        enum attest_sev_cert cert;
        size_t bytes; /* the signed part, and the signature */
        unsigned check;
    } rows[] = {{ATTEST_SEV_ARK, 0x640, 0}, {ATTEST_SEV_ASK, 0x640, 2}, {ATTEST_SEV_CEK, 0x61C, 3},
                {ATTEST_SEV_OCA, 0x4AC, 4}, {ATTEST_SEV_PEK, 0x414, 5}, {ATTEST_SEV_PDH, 0x4AC, 7}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t at = 4; at < rows[i].bytes; at += 61) {
            struct attest_sev_chain c = rome_chain();
            struct attest_sev_result r;
            uint8_t *byte = &rome[rows[i].cert].bytes[at];

            *byte ^= 0x10;
            if (attest_sev_chain_verify(&c, NULL, 0, false, &r) != ATTEST_UNTRUSTED)
                fail_msg("%s, byte %#zx", attest_sev_cert_name(rows[i].cert), at);
            if (rows[i].cert != ATTEST_SEV_ARK)
                assert_int_equal(r.check[rows[i].check].outcome, ATTEST_FAIL);
        }
}

/* One certificate in the place of its signer, and the other way round. */
static void reversed_pairs(void **state)
{
    static const enum attest_sev_cert pairs[][2] = {{ATTEST_SEV_ARK, ATTEST_SEV_ASK},
                                                    {ATTEST_SEV_OCA, ATTEST_SEV_PEK},
                                                    {ATTEST_SEV_CEK, ATTEST_SEV_PEK},
                                                    {ATTEST_SEV_PEK, ATTEST_SEV_PDH},
                                                    {ATTEST_SEV_CEK, ATTEST_SEV_PDH}};

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct attest_sev_chain c = rome_chain();
        struct attest_span first = c.cert[pairs[i][0]];
        struct attest_sev_result r;

        c.cert[pairs[i][0]] = c.cert[pairs[i][1]];
        c.cert[pairs[i][1]] = first;
        assert_int_equal(attest_sev_chain_verify(&c, NULL, 0, false, &r), ATTEST_UNTRUSTED);
    }
}

static void whole_files_of_certificates(void **state)
{
    static uint8_t bytes[ATTEST_SEV_CERTS * FILE_MAX];
    struct attest_sev_chain c = rome_chain(), all = {0};
    struct attest_sev_result r;
    size_t n = 0;

    (void)state;
    for (unsigned i = ATTEST_SEV_CERTS; i--; n += c.cert[i].len)
        memcpy(bytes + n, c.cert[i].at, c.cert[i].len);
    assert_int_equal(attest_sev_chain_add(&all, bytes, n, NULL), ATTEST_OK);
    assert_int_equal(attest_sev_chain_verify(&all, NULL, 0, false, &r), ATTEST_GOOD);
    all = (struct attest_sev_chain){0};
    assert_int_equal(attest_sev_chain_add(&all, bytes, n - 1, NULL), ATTEST_E_FORMAT);
    assert_int_equal(attest_sev_chain_add(&all, "", 0, NULL), ATTEST_E_FORMAT);
    bytes[0x824 + 0x20] ^= 1; /* the PEK, after the PDH: another one than */
    all = c;
    assert_int_equal(attest_sev_chain_add(&all, bytes + 0x824, 0x824, NULL), ATTEST_E_FORMAT);
}

/* A root that is software, made here as a chip's would be. */
static void emulated_root(void **state)
{
    static struct rsa4096_key ark_key;
    struct attest_sev_chain c = rome_chain();
    struct attest_sev_result r;
    struct attest_span root;
    struct amd_cert ark;

    (void)state;
    assert_true(rsa4096_generate(&ark_key));
    amd_cert_make(&ark, USAGE_ARK, (const uint8_t *)"LUCCA-EMULATED-R",
                  (const uint8_t *)"LUCCA-EMULATED-R", &ark_key.pub);
    assert_true(amd_cert_sign(&ark, &ark_key));
    root = (struct attest_span){(const uint8_t *)&ark, sizeof(ark)};
    c.cert[ATTEST_SEV_ARK] = root;
    (void)attest_sev_chain_verify(&c, NULL, 0, false, &r);
    assert_true(r.emulated);
    assert_int_equal(r.check[0].outcome, ATTEST_FAIL);
    (void)attest_sev_chain_verify(&c, &root, 1, false, &r); /* named, and refused all the same */
    assert_int_equal(r.check[0].outcome, ATTEST_FAIL);
    (void)attest_sev_chain_verify(&c, NULL, 0, true, &r);
    assert_int_equal(r.check[0].outcome, ATTEST_PASS);
    assert_int_equal(r.check[1].outcome, ATTEST_PASS);
    assert_int_equal(r.check[2].outcome, ATTEST_FAIL); /* AMD's ASK is not its */
    (void)attest_sev_chain_verify(&c, &c.cert[ATTEST_SEV_ASK], 1, true, &r);
    assert_int_equal(r.check[0].outcome, ATTEST_FAIL); /* some were given, and this is none */
}

/* ---- sessions ----------------------------------------------------------------------------------
 */

static void known_session(void **state)
{
    static const uint8_t zeros[16];
    struct session s = {0};

    (void)state;
    assert_true(session_wrap(&s, zeros, 16, zeros, zeros, 0));
    assert_hex(s.wrap_tk, "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4");
    assert_hex(s.wrap_mac, "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d");
    assert_hex(s.policy_mac, "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af");
}

/* The platform's side, with its own key: it must arrive at the owner's TEK and TIK. */
static void session_opens(void **state)
{
    struct p384_key platform;
    struct p384_public owner;
    struct attest_session made, second;
    uint8_t z[48], master[16], kek[16], keys[32];
    struct sev_cert pdh, godh;
    struct session s;
    struct attest_span at = {(const uint8_t *)&pdh, sizeof(pdh)};

    (void)state;
    assert_true(p384_generate(&platform));
    sev_cert_make(&pdh, USAGE_PDH, ALGO_ECDH_SHA256, 1, 55, &platform.pub);
    assert_int_equal(attest_session_make(&made, at, 0x5, NULL), ATTEST_OK);
    memcpy(&godh, made.dh_cert, sizeof(godh));
    memcpy(&s, made.session, sizeof(s));
    assert_int_equal(godh.usage, USAGE_PDH);
    assert_int_equal(godh.algo, ALGO_ECDH_SHA256);
    assert_true(sev_cert_public(&godh, &owner) && p384_agree(&platform, &owner, z));
    assert_true(sev_kdf(master, 16, z, 48, "sev-master-secret", s.nonce, 16));
    assert_true(sev_kdf(kek, 16, master, 16, "sev-kek", NULL, 0));
    assert_true(aes128_ctr(kek, s.wrap_iv, keys, s.wrap_tk, 32));
    assert_memory_equal(keys, made.tek, 16);
    assert_memory_equal(keys + 16, made.tik, 16);
    assert_int_equal(attest_session_make(&second, at, 0x5, NULL), ATTEST_OK);
    assert_memory_not_equal(made.tek, second.tek, 16);
    assert_memory_not_equal(made.session, second.session, 16);
}

static void hostile_pdh(void **state)
{
    struct attest_session made;
    struct p384_key platform;
    struct sev_cert pdh;
    struct attest_span at = {(const uint8_t *)&pdh, sizeof(pdh)};

    (void)state;
    assert_true(p384_generate(&platform));
    sev_cert_make(&pdh, USAGE_PEK, ALGO_ECDSA_SHA256, 1, 55, &platform.pub);
    assert_int_equal(attest_session_make(&made, at, 0, NULL), ATTEST_E_FORMAT);
    sev_cert_make(&pdh, USAGE_PDH, ALGO_ECDH_SHA256, 1, 55, &platform.pub);
    pdh.pubkey[4] ^= 1; /* off the curve */
    assert_int_equal(attest_session_make(&made, at, 0, NULL), ATTEST_E_FORMAT);
    at.len--;
    assert_int_equal(attest_session_make(&made, at, 0, NULL), ATTEST_E_FORMAT);
}

/* ---- measurements ------------------------------------------------------------------------------
 */

static void published_measurements(void **state)
{
    static const struct {
        const char *tik, *digest, *nonce, *mac;
        struct attest_launch_facts facts;
    } rows[] = {
        /* the SEV API's own example: SHA-256 of nothing */
        {"66320db73158a35a255d051758e95ed4",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "4fbe0bedbad6c86ae8f68971d103e554",
         "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
         {.api_major = 0, .api_minor = 0x12, .build = 0x0f, .policy = 0}},
        /* sevctl, tests/measurementbuild.rs */
        {NULL,
         "c64bd101fc9a4a2ce0a27c408d9200911f139a895469b04a40a6fa2890830d23",
         "c313fab511c216b1505b1b2ea9903c40",
         "96cc1bc56c48f60724c9ad7a250bdd16da5898d3b86fede29c03e9aac828048e",
         {.api_major = 1, .api_minor = 40, .build = 40, .policy = 3}},
        {NULL,
         "2f6fc6065f4abc131eb4fb2b5090a542636eae84a94c0db0fdd5f405cb372ff5",
         "c313fab511c216b1505b1b2ea9903c40",
         "a0c0dec08a2e252a5ba4d4478fb324de9d3c1f674f65076c64c535e2a2329819",
         {.api_major = 1, .api_minor = 40, .build = 40, .policy = 3}},
    };
    uint8_t measure[48], tik[16];
    struct file f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct attest_launch_facts facts = rows[i].facts;

        if (rows[i].tik)
            unhex(tik, rows[i].tik);
        else
            memcpy(tik, read_file(&f, "sev-legacy/measurement/tik1.bin").at, 16);
        unhex(facts.digest, rows[i].digest);
        unhex(measure + 32, rows[i].nonce);
        assert_int_equal(attest_launch_measure_make(measure, tik, &facts, measure + 32, NULL),
                         ATTEST_OK);
        assert_hex(measure, rows[i].mac);
        assert_hex(measure + 32, rows[i].nonce);
        assert_int_equal(attest_launch_measure_check(tik, &facts, measure, NULL), ATTEST_OK);
        for (size_t bit = 0; bit < 8 * sizeof(measure); bit++) {
            measure[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(attest_launch_measure_check(tik, &facts, measure, NULL),
                             ATTEST_E_CRYPTO);
            measure[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* ---- secrets -----------------------------------------------------------------------------------
 */

static void sealed_secret(void **state)
{
    static const uint8_t tek[16] = {1}, tik[16] = {2}, measure[48] = {3};
    uint8_t header[ATTEST_SECRET_HEADER_BYTES], sealed[64], opened[64], mac[32], lengths[8];
    const char secret[64] = "correct horse battery staple";
    struct piece pieces[] = {
        {"\1\0\0\0\0", 5}, {header + 4, 16}, {lengths, 8}, {sealed, 64}, {measure, 32}};

    (void)state;
    assert_int_equal(attest_secret_seal(header, sealed, tek, tik, measure, secret, 64, NULL),
                     ATTEST_OK);
    assert_int_equal(load32(header), 0);
    assert_true(aes128_ctr(tek, header + 4, opened, sealed, 64));
    assert_memory_equal(opened, secret, 64);
    store32(lengths, 64);
    store32(lengths + 4, 64);
    assert_true(hmac_sha256(mac, tik, 16, pieces, COUNT(pieces)));
    assert_memory_equal(mac, header + 0x14, 32);
    assert_int_equal(attest_secret_seal(header, sealed, tek, tik, measure, secret, 63, NULL),
                     ATTEST_E_LIMIT);
    assert_int_equal(attest_secret_seal(header, sealed, tek, tik, measure, secret, 0, NULL),
                     ATTEST_E_LIMIT);
}

static void table_of_secrets(void **state)
{
    static uint8_t table[ATTEST_SECRET_MAX], big[ATTEST_SECRET_MAX];
    size_t len = 0;

    (void)state;
    assert_int_equal(
        attest_secret_add(table, &len, "736869e5-84f0-4973-92ec-06879ce3da0b", "pass", 4, NULL),
        ATTEST_OK);
    assert_int_equal(len, 48);                             /* 20 + 20 + 4, padded */
    assert_hex(table, "42f5741edd71664d963eef4287ff173b"); /* mixed-endian */
    assert_int_equal(load32(table + 16), 44);
    assert_hex(table + 20, "e5696873f084734992ec06879ce3da0b");
    assert_int_equal(load32(table + 36), 24);
    assert_memory_equal(table + 40, "pass\0\0\0\0", 8);
    assert_int_equal(
        attest_secret_add(table, &len, "00000000-0000-0000-0000-000000000001", "x", 1, NULL),
        ATTEST_OK);
    assert_int_equal(load32(table + 16), 65);
    assert_int_equal(len, 80);
    assert_int_equal(load32(table + 60), 21);
    assert_int_equal(attest_secret_add(table, &len, "not a guid", "x", 1, NULL), ATTEST_E_ARG);
    assert_int_equal(
        attest_secret_add(table, &len, "1e74f542-71dd-4d66-963e-ef4287ff173b", "x", 1, NULL),
        ATTEST_E_ARG);
    assert_int_equal(attest_secret_add(table, &len, "736869e5-84f0-4973-92ec-06879ce3da0b", big,
                                       sizeof(big) - 65 - 19, NULL),
                     ATTEST_E_LIMIT);
    assert_int_equal(attest_secret_add(table, &len, "736869e5-84f0-4973-92ec-06879ce3da0b", big,
                                       sizeof(big) - 65 - 20, NULL),
                     ATTEST_OK);
    assert_int_equal(len, sizeof(table));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_key_digests),  cmocka_unit_test(published_block),
        cmocka_unit_test(id_authentication),      cmocka_unit_test(chain_to_amd),
        cmocka_unit_test(missing_certificates),   cmocka_unit_test(flipped_certificates),
        cmocka_unit_test(reversed_pairs),         cmocka_unit_test(whole_files_of_certificates),
        cmocka_unit_test(emulated_root),          cmocka_unit_test(known_session),
        cmocka_unit_test(session_opens),          cmocka_unit_test(hostile_pdh),
        cmocka_unit_test(published_measurements), cmocka_unit_test(sealed_secret),
        cmocka_unit_test(table_of_secrets),
    };

    return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
