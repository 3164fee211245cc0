/* DRAM behind encrypting memory controllers: lazy frames, eager frames and a third model made of
 * libcrypto's AES-128-XTS alone must agree on every byte (APM2 15.34). */
#include "base/bytes.h"
#include "crypto/openssl.h"
#include "silicon/dram/dram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h> /* last: it makes a macro of `fail` */

#define FRAMES 24u
#define BYTES  (FRAMES * FRAME_SIZE)
#define KEYS   6u
#define ASIDS  4u

static uint64_t random_state;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static unsigned below(unsigned n)
{
    return (unsigned)(random64() >> 33) % n;
}

static void random_fill(uint8_t *p, size_t n)
{
    while (n--)
        *p++ = (uint8_t)(random64() >> 24);
}

static struct dram *new_dram(bool eager)
{
    struct dram *d;

    assert_int_equal(dram_new(BYTES, eager, &d, NULL), OK);
    return d;
}

static dram_key new_key(struct dram *d, uint8_t fill)
{
    uint8_t seed[32];
    dram_key key;

    for (unsigned i = 0; i < sizeof(seed); i++)
        seed[i] = (uint8_t)(fill + i);
    key = dram_key_new(d, seed);
    assert_int_not_equal(key, DRAM_PLAIN);
    return key;
}

/* ---- the model ----------------------------------------------------------------------------- */

struct model_key {
    uint8_t seed[32];
    bool plain;
};

/* All there is to the model: ciphertext, and XTS over the whole frame for each access. */
static uint8_t model[BYTES];

static void model_crypt(const struct model_key *key, uint64_t frame, int encrypt, uint8_t *to,
                        const uint8_t *from)
{
    EVP_CIPHER_CTX *ctx;
    uint8_t iv[16] = {0};
    int n;

    if (key->plain) {
        memmove(to, from, FRAME_SIZE);
        return;
    }
    ctx = EVP_CIPHER_CTX_new();
    store64(iv, frame);
    assert_true(EVP_CipherInit_ex(ctx, EVP_aes_128_xts(), NULL, key->seed, iv, encrypt));
    assert_true(EVP_CipherUpdate(ctx, to, &n, from, FRAME_SIZE));
    assert_int_equal(n, FRAME_SIZE);
    EVP_CIPHER_CTX_free(ctx);
}

static void model_access(const struct model_key *key, uint64_t spa, const uint8_t *write,
                         uint8_t *read, size_t len)
{
    while (len) {
        uint64_t frame = spa >> FRAME_SHIFT;
        unsigned offset = spa & FRAME_MASK;
        size_t n = MIN(len, FRAME_SIZE - offset);
        uint8_t view[FRAME_SIZE];

        model_crypt(key, frame, 0, view, model + frame * FRAME_SIZE);
        if (write) {
            memcpy(view + offset, write, n);
            model_crypt(key, frame, 1, model + frame * FRAME_SIZE, view);
            write += n;
        } else {
            memcpy(read, view + offset, n);
            read += n;
        }
        spa += n;
        len -= n;
    }
}

/* ---- the property -------------------------------------------------------------------------- */

/* The same machine three times. */
struct trio {
    struct dram *lazy, *eager;
    struct {
        struct model_key model;
        dram_key lazy, eager;
    } keys[KEYS]; /* [0] is plain */
};

static void make_key(struct trio *t, unsigned i)
{
    random_fill(t->keys[i].model.seed, 32);
    t->keys[i].lazy = dram_key_new(t->lazy, t->keys[i].model.seed);
    t->keys[i].eager = dram_key_new(t->eager, t->keys[i].model.seed);
    assert_int_not_equal(t->keys[i].lazy, DRAM_PLAIN);
    assert_int_not_equal(t->keys[i].eager, DRAM_PLAIN);
}

static void read_all_three(struct trio *t, unsigned key, uint64_t spa, size_t len)
{
    static uint8_t lazy[BYTES], eager[BYTES], want[BYTES];

    assert_true(dram_read(t->lazy, spa, t->keys[key].lazy, lazy, len));
    assert_true(dram_read(t->eager, spa, t->keys[key].eager, eager, len));
    model_access(&t->keys[key].model, spa, NULL, want, len);
    assert_memory_equal(lazy, want, len);
    assert_memory_equal(eager, want, len);
}

static void write_all_three(struct trio *t, unsigned key, uint64_t spa, size_t len)
{
    static uint8_t bytes[BYTES];

    random_fill(bytes, len);
    assert_true(dram_write(t->lazy, spa, t->keys[key].lazy, bytes, len));
    assert_true(dram_write(t->eager, spa, t->keys[key].eager, bytes, len));
    model_access(&t->keys[key].model, spa, bytes, NULL, len);
}

/* A CPU's store through a pointer it holds; the other two see an ordinary write. */
static void store_by_pointer(struct trio *t, unsigned key, uint64_t frame)
{
    unsigned offset = below(FRAME_SIZE - 8);
    uint8_t bytes[8], *at = dram_touch(t->lazy, frame, t->keys[key].lazy);

    random_fill(bytes, 8);
    assert_non_null(at);
    memcpy(at + offset, bytes, 8);
    assert_null(dram_touch(t->eager, frame, t->keys[key].eager));
    assert_true(dram_write(t->eager, frame * FRAME_SIZE + offset, t->keys[key].eager, bytes, 8));
    model_access(&t->keys[key].model, frame * FRAME_SIZE + offset, bytes, NULL, 8);
}

/* A guest ends and another takes its place in the ASID; frames of the old one lie about. */
static void replace_key(struct trio *t, unsigned key)
{
    unsigned asid = 1 + below(ASIDS);

    dram_bind(t->lazy, asid, t->keys[key].lazy);
    dram_bind(t->eager, asid, t->keys[key].eager);
    dram_key_drop(t->lazy, t->keys[key].lazy);
    dram_key_drop(t->eager, t->keys[key].eager);
    make_key(t, key);
}

static void random_step(struct trio *t)
{
    static const unsigned sizes[] = {1, 2, 8, 15, 16, 17, 64, 4095, 4096, 4097, 3 * FRAME_SIZE};
    unsigned key = below(KEYS), what = below(100);
    size_t len = sizes[below(COUNT(sizes))];
    uint64_t spa = below((unsigned)(BYTES - len + 1));

    if (len >= FRAME_SIZE && what & 1)
        spa &= ~(uint64_t)FRAME_MASK;
    if (what < 40)
        read_all_three(t, key, spa, len);
    else if (what < 70)
        write_all_three(t, key, spa, len);
    else if (what < 98)
        store_by_pointer(t, key, spa >> FRAME_SHIFT);
    else if (key)
        replace_key(t, key);
}

static void lazy_eager_and_model_agree(void **state)
{
    struct trio t = {.lazy = new_dram(false), .eager = new_dram(true)};

    random_state = 0x9E3779B97F4A7C15;
    memset(model, 0, sizeof(model));
    t.keys[0].model.plain = true;
    for (unsigned i = 1; i < KEYS; i++)
        make_key(&t, i);
    for (unsigned i = 0; i < 30000; i++)
        random_step(&t);
    for (unsigned i = 0; i < KEYS; i++)
        read_all_three(&t, i, 0, BYTES);
    dram_free(t.lazy);
    dram_free(t.eager);
}

/* ---- laws ---------------------------------------------------------------------------------- */

static void memory_is_zero_at_power_on(void **state)
{
    static const uint8_t zeros[BYTES];
    static uint8_t got[BYTES];
    struct dram *d = new_dram(false);

    assert_int_equal(dram_size(d), BYTES);
    assert_true(dram_read(d, 0, DRAM_PLAIN, got, BYTES));
    assert_memory_equal(got, zeros, BYTES);
    dram_free(d);
}

static void host_write_damages_only_the_blocks_it_touched(void **state)
{
    for (int eager = 0; eager < 2; eager++) {
        struct dram *d = new_dram(eager);
        dram_key key = new_key(d, 1);
        uint8_t was[FRAME_SIZE], is[FRAME_SIZE];

        random_fill(was, FRAME_SIZE);
        assert_true(dram_write(d, FRAME_SIZE, key, was, FRAME_SIZE));
        /* 20 bytes from 0x2A: blocks 2 and 3 */
        assert_true(dram_write(d, FRAME_SIZE + 0x2A, DRAM_PLAIN, "a host writes to it.", 20));
        assert_true(dram_read(d, FRAME_SIZE, key, is, FRAME_SIZE));
        for (unsigned b = 0; b < FRAME_SIZE / 16; b++)
            if (b == 2 || b == 3)
                assert_memory_not_equal(is + 16 * b, was + 16 * b, 16);
            else
                assert_memory_equal(is + 16 * b, was + 16 * b, 16);
        assert_true(dram_read(d, FRAME_SIZE + 0x2A, DRAM_PLAIN, is, 20));
        assert_memory_equal(is, "a host writes to it.", 20);
        dram_free(d);
    }
}

static void ciphertext_depends_on_plaintext_address_and_key_alone(void **state)
{
    for (int eager = 0; eager < 2; eager++) {
        struct dram *d = new_dram(eager);
        dram_key a = new_key(d, 1), b = new_key(d, 2);
        uint8_t zeros[FRAME_SIZE] = {0}, first[FRAME_SIZE], next[FRAME_SIZE];

        assert_true(dram_write(d, 0, a, zeros, FRAME_SIZE));
        assert_true(dram_read(d, 0, DRAM_PLAIN, first, FRAME_SIZE));
        for (unsigned i = 16; i < FRAME_SIZE; i += 16)
            assert_memory_not_equal(first, first + i, 16);

        assert_true(dram_write(d, 0, a, first, FRAME_SIZE)); /* something else, then back */
        assert_true(dram_write(d, 0, a, zeros, FRAME_SIZE));
        assert_true(dram_read(d, 0, DRAM_PLAIN, next, FRAME_SIZE));
        assert_memory_equal(first, next, FRAME_SIZE);

        assert_true(dram_write(d, FRAME_SIZE, a, zeros, FRAME_SIZE));
        assert_true(dram_read(d, FRAME_SIZE, DRAM_PLAIN, next, FRAME_SIZE));
        assert_memory_not_equal(first, next, FRAME_SIZE);

        assert_true(dram_write(d, 0, b, zeros, FRAME_SIZE));
        assert_true(dram_read(d, 0, DRAM_PLAIN, next, FRAME_SIZE));
        assert_memory_not_equal(first, next, FRAME_SIZE);
        dram_free(d);
    }
}

static void rebinding_an_asid_leaves_old_frames_under_the_old_key(void **state)
{
    struct dram *d = new_dram(false);
    dram_key old = new_key(d, 1), fresh = new_key(d, 2);
    char got[16];

    dram_bind(d, 5, old);
    assert_true(dram_write(d, 0, dram_bound(d, 5), "sixteen bytes...", 16));
    dram_bind(d, 5, fresh);
    assert_int_equal(dram_bound(d, 5), fresh);
    assert_true(dram_read(d, 0, dram_bound(d, 5), got, 16));
    assert_memory_not_equal(got, "sixteen bytes...", 16);
    assert_true(dram_read(d, 0, old, got, 16));
    assert_memory_equal(got, "sixteen bytes...", 16);
    dram_free(d);
}

static void slot_0_is_plain_for_ever(void **state)
{
    struct dram *d = new_dram(false);

    dram_bind(d, 0, new_key(d, 1));
    assert_int_equal(dram_bound(d, 0), DRAM_PLAIN);
    assert_int_equal(dram_bound(d, 2047), DRAM_PLAIN);
    assert_int_equal(dram_bound(d, 2048), DRAM_PLAIN);
    dram_bind(d, 2048, new_key(d, 2));
    dram_free(d);
}

static void nothing_outside_dram(void **state)
{
    struct dram *d = new_dram(false);
    uint8_t byte = 7, got[2] = {1, 2};

    assert_false(dram_read(d, BYTES, DRAM_PLAIN, got, 1));
    assert_false(dram_read(d, BYTES - 1, DRAM_PLAIN, got, 2));
    assert_false(dram_read(d, UINT64_MAX, DRAM_PLAIN, got, 2));
    assert_int_equal(got[0], 1);
    assert_false(dram_write(d, BYTES - 1, DRAM_PLAIN, got, 2));
    assert_false(dram_write(d, UINT64_MAX - 1, DRAM_PLAIN, got, 2));
    assert_true(dram_read(d, BYTES - 1, DRAM_PLAIN, &byte, 1));
    assert_int_equal(byte, 0); /* the refused write left nothing */
    assert_true(dram_read(d, BYTES, DRAM_PLAIN, got, 0));
    assert_null(dram_touch(d, FRAMES, DRAM_PLAIN));
    dram_mark(d, FRAMES, FRAME_CODE);
    assert_false(dram_marked(d, FRAMES, FRAME_CODE));
    dram_free(d);
}

static void sizes_that_make_no_sense_are_refused(void **state)
{
    struct error err;
    struct dram *d;

    assert_int_equal(dram_new(0, false, &d, &err), ERR_ARG);
    assert_int_equal(dram_new(FRAME_SIZE + 1, false, &d, &err), ERR_ARG);
    assert_int_equal(dram_new(UINT64_C(1) << 50, false, &d, &err), ERR_NOMEM);
    assert_non_null(strstr(err.text, "MiB"));
}

/* ---- watching ------------------------------------------------------------------------------ */

struct heard {
    struct dram *dram;
    unsigned cached, code;
    uint64_t frame;
    uint8_t *held; /* a pointer that a CPU holds to the frame's bytes */
    uint8_t byte;  /* what it points to when the watcher hears */
};

static void hear(void *ctx, uint64_t frame, enum frame_mark why)
{
    struct heard *h = ctx;

    h->cached += why == FRAME_CACHED;
    h->code += why == FRAME_CODE;
    h->frame = frame;
    h->byte = h->held ? *h->held : 0;
    assert_false(dram_marked(h->dram, frame, why));
}

static void cached_frames_are_told_before_they_change_key(void **state)
{
    struct dram *d = new_dram(false);
    struct heard h = {.dram = d};
    dram_key key = new_key(d, 1);
    uint8_t bytes[FRAME_SIZE] = {0x55};

    dram_watch(d, hear, &h);
    h.held = dram_touch(d, 3, key);
    *h.held = 0xA7;
    dram_mark(d, 3, FRAME_CACHED);

    assert_true(dram_read(d, 3 * FRAME_SIZE, DRAM_PLAIN, bytes, 64)); /* a peek */
    assert_true(dram_write(d, 3 * FRAME_SIZE + 64, DRAM_PLAIN, bytes, 64));
    assert_ptr_equal(dram_touch(d, 3, key), h.held);
    assert_int_equal(h.cached, 0);
    assert_int_equal(*h.held, 0xA7);

    assert_ptr_equal(dram_touch(d, 3, DRAM_PLAIN), h.held);
    assert_int_equal(h.cached, 1);
    assert_int_equal(h.frame, 3);
    assert_int_equal(h.byte, 0xA7); /* not transcoded yet */
    assert_int_not_equal(*h.held, 0xA7);
    dram_touch(d, 3, key);
    assert_int_equal(h.cached, 1); /* the mark went with the telling */

    dram_mark(d, 3, FRAME_CACHED);
    assert_true(dram_write(d, 3 * FRAME_SIZE, DRAM_PLAIN, bytes, FRAME_SIZE));
    assert_int_equal(h.cached, 2); /* a whole frame retags */
    dram_free(d);
}

static void code_frames_are_told_of_every_write(void **state)
{
    for (int eager = 0; eager < 2; eager++) {
        struct dram *d = new_dram(eager);
        struct heard h = {.dram = d};
        dram_key key = new_key(d, 1);
        uint8_t bytes[2 * FRAME_SIZE] = {0};

        dram_watch(d, hear, &h);
        dram_mark(d, 1, FRAME_CODE);
        dram_mark(d, 2, FRAME_CODE);
        assert_true(dram_write(d, FRAME_SIZE - 1, DRAM_PLAIN, bytes, 1));
        assert_true(dram_read(d, 0, key, bytes, sizeof(bytes)));
        assert_int_equal(h.code, 0);
        assert_true(dram_write(d, FRAME_SIZE - 1, DRAM_PLAIN, bytes, 2));
        assert_int_equal(h.code, 1);
        assert_int_equal(h.frame, 1);
        assert_true(dram_write(d, FRAME_SIZE, key, bytes, 1)); /* mark gone: silence */
        assert_int_equal(h.code, 1);
        assert_true(dram_write(d, 2 * FRAME_SIZE, key, bytes, FRAME_SIZE));
        assert_int_equal(h.code, 2);
        dram_free(d);
    }
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void key_numbers_come_back_when_their_frames_are_all_that_hold_them(void **state)
{
    struct dram *d = new_dram(false);
    dram_key bound = new_key(d, 1), left = new_key(d, 2);
    uint8_t seed[32] = {9}, was[64], is[64];
    unsigned made = 0;

    dram_bind(d, 1, bound);
    dram_key_drop(d, bound);
    assert_true(dram_write(d, 0, left, "left behind, key dropped", 24));
    assert_non_null(dram_touch(d, 0, left));
    assert_true(dram_read(d, 0, DRAM_PLAIN, was, sizeof(was)));
    dram_key_drop(d, left);

    while (made < 70000 && dram_key_new(d, seed) != DRAM_PLAIN)
        made++;
    assert_int_equal(made, 65534); /* all but plain and the one that the slot holds */
    assert_int_equal(dram_bound(d, 1), bound);
    assert_true(dram_read(d, 0, DRAM_PLAIN, is, sizeof(is)));
    assert_memory_equal(was, is, sizeof(was));

    dram_bind(d, 1, DRAM_PLAIN); /* the last hold: its number is free */
    assert_int_equal(dram_key_new(d, seed), bound);
    dram_free(d);
}

static void dropping_twice_or_plain_does_nothing(void **state)
{
    struct dram *d = new_dram(false);
    dram_key key = new_key(d, 1);
    char got[4];

    dram_key_drop(d, DRAM_PLAIN);
    dram_bind(d, 1, key);
    assert_true(dram_write(d, 0, key, "text", 4));
    dram_key_drop(d, key);
    dram_key_drop(d, key);
    assert_true(dram_read(d, 0, dram_bound(d, 1), got, 4));
    assert_memory_equal(got, "text", 4);
    dram_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lazy_eager_and_model_agree),
        cmocka_unit_test(memory_is_zero_at_power_on),
        cmocka_unit_test(host_write_damages_only_the_blocks_it_touched),
        cmocka_unit_test(ciphertext_depends_on_plaintext_address_and_key_alone),
        cmocka_unit_test(rebinding_an_asid_leaves_old_frames_under_the_old_key),
        cmocka_unit_test(slot_0_is_plain_for_ever),
        cmocka_unit_test(nothing_outside_dram),
        cmocka_unit_test(sizes_that_make_no_sense_are_refused),
        cmocka_unit_test(cached_frames_are_told_before_they_change_key),
        cmocka_unit_test(code_frames_are_told_of_every_write),
        cmocka_unit_test(key_numbers_come_back_when_their_frames_are_all_that_hold_them),
        cmocka_unit_test(dropping_twice_or_plain_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
