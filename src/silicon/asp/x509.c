/* The emulated AMD's certificates; see x509.h. */
#include "silicon/asp/x509.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/asp/files.h"

/* ---- what differs from one product line to the next ------------------------------------------ */

struct line {
    const char *name;
    const char *product; /* in a VCEK; a VLEK has the line's name */
    uint8_t struct_version;
    uint32_t serial; /* of the ARK; ASK + 1, ASVK + 101h */
    size_t hwid;     /* bytes */
    /* The SPL extensions in AMD's order, by the last number of their OID. */
    uint8_t spl[9];
};

/* What each SPL extension holds; spl4 to spl7 are reserved and zero. */
static const enum tcb_part spl_parts[] = {
    [1] = TCB_BOOTLOADER, [2] = TCB_TEE,   [3] = TCB_SNP,       [4] = TCB_PARTS, [5] = TCB_PARTS,
    [6] = TCB_PARTS,      [7] = TCB_PARTS, [8] = TCB_MICROCODE, [9] = TCB_FMC};

/* Names, numbers and orders of genuine certificates. */
static const struct line lines[CHIPS] = {
    [CHIP_MILAN] = {"Milan", "Milan-B0", 0, 0x10000, 64, {1, 2, 4, 5, 6, 7, 3, 8}},
    [CHIP_GENOA] = {"Genoa", "Genoa", 0, 0x20000, 64, {1, 2, 4, 5, 6, 7, 3, 8}},
    [CHIP_TURIN] = {"Turin", "Turin", 1, 0x30000, 8, {9, 1, 2, 3, 5, 6, 7, 8}},
};

const char *snp_product_line(const struct chip *chip)
{
    return lines[chip->id].name;
}

size_t snp_hwid(const struct platform *p, uint8_t out[SEV_ID_BYTES])
{
    size_t len = lines[p->chip->id].hwid;

    memset(out, 0, SEV_ID_BYTES);
    memcpy(out, p->id, len);
    return len;
}

/* ---- names and times ------------------------------------------------------------------------- */

#define OID         "1.3.6.1.4.1.3704.1."
#define EXTENSIONS  13u /* at most: two of the product, nine SPLs, HWID or CSP_ID, the end */
#define CA_YEARS    25
#define VCEK_YEARS  7
#define VLEK_YEARS  1
#define CRL_YEARS   1
#define SMALL_BYTES 72u

struct name {
    char cn[32];
    struct x509_attribute attributes[8];
};

static const struct x509_attribute *amd_name(struct name *n, const char *cn, const char *line)
{
    const struct x509_attribute all[] = {
        {"OU", "Engineering"},           {"C", "US"},   {"L", "Santa Clara"},          {"ST", "CA"},
        {"O", "Advanced Micro Devices"}, {"CN", n->cn}, {"serialNumber", SNP_EMULATED}};

    snprintf(n->cn, sizeof(n->cn), "%s%s", cn, line);
    memcpy(n->attributes, all, sizeof(all));
    n->attributes[COUNT(all)] = (struct x509_attribute){0};
    return n->attributes;
}

static int64_t years_after(int64_t from, int years)
{
    time_t t = (time_t)from;
    struct tm tm;

    gmtime_r(&t, &tm);
    tm.tm_year += years;
    return timegm(&tm);
}

static int64_t now(void)
{
    return time(NULL);
}

/* ---- extensions of VCEKs and VLEKs ----------------------------------------------------------- */

/* The list, and the room that its values need. */
struct extensions {
    struct x509_extension list[EXTENSIONS + 1];
    char oids[EXTENSIONS][32];
    uint8_t bytes[EXTENSIONS][SMALL_BYTES];
    unsigned n;
};

static void add(struct extensions *x, const char *leaf, size_t len)
{
    snprintf(x->oids[x->n], sizeof(x->oids[0]), OID "%s", leaf);
    x->list[x->n] =
        (struct x509_extension){.oid = x->oids[x->n], .bytes = x->bytes[x->n], .len = len};
    x->n++;
}

/* A byte as a DER INTEGER, which is signed. */
static void add_integer(struct extensions *x, const char *leaf, uint8_t value)
{
    uint8_t *to = x->bytes[x->n];
    bool wide = value >= 0x80;

    to[0] = 0x02;
    to[1] = wide ? 2 : 1;
    to[2] = 0;
    to[wide ? 3 : 2] = value;
    add(x, leaf, wide ? 4 : 3);
}

/* An IA5String of less than 128 bytes. */
static void add_string(struct extensions *x, const char *leaf, const char *text)
{
    uint8_t *to = x->bytes[x->n];
    size_t len = strlen(text);

    to[0] = 0x16;
    to[1] = (uint8_t)len;
    memcpy(to + 2, text, len);
    add(x, leaf, len + 2);
}

static void add_versions(struct extensions *x, const struct chip *chip, const char *product,
                         uint64_t tcb)
{
    const struct line *line = &lines[chip->id];

    add_integer(x, "1", line->struct_version);
    add_string(x, "2", product);
    for (unsigned i = 0; i < COUNT(line->spl) && line->spl[i]; i++) {
        enum tcb_part part = spl_parts[line->spl[i]];
        char leaf[8];

        snprintf(leaf, sizeof(leaf), "3.%u", line->spl[i]);
        add_integer(x, leaf, part == TCB_PARTS ? 0 : tcb_get(chip, tcb, part));
    }
}

/* ---- the root -------------------------------------------------------------------------------- */

/* Serial numbers, names and extensions of the three authorities. */
static const struct authority {
    const char *cn, *key_file, *cert_file;
    uint32_t serial;
    struct x509_extension extensions[5]; /* and the CRL's address */
} authorities[SNP_AUTHORITIES] = {
    [SNP_ARK] = {"ARK-",
                 "ark.key",
                 "ark.der",
                 0,
                 {{.oid = "keyUsage", .text = "critical,keyCertSign,cRLSign"},
                  {.oid = "subjectKeyIdentifier", .text = "hash"},
                  {.oid = "basicConstraints", .text = "critical,CA:TRUE"}}},
    [SNP_ASK] = {"SEV-",
                 "ask.key",
                 "ask.der",
                 1,
                 {{.oid = "subjectKeyIdentifier", .text = "hash"},
                  {.oid = "authorityKeyIdentifier", .text = "keyid:always"},
                  {.oid = "basicConstraints", .text = "critical,CA:TRUE,pathlen:0"},
                  {.oid = "keyUsage", .text = "critical,keyCertSign"}}},
    [SNP_ASVK] = {"SEV-VLEK-",
                  "asvk.key",
                  "asvk.der",
                  0x101,
                  {{.oid = "subjectKeyIdentifier", .text = "hash"},
                   {.oid = "authorityKeyIdentifier", .text = "keyid:always"},
                   {.oid = "basicConstraints", .text = "critical,CA:TRUE,pathlen:0"},
                   {.oid = "keyUsage", .text = "critical,keyCertSign"}}},
};

void snp_root_free(struct snp_root *r)
{
    if (r)
        wipe(r, sizeof(*r));
    free(r);
}

/* The address is AMD's own: strict clients know no other, and one that really went there would get
 * a list that this ARK did not sign. */
static bool certify_authority(struct snp_root *r, enum snp_authority who, int64_t from)
{
    const struct line *line = &lines[r->chip->id];
    const struct authority *a = &authorities[who];
    struct x509_extension all[COUNT(a->extensions) + 2] = {0};
    struct name subject;
    char url[96];
    unsigned n = 0;
    struct x509_template t = {.serial = line->serial + a->serial,
                              .subject = amd_name(&subject, a->cn, line->name),
                              .issuer = who == SNP_ARK ? NULL : &r->cert[SNP_ARK],
                              .from = from,
                              .until = years_after(from, CA_YEARS),
                              .rsa = &r->key[who].pub,
                              .extensions = all};

    for (; a->extensions[n].oid; n++)
        all[n] = a->extensions[n];
    snprintf(url, sizeof(url), "URI:https://kdsintf.amd.com/%s/v1/%s/crl",
             who == SNP_ASVK ? "vlek" : "vcek", line->name);
    all[n] = (struct x509_extension){.oid = "crlDistributionPoints", .text = url};
    return x509_make(&t, &r->key[SNP_ARK], &r->cert[who]);
}

static enum status make(struct snp_root *r, struct error *err)
{
    int64_t from = now();

    for (enum snp_authority who = 0; who < SNP_AUTHORITIES; who++)
        if (!rsa4096_generate(&r->key[who]) || !certify_authority(r, who, from))
            return fail(err, ERR_CRYPTO, "libcrypto cannot make the emulated root of %s",
                        r->chip->name);
    return OK;
}

static enum status write_root(const struct snp_root *r, const char *dir, struct error *err)
{
    enum status why = OK;

    for (enum snp_authority who = 0; who < SNP_AUTHORITIES && why == OK; who++) {
        const struct authority *a = &authorities[who];

        why = file_write(dir, a->key_file, r->key[who].der, r->key[who].len, err);
        if (why == OK)
            why = file_write(dir, a->cert_file, r->cert[who].der, r->cert[who].len, err);
    }
    return why;
}

static void remove_root(const char *dir)
{
    char path[PATH_MAX];

    for (enum snp_authority who = 0; who < SNP_AUTHORITIES; who++) {
        if (path_join(path, dir, authorities[who].key_file, NULL) == OK)
            unlink(path);
        if (path_join(path, dir, authorities[who].cert_file, NULL) == OK)
            unlink(path);
    }
    rmdir(dir);
}

/* All of it appears at once: written in a directory beside, which is then renamed. */
static enum status store(const struct snp_root *r, const char *dir, struct error *err)
{
    char temp[PATH_MAX];
    enum status why = platform_data_path(temp, "roots", err);

    if (why == OK)
        why = make_directories(temp, err);
    if (why == OK)
        why = platform_data_path(temp, "roots/.new-XXXXXX", err);
    if (why != OK)
        return why;
    if (!mkdtemp(temp))
        return fail(err, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    why = write_root(r, temp, err);
    if (why == OK && rename(temp, dir))
        why = fail(err, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    if (why != OK)
        remove_root(temp);
    return why;
}

static enum status load_authority(struct snp_root *r, const char *dir, enum snp_authority who,
                                  bool *found, struct error *err)
{
    const struct authority *a = &authorities[who];
    uint8_t der[RSA4096_DER_MAX];
    struct x509_der *cert = &r->cert[who];
    size_t len = 0;
    enum status why = file_read(dir, a->key_file, der, sizeof(der), &len, found, err);

    if (why != OK || (found && !*found))
        return why;
    if (!rsa4096_load(&r->key[who], der, len))
        why = fail(err, ERR_FORMAT, "%s/%s is no RSA-4096 key; remove %s to get a new root", dir,
                   a->key_file, dir);
    wipe(der, sizeof(der));
    if (why == OK)
        why = file_read(dir, a->cert_file, cert->der, sizeof(cert->der), &cert->len, NULL, err);
    if (why == OK && !x509_is(cert, &r->key[who].pub, &r->key[SNP_ARK].pub))
        why =
            fail(err, ERR_FORMAT, "%s/%s is not the certificate of %s; remove %s to get a new root",
                 dir, a->cert_file, a->key_file, dir);
    return why;
}

static enum status load(struct snp_root *r, const char *dir, bool *found, struct error *err)
{
    enum status why = load_authority(r, dir, SNP_ARK, found, err);

    for (enum snp_authority who = SNP_ASK; who < SNP_AUTHORITIES && why == OK && *found; who++)
        why = load_authority(r, dir, who, NULL, err);
    return why;
}

static enum status open_root(struct snp_root *r, struct error *err)
{
    char dir[PATH_MAX], leaf[32];
    bool found = true;
    enum status why;

    if (!snp_product_line(r->chip))
        return fail(err, ERR_ARG, "%s has no SEV-SNP, so it has no attestation keys",
                    r->chip->name);
    snprintf(leaf, sizeof(leaf), "roots/%s", r->chip->name);
    why = platform_data_path(dir, leaf, err);
    if (why == OK)
        why = load(r, dir, &found, err);
    if (why != OK || found)
        return why;
    why = make(r, err);
    if (why == OK)
        why = store(r, dir, err);
    if (why == ERR_IO && load(r, dir, &found, NULL) == OK && found)
        return OK; /* another process was quicker: its root is the root */
    return why;
}

enum status snp_root_open(const struct chip *chip, struct snp_root **out, struct error *err)
{
    struct snp_root *r = calloc(1, sizeof(*r));
    enum status why;

    if (!r)
        return fail(err, ERR_NOMEM, "no memory for a root");
    r->chip = chip;
    why = open_root(r, err);
    if (why == OK)
        *out = r;
    else
        snp_root_free(r);
    return why;
}

/* ---- what the root signs --------------------------------------------------------------------- */

static enum status check_tcb(const struct snp_root *r, uint64_t tcb, struct error *err)
{
    if (tcb_well_formed(r->chip, tcb))
        return OK;
    return fail(err, ERR_ARG, "%016llx is no TCB version of %s: reserved bytes are not zero",
                (unsigned long long)tcb, r->chip->name);
}

static enum status issue(const struct snp_root *r, enum snp_authority by, const char *cn,
                         const struct p384_key *key, const struct extensions *x, int64_t from,
                         int years, struct x509_der *out, struct error *err)
{
    struct name subject;
    const struct x509_template t = {.serial = 0, /* AMD's all have this one */
                                    .subject = amd_name(&subject, cn, ""),
                                    .issuer = &r->cert[by],
                                    .from = from,
                                    .until = years_after(from, years),
                                    .ec = &key->pub,
                                    .extensions = x->list};

    if (!x509_make(&t, &r->key[by], out))
        return fail(err, ERR_CRYPTO, "libcrypto cannot make a certificate of %s", cn);
    return OK;
}

/* A chip's certificates begin with the chip, or with the root if that came later: so they stay as
 * they are from one request to the next. */
static int64_t vcek_from(const struct snp_root *r, const struct platform *p)
{
    struct tm tm = {0};
    int64_t made = strptime(p->created, "%Y-%m-%dT%H:%M:%SZ", &tm) ? timegm(&tm) : now();

    return MAX(made, x509_not_before(&r->cert[SNP_ASK]));
}

enum status snp_certify_vcek(const struct snp_root *r, const struct platform *p, uint64_t tcb,
                             struct x509_der *out, struct error *err)
{
    uint8_t hash[VCEK_HASH_BYTES], hwid[SEV_ID_BYTES];
    struct extensions x = {0};
    struct p384_key key;
    size_t len = snp_hwid(p, hwid);
    enum status why = check_tcb(r, tcb, err);

    if (why != OK)
        return why;
    if (!vcek_hash(p->secret, tcb, hash) || !vcek_key(hash, &key))
        return fail(err, ERR_CRYPTO, "libcrypto cannot derive the VCEK of '%s'", p->name);
    add_versions(&x, r->chip, lines[r->chip->id].product, tcb);
    memcpy(x.bytes[x.n], hwid, len); /* raw: AMD wraps it in nothing */
    add(&x, "4", len);
    why = issue(r, SNP_ASK, "SEV-VCEK", &key, &x, vcek_from(r, p), VCEK_YEARS, out, err);
    wipe(hash, sizeof(hash));
    wipe(&key, sizeof(key));
    return why;
}

/* The provider's seed is between it and the emulated AMD: here it comes from the ASVK's own key. */
static enum status vlek_hashes(const struct snp_root *r, const char *csp, uint64_t tcb,
                               uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES], struct error *err)
{
    const struct rsa4096_key *asvk = &r->key[SNP_ASVK];
    uint8_t root[SHA256_BYTES], seed[CHIP_SECRET_BYTES];
    enum status why = check_tcb(r, tcb, err);
    bool ok;

    if (why == OK && (!*csp || strlen(csp) > SMALL_BYTES - 2))
        why = fail(err, ERR_ARG, "a provider's name has 1 to %u characters", SMALL_BYTES - 2);
    for (const char *c = csp; *c && why == OK; c++)
        if (*c < ' ' || *c > '~')
            why = fail(err, ERR_ARG, "a provider's name has printable ASCII characters alone");
    if (why != OK)
        return why;
    ok = sha256(root, asvk->der, asvk->len) &&
         sev_kdf(seed, sizeof(seed), root, sizeof(root), "lucca-vlek-seed", csp, strlen(csp)) &&
         hash_sticks(seed, tcb, hashes);
    wipe(root, sizeof(root));
    wipe(seed, sizeof(seed));
    return ok ? OK : fail(err, ERR_CRYPTO, "libcrypto cannot derive the VLEK of '%s'", csp);
}

enum status snp_certify_vlek(const struct snp_root *r, const char *csp, uint64_t tcb,
                             struct x509_der *out, struct error *err)
{
    uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES];
    struct extensions x = {0};
    struct p384_key key;
    enum status why = vlek_hashes(r, csp, tcb, hashes, err);

    if (why != OK)
        return why;
    if (!vlek_key(hashes[VLEK_HASHES - 1], &key)) {
        why = fail(err, ERR_CRYPTO, "libcrypto cannot derive the VLEK of '%s'", csp);
    } else {
        add_versions(&x, r->chip, lines[r->chip->id].name, tcb);
        add_string(&x, "5", csp);
        why = issue(r, SNP_ASVK, "SEV-VLEK", &key, &x,
                    MAX(now(), x509_not_before(&r->cert[SNP_ASVK])), VLEK_YEARS, out, err);
    }
    wipe(hashes, sizeof(hashes));
    wipe(&key, sizeof(key));
    return why;
}

enum status snp_wrap_vlek(const struct snp_root *r, const char *csp, const struct platform *p,
                          uint64_t tcb, struct snp_vlek *out, struct error *err)
{
    uint8_t hashes[VLEK_HASHES][VCEK_HASH_BYTES], hash[VCEK_HASH_BYTES];
    enum status why = vlek_hashes(r, csp, tcb, hashes, err);

    if (why == OK && (!vcek_hash(p->secret, tcb, hash) ||
                      !vlek_wrap(hash, tcb, (const uint8_t(*)[VCEK_HASH_BYTES])hashes, out)))
        why = fail(err, ERR_CRYPTO, "libcrypto cannot wrap the VLEK of '%s'", csp);
    wipe(hashes, sizeof(hashes));
    wipe(hash, sizeof(hash));
    return why;
}

enum status snp_revocations(const struct snp_root *r, struct x509_der *out, struct error *err)
{
    int64_t today = now();
    const struct x509_crl_template t = {.issuer = &r->cert[SNP_ARK],
                                        .this_update = today,
                                        .next_update = years_after(today, CRL_YEARS),
                                        .number = 1};

    if (!x509_crl_make(&t, &r->key[SNP_ARK], out))
        return fail(err, ERR_CRYPTO, "libcrypto cannot make a revocation list");
    return OK;
}
