/* SPDX-License-Identifier: MIT */
/*
 * stored_objects: views, triggers, routines and events, which are made after the tables are
 * committed. One thread.
 */
#ifndef EEFS_SQLIMPORT_APPLY_STORED_OBJECTS_H
#define EEFS_SQLIMPORT_APPLY_STORED_OBJECTS_H

#include "sqlimport/apply/move_record.h"
#include "sqlimport/server/lock_retry.h"
#include "sqlimport/dump/fault.h"
#include "sqlimport/plan/plan.h"

struct stored_objects {
    const struct plan *plan;
    const struct schemas *schemas;
    struct history *history;
    struct lock_retry *lock_retry; /* with tables in use */
    bool drop_missing; /* drop views, routines and events that are gone from the dump, too */
    bool *made;        /* by the index in the dump: by stored_objects_make_triggers() */
};

/*
 * Judges their bodies (body.h), except those of objects that `allow` names. -EPERM with a sentence;
 * then *fault says which.
 */
int stored_objects_check(const struct dump *d, const char *database, const struct strlist *allow,
                         struct dump_fault *fault, struct err *e);

/* A malloc'd sentence that names the objects whose definer in the dump is another account than the
 * importer's, which takes its place; NULL: there is none. */
char *stored_objects_definers(const struct dump *d, struct server *s);

/*
 * Right after tables were swapped: makes their triggers, without which visitors write until then,
 * and the routines that changed, which a trigger may call. The old triggers, on the tables that
 * were set aside, are dropped for their names. stored_objects_make() makes what cannot be made now.
 * -EAGAIN: a table is in use, call again; -ENOTCONN.
 */
int stored_objects_make_triggers(const struct stored_objects *w, struct server *s, struct err *e);

/*
 * Makes those that differ from the last import or whose table was swapped, and drops triggers that
 * are gone from the dump. A view takes the place of a table by exchange.h. *ret_n counts all that
 * this import made. On failure *fault names the one that cannot be made.
 */
int stored_objects_make(const struct stored_objects *w, struct server *s, int64_t *ret_n,
                        struct dump_fault *fault, struct err *e);

#endif
