/* SPDX-License-Identifier: MIT */
/*
 * root_monitor: the thread that looks at the folder now and then, so that nobody who must answer does
 * it himself: a filesystem that hangs holds up this thread, and root_ok() says so.
 */
#ifndef EEFS_MASTER_FOLDER_ROOT_MONITOR_H
#define EEFS_MASTER_FOLDER_ROOT_MONITOR_H

#include "sync/master/master.h"

struct lookout;

int lookout_start(struct master *m, struct lookout **ret, struct err *e);
void lookout_stop(struct lookout *l);
/* What space_short() said at the last look. Never waits for the filesystem. */
bool lookout_short(struct lookout *l, char *why, size_t cap);

#endif
