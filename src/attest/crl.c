/* Certificate revocation lists (RFC 5280, 5). */
#include "attest/der.h"

#define FAIL_AT(path, ...) attest_fail(err, ATTEST_E_FORMAT, "crl." path, __VA_ARGS__)

#define OID_AUTHORITY_KEY "\x55\x1D\x23"
#define OID_CRL_NUMBER    "\x55\x1D\x14"
#define OID_REASON        "\x55\x1D\x15"
#define OID_INVALID_SINCE "\x55\x1D\x18"

struct revoked {
    struct attest_span serial;
    int64_t when;
    bool plain; /* it speaks of a certificate of this issuer, for good */
};

static bool next_revoked(struct attest_span *entries, struct revoked *r)
{
    struct der_item entry, serial, list;
    struct extension e;

    if (!der_take(entries, DER_SEQUENCE, &entry) || !der_take(&entry.body, DER_INTEGER, &serial) ||
        !der_integer_ok(serial.body) || !der_time(&entry.body, &r->when))
        return false;
    r->serial = serial.body;
    r->plain = true;
    if (!entry.body.len)
        return true;
    if (!der_take(&entry.body, DER_SEQUENCE, &list) || entry.body.len)
        return false;
    while (list.body.len) {
        if (!extension_next(&list.body, &e))
            return false;
        if (!DER_IS(e.oid, OID_REASON) && !DER_IS(e.oid, OID_INVALID_SINCE))
            r->plain = false;
    }
    return true;
}

/* Anything but a key id and a number changes what the list covers: deltas, distribution points. */
static bool take_extensions(struct attest_crl *c, struct attest_span list)
{
    struct attest_span number;
    struct extension e;

    while (list.len) {
        if (!extension_next(&list, &e))
            return false;
        if (DER_IS(e.oid, OID_CRL_NUMBER)) {
            if (c->number_len || !der_only(e.value, DER_INTEGER, &number) ||
                !der_integer_ok(number) || number.len > sizeof(c->number))
                return false;
            memcpy(c->number, number.at, number.len);
            c->number_len = (uint8_t)number.len;
        } else if (!DER_IS(e.oid, OID_AUTHORITY_KEY) || e.critical) {
            c->unknown_critical = true;
        }
    }
    return true;
}

static enum attest_status take_entries(struct attest_crl *c, struct attest_error *err)
{
    struct attest_span rest = c->entries;
    struct revoked r;

    for (; rest.len; c->revoked++) {
        if (!next_revoked(&rest, &r))
            return FAIL_AT("revoked", "entry %zu is malformed", c->revoked);
        c->unknown_critical |= !r.plain;
    }
    return ATTEST_OK;
}

static enum attest_status take_issuer(struct attest_crl *c, struct attest_span body,
                                      struct attest_error *err)
{
    struct name name;

    if (!name_parse(&name, body))
        return FAIL_AT("issuer", "the issuer's name is malformed");
    memcpy(c->issuer_cn, name.cn, sizeof(c->issuer_cn));
    c->emulated = name.emulated;
    c->product = name_product(name.cn, "ARK-");
    return ATTEST_OK;
}

static enum attest_status take_tbs(struct attest_crl *c, struct attest_error *err)
{
    struct der_item version, algorithm, issuer, entries, extensions;
    struct attest_span tbs, list;
    enum attest_status why;
    uint64_t number;

    if (!der_only(c->tbs, DER_SEQUENCE, &tbs) || !der_take(&tbs, DER_INTEGER, &version) ||
        !der_number(version.body, &number) || number != 1)
        return FAIL_AT("version", "it is no list of version 2");
    if (!der_take(&tbs, DER_SEQUENCE, &algorithm) ||
        !span_equal(algorithm.body, c->signature_algorithm))
        return FAIL_AT("signature_algorithm", "the two signature algorithms differ");
    c->pss_exact = pss_exact(algorithm.body);
    if (!der_take(&tbs, DER_SEQUENCE, &issuer))
        return FAIL_AT("issuer", "it is no SEQUENCE");
    c->issuer = issuer.whole;
    if (!der_time(&tbs, &c->this_update))
        return FAIL_AT("this_update", "the date is malformed");
    if (!der_time(&tbs, &c->next_update))
        return FAIL_AT("next_update", "the date is malformed or missing");
    if (der_take(&tbs, DER_SEQUENCE, &entries))
        c->entries = entries.body;
    if (tbs.len && (!der_take(&tbs, DER_CONTEXT(0), &extensions) || tbs.len ||
                    !der_only(extensions.body, DER_SEQUENCE, &list) || !take_extensions(c, list)))
        return FAIL_AT("extensions", "the list of extensions is malformed");
    why = take_issuer(c, issuer.body, err);
    return why == ATTEST_OK ? take_entries(c, err) : why;
}

enum attest_status attest_crl_parse(struct attest_crl *crl, const void *bytes, size_t len,
                                    struct attest_error *err)
{
    enum attest_status why;

    *crl = (struct attest_crl){.der = {bytes, len}};
    if (len > ATTEST_CRL_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "crl",
                           "%zu bytes are more than a revocation list may have (%u)", len,
                           ATTEST_CRL_MAX);
    if (!signed_parts(crl->der, &crl->tbs, &crl->signature_algorithm, &crl->signature))
        return attest_fail(err, ATTEST_E_FORMAT, "crl", "the bytes are no revocation list in DER");
    why = take_tbs(crl, err);
    if (why == ATTEST_OK && !key_sha256(crl->sha256, bytes, len))
        why = attest_fail(err, ATTEST_E_CRYPTO, "crl", "libcrypto has no SHA-256");
    return why;
}

bool attest_crl_lists(const struct attest_crl *crl, const uint8_t *serial, size_t serial_len,
                      int64_t *when)
{
    struct attest_span rest = crl->entries, wanted = {serial, serial_len};
    struct revoked r;

    while (rest.len && next_revoked(&rest, &r))
        if (span_equal(r.serial, wanted)) {
            if (when)
                *when = r.when;
            return true;
        }
    return false;
}
