/* SPDX-License-Identifier: MIT */
/*
 * checkpoint: moves what was committed from the database's log into the database, in a thread of
 * its own, so that the committer does not wait for the disk while changes come in. Only when the
 * log has grown long beside that does the committer finish it, so that it begins anew.
 */
#ifndef EEFS_MASTER_DB_CHECKPOINT_H
#define EEFS_MASTER_DB_CHECKPOINT_H

#include "sync/common/db.h"

struct checkpoint;

/* `writer` is the committer's connection to the database `path`. */
int checkpoint_start(const char *path, struct db *writer, struct checkpoint **ret, struct err *e);
/* Before the writer is closed, when it commits no more. NULL is fine. */
void checkpoint_stop(struct checkpoint *c);
/* Asks for one out of turn: a commit failed, and a log that begins anew needs no more room. */
void checkpoint_wake(struct checkpoint *c);

#endif
