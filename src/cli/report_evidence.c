/* Reports inside JSON evidence:
 *
 *   {"attestation_report": {...}, "cert_chain": [...]}     Trustee's, the report decoded
 *   {"report": [...], "vcek": PEM, ...}                    Trustee's of Azure: an HCL blob
 *   {"snp-report": base64, "certs-buf": base64}            COCONUT-SVSM's
 *   {"outblob": base64, "auxblob": base64}                 Linux's configfs-tsm
 *
 * alone or as "primary_evidence" of a "tee-evidence". A decoded report is put together again; its
 * signature says whether that is the report that was signed. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "cli/report_file.h"
#include "host/vm/base64.h"

#define BLOB_MAX (1u << 20)

/* ---- bytes in JSON ------------------------------------------------------------------------------
 */

static enum status bytes_of_array(const json_t *j, struct blob *out, struct error *err)
{
    size_t n = json_array_size(j);

    if (n > BLOB_MAX)
        return fail(err, ERR_LIMIT, "an array of %zu numbers is no report or certificate", n);
    out->bytes = malloc(n ? n : 1);
    if (!out->bytes)
        return fail(err, ERR_NOMEM, "no memory for %zu bytes", n);
    out->len = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(j, i);

        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) > 255) {
            blob_free(out);
            return fail(err, ERR_FORMAT, "item %zu is no byte from 0 to 255", i);
        }
        out->bytes[i] = (uint8_t)json_integer_value(item);
    }
    return OK;
}

/* Base64 with either alphabet, with or without padding; PEM stays as it is. */
static enum status bytes_of_text(const char *text, struct blob *out, struct error *err)
{
    size_t len = strlen(text);
    char *copy = calloc(1, len + 4);
    enum status s = OK;

    if (!copy)
        return fail(err, ERR_NOMEM, "no memory for %zu bytes", len);
    memcpy(copy, text, len);
    if (strstr(text, "-----BEGIN ")) {
        *out = (struct blob){(uint8_t *)copy, len};
        return OK;
    }
    for (char *c = copy; *c; c++)
        *c = (char)(*c == '-' ? '+' : *c == '_' ? '/' : *c);
    while (len % 4 && len % 4 != 1)
        copy[len++] = '=';
    if (!base64_decode(copy, len, &out->bytes, &out->len))
        s = fail(err, ERR_FORMAT, "it is not base64");
    free(copy);
    return s;
}

static enum status bytes_of(const json_t *j, const char *name, struct blob *out, struct error *err)
{
    enum status s = json_is_array(j)    ? bytes_of_array(j, out, err)
                    : json_is_string(j) ? bytes_of_text(json_string_value(j), out, err)
                                        : fail(err, ERR_FORMAT, "bytes or base64 are needed");

    return s == OK ? OK : fail_at(err, name);
}

static enum status add_certs(const json_t *j, const char *name, bool table,
                             struct attest_certs *certs, struct error *err)
{
    struct attest_error why = {0};
    struct blob b = {0};
    enum status s;

    if (!j || json_is_null(j))
        return OK;
    s = bytes_of(j, name, &b, err);
    if (s != OK)
        return s;
    if (b.len && table)
        (void)attest_certs_add_table(certs, b.bytes, b.len, &why);
    else if (b.len)
        (void)attest_certs_add(certs, b.bytes, b.len, &why);
    blob_free(&b);
    if (why.code != ATTEST_OK)
        return fail(err, ERR_FORMAT, "%s: %s", name, why.text);
    return OK;
}

/* ---- Trustee's decoded report -------------------------------------------------------------------
 */

enum member_kind { NUMBER, BYTES, TCB, FIRMWARE };

static const struct member {
    const char *name, *older; /* as other releases call it, or NULL */
    uint16_t offset, size;
    enum member_kind kind;
    bool optional;
} members[] = {
    {"version", NULL, 0x000, 4, NUMBER, false},
    {"guest_svn", NULL, 0x004, 4, NUMBER, false},
    {"policy", NULL, 0x008, 8, NUMBER, false},
    {"family_id", NULL, 0x010, 16, BYTES, false},
    {"image_id", NULL, 0x020, 16, BYTES, false},
    {"vmpl", NULL, 0x030, 4, NUMBER, false},
    {"sig_algo", NULL, 0x034, 4, NUMBER, false},
    {"current_tcb", NULL, 0x038, 8, TCB, false},
    {"plat_info", NULL, 0x040, 8, NUMBER, false},
    {"key_info", "_author_key_en", 0x048, 4, NUMBER, false},
    {"report_data", NULL, 0x050, 64, BYTES, false},
    {"measurement", NULL, 0x090, 48, BYTES, false},
    {"host_data", NULL, 0x0C0, 32, BYTES, false},
    {"id_key_digest", NULL, 0x0E0, 48, BYTES, false},
    {"author_key_digest", NULL, 0x110, 48, BYTES, false},
    {"report_id", NULL, 0x140, 32, BYTES, false},
    {"report_id_ma", NULL, 0x160, 32, BYTES, false},
    {"reported_tcb", NULL, 0x180, 8, TCB, false},
    {"cpuid_fam_id", NULL, 0x188, 1, NUMBER, true},
    {"cpuid_mod_id", NULL, 0x189, 1, NUMBER, true},
    {"cpuid_step", NULL, 0x18A, 1, NUMBER, true},
    {"chip_id", NULL, 0x1A0, 64, BYTES, false},
    {"committed_tcb", NULL, 0x1E0, 8, TCB, false},
    {"current", NULL, 0x1E8, 3, FIRMWARE, true},
    {"current_build", NULL, 0x1E8, 1, NUMBER, true},
    {"current_minor", NULL, 0x1E9, 1, NUMBER, true},
    {"current_major", NULL, 0x1EA, 1, NUMBER, true},
    {"committed", NULL, 0x1EC, 3, FIRMWARE, true},
    {"committed_build", NULL, 0x1EC, 1, NUMBER, true},
    {"committed_minor", NULL, 0x1ED, 1, NUMBER, true},
    {"committed_major", NULL, 0x1EE, 1, NUMBER, true},
    {"launch_tcb", NULL, 0x1F0, 8, TCB, false},
    {"launch_mit_vector", NULL, 0x1F8, 8, NUMBER, true},
    {"current_mit_vector", NULL, 0x200, 8, NUMBER, true},
};

static enum status put_number(const json_t *j, uint8_t *to, size_t size, struct error *err)
{
    uint64_t most = size < 8 ? BIT(8 * size) - 1 : INT64_MAX, n;

    if (!json_is_integer(j) || json_integer_value(j) < 0 || (uint64_t)json_integer_value(j) > most)
        return fail(err, ERR_FORMAT, "a number of %zu bytes is needed", size);
    n = (uint64_t)json_integer_value(j);
    memcpy(to, &n, size);
    return OK;
}

/* Where a part stands: Milan's and Genoa's layout, or Turin's, which has an FMC. */
static enum status put_tcb(const json_t *j, uint8_t *to, struct error *err)
{
    static const struct {
        const char *name;
        int8_t milan, turin;
    } parts[] = {
        {"fmc", -1, 0}, {"bootloader", 0, 1}, {"tee", 1, 2}, {"snp", 6, 3}, {"microcode", 7, 7},
    };
    bool turin = json_is_integer(json_object_get(j, "fmc"));

    if (!json_is_object(j))
        return fail(err, ERR_FORMAT, "an object with bootloader, tee, snp and microcode is needed");
    for (size_t i = 0; i < COUNT(parts); i++) {
        int at = turin ? parts[i].turin : parts[i].milan;
        enum status s =
            at < 0 ? OK : put_number(json_object_get(j, parts[i].name), to + at, 1, err);

        if (s != OK)
            return fail_at(err, parts[i].name);
    }
    return OK;
}

static enum status put_firmware(const json_t *j, uint8_t *to, struct error *err)
{
    static const char *const names[] = {"build", "minor", "major"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (put_number(json_object_get(j, names[i]), to + i, 1, err) != OK)
            return fail_at(err, names[i]);
    return OK;
}

static enum status put_bytes(const json_t *j, uint8_t *to, size_t size, struct error *err)
{
    struct blob b = {0};
    enum status s;

    if (!json_is_array(j) && !json_is_string(j))
        return fail(err, ERR_FORMAT, "%zu bytes are needed", size);
    s = bytes_of(j, "bytes", &b, err);
    if (s == OK && b.len != size)
        s = fail(err, ERR_FORMAT, "%zu bytes are needed, and there are %zu", size, b.len);
    if (s == OK)
        memcpy(to, b.bytes, size);
    blob_free(&b);
    return s;
}

static enum status put_member(const struct member *m, const json_t *j, uint8_t *to,
                              struct error *err)
{
    switch (m->kind) {
    case NUMBER:
        return put_number(j, to, m->size, err);
    case BYTES:
        return put_bytes(j, to, m->size, err);
    case TCB:
        return put_tcb(j, to, err);
    case FIRMWARE:
        return put_firmware(j, to, err);
    }
    return OK;
}

static enum status put_signature(const json_t *j, uint8_t *raw, struct error *err)
{
    const json_t *signature = json_object_get(j, "signature");
    enum status s = put_bytes(json_object_get(signature, "r"), raw + 0x2A0, 72, err);

    if (s == OK)
        s = put_bytes(json_object_get(signature, "s"), raw + 0x2E8, 72, err);
    return s == OK ? OK : fail_at(err, "attestation_report.signature");
}

static enum status rebuild(const json_t *j, struct blob *report, struct error *err)
{
    uint8_t *raw = calloc(1, ATTEST_REPORT_SIZE);
    enum status s = OK;

    if (!raw)
        return fail(err, ERR_NOMEM, "no memory for a report");
    *report = (struct blob){raw, ATTEST_REPORT_SIZE};
    for (size_t i = 0; i < COUNT(members) && s == OK; i++) {
        const struct member *m = &members[i];
        const json_t *value = json_object_get(j, m->name);

        if (!value && m->older)
            value = json_object_get(j, m->older);
        if (m->optional && (!value || json_is_null(value)))
            continue;
        s = put_member(m, value, raw + m->offset, err);
        if (s != OK) {
            (void)fail_at(err, m->name);
            (void)fail_at(err, "attestation_report");
        }
    }
    return s == OK ? put_signature(j, raw, err) : s;
}

/* ---- all of them --------------------------------------------------------------------------------
 */

static enum status read_trustee(const json_t *j, struct blob *report, struct attest_certs *certs,
                                struct error *err)
{
    const json_t *chain = json_object_get(j, "cert_chain");
    enum status s = rebuild(json_object_get(j, "attestation_report"), report, err);

    for (size_t i = 0; i < json_array_size(chain) && s == OK; i++) {
        const json_t *entry = json_array_get(chain, i);

        if (json_is_string(json_object_get(entry, "cert_type"))) /* {"OTHER": uuid} is none */
            s = add_certs(json_object_get(entry, "data"), "cert_chain", false, certs, err);
    }
    return s;
}

enum status evidence_read(const struct blob *text, struct blob *report, struct attest_certs *certs,
                          struct error *err)
{
    static const struct {
        const char *report, *certs;
        bool table;
    } forms[] = {
        {"snp-report", "certs-buf", true},
        {"outblob", "auxblob", true},
        {"hcl_report", "vcek", false},
        {"report", "vcek", false},
    };
    json_error_t where;
    json_t *root = json_loadb((const char *)text->bytes, text->len, JSON_REJECT_DUPLICATES, &where);
    json_t *j = root, *inner;
    enum status s = ERR_FORMAT;

    if (!root)
        return fail(err, ERR_FORMAT, "it begins like JSON, but line %d: %s", where.line,
                    where.text);
    if ((inner = json_object_get(j, "tee-evidence")))
        j = inner;
    if ((inner = json_object_get(j, "primary_evidence")))
        j = inner;
    if (json_object_get(j, "attestation_report")) {
        s = read_trustee(j, report, certs, err);
    } else {
        size_t i = 0;

        while (i < COUNT(forms) && !json_object_get(j, forms[i].report))
            i++;
        if (i == COUNT(forms))
            s = fail(err, ERR_FORMAT,
                     "this JSON has none of attestation_report, hcl_report, report, snp-report and "
                     "outblob");
        else
            s = bytes_of(json_object_get(j, forms[i].report), forms[i].report, report, err);
        if (s == OK)
            s = add_certs(json_object_get(j, forms[i].certs), forms[i].certs, forms[i].table, certs,
                          err);
    }
    json_decref(root);
    if (s != OK)
        blob_free(report);
    return s;
}
