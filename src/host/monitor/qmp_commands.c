/* What each QMP command does. Names, arguments and answers are QEMU's. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/monitor/internal.h"
#include "host/vm/base64.h"
#include "silicon/asp_abi.h"

static const char *string_arg(const struct qmp_call *c, const char *name)
{
    return json_string_value(json_object_get(c->args, name));
}

static uint64_t size_arg(const struct qmp_call *c, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(c->args, name));
}

static bool given(const struct qmp_call *c, const char *name)
{
    return json_object_get(c->args, name) != NULL;
}

static enum status answer(struct qmp_call *c, json_t *result)
{
    c->result = result;
    return result ? OK : fail(&c->err, ERR_NOMEM, "no memory for the answer");
}

static json_t *base64_json(const void *bytes, size_t len)
{
    char *text = base64_encode(bytes, len);
    json_t *j = text ? json_string(text) : NULL;

    free(text);
    return j;
}

#define COMMAND(name) static enum status name(struct qmp_call *c)

/* ---- the conversation ------------------------------------------------------------------------ */

COMMAND(capabilities)
{
    if (json_array_size(json_object_get(c->args, "enable")))
        return fail(&c->err, ERR_ARG, "Parameter 'enable' names a capability that is not there");
    c->s->negotiated = true;
    return OK;
}

COMMAND(query_version)
{
    return answer(c, qmp_version());
}

COMMAND(query_commands)
{
    json_t *list = json_array();

    for (size_t i = 0; i < qmp_command_count; i++)
        json_array_append_new(list, json_pack("{s:s}", "name", qmp_commands[i].name));
    return answer(c, list);
}

/* ---- the guest's life ------------------------------------------------------------------------ */

COMMAND(query_status)
{
    return answer(c, json_pack("{s:s, s:b, s:b}", "status", monitor_run_state(c->m), "singlestep",
                               0, "running", vm_state(c->m->vm) == VM_RUNNING));
}

COMMAND(stop)
{
    monitor_stop(c->m);
    return OK;
}

COMMAND(cont)
{
    return monitor_cont(c->m, &c->err);
}

COMMAND(quit)
{
    monitor_quit(c->m);
    return OK;
}

COMMAND(system_powerdown)
{
    vm_powerdown(c->m->vm);
    return OK;
}

COMMAND(system_reset)
{
    monitor_reset(c->m);
    return OK;
}

COMMAND(inject_nmi)
{
    vm_nmi(c->m->vm);
    return OK;
}

/* ---- what it is ------------------------------------------------------------------------------ */

COMMAND(query_name)
{
    return answer(c, json_pack("{s:o}", "name", qmp_string(vm_config(c->m->vm)->name)));
}

COMMAND(query_kvm)
{
    return answer(c, json_pack("{s:b, s:b}", "enabled", 0, "present", 0));
}

/* All vCPUs are on the process's one thread. */
COMMAND(query_cpus_fast)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < vm_vcpus(c->m->vm); i++) {
        char path[32];

        snprintf(path, sizeof(path), "/machine/cpu[%u]", i);
        json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:{s:i, s:i, s:i}}",
                                              "cpu-index", i, "qom-path", path, "thread-id",
                                              (int)getpid(), "target", "x86_64", "props",
                                              "socket-id", 0, "core-id", i, "thread-id", 0));
    }
    return answer(c, list);
}

COMMAND(query_memory_size_summary)
{
    return answer(c, json_pack("{s:I, s:I}", "base-memory", (json_int_t)vm_config(c->m->vm)->memory,
                               "plugged-memory", (json_int_t)0));
}

/* ---- SEV ------------------------------------------------------------------------------------- */

const char *sev_state_name(uint8_t state)
{
    static const char *const names[] = {
        [SEV_GUEST_UNINIT] = "uninit",         [SEV_GUEST_LUPDATE] = "launch-update",
        [SEV_GUEST_LSECRET] = "launch-secret", [SEV_GUEST_RUNNING] = "running",
        [SEV_GUEST_SUPDATE] = "send-update",   [SEV_GUEST_RUPDATE] = "receive-update",
        [SEV_GUEST_SENT] = "send-update",
    };

    return state < COUNT(names) ? names[state] : "uninit";
}

COMMAND(query_sev)
{
    struct sev_info info = {0};
    bool enabled = vm_config(c->m->vm)->sev != SEV_OFF;

    if (enabled && vm_sev_info(c->m->vm, &info, &c->err) != OK)
        return c->err.code;
    if (vm_config(c->m->vm)->sev == SEV_SNP)
        return answer(c, json_pack("{s:b, s:i, s:i, s:i, s:s, s:s, s:I}", "enabled", enabled,
                                   "api-major", info.api_major, "api-minor", info.api_minor,
                                   "build-id", info.build, "state", sev_state_name(info.state),
                                   "sev-type", "sev-snp", "snp-policy", (json_int_t)info.policy));
    return answer(c, json_pack("{s:b, s:i, s:i, s:i, s:I, s:s, s:I, s:s}", "enabled", enabled,
                               "api-major", info.api_major, "api-minor", info.api_minor, "build-id",
                               info.build, "policy", (json_int_t)info.policy, "state",
                               sev_state_name(info.state), "handle", (json_int_t)info.handle,
                               "sev-type", "sev"));
}

COMMAND(query_sev_capabilities)
{
    struct host *h = vm_host(c->m->vm);
    const struct chip *chip = soc_chip(host_soc(h));
    struct sev_platform p;
    json_t *result;

    if (host_sev_platform(h, &p, &c->err) != OK)
        return c->err.code;
    result =
        json_pack("{s:o, s:o, s:o, s:i, s:i}", "pdh", base64_json(p.pdh, p.pdh_len), "cert-chain",
                  base64_json(p.chain, p.chain_len), "cpu0-id", base64_json(p.id, p.id_len),
                  "cbitpos", chip->cbit, "reduced-phys-bits", chip->pa_reduction);
    sev_platform_free(&p);
    return answer(c, result);
}

COMMAND(query_sev_launch_measure)
{
    uint8_t measurement[SEV_MEASUREMENT_BYTES];

    if (vm_sev_measurement(c->m->vm, measurement, &c->err) != OK)
        return c->err.code;
    return answer(c, json_pack("{s:o}", "data", base64_json(measurement, sizeof(measurement))));
}

static enum status decode(struct qmp_call *c, const char *name, uint8_t **out, size_t *len)
{
    const char *text = string_arg(c, name);

    if (!base64_decode(text, strlen(text), out, len))
        return fail(&c->err, ERR_FORMAT, "Parameter '%s' is not base64", name);
    return OK;
}

/* QEMU may find the place in the guest's firmware; here there is no firmware. */
COMMAND(sev_inject_launch_secret)
{
    uint8_t *header = NULL, *secret = NULL;
    size_t header_len = 0, secret_len = 0;
    enum status s;

    if (!given(c, "gpa"))
        return fail(&c->err, ERR_ARG,
                    "Parameter 'gpa' is missing: a guest without firmware names no place for "
                    "secrets, so say to which guest physical address this one goes");
    s = decode(c, "packet-header", &header, &header_len);
    if (s == OK)
        s = decode(c, "secret", &secret, &secret_len);
    if (s == OK)
        s = vm_sev_secret(c->m->vm, header, header_len, secret, secret_len, size_arg(c, "gpa"),
                          &c->err);
    free(header);
    free(secret);
    return s;
}

/* ---- dumps ----------------------------------------------------------------------------------- */

static enum status dump_path(struct qmp_call *c, const char **path)
{
    const char *protocol = string_arg(c, "protocol");

    if (strncmp(protocol, "file:", 5) != 0 || !protocol[5])
        return fail(&c->err, ERR_ARG, "Invalid parameter 'protocol', expected: file:PATH");
    *path = protocol + 5;
    return OK;
}

COMMAND(dump_guest_memory)
{
    struct dump_range range = {size_arg(c, "begin"), size_arg(c, "length")};
    const char *path = NULL, *format = string_arg(c, "format");

    if (dump_path(c, &path) != OK)
        return c->err.code;
    if (json_is_true(json_object_get(c->args, "paging")))
        return fail(&c->err, ERR_UNSUPPORTED,
                    "Parameter 'paging' must be false: a dump by the guest's page tables is not "
                    "implemented");
    if (format && strcmp(format, "elf") != 0)
        return fail(&c->err, ERR_UNSUPPORTED, "Parameter 'format' must be elf");
    if (given(c, "begin") != given(c, "length"))
        return fail(&c->err, ERR_ARG, "Parameter '%s' is missing",
                    given(c, "begin") ? "length" : "begin");
    if (given(c, "length") && !range.length)
        return fail(&c->err, ERR_ARG, "Parameter 'length' expects a number from 1 on");
    if (job_start(c->m, path, range, &c->err) != OK)
        return c->err.code;
    c->later = !json_is_true(json_object_get(c->args, "detach"));
    return OK;
}

COMMAND(query_dump)
{
    return answer(c, job_json(c->m));
}

COMMAND(query_dump_capability)
{
    return answer(c, json_pack("{s:[s]}", "formats", "elf"));
}

/* ---- the human monitor ----------------------------------------------------------------------- */

static enum status run_line(struct qmp_call *c, char **out, bool *good)
{
    *good = hmp_run(c->m, string_arg(c, "command-line"), out);
    return *out ? OK : fail(&c->err, ERR_NOMEM, "no memory for the answer");
}

COMMAND(human_monitor_command)
{
    char *out;
    bool good;

    if (size_arg(c, "cpu-index") >= vm_vcpus(c->m->vm))
        return fail(&c->err, ERR_ARG, "Parameter 'cpu-index' expects a CPU number");
    if (run_line(c, &out, &good) != OK)
        return c->err.code;
    c->result = qmp_string(out);
    free(out);
    return answer(c, c->result);
}

/* Not QEMU's: says apart from the text whether the command was refused. */
COMMAND(human_command)
{
    char *out;
    bool good;

    if (run_line(c, &out, &good) != OK)
        return c->err.code;
    c->result = json_pack("{s:o, s:b}", "output", qmp_string(out), "ok", good);
    free(out);
    return answer(c, c->result);
}

/* ---- the table ------------------------------------------------------------------------------- */

const struct qmp_command qmp_commands[] = {
    {"qmp_capabilities", capabilities, {{"enable", QMP_ARRAY, false}}},
    {"query-version", query_version, {{0}}},
    {"query-commands", query_commands, {{0}}},
    {"query-status", query_status, {{0}}},
    {"stop", stop, {{0}}},
    {"cont", cont, {{0}}},
    {"quit", quit, {{0}}},
    {"system_powerdown", system_powerdown, {{0}}},
    {"system_reset", system_reset, {{0}}},
    {"inject-nmi", inject_nmi, {{0}}},
    {"query-name", query_name, {{0}}},
    {"query-kvm", query_kvm, {{0}}},
    {"query-cpus-fast", query_cpus_fast, {{0}}},
    {"query-memory-size-summary", query_memory_size_summary, {{0}}},
    {"query-sev", query_sev, {{0}}},
    {"query-sev-capabilities", query_sev_capabilities, {{0}}},
    {"query-sev-launch-measure", query_sev_launch_measure, {{0}}},
    {"sev-inject-launch-secret",
     sev_inject_launch_secret,
     {{"packet-header", QMP_STRING, true}, {"secret", QMP_STRING, true}, {"gpa", QMP_SIZE, false}}},
    {"dump-guest-memory",
     dump_guest_memory,
     {{"paging", QMP_BOOL, true},
      {"protocol", QMP_STRING, true},
      {"detach", QMP_BOOL, false},
      {"begin", QMP_SIZE, false},
      {"length", QMP_SIZE, false},
      {"format", QMP_STRING, false}}},
    {"query-dump", query_dump, {{0}}},
    {"query-dump-guest-memory-capability", query_dump_capability, {{0}}},
    {"human-monitor-command",
     human_monitor_command,
     {{"command-line", QMP_STRING, true}, {"cpu-index", QMP_SIZE, false}}},
    {"x-human-command", human_command, {{"command-line", QMP_STRING, true}}},
};
const size_t qmp_command_count = COUNT(qmp_commands);
