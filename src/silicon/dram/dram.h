/* DRAM behind memory controllers that encrypt (APM2 15.34).
 *
 * DRAM is ciphertext wherever a private page stands. To be fast a frame (4 KiB) holds its bytes as
 * they look under ONE key, with a tag, `seen_under`, that names the key. An access under the tagged
 * key touches the bytes directly; an access under another first transcodes: the ciphertext is
 * E_old(bytes), the new view D_new(ciphertext). That equals encryption on every access, and costs
 * nothing while one party uses a frame. A peek transcodes a copy and leaves the tag.
 *
 * AES-128, 16-byte blocks, a tweak made from the system physical address (XEX): no freshness, no
 * MAC. Same plaintext, address and key: same ciphertext; another address: another ciphertext.
 *
 * `eager` stores true ciphertext and encrypts on every access. It is the specification.
 */
#ifndef LUCCA_SILICON_DRAM_H
#define LUCCA_SILICON_DRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define FRAME_SHIFT 12
#define FRAME_SIZE  4096u
#define FRAME_MASK  (FRAME_SIZE - 1)

struct dram;

/* A key object. It outlives the ASID that pointed at it while a frame is seen under it. */
typedef uint16_t dram_key;
#define DRAM_PLAIN ((dram_key)0)

/* Who must hear when a frame changes behind its back. */
enum frame_mark {
    FRAME_CACHED = 1, /* a CPU holds a pointer to its bytes: told before the frame is transcoded */
    FRAME_CODE = 2,   /* decoded blocks stand on it: told after anyone writes by dram_write */
};
typedef void dram_watch_fn(void *ctx, uint64_t frame, enum frame_mark why);

/* `bytes`: a multiple of FRAME_SIZE. Memory is reserved, not touched: it reads as zeros in DRAM. */
enum status dram_new(uint64_t bytes, bool eager, struct dram **out, struct error *err) MUST_USE;
void dram_free(struct dram *d);
uint64_t dram_size(const struct dram *d);

/* `seed`: 32 bytes, the data key and the tweak key. DRAM_PLAIN when all 65535 keys are in use. */
dram_key dram_key_new(struct dram *d, const uint8_t seed[32]);
/* The owner lets go; the object dies with the last frame that is seen under it. */
void dram_key_drop(struct dram *d, dram_key key);

/* Key slots of the memory controllers. Slot 0 is plain for ever. asid < 2048. */
void dram_bind(struct dram *d, unsigned asid, dram_key key);
dram_key dram_bound(const struct dram *d, unsigned asid); /* DRAM_PLAIN where nothing is bound */

/* The frame's bytes as seen under `key`, transcoded to it if need be; valid until a watcher hears
 * FRAME_CACHED for the frame. NULL under `eager`, and for a frame outside DRAM. */
uint8_t *dram_touch(struct dram *d, uint64_t frame, dram_key key);
/* Changes when any frame is transcoded: two pointers, or one and a walk, did not disturb each other
 * where it stayed. */
uint64_t dram_retags(const struct dram *d);

/* Bytes as an access under `key` sees or makes them. Reads leave the tag (a peek). Ranges may cross
 * frames. False, and nothing done, when the range leaves DRAM. */
bool dram_read(struct dram *d, uint64_t spa, dram_key key, void *to, size_t len) MUST_USE;
bool dram_write(struct dram *d, uint64_t spa, dram_key key, const void *from, size_t len) MUST_USE;

/* One watcher; marks are per frame and are cleared as the watcher hears of them. */
void dram_watch(struct dram *d, dram_watch_fn *fn, void *ctx);
void dram_mark(struct dram *d, uint64_t frame, enum frame_mark mark);
void dram_unmark(struct dram *d, uint64_t frame, enum frame_mark mark);
bool dram_marked(const struct dram *d, uint64_t frame, enum frame_mark mark);

#endif
