/* SPDX-License-Identifier: MIT */
/*
 * rows: the rows behind VALUES in an INSERT: (1,'two',NULL),(…), plain values only.
 *
 * Plain values are numbers, strings (also with a character set before them), hexadecimal and bit
 * literals, NULL, TRUE, FALSE and DEFAULT. Everything else (functions, queries, variables,
 * comments) is not what mysqldump writes and could do more than store a value: it is refused. Pure.
 */
#ifndef EEFS_SQLIMPORT_SQL_ROWS_H
#define EEFS_SQLIMPORT_SQL_ROWS_H

#include <stdint.h>

#include "sqlimport/sql/token.h"
#include "sync/common/err.h"

enum rows_result {
    ROWS_ROW,  /* a row was read */
    ROWS_END,  /* there is none at *p, and what stands there is no comma */
    ROWS_MORE, /* undecided by the bytes up to `end`; *p is unchanged */
    ROWS_BAD,  /* *p is where something else than plain values stands */
};

struct row {
    const char *p; /* "(…)" */
    size_t len;
};

/*
 * Reads the row at *p and moves *p behind it. White space may stand before it and, when
 * `first` is false, one comma must. At the end of text that is all there (`whole`) there is no
 * ROWS_MORE: half a row is ROWS_BAD.
 */
enum rows_result rows_next(const char **p, const char *end, struct token_mode mode, bool first,
                           bool whole, struct row *ret);

/* Reads the value at *p, which stands behind the bracket or comma before it, and moves *p behind
 * the comma or bracket after it. false: there is none. */
bool rows_value(const char **p, const char *end, struct token_mode mode, struct row *ret);

/*
 * Reads the head of an INSERT or REPLACE: *t is its first word, and the table's name afterwards;
 * false when there is none.
 */
bool rows_begin(struct lexer *l, struct token *t);

/*
 * Finds the rows of an INSERT or REPLACE: l stands behind the table's name; afterwards l->p is
 * behind VALUES. 0, or -EPERM with a sentence.
 */
int rows_find(struct lexer *l, struct err *e);

/* Number of rows from p to end, or -EPERM with a sentence when they are not plain values. */
int64_t rows_count(const char *p, const char *end, struct token_mode mode, struct err *e);

#endif
