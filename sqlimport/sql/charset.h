/* SPDX-License-Identifier: MIT */
/*
 * charset: names and table definitions of a dump in UTF-8, whatever character set the dump's text
 * is in (character_set_client), so that they can be compared with
 * those of the server. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_CHARSET_H
#define EEFS_SQLIMPORT_SQL_CHARSET_H

#include <stdbool.h>

#include "sync/common/buf.h"
#include "sync/common/err.h"

/* Names in it are UTF-8 already: utf8, utf8mb3, utf8mb4 and binary. */
bool charset_is_utf8(const char *charset);
/* Only bytes below 0x80: the same in every character set that a dump may have. */
bool charset_is_ascii(const char *text, size_t len);
bool charset_is_valid_utf8(const char *text, size_t len);

/* Appends text in UTF-8. -EPERM with a sentence: bytes that make no character, or a character set
 * that is not known here and text that is not ASCII. */
int charset_to_utf8(struct buf *out, const char *charset, const char *text, size_t len,
                    struct err *e);

#endif
