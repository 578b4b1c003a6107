/* SPDX-License-Identifier: MIT */
/*
 * kept_columns: the columns of a dump's tables whose values stay this server's own (see
 * keep_rules.h).
 *
 * They are no part of rows' hashes. A row that changes keeps the live row's values: in a delta they
 * are read under the locks of the rows, and a staged table gets them row by row (by primary key)
 * before it takes the live one's place. A row that is new has the dump's. One thread.
 */
#ifndef EEFS_SQLIMPORT_PLAN_KEPT_COLUMNS_H
#define EEFS_SQLIMPORT_PLAN_KEPT_COLUMNS_H

#include "sqlimport/plan/keep_rules.h"
#include "sqlimport/plan/plan.h"
#include "sqlimport/sql/rows.h"
#include "sync/common/buf.h"

/* Finds those of one table. Appends to `notes` those that were named and are missing. -EPERM: a
 * column that was named cannot be kept, with a sentence. */
int kept_columns_find(const struct object *o, const struct table_def *def,
                      const struct keep_rules *k, struct strlist *ret, struct buf *notes,
                      struct err *e);

/*
 * Brings the live values into the staged tables where they differ; once more before each try of
 * a RENAME, for the server writes on. (What it
 * writes between the last copy and the RENAME is lost.) Values that do not
 * fit a column of another form are reported in `notes`, and the dump's stay. -EAGAIN: rows are in
 * use.
 */
int kept_columns_copy(const struct plan *p, const char *database, const char *stage,
                      struct server *s, struct buf *notes, struct err *e);

/* In a delta: reads the values of the row `condition` into variables of the connection, by the
 * row's number. 1, or 0: there is no such row. */
int kept_columns_read(struct server *s, const char *database, const struct object *o,
                      const struct buf *condition, size_t number, struct err *e);
/* Appends the row "(…)" of the dump, whose values are `columns`, with these variables in their
 * places. false: it is no such row. */
bool kept_columns_put_row(struct buf *b, const struct row *row, struct token_mode mode,
                          const struct strlist *columns, const struct object *o, size_t number);

#endif
