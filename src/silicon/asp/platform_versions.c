/* Which firmware a chip has, over power cycles: snp.json.
 *
 *     {"format": "lucca-snp", "version": 1,
 *      "current":   {"tcb": "04000000000018db", "firmware": "1.55.3"},
 *      "committed": {"tcb": "04000000000018db", "firmware": "1.55.3"}}
 *
 * A TCB is written as its bytes in order, as reports show them. */
#include "silicon/asp/platform_versions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "silicon/asp/files.h"

#define FORMAT  "lucca-snp"
#define VERSION 1

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *firmware_json(const struct snp_firmware *fw)
{
    char tcb[2 * TCB_BYTES + 1], version[16];

    for (unsigned i = 0; i < TCB_BYTES; i++)
        snprintf(tcb + (size_t)2 * i, 3, "%02x", (unsigned)(fw->tcb >> (8 * i)) & 0xFF);
    snprintf(version, sizeof(version), "%u.%u.%u", fw->major, fw->minor, fw->build);
    return json_pack("{s:s, s:s}", "tcb", tcb, "firmware", version);
}

enum status platform_versions_store(struct platform *p, const struct snp_versions *v,
                                    struct error *err)
{
    json_t *o;
    char *text;
    enum status why = OK;

    if (*p->dir) {
        o = json_pack("{s:s, s:i, s:o, s:o}", "format", FORMAT, "version", VERSION, "current",
                      firmware_json(&v->current), "committed", firmware_json(&v->committed));
        text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
        json_decref(o);
        why = text ? file_write(p->dir, SNP_FILE, text, strlen(text), err)
                   : fail(err, ERR_NOMEM, "no memory for %s", SNP_FILE);
        free(text);
    }
    if (why == OK)
        p->versions = *v;
    return why;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take_tcb(const struct chip *chip, const char *text, uint64_t *tcb)
{
    *tcb = 0;
    if (strlen(text) != (size_t)2 * TCB_BYTES ||
        strspn(text, "0123456789abcdef") != (size_t)2 * TCB_BYTES)
        return false;
    for (unsigned i = 0; i < TCB_BYTES; i++) {
        const char byte[3] = {text[2 * i], text[2 * i + 1]};

        *tcb |= (uint64_t)strtoul(byte, NULL, 16) << (8 * i);
    }
    return tcb_well_formed(chip, *tcb);
}

static bool take_firmware(const struct chip *chip, const json_t *o, struct snp_firmware *fw)
{
    const char *tcb, *version;
    unsigned major, minor, build;
    char more;

    if (json_unpack((json_t *)o, "{s:s, s:s}", "tcb", &tcb, "firmware", &version) ||
        sscanf(version, "%3u.%3u.%3u%c", &major, &minor, &build, &more) != 3 ||
        MAX(major, MAX(minor, build)) > 0xFF)
        return false;
    fw->major = (uint8_t)major;
    fw->minor = (uint8_t)minor;
    fw->build = (uint8_t)build;
    return take_tcb(chip, tcb, &fw->tcb);
}

static bool take(const struct chip *chip, const json_t *o, struct snp_versions *v)
{
    const char *format;
    int version;
    json_t *current, *committed;

    return !json_unpack((json_t *)o, "{s:s, s:i, s:o, s:o}", "format", &format, "version", &version,
                        "current", &current, "committed", &committed) &&
           !strcmp(format, FORMAT) && version == VERSION &&
           take_firmware(chip, current, &v->current) &&
           take_firmware(chip, committed, &v->committed) &&
           tcb_within(chip, v->committed.tcb, v->current.tcb);
}

enum status platform_versions_load(struct platform *p, struct error *err)
{
    char text[1024];
    struct snp_versions v;
    size_t len;
    bool found, good;
    json_t *o;
    enum status why = file_read(p->dir, SNP_FILE, text, sizeof(text), &len, &found, err);

    p->versions = snp_versions_default(p->chip);
    if (why != OK || !found)
        return why;
    o = json_loadb(text, len, 0, NULL);
    good = o && take(p->chip, o, &v);
    json_decref(o);
    if (!good)
        return fail(err, ERR_FORMAT,
                    "%s/%s does not say which firmware the chip has; remove it to go back to the "
                    "first",
                    p->dir, SNP_FILE);
    p->versions = v;
    return OK;
}
