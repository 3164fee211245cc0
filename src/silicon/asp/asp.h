/* The AMD Secure Processor, as the rest of the package sees it.
 *
 * A hypervisor sees its mailbox: three registers, a command buffer in DRAM (asp_abi.h). Memory
 * controllers get their keys from it, and a core asks it before it runs a guest with a key.
 */
#ifndef LUCCA_SILICON_ASP_H
#define LUCCA_SILICON_ASP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/chip.h"
#include "silicon/dram/dram.h"
#include "silicon/rmp/rmp.h"

struct asp;

/* `cores`: whose caches DF_FLUSH waits for. `platform`: name or directory of a chip identity
 * (platform.h) that must be of the same `chip`; NULL: a fresh one, not kept. */
enum status asp_new(const struct chip *chip, struct dram *dram, struct rmp *rmp, unsigned cores,
                    const char *platform, struct asp **out, struct error *err) MUST_USE;
void asp_free(struct asp *a);

/* C2PMSG by index. A write to ASP_CMDRESP runs the command to its end. Unknown registers read 0. */
uint32_t asp_read_reg(const struct asp *a, uint32_t reg);
void asp_write_reg(struct asp *a, uint32_t reg, uint32_t value);

/* What the SNP firmware asks of the cores: their MSRs before SNP_INIT, and what CPUID they offer,
 * which no CPUID page may exceed. Without it there is no SNP_INIT. */
struct asp_cores {
    bool (*rdmsr)(void *ctx, unsigned core, uint32_t msr, uint64_t *value);
    void (*cpuid)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    uint32_t tsc_khz;
};
void asp_set_cores(struct asp *a, const struct asp_cores *cores, void *ctx);

/* Core `core` has executed WBINVD. */
void asp_note_wbinvd(struct asp *a, unsigned core);

/* May a core run a SEV guest under this ASID: does it belong to a guest that has been launched?
 * `key`: the guest's. */
bool asp_vmrun_asid(const struct asp *a, uint32_t asid, dram_key *key) MUST_USE;

/* The VMSA of an SEV-ES guest, at `spa` under the guest's key: is it as asp_vmsa_seal, or its
 * launch, left it? Changes through the hypervisor show. */
struct vmsa;
bool asp_vmsa_intact(struct asp *a, uint64_t spa, dram_key key, const struct vmsa *v) MUST_USE;
void asp_vmsa_seal(struct asp *a, uint64_t spa, dram_key key, const struct vmsa *v);

#endif
