/* SPDX-License-Identifier: MIT */
/*
 * in_use: CACHE/in_use, one word that records how the last run left replica.db: "open" (it was
 * killed: its log is beside it), "closing", "closed" (there is no log). So a missing log, or one of
 * another database, is noticed before SQLite reads it.
 */
#ifndef EEFS_MIRROR_REPLICA_IN_USE_H
#define EEFS_MIRROR_REPLICA_IN_USE_H

#include "sync/common/err.h"

#define IN_USE_OPEN    "open"
#define IN_USE_CLOSING "closing"
#define IN_USE_CLOSED  "closed"

/* 0; -EUCLEAN with a sentence when the log does not fit the mark. `db` is the database's path. */
int in_use_check(const char *db, struct err *e);
/* IN_USE_CLOSED is not written while there is a log. */
void in_use_set(const char *db, const char *word);
/* The database was moved away. */
void in_use_forget(const char *db);

#endif
