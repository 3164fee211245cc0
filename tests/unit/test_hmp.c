/* The human monitor: what lines say and do, memory by each kind of page tables, the line editor.
 * The guest is a fake. */
#include "fake_vm.h"
#include "host/monitor/hmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h> /* after base/status.h: both have a `fail` */

#define CR0_PE   UINT64_C(1)
#define CR0_PG   (UINT64_C(1) << 31)
#define CR4_PSE  (UINT64_C(1) << 4)
#define CR4_PAE  (UINT64_C(1) << 5)
#define EFER_LMA (UINT64_C(1) << 10)

#define P     1u
#define W     2u
#define U     4u
#define LARGE 0x80u

static struct vm vm;
static struct monitor *m;

static int set_up(void **state)
{
    struct error err;

    fake_vm_init(&vm);
    return monitor_new(&vm, NULL, &m, &err) != OK;
}

static int tear_down(void **state)
{
    monitor_free(m);
    fake_vm_done(&vm);
    return 0;
}

/* What a line says, without \r; valid until the next. */
static const char *said(const char *line, bool *good)
{
    static char text[1 << 20];
    char *out, *to = text;

    *good = hmp_run(m, line, &out);
    assert_non_null(out);
    for (const char *p = out; *p && to < text + sizeof(text) - 1; p++)
        if (*p != '\r')
            *to++ = *p;
    *to = 0;
    free(out);
    return text;
}

static void expect(const char *line, const char *want)
{
    bool good;
    const char *text = said(line, &good);

    if (!good || strcmp(text, want) != 0)
        fail_msg("%s: %s", line, text);
}

static void refused(const char *line, const char *want)
{
    bool good;
    const char *text = said(line, &good);

    if (good || !strstr(text, want))
        fail_msg("%s: %s", line, text);
}

static void holds(const char *line, const char *want)
{
    bool good;
    const char *text = said(line, &good);

    if (!good || !strstr(text, want))
        fail_msg("%s: '%s' is not in %s", line, want, text);
}

/* ---- lines -------------------------------------------------------------------------------------
 */

static void lines_are_obeyed(void **state)
{
    expect("", "");
    expect("  stop ", "");
    assert_int_equal(vm.state, VM_PAUSED);
    expect("info status", "VM status: paused\n");
    expect("c", "");
    assert_int_equal(vm.state, VM_RUNNING);
    expect("info status", "VM status: running\n");
    expect("system_reset", "");
    expect("system_powerdown", "");
    expect("nmi", "");
    expect("q", "");
    assert_int_equal(vm.resets, 1);
    assert_int_equal(vm.powerdowns, 1);
    assert_int_equal(vm.nmis, 1);
    assert_int_equal(vm.quits, 1);
    vm.state = VM_PRELAUNCH;
    expect("info status", "VM status: paused (prelaunch)\n");
    expect("sev-inject-launch-secret AAEC c2VjcmV0 0x800000", "");
    assert_int_equal(vm.header_len, 3);
    assert_memory_equal(vm.header, "\0\1\2", 3);
    assert_int_equal(vm.secret_len, 6);
    assert_memory_equal(vm.secret, "secret", 6);
    assert_int_equal(vm.secret_gpa, 0x800000);
    holds("info cpus", "CPU #1");
    expect("info name", "fake\n");
    holds("info mtree", "0000000100000000-00000001000fffff (prio 0, ram)");
    expect("info sev", "SEV is not enabled\n");
    expect("info dump", "Status: none\n");
    holds("help", "dump-guest-memory [-d] file");
    holds("help x", "/fmt is a count");
    holds("info", "info registers [-a|vcpu]");
}

static void lines_are_refused(void **state)
{
    char *longest = calloc(1, 9000);

    refused("frob", "unknown command: 'frob'");
    refused("info frob", "unknown command: 'info frob'");
    refused("help frob", "unknown command: 'frob'");
    refused("/", "unknown command");
    refused("stop now", "'now' is more than this command takes");
    refused("dump-guest-memory", "filename expected");
    refused("dump-guest-memory /tmp/x 1", "a length goes with the beginning");
    refused("dump-guest-memory /tmp/x 1 y", "'y' is not a number");
    refused("dump-guest-memory /nonexistent/x", "could not open '/nonexistent/x'");
    refused("sev-inject-launch-secret AAEC c2VjcmV0", "guest physical address expected");
    refused("sev-inject-launch-secret AAEC !!!! 0", "'!!!!' is not base64");
    refused("sev-inject-launch-secret AAEC c2VjcmV0 x", "'x' is not a number");
    refused("sev-inject-launch-secret AAEC c2VjcmV0 0 1", "'1' is more than");
    refused("info registers 2", "'2' is not -a or the number of a vCPU below 2");
    refused("info registers x", "'x' is not -a");
    refused("xp", "an address is missing");
    refused("xp /x", "an address is missing");
    refused("xp /", "an address is missing");
    refused("xp /z 0", "invalid char in format: 'z'");
    refused("xp /0x 0", "a count is from 1 to 65536");
    refused("xp /99999999999999999999x 0", "a count is from 1 to 65536");
    refused("xp /i 0", "no disassembler");
    refused("xp $foo", "'$foo' is neither a number nor a register");
    refused("xp 1+", "is neither a number nor a register");
    refused("xp 1 2", "only + and - go between terms");
    assert_int_equal(vm.state, VM_RUNNING);
    memset(longest, 'x', 8999);
    refused(longest, "longer than 4096 bytes");
    free(longest);
}

/* ---- memory ------------------------------------------------------------------------------------
 */

static void items_look_as_in_qemu(void **state)
{
    static const uint8_t bytes[16] = {0x41, 0x27, 0x0A, 0x00, 0xFF, 0xFE, 0x7F, 0x80, 1, 2, 3, 4};

    memcpy(vm.ram + 0x100, bytes, sizeof(bytes));
    vm.vcpu[0].regs.rip = 0x104;
    vm.vcpu[0].regs.gpr[10] = 0x10;
    expect("xp /2xg 0x100", "0000000000000100: 0x807ffeff000a2741 0x0000000004030201\n");
    expect("xp/4wx 0x100", "0000000000000100: 0x000a2741 0x807ffeff 0x04030201 0x00000000\n");
    expect("xp 0x100", "0000000000000100: 0x000a2741\n");
    expect("xp /5c 256", "0000000000000100: 'A' '\\'' '\\n' '\\x00' '\\xff'\n");
    expect("xp /2db 0x104", "0000000000000104: -1 -2\n");
    expect("xp /2ub 0x104", "0000000000000104: 255 254\n");
    expect("xp /dh 0x104", "0000000000000104: -257\n");
    expect("xp /ob 0x104", "0000000000000104: 0377\n");
    expect("xp /9bx $rip - 0x4", "0000000000000100: 0x41 0x27 0x0a 0x00 0xff 0xfe 0x7f 0x80\n"
                                 "0000000000000108: 0x01\n");
    expect("xp /bx $r10+$r10+0xE0+4", "0000000000000104: 0xff\n");
    expect("xp /2gx 0x1ffff8", "00000000001ffff8: 0x0000000000000000 Cannot access memory\n");
    expect("xp /bx 0xfee00000", "00000000fee00000: Cannot access memory\n");
    expect("xp /bx 0-1", "ffffffffffffffff: Cannot access memory\n");
    expect("x /bx 0x104", "0000000000000104: 0xff\n"); /* paging is off */
}

static void put(uint64_t table, unsigned index, uint64_t entry)
{
    store64(vm.ram + table + 8 * index, entry);
}

/* The same two pages and a large one under each kind of tables. */
static void four_levels(void)
{
    vm.vcpu[0].regs.cr0 = CR0_PE | CR0_PG;
    vm.vcpu[0].regs.cr4 = CR4_PAE;
    vm.vcpu[0].regs.efer = EFER_LMA;
    vm.vcpu[0].regs.cr3 = 0x10018; /* PCID or cache bits do not count */
    put(0x10000, 511, 0x11000 | P | W | U);
    put(0x11000, 510, 0x12000 | P | W);
    put(0x12000, 8, 0x13000 | P | W | U);
    put(0x12000, 9, 0x000000 | P | LARGE); /* read-only */
    put(0x13000, 0, 0x5000 | P | W | U | UINT64_C(1) << 63);
    put(0x13000, 1, 0x3000 | P | W);
}

static void pae(void)
{
    vm.vcpu[0].regs.cr0 = CR0_PE | CR0_PG;
    vm.vcpu[0].regs.cr4 = CR4_PAE;
    vm.vcpu[0].regs.cr3 = 0x10020;
    put(0x10020, 3, 0x12000 | P); /* no rights here */
    put(0x12000, 8, 0x13000 | P | W);
    put(0x12000, 9, 0x000000 | P | LARGE);
    put(0x13000, 0, 0x5000 | P | W | U);
    put(0x13000, 1, 0x3000 | P | W);
}

static void two_levels(void)
{
    vm.vcpu[0].regs.cr0 = CR0_PE | CR0_PG;
    vm.vcpu[0].regs.cr4 = CR4_PSE;
    vm.vcpu[0].regs.cr3 = 0x10000;
    store32(vm.ram + 0x10000 + 4 * 772, 0x13000 | P | W);
    store32(vm.ram + 0x10000 + 4 * 773, 0x000000 | P | LARGE);
    store32(vm.ram + 0x13000, 0x5000 | P | W | U);
    store32(vm.ram + 0x13004, 0x3000 | P | W);
}

static const struct {
    const char *kind;
    void (*build)(void);
    uint64_t base; /* of the two pages; the large one is next */
    uint64_t large;
} kinds[] = {
    {"four levels", four_levels, UINT64_C(0xFFFFFFFF81000000), 0x200000},
    {"PAE", pae, 0xC1000000, 0x200000},
    {"two levels", two_levels, 0xC1000000, 0x400000},
};

static void memory_is_found_by_every_kind_of_tables(void **state)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char line[64], want[512];
        uint64_t b = kinds[i].base, l = kinds[i].large;

        memset(vm.ram, 0, FAKE_LOW_BYTES);
        vm.vcpu[0].regs = (struct vcpu_regs){0};
        kinds[i].build();
        store32(vm.ram + 0x5FFE, 0x44332211); /* crosses to a page that is elsewhere */
        store16(vm.ram + 0x3000, 0x6655);
        store32(vm.ram + 0x1234, 0xCAFE);
        snprintf(line, sizeof(line), "x /wx %#llx", (unsigned long long)b + 0xFFE);
        snprintf(want, sizeof(want), "%016llx: 0x66552211\n", (unsigned long long)b + 0xFFE);
        expect(line, want);
        snprintf(line, sizeof(line), "x /wx %#llx", (unsigned long long)(b + l) + 0x1234);
        snprintf(want, sizeof(want), "%016llx: 0x0000cafe\n", (unsigned long long)(b + l) + 0x1234);
        expect(line, want);
        snprintf(line, sizeof(line), "x /wx %#llx", (unsigned long long)b + 0x2000);
        snprintf(want, sizeof(want), "%016llx: Cannot access memory\n",
                 (unsigned long long)b + 0x2000);
        expect(line, want);
        /* Rights are those of all levels; the first page is the guest's user's only where the way
         * to it is. */
        snprintf(want, sizeof(want),
                 "%016llx-%016llx 0000000000002000 -rw\n%016llx-%016llx %016llx -r-\n",
                 (unsigned long long)b, (unsigned long long)b + 0x2000, (unsigned long long)(b + l),
                 (unsigned long long)(b + 2 * l), (unsigned long long)l);
        expect("info mem", want);
    }
}

static void looking_leaves_no_trace(void **state)
{
    uint8_t *before = malloc(FAKE_LOW_BYTES);
    bool good;

    assert_non_null(before);
    four_levels();
    memcpy(before, vm.ram, FAKE_LOW_BYTES);
    (void)said("x /4gx 0xffffffff81000000", &good);
    (void)said("info mem", &good);
    assert_memory_equal(vm.ram, before, FAKE_LOW_BYTES);
    assert_int_equal(vm.writes, 0);
    free(before);
}

/* Tables that map themselves over and over: 512^4 pages to list. */
static void endless_tables_end(void **state)
{
    four_levels();
    for (unsigned i = 0; i < 512; i++)
        put(0x10000, i, 0x10000 | P | W);
    holds("info mem", "too many page tables");
}

static void what_the_host_cannot_know_is_refused(void **state)
{
    four_levels();
    vm.cfg.sev = SEV_PLAIN;
    refused("x /gx 0xffffffff81000000", "the guest's page tables are encrypted (SEV)");
    refused("info mem", "encrypted (SEV)");
    expect("xp /gx 0", "0000000000000000: 0x0000000000000000\n");
    holds("info sev", "handle: 1\nasid: 100\nstate: running\nbuild: 21\napi version: 1.55\n"
                      "policy: 0x5\ndebug: off\nkey-sharing: on\nmeasurement and nonce: AAEC");
}

/* ---- registers ---------------------------------------------------------------------------------
 */

static void registers_are_laid_out_by_the_mode(void **state)
{
    struct vcpu_regs *r = &vm.vcpu[0].regs;

    r->gpr[3] = 0x12345678;
    r->rip = 0xFFF0;
    r->rflags = 0x246;
    r->cs = (struct vmcb_seg){0xF000, 0x9B, 0xFFFF, 0xFFFF0000};
    holds("info registers", "EAX=00000000 EBX=12345678 ECX=");
    holds("info registers", "EIP=0000fff0 EFL=00000246 [---Z-P-] CPL=0 HLT=0\n");
    holds("info registers", "CS =f000 ffff0000 0000ffff 00009b00\n");
    r->cr0 = CR0_PE | CR0_PG;
    r->efer = EFER_LMA;
    r->cs = (struct vmcb_seg){0x33, 0xAFB, 0xFFFFFFFF, 0};
    r->ss = (struct vmcb_seg){0x2B, 0xCF3, 0xFFFFFFFF, 0};
    r->tr = (struct vmcb_seg){0x40, 0x8B, 0x67, 0x1000};
    store32(r->xsave + 24, 0x1F80);
    store64(r->xsave + 160 + 15 * 16, 0x1111);
    holds("info registers", "RBX=0000000012345678");
    holds("info registers", "CS =0033 0000000000000000 ffffffff 00a0fb00 DPL=3 CS64 [-RA]\n");
    holds("info registers", "SS =002b 0000000000000000 ffffffff 00c0f300 DPL=3 DS   [-WA]\n");
    holds("info registers", "TR =0040 0000000000001000 00000067 00008b00 DPL=0 TSS64-busy\n");
    holds("info registers", "MXCSR=00001f80");
    holds("info registers", "XMM15=0000000000000000 0000000000001111\n");
    holds("info registers -a", "CPU#1");
    holds("info registers 1", "CPU#1");
}

/* ---- the terminal ------------------------------------------------------------------------------
 */

static char screen[8192];

static void show(void *ctx, const char *text, size_t len)
{
    strncat(screen, text, MIN(len, sizeof(screen) - 1 - strlen(screen)));
}

static void keys(struct hmp_console *c, const char *text)
{
    *screen = 0;
    hmp_console_keys(c, (const uint8_t *)text, strlen(text));
}

static void a_line_is_edited_and_run(void **state)
{
    struct hmp_console *c = hmp_console_new(m, show, NULL);

    hmp_console_open(c);
    keys(c, "stopp\x7F\r");
    assert_string_equal(screen, "stopp\b \b\r\n(lucca) ");
    assert_int_equal(vm.state, VM_PAUSED);
    keys(c, "quit\x15"
            "cont\n");
    assert_int_equal(vm.state, VM_RUNNING);
    assert_int_equal(vm.quits, 0);
    keys(c, "quit\x03\x1B[A\x1BOB\x08info name\r");
    assert_int_equal(vm.quits, 0);
    assert_string_equal(screen, "quit\r\n(lucca) info name\r\nfake\r\n(lucca) ");
    for (int i = 0; i < 2000; i++)
        keys(c, "y");
    assert_string_equal(screen, ""); /* no room for more */
    keys(c, "\r");
    assert_non_null(strstr(screen, "unknown command: 'yyy"));
    hmp_console_free(c);
}

#define HMP_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HMP_TEST(lines_are_obeyed),
        HMP_TEST(lines_are_refused),
        HMP_TEST(items_look_as_in_qemu),
        HMP_TEST(memory_is_found_by_every_kind_of_tables),
        HMP_TEST(looking_leaves_no_trace),
        HMP_TEST(endless_tables_end),
        HMP_TEST(what_the_host_cannot_know_is_refused),
        HMP_TEST(registers_are_laid_out_by_the_mode),
        HMP_TEST(a_line_is_edited_and_run),
    };

    return cmocka_run_group_tests_name("hmp", tests, NULL, NULL);
}
