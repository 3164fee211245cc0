/* Inside the gdb server: what its files share. */
#ifndef LUCCA_DEBUG_INTERNAL_H
#define LUCCA_DEBUG_INTERNAL_H

#include "base/listen.h"
#include "base/sendq.h"
#include "debug/gdb.h"
#include "silicon/probe.h"

#define GDB_PACKET 0x4000u /* bytes of a packet's data, at most */

/* ---- packets (packet.c): $data#checksum, escapes, acknowledgements ----------------------------
 */

enum packet_event {
    PACKET_NOTHING, /* more bytes are needed */
    PACKET_READY,   /* `data` is a packet */
    PACKET_BAD,     /* its checksum is wrong, or it is too long */
    PACKET_BREAK,   /* ^C */
    PACKET_ACK,
    PACKET_NAK,
};

struct packet_reader {
    enum { BETWEEN, DATA, ESCAPED, SUM_HIGH, SUM_LOW } state;
    bool too_long;
    uint8_t sum, told;
    size_t len;
    char data[GDB_PACKET + 1]; /* with a NUL after `len` bytes */
};

enum packet_event packet_take(struct packet_reader *r, uint8_t byte);

/* An answer as it is written: what does not fit is cut. */
struct reply {
    size_t len;
    char data[GDB_PACKET];
};
void reply_text(struct reply *r, const char *text);
void reply_format(struct reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reply_hex(struct reply *r, const void *bytes, size_t n);
/* Bytes as they are: the packet layer escapes them. */
void reply_bytes(struct reply *r, const void *bytes, size_t n);
/* $data#sum, escaped; `out` has room for 2 * len + 4. The length. */
size_t packet_frame(const char *data, size_t len, char *out);

/* Reads `n` bytes of hex; false when there are fewer. */
bool hex_bytes(const char **at, const char *end, uint8_t *to, size_t n);
/* A hex number; false when there is none. */
bool hex_number(const char **at, const char *end, uint64_t *to);

/* ---- registers (registers.c) ------------------------------------------------------------------
 */

/* The description that gdb asks for: to be freed; NULL when memory is out. */
char *registers_xml(void);
unsigned registers_count(void);
/* Bytes of register n in packets. */
unsigned register_bytes(unsigned n);
void register_get(const struct vcpu_regs *r, unsigned n, uint8_t *to);
void register_set(struct vcpu_regs *r, unsigned n, const uint8_t *from);

/* ---- views (view.c) ---------------------------------------------------------------------------
 */

enum view { VIEW_GUEST, VIEW_HOST };

/* False: this view does not show them. */
bool view_get_regs(enum view view, struct vcpu *v, struct vcpu_regs *out);
bool view_set_regs(enum view view, struct vcpu *v, const struct vcpu_regs *regs);
/* Linear addresses of the vCPU, up to the first page that is not there: bytes done. */
size_t view_read(enum view view, struct vcpu *v, uint64_t la, void *to, size_t n);
size_t view_write(enum view view, struct vcpu *v, uint64_t la, const void *from, size_t n);

/* ---- the session (gdb.c, commands.c) -----------------------------------------------------------
 */

struct gdb {
    struct vm *vm;
    struct board *board;
    struct listener listener;
    int client; /* -1: none */
    bool no_ack, gone;
    struct packet_reader in;
    struct sendq queue;
    char last[2 * GDB_PACKET + 8]; /* the last packet, for a NAK */
    size_t last_len;

    enum view view;
    unsigned thread; /* that g, m and the like speak of: a vCPU's index */
    bool running;    /* a stop is owed */
    struct probe_point points[PROBE_POINTS];
    unsigned point_count;
    struct vm_debugger hook;
    struct vm_listener events;
};

/* Answers one packet; may resume the guest. */
void gdb_command(struct gdb *g, const char *text, size_t len);
void gdb_send(struct gdb *g, const char *data, size_t len);
/* The guest has stopped: by a point, at vCPU n (NULL: by signal `sig`). */
void gdb_tell_stop(struct gdb *g, unsigned n, unsigned sig, const struct probe_point *p);
void gdb_drop_points(struct gdb *g);

#endif
