/* Fuzzes what an owner reads that others wrote: the platform's certificates, keys, ID blocks,
 * secrets. What is refused leaves a sentence; nobody's signature is made up. */
#include "rig.h"

#include "lucca/owner.h"

static void certificates(const uint8_t *data, size_t size)
{
    struct attest_sev_chain chain = {0};
    struct attest_sev_result r;
    struct attest_error err = {0};
    struct attest_session session;

    if (attest_sev_chain_add(&chain, data, size, &err) != ATTEST_OK)
        MUST(err.code != ATTEST_OK && err.text[0]);
    (void)attest_sev_chain_verify(&chain, NULL, 0, false, &r);
    MUST(r.verdict != ATTEST_GOOD || r.product);
    for (unsigned i = 0; i < ATTEST_SEV_CHECKS; i++)
        MUST(r.check[i].found[0] &&
             (r.verdict != ATTEST_GOOD || r.check[i].outcome == ATTEST_PASS));
    if (chain.cert[ATTEST_SEV_PDH].at &&
        attest_session_make(&session, chain.cert[ATTEST_SEV_PDH], 1, &err) != ATTEST_OK)
        MUST(err.code != ATTEST_OK && err.text[0]);
}

static void key(const uint8_t *data, size_t size)
{
    uint8_t digest[ATTEST_KEY_DIGEST_BYTES];
    struct attest_error err = {0};

    if (attest_id_key_digest(digest, (struct attest_span){data, size}, &err) != ATTEST_OK)
        MUST(err.code != ATTEST_OK && err.text[0]);
}

static void id_block(const uint8_t *data, size_t size)
{
    uint8_t block[ATTEST_ID_BLOCK_BYTES] = {0}, again[ATTEST_ID_BLOCK_BYTES];
    uint8_t auth[ATTEST_ID_AUTH_BYTES] = {0}, digest[2][ATTEST_KEY_DIGEST_BYTES];
    size_t n = MIN(size, sizeof(block));
    struct attest_id_block fields;
    struct attest_error err = {0};
    bool by_author;

    memcpy(block, data, n);
    memcpy(auth, data + n, MIN(size - n, sizeof(auth)));
    attest_id_block_decode(&fields, block);
    attest_id_block_encode(again, &fields);
    MUST(!memcmp(block, again, sizeof(block)));
    if (attest_id_auth_check(auth, block, digest[0], digest[1], &by_author, &err) != ATTEST_OK)
        MUST(err.code != ATTEST_OK && err.text[0]);
}

static void secrets(const uint8_t *data, size_t size)
{
    static uint8_t table[ATTEST_SECRET_MAX], sealed[ATTEST_SECRET_MAX];
    static const uint8_t zeros[ATTEST_MEASURE_BYTES];
    uint8_t header[ATTEST_SECRET_HEADER_BYTES];
    size_t len = 0;

    while (size > 40) {
        size_t n = MIN((size_t)load16(data + 36), size - 38);
        char guid[37];

        memcpy(guid, data, 36);
        guid[36] = 0;
        (void)!attest_secret_add(table, &len, guid, data + 38, n, NULL);
        MUST(len <= sizeof(table) && len % 16 == 0);
        data += 38 + n;
        size -= 38 + n;
    }
    if (len)
        MUST(attest_secret_seal(header, sealed, zeros, zeros, zeros, table, len, NULL) ==
             ATTEST_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(const uint8_t *, size_t) = {certificates, key, id_block,
                                                               secrets};

    if (size)
        targets[data[0] % COUNT(targets)](data + 1, size - 1);
    return 0;
}
