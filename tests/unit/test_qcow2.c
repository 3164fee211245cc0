/* qcow2 images: random use against a model, judged by qemu-img where there is one; lying headers;
 * features that are refused; backing files, compressed clusters, snapshots. */
#include "base/bytes.h"
#include "host/device/block.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/lucca-qcow2-XXXXXX";
static bool have_qemu_img;

/* ---- help ---- */

static uint64_t seed = 1;

static uint64_t rnd(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *fmt, ...)
{
    char text[4096], all[4400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(all, sizeof(all), "cd %s && { %s; } >log 2>&1", folder, text);
    return system(all);
}

static void must(const char *command)
{
    if (shell("%s", command) != 0)
        fail_msg("failed (see %s/log): %s", folder, command);
}

static const char *in_folder(const char *name)
{
    static char path[2][4096];
    static unsigned turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static struct block *open_image(const char *name, enum block_format format, bool readonly)
{
    struct block *b = NULL;
    struct error err;

    if (block_open(in_folder(name), format, readonly, &b, &err) != OK)
        fail_msg("%s", err.text);
    return b;
}

static void put_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static size_t get_file(const char *name, uint8_t *bytes, size_t room)
{
    FILE *f = fopen(in_folder(name), "rb");
    size_t n;

    assert_non_null(f);
    n = fread(bytes, 1, room, f);
    fclose(f);
    return n;
}

/* ---- random use against a model ---- */

#define DISK (5u << 20)
static uint8_t model[DISK], bytes[DISK];

#define CHECK(call)                                                                                \
    do {                                                                                           \
        struct error err_;                                                                         \
        (void)err_;                                                                                \
        if ((call) != OK)                                                                          \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static void one_step(struct block *b)
{
    uint64_t unit = rnd(2) ? 512 : 4096, most = rnd(8) ? 20000 : 1u << 20;
    uint64_t off = rnd(DISK / unit) * unit, len = (1 + rnd(most / unit)) * unit;
    struct error err;

    len = MIN(len, DISK - off);
    switch (rnd(8)) {
    case 0:
        CHECK(block_zero(b, off, len, rnd(2), &err));
        memset(model + off, 0, len);
        break;
    case 1:
        CHECK(block_discard(b, off, len, &err));
        CHECK(block_read(b, off, model + off, len, &err));
        break;
    case 2:
    case 3:
        CHECK(block_read(b, off, bytes, len, &err));
        assert_memory_equal(bytes, model + off, len);
        break;
    default:
        for (uint64_t i = 0; i < len; i += 8)
            store64(model + off + i, rnd(UINT64_MAX));
        CHECK(block_write(b, off, model + off, len, &err));
    }
}

static void use(const char *name, unsigned steps)
{
    struct block *b = open_image(name, BLOCK_QCOW2, false);
    struct error err;

    assert_int_equal(b->size, DISK);
    for (unsigned i = 0; i < steps; i++)
        one_step(b);
    CHECK(block_flush(b, &err));
    block_close(b);
    b = open_image(name, BLOCK_QCOW2, true);
    CHECK(block_read(b, 0, bytes, DISK, &err));
    assert_memory_equal(bytes, model, DISK);
    block_close(b);
    put_file("model.raw", model, DISK);
    must("qemu-img compare -f qcow2 -F raw a.qcow2 model.raw");
    must("qemu-img check a.qcow2");
}

static const char *const shapes[] = {
    "compat=1.1,cluster_size=65536",
    "compat=0.10,cluster_size=65536",
    "compat=1.1,cluster_size=512,refcount_bits=64", /* 64 counts a block: the table grows */
    "compat=1.1,cluster_size=512,refcount_bits=16",
    "compat=0.10,cluster_size=512",
    "compat=1.1,cluster_size=4096,refcount_bits=1",
    "compat=1.1,cluster_size=4096,refcount_bits=4",
    "compat=1.1,cluster_size=4096,refcount_bits=8",
    "compat=1.1,cluster_size=2M,refcount_bits=32",
    "compat=1.1,cluster_size=65536,lazy_refcounts=on",
};

static void random_use_matches_a_model(void **state)
{
    if (!have_qemu_img)
        skip();
    for (size_t i = 0; i < COUNT(shapes); i++) {
        assert_int_equal(shell("qemu-img create -f qcow2 -o %s a.qcow2 %u", shapes[i], DISK), 0);
        memset(model, 0, DISK);
        use("a.qcow2", 300);
        use("a.qcow2", 50); /* opened again, it goes on */
    }
}

static void fill_model(void)
{
    for (size_t i = 0; i < DISK; i += 8)
        store64(model + i, i % 8192 < 4096 ? i / 512 : rnd(UINT64_MAX));
    put_file("base.raw", model, DISK);
}

static void compressed_clusters_are_read_and_replaced(void **state)
{
    static const char *const sizes[] = {"65536", "4096", "512"};

    if (!have_qemu_img)
        skip();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        fill_model();
        assert_int_equal(shell("qemu-img convert -c -f raw -O qcow2 -o cluster_size=%s base.raw "
                               "a.qcow2",
                               sizes[i]),
                         0);
        use("a.qcow2", 0);
        use("a.qcow2", 200);
    }
}

static void backing_files_show_through(void **state)
{
    static const char *const how[] = {
        "qemu-img create -f qcow2 -b base.raw -F raw a.qcow2",
        "qemu-img create -f qcow2 -o compat=0.10 -b base.raw -F raw a.qcow2",
        "qemu-img convert -c -O qcow2 base.raw base.qcow2 && "
        "qemu-img create -f qcow2 -b base.qcow2 -F qcow2 -o cluster_size=4096 a.qcow2",
        "mkdir -p sub && cp base.raw sub/lower.raw && "
        "qemu-img create -f qcow2 -b lower.raw -F raw sub/mid.qcow2 && "
        "qemu-img create -f qcow2 -b sub/mid.qcow2 -F qcow2 a.qcow2",
    };

    if (!have_qemu_img)
        skip();
    for (size_t i = 0; i < COUNT(how); i++) {
        fill_model();
        must(how[i]);
        use("a.qcow2", 0);
        use("a.qcow2", 200);
    }
}

/* QEMU's tools see our locks and we see theirs: writers are alone, readers share. */
static void locks_are_qemus(void **state)
{
    struct block *writer, *reader;
    struct error err;

    if (!have_qemu_img)
        skip();
    fill_model();
    must("qemu-img create -f qcow2 -b base.raw -F raw a.qcow2 && "
         "qemu-img create -f qcow2 -b base.raw -F raw other.qcow2");
    writer = open_image("a.qcow2", BLOCK_QCOW2, false);
    must("qemu-img check other.qcow2");
    must("qemu-img compare -U -f qcow2 -F raw a.qcow2 base.raw");
    must("qemu-img check a.qcow2 2>&1 | grep 'Failed to get .* lock'");
    must("qemu-io -f raw -c 'write 0 512' base.raw 2>&1 | grep 'Failed to get .* lock'");
    assert_int_equal(block_open(in_folder("a.qcow2"), BLOCK_QCOW2, true, &reader, &err), ERR_STATE);
    block_close(writer);
    reader = open_image("a.qcow2", BLOCK_QCOW2, true);
    must("qemu-img check a.qcow2");
    assert_int_equal(block_open(in_folder("a.qcow2"), BLOCK_QCOW2, false, &writer, &err),
                     ERR_STATE);
    block_close(reader);
}

static void a_shorter_backing_file_ends_in_zeros(void **state)
{
    if (!have_qemu_img)
        skip();
    fill_model();
    must("truncate -s 1000448 base.raw && qemu-img create -f qcow2 -b base.raw -F raw a.qcow2 5M");
    memset(model + 1000448, 0, DISK - 1000448);
    use("a.qcow2", 0);
    use("a.qcow2", 100);
}

static void snapshots_survive_writes(void **state)
{
    if (!have_qemu_img)
        skip();
    assert_int_equal(shell("qemu-img create -f qcow2 -o cluster_size=4096 a.qcow2 %u", DISK), 0);
    memset(model, 0, DISK);
    use("a.qcow2", 100);
    must("cp model.raw then.raw && qemu-img snapshot -c then a.qcow2");
    use("a.qcow2", 200);
    must("qemu-img snapshot -a then a.qcow2 && qemu-img compare -f qcow2 -F raw a.qcow2 then.raw");
    must("qemu-img snapshot -d then a.qcow2 && qemu-img check a.qcow2");
}

static void a_chain_that_never_ends_is_cut(void **state)
{
    struct block *b;
    struct error err;

    if (!have_qemu_img)
        skip();
    must("qemu-img create -f qcow2 b.qcow2 1M && qemu-img create -f qcow2 -b b.qcow2 -F qcow2 "
         "a.qcow2 && qemu-img rebase -u -b a.qcow2 -F qcow2 b.qcow2");
    assert_int_equal(block_open(in_folder("a.qcow2"), BLOCK_QCOW2, true, &b, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "chain"));
}

static void foreign_features_are_refused_by_name(void **state)
{
    static const struct {
        const char *how, *says;
    } cases[] = {
        {"qemu-img create -f qcow2 -o extended_l2=on a.qcow2 1M", "extended L2"},
        {"qemu-img create -f qcow2 -o compression_type=zstd a.qcow2 1M", "zstd"},
        {"qemu-img create -f qcow2 -o data_file=d.raw a.qcow2 1M", "external data file"},
        {"qemu-img create -f qcow2 -o compat=0.10 -b base.raw -F raw a.qcow2 && "
         "qemu-img rebase -u -b json:x -F raw a.qcow2",
         "plain paths"},
    };
    struct block *b;
    struct error err;

    if (!have_qemu_img)
        skip();
    put_file("base.raw", model, 1 << 20);
    for (size_t i = 0; i < COUNT(cases); i++) {
        unlink(in_folder("a.qcow2"));
        must(cases[i].how);
        assert_int_equal(block_open(in_folder("a.qcow2"), BLOCK_AUTO, true, &b, &err),
                         ERR_UNSUPPORTED);
        if (!strstr(err.text, cases[i].says))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].says);
    }
}

/* ---- lying headers, on an image made by hand ---- */

#define CLUSTER 4096u
#define TINY    (8 * CLUSTER)

static void be(uint8_t *at, unsigned size, uint64_t v)
{
    while (size--) {
        at[size] = (uint8_t)v;
        v >>= 8;
    }
}

/* header | refcount table | refcount block | L1 | L2 | data | free | free; 2 MiB of disk */
static void tiny(uint8_t image[TINY])
{
    memset(image, 0, TINY);
    memcpy(image, "QFI\xfb", 4);
    be(image + 4, 4, 3);
    be(image + 20, 4, 12);
    be(image + 24, 8, 2 << 20);
    be(image + 36, 4, 1);
    be(image + 40, 8, 3 * CLUSTER);
    be(image + 48, 8, 1 * CLUSTER);
    be(image + 56, 4, 1);
    be(image + 96, 4, 4);
    be(image + 100, 4, 104);
    be(image + CLUSTER, 8, 2 * CLUSTER);
    for (unsigned i = 0; i < 6; i++)
        be(image + 2 * CLUSTER + 2 * i, 2, 1);
    be(image + 3 * CLUSTER, 8, BIT(63) | 4 * CLUSTER);
    be(image + 4 * CLUSTER, 8, BIT(63) | 5 * CLUSTER);
    memset(image + 5 * CLUSTER, 0xaa, CLUSTER);
}

static void the_handmade_image_is_sound(void **state)
{
    uint8_t image[TINY], got[2 * CLUSTER];
    struct block *b;
    struct error err;

    tiny(image);
    put_file("t.qcow2", image, TINY);
    b = open_image("t.qcow2", BLOCK_AUTO, false);
    assert_int_equal(b->size, 2 << 20);
    CHECK(block_read(b, 0, got, sizeof(got), &err));
    assert_int_equal(got[0], 0xaa);
    assert_int_equal(got[CLUSTER], 0);
    CHECK(block_write(b, 2 * CLUSTER, got, CLUSTER, &err));
    CHECK(block_read(b, 2 * CLUSTER, got + CLUSTER, CLUSTER, &err));
    assert_memory_equal(got, got + CLUSTER, CLUSTER);
    assert_int_equal(block_read(b, b->size - 512, got, 1024, &err), ERR_ARG);
    block_close(b);
    if (have_qemu_img)
        must("qemu-img check t.qcow2");
}

static const struct {
    const char *says;
    unsigned at, size;
    uint64_t value;
} lies[] = {
    {"not a qcow2 image", 0, 4, 0},
    {"version", 4, 4, 1},
    {"version", 4, 4, 4},
    {"cluster size", 20, 4, 8},
    {"cluster size", 20, 4, 22},
    {"cluster size", 20, 4, UINT32_MAX},
    {"disk size", 24, 8, 0},
    {"disk size", 24, 8, 513},
    {"disk size", 24, 8, BIT(63)},
    {"L1 table size", 24, 8, BIT(62)},
    {"L1 table size", 24, 8, (2 << 20) + 512},
    {"L1 table size", 36, 4, 0},
    {"L1 table size", 36, 4, UINT32_MAX},
    {"L1 table offset", 36, 4, 513 * 8},
    {"L1 table offset", 40, 8, 0},
    {"L1 table offset", 40, 8, 3 * CLUSTER + 8},
    {"L1 table offset", 40, 8, TINY},
    {"L1 table offset", 40, 8, UINT64_MAX & ~(CLUSTER - 1ull)},
    {"overlap", 40, 8, 1 * CLUSTER},
    {"refcount table offset", 48, 8, 0},
    {"refcount table offset", 48, 8, 512},
    {"refcount table offset", 48, 8, TINY},
    {"refcount table entry", 48, 8, 3 * CLUSTER},
    {"refcount table size", 56, 4, 0},
    {"refcount table offset", 56, 4, 8},
    {"refcount table size", 56, 4, UINT32_MAX},
    {"encryption", 32, 4, 1},
    {"LUKS", 32, 4, 2},
    {"number of snapshots", 60, 4, UINT32_MAX},
    {"snapshot table offset", 60, 4, 1},
    {"backing file name length", 8, 8, 200},
    {"backing file name length", 16, 4, 5},
    {"dirty", 72, 8, BIT(0)},
    {"corrupt", 72, 8, BIT(1)},
    {"external data file", 72, 8, BIT(2)},
    {"extended L2", 72, 8, BIT(4)},
    {"unknown features", 72, 8, BIT(40)},
    {"refcount width", 96, 4, 7},
    {"length", 100, 4, 96},
    {"length", 100, 4, 108},
    {"length", 100, 4, CLUSTER + 8},
    {"L1 entry", 3 * CLUSTER, 8, BIT(63)},
    {"L1 entry", 3 * CLUSTER, 8, BIT(63) | (4 * CLUSTER + 512)},
    {"L1 entry", 3 * CLUSTER, 8, BIT(63) | TINY},
    {"L1 entry", 3 * CLUSTER, 8, BIT(62) | 4 * CLUSTER},
    {"overlap", 3 * CLUSTER, 8, BIT(63) | 2 * CLUSTER},
    {"refcount table entry", CLUSTER, 8, 2 * CLUSTER + 1},
    {"refcount table entry", CLUSTER, 8, TINY},
    {"overlap", CLUSTER, 8, 4 * CLUSTER},
    {"reference count is 0", CLUSTER, 8, 0},
    {"reference count is 0", 2 * CLUSTER + 8, 2, 0},
};

static void a_lying_header_is_named_and_nothing_is_written(void **state)
{
    static uint8_t image[TINY], after[TINY + 1];
    struct block *b;
    struct error err;

    for (size_t i = 0; i < COUNT(lies); i++) {
        tiny(image);
        be(image + lies[i].at, lies[i].size, lies[i].value);
        put_file("t.qcow2", image, TINY);
        if (block_open(in_folder("t.qcow2"), BLOCK_QCOW2, false, &b, &err) == OK)
            fail_msg("accepted: %s = %#llx", lies[i].says, (unsigned long long)lies[i].value);
        if (!strstr(err.text, lies[i].says))
            fail_msg("'%s' does not say '%s'", err.text, lies[i].says);
        assert_int_equal(get_file("t.qcow2", after, sizeof(after)), TINY);
        assert_memory_equal(image, after, TINY);
    }
}

/* Entries that are judged on use. */
static void a_lying_l2_entry_stops_the_request(void **state)
{
    static const uint64_t entries[] = {
        BIT(63) | TINY,                /* past the file */
        BIT(63) | (5 * CLUSTER + 512), /* not aligned */
        BIT(63) | 3 * CLUSTER,         /* the L1 table */
        BIT(63) | CLUSTER,             /* the refcount table */
        BIT(57) | 5 * CLUSTER,         /* reserved bits */
        2,
        BIT(62) | TINY,        /* compressed, past the file */
        BIT(62) | 5 * CLUSTER, /* compressed, but AA AA ... is no stream */
    };
    uint8_t image[TINY], got[512];
    struct block *b;
    struct error err;

    for (size_t i = 0; i < COUNT(entries); i++) {
        tiny(image);
        be(image + 4 * CLUSTER, 8, entries[i]);
        put_file("t.qcow2", image, TINY);
        b = open_image("t.qcow2", BLOCK_QCOW2, false);
        assert_int_equal(block_read(b, 0, got, 512, &err), ERR_FORMAT);
        assert_int_equal(block_write(b, 512, got, 512, &err), ERR_FORMAT);
        assert_int_equal(block_read(b, CLUSTER, got, 512, &err), OK);
        block_close(b);
    }
}

static void a_dirty_image_can_still_be_read(void **state)
{
    uint8_t image[TINY], got[512];
    struct block *b;
    struct error err;

    tiny(image);
    be(image + 72, 8, 1);
    put_file("t.qcow2", image, TINY);
    b = open_image("t.qcow2", BLOCK_QCOW2, true);
    CHECK(block_read(b, 0, got, 512, &err));
    assert_int_equal(got[0], 0xaa);
    assert_int_equal(block_write(b, 0, got, 512, &err), ERR_STATE);
    block_close(b);
}

/* A writer that does not keep a bitmap must strike it out, and not before it writes. */
static void autoclear_features_go_with_the_first_write(void **state)
{
    static uint8_t image[TINY], after[TINY];
    struct block *b;
    struct error err;

    tiny(image);
    be(image + 88, 8, 1);
    put_file("t.qcow2", image, TINY);
    b = open_image("t.qcow2", BLOCK_QCOW2, false);
    CHECK(block_read(b, 0, after, 512, &err));
    get_file("t.qcow2", after, TINY);
    assert_int_equal(after[95], 1);
    CHECK(block_write(b, 0, after, 512, &err));
    get_file("t.qcow2", after, TINY);
    assert_int_equal(after[95], 0);
    block_close(b);
}

static int set_up(void **state)
{
    have_qemu_img = system("qemu-img --version >/dev/null 2>&1") == 0;
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
        cmocka_unit_test(the_handmade_image_is_sound),
        cmocka_unit_test(a_lying_header_is_named_and_nothing_is_written),
        cmocka_unit_test(a_lying_l2_entry_stops_the_request),
        cmocka_unit_test(a_dirty_image_can_still_be_read),
        cmocka_unit_test(autoclear_features_go_with_the_first_write),
        cmocka_unit_test(random_use_matches_a_model),
        cmocka_unit_test(compressed_clusters_are_read_and_replaced),
        cmocka_unit_test(backing_files_show_through),
        cmocka_unit_test(locks_are_qemus),
        cmocka_unit_test(a_shorter_backing_file_ends_in_zeros),
        cmocka_unit_test(snapshots_survive_writes),
        cmocka_unit_test(a_chain_that_never_ends_is_cut),
        cmocka_unit_test(foreign_features_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
