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

/* The VCEK that was derived last (snp_keys.c). */
struct snp_vcek {
    bool known;
    uint64_t tcb; /* that it is for */
    uint8_t hash[VCEK_HASH_BYTES];
    struct p384_key key;
};

/* On the heap, apart from struct asp. Firmware versions are in a->platform->versions. */
struct snp {
    enum snp_platform_state state;
    bool rmp_ready; /* SNP_INIT with init_rmp was done and still holds */
    bool rmp_stale; /* ..for another TCB: SNP_INIT_EX must do it again */
    bool rapl_dis;
    uint64_t configured_tcb; /* CONFIG's; 0: the committed one */
    uint32_t config;         /* SNP_CONFIG_* */
    bool vlek_loaded;
    uint8_t vlek[VLEK_HASHES][VCEK_HASH_BYTES];
    struct snp_vcek vcek;
    struct snp_guest guests[SNP_GUESTS];
    unsigned guest_count;
    uint32_t max_asid;     /* the highest for SNP guests */
    struct digest *sha384; /* empty between commands */
};

enum snp_size { SNP_S4K, SNP_S2M_OR_4K, SNP_S2M, SNP_SANY };
#define SNP_LARGE UINT64_C(0x200000)

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
        struct snp_no_buffer {
        } none;
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
    bool secret;            /* `out` holds something that must not stay in memory */
    uint8_t *bytes;         /* on the heap: `len` bytes of pages on their way */
    size_t len;
    union {
        uint8_t page[FRAME_SIZE];
        struct snp_range_list ranges;
        uint8_t vlek[VLEK_HASHES][VCEK_HASH_BYTES];
        struct snp_versions versions;
    } out;
    struct snp_mdata mdata;
    uint64_t before_tcb; /* COMMIT: the reported one */
};

/* ---- helpers of the commands (snp.c) ----------------------------------------------------------
 */

/* SNP command `id`, if it is one; *status: what came of it. */
bool snp_run(struct asp *a, uint32_t id, uint64_t spa, enum sev_status *status);
enum status snp_new(struct asp *a, struct error *err) MUST_USE;
void snp_free(struct asp *a);

/* DEFAULT as long as the table is not in force. */
enum rmp_state snp_page_state(const struct asp *a, uint64_t spa);
/* `len` bytes are DRAM, and none of them the table's. */
bool snp_may_touch(const struct asp *a, uint64_t spa, uint64_t len);
/* All pages of the range are in one of these states: bits 1 << enum rmp_state. */
bool snp_pages_are(const struct asp *a, uint64_t spa, uint64_t len, unsigned states);
/* A legacy command's buffer that is to be written back must be the firmware's; and is to be
 * reclaimed after it (SNP ABI, "Command buffers"). */
bool snp_buffer_is_free(const struct asp *a, uint64_t spa, size_t len);
void snp_buffer_spent(struct asp *a, uint64_t spa, size_t len);
/* A page that a command names; `states` as above. */
enum sev_status snp_operand(const struct asp *a, uint64_t spa, enum snp_size size, unsigned states,
                            struct snp_operand *p) MUST_USE;
/* Of states that have an ASID: are they the guest's? */
enum sev_status snp_owned(const struct snp_operand *p, const struct snp_guest *g) MUST_USE;
/* Where `len` bytes are written, inside one page. */
enum sev_status snp_output(const struct asp *a, uint64_t spa, size_t len) MUST_USE;
/* The page's new state, of those without an ASID. `gctx`: METADATA's guest. */
void snp_put_state(struct asp *a, const struct snp_operand *p, enum rmp_state state, uint64_t gctx);
bool snp_is_metadata_of(const struct rmp_entry *e, uint64_t gctx);

/* ABI 1.56 or later: what this header marks as such is there. */
bool snp_is_recent(const struct asp *a);

/* SHA-384 of one piece. */
bool snp_sha384(struct asp *a, const void *bytes, size_t len, uint8_t out[48]) MUST_USE;

/* Cuts down what claims more than the chip offers; true where there was something to cut
 * (snp_cpuid.c). */
bool snp_cpuid_correct(struct asp *a, struct snp_cpuid_entry *entries, unsigned count);

/* INIT_EX and PAGE_SET_STATE. */
enum sev_status snp_get_ranges(struct asp *a, uint64_t spa, struct snp_range_list *list) MUST_USE;

/* ---- what guest messages use (snp_guest.c, snp_platform.c) ------------------------------------
 */

/* NULL where the page is no context: INVALID_GUEST. */
struct snp_guest *snp_guest_at(struct asp *a, uint64_t gctx);
/* LAUNCH_FINISH, IMPORT, ABSORB: it may run from now on. */
void snp_guest_launched(struct asp *a, struct snp_guest *g);
/* DECOMMISSION, EXPORT: takes its ASID, wipes it; its page is FIRMWARE. */
void snp_guest_end(struct asp *a, struct snp_guest *g);

/* As snp_guest_end, but the table is left alone. */
void snp_guest_forget(struct asp *a, struct snp_guest *g);

uint64_t snp_reported_tcb(const struct asp *a);
/* A guest's clock: 0 kHz is the host's. False: the scale has no room for it (snp_launch.c). */
bool snp_set_clock(const struct asp *a, uint32_t khz, struct snp_guest *g) MUST_USE;

/* A request of a RUNNING guest: checks it and answers (snp_msg.c). `response`: the page to be, in
 * which the answer is written. A status other than SUCCESS has changed nothing. */
enum sev_status snp_guest_request(struct asp *a, struct snp_guest *g, const uint8_t *request_page,
                                  uint8_t *response_page) MUST_USE;

/* ---- the commands ----------------------------------------------------------------------------
 */

#define CMD(name, ...)                                                                             \
    enum sev_status snp_check_##name(struct asp *a, struct snp_call *c);                           \
    void snp_apply_##name(struct asp *a, struct snp_call *c);
#include "silicon/asp/snp_commands.def"
#undef CMD
enum sev_status snp_form_LAUNCH_UPDATE(struct asp *a, struct snp_call *c);

#endif
