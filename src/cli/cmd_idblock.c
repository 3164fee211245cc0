/* lucca idblock: ID blocks of SEV-SNP guests, signed; and what a key's digest in a report is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/inputs.h"
#include "host/vm/base64.h"
#include "lucca/owner.h"

#define KEY_MAX        65536u
#define DEFAULT_POLICY 0x30000u /* SMT allowed; bit 17 is always 1 */

struct idblock {
    struct attest_id_block block;
    bool has_measurement, raw, json;
    struct blob id_key, author_key;
    const char *block_file, *auth_file;
};

/* ---- options ------------------------------------------------------------------------------------
 */

static enum status take_bytes(uint8_t *to, size_t size, const char *name, const char *value,
                              struct error *err)
{
    size_t len;

    if (!bytes_parse(to, size, size, value, &len))
        return fail(err, ERR_ARG, "%s: %zu bytes in hex or base64 are needed", name, size);
    return OK;
}

static enum status set_measurement(void *ctx, const char *value, struct error *err)
{
    struct idblock *o = ctx;

    o->has_measurement = true;
    return take_bytes(o->block.measurement, 48, "--measurement", value, err);
}

static enum status set_family(void *ctx, const char *value, struct error *err)
{
    return take_bytes(((struct idblock *)ctx)->block.family_id, 16, "--family-id", value, err);
}

static enum status set_image(void *ctx, const char *value, struct error *err)
{
    return take_bytes(((struct idblock *)ctx)->block.image_id, 16, "--image-id", value, err);
}

static enum status set_svn(void *ctx, const char *value, struct error *err)
{
    uint64_t n = 0;
    enum status s = number_parse("--guest-svn", value, UINT32_MAX, &n, err);

    ((struct idblock *)ctx)->block.guest_svn = (uint32_t)n;
    return s;
}

static enum status set_policy(void *ctx, const char *value, struct error *err)
{
    struct idblock *o = ctx;
    enum status s = number_parse("--policy", value, UINT64_MAX, &o->block.policy, err);

    if (s == OK && !(o->block.policy & BIT(17)))
        s = fail(err, ERR_ARG, "--policy %s: bit 17 (0x20000) is always 1 in a guest's policy",
                 value);
    return s;
}

static enum status set_id_key(void *ctx, const char *value, struct error *err)
{
    struct idblock *o = ctx;

    blob_free(&o->id_key);
    return blob_read(&o->id_key, "--idkey", value, KEY_MAX, err);
}

static enum status set_author_key(void *ctx, const char *value, struct error *err)
{
    struct idblock *o = ctx;

    blob_free(&o->author_key);
    return blob_read(&o->author_key, "--authorkey", value, KEY_MAX, err);
}

static enum status set_block_file(void *ctx, const char *value, struct error *err)
{
    ((struct idblock *)ctx)->block_file = value;
    return OK;
}

static enum status set_auth_file(void *ctx, const char *value, struct error *err)
{
    ((struct idblock *)ctx)->auth_file = value;
    return OK;
}

static enum status set_format(void *ctx, const char *value, struct error *err)
{
    struct idblock *o = ctx;

    o->raw = !strcmp(value, "raw");
    if (!o->raw && strcmp(value, "base64") != 0)
        return fail(err, ERR_ARG, "--output-format %s: base64 or raw", value);
    return OK;
}

static enum status set_json(void *ctx, const char *value, struct error *err)
{
    ((struct idblock *)ctx)->json = true;
    return OK;
}

static const struct option_row rows[] = {
    {"measurement", "DIGEST", 0, set_measurement, "the launch digest that it is for"},
    {"idkey", "FILE", 0, set_id_key, "the ID key: P-384, private, PEM or DER"},
    {"authorkey", "FILE", 0, set_author_key, "the author's key, which signs the ID key"},
    {"family-id", "BYTES", 0, set_family, "16 bytes in hex or base64; zero by default"},
    {"image-id", "BYTES", 0, set_image, "likewise"},
    {"guest-svn", "N", 0, set_svn, "the guest's security version; 0 by default"},
    {"policy", "NUMBER", 0, set_policy, "the guest's policy; 0x30000 by default"},
    {"id-block", "FILE", 0, set_block_file, "write the ID block to FILE"},
    {"id-auth", "FILE", 0, set_auth_file, "write the ID authentication to FILE"},
    {"output-format", "FORMAT", 0, set_format, "of these files: base64 (the default) or raw"},
    {"json", NULL, 0, set_json, "the result as JSON"},
};

static void print_help(void)
{
    printf("usage: lucca idblock --measurement DIGEST --idkey FILE [OPTION]...  sign an ID block\n"
           "       lucca idblock show BLOCK [AUTH]                  what is in it; check it\n"
           "       lucca idblock digest KEY...                      a key as reports show it\n\n");
    options_print(rows, COUNT(rows));
}

/* ---- output
 * --------------------------------------------------------------------------------------- */

struct made {
    uint8_t block[ATTEST_ID_BLOCK_BYTES], auth[ATTEST_ID_AUTH_BYTES];
    uint8_t id_digest[ATTEST_KEY_DIGEST_BYTES], author_digest[ATTEST_KEY_DIGEST_BYTES];
    bool by_author, has_auth;
};

static enum status write_part(const struct idblock *o, const char *path, const uint8_t *bytes,
                              size_t n, struct error *err)
{
    char *text = o->raw ? NULL : base64_encode(bytes, n);
    enum status s;

    if (!o->raw && !text)
        return fail(err, ERR_NOMEM, "no memory");
    s = write_whole(path, o->raw ? (const void *)bytes : text, o->raw ? n : strlen(text), 0666,
                    err);
    free(text);
    return s;
}

static void put_base64(const char *name, const uint8_t *bytes, size_t n)
{
    char *text = base64_encode(bytes, n);

    printf("%s=%s\n", name, text ? text : "");
    free(text);
}

static void put_hex(const char *name, const uint8_t *bytes, size_t n)
{
    char text[2 * 48 + 1];

    hex_text(text, bytes, n);
    printf("%s=%s\n", name, text);
}

static json_t *block_json(const struct made *m)
{
    struct attest_id_block b;
    char policy[24];

    attest_id_block_decode(&b, m->block);
    snprintf(policy, sizeof(policy), "%#" PRIx64, b.policy);
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:s}", "measurement", json_hex(b.measurement, 48),
                     "family_id", json_hex(b.family_id, 16), "image_id", json_hex(b.image_id, 16),
                     "version", (json_int_t)b.version, "guest_svn", (json_int_t)b.guest_svn,
                     "policy", policy);
}

static void add_digests(json_t *j, const struct made *m)
{
    json_object_set_new(j, "id_key_digest", json_hex(m->id_digest, 48));
    json_object_set_new(j, "author_key_enabled", json_boolean(m->by_author));
    if (m->by_author)
        json_object_set_new(j, "author_key_digest", json_hex(m->author_digest, 48));
}

static int print_made(const struct idblock *o, const struct made *m)
{
    char *block, *auth;
    json_t *j;

    if (!o->json) {
        if (!o->block_file)
            put_base64("id-block", m->block, sizeof(m->block));
        if (!o->auth_file)
            put_base64("id-auth", m->auth, sizeof(m->auth));
        printf("author-key-enabled=%s\n", m->by_author ? "on" : "off");
        put_hex("id-key-digest", m->id_digest, 48);
        if (m->by_author)
            put_hex("author-key-digest", m->author_digest, 48);
        return EXIT_OK;
    }
    block = base64_encode(m->block, sizeof(m->block));
    auth = base64_encode(m->auth, sizeof(m->auth));
    j = json_pack("{s:s, s:s, s:o}", "id_block", block ? block : "", "id_auth", auth ? auth : "",
                  "fields", block_json(m));
    free(block);
    free(auth);
    if (j)
        add_digests(j, m);
    return json_print(j);
}

/* ---- making
 * --------------------------------------------------------------------------------------- */

static enum status make(const struct idblock *o, struct made *m, struct error *err)
{
    struct attest_error why;
    enum status s = OK;

    attest_id_block_encode(m->block, &o->block);
    if (attest_id_auth_make(m->auth, m->block, blob_span(&o->id_key), blob_span(&o->author_key),
                            &why) != ATTEST_OK ||
        attest_id_auth_check(m->auth, m->block, m->id_digest, m->author_digest, &m->by_author,
                             &why) != ATTEST_OK)
        return attest_error_to(err, &why);
    if (o->block_file)
        s = write_part(o, o->block_file, m->block, sizeof(m->block), err);
    if (s == OK && o->auth_file)
        s = write_part(o, o->auth_file, m->auth, sizeof(m->auth), err);
    return s;
}

static int cmd_make(struct idblock *o, struct error *err)
{
    struct made m = {.has_auth = true};

    if (!o->has_measurement || !o->id_key.bytes)
        (void)fail(err, ERR_ARG,
                   "--measurement and --idkey are needed; see 'lucca idblock --help'");
    else if (make(o, &m, err) == OK)
        return print_made(o, &m);
    return EXIT_ERROR;
}

/* ---- showing
 * -------------------------------------------------------------------------------------- */

static void print_block(const struct made *m)
{
    struct attest_id_block b;

    attest_id_block_decode(&b, m->block);
    put_hex("measurement", b.measurement, 48);
    put_hex("family-id", b.family_id, 16);
    put_hex("image-id", b.image_id, 16);
    printf("version=%" PRIu32 "\nguest-svn=%" PRIu32 "\npolicy=%#" PRIx64 "\n", b.version,
           b.guest_svn, b.policy);
    if (!m->has_auth)
        return;
    put_hex("id-key-digest", m->id_digest, 48);
    printf("author-key-enabled=%s\n", m->by_author ? "on" : "off");
    if (m->by_author)
        put_hex("author-key-digest", m->author_digest, 48);
}

static int cmd_show(const struct idblock *o, int count, char **words, struct error *err)
{
    struct made m = {.has_auth = count > 1};
    struct attest_error why;
    json_t *j;

    if (count < 1 || count > 2) {
        (void)fail(err, ERR_ARG, "'lucca idblock show' takes a block's file, and its ID auth's");
        return EXIT_ERROR;
    }
    if (blob_read_exact(m.block, sizeof(m.block), "ID block", words[0], err) != OK ||
        (m.has_auth && blob_read_exact(m.auth, sizeof(m.auth), "ID auth", words[1], err) != OK))
        return EXIT_ERROR;
    if (m.has_auth && attest_id_auth_check(m.auth, m.block, m.id_digest, m.author_digest,
                                           &m.by_author, &why) != ATTEST_OK) {
        (void)attest_error_to(err, &why);
        return 2; /* a signature, as `lucca report verify` has it */
    }
    if (!o->json) {
        print_block(&m);
        return EXIT_OK;
    }
    j = block_json(&m);
    if (j && m.has_auth)
        add_digests(j, &m);
    return json_print(j);
}

static int cmd_digest(const struct idblock *o, int count, char **words, struct error *err)
{
    json_t *j = o->json ? json_object() : NULL;

    if (!count)
        (void)fail(err, ERR_ARG, "'lucca idblock digest' takes files of keys");
    for (int i = 0; i < count && err->code == OK; i++) {
        uint8_t digest[ATTEST_KEY_DIGEST_BYTES];
        char text[2 * sizeof(digest) + 1];
        struct attest_error why;
        struct blob key;

        if (blob_read(&key, "key", words[i], KEY_MAX, err) != OK)
            break;
        if (attest_id_key_digest(digest, blob_span(&key), &why) != ATTEST_OK) {
            (void)attest_error_to(err, &why);
            (void)fail_at(err, words[i]);
        }
        blob_free(&key);
        if (err->code != OK)
            break;
        hex_text(text, digest, sizeof(digest));
        if (j)
            json_object_set_new(j, words[i], json_string(text));
        else
            printf("%s  %s\n", text, words[i]);
    }
    if (err->code == OK && j)
        return json_print(j);
    json_decref(j);
    return err->code == OK ? EXIT_OK : EXIT_ERROR;
}

int cmd_idblock(int argc, char **argv)
{
    struct idblock o = {.block = {.version = 1, .policy = DEFAULT_POLICY}};
    struct error err = {0};
    int status = EXIT_ERROR, rest = argc;
    bool help = false;

    if (options_parse(argc, argv, "lucca idblock", rows, COUNT(rows), &o, &rest, &help, &err) != OK)
        ;
    else if (help)
        print_help();
    else if (rest < argc && !strcmp(argv[rest], "show"))
        status = cmd_show(&o, argc - rest - 1, argv + rest + 1, &err);
    else if (rest < argc && !strcmp(argv[rest], "digest"))
        status = cmd_digest(&o, argc - rest - 1, argv + rest + 1, &err);
    else if (rest < argc)
        (void)fail(&err, ERR_ARG, "'%.60s': show or digest; see 'lucca idblock --help'",
                   argv[rest]);
    else
        status = cmd_make(&o, &err);
    if (err.code != OK)
        fprintf(stderr, "lucca: %s\n", err.text);
    blob_free(&o.id_key);
    blob_free(&o.author_key);
    return help ? EXIT_OK : status;
}
