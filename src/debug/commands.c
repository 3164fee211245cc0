/* gdb's commands: a table of packets (GDB manual, appendix E.2). An empty answer means that the
 * packet is not known; Enn is an error. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "debug/internal.h"

#define SIGNAL_TRAP 5

/* A packet on its way: what follows its name, and the answer. */
struct call {
    struct gdb *g;
    const char *at, *end;
    struct reply r;
    bool silent; /* the answer comes when the guest stops */
};

static void error(struct call *c, unsigned number)
{
    c->r.len = 0;
    reply_format(&c->r, "E%02x", number);
}

static void ok(struct call *c)
{
    reply_text(&c->r, "OK");
}

static struct vcpu *vcpu_of(struct gdb *g)
{
    return vm_vcpu(g->vm, g->thread);
}

static bool skip(struct call *c, char sign)
{
    if (c->at >= c->end || *c->at != sign)
        return false;
    c->at++;
    return true;
}

/* "ADDRESS,LENGTH" */
static bool range(struct call *c, uint64_t *at, uint64_t *len)
{
    return hex_number(&c->at, c->end, at) && skip(c, ',') && hex_number(&c->at, c->end, len);
}

/* ---- registers ---- */
static void add_register(struct call *c, const struct vcpu_regs *regs, unsigned n)
{
    uint8_t bytes[16];

    if (regs) {
        register_get(regs, n, bytes);
        reply_hex(&c->r, bytes, register_bytes(n));
        return;
    }
    for (unsigned i = 0; i < 2 * register_bytes(n); i++)
        reply_text(&c->r, "x"); /* not available */
}

static void read_registers(struct call *c)
{
    struct vcpu_regs regs;
    bool seen = view_get_regs(c->g->view, vcpu_of(c->g), &regs);

    for (unsigned n = 0; n < registers_count(); n++)
        add_register(c, seen ? &regs : NULL, n);
}

static void read_register(struct call *c)
{
    struct vcpu_regs regs;
    bool seen = view_get_regs(c->g->view, vcpu_of(c->g), &regs);
    uint64_t n;

    if (!hex_number(&c->at, c->end, &n) || n >= registers_count())
        error(c, EINVAL);
    else
        add_register(c, seen ? &regs : NULL, (unsigned)n);
}

static void write_some(struct call *c, unsigned first, unsigned last)
{
    struct vcpu_regs regs;
    uint8_t bytes[16];

    if (!view_get_regs(c->g->view, vcpu_of(c->g), &regs)) {
        error(c, EPERM);
        return;
    }
    for (unsigned n = first; n <= last; n++) {
        if (!hex_bytes(&c->at, c->end, bytes, register_bytes(n))) {
            error(c, EINVAL);
            return;
        }
        register_set(&regs, n, bytes);
    }
    if (view_set_regs(c->g->view, vcpu_of(c->g), &regs))
        ok(c);
    else
        error(c, EPERM);
}

static void write_registers(struct call *c)
{
    write_some(c, 0, registers_count() - 1);
}

static void write_register(struct call *c)
{
    uint64_t n;

    if (!hex_number(&c->at, c->end, &n) || n >= registers_count() || !skip(c, '='))
        error(c, EINVAL);
    else
        write_some(c, (unsigned)n, (unsigned)n);
}

/* ---- memory ---- */
static void read_memory(struct call *c)
{
    uint8_t bytes[GDB_PACKET / 2];
    uint64_t at, len;
    size_t n;

    if (!range(c, &at, &len)) {
        error(c, EINVAL);
        return;
    }
    n = view_read(c->g->view, vcpu_of(c->g), at, bytes, MIN(len, (uint64_t)sizeof(bytes)));
    if (n || !len)
        reply_hex(&c->r, bytes, n);
    else
        error(c, EFAULT);
}

static void store(struct call *c, uint64_t at, const void *bytes, size_t n)
{
    if (view_write(c->g->view, vcpu_of(c->g), at, bytes, n) == n)
        ok(c);
    else
        error(c, EFAULT);
}

static void write_memory(struct call *c)
{
    uint8_t bytes[GDB_PACKET / 2];
    uint64_t at, len;

    if (!range(c, &at, &len) || !skip(c, ':') || len > sizeof(bytes) ||
        !hex_bytes(&c->at, c->end, bytes, len))
        error(c, EINVAL);
    else
        store(c, at, bytes, len);
}

static void write_binary(struct call *c)
{
    uint64_t at, len;

    if (!range(c, &at, &len) || !skip(c, ':') || len > (uint64_t)(c->end - c->at))
        error(c, EINVAL);
    else
        store(c, at, c->at, len);
}

/* ---- running ---- */
static void resume(struct call *c)
{
    struct error err;

    c->g->running = true;
    c->silent = true;
    if (vm_resume(c->g->vm, &err) == OK)
        return;
    c->g->running = c->silent = false;
    error(c, EINVAL);
}

static void step(struct call *c)
{
    struct gdb *g = c->g;
    struct probe_point p;
    bool hit;

    if (vm_state(g->vm) == VM_PRELAUNCH) {
        struct error err;

        if (vm_resume(g->vm, &err) != OK) {
            error(c, EINVAL);
            return;
        }
        vm_pause(g->vm);
    }
    vm_step(g->vm, vcpu_of(g));
    hit = probe_hit(host_soc(vm_host(g->vm)), vcpu_core(vcpu_of(g)), &p);
    c->silent = true;
    gdb_tell_stop(g, g->thread, SIGNAL_TRAP, hit && p.kind != PROBE_CODE ? &p : NULL);
}

/* One thread steps, or all go on: while one steps the others stand still. */
static void v_continue(struct call *c)
{
    uint64_t n;

    if (!skip(c, ';') || c->at >= c->end) {
        error(c, EINVAL);
        return;
    }
    if (*c->at != 's' && *c->at != 'S') {
        resume(c);
        return;
    }
    while (c->at < c->end && *c->at != ':' && *c->at != ';')
        c->at++;
    if (skip(c, ':') && hex_number(&c->at, c->end, &n) && n >= 1 && n <= vm_vcpus(c->g->vm))
        c->g->thread = (unsigned)n - 1;
    step(c);
}

static void v_continue_kinds(struct call *c)
{
    reply_text(&c->r, "vCont;c;C;s;S");
}

static void why_stopped(struct call *c)
{
    c->silent = true;
    gdb_tell_stop(c->g, c->g->thread, SIGNAL_TRAP, NULL);
}

static void detach(struct call *c)
{
    struct error err;

    gdb_drop_points(c->g);
    if (vm_resume(c->g->vm, &err) != OK)
        error(c, EINVAL);
    else
        ok(c);
}

static void kill_guest(struct call *c)
{
    c->silent = true;
    vm_quit(c->g->vm);
}

/* ---- points ---- */
static bool parse_point(struct call *c, struct probe_point *p)
{
    static const enum probe_kind kinds[] = {PROBE_CODE, PROBE_CODE, PROBE_WRITE, PROBE_ACCESS,
                                            PROBE_ACCESS};
    uint64_t kind, at, len;

    if (!hex_number(&c->at, c->end, &kind) || kind >= COUNT(kinds) || !skip(c, ',') ||
        !range(c, &at, &len))
        return false;
    *p = (struct probe_point){.kind = kinds[kind], .asid = vm_asid(c->g->vm), .la = at, .len = 1};
    if (p->kind != PROBE_CODE)
        p->len = (unsigned)len;
    return len && len <= 4096;
}

/* A hypervisor has no such power over a guest whose registers it does not see. */
static bool may_stop(struct call *c)
{
    struct vcpu_regs regs;

    return view_get_regs(c->g->view, vcpu_of(c->g), &regs);
}

static void set_point(struct call *c)
{
    struct gdb *g = c->g;
    struct probe_point p;

    if (!parse_point(c, &p))
        error(c, EINVAL);
    else if (!may_stop(c))
        error(c, EPERM);
    else if (g->point_count == PROBE_POINTS || !probe_set(host_soc(vm_host(g->vm)), &p))
        error(c, ENOSPC);
    else {
        g->points[g->point_count++] = p;
        ok(c);
    }
}

static void clear_point(struct call *c)
{
    struct gdb *g = c->g;
    struct probe_point p;

    if (!parse_point(c, &p) || !probe_clear(host_soc(vm_host(g->vm)), &p)) {
        error(c, EINVAL);
        return;
    }
    for (unsigned i = 0; i < g->point_count; i++)
        if (g->points[i].kind == p.kind && g->points[i].la == p.la && g->points[i].len == p.len)
            g->points[i] = g->points[--g->point_count];
    ok(c);
}

/* ---- threads ---- */
static void set_thread(struct call *c)
{
    uint64_t n;

    c->at++; /* g or c: this server steps the thread it was told of last */
    if (skip(c, '-'))
        n = 1;
    else if (!hex_number(&c->at, c->end, &n) || n > vm_vcpus(c->g->vm)) {
        error(c, EINVAL);
        return;
    }
    if (n)
        c->g->thread = (unsigned)n - 1;
    ok(c);
}

static void is_alive(struct call *c)
{
    uint64_t n;

    if (hex_number(&c->at, c->end, &n) && n >= 1 && n <= vm_vcpus(c->g->vm))
        ok(c);
    else
        error(c, EINVAL);
}

static void thread_list(struct call *c)
{
    for (unsigned i = 0; i < vm_vcpus(c->g->vm); i++)
        reply_format(&c->r, "%c%x", i ? ',' : 'm', i + 1);
}

static void thread_list_end(struct call *c)
{
    reply_text(&c->r, "l");
}

static void current_thread(struct call *c)
{
    reply_format(&c->r, "QC%x", c->g->thread + 1);
}

static void thread_extra(struct call *c)
{
    char text[64];
    uint64_t n;

    if (!hex_number(&c->at, c->end, &n) || n < 1 || n > vm_vcpus(c->g->vm)) {
        error(c, EINVAL);
        return;
    }
    snprintf(text, sizeof(text), "vCPU %u%s", (unsigned)n - 1,
             vcpu_halted(vm_vcpu(c->g->vm, (unsigned)n - 1)) ? " (halted)" : "");
    reply_hex(&c->r, text, strlen(text));
}

/* ---- queries ---- */
static void supported(struct call *c)
{
    reply_format(&c->r,
                 "PacketSize=%x;qXfer:features:read+;vContSupported+;hwbreak+;swbreak-;"
                 "QStartNoAckMode+",
                 GDB_PACKET / 2);
}

static void no_ack(struct call *c)
{
    c->g->no_ack = true;
    ok(c);
}

static void attached(struct call *c)
{
    reply_text(&c->r, "1");
}

static void description(struct call *c)
{
    char *xml = registers_xml();
    uint64_t at, len, all = xml ? strlen(xml) : 0;

    if (!xml || !range(c, &at, &len)) {
        error(c, xml ? EINVAL : ENOMEM);
    } else {
        at = MIN(at, all);
        len = MIN(MIN(len, all - at), (uint64_t)GDB_PACKET / 2 - 2);
        reply_text(&c->r, at + len < all ? "m" : "l");
        reply_bytes(&c->r, xml + at, len);
    }
    free(xml);
}

static void say(struct call *c, const char *text)
{
    reply_hex(&c->r, text, strlen(text));
}

/* What a person types after `monitor`. */
static void monitor(struct call *c)
{
    static const char *const names[] = {[VIEW_GUEST] = "guest", [VIEW_HOST] = "host"};
    char line[128] = "", text[200];
    size_t n = (size_t)(c->end - c->at) / 2;

    if (n >= sizeof(line) || !hex_bytes(&c->at, c->end, (uint8_t *)line, n)) {
        error(c, EINVAL);
        return;
    }
    for (unsigned i = 0; i < COUNT(names); i++) {
        snprintf(text, sizeof(text), "view %s", names[i]);
        if (!strcmp(line, text))
            c->g->view = (enum view)i;
    }
    if (!strncmp(line, "view", 4)) {
        snprintf(text, sizeof(text), "this is the %s's view\n", names[c->g->view]);
        say(c, text);
        return;
    }
    say(c, "view guest   registers and memory as the guest has them\n"
           "view host    as its hypervisor sees them\n");
}

/* ---- the table ---- */
/* The first that matches: its name is a prefix, and what follows is its operand. */
static const struct {
    const char *name;
    void (*run)(struct call *c);
    bool whole; /* nothing follows */
} commands[] = {
    {"?", why_stopped, true},
    {"g", read_registers, true},
    {"G", write_registers, false},
    {"p", read_register, false},
    {"P", write_register, false},
    {"m", read_memory, false},
    {"M", write_memory, false},
    {"X", write_binary, false},
    {"c", resume, true},
    {"s", step, true},
    {"vCont?", v_continue_kinds, true},
    {"vCont", v_continue, false},
    {"vKill", kill_guest, false},
    {"k", kill_guest, false},
    {"D", detach, false},
    {"Z", set_point, false},
    {"z", clear_point, false},
    {"H", set_thread, false},
    {"T", is_alive, false},
    {"qfThreadInfo", thread_list, true},
    {"qsThreadInfo", thread_list_end, true},
    {"qThreadExtraInfo,", thread_extra, false},
    {"qC", current_thread, true},
    {"qSupported", supported, false},
    {"QStartNoAckMode", no_ack, true},
    {"qAttached", attached, false},
    {"qXfer:features:read:target.xml:", description, false},
    {"qRcmd,", monitor, false},
};

void gdb_command(struct gdb *g, const char *text, size_t len)
{
    struct call c = {.g = g, .end = text + len};

    if (vm_state(g->vm) == VM_RUNNING) /* a client that will not wait: as if it had said ^C first */
        vm_pause(g->vm);
    g->running = false;
    for (size_t i = 0; i < COUNT(commands); i++) {
        size_t n = strlen(commands[i].name);

        if (len < n || memcmp(text, commands[i].name, n) != 0 || (commands[i].whole && len != n))
            continue;
        c.at = text + n;
        commands[i].run(&c);
        break;
    }
    if (!c.silent)
        gdb_send(g, c.r.data, c.r.len);
}
