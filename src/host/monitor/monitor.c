/* The monitors of a guest: their life, and what they tell of the guest's. */
#include "host/monitor/monitor.h"

#include <stdlib.h>
#include <string.h>

#include "host/monitor/internal.h"

void monitor_event(struct monitor *m, const char *name, json_t *data)
{
    if (m->server)
        server_event(m->server, name, data);
    json_decref(data);
}

const char *monitor_run_state(const struct monitor *m)
{
    switch (vm_state(m->vm)) {
    case VM_PRELAUNCH:
        return "prelaunch";
    case VM_RUNNING:
        return "running";
    case VM_PAUSED:
        return m->job.resume ? "save-vm" : "paused";
    case VM_ENDED:
        break;
    }
    return vm_fate(m->vm)->fate == FATE_CRASH ? "guest-panicked" : "shutdown";
}

/* ---- commands that both monitors have ---------------------------------------------------------
 */

enum status monitor_cont(struct monitor *m, struct error *err)
{
    if (m->job.dump)
        return fail(err, ERR_STATE, "There is a dump in process, please wait.");
    return vm_resume(m->vm, err);
}

/* A dump that is under way then leaves the guest stopped. */
void monitor_stop(struct monitor *m)
{
    m->job.resume = false;
    vm_pause(m->vm);
}

void monitor_quit(struct monitor *m)
{
    m->quit_asked = true;
    vm_quit(m->vm);
}

void monitor_reset(struct monitor *m)
{
    m->reset_asked = true;
    vm_reset(m->vm);
}

/* ---- what happens to the guest ----------------------------------------------------------------
 */

static json_t *shutdown_reason(bool guest, const char *reason)
{
    return json_pack("{s:b, s:s}", "guest", guest, "reason", reason);
}

static void on_end(struct monitor *m)
{
    const struct board_fate *f = vm_fate(m->vm);
    const char *reason = "guest-shutdown";

    m->ended = true;
    job_abandon(m, "the guest has ended");
    if (m->quit_asked) {
        reason = "host-qmp-quit";
    } else if (f->fate == FATE_CRASH) {
        monitor_event(m, "GUEST_PANICKED",
                      json_pack("{s:s, s:o}", "action", "poweroff", "why", qmp_string(f->why)));
        reason = "guest-panic";
    } else if (vm_config(m->vm)->no_reboot && !strncmp(f->why, "reset", 5)) {
        reason = "guest-reset";
    }
    monitor_event(m, "SHUTDOWN", shutdown_reason(!m->quit_asked, reason));
    /* Nobody looks at this guest's descriptors any more. */
    server_free(m->server);
    m->server = NULL;
}

static void on_reset(struct monitor *m)
{
    job_abandon(m, "the guest was reset");
    monitor_event(
        m, "RESET",
        shutdown_reason(!m->reset_asked, m->reset_asked ? "host-qmp-system-reset" : "guest-reset"));
    m->reset_asked = false;
}

static void on_event(void *ctx, struct vm *vm, enum vm_event event)
{
    struct monitor *m = ctx;

    switch (event) {
    case VM_EVENT_STOP:
        monitor_event(m, "STOP", NULL);
        break;
    case VM_EVENT_RESUME:
        monitor_event(m, "RESUME", NULL);
        break;
    case VM_EVENT_POWERDOWN:
        monitor_event(m, "POWERDOWN", NULL);
        break;
    case VM_EVENT_RESET:
        on_reset(m);
        break;
    case VM_EVENT_END:
        on_end(m);
        break;
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

enum status monitor_new(struct vm *vm, const char *where, struct monitor **out, struct error *err)
{
    struct monitor *m = calloc(1, sizeof(*m));
    enum status s = OK;

    if (!m)
        return fail(err, ERR_NOMEM, "no memory for a monitor");
    m->vm = vm;
    m->job.fd = -1;
    m->listener = (struct vm_listener){.fn = on_event, .ctx = m};
    vm_listen(vm, &m->listener);
    if (where)
        s = server_new(m, where, &m->server, err);
    if (s != OK) {
        monitor_free(m);
        return s;
    }
    *out = m;
    return OK;
}

void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    job_abandon(m, "the machine is switched off");
    if (!m->ended)
        monitor_event(m, "SHUTDOWN", shutdown_reason(false, "host-signal"));
    vm_unlisten(m->vm, &m->listener);
    server_free(m->server);
    free(m);
}
