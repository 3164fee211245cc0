/* Milliseconds for the digest of an SEV-SNP launch: a firmware of 4 MiB, 64 vCPUs.
 *
 *     measure_bench SUFFIX      the end of an OVMF with SEV metadata, which is put after 4 MiB less
 *
 * Prints one JSON object; bench/measure.py computes the same in plain Python. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lucca/measure.h"

#define FIRMWARE (4u << 20)
#define SUFFIX   4096u
#define TURNS    21

static uint8_t firmware[FIRMWARE];

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return 1e3 * (double)ts.tv_sec + 1e-6 * (double)ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct attest_launch in = {.mode = ATTEST_SNP,
                               .vcpus = 64,
                               .vcpu_signature = 0x800f12,
                               .guest_features = 1,
                               .ovmf = {firmware, sizeof(firmware)}};
    FILE *f = argc == 2 ? fopen(argv[1], "rbe") : NULL;
    uint8_t digest[ATTEST_DIGEST_MAX];
    struct attest_error err;
    double turn[TURNS];
    size_t len = 0;

    for (unsigned i = 0; i < FIRMWARE - SUFFIX; i++)
        firmware[i] = (uint8_t)(i * 2654435761u >> 24);
    if (!f || fread(firmware + FIRMWARE - SUFFIX, SUFFIX, 1, f) != 1) {
        fprintf(stderr, "usage: measure_bench SUFFIX\n");
        return 1;
    }
    fclose(f);
    for (unsigned i = 0; i < TURNS; i++) {
        double begin = now();

        if (attest_measure(&in, digest, &len, &err) != ATTEST_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        turn[i] = now() - begin;
    }
    qsort(turn, TURNS, sizeof(turn[0]), by_size);
    printf("{\"digest\": \"");
    for (size_t i = 0; i < len; i++)
        printf("%02x", digest[i]);
    printf("\", \"ms\": %.3f}\n", turn[TURNS / 2]);
    return 0;
}
