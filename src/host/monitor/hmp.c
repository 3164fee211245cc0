/* The human monitor: lines of words, as in QEMU's. The same table serves QMP's
 * human-monitor-command, the console and `lucca monitor`. */
#include "host/monitor/hmp.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/vm/base64.h"

#define MAX_LINE 4096u

/* ---- words ------------------------------------------------------------------------------------
 */

char *hmp_word(struct hmp_call *c)
{
    char *word = c->rest, *end;

    while (isspace((unsigned char)*word))
        word++;
    if (!*word)
        return NULL;
    for (end = word; *end && !isspace((unsigned char)*end);)
        end++;
    c->rest = end;
    if (*end)
        *c->rest++ = 0;
    return word;
}

enum status hmp_no_more(struct hmp_call *c)
{
    const char *word = hmp_word(c);

    return word ? fail(&c->err, ERR_ARG, "'%.80s' is more than this command takes", word) : OK;
}

/* ---- help -------------------------------------------------------------------------------------
 */

static void describe(const struct hmp_call *c, const char *prefix, const struct hmp_command *cmd)
{
    fprintf(c->out, "%s%s%s%s%s%s -- %s\n", prefix, cmd->name, *cmd->alias ? "|" : "", cmd->alias,
            *cmd->args ? " " : "", cmd->args, cmd->help);
}

static const struct hmp_command *find(const struct hmp_command *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name) || (*table[i].alias && !strcmp(table[i].alias, name)))
            return &table[i];
    return NULL;
}

static void list_info(const struct hmp_call *c)
{
    for (size_t i = 0; i < hmp_info_count; i++)
        describe(c, "info ", &hmp_info_commands[i]);
}

static enum status unknown(struct hmp_call *c, const char *prefix, const char *name)
{
    return fail(&c->err, ERR_ARG, "unknown command: '%s%.80s'", prefix, name);
}

/* ---- commands ---------------------------------------------------------------------------------
 */

#define COMMAND(name) static enum status name(struct hmp_call *c)

COMMAND(help);

COMMAND(info)
{
    const char *name = hmp_word(c);
    const struct hmp_command *cmd = name ? find(hmp_info_commands, hmp_info_count, name) : NULL;

    if (cmd)
        return cmd->run(c);
    if (name)
        return unknown(c, "info ", name);
    list_info(c);
    return OK;
}

COMMAND(stop)
{
    if (hmp_no_more(c) != OK)
        return c->err.code;
    monitor_stop(c->m);
    return OK;
}

COMMAND(cont)
{
    return hmp_no_more(c) == OK ? monitor_cont(c->m, &c->err) : c->err.code;
}

COMMAND(quit)
{
    if (hmp_no_more(c) != OK)
        return c->err.code;
    monitor_quit(c->m);
    return OK;
}

COMMAND(system_reset)
{
    if (hmp_no_more(c) != OK)
        return c->err.code;
    monitor_reset(c->m);
    return OK;
}

COMMAND(system_powerdown)
{
    if (hmp_no_more(c) != OK)
        return c->err.code;
    vm_powerdown(c->m->vm);
    return OK;
}

COMMAND(nmi)
{
    if (hmp_no_more(c) != OK)
        return c->err.code;
    vm_nmi(c->m->vm);
    return OK;
}

static enum status number(struct hmp_call *c, const char *word, uint64_t *out)
{
    char *end;

    *out = strtoull(word, &end, 0);
    if (!isdigit((unsigned char)*word) || *end)
        return fail(&c->err, ERR_ARG, "'%.40s' is not a number", word);
    return OK;
}

COMMAND(dump)
{
    const char *path = hmp_word(c), *begin, *length;
    struct dump_range range = {0};
    bool detach = path && !strcmp(path, "-d");

    if (detach)
        path = hmp_word(c);
    if (!path)
        return fail(&c->err, ERR_ARG, "dump-guest-memory: filename expected");
    begin = hmp_word(c);
    length = hmp_word(c);
    if (begin && !length)
        return fail(&c->err, ERR_ARG, "dump-guest-memory: a length goes with the beginning");
    if (begin && (number(c, begin, &range.begin) != OK || number(c, length, &range.length) != OK))
        return c->err.code;
    if (hmp_no_more(c) != OK)
        return c->err.code;
    return detach ? job_start(c->m, path, range, &c->err) : job_run(c->m, path, range, &c->err);
}

/* As in QEMU, but for the address, which there the firmware may say. */
COMMAND(inject_secret)
{
    const char *words[3];
    uint8_t *bytes[2] = {NULL, NULL};
    size_t len[2];
    uint64_t gpa;
    enum status s = OK;

    for (size_t i = 0; i < COUNT(words); i++) {
        words[i] = hmp_word(c);
        if (!words[i])
            return fail(&c->err, ERR_ARG,
                        "sev-inject-launch-secret: packet header and secret in base64, and a guest "
                        "physical address expected");
    }
    if (hmp_no_more(c) != OK || number(c, words[2], &gpa) != OK)
        return c->err.code;
    for (size_t i = 0; i < 2 && s == OK; i++)
        if (!base64_decode(words[i], strlen(words[i]), &bytes[i], &len[i]))
            s = fail(&c->err, ERR_FORMAT, "'%.40s' is not base64", words[i]);
    if (s == OK)
        s = vm_sev_secret(c->m->vm, bytes[0], len[0], bytes[1], len[1], gpa, &c->err);
    free(bytes[0]);
    free(bytes[1]);
    return s;
}

static const struct hmp_command commands[] = {
    {"help", "?", "[command]", "list the commands, or say what one does", help},
    {"info", "", "[subject]", "say something about the machine; 'info' lists what", info},
    {"stop", "s", "", "stop the guest", stop},
    {"cont", "c", "", "let the guest go on", cont},
    {"quit", "q", "", "pull the plug", quit},
    {"system_reset", "", "", "reset the machine", system_reset},
    {"system_powerdown", "", "", "press the power button", system_powerdown},
    {"nmi", "", "", "press the NMI button", nmi},
    {"x", "", "/fmt addr", "memory at a virtual address, by the guest's own page tables", hmp_x},
    {"xp", "", "/fmt addr", "memory at a guest physical address", hmp_xp},
    {"dump-guest-memory", "", "[-d] file [begin length]",
     "all guest memory into an ELF core file; -d: and do not wait for it", dump},
    {"sev-inject-launch-secret", "", "packet-header secret gpa",
     "give a paused SEV guest the secret that its owner sealed for it", inject_secret},
};

COMMAND(help)
{
    const char *name = hmp_word(c);
    const struct hmp_command *cmd = name ? find(commands, COUNT(commands), name) : NULL;

    if (name && !cmd)
        return unknown(c, "", name);
    if (cmd && cmd->run == info) {
        list_info(c);
        return OK;
    }
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!cmd || cmd == &commands[i])
            describe(c, "", &commands[i]);
    if (!cmd || cmd->run == hmp_x || cmd->run == hmp_xp)
        fprintf(c->out, "/fmt is a count, a format (x hex, d signed, u unsigned, o octal, c "
                        "characters) and a size\n(b 1, h 2, w 4, g 8 bytes), like /16xg; addr is "
                        "numbers and registers like $rip, with + and -\n");
    return OK;
}

/* ---- a line -----------------------------------------------------------------------------------
 */

/* "x/4wx 0" is "x" with the rest "/4wx 0". */
static enum status run_words(struct hmp_call *c)
{
    char *at = c->rest, name[MAX_LINE + 1];
    const struct hmp_command *cmd;
    size_t n;

    while (isspace((unsigned char)*at))
        at++;
    n = strcspn(at, " \t\r\n/");
    memcpy(name, at, n);
    name[n] = 0;
    c->rest = at + n;
    if (!n)
        return *at ? unknown(c, "", at) : OK;
    cmd = find(commands, COUNT(commands), name);
    return cmd ? cmd->run(c) : unknown(c, "", name);
}

/* Terminals in raw mode, and QEMU's clients, expect \r\n. */
static char *with_returns(const char *text)
{
    size_t lines = 0;
    char *out, *to;

    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    out = to = malloc(strlen(text) + lines + 1);
    if (!out)
        return NULL;
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            *to++ = '\r';
        *to++ = *p;
    }
    *to = 0;
    return out;
}

bool hmp_run(struct monitor *m, const char *line, char **out)
{
    char copy[MAX_LINE + 1], *text = NULL;
    size_t len = 0;
    struct hmp_call c = {.m = m, .rest = copy, .out = open_memstream(&text, &len)};
    enum status s;

    *out = NULL;
    if (!c.out)
        return false;
    if (strlen(line) > MAX_LINE) {
        s = fail(&c.err, ERR_ARG, "the line is longer than %u bytes", MAX_LINE);
    } else {
        memcpy(copy, line, strlen(line) + 1);
        s = run_words(&c);
    }
    if (s != OK)
        fprintf(c.out, "%s\n", c.err.text);
    if (fclose(c.out) == 0 && text)
        *out = with_returns(text);
    free(text);
    return s == OK;
}
