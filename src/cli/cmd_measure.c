/* lucca measure: launch digests of confidential guests, and why one is not as expected. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/launch_options.h"
#include "host/vm/base64.h"

#define EXIT_DIFFERS   5 /* as `lucca report verify` says that a policy is not met */
#define TARGET_MAX     ((size_t)8 << 30)
#define REPORT_MEASURE 0x90u
#define REPORT_CPUID   0x188u

struct measure {
    struct launch_options launch;
    bool base64, json, verbose, dump_vmsa;
    const char *explain, *save;
};

/* ---- options ------------------------------------------------------------------------------------
 */

static enum status set_format(void *ctx, const char *value, struct error *err)
{
    struct measure *m = ctx;

    m->base64 = !strcmp(value, "base64");
    if (!m->base64 && strcmp(value, "hex") != 0)
        return fail(err, ERR_ARG, "--output-format %s: hex or base64", value);
    return OK;
}

#define FLAG(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct measure *)ctx)->member = true;                                                    \
        return OK;                                                                                 \
    }
#define WORD(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct measure *)ctx)->member = value;                                                   \
        return OK;                                                                                 \
    }
FLAG(json)
FLAG(verbose)
FLAG(dump_vmsa)
WORD(explain)
WORD(save)

static const struct option_row own_rows[] = {
    {"explain", "WHAT", 0, set_explain,
     "why is it not WHAT: a digest, a report or another launch image"},
    {"output-format", "FORMAT", 0, set_format, "hex (the default) or base64"},
    {"json", NULL, 0, set_json, "the result as JSON"},
    {"verbose", NULL, 'v', set_verbose, "list what is launched"},
    {"dump-vmsa", NULL, 0, set_dump_vmsa, "write the VMSAs to vmsa0.bin, vmsa1.bin, ..."},
    {"save-image", "FILE", 0, set_save, "write what is launched to FILE: a launch image"},
};
#define ROWS (LAUNCH_OPTIONS + COUNT(own_rows))

static void all_rows(struct option_row rows[ROWS])
{
    memcpy(rows, launch_option_rows, sizeof(launch_option_rows));
    memcpy(rows + LAUNCH_OPTIONS, own_rows, sizeof(own_rows));
}

static void print_help(const struct option_row rows[ROWS])
{
    printf("usage: lucca measure --mode MODE --ovmf FILE [OPTION]...\n"
           "       lucca measure --launch-image FILE [OPTION]...\n\n"
           "The digest that a launch will have; with --explain, what makes it another.\n\n");
    options_print(rows, ROWS);
    printf("\nStatus: 0, 1 for a mistake, %d where --explain finds another digest.\n",
           EXIT_DIFFERS);
}

/* ---- the digest
 * ----------------------------------------------------------------------------------- */

static size_t digest_size(enum attest_mode mode)
{
    return mode == ATTEST_SNP || mode == ATTEST_SNP_SVSM ? ATTEST_SNP_DIGEST_BYTES
                                                         : ATTEST_SEV_DIGEST_BYTES;
}

static enum status digest_of(struct measure *m, uint8_t digest[ATTEST_DIGEST_MAX], size_t *len,
                             struct error *err)
{
    const struct attest_launch *in = &m->launch.in;
    struct attest_error why;
    enum status s = OK;

    if (m->launch.ovmf_hash_only) {
        *len = ATTEST_SNP_DIGEST_BYTES;
        return attest_measure_ovmf(in->ovmf.at, in->ovmf.len, digest, &why) == ATTEST_OK
                   ? OK
                   : attest_error_to(err, &why);
    }
    s = launch_options_image(&m->launch, err);
    if (s == OK && attest_image_digest(m->launch.image, digest, &why) != ATTEST_OK)
        s = attest_error_to(err, &why);
    if (s == OK)
        *len = digest_size(attest_image_mode(m->launch.image));
    return s;
}

static void digest_text(const struct measure *m, const uint8_t *digest, size_t len, char text[100])
{
    char *b64 = m->base64 ? base64_encode(digest, len) : NULL;

    if (b64)
        snprintf(text, 100, "%s", b64);
    else
        hex_text(text, digest, len);
    free(b64);
}

static json_t *pieces_json(const struct attest_image *image)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        const struct attest_piece *p = attest_image_piece(image, i);
        char gpa[24];

        snprintf(gpa, sizeof(gpa), "%#" PRIx64, p->gpa);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "type",
                                              attest_page_type_name(p->type), "gpa", gpa, "bytes",
                                              (json_int_t)p->len, "name", p->what));
    }
    return list;
}

static void print_pieces(const struct attest_image *image)
{
    for (unsigned i = 0; i < attest_image_pieces(image); i++) {
        const struct attest_piece *p = attest_image_piece(image, i);

        printf("%-10s %16" PRIx64 " %10" PRIx64 "  %s\n", attest_page_type_name(p->type), p->gpa,
               p->len, p->what);
    }
}

static int print_digest(const struct measure *m, const uint8_t *digest, size_t len)
{
    const struct attest_image *image = m->launch.image;
    enum attest_mode mode = image ? attest_image_mode(image) : m->launch.in.mode;
    char text[100];
    json_t *j;

    digest_text(m, digest, len, text);
    if (m->json) {
        char *b64 = base64_encode(digest, len);

        j = json_pack("{s:s, s:o, s:s}", "mode",
                      m->launch.ovmf_hash_only ? "snp:ovmf-hash" : mode_name(mode), "digest",
                      json_hex(digest, len), "digest_base64", b64 ? b64 : "");
        free(b64);
        if (j && m->verbose && image)
            json_object_set_new(j, "pieces", pieces_json(image));
        return json_print(j);
    }
    if (m->verbose && image)
        print_pieces(image);
    printf("%s\n", text);
    return EXIT_OK;
}

/* ---- files
 * ---------------------------------------------------------------------------------------- */

static enum status dump_vmsas(struct measure *m, struct error *err)
{
    enum status s = launch_options_image(&m->launch, err);
    unsigned number = 0;

    for (unsigned i = 0; s == OK && i < attest_image_pieces(m->launch.image); i++) {
        const struct attest_piece *p = attest_image_piece(m->launch.image, i);
        char name[32];

        if (p->type != ATTEST_PAGE_VMSA)
            continue;
        snprintf(name, sizeof(name), "vmsa%u.bin", number++);
        s = write_whole(name, p->contents, p->len, 0666, err);
    }
    return s;
}

static bool write_image(const struct attest_image *image, FILE *f)
{
    static const char *const names[] = {[ATTEST_SEV] = "sev",
                                        [ATTEST_SEV_ES] = "es",
                                        [ATTEST_SNP] = "snp",
                                        [ATTEST_SNP_SVSM] = "snp"};
    bool ok = fprintf(f, "lucca-launch-image 1\nmode %s\n", names[attest_image_mode(image)]) > 0;

    for (unsigned i = 0; ok && i < attest_image_pieces(image); i++) {
        char line[256];

        (void)attest_image_line(image, i, line, sizeof(line));
        ok = fprintf(f, "%s\n", line) > 0;
    }
    ok = ok && fputc('\n', f) != EOF;
    for (unsigned i = 0; ok && i < attest_image_pieces(image); i++) {
        const struct attest_piece *p = attest_image_piece(image, i);

        ok = !p->contents || fwrite(p->contents, p->len, 1, f) == 1;
    }
    return ok;
}

static enum status save_image(struct measure *m, struct error *err)
{
    enum status s = launch_options_image(&m->launch, err);
    FILE *f;
    bool ok;

    if (s != OK)
        return s;
    if (m->launch.in.ovmf_hash.at)
        return fail(err, ERR_ARG,
                    "--save-image: the firmware's pages are needed, not their digest");
    f = fopen(m->save, "we");
    if (!f)
        return fail(err, ERR_IO, "--save-image '%s' cannot be written", m->save);
    ok = write_image(m->launch.image, f);
    ok = fclose(f) == 0 && ok;
    if (ok)
        return OK;
    unlink(m->save);
    return fail(err, ERR_IO, "--save-image '%s' cannot be written", m->save);
}

/* ---- explaining
 * ----------------------------------------------------------------------------------- */

/* What --explain was given. */
struct target {
    uint8_t digest[ATTEST_DIGEST_MAX];
    size_t len;
    struct blob file;
    struct attest_image *image; /* or NULL */
    uint32_t signature;         /* of the report's processor, or 0 */
    const char *kind;
};

static void target_free(struct target *t)
{
    attest_image_free(t->image);
    blob_free(&t->file);
}

static enum status take_report(struct target *t, const uint8_t *report)
{
    const uint8_t *fms = report + REPORT_CPUID;

    memcpy(t->digest, report + REPORT_MEASURE, ATTEST_SNP_DIGEST_BYTES);
    t->len = ATTEST_SNP_DIGEST_BYTES;
    t->kind = "the report's measurement";
    if (load32(report) >= 3 && !attest_vcpu_signature(fms[0], fms[1], fms[2], &t->signature))
        t->signature = 0;
    return OK;
}

static enum status take_file(struct target *t, const char *path, struct error *err)
{
    struct attest_input in;
    struct attest_error why;
    enum status s = blob_read(&t->file, "--explain", path, TARGET_MAX, err);
    bool image;

    if (s != OK)
        return s;
    image = t->file.len > 18 && !memcmp(t->file.bytes, "lucca-launch-image", 18);
    if (!image && attest_input_open(&in, t->file.bytes, t->file.len, &why) == ATTEST_OK) {
        s = take_report(t, in.report);
        attest_input_free(&in);
        return s;
    }
    if (!image && t->file.len < 200 && t->file.len) { /* a digest in a file, with its line end */
        char text[200] = "";

        memcpy(text, t->file.bytes, t->file.len);
        text[strcspn(text, "\r\n")] = 0;
        t->kind = "the digest";
        if (bytes_parse(t->digest, 32, 48, text, &t->len) && t->len % 16 == 0)
            return OK;
    }
    if (attest_image_open(&t->image, t->file.bytes, t->file.len, &why) != ATTEST_OK ||
        attest_image_digest(t->image, t->digest, &why) != ATTEST_OK) {
        (void)attest_error_to(err, &why);
        return fail_at(err, path);
    }
    t->len = digest_size(attest_image_mode(t->image));
    t->kind = "the other launch";
    return OK;
}

static enum status take_target(struct target *t, const char *text, struct error *err)
{
    t->kind = "the digest";
    if (access(text, F_OK) == 0)
        return take_file(t, text, err);
    if (bytes_parse(t->digest, 32, 48, text, &t->len) && (t->len == 32 || t->len == 48))
        return OK;
    return fail(err, ERR_ARG,
                "--explain '%.60s': there is no such file, and it is no digest of 32 or 48 bytes "
                "in hex or base64",
                text);
}

static json_t *changes_json(const struct attest_explanation *e)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < e->changes; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "what", e->change[i].what, "given",
                                              e->change[i].given, "needed", e->change[i].needed));
    return list;
}

static json_t *verdict_json(const struct target *t, const uint8_t *digest, size_t len)
{
    bool same = len == t->len && !memcmp(digest, t->digest, len);

    return json_pack("{s:b, s:o, s:o}", "matches", same, "expected", json_hex(t->digest, t->len),
                     "computed", json_hex(digest, len));
}

static void print_search(const struct attest_explanation *e)
{
    if (!e->found) {
        printf(
            "nothing explains it: %" PRIu64
            " launches were tried, each with every number of vCPUs.\n"
            "Another firmware, kernel or initrd may explain it: --ovmf-candidate and its like.\n",
            e->tried);
        return;
    }
    printf("it is the digest of this launch with %s\n",
           e->changes == 1 ? "one change:" : "these changes:");
    for (unsigned i = 0; i < e->changes; i++)
        printf("  %s: %s, not %s\n", e->change[i].what, e->change[i].needed, e->change[i].given);
}

static int search(struct measure *m, const struct target *t, const uint8_t *digest, size_t len)
{
    const struct launch_options *o = &m->launch;
    struct attest_suspects more = launch_options_suspects(o);
    struct attest_explanation e;
    struct attest_error why;
    struct attest_launch in = o->in;
    int status = EXIT_DIFFERS;

    in.vcpus = in.vcpus ? in.vcpus : 1;
    more.signature = t->signature;
    if (attest_explain(&in, t->digest, t->len, &more, &e, &why) != ATTEST_OK) {
        fprintf(stderr, "lucca: %s\n", why.text);
        return EXIT_ERROR;
    }
    if (m->json) {
        json_t *j = verdict_json(t, digest, len);

        if (j)
            json_object_set_new(j, "explanation",
                                json_pack("{s:b, s:o, s:I}", "found", e.found, "changes",
                                          changes_json(&e), "tried", (json_int_t)e.tried));
        if (json_print(j) != EXIT_OK)
            status = EXIT_ERROR;
    } else {
        print_search(&e);
    }
    attest_explanation_free(&e);
    return status;
}

static int compare(const struct measure *m, const struct target *t, const uint8_t *digest,
                   size_t len)
{
    struct attest_difference d;
    char gpa[2][24];
    json_t *j;

    attest_image_compare(m->launch.image, t->image, &d);
    for (unsigned i = 0; i < 2; i++)
        snprintf(gpa[i], sizeof(gpa[i]), "%#" PRIx64, d.gpa[i]);
    if (!m->json) {
        printf("they part at %s", d.where);
        if (strcmp(d.field, "presence") != 0)
            printf(" (page %s%s%s)", gpa[0], strcmp(gpa[0], gpa[1]) ? ", or " : "",
                   strcmp(gpa[0], gpa[1]) ? gpa[1] : "");
        printf(", %s: %s here, %s there\n", d.field, d.value[0], d.value[1]);
        return EXIT_DIFFERS;
    }
    j = verdict_json(t, digest, len);
    if (j)
        json_object_set_new(j, "difference",
                            json_pack("{s:s, s:s, s:[ii], s:[ss], s:[ss]}", "where", d.where,
                                      "field", d.field, "pieces", (int)d.piece[0], (int)d.piece[1],
                                      "gpas", gpa[0], gpa[1], "values", d.value[0], d.value[1]));
    return json_print(j) == EXIT_OK ? EXIT_DIFFERS : EXIT_ERROR;
}

static int explain(struct measure *m, const struct target *t, const uint8_t *digest, size_t len)
{
    char text[2][2 * ATTEST_DIGEST_MAX + 1];

    if (len == t->len && !memcmp(digest, t->digest, len)) {
        if (m->json)
            return json_print(verdict_json(t, digest, len));
        printf("it is %s: nothing is to be explained\n", t->kind);
        return EXIT_OK;
    }
    if (!m->json) {
        hex_text(text[0], digest, len);
        hex_text(text[1], t->digest, t->len);
        printf("this launch: %s\n%s: %s\n", text[0], t->kind, text[1]);
    }
    if (t->image)
        return compare(m, t, digest, len);
    if (m->launch.image_path) {
        if (m->json)
            return json_print(verdict_json(t, digest, len)) == EXIT_OK ? EXIT_DIFFERS : EXIT_ERROR;
        printf("a launch image alone has nothing to vary: give the inputs, or another image\n");
        return EXIT_DIFFERS;
    }
    return search(m, t, digest, len);
}

/* ---- the command
 * ---------------------------------------------------------------------------------- */

static int run(struct measure *m, struct error *err)
{
    uint8_t digest[ATTEST_DIGEST_MAX];
    struct target t = {.len = 0};
    int status = EXIT_ERROR;
    size_t len = 0;

    if (digest_of(m, digest, &len, err) != OK || (m->dump_vmsa && dump_vmsas(m, err) != OK) ||
        (m->save && save_image(m, err) != OK))
        return EXIT_ERROR;
    if (!m->explain)
        return print_digest(m, digest, len);
    if (m->launch.ovmf_hash_only)
        (void)fail(err, ERR_ARG, "--explain is for whole launches");
    else if (take_target(&t, m->explain, err) == OK)
        status = explain(m, &t, digest, len);
    target_free(&t);
    return status;
}

int cmd_measure(int argc, char **argv)
{
    struct measure *m = calloc(1, sizeof(*m));
    struct option_row rows[ROWS];
    struct error err = {0};
    int status = EXIT_ERROR, rest = argc;
    bool help = false;

    if (!m) {
        fprintf(stderr, "lucca: no memory\n");
        return EXIT_ERROR;
    }
    m->launch.in.guest_features = 1;
    all_rows(rows);
    if (options_parse(argc, argv, "lucca measure", rows, ROWS, m, &rest, &help, &err) != OK)
        ;
    else if (help)
        print_help(rows);
    else if (rest < argc)
        (void)fail(&err, ERR_ARG, "'%.60s': lucca measure takes options alone", argv[rest]);
    else if (launch_options_check(&m->launch, &err) == OK)
        status = run(m, &err);
    if (err.code != OK)
        fprintf(stderr, "lucca: %s\n", err.text);
    launch_options_free(&m->launch);
    free(m);
    return help ? EXIT_OK : status;
}
