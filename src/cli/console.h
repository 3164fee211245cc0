/* Where serial ports go: this terminal, or a file. */
#ifndef LUCCA_CLI_CONSOLE_H
#define LUCCA_CLI_CONSOLE_H

#include <stdbool.h>

#include "base/status.h"
#include "host/device/chardev.h"
#include "host/monitor/monitor.h"
#include "host/vm/vm.h"

struct console;

/* `spec`: "stdio", "file:PATH"; only one console of a process can be stdio. */
enum status console_open(const char *spec, struct console **out, struct error *err) MUST_USE;
struct chardev *console_chardev(struct console *c);
/* Takes input from now on. On a terminal: raw mode; Ctrl-A X stops the host of `vm`, Ctrl-A C takes
 * turns between the guest and `m`. */
enum status console_attach(struct console *c, struct vm *vm, struct monitor *m,
                           struct error *err) MUST_USE;
/* Before the VM is freed. */
void console_detach(struct console *c);
/* `failed`: nothing ran; a file that console_open made is removed again. */
void console_close(struct console *c, bool failed);

/* Is standard input a person? */
bool console_is_terminal(void);

#endif
