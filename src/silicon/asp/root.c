/* The emulated AMD; see root.h. */
#include "silicon/asp/root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/cipher.h"
#include "silicon/asp/files.h"

#define ARK_FILE "ark.key"
#define ASK_FILE "ask.key"

static_assert(sizeof(ROOT_ARK_ID) == 17 && sizeof(ROOT_ASK_ID) == 17, "key ids have 16 bytes");

void root_free(struct root *r)
{
    if (r)
        wipe(r, sizeof(*r));
    free(r);
}

static enum status load_key(const char *dir, const char *leaf, struct rsa4096_key *key, bool *found,
                            struct error *err)
{
    uint8_t der[RSA4096_DER_MAX];
    size_t len = 0;
    enum status why = file_read(dir, leaf, der, sizeof(der), &len, found, err);

    if (why == OK && (!found || *found) && !rsa4096_load(key, der, len))
        why = fail(err, ERR_FORMAT, "%s/%s is no RSA-4096 key; remove %s to get a new root", dir,
                   leaf, dir);
    wipe(der, sizeof(der));
    return why;
}

static enum status load(const char *dir, struct root *r, bool *found, struct error *err)
{
    enum status why = load_key(dir, ARK_FILE, &r->ark, found, err);

    return why == OK && *found ? load_key(dir, ASK_FILE, &r->ask, NULL, err) : why;
}

static void remove_keys(const char *dir)
{
    static const char *const files[] = {ARK_FILE, ASK_FILE};
    char path[PATH_MAX];

    for (size_t i = 0; i < 2; i++)
        if (path_join(path, dir, files[i], NULL) == OK)
            unlink(path);
    rmdir(dir);
}

/* Both keys appear at once: written in a directory beside, which is then renamed. */
static enum status make(const char *dir, struct root *r, struct error *err)
{
    char temp[PATH_MAX];
    enum status why = platform_data_path(temp, "", err);

    if (why == OK)
        why = make_directories(temp, err);
    if (why == OK)
        why = platform_data_path(temp, ".root-XXXXXX", err);
    if (why != OK)
        return why;
    if (!rsa4096_generate(&r->ark) || !rsa4096_generate(&r->ask))
        return fail(err, ERR_CRYPTO, "libcrypto cannot make the keys of the emulated root");
    if (!mkdtemp(temp))
        return fail(err, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    why = file_write(temp, ARK_FILE, r->ark.der, r->ark.len, err);
    if (why == OK)
        why = file_write(temp, ASK_FILE, r->ask.der, r->ask.len, err);
    if (why == OK && rename(temp, dir))
        why = fail(err, ERR_IO, "cannot make %s: %s", dir, strerror(errno));
    if (why != OK)
        remove_keys(temp);
    return why;
}

static enum status certify(struct root *r, struct error *err)
{
    const uint8_t *ark = (const uint8_t *)ROOT_ARK_ID, *ask = (const uint8_t *)ROOT_ASK_ID;

    amd_cert_make(&r->ark_cert, USAGE_ARK, ark, ark, &r->ark.pub);
    amd_cert_make(&r->ask_cert, USAGE_ASK, ask, ark, &r->ask.pub);
    if (!amd_cert_sign(&r->ark_cert, &r->ark) || !amd_cert_sign(&r->ask_cert, &r->ark))
        return fail(err, ERR_CRYPTO, "libcrypto cannot sign with the emulated root");
    return OK;
}

static enum status open_root(struct root *r, struct error *err)
{
    char dir[PATH_MAX];
    bool found = true;
    enum status why = platform_data_path(dir, "root", err);

    if (why == OK)
        why = load(dir, r, &found, err);
    if (why == OK && !found) {
        why = make(dir, r, err);
        if (why == ERR_IO && load(dir, r, &found, NULL) == OK && found)
            why = OK; /* another process was quicker: its root is the root */
    }
    return why == OK ? certify(r, err) : why;
}

enum status root_open(struct root **out, struct error *err)
{
    struct root *r = calloc(1, sizeof(*r));
    enum status why = r ? open_root(r, err) : fail(err, ERR_NOMEM, "no memory for a root");

    if (why == OK)
        *out = r;
    else
        root_free(r);
    return why;
}

enum status root_sign_cek(const struct root *r, const struct platform *p, struct sev_cert *cek,
                          struct error *err)
{
    struct identity id;
    enum status why = OK;

    if (!identity_derive_cek(&id, p->chip, p->secret))
        return fail(err, ERR_CRYPTO, "libcrypto cannot derive the CEK of '%s'", p->name);
    *cek = id.cek_cert;
    if (!sev_cert_sign_by_ask(cek, 0, &r->ask))
        why = fail(err, ERR_CRYPTO, "libcrypto cannot sign the CEK of '%s'", p->name);
    wipe(&id, sizeof(id));
    return why;
}
