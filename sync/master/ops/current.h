/* SPDX-License-Identifier: MIT */
/*
 * current: the present state of a path: its row when the file's stat matches the row, else the file
 * is read and published first. Committer's thread.
 */
#ifndef EEFS_MASTER_OPS_CURRENT_H
#define EEFS_MASTER_OPS_CURRENT_H

#include "sync/master/db/tree.h"
#include "sync/master/ops/context.h"

/*
 * The present state of a path, published first when the tree did not know it yet; row->e.type is
 * ENTRY_GONE when the path is free. -EBUSY: a local writer has it open; -EAGAIN: it must be read
 * first and is too large for now (it is in the scan queue). The caller releases *row.
 */
int current_row(struct apply *j, const char *path, struct row *row);
/* True when the precondition holds for that state. */
bool pre_holds(const struct pre *pre, const struct row *row);

#endif
