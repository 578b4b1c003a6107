/* SPDX-License-Identifier: MIT */
/*
 * content: fetches the bytes of a node's version.
 *
 * The master keeps no version that it has replaced, so a node's content may be gone before it was
 * ever fetched. As nobody can have read a byte of such a node, the node then takes over its path's
 * newest version, and the kernel is notified. So a program that opens, reads or writes a file while
 * the master keeps changing it gets a complete version and never an error. The kernel bounds and
 * pads what it reads by the size that it was shown: a handle that may meet such a change, or has,
 * is opened with direct_io (ops/file.c).
 */
#ifndef EEFS_FS_FILE_CONTENT_H
#define EEFS_FS_FILE_CONTENT_H

#include "fs/file/fs.h"
#include "fs/file/node.h"
#include "fs/file/pool.h"

/* True when somebody may have read from the node: it cannot become another version. */
bool content_here_locked(const struct node *n);

/*
 * Opens the node's content where it has handles and that was not done yet. 0 (also when there is
 * nothing to open: empty, or a draft has the bytes), or -errno of store_open: -ENOENT not here,
 * -EAGAIN too large to be verified by this thread (verify_max).
 */
int content_open(struct fs *fs, struct node *n, int64_t verify_max);

/*
 * Fetches the content, possibly that of a newer version, and opens it. Runs fn(arg, 0) in the pool,
 * or fn(arg, -errno): -ENOENT, the path is gone; -ESTALE, the node's name was removed or replaced
 * here, or is no file any more: the kernel must look the name up again; -EIO, -ENOSPC. `by_name`:
 * also -ESTALE instead of a newer version.
 */
void content_need(struct fs *fs, struct node *n, bool by_name, pool_fn *fn, void *arg);

#endif
