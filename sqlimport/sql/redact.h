/* SPDX-License-Identifier: MIT */
/*
 * redact: a server's error message without the values that it quotes. "Duplicate entry
 * 'ann@example.org' for key 'email'" goes into a log and into a file that everybody may read. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_REDACT_H
#define EEFS_SQLIMPORT_SQL_REDACT_H

#include <stdbool.h>
#include <stddef.h>

/* The statement may hold rows or their keys: it is none of those that only make or name things. */
bool redact_carries_rows(const char *sql, size_t len);

/* Fills out (cap bytes) with the message of error `code`. Leaves out all
 * that may be a value and, for an unknown code and a statement that carries rows, everything that
 * the server quotes.
 */
void redact(unsigned code, bool carries_rows, const char *message, char *out, size_t cap);

#endif
