/* Fuzzes certificate revocation lists. The input is the file. */
#include "rig.h"

#include "lucca/attest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t serial[] = {2, 0, 1};
    struct attest_error err = {0};
    struct attest_crl crl;
    int64_t when;

    if (attest_crl_parse(&crl, data, size, &err) != ATTEST_OK) {
        MUST(err.code && err.text[0]);
        return 0;
    }
    MUST(crl.entries.len <= size && (crl.revoked > 0) == (crl.entries.len > 0));
    MUST(memchr(crl.issuer_cn, 0, sizeof(crl.issuer_cn)));
    MUST(!attest_crl_lists(&crl, serial, sizeof(serial), &when) || crl.revoked);
    MUST(!attest_crl_lists(&crl, serial, 0, &when));
    return 0;
}
