/* Raw images, locks, --drive, and the virtio-blk device. */
#include "virtio_rig.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SECTORS 2048u
#define SIZE    (SECTORS * 512)

static char folder[] = "/tmp/lucca-block-XXXXXX";
static struct rig rig;
static struct error err;

static const char *path_of(const char *name)
{
    static char path[4][64];
    static unsigned turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

/* Sector n is filled with n's low byte. */
static void make_raw(const char *name, size_t size)
{
    FILE *f = fopen(path_of(name), "wb");

    assert_non_null(f);
    for (size_t i = 0; i < size; i++)
        fputc((int)(i / 512) & 0xff, f);
    fclose(f);
}

static struct block *open_raw(const char *name, bool readonly)
{
    struct block *b = NULL;

    if (block_open(path_of(name), BLOCK_AUTO, readonly, &b, &err) != OK)
        fail_msg("%s", err.text);
    return b;
}

/* ---- images ---- */

static void raw_images_hold_bytes(void **state)
{
    uint8_t buf[1536], zeros[1536] = {0};
    struct block *b;

    make_raw("a.raw", SIZE);
    b = open_raw("a.raw", false);
    assert_int_equal(b->size, SIZE);
    assert_int_equal(block_read(b, 700, buf, 100, &err), OK);
    assert_int_equal(buf[0], 1);
    memset(buf, 0xee, sizeof(buf));
    assert_int_equal(block_write(b, 512, buf, sizeof(buf), &err), OK);
    assert_int_equal(block_zero(b, 1024, 512, false, &err), OK);
    assert_int_equal(block_zero(b, 1536, 512, true, &err), OK);
    assert_int_equal(block_discard(b, 4096, 4096, &err), OK);
    assert_int_equal(block_flush(b, &err), OK);
    assert_int_equal(block_read(b, SIZE - 511, buf, 512, &err), ERR_ARG);
    assert_int_equal(block_write(b, UINT64_MAX, buf, 512, &err), ERR_ARG);
    block_close(b);
    b = open_raw("a.raw", true);
    assert_int_equal(block_read(b, 512, buf, sizeof(buf), &err), OK);
    assert_int_equal(buf[511], 0xee);
    assert_memory_equal(buf + 512, zeros, 1024);
    assert_int_equal(block_write(b, 0, buf, 512, &err), ERR_STATE);
    assert_int_equal(block_zero(b, 0, 512, true, &err), ERR_STATE);
    assert_int_equal(block_discard(b, 0, 512, &err), ERR_STATE);
    block_close(b);
}

static void refused(const char *name, enum block_format format, bool readonly, const char *says)
{
    struct block *b;

    assert_int_not_equal(block_open(path_of(name), format, readonly, &b, &err), OK);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void what_is_no_disk_is_refused(void **state)
{
    FILE *f;

    refused("missing.raw", BLOCK_RAW, false, "No such file");
    refused(".", BLOCK_RAW, true, "neither a file nor a block device");
    make_raw("odd.raw", 1000);
    refused("odd.raw", BLOCK_RAW, false, "multiple of 512");
    make_raw("empty.raw", 0);
    refused("empty.raw", BLOCK_RAW, true, "multiple of 512");
    refused("odd.raw", BLOCK_QCOW2, true, "not a qcow2 image");
    f = fopen(path_of("liar.img"), "wb");
    fputs("QFI\xfb", f);
    fseek(f, 511, SEEK_SET);
    fputc(0, f);
    fclose(f);
    refused("liar.img", BLOCK_AUTO, false, "say format=qcow2 or format=raw");
    block_close(open_raw("odd.raw", true)); /* reading needs no rounding */
}

static void two_writers_are_refused(void **state)
{
    struct block *a, *b;

    make_raw("a.raw", SIZE);
    a = open_raw("a.raw", false);
    refused("a.raw", BLOCK_RAW, false, "in use by another process");
    refused("a.raw", BLOCK_RAW, true, "in use by another process that writes");
    block_close(a);
    a = open_raw("a.raw", true);
    b = open_raw("a.raw", true);
    refused("a.raw", BLOCK_RAW, false, "in use");
    block_close(a);
    block_close(b);
    block_close(open_raw("a.raw", false));
}

/* ---- --drive ---- */

static void drives_are_described(void **state)
{
    static const struct {
        const char *text, *says; /* NULL: it is well-formed */
    } cases[] = {
        {"file=a.raw", NULL},
        {"file=/x/a,,b.img,format=raw,if=scsi,readonly=on,serial=A-1", NULL},
        {"file=a,readonly=off,if=virtio,format=qcow2", NULL},
        {"", "file=PATH is needed"},
        {"format=raw", "file=PATH is needed"},
        {"file=", "file takes the path"},
        {"a.raw", "'a.raw' is not one of its keys (file, format, if, readonly, serial)"},
        {"file=a,cache=none", "'cache' is not one of its keys"},
        {"file=a,format=vmdk", "format takes raw or qcow2"},
        {"file=a,if=ide", "if takes virtio or scsi"},
        {"file=a,readonly=yes", "readonly takes on or off"},
        {"file=a,serial=", "serial takes 1 to 20"},
        {"file=a,serial=123456789012345678901", "serial takes 1 to 20"},
        {"file=a,serial=a b", "serial takes 1 to 20"},
    };
    static char text[6000] = "file=";
    struct drive_config d;

    for (size_t i = 0; i < COUNT(cases); i++) {
        enum status s = drive_parse(cases[i].text, &d, &err);

        if ((s == OK) != !cases[i].says || (s != OK && !strstr(err.text, cases[i].says)))
            fail_msg("'%s': %s", cases[i].text, s == OK ? "accepted" : err.text);
    }
    assert_int_equal(drive_parse(cases[1].text, &d, &err), OK);
    assert_string_equal(d.file, "/x/a,b.img");
    assert_int_equal(d.format, BLOCK_RAW);
    assert_int_equal(d.bus, DRIVE_SCSI);
    assert_true(d.readonly);
    assert_string_equal(d.serial, "A-1");
    memset(text + 5, 'x', sizeof(text) - 6);
    assert_int_equal(drive_parse(text, &d, &err), ERR_ARG);
    text[5 + 4095] = '\0';
    assert_int_equal(drive_parse(text, &d, &err), OK);
    assert_int_equal(strlen(d.file), 4095);
}

/* ---- virtio-blk ---- */

static struct disks *disks;

#define HEAD   RIG_DATA
#define BUF    (RIG_DATA + 0x1000)
#define STATUS (RIG_DATA + 0xa0000)

static void blk_up_with(bool readonly)
{
    struct drive_config d = {.readonly = readonly, .serial = "serial-7"};

    make_raw("a.raw", SIZE);
    strcpy(d.file, path_of("a.raw"));
    rig_init(&rig);
    if (disks_new(rig.f->board, rig.pci, &d, 1, &disks, &err) != OK)
        fail_msg("%s", err.text);
    rig_find(&rig, 1);
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1042);
    rig_negotiate(&rig, rig_offered(&rig) & ~VIRTIO_F_EVENT_IDX);
    rig_queue(&rig, 0, 256);
    rig_start(&rig);
}

static void blk_down(void)
{
    disks_free(disks);
    rig_free(&rig);
}

/* One request with the data in parts of at most 60000 bytes; the status byte, or 0xff for none. */
static uint8_t blk(uint32_t type, uint64_t sector, uint32_t len, bool to_guest)
{
    uint16_t flags = to_guest ? RIG_WRITE : 0, at = 1;

    store32(rig.f->ram + HEAD, type);
    store64(rig.f->ram + HEAD + 8, sector);
    rig.f->ram[STATUS] = 0xff;
    put_desc(&rig, rig.q[0].desc, 0, HEAD, 16, RIG_NEXT, 1);
    for (uint32_t done = 0, n; done < len; done += n, at++) {
        n = MIN(len - done, 60000);
        put_desc(&rig, rig.q[0].desc, at, BUF + done, n, RIG_NEXT | flags, at + 1);
    }
    put_desc(&rig, rig.q[0].desc, at, STATUS, 1, RIG_WRITE, 0);
    rig_offer(&rig, 0, 0);
    rig_kick(&rig, 0);
    rig_used(&rig, 0, NULL);
    return rig.f->ram[STATUS];
}

static void disks_are_read_and_written(void **state)
{
    uint8_t *buf;

    blk_up_with(false);
    buf = rig.f->ram + BUF;
    assert_int_equal(config_get(&rig, 0, 8), SECTORS);
    assert_int_equal(config_get(&rig, 12, 4), 254);
    assert_int_equal(config_get(&rig, 20, 4), 512);
    assert_int_equal(rig_offered(&rig) & 0x7fff, BIT(2) | BIT(6) | BIT(9) | BIT(13) | BIT(14));

    assert_int_equal(blk(0, 3, 614400, true), 0); /* more than two bounces */
    for (unsigned i = 0; i < 614400; i++)
        if (buf[i] != ((i / 512 + 3) & 0xff))
            fail_msg("byte %u is %02x", i, buf[i]);
    for (unsigned i = 0; i < 614400; i++)
        buf[i] = (uint8_t)(i * 7 >> 3);
    assert_int_equal(blk(1, 100, 614400, false), 0);
    assert_int_equal(blk(4, 0, 0, false), 0);
    memset(buf, 0, 614400);
    assert_int_equal(blk(0, 100, 614400, true), 0);
    for (unsigned i = 0; i < 614400; i++)
        if (buf[i] != (uint8_t)(i * 7 >> 3))
            fail_msg("byte %u is %02x", i, buf[i]);
    assert_int_equal(blk(8, 0, 20, true), 0);
    assert_memory_equal(buf, "serial-7\0\0\0", 11);
    blk_down();
}

static void ranges_are_cleared(void **state)
{
    uint8_t *buf;

    blk_up_with(false);
    buf = rig.f->ram + BUF;
    store64(buf, 10); /* write zeroes: sectors 10 and 11, and 20, the latter unmapped */
    store32(buf + 8, 2);
    store32(buf + 12, 0);
    store64(buf + 16, 20);
    store32(buf + 24, 1);
    store32(buf + 28, 1);
    assert_int_equal(blk(13, 0, 32, false), 0);
    assert_int_equal(blk(0, 9, 512 * 13, true), 0);
    assert_int_equal(buf[0], 9);
    assert_int_equal(buf[512], 0);
    assert_int_equal(buf[1535], 0);
    assert_int_equal(buf[1536], 12);
    assert_int_equal(buf[11 * 512], 0);
    assert_int_equal(buf[12 * 512], 21);
    store64(buf, 10);
    store32(buf + 8, 2);
    store32(buf + 12, 1);
    assert_int_equal(blk(11, 0, 16, false), 2); /* discard knows no flags */
    store32(buf + 12, 0);
    assert_int_equal(blk(11, 0, 16, false), 0);
    store64(buf, SECTORS - 1);
    assert_int_equal(blk(11, 0, 16, false), 1);
    assert_int_equal(blk(13, 0, 16, false), 1);
    assert_int_equal(blk(13, 0, 15, false), 1);
    assert_int_equal(blk(13, 0, 0, false), 1);
    blk_down();
}

static void bad_requests_fail_alone(void **state)
{
    blk_up_with(false);
    assert_int_equal(blk(0, SECTORS, 512, true), 1);
    assert_int_equal(blk(0, SECTORS - 1, 1024, true), 1);
    assert_int_equal(blk(0, UINT64_MAX, 512, true), 1);
    assert_int_equal(blk(0, UINT64_MAX / 512 + 1, 512, true), 1);
    assert_int_equal(blk(1, SECTORS, 512, false), 1);
    assert_int_equal(blk(0, 0, 511, true), 1);
    assert_int_equal(blk(1, 0, 511, false), 1);
    assert_int_equal(blk(99, 0, 512, true), 2);
    assert_int_equal(blk(0, SECTORS - 1, 512, true), 0);
    assert_int_equal(status_get(&rig), 0xf);
    assert_int_equal(rig_do(&rig, 0, HEAD, 16, 0, 0), -1); /* no room for the status */
    assert_int_equal(status_get(&rig), 0x4f);
    blk_down();
    blk_up_with(false);
    assert_int_equal(rig_do(&rig, 0, HEAD, 15, BUF, 1), -1); /* no whole header */
    assert_int_equal(status_get(&rig), 0x4f);
    blk_down();
}

static void a_read_only_disk_stays_as_it_is(void **state)
{
    blk_up_with(true);
    assert_int_equal(rig_offered(&rig) & 0x7fff, BIT(2) | BIT(5) | BIT(6) | BIT(9));
    assert_int_equal(blk(1, 0, 512, false), 1);
    assert_int_equal(blk(13, 0, 16, false), 1);
    assert_int_equal(blk(4, 0, 0, false), 0);
    assert_int_equal(blk(0, 1, 512, true), 0);
    assert_int_equal(rig.f->ram[BUF], 1);
    blk_down();
}

static void disks_are_made_together(void **state)
{
    static struct drive_config d[4];

    for (unsigned i = 0; i < 4; i++) {
        char name[] = "0.raw";

        name[0] = (char)('0' + i);
        make_raw(name, 1024);
        strcpy(d[i].file, path_of(name));
        d[i].bus = i % 2 ? DRIVE_SCSI : DRIVE_VIRTIO;
    }
    rig_init(&rig);
    assert_int_equal(disks_new(rig.f->board, rig.pci, d, 4, &disks, &err), OK);
    for (unsigned slot = 1; slot < 4; slot++) {
        rig_find(&rig, slot);
        assert_int_equal(cfg_get(&rig, 2, 2), slot == 2 ? 0x1048 : 0x1042);
    }
    blk_down();
    strcpy(d[3].file, path_of("2.raw"));
    rig_init(&rig);
    assert_int_equal(disks_new(rig.f->board, rig.pci, d, 4, &disks, &err), ERR_STATE);
    blk_down();
    block_close(open_raw("2.raw", false)); /* nothing stayed open */
}

static int set_up(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_images_hold_bytes),
        cmocka_unit_test(what_is_no_disk_is_refused),
        cmocka_unit_test(two_writers_are_refused),
        cmocka_unit_test(drives_are_described),
        cmocka_unit_test(disks_are_read_and_written),
        cmocka_unit_test(ranges_are_cleared),
        cmocka_unit_test(bad_requests_fail_alone),
        cmocka_unit_test(a_read_only_disk_stays_as_it_is),
        cmocka_unit_test(disks_are_made_together),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
