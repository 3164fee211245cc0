/* virtio-scsi and its disks: the commands Linux's sd sends, and those it should not. */
#include "virtio_rig.h"

#include <stdio.h>
#include <unistd.h>

#define SECTORS 4096u

static char folder[] = "/tmp/lucca-scsi-XXXXXX";
static struct rig rig;
static struct error err;
static struct virtio *scsi;
static struct block *image[2];

#define REQ  RIG_DATA
#define RESP (RIG_DATA + 0x100)
#define DATA (RIG_DATA + 0x1000)
#define HEAD 51u  /* request header with a CDB of 32 bytes */
#define TAIL 108u /* response header with 96 bytes of sense */

static void make(unsigned i, bool readonly)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%u.raw", folder, i);
    f = fopen(path, "wb");
    for (unsigned s = 0; s < SECTORS; s++)
        for (unsigned n = 0; n < 512; n++)
            fputc((int)s & 0xff, f);
    fclose(f);
    assert_int_equal(block_open(path, BLOCK_RAW, readonly, &image[i], &err), OK);
}

/* Target 0 LUN 0 may be written, target 2 LUN 5 may not. */
static int up(void **state)
{
    make(0, false);
    make(1, true);
    rig_init(&rig);
    assert_int_equal(virtio_scsi_new(rig.f->board, rig.pci, &scsi, &err), OK);
    assert_int_equal(virtio_scsi_add(scsi, 0, 0, image[0], "first", &err), OK);
    assert_int_equal(virtio_scsi_add(scsi, 2, 5, image[1], "second", &err), OK);
    assert_int_equal(virtio_scsi_add(scsi, 2, 5, image[1], "again", &err), ERR_STATE);
    assert_int_equal(virtio_scsi_add(scsi, 256, 0, image[1], "far", &err), ERR_ARG);
    rig_find(&rig, 1);
    assert_int_equal(cfg_get(&rig, 2, 2), 0x1048);
    rig_negotiate(&rig, RIG_USUAL);
    for (unsigned q = 0; q < 3; q++)
        rig_queue(&rig, q, 64);
    rig_start(&rig);
    return 0;
}

static int down(void **state)
{
    virtio_free(scsi);
    rig_free(&rig);
    block_close(image[0]);
    block_close(image[1]);
    return 0;
}

struct result {
    uint8_t response, status, key;
    uint16_t asc;
    uint32_t residual;
};

/* One command to (target, lun); `out` and `in` bytes of data at DATA. */
static struct result command(unsigned target, unsigned lun, const uint8_t cdb[16], uint32_t out,
                             uint32_t in)
{
    uint8_t *req = rig.f->ram + REQ, *resp = rig.f->ram + RESP;
    uint64_t desc = rig.q[2].desc;

    memset(req, 0, HEAD);
    req[0] = 1;
    req[1] = (uint8_t)target;
    req[2] = 0x40;
    req[3] = (uint8_t)lun;
    memcpy(req + 19, cdb, 16);
    memset(resp, 0xee, TAIL);
    put_desc(&rig, desc, 0, REQ, HEAD, RIG_NEXT, out ? 1 : 2);
    put_desc(&rig, desc, 1, DATA, out, RIG_NEXT, 2);
    put_desc(&rig, desc, 2, RESP, TAIL, RIG_WRITE | (in ? RIG_NEXT : 0), 3);
    put_desc(&rig, desc, 3, DATA, in, RIG_WRITE, 0);
    rig_offer(&rig, 2, 0);
    rig_kick(&rig, 2);
    assert_true(rig_used(&rig, 2, NULL) >= TAIL);
    return (struct result){
        .response = resp[11],
        .status = resp[10],
        .key = load32(resp) ? resp[12 + 2] : 0,
        .asc = load32(resp) ? (uint16_t)(resp[12 + 12] << 8 | resp[12 + 13]) : 0,
        .residual = load32(resp + 4),
    };
}

#define CDB(...) ((const uint8_t[16]){__VA_ARGS__})

static void good(struct result r)
{
    assert_int_equal(r.response, 0);
    if (r.status)
        fail_msg("sense %x/%04x", r.key, r.asc);
}

static void bad(struct result r, uint8_t key, uint16_t asc)
{
    assert_int_equal(r.response, 0);
    assert_int_equal(r.status, 2);
    assert_int_equal(r.key, key);
    assert_int_equal(r.asc, asc);
}

static const uint8_t *data(void)
{
    return rig.f->ram + DATA;
}

static void the_controller_says_what_it_is(void **state)
{
    assert_int_equal(config_get(&rig, 0, 4), 1);
    assert_int_equal(config_get(&rig, 20, 4), 96);
    assert_int_equal(config_get(&rig, 24, 4), 32);
    assert_int_equal(config_get(&rig, 30, 2), 2); /* the highest target that there is */
    bus_write(rig.f->bus, BUS_MEMORY, rig.config + 24, 4, 16);
    bus_write(rig.f->bus, BUS_MEMORY, rig.config, 4, 9);
    assert_int_equal(config_get(&rig, 24, 4), 16);
    assert_int_equal(config_get(&rig, 0, 4), 1);
    reg_set(&rig, 0x14, 1, 0);
    assert_int_equal(config_get(&rig, 24, 4), 32);
}

static void disks_are_found(void **state)
{
    good(command(0, 0, CDB(0x12, 0, 0, 0, 36), 0, 36));
    assert_int_equal(data()[0], 0);
    assert_memory_equal(data() + 8, "LUCCA   DISK            1.0 ", 28);
    good(command(0, 1, CDB(0x12, 0, 0, 0, 36), 0, 36));
    assert_int_equal(data()[0], 0x7f);
    bad(command(0, 1, CDB(0), 0, 0), 5, 0x2500);
    assert_int_equal(command(1, 0, CDB(0), 0, 0).response, 3); /* no such target */
    good(command(2, 0, CDB(0xa0, [9] = 64), 0, 64));
    assert_memory_equal(data(), "\0\0\0\x08\0\0\0\0\0\x05\0\0\0\0\0\0", 16);
    good(command(2, 5, CDB(0), 0, 0));
    assert_int_equal(command(0, 0, CDB(0x12, 0, 0, 0, 36), 0, 100).residual, 64);
    assert_int_equal(command(0, 0, CDB(0x12, 0, 0, 0, 5), 0, 5).residual, 0);
}

static void vital_product_data_is_given(void **state)
{
    good(command(0, 0, CDB(0x12, 1, 0, 0, 255), 0, 255));
    assert_memory_equal(data(), "\0\0\0\x06\x00\x80\x83\xb0\xb1\xb2", 10);
    good(command(0, 0, CDB(0x12, 1, 0x80, 0, 255), 0, 255));
    assert_memory_equal(data(),
                        "\0\x80\0\x05"
                        "first",
                        9);
    good(command(0, 0, CDB(0x12, 1, 0x83, 0, 255), 0, 255));
    assert_memory_equal(data() + 4, "\x02\x01\x00\x0dLUCCA   first", 17);
    good(command(0, 0, CDB(0x12, 1, 0xb0, 0, 255), 0, 255));
    assert_memory_equal(data(), "\0\xb0\0\x3c", 4);
    assert_memory_equal(data() + 20, "\0\x40\0\0\0\0\0\x40", 8);
    good(command(0, 0, CDB(0x12, 1, 0xb1, 0, 255), 0, 255));
    assert_memory_equal(data(), "\0\xb1\0\x3c\0\x01", 6);
    good(command(0, 0, CDB(0x12, 1, 0xb2, 0, 255), 0, 255));
    assert_memory_equal(data(), "\0\xb2\0\x04\0\xc0\x02\0", 8);
    good(command(2, 5, CDB(0x12, 1, 0xb2, 0, 255), 0, 255));
    assert_int_equal(data()[5], 0);
    bad(command(0, 0, CDB(0x12, 1, 0x99, 0, 255), 0, 255), 5, 0x2400);
    bad(command(0, 0, CDB(0x12, 0, 0x80, 0, 255), 0, 255), 5, 0x2400);
}

static void capacity_and_modes_are_told(void **state)
{
    good(command(0, 0, CDB(0x25), 0, 8));
    assert_memory_equal(data(), "\0\0\x0f\xff\0\0\x02\0", 8);
    good(command(0, 0, CDB(0x9e, 0x10, [13] = 32), 0, 32));
    assert_memory_equal(data(), "\0\0\0\0\0\0\x0f\xff\0\0\x02\0\0\0\x80", 15);
    bad(command(0, 0, CDB(0x9e, 0x11, [13] = 32), 0, 32), 5, 0x2400);
    good(command(0, 0, CDB(0x1a, 0, 0x08, 0, 255), 0, 255));
    assert_memory_equal(data(), "\x17\0\x10\0\x08\x12\x04", 7);
    good(command(2, 5, CDB(0x1a, 0, 0x3f, 0, 255), 0, 255));
    assert_memory_equal(data(), "\x23\0\x90\0\x08\x12\x04", 7);
    good(command(2, 5, CDB(0x5a, 0, 0x0a, [8] = 255), 0, 255));
    assert_memory_equal(data(), "\0\x12\0\x90\0\0\0\0\x0a\x0a\0\x10", 12);
    good(command(0, 0, CDB(0x1a, 0, 0x48, 0, 255), 0, 255)); /* nothing is changeable */
    assert_memory_equal(data() + 4, "\x08\x12\0", 3);
    bad(command(0, 0, CDB(0x1a, 0, 0xc8, 0, 255), 0, 255), 5, 0x3900);
    bad(command(0, 0, CDB(0x1a, 0, 0x1c, 0, 255), 0, 255), 5, 0x2400);
    good(command(0, 0, CDB(0x03, [4] = 18), 0, 18));
    assert_memory_equal(data(), "\x70\0\0", 3);
    good(command(0, 7, CDB(0x03, [4] = 18), 0, 18));
    assert_int_equal(data()[2], 5);
    assert_int_equal(data()[12], 0x25);
}

static void data_goes_both_ways(void **state)
{
    static const struct {
        uint8_t write[16], read[16];
        unsigned sector, count;
    } cases[] = {
        {{0x0a, 0, 0, 9, 2}, {0x08, 0, 0, 9, 2}, 9, 2},
        {{0x0a, 0, 1, 0, 0}, {0x08, 0, 1, 0, 0}, 256, 256},
        {{0x2a, 8, 0, 0, 1, 0, 0, 0, 3}, {0x28, 0, 0, 0, 1, 0, 0, 0, 3}, 256, 3},
        {{0xaa, 0, 0, 0, 2, 0, 0, 0, 0, 4}, {0xa8, 0, 0, 0, 2, 0, 0, 0, 0, 4}, 512, 4},
        {{0x8a, [8] = 15, [9] = 0xff, [13] = 1}, {0x88, [8] = 15, [9] = 0xff, [13] = 1}, 4095, 1},
        {{0x8a, [12] = 4}, {0x88, [12] = 4}, 0, 1024}, /* 512 KiB: more than one bounce */
    };
    uint8_t *buf = rig.f->ram + DATA;

    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t len = cases[i].count * 512;

        good(command(0, 0, cases[i].read, 0, len));
        for (uint32_t n = 0; n < len; n++)
            buf[n] = (uint8_t)(n * 11 >> 4 ^ i);
        good(command(0, 0, cases[i].write, len, 0));
        memset(buf, 0, len);
        good(command(0, 0, cases[i].read, 0, len));
        for (uint32_t n = 0; n < len; n++)
            if (buf[n] != (uint8_t)(n * 11 >> 4 ^ i))
                fail_msg("case %zu: byte %u", i, n);
        assert_int_equal(block_read(image[0], cases[i].sector * 512ull, buf, 512, &err), OK);
        assert_int_equal(buf[100], (uint8_t)(1100 >> 4 ^ i));
    }
    good(command(0, 0, CDB(0x35), 0, 0));
    good(command(0, 0, CDB(0x91), 0, 0));
}

static void bad_commands_get_sense(void **state)
{
    bad(command(0, 0, CDB(0xff), 0, 0), 5, 0x2000);
    bad(command(0, 0, CDB(0x28, 0, 0, 0, 0x10, 0, 0, 0, 1), 0, 512), 5, 0x2100);
    bad(command(0, 0, CDB(0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2), 0, 1024), 5, 0x2100);
    bad(command(0, 0, CDB(0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [13] = 1), 0,
                512),
        5, 0x2100);
    bad(command(2, 5, CDB(0x2a, [8] = 1), 512, 0), 7, 0x2700);
    bad(command(2, 5, CDB(0x93, [13] = 1), 512, 0), 7, 0x2700);
    assert_int_equal(command(0, 0, CDB(0x28, [8] = 2), 0, 512).response, 1); /* overrun */
    assert_int_equal(command(0, 0, CDB(0x2a, [8] = 2), 512, 0).response, 1);
    assert_int_equal(command(0, 0, CDB(0x28, [8] = 1), 512, 512).response, 9);
    assert_int_equal(command(0, 0, CDB(0x28, [8] = 1), 0, 2048).residual, 1536);
    assert_int_equal(status_get(&rig), 0xf);
}

static void space_is_given_back(void **state)
{
    uint8_t *buf = rig.f->ram + DATA;

    memset(buf, 0, 512);
    good(command(0, 0, CDB(0x93, 8, [9] = 40, [13] = 2), 512, 0)); /* WRITE SAME, UNMAP, zeros */
    good(command(0, 0, CDB(0x93, 1, [9] = 50, [13] = 2), 0, 0));   /* NDOB: zeros without data */
    memset(buf, 0x5a, 512);
    good(command(0, 0, CDB(0x41, 0, [5] = 60, [8] = 3), 512, 0));
    good(command(0, 0, CDB(0x28, 0, [5] = 39, [8] = 25), 0, 25 * 512));
    for (unsigned n = 0; n < 25; n++) {
        unsigned s = 39 + n;
        uint8_t want = (uint8_t)(s >= 40 && s < 42   ? 0
                                 : s >= 50 && s < 52 ? 0
                                 : s >= 60 && s < 63 ? 0x5a
                                                     : s);

        assert_int_equal(buf[n * 512 + 77], want);
    }
    memset(buf, 0, 40);
    buf[1] = 38; /* UNMAP: lengths, then two extents */
    buf[3] = 32;
    buf[8 + 7] = 100;
    buf[8 + 11] = 8;
    buf[24 + 6] = 1;
    buf[24 + 11] = 8;
    good(command(0, 0, CDB(0x42, [8] = 40), 40, 0));
    good(command(0, 0, CDB(0x42), 0, 0));
    buf[24 + 6] = 0x10;
    bad(command(0, 0, CDB(0x42, [8] = 40), 40, 0), 5, 0x2100);
    bad(command(0, 0, CDB(0x42, [8] = 4), 40, 0), 5, 0x1a00);
    buf[3] = 64;
    bad(command(0, 0, CDB(0x42, [8] = 40), 40, 0), 5, 0x2600);
    bad(command(0, 0, CDB(0x93, 0x10, [13] = 1), 512, 0), 5, 0x2400);
}

static void control_requests_are_answered(void **state)
{
    uint8_t *req = rig.f->ram + REQ, *resp = rig.f->ram + RESP;

    memset(req, 0, 24);
    store32(req + 4, 5); /* logical unit reset */
    req[8] = 1;
    req[10] = 0x40;
    assert_int_equal(rig_do(&rig, 0, REQ, 24, RESP, 1), 1);
    assert_int_equal(resp[0], 0);
    req[11] = 9;
    assert_int_equal(rig_do(&rig, 0, REQ, 24, RESP, 1), 1);
    assert_int_equal(resp[0], 12);
    req[9] = 7;
    assert_int_equal(rig_do(&rig, 0, REQ, 24, RESP, 1), 1);
    assert_int_equal(resp[0], 3);
    store32(req, 2);
    memset(req + 4, 0, 8);
    req[4] = 1;
    assert_int_equal(rig_do(&rig, 0, REQ, 16, RESP, 5), 5);
    assert_memory_equal(resp, "\0\0\0\0\0", 5);
    store32(req, 77);
    assert_int_equal(rig_do(&rig, 0, REQ, 24, RESP, 1), 1);
    assert_int_equal(resp[0], 11);
    assert_int_equal(rig_do(&rig, 1, 0, 0, DATA, 16), -1); /* events wait */
    assert_int_equal(rig_do(&rig, 2, REQ, 50, RESP, TAIL), -1);
    assert_int_equal(status_get(&rig), 0x4f);
}

static int set_up(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char text[64];

    snprintf(text, sizeof(text), "rm -rf %s", folder);
    return system(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_controller_says_what_it_is),
        TEST(disks_are_found),
        TEST(vital_product_data_is_given),
        TEST(capacity_and_modes_are_told),
        TEST(data_goes_both_ways),
        TEST(bad_commands_get_sense),
        TEST(space_is_given_back),
        TEST(control_requests_are_answered),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
