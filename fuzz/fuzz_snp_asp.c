/* Fuzzes the SNP firmware: the input writes DRAM as a host may, gives pages away by RMPUPDATE, and
 * writes the mailbox. A refused command leaves memory and the table as they were, but for the
 * CPUID page that it corrected. */
#include "rig.h"

#include "silicon/asp/asp.h"
#include "silicon/asp_abi.h"
#include "silicon/rmp/rmp.h"
#include "silicon/snp_abi.h"

#define MIB        UINT64_C(0x100000)
#define DRAM_BYTES (6 * MIB)
#define AT_RMP     (5 * MIB)
#define AT_LARGE   (2 * MIB)
#define PAGES      64u /* at 0: what addresses in inputs name */
#define AT_CMD     0x1000u
/* The table's entries of the first 4 MiB. */
#define ENTRIES (1024u * 16u)
#define SAMPLE  (PAGES * FRAME_SIZE)

static struct dram *dram;
static struct rmp *rmp;
static struct asp *asp;
static struct snapshot {
    uint8_t memory[SAMPLE], large[FRAME_SIZE], entries[ENTRIES];
} before, after;

static const uint8_t known[] = {
#define X(name, id) id,
    SNP_COMMANDS(X)
#undef X
        SEV_CMD_INIT,
    SEV_CMD_SHUTDOWN,
    SEV_CMD_PLATFORM_STATUS,
    SEV_CMD_LAUNCH_START,
    SEV_CMD_ACTIVATE,
    SEV_CMD_LAUNCH_UPDATE_DATA,
    SEV_CMD_DBG_ENCRYPT,
    SEV_CMD_GET_ID,
};

static bool core_rdmsr(void *ctx, unsigned core, uint32_t msr, uint64_t *value)
{
    *value = msr == 0xC0010010   ? BIT(19) | BIT(23) | BIT(24) | BIT(25)
             : msr == 0xC0010015 ? 1
             : msr == 0xC0010132 ? AT_RMP
             : msr == 0xC0010133 ? DRAM_BYTES - 1
                                 : 0;
    return true;
}

static void core_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = leaf == 0x8000001E ? 0 : 0x0F0F0F0F;
}

static uint32_t command(uint32_t cmd, uint64_t buffer)
{
    asp_write_reg(asp, ASP_CMDBUF_LO, (uint32_t)buffer);
    asp_write_reg(asp, ASP_CMDBUF_HI, (uint32_t)(buffer >> 32));
    asp_write_reg(asp, ASP_CMDRESP, cmd << 16);
    MUST(asp_read_reg(asp, ASP_CMDRESP) & ASP_RESP_READY);
    return asp_read_reg(asp, ASP_CMDRESP) & 0xFFFF;
}

static void flush(void)
{
    asp_note_wbinvd(asp, 0);
    asp_note_wbinvd(asp, 1);
    MUST(command(SNP_CMD_DF_FLUSH, 0) == SEV_SUCCESS);
}

static void start(void)
{
    static const struct asp_cores cores = {core_rdmsr, core_cpuid, 1000000};
    struct error err;

    MUST(dram_new(DRAM_BYTES, false, &dram, &err) == OK);
    MUST(rmp_new(dram, &rmp, &err) == OK);
    MUST(asp_new(chip_by_id(CHIP_TURIN), dram, rmp, 2, NULL, &asp, &err) == OK);
    asp_set_cores(asp, &cores, NULL);
    rmp_set_bounds(rmp, AT_RMP, DRAM_BYTES - 1);
}

/* Back to a platform that has just been initialised. */
static void reset(void)
{
    static const uint8_t zeros[SAMPLE];
    struct snp_cmd_shutdown_ex off = {sizeof(off), SNP_SHUTDOWN_IOMMU | SNP_SHUTDOWN_X86};
    struct snp_cmd_config config = {0};

    (void)command(SEV_CMD_SHUTDOWN, 0);
    for (uint64_t spa = 0; spa < AT_RMP; spa += FRAME_SIZE)
        if (rmp_state(rmp, spa) == RMP_CONTEXT) {
            MUST(dram_write(dram, AT_CMD, DRAM_PLAIN, &spa, sizeof(spa)));
            (void)command(SNP_CMD_DECOMMISSION, AT_CMD);
        }
    flush();
    MUST(dram_write(dram, AT_CMD, DRAM_PLAIN, &off, sizeof(off)));
    MUST(command(SNP_CMD_SHUTDOWN_EX, AT_CMD) == SEV_SUCCESS);
    MUST(dram_write(dram, AT_CMD, DRAM_PLAIN, &config, sizeof(config)));
    MUST(command(SNP_CMD_CONFIG, AT_CMD) == SEV_SUCCESS);
    MUST(dram_write(dram, 0, DRAM_PLAIN, zeros, sizeof(zeros)));
    rmp_enable(rmp, true);
    MUST(command(SNP_CMD_INIT, 0) == SEV_SUCCESS);
    flush();
}

static void look(struct snapshot *s)
{
    MUST(dram_read(dram, 0, DRAM_PLAIN, s->memory, sizeof(s->memory)));
    MUST(dram_read(dram, AT_LARGE, DRAM_PLAIN, s->large, sizeof(s->large)));
    MUST(dram_read(dram, AT_RMP + 0x4000, DRAM_PLAIN, s->entries, sizeof(s->entries)));
}

/* Exactly what a host's store may do. */
static void host_write(uint64_t at, const uint8_t *from, size_t len)
{
    if (len && rmp_host_may_write(rmp, at, len))
        MUST(dram_write(dram, at, DRAM_PLAIN, from, len));
}

static void do_command(struct cursor *c, uint8_t pick)
{
    uint8_t n = cursor_u8(c), cmd = known[pick % COUNT(known)];
    uint32_t status;

    n = (uint8_t)MIN(n, c->left);
    host_write(AT_CMD, cursor_take(c, n), n);
    look(&before);
    status = command(cmd, AT_CMD);
    look(&after);
    if (status == SEV_SUCCESS || status == SEV_INVALID_LENGTH || status == SEV_SECURE_DATA_INVALID)
        return;
    MUST(!memcmp(before.entries, after.entries, sizeof(before.entries)));
    if (cmd != SNP_CMD_LAUNCH_UPDATE || status != SEV_INVALID_PARAM)
        MUST(!memcmp(&before, &after, sizeof(before)));
}

/* A page, or 2 MiB, its state, ASID and guest frame. */
static void do_rmpupdate(struct cursor *c, uint8_t pick)
{
    uint8_t page = cursor_u8(c), gpa = cursor_u8(c), asid = pick & 3;
    bool large = page >= 128;

    (void)rmp_update(rmp, large ? AT_LARGE : (uint64_t)(page % PAGES) << FRAME_SHIFT,
                     asid ? (uint64_t)gpa << (large ? 21 : FRAME_SHIFT) : 0, pick & 4, large,
                     pick & 8, asid);
}

static void step(struct cursor *c)
{
    uint8_t pick = cursor_u8(c);

    if (pick < 0xA0) {
        do_command(c, pick);
    } else if (pick < 0xE0) {
        do_rmpupdate(c, pick);
    } else if (pick < 0xF0) {
        uint32_t at = cursor_u16(c) * 16u % SAMPLE;
        size_t n = cursor_u8(c) * (size_t)8, len = MIN(MIN(n, c->left), SAMPLE - at);

        host_write(at, cursor_take(c, len), len);
    } else {
        asp_note_wbinvd(asp, 0);
        asp_note_wbinvd(asp, pick & 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_over(data, size);

    if (!asp)
        start();
    reset();
    for (unsigned steps = 0; c.left >= 2 && steps < 64; steps++)
        step(&c);
    return 0;
}
