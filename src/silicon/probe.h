/* The debug port of the package: what a guest's own author sees through a probe on it.
 *
 * It goes round the wall: plaintext of private pages, registers of encrypted save areas,
 * breakpoints that no guest can feel. Parts in the field have it fused off. So it is no pin of
 * soc.h: src/debug includes it, the hypervisor in src/host may not.
 */
#ifndef LUCCA_SILICON_PROBE_H
#define LUCCA_SILICON_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "silicon/soc.h"
#include "silicon/vmsa.h"

/* Memory as code under the ASID sees its private pages (0: plain), whatever the RMP says. False,
 * and nothing done, when the range leaves DRAM. */
bool probe_read(struct soc *s, uint32_t asid, uint64_t spa, void *to, size_t len);
bool probe_write(struct soc *s, uint32_t asid, uint64_t spa, const void *from, size_t len);

/* The save area of a guest with encrypted state, between its runs; a changed one is sealed anew. */
bool probe_read_vmsa(struct soc *s, uint32_t asid, uint64_t spa, struct vmsa *to);
bool probe_write_vmsa(struct soc *s, uint32_t asid, uint64_t spa, const struct vmsa *from);

/* Where guests of an ASID stop: VMRUN then ends with VMEXIT_INTR, and probe_hit says why. Code
 * stops before the instruction at a linear address, and costs nothing elsewhere; data stops after
 * the access, and makes every instruction slow. */
enum probe_kind { PROBE_CODE, PROBE_WRITE, PROBE_ACCESS };
struct probe_point {
    enum probe_kind kind;
    uint32_t asid;
    uint64_t la;
    unsigned len; /* of data, 1 .. 4096 */
};
#define PROBE_POINTS 64u
/* False: there are PROBE_POINTS already. Setting one that is set has no effect. */
bool probe_set(struct soc *s, const struct probe_point *p);
/* False: it was not set. */
bool probe_clear(struct soc *s, const struct probe_point *p);

/* Since it was last asked: the point at which the core stopped. */
bool probe_hit(struct soc *s, unsigned core, struct probe_point *p);

#endif
