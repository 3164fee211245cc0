/* The fields of a report as a table: names, offsets, and what to call them. */
#include "attest/internal.h"

#include <stdio.h>

static const struct attest_bit policy_bits[] = {
    {"abi_minor", 0, 8, "least minor version of the firmware ABI"},
    {"abi_major", 8, 8, "least major version of the firmware ABI"},
    {"smt", 16, 1, "SMT is allowed"},
    {"reserved_1", 17, 1, "always 1"},
    {"migrate_ma", 18, 1, "a migration agent is allowed"},
    {"debug", 19, 1, "the host may debug the guest"},
    {"single_socket", 20, 1, "the guest runs on one socket only"},
    {"cxl_allow", 21, 1, "CXL may be populated"},
    {"mem_aes_256_xts", 22, 1, "memory is encrypted with AES-256 XTS"},
    {"rapl_dis", 23, 1, "RAPL must be disabled"},
    {"ciphertext_hiding_dram", 24, 1, "ciphertext of DRAM must be hidden"},
    {"page_swap_disable", 25, 1, "pages may not be moved or swapped"},
};

static const struct attest_bit platform_bits[] = {
    {"smt_en", 0, 1, "SMT is on"},
    {"tsme_en", 1, 1, "transparent memory encryption is on"},
    {"ecc_en", 2, 1, "memory has ECC"},
    {"rapl_dis", 3, 1, "RAPL is disabled"},
    {"ciphertext_hiding_dram_en", 4, 1, "ciphertext of DRAM is hidden"},
    {"alias_check_complete", 5, 1, "no memory alias was found since the last boot"},
    {"bit_6", 6, 1, "not named in public; seen set on Turin"},
    {"tio_en", 7, 1, "SEV-TIO is on"},
};

static const struct attest_bit key_bits[] = {
    {"author_key_en", 0, 1, "AUTHOR_KEY_DIGEST is of a key that signed the ID key"},
    {"mask_chip_key", 1, 1, "the firmware is told not to sign with the chip's key"},
    {"signing_key", 2, 3, "0 VCEK, 1 VLEK, 7 none"},
};

#define NUMBER(name, at, size, what)                                                               \
    {                                                                                              \
        name, at, size, ATTEST_FIELD_NUMBER, 2, NULL, 0, what                                      \
    }
#define BYTES(name, at, size, what)                                                                \
    {                                                                                              \
        name, at, size, ATTEST_FIELD_BYTES, 2, NULL, 0, what                                       \
    }
#define BITS(name, at, size, bits, what)                                                           \
    {                                                                                              \
        name, at, size, ATTEST_FIELD_BITS, 2, bits, COUNT(bits), what                              \
    }
#define TCB(name, at, what)                                                                        \
    {                                                                                              \
        name, at, 8, ATTEST_FIELD_TCB, 2, NULL, 0, what                                            \
    }
#define FIRMWARE(name, at, what)                                                                   \
    {                                                                                              \
        name, at, 3, ATTEST_FIELD_FIRMWARE, 2, NULL, 0, what                                       \
    }
#define SINCE(version, name, at, size, kind, what)                                                 \
    {                                                                                              \
        name, at, size, kind, version, NULL, 0, what                                               \
    }

static const struct attest_field fields[] = {
    NUMBER("version", 0x000, 4, "version of this layout"),
    NUMBER("guest_svn", 0x004, 4, "the guest's security version, from its ID block"),
    BITS("policy", 0x008, 8, policy_bits, "the policy that the guest was launched with"),
    BYTES("family_id", 0x010, 16, "family id, from the ID block"),
    BYTES("image_id", 0x020, 16, "image id, from the ID block"),
    NUMBER("vmpl", 0x030, 4, "privilege level that asked for the report"),
    NUMBER("signature_algo", 0x034, 4, "1: ECDSA P-384 with SHA-384"),
    TCB("current_tcb", 0x038, "TCB that runs now"),
    BITS("platform_info", 0x040, 8, platform_bits, "the platform's state"),
    BITS("key_info", 0x048, 4, key_bits, "which keys were used"),
    BYTES("report_data", 0x050, 64, "what the guest wanted bound: a nonce or a key"),
    BYTES("measurement", 0x090, 48, "launch digest"),
    BYTES("host_data", 0x0C0, 32, "what the host bound at launch"),
    BYTES("id_key_digest", 0x0E0, 48, "of the key that signed the ID block"),
    BYTES("author_key_digest", 0x110, 48, "of the key that signed the ID key"),
    BYTES("report_id", 0x140, 32, "of this guest, until it ends"),
    BYTES("report_id_ma", 0x160, 32, "of its migration agent"),
    TCB("reported_tcb", 0x180, "TCB that the signing key stands for"),
    SINCE(3, "cpuid_family", 0x188, 1, ATTEST_FIELD_NUMBER, "CPUID family"),
    SINCE(3, "cpuid_model", 0x189, 1, ATTEST_FIELD_NUMBER, "CPUID model"),
    SINCE(3, "cpuid_stepping", 0x18A, 1, ATTEST_FIELD_NUMBER, "CPUID stepping"),
    BYTES("chip_id", 0x1A0, 64, "of this chip; zero where masked"),
    TCB("committed_tcb", 0x1E0, "TCB that the platform cannot fall behind"),
    FIRMWARE("current_firmware", 0x1E8, "firmware that runs now"),
    FIRMWARE("committed_firmware", 0x1EC, "firmware that the platform cannot fall behind"),
    TCB("launch_tcb", 0x1F0, "TCB when the guest was launched"),
    SINCE(5, "launch_mit_vector", 0x1F8, 8, ATTEST_FIELD_BITS, "mitigations at launch"),
    SINCE(5, "current_mit_vector", 0x200, 8, ATTEST_FIELD_BITS, "mitigations now"),
    BYTES("signature_r", 0x2A0, 72, "R, least byte first"),
    BYTES("signature_s", 0x2E8, 72, "S, least byte first"),
};

const struct attest_field *attest_report_fields(size_t *count)
{
    *count = COUNT(fields);
    return fields;
}

const struct attest_field *attest_report_field(const char *name)
{
    for (size_t i = 0; i < COUNT(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

uint64_t attest_field_number(const struct attest_report *report, const struct attest_field *field)
{
    uint64_t number = 0;

    memcpy(&number, report->raw + field->offset, MIN(field->size, sizeof(number)));
    return number;
}

static void bits_text(struct line *l, const struct attest_field *f, uint64_t number)
{
    const char *between = ": ";

    line_add(l, "0x%llx", (unsigned long long)number);
    for (size_t i = 0; i < f->bit_count; i++) {
        const struct attest_bit *b = &f->bits[i];
        uint64_t value = number >> b->shift & (BIT(b->width) - 1);

        if (value && b->width == 1)
            line_add(l, "%s%s", between, b->name);
        else if (b->width > 1)
            line_add(l, "%s%s %llu", between, b->name, (unsigned long long)value);
        else
            continue;
        between = ", ";
    }
}

int attest_field_text(const struct attest_report *report, const struct attest_field *field,
                      char *text, size_t size)
{
    const uint8_t *raw = report->raw + field->offset;
    struct line l = {.text = text, .size = size};
    struct attest_tcb tcb;

    line_add(&l, "%s", "");
    switch ((enum attest_field_kind)field->kind) {
    case ATTEST_FIELD_NUMBER:
        line_add(&l, "%llu", (unsigned long long)attest_field_number(report, field));
        break;
    case ATTEST_FIELD_BYTES:
        line_hex(&l, raw, field->size);
        break;
    case ATTEST_FIELD_BITS:
        bits_text(&l, field, attest_field_number(report, field));
        break;
    case ATTEST_FIELD_TCB:
        attest_tcb_decode(&tcb, raw, report->layout);
        line_tcb(&l, &tcb);
        break;
    case ATTEST_FIELD_FIRMWARE:
        line_add(&l, "%u.%u.%u", raw[2], raw[1], raw[0]);
        break;
    }
    return (int)l.len;
}
