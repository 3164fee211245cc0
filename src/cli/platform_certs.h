/* lucca platform certs: what an SNP guest's owner needs to check the reports of an emulated chip.
 */
#ifndef LUCCA_CLI_PLATFORM_CERTS_H
#define LUCCA_CLI_PLATFORM_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/asp/platform.h"

struct certs_options {
    bool json;
    const char *out;  /* a directory; NULL: VCEK, ASK and ARK on standard output */
    const char *tcb;  /* "blSPL=4,teeSPL=0,snpSPL=24,ucodeSPL=219"; NULL: the committed one */
    const char *vlek; /* a provider's name, or NULL */
};

int platform_certs(const struct certs_options *o, const char *name);

/* "fmc 1, boot loader 1, TEE 1, SNP 4, microcode 81" */
#define TCB_TEXT 96u
void tcb_text(const struct chip *chip, uint64_t tcb, char out[TCB_TEXT]);
/* A TCB_VERSION's bytes in order, as reports show them: 16 hexadecimal digits. */
#define TCB_HEX 17u
void tcb_hex(uint64_t tcb, char out[TCB_HEX]);

/* cmd_platform.c: makes the directory; writes beside and renames. */
enum status make_out_directory(const char *dir, struct error *err) MUST_USE;
enum status write_out_file(const char *dir, const char *leaf, const void *bytes, size_t len,
                           struct error *err) MUST_USE;

#endif
