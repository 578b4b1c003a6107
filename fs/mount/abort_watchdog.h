/* SPDX-License-Identifier: MIT */
/*
 * abort_watchdog: a small process beside the daemon that aborts the FUSE connection when the daemon
 * was killed.
 *
 * A killed process closes /dev/fuse only when its last thread has ended. A thread that notifies the
 * kernel to drop a name (FUSE_NOTIFY_INVAL_ENTRY) waits, unkillable, for the folder's lock; the
 * holder of that lock may wait, unkillable, for an answer from the same daemon. Only aborting the
 * connection from outside ends that: without it every access to the mount would hang for ever after
 * a kill -9 (or the out-of-memory killer) at such a moment. Aborting takes root, or fusectl(5)
 * being mounted, which gives the file "abort" to the user who mounted: systemd mounts it. Without
 * either, the watchdog can only log what to do.
 */
#ifndef EEFS_FS_MOUNT_ABORT_WATCHDOG_H
#define EEFS_FS_MOUNT_ABORT_WATCHDOG_H

#include "sync/common/err.h"

/* Forks the watchdog of the mount that will be on `point`. Called by the main thread, which must
 * live as long as the process, while it is the only thread. The watchdog keeps no descriptor, and
 * ends by itself after the daemon. 0, or -errno with a sentence. */
int abort_watchdog_start(const char *point, struct err *e);

/*
 * Unmounts the eefs mount on `point`, if there is one, and then aborts its connection, so that all
 * waiting requests end with an error. In this order, because libfuse does not unmount an aborted
 * mount. Does not touch the mount. Does nothing for a user who may not unmount (libfuse then asks
 * fusermount3).
 */
void abort_watchdog_end(const char *point);

#endif
