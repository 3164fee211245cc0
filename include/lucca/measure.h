/* Launch measurements of AMD SEV, SEV-ES and SEV-SNP guests, computed from what they are launched
 * with. Part of liblucca-attest. No global state; everything here is thread-safe. */
#ifndef LUCCA_MEASURE_H
#define LUCCA_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lucca/attest.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEST_SEV_DIGEST_BYTES 32u /* SHA-256: SEV, SEV-ES */
#define ATTEST_SNP_DIGEST_BYTES 48u /* SHA-384: SEV-SNP */
#define ATTEST_DIGEST_MAX       48u
#define ATTEST_VCPUS_MAX        4096u
#define ATTEST_VMSA_BYTES       4096u
#define ATTEST_VMSA_GPA         UINT64_C(0xFFFFFFFFF000) /* where KVM says that VMSAs are */
#define ATTEST_VMSA_GPA_52      UINT64_C(0xFFFFFFFFFF000)

enum attest_mode { ATTEST_SEV, ATTEST_SEV_ES, ATTEST_SNP, ATTEST_SNP_SVSM };

/* Who lays out the launch. Hypervisors disagree in a few bits of a processor's first state and in
 * the order of pages. */
enum attest_vmm { ATTEST_VMM_QEMU, ATTEST_VMM_EC2, ATTEST_VMM_GCE, ATTEST_VMM_KRUN, ATTEST_VMMS };

/* Deviations from how a launch is laid out as a rule; zero: none. They have been seen in the wild,
 * or are what a launch would be by mistake, and attest_explain() tries them. */
enum attest_quirk {
    ATTEST_QUIRK_CPUID_LAST = 1 << 0,     /* CPUID page after all other sections, as EC2 does */
    ATTEST_QUIRK_CPUID_IN_ORDER = 1 << 1, /* not, although it is EC2 */
    ATTEST_QUIRK_MEM_UNMEASURED = 1 << 2, /* memory launched UNMEASURED, as GCE does */
    ATTEST_QUIRK_MEM_ZERO = 1 << 3,       /* not, although it is GCE */
    ATTEST_QUIRK_EC2_RDX_0 = 1 << 4,      /* EC2 before 2026 left RDX zero; now it is 600h */
    ATTEST_QUIRK_VMSA_GPA_52 = 1 << 5,    /* VMSAs at FFFFFFFFFF000 */
    ATTEST_QUIRK_SORTED = 1 << 6,         /* metadata sections by address, not in table order */
    ATTEST_QUIRK_NO_TABLE = 1 << 7,       /* kernel given, its hashes not launched */
    ATTEST_QUIRK_NO_NUL = 1 << 8,         /* command line hashed without its final NUL */
    ATTEST_QUIRK_SNP_FEATURES = 1 << 9,   /* SEV-ES with SEV_FEATURES as given, not 0 */
};

/* A span with `at` NULL: there is no such input, unlike an empty one. */
struct attest_launch {
    enum attest_mode mode;
    enum attest_vmm vmm;
    unsigned vcpus;          /* ignored in mode ATTEST_SEV */
    uint32_t vcpu_signature; /* CPUID 1 EAX */
    uint64_t guest_features; /* SEV_FEATURES of a VMSA */
    struct attest_span ovmf;
    struct attest_span ovmf_hash;      /* 48 bytes: the digest after the firmware's pages alone */
    struct attest_span kernel, initrd; /* whole files, as given to the hypervisor */
    struct attest_span append;         /* the kernel's command line, without a final NUL */
    struct attest_span svsm;
    uint64_t vars_size; /* with an SVSM: bytes between it and OVMF */
    unsigned quirks;    /* enum attest_quirk */
};

/* ---- single steps of SNP_LAUNCH_UPDATE (SEV-SNP ABI, 8.17) ------------------------------------
 */

enum attest_page_type {
    ATTEST_PAGE_DATA = 0, /* LAUNCH_UPDATE_DATA of SEV and SEV-ES: any number of bytes */
    ATTEST_PAGE_NORMAL = 1,
    ATTEST_PAGE_VMSA = 2,
    ATTEST_PAGE_ZERO = 3,
    ATTEST_PAGE_UNMEASURED = 4,
    ATTEST_PAGE_SECRETS = 5,
    ATTEST_PAGE_CPUID = 6,
    ATTEST_PAGE_TYPES
};
ATTEST_API const char *attest_vmm_name(enum attest_vmm vmm); /* as --vmm-type spells it */
ATTEST_API const char *attest_page_type_name(unsigned type); /* "normal"; NULL: no such type */

/* Pages that are launched together. */
struct attest_piece {
    unsigned type;
    uint8_t vmpl[3]; /* permissions of VMPL 1, 2 and 3 */
    bool imi;        /* an initial migration image's */
    uint64_t gpa, len;
    const uint8_t *contents; /* `len` bytes where they are measured; NULL for the other types */
    char what[40];
};

/* LD becomes the digest after one more page of 4 KiB. `contents`: the page, or NULL where the type
 * is not measured. */
ATTEST_API enum attest_status attest_measure_page(uint8_t ld[ATTEST_SNP_DIGEST_BYTES],
                                                  const struct attest_piece *piece,
                                                  struct attest_error *err);

/* ---- whole launches -------------------------------------------------------------------------- */

/* The digest, of `*len` bytes: 32 (SEV, SEV-ES) or 48 (SEV-SNP). */
ATTEST_API enum attest_status attest_measure(const struct attest_launch *in,
                                             uint8_t digest[ATTEST_DIGEST_MAX], size_t *len,
                                             struct attest_error *err);
/* After the firmware's pages alone: what attest_launch.ovmf_hash takes. */
ATTEST_API enum attest_status attest_measure_ovmf(const void *ovmf, size_t len,
                                                  uint8_t digest[ATTEST_SNP_DIGEST_BYTES],
                                                  struct attest_error *err);

/* CPUID 1 EAX; family and model with their extended parts. False: such a number cannot be. */
ATTEST_API bool attest_vcpu_signature(unsigned family, unsigned model, unsigned stepping,
                                      uint32_t *out);
/* QEMU's names of processors. */
struct attest_vcpu_type {
    const char *name;
    uint32_t signature;
};
ATTEST_API const struct attest_vcpu_type *attest_vcpu_types(size_t *count);

/* ---- launches as lists ----------------------------------------------------------------------- */

/* What the firmware is given, in order. It points into the inputs: they have to outlive it. */
struct attest_image;
ATTEST_API enum attest_status attest_image_of(struct attest_image **out,
                                              const struct attest_launch *in,
                                              struct attest_error *err);
/* A file that `lucca run --launch-image` wrote. */
ATTEST_API enum attest_status attest_image_open(struct attest_image **out, const void *bytes,
                                                size_t len, struct attest_error *err);
ATTEST_API void attest_image_free(struct attest_image *image);
ATTEST_API enum attest_mode attest_image_mode(const struct attest_image *image);
ATTEST_API unsigned attest_image_pieces(const struct attest_image *image);
ATTEST_API const struct attest_piece *attest_image_piece(const struct attest_image *image,
                                                         unsigned i);
/* The piece as a line of a file's index; returns what snprintf() would. */
ATTEST_API int attest_image_line(const struct attest_image *image, unsigned i, char *text,
                                 size_t size);
ATTEST_API enum attest_status attest_image_digest(const struct attest_image *image,
                                                  uint8_t digest[ATTEST_DIGEST_MAX],
                                                  struct attest_error *err);

/* Where two launches part: the first page that differs, in launch order, and what of it. */
struct attest_difference {
    bool any;          /* false: both have the same digest */
    unsigned piece[2]; /* which piece of each; as many as there are where one has ended */
    uint64_t gpa[2];   /* of the page */
    char where[96];    /* "VMSA of vCPU 0" */
    char field[64];    /* "SEV_FEATURES", "type", "byte 1234" */
    char value[2][80]; /* what each has there */
};
ATTEST_API void attest_image_compare(const struct attest_image *a, const struct attest_image *b,
                                     struct attest_difference *out);

/* ---- why a digest does not match ---------------------------------------------------------------
 */

/* Another input that may have been used, and its name for people. */
struct attest_suspect {
    struct attest_span bytes;
    const char *name;
};

#define ATTEST_SUSPECTS_MAX 32u

/* What to try besides the usual: counts of vCPUs, their types, features, hypervisors, ways to write
 * a command line, sizes of a variable store, orders of pages. */
struct attest_suspects {
    const struct attest_suspect *ovmf, *kernel, *initrd, *append;
    size_t ovmf_count, kernel_count, initrd_count, append_count; /* each at most 32 */
    uint32_t signature;                                          /* a vCPU signature, or 0 */
    unsigned vcpus_max;                                          /* 0: 256 */
};

#define ATTEST_CHANGES_MAX 4u

struct attest_change {
    const char *what;           /* "vCPUs" */
    char given[80], needed[80]; /* "1", "4" */
};
struct attest_explanation {
    bool found;
    unsigned changes; /* 0: the inputs give this digest as they are */
    struct attest_change change[ATTEST_CHANGES_MAX];
    struct attest_launch launch; /* what gives the digest; points into inputs and suspects */
    uint64_t tried;              /* launches that were measured, each with all counts of vCPUs */
    char *owned;                 /* text that `launch` points to */
};
/* Searches for the fewest changes of `in`, at most three and the number of vCPUs, that give
 * `digest`. Free with attest_explanation_free(). */
ATTEST_API enum attest_status attest_explain(const struct attest_launch *in, const uint8_t *digest,
                                             size_t len, const struct attest_suspects *suspects,
                                             struct attest_explanation *out,
                                             struct attest_error *err);
/* The same where all that is known of the digest is how to tell it: a MAC over it, say. */
typedef bool attest_fits_fn(void *ctx, const uint8_t *digest, size_t len);
ATTEST_API enum attest_status attest_explain_if(const struct attest_launch *in,
                                                attest_fits_fn *fits, void *ctx,
                                                const struct attest_suspects *suspects,
                                                struct attest_explanation *out,
                                                struct attest_error *err);
ATTEST_API void attest_explanation_free(struct attest_explanation *e);

#ifdef __cplusplus
}
#endif

#endif
