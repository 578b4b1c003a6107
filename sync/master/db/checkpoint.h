/* SPDX-License-Identifier: MIT */
/*
 * checkpoint: moves commits from the database's log into the database, in a thread of its own, so
 * that the committer does not wait for the disk while changes come in. Only when the log has grown
 * long nevertheless does the committer finish the checkpoint, so that the log restarts.
 */
#ifndef EEFS_MASTER_DB_CHECKPOINT_H
#define EEFS_MASTER_DB_CHECKPOINT_H

#include "sync/common/db.h"

struct checkpoint;

/* `writer` is the committer's connection to the database `path`. */
int checkpoint_start(const char *path, struct db *writer, struct checkpoint **ret, struct err *e);
/* Before the writer is closed, when it commits no more. NULL is fine. */
void checkpoint_stop(struct checkpoint *c);
/* Requests a checkpoint out of turn: a commit failed, and a log that restarts needs no more
 * space. */
void checkpoint_wake(struct checkpoint *c);

#endif
