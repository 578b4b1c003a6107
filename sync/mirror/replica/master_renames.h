/* SPDX-License-Identifier: MIT */
/*
 * master_renames: renames on the master. The feed has them as a tombstone and a new entry with a
 * hint (moved_from). They are found here before the set goes into the base, so that a renamed entry
 * keeps its inode number, unsent changes follow it, as those of an open file do on a local disk,
 * and fs can move its nodes. A hint that does not fit is ignored: the rename is then a removal and
 * a new file.
 */
#ifndef EEFS_MIRROR_REPLICA_MASTER_RENAMES_H
#define EEFS_MIRROR_REPLICA_MASTER_RENAMES_H

#include "sync/mirror/replica/rename_list.h"

struct view_change;

/* Notes an entry's hint, or that it has none, while a page is staged. 0 or -errno. */
int master_renames_stage(struct db *db, const struct entry *e);
/* 1 when some were staged. */
int master_renames_staged(struct db *db);
int master_renames_drop(struct db *db);

/* Finds the renames of the staged set (a whole listing or not), and applies them to the outbox. */
int master_renames_apply(struct view_change *a, bool full, struct master_renames *ret);

/* Takes from the answer to a put a rename that the edit followed and the feed has not reported yet.
 */
bool master_renames_answered(const struct op_answer *ans, const char **from, const char **to);

/* Reports them to fs between replica_moved_fn's two calls. */
void master_renames_begin(struct replica *r);
void master_renames_end(struct replica *r, const struct master_renames *m);

#endif
