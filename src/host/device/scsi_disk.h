/* A SCSI disk: the commands that sd drivers need (SPC-4, SBC-3), over any transport. */
#ifndef LUCCA_HOST_DEVICE_SCSI_DISK_H
#define LUCCA_HOST_DEVICE_SCSI_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/device/block.h"

#define SCSI_CDB_MAX 32u
#define SCSI_SENSE   18u /* fixed format */
#define SCSI_SERIAL  20u

#define SCSI_GOOD            0x00
#define SCSI_CHECK_CONDITION 0x02

struct scsi_disk {
    struct block *image;
    char serial[SCSI_SERIAL + 1];
    bool warned; /* of a failing host disk */
};

/* One command on its way. The transport fills the first part; the disk answers in the second. */
struct scsi_cmd {
    uint8_t cdb[SCSI_CDB_MAX];
    uint64_t out_len, in_len; /* room that the initiator gives: data to the disk, and from it */
    size_t (*get)(void *ctx, uint64_t off, void *to, size_t len);
    size_t (*put)(void *ctx, uint64_t off, const void *from, size_t len);
    void *ctx;
    uint8_t *bounce;
    size_t bounce_size; /* at least 4096 */

    uint8_t status;
    uint8_t sense[SCSI_SENSE]; /* with CHECK CONDITION */
    uint64_t moved;            /* bytes of data that went either way */
    bool overrun;              /* the command moves more than the initiator has room for */
};

/* `disk` NULL: there is no such logical unit. REPORT LUNS is the transport's to answer. */
void scsi_execute(struct scsi_disk *disk, struct scsi_cmd *c);

/* For the transport's own answers: `len` bytes of parameter data, cut to the allocation length. */
void scsi_reply(struct scsi_cmd *c, const void *bytes, size_t len, uint32_t allocation);
/* CHECK CONDITION with sense key `key` and additional sense `asc_ascq`. */
void scsi_fail(struct scsi_cmd *c, uint8_t key, uint16_t asc_ascq);

#define SCSI_REPORT_LUNS 0xa0

#endif
