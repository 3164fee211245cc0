/* The secure processor's mailbox: from a command's number to its deed; see commands.def. */
#include "silicon/asp/snp_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/cipher.h"

/* ---- the table ----------------------------------------------------------------------------- */

enum buffer_use { NO_BUFFER, IN = 1, OUT = 2, INOUT = IN | OUT, LENGTHS = 4 | INOUT };
enum { UNINIT = 1, INIT = 2, WORKING = 4 }; /* 1 << enum sev_platform_state */
enum {
    NO_GUEST = 0,
    LUPDATE = 1 << SEV_GUEST_LUPDATE,
    LSECRET = 1 << SEV_GUEST_LSECRET,
    RUNNING = 1 << SEV_GUEST_RUNNING,
    SENT = 1 << SEV_GUEST_SENT,
    EVERY = 0xFE,
};
enum { NODBG = SEV_POLICY_NODBG };

struct command {
    enum sev_command id;
    const char *name;
    size_t size;
    unsigned use, platforms, guests;
    uint32_t forbidding; /* policy */
    bool active;
    enum sev_status (*check)(struct asp *a, struct call *c);
    void (*apply)(struct asp *a, struct call *c);
};

/* Words of the last column, and of the platform's. */
#define ASID_ANY    false
#define ASID_ACTIVE true
#define ANY         (UNINIT | INIT | WORKING)
#define SIZE(s)     SIZE_##s
#define SIZE_none   0
#define OF(s)       sizeof(((struct call *)0)->buf.s)

#define SIZE_init            OF(init)
#define SIZE_init_ex         OF(init_ex)
#define SIZE_platform_status OF(platform_status)
#define SIZE_buffer          OF(buffer)
#define SIZE_pek_cert_import OF(pek_cert_import)
#define SIZE_pdh_cert_export OF(pdh_cert_export)
#define SIZE_handle          OF(handle)
#define SIZE_activate        OF(activate)
#define SIZE_guest_status    OF(guest_status)
#define SIZE_launch_start    OF(launch_start)
#define SIZE_guest_buffer    OF(guest_buffer)
#define SIZE_launch_secret   OF(launch_secret)
#define SIZE_attestation     OF(attestation)
#define SIZE_dbg             OF(dbg)

static const struct command commands[] = {
#define CMD(name, structure, use, platforms, guests, policy, asid)                                 \
    {SEV_CMD_##name,   #name,           SIZE(structure), use,                                      \
     platforms,        guests,          policy,          ASID_##asid,                              \
     asp_check_##name, asp_apply_##name},
#include "silicon/asp/commands.def"
#undef CMD
};

static const struct command *find_command(uint32_t id)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].id == id)
            return &commands[i];
    return NULL;
}

const char *asp_status_name(enum sev_status status)
{
    static const char *const names[] = {
#define X(name, id) [id] = #name,
        SEV_STATUSES(X)
#undef X
    };

    return status < COUNT(names) && names[status] ? names[status] : "?";
}

/* ---- helpers of the commands --------------------------------------------------------------- */

bool asp_reaches(const struct asp *a, uint64_t spa, uint64_t len)
{
    uint64_t size = dram_size(a->dram);

    return spa <= size && len <= size - spa;
}

enum sev_status asp_check_output(const struct asp *a, uint64_t spa, uint64_t len)
{
    if (!asp_reaches(a, spa, len))
        return SEV_INVALID_ADDRESS;
    return snp_buffer_is_free(a, spa, len) ? SEV_SUCCESS : SEV_INVALID_PAGE_STATE;
}

enum sev_status asp_check_guest_memory(const struct asp *a, uint64_t spa, uint64_t len)
{
    if (!asp_reaches(a, spa, len))
        return SEV_INVALID_ADDRESS;
    return snp_pages_are(a, spa, len, 1u << RMP_HYPERVISOR | 1u << RMP_DEFAULT)
               ? SEV_SUCCESS
               : SEV_INVALID_PAGE_STATE;
}

void asp_get(struct asp *a, uint64_t spa, void *to, size_t len)
{
    if (!dram_read(a->dram, spa, DRAM_PLAIN, to, len))
        memset(to, 0, len);
}

/* `spa` passed asp_reaches, so that neither half can fail. */
void asp_put_private(struct asp *a, uint64_t spa, dram_key key, const void *from, size_t len)
{
    bool done = dram_write(a->dram, spa, key, from, len);

    (void)done;
}

void asp_put(struct asp *a, uint64_t spa, const void *from, size_t len)
{
    asp_put_private(a, spa, DRAM_PLAIN, from, len);
}

void asp_copy(struct asp *a, uint64_t to, dram_key to_key, uint64_t from, dram_key from_key,
              uint64_t len, struct digest *fed)
{
    uint8_t bytes[FRAME_SIZE];

    while (len) {
        /* to the end of the destination's frame, so that whole frames change keys as such */
        size_t n = MIN(len, FRAME_SIZE - (to & FRAME_MASK));

        if (!dram_read(a->dram, from, from_key, bytes, n))
            return;
        if (fed)
            digest_feed(fed, bytes, n);
        asp_put_private(a, to, to_key, bytes, n);
        from += n;
        to += n;
        len -= n;
    }
    wipe(bytes, sizeof(bytes));
}

uint32_t asp_handle_of(const struct asp *a, const struct guest *g)
{
    return (uint32_t)(g - a->guests) + 1;
}

struct guest *asp_guest(struct asp *a, uint32_t handle)
{
    struct guest *g = handle && handle <= ASP_GUESTS ? &a->guests[handle - 1] : NULL;

    return g && g->state != SEV_GUEST_UNINIT ? g : NULL;
}

void asp_unbind(struct asp *a, struct guest *g)
{
    a->asids[g->asid] = a->asids[g->asid] == ASID_IN_USE ? ASID_DIRTY : ASID_CLEAN;
    dram_bind(a->dram, g->asid, DRAM_PLAIN);
    g->asid = 0;
    a->wbinvd_done = 0;
}

static bool key_is_shared(const struct asp *a, const struct guest *g)
{
    for (unsigned i = 0; i < ASP_GUESTS; i++)
        if (&a->guests[i] != g && a->guests[i].state != SEV_GUEST_UNINIT &&
            a->guests[i].key == g->key)
            return true;
    return false;
}

void asp_guest_end(struct asp *a, struct guest *g)
{
    if (g->asid)
        asp_unbind(a, g);
    asp_vmsa_forget(a, asp_handle_of(a, g));
    if (!key_is_shared(a, g))
        dram_key_drop(a->dram, g->key);
    digest_free(g->measured);
    wipe(g, sizeof(*g));
    a->guest_count--;
}

/* ---- the way of a command ------------------------------------------------------------------ */

/* The columns of the table. Fills `c->buf` and `c->guest`. */
static enum sev_status admit(struct asp *a, const struct command *cmd, uint64_t spa, struct call *c)
{
    if (!(cmd->platforms & 1u << a->state))
        return SEV_INVALID_PLATFORM_STATE;
    if (cmd->use && !asp_reaches(a, spa, cmd->size))
        return SEV_INVALID_ADDRESS;
    if (cmd->use & OUT && !snp_buffer_is_free(a, spa, cmd->size))
        return SEV_INVALID_PAGE_STATE;
    if (cmd->use & IN)
        asp_get(a, spa, &c->buf, cmd->size);
    if (cmd->guests == NO_GUEST)
        return SEV_SUCCESS;
    c->guest = asp_guest(a, c->buf.handle.handle); /* the first word of all such buffers */
    if (!c->guest)
        return SEV_INVALID_GUEST;
    if (!(cmd->guests & 1u << c->guest->state))
        return SEV_INVALID_GUEST_STATE;
    if (cmd->forbidding & c->guest->policy)
        return SEV_POLICY_FAILURE;
    if (cmd->active && !c->guest->asid)
        return SEV_INACTIVE;
    return SEV_SUCCESS;
}

/* The last that may fail: keys that nobody would have after a power cycle are no keys. */
static enum sev_status store_identity(struct asp *a, const struct call *c)
{
    uint8_t area[SEV_NV_BYTES];
    struct error err;

    if (c->nv_paddr && asp_check_output(a, c->nv_paddr, sizeof(area)) != SEV_SUCCESS)
        return SEV_INVALID_PAGE_STATE;
    if (!identity_seal(&c->identity, a->platform->secret, area))
        return SEV_OUT_OF_ORDER;
    if (c->nv_paddr) {
        asp_put(a, c->nv_paddr, area, sizeof(area));
    } else if (platform_nv_store(a->platform, area, &err) != OK) {
        warn("secure processor: %s", err.text);
        return SEV_OUT_OF_ORDER;
    }
    return SEV_SUCCESS;
}

static void report(const struct command *cmd, uint32_t id, const struct call *c,
                   const struct asp *a, enum sev_status status)
{
    if (!tracing(TRACE_ASP))
        return;
    if (!cmd)
        trace(TRACE_ASP, "command %#04" PRIx32 ": %s", id, asp_status_name(status));
    else if (c->guest)
        trace(TRACE_ASP, "%s guest %" PRIu32 ": %s", cmd->name, asp_handle_of(a, c->guest),
              asp_status_name(status));
    else
        trace(TRACE_ASP, "%s: %s", cmd->name, asp_status_name(status));
}

static void write_back(struct asp *a, const struct command *cmd, uint64_t spa, const struct call *c)
{
    asp_put(a, spa, &c->buf, cmd->size);
    snp_buffer_spent(a, spa, cmd->size);
}

static enum sev_status run(struct asp *a, uint32_t id, uint64_t spa)
{
    const struct command *cmd = find_command(id);
    struct call c = {.nv_paddr = a->nv_paddr};
    enum sev_status status = cmd ? admit(a, cmd, spa, &c) : SEV_INVALID_COMMAND;

    if (status == SEV_SUCCESS)
        status = cmd->check(a, &c);
    if (status == SEV_SUCCESS && c.store_identity)
        status = store_identity(a, &c);
    report(cmd, id, &c, a, status);
    if (status == SEV_SUCCESS)
        cmd->apply(a, &c);
    if (cmd && ((status == SEV_SUCCESS && cmd->use & OUT) ||
                (status == SEV_INVALID_LENGTH && cmd->use == LENGTHS)))
        write_back(a, cmd, spa, &c);
    wipe(&c, sizeof(c));
    return status;
}

static enum sev_status run_any(struct asp *a, uint32_t id, uint64_t spa)
{
    enum sev_status status;

    return snp_run(a, id, spa, &status) ? status : run(a, id, spa);
}

/* ---- registers ----------------------------------------------------------------------------- */

uint32_t asp_read_reg(const struct asp *a, uint32_t reg)
{
    switch (reg) {
    case ASP_CMDRESP:
        return a->cmdresp;
    case ASP_CMDBUF_LO:
        return a->cmdbuf_lo;
    case ASP_CMDBUF_HI:
        return a->cmdbuf_hi;
    default:
        return 0;
    }
}

void asp_write_reg(struct asp *a, uint32_t reg, uint32_t value)
{
    switch (reg) {
    case ASP_CMDBUF_LO:
        a->cmdbuf_lo = value;
        break;
    case ASP_CMDBUF_HI:
        a->cmdbuf_hi = value;
        break;
    case ASP_CMDRESP:
        a->cmdresp = ASP_RESP_READY |
                     run_any(a, value >> 16 & 0x7FF, (uint64_t)a->cmdbuf_hi << 32 | a->cmdbuf_lo);
        a->cmdbuf_lo = a->cmdbuf_hi = 0; /* an error stack without entries */
        break;
    default:
        break;
    }
}

/* ---- what the rest of the package asks ----------------------------------------------------- */

void asp_note_wbinvd(struct asp *a, unsigned core)
{
    if (core < a->cores)
        a->wbinvd_done |= BIT(core);
}

bool asp_vmrun_asid(const struct asp *a, uint32_t asid, dram_key *key)
{
    if (asid == 0 || asid > a->chip->sev_asids || a->asids[asid] != ASID_IN_USE)
        return false;
    *key = dram_bound(a->dram, asid);
    return true;
}

void asp_set_cores(struct asp *a, const struct asp_cores *cores, void *ctx)
{
    a->core_ops = cores;
    a->core_ctx = ctx;
}

/* ---- life ---------------------------------------------------------------------------------- */

static enum status take_platform(struct asp *a, const char *where, struct error *err)
{
    enum status why;

    if (!where)
        return platform_fresh(a->chip, &a->platform, err);
    why = platform_load(where, &a->platform, err);
    if (why == OK && a->platform->chip != a->chip)
        why = fail(err, ERR_ARG, "the platform '%s' is a %s, not a %s; use --chip %s",
                   a->platform->name, a->platform->chip->name, a->chip->name,
                   a->platform->chip->name);
    return why;
}

enum status asp_new(const struct chip *chip, struct dram *dram, struct rmp *rmp, unsigned cores,
                    const char *platform, struct asp **out, struct error *err)
{
    struct asp *a = calloc(1, sizeof(*a));
    enum status why;

    if (!a)
        return fail(err, ERR_NOMEM, "no memory for the secure processor");
    a->chip = chip;
    a->dram = dram;
    a->rmp = rmp;
    a->cores = MIN(cores, ASP_CORES);
    why = take_platform(a, platform, err);
    if (why == OK)
        why = snp_new(a, err);
    if (why == OK)
        *out = a;
    else
        asp_free(a);
    return why;
}

void asp_free(struct asp *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < ASP_GUESTS; i++)
        if (a->guests[i].state != SEV_GUEST_UNINIT)
            asp_guest_end(a, &a->guests[i]);
    snp_free(a);
    platform_free(a->platform);
    wipe(a, sizeof(*a));
    free(a);
}
