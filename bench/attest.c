/* Verifications per second of the attestation library on one core, beside the bare libcrypto
 * operations that they need.
 *
 *     attest_bench REPORT VCEK DATE      a report, its certificate, and seconds since 1970
 *
 * For example, from the build folder:
 *     bench/attest_bench ../tests/data/attestation/reports/milan-v3/report.bin \
 *         ../tests/data/attestation/reports/milan-v3/vcek.der 1744675200
 *
 * Prints one JSON object. `chain` is the whole of it: three RSASSA-PSS signatures and one of P-384,
 * with the leaf's certificate parsed and its key loaded anew each time; `cached` is a service that
 * sees the same machine again. Each pair (ours, libcrypto's) takes turns, so that the machine's
 * moods hit both; the ratio is the median of the turns'. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/internal.h"

#define TURNS        9
#define TURN_SECONDS 0.4

struct bench {
    struct attest_trust *trust;
    struct attest_cache *cache;
    struct attest_certs *certs; /* parsed once */
    uint8_t report[ATTEST_REPORT_SIZE], vcek[ATTEST_CERT_MAX];
    size_t vcek_len;
    int64_t at;
    struct attest_result result;
    const struct cert_item *leaf, *issuer, *root;
};

static size_t read_file(const char *path, void *to, size_t room)
{
    FILE *f = fopen(path, "rbe");
    size_t n = f ? fread(to, 1, room, f) : 0;

    if (f)
        fclose(f);
    if (!n) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    return n;
}

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static bool verify(struct bench *b, const struct attest_certs *certs, struct attest_cache *cache)
{
    return attest_verify(b->trust,
                         &(struct attest_query){.report = b->report,
                                                .report_len = sizeof(b->report),
                                                .certs = certs,
                                                .cache = cache,
                                                .at = b->at},
                         &b->result) == ATTEST_GOOD;
}

static bool from_bytes(struct bench *b, struct attest_cache *cache)
{
    struct attest_certs *certs = attest_certs_new(NULL);
    bool good = certs && attest_certs_add(certs, b->vcek, b->vcek_len, NULL) == ATTEST_OK &&
                verify(b, certs, cache);

    attest_certs_free(certs);
    return good;
}

static bool chain(struct bench *b)
{
    return from_bytes(b, NULL);
}

static bool chain_parsed(struct bench *b)
{
    return verify(b, b->certs, NULL);
}

static bool cached(struct bench *b)
{
    return verify(b, b->certs, b->cache);
}

static bool cached_bytes(struct bench *b)
{
    return from_bytes(b, b->cache);
}

static bool bare_p384(struct bench *b)
{
    const struct attest_report *r = &b->result.report;

    return key_verify_p384(b->leaf->key, (struct attest_span){b->report, 0x2A0}, r->signature_r,
                           r->signature_s);
}

static bool bare_chain(struct bench *b)
{
    const struct attest_cert *root = &b->root->cert, *issuer = &b->issuer->cert,
                             *leaf = &b->leaf->cert;

    return key_verify_pss(b->root->key, root->tbs, root->signature) &&
           key_verify_pss(b->root->key, issuer->tbs, issuer->signature) &&
           key_verify_pss(b->issuer->key, leaf->tbs, leaf->signature) && bare_p384(b);
}

static double rate(struct bench *b, bool (*what)(struct bench *))
{
    double begin = now(), spent;
    unsigned n = 0;

    do {
        if (!what(b)) {
            fprintf(stderr, "a good report did not verify: %s\n", b->result.summary);
            exit(1);
        }
        n++;
        spent = now() - begin;
    } while (spent < TURN_SECONDS / 2);
    return n / spent;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, TURNS, sizeof(*values), by_size);
    return values[TURNS / 2];
}

static void compare(struct bench *b, const char *name, bool (*ours)(struct bench *),
                    bool (*bare)(struct bench *), const char *end)
{
    double mine[TURNS], theirs[TURNS], ratio[TURNS];

    for (unsigned i = 0; i < TURNS; i++) {
        mine[i] = rate(b, ours);
        theirs[i] = rate(b, bare);
        ratio[i] = mine[i] / theirs[i];
    }
    printf("  \"%s\": {\"per_second\": %.0f, \"libcrypto_per_second\": %.0f, \"ratio\": %.3f}%s\n",
           name, median(mine), median(theirs), median(ratio), end);
    fflush(stdout);
}

static const struct cert_item *item_of(const struct attest_certs *bag, const struct attest_cert *c)
{
    for (size_t i = 0; i < bag->cert_count; i++)
        if (&bag->certs[i]->cert == c)
            return bag->certs[i];
    return NULL;
}

int main(int argc, char **argv)
{
    static struct bench b;

    if (argc != 4) {
        fprintf(stderr, "attest_bench REPORT VCEK DATE\n");
        return 1;
    }
    read_file(argv[1], b.report, sizeof(b.report));
    b.vcek_len = read_file(argv[2], b.vcek, sizeof(b.vcek));
    b.at = atoll(argv[3]);
    b.trust = attest_trust_new(NULL);
    b.cache = attest_cache_new(NULL);
    b.certs = attest_certs_new(NULL);
    if (!b.trust || !b.cache || !b.certs ||
        attest_certs_add(b.certs, b.vcek, b.vcek_len, NULL) != ATTEST_OK || !cached(&b)) {
        fprintf(stderr, "the report does not verify: %s\n", b.result.summary);
        return 1;
    }
    b.leaf = item_of(b.certs, b.result.leaf);
    b.issuer = item_of(b.trust->builtin, b.result.issuer);
    b.root = item_of(b.trust->builtin, b.result.root);
    printf("{\n");
    compare(&b, "chain", chain, bare_chain, ",");
    compare(&b, "chain_parsed", chain_parsed, bare_chain, ",");
    compare(&b, "cached", cached, bare_p384, ",");
    compare(&b, "cached_bytes", cached_bytes, bare_p384, "");
    printf("}\n");
    attest_cache_free(b.cache);
    attest_certs_free(b.certs);
    attest_trust_free(b.trust);
    return 0;
}
