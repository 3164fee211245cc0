/* What the chain's judge asks of the trust. */
#ifndef LUCCA_ATTEST_TRUST_H
#define LUCCA_ATTEST_TRUST_H

#include "attest/internal.h"

/* The key is one of AMD's ARKs. */
bool trust_amd(const struct attest_cert *root);
/* The user named the root. */
bool trust_added(const struct attest_trust *trust, const struct attest_cert *root);
/* Any root that says EMULATED will do. */
bool trust_any_emulated(const struct attest_trust *trust);

#endif
