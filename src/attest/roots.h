/* AMD's certificates that come with the library, in DER; made from roots/ by embed.py. */
#ifndef LUCCA_ATTEST_ROOTS_H
#define LUCCA_ATTEST_ROOTS_H

#include "lucca/attest.h"

extern const struct attest_span attest_roots[];
extern const size_t attest_roots_count;

#endif
