/* A fleet's certificates; see certs_check.h. */
#include "cli/certs_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "cli/attest_text.h"
#include "cli/inputs.h"
#include "cli/policy_file.h"

#define FILE_MAX  (16u << 20)
#define CHIPS_MAX 65536u
#define DAY       86400

struct chip_line {
    char name[64];
    struct wanted wanted;
    struct attest_tcb tcb;
    /* what was found */
    bool has_cert, emulated;
    int64_t not_after;
    bool missing, expires, behind;
    char behind_what[96];
};

struct product_state {
    bool used, has_crl;
    int64_t next_update;
    bool stale;
    struct attest_tcb least; /* what chips of it should have */
};

#define PRODUCTS 4u /* enum attest_product */

struct fleet {
    const struct check_options *o;
    int64_t at;
    struct chip_line *chips;
    size_t count;
    struct product_state products[PRODUCTS];
};

/* ---- the list -----------------------------------------------------------------------------------
 */

/* "genoa CHIP_ID TCB [NAME]"; '#' begins a comment. */
static enum status parse_line(struct fleet *f, char *line, unsigned number, const char *list,
                              struct error *err)
{
    char product[16] = "", id[132] = "", tcb[20] = "", name[64] = "", extra[2] = "";
    struct chip_line *c = &f->chips[f->count];
    size_t n = 0;
    int words;

    line[strcspn(line, "#\r")] = 0;
    words = sscanf(line, "%15s %131s %19s %63s %1s", product, id, tcb, name, extra);
    if (words < 1)
        return OK;
    *c = (struct chip_line){.wanted.product = attest_product_from_name(product)};
    if (words < 3 || words > 4 || c->wanted.product == ATTEST_PRODUCT_UNKNOWN)
        return fail(err, ERR_FORMAT,
                    "'%s' line %u: 'PRODUCT CHIP_ID TCB [NAME]' is needed, with PRODUCT milan, "
                    "genoa or turin",
                    list, number);
    if (!bytes_parse(c->wanted.chip_id, 8, 64, id, &n) || (n != 64 && n != 8) ||
        (n == 8 && c->wanted.product != ATTEST_TURIN))
        return fail(err, ERR_FORMAT, "'%s' line %u: a chip id has 128 hex digits, or 16 on Turin",
                    list, number);
    if (!bytes_parse(c->wanted.tcb, 8, 8, tcb, &n))
        return fail(err, ERR_FORMAT,
                    "'%s' line %u: a TCB has 16 hex digits, as REPORTED_TCB in a report", list,
                    number);
    attest_tcb_decode(&c->tcb, c->wanted.tcb, attest_layout_of(c->wanted.product));
    snprintf(c->name, sizeof(c->name), "%.63s", *name ? name : id);
    f->count++;
    return OK;
}

static enum status read_list(struct fleet *f, const char *list, struct error *err)
{
    struct blob b;
    unsigned number = 0;
    char *at, *line, *text;
    enum status s = blob_read(&b, "list of chips", list, FILE_MAX, err);

    if (s != OK)
        return s;
    f->chips = calloc(CHIPS_MAX, sizeof(*f->chips));
    text = strndup((const char *)b.bytes, b.len);
    blob_free(&b);
    if (!f->chips || !text) {
        free(text);
        return fail(err, ERR_NOMEM, "no memory for a list of chips");
    }
    at = text;
    while (s == OK && at && (line = strsep(&at, "\n"))) {
        number++;
        if (f->count == CHIPS_MAX)
            s = fail(err, ERR_LIMIT, "'%s': more than %u chips", list, CHIPS_MAX);
        else
            s = parse_line(f, line, number, list, err);
    }
    free(text);
    if (s == OK && !f->count)
        s = fail(err, ERR_FORMAT, "'%s': there is no chip in it", list);
    return s;
}

/* ---- what they should have ----------------------------------------------------------------------
 */

static enum status least_by_policy(struct fleet *f, struct error *err)
{
    struct attest_policy *policy;
    char id[POLICY_ID];
    enum status s = policy_file_read(f->o->policy, &policy, id, err);

    for (unsigned p = 0; s == OK && p < ATTEST_TCB_PARTS; p++) {
        char name[64], text[24];
        const struct attest_policy_key *key;

        snprintf(name, sizeof(name), "minimum_tcb.reported.%s", attest_tcb_part_name(p));
        key = attest_policy_key(name);
        if (!key || attest_policy_value(policy, key, 0, text, sizeof(text)) <= 0)
            continue;
        for (size_t i = 0; i < PRODUCTS; i++)
            f->products[i].least.part[p] = (uint8_t)strtoul(text, NULL, 10);
    }
    if (s == OK)
        attest_policy_free(policy);
    return s;
}

/* Without a policy: what the best of each product has, part by part. */
static void least_by_fleet(struct fleet *f)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct attest_tcb *tcb = &f->chips[i].tcb;
        struct attest_tcb *least = &f->products[f->chips[i].wanted.product].least;

        for (unsigned p = 0; p < ATTEST_TCB_PARTS; p++)
            least->part[p] = MAX(least->part[p], tcb->part[p]);
    }
}

/* ---- looking ------------------------------------------------------------------------------------
 */

static enum status look_at_crl(struct fleet *f, const struct store *store,
                               const struct chip_line *c, struct error *err)
{
    struct product_state *p = &f->products[c->wanted.product];
    struct attest_certs *bag;
    enum status s;

    if (p->used)
        return OK;
    p->used = true;
    bag = attest_certs_new(NULL);
    if (!bag)
        return fail(err, ERR_NOMEM, "no memory");
    s = store_find_crls(store, c->wanted.product, false, c->emulated, bag, err);
    for (size_t i = 0; i < attest_certs_crl_count(bag); i++) {
        p->has_crl = true;
        p->next_update = MAX(p->next_update, attest_certs_crl_at(bag, i)->next_update);
    }
    p->stale = !p->has_crl || p->next_update < f->at + (int64_t)f->o->within * DAY;
    attest_certs_free(bag);
    return s;
}

static enum status look_at(struct fleet *f, const struct store *store, struct chip_line *c,
                           struct error *err)
{
    const struct product_state *p = &f->products[c->wanted.product];
    struct attest_certs *bag = attest_certs_new(NULL);
    const struct attest_cert *cert;
    size_t n = 0;
    enum status s;

    if (!bag)
        return fail(err, ERR_NOMEM, "no memory");
    s = store_find(store, &c->wanted, bag, &c->has_cert, err);
    cert = attest_certs_find(bag, ATTEST_CERT_VCEK, c->wanted.product);
    if (s == OK && c->has_cert && cert) {
        c->not_after = cert->not_after;
        c->emulated = cert->emulated;
        c->expires = cert->not_after < f->at + (int64_t)f->o->within * DAY;
    }
    c->missing = !c->has_cert || !cert;
    for (unsigned i = 0; i < ATTEST_TCB_PARTS; i++)
        if (attest_tcb_has(c->tcb.layout, i) && c->tcb.part[i] < p->least.part[i])
            n += (size_t)snprintf(c->behind_what + n, sizeof(c->behind_what) - n, "%s%s %u of %u",
                                  n ? ", " : "", attest_tcb_part_name(i), c->tcb.part[i],
                                  p->least.part[i]);
    c->behind = n > 0;
    attest_certs_free(bag);
    return s == OK ? look_at_crl(f, store, c, err) : s;
}

/* ---- output -------------------------------------------------------------------------------------
 */

static void print_text(const struct fleet *f)
{
    char when[TIME_TEXT];

    for (size_t i = 0; i < f->count; i++) {
        const struct chip_line *c = &f->chips[i];

        time_text(c->not_after, when);
        printf("%-5s %.24s%s: ", attest_product_name(c->wanted.product), c->name,
               c->emulated ? " (EMULATED)" : "");
        if (c->missing)
            printf("no certificate of this TCB in the store: 'lucca certs fetch' gets it");
        else
            printf("certificate %s %s", c->expires ? "EXPIRES" : "until", when);
        printf("%s%s\n", c->behind ? "; BEHIND: " : "", c->behind_what);
    }
    for (unsigned p = 0; p < PRODUCTS; p++) {
        const struct product_state *s = &f->products[p];

        time_text(s->next_update, when);
        if (s->used)
            printf("%-5s revocation list: %s%s\n", attest_product_name((enum attest_product)p),
                   !s->has_crl ? "none in the store: 'lucca certs fetch' gets it"
                   : s->stale  ? "EXPIRES "
                               : "until ",
                   s->has_crl ? when : "");
    }
}

static int print_json(const struct fleet *f)
{
    json_t *chips = json_array(), *lists = json_array();

    for (size_t i = 0; i < f->count; i++) {
        const struct chip_line *c = &f->chips[i];
        size_t n = c->wanted.product == ATTEST_TURIN ? 8 : 64;

        json_array_append_new(
            chips, json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b, s:s, s:o}", "name", c->name,
                             "product", attest_product_name(c->wanted.product), "chip_id",
                             json_hex(c->wanted.chip_id, n), "tcb", json_tcb(&c->tcb), "missing",
                             c->missing, "expires", c->expires, "behind", c->behind, "emulated",
                             c->emulated, "behind_in", c->behind_what, "not_after",
                             c->missing ? json_null() : json_time(c->not_after)));
    }
    for (unsigned p = 0; p < PRODUCTS; p++) {
        const struct product_state *s = &f->products[p];

        if (s->used)
            json_array_append_new(lists,
                                  json_pack("{s:s, s:b, s:b, s:o}", "product",
                                            attest_product_name((enum attest_product)p), "missing",
                                            !s->has_crl, "expires", s->stale, "next_update",
                                            s->has_crl ? json_time(s->next_update) : json_null()));
    }
    return json_print(json_pack("{s:o, s:o, s:o}", "at", json_time(f->at), "chips", chips,
                                "revocation_lists", lists));
}

/* A label's value: Prometheus escapes backslash, quote and newline. */
static void print_label(const char *name, const char *value)
{
    printf("%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            putchar('\\');
        putchar(*value);
    }
    putchar('"');
}

static void print_sample(const char *metric, const struct chip_line *c, long long value)
{
    printf("%s{", metric);
    print_label("chip", c->name);
    putchar(',');
    print_label("product", attest_product_name(c->wanted.product));
    printf("} %lld\n", value);
}

static void print_prometheus(const struct fleet *f)
{
    static const struct {
        const char *name, *help;
    } metrics[] = {
        {"lucca_vcek_missing", "1: the store has no certificate of the chip and its TCB"},
        {"lucca_vcek_not_after_seconds", "when the certificate ends, in seconds since 1970"},
        {"lucca_tcb_behind", "1: the TCB is behind what chips of its product should have"},
    };

    for (size_t m = 0; m < COUNT(metrics); m++) {
        printf("# HELP %s %s\n# TYPE %s gauge\n", metrics[m].name, metrics[m].help,
               metrics[m].name);
        for (size_t i = 0; i < f->count; i++) {
            const struct chip_line *c = &f->chips[i];

            if (m != 1 || !c->missing)
                print_sample(metrics[m].name, c,
                             m == 0   ? c->missing
                             : m == 1 ? (long long)c->not_after
                                      : c->behind);
        }
    }
    printf("# HELP lucca_crl_next_update_seconds when the revocation list ends, 0 where there is "
           "none\n# TYPE lucca_crl_next_update_seconds gauge\n");
    for (unsigned p = 0; p < PRODUCTS; p++)
        if (f->products[p].used)
            printf("lucca_crl_next_update_seconds{product=\"%s\"} %lld\n",
                   attest_product_name((enum attest_product)p),
                   (long long)f->products[p].next_update);
}

static int status_of(const struct fleet *f)
{
    int status = ATTEST_GOOD;

    for (unsigned p = 0; p < PRODUCTS; p++)
        if (f->products[p].used && f->products[p].stale)
            status = ATTEST_NO_REVOCATION;
    for (size_t i = 0; i < f->count; i++)
        if (f->chips[i].behind && !status)
            status = ATTEST_AGAINST_POLICY;
    for (size_t i = 0; i < f->count; i++)
        if (f->chips[i].missing || f->chips[i].expires)
            status = ATTEST_NO_CERTS;
    return status;
}

int certs_check(const struct check_options *o, const char *list, struct error *err)
{
    struct fleet f = {.o = o, .at = o->at ? o->at : (int64_t)time(NULL)};
    int status = ATTEST_MISUSE;
    struct store store;
    enum status s = store_open(&store, o->cache, err);

    if (s == OK)
        s = read_list(&f, list, err);
    if (s == OK && o->policy)
        s = least_by_policy(&f, err);
    else if (s == OK)
        least_by_fleet(&f);
    for (size_t i = 0; i < f.count && s == OK; i++)
        s = look_at(&f, &store, &f.chips[i], err);
    if (s == OK) {
        status = status_of(&f);
        if (o->output == CHECK_TEXT)
            print_text(&f);
        else if (o->output == CHECK_PROMETHEUS)
            print_prometheus(&f);
        else if (print_json(&f) != 0)
            status = ATTEST_MISUSE;
    }
    free(f.chips);
    return status;
}
