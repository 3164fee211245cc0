/* The monitors of one guest: a QMP server on a socket, and the human monitor. */
#ifndef LUCCA_HOST_MONITOR_MONITOR_H
#define LUCCA_HOST_MONITOR_MONITOR_H

#include "base/status.h"
#include "host/vm/vm.h"

struct monitor;

/* `path`: where the QMP server listens, or NULL for none. A path that somebody listens on is an
 * error; a socket that nobody listens on any more is replaced. */
enum status monitor_new(struct vm *vm, const char *path, struct monitor **out,
                        struct error *err) MUST_USE;
/* Before the VM is freed. Says goodbye to the client and removes the socket. */
void monitor_free(struct monitor *m);

#endif
