/* What AMD's key service answers; see kds.h.
 *
 *     /vcek/v1/{Milan,Genoa,Turin}/cert_chain          PEM: ASK, ARK
 *     /vlek/v1/{Milan,Genoa,Turin}/cert_chain          PEM: ASVK, ARK
 *     /{vcek,vlek}/v1/{Milan,Genoa,Turin}/crl          DER
 *     /vcek/v1/{Milan,Genoa,Turin}/{hwid}?blSPL=..&..  DER; a hwid has 128 hexadecimal digits, 16
 *                                                      on Turin
 *     /vlek/v1/{Milan,Genoa,Turin}/cert?blSPL=..&..    DER
 */
#include "cli/kds.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "silicon/asp/platform.h"

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_PEM  "application/x-pem-file"
#define TYPE_CERT "application/pkix-cert"
#define TYPE_CRL  "application/pkix-crl"

static void refuse(struct kds_reply *r, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct kds_reply *r, unsigned status, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(r->body, sizeof(r->body) - 1, fmt, args);
    va_end(args);
    r->len = (size_t)MAX(0, MIN(n, (int)sizeof(r->body) - 2));
    r->body[r->len++] = '\n';
    r->status = status;
    r->type = TYPE_TEXT;
}

static void give(struct kds_reply *r, const char *type, const void *bytes, size_t len)
{
    memcpy(r->body, bytes, len);
    r->len = len;
    r->type = type;
    r->status = 200;
}
static_assert(X509_DER_MAX <= KDS_BODY_MAX, "a certificate fits a reply");

void kds_free(struct kds *k)
{
    for (size_t i = 0; i < CHIPS; i++)
        snp_root_free(k->roots[i]);
    memset(k->roots, 0, sizeof(k->roots));
}

/* ---- the path -------------------------------------------------------------------------------- */

struct target {
    bool vlek;
    const struct chip *chip;
    char leaf[2 * SEV_ID_BYTES + 1];
};

static const struct chip *chip_of_line(const char *line, size_t len)
{
    for (enum chip_id id = 0; id < CHIPS; id++) {
        const char *name = snp_product_line(chip_by_id(id));

        if (name && strlen(name) == len && !memcmp(name, line, len))
            return chip_by_id(id);
    }
    return NULL;
}

static bool parse_path(const char *path, struct target *t, struct kds_reply *r)
{
    const char *line = path + strlen("/vcek/v1/"), *slash;
    bool vcek = !strncmp(path, "/vcek/v1/", strlen("/vcek/v1/"));

    t->vlek = !strncmp(path, "/vlek/v1/", strlen("/vlek/v1/"));
    slash = vcek || t->vlek ? strchr(line, '/') : NULL;
    if (!slash) {
        refuse(r, 404, "no such path; there are /vcek/v1/PRODUCT/.. and /vlek/v1/PRODUCT/..");
        return false;
    }
    t->chip = chip_of_line(line, (size_t)(slash - line));
    if (!t->chip) {
        refuse(r, 404, "no such product; there are Milan, Genoa and Turin");
        return false;
    }
    if (strlen(slash + 1) >= sizeof(t->leaf)) {
        refuse(r, 404, "no such path; a chip id of %s has %u hexadecimal digits",
               snp_product_line(t->chip), t->chip->id >= CHIP_TURIN ? 16 : 128);
        return false;
    }
    snprintf(t->leaf, sizeof(t->leaf), "%s", slash + 1);
    return true;
}

/* ---- the query: a TCB ------------------------------------------------------------------------ */

static const char *const spl_names[TCB_PARTS] = {[TCB_FMC] = "fmcSPL",
                                                 [TCB_BOOTLOADER] = "blSPL",
                                                 [TCB_TEE] = "teeSPL",
                                                 [TCB_SNP] = "snpSPL",
                                                 [TCB_MICROCODE] = "ucodeSPL"};

static bool parse_level(const char *text, uint8_t *level)
{
    unsigned value = 0;
    size_t n = strspn(text, "0123456789");

    if (!n || n > 3 || text[n])
        return false;
    while (*text)
        value = value * 10 + (unsigned)(*text++ - '0');
    *level = (uint8_t)value;
    return value <= 0xFF;
}

static bool take_argument(const struct chip *chip, const struct kds_argument *a, uint64_t *tcb,
                          unsigned *seen, struct kds_reply *r)
{
    for (enum tcb_part p = 0; p < TCB_PARTS; p++) {
        uint8_t level;

        if (strcmp(a->name, spl_names[p]) != 0 || tcb_place(chip, p) < 0)
            continue;
        if (*seen & 1u << p)
            refuse(r, 400, "%s is there twice", spl_names[p]);
        else if (!parse_level(a->value, &level))
            refuse(r, 400, "%s must be a number from 0 to 255", spl_names[p]);
        else {
            *seen |= 1u << p;
            *tcb = tcb_set(chip, *tcb, p, level);
            return true;
        }
        return false;
    }
    refuse(r, 400, "'%.40s' is no part of a TCB of %s", a->name, snp_product_line(chip));
    return false;
}

static bool parse_tcb(const struct chip *chip, const struct kds_request *q, uint64_t *tcb,
                      struct kds_reply *r)
{
    unsigned seen = 0;

    *tcb = 0;
    if (q->arguments > KDS_QUERY_MAX) {
        refuse(r, 400, "too many arguments");
        return false;
    }
    for (size_t i = 0; i < q->arguments; i++)
        if (!take_argument(chip, &q->query[i], tcb, &seen, r))
            return false;
    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        if (tcb_place(chip, p) >= 0 && !(seen & 1u << p)) {
            refuse(r, 400, "%s is missing", spl_names[p]);
            return false;
        }
    return true;
}

/* ---- a chip by its id ------------------------------------------------------------------------ */

struct search {
    const struct chip *chip;
    const uint8_t *hwid;
    char name[sizeof(((struct platform *)0)->name)]; /* "": not found */
};

static void look_at(void *ctx, const char *name, const struct platform *p, const struct error *why)
{
    struct search *s = ctx;
    uint8_t hwid[SEV_ID_BYTES];

    if (!p || p->chip != s->chip)
        return;
    (void)snp_hwid(p, hwid);
    if (!memcmp(hwid, s->hwid, sizeof(hwid)))
        snprintf(s->name, sizeof(s->name), "%s", name);
}

static bool parse_hwid(const struct target *t, uint8_t hwid[SEV_ID_BYTES])
{
    const struct platform any = {.chip = t->chip};
    size_t len = snp_hwid(&any, hwid);

    if (strlen(t->leaf) != 2 * len || strspn(t->leaf, "0123456789abcdefABCDEF") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        (void)sscanf(t->leaf + 2 * i, "%2x", &byte);
        hwid[i] = (uint8_t)byte;
    }
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void reply_with(struct kds_reply *r, enum status s, const char *type,
                       const struct x509_der *der, const struct error *err)
{
    if (s == OK)
        give(r, type, der->der, der->len);
    else
        refuse(r, 500, "%s", err->text);
}

static void answer_vcek(const struct snp_root *root, const struct target *t,
                        const struct kds_request *q, struct kds_reply *r)
{
    uint8_t hwid[SEV_ID_BYTES];
    struct search found = {.chip = t->chip, .hwid = hwid};
    struct platform *p;
    struct x509_der der;
    struct error err;
    uint64_t tcb;
    enum status s;

    if (!parse_hwid(t, hwid)) {
        refuse(r, 404, "no such path; a chip id of %s has %zu hexadecimal digits",
               snp_product_line(t->chip), t->chip->id >= CHIP_TURIN ? (size_t)16 : (size_t)128);
        return;
    }
    if (!parse_tcb(t->chip, q, &tcb, r))
        return;
    if (platform_list(look_at, &found, &err) != OK || !*found.name) {
        refuse(r, 404, "no emulated %s on this disk has that chip id", snp_product_line(t->chip));
        return;
    }
    s = platform_load(found.name, &p, &err);
    if (s == OK) {
        s = snp_certify_vcek(root, p, tcb, &der, &err);
        platform_free(p);
    }
    reply_with(r, s, TYPE_CERT, &der, &err);
}

static void answer_vlek(const struct kds *k, const struct snp_root *root, const struct target *t,
                        const struct kds_request *q, struct kds_reply *r)
{
    struct x509_der der;
    struct error err;
    uint64_t tcb;

    if (!k->csp)
        refuse(r, 403, "VLEKs are a cloud provider's: start with --vlek NAME to be one");
    else if (parse_tcb(t->chip, q, &tcb, r))
        reply_with(r, snp_certify_vlek(root, k->csp, tcb, &der, &err), TYPE_CERT, &der, &err);
}

static void answer_chain(const struct snp_root *root, const struct target *t, struct kds_reply *r)
{
    const struct x509_der *first = &root->cert[t->vlek ? SNP_ASVK : SNP_ASK];
    size_t n = x509_pem(first, "CERTIFICATE", r->body, sizeof(r->body));
    size_t m =
        n ? x509_pem(&root->cert[SNP_ARK], "CERTIFICATE", r->body + n, sizeof(r->body) - n) : 0;

    if (!m) {
        refuse(r, 500, "no memory for the chain");
        return;
    }
    r->status = 200;
    r->type = TYPE_PEM;
    r->len = n + m;
}

static const struct snp_root *root_of(struct kds *k, const struct chip *chip, struct kds_reply *r)
{
    struct snp_root **root = &k->roots[chip->id];
    struct error err;

    if (!*root && snp_root_open(chip, root, &err) != OK)
        refuse(r, 500, "%s", err.text);
    return *root;
}

void kds_answer(struct kds *k, const struct kds_request *q, struct kds_reply *r)
{
    const struct snp_root *root;
    struct target t;

    if (!parse_path(q->path, &t, r))
        return;
    root = root_of(k, t.chip, r);
    if (!root)
        return;
    if (!strcmp(t.leaf, "cert_chain")) {
        answer_chain(root, &t, r);
    } else if (!strcmp(t.leaf, "crl")) {
        struct x509_der der;
        struct error err;
        enum status s = snp_revocations(root, &der, &err);

        reply_with(r, s, TYPE_CRL, &der, &err);
    } else if (!t.vlek) {
        answer_vcek(root, &t, q, r);
    } else if (!strcmp(t.leaf, "cert")) {
        answer_vlek(k, root, &t, q, r);
    } else {
        refuse(r, 404, "no such path; /vlek/v1/PRODUCT has cert, cert_chain and crl");
    }
}
