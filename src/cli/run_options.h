/* What `lucca run` can be told: one table that the command line, the JSON files and --help share.
 */
#ifndef LUCCA_CLI_RUN_OPTIONS_H
#define LUCCA_CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "host/device/virtio_devices.h"
#include "host/vm/vm.h"
#include "silicon/soc.h"

#define RUN_MAX_VMS 32

enum tristate { UNSAID, NO, YES };

/* A guest as described; strings are its own. */
struct guest {
    char *name, *kernel, *initrd, *append, *dh_cert, *session, *launch_image, *qmp, *gdb, *console;
    char *id_block, *id_auth, *certs, *boot_stub;
    char *serial[VM_SERIALS]; /* as given: "stdio", "file:PATH", "none" */
    unsigned serials;
    enum sev_level sev;
    uint64_t memory;
    unsigned cpus;
    uint64_t policy; /* as given, or what fits `sev` */
    bool policy_given;
    uint8_t host_data[32];
    bool host_data_given;
    unsigned vmpl, request_rate;
    struct drive_config *drives;
    size_t drive_count;
    struct net_config net;
    bool debug_exit, testdev, paused, no_reboot;
};

/* The whole run: the host and its guests. */
struct run {
    const struct chip *chip;
    uint64_t host_memory; /* 0: what the guests need */
    bool dram_eager;
    enum tristate virtual_clock;
    char *platform;
    bool stats;
    bool listed; /* an option only had to list something */

    struct guest base; /* from the command line: what each configuration starts from */
    struct guest guest[RUN_MAX_VMS];
    unsigned guests;
};

/* Fills `r` from the arguments after "run". `*help`: --help was asked for, nothing else is done. */
enum status run_parse(int argc, char **argv, struct run *r, bool *help, struct error *err) MUST_USE;
void run_free(struct run *r);
void run_help(void);

/* One option by name, as the command line and JSON give it; `value` "" for a flag. */
enum status run_set(struct run *r, struct guest *g, const char *name, const char *value,
                    struct error *err) MUST_USE;
bool run_option_known(const char *name, bool *flag, bool *list);

/* run_config.c: the keys of a JSON object are option names. */
enum status run_config(struct run *r, struct guest *g, const char *path,
                       struct error *err) MUST_USE;

enum status guest_copy(struct guest *to, const struct guest *from, struct error *err) MUST_USE;
void guest_free(struct guest *g);

#endif
