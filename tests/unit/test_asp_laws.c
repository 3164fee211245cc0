/* What the secure processor refuses: every command in every wrong state, and noise. A refusal
 * leaves no trace in memory, in the processor or in its store. */
#include "asp_fixture.h"

/* ---- every command in every state ---------------------------------------------------------- */

/* The SEV API's two state machines once more, in letters: platform U I W; guest L(UPDATE),
 * S(ECRET), R(UNNING); 'a' where the guest must be active. */
static const struct {
    uint32_t id;
    const char *platform, *guest;
    bool buffer;
} laws[] = {
    {0x01, "U", "", true},     {0x02, "UIW", "", false},  {0x03, "U", "", false},
    {0x04, "UIW", "", true},   {0x05, "I", "", false},    {0x06, "IW", "", true},
    {0x07, "I", "", true},     {0x08, "IW", "", true},    {0x09, "IW", "", false},
    {0x0A, "UIW", "", false},  {0x0C, "UIW", "", true},   {0x0D, "U", "", true},
    {0x0E, "UIW", "", false},  {0x20, "W", "LSR", true},  {0x21, "W", "LSR", true},
    {0x22, "W", "LSR", true},  {0x23, "IW", "", true},    {0x30, "IW", "", true},
    {0x31, "W", "La", true},   {0x32, "W", "L", true},    {0x33, "W", "L", true},
    {0x34, "W", "Sa", true},   {0x35, "W", "S", true},    {0x36, "W", "SR", true},
    {0x60, "W", "LSRa", true}, {0x61, "W", "LSRa", true},
};

static void the_table_has_every_command(void **state)
{
    static const uint32_t known[] = {
#define X(name, id) id,
        SEV_COMMANDS(X)
#undef X
    };

    assert_int_equal(COUNT(known), COUNT(laws));
    for (size_t i = 0; i < COUNT(laws); i++)
        assert_int_not_equal(mailbox(&rig, laws[i].id, UINT64_MAX), SEV_INVALID_COMMAND);
}

static void wrong_platform_states_are_refused(void **state)
{
    for (const char *s = "UIW"; *s; s++) {
        rig_open(&rig, CHIP_GENOA, NULL);
        if (*s != 'U')
            rig_init(&rig);
        if (*s == 'W')
            start(&rig, 0);
        for (size_t i = 0; i < COUNT(laws); i++)
            if (!strchr(laws[i].platform, *s))
                REFUSED(mailbox(&rig, laws[i].id, AT_CMD), SEV_INVALID_PLATFORM_STATE);
            else if (laws[i].buffer) /* legal, but its buffer is nowhere */
                REFUSED(mailbox(&rig, laws[i].id, DRAM_BYTES - 2), SEV_INVALID_ADDRESS);
        rig_close(&rig);
    }
}

static void wrong_guest_states_are_refused(void **state)
{
    static const uint32_t strangers[] = {0, 77, 1024, 1025, UINT32_MAX};
    static const struct {
        char letter;
        enum sev_guest_state state;
    } states[] = {{'L', SEV_GUEST_LUPDATE}, {'S', SEV_GUEST_LSECRET}, {'R', SEV_GUEST_RUNNING}};

    for (size_t g = 0; g < COUNT(states); g++) {
        struct sev_cmd_dbg b = {.handle = guest_in_state(&rig, states[g].state, 0)};

        for (size_t i = 0; i < COUNT(laws); i++) {
            const char *legal = laws[i].guest;
            struct sev_cmd_dbg nobody = {0};

            if (!*legal)
                continue;
            for (size_t n = 0; n < COUNT(strangers); n++) {
                nobody.handle = strangers[n];
                REFUSED(command(&rig, laws[i].id, &nobody, sizeof(nobody)), SEV_INVALID_GUEST);
            }
            if (!strchr(legal, states[g].letter))
                REFUSED(command(&rig, laws[i].id, &b, sizeof(b)), SEV_INVALID_GUEST_STATE);
            else if (strchr(legal, 'a'))
                REFUSED(command(&rig, laws[i].id, &b, sizeof(b)), SEV_INACTIVE);
        }
    }
}

/* ---- noise --------------------------------------------------------------------------------- */

static uint64_t noise_state;

static uint32_t noise(void)
{
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(noise_state >> 33);
}

/* Numbers that are wrong in the ways that matter: near a boundary, huge, or quite right. */
static uint64_t odd_number(void)
{
    static const uint64_t numbers[] = {
        0,          1,      2,      16,      0x30,      0x34,      0x80,       0x824,
        0x186C,     0xD0,   0x24,   AT_DATA, AT_MORE,   AT_GUEST,  AT_NV,      100,
        DRAM_BYTES, 0x8000, 0x5000, 0x1000,  INT64_MAX, INT32_MAX, UINT32_MAX, UINT64_MAX,
    };
    uint64_t n = numbers[noise() % COUNT(numbers)];

    switch (noise() % 6) {
    case 0:
        return n - 16;
    case 1:
        return n + noise() % 32;
    default:
        return n;
    }
}

/* Whatever a host writes into command buffers: no crash, and no trace of what was refused. */
static void noise_leaves_no_trace_when_refused(void **state)
{
    static uint32_t words[16];
    struct owner o;
    struct exported e;
    unsigned accepted = 0;

    noise_state = 2026;
    export_certs(&rig, &e);
    owner_seal(&o, e.pdh, 0);
    for (unsigned i = 0; i < 4000; i++) {
        uint32_t cmd = laws[noise() % COUNT(laws)].id;
        uint64_t at = noise() % 16 ? AT_CMD : odd_number();
        enum sev_status status;

        if (cmd == SEV_CMD_SHUTDOWN && noise() % 8)
            continue;
        for (unsigned w = 0; w < COUNT(words); w++)
            words[w] = noise() % 4 ? (uint32_t)odd_number() : 0;
        words[0] = noise() % 4 ? 1 + noise() % 4 : words[0];
        for (unsigned w = 2; w < COUNT(words); w += 2)
            if (noise() % 2)
                store64(words + w, odd_number());
        host_write(&rig, AT_CMD, words, sizeof(words));
        host_write(&rig, AT_DATA, o.cert, sizeof(o.cert));
        host_write(&rig, AT_MORE, &o.session, sizeof(o.session));
        asp_note_wbinvd(rig.asp, 0);
        asp_note_wbinvd(rig.asp, 1);
        look(&rig, &before);
        status = mailbox(&rig, cmd, at);
        if (status == SEV_SUCCESS)
            accepted++;
        else if (status != SEV_SECURE_DATA_INVALID) /* erases the store, as it must */
            assert_same_world_around(&rig, &before, at);
    }
    assert_in_range(accepted, 400, 3600); /* or the noise tests nothing */
}

#define READY(test) cmocka_unit_test_setup_teardown(test, open_initialised, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        READY(the_table_has_every_command),
        cmocka_unit_test(wrong_platform_states_are_refused),
        READY(wrong_guest_states_are_refused),
        READY(noise_leaves_no_trace_when_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
