/* The table of GUIDs at the end of a firmware image, and its SEV metadata. */
#include "attest/ovmf.h"

#include <inttypes.h>

#include "attest/guid.h"
#include "attest/internal.h"
#include "base/bytes.h"

#define RESET_VECTOR   0x20u
#define ENTRY_OVERHEAD 18u /* 16-bit length and GUID, after the data */
#define METADATA_HEAD  16u
#define METADATA_ENTRY 12u

static const struct guid footer = GUID(0x96b582de, 0x1fb2, 0x45f7, 0xbaea, 0xa366c55a082d);
static const struct guid reset_block = GUID(0x00f771de, 0x1a7e, 0x4fcb, 0x890e, 0x68c77e2fb44e);

/* ---- metadata ------------------------------------------------------------------------------ */

static enum attest_status check_section(const struct ovmf_section *s, unsigned index,
                                        struct attest_error *err)
{
    bool one_page = s->type == OVMF_SECRETS || s->type == OVMF_CPUID;

    if (s->gpa % 0x1000 || s->size % 0x1000)
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "SEV metadata section %u (%#" PRIx32 ", %#" PRIx32
                           " bytes) is not made of whole pages",
                           index, s->gpa, s->size);
    if ((uint64_t)s->gpa + s->size > OVMF_END)
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "SEV metadata section %u reaches beyond 4 GiB", index);
    if (one_page && s->size != 0x1000)
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "SEV metadata section %u: a %s section is one page, not %#x", index,
                           s->type == OVMF_CPUID ? "CPUID" : "secrets", s->size);
    return ATTEST_OK;
}

static enum attest_status take_metadata(struct ovmf *o, const uint8_t *data,
                                        struct attest_error *err)
{
    uint32_t back = load32(data), length, version, count;
    uint64_t total = 0;
    const uint8_t *magic;
    struct cursor c;
    enum attest_status why;

    if (back < METADATA_HEAD || back > o->size)
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "the SEV metadata would begin %#" PRIx32
                           " bytes before the end of an image of %#zx",
                           back, o->size);
    c = cursor_over(o->image + o->size - back, back);
    magic = cursor_take(&c, 4);
    length = cursor_u32(&c);
    version = cursor_u32(&c);
    count = cursor_u32(&c);
    if (!magic || memcmp(magic, "ASEV", 4))
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "the SEV metadata does not begin with 'ASEV'");
    if (version != 1)
        return attest_fail(err, ATTEST_E_UNSUPPORTED, "image.metadata",
                           "SEV metadata version %" PRIu32 "; known is 1", version);
    if (count > OVMF_SECTIONS_MAX)
        return attest_fail(err, ATTEST_E_LIMIT, "image.metadata",
                           "%" PRIu32 " SEV metadata sections; at most %u are read here", count,
                           OVMF_SECTIONS_MAX);
    if (length != METADATA_HEAD + count * METADATA_ENTRY || length > back)
        return attest_fail(err, ATTEST_E_FORMAT, "image.metadata",
                           "SEV metadata of %" PRIu32 " bytes cannot hold %" PRIu32 " sections",
                           length, count);
    for (uint32_t i = 0; i < count; i++) {
        struct ovmf_section *s = &o->sections[i];

        s->gpa = cursor_u32(&c);
        s->size = cursor_u32(&c);
        s->type = cursor_u32(&c);
        why = check_section(s, i, err);
        if (why != ATTEST_OK)
            return why;
        total += s->size;
    }
    if (total > OVMF_SECTIONS_TOTAL)
        return attest_fail(err, ATTEST_E_LIMIT, "image.metadata",
                           "SEV metadata sections of %" PRIu64 " MiB; at most %u are launched here",
                           total >> 20, OVMF_SECTIONS_TOTAL >> 20);
    o->section_count = count;
    o->has_metadata = true;
    return ATTEST_OK;
}

/* ---- the table ----------------------------------------------------------------------------- */

static enum attest_status take_reset(struct ovmf *o, const uint8_t *data, struct attest_error *err)
{
    o->reset_eip = load32(data);
    o->has_reset = true;
    return ATTEST_OK;
}

static enum attest_status take_hashes(struct ovmf *o, const uint8_t *data, struct attest_error *err)
{
    o->hashes = (struct ovmf_area){load32(data), load32(data + 4)};
    return ATTEST_OK;
}

static enum attest_status take_secret(struct ovmf *o, const uint8_t *data, struct attest_error *err)
{
    o->secret = (struct ovmf_area){load32(data), load32(data + 4)};
    return ATTEST_OK;
}

static enum attest_status take_svsm(struct ovmf *o, const uint8_t *data, struct attest_error *err)
{
    o->svsm_entry = load32(data);
    o->has_svsm = true;
    if (o->svsm_entry >= o->size)
        return attest_fail(err, ATTEST_E_FORMAT, "image.table",
                           "the SVSM's entry, %#" PRIx32 ", is not inside its image of %#zx bytes",
                           o->svsm_entry, o->size);
    return ATTEST_OK;
}

/* Entries that a launch depends on; others are for somebody else. */
static const struct {
    struct guid guid;
    size_t size; /* of the data, at least */
    enum attest_status (*take)(struct ovmf *o, const uint8_t *data, struct attest_error *err);
    const char *name;
} entries[] = {
    {GUID(0x00f771de, 0x1a7e, 0x4fcb, 0x890e, 0x68c77e2fb44e), 4, take_reset, "SEV-ES reset block"},
    {GUID(0x7255371f, 0x3a3b, 0x4b04, 0x927b, 0x1da6efa8d454), 8, take_hashes, "SEV hash table"},
    {GUID(0x4c2eb361, 0x7d9b, 0x4cc3, 0x8081, 0x127c90d3d294), 8, take_secret, "SEV secret area"},
    {GUID(0xdc886566, 0x984a, 0x4798, 0xa75e, 0x5585a7bf67cc), 4, take_metadata, "SEV metadata"},
    {GUID(0xa789a612, 0x0597, 0x4c4b, 0xa49f, 0xcbb1fe9d1ddd), 4, take_svsm, "SVSM information"},
};

static enum attest_status take_entry(struct ovmf *o, unsigned *seen, const uint8_t *guid,
                                     const uint8_t *data, size_t size, struct attest_error *err)
{
    for (unsigned i = 0; i < COUNT(entries); i++) {
        if (!guid_is(guid, &entries[i].guid))
            continue;
        if (*seen >> i & 1)
            return attest_fail(err, ATTEST_E_FORMAT, "image.table",
                               "the image's table has two entries '%s'", entries[i].name);
        *seen |= 1u << i;
        if (size < entries[i].size)
            return attest_fail(err, ATTEST_E_FORMAT, "image.table",
                               "the image's entry '%s' has %zu bytes; %zu are needed",
                               entries[i].name, size, entries[i].size);
        return entries[i].take(o, data, err);
    }
    return ATTEST_OK;
}

/* From the footer downwards. `table`: `size` bytes, without the footer. */
static enum attest_status walk(struct ovmf *o, const uint8_t *table, size_t size,
                               struct attest_error *err)
{
    unsigned seen = 0;

    while (size) {
        uint16_t length = size < ENTRY_OVERHEAD ? 0 : load16(table + size - ENTRY_OVERHEAD);
        enum attest_status s;

        if (length < ENTRY_OVERHEAD || length > size)
            return attest_fail(
                err, ATTEST_E_FORMAT, "image.table",
                "the table at the image's end is broken: %zu bytes before its footer is an "
                "entry of %u",
                size, length);
        s = take_entry(o, &seen, table + size - 16, table + size - length, length - ENTRY_OVERHEAD,
                       err);
        if (s != ATTEST_OK)
            return s;
        size -= length;
    }
    return ATTEST_OK;
}

enum attest_status ovmf_parse(struct ovmf *o, const void *image, size_t size, uint64_t end,
                              struct attest_error *err)
{
    const uint8_t *foot;
    uint16_t length;

    if (!size || size > OVMF_IMAGE_MAX)
        return attest_fail(err, ATTEST_E_FORMAT, "image.table",
                           "a firmware image has 1 byte to %u MiB, not %zu bytes",
                           OVMF_IMAGE_MAX >> 20, size);
    if (size > end)
        return attest_fail(err, ATTEST_E_ARG, "image.table",
                           "an image of %#zx bytes does not fit below %#" PRIx64, size, end);
    *o = (struct ovmf){.image = image, .size = size, .gpa = end - size};
    if (size < RESET_VECTOR + ENTRY_OVERHEAD)
        return ATTEST_OK;
    foot = o->image + size - RESET_VECTOR - ENTRY_OVERHEAD;
    length = load16(foot);
    /* Old images have one entry in the footer's place. */
    if (guid_is(foot + 2, &reset_block) && length >= ENTRY_OVERHEAD + 4 &&
        length <= size - RESET_VECTOR)
        return take_reset(o, foot + ENTRY_OVERHEAD - length, err);
    if (!guid_is(foot + 2, &footer))
        return ATTEST_OK;
    if (length < ENTRY_OVERHEAD || length > size - RESET_VECTOR)
        return attest_fail(err, ATTEST_E_FORMAT, "image.table",
                           "the table at the image's end claims %u bytes of an image of %zu",
                           length, size);
    return walk(o, foot + ENTRY_OVERHEAD - length, length - ENTRY_OVERHEAD, err);
}

bool ovmf_has_section(const struct ovmf *o, uint32_t type)
{
    for (unsigned i = 0; i < o->section_count; i++)
        if (o->sections[i].type == type)
            return true;
    return false;
}
