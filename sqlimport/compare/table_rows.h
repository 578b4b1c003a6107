/* SPDX-License-Identifier: MIT */
/*
 * table_rows: the rows of one table in a dump, read again after the dump was judged.
 *
 * Checks that the bytes are still those that were judged, and writes the table's rowset on the way.
 * One thread per section.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_TABLE_ROWS_H
#define EEFS_SQLIMPORT_COMPARE_TABLE_ROWS_H

#include "sqlimport/compare/row_diff.h"
#include "sqlimport/dump/objects.h"
#include "sqlimport/compare/row_cache.h"
#include "sqlimport/sql/table_def.h"
#include "sqlimport/sql/split.h"

struct section;

/*
 * `shape` is that of o's CREATE TABLE and must live as long. The rowset is made when `rowset_dir`
 * is not NULL and the table has a primary key. Nothing is read from fd yet.
 */
struct section *section_open(int fd, const struct dump *d, const struct object *o,
                             const struct shape *shape, const char *rowset_dir);
/* Ends the rowset, which stays only when all rows went by without an error. */
void section_close(struct section *s);

/*
 * Reads the next range into memory; section_statement() gives its statements, each valid until the
 * next load. 1; 0: that was all; -ESTALE: the dump is not as it was judged.
 */
int section_load(struct section *s, struct err *e);
bool section_statement(struct section *s, struct statement *ret);
/* Notes the rows of the statement that was given last, for the rowset. */
void section_note(struct section *s);

/* All rows one after the other, with the checks of above: a row_source; -EPROTO: a row of a form
 * that cannot be compared. */
int section_next(void *section, struct row_id *id, struct row_place *place, struct err *e);

/* Names of a row's values; false when they are not known for sure. */
bool section_columns(struct section *s, const struct strlist **ret, struct err *e);
/* The primary key can tell rows apart. */
bool section_has_key(const struct section *s);

#endif
