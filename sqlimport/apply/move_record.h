/* SPDX-License-Identifier: MIT */
/*
 * move_record: the moves of an import's RENAME, written down in the staging schema before it.
 *
 * One statement writes it when all is staged, and it stays until nothing of the import is left to
 * do: as long as it is there, only recover.h and old_tables.h may drop anything. One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_MOVE_RECORD_H
#define EEFS_SQLIMPORT_APPLY_MOVE_RECORD_H

#include "sqlimport/apply/moves.h"
#include "sqlimport/server/server.h"
#include "sync/common/buf.h"

#define RECORD_TABLE "_eefs_moves"
#define RECORD_VIEW  "_eefs_view" /* where a view is staged, in the live database */

struct schemas {
    const char *database, *stage, *old; /* live, new and old tables */
};

/* There must be none. */
int move_record_write(const struct schemas *c, const struct moves *m, struct server *s,
                      struct err *e);
/* 1: *ret is filled, the caller releases it; 0: there is none. */
int move_record_read(const struct schemas *c, struct server *s, struct moves *ret, struct err *e);
int move_record_forget(const struct schemas *c, struct server *s, struct err *e);
/* 1: there is one. */
int move_record_exists(const char *stage, struct server *s, struct err *e);

/* Notes the staged tables' columns, as proof. */
int move_record_prove(const struct schemas *c, struct moves *m, struct server *s, struct err *e);
/* Looks where the tables lie now, and whether they can be read. */
int move_record_look(const struct schemas *c, struct moves *m, struct server *s, struct err *e);

/* Appends the verdict's renames to a RENAME TABLE statement. */
void move_record_put_renames(const struct schemas *c, const struct moves *m, enum verdict verdict,
                             struct buf *b);
/* Schema and name of a table's place. */
void move_record_where(const struct schemas *c, const struct move *v, enum moves_where where,
                       const char **ret_schema, const char **ret_name);
/* Appends one. */
void move_record_put_rename(struct buf *b, const char *from_schema, const char *from,
                            const char *to_schema, const char *to);

#endif
