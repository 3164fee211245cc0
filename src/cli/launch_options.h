/* The inputs of a launch as options, spelled as sev-snp-measure spells them. */
#ifndef LUCCA_CLI_LAUNCH_OPTIONS_H
#define LUCCA_CLI_LAUNCH_OPTIONS_H

#include "cli/inputs.h"
#include "lucca/measure.h"

#define CANDIDATES_MAX 16u

struct candidates {
    struct attest_suspect suspect[CANDIDATES_MAX];
    struct blob blob[CANDIDATES_MAX]; /* of files; command lines are the words themselves */
    size_t count;
};

struct launch_options {
    struct attest_launch in;
    bool has_mode, has_vcpus, has_signature, ovmf_hash_only;
    unsigned family, model, stepping; /* 1 more than given; 0: not given */
    struct blob ovmf, kernel, initrd, svsm;
    uint8_t ovmf_hash[ATTEST_SNP_DIGEST_BYTES];
    const char *image_path; /* --launch-image */
    struct blob image_file;
    struct attest_image *image; /* of the file, or of `in`; see launch_options_image() */
    struct candidates ovmfs, kernels, initrds, appends;
    unsigned max_vcpus;
};

enum { LAUNCH_OPTIONS = 23 };
extern const struct option_row launch_option_rows[LAUNCH_OPTIONS]; /* `ctx`: the options */

/* Whether they go together; to be called after parsing. */
enum status launch_options_check(struct launch_options *o, struct error *err) MUST_USE;
/* Lays the launch out, once. */
enum status launch_options_image(struct launch_options *o, struct error *err) MUST_USE;
/* The candidates; they point into the options. */
struct attest_suspects launch_options_suspects(const struct launch_options *o);
void launch_options_free(struct launch_options *o);

const char *mode_name(enum attest_mode mode); /* as --mode spells it */

#endif
