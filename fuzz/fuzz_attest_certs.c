/* Fuzzes certificates, DER and PEM, and the judgement of a chain. The input is the file. */
#include "rig.h"

#include "lucca/attest.h"

static bool inside(struct attest_span part, struct attest_span whole)
{
    return part.at >= whole.at && part.len <= whole.len &&
           (size_t)(part.at - whole.at) <= whole.len - part.len;
}

static void laws(const struct attest_cert *c)
{
    MUST(inside(c->tbs, c->der) && inside(c->signature, c->der) && inside(c->issuer, c->tbs) &&
         inside(c->subject, c->tbs) && inside(c->spki, c->tbs));
    MUST(memchr(c->subject_cn, 0, sizeof(c->subject_cn)) &&
         memchr(c->product_name, 0, sizeof(c->product_name)) &&
         memchr(c->csp_id, 0, sizeof(c->csp_id)));
    MUST(c->hwid_len == 0 || c->hwid_len == 8 || c->hwid_len == 64);
    MUST(c->version >= 1 && c->version <= 3 && c->serial_len >= 1);
    MUST((c->kind == ATTEST_CERT_OTHER) == (c->product == ATTEST_PRODUCT_UNKNOWN));
    MUST(!c->rsa_bits || (inside(c->rsa_n, c->spki) && inside(c->rsa_e, c->spki)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attest_trust *trust;
    static struct attest_result result;
    struct attest_certs *certs = attest_certs_new(NULL);
    struct attest_error err = {0};

    if (!trust)
        trust = attest_trust_new(NULL);
    MUST(trust && certs);
    if (attest_certs_add(certs, data, size, &err) != ATTEST_OK)
        MUST(err.code && err.text[0]);
    for (size_t i = 0; i < attest_certs_count(certs); i++) {
        const struct attest_cert *c = attest_certs_at(certs, i);

        laws(c);
        attest_verify_chain(trust, &(struct attest_query){.certs = certs, .at = 1700000000}, c,
                            &result);
        MUST(result.leaf == c && result.summary[0]);
        MUST(result.verdict != ATTEST_GOOD ||
             attest_result_check(&result, "chain.leaf_signature")->outcome == ATTEST_PASS);
    }
    attest_certs_free(certs);
    return 0;
}
