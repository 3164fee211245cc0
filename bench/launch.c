/* The launch of a 1 GiB SNP guest, taken apart: what its three parts cost the secure processor and
 * the memory controllers, beside libcrypto's own speed on the same core.
 *
 *     launch_bench
 *
 * Measurement: LAUNCH_UPDATE of NORMAL pages, SHA-384. Encryption: the memory controllers' AES over
 * the same gigabyte. Validation: LAUNCH_UPDATE of ZERO pages, 2 MiB at a time. Each part takes
 * turns with libcrypto; the ratio is the median of the turns'. Prints one JSON object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/snp_guest_rig.h"

#define MIB        UINT64_C(0x100000)
#define MEMORY     (1024 * MIB)
#define LARGE      (2 * MIB)
#define AT_TABLE   MEMORY
#define AT_HOST    (MEMORY + 16 * MIB) /* command buffer, context */
#define DRAM       (MEMORY + 32 * MIB)
#define TURNS      5
#define PIECE      4096u
#define PIECES     16384u /* 64 MiB a turn for libcrypto */
#define BENCH_ASID 7u

struct bench {
    struct guest_rig rig;
    struct snp_guest *guest;
    uint8_t *bytes;
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "launch_bench: %s failed\n", what);
    exit(1);
}

/* A core as SNP_INIT wants it. */
static bool core_msr(void *ctx, unsigned core, uint32_t msr, uint64_t *value)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
    } msrs[] = {{0xC0010010, BIT(19) | BIT(23) | BIT(24) | BIT(25)},
                {0xC0010015, 1},
                {0xC0010117, 0},
                {0xC0010132, AT_TABLE},
                {0xC0010133, AT_TABLE + 16 * MIB - 1}};

    for (size_t i = 0; i < COUNT(msrs); i++)
        if (msrs[i].msr == msr) {
            *value = msrs[i].value;
            return true;
        }
    return false;
}

static void core_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    if (leaf == 0x80000008)
        out[0] = 0x3034;
}

static unsigned command(struct bench *b, unsigned id, const void *buffer, size_t len)
{
    must(dram_write(b->rig.dram, AT_HOST, DRAM_PLAIN, buffer, len), "a command buffer");
    asp_write_reg(b->rig.asp, ASP_CMDBUF_LO, (uint32_t)AT_HOST);
    asp_write_reg(b->rig.asp, ASP_CMDBUF_HI, (uint32_t)(AT_HOST >> 32));
    asp_write_reg(b->rig.asp, ASP_CMDRESP, id << 16);
    return asp_read_reg(b->rig.asp, ASP_CMDRESP) & 0xFFFF;
}

static void open_rig(struct bench *b)
{
    static const struct asp_cores cores = {core_msr, core_cpuid, 1000000};
    struct guest_rig *r = &b->rig;
    struct error err = {0};

    must(dram_new(DRAM, false, &r->dram, &err) == OK && rmp_new(r->dram, &r->rmp, &err) == OK &&
             asp_new(chip_by_id(CHIP_GENOA), r->dram, r->rmp, 1, NULL, &r->asp, &err) == OK,
         "a machine");
    rmp_set_bounds(r->rmp, AT_TABLE, AT_TABLE + 16 * MIB - 1);
    rmp_enable(r->rmp, true);
    asp_set_cores(r->asp, &cores, NULL);
    must(!command(b, SNP_CMD_INIT, "", 0), "SNP_INIT");
    asp_note_wbinvd(r->asp, 0);
    must(!command(b, SNP_CMD_DF_FLUSH, "", 0), "DF_FLUSH");
}

static void launch_start(struct bench *b)
{
    uint64_t gctx = AT_HOST + PIECE;
    const struct rmp_entry firmware = {.assigned = true, .immutable = true};
    const struct snp_cmd_gctx create = {gctx};
    const struct snp_cmd_launch_start start = {.gctx_paddr = gctx,
                                               .policy = SNP_POLICY_SMT | SNP_POLICY_MBO};
    const struct snp_cmd_activate activate = {gctx, BENCH_ASID};

    rmp_put(b->rig.rmp, gctx, &firmware);
    must(!command(b, SNP_CMD_GCTX_CREATE, &create, sizeof(create)) &&
             !command(b, SNP_CMD_LAUNCH_START, &start, sizeof(start)) &&
             !command(b, SNP_CMD_ACTIVATE, &activate, sizeof(activate)),
         "LAUNCH_START");
}

static double update_all(struct bench *b, enum snp_page_type type)
{
    double took = 0;

    for (uint64_t at = 0; at < MEMORY; at += LARGE) {
        const struct rmp_entry page = {.assigned = true,
                                       .immutable = true,
                                       .large = true,
                                       .asid = BENCH_ASID,
                                       .gpa = at,
                                       .perms = {VMPL_ALL}};
        const struct snp_cmd_launch_update update = {.gctx_paddr = AT_HOST + PIECE,
                                                     .flags = SNP_UPDATE_2M | SNP_UPDATE_TYPE(type),
                                                     .page_paddr = at};
        double began;

        rmp_put(b->rig.rmp, at, &page);
        began = now();
        must(!command(b, SNP_CMD_LAUNCH_UPDATE, &update, sizeof(update)), "LAUNCH_UPDATE");
        took += now() - began;
    }
    return took;
}

/* Every frame from the guest's view to the host's, which is encryption. */
static double encrypt_all(struct bench *b, dram_key key)
{
    double took = 0;

    for (uint64_t frame = 0; frame < MEMORY >> FRAME_SHIFT; frame += 512) {
        double began;

        for (unsigned i = 0; i < 512; i++)
            (void)dram_touch(b->rig.dram, frame + i, key);
        began = now();
        for (unsigned i = 0; i < 512; i++)
            (void)dram_touch(b->rig.dram, frame + i, DRAM_PLAIN);
        took += now() - began;
    }
    return took;
}

/* ---- libcrypto ---- */
static double sha384_rate(const uint8_t *bytes)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t digest[48];
    double began = now();

    for (unsigned i = 0; i < PIECES; i++)
        must(ctx && EVP_DigestInit_ex(ctx, EVP_sha384(), NULL) &&
                 EVP_DigestUpdate(ctx, bytes + (size_t)i * PIECE, PIECE) &&
                 EVP_DigestFinal_ex(ctx, digest, NULL),
             "SHA-384");
    began = now() - began;
    EVP_MD_CTX_free(ctx);
    return PIECES * (double)PIECE / began;
}

static double xts_rate(uint8_t *bytes)
{
    static const uint8_t key[32] = {1, 2, 3}, iv[16] = {4};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    double began = now();
    int n;

    must(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_128_xts(), NULL, key, iv), "AES-128-XTS");
    for (unsigned i = 0; i < PIECES; i++)
        must(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) &&
                 EVP_EncryptUpdate(ctx, bytes + (size_t)i * PIECE, &n, bytes + (size_t)i * PIECE,
                                   PIECE),
             "AES-128-XTS");
    began = now() - began;
    EVP_CIPHER_CTX_free(ctx);
    return PIECES * (double)PIECE / began;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double v[TURNS])
{
    qsort(v, TURNS, sizeof(*v), by_size);
    return v[TURNS / 2];
}

int main(void)
{
    struct bench b = {.bytes = aligned_alloc(PIECE, (size_t)PIECES * PIECE)};
    double measure[TURNS], encrypt[TURNS], validate[TURNS], hash_ratio[TURNS], aes_ratio[TURNS];
    dram_key key;

    must(b.bytes != NULL, "memory");
    memset(b.bytes, 0x5A, (size_t)PIECES * PIECE);
    open_rig(&b);
    launch_start(&b);
    key = snp_guest_at(b.rig.asp, AT_HOST + PIECE)->key;
    for (unsigned i = 0; i < TURNS; i++) {
        measure[i] = update_all(&b, SNP_PAGE_NORMAL);
        hash_ratio[i] = (double)MEMORY / measure[i] / sha384_rate(b.bytes);
        encrypt[i] = encrypt_all(&b, key);
        aes_ratio[i] = (double)MEMORY / encrypt[i] / xts_rate(b.bytes);
        validate[i] = update_all(&b, SNP_PAGE_ZERO);
    }
    printf("{\"measure_s\": %.3f, \"sha384_vs_openssl\": %.3f, \"encrypt_s\": %.3f, "
           "\"aes_vs_openssl\": %.3f, \"validate_s\": %.3f}\n",
           median(measure), median(hash_ratio), median(encrypt), median(aes_ratio),
           median(validate));
    return 0;
}
