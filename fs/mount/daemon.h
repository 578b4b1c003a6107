/* SPDX-License-Identifier: MIT */
/*
 * daemon: puts the process into the background while mount(8) waits for the outcome. libfuse's own
 * daemonising cannot report later errors.
 */
#ifndef EEFS_FS_MOUNT_DAEMON_H
#define EEFS_FS_MOUNT_DAEMON_H

#include <stdbool.h>

#include "sync/common/err.h"

struct daemon; /* the way back to the waiting parent */

/*
 * Forks. The child stays in the process group until daemon_ready: an automount lets nobody else
 * reach the mountpoint before it is mounted (autofs(5)). In the child: 0 with *ret. In the parent:
 * waits, and exits 0 when the child called daemon_ready, else prints the child's sentence and
 * exits 32. Call before any thread starts.
 */
int daemon_start(struct daemon **ret, struct err *e);

/* Ends the parent with success; detaches from the terminal. NULL is fine. Thread safe; once. */
void daemon_ready(struct daemon *d);

/* Ends the parent with success before the mount is there: later errors are logged. NULL and again
 * is fine. Thread safe. */
void daemon_background(struct daemon *d);
/* True when the parent is gone without an outcome: nobody waits for the mount. */
bool daemon_forsaken(struct daemon *d);

/* Hands the sentence to the parent; without a parent (NULL) prints it. */
void daemon_failed(struct daemon *d, const struct err *e);

#endif
