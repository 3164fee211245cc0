/* ELF core dumps: what is in the file, when it is there, and other people's tools on it. */
#include "fake_vm.h"
#include "host/monitor/dump.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cmocka.h> /* after base/status.h: both have a `fail` */

#define BYTES (FAKE_LOW_BYTES + FAKE_HIGH_BYTES)

static struct vm vm;
static char dir[32], path[64];

static int set_up(void **state)
{
    fake_vm_init(&vm);
    for (size_t i = 0; i < BYTES; i++)
        vm.ram[i] = (uint8_t)(i * 7 + (i >> 12) + 1);
    memset(vm.ram + 0x3000, 0, 0x5000);           /* a hole */
    memset(vm.ram + 0x9000, 0, 0xFFF);            /* zeros, but for its last byte */
    memset(vm.ram + BYTES - 0x20000, 0, 0x20000); /* and one at the end */
    vm.vcpu[0].regs = (struct vcpu_regs){
        .gpr = {0xA0, 0xC1, 0xD2, 0xB3, 0x54, 0xB5, 0x56, 0xD7, 8, 9, 10, 11, 12, 13, 14, 15},
        .rip = 0xFFFFFFFF81000042,
        .rflags = 0x246,
        .cs = {0x10, 0xA9B, 0xFFFFFFFF, 0},
        .ss = {0x18, 0xC93, 0xFFFFFFFF, 0},
        .gs = {0, 0, 0, 0xFFFF888000001000},
        .tr = {0x40, 0x08B, 0x4087, 0xFFFFFE0000003000},
        .cr0 = 0x80050033,
        .cr2 = 0x1234,
        .cr3 = 0x6410000,
        .cr4 = 0x370EB0,
        .kernel_gs_base = 0x7777};
    vm.vcpu[1].regs = (struct vcpu_regs){.rip = 0x1111, .gpr = {0xAA}};
    strcpy(dir, "/tmp/lucca-dump-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/dump", dir);
    return 0;
}

static int tear_down(void **state)
{
    fake_vm_done(&vm);
    unlink(path);
    return rmdir(dir); /* whatever a test left makes this fail */
}

static enum status dump_to(const char *to, struct dump_range range, struct error *err)
{
    struct dump *d;
    bool done = false;
    enum status s = dump_start(&vm, to, range, &d, err);

    if (s != OK)
        return s;
    while (s == OK && !done)
        s = dump_step(d, &done, err);
    if (s == OK)
        assert_int_equal(dump_completed(d), dump_total(d));
    dump_free(d);
    return s;
}

static void dump(struct dump_range range)
{
    struct error err;

    if (dump_to(path, range, &err) != OK)
        fail_msg("%s", err.text);
}

static uint8_t *slurp(size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    uint8_t *bytes;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, *len), *len);
    close(fd);
    return bytes;
}

static void headers_and_memory_are_those_of_a_core(void **state)
{
    const Elf64_Phdr *ph;
    const Elf64_Ehdr *eh;
    uint8_t *bytes;
    size_t len;

    dump((struct dump_range){0});
    bytes = slurp(&len);
    eh = (const Elf64_Ehdr *)bytes;
    assert_memory_equal(eh->e_ident, ELFMAG, SELFMAG);
    assert_int_equal(eh->e_type, ET_CORE);
    assert_int_equal(eh->e_machine, EM_X86_64);
    assert_int_equal(eh->e_phnum, 3);
    ph = (const Elf64_Phdr *)(bytes + eh->e_phoff);
    assert_int_equal(ph[0].p_type, PT_NOTE);
    assert_int_equal(ph[1].p_type, PT_LOAD);
    assert_int_equal(ph[1].p_paddr, 0);
    assert_int_equal(ph[1].p_filesz, FAKE_LOW_BYTES);
    assert_int_equal(ph[2].p_paddr, FAKE_HIGH);
    assert_int_equal(ph[2].p_filesz, FAKE_HIGH_BYTES);
    assert_int_equal(ph[2].p_offset + ph[2].p_filesz, len);
    assert_int_equal(ph[1].p_offset % 4096, 0);
    assert_memory_equal(bytes + ph[1].p_offset, vm.ram, FAKE_LOW_BYTES);
    assert_memory_equal(bytes + ph[2].p_offset, vm.ram + FAKE_LOW_BYTES, FAKE_HIGH_BYTES);
    free(bytes);
}

/* By their places in Linux's elf_prstatus and in QEMU's note. */
static void notes_hold_the_registers(void **state)
{
    const uint8_t *note, *body;
    uint8_t *bytes;
    size_t len;

    dump((struct dump_range){0});
    bytes = slurp(&len);
    note = bytes + ((const Elf64_Phdr *)(bytes + sizeof(Elf64_Ehdr)))->p_offset;
    assert_int_equal(load32(note), 5);
    assert_int_equal(load32(note + 4), 336);
    assert_int_equal(load32(note + 8), NT_PRSTATUS);
    assert_string_equal((const char *)note + 12, "CORE");
    body = note + 20;
    assert_int_equal(load32(body + 32), 1);              /* pid: the first vCPU */
    assert_int_equal(load64(body + 112), 15);            /* r15 */
    assert_int_equal(load64(body + 112 + 10 * 8), 0xA0); /* rax */
    assert_int_equal(load64(body + 112 + 16 * 8), 0xFFFFFFFF81000042);
    assert_int_equal(load64(body + 112 + 19 * 8), 0x54); /* rsp */
    assert_int_equal(load64(body + 112 + 22 * 8), 0xFFFF888000001000);
    body += 336 + 20;
    assert_int_equal(load32(body + 32), 2);
    assert_int_equal(load64(body + 112 + 16 * 8), 0x1111);
    note = body + 336;
    assert_int_equal(load32(note + 4), 440);
    assert_int_equal(load32(note + 8), 0);
    assert_string_equal((const char *)note + 12, "QEMU");
    body = note + 20;
    assert_int_equal(load32(body), 1);
    assert_int_equal(load32(body + 4), 440);
    assert_int_equal(load64(body + 8), 0xA0); /* rax */
    assert_int_equal(load64(body + 8 + 16 * 8), 0xFFFFFFFF81000042);
    assert_int_equal(load32(body + 152), 0x10); /* cs */
    assert_int_equal(load32(body + 152 + 8), 0xA09B00);
    assert_int_equal(load64(body + 152 + 7 * 24 + 16), 0xFFFFFE0000003000); /* tr */
    assert_int_equal(load64(body + 392 + 3 * 8), 0x6410000);                /* cr3 */
    assert_int_equal(load64(body + 432), 0x7777);                           /* kernel_gs_base */
    free(bytes);
}

static void zeros_are_holes(void **state)
{
    struct stat st;

    memset(vm.ram, 0, BYTES);
    vm.ram[0x5000] = 1;
    dump((struct dump_range){0});
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > (off_t)BYTES);
    assert_true(st.st_blocks * 512 < 256 << 10);
    headers_and_memory_are_those_of_a_core(state);
}

static const struct {
    struct dump_range range;
    unsigned loads;
    uint64_t gpa, bytes, offset_in_ram;
} ranges[] = {
    {{0x1000, 0x2000}, 1, 0x1000, 0x2000, 0x1000},
    {{0x1001, 0x1ABC}, 1, 0x1001, 0x1ABC, 0x1001},
    {{FAKE_LOW_BYTES - 16, 4096}, 1, FAKE_LOW_BYTES - 16, 16, FAKE_LOW_BYTES - 16},
    {{0xFFFFF000, 0x1800}, 1, FAKE_HIGH, 0x800, FAKE_LOW_BYTES},
    {{0, UINT64_MAX}, 2, 0, FAKE_LOW_BYTES, 0},
    {{FAKE_LOW_BYTES - 0x1000, INT64_MAX},
     2,
     FAKE_LOW_BYTES - 0x1000,
     0x1000,
     FAKE_LOW_BYTES - 0x1000},
};

static void a_part_is_that_part(void **state)
{
    for (size_t i = 0; i < COUNT(ranges); i++) {
        const Elf64_Phdr *ph;
        uint8_t *bytes;
        size_t len;

        dump(ranges[i].range);
        bytes = slurp(&len);
        ph = (const Elf64_Phdr *)(bytes + sizeof(Elf64_Ehdr));
        assert_int_equal(((const Elf64_Ehdr *)bytes)->e_phnum, 1 + ranges[i].loads);
        assert_int_equal(ph[1].p_paddr, ranges[i].gpa);
        assert_int_equal(ph[1].p_filesz, ranges[i].bytes);
        assert_memory_equal(bytes + ph[1].p_offset, vm.ram + ranges[i].offset_in_ram,
                            ranges[i].bytes);
        free(bytes);
    }
}

/* ---- what goes wrong leaves nothing ------------------------------------------------------------
 */

static void nothing_is_left(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            fail_msg("%s is left", e->d_name);
    closedir(d);
}

static void a_range_without_memory_is_refused(void **state)
{
    struct error err;

    assert_int_equal(dump_to(path, (struct dump_range){FAKE_LOW_BYTES, 4096}, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "no memory in the 4096 bytes from 0x200000 on"));
    nothing_is_left();
}

static void places_that_cannot_be_written_are_refused(void **state)
{
    struct error err;

    assert_int_equal(dump_to("/nonexistent/dump", (struct dump_range){0}, &err), ERR_IO);
    assert_non_null(strstr(err.text, "could not open '/nonexistent/dump'"));
    assert_int_equal(dump_to(dir, (struct dump_range){0}, &err), ERR_ARG);
    assert_non_null(strstr(err.text, "is a directory"));
    assert_int_equal(dump_to("/dev/full", (struct dump_range){0}, &err), ERR_IO);
    assert_non_null(strstr(err.text, "does not fit at '/dev/full': No space left on device"));
    nothing_is_left();
}

/* A file system that refuses half-way, as a full one does. */
static void a_full_disk_leaves_what_was_there(void **state)
{
    struct rlimit was, small;
    struct error err;
    uint8_t *bytes;
    size_t len;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs("precious", f);
    fclose(f);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){1 << 20, was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(dump_to(path, (struct dump_range){0}, &err), ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_non_null(strstr(err.text, "does not fit at"));
    bytes = slurp(&len);
    assert_int_equal(len, 8);
    assert_memory_equal(bytes, "precious", 8);
    free(bytes);
    unlink(path);
    nothing_is_left();
}

static void a_dump_given_up_leaves_nothing(void **state)
{
    struct error err;
    struct dump *d;

    assert_int_equal(dump_start(&vm, path, (struct dump_range){0}, &d, &err), OK);
    assert_int_not_equal(access(path, F_OK), 0); /* and until it is whole it has no name */
    dump_free(d);
    nothing_is_left();
}

static void links_and_devices_are_not_replaced(void **state)
{
    char target[80];
    struct error err;
    struct stat st;
    int ends[2];
    char fd_path[32];
    uint8_t head[4];

    snprintf(target, sizeof(target), "%s/target", dir);
    close(open(target, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(symlink("target", path), 0);
    dump((struct dump_range){0});
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(target, &st), 0);
    assert_true(st.st_size > (off_t)BYTES);
    unlink(target);
    assert_int_equal(dump_to("/dev/null", (struct dump_range){0}, &err), OK);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(pipe(ends), 0);
    snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", ends[1]);
    assert_int_equal(dump_to(fd_path, (struct dump_range){0x3000, 0x1000}, &err), OK);
    assert_int_equal(read(ends[0], head, 4), 4);
    assert_memory_equal(head, ELFMAG, 4);
    close(ends[0]);
    close(ends[1]);
}

/* ---- other people's tools ----------------------------------------------------------------------
 */

static const char *run(const char *command)
{
    static char out[16384];
    FILE *p = popen(command, "r");
    size_t n;

    assert_non_null(p);
    n = fread(out, 1, sizeof(out) - 1, p);
    out[n] = 0;
    pclose(p);
    return out;
}

static void expect_in(const char *text, const char *want)
{
    if (!strstr(text, want))
        fail_msg("'%s' is not in:\n%s", want, text);
}

static void readelf_reads_it(void **state)
{
    char command[160];
    const char *text;

    if (system("command -v readelf >/dev/null 2>&1") != 0)
        skip();
    dump((struct dump_range){0});
    snprintf(command, sizeof(command), "LC_ALL=C readelf -hlnW %s 2>&1", path);
    text = run(command);
    expect_in(text, "CORE (Core file)");
    expect_in(text, "NT_PRSTATUS (prstatus structure)");
    expect_in(text, "0x0000000100000000 0x0000000100000000 0x100000 0x100000");
    assert_null(strstr(text, "Warning"));
    assert_null(strstr(text, "Error"));
}

static void gdb_reads_it(void **state)
{
    char command[256];
    const char *text;

    if (system("command -v gdb >/dev/null 2>&1") != 0)
        skip();
    store64(vm.ram + 0x1008, 0x1122334455667788);
    dump((struct dump_range){0});
    snprintf(command, sizeof(command),
             "gdb -nx -batch -ex 'target core %s' -ex 'info registers rip rax r15' -ex 'thread 2' "
             "-ex 'p/x $rip' -ex 'x/gx 0x1008' 2>&1",
             path);
    text = run(command);
    expect_in(text, "0xffffffff81000042");
    expect_in(text, "0xa0");
    expect_in(text, "= 0x1111");
    expect_in(text, "0x1122334455667788");
}

#define DUMP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DUMP_TEST(headers_and_memory_are_those_of_a_core),
        DUMP_TEST(notes_hold_the_registers),
        DUMP_TEST(zeros_are_holes),
        DUMP_TEST(a_part_is_that_part),
        DUMP_TEST(a_range_without_memory_is_refused),
        DUMP_TEST(places_that_cannot_be_written_are_refused),
        DUMP_TEST(a_full_disk_leaves_what_was_there),
        DUMP_TEST(a_dump_given_up_leaves_nothing),
        DUMP_TEST(links_and_devices_are_not_replaced),
        DUMP_TEST(readelf_reads_it),
        DUMP_TEST(gdb_reads_it),
    };

    return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
