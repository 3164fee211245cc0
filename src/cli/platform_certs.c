/* The X.509 certificates of an emulated chip; see platform_certs.h. */
#include "cli/platform_certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "silicon/asp/x509.h"

#define PEM_MAX (2 * X509_DER_MAX)

/* ---- TCBs in words --------------------------------------------------------------------------- */

static const struct {
    const char *word, *key; /* `key` as AMD's key service has it */
} parts[TCB_PARTS] = {[TCB_FMC] = {"FMC", "fmcSPL"},
                      [TCB_BOOTLOADER] = {"boot loader", "blSPL"},
                      [TCB_TEE] = {"TEE", "teeSPL"},
                      [TCB_SNP] = {"SNP", "snpSPL"},
                      [TCB_MICROCODE] = {"microcode", "ucodeSPL"}};

void tcb_text(const struct chip *chip, uint64_t tcb, char out[TCB_TEXT])
{
    size_t n = 0;

    *out = 0;
    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        if (tcb_place(chip, p) >= 0)
            n += (size_t)snprintf(out + n, TCB_TEXT - n, "%s%s %u", n ? ", " : "", parts[p].word,
                                  tcb_get(chip, tcb, p));
}

void tcb_hex(uint64_t tcb, char out[TCB_HEX])
{
    for (unsigned i = 0; i < TCB_BYTES; i++)
        snprintf(out + (size_t)2 * i, 3, "%02x", (unsigned)(tcb >> (8 * i)) & 0xFF);
}

/* One "blSPL=4" of `len` characters. */
static bool take_part(const struct chip *chip, const char *text, size_t len, uint64_t *tcb)
{
    for (enum tcb_part p = 0; p < TCB_PARTS; p++) {
        size_t n = strlen(parts[p].key);
        unsigned level = 0;

        if (tcb_place(chip, p) < 0 || len < n + 2 || len > n + 4 || text[n] != '=' ||
            strncmp(text, parts[p].key, n) != 0)
            continue;
        for (const char *c = text + n + 1; c < text + len; c++) {
            if (*c < '0' || *c > '9')
                return false;
            level = level * 10 + (unsigned)(*c - '0');
        }
        *tcb = tcb_set(chip, *tcb, p, (uint8_t)level);
        return level <= 0xFF;
    }
    return false;
}

/* What is not named stays as `tcb` has it. */
static enum status parse_tcb(const struct chip *chip, const char *text, uint64_t *tcb,
                             struct error *err)
{
    const char *all = text;

    while (text && *text) {
        size_t len = strcspn(text, ",");

        if (!take_part(chip, text, len, tcb))
            return fail(err, ERR_ARG,
                        "--tcb %.100s: '%.*s' is no part of a TCB of %s from 0 to 255, such as "
                        "snpSPL=%u",
                        all, (int)MIN(len, 40), text, chip->name, tcb_get(chip, *tcb, TCB_SNP));
        text += len + (text[len] == ',');
    }
    return OK;
}

/* ---- the files ------------------------------------------------------------------------------- */

/* What was written, for whoever asked. */
struct output {
    const char *dir;
    json_t *list; /* NULL: for people */
};

static enum status put(const struct output *out, const char *leaf, const void *bytes, size_t len,
                       const char *what, struct error *err)
{
    enum status s = write_out_file(out->dir, leaf, bytes, len, err);

    if (s == OK && out->list)
        json_object_set_new(out->list, leaf, json_string(what));
    else if (s == OK)
        printf("%-16s %s\n", leaf, what);
    return s;
}

static enum status put_pem(const struct output *out, const char *leaf, const struct x509_der *first,
                           const struct x509_der *second, const char *what, struct error *err)
{
    char text[2 * PEM_MAX];
    size_t n = x509_pem(first, "CERTIFICATE", text, sizeof(text)), m = 0;

    if (n && second)
        m = x509_pem(second, "CERTIFICATE", text + n, sizeof(text) - n);
    if (!n || (second && !m))
        return fail(err, ERR_NOMEM, "no memory for %s", leaf);
    return put(out, leaf, text, n + m, what, err);
}

struct chain {
    const struct snp_root *root;
    const struct platform *platform;
    uint64_t tcb;
    struct x509_der vcek;
};

/* ---- the table of extended reports (GHCB 2.03, 4.1.8.1) ----------------------------------------
 */

#define GUID_BYTES 16u
static const uint8_t guid_vcek[GUID_BYTES] = {0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
                                              0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd};
static const uint8_t guid_vlek[GUID_BYTES] = {0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e,
                                              0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1};
/* The ASK, or the ASVK. */
static const uint8_t guid_ask[GUID_BYTES] = {0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4,
                                             0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82};
static const uint8_t guid_ark[GUID_BYTES] = {0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52,
                                             0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae};

struct row {
    uint8_t guid[GUID_BYTES];
    uint32_t offset, len; /* of a certificate, from the table's beginning */
};
static_assert(sizeof(struct row) == 0x18, "GHCB 2.03, 4.1.8.1");

#define TABLE_CERTS 3u

struct table {
    struct row rows[TABLE_CERTS + 1]; /* the last one zeros */
    uint8_t bytes[TABLE_CERTS * X509_DER_MAX];
};

static void add_row(struct table *t, unsigned i, const uint8_t guid[GUID_BYTES],
                    const struct x509_der *cert)
{
    uint32_t at = i ? t->rows[i - 1].offset + t->rows[i - 1].len : (uint32_t)sizeof(t->rows);

    memcpy(t->rows[i].guid, guid, GUID_BYTES);
    t->rows[i].offset = at;
    t->rows[i].len = (uint32_t)cert->len;
    memcpy((uint8_t *)t + at, cert->der, cert->len);
}

/* `leaf`: a VCEK or a VLEK, then what signed it, and the ARK. */
static enum status put_table(const struct output *out, const struct chain *c,
                             const struct x509_der *leaf, bool vlek, struct error *err)
{
    struct table t = {0};
    const struct row *last = &t.rows[TABLE_CERTS - 1];

    add_row(&t, 0, vlek ? guid_vlek : guid_vcek, leaf);
    add_row(&t, 1, guid_ask, &c->root->cert[vlek ? SNP_ASVK : SNP_ASK]);
    add_row(&t, 2, guid_ark, &c->root->cert[SNP_ARK]);
    return put(out, vlek ? "vlek-certs.bin" : "certs.bin", &t, last->offset + last->len,
               vlek ? "VLEK, ASVK and ARK, for lucca run --certs"
                    : "VCEK, ASK and ARK, for lucca run --certs",
               err);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static enum status put_vlek(const struct output *out, const struct chain *c, const char *csp,
                            struct error *err)
{
    struct x509_der vlek;
    struct snp_vlek wrapped;
    enum status s = snp_certify_vlek(c->root, csp, c->tcb, &vlek, err);

    if (s == OK)
        s = snp_wrap_vlek(c->root, csp, c->platform, c->tcb, &wrapped, err);
    if (s == OK)
        s = put_pem(out, "vlek.pem", &vlek, NULL, "VLEK, signed by the ASVK", err);
    if (s == OK)
        s = put(out, "vlek.bin", &wrapped, sizeof(wrapped), "its hashes, for VLEK_LOAD", err);
    if (s == OK)
        s = put_table(out, c, &vlek, true, err);
    return s;
}

static enum status put_all(const struct output *out, const struct chain *c, const char *csp,
                           struct error *err)
{
    const struct x509_der *cert = c->root->cert;
    struct x509_der crl;
    enum status s = snp_revocations(c->root, &crl, err);

    if (s == OK)
        s = make_out_directory(out->dir, err);
    if (s == OK)
        s = put_pem(out, "ark.pem", &cert[SNP_ARK], NULL, "ARK, self-signed: EMULATED, not AMD's",
                    err);
    if (s == OK)
        s = put_pem(out, "ask.pem", &cert[SNP_ASK], NULL, "ASK, signed by the ARK", err);
    if (s == OK)
        s = put_pem(out, "asvk.pem", &cert[SNP_ASVK], NULL, "ASVK, signed by the ARK", err);
    if (s == OK)
        s = put_pem(out, "cert_chain.pem", &cert[SNP_ASK], &cert[SNP_ARK], "ASK and ARK", err);
    if (s == OK)
        s = put_pem(out, "vcek.pem", &c->vcek, NULL, "VCEK, signed by the ASK", err);
    if (s == OK)
        s = put_table(out, c, &c->vcek, false, err);
    if (s == OK)
        s = put(out, "crl.der", crl.der, crl.len, "revocation list, signed by the ARK", err);
    if (s == OK && csp)
        s = put_vlek(out, c, csp, err);
    return s;
}

static enum status print_chain(const struct chain *c, struct error *err)
{
    const struct x509_der *all[] = {&c->vcek, &c->root->cert[SNP_ASK], &c->root->cert[SNP_ARK]};
    char text[PEM_MAX];

    for (size_t i = 0; i < COUNT(all); i++) {
        if (!x509_pem(all[i], "CERTIFICATE", text, sizeof(text)))
            return fail(err, ERR_NOMEM, "no memory for a certificate");
        fputs(text, stdout);
    }
    return OK;
}

/* ---- the verb -------------------------------------------------------------------------------- */

static enum status write_all(const struct certs_options *o, const struct chain *c,
                             struct error *err)
{
    const struct output out = {.dir = o->out, .list = o->json ? json_object() : NULL};
    char hex[TCB_HEX], text[TCB_TEXT], *said;
    enum status s = put_all(&out, c, o->vlek, err);
    json_t *j;

    tcb_hex(c->tcb, hex);
    tcb_text(c->platform->chip, c->tcb, text);
    if (s == OK && !o->json)
        printf("in %s, for TCB %s: %s\n", o->out, hex, text);
    if (!o->json)
        return s;
    j = json_pack("{s:s, s:s, s:o, s:b}", "directory", o->out, "tcb", hex, "files", out.list,
                  "emulated", 1);
    said = s == OK && j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    if (s == OK && !said)
        return fail(err, ERR_NOMEM, "no memory for JSON");
    if (said)
        printf("%s\n", said);
    free(said);
    return s;
}

static enum status check_options(const struct certs_options *o, struct error *err)
{
    if (o->vlek && !o->out)
        return fail(err, ERR_ARG, "--vlek writes two files more: say where with --out DIR");
    if (o->json && !o->out)
        return fail(err, ERR_ARG, "--json lists the files that --out DIR writes: give both");
    return OK;
}

int platform_certs(const struct certs_options *o, const char *name)
{
    struct platform *p = NULL;
    struct snp_root *root = NULL;
    struct chain c = {0};
    struct error err;
    enum status s = check_options(o, &err);

    if (s == OK)
        s = platform_load(name, &p, &err);
    if (s == OK) {
        c.platform = p;
        c.tcb = p->versions.committed.tcb;
        s = parse_tcb(p->chip, o->tcb, &c.tcb, &err);
    }
    if (s == OK)
        s = snp_root_open(p->chip, &root, &err);
    c.root = root;
    if (s == OK)
        s = snp_certify_vcek(root, p, c.tcb, &c.vcek, &err);
    if (s == OK)
        s = o->out ? write_all(o, &c, &err) : print_chain(&c, &err);
    snp_root_free(root);
    platform_free(p);
    if (s == OK)
        return EXIT_OK;
    fprintf(stderr, "lucca: %s\n", err.text);
    return EXIT_ERROR;
}
