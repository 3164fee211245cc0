/* X.509 over libcrypto; see x509.h. */
#include "crypto/x509.h"

#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "crypto/keys.h"
#include "crypto/openssl.h"

/* ---- pieces ---------------------------------------------------------------------------------- */

static X509 *parse(const struct x509_der *der)
{
    const uint8_t *at = der->der;
    X509 *x = der->len <= sizeof(der->der) ? d2i_X509(NULL, &at, (long)der->len) : NULL;

    if (x && at != der->der + der->len) {
        X509_free(x);
        x = NULL;
    }
    ERR_clear_error();
    return x;
}

/* AMD's names are UTF8Strings, but for what X.520 wants as PrintableString. */
static bool set_name(X509_NAME *name, const struct x509_attribute *a)
{
    for (; a->name; a++) {
        int nid = OBJ_txt2nid(a->name);
        int type = nid == NID_countryName || nid == NID_serialNumber ? V_ASN1_PRINTABLESTRING
                                                                     : V_ASN1_UTF8STRING;

        if (nid == NID_undef ||
            X509_NAME_add_entry_by_NID(name, nid, type, (const uint8_t *)a->text,
                                       (int)strlen(a->text), -1, 0) != 1)
            return false;
    }
    return true;
}

static X509_EXTENSION *extension(X509V3_CTX *ctx, const struct x509_extension *e)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(e->oid, 0);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *x = NULL;

    if (e->text)
        x = X509V3_EXT_nconf_nid(NULL, ctx, OBJ_txt2nid(e->oid), e->text);
    else if (oid && value && ASN1_OCTET_STRING_set(value, e->bytes, (int)e->len) == 1)
        x = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return x;
}

static bool add_extensions(X509 *x, X509 *issuer, const struct x509_extension *e)
{
    X509V3_CTX ctx;
    bool ok = true;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    for (; e->oid && ok; e++) {
        X509_EXTENSION *made = extension(&ctx, e);

        ok = made && X509_add_ext(x, made, -1) == 1;
        X509_EXTENSION_free(made);
    }
    return ok;
}

/* For X509_sign_ctx and its like, which write the parameters into the signature's algorithm. */
static EVP_MD_CTX *signing(const struct rsa4096_key *key)
{
    EVP_PKEY *pkey = rsa4096_private_pkey(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;

    if (!pkey || !ctx || EVP_DigestSignInit(ctx, &pctx, EVP_sha384(), NULL, pkey) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    EVP_PKEY_free(pkey);
    return ctx;
}

static bool give(struct x509_der *out, const uint8_t *der, int len)
{
    if (len <= 0 || (size_t)len > sizeof(out->der))
        return false;
    memcpy(out->der, der, (size_t)len);
    out->len = (size_t)len;
    return true;
}

/* ---- certificates ---------------------------------------------------------------------------- */

static bool fill(X509 *x, X509 *issuer, EVP_PKEY *key, const struct x509_template *t)
{
    return X509_set_version(x, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), t->serial) == 1 &&
           set_name(X509_get_subject_name(x), t->subject) &&
           X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
           ASN1_TIME_adj(X509_getm_notBefore(x), (time_t)t->from, 0, 0) &&
           ASN1_TIME_adj(X509_getm_notAfter(x), (time_t)t->until, 0, 0) &&
           X509_set_pubkey(x, key) == 1 && add_extensions(x, issuer, t->extensions);
}

bool x509_make(const struct x509_template *t, const struct rsa4096_key *signer,
               struct x509_der *out)
{
    X509 *x = X509_new(), *parent = t->issuer ? parse(t->issuer) : NULL;
    X509 *issuer = t->issuer ? parent : x;
    EVP_PKEY *key = t->rsa ? rsa4096_public_pkey(t->rsa) : p384_public_pkey(t->ec);
    EVP_MD_CTX *ctx = signing(signer);
    uint8_t *der = NULL;
    int len = -1;
    bool ok;

    if (x && issuer && key && ctx && fill(x, issuer, key, t) && X509_sign_ctx(x, ctx) > 0)
        len = i2d_X509(x, &der);
    ok = give(out, der, len);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    X509_free(parent);
    X509_free(x);
    ERR_clear_error();
    return ok;
}

/* ---- revocation lists ------------------------------------------------------------------------ */

static bool fill_crl(X509_CRL *crl, X509 *issuer, const struct x509_crl_template *t)
{
    ASN1_TIME *last = ASN1_TIME_adj(NULL, (time_t)t->this_update, 0, 0);
    ASN1_TIME *next = ASN1_TIME_adj(NULL, (time_t)t->next_update, 0, 0);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509V3_CTX ctx;
    X509_EXTENSION *aki;
    bool ok;

    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    aki = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    ok = last && next && number && aki && ASN1_INTEGER_set_uint64(number, t->number) == 1 &&
         X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
         X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1 &&
         X509_CRL_set1_lastUpdate(crl, last) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1 &&
         X509_CRL_add_ext(crl, aki, -1) == 1 &&
         X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1;
    X509_EXTENSION_free(aki);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(next);
    ASN1_TIME_free(last);
    return ok;
}

bool x509_crl_make(const struct x509_crl_template *t, const struct rsa4096_key *signer,
                   struct x509_der *out)
{
    X509_CRL *crl = X509_CRL_new();
    X509 *issuer = parse(t->issuer);
    EVP_MD_CTX *ctx = signing(signer);
    uint8_t *der = NULL;
    int len = -1;
    bool ok;

    if (crl && issuer && ctx && fill_crl(crl, issuer, t) && X509_CRL_sign_ctx(crl, ctx) > 0)
        len = i2d_X509_CRL(crl, &der);
    ok = give(out, der, len);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    X509_free(issuer);
    X509_CRL_free(crl);
    ERR_clear_error();
    return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

bool x509_is(const struct x509_der *cert, const struct rsa4096_public *key,
             const struct rsa4096_public *issuer)
{
    X509 *x = parse(cert);
    EVP_PKEY *own = rsa4096_public_pkey(key), *by = rsa4096_public_pkey(issuer);
    bool ok =
        x && own && by && EVP_PKEY_eq(X509_get0_pubkey(x), own) == 1 && X509_verify(x, by) == 1;

    EVP_PKEY_free(by);
    EVP_PKEY_free(own);
    X509_free(x);
    ERR_clear_error();
    return ok;
}

int64_t x509_not_before(const struct x509_der *cert)
{
    X509 *x = parse(cert);
    struct tm tm;
    int64_t at = -1;

    if (x && ASN1_TIME_to_tm(X509_get0_notBefore(x), &tm) == 1)
        at = (int64_t)timegm(&tm);
    X509_free(x);
    return at;
}

size_t x509_pem(const struct x509_der *in, const char *label, char *to, size_t room)
{
    BIO *bio = BIO_new(BIO_s_mem());
    size_t len = 0;
    char *text;
    long n;

    if (bio && PEM_write_bio(bio, label, "", in->der, (long)in->len) > 0) {
        n = BIO_get_mem_data(bio, &text);
        if (n > 0 && (size_t)n < room) {
            len = (size_t)n;
            memcpy(to, text, len);
            to[len] = 0;
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    return len;
}
