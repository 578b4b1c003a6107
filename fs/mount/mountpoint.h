/* SPDX-License-Identifier: MIT */
/*
 * mountpoint: is DIR fit to be mounted on? The kernel's mount table is read first: touching a
 * folder under a dead or hung mount, or under an automount that waits for this process, would hang.
 */
#ifndef EEFS_FS_MOUNT_MOUNTPOINT_H
#define EEFS_FS_MOUNT_MOUNTPOINT_H

#include <stdbool.h>

#include "sync/common/err.h"

/*
 * Checks DIR: an existing, empty folder without another eefs mount. A dead eefs mount is cleared,
 * unless `fake`. *ret: malloc'd absolute path. *warning: malloc'd sentence or NULL (the folder
 * below is not mode 0000). 0: mount it. 1: an automount on DIR that was not waiting for this
 * process has just mounted it; there is nothing to do. -errno with a sentence. Call it in the
 * process group that mount(8) started: an automount recognises its own mounts by that.
 */
int mountpoint_check(const char *dir, bool fake, char **ret, char **warning, struct err *e);

/* The minor device number of the eefs mount on `path`; false: there is none. Does not touch the
 * mount. */
bool mountpoint_device(const char *path, unsigned *ret);

#endif
