/* Revocation: the lists of the chain's root, and whether they name what the chain stands on. */
#include "attest/internal.h"

static const struct attest_crl *latest(const struct attest_certs *bag,
                                       const struct attest_cert *root)
{
    const struct attest_crl *best = NULL;

    for (size_t i = 0; i < bag->crl_count; i++) {
        const struct attest_crl *c = &bag->crls[i]->crl;

        if (span_equal(c->issuer, root->subject) && (!best || c->this_update > best->this_update))
            best = c;
    }
    return best;
}

static bool crl_signed(const struct judge *j, const struct attest_crl *crl)
{
    struct attest_cache *cache = j->query->cache;
    const struct attest_cert *root = &j->root->cert;

    if (!crl->pss_exact || crl->unknown_critical || (root->has_key_usage && !root->may_sign_crls))
        return false;
    if (cache_knows(cache, root->spki_sha256, crl->sha256))
        return true;
    if (!key_verify_pss(j->root->key, crl->tbs, crl->signature))
        return false;
    cache_learn(cache, root->spki_sha256, crl->sha256);
    return true;
}

/* The serial of the issuer or the root in this list. */
static bool lists_one(const struct judge *j, const struct attest_crl *crl,
                      const struct attest_cert **which, int64_t *when)
{
    const struct cert_item *all[] = {j->issuer, j->root};

    for (unsigned i = 0; i < 2; i++) {
        *which = &all[i]->cert;
        if (attest_crl_lists(crl, (*which)->serial, (*which)->serial_len, when))
            return true;
    }
    return false;
}

/* In every list of the root, older ones too: there are several (for VCEKs and for VLEKs), and what
 * was revoked once stays so. A list that is not the root's says nothing, but the latest is heard
 * anyway. */
static void judge_serials(struct judge *j, const struct attest_crl *newest)
{
    const struct attest_certs *bag = j->query->certs;
    const struct attest_cert *which;
    size_t entries = 0;
    int64_t at;

    for (size_t i = 0; i < bag->crl_count; i++) {
        const struct attest_crl *crl = &bag->crls[i]->crl;
        char when[32];
        struct line l = LINE_OVER(when);

        if (!span_equal(crl->issuer, j->root->cert.subject) ||
            (crl != newest && !crl_signed(j, crl)))
            continue;
        entries += crl->revoked;
        if (!lists_one(j, crl, &which, &at))
            continue;
        line_time(&l, at);
        FAIL(j, REVOKED, "not listed", "%s was revoked on %s", which->subject_cn, when);
        return;
    }
    PASS(j, REVOKED, "not listed", "none of %zu entries", entries);
}

void revocation_judge(struct judge *j, bool required)
{
    const struct attest_certs *bag = j->query->certs;
    const struct attest_crl *crl;
    char from[32], to[32], at[32];
    struct line f = LINE_OVER(from), t = LINE_OVER(to), a = LINE_OVER(at);
    bool good;

    if (!bag || !bag->crl_count) {
        if (required)
            FAIL(j, CRL, "a list", "none was given");
        else
            NOT_ASKED(j, CRL, "none was given, and the policy does not require one");
        return;
    }
    if (!j->root) {
        if (required)
            FAIL(j, CRL, "a list of the root", "there is no root");
        return;
    }
    crl = latest(bag, &j->root->cert);
    j->result->crl = crl;
    if (!crl) {
        FAIL(j, CRL, j->root->cert.subject_cn, "the list is of \"%s\"",
             bag->crls[0]->crl.issuer_cn);
        return;
    }
    PASS(j, CRL, j->root->cert.subject_cn, "%s, with %zu entries", crl->issuer_cn, crl->revoked);
    good = crl_signed(j, crl);
    DECIDE(j, good, CRL_SIGNED, "good", "%s",
           good                    ? "good"
           : crl->unknown_critical ? "the list does not cover all of its issuer's certificates"
                                   : "wrong");
    line_time(&f, crl->this_update);
    line_time(&t, crl->next_update);
    line_time(&a, j->result->at);
    DECIDE(j, j->result->at >= crl->this_update && j->result->at <= crl->next_update, CRL_FRESH, at,
           "it is of %s, and good until %s", from, to);
    judge_serials(j, crl);
}
