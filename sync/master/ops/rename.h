/* SPDX-License-Identifier: MIT */
/*
 * rename: renames by mirrors (OP_RENAME). Committer's thread; 0 or an error as in context.h.
 */
#ifndef EEFS_MASTER_OPS_RENAME_H
#define EEFS_MASTER_OPS_RENAME_H

#include "sync/master/ops/context.h"

int rename_op(struct apply *j);
/* Completes a rename that an earlier run made: that run may have left the replaced file (inode
 * `over`) at the old name. */
int rename_finish(struct apply *j, int64_t over);

#endif
