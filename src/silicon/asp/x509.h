/* The emulated AMD as SEV-SNP's relying parties meet it: an ARK, an ASK and an ASVK for each
 * product line, in <data>/roots/<chip>/, and the certificates and lists that they sign (AMD 57230,
 * VCEK certificate and KDS interface).
 *
 * The profile is AMD's to the letter, with two differences. Each name has one attribute more, a
 * serialNumber that says EMULATED; and the keys are not AMD's, so that whoever pins AMD's roots, as
 * every verifier must, refuses what chains to these.
 */
#ifndef LUCCA_SILICON_ASP_X509_H
#define LUCCA_SILICON_ASP_X509_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/x509.h"
#include "silicon/asp/platform.h"
#include "silicon/asp/vcek.h"

#define SNP_EMULATED "EMULATED"

/* ASK signs VCEKs, ASVK signs VLEKs, ARK signs both and the revocation lists. */
enum snp_authority { SNP_ARK, SNP_ASK, SNP_ASVK, SNP_AUTHORITIES };

struct snp_root {
    const struct chip *chip;
    struct rsa4096_key key[SNP_AUTHORITIES];
    struct x509_der cert[SNP_AUTHORITIES];
};

/* "Milan", as AMD's key service spells a product line; NULL: this chip has no SEV-SNP. */
const char *snp_product_line(const struct chip *chip);

/* Makes it where there is none yet: three RSA-4096 keys, some seconds. */
enum status snp_root_open(const struct chip *chip, struct snp_root **out,
                          struct error *err) MUST_USE;
void snp_root_free(struct snp_root *r);

/* What identifies a chip in reports and certificates: 64 bytes of GET_ID, or 8 on Turin. Returns
 * how many; the others are zero. */
size_t snp_hwid(const struct platform *p, uint8_t out[SEV_ID_BYTES]);

enum status snp_certify_vcek(const struct snp_root *r, const struct platform *p, uint64_t tcb,
                             struct x509_der *out, struct error *err) MUST_USE;
/* A VLEK is of a cloud provider's, named by `csp`, not of a chip's. */
enum status snp_certify_vlek(const struct snp_root *r, const char *csp, uint64_t tcb,
                             struct x509_der *out, struct error *err) MUST_USE;
/* What the provider's host gives to VLEK_LOAD of that chip. */
enum status snp_wrap_vlek(const struct snp_root *r, const char *csp, const struct platform *p,
                          uint64_t tcb, struct snp_vlek *out, struct error *err) MUST_USE;
/* The revocation list of ASKs or ASVKs: none is revoked. */
enum status snp_revocations(const struct snp_root *r, struct x509_der *out,
                            struct error *err) MUST_USE;

#endif
