/* Errors as values: a must-use status and one sentence for the person who has to mend it. */
#ifndef LUCCA_BASE_STATUS_H
#define LUCCA_BASE_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))

enum status {
    OK = 0,
    ERR_ARG,         /* the caller or the user asked for something that makes no sense */
    ERR_IO,          /* the operating system refused */
    ERR_NOMEM,       /* no memory for it on this machine */
    ERR_FORMAT,      /* foreign bytes are not what they claim to be */
    ERR_STATE,       /* not now: something else must happen first */
    ERR_LIMIT,       /* a documented limit is reached */
    ERR_UNSUPPORTED, /* well-formed, but not implemented; the sentence names it */
    ERR_CRYPTO,      /* libcrypto refused, or a signature or MAC is wrong */
};

/* Filled where a function fails. `text` is one sentence: what, where, how to mend it. */
struct error {
    enum status code;
    char text[504];
};

/* Formats `text` and returns `code`, so that a failing function ends with `return fail(err, ...)`.
 * `err` may be NULL where the caller wants the code alone. */
enum status fail(struct error *err, enum status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "where: " before the sentence already in `err`; returns its code. */
enum status fail_at(struct error *err, const char *where);

#endif
