/* The secure processor's driver: a command buffer in DRAM, its address in two mailbox registers,
 * the command in a third, and a status that says why not (SEV API 4). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

static const struct {
    unsigned id;
    const char *name;
} commands[] = {
#define X(name, id) {SEV_CMD_##name, #name},
    SEV_COMMANDS(X)
#undef X
#define X(name, id) {SNP_CMD_##name, "SNP_" #name},
        SNP_COMMANDS(X)
#undef X
};

/* Which legacy commands write: their own buffer, and pages that it points to (SEV API, 5). Under
 * SNP the firmware writes to pages of its own alone. */
static const struct {
    enum sev_command cmd;
    bool data;
} writers[] = {
    {SEV_CMD_PLATFORM_STATUS, false}, {SEV_CMD_GUEST_STATUS, false},
    {SEV_CMD_LAUNCH_START, false},    {SEV_CMD_PEK_CSR, true},
    {SEV_CMD_PDH_CERT_EXPORT, true},  {SEV_CMD_GET_ID, true},
    {SEV_CMD_LAUNCH_MEASURE, true},   {SEV_CMD_ATTESTATION, true},
};

static const struct {
    enum sev_status id;
    const char *name;
} statuses[] = {
#define X(name, id) {SEV_##name, #name},
    SEV_STATUSES(X)
#undef X
};

/* What the person in front of the machine can do about it. */
static const struct {
    unsigned cmd;
    enum sev_status status;
    const char *hint;
} hints[] = {
    {SEV_CMD_LAUNCH_START, SEV_BAD_MEASUREMENT,
     "the session file does not belong to this platform's PDH, to --dh-cert-file or to --policy"},
    {SEV_CMD_LAUNCH_START, SEV_INVALID_CERTIFICATE, "--dh-cert-file is not a PDH certificate"},
    {SEV_CMD_LAUNCH_START, SEV_POLICY_FAILURE,
     "--policy asks for a newer API than the platform has, or has reserved bits set"},
    {SEV_CMD_LAUNCH_START, SEV_UNSUPPORTED, "--policy asks for SEV-ES, but the guest is plain SEV"},
    {SEV_CMD_LAUNCH_START, SEV_RESOURCE_LIMIT, "it has no room for another guest"},
    {SEV_CMD_LAUNCH_SECRET, SEV_BAD_MEASUREMENT,
     "the packet was not sealed for this launch, or it was changed on its way"},
    {SNP_CMD_LAUNCH_START, SEV_POLICY_FAILURE,
     "--policy asks for a newer API or for what the platform has not, or has reserved bits set"},
    {SNP_CMD_LAUNCH_START, SEV_INVALID_PARAM,
     "--policy has reserved bits set, or lacks bit 17, which has to be one"},
    {SNP_CMD_LAUNCH_FINISH, SEV_BAD_MEASUREMENT, "the launch digest is not the one in --id-block"},
    {SNP_CMD_LAUNCH_FINISH, SEV_POLICY_FAILURE, "--id-block is for another --policy"},
    {SNP_CMD_LAUNCH_FINISH, SEV_BAD_SIGNATURE,
     "a signature in --id-auth does not verify, or a key in it is none"},
    {SNP_CMD_LAUNCH_FINISH, SEV_INVALID_PARAM, "--id-auth names an algorithm that is not 1"},
};

static const char *command_name(unsigned cmd)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].id == cmd)
            return commands[i].name;
    return "unknown command";
}

static const char *status_name(enum sev_status status)
{
    for (size_t i = 0; i < COUNT(statuses); i++)
        if (statuses[i].id == status)
            return statuses[i].name;
    return "unknown status";
}

static const char *hint_for(unsigned cmd, enum sev_status status)
{
    for (size_t i = 0; i < COUNT(hints); i++)
        if (hints[i].cmd == cmd && hints[i].status == status)
            return hints[i].hint;
    return NULL;
}

static enum status refused(unsigned cmd, enum sev_status status, struct error *err)
{
    const char *hint = hint_for(cmd, status);

    return fail(err, ERR_STATE, "the secure processor refuses %s with %s (0x%02x)%s%s",
                command_name(cmd), status_name(status), status, hint ? ": " : "", hint ? hint : "");
}

/* One command, its buffer copied in; `*status` is the firmware's. */
static enum status run(struct host *h, unsigned cmd, uint64_t at, const void *buffer, size_t len,
                       bool lend, enum sev_status *status, struct error *err)
{
    uint32_t response;

    if (len > PAGE || (len && !soc_write(h->soc, at, buffer, len)))
        return fail(err, ERR_STATE, "%s: its command buffer cannot be written", command_name(cmd));
    if (lend && asp_lend(h, at, 1, err) != OK)
        return ERR_STATE;
    soc_asp_write(h->soc, ASP_CMDBUF_LO, (uint32_t)at);
    soc_asp_write(h->soc, ASP_CMDBUF_HI, (uint32_t)(at >> 32));
    soc_asp_write(h->soc, ASP_CMDRESP, (uint32_t)cmd << 16);
    response = soc_asp_read(h->soc, ASP_CMDRESP);
    if (!(response & ASP_RESP_READY))
        return fail(err, ERR_STATE, "%s: the secure processor does not answer", command_name(cmd));
    *status = (enum sev_status)(response & 0xFFFF);
    if (tracing(TRACE_SEV))
        trace(TRACE_SEV, "command name=%s status=%s", command_name(cmd), status_name(*status));
    return lend ? asp_take_back(h, at, 1, err) : OK;
}

enum status asp_command(struct host *h, enum sev_command cmd, void *buffer, size_t len,
                        struct error *err)
{
    const struct asp_driver *asp = &h->asp;
    enum sev_status status = SEV_SUCCESS;
    bool writes = false, data = false;
    enum status s = OK, back = OK;

    for (size_t i = 0; asp->snp && i < COUNT(writers); i++)
        if (writers[i].cmd == cmd) {
            writes = true;
            data = writers[i].data;
        }
    if (data)
        s = asp_lend(h, asp->data, ASP_DATA_BYTES / PAGE, err);
    if (s == OK)
        s = run(h, cmd, asp->command, buffer, len, writes, &status, err);
    if (data)
        back = asp_take_back(h, asp->data, ASP_DATA_BYTES / PAGE, err);
    if (s != OK || back != OK)
        return s != OK ? s : back;
    if (len && !soc_read(h->soc, asp->command, buffer, len))
        return fail(err, ERR_STATE, "%s: its command buffer cannot be read", command_name(cmd));
    return status == SEV_SUCCESS ? OK : refused(cmd, status, err);
}

enum status asp_snp_command(struct host *h, enum snp_command cmd, void *buffer, size_t len,
                            enum sev_status *status, struct error *err)
{
    enum sev_status said = SEV_SUCCESS;
    enum status s = run(h, cmd, h->asp.command, buffer, len, false, &said, err);

    if (status)
        *status = said;
    if (s != OK)
        return s;
    return said == SEV_SUCCESS ? OK : refused(cmd, said, err);
}

/* ---- pages of the firmware --------------------------------------------------------------------
 */

static enum status update_page(struct host *h, uint64_t spa, bool firmware, struct error *err)
{
    const struct rmp_update state = {.assigned = firmware, .immutable = firmware};
    unsigned code = cpu_rmpupdate(soc_core(h->soc, 0), spa, &state);

    if (code)
        return fail(err, ERR_STATE, "RMPUPDATE of the host's page at %" PRIx64 ": code %u", spa,
                    code);
    return OK;
}

enum status asp_lend(struct host *h, uint64_t spa, uint64_t pages, struct error *err)
{
    enum status s = OK;

    for (uint64_t i = 0; h->asp.snp && i < pages && s == OK; i++)
        s = update_page(h, spa + i * PAGE, true, err);
    return s;
}

/* PAGE_RECLAIM has a buffer of its own: another command's may be in use. */
enum status asp_take_back(struct host *h, uint64_t spa, uint64_t pages, struct error *err)
{
    enum status s = OK;

    for (uint64_t i = 0; h->asp.snp && i < pages && s == OK; i++) {
        const struct snp_cmd_page cmd = {spa + i * PAGE};
        enum sev_status status = SEV_SUCCESS;

        s = run(h, SNP_CMD_PAGE_RECLAIM, h->asp.reclaim, &cmd, sizeof(cmd), false, &status, err);
        if (s == OK && status != SEV_SUCCESS)
            s = refused(SNP_CMD_PAGE_RECLAIM, status, err);
        if (s == OK)
            s = update_page(h, spa + i * PAGE, false, err);
    }
    return s;
}

/* ---- start and stop ---------------------------------------------------------------------------
 */

/* ASIDs that a guest has left can be had again once no cache holds anything of theirs. */
enum status asp_flush(struct host *h, struct error *err)
{
    for (unsigned i = 0; i < h->cores; i++)
        cpu_wbinvd(soc_core(h->soc, i));
    return asp_command(h, SEV_CMD_DF_FLUSH, NULL, 0, err);
}

/* SEV-ES keeps what it knows of VMSAs in memory that x86 loses (SEV API, INIT). */
static enum status give_tmr(struct host *h, struct sev_cmd_init *init, struct error *err)
{
    const uint32_t bytes = h->asp.snp ? SEV_TMR_SNP : SEV_TMR_BYTES;

    if (h->chip->level < SEV_ES)
        return OK;
    if (!h->asp.tmr) {
        h->asp.tmr = host_alloc(h, bytes / PAGE, bytes / PAGE);
        if (!h->asp.tmr)
            return fail(err, ERR_ARG,
                        "the host has no memory left that SEV-ES needs; see "
                        "--host-memory");
        if (asp_lend(h, h->asp.tmr, bytes / PAGE, err) != OK)
            return ERR_STATE;
    }
    *init = (struct sev_cmd_init){.flags = SEV_INIT_ES, .tmr_paddr = h->asp.tmr, .tmr_len = bytes};
    return OK;
}

enum status asp_start(struct host *h, struct error *err)
{
    struct sev_cmd_init init = {0};
    enum status s;

    if (h->asp.initialised)
        return OK;
    s = give_tmr(h, &init, err);
    if (s != OK)
        return s;
    if (asp_command(h, SEV_CMD_INIT, &init, sizeof(init), err) != OK)
        return err ? err->code : ERR_STATE;
    h->asp.initialised = true;
    return asp_flush(h, err);
}

void asp_stop(struct host *h)
{
    if (h->asp.initialised && asp_command(h, SEV_CMD_SHUTDOWN, NULL, 0, NULL) == OK)
        h->asp.initialised = false;
}

/* ---- what the platform says of itself ------------------------------------------------------- */

static uint8_t *fetch(struct host *h, uint64_t spa, size_t len)
{
    uint8_t *p = malloc(len ? len : 1);

    if (p && !soc_read(h->soc, spa, p, len)) {
        free(p);
        return NULL;
    }
    return p;
}

/* Half of the data buffer for each of the two certificates: far more than they need. */
static enum status export_pdh(struct host *h, struct sev_platform *out, struct error *err)
{
    const uint32_t half = ASP_DATA_BYTES / 2;
    struct sev_cmd_pdh_cert_export cmd = {.pdh_paddr = h->asp.data,
                                          .pdh_len = half,
                                          .chain_paddr = h->asp.data + half,
                                          .chain_len = half};

    if (asp_command(h, SEV_CMD_PDH_CERT_EXPORT, &cmd, sizeof(cmd), err) != OK)
        return err->code;
    out->pdh_len = MIN(cmd.pdh_len, half);
    out->chain_len = MIN(cmd.chain_len, half);
    out->pdh = fetch(h, cmd.pdh_paddr, out->pdh_len);
    out->chain = fetch(h, cmd.chain_paddr, out->chain_len);
    return out->pdh && out->chain ? OK : fail(err, ERR_NOMEM, "no memory for certificates");
}

static enum status get_id(struct host *h, struct sev_platform *out, struct error *err)
{
    struct sev_cmd_buffer cmd = {.paddr = h->asp.data, .len = PAGE};

    if (asp_command(h, SEV_CMD_GET_ID, &cmd, sizeof(cmd), err) != OK)
        return err->code;
    out->id_len = MIN(cmd.len, PAGE);
    out->id = fetch(h, cmd.paddr, out->id_len);
    return out->id ? OK : fail(err, ERR_NOMEM, "no memory for the chip's id");
}

enum status host_sev_platform(struct host *h, struct sev_platform *out, struct error *err)
{
    struct error local;
    enum status s;

    err = err ? err : &local;
    *out = (struct sev_platform){0};
    s = asp_start(h, err);
    if (s == OK)
        s = export_pdh(h, out, err);
    if (s == OK)
        s = get_id(h, out, err);
    if (s != OK)
        sev_platform_free(out);
    return s;
}

void sev_platform_free(struct sev_platform *p)
{
    free(p->pdh);
    free(p->chain);
    free(p->id);
    *p = (struct sev_platform){0};
}
