/* Chip identities on disk, and the emulated AMD at their root. */
#include "asp_rig.h"
#include "silicon/asp/platform.h"
#include "silicon/asp/root.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/lucca-test-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static int make_home(void **state)
{
    strcpy(home, "/tmp/lucca-test-XXXXXX");
    return !mkdtemp(home) || setenv("XDG_DATA_HOME", home, 1);
}

static int remove_home(void **state)
{
    return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *in_home(const char *leaf)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/lucca/%s", home, leaf);
    return path;
}

static void create(const char *name, enum chip_id chip)
{
    struct error err;

    if (platform_create(name, chip_by_id(chip), NULL, &err) != OK)
        fail_msg("%s", err.text);
}

static void write_file(const char *leaf, const void *bytes, size_t len)
{
    FILE *f = fopen(in_home(leaf), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static unsigned entries(const char *leaf)
{
    DIR *dir = opendir(in_home(leaf));
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(dir);
    while ((e = readdir(dir)))
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(dir);
    return n;
}

static unsigned mode_of(const char *leaf)
{
    struct stat st;

    assert_int_equal(stat(in_home(leaf), &st), 0);
    return st.st_mode & 0777;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void a_platform_is_made_loaded_and_deleted(void **state)
{
    struct platform *made, *loaded;
    struct error err;

    assert_int_equal(platform_create("mine", chip_by_id(CHIP_MILAN), &made, &err), OK);
    assert_int_equal(mode_of("platforms/mine"), 0700);
    assert_int_equal(mode_of("platforms/mine/chip.secret"), 0600);
    assert_int_equal(entries("platforms/mine"), 2);
    assert_int_equal(entries("platforms"), 1); /* nothing else was left */
    assert_int_equal(platform_load("mine", &loaded, &err), OK);
    assert_memory_equal(made, loaded, offsetof(struct platform, nv));
    platform_free(loaded);
    assert_int_equal(platform_load(made->dir, &loaded, &err), OK); /* by its path */
    assert_string_equal(loaded->name, "mine");
    assert_ptr_equal(loaded->chip, chip_by_id(CHIP_MILAN));
    platform_free(loaded);
    platform_free(made);

    assert_int_equal(platform_create("mine", chip_by_id(CHIP_GENOA), NULL, &err), ERR_STATE);
    assert_int_equal(platform_delete("mine", &err), OK);
    assert_int_equal(entries("platforms"), 0);
    assert_int_equal(platform_load("mine", &loaded, &err), ERR_IO);
    assert_non_null(strstr(err.text, "no platform 'mine'"));
    assert_int_equal(platform_delete("mine", &err), ERR_IO);
}

static void two_chips_are_two_chips(void **state)
{
    struct platform *a, *b;

    assert_int_equal(platform_create("a", chip_by_id(CHIP_GENOA), &a, NULL), OK);
    assert_int_equal(platform_create("b", chip_by_id(CHIP_GENOA), &b, NULL), OK);
    assert_memory_not_equal(a->secret, b->secret, sizeof(a->secret));
    assert_memory_not_equal(a->id, b->id, sizeof(a->id));
    platform_free(a);
    platform_free(b);
}

static void names_that_are_no_names_are_refused(void **state)
{
    static const char *const names[] = {
        "",          ".",
        "..",        ".hidden",
        "a b",       "x/../..",
        "/",         "sub/",
        "new\nline", "0123456789012345678901234567890123456789012345678901234567890123x",
    };
    struct error err;

    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(platform_create(names[i], chip_by_id(CHIP_GENOA), NULL, &err), ERR_ARG);
        assert_non_null(strstr(err.text, "no name for a platform"));
    }
    assert_int_equal(access(in_home("platforms"), F_OK), -1);
}

struct seen {
    char text[256];
};

static void see(void *ctx, const char *name, const struct platform *p, const struct error *why)
{
    struct seen *s = ctx;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof(s->text) - n, "%s=%s ", name, p ? p->chip->name : "?");
    assert_true(!p == !!why);
}

static void platforms_are_listed_by_name(void **state)
{
    struct seen s = {""};

    assert_int_equal(platform_list(see, &s, NULL), OK);
    assert_string_equal(s.text, "");
    create("two", CHIP_ROME);
    create("one", CHIP_TURIN);
    create("broken", CHIP_GENOA);
    write_file("platforms/broken/platform.json", "{}", 2);
    assert_int_equal(platform_list(see, &s, NULL), OK);
    assert_string_equal(s.text, "broken=? one=turin two=rome ");
}

/* ---- what is wrong with a directory is said in a sentence ----------------------------------- */

static void damaged_platforms_are_refused(void **state)
{
    static const struct {
        const char *file, *bytes;
        enum status status;
        const char *says;
    } cases[] = {
        {"platform.json", "{", ERR_FORMAT, "platform.json, line 1"},
        {"platform.json", "[]", ERR_FORMAT, "not a platform's description"},
        {"platform.json", "{\"format\": \"x\", \"version\": 1, \"chip\": \"genoa\"}", ERR_FORMAT,
         "not a platform's description"},
        {"platform.json", "{\"format\": \"lucca-platform\", \"version\": 9, \"chip\": \"genoa\"}",
         ERR_UNSUPPORTED, "version 9"},
        {"platform.json", "{\"format\": \"lucca-platform\", \"version\": 1, \"chip\": \"z80\"}",
         ERR_FORMAT, "unknown chip 'z80'"},
        {"platform.json", "{\"format\": \"lucca-platform\", \"version\": 1, \"chip\": 7}",
         ERR_FORMAT, "not a platform's description"},
        {"chip.secret", "short", ERR_FORMAT, "48 bytes"},
        {"chip.secret", "0123456789012345678901234567890123456789012345678", ERR_FORMAT,
         "48 bytes"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char name[16], file[64];
        struct platform *p;
        struct error err;

        snprintf(name, sizeof(name), "p%zu", i);
        snprintf(file, sizeof(file), "platforms/%s/%s", name, cases[i].file);
        create(name, CHIP_GENOA);
        write_file(file, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(platform_load(name, &p, &err), cases[i].status);
        if (!strstr(err.text, cases[i].says))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].says);
        assert_int_equal(platform_delete(name, &err), cases[i].status); /* not ours to remove */
    }
}

static void strangers_files_survive_a_delete(void **state)
{
    struct error err;

    create("p", CHIP_GENOA);
    write_file("platforms/p/notes.txt", "mine", 4);
    assert_int_equal(platform_delete("p", &err), ERR_IO);
    assert_int_equal(entries("platforms/p"), 1);
}

static void nothing_half_made_is_left_behind(void **state)
{
    struct error err;

    create("p", CHIP_GENOA);
    write_file("platforms/blocked", "a file", 6);
    assert_int_equal(platform_create("blocked", chip_by_id(CHIP_GENOA), NULL, &err), ERR_STATE);
    assert_int_equal(entries("platforms"), 2);
    setenv("XDG_DATA_HOME", in_home("platforms/blocked"), 1); /* a file where a directory must be */
    assert_int_equal(platform_create("p", chip_by_id(CHIP_GENOA), NULL, &err), ERR_IO);
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(platform_create("p", chip_by_id(CHIP_GENOA), NULL, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "HOME"));
}

/* ---- behind a secure processor -------------------------------------------------------------- */

static void an_identity_outlasts_the_machine(void **state)
{
    struct exported first, again;
    struct rig rig;

    create("p", CHIP_GENOA);
    rig_open(&rig, CHIP_GENOA, "p");
    rig_init(&rig);
    export_certs(&rig, &first);
    rig_close(&rig);
    assert_int_equal(entries("platforms/p"), 3);
    assert_int_equal(mode_of("platforms/p/nv.bin"), 0600);

    rig_open(&rig, CHIP_GENOA, "p");
    rig_init(&rig);
    export_certs(&rig, &again);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(PLAIN_COMMAND(&rig, PDH_GEN), SEV_SUCCESS);
    export_certs(&rig, &first);
    rig_close(&rig);

    rig_open(&rig, CHIP_GENOA, "p");
    rig_init(&rig);
    export_certs(&rig, &again);
    assert_memory_equal(&first, &again, sizeof(first));
    assert_int_equal(PLAIN_COMMAND(&rig, SHUTDOWN), SEV_SUCCESS);
    assert_int_equal(PLAIN_COMMAND(&rig, PLATFORM_RESET), SEV_SUCCESS);
    rig_close(&rig);
    assert_int_equal(entries("platforms/p"), 2);
}

static void a_store_that_something_changed_is_refused_once(void **state)
{
    struct exported first, again;
    struct sev_cmd_init init = {0};
    struct rig rig;

    create("p", CHIP_GENOA);
    create("q", CHIP_GENOA);
    rig_open(&rig, CHIP_GENOA, "p");
    rig_init(&rig);
    export_certs(&rig, &first);
    rig_close(&rig);
    write_file("platforms/p/nv.bin", "cut short", 9);
    rig_open(&rig, CHIP_GENOA, "p");
    assert_int_equal(COMMAND(&rig, INIT, init), SEV_SECURE_DATA_INVALID);
    assert_int_equal(COMMAND(&rig, INIT, init), SEV_SUCCESS);
    export_certs(&rig, &again);
    assert_memory_not_equal(first.pdh, again.pdh, SEV_CERT_BYTES);
    rig_close(&rig);

    /* another chip's store */
    char from[PATH_MAX];
    strcpy(from, in_home("platforms/p/nv.bin"));
    assert_int_equal(rename(from, in_home("platforms/q/nv.bin")), 0);
    rig_open(&rig, CHIP_GENOA, "q");
    assert_int_equal(COMMAND(&rig, INIT, init), SEV_SECURE_DATA_INVALID);
    rig_close(&rig);
}

/* Keys that cannot be kept are not made: the command fails and the old ones stay. */
static void a_disk_that_refuses_leaves_the_old_keys(void **state)
{
    static struct world before;
    struct rig rig;

    create("p", CHIP_GENOA);
    rig_open(&rig, CHIP_GENOA, "p");
    rig_init(&rig);
    assert_int_equal(nftw(in_home("platforms/p"), remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    look(&rig, &before);
    assert_int_equal(PLAIN_COMMAND(&rig, PEK_GEN), SEV_HWERROR_PLATFORM);
    assert_same_world(&rig, &before);
    assert_int_equal(PLAIN_COMMAND(&rig, PDH_GEN), SEV_HWERROR_PLATFORM);
    assert_same_world(&rig, &before);
    rig_close(&rig);
}

static void a_chip_is_no_other_chip(void **state)
{
    struct dram *dram;
    struct asp *asp;
    struct error err;

    create("p", CHIP_ROME);
    assert_int_equal(dram_new(DRAM_BYTES, false, &dram, NULL), OK);
    assert_int_equal(asp_new(chip_by_id(CHIP_GENOA), dram, NULL, 1, "p", &asp, &err), ERR_ARG);
    assert_string_equal(err.text, "the platform 'p' is a rome, not a genoa; use --chip rome");
    assert_int_equal(asp_new(chip_by_id(CHIP_GENOA), dram, NULL, 1, "nobody", &asp, &err), ERR_IO);
    dram_free(dram);
}

/* ---- the root ------------------------------------------------------------------------------- */

/* PSS with SHA-384, by libcrypto alone; numbers in the certificate are little-endian. */
static bool rsa_signed(const struct amd_cert *by, const void *msg, size_t len, const uint8_t *sig)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL), *pss;
    BIGNUM *n = BN_lebin2bn(by->modulus, 512, NULL), *e = BN_lebin2bn(by->exponent, 512, NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params;
    uint8_t big[512];
    bool ok;

    for (unsigned i = 0; i < 512; i++)
        big[i] = sig[511 - i];
    assert_true(OSSL_PARAM_BLD_push_BN(bld, "n", n) && OSSL_PARAM_BLD_push_BN(bld, "e", e));
    params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    assert_int_equal(EVP_DigestVerifyInit(md, &pss, EVP_sha384(), NULL, key), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(pss, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pss, 48) > 0);
    ok = EVP_DigestVerify(md, big, 512, msg, len) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    OSSL_PARAM_free(params);
    BN_free(n);
    BN_free(e);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_BLD_free(bld);
    return ok;
}

static void the_emulated_amd_vouches_for_a_chip(void **state)
{
    struct root *root, *again;
    struct platform *p;
    struct exported e;
    struct sev_cert cek;
    struct rig rig;
    struct error err;

    create("p", CHIP_GENOA);
    assert_int_equal(platform_load("p", &p, &err), OK);
    assert_int_equal(root_open(&root, &err), OK);
    assert_int_equal(mode_of("root"), 0700);
    assert_int_equal(mode_of("root/ark.key"), 0600);
    assert_int_equal(root_open(&again, &err), OK); /* the same */
    assert_memory_equal(root->ark_cert.modulus, again->ark_cert.modulus, 512);
    assert_memory_equal(root->ask_cert.modulus, again->ask_cert.modulus, 512);
    assert_memory_not_equal(root->ark_cert.modulus, root->ask_cert.modulus, 512);
    root_free(again);

    assert_memory_equal(root->ark_cert.key_id, "LUCCA-EMULATED-R", 16);
    assert_memory_equal(root->ask_cert.signer_id, "LUCCA-EMULATED-R", 16);
    assert_true(rsa_signed(&root->ark_cert, &root->ark_cert, 0x440, root->ark_cert.sig));
    assert_true(rsa_signed(&root->ark_cert, &root->ask_cert, 0x440, root->ask_cert.sig));
    assert_int_equal(root_sign_cek(root, p, &cek, &err), OK);
    assert_int_equal(cek.sigs[0].usage, USAGE_ASK);
    assert_int_equal(cek.sigs[0].algo, ALGO_RSA_SHA384);
    assert_true(rsa_signed(&root->ask_cert, &cek, SEV_CERT_BODY, cek.sigs[0].sig));

    rig_open(&rig, CHIP_GENOA, "p"); /* and it is the CEK that the chip exports */
    rig_init(&rig);
    export_certs(&rig, &e);
    assert_memory_equal(e.cek, &cek, SEV_CERT_BODY);
    rig_close(&rig);
    root_free(root);
    platform_free(p);
}

static void a_damaged_root_is_refused(void **state)
{
    struct root *root;
    struct error err;

    create("p", CHIP_GENOA);
    assert_int_equal(mkdir(in_home("root"), 0700), 0);
    write_file("root/ark.key", "nonsense", 8);
    assert_int_equal(root_open(&root, &err), ERR_FORMAT);
    assert_non_null(strstr(err.text, "no RSA-4096 key"));
}

#define HOMED(test) cmocka_unit_test_setup_teardown(test, make_home, remove_home)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOMED(a_platform_is_made_loaded_and_deleted),
        HOMED(two_chips_are_two_chips),
        HOMED(names_that_are_no_names_are_refused),
        HOMED(platforms_are_listed_by_name),
        HOMED(damaged_platforms_are_refused),
        HOMED(strangers_files_survive_a_delete),
        HOMED(nothing_half_made_is_left_behind),
        HOMED(an_identity_outlasts_the_machine),
        HOMED(a_store_that_something_changed_is_refused_once),
        HOMED(a_disk_that_refuses_leaves_the_old_keys),
        HOMED(a_chip_is_no_other_chip),
        HOMED(the_emulated_amd_vouches_for_a_chip),
        HOMED(a_damaged_root_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
