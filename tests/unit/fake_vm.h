/* A hypervisor for tests of the monitors: what vm.h promises, over plain arrays. It stands in for
 * the real one when a test is linked, so that a test says what the guest is and sees what was done
 * to it. Include it in one file of a program. */
#ifndef LUCCA_TESTS_FAKE_VM_H
#define LUCCA_TESTS_FAKE_VM_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "host/device/bus.h"
#include "host/vm/vm.h"

#ifndef FAKE_LOW_BYTES
#define FAKE_LOW_BYTES  (2u << 20)
#define FAKE_HIGH_BYTES (1u << 20)
#endif
#define FAKE_HIGH    UINT64_C(0x100000000)
#define FAKE_VCPUS   2u
#define FAKE_WATCHES 8u

struct vcpu {
    struct vcpu_regs regs;
    bool halted;
};

struct board {
    struct {
        int fd; /* -1: free */
        short events;
        watch_fn *fn;
        void *ctx;
    } watch[FAKE_WATCHES];
    struct bus *bus;
};

struct vm {
    struct vm_config cfg;
    enum vm_state state;
    struct board_fate fate;
    struct board board;
    struct vcpu vcpu[FAKE_VCPUS];
    struct vm_listener *listeners;
    uint8_t *ram; /* low, then high */
    unsigned writes;
    /* what was asked for */
    unsigned resets, powerdowns, quits, nmis;
    /* of LAUNCH_SECRET */
    uint8_t header[64], secret[64];
    size_t header_len, secret_len;
    uint64_t secret_gpa;
    bool resume_fails;
};

static inline void fake_vm_init(struct vm *vm)
{
    *vm = (struct vm){
        .cfg = {.name = "fake", .memory = FAKE_LOW_BYTES + FAKE_HIGH_BYTES, .vcpus = FAKE_VCPUS},
        .state = VM_RUNNING};
    vm->ram = calloc(1, FAKE_LOW_BYTES + FAKE_HIGH_BYTES);
    vm->board.bus = bus_new();
    if (!vm->ram || !vm->board.bus)
        abort();
    for (unsigned i = 0; i < FAKE_WATCHES; i++)
        vm->board.watch[i].fd = -1;
}

static inline void fake_vm_done(struct vm *vm)
{
    free(vm->ram);
    bus_free(vm->board.bus);
}

static inline void fake_notify(struct vm *vm, enum vm_event event)
{
    for (struct vm_listener *l = vm->listeners, *next; l; l = next) {
        next = l->next;
        l->fn(l->ctx, vm, event);
    }
}

static inline void fake_end(struct vm *vm, enum fate fate, const char *why)
{
    vm->fate.fate = fate;
    snprintf(vm->fate.why, sizeof(vm->fate.why), "%s", why);
    vm->state = VM_ENDED;
    fake_notify(vm, VM_EVENT_END);
}

/* One look at the descriptors; how many were ready. */
static inline int fake_poll(struct vm *vm)
{
    struct pollfd p[FAKE_WATCHES];
    int ready;

    for (unsigned i = 0; i < FAKE_WATCHES; i++) {
        bool on = vm->board.watch[i].fd >= 0 && vm->board.watch[i].events;

        p[i] = (struct pollfd){on ? vm->board.watch[i].fd : -1, vm->board.watch[i].events, 0};
    }
    ready = poll(p, FAKE_WATCHES, 0);
    for (unsigned i = 0; i < FAKE_WATCHES; i++)
        if (p[i].revents && vm->board.watch[i].fd == p[i].fd && vm->board.watch[i].events)
            vm->board.watch[i].fn(vm->board.watch[i].ctx, p[i].revents);
    return ready;
}

/* ---- the board --------------------------------------------------------------------------------
 */

enum status board_watch(struct board *b, int fd, short events, watch_fn *fn, void *ctx,
                        struct error *err)
{
    int at = -1;

    for (int i = 0; i < (int)FAKE_WATCHES && at < 0; i++)
        if (b->watch[i].fd < 0)
            at = i;
    for (int i = 0; i < (int)FAKE_WATCHES; i++)
        if (b->watch[i].fd == fd)
            at = i;
    if (at < 0)
        abort();
    b->watch[at].fd = fd;
    b->watch[at].events = events;
    b->watch[at].fn = fn;
    b->watch[at].ctx = ctx;
    return OK;
}

void board_unwatch(struct board *b, int fd)
{
    for (unsigned i = 0; i < FAKE_WATCHES; i++)
        if (b->watch[i].fd == fd)
            b->watch[i].fd = -1;
}

struct bus *board_bus(struct board *b)
{
    return b->bus;
}

/* ---- the guest --------------------------------------------------------------------------------
 */

enum vm_state vm_state(const struct vm *vm)
{
    return vm->state;
}

const struct vm_config *vm_config(const struct vm *vm)
{
    return &vm->cfg;
}

const struct board_fate *vm_fate(const struct vm *vm)
{
    return &vm->fate;
}

struct host *vm_host(struct vm *vm)
{
    return NULL;
}

struct board *vm_board(struct vm *vm)
{
    return &vm->board;
}

void vm_pause(struct vm *vm)
{
    if (vm->state != VM_RUNNING)
        return;
    vm->state = VM_PAUSED;
    fake_notify(vm, VM_EVENT_STOP);
}

enum status vm_resume(struct vm *vm, struct error *err)
{
    if (vm->resume_fails)
        return fail(err, ERR_STATE, "it will not go on");
    if (vm->state == VM_RUNNING)
        return OK;
    vm->state = VM_RUNNING;
    fake_notify(vm, VM_EVENT_RESUME);
    return OK;
}

void vm_reset(struct vm *vm)
{
    vm->resets++;
}

void vm_powerdown(struct vm *vm)
{
    vm->powerdowns++;
    fake_notify(vm, VM_EVENT_POWERDOWN);
}

void vm_quit(struct vm *vm)
{
    vm->quits++;
}

void vm_nmi(struct vm *vm)
{
    vm->nmis++;
}

void vm_listen(struct vm *vm, struct vm_listener *l)
{
    l->next = vm->listeners;
    vm->listeners = l;
}

void vm_unlisten(struct vm *vm, struct vm_listener *l)
{
    for (struct vm_listener **at = &vm->listeners; *at; at = &(*at)->next)
        if (*at == l) {
            *at = l->next;
            return;
        }
}

unsigned vm_ram_ranges(const struct vm *vm, struct vm_ram out[2])
{
    out[0] = (struct vm_ram){0, FAKE_LOW_BYTES};
    out[1] = (struct vm_ram){FAKE_HIGH, FAKE_HIGH_BYTES};
    return 2;
}

static inline uint8_t *fake_ram(struct vm *vm, uint64_t gpa, size_t len)
{
    if (gpa <= FAKE_LOW_BYTES && len <= FAKE_LOW_BYTES - gpa)
        return vm->ram + gpa;
    if (gpa >= FAKE_HIGH && gpa - FAKE_HIGH <= FAKE_HIGH_BYTES &&
        len <= FAKE_HIGH_BYTES - (gpa - FAKE_HIGH))
        return vm->ram + FAKE_LOW_BYTES + (gpa - FAKE_HIGH);
    return NULL;
}

bool vm_read_phys(struct vm *vm, uint64_t gpa, void *to, size_t len)
{
    const uint8_t *p = fake_ram(vm, gpa, len);

    if (p)
        memcpy(to, p, len);
    return p;
}

bool vm_write_phys(struct vm *vm, uint64_t gpa, const void *from, size_t len)
{
    uint8_t *p = fake_ram(vm, gpa, len);

    vm->writes++;
    if (p)
        memcpy(p, from, len);
    return p;
}

unsigned vm_vcpus(const struct vm *vm)
{
    return vm->cfg.vcpus;
}

struct vcpu *vm_vcpu(struct vm *vm, unsigned n)
{
    return n < vm->cfg.vcpus ? &vm->vcpu[n] : NULL;
}

bool vcpu_halted(const struct vcpu *v)
{
    return v->halted;
}

bool vcpu_get_regs(struct vcpu *v, struct vcpu_regs *out)
{
    *out = v->regs;
    return true;
}

/* ---- SEV --------------------------------------------------------------------------------------
 */

enum status vm_sev_info(struct vm *vm, struct sev_info *out, struct error *err)
{
    if (vm->cfg.sev == SEV_OFF)
        return fail(err, ERR_STATE, "no SEV");
    *out = (struct sev_info){1, 55, 21, 1, 100, 5, vm->state == VM_PRELAUNCH ? 2 : 3};
    return OK;
}

enum status vm_sev_measurement(struct vm *vm, uint8_t out[SEV_MEASUREMENT_BYTES], struct error *err)
{
    if (vm->cfg.sev == SEV_OFF)
        return fail(err, ERR_STATE, "no SEV");
    for (unsigned i = 0; i < SEV_MEASUREMENT_BYTES; i++)
        out[i] = (uint8_t)i;
    return OK;
}

enum status vm_sev_secret(struct vm *vm, const void *header, size_t header_len, const void *secret,
                          size_t secret_len, uint64_t gpa, struct error *err)
{
    if (vm->state != VM_PRELAUNCH)
        return fail(err, ERR_STATE, "too late");
    if (header_len > sizeof(vm->header) || secret_len > sizeof(vm->secret))
        return fail(err, ERR_ARG, "too long");
    memcpy(vm->header, header, header_len);
    memcpy(vm->secret, secret, secret_len);
    vm->header_len = header_len;
    vm->secret_len = secret_len;
    vm->secret_gpa = gpa;
    return OK;
}

enum status host_sev_platform(struct host *h, struct sev_platform *out, struct error *err)
{
    *out = (struct sev_platform){
        (uint8_t *)strdup("pdh"), (uint8_t *)strdup("chain"), (uint8_t *)strdup("id"), 3, 5, 2};
    return out->pdh && out->chain && out->id ? OK : fail(err, ERR_NOMEM, "no memory");
}

void sev_platform_free(struct sev_platform *p)
{
    free(p->pdh);
    free(p->chain);
    free(p->id);
}

struct soc *host_soc(struct host *h)
{
    return NULL;
}

const struct chip *soc_chip(const struct soc *s)
{
    return chip_by_id(CHIP_GENOA);
}

#endif
