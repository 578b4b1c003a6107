/* SPDX-License-Identifier: MIT */
/*
 * recover: finds out how an import's RENAME ended, from where the tables lie now, and leaves
 * nothing half done.
 *
 * An import begins with it, and turns to it whenever a RENAME did not succeed: refused, given up,
 * or its answer lost. The caller holds the import lock (import_lock.h), so that no other connection
 * renames tables for an import meanwhile.
 *
 *     move_record.h ──> settle ─┬─> nothing happened: the record goes, staging may be emptied
 *                               └─> all happened ──> finish ──> … ──> old_tables_sweep: the record goes
 *
 * All return -EAGAIN when a table was in use (call again), -ENOTCONN, -ENOTRECOVERABLE with a
 * sentence for a person when nothing shows which table is the right one, else as of server.h. One
 * thread.
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

/* When all happened: drops what was set aside within the live database, with its triggers, and
 * gives constraints their right names. *ret_odd, when not NULL: the malloc'd name of one that keeps
 * its temporary name. */
int recover_finish(const struct schemas *c, struct server *s, char **ret_odd, struct err *e);

#endif
