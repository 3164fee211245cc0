/* A strict reader of DER (X.690): definite lengths in their shortest form, tags of one byte. */
#ifndef LUCCA_ATTEST_DER_H
#define LUCCA_ATTEST_DER_H

#include "attest/internal.h"

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8 = 0x0C,
    DER_PRINTABLE = 0x13,
    DER_T61 = 0x14,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERAL_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
};
#define DER_CONTEXT(n) (0xA0 | (n)) /* constructed */

struct der_item {
    uint8_t tag;
    struct attest_span whole, body;
};

/* Takes the next item off `*from`; false at its end and for anything that is not DER. */
bool der_next(struct attest_span *from, struct der_item *item);
/* The same, of a certain tag; `*from` stays where it is otherwise. */
bool der_take(struct attest_span *from, uint8_t tag, struct der_item *item);
/* `whole` is exactly one item of that tag. */
bool der_only(struct attest_span whole, uint8_t tag, struct attest_span *body);
/* An INTEGER's body: shortest form, not negative, below 2^63. */
bool der_number(struct attest_span body, uint64_t *number);
/* An INTEGER's body is in its shortest form. */
bool der_integer_ok(struct attest_span body);
/* A BIT STRING's body of whole bytes. */
bool der_bits(struct attest_span body, struct attest_span *bytes);
/* UTCTime or GeneralizedTime as RFC 5280 has them (4.1.2.5): to the second, in Zulu time. */
bool der_time(struct attest_span *from, int64_t *at);
bool der_is(struct attest_span body, const void *bytes, size_t len);
#define DER_IS(body, literal) der_is(body, literal, sizeof(literal) - 1)

/* ---- what certificates and revocation lists share (x509.c) ---- */

/* A distinguished name, as far as AMD's chain uses it. */
struct name {
    char cn[72], serial[72];
    bool exact;    /* AMD's attributes with AMD's values, once each; serialNumber may come too */
    bool emulated; /* serialNumber says EMULATED */
};
bool name_parse(struct name *name, struct attest_span body);
enum attest_product name_product(const char *cn, const char *prefix);

/* An AlgorithmIdentifier is RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt 48, trailer 1. */
bool pss_exact(struct attest_span algorithm);

/* The three parts of a signed object; its `algorithm` is the inner one, equal to the outer. */
bool signed_parts(struct attest_span der, struct attest_span *tbs, struct attest_span *algorithm,
                  struct attest_span *signature);

/* One extension off a list; `oid` and `value` are bodies. */
struct extension {
    struct attest_span oid, value;
    bool critical;
};
bool extension_next(struct attest_span *list, struct extension *e);

#endif
