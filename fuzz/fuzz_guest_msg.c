/* Fuzzes guest messages: pages as the hypervisor may make them, and sealed messages as a hostile
 * guest may. What the mailbox refuses leaves no trace; what it answers opens under the VMPCK. */
#include "rig.h"

#include "../tests/snp_guest_rig.h"

static struct guest_rig rig;

static void offer(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    out[0] = out[1] = out[2] = out[3] = leaf ^ subleaf;
}

static void start(void)
{
    static const struct asp_cores cores = {.cpuid = offer, .tsc_khz = 1000000};
    struct error err;

    if (!rig.asp) {
        MUST(guest_rig_open(&rig, CHIP_TURIN, NULL, &err));
        asp_set_cores(rig.asp, &cores, NULL);
    }
}

/* An agent, a guest of its, an image, and a context in which nothing is. */
static void populate(void)
{
    static const enum snp_guest_state states[] = {SNP_GUEST_RUNNING, SNP_GUEST_RUNNING,
                                                  SNP_GUEST_LAUNCH, SNP_GUEST_INIT};

    for (unsigned i = 0; i < COUNT(states); i++) {
        struct snp_guest *g = guest_rig_guest(&rig, i, states[i]);

        g->imi = i == 2;
        g->has_ma = i == 1 || i == 2;
        if (g->has_ma)
            memcpy(g->report_id_ma, rig.asp->snp->guests[0].report_id, sizeof(g->report_id_ma));
        memset(g->measurement, 0, sizeof(g->measurement));
    }
    rig.asp->snp->guest_count = COUNT(states);
}

/* The VCEK is kept once it was needed: that is no trace. */
static bool unchanged(const struct snp *was)
{
    struct snp now = *rig.asp->snp;

    now.vcek = was->vcek;
    return equal_bytes(&now, was, sizeof(now));
}

static void raw(struct snp_guest *g, struct cursor *c)
{
    static struct snp was;
    uint8_t page[FRAME_SIZE] = {0}, response[FRAME_SIZE];
    size_t len = MIN(c->left, sizeof(page));

    memcpy(page, cursor_take(c, len), len);
    was = *rig.asp->snp;
    MUST(snp_guest_request(rig.asp, g, page, response) != SEV_SUCCESS);
    MUST(unchanged(&was));
}

/* Type, VMPCK, length in units of 16 bytes, payload. */
static void sealed(struct snp_guest *g, struct cursor *c)
{
    static struct snp was;
    uint8_t type = cursor_u8(c), vmpck = cursor_u8(c) & 3, units = cursor_u8(c);
    uint8_t payload[FRAME_SIZE] = {0}, answer[FRAME_SIZE];
    size_t len = 16 * (size_t)units, have = MIN(len, c->left), answer_len;
    enum sev_status status;

    memcpy(payload, cursor_take(c, have), have);
    if (len > FRAME_SIZE - 0x60)
        return;
    was = *rig.asp->snp;
    MUST(guest_ask(&rig, g, vmpck, type, payload, len, answer, &answer_len, &status));
    if (status != SEV_SUCCESS) {
        MUST(unchanged(&was));
        return;
    }
    if (load32(answer) != SEV_SUCCESS) { /* its content is refused: the counter alone moves */
        MUST(g->used);
        was.guests[g - rig.asp->snp->guests].msg_count[vmpck] += 2;
        MUST(unchanged(&was));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_over(data, size);

    start();
    populate();
    while (c.left) {
        uint8_t pick = cursor_u8(&c);
        struct snp_guest *g = &rig.asp->snp->guests[pick & 3];

        if (!g->used) /* exported */
            continue;
        if (pick & 0x80)
            raw(g, &c);
        else
            sealed(g, &c);
    }
    return 0;
}
