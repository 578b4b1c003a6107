/* SPDX-License-Identifier: MIT */
/*
 * recover: finds out what became of an import's RENAME, from where the tables lie now, and leaves
 * nothing half done.
 *
 * An import begins with it, and turns to it whenever a RENAME did not succeed: refused, given up,
 * or its answer lost. No old table is dropped but here, and only while its live table is there.
 * The caller holds the importers' lock, so that no RENAME of another connection is under way.
 *
 *     move_record.h ──> settle ──> nothing of it happened: the record goes, staging may be emptied
 *                        └──> all of it happened ──> finish ──> … ──> sweep: the record goes
 *
 * All return -EAGAIN when a table was in use (call again), -ENOTCONN, -ENOTRECOVERABLE with a
 * sentence for a person when it cannot be told which table is the right one, else as of server.h.
 */
#ifndef EEFS_SQLIMPORT_APPLY_RECOVER_H
#define EEFS_SQLIMPORT_APPLY_RECOVER_H

#include "sqlimport/apply/move_record.h"

enum settled {
    SETTLED_NOTHING, /* none was to be settled, or nothing had happened */
    SETTLED_BACK,    /* what had happened was taken back */
    SETTLED_DONE,    /* all had happened */
    SETTLED_ENDED,   /* the rest was done now */
};

/* 1: an import left something in one of the schemas, a record or tables; 0: there is nothing to be
 * settled, finished or swept. */
int recover_is_due(const struct schemas *c, struct server *s, struct err *e);

/* *ret_copied: NULL, or the malloc'd name of a table that the server cannot put back after it died,
 * and that is a copy of the old one in another engine now. */
int recover_settle(const struct schemas *c, struct server *s, enum settled *ret, char **ret_copied,
                   struct err *e);

/* After all happened: drops what was set aside within the live database, with its triggers, and
 * gives constraints their right names. *ret_odd, when not NULL: the name of one that keeps its
 * temporary name, in malloc'd memory. */
int recover_finish(const struct schemas *c, struct server *s, char **ret_odd, struct err *e);

/* Drops old tables and forgets the record. One whose live table is missing comes back instead;
 * *ret_back counts them. *ret_unknown, when not NULL: the names of tables that lie aside in the live
 * database and are not proved to be an old one of any, in malloc'd memory, or NULL; they stay. */
int recover_sweep(const struct schemas *c, struct server *s, size_t *ret_back, char **ret_unknown,
                  struct err *e);

/* Gives a constraint of `l->table` another name, in one step. */
int recover_rename_constraint(struct server *s, const char *schema, const struct loan *l,
                              const char *from, const char *to, struct err *e);

/* The name that a live table is set aside to by the commit with this token, in malloc'd memory. */
char *recover_place_name(const char *table, const char *token);

#endif
