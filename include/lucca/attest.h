/* Attestation of SEV-SNP guests: parses reports and certificates, verifies them up to AMD's roots,
 * and says of every check what was expected and what was found.
 *
 *     struct attest_trust *trust = attest_trust_new(&err);    AMD's roots, built in
 *     struct attest_certs *certs = attest_certs_new(&err);
 *     struct attest_result result;
 *     struct attest_query query = {.report = bytes, .report_len = len, .certs = certs};
 *
 *     attest_certs_add(certs, vcek, vcek_len, &err);          DER or PEM
 *     if (attest_verify(trust, &query, &result) == ATTEST_GOOD) ...
 *
 * No global state. Objects that are only read may be shared between threads; a cache may be shared
 * always. A parse of a report or a certificate allocates nothing. Numbers on the wire are
 * little-endian; digests and ids are bytes in the order of the report. */
#ifndef LUCCA_ATTEST_H
#define LUCCA_ATTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEST_API __attribute__((visibility("default")))

/* ---- errors ---- */

enum attest_status {
    ATTEST_OK = 0,
    ATTEST_E_ARG,         /* the call makes no sense */
    ATTEST_E_FORMAT,      /* the bytes are not what they claim to be */
    ATTEST_E_UNSUPPORTED, /* well-formed, and unknown to this library: the text names it */
    ATTEST_E_LIMIT,       /* a documented limit is reached, or a buffer is too small */
    ATTEST_E_MEMORY,      /* no memory */
    ATTEST_E_CRYPTO,      /* libcrypto refused what it should not */
};

/* `path` is the failing field: "report.cpuid", "certificate.extensions.hwid",
 * "policy.minimum_tcb.snp". `text` is one sentence. Functions take NULL for "the code alone". */
struct attest_error {
    enum attest_status code;
    char path[64];
    char text[320];
};

/* ---- products and TCB versions ---- */

enum attest_product { ATTEST_PRODUCT_UNKNOWN, ATTEST_MILAN, ATTEST_GENOA, ATTEST_TURIN };

/* "Milan", "Genoa", "Turin" as AMD's key service spells them; "unknown". */
ATTEST_API const char *attest_product_name(enum attest_product product);
/* Any case, with or without a stepping ("Milan-B0"); ATTEST_PRODUCT_UNKNOWN for anything else. */
ATTEST_API enum attest_product attest_product_from_name(const char *name);
/* By CPUID family and model, the extended fields included: Bergamo and Siena are Genoa. */
ATTEST_API enum attest_product attest_product_from_cpuid(unsigned family, unsigned model);
/* By the EAX of CPUID function 1. */
ATTEST_API enum attest_product attest_product_from_eax(uint32_t eax);

enum attest_layout {
    ATTEST_LAYOUT_UNKNOWN,
    ATTEST_LAYOUT_MILAN /* and Genoa */,
    ATTEST_LAYOUT_TURIN
};
ATTEST_API enum attest_layout attest_layout_of(enum attest_product product);

enum attest_tcb_part {
    ATTEST_TCB_FMC, /* Turin alone */
    ATTEST_TCB_BOOT_LOADER,
    ATTEST_TCB_TEE,
    ATTEST_TCB_SNP,
    ATTEST_TCB_MICROCODE,
    ATTEST_TCB_PARTS
};
/* "fmc", "boot_loader", "tee", "snp", "microcode" */
ATTEST_API const char *attest_tcb_part_name(enum attest_tcb_part part);

struct attest_tcb {
    uint8_t raw[8];
    enum attest_layout layout; /* where it is unknown, `part` is zero and means nothing */
    uint8_t part[ATTEST_TCB_PARTS];
};
ATTEST_API bool attest_tcb_has(enum attest_layout layout, enum attest_tcb_part part);
ATTEST_API void attest_tcb_decode(struct attest_tcb *tcb, const uint8_t raw[8],
                                  enum attest_layout layout);
/* Every part of `a` is at most that of `b`. Versions have no other order. */
ATTEST_API bool attest_tcb_at_most(const struct attest_tcb *a, const struct attest_tcb *b);

/* ---- reports ---- */

#define ATTEST_REPORT_SIZE 1184u

enum attest_signing_key {
    ATTEST_KEY_VCEK = 0,
    ATTEST_KEY_VLEK = 1,
    ATTEST_KEY_NONE = 7,
};

struct attest_firmware {
    uint8_t major, minor, build;
};

struct attest_report {
    uint8_t raw[ATTEST_REPORT_SIZE];
    uint32_t version; /* 2 .. 5 */
    uint32_t guest_svn;
    uint64_t policy;
    uint8_t family_id[16], image_id[16];
    uint32_t vmpl;
    uint32_t signature_algo;
    uint64_t platform_info;
    uint32_t key_info;
    bool author_key_en, mask_chip_key;
    uint8_t signing_key; /* enum attest_signing_key, or a reserved value */
    uint8_t report_data[64];
    uint8_t measurement[48];
    uint8_t host_data[32];
    uint8_t id_key_digest[48], author_key_digest[48];
    uint8_t report_id[32], report_id_ma[32];
    struct attest_tcb current_tcb, reported_tcb, committed_tcb, launch_tcb;
    bool has_cpuid; /* version 3 and later */
    uint8_t cpuid_family, cpuid_model, cpuid_stepping;
    uint8_t chip_id[64];
    bool chip_id_masked; /* all zero */
    struct attest_firmware current, committed;
    bool has_mitigations; /* version 5 */
    uint64_t launch_mit_vector, current_mit_vector;
    uint8_t signature_r[48], signature_s[48]; /* big-endian */
    enum attest_product product;              /* unknown in version 2 without a hint */
    enum attest_layout layout;                /* unknown only where version 2 leaves it open */
};

/* Takes 1184 bytes, of a known version and a known product; everything else is refused by name.
 * `hint` is the product where the report does not say it (version 2) and somebody knows; it may
 * not contradict the report. Fields are decoded, not judged: attest_verify() judges them. */
ATTEST_API enum attest_status attest_report_parse(struct attest_report *report, const void *bytes,
                                                  size_t len, enum attest_product hint,
                                                  struct attest_error *err);

/* The fields of a report as a table, in the order of their offsets. */
enum attest_field_kind {
    ATTEST_FIELD_NUMBER,   /* little-endian, decimal */
    ATTEST_FIELD_BYTES,    /* hex */
    ATTEST_FIELD_BITS,     /* a number whose bits have names: attest_field.bits */
    ATTEST_FIELD_TCB,      /* parts by layout */
    ATTEST_FIELD_FIRMWARE, /* build, minor, major: "1.55.21" (major.minor.build) */
};
struct attest_bit {
    const char *name; /* snake_case */
    uint8_t shift, width;
    const char *what; /* a short phrase */
};
struct attest_field {
    const char *name; /* snake_case, as in JSON */
    uint16_t offset, size;
    uint8_t kind;  /* enum attest_field_kind */
    uint8_t since; /* the first report version that has it */
    const struct attest_bit *bits;
    size_t bit_count;
    const char *what;
};
ATTEST_API const struct attest_field *attest_report_fields(size_t *count);
ATTEST_API const struct attest_field *attest_report_field(const char *name); /* NULL: none */
/* The field's number, for NUMBER and BITS. */
ATTEST_API uint64_t attest_field_number(const struct attest_report *report,
                                        const struct attest_field *field);
/* The field in words, one line; returns what snprintf() would. */
ATTEST_API int attest_field_text(const struct attest_report *report,
                                 const struct attest_field *field, char *text, size_t size);

/* ---- what a report comes in ---- */

enum attest_wrapping {
    ATTEST_RAW,
    ATTEST_EXTENDED, /* report, then a certificate table */
    ATTEST_MSG,      /* the answer of the secure processor: status, size, 24 bytes, report */
    ATTEST_HCL,      /* Azure's paravisor */
};
struct attest_input {
    enum attest_wrapping wrapping;
    const char *coding;    /* "binary", "hex", "base64" */
    const uint8_t *report; /* ATTEST_REPORT_SIZE bytes */
    const uint8_t *table;  /* certificate table, or NULL */
    size_t table_len;
    const uint8_t *claims; /* HCL: the runtime claims (JSON), which REPORT_DATA binds; or NULL */
    size_t claims_len;
    void *owned;
};
/* Finds the report in what a file holds. `bytes` are borrowed; free with attest_input_free(). */
ATTEST_API enum attest_status attest_input_open(struct attest_input *in, const void *bytes,
                                                size_t len, struct attest_error *err);
ATTEST_API void attest_input_free(struct attest_input *in);

/* The header of an HCL blob. */
struct attest_hcl {
    uint32_t version, report_size, request_type, status;
    uint32_t data_size, request_version, report_type, hash_type;
    const uint8_t *report; /* ATTEST_REPORT_SIZE bytes */
    const uint8_t *claims;
    size_t claims_len;
};
ATTEST_API enum attest_status attest_hcl_parse(struct attest_hcl *hcl, const void *bytes,
                                               size_t len, struct attest_error *err);

/* Entries of an extended report's certificate table. */
enum attest_entry_kind {
    ATTEST_ENTRY_OTHER,
    ATTEST_ENTRY_VCEK,
    ATTEST_ENTRY_VLEK,
    ATTEST_ENTRY_ASK, /* or ASVK */
    ATTEST_ENTRY_ARK,
    ATTEST_ENTRY_CRL,
    ATTEST_ENTRY_PLATFORM,    /* u32 size, u32 CPUID 1 EAX */
    ATTEST_ENTRY_ENDORSEMENT, /* of Google's firmware */
};
struct attest_entry {
    uint8_t guid[16]; /* in text order */
    enum attest_entry_kind kind;
    const char *name;
    const uint8_t *bytes;
    size_t len;
};
#define ATTEST_TABLE_MAX 64u
/* Fills at most ATTEST_TABLE_MAX entries; a table with more, or one whose entries leave it, overlap
 * its index or miss the zero entry, is refused. */
ATTEST_API enum attest_status attest_table_parse(struct attest_entry entries[ATTEST_TABLE_MAX],
                                                 size_t *count, const void *bytes, size_t len,
                                                 struct attest_error *err);

/* ---- certificates and revocation lists ---- */

enum attest_cert_kind {
    ATTEST_CERT_OTHER, /* no name of AMD's chain */
    ATTEST_CERT_ARK,
    ATTEST_CERT_ASK,
    ATTEST_CERT_ASVK,
    ATTEST_CERT_VCEK,
    ATTEST_CERT_VLEK,
};
ATTEST_API const char *attest_cert_kind_name(enum attest_cert_kind kind);

struct attest_span {
    const uint8_t *at;
    size_t len;
};

#define ATTEST_CERT_MAX 16384u /* bytes of DER */

/* What a certificate says of itself; nothing of it is proved. Spans point into the DER. */
struct attest_cert {
    struct attest_span der, tbs, signature_algorithm, signature, issuer, subject, spki;
    enum attest_cert_kind kind;
    enum attest_product product; /* by its names; a leaf's by its issuer */
    bool emulated;               /* issuer or subject says EMULATED in serialNumber */
    bool self_issued;
    uint8_t version; /* 3 */
    uint8_t serial[21];
    uint8_t serial_len;
    int64_t not_before, not_after; /* seconds since 1970 */
    char subject_cn[72], issuer_cn[72], subject_serial[72];
    uint8_t sha256[32];      /* of the DER */
    uint8_t spki_sha256[32]; /* of SubjectPublicKeyInfo: what roots are pinned by */
    uint16_t rsa_bits;       /* 0 where the key is no RSA key */
    struct attest_span rsa_n, rsa_e;
    bool p384;
    uint8_t p384_point[97]; /* 04, x, y */
    bool pss_exact;         /* RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt 48, trailer 1 */
    bool names_exact;       /* both names hold AMD's attributes and no others (but EMULATED) */
    bool ca;                /* basicConstraints */
    int path_len;           /* -1: none */
    bool has_key_usage;     /* keyUsage is there */
    bool may_sign_certs, may_sign_crls;
    bool unknown_critical; /* a critical extension that this library does not know */
    /* AMD's extensions, 1.3.6.1.4.1.3704.1 */
    bool has_struct_version, has_product_name, has_csp_id;
    uint32_t struct_version;
    char product_name[32];
    char csp_id[128];
    uint8_t hwid[64];
    uint8_t hwid_len;  /* 64, 8 on Turin, 0 for none */
    bool hwid_wrapped; /* in an OCTET STRING of its own */
    uint16_t spl_mask; /* bit n: .3.n is there, 1 .. 9 */
    uint8_t spl[10];
    struct attest_tcb tcb; /* by `product` */
};
/* DER alone; `bytes` are borrowed for as long as the certificate is used. */
ATTEST_API enum attest_status attest_cert_parse(struct attest_cert *cert, const void *bytes,
                                                size_t len, struct attest_error *err);

#define ATTEST_CRL_MAX 1048576u /* bytes of DER */

struct attest_crl {
    struct attest_span der, tbs, signature_algorithm, signature, issuer, entries;
    char issuer_cn[72];
    enum attest_product product;
    bool emulated;
    int64_t this_update, next_update; /* a list without nextUpdate is refused */
    uint8_t number[21];
    uint8_t number_len; /* 0: none */
    size_t revoked;     /* how many entries */
    uint8_t sha256[32];
    bool pss_exact;
    bool unknown_critical; /* or an entry or extension that makes the list speak of others */
};
ATTEST_API enum attest_status attest_crl_parse(struct attest_crl *crl, const void *bytes,
                                               size_t len, struct attest_error *err);
/* Whether the serial number is listed; the date goes to `when` where that is not NULL. */
ATTEST_API bool attest_crl_lists(const struct attest_crl *crl, const uint8_t *serial,
                                 size_t serial_len, int64_t *when);

/* A bag of certificates and lists, which owns copies. Order does not matter. */
struct attest_certs;
ATTEST_API struct attest_certs *attest_certs_new(struct attest_error *err);
ATTEST_API void attest_certs_free(struct attest_certs *certs);
/* DER or PEM, told apart by content; a PEM file may hold many, with text around them. Certificates
 * and lists are told apart too. A bag holds at most ATTEST_BAG_MAX of each. */
ATTEST_API enum attest_status attest_certs_add(struct attest_certs *certs, const void *bytes,
                                               size_t len, struct attest_error *err);
/* All that a certificate table holds, and the platform's CPUID. */
ATTEST_API enum attest_status attest_certs_add_table(struct attest_certs *certs, const void *bytes,
                                                     size_t len, struct attest_error *err);
#define ATTEST_BAG_MAX 64u
ATTEST_API size_t attest_certs_count(const struct attest_certs *certs);
ATTEST_API const struct attest_cert *attest_certs_at(const struct attest_certs *certs, size_t i);
ATTEST_API size_t attest_certs_crl_count(const struct attest_certs *certs);
ATTEST_API const struct attest_crl *attest_certs_crl_at(const struct attest_certs *certs, size_t i);
/* The first of a kind and product (ATTEST_PRODUCT_UNKNOWN: any), or NULL. */
ATTEST_API const struct attest_cert *attest_certs_find(const struct attest_certs *certs,
                                                       enum attest_cert_kind kind,
                                                       enum attest_product product);

/* ---- whom to trust ---- */

struct attest_trust;
/* AMD's ARKs for Milan, Genoa and Turin, pinned by key, with their ASKs and ASVKs at hand. */
ATTEST_API struct attest_trust *attest_trust_new(struct attest_error *err);
ATTEST_API void attest_trust_free(struct attest_trust *trust);
/* Another root, by its bytes (DER or PEM): its key is trusted as AMD's are. */
ATTEST_API enum attest_status attest_trust_add_root(struct attest_trust *trust, const void *bytes,
                                                    size_t len, struct attest_error *err);
/* Roots that say EMULATED are refused, even ones added, until this is called. Then any of them is
 * taken, or only those added where some were; every result says `emulated`. */
ATTEST_API void attest_trust_emulated(struct attest_trust *trust);
/* The certificates that come with the library. */
ATTEST_API const struct attest_certs *attest_trust_builtin(const struct attest_trust *trust);

/* Remembers which certificate was found to be signed by which key, so that a chain seen before
 * costs no RSA. Nothing else is remembered: dates, names, revocation and policy are judged anew. */
struct attest_cache;
ATTEST_API struct attest_cache *attest_cache_new(struct attest_error *err);
ATTEST_API void attest_cache_free(struct attest_cache *cache);

/* ---- policies ---- */

/* A policy is a set of keys with values. A key that is not set is not asked, but `debug`, which is
 * forbidden, and `masked_chip_id`, likewise, until a policy says "allowed". Keys have dots where
 * JSON nests: "minimum_tcb.reported.snp". */
enum attest_policy_kind {
    ATTEST_POLICY_BYTES,   /* hex of `size` bytes; several values: any of them */
    ATTEST_POLICY_MINIMUM, /* a number, at most `limit` */
    ATTEST_POLICY_EXACT,   /* a number; several values: any of them */
    ATTEST_POLICY_MASK,    /* a number: these bits must be set */
    ATTEST_POLICY_VERSION, /* "major.minor", the least */
    ATTEST_POLICY_RULE,    /* "forbidden", "required", "allowed" */
    ATTEST_POLICY_WORDS,   /* words of `words`; several values: any of them */
    ATTEST_POLICY_TEXT,    /* several values: any of them */
};
struct attest_policy_key {
    const char *name;
    enum attest_policy_kind kind;
    uint64_t limit;           /* the greatest number */
    uint16_t size;            /* BYTES: how many */
    const char *const *words; /* WORDS and RULE: NULL-terminated */
    const char *what;         /* a phrase: "the launch digest (MEASUREMENT)" */
};
ATTEST_API const struct attest_policy_key *attest_policy_keys(size_t *count);
ATTEST_API const struct attest_policy_key *attest_policy_key(const char *name); /* NULL: none */

struct attest_policy;
ATTEST_API struct attest_policy *attest_policy_new(struct attest_error *err);
ATTEST_API void attest_policy_free(struct attest_policy *policy);
/* Sets a key, or adds a value where its kind has several. Numbers are decimal or 0x hex. */
ATTEST_API enum attest_status attest_policy_set(struct attest_policy *policy, const char *key,
                                                const char *value, struct attest_error *err);
/* How many values a key has: 0 means that it is not asked. */
ATTEST_API size_t attest_policy_count(const struct attest_policy *policy,
                                      const struct attest_policy_key *key);
/* A value as attest_policy_set() takes it; returns what snprintf() would, or -1. */
ATTEST_API int attest_policy_value(const struct attest_policy *policy,
                                   const struct attest_policy_key *key, size_t i, char *text,
                                   size_t size);
/* What the key demands in words, one sentence; returns what snprintf() would. */
ATTEST_API int attest_policy_explain(const struct attest_policy *policy,
                                     const struct attest_policy_key *key, char *text, size_t size);
/* The value that the report has for a key, as attest_policy_set() takes it: what a drafted policy
 * would say. 0 where the report does not know it (`crl`, `csp_id`, a vector of a newer version). */
ATTEST_API int attest_policy_found(const struct attest_report *report,
                                   const struct attest_policy_key *key, char *text, size_t size);

/* ---- verification ---- */

/* These are the exit statuses of `lucca report verify`. Where several kinds of check fail the
 * verdict is the least number. */
enum attest_verdict {
    ATTEST_GOOD = 0,
    ATTEST_MISUSE = 1,        /* no report, or one that cannot be parsed */
    ATTEST_UNTRUSTED = 2,     /* signature or chain */
    ATTEST_NO_CERTS = 3,      /* certificates not obtained */
    ATTEST_NO_REVOCATION = 4, /* revocation not obtained */
    ATTEST_AGAINST_POLICY = 5,
};
ATTEST_API const char *attest_verdict_name(enum attest_verdict verdict);

enum attest_outcome { ATTEST_NOT_ASKED, ATTEST_PASS, ATTEST_FAIL };
ATTEST_API const char *attest_outcome_name(enum attest_outcome outcome);

/* The checks, in order: format.*, chain.*, revocation.*, report.*, then policy.KEY for each key. */
struct attest_check_info {
    const char *name;
    enum attest_verdict blame; /* the verdict when it fails */
    const char *what;          /* "the ASK or ASVK is signed by the ARK" */
};
ATTEST_API const struct attest_check_info *attest_checks(size_t *count);

#define ATTEST_CHECKS_MAX 128u
#define ATTEST_TEXT_MAX   192u

struct attest_check {
    const struct attest_check_info *info;
    enum attest_outcome outcome;
    char expected[ATTEST_TEXT_MAX]; /* what was expected; "" where not asked */
    char found[ATTEST_TEXT_MAX];    /* what was found, or why it was not asked */
};

struct attest_query {
    const void *report; /* 1184 bytes; wrapped ones go through attest_input_open() */
    size_t report_len;
    const struct attest_certs *certs;   /* leaf, and others where the built-in ones are not meant;
                                           revocation lists too */
    const struct attest_policy *policy; /* NULL: debug guests are refused, the rest is not asked */
    int64_t at;                         /* seconds since 1970; 0 is now */
    const void *claims;                 /* HCL: REPORT_DATA must be SHA-256 of these; or NULL */
    size_t claims_len;
    enum attest_product product; /* where the caller knows it and a version 2 report does not say */
    struct attest_cache *cache;  /* or NULL */
};

struct attest_result {
    enum attest_verdict verdict;
    bool emulated; /* the root says that it is emulated: nothing here is confidential */
    int64_t at;    /* the time that dates were judged at */
    bool parsed;   /* `report` is filled */
    struct attest_report report;
    /* the chain that was judged, borrowed from the bag or the trust; NULL where there is none */
    const struct attest_cert *leaf, *issuer, *root;
    const struct attest_crl *crl;
    char summary[320]; /* one sentence */
    size_t count;
    struct attest_check check[ATTEST_CHECKS_MAX];
};

/* Returns `result->verdict`: anything but ATTEST_GOOD is a refusal. All checks are listed. */
ATTEST_API enum attest_verdict attest_verify(const struct attest_trust *trust,
                                             const struct attest_query *query,
                                             struct attest_result *result);
ATTEST_API const struct attest_check *attest_result_check(const struct attest_result *result,
                                                          const char *name);

/* A chain without a report, for `certs verify`: the checks chain.* and revocation.* alone. `leaf`
 * is a certificate of the query's bag. */
ATTEST_API enum attest_verdict attest_verify_chain(const struct attest_trust *trust,
                                                   const struct attest_query *query,
                                                   const struct attest_cert *leaf,
                                                   struct attest_result *result);

/* ---- AMD's key service ---- */

enum attest_kds {
    ATTEST_KDS_VCEK,
    ATTEST_KDS_VCEK_CHAIN,
    ATTEST_KDS_VLEK_CHAIN,
    ATTEST_KDS_VCEK_CRL,
    ATTEST_KDS_VLEK_CRL
};
/* The path after https://kdsintf.amd.com. `chip_id` (64 bytes) and `tcb` for a VCEK alone. */
ATTEST_API enum attest_status attest_kds_path(enum attest_kds what, enum attest_product product,
                                              const uint8_t *chip_id, const struct attest_tcb *tcb,
                                              char *text, size_t size, struct attest_error *err);

#ifdef __cplusplus
}
#endif

#endif
