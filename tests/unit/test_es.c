/* Guests with encrypted state: what their hypervisor sees, what it cannot change, and what becomes
 * #VC instead of an exit (APM2 15.35). */
#include "es_rig.h"

static struct es es;

static int open_es(void **state)
{
    es_open(&es, CHIP_GENOA);
    return 0;
}

static int close_es(void **state)
{
    es_close(&es);
    return 0;
}

/* ---- events that are no exits ---- */
static void cpuid_and_ports_are_vc_unasked(void **state)
{
    static const struct {
        uint8_t code[4];
        uint64_t error;
    } rows[] = {
        {{0x0F, 0xA2, 0xF4}, 0x72}, /* CPUID */
        {{0xE4, 0x80, 0xF4}, 0x7B}, /* IN AL, 80h */
        {{0xE7, 0x80, 0xF4}, 0x7B}, /* OUT 80h, EAX */
        {{0xED, 0xF4}, 0x7B},       /* IN EAX, DX */
        {{0xEE, 0xF4}, 0x7B},       /* OUT DX, AL */
        {{0x6C, 0xF4}, 0x7B},       /* INSB */
        {{0xF2, 0x6F, 0xF4}, 0x7B}, /* REPNE OUTSD */
        {{0x66, 0x6D, 0xF4}, 0x7B}, /* INSW */
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct vmsa v = es_first_vmsa(&es);

        v.rcx = v.rdi = v.rsi = ES_DATA;
        es_set(&es, &v);
        es_code(&es, rows[i].code, sizeof(rows[i].code));
        es_expect_vc(&es, rows[i].error, 0);
    }
}

static void vmgexit_leaves_and_goes_on(void **state)
{
    es_code(&es, CODE(0xF3, 0x0F, 0x01, 0xD9, 0xF4));
    assert_int_equal(es_run(&es), VMEXIT_VMGEXIT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 4);
    assert_int_equal(es_run(&es), VMEXIT_HLT);
    assert_int_equal(es.vmsa.rip, ES_CODE + 5);
}

#define ES(test) cmocka_unit_test_setup_teardown(test, open_es, close_es)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ES(cpuid_and_ports_are_vc_unasked),
        ES(vmgexit_leaves_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
