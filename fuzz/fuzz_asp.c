/* Fuzzes the secure processor: the input writes DRAM and the mailbox. A refused command leaves
 * memory as it was, but for the lengths it asks for and the store that INIT_EX found spoilt and
 * made anew. */
#include "rig.h"

#include "silicon/asp/asp.h"
#include "silicon/asp_abi.h"

#define DRAM_BYTES (32u * FRAME_SIZE)
#define AT_CMD     0x1000u

static struct dram *dram;
static struct rmp *rmp;
static struct asp *asp;
static uint8_t before[DRAM_BYTES], after[DRAM_BYTES];

/* What SEV_CMD_ names, so that most steps hit a command. */
static const uint8_t known[] = {
#define X(name, id) id,
    SEV_COMMANDS(X)
#undef X
};

static uint32_t command(uint32_t cmd, uint64_t buffer)
{
    uint32_t response;

    asp_write_reg(asp, ASP_CMDBUF_LO, (uint32_t)buffer);
    asp_write_reg(asp, ASP_CMDBUF_HI, (uint32_t)(buffer >> 32));
    asp_write_reg(asp, ASP_CMDRESP, cmd << 16);
    response = asp_read_reg(asp, ASP_CMDRESP);
    MUST(response & ASP_RESP_READY);
    return response & 0xFFFF;
}

static void start(void)
{
    struct error err;

    if (asp)
        return;
    MUST(dram_new(DRAM_BYTES, false, &dram, &err) == OK);
    MUST(rmp_new(dram, &rmp, &err) == OK);
    MUST(asp_new(chip_by_id(CHIP_GENOA), dram, rmp, 2, NULL, &asp, &err) == OK);
}

static void snapshot(uint8_t *to)
{
    MUST(dram_read(dram, 0, DRAM_PLAIN, to, DRAM_BYTES));
}

/* A step is a command, how many bytes of a buffer follow, and those. An address in the buffer is
 * the input's own business: with 32 frames small numbers often hit memory. */
static void step(struct cursor *c)
{
    uint8_t pick = cursor_u8(c), n = cursor_u8(c), what = pick >> 6;
    uint32_t status;

    if (what == 3) { /* memory */
        uint32_t at = cursor_u16(c) * 2u % DRAM_BYTES;
        size_t len = MIN(MIN((size_t)n * 8, c->left), DRAM_BYTES - at);

        MUST(dram_write(dram, at, DRAM_PLAIN, cursor_take(c, len), len));
        return;
    }
    if (what == 2) {
        asp_note_wbinvd(asp, 0);
        asp_note_wbinvd(asp, n & 1);
        return;
    }
    n = (uint8_t)MIN(n, c->left);
    MUST(dram_write(dram, AT_CMD, DRAM_PLAIN, cursor_take(c, n), n));
    snapshot(before);
    status = command(what ? pick : known[pick % COUNT(known)], AT_CMD);
    snapshot(after);
    if (status != SEV_SUCCESS && status != SEV_INVALID_LENGTH && status != SEV_SECURE_DATA_INVALID)
        MUST(!memcmp(before, after, sizeof(before)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t zeros[DRAM_BYTES];
    struct cursor c = cursor_over(data, size);

    start();
    (void)command(SEV_CMD_SHUTDOWN, 0);
    (void)command(SEV_CMD_PLATFORM_RESET, 0);
    MUST(dram_write(dram, 0, DRAM_PLAIN, zeros, sizeof(zeros)));
    for (unsigned steps = 0; c.left >= 2 && steps < 48; steps++)
        step(&c);
    return 0;
}
