/* VMRUN and #VMEXIT of SNP guests: which save areas run, and what SEV_FEATURES change
 * (APM2 15.36.8, 15.36.9, 15.36.12 .. 15.36.18). The reverse map table is filled by hand. */
#include "es_rig.h"

#include "silicon/rmp/rmp.h"

#define RMP_AT    0xE00000u
#define RMP_BYTES 0x100000u
#define SYSCFG    0xC0010010u

static struct es es;

static const struct rmp_entry save_area = {
    .assigned = true, .validated = true, .vmsa = true, .asid = 7, .perms = {VMPL_ALL}};

static void own_2m(struct es *e, uint64_t at)
{
    struct rmp_entry r = {.assigned = true,
                          .validated = true,
                          .large = true,
                          .asid = 7,
                          .gpa = at,
                          .perms = {VMPL_ALL, VMPL_ALL}};

    rmp_put(e->c->rmp, at, &r);
}

static int open_snp(void **state)
{
    es_open(&es, CHIP_GENOA, false);
    rmp_set_bounds(es.c->rmp, RMP_AT, RMP_AT + RMP_BYTES - 1);
    rmp_enable(es.c->rmp, true);
    es.c->host_syscfg |= BIT(24);
    es.c->host_hsave = 0x8000;
    assert_true(rmp_init_table(es.c->rmp));
    own_2m(&es, 0x200000);
    own_2m(&es, 0x400000);
    rmp_put(es.c->rmp, ES_VMSA, &save_area);
    es.vmsa.sev_features = SEV_FEATURE_SNP_ACTIVE;
    es_set(&es, &es.vmsa);
    return 0;
}

static int close_es(void **state)
{
    es_close(&es);
    return 0;
}

static void with_features(uint64_t features)
{
    es_restart(&es);
    es.vmsa.sev_features = SEV_FEATURE_SNP_ACTIVE | features;
    es_set(&es, &es.vmsa);
    es_vmcb(&es);
}

/* ---- table 15-41 ----------------------------------------------------------------------------- */

static void only_a_save_area_of_the_guest_runs(void **state)
{
    struct rmp_entry e;

    es_code(&es, CODE(0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.pcpu_id, 1);
    e = save_area, e.asid = 8;
    rmp_put(es.c->rmp, ES_VMSA, &e);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    e = save_area, e.vmsa = false;
    rmp_put(es.c->rmp, ES_VMSA, &e);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    e = save_area, e.immutable = true;
    rmp_put(es.c->rmp, ES_VMSA, &e);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    e = (struct rmp_entry){0};
    rmp_put(es.c->rmp, ES_VMSA, &e);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    e = save_area, e.validated = false; /* not asked */
    rmp_put(es.c->rmp, ES_VMSA, &e);
    es_restart(&es);
    es.vmsa.sev_features = SEV_FEATURE_SNP_ACTIVE;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

static void a_save_area_in_a_large_page_does_not_run(void **state)
{
    struct rmp_entry e = save_area;
    struct vmsa v = es.vmsa;

    es_code(&es, CODE(0xF4));
    e.large = true;
    e.gpa = 0x600000;
    rmp_put(es.c->rmp, 0x600000, &e);
    es_guest_write(&es, 0x600000, &v, sizeof(v));
    es.vmcb.control.vmsa_pa = 0x600000;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    e.large = false;
    for (uint64_t at = 0x600000; at < 0x800000; at += FRAME_SIZE)
        rmp_put(es.c->rmp, at, &e);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

/* A guest that wants no more of its old translations clears PCPU_ID (APM2 15.36.15). */
static void pcpu_id_flushes(void **state)
{
    uint64_t entry = es_guest64(&es, ES_CR3 + 0x2000 + 16);

    own_2m(&es, 0x600000);
    es_guest_put64(&es, 0x650000, 1);
    es_guest_put64(&es, 0x450000, 2);
    es_code(&es, CODE(0x48, 0x8B, 0x04, 0x25, 0, 0, 0x65, 0, /* MOV RAX, [650000h] */
                      0xF3, 0x0F, 0x01, 0xD9,                /* VMGEXIT */
                      0x48, 0x8B, 0x1C, 0x25, 0, 0, 0x65, 0, /* MOV RBX, [650000h] */
                      0xF4));
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es.vmsa.rax, 1);
    es_guest_put64(&es, ES_CR3 + 0x2000 + 24, entry); /* 600000h is 400000h */
    es.vmsa.pcpu_id = 0;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rbx, 2);
    assert_int_equal(es.vmsa.pcpu_id, 1);
}

static void snp_must_be_enabled(void **state)
{
    es_code(&es, CODE(0xF4));
    es.c->host_syscfg &= ~BIT(24);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    es.c->host_syscfg |= BIT(24);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

static void a_save_area_without_snp_must_be_the_hosts(void **state)
{
    struct rmp_entry none = {0};

    es_code(&es, CODE(0xF4));
    es_restart(&es);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    rmp_put(es.c->rmp, ES_VMSA, &none);
    rmp_put(es.c->rmp, 0x200000, &(struct rmp_entry){.large = true});
    rmp_put(es.c->rmp, 0x400000, &(struct rmp_entry){.large = true});
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

static void vmcb_and_host_save_area_must_be_the_hosts(void **state)
{
    es_code(&es, CODE(0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    es.c->host_hsave = 0;
    cpu_vmrun(es.c, ES_VMCB); /* #GP */
    es.c->host_hsave = 0x8000;
    rmp_put(es.c->rmp, ES_VMCB, &save_area);
    cpu_vmrun(es.c, ES_VMCB); /* #GP */
    es_guest_read(&es, ES_VMSA, &es.vmsa, sizeof(es.vmsa));
    assert_int_equal(es.vmsa.rip, ES_CODE + 1);
}

static void levels_are_those_of_the_chip(void **state)
{
    es_code(&es, CODE(0xF4));
    for (unsigned vmpl = 0; vmpl < 6; vmpl++) {
        with_features(0);
        es.vmsa.vmpl = (uint8_t)vmpl;
        es_set(&es, &es.vmsa);
        assert_int_equal(es_run(&es), vmpl < 2   ? VMEXIT_HLT
                                      : vmpl < 4 ? VMEXIT_NPF
                                                 : VMEXIT_INVALID);
        if (vmpl == 2 || vmpl == 3)
            assert_true(es.vmcb.control.exitinfo1 & NPF_VMPL);
    }
}

static void status_says_snp(void **state)
{
    with_features(SEV_FEATURE_SECURE_TSC);
    es_code(&es, CODE(0xB9, 0x31, 0x01, 0x01, 0xC0, 0x0F, 0x32, 0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rax, 7 | SEV_FEATURE_SECURE_TSC << 2);
    assert_int_equal(es.vmcb.control.guest_sev_features,
                     SEV_FEATURE_SNP_ACTIVE | SEV_FEATURE_SECURE_TSC);
}

/* SEV API, INIT: under the reverse map table its region is 2 MiB of the firmware's. */
static void the_region_of_es_is_the_firmwares(void **state)
{
    const struct rmp_entry firmware = {.assigned = true, .immutable = true};
    struct sev_cmd_init b = {.flags = SEV_INIT_ES, .tmr_paddr = 0xA00000, .tmr_len = SEV_TMR_BYTES};

    assert_int_equal(es_command(&es, SEV_CMD_SHUTDOWN, &b, sizeof(b)), SEV_SUCCESS);
    assert_int_equal(es_command(&es, SEV_CMD_INIT, &b, sizeof(b)), SEV_INVALID_LENGTH);
    b.tmr_len = SEV_TMR_SNP;
    assert_int_equal(es_command(&es, SEV_CMD_INIT, &b, sizeof(b)), SEV_INVALID_ADDRESS);
    for (uint64_t at = 0xA00000; at < 0xC00000; at += FRAME_SIZE)
        rmp_put(es.c->rmp, at, &firmware);
    assert_int_equal(es_command(&es, SEV_CMD_INIT, &b, sizeof(b)), SEV_SUCCESS);
}

static uint64_t noise_state = 2026;

static uint64_t noise(void)
{
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return noise_state >> 20 ^ noise_state << 30;
}

/* A guest lays out save areas of its own: whatever they hold, VMRUN ends, and with an exit. */
static void any_save_area_is_safe(void **state)
{
    static const uint8_t zeros[0x2000];
    unsigned ran = 0;

    es_host_write(&es, ES_MSRPM, zeros, sizeof(zeros));
    for (unsigned i = 0; i < 3000; i++) {
        struct vmsa v = es_first_vmsa(&es);
        uint8_t *bytes = (uint8_t *)&v, code[64];

        v.sev_features = SEV_FEATURE_SNP_ACTIVE;
        for (unsigned n = noise() % 24; n; n--) {
            unsigned at = (unsigned)(noise() % 0x670);

            if (at / 8 * 8 != offsetof(struct vmsa, sev_features) || noise() % 8 == 0)
                bytes[at] =
                    noise() % 4 ? (uint8_t)noise() : (uint8_t)(bytes[at] ^ 1 << noise() % 8);
        }
        for (unsigned n = 0; n < sizeof(code); n++)
            code[n] = (uint8_t)noise();
        es_code(&es, code, sizeof(code));
        es_set(&es, &v);
        es_vmcb(&es);
        es.vmcb.control.exitcode = 0xDEAD;
        es.vmcb.control.eventinj = noise() % 4 ? 0 : EVENT_VALID | (noise() & 0xFFFFFFFF7FF);
        cpu_timer(es.c, 200);
        assert_int_not_equal(es_run(&es), 0xDEAD);
        ran += es.vmcb.control.exitcode != VMEXIT_INVALID;
    }
    assert_in_range(ran, 300, 2900); /* or the noise tests nothing */
}

/* ---- ReflectVC ------------------------------------------------------------------------------- */

static void reflected_vc_is_an_exit(void **state)
{
    with_features(SEV_FEATURE_REFLECT_VC);
    es_code(&es, CODE(0x66, 0xE5, 0x80));
    assert_int_equal(es_run(&es), VMEXIT_VC);
    assert_int_equal(es.vmcb.control.exitinfo1, 0);
    assert_int_equal(es.vmcb.control.exitinfo2, 0);
    assert_int_equal(es.vmsa.rip, ES_CODE);
    assert_int_equal(es.vmsa.guest_exitcode, 0x7B);
    assert_int_equal(es.vmsa.guest_exitinfo1, 0x00800000 | 4 << 7 | 2 << 4 | 1);
    assert_int_equal(es.vmsa.guest_exitinfo2, ES_CODE + 3);
    assert_int_equal(es.vmsa.guest_nrip, ES_CODE + 3);
    with_features(SEV_FEATURE_REFLECT_VC);
    es_code(&es, CODE(0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0x01));
    assert_int_equal(es_run(&es), VMEXIT_VC);
    assert_int_equal(es.vmsa.guest_exitcode, VMEXIT_NPF);
    assert_true(es.vmsa.guest_exitinfo1 & NPF_RSVD);
    assert_int_equal(es.vmsa.guest_exitinfo2, ES_MMIO);
    with_features(SEV_FEATURE_REFLECT_VC);
    es_code(&es, CODE(0xF4)); /* what is automatic stays as it is */
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

/* With alternate injection, one that hits an event on its way holds the VMSA. */
static void a_reflected_vc_on_the_way_leaves_the_area_busy(void **state)
{
    with_features(SEV_FEATURE_REFLECT_VC | SEV_FEATURE_ALTERNATE_INJECTION);
    es.vmsa.rsp = ES_MMIO + 0x800;
    es_set(&es, &es.vmsa);
    es_code(&es, CODE(0x0F, 0x0B));
    assert_int_equal(es_run(&es), VMEXIT_VC);
    assert_int_equal(es.vmcb.control.exitintinfo, 0);
    assert_int_equal(es.vmsa.guest_exitintinfo, EVENT_VALID | EVENT_TYPE_EXCEPT | EXC_UD);
    assert_true(es.vmsa.vintr_ctrl & VMSA_BUSY);
    assert_int_equal(es_run(&es), VMEXIT_BUSY);
}

/* ---- injection ------------------------------------------------------------------------------- */

static void restricted_injection_lets_hv_pass(void **state)
{
    static const struct {
        uint64_t event;
        bool runs;
    } rows[] = {
        {0, true},
        {EVENT_VALID | EVENT_TYPE_EXCEPT | 28, true},
        {EVENT_VALID | EVENT_TYPE_EXCEPT | EVENT_ERROR_VALID | 28, false},
        {EVENT_VALID | EVENT_TYPE_INTR | 28, false},
        {EVENT_VALID | EVENT_TYPE_INTR | 0x30, false},
        {EVENT_VALID | EVENT_TYPE_NMI | 2, false},
        {EVENT_VALID | EVENT_TYPE_EXCEPT | 6, false},
    };

    es_code(&es, CODE(0xFB, 0x90, 0x90, 0xF4));
    for (size_t i = 0; i < COUNT(rows); i++) {
        with_features(SEV_FEATURE_RESTRICTED_INJECTION);
        es.vmcb.control.eventinj = rows[i].event;
        es.vmcb.control.vintr = V_IRQ | V_INTR_PRIO(3) | V_INTR_VECTOR(0x30) | V_INTR_MASKING;
        assert_int_equal(es_run(&es), rows[i].runs ? VMEXIT_HLT : VMEXIT_INVALID);
        if (!rows[i].runs)
            continue;
        if (rows[i].event)
            assert_int_equal(es_trapped(&es).vec, EXC_HV);
        else
            assert_int_equal(es.vmsa.rip, ES_CODE + 4); /* no interrupt came */
        assert_true(es.vmcb.control.vintr & V_IRQ);
    }
    with_features(SEV_FEATURE_RESTRICTED_INJECTION | SEV_FEATURE_ALTERNATE_INJECTION);
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
    with_features(SEV_FEATURE_RESTRICTED_INJECTION);
    es.vmcb.control.vintr = V_AVIC;
    assert_int_equal(es_run(&es), VMEXIT_INVALID);
}

static void physical_interrupts_leave_unasked(void **state)
{
    with_features(SEV_FEATURE_RESTRICTED_INJECTION);
    es.vmcb.control.intercept3 &= ~INTERCEPT_BIT(VMEXIT_INTR);
    es_code(&es, CODE(0xEB, 0xFE));
    cpu_timer(es.c, 100);
    assert_int_equal(es_run(&es), VMEXIT_INTR);
}

static void alternate_injection_comes_from_the_save_area(void **state)
{
    struct vmcb_control *v = &es.vmcb.control;

    es_code(&es, CODE(0xFB, 0x90, 0x90, 0xF4));
    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    v->eventinj = EVENT_VALID | EVENT_TYPE_EXCEPT | 6; /* ignored */
    v->vintr = V_IRQ | V_INTR_PRIO(3) | V_INTR_VECTOR(0x30) | V_INTR_MASKING;
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 4);
    assert_true(v->vintr & V_IRQ);
    assert_int_equal(v->eventinj, EVENT_VALID | EVENT_TYPE_EXCEPT | 6);

    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    es.vmsa.vintr_ctrl = V_IRQ | V_INTR_PRIO(5) | V_INTR_VECTOR(0x31) | 4;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, 0x31);
    assert_int_equal(es.vmsa.vintr_ctrl, V_INTR_PRIO(5) | V_INTR_VECTOR(0x31) | 4);

    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    es.vmsa.eventinj = EVENT_VALID | EVENT_TYPE_INTR | 0x32;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, 0x32);
    assert_int_equal(es.vmsa.eventinj, 0);

    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    es.vmsa.vintr_ctrl = VMSA_BUSY;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_BUSY);
    with_features(0); /* means nothing there */
    es.vmsa.vintr_ctrl = VMSA_BUSY;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
}

static void the_shadow_is_in_the_save_area_too(void **state)
{
    es_code(&es, CODE(0x90, 0xF4));
    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    es.vmsa.rflags |= RFLAGS_IF;
    es.vmsa.vintr_ctrl = V_IRQ | V_INTR_PRIO(5) | V_INTR_VECTOR(0x31) | VMSA_INT_SHADOW;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).rip, ES_CODE + 1);
    assert_int_equal(es.vmsa.vintr_ctrl & VMSA_INT_SHADOW, 0);
}

static void x2apic_is_always_intercepted_with_alternate_injection(void **state)
{
    static const uint8_t zeros[0x800];

    es_host_write(&es, ES_MSRPM, zeros, sizeof(zeros));
    es_code(&es, CODE(0xB9, 0x08, 0x08, 0x00, 0x00, 0x0F, 0x32)); /* RDMSR of the TPR */
    with_features(SEV_FEATURE_ALTERNATE_INJECTION);
    es_expect_vc(&es, 0x7C, 5);
    with_features(0);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_GP);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void the_secure_tsc_is_the_guests(void **state)
{
    uint64_t plain, raw;

    cpu_timer(es.c, 1000); /* some time to scale */
    es_code(&es, CODE(0xEB, 0xFE));
    assert_int_equal(es_run(&es), VMEXIT_INTR);
    es_code(&es, CODE(0x0F, 0x31, 0x48, 0xC1, 0xE2, 0x20, 0x48, 0x09, 0xD0, 0xF4));
    with_features(0);
    es.vmcb.control.tsc_offset = 0x100000;
    raw = cpu_tsc(es.c, NULL);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    plain = es.vmsa.rax - 0x100000;
    assert_in_range(plain, raw, raw + 10);

    with_features(SEV_FEATURE_SECURE_TSC);
    es.vmsa.guest_tsc_scale = UINT64_C(5) << 31; /* 2.5 */
    es.vmsa.guest_tsc_offset = 0x7000000000;
    es_set(&es, &es.vmsa);
    es.vmcb.control.tsc_offset = 0x100000; /* does not count, nor does the intercept */
    es.vmcb.control.intercept3 |= INTERCEPT_BIT(VMEXIT_RDTSC);
    raw = cpu_tsc(es.c, NULL);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 10);
    assert_in_range(es.vmsa.rax, 0x7000000000 + raw * 5 / 2, 0x7000000000 + raw * 5 / 2 + 25);
}

static void the_guests_frequency_can_be_read(void **state)
{
    static const uint8_t zeros[0x800];

    es_host_write(&es, ES_MSRPM + 0x1000, zeros, sizeof(zeros));
    es_code(&es,
            CODE(0xB9, 0x34, 0x01, 0x01, 0xC0, 0x0F, 0x32, 0xF3, 0x0F, 0x01, 0xD9, 0x0F, 0x30));
    with_features(SEV_FEATURE_SECURE_TSC);
    es.vmsa.guest_tsc_scale = UINT64_C(5) << 31;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es.vmsa.rax, SOC_TSC_KHZ / 1000 * 5 / 2);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_GP);
    with_features(0);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_GP);
}

/* WRMSR of the TSC: what is read after it is undefined; what others read is not (APM2 15.36.18). */
static void a_write_of_the_secure_tsc_does_no_harm(void **state)
{
    static const uint8_t zeros[0x800];
    uint64_t before = cpu_tsc(es.c, NULL);

    es_host_write(&es, ES_MSRPM, zeros, sizeof(zeros));
    with_features(SEV_FEATURE_SECURE_TSC);
    es.vmsa.rdx = 0x10000;
    es.vmsa.rcx = 0x10;
    es_set(&es, &es.vmsa);
    es_code(&es, CODE(0x0F, 0x30, 0xF4));
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 3);
    assert_in_range(cpu_tsc(es.c, NULL), before, before + 10);
}

/* ---- virtual top of memory ------------------------------------------------------------------- */

static void virtual_top_of_memory_replaces_the_c_bit(void **state)
{
    static const uint8_t zeros[0x800];
    uint64_t seen;

    es_host_write(&es, ES_MSRPM + 0x1000, zeros, sizeof(zeros));
    es_code(&es, CODE(0xB9, 0x35, 0x01, 0x01, 0xC0, 0x0F, 0x32, 0xF4));
    with_features(0);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es_trapped(&es).vec, EXC_GP);

    /* no C-bits; memory ends at 600000h: MOV [ES_DATA], RBX; MOV [700000h], RBX */
    for (uint64_t i = 0; i < 8; i++)
        es_guest_put64(&es, ES_CR3 + 0x2000 + i * 8, i << 21 | 0xE7);
    es_code(&es, CODE(0x48, 0x89, 0x1C, 0x25, 0, 0, 0x45, 0, 0x48, 0x89, 0x1C, 0x25, 0, 0, 0x70, 0,
                      0xB9, 0x35, 0x01, 0x01, 0xC0, 0x0F, 0x32, 0xF4));
    with_features(SEV_FEATURE_VTOM);
    es.vmsa.cr3 = ES_CR3;
    es.vmsa.virtual_tom = 0x600000;
    es.vmsa.rbx = 0x1122334455667788;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 24);
    assert_int_equal(es.vmsa.rax, 0x600000);
    assert_int_equal(es_guest64(&es, ES_DATA), 0x1122334455667788);
    assert_true(soc_read(es.soc, 0x700000, &seen, 8));
    assert_int_equal(seen, 0x1122334455667788);

    /* WRMSR; RDMSR; then nothing at 700000h is shared any more */
    es_code(&es, CODE(0xB9, 0x35, 0x01, 0x01, 0xC0, 0x31, 0xD2, 0xB8, 0xFF, 0xFF, 0x9F, 0x00, 0x0F,
                      0x30, 0x0F, 0x32, 0x48, 0x8B, 0x1C, 0x25, 0, 0, 0x70, 0));
    es.vmsa.rip = ES_CODE;
    es_set(&es, &es.vmsa);
    assert_int_equal(es_run(&es), VMEXIT_NPF);
    assert_int_equal(es.vmcb.control.exitinfo1 & (NPF_RMP | NPF_ENC), NPF_RMP | NPF_ENC);
    assert_int_equal(es.vmsa.rax, 0x800000); /* bits 20:0 are not there */
    assert_int_equal(es.vmsa.virtual_tom, 0x800000);
}

#define SNP(test) cmocka_unit_test_setup_teardown(test, open_snp, close_es)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SNP(only_a_save_area_of_the_guest_runs),
        SNP(a_save_area_in_a_large_page_does_not_run),
        SNP(pcpu_id_flushes),
        SNP(snp_must_be_enabled),
        SNP(a_save_area_without_snp_must_be_the_hosts),
        SNP(vmcb_and_host_save_area_must_be_the_hosts),
        SNP(levels_are_those_of_the_chip),
        SNP(status_says_snp),
        SNP(the_region_of_es_is_the_firmwares),
        SNP(any_save_area_is_safe),
        SNP(reflected_vc_is_an_exit),
        SNP(a_reflected_vc_on_the_way_leaves_the_area_busy),
        SNP(restricted_injection_lets_hv_pass),
        SNP(physical_interrupts_leave_unasked),
        SNP(alternate_injection_comes_from_the_save_area),
        SNP(the_shadow_is_in_the_save_area_too),
        SNP(x2apic_is_always_intercepted_with_alternate_injection),
        SNP(the_secure_tsc_is_the_guests),
        SNP(a_write_of_the_secure_tsc_does_no_harm),
        SNP(the_guests_frequency_can_be_read),
        SNP(virtual_top_of_memory_replaces_the_c_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
