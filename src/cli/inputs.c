/* What commands read: files whole, numbers and bytes as text, and options by tables. */
#include "cli/inputs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cli/cli.h"
#include "host/vm/base64.h"

/* ---- files -------------------------------------------------------------------------------------
 */

static enum status read_all(struct blob *b, const char *what, const char *path, int fd, size_t most,
                            struct error *err)
{
    size_t room = 64 * 1024;

    for (;;) {
        uint8_t *more;
        ssize_t n;

        if (b->len == room || !b->bytes) {
            room = b->bytes ? 2 * room : room;
            more = realloc(b->bytes, room);
            if (!more)
                return fail(err, ERR_NOMEM, "%s '%s': no memory for it", what, path);
            b->bytes = more;
        }
        n = read(fd, b->bytes + b->len, room - b->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, ERR_IO, "%s '%s': %s", what, path, strerror(errno));
        if (!n)
            return OK;
        b->len += (size_t)n;
        if (b->len > most)
            return fail(err, ERR_LIMIT, "%s '%s': it has more than %zu bytes", what, path, most);
    }
}

enum status blob_read(struct blob *b, const char *what, const char *path, size_t most,
                      struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    enum status s;

    *b = (struct blob){.bytes = NULL};
    if (fd < 0)
        return fail(err, ERR_IO, "%s '%s': %s", what, path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > most)
        s = fail(err, ERR_LIMIT, "%s '%s': it has more than %zu bytes", what, path, most);
    else
        s = read_all(b, what, path, fd, most, err);
    close(fd);
    if (s != OK)
        blob_free(b);
    return s;
}

void blob_free(struct blob *b)
{
    if (b->bytes && b->len <= 65536) /* it may be a key */
        explicit_bzero(b->bytes, b->len);
    free(b->bytes);
    *b = (struct blob){.bytes = NULL};
}

struct attest_span blob_span(const struct blob *b)
{
    return (struct attest_span){b->bytes, b->len};
}

enum status blob_read_exact(uint8_t *to, size_t size, const char *what, const char *path,
                            struct error *err)
{
    uint8_t *decoded = NULL;
    size_t n = 0;
    struct blob b;
    enum status s = blob_read(&b, what, path, 2 * size + 4096, err);

    if (s != OK)
        return s;
    if (b.len == size)
        memcpy(to, b.bytes, size);
    else if (base64_decode((const char *)b.bytes, b.len, &decoded, &n) && n == size)
        memcpy(to, decoded, size);
    else
        s = fail(err, ERR_FORMAT, "%s '%s': it is neither %zu bytes nor base64 of so many", what,
                 path, size);
    free(decoded);
    blob_free(&b);
    return s;
}

enum status write_whole(const char *path, const void *bytes, size_t len, unsigned mode,
                        struct error *err)
{
    char part[PATH_MAX];
    const uint8_t *at = bytes;
    bool ok = true;
    int fd;

    /* Its own name: two that write the same certificate do not meet in one file. */
    if (snprintf(part, sizeof(part), "%s.%ld.part", path, (long)getpid()) >= (int)sizeof(part))
        return fail(err, ERR_ARG, "'%.40s...': the path is too long", path);
    fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return fail(err, ERR_IO, "'%s': %s", path, strerror(errno));
    while (ok && len) {
        ssize_t n = write(fd, at, len);

        ok = n > 0 || (n < 0 && errno == EINTR);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    ok = close(fd) == 0 && ok;
    ok = ok && rename(part, path) == 0;
    if (ok)
        return OK;
    (void)fail(err, ERR_IO, "'%s': %s", path, strerror(errno));
    unlink(part);
    return err->code;
}

/* ---- text --------------------------------------------------------------------------------------
 */

enum status number_parse(const char *what, const char *text, uint64_t most, uint64_t *out,
                         struct error *err)
{
    char *end = NULL;

    errno = 0;
    if (isdigit((unsigned char)*text))
        *out = strtoull(text, &end, !strncmp(text, "0x", 2) || !strncmp(text, "0X", 2) ? 16 : 10);
    if (!end || *end || errno || *out > most)
        return fail(err, ERR_ARG, "%s %s: a number from 0 to %" PRIu64 " is needed, or 0x and hex",
                    what, text, most);
    return OK;
}

static bool hex_bytes(uint8_t *to, size_t most, const char *text, size_t *len)
{
    size_t digits = strlen(text);

    if (!digits || digits % 2 || digits / 2 > most ||
        strspn(text, "0123456789abcdefABCDEF") != digits)
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        const char two[3] = {text[2 * i], text[2 * i + 1], 0};

        to[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    *len = digits / 2;
    return true;
}

bool bytes_parse(uint8_t *to, size_t least, size_t most, const char *text, size_t *len)
{
    uint8_t *decoded = NULL;
    bool ok;

    if (hex_bytes(to, most, text, len) && *len >= least)
        return true;
    ok = base64_decode(text, strlen(text), &decoded, len) && *len >= least && *len <= most;
    if (ok)
        memcpy(to, decoded, *len);
    free(decoded);
    return ok;
}

void hex_text(char *to, const uint8_t *bytes, size_t n)
{
    *to = 0;
    for (size_t i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

enum status attest_error_to(struct error *err, const struct attest_error *from)
{
    static const enum status codes[] = {
        [ATTEST_OK] = OK,
        [ATTEST_E_ARG] = ERR_ARG,
        [ATTEST_E_FORMAT] = ERR_FORMAT,
        [ATTEST_E_UNSUPPORTED] = ERR_UNSUPPORTED,
        [ATTEST_E_LIMIT] = ERR_LIMIT,
        [ATTEST_E_MEMORY] = ERR_NOMEM,
        [ATTEST_E_CRYPTO] = ERR_CRYPTO,
    };

    return fail(err, codes[from->code], "%s", from->text);
}

/* ---- output ------------------------------------------------------------------------------------
 */

static int json_print_as(json_t *j, size_t flags)
{
    char *text = j ? json_dumps(j, flags) : NULL;

    json_decref(j);
    if (!text) {
        fprintf(stderr, "lucca: no memory\n");
        return EXIT_ERROR;
    }
    printf("%s\n", text);
    free(text);
    return EXIT_OK;
}

int json_print(json_t *j)
{
    return json_print_as(j, JSON_INDENT(2));
}

int json_print_line(json_t *j)
{
    return json_print_as(j, JSON_COMPACT);
}

json_t *json_hex(const uint8_t *bytes, size_t n)
{
    char *text = malloc(2 * n + 1);
    json_t *j = NULL;

    if (text) {
        hex_text(text, bytes, n);
        j = json_string(text);
    }
    free(text);
    return j;
}

/* ---- options -----------------------------------------------------------------------------------
 */

#define ROWS_MAX 48u
#define HELP     0x100

void options_print(const struct option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char name[40];

        snprintf(name, sizeof(name), "--%s%s%s", rows[i].name, rows[i].arg ? " " : "",
                 rows[i].arg ? rows[i].arg : "");
        if (rows[i].letter)
            printf("  -%c, %-24s %s\n", rows[i].letter, name, rows[i].help);
        else
            printf("  %-28s %s\n", name, rows[i].help);
    }
}

enum status options_parse(int argc, char **argv, const char *command, const struct option_row *rows,
                          size_t count, void *ctx, int *rest, bool *help, struct error *err)
{
    struct option longs[ROWS_MAX + 2] = {{0}};
    char shorts[2 * ROWS_MAX + 4] = ":h";
    size_t at = 2;
    int c, index = 0;

    if (count > ROWS_MAX)
        return fail(err, ERR_LIMIT, "%zu options", count);
    for (size_t i = 0; i < count; i++) {
        longs[i] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument,
                                   NULL, (int)i + 1 + HELP};
        if (rows[i].letter) {
            shorts[at++] = rows[i].letter;
            if (rows[i].arg)
                shorts[at++] = ':';
        }
    }
    longs[count] = (struct option){"help", no_argument, NULL, 'h'};
    opterr = 0;
    optind = 1;
    while ((c = getopt_long(argc, argv, shorts, longs, &index)) != -1) {
        size_t row = count;
        enum status s;

        if (c == '?' || c == ':')
            return fail(err, ERR_ARG, "%s %s; see '%s --help'", argv[optind - 1],
                        c == '?' ? "is no option of this command" : "needs a value", command);
        if (c == 'h') {
            *help = true;
            return OK;
        }
        for (size_t i = 0; i < count; i++)
            if (c == (int)i + 1 + HELP || (rows[i].letter && c == rows[i].letter))
                row = i;
        s = row < count ? rows[row].set(ctx, optarg, err) : OK;
        if (s != OK)
            return s;
    }
    *rest = optind;
    return OK;
}
