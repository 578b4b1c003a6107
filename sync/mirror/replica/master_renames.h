/* SPDX-License-Identifier: MIT */
/*
 * master_renames: renames on the master. The feed has them as an entry that is gone and one that
 * came, with a hint (moved_from). Found here before the set goes into the base, so that what was
 * renamed keeps its number, changes that were never sent go along, as those of an open file do on a
 * local disk, and fs can move its nodes. A hint that does not fit is none: then it is a removal and
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

/* Finds those of the staged set, which is a whole listing or not, and lets the outbox follow. */
int master_renames_apply(struct view_change *a, bool full, struct master_renames *ret);

/* The answer to a put may say that the edit followed a rename of which the feed has not told yet.
 */
bool master_renames_answered(const struct op_answer *ans, const char **from, const char **to);

/* Reports them to fs between replica_moved_fn's two calls. */
void master_renames_begin(struct replica *r);
void master_renames_end(struct replica *r, const struct master_renames *m);

#endif
