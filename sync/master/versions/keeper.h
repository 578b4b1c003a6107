/* SPDX-License-Identifier: MIT */
/*
 * keeper: the thread that fills and empties the store of kept contents (kept.h). It follows the
 * tree by seq, as a mirror does, from a cursor in the database ("kept_seq"), so it needs no queue
 * and misses nothing after a restart. Files that were in the folder at the first scan are no
 * changes: it copies them in passes of growing file size while it is idle.
 */
#ifndef EEFS_MASTER_VERSIONS_KEEPER_H
#define EEFS_MASTER_VERSIONS_KEEPER_H

#include "sync/master/folder/folder.h"
#include "sync/master/master.h"

/* Starts the thread, over m->folder->kept. It asks the committer, which must run until it has stopped. */
int keeper_start(struct master *m, struct keeper **ret, struct err *e);
void keeper_stop(struct keeper *t);
/* NULL is fine. */
void keeper_free(struct keeper *t);

#endif
