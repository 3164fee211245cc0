/* The options of `lucca run`: values, setters, the table, getopt. */
#include "cli/run_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "silicon/asp_abi.h"
#include "silicon/snp_abi.h"

#define DEFAULT_MEMORY (UINT64_C(512) << 20)

/* ---- values ---------------------------------------------------------------------------------- */

static enum status set_string(char **to, const char *value, struct error *err)
{
    char *copy = strdup(value);

    if (!copy)
        return fail(err, ERR_NOMEM, "no memory for options");
    free(*to);
    *to = copy;
    return OK;
}

static enum status parse_number(const char *name, const char *value, uint64_t max, uint64_t *out,
                                struct error *err)
{
    char *end;

    errno = 0;
    *out = strtoull(value, &end, 0);
    if (!isdigit((unsigned char)*value) || *end || errno || *out > max)
        return fail(err, ERR_ARG, "--%s: '%s' is not a number up to %" PRIu64, name, value, max);
    return OK;
}

/* "512M", "2G", "1T", "4096K"; a bare number is in MiB. */
static enum status parse_size(const char *name, const char *value, uint64_t *out, struct error *err)
{
    static const char units[] = "KMGT";
    const char *unit;
    uint64_t n;
    char *end;
    unsigned shift = 20;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || errno)
        return fail(err, ERR_ARG, "--%s: '%s' is not a size like 512M or 2G", name, value);
    if (*end) {
        unit = strchr(units, toupper((unsigned char)*end));
        if (!unit || end[1])
            return fail(err, ERR_ARG, "--%s: '%s' is not a size like 512M or 2G", name, value);
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (!n || n > BIT(44) >> shift)
        return fail(err, ERR_ARG, "--%s: '%s' is not between 1K and 16T", name, value);
    *out = n << shift;
    if (*out % 0x200000)
        return fail(err, ERR_ARG, "--%s: '%s' is not a multiple of 2 MiB", name, value);
    return OK;
}

struct choice {
    const char *name;
    int value;
};

/* "a, b or c" */
static void append_choice(char *list, size_t room, const char *name, size_t i, size_t n)
{
    size_t used = strlen(list);

    snprintf(list + used, room - used, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", name);
}

static enum status parse_choice(const char *name, const char *value, const struct choice *choices,
                                size_t n, int *out, struct error *err)
{
    char list[256] = "";

    for (size_t i = 0; i < n; i++) {
        if (!strcmp(choices[i].name, value)) {
            *out = choices[i].value;
            return OK;
        }
        append_choice(list, sizeof(list), choices[i].name, i, n);
    }
    return fail(err, ERR_ARG, "--%s: '%s' is not %s", name, value, list);
}

/* ---- one setter for each option ----------------------------------------------------------------
 */

#define SETTER(name)                                                                               \
    static enum status set_##name(struct run *r, struct guest *g, const char *value,               \
                                  struct error *err)

SETTER(sev)
{
    static const struct choice levels[] = {
        {"off", SEV_OFF}, {"sev", SEV_PLAIN}, {"es", SEV_ES}, {"snp", SEV_SNP}};
    int level = 0;
    enum status s = parse_choice("sev", value, levels, COUNT(levels), &level, err);

    if (s == OK)
        g->sev = (enum sev_level)level;
    return s;
}

SETTER(chip)
{
    const struct chip *chip = chip_by_name(value);
    char list[128] = "";

    for (unsigned i = 0; i < CHIPS; i++)
        append_choice(list, sizeof(list), chip_by_id((enum chip_id)i)->name, i, CHIPS);
    if (!chip)
        return fail(err, ERR_ARG, "--chip: '%s' is not %s", value, list);
    if (r->chip && r->chip != chip)
        return fail(err, ERR_ARG, "one host has one chip: not %s and %s", r->chip->name, value);
    r->chip = chip;
    return OK;
}

SETTER(memory)
{
    return parse_size("memory", value, &g->memory, err);
}

SETTER(cpus)
{
    uint64_t n = 0;

    if (parse_number("cpus", value, VM_MAX_VCPUS, &n, NULL) != OK || !n)
        return fail(err, ERR_ARG, "--cpus: '%s' is not a number from 1 to %d", value, VM_MAX_VCPUS);
    g->cpus = (unsigned)n;
    return OK;
}

SETTER(kernel)
{
    return set_string(&g->kernel, value, err);
}

SETTER(initrd)
{
    return set_string(&g->initrd, value, err);
}

SETTER(append)
{
    return set_string(&g->append, value, err);
}

SETTER(name)
{
    return set_string(&g->name, value, err);
}

SETTER(drive)
{
    struct drive_config *more;

    if (g->drive_count == VM_MAX_DRIVES)
        return fail(err, ERR_LIMIT, "--drive: a guest has at most %d", VM_MAX_DRIVES);
    more = realloc(g->drives, (g->drive_count + 1) * sizeof(*more));
    if (!more)
        return fail(err, ERR_NOMEM, "no memory for options");
    g->drives = more;
    if (drive_parse(value, &more[g->drive_count], err) != OK)
        return err->code;
    g->drive_count++;
    return OK;
}

SETTER(net)
{
    return net_parse(value, &g->net, err);
}

static bool names_console(const char *value)
{
    return !strcmp(value, "stdio") || !strcmp(value, "none") ||
           (!strncmp(value, "file:", 5) && value[5]);
}

SETTER(serial)
{
    if (!names_console(value))
        return fail(err, ERR_ARG, "--serial: '%s' is not stdio, file:PATH or none", value);
    if (g->serials == VM_SERIALS)
        return fail(err, ERR_LIMIT, "--serial: a guest has at most %d ports", VM_SERIALS);
    return set_string(&g->serial[g->serials++], value, err);
}

SETTER(console)
{
    if (!names_console(value))
        return fail(err, ERR_ARG, "--console: '%s' is not stdio, file:PATH or none", value);
    return set_string(&g->console, value, err);
}

/* A place to listen at: the server looks closer. */
static bool names_socket(const char *value)
{
    return (!strncmp(value, "unix:", 5) && value[5]) || (!strncmp(value, "tcp:", 4) && value[4]);
}

SETTER(qmp)
{
    if (!names_socket(value))
        return fail(err, ERR_ARG, "--qmp: '%s' is not unix:PATH or tcp:PORT", value);
    return set_string(&g->qmp, value, err);
}

SETTER(gdb)
{
    if (!names_socket(value))
        return fail(err, ERR_ARG, "--gdb: '%s' is not unix:PATH or tcp:PORT", value);
    return set_string(&g->gdb, value, err);
}

SETTER(policy)
{
    g->policy_given = true;
    return parse_number("policy", value, UINT64_MAX, &g->policy, err);
}

SETTER(id_block)
{
    return set_string(&g->id_block, value, err);
}

SETTER(id_auth)
{
    return set_string(&g->id_auth, value, err);
}

SETTER(boot_stub)
{
    return set_string(&g->boot_stub, value, err);
}

SETTER(certs)
{
    return set_string(&g->certs, value, err);
}

static int hex_digit(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 bytes in 64 digits. */
SETTER(host_data)
{
    size_t len = strlen(value);

    for (size_t i = 0; i < 2 * sizeof(g->host_data); i += 2) {
        int high = len == 2 * sizeof(g->host_data) ? hex_digit(value[i]) : -1;
        int low = high < 0 ? -1 : hex_digit(value[i + 1]);

        if (low < 0)
            return fail(err, ERR_ARG, "--host-data: '%s' is not 64 hexadecimal digits", value);
        g->host_data[i / 2] = (uint8_t)(high << 4 | low);
    }
    g->host_data_given = true;
    return OK;
}

SETTER(vmpl)
{
    uint64_t n = 0;
    enum status s = parse_number("vmpl", value, 3, &n, err);

    g->vmpl = (unsigned)n;
    return s;
}

SETTER(guest_request_rate)
{
    uint64_t n = 0;
    enum status s = parse_number("guest-request-rate", value, 1000000, &n, err);

    g->request_rate = (unsigned)n;
    return s;
}

/* There is one way to guard pages, the chip's. */
SETTER(rmp)
{
    static const struct choice kinds[] = {{"faithful", 0}};
    int which = 0;

    return parse_choice("rmp", value, kinds, COUNT(kinds), &which, err);
}

SETTER(dh_cert)
{
    return set_string(&g->dh_cert, value, err);
}

SETTER(session)
{
    return set_string(&g->session, value, err);
}

SETTER(launch_image)
{
    return set_string(&g->launch_image, value, err);
}

SETTER(device)
{
    if (!strcmp(value, "debug-exit"))
        g->debug_exit = true;
    else if (!strcmp(value, "testdev"))
        g->testdev = true;
    else
        return fail(err, ERR_ARG, "--device: '%s' is not debug-exit or testdev", value);
    return OK;
}

SETTER(paused)
{
    g->paused = true;
    return OK;
}

SETTER(no_reboot)
{
    g->no_reboot = true;
    return OK;
}

SETTER(platform)
{
    return set_string(&r->platform, value, err);
}

SETTER(host_memory)
{
    return parse_size("host-memory", value, &r->host_memory, err);
}

SETTER(stats)
{
    r->stats = true;
    return OK;
}

SETTER(clock)
{
    static const struct choice clocks[] = {{"virtual", YES}, {"host", NO}};
    int which = 0;
    enum status s = parse_choice("clock", value, clocks, COUNT(clocks), &which, err);

    if (s == OK)
        r->virtual_clock = (enum tristate)which;
    return s;
}

SETTER(dram)
{
    static const struct choice kinds[] = {{"lazy", 0}, {"eager", 1}};
    int which = 0;
    enum status s = parse_choice("dram", value, kinds, COUNT(kinds), &which, err);

    if (s == OK)
        r->dram_eager = which;
    return s;
}

SETTER(trace)
{
    r->listed = !strcmp(value, "help");
    return log_enable(value, err);
}

SETTER(trace_format)
{
    return log_format(value, err);
}

SETTER(config)
{
    return run_config(r, g, value, err);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static const struct option_row {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* NULL: a flag */
    bool list;       /* may be given more than once; in JSON an array */
    const char *help;
    enum status (*set)(struct run *r, struct guest *g, const char *value, struct error *err);
} options[] = {
    {"sev", 0, "off|sev|es|snp", false, "encryption: memory; registers too; integrity too (off)",
     set_sev},
    {"chip", 0, "NAME", false, "naples, rome, milan, genoa or turin (genoa)", set_chip},
    {"memory", 'm', "SIZE", false, "the guest's memory, like 2G (512M)", set_memory},
    {"cpus", 'c', "N", false, "its virtual processors, 1 to 8 (1)", set_cpus},
    {"kernel", 'k', "FILE", false, "bzImage, PVH ELF or multiboot image to start", set_kernel},
    {"initrd", 'i', "FILE", false, "its initial RAM disk; multiboot: 'FILE ARGS,...'", set_initrd},
    {"append", 'a', "TEXT", false, "its command line", set_append},
    {"drive", 'd', "SPEC", true,
     "file=PATH[,format=raw|qcow2][,if=virtio|scsi][,readonly=on][,serial=S]", set_drive},
    {"net", 'n', "SPEC", false, "none, or user[,hostfwd=tcp|udp:[ADDR]:PORT-[ADDR]:PORT]...",
     set_net},
    {"serial", 's', "WHERE", true, "stdio, file:PATH or none (stdio)", set_serial},
    {"console", 0, "WHERE", false, "a virtio console, hvc0: stdio, file:PATH or none (none)",
     set_console},
    {"qmp", 0, "unix:PATH|tcp:PORT", false, "a QMP server for monitors", set_qmp},
    {"gdb", 0, "unix:PATH|tcp:PORT", false, "a gdb server", set_gdb},
    {"device", 0, "NAME", true, "debug-exit (port F4h) or testdev", set_device},
    {"policy", 0, "NUMBER", false, "guest policy (sev: 0x1, es: 0x5, snp: 0x30000)", set_policy},
    {"dh-cert-file", 0, "FILE", false, "the guest owner's Diffie-Hellman certificate", set_dh_cert},
    {"session-file", 0, "FILE", false, "the owner's launch session", set_session},
    {"id-block", 0, "FILE", false, "SNP: the owner's ID block, with --id-auth", set_id_block},
    {"id-auth", 0, "FILE", false, "SNP: its signature and keys", set_id_auth},
    {"host-data", 0, "HEX", false, "SNP: 32 bytes of the host's for reports", set_host_data},
    {"vmpl", 0, "N", false, "SNP: privilege level of the first processor, 0 to 3 (0)", set_vmpl},
    {"boot-stub", 0, "FILE", false, "SNP: a program that validates memory and checks the kernel",
     set_boot_stub},
    {"certs", 0, "FILE", false, "SNP: certificate table for extended guest requests", set_certs},
    {"guest-request-rate", 0, "N", false, "SNP: guest messages a second (as they come)",
     set_guest_request_rate},
    {"rmp", 0, "faithful", false, "SNP: how the reverse map table is checked (faithful)", set_rmp},
    {"launch-image", 0, "FILE", false, "write what the launch measures, in its order, to FILE",
     set_launch_image},
    {"paused", 'S', NULL, false, "launch and measure, then wait for 'cont'", set_paused},
    {"no-reboot", 0, NULL, false, "end when the guest resets", set_no_reboot},
    {"name", 0, "TEXT", false, "the guest's name in messages", set_name},
    {"platform", 0, "NAME", false, "the chip's identity: see 'lucca platform'", set_platform},
    {"host-memory", 0, "SIZE", false, "the host's DRAM (what the guests need)", set_host_memory},
    {"clock", 0, "virtual|host", false,
     "time from retired instructions, or this machine's (virtual; host with --net or a terminal)",
     set_clock},
    {"dram", 0, "lazy|eager", false, "eager: true ciphertext on every access, slow (lazy)",
     set_dram},
    {"stats", 0, NULL, false, "at the end, say how many instructions ran and how fast", set_stats},
    {"trace", 't', "LIST", false, "categories to trace; 'help' lists them", set_trace},
    {"trace-format", 0, "text|json", false, "what traces look like (text)", set_trace_format},
    {"config", 0, "FILE", false, "options from a JSON object", set_config},
};

static const struct option_row *find_option(const char *name)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

bool run_option_known(const char *name, bool *flag, bool *list)
{
    const struct option_row *o = find_option(name);

    if (!o)
        return false;
    *flag = !o->arg;
    *list = o->list;
    return true;
}

enum status run_set(struct run *r, struct guest *g, const char *name, const char *value,
                    struct error *err)
{
    const struct option_row *o = find_option(name);

    if (!o)
        return fail(err, ERR_ARG, "no option '%s'; see 'lucca run --help'", name);
    return o->set(r, g, value, err);
}

void run_help(void)
{
    printf("usage: lucca run [OPTIONS]             one guest\n"
           "       lucca run [OPTIONS] CONFIG...   a guest for each JSON file; OPTIONS are what\n"
           "                                       each starts from\n\n");
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct option_row *o = &options[i];
        char left[64], letter[8] = "   ";

        if (o->letter)
            snprintf(letter, sizeof(letter), "-%c,", o->letter);
        snprintf(left, sizeof(left), "%s --%s%s%s", letter, o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        printf("  %-28s %s\n", left, o->help);
    }
    printf("\nA JSON file is an object with the same names, e.g. {\"kernel\": \"vmlinuz\", "
           "\"cpus\": 4,\n\"drive\": [\"file=disk.img\"]}.\n\n"
           "On a terminal Ctrl-A X quits, Ctrl-A C opens and closes the monitor, Ctrl-A Ctrl-A\n"
           "sends a Ctrl-A.\n"
           "Exit status: 0 the guest powered off, 1 an error, 2 the guest crashed; a guest with\n"
           "debug-exit chooses its own.\n");
}

/* ---- guests ------------------------------------------------------------------------------------
 */

static void guest_init(struct guest *g)
{
    *g = (struct guest){.memory = DEFAULT_MEMORY, .cpus = 1};
}

void guest_free(struct guest *g)
{
    char *const strings[] = {g->name,    g->kernel,       g->initrd, g->append,   g->dh_cert,
                             g->session, g->launch_image, g->qmp,    g->console,  g->id_block,
                             g->id_auth, g->certs,        g->gdb,    g->boot_stub};

    for (size_t i = 0; i < COUNT(strings); i++)
        free(strings[i]);
    for (unsigned i = 0; i < VM_SERIALS; i++)
        free(g->serial[i]);
    free(g->drives);
    *g = (struct guest){0};
}

static bool dup_string(char **s)
{
    if (*s)
        *s = strdup(*s);
    return true;
}

enum status guest_copy(struct guest *to, const struct guest *from, struct error *err)
{
    char **const strings[] = {&to->name,      &to->kernel,   &to->initrd,       &to->append,
                              &to->dh_cert,   &to->session,  &to->launch_image, &to->qmp,
                              &to->console,   &to->id_block, &to->id_auth,      &to->certs,
                              &to->boot_stub, &to->gdb};

    *to = *from;
    for (size_t i = 0; i < COUNT(strings); i++)
        dup_string(strings[i]);
    for (unsigned i = 0; i < VM_SERIALS; i++)
        dup_string(&to->serial[i]);
    to->drives = NULL;
    if (from->drive_count) {
        to->drives = malloc(from->drive_count * sizeof(to->drives[0]));
        if (!to->drives) {
            to->drive_count = 0;
            return fail(err, ERR_NOMEM, "no memory for options");
        }
        memcpy(to->drives, from->drives, from->drive_count * sizeof(to->drives[0]));
    }
    return OK;
}

void run_free(struct run *r)
{
    guest_free(&r->base);
    for (unsigned i = 0; i < r->guests; i++)
        guest_free(&r->guest[i]);
    free(r->platform);
}

/* What the field's hypervisors take where nobody says otherwise: no debugging, and what the level
 * demands. */
static uint64_t default_policy(enum sev_level sev)
{
    if (sev == SEV_SNP)
        return SNP_POLICY_MBO | SNP_POLICY_SMT;
    return SEV_POLICY_NODBG | (sev == SEV_ES ? SEV_POLICY_ES : 0);
}

static enum status add_guest(struct run *r, const char *config, struct error *err)
{
    struct guest *g = &r->guest[r->guests];
    enum status s;

    if (r->guests == RUN_MAX_VMS)
        return fail(err, ERR_LIMIT, "more than %d guests", RUN_MAX_VMS);
    s = guest_copy(g, &r->base, err);
    r->guests++;
    if (s == OK && config)
        s = run_config(r, g, config, err);
    if (s == OK && !g->policy_given)
        g->policy = default_policy(g->sev);
    if (s == OK && !g->name) {
        char name[32];

        snprintf(name, sizeof(name), "vm%u", r->guests - 1);
        s = set_string(&g->name, config ? config : name, err);
    }
    return s;
}

/* ---- the command line --------------------------------------------------------------------------
 */

#define HELP_VALUE 1000

static void make_getopt(struct option *longs, char *shorts)
{
    size_t n = 0;

    *shorts++ = ':';
    for (; n < COUNT(options); n++) {
        longs[n] = (struct option){options[n].name,
                                   options[n].arg ? required_argument : no_argument, NULL, (int)n};
        if (options[n].letter) {
            *shorts++ = options[n].letter;
            if (options[n].arg)
                *shorts++ = ':';
        }
    }
    *shorts++ = 'h';
    *shorts = 0;
    longs[n++] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    longs[n] = (struct option){0};
}

static const struct option_row *by_letter(int c)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].letter && options[i].letter == c)
            return &options[i];
    return NULL;
}

/* getopt's values for long options are below any letter, as the table is short. */
static_assert(COUNT(options) < 'A', "an option's index is not a letter");

static enum status one_option(struct run *r, int c, char **argv, bool *help, struct error *err)
{
    const struct option_row *o;

    if (c == HELP_VALUE || c == 'h') {
        *help = true;
        return OK;
    }
    if (c == ':')
        return fail(err, ERR_ARG, "%s needs a value; see 'lucca run --help'", argv[optind - 1]);
    if (c == '?')
        return fail(err, ERR_ARG, "unknown option %s; see 'lucca run --help'", argv[optind - 1]);
    o = c < (int)COUNT(options) ? &options[c] : by_letter(c);
    return o->set(r, &r->base, optarg ? optarg : "", err);
}

enum status run_parse(int argc, char **argv, struct run *r, bool *help, struct error *err)
{
    struct option longs[COUNT(options) + 2];
    char shorts[3 * COUNT(options) + 3];
    enum status s = OK;
    int c;

    *r = (struct run){0};
    *help = false;
    guest_init(&r->base);
    make_getopt(longs, shorts);
    opterr = 0;
    optind = 1;
    while (s == OK && !*help && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1)
        s = one_option(r, c, argv, help, err);
    if (s != OK || *help || r->listed)
        return s;
    if (optind == argc)
        s = add_guest(r, NULL, err);
    for (int i = optind; s == OK && i < argc; i++)
        s = add_guest(r, argv[i], err);
    if (!r->chip)
        r->chip = chip_by_id(CHIP_GENOA);
    return s;
}
