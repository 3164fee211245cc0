/* Names, algorithms and extensions, as certificates and revocation lists have them. */
#include "attest/der.h"

#include <stdio.h>

/* RFC 5280, appendix A.1: id-at, 2.5.4 */
#define OID_CN     "\x55\x04\x03"
#define OID_SERIAL "\x55\x04\x05"
static const struct {
    const char oid[4], *value;
} amd_attributes[] = {
    {"\x55\x04\x06", "US"},          {"\x55\x04\x07", "Santa Clara"},
    {"\x55\x04\x08", "CA"},          {"\x55\x04\x0A", "Advanced Micro Devices"},
    {"\x55\x04\x0B", "Engineering"},
};
#define CN_BIT     (1u << COUNT(amd_attributes))
#define SERIAL_BIT (CN_BIT << 1)
#define ALL_BITS   (SERIAL_BIT - 1)

/* Printable text into a buffer; other bytes become '?', and text that does not fit is refused. */
static bool take_text(char *out, size_t size, struct attest_span text)
{
    if (text.len >= size)
        return false;
    for (size_t i = 0; i < text.len; i++)
        out[i] = text.at[i] >= 0x20 && text.at[i] < 0x7F ? (char)text.at[i] : '?';
    out[text.len] = 0;
    return true;
}

static bool one_attribute(struct name *name, struct attest_span attribute, unsigned *seen)
{
    struct der_item oid, value;
    unsigned bit = 0;

    if (!der_take(&attribute, DER_OID, &oid) || !der_next(&attribute, &value) || attribute.len)
        return false;
    if (value.tag != DER_UTF8 && value.tag != DER_PRINTABLE && value.tag != DER_IA5 &&
        value.tag != DER_T61) {
        name->exact = false;
        return true;
    }
    if (DER_IS(oid.body, OID_CN)) {
        bit = CN_BIT;
        if (!take_text(name->cn, sizeof(name->cn), value.body))
            name->exact = false;
    } else if (DER_IS(oid.body, OID_SERIAL)) {
        bit = SERIAL_BIT;
        if (!take_text(name->serial, sizeof(name->serial), value.body))
            name->exact = false;
        name->emulated |= memmem(value.body.at, value.body.len, "EMULATED", 8) != NULL;
    }
    for (size_t i = 0; i < COUNT(amd_attributes); i++)
        if (der_is(oid.body, amd_attributes[i].oid, 3) &&
            der_is(value.body, amd_attributes[i].value, strlen(amd_attributes[i].value)))
            bit = 1u << i;
    name->exact &= bit && !(*seen & bit);
    *seen |= bit;
    return true;
}

bool name_parse(struct name *name, struct attest_span body)
{
    unsigned seen = 0;

    *name = (struct name){.exact = true};
    while (body.len) {
        struct der_item set, attribute;
        unsigned attributes = 0;

        if (!der_take(&body, DER_SET, &set))
            return false;
        for (struct attest_span rest = set.body; rest.len; attributes++)
            if (!der_take(&rest, DER_SEQUENCE, &attribute) ||
                !one_attribute(name, attribute.body, &seen))
                return false;
        if (attributes != 1)
            name->exact = false;
    }
    name->exact &= (seen & ALL_BITS) == ALL_BITS && (!(seen & SERIAL_BIT) || name->emulated);
    return true;
}

enum attest_product name_product(const char *cn, const char *prefix)
{
    size_t len = strlen(prefix);
    enum attest_product product;

    if (strncmp(cn, prefix, len) != 0)
        return ATTEST_PRODUCT_UNKNOWN;
    product = attest_product_from_name(cn + len);
    return strcmp(cn + len, attest_product_name(product)) == 0 ? product : ATTEST_PRODUCT_UNKNOWN;
}

#define OID_PSS    "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A" /* 1.2.840.113549.1.1.10 */
#define OID_MGF1   "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x08"
#define OID_SHA384 "\x60\x86\x48\x01\x65\x03\x04\x02\x02" /* 2.16.840.1.101.3.4.2.2 */

/* AlgorithmIdentifier of SHA-384: parameters NULL, or left out (RFC 4055, 2.1). */
static bool is_sha384(struct attest_span algorithm)
{
    struct der_item oid, null;

    return der_take(&algorithm, DER_OID, &oid) && DER_IS(oid.body, OID_SHA384) &&
           (!algorithm.len ||
            (der_take(&algorithm, DER_NULL, &null) && !null.body.len && !algorithm.len));
}

/* [n] EXPLICIT holding one item of `tag`. */
static bool take_explicit(struct attest_span *from, unsigned n, uint8_t tag,
                          struct attest_span *body)
{
    struct der_item item;

    return der_take(from, (uint8_t)DER_CONTEXT(n), &item) && der_only(item.body, tag, body);
}

bool pss_exact(struct attest_span algorithm)
{
    struct attest_span hash, mgf, salt, trailer, rest;
    struct der_item oid, parameters, mgf_hash;
    uint64_t number;

    if (!der_take(&algorithm, DER_OID, &oid) || !DER_IS(oid.body, OID_PSS) ||
        !der_take(&algorithm, DER_SEQUENCE, &parameters) || algorithm.len)
        return false;
    rest = parameters.body;
    if (!take_explicit(&rest, 0, DER_SEQUENCE, &hash) || !is_sha384(hash) ||
        !take_explicit(&rest, 1, DER_SEQUENCE, &mgf) || !der_take(&mgf, DER_OID, &oid) ||
        !DER_IS(oid.body, OID_MGF1) || !der_take(&mgf, DER_SEQUENCE, &mgf_hash) || mgf.len ||
        !is_sha384(mgf_hash.body) || !take_explicit(&rest, 2, DER_INTEGER, &salt) ||
        !der_number(salt, &number) || number != 48)
        return false;
    /* trailerField: AMD's older certificates write the default out. */
    return !rest.len || (take_explicit(&rest, 3, DER_INTEGER, &trailer) &&
                         der_number(trailer, &number) && number == 1 && !rest.len);
}

bool signed_parts(struct attest_span der, struct attest_span *tbs, struct attest_span *algorithm,
                  struct attest_span *signature)
{
    struct der_item inner, outer, bits;
    struct attest_span body;

    if (!der_only(der, DER_SEQUENCE, &body) || !der_take(&body, DER_SEQUENCE, &inner) ||
        !der_take(&body, DER_SEQUENCE, &outer) || !der_take(&body, DER_BIT_STRING, &bits) ||
        body.len || !der_bits(bits.body, signature))
        return false;
    *tbs = inner.whole;
    *algorithm = outer.body;
    return true;
}

bool extension_next(struct attest_span *list, struct extension *e)
{
    struct der_item item, oid, critical, value;

    if (!der_take(list, DER_SEQUENCE, &item) || !der_take(&item.body, DER_OID, &oid))
        return false;
    e->critical = der_take(&item.body, DER_BOOLEAN, &critical);
    if (e->critical && !DER_IS(critical.body, "\xFF")) /* DER does not encode the default */
        return false;
    if (!der_take(&item.body, DER_OCTET_STRING, &value) || item.body.len)
        return false;
    e->oid = oid.body;
    e->value = value.body;
    return true;
}
