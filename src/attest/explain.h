/* Why a launch digest is not the one expected: the search behind attest_explain(). */
#ifndef LUCCA_ATTEST_EXPLAIN_H
#define LUCCA_ATTEST_EXPLAIN_H

#include "attest/launch.h"

/* A launch and the hashes of what it boots, so that no kernel is hashed twice. */
struct guess {
    struct attest_launch in;
    struct kernel_hashes hashes;
};

/* Kinds of change; each has alternatives, and a guess takes at most one of each. */
enum dimension {
    DIM_MODE,
    DIM_OVMF,
    DIM_VMM,
    DIM_APPEND,
    DIM_INITRD,
    DIM_KERNEL,
    DIM_SIGNATURE,
    DIM_FEATURES,
    DIM_LAYOUT,
    DIM_VARS,
    DIMENSIONS
};
#define ALTERNATIVES_MAX 64u

struct alternative {
    char name[80];
    uint64_t number;
    struct attest_span bytes;
    uint8_t hash[SHA256_BYTES]; /* of what a kernel's table holds */
    unsigned quirk;
};

struct suspects {
    struct alternative *alt[DIMENSIONS];
    unsigned count[DIMENSIONS];
    char given[DIMENSIONS][80];
    char *text; /* command lines made here */
};

extern const char *const dimension_names[DIMENSIONS];

/* All that may have been otherwise. Release with suspects_free() in any case. */
enum attest_status suspects_list(struct suspects *s, const struct attest_launch *in,
                                 size_t digest_len, const struct attest_suspects *more,
                                 struct attest_error *err) MUST_USE;
void suspects_free(struct suspects *s);
void suspects_apply(struct guess *g, enum dimension d, const struct alternative *a);

#endif
