/* Traces (src/base/log.c): lines for people, and lines of JSON that hold the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include <cmocka.h> /* last: it has a macro named fail */

static char text[1024];

/* Standard error goes into `text` until said() looks at it. */
static int kept, pipe_end;

static void listen_to_stderr(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    kept = dup(2);
    assert_int_equal(dup2(ends[1], 2), 2);
    close(ends[1]);
    pipe_end = ends[0];
}

static const char *said(void)
{
    ssize_t n;

    fflush(stderr);
    dup2(kept, 2);
    close(kept);
    n = read(pipe_end, text, sizeof(text) - 1);
    close(pipe_end);
    text[n < 0 ? 0 : n] = 0;
    return text;
}

#define SAYS(format, want, ...)                                                                    \
    do {                                                                                           \
        assert_int_equal(log_format(format, NULL), OK);                                            \
        listen_to_stderr();                                                                        \
        trace(TRACE_SEV, __VA_ARGS__);                                                             \
        assert_string_equal(said(), want);                                                         \
    } while (0)

static void for_people(void **state)
{
    SAYS("text", "sev: vmgexit vcpu=1 call=ioio\n", "vmgexit vcpu=%u call=%s", 1u, "ioio");
}

static void events_become_members(void **state)
{
    SAYS("json", "{\"trace\":\"sev\",\"event\":\"vmgexit\",\"vcpu\":1,\"code\":\"0x7b\"}\n",
         "vmgexit vcpu=%u code=0x%x", 1u, 0x7Bu);
    SAYS("json", "{\"trace\":\"sev\",\"event\":\"a\"}\n", "a");
    /* Numbers as JSON has them; what is longer than a double holds is text. */
    SAYS("json",
         "{\"trace\":\"sev\",\"event\":\"a\",\"b\":0,\"c\":\"07\",\"d\":\"\",\"e\":\"x=y\","
         "\"f\":\"12345678901234567890\"}\n",
         "a b=0 c=07 d= e=x=y f=12345678901234567890");
}

static void other_lines_are_text(void **state)
{
    static const char *const lines[] = {"two words", "a b=1 c", "k=v", "a =v", "a  b=1", ""};
    char want[128];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(want, sizeof(want), "{\"trace\":\"sev\",\"text\":\"%s\"}\n", lines[i]);
        SAYS("json", want, "%s", lines[i]);
    }
    SAYS("json", "{\"trace\":\"sev\",\"text\":\"say \\\"\\\\\\u000a\\\"\"}\n", "say \"\\\n\"");
}

static void there_are_two_formats(void **state)
{
    struct error err = {0};

    assert_int_equal(log_format("yaml", &err), ERR_ARG);
    assert_non_null(strstr(err.text, "text and json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_people),
        cmocka_unit_test(events_become_members),
        cmocka_unit_test(other_lines_are_text),
        cmocka_unit_test(there_are_two_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
