/* Guests with encrypted state: what their hypervisor sees, what it cannot change, and what becomes
 * #VC instead of an exit (APM2 15.35). */
#include "es_rig.h"

static struct es es;

static int open_es(void **state)
{
    es_open(&es, CHIP_GENOA, false);
    return 0;
}

static int open_eager(void **state)
{
    es_open(&es, CHIP_MILAN, true);
    return 0;
}

static int close_es(void **state)
{
    es_close(&es);
    return 0;
}

/* ---- automatic exits and the others (APM2 15.35.3, table 15-33) ----------------------------- */

static void every_exit_is_classified(void **state)
{
    static const uint16_t automatic[] = {
        0x52, 0x60, 0x61, 0x62, 0x63, 0x64, 0x77, 0x78, 0x7F, 0x8F, 0x90, 0x91, 0x92, 0x93,  0x94,
        0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA5, 0xA6, 0x400, 0x403,
    };

    for (uint64_t code = 0, i = 0; code < 0x500; code++) {
        bool is = i < COUNT(automatic) && automatic[i] == code;

        assert_int_equal(vc_automatic(code, 0), is);
        assert_int_equal(vc_automatic(code, 8), is && code != 0x400); /* a reserved bit */
        assert_int_equal(vc_automatic(code, ~UINT64_C(8)), is);
        assert_int_equal(vc_advances(code), code == 0x77 || code == 0x78 || code == 0xA6);
        i += is;
    }
}

#define I3(name) (UINT32_C(1) << (VMEXIT_##name - 0x60))
#define I4(name) (UINT32_C(1) << (VMEXIT_##name - 0x80))

/* Instructions that an intercept makes #VC: which bit, which error code. */
static const struct {
    const char *name;
    uint8_t code[8];
    uint16_t error;
    uint32_t cr, dr, exception, i3, i4, i5;
} nae[] = {
    {"CPUID, unasked", {0x0F, 0xA2}, .error = 0x72},
    {"IN AL, 80h, unasked", {0xE4, 0x80}, .error = 0x7B},
    {"OUT 80h, EAX, unasked", {0xE7, 0x80}, .error = 0x7B},
    {"IN EAX, DX, unasked", {0xED}, .error = 0x7B},
    {"OUT DX, AL, unasked", {0xEE}, .error = 0x7B},
    {"INSB, unasked", {0x6C}, .error = 0x7B},
    {"REPNE OUTSD, unasked", {0xF2, 0x6F}, .error = 0x7B},
    {"INSW, unasked", {0x66, 0x6D}, .error = 0x7B},
    {"RDMSR", {0x0F, 0x32}, .error = 0x7C, .i3 = I3(MSR)},
    {"WRMSR", {0x0F, 0x30}, .error = 0x7C, .i3 = I3(MSR)},
    {"MOV RAX, CR0", {0x0F, 0x20, 0xC0}, .error = 0x00, .cr = 1},
    {"MOV RAX, CR4", {0x0F, 0x20, 0xE0}, .error = 0x04, .cr = 1 << 4},
    {"MOV CR3, RAX", {0x0F, 0x22, 0xD8}, .error = 0x13, .cr = 1 << 19},
    {"CLTS", {0x0F, 0x06}, .error = 0x10, .cr = 1 << 16},
    {"MOV RAX, DR7", {0x0F, 0x21, 0xF8}, .error = 0x27, .dr = 1 << 7},
    {"MOV DR7, RAX", {0x0F, 0x23, 0xF8}, .error = 0x37, .dr = 1 << 23},
    {"MOV DR0, RAX", {0x0F, 0x23, 0xC0}, .error = 0x30, .dr = 1 << 16},
    {"UD2", {0x0F, 0x0B}, .error = 0x46, .exception = 1 << 6},
    {"INT3", {0xCC}, .error = 0x43, .exception = 1 << 3},
    {"a load from nowhere",
     {0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0x40},
     .error = 0x4E,
     .exception = 1 << 14},
    {"SIDT", {0x0F, 0x01, 0x0F}, .error = 0x66, .i3 = I3(IDTR_READ)},
    {"LGDT", {0x0F, 0x01, 0x17}, .error = 0x6B, .i3 = I3(GDTR_WRITE)},
    {"STR", {0x0F, 0x00, 0xC8}, .error = 0x69, .i3 = I3(TR_READ)},
    {"RDTSC", {0x0F, 0x31}, .error = 0x6E, .i3 = I3(RDTSC)},
    {"RDPMC", {0x0F, 0x33}, .error = 0x6F, .i3 = I3(RDPMC)},
    {"PUSHF", {0x9C}, .error = 0x70, .i3 = I3(PUSHF)},
    {"INT 80h", {0xCD, 0x80}, .error = 0x75, .i3 = I3(SWINT)},
    {"INVD", {0x0F, 0x08}, .error = 0x76, .i3 = I3(INVD)},
    {"INVLPG", {0x0F, 0x01, 0x3F}, .error = 0x79, .i3 = I3(INVLPG)},
    {"VMRUN", {0x0F, 0x01, 0xD8}, .error = 0x80},
    {"VMMCALL", {0x0F, 0x01, 0xD9}, .error = 0x81, .i4 = I4(VMMCALL)},
    {"VMSAVE", {0x0F, 0x01, 0xDB}, .error = 0x83, .i4 = I4(VMSAVE)},
    {"RDTSCP", {0x0F, 0x01, 0xF9}, .error = 0x87, .i4 = I4(RDTSCP)},
    {"INT1", {0xF1}, .error = 0x88, .i4 = I4(ICEBP)},
    {"WBINVD", {0x0F, 0x09}, .error = 0x89, .i4 = I4(WBINVD)},
    {"MONITOR", {0x0F, 0x01, 0xC8}, .error = 0x8A, .i4 = I4(MONITOR)},
    {"MWAIT", {0x0F, 0x01, 0xC9}, .error = 0x8B, .i4 = I4(MWAIT)},
    {"XSETBV", {0x0F, 0x01, 0xD1}, .error = 0x8D, .i4 = I4(XSETBV)},
    {"a load from MMIO", {0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0x01}, .error = 0x400},
    {"a store to MMIO", {0x48, 0x89, 0x04, 0x25, 0, 0, 0, 0x01}, .error = 0x400},
};

/* #VC at the instruction, with the exit's code; CR2 and the general registers as they were. */
static void what_a_hypervisor_may_not_see_is_vc(void **state)
{
    for (size_t i = 0; i < COUNT(nae); i++) {
        struct vmsa v = es_first_vmsa(&es);
        struct es_frame f;

        v.cr4 |= CR4_OSXSAVE;
        v.cr2 = 0x1234567;
        v.rax = 1;
        v.rdi = v.rsi = ES_DATA;
        v.rcx = nae[i].error == VMEXIT_IOIO;
        es_set(&es, &v);
        es_vmcb(&es);
        es.vmcb.control.intercept_cr = nae[i].cr;
        es.vmcb.control.intercept_dr = nae[i].dr;
        es.vmcb.control.intercept_exception = nae[i].exception;
        es.vmcb.control.intercept3 = I3(HLT) | nae[i].i3;
        es.vmcb.control.intercept4 = I4(VMRUN) | nae[i].i4;
        es_code(&es, nae[i].code, sizeof(nae[i].code));
        if (es_run(&es) != VMEXIT_HLT)
            fail_msg("%s: exit %#llx", nae[i].name, (unsigned long long)es.vmcb.control.exitcode);
        f = es_trapped(&es);
        if (f.vec != EXC_VC || f.error != nae[i].error || f.rip != ES_CODE)
            fail_msg("%s: vector %u, error %#llx, RIP %#llx", nae[i].name, f.vec,
                     (unsigned long long)f.error, (unsigned long long)f.rip);
        assert_int_equal(es.vmsa.cr2, 0x1234567);
        assert_int_equal(es.vmsa.rax, 1);
        assert_int_equal(es.vmsa.rdi, ES_DATA);
        assert_int_equal(f.rsp, ES_STACK);
    }
}

static void automatic_exits_advance_as_they_should(void **state)
{
    es.vmcb.control.intercept3 |= I3(PAUSE);
    es_code(&es, CODE(0xF3, 0x90, 0xFB, 0xF4, 0x48, 0x8B, 0x04, 0x25, 0, 0, 0x20, 0x01));
    assert_int_equal(es_run(&es), VMEXIT_PAUSE);
    assert_int_equal(es.vmsa.rip, ES_CODE + 2);
    assert_int_equal(es.vmcb.control.interrupt_state, 0);
    assert_int_equal(es_run(&es), VMEXIT_HLT); /* after STI: its shadow is over */
    assert_int_equal(es.vmsa.rip, ES_CODE + 4);
    assert_int_equal(es.vmcb.control.interrupt_state, GUEST_INTERRUPT_MASK);
    assert_int_equal(es_run(&es), VMEXIT_NPF); /* no reserved bit there: the host pages */
    assert_int_equal(es.vmsa.rip, ES_CODE + 4);
    assert_int_equal(es.vmcb.control.exitinfo1, NPF_USER | NPF_FINAL);
    assert_int_equal(es.vmcb.control.exitinfo2, ES_ABSENT);
    assert_int_equal(es.vmsa.guest_exitcode, VMEXIT_NPF);
    assert_int_equal(es.vmsa.guest_exitinfo1, NPF_USER | NPF_FINAL);
    assert_int_equal(es.vmsa.guest_exitinfo2, ES_ABSENT);
}

/* Nobody may hold a guest in its #VC handler (APM2 15.35.5). */
static void iret_and_vc_cannot_be_intercepted(void **state)
{
    uint64_t frame[] = {ES_CODE + 0x100, 8, 2, ES_STACK, 0x10};

    es_guest_write(&es, ES_STACK - 0x100, frame, sizeof(frame));
    es.vmsa.rsp = ES_STACK - 0x100;
    es_set(&es, &es.vmsa);
    es_code(&es, CODE(0x48, 0xCF));
    es_guest_write(&es, ES_CODE + 0x100, "\x0F\xA2", 2);
    es.vmcb.control.intercept3 |= I3(IRET);
    es.vmcb.control.intercept_exception = 1u << EXC_VC;
    es_expect_vc(&es, 0x72, 0x100);
}

/* ---- VMGEXIT (APM2 15.35.6) ------------------------------------------------------------------ */

static void in_mode(struct vmsa *v, unsigned bits, unsigned cpl)
{
    uint16_t dpl = (uint16_t)(cpl << 5);

    v->cs.attrib = (uint16_t)((bits == 64 ? 0xA9B : bits == 32 ? 0xC9B : 0x9B) | dpl);
    v->cs.selector |= (uint16_t)cpl;
    v->ss.attrib |= dpl;
    v->cpl = (uint8_t)cpl;
    if (bits == 16) { /* real mode */
        v->cr0 = CR0_ET;
        v->efer = EFER_SVME;
        v->cr4 = 0;
        v->cs.base = ES_CODE;
        v->cs.limit = 0xFFFF;
        v->rip = 0;
    }
}

static void vmgexit_leaves_from_everywhere(void **state)
{
    static const struct {
        unsigned bits, cpl;
        uint8_t prefix;
    } rows[] = {{64, 0, 0xF3}, {64, 3, 0xF3}, {64, 0, 0xF2},
                {32, 0, 0xF3}, {32, 3, 0xF3}, {16, 0, 0xF3}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa v = es_first_vmsa(&es);

        in_mode(&v, rows[i].bits, rows[i].cpl);
        es_set(&es, &v);
        es_code(&es, (const uint8_t[]){rows[i].prefix, 0x0F, 0x01, 0xD9, 0xF3, 0x0F, 0x01, 0xD9},
                8);
        assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
        assert_int_equal(es.vmsa.rip, v.rip + 4);
        assert_int_equal(es.vmcb.control.exitinfo1, 0);
        assert_int_equal(es.vmcb.control.vmgexit_rax, 0);
        assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
        assert_int_equal(es.vmsa.rip, v.rip + 8);
    }
}

/* Under the plain key, with the nested tables alone. */
static void vmgexit_elsewhere_is_vmmcall(void **state)
{
    es.vmcb.control.nested_ctl = NESTED_NP;
    es.vmcb.save = (struct vmcb_save){
        .cs = {0xF000, 0x9B, 0xFFFF, ES_CODE},
        .ss = {0, 0x93, 0xFFFF, 0},
        .efer = EFER_SVME,
        .cr0 = CR0_ET,
        .rflags = 2,
    };
    es_host_write(&es, ES_CODE, "\xF3\x0F\x01\xD9", 4);
    assert_int_equal(es_run(&es), VMEXIT_VMMCALL);
    assert_int_equal(es.vmcb.save.rip, 0);
    assert_int_equal(es.vmcb.control.nrip, 4);
}

static void vmgexit_takes_a_parameter_where_asked(void **state)
{
    es.vmsa.sev_features = SEV_FEATURE_VMGEXIT_PARAMETER;
    es.vmsa.rax = 0xFEEDFACE12345678;
    in_mode(&es.vmsa, 64, 3);
    es_set(&es, &es.vmsa);
    es_code(&es, CODE(0xF3, 0x0F, 0x01, 0xD9));
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es.vmcb.control.vmgexit_rax, 0xFEEDFACE12345678);
    assert_int_equal(es.vmcb.control.vmgexit_cpl, 3);
    assert_int_equal(es.vmcb.control.guest_sev_features, SEV_FEATURE_VMGEXIT_PARAMETER);
}

/* ---- what the hypervisor sees ---------------------------------------------------------------- */

#define MARK UINT64_C(0x5EC2E75EC2E75EC2)

static bool holds_mark(const void *bytes, size_t n)
{
    uint64_t mark = MARK;

    return memmem(bytes, n, &mark, 8);
}

/* A guest full of one number, which is nowhere outside after an exit of any kind. */
static void the_hypervisor_sees_no_register(void **state)
{
    static const struct {
        uint8_t code[12];
        uint64_t exit;
    } rows[] = {{{0xF3, 0x0F, 0x01, 0xD9}, VMEXIT_VMGEXIT},
                {{0xF4}, VMEXIT_HLT},
                {{0x48, 0x8B, 0x04, 0x25, 0, 0, 0x20, 0x01}, VMEXIT_NPF},
                {{0xEB, 0xFE}, VMEXIT_INTR}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa v = es_first_vmsa(&es);
        uint8_t xsave[CPU_XSAVE_BYTES], page[0x1000];
        uint64_t *regs = &v.rcx;
        struct vmcb_save same;

        for (unsigned n = 0; n < 15; n++)
            regs[n] = MARK;
        v.rax = v.cr2 = v.star = v.lstar = v.cstar = v.kernel_gs_base = v.sysenter_esp = MARK;
        v.fs.base = v.gs.base = v.tr.base = v.ldtr.base = MARK;
        memset(v.x87_regs, 0xC2, sizeof(v.x87_regs));
        for (unsigned n = 0; n < 16; n++) {
            memcpy(v.xmm[n], &(uint64_t){MARK}, 8);
            memcpy(v.ymm_high[n] + 8, &(uint64_t){MARK}, 8);
        }
        v.xcr0 = 7;
        es_set(&es, &v);
        es_vmcb(&es);
        memset(&same, 0xA5, sizeof(same));
        es.vmcb.control.nrip = 0x1111;
        cpu_gprs(es.c)[RBX] = 0x2222;
        cpu_timer(es.c, 50);
        es_code(&es, rows[i].code, sizeof(rows[i].code));
        assert_int_equal(es_run(&es), rows[i].exit);
        assert_memory_equal(&es.vmcb.save, &same, sizeof(same));
        assert_false(holds_mark(&es.vmcb, sizeof(es.vmcb)));
        assert_int_equal(es.vmcb.control.nrip, 0x1111);
        assert_int_equal(es.vmcb.control.insn_len, 0);
        assert_int_equal(cpu_gprs(es.c)[RBX], 0x2222);
        assert_false(holds_mark(cpu_gprs(es.c), 16 * 8));
        cpu_xsave(es.c, xsave);
        assert_false(holds_mark(xsave, sizeof(xsave)));
        for (unsigned n = 32; n < 32 + 8 * 16; n++)
            assert_int_not_equal(xsave[n], 0xC2);
        assert_int_equal(cpu_xgetbv(es.c), 1);
        cpu_vmsave(es.c, ES_VMCB);
        assert_true(soc_read(es.soc, ES_VMCB, page, sizeof(page)));
        assert_false(holds_mark(page, sizeof(page)));
        assert_true(soc_read(es.soc, ES_VMSA, page, sizeof(page)));
        assert_false(holds_mark(page, sizeof(page)));
        /* and all of it is there when the guest comes back */
        assert_true(holds_mark(es.vmsa.ymm_high[15], 16));
        assert_int_equal(es.vmsa.r8_r15[7], MARK);
        assert_int_equal(es.vmsa.fs.base, MARK);
        assert_int_equal(es.vmsa.x87_regs[79], 0xC2);
        assert_int_equal(es.vmsa.xcr0, 7);
    }
}

/* XMM, x87 and general registers across an exit on which the host uses its own. */
static void registers_survive_the_hypervisor(void **state)
{
    uint8_t noise[CPU_XSAVE_BYTES];

    es_code(&es, CODE(0xB8, 0x44, 0x33, 0x22, 0x11,                /* MOV EAX, 11223344h */
                      0x66, 0x0F, 0x6E, 0xF8,                      /* MOVD XMM7, EAX */
                      0xD9, 0xE8, 0xD9, 0xEB,                      /* FLD1; FLDPI */
                      0xF3, 0x0F, 0x01, 0xD9,                      /* VMGEXIT */
                      0x66, 0x0F, 0x7E, 0xF9,                      /* MOVD ECX, XMM7 */
                      0xD9, 0xC9, 0xDB, 0x1C, 0x25, 0, 0, 0x45, 0, /* FXCH; FISTP [ES_DATA] */
                      0xF4));
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    memset(noise, 0x5A, sizeof(noise));
    store32(noise + 24, 0x1F80);
    cpu_xrstor(es.c, noise);
    for (unsigned i = 0; i < 16; i++)
        cpu_gprs(es.c)[i] = 0x5A5A5A5A;
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rax, 0x11223344);
    assert_int_equal(es.vmsa.rcx, 0x11223344);
    assert_int_equal((uint32_t)es_guest64(&es, ES_DATA), 1);
    assert_int_equal(load16(es.vmsa.x87_regs + 64), 0x4000); /* pi is in ST(0) */
    assert_int_equal(load64(es.vmsa.x87_regs), UINT64_C(0xC90FDAA22168C235));
    assert_int_equal(es.vmsa.rbx, 0);
}

/* ---- what it cannot change ------------------------------------------------------------------- */

static void an_edited_vmsa_is_caught(void **state)
{
    static const uint16_t offsets[] = {0,     0x08,  0xD0,  0x158, 0x178, 0x1F8,
                                       0x308, 0x388, 0x3B0, 0x470, 0xFBF};
    uint8_t first[0x1000], page[0x1000];

    es_code(&es, CODE(0xF4, 0xF4, 0xF4));
    assert_true(soc_read(es.soc, ES_VMSA, first, sizeof(first)));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    for (size_t i = 0; i < COUNT(offsets); i++) {
        uint8_t byte, other;

        assert_true(soc_read(es.soc, ES_VMSA + offsets[i], &byte, 1));
        other = byte ^ 0x10;
        es_host_write(&es, ES_VMSA + offsets[i], &other, 1);
        assert_int_equal(es_run(&es), VMEXIT_INVALID);
        es_host_write(&es, ES_VMSA + offsets[i], &byte, 1);
        assert_int_equal(es_run(&es), VMEXIT_HLT);
        es_restart(&es);
    }
    assert_true(soc_read(es.soc, ES_VMSA, page, sizeof(page)));
    es_host_write(&es, ES_VMSA, first, sizeof(first)); /* how it was at the launch */
    assert_int_equal(es_run(&es), VMEXIT_HLT);         /* es_restart made the same state */
    es_host_write(&es, ES_VMSA, first, sizeof(first));
    assert_int_equal(es_run(&es), VMEXIT_INVALID); /* but it has run since */
}

static void only_a_launched_vmsa_runs(void **state)
{
    uint8_t page[0x1000];
    struct vmsa v;

    es_code(&es, CODE(0xF4));
    assert_true(soc_read(es.soc, ES_VMSA, page, sizeof(page)));
    es_host_write(&es, 0x5000, page, sizeof(page)); /* the ciphertext elsewhere */
    es.vmcb.control.vmsa_pa = 0x5000;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es_guest_read(&es, ES_VMSA, &v, sizeof(v)); /* even the plaintext */
    es_guest_write(&es, 0x5000, &v, sizeof(v));
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es.vmcb.control.vmsa_pa = ES_VMSA + 8;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es.vmcb.control.vmsa_pa = ES_DRAM;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es.vmcb.control.vmsa_pa = UINT64_MAX << 12;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es.vmcb.control.vmsa_pa = ES_VMSA;
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

static void vmrun_checks_its_controls(void **state)
{
    static const struct {
        uint64_t clear, set; /* NESTED_CTL */
        uint32_t asid;
        uint64_t virt_ext, eventinj;
        bool runs;
    } rows[] = {
        {0, 0, 7, 1, 0, true},
        {NESTED_SEV, 0, 7, 1, 0, false},
        {NESTED_NP, 0, 7, 1, 0, false},
        {NESTED_SEV_ES, 0, 7, 1, 0, false}, /* its ASID is for encrypted state */
        {0, 0, 7, 0, 0, false},             /* LBR virtualisation */
        {0, 0, 0, 1, 0, false},
        {0, 0, 8, 1, 0, false},
        {0, 0, 1007, 1, 0, false},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_SWINT | 0x80, false},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_EXCEPT | 3, false},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_EXCEPT | 4, false},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_EXCEPT | 2, false},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_EXCEPT | 32, false},
        {0, 0, 7, 1, EVENT_VALID | 1 << 8 | 32, false}, /* a reserved type */
        {0, 0, 7, 1, EVENT_TYPE_SWINT | 0x80, true},    /* not valid */
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_EXCEPT | 6, true},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_INTR | 0x30, true},
        {0, 0, 7, 1, EVENT_VALID | EVENT_TYPE_NMI | 2, true},
    };

    es_code(&es, CODE(0xF4));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmcb_control *v = &es.vmcb.control;

        es_restart(&es);
        es_vmcb(&es);
        v->nested_ctl = (v->nested_ctl & ~rows[i].clear) | rows[i].set;
        v->asid = rows[i].asid;
        v->virt_ext = rows[i].virt_ext;
        v->eventinj = rows[i].eventinj;
        assert_int_equal(es_run(&es), rows[i].runs ? VMEXIT_HLT : VMEXIT_INVALID);
    }
}

static void sev_features_are_refused_by_chip(void **state)
{
    static const struct {
        uint64_t bits;
        bool genoa, rome;
    } rows[] = {
        {SEV_FEATURE_DEBUG_SWAP, true, false},
        {SEV_FEATURE_PREVENT_HOST_IBS, true, false},
        {SEV_FEATURE_VMGEXIT_PARAMETER, true, false},
        {SEV_FEATURE_SMT_PROTECTION, true, false},
        {SEV_FEATURE_VTOM, false, false}, /* these need SNP */
        {SEV_FEATURE_REFLECT_VC, false, false},
        {SEV_FEATURE_RESTRICTED_INJECTION, false, false},
        {SEV_FEATURE_ALTERNATE_INJECTION, false, false},
        {SEV_FEATURE_SECURE_TSC, false, false},
        {SEV_FEATURE_SNP_ACTIVE, false, false}, /* not enabled on the platform */
        {SEV_FEATURE_VMPL_SSS, false, false},   /* not implemented */
        {SEV_FEATURE_VMSA_REG_PROT, false, false},
        {BIT(11), false, false},
        {BIT(12), false, false},
        {BIT(17), false, false}, /* reserved */
        {BIT(40), false, false},
        {BIT(63), false, false},
    };
    struct es rome;

    es_open(&rome, CHIP_ROME, false);
    es_code(&es, CODE(0xF4));
    es_code(&rome, CODE(0xF4));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa v = es_first_vmsa(&es);

        v.sev_features = rows[i].bits;
        es_set(&es, &v);
        es_vmcb(&es);
        assert_int_equal(es_run(&es), rows[i].genoa ? VMEXIT_HLT : VMEXIT_INVALID);
        v = es_first_vmsa(&rome);
        v.sev_features = rows[i].bits;
        es_set(&rome, &v);
        es_vmcb(&rome);
        assert_int_equal(es_run(&rome), rows[i].rome ? VMEXIT_HLT : VMEXIT_INVALID);
    }
    es_close(&rome);
}

static void components_that_the_chip_lacks_are_refused(void **state)
{
    es_code(&es, CODE(0xF4));
    es.vmsa.xcr0 = 0x207;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es_restart(&es);
    es.vmsa.xss = 0x800;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
}

/* ---- registers of the wall ------------------------------------------------------------------- */

static void ghcb_and_status_are_the_guests_own(void **state)
{
    /* every bit of the MSR map is set */
    es_code(&es, CODE(0xB9, 0x30, 0x01, 0x01, 0xC0,         /* MOV ECX, C0010130h */
                      0x0F, 0x32, 0x89, 0xC3,               /* RDMSR; MOV EBX, EAX */
                      0xB8, 0x00, 0x10, 0x45, 0x00,         /* MOV EAX, 451000h */
                      0x31, 0xD2, 0x0F, 0x30,               /* XOR EDX, EDX; WRMSR */
                      0xFF, 0xC1, 0x0F, 0x32,               /* INC ECX; RDMSR */
                      0xF3, 0x0F, 0x01, 0xD9, 0x0F, 0x30)); /* VMGEXIT; WRMSR */
    es.vmsa.sev_features = SEV_FEATURE_DEBUG_SWAP;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es.vmsa.rbx, 0x1234); /* what the host had put into the VMCB */
    assert_int_equal(es.vmcb.control.ghcb_gpa, 0x451000);
    assert_int_equal(es.vmsa.rax, 3 | SEV_FEATURE_DEBUG_SWAP << 2);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_GP);
}

static void the_guest_cannot_clear_svme(void **state)
{
    es_host_write(&es, ES_MSRPM + 0x800, &(uint64_t[0x100]){0}, 0x800); /* C0000000h.. are direct */
    es_code(&es, CODE(0xB9, 0x80, 0x00, 0x00, 0xC0,                     /* MOV ECX, C0000080h */
                      0xB8, 0x01, 0x05, 0x00, 0x00, 0x31, 0xD2, 0x0F, 0x30, 0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.efer, EFER_SVME | EFER_LMA | EFER_LME | EFER_SCE);
    es_restart(&es);
    es.vmcb.control.intercept4 |= I4(EFER_TRAP);
    assert_int_equal(es_run(&es), VMEXIT_EFER_TRAP);
    assert_int_equal(es.vmcb.control.exitinfo1, EFER_SVME | EFER_LMA | EFER_LME | EFER_SCE);
    assert_int_equal(es.vmsa.rip, ES_CODE + 14);
}

/* After the write, with the new value (APM2 15.35.10). */
static void control_registers_trap(void **state)
{
    static const struct {
        uint8_t code[6];
        unsigned n;
        uint64_t value;
        unsigned len;
    } rows[] = {
        {{0x0F, 0x22, 0xC0}, 0, CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP, 3},
        {{0x0F, 0x22, 0xE0}, 4, CR4_PAE | CR4_OSFXSR | CR4_TSD, 3},
        {{0x44, 0x0F, 0x22, 0xC0}, 8, 5, 4},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa v = es_first_vmsa(&es);

        v.rax = rows[i].value;
        es_set(&es, &v);
        es_vmcb(&es);
        es.vmcb.control.intercept4 |= UINT32_C(1) << (16 + rows[i].n);
        es_code(&es, rows[i].code, sizeof(rows[i].code));
        assert_int_equal(es_run(&es), 0x90 + rows[i].n);
        assert_int_equal(es.vmcb.control.exitinfo1, rows[i].value);
        assert_int_equal(es.vmsa.rip, ES_CODE + rows[i].len);
    }
    assert_int_equal(V_TPR(es.vmcb.control.vintr), 5);
}

static void debug_registers_swap_where_asked(void **state)
{
    /* MOV RAX, DR0; MOV DR1, RAX; HLT */
    es_code(&es, CODE(0x0F, 0x21, 0xC0, 0x0F, 0x23, 0xC8, 0xF4));
    for (unsigned swap = 0; swap < 2; swap++) {
        struct vmsa v = es_first_vmsa(&es);

        v.sev_features = swap ? SEV_FEATURE_DEBUG_SWAP : 0;
        v.dr[0] = 0x7777;
        es_set(&es, &v);
        for (unsigned i = 0; i < 4; i++)
            cpu_set_dr(es.c, i, 0x1000 + i);
        assert_int_equal(es_run(&es), VMEXIT_HLT);
        assert_int_equal(es.vmsa.rax, swap ? 0x7777 : 0x1000);
        assert_int_equal(es.vmsa.dr[1], swap ? 0x7777 : 0);
        assert_int_equal(cpu_get_dr(es.c, 1), swap ? 0x1001 : 0x1000);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void interrupts_come_as_ever(void **state)
{
    struct vmcb_control *v = &es.vmcb.control;

    es_code(&es, CODE(0xFB, 0x90, 0x90, 0xF4)); /* STI */
    v->vintr = V_IRQ | V_INTR_PRIO(3) | V_INTR_VECTOR(0x30) | V_INTR_MASKING;
    v->intercept3 |= I3(VINTR);
    assert_int_equal(es_run(&es), VMEXIT_VINTR);
    assert_int_equal(es.vmsa.rip, ES_CODE + 2);
    assert_int_equal(v->interrupt_state, GUEST_INTERRUPT_MASK);
    v->intercept3 &= ~I3(VINTR);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, 0x30);
    assert_int_equal(es_trapped(&es).rip, ES_CODE + 2);
    assert_int_equal(v->vintr & V_IRQ, 0);
    assert_int_equal(v->interrupt_state, 0);
    assert_int_equal(v->eventinj, 0);
}

/* An exit that comes while an event is on its way says which. */
static void an_exit_on_the_way_names_the_event(void **state)
{
    es_code(&es, CODE(0x0F, 0xA2));
    es.vmsa.rsp = ES_ABSENT + 0x800;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_NPF);
    assert_int_equal(es.vmcb.control.exitintinfo & UINT32_MAX,
                     EVENT_VALID | EVENT_TYPE_EXCEPT | EVENT_ERROR_VALID | EXC_VC);
    assert_int_equal(es.vmcb.control.exitintinfo >> 32, 0x72);
    assert_int_equal(es.vmsa.guest_exitintinfo, es.vmcb.control.exitintinfo);
    assert_int_equal(es.vmsa.rip, ES_CODE); /* the fault repeats */
}

/* APM2 8.2.9: #VC is contributory. */
static void vc_doubles_as_contributory_exceptions_do(void **state)
{
    uint64_t gate = es_guest64(&es, ES_IDT + EXC_VC * 16);

    es_code(&es, CODE(0x0F, 0xA2));
    es_guest_put64(&es, ES_IDT + EXC_VC * 16, gate & ~BIT(47)); /* #NP on the way to #VC */
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_DF);
    es_restart(&es);
    es.vmsa.idtr.limit = 0;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_SHUTDOWN);

    /* #PF, whose handler's stack is MMIO: #VC on the way to #PF */
    es_guest_put64(&es, ES_IDT + EXC_VC * 16, gate);
    es_restart(&es);
    es.vmsa.rsp = ES_MMIO + 0x800;
    es.vmsa.tr.base = ES_DATA + 0x1000;
    es_set(&es, &es.vmsa);
    es_guest_put64(&es, ES_DATA + 0x1000 + 0x24, ES_STACK); /* IST1 for #DF */
    es_guest_put64(&es, ES_IDT + EXC_DF * 16, es_guest64(&es, ES_IDT + EXC_DF * 16) | BIT(32));
    es_code(&es, CODE(0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0x40));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_DF);

    /* all of these intercepted: no way round, and no end without one either */
    es_restart(&es);
    es.vmsa.idtr.limit = 0;
    es_set(&es, &es.vmsa);
    es.vmcb.control.intercept_exception = UINT32_MAX;
    assert_int_equal(es_run(&es), VMEXIT_SHUTDOWN);
}

static void a_vc_handler_may_meet_another(void **state)
{
    es_code(&es, CODE(0x0F, 0xA2));
    es_guest_write(&es, ES_HANDLER + EXC_VC * 16, "\xE4\x80",
                   2); /* IN: forever, until a page ends */
    es.vmsa.rsp = 0x800000 + 0x200;
    es.vmsa.tr.base = ES_DATA + 0x1000;
    es_set(&es, &es.vmsa);
    es_guest_put64(&es, ES_DATA + 0x1000 + 0x24, ES_STACK); /* IST1 for #PF */
    es_guest_put64(&es, ES_IDT + EXC_PF * 16, es_guest64(&es, ES_IDT + EXC_PF * 16) | BIT(32));
    es_guest_put64(&es, ES_CR3 + 0x2000 + 24, 0); /* 600000h.. is absent: the stack's end */
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_PF);
}

static void single_steps_see_every_instruction(void **state)
{
    struct es_frame f;

    es_code(&es, CODE(0xF3, 0x0F, 0x01, 0xD9, 0xF4, 0x90, 0x90));
    es.vmsa.rflags |= RFLAGS_TF;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es_run(&es), VMEXIT_HLT); /* in #DB's handler */
    f = es_trapped(&es);
    assert_int_equal(f.vec, EXC_DB);
    assert_int_equal(f.rip, ES_CODE + 4);
    assert_true(es.vmsa.dr6 & BIT(14));

    es.vmsa.rip = f.rip;
    es.vmsa.rsp = f.rsp;
    es.vmsa.rflags = f.rflags;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 5);
    es.vmcb.control.eventinj = EVENT_VALID | EVENT_TYPE_INTR | 0x40; /* the trap comes first */
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    f = es_trapped(&es);
    assert_int_equal(f.vec, 0x40);
    assert_int_equal(f.rip, ES_HANDLER + EXC_DB * 16);
    assert_int_equal(es_guest64(&es, f.rsp), ES_CODE + 5);
}

/* ---- the secure processor's half ------------------------------------------------------------- */

static void init_wants_a_region(void **state)
{
    static const struct {
        uint64_t at;
        uint32_t len;
        enum sev_status status;
    } rows[] = {
        {ES_TMR, 0xFF000, SEV_INVALID_LENGTH},
        {ES_TMR, 0x200000, SEV_INVALID_LENGTH},
        {ES_TMR + 0x1000, 0x100000, SEV_INVALID_ADDRESS},
        {0, 0x100000, SEV_INVALID_ADDRESS},
        {ES_DRAM, 0x100000, SEV_INVALID_ADDRESS},
        {ES_TMR, 0x100000, SEV_SUCCESS},
    };
    struct sev_cmd_init_ex ex = {.len = sizeof(ex),
                                 .flags = SEV_INIT_ES,
                                 .tmr_paddr = ES_TMR,
                                 .tmr_len = SEV_TMR_BYTES,
                                 .nv_paddr = ES_TMR + 0xF8000,
                                 .nv_len = SEV_NV_BYTES};
    struct sev_cmd_platform_status s = {0};

    assert_int_equal(es_command(&es, SEV_CMD_PLATFORM_STATUS, &s, sizeof(s)), SEV_SUCCESS);
    assert_int_equal(s.flags, SEV_INIT_ES);
    assert_int_equal(es_command(&es, SEV_CMD_SHUTDOWN, &s, sizeof(s)), SEV_SUCCESS);
    assert_int_equal(es_command(&es, SEV_CMD_PLATFORM_STATUS, &s, sizeof(s)), SEV_SUCCESS);
    assert_int_equal(s.flags, 0);
    assert_int_equal(es_command(&es, SEV_CMD_INIT_EX, &ex, sizeof(ex)), SEV_INVALID_ADDRESS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sev_cmd_init b = {
            .flags = SEV_INIT_ES, .tmr_paddr = rows[i].at, .tmr_len = rows[i].len};

        assert_int_equal(es_command(&es, SEV_CMD_INIT, &b, sizeof(b)), rows[i].status);
    }
}

static void a_chip_without_es_refuses(void **state)
{
    struct soc_config cfg = {.chip = chip_by_id(CHIP_NAPLES), .dram_bytes = ES_DRAM, .cores = 1};
    struct sev_cmd_init b = {.flags = SEV_INIT_ES, .tmr_paddr = ES_TMR, .tmr_len = SEV_TMR_BYTES};
    struct es naples = {0};
    struct error err;

    assert_int_equal(soc_new(&cfg, &naples.soc, &err), OK);
    assert_int_equal(es_command(&naples, SEV_CMD_INIT, &b, sizeof(b)), SEV_UNSUPPORTED);
    es_close(&naples);
}

static uint32_t started(uint32_t policy, enum sev_status want)
{
    struct sev_cmd_launch_start b = {.policy = policy};

    assert_int_equal(es_command(&es, SEV_CMD_LAUNCH_START, &b, sizeof(b)), want);
    return b.handle;
}

static enum sev_status activated(uint32_t handle, uint32_t asid)
{
    struct sev_cmd_activate b = {handle, asid};

    return es_command(&es, SEV_CMD_ACTIVATE, &b, sizeof(b));
}

static void launch_update_vmsa_is_picky(void **state)
{
    uint32_t plain = started(0, SEV_SUCCESS), encrypted = started(SEV_POLICY_ES, SEV_SUCCESS);

    assert_int_equal(es_update_vmsa(&es, plain, 0x8000, 0x1000), SEV_UNSUPPORTED);
    assert_int_equal(es_update_vmsa(&es, encrypted, 0x8000, 0x1000), SEV_INACTIVE);
    assert_int_equal(activated(encrypted, 100), SEV_INVALID_ASID);
    assert_int_equal(activated(plain, 99), SEV_INVALID_ASID);
    assert_int_equal(activated(encrypted, 99), SEV_SUCCESS);
    assert_int_equal(activated(plain, 100), SEV_SUCCESS);
    assert_int_equal(es_update_vmsa(&es, plain, 0x8000, 0x1000), SEV_UNSUPPORTED);
    assert_int_equal(es_update_vmsa(&es, encrypted, 0x8010, 0x1000), SEV_INVALID_ADDRESS);
    assert_int_equal(es_update_vmsa(&es, encrypted, 0x8000, 0xFF0), SEV_INVALID_LENGTH);
    assert_int_equal(es_update_vmsa(&es, encrypted, 0x8000, 0x2000), SEV_INVALID_LENGTH);
    assert_int_equal(es_update_vmsa(&es, encrypted, ES_DRAM, 0x1000), SEV_INVALID_ADDRESS);
    assert_int_equal(es_update_vmsa(&es, encrypted, 0x8000, 0x1000), SEV_SUCCESS);
    assert_int_equal(es_update_vmsa(&es, es.handle, 0x8000, 0x1000), SEV_INVALID_GUEST_STATE);
}

/* The slots end, and a guest's end frees its own. */
static void checksums_end_with_their_guest(void **state)
{
    uint32_t handle = started(SEV_POLICY_ES, SEV_SUCCESS);
    struct sev_cmd_handle h = {handle};
    unsigned n = 0;
    enum sev_status status;

    assert_int_equal(activated(handle, 50), SEV_SUCCESS);
    do
        status = es_update_vmsa(&es, handle, 0x800000 + (n & 0x3FF) * 0x1000, 0x1000);
    while (status == SEV_SUCCESS && ++n < 1023);
    assert_int_equal(n, 1023); /* and the one that runs */
    assert_int_equal(es_update_vmsa(&es, handle, 0x500000, 0x1000), SEV_RESOURCE_LIMIT);
    assert_int_equal(es_update_vmsa(&es, handle, 0x800000, 0x1000), SEV_SUCCESS); /* again */
    es_code(&es, CODE(0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_command(&es, SEV_CMD_DEACTIVATE, &h, sizeof(h)), SEV_SUCCESS);
    assert_int_equal(es_command(&es, SEV_CMD_DECOMMISSION, &h, sizeof(h)), SEV_SUCCESS);
    handle = started(SEV_POLICY_ES, SEV_SUCCESS);
    assert_int_equal(activated(handle, 51), SEV_SUCCESS);
    assert_int_equal(es_update_vmsa(&es, handle, 0x500000, 0x1000), SEV_SUCCESS);
}

static void cpuid_says_what_is_there(void **state)
{
    static const struct {
        enum chip_id chip;
        uint32_t eax, ebx;
    } rows[] = {
        {CHIP_NAPLES, 0x00000002, 0x0000016F}, {CHIP_ROME, 0x0000000A, 0x0000016F},
        {CHIP_MILAN, 0x0000FD3A, 0x00004173},  {CHIP_GENOA, 0x0206FF7A, 0x000041B3},
        {CHIP_TURIN, 0x0206FF7A, 0x000041B3},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct soc_config cfg = {
            .chip = chip_by_id(rows[i].chip), .dram_bytes = ES_DRAM, .cores = 1};
        struct error err;
        struct soc *soc;
        uint32_t out[4];

        assert_int_equal(soc_new(&cfg, &soc, &err), OK);
        cpu_cpuid(soc_core(soc, 0), 0x8000001F, 0, out);
        assert_int_equal(out[0], rows[i].eax);
        assert_int_equal(out[1], rows[i].ebx);
        soc_free(soc);
    }
}

#define EAGER(test) cmocka_unit_test_setup_teardown(test, open_eager, close_es)
#define ES(test)    cmocka_unit_test_setup_teardown(test, open_es, close_es)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exit_is_classified),
        ES(what_a_hypervisor_may_not_see_is_vc),
        ES(automatic_exits_advance_as_they_should),
        ES(iret_and_vc_cannot_be_intercepted),
        ES(vmgexit_leaves_from_everywhere),
        ES(vmgexit_elsewhere_is_vmmcall),
        ES(vmgexit_takes_a_parameter_where_asked),
        ES(the_hypervisor_sees_no_register),
        ES(registers_survive_the_hypervisor),
        EAGER(registers_survive_the_hypervisor),
        EAGER(the_hypervisor_sees_no_register),
        ES(an_edited_vmsa_is_caught),
        ES(only_a_launched_vmsa_runs),
        ES(vmrun_checks_its_controls),
        ES(sev_features_are_refused_by_chip),
        ES(components_that_the_chip_lacks_are_refused),
        ES(ghcb_and_status_are_the_guests_own),
        ES(the_guest_cannot_clear_svme),
        ES(control_registers_trap),
        ES(debug_registers_swap_where_asked),
        ES(interrupts_come_as_ever),
        ES(an_exit_on_the_way_names_the_event),
        ES(vc_doubles_as_contributory_exceptions_do),
        ES(a_vc_handler_may_meet_another),
        ES(single_steps_see_every_instruction),
        ES(init_wants_a_region),
        cmocka_unit_test(a_chip_without_es_refuses),
        ES(launch_update_vmsa_is_picky),
        ES(checksums_end_with_their_guest),
        cmocka_unit_test(cpuid_says_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
