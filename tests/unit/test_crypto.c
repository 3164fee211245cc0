/* The layer over libcrypto, against published answers and those of the SEV API. */
#include "base/bytes.h"
#include "crypto/cipher.h"
#include "crypto/digest.h"
#include "crypto/ecc.h"
#include "crypto/rsa.h"
#include "crypto/sev_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t unhex(uint8_t *to, const char *hex)
{
    size_t n = 0;

    for (; hex[0]; hex += 2) {
        unsigned byte;

        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        to[n++] = (uint8_t)byte;
    }
    return n;
}

static void assert_hex(const void *got, const char *want)
{
    uint8_t bytes[256];
    size_t n = unhex(bytes, want);

    assert_memory_equal(got, bytes, n);
}

/* ---- digests, MACs, ciphers ---------------------------------------------------------------- */

static void sha2_of_abc(void **state)
{
    uint8_t out[SHA384_BYTES];
    struct digest *d;

    assert_true(sha256(out, "abc", 3));
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(sha384(out, "abc", 3));
    assert_hex(out, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                    "8086072ba1e7cc2358baeca134c825a7");
    d = digest_new(DIGEST_SHA256);
    assert_non_null(d);
    assert_true(digest_peek(d, out)); /* of nothing yet, and feeding goes on */
    assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_feed(d, "a", 1);
    digest_feed(d, "bc", 2);
    assert_true(digest_peek(d, out));
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_free(d);
}

static void hmac_of_rfc_4231(void **state)
{
    const struct piece pieces[] = {{"what do ya want ", 16}, {"", 0}, {"for nothing?", 12}};
    uint8_t out[32];

    assert_true(hmac_sha256(out, "Jefe", 4, pieces, COUNT(pieces)));
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void ctr_of_sp_800_38a(void **state)
{
    uint8_t key[16], iv[16], text[32], out[32];

    unhex(key, "2b7e151628aed2a6abf7158809cf4f3c");
    unhex(iv, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    unhex(text, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    assert_true(aes128_ctr(key, iv, out, text, 32));
    assert_hex(out, "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
    assert_true(aes128_ctr(key, iv, out, out, 32));
    assert_memory_equal(out, text, 32);
}

static void gcm_seals_and_opens(void **state)
{
    uint8_t key[32] = {0}, iv[12] = {0}, text[16] = {0}, out[16], back[16], tag[16];

    /* McGrew and Viega, test case 14 */
    assert_true(aes256_gcm_seal(key, iv, NULL, 0, out, text, 16, tag));
    assert_hex(out, "cea7403d4d606b6e074ec5d3baf39d18");
    assert_hex(tag, "d0d1c8a799996bf0265b98b5d48ab919");
    assert_true(aes256_gcm_seal(key, iv, "header", 6, out, "a secret message", 16, tag));
    assert_true(aes256_gcm_open(key, iv, "header", 6, back, out, 16, tag));
    assert_memory_equal(back, "a secret message", 16);
    assert_false(aes256_gcm_open(key, iv, "Header", 6, back, out, 16, tag));
    assert_memory_equal(back, text, 16); /* nothing leaks from what does not verify */
    out[15] ^= 1;
    assert_false(aes256_gcm_open(key, iv, "header", 6, back, out, 16, tag));
}

/* SEV API, LAUNCH_START: all-zero Z (here 16 bytes), nonce, iv, TEK, TIK and policy. */
static void sev_session_known_answers(void **state)
{
    uint8_t zeros[32] = {0}, master[16], kek[16], kik[16], wrapped[32], mac[32];
    const struct piece over_tk = {wrapped, 32}, over_policy = {zeros, 4};

    assert_true(sev_kdf(master, 16, zeros, 16, "sev-master-secret", zeros, 16));
    assert_hex(master, "ab4d269fcc62bedb4511d56c386ce706");
    assert_true(sev_kdf(kek, 16, master, 16, "sev-kek", NULL, 0));
    assert_hex(kek, "b6abfbfb75ea1ea74ed8750b8afdb973");
    assert_true(sev_kdf(kik, 16, master, 16, "sev-kik", NULL, 0));
    assert_hex(kik, "53b524bf5669a363f365c864acba8572");
    assert_true(aes128_ctr(kek, zeros, wrapped, zeros, 32));
    assert_hex(wrapped, "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4");
    assert_true(hmac_sha256(mac, kik, 16, &over_tk, 1));
    assert_hex(mac, "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d");
    assert_true(hmac_sha256(mac, zeros, 16, &over_policy, 1));
    assert_hex(mac, "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af");
}

static void kdf_longer_than_one_block(void **state)
{
    uint8_t whole[80], part[40];

    assert_true(sev_kdf(whole, 80, "key", 3, "label", "ctx", 3));
    assert_memory_not_equal(whole, whole + 32, 32);
    assert_true(sev_kdf(part, 40, "key", 3, "label", "ctx", 3));
    assert_memory_not_equal(whole, part, 32); /* the length is part of the input */
}

/* SEV API, LAUNCH_MEASURE. */
static void sev_measure_known_answer(void **state)
{
    static const uint8_t head[] = {0x04, 0x00, 0x12, 0x0F, 0, 0, 0, 0};
    uint8_t tik[16], nonce[16], digest[32], out[32];
    const struct piece pieces[] = {{head, 8}, {digest, 32}, {nonce, 16}};

    unhex(tik, "66320db73158a35a255d051758e95ed4");
    unhex(nonce, "4fbe0bedbad6c86ae8f68971d103e554");
    assert_true(sha256(digest, "", 0));
    assert_true(hmac_sha256(out, tik, 16, pieces, 3));
    assert_hex(out, "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea");
}

static void equality(void **state)
{
    assert_true(equal_bytes("abc", "abc", 3));
    assert_false(equal_bytes("abc", "abd", 3));
}

/* ---- P-384 --------------------------------------------------------------------------------- */

/* RFC 5903, 8.2 */
static void agreement_of_rfc_5903(void **state)
{
    struct p384_key i, r;
    uint8_t d[48], z[48];

    unhex(d, "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655"
             "e35b538041e649ee3faef896783ab194");
    assert_true(p384_from_scalar(&i, d));
    assert_hex(i.pub.x, "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6"
                        "de3ac808acb4bdb4c88732aee95f41aa");
    assert_hex(i.pub.y, "9482ed1fc0eeb9cafc4984625ccfc23f65032149e0e144ada024181535a0f38e"
                        "eb9fcff3c2c947dae69b4c634573a81c");
    unhex(d, "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942"
             "e0308312916b8ed2960e4bd55a7448fc");
    assert_true(p384_from_scalar(&r, d));
    assert_true(p384_agree(&i, &r.pub, z));
    assert_hex(z, "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4"
                  "d603135569b9e9d09cf5d4a270f59746");
    assert_true(p384_agree(&r, &i.pub, z));
    assert_hex(z, "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4"
                  "d603135569b9e9d09cf5d4a270f59746");
}

static const char order_minus[] = "ffffffffffffffffffffffffffffffffffffffffffffffff"
                                  "c7634d81f4372ddf581a0db248b0a77aecec196accc529"; /* .. 73 */

static void scalar_of(uint8_t d[48], const char *last_byte)
{
    unhex(d, order_minus);
    unhex(d + 47, last_byte);
}

static void scalars_out_of_range_are_refused(void **state)
{
    struct p384_key key;
    uint8_t d[48] = {0};

    assert_false(p384_from_scalar(&key, d));
    scalar_of(d, "73"); /* n */
    assert_false(p384_from_scalar(&key, d));
    scalar_of(d, "72");
    assert_true(p384_from_scalar(&key, d));
}

/* d = (c mod (n-1)) + 1, c little-endian. */
static void extra_bits_wrap_at_n_minus_1(void **state)
{
    static const char gx[] = "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38"
                             "5502f25dbf55296c3a545e3872760ab7";
    uint8_t c[56] = {0}, big[48];
    struct p384_key key;

    assert_true(p384_from_extra_bits(&key, c, 56)); /* 0: d = 1, the generator */
    assert_hex(key.pub.x, gx);
    scalar_of(big, "72"); /* n - 1: 0 again */
    for (unsigned i = 0; i < 48; i++)
        c[i] = big[47 - i];
    assert_true(p384_from_extra_bits(&key, c, 56));
    assert_hex(key.pub.x, gx);
    c[0]--; /* n - 2: d = n - 1, the generator's mirror image */
    assert_true(p384_from_extra_bits(&key, c, 56));
    assert_hex(key.pub.x, gx);
    assert_int_equal(key.d[47], 0x72);
}

static void signatures_verify_and_break(void **state)
{
    struct p384_key key, other;
    struct p384_signature sig, bad;

    assert_true(p384_generate(&key));
    assert_true(p384_generate(&other));
    assert_memory_not_equal(key.d, other.d, 48);
    for (int digest = DIGEST_SHA256; digest <= DIGEST_SHA384; digest++) {
        assert_true(p384_sign(&key, (enum digest_id)digest, "message", 7, &sig));
        assert_true(p384_verify(&key.pub, (enum digest_id)digest, "message", 7, &sig));
        assert_false(p384_verify(&key.pub, (enum digest_id) !digest, "message", 7, &sig));
        assert_false(p384_verify(&key.pub, (enum digest_id)digest, "messagE", 7, &sig));
        assert_false(p384_verify(&other.pub, (enum digest_id)digest, "message", 7, &sig));
    }
    bad = sig;
    bad.s[47] ^= 1;
    assert_false(p384_verify(&key.pub, DIGEST_SHA384, "message", 7, &bad));
    memset(&bad, 0, sizeof(bad));
    assert_false(p384_verify(&key.pub, DIGEST_SHA384, "message", 7, &bad));
}

static void points_off_the_curve_are_refused(void **state)
{
    struct p384_key key;
    struct p384_public off = {{0}, {0}};
    struct p384_signature sig;
    uint8_t z[48];

    assert_false(p384_valid(&off));
    assert_true(p384_generate(&key));
    assert_true(p384_valid(&key.pub));
    assert_true(p384_sign(&key, DIGEST_SHA256, "m", 1, &sig));
    off = key.pub;
    off.y[20] ^= 0x10;
    assert_false(p384_valid(&off));
    assert_false(p384_agree(&key, &off, z));
    assert_false(p384_verify(&off, DIGEST_SHA256, "m", 1, &sig));
    memset(&off, 0xFF, sizeof(off)); /* coordinates above p */
    assert_false(p384_valid(&off));
}

static void chip_point_of_zero_is_the_generator(void **state)
{
    uint8_t c[40] = {0}, x[32], y[32];

    assert_true(secp256k1_point(c, sizeof(c), x, y));
    assert_hex(x, "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    assert_hex(y, "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8");
}

/* ---- certificates -------------------------------------------------------------------------- */

static struct p384_key oca_key, pek_key, pdh_key;
static struct sev_cert oca, pek, pdh;

static void make_chain(void)
{
    assert_true(p384_generate(&oca_key) && p384_generate(&pek_key) && p384_generate(&pdh_key));
    sev_cert_make(&oca, USAGE_OCA, ALGO_ECDSA_SHA256, 1, 55, &oca_key.pub);
    sev_cert_make(&pek, USAGE_PEK, ALGO_ECDSA_SHA256, 1, 55, &pek_key.pub);
    sev_cert_make(&pdh, USAGE_PDH, ALGO_ECDH_SHA256, 1, 55, &pdh_key.pub);
    assert_true(sev_cert_sign(&oca, 0, USAGE_OCA, &oca_key));
    assert_true(sev_cert_sign(&pek, 0, USAGE_OCA, &oca_key));
    assert_true(sev_cert_sign(&pdh, 0, USAGE_PEK, &pek_key));
}

static void a_chain_verifies_in_its_order_alone(void **state)
{
    make_chain();
    assert_int_equal(sev_cert_verify(&oca, &oca), CERT_GOOD);
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_GOOD);
    assert_int_equal(sev_cert_verify(&pdh, &pek), CERT_GOOD);
    assert_int_equal(sev_cert_verify(&oca, &pek), CERT_INVALID);
    assert_int_equal(sev_cert_verify(&pek, &pdh), CERT_INVALID);
    assert_int_equal(sev_cert_verify(&pdh, &oca), CERT_INVALID);
}

static void every_byte_of_a_body_is_signed(void **state)
{
    make_chain();
    for (size_t i = 0; i < SEV_CERT_BODY; i += i < 0x80 ? 1 : 37) {
        ((uint8_t *)&pek)[i] ^= 0x40;
        assert_int_equal(sev_cert_verify(&pek, &oca), CERT_BAD_SIGNATURE);
        ((uint8_t *)&pek)[i] ^= 0x40;
    }
    pek.sigs[0].sig[5] ^= 1;
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_BAD_SIGNATURE);
}

static void slots_are_judged_as_the_firmware_does(void **state)
{
    struct sev_cert twice;

    make_chain();
    twice = pek;
    twice.sigs[1] = pek.sigs[0];
    twice.sigs[1].sig[0] ^= 1; /* the last matching slot counts */
    assert_int_equal(sev_cert_verify(&twice, &oca), CERT_BAD_SIGNATURE);
    twice.sigs[1].sig[0] ^= 1;
    twice.sigs[0].sig[0] ^= 1;
    assert_int_equal(sev_cert_verify(&twice, &oca), CERT_GOOD);
    twice.sigs[0] = (struct sev_cert_sig){.usage = USAGE_NONE, .algo = ALGO_ECDSA_SHA256};
    assert_int_equal(sev_cert_verify(&twice, &oca), CERT_BAD_SIGNATURE);
    twice.sigs[0] = (struct sev_cert_sig){.usage = USAGE_NONE};
    assert_int_equal(sev_cert_verify(&twice, &oca), CERT_GOOD);
    twice.sigs[1] = (struct sev_cert_sig){.usage = USAGE_NONE};
    assert_int_equal(sev_cert_verify(&twice, &oca), CERT_INVALID);
}

static void a_signed_body_must_make_sense(void **state)
{
    make_chain();
    pek.algo = ALGO_ECDH_SHA256;
    assert_true(sev_cert_sign(&pek, 0, USAGE_OCA, &oca_key));
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_INVALID);
    pek.algo = ALGO_ECDSA_SHA256;
    pek.version = 2;
    assert_true(sev_cert_sign(&pek, 0, USAGE_OCA, &oca_key));
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_INVALID);
    pek.version = 1;
    pek.pubkey[0] = 1; /* P-256 */
    assert_true(sev_cert_sign(&pek, 0, USAGE_OCA, &oca_key));
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_INVALID);
    oca.pubkey[10] ^= 1; /* a signer that is no point */
    assert_int_equal(sev_cert_verify(&pek, &oca), CERT_INVALID);
}

static void amd_chain_down_to_the_cek(void **state)
{
    static const uint8_t root[16] = "root", leaf[16] = "leaf";
    struct rsa4096_key ark_key, copy;
    struct amd_cert ark, ask;
    struct sev_cert cek;

    make_chain();
    assert_true(rsa4096_generate(&ark_key));
    assert_true(rsa4096_load(&copy, ark_key.der, ark_key.len));
    assert_memory_equal(&copy.pub, &ark_key.pub, sizeof(copy.pub));
    assert_false(rsa4096_load(&copy, ark_key.der, ark_key.len - 9));

    amd_cert_make(&ark, USAGE_ARK, root, root, &ark_key.pub);
    assert_true(amd_cert_sign(&ark, &ark_key));
    amd_cert_make(&ask, USAGE_ASK, leaf, root, &ark_key.pub); /* one key spares seconds */
    assert_true(amd_cert_sign(&ask, &ark_key));
    sev_cert_make(&cek, USAGE_CEK, ALGO_ECDSA_SHA256, 1, 55, &oca_key.pub);
    assert_int_equal(sev_cert_verify_by_ask(&cek, &ask), CERT_INVALID); /* unsigned */
    assert_true(sev_cert_sign_by_ask(&cek, 0, &ark_key));

    assert_int_equal(amd_cert_verify(&ark, &ark), CERT_GOOD);
    assert_int_equal(amd_cert_verify(&ask, &ark), CERT_GOOD);
    assert_int_equal(amd_cert_verify(&ark, &ask), CERT_INVALID);
    assert_int_equal(sev_cert_verify_by_ask(&cek, &ask), CERT_GOOD);
    assert_int_equal(sev_cert_verify_by_ask(&cek, &ark), CERT_INVALID);
    cek.api_minor++;
    assert_int_equal(sev_cert_verify_by_ask(&cek, &ask), CERT_BAD_SIGNATURE);
    ask.modulus[0] ^= 2;
    assert_int_equal(amd_cert_verify(&ask, &ark), CERT_BAD_SIGNATURE);
    ask.modulus_bits = 2048;
    assert_int_equal(amd_cert_verify(&ask, &ark), CERT_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha2_of_abc),
        cmocka_unit_test(hmac_of_rfc_4231),
        cmocka_unit_test(ctr_of_sp_800_38a),
        cmocka_unit_test(gcm_seals_and_opens),
        cmocka_unit_test(sev_session_known_answers),
        cmocka_unit_test(kdf_longer_than_one_block),
        cmocka_unit_test(sev_measure_known_answer),
        cmocka_unit_test(equality),
        cmocka_unit_test(agreement_of_rfc_5903),
        cmocka_unit_test(scalars_out_of_range_are_refused),
        cmocka_unit_test(extra_bits_wrap_at_n_minus_1),
        cmocka_unit_test(signatures_verify_and_break),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(chip_point_of_zero_is_the_generator),
        cmocka_unit_test(a_chain_verifies_in_its_order_alone),
        cmocka_unit_test(every_byte_of_a_body_is_signed),
        cmocka_unit_test(slots_are_judged_as_the_firmware_does),
        cmocka_unit_test(a_signed_body_must_make_sense),
        cmocka_unit_test(amd_chain_down_to_the_cek),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
