/* SPDX-License-Identifier: MIT */
/*
 * private_dir: the folder for the master's own files that must lie on the filesystem of the served
 * folder: `staging/` and `kept/`. It is `.eefs` in the served folder or, where the web server must
 * not reach it, the folder of --store. The served folder's `.eefs/store` names the folder of
 * --store, so that its content is moved when another one is given.
 */
#ifndef EEFS_MASTER_FOLDER_PRIVATE_DIR_H
#define EEFS_MASTER_FOLDER_PRIVATE_DIR_H

#include "sync/common/err.h"

/* Makes the folder of --store (0700), and checks that it can serve `root`: outside of it, on the
 * same filesystem, not another master's. `id`: the master's. */
int private_dir_check(const char *store, const char *root, const char *id, struct err *e);

/*
 * Opens it for the served folder `root` (a descriptor): `store`, or `.eefs` when that is NULL.
 * Moves the content of the previous place there. A descriptor or -errno.
 */
int private_dir_open(int root, const char *store);

#endif
