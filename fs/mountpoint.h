/* SPDX-License-Identifier: MIT */
/*
 * mountpoint: is DIR fit to be mounted on? The kernel's mount table is read first: touching a
 * folder on which a dead or a hung mount lies, or an automount that waits for us, would hang.
 */
#ifndef EEFS_FS_MOUNTPOINT_H
#define EEFS_FS_MOUNTPOINT_H

#include <stdbool.h>

#include "sync/common/err.h"

/*
 * Checks DIR: an existing, empty folder without another eefs mount. A dead eefs mount is cleared,
 * unless `fake`. *ret: malloc'd absolute path. *warning: malloc'd sentence or NULL (the folder
 * below is not mode 0000). -errno with a sentence.
 */
int mountpoint_check(const char *dir, bool fake, char **ret, char **warning, struct err *e);

/*
 * The type of the topmost mount on `path` as /proc/self/mountinfo's text tells
 * (proc(5)): malloc'd, NULL when nothing is mounted there. Pure; for tests.
 */
char *mountpoint_type(const char *mountinfo, const char *path);

#endif
