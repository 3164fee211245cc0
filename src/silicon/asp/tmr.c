/* What the trusted memory region is for: a checksum of each VMSA of an SEV-ES guest, out of the
 * hypervisor's reach (SEV API, INIT; APM2 15.35.8). LAUNCH_UPDATE_VMSA begins it, #VMEXIT renews
 * it, VMRUN compares.
 *
 * The region is the host's DRAM on hardware, closed to the host. Here the checksums stand inside
 * the processor, and the region only gives the slots their addresses.
 */
#include "silicon/asp/internal.h"

#include "base/bytes.h"
#include "silicon/vmsa.h"

#define CHECKED_BYTES 0xFC0u
static_assert(CHECKED_BYTES % 64 == 0, "four lanes of two words");

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t absorb(uint64_t lane, const uint8_t *p)
{
    return fold(load64(p) ^ lane, load64(p + 8) ^ UINT64_C(0xC2B2AE3D27D4EB4F));
}

/* Not the firmware's CRC: nobody but the chip sees the sum, and this one is quicker. */
static uint64_t checksum(const struct vmsa *v)
{
    uint64_t a = UINT64_C(0x9E3779B97F4A7C15), b = 2, c = 3, d = 4;
    const uint8_t *p = (const uint8_t *)v;

    for (const uint8_t *end = p + CHECKED_BYTES; p < end; p += 64) {
        a = absorb(a, p);
        b = absorb(b, p + 16);
        c = absorb(c, p + 32);
        d = absorb(d, p + 48);
    }
    return fold(a ^ b << 1 ^ UINT64_C(0x165667B19E3779F9),
                c ^ d << 1 ^ UINT64_C(0x27D4EB2F165667C5));
}

/* The slot whose address stands in the VMSA, if it is this page's. */
static struct vmsa_slot *slot_of(struct asp *a, uint64_t spa, dram_key key, const struct vmsa *v)
{
    uint64_t i = (v->integrity_slot - a->tmr) / sizeof(uint64_t);
    struct vmsa_slot *s = i < ASP_VMSAS ? &a->vmsas[i] : NULL;

    return s && s->handle && s->spa == spa && s->key == key ? s : NULL;
}

bool asp_vmsa_intact(struct asp *a, uint64_t spa, dram_key key, const struct vmsa *v)
{
    const struct vmsa_slot *s = slot_of(a, spa, key, v);

    return s && s->sum == checksum(v);
}

void asp_vmsa_seal(struct asp *a, uint64_t spa, dram_key key, const struct vmsa *v)
{
    struct vmsa_slot *s = slot_of(a, spa, key, v);

    if (s)
        s->sum = checksum(v);
}

struct vmsa_slot *asp_vmsa_slot(struct asp *a, uint64_t spa, dram_key key)
{
    struct vmsa_slot *unused = NULL;

    for (unsigned i = 0; i < ASP_VMSAS; i++) {
        struct vmsa_slot *s = &a->vmsas[i];

        if (s->handle && s->spa == spa && s->key == key)
            return s;
        if (!s->handle && !unused)
            unused = s;
    }
    return unused;
}

void asp_vmsa_begin(struct asp *a, struct vmsa_slot *s, uint32_t handle, uint64_t spa, dram_key key,
                    struct vmsa *v)
{
    *s = (struct vmsa_slot){.handle = handle, .spa = spa, .key = key};
    v->integrity = 0;
    v->integrity_slot = a->tmr + (uint64_t)(s - a->vmsas) * sizeof(uint64_t);
    s->sum = checksum(v);
}

void asp_vmsa_forget(struct asp *a, uint32_t handle)
{
    for (unsigned i = 0; i < ASP_VMSAS; i++)
        if (a->vmsas[i].handle == handle)
            a->vmsas[i] = (struct vmsa_slot){0};
}
