/* Dumps that take their time: the guest stands still, the rest of the process goes on. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "host/monitor/internal.h"

static const char *const state_names[] = {
    [DUMP_NONE] = "none",
    [DUMP_ACTIVE] = "active",
    [DUMP_COMPLETED] = "completed",
    [DUMP_FAILED] = "failed",
};

json_t *job_json(const struct monitor *m)
{
    return json_pack("{s:s, s:I, s:I}", "status", state_names[m->job.state], "completed",
                     (json_int_t)m->job.completed, "total", (json_int_t)m->job.total);
}

static void let_go(struct monitor *m)
{
    struct dump_job *j = &m->job;

    dump_free(j->dump);
    j->dump = NULL;
    if (j->fd >= 0) {
        board_unwatch(vm_board(m->vm), j->fd);
        close(j->fd);
    }
    j->fd = -1;
}

static void resume_guest(struct monitor *m)
{
    struct error err;

    if (m->job.resume && vm_state(m->vm) == VM_PAUSED && vm_resume(m->vm, &err) != OK)
        warn("the guest does not go on after its dump: %s", err.text);
    m->job.resume = false;
}

/* `status` OK: the whole file is there. */
static void end(struct monitor *m, enum status status, const struct error *err)
{
    struct dump_job *j = &m->job;
    json_t *result;

    j->state = status == OK ? DUMP_COMPLETED : DUMP_FAILED;
    let_go(m);
    result = json_pack("{s:o}", "result", job_json(m));
    if (result && status != OK)
        json_object_set_new(result, "error", qmp_string(err->text));
    monitor_event(m, "DUMP_COMPLETED", result);
    resume_guest(m);
}

static enum status step(struct monitor *m, bool *done, struct error *err)
{
    enum status s = dump_step(m->job.dump, done, err);

    m->job.completed = dump_completed(m->job.dump);
    return s;
}

static void work(void *ctx, short revents)
{
    struct monitor *m = ctx;
    bool done = false;
    struct error err = {0};
    enum status s = step(m, &done, &err);

    if (s == OK && !done)
        return;
    end(m, s, &err);
    if (m->server)
        server_answer(m->server, s, &err);
}

static enum status prepare(struct monitor *m, const char *path, struct dump_range range,
                           struct error *err)
{
    struct dump_job *j = &m->job;

    if (j->dump)
        return fail(err, ERR_STATE, "There is a dump in process, please wait.");
    if (dump_start(m->vm, path, range, &j->dump, err) != OK)
        return err->code;
    j->state = DUMP_ACTIVE;
    j->total = dump_total(j->dump);
    j->completed = 0;
    j->resume = vm_state(m->vm) == VM_RUNNING;
    vm_pause(m->vm);
    return OK;
}

enum status job_start(struct monitor *m, const char *path, struct dump_range range,
                      struct error *err)
{
    struct dump_job *j = &m->job;
    enum status s = prepare(m, path, range, err);

    if (s != OK)
        return s;
    j->fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (j->fd < 0)
        s = fail(err, ERR_IO, "no descriptor for a dump: %s", strerror(errno));
    else
        s = board_watch(vm_board(m->vm), j->fd, POLLIN, work, m, err);
    if (s != OK)
        end(m, s, err);
    return s;
}

enum status job_run(struct monitor *m, const char *path, struct dump_range range, struct error *err)
{
    enum status s = prepare(m, path, range, err);
    bool done = false;

    if (s != OK)
        return s;
    while (s == OK && !done)
        s = step(m, &done, err);
    end(m, s, err);
    return s;
}

void job_abandon(struct monitor *m, const char *why)
{
    struct error err;
    enum status s;

    if (!m->job.dump)
        return;
    m->job.resume = false;
    s = fail(&err, ERR_STATE, "%s", why);
    end(m, s, &err);
    if (m->server)
        server_answer(m->server, s, &err);
}
