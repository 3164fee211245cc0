/* Warnings for people and traces by category. Both go to stderr, one line each. */
#ifndef LUCCA_BASE_LOG_H
#define LUCCA_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* TRACE(name, what it shows): `--trace name,name`. */
#define TRACE_CATEGORIES(X)                                                                        \
    X(ASP, "asp", "secure processor commands and their status")                                    \
    X(BOOT, "boot", "what the loader places where")                                                \
    X(EXIT, "exit", "every #VMEXIT and what the host does about it")                               \
    X(FAULT, "fault", "exceptions the guest takes")                                                \
    X(INSN, "insn", "every instruction (very long)")                                               \
    X(MMIO, "mmio", "device register accesses")                                                    \
    X(IRQ, "irq", "interrupt lines, messages and injections")                                      \
    X(VIRTIO, "virtio", "virtio negotiation and requests")                                         \
    X(SEV, "sev",                                                                                  \
      "launch commands, GHCB calls, page state changes, RMP faults: EVENT KEY=VALUE ...")

enum trace {
#define X(id, name, what) TRACE_##id,
    TRACE_CATEGORIES(X)
#undef X
        TRACES
};

extern uint32_t log_traces; /* bit per enum trace; set by log_enable alone */

static inline bool tracing(enum trace t)
{
    return __builtin_expect(log_traces >> t & 1, 0);
}

/* `list` is comma-separated category names, or "help" to list them on stdout. */
enum status log_enable(const char *list, struct error *err) MUST_USE;

/* "text", which is so without, or "json": each trace line is an object with "trace", its category,
 * and "event" with a member for each KEY=VALUE, or else "text". */
enum status log_format(const char *name, struct error *err) MUST_USE;

/* "lucca: warning: ..." */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "category: ..."; call only under tracing(). */
void trace(enum trace t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
