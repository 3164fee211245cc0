/* The reverse map table (APM2 15.36.3): who owns each 4 KiB page of DRAM, at which guest-physical
 * address, and what each VMPL may do with it.
 *
 * The table is in DRAM between RMP_BASE and RMP_END, under the host's key: 16 KiB of bookkeeping,
 * then 16 bytes a page. Here it is read, changed and asked; the MMU decides when to ask (walk.c),
 * and the secure processor moves pages between the states that only it may change.
 */
#ifndef LUCCA_SILICON_RMP_H
#define LUCCA_SILICON_RMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/dram/dram.h"

struct rmp;

struct rmp_entry {
    bool assigned, validated, immutable, vmsa;
    bool large; /* the entry speaks for 2 MiB */
    uint16_t asid;
    uint64_t gpa;
    uint8_t perms[4]; /* by VMPL: VMPL_* */
};

/* Permission bits of a VMPL (APM2 15.36.7). */
#define VMPL_READ           0x01u
#define VMPL_WRITE          0x02u
#define VMPL_EXECUTE_USER   0x04u
#define VMPL_EXECUTE_SYSTEM 0x08u
#define VMPL_ALL            0x0Fu

/* Page states as AMD's SNP firmware ABI names them (SNP ABI, "Page states"). */
enum rmp_state {
    RMP_DEFAULT, /* the table does not cover the page */
    RMP_HYPERVISOR,
    RMP_HV_FIXED,
    RMP_RECLAIM,
    RMP_FIRMWARE,
    RMP_CONTEXT,
    RMP_METADATA,
    RMP_PRE_GUEST,
    RMP_PRE_SWAP,
    RMP_GUEST_INVALID,
    RMP_GUEST_VALID,
};

enum status rmp_new(struct dram *dram, struct rmp **out, struct error *err) MUST_USE;
void rmp_free(struct rmp *r);

/* MSRs C001_0132 and C001_0133 (inclusive), and SYSCFG.SecureNestedPagingEn. */
void rmp_set_bounds(struct rmp *r, uint64_t base, uint64_t end);
void rmp_bounds(const struct rmp *r, uint64_t *base, uint64_t *end);
void rmp_enable(struct rmp *r, bool on);
bool rmp_enabled(const struct rmp *r);
/* Checks are in force: SecureNestedPagingEn is set and the firmware has initialised the table. */
bool rmp_enforced(const struct rmp *r);
/* SNP_INIT: zeroes the table (every covered page HYPERVISOR), makes the table's own pages FIRMWARE,
 * and puts the checks in force. False when the bounds make no table (SNP ABI, SNP_INIT). */
bool rmp_init_table(struct rmp *r) MUST_USE;
/* After SNP_SHUTDOWN_EX with x86_snp_shutdown: no checks any more. */
void rmp_release(struct rmp *r);

bool rmp_covers(const struct rmp *r, uint64_t spa);
/* The entry that speaks for the page, a 2 MiB one included (its gpa is then that of the 4 KiB page
 * asked for). A page that is not covered reads as hypervisor-owned. */
struct rmp_entry rmp_get(const struct rmp *r, uint64_t spa);
enum rmp_state rmp_state(const struct rmp *r, uint64_t spa);
enum rmp_state rmp_state_of(const struct rmp_entry *e);
/* Firmware and instructions: replaces the entry at `spa` (2 MiB aligned and its 511 fellows too
 * where `e->large`), and tells the watcher. */
void rmp_put(struct rmp *r, uint64_t spa, const struct rmp_entry *e);

/* The host may write `len` bytes at `spa`: no page of them is assigned. Always true when the checks
 * are not in force. Cheap. */
bool rmp_host_may_write(const struct rmp *r, uint64_t spa, uint64_t len);

/* No page of the 2 MiB around `spa` is assigned, or none is covered. */
bool rmp_free_2m(const struct rmp *r, uint64_t spa);

/* Somebody keeps a translation of the page, which rests on its entry: the watcher hears of the page
 * (2 MiB: `large`) once, when the entry takes away what it allowed. RMP_EVERY_PAGE: the checks come
 * into force, and no translation is known to rest on anything. */
typedef void rmp_watch_fn(void *ctx, uint64_t spa, bool large);
void rmp_watch(struct rmp *r, rmp_watch_fn *fn, void *ctx);
void rmp_hold(struct rmp *r, uint64_t spa);
#define RMP_EVERY_PAGE UINT64_MAX

/* ---- instructions' codes (APM3, RMPUPDATE and its kin) ----------------------------------------
 */
enum rmp_code {
    RMP_SUCCESS = 0,
    RMP_FAIL_INPUT = 1,
    RMP_FAIL_PERMISSION = 2,
    RMP_FAIL_INUSE = 3,
    RMP_FAIL_OVERLAP = 4,
    RMP_FAIL_SIZEMISMATCH = 6,
    RMP_FAIL_BADADDR = 7,
};

/* The 16-byte operand of RMPUPDATE and RMPREAD is struct rmp_update in silicon/soc.h. */
enum rmp_code rmp_update(struct rmp *r, uint64_t spa, uint64_t gpa, bool assigned, bool large,
                         bool immutable, uint32_t asid);
enum rmp_code rmp_psmash(struct rmp *r, uint64_t spa);

#endif
