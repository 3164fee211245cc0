/* Who runs: every vCPU of every guest in turn, a slice at a time, on one thread. Between slices the
 * timers that are due fire, and now and then the host's descriptors are looked at. When all idle,
 * virtual time jumps to the next timer and real time is waited for. */
#include <inttypes.h>
#include <time.h>

#include "base/bytes.h"
#include "base/log.h"
#include "host/vm/internal.h"

#define SLICE_MANY   20000u            /* instructions, when vCPUs take turns */
#define SLICE_ALONE  100000u           /* when there is one */
#define POLL_EVERY   UINT64_C(2000000) /* host ns */
#define LONGEST_WAIT UINT64_C(50000000)

static uint64_t host_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

/* Its fate is known; what it holds goes with vm_free. */
void vm_finish(struct vm *vm)
{
    vm->state = VM_ENDED;
    vm_notify(vm, VM_EVENT_END);
}

static void end_as(struct vm *vm, enum fate fate, const char *why)
{
    board_end(vm->board, fate, 0, why);
    vm->fate = *board_fate(vm->board);
    vm_finish(vm);
}

static void reset_now(struct vm *vm)
{
    bool ran = vm->state == VM_RUNNING;
    struct error err = {0};

    vm->reset_wanted = false;
    if (vm->cfg.no_reboot) {
        vm->fate = (struct board_fate){.fate = FATE_POWEROFF, .why = "reset, with --no-reboot"};
        vm_finish(vm);
        return;
    }
    vm_notify(vm, VM_EVENT_RESET);
    if (vm_relaunch(vm, &err) != OK || (ran && vm_start(vm, &err) != OK))
        end_as(vm, FATE_CRASH, err.text);
}

/* Acts on what the guest, the monitor or a device has decided. True while the VM goes on. */
static bool settle(struct vm *vm)
{
    const struct board_fate *f = board_fate(vm->board);

    if (vm->state == VM_ENDED)
        return false;
    if (!vm->quit_wanted && (f->fate == FATE_RESET || vm->reset_wanted))
        reset_now(vm);
    if (vm->state == VM_ENDED)
        return false;
    if (vm->quit_wanted) {
        end_as(vm, FATE_POWEROFF, "quit");
    } else if (f->fate != FATE_RUNNING) {
        vm->fate = *f;
        vm_finish(vm);
    }
    return vm->state != VM_ENDED;
}

/* ---- a slice ----------------------------------------------------------------------------------
 */

/* Instructions until the next timer of this VM, at most `most`. Real time: a cautious guess, as an
 * early look costs little. */
static uint64_t until_deadline(const struct vm *vm, uint64_t most)
{
    uint64_t now = board_now(vm->board), at = board_next_deadline(vm->board), left;

    if (at == UINT64_MAX)
        return most;
    left = at > now ? at - now : 1;
    if (vm->host->clock == CLOCK_HOST)
        left = MAX(left / 40, 100);
    return MIN(left, most);
}

static void run_timers(struct vm *vm)
{
    if (board_next_deadline(vm->board) <= board_now(vm->board))
        board_run_timers(vm->board);
}

/* A #VMEXIT counts where nothing retired: a guest that does nothing else must not keep the host. */
static void slice(struct vcpu *v, uint64_t insns)
{
    struct vm *vm = v->vm;
    uint64_t left = insns;

    v->yield = false;
    while (left && !v->yield && vm->state == VM_RUNNING && vcpu_runnable(v) &&
           board_fate(vm->board)->fate == FATE_RUNNING) {
        uint64_t before = cpu_retired(v->core);

        vcpu_run(v, until_deadline(vm, left));
        if (vm->debugger && vm->debugger->stops(vm->debugger->ctx, v))
            vm_pause(vm);
        run_timers(vm);
        left -= MIN(left, MAX(cpu_retired(v->core) - before, 1u));
    }
}

static bool run_vm(struct vm *vm, uint64_t insns)
{
    bool ran = false;

    if (vm->state != VM_RUNNING)
        return false;
    run_timers(vm);
    for (unsigned i = 0; i < vm->cfg.vcpus; i++) {
        struct vcpu *v = &vm->vcpu[i];

        if (!vcpu_runnable(v))
            continue;
        ran = true;
        slice(v, insns);
    }
    return ran;
}

static uint64_t slice_length(const struct host *h)
{
    return h->cores_used > 1 ? SLICE_MANY : SLICE_ALONE;
}

/* ---- idle -------------------------------------------------------------------------------------
 */

static void end_hopeless(struct vm *vm)
{
    if (vm->state != VM_RUNNING)
        return;
    for (unsigned i = 0; i < vm->cfg.vcpus; i++)
        if (!vcpu_hopeless(&vm->vcpu[i]))
            return;
    if (vcpu_encrypted(&vm->vcpu[0]))
        warn("%s: every vCPU is halted with interrupts off", vm->cfg.name);
    else
        warn("%s: every vCPU is halted with interrupts off, vCPU 0 at RIP %" PRIx64, vm->cfg.name,
             vm->vcpu[0].vmcb.save.rip);
    end_as(vm, FATE_POWEROFF, "halted for ever");
}

static int poll_all(struct host *h, uint64_t timeout)
{
    unsigned live = 0;
    int ready = 0;

    for (struct vm *vm = h->vms; vm; vm = vm->next)
        live += vm->state != VM_ENDED;
    for (struct vm *vm = h->vms; vm; vm = vm->next)
        if (vm->state != VM_ENDED)
            ready += board_poll(vm->board, timeout / MAX(live, 1u));
    h->next_poll = host_ns() + POLL_EVERY;
    return ready;
}

static uint64_t next_deadline(const struct host *h)
{
    uint64_t at = UINT64_MAX;

    for (const struct vm *vm = h->vms; vm; vm = vm->next)
        if (vm->state == VM_RUNNING)
            at = MIN(at, board_next_deadline(vm->board));
    return at;
}

/* Nobody can run: time passes, or something comes from outside. */
static void idle(struct host *h)
{
    uint64_t at, now = soc_now(h->soc), wait = LONGEST_WAIT;

    if (poll_all(h, 0))
        return;
    at = next_deadline(h);
    if (at != UINT64_MAX && h->clock == CLOCK_VIRTUAL) {
        soc_idle_until(h->soc, at);
        return;
    }
    if (at != UINT64_MAX)
        wait = at > now ? MIN(at - now, wait) : 0;
    poll_all(h, wait);
    if (h->clock == CLOCK_HOST)
        soc_idle_until(h->soc, UINT64_MAX);
}

/* ---- all --------------------------------------------------------------------------------------
 */

static bool settle_all(struct host *h)
{
    bool live = false;

    for (struct vm *vm = h->vms; vm; vm = vm->next)
        live |= settle(vm);
    return live;
}

void host_run(struct host *h)
{
    while (!h->stop && settle_all(h)) {
        bool ran = false;

        for (struct vm *vm = h->vms; vm; vm = vm->next) {
            end_hopeless(vm);
            ran |= run_vm(vm, slice_length(h));
        }
        if (!ran)
            idle(h);
        else if (host_ns() >= h->next_poll)
            poll_all(h, 0);
    }
    h->stop = false;
}
