/* SPDX-License-Identifier: MIT */
/*
 * visible: which paths of the folder are served. Any thread.
 */
#ifndef EEFS_MASTER_FOLDER_VISIBLE_H
#define EEFS_MASTER_FOLDER_VISIBLE_H

#include <sys/stat.h>

#include "sync/master/folder/folder.h"

/* True for paths that are never served: `.eefs` (at the root, and on each filesystem below) and
 * matches of the exclude patterns. */
bool visible_hides(const struct folder *f, const char *path);

/*
 * lstat beneath the root. -ENOENT: authoritatively absent, hidden, or of a type that is not served
 * (a symlink or a file in the way of the path counts as absent); then ret->st_mode is that other
 * type, else 0. Other errors: unknown.
 */
int visible_lstat(const struct folder *f, const char *path, struct stat *ret);

/* The target of the symbolic link at `path`, malloc'd; NULL: it cannot be read, or is no link. */
char *visible_readlink(const struct folder *f, const char *path);

#endif
