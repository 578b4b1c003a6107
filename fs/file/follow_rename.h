/* SPDX-License-Identifier: MIT */
/*
 * follow_rename: nodes follow the master's renames. As on a local disk, open files and folders stay
 * open under their new names, and writes to them are published there.
 */
#ifndef EEFS_FS_FILE_FOLLOW_RENAME_H
#define EEFS_FS_FILE_FOLLOW_RENAME_H

#include "fs/file/fs.h"

/* replica_moved_fn; `arg` is the struct fs. Holds the tree for writing between its two calls. */
void follow_rename(void *arg, const struct replica_move *v, size_t n, bool begin);

#endif
