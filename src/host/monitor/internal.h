/* Inside the monitors: what their files share. */
#ifndef LUCCA_HOST_MONITOR_INTERNAL_H
#define LUCCA_HOST_MONITOR_INTERNAL_H

#include <jansson.h>

#include "host/monitor/dump.h"
#include "host/monitor/frame.h"
#include "host/monitor/monitor.h"

struct qmp_server;

/* ---- one guest's monitors ------------------------------------------------------------------- */

enum dump_state { DUMP_NONE, DUMP_ACTIVE, DUMP_COMPLETED, DUMP_FAILED };

/* A dump in progress: a slice of it between slices of other guests. Its own guest waits. */
struct dump_job {
    struct dump *dump; /* NULL: none */
    int fd;            /* an eventfd, always readable: work to do at each look at descriptors */
    bool resume;       /* the guest ran before */
    enum dump_state state;
    uint64_t total, completed; /* of the last one, too */
};

struct monitor {
    struct vm *vm;
    struct vm_listener listener;
    struct qmp_server *server; /* NULL: none */
    struct dump_job job;
    bool quit_asked, reset_asked; /* by a monitor, not by the guest */
    bool ended;
};

/* Tells QMP clients; steals `data` (may be NULL). */
void monitor_event(struct monitor *m, const char *name, json_t *data);
/* As QEMU's RunState. */
const char *monitor_run_state(const struct monitor *m);
/* Refused while a dump needs the guest to stand still. */
enum status monitor_cont(struct monitor *m, struct error *err) MUST_USE;
void monitor_stop(struct monitor *m);
void monitor_quit(struct monitor *m);
void monitor_reset(struct monitor *m);

/* job.c: starts a dump that goes on by itself and ends with an event and job_ended. */
enum status job_start(struct monitor *m, const char *path, struct dump_range range,
                      struct error *err) MUST_USE;
/* The same, to its end. */
enum status job_run(struct monitor *m, const char *path, struct dump_range range,
                    struct error *err) MUST_USE;
void job_abandon(struct monitor *m, const char *why);
json_t *job_json(const struct monitor *m);

/* ---- QMP ------------------------------------------------------------------------------------ */

/* A conversation, whatever carries it. */
struct qmp_session {
    struct monitor *m;
    void (*emit)(void *ctx, const char *text, size_t len); /* a message with its CRLF */
    void *ctx;
    struct framer framer;
    bool negotiated;
    bool waiting; /* for a dump: no message is looked at before its answer is out */
    json_t *id;   /* of the command that waits */
};

void qmp_session_start(struct qmp_session *s); /* greets */
void qmp_session_end(struct qmp_session *s);
/* Looks at bytes of the peer, and answers; how many: fewer than `n` where it has begun to wait. */
size_t qmp_feed(struct qmp_session *s, const char *bytes, size_t n);
void qmp_event(struct qmp_session *s, const char *name, const json_t *data);
/* The answer of the command that waits: an empty object, or the error. */
void qmp_answer(struct qmp_session *s, enum status status, const struct error *err);

struct qmp_call {
    struct monitor *m;
    struct qmp_session *s;
    const json_t *args; /* an object, checked against the command's row */
    json_t *result;     /* NULL: an empty object */
    bool later;         /* qmp_answer will come */
    struct error err;
};

enum qmp_type { QMP_STRING, QMP_SIZE, QMP_BOOL, QMP_ARRAY };

#define QMP_MAX_ARGS 6
struct qmp_command {
    const char *name;
    enum status (*run)(struct qmp_call *c);
    struct qmp_arg {
        const char *name;
        enum qmp_type type;
        bool required;
    } args[QMP_MAX_ARGS];
};
extern const struct qmp_command qmp_commands[];
extern const size_t qmp_command_count;

/* A string of any bytes: what is not UTF-8 in it becomes '?'. */
json_t *qmp_string(const char *text);
json_t *qmp_version(void);
const char *sev_state_name(uint8_t state);

/* ---- the socket (server.c) ------------------------------------------------------------------ */

enum status server_new(struct monitor *m, const char *where, struct qmp_server **out,
                       struct error *err) MUST_USE;
/* Gives the client a moment to take what is on its way. */
void server_free(struct qmp_server *s);
void server_event(struct qmp_server *s, const char *name, const json_t *data);
void server_answer(struct qmp_server *s, enum status status, const struct error *err);

/* ---- the human monitor (hmp.c) -------------------------------------------------------------- */

/* Runs one line. `*out` is malloc'ed text, never NULL unless memory is out; false: refused. */
bool hmp_run(struct monitor *m, const char *line, char **out);

#endif
