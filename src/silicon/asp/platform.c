/* Chip identities in memory and on disk; see platform.h. */
#include "silicon/asp/platform.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/bytes.h"
#include "crypto/cipher.h"
#include "silicon/asp/files.h"
#include "silicon/asp/platform_versions.h"

#define JSON_FILE   "platform.json"
#define SECRET_FILE "chip.secret"
#define NV_FILE     "nv.bin"
#define FORMAT      "lucca-platform"
#define VERSION     1

/* ---- where --------------------------------------------------------------------------------- */

enum status platform_data_path(char out[PATH_MAX], const char *leaf, struct error *err)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int n;

    if (xdg && *xdg == '/')
        n = snprintf(out, PATH_MAX, "%s/lucca/%s", xdg, leaf);
    else if (home && *home == '/')
        n = snprintf(out, PATH_MAX, "%s/.local/share/lucca/%s", home, leaf);
    else
        return fail(err, ERR_ARG, "no place for platforms: set HOME or XDG_DATA_HOME");
    if (n < 0 || n >= PATH_MAX)
        return fail(err, ERR_ARG, "the path of the data directory is too long");
    return OK;
}

static bool good_name(const char *name)
{
    size_t n = strlen(name);

    if (!n || n >= sizeof(((struct platform *)0)->name) || *name == '.')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
            return false;
    return true;
}

/* `where` as a directory, and the name that people know it by. */
static enum status find(const char *where, struct platform *p, struct error *err)
{
    char leaf[PATH_MAX];
    const char *slash = strrchr(where, '/');
    const char *name = slash ? slash + 1 : where;

    if (!good_name(name))
        return fail(err, ERR_ARG,
                    "'%.100s' is no name for a platform: use up to 64 letters, digits, '.', '_' "
                    "and '-', not '.' first",
                    where);
    snprintf(p->name, sizeof(p->name), "%s", name);
    if (slash) {
        if (snprintf(p->dir, sizeof(p->dir), "%s", where) >= (int)sizeof(p->dir))
            return fail(err, ERR_ARG, "the path %.200s is too long", where);
        return OK;
    }
    snprintf(leaf, sizeof(leaf), "platforms/%s", name);
    return platform_data_path(p->dir, leaf, err);
}

static struct platform *new_platform(struct error *err)
{
    struct platform *p = calloc(1, sizeof(*p));

    if (!p)
        (void)fail(err, ERR_NOMEM, "no memory for a platform");
    return p;
}

void platform_free(struct platform *p)
{
    if (p)
        wipe(p, sizeof(*p));
    free(p);
}

/* ---- making -------------------------------------------------------------------------------- */

static enum status make_secret(struct platform *p, const struct chip *chip, struct error *err)
{
    p->chip = chip;
    p->versions = snp_versions_default(chip);
    memset(p->nv, 0xFF, sizeof(p->nv));
    if (!random_bytes(p->secret, sizeof(p->secret)) || !identity_chip_id(p->secret, p->id))
        return fail(err, ERR_CRYPTO, "libcrypto gives no random bytes for a chip secret");
    return OK;
}

enum status platform_fresh(const struct chip *chip, struct platform **out, struct error *err)
{
    struct platform *p = new_platform(err);

    if (!p)
        return ERR_NOMEM;
    if (make_secret(p, chip, err) != OK) {
        platform_free(p);
        return ERR_CRYPTO;
    }
    snprintf(p->name, sizeof(p->name), "fresh-%s", chip->name);
    *out = p;
    return OK;
}

static void hex(char *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", from[i]);
}

static char *json_text(const struct platform *p)
{
    char id[2 * SEV_ID_BYTES + 1];
    json_t *o;
    char *text;

    hex(id, p->id, sizeof(p->id));
    o = json_pack("{s:s, s:i, s:s, s:s, s:s, s:b}", "format", FORMAT, "version", VERSION, "chip",
                  p->chip->name, "chip_id", id, "created", p->created, "emulated", 1);
    text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
    json_decref(o);
    return text;
}

static enum status write_files(const struct platform *p, const char *dir, struct error *err)
{
    char *text = json_text(p);
    enum status why;

    if (!text)
        return fail(err, ERR_NOMEM, "no memory for %s", JSON_FILE);
    why = file_write(dir, SECRET_FILE, p->secret, sizeof(p->secret), err);
    if (why == OK)
        why = file_write(dir, JSON_FILE, text, strlen(text), err);
    free(text);
    return why;
}

static void remove_files(const char *dir)
{
    static const char *const files[] = {JSON_FILE, SECRET_FILE, NV_FILE, SNP_FILE};
    char path[PATH_MAX];

    for (size_t i = 0; i < COUNT(files); i++)
        if (path_join(path, dir, files[i], NULL) == OK)
            unlink(path);
}

/* The directory is filled under another name and then renamed, so that it is never half there. */
static enum status write_directory(const struct platform *p, struct error *err)
{
    static const char fresh[] = "/.new-XXXXXX";
    char temp[PATH_MAX], *slash;
    enum status why;

    memcpy(temp, p->dir, sizeof(temp));
    slash = strrchr(temp, '/');
    *slash = 0;
    why = make_directories(*temp ? temp : "/", err);
    if (why != OK)
        return why;
    if (strlen(temp) + sizeof(fresh) > sizeof(temp))
        return fail(err, ERR_ARG, "the path %.200s is too long", p->dir);
    memcpy(temp + strlen(temp), fresh, sizeof(fresh));
    if (!mkdtemp(temp))
        return fail(err, ERR_IO, "cannot make the directory %s: %s", p->dir, strerror(errno));
    why = write_files(p, temp, err);
    if (why == OK && rename(temp, p->dir))
        why = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                  ? fail(err, ERR_STATE, "%s is there already", p->dir)
                  : fail(err, ERR_IO, "cannot make %s: %s", p->dir, strerror(errno));
    if (why != OK) {
        remove_files(temp);
        rmdir(temp);
    }
    return why;
}

static enum status create(struct platform *p, const char *where, const struct chip *chip,
                          struct error *err)
{
    time_t now = time(NULL);
    enum status why = find(where, p, err);
    struct stat st;
    struct tm tm;

    if (why != OK)
        return why;
    if (!lstat(p->dir, &st))
        return fail(err, ERR_STATE, "there is a platform '%s' already (%s); delete it first",
                    p->name, p->dir);
    strftime(p->created, sizeof(p->created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    why = make_secret(p, chip, err);
    return why == OK ? write_directory(p, err) : why;
}

enum status platform_create(const char *where, const struct chip *chip, struct platform **out,
                            struct error *err)
{
    struct platform *p = new_platform(err);
    enum status why = p ? create(p, where, chip, err) : ERR_NOMEM;

    if (why == OK && out)
        *out = p;
    else
        platform_free(p);
    return why;
}

/* ---- loading ------------------------------------------------------------------------------- */

static enum status take_json(struct platform *p, const json_t *o, struct error *err)
{
    const char *format = NULL, *chip = NULL, *created = "";
    int version = 0;

    if (json_unpack((json_t *)o, "{s:s, s:i, s:s, s?s}", "format", &format, "version", &version,
                    "chip", &chip, "created", &created) ||
        strcmp(format, FORMAT))
        return fail(err, ERR_FORMAT, "%s/%s is not a platform's description", p->dir, JSON_FILE);
    if (version != VERSION)
        return fail(err, ERR_UNSUPPORTED, "%s/%s has version %d; this program knows version %d",
                    p->dir, JSON_FILE, version, VERSION);
    p->chip = chip_by_name(chip);
    if (!p->chip)
        return fail(err, ERR_FORMAT, "%s/%s names an unknown chip '%.40s'", p->dir, JSON_FILE,
                    chip);
    snprintf(p->created, sizeof(p->created), "%s", created);
    return OK;
}

static enum status load_json(struct platform *p, struct error *err)
{
    char text[4096];
    json_error_t why;
    size_t len;
    bool found;
    json_t *o;
    enum status s = file_read(p->dir, JSON_FILE, text, sizeof(text), &len, &found, err);

    if (s != OK)
        return s;
    if (!found)
        return fail(err, ERR_IO, "there is no platform '%s' (%s); create it first", p->name,
                    p->dir);
    o = json_loadb(text, len, 0, &why);
    if (!o)
        return fail(err, ERR_FORMAT, "%s/%s, line %d: %.150s", p->dir, JSON_FILE, why.line,
                    why.text);
    s = take_json(p, o, err);
    json_decref(o);
    return s;
}

static enum status load_secret(struct platform *p, struct error *err)
{
    uint8_t bytes[CHIP_SECRET_BYTES + 1];
    size_t len;
    enum status why = file_read(p->dir, SECRET_FILE, bytes, sizeof(bytes), &len, NULL, err);

    if (why != OK)
        return why;
    if (len != CHIP_SECRET_BYTES)
        return fail(err, ERR_FORMAT, "%s/%s has not %u bytes; delete the platform, create another",
                    p->dir, SECRET_FILE, CHIP_SECRET_BYTES);
    memcpy(p->secret, bytes, sizeof(p->secret));
    wipe(bytes, sizeof(bytes));
    if (!identity_chip_id(p->secret, p->id))
        return fail(err, ERR_CRYPTO, "libcrypto cannot derive the chip id of '%s'", p->name);
    return OK;
}

enum status platform_load(const char *where, struct platform **out, struct error *err)
{
    struct platform *p = new_platform(err);
    enum status why = p ? find(where, p, err) : ERR_NOMEM;

    if (why == OK)
        why = load_json(p, err);
    if (why == OK)
        why = load_secret(p, err);
    if (why == OK)
        why = platform_versions_load(p, err);
    if (why == OK)
        *out = p;
    else
        platform_free(p);
    return why;
}

/* ---- deleting, listing --------------------------------------------------------------------- */

enum status platform_delete(const char *where, struct error *err)
{
    struct platform *p;
    enum status why = platform_load(where, &p, err);

    if (why != OK)
        return why;
    remove_files(p->dir);
    if (rmdir(p->dir))
        why = fail(err, ERR_IO, "the platform '%s' is gone, but not its directory %s: %s", p->name,
                   p->dir, strerror(errno));
    platform_free(p);
    return why;
}

static int is_platform(const struct dirent *e)
{
    return good_name(e->d_name);
}

enum status platform_list(platform_seen_fn *seen, void *ctx, struct error *err)
{
    char dir[PATH_MAX];
    struct dirent **names;
    enum status why = platform_data_path(dir, "platforms", err);
    int n;

    if (why != OK)
        return why;
    n = scandir(dir, &names, is_platform, alphasort);
    if (n < 0 && errno == ENOENT)
        return OK; /* nobody has made one yet */
    if (n < 0)
        return fail(err, ERR_IO, "cannot list %s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct platform *p = NULL;
        struct error reason;

        if (platform_load(names[i]->d_name, &p, &reason) == OK)
            seen(ctx, names[i]->d_name, p, NULL);
        else
            seen(ctx, names[i]->d_name, NULL, &reason);
        platform_free(p);
        free(names[i]);
    }
    free(names);
    return OK;
}

/* ---- the persistent store ------------------------------------------------------------------ */

enum status platform_nv_load(const struct platform *p, uint8_t area[SEV_NV_BYTES],
                             struct error *err)
{
    size_t len;
    bool found;
    enum status why;

    if (!*p->dir) {
        memcpy(area, p->nv, SEV_NV_BYTES);
        return OK;
    }
    why = file_read(p->dir, NV_FILE, area, SEV_NV_BYTES, &len, &found, err);
    if (why != OK)
        return why;
    if (!found)
        memset(area, 0xFF, SEV_NV_BYTES);
    else /* cut short: the seal will not fit */
        memset(area + len, 0, SEV_NV_BYTES - len);
    return OK;
}

enum status platform_nv_store(struct platform *p, const uint8_t *area, struct error *err)
{
    char path[PATH_MAX];

    if (!*p->dir) {
        if (area)
            memcpy(p->nv, area, SEV_NV_BYTES);
        else
            memset(p->nv, 0xFF, SEV_NV_BYTES);
        return OK;
    }
    if (area)
        return file_write(p->dir, NV_FILE, area, SEV_NV_BYTES, err);
    if (path_join(path, p->dir, NV_FILE, err) != OK)
        return ERR_ARG;
    if (unlink(path) && errno != ENOENT)
        return fail(err, ERR_IO, "cannot erase %s: %s", path, strerror(errno));
    return OK;
}
