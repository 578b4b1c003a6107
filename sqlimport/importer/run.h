/* SPDX-License-Identifier: MIT */
/*
 * run: one import under way: its connection to the server, its plan, and the tries by which it gets
 * at tables that visitors use. The other files of an import (see main.c) work on it. One thread.
 *
 * Functions return 0 or a negative errno as of server.h, with a sentence in *e.
 */
#ifndef EEFS_SQLIMPORT_IMPORTER_RUN_H
#define EEFS_SQLIMPORT_IMPORTER_RUN_H

#include "sqlimport/apply/commit_marker.h"
#include "sqlimport/apply/recover.h"
#include "sqlimport/apply/stored_objects.h"
#include "sqlimport/importer/import.h"
#include "sqlimport/plan/plan.h"
#include "sqlimport/server/disk_space.h"
#include "sqlimport/server/lock_retry.h"
#include "sqlimport/server/server.h"

#define RUN_RETRY_MS 120000 /* how long a commit tries to get at its tables */

struct run {
    const struct import_args *a;
    int fd;            /* of the dump */
    struct dump *dump; /* NULL until it is read */
    struct server *s;  /* the connection that commits; NULL while there is none */
    struct plan *plan; /* NULL until it is made */
    char *stage, *old; /* schemas: new tables, old tables */
    struct schemas schemas;
    struct commit_marker commit;
    struct moves moves;
    enum settled settled; /* how the last RENAME ended */
    struct disk_space disk_space;
    struct lock_retry lock_retry;
    bool *made;               /* see run_stored_objects() */
    int64_t n_stored_objects; /* made by this import */
};

/* r->a and r->fd are set, all else is zero. */
void run_init(struct run *r);
/* Closes the connection, too. */
void run_release(struct run *r);

/* Opens the connection, anew where there is one, and takes the database's import lock on it.
 * -EAGAIN: another import is running. */
int run_connect(struct run *r, struct err *e);
/* The same after the connection was lost, for up to 10 s while the server cannot be reached. */
int run_reconnect(struct run *r, struct err *e);

/* One try; -EAGAIN: a table or row was in use, and nothing is locked any more. */
typedef int run_try_fn(struct run *r, struct err *e);
/*
 * Tries until it works, limit_ms (RUN_RETRY_MS) have passed, or it cannot work. Logs now and then
 * which connections may be in the way. -EAGAIN: the time is over, *e names them; -EINTR: stopped;
 * else the result of the last try.
 */
int run_retry_for(struct run *r, int64_t limit_ms, run_try_fn *try, struct err *e);
int run_retry(struct run *r, run_try_fn *try, struct err *e);

/* The arguments of stored_objects.h. They are valid as long as the run. */
struct stored_objects run_stored_objects(struct run *r);

#endif
