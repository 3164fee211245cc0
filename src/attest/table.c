/* The certificate table of an extended report, and what holds a report: the secure processor's
 * answer, Azure's HCL blob, hex and base64. */
#include "attest/internal.h"

#include <stdlib.h>

/* ---- certificate table: GHCB specification, SNP Extended Guest Request ---- */

#define ENTRY_SIZE 24u /* GUID in text order, u32 offset, u32 length */

static const struct {
    uint8_t guid[16];
    enum attest_entry_kind kind;
    const char *name;
} known[] = {
    {{0x63, 0xDA, 0x75, 0x8D, 0xE6, 0x64, 0x45, 0x64, 0xAD, 0xC5, 0xF4, 0xB9, 0x3B, 0xE8, 0xAC,
      0xCD},
     ATTEST_ENTRY_VCEK,
     "VCEK"},
    {{0xA8, 0x07, 0x4B, 0xC2, 0xA2, 0x5A, 0x48, 0x3E, 0xAA, 0xE6, 0x39, 0xC0, 0x45, 0xA0, 0xB8,
      0xA1},
     ATTEST_ENTRY_VLEK,
     "VLEK"},
    {{0x4A, 0xB7, 0xB3, 0x79, 0xBB, 0xAC, 0x4F, 0xE4, 0xA0, 0x2F, 0x05, 0xAE, 0xF3, 0x27, 0xC7,
      0x82},
     ATTEST_ENTRY_ASK,
     "ASK"},
    {{0xC0, 0xB4, 0x06, 0xA4, 0xA8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3F, 0xB6, 0x01, 0x4C, 0xD0,
      0xAE},
     ATTEST_ENTRY_ARK,
     "ARK"},
    {{0x92, 0xF8, 0x1B, 0xC3, 0x58, 0x11, 0x4D, 0x3D, 0x97, 0xFF, 0xD1, 0x9F, 0x88, 0xDC, 0x67,
      0xEA},
     ATTEST_ENTRY_CRL,
     "CRL"},
    {{0xEC, 0xAE, 0x0C, 0x0F, 0x95, 0x02, 0x43, 0xB1, 0xAF, 0xA2, 0x0A, 0xE2, 0xE0, 0xD5, 0x65,
      0xB6},
     ATTEST_ENTRY_PLATFORM,
     "platform"},
    {{0x9F, 0x41, 0x16, 0xCD, 0xC5, 0x03, 0x4F, 0x5A, 0x8F, 0x6F, 0xFB, 0x68, 0x88, 0x2F, 0x4C,
      0xE2},
     ATTEST_ENTRY_ENDORSEMENT,
     "firmware endorsement"},
};

static void name_entry(struct attest_entry *e)
{
    e->kind = ATTEST_ENTRY_OTHER;
    e->name = "other";
    for (size_t i = 0; i < COUNT(known); i++)
        if (memcmp(e->guid, known[i].guid, sizeof(e->guid)) == 0) {
            e->kind = known[i].kind;
            e->name = known[i].name;
        }
}

/* Where the index ends: after the zero entry. 0: there is none. */
static size_t index_end(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + ENTRY_SIZE <= len; at += ENTRY_SIZE)
        if (all_zero(bytes + at, ENTRY_SIZE))
            return at + ENTRY_SIZE;
    return 0;
}

enum attest_status attest_table_parse(struct attest_entry entries[ATTEST_TABLE_MAX], size_t *count,
                                      const void *bytes, size_t len, struct attest_error *err)
{
    const uint8_t *table = bytes;
    size_t end = index_end(table, MIN(len, (ATTEST_TABLE_MAX + 1) * (size_t)ENTRY_SIZE));
    size_t n = end / ENTRY_SIZE - 1;

    *count = 0;
    if (!end)
        return attest_fail(err, ATTEST_E_FORMAT, "table",
                           "the index has no zero entry at its end, or more than %u entries",
                           ATTEST_TABLE_MAX);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *at = table + i * ENTRY_SIZE;
        uint32_t offset = load32(at + 16), size = load32(at + 20);

        if (offset < end || offset > len || size > len - offset)
            return attest_fail(err, ATTEST_E_FORMAT, "table.entry",
                               "entry %zu (%u bytes at %u) leaves the table of %zu bytes, or "
                               "overlaps its index",
                               i, size, offset, len);
        memcpy(entries[i].guid, at, sizeof(entries[i].guid));
        entries[i].bytes = table + offset;
        entries[i].len = size;
        name_entry(&entries[i]);
    }
    *count = n;
    return ATTEST_OK;
}

/* ---- Azure's HCL blob ---- */

#define HCL_REPORT  0x020u
#define HCL_REQUEST 0x4C0u
#define HCL_DATA    0x4D4u

enum attest_status attest_hcl_parse(struct attest_hcl *hcl, const void *bytes, size_t len,
                                    struct attest_error *err)
{
    const uint8_t *b = bytes;
    size_t data = HCL_DATA, claims;

    *hcl = (struct attest_hcl){0};
    if (len < HCL_DATA || memcmp(b, "HCLA", 4) != 0)
        return attest_fail(err, ATTEST_E_FORMAT, "hcl", "the bytes are no HCL report");
    hcl->version = load32(b + 4);
    hcl->report_size = load32(b + 8);
    hcl->request_type = load32(b + 12);
    hcl->status = load32(b + 16);
    hcl->data_size = load32(b + HCL_REQUEST);
    hcl->request_version = load32(b + HCL_REQUEST + 4);
    hcl->report_type = load32(b + HCL_REQUEST + 8);
    hcl->hash_type = load32(b + HCL_REQUEST + 12);
    claims = load32(b + HCL_REQUEST + 16);
    if (hcl->version < 1 || hcl->version > 2)
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "hcl.version", "version %u is not known",
                           hcl->version);
    if (hcl->report_type != 2)
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "hcl.report_type",
                           "report type %u is not SEV-SNP's, which is 2", hcl->report_type);
    if (hcl->hash_type != 1)
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "hcl.hash_type",
                           "hash type %u is not SHA-256, which is 1", hcl->hash_type);
    if (hcl->request_version >= 2)
        data += 4; /* a bitmap of capabilities */
    if (data > len || claims > len - data)
        return attest_fail(err, ATTEST_E_FORMAT, "hcl.variable_data_size",
                           "%zu bytes of claims leave the blob of %zu bytes", claims, len);
    hcl->report = b + HCL_REPORT;
    hcl->claims = b + data;
    hcl->claims_len = claims;
    return ATTEST_OK;
}

/* ---- all of them ---- */

#define MSG_HEADER 32u /* MSG_REPORT_RSP: u32 status, u32 report size, 24 reserved bytes */

/* A table that stands at `at`, or nothing but zeros (the rest of a page). */
static bool table_at(struct attest_input *in, const uint8_t *b, size_t len, size_t at)
{
    struct attest_entry entries[ATTEST_TABLE_MAX];
    size_t count;

    if (len - at < ENTRY_SIZE ||
        attest_table_parse(entries, &count, b + at, len - at, NULL) != ATTEST_OK)
        return false;
    in->table = b + at;
    in->table_len = len - at;
    return true;
}

static enum attest_status open_binary(struct attest_input *in, const uint8_t *b, size_t len,
                                      struct attest_error *err)
{
    if (len >= 4 && memcmp(b, "HCLA", 4) == 0) {
        struct attest_hcl hcl;
        enum attest_status why = attest_hcl_parse(&hcl, b, len, err);

        in->wrapping = ATTEST_HCL;
        in->report = hcl.report;
        in->claims = hcl.claims;
        in->claims_len = hcl.claims_len;
        return why;
    }
    if (len >= MSG_HEADER + ATTEST_REPORT_SIZE && load32(b + 4) == ATTEST_REPORT_SIZE &&
        all_zero(b + 8, MSG_HEADER - 8)) {
        size_t end = MSG_HEADER + ATTEST_REPORT_SIZE;

        if (load32(b))
            return attest_fail(err, ATTEST_E_FORMAT, "message.status",
                               "the secure processor answered with status %Xh and no report",
                               load32(b));
        if (!all_zero(b + end, len - end))
            return attest_fail(err, ATTEST_E_FORMAT, "message",
                               "bytes that are not zero follow the report in its message");
        in->wrapping = ATTEST_MSG;
        in->report = b + MSG_HEADER;
        return ATTEST_OK;
    }
    if (len == ATTEST_REPORT_SIZE || (len > ATTEST_REPORT_SIZE && load32(b) - 2 <= 3 &&
                                      table_at(in, b, len, ATTEST_REPORT_SIZE))) {
        in->wrapping = in->table ? ATTEST_EXTENDED : ATTEST_RAW;
        in->report = b;
        return ATTEST_OK;
    }
    return attest_fail(err, ATTEST_E_FORMAT, "report",
                       "%zu bytes are no report (%u bytes), nor a report with its certificate "
                       "table, a firmware message, an HCL blob, or hex or base64 of one",
                       len, ATTEST_REPORT_SIZE);
}

static bool is_text(const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((b[i] < 0x20 && b[i] != '\n' && b[i] != '\r' && b[i] != '\t') || b[i] > 0x7E)
            return false;
    return len > 0;
}

#define INPUT_MAX (4u << 20)

enum attest_status attest_input_open(struct attest_input *in, const void *bytes, size_t len,
                                     struct attest_error *err)
{
    enum attest_status why;
    ptrdiff_t n;

    *in = (struct attest_input){.coding = "binary"};
    if (!len || len > INPUT_MAX)
        return attest_fail(err, ATTEST_E_FORMAT, "report",
                           len ? "more than 4 MiB are no report" : "it is empty");
    if (!is_text(bytes, len))
        return open_binary(in, bytes, len, err);
    in->owned = malloc(len);
    if (!in->owned)
        return NO_MEMORY(err);
    in->coding = "hex";
    n = text_hex(in->owned, len, bytes, len);
    if (n < 0) {
        in->coding = "base64";
        n = text_base64(in->owned, len, bytes, len);
    }
    why = n < 0 ? attest_fail(err, ATTEST_E_FORMAT, "report",
                              "it is text, but neither hex nor base64")
                : open_binary(in, in->owned, (size_t)n, err);
    if (why != ATTEST_OK)
        attest_input_free(in);
    return why;
}

void attest_input_free(struct attest_input *in)
{
    free(in->owned);
    *in = (struct attest_input){0};
}
