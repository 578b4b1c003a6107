/* SPDX-License-Identifier: MIT */
/*
 * live_rows: the tables of one schema as the server shows them, and their rows.
 *
 * A table's mark is its creation and update time (UTC) as the server gives them, and, where the
 * account has PROCESS, the number that InnoDB gave it. As long as it stays the same, no row was
 * written. It is empty (void: cannot tell) when the server gives no update time, as after its
 * restart, and for 1.1 s from that time on, for a later change could get the same one. What moves
 * no time (TRUNCATE, a partition that is emptied or exchanged, a tablespace that is imported) the
 * probe shows (probe.h). One thread.
 */
#ifndef EEFS_SQLIMPORT_COMPARE_LIVE_ROWS_H
#define EEFS_SQLIMPORT_COMPARE_LIVE_ROWS_H

#include "sqlimport/compare/row_diff.h"
#include "sqlimport/server/server.h"
#include "sqlimport/sql/table_def.h"

#define MARK_CAP 64 /* "2026-11-27 10:00:00|2026-11-27 10:00:01|1a2b3c" */

struct live_table {
    char *name;
    char mark[MARK_CAP];
    bool triggers;
    bool sequence;
    bool view;
    bool partitioned;
    uint64_t id; /* private */
};

struct live {
    struct live_table *v; /* by name */
    size_t n;
};

/* Tables, sequences and views of the schema. Caller releases *ret, also after an error. */
int live_read(struct server *s, const char *schema, struct live *ret, struct err *e);
void live_release(struct live *l);
struct live_table *live_find(const struct live *l, const char *name);

/* The table's definition by SHOW CREATE TABLE; caller releases *ret, after success only. */
int live_table_def(struct server *s, const char *schema, const char *table, struct table_def *ret,
                   struct err *e);

/*
 * Reads all rows of a table, or locks and reads those of a condition, through the connection, which
 * can do nothing else until the end and is of no use after an early close. Rows come in the order
 * of the primary key, values in the order of `columns`, those of
 * `left_out` not in the hashes.
 */
struct live_rows;
int live_rows_open(struct server *s, const char *schema, const char *table,
                   const struct strlist *columns, const struct strlist *left_out,
                   const struct strlist *key, const struct buf *condition, struct live_rows **ret,
                   struct err *e);
/* A row_source. */
int live_rows_next(void *rows, struct row_id *id, struct row_place *place, struct err *e);
void live_rows_close(struct live_rows *r);

#endif
