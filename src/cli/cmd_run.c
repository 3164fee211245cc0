/* lucca run: guests on one emulated host, until all have ended. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/run_options.h"
#include "debug/gdb.h"
#include "host/monitor/monitor.h"

/* Under the virtual clock nothing may depend on when it runs: the guest's day is this one, and its
 * entropy device gives the same bytes. */
#define VIRTUAL_EPOCH INT64_C(1767225600) /* 2026-01-01 00:00:00 UTC */
#define VIRTUAL_SEED  UINT64_C(0x4C75636361)

#define VIRTIO_CONSOLE VM_SERIALS
#define CONSOLES       (VM_SERIALS + 1)

struct machine {
    struct vm *vm;
    struct monitor *monitor;
    struct gdb *gdb;
    struct console *console[CONSOLES]; /* serial ports, then the virtio console */
};

struct session {
    struct run *run;
    struct host *host;
    struct machine machine[RUN_MAX_VMS];
    bool started;
};

static struct host *signalled_host;
static volatile sig_atomic_t got_signal;

static void on_signal(int sig)
{
    got_signal = sig;
    if (signalled_host)
        host_stop(signalled_host); /* NOLINT(bugprone-signal-handler): it sets a flag */
}

/* ---- set-up ------------------------------------------------------------------------------------
 */

static bool has_stdio(const struct guest *g)
{
    for (unsigned i = 0; i < g->serials; i++)
        if (!strcmp(g->serial[i], "stdio"))
            return true;
    return g->console && !strcmp(g->console, "stdio");
}

/* The first port is on stdio where nobody says otherwise and stdio is free. */
static enum status default_serials(struct run *r, struct error *err)
{
    bool taken = false;

    for (unsigned i = 0; i < r->guests; i++)
        taken |= has_stdio(&r->guest[i]);
    for (unsigned i = 0; i < r->guests; i++)
        if (!r->guest[i].serials) {
            if (run_set(r, &r->guest[i], "serial", taken ? "none" : "stdio", err) != OK)
                return err->code;
            taken = true;
        }
    return OK;
}

/* Somebody outside whose time is real: a network, a person. */
static bool has_outside_peer(const struct run *r)
{
    for (unsigned i = 0; i < r->guests; i++)
        if (r->guest[i].net.kind != NET_NONE || (has_stdio(&r->guest[i]) && console_is_terminal()))
            return true;
    return false;
}

static enum status make_host(struct session *s, struct error *err)
{
    struct run *r = s->run;
    struct host_config cfg = {.chip = r->chip,
                              .dram_eager = r->dram_eager,
                              .platform = r->platform,
                              .memory = r->host_memory};
    uint64_t need = 0;

    for (unsigned i = 0; i < r->guests; i++) {
        cfg.cores += r->guest[i].cpus;
        cfg.snp |= r->guest[i].sev == SEV_SNP;
        need += host_memory_for(r->guest[i].memory, r->guest[i].cpus);
    }
    if (!cfg.memory)
        cfg.memory = need;
    if (cfg.memory < need)
        return fail(err, ERR_ARG,
                    "the guests need %" PRIu64 " MiB of the host's memory, with their tables; "
                    "--host-memory gives it %" PRIu64,
                    need >> 20, cfg.memory >> 20);
    if (r->virtual_clock == UNSAID)
        r->virtual_clock = has_outside_peer(r) ? NO : YES;
    cfg.clock = r->virtual_clock == YES ? CLOCK_VIRTUAL : CLOCK_HOST;
    return host_new(&cfg, &s->host, err);
}

static enum status open_consoles(struct machine *m, const struct guest *g, struct vm_config *cfg,
                                 struct error *err)
{
    for (unsigned i = 0; i < g->serials; i++) {
        if (!strcmp(g->serial[i], "none"))
            continue;
        if (console_open(g->serial[i], &m->console[i], err) != OK)
            return err->code;
        cfg->serial[i] = console_chardev(m->console[i]);
    }
    if (g->console && strcmp(g->console, "none") != 0) {
        if (console_open(g->console, &m->console[VIRTIO_CONSOLE], err) != OK)
            return err->code;
        cfg->console = console_chardev(m->console[VIRTIO_CONSOLE]);
    }
    return OK;
}

static enum status make_vm(struct session *s, unsigned n, struct error *err)
{
    const struct guest *g = &s->run->guest[n];
    struct machine *m = &s->machine[n];
    bool virtual = host_clock(s->host) == CLOCK_VIRTUAL;
    struct vm_config cfg = {.name = g->name,
                            .memory = g->memory,
                            .vcpus = g->cpus,
                            .sev = g->sev,
                            .policy = g->policy,
                            .dh_cert = g->dh_cert,
                            .session = g->session,
                            .launch_image = g->launch_image,
                            .id_block = g->id_block,
                            .id_auth = g->id_auth,
                            .certs = g->certs,
                            .boot_stub = g->boot_stub,
                            .host_data = g->host_data_given ? g->host_data : NULL,
                            .vmpl = g->vmpl,
                            .request_rate = g->request_rate,
                            .kernel = g->kernel,
                            .initrd = g->initrd,
                            .append = g->append,
                            .drives = g->drives,
                            .drive_count = g->drive_count,
                            .net = g->net.kind != NET_NONE ? &g->net : NULL,
                            .rng = true,
                            .debug_exit = g->debug_exit,
                            .testdev = g->testdev,
                            .paused = g->paused,
                            .no_reboot = g->no_reboot,
                            .rtc_base = virtual ? VIRTUAL_EPOCH : (int64_t)time(NULL),
                            .entropy_seed = virtual ? VIRTUAL_SEED : 0};

    if (open_consoles(m, g, &cfg, err) != OK)
        return err->code;
    return vm_new(s->host, &cfg, &m->vm, err);
}

static enum status attach(struct machine *m, const struct guest *g, struct error *err)
{

    if (monitor_new(m->vm, g->qmp, &m->monitor, err) != OK)
        return err->code;
    if (g->gdb && gdb_new(m->vm, g->gdb, &m->gdb, err) != OK)
        return err->code;
    for (unsigned i = 0; i < CONSOLES; i++)
        if (m->console[i] && console_attach(m->console[i], m->vm, m->monitor, err) != OK)
            return err->code;
    return OK;
}

static enum status start(struct session *s, struct error *err)
{
    unsigned n = s->run->guests;
    enum status st = default_serials(s->run, err);

    if (st == OK)
        st = make_host(s, err);
    for (unsigned i = 0; i < n && st == OK; i++) {
        st = make_vm(s, i, err);
        if (st != OK && n > 1)
            fail_at(err, s->run->guest[i].name);
    }
    for (unsigned i = 0; i < n && st == OK; i++)
        st = attach(&s->machine[i], &s->run->guest[i], err);
    return st;
}

static void finish(struct session *s)
{
    for (unsigned i = 0; i < s->run->guests; i++)
        for (unsigned k = 0; k < CONSOLES; k++)
            if (s->machine[i].console[k])
                console_detach(s->machine[i].console[k]);
    for (unsigned i = 0; i < s->run->guests; i++) {
        gdb_free(s->machine[i].gdb);
        monitor_free(s->machine[i].monitor);
        vm_free(s->machine[i].vm);
    }
    for (unsigned i = 0; i < s->run->guests; i++)
        for (unsigned k = 0; k < CONSOLES; k++)
            console_close(s->machine[i].console[k], !s->started);
    signalled_host = NULL;
    host_free(s->host);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static int verdict_of(const struct vm *vm, bool many)
{
    const struct board_fate *f = vm_fate(vm);
    const char *name = vm_config(vm)->name;

    if (vm_state(vm) != VM_ENDED)
        return EXIT_OK; /* quit */
    if (f->fate == FATE_EXIT)
        return f->code;
    if (f->fate != FATE_CRASH)
        return EXIT_OK;
    fprintf(stderr, "lucca: %s%sthe guest crashed: %s\n", many ? name : "", many ? ": " : "",
            f->why);
    return EXIT_CRASH;
}

/* A crash outweighs what any guest chose. */
static int verdict(const struct session *s)
{
    int worst = EXIT_OK;

    for (unsigned i = 0; i < s->run->guests; i++) {
        int one = verdict_of(s->machine[i].vm, s->run->guests > 1);

        if (one == EXIT_CRASH || (worst != EXIT_CRASH && one != EXIT_OK))
            worst = one;
    }
    return got_signal ? 128 + got_signal : worst;
}

static void say_stats(struct host *h)
{
    struct timespec t;
    double seconds, millions = (double)host_retired(h) / 1e6;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    seconds = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    fprintf(stderr,
            "lucca: %.0f million instructions in %.2f s of processor time, %.0f million a second\n",
            millions, seconds, millions / seconds);
}

static int run(struct run *r, struct error *err)
{
    struct session *s = calloc(1, sizeof(*s));
    int status = EXIT_ERROR;

    if (!s) {
        (void)fail(err, ERR_NOMEM, "no memory for a host");
        return EXIT_ERROR;
    }
    s->run = r;
    if (start(s, err) == OK) {
        s->started = true;
        signalled_host = s->host;
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        signal(SIGHUP, on_signal);
        signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write() like any other */
        host_run(s->host);
        for (unsigned i = 0; i < r->guests; i++)
            for (unsigned k = 0; k < CONSOLES; k++)
                if (s->machine[i].console[k])
                    console_detach(s->machine[i].console[k]);
        status = verdict(s);
        if (r->stats)
            say_stats(s->host);
        err->code = OK;
    }
    finish(s);
    free(s);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct error err = {0};
    struct run *r = calloc(1, sizeof(*r));
    int status = EXIT_ERROR;
    bool help = false;

    if (!r) {
        fprintf(stderr, "lucca: no memory\n");
        return EXIT_ERROR;
    }
    if (run_parse(argc, argv, r, &help, &err) != OK)
        ;
    else if (help)
        run_help();
    else if (!r->listed)
        status = run(r, &err);
    if (err.code == OK && (help || r->listed))
        status = EXIT_OK;
    if (err.code != OK)
        fprintf(stderr, "lucca: %s\n", err.text);
    run_free(r);
    free(r);
    return status;
}
