/* Paths of AMD's key distribution service (https://kdsintf.amd.com). */
#include "attest/internal.h"

#include <stdio.h>

static void add_vcek(struct line *l, enum attest_product product, const uint8_t *chip_id,
                     const struct attest_tcb *tcb)
{
    static const struct {
        const char *key;
        enum attest_tcb_part part;
    } parts[] = {
        {"fmcSPL", ATTEST_TCB_FMC}, {"blSPL", ATTEST_TCB_BOOT_LOADER},  {"teeSPL", ATTEST_TCB_TEE},
        {"snpSPL", ATTEST_TCB_SNP}, {"ucodeSPL", ATTEST_TCB_MICROCODE},
    };
    char between = '?';

    line_add(l, "/vcek/v1/%s/", attest_product_name(product));
    line_hex(l, chip_id, product == ATTEST_TURIN ? 8 : 64);
    for (size_t i = 0; i < COUNT(parts); i++)
        if (attest_tcb_has(tcb->layout, parts[i].part)) {
            line_add(l, "%c%s=%02u", between, parts[i].key, tcb->part[parts[i].part]);
            between = '&';
        }
}

enum attest_status attest_kds_path(enum attest_kds what, enum attest_product product,
                                   const uint8_t *chip_id, const struct attest_tcb *tcb, char *text,
                                   size_t size, struct attest_error *err)
{
    static const struct {
        const char *kind, *what;
    } forms[] = {
        [ATTEST_KDS_VCEK_CHAIN] = {"vcek", "cert_chain"},
        [ATTEST_KDS_VLEK_CHAIN] = {"vlek", "cert_chain"},
        [ATTEST_KDS_VCEK_CRL] = {"vcek", "crl"},
        [ATTEST_KDS_VLEK_CRL] = {"vlek", "crl"},
    };
    struct line l = {.text = text, .size = size};

    if (product == ATTEST_PRODUCT_UNKNOWN || (unsigned)what >= COUNT(forms))
        return attest_fail(err, ATTEST_E_ARG, "product",
                           "the key service is asked by product, and this one is not known");
    if (what != ATTEST_KDS_VCEK) {
        line_add(&l, "/%s/v1/%s/%s", forms[what].kind, attest_product_name(product),
                 forms[what].what);
    } else if (!chip_id || !tcb || tcb->layout != attest_layout_of(product)) {
        return attest_fail(err, ATTEST_E_ARG, "tcb", "a VCEK is asked by chip id and TCB");
    } else if (all_zero(chip_id, 64)) {
        return attest_fail(err, ATTEST_E_ARG, "report.chip_id",
                           "the chip id is masked, so no VCEK can be asked for");
    } else {
        add_vcek(&l, product, chip_id, tcb);
    }
    return l.len < size ? ATTEST_OK
                        : attest_fail(err, ATTEST_E_LIMIT, "path", "the buffer is too small");
}
