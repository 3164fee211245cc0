/* Bags of certificates and revocation lists. */
#include "attest/der.h"

#include <stdlib.h>

struct attest_certs *attest_certs_new(struct attest_error *err)
{
    struct attest_certs *certs = calloc(1, sizeof(*certs));

    if (!certs)
        NO_MEMORY(err);
    return certs;
}

void attest_certs_free(struct attest_certs *certs)
{
    if (!certs)
        return;
    for (size_t i = 0; i < certs->cert_count; i++) {
        EVP_PKEY_free(certs->certs[i]->key);
        free(certs->certs[i]->der);
        free(certs->certs[i]);
    }
    for (size_t i = 0; i < certs->crl_count; i++) {
        free(certs->crls[i]->der);
        free(certs->crls[i]);
    }
    free(certs);
}

/* A list and a certificate of version 1 begin alike; the fourth thing in a list is a date. */
static bool is_crl(struct attest_span der)
{
    struct attest_span body, tbs;
    struct der_item item;

    if (!der_only(der, DER_SEQUENCE, &body) || !der_take(&body, DER_SEQUENCE, &item))
        return false;
    tbs = item.body;
    return der_take(&tbs, DER_INTEGER, &item) && der_take(&tbs, DER_SEQUENCE, &item) &&
           der_take(&tbs, DER_SEQUENCE, &item) && der_next(&tbs, &item) &&
           (item.tag == DER_UTC_TIME || item.tag == DER_GENERAL_TIME);
}

static uint8_t *copy_of(struct attest_span der)
{
    uint8_t *copy = malloc(der.len ? der.len : 1);

    if (copy)
        memcpy(copy, der.at, der.len);
    return copy;
}

static enum attest_status add_crl(struct attest_certs *certs, struct attest_span der,
                                  struct attest_error *err)
{
    struct crl_item *item;
    enum attest_status why;

    if (certs->crl_count == ATTEST_BAG_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "crl", "there are more than %u revocation lists",
                           ATTEST_BAG_MAX);
    item = calloc(1, sizeof(*item));
    if (!item)
        return NO_MEMORY(err);
    item->der = copy_of(der);
    why = item->der ? attest_crl_parse(&item->crl, item->der, der.len, err) : NO_MEMORY(err);
    if (why == ATTEST_OK) {
        certs->crls[certs->crl_count++] = item;
        return why;
    }
    free(item->der);
    free(item);
    return why;
}

static enum attest_status add_cert(struct attest_certs *certs, struct attest_span der,
                                   struct attest_error *err)
{
    struct cert_item *item;
    enum attest_status why;

    if (certs->cert_count == ATTEST_BAG_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "certificate",
                           "there are more than %u certificates", ATTEST_BAG_MAX);
    item = calloc(1, sizeof(*item));
    if (!item)
        return NO_MEMORY(err);
    item->der = copy_of(der);
    why = item->der ? attest_cert_parse(&item->cert, item->der, der.len, err) : NO_MEMORY(err);
    if (why == ATTEST_OK) {
        item->key = key_of(&item->cert);
        certs->certs[certs->cert_count++] = item;
        return why;
    }
    free(item->der);
    free(item);
    return why;
}

static enum attest_status add_der(struct attest_certs *certs, struct attest_span der,
                                  struct attest_error *err)
{
    return is_crl(der) ? add_crl(certs, der, err) : add_cert(certs, der, err);
}

/* ---- PEM: RFC 7468 ---- */

/* Finds `what` in the text and moves past it; false where there is none. */
static bool skip_past(struct attest_span *text, const char *what, struct attest_span *before)
{
    size_t len = strlen(what);
    const uint8_t *at = text->len ? memmem(text->at, text->len, what, len) : NULL;

    if (!at)
        return false;
    *before = (struct attest_span){text->at, (size_t)(at - text->at)};
    text->len -= before->len + len;
    text->at = at + len;
    return true;
}

static enum attest_status add_block(struct attest_certs *certs, struct attest_span label,
                                    struct attest_span body, struct attest_error *err)
{
    enum attest_status why;
    uint8_t *der;
    ptrdiff_t n;

    if (!DER_IS(label, "CERTIFICATE") && !DER_IS(label, "X509 CRL"))
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "pem",
                           "a block is neither CERTIFICATE nor X509 CRL but \"%.*s\"",
                           (int)MIN(label.len, 40), (const char *)label.at);
    der = malloc(body.len ? body.len : 1);
    if (!der)
        return NO_MEMORY(err);
    n = text_base64(der, body.len, (const char *)body.at, body.len);
    why = n < 0 ? attest_fail(err, ATTEST_E_FORMAT, "pem", "a block is not base64")
                : add_der(certs, (struct attest_span){der, (size_t)n}, err);
    free(der);
    return why;
}

static enum attest_status add_pem(struct attest_certs *certs, struct attest_span text,
                                  struct attest_error *err)
{
    struct attest_span before, label, body, end;
    enum attest_status why = ATTEST_OK;
    bool any = false;

    while (why == ATTEST_OK && skip_past(&text, "-----BEGIN ", &before)) {
        if (!skip_past(&text, "-----", &label) || !skip_past(&text, "-----END ", &body) ||
            !skip_past(&text, "-----", &end) || !span_equal(label, end))
            return attest_fail(err, ATTEST_E_FORMAT, "pem", "a block has no end");
        why = add_block(certs, label, body, err);
        any = true;
    }
    if (!any)
        return attest_fail(err, ATTEST_E_FORMAT, "certificate",
                           "the bytes are neither DER nor PEM");
    return why;
}

#define FILE_MAX (4u << 20)

enum attest_status attest_certs_add(struct attest_certs *certs, const void *bytes, size_t len,
                                    struct attest_error *err)
{
    struct attest_span all = {bytes, len};

    if (!len || len > FILE_MAX)
        return attest_fail(err, ATTEST_E_FORMAT, "certificate",
                           len ? "more than 4 MiB are no certificates" : "it is empty");
    return all.at[0] == DER_SEQUENCE ? add_der(certs, all, err) : add_pem(certs, all, err);
}

enum attest_status attest_certs_add_table(struct attest_certs *certs, const void *bytes, size_t len,
                                          struct attest_error *err)
{
    struct attest_entry entries[ATTEST_TABLE_MAX];
    size_t count;
    enum attest_status why = attest_table_parse(entries, &count, bytes, len, err);

    for (size_t i = 0; i < count && why == ATTEST_OK; i++)
        switch (entries[i].kind) {
        case ATTEST_ENTRY_VCEK:
        case ATTEST_ENTRY_VLEK:
        case ATTEST_ENTRY_ASK:
        case ATTEST_ENTRY_ARK:
        case ATTEST_ENTRY_CRL:
            why = attest_certs_add(certs, entries[i].bytes, entries[i].len, err);
            break;
        case ATTEST_ENTRY_PLATFORM:
            if (entries[i].len < 8 || load32(entries[i].bytes) < 8)
                return attest_fail(err, ATTEST_E_FORMAT, "table.platform",
                                   "the platform's entry has %zu bytes; it needs 8",
                                   entries[i].len);
            certs->has_eax = true;
            certs->eax = load32(entries[i].bytes + 4);
            break;
        default:
            break;
        }
    return why;
}

size_t attest_certs_count(const struct attest_certs *certs)
{
    return certs->cert_count;
}

const struct attest_cert *attest_certs_at(const struct attest_certs *certs, size_t i)
{
    return i < certs->cert_count ? &certs->certs[i]->cert : NULL;
}

size_t attest_certs_crl_count(const struct attest_certs *certs)
{
    return certs->crl_count;
}

const struct attest_crl *attest_certs_crl_at(const struct attest_certs *certs, size_t i)
{
    return i < certs->crl_count ? &certs->crls[i]->crl : NULL;
}

const struct attest_cert *attest_certs_find(const struct attest_certs *certs,
                                            enum attest_cert_kind kind, enum attest_product product)
{
    for (size_t i = 0; i < certs->cert_count; i++) {
        const struct attest_cert *c = &certs->certs[i]->cert;

        if (c->kind == kind && (product == ATTEST_PRODUCT_UNKNOWN || c->product == product))
            return c;
    }
    return NULL;
}
