/* Attestation reports: SEV-SNP firmware ABI, ATTESTATION_REPORT. */
#include "attest/internal.h"

#include <stdio.h>

#define VERSION_FIRST 2u
#define VERSION_LAST  5u

enum {
    AT_VERSION = 0x000,
    AT_GUEST_SVN = 0x004,
    AT_POLICY = 0x008,
    AT_FAMILY_ID = 0x010,
    AT_IMAGE_ID = 0x020,
    AT_VMPL = 0x030,
    AT_SIGNATURE_ALGO = 0x034,
    AT_CURRENT_TCB = 0x038,
    AT_PLATFORM_INFO = 0x040,
    AT_KEY_INFO = 0x048,
    AT_REPORT_DATA = 0x050,
    AT_MEASUREMENT = 0x090,
    AT_HOST_DATA = 0x0C0,
    AT_ID_KEY_DIGEST = 0x0E0,
    AT_AUTHOR_KEY_DIGEST = 0x110,
    AT_REPORT_ID = 0x140,
    AT_REPORT_ID_MA = 0x160,
    AT_REPORTED_TCB = 0x180,
    AT_CPUID = 0x188, /* family, model, stepping: version 3 */
    AT_CHIP_ID = 0x1A0,
    AT_COMMITTED_TCB = 0x1E0,
    AT_CURRENT = 0x1E8, /* build, minor, major */
    AT_COMMITTED = 0x1EC,
    AT_LAUNCH_TCB = 0x1F0,
    AT_LAUNCH_MIT = 0x1F8, /* version 5 */
    AT_CURRENT_MIT = 0x200,
    AT_SIGNATURE = 0x2A0, /* R and S, 72 bytes each, little-endian */
};
static_assert(AT_SIGNATURE + 0x200 == ATTEST_REPORT_SIZE, "the signature is the last field");

static void take_firmware(struct attest_firmware *f, const uint8_t *raw)
{
    *f = (struct attest_firmware){.build = raw[0], .minor = raw[1], .major = raw[2]};
}

static void take_scalar(uint8_t out[48], const uint8_t *raw)
{
    for (unsigned i = 0; i < 48; i++)
        out[i] = raw[47 - i];
}

static void take_fields(struct attest_report *r)
{
    const uint8_t *raw = r->raw;

    r->version = load32(raw + AT_VERSION);
    r->guest_svn = load32(raw + AT_GUEST_SVN);
    r->policy = load64(raw + AT_POLICY);
    memcpy(r->family_id, raw + AT_FAMILY_ID, sizeof(r->family_id));
    memcpy(r->image_id, raw + AT_IMAGE_ID, sizeof(r->image_id));
    r->vmpl = load32(raw + AT_VMPL);
    r->signature_algo = load32(raw + AT_SIGNATURE_ALGO);
    r->platform_info = load64(raw + AT_PLATFORM_INFO);
    r->key_info = load32(raw + AT_KEY_INFO);
    r->author_key_en = r->key_info & 1;
    r->mask_chip_key = r->key_info >> 1 & 1;
    r->signing_key = r->key_info >> 2 & 7;
    memcpy(r->report_data, raw + AT_REPORT_DATA, sizeof(r->report_data));
    memcpy(r->measurement, raw + AT_MEASUREMENT, sizeof(r->measurement));
    memcpy(r->host_data, raw + AT_HOST_DATA, sizeof(r->host_data));
    memcpy(r->id_key_digest, raw + AT_ID_KEY_DIGEST, sizeof(r->id_key_digest));
    memcpy(r->author_key_digest, raw + AT_AUTHOR_KEY_DIGEST, sizeof(r->author_key_digest));
    memcpy(r->report_id, raw + AT_REPORT_ID, sizeof(r->report_id));
    memcpy(r->report_id_ma, raw + AT_REPORT_ID_MA, sizeof(r->report_id_ma));
    memcpy(r->chip_id, raw + AT_CHIP_ID, sizeof(r->chip_id));
    r->chip_id_masked = all_zero(r->chip_id, sizeof(r->chip_id));
    take_firmware(&r->current, raw + AT_CURRENT);
    take_firmware(&r->committed, raw + AT_COMMITTED);
    r->has_cpuid = r->version >= 3;
    if (r->has_cpuid) {
        r->cpuid_family = raw[AT_CPUID];
        r->cpuid_model = raw[AT_CPUID + 1];
        r->cpuid_stepping = raw[AT_CPUID + 2];
    }
    r->has_mitigations = r->version >= 5;
    if (r->has_mitigations) {
        r->launch_mit_vector = load64(raw + AT_LAUNCH_MIT);
        r->current_mit_vector = load64(raw + AT_CURRENT_MIT);
    }
    take_scalar(r->signature_r, raw + AT_SIGNATURE);
    take_scalar(r->signature_s, raw + AT_SIGNATURE + 72);
}

static void take_tcbs(struct attest_report *r)
{
    attest_tcb_decode(&r->current_tcb, r->raw + AT_CURRENT_TCB, r->layout);
    attest_tcb_decode(&r->reported_tcb, r->raw + AT_REPORTED_TCB, r->layout);
    attest_tcb_decode(&r->committed_tcb, r->raw + AT_COMMITTED_TCB, r->layout);
    attest_tcb_decode(&r->launch_tcb, r->raw + AT_LAUNCH_TCB, r->layout);
}

/* Version 3 says what it runs on. Version 2 does not, but an id longer than 8 bytes is no Turin's,
 * and Milan and Genoa have one layout. */
static enum attest_status find_product(struct attest_report *r, enum attest_product hint,
                                       struct attest_error *err)
{
    bool long_id = !all_zero(r->chip_id + 8, sizeof(r->chip_id) - 8);

    r->product = hint;
    r->layout = attest_layout_of(hint);
    if (r->has_cpuid) {
        r->product = attest_product_from_cpuid(r->cpuid_family, r->cpuid_model);
        r->layout = attest_layout_of(r->product);
        if (r->product == ATTEST_PRODUCT_UNKNOWN)
            return attest_fail(err, ATTEST_E_UNSUPPORTED, "report.cpuid",
                               "family %02Xh model %02Xh is no product whose TCB layout is known",
                               r->cpuid_family, r->cpuid_model);
        if (hint != ATTEST_PRODUCT_UNKNOWN && hint != r->product)
            return attest_fail(err, ATTEST_E_ARG, "report.cpuid",
                               "the report is of a %s, and a %s was asked for",
                               attest_product_name(r->product), attest_product_name(hint));
    } else if (long_id && r->layout == ATTEST_LAYOUT_TURIN) {
        return attest_fail(err, ATTEST_E_ARG, "report.chip_id",
                           "the chip id has more than 8 bytes, so the chip is no Turin");
    } else if (long_id) {
        r->layout = ATTEST_LAYOUT_MILAN;
    }
    return ATTEST_OK;
}

enum attest_status attest_report_parse(struct attest_report *report, const void *bytes, size_t len,
                                       enum attest_product hint, struct attest_error *err)
{
    enum attest_status why;
    uint32_t version;

    if (len != ATTEST_REPORT_SIZE)
        return attest_fail(err, ATTEST_E_FORMAT, "report", "it has %zu bytes; a report has %u", len,
                           ATTEST_REPORT_SIZE);
    version = load32(bytes);
    if (version < VERSION_FIRST || version > VERSION_LAST)
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "report.version",
                           "version %u is not known; %u to %u are", version, VERSION_FIRST,
                           VERSION_LAST);
    *report = (struct attest_report){0};
    memcpy(report->raw, bytes, sizeof(report->raw));
    take_fields(report);
    why = find_product(report, hint, err);
    take_tcbs(report);
    return why;
}

void report_set_product(struct attest_report *r, enum attest_product product)
{
    r->product = product;
    r->layout = attest_layout_of(product);
    take_tcbs(r);
}

/* ---- what the format asks ---- */

static bool tcb_reserved_zero(const struct attest_tcb *tcb)
{
    static const uint8_t reserved[][8] = {
        [ATTEST_LAYOUT_UNKNOWN] = {0},
        [ATTEST_LAYOUT_MILAN] = {0, 0, 1, 1, 1, 1, 0, 0},
        [ATTEST_LAYOUT_TURIN] = {0, 0, 0, 0, 1, 1, 1, 0},
    };

    for (unsigned i = 0; i < 8; i++)
        if (reserved[tcb->layout][i] && tcb->raw[i])
            return false;
    return tcb->layout != ATTEST_LAYOUT_UNKNOWN;
}

static void judge_tcb(struct judge *j, const struct attest_report *r)
{
    const struct attest_tcb *all[] = {&r->current_tcb, &r->reported_tcb, &r->committed_tcb,
                                      &r->launch_tcb};
    static const char *const names[] = {"CURRENT_TCB", "REPORTED_TCB", "COMMITTED_TCB",
                                        "LAUNCH_TCB"};

    for (unsigned i = 0; i < COUNT(all); i++)
        if (!tcb_reserved_zero(all[i])) {
            char raw[17];
            struct line l = LINE_OVER(raw);

            line_hex(&l, all[i]->raw, 8);
            FAIL(j, TCB_RESERVED, "zero", "%s is %s%s", names[i], raw,
                 r->layout == ATTEST_LAYOUT_UNKNOWN ? ", of a product that is not known" : "");
            return;
        }
    PASS(j, TCB_RESERVED, "zero", "zero");
}

static void judge_reserved(struct judge *j, const struct attest_report *r)
{
    static const struct {
        uint16_t first, end;
        uint8_t before; /* the version that gave it a meaning; 0: none did */
    } rows[] = {
        {0x04C, 0x050, 0}, {0x188, 0x18B, 3}, {0x18B, 0x1A0, 0}, {0x1EB, 0x1EC, 0},
        {0x1EF, 0x1F0, 0}, {0x1F8, 0x208, 5}, {0x208, 0x2A0, 0},
    };

    for (unsigned i = 0; i < COUNT(rows); i++) {
        unsigned at = rows[i].first;

        if (rows[i].before && r->version >= rows[i].before)
            continue;
        while (at < rows[i].end && !r->raw[at])
            at++;
        if (at < rows[i].end) {
            FAIL(j, RESERVED, "zero", "byte %03Xh is %02Xh", at, r->raw[at]);
            return;
        }
    }
    PASS(j, RESERVED, "zero", "zero");
}

static void judge_signature(struct judge *j, const struct attest_report *r)
{
    const uint8_t *raw = r->raw + AT_SIGNATURE;
    const char *wrong = NULL;

    if (!all_zero(raw + 48, 24) || !all_zero(raw + 72 + 48, 24))
        wrong = "a number of more than 48 bytes";
    else if (!all_zero(raw + 144, 0x200 - 144))
        wrong = "bytes after R and S that are not zero";
    else if (all_zero(r->signature_r, 48) || all_zero(r->signature_s, 48))
        wrong = "R or S is zero";
    else if (!key_scalar_in_range(r->signature_r) || !key_scalar_in_range(r->signature_s))
        wrong = "R or S is not below the order of P-384";
    DECIDE(j, !wrong, SCALARS, "1 <= R, S < n, then zeros", "%s", wrong ? wrong : "as expected");
}

void report_judge(struct judge *j)
{
    const struct attest_report *r = &j->result->report;

    DECIDE(j, r->signature_algo == 1, ALGORITHM, "1", "%u", r->signature_algo);
    DECIDE(j, (r->policy & BIT(17)) && !(r->policy >> 26), POLICY_BITS, "bit 17 set, 63:26 clear",
           "%llXh", (unsigned long long)r->policy);
    DECIDE(j, !(r->key_info >> 5) && r->signing_key <= ATTEST_KEY_VLEK, KEY_INFO,
           "VCEK or VLEK, 31:5 clear", "%Xh: %s", r->key_info,
           r->signing_key == ATTEST_KEY_VCEK   ? "VCEK"
           : r->signing_key == ATTEST_KEY_VLEK ? "VLEK"
           : r->signing_key == ATTEST_KEY_NONE ? "not signed"
                                               : "a reserved key");
    judge_reserved(j, r);
    DECIDE(j, !(r->platform_info >> 8), PLATFORM_INFO, "63:8 clear", "%llXh",
           (unsigned long long)r->platform_info);
    judge_signature(j, r);
}

/* Once the product is known for certain. */
void report_judge_tcb(struct judge *j)
{
    const struct attest_report *r = &j->result->report;
    char text[ATTEST_TEXT_MAX];
    struct line l = LINE_OVER(text);

    judge_tcb(j, r);
    line_add(&l, "reported ");
    line_tcb(&l, &r->reported_tcb);
    line_add(&l, "; committed ");
    line_tcb(&l, &r->committed_tcb);
    line_add(&l, "; current ");
    line_tcb(&l, &r->current_tcb);
    DECIDE(j,
           attest_tcb_at_most(&r->reported_tcb, &r->committed_tcb) &&
               attest_tcb_at_most(&r->committed_tcb, &r->current_tcb),
           TCB_ORDER, "reported <= committed <= current", "%s", text);
}
