/* Files of tests/data/attestation, and what every test of the attestation library needs. */
#ifndef LUCCA_TESTS_ATTEST_RIG_H
#define LUCCA_TESTS_ATTEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "lucca/attest.h"

struct file {
    uint8_t bytes[40960];
    size_t len;
};

static inline void load(struct file *file, const char *path)
{
    char full[1024];
    FILE *f;

    snprintf(full, sizeof(full), "%s/attestation/%s", LUCCA_DATA, path);
    f = fopen(full, "rbe");
    if (!f)
        fail_msg("%s cannot be opened", full);
    file->len = fread(file->bytes, 1, sizeof(file->bytes), f);
    assert_true(file->len < sizeof(file->bytes));
    fclose(f);
}

/* "2022-12-23", midnight */
static inline int64_t date(const char *text)
{
    struct tm tm = {0};
    char *end = strptime(text, "%Y-%m-%d", &tm);

    assert_true(end && !*end);
    return timegm(&tm);
}

static inline void add(struct attest_certs *certs, const char *path)
{
    struct attest_error err = {0};
    struct file file;

    load(&file, path);
    if (attest_certs_add(certs, file.bytes, file.len, &err) != ATTEST_OK)
        fail_msg("%s: %s: %s", path, err.path, err.text);
}

static inline void explain(const struct attest_result *r)
{
    print_message("# verdict %d: %s\n", r->verdict, r->summary);
    for (size_t i = 0; i < r->count; i++)
        if (r->check[i].outcome == ATTEST_FAIL)
            print_message("# %s: expected %s, found %s\n", r->check[i].info->name,
                          r->check[i].expected, r->check[i].found);
}

static inline void expect(const struct attest_result *r, enum attest_verdict verdict,
                          const char *failing)
{
    if (r->verdict != verdict)
        explain(r);
    assert_int_equal(r->verdict, verdict);
    if (failing) {
        const struct attest_check *c = attest_result_check(r, failing);

        assert_non_null(c);
        if (c->outcome != ATTEST_FAIL)
            explain(r);
        assert_int_equal(c->outcome, ATTEST_FAIL);
    }
}

#endif
