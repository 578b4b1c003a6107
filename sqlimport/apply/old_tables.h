/* SPDX-License-Identifier: MIT */
/*
 * old_tables: the tables that a RENAME set aside: their names, and how they are dropped. They lie
 * in the schema for old tables or, where they cannot leave it, in the live database. One thread.
 *
 * Returns are as of recover.h.
 */
#ifndef EEFS_SQLIMPORT_APPLY_OLD_TABLES_H
#define EEFS_SQLIMPORT_APPLY_OLD_TABLES_H

#include "sqlimport/apply/move_record.h"

/* The name to which the commit with this token sets a live table aside, malloc'd. */
char *old_tables_name(const char *table, const char *token);

/* Drops the table or view that v set aside within the live database, if it is there. */
int old_tables_drop_aside(const struct schemas *c, const struct move *v, struct server *s,
                          struct err *e);

/*
 * Drops old tables and forgets the record. One whose live table is missing comes back instead;
 * *ret_back counts them. *ret_unknown, when not NULL: the names (malloc'd) of tables that lie aside
 * in the live database and are not proved to be an old one of any, or NULL; they stay.
 */
int old_tables_sweep(const struct schemas *c, struct server *s, size_t *ret_back,
                     char **ret_unknown, struct err *e);

#endif
