/* Base64 (RFC 4648, 4), as certificates and secrets travel in files and QMP. */
#ifndef LUCCA_HOST_VM_BASE64_H
#define LUCCA_HOST_VM_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes `len` characters; white space is skipped. `*out` is malloc'ed. False: not base64, or no
 * memory. */
bool base64_decode(const char *text, size_t len, uint8_t **out, size_t *out_len);
/* malloc'ed, with a final NUL; NULL: no memory. */
char *base64_encode(const void *bytes, size_t len);

#endif
