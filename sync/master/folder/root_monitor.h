/* SPDX-License-Identifier: MIT */
/*
 * root_monitor: the thread that looks at the folder periodically, so that threads that must answer
 * need not: a filesystem that hangs holds up this thread only, and root_ok() reports it.
 */
#ifndef EEFS_MASTER_FOLDER_ROOT_MONITOR_H
#define EEFS_MASTER_FOLDER_ROOT_MONITOR_H

#include <stddef.h>

#include "sync/master/folder/root.h"
#include "sync/master/folder/folder.h"

struct root_monitor;

int root_monitor_start(struct folder *f, struct root_monitor **ret, struct err *e);
void root_monitor_stop(struct root_monitor *o);
/* The result of space_short() at the last look. Never waits for the filesystem. */
bool root_monitor_short(struct root_monitor *o, char *why, size_t cap);

#endif
