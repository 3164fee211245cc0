/* A server of gdb's remote protocol for one guest.
 *
 * It has two views, chosen by gdb's `monitor view`. The guest's is for its author: it goes round
 * the wall by the package's debug port (silicon/probe.h). The host's is what the hypervisor sees:
 * ciphertext where a page is private, no register of a guest with encrypted state.
 */
#ifndef LUCCA_DEBUG_GDB_H
#define LUCCA_DEBUG_GDB_H

#include "base/status.h"
#include "host/vm/vm.h"

struct gdb;

/* `where` as listener_open() has it (base/listen.h). One client at a time; the guest is stopped
 * while it looks around. */
enum status gdb_new(struct vm *vm, const char *where, struct gdb **out, struct error *err) MUST_USE;
/* Before the VM is freed. */
void gdb_free(struct gdb *g);

#endif
