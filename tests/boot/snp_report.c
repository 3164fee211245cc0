/* A report from a kept chip, as a guest would get it, without a machine around:
 *
 *     snp_report PLATFORM FILE [VLEK]
 *
 * VLEK: what VLEK_LOAD takes; the report is then signed by that key. */
#include "snp_guest_rig.h"

#include <stdio.h>
#include <stdlib.h>

static int failed(const char *why)
{
    fprintf(stderr, "snp_report: %s\n", why);
    return 1;
}

static bool load_vlek(struct asp *a, const char *path)
{
    uint8_t hash[VCEK_HASH_BYTES];
    struct snp_vlek v;
    FILE *f = fopen(path, "rb");
    bool ok = f && fread(&v, 1, sizeof(v), f) == sizeof(v) && fgetc(f) == EOF &&
              vcek_hash(a->platform->secret, snp_reported_tcb(a), hash) &&
              vlek_unwrap(hash, snp_reported_tcb(a), &v, a->snp->vlek) == VLEK_GOOD;

    if (f)
        fclose(f);
    a->snp->vlek_loaded = ok;
    return ok;
}

static bool write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, len, f) == len;

    return f && fclose(f) == 0 && ok;
}

int main(int argc, char **argv)
{
    uint8_t req[0x60], answer[FRAME_SIZE];
    struct platform *p;
    struct guest_rig rig;
    struct snp_guest *g;
    struct error err;
    enum sev_status status;
    enum chip_id chip;
    size_t len;

    if (argc < 3)
        return failed("usage: snp_report PLATFORM FILE [VLEK]");
    if (platform_load(argv[1], &p, &err) != OK)
        return failed(err.text);
    chip = p->chip->id;
    platform_free(p);
    if (!guest_rig_open(&rig, chip, argv[1], &err))
        return failed("no rig");
    if (argc > 3 && !load_vlek(rig.asp, argv[3]))
        return failed("that VLEK cannot be loaded");
    g = guest_rig_guest(&rig, 0, SNP_GUEST_RUNNING);
    memset(req, 0, sizeof(req));
    memset(req, 0x23, 64); /* REPORT_DATA */
    if (!guest_ask(&rig, g, 0, SNP_MSG_REPORT, req, sizeof(req), answer, &len, &status) ||
        status != SEV_SUCCESS || load32(answer) != SEV_SUCCESS || len != 0x4C0)
        return failed("no report");
    if (!write_file(argv[2], answer + 0x20, 0x4A0))
        return failed("cannot write the report");
    guest_rig_close(&rig);
    return 0;
}
