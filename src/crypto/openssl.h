/* libcrypto's headers, beside ours: <openssl/types.h> names a type ERR_STATE, and so does one of
 * our status codes. Include this instead of <openssl/...> where base/status.h comes too. */
#ifndef LUCCA_CRYPTO_OPENSSL_H
#define LUCCA_CRYPTO_OPENSSL_H

#define ERR_STATE openssl_err_state
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
