/* lucca platform: emulated chips that outlive a run. Whatever shows a key or a certificate of one
 * says that it is emulated. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/platform_certs.h"
#include "crypto/sev_cert.h"
#include "host/vm/vm.h"
#include "silicon/asp/platform.h"
#include "silicon/asp/root.h"
#include "silicon/asp/x509.h"

#define EMULATED                                                                                   \
    "EMULATED: this chip is software; its certificates chain to a root that is not AMD's"

struct options {
    bool json;
    const char *export; /* a directory, or NULL */
    const char *out, *tcb, *vlek;
};

static void hex(char *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", from[i]);
}

static int failed(const struct error *err)
{
    fprintf(stderr, "lucca: %s\n", err->text);
    return EXIT_ERROR;
}

static int print_json(json_t *j)
{
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

    json_decref(j);
    if (!text) {
        fprintf(stderr, "lucca: no memory\n");
        return EXIT_ERROR;
    }
    printf("%s\n", text);
    free(text);
    return EXIT_OK;
}

static json_t *platform_json(const struct platform *p)
{
    char id[2 * SEV_ID_BYTES + 1];

    hex(id, p->id, sizeof(p->id));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "name", p->name, "chip", p->chip->name,
                     "chip_id", id, "created", p->created, "directory", p->dir, "emulated", 1);
}

/* ---- create ------------------------------------------------------------------------------------
 */

static int create(const struct options *o, int argc, char **argv)
{
    const struct chip *chip = argc ? chip_by_name(argv[0]) : NULL;
    const char *name = argc > 1 ? argv[1] : argv[0];
    struct platform *p;
    struct error err;

    if (!chip)
        (void)fail(&err, ERR_ARG, "'%.40s' is no chip: naples, rome, milan, genoa or turin",
                   argv[0]);
    if (!chip || platform_create(name, chip, &p, &err) != OK)
        return failed(&err);
    if (o->json) {
        int status = print_json(platform_json(p));

        platform_free(p);
        return status;
    }
    printf("%s: an emulated %s in %s\nuse it with: lucca run --chip %s --platform %s ...\n",
           p->name, p->chip->name, p->dir, p->chip->name, name);
    platform_free(p);
    return EXIT_OK;
}

/* ---- list --------------------------------------------------------------------------------------
 */

struct listing {
    json_t *json; /* NULL: for people */
    bool any, broken;
};

static void list_one(void *ctx, const char *name, const struct platform *p, const struct error *why)
{
    struct listing *l = ctx;
    char id[17];

    if (!p) {
        fprintf(stderr, "lucca: %s: %s\n", name, why->text);
        l->broken = true;
        return;
    }
    if (l->json) {
        json_array_append_new(l->json, platform_json(p));
        return;
    }
    if (!l->any)
        printf("%-24s %-8s %-20s %s\n", "NAME", "CHIP", "EMULATED SINCE", "CHIP ID");
    l->any = true;
    hex(id, p->id, 8);
    printf("%-24s %-8s %-20s %s...\n", p->name, p->chip->name, p->created, id);
}

static int list(const struct options *o, int argc, char **argv)
{
    struct listing l = {.json = o->json ? json_array() : NULL};
    struct error err;
    int status = EXIT_OK;

    if (platform_list(list_one, &l, &err) != OK) {
        json_decref(l.json);
        return failed(&err);
    }
    if (o->json)
        status = print_json(l.json);
    else if (!l.any && !l.broken)
        printf("no platforms yet; 'lucca platform create genoa' makes one\n");
    return l.broken ? EXIT_ERROR : status;
}

/* ---- what its secure processor says ------------------------------------------------------------
 */

enum { PDH, PEK, OCA, CEK, CERTS };
static const char *const cert_names[CERTS] = {"PDH", "PEK", "OCA", "CEK"};

/* As a host's owner gets them: the chip is switched on, with as little memory as it takes, and
 * asked. A new chip makes its keys at that. */
static enum status ask_chip(const struct platform *p, struct sev_cert certs[CERTS],
                            struct error *err)
{
    struct host_config cfg = {.chip = p->chip,
                              .memory = host_memory_for(0, 1),
                              .cores = 1,
                              .clock = CLOCK_VIRTUAL,
                              .platform = p->dir};
    struct sev_platform said;
    struct host *h;
    enum status s = host_new(&cfg, &h, err);

    if (s != OK)
        return s;
    s = host_sev_platform(h, &said, err);
    if (s == OK && (said.pdh_len != sizeof(certs[0]) || said.chain_len != 3 * sizeof(certs[0]))) {
        s = fail(err, ERR_FORMAT,
                 "the secure processor of '%s' gives certificates of %zu and %zu "
                 "bytes",
                 p->name, said.pdh_len, said.chain_len);
        sev_platform_free(&said);
    } else if (s == OK) {
        memcpy(&certs[PDH], said.pdh, said.pdh_len);
        memcpy(&certs[PEK], said.chain, said.chain_len);
        sev_platform_free(&said);
    }
    host_free(h);
    return s;
}

/* ---- show --------------------------------------------------------------------------------------
 */

static const char *usage_name(uint32_t usage)
{
    static const struct {
        enum sev_usage usage;
        const char *name;
    } names[] = {{USAGE_ARK, "ARK"}, {USAGE_ASK, "ASK"}, {USAGE_OCA, "OCA"},
                 {USAGE_PEK, "PEK"}, {USAGE_PDH, "PDH"}, {USAGE_CEK, "CEK"}};

    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].usage == usage)
            return names[i].name;
    return NULL;
}

static const char *algo_name(uint32_t algo)
{
    return algo == ALGO_ECDSA_SHA256   ? "ECDSA P-384 SHA-256"
           : algo == ALGO_ECDH_SHA256  ? "ECDH P-384 SHA-256"
           : algo == ALGO_ECDSA_SHA384 ? "ECDSA P-384 SHA-384"
           : algo == ALGO_ECDH_SHA384  ? "ECDH P-384 SHA-384"
                                       : "unknown";
}

/* QX, most significant byte first, as other tools show a point. */
static void key_text(const struct sev_cert *c, char out[2 * 48 + 1])
{
    for (size_t i = 0; i < 48; i++)
        snprintf(out + 2 * i, 3, "%02x", c->pubkey[4 + 47 - i]);
}

/* "OCA and CEK" */
static void signers(const struct sev_cert *c, char out[32])
{
    const char *first = usage_name(c->sigs[0].usage), *second = usage_name(c->sigs[1].usage);

    if (c->sigs[0].usage == USAGE_NONE)
        first = NULL;
    snprintf(out, 32, "%s%s%s",
             first    ? first
             : second ? ""
                      : "nobody",
             first && second ? " and " : "", second ? second : "");
}

/* The chip id as reports and certificates have it, and what firmware there is. */
static json_t *snp_json(const struct platform *p)
{
    const struct snp_firmware *current = &p->versions.current, *committed = &p->versions.committed;
    char id[2 * SEV_ID_BYTES + 1], now[TCB_HEX], least[TCB_HEX];
    uint8_t hwid[SEV_ID_BYTES];

    hex(id, hwid, snp_hwid(p, hwid));
    tcb_hex(current->tcb, now);
    tcb_hex(committed->tcb, least);
    return json_pack("{s:s, s:s, s:s, s:s}", "product", snp_product_line(p->chip), "chip_id", id,
                     "current_tcb", now, "committed_tcb", least);
}

static void print_firmware(const char *what, const struct chip *chip, const struct snp_firmware *fw)
{
    char bytes[TCB_HEX], words[TCB_TEXT];

    tcb_hex(fw->tcb, bytes);
    tcb_text(chip, fw->tcb, words);
    printf("%-10s %u.%u.%u, TCB %s (%s)\n", what, fw->major, fw->minor, fw->build, bytes, words);
}

static void show_snp(const struct platform *p)
{
    char id[2 * SEV_ID_BYTES + 1];
    uint8_t hwid[SEV_ID_BYTES];
    size_t len = snp_hwid(p, hwid);

    hex(id, hwid, len);
    printf("SEV-SNP    as %s, chip id %.16s%s\n", snp_product_line(p->chip), id,
           len > 8 ? "..." : "");
    print_firmware("current", p->chip, &p->versions.current);
    print_firmware("committed", p->chip, &p->versions.committed);
    printf("\n");
}

static json_t *show_json(const struct platform *p, const struct sev_cert certs[CERTS])
{
    json_t *j = platform_json(p), *list_of = json_array();

    for (int i = 0; i < CERTS; i++) {
        char key[97], by[32];

        key_text(&certs[i], key);
        signers(&certs[i], by);
        json_array_append_new(list_of,
                              json_pack("{s:s, s:s, s:s, s:s, s:b}", "usage", cert_names[i],
                                        "algorithm", algo_name(certs[i].algo), "key_x", key,
                                        "signed_by", by, "emulated", 1));
    }
    json_object_set_new(j, "certificates", list_of);
    if (snp_product_line(p->chip))
        json_object_set_new(j, "snp", snp_json(p));
    return j;
}

static void show_text(const struct platform *p, const struct sev_cert certs[CERTS])
{
    char id[2 * SEV_ID_BYTES + 1];

    hex(id, p->id, sizeof(p->id));
    printf("%s\n\nname       %s\nchip       %s\nbrand      %s\ncreated    %s\ndirectory  %s\n"
           "chip id    %.64s\n           %s\n\n",
           EMULATED, p->name, p->chip->name, p->chip->brand, p->created, p->dir, id, id + 64);
    if (snp_product_line(p->chip))
        show_snp(p);
    for (int i = 0; i < CERTS; i++) {
        char key[97], by[32];

        key_text(&certs[i], key);
        signers(&certs[i], by);
        printf("%s (emulated)  %s, API %u.%u, signed by %s\n  x = %.48s\n      %s\n", cert_names[i],
               algo_name(certs[i].algo), certs[i].api_major, certs[i].api_minor, by, key, key + 48);
    }
}

/* ---- export ------------------------------------------------------------------------------------
 */

struct export
{
    const char *leaf;
    const void *bytes;
    size_t len;
};

/* Written beside and renamed: a file is whole or not there. */
enum status write_out_file(const char *dir, const char *leaf, const void *bytes, size_t len,
                           struct error *err)
{
    char path[PATH_MAX], temp[PATH_MAX];
    int fd;
    bool good;

    if (snprintf(path, sizeof(path), "%s/%s", dir, leaf) >= (int)sizeof(path) ||
        snprintf(temp, sizeof(temp), "%s/.%s.XXXXXX", dir, leaf) >= (int)sizeof(temp))
        return fail(err, ERR_ARG, "the path '%.200s' is too long", dir);
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return fail(err, ERR_IO, "cannot write in '%.200s': %s", dir, strerror(errno));
    good = write(fd, bytes, len) == (ssize_t)len && fchmod(fd, 0644) == 0;
    good = close(fd) == 0 && good && rename(temp, path) == 0;
    if (good)
        return OK;
    (void)fail(err, ERR_IO, "cannot write '%.300s': %s", path, strerror(errno ? errno : ENOSPC));
    unlink(temp);
    return ERR_IO;
}

enum status make_out_directory(const char *dir, struct error *err)
{
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return fail(err, ERR_IO, "cannot make the directory '%.200s': %s", dir, strerror(errno));
    return OK;
}

/* pdh.cert; cert_chain.cert: PEK, OCA, CEK; ask_ark.cert: ASK, ARK. The CEK has the ASK's
 * signature, which AMD's key service adds to what a chip itself exports. */
static enum status export_to(const struct platform *p, const char *dir,
                             struct sev_cert certs[CERTS], struct error *err)
{
    struct root *root;
    struct amd_cert ask_ark[2];
    const struct export files[] = {
        {"pdh.cert", &certs[PDH], sizeof(certs[PDH])},
        {"cert_chain.cert", &certs[PEK], 3 * sizeof(certs[PEK])},
        {"ask_ark.cert", ask_ark, sizeof(ask_ark)},
    };
    enum status s = root_open(&root, err);

    if (s != OK)
        return s;
    s = root_sign_cek(root, p, &certs[CEK], err);
    ask_ark[0] = root->ask_cert;
    ask_ark[1] = root->ark_cert;
    root_free(root);
    if (s == OK)
        s = make_out_directory(dir, err);
    for (size_t i = 0; i < COUNT(files) && s == OK; i++)
        s = write_out_file(dir, files[i].leaf, files[i].bytes, files[i].len, err);
    return s;
}

static int show(const struct options *o, int argc, char **argv)
{
    struct sev_cert certs[CERTS] = {0};
    struct platform *p;
    struct error err;
    int status = EXIT_OK;
    enum status s = platform_load(argv[0], &p, &err);

    if (s != OK)
        return failed(&err);
    s = ask_chip(p, certs, &err);
    if (s == OK && o->export)
        s = export_to(p, o->export, certs, &err);
    if (s != OK)
        status = failed(&err);
    else if (o->json)
        status = print_json(show_json(p, certs));
    else
        show_text(p, certs);
    if (s == OK && o->export && !o->json)
        printf("\nwritten to %s: pdh.cert, cert_chain.cert (PEK, OCA, CEK signed by the emulated "
               "ASK),\nask_ark.cert (EMULATED, not AMD's)\n",
               o->export);
    platform_free(p);
    return status;
}

/* ---- certs -------------------------------------------------------------------------------------
 */

static int certs(const struct options *o, int argc, char **argv)
{
    const struct certs_options c = {o->json, o->out, o->tcb, o->vlek};

    return platform_certs(&c, argv[0]);
}

/* ---- delete ------------------------------------------------------------------------------------
 */

static int delete (const struct options *o, int argc, char **argv)
{
    struct error err;

    if (platform_delete(argv[0], &err) != OK)
        return failed(&err);
    if (o->json)
        return print_json(json_pack("{s:s}", "deleted", argv[0]));
    printf("%s is deleted; what only its keys could open is lost\n", argv[0]);
    return EXIT_OK;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static const struct action {
    const char *name, *args, *help;
    int least, most;
    bool exports, certifies; /* has --export; has --out, --tcb, --vlek */
    int (*run)(const struct options *o, int argc, char **argv);
} actions[] = {
    {"create", "CHIP [NAME]", "make a chip: naples, rome, milan, genoa or turin", 1, 2, false,
     false, create},
    {"list", "", "list the chips that there are", 0, 0, false, false, list},
    {"show", "NAME [--export DIR]", "its id and certificates; and write them in AMD's binary form",
     1, 1, true, false, show},
    {"certs", "NAME [--out DIR] [--tcb LIST] [--vlek CSP]",
     "its X.509 chain for SEV-SNP: VCEK, ASK and ARK, or all of it as files", 1, 1, false, true,
     certs},
    {"delete", "NAME", "forget a chip and its keys", 1, 1, false, false, delete},
};

static void help(void)
{
    printf("usage: lucca platform ACTION ... [--json]\n\n");
    for (size_t i = 0; i < COUNT(actions); i++)
        printf("  %s %s\n      %s\n", actions[i].name, actions[i].args, actions[i].help);
    printf("\n--tcb LIST is the committed TCB unless said, with parts changed: "
           "snpSPL=24,ucodeSPL=219;\n"
           "--vlek CSP adds a VLEK of that cloud provider.\nA NAME with a '/' in it is a directory "
           "of its own.\n%s.\n",
           EMULATED);
}

static int usage(const struct action *a)
{
    if (a)
        fprintf(stderr, "lucca: usage: lucca platform %s%s%s\n", a->name, *a->args ? " " : "",
                a->args);
    else
        fprintf(stderr, "lucca: 'lucca platform' needs create, list, show, certs or delete; see "
                        "'lucca platform --help'\n");
    return EXIT_ERROR;
}

int cmd_platform(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
                                          {"export", required_argument, NULL, 'e'},
                                          {"out", required_argument, NULL, 'o'},
                                          {"tcb", required_argument, NULL, 't'},
                                          {"vlek", required_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    const struct action *a = NULL;
    struct options o = {0};
    int c;

    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (c == 'h') {
            help();
            return EXIT_OK;
        }
        if (c == '?' || c == ':') {
            fprintf(stderr, "lucca: %s %s; see 'lucca platform --help'\n", argv[optind - 1],
                    c == '?' ? "is no option of 'lucca platform'" : "needs a value");
            return EXIT_ERROR;
        }
        if (c == 'j')
            o.json = true;
        else if (c == 'e')
            o.export = optarg;
        else if (c == 'o')
            o.out = optarg;
        else if (c == 't')
            o.tcb = optarg;
        else
            o.vlek = optarg;
    }
    for (size_t i = 0; optind < argc && i < COUNT(actions); i++)
        if (!strcmp(actions[i].name, argv[optind]))
            a = &actions[i];
    if (!a || argc - optind - 1 < a->least || argc - optind - 1 > a->most ||
        (o.export && !a->exports) || ((o.out || o.tcb || o.vlek) && !a->certifies))
        return usage(a);
    return a->run(&o, argc - optind - 1, argv + optind + 1);
}
