/* Inside the SNP firmware: its platform, a guest's context, and a command on its way through. */
#ifndef LUCCA_SILICON_ASP_SNP_INTERNAL_H
#define LUCCA_SILICON_ASP_SNP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "silicon/asp/internal.h"
#include "silicon/asp/tcb.h"
#include "silicon/asp/vcek.h"
#include "silicon/rmp/rmp.h"
#include "silicon/snp_abi.h"

#define SNP_GUESTS 256u

/* The crystal has no spread spectrum: a guest's clock is what it is said to be (MSG_TSC_INFO and
 * the secrets page). */
#define SNP_TSC_FACTOR 0u

/* A counter that is this far may not be used again (SNP ABI, messages and PAGE_SWAP_OUT). */
#define SNP_COUNTER_END (UINT64_MAX - 1)

/* What a real context page holds, encrypted, stands here; the page's bytes are noise. */
struct snp_guest {
    bool used;
    uint64_t gctx; /* the page */
    enum snp_guest_state state;
    uint32_t asid; /* 0: not activated */
    dram_key key;  /* VEK, from GCTX_CREATE on */

    /* LAUNCH_START */
    uint64_t policy, launch_tcb;
    bool has_ma; /* report_id_ma is the agent's; else all ones */
    bool imi;    /* launched as an image for ABSORB */
    uint8_t report_id[32], report_id_ma[32];
    uint8_t oek[32], vmrk[32], vmpck[SNP_VMPCKS][32];
    uint64_t msg_count[SNP_VMPCKS]; /* sequence number of the last message */
    uint64_t oek_iv;                /* of the last page swapped out */
    uint8_t gosvw[16];
    uint32_t desired_tsc_khz;         /* 0: the host's */
    uint64_t tsc_scale, tsc_offset;   /* 8.32 fixed point */
    uint8_t measurement[48], imd[48]; /* launch digest, digest of IMI pages */
    struct snp_mdata root_mdata;      /* a page swapped out */

    /* LAUNCH_FINISH. Without an ID block it and the digests are zero. */
    bool id_block_en, author_key_en, vcek_dis;
    struct snp_id_block id_block;
    uint8_t id_key_digest[48], author_key_digest[48];
    uint8_t host_data[32];
};

/* On the heap, apart from struct asp. Firmware versions are in a->platform->versions. */
struct snp {
    enum snp_platform_state state;
    bool rmp_ready; /* SNP_INIT with init_rmp was done and still holds */
    bool rapl_dis;
    uint64_t configured_tcb; /* CONFIG's; 0: the committed one */
    uint32_t config;         /* SNP_CONFIG_* */
    bool vlek_loaded;
    uint8_t vlek[VLEK_HASHES][VCEK_HASH_BYTES];
    struct snp_guest guests[SNP_GUESTS];
    unsigned guest_count;
    uint32_t max_asid;     /* the highest for SNP guests */
    struct digest *sha384; /* empty between commands */
};

/* A page that a command names, as the table had it. */
struct snp_operand {
    uint64_t spa;
    bool large;
    struct rmp_entry entry;
    enum rmp_state state;
};

/* As struct call for the legacy commands: check_x leaves here what apply_x needs. */
struct snp_call {
    union {
        struct snp_cmd_init_ex init_ex;
        struct snp_cmd_shutdown_ex shutdown_ex;
        struct snp_cmd_platform_status platform_status;
        struct snp_cmd_config config;
        struct snp_cmd_commit commit;
        struct snp_cmd_download_firmware_ex download;
        struct snp_cmd_vlek_load vlek_load;
        struct snp_cmd_feature_info feature_info;
        struct snp_cmd_gctx gctx;
        struct snp_cmd_activate activate;
        struct snp_cmd_activate_ex activate_ex;
        struct snp_cmd_guest_status guest_status;
        struct snp_cmd_launch_start launch_start;
        struct snp_cmd_launch_update launch_update;
        struct snp_cmd_launch_finish launch_finish;
        struct snp_cmd_guest_request guest_request;
        struct snp_cmd_dbg dbg;
        struct snp_cmd_swap swap;
        struct snp_cmd_page_move page_move;
        struct snp_cmd_page_md_init page_md_init;
        struct snp_cmd_page_set_state page_set_state;
        struct snp_cmd_page page;
        uint8_t bytes[0x40];
    } buf;
    struct snp_guest *guest;    /* that the buffer names */
    struct snp_operand page[2]; /* in the order of the table's columns */

    struct snp_guest fresh; /* what `guest` shall become */
    struct snp_range_list ranges;
    uint8_t *bytes; /* on the heap: a page on its way */
    union {
        uint8_t page[FRAME_SIZE];
        uint8_t vlek[VLEK_HASHES][VCEK_HASH_BYTES];
        struct snp_versions versions;
    } out;
    struct snp_mdata mdata;
    uint32_t asid;
};

/* ---- what guest messages use (snp_guest.c, snp_platform.c) ------------------------------------
 */

/* NULL where the page is no context: INVALID_GUEST. */
struct snp_guest *snp_guest_at(struct asp *a, uint64_t gctx);
/* LAUNCH_FINISH, IMPORT, ABSORB: it may run from now on. */
void snp_guest_launched(struct asp *a, struct snp_guest *g);
/* DECOMMISSION, EXPORT: takes its ASID, wipes it; its page is FIRMWARE. */
void snp_guest_end(struct asp *a, struct snp_guest *g);

uint64_t snp_reported_tcb(const struct asp *a);

/* A request of a RUNNING guest: checks it and answers (snp_msg.c). `response`: the page to be, in
 * which the answer is written. A status other than SUCCESS has changed nothing. */
enum sev_status snp_guest_request(struct asp *a, struct snp_guest *g, const uint8_t *request_page,
                                  uint8_t *response_page) MUST_USE;

#endif
