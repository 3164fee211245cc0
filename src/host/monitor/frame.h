/* Where one JSON text ends and the next begins in a stream of hostile bytes. QMP clients need not
 * send newlines: a message ends with its last bracket. */
#ifndef LUCCA_HOST_MONITOR_FRAME_H
#define LUCCA_HOST_MONITOR_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_MAX_BYTES (1u << 20)
#define FRAME_MAX_DEPTH 64u

struct framer {
    char *text; /* of the message so far; whole and NUL-terminated after FRAME_WHOLE */
    size_t len, room;
    unsigned depth;
    bool in_string, escaped;
    bool skipping; /* what was wrong is skipped to the end of its line */
};

enum frame {
    FRAME_MORE,
    FRAME_WHOLE,     /* a message is in `text`, until the next byte */
    FRAME_GARBAGE,   /* no JSON object or array starts like this */
    FRAME_TOO_LONG,  /* over FRAME_MAX_BYTES */
    FRAME_TOO_DEEP,  /* over FRAME_MAX_DEPTH */
    FRAME_NO_MEMORY, /* as FRAME_TOO_LONG, but the fault is ours */
};

/* Zero-initialise before the first byte. */
enum frame frame_byte(struct framer *f, char c);
void frame_free(struct framer *f);

#endif
