/* The monitors of one guest: a QMP server on a socket, and the human monitor. */
#ifndef LUCCA_HOST_MONITOR_MONITOR_H
#define LUCCA_HOST_MONITOR_MONITOR_H

#include "base/status.h"
#include "host/vm/vm.h"

struct monitor;

/* `where` the QMP server listens, as listener_open() has it (base/listen.h); NULL: nowhere. */
enum status monitor_new(struct vm *vm, const char *where, struct monitor **out,
                        struct error *err) MUST_USE;
/* Before the VM is freed. Says goodbye to the client and removes the socket. */
void monitor_free(struct monitor *m);

/* The human monitor on a terminal that somebody else reads: keys go in, text comes out. */
struct hmp_console;
typedef void hmp_put_fn(void *ctx, const char *text, size_t len);
struct hmp_console *hmp_console_new(struct monitor *m, hmp_put_fn *put, void *ctx);
void hmp_console_free(struct hmp_console *c);
/* The keys are the monitor's from now on: shows the prompt. */
void hmp_console_open(struct hmp_console *c);
void hmp_console_keys(struct hmp_console *c, const uint8_t *keys, size_t n);

#endif
