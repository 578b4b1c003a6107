/* SPDX-License-Identifier: MIT */
/*
 * current: what is at a path now: its row when the file's stat is that of the row, else the file is
 * read and published first. Committer's thread.
 */
#ifndef EEFS_MASTER_OPS_CURRENT_H
#define EEFS_MASTER_OPS_CURRENT_H

#include "sync/master/db/tree.h"
#include "sync/master/ops/context.h"

/*
 * The present truth of a path, published on the way when the tree did not know it yet;
 * row->e.type is ENTRY_GONE when nothing is there. -EBUSY: a local writer is at it; -EAGAIN: it
 * must be read first and is too large to do so now (the index was told). The caller releases *row.
 */
int current_row(struct apply *j, const char *path, struct row *row);
/* The precondition holds for that truth. */
bool pre_holds(const struct pre *pre, const struct row *row);

#endif
