/* Fuzzes policies: the input is lines of KEY=VALUE. What a policy takes it gives back, in the same
 * form and in words, and a report is judged by it. */
#include "rig.h"

#include "lucca/attest.h"

static void round_trip(const struct attest_policy *policy)
{
    struct attest_policy *again = attest_policy_new(NULL);
    size_t count;
    const struct attest_policy_key *keys = attest_policy_keys(&count);
    char text[256], other[256];

    MUST(again);
    for (size_t i = 0; i < count; i++) {
        size_t n = attest_policy_count(policy, &keys[i]);

        MUST(attest_policy_explain(policy, &keys[i], text, sizeof(text)) > 0);
        for (size_t v = 0; v < n; v++) {
            MUST(attest_policy_value(policy, &keys[i], v, text, sizeof(text)) > 0);
            MUST(attest_policy_set(again, keys[i].name, text, NULL) == ATTEST_OK);
            MUST(attest_policy_value(again, &keys[i], v, other, sizeof(other)) > 0);
            MUST(strcmp(text, other) == 0);
        }
        MUST(attest_policy_count(again, &keys[i]) == n || (!n && !strcmp(keys[i].name, "debug")));
        MUST(attest_policy_value(policy, &keys[i], n, text, sizeof(text)) == -1);
    }
    attest_policy_free(again);
}

/* No certificates: what is asked is the policy alone. */
static void judge(const struct attest_policy *policy, uint8_t seed)
{
    static struct attest_trust *trust;
    static struct attest_result result;
    uint8_t report[ATTEST_REPORT_SIZE];

    if (!trust)
        trust = attest_trust_new(NULL);
    MUST(trust);
    memset(report, seed, sizeof(report));
    store32(report, 2 + seed % 4);
    memcpy(report + 0x188, seed & 1 ? "\x19\x01\x01" : "\x1A\x02\x01", 3);
    MUST(attest_verify(trust,
                       &(struct attest_query){
                           .report = report, .report_len = sizeof(report), .policy = policy},
                       &result) != ATTEST_GOOD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attest_policy *policy = attest_policy_new(NULL);
    char *text = malloc(size + 1), *rest = text;

    MUST(policy && text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char *key = strsep(&line, "=");
        struct attest_error err = {0};

        if (line && attest_policy_set(policy, key, line, &err) != ATTEST_OK)
            MUST(err.code && err.path[0] && err.text[0]);
    }
    round_trip(policy);
    judge(policy, size ? data[0] : 0);
    attest_policy_free(policy);
    free(text);
    return 0;
}
