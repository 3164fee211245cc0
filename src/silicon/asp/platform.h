/* A chip's identity: its secret, its id and its persistent store, in memory or on disk.
 *
 * On disk it is a directory, <data>/platforms/<name>/, with <data> = $XDG_DATA_HOME/lucca, or
 * ~/.local/share/lucca where that is not set:
 *
 *     platform.json  format, chip, chip id: for people and scripts
 *     chip.secret    48 bytes, mode 0600: what a real chip has in its fuses
 *     nv.bin         8000h bytes, mode 0600: the persistent store of the secure processor, sealed
 *                    under the secret; absent until the first INIT and after PLATFORM_RESET
 *
 * Files and directories appear whole (written beside, synced, renamed) or not at all.
 */
#ifndef LUCCA_SILICON_ASP_PLATFORM_H
#define LUCCA_SILICON_ASP_PLATFORM_H

#include <limits.h>
#include <stdint.h>

#include "base/status.h"
#include "silicon/asp/identity.h"
#include "silicon/asp/tcb.h"
#include "silicon/chip.h"

struct platform {
    const struct chip *chip;
    char name[65];
    char dir[PATH_MAX]; /* "": in memory alone */
    char created[32];   /* ISO 8601, UTC; "": in memory */
    uint8_t secret[CHIP_SECRET_BYTES];
    uint8_t id[SEV_ID_BYTES];
    uint8_t nv[SEV_NV_BYTES]; /* the store of a chip in memory */
    struct snp_versions versions;
};

/* <data>, or `leaf` in it. */
enum status platform_data_path(char out[PATH_MAX], const char *leaf, struct error *err) MUST_USE;

enum status platform_fresh(const struct chip *chip, struct platform **out,
                           struct error *err) MUST_USE;
/* `where`: a directory when there is a '/' in it, else a name in the data directory. */
enum status platform_create(const char *where, const struct chip *chip, struct platform **out,
                            struct error *err) MUST_USE;
enum status platform_load(const char *where, struct platform **out, struct error *err) MUST_USE;
void platform_free(struct platform *p);

/* Only of what platform_load accepts. */
enum status platform_delete(const char *where, struct error *err) MUST_USE;

/* Every platform of the data directory, in the order of their names; one that cannot be read comes
 * with `p` NULL and the reason. */
typedef void platform_seen_fn(void *ctx, const char *name, const struct platform *p,
                              const struct error *why);
enum status platform_list(platform_seen_fn *seen, void *ctx, struct error *err) MUST_USE;

/* The persistent store; all ones where there is none. Storing NULL erases it. */
enum status platform_nv_load(const struct platform *p, uint8_t area[SEV_NV_BYTES],
                             struct error *err) MUST_USE;
enum status platform_nv_store(struct platform *p, const uint8_t *area, struct error *err) MUST_USE;

/* What firmware the chip has from now on. */
enum status platform_versions_store(struct platform *p, const struct snp_versions *v,
                                    struct error *err) MUST_USE;

#endif
