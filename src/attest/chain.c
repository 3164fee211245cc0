/* The chain of certificates: which ones to judge, and the judgement. */
#include "attest/trust.h"

#include <stdio.h>

/* ---- finding it ---- */

static bool may_be_leaf(const struct attest_cert *c)
{
    return c->kind == ATTEST_CERT_VCEK || c->kind == ATTEST_CERT_VLEK ||
           c->kind == ATTEST_CERT_OTHER;
}

static unsigned fitness(const struct attest_cert *c, const struct attest_report *r)
{
    enum attest_cert_kind want =
        r->signing_key == ATTEST_KEY_VLEK ? ATTEST_CERT_VLEK : ATTEST_CERT_VCEK;
    struct attest_tcb tcb;

    attest_tcb_decode(&tcb, r->reported_tcb.raw, c->tcb.layout);
    return (c->kind == want) * 4u +
           (c->hwid_len && memcmp(c->hwid, r->chip_id, c->hwid_len) == 0) * 2u +
           (memcmp(tcb.part, c->tcb.part, sizeof(tcb.part)) == 0);
}

static const struct cert_item *best_leaf(const struct judge *j)
{
    const struct attest_certs *bag = j->query->certs;
    const struct cert_item *best = NULL;
    unsigned most = 0;

    for (size_t i = 0; bag && i < bag->cert_count; i++) {
        const struct attest_cert *c = &bag->certs[i]->cert;
        unsigned fit = j->result->parsed ? fitness(c, &j->result->report) : 0;

        if (may_be_leaf(c) && (!best || fit > most)) {
            best = bag->certs[i];
            most = fit;
        }
    }
    return best;
}

/* What the kind says of `c` being the signer of a leaf, or of an issuer. */
static bool is_issuer(const struct attest_cert *c)
{
    return c->kind == ATTEST_CERT_ASK || c->kind == ATTEST_CERT_ASVK;
}

static bool is_root(const struct attest_cert *c)
{
    return c->kind == ATTEST_CERT_ARK;
}

static bool check_signed(const struct judge *j, const struct cert_item *child,
                         const struct cert_item *signer)
{
    struct attest_cache *cache = j->query->cache;
    const struct attest_cert *c = &child->cert;

    if (!c->pss_exact)
        return false;
    if (cache_knows(cache, signer->cert.spki_sha256, c->sha256))
        return true;
    if (!key_verify_pss(signer->key, c->tbs, c->signature))
        return false;
    cache_learn(cache, signer->cert.spki_sha256, c->sha256);
    return true;
}

/* The signer of `child` in a bag: of those with the right name the first that did sign, else the
 * first. `other`: one of the role with another name. */
static const struct cert_item *signer_in(const struct judge *j, const struct attest_certs *bag,
                                         bool (*role)(const struct attest_cert *),
                                         const struct cert_item *child,
                                         const struct cert_item **other)
{
    const struct cert_item *named = NULL, *before;

    for (size_t i = 0; bag && i < bag->cert_count; i++) {
        const struct cert_item *item = bag->certs[i];

        if (!role(&item->cert) || item == child)
            continue;
        if (!span_equal(item->cert.subject, child->cert.issuer)) {
            *other = *other ? *other : item;
            continue;
        }
        before = named;
        named = named ? named : item;
        if (before && check_signed(j, child, item))
            return check_signed(j, child, named) ? named : item;
    }
    return named;
}

/* Who was given goes before what is built in, even where it does not fit: a wrong certificate is an
 * error, not a reason to look elsewhere. */
static const struct cert_item *signer_of(const struct judge *j, const struct cert_item *child,
                                         bool (*role)(const struct attest_cert *))
{
    const struct cert_item *given = NULL, *ours = NULL, *found;

    found = signer_in(j, j->query->certs, role, child, &given);
    if (!found && !given)
        found = signer_in(j, j->trust->added, role, child, &ours);
    if (!found && !given)
        found = signer_in(j, j->trust->builtin, role, child, &ours);
    return found ? found : given;
}

void chain_find(struct judge *j, const struct attest_cert *leaf)
{
    const struct attest_certs *bag = j->query->certs;

    if (leaf) {
        for (size_t i = 0; bag && i < bag->cert_count; i++)
            if (&bag->certs[i]->cert == leaf)
                j->leaf = bag->certs[i];
    } else {
        j->leaf = best_leaf(j);
    }
    if (j->leaf)
        j->issuer = signer_of(j, j->leaf, is_issuer);
    if (j->issuer)
        j->root = signer_of(j, j->issuer, is_root);
    j->result->leaf = j->leaf ? &j->leaf->cert : NULL;
    j->result->issuer = j->issuer ? &j->issuer->cert : NULL;
    j->result->root = j->root ? &j->root->cert : NULL;
}

/* ---- judging it ---- */

static void judge_presence(struct judge *j)
{
    const char *want = !j->result->parsed                                 ? "VCEK or VLEK"
                       : j->result->report.signing_key == ATTEST_KEY_VLEK ? "VLEK"
                                                                          : "VCEK";
    const char *role = j->leaf && j->leaf->cert.kind == ATTEST_CERT_VLEK ? "ASVK" : "ASK";

    if (!j->leaf)
        FAIL(j, CERTIFICATES, want, "no %s was given", want);
    else if (!j->issuer)
        FAIL(j, CERTIFICATES, role, "there is no %s named \"%s\"", role, j->leaf->cert.issuer_cn);
    else if (!j->root)
        FAIL(j, CERTIFICATES, "ARK", "there is no ARK named \"%s\"", j->issuer->cert.issuer_cn);
    else
        PASS(j, CERTIFICATES, "leaf, issuer, root", "%s, %s, %s", j->leaf->cert.subject_cn,
             j->issuer->cert.subject_cn, j->root->cert.subject_cn);
}

static void judge_kind(struct judge *j)
{
    const struct attest_cert *leaf = &j->leaf->cert;
    uint8_t key = j->result->report.signing_key;
    enum attest_cert_kind want = key == ATTEST_KEY_VLEK ? ATTEST_CERT_VLEK : ATTEST_CERT_VCEK;

    if (!j->result->parsed)
        DECIDE(j, leaf->kind == ATTEST_CERT_VCEK || leaf->kind == ATTEST_CERT_VLEK, KIND,
               "VCEK or VLEK", "\"%s\" by \"%s\"", leaf->subject_cn, leaf->issuer_cn);
    else
        DECIDE(j, leaf->kind == want && key <= ATTEST_KEY_VLEK, KIND, attest_cert_kind_name(want),
               "%s: \"%s\" by \"%s\"", attest_cert_kind_name(leaf->kind), leaf->subject_cn,
               leaf->issuer_cn);
}

static void judge_root(struct judge *j)
{
    const struct attest_cert *root = &j->root->cert;
    const char *whose = trust_amd(root)               ? "AMD"
                        : trust_added(j->trust, root) ? "added by the user"
                                                      : NULL;
    char pin[65];
    struct line l = LINE_OVER(pin);

    line_hex(&l, root->spki_sha256, 32);
    if (!whose && root->emulated && trust_any_emulated(j->trust))
        whose = "EMULATED";
    DECIDE(j, whose, ROOT, "a key that is trusted", "%s, key %.16s...: %s", root->subject_cn, pin,
           whose ? whose : "not trusted");
}

static void judge_emulated(struct judge *j)
{
    bool emulated = j->leaf->cert.emulated || j->issuer->cert.emulated || j->root->cert.emulated;

    j->result->emulated = emulated;
    DECIDE(j, !emulated || j->trust->emulated, EMULATED,
           j->trust->emulated ? "emulated or not" : "not emulated", "%s%.70s",
           emulated ? "EMULATED: " : "not emulated", emulated ? j->root->cert.subject_serial : "");
}

static void judge_names(struct judge *j)
{
    const struct attest_cert *leaf = &j->leaf->cert, *issuer = &j->issuer->cert,
                             *root = &j->root->cert;
    enum attest_cert_kind want =
        leaf->kind == ATTEST_CERT_VLEK ? ATTEST_CERT_ASVK : ATTEST_CERT_ASK;
    const char *wrong = NULL;

    if (!span_equal(leaf->issuer, issuer->subject))
        wrong = "the leaf names another issuer";
    else if (!span_equal(issuer->issuer, root->subject))
        wrong = "the issuer names another root";
    else if (!root->self_issued || root->kind != ATTEST_CERT_ARK)
        wrong = "the root is no ARK";
    else if (issuer->kind != want || leaf->kind == ATTEST_CERT_OTHER)
        wrong = "the kinds do not fit together";
    else if (!leaf->names_exact || !issuer->names_exact || !root->names_exact)
        wrong = "attributes that are not AMD's";
    DECIDE(j, !wrong, NAMES, "AMD's names, each issuer the next subject",
           "\"%.24s\" by \"%.24s\"; \"%.24s\" by \"%.24s\"%s%s", leaf->subject_cn, leaf->issuer_cn,
           issuer->subject_cn, issuer->issuer_cn, wrong ? ": " : "", wrong ? wrong : "");
}

static bool rsa_ok(const struct attest_cert *c)
{
    return c->rsa_bits == 4096 && c->rsa_e.len == 3 && memcmp(c->rsa_e.at, "\x01\x00\x01", 3) == 0;
}

static const char *constraint_broken(const struct judge *j)
{
    const struct cert_item *all[] = {j->leaf, j->issuer, j->root};

    for (unsigned i = 0; i < 3; i++) {
        const struct attest_cert *c = &all[i]->cert;

        if (c->version != 3)
            return "a certificate is not of version 3";
        if (c->unknown_critical)
            return "a critical extension is not known";
        if (i && (!c->ca || (c->has_key_usage && !c->may_sign_certs)))
            return "a certificate may not sign certificates but did";
    }
    if (j->leaf->cert.ca || j->leaf->cert.may_sign_certs)
        return "the leaf may sign certificates";
    if (j->root->cert.path_len == 0)
        return "the root allows no certificate in between";
    return NULL;
}

static void judge_validity(struct judge *j)
{
    const struct cert_item *all[] = {j->leaf, j->issuer, j->root};
    char text[ATTEST_TEXT_MAX], at[32];
    struct line l = LINE_OVER(text), when = LINE_OVER(at);
    bool good = true;

    line_time(&when, j->result->at);
    for (unsigned i = 0; i < 3; i++) {
        const struct attest_cert *c = &all[i]->cert;

        if (j->result->at >= c->not_before && j->result->at <= c->not_after)
            continue;
        line_add(&l, "%s%s is valid from ", good ? "" : "; ", c->subject_cn);
        line_time(&l, c->not_before);
        line_add(&l, " to ");
        line_time(&l, c->not_after);
        good = false;
    }
    if (good) {
        line_add(&l, "the leaf is valid until ");
        line_time(&l, j->leaf->cert.not_after);
    }
    DECIDE(j, good, VALIDITY, at, "%s", text);
}

/* The components .3.n that a leaf has, by layout. .3.4 to .3.7 are reserved and zero; Turin's
 * certificates may leave .3.4 out. */
#define SPL(n) (1u << (n))
static const char *spl_wrong(const struct attest_cert *c)
{
    static const uint16_t needed[] = {
        [ATTEST_LAYOUT_MILAN] =
            SPL(1) | SPL(2) | SPL(3) | SPL(4) | SPL(5) | SPL(6) | SPL(7) | SPL(8),
        [ATTEST_LAYOUT_TURIN] =
            SPL(1) | SPL(2) | SPL(3) | SPL(5) | SPL(6) | SPL(7) | SPL(8) | SPL(9),
    };
    bool turin = c->tcb.layout == ATTEST_LAYOUT_TURIN;

    if (c->tcb.layout == ATTEST_LAYOUT_UNKNOWN)
        return "the product is not known";
    if ((c->spl_mask & needed[c->tcb.layout]) != needed[c->tcb.layout])
        return "a TCB component is missing";
    if (!turin && (c->spl_mask & SPL(9)))
        return "there is an FMC component, which only Turin has";
    for (unsigned i = 4; i <= 7; i++)
        if (c->spl[i])
            return "a reserved TCB component is not zero";
    return NULL;
}

static const char *extension_wrong(const struct attest_cert *c)
{
    const char *spl = spl_wrong(c);

    if (spl)
        return spl;
    if (!c->has_struct_version || c->struct_version > 1)
        return "structVersion is missing or not known";
    if (!c->has_product_name)
        return "productName is missing";
    if (c->kind == ATTEST_CERT_VLEK)
        return !c->has_csp_id ? "a VLEK without CSP_ID"
               : c->hwid_len  ? "a VLEK with a hardware id"
                              : NULL;
    if (c->kind != ATTEST_CERT_VCEK)
        return "neither a VCEK nor a VLEK";
    if (c->has_csp_id)
        return "a VCEK with CSP_ID";
    if (!c->hwid_len)
        return "a VCEK without hardware id";
    if (c->tcb.layout == ATTEST_LAYOUT_MILAN && c->hwid_len != 64)
        return "a hardware id of 8 bytes, which only Turin has";
    return NULL;
}

static void judge_product(struct judge *j)
{
    const struct attest_cert *leaf = &j->leaf->cert;
    const struct attest_certs *bag = j->query->certs;
    const struct attest_report *r = &j->result->report;
    enum attest_product chain = leaf->product, named = attest_product_from_name(leaf->product_name);
    enum attest_product cpu = j->result->parsed && r->has_cpuid ? r->product : chain;
    enum attest_product eax = bag->has_eax ? attest_product_from_eax(bag->eax) : chain;
    enum attest_product asked =
        j->query->product != ATTEST_PRODUCT_UNKNOWN ? j->query->product : chain;
    bool turin_id = j->result->parsed && all_zero(r->chip_id + 8, sizeof(r->chip_id) - 8);
    bool good = chain != ATTEST_PRODUCT_UNKNOWN && j->issuer->cert.product == chain &&
                j->root->cert.product == chain && named == chain && cpu == chain && eax == chain &&
                asked == chain;

    /* Version 2 does not say; but a long chip id is no Turin's. */
    if (j->result->parsed && !r->has_cpuid && chain == ATTEST_TURIN && !turin_id)
        good = false;
    DECIDE(j, good, PRODUCT, "one product", "root %s, issuer %s, leaf %s (\"%s\"), report %s",
           attest_product_name(j->root->cert.product), attest_product_name(j->issuer->cert.product),
           attest_product_name(chain), leaf->product_name,
           eax != chain                        ? attest_product_name(eax)
           : asked != chain                    ? attest_product_name(asked)
           : j->result->parsed && r->has_cpuid ? attest_product_name(cpu)
                                               : "silent");
}

static const char *by(bool good)
{
    return good ? "good" : "wrong";
}

void chain_judge(struct judge *j)
{
    const struct attest_cert *leaf, *issuer, *root;
    const char *wrong;
    bool pss;

    judge_presence(j);
    if (j->leaf) {
        judge_kind(j);
        wrong = extension_wrong(&j->leaf->cert);
        DECIDE(j, !wrong, EXTENSIONS, "as its kind and product ask", "%s",
               wrong ? wrong : "as expected");
    }
    if (!j->leaf || !j->issuer || !j->root)
        return;
    leaf = &j->leaf->cert;
    issuer = &j->issuer->cert;
    root = &j->root->cert;
    judge_root(j);
    judge_emulated(j);
    judge_names(j);
    DECIDE(j, leaf->p384 && j->leaf->key && rsa_ok(issuer) && rsa_ok(root), KEYS,
           "P-384, RSA-4096, RSA-4096", "%s, RSA-%u, RSA-%u",
           !leaf->p384     ? "not P-384"
           : !j->leaf->key ? "P-384 with a point off the curve"
                           : "P-384",
           issuer->rsa_bits, root->rsa_bits);
    wrong = constraint_broken(j);
    DECIDE(j, !wrong, CONSTRAINTS, "CA, CA, leaf", "%s", wrong ? wrong : "as expected");
    pss = leaf->pss_exact && issuer->pss_exact && root->pss_exact;
    DECIDE(j, pss, PSS, "PSS with SHA-384, salt 48", "%s",
           pss ? "PSS with SHA-384, salt 48" : "something else");
    pss = check_signed(j, j->root, j->root);
    DECIDE(j, pss, ROOT_SIGNED, "good", "%s", by(pss));
    pss = check_signed(j, j->issuer, j->root);
    DECIDE(j, pss, ISSUER_SIGNED, "good", "%s", by(pss));
    pss = check_signed(j, j->leaf, j->issuer);
    DECIDE(j, pss, LEAF_SIGNED, "good", "%s", by(pss));
    judge_validity(j);
    judge_product(j);
}
