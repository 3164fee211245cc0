/* The SNP half of the mailbox: from a command's number to its deed; see snp_commands.def. */
#include "silicon/asp/snp_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/cipher.h"

/* ---- the table ----------------------------------------------------------------------------- */

/* What must be zero in each buffer. */
#define PAGE_LOW 0xFFFu
static const struct snp_no_buffer zero_none = {};
static const struct snp_cmd_init_ex zero_init_ex = {
    .flags = ~(SNP_INIT_RMP | SNP_INIT_LIST | SNP_INIT_RAPL_DIS | SNP_INIT_HIDING | SNP_INIT_TIO),
    .reserved = UINT32_MAX,
    .list_paddr = PAGE_LOW,
    .reserved1 = {[0 ... 0x2D] = 0xFF}};
static const struct snp_cmd_shutdown_ex zero_shutdown_ex = {
    .flags = ~(SNP_SHUTDOWN_IOMMU | SNP_SHUTDOWN_X86)};
static const struct snp_cmd_platform_status zero_platform_status = {0};
static const struct snp_cmd_config zero_config = {
    .flags = ~(SNP_CONFIG_MASK_CHIP_ID | SNP_CONFIG_MASK_CHIP_KEY),
    .reserved = {[0 ... 0x33] = 0xFF}};
static const struct snp_cmd_commit zero_commit = {0};
static const struct snp_cmd_download_firmware_ex zero_download = {.reserved = UINT32_MAX,
                                                                  .flags = ~SNP_DOWNLOAD_COMMIT};
static const struct snp_cmd_vlek_load zero_vlek_load = {.wrapped_version = 0xFF,
                                                        .reserved = {0xFF, 0xFF, 0xFF}};
static const struct snp_cmd_feature_info zero_feature_info = {0};
static const struct snp_cmd_gctx zero_gctx = {PAGE_LOW};
static const struct snp_cmd_activate zero_activate = {.gctx_paddr = PAGE_LOW};
static const struct snp_cmd_activate_ex zero_activate_ex = {.reserved = UINT32_MAX,
                                                            .gctx_paddr = PAGE_LOW};
static const struct snp_cmd_guest_status zero_guest_status = {.gctx_paddr = PAGE_LOW};
static const struct snp_cmd_launch_start zero_launch_start = {
    .gctx_paddr = PAGE_LOW, .ma_gctx_paddr = PAGE_LOW, .flags = ~(SNP_LAUNCH_MA | SNP_LAUNCH_IMI)};
static const struct snp_cmd_launch_update zero_launch_update = {
    .gctx_paddr = PAGE_LOW,
    .flags = ~(SNP_UPDATE_2M | SNP_UPDATE_TYPE(7) | SNP_UPDATE_IMI),
    .reserved = UINT32_MAX,
    .page_paddr = PAGE_LOW,
    .reserved1 = 0xFF,
    .reserved2 = {0xFF, 0xFF, 0xFF, 0xFF}};
static const struct snp_cmd_launch_finish zero_launch_finish = {
    .gctx_paddr = PAGE_LOW,
    .flags = 0xFF & ~(SNP_FINISH_ID_BLOCK | SNP_FINISH_AUTH_KEY | SNP_FINISH_VCEK_DIS),
    .reserved = {[0 ... 6] = 0xFF}};
static const struct snp_cmd_guest_request zero_guest_request = {PAGE_LOW, PAGE_LOW, PAGE_LOW};
static const struct snp_cmd_dbg zero_dbg = {PAGE_LOW, PAGE_LOW, PAGE_LOW};
static const struct snp_cmd_swap zero_swap = {
    .gctx_paddr = PAGE_LOW,
    .src_paddr = PAGE_LOW,
    .dst_paddr = PAGE_LOW,
    .flags = ~(SNP_SWAP_2M | SNP_SWAP_TYPE(3) | SNP_SWAP_IN_PLACE | SNP_SWAP_ROOT_MDATA),
    .reserved = UINT32_MAX};
static const struct snp_cmd_page_move zero_page_move = {.gctx_paddr = PAGE_LOW,
                                                        .flags = ~SNP_MOVE_2M,
                                                        .reserved = UINT32_MAX,
                                                        .src_paddr = PAGE_LOW,
                                                        .dst_paddr = PAGE_LOW};
static const struct snp_cmd_page_md_init zero_page_md_init = {PAGE_LOW, PAGE_LOW};
static const struct snp_cmd_page_set_state zero_page_set_state = {.reserved = UINT32_MAX};
static const struct snp_cmd_page zero_page = {PAGE_LOW & ~SNP_RECLAIM_2M};

struct page_rule {
    bool is;
    uint8_t at;
    enum snp_size size;
    unsigned states;
};

struct command {
    enum snp_command id;
    const char *name;
    size_t size;
    const void *zero;
    enum sev_status length; /* of a wrong first word; SEV_SUCCESS: it is no length */
    unsigned platforms;
    int context; /* offset of the context's address, or negative */
    struct page_rule pages[2];
    enum sev_status (*form)(struct asp *a, struct snp_call *c);
    unsigned guests;
    uint64_t policy;
    bool active;
    enum sev_status (*check)(struct asp *a, struct snp_call *c);
    void (*apply)(struct asp *a, struct snp_call *c);
};

/* Words of the table. */
#define NO_LEN       SEV_SUCCESS
#define LEN(status)  SEV_##status
#define UNINIT       (1u << SNP_PLATFORM_UNINIT)
#define INIT         (1u << SNP_PLATFORM_INIT)
#define EITHER       (UNINIT | INIT)
#define NO_GUEST     (-1)
#define OF(s, field) offsetof(__typeof__(((struct snp_call *)0)->buf.s), field)
#define AT(s)        (int)OF(s, gctx_paddr)
#define NO_PAGE                                                                                    \
    {                                                                                              \
        .is = false                                                                                \
    }
#define PAGE(s, field, size, states)                                                               \
    {                                                                                              \
        true, OF(s, field), SNP_##size, states                                                     \
    }
#define snp_form_FREE NULL
#define NO_STATE      (~0u)
#define CREATED       (1u << SNP_GUEST_INIT)
#define LAUNCH        (1u << SNP_GUEST_LAUNCH)
#define RUNNING       (1u << SNP_GUEST_RUNNING)
#define ASID_ANY      false
#define ASID_ACTIVE   true
#define FIRMWARE      (1u << RMP_FIRMWARE)
#define METADATA      (1u << RMP_METADATA)
#define PRE_GUEST     (1u << RMP_PRE_GUEST)
#define PRE_SWAP      (1u << RMP_PRE_SWAP)
#define GUEST_INVALID (1u << RMP_GUEST_INVALID)
#define GUEST_VALID   (1u << RMP_GUEST_VALID)
#define EVERY         (~0u)

static const struct command commands[] = {
#define CMD(name, s, length, platforms, context, page0, page1, form, guests, policy, asid)         \
    {SNP_CMD_##name,   #name,           sizeof(((struct snp_call *)0)->buf.s),                     \
     &zero_##s,        length,          platforms,                                                 \
     context,          {page0, page1},  snp_form_##form,                                           \
     guests,           policy,          ASID_##asid,                                               \
     snp_check_##name, snp_apply_##name},
#include "silicon/asp/snp_commands.def"
#undef CMD
};

static const struct command *find_command(uint32_t id)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].id == id)
            return &commands[i];
    return NULL;
}

/* ---- helpers of the commands --------------------------------------------------------------- */

enum rmp_state snp_page_state(const struct asp *a, uint64_t spa)
{
    return rmp_enforced(a->rmp) ? rmp_state(a->rmp, spa) : RMP_DEFAULT;
}

bool snp_may_touch(const struct asp *a, uint64_t spa, uint64_t len)
{
    uint64_t base, end;

    if (!asp_reaches(a, spa, len))
        return false;
    if (!rmp_enforced(a->rmp) || !len)
        return true;
    rmp_bounds(a->rmp, &base, &end);
    return spa > end || spa + len - 1 < base;
}

bool snp_pages_are(const struct asp *a, uint64_t spa, uint64_t len, unsigned states)
{
    for (uint64_t at = spa & ~(uint64_t)FRAME_MASK; at < spa + len; at += FRAME_SIZE)
        if (!(states & 1u << snp_page_state(a, at)))
            return false;
    return true;
}

bool snp_buffer_is_free(const struct asp *a, uint64_t spa, size_t len)
{
    return snp_may_touch(a, spa, len) && snp_pages_are(a, spa, len, FIRMWARE | 1u << RMP_DEFAULT);
}

void snp_buffer_spent(struct asp *a, uint64_t spa, size_t len)
{
    for (uint64_t at = spa & ~(uint64_t)FRAME_MASK; at < spa + len; at += FRAME_SIZE) {
        const struct snp_operand p = {.spa = at};

        if (snp_page_state(a, at) == RMP_FIRMWARE)
            snp_put_state(a, &p, RMP_RECLAIM, 0);
    }
}

static struct rmp_entry entry_of(const struct asp *a, uint64_t spa)
{
    return rmp_enforced(a->rmp) ? rmp_get(a->rmp, spa) : (struct rmp_entry){0};
}

enum sev_status snp_operand(const struct asp *a, uint64_t spa, enum snp_size size, unsigned states,
                            struct snp_operand *p)
{
    *p = (struct snp_operand){.spa = spa, .large = size == SNP_S2M};
    if (!snp_may_touch(a, spa, FRAME_SIZE))
        return SEV_INVALID_ADDRESS;
    p->state = snp_page_state(a, spa);
    p->entry = entry_of(a, spa);
    if (!(states & 1u << p->state))
        return SEV_INVALID_PAGE_STATE;
    if (size == SNP_SANY)
        return SEV_SUCCESS;
    if (p->large != p->entry.large)
        return SEV_INVALID_PAGE_SIZE;
    if (p->large && (spa % SNP_LARGE || !snp_may_touch(a, spa, SNP_LARGE)))
        return SEV_INVALID_ADDRESS;
    return SEV_SUCCESS;
}

enum sev_status snp_owned(const struct snp_operand *p, const struct snp_guest *g)
{
    return p->state >= RMP_PRE_GUEST && p->entry.asid != g->asid ? SEV_INVALID_PAGE_OWNER
                                                                 : SEV_SUCCESS;
}

enum sev_status snp_output(const struct asp *a, uint64_t spa, size_t len)
{
    if ((spa & FRAME_MASK) + len > FRAME_SIZE)
        return SEV_INVALID_PARAM;
    if (!snp_may_touch(a, spa, len))
        return SEV_INVALID_ADDRESS;
    return snp_pages_are(a, spa, len, FIRMWARE | 1u << RMP_DEFAULT) ? SEV_SUCCESS
                                                                    : SEV_INVALID_PAGE_STATE;
}

/* A METADATA entry names its guest's context where others have a GPA, with a mark that no GPA of a
 * guest has (SNP ABI, "Page states"). */
#define METADATA_MARK BIT(48)

void snp_put_state(struct asp *a, const struct snp_operand *p, enum rmp_state state, uint64_t gctx)
{
    struct rmp_entry e = {.large = p->large};

    switch (state) {
    case RMP_RECLAIM:
        e.assigned = true;
        break;
    case RMP_METADATA:
        e.gpa = gctx | METADATA_MARK;
        e.assigned = e.immutable = true;
        break;
    case RMP_CONTEXT:
        e.vmsa = true;
        e.assigned = e.immutable = true;
        break;
    case RMP_FIRMWARE:
        e.assigned = e.immutable = true;
        break;
    case RMP_HV_FIXED:
        e.immutable = true;
        break;
    default:
        break; /* HYPERVISOR is all zeros */
    }
    rmp_put(a->rmp, p->spa, &e);
}

bool snp_is_metadata_of(const struct rmp_entry *e, uint64_t gctx)
{
    return e->gpa == (gctx | METADATA_MARK);
}

bool snp_is_recent(const struct asp *a)
{
    const struct snp_firmware *fw = &a->platform->versions.current;

    return fw->major > 1 || (fw->major == 1 && fw->minor >= 56);
}

bool snp_sha384(struct asp *a, const void *bytes, size_t len, uint8_t out[48])
{
    digest_feed(a->snp->sha384, bytes, len);
    return digest_finish(a->snp->sha384, out);
}

enum sev_status snp_get_ranges(struct asp *a, uint64_t spa, struct snp_range_list *list)
{
    if (!asp_reaches(a, spa, sizeof(*list)))
        return SEV_INVALID_ADDRESS;
    asp_get(a, spa, list, sizeof(*list));
    if (list->count > SNP_RANGES_MAX || list->reserved)
        return SEV_INVALID_PARAM;
    for (unsigned i = 0; i < list->count; i++) {
        const struct snp_range *r = &list->ranges[i];

        if (r->base & FRAME_MASK || r->reserved || r->base > BIT(52))
            return SEV_INVALID_PARAM;
    }
    return SEV_SUCCESS;
}

/* ---- the way of a command ------------------------------------------------------------------ */

static bool reserved_clear(const struct command *cmd, const struct snp_call *c)
{
    const uint8_t *zero = cmd->zero;

    for (size_t i = 0; i < cmd->size; i++)
        if (c->buf.bytes[i] & zero[i])
            return false;
    return true;
}

static enum sev_status admit_buffer(struct asp *a, const struct command *cmd, uint64_t spa,
                                    struct snp_call *c)
{
    if (!cmd->size)
        return SEV_SUCCESS;
    if (!asp_reaches(a, spa, cmd->size))
        return SEV_INVALID_ADDRESS;
    asp_get(a, spa, c->buf.bytes, cmd->size);
    if (cmd->length != SEV_SUCCESS && load32(c->buf.bytes) != cmd->size)
        return cmd->length;
    return reserved_clear(cmd, c) ? SEV_SUCCESS : SEV_INVALID_PARAM;
}

static enum sev_status admit_pages(struct asp *a, const struct command *cmd, struct snp_call *c)
{
    for (unsigned i = 0; i < COUNT(cmd->pages); i++) {
        const struct page_rule *r = &cmd->pages[i];
        enum snp_size size = r->size;
        enum sev_status status;

        if (!r->is)
            continue;
        if (size == SNP_S2M_OR_4K)
            size = load32(c->buf.bytes + 8) & 1 ? SNP_S2M : SNP_S4K;
        status = snp_operand(a, load64(c->buf.bytes + r->at), size, r->states, &c->page[i]);
        if (status != SEV_SUCCESS)
            return status;
    }
    return SEV_SUCCESS;
}

static enum sev_status admit_guest(const struct command *cmd, struct snp_call *c)
{
    const struct snp_guest *g = c->guest;
    enum sev_status status = SEV_SUCCESS;

    if (!(cmd->guests & 1u << g->state))
        return SEV_INVALID_GUEST_STATE;
    if (cmd->policy & ~g->policy)
        return SEV_POLICY_FAILURE;
    if (!cmd->active)
        return SEV_SUCCESS;
    if (!g->asid)
        return SEV_INACTIVE;
    for (unsigned i = 0; i < COUNT(cmd->pages) && status == SEV_SUCCESS; i++)
        if (cmd->pages[i].is && cmd->pages[i].states != EVERY)
            status = snp_owned(&c->page[i], g);
    return status;
}

/* The columns of the table. */
static enum sev_status admit(struct asp *a, const struct command *cmd, uint64_t spa,
                             struct snp_call *c)
{
    enum sev_status status = admit_buffer(a, cmd, spa, c);

    if (status != SEV_SUCCESS)
        return status;
    if (!(cmd->platforms & 1u << a->snp->state))
        return SEV_INVALID_PLATFORM_STATE;
    if (cmd->context >= 0) {
        c->guest = snp_guest_at(a, load64(c->buf.bytes + cmd->context));
        if (!c->guest)
            return SEV_INVALID_GUEST;
    }
    status = admit_pages(a, cmd, c);
    if (status == SEV_SUCCESS && cmd->form)
        status = cmd->form(a, c);
    return status == SEV_SUCCESS && c->guest ? admit_guest(cmd, c) : status;
}

static void report(const struct command *cmd, const struct snp_call *c, enum sev_status status)
{
    if (!tracing(TRACE_ASP))
        return;
    if (c->guest)
        trace(TRACE_ASP, "SNP %s guest %#" PRIx64 ": %s", cmd->name, c->guest->gctx,
              asp_status_name(status));
    else
        trace(TRACE_ASP, "SNP %s: %s", cmd->name, asp_status_name(status));
}

bool snp_run(struct asp *a, uint32_t id, uint64_t spa, enum sev_status *status)
{
    const struct command *cmd = find_command(id);
    struct snp_call c;

    if (!cmd || a->chip->level < SEV_SNP)
        return false;
    memset(&c, 0, offsetof(struct snp_call, out));
    *status = admit(a, cmd, spa, &c);
    if (*status == SEV_SUCCESS)
        *status = cmd->check(a, &c);
    report(cmd, &c, *status);
    if (*status == SEV_SUCCESS)
        cmd->apply(a, &c);
    if (c.bytes) {
        wipe(c.bytes, c.len);
        free(c.bytes);
    }
    wipe(&c.fresh, sizeof(c.fresh));
    if (c.secret)
        wipe(&c.out, sizeof(c.out));
    return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

enum status snp_new(struct asp *a, struct error *err)
{
    a->snp = calloc(1, sizeof(*a->snp));
    if (a->snp)
        a->snp->sha384 = digest_new(DIGEST_SHA384);
    if (!a->snp || !a->snp->sha384)
        return fail(err, ERR_NOMEM, "no memory for the secure processor");
    return OK;
}

void snp_free(struct asp *a)
{
    if (!a->snp)
        return;
    for (unsigned i = 0; i < SNP_GUESTS; i++)
        if (a->snp->guests[i].used)
            snp_guest_forget(a, &a->snp->guests[i]);
    digest_free(a->snp->sha384);
    wipe(a->snp, sizeof(*a->snp));
    free(a->snp);
    a->snp = NULL;
}
