/* SPDX-License-Identifier: MIT */
/*
 * table_rows: the rows of one table in a dump, read again after the dump was judged.
 *
 * Checks that the bytes are still those that were judged, and writes the table's row cache on the
 * way. One thread per struct.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_TABLE_ROWS_H
#define EEFS_SQLIMPORT_COMPARE_TABLE_ROWS_H

#include "sqlimport/compare/row_diff.h"
#include "sqlimport/dump/objects.h"
#include "sqlimport/compare/row_cache.h"
#include "sqlimport/sql/table_def.h"
#include "sqlimport/sql/split.h"

struct table_rows;

/*
 * `def` is that of o's CREATE TABLE and must live as long. The row cache is written when
 * `row_cache_dir` is not NULL and the table has a primary key. Nothing is read from fd yet.
 */
struct table_rows *table_rows_open(int fd, const struct dump *d, const struct object *o,
                                   const struct table_def *def, const char *row_cache_dir);
/* Ends the row cache, which stays only when all rows were read without an error. */
void table_rows_close(struct table_rows *s);

/*
 * Reads the next range into memory; table_rows_statement() gives its statements, each valid until
 * the next load. 1; 0: that was all; -ESTALE: the dump is not as it was judged.
 */
int table_rows_load(struct table_rows *s, struct err *e);
bool table_rows_statement(struct table_rows *s, struct statement *ret);
/* Notes the rows of the statement that was given last, for the row cache. */
void table_rows_note(struct table_rows *s);

/* All rows one after the other, with the checks of above: a row_source; -EPROTO: a row of a form
 * that cannot be compared. */
int table_rows_next(void *table_rows, struct row_id *id, struct row_place *place, struct err *e);

/* Names of a row's values; false when they are not known for sure. */
bool table_rows_columns(struct table_rows *s, const struct strlist **ret, struct err *e);
/* The primary key can tell rows apart. */
bool table_rows_has_key(const struct table_rows *s);

#endif
