/* Products, and TCB versions in both layouts. */
#include "attest/internal.h"

#include <strings.h>

static const char *const product_names[] = {"unknown", "Milan", "Genoa", "Turin"};

const char *attest_product_name(enum attest_product product)
{
    return product_names[(unsigned)product < COUNT(product_names) ? product : 0];
}

enum attest_product attest_product_from_name(const char *name)
{
    size_t len = strcspn(name, "-");

    for (unsigned i = 1; i < COUNT(product_names); i++)
        if (len == strlen(product_names[i]) && strncasecmp(name, product_names[i], len) == 0)
            return i;
    return ATTEST_PRODUCT_UNKNOWN;
}

enum attest_product attest_product_from_cpuid(unsigned family, unsigned model)
{
    static const struct {
        uint8_t family, first, last, product;
    } rows[] = {
        {0x19, 0x00, 0x0F, ATTEST_MILAN},
        {0x19, 0x10, 0x1F, ATTEST_GENOA},
        {0x19, 0xA0, 0xAF, ATTEST_GENOA}, /* Bergamo, Siena */
        {0x1A, 0x00, 0x11, ATTEST_TURIN},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        if (family == rows[i].family && model >= rows[i].first && model <= rows[i].last)
            return rows[i].product;
    return ATTEST_PRODUCT_UNKNOWN;
}

/* CPUID 1 EAX: stepping 3:0, model 7:4, family 11:8, extended model 19:16, extended family 27:20.
 * The extended fields count where the family is Fh. */
enum attest_product attest_product_from_eax(uint32_t eax)
{
    unsigned family = eax >> 8 & 0xF, model = eax >> 4 & 0xF;

    if (family != 0xF)
        return ATTEST_PRODUCT_UNKNOWN;
    return attest_product_from_cpuid(family + (eax >> 20 & 0xFF), model | (eax >> 12 & 0xF0));
}

enum attest_layout attest_layout_of(enum attest_product product)
{
    static const uint8_t layouts[] = {ATTEST_LAYOUT_UNKNOWN, ATTEST_LAYOUT_MILAN,
                                      ATTEST_LAYOUT_MILAN, ATTEST_LAYOUT_TURIN};

    return layouts[(unsigned)product < COUNT(layouts) ? product : 0];
}

const char *attest_tcb_part_name(enum attest_tcb_part part)
{
    static const char *const names[] = {"fmc", "boot_loader", "tee", "snp", "microcode"};

    return (unsigned)part < COUNT(names) ? names[part] : "";
}

/* The byte of TCB_VERSION that holds a part; -1 where the layout has none. */
static int byte_of(enum attest_layout layout, enum attest_tcb_part part)
{
    static const int8_t bytes[][ATTEST_TCB_PARTS] = {
        [ATTEST_LAYOUT_UNKNOWN] = {-1, -1, -1, -1, -1},
        [ATTEST_LAYOUT_MILAN] = {-1, 0, 1, 6, 7},
        [ATTEST_LAYOUT_TURIN] = {0, 1, 2, 3, 7},
    };

    return (unsigned)layout < COUNT(bytes) && (unsigned)part < ATTEST_TCB_PARTS
               ? bytes[layout][part]
               : -1;
}

bool attest_tcb_has(enum attest_layout layout, enum attest_tcb_part part)
{
    return byte_of(layout, part) >= 0;
}

void attest_tcb_decode(struct attest_tcb *tcb, const uint8_t raw[8], enum attest_layout layout)
{
    *tcb = (struct attest_tcb){.layout = layout};
    memcpy(tcb->raw, raw, sizeof(tcb->raw));
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++) {
        int at = byte_of(layout, p);

        if (at >= 0)
            tcb->part[p] = raw[at];
    }
}

void tcb_encode(struct attest_tcb *tcb)
{
    memset(tcb->raw, 0, sizeof(tcb->raw));
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++) {
        int at = byte_of(tcb->layout, p);

        if (at >= 0)
            tcb->raw[at] = tcb->part[p];
    }
}

bool attest_tcb_at_most(const struct attest_tcb *a, const struct attest_tcb *b)
{
    if (a->layout != b->layout || a->layout == ATTEST_LAYOUT_UNKNOWN)
        return false;
    for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
        if (a->part[p] > b->part[p])
            return false;
    return true;
}
