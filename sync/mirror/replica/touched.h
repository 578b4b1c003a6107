/* SPDX-License-Identifier: MIT */
/*
 * touched: the changes of a transaction that belong into the record of unsent changes
 * (unsent_log.h): operations, which SQLite's update hook reports, and local-only entries, which
 * rows.c reports. Under the replica's lock.
 */
#ifndef EEFS_MIRROR_REPLICA_TOUCHED_H
#define EEFS_MIRROR_REPLICA_TOUCHED_H

#include "sync/common/db.h"
#include "sync/common/opt.h"

/* Begins zeroed. */
struct touched {
    int64_t *ops; /* their numbers; one may be there twice */
    size_t n_ops, cap_ops;
    struct strlist locals; /* paths */
};

/* From here on changes made by `db` are noted in t, which outlives it. */
void touched_watch(struct touched *t, struct db *db);
/* A local-only entry is changed by db's transaction. Nothing where db is not watched (a connection
 * that only reads). */
void touched_local(struct db *db, const char *path);
/* For the next transaction. */
void touched_clear(struct touched *t);
void touched_release(struct touched *t);

#endif
