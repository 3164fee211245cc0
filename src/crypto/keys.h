/* Keys as libcrypto has them; between the files of this folder. The caller frees; NULL: no such
 * key, or no memory. */
#ifndef LUCCA_CRYPTO_KEYS_H
#define LUCCA_CRYPTO_KEYS_H

#include "crypto/ecc.h"
#include "crypto/openssl.h"
#include "crypto/rsa.h"

EVP_PKEY *rsa4096_public_pkey(const struct rsa4096_public *pub);
EVP_PKEY *rsa4096_private_pkey(const struct rsa4096_key *key);
EVP_PKEY *p384_public_pkey(const struct p384_public *pub);

#endif
