/* Inside the secure processor: its state, and a command on its way through. */
#ifndef LUCCA_SILICON_ASP_INTERNAL_H
#define LUCCA_SILICON_ASP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "silicon/asp/asp.h"
#include "silicon/asp/identity.h"
#include "silicon/asp/platform.h"
#include "silicon/asp_abi.h"

#define ASP_GUESTS 1024u /* handles are 1 to this */
#define ASP_ASIDS  2048u
#define ASP_CORES  64u
#define ASP_VMSAS  1024u

/* A key slot as the firmware keeps account of it. */
enum asid_state {
    ASID_CLEAN,
    ASID_DIRTY,     /* caches may hold what a guest left: DF_FLUSH cleans */
    ASID_ALLOCATED, /* activated, its guest not yet launched */
    ASID_IN_USE,    /* activated, its guest may run */
};

/* Shared by guests that share a handle's key: an ASID and a state of its own each. */
struct guest {
    enum sev_guest_state state; /* SEV_GUEST_UNINIT: the handle is free */
    uint32_t policy, asid;      /* 0: no ASID */
    dram_key key;               /* VEK */
    uint8_t tek[16], tik[16];
    struct digest *measured; /* until LAUNCH_MEASURE */
    uint8_t launch_digest[32], measure[32];
};

/* How a VMSA of an SEV-ES guest was left. */
struct vmsa_slot {
    uint64_t spa, sum;
    uint32_t handle; /* 0: unused */
    dram_key key;
};

struct asp {
    const struct chip *chip;
    struct dram *dram;
    struct rmp *rmp;
    struct snp *snp; /* snp_internal.h */
    const struct asp_cores *core_ops;
    void *core_ctx;
    unsigned cores;
    struct platform *platform;

    uint32_t cmdresp, cmdbuf_lo, cmdbuf_hi;

    enum sev_platform_state state;
    struct identity identity; /* from INIT to SHUTDOWN */
    uint64_t nv_paddr;        /* the store that INIT_EX named; 0: the chip's own */
    uint64_t tmr;             /* INIT for SEV-ES guests: the region that it named; 0: without */
    struct vmsa_slot vmsas[ASP_VMSAS];
    struct guest guests[ASP_GUESTS];
    unsigned guest_count;
    enum asid_state asids[ASP_ASIDS];
    uint64_t wbinvd_done; /* cores, since the last DEACTIVATE or INIT */
};

/* A command between its checks and its deed. Everything that can fail, memory and random numbers
 * included, happens in check_x, which leaves its results here. */
struct call {
    union {
        struct sev_cmd_init init;
        struct sev_cmd_init_ex init_ex;
        struct sev_cmd_platform_status platform_status;
        struct sev_cmd_buffer buffer;
        struct sev_cmd_pek_cert_import pek_cert_import;
        struct sev_cmd_pdh_cert_export pdh_cert_export;
        struct sev_cmd_handle handle;
        struct sev_cmd_activate activate;
        struct sev_cmd_guest_status guest_status;
        struct sev_cmd_launch_start launch_start;
        struct sev_cmd_guest_buffer guest_buffer;
        struct sev_cmd_launch_secret launch_secret;
        struct sev_cmd_attestation attestation;
        struct sev_cmd_dbg dbg;
    } buf;
    struct guest *guest; /* that the buffer names */

    struct vmsa_slot *vmsa;   /* LAUNCH_UPDATE_VMSA */
    struct guest fresh;       /* LAUNCH_START: what `guest` shall become */
    struct identity identity; /* INIT and those that make keys: the next one */
    bool store_identity;      /* ..and it shall be stored, at nv_paddr, before apply_x */
    uint64_t nv_paddr, tmr;
    union {
        struct sev_measurement measurement;
        struct sev_report report;
        uint8_t secret[SEV_SECRET_MAX];
    } out;
};

/* Ends a check that libcrypto or the machine under us failed. */
#define SEV_OUT_OF_ORDER SEV_HWERROR_PLATFORM

/* ---- helpers of the commands (asp.c) --------------------------------------------------------- */

/* Is it in DRAM? Nothing else can be read or written by the secure processor. */
bool asp_reaches(const struct asp *a, uint64_t spa, uint64_t len);
/* May the legacy commands write there? Under the reverse map table what they answer goes to pages
 * of the firmware, and guests without SNP have pages that are assigned to nobody. */
enum sev_status asp_check_output(const struct asp *a, uint64_t spa, uint64_t len) MUST_USE;
enum sev_status asp_check_guest_memory(const struct asp *a, uint64_t spa, uint64_t len) MUST_USE;
/* Of addresses that asp_reaches: as the host sees them. */
void asp_get(struct asp *a, uint64_t spa, void *to, size_t len);
void asp_put(struct asp *a, uint64_t spa, const void *from, size_t len);
/* As a guest with that key sees them. */
void asp_put_private(struct asp *a, uint64_t spa, dram_key key, const void *from, size_t len);
/* Reads `len` bytes at `from` under one key, writes them at `to` under another; `fed`, unless NULL,
 * hears of them on the way. */
void asp_copy(struct asp *a, uint64_t to, dram_key to_key, uint64_t from, dram_key from_key,
              uint64_t len, struct digest *fed);

const char *asp_status_name(enum sev_status status);

uint32_t asp_handle_of(const struct asp *a, const struct guest *g);
struct guest *asp_guest(struct asp *a, uint32_t handle); /* NULL: no such guest */
/* Takes its ASID, wipes it; its key dies with the last guest that has it. */
void asp_guest_end(struct asp *a, struct guest *g);
void asp_unbind(struct asp *a, struct guest *g);

/* ---- checksums of VMSAs (tmr.c) -------------------------------------------------------------- */

/* That of the page, or an unused one; NULL: all are in use. */
struct vmsa_slot *asp_vmsa_slot(struct asp *a, uint64_t spa, dram_key key);
/* LAUNCH_UPDATE_VMSA: notes where the slot is in the VMSA, and how the page is now. */
void asp_vmsa_begin(struct asp *a, struct vmsa_slot *s, uint32_t handle, uint64_t spa, dram_key key,
                    struct vmsa *v);
void asp_vmsa_forget(struct asp *a, uint32_t handle);

/* ---- the commands ---------------------------------------------------------------------------- */

#define CMD(name, ...)                                                                             \
    enum sev_status asp_check_##name(struct asp *a, struct call *c);                               \
    void asp_apply_##name(struct asp *a, struct call *c);
#include "silicon/asp/commands.def"
#undef CMD

#endif
