/* SPDX-License-Identifier: MIT */
/*
 * put: files and links that a mirror writes (OP_PUT, OP_SYMLINK). Committer's thread; 0 or an error
 * as in context.h.
 */
#ifndef EEFS_MASTER_OPS_PUT_H
#define EEFS_MASTER_OPS_PUT_H

#include "sync/master/ops/context.h"

int put_file(struct apply *j);
int put_link(struct apply *j);

#endif
