/* Fuzzes the monitors: the input is what a QMP client sends, to a guest whose memory and registers
 * are made from it too. Whatever it is, each answer is one JSON object on a line of its own. Dumps
 * write no files here. */
#define FAKE_LOW_BYTES  0x10000u /* little, to be quick */
#define FAKE_HIGH_BYTES 0x1000u

#include "rig.h"
#include "../tests/unit/fake_vm.h"

#include "host/monitor/internal.h"

/* ---- a dump that takes two steps and fails for odd beginnings ----------------------------------
 */

struct dump {
    unsigned steps;
    bool fails;
};

enum status dump_start(struct vm *vm, const char *path, struct dump_range range, struct dump **out,
                       struct error *err)
{
    if (strlen(path) % 16 == 15)
        return fail(err, ERR_IO, "could not open '%.300s'", path);
    *out = calloc(1, sizeof(**out));
    MUST(*out);
    (*out)->fails = range.begin & 1;
    return OK;
}

enum status dump_step(struct dump *d, bool *done, struct error *err)
{
    *done = ++d->steps == 2;
    return *done && d->fails ? fail(err, ERR_IO, "it does not fit") : OK;
}

void dump_free(struct dump *d)
{
    free(d);
}

uint64_t dump_total(const struct dump *d)
{
    return 2;
}

uint64_t dump_completed(const struct dump *d)
{
    return d->steps;
}

/* ---- the conversation --------------------------------------------------------------------------
 */

static void hear(void *ctx, const char *text, size_t len)
{
    json_t *j;

    MUST(len > 2 && !memcmp(text + len - 2, "\r\n", 2) && !memchr(text, '\n', len - 1));
    j = json_loadb(text, len, 0, NULL);
    MUST(json_is_object(j));
    MUST(!json_object_get(j, "return") + !json_object_get(j, "error") + !json_object_get(j, "QMP") +
             !json_object_get(j, "event") ==
         3);
    json_decref(j);
}

/* What comes while a dump is under way waits, as it does in the server. */
static void feed(struct vm *vm, struct qmp_session *s, const char *bytes, size_t n)
{
    while (n) {
        size_t done = qmp_feed(s, bytes, n);

        MUST(done == n || s->waiting);
        bytes += done;
        n -= done;
        fake_poll(vm);
        if (s->waiting && !s->m->job.dump)
            qmp_answer(s, OK, NULL); /* here no server hears of the end */
    }
}

static void make_guest(struct vm *vm, const uint8_t *data, size_t size)
{
    fake_vm_init(vm);
    vm->cfg.sev = data[0] & 1 ? SEV_PLAIN : SEV_OFF;
    vm->state = (enum vm_state)(data[0] >> 1 & 3);
    vm->vcpu[0].regs.cr0 = (uint64_t)(data[0] >> 3 & 1) << 31 | 1;
    vm->vcpu[0].regs.cr4 = (uint64_t)(data[0] >> 4 & 3) << 4;
    vm->vcpu[0].regs.efer = (uint64_t)(data[0] >> 6 & 1) << 10;
    for (size_t i = 0; i < FAKE_LOW_BYTES; i++) /* page tables, sometimes */
        vm->ram[i] = data[i % size];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    struct qmp_session s = {.emit = hear};
    struct monitor *m;
    struct vm vm;
    size_t half;

    if (size < 2)
        return 0;
    make_guest(&vm, data, size);
    MUST(monitor_new(&vm, NULL, &m, NULL) == OK);
    s.m = m;
    qmp_session_start(&s);
    if (!(data[0] & 0x80))
        feed(&vm, &s, hello, sizeof(hello) - 1);
    half = 1 + data[1] % (size - 1);
    feed(&vm, &s, (const char *)data + 1, half - 1);
    feed(&vm, &s, (const char *)data + half, size - half);
    qmp_session_end(&s);
    monitor_free(m);
    fake_vm_done(&vm);
    return 0;
}
