/* The emulated AMD: an ARK and an ASK of this user's own, made once and kept in <data>/root/.
 *
 * Binary certificates have no names in which to say that a chip is emulated. These say it by their
 * key ids, "LUCCA-EMULATED-R" and "LUCCA-EMULATED-S", and above all by not being AMD's keys: who
 * pins AMD's roots, as every verifier must, refuses whatever chains to these.
 */
#ifndef LUCCA_SILICON_ASP_ROOT_H
#define LUCCA_SILICON_ASP_ROOT_H

#include <stdint.h>

#include "base/status.h"
#include "crypto/sev_cert.h"
#include "silicon/asp/platform.h"

#define ROOT_ARK_ID "LUCCA-EMULATED-R" /* 16 bytes each */
#define ROOT_ASK_ID "LUCCA-EMULATED-S"

struct root {
    struct rsa4096_key ark, ask;
    struct amd_cert ark_cert, ask_cert;
};

/* Makes it where there is none yet: two RSA-4096 keys, some seconds. */
enum status root_open(struct root **out, struct error *err) MUST_USE;
void root_free(struct root *r);

/* What AMD's key service has for a chip: its CEK, signed by the ASK. */
enum status root_sign_cek(const struct root *r, const struct platform *p, struct sev_cert *cek,
                          struct error *err) MUST_USE;

#endif
