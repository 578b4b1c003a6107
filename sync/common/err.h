/* SPDX-License-Identifier: MIT */
/*
 * err: an error code together with a sentence for a person.
 *
 * Functions return 0 (or a positive result) or -errno. Where errno is not enough for a person, a
 * function takes a `struct err *` and fills it with the attempted action, its object, the reason of
 * the failure and the remedy. A NULL `struct err *` is allowed everywhere. Not thread-shared: one
 * per caller.
 */
#ifndef EEFS_COMMON_ERR_H
#define EEFS_COMMON_ERR_H

#include <stddef.h>

struct err {
    int code;       /* positive errno, 0 when nothing failed */
    char text[768]; /* one sentence, lower case, no trailing dot; printable (printable.h) */
};

/* Fills *e (when not NULL) and returns -code. `code` is a positive errno. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set, and appends ": " and strerror(code). */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of an already filled text; returns -e->code (-EIO when e is NULL). */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
