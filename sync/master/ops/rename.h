/* SPDX-License-Identifier: MIT */
/*
 * rename: what a mirror renames (OP_RENAME). Committer's thread; 0 or an error as in context.h.
 */
#ifndef EEFS_MASTER_OPS_RENAME_H
#define EEFS_MASTER_OPS_RENAME_H

#include "sync/master/ops/context.h"

int rename_op(struct apply *j);
/* Ends a rename that an earlier run made: it may have left what it replaced (inode `over`) at the
 * old name. */
int rename_finish(struct apply *j, int64_t over);

#endif
