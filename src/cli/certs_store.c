/* The store of certificates; see certs_store.h. */
#include "cli/certs_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "cli/inputs.h"

#define NAMES_MAX 16u

/* ---- what is wanted -----------------------------------------------------------------------------
 */

struct wanted wanted_by(const struct attest_report *r)
{
    struct wanted w = {.product = r->product, .vlek = r->signing_key == ATTEST_KEY_VLEK};

    memcpy(w.chip_id, r->chip_id, sizeof(w.chip_id));
    memcpy(w.tcb, r->reported_tcb.raw, sizeof(w.tcb));
    return w;
}

size_t wanted_products(const struct wanted *w, enum attest_product out[3])
{
    static const uint8_t zeros[56];

    if (w->product != ATTEST_PRODUCT_UNKNOWN) {
        out[0] = w->product;
        return 1;
    }
    if (!w->vlek && memcmp(w->chip_id + 8, zeros, sizeof(zeros)) == 0) {
        out[0] = ATTEST_TURIN; /* whose ids have eight bytes */
        return 1;
    }
    out[0] = ATTEST_MILAN;
    out[1] = ATTEST_GENOA;
    out[2] = ATTEST_TURIN;
    return w->vlek ? 3 : 2;
}

static void chip_hex(char out[129], enum attest_product product, const uint8_t *id)
{
    hex_text(out, id, product == ATTEST_TURIN ? 8 : 64);
}

/* ---- paths --------------------------------------------------------------------------------------
 */

enum status store_open(struct store *s, const char *dir, struct error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;

    if (dir)
        n = snprintf(s->dir, sizeof(s->dir), "%s", dir);
    else if (xdg && *xdg == '/')
        n = snprintf(s->dir, sizeof(s->dir), "%s/lucca/certs", xdg);
    else if (home && *home == '/')
        n = snprintf(s->dir, sizeof(s->dir), "%s/.cache/lucca/certs", home);
    else
        return fail(err, ERR_ARG, "no place for certificates: set HOME, or say --cache DIR");
    if (n >= (int)sizeof(s->dir) || !*s->dir)
        return fail(err, ERR_ARG, "--cache: the path is empty or too long");
    return OK;
}

static void product_dir(char out[PATH_MAX], const struct store *s, enum attest_product product,
                        bool emulated)
{
    snprintf(out, PATH_MAX, "%s/%s%s", s->dir, emulated ? "emulated/" : "",
             attest_product_name(product));
}

static void add_name(char path[PATH_MAX], const char *name)
{
    size_t len = strlen(path);

    snprintf(path + len, PATH_MAX - len, "/%s", name);
}

static enum status make_dirs(const char *path, struct error *err)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return fail(err, ERR_IO, "'%s': %s", part, strerror(errno));
    }
    return OK;
}

/* ---- finding ------------------------------------------------------------------------------------
 */

static enum status take(const char *path, struct attest_certs *bag, struct error *err)
{
    struct attest_error why;
    struct blob b;
    enum status s = blob_read(&b, "certificate", path, ATTEST_CRL_MAX, err);

    if (s == OK && attest_certs_add(bag, b.bytes, b.len, &why) != ATTEST_OK)
        s = fail(err, ERR_FORMAT, "'%s': %s; remove it, or fetch it anew", path, why.text);
    blob_free(&b);
    return s;
}

static bool is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), m = strlen(with);

    return n >= m && !strcmp(name + n - m, with);
}

/* All of `dir` whose names begin so and end in ".der". *any says whether there was one. */
static enum status take_all(const char *dir, const char *begin, struct attest_certs *bag, bool *any,
                            struct error *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    enum status s = OK;
    unsigned taken = 0;

    while (d && s == OK && taken < NAMES_MAX && (e = readdir(d))) {
        char path[PATH_MAX];

        if (strncmp(e->d_name, begin, strlen(begin)) != 0 || !ends(e->d_name, ".der"))
            continue;
        snprintf(path, sizeof(path), "%s", dir);
        add_name(path, e->d_name);
        s = take(path, bag, err);
        taken++;
    }
    if (d)
        closedir(d);
    *any = taken > 0;
    return s;
}

static enum status take_leaf(const char *dir, const struct wanted *w, enum attest_product product,
                             struct attest_certs *bag, bool *found, struct error *err)
{
    char path[PATH_MAX], id[129], tcb[17];

    hex_text(tcb, w->tcb, sizeof(w->tcb));
    snprintf(path, sizeof(path), "%s", dir);
    if (w->vlek) {
        add_name(path, "vlek");
        return take_all(path, tcb, bag, found, err);
    }
    chip_hex(id, product, w->chip_id);
    add_name(path, id);
    add_name(path, tcb);
    *found = strlen(path) + 5 < sizeof(path) && is_there(strcat(path, ".der"));
    return *found ? take(path, bag, err) : OK;
}

enum status store_find(const struct store *s, const struct wanted *w, struct attest_certs *bag,
                       bool *found, struct error *err)
{
    enum attest_product products[3];
    size_t n = wanted_products(w, products);

    *found = false;
    for (size_t i = 0; i < 2 * n; i++) {
        char dir[PATH_MAX];
        enum status st;
        bool any;

        product_dir(dir, s, products[i / 2], i % 2);
        st = take_leaf(dir, w, products[i / 2], bag, found, err);
        if (st == OK && *found)
            st = take_all(dir, w->vlek ? "asvk-" : "ask-", bag, &any, err);
        if (st == OK && *found)
            st = take_all(dir, "ark-", bag, &any, err);
        if (st != OK || *found)
            return st;
    }
    return OK;
}

enum status store_find_crls(const struct store *s, enum attest_product product, bool vlek,
                            bool emulated, struct attest_certs *bag, struct error *err)
{
    const char *const names[] = {vlek ? "vlek.crl" : "vcek.crl", "other.crl"};

    for (size_t i = 0; i < COUNT(names); i++) {
        char path[PATH_MAX];
        enum status st;

        product_dir(path, s, product, emulated);
        add_name(path, names[i]);
        if (!is_there(path))
            continue;
        st = take(path, bag, err);
        if (st != OK)
            return st;
    }
    return OK;
}

/* ---- putting ------------------------------------------------------------------------------------
 */

static enum status put(const char *path, struct attest_span der, struct error *err)
{
    enum status st = make_dirs(path, err);

    return st == OK ? write_whole(path, der.at, der.len, 0666, err) : st;
}

enum status store_put_cert(const struct store *s, const struct attest_cert *c, char path[PATH_MAX],
                           struct error *err)
{
    static const char *const names[] = {
        [ATTEST_CERT_ARK] = "ark",
        [ATTEST_CERT_ASK] = "ask",
        [ATTEST_CERT_ASVK] = "asvk",
    };
    char id[129], tcb[17], digest[17], name[48];

    if (c->kind == ATTEST_CERT_OTHER || c->product == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_FORMAT, "\"%s\" by \"%s\" is no certificate of AMD's chain",
                    c->subject_cn, c->issuer_cn);
    hex_text(digest, c->sha256, 8);
    hex_text(tcb, c->tcb.raw, sizeof(c->tcb.raw));
    product_dir(path, s, c->product, c->emulated);
    if (c->kind == ATTEST_CERT_VCEK) {
        if (c->hwid_len != (c->product == ATTEST_TURIN ? 8 : 64))
            return fail(err, ERR_FORMAT, "\"%s\" by \"%s\" has no hardware id of its product",
                        c->subject_cn, c->issuer_cn);
        chip_hex(id, c->product, c->hwid);
        add_name(path, id);
        snprintf(name, sizeof(name), "%s.der", tcb);
    } else if (c->kind == ATTEST_CERT_VLEK) {
        add_name(path, "vlek");
        snprintf(name, sizeof(name), "%s-%s.der", tcb, digest);
    } else {
        snprintf(name, sizeof(name), "%s-%s.der", names[c->kind], digest);
    }
    add_name(path, name);
    return put(path, c->der, err);
}

enum status store_put_crl(const struct store *s, const struct attest_crl *crl, const char *of,
                          char path[PATH_MAX], struct error *err)
{
    char name[16];

    if (crl->product == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_FORMAT, "the revocation list is by \"%s\", which is no ARK",
                    crl->issuer_cn);
    product_dir(path, s, crl->product, crl->emulated);
    snprintf(name, sizeof(name), "%s.crl", of);
    add_name(path, name);
    return put(path, crl->der, err);
}
