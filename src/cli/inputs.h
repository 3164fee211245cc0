/* What commands read: files whole, numbers and bytes as text, and options by tables. */
#ifndef LUCCA_CLI_INPUTS_H
#define LUCCA_CLI_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/status.h"
#include "lucca/attest.h"

/* ---- files ---- */

struct blob {
    uint8_t *bytes; /* never NULL once read, even of an empty file */
    size_t len;
};
/* The whole of a file, of at most `most` bytes. `what` begins the sentence of an error. */
enum status blob_read(struct blob *b, const char *what, const char *path, size_t most,
                      struct error *err) MUST_USE;
void blob_free(struct blob *b);
struct attest_span blob_span(const struct blob *b);
/* Binary, or the same in base64 where it does not have `size` bytes. */
enum status blob_read_exact(uint8_t *to, size_t size, const char *what, const char *path,
                            struct error *err) MUST_USE;

/* A new or replaced file, whole or not at all. `mode` as for open(). */
enum status write_whole(const char *path, const void *bytes, size_t len, unsigned mode,
                        struct error *err) MUST_USE;

/* ---- text ---- */

/* Decimal, or hexadecimal with 0x; at most `most`. */
enum status number_parse(const char *what, const char *text, uint64_t most, uint64_t *out,
                         struct error *err) MUST_USE;
/* Hexadecimal or base64 of `least` to `most` bytes; false: neither. */
bool bytes_parse(uint8_t *to, size_t least, size_t most, const char *text, size_t *len);
void hex_text(char *to, const uint8_t *bytes, size_t n); /* 2n + 1 characters */

/* An error of liblucca-attest as one of the command's. */
enum status attest_error_to(struct error *err, const struct attest_error *from);

/* ---- output ---- */

/* Prints and releases; returns an exit status. */
int json_print(json_t *j);
int json_print_line(json_t *j); /* on one line, as QMP wants it */
json_t *json_hex(const uint8_t *bytes, size_t n);

/* ---- options ---- */

struct option_row {
    const char *name, *arg; /* NULL: a flag */
    char letter;            /* 0: none */
    enum status (*set)(void *ctx, const char *value, struct error *err);
    const char *help;
};
/* Parses argv[1..]; argv[*rest] is the first word that is no option (words are moved behind the
 * options). `*help`: it was asked for, and nothing else counts. */
enum status options_parse(int argc, char **argv, const char *command, const struct option_row *rows,
                          size_t count, void *ctx, int *rest, bool *help,
                          struct error *err) MUST_USE;
void options_print(const struct option_row *rows, size_t count);

#endif
