/* X.509 certificates and revocation lists, made and signed as AMD's key service does: RSASSA-PSS
 * with SHA-384, MGF1 with SHA-384, and 48 bytes of salt. */
#ifndef LUCCA_CRYPTO_X509_H
#define LUCCA_CRYPTO_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/ecc.h"
#include "crypto/rsa.h"

#define X509_DER_MAX 4096u

struct x509_der {
    uint8_t der[X509_DER_MAX];
    size_t len;
};

/* An attribute of a name: "CN" and its like, and the text. */
struct x509_attribute {
    const char *name, *text;
};

/* By a well-known name, and the value as libcrypto's configuration spells it ("critical,CA:TRUE"),
 * or by a dotted OID and the bytes that extnValue holds. The list of a template ends with `oid`
 * NULL. */
struct x509_extension {
    const char *oid, *text;
    const uint8_t *bytes;
    size_t len;
};

struct x509_template {
    uint32_t serial;
    const struct x509_attribute *subject; /* ends with `name` NULL */
    const struct x509_der *issuer;        /* its certificate; NULL: self-signed */
    int64_t from, until;                  /* seconds since 1970 */
    const struct rsa4096_public *rsa;     /* the subject's key: this one.. */
    const struct p384_public *ec;         /* ..or this one */
    const struct x509_extension *extensions;
};

struct x509_crl_template {
    const struct x509_der *issuer;
    int64_t this_update, next_update;
    uint32_t number;
};

/* False where libcrypto fails or the template makes no sense. */
bool x509_make(const struct x509_template *t, const struct rsa4096_key *signer,
               struct x509_der *out) MUST_USE;
/* Of nobody: a list without entries. */
bool x509_crl_make(const struct x509_crl_template *t, const struct rsa4096_key *signer,
                   struct x509_der *out) MUST_USE;

/* Is it one certificate, with this RSA key in it, that `issuer`'s key signed? */
bool x509_is(const struct x509_der *cert, const struct rsa4096_public *key,
             const struct rsa4096_public *issuer) MUST_USE;
/* The beginning of its validity; negative where it is no certificate. */
int64_t x509_not_before(const struct x509_der *cert);

/* "-----BEGIN label-----"...; the length without the NUL, 0 where `room` does not suffice. */
size_t x509_pem(const struct x509_der *in, const char *label, char *to, size_t room) MUST_USE;

#endif
