/* SPDX-License-Identifier: MIT */
/*
 * plain: a statement as the connected server reads it, written again from its tokens. What is
 * judged, kept and run is this text, so it means the same to everybody.
 *
 * It has no comment, except for the body of a routine, trigger or event: comments there are kept
 * when every server takes them for comments, wherever the text is put.
 *
 * Strings and numbers are copied; bare words that not every server reads alike are put in quotes;
 * white space between two tokens stays, so that the body of a routine keeps its lines. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_PLAIN_H
#define EEFS_SQLIMPORT_SQL_PLAIN_H

#include "sqlimport/sql/token.h"
#include "sync/common/buf.h"
#include "sync/common/err.h"

/* The largest statement, INSERTs apart: a server's default max_allowed_packet. */
#define PLAIN_MAX ((size_t)16 << 20)

/*
 * Appends the statement. *ret_versioned: it begins within a versioned comment. -EPERM: it is larger
 * than PLAIN_MAX, or holds something that cannot be read for sure: a quote or comment that does not
 * end, control characters, a name in bytes of another character set.
 */
int plain_text(struct buf *out, const char *text, size_t len, struct token_mode mode,
               bool *ret_versioned, struct err *e);

/* The same check for an INSERT, from its begin up to the word VALUES: -EPERM also for a comment. */
int plain_head(const char *text, size_t len, struct token_mode mode, struct err *e);

#endif
