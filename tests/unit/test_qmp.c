/* QMP: framing, the order of a conversation, every refusal, the socket. The guest is a fake. */
#include "fake_vm.h"
#include "host/monitor/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h> /* after base/status.h: both have a `fail` */

/* ---- a conversation without a socket -----------------------------------------------------------
 */

struct talk {
    struct vm vm;
    struct monitor *m;
    struct qmp_session s;
    char said[1 << 16];
    size_t len;
};

static void hear(void *ctx, const char *text, size_t len)
{
    struct talk *t = ctx;

    assert_true(len < sizeof(t->said) - t->len);
    memcpy(t->said + t->len, text, len);
    t->len += len;
    t->said[t->len] = 0;
}

static struct talk *talk_new(bool negotiated)
{
    struct talk *t = calloc(1, sizeof(*t));
    struct error err;

    assert_non_null(t);
    fake_vm_init(&t->vm);
    assert_int_equal(monitor_new(&t->vm, NULL, &t->m, &err), OK);
    t->s = (struct qmp_session){.m = t->m, .emit = hear, .ctx = t};
    qmp_session_start(&t->s);
    if (negotiated) {
        const char *start = "{\"execute\":\"qmp_capabilities\"}";

        qmp_feed(&t->s, start, strlen(start));
        t->len = 0;
    }
    return t;
}

static void talk_free(struct talk *t)
{
    qmp_session_end(&t->s);
    monitor_free(t->m);
    fake_vm_done(&t->vm);
    free(t);
}

/* What is said to `text`; valid until the next. */
static const char *tell(struct talk *t, const char *text)
{
    t->len = 0;
    *t->said = 0;
    assert_int_equal(qmp_feed(&t->s, text, strlen(text)), strlen(text));
    return t->said;
}

static json_t *tell_json(struct talk *t, const char *text)
{
    json_error_t why;
    json_t *j = json_loads(tell(t, text), 0, &why);

    if (!j)
        fail_msg("%s: %s: %s", text, why.text, t->said);
    return j;
}

static void expect(struct talk *t, const char *text, const char *want)
{
    char line[512];

    snprintf(line, sizeof(line), "%s\r\n", want);
    assert_string_equal(tell(t, text), line);
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void a_conversation_starts_with_a_greeting_and_capabilities(void **state)
{
    struct talk *t = talk_new(false);
    json_t *hello = json_loads(t->said, 0, NULL);
    int major = 0;

    assert_int_equal(json_unpack(hello, "{s:{s:{s:{s:i}}, s:[]}}", "QMP", "version", "qemu",
                                 "major", &major, "capabilities"),
                     0);
    assert_int_equal(major, 7);
    json_decref(hello);
    expect(
        t, "{\"execute\":\"query-status\"}",
        "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities negotiation "
        "with 'qmp_capabilities'\"}}");
    expect(t, "{\"execute\":\"qmp_capabilities\",\"id\":\"a\"}", "{\"return\":{},\"id\":\"a\"}");
    expect(t, "{\"execute\":\"qmp_capabilities\"}",
           "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"Capabilities negotiation is "
           "already complete, command ignored\"}}");
    talk_free(t);
}

static void no_events_before_the_negotiation(void **state)
{
    struct talk *t = talk_new(false);

    t->len = 0;
    qmp_event(&t->s, "STOP", NULL);
    assert_int_equal(t->len, 0);
    tell(t, "{\"execute\":\"qmp_capabilities\"}");
    t->len = 0;
    qmp_event(&t->s, "STOP", NULL);
    assert_non_null(strstr(t->said, "\"event\":\"STOP\""));
    talk_free(t);
}

#define REFUSED(class, desc) "{\"error\":{\"class\":\"" class "\",\"desc\":\"" desc "\"}}"

static const struct {
    const char *law, *said, *answer;
} refusals[] = {
    {"a message is an object", "[1]", REFUSED("GenericError", "QMP input must be a JSON object")},
    {"of known members", "{\"foo\":1}",
     REFUSED("GenericError", "QMP input member 'foo' is unexpected")},
    {"execute is needed", "{}", REFUSED("GenericError", "QMP input lacks member 'execute'")},
    {"execute is a string", "{\"execute\":1}",
     REFUSED("GenericError", "QMP input member 'execute' must be a string")},
    {"arguments are an object", "{\"execute\":\"stop\",\"arguments\":3}",
     REFUSED("GenericError", "QMP input member 'arguments' must be an object")},
    {"a command exists", "{\"execute\":\"frob\"}",
     REFUSED("CommandNotFound", "The command frob has not been found")},
    {"an argument exists", "{\"execute\":\"stop\",\"arguments\":{\"x\":1}}",
     REFUSED("GenericError", "Parameter 'x' is unexpected")},
    {"an argument has its type",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":\"x\",\"protocol\":\"file:/"
     "x\"}}",
     REFUSED("GenericError", "Invalid parameter type for 'paging', expected: boolean")},
    {"a needed argument is there",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false}}",
     REFUSED("GenericError", "Parameter 'protocol' is missing")},
    {"a size is not negative",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":\"file:/x\","
     "\"begin\":-1,\"length\":1}}",
     REFUSED("GenericError", "Parameter 'begin' expects a number from 0 on")},
    {"begin goes with length",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":\"file:/x\","
     "\"begin\":1}}",
     REFUSED("GenericError", "Parameter 'length' is missing")},
    {"a dump goes to a file",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":\"fd:x\"}}",
     REFUSED("GenericError", "Invalid parameter 'protocol', expected: file:PATH")},
    {"no paging dumps",
     "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":true,\"protocol\":\"file:/x\"}}",
     REFUSED("GenericError", "Parameter 'paging' must be false: a dump by the guest's page tables "
                             "is not implemented")},
    {"a vCPU exists",
     "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"stop\","
     "\"cpu-index\":2}}",
     REFUSED("GenericError", "Parameter 'cpu-index' expects a CPU number")},
    {"keys are not repeated", "{\"execute\":\"stop\",\"execute\":\"cont\"}",
     REFUSED("GenericError", "JSON parse error, duplicate object key near '\\\"execute\\\"'")},
    {"JSON is JSON", "{\"execute\"}",
     REFUSED("GenericError", "JSON parse error, ':' expected near '}'")},
    {"brackets match", "{]",
     REFUSED("GenericError", "JSON parse error, string or '}' expected near "
                             "']'")},
    {"what is no object costs its line alone", "x{\"execute\":\"stop\"}\n",
     REFUSED("GenericError", "JSON parse error, expecting an object")},
    {"a string ends on its line", "{\"execute\":\"st\nop\"}\n",
     REFUSED("GenericError", "JSON parse error, expecting an object") "\r\n" REFUSED(
         "GenericError", "JSON parse error, expecting an object")},
    {"measurements are of SEV guests", "{\"execute\":\"query-sev-launch-measure\"}",
     REFUSED("GenericError", "no SEV")},
};

static void every_refusal_has_its_words_and_the_conversation_goes_on(void **state)
{
    struct talk *t = talk_new(true);

    for (size_t i = 0; i < COUNT(refusals); i++) {
        char line[512];

        snprintf(line, sizeof(line), "%s\r\n", refusals[i].answer);
        if (strcmp(tell(t, refusals[i].said), line) != 0)
            fail_msg("%s: %s", refusals[i].law, t->said);
        if (t->vm.state != VM_RUNNING)
            fail_msg("%s: it was obeyed", refusals[i].law);
        expect(t, "{\"execute\":\"query-kvm\",\"id\":7}",
               "{\"return\":{\"enabled\":false,\"present\":false},\"id\":7}");
    }
    talk_free(t);
}

static void what_is_not_utf8_is_refused_in_utf8(void **state)
{
    struct talk *t = talk_new(true);
    json_t *j = tell_json(t, "{\"execute\":\"\xFF\xFE\"}\n");

    assert_non_null(json_object_get(j, "error"));
    json_decref(j);
    t->vm.cfg.name = "caf\xE9";
    expect(t, "{\"execute\":\"query-name\"}", "{\"return\":{\"name\":\"caf?\"}}");
    talk_free(t);
}

/* Cut anywhere, with newlines or without: the same answers. */
static void messages_end_with_their_last_bracket(void **state)
{
    static const char text[] = " {\"execute\":\"query-kvm\", \"id\": {\"a\":[\"}]\\\"\\\\\", 1]}}"
                               "{\"execute\":\"query-kvm\"}\r\n\n{\"execute\":\"nope\"}[]x\n"
                               "{\"execute\":\"query-kvm\"}";
    struct talk *t = talk_new(true);
    char *whole;

    tell(t, text);
    assert_non_null(strstr(t->said, "\"id\":{\"a\":[\"}]\\\"\\\\\",1]}"));
    whole = strdup(t->said);
    assert_non_null(whole);
    for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
        t->len = 0;
        for (size_t at = 0; at < sizeof(text) - 1; at += cut)
            qmp_feed(&t->s, text + at, MIN(cut, sizeof(text) - 1 - at));
        assert_string_equal(t->said, whole);
    }
    free(whole);
    talk_free(t);
}

static void length_and_depth_are_bounded(void **state)
{
    struct talk *t = talk_new(true);
    size_t n = FRAME_MAX_BYTES + 100;
    char *text = malloc(n + 1);

    assert_non_null(text);
    memset(text, 'a', n);
    memcpy(text, "{\"execute\":\"", 12);
    text[n] = 0;
    assert_non_null(strstr(tell(t, text), "longer than 1 MiB"));
    expect(t, "still the same line\n{\"execute\":\"stop\"}", "{\"return\":{}}");
    memset(text, '[', n);
    assert_non_null(strstr(tell(t, text), "more than 64 deep"));
    assert_non_null(strstr(tell(t, "\n{\"execute\":\"cont\"}"), "return"));
    free(text);
    talk_free(t);
}

static void every_command_is_listed_and_answers(void **state)
{
    struct talk *t = talk_new(true);
    json_t *list = tell_json(t, "{\"execute\":\"query-commands\"}");

    assert_int_equal(json_array_size(json_object_get(list, "return")), qmp_command_count);
    for (size_t i = 0; i < qmp_command_count; i++) {
        char text[128];

        assert_string_equal(qmp_commands[i].name,
                            json_string_value(json_object_get(
                                json_array_get(json_object_get(list, "return"), i), "name")));
        snprintf(text, sizeof(text), "{\"execute\":\"%s\"}", qmp_commands[i].name);
        tell(t, text);
        if (strcmp(qmp_commands[i].name, "qmp_capabilities") != 0 &&
            (!strstr(t->said, qmp_commands[i].args[0].required ? "is missing" : "\"return\"") &&
             strcmp(qmp_commands[i].name, "query-sev-launch-measure") != 0))
            fail_msg("%s: %s", qmp_commands[i].name, t->said);
    }
    json_decref(list);
    talk_free(t);
}

static const char *status_of(struct talk *t)
{
    json_t *j = tell_json(t, "{\"execute\":\"query-status\"}");
    static char status[32];
    const char *s;

    assert_int_equal(json_unpack(j, "{s:{s:s}}", "return", "status", &s), 0);
    snprintf(status, sizeof(status), "%s", s);
    json_decref(j);
    return status;
}

static void the_guest_obeys(void **state)
{
    struct talk *t = talk_new(true);

    assert_string_equal(status_of(t), "running");
    tell(t, "{\"execute\":\"stop\"}");
    assert_int_equal(t->vm.state, VM_PAUSED);
    assert_string_equal(status_of(t), "paused");
    t->vm.resume_fails = true;
    expect(t, "{\"execute\":\"cont\"}", REFUSED("GenericError", "it will not go on"));
    t->vm.resume_fails = false;
    tell(t, "{\"execute\":\"cont\"}");
    assert_int_equal(t->vm.state, VM_RUNNING);
    tell(t, "{\"execute\":\"system_reset\"}{\"execute\":\"system_powerdown\"}"
            "{\"execute\":\"inject-nmi\"}{\"execute\":\"quit\"}");
    assert_int_equal(t->vm.resets, 1);
    assert_int_equal(t->vm.powerdowns, 1);
    assert_int_equal(t->vm.nmis, 1);
    assert_int_equal(t->vm.quits, 1);
    t->vm.state = VM_PRELAUNCH;
    assert_string_equal(status_of(t), "prelaunch");
    talk_free(t);
}

static void secrets_arrive_as_they_were_sent(void **state)
{
    struct talk *t = talk_new(true);

    t->vm.cfg.sev = SEV_PLAIN;
    t->vm.state = VM_PRELAUNCH;
    expect(
        t,
        "{\"execute\":\"sev-inject-launch-secret\",\"arguments\":{\"packet-header\":\"aGVhZA==\","
        "\"secret\":\"c2VjcmV0\",\"gpa\":40960}}",
        "{\"return\":{}}");
    assert_int_equal(t->vm.header_len, 4);
    assert_memory_equal(t->vm.header, "head", 4);
    assert_int_equal(t->vm.secret_len, 6);
    assert_memory_equal(t->vm.secret, "secret", 6);
    assert_int_equal(t->vm.secret_gpa, 40960);
    assert_non_null(strstr(tell(t, "{\"execute\":\"sev-inject-launch-secret\",\"arguments\":{"
                                   "\"packet-header\":\"aGVhZA==\",\"secret\":\"c2VjcmV0\"}}"),
                           "Parameter 'gpa' is missing"));
    assert_non_null(strstr(tell(t, "{\"execute\":\"sev-inject-launch-secret\",\"arguments\":{"
                                   "\"packet-header\":\"?\",\"secret\":\"c2Vj\",\"gpa\":0}}"),
                           "Parameter 'packet-header' is not base64"));
    talk_free(t);
}

static void sev_is_told_as_qemu_tells_it(void **state)
{
    struct talk *t = talk_new(true);

    t->vm.cfg.sev = SEV_PLAIN;
    expect(t, "{\"execute\":\"query-sev\"}",
           "{\"return\":{\"enabled\":true,\"api-major\":1,\"api-minor\":55,\"build-id\":21,"
           "\"policy\":5,\"state\":\"running\",\"handle\":1,\"sev-type\":\"sev\"}}");
    expect(t, "{\"execute\":\"query-sev-capabilities\"}",
           "{\"return\":{\"pdh\":\"cGRo\",\"cert-chain\":\"Y2hhaW4=\",\"cpu0-id\":\"aWQ=\","
           "\"cbitpos\":51,\"reduced-phys-bits\":6}}");
    expect(t, "{\"execute\":\"query-sev-launch-measure\"}",
           "{\"return\":{\"data\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKiss"
           "LS4v\"}}");
    t->vm.cfg.sev = SEV_SNP;
    expect(t, "{\"execute\":\"query-sev\"}",
           "{\"return\":{\"enabled\":true,\"api-major\":1,\"api-minor\":55,\"build-id\":21,"
           "\"state\":\"running\",\"sev-type\":\"sev-snp\",\"snp-policy\":5}}");
    talk_free(t);
}

/* ---- over a socket -----------------------------------------------------------------------------
 */

struct line {
    struct vm vm;
    struct monitor *m;
    char dir[32], path[64];
};

static const char *unix_at(const char *path)
{
    static char where[300];

    snprintf(where, sizeof(where), "unix:%s", path);
    return where;
}

static struct line *line_new(void)
{
    struct line *l = calloc(1, sizeof(*l));
    struct error err;

    assert_non_null(l);
    strcpy(l->dir, "/tmp/lucca-qmp-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    snprintf(l->path, sizeof(l->path), "%s/qmp", l->dir);
    fake_vm_init(&l->vm);
    if (monitor_new(&l->vm, unix_at(l->path), &l->m, &err) != OK)
        fail_msg("%s", err.text);
    return l;
}

static void line_free(struct line *l)
{
    monitor_free(l->m);
    assert_int_not_equal(access(l->path, F_OK), 0);
    assert_int_equal(rmdir(l->dir), 0);
    fake_vm_done(&l->vm);
    free(l);
}

static int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void serve(struct line *l)
{
    for (int i = 0; i < 100 && fake_poll(&l->vm); i++)
        ;
}

/* All that has come; valid until the next call. */
static const char *heard(struct line *l, int fd)
{
    static char text[1 << 16];
    size_t len = 0;
    ssize_t n;

    serve(l);
    while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
        len += (size_t)n;
    text[len] = 0;
    return text;
}

static void say(struct line *l, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    serve(l);
}

static void clients_come_one_at_a_time(void **state)
{
    struct line *l = line_new();
    int first = dial(l->path), second = dial(l->path);

    assert_non_null(strstr(heard(l, first), "\"QMP\""));
    assert_string_equal(heard(l, second), "");
    say(l, second, "{\"execute\":\"qmp_capabilities\"}");
    say(l, first, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"stop\"}");
    assert_non_null(strstr(heard(l, first), "\"event\":\"STOP\""));
    assert_string_equal(heard(l, second), "");
    close(first);
    assert_non_null(strstr(heard(l, second), "\"return\":{}"));
    close(second);
    serve(l);
    line_free(l);
}

/* A client that hangs up its side is still answered. */
static void a_half_closed_client_gets_its_answers(void **state)
{
    struct line *l = line_new();
    int fd = dial(l->path);

    say(l, fd, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-kvm\"}");
    shutdown(fd, SHUT_WR);
    assert_non_null(strstr(heard(l, fd), "\"present\":false"));
    assert_int_equal(recv(fd, &(char){0}, 1, 0), 0);
    close(fd);
    line_free(l);
}

/* Who asks and never listens is asked nothing more, and costs bounded memory. */
static void a_client_that_does_not_listen_holds_up_nobody(void **state)
{
    static const char ask[] = "{\"execute\":\"query-commands\"}";
    struct line *l = line_new();
    int fd = dial(l->path), stuck = 0;
    size_t sent = 0;

    say(l, fd, "{\"execute\":\"qmp_capabilities\"}");
    while (stuck < 10 && sent < (64u << 20)) {
        ssize_t n = send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL);

        stuck = n < 0 ? stuck + 1 : 0;
        sent += n > 0 ? (size_t)n : 0;
        fake_poll(&l->vm);
    }
    assert_int_equal(stuck, 10);
    /* Events go on piling up, and end in being dropped: the listener is open for another. */
    for (int i = 0; i < 300000; i++)
        fake_notify(&l->vm, VM_EVENT_POWERDOWN);
    serve(l);
    close(fd);
    serve(l);
    fd = dial(l->path);
    assert_non_null(strstr(heard(l, fd), "\"QMP\""));
    close(fd);
    line_free(l);
}

/* Nothing of what was queued is lost on a client that pauses, and nothing else need happen for it
 * to arrive. */
static void events_wait_for_a_slow_client(void **state)
{
    enum { EVENTS = 20000 };
    struct line *l = line_new();
    int fd = dial(l->path);
    unsigned seen = 0;

    say(l, fd, "{\"execute\":\"qmp_capabilities\"}");
    heard(l, fd);
    for (int i = 0; i < EVENTS; i++)
        fake_notify(&l->vm, VM_EVENT_POWERDOWN);
    for (int idle = 0; idle < 3; idle++) {
        char text[4096];
        ssize_t n;

        serve(l);
        while ((n = recv(fd, text, sizeof(text), 0)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                seen += text[i] == '\n';
            idle = 0;
        }
    }
    assert_int_equal(seen, EVENTS);
    close(fd);
    line_free(l);
}

static void the_end_is_told_before_the_line_goes_dead(void **state)
{
    static const struct {
        enum fate fate;
        const char *why;
        bool asked, no_reboot;
        const char *told;
    } ends[] = {
        {FATE_POWEROFF, "", false, false, "\"guest\":true,\"reason\":\"guest-shutdown\""},
        {FATE_POWEROFF, "quit", true, false, "\"guest\":false,\"reason\":\"host-qmp-quit\""},
        {FATE_POWEROFF, "reset, with --no-reboot", false, true,
         "\"guest\":true,\"reason\":\"guest-reset\""},
        {FATE_EXIT, "", false, false, "\"guest\":true,\"reason\":\"guest-shutdown\""},
        {FATE_CRASH, "triple fault", false, false,
         "\"event\":\"GUEST_PANICKED\",\"data\":{\"action\":\"poweroff\",\"why\":\"triple "
         "fault\"}"},
    };

    for (size_t i = 0; i < COUNT(ends); i++) {
        struct line *l = line_new();
        int fd = dial(l->path);
        const char *text;

        say(l, fd, "{\"execute\":\"qmp_capabilities\"}");
        if (ends[i].asked)
            say(l, fd, "{\"execute\":\"quit\"}");
        l->vm.cfg.no_reboot = ends[i].no_reboot;
        fake_end(&l->vm, ends[i].fate, ends[i].why);
        text = heard(l, fd);
        if (!strstr(text, ends[i].told) || !strstr(text, "\"event\":\"SHUTDOWN\""))
            fail_msg("%zu: %s", i, text);
        assert_int_equal(recv(fd, &(char){0}, 1, 0), 0);
        close(fd);
        line_free(l);
    }
}

static void a_reset_says_whose_it_was(void **state)
{
    struct line *l = line_new();
    int fd = dial(l->path);

    say(l, fd, "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"system_reset\"}");
    fake_notify(&l->vm, VM_EVENT_RESET);
    assert_non_null(strstr(heard(l, fd), "\"guest\":false,\"reason\":\"host-qmp-system-reset\""));
    fake_notify(&l->vm, VM_EVENT_RESET);
    assert_non_null(strstr(heard(l, fd), "\"guest\":true,\"reason\":\"guest-reset\""));
    close(fd);
    line_free(l);
}

/* ---- dumps -------------------------------------------------------------------------------------
 */

static void a_dump_is_answered_when_it_is_done(void **state)
{
    struct line *l = line_new();
    int fd = dial(l->path);
    char text[256], file[64];
    const char *told;

    snprintf(file, sizeof(file), "%s/dump", l->dir);
    snprintf(text, sizeof(text),
             "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"protocol\":"
             "\"file:%s\"},\"id\":1}{\"execute\":\"query-dump\",\"id\":2}",
             file);
    say(l, fd, "{\"execute\":\"qmp_capabilities\"}");
    heard(l, fd);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    fake_poll(&l->vm); /* the command; the next one waits */
    assert_int_equal(l->vm.state, VM_PAUSED);
    assert_string_equal(monitor_run_state(l->m), "save-vm");
    told = heard(l, fd);
    assert_int_equal(l->vm.state, VM_RUNNING);
    assert_true(strstr(told, "\"event\":\"STOP\"") < strstr(told, "DUMP_COMPLETED"));
    assert_true(strstr(told, "DUMP_COMPLETED") < strstr(told, "\"event\":\"RESUME\""));
    assert_true(strstr(told, "{\"return\":{},\"id\":1}") < strstr(told, "\"id\":2"));
    assert_non_null(strstr(told, "{\"return\":{\"status\":\"completed\",\"completed\":3145728,"
                                 "\"total\":3145728},\"id\":2}"));
    assert_int_equal(unlink(file), 0);
    close(fd);
    line_free(l);
}

static void a_detached_dump_can_be_watched_and_dies_with_its_guest(void **state)
{
    struct line *l = line_new();
    int fd = dial(l->path);
    char text[256];
    const char *told;

    snprintf(text, sizeof(text),
             "{\"execute\":\"dump-guest-memory\",\"arguments\":{\"paging\":false,\"detach\":true,"
             "\"protocol\":\"file:%s/dump\"}}{\"execute\":\"query-dump\"}{\"execute\":\"cont\"}",
             l->dir);
    say(l, fd, "{\"execute\":\"qmp_capabilities\"}");
    heard(l, fd);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    fake_poll(&l->vm);
    fake_notify(&l->vm, VM_EVENT_RESET);
    told = heard(l, fd);
    assert_non_null(strstr(told, "\"status\":\"active\",\"completed\":0,\"total\":3145728"));
    assert_non_null(strstr(told, "There is a dump in process, please wait."));
    assert_non_null(strstr(told, "\"error\":\"the guest was reset\""));
    close(fd);
    line_free(l); /* its folder is empty */
}

/* ---- the path ----------------------------------------------------------------------------------
 */

static void a_live_socket_is_refused_a_stale_one_replaced(void **state)
{
    struct line *l = line_new();
    struct monitor *other = NULL;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct error err;
    int fd;

    assert_int_equal(monitor_new(&l->vm, unix_at(l->path), &other, &err), ERR_STATE);
    assert_non_null(strstr(err.text, "in use by another process"));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/stale", l->dir);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    assert_int_equal(monitor_new(&l->vm, unix_at(addr.sun_path), &other, &err), OK);
    monitor_free(other);
    assert_int_not_equal(access(addr.sun_path, F_OK), 0);
    line_free(l);
}

static void other_files_are_left_alone(void **state)
{
    struct line *l = line_new();
    struct monitor *other = NULL;
    struct error err;
    char path[64], far[200];
    FILE *f;

    snprintf(path, sizeof(path), "%s/file", l->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(monitor_new(&l->vm, unix_at(path), &other, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "not a socket"));
    assert_int_equal(unlink(path), 0);
    memset(far, 'a', sizeof(far));
    far[sizeof(far) - 1] = 0;
    assert_int_equal(monitor_new(&l->vm, unix_at(far), &other, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "at most 107 bytes"));
    assert_int_equal(monitor_new(&l->vm, "unix:/nonexistent/qmp", &other, &err), ERR_IO);
    line_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_starts_with_a_greeting_and_capabilities),
        cmocka_unit_test(no_events_before_the_negotiation),
        cmocka_unit_test(every_refusal_has_its_words_and_the_conversation_goes_on),
        cmocka_unit_test(what_is_not_utf8_is_refused_in_utf8),
        cmocka_unit_test(messages_end_with_their_last_bracket),
        cmocka_unit_test(length_and_depth_are_bounded),
        cmocka_unit_test(every_command_is_listed_and_answers),
        cmocka_unit_test(the_guest_obeys),
        cmocka_unit_test(secrets_arrive_as_they_were_sent),
        cmocka_unit_test(sev_is_told_as_qemu_tells_it),
        cmocka_unit_test(clients_come_one_at_a_time),
        cmocka_unit_test(a_half_closed_client_gets_its_answers),
        cmocka_unit_test(a_client_that_does_not_listen_holds_up_nobody),
        cmocka_unit_test(events_wait_for_a_slow_client),
        cmocka_unit_test(the_end_is_told_before_the_line_goes_dead),
        cmocka_unit_test(a_reset_says_whose_it_was),
        cmocka_unit_test(a_dump_is_answered_when_it_is_done),
        cmocka_unit_test(a_detached_dump_can_be_watched_and_dies_with_its_guest),
        cmocka_unit_test(a_live_socket_is_refused_a_stale_one_replaced),
        cmocka_unit_test(other_files_are_left_alone),
    };

    return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
