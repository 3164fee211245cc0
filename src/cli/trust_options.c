/* Whom to trust; see trust_options.h. */
#include "cli/trust_options.h"

#include "cli/attest_text.h"
#include "cli/inputs.h"

#define FILE_MAX (4u << 20)

enum status set_trust_root(void *ctx, const char *value, struct error *err)
{
    struct trust_options *o = ctx;

    if (o->roots == TRUST_FILES_MAX)
        return fail(err, ERR_LIMIT, "--root: at most %u of them", TRUST_FILES_MAX);
    o->root[o->roots++] = value;
    return OK;
}

enum status set_trust_cert(void *ctx, const char *value, struct error *err)
{
    struct trust_options *o = ctx;

    if (o->certs == TRUST_FILES_MAX)
        return fail(err, ERR_LIMIT, "--chain and --crl: at most %u of them", TRUST_FILES_MAX);
    o->cert[o->certs++] = value;
    return OK;
}

enum status set_trust_emulated(void *ctx, const char *value, struct error *err)
{
    ((struct trust_options *)ctx)->trust_emulated = true;
    return OK;
}

enum status set_trust_at(void *ctx, const char *value, struct error *err)
{
    return time_parse("--at", value, &((struct trust_options *)ctx)->at, err);
}

typedef enum attest_status add_fn(struct attest_certs *, const void *, size_t,
                                  struct attest_error *);

static enum status add_file(struct attest_certs *bag, const char *what, const char *path,
                            add_fn *add, struct error *err)
{
    struct attest_error why;
    struct blob b;
    enum status s = blob_read(&b, what, path, FILE_MAX, err);

    if (s != OK)
        return s;
    if (add(bag, b.bytes, b.len, &why) != ATTEST_OK)
        s = fail(err, ERR_FORMAT, "%s '%s': %s", what, path, why.text);
    blob_free(&b);
    return s;
}

enum status bag_add_file(struct attest_certs *bag, const char *what, const char *path,
                         struct error *err)
{
    return add_file(bag, what, path, attest_certs_add, err);
}

enum status bag_add_table_file(struct attest_certs *bag, const char *path, struct error *err)
{
    return add_file(bag, "certificate table", path, attest_certs_add_table, err);
}

static enum status add_root(struct attest_trust *trust, const char *path, struct error *err)
{
    struct attest_error why;
    struct blob b;
    enum status s = blob_read(&b, "--root", path, FILE_MAX, err);

    if (s != OK)
        return s;
    if (attest_trust_add_root(trust, b.bytes, b.len, &why) != ATTEST_OK)
        s = fail(err, ERR_FORMAT, "--root '%s': %s", path, why.text);
    blob_free(&b);
    return s;
}

enum status trust_open(const struct trust_options *o, struct attest_trust **trust,
                       struct attest_certs **bag, struct error *err)
{
    struct attest_error why;
    enum status s = OK;

    *trust = attest_trust_new(&why);
    *bag = attest_certs_new(&why);
    if (!*trust || !*bag)
        s = attest_error_to(err, &why);
    for (size_t i = 0; i < o->roots && s == OK; i++)
        s = add_root(*trust, o->root[i], err);
    for (size_t i = 0; i < o->certs && s == OK; i++)
        s = bag_add_file(*bag, "certificate", o->cert[i], err);
    if (s == OK && o->trust_emulated)
        attest_trust_emulated(*trust);
    if (s != OK) {
        attest_trust_free(*trust);
        attest_certs_free(*bag);
        *trust = NULL;
        *bag = NULL;
    }
    return s;
}
