/* The options of `lucca run`: from the command line, from JSON, and what bad ones get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cli/run_options.h"
#include "host/vm/base64.h"

#include <cmocka.h> /* last: it has a macro named fail */

#define ARGS_MAX 12

static char json_path[] = "/tmp/lucca-options-XXXXXX";

static enum status parse(const char *const *args, struct run *r, struct error *err)
{
    char *argv[ARGS_MAX + 1] = {(char *)"run"};
    bool help;
    int argc = 1;

    while (args[argc - 1]) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    return run_parse(argc, argv, r, &help, err);
}

static void put_json(const char *text)
{
    FILE *f = fopen(json_path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void defaults_are_those_of_the_help(void **state)
{
    static const char *const args[] = {"--kernel", "vmlinuz", NULL};
    struct error err = {0};
    struct run r;

    assert_int_equal(parse(args, &r, &err), OK);
    assert_int_equal(r.guests, 1);
    assert_string_equal(r.chip->name, "genoa");
    assert_int_equal(r.guest[0].memory, UINT64_C(512) << 20);
    assert_int_equal(r.guest[0].cpus, 1);
    assert_int_equal(r.guest[0].sev, SEV_OFF);
    assert_int_equal(r.guest[0].policy, 1);
    assert_string_equal(r.guest[0].kernel, "vmlinuz");
    assert_int_equal(r.virtual_clock, UNSAID);
    run_free(&r);
}

static void every_kind_of_value_is_read(void **state)
{
    static const char *const args[] = {"--sev=sev",        "--chip",   "rome", "-m", "2G",
                                       "--cpus=4",         "--policy", "0x3",  "-d", "file=a.img",
                                       "--device=testdev", NULL};
    struct error err = {0};
    struct run r;

    if (parse(args, &r, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.guest[0].sev, SEV_PLAIN);
    assert_string_equal(r.chip->name, "rome");
    assert_int_equal(r.guest[0].memory, UINT64_C(2) << 30);
    assert_int_equal(r.guest[0].cpus, 4);
    assert_int_equal(r.guest[0].policy, 3);
    assert_int_equal(r.guest[0].drive_count, 1);
    assert_string_equal(r.guest[0].drives[0].file, "a.img");
    assert_true(r.guest[0].testdev);
    run_free(&r);
}

/* A policy follows the level, wherever that is said, unless it is given itself. */
static void policies_follow_the_level(void **state)
{
    static const struct {
        const char *args[3];
        uint64_t policy;
    } cases[] = {
        {{"--sev=sev"}, 1},
        {{"--sev=es"}, 5},
        {{"--sev=snp"}, 0x30000},
        {{"--sev=snp", "--policy=0x1030007"}, 0x1030007},
        {{"--policy=7", "--sev=es"}, 7},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        struct run r;

        assert_int_equal(parse(cases[i].args, &r, &err), OK);
        assert_int_equal(r.guest[0].policy, cases[i].policy);
        run_free(&r);
    }
}

static void host_data_is_32_bytes(void **state)
{
    static const char *const args[] = {
        "--host-data=000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1EfF", NULL};
    struct error err = {0};
    struct run r;

    assert_int_equal(parse(args, &r, &err), OK);
    assert_true(r.guest[0].host_data_given);
    for (unsigned i = 0; i < 31; i++)
        assert_int_equal(r.guest[0].host_data[i], i);
    assert_int_equal(r.guest[0].host_data[31], 0xFF);
    run_free(&r);
}

static void json_says_the_same(void **state)
{
    const char *const args[] = {"--cpus=2", "--serial=none", json_path, json_path, NULL};
    struct error err = {0};
    struct run r;

    put_json("{\"kernel\": \"k\", \"memory\": \"1G\", \"cpus\": 3, \"no-reboot\": true,"
             " \"drive\": [\"file=a\", \"file=b,if=scsi\"], \"chip\": \"turin\"}");
    if (parse(args, &r, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.guests, 2);
    assert_string_equal(r.chip->name, "turin");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(r.guest[i].cpus, 3);
        assert_int_equal(r.guest[i].memory, UINT64_C(1) << 30);
        assert_int_equal(r.guest[i].drive_count, 2);
        assert_int_equal(r.guest[i].drives[1].bus, DRIVE_SCSI);
        assert_true(r.guest[i].no_reboot);
        assert_string_equal(r.guest[i].serial[0], "none");
    }
    run_free(&r);
}

static void bad_arguments_get_a_sentence(void **state)
{
    static const struct {
        const char *args[3];
        const char *words;
    } cases[] = {
        {{"--frobnicate"}, "unknown option --frobnicate"},
        {{"-Z"}, "unknown option"},
        {{"--memory"}, "needs a value"},
        {{"--memory=lots"}, "is not a size"},
        {{"--memory=3X"}, "is not a size"},
        {{"--memory=1K"}, "multiple of 2 MiB"},
        {{"--memory=0"}, "between"},
        {{"--memory=99999999999999999999"}, "is not a size"},
        {{"--memory=17592186044416G"}, "between"},
        {{"--cpus=0"}, "from 1 to 8"},
        {{"--cpus=9"}, "from 1 to 8"},
        {{"--cpus=two"}, "from 1 to 8"},
        {{"--sev=maybe"}, "is not off, sev, es or snp"},
        {{"--chip=i9"}, "is not naples, rome, milan, genoa or turin"},
        {{"--chip=rome", "--chip=milan"}, "one host has one chip"},
        {{"--serial=tcp:1"}, "is not stdio, file:PATH or none"},
        {{"--qmp=udp:1"}, "is not unix:PATH"},
        {{"--gdb=unix:"}, "is not unix:PATH"},
        {{"--policy=0x1ffffffffffffffff"}, "not a number"},
        {{"--host-data=00ff"}, "64 hexadecimal digits"},
        {{"--vmpl=4"}, "not a number up to 3"},
        {{"--guest-request-rate=often"}, "not a number"},
        {{"--rmp=relaxed"}, "is not faithful"},
        {{"--device=gpu"}, "is not debug-exit or testdev"},
        {{"--clock=sundial"}, "is not virtual or host"},
        {{"--trace=everything"}, "no trace category"},
        {{"/nonexistent.json"}, "No such file"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        struct run r;

        assert_int_not_equal(parse(cases[i].args, &r, &err), OK);
        if (!strstr(err.text, cases[i].words))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
        run_free(&r);
    }
}

static void bad_json_gets_a_sentence(void **state)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{", "line 1"},
        {"[]", "has to be a JSON object"},
        {"{\"kernal\": \"k\"}", "no option 'kernal'"},
        {"{\"kernel\": [\"a\", \"b\"]}", "takes one value"},
        {"{\"kernel\": {}}", "string or a whole number"},
        {"{\"cpus\": 1.5}", "string or a whole number"},
        {"{\"cpus\": -1}", "from 1 to 8"},
        {"{\"paused\": \"yes\"}", "true or false"},
        {"{\"config\": \"me.json\"}", "no option 'config'"},
        {"{\"cpus\": 1, \"cpus\": 2}", "duplicate"},
    };
    const char *const args[] = {"--config", json_path, NULL};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct error err = {0};
        struct run r;

        put_json(cases[i].json);
        assert_int_not_equal(parse(args, &r, &err), OK);
        if (!strstr(err.text, cases[i].words) || !strstr(err.text, json_path))
            fail_msg("'%s' does not say '%s'", err.text, cases[i].words);
        run_free(&r);
    }
}

static void base64_goes_both_ways(void **state)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {/* RFC 4648, 10 */
                {"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};
    static const char *const bad[] = {"Zg=", "Z", "Zg==Zg==", "Zm9*", "Zm9v="};
    uint8_t *out;
    size_t len;

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = base64_encode(rows[i].bytes, strlen(rows[i].bytes));

        assert_string_equal(text, rows[i].text);
        assert_true(base64_decode(text, strlen(text), &out, &len));
        assert_int_equal(len, strlen(rows[i].bytes));
        assert_memory_equal(out, rows[i].bytes, len);
        free(text);
        free(out);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(base64_decode(bad[i], strlen(bad[i]), &out, &len));
}

static int set_up(void **state)
{
    int fd = mkstemp(json_path);

    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    return unlink(json_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_help),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(policies_follow_the_level),
        cmocka_unit_test(host_data_is_32_bytes),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(bad_arguments_get_a_sentence),
        cmocka_unit_test(bad_json_gets_a_sentence),
        cmocka_unit_test(base64_goes_both_ways),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
