/* Certificates of AMD's chain: what they say, read from DER. */
#include "attest/der.h"

#include <stdio.h>

#define FAIL_AT(path, ...) attest_fail(err, ATTEST_E_FORMAT, "certificate." path, __VA_ARGS__)

const char *attest_cert_kind_name(enum attest_cert_kind kind)
{
    static const char *const names[] = {"other", "ARK", "ASK", "ASVK", "VCEK", "VLEK"};

    return names[(unsigned)kind < COUNT(names) ? kind : 0];
}

/* ---- keys ---- */

#define OID_RSA  "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01" /* rsaEncryption */
#define OID_EC   "\x2A\x86\x48\xCE\x3D\x02\x01"         /* id-ecPublicKey */
#define OID_P384 "\x2B\x81\x04\x00\x22"                 /* secp384r1 */

static bool positive(struct attest_span *integer)
{
    if (!der_integer_ok(*integer) || (integer->at[0] & 0x80))
        return false;
    if (!integer->at[0]) {
        integer->at++;
        integer->len--;
    }
    return integer->len > 0;
}

static bool rsa_key(struct attest_cert *c, struct attest_span bits)
{
    struct attest_span body;
    struct der_item n, e;

    if (!der_only(bits, DER_SEQUENCE, &body) || !der_take(&body, DER_INTEGER, &n) ||
        !der_take(&body, DER_INTEGER, &e) || body.len || !positive(&n.body) || !positive(&e.body) ||
        n.body.len > 1024)
        return false;
    c->rsa_n = n.body;
    c->rsa_e = e.body;
    c->rsa_bits = (uint16_t)(n.body.len * 8);
    for (uint8_t top = n.body.at[0]; !(top & 0x80); top = (uint8_t)(top << 1))
        c->rsa_bits--;
    return true;
}

/* A key of another kind is no error: the certificate is just none of AMD's. */
static bool take_key(struct attest_cert *c, struct attest_span spki)
{
    struct der_item algorithm, oid, bits, parameter;
    struct attest_span key;

    if (!der_take(&spki, DER_SEQUENCE, &algorithm) || !der_take(&spki, DER_BIT_STRING, &bits) ||
        spki.len || !der_bits(bits.body, &key) || !der_take(&algorithm.body, DER_OID, &oid))
        return false;
    if (DER_IS(oid.body, OID_RSA))
        return der_take(&algorithm.body, DER_NULL, &parameter) && !parameter.body.len &&
               !algorithm.body.len && rsa_key(c, key);
    if (DER_IS(oid.body, OID_EC) && der_take(&algorithm.body, DER_OID, &parameter) &&
        DER_IS(parameter.body, OID_P384)) {
        if (algorithm.body.len || key.len != sizeof(c->p384_point) || key.at[0] != 4)
            return false;
        memcpy(c->p384_point, key.at, key.len);
        c->p384 = true;
    }
    return true;
}

/* ---- AMD's extensions: 1.3.6.1.4.1.3704.1 ---- */

#define OID_AMD     "\x2B\x06\x01\x04\x01\x9C\x78\x01"
#define OID_AMD_LEN (sizeof(OID_AMD) - 1)

static bool ext_number(struct attest_span value, uint64_t limit, uint64_t *number)
{
    struct attest_span body;

    return der_only(value, DER_INTEGER, &body) && der_number(body, number) && *number <= limit;
}

static bool ext_text(struct attest_span value, char *out, size_t size)
{
    struct attest_span body;

    if (!der_only(value, DER_IA5, &body) || !body.len || body.len >= size)
        return false;
    for (size_t i = 0; i < body.len; i++)
        if (body.at[i] < 0x20 || body.at[i] > 0x7E)
            return false;
    memcpy(out, body.at, body.len);
    out[body.len] = 0;
    return true;
}

/* The id as it is (64 bytes, 8 on Turin), or in an OCTET STRING. Which one is told by the length of
 * the whole alone: an id may begin like an OCTET STRING. */
static bool ext_hwid(struct attest_cert *c, struct attest_span value)
{
    c->hwid_wrapped = value.len == 64 + 2 || value.len == 8 + 2;
    if (c->hwid_wrapped && !der_only(value, DER_OCTET_STRING, &value))
        return false;
    if (value.len != 64 && value.len != 8)
        return false;
    memcpy(c->hwid, value.at, value.len);
    c->hwid_len = (uint8_t)value.len;
    return true;
}

/* `arc` is what follows 1.3.6.1.4.1.3704.1. */
static enum attest_status amd_extension(struct attest_cert *c, struct attest_span arc,
                                        struct attest_span value, struct attest_error *err)
{
    uint64_t number = 0;

    if (DER_IS(arc, "\x01")) {
        if (!ext_number(value, UINT32_MAX, &number))
            return FAIL_AT("extensions.struct_version", "it is no INTEGER");
        c->has_struct_version = true;
        c->struct_version = (uint32_t)number;
    } else if (DER_IS(arc, "\x02")) {
        if (!ext_text(value, c->product_name, sizeof(c->product_name)))
            return FAIL_AT("extensions.product_name", "it is no IA5String that fits");
        c->has_product_name = true;
    } else if (arc.len == 2 && arc.at[0] == 3 && arc.at[1] >= 1 && arc.at[1] <= 9) {
        if (!ext_number(value, UINT8_MAX, &number))
            return FAIL_AT("extensions.spl", "TCB component .3.%u is no INTEGER of 0 to 255",
                           arc.at[1]);
        c->spl_mask |= (uint16_t)(1u << arc.at[1]);
        c->spl[arc.at[1]] = (uint8_t)number;
    } else if (DER_IS(arc, "\x04")) {
        if (!ext_hwid(c, value))
            return FAIL_AT("extensions.hwid", "it has neither 64 nor 8 bytes");
    } else if (DER_IS(arc, "\x05")) {
        if (!ext_text(value, c->csp_id, sizeof(c->csp_id)))
            return FAIL_AT("extensions.csp_id", "it is no IA5String that fits");
        c->has_csp_id = true;
    }
    return ATTEST_OK;
}

/* ---- the extensions of RFC 5280, 4.2.1; id-ce is 2.5.29 ---- */

#define OID_CE "\x55\x1D"
enum {
    CE_SUBJECT_KEY = 14,
    CE_KEY_USAGE = 15,
    CE_BASIC_CONSTRAINTS = 19,
    CE_CRL_POINTS = 31,
    CE_AUTHORITY_KEY = 35,
};

static bool basic_constraints(struct attest_cert *c, struct attest_span value)
{
    struct attest_span body;
    struct der_item item;
    uint64_t number;

    if (!der_only(value, DER_SEQUENCE, &body))
        return false;
    if (der_take(&body, DER_BOOLEAN, &item)) {
        if (!DER_IS(item.body, "\xFF"))
            return false;
        c->ca = true;
    }
    if (der_take(&body, DER_INTEGER, &item)) {
        if (!c->ca || !der_number(item.body, &number) || number > 255)
            return false;
        c->path_len = (int)number;
    }
    return !body.len;
}

static bool key_usage(struct attest_cert *c, struct attest_span value)
{
    struct attest_span body;

    /* first byte: unused bits of the last one; keyCertSign is bit 5, cRLSign bit 6 from the top */
    if (!der_only(value, DER_BIT_STRING, &body) || body.len < 2 || body.len > 3 || body.at[0] > 7)
        return false;
    c->has_key_usage = true;
    c->may_sign_certs = body.at[1] & 0x04;
    c->may_sign_crls = body.at[1] & 0x02;
    return true;
}

static enum attest_status ce_extension(struct attest_cert *c, uint8_t which,
                                       const struct extension *e, struct attest_error *err)
{
    switch (which) {
    case CE_BASIC_CONSTRAINTS:
        if (!basic_constraints(c, e->value))
            return FAIL_AT("extensions.basic_constraints", "basicConstraints is malformed");
        break;
    case CE_KEY_USAGE:
        if (!key_usage(c, e->value))
            return FAIL_AT("extensions.key_usage", "keyUsage is malformed");
        break;
    case CE_SUBJECT_KEY:
    case CE_AUTHORITY_KEY:
    case CE_CRL_POINTS:
        break;
    default:
        c->unknown_critical |= e->critical;
    }
    return ATTEST_OK;
}

static bool seen_before(struct attest_span list, const struct extension *e)
{
    struct extension other;

    while (extension_next(&list, &other) && other.oid.at != e->oid.at)
        if (span_equal(other.oid, e->oid))
            return true;
    return false;
}

#define EXTENSIONS_MAX 64u

static enum attest_status take_extensions(struct attest_cert *c, struct attest_span all,
                                          struct attest_error *err)
{
    struct attest_span list = all;
    enum attest_status why = ATTEST_OK;
    struct extension e;

    for (unsigned n = 0; list.len && why == ATTEST_OK; n++) {
        if (n == EXTENSIONS_MAX || !extension_next(&list, &e))
            return FAIL_AT("extensions", "the list of extensions is malformed or endless");
        if (seen_before(all, &e))
            return FAIL_AT("extensions", "an extension is there twice");
        if (e.oid.len > OID_AMD_LEN && memcmp(e.oid.at, OID_AMD, OID_AMD_LEN) == 0) {
            struct attest_span arc = {e.oid.at + OID_AMD_LEN, e.oid.len - OID_AMD_LEN};

            why = amd_extension(c, arc, e.value, err);
        } else if (e.oid.len == 3 && memcmp(e.oid.at, OID_CE, 2) == 0) {
            why = ce_extension(c, e.oid.at[2], &e, err);
        } else {
            c->unknown_critical |= e.critical;
        }
    }
    return why;
}

/* ---- the whole ---- */

static void classify(struct attest_cert *c)
{
    static const struct {
        const char *subject, *issuer; /* a prefix of the product's name; then the product */
        bool leaf;                    /* the subject names no product */
        uint8_t kind;
    } rows[] = {
        {"ARK-", "ARK-", false, ATTEST_CERT_ARK},
        {"SEV-VLEK-", "ARK-", false, ATTEST_CERT_ASVK},
        {"SEV-", "ARK-", false, ATTEST_CERT_ASK},
        {"SEV-VCEK", "SEV-", true, ATTEST_CERT_VCEK},
        {"SEV-VLEK", "SEV-VLEK-", true, ATTEST_CERT_VLEK},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        enum attest_product issuer = name_product(c->issuer_cn, rows[i].issuer);
        bool fits = rows[i].leaf ? strcmp(c->subject_cn, rows[i].subject) == 0
                                 : name_product(c->subject_cn, rows[i].subject) == issuer;

        if (issuer != ATTEST_PRODUCT_UNKNOWN && fits) {
            c->kind = rows[i].kind;
            c->product = issuer;
            return;
        }
    }
}

/* The components as they stand in TCB_VERSION. */
static void take_tcb(struct attest_cert *c)
{
    static const uint8_t arcs[ATTEST_TCB_PARTS] = {9, 1, 2, 3, 8};

    c->tcb.layout = attest_layout_of(c->product);
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        if (attest_tcb_has(c->tcb.layout, p))
            c->tcb.part[p] = c->spl[arcs[p]];
    tcb_encode(&c->tcb);
}

static enum attest_status take_names(struct attest_cert *c, struct attest_error *err)
{
    struct name issuer, subject;
    struct attest_span body;

    if (!der_only(c->issuer, DER_SEQUENCE, &body) || !name_parse(&issuer, body))
        return FAIL_AT("issuer", "the issuer's name is malformed");
    if (!der_only(c->subject, DER_SEQUENCE, &body) || !name_parse(&subject, body))
        return FAIL_AT("subject", "the subject's name is malformed");
    memcpy(c->issuer_cn, issuer.cn, sizeof(c->issuer_cn));
    memcpy(c->subject_cn, subject.cn, sizeof(c->subject_cn));
    memcpy(c->subject_serial, subject.serial, sizeof(c->subject_serial));
    c->emulated = issuer.emulated || subject.emulated;
    c->names_exact = issuer.exact && subject.exact;
    c->self_issued = span_equal(c->issuer, c->subject);
    return ATTEST_OK;
}

static enum attest_status take_version(struct attest_cert *c, struct attest_span *tbs,
                                       struct attest_error *err)
{
    struct attest_span body;
    struct der_item item;
    uint64_t number;

    c->version = 1;
    if (!der_take(tbs, DER_CONTEXT(0), &item))
        return ATTEST_OK;
    if (!der_only(item.body, DER_INTEGER, &body) || !der_number(body, &number) || number < 1 ||
        number > 2)
        return FAIL_AT("version", "the X.509 version is malformed or unknown");
    c->version = (uint8_t)(number + 1);
    return ATTEST_OK;
}

static enum attest_status take_tbs(struct attest_cert *c, struct attest_error *err)
{
    struct attest_span tbs, list = {0};
    struct der_item serial, algorithm, issuer, dates, subject, spki, extensions;
    enum attest_status why;

    if (!der_only(c->tbs, DER_SEQUENCE, &tbs))
        return FAIL_AT("tbs", "it is no SEQUENCE");
    why = take_version(c, &tbs, err);
    if (why != ATTEST_OK)
        return why;
    if (!der_take(&tbs, DER_INTEGER, &serial) || !der_integer_ok(serial.body) ||
        serial.body.len > sizeof(c->serial))
        return FAIL_AT("serial", "the serial number is malformed or longer than 20 bytes");
    memcpy(c->serial, serial.body.at, serial.body.len);
    c->serial_len = (uint8_t)serial.body.len;
    if (!der_take(&tbs, DER_SEQUENCE, &algorithm) ||
        !span_equal(algorithm.body, c->signature_algorithm))
        return FAIL_AT("signature_algorithm", "the two signature algorithms differ");
    c->pss_exact = pss_exact(algorithm.body);
    if (!der_take(&tbs, DER_SEQUENCE, &issuer))
        return FAIL_AT("issuer", "it is no SEQUENCE");
    if (!der_take(&tbs, DER_SEQUENCE, &dates) || !der_time(&dates.body, &c->not_before) ||
        !der_time(&dates.body, &c->not_after) || dates.body.len)
        return FAIL_AT("validity", "a date is malformed");
    if (!der_take(&tbs, DER_SEQUENCE, &subject))
        return FAIL_AT("subject", "it is no SEQUENCE");
    if (!der_take(&tbs, DER_SEQUENCE, &spki) || !take_key(c, spki.body))
        return FAIL_AT("spki", "the public key is malformed");
    c->issuer = issuer.whole;
    c->subject = subject.whole;
    c->spki = spki.whole;
    if (tbs.len && (!der_take(&tbs, DER_CONTEXT(3), &extensions) || tbs.len ||
                    !der_only(extensions.body, DER_SEQUENCE, &list) || c->version != 3))
        return FAIL_AT("extensions", "what follows the public key is no list of extensions");
    why = take_names(c, err);
    return why == ATTEST_OK ? take_extensions(c, list, err) : why;
}

enum attest_status attest_cert_parse(struct attest_cert *cert, const void *bytes, size_t len,
                                     struct attest_error *err)
{
    enum attest_status why;

    *cert = (struct attest_cert){.der = {bytes, len}, .path_len = -1};
    if (len > ATTEST_CERT_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "certificate",
                           "%zu bytes are more than a certificate has (%u)", len, ATTEST_CERT_MAX);
    if (!signed_parts(cert->der, &cert->tbs, &cert->signature_algorithm, &cert->signature))
        return attest_fail(err, ATTEST_E_FORMAT, "certificate",
                           "the bytes are no X.509 certificate in DER");
    why = take_tbs(cert, err);
    if (why != ATTEST_OK)
        return why;
    classify(cert);
    take_tcb(cert);
    if (!key_sha256(cert->sha256, bytes, len) ||
        !key_sha256(cert->spki_sha256, cert->spki.at, cert->spki.len))
        return attest_fail(err, ATTEST_E_CRYPTO, "certificate", "libcrypto has no SHA-256");
    return ATTEST_OK;
}
