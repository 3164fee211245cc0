/* lucca owner: what the owner of a SEV or SEV-ES guest does, who trusts the platform's secure
 * processor and nobody on the way to it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "cli/launch_options.h"
#include "host/vm/base64.h"
#include "lucca/owner.h"

/* As `lucca report verify` has them. */
enum { EXIT_UNTRUSTED = 2, EXIT_NO_CERTS = 3, EXIT_OTHER_LAUNCH = 5 };

#define CHAIN_MAX   65536u
#define FILES_MAX   8u
#define SECRETS_MAX 16u
#define TEXT_MAX    1024u
#define VCPUS_TRIED 64u /* each costs a MAC */

struct owner {
    struct launch_options launch;
    struct blob file[FILES_MAX], root[FILES_MAX];
    struct attest_span roots[FILES_MAX];
    size_t root_count;
    bool trust_emulated, unverified, json;
    const char *name; /* of the session's files */
    uint8_t tik[16], tek[16], measure[ATTEST_MEASURE_BYTES], nonce[16];
    bool has_tik, has_tek, has_measure, has_nonce, has_policy, has_digest;
    unsigned facts_given; /* of API major, minor and build */
    struct attest_launch_facts facts;
    const char *secret[SECRETS_MAX], *raw_secret, *header_file, *packet_file;
    size_t secrets;
    uint64_t gpa;
    bool has_gpa;
};

/* ---- options ------------------------------------------------------------------------------------
 */

static enum status set_root(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;
    enum status s;

    if (o->root_count == FILES_MAX)
        return fail(err, ERR_LIMIT, "--root: at most %u of them", FILES_MAX);
    s = blob_read(&o->root[o->root_count], "--root", value, CHAIN_MAX, err);
    if (s == OK) {
        o->roots[o->root_count] = blob_span(&o->root[o->root_count]);
        o->root_count++;
    }
    return s;
}

#define FLAG(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct owner *)ctx)->member = true;                                                      \
        return OK;                                                                                 \
    }
#define WORD(member)                                                                               \
    static enum status set_##member(void *ctx, const char *value, struct error *err)               \
    {                                                                                              \
        ((struct owner *)ctx)->member = value;                                                     \
        return OK;                                                                                 \
    }
FLAG(trust_emulated)
FLAG(unverified)
FLAG(json)
WORD(name)
WORD(raw_secret)
WORD(header_file)
WORD(packet_file)

static enum status set_policy(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;
    uint64_t n = 0;
    enum status s = number_parse("--policy", value, UINT32_MAX, &n, err);

    o->facts.policy = (uint32_t)n;
    o->has_policy = true;
    return s;
}

static enum status set_tik(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    o->has_tik = true;
    return blob_read_exact(o->tik, sizeof(o->tik), "--tik", value, err);
}

static enum status set_tek(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    o->has_tek = true;
    return blob_read_exact(o->tek, sizeof(o->tek), "--tek", value, err);
}

/* The words themselves, or a file with them. */
static enum status set_measure(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;
    size_t len;

    o->has_measure = true;
    if (bytes_parse(o->measure, sizeof(o->measure), sizeof(o->measure), value, &len))
        return OK;
    return blob_read_exact(o->measure, sizeof(o->measure), "--launch-measure-blob", value, err);
}

static enum status set_nonce(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;
    size_t len;

    o->has_nonce = true;
    if (bytes_parse(o->nonce, sizeof(o->nonce), sizeof(o->nonce), value, &len))
        return OK;
    return fail(err, ERR_ARG, "--nonce: 16 bytes in hex or base64 are needed");
}

static enum status set_digest(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;
    size_t len;

    o->has_digest = true;
    if (bytes_parse(o->facts.digest, sizeof(o->facts.digest), sizeof(o->facts.digest), value, &len))
        return OK;
    return fail(err, ERR_ARG, "--launch-digest: 32 bytes in hex or base64 are needed");
}

static enum status set_fact(struct owner *o, unsigned bit, const char *name, const char *value,
                            uint8_t *to, struct error *err)
{
    uint64_t n = 0;
    enum status s = number_parse(name, value, UINT8_MAX, &n, err);

    *to = (uint8_t)n;
    o->facts_given |= 1u << bit;
    return s;
}

static enum status set_major(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    return set_fact(o, 0, "--api-major", value, &o->facts.api_major, err);
}

static enum status set_minor(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    return set_fact(o, 1, "--api-minor", value, &o->facts.api_minor, err);
}

static enum status set_build(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    return set_fact(o, 2, "--build-id", value, &o->facts.build, err);
}

static enum status add_secret(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    if (o->secrets == SECRETS_MAX)
        return fail(err, ERR_LIMIT, "--secret: at most %u of them", SECRETS_MAX);
    o->secret[o->secrets++] = value;
    return OK;
}

static enum status set_gpa(void *ctx, const char *value, struct error *err)
{
    struct owner *o = ctx;

    o->has_gpa = true;
    return number_parse("--gpa", value, UINT64_MAX, &o->gpa, err);
}

/* ---- files --------------------------------------------------------------------------------------
 */

static enum status write_base64(const char *path, const uint8_t *bytes, size_t n, unsigned mode,
                                struct error *err)
{
    char *text = base64_encode(bytes, n);
    enum status s =
        text ? write_whole(path, text, strlen(text), mode, err) : fail(err, ERR_NOMEM, "no memory");

    free(text);
    return s;
}

/* ---- verify-chain -------------------------------------------------------------------------------
 */

static enum status read_chain(struct owner *o, int count, char **words,
                              struct attest_sev_chain *chain, struct error *err)
{
    struct attest_error why;

    if (!count || count > (int)FILES_MAX)
        return fail(err, ERR_ARG, "1 to %u files of certificates are needed", FILES_MAX);
    for (int i = 0; i < count; i++) {
        enum status s = blob_read(&o->file[i], "certificates", words[i], CHAIN_MAX, err);

        if (s != OK)
            return s;
        if (attest_sev_chain_add(chain, o->file[i].bytes, o->file[i].len, &why) != ATTEST_OK) {
            (void)attest_error_to(err, &why);
            return fail_at(err, words[i]);
        }
    }
    return OK;
}

static enum attest_verdict judge(const struct owner *o, const struct attest_sev_chain *chain,
                                 struct attest_sev_result *r)
{
    return attest_sev_chain_verify(chain, o->roots, o->root_count, o->trust_emulated, r);
}

static const char *verdict_text(const struct attest_sev_result *r)
{
    if (r->verdict == ATTEST_UNTRUSTED)
        return "NOT TRUSTED: a check failed";
    if (r->verdict == ATTEST_NO_CERTS)
        return "NOT VERIFIED: certificates are missing";
    if (r->emulated)
        return "verified, but EMULATED: this platform is software and protects nothing";
    return r->product ? "verified up to AMD's root" : "verified up to the root that was given";
}

static json_t *checks_json(const struct attest_sev_result *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < ATTEST_SEV_CHECKS; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", r->check[i].name,
                                              "what", r->check[i].what, "outcome",
                                              attest_outcome_name(r->check[i].outcome), "found",
                                              r->check[i].found));
    return list;
}

static void print_checks(const struct attest_sev_result *r, FILE *to)
{
    for (unsigned i = 0; i < ATTEST_SEV_CHECKS; i++)
        fprintf(to, "%-9s %-14s %s: %s\n", attest_outcome_name(r->check[i].outcome),
                r->check[i].name, r->check[i].what, r->check[i].found);
    fprintf(to, "%s\n", verdict_text(r));
}

static int verify_chain(struct owner *o, int count, char **words, struct error *err)
{
    struct attest_sev_chain chain = {0};
    struct attest_sev_result r;
    enum attest_verdict v;

    if (read_chain(o, count, words, &chain, err) != OK)
        return EXIT_ERROR;
    v = judge(o, &chain, &r);
    if (o->json) {
        json_t *j = json_pack("{s:s, s:b, s:s, s:o}", "verdict", attest_verdict_name(v), "emulated",
                              r.emulated, "summary", verdict_text(&r), "checks", checks_json(&r));

        if (j && r.product)
            json_object_set_new(j, "product", json_string(r.product));
        return json_print(j) == EXIT_OK ? (int)v : EXIT_ERROR;
    }
    print_checks(&r, stdout);
    return (int)v;
}

/* ---- session ------------------------------------------------------------------------------------
 */

static enum status write_session(const char *name, const struct attest_session *s,
                                 struct error *err)
{
    const struct {
        const char *suffix;
        const uint8_t *bytes;
        size_t n;
        bool secret;
    } files[] = {
        {"tik.bin", s->tik, sizeof(s->tik), true},
        {"tek.bin", s->tek, sizeof(s->tek), true},
        {"godh.b64", s->dh_cert, sizeof(s->dh_cert), false},
        {"session.b64", s->session, sizeof(s->session), false},
    };
    enum status status = OK;

    for (size_t i = 0; i < COUNT(files) && status == OK; i++) {
        char path[4096];

        if (snprintf(path, sizeof(path), "%s_%s", name, files[i].suffix) >= (int)sizeof(path))
            return fail(err, ERR_ARG, "--name: it is too long");
        status = files[i].secret ? write_whole(path, files[i].bytes, files[i].n, 0600, err)
                                 : write_base64(path, files[i].bytes, files[i].n, 0666, err);
    }
    return status;
}

static int session(struct owner *o, int count, char **words, struct error *err)
{
    struct attest_sev_chain chain = {0};
    struct attest_session made;
    struct attest_sev_result r;
    struct attest_error why;
    enum status s;

    if (!o->has_policy) {
        (void)fail(err, ERR_ARG, "--policy is needed: the session is good for that one alone");
        return EXIT_ERROR;
    }
    if (read_chain(o, count, words, &chain, err) != OK)
        return EXIT_ERROR;
    if (!o->unverified && judge(o, &chain, &r) != ATTEST_GOOD) {
        print_checks(&r, stderr);
        (void)fail(err, ERR_CRYPTO, "no session for a platform that is not verified");
        return (int)r.verdict;
    }
    if (!chain.cert[ATTEST_SEV_PDH].at) {
        (void)fail(err, ERR_ARG, "there is no PDH among these certificates");
        return EXIT_NO_CERTS;
    }
    if (attest_session_make(&made, chain.cert[ATTEST_SEV_PDH], o->facts.policy, &why) !=
        ATTEST_OK) {
        (void)attest_error_to(err, &why);
        return EXIT_ERROR;
    }
    s = write_session(o->name, &made, err);
    explicit_bzero(&made, sizeof(made));
    if (s != OK)
        return EXIT_ERROR;
    if (!o->unverified && r.emulated)
        fprintf(stderr, "lucca: EMULATED: this platform is software and protects nothing\n");
    if (o->unverified)
        fprintf(stderr,
                "lucca: UNVERIFIED: whoever made this PDH can read what is sealed for it\n");
    printf("%s_godh.b64 and %s_session.b64 are for the launch; %s_tik.bin and %s_tek.bin stay "
           "with you\n",
           o->name, o->name, o->name, o->name);
    return EXIT_OK;
}

/* ---- measurement --------------------------------------------------------------------------------
 */

static enum status launch_digest(struct owner *o, struct error *err)
{
    uint8_t digest[ATTEST_DIGEST_MAX];
    struct launch_options *l = &o->launch;
    struct attest_error why;
    enum status s;

    if (o->has_digest)
        return l->image_path || l->in.ovmf.at
                   ? fail(err, ERR_ARG, "--launch-digest takes the place of the launch's inputs")
                   : OK;
    if (!l->has_mode && !l->image_path) { /* the policy says which it is */
        l->in.mode = o->facts.policy & BIT(2) ? ATTEST_SEV_ES : ATTEST_SEV;
        l->has_mode = true;
    }
    if (l->has_mode && l->in.mode != ATTEST_SEV && l->in.mode != ATTEST_SEV_ES)
        return fail(err, ERR_ARG, "--mode: SEV-SNP guests have reports, not launch measurements");
    s = launch_options_check(l, err);
    if (s == OK)
        s = launch_options_image(l, err);
    if (s == OK && attest_image_mode(l->image) == ATTEST_SNP)
        s = fail(err, ERR_ARG, "SEV-SNP guests have reports, not launch measurements");
    if (s == OK && attest_image_digest(l->image, digest, &why) != ATTEST_OK)
        s = attest_error_to(err, &why);
    if (s == OK)
        memcpy(o->facts.digest, digest, sizeof(o->facts.digest));
    return s;
}

static bool fits(const struct owner *o, const struct attest_launch_facts *f)
{
    return attest_launch_measure_check(o->tik, f, o->measure, NULL) == ATTEST_OK;
}

/* What besides the launch itself may be otherwise: a policy, another firmware. */
static bool suspect(const struct owner *o, char text[TEXT_MAX])
{
    struct attest_launch_facts f = o->facts;

    for (f.policy = 0; f.policy < 0x40; f.policy++)
        if (fits(o, &f)) {
            snprintf(text, TEXT_MAX, "the policy was %#x, not %#x", f.policy, o->facts.policy);
            return true;
        }
    f.policy = o->facts.policy;
    for (unsigned i = 0; i < 0x10000; i++) {
        f.api_minor = (uint8_t)(i >> 8);
        f.build = (uint8_t)i;
        if (fits(o, &f)) {
            snprintf(text, TEXT_MAX,
                     "the platform's firmware was %u.%u build %u, not %u.%u build %u", f.api_major,
                     f.api_minor, f.build, o->facts.api_major, o->facts.api_minor, o->facts.build);
            return true;
        }
    }
    return false;
}

static bool digest_fits(void *ctx, const uint8_t *digest, size_t len)
{
    const struct owner *o = ctx;
    struct attest_launch_facts f = o->facts;

    memcpy(f.digest, digest, MIN(len, sizeof(f.digest)));
    return fits(o, &f);
}

/* Another launch: a change of its inputs, where they are given. */
static void suspect_launch(struct owner *o, char text[TEXT_MAX])
{
    const struct launch_options *l = &o->launch;
    struct attest_suspects more = launch_options_suspects(l);
    struct attest_launch in = l->in;
    struct attest_explanation e;

    if (o->has_digest || l->image_path)
        return;
    in.vcpus = in.vcpus ? in.vcpus : 1;
    more.vcpus_max = more.vcpus_max ? more.vcpus_max : VCPUS_TRIED;
    if (attest_explain_if(&in, digest_fits, o, &more, &e, NULL) != ATTEST_OK)
        return;
    for (unsigned i = 0, at = 0; i < e.changes && at < TEXT_MAX; i++)
        at += (unsigned)snprintf(text + at, TEXT_MAX - at, "%s%s: %s, not %s", i ? "; " : "",
                                 e.change[i].what, e.change[i].needed, e.change[i].given);
    attest_explanation_free(&e);
}

static int check_measurement(struct owner *o)
{
    char text[TEXT_MAX] = "nothing but another launch, or another TIK, explains it; "
                          "'lucca measure' computes launches";
    bool good = fits(o, &o->facts);

    if (!good && !suspect(o, text))
        suspect_launch(o, text);
    if (o->json) {
        json_t *j = json_pack("{s:b, s:o}", "matches", good, "launch_digest",
                              json_hex(o->facts.digest, sizeof(o->facts.digest)));

        if (j && !good)
            json_object_set_new(j, "explanation", json_string(text));
        if (json_print(j) != EXIT_OK)
            return EXIT_ERROR;
    } else if (good) {
        printf("the measurement is that of this launch\n");
    } else {
        printf("the measurement is NOT that of this launch: %s\n", text);
    }
    return good ? EXIT_OK : EXIT_OTHER_LAUNCH;
}

static int make_measurement(struct owner *o, struct error *err)
{
    struct attest_error why;
    char *text;

    if (attest_launch_measure_make(o->measure, o->tik, &o->facts, o->nonce, &why) != ATTEST_OK) {
        (void)attest_error_to(err, &why);
        return EXIT_ERROR;
    }
    text = base64_encode(o->measure, sizeof(o->measure));
    if (o->json) {
        json_t *j = json_pack("{s:s, s:o}", "launch_measure", text ? text : "", "launch_digest",
                              json_hex(o->facts.digest, sizeof(o->facts.digest)));

        free(text);
        return json_print(j);
    }
    printf("%s\n", text ? text : "");
    free(text);
    return EXIT_OK;
}

static int measurement(struct owner *o, int count, char **words, struct error *err)
{
    if (count)
        (void)fail(err, ERR_ARG, "'%.60s': 'lucca owner measurement' takes options alone",
                   words[0]);
    else if (!o->has_tik || !o->has_policy || o->facts_given != 7)
        (void)fail(err, ERR_ARG,
                   "--tik, --policy, --api-major, --api-minor and --build-id are "
                   "needed; query-sev says the last three");
    else if (o->has_measure == o->has_nonce)
        (void)fail(err, ERR_ARG, "--launch-measure-blob is needed, or --nonce to compute one");
    else if (launch_digest(o, err) == OK)
        return o->has_nonce ? make_measurement(o, err) : check_measurement(o);
    return EXIT_ERROR;
}

/* ---- secret -------------------------------------------------------------------------------------
 */

static enum status add_to_table(const char *word, uint8_t *table, size_t *len, struct error *err)
{
    const char *colon = strchr(word, ':');
    struct attest_error why;
    struct blob b;
    char guid[40];
    enum status s;

    if (!colon || colon - word >= (ptrdiff_t)sizeof(guid))
        return fail(err, ERR_ARG, "--secret %.60s: GUID:FILE is needed", word);
    snprintf(guid, sizeof(guid), "%.*s", (int)(colon - word), word);
    s = blob_read(&b, "--secret", colon + 1, ATTEST_SECRET_MAX, err);
    if (s == OK && attest_secret_add(table, len, guid, b.bytes, b.len, &why) != ATTEST_OK)
        s = attest_error_to(err, &why);
    blob_free(&b);
    return s;
}

static enum status collect_secret(struct owner *o, uint8_t *table, size_t *len, struct error *err)
{
    struct blob b;
    enum status s = OK;

    if ((o->secrets != 0) == (o->raw_secret != NULL))
        return fail(err, ERR_ARG, "either --secret GUID:FILE (several) or --raw FILE is needed");
    for (size_t i = 0; i < o->secrets && s == OK; i++)
        s = add_to_table(o->secret[i], table, len, err);
    if (!o->raw_secret)
        return s;
    s = blob_read(&b, "--raw", o->raw_secret, ATTEST_SECRET_MAX, err);
    if (s == OK && !b.len)
        s = fail(err, ERR_ARG, "--raw '%s': it is empty", o->raw_secret);
    if (s == OK) {
        memcpy(table, b.bytes, b.len);
        *len = (b.len + 15) / 16 * 16; /* zeros behind it */
    }
    blob_free(&b);
    return s;
}

static int print_packet(const struct owner *o, const uint8_t *header, const uint8_t *sealed,
                        size_t len)
{
    char *h = base64_encode(header, ATTEST_SECRET_HEADER_BYTES), *s = base64_encode(sealed, len);
    int status = EXIT_OK;

    if (o->json) {
        /* a line for QMP as it is */
        json_t *j = json_pack("{s:s, s:{s:s, s:s}}", "execute", "sev-inject-launch-secret",
                              "arguments", "packet-header", h ? h : "", "secret", s ? s : "");

        if (j && o->has_gpa)
            json_object_set_new(json_object_get(j, "arguments"), "gpa",
                                json_integer((json_int_t)o->gpa));
        status = json_print_line(j);
    } else {
        if (!o->header_file)
            printf("packet-header=%s\n", h ? h : "");
        if (!o->packet_file)
            printf("secret=%s\n", s ? s : "");
    }
    free(h);
    free(s);
    return status;
}

static int seal(struct owner *o, int count, char **words, struct error *err)
{
    static uint8_t table[ATTEST_SECRET_MAX], sealed[ATTEST_SECRET_MAX];
    uint8_t header[ATTEST_SECRET_HEADER_BYTES];
    struct attest_error why;
    size_t len = 0;
    enum status s = OK;

    if (count)
        s = fail(err, ERR_ARG, "'%.60s': 'lucca owner secret' takes options alone", words[0]);
    else if (!o->has_tik || !o->has_tek || !o->has_measure)
        s = fail(err, ERR_ARG, "--tik, --tek and --launch-measure-blob are needed");
    if (s == OK)
        s = collect_secret(o, table, &len, err);
    if (s == OK && attest_secret_seal(header, sealed, o->tek, o->tik, o->measure, table, len,
                                      &why) != ATTEST_OK)
        s = attest_error_to(err, &why);
    explicit_bzero(table, sizeof(table));
    if (s == OK && o->header_file)
        s = write_base64(o->header_file, header, sizeof(header), 0666, err);
    if (s == OK && o->packet_file)
        s = write_base64(o->packet_file, sealed, len, 0666, err);
    return s == OK ? print_packet(o, header, sealed, len) : EXIT_ERROR;
}

/* ---- the table ----------------------------------------------------------------------------------
 */

#define CHAIN_ROWS                                                                                 \
    {"root", "FILE", 0, set_root, "an ARK to trust besides AMD's, binary"},                        \
    {                                                                                              \
        "trust-emulated", NULL, 0, set_trust_emulated, "take roots that say they are emulated"     \
    }
#define JSON_ROW                                                                                   \
    {                                                                                              \
        "json", NULL, 0, set_json, "the result as JSON"                                            \
    }
#define TIK_ROW                                                                                    \
    {                                                                                              \
        "tik", "FILE", 0, set_tik, "the session's transport integrity key"                         \
    }
#define MEASURE_ROW                                                                                \
    {                                                                                              \
        "launch-measure-blob", "BASE64", 0, set_measure, "what query-sev-launch-measure said"      \
    }
#define POLICY_ROW                                                                                 \
    {                                                                                              \
        "policy", "NUMBER", 0, set_policy, "the guest's policy"                                    \
    }

static const struct option_row chain_rows[] = {CHAIN_ROWS, JSON_ROW};
static const struct option_row session_rows[] = {
    POLICY_ROW,
    CHAIN_ROWS,
    {"name", "NAME", 0, set_name, "how the files begin; vm by default"},
    {"unverified", NULL, 0, set_unverified, "take the PDH as it is, whoever made it"}};
static const struct option_row measurement_rows[] = {
    TIK_ROW,
    MEASURE_ROW,
    POLICY_ROW,
    {"api-major", "N", 0, set_major, "of the platform's firmware, as query-sev says"},
    {"api-minor", "N", 0, set_minor, "likewise"},
    {"build-id", "N", 0, set_build, "likewise"},
    {"launch-digest", "DIGEST", 0, set_digest, "of the launch; or its inputs, see below"},
    {"nonce", "BYTES", 0, set_nonce, "compute the measurement with this nonce"},
    JSON_ROW};
static const struct option_row secret_rows[] = {
    TIK_ROW,
    {"tek", "FILE", 0, set_tek, "the session's transport encryption key"},
    MEASURE_ROW,
    {"secret", "GUID:FILE", 0, add_secret, "a secret for OVMF's table of them; may be repeated"},
    {"raw", "FILE", 0, set_raw_secret, "or bytes without a table"},
    {"header-file", "FILE", 0, set_header_file, "write the packet header to FILE, in base64"},
    {"packet-file", "FILE", 0, set_packet_file, "write the sealed secret to FILE, in base64"},
    {"gpa", "ADDRESS", 0, set_gpa, "--json: where in the guest's memory"},
    {"json", NULL, 0, set_json, "the QMP command that injects it"}};

static const struct action {
    const char *name, *args, *help;
    const struct option_row *rows;
    size_t count;
    bool launch; /* takes the inputs of a launch, too */
    int (*run)(struct owner *o, int argc, char **argv, struct error *err);
} actions[] = {
    {"verify-chain", "CERTS...", "is this a platform of AMD's?", chain_rows, COUNT(chain_rows),
     false, verify_chain},
    {"session", "--policy N CERTS...", "keys for a launch on that platform", session_rows,
     COUNT(session_rows), false, session},
    {"measurement", "--tik FILE ...", "is what was launched what was meant?", measurement_rows,
     COUNT(measurement_rows), true, measurement},
    {"secret", "--tik FILE --tek FILE ...", "seal a secret for the guest", secret_rows,
     COUNT(secret_rows), false, seal},
};

static void print_help(const struct action *only)
{
    printf("usage: lucca owner ACTION [OPTION]...\n");
    for (size_t i = 0; i < COUNT(actions); i++) {
        const struct action *a = &actions[i];

        if (only && a != only)
            continue;
        printf("\n%s %s: %s\n", a->name, a->args, a->help);
        options_print(a->rows, a->count);
        if (a->launch)
            printf("  and, of a launch, the options of 'lucca measure'\n");
    }
    printf(
        "\nCERTS are binary certificates, several in a file or one in each: PDH, PEK, OCA, CEK,\n"
        "ASK and ARK, as 'lucca platform show --export' and sevctl write them.\n");
}

static int run_action(const struct action *a, struct owner *o, int argc, char **argv,
                      struct error *err)
{
    struct option_row rows[COUNT(measurement_rows) + LAUNCH_OPTIONS];
    char command[40];
    int rest = argc;
    bool help = false;
    size_t n = a->count;

    memcpy(rows, a->rows, a->count * sizeof(rows[0]));
    if (a->launch) {
        memcpy(rows + n, launch_option_rows, sizeof(launch_option_rows));
        n += LAUNCH_OPTIONS;
    }
    snprintf(command, sizeof(command), "lucca owner %s", a->name);
    if (options_parse(argc, argv, command, rows, n, o, &rest, &help, err) != OK)
        return EXIT_ERROR;
    if (help) {
        print_help(a);
        return EXIT_OK;
    }
    return a->run(o, argc - rest, argv + rest, err);
}

int cmd_owner(int argc, char **argv)
{
    struct owner *o = calloc(1, sizeof(*o));
    const struct action *a = NULL;
    struct error err = {0};
    int status = EXIT_ERROR;

    for (size_t i = 0; argc > 1 && i < COUNT(actions); i++)
        if (!strcmp(actions[i].name, argv[1]))
            a = &actions[i];
    if (!o) {
        (void)fail(&err, ERR_NOMEM, "no memory");
    } else if (a) {
        o->name = "vm";
        status = run_action(a, o, argc - 1, argv + 1, &err);
    } else if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        print_help(NULL);
        status = EXIT_OK;
    } else {
        (void)fail(&err, ERR_ARG,
                   "'lucca owner' needs verify-chain, session, measurement or "
                   "secret; see 'lucca owner --help'");
    }
    if (err.code != OK)
        fprintf(stderr, "lucca: %s\n", err.text);
    if (o) {
        launch_options_free(&o->launch);
        for (size_t i = 0; i < FILES_MAX; i++) {
            blob_free(&o->file[i]);
            blob_free(&o->root[i]);
        }
        explicit_bzero(o, sizeof(*o));
    }
    free(o);
    return status;
}
