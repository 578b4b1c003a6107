/* SPDX-License-Identifier: MIT */
/*
 * form: recognises a file in the slot by its first bytes: SQL, compressed SQL, or something else,
 * which it names together with what to do. Thread safe.
 */
#ifndef EEFS_SQLIMPORT_DUMP_FORM_H
#define EEFS_SQLIMPORT_DUMP_FORM_H

#include <stddef.h>

#include "sync/common/err.h"

#define FORM_BYTES 1024 /* that are looked at */

enum form {
    FORM_SQL, /* or nothing that is known */
    FORM_GZIP,
    FORM_ZSTD,
};

/* len: FORM_BYTES, or less when the file has less. -EPROTO with a sentence. */
int form_of(const char *bytes, size_t len, enum form *ret, struct err *e);
/* The same for the file's begin; also -errno of reading it. */
int form_of_file(int fd, enum form *ret, struct err *e);

#endif
